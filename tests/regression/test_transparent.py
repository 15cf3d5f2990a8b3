from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from scipy import stats

from kpitoolkit.regression import estimate, linear, posterior, transforms, transparent
from kpitoolkit.regression.problem import cut
from tests.regression import simulated


@pytest.fixture(scope="module")
def post():
    return estimate.draft(simulated.given(), draws=300)


@pytest.fixture(scope="module")
def result(post):
    return transparent.transparent(post)


def media(result):
    return result.table.set_index("term").loc[["search", "tv"]]


def test_columns_add_up_to_spend_and_follow_the_stated_shapes(post):
    """Second way: the transforms of `transforms`, at the shapes that the result states."""
    frame, result = simulated.frame(), transparent.transparent(post)
    columns = transparent.media_columns(post)
    for row in result.shapes.itertuples():
        spend = frame[row.channel].to_numpy()
        active = transforms.mean_active(spend[simulated.CARRY_IN :])
        expected = transforms.response(spend, row.carryover, row.half_saturation / active, window=120, slope=row.slope)
        assert columns[row.channel].to_numpy() == pytest.approx(expected, rel=1e-4, abs=1e-4 * expected.max())
        assert columns[row.channel].sum() == pytest.approx(spend[simulated.CARRY_IN :].sum())


def test_estimates_are_generalised_least_squares_in_currency(post, result):
    """Second way: explicit normal equations, revenue and media in currency, rows filtered by the AR(1) matrix."""
    problem = post.problem
    design = np.column_stack([problem.baseline, transparent.media_columns(post)])
    difference = np.eye(120)[1:] - result.autocorrelation * np.eye(120)[:-1]
    weight = difference.T @ difference
    expected = np.linalg.solve(design.T @ weight @ design, design.T @ weight @ (problem.revenue * problem.scale))
    assert result.table["estimate"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert result.autocorrelation == posterior.point(post.autocorrelation)


def test_interval_t_and_fit_belong_together(post, result):
    table = result.table
    assert (table["estimate"] / table["standard_error"]).to_numpy() == pytest.approx(table["t"].to_numpy())
    assert ((table["low"] + table["high"]) / 2).to_numpy() == pytest.approx(table["estimate"].to_numpy())
    assert ((table["p_value"] < 0.1) == ((table["low"] > 0) | (table["high"] < 0))).all()
    design = np.column_stack([post.problem.baseline, transparent.media_columns(post)])
    rho, revenue = result.autocorrelation, post.problem.revenue * post.problem.scale
    left = revenue - design @ table["estimate"].to_numpy()
    left, around = left[1:] - rho * left[:-1], revenue[1:] - rho * revenue[:-1]
    assert result.r_squared == pytest.approx(1 - left @ left / ((around - around.mean()) ** 2).sum())


def test_all_terms_together_are_tested_on_the_hac_covariance(post, result):
    """Second way: Wald's quadratic form over its number of terms, the intercept left out."""
    problem = post.problem
    design = np.column_stack([problem.baseline, transparent.media_columns(post) / problem.scale])
    fitted = linear.fit_linear(problem.revenue, design, result.autocorrelation, result.lags)
    terms, freedom = design.shape[1] - 1, len(design) - 1 - design.shape[1]
    covariance = np.asarray(fitted.cov_params())[1:, 1:]
    coefficients = np.asarray(fitted.params)[1:]
    statistic = coefficients @ np.linalg.solve(covariance, coefficients) / terms
    assert result.f_statistic == pytest.approx(statistic, rel=1e-6)
    assert result.f_p_value == pytest.approx(stats.f.sf(statistic, terms, freedom), rel=1e-6)
    assert result.f_p_value > 0


def test_truth_is_recovered_and_stands_beside_the_modelled():
    post = estimate.draft(simulated.given(noise=3.0), draws=300)
    found = media(transparent.transparent(post))
    assert found["estimate"].tolist() == pytest.approx([4.0, 1.0], rel=0.1)
    assert found["modelled"].to_numpy() == pytest.approx(posterior.point(post.iroas))
    assert found["modelled"].tolist() == pytest.approx(found["estimate"].tolist(), rel=0.1)


def test_returns_have_no_unit_and_the_baseline_has_the_currency(post, result):
    dearer = replace(post, problem=replace(post.problem, scale=100 * post.problem.scale))
    other = transparent.transparent(dearer).table
    assert other["estimate"].iloc[:-2].tolist() == pytest.approx((100 * result.table["estimate"].iloc[:-2]).tolist())
    assert other["estimate"].iloc[-2:].tolist() == pytest.approx(result.table["estimate"].iloc[-2:].tolist())


def test_a_prior_that_overrules_the_data_is_said(post):
    """The same data, the modelled iROAS of TV six times as high: the sentence names it alone."""
    iroas = post.iroas * [1.0, 6.0]
    found = transparent.transparent(replace(post, iroas=iroas))
    said = " ".join(found.findings("en"))
    assert "moves the modelled iROAS out of this regression's 90% interval: TV (" in said
    assert "search (" not in said
    assert "Every modelled iROAS lies within" in " ".join(transparent.transparent(post).findings("en"))


def test_a_negative_estimate_is_said():
    frame = simulated.frame(noise=3.0, iroas=(4.0, -1.0))
    problem = replace(simulated.given(), revenue=frame["revenue"].to_numpy()[-120:] / simulated.given().scale)
    found = transparent.transparent(estimate.draft(problem, draws=100))
    assert media(found).loc["tv", "estimate"] < 0
    assert "no positive return for TV" in " ".join(found.findings("en"))


def test_no_p_value_is_shown_as_nought(result):
    shown = result.shown("it").set_index("term")["p_value"]
    assert shown["search"] == "< 0,001"
    assert not shown.str.fullmatch(r"0,0*").any()


def test_the_baseline_is_shown_as_money_and_the_media_as_ratios(result):
    shown, table = result.shown(media=False).set_index("term"), result.table.set_index("term")
    assert set(shown.index) == set(table.index) - set(result.channels)
    assert shown["estimate_cents"].tolist() == [round(100 * table.loc[term, "estimate"]) for term in shown.index]
    assert shown["t"].tolist() == table.loc[shown.index, "t"].tolist()
    assert "estimate" in result.shown()


@pytest.mark.parametrize("which", ["none", "few"])
def test_nothing_to_regress_is_said(post, which):
    short = replace(post, problem=cut(post.problem, 8))
    found = transparent.transparent(None if which == "none" else short)
    assert not len(found.table)
    assert found.findings("en") == ["No linear regression: there are too few periods for its coefficients."]
    assert found.plot() is None


def test_plot_draws_both_and_names_them(result):
    ax = result.plot()
    rows = media(result)
    drawn = {round(float(line.get_xdata()[0]), 6) for line in ax.lines}
    assert {round(value, 6) for value in [*rows["estimate"], *rows["modelled"]]} <= drawn
    named = [each.get_text() for each in ax.figure.findobj(Text)]
    assert {"linear regression, 90% interval", "modelled, with the prior"} <= set(named)
