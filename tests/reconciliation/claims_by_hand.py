"""A case of claims, orders, returns and ledger worked by hand, and what builds others like it."""

import pandas as pd

from kpitoolkit.parameters import ACCOUNTS

DAY = pd.Timedelta(days=1)
JULY = pd.Timestamp("2026-07-15 10:00")


def frame(columns: str, rows: list[tuple]) -> pd.DataFrame:
    out = pd.DataFrame(rows, columns=columns.split())
    return out.astype({name: "Int64" for name in out if name.endswith("_cents")})


def order(key, time, gross, vat=0, shipping=0, discount=0, supplier=0, status="paid", recognised=None, currency="EUR"):
    recognised = pd.Timestamp(time).normalize() if recognised is None else pd.Timestamp(recognised)
    recognised = pd.NaT if status == "cancelled" else recognised
    return (key, pd.Timestamp(time), gross, vat, shipping, discount, supplier, currency, status, recognised)


def orders_frame(*rows):
    columns = "order_id time gross_cents vat_cents shipping_cents discount_cents supplier_share_cents currency status"
    return frame(columns + " recognition_date", list(rows))


def claim(key, platform, order_id, value, lag_days=1.0, kind="click", currency="EUR", time=JULY):
    time = pd.Timestamp(time)
    return (key, platform, order_id, time - lag_days * DAY, time, kind, value, currency)


def claims_frame(*rows):
    return frame("claim_id platform order_id touch_time conversion_time kind value_cents currency", list(rows))


def ledger_frame(*rows):
    lines = [
        (str(i), pd.Timestamp(date), period, account, cents, "EUR")
        for i, (date, period, account, cents) in enumerate(rows)
    ]
    return frame("line date period account amount_cents currency", lines)


RATES = pd.DataFrame({"quarter": ["2026Q3", "2026Q2"], "currency": ["GBP", "GBP"], "rate": [1.25, 1.10]})
RETURNS = frame(
    "return_id order_id date amount_cents currency",
    [
        ("r1", "o1", pd.Timestamp("2026-08-05"), 3000, "EUR"),
        ("r2", "o2", pd.Timestamp("2026-10-01"), 9900, "EUR"),
    ],
)


def by_hand(extra_sales=320):
    """Every cause once; amounts chosen so that no two are alike."""
    orders = orders_frame(
        order("o1", "2026-07-01 00:00", 12200, 2000, 200),
        order("o2", "2026-07-02 09:00", 24400, 4400, 0, 1000),
        order("o3", "2026-09-30 23:59", 6100, 1100, recognised="2026-10-02"),
        order("o4", "2026-08-01", 12200, 2200, status="cancelled"),
        order("o5", "2026-06-29", 18300, 3300, supplier=2000, recognised="2026-07-02"),
        order("o6", "2026-07-15", 36600, 6600, supplier=20000),
        order("o7", "2026-09-01", 1220, 220),
    )
    claims = claims_frame(
        claim("c01", "A", "o1", 12200),
        claim("c02", "A", "o2", 25000),
        claim("c03", "G", "o4", 9760, currency="GBP"),
        claim("c04", "A", "o5", 18300),
        claim("c05", "A", "o6", 36600, lag_days=1),
        claim("c06", "A", "o6", 36600, lag_days=3),
        claim("c07", "B", "o6", 36600, lag_days=2),
        claim("c08", "B", "o7", 1220, kind="view"),
        claim("c09", "B", "o7", 1220, lag_days=30.001),
        claim("c10", "B", "elsewhere", 9900),
        claim("c11", "B", None, 100),
        claim("c12", "A", "o1", 50000, time="2026-06-30 23:59:59"),
        claim("c13", "A", "o1", 50000, time="2026-10-01"),
    )
    ledger = ledger_frame(
        ("2026-07-01", "2026Q3", "4000", 10000),
        ("2026-07-02", "2026Q3", "4000", 19000 + extra_sales),
        ("2026-09-30", "2026Q3", "4000", 5000),
        ("2026-07-15", "2026Q3", "4000", 30000),
        ("2026-09-01", "2026Q3", "4000", 1000),
        ("2026-08-05", "2026Q3", "4100", -3000),
        ("2026-09-30", "2026Q3", "4110", -500),
        ("2026-07-02", "2026Q3", "4200", 13000),
        ("2026-09-30", "2026Q3", "4200", -5000),
        ("2026-09-30", "2026Q3", "4300", 700),
        ("2026-07-15", "2026Q3", "4400", -20000),
        ("2026-09-30", "2026Q3", "4500", 4000),
        ("2026-09-30", "2026Q3", "4900", 300),
        ("2026-09-30", "2026Q3", "6100", 77777),
        ("2026-06-30", "2026Q2", "4000", 88888),
    )
    return claims, orders, RETURNS, ledger, RATES, ACCOUNTS, "2026Q3", "EUR"


HAND = {
    "claimed": 187500, "currency": 2440, "no_matching_order": -10000, "outside_lookback": -1220, "view_through": -1220,
    "duplicate_within_platform": -36600, "duplicate_across_platforms": -36600, "other_period": -18300,
    "value_mismatch": -600, "matched_gross": 85400, "unclaimed": 7320, "gross_orders": 92720, "vat": -16520,
    "shipping": -200, "discounts": -1000, "cancellations": -10000, "returns": -3000, "returns_provision": -500,
    "cut_off_out": -5000, "cut_off_in": 13000, "deferred": 700, "principal_agent": -20000, "intercompany": 4000,
    "manual_journals": 300, "computed_net": 54500, "unexplained": 320, "booked": 54820,
}  # fmt: skip


def amounts(result):
    return {
        step: None if pd.isna(cents) else int(cents) for step, cents in result.table[["step", "amount_cents"]].values
    }


def assert_closes(table):
    running = None
    for kind, cents in table[["kind", "amount_cents"]].values:
        if kind == "not_examined":
            assert pd.isna(cents)
        elif kind == "total":
            assert running is None or running == cents
            running = cents
        else:
            running += cents
