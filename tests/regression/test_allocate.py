"""Sharing a total among curves: by hand, beside SciPy's optimiser, beside trying everything."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from kpitoolkit.errors import Faults
from kpitoolkit.regression.allocate import allocate


def hill(ceiling, half, power):
    def value(x):
        x = np.asarray(x, dtype=float)
        return ceiling * x**power / (x**power + half**power)

    def slope(x):
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore"):
            return ceiling * power * half**power * x ** (power - 1) / (x**power + half**power) ** 2

    return value, slope


def curves(*shapes):
    return [list(each) for each in zip(*[hill(*shape) for shape in shapes], strict=True)]


def worth(values, spend):
    return sum(float(value(np.array([x]))[0]) for value, x in zip(values, spend, strict=True))


def best_of_slsqp(values, slopes, low, high, total, starts, seed=0, first=None):
    draw = np.random.default_rng(seed)
    scale = worth(values, high)
    best = -np.inf
    for start in range(starts):
        share = draw.random(len(low)) if start else np.full(len(low), (total - low.sum()) / (high - low).sum())
        found = minimize(
            lambda x: -worth(values, x * total) / scale,
            np.array(first if first and not start else low + (high - low) * share) / total,
            jac=lambda x: (
                np.array([-float(s(np.array([y * total]))[0]) for s, y in zip(slopes, x, strict=True)]) * total / scale
            ),
            bounds=list(zip(low / total, high / total, strict=True)),
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 300},
        )
        spend = np.clip(found.x * total, low, high)
        if abs(spend.sum() - total) < 1e-9 * total:
            best = max(best, worth(values, spend))
    return best


def random_problem(draw, powers, count=5):
    shapes = np.column_stack(
        [draw.lognormal(0, 0.5, count) * 1e5, draw.lognormal(0, 0.5, count) * 1e4, draw.uniform(*powers, count)]
    )
    low, high = 0.05 * shapes[:, 1], shapes[:, 1] * draw.uniform(1, 4, count)
    return curves(*shapes), low, high, low.sum() + (high - low).sum() * draw.uniform(0.1, 0.9)


def test_by_hand():
    # x = sqrt(b k / multiplier) - k: at 1 these are 1, 2 and 3, at 1/4 they are 3, 5 and 7.
    values, slopes = curves((4, 1, 1), (9, 1, 1), (16, 1, 1))
    for total, multiplier, expected in ((6, 1.0, [1, 2, 3]), (15, 0.25, [3, 5, 7])):
        found = allocate(values, slopes, [0] * 3, [100] * 3, total)
        assert found.spend == pytest.approx(expected, rel=1e-9)
        assert found.multiplier == pytest.approx(multiplier, rel=1e-9)
        assert found.method == "marginal"


def test_by_hand_with_a_bound_and_with_a_free_total():
    values, slopes = curves((4, 1, 1), (9, 1, 1), (16, 1, 1))
    # the third stands at 1: two are left with sqrt(4 / m) + sqrt(9 / m) - 2 = 3, so m is 1
    assert allocate(values, slopes, [0] * 3, [9, 9, 1], 4).spend == pytest.approx([1, 2, 1], rel=1e-9)
    net = [lambda x, v=v: v(x) - x for v in values]
    net_slopes = [lambda x, s=s: s(x) - 1 for s in slopes]
    assert allocate(net, net_slopes, [0] * 3, [9, 9, 2.5]).spend == pytest.approx([1, 2, 2.5], rel=1e-9)


def test_an_infinite_slope_at_nothing_gets_something():
    values, slopes = curves((4, 1, 0.5), (4, 1, 0.5))
    assert allocate(values, slopes, [0, 0], [5, 5], 3).spend == pytest.approx([1.5, 1.5], rel=1e-9)
    tiny = allocate(values, slopes, [0, 0], [5, 5], 1e-8).spend
    assert tiny == pytest.approx([5e-9, 5e-9], rel=1e-6)


def test_straight_lines_take_the_steeper_first_and_share_what_is_equal():
    rises = (2.0, 3.0, 2.0, 1.0)
    values = [lambda x, rise=rise: rise * x for rise in rises]
    slopes = [lambda x, rise=rise: np.full(np.shape(x), rise) for rise in rises]
    found = allocate(values, slopes, [0] * 4, [4] * 4, 7).spend
    assert found[1] == 4
    assert found[3] == pytest.approx(0, abs=1e-12)
    assert found.sum() == pytest.approx(7, abs=1e-12)
    assert worth(values, found) == pytest.approx(18, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_concave_curves_are_as_good_as_the_best_that_scipy_finds(seed):
    (values, slopes), low, high, total = random_problem(np.random.default_rng(seed), (0.5, 1.0))
    found = allocate(values, slopes, low, high, total)
    best = best_of_slsqp(values, slopes, low, high, total, starts=4)
    assert found.method == "marginal"
    assert worth(values, found.spend) == pytest.approx(best, rel=1e-6)
    assert worth(values, found.spend) >= best * (1 - 1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_s_shaped_curves_are_at_least_as_good_as_every_point_of_the_grid(seed):
    draw = np.random.default_rng(seed)
    shapes = np.column_stack([draw.lognormal(0, 0.5, 3), draw.lognormal(0, 0.5, 3), draw.uniform(1.5, 5, 3)])
    values, slopes = curves(*shapes)
    steps, low = 40, np.zeros(3)
    total = 0.6 * shapes[:, 1].sum()
    high = np.full(3, total)
    tried = [
        worth(values, np.array([a, b, steps - a - b]) * total / steps)
        for a, b in itertools.product(range(steps + 1), repeat=2)
        if a + b <= steps
    ]
    found = allocate(values, slopes, low, high, total, steps=steps)
    assert found.method == "grid"
    assert worth(values, found.spend) >= max(tried) * (1 - 1e-12)
    fine = allocate(values, slopes, low, high, total, steps=400)
    assert worth(values, found.spend) == pytest.approx(worth(values, fine.spend), rel=5e-3)


def test_a_threshold_that_gradients_do_not_cross():
    # Both curves bring nothing until 1 is spent: the whole of 1.5 belongs to one of them, halves bring little.
    values, slopes = curves((1.0, 1, 12), (1.1, 1, 12))
    low, high = np.zeros(2), np.full(2, 2.0)
    found = allocate(values, slopes, low, high, 1.5).spend
    assert found == pytest.approx([0, 1.5], abs=0.2)
    assert worth(values, found) >= worth(values, [0, 1.5])
    assert worth(values, found) > 2 * worth(values, [0.75, 0.75])
    from_today = best_of_slsqp(values, slopes, low, high, 1.5, starts=1, first=[1.5, 0])
    assert worth(values, found) > 1.05 * from_today


shapes_of_curves = st.lists(
    st.tuples(st.floats(0.1, 1e6), st.floats(0.1, 1e4), st.floats(0.3, 6), st.floats(0, 2), st.floats(0, 3)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(shapes_of_curves, st.floats(0, 1))
def test_sums_and_bounds_always_hold_and_no_step_between_two_curves_gains(shapes, share):
    values, slopes = curves(*[shape[:3] for shape in shapes])
    low = np.array([half * start for _b, half, _s, start, _width in shapes])
    high = low + np.array([half * width for _b, half, _s, _start, width in shapes])
    total = low.sum() + share * (high - low).sum()
    spend = allocate(values, slopes, low, high, total, steps=60).spend
    assert (spend >= low).all()
    assert (spend <= high).all()
    assert spend.sum() == pytest.approx(total, rel=1e-12)
    reached = worth(values, spend)
    for one, other in itertools.permutations(range(len(shapes)), 2):
        for moved in np.array([1e-6, 1e-3]) * total:
            step = spend.copy()
            step[one], step[other] = spend[one] + moved, spend[other] - moved
            if step[one] <= high[one] and step[other] >= low[other]:
                assert worth(values, step) <= reached * (1 + 1e-9)


def test_the_unit_of_money_does_not_matter():
    (values, slopes), low, high, total = random_problem(np.random.default_rng(3), (0.8, 3.0))
    plain = allocate(values, slopes, low, high, total).spend
    small = allocate(
        [lambda x, v=v: 1e-9 * v(x * 1e6) for v in values],
        [lambda x, s=s: 1e-3 * s(x * 1e6) for s in slopes],
        low / 1e6,
        high / 1e6,
        total / 1e6,
    ).spend
    assert small * 1e6 == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "total", "message"),
    [
        ([0, 0], [1, 1], 3, "the bounds allow 0 to 2, and the total is 3"),
        ([2, 2], [3, 3], 3, "the bounds allow 4 to 6, and the total is 3"),
        ([2, 0], [1, 3], 3, "the lower bound 2 lies above the upper bound 1"),
        ([0, 0], [1, np.nan], 1, "a bound is not a number"),
        ([0, 0], [1, 1], np.nan, "the total is not a number"),
    ],
)
def test_bounds_that_cannot_be_kept_are_refused(low, high, total, message):
    values, slopes = curves((4, 1, 1), (9, 1, 1))
    with pytest.raises(Faults, match=message):
        allocate(values, slopes, low, high, total)
