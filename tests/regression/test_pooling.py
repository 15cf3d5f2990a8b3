"""Pooling across units: algebra by hand, a second way of computing, simulated companies, bad input."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.errors import Faults
from kpitoolkit.regression import pooling
from kpitoolkit.regression.pooling import Pooling, likelihood, pool, pooled_priors, pooled_problem, summary_of
from kpitoolkit.regression.posterior import Posterior
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import problem

REACH = 1.6448536269514722


def summary(mean, covariance, prior_mean, prior_covariance, names, r_hat=1.0):
    """A unit's saved table, from Gaussians."""
    rows = []
    for (i, one), (j, other) in itertools.product(enumerate(names), repeat=2):
        row = {"channel": one, "other": other}
        row |= {"covariance": covariance[i, j], "prior_covariance": prior_covariance[i, j]}
        if i == j:
            sd = np.sqrt(covariance[i, i])
            row |= {"mean": mean[i], "sd": sd, "prior_mean": prior_mean[i], "prior_sd": np.sqrt(prior_covariance[i, i])}
            row |= {"iroas": np.exp(mean[i] + sd**2 / 2), "r_hat": r_hat}
            row |= {"low": np.exp(mean[i] - REACH * sd), "high": np.exp(mean[i] + REACH * sd)}
        rows.append(row)
    return pd.DataFrame(rows, columns=pooling.SUMMARY)


def default_prior(count, common=0.8, own=0.7):
    return common**2 * np.ones((count, count)) + own**2 * np.eye(count)


def seen(mean, noise, prior_mean, names, r_hat=1.0, prior=None):
    """A unit that measured its log iROAS as `mean` with covariance `noise`."""
    prior = default_prior(len(names)) if prior is None else prior
    covariance = np.linalg.inv(np.linalg.inv(prior) + np.linalg.inv(noise))
    centre = covariance @ (np.linalg.solve(prior, prior_mean) + np.linalg.solve(noise, mean))
    return summary(centre, covariance, prior_mean, prior, names, r_hat)


def company(draw, units=4, channels=4, spread=0.35, common=0.2):
    """Log iROAS of a channel differ between units by `spread`, those of a unit also together by `common`."""
    names = [f"channel {place}" for place in range(channels)]
    mean = draw.normal(0.7, 0.5, channels)
    tables, truth = {}, []
    for unit in range(units):
        own = mean + draw.normal(0, common) + draw.normal(0, spread, channels)
        sd = np.exp(draw.uniform(np.log(0.3), np.log(1.2), channels))
        noise = (1.15 * np.eye(channels) - 0.15) * np.outer(sd, sd)
        centre = np.full(channels, np.log(np.exp(own).mean()) + draw.normal(0, 0.4))
        tables[f"unit {unit}"] = seen(draw.multivariate_normal(own, noise), noise, centre, names)
        truth.append(own)
    return tables, np.concatenate(truth)


