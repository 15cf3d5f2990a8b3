"""The worked cases of the project's definition and of the literature, to the digits in which they are printed."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.reconciliation import evidence, intervals, lifetime_models, mix, rollup, triangulation
from kpitoolkit.reconciliation.bridge import bridge, contributions, lmdi


def fractions(**values):
    return {name: Fraction(value) for name, value in values.items()}


def amounts(result):
    return dict(zip(result.table["step"], result.table[result.value], strict=True))


def test_cost_of_acquisition_from_70_000_over_150_to_155_000_over_120():
    formula = "(media + salaries + tools) / (conversions - duplicates - returning)"
    before = {"media": 70_000_00, "salaries": 0, "tools": 0, "conversions": 150, "duplicates": 0, "returning": 0}
    after = before | {"salaries": 80_000_00, "tools": 5_000_00, "duplicates": 20, "returning": 10}
    found = amounts(bridge(formula, before, after, "money_per_unit", "marketing_basis", "finance_basis"))
    assert {step: round(amount, 2) for step, amount in found.items()} == {
        **{"marketing_basis": 466.67, "media": 0, "salaries": 600.00, "tools": 37.50, "conversions": 0},
        **{"duplicates": 125.00, "returning": 62.50, "finance_basis": 1291.67},
    }


TREE = "sessions * conversion * value + base * retention * frequency * order"
BEFORE = fractions(
    **{"sessions": 400_000, "conversion": "0.020", "value": 85},
    **{"base": 52_000, "retention": "0.62", "frequency": "1.8", "order": 70},
)
AFTER = fractions(
    **{"sessions": 460_000, "conversion": "0.018", "value": 88},
    **{"base": 55_000, "retention": "0.64", "frequency": "1.7", "order": 72},
)


def test_revenue_tree():
    found = contributions(TREE, BEFORE, AFTER)
    assert sum(found.values()) == 294_880
    assert {name: round(float(share), 2) for name, share in found.items()} == {
        **{"sessions": 98_580, "conversion": -74_420, "value": 24_480},
        **{"base": 234_783, "retention": 132_911.67, "frequency": -239_390.33, "order": 117_935.67},
    }
    assert [found[name] for name in ("sessions", "conversion", "value", "base")] == [98_580, -74_420, 24_480, 234_783]


@pytest.mark.parametrize(
    ("formula", "sessions"),
    [
        ("sessions * conversion * value", 98_580),
        ("sessions * (conversion * value)", 98_520),
        ("(sessions * conversion) * value", 98_610),
        ("(sessions * value) * conversion", 98_610),
    ],
)
def test_how_the_revenue_tree_nests_moves_its_sessions_line(formula, sessions):
    assert contributions(formula, BEFORE, AFTER)["sessions"] == sessions


def test_logarithmic_means_and_shapley_from_80_to_180():
    formula = "a1 * b1 * c1 + a2 * b2 * c2"
    before = dict(zip(("a1", "b1", "c1", "a2", "b2", "c2"), (1, 10, 2, 4, 5, 3), strict=True))
    after = dict(zip(before, (4, 5, 3, 5, 6, 4), strict=True))
    logarithmic, shapley = lmdi(formula, before, after), contributions(formula, before, after)
    by_factor = [logarithmic[f"{factor}1"] + logarithmic[f"{factor}2"] for factor in "abc"]
    assert by_factor == pytest.approx([69.79006598, -9.455125793, 39.66505981], rel=5e-10)
    exact = [shapley[f"{factor}1"] + shapley[f"{factor}2"] for factor in "abc"]
    assert exact == [Fraction(223, 3), Fraction(-50, 3), Fraction(127, 3)]
    assert [round(float(share), 4) for share in exact] == [74.3333, -16.6667, 42.3333]


def test_a_mix_that_reverses_what_both_units_did():
    sessions = pd.DataFrame(
        {
            **{"unit": ["a", "b"], "numerator_before": [400, 40], "denominator_before": [8000, 2000]},
            **{"numerator_after": [220, 132], "denominator_after": [4000, 6000]},
        }
    )
    found = mix.mix(sessions)
    assert [round(100 * amount, 2) for amount in found.bridge.table["amount"]] == [4.40, 0.38, -1.26, 3.52]
    assert found.bridge.contributions == {
        "within_units": Fraction(38, 10_000),
        "mix_between_units": Fraction(-126, 10_000),
    }
    assert found.table["ratio_before"].tolist() == [0.050, 0.020] and found.table["ratio_after"].tolist() == [
        0.055,
        0.022,
    ]
    assert found.reversal


def test_three_units_in_two_currencies_make_a_group_of_10_090_000():
    def unit(revenue, currency, intercompany=0):
        values = {"revenue": revenue, "intercompany_revenue": intercompany}
        frame = pd.DataFrame({"measure": list(values), "value": values.values(), "currency": currency})
        return frame.assign(quarter="2026Q3", value_unit="money")

    units = {"a": unit(5_000_000_00, "EUR", 250_000_00), "b": unit(3_000_000_00, "EUR"), "c": unit(2_000_000_00, "GBP")}
    rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["GBP"], "rate": [1.17]})
    stated = pd.DataFrame({"measure": ["revenue"], "quarter": ["2026Q3"], "value": [10_090_000_00]})
    table = rollup.roll_up(units, "2026Q3", "EUR", rates, stated).table
    found = dict(zip(table["step"], table["amount_cents"], strict=True))
    assert found["computed_revenue"] == found["group_revenue"] == 10_090_000_00
    assert found["sum_of_units"] == 10_340_000_00 and found["intercompany"] == -250_000_00 and found["unexplained"] == 0


BENJAMINI_HOCHBERG_1995 = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
]
"""P-values of their section 3.2, treatments of myocardial infarction (J. R. Statist. Soc. B 57, 1995)."""


def test_fifteen_p_values_of_benjamini_and_hochberg():
    p_values = np.array(BENJAMINI_HOCHBERG_1995)
    assert (p_values <= 0.05 / 15).sum() == 3  # Bonferroni
    shuffled = np.random.default_rng(0).permutation(15)
    q = evidence._false_discoveries(p_values[shuffled])
    assert sorted(p_values[shuffled][q <= 0.05]) == BENJAMINI_HOCHBERG_1995[:4]
    assert evidence.holm(p_values)[:4] == pytest.approx([0.0015, 0.0056, 0.0247, 0.1140])


def test_a_model_and_an_experiment_pooled_on_the_plain_scale():
    found = triangulation.pool([1.20, 0.85], [0.30, 0.20])
    assert (round(found.estimate, 4), round(found.error, 4), round(found.q, 4)) == (0.9577, 0.1664, 0.9423)
    assert round(found.estimate / 4.10, 4) == 0.2336


def test_a_promoter_score_of_500_answers():
    low, high = intervals.net_interval(positive=200, negative=100, answers=500)
    assert round(50 * (low + high), 1) == 20.0 and round(50 * (high - low), 1) == 6.6


def test_the_lifetime_value_of_a_subscriber_under_both_conventions():
    margin = 19.95 - 1.50 - 0.50
    values = [lifetime_models.subscriber(margin, 0.995, 0.01, first) for first in ("after_first_period", "at_once")]
    assert [round(value, 2) for value in values] == [1190.68, 1208.63]
