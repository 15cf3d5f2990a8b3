"""An order of half past midnight in Rome, still June in UTC, belongs to July in every analysis."""

import pandas as pd
import pytest

from kpitoolkit import attribution, parameters
from kpitoolkit.reconciliation import claims, measures

MOMENT = pd.Timestamp("2026-06-30 22:30")


@pytest.fixture
def orders():
    cents = {f"{name}_cents": pd.array([0, 0], "Int64") for name in ("vat", "shipping", "discount", "supplier_share")}
    return pd.DataFrame(
        {
            "order_id": ["midnight", "later"],
            "unit": "it",
            "customer_id": ["u", "v"],
            "time": [MOMENT, pd.Timestamp("2026-09-15 12:00")],
            "gross_cents": pd.array([10_000, 5_000], "Int64"),
            **cents,
            "currency": "EUR",
            "status": "paid",
            "recognition_date": pd.to_datetime(["2026-07-01", "2026-09-15"]),
        }
    )


@pytest.mark.parametrize(("timezone", "cents"), [("Europe/Rome", 15_000), ("UTC", 5_000)])
def test_the_quarter_follows_the_units_clock(orders, timezone, cents):
    bridge = claims.claimed_to_booked(None, orders, None, None, None, {}, "2026Q3", "EUR", timezone=timezone)
    assert bridge.amount("gross_orders") == cents

    touchpoints = pd.DataFrame({"user_id": ["u", "v"], "channel": "search", "time": [MOMENT - pd.Timedelta("1h")] * 2})
    period = parameters.quarter_bounds("2026Q3", timezone)
    found = attribution.journeys(touchpoints, attribution.conversions_from_orders(orders), 30, period).table
    assert found["value"].sum() == cents / 100

    table = measures.compute({"orders": orders}, "EUR", timezone=timezone)
    assert measures.at(table, "2026Q3")["gross_orders"] == cents
