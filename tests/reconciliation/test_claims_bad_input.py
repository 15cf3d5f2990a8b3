"""From claimed to booked: amounts beyond a float, accounts with blanks, lines that a chart does not know."""

import pandas as pd
import pytest
from claims_by_hand import HAND, JULY, amounts, by_hand, claim, claims_frame, ledger_frame, order, orders_frame

from kpitoolkit.errors import Faults
from kpitoolkit.parameters import ACCOUNTS
from kpitoolkit.reconciliation.claims import claimed_to_booked

LARGE = 2**58 + 1  # cents: 2.9 quadrillion; from 2^53 on a float no longer holds each cent


def test_accounts_with_blanks_are_the_accounts_of_the_chart():
    claims, orders, returns, ledger, *rest = by_hand()
    ledger["account"] = " " + ledger["account"] + "  "
    result = claimed_to_booked(claims, orders, returns, ledger, *rest)
    assert amounts(result) == HAND
    again = result.checks.set_index("check")["value_cents"]
    assert again["booked_again"] == 0 == again["unmapped_accounts"]


def test_a_line_without_accounts_is_not_examined_and_never_zero():
    claims, orders, returns, ledger, rates, accounts, *rest = by_hand()
    chart = {line: stated for line, stated in accounts.items() if line != "deferred"}
    result = claimed_to_booked(claims, orders, returns, ledger, rates, chart, *rest)
    assert result.amount("deferred") is None and "4300" in set(result.unmapped["account"])
    assert any("Not examined" in said and "deferred" in said for said in result.findings("en"))


def test_amounts_beyond_what_a_float_holds_stay_exact():
    orders = orders_frame(order("o1", JULY, LARGE), order("o2", JULY, 7))
    claims = claims_frame(claim("c1", "A", "o1", LARGE - 2), claim("c2", "B", "o2", 7))
    ledger = ledger_frame(("2026-07-15", "2026Q3", "4000", LARGE + 8))
    result = claimed_to_booked(claims, orders, None, ledger, None, ACCOUNTS, "2026Q3", "EUR")
    found = amounts(result)
    assert (found["claimed"], found["value_mismatch"], found["matched_gross"]) == (LARGE + 5, 2, LARGE + 7)
    assert (found["computed_net"], found["unexplained"], found["booked"]) == (LARGE + 7, 1, LARGE + 8)
    assert result.rows["value_cents"].tolist() == [LARGE - 2, 7]
    [located] = result.unexplained.to_dict("records")
    assert (located["expected_cents"], located["difference_cents"]) == (LARGE + 7, 1)
    assert result.checks.set_index("check")["value_cents"].filter(like="_again").sum() == 0


def test_amounts_beyond_64_bits_are_refused():
    rows = [(f"2026-07-{day:02d}", "2026Q3", "4000", 2**60) for day in range(1, 9)]
    orders = orders_frame(order("o1", JULY, 2**60))
    claims = claims_frame(*(claim(f"c{i}", "A", "o1", 2**59 // 5 * 4, currency="GBP") for i in range(2)))
    rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["GBP"], "rate": [1.25]})
    with pytest.raises(Faults) as caught:
        claimed_to_booked(claims, orders, None, ledger_frame(*rows), rates, ACCOUNTS, "2026Q3", "EUR")
    assert [fault.split(" reach ")[0] for fault in caught.value.faults] == [
        "orders: the amounts in 'gross'",
        "platform_claims: the amounts in 'value'",
        "ledger: the amounts in 'amount'",
    ]


def test_claims_where_there_are_no_orders_match_none():
    claims = claims_frame(claim("c1", "A", "o1", 500), claim("c2", "B", None, 70))
    result = claimed_to_booked(
        claims, orders_frame(order("o1", JULY, 1)).iloc[:0], None, None, None, ACCOUNTS, "2026Q3", "EUR"
    )
    found = amounts(result)
    assert (found["no_matching_order"], found["beyond_day_orders"]) == (-500, -70)
    assert found["matched_gross"] == found["unclaimed"] == found["gross_orders"] == 0
