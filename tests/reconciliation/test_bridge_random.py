"""What always holds of the bridge, over random formulas: nested, with zeros, negatives and measures that stand twice.

A measure that does not change contributes exactly nothing, under every rule and wherever it stands. The converse is not
promised: a measure that cancels out of a formula (``a * b / b``) keeps its two lines' sum, which need not be zero.
"""

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kpitoolkit.reconciliation import formula as formulas
from kpitoolkit.reconciliation.bridge import bridge, contributions, lmdi, without_zero_steps
from kpitoolkit.reconciliation.formula import Name, Number, Product, Ratio, Sum, ZeroDenominatorError, evaluate, parse

NAMES = ("a", "b", "c", "d", "e")
SEEDED = settings(deadline=None, max_examples=70, derandomize=True)
FEWER = settings(deadline=None, max_examples=40, derandomize=True)

numbers = st.one_of(
    st.just(Fraction(0)),
    st.integers(-5, 5).map(Fraction),
    st.fractions(min_value=-1000, max_value=1000, max_denominator=30),
)
ends = st.fixed_dictionaries(dict.fromkeys(NAMES, numbers))
constants = st.sampled_from(("0", "1", "2", "0.5", "3.25", "100")).map(lambda text: Number(Fraction(text)))


def trees(leaves, signs=(1, -1), most=8):
    def grown(inner):
        terms = st.lists(st.tuples(st.sampled_from(signs), inner), min_size=1, max_size=4)
        return st.one_of(
            terms.filter(lambda found: len(found) > 1 or found[0][0] == -1).map(lambda found: Sum(tuple(found))),
            st.lists(inner, min_size=2, max_size=4).map(lambda factors: Product(tuple(factors))),
            st.builds(Ratio, inner, inner),
        )

    return st.recursive(leaves, grown, max_leaves=most)


anything = trees(st.one_of(st.sampled_from(NAMES).map(Name), constants))
positive = trees(st.sampled_from(NAMES).map(Name), signs=(1,))


def split(tree, before, after):
    """The contributions; a formula without a value at one end is another test's matter."""
    try:
        return contributions(tree, before, after)
    except ZeroDenominatorError:
        assume(False)


def change(tree, before, after):
    return evaluate(tree, after) - evaluate(tree, before)


def renamed(tree, other):
    return formulas.replace(tree, {name: Name(own) for name, own in other.items()})


def written(node, inside=False):
    """A tree as an analyst types it, every nested node in parentheses."""
    match node:
        case Number(value):
            return str(float(value))
        case Name(name):
            return name
        case Sum(((-1, only),)):
            text = "-" + written(only, inside=True)
        case Sum(((first, _), *_) as terms):
            text = " ".join(f"{'+' if sign == 1 else '-'} {written(term, inside=True)}" for sign, term in terms)
            text = text.removeprefix("+ ") if first == 1 else text
        case Product(factors):
            text = " * ".join(written(factor, inside=True) for factor in factors)
        case Ratio(above, below):
            text = f"{written(above, inside=True)} / {written(below, inside=True)}"
    return f"({text})" if inside else text


@SEEDED
@given(anything, ends, ends)
def test_the_steps_sum_to_the_change_exactly_and_turn_round_with_it(tree, before, after):
    found = split(tree, before, after)
    assert list(found) == formulas.names(tree)
    assert all(isinstance(share, Fraction) for share in found.values())
    assert sum(found.values()) == change(tree, before, after)
    assert contributions(tree, after, before) == {name: -share for name, share in found.items()}
    assert not any(contributions(tree, before, before).values())


@SEEDED
@given(anything, ends, ends, st.permutations(NAMES))
def test_a_measures_name_and_its_place_in_a_sum_or_product_change_nothing(tree, before, after, order):
    found = split(tree, before, after)
    other = dict(zip(NAMES, order, strict=True))
    moved = contributions(renamed(tree, other), *({other[n]: v for n, v in end.items()} for end in (before, after)))
    assert moved == {other[name]: share for name, share in found.items()}

    def mirrored(node):
        match node:
            case Sum(terms):
                return Sum(tuple((sign, mirrored(term)) for sign, term in reversed(terms)))
            case Product(factors):
                return Product(tuple(mirrored(factor) for factor in reversed(factors)))
            case Ratio(above, below):
                return Ratio(mirrored(above), mirrored(below))
        return node

    assert contributions(mirrored(tree), before, after) == found


@FEWER
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=3), numbers, numbers)
def test_factors_that_move_alike_contribute_alike(others, b, a):
    names = ["x", "y", *(f"z{i}" for i in range(len(others)))]
    before, after = ({"x": v, "y": v} | {f"z{i}": o[w] for i, o in enumerate(others)} for w, v in ((0, b), (1, a)))
    found = contributions(" * ".join(names), before, after)
    assert found["x"] == found["y"]


