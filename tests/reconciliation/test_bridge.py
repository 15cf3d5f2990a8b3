"""The bridge against cases worked by hand, against brute force, and against what must always hold."""

import math
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.reconciliation.bridge import bridge, contributions, lmdi, shapley_weights
from kpitoolkit.reconciliation.formula import Name, Number, Product, Ratio, Sum, ZeroDenominatorError, evaluate, parse

NAMES = ("a", "b", "c", "d")


def steps(result):
    inner = result.table[result.table["kind"] == "step"]
    return dict(zip(inner["step"], inner[result.value], strict=True))


def test_cost_of_acquisition_from_marketing_to_finance_basis():
    formula = "(media + salaries + tools) / (conversions - duplicates - returning)"
    before = {"media": 70_000_00, "salaries": 0, "tools": 0, "conversions": 150, "duplicates": 0, "returning": 0}
    after = before | {"salaries": 80_000_00, "tools": 5_000_00, "duplicates": 20, "returning": 10}
    result = bridge(formula, before, after, "money_per_unit", "marketing", "finance")
    assert result.table["amount"].iloc[0] == pytest.approx(466.67, abs=0.005)
    assert result.table["amount"].iloc[-1] == pytest.approx(1291.67, abs=0.005)
    found = steps(result)
    assert found["salaries"] == pytest.approx(600.00)
    assert found["tools"] == pytest.approx(37.50)
    assert found["duplicates"] == pytest.approx(125.00)
    assert found["returning"] == pytest.approx(62.50)
    assert found["media"] == found["conversions"] == 0


def test_revenue_tree():
    before = {"s": 400_000, "c": "0.020", "v": 85, "base": 52_000, "r": "0.62", "f": "1.8", "o": 70}
    after = {"s": 460_000, "c": "0.018", "v": 88, "base": 55_000, "r": "0.64", "f": "1.7", "o": 72}
    exact = [{name: Fraction(value) for name, value in end.items()} for end in (before, after)]
    found = contributions("s * c * v + base * r * f * o", *exact)
    by_hand = [98_580, -74_420, 24_480, 234_783, "132911.67", "-239390.33", "117935.67"]
    assert [round(float(share), 2) for share in found.values()] == [float(value) for value in by_hand]
    assert sum(found.values()) == 294_880


def test_parentheses_nest_and_nesting_moves_the_sessions_line_as_stated():
    before = {"s": Fraction(400_000), "c": Fraction("0.020"), "v": Fraction(85)}
    after = {"s": Fraction(460_000), "c": Fraction("0.018"), "v": Fraction(88)}
    lines = [float(contributions(text, before, after)["s"]) for text in ("s * c * v", "(s * c) * v", "s * (c * v)")]
    assert lines[0] == 98_580
    assert min(lines) == pytest.approx(98_520) and max(lines) == pytest.approx(98_610)


def test_logarithmic_means_beside_shapley():
    formula = "a1 * b1 * c1 + a2 * b2 * c2"
    before = dict(zip(("a1", "b1", "c1", "a2", "b2", "c2"), (1, 10, 2, 4, 5, 3), strict=True))
    after = dict(zip(before, (4, 5, 3, 5, 6, 4), strict=True))
    logarithmic, shapley = lmdi(formula, before, after), contributions(formula, before, after)

    def by_factor(shares):
        return [float(shares[f"{factor}1"] + shares[f"{factor}2"]) for factor in "abc"]

    assert by_factor(logarithmic) == pytest.approx([69.79006598, -9.455125793, 39.66505981], rel=1e-9)
    assert by_factor(shapley) == pytest.approx([74.3333333, -16.6666667, 42.3333333])
    result = bridge(formula, before, after, "count")
    differences = [abs(float(shapley[name]) - logarithmic[name]) for name in before]
    assert result.sensitivity == pytest.approx(max(differences)) and result.sensitivity > 1


def test_a_driver_is_the_sum_of_its_children():
    before = {"a": 3, "b": 5, "c": 2, "d": 7}
    after = {"a": 4, "b": -2, "c": 9, "d": 8}
    inside = contributions("a * (b + c / d)", before, after)
    driver = [Fraction(end["b"]) + Fraction(end["c"], end["d"]) for end in (before, after)]
    outside = contributions("a * x", before | {"x": driver[0]}, after | {"x": driver[1]})
    assert outside["x"] == inside["b"] + inside["c"] + inside["d"]
    assert outside["a"] == inside["a"]


def test_a_measure_that_stands_twice_is_one_line():
    result = bridge("(revenue - cost) / revenue", {"revenue": 100, "cost": 60}, {"revenue": 200, "cost": 90}, "share")
    assert list(steps(result)) == ["revenue", "cost"]
    assert sum(steps(result).values()) == pytest.approx(0.55 - 0.40)
    assert steps(result)["cost"] == pytest.approx(-30 * (1 / 100 + 1 / 200) / 2)


def test_a_zero_denominator_bridges_the_parts_apart_and_says_so():
    result = bridge(
        "cost / customers", {"cost": 100_00, "customers": 5}, {"cost": 140_00, "customers": 0}, "money_per_unit"
    )
    assert result.status == "zero_denominator"
    assert len(result.table) == 0
    cost, customers = result.parts
    assert cost.table["amount_cents"].tolist() == [100_00, 40_00, 140_00]
    assert customers.table["amount"].tolist() == [5, -5, 0]
    assert "denominator is zero" in result.findings()[0]
    with pytest.raises(ZeroDenominatorError):
        contributions("cost / customers", {"cost": 1, "customers": 0}, {"cost": 1, "customers": 1})


