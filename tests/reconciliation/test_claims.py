"""From claimed to booked: a case by hand, what must always hold, a second way of computing it, bad data, the sample."""

from decimal import ROUND_HALF_EVEN, Decimal

import pandas as pd
import pytest
from claims_by_hand import (
    DAY,
    HAND,
    JULY,
    RATES,
    amounts,
    assert_closes,
    by_hand,
    claim,
    claims_frame,
    order,
    orders_frame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.errors import Faults
from kpitoolkit.parameters import ACCOUNTS
from kpitoolkit.reconciliation.claims import claimed_to_booked


def test_the_case_worked_by_hand():
    result = claimed_to_booked(*by_hand())
    assert amounts(result) == HAND
    assert list(amounts(result)) == list(HAND)  # in this order
    assert_closes(result.table)
    assert result.rows["cause"].to_dict() == {
        "c01": "matched",
        "c02": "value_mismatch",
        "c03": "matched",
        "c04": "other_period",
        "c05": "matched",
        "c06": "duplicate_within_platform",
        "c07": "duplicate_across_platforms",
        "c08": "view_through",
        "c09": "outside_lookback",
        "c10": "no_matching_order",
        "c11": "no_matching_order",
    }
    assert result.rows.loc["c03", ["currency_cents", "cause_cents", "mismatch_cents"]].tolist() == [2440, 0, 0]
    assert result.rows.loc["c04", ["currency_cents", "cause_cents", "mismatch_cents"]].tolist() == [0, -18300, 0]
    assert result.rows.loc["c02", ["currency_cents", "cause_cents", "mismatch_cents"]].tolist() == [0, 0, -600]
    assert result.overlap.loc["A"].to_dict() == {"A": 4, "B": 1, "G": 0}
    assert result.overlap.loc["B"].to_dict() == {"A": 1, "B": 2, "G": 0}
    assert result.grade == "A"
    assert result.materiality_cents == 274  # 0.5% of 54,820, half to even


def test_an_unexplained_amount_is_found_on_its_account_and_day():
    result = claimed_to_booked(*by_hand(extra_sales=320))
    [found] = result.unexplained.to_dict("records")
    assert (found["account"], found["date"], found["grain"]) == ("4000", pd.Timestamp("2026-07-02"), "day")
    assert (found["expected_cents"], found["booked_cents"], found["difference_cents"]) == (19000, 19320, 320)
    assert not result.passed  # 320 is over 274
    within = claimed_to_booked(*by_hand(extra_sales=200))
    assert within.checks.set_index("check")["passed"].to_dict() == {
        "net_unexplained": True, "gross_unexplained": True, "claimed_again": True, "matched_gross_again": True,
        "gross_orders_again": True, "computed_net_again": True, "booked_again": True, "unmapped_accounts": True,
    }  # fmt: skip
    assert within.passed
    clean = claimed_to_booked(*by_hand(extra_sales=0))
    assert clean.unexplained.empty and clean.amount("unexplained") == 0


def test_offsetting_errors_do_not_hide():
    claims, orders, returns, ledger, *rest = by_hand(extra_sales=0)
    ledger.loc[0, "amount_cents"] += 9000
    ledger.loc[5, "amount_cents"] -= 9000
    result = claimed_to_booked(claims, orders, returns, ledger, *rest)
    checks = result.checks.set_index("check")
    assert checks.loc["net_unexplained", ["value_cents", "passed"]].tolist() == [0, True]
    assert checks.loc["gross_unexplained", ["value_cents", "passed"]].tolist() == [18000, False]
    assert result.unexplained["account"].tolist() == ["4000", "4100"]
    assert not result.passed


def test_a_ledger_that_posts_by_month_is_compared_by_month():
    claims, orders, returns, ledger, *rest = by_hand(extra_sales=0)
    sales = (ledger["account"] == "4000") & (ledger["period"] == "2026Q3")
    ledger.loc[sales, "date"] = ledger.loc[sales, "date"] + pd.offsets.MonthEnd(0)
    assert claimed_to_booked(claims, orders, returns, ledger, *rest).unexplained.empty
    ledger.loc[0, "amount_cents"] += 55
    [found] = claimed_to_booked(claims, orders, returns, ledger, *rest).unexplained.to_dict("records")
    assert (found["date"], found["grain"], found["difference_cents"]) == (pd.Timestamp("2026-07-31"), "month", 55)


def test_days_are_the_units_own():
    claims, orders, *rest = by_hand()
    in_rome = claimed_to_booked(claims, orders, *rest, timezone="Europe/Rome")
    # 30 June 23:59:59 UTC is July in Rome, 30 September 23:59 UTC is October.
    assert "c12" in in_rome.rows.index and "c13" not in in_rome.rows.index
    assert in_rome.amount("gross_orders") == HAND["gross_orders"] - 6100
    assert in_rome.amount("claimed") == HAND["claimed"] + 50000


def test_ties_go_to_the_platform_and_then_to_the_claim_id():
    orders = orders_frame(order("o1", JULY, 100))
    tied = claims_frame(claim("c2", "B", "o1", 100), claim("c3", "A", "o1", 100), claim("c1", "A", "o1", 100))
    rows = claimed_to_booked(tied, orders, None, None, None, {}, "2026Q3", "EUR").rows
    causes = {"c1": "matched", "c2": "duplicate_across_platforms", "c3": "duplicate_within_platform"}
    assert rows["cause"].to_dict() == causes


def test_eligibility_comes_before_credit():
    """A closer view or a claim outside the look-back never takes the credit from an eligible click."""
    orders = orders_frame(order("o1", JULY, 100))
    rows = claims_frame(
        claim("c1", "A", "o1", 100, lag_days=0.1, kind="view"),
        claim("c2", "B", "o1", 100, 31),
        claim("c3", "C", "o1", 100, 30),
    )
    result = claimed_to_booked(rows, orders, None, None, None, {}, "2026Q3", "EUR")
    assert result.rows["cause"].tolist() == ["view_through", "outside_lookback", "matched"]
    assert claimed_to_booked(rows, orders, None, None, None, {}, "2026Q3", "EUR", lookback_days=31).rows[
        "cause"
    ].tolist() == [
        "view_through",
        "duplicate_across_platforms",
        "matched",
    ]


# A second way: the rules once more in plain Python, claim by claim.


def rewritten(claims, orders, rate, lookback_days=30):
    """Return cause and converted value by claim id, and the steps' totals."""
    by_id = {o["order_id"]: o for o in orders.to_dict("records")}
    own = [
        c for c in claims.to_dict("records") if (c["conversion_time"].year, c["conversion_time"].quarter) == (2026, 3)
    ]
    causes, value, eligible = {}, {}, {}
    for c in own:
        cents = Decimal(int(c["value_cents"])) * (rate if c["currency"] == "GBP" else 1)
        value[c["claim_id"]] = int(cents.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
        lag = c["conversion_time"] - c["touch_time"]
        if c["order_id"] not in by_id:
            causes[c["claim_id"]] = "no_matching_order"
        elif lag > pd.Timedelta(days=lookback_days):
            causes[c["claim_id"]] = "outside_lookback"
        elif c["kind"] == "view":
            causes[c["claim_id"]] = "view_through"
        else:
            eligible.setdefault(c["order_id"], []).append((lag, c["platform"], c["claim_id"]))
    mismatch = {}
    for key, found in eligible.items():
        first, *others = sorted(found)
        seen = {first[1]}
        for _lag, platform, claim_id in others:
            within = platform in seen
            causes[claim_id] = "duplicate_within_platform" if within else "duplicate_across_platforms"
            seen.add(platform)
        placed = by_id[key]["time"]
        if (placed.year, placed.quarter) != (2026, 3):
            causes[first[2]] = "other_period"
        else:
            mismatch[first[2]] = int(by_id[key]["gross_cents"]) - value[first[2]]
            causes[first[2]] = "value_mismatch" if mismatch[first[2]] else "matched"
    totals = {"claimed": sum(int(c["value_cents"]) for c in own), "value_mismatch": sum(mismatch.values())}
    for claim_id, cause in causes.items():
        if cause not in ("matched", "value_mismatch"):
            totals[cause] = totals.get(cause, 0) - value[claim_id]
    totals["matched_gross"] = sum(value[i] + mismatch[i] for i in mismatch)
    return causes, totals


TIMES = st.sampled_from(["2026-06-20", "2026-07-01", "2026-08-15 12:00", "2026-09-30 23:00", "2026-10-01 01:00"])
CLAIM = st.tuples(
    st.sampled_from("ABC"),
    st.sampled_from(["o0", "o1", "o2", "o3", "x"]),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, 2.0, 29.0, 30.0, 30.5]),
    st.sampled_from(["click", "click", "click", "view"]),
    st.sampled_from(["EUR", "GBP"]),
    TIMES,
)
ORDER = st.tuples(TIMES, st.integers(0, 10**6), st.sampled_from(["paid", "cancelled"]), TIMES)


