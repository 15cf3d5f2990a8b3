from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.regression import forecasts, transforms
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import cut, problem, without
from tests.regression import simulated

QUARTERS = pd.date_range("2014-03-31", periods=11, freq="QE")


def test_seasonal_naive_by_hand():
    """Eleven quarters: the last four against the same quarters a year before."""
    revenue = np.array([10.0, 20, 30, 40, 10, 22, 32, 44, 12, 25, 31])
    spend = np.array([1.0, 2, 1, 2, 2, 1, 2, 1, 1, 2, 1])
    errors = forecasts.rolling_errors(simulated.alone(revenue, spend, "quarter", QUARTERS))
    assert errors["seasonal_naive"].tolist() == pytest.approx([44 - 40, 12 - 10, 25 - 22, 32 - 31])
    assert list(errors["period_end"]) == list(QUARTERS[-4:])
    assert list(errors.columns) == ["period_end", "model", "seasonal_naive", "without_search"]


def test_a_forecast_knows_spend_and_season_but_not_revenue():
    """Changing revenue after the origin changes nothing; changing spend does."""
    whole = simulated.given(weeks=117)
    seen = cut(whole, 104)
    found = forecasts.forecast(seen, whole)
    revenue = np.r_[whole.revenue[:104], np.full(13, 9.0)]
    assert forecasts.forecast(seen, replace(whole, revenue=revenue)).tolist() == found.tolist()
    spend = np.r_[whole.spend[:-13], 2 * whole.spend[-13:]]
    assert (forecasts.forecast(seen, replace(whole, spend=spend)) > found).all()


def test_forecast_of_a_quiet_company_is_what_comes():
    whole = simulated.given(weeks=130, noise=1.0)
    found = forecasts.forecast(cut(whole, 117), whole)
    assert found == pytest.approx(whole.revenue[117:], abs=0.015)


def test_the_last_error_dies_out_over_the_horizon():
    """Errors of autocorrelation .9 that end far from nought: the forecast starts near revenue as it was last."""
    ends = pd.date_range("2023-10-08", periods=104, freq="7D")
    draw, error = np.random.default_rng(1), np.zeros(104)
    for at in range(1, 104):
        error[at] = 0.9 * error[at - 1] + draw.normal(0, 20)
    error[-4:] = 150.0
    frame = pd.DataFrame({"revenue": 1000 + error, "tv": 5 * draw.random(104)}, index=ends)
    given = problem(frame, ["tv"], window=104, priors=Priors(trend_sd=0.001, season_sd=0.001))
    found = forecasts.forecast(cut(given, 91), given)
    last = forecasts.forecast(given, _longer(given, 26)) * given.scale
    assert abs(found.mean() * given.scale - 1000) < 60
    assert last[0] > 1080
    assert last[-1] < last[0] - 40
    assert (np.diff(last) < 1).all()


def test_the_last_error_counts_from_the_period_after_it():
    """By algebra: with nothing but an error, forecasts are e + rho^k u; three of them give rho, e and u."""
    given = replace(simulated.given(weeks=91), revenue=1 + 0.1 * np.sin(np.arange(91.0)))
    bare = without(without(given, "search"), "tv")
    first, second, third = forecasts.forecast(bare, _longer(bare, 3))
    rho = (second - third) / (first - second)
    expected = first - (first - second) / (1 - rho)
    assert 0.05 < abs(rho) < 0.999
    assert expected + (first - expected) / rho == pytest.approx(bare.revenue[-1])
    assert abs(bare.revenue[-1] - bare.revenue[-2]) > 0.001


def _longer(given, periods):
    """The same problem with more periods of the last spend behind it."""
    ends = pd.date_range(given.period_end[0], periods=given.window + periods, freq="7D")
    spend = np.r_[given.spend, np.repeat(given.spend[-1:], periods, axis=0)]
    baseline = pd.concat([given.baseline, *[given.baseline.iloc[-1:]] * periods])
    revenue = np.r_[given.revenue, np.ones(periods)]
    return replace(given, period_end=ends, spend=spend, baseline=baseline, revenue=revenue)


def test_without_a_channel_that_carries_revenue_forecasts_are_worse():
    errors = forecasts.rolling_errors(simulated.given(weeks=117, noise=5.0)).mean(numeric_only=True)
    assert errors["model"] < errors["seasonal_naive"]
    assert errors["without_search"] > 3 * errors["model"]


def test_only_channel_can_be_left_out():
    draw = np.random.default_rng(0)
    spend = 100 * draw.gamma(4, 0.25, 104)
    revenue = 1000 + 3 * transforms.adstock(spend, 0.3) + draw.normal(0, 10, 104)
    alone = simulated.alone(revenue, spend)
    assert without(alone, "search").channels == ()
    errors = forecasts.rolling_errors(alone).mean(numeric_only=True)
    assert errors["without_search"] > 2 * errors["model"]


@pytest.mark.parametrize(("weeks", "forecast"), [(90, 0), (91, 26), (104, 39), (117, 52), (156, 52)])
def test_every_origin_has_a_year_and_a_quarter_before_it(weeks, forecast, monkeypatch):
    origins = []
    monkeypatch.setattr(forecasts, "forecast", lambda seen, whole, seed: origins.append(seen.window) or np.zeros(13))
    errors = forecasts.rolling_errors(simulated.given(weeks=weeks))
    assert len(errors) == forecast
    assert min(origins, default=65) >= 65


@pytest.mark.parametrize(("quarters", "forecast"), [(8, 0), (9, 2), (10, 3), (11, 4), (15, 4)])
def test_every_origin_has_more_periods_than_coefficients(quarters, forecast, monkeypatch):
    """Level, trend, a season's two and a channel: five, and two periods more; a year and a quarter are five."""
    monkeypatch.setattr(forecasts, "forecast", lambda seen, whole, seed: np.zeros(1))
    ends = pd.date_range("2012-03-31", periods=quarters, freq="QE")
    draw = np.random.default_rng(0)
    given = simulated.alone(draw.uniform(9, 11, quarters), draw.uniform(1, 2, quarters), "quarter", ends)
    assert len(forecasts.rolling_errors(given)) == forecast


@pytest.mark.parametrize("saturation", ["hill", "logistic"])
def test_a_channel_that_had_not_begun_adds_nothing_to_a_forecast(saturation):
    """TV starts five weeks before the end: every origin but the last sees no spend on it at all."""
    late = simulated.frame(weeks=117)
    late.loc[late.index[:-5], "tv"] = 0.0
    given = problem(late, ["search", "tv"], ["promotion_days"], window=117, saturation=saturation)
    seen = cut(given, 104)
    found = forecasts.forecast(seen, given)
    assert found.tolist() == forecasts.forecast(without(seen, "tv"), without(given, "tv")).tolist()
    assert np.isfinite(found).all()
