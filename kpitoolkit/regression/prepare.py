"""What a regression takes: one row a week or a quarter, with revenue, spend by channel and controls, and no gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import parameters, plots, spending, tables, text
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.regression import arrival, lift
from kpitoolkit.regression.checks import dependent, jumps, named_periods, runs
from kpitoolkit.regression.transforms import PERIODS_OF_CARRYOVER

CONTROLS = ("price_index", "promotion_days", "holiday_days")
LATEST_START_DAYS = 10
SMALL_WEEK = 0.2
QUARTER_WEEKS = 13


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of a regression, checked.

    Attributes
    ----------
    table : DataFrame
        Index `period_end`; columns `revenue`, the channels, the controls (currency units), `carry_in` (true before the
        window: only the spend of such rows is used).
    empty_periods : tuple of Timestamp
        Periods of the window in which nothing was sold; they count as zero.
    unreported : tuple of Timestamp
        Periods, carry-in included, for which no platform has a row of spend; they count as zero.
    no_controls : bool
        Whether controls are declared and the unit has none.
    lift_tests : LiftTests
        Those that the data declare, checked.
    reaching_back : DataFrame
        As `table`, with the rows of the quarter before where the data have them: for the bridge from last quarter.
    """

    table: pd.DataFrame
    channels: tuple[str, ...]
    controls: tuple[str, ...]
    frequency: str
    currency: str
    empty_periods: tuple[pd.Timestamp, ...] = ()
    unreported: tuple[pd.Timestamp, ...] = ()
    no_controls: bool = False
    lift_tests: lift.LiftTests = field(default_factory=lift.none)
    reaching_back: pd.DataFrame = field(default_factory=pd.DataFrame)

    def findings(self, language: str = "en") -> list[str]:
        """Say what arrived: periods, revenue, spend, what is missing, and which lift tests enter."""
        return arrival.findings(self, language)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes | None:
        """Draw revenue and total spend by period; of a single one the findings say that there is no course to draw."""
        window = self.table[~self.table["carry_in"]]
        if len(window) < 2 and ax is None:
            return None
        wide = pd.DataFrame({"revenue": window["revenue"], "spend": window[list(self.channels)].sum(axis=1)}) * 100
        long = wide.rename_axis("period_end").reset_index().melt("period_end", var_name="series")
        title = text.translator(language)("Revenue and spend that arrived")
        return plots.lines(
            long, "period_end", "value", "series",
            ax=ax, language=language, value_format="money", currency=self.currency, title=title,
        )  # fmt: skip


def inputs(
    place: tables.Workspace,
    quarter: str,
    frequency: str = "week",
    *,
    periods: int = 156,
    currency: str = "EUR",
    accounts: Mapping[str, Sequence[str]] | None = None,
    platforms_including_vat: Mapping[str, float] | None = None,
    basis: str = "",
    group_currency: str = "EUR",
) -> Inputs:
    """Read the tables that a frequency needs, and prepare them.

    Weeks take ledger, ad_spend, fx_rates and, where declared, controls; quarters take financials; both take lift_tests
    where these are declared.

    Parameters
    ----------
    place : Workspace
    quarter : str
        Last quarter to use, such as ``2026Q3``.
    frequency : {"week", "quarter"}
    periods : int
        Longest window.
    currency : str
        Of the unit.
    accounts : dict, optional
        Ledger accounts by line; only `sales` is used. By default the sample's chart.
    platforms_including_vat : dict, optional
        VAT rate inside the spend that a platform reports.
    basis : str
        Classification basis of `financials`.
    group_currency : str
        The one that `fx_rates` converts into.

    Returns
    -------
    Inputs
    """
    optional = [name for name in ("lift_tests",) if name in tables.declared(place)]
    if frequency == "quarter":
        found = tables.read(place, ["financials", *optional])
        frame = quarterly_inputs(found["financials"], basis, quarter, periods)
        experiments = _experiments(found, frame, (spending.MARKETING,), frequency)
        return Inputs(
            frame, (spending.MARKETING,), (), frequency, currency, lift_tests=experiments, reaching_back=frame
        )
    if frequency != "week":
        raise Faults(
            "parameters",
            [f"frequency '{frequency}' is not one of week, quarter.{suggest(frequency, ('week', 'quarter'))}"],
        )
    names = ["ledger", "ad_spend", "fx_rates", *optional]
    names += ["controls"] if "controls" in tables.declared(place) else []
    found = tables.read(place, names)
    sales = {**parameters.ACCOUNTS, **(accounts or {})}["sales"]
    longer = weekly_inputs(
        found["ledger"],
        found["ad_spend"],
        found.get("controls"),
        found["fx_rates"],
        sales,
        currency,
        quarter,
        periods,
        platforms_including_vat,
        group_currency,
        QUARTER_WEEKS,
    )
    reported = spending.week_ends(found["ad_spend"]["date"])
    frame = longer.iloc[-(periods + PERIODS_OF_CARRYOVER["week"] - 1) :]
    controls = tuple(name for name in CONTROLS if name in frame)
    channels = tuple(name for name in frame if name not in ("revenue", "carry_in", *controls))
    return Inputs(
        frame,
        channels,
        controls,
        frequency,
        currency,
        empty_periods=tuple(frame.index[(frame["revenue"] == 0) & ~frame["carry_in"]]),
        unreported=tuple(frame.index.difference(reported)),
        no_controls="controls" in names and not controls,
        lift_tests=_experiments(found, frame, channels, frequency),
        reaching_back=longer.loc[max(_first_known(longer, controls), reported.min()) :],
    )


