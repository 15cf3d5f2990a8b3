"""The data of a unit before anything runs: against their contracts, and what the unit states of the regression against
them and against what was published."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from kpitoolkit import money, parameters, spending, tables
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.modelling import bounds_faults, unknown_channels
from kpitoolkit.parameters import Case, Parameters


def examine(case: Case, stated: Parameters, outputs: Path | None = None) -> tuple[list[str], list[str]]:
    """Read every declared table of a unit and say all that is wrong with it, and with what is stated of it.

    Parameters
    ----------
    case : Case
    stated : Parameters
        Of the unit.
    outputs : Path, optional
        Root of published results, by default ``outputs/`` of the project.

    Returns
    -------
    faults : list of str
        One sentence a fault, empty where all is well: what breaks a contract, what is missing, tables that do not
        reach over the case's quarter, parameters of the regression that the data rule out, a previous case that is
        not there. Of tables in connections no row is read: only that they and their columns are there.
    notes : list of str
        As ``notes_of`` says them.
    """
    workspace = parameters.workspace_of(case, stated)
    faults = tables.examine(workspace)
    previous = unknown_previous_case(case, stated, outputs or parameters.outputs_root())
    try:
        frames = tables.read(workspace, sorted(tables.files(workspace)))
    except Faults as error:
        return faults + list(error.faults) + previous, notes_of(case, stated, outputs)
    notes = notes_of(case, stated, outputs, frames)
    if faults:
        return faults + previous, notes
    for name, column in (("orders", "time"), ("touchpoints", "time"), ("platform_claims", "conversion_time")):
        if name in frames:
            local = parameters.local_time(frames[name][column], stated.timezone)
            frames[name] = frames[name].assign(**{column: local})
    gaps = tables.quarter_gaps(frames, *parameters.quarter_bounds(stated.quarter)) + currency_faults(frames, stated)
    gaps += too_large_faults(frames)
    late = frames.get("platform_claims")
    if late is not None and {"touch_time", "conversion_time"} <= set(late):
        touched = parameters.local_time(late["touch_time"], stated.timezone)
        count = int((touched > late["conversion_time"]).sum())
        if count:
            gaps.append(f"platform_claims: {count} claims were touched after their conversion. Check the time zones")
    if "financials" in frames and stated.quarter not in set(frames["financials"]["quarter"]):
        gaps.append(f"financials: no row for {stated.quarter}. Add it, or state another quarter")
    return gaps + regression_faults(frames, stated) + previous, notes


def regression_faults(frames: dict[str, pd.DataFrame], stated: Parameters) -> list[str]:
    """Say which parameters of the regression and the budget a unit's own spend rules out.

    Channels that it does not have; bounds that exclude the total. Default bounds follow from the fit: here they are as
    wide as any fit can make them, so that what is refused here would be refused there.

    Examples
    --------
    >>> rows = {"quarter": ["2026Q2", "2026Q3"], "basis": "", "rounded": False, "revenue_cents": 900}
    >>> filed = pd.DataFrame({**rows, "marketing_cost_cents": [100, 200]})
    >>> bounds = {"frequency": "quarter", "budget_bounds": {"marketng": [0, 1]}}
    >>> regression_faults({"financials": filed}, Parameters(unit="it", quarter="2026Q3", **bounds))[0][:78]
    "budget_bounds: 'marketng' is no channel of this unit's spend. Did you mean 'ma"
    """
    spend = spending.of_regression(frames, stated)
    if spend is None:
        return []
    faults = unknown_channels("regression_priors: channels", stated.regression_priors.get("channels", {}), spend)
    before = spending.PERIODS_OF_CARRYOVER[stated.frequency] - 1
    reached, window = (spend.iloc[-(stated.regression_periods + more) :] for more in (before, 0))
    moving = reached.std(ddof=0) > 1e-12 * np.maximum(1.0, reached.mean())
    fitted = [name for name in spend if window[name].any() and moving[name]]
    named = {f"budget_scenarios: '{name}'": plan for name, plan in stated.budget_scenarios.items()}
    for where, own in {"budget_bounds": stated.budget_bounds, **named}.items():
        faults += unknown_channels(where, own, spend)
        faults += [
            f"{where}: '{name}' has no spend, or the same in every period, in the regression's window: nothing is "
            "modelled of it. Leave it out"
            for name in own
            if name in spend and name not in fitted and reached[name].notna().all()
        ]
    if faults or not fitted or stated.budget_total == "free" or reached.isna().any(axis=None):
        return faults
    periods = spending.PERIODS_OF_QUARTER[stated.frequency]
    now = periods * window[fitted].iloc[-periods:].mean()
    lowest = periods * reached[fitted].min() * (len(reached) == len(window) + before)
    change = stated.budget_largest_change
    low = np.minimum(np.maximum(lowest, now * (1 - change)), now).to_dict()
    high = np.maximum(np.minimum(periods * reached[fitted].max(), now * (1 + change)), now).to_dict()
    low |= {name: ends[0] for name, ends in stated.budget_bounds.items()}
    high |= {name: ends[1] for name, ends in stated.budget_bounds.items()}
    fixed = stated.budget_total == "fixed"
    total = float(now.sum()) if fixed else stated.budget_total
    return [f"budget_bounds: {fault}" for fault in bounds_faults(low, high, total, stated.currency, fixed=fixed)]


def unknown_previous_case(case: Case, stated: Parameters, outputs: Path) -> list[str]:
    """Say that the previous case is none: neither a case beside this one nor one that was published."""
    cases = {path.parent.name for path in case.folder.parent.glob("*/_defaults.yml")}
    known = sorted((cases | {path.parent.name for path in outputs.glob("*/run.json")}) - {case.name})
    if not stated.previous_case or stated.previous_case in known:
        return []
    if parameters.previous_tables(outputs, stated, "*"):
        return []
    return [
        f"previous_case: there is no case '{stated.previous_case}' in {case.folder.parent}, and none was published in "
        f"{outputs}.{suggest(stated.previous_case, known)} Known: {', '.join(known) or 'none'}. Correct the name, or "
        "leave it out"
    ]


def notes_of(
    case: Case, stated: Parameters, outputs: Path | None = None, frames: Mapping[str, pd.DataFrame] | None = None
) -> list[str]:
    """Say what an analyst should know of a unit though it is no fault.

    That the previous case has no regression of the unit is none: a unit that is new has no last quarter, and the page
    says from what its bridge begins. Nor is a table of claims without a row of the unit: no platform may sell to it.

    Parameters
    ----------
    case : Case
    stated : Parameters
    outputs : Path, optional
    frames : mapping, optional
        The unit's tables, where they were read.
    """
    said = []
    claims = (frames or {}).get("platform_claims")
    if claims is not None and claims.empty:
        called = stated.unit_in_data or stated.unit
        said.append(
            f"platform_claims has no row of unit '{called}': what platforms claim will not be examined. If the export "
            "calls it otherwise, correct its column 'unit'; if it is missing, export it"
        )
    outputs = outputs or parameters.outputs_root()
    published = {path.stem for path in parameters.previous_tables(outputs, stated, "regression")}
    if not stated.previous_case or unknown_previous_case(case, stated, outputs) or "regression_iroas" in published:
        return said
    return [
        *said,
        f"previous_case {stated.previous_case} has no published regression of this unit in {outputs}: the bridge will "
        f"begin from an estimate made today. Run {stated.previous_case} first if it should have one",
    ]


def currency_faults(frames: dict[str, pd.DataFrame], stated: Parameters) -> list[str]:
    """Say which tables hold currencies that cannot be in them, or that have no rate in the case's quarter.

    Examples
    --------
    >>> spend = pd.DataFrame({"currency": ["EUR", "XYZ"], "date": pd.to_datetime(["2026-07-01", "2026-07-02"])})
    >>> currency_faults({"ad_spend": spend}, Parameters(unit="it", quarter="2026Q3"))
    ['ad_spend: amounts in XYZ, but fx_rates has no rate of XYZ for 2026Q3. Add it, or correct the currency']
    """
    first_day, last_day = parameters.quarter_bounds(stated.quarter)
    rates = frames.get("fx_rates")
    rated = set() if rates is None else set(rates.loc[rates["quarter"] == stated.quarter, "currency"])
    rated |= {stated.group_currency}
    said = []
    for name in ("orders", "returns", "ledger"):
        foreign = sorted(set(frames[name]["currency"].dropna()) - {stated.currency}) if name in frames else []
        if foreign:
            said.append(
                f"{name}: amounts in {', '.join(foreign)}, but the unit keeps its books in {stated.currency}. "
                "Convert them, or correct the parameter 'currency'"
            )
    for name, column in (("ad_spend", "date"), ("platform_claims", "conversion_time"), ("invoices", "date")):
        if name not in frames:
            continue
        days = frames[name][column]
        now = frames[name][(days >= first_day) & (days < last_day + pd.Timedelta(days=1))]
        foreign = set(now["currency"].dropna()) - {stated.currency}
        unrated = sorted((foreign | {stated.currency} if foreign else set()) - rated)
        if unrated:
            said.append(
                f"{name}: amounts in {', '.join(sorted(foreign))}, but fx_rates has no rate of {', '.join(unrated)} "
                f"for {stated.quarter}. Add it, or correct the currency"
            )
    return said


def too_large_faults(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Say which amounts, or sums of a quarter, figures could not hold to the cent: those beyond 2^53 cents.

    Amounts are added as they are signed, in a ledger those of each account: what the measures add.

    Examples
    --------
    >>> capital = pd.DataFrame({"quarter": ["2026Q2", "2026Q3"], "invested_capital_cents": [5, 2**53 + 2]})
    >>> too_large_faults({"capital": capital})[0][:86]
    "capital: an amount in 'invested_capital' is 90,071,992,547,409.94, beyond 2^53 cents, "
    """
    said = []
    for name, frame in frames.items():
        for column in (column for column in frame if column.endswith("_cents")):
            cents, called = frame[column].astype("Float64").fillna(0).to_numpy(dtype=float), column[: -len("_cents")]
            quarter = _quarter_of_row(frame)
            by = [quarter] + ([frame["account"]] if "account" in frame else [])
            sums = pd.Series(cents, frame.index).groupby(by).sum().abs()
            ends = "beyond 2^53 cents, where figures are no longer exact to the cent{}. Check the amounts, or state "
            ends += "them in a larger unit of the currency"
            if len(cents) and np.abs(cents).max() > money.EXACT_CENTS:
                row = int(np.abs(cents).argmax())
                amount = f"{Decimal(int(frame[column].iloc[row])) / 100:,.2f}"
                where = f" (row {int(frame.index[row]) + 1} of the unit)"
                said.append(f"{name}: an amount in '{called}' is {amount}, {ends.format(where)}")
            elif len(sums) and sums.max() > money.EXACT_CENTS:
                worst = sums.idxmax()
                where = f" ({', '.join(map(str, worst if isinstance(worst, tuple) else (worst,)))})"
                amount = f"{Decimal(int(sums.max())) / 100:,.2f}"
                said.append(f"{name}: the amounts in '{called}' reach {amount} in a quarter, {ends.format(where)}")
    return said


def _quarter_of_row(frame: pd.DataFrame) -> pd.Series:
    """Tell the quarter of each row: as stated, else that of its first day; of undated rows, none."""
    stated = next((name for name in ("period", "quarter", "opened") if name in frame), None)
    if stated:
        return frame[stated].astype(str)
    dated = next((name for name in frame if pd.api.types.is_datetime64_any_dtype(frame[name])), None)
    return pd.Series("", frame.index) if dated is None else frame[dated].dt.to_period("Q").astype(str)
