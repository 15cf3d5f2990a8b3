"""The contracts of the input tables: columns, kinds, rules and keys, as plain data; pandera checks them.

``kind`` says how a file's value becomes a value in memory: money becomes integer cents under ``<name>_cents``, times
become UTC without zone, ids are masked in messages. The schemas are built when a table is checked: a run in which
nothing changed reads no table, and loads no library for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

GROUP_UNIT = "group"


@dataclass(frozen=True, eq=False)
class Rule:
    """What must hold of a column's values, or of a table's rows: one of pandera's checks by its name, or a function."""

    error: str
    check: "str | Callable[[pd.Series | pd.DataFrame], pd.Series]"
    bounds: tuple = ()

    def built(self) -> "pa.Check":
        """Return pandera's form of it."""
        import pandera.pandas as pa

        if isinstance(self.check, str):
            return getattr(pa.Check, self.check)(*self.bounds, error=self.error)
        return pa.Check(self.check, error=self.error)


@dataclass(frozen=True, eq=False)
class Column:
    """One column as it is in files: its kind, the rules of its values, whether it may be empty or be missing."""

    kind: str
    rules: tuple[Rule, ...] = ()
    nullable: bool = False
    required: bool = True


@dataclass(frozen=True, eq=False)
class Contract:
    """One table: its columns (as in files), the rules of its rows, its key, and whether a unit may have no rows."""

    columns: dict[str, Column]
    rules: tuple[Rule, ...] = ()
    key: tuple[str, ...] = ()
    may_be_empty: bool = False

    @cached_property
    def schema(self) -> "pa.DataFrameSchema":
        """Pandera's schema of the table, columns named as in files."""
        return self._schema({name: name for name in self.columns})

    @cached_property
    def schema_in_memory(self) -> "pa.DataFrameSchema":
        """The same schema under the names that columns have in memory."""
        return self._schema({name: memory_name(name, column.kind) for name, column in self.columns.items()})

    def _schema(self, names: dict[str, str]) -> "pa.DataFrameSchema":
        import pandera.pandas as pa

        columns = {
            names[name]: pa.Column(
                nullable=column.nullable, required=column.required, checks=[rule.built() for rule in column.rules]
            )
            for name, column in self.columns.items()
        }
        return pa.DataFrameSchema(columns, checks=[rule.built() for rule in self.rules])


def kind_of(contract: Contract, name: str) -> str:
    """Return the kind of a column of a contract."""
    return contract.columns[name].kind


def memory_name(name: str, kind: str) -> str:
    """Return the name of a column in memory: money carries its unit.

    Examples
    --------
    >>> memory_name("gross", "money")
    'gross_cents'
    """
    return f"{name}_cents" if kind == "money" else name


def _column(kind: str, *rules: Rule, empty: bool = False, absent: bool = False) -> Column:
    return Column(kind, rules, nullable=empty or absent, required=not absent)


def _one_of(*values: str) -> Rule:
    return Rule("one of " + ", ".join(values), "isin", (list(values),))


_NOT_NEGATIVE = Rule("0 or more (credits are invoices of kind rebate, refunds are returns)", "ge", (0,))
_SPEND = Rule("0 or more (empty, or 0, where the test compares with no spend)", "ge", (0,))
_POSITIVE = Rule("above 0", "gt", (0,))
_LEVEL = Rule("the level of an interval, 0.5 to 0.999 (0.9 for 90%)", "in_range", (0.5, 0.999))
_COUNT = Rule("0 or more", "ge", (0,))
_SUNDAY = Rule("a Sunday (the last day of an ISO week)", lambda day: day.dt.day_of_week == 6)
_TABLE = Rule("a table's name", lambda name: name.isin(list(CONTRACTS)))


def _never(error: str, found: "Callable[[pd.DataFrame], pd.Series]") -> Rule:
    """A rule over several columns of a row: what must not be found. A value that is missing breaks none."""
    return Rule(error, lambda frame: ~found(frame).fillna(False).astype(bool))


def _not_before(later: str, earlier: str) -> Rule:
    return _never(f"{later} before {earlier}", lambda frame: frame[later] < frame[earlier])


