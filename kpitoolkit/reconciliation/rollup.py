"""From units to the group: roll-up with currency and intercompany, and the units' KPIs side by side.

Sums are added up, ratios are computed again from sums and never averaged, customers are counted once. A unit without
results makes the group partial; nothing is put in its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from kpitoolkit import errors, money, parameters, plots, text
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import kinds, measures
from kpitoolkit.reconciliation.bridge import written
from kpitoolkit.reconciliation.catalogue import Catalogue

CONSOLIDATED = "Consolidated"
BOOKED = ("revenue", "cost_of_sales", "marketing_cost", "contribution_margin")


@dataclass(frozen=True, eq=False)
class RollUp:
    """
    Units' revenue to the group's own, in group currency.

    ``table`` is a bridge that begins at zero. ``lines`` has one row a measure that the group itself states: `measure,
    units_cents, intercompany_cents, consolidation_cents, computed_cents, booked_cents, unexplained_cents`. ``measures``
    are the group's own, computed from its units. ``status`` is ``ok``, ``partial`` or ``no_figure``.
    """

    table: pd.DataFrame
    lines: pd.DataFrame
    measures: pd.DataFrame
    quarter: str
    currency: str
    status: str
    missing_units: tuple[str, ...] = ()
    intercompany_revenue_cents: int = 0
    intercompany_costs_cents: int = 0

    def plot(self, ax=None, language="en"):
        """Draw the roll-up as a waterfall."""
        return plots.waterfall(self.table, ax=ax, language=language, currency=self.currency)

    def findings(self, language="en") -> list[str]:
        """Say whether the units make up the group, to the cent."""
        _ = text.translator(language)
        if self.missing_units:
            sentence = _("Partial: {units} missing. Their figures are not estimated, and the group is not compared.")
            return [sentence.format(units=", ".join(text.label(unit, language) for unit in self.missing_units))]
        if self.status == "no_figure":
            return [_("No roll-up: a unit has no revenue figure or no exchange rate for this quarter.")]
        said = []
        for row in self.lines.dropna(subset=["unexplained_cents"]).to_dict("records"):
            sentence = _("{measure}: units, intercompany and consolidation give {computed}, the group states {booked}.")
            if row["unexplained_cents"]:
                sentence += " " + _("Unexplained: {unexplained}.")
            else:
                sentence += " " + _("Nothing stays unexplained.")
            amounts = {
                name: text.compact_money(
                    row[f"{name}_cents"], self.currency, language, least=10_000_000, small_decimals=2
                )
                for name in ("computed", "booked", "unexplained")
            }
            said.append(sentence.format(measure=text.capitalised(text.label(row["measure"], language)), **amounts))
        if not said:
            said.append(_("The group states no figures of its own to compare with."))
        return said + self._intercompany(language)

    def _intercompany(self, language: str) -> list[str]:
        """What units sold one another is out of revenue; say whether it is out of their costs, too."""
        _ = text.translator(language)
        sold, bought = self.intercompany_revenue_cents, self.intercompany_costs_cents
        if not sold and not bought:
            return []
        amounts = {
            "sold": text.money(sold, self.currency, language),
            "bought": text.money(bought, self.currency, language),
            "apart": text.money(sold - bought, self.currency, language, signed=True),
        }
        if not bought:
            sentence = _(
                "What units sold one another, {sold}, is out of the group's revenue. No cost posting names the unit it "
                "was bought from, so the group's costs still hold it and its margin is lower by up to as much."
            )
        elif sold == bought:
            sentence = _("What units sold one another, {sold}, is out of the group's revenue and of its costs.")
        else:
            sentence = _(
                "What units sold one another is out of the group's revenue with {sold} and of its costs with {bought}: "
                "{apart} was not booked by both sides, or is still in stock."
            )
        return [sentence.format(**amounts)]


def group_rows(financials: pd.DataFrame, unit_in_data: str = "") -> str:
    """
    How ``financials`` calls the group: as stated, or ``Consolidated``.

    Raises
    ------
    ToolkitError
        Where neither has rows.
    """
    found = set(financials["unit"])
    for name in (unit_in_data, CONSOLIDATED):
        if name in found:
            return name
    hint = errors.suggest(unit_in_data, found)
    raise errors.ToolkitError(
        f"financials: the group has no rows as '{unit_in_data}' nor as '{CONSOLIDATED}'. State unit_in_data.{hint}"
    )


def stated_by_group(
    tables: Mapping[str, pd.DataFrame],
    accounts: Mapping[str, list[str]] | None = None,
    unit_in_data: str = "",
    basis: str = "",
    group_currency: str = "EUR",
) -> pd.DataFrame:
    """
    What the group itself states: `measure, quarter, value`; `consolidation` is what it adds to its units.

    From the ledger rows of the unit ``group`` (accounts ``group_revenue`` and ``consolidation``), or from the
    consolidated rows of ``financials``.

    Raises
    ------
    ToolkitError
        Where the group's own ledger rows are not all in its currency.
    """
    columns = ["measure", "quarter", "value"]
    if "financials" in tables:
        name = group_rows(tables["financials"], unit_in_data)
        found = measures.from_financials(tables["financials"], name, basis)
        return found.loc[found["measure"].isin(BOOKED) & found["value"].notna(), columns].reset_index(drop=True)
    if "ledger" not in tables:
        return pd.DataFrame(columns=columns)
    accounts = {**parameters.ACCOUNTS, **(accounts or {})}
    rows = tables["ledger"][tables["ledger"]["unit"] == (unit_in_data or "group")]
    _refuse_other_currencies(rows, group_currency)
    frames = []
    for measure, line in (("revenue", "group_revenue"), ("consolidation", "consolidation")):
        own = rows[rows["account"].astype(str).str.strip().isin(accounts[line])]
        sums = own.groupby("period")["amount_cents"].sum().rename("value").rename_axis("quarter").reset_index()
        frames.append(sums.assign(measure=measure)[columns])
    return pd.concat(frames, ignore_index=True)


def costs_between_units(
    ledger: pd.DataFrame | None, units: Mapping[str, str], accounts: Mapping[str, list[str]] | None = None
) -> dict[str, dict[tuple[str, str], int]]:
    """
    What each unit bought from the others: cents by measure and quarter, in the unit's currency.

    Postings on cost accounts whose ``counterparty_unit`` is another unit of the group. Without that column, or where no
    cost posting names a unit, there is nothing to eliminate costs by.

    Parameters
    ----------
    ledger : DataFrame or None
        All units' rows.
    units : mapping
        Unit to its name in the ledger.
    accounts : mapping, optional

    Examples
    --------
    >>> ledger = pd.DataFrame({"unit": ["a", "a"], "period": "2026Q3", "account": ["5000", "7000"],
    ...     "amount_cents": pd.array([500, 70], "Int64"), "counterparty_unit": ["b", None]})
    >>> costs_between_units(ledger, {"a": "a", "b": "b"})
    {'a': {('cost_of_sales', '2026Q3'): 500}, 'b': {}}
    """
    if ledger is None or "counterparty_unit" not in ledger:
        return {unit: {} for unit in units}
    accounts = {**parameters.ACCOUNTS, **(accounts or {})}
    between = ledger[ledger["counterparty_unit"].isin(set(units.values())).to_numpy(dtype=bool)]
    between = between[(between["counterparty_unit"] != between["unit"]).to_numpy(dtype=bool)]
    found: dict[str, dict[tuple[str, str], int]] = {}
    for unit, name in units.items():
        own = between[(between["unit"] == name).to_numpy(dtype=bool)]
        account = own["account"].astype("string").str.strip()
        sums: dict[tuple[str, str], int] = {}
        for measure, lines in measures.LEDGER_LINES.items():
            if measure in ("revenue", "intercompany_revenue"):
                continue
            chart = {each for line in lines for each in accounts.get(line, [])}
            of_measure = own[account.isin(chart).to_numpy(dtype=bool)]
            for period, cents in of_measure.groupby("period")["amount_cents"].sum().items():
                sums[measure, str(period)] = int(cents)
        found[unit] = sums
    return found


def _refuse_other_currencies(rows: pd.DataFrame, group_currency: str) -> None:
    foreign = (rows["currency"] != group_currency).to_numpy(dtype=bool, na_value=True)
    if foreign.any():
        found = ", ".join(sorted({str(currency) for currency in rows["currency"][foreign].fillna("none")}))
        raise errors.ToolkitError(
            f"ledger: {foreign.sum()} of the group's own {len(rows)} rows are not in {group_currency} but in {found}. "
            "The group's books are kept in one currency. Convert them, or correct the parameter 'group_currency'."
        )


def in_group_currency(
    table: pd.DataFrame, fx_rates: pd.DataFrame | None, group_currency: str
) -> dict[tuple[str, str], int | float | None]:
    """
    Values of a unit's measures by measure and quarter; money at each quarter's rate, None without figure or rate.

    ``revenue_at_last_years_rates`` leaves intercompany revenue out and is converted at the rate of a year before.
    """
    found: dict[tuple[str, str], int | float | None] = {}
    rates: dict[tuple[str, str], Fraction | None] = {}
    between_units = dict(table.loc[table["measure"] == "intercompany_revenue", ["quarter", "value"]].to_numpy())
    for row in table.itertuples(index=False):
        value, then = measures.exact(row.value), row.quarter
        if value is not None and row.measure == "revenue_at_last_years_rates":
            then = parameters.shift_quarter(row.quarter, -4)
            value -= measures.exact(between_units.get(row.quarter)) or 0
        if value is not None and row.value_unit == "money":
            key = (then, row.currency)
            if key not in rates:
                rates[key] = money.rate_between(fx_rates, *key, group_currency, group_currency)
            value = None if rates[key] is None else money.convert(value, rates[key])
        found[row.measure, row.quarter] = value
    return found


def roll_up(
    units: Mapping[str, pd.DataFrame | None],
    quarter: str,
    group_currency: str = "EUR",
    fx_rates: pd.DataFrame | None = None,
    stated: pd.DataFrame | None = None,
    distinct: pd.DataFrame | None = None,
    bought: Mapping[str, Mapping[tuple[str, str], int]] | None = None,
    tax_rate: float = 0.24,
) -> RollUp:
    """
    Add units up to the group: ``sum(local x rate) - intercompany + consolidation = group``, to the cent.

    Intercompany revenue comes out of revenue; what units bought from one another comes out of costs where it is known.

    Parameters
    ----------
    units : mapping
        Saved measures of each unit (with `value_unit` and `currency`); None where a unit has no result.
    quarter : str
    group_currency : str
    fx_rates : DataFrame, optional
        Units of group currency for one of each currency, the quarter's average.
    stated : DataFrame, optional
        As ``stated_by_group`` gives it.
    distinct : DataFrame, optional
        Measures of customers counted over all units at once; without it, or where a unit is missing, the group has no
        figure for them.
    bought : mapping, optional
        As ``costs_between_units`` gives it.
    tax_rate : float
        On what the consolidation moves in operating profit; units state theirs after their own.

    Returns
    -------
    RollUp

    Examples
    --------
    >>> def unit(revenue, currency, intercompany=0):
    ...     values = {"revenue": revenue, "intercompany_revenue": intercompany}
    ...     return pd.DataFrame({"measure": list(values), "quarter": "2026Q3", "value": values.values(),
    ...                          "value_unit": "money", "currency": currency})
    >>> units = {"a": unit(5_000_000_00, "EUR", 250_000_00), "b": unit(3_000_000_00, "EUR"),
    ...          "c": unit(2_000_000_00, "GBP")}
    >>> rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["GBP"], "rate": [1.17]})
    >>> roll_up(units, "2026Q3", "EUR", rates).table.set_index("step")["amount_cents"].to_dict()
    {'a': 500000000, 'b': 300000000, 'c': 234000000, 'sum_of_units': 1034000000, 'intercompany': -25000000,
     'computed_revenue': 1009000000}
    """
    missing = tuple(unit for unit, table in units.items() if table is None)
    converted = {
        unit: in_group_currency(table, fx_rates, group_currency) for unit, table in units.items() if table is not None
    }
    own = {} if stated is None else {(m, q): int(v) for m, q, v in stated[["measure", "quarter", "value"]].to_numpy()}
    costs = _bought(units, bought or {}, fx_rates, group_currency)
    group = _group_values(converted, own, costs, tax_rate)
    lines = _lines(converted, own, group, quarter, bool(missing), costs)
    table = _revenue_bridge(converted, lines, missing, quarter)
    status = "partial" if missing else "ok" if table is not None else "no_figure"
    found = _measures_table(group, None if missing else distinct, group_currency)
    return RollUp(
        bridges.empty_table() if table is None else table,
        lines,
        found,
        quarter,
        group_currency,
        status,
        missing,
        sum(_intercompany(values, quarter) for values in converted.values()),
        sum(costs.get((measure, quarter), 0) for measure in ("cost_of_sales", "marketing_cost", "operating_expenses")),
    )


def _bought(units, bought, fx_rates, group_currency) -> dict[tuple[str, str], int]:
    """What the units that have a result bought from one another, in group currency; none where a rate is missing."""
    found: dict[tuple[str, str], int] = {}
    for unit, table in units.items():
        currency = currency_of(table)
        for (measure, quarter), cents in bought.get(unit, {}).items() if table is not None else ():
            rate = money.rate_between(fx_rates, quarter, currency, group_currency, group_currency)
            if rate is not None:
                found[measure, quarter] = found.get((measure, quarter), 0) + money.convert(cents, rate)
    return found


def _group_values(
    converted: Mapping, own: Mapping, costs: Mapping, tax_rate: float
) -> dict[tuple[str, str], int | None]:
    """
    Sums over the units by measure and quarter, revenue without intercompany and with consolidation.

    What units sell to each other is one's revenue and another's cost: profit keeps both, so that it lies above revenue
    less costs by the intercompany revenue, as far as no cost posting names the unit that it was bought from: what is
    known to be bought between units comes out of the costs.
    """
    keys = dict.fromkeys(key for values in converted.values() for key in values)
    group: dict[tuple[str, str], int | None] = {}
    for measure, quarter in keys:
        if kinds.of(measure).additive in ("distinct", "index"):
            continue
        parts = [values.get((measure, quarter)) for values in converted.values()]
        if measure == "revenue":
            parts += [-_intercompany(values, quarter) for values in converted.values()]
        if measure in ("revenue", "revenue_at_last_years_rates", "operating_profit"):
            parts.append(_consolidation(own, quarter))
        if measure == "operating_profit_after_tax":
            added = _consolidation(own, quarter)
            parts.append(None if added is None else money.convert(added, 1 - Fraction(str(tax_rate))))
        parts.append(-costs.get((measure, quarter), 0))
        group[measure, quarter] = None if any(part is None for part in parts) else sum(parts)
    return group


def _intercompany(values: Mapping, quarter: str) -> int:
    return values.get(("intercompany_revenue", quarter)) or 0


def _consolidation(own: Mapping, quarter: str) -> int | None:
    """What the group adds; None in a quarter that the group's books do not reach, though they reach others."""
    known = {then for measure, then in own if measure in ("consolidation", "revenue")}
    keeps_books = any(measure == "consolidation" for measure, _ in own)
    return own.get(("consolidation", quarter), None if keeps_books and quarter not in known else 0)


