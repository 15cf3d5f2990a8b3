"""The mix between units, unit by unit: each unit's own part by hand, and what is a reversal and what is not."""

from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.reconciliation import catalogue
from kpitoolkit.reconciliation.mix import mix, reversals

COLUMNS = ["numerator_before", "denominator_before", "numerator_after", "denominator_after"]


def of(*rows):
    frame = pd.DataFrame(list(rows), columns=COLUMNS)
    return mix(frame.assign(unit=[f"u{i}" for i in range(len(frame))]))


def test_each_units_own_part_by_hand():
    """Weights .8/.2 to .4/.6, ratios 5/2% to 5.5/2.2%, the group's 4.40 to 3.52%: their mean is 3.96%."""
    found = of((400, 8000, 220, 4000), (40, 2000, 132, 6000)).table
    assert found["within"].tolist() == pytest.approx([0.6 * 0.005, 0.4 * 0.002])
    assert found["mix"].tolist() == pytest.approx([(0.0525 - 0.0396) * -0.4, (0.0210 - 0.0396) * 0.4])
    assert found["weight_before"].tolist() == [0.8, 0.2] and found["weight_after"].tolist() == [0.4, 0.6]


def test_a_unit_at_the_groups_mean_ratio_has_no_mix_however_its_weight_moves():
    found = of((100, 1000, 300, 3000), (30, 200, 15, 100), (10, 200, 5, 100)).table
    assert found["mix"].iloc[0] == 0 and found["weight_after"].iloc[0] > found["weight_before"].iloc[0]


@pytest.mark.parametrize(
    ("rows", "reversal"),
    [
        ([(400, 8000, 220, 4000), (40, 2000, 132, 6000)], True),  # both up, the group down
        ([(220, 4000, 400, 8000), (132, 6000, 40, 2000)], True),  # both down, the group up
        ([(400, 8000, 220, 4000), (40, 2000, 114, 6000)], False),  # one up, one down
        ([(400, 8000, 220, 4000), (40, 2000, 120, 6000)], False),  # one up, one unchanged
        ([(50, 1000, 60, 1000), (20, 1000, 30, 1000)], False),  # all up
        ([(50, 1000, 60, 1200), (20, 1000, 20, 1000)], False),  # none moved
    ],
)
def test_a_reversal_is_every_unit_one_way_and_the_group_the_other(rows, reversal):
    assert of(*rows).reversal is reversal


@pytest.mark.parametrize("rows", [[(5, 0, 5, 10), (1, 10, 1, 10)], [(5, 10, 5, 0), (1, 10, 1, 10)]])
def test_an_amount_over_nothing_has_no_ratio_and_so_no_mix(rows):
    found = of(*rows)
    assert found.bridge.status == "no_figure" and len(found.table) == 0


def test_a_unit_that_is_gone_counts_in_the_mix_only():
    found = of((50, 100, 50, 100), (10, 100, 0, 0)).table
    assert found["within"].tolist() == [0, 0] and pd.isna(found["ratio_after"].iloc[1])
    assert found["mix"].sum() == pytest.approx(0.50 - 0.30)


amounts = st.integers(-1000, 1000)
units = st.lists(st.tuples(amounts, st.integers(1, 1000), amounts, st.integers(1, 1000)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(units, st.integers(-50, 50))
def test_a_level_common_to_all_units_changes_no_units_part(rows, shift):
    """Both quarters of every unit higher by one figure: within and mix stay, because each is held against the group."""
    was = of(*rows)
    now = of(*((n0 + shift * d0, d0, n1 + shift * d1, d1) for n0, d0, n1, d1 in rows))
    assert now.table["mix"].tolist() == pytest.approx(was.table["mix"].tolist(), abs=1e-9)
    assert now.table["within"].tolist() == pytest.approx(was.table["within"].tolist(), abs=1e-9)
    whole = [Fraction(sum(row[i] for row in rows), sum(row[i + 1] for row in rows)) for i in (0, 2)]
    assert sum(was.bridge.contributions.values()) == whole[1] - whole[0]


def measured(orders, sessions):
    rows = [
        (name, then, float(value))
        for name, values in (("orders", orders), ("sessions", sessions))
        for then, value in zip(("2025Q3", "2026Q3"), values, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["measure", "quarter", "value"])
    return frame.assign(value_unit="count", currency="", status="ok")


CONVERSION = catalogue.from_content(
    {
        "version": "1",
        "date": "2026-07-01",
        "kpis": [
            {
                "id": "conversion_rate",
                "name": {"en": "Conversion", "it": "Conversione"},
                "formula": {"finance": "orders / sessions"},
                "unit": "share",
                "owner": ["CMO"],
                "direction": 1,
                "additive": "ratio",
                "version": 1,
                "date": "2026-07-01",
            }
        ],
    }
)


def test_a_reversal_is_named_with_the_groups_figures():
    units = {"a": measured((400, 220), (8000, 4000)), "b": measured((40, 132), (2000, 6000))}
    said = reversals(CONVERSION, units, "2026Q3")
    assert said == [
        "Reversal: Conversion moved one way in every unit and the other in the group, from 4.40% to 3.52%; only the "
        "units' weights explain it."
    ]
    assert reversals(CONVERSION, {**units, "b": None}, "2026Q3") == []
    steady = {"a": measured((400, 440), (8000, 8000)), "b": measured((40, 44), (2000, 2000))}
    assert reversals(CONVERSION, steady, "2026Q3", language="it") == [
        "Nessun altro rapporto si è mosso in un senso in ogni unità e nell'altro nel gruppo."
    ]
