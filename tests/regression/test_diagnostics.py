import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.outliers_influence import variance_inflation_factor

from kpitoolkit.regression import diagnostics, transforms

ENDS = pd.date_range("2023-10-08", periods=156, freq="7D")


def run(revenue, spend, frequency="week", ends=ENDS):
    baseline = transforms.baseline_design(ends, frequency)
    media = pd.DataFrame({"search": spend / 10}, index=ends)
    frame = pd.DataFrame({"search": spend}, index=ends)
    return diagnostics.diagnose(revenue, baseline, media, frame, autocorrelation=0.0, frequency=frequency)


def verdicts(result):
    return result.table.set_index("check")["verdict"]


@pytest.mark.parametrize(("lags", "expected"), [(1, 28.7248), (2, 18.9880), (3, 13.5015), (4, 10.9646)])
def test_granger_on_macrodata(lags, expected):
    data = sm.datasets.macrodata.load_pandas().data[["realgdp", "realcons"]].pct_change().dropna().to_numpy()
    statistic, p_value, _freedom = diagnostics.granger_f(data[:, 0], data[:, 1], lags)
    assert statistic == pytest.approx(expected, abs=5e-5)
    assert p_value < 1e-5


def test_granger_without_freedom_has_no_figure():
    statistic, p_value, _freedom = diagnostics.granger_f(np.arange(5.0), np.ones(5), 2)
    assert np.isnan(statistic)
    assert np.isnan(p_value)


def test_variance_inflation_is_statsmodels():
    draw = np.random.default_rng(0)
    baseline = pd.DataFrame({"intercept": np.ones(80), "trend": np.arange(80.0)})
    one = draw.normal(size=80)
    media = pd.DataFrame({"a": one, "b": one + 0.3 * draw.normal(size=80), "c": draw.normal(size=80)})
    design = np.column_stack([baseline, media])
    found = diagnostics.variance_inflation(baseline, media)
    assert found.tolist() == pytest.approx([variance_inflation_factor(design, place) for place in (2, 3, 4)])
    assert found["a"] > 5 > found["c"]


def test_calm_company_is_in_order():
    draw = np.random.default_rng(1)
    spend = draw.gamma(20, 5, 156)
    revenue = 1000 + 2 * spend / 10 + draw.normal(0, 10, 156)
    found = verdicts(run(revenue, spend))
    assert (found[["durbin_watson", "ljung_box", "future_spend", "budget_follows_demand"]] == "in_order").all()


def test_spend_that_answers_to_demand_a_week_later_fails_the_placebo():
    draw = np.random.default_rng(2)
    demand = draw.normal(0, 10, 157)
    spend = 100 + demand[:-1] + draw.normal(0, 2, 156)
    revenue = 1000 + 5 * demand[1:] + draw.normal(0, 2, 156)
    assert verdicts(run(revenue, spend))["future_spend"] == "look_closer"


def test_budgets_that_follow_revenue_are_seen():
    draw = np.random.default_rng(3)
    revenue = 1000 + draw.normal(0, 50, 157)
    spend = 0.1 * revenue[:-1] + draw.normal(0, 1, 156)
    assert verdicts(run(revenue[1:], spend))["budget_follows_demand"] == "look_closer"


def test_same_week_demand_shock_escapes_both_placebos():
    """Why a pass proves nothing: spend and revenue share an unseen shock, and both placebos pass."""
    draw = np.random.default_rng(4)
    shock = draw.normal(0, 10, 156)
    spend = 100 + shock + draw.normal(0, 5, 156)
    revenue = 1000 + 4 * shock + draw.normal(0, 5, 156)
    found = verdicts(run(revenue, spend))
    assert (found[["future_spend", "budget_follows_demand"]] == "in_order").all()
    assert "passed proves nothing" in " ".join(run(revenue, spend).findings("en"))