def _first_known(frame: pd.DataFrame, controls: Sequence[str]) -> pd.Timestamp:
    """Return the first period from which on every control is known."""
    lacking = frame.index[frame[list(controls)].isna().any(axis=1)]
    return frame.index[min(frame.index.get_loc(lacking[-1]) + 1, len(frame) - 1)] if len(lacking) else frame.index[0]


def _experiments(found: dict, frame: pd.DataFrame, channels: Sequence[str], frequency: str) -> lift.LiftTests:
    """Lift tests of the unit, where any are declared and there is a window to place them in."""
    rows = found.get("lift_tests")
    return lift.none() if rows is None or not len(frame) else lift.checked(rows, frame, channels, frequency)


def weekly_inputs(
    ledger: pd.DataFrame,
    ad_spend: pd.DataFrame,
    controls: pd.DataFrame | None,
    fx_rates: pd.DataFrame,
    sales_accounts: Sequence[str],
    currency: str,
    quarter: str,
    periods: int = 156,
    platforms_including_vat: Mapping[str, float] | None = None,
    group_currency: str = "EUR",
    earlier: int = 0,
) -> pd.DataFrame:
    """Return revenue, spend and controls by ISO week, the last one ending by the quarter's end.

    Parameters
    ----------
    ledger, ad_spend, controls, fx_rates : DataFrame
        One unit's rows, as `tables.read` returns them (money in cents).
    sales_accounts : sequence of str
    currency : str
        Of the unit: amounts in another are converted at the rates of the quarter they fall in.
    quarter : str
    periods : int
        Weeks of the window; up to 12 more before it carry their spend in.
    platforms_including_vat : dict, optional
        VAT rate inside a platform's reported spend; it is taken out.
    group_currency : str
        The one that `fx_rates` converts into.
    earlier : int
        Weeks before those, where the data have them.

    Returns
    -------
    DataFrame
        Index `week_end` (Sundays); columns `revenue`, one for each platform by name, the controls, `carry_in`. A week
        without spend has zero; a week without sales has zero where the unit's weeks vary as much as that.

    Raises
    ------
    Faults
        Gaps in ledger, controls or the unit's whole spend, missing rates, negative revenue, no rows at all, levels that
        jump as only a change of unit makes them, channels that follow from others.
    """
    faults: list[str] = []
    sales = ledger[ledger["account"].isin(list(sales_accounts))]
    names = ", ".join(sales_accounts)
    if not len(sales):
        raise Faults("ledger", [f"no row of the accounts of sales ({names}). Check accounts: in the parameters"])
    if not len(ad_spend):
        raise Faults("ad_spend", ["no row of this unit. Check unit_in_data and the export"])
    earliest = sales["date"].min()
    weeks = spending.whole_weeks(earliest, quarter, periods + PERIODS_OF_CARRYOVER["week"] - 1 + earlier)
    if not len(weeks):
        raise Faults("ledger", [f"sales begin on {earliest.date()}, after the last week of {quarter} ended"])
    sales = sales[(sales["date"] > weeks[0] - pd.Timedelta(days=7)) & (sales["date"] <= weeks[-1])]
    days = ad_spend.loc[(ad_spend["date"] > weeks[0] - pd.Timedelta(days=7)) & (ad_spend["date"] <= weeks[-1]), "date"]
    rates = spending.Rates(fx_rates, currency, group_currency, faults)
    revenue = spending.by_week(sales, rates.converted(sales, "amount_cents", "ledger"), weeks)
    spend = spending.weekly(ad_spend, weeks, rates, platforms_including_vat)
    frame = pd.DataFrame({"revenue": revenue})
    clash = sorted({"revenue", "carry_in", *CONTROLS} & set(spend))
    faults += [f"ad_spend: a platform is called '{name}', which is a column of ours. Rename it" for name in clash]
    for platform in spend:
        frame[platform] = spend[platform]
    frame["carry_in"] = np.arange(len(weeks)) < max(0, len(weeks) - periods)
    faults += _pauses(frame["revenue"])
    faults += _missing_spend(days, frame.index[~frame["carry_in"]])
    if controls is not None and len(controls):
        window = weeks[~frame["carry_in"].to_numpy()]
        known = controls.drop_duplicates("week_end").set_index("week_end").reindex(weeks)
        for name in [name for name in CONTROLS if name in controls]:
            frame[name] = known[name].astype(float)
            missing = window[known.loc[window, name].isna()]
            if len(missing):
                faults.append(f"controls: {name} is missing in {named_periods(missing)}. Complete the table")
        repeated = controls.loc[controls["week_end"].duplicated(), "week_end"]
        if len(repeated):
            faults.append(f"controls: repeated weeks (first: {repeated.iloc[0].date()}). Keep one row each")
    if not faults:  # figures in the wrong currency would be jumps and sums by accident
        platforms = list(spend)
        faults += jumps(frame.loc[~frame["carry_in"], ["revenue"]], "ledger: ")
        faults += jumps(frame[platforms], "ad_spend: spend on ")
        faults += [f"ad_spend: {fault}" for fault in dependent(frame.loc[~frame["carry_in"], platforms])]
    if faults:
        raise Faults("weekly inputs", faults)
    return frame


