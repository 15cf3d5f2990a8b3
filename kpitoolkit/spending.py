"""Spend by channel and week in one currency: what a regression takes, and what its parameters are checked against."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit import money, parameters

PERIODS_OF_CARRYOVER = {"week": 13, "quarter": 2}
PERIODS_OF_QUARTER = {"week": 13, "quarter": 1}
MARKETING = "marketing"


@dataclass(frozen=True, eq=False)
class Rates:
    """Exchange rates into the unit's currency; what is missing is added to the faults."""

    fx_rates: pd.DataFrame | None
    currency: str
    group_currency: str
    faults: list[str]

    def converted(self, rows: pd.DataFrame, column: str, table: str) -> np.ndarray:
        """Return the amounts of `column` (cents) in units of the unit's currency, at the rates of their own quarter."""
        quarters = rows["date"].dt.to_period("Q").astype(str)
        pairs = pd.MultiIndex.from_arrays([quarters, rows["currency"]])
        rate = {
            (when, source): money.rate_between(self.fx_rates, when, source, self.currency, self.group_currency)
            for when, source in pairs.unique()
        }
        lost = sorted(f"{source} in {when}" for (when, source), found in rate.items() if found is None)
        if lost:
            self.faults.append(
                f"{table}: fx_rates has no rate into {self.currency} for {', '.join(lost[:4])}"
                + (" ..." if len(lost) > 4 else "")
            )
        used = pd.Series({pair: np.nan if found is None else float(found) for pair, found in rate.items()}, dtype=float)
        return rows[column].astype(float).to_numpy() / 100 * used.reindex(pairs).to_numpy()


def whole_weeks(first_day: pd.Timestamp, quarter: str, most: int) -> pd.DatetimeIndex:
    """Return the last days of the whole ISO weeks from a day to a quarter's end, the last ones where there are more.

    Examples
    --------
    >>> [str(day.date()) for day in whole_weeks(pd.Timestamp("2026-09-10"), "2026Q3", 5)]
    ['2026-09-20', '2026-09-27']
    """
    _first_day, last_day = parameters.quarter_bounds(quarter)
    last = last_day - pd.Timedelta(days=(last_day.day_of_week + 1) % 7)
    first = first_day + pd.Timedelta(days=(7 - first_day.day_of_week) % 7 + 6)
    return pd.date_range(first, last, freq="7D", name="week_end")[-most:]


def week_ends(days: pd.Series) -> pd.DatetimeIndex:
    """Return the Sunday of each day's week."""
    days = days.dt.normalize()
    return pd.DatetimeIndex(days + pd.to_timedelta(6 - days.dt.day_of_week, unit="D"))


def by_week(rows: pd.DataFrame, amounts: np.ndarray, weeks: pd.DatetimeIndex) -> pd.Series:
    """Return the sum of the amounts of rows in each week, zero where there is none."""
    return pd.Series(amounts, index=week_ends(rows["date"])).groupby(level=0).sum().reindex(weeks, fill_value=0.0)


def weekly(
    ad_spend: pd.DataFrame,
    weeks: pd.DatetimeIndex,
    rates: Rates,
    platforms_including_vat: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return spend by week (index) and platform (columns), net of VAT, of the platforms with a row in these weeks.

    Parameters
    ----------
    ad_spend : DataFrame
        One unit's rows (money in cents).
    weeks : DatetimeIndex
        Last days of weeks that follow one another.
    rates : Rates
    platforms_including_vat : dict, optional
        VAT rate inside a platform's reported spend; it is taken out.

    Examples
    --------
    >>> days = pd.to_datetime(["2026-09-14", "2026-09-20", "2026-09-22"])
    >>> rows = pd.DataFrame({"date": days, "platform": ["tv", "tv", "web"], "spend_cents": [1000, 500, 122]})
    >>> rows, rates = rows.assign(currency="EUR"), Rates(None, "EUR", "EUR", [])
    >>> weeks = whole_weeks(days[0], "2026Q3", 2)
    >>> weekly(rows, weeks, rates, {"web": 0.22}).to_numpy().tolist()
    [[15.0, 0.0], [0.0, 1.0]]
    """
    inside = (ad_spend["date"] > weeks[0] - pd.Timedelta(days=7)) & (ad_spend["date"] <= weeks[-1])
    rows = ad_spend[inside]
    net = rates.converted(rows, "spend_cents", "ad_spend")
    net = net / (1 + rows["platform"].map(dict(platforms_including_vat or {})).astype(float).fillna(0.0).to_numpy())
    own = {name: (rows["platform"] == name).to_numpy() for name in sorted(set(rows["platform"]))}
    return pd.DataFrame({name: by_week(rows[which], net[which], weeks) for name, which in own.items()}, index=weeks)


def filed(financials: pd.DataFrame, basis: str, quarter: str) -> pd.DataFrame:
    """Return the unrounded rows on one basis, up to a quarter."""
    rounded = financials["rounded"].astype("boolean").fillna(False)
    return financials[(financials["basis"] == basis) & ~rounded & (financials["quarter"] <= quarter)]


def quarterly(rows: pd.DataFrame) -> pd.DataFrame:
    """Return revenue and marketing cost of the last unbroken run of complete quarters: index quarter, currency units.

    Examples
    --------
    >>> cents = {"revenue_cents": [900, 900, 900], "marketing_cost_cents": [100, 200, 300]}
    >>> quarterly(pd.DataFrame({"quarter": ["2025Q4", "2026Q2", "2026Q3"], **cents}))["marketing"].tolist()
    [2.0, 3.0]
    """
    columns = {"revenue_cents": "revenue", "marketing_cost_cents": MARKETING}
    figures = rows.groupby("quarter")[list(columns)].first().dropna().astype(float) / 100
    ends = pd.PeriodIndex(figures.index, freq="Q")
    unbroken = np.append(np.flatnonzero(np.diff(ends.asi8) != 1) + 1, 0).max() if len(ends) else 0
    return figures.iloc[unbroken:].rename(columns=columns)


def of_regression(frames: Mapping[str, pd.DataFrame], stated: parameters.Parameters) -> pd.DataFrame | None:
    """Return spend by period and channel as the regression of a unit will have it; None where its tables do not say.

    Parameters
    ----------
    frames : dict of DataFrame
        The unit's tables, as ``tables.read`` returns them.
    stated : Parameters
        Of the unit.

    Returns
    -------
    DataFrame or None
        Index: last periods of ``regression_periods``, those that carry spend into them and a quarter before. Columns:
        every channel with a row of spend in them; currency of the unit, all missing where a rate is missing.
    """
    if stated.frequency == "quarter":
        financials = frames.get("financials")
        if financials is None or not {"revenue_cents", "marketing_cost_cents"} <= set(financials):
            return None
        found = quarterly(filed(financials, stated.basis, stated.quarter))[[MARKETING]]
        return found.iloc[-stated.regression_periods :] if len(found) else None
    if not {"ledger", "ad_spend"} <= set(frames):
        return None
    sold = frames["ledger"].loc[frames["ledger"]["account"].isin(stated.accounts["sales"]), "date"]
    if not len(sold) or not len(frames["ad_spend"]):
        return None
    count = stated.regression_periods + PERIODS_OF_CARRYOVER["week"] - 1 + PERIODS_OF_QUARTER["week"]
    weeks = whole_weeks(sold.min(), stated.quarter, count)
    rates = Rates(frames.get("fx_rates"), stated.currency, stated.group_currency, [])
    if not len(weeks):
        return None
    found = weekly(frames["ad_spend"], weeks, rates, stated.platforms_including_vat)
    return found * np.nan if rates.faults else found
