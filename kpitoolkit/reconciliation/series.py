"""KPIs over time: each KPI of the catalogue by week and by quarter, as far as the tables reach, in one tidy table.

What no table covers has no row: never zero, never interpolated. Revenue by week is the ledger's line `sales`, which is
posted by day; returns, provisions and cut-off are posted at month's or quarter's end and enter by quarter only.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kpitoolkit import errors, parameters, spending
from kpitoolkit.reconciliation import measures
from kpitoolkit.reconciliation.catalogue import Catalogue, Kpi

COLUMNS = ["unit", "kpi", "basis", "frequency", "period", "value", "standard_error"]
CONTROL = "control"
"""The basis of rows that are no KPI but are held constant in a test."""
CONTROLS = ("price_index", "promotion_days", "holiday_days")
_SESSIONS = {
    "platform_sessions": {"sessions": 1},
    "sessions": {"sessions": 1, "bot_sessions": -1, "unconsented_sessions": -1},
    "prospect_sessions": {"prospect_sessions": 1},
}
_LEADS = {"leads_filled": "created", "leads_qualified": "qualified", "leads_accepted": "accepted", "leads_won": "won"}
_SURVEYS = (
    ("nps_promoters", "nps_detractors", "nps_answers"),
    ("brand_aware", "", "brand_answers"),
    ("engaged_employees", "", "employee_answers"),
)


def of_unit(
    tables: Mapping[str, pd.DataFrame],
    catalogue: Catalogue,
    found: pd.DataFrame,
    unit: str,
    quarter: str,
    currency: str,
    accounts: Mapping[str, Sequence[str]] | None = None,
    timezone: str = "UTC",
    platforms_including_vat: Mapping[str, float] | None = None,
    group_currency: str = "EUR",
) -> pd.DataFrame:
    """
    Every KPI of the catalogue over time, and what a test holds constant beside it.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        As ``tables.read`` gives them, rows of one unit.
    catalogue : Catalogue
    found : DataFrame
        Measures by quarter, as ``measures.compute`` gives them.
    unit, quarter, currency : str
        Nothing after the quarter's end enters.
    accounts : mapping, optional
        Ledger accounts by line; lines that are not stated keep the sample's chart.
    timezone : str
        Of the unit's calendar days; times of orders are UTC.
    platforms_including_vat : mapping, optional
        VAT rate inside a platform's reported spend; taken out of the spend by week.
    group_currency : str
        The one that ``fx_rates`` converts into.

    Returns
    -------
    DataFrame
        `unit, kpi, basis, frequency, period, value, standard_error`: ``frequency`` is ``week`` or ``quarter``,
        ``period`` its last day; money in cents; ``standard_error`` is a survey's sampling error, else empty. Rows of
        basis ``control`` (price_index, promotion_days, holiday_days, media_spend) are no KPIs. A name of
        ``kpi_series`` that the catalogue does not define is listed as a KPI of its own, on the marketing basis.

    Raises
    ------
    ToolkitError
        Where a currency of `ledger` or `ad_spend` has no rate.
    """
    weeks = by_week(tables, quarter, currency, accounts, timezone, platforms_including_vat, group_currency)
    last_day = parameters.quarter_bounds(quarter)[1]
    rows = []
    for kpi in catalogue.kpis:
        for basis in kpi.formula.given():
            needed = kpi.measures(basis)
            if needed and set(needed) <= set(weeks):
                rows += [("week", kpi.id, basis, *row) for row in _values(kpi, basis, weeks[needed])]
    quarters = sorted(name for name in found["quarter"].unique() if parameters.quarter_bounds(name)[1] <= last_day)
    for name in quarters:
        values, day = measures.at(found, name), parameters.quarter_bounds(name)[1]
        for kpi in catalogue.kpis:
            for basis in kpi.formula.given():
                value, status = kpi.value(basis, values)
                if status == "ok":
                    rows.append(("quarter", kpi.id, basis, day, value, standard_error(kpi, basis, values)))
        if not measures.is_missing(values.get("media_spend")):
            rows.append(("quarter", "media_spend", CONTROL, day, float(values["media_spend"]), np.nan))
    kept = {kpi.id for kpi in catalogue.kpis}
    used = {name for kpi in catalogue.kpis for name in kpi.measures()}
    for name in weeks.columns:
        basis = CONTROL if name in (*CONTROLS, "media_spend") else "marketing"
        if basis == CONTROL or (name in weeks.attrs["kpi_series"] and name not in kept | used):
            rows += [("week", name, basis, day, value, np.nan) for day, value in weeks[name].dropna().items()]
    frame = pd.DataFrame(rows, columns=["frequency", "kpi", "basis", "period", "value", "standard_error"])
    frame = frame.astype({"value": float, "standard_error": float, "period": "datetime64[ns]"})
    return frame.assign(unit=unit)[COLUMNS]


def _values(kpi: Kpi, basis: str, weeks: pd.DataFrame) -> list[tuple]:
    """Day, value and no standard error of each week in which the KPI has a figure."""
    rows = []
    for day, values in weeks.dropna().iterrows():
        value, status = kpi.value(basis, values.to_dict())
        if status == "ok":
            rows.append((day, value, np.nan))
    return rows


def standard_error(kpi: Kpi, basis: str, values: Mapping[str, object]) -> float:
    """
    The sampling error of a survey's figure, in the KPI's own unit; NaN where the KPI is not one survey's share.

    For a share ``p`` of ``n`` answers ``sqrt(p(1 - p) / n)``; for promoters less detractors
    ``sqrt((p + d - (p - d)^2) / n)``. With all or none agreeing, ``p`` is taken as ``(positive + 1) / (n + 2)``.
    """
    needed = set(kpi.measures(basis))
    for positive, negative, answers in _SURVEYS:
        if answers in needed and needed <= {positive, negative, answers} and values.get(answers):
            n = float(values[answers])
            p = (float(values.get(positive) or 0) + 1) / (n + 2)
            d = (float(values.get(negative) or 0) + 1) / (n + 2) if negative else 0.0
            whole = kpi.value(basis, {positive: answers and n, negative: 0, answers: n})[0] or 1.0
            return abs(whole) * float(np.sqrt((p + d - (p - d) ** 2) / n))
    return np.nan


def by_week(
    tables: Mapping[str, pd.DataFrame],
    quarter: str,
    currency: str,
    accounts: Mapping[str, Sequence[str]] | None = None,
    timezone: str = "UTC",
    platforms_including_vat: Mapping[str, float] | None = None,
    group_currency: str = "EUR",
) -> pd.DataFrame:
    """
    Measures by whole ISO week (index: Sundays), NaN where the table does not cover a week.

    Between its first and its last day the ledger, orders, leads and spend cover each week; ``web_sessions``,
    ``kpi_series`` and ``controls`` only those for which they have a row. Money in cents. ``.attrs["kpi_series"]``
    names the columns that come from that table.
    """
    faults: list[str] = []
    rates = spending.Rates(tables.get("fx_rates"), currency, group_currency, faults)
    found: dict[str, pd.Series] = {}
    if _rows(tables, "ledger"):
        sales = {**parameters.ACCOUNTS, **(accounts or {})}["sales"]
        ledger = tables["ledger"]
        weeks = _weeks(ledger["date"], quarter)
        rows = ledger[ledger["account"].astype(str).isin(sales) & _inside(ledger["date"], weeks)]
        found["revenue"] = spending.by_week(rows, rates.converted(rows, "amount_cents", "ledger") * 100, weeks)
    if _rows(tables, "ad_spend"):
        spent = tables["ad_spend"]
        weeks = _weeks(spent["date"], quarter)
        if len(weeks):
            net = spending.weekly(spent, weeks, rates, platforms_including_vat)
            found["media_spend"] = net.sum(axis=1) * 100
        rows = spent[_inside(spent["date"], weeks)]
        for name in ("impressions", "clicks"):
            if name in rows and rows[name].notna().any():
                counted = rows[name].astype("Float64").fillna(0).astype(float).to_numpy()
                found[name] = spending.by_week(rows, counted, weeks)
    if _rows(tables, "orders"):
        orders = tables["orders"]
        local = parameters.local_time(orders["time"], timezone).dt.normalize()
        weeks = _weeks(local, quarter)
        paid = orders.assign(date=local)[(orders["status"] == "paid") & _inside(local, weeks)]
        found["orders"] = spending.by_week(paid, np.ones(len(paid)), weeks)
    if _rows(tables, "leads"):
        weeks = _weeks(tables["leads"]["created"], quarter)
        for name, column in _LEADS.items():
            rows = tables["leads"][tables["leads"][column].notna()] if column in tables["leads"] else None
            if rows is not None:
                rows = rows.assign(date=rows["created"])[_inside(rows["created"], weeks)]
                found[name] = spending.by_week(rows, np.ones(len(rows)), weeks)
    if faults:
        raise errors.Faults("series", faults)
    last_day = parameters.quarter_bounds(quarter)[1]
    by_row = {}
    if _rows(tables, "web_sessions"):
        counted = tables["web_sessions"].set_index("week_end")
        by_row |= {n: sum(s * counted[c].astype(float) for c, s in parts.items()) for n, parts in _SESSIONS.items()}
    if _rows(tables, "controls"):
        held = tables["controls"].set_index("week_end")
        by_row |= {name: held[name].astype(float) for name in CONTROLS if name in held}
    kept = set(found) | set(by_row)
    own = {}
    if _rows(tables, "kpi_series"):
        for name, rows in tables["kpi_series"].groupby("kpi"):
            own[str(name)] = rows.set_index("week_end")["value"].astype(float)
    clash = sorted(kept & set(own))
    if clash:
        raise errors.ToolkitError(f"kpi_series: {', '.join(clash)} are measures of other tables. Rename these series.")
    found |= {name: values[values.index <= last_day] for name, values in (by_row | own).items()}
    frame = pd.DataFrame(found).sort_index().rename_axis("week_end") if found else pd.DataFrame()
    frame.attrs["kpi_series"] = sorted(own)
    return frame


def _rows(tables: Mapping[str, pd.DataFrame], name: str) -> bool:
    return name in tables and len(tables[name]) > 0


def _weeks(days: pd.Series, quarter: str) -> pd.DatetimeIndex:
    """Whole weeks from the first to the last day of a table, none after the quarter."""
    days = days.dropna()
    weeks = spending.whole_weeks(days.min().normalize(), quarter, 10_000)
    return weeks[weeks <= days.max().normalize()]


def _inside(days: pd.Series, weeks: pd.DatetimeIndex) -> pd.Series:
    if not len(weeks):
        return pd.Series(False, index=days.index)
    return (days > weeks[0] - pd.Timedelta(days=7)) & (days < weeks[-1] + pd.Timedelta(days=1))
