"""From claimed to booked: what the sentences and checks say of currencies, unknown accounts, defaults, thresholds."""

import pandas as pd
import pytest
from claims_by_hand import HAND, JULY, amounts, by_hand, claim, claims_frame, ledger_frame, order, orders_frame

from kpitoolkit import pages, text
from kpitoolkit.parameters import ACCOUNTS
from kpitoolkit.reconciliation import ledger as books
from kpitoolkit.reconciliation.claims import claimed_to_booked


def test_sentences_state_claims_in_the_units_currency():
    """Reported 1,875.00 with 97.60 pounds at face value; converted 1,899.40; matched 854.00, which is 45.0%."""
    said = claimed_to_booked(*by_hand()).findings("en")
    assert said[0] == "The platforms claim €1,899; the matched orders are worth €854 (45.0%)."
    assert said[1].endswith("come to €1,875: −€24 from the face value of foreign currencies alone.")
    claims, *rest = by_hand()
    euro = claimed_to_booked(claims[claims["currency"] == "EUR"], *rest)
    assert not any("face value" in sentence for sentence in euro.findings("en"))


def test_the_currency_is_no_cause_of_the_difference():
    orders = orders_frame(order("o1", JULY, 1000))
    claims = claims_frame(claim("c1", "A", "o1", 100_000, currency="GBP"), claim("c2", "B", "x", 500))
    rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["GBP"], "rate": [0.01]})
    said = claimed_to_booked(claims, orders, None, None, rates, {}, "2026Q3", "EUR").findings("en")
    assert any(sentence == "The largest cause of the difference is: no matching order, −€5." for sentence in said)


@pytest.mark.parametrize(("language", "words"), [("en", "gift cards, loyalty"), ("it", "buoni regalo, fedeltà")])
def test_the_step_of_discounts_names_all_that_it_holds(language, words):
    assert words in text.label("discounts", language)
    ticks = claimed_to_booked(*by_hand()).plot(language=language).get_yticklabels()
    assert any(words in tick.get_text().replace("\n", " ") for tick in ticks)


def posted_outside(*accounts):
    claims, orders, returns, ledger, *rest = by_hand(extra_sales=0)
    rows = [("2026-08-01", "2026Q3", account, cents) for account, cents in accounts]
    more = ledger_frame(*rows, ("2026-06-01", "2026Q2", "4060", 777))
    return claims, orders, returns, pd.concat([ledger, more], ignore_index=True), *rest


def test_postings_on_accounts_in_no_line_are_not_lost():
    given = posted_outside(("4050", 500), ("4050", -500), ("<b>{x}", 30))
    result = claimed_to_booked(*given)
    assert result.unmapped.to_dict("records") == [
        {"account": "4050", "rows": 2, "absolute_cents": 1000},
        {"account": "<b>{x}", "rows": 1, "absolute_cents": 30},
    ]
    check = result.checks.set_index("check").loc["unmapped_accounts"]
    assert check[["value_cents", "threshold_cents", "passed"]].tolist() == [1030, 0, False] and not result.passed
    for language, words in (("en", "3 postings"), ("it", "3 scritture")):
        said = result.findings(language)
        [named] = [sentence for sentence in said if "4050, <b>{x}" in sentence]
        assert words in named and "other_accounts" in named
        assert not any("to the cent" in sentence or "al centesimo" in sentence for sentence in said)
    assert "&lt;b&gt;{x}" in pages.findings([named]).html


def test_accounts_declared_as_not_ours_are_no_fault():
    claims, orders, returns, ledger, rates, accounts, *rest = posted_outside(("4050", 500), ("9000", -30))
    declared = accounts | {"other_accounts": ["4050", "9000"]}
    result = claimed_to_booked(claims, orders, returns, ledger, rates, declared, *rest)
    assert result.passed and any("to the cent" in sentence for sentence in result.findings("en"))
    without = claimed_to_booked(claims, orders, returns, None, rates, declared, *rest)
    assert without.checks.set_index("check").loc["unmapped_accounts", ["value_cents", "passed"]].isna().all()


