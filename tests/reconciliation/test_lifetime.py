"""Lifetime value from orders: by hand, against a company whose customers are known, and where there is too little."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.reconciliation import lifetime, measures
from kpitoolkit.reconciliation import lifetime_models as models

DAY = pd.Timestamp("2025-01-01")
LAST = pd.Timestamp("2026-09-30")
TRUTH = {"r": 1.2, "alpha": 10.0, "a": 1.5, "b": 6.0}


def table(rows):
    frame = pd.DataFrame(rows, columns=["order_id", "customer_id", "time", "net_cents"])
    return frame.assign(
        time=pd.to_datetime(frame["time"]),
        gross_cents=(frame["net_cents"] * 1.22).round().astype("int64") + 700,
        vat_cents=(frame["net_cents"] * 1.22).round().astype("int64") - frame["net_cents"],
        shipping_cents=500,
        discount_cents=200,
        supplier_share_cents=0,
        cost_cents=(frame["net_cents"] * 0.6).round().astype("int64"),
        currency="EUR",
        status="paid",
    )


@cache
def company(seed=1, customers=2500):
    """Customers who buy by BG/NBD and Gamma-Gamma (mean value 50.00), whose first order is on any day."""
    rng = np.random.default_rng(seed)
    first = DAY + pd.to_timedelta(rng.integers(0, (LAST - DAY).days, customers), unit="D")
    rates, stops = rng.gamma(TRUTH["r"], 1 / TRUTH["alpha"], customers), rng.beta(TRUTH["a"], TRUTH["b"], customers)
    levels = rng.gamma(6.0, 1 / 100.0, customers)  # of 1 / value: q 6, gamma 100 at p 2.5
    rows = []
    for number in range(customers):
        time = first[number] + pd.Timedelta(hours=12)
        while time <= LAST + pd.Timedelta(hours=23):
            value = max(round(100 * rng.gamma(2.5, 1 / levels[number])), 1)
            rows.append((f"O{len(rows):06}", f"C{number:05}", time, value))
            if len(rows) > 1 and rows[-2][1] == rows[-1][1] and rng.random() < stops[number]:
                break
            time = time + pd.Timedelta(days=max(rng.exponential(7 / rates[number]), 1))
    known = pd.DataFrame({"customer_id": [f"C{n:05}" for n in range(customers)], "first_order_date": first.normalize()})
    return {"orders": table(rows), "customers": known}


@pytest.fixture(scope="module")
def found():
    return lifetime.of_tables(company(), "EUR")


def test_histories_by_hand():
    orders = table(
        [
            ("1", "a", "2026-07-01 10:00", 100_00),
            ("2", "a", "2026-07-01 18:00", 50_00),
            ("3", "a", "2026-07-15 09:00", 30_00),
            ("4", "a", "2026-07-15 23:00", 10_00),
            ("5", "a", "2026-08-05 00:00", 80_00),
            ("6", "b", "2026-09-30 12:00", 20_00),
        ]
    )
    known = orders.assign(day=orders["time"].dt.normalize(), net=orders["net_cents"].astype(float))
    end = pd.Timestamp("2026-10-01")
    history = lifetime.histories(known, pd.Series(["a", "b"]), end)
    assert history.loc["a"].tolist() == [2, 5.0, pytest.approx(92 / 7), 60_00.0]
    assert history.loc["b"].tolist()[:3] == [0, 0.0, pytest.approx(1 / 7)] and np.isnan(history.loc["b", "mean"])


def test_the_value_of_a_known_company_lies_in_the_interval(found):
    row = found.row("2026Q3")
    weeks = 12 * lifetime.WEEKS_A_QUARTER
    later = float(models.expected_purchases(TRUTH, weeks))
    assert row["status"] == "ok" and row["margin_share"] == pytest.approx(0.4, abs=0.001)
    assert row["repeat_purchases"] == pytest.approx(later, rel=0.15)
    assert row["purchase_value_cents"] == pytest.approx(50_00, rel=0.1)
    edges = np.arange(13) * lifetime.WEEKS_A_QUARTER
    worth = np.diff(models.expected_purchases(TRUTH, edges)) / 1.08 ** ((np.arange(12) + 0.5) / 4)
    truth = row["first_margin_cents"] + worth.sum() * 50_00 * 0.4
    assert row["low_cents"] < truth < row["high_cents"]
    assert row["actual_purchases"] == pytest.approx(row["expected_purchases"], rel=0.1)


def test_the_first_order_is_a_fact_and_the_parts_make_the_value(found):
    given = company()
    row = found.row("2026Q3")
    firsts = given["orders"].sort_values("time").drop_duplicates("customer_id")
    own = firsts[firsts["time"] >= "2026-07-01"]
    assert row["new_customers"] == len(own)
    assert row["first_margin_cents"] == pytest.approx(own["net_cents"].mean() * row["margin_share"])
    assert found.curve["cltv"].iloc[[0, -1]].tolist() == pytest.approx([row["first_margin_cents"], row["cltv_cents"]])
    assert found.curve["cltv"].is_monotonic_increasing and (found.curve["low"] <= found.curve["high"]).all()
    table = found.measures().set_index(["measure", "quarter"])["value"]
    assert table["cohort_lifetime_margin", "2026Q3"] == round(row["cltv_cents"] * row["new_customers"])


def test_nothing_after_a_quarter_changes_it(found):
    given = company()
    earlier = {**given, "orders": given["orders"][given["orders"]["time"] < "2026-07-01"]}
    before, now = lifetime.of_tables(earlier, "EUR").row("2026Q2"), found.row("2026Q2")
    figures = [name for name, value in now.items() if isinstance(value, float)]
    assert [before[name] for name in figures] == pytest.approx([now[name] for name in figures], nan_ok=True)


def test_horizon_discount_returns_and_currency():
    given = company(customers=900)
    row = lifetime.of_tables(given, "EUR").row("2026Q3")
    plain = lifetime.of_tables(given, "EUR", lifetime.Rules(discount_rate=0.0)).row("2026Q3")
    assert plain["cltv_cents"] > row["cltv_cents"]
    assert plain["revenue_cents"] * plain["margin_share"] == pytest.approx(plain["cltv_cents"])
    short = lifetime.of_tables(given, "EUR", lifetime.Rules(horizon_quarters=1)).row("2026Q3")
    assert short["cltv_cents"] < row["cltv_cents"] and short["repeat_purchases"] < row["repeat_purchases"]
    tenth = given["orders"].iloc[::10]
    back = pd.DataFrame(
        {"order_id": tenth["order_id"], "date": tenth["time"], "amount_cents": tenth["net_cents"], "currency": "EUR"}
    )
    returned = lifetime.of_tables({**given, "returns": back}, "EUR").row("2026Q3")
    assert returned["margin_share"] == pytest.approx(0.3, abs=0.02)
    rates = pd.DataFrame(
        [(str(q), "GBP", 2.0) for q in pd.period_range("2025Q1", "2026Q3", freq="Q")],
        columns=["quarter", "currency", "rate"],
    )
    pounds = {"orders": given["orders"].assign(currency="GBP"), "customers": given["customers"], "fx_rates": rates}
    assert lifetime.of_tables(pounds, "EUR").row("2026Q3")["cltv_cents"] == pytest.approx(
        2 * row["cltv_cents"], rel=1e-3
    )


def test_too_little_gives_no_figure_and_says_why():
    few = company(customers=60)
    found = lifetime.of_tables(few, "EUR")
    assert set(found.table["status"]) == {"few_repeat_customers"} and found.measures()["value"].isna().all()
    assert "100 are needed" in found.findings("en")[0]
    given = company(customers=1500)
    late = {**given, "orders": given["orders"][given["orders"]["time"] >= "2026-07-01"]}
    assert lifetime.of_tables(late, "EUR").row("2026Q3")["status"] in ("short_history", "few_repeat_customers")
    assert lifetime.of_tables({}, "EUR").findings("en")[0].startswith("Customer lifetime value is not examined")
    none = lifetime.of_tables(few, "EUR", lifetime.Rules("none"))
    assert none.measures()["value"].isna().all() and "none is modelled" in none.findings("en")[0]


def test_subscribers_stay_at_last_quarters_rate():
    months = pd.date_range("2026-01-15", "2026-09-15", freq="MS") + pd.Timedelta(days=14)
    rows = [
        (f"{number}-{month:%m}", f"C{number:04}", month, 10_00)
        for number in range(400)
        for month in months
        if month.quarter < 3 or number < 300
    ]
    known = pd.DataFrame(
        {"customer_id": [f"C{n:04}" for n in range(400)], "first_order_date": pd.Timestamp("2026-01-15")}
    )
    given = {"orders": table(rows), "customers": known}
    row = lifetime.of_tables(given, "EUR", lifetime.Rules("subscription", 4, 0.0)).row("2026Q3")
    margin = 3 * 4_00
    assert row["cltv_cents"] == pytest.approx(margin * (1 + 0.75 + 0.75**2 + 0.75**3))
    assert row["low_cents"] < row["cltv_cents"] < row["high_cents"]
    assert row["revenue_cents"] == pytest.approx(row["cltv_cents"] / 0.4)


def test_its_figures_are_measures_and_its_words_are_said(found):
    given = company(customers=300)
    table = measures.compute(given, "EUR", lifetime=found.measures())
    assert measures.at(table, "2026Q3")["cohort_lifetime_margin"] > 0
    said = found.findings("en")
    assert said[0].startswith("A new customer of Q3 2026 is worth €") and "95% interval" in said[1]
    assert "purchases were expected of the customers known then" in said[-1]
    ax = found.plot()
    assert len(ax.get_lines()) >= 3