@SEEDED
@given(anything, ends, ends, st.sets(st.sampled_from(NAMES), min_size=1))
def test_what_does_not_change_contributes_nothing_under_every_rule(tree, before, after, still):
    after = after | {name: before[name] for name in still}
    found = split(tree, before, after)
    assert all(found[name] == 0 for name in still & set(found))
    assert sum(found.values()) == change(tree, before, after)


def test_a_measure_that_cancels_out_of_the_formula_may_still_have_a_line():
    before, after = {"a": 2, "b": 1}, {"a": 6, "b": 4}
    found = contributions("a * b / b", before, after)
    assert found["b"] != 0 and sum(found.values()) == 4
    assert contributions("a + b - b", before, after) == {"a": 4, "b": 0}


@SEEDED
@given(anything, anything, ends, ends, st.fractions(min_value=-9, max_value=9, max_denominator=7))
def test_formulas_that_are_added_or_scaled_have_their_steps_added_or_scaled(one, two, before, after, factor):
    first, second = split(one, before, after), split(two, before, after)
    both = contributions(Sum(((1, one), (-1, two))), before, after)
    assert both == {name: first.get(name, 0) - second.get(name, 0) for name in both}
    scaled = contributions(Product((one, Number(factor))), before, after)
    assert scaled == {name: factor * share for name, share in first.items()}


@SEEDED
@given(anything, anything, ends, ends)
def test_a_parent_is_the_sum_of_its_children_at_every_level(outer, inner, before, after):
    """A driver ``x`` in a formula, then the driver's own formula in its place."""
    outer = formulas.replace(outer, {"a": Name("x")})
    inner = renamed(inner, {name: f"{name}_inside" for name in NAMES})
    crossed = list(zip(NAMES, reversed(NAMES), strict=True))
    inside = [{f"{name}_inside": end[other] for name, other in crossed} for end in (before, after)]
    try:
        values = [evaluate(inner, end) for end in inside]
    except ZeroDenominatorError:
        assume(False)
    whole = split(outer, before | {"x": values[0]}, after | {"x": values[1]})
    parts = contributions(formulas.replace(outer, {"x": inner}), before | inside[0], after | inside[1])
    assert sum(share for name, share in parts.items() if name.endswith("_inside")) == whole.pop("x", 0)
    assert {name: share for name, share in parts.items() if not name.endswith("_inside")} == whole


@SEEDED
@given(anything, ends, ends)
def test_a_formula_reads_as_it_is_written(tree, before, after):
    text = written(tree)
    assume(len(text) <= formulas.LENGTH_LIMIT)
    found = split(tree, before, after)
    assert contributions(text, before, after) == found
    assert evaluate(parse(text), after) == evaluate(tree, after)


@SEEDED
@given(anything, anything, ends, ends, st.booleans())
def test_a_zero_denominator_gives_a_status_and_never_a_number(above, inner, before, after, at_the_start):
    """The denominator ``(f - f of that end)`` is zero at that end, whatever f is."""
    end = before if at_the_start else after
    try:
        zero = Sum(((1, inner), (-1, Number(evaluate(inner, end)))))
        evaluate(above, before), evaluate(above, after), evaluate(inner, before), evaluate(inner, after)
    except ZeroDenominatorError:
        assume(False)
    tree = Sum(((1, Name("a")), (1, Ratio(above, zero))))
    with pytest.raises(ZeroDenominatorError):
        contributions(tree, before, after)
    for unit in ("money", "money_per_unit", "share"):
        result = bridge(tree, before, after, unit)
        assert result.status == "zero_denominator" and len(result.table) == 0
        assert result.contributions is None and result.sensitivity is None
        assert not any(character.isdigit() for said in result.findings() for character in said)
        assert [part.status for part in result.parts] == ["ok", "ok"]
        for part, node in zip(result.parts, (above, zero), strict=True):
            assert part.table[part.value].iloc[-1] == pytest.approx(float(evaluate(node, after)))