def test_likelihood_is_posterior_over_prior_by_hand():
    """Prior N(1, 1), posterior N(2, 1/2): the data said 3 with variance 1."""
    precision, shift = likelihood(np.array([2.0]), np.array([[0.5]]), np.array([1.0]), np.array([[1.0]]))
    assert precision.item() == pytest.approx(1) and (shift / precision).item() == pytest.approx(3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_likelihood_times_prior_is_the_posterior_again(count, seed):
    draw = np.random.default_rng(seed)
    prior, noise = default_prior(count), np.diag(draw.uniform(0.1, 4, count)) + 0.05
    prior_mean, data = draw.normal(size=count), draw.normal(size=count)
    table = seen(data, noise, prior_mean, [str(place) for place in range(count)], prior=prior)
    mean = table["mean"].dropna().to_numpy()
    covariance = table["covariance"].to_numpy().reshape(count, count)
    precision, shift = likelihood(mean, covariance, prior_mean, prior)
    np.testing.assert_allclose(precision, np.linalg.inv(noise), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(shift, np.linalg.solve(noise, data), rtol=1e-6, atol=1e-7)


def test_a_posterior_wider_than_its_prior_says_nothing_there():
    prior = default_prior(2)
    wide = prior.copy()
    wide[0, 0] *= 1.3
    precision, shift = likelihood(np.array([5.0, 0.0]), wide, np.zeros(2), prior)
    values = np.linalg.eigvalsh(precision)
    assert values.min() >= -1e-12
    none, nowhere = likelihood(np.array([1.0, 1.0]), 1.2 * prior, np.zeros(2), prior)
    assert not none.any() and not nowhere.any()
    assert np.isfinite(shift).all()


def test_units_that_know_nothing_leave_a_unit_as_it_is():
    prior = default_prior(2)
    own = seen(np.array([1.0, 0.2]), np.diag([0.2, 0.4]), np.array([0.5, 0.5]), ["a", "b"])
    silent = summary(np.array([2.0, 2.0]), prior, np.array([2.0, 2.0]), prior, ["a", "b"])
    found = pool({"it": own, "uk": silent, "fr": silent}).table
    mine = found[found["unit"] == "it"]
    for name in ("iroas", "low", "high"):
        np.testing.assert_allclose(mine[name], mine[f"own_{name}"], rtol=1e-9)
    np.testing.assert_allclose(mine["others_iroas"], np.exp(0.5), rtol=1e-9)
    np.testing.assert_allclose(mine["others_log_sd"], np.sqrt(prior[0, 0]), rtol=1e-9)


def test_a_unit_takes_nothing_of_its_own_from_the_others():
    """No data count twice: whatever a unit's own data say, its prior from the others is the same."""
    tables, _truth = company(np.random.default_rng(0), units=3)
    names = list(tables["unit 0"]["channel"].unique())
    before = pool(tables).priors["unit 0"]
    prior_mean = tables["unit 0"]["prior_mean"].dropna().to_numpy()
    other = tables | {"unit 0": seen(prior_mean + 2, 0.1 * np.eye(4), prior_mean, names)}
    after = pool(other).priors["unit 0"]
    np.testing.assert_array_equal(before[1], after[1])
    np.testing.assert_array_equal(before[2], after[2])


def test_the_order_of_units_and_channels_does_not_matter():
    tables, _truth = company(np.random.default_rng(1), units=3)
    turned = {unit: frame.iloc[::-1] for unit, frame in reversed(tables.items())}
    key = ["unit", "channel"]
    one, other = (pool(each).table.sort_values(key).reset_index(drop=True) for each in (tables, turned))
    pd.testing.assert_frame_equal(one, other, rtol=1e-3)


def test_shares_integrated_one_by_one_come_near_all_of_them_at_once():
    """Second way: the full grid of three shares for two channels, all at once."""
    for seed, units, spread in ((0, 2, 0.3), (1, 4, 0.3), (2, 4, 1.0), (3, 8, 0.1)):
        tables, _truth = company(np.random.default_rng(seed), units, 2, spread)
        names, mean, covariance = pool(tables).priors["unit 0"]
        read = {unit: pooling._read(unit, frame) for unit, frame in tables.items()}
        own, *others = (pooling._part(read[unit], list(names)) for unit in tables)
        precision = np.stack([part.precision for part in others])
        shift = np.stack([part.shift - part.precision @ own.prior_mean for part in others])
        common, apart = pooling.split(own.prior_covariance)
        grid = np.array(list(itertools.product(pooling.SHARES, repeat=3)))
        height, centre, spreads = pooling._given(grid, common, apart, precision, shift)
        weight = np.exp(height - height.max())
        weight /= weight.sum()
        exact = weight @ centre
        around = centre - exact
        within = spreads + pooling._between(grid, common, apart) + np.einsum("gi,gj->gij", around, around)
        sd = np.sqrt(np.diag(np.einsum("g,gij->ij", weight, within)))
        np.testing.assert_allclose(mean, own.prior_mean + exact, atol=0.03)
        np.testing.assert_allclose(np.sqrt(np.diag(covariance)), sd, rtol=0.06)


def test_height_is_the_marginal_likelihood():
    """Second way: the others' estimates are jointly normal, with the mean over units as a common part."""
    draw = np.random.default_rng(5)
    count, units = 2, 3
    noise = [np.diag(draw.uniform(0.1, 1, count)) + 0.05 for _unit in range(units)]
    data = draw.normal(size=(units, count))
    common, apart = pooling.split(default_prior(count))
    shares = draw.uniform(0.05, 0.95, (4, count + 1))
    precision = np.stack([np.linalg.inv(each) for each in noise])
    shift = np.einsum("uij,uj->ui", precision, data)
    height, centre, spread = pooling._given(shares, common, apart, precision, shift)
    direct = []
    for at, row in enumerate(shares):
        between = row[-1] * common + np.diag(row[:-1] * apart)
        among = common + np.diag(apart) - between
        whole = np.kron(np.ones((units, units)), among)
        for unit in range(units):
            own = slice(unit * count, (unit + 1) * count)
            whole[own, own] += between + noise[unit]
        values = data.ravel()
        direct.append(-np.linalg.slogdet(whole)[1] / 2 - values @ np.linalg.solve(whole, values) / 2)
        link = np.kron(np.ones((1, units)), among)
        np.testing.assert_allclose(centre[at], link @ np.linalg.solve(whole, values), rtol=1e-8)
        np.testing.assert_allclose(spread[at], among - link @ np.linalg.solve(whole, link.T), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(height - height[0], np.array(direct) - direct[0], rtol=1e-8)


def test_spread_between_units_is_never_taken_for_nothing():
    """Three units that agree to the digit still leave room for a fourth to differ."""
    same = {f"unit {n}": seen(np.array([1.0]), np.array([[0.01]]), np.array([1.0]), ["tv"]) for n in range(3)}
    found = pool(same).table
    assert (found["others_log_sd"] > 0.2).all()
    other = dict(same)
    other["unit 2"] = seen(np.array([2.5]), np.array([[0.01]]), np.array([1.0]), ["tv"])
    assert pool(other).table["others_log_sd"].iloc[0] > found["others_log_sd"].iloc[0]


def test_simulated_companies_are_known_better_together_and_intervals_still_hold():
    own_error, error, held, narrower = [], [], [], []
    for seed in range(24):
        tables, truth = company(np.random.default_rng(seed), units=3 + seed % 2)
        found = pool(tables).table
        low, high = np.log(found["low"]), np.log(found["high"])
        own_error.append((np.log(found["own_low"]) + np.log(found["own_high"])) / 2 - truth)
        error.append((low + high) / 2 - truth)
        held.append((low <= truth) & (truth <= high))
        narrower.append(found["width_ratio"])
    rmse = [np.sqrt(np.mean(np.concatenate(each) ** 2)) for each in (own_error, error)]
    assert rmse[1] < 0.92 * rmse[0], rmse
    assert 0.86 <= np.mean(np.concatenate(held)) <= 0.97
    assert np.median(np.concatenate(narrower)) < 0.99


def test_channels_of_one_unit_and_chains_that_disagree_stay_as_they_are():
    names = ["search", "tv"]
    noise = 0.3 * np.eye(2)
    tables = {
        "it": seen(np.array([1.0, 0.5]), noise, np.ones(2), names),
        "uk": seen(np.array([0.8, 0.4]), noise, np.ones(2), ["search", "affiliates"]),
        "fr": seen(np.array([9.0, 9.0]), noise, np.ones(2), names, r_hat=1.3),
    }
    found = pool(tables).table.set_index(["unit", "channel"])
    assert found["status"].to_dict() == {
        ("it", "search"): "pooled",
        ("it", "tv"): "one_unit",
        ("uk", "search"): "pooled",
        ("uk", "affiliates"): "one_unit",
        ("fr", "search"): "not_converged",
        ("fr", "tv"): "not_converged",
    }
    left = found[found["status"] != "pooled"]
    for name in ("iroas", "low", "high"):
        np.testing.assert_array_equal(left[name], left[f"own_{name}"])
    without = pool({unit: tables[unit] for unit in ("it", "uk")}).table.set_index(["unit", "channel"])
    assert without.loc[("it", "search"), "iroas"] == found.loc[("it", "search"), "iroas"]
    said = " ".join(pool(tables).findings("en"))
    assert "one unit only" in said and "affiliates (uk)" in said and "chains disagree" in said and "search (fr)" in said


def test_a_unit_far_from_the_others_is_named():
    tables = {f"unit {n}": seen(np.array([0.5]), np.array([[0.02]]), np.array([0.5]), ["tv"]) for n in range(3)}
    tables["odd"] = seen(np.array([3.5]), np.array([[0.02]]), np.array([0.5]), ["tv"])
    found = pool(tables)
    far = found.table[found.table["distance"].abs() > 2]
    assert list(far["unit"]) == ["odd"]
    assert any("odd" in sentence and "Look for the reason" in sentence for sentence in found.findings("en"))


def a_problem(channels=("search", "tv")):
    ends = pd.date_range("2025-01-05", periods=40, freq="7D", name="week_end")
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({name: draw.uniform(1, 2, 40) for name in channels} | {"revenue": 100.0}, index=ends)
    return problem(frame, list(channels))


def a_posterior(given, mean, covariance, seed=0):
    iroas = np.exp(np.random.default_rng(seed).multivariate_normal(mean, covariance, 4000))
    flat, none = np.ones_like(iroas), np.ones(len(mean))
    size = len(iroas)
    return Posterior(
        given, "published", iroas, flat, flat, flat, 0 * flat, np.zeros((size, given.baseline.shape[1])),
        np.zeros(size), np.ones(size), none, 500 * none, 0, 0, none,
    )  # fmt: skip


def test_what_a_unit_saves_is_what_its_draws_and_prior_say():
    given_problem = a_problem()
    covariance = np.array([[0.2, -0.05], [-0.05, 0.3]])
    saved = summary_of(a_posterior(given_problem, [1.0, 0.5], covariance))
    assert list(saved.columns) == pooling.SUMMARY and len(saved) == 4
    np.testing.assert_allclose(saved["covariance"].to_numpy().reshape(2, 2), covariance, atol=0.02)
    np.testing.assert_allclose(
        saved["prior_covariance"].to_numpy().reshape(2, 2), given_problem.prior.covariance[:2, :2]
    )
    own = saved[saved["channel"] == saved["other"]]
    np.testing.assert_allclose(own["prior_mean"], given_problem.prior.mean[:2])
    np.testing.assert_allclose(own["mean"], [1.0, 0.5], atol=0.03)
    assert (own["low"] < own["iroas"]).all() and (own["iroas"] < own["high"]).all()
    assert set(pool({"it": saved, "uk": saved}).table["status"]) == {"pooled"}


def test_priors_for_a_refit_carry_the_others_centre_and_spread():
    tables = {
        unit: summary_of(a_posterior(a_problem(), [1.0, 0.5], 0.2 * np.eye(2), seed))
        for seed, unit in ((0, "it"), (1, "uk"))
    }
    found = pool(tables)
    names, mean, covariance = found.priors["it"]
    stated = pooled_priors(found, "it", Priors(trend_sd=0.1, channels={"tv": {"carryover": 0.6}}))
    assert stated.trend_sd == 0.1 and stated.channels["tv"]["carryover"] == 0.6
    row = found.table[(found.table["unit"] == "it") & (found.table["channel"] == "tv")].iloc[0]
    assert stated.channels["tv"]["iroas"] == pytest.approx(row["others_iroas"])
    assert stated.channels["tv"]["iroas_sd"] == pytest.approx(row["others_log_sd"])
    exact = pooled_problem(found, "it", a_problem(("tv", "mail", "search")))
    order = [names.index("tv"), names.index("search")]
    np.testing.assert_allclose(exact.prior.mean[[0, 2]], mean[order])
    np.testing.assert_allclose(exact.prior.covariance[np.ix_([0, 2], [0, 2])], covariance[np.ix_(order, order)])
    assert not exact.prior.covariance[1, [0, 2]].any() and np.linalg.eigvalsh(exact.prior.covariance).min() > 0
    assert pooled_priors(found, "nowhere", stated) is stated


@pytest.mark.parametrize("language", ["en", "it"])
def test_plot_and_sentences(language):
    tables, _truth = company(np.random.default_rng(3), units=3, channels=2)
    found = pool(tables)
    assert found.findings(language)[0].count("channel 0") == 1
    assert len(found.plot(language=language).texts) > 6
    alone = pool({"it": tables["unit 0"]})
    assert alone.findings(language)[0].startswith("No channel") or language == "it"
    assert isinstance(alone, Pooling) and set(alone.table["status"]) == {"one_unit"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="prior_covariance"), "no column 'prior_covariance'"),
        (lambda frame: frame.drop(index=1), "no covariance"),
        (lambda frame: frame.assign(covariance=-frame["covariance"]), "no covariance"),
        (lambda frame: frame.assign(mean=np.nan), "mean is missing"),
        (lambda frame: pd.concat([frame, frame.iloc[:1]]), "stands twice"),
    ],
)
def test_a_damaged_summary_is_refused(change, said):
    tables, _truth = company(np.random.default_rng(0), units=2, channels=2)
    with pytest.raises(Faults, match=said):
        pool(tables | {"unit 1": change(tables["unit 1"])})


def test_distance_by_hand():
    """What a unit's data say alone, less what the others say, over the root of both variances."""
    tables = {f"unit {n}": seen(np.array([0.5]), np.array([[0.2]]), np.array([0.5]), ["tv"]) for n in range(3)}
    tables["odd"] = seen(np.array([3.5]), np.array([[0.4]]), np.array([0.5]), ["tv"])
    row = pool(tables).table.set_index("unit").loc["odd"]
    expected = (3.5 - np.log(row["others_iroas"])) / np.sqrt(0.4 + row["others_log_sd"] ** 2)
    assert row["distance"] == pytest.approx(expected)


@pytest.mark.parametrize(("r_hat", "status"), [(1.049, "pooled"), (1.05, "not_converged"), (np.nan, "pooled")])
def test_chains_agree_below_the_verdicts_limit(r_hat, status):
    tables = {unit: seen(np.array([0.5]), np.array([[0.2]]), np.array([0.5]), ["tv"]) for unit in ("it", "uk", "fr")}
    tables["it"] = tables["it"].assign(r_hat=r_hat)
    assert pool(tables).table.set_index("unit").loc["it", "status"] == status
