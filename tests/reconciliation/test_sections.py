"""What a page says above a table, and that nothing is said above nothing."""

from types import SimpleNamespace

import pandas as pd
import pytest

from kpitoolkit.reconciliation import sections

GRADES = pd.DataFrame({"platform": ["social"], "grade": ["A"], "with_order_id": [1.0], "rows": [3]})
SUMS = pd.DataFrame({"channel": ["social", "total"], "claimed_cents": [1_234_56, 1_234_56]})


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
