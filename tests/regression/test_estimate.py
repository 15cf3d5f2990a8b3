"""Drafts and published posteriors: against algebra, against another sampler, and the same digits every time."""

import multiprocessing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kpitoolkit.errors import Faults
from kpitoolkit.regression import density, estimate, posterior, transforms
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import believed, cut, problem, without
from tests.regression import simulated

WEEKS, CARRY_IN = 104, 12
TIGHT = {"carryover_sd": 0.01, "half_saturation_sd": 0.01, "slope_sd": 0.01}


def company(seed=0, noise=0.03):
    draw = np.random.default_rng(seed)
    ends = pd.date_range("2024-01-07", periods=WEEKS + CARRY_IN, freq="7D")
    frame = pd.DataFrame(index=ends)
    frame["tv"] = draw.uniform(20, 90, len(ends)) * np.repeat(draw.random(len(ends) // 4 + 1) < 0.5, 4)[: len(ends)]
    frame["search"] = 40 * np.exp(draw.normal(0, 0.5, len(ends)))
    truth = {"tv": (2.5, 0.5, 1.5), "search": (1.5, 0.2, 2.0)}
    revenue = np.full(WEEKS, 800.0)
    for name, (iroas, kept, half) in truth.items():
        revenue += iroas * transforms.response(frame[name].to_numpy(), kept, half, window=WEEKS)
    error = draw.normal(0, noise * 1000, WEEKS)
    frame["revenue"] = np.r_[np.zeros(CARRY_IN), revenue + error]
    return frame, truth


def found(seed=0, **stated):
    frame, _truth = company(seed)
    return problem(frame, ["tv", "search"], window=WEEKS, **stated)


@pytest.fixture(scope="module")
def published():
    return estimate.published(found())


def test_chains_agree_and_hold_the_truth(published):
    _frame, truth = company()
    assert published.r_hat.max() < estimate.LARGEST_R_HAT
    assert published.ess.min() > estimate.SMALLEST_ESS
    low, high = posterior.interval(published.iroas)
    for place, name in enumerate(published.problem.channels):
        assert low[place] < truth[name][0] < high[place]


def test_parts_add_up_to_the_fit_in_every_draw_and_on_average(published):
    media = posterior.contributions(published)
    total = published.iroas * published.problem.spent * published.problem.scale
    assert media.sum(axis=1) == pytest.approx(total)
    mean = posterior.point(media).sum(axis=1) + posterior.point(posterior.baseline(published))
    assert mean == pytest.approx(posterior.point(media.sum(axis=2) + posterior.baseline(published)))


def test_published_agrees_with_a_plain_metropolis_walk(published):
    """A second sampler, of a few lines, on the same density."""
    given = published.problem
    inputs = given.arrays()
    best, _optima = estimate.highest(given, inputs)
    root = estimate.curvature(given, best, inputs)
    scratch = np.empty(len(best))
    draw = np.random.default_rng(5)
    position, walked = best, []
    height = density.log_posterior(position, scratch, *inputs)
    for step in range(60_000):
        proposal = position + 0.55 * root @ draw.standard_normal(len(best))
        other = density.log_posterior(proposal, scratch, *inputs)
        if np.log(draw.random()) < other - height:
            position, height = proposal, other
        if step >= 5_000 and step % 10 == 0:
            walked.append(position[:2])
    walked = np.array(walked)
    ours = np.log(published.iroas)
    assert walked.mean(axis=0) == pytest.approx(ours.mean(axis=0), abs=0.06)
    assert walked.std(axis=0) == pytest.approx(ours.std(axis=0), rel=0.15)


def test_a_draft_is_exact_where_the_model_is_nearly_gaussian():
    priors = Priors(channels={name: {"iroas": 2.0, "iroas_sd": 0.05, **TIGHT} for name in ("tv", "search")})
    given = found(priors=priors)
    one, other = estimate.draft(given, draws=4000), estimate.published(given)
    assert np.log(one.iroas).mean(axis=0) == pytest.approx(np.log(other.iroas).mean(axis=0), abs=0.01)
    assert np.log(one.iroas).std(axis=0) == pytest.approx(np.log(other.iroas).std(axis=0), rel=0.1)


def test_without_data_the_posterior_is_the_prior():
    """Revenue that says nothing: noise so large that only beliefs are left."""
    given = found(priors=Priors(noise=30.0, noise_log_sd=0.01))
    post = estimate.published(given)
    log = np.log(post.iroas)
    assert log.mean(axis=0) == pytest.approx(given.prior.mean[:2], abs=0.15)
    assert log.std(axis=0) == pytest.approx(given.prior.log_iroas_sd, rel=0.15)


def test_the_next_euro_is_the_difference_of_a_little_more_spend(published):
    given = published.problem
    more = given.spend.copy()
    more[-WEEKS:] *= 1.0001
    ceiling = posterior.ceiling(published)
    gained = (posterior.reached(published, more) - published.share).sum(axis=1) * ceiling
    spent = given.spent * given.scale * 0.0001
    assert posterior.mroas(published) == pytest.approx(gained / spent, rel=1e-2)


def test_a_lift_test_moves_and_narrows_its_channel():
    test = pd.DataFrame({"channel": ["tv"], "first": [20], "last": [60], "iroas": [2.0], "log_sd": [0.02]})
    free, held = estimate.draft(found()), estimate.draft(found(lift_tests=test))
    assert np.log(held.iroas[:, 0]).std() < 0.6 * np.log(free.iroas[:, 0]).std()


def _digits(seed):
    post = estimate.published(found(), seed)
    return post.iroas.sum(), post.baseline.sum(), post.divergences


def test_same_seed_same_digits_in_one_process_and_in_several(published):
    here = published.iroas.sum(), published.baseline.sum(), published.divergences
    assert _digits(0) == here
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_digits, (0,)) == here
    other = _digits(1)
    assert other != here
    assert other[0] == pytest.approx(here[0], rel=0.05)


def test_cut_without_and_believed_are_the_problems_they_name():
    given = found()
    frame, _truth = company()
    short = cut(given, 60)
    assert short.window == 60
    assert len(short.spend) == 60 + CARRY_IN
    plain = problem(frame.iloc[: 60 + CARRY_IN], ["tv", "search"], window=60)
    assert short.spent * short.scale == pytest.approx(plain.spent * plain.scale)
    one = without(given, "tv")
    alone = problem(frame, ["search"], window=WEEKS)
    assert one.spend == pytest.approx(alone.spend)
    assert one.prior.covariance == pytest.approx(alone.prior.covariance)
    other = believed(given, Priors(own_log_sd=2.0))
    assert other.prior.log_iroas_sd == pytest.approx(np.hypot(2.0, Priors().common_log_sd))
    assert replace(other, stated=given.stated, prior=given.prior).revenue is given.revenue


def test_agreement_sees_a_chain_that_stayed_apart():
    draw = np.random.default_rng(0)
    chains = draw.standard_normal((4, 300, 2))
    chains[3, :, 1] += 2
    r_hat, ess = estimate.agreement(chains)
    assert r_hat[0] < 1.02
    assert r_hat[1] > 1.2
    assert ess[1] < 100
    assert ess[0] > 100


def test_wrong_words_and_priors_are_refused_together():
    frame, _truth = company()
    with pytest.raises(Faults, match=r"adstock 'geometrik'.*Did you mean 'geometric'[\s\S]*saturation 'hil'"):
        problem(frame, ["tv"], window=WEEKS, adstock="geometrik", saturation="hil")
    with pytest.raises(Faults, match=r"'serch' is no channel.*Did you mean 'search'"):
        problem(frame, ["tv", "search"], window=WEEKS, priors=Priors(channels={"serch": {"iroas": 1.0}}))
    with pytest.raises(Faults, match=r"media_share must be below 1[\s\S]*'iroa' is not a prior"):
        Priors(media_share=1.2, channels={"tv": {"iroa": 1.0}})


def test_baseline_draws_follow_their_normal(published):
    """At fixed media and errors, the baseline is a generalised ridge regression."""
    given = published.problem
    media = np.repeat(published.share[:1].sum(axis=2) * 0.1, 3000, axis=0)
    rho, noise = np.full(3000, 0.3), np.full(3000, 0.04)
    draws = posterior.baseline_draws(given, media, rho, noise, np.random.default_rng(0))
    lag = np.abs(np.subtract.outer(np.arange(WEEKS), np.arange(WEEKS)))
    weight = np.linalg.inv(0.04**2 / (1 - 0.09) * 0.3**lag)
    design, (means, sd) = given.baseline.to_numpy(), given.prior.baseline
    precision = design.T @ weight @ design + np.diag(1 / sd**2)
    centre = np.linalg.solve(precision, design.T @ weight @ (given.revenue - media[0]) + means / sd**2)
    error = np.sqrt(np.diag(np.linalg.inv(precision)))
    assert np.abs(draws.mean(axis=0) - centre).max() < 4 * (error / np.sqrt(3000)).max()
    assert draws.std(axis=0) == pytest.approx(error, rel=0.08)
    assert stats.kstest((draws[:, 0] - centre[0]) / error[0], "norm").pvalue > 0.001


def test_the_centre_of_baseline_draws_is_the_ridge_regression_to_the_digit():
    """Second way: the whole covariance of the errors, inverted; draws that do not scatter lie on the centre."""
    given, rho, noise = found(), np.array([0.3, -0.7]), np.array([0.04, 0.1])
    still = SimpleNamespace(standard_normal=np.zeros)
    draws = posterior.baseline_draws(given, np.full((2, WEEKS), 0.1), rho, noise, still)
    lag = np.abs(np.subtract.outer(np.arange(WEEKS), np.arange(WEEKS)))
    design, (means, sd) = given.baseline.to_numpy(), given.prior.baseline
    for each, kept, size in zip(draws, rho, noise, strict=True):
        weight = np.linalg.inv(size**2 / (1 - kept**2) * kept**lag)
        precision = design.T @ weight @ design + np.diag(1 / sd**2)
        centre = np.linalg.solve(precision, design.T @ weight @ (given.revenue - 0.1) + means / sd**2)
        assert each == pytest.approx(centre, rel=1e-8)


def test_evidence_is_the_area_under_likelihood_times_prior():
    """Errors alone, two dimensions: Laplace's evidence beside a sum over a grid."""
    none = without(without(simulated.given(), "search"), "tv")
    inputs, scratch, sd = none.arrays(), np.empty(2), np.sqrt(np.diag(none.prior.covariance))
    best = estimate.highest(none, inputs)[0]
    sides = [np.linspace(-1.0, 1.0, 161) + centre for centre in best]
    heights = np.array(
        [[density.log_posterior(np.array([a, b]), scratch, *inputs) for b in sides[1]] for a in sides[0]]
    )
    cell = np.prod([side[1] - side[0] for side in sides])
    area = heights.max() + np.log(np.exp(heights - heights.max()).sum() * cell)
    assert estimate.evidence(none) == pytest.approx(area - np.log(2 * np.pi) - np.log(sd).sum(), abs=0.05)


def test_the_highest_of_all_starts_is_taken(monkeypatch):
    """Starts that end at different heights: the best one's position, and every height."""
    heights = iter([5.0, 9.0, 7.0, 1.0])

    def stopped(_negative, start, **_options):
        return SimpleNamespace(x=start, fun=-next(heights))

    monkeypatch.setattr(estimate.optimize, "minimize", stopped)
    given = found()
    position, reached = estimate.highest(given)
    sd = np.sqrt(np.diag(given.prior.covariance))
    second = 0.7 * np.random.default_rng(0).standard_normal((estimate.STARTS - 1, len(sd)))[0]
    assert reached.tolist() == [5.0, 9.0, 7.0, 1.0]
    assert position == pytest.approx(given.prior.mean + sd * second)


@pytest.mark.parametrize(
    ("seen", "extended"),
    [
        ([(1.049, 401.0)], 0),
        ([(1.05, 900.0), (1.01, 900.0)], 1),  # chains that disagree
        ([(1.01, 400.0), (1.01, 390.0), (1.01, 900.0)], 2),  # chains that are too short
        ([(1.2, 100.0)] * 5, 4),
    ],
)
def test_chains_are_extended_until_they_agree_and_are_long_enough(seen, extended, monkeypatch):
    given, walks, figures = found(), [], iter(seen)
    size = len(given.prior.mean)

    def walk(_inputs, centre, _root, _start, _tune, seed, *_more):
        walks.append(seed)
        return centre + 0.01 * np.random.default_rng(seed).standard_normal((4, 20, size)), 1

    monkeypatch.setattr(estimate, "_walk", walk)
    monkeypatch.setattr(estimate, "agreement", lambda _chains: tuple(np.full(2, each) for each in next(figures)))
    post = estimate.published(given, seed=7)
    assert (post.extended, post.divergences, len(post.iroas)) == (extended, extended + 1, 80 * (extended + 1))
    assert walks == list(range(7, 8 + extended))
    assert (post.r_hat[0], post.ess[0]) == seen[-1]


@pytest.mark.parametrize(
    ("geometric", "delayed", "taken"), [(1.0, 1.1, "delayed"), (1.0, 0.9, "geometric"), (1.0, 1.0, "geometric")]
)
def test_the_adstock_of_higher_evidence_is_chosen_by_week(geometric, delayed, taken, monkeypatch):
    heights = {"geometric": geometric, "delayed": delayed}
    monkeypatch.setattr(estimate, "evidence", lambda given: heights[given.adstock])
    chosen, said = estimate.chosen(found())
    assert (chosen.adstock, said) == (taken, heights)
    assert chosen.prior.names[-1] == ("peak" if taken == "delayed" else "slope")
    draw = np.random.default_rng(0)
    ends = pd.date_range("2018-03-31", periods=20, freq="QE")
    quarters = simulated.alone(draw.uniform(9, 11, 20), draw.uniform(1, 2, 20), "quarter", ends)
    assert estimate.chosen(quarters) == (quarters, {})