@SEEDED
@given(anything, ends, ends, st.none() | st.tuples(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6)))
def test_money_closes_in_whole_cents_with_and_without_a_residual(tree, before, after, whole):
    found = split(tree, before, after)
    result = bridge(tree, before, after, whole=whole)
    cents = result.table["amount_cents"].tolist()
    assert all(isinstance(amount, int) for amount in cents)
    assert cents[0] + sum(cents[1:-1]) == cents[-1]
    expected = whole or (round(evaluate(tree, before)), round(evaluate(tree, after)))
    assert (cents[0], cents[-1]) == expected
    steps = dict(zip(result.table["step"].iloc[1:-1], cents[1:-1], strict=True))
    if whole is not None:
        rest = whole[1] - whole[0] - change(tree, before, after)
        found = found | {"residual": rest}
    assert list(steps) == list(found)
    assert all(abs(steps[name] - share) < 2 for name, share in found.items())
    kept = without_zero_steps(result).table
    assert kept["position"].tolist() == list(range(len(kept)))
    moved = [name for name in steps if steps[name] != 0]
    assert kept["step"].tolist() == ["before", *moved, "after"]


@FEWER
@given(anything, ends, ends, st.sampled_from(["share", "count", "ratio", "index", "money_per_unit"]))
def test_figures_that_are_no_money_close_to_the_ninth_digit(tree, before, after, unit):
    found = split(tree, before, after)
    amounts = bridge(tree, before, after, unit).table["amount"].tolist()
    scale = 100 if unit == "money_per_unit" else 1
    assert amounts[-1] == float(evaluate(tree, after) / scale)
    assert amounts[1:-1] == [float(share / scale) for share in found.values()]
    largest = max(map(abs, amounts))
    assert math.fsum(amounts[:-1]) == pytest.approx(amounts[-1], rel=1e-9, abs=1e-9 * largest)


@FEWER
@given(anything, ends, ends, st.sampled_from(NAMES), st.sampled_from([None, math.nan, "absent"]), st.booleans())
def test_an_input_without_a_figure_is_named_and_never_taken_as_zero(tree, before, after, lost, absent, at_the_start):
    assume(lost in formulas.names(tree))
    end = before if at_the_start else after
    end.pop(lost)
    end |= {} if absent == "absent" else {lost: absent}
    result = bridge(tree, before, after)
    assert (result.status, result.missing, len(result.table)) == ("no_figure", (lost,), 0)


small = st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats(0.5, 20)))


@SEEDED
@given(positive, small, small)
def test_logarithmic_means_close_on_the_same_change(tree, before, after):
    found = lmdi(tree, before, after)
    expected = float(change(tree, before, after))
    largest = max([abs(expected), *map(abs, found.values()), float(evaluate(tree, before))])
    assert list(found) == formulas.names(tree)
    assert sum(found.values()) == pytest.approx(expected, abs=1e-9 * largest)
    still = after | {"a": before["a"]}
    assert lmdi(tree, before, still).get("a", 0) == 0


@SEEDED
@given(positive, small, st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats(-0.01, 0.01))))
def test_the_two_methods_meet_where_changes_are_small(tree, before, moves):
    """They differ in the third order of the moves only: a hundredth of a per cent of a step is far above it."""
    after = {name: value * (1 + moves[name]) for name, value in before.items()}
    exact, logarithmic = contributions(tree, before, after), lmdi(tree, before, after)
    count = len(formulas.leaves(tree))
    size = float(max(evaluate(tree, before), evaluate(tree, after)))
    for name, share in exact.items():
        assert logarithmic[name] == pytest.approx(float(share), abs=count**3 * 0.01**3 * size)


@FEWER
@given(st.floats(0.5, 50), st.floats(0.5, 50), st.floats(0.5, 50), st.floats(0.5, 50))
def test_two_factors_by_logarithmic_means_as_the_textbook_writes_them(p0, q0, p1, q1):
    """Ang (2005): L(V1, V0) ln(p1 / p0), with L the logarithmic mean of the two values."""
    found = lmdi("p * q", {"p": p0, "q": q0}, {"p": p1, "q": q1})
    before, after = p0 * q0, p1 * q1
    mean = before if math.isclose(before, after, rel_tol=1e-12) else (after - before) / math.log(after / before)
    size = max(before, after)
    assert found["p"] == pytest.approx(mean * math.log(p1 / p0), rel=1e-6, abs=1e-9 * size)
    assert found["q"] == pytest.approx(mean * math.log(q1 / q0), rel=1e-6, abs=1e-9 * size)


@FEWER
@given(positive, small, small)
def test_the_sensitivity_is_the_largest_difference_between_the_two_methods(tree, before, after):
    exact, logarithmic = contributions(tree, before, after), lmdi(tree, before, after)
    result = bridge(tree, before, after, "money_per_unit")
    if len(exact) < 2:
        assert result.sensitivity is None
        return
    largest = max(abs(float(share) - logarithmic[name]) for name, share in exact.items())
    assert result.sensitivity == pytest.approx(largest / 100)
    assert bridge(tree, before, after, "count").sensitivity == pytest.approx(largest)
