import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.outliers_influence import variance_inflation_factor

from kpitoolkit.regression import linear


@pytest.mark.parametrize(("lags", "expected"), [(1, 28.7248), (2, 18.9880), (3, 13.5015), (4, 10.9646)])
def test_granger_on_macrodata(lags, expected):
    data = sm.datasets.macrodata.load_pandas().data[["realgdp", "realcons"]].pct_change().dropna().to_numpy()
    statistic, p_value, _freedom = linear.granger_f(data[:, 0], data[:, 1], lags)
    assert statistic == pytest.approx(expected, abs=5e-5)
    assert p_value < 1e-5


def test_granger_without_freedom_has_no_figure():
    statistic, p_value, _freedom = linear.granger_f(np.arange(5.0), np.ones(5), 2)
    assert np.isnan(statistic)
    assert np.isnan(p_value)


def test_linear_fit_is_the_sandwich_by_hand():
    """Normal equations of the whitened rows; Newey and West's Bartlett weights over two lags; n / (n - p)."""
    draw = np.random.default_rng(1)
    design = np.column_stack([np.ones(60), draw.normal(size=(60, 2))])
    revenue = design @ [5.0, 2.0, -1.0] + draw.normal(size=60)
    fitted = linear.fit_linear(revenue, design, autocorrelation=0.3, lags=2)
    target, white = revenue[1:] - 0.3 * revenue[:-1], design[1:] - 0.3 * design[:-1]
    bread = np.linalg.inv(white.T @ white)
    coefficients = bread @ white.T @ target
    score = white * (target - white @ coefficients)[:, None]
    middle = score.T @ score
    for lag, weight in ((1, 2 / 3), (2, 1 / 3)):
        middle += weight * (score[lag:].T @ score[:-lag] + score[:-lag].T @ score[lag:])
    covariance = bread @ middle @ bread * 59 / 56
    assert np.asarray(fitted.params) == pytest.approx(coefficients)
    assert np.asarray(fitted.bse) == pytest.approx(np.sqrt(np.diag(covariance)))
    t = coefficients / np.sqrt(np.diag(covariance))
    assert np.asarray(fitted.pvalues) == pytest.approx(2 * stats.t.sf(abs(t), 56))


@pytest.mark.parametrize("lags", [1, 2, 3, 4, 5, 6])
def test_lags_grow_by_the_stated_power_of_the_periods(lags):
    """The other way round: so many lags are first reached at 100 (lags / 4)^(9/2) periods."""
    first = int(np.ceil(100 * (lags / 4) ** 4.5))
    assert (linear.hac_lags(first - 1), linear.hac_lags(first)) == (lags - 1, lags)


def test_variance_inflation_is_statsmodels():
    draw = np.random.default_rng(0)
    baseline = pd.DataFrame({"intercept": np.ones(80), "trend": np.arange(80.0)})
    one = draw.normal(size=80)
    media = pd.DataFrame({"a": one, "b": one + 0.3 * draw.normal(size=80), "c": draw.normal(size=80)})
    design = np.column_stack([baseline, media])
    found = linear.variance_inflation(baseline, media)
    assert found.tolist() == pytest.approx([variance_inflation_factor(design, place) for place in (2, 3, 4)])
    assert found["a"] > 5 > found["c"]


def test_future_spend_is_an_f_test_of_the_whitened_regression():
    """Second way: statsmodels' F test of two leads, added to an AR(1) regression."""
    draw = np.random.default_rng(2)
    spend, rho = draw.gamma(4, 5, 80), 0.4
    design = np.column_stack([np.ones(80), spend])
    revenue = 100 + 2 * spend + draw.normal(0, 5, 80)
    found = linear.future_spend_f(revenue, design, spend, rho, 2)
    whole = np.column_stack([design[:78], spend[1:79], spend[2:80]])
    fitted = sm.GLSAR(revenue[:78], whole, rho=np.array([rho])).fit()
    test = fitted.f_test(np.eye(4)[2:])
    assert found == pytest.approx((float(np.squeeze(test.fvalue)), float(np.squeeze(test.pvalue))))


@pytest.mark.parametrize("spend", [np.zeros(80), np.full(80, 3.0), np.arange(80.0)])
def test_future_spend_that_foretells_itself_is_not_tested(spend):
    """Constant spend, or spend on a straight line beside a trend, adds nothing that the design lacks."""
    design = np.column_stack([np.ones(80), np.arange(80.0)])
    assert np.isnan(linear.future_spend_f(np.random.default_rng(0).normal(size=80), design, spend, 0.2, 4)).all()


def test_future_spend_without_freedom_is_not_tested():
    draw = np.random.default_rng(3)
    assert np.isnan(linear.future_spend_f(draw.normal(size=9), np.ones((9, 1)), draw.random(9), 0.0, 4)).all()


def test_correlation_counts_fewer_periods_where_series_have_a_memory():
    draw = np.random.default_rng(6)
    calm = draw.normal(size=(2, 60))
    slow = calm.cumsum(axis=1)
    assert linear.correlation(*slow)[1] > stats.pearsonr(*slow).pvalue
    assert linear.correlation(*calm)[1] == pytest.approx(stats.pearsonr(*calm).pvalue, abs=0.1)


def test_effective_periods_by_hand():
    """Lag-1 autocorrelations 1 and 7/15: 12 x 8/22 = 48/11 periods; r = 9 / sqrt(143 x 3)."""
    blocks = np.tile(np.repeat([0.0, 1.0], 3), 2)
    found, p_value = linear.correlation(np.arange(12.0), blocks)
    assert found == pytest.approx(9 / np.sqrt(429))
    statistic = np.sqrt(27 / 143 * (26 / 11) / (116 / 143))
    assert p_value == pytest.approx(2 * stats.t.sf(statistic, 26 / 11))


def test_worse_forecasts_are_tested_as_a_mean_with_hac_errors():
    """Second way: statsmodels' regression of the differences on a constant."""
    draw = np.random.default_rng(4)
    other, own = 1.1 + draw.random(52), 1.0 + draw.random(52)
    statistic, p_value = linear.worse_forecasts(other, own)
    lags = {"maxlags": linear.hac_lags(52), "use_correction": True}
    fitted = sm.OLS(other - own, np.ones(52)).fit(cov_type="HAC", cov_kwds=lags, use_t=True)
    assert statistic == pytest.approx(fitted.tvalues[0])
    assert p_value == pytest.approx(fitted.pvalues[0])
    assert linear.worse_forecasts(own, other)[0] == pytest.approx(-statistic)


@pytest.mark.parametrize(("other", "own"), [(np.arange(7.0), np.ones(7)), (np.ones(20), np.ones(20))])
def test_few_forecasts_or_equal_ones_are_not_tested(other, own):
    assert np.isnan(linear.worse_forecasts(other, own)).all()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 3))
def test_holm_is_statsmodels_and_skips_what_was_not_tested(p_values, missing):
    found = linear.holm([*p_values, *[np.nan] * missing])
    assert found[: len(p_values)] == pytest.approx(multipletests(p_values, method="holm")[1])
    assert np.isnan(found[len(p_values) :]).all()