CONTRACTS: dict[str, Contract] = {
    "ad_spend": Contract(
        {
            "date": _column("date"),
            "unit": _column("text"),
            "platform": _column("text"),
            "campaign": _column("text"),
            "spend": _column("money", _NOT_NEGATIVE),
            "currency": _column("currency"),
            "impressions": _column("integer", _NOT_NEGATIVE, absent=True),
            "clicks": _column("integer", _NOT_NEGATIVE, absent=True),
        },
        key=("date", "unit", "platform", "campaign"),
    ),
    "touchpoints": Contract(
        {
            "user_id": _column("id"),
            "time": _column("time"),
            "unit": _column("text"),
            "channel": _column("text"),
            "campaign": _column("text", absent=True),
        },
    ),
    "orders": Contract(
        {
            "order_id": _column("id"),
            "unit": _column("text"),
            "customer_id": _column("id"),
            "time": _column("time"),
            "gross": _column("money", _NOT_NEGATIVE),
            "vat": _column("money", _NOT_NEGATIVE),
            "shipping": _column("money", _NOT_NEGATIVE),
            "discount": _column("money", _NOT_NEGATIVE),
            "supplier_share": _column("money", _NOT_NEGATIVE),
            "currency": _column("currency"),
            "status": _column("text", _one_of("paid", "cancelled")),
            "recognition_date": _column("date", empty=True),
            "cost": _column("money", _NOT_NEGATIVE),
        },
        key=("order_id",),
    ),
    "customers": Contract(
        {"customer_id": _column("id"), "unit": _column("text"), "first_order_date": _column("date", empty=True)},
        key=("customer_id",),
    ),
    "platform_claims": Contract(
        {
            "claim_id": _column("id"),
            "unit": _column("text"),
            "platform": _column("text"),
            "order_id": _column("id", empty=True),
            "touch_time": _column("time", empty=True),
            "conversion_time": _column("time"),
            "kind": _column("text", _one_of("click", "view")),
            "value": _column("money", _NOT_NEGATIVE),
            "currency": _column("currency"),
        },
        key=("claim_id",),
        may_be_empty=True,
    ),
    "returns": Contract(
        {
            "return_id": _column("id"),
            "unit": _column("text"),
            "order_id": _column("id"),
            "date": _column("date"),
            "amount": _column("money", _NOT_NEGATIVE),
            "currency": _column("currency"),
        },
        key=("return_id",),
        may_be_empty=True,
    ),
    "ledger": Contract(
        {
            "line": _column("text"),
            "date": _column("date"),
            "period": _column("quarter"),
            "unit": _column("text"),
            "account": _column("text"),
            "amount": _column("money"),
            "currency": _column("currency"),
            "counterparty_unit": _column("text", absent=True),
            "text": _column("text", absent=True),
        },
        key=("line",),
    ),
    "invoices": Contract(
        {
            "invoice_id": _column("id"),
            "unit": _column("text"),
            "platform": _column("text"),
            "date": _column("date"),
            "service_month": _column("month"),
            "kind": _column("text", _one_of("media", "fee", "rebate")),
            "net": _column("money"),
            "vat": _column("money"),
            "currency": _column("currency"),
        },
        key=("invoice_id",),
        may_be_empty=True,
    ),
    "controls": Contract(
        {
            "week_end": _column("date", _SUNDAY),
            "unit": _column("text"),
            "price_index": _column("number", _POSITIVE),
            "promotion_days": _column("integer", Rule("days of a week, 0 to 7", "in_range", (0, 7))),
            "holiday_days": _column("integer", Rule("days of a week, 0 to 7", "in_range", (0, 7))),
        },
        key=("week_end", "unit"),
        may_be_empty=True,
    ),
    "lift_tests": Contract(
        {
            "unit": _column("text"),
            "channel": _column("text"),
            "first_day": _column("date"),
            "last_day": _column("date"),
            "iroas": _column("number"),
            "low": _column("number"),
            "high": _column("number"),
            "compared_spend": _column("money", _SPEND, absent=True),
            "level": _column("number", _LEVEL, absent=True),
            "source": _column("text", absent=True),
        },
        key=("unit", "channel", "first_day", "last_day"),
        may_be_empty=True,
    ),
    "targets": Contract(
        {
            "unit": _column("text"),
            "quarter": _column("quarter"),
            "kpi": _column("text"),
            "version": _column("integer", _POSITIVE),
            "value": _column("number"),
        },
        key=("unit", "quarter", "kpi", "version"),
        may_be_empty=True,
    ),
    "fx_rates": Contract(
        {"quarter": _column("quarter"), "currency": _column("currency"), "rate": _column("number", _POSITIVE)},
        key=("quarter", "currency"),
    ),
    "web_sessions": Contract(
        {
            "week_end": _column("date", _SUNDAY),
            "unit": _column("text"),
            "sessions": _column("integer", _COUNT),
            "bot_sessions": _column("integer", _COUNT),
            "unconsented_sessions": _column("integer", _COUNT),
            "prospect_sessions": _column("integer", _COUNT),
        },
        rules=(
            _never(
                "bot_sessions + unconsented_sessions + prospect_sessions above sessions",
                lambda frame: (
                    frame[["bot_sessions", "unconsented_sessions", "prospect_sessions"]].sum(axis=1) > frame["sessions"]
                ),
            ),
        ),
        key=("week_end", "unit"),
        may_be_empty=True,
    ),
    "leads": Contract(
        {
            "lead_id": _column("id"),
            "unit": _column("text"),
            "created": _column("date"),
            "qualified": _column("date", empty=True),
            "accepted": _column("date", empty=True),
            "won": _column("date", empty=True),
            "value": _column("money", _COUNT, empty=True),
            "currency": _column("currency"),
        },
        rules=(
            _not_before("qualified", "created"),
            _not_before("accepted", "created"),
            _not_before("won", "created"),
            _not_before("won", "accepted"),
        ),
        key=("lead_id",),
        may_be_empty=True,
    ),
    "surveys": Contract(
        {
            "date": _column("date"),
            "unit": _column("text"),
            "survey": _column("text", _one_of("nps", "brand", "employees")),
            "invited": _column("integer", _COUNT),
            "answers": _column("integer", _COUNT),
            "positive": _column("integer", _COUNT),
            "negative": _column("integer", _COUNT),
        },
        rules=(
            _never("answers above invited", lambda frame: frame["answers"] > frame["invited"]),
            _never(
                "positive + negative above answers",
                lambda frame: frame["positive"] + frame["negative"] > frame["answers"],
            ),
            _never(
                "negative above 0 in a survey other than nps",
                lambda frame: (frame["negative"] > 0) & (frame["survey"] != "nps"),
            ),
        ),
        key=("date", "unit", "survey"),
        may_be_empty=True,
    ),
    "hr": Contract(
        {
            "quarter": _column("quarter"),
            "unit": _column("text"),
            "headcount_start": _column("integer", _COUNT),
            "headcount_end": _column("integer", _COUNT),
            "leavers": _column("integer", _COUNT),
        },
        key=("quarter", "unit"),
        may_be_empty=True,
    ),
    "market": Contract(
        {
            "quarter": _column("quarter"),
            "unit": _column("text"),
            "own_sellout": _column("money", _COUNT),
            "market_sellout": _column("money", _COUNT),
            "currency": _column("currency"),
        },
        rules=(
            _never(
                "own_sellout above market_sellout",
                lambda frame: (
                    frame[memory_name("own_sellout", "money")] > frame[memory_name("market_sellout", "money")]
                ),
            ),
        ),
        key=("quarter", "unit"),
        may_be_empty=True,
    ),
    "products": Contract(
        {
            "quarter": _column("quarter"),
            "unit": _column("text"),
            "product": _column("text"),
            "launched": _column("date"),
            "revenue": _column("money"),
            "currency": _column("currency"),
        },
        key=("quarter", "unit", "product"),
        may_be_empty=True,
    ),
    "emissions": Contract(
        {
            "quarter": _column("quarter"),
            "unit": _column("text"),
            "scope": _column("integer", Rule("a scope: 1, 2 or 3", "isin", ([1, 2, 3],))),
            "tonnes": _column("number", _COUNT),
        },
        key=("quarter", "unit", "scope"),
        may_be_empty=True,
    ),
    "capital": Contract(
        {
            "quarter": _column("quarter"),
            "unit": _column("text"),
            "invested_capital": _column("money", _POSITIVE),
            "currency": _column("currency"),
        },
        key=("quarter", "unit"),
        may_be_empty=True,
    ),
    "kpi_series": Contract(
        {
            "week_end": _column("date", _SUNDAY),
            "unit": _column("text"),
            "kpi": _column("text"),
            "value": _column("number"),
        },
        key=("week_end", "unit", "kpi"),
        may_be_empty=True,
    ),
    "promises": Contract(
        {
            "promise_id": _column("text"),
            "unit": _column("text"),
            "quarter": _column("quarter"),
            "measure": _column("text"),
            "owner": _column("text"),
            "amount": _column("number"),
            "made_on": _column("date"),
            "text": _column("text"),
        },
        key=("promise_id",),
        may_be_empty=True,
    ),
    "open_items": Contract(
        {
            "item_id": _column("text"),
            "unit": _column("text"),
            "opened": _column("quarter"),
            "bridge": _column("text", _one_of("claims", "spend")),
            "step": _column("text"),
            "amount": _column("money"),
            "cause": _column("text"),
            "owner": _column("text"),
            "evidence": _column("text"),
            "closed": _column("quarter", empty=True),
        },
        rules=(_not_before("closed", "opened"),),
        key=("item_id",),
        may_be_empty=True,
    ),
    "control_totals": Contract(
        {
            "table": _column("text", _TABLE),
            "unit": _column("text"),
            "quarter": _column("quarter"),
            "rows": _column("integer", _COUNT),
            "amount": _column("money", empty=True),
            "owner": _column("text"),
        },
        key=("table", "unit", "quarter"),
        may_be_empty=True,
    ),
    "financials": Contract(
        {
            "quarter": _column("quarter"),
            "unit": _column("text"),
            "basis": _column("text"),
            "filing": _column("text"),
            "figures": _column("text", _one_of("printed", "by subtraction")),
            "rounded": _column("boolean"),
            "paid_members_thousand": _column("integer", absent=True),
            "total_members_thousand": _column("integer", absent=True),
            "revenue": _column("money", absent=True),
            "cost_of_revenue": _column("money", absent=True),
            "marketing_cost": _column("money", absent=True),
            "contribution_margin": _column("money", absent=True),
            "other_operating_expenses": _column("money", absent=True),
            "operating_income": _column("money", absent=True),
            "net_income": _column("money", absent=True),
            "note": _column("text", absent=True),
            "source": _column("text", absent=True),
        },
        key=("quarter", "unit", "basis", "filing"),
    ),
}
