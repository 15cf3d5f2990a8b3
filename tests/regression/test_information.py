"""The value of a measurement: by hand, beside closed forms, dense algebra and brute force, and its bounds."""

import itertools

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import toeplitz

from kpitoolkit.regression import information
from kpitoolkit.regression.allocate import allocate

SEEDS = st.integers(0, 10_000)


def highest(expected):
    return expected.argmax(axis=2)


def normal_draws(mean, sd, count=4000):
    return mean + sd * stats.norm.ppf((np.arange(count) + 0.5) / count)


def act_or_not(means):
    """One channel, two levels: nothing, or what the draw says."""
    return np.stack([np.zeros(len(means)), means], axis=1)[:, None, :]


def test_reading_by_hand():
    # two periods with, two without: the difference of two means of two has variance noise^2 (1/2 + 1/2)
    reading = information.read([0, 0, 3.0, 3.0], np.ones((4, 1)), 0.0, 6.0)
    assert reading.standard_error == pytest.approx(6.0 / 3.0)
    assert reading.weights.tolist() == pytest.approx([-1 / 6, -1 / 6, 1 / 6, 1 / 6])


@pytest.mark.parametrize("autocorrelation", [-0.4, 0.0, 0.3, 0.8])
def test_reading_equals_generalised_least_squares_on_the_full_covariance(autocorrelation):
    draw = np.random.default_rng(1)
    lift = np.r_[np.zeros(20), draw.uniform(0.5, 2, 6), 0.3, 0.1]
    baseline = np.column_stack([np.ones(28), np.arange(28.0)])
    revenue = draw.normal(5, 1, 28)
    covariance = 0.7**2 * toeplitz(autocorrelation ** np.arange(28.0)) / (1 - autocorrelation**2)
    whole = sm.GLS(revenue, np.column_stack([lift, baseline]), sigma=covariance).fit()
    reading = information.read(lift, baseline, autocorrelation, 0.7)
    assert reading.weights @ revenue == pytest.approx(whole.params[0], rel=1e-9)
    assert reading.standard_error == pytest.approx(np.sqrt(whole.normalized_cov_params[0, 0]), rel=1e-9)
    known = information.read(lift, None, autocorrelation, 0.7)
    assert known.standard_error == pytest.approx((lift @ np.linalg.solve(covariance, lift)) ** -0.5, rel=1e-9)
    assert known.standard_error < reading.standard_error


def test_reading_scatters_as_it_says_on_simulated_revenue():
    draw = np.random.default_rng(2)
    lift = np.r_[np.zeros(30), np.ones(8), 0.5, 0.25]
    baseline = np.column_stack([np.ones(40), np.arange(40.0)])
    reading = information.read(lift, baseline, 0.5, 1.0)
    error = np.empty((40, 20_000))
    error[0] = draw.standard_normal(20_000) / np.sqrt(0.75)
    for row in range(1, 40):
        error[row] = 0.5 * error[row - 1] + draw.standard_normal(20_000)
    read = reading.weights @ (1.7 * lift[:, None] + baseline @ [[10.0], [0.3]] + error)
    assert read.mean() == pytest.approx(1.7, abs=4 * reading.standard_error / np.sqrt(20_000))
    assert read.std() == pytest.approx(reading.standard_error, rel=0.02)


def test_a_lift_that_the_baseline_can_take_is_not_read():
    assert np.isinf(information.read(np.ones(5), np.ones((5, 1)), 0.2, 1.0).standard_error)
    assert np.isinf(information.read(np.zeros(5), None, 0.2, 1.0).standard_error)


@given(SEEDS, st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=30)
def test_every_draw_has_some_outcome(seed, standard_error):
    means = np.random.default_rng(seed).lognormal(0, 1, 50)
    likely = information.chances(means, standard_error)
    assert (likely >= 0).all()
    assert likely.sum(axis=0) == pytest.approx(np.ones(50), abs=1e-12)


@pytest.mark.parametrize("standard_error", [0.3, 1.0, 4.0])
def test_two_beliefs_by_hand(standard_error):
    # +1 or -1, as likely; acting on a reading above zero gains with chance F(1/s), loses with F(-1/s)
    likely = information.chances(np.array([-1.0, 1.0]), standard_error)
    value, gained = information.value_of_test(act_or_not(np.array([-1.0, 1.0])), likely, highest)
    right = stats.norm.cdf(1 / standard_error)
    assert value == pytest.approx(right - 0.5, abs=1e-9)
    assert gained.tolist() == pytest.approx([-(1 - right), right], abs=1e-9)


@pytest.mark.parametrize("mean", [-1.5, -0.4, 0.0, 0.7])
@pytest.mark.parametrize("standard_error", [0.2, 1.0, 3.0])
def test_normal_linear_choice_of_two_has_the_known_value(mean, standard_error):
    # Raiffa and Schlaifer's unit normal loss: s* (phi(u) - u (1 - Phi(u))), s* the spread of the posterior mean
    means = normal_draws(mean, 1.2)
    spread = 1.2**2 / np.hypot(1.2, standard_error)
    u = abs(mean) / spread
    known = spread * (stats.norm.pdf(u) - u * stats.norm.sf(u))
    likely = information.chances(means, standard_error)
    value = information.value_of_test(act_or_not(means), likely, highest)[0]
    assert value == pytest.approx(known, rel=0.01, abs=2e-4)