def _lines(converted, own, group, quarter, partial, costs) -> pd.DataFrame:
    rows = []
    for measure in BOOKED:
        parts = [values.get((measure, quarter)) for values in converted.values()]
        booked = own.get((measure, quarter))
        unstated = booked is None and measure != "revenue"
        if not parts or unstated or any(part is None for part in [*parts, group.get((measure, quarter))]):
            continue
        eliminated = -costs.get((measure, quarter), 0)
        if measure == "revenue":
            eliminated = -sum(_intercompany(values, quarter) for values in converted.values())
        added = _consolidation(own, quarter) if measure == "revenue" else 0
        computed = group[measure, quarter]
        left = None if booked is None or partial else booked - computed
        rows.append((measure, sum(parts), eliminated, added, computed, None if partial else booked, left))
    columns = ["units", "intercompany", "consolidation", "computed", "booked", "unexplained"]
    frame = pd.DataFrame(rows, columns=["measure", *(f"{name}_cents" for name in columns)])
    return frame.astype({f"{name}_cents": "Int64" for name in columns})


def _revenue_bridge(converted, lines, missing, quarter) -> pd.DataFrame | None:
    revenue = lines[lines["measure"] == "revenue"]
    if not len(revenue):
        return None
    line = revenue.iloc[0]
    rows = [(unit, "step", values["revenue", quarter]) for unit, values in converted.items()]
    rows += [(unit, "not_examined", None) for unit in missing]
    rows.append(("sum_of_units", "total", line["units_cents"]))
    rows += [
        (step, "step", line[f"{step}_cents"])
        for step in ("intercompany", "consolidation")
        if line[f"{step}_cents"] != 0
    ]
    if len(rows) > len(converted) + len(missing) + 1:
        rows.append(("computed_revenue", "total", line["computed_cents"]))
    if not pd.isna(line["booked_cents"]):
        rows.append(("unexplained", "unexplained", line["unexplained_cents"]))
        rows.append(("group_revenue", "total", line["booked_cents"]))
    frame = pd.DataFrame(rows, columns=["step", "kind", "amount_cents"]).astype({"amount_cents": "Int64"})
    frame.insert(0, "position", range(len(frame)))
    return frame


