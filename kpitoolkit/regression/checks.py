"""What `fit` refuses, all of it at once: gaps, repeats, missing or negative figures, channels that are one, and levels
that jump as only a change of unit can."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kpitoolkit.errors import Faults, suggest
from kpitoolkit.regression.transforms import PERIODS_OF_CARRYOVER

EXACT = 1e-3  # of a channel's standard deviation: less than this from a sum of others is that sum, rounded
JUMP = 2.0  # decades between the levels of two stretches
CLEAR = 0.7  # decades that lie empty between them
STRETCH = 4  # periods with spend that a level takes


def checked(
    inputs: pd.DataFrame, channels: Sequence[str], controls: Sequence[str], frequency: str, periods: int | None
) -> tuple[pd.DataFrame, int]:
    """Check what `fit` was given; return its rows in order, and how many of the last belong to the window."""
    if frequency not in PERIODS_OF_CARRYOVER:
        raise Faults("regression", [f"frequency '{frequency}' is not one of {', '.join(PERIODS_OF_CARRYOVER)}"])
    needed = ["revenue", *channels, *controls]
    faults = [f"column '{n}' is missing.{suggest(n, inputs.columns)}" for n in needed if n not in inputs]
    faults += [f"'{name}' is stated twice" for name in sorted({n for n in needed if needed.count(n) > 1})]
    if not isinstance(inputs.index, pd.DatetimeIndex):
        faults.append("the index must be the last day of each period")
    if faults:
        raise Faults("regression inputs", faults)
    frame = inputs.sort_index()
    repeated = frame.index[frame.index.duplicated()]
    if len(repeated):
        raise Faults("regression inputs", [f"repeated periods: {named_periods(repeated.unique())}. Keep one row each"])
    if frequency == "week":
        full = pd.date_range(frame.index.min(), frame.index.max(), freq="7D") if len(frame) else frame.index
    else:
        full = pd.period_range(*frame.index.to_period("Q")[[0, -1]]).end_time.normalize() if len(frame) else frame.index
    lost = pd.DatetimeIndex(full).difference(frame.index)
    odd = frame.index.difference(pd.DatetimeIndex(full))
    if len(lost):
        faults.append(f"no row for {named_periods(lost)}. Complete the series")
    elif len(odd):
        faults.append(
            f"rows that end no period: {named_periods(odd)}. Weeks are 7 days apart, quarters end on their last day"
        )
    carried = frame["carry_in"].to_numpy(dtype=bool) if "carry_in" in frame else np.zeros(len(frame), dtype=bool)
    window = min(int((~carried).sum()), periods or len(frame))
    inside = frame.iloc[len(frame) - window :]
    for name in controls:
        faults += _not_finite(inside[name])
    faults += _not_finite(inside["revenue"])
    if window and (inside["revenue"] < 0).any():
        faults.append(
            f"revenue is below zero in {named_periods(inside.index[inside['revenue'] < 0])}. Book returns elsewhere"
        )
    if window and not (inside["revenue"] > 0).any():
        faults.append("revenue is never above zero. Check the unit and the accounts of sales")
    for name in channels:
        faults += _not_finite(frame[name])
        if (frame[name] < 0).any():
            where = named_periods(frame.index[frame[name] < 0])
            faults.append(f"spend on '{name}' is below zero in {where}. Book credits elsewhere")
    if not faults:
        faults += jumps(frame[["revenue"]].iloc[len(frame) - window :]) + jumps(frame[list(channels)], "spend on ")
        faults += dependent(inside[list(channels)])
    if faults:
        raise Faults("regression inputs", faults)
    return frame, window


def dependent(spend: pd.DataFrame) -> list[str]:
    """Say which channels follow exactly from others: the same twice, or a total beside its parts.

    A column within a thousandth of its standard deviation of a linear combination of others counts as that combination.
    Channels that never move are left to the caller; so are channels in too few periods to tell.

    Parameters
    ----------
    spend : DataFrame of shape (periods, channels)

    Examples
    --------
    >>> spend = pd.DataFrame({"tv": [1.0, 5, 2, 8, 3, 1, 0], "web": [2.0, 2, 7, 1, 8, 2, 8]})
    >>> dependent(spend.assign(all=spend.sum(axis=1)))
    ["spend on 'tv', 'web' and 'all': each follows exactly from the others. Is one the total? Leave one out"]
    """
    values = spend.astype(float)
    kept: list[str] = []
    columns: dict[str, np.ndarray] = {}
    faults = []
    for name in values:
        centred = values[name].to_numpy() - values[name].mean()
        size = np.linalg.norm(centred)
        if len(values) < 3 or size <= 1e-9 * max(np.linalg.norm(values[name]), 1e-300):
            continue
        column = centred / size
        alike = [each for each in kept if abs(columns[each] @ column) > 1 - EXACT**2 / 2]
        if alike:
            together = "together" if columns[alike[0]] @ column > 0 else "against one another"
            faults.append(f"spend on '{alike[0]}' and '{name}' moves exactly {together}. Join them into one channel")
            continue
        if len(kept) > 1 and len(values) > len(kept) + 3:
            others = np.column_stack([columns[each] for each in kept])
            weights = np.linalg.lstsq(others, column, rcond=None)[0]
            if np.linalg.norm(column - others @ weights) <= EXACT:
                named = ", ".join(f"'{each}'" for each, w in zip(kept, weights, strict=True) if abs(w) > 2 * EXACT)
                faults.append(
                    f"spend on {named} and '{name}': each follows exactly from the others. Is one the total? Leave one "
                    "out"
                )
                continue
        kept.append(name)
        columns[name] = column
    return faults


def jumps(levels: pd.DataFrame, what: str = "") -> list[str]:
    """Say which columns lie a hundredfold higher in one stretch than in another, as a change of unit makes them.

    Both levels hold at least four periods, a factor of five lies empty between them, and the level changes at most
    twice (there, or there and back): bursts above a running fee go to and fro more often, growth leaves nothing empty.

    Parameters
    ----------
    levels : DataFrame of shape (periods, columns)
        Index: last day of each period.
    what : str
        Before each column's name.

    Examples
    --------
    >>> ends = pd.date_range("2026-01-04", periods=10, freq="7D")
    >>> frame = pd.DataFrame({"tv": [5.0, 6, 5, 7, 6] + [5000.0, 6000, 5500, 7000, 6000]}, index=ends)
    >>> jumps(frame, "spend on ")[0][:71]
    "spend on 'tv' jumps about 1,000-fold up in the period ending 2026-02-08"
    """
    said = []
    for name in levels:
        found = _jump(levels[name].astype(float))
        if found:
            day, decades = found
            way = "up" if decades > 0 else "down"
            size = float(f"{10 ** abs(decades):.1g}")
            said.append(
                f"{what}'{name}' jumps about {size:,.0f}-fold {way} in the period ending {day.date()}: its unit or "
                "currency seems to change there. Export it in one; where the jump is true, begin the window after it, "
                "or give the two stretches two names"
            )
    return said


def _jump(values: pd.Series) -> tuple[pd.Timestamp, float] | None:
    """The first period of another level, and by how many decades it lies higher; None where there is one level."""
    active = values[values > 0]
    if len(active) < 2 * STRETCH:
        return None
    logs = np.log10(active.to_numpy())
    ordered = np.sort(logs)
    for place in np.flatnonzero(np.diff(ordered) > CLEAR):
        high = logs > ordered[place]
        switches = np.flatnonzero(high[1:] != high[:-1]) + 1
        apart = np.median(logs[high]) - np.median(logs[~high])
        if min(high.sum(), (~high).sum()) >= STRETCH and apart > JUMP - 0.1 and len(switches) <= 2:
            return active.index[switches[0]], apart if high[switches[0]] else -apart
    return None


def runs(marked: pd.Series) -> pd.Series:
    """Return how long the run of marked periods is that reaches up to each period.

    Examples
    --------
    >>> runs(pd.Series([True, True, False, True])).tolist()
    [1, 2, 0, 1]
    """
    return marked.groupby((~marked).cumsum()).cumsum().astype(int)


def _not_finite(values: pd.Series) -> list[str]:
    wrong = values.index[~np.isfinite(values.astype("Float64").astype(float))]
    return (
        [f"'{values.name}' has no figure in {named_periods(wrong)}. Complete it, or leave it out"] if len(wrong) else []
    )


def named_periods(days: pd.DatetimeIndex) -> str:
    """How many periods, and the first of them."""
    return f"{len(days)} {'period' if len(days) == 1 else 'periods'} (first: the one ending {days[0].date()})"
