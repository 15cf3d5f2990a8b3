"""Measures: aggregates of checked tables by quarter: `measure, quarter, value, status, value_unit, currency`.

Money is in integer cents, members are counted one by one. What no table covers has status `no_figure` and no value: it
is never zero, never interpolated, and two classification bases are never chained.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit import errors, money, parameters
from kpitoolkit.reconciliation import ledger as books


@dataclass(frozen=True)
class Measure:
    """What kind of figure a measure is, and the tables it can come from (each alternative needs all of its tables)."""

    value_unit: str
    additive: str
    sources: tuple[tuple[str, ...], ...]


def _flow(*sources: tuple[str, ...], unit: str = "money", additive: str = "flow") -> Measure:
    return Measure(unit, additive, sources)


_LEDGER, _FINANCIALS, _ORDERS = ("ledger",), ("financials",), ("orders",)
_CLAIMS = ("platform_claims", "orders", "customers")

MEASURES: dict[str, Measure] = {
    "revenue": _flow(_LEDGER, _FINANCIALS),
    "cost_of_sales": _flow(_LEDGER, _FINANCIALS),
    "marketing_cost": _flow(_LEDGER, _FINANCIALS),
    "operating_expenses": _flow(_LEDGER, _FINANCIALS),
    "media_cost": _flow(_LEDGER),
    "agency_fees": _flow(_LEDGER),
    "rebates": _flow(_LEDGER),
    "marketing_accruals": _flow(_LEDGER),
    "acquisition_salaries": _flow(_LEDGER),
    "acquisition_tools": _flow(_LEDGER),
    "intercompany_revenue": _flow(_LEDGER),
    "contribution_margin": _flow(_FINANCIALS),
    "gross_orders": _flow(_ORDERS),
    "orders": _flow(_ORDERS, unit="count"),
    "active_customers": _flow(_ORDERS, unit="count", additive="distinct"),
    "retained_customers": _flow(_ORDERS, unit="count", additive="distinct"),
    "new_customers": _flow(("orders", "customers"), unit="count", additive="distinct"),
    "media_spend": _flow(("ad_spend",)),
    "claimed_value": _flow(("platform_claims",)),
    "claimed_conversions": _flow(("platform_claims",), unit="count"),
    "claims_without_order": _flow(_CLAIMS, unit="count"),
    "duplicate_claims": _flow(_CLAIMS, unit="count"),
    "claims_of_repeat_orders": _flow(_CLAIMS, unit="count", additive="distinct"),
    "unclaimed_first_orders": _flow(_CLAIMS, unit="count", additive="distinct"),
    "paid_members": _flow(_FINANCIALS, unit="count", additive="stock"),
    "total_members": _flow(_FINANCIALS, unit="count", additive="stock"),
    "net_added_members": _flow(_FINANCIALS, unit="count"),
    "net_added_paid_members": _flow(_FINANCIALS, unit="count"),
}
LAGS = {"_year_ago": -4, "_previous_quarter": -1}
LEDGER_LINES = {
    "revenue": parameters.REVENUE_LINES,
    "cost_of_sales": ("cost_of_sales",),
    "marketing_cost": parameters.MARKETING_LINES,
    "operating_expenses": ("operating_expenses",),
    "media_cost": ("media",),
    "agency_fees": ("agency_fees",),
    "rebates": ("rebates",),
    "marketing_accruals": ("marketing_accruals",),
    "acquisition_salaries": ("acquisition_salaries",),
    "acquisition_tools": ("acquisition_tools",),
    "intercompany_revenue": ("intercompany",),
}
FINANCIALS_COLUMNS = {
    "revenue": "revenue_cents",
    "cost_of_sales": "cost_of_revenue_cents",
    "marketing_cost": "marketing_cost_cents",
    "operating_expenses": "other_operating_expenses_cents",
    "contribution_margin": "contribution_margin_cents",
    "paid_members": "paid_members_thousand",
    "total_members": "total_members_thousand",
}


def is_missing(value: object) -> bool:
    """Tell whether there is no figure."""
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def base_of(name: str) -> tuple[str, int]:
    """
    The measure behind a name, and how many quarters back the name looks.

    Examples
    --------
    >>> base_of("revenue_year_ago"), base_of("revenue")
    (('revenue', -4), ('revenue', 0))
    """
    for suffix, quarters in LAGS.items():
        if name.endswith(suffix) and name.removesuffix(suffix) in MEASURES:
            return name.removesuffix(suffix), quarters
    return name, 0


def is_known(name: str) -> bool:
    """Tell whether a formula may use this name: a measure, or one with `_year_ago` or `_previous_quarter` behind it."""
    return base_of(name)[0] in MEASURES


def known() -> list[str]:
    """All names of measures that a formula may use."""
    return [*MEASURES, *(name + suffix for suffix in LAGS for name in MEASURES)]


def value_unit(name: str) -> str:
    """Unit of a measure: ``money`` (cents) or ``count``."""
    return MEASURES[base_of(name)[0]].value_unit


def can_come_from(names: Iterable[str], tables: Iterable[str]) -> bool:
    """
    Tell whether each of these measures can be computed from the declared tables.

    Examples
    --------
    >>> can_come_from(["revenue", "total_members"], {"financials"}), can_come_from(["new_customers"], {"orders"})
    (True, False)
    """
    tables = set(tables)
    return all(any(tables.issuperset(needed) for needed in MEASURES[base_of(name)[0]].sources) for name in names)


def tables_needed(tables: Iterable[str]) -> list[str]:
    """Which of the declared tables the measures come from."""
    needed = {table for measure in MEASURES.values() for source in measure.sources for table in source}
    return sorted((needed | {"fx_rates"}) & set(tables))


def _quarters(times: pd.Series) -> pd.Series:
    return times.dt.to_period("Q").astype(str)


def _covered(times: pd.Series, slack_days: int) -> list[str]:
    """Quarters that the rows cover, without a first or last one of which more than ``slack_days`` are not there."""
    if not len(times):
        return []
    first, last = times.min(), times.max()
    slack = pd.Timedelta(days=slack_days)
    quarters = pd.period_range(first, last, freq="Q")
    return [str(q) for q in quarters if q.start_time + slack >= first and q.end_time - slack <= last]


def _tidy(values: Mapping[tuple[str, str], object]) -> pd.DataFrame:
    rows = [(measure, quarter, value) for (measure, quarter), value in values.items()]
    frame = pd.DataFrame(rows, columns=["measure", "quarter", "value"])
    frame["value"] = [np.nan if is_missing(value) else float(value) for value in frame["value"]]
    frame["status"] = np.where(frame["value"].isna(), "no_figure", "ok")
    return frame


def _money_by_quarter(frame, column, quarters, currency, fx_rates, group_currency, where) -> dict[str, int | None]:
    """Cents by quarter in one currency, converted row by row as the bridges do; None where a rate is missing."""
    rated = set() if fx_rates is None else set(fx_rates["currency"])
    unknown = sorted(set(frame["currency"]) - rated - {currency, group_currency})
    if unknown:
        raise errors.ToolkitError(f"{where}: currency {', '.join(unknown)} has no rate. Add it to fx_rates.")
    found: dict[str, int | None] = dict.fromkeys(quarters, 0)
    for quarter, rows in frame.groupby(_quarters(frame["_time"])):
        if quarter in found:
            sources = rows["currency"].unique()
            into = {name: money.rate_between(fx_rates, quarter, name, currency, group_currency) for name in sources}
            missing = None in into.values()
            found[quarter] = None if missing else int(books.converted(rows[column], rows["currency"], into).sum())
    return found


def from_ledger(ledger: pd.DataFrame, accounts: Mapping[str, list[str]], currency: str) -> pd.DataFrame:
    """
    Ledger measures by period; a line without entries in a period that the ledger covers is zero.

    The entries' days tell what the ledger covers: a first or last quarter of which more than a month is not there has
    no figure. A month is allowed, because books kept by month may date all of it on its first or on its last day.

    Parameters
    ----------
    ledger : DataFrame
        Rows of one unit.
    accounts : mapping
        Accounts of each line, as the parameters state them.
    currency : str
        The unit's currency; the ledger is kept in it.

    Raises
    ------
    ToolkitError
        Where the ledger holds another currency.
    """
    foreign = sorted(set(ledger["currency"]) - {currency})
    if foreign:
        raise errors.ToolkitError(
            f"ledger: entries in {', '.join(foreign)} where the unit keeps its books in {currency}. "
            "Check the parameter 'currency'."
        )
    if not len(ledger):
        return _tidy({})
    quarters = _covered(ledger["date"], 31)
    line_of = {account: line for line, stated in accounts.items() for account in stated}
    sums = (
        ledger["amount_cents"].groupby([ledger["account"].astype(str).map(line_of), ledger["period"]]).sum().to_dict()
    )
    return _tidy(
        {
            (measure, quarter): sum(int(sums.get((line, quarter), 0)) for line in lines)
            for measure, lines in LEDGER_LINES.items()
            for quarter in quarters
        }
    )


def first_paid_orders(orders: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    """
    First paid order of each customer who is new: the customers' table dates no first order before the orders begin.

    A customer whose first order was cancelled is new with the first order that was paid.
    """
    paid = orders[orders["status"] == "paid"].sort_values(["time", "order_id"], kind="stable")
    first = paid.drop_duplicates("customer_id")[["order_id", "customer_id", "time"]]
    if not len(first):
        return first
    begin = orders["time"].min().normalize()
    dated = customers.drop_duplicates("customer_id").set_index("customer_id")["first_order_date"]
    known_since = first["customer_id"].map(dated)
    return first[~(known_since < begin)]


def from_orders(
    orders: pd.DataFrame,
    customers: pd.DataFrame | None,
    currency: str,
    fx_rates: pd.DataFrame | None = None,
    group_currency: str = "EUR",
) -> pd.DataFrame:
    """
    Paid orders, their gross value, and distinct customers by quarter.

    ``active_customers`` paid an order in the quarter, ``retained_customers`` in this and in the previous one,
    ``new_customers`` paid their first.
    """
    quarters = _covered(orders["time"], 30)
    paid = orders[orders["status"] == "paid"].assign(_time=lambda f: f["time"])
    values: dict = {}
    gross = _money_by_quarter(paid, "gross_cents", quarters, currency, fx_rates, group_currency, "orders")
    of_row = _quarters(paid["time"])
    active = {quarter: set(rows) for quarter, rows in paid["customer_id"].groupby(of_row)}
    firsts = None if customers is None else _quarters(first_paid_orders(orders, customers)["time"]).value_counts()
    for quarter in quarters:
        before = parameters.shift_quarter(quarter, -1)
        now = active.get(quarter, set())
        values["gross_orders", quarter] = gross[quarter]
        values["orders", quarter] = int((of_row == quarter).sum())
        values["active_customers", quarter] = len(now)
        values["retained_customers", quarter] = len(now & active.get(before, set())) if before in quarters else None
        if firsts is not None:
            values["new_customers", quarter] = int(firsts.get(quarter, 0))
    return _tidy(values)


def from_ad_spend(
    ad_spend: pd.DataFrame, currency: str, fx_rates: pd.DataFrame | None = None, group_currency: str = "EUR"
) -> pd.DataFrame:
    """Spend that the platforms report, by quarter, in the unit's currency."""
    quarters = _covered(ad_spend["date"], 10)
    frame = ad_spend.assign(_time=ad_spend["date"])
    spend = _money_by_quarter(frame, "spend_cents", quarters, currency, fx_rates, group_currency, "ad_spend")
    return _tidy({("media_spend", quarter): spend[quarter] for quarter in quarters})


