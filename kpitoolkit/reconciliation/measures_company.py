"""Measures about the company beside its books: visits, leads, surveys, people, market, products, emissions, capital.

Each is summed by quarter from one table; a quarter that the table does not cover has no row and no figure.
"""

from collections.abc import Mapping
from fractions import Fraction

import pandas as pd

from kpitoolkit import errors, money, parameters
from kpitoolkit.reconciliation.by_quarter import (
    covered,
    money_by_quarter,
    quarters_of,
    quarters_of_weeks,
    tidy,
    weeks_in,
)
from kpitoolkit.reconciliation.kinds import COMPANY

_SURVEYS = {
    "nps": {
        "nps_promoters": "positive",
        "nps_detractors": "negative",
        "nps_answers": "answers",
        "nps_invited": "invited",
    },
    "brand": {"brand_aware": "positive", "brand_answers": "answers"},
    "employees": {"engaged_employees": "positive", "employee_answers": "answers"},
}
NEW_PRODUCT_MONTHS = 24
AGGREGATES = ("sum", "mean", "last")


def from_web_sessions(web_sessions: pd.DataFrame) -> pd.DataFrame:
    """
    Visits by quarter; a quarter of which a week is missing has no figure.

    ``platform_sessions`` as the platform counts them, ``sessions`` without bots and visits without consent,
    ``prospect_sessions`` those of visitors who are no customers.
    """
    values: dict = {}
    for quarter, weeks in web_sessions.groupby(quarters_of_weeks(web_sessions["week_end"])):
        if weeks["week_end"].nunique() < weeks_in(quarter):
            continue
        platform = int(weeks["sessions"].sum())
        values["platform_sessions", quarter] = platform
        values["sessions", quarter] = platform - int((weeks["bot_sessions"] + weeks["unconsented_sessions"]).sum())
        values["prospect_sessions", quarter] = int(weeks["prospect_sessions"].sum())
    return tidy(values)


def from_leads(leads: pd.DataFrame) -> pd.DataFrame:
    """
    Leads by the quarter in which they were created, followed to what became of them since.

    The latest cohorts are young: some of their leads are still to be qualified, accepted or won.
    """
    quarters = covered(leads["created"], 30)
    of_row = quarters_of(leads["created"])
    qualified, accepted, won = (leads[name].notna() for name in ("qualified", "accepted", "won"))
    values = {}
    for quarter in quarters:
        of_cohort = of_row == quarter
        values["leads_filled", quarter] = int(of_cohort.sum())
        values["leads_qualified", quarter] = int((of_cohort & qualified).sum())
        values["leads_accepted", quarter] = int((of_cohort & accepted).sum())
        values["leads_won", quarter] = int((of_cohort & won).sum())
    return tidy(values)


def from_surveys(surveys: pd.DataFrame) -> pd.DataFrame:
    """Answers by the quarter of a wave's last day, several waves of a quarter taken together; no wave, no figure."""
    values: dict = {}
    of_row = quarters_of(surveys["date"])
    for (survey, quarter), waves in surveys.groupby([surveys["survey"], of_row]):
        for measure, column in _SURVEYS[survey].items():
            values[measure, quarter] = int(waves[column].sum())
    return tidy(values)


def from_hr(hr: pd.DataFrame) -> pd.DataFrame:
    """Leavers and headcount by quarter, as the table states them."""
    values = {}
    for row in hr.to_dict("records"):
        for measure in ("leavers", "headcount_start", "headcount_end"):
            values[measure, row["quarter"]] = int(row[measure])
    return tidy(values)


def _stated(table, columns, currency, fx_rates, group_currency, where) -> dict:
    """Money of a table with a quarter column, in one currency: values by measure and quarter."""
    quarters = sorted(table["quarter"].unique())
    values = {}
    for measure, column in columns.items():
        found = money_by_quarter(table, column, table["quarter"], quarters, currency, fx_rates, group_currency, where)
        values |= {(measure, quarter): value for quarter, value in found.items()}
    return values


def from_market(
    market: pd.DataFrame, currency: str, fx_rates: pd.DataFrame | None = None, group_currency: str = "EUR"
) -> pd.DataFrame:
    """Own sell-out and the market's, by quarter."""
    columns = {"own_sellout": "own_sellout_cents", "market_sellout": "market_sellout_cents"}
    return tidy(_stated(market, columns, currency, fx_rates, group_currency, "market"))