@settings(max_examples=25, deadline=None)  # random companies (test_exactness) go through the same rules
@given(
    st.lists(CLAIM, min_size=1, max_size=14), st.lists(ORDER, min_size=1, max_size=4), st.randoms(use_true_random=False)
)
def test_every_row_has_one_cause_whatever_the_order_of_rows(drawn_claims, drawn_orders, shuffle):
    rows = [
        claim(f"c{i:02d}", platform, key, value, lag, kind, currency, time)
        for i, (platform, key, value, lag, kind, currency, time) in enumerate(drawn_claims)
    ]
    sales = [
        order(f"o{i}", time, gross, gross // 10, gross // 50, gross // 20, gross // 5, status, recognised)
        for i, (time, gross, status, recognised) in enumerate(drawn_orders)
    ]
    claims, orders = claims_frame(*rows), orders_frame(*sales)
    claims = claims.astype({"touch_time": "datetime64[us]", "conversion_time": "datetime64[us]"})
    rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["GBP"], "rate": [1.1235]})
    result = claimed_to_booked(claims, orders, None, None, rates, {}, "2026Q3", "EUR")

    assert_closes(result.table)
    causes, totals = rewritten(claims, orders, Decimal("1.1235"))
    assert result.rows["cause"].to_dict() == causes
    found = amounts(result)
    assert {step: found[step] for step in totals} == totals
    assert all(
        not found[step] for step in ("no_matching_order", "outside_lookback", "view_through") if step not in totals
    )
    brought = result.rows[["value_cents", "currency_cents", "cause_cents", "mismatch_cents"]].sum(axis=1)
    assert brought.sum() == found["matched_gross"]
    assert (brought[~result.rows["cause"].isin(["matched", "value_mismatch"])] == 0).all()
    again = result.checks.set_index("check")["value_cents"].drop(
        ["net_unexplained", "gross_unexplained", "booked_again", "unmapped_accounts"]
    )
    assert (again == 0).all()

    places = list(range(len(claims)))
    shuffle.shuffle(places)
    shuffled = claimed_to_booked(
        claims.iloc[places].reset_index(drop=True), orders.iloc[::-1], None, None, rates, {}, "2026Q3", "EUR"
    )
    pd.testing.assert_frame_equal(shuffled.table, result.table)
    pd.testing.assert_frame_equal(shuffled.rows, result.rows)
    pd.testing.assert_frame_equal(shuffled.overlap, result.overlap)