def from_claims(
    claims: pd.DataFrame,
    orders: pd.DataFrame | None,
    customers: pd.DataFrame | None,
    currency: str,
    fx_rates: pd.DataFrame | None = None,
    group_currency: str = "EUR",
) -> pd.DataFrame:
    """
    What platforms claim, by quarter of the conversion, and how far it is from new customers.

    ``claimed_conversions - claims_without_order - duplicate_claims - claims_of_repeat_orders + unclaimed_first_orders``
    are the quarter's new customers, exactly: a claim without a paid order of the quarter; a second claim of one order;
    a claimed order that is not its customer's first; a first order that no platform claims.
    """
    quarters = _covered(claims["conversion_time"], 30)
    frame = claims.assign(_time=claims["conversion_time"])
    value = _money_by_quarter(frame, "value_cents", quarters, currency, fx_rates, group_currency, "platform_claims")
    of_row = _quarters(claims["conversion_time"])
    values: dict = {}
    covered = []
    if orders is not None and customers is not None:
        covered = _covered(orders["time"], 30)
        paid = orders[orders["status"] == "paid"]
        paid_in = {quarter: set(rows) for quarter, rows in paid["order_id"].groupby(_quarters(paid["time"]))}
        firsts = first_paid_orders(orders, customers)
        first_in = {quarter: set(rows) for quarter, rows in firsts["order_id"].groupby(_quarters(firsts["time"]))}
    for quarter in quarters:
        inside = claims[of_row == quarter]
        values["claimed_conversions", quarter] = len(inside)
        values["claimed_value", quarter] = value[quarter]
        if quarter in covered:
            matched = inside["order_id"][inside["order_id"].isin(paid_in.get(quarter, set()))]
            distinct, first = set(matched), first_in.get(quarter, set())
            values["claims_without_order", quarter] = len(inside) - len(matched)
            values["duplicate_claims", quarter] = len(matched) - len(distinct)
            values["claims_of_repeat_orders", quarter] = len(distinct - first)
            values["unclaimed_first_orders", quarter] = len(first - distinct)
    return _tidy(values)


