"""From platform spend to booked cost: a case by hand, a second way of computing it, what is missing, bad data."""

from decimal import ROUND_HALF_EVEN, Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.errors import Faults
from kpitoolkit.parameters import ACCOUNTS
from kpitoolkit.reconciliation.spend import spend_to_ledger

RATES = pd.DataFrame({"quarter": ["2026Q3", "2026Q2"], "currency": ["USD", "USD"], "rate": [0.9, 0.8]})


def frame(columns: str, rows: list[tuple]) -> pd.DataFrame:
    out = pd.DataFrame(rows, columns=columns.split())
    out["date"] = pd.to_datetime(out["date"])
    return out.astype({name: "Int64" for name in out if name.endswith("_cents")})


def spend_frame(*rows):
    return frame("date platform campaign spend_cents currency", list(rows))


def invoices_frame(*rows):
    return frame("invoice_id platform date service_month kind net_cents currency", list(rows))


def ledger_frame(*rows):
    lines = [(str(i), date, period, account, cents, "EUR") for i, (date, period, account, cents) in enumerate(rows)]
    return frame("line date period account amount_cents currency", lines)


def by_hand(extra=0):
    spend = spend_frame(
        ("2026-07-01", "search", "brand", 10000, "EUR"),
        ("2026-09-30", "search", "brand", 5000, "EUR"),
        ("2026-08-01", "social", "s", 12201, "EUR"),  # with VAT at 22%: 10,000.82 net, rounded to 10,001
        ("2026-08-02", "social", "s", 61, "EUR"),  # exactly 50
        ("2026-08-03", "display", "d", 2000, "USD"),  # 1,800 in euro
        ("2026-06-30", "search", "brand", 77777, "EUR"),
        ("2026-10-01", "search", "brand", 77777, "EUR"),
    )
    invoices = invoices_frame(
        ("i1", "search", "2026-07-31", "2026-07", "media", 10000, "EUR"),
        ("i2", "search", "2026-10-05", "2026-09", "media", 5100, "EUR"),  # 100 more than reported; dated later
        ("i3", "social", "2026-08-31", "2026-08", "media", 10051, "EUR"),
        ("i4", "display", "2026-08-31", "2026-08", "media", 2000, "USD"),
        ("i5", "search", "2026-07-05", "2026-06", "media", 3000, "EUR"),  # for June, dated in July
        ("i6", "agency", "2026-08-31", "2026-08", "fee", 1500, "EUR"),
        ("i7", "search", "2026-09-30", "2026-09", "rebate", -700, "EUR"),
        ("i8", "search", "2026-10-31", "2026-10", "media", 66666, "EUR"),
        ("i9", "search", "2026-06-30", "2026-06", "media", 55555, "EUR"),
    )
    ledger = ledger_frame(
        ("2026-07-31", "2026Q3", "6100", 10000),
        ("2026-08-31", "2026Q3", "6100", 10051 + 1800),
        ("2026-07-05", "2026Q3", "6100", 3000),
        ("2026-08-31", "2026Q3", "6110", 1500 + extra),
        ("2026-09-30", "2026Q3", "6120", -700),
        ("2026-09-30", "2026Q3", "6190", 5100 - 3000),
        ("2026-09-30", "2026Q3", "4000", 99999),
        ("2026-06-30", "2026Q2", "6100", 55555),
    )
    return spend, invoices, ledger, RATES, ACCOUNTS, "2026Q3", "EUR", {"social": 0.22}


HAND = {
    "platform_spend": 29262, "currency": -200, "vat": -2211, "billing_difference": 100, "agency_fees": 1500,
    "rebates": -700, "invoiced_services": 27751, "invoice_timing": -2100, "dated_invoices": 25651, "accruals": 2100,
    "computed_cost": 27751, "unexplained": 0, "booked_cost": 27751,
}  # fmt: skip


def amounts(result):
    return {
        step: None if pd.isna(cents) else int(cents) for step, cents in result.table[["step", "amount_cents"]].values
    }