# What is missing is said, not guessed.


@pytest.mark.parametrize("missing", ["claims", "orders", "returns", "ledger", "fx_rates"])
def test_a_missing_table_is_not_examined(missing):
    given_tables = dict(zip(["claims", "orders", "returns", "ledger", "fx_rates"], by_hand()[:5], strict=True))
    given_tables[missing] = None
    if missing == "fx_rates":
        given_tables["claims"] = given_tables["claims"].query("currency == 'EUR'")
    result = claimed_to_booked(**given_tables, accounts=ACCOUNTS, quarter="2026Q3", currency="EUR")
    assert_closes(result.table)
    found = amounts(result)
    if missing == "claims":
        assert found["claimed"] is found["matched_gross"] is found["unclaimed"] is None
        assert found["computed_net"] == HAND["computed_net"] and result.grade == ""
        assert result.rows.empty and result.overlap.empty
    if missing == "orders":
        assert found["no_matching_order"] is found["gross_orders"] is found["vat"] is found["computed_net"] is None
        assert found["booked"] == HAND["booked"] and not result.passed
    if missing == "returns":
        assert found["returns"] is None and found["unexplained"] == 320 - 3000
        assert set(result.unexplained["account"]) == {"4000", "4100"}
        assert result.unexplained["difference_cents"].sum() == found["unexplained"]
    if missing == "ledger":
        assert found["booked"] is found["unexplained"] is found["deferred"] is None
        assert found["computed_net"] == HAND["computed_net"] + 500 - 700 - 4000 - 300
        assert result.checks["passed"].isna().any() and not result.passed
    if missing == "fx_rates":
        assert found["currency"] == 0
    for language in ("en", "it"):
        assert all(isinstance(sentence, str) and "{" not in sentence for sentence in result.findings(language))


def test_nothing_given_is_nothing_examined():
    result = claimed_to_booked(None, None, None, None, None, {}, "2026Q3", "EUR")
    assert set(result.table["kind"]) == {"not_examined"}
    assert not result.passed and result.findings("en")
    only = claimed_to_booked(None, None, None, by_hand()[3], None, ACCOUNTS, "2026Q3", "EUR")
    assert only.amount("booked") == HAND["booked"]
    assert only.table.loc[only.table["kind"] != "not_examined", "step"].tolist() == ["booked"]


def test_no_claims_and_no_orders_in_the_quarter():
    claims, orders, returns, ledger, *rest = by_hand()
    earlier = claims.assign(conversion_time=pd.Timestamp("2026-05-02"), touch_time=pd.Timestamp("2026-05-01"))
    result = claimed_to_booked(earlier, orders.iloc[:0], returns.iloc[:0], ledger.iloc[:0], *rest)
    assert result.amount("claimed") == result.amount("booked") == 0
    assert result.passed and not result.no_export


