"""The log posterior against other ways of writing it, and its gradient against differences."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from kpitoolkit.regression import density, transforms
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import ADSTOCKS, SATURATIONS, problem

WEEKS, ROWS = 30, 42


def made(adstock="geometric", saturation="hill", seed=0, tests=False):
    draw = np.random.default_rng(seed)
    ends = pd.date_range("2025-01-05", periods=ROWS, freq="7D")
    frame = pd.DataFrame({"revenue": draw.uniform(800, 1200, ROWS)}, index=ends)
    frame["tv"] = draw.uniform(10, 90, ROWS) * (draw.random(ROWS) < 0.5)
    frame["search"] = draw.uniform(20, 60, ROWS)
    frame["price"] = draw.normal(size=ROWS)
    frame.iloc[ROWS - WEEKS + 12 : ROWS - WEEKS + 16, frame.columns.get_loc("tv")] = 0.0
    # against no spend; against twice what was spent; halved; switched off everywhere and compared with what was usual
    shown = frame.iloc[-WEEKS:]
    compared = [0.0, 2 * shown["search"].iloc[22:30].sum(), 0.5 * shown["search"].iloc[2:6].sum(), 180.0]
    lift = pd.DataFrame({"channel": ["tv", "search", "search", "tv"], "first": [4, 22, 2, 12], "last": [9, 29, 5, 15]})
    lift = lift.assign(compared=compared, iroas=[1.5, 0.8, 1.2, 2.0], log_sd=[0.2, 0.4, 0.3, 0.25])
    stated = {"adstock": adstock, "saturation": saturation, "lift_tests": lift if tests else None}
    return problem(frame, ["tv", "search"], ["price"], window=WEEKS, **stated)


def height(found, position):
    return density.log_posterior(position, np.empty(len(position)), *found.arrays())


@pytest.mark.parametrize("adstock", ADSTOCKS)
@pytest.mark.parametrize("saturation", SATURATIONS)
@pytest.mark.parametrize("tests", [False, True])
def test_gradient_is_the_slope_of_the_density(adstock, saturation, tests):
    found = made(adstock, saturation, tests=tests)
    draw = np.random.default_rng(1)
    for _ in range(3):
        position = found.prior.mean + 0.5 * draw.standard_normal(len(found.prior.mean))
        gradient = np.empty(len(position))
        density.log_posterior(position, gradient, *found.arrays())
        for place in range(len(position)):
            step = np.zeros(len(position))
            step[place] = 1e-5
            slope = (height(found, position + step) - height(found, position - step)) / 2e-5
            assert gradient[place] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def plain(found, position):
    """The same density as a multivariate normal with the whole covariance, media by the transforms of the package."""
    count = len(found.channels)
    iroas, half = np.exp(position[:count]), np.exp(position[2 * count : 3 * count])
    kept, slope = expit(position[count : 2 * count]), np.exp(position[3 * count : 4 * count])
    media = np.zeros(WEEKS)
    for c in range(count):
        column = transforms.response(found.spend[:, c], kept[c], half[c], window=WEEKS, slope=slope[c])
        media += iroas[c] * column / found.spend[-WEEKS:, c].sum() * found.spent[c]
    rho, noise = np.tanh(position[-2]), np.exp(position[-1])
    lag = np.abs(np.subtract.outer(np.arange(WEEKS), np.arange(WEEKS)))
    error = noise**2 / (1 - rho**2) * rho**lag
    design, (means, sd) = found.baseline.to_numpy(), found.prior.baseline
    mean, covariance = design @ means + media, error + design @ np.diag(sd**2) @ design.T
    likelihood = stats.multivariate_normal.logpdf(found.revenue, mean, covariance)
    return likelihood + stats.multivariate_normal.logpdf(position, found.prior.mean, found.prior.covariance)


def test_density_is_the_multivariate_normal_with_the_baseline_integrated_out():
    found = made()
    draw = np.random.default_rng(2)
    positions = found.prior.mean + 0.5 * draw.standard_normal((5, len(found.prior.mean)))
    ours = np.array([height(found, each) for each in positions])
    other = np.array([plain(found, each) for each in positions])
    assert np.diff(ours) == pytest.approx(np.diff(other), rel=1e-5, abs=1e-4)


def test_a_lift_test_adds_its_gaussian_on_the_return_of_its_weeks():
    found, untested = made(tests=True), made()
    position = found.prior.mean + 0.1
    count = len(found.channels)
    expected = 0.0
    for test in found.lift_tests.itertuples():
        c = found.channels.index(test.channel)
        shape = expit(position[count + c]), np.exp(position[2 * count + c])
        whole = found.spend[:, c]
        other = whole.copy()
        own = other[ROWS - WEEKS + test.first : ROWS - WEEKS + test.last + 1]
        compared = test.compared / found.mean_active[c]
        own[:] = own / own.sum() * compared if own.any() else compared / len(own)
        slope = np.exp(position[3 * count + c])
        reach = [
            transforms.saturate(transforms.adstock(each, shape[0]), shape[1], slope)[-WEEKS:] for each in (whole, other)
        ]
        ceiling = np.exp(position[c]) * found.spent[c] / reach[0].sum()
        lasting = slice(test.first, test.last + 13)
        lifted = ceiling * (reach[0] - reach[1])[lasting].sum()
        spent = (whole - other).sum() * found.mean_active[c] / found.scale
        assert lifted * spent > 0
        expected -= 0.5 * ((np.log(lifted / spent) - np.log(test.iroas)) / test.log_sd) ** 2
    assert height(found, position) - height(untested, position) == pytest.approx(expected, rel=1e-3)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_density_does_not_know_the_currency(seed):
    draw = np.random.default_rng(seed)
    ends = pd.date_range("2025-01-05", periods=ROWS, freq="7D")
    frame = pd.DataFrame({"revenue": draw.uniform(800, 1200, ROWS), "tv": draw.uniform(10, 90, ROWS)}, index=ends)
    one = problem(frame, ["tv"], window=WEEKS)
    other = problem(frame * 137.5, ["tv"], window=WEEKS)
    position = one.prior.mean + 0.3 * draw.standard_normal(len(one.prior.mean))
    assert height(one, position) == pytest.approx(height(other, position), rel=1e-9)


@pytest.mark.parametrize("adstock", ADSTOCKS)
@pytest.mark.parametrize("place", range(4))
def test_each_lift_test_alone_has_a_gradient(adstock, place):
    """As sure as can be, so that no other part of the density hides an error of its own."""
    found = made(adstock, tests=True)
    sure = found.lift_tests.iloc[[place]].assign(log_sd=0.01).reset_index(drop=True)
    found, untested = replace(found, lift_tests=sure), made(adstock)
    position = found.prior.mean + 0.2 * np.random.default_rng(place).standard_normal(len(found.prior.mean))
    gradient, other = np.empty(len(position)), np.empty(len(position))
    density.log_posterior(position, gradient, *found.arrays())
    density.log_posterior(position, other, *untested.arrays())
    slopes = np.zeros(len(position))
    for at in range(len(position)):
        step = np.zeros(len(position))
        step[at] = 1e-6
        ends = [height(found, each) - height(untested, each) for each in (position + step, position - step)]
        slopes[at] = (ends[0] - ends[1]) / 2e-6
    channel = found.channels.index(sure["channel"].iloc[0])
    assert gradient - other == pytest.approx(slopes, rel=1e-4, abs=1e-3 * np.abs(slopes).max())
    assert (np.abs(slopes[channel:-2:2]) > 1).all() and slopes[1 - channel :: 2][:3] == pytest.approx(0, abs=1e-3)


def test_far_away_is_impossible_and_not_an_error():
    found = made(tests=True)
    for place in range(len(found.prior.mean)):
        position = found.prior.mean.copy()
        position[place] = 1e3
        assert height(found, position) == -np.inf


def test_a_peak_far_beyond_the_last_lag_is_still_a_number():
    found = made("delayed")
    position = found.prior.mean.copy()
    position[-4:-2] = 4.0
    position[2:4] = -6.0
    gradient = np.empty(len(position))
    assert np.isfinite(density.log_posterior(position, gradient, *found.arrays()))
    assert np.isfinite(gradient).all()


def test_whitened_coordinates_give_the_same_density_and_the_turned_gradient():
    found = made()
    size = len(found.prior.mean)
    draw = np.random.default_rng(3)
    root = np.tril(draw.normal(size=(size, size))) * 0.05 + np.eye(size) * 0.2
    z, gradient, own = draw.normal(size=size), np.empty(size), np.empty(size)
    value = density.whitened(z, gradient, found.prior.mean, root, np.empty(size), found.arrays())
    assert value == pytest.approx(density.log_posterior(found.prior.mean + root @ z, own, *found.arrays()))
    assert gradient == pytest.approx(root.T @ own)


def test_a_channel_with_its_own_prior_leaves_the_common_factor():
    stated = Priors(channels={"tv": {"iroas": 2.0, "iroas_sd": 0.3, "carryover": 0.6}})
    ends = pd.date_range("2025-01-05", periods=ROWS, freq="7D")
    frame = pd.DataFrame({"revenue": 1000.0, "tv": np.arange(ROWS) % 5, "search": np.arange(ROWS) % 3}, index=ends)
    prior = problem(frame, ["tv", "search"], window=WEEKS, priors=stated).prior
    assert np.exp(prior.mean[0]) == pytest.approx(2.0)
    assert prior.covariance[0, 0] == pytest.approx(0.09)
    assert prior.covariance[0, 1] == 0
    assert prior.covariance[1, 1] == pytest.approx(Priors().common_log_sd ** 2 + Priors().own_log_sd ** 2)
    assert expit(prior.mean[2]) == pytest.approx(0.6)
