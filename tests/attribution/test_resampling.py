"""Bounds of credit: computed a second way, how often they hold, what is left to percentiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kpitoolkit.attribution.resampling import credit_interval, interval, one_conversion, weights


def bounds(bags):
    return credit_interval(bags.sum(axis=0), weights() @ bags)


def test_bounds_are_those_of_a_count_with_the_same_relative_error():
    rng = np.random.default_rng(5)
    bags = rng.poisson(0.3, (200, 40)) * rng.lognormal(3.0, 0.6, (200, 40))
    point, error = bags.sum(axis=0), (weights() @ bags).std(axis=0)
    error = error * stats.t.ppf(0.95, (point / error) ** 2 + 1) / stats.norm.ppf(0.95)
    n = (point / error) ** 2
    expected = [point / n * stats.gamma.ppf(level, n + 0.5) for level in (0.05, 0.95)]
    assert np.array(bounds(bags)) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("mean", [5, 10, 50, 1000])
@pytest.mark.parametrize("spread", [0.0, 0.6, 1.0], ids=["counts", "orders", "orders very unequal"])
def test_ninety_per_cent_hold_from_few_conversions_to_many(mean, spread):
    rng = np.random.default_rng([mean, round(10 * spread)])
    orders = rng.poisson(mean / 200, (200, 400))
    bag = np.repeat(np.arange(orders.size), orders.ravel())
    bags = np.bincount(bag, rng.lognormal(0.0, spread, len(bag)), minlength=orders.size).reshape(orders.shape)
    low, high = bounds(bags)
    true = mean * np.exp(spread**2 / 2)
    assert 0.84 <= ((low <= true) & (true <= high)).mean() <= 0.98


@pytest.mark.parametrize(("spread", "least", "most"), [(1.0, 0.84, 0.90), (1.5, 0.72, 0.85)])
def test_value_is_less_sure_than_stated_where_a_few_orders_make_it(spread, least, most):
    """The weakness that docs/attribution.md states, with its size."""
    rng = np.random.default_rng(round(10 * spread))
    held = []
    for mean in (5, 10, 20, 50):
        orders = rng.poisson(mean / 200, (200, 600))
        bag = np.repeat(np.arange(orders.size), orders.ravel())
        bags = np.bincount(bag, rng.lognormal(0.0, spread, len(bag)), minlength=orders.size).reshape(orders.shape)
        low, high = bounds(bags)
        true = mean * np.exp(spread**2 / 2)
        held.append(((low <= true) & (true <= high)).mean())
    assert least <= np.mean(held) <= most


def test_one_conversion_has_bounds_of_a_size_one_can_print():
    bags = np.zeros((200, 1))
    bags[7] = 1.0
    assert np.array(bounds(bags)).ravel() == pytest.approx([0.08, 8.0], rel=0.1)


def test_refunds_and_what_does_not_vary_are_left_to_percentiles():
    refunds = np.random.default_rng(1).normal(0.02, 1.0, (200, 3))
    draws = weights() @ refunds
    low, high = interval(draws)
    point = refunds.sum(axis=0)
    assert np.array(bounds(refunds)) == pytest.approx(np.array([np.minimum(low, point), np.maximum(high, point)]))
    assert np.array(bounds(np.ones((200, 1)))).ravel() == pytest.approx([200.0, 200.0])
    assert np.array(bounds(np.zeros((200, 1)))).ravel().tolist() == [0.0, 0.0]
    assert np.isnan(credit_interval(np.array([4.0]), np.full((1000, 1), np.nan))).all()


def test_no_credit_is_no_certainty():
    nothing = np.zeros((200, 2))
    low, high = credit_interval(nothing.sum(axis=0), weights() @ nothing, one_conversion(10.0, 400.0))
    assert low.tolist() == [0.0, 0.0]
    assert high == pytest.approx([stats.chi2.ppf(0.95, 1) / 2, 40 * stats.chi2.ppf(0.95, 1) / 2])
    assert one_conversion(0.0, 0.0).tolist() == [0.0, 0.0]
    assert one_conversion(2.0, -5.0).tolist() == [1.0, 0.0]


@given(st.integers(0, 10**6), st.floats(1e-6, 1e9), st.floats(0.001, 5.0), st.floats(0.0, 3.0))
@settings(max_examples=40, deadline=None)
def test_bounds_enclose_the_point_and_scale_with_it(seed, unit, mean, spread):
    rng = np.random.default_rng(seed)
    bags = rng.poisson(mean, (200, 4)) * rng.lognormal(0.0, spread, (200, 4))
    low, high = bounds(bags)
    assert ((low >= 0) & (low <= bags.sum(axis=0)) & (bags.sum(axis=0) <= high) & np.isfinite(high)).all()
    assert np.array(bounds(bags * unit)) == pytest.approx(np.array([low, high]) * unit)