@pytest.mark.parametrize(("language", "words"), [("en", "No platform's export"), ("it", "alcuna esportazione")])
def test_an_export_without_a_row_of_the_unit_is_no_claim_of_nothing(language, words):
    claims, *rest = by_hand()
    result = claimed_to_booked(claims.iloc[:0], *rest)
    steps = ("claimed", "no_matching_order", "matched_gross", "unclaimed")
    assert [result.amount(step) for step in steps] == [None] * 4
    assert result.amount("gross_orders") == claimed_to_booked(claims, *rest).amount("gross_orders")
    said = result.findings(language)
    assert words in said[0] and not any("100" in sentence for sentence in said)
    assert result.grade == "" and not result.passed
    assert not any(words in sentence for sentence in claimed_to_booked(None, *rest).findings(language))


def test_without_touch_times_the_look_back_is_not_examined():
    claims, *rest = by_hand()
    result = claimed_to_booked(claims.assign(touch_time=pd.NaT), *rest)
    assert result.amount("outside_lookback") is None
    assert result.rows.loc["c09", "cause"] == "matched"
    assert_closes(result.table)


def test_without_recognition_dates_the_cut_off_is_not_examined():
    claims, orders, *rest = by_hand()
    result = claimed_to_booked(claims, orders.assign(recognition_date=pd.NaT), *rest)
    assert result.amount("cut_off_out") is None and result.amount("cut_off_in") is None
    assert result.amount("unexplained") == 320 + 8000


# Bad data: everything at once, where and what to do.


def test_all_the_faults_come_together():
    claims, orders, returns, ledger, *rest = by_hand()
    claims.loc[0, "currency"] = "CHF"
    claims.loc[1, "value_cents"] = -5
    claims.loc[2, "touch_time"] = claims.loc[2, "conversion_time"] + DAY
    claims.loc[3, "claim_id"] = "c01"
    orders.loc[4, "currency"] = "USD"
    orders.loc[5, "order_id"] = "o1"
    returns = returns.assign(currency="GBP")
    ledger.loc[3, "amount_cents"] = pd.NA
    with pytest.raises(Faults) as caught:
        claimed_to_booked(claims, orders, returns, ledger, *rest)
    said = str(caught.value)
    assert len(caught.value.faults) == 8, said
    for words in (
        "1 rows are in CHF (first: row 1 of the unit), but fx_rates has no rate of CHF for 2026Q3",
        "negative value",
        "touched after their conversion",
        "platform_claims: 1 ids stand twice",
        "orders: amounts are in several currencies (EUR, USD; 1 rows are not in EUR, first: row 5",
        "orders: 1 ids stand twice",
        "returns: amounts are not in the unit's currency (GBP",
        "ledger: 1 rows have no 'amount' (first: row 4",
    ):
        assert words in said, said
    assert "c02" not in said  # ids are masked


def test_a_currency_needs_a_rate_of_both_ends():
    claims = claims_frame(claim("c1", "A", "o1", 100, currency="USD"))
    rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["USD"], "rate": [0.9]})
    orders = orders_frame(order("o1", JULY, 90, currency="GBP"))
    with pytest.raises(Faults, match="no rate of GBP for 2026Q3"):
        claimed_to_booked(claims, orders, None, None, rates, {}, "2026Q3", "GBP")
    rates = pd.DataFrame({"quarter": ["2026Q3"] * 2, "currency": ["USD", "GBP"], "rate": [0.9, 1.2]})
    result = claimed_to_booked(claims, orders, None, None, rates, {}, "2026Q3", "GBP")
    assert result.amount("currency") == -25  # 100 x 0.9 / 1.2 = 75


def test_the_result_is_drawn_and_told_in_both_languages():
    result = claimed_to_booked(*by_hand())
    english, italian = result.findings("en"), result.findings("it")
    assert len(english) == len(italian) and not set(english) & set(italian)
    assert any("4000" in sentence and "193.20" in sentence for sentence in english)
    assert any("193,20" in sentence for sentence in italian)
    assert result.basis("it") != result.basis("en")
    for language in ("en", "it"):
        assert result.plot(language=language).patches


def test_other_quarters_rows_do_not_refuse_this_one():
    """A claim of 2025 in dollars has its own rate of 2025; this quarter needs no rate of the dollar."""
    claims, orders, returns, ledger, _rates, *rest = by_hand()
    old = claims_frame(claim("old", "A", "o9", 500, currency="USD", time="2025-11-15"))
    more = pd.concat([RATES, pd.DataFrame({"quarter": ["2025Q4"], "currency": ["USD"], "rate": [0.86]})])
    given = pd.concat([old, claims], ignore_index=True)
    assert amounts(claimed_to_booked(given, orders, returns, ledger, more, *rest)) == HAND
    given.loc[1, "currency"] = "CHF"
    with pytest.raises(Faults, match=r"1 rows are in CHF \(first: row 2 of the unit\)"):
        claimed_to_booked(given, orders, returns, ledger, more, *rest)
