"""What a page says above a table, and that nothing is said above nothing."""

from types import SimpleNamespace

import pandas as pd
import pytest

from kpitoolkit.reconciliation import sections

GRADES = pd.DataFrame({"platform": ["social"], "grade": ["A"], "with_order_id": [1.0], "rows": [3]})
SUMS = pd.DataFrame({"channel": ["social", "total"], "claimed_cents": [1_234_56, 1_234_56]})


def test_each_difference_names_the_ledger_lines_that_stand_there_also_of_another_period():
    day = pd.Timestamp("2026-09-03")
    found = pd.DataFrame(
        {
            **{"account": ["4000", "4100", ""], "line": ["sales", "returns", ""], "date": [day] * 3},
            **{"grain": ["day", "month", "quarter"], "expected_cents": [9_548_98, 1, None]},
            **{"booked_cents": [0, 3, None], "difference_cents": [-9_548_98, 2, 5]},
        }
    )
    ledger = pd.DataFrame(
        {
            **{"line": ["R1", "R2", "R3"], "date": [day, day, day - pd.Timedelta(days=1)]},
            **{"account": ["4000", "5000", "4000"], "period": ["2026Q2", "2026Q3", "2026Q3"]},
        }
    )
    bridge = SimpleNamespace(unexplained=found, currency="GBP")
    shown = sections.differences(bridge, ledger, "2026Q3", "en").plain
    assert "R1 (Q2 2026)" in shown and "R2" not in shown and "R3" not in shown and "9,548.98" in shown
    assert sections.differences(bridge, None, "2026Q3") is None
    assert sections.differences(SimpleNamespace(unexplained=found.tail(1), currency="GBP"), ledger, "2026Q3") is None


@pytest.mark.parametrize(("language", "meaning"), [("en", "A order by order"), ("it", "A ordine per ordine")])
def test_grades_stand_under_what_a_grade_means_and_nothing_stands_alone(language, meaning):
    shown = sections.grades(SimpleNamespace(platform_grades=GRADES, currency="EUR"), language)
    assert meaning in shown.html and "100" in shown.html
    assert sections.grades(SimpleNamespace(platform_grades=GRADES.head(0), currency="EUR"), language) is None


@pytest.mark.parametrize(
    ("language", "meaning"), [("en", "What each view adds up to"), ("it", "Quanto somma ogni sguardo")]
)
def test_sums_stand_under_what_they_are(language, meaning):
    labels = {"claimed_cents": "claimed_value"}
    shown = sections.sums(SimpleNamespace(sums=SUMS, sums_labels=labels, currency="EUR"), language)
    assert meaning in shown.html
    assert sections.sums(SimpleNamespace(sums=SUMS.head(0), sums_labels=labels, currency="EUR"), language) is None


def test_a_group_that_lacks_a_unit_reads_no_orders():
    declared = {"ledger", "orders", "customers", "fx_rates", "surveys"}
    assert sections.tables_of_group(declared) == ["customers", "fx_rates", "ledger", "orders"]
    assert sections.tables_of_group(declared, complete=False) == ["fx_rates", "ledger"]