def assert_closes(table):
    running = None
    for kind, cents in table[["kind", "amount_cents"]].values:
        if kind == "total":
            assert running is None or running == cents
            running = cents
        elif kind != "not_examined":
            running += cents


def test_the_case_worked_by_hand():
    result = spend_to_ledger(*by_hand())
    assert amounts(result) == HAND
    assert list(amounts(result)) == list(HAND)
    assert_closes(result.table)
    assert result.passed and result.unexplained.empty
    platforms = result.platforms.set_index("platform")
    assert platforms.loc["search"].tolist() == [15000, 0, 0, 15100, 100]
    assert platforms.loc["social"].tolist() == [12262, 0, -2211, 10051, 0]
    assert platforms.loc["display"].tolist() == [2000, -200, 0, 1800, 0]
    parts = result.platforms[["spend_cents", "currency_cents", "vat_cents", "billing_difference_cents"]].sum(axis=1)
    assert parts.tolist() == result.platforms["invoiced_cents"].tolist()


def test_a_wrong_posting_is_found_and_fails_the_check():
    result = spend_to_ledger(*by_hand(extra=320))
    [found] = result.unexplained.to_dict("records")
    assert (found["account"], found["date"], found["difference_cents"]) == ("6110", pd.Timestamp("2026-08-31"), 320)
    assert result.amount("unexplained") == 320
    assert result.materiality_cents == 140 and not result.passed  # 0.5% of 28,071 is 140.355


def test_a_posting_on_another_account_does_not_hide():
    spend, invoices, ledger, *rest = by_hand()
    ledger.loc[0, "account"] = "6110"
    result = spend_to_ledger(spend, invoices, ledger, *rest)
    checks = result.checks.set_index("check")
    assert checks.loc["net_unexplained", "passed"] and not checks.loc["gross_unexplained", "passed"]
    assert set(result.unexplained["account"]) == {"6100", "6110"}


SPEND = st.tuples(
    st.sampled_from(["2026-06-30", "2026-07-01", "2026-08-15", "2026-09-30"]),
    st.sampled_from(["search", "social", "display"]),
    st.integers(0, 10**7),
    st.sampled_from(["EUR", "USD"]),
)
INVOICE = st.tuples(
    st.sampled_from(["2026-06-30", "2026-07-05", "2026-08-31", "2026-10-01"]),
    st.sampled_from(["2026-06", "2026-07", "2026-09", "2026-10"]),
    st.sampled_from(["media", "fee", "rebate"]),
    st.integers(-(10**6), 10**6),
)


