"""Measures: aggregates of checked tables by quarter: `measure, quarter, value, status, value_unit, currency`.

Money is in integer cents, members are counted one by one. What no table covers has status `no_figure` and no value: it
is never zero, never interpolated, and two classification bases are never chained.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction

import pandas as pd

from kpitoolkit import errors, money, parameters
from kpitoolkit.reconciliation import measures_company
from kpitoolkit.reconciliation.by_quarter import covered, is_missing, money_by_quarter, quarters_of, tidy
from kpitoolkit.reconciliation.kinds import COMPANY, LAGS, MEASURES, base_of, of

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
    "retention_cost": ("retention_marketing",),
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
    "operating_profit": "operating_income_cents",
}
OPERATING_COSTS = (
    *("cost_of_sales", "marketing_cost", "acquisition_salaries", "acquisition_tools"),
    *("retention_cost", "operating_expenses"),
)


def has_nothing_of(table: pd.DataFrame, names: Iterable[str]) -> bool:
    """
    Tell whether a unit has nothing of the kind, although the tables are declared: no row of its leads, surveys, series.

    Examples
    --------
    >>> table = pd.DataFrame({"measure": ["revenue"]})
    >>> has_nothing_of(table, ["revenue", "leads_won"]), has_nothing_of(table, ["revenue", "orders"])
    (True, False)
    """
    absent = {base_of(name)[0] for name in names} - set(table["measure"])
    return any(name not in MEASURES or name in COMPANY or name == "retention_cost" for name in absent)


def from_ledger(ledger: pd.DataFrame, accounts: Mapping[str, list[str]], currency: str) -> pd.DataFrame:
    """
    Ledger measures by period; a line without entries in a period that the ledger covers is zero. Retention cost has
    no figure where no account for it is stated: it then lies in other lines.

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
        return tidy({})
    quarters = covered(ledger["date"], 31)
    line_of = {account: line for line, stated in accounts.items() for account in stated}
    sums = (
        ledger["amount_cents"].groupby([ledger["account"].astype(str).map(line_of), ledger["period"]]).sum().to_dict()
    )
    values = {
        (measure, quarter): sum(int(sums.get((line, quarter), 0)) for line in lines)
        for measure, lines in LEDGER_LINES.items()
        for quarter in quarters
        if measure != "retention_cost" or accounts.get("retention_marketing")
    }
    for quarter in quarters:
        costs = sum(values.get((cost, quarter), 0) for cost in OPERATING_COSTS)
        values["operating_profit", quarter] = values["revenue", quarter] - costs
    return tidy(values)


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
    quarters = covered(orders["time"], 30)
    paid = orders[orders["status"] == "paid"]
    values: dict = {}
    of_row = quarters_of(paid["time"])
    gross = money_by_quarter(paid, "gross_cents", of_row, quarters, currency, fx_rates, group_currency, "orders")
    active = {quarter: set(rows) for quarter, rows in paid["customer_id"].groupby(of_row)}
    firsts = None if customers is None else quarters_of(first_paid_orders(orders, customers)["time"]).value_counts()
    for quarter in quarters:
        before = parameters.shift_quarter(quarter, -1)
        now = active.get(quarter, set())
        values["gross_orders", quarter] = gross[quarter]
        values["orders", quarter] = int((of_row == quarter).sum())
        values["active_customers", quarter] = len(now)
        values["retained_customers", quarter] = len(now & active.get(before, set())) if before in quarters else None
        if firsts is not None:
            values["new_customers", quarter] = int(firsts.get(quarter, 0))
    return tidy(values)


