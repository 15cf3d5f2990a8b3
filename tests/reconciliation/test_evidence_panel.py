"""The regression behind the evidence: a second way of computing it, its corrections, and what it refuses."""

import influences as made
import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from kpitoolkit.reconciliation import evidence_panel as panels


def pair(seed, periods, units=1, frequency="week", effect=0.4):
    generator = np.random.default_rng(seed)
    marketing = made.noise(generator, periods, units)
    company = made.moved_by(generator, marketing, effect)
    waves = [made.trend_and_season(generator, periods, units, frequency) for _ in range(2)]
    return panels.Panel(company + waves[0], marketing + waves[1], frequency)


def test_one_unit_without_its_correction_is_what_statsmodels_gives():
    panel = pair(1, 156)
    found = panels.fit(panel, [1, 3])
    season = panel.season()
    y, x = (panels.scaled(values, season)[0][:, 0] for values in (panel.company, panel.marketing))
    columns = np.column_stack([y[2:-1], y[1:-2], x[2:-1], x[:-3], season[3:]])
    peer = sm.OLS(y[3:], columns).fit()
    np.testing.assert_allclose(found.plain, peer.params[:4], rtol=1e-8)
    assert found.freedom == peer.df_resid and found.rows == 153
    corrected = sm.OLS(y[3:], columns)
    corrected = corrected.fit(cov_type="HAC", cov_kwds={"maxlags": 4, "use_correction": True})
    np.testing.assert_allclose(found.errors, np.maximum(peer.bse, corrected.bse)[2:4], rtol=0.03)


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")
def test_units_pooled_are_least_squares_with_a_dummy_for_each_unit_and_period():
    panel = pair(2, 20, 3, "quarter")
    found = panels.fit(panel, [1])
    season = panel.season()
    y, x = (panels.scaled(values, season)[0] for values in (panel.company, panel.marketing))
    rows = [(y[t, u], y[t - 1, u], x[t - 1, u], u, t) for u in range(3) for t in range(1, 20)]
    response, own, moved, unit, period = (np.array(column) for column in zip(*rows, strict=True))
    dummies = [np.where((unit == u)[:, None], season[period], 0.0) for u in range(3)]
    dummies.append(np.equal.outer(period, np.arange(2, 20)).astype(float))
    peer = sm.OLS(response, np.column_stack([own, moved, *dummies])).fit()
    np.testing.assert_allclose(found.plain, peer.params[:2], rtol=1e-8)
    assert found.freedom == pytest.approx(peer.df_resid)


def test_the_correction_is_the_exact_trace_of_the_residual_maker():
    panel = pair(3, 24, 2, "quarter")
    found = panels.fit(panel, [1])
    season = np.kron(np.eye(2), panel.season()[1:])
    held = np.column_stack([season, np.tile(np.eye(23)[:, 1:], (2, 1))])
    left = held @ np.linalg.pinv(held)
    carried = np.array([[found.own[0] ** (t - 1 - s) if s < t else 0.0 for s in range(23)] for t in range(23)])
    trace = np.trace((np.eye(46) - left) @ np.kron(np.eye(2), carried))
    inverse = np.linalg.inv(found.regressors.T @ found.regressors)
    variance = found.residuals @ found.residuals / found.freedom
    by_hand = found.plain - inverse[:, 0] * trace * variance
    np.testing.assert_allclose([*found.own, *found.effects], by_hand, atol=0.004)  # four steps of an iteration
    assert found.own[0] > found.plain[0] + 0.05


def test_scale_and_level_of_the_series_change_nothing():
    panel = pair(4, 30, 2, "quarter")
    other = panels.Panel(7e9 + 3e6 * panel.company, 5 - 1e-3 * panel.marketing, "quarter")
    first, second = panels.fit(panel, [1]), panels.fit(other, [1])
    np.testing.assert_allclose(first.effects, -second.effects, rtol=1e-6)
    np.testing.assert_allclose(first.p_values(), second.p_values(), rtol=1e-6)


def test_trends_and_seasons_of_units_change_nothing_shared_or_not():
    panel = pair(14, 20, 3, "quarter")
    generator = np.random.default_rng(14)
    waves = made.trend_and_season(generator, 20, 3, "quarter")
    other = panels.Panel(panel.company + waves, panel.marketing + np.roll(waves, 1, axis=1), "quarter")
    first, second = panels.fit(panel, [1]), panels.fit(other, [1])
    np.testing.assert_allclose(first.p_values(), second.p_values(), rtol=1e-6)


def test_the_f_test_of_one_effect_is_its_t_test():
    found = panels.fit(pair(5, 120, effect=0.1), [1])
    assert found.joint_p() == pytest.approx(found.p_values()[0], rel=1e-9)