def cents(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@settings(max_examples=20, deadline=None)
@given(st.lists(SPEND, max_size=10), st.lists(INVOICE, max_size=8), st.integers(0, 10**6))
def test_a_second_way_of_computing_it(spent, billed, accrual):
    spend = spend_frame(*((day, platform, f"c{i}", c, cur) for i, (day, platform, c, cur) in enumerate(spent)))
    invoices = invoices_frame(*((f"i{i}", "search", d, m, kind, c, "EUR") for i, (d, m, kind, c) in enumerate(billed)))
    booked = [(d, "2026Q3", {"media": "6100", "fee": "6110", "rebate": "6120"}[k], c) for d, m, k, c in billed]
    booked = [row for row in booked if "2026-07" <= row[0] < "2026-10"]
    ledger = ledger_frame(*booked, ("2026-09-30", "2026Q3", "6190", accrual))
    including = {"social": 0.22} if "social" in spend["platform"].to_list() else {}
    result = spend_to_ledger(spend, invoices, ledger, RATES, ACCOUNTS, "2026Q3", "EUR", including)
    assert_closes(result.table)
    found = amounts(result)

    totals = dict.fromkeys(["platform_spend", "currency", "vat"], 0)
    for day, platform, amount, currency in spent:
        if day < "2026-07":
            continue
        exact = amount * Decimal("0.9") if currency == "USD" else Decimal(amount)
        euro = cents(exact)
        net = cents(exact / Decimal("1.22")) if platform == "social" else euro
        totals["platform_spend"] += amount
        totals["currency"] += euro - amount
        totals["vat"] += net - euro
    served = [(kind, amount) for _d, month, kind, amount in billed if "2026-07" <= month < "2026-10"]
    totals["agency_fees"] = sum(amount for kind, amount in served if kind == "fee")
    totals["rebates"] = sum(amount for kind, amount in served if kind == "rebate")
    totals["invoiced_services"] = sum(amount for _kind, amount in served)
    totals["dated_invoices"] = sum(row[3] for row in booked)
    assert {step: found[step] for step in totals} == totals
    assert found["unexplained"] == 0 and result.unexplained.empty
    assert (result.checks["value_cents"] == 0).all() and result.passed

    again = spend_to_ledger(spend.iloc[::-1], invoices.iloc[::-1], ledger.iloc[::-1], *by_hand()[3:7], including)
    pd.testing.assert_frame_equal(again.table, result.table)


@pytest.mark.parametrize("missing", ["ad_spend", "invoices", "ledger"])
def test_a_missing_table_is_not_examined(missing):
    tables = dict(zip(["ad_spend", "invoices", "ledger", "fx_rates"], by_hand()[:4], strict=True)) | {missing: None}
    result = spend_to_ledger(
        **tables, accounts=ACCOUNTS, quarter="2026Q3", currency="EUR", platforms_including_vat={"social": 0.22}
    )
    assert_closes(result.table)
    found = amounts(result)
    if missing == "ad_spend":
        assert found["platform_spend"] is found["billing_difference"] is found["agency_fees"] is None
        assert found["invoiced_services"] == HAND["invoiced_services"] and found["unexplained"] == 0
    if missing == "invoices":
        assert found["dated_invoices"] is found["billing_difference"] is None
        assert found["computed_cost"] == 29262 - 200 - 2211 + 2100
        assert found["booked_cost"] == HAND["booked_cost"]
    if missing == "ledger":
        assert found["booked_cost"] is found["accruals"] is found["unexplained"] is None
        assert found["computed_cost"] == HAND["dated_invoices"]
        assert not result.passed
    for language in ("en", "it"):
        assert result.findings(language)


def test_nothing_given_is_nothing_examined():
    result = spend_to_ledger(None, None, None, None, {}, "2026Q3", "EUR")
    assert set(result.table["kind"]) == {"not_examined"} and not result.passed


def test_all_the_faults_come_together():
    spend, invoices, ledger, rates, *rest, _including = by_hand()
    spend.loc[0, "currency"] = "CHF"
    spend.loc[1, "spend_cents"] = -1
    invoices.loc[2, "currency"] = "GBP"
    ledger.loc[0, "currency"] = "USD"
    with pytest.raises(Faults) as caught:
        spend_to_ledger(spend, invoices, ledger, rates, *rest, {"sociall": 0.22})
    said = str(caught.value)
    assert len(caught.value.faults) == 5, said
    for words in ("in CHF", "negative spend", "in GBP", "ledger: amounts are in several", "'sociall' has no rows"):
        assert words in said, said


def test_the_result_is_drawn_and_told_in_both_languages():
    result = spend_to_ledger(*by_hand(extra=320))
    english, italian = result.findings("en"), result.findings("it")
    assert len(english) == len(italian) and not set(english) & set(italian)
    for language in ("en", "it"):
        assert result.plot(language=language).patches


def test_other_quarters_rows_do_not_refuse_this_one():
    """Spend and invoices of 2025 in pounds have their own rate of 2025; this quarter needs none."""
    spend, invoices, ledger, _rates, *rest = by_hand()
    old_spend = spend_frame(("2025-11-15", "search", "brand", 500, "GBP"))
    old_invoice = invoices_frame(("i0", "search", "2025-12-31", "2025-12", "media", 500, "GBP"))
    more = pd.concat([RATES, pd.DataFrame({"quarter": ["2025Q4"], "currency": ["GBP"], "rate": [1.15]})])
    spend = pd.concat([old_spend, spend], ignore_index=True)
    invoices = pd.concat([old_invoice, invoices], ignore_index=True)
    assert amounts(spend_to_ledger(spend, invoices, ledger, more, *rest)) == HAND
    invoices.loc[1, "currency"] = "CHF"
    with pytest.raises(Faults, match=r"1 rows are in CHF \(first: row 2 of the unit\)"):
        spend_to_ledger(spend, invoices, ledger, more, *rest)


def test_signs_of_vat_and_timing_by_hand():
    """VAT inside spend lowers cost; an earlier service invoiced now raises what is dated, a later invoice lowers it."""
    spend = spend_frame(("2026-07-01", "social", "s", 12200, "EUR"))
    earlier = ("i1", "social", "2026-07-05", "2026-06", "media", 3000, "EUR")
    later = ("i2", "social", "2026-10-05", "2026-09", "media", 5100, "EUR")
    for rows, timing, dated in (([earlier], 3000, 3000), ([later], -5100, 0), ([earlier, later], -2100, 3000)):
        result = spend_to_ledger(spend, invoices_frame(*rows), None, None, ACCOUNTS, "2026Q3", "EUR", {"social": 0.22})
        assert (result.amount("vat"), result.amount("invoice_timing")) == (-2200, timing)
        assert result.amount("dated_invoices") == dated


def test_currency_and_vat_are_rounded_once():
    """2.07 dollars are 1.863 euro, 1.527 without VAT: 1.53. Rounded to 1.86 in between they would be 1.52."""
    spend = spend_frame(("2026-07-01", "social", "s", 207, "USD"))
    result = spend_to_ledger(spend, None, None, RATES, ACCOUNTS, "2026Q3", "EUR", {"social": 0.22})
    assert [result.amount(step) for step in ("currency", "vat", "computed_cost")] == [-21, -33, 153]


def test_accounts_with_blanks_count_once_and_a_line_without_accounts_is_not_examined():
    spend, invoices, ledger, *rest = by_hand()
    ledger["account"] = " " + ledger["account"] + " "
    result = spend_to_ledger(spend, invoices, ledger, *rest)
    assert amounts(result) == HAND and result.passed
    chart = {line: stated for line, stated in ACCOUNTS.items() if line != "marketing_accruals"}
    result = spend_to_ledger(spend, invoices, ledger, RATES, chart, *rest[2:])
    assert result.amount("accruals") is None and result.amount("booked_cost") == HAND["booked_cost"] - 2100
    assert any("Not examined" in sentence and "accruals" in sentence for sentence in result.findings("en"))


def test_amounts_beyond_what_a_float_holds_stay_exact_and_beyond_64_bits_are_refused():
    large = 2**58 + 1
    spend = spend_frame(("2026-07-01", "search", "s", large, "EUR"))
    invoices = invoices_frame(("i1", "search", "2026-07-31", "2026-07", "media", large + 2, "EUR"))
    ledger = ledger_frame(("2026-07-31", "2026Q3", "6100", large + 5))
    result = spend_to_ledger(spend, invoices, ledger, None, ACCOUNTS, "2026Q3", "EUR")
    assert amounts(result) | {"unexplained": 3, "billing_difference": 2, "booked_cost": large + 5} == amounts(result)
    spend = spend_frame(("2026-07-01", "search", "s", 2**59, "USD"), ("2026-07-02", "search", "s", 2**59, "USD"))
    with pytest.raises(Faults, match=r"'spend' reach 11,529,215,046,068,469\.76 in sum"):
        spend_to_ledger(spend, None, None, RATES, ACCOUNTS, "2026Q3", "EUR")


def test_sentences_state_spend_in_the_units_currency():
    """Reported 292.62 with 20.00 dollars at face value; converted 290.62; booked 277.51, which is 13.11 less."""
    said = spend_to_ledger(*by_hand()).findings("en")
    assert said[0] == "The platforms report €291 of spend; the ledger has €278 of marketing cost (−€13)."
    assert said[1].endswith("comes to €293: +€2 from the face value of foreign currencies alone.")
    spend, *rest = by_hand()
    euro = spend_to_ledger(spend[spend["currency"] == "EUR"], *rest)
    assert not any("face value" in sentence for sentence in euro.findings("en"))