def from_financials(financials: pd.DataFrame, unit_in_data: str, basis: str) -> pd.DataFrame:
    """
    Figures of one unit on one classification basis; what several filings print must agree.

    Rounded rows are left out. Members added are this quarter's less the previous one's, where both are there.

    Parameters
    ----------
    financials : DataFrame
    unit_in_data, basis : str

    Raises
    ------
    Faults
        Where no row is on the basis, or two filings of one basis print different figures.
    """
    rows = financials[(financials["unit"] == unit_in_data) & ~financials["rounded"].astype(bool)]
    if basis not in set(rows["basis"]):
        known_bases = sorted(set(rows["basis"]))
        hint = errors.suggest(basis, known_bases)
        raise errors.ToolkitError(
            f"financials: '{unit_in_data}' has no rows on basis '{basis}'. "
            f"State one of {', '.join(known_bases) or 'its bases'} as the parameter 'basis'.{hint}"
        )
    rows = rows[rows["basis"] == basis]
    quarters = [str(q) for q in pd.period_range(rows["quarter"].min(), rows["quarter"].max(), freq="Q")]
    values: dict = {}
    faults = []
    for measure, column in FINANCIALS_COLUMNS.items():
        if column not in rows:
            continue
        seen = rows.dropna(subset=[column])
        for quarter in quarters:
            printed = seen[seen["quarter"] == quarter]
            figures = list(dict.fromkeys(printed[column].tolist()))
            if len(figures) > 1:
                faults.append(
                    f"{quarter}, {unit_in_data}, basis {basis}: filings {', '.join(printed['filing'])} print "
                    f"{len(figures)} different figures of {column}. State which basis each of them follows."
                )
            scale = 1000 if column.endswith("_thousand") else 1
            values[measure, quarter] = int(figures[0]) * scale if figures else None
    if faults:
        raise errors.Faults("financials", faults)
    for stock, added in (("total_members", "net_added_members"), ("paid_members", "net_added_paid_members")):
        for quarter in quarters:
            now, then = values.get((stock, quarter)), values.get((stock, parameters.shift_quarter(quarter, -1)))
            values[added, quarter] = None if now is None or then is None else now - then
    return _tidy(values)