def quarterly_inputs(financials: pd.DataFrame, basis: str, quarter: str, periods: int = 156) -> pd.DataFrame:
    """Return revenue and marketing cost by quarter on one basis: the unbroken run of complete quarters up to the last.

    Rounded figures are left out; several filings of a quarter must agree. Series are never chained across bases.

    Parameters
    ----------
    financials : DataFrame
        One unit's rows (money in cents).
    basis : str
    quarter : str
        Last quarter to use.

    Returns
    -------
    DataFrame
        Index `quarter_end`; columns `revenue`, `marketing`, `carry_in` (false).

    Raises
    ------
    Faults
        Where no row has the basis, or two filings of one quarter on it disagree.
    """
    known = sorted(set(financials["basis"]))
    if basis not in known:
        raise Faults(
            "financials", [f"no row has basis '{basis}'.{suggest(basis, known)} Found: {', '.join(known) or 'none'}"]
        )
    columns = ("revenue_cents", "marketing_cost_cents")
    missing = [name for name in columns if name not in financials]
    if missing:
        raise Faults("financials", [f"column '{name.removesuffix('_cents')}' is missing" for name in missing])
    rows = spending.filed(financials, basis, quarter)
    faults = [
        f"{name.removesuffix('_cents')} of {when}: filings on basis '{basis}' disagree. Keep one basis for each reading"
        for name in columns
        for when, count in rows.groupby("quarter")[name].nunique().items()
        if count > 1
    ]
    if faults:
        raise Faults("financials", faults)
    frame = spending.quarterly(rows).iloc[-periods:]
    frame.index = pd.DatetimeIndex(
        pd.PeriodIndex(frame.index, freq="Q").end_time.normalize().astype("datetime64[ns]"), name="quarter_end"
    )
    return frame.assign(carry_in=False)


def _pauses(revenue: pd.Series) -> list[str]:
    """Weeks without sales that look like a hole in the export rather than a quiet week."""
    faults = []
    if (revenue < 0).any():
        faults.append(
            f"ledger: sales are below zero in {named_periods(revenue.index[revenue < 0])}. Book returns elsewhere"
        )
    empty = revenue == 0
    steady = revenue[revenue > 0].min() >= SMALL_WEEK * revenue[revenue > 0].median() if (revenue > 0).any() else False
    if empty.any() and (steady or runs(empty).max() > arrival.LONGEST_PAUSE_WEEKS):
        faults.append(f"ledger: no sales in {named_periods(revenue.index[empty])}. Export those weeks")
    return faults


def _missing_spend(days: pd.Series, window: pd.DatetimeIndex) -> list[str]:
    """Weeks of the window for which the unit has no row of spend at all: an export that is not whole."""
    known = spending.week_ends(days)
    if not window.isin(known).any():
        return ["ad_spend: no row in the window. Check the export"]
    opening, first = window[0] - pd.Timedelta(days=6), days[days > window[0] - pd.Timedelta(days=7)].min()
    late = first > opening + pd.Timedelta(days=LATEST_START_DAYS)
    if late:
        return [
            f"ad_spend: spend begins on {first.date()}, the window on {opening.date()}. Export the days between, with "
            f"rows of zero where nothing was spent, or shorten regression_periods to {int((window >= first).sum())}"
        ]
    missing = pd.Series(~window.isin(known), index=window)
    if runs(missing).max() > arrival.LONGEST_PAUSE_WEEKS:
        return [
            f"ad_spend: no row at all in {named_periods(window[missing])}, more than {arrival.LONGEST_PAUSE_WEEKS} "
            "weeks on end. Export them, with rows of zero where nothing was spent"
        ]
    return []
