"""What is believed before the data, by hand."""

import numpy as np
import pytest
from scipy.special import expit

from kpitoolkit.regression.priors import Priors, prior_of

NAMES = ["intercept", "trend", "season_sin_1", "season_cos_1", "price_index"]


def prior(stated=None, channels=("tv", "web"), window=120, **more):
    return prior_of(stated or Priors(), channels, np.array([6.0, 18.0]), window, NAMES, **more)


@pytest.mark.parametrize(("window", "iroas"), [(120, 1.1), (60, 0.55)])
def test_media_explain_the_stated_share_at_the_centre(window, iroas):
    """0.22 of so many periods' revenue, over spend of 24 periods' revenue."""
    assert np.exp(prior(window=window).mean[:2]) == pytest.approx([iroas, iroas])


def test_the_baselines_coefficients_have_their_own_spread():
    means, sd = prior(Priors(intercept_sd=0.5, trend_sd=0.4, season_sd=0.3, control_sd=0.2)).baseline
    assert means.tolist() == [1, 0, 0, 0, 0]
    assert sd.tolist() == [0.5, 0.4, 0.3, 0.3, 0.2]


def test_what_a_week_keeps_is_nearly_gone_after_a_quarter():
    """Unless a channel's own is stated, which is that of the period."""
    stated = Priors(channels={"tv": {"carryover": 0.6}})
    assert expit(prior(stated).mean[2:4]) == pytest.approx([0.6, 0.354])
    assert expit(prior(stated, frequency="quarter").mean[2:4]) == pytest.approx([0.6, 0.05])


def test_channels_share_what_is_not_known_of_all_media():
    found = prior(Priors(common_log_sd=0.8, own_log_sd=0.7)).covariance
    assert found[:2, :2].ravel() == pytest.approx([1.13, 0.64, 0.64, 1.13])
    assert not found[:2, 2:].any()