def compute(
    tables: Mapping[str, pd.DataFrame],
    currency: str,
    group_currency: str = "EUR",
    accounts: Mapping[str, list[str]] | None = None,
    unit_in_data: str = "",
    basis: str = "",
    timezone: str = "UTC",
) -> pd.DataFrame:
    """
    All measures that the tables of one unit allow.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        As ``tables.read`` gives them, rows of one unit (``financials`` may hold all).
    currency, group_currency : str
    accounts : mapping, optional
        Ledger accounts by line; lines that are not stated keep the sample's chart.
    unit_in_data, basis : str
        Needed with ``financials``.
    timezone : str
        Of the unit's calendar days; times of orders and claims are UTC.

    Returns
    -------
    DataFrame
        `measure, quarter, value, status, value_unit, currency`, one row a measure and quarter that some table covers.
    """
    accounts = {**parameters.ACCOUNTS, **(accounts or {})}
    rates = tables.get("fx_rates")
    tables = dict(tables)
    for name, column in (("orders", "time"), ("platform_claims", "conversion_time")):
        if name in tables:
            local = parameters.local_time(tables[name][column], timezone)
            tables[name] = tables[name].assign(**{column: local})
    found = []
    if "ledger" in tables:
        found.append(from_ledger(tables["ledger"], accounts, currency))
    if "orders" in tables:
        found.append(from_orders(tables["orders"], tables.get("customers"), currency, rates, group_currency))
    if "ad_spend" in tables:
        found.append(from_ad_spend(tables["ad_spend"], currency, rates, group_currency))
    if "platform_claims" in tables:
        orders, customers = tables.get("orders"), tables.get("customers")
        found.append(from_claims(tables["platform_claims"], orders, customers, currency, rates, group_currency))
    if "financials" in tables:
        found.append(from_financials(tables["financials"], unit_in_data, basis))
    found = [frame for frame in found if len(frame)] or [_tidy({})]
    joined = pd.concat(found, ignore_index=True)
    twice = joined[joined.duplicated(["measure", "quarter"])]
    if len(twice):
        names = ", ".join(sorted(set(twice["measure"])))
        raise errors.ToolkitError(f"ledger and financials both give {names}. Declare one of the two tables.")
    units = [MEASURES[name].value_unit for name in joined["measure"]]
    return joined.assign(value_unit=units, currency=[currency if unit == "money" else "" for unit in units])


def at(table: pd.DataFrame, quarter: str) -> dict[str, int | None]:
    """
    Values of all measures in one quarter, with those of the quarters that formulas look back to.

    Examples
    --------
    >>> table = pd.DataFrame({"measure": ["revenue"] * 2, "quarter": ["2025Q3", "2026Q3"], "value": [100.0, 120.0]})
    >>> found = at(table, "2026Q3")
    >>> found["revenue"], found["revenue_year_ago"], found["revenue_previous_quarter"]
    (120, 100, None)
    """
    keys = zip(table["measure"], table["quarter"], strict=True)
    by_key = {key: None if is_missing(value) else int(value) for key, value in zip(keys, table["value"], strict=True)}
    found = {}
    for suffix, lag in {"": 0, **LAGS}.items():
        then = parameters.shift_quarter(quarter, lag) if lag else quarter
        for name in MEASURES:
            found[name + suffix] = by_key.get((name, then))
    return found