def test_an_echo_does_not_pass_as_a_lead_and_is_seen_from_behind():
    seen, followed = [], []
    for seed in range(30):
        generator = np.random.default_rng([6, seed])
        company = made.noise(generator, 105)
        echo = 0.7 * made.noise(generator, 105)
        echo[1:] += 0.7 * company[:-1]
        waves = [made.trend_and_season(generator, 104, 1, "week") for _ in range(2)]
        panel = panels.Panel(company[1:] + waves[0], echo[1:] + waves[1], "week")
        found, reverse = panels.both_ways(panel, [1])
        seen.append(found.p_values()[0] < 0.05)
        followed.append(reverse < 0.05)
    assert np.mean(seen) <= 0.15 and np.mean(followed) >= 0.9


def test_how_the_kpi_follows_counts_only_beyond_its_sampling_error():
    strong, weak = (panels.fit(pair(13, 104, effect=effect), [1]) for effect in (0.6, 0.0))
    ratio = (strong.effects[0] / strong.errors[0]) ** 2
    assert strong.shrunk()[0] == pytest.approx(strong.effects[0] * (1 - 1 / ratio))
    assert abs(weak.effects[0]) < weak.errors[0] and weak.shrunk()[0] == 0


def test_a_kpi_that_does_not_follow_is_corrected_as_if_it_could_not():
    alone = []
    for seed in range(6):
        panel = pair(seed, 16, 4, "quarter")
        turned = panels.Panel(panel.marketing, panel.company, "quarter")
        ahead, behind = panels.fit(panel, [1]), panels.fit(turned, [1])
        same = np.allclose(panels.both_ways(panel, [1])[0].effects, ahead.effects, rtol=1e-9)
        assert same == (behind.joint_ratio() <= 1)
        alone.append(same)
    assert 0 < sum(alone) < 6


def test_equivalence_is_two_one_sided_tests():
    found = panels.fit(pair(7, 200, effect=0.0), [1])
    effect, error = found.effects[0], found.errors[0]
    one_sided = [stats.t.sf((0.3 + effect) / error, found.freedom), stats.t.sf((0.3 - effect) / error, found.freedom)]
    assert found.smaller_than(0.3) == pytest.approx(max(one_sided))
    inside = abs(effect) + found.half_widths(0.9)[0]
    assert found.smaller_than(inside * 1.001) < 0.05 < found.smaller_than(inside * 0.999)


def test_the_smallest_effect_is_found_four_times_in_five():
    found = panels.fit(pair(8, 104), [1])
    limit = stats.t.ppf(0.975, found.freedom)
    power = stats.t.sf(limit - found.smallest_effect() / found.errors[0], found.freedom)
    assert power == pytest.approx(0.8, abs=1e-9)


def test_forecasts_gain_from_a_leading_kpi_and_lose_from_noise():
    assert panels.out_of_sample(pair(9, 208, effect=0.6), [1]) > 0.1
    assert panels.out_of_sample(pair(9, 208, effect=0.0), [1]) < 0.02
    assert np.isnan(panels.out_of_sample(pair(9, 9, 1, "quarter"), [1]))


def test_few_clusters_count_units_and_one_unit_has_none():
    pooled = panels.fit(pair(10, 28, 5, "quarter", 0.6), [1])
    assert panels.few_clusters_p(pooled, 0) < 0.1
    assert np.isnan(panels.few_clusters_p(panels.fit(pair(10, 28, 1, "quarter"), [1]), 0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda y, x: (y, np.full_like(x, 3.0)), "constant"),
        (lambda y, x: (np.linspace(0, 5, len(y))[:, None], x), "constant"),
        (lambda y, x: (y, 100 * y + 4), "same_figures"),
        (lambda y, x: (y[:9], x[:9]), "too_short"),
        (lambda y, x: (y, np.where(np.arange(len(x))[:, None] % 4 == 0, x, np.nan)), "too_short"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_reason(change, reason):
    panel = pair(11, 24, 1, "quarter")
    company, marketing = change(panel.company, panel.marketing)
    with pytest.raises(panels.NotTestable, match=reason):
        panels.fit(panels.Panel(company, marketing, "quarter"), [1])


def test_a_gap_costs_its_own_rows_only():
    panel = pair(12, 120)
    company = panel.company.copy()
    company[50] = np.nan
    whole, holed = panels.fit(panel, [1]), panels.fit(panels.Panel(company, panel.marketing, "week"), [1])
    assert whole.rows - holed.rows == 3  # itself and the two weeks whose own lag it is
    assert abs(whole.effects[0] - holed.effects[0]) < 0.1