@pytest.mark.parametrize("absent", [None, math.nan])
def test_a_missing_input_is_no_figure_and_never_zero(absent):
    result = bridge("revenue - cost", {"revenue": 10, "cost": 4}, {"revenue": 12, "cost": absent})
    assert result.status == "no_figure"
    assert result.missing == ("cost",)
    assert len(result.table) == 0


def test_what_a_decomposition_leaves_over_is_a_step_of_its_own():
    before, after = {"orders": 10, "value": 50_00}, {"orders": 12, "value": 50_00}
    result = bridge("orders * value", before, after, whole=(480_00, 590_00), residual="gross_to_booked")
    assert result.table["step"].tolist() == ["before", "orders", "value", "gross_to_booked", "after"]
    assert result.table["amount_cents"].tolist() == [480_00, 100_00, 0, 10_00, 590_00]


def test_money_closes_to_the_cent_and_zero_steps_stay_zero():
    before, after = {"a": 1, "b": 1, "c": 1, "n": 3}, {"a": 2, "b": 2, "c": 1, "n": 3}
    result = bridge("(a + b + c) / n", before, after)
    amounts = result.table["amount_cents"].tolist()
    assert amounts[0] + sum(amounts[1:-1]) == amounts[-1]
    assert steps(result)["c"] == 0 and steps(result)["n"] == 0


values = st.fractions(min_value=-50, max_value=50, max_denominator=20) | st.just(Fraction(0))
ends = st.fixed_dictionaries(dict.fromkeys(NAMES, values))
trees = st.recursive(
    st.sampled_from(NAMES).map(Name) | st.integers(-3, 3).map(lambda n: Number(Fraction(n))),
    lambda inner: st.one_of(
        st.lists(st.tuples(st.sampled_from((1, -1)), inner), min_size=2, max_size=3).map(
            lambda terms: Sum(tuple(terms))
        ),
        st.lists(inner, min_size=2, max_size=3).map(lambda factors: Product(tuple(factors))),
        st.builds(Ratio, inner, inner),
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(trees, ends, ends)
def test_closes_exactly_and_is_symmetric(tree, before, after):
    try:
        there = contributions(tree, before, after)
    except ZeroDenominatorError:
        assert bridge(tree, before, after).status == "zero_denominator"
        return
    change = evaluate(tree, after) - evaluate(tree, before)
    assert sum(there.values()) == change
    back = contributions(tree, after, before)
    assert back == {name: -share for name, share in there.items()}
    table = bridge(tree, before, after).table
    if len(table):
        amounts = table["amount_cents"].tolist()
        assert amounts[0] + sum(amounts[1:-1]) == amounts[-1]
        exact = [there[name] for name in table["step"].iloc[1:-1]]
        assert all(abs(cents - share) < 2 for cents, share in zip(amounts[1:-1], exact, strict=True))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(values, values), min_size=1, max_size=5))
def test_product_weights_equal_all_orders_of_change(pairs):
    before, after = (list(end) for end in zip(*pairs, strict=True))
    orders = list(permutations(range(len(pairs))))
    brute = [Fraction(0)] * len(pairs)
    for order in orders:
        now = list(before)
        for i in order:
            was = math.prod(now)
            now[i] = after[i]
            brute[i] += (math.prod(now) - was) / len(orders)
    weights = shapley_weights(before, after)
    assert [w * (a - b) for w, b, a in zip(weights, before, after, strict=True)] == brute


@settings(deadline=None, max_examples=60)
@given(*[st.fractions(min_value=1, max_value=50, max_denominator=9)] * 4)
def test_a_ratio_of_two_measures_equals_both_orders_of_change(n0, d0, n1, d1):
    split = contributions("n / d", {"n": n0, "d": d0}, {"n": n1, "d": d1})
    first_n = n1 / d0 - n0 / d0
    last_n = n1 / d1 - n0 / d1
    assert split["n"] == (first_n + last_n) / 2


@settings(deadline=None, max_examples=60)
@given(
    st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats(0.5, 100))),
    st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats(0.5, 100))),
)
def test_logarithmic_means_close_too(before, after):
    tree = parse("a * (b + c) / d + a * d")
    split = lmdi(tree, before, after)
    change = float(evaluate(tree, after) - evaluate(tree, before))
    assert sum(split.values()) == pytest.approx(change, rel=1e-9, abs=1e-6)


def test_logarithmic_means_need_positive_inputs():
    assert lmdi("a * b", {"a": 0, "b": 1}, {"a": 1, "b": 1}) is None
    assert bridge("a * b", {"a": 0, "b": 1}, {"a": 1, "b": 1}).sensitivity is None


def test_the_largest_step_is_the_largest_whatever_its_sign():
    result = bridge("a - b", {"a": 10_00, "b": 1_00}, {"a": 15_00, "b": 31_00}, "money")
    assert result.findings("en") == ["From €9 to −€16: −€25.", "Largest step: b, −€30."]


@pytest.mark.parametrize(("formula", "units"), [("a / b", ["money", "count"]), ("c + a / b", ["number", "number"])])
def test_the_parts_of_a_ratio_without_a_value_have_units_where_they_are_known(formula, units):
    result = bridge(formula, {"a": 5_00, "b": 0, "c": 1}, {"a": 6_00, "b": 2, "c": 1}, "money_per_unit")
    assert [part.value_unit for part in result.parts] == units


def test_changes_of_a_share_are_said_in_points():
    result = bridge("a / b", {"a": 20, "b": 100}, {"a": 27, "b": 90}, "share")
    said = result.findings("en")
    assert said[0] == "From 20.0% to 30.0%: +10.0 points." and said[1] == "Largest step: a, +7.4 points."
    assert said[2].endswith("no step differs by more than 0.01 points.")
    assert result.findings("it")[0] == "Da 20,0% a 30,0%: +10,0 punti."