def test_growth_alone_is_named_a_trap():
    draw = np.random.default_rng(5)
    ends = pd.date_range("2014-03-31", periods=15, freq="QE")
    revenue = 100 * 1.06 ** np.arange(15) + draw.normal(0, 3, 15)
    spend = 10 * 1.05 ** np.arange(15) + draw.normal(0, 0.5, 15)
    result = run(revenue, spend, "quarter", ends)
    levels, changes = (
        result.table.set_index("check").loc[name] for name in ("correlation_of_levels", "correlation_of_changes")
    )
    assert levels["statistic"] == pytest.approx(np.corrcoef(revenue, spend)[0, 1])
    assert levels["verdict"] == changes["verdict"] == "look_closer"
    assert any(sentence.startswith("A trap") for sentence in result.findings("en"))


def test_correlation_counts_fewer_periods_where_series_have_a_memory():
    draw = np.random.default_rng(6)
    calm = draw.normal(size=(2, 60))
    slow = calm.cumsum(axis=1)
    assert diagnostics.correlation(*slow)[1] > stats.pearsonr(*slow).pvalue
    assert diagnostics.correlation(*calm)[1] == pytest.approx(stats.pearsonr(*calm).pvalue, abs=0.1)


def test_effective_periods_by_hand():
    """Lag-1 autocorrelations 1 and 7/15: 12 x 8/22 = 48/11 periods; r = 9 / sqrt(143 x 3)."""
    blocks = np.tile(np.repeat([0.0, 1.0], 3), 2)
    found, p_value = diagnostics.correlation(np.arange(12.0), blocks)
    assert found == pytest.approx(9 / np.sqrt(429))
    statistic = np.sqrt(27 / 143 * (26 / 11) / (116 / 143))
    assert p_value == pytest.approx(2 * stats.t.sf(statistic, 26 / 11))


def test_errors_are_tested_after_the_correction_of_one_coefficient():
    """Ljung and Box's Q by its formula, on 10 lags of 155 whitened errors less one degree of freedom."""
    draw = np.random.default_rng(8)
    spend, error = draw.gamma(20, 5, 156), draw.normal(0, 10, 156)
    result = run(1000 + error, spend)
    left = result.residuals["residual"].to_numpy()
    power = left @ left
    shares = [(left[lag:] @ left[:-lag] / power) ** 2 / (155 - lag) for lag in range(1, 11)]
    row = result.table.set_index("check").loc["ljung_box"]
    assert row["statistic"] == pytest.approx(155 * 157 * sum(shares))
    assert row["p_value"] == pytest.approx(stats.chi2.sf(row["statistic"], 9))
    said = " ".join(result.findings("en"))
    assert said.count("After the AR(1) correction") == 2
    assert " ".join(result.findings("it")).count("Dopo la correzione AR(1)") == 2


def test_seasonal_naive_by_hand():
    """Nine quarters, forecast by the mean so far: errors 0, 10, 144/7 and 14; a year before was off by 2, 2, 4, 2."""
    revenue = np.array([10.0, 20, 30, 40, 10, 22, 32, 44, 12])
    ratio, _p, verdict = diagnostics.rolling_origin(revenue, np.ones((9, 1)), [], None, "quarter")
    assert ratio == pytest.approx((0 + 10 + 144 / 7 + 14) / (2 + 2 + 4 + 2))
    assert verdict == "look_closer"


def test_seasonal_naive_is_beaten_by_a_model_of_trend():
    revenue = 1000 + 5.0 * np.arange(156) + np.random.default_rng(7).normal(0, 5, 156)
    baseline = transforms.baseline_design(ENDS, "week").to_numpy()
    ratio, _p, verdict = diagnostics.rolling_origin(revenue, baseline, [], None, "week")
    assert ratio < 0.1
    assert verdict == "in_order"


def test_rolling_origin_needs_a_year_before():
    baseline = transforms.baseline_design(ENDS[:60], "week").to_numpy()
    assert diagnostics.rolling_origin(np.arange(60.0), baseline, [], None, "week")[2] == "not_examined"


@pytest.mark.parametrize("language", ["en", "it"])
def test_nothing_examined_is_said(language):
    result = diagnostics.not_diagnosed()
    assert set(result.table["verdict"]) == {"not_examined"}
    assert len(result.findings(language)) == 1
