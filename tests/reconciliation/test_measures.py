"""Measures by hand, and the Netflix facts as their filings print them."""

import pandas as pd
import pytest

from kpitoolkit import errors, parameters, tables
from kpitoolkit.reconciliation import measures

SEGMENTS = ("Domestic Streaming", "International Streaming", "Domestic DVD")


@pytest.fixture(scope="module")
def financials():
    place = parameters.workspace("netflix-2017Q3", "group", "netflix")
    return tables.read(place, ["financials"])["financials"]


def netflix(financials, unit, basis, quarter):
    return measures.at(measures.from_financials(financials, unit, basis), quarter)


def orders(*rows, currency="EUR"):
    frame = pd.DataFrame(rows, columns=["order_id", "customer_id", "time", "gross_cents", "status"])
    return frame.assign(time=pd.to_datetime(frame["time"], format="ISO8601"), currency=currency)


ORDERS = orders(
    ("O1", "old", "2026-04-01", 10_00, "paid"),
    ("O2", "a", "2026-05-03", 20_00, "cancelled"),
    ("O3", "old", "2026-06-30 23:59:59", 30_00, "paid"),
    ("O4", "a", "2026-07-01", 40_00, "paid"),
    ("O5", "a", "2026-08-01", 50_00, "paid"),
    ("O6", "b", "2026-09-30 23:59:59", 60_00, "paid"),
    ("O7", "old", "2026-09-20", 70_00, "paid"),
)
CUSTOMERS = pd.DataFrame(
    {"customer_id": ["old", "a", "b"], "first_order_date": pd.to_datetime(["2020-01-01", "2026-05-03", "2026-09-30"])}
)


def test_orders_and_customers_by_hand():
    found = measures.at(measures.from_orders(ORDERS, CUSTOMERS, "EUR"), "2026Q3")
    assert (found["orders"], found["gross_orders"]) == (4, 220_00)
    assert (found["active_customers"], found["retained_customers"]) == (3, 1)
    assert found["new_customers"] == 2
    assert (found["orders_previous_quarter"], found["active_customers_previous_quarter"]) == (2, 1)
    assert found["retained_customers_previous_quarter"] is None
    assert found["new_customers_previous_quarter"] == 0


def test_a_quarter_that_is_only_half_there_has_no_figure():
    late = ORDERS[ORDERS["time"] >= "2026-05-20"]
    found = measures.at(measures.from_orders(late, CUSTOMERS, "EUR"), "2026Q3")
    assert found["orders"] == 4
    assert found["orders_previous_quarter"] is None and found["retained_customers"] is None


def test_claims_lead_to_new_customers_exactly():
    claims = pd.DataFrame(
        [
            ("O4", "2026-07-01"),
            ("O4", "2026-07-02"),
            ("O5", "2026-08-01"),
            ("O7", "2026-09-20"),
            ("nowhere", "2026-09-25"),
            (None, "2026-09-28"),
            ("O3", "2026-06-30"),
            ("O1", "2026-04-02"),
        ],
        columns=["order_id", "conversion_time"],
    ).assign(value_cents=10_00, currency="EUR", conversion_time=lambda f: pd.to_datetime(f["conversion_time"]))
    found = measures.at(measures.from_claims(claims, ORDERS, CUSTOMERS, "EUR"), "2026Q3")
    assert found["claimed_conversions"] == 6 and found["claimed_value"] == 60_00
    assert found["claims_without_order"] == 2
    assert found["duplicate_claims"] == 1
    assert found["claims_of_repeat_orders"] == 2
    assert found["unclaimed_first_orders"] == 1
    new = measures.at(measures.from_orders(ORDERS, CUSTOMERS, "EUR"), "2026Q3")["new_customers"]
    assert new == 6 - 2 - 1 - 2 + 1


def ledger(*rows):
    """Entries on the middle day of their quarter, and entries of zero on the first day of all and on the last."""
    frame = pd.DataFrame(rows, columns=["period", "account", "amount_cents"])
    bounds = [parameters.quarter_bounds(period) for period in frame["period"]]
    frame["date"] = [first + (last - first) / 2 for first, last in bounds]
    ends = frame.iloc[[0, -1]].assign(amount_cents=0, date=[bounds[0][0], bounds[-1][1]])
    return pd.concat([frame, ends], ignore_index=True).assign(currency="EUR")


def test_ledger_lines_by_hand_and_a_line_without_entries_is_zero():
    books = ledger(
        ("2026Q2", "4000", 90_00), ("2026Q3", "4000", 100_00), ("2026Q3", "4100", -10_00), ("2026Q3", "4500", 5_00),
        ("2026Q3", "6100", 20_00), ("2026Q3", "6120", -3_00), ("2026Q3", "7000", 8_00), ("2026Q3", "9999", 1_00),
    )  # fmt: skip
    found = measures.at(measures.from_ledger(books, parameters.ACCOUNTS, "EUR"), "2026Q3")
    assert (found["revenue"], found["marketing_cost"], found["rebates"]) == (95_00, 17_00, -3_00)
    assert found["intercompany_revenue"] == 5_00 and found["acquisition_salaries"] == 0
    assert found["revenue_previous_quarter"] == 90_00 and found["revenue_year_ago"] is None


