"""Spend by channel and week in one currency: what a regression takes, and what its parameters are checked against."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit import money, parameters


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