def from_products(
    products: pd.DataFrame, currency: str, fx_rates: pd.DataFrame | None = None, group_currency: str = "EUR"
) -> pd.DataFrame:
    """Revenue of all products and of the new ones: launched less than 24 months before the quarter's last day."""
    ends = {quarter: parameters.quarter_bounds(quarter)[1] for quarter in products["quarter"].unique()}
    since = products["quarter"].map({q: end - pd.DateOffset(months=NEW_PRODUCT_MONTHS) for q, end in ends.items()})
    new = products["launched"] > since
    values = _stated(
        products.assign(_new_cents=products["revenue_cents"].where(new, 0)),
        {"product_revenue": "revenue_cents", "new_product_revenue": "_new_cents"},
        *(currency, fx_rates, group_currency, "products"),
    )
    return tidy(values)


def from_emissions(emissions: pd.DataFrame) -> pd.DataFrame:
    """Tonnes of CO2 equivalent over all scopes; a quarter without a scope that others have has no figure."""
    scopes = set(emissions["scope"])
    values = {}
    for quarter, rows in emissions.groupby("quarter"):
        whole = set(rows["scope"]) == scopes and rows["tonnes"].notna().all()
        values["emissions_tonnes", quarter] = (
            float(sum(Fraction(str(tonnes)) for tonnes in rows["tonnes"])) if whole else None
        )
    return tidy(values)


def from_capital(
    capital: pd.DataFrame,
    currency: str,
    fx_rates: pd.DataFrame | None = None,
    group_currency: str = "EUR",
    cost_of_capital: float = 0.08,
) -> pd.DataFrame:
    """
    Invested capital, and what it costs a quarter: ``invested capital x cost_of_capital / 4``, to the cent.

    Examples
    --------
    >>> capital = pd.DataFrame({"quarter": ["2026Q3"], "invested_capital_cents": [1_000_000_00], "currency": ["EUR"]})
    >>> from_capital(capital, "EUR").set_index("measure")["value"].astype(int).to_dict()
    {'invested_capital': 100000000, 'capital_charge': 2000000}
    """
    columns = {"invested_capital": "invested_capital_cents"}
    values = _stated(capital, columns, currency, fx_rates, group_currency, "capital")
    rate = Fraction(str(cost_of_capital)) / 4
    charges = {
        ("capital_charge", quarter): None if invested is None else money.convert(invested, rate)
        for (_, quarter), invested in values.items()
    }
    return tidy(values | charges)


def from_kpi_series(kpi_series: pd.DataFrame, series: Mapping[str, str]) -> pd.DataFrame:
    """
    The series that a catalogue declares, by quarter: their weeks' ``sum``, ``mean`` or ``last`` value.

    A quarter of which a week is missing has no figure. Series that the catalogue does not declare are left out.

    Raises
    ------
    ToolkitError
        Where a series has the name of a measure of another table.
    """
    clash = sorted(set(series) & set(COMPANY))
    if clash:
        raise errors.ToolkitError(f"kpi_series: {', '.join(clash)} are measures of other tables. Rename these series.")
    values: dict = {}
    kept = kpi_series[kpi_series["kpi"].isin(list(series))]
    for (name, quarter), weeks in kept.groupby([kept["kpi"], quarters_of_weeks(kept["week_end"])]):
        if weeks["week_end"].nunique() == weeks_in(quarter):
            amounts = weeks.sort_values("week_end")["value"].astype(float)
            how = {"sum": amounts.sum, "mean": amounts.mean, "last": lambda found=amounts: found.iloc[-1]}
            values[name, quarter] = float(how[series[name]]())
    return tidy(values)


def compute(
    tables: Mapping[str, pd.DataFrame],
    currency: str,
    group_currency: str = "EUR",
    cost_of_capital: float = 0.08,
    series: Mapping[str, str] | None = None,
) -> list[pd.DataFrame]:
    """All of these measures that the tables allow; one frame a table, in no order that matters."""
    rates = (currency, tables.get("fx_rates"), group_currency)
    makers = {
        "web_sessions": from_web_sessions,
        "leads": from_leads,
        "surveys": from_surveys,
        "hr": from_hr,
        "market": lambda table: from_market(table, *rates),
        "products": lambda table: from_products(table, *rates),
        "emissions": from_emissions,
        "capital": lambda table: from_capital(table, *rates, cost_of_capital),
        "kpi_series": lambda table: from_kpi_series(table, series or {}),
    }
    return [make(tables[name]) for name, make in makers.items() if name in tables and len(tables[name])]