def test_many_unknown_accounts_are_named_in_part():
    result = claimed_to_booked(*posted_outside(*((f"88{i}", 10 - i) for i in range(7))))
    assert any("880, 881, 882, 883, 884, …. Add" in sentence for sentence in result.findings("en"))


def test_paid_orders_without_recognition_date_are_taken_at_their_own_day_and_counted():
    claims, orders, *rest = by_hand()
    orders.loc[orders["order_id"] == "o1", "recognition_date"] = pd.NaT
    older = orders_frame(order("o8", "2026-06-01", 500), order("o9", "2026-06-02", 500))
    older["recognition_date"] = pd.NaT
    result = claimed_to_booked(claims, pd.concat([orders, older], ignore_index=True), *rest)
    assert amounts(result) == HAND and result.orders_at_own_day == 1
    assert "1 paid order has no recognition date and is taken as recognised on its own day." in result.findings("en")
    untold = claimed_to_booked(*by_hand())
    assert untold.orders_at_own_day == 0 == untold.untimed_claims
    assert not any("recognition date" in sentence or "touch time" in sentence for sentence in untold.findings("en"))


def test_an_unknown_lag_ranks_last_and_is_counted():
    orders = orders_frame(order("o1", JULY, 100))
    claims = claims_frame(claim("c1", "A", "o1", 100), claim("c2", "B", "o1", 100, 29), claim("c3", "A", "x", 100))
    claims.loc[[0, 2], "touch_time"] = pd.NaT
    result = claimed_to_booked(claims, orders, None, None, None, {}, "2026Q3", "EUR")
    assert result.rows["cause"].tolist() == ["duplicate_across_platforms", "matched", "no_matching_order"]
    assert result.untimed_claims == 1
    assert "1 claim has no touch time and counts as inside the look-back." in result.findings("en")


def test_overlap_says_nothing_of_what_is_not_known():
    claims, orders, *rest = by_hand()
    result = claimed_to_booked(claims, orders, *rest)
    assert result.overlap_caption("it") != result.overlap_caption("en")
    assert claimed_to_booked(claims, None, *rest).overlap.empty
    assert claimed_to_booked(claims.assign(order_id=None), orders, *rest).overlap.empty
    claims.loc[claims["platform"] == "G", "order_id"] = None
    assert claimed_to_booked(claims, orders, *rest).overlap.columns.tolist() == ["A", "B"]


def test_thresholds_by_hand():
    """Booked 545.00: materiality 2.72, performance materiality 2.04, clearly trivial 0.14 (5% of materiality)."""
    claims, orders, returns, ledger, *rest = by_hand(extra_sales=0)
    ledger.loc[0, "amount_cents"] += 120
    ledger.loc[5, "amount_cents"] -= 120
    result = claimed_to_booked(claims, orders, returns, ledger, *rest)
    assert (result.materiality_cents, result.performance_cents, result.trivial_cents) == (272, 204, 14)
    gross = result.checks.set_index("check").loc["gross_unexplained"]
    assert gross[["value_cents", "threshold_cents", "passed"]].tolist() == [240, 204, False]


@pytest.mark.parametrize(
    ("days_due", "grain"),
    [(["2026-07-01", "2026-07-02"], "day"), (["2026-07-01", "2026-07-02", "2026-07-03"], "month")],
)
def test_half_of_the_days_is_enough_to_compare_by_day(days_due, grain):
    due = pd.DataFrame({"date": pd.to_datetime(days_due), "cents": pd.array([100] * len(days_due), "Int64")})
    entries = books.booked_lines(ledger_frame(("2026-07-01", "2026Q3", "4000", 90)), ACCOUNTS, ["sales"], "2026Q3")
    found = books.locate({"sales": due}, entries, ACCOUNTS, "2026Q3", 90 - 100 * len(days_due))
    assert set(found["grain"]) == {grain}