def _measures_table(group: Mapping, distinct: pd.DataFrame | None, currency: str) -> pd.DataFrame:
    rows = [(measure, quarter, value) for (measure, quarter), value in group.items()]
    frame = pd.DataFrame(rows, columns=["measure", "quarter", "value"])
    frame["value"] = [np.nan if value is None else float(value) for value in frame["value"]]
    if distinct is not None:
        counted = distinct[distinct["measure"].map(lambda name: kinds.of(name).additive == "distinct")]
        frame = pd.concat([frame, counted[["measure", "quarter", "value"]]], ignore_index=True)
    frame["status"] = np.where(frame["value"].isna(), "no_figure", "ok")
    frame["value_unit"] = [kinds.of(name).value_unit for name in frame["measure"]]
    frame["currency"] = [currency if unit == "money" else "" for unit in frame["value_unit"]]
    return frame


def customers_of_all_units(
    tables: Mapping[str, pd.DataFrame],
    group_currency: str,
    fx_rates: pd.DataFrame | None = None,
    timezone: str = "UTC",
) -> pd.DataFrame | None:
    """Measures of orders over all units at once, where each customer counts once, by the days of the group's time zone.

    None without orders.
    """
    if "orders" not in tables:
        return None
    orders = tables["orders"].assign(time=parameters.local_time(tables["orders"]["time"], timezone))
    return measures.from_orders(orders, tables.get("customers"), group_currency, fx_rates, group_currency)


