"""The contracts of the input tables: columns, kinds, rules and keys (pandera schemas).

``kind`` (in a column's metadata) says how a file's value becomes a value in memory: money becomes integer cents under
``<name>_cents``, times become UTC without zone, ids are masked in messages.
"""

from dataclasses import dataclass
from functools import cached_property

import pandera.pandas as pa

GROUP_UNIT = "group"


@dataclass(frozen=True, eq=False)
class Contract:
    """One table: its pandera schema (columns as in files), its key, and whether a unit may have no rows."""

    schema: pa.DataFrameSchema
    key: tuple[str, ...] = ()
    may_be_empty: bool = False

    @cached_property
    def schema_in_memory(self) -> pa.DataFrameSchema:
        """The same schema under the names that columns have in memory."""
        renamed = {name: memory_name(name, kind_of(self, name)) for name in self.schema.columns}
        return self.schema.rename_columns({old: new for old, new in renamed.items() if old != new})


def kind_of(contract: Contract, name: str) -> str:
    """Return the kind of a column of a contract."""
    return contract.schema.columns[name].metadata["kind"]


def memory_name(name: str, kind: str) -> str:
    """Return the name of a column in memory: money carries its unit.

    Examples
    --------
    >>> memory_name("gross", "money")
    'gross_cents'
    """
    return f"{name}_cents" if kind == "money" else name


def _column(kind: str, *rules: pa.Check, empty: bool = False, absent: bool = False) -> pa.Column:
    return pa.Column(nullable=empty or absent, required=not absent, checks=list(rules), metadata={"kind": kind})


def _one_of(*values: str) -> pa.Check:
    return pa.Check.isin(list(values), error="one of " + ", ".join(values))


_NOT_NEGATIVE = pa.Check.ge(0, error="0 or more (credits are invoices of kind rebate, refunds are returns)")
_POSITIVE = pa.Check.gt(0, error="above 0")
_LEVEL = pa.Check.in_range(0.5, 0.999, error="the level of an interval, 0.5 to 0.999 (0.9 for 90%)")
_SUNDAY = pa.Check(lambda day: day.dt.day_of_week == 6, error="a Sunday (the last day of an ISO week)")

CONTRACTS: dict[str, Contract] = {
    "ad_spend": Contract(
        pa.DataFrameSchema(
            {
                "date": _column("date"),
                "unit": _column("text"),
                "platform": _column("text"),
                "campaign": _column("text"),
                "spend": _column("money", _NOT_NEGATIVE),
                "currency": _column("currency"),
                "impressions": _column("integer", _NOT_NEGATIVE, absent=True),
                "clicks": _column("integer", _NOT_NEGATIVE, absent=True),
            }
        ),
        key=("date", "unit", "platform", "campaign"),
    ),
    "touchpoints": Contract(
        pa.DataFrameSchema(
            {
                "user_id": _column("id"),
                "time": _column("time"),
                "unit": _column("text"),
                "channel": _column("text"),
                "campaign": _column("text", absent=True),
            }
        ),
    ),
    "orders": Contract(
        pa.DataFrameSchema(
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
            }
        ),
        key=("order_id",),
    ),
    "customers": Contract(
        pa.DataFrameSchema(
            {"customer_id": _column("id"), "unit": _column("text"), "first_order_date": _column("date", empty=True)}
        ),
        key=("customer_id",),
    ),
    "platform_claims": Contract(
        pa.DataFrameSchema(
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
            }
        ),
        key=("claim_id",),
        may_be_empty=True,
    ),
    "returns": Contract(
        pa.DataFrameSchema(
            {
                "return_id": _column("id"),
                "unit": _column("text"),
                "order_id": _column("id"),
                "date": _column("date"),
                "amount": _column("money", _NOT_NEGATIVE),
                "currency": _column("currency"),
            }
        ),
        key=("return_id",),
        may_be_empty=True,
    ),
    "ledger": Contract(
        pa.DataFrameSchema(
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
            }
        ),
        key=("line",),
    ),
    "invoices": Contract(
        pa.DataFrameSchema(
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
            }
        ),
        key=("invoice_id",),
        may_be_empty=True,
    ),
    "controls": Contract(
        pa.DataFrameSchema(
            {
                "week_end": _column("date", _SUNDAY),
                "unit": _column("text"),
                "price_index": _column("number", _POSITIVE),
                "promotion_days": _column("integer", pa.Check.in_range(0, 7, error="days of a week, 0 to 7")),
                "holiday_days": _column("integer", pa.Check.in_range(0, 7, error="days of a week, 0 to 7")),
            }
        ),
        key=("week_end", "unit"),
        may_be_empty=True,
    ),
    "lift_tests": Contract(
        pa.DataFrameSchema(
            {
                "unit": _column("text"),
                "channel": _column("text"),
                "first_day": _column("date"),
                "last_day": _column("date"),
                "iroas": _column("number"),
                "low": _column("number"),
                "high": _column("number"),
                "level": _column("number", _LEVEL, absent=True),
                "source": _column("text", absent=True),
            }
        ),
        key=("unit", "channel", "first_day", "last_day"),
        may_be_empty=True,
    ),
    "targets": Contract(
        pa.DataFrameSchema(
            {
                "unit": _column("text"),
                "quarter": _column("quarter"),
                "kpi": _column("text"),
                "version": _column("integer", _POSITIVE),
                "value": _column("number"),
            }
        ),
        key=("unit", "quarter", "kpi", "version"),
        may_be_empty=True,
    ),
    "fx_rates": Contract(
        pa.DataFrameSchema(
            {"quarter": _column("quarter"), "currency": _column("currency"), "rate": _column("number", _POSITIVE)}
        ),
        key=("quarter", "currency"),
    ),
    "financials": Contract(
        pa.DataFrameSchema(
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
            }
        ),
        key=("quarter", "unit", "basis", "filing"),
    ),
}
