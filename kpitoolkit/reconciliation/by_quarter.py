"""What every measure is made with: quarters that rows cover, sums of money in one currency, and the tidy table.

A week belongs to the quarter in which most of its days lie, that is its Thursday's: every week counts once, and a
quarter has 13 weeks, seldom 12 or 14.
"""

from collections.abc import Iterable, Mapping
from numbers import Integral

import numpy as np
import pandas as pd

from kpitoolkit import errors, money
from kpitoolkit.reconciliation import ledger as books


def is_missing(value: object) -> bool:
    """Tell whether there is no figure."""
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def quarters_of(times: pd.Series) -> pd.Series:
    """The quarter of each time, such as 2026Q3."""
    return times.dt.to_period("Q").astype(str)


def quarters_of_weeks(week_ends: pd.Series) -> pd.Series:
    """
    The quarter in which most days of each week lie.

    Examples
    --------
    >>> quarters_of_weeks(pd.Series(pd.to_datetime(["2026-07-05", "2026-10-04", "2027-01-03"]))).tolist()
    ['2026Q3', '2026Q4', '2026Q4']
    """
    return quarters_of(week_ends - pd.Timedelta(days=3))


def weeks_in(quarter: str) -> int:
    """
    How many weeks belong to a quarter.

    Examples
    --------
    >>> weeks_in("2026Q3"), weeks_in("2026Q4")
    (13, 14)
    """
    period = pd.Period(quarter, freq="Q")
    return len(pd.date_range(period.start_time, period.end_time, freq="W-THU"))


def covered(times: pd.Series, slack_days: int) -> list[str]:
    """Quarters that the rows cover, without a first or last one of which more than ``slack_days`` are not there."""
    if not len(times):
        return []
    first, last = times.min(), times.max()
    slack = pd.Timedelta(days=slack_days)
    quarters = pd.period_range(first, last, freq="Q")
    return [str(q) for q in quarters if q.start_time + slack >= first and q.end_time - slack <= last]


def tidy(values: Mapping[tuple[str, str], object]) -> pd.DataFrame:
    """
    The table of measures from values by measure and quarter.

    Raises
    ------
    ToolkitError
        Where an integer passes 2^53: the table could not hold its last cent.
    """
    rows = [(measure, quarter, value) for (measure, quarter), value in values.items()]
    large = [row for row in rows if isinstance(row[2], Integral) and abs(int(row[2])) > money.EXACT_CENTS]
    if large:
        measure, quarter, value = large[0]
        raise errors.ToolkitError(
            f"{measure}, {quarter}: {int(value)} is beyond 2^53, where figures are no longer exact to the cent. "
            "Check the amounts, or state them in a larger unit of the currency."
        )
    frame = pd.DataFrame(rows, columns=["measure", "quarter", "value"])
    frame["value"] = [np.nan if is_missing(value) else float(value) for value in frame["value"]]
    frame["status"] = np.where(frame["value"].isna(), "no_figure", "ok")
    return frame


def money_by_quarter(
    frame: pd.DataFrame,
    column: str,
    quarter_of_row: pd.Series,
    quarters: Iterable[str],
    currency: str,
    fx_rates: pd.DataFrame | None,
    group_currency: str,
    where: str,
) -> dict[str, int | None]:
    """Cents by quarter in one currency, converted row by row as the bridges do; None where a rate is missing."""
    rated = set() if fx_rates is None else set(fx_rates["currency"])
    unknown = sorted(set(frame["currency"]) - rated - {currency, group_currency})
    if unknown:
        raise errors.ToolkitError(f"{where}: currency {', '.join(unknown)} has no rate. Add it to fx_rates.")
    found: dict[str, int | None] = dict.fromkeys(quarters, 0)
    for quarter, rows in frame.groupby(quarter_of_row):
        if quarter in found:
            sources = rows["currency"].unique()
            into = {name: money.rate_between(fx_rates, quarter, name, currency, group_currency) for name in sources}
            missing = None in into.values()
            found[quarter] = None if missing else int(books.converted(rows[column], rows["currency"], into).sum())
    return found
