"""What a case may state of the regression and of the budget: names, limits, and what is wrong with what was stated.

The priors' names are those of `regression.priors.Priors`, which this layer may not import; a test keeps them in step.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from kpitoolkit.errors import suggest

SHARES = ("media_share", "carryover", "autocorrelation")
PRIORS = (
    "media_share",
    "common_log_sd",
    "own_log_sd",
    "carryover",
    "carryover_logit_sd",
    "half_saturation",
    "half_saturation_log_sd",
    "slope",
    "slope_log_sd",
    "peak",
    "peak_log_sd",
    "intercept_sd",
    "trend_sd",
    "season_sd",
    "control_sd",
    "autocorrelation",
    "autocorrelation_atanh_sd",
    "noise",
    "noise_log_sd",
)
CHANNEL_PRIORS = tuple(f"{name}{end}" for name in ("iroas", "carryover", "half_saturation", "slope", "peak")
                       for end in ("", "_sd"))  # fmt: skip
TOTALS = ("fixed", "free")
PER_QUARTER = "(amounts of the unit's currency for the whole quarter)"
TOLERANCE = 1e-9
LOSES = "loses_on_every_sale"
"""The verdict where the margin before marketing is zero or less: no return pays for the spend."""
CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def break_even(contribution_margin_share: float) -> float | None:
    """Return the iROAS at which the margin before marketing pays for the spend, 1 / margin; None where no return does.

    Parameters
    ----------
    contribution_margin_share : float in [-1, 1]
        Margin before marketing, of revenue. At zero or less each sale loses, or leaves nothing, before any marketing.

    Raises
    ------
    ValueError
        For a share out of range.

    Examples
    --------
    >>> break_even(0.4), break_even(0.0), break_even(-0.447)
    (2.5, None, None)
    """
    fault = margin_fault(contribution_margin_share)
    if fault:
        raise ValueError(fault)
    return 1 / contribution_margin_share if contribution_margin_share > 0 else None


def margin_fault(share: float) -> str:
    """Say why a share of revenue cannot be a contribution margin; empty where it can.

    Examples
    --------
    >>> margin_fault(-0.447), margin_fault(44.7)
    ('', 'contribution_margin_share must lie from -1 to 1, not 44.7. Write 0.45 for 45% of revenue')
    """
    if -1 <= share <= 1:
        return ""
    return f"contribution_margin_share must lie from -1 to 1, not {share:g}. Write 0.45 for 45% of revenue"


def known_priors(stated: dict[str, Any]) -> dict[str, Any]:
    """Return stated priors if every name is known and every figure within its limits; else raise ValueError.

    Examples
    --------
    >>> known_priors({"media_share": 0.3, "channels": {"tv": {"iroas": 2.0, "iroas_sd": 0.5}}})["media_share"]
    0.3
    >>> known_priors({"media_shar": 0.3})
    Traceback (most recent call last):
    ValueError: 'media_shar' is not a prior. Did you mean 'media_share'?
    """
    faults: list[str] = []
    for name, value in stated.items():
        if name == "channels":
            if not isinstance(value, dict) or not all(isinstance(own, dict) for own in value.values()):
                faults.append("channels: write one block a channel, such as 'tv: {iroas: 2.0, iroas_sd: 0.5}'")
                continue
            for channel, own in value.items():
                faults += [
                    fault for known, figure in own.items() for fault in _figure(known, figure, CHANNEL_PRIORS, channel)
                ]
        else:
            faults += _figure(name, value, (*PRIORS, "channels"))
    return _or_refused(stated, faults)


def _figure(name: str, value: Any, known: tuple[str, ...], channel: str = "") -> list[str]:
    where = f"channel '{channel}': " if channel else ""
    if name not in known:
        return [f"{where}'{name}' is not a prior.{suggest(name, known)}"]
    if not _number(value) or value <= 0:
        return [f"{where}{name} must be a number above 0, not {value!r}"]
    return [f"{where}{name} is a share and must be below 1, not {value!r}"] if name in SHARES and value >= 1 else []


def known_margin(stated: float) -> float:
    """Return a contribution margin as a share of revenue, from -1 to 1; else raise ValueError."""
    if fault := margin_fault(stated):
        raise ValueError(fault.removeprefix("contribution_margin_share "))
    return stated


def known_total(stated: Any) -> Any:
    """Return the total of the budget: `fixed`, `free` or an amount above 0; else raise ValueError."""
    if stated in TOTALS or (_number(stated) and stated > 0):
        return stated
    near = suggest(stated, TOTALS)
    raise ValueError(f"must be fixed (as last quarter), free, or an amount above 0 for the quarter.{near}")


def known_bounds(stated: dict[str, Any]) -> dict[str, list[float]]:
    """Return the budget's bounds by channel, each ``[low, high]``; raise ValueError where one is none.

    Examples
    --------
    >>> known_bounds({"tv": [0, 20_000]})
    {'tv': [0, 20000]}
    """
    faults = []
    for channel, bounds in stated.items():
        if not isinstance(bounds, list | tuple) or len(bounds) != 2 or not all(_number(each) for each in bounds):
            faults.append(f"channel '{channel}': write [low, high] {PER_QUARTER}")
        elif not 0 <= bounds[0] <= bounds[1]:
            faults.append(f"channel '{channel}': needs 0 <= low <= high, not {list(bounds)} {PER_QUARTER}")
    return _or_refused({channel: list(bounds) for channel, bounds in stated.items()} if not faults else {}, faults)


def unknown_channels(where: str, stated: Iterable[str], known: Iterable[str]) -> list[str]:
    """Say which channels a parameter names that the unit's spend does not have, each with the nearest one.

    A unit cannot take out what the defaults state: what only some units have belongs into their own files.

    Examples
    --------
    >>> unknown_channels("budget_bounds", ["tvv", "search"], ["search", "tv"])
    ["budget_bounds: 'tvv' is no channel of this unit's spend. Did you mean 'tv'? Channels: search, tv"]
    """
    known = list(known)
    only = " State it only in the files of units that have it."
    return [
        f"{where}: '{name}' is no channel of this unit's spend.{suggest(name, known) or only} "
        f"Channels: {', '.join(known) or 'none'}"
        for name in stated
        if name not in known
    ]


def bounds_faults(
    low: Mapping[str, float],
    high: Mapping[str, float],
    total: float | None = None,
    currency: str = "EUR",
    *,
    fixed: bool = False,
) -> list[str]:
    """Say why no budget can keep to its bounds: one channel's cross, or together they exclude the total.

    Parameters
    ----------
    low, high : mapping of str to float
        Of every channel, currency of the quarter.
    total : float, optional
        Currency of the quarter; None where it is free.
    currency : str
    fixed : bool
        Whether the total is last quarter's spend.

    Examples
    --------
    >>> bounds_faults({"tv": 50.0, "web": 10.0}, {"tv": 80.0, "web": 20.0}, 100.0)
    []
    >>> bounds_faults({"tv": 50.0, "web": 10.0}, {"tv": 60.0, "web": 20.0}, 100.0)[0][:85]
    'the upper bounds of all channels add up to 80.00 EUR in the quarter, below the total '
    """
    crossed = [
        f"'{name}': the lower bound of {low[name]:,.2f} {currency} in the quarter lies above the upper bound of "
        f"{high[name]:,.2f} {currency}. State both ends in budget_bounds {PER_QUARTER}"
        for name in low
        if low[name] > high[name]
    ]
    if crossed or total is None:
        return crossed
    least, most = math.fsum(low.values()), math.fsum(high.values())
    room = TOLERANCE * max(abs(total), math.fsum(abs(each) for each in high.values()))
    stated = f"the total of {total:,.2f} {currency}" + (" (budget_total: fixed, last quarter's spend)" if fixed else "")
    said = "the {ends} bounds of all channels add up to {sum:,.2f} {currency} in the quarter, {side} {total}. {what}"
    what = f"in budget_bounds {PER_QUARTER}, allow a larger budget_largest_change, or state another budget_total"
    if least > total + room:
        ends = {"ends": "lower", "sum": least, "side": "above", "what": f"Lower them {what}"}
    elif most < total - room:
        ends = {"ends": "upper", "sum": most, "side": "below", "what": f"Raise them {what}"}
    else:
        return []
    return [said.format(currency=currency, total=stated, **ends)]


def known_scenarios(stated: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the budget's scenarios, each a spend of the quarter by channel; raise ValueError where one is none."""
    faults = []
    for name, spend in stated.items():
        if not isinstance(spend, dict) or not spend:
            example = "{tv: 12000, search: 8000}"
            faults.append(f"scenario '{name}': write spend of the quarter by channel, such as {example}")
            continue
        faults += [
            f"scenario '{name}': spend on '{channel}' must be a number of 0 or more, not {value!r}"
            for channel, value in spend.items()
            if not _number(value) or value < 0
        ]
    return _or_refused(stated, faults)


def known_case(stated: str) -> str:
    """Return the name of another case's folder, or the empty text for none; raise ValueError on a path."""
    if stated and (not CASE_NAME.fullmatch(stated) or stated.endswith(".")):
        raise ValueError("is not the name of a case's folder: write for example 2026Q2, without its path")
    return stated


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _or_refused(stated: Any, faults: list[str]) -> Any:
    if faults:
        raise ValueError("; ".join(faults))
    return stated


Margin = Annotated[float, AfterValidator(known_margin)]
RegressionPriors = Annotated[dict[str, Any], AfterValidator(known_priors)]
BudgetTotal = Annotated[Any, AfterValidator(known_total)]
BudgetBounds = Annotated[dict[str, Any], AfterValidator(known_bounds)]
BudgetScenarios = Annotated[dict[str, Any], AfterValidator(known_scenarios)]
PreviousCase = Annotated[str, AfterValidator(known_case)]