def test_a_perfect_test_is_worth_what_perfect_knowledge_is_and_a_useless_one_nothing():
    profits = act_or_not(normal_draws(-0.3, 1.0, 60))
    perfect = information.perfect_value(profits, highest)
    assert perfect == pytest.approx(profits[:, 0, 1].clip(min=0).mean())
    assert information.value_of_test(profits, np.eye(60), highest)[0] == pytest.approx(perfect)
    sharp = information.chances(profits[:, 0, 1], 1e-9, cells=2000)
    assert information.value_of_test(profits, sharp, highest)[0] == pytest.approx(perfect, rel=0.002)
    for blunt in (np.inf, 1e9):
        likely = information.chances(profits[:, 0, 1], blunt)
        assert information.value_of_test(profits, likely, highest)[0] == pytest.approx(0, abs=1e-12)


@given(SEEDS, st.floats(0.05, 5))
@settings(deadline=None, max_examples=20)
def test_value_lies_between_nothing_and_perfect_knowledge_and_grows_with_precision(seed, standard_error):
    draw = np.random.default_rng(seed)
    profits = np.cumsum(draw.normal(0.1, 1, (80, 3, 7)), axis=2)
    means = profits[:, 0, -1]
    counts = np.full(3, 7)

    def best(expected):
        return information.fill(np.ascontiguousarray(expected), counts, 9)

    values = [
        information.value_of_test(profits, information.chances(means, standard_error * size), best)[0]
        for size in (1, 2, 4)
    ]
    perfect = information.perfect_value(profits, best)
    assert values[0] * 1.005 >= values[1] and values[1] * 1.005 >= values[2] >= 0
    assert values[0] <= perfect


def test_value_equals_a_brute_force_simulation_of_the_test():
    draw = np.random.default_rng(7)
    size = draw.lognormal(0, 0.6, (300, 2))
    levels = np.arange(6.0)
    profits = size[:, :, None] * levels**0.6 * [[[3.0], [2.5]]] - levels
    counts = np.full(2, 6)
    choices = [(first, 5 - first) for first in range(6)]
    payoff = np.stack([profits[:, 0, one] + profits[:, 1, two] for one, two in choices], axis=1)
    outcomes = 20_000
    truth = draw.integers(0, 300, outcomes)
    heard = size[truth, 0] + 0.4 * draw.standard_normal(outcomes)
    gained = np.empty(outcomes)
    now = payoff.mean(axis=0).argmax()
    for place, outcome in enumerate(heard):
        weight = np.exp(-0.5 * ((outcome - size[:, 0]) / 0.4) ** 2)
        gained[place] = payoff[truth[place], (weight @ payoff).argmax()] - payoff[truth[place], now]

    def best(expected):
        return information.fill(np.ascontiguousarray(expected), counts, 5)

    value = information.value_of_test(profits, information.chances(size[:, 0], 0.4), best)[0]
    assert value == pytest.approx(gained.mean(), abs=4 * gained.std() / np.sqrt(outcomes))
    assert 0.05 < value < information.perfect_value(profits, best)


@given(SEEDS, st.integers(0, 10))
@settings(deadline=None, max_examples=40)
def test_filling_finds_the_best_of_all_combinations(seed, units):
    profits = np.random.default_rng(seed).normal(size=(2, 3, 6))
    counts = np.array([6, 3, 4])
    units = min(units, int((counts - 1).sum()))
    found = information.fill(profits, counts, units)
    for problem, levels in zip(profits, found, strict=True):
        sums = {
            option: sum(problem[place, level] for place, level in enumerate(option))
            for option in itertools.product(*map(range, counts))
            if sum(option) == units
        }
        assert sums[tuple(levels)] == pytest.approx(max(sums.values()))


def test_filling_equals_the_exact_allocation_on_concave_curves():
    tops, halves = np.array([4.0, 9.0, 2.0]), np.array([1.0, 3.0, 0.5])
    grid = np.linspace(0, 6, 601)
    profits = tops[:, None] * grid / (grid + halves[:, None])
    found = grid[information.fill(profits[None], np.full(3, 601), 600)[0]]
    values = [lambda x, t=t, h=h: t * x / (x + h) for t, h in zip(tops, halves, strict=True)]
    slopes = [lambda x, t=t, h=h: t * h / (x + h) ** 2 for t, h in zip(tops, halves, strict=True)]
    assert found == pytest.approx(allocate(values, slopes, [0] * 3, [6] * 3, total=6).spend, abs=0.0101)


def test_only_what_features_explain_is_kept():
    draw = np.random.default_rng(3)
    features = draw.normal(size=(1000, 4))
    noise = draw.normal(size=(1000, 25))
    linear = features[:, :1] * np.arange(1, 26)
    assert information.explained(linear, features, 1000) == pytest.approx(linear, rel=1e-6, abs=1e-6)
    kept = [
        np.square(information.explained(noise[:, [place]], features, 1000) - noise[:, place].mean()).mean()
        for place in range(25)
    ]
    assert np.mean(kept) < 0.6 * 4 / 1000  # least squares alone would keep 4 / 1000
    assert np.ptp(information.explained(noise, features[:, :0], 1000), axis=0).max() == 0


def test_spread_left_after_a_normal_test_is_the_known_one():
    values = normal_draws(3.0, 2.0)
    sd, width = information.left_after(values, information.chances(values, 1.0))
    assert sd == pytest.approx(2 / np.sqrt(5), rel=0.01)
    assert width == pytest.approx(2 * stats.norm.ppf(0.95) * 2 / np.sqrt(5), rel=0.01)
    sd, width = information.left_after(values, information.chances(values, np.inf))
    assert (sd, width) == pytest.approx((2.0, 2 * stats.norm.ppf(0.95) * 2), rel=0.005)