def currency_of(table: pd.DataFrame | None) -> str:
    """The currency of a unit's measures."""
    found = [] if table is None else table.loc[table["value_unit"] == "money", "currency"].unique()
    return str(found[0]) if len(found) else ""


def by_unit(
    cards: Mapping[str, pd.DataFrame | None],
    catalogue: Catalogue,
    units: Mapping[str, pd.DataFrame | None],
    language: str = "en",
) -> tuple[pd.DataFrame, dict[str, list[str] | str]]:
    """
    KPIs in rows, units in columns, finance basis where there is one; each money figure in its unit's own currency.

    Parameters
    ----------
    cards : mapping
        Saved `reconciliation_kpis` of each unit; None where a unit has no result.
    catalogue : Catalogue
        Gives the order and the names.
    units : mapping
        Saved measures of each unit, which tell its currency.
    language : str

    Returns
    -------
    DataFrame, dict
        For ``pages.table``: the table, and one format a column or a cell.
    """
    _ = text.translator(language)
    columns: dict[str, dict[str, tuple[object, str]]] = {unit: {} for unit in cards}
    for unit, card in cards.items():
        for row in [] if card is None else card.sort_values("basis", kind="stable").to_dict("records"):
            figure, form = row["actual"], bridges.FORMATS[row["value_unit"]]
            if row["status"] == "not_meaningful":
                figure, form = _("n/m"), "text"
            elif row["value_unit"] in ("money", "money_per_unit"):
                figure, form = written(figure, row["value_unit"], language, currency_of(units.get(unit))), "text"
            columns[unit].setdefault(row["kpi"], (figure, form))
    listed = [kpi for kpi in catalogue.kpis if any(kpi.id in figures for figures in columns.values())]
    frame = pd.DataFrame({"kpi": [getattr(kpi.name, language) for kpi in listed]})
    formats: dict[str, list[str] | str] = {"kpi": "text"}
    for unit, figures in columns.items():
        cells = [figures.get(kpi.id, (None, "number0")) for kpi in listed]
        frame[unit] = pd.Series([figure for figure, _form in cells], dtype=object)
        formats[unit] = [form for _figure, form in cells]
    return frame, formats