def from_ad_spend(
    ad_spend: pd.DataFrame, currency: str, fx_rates: pd.DataFrame | None = None, group_currency: str = "EUR"
) -> pd.DataFrame:
    """
    Spend that the platforms report, by quarter, in the unit's currency, and what they count: impressions and clicks.

    A row without a count adds nothing; a quarter without any has no figure.
    """
    quarters, of_row = covered(ad_spend["date"], 10), quarters_of(ad_spend["date"])
    spend = money_by_quarter(ad_spend, "spend_cents", of_row, quarters, currency, fx_rates, group_currency, "ad_spend")
    values: dict = {("media_spend", quarter): spend[quarter] for quarter in quarters}
    for name in ("impressions", "clicks"):
        if name in ad_spend and ad_spend[name].notna().any():
            counted = ad_spend[name].groupby(of_row).sum(min_count=1)
            values |= {(name, quarter): counted.get(quarter) for quarter in quarters}
    return tidy(values)


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
    quarters, of_row = covered(claims["conversion_time"], 30), quarters_of(claims["conversion_time"])
    value = money_by_quarter(
        claims, "value_cents", of_row, quarters, currency, fx_rates, group_currency, "platform_claims"
    )
    values: dict = {}
    known_quarters: list[str] = []
    if orders is not None and customers is not None:
        known_quarters = covered(orders["time"], 30)
        paid = orders[orders["status"] == "paid"]
        paid_in = {quarter: set(rows) for quarter, rows in paid["order_id"].groupby(quarters_of(paid["time"]))}
        firsts = first_paid_orders(orders, customers)
        first_in = {quarter: set(rows) for quarter, rows in firsts["order_id"].groupby(quarters_of(firsts["time"]))}
    for quarter in quarters:
        inside = claims[of_row == quarter]
        values["claimed_conversions", quarter] = len(inside)
        values["claimed_value", quarter] = value[quarter]
        if quarter in known_quarters:
            matched = inside["order_id"][inside["order_id"].isin(paid_in.get(quarter, set()))]
            distinct, first = set(matched), first_in.get(quarter, set())
            values["claims_without_order", quarter] = len(inside) - len(matched)
            values["duplicate_claims", quarter] = len(matched) - len(distinct)
            values["claims_of_repeat_orders", quarter] = len(distinct - first)
            values["unclaimed_first_orders", quarter] = len(first - distinct)
    return tidy(values)


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
    return tidy(values)


def compute(
    tables: Mapping[str, pd.DataFrame],
    currency: str,
    group_currency: str = "EUR",
    accounts: Mapping[str, list[str]] | None = None,
    unit_in_data: str = "",
    basis: str = "",
    timezone: str = "UTC",
    tax_rate: float = 0.24,
    cost_of_capital: float = 0.08,
    series: Mapping[str, str] | None = None,
    lifetime: pd.DataFrame | None = None,
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
    tax_rate : float
        On operating profit; a loss is reduced by it as a profit is.
    cost_of_capital : float
        A year, of invested capital.
    series : mapping, optional
        Series of `kpi_series` and how their weeks make a quarter, as the catalogue declares them.
    lifetime : DataFrame, optional
        Measures of customer lifetime value, as ``Lifetime.measures`` gives them.

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
    found += measures_company.compute(tables, currency, group_currency, cost_of_capital, series)
    found += [] if lifetime is None else [lifetime]
    found += [_after_tax_and_at_last_years_rates(frame, tax_rate) for frame in found]
    found = [frame for frame in found if len(frame)] or [tidy({})]
    joined = pd.concat(found, ignore_index=True)
    twice = joined[joined.duplicated(["measure", "quarter"])]
    if len(twice):
        names = ", ".join(sorted(set(twice["measure"])))
        raise errors.ToolkitError(f"ledger and financials both give {names}. Declare one of the two tables.")
    units = [of(name).value_unit for name in joined["measure"]]
    return joined.assign(value_unit=units, currency=[currency if unit == "money" else "" for unit in units])


def _after_tax_and_at_last_years_rates(table: pd.DataFrame, tax_rate: float) -> pd.DataFrame:
    """Operating profit after tax; and revenue under the name by which the group converts it at last year's rates."""
    kept = 1 - Fraction(str(tax_rate))
    values = {}
    for row in table[table["measure"].isin(["operating_profit", "revenue"])].itertuples(index=False):
        value = exact(row.value)
        if row.measure == "revenue":
            values["revenue_at_last_years_rates", row.quarter] = value
        else:
            values["operating_profit_after_tax", row.quarter] = None if value is None else money.convert(value, kept)
    return tidy(values)


def at(table: pd.DataFrame, quarter: str) -> dict[str, int | float | None]:
    """
    Values of all measures in one quarter, with those of the quarters that formulas look back to.

    Whole numbers are integers, which are exact; others (tonnes, series) stay as they are.

    Examples
    --------
    >>> table = pd.DataFrame({"measure": ["revenue"] * 2, "quarter": ["2025Q3", "2026Q3"], "value": [100.0, 120.0]})
    >>> found = at(table, "2026Q3")
    >>> found["revenue"], found["revenue_year_ago"], found["revenue_previous_quarter"]
    (120, 100, None)
    """
    keys = zip(table["measure"], table["quarter"], strict=True)
    by_key = {key: exact(value) for key, value in zip(keys, table["value"], strict=True)}
    found = {}
    for suffix, lag in {"": 0, **LAGS}.items():
        then = parameters.shift_quarter(quarter, lag) if lag else quarter
        for name in dict.fromkeys([*MEASURES, *table["measure"]]):
            found[name + suffix] = by_key.get((name, then))
    return found


def exact(value: object) -> int | float | None:
    """A whole number as an integer, another as it is; None where there is no figure."""
    if is_missing(value):
        return None
    return int(value) if float(value).is_integer() else float(value)