def books_from(first, last):
    days = pd.date_range(first, last, freq="D")
    frame = pd.DataFrame({"date": days, "account": "4000", "amount_cents": 1_00, "currency": "EUR"})
    return frame.assign(period=days.to_period("Q").astype(str))


def revenue_of(books, quarter):
    return measures.at(measures.from_ledger(books, parameters.ACCOUNTS, "EUR"), quarter)["revenue"]


def test_books_that_begin_or_end_inside_a_quarter_have_no_figure_of_it():
    books = books_from("2025-09-15", "2026-05-10")
    found = measures.from_ledger(books, parameters.ACCOUNTS, "EUR")
    assert set(found["quarter"]) == {"2025Q4", "2026Q1"}
    assert revenue_of(books, "2025Q3") is None and revenue_of(books, "2026Q2") is None
    assert revenue_of(books, "2025Q4") == 92_00


def test_books_kept_by_month_cover_their_quarters():
    months = books_from("2025-01-01", "2025-12-31").assign(month=lambda f: f["date"].dt.to_period("M"))
    for day in ("first", "last"):
        kept = months.groupby("month").agg(day)
        assert revenue_of(kept, "2025Q1") == revenue_of(kept, "2025Q4") == 3_00


@pytest.mark.parametrize(
    ("first", "last", "covered"),
    [
        ("2026-07-31", "2026-08-31", True),
        ("2026-08-01", "2026-09-30", False),
        ("2026-07-01", "2026-08-31", True),
        ("2026-07-01", "2026-08-30", False),
        ("2026-07-01", "2026-08-02", False),
    ],
)
def test_orders_cover_a_quarter_of_which_at_most_thirty_days_are_not_there(first, last, covered):
    two = orders(("O1", "a", first, 1_00, "paid"), ("O2", "a", f"{last} 23:59:59.999999999", 1_00, "paid"))
    table = measures.from_orders(two, None, "EUR")
    assert ("2026Q3" in set(table["quarter"])) is covered


def test_who_is_dated_on_the_first_day_of_the_orders_is_new_and_who_is_dated_the_day_before_is_not():
    two = orders(("O1", "first", "2026-07-01 09:00", 1_00, "paid"), ("O2", "before", "2026-07-01", 1_00, "paid"))
    dates = pd.to_datetime(["2026-07-01", "2026-06-30"])
    customers = pd.DataFrame({"customer_id": ["first", "before"], "first_order_date": dates})
    assert measures.first_paid_orders(two, customers)["customer_id"].tolist() == ["first"]


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_first_orders_at_one_time_the_first_by_id_counts(reverse):
    two = orders(("O2", "a", "2026-07-01", 2_00, "paid"), ("O1", "a", "2026-07-01", 1_00, "paid"))
    customers = pd.DataFrame({"customer_id": ["a"], "first_order_date": pd.to_datetime(["2026-07-01"])})
    given = two.iloc[::-1] if reverse else two
    assert measures.first_paid_orders(given, customers)["order_id"].tolist() == ["O1"]


def test_own_accounts_replace_those_of_the_sample():
    books = ledger(("2026Q3", "70.10", 100_00), ("2026Q3", "4000", 1_00))
    found = measures.at(measures.compute({"ledger": books}, "EUR", accounts={"sales": ["70.10"]}), "2026Q3")
    assert found["revenue"] == 100_00


def test_books_in_another_currency_are_refused():
    with pytest.raises(errors.ToolkitError, match="entries in EUR where the unit keeps its books in GBP"):
        measures.from_ledger(ledger(("2026Q3", "4000", 1)), parameters.ACCOUNTS, "GBP")


RATES = pd.DataFrame({"quarter": ["2026Q3", "2026Q3"], "currency": ["GBP", "USD"], "rate": [1.17, 0.9]})


def spend(currency):
    days = pd.to_datetime(["2026-07-01", "2026-09-30"])
    return pd.DataFrame({"date": days, "spend_cents": [100_00, 50_00], "currency": currency})


def test_spend_is_converted_through_the_group_currency_and_spend_in_the_units_own_is_kept():
    found = measures.at(measures.from_ad_spend(spend("USD"), "GBP", RATES, "EUR"), "2026Q3")
    assert found["media_spend"] == round(100_00 * 0.9 / 1.17) + round(50_00 * 0.9 / 1.17) == 76_92 + 38_46
    assert measures.at(measures.from_ad_spend(spend("GBP"), "EUR", RATES, "EUR"), "2026Q3")["media_spend"] == 175_50
    both = pd.concat([spend("GBP"), spend("EUR")])
    assert measures.at(measures.from_ad_spend(both, "EUR", RATES), "2026Q3")["media_spend"] == 175_50 + 150_00


