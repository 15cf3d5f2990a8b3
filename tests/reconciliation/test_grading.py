"""Platforms without order ids: days held against days by hand, totals, what each grade says, a second computation."""

import numpy as np
import pandas as pd
import pytest
from claims_by_hand import HAND, amounts, assert_closes, by_hand, claim, claims_frame, order, orders_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.reconciliation.claims import claimed_to_booked
from kpitoolkit.reconciliation.grading import brought_by_day


def bridge(claims, orders, **options):
    return claimed_to_booked(claims, orders, None, None, None, {}, "2026Q3", "EUR", **options)


def grades(result):
    return result.platform_grades.set_index("platform")["grade"].to_dict()


ORDERS = orders_frame(
    order("o1", "2026-07-15 08:00", 10000),
    order("o2", "2026-07-15 09:00", 5000),
    order("o3", "2026-07-16 09:00", 3000),
    order("o4", "2026-06-30 09:00", 99999),
)


def test_days_are_held_against_days_by_hand():
    """15 July: A has o1 by id; B claims 80.00 of the 50.00 left. 16 July: B claims 10.00 of 30.00. 17 July: 7.00."""
    claims = claims_frame(
        claim("c1", "A", "o1", 10000, time="2026-07-15 10:00"),
        claim("c2", "B", None, 6000, time="2026-07-15 10:00"),
        claim("c3", "B", None, 2000, time="2026-07-15 11:00"),
        claim("c4", "B", None, 1000, time="2026-07-16 10:00"),
        claim("c5", "B", None, 700, time="2026-07-17 10:00"),
        claim("c6", "B", None, 400, kind="view", time="2026-07-16 10:00"),
    )
    result = bridge(claims, ORDERS)
    found = amounts(result)
    assert_closes(result.table)
    assert (found["view_through"], found["beyond_day_orders"]) == (-400, -(3000 + 700))
    assert (found["matched_gross"], found["unclaimed"]) == (10000 + 5000 + 1000, 2000)
    assert result.rows["cause"].tolist() == ["matched", *["matched_by_day"] * 4, "view_through"]
    assert result.rows["cause_cents"].tolist() == [0, -2250, -750, 0, -700, -400]
    assert grades(result) == {"A": "A", "B": "B"} and result.grade == "B"
    row = result.platform_grades.set_index("platform").loc["B"]
    assert row.tolist() == ["B", 5, 0.0, 10100, 6000]
    assert result.checks.set_index("check").loc["matched_gross_again", ["value_cents", "passed"]].tolist() == [0, True]
    said = " ".join(result.findings("en"))
    assert "Grade A (A): each claim is held against its order" in said
    assert "Grade B (B)" in said and "At most €60 of €101 can be real" in said and "Grade C" not in said


def test_two_platforms_share_the_orders_of_a_day_and_never_count_them_twice():
    rows = [("c1", "B", 9000), ("c2", "C", 9000), ("c3", "C", 2000)]
    claims = claims_frame(*(claim(key, name, None, cents, time="2026-07-15 10:00") for key, name, cents in rows))
    result = bridge(claims, ORDERS)
    assert result.amount("matched_gross") == 15000
    assert result.platform_grades["matched_cents"].tolist() == [6750, 8250]
    assert result.amount("no_matching_order") is result.amount("value_mismatch") is None
    assert result.amount("outside_lookback") is result.amount("duplicate_across_platforms") is None
    again = bridge(claims.iloc[::-1].reset_index(drop=True), ORDERS.iloc[::-1])
    pd.testing.assert_frame_equal(again.rows, result.rows)


def test_days_of_a_report_are_no_days_of_conversions():
    claims = claims_frame(
        claim("c1", "B", None, 9000, time="2026-07-31"),
        claim("c2", "B", None, 9000, time="2026-09-01"),
        claim("c3", "D", None, 500, time="2026-07-31"),
        claim("c4", "D", None, 500, time="2026-07-15 03:00"),
    )
    result = bridge(claims, ORDERS)
    assert grades(result) == {"B": "C", "D": "B"} and result.grade == "C"
    assert result.amount("claims_without_order_ids") == -18000
    assert result.amount("beyond_day_orders") == -500  # 31 July has no orders
    assert pd.isna(result.platform_grades["matched_cents"].iloc[0])
    assert any(sentence.startswith("Grade C (B)") and "€180 claimed" in sentence for sentence in result.findings("en"))


