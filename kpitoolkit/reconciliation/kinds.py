"""Which measures there are, of what kind each is, and the tables it can come from. No table is read here.

A catalogue of KPIs is checked against these names, also in a run in which nothing changed: no library that reads tables
is loaded for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """What kind of figure a measure is, and the tables it can come from (each alternative needs all of its tables)."""

    value_unit: str
    additive: str
    sources: tuple[tuple[str, ...], ...]


def flow(*sources: tuple[str, ...], unit: str = "money", additive: str = "flow") -> Measure:
    """A measure that may be summed over quarters and units unless ``additive`` says otherwise."""
    return Measure(unit, additive, sources)


_LEDGER, _FINANCIALS, _ORDERS = ("ledger",), ("financials",), ("orders",)
_CLAIMS = ("platform_claims", "orders", "customers")
_COUNT, _STOCK = {"unit": "count"}, {"unit": "count", "additive": "stock"}

COMPANY: dict[str, Measure] = {
    "platform_sessions": flow(("web_sessions",), **_COUNT),
    "sessions": flow(("web_sessions",), **_COUNT),
    "prospect_sessions": flow(("web_sessions",), **_COUNT),
    "leads_filled": flow(("leads",), **_COUNT),
    "leads_qualified": flow(("leads",), **_COUNT),
    "leads_accepted": flow(("leads",), **_COUNT),
    "leads_won": flow(("leads",), **_COUNT),
    "nps_promoters": flow(("surveys",), **_COUNT),
    "nps_detractors": flow(("surveys",), **_COUNT),
    "nps_answers": flow(("surveys",), **_COUNT),
    "nps_invited": flow(("surveys",), **_COUNT),
    "brand_aware": flow(("surveys",), **_COUNT),
    "brand_answers": flow(("surveys",), **_COUNT),
    "engaged_employees": flow(("surveys",), **_COUNT),
    "employee_answers": flow(("surveys",), **_COUNT),
    "leavers": flow(("hr",), **_COUNT),
    "headcount_start": flow(("hr",), **_STOCK),
    "headcount_end": flow(("hr",), **_STOCK),
    "own_sellout": flow(("market",)),
    "market_sellout": flow(("market",)),
    "product_revenue": flow(("products",)),
    "new_product_revenue": flow(("products",)),
    "emissions_tonnes": flow(("emissions",), unit="number"),
    "invested_capital": flow(("capital",), additive="stock"),
    "capital_charge": flow(("capital",)),
}
"""About the company beside its books: ``measures_company`` makes them."""

MEASURES: dict[str, Measure] = {
    "revenue": flow(_LEDGER, _FINANCIALS),
    "cost_of_sales": flow(_LEDGER, _FINANCIALS),
    "marketing_cost": flow(_LEDGER, _FINANCIALS),
    "operating_expenses": flow(_LEDGER, _FINANCIALS),
    "media_cost": flow(_LEDGER),
    "agency_fees": flow(_LEDGER),
    "rebates": flow(_LEDGER),
    "marketing_accruals": flow(_LEDGER),
    "acquisition_salaries": flow(_LEDGER),
    "acquisition_tools": flow(_LEDGER),
    "retention_cost": flow(_LEDGER),
    "intercompany_revenue": flow(_LEDGER),
    "contribution_margin": flow(_FINANCIALS),
    "operating_profit": flow(_LEDGER, _FINANCIALS),
    "operating_profit_after_tax": flow(_LEDGER, _FINANCIALS),
    "revenue_at_last_years_rates": flow(_LEDGER, _FINANCIALS),
    "gross_orders": flow(_ORDERS),
    "orders": flow(_ORDERS, unit="count"),
    "active_customers": flow(_ORDERS, unit="count", additive="distinct"),
    "retained_customers": flow(_ORDERS, unit="count", additive="distinct"),
    "cohort_lifetime_margin": flow(("orders", "customers")),
    "cohort_lifetime_margin_low": flow(("orders", "customers")),
    "cohort_lifetime_margin_high": flow(("orders", "customers")),
    "cohort_lifetime_revenue": flow(("orders", "customers")),
    "new_customers": flow(("orders", "customers"), unit="count", additive="distinct"),
    "media_spend": flow(("ad_spend",)),
    "impressions": flow(("ad_spend",), unit="count"),
    "clicks": flow(("ad_spend",), unit="count"),
    "claimed_value": flow(("platform_claims",)),
    "claimed_conversions": flow(("platform_claims",), unit="count"),
    "claims_without_order": flow(_CLAIMS, unit="count"),
    "duplicate_claims": flow(_CLAIMS, unit="count"),
    "claims_of_repeat_orders": flow(_CLAIMS, unit="count", additive="distinct"),
    "unclaimed_first_orders": flow(_CLAIMS, unit="count", additive="distinct"),
    "paid_members": flow(_FINANCIALS, unit="count", additive="stock"),
    "total_members": flow(_FINANCIALS, unit="count", additive="stock"),
    "net_added_members": flow(_FINANCIALS, unit="count"),
    "net_added_paid_members": flow(_FINANCIALS, unit="count"),
    **COMPANY,
}
SERIES = Measure("number", "index", (("kpi_series",),))
"""Any other name: a series that marketing keeps and the catalogue declares. It is never summed over units."""
LAGS = {"_year_ago": -4, "_previous_quarter": -1}


def of(name: str) -> Measure:
    """
    What kind of figure a name stands for: a measure, a measure some quarters back, or a series of the catalogue.

    Examples
    --------
    >>> of("revenue_year_ago").value_unit, of("emissions_tonnes").value_unit, of("followers").value_unit
    ('money', 'number', 'number')
    """
    return MEASURES.get(base_of(name)[0], SERIES)


def base_of(name: str) -> tuple[str, int]:
    """
    The measure behind a name, and how many quarters back the name looks.

    Examples
    --------
    >>> base_of("revenue_year_ago"), base_of("revenue")
    (('revenue', -4), ('revenue', 0))
    """
    for suffix, quarters in LAGS.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), quarters
    return name, 0


def is_known(name: str, series: Iterable[str] = ()) -> bool:
    """Tell whether a formula may use this name: a measure or a declared series, or one with `_year_ago` or
    `_previous_quarter` behind it."""
    return base_of(name)[0] in (*MEASURES, *series)


def known(series: Iterable[str] = ()) -> list[str]:
    """All names of measures, and of these series, that a formula may use."""
    names = [*MEASURES, *series]
    return [*names, *(name + suffix for suffix in LAGS for name in names)]


def value_unit(name: str) -> str:
    """Unit of a measure: ``money`` (cents), ``count`` or ``number``."""
    return of(name).value_unit


def can_come_from(names: Iterable[str], tables: Iterable[str]) -> bool:
    """
    Tell whether each of these measures can be computed from the declared tables.

    Examples
    --------
    >>> can_come_from(["revenue", "total_members"], {"financials"}), can_come_from(["new_customers"], {"orders"})
    (True, False)
    """
    tables = set(tables)
    return all(any(tables.issuperset(needed) for needed in of(name).sources) for name in names)


def tables_needed(tables: Iterable[str]) -> list[str]:
    """Which of the declared tables the measures come from."""
    needed = {table for measure in (*MEASURES.values(), SERIES) for source in measure.sources for table in source}
    return sorted((needed | {"fx_rates"}) & set(tables))