def test_each_row_is_rounded_half_to_even_as_in_the_bridges():
    """0.5 and 1.5 cents are 0 and 2; twenty rows of 0.4 cents are nothing, their sum would be 8 cents."""
    days = pd.date_range("2026-07-01", "2026-09-30", periods=22)
    rows = pd.DataFrame({"date": days, "spend_cents": [5, 15, *[4] * 20], "currency": "GBP"})
    tenth = RATES.assign(rate=0.1)
    assert measures.at(measures.from_ad_spend(rows, "EUR", tenth), "2026Q3")["media_spend"] == 2


def test_a_currency_without_any_rate_is_refused_and_a_quarter_without_one_has_no_figure():
    with pytest.raises(errors.ToolkitError, match="ad_spend: currency CHF has no rate"):
        measures.from_ad_spend(spend("CHF"), "EUR", RATES, "EUR")
    table = measures.from_ad_spend(spend("USD"), "EUR", RATES.assign(quarter="2026Q2"), "EUR")
    assert table["status"].tolist() == ["no_figure"] and table["value"].isna().all()


def test_two_sources_of_one_measure_are_refused(financials):
    given = {"ledger": ledger(("2017Q3", "4000", 1)).assign(currency="USD"), "financials": financials}
    with pytest.raises(errors.ToolkitError, match="ledger and financials both give"):
        measures.compute(given, "USD", "USD", unit_in_data="Domestic DVD", basis="2014-2018")


def test_figures_of_a_filing(financials):
    found = netflix(financials, "Domestic Streaming", "2014-2018", "2017Q3")
    assert found["revenue"] == 1_547_210_000_00 and found["revenue_year_ago"] == 1_304_333_000_00
    assert found["cost_of_sales"] == 864_408_000_00 and found["marketing_cost"] == 128_901_000_00
    assert found["total_members"] == 52_772_000 and found["net_added_members"] == 851_000
    assert found["paid_members"] == 51_345_000
    assert found["paid_members_year_ago"] is None and found["net_added_paid_members"] is None


def test_what_a_filing_does_not_print_has_no_figure(financials):
    found = netflix(financials, "Domestic Streaming", "2018Q4", "2019Q3")
    assert found["revenue_year_ago"] == 1_937_314_000_00 and found["paid_members_year_ago"] == 56_957_000
    assert found["marketing_cost_year_ago"] is None and found["cost_of_sales_year_ago"] is None
    assert found["total_members"] is None and found["net_added_paid_members"] == 517_000
    first_quarter = netflix(financials, "Domestic Streaming", "2014-2018", "2016Q1")
    assert first_quarter["total_members"] is None and first_quarter["net_added_members"] is None
    assert netflix(financials, "Domestic Streaming", "2018Q4", "2018Q4")["revenue"] is None


def test_an_unknown_basis_is_refused(financials):
    with pytest.raises(errors.ToolkitError, match=r"no rows on basis '2014-2019'\. .*Did you mean '2014-2018'"):
        measures.from_financials(financials, "Domestic Streaming", "2014-2019")


def test_two_filings_that_disagree_on_one_basis_are_a_fault(financials):
    doubled = financials.copy()
    row = (doubled["quarter"] == "2017Q3") & (doubled["filing"] == "0001065280-18-000538")
    doubled.loc[row & (doubled["unit"] == "Domestic DVD"), "revenue_cents"] += 100
    with pytest.raises(
        errors.Faults, match=r"2017Q3, Domestic DVD, basis 2014-2018: .* 2 different figures of revenue"
    ):
        measures.from_financials(doubled, "Domestic DVD", "2014-2018")


def test_no_basis_of_any_unit_contradicts_itself(financials):
    pairs = financials.loc[~financials["rounded"].astype(bool), ["unit", "basis"]].drop_duplicates()
    for unit, basis in pairs.itertuples(index=False):
        assert len(measures.from_financials(financials, unit, basis))


def test_the_facts_hold_as_the_provenance_says(financials):
    lines = ["revenue_cents", "cost_of_revenue_cents", "marketing_cost_cents", "contribution_margin_cents"]
    exact = financials[~financials["rounded"].astype(bool)].dropna(subset=lines)
    assert len(exact) == 166
    assert (exact[lines[0]] - exact[lines[1]] - exact[lines[2]] == exact[lines[3]]).all()


def test_segments_add_up_to_the_consolidated_company_to_the_thousand(financials):
    units = {unit: measures.from_financials(financials, unit, "2014-2018") for unit in (*SEGMENTS, "Consolidated")}
    held = 0
    for number in range(2013 * 4 + 1, 2018 * 4 + 3):
        quarter = f"{number // 4}Q{number % 4 + 1}"
        found = {unit: measures.at(table, quarter) for unit, table in units.items()}
        for name in ("revenue", "cost_of_sales", "marketing_cost", "contribution_margin"):
            parts = [found[unit][name] for unit in SEGMENTS]
            if None not in parts and found["Consolidated"][name] is not None:
                assert sum(parts) == found["Consolidated"][name]
                held += 1
    assert held >= 4 * 18