def test_without_ids_and_days_there_is_one_step_to_all_orders():
    claims, *rest = by_hand()
    claims["conversion_time"] = claims["conversion_time"].where(claims.index > 10, pd.Timestamp("2026-08-31 12:00"))
    result = claimed_to_booked(claims.assign(order_id=None), *rest)
    found = amounts(result)
    assert_closes(result.table)
    assert result.grade == "C" and set(grades(result).values()) == {"C"}
    assert found["no_matching_order"] is found["duplicate_within_platform"] is found["outside_lookback"] is None
    assert found["matched_gross"] is found["unclaimed"] is None and "beyond_day_orders" not in found
    assert found["claims_without_order_ids"] == 92720 - (187500 + 2440 - 1220)
    assert found["gross_orders"] == HAND["gross_orders"] and found["unexplained"] == 320
    assert found == amounts(claimed_to_booked(claims.drop(columns="order_id"), *rest))


def test_a_platform_without_order_ids_is_not_accused_of_inventing_orders():
    claims, *rest = by_hand()
    claims.loc[claims["platform"] == "G", "order_id"] = None
    result = claimed_to_booked(claims, *rest)
    assert result.rows.loc["c03", "cause"] == "matched_by_day"
    # 15 July's only order is A's; the order of 1 August is unclaimed now.
    assert (result.amount("beyond_day_orders"), result.amount("no_matching_order")) == (-12200, -10000)
    assert result.amount("unclaimed") == HAND["unclaimed"] + 12200 and result.grade == "B"
    assert_closes(result.table)


def test_few_ids_are_said():
    claims = claims_frame(claim("c1", "A", "o1", 1), claim("c2", "A", None, 1), claim("c3", "A", None, 1))
    said = bridge(claims, ORDERS).findings("en")
    assert "A names an order for only 33.3% of its claims; the others count as without an order." in said


def test_another_shops_ids_and_returns_without_order_are_said():
    claims = claims_frame(claim("c1", "A", "o1", 1), claim("c2", "A", "elsewhere", 1), claim("c3", "A", None, 1))
    back = pd.DataFrame(
        {
            "return_id": ["r1", "r2", "r3"],
            "order_id": ["o1", "older", "lost"],
            "date": pd.to_datetime(["2026-08-01", "2026-08-01", "2026-10-01"]),
            "amount_cents": pd.array([1, 250, 99], "Int64"),
            "currency": "EUR",
        }
    )
    result = claimed_to_booked(claims, ORDERS, back, None, None, {}, "2026Q3", "EUR")
    assert result.foreign_claims == 1 and result.returns_without_order == (1, 250)
    said = result.findings("en")
    assert "1 claim names an order that is not in this unit's orders: another shop's, or a wrong id." in said
    assert any(sentence.startswith("1 return of €2.50 belongs to no order") for sentence in said)
    without = claimed_to_booked(claims, None, back, None, None, {}, "2026Q3", "EUR")
    assert without.foreign_claims == 0 and without.returns_without_order == (0, 0)


def test_without_orders_no_platform_has_matched_anything():
    result = bridge(claims_frame(claim("c1", "B", None, 1), claim("c2", "A", "o1", 1)), None)
    assert result.platform_grades["matched_cents"].isna().all() and result.amount("matched_gross") is None
    assert bridge(None, ORDERS).platform_grades.empty


DAYS = st.sampled_from(pd.to_datetime(["2026-07-02", "2026-07-03", "2026-07-04"]).tolist())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(DAYS, st.integers(0, 2**50)), max_size=9), st.lists(st.tuples(DAYS, st.integers(0, 2**50))))
def test_each_day_brings_the_smaller_sum_and_each_claim_its_part(claims, orders):
    own = pd.DataFrame(claims, columns=["day", "converted_cents"]).astype({"day": "datetime64[us]"})
    own = own.assign(claim_id=[f"c{i}" for i in range(len(own))]).astype({"converted_cents": "Int64"})
    sold = pd.DataFrame(orders, columns=["day", "gross_cents"]).astype(
        {"day": "datetime64[us]", "gross_cents": "Int64"}
    )
    brought = brought_by_day(own, sold)
    assert ((brought >= 0) & (brought <= own["converted_cents"].to_numpy(dtype=np.int64))).all()
    for day in {day for day, _cents in claims}:
        claimed = sum(cents for when, cents in claims if when == day)
        room = sum(cents for when, cents in orders if when == day)
        of_day = [int(cents) for cents, (when, _) in zip(brought, claims, strict=True) if when == day]
        assert sum(of_day) == min(claimed, room)
        for cents, (_, value) in zip(of_day, [pair for pair in claims if pair[0] == day], strict=True):
            assert claimed == 0 or abs(cents * claimed - value * min(claimed, room)) < claimed


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_bridge_by_days_is_drawn(language):
    claims = claims_frame(claim("c1", "B", None, 90000))
    assert bridge(claims, ORDERS).plot(language=language).patches
