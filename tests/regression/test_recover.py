from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.errors import Faults
from kpitoolkit.regression import estimate, lift, posterior, recover
from tests.regression import simulated

TESTS = pd.DataFrame({"channel": ["tv"], "first": [20], "last": [35], "compared": [0.0], "iroas": [1.0]})
TESTS["log_sd"] = 1e-9


@pytest.fixture(scope="module")
def post():
    return estimate.draft(simulated.given(noise=5.0), draws=400)


@pytest.fixture(scope="module")
def result(post):
    return recover.recover(post, 0.4, simulations=8, seed=1)


def test_truth_that_speaks_is_found_again(result):
    """Little noise: errors are small, verdicts are reached and right."""
    table = result.table.set_index("channel")
    assert list(table.index) == ["total_media", "search", "tv"]
    assert (table["median_error"] < 0.2).all()
    assert table.loc["tv", "median_error"] < 0.1
    assert (table.loc[["search", "tv"], "decided"] > 0.7).all()
    assert (table.loc[["search", "tv"], "decided_rightly"] == 1).all()
    assert (table["covered"] >= 0.5).all()
    assert table.loc["search", "answer"] == "decidable"


def test_true_figures_are_draws_of_the_posterior(post, result):
    own = result.simulations[result.simulations["channel"] == "tv"]
    assert set(own["true"]) <= set(post.iroas[:, 1])
    assert own["true"].nunique() == 8
    totals = result.simulations[result.simulations["channel"] == "total_media"]
    assert set(totals["true"].round(9)) <= set(post.total.round(9))


def test_loud_data_are_not_decidable_and_it_is_said(post):
    loud = replace(post, noise=100 * post.noise)
    result = recover.recover(loud, 0.4, simulations=4)
    assert (result.table["answer"] == "not_decidable").all()
    assert result.table["median_error"].max() > 0.2
    assert any(said.startswith("A verdict would be reached less often than not for") for said in result.findings("en"))


def test_the_same_seed_gives_the_same_digits(post):
    first, again, other = (recover.recover(post, 0.4, simulations=2, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.simulations, again.simulations)
    assert set(other.simulations["true"]).isdisjoint(again.simulations["true"])


def test_figures_can_come_from_the_prior(post):
    """The prior is far wider than this posterior, and its centre lies elsewhere."""
    truths = recover._truths(post, 400, "prior", np.random.default_rng(0))
    assert np.log(truths.iroas).std(axis=0) == pytest.approx(post.problem.prior.log_iroas_sd, rel=0.15)
    assert np.log(truths.iroas).mean(axis=0) == pytest.approx(post.problem.prior.mean[:2], abs=0.2)
    assert ((truths.carryover > 0) & (truths.carryover < 1)).all()
    assert set(truths.noise) <= set(post.noise)
    assert len(recover.recover(post, 0.4, simulations=2, source="prior").simulations) == 6
    with pytest.raises(Faults, match="'data' is not one of posterior, prior"):
        recover.recover(post, 0.4, source="data")


def test_errors_have_the_stated_memory_and_size():
    """Stationary from the first period: variance noise^2 / (1 - rho^2), autocorrelation rho."""
    draw = np.random.default_rng(0)
    found = np.array([recover.autoregression(0.6, 2.0, 30, draw) for _ in range(4000)])
    assert found.var(axis=0) == pytest.approx(4 / (1 - 0.36), rel=0.12)
    assert (found[:, 1:] * found[:, :-1]).mean() / found.var() == pytest.approx(0.6, abs=0.02)


def test_lift_tests_are_measured_anew(post):
    """By hand: without carry-over what a test measures is the test's share of contributions over its spend."""
    problem = replace(post.problem, lift_tests=TESTS)
    still = replace(post, problem=problem, carryover=np.full_like(post.carryover, 1e-9))
    one = replace(
        still, **{name: getattr(still, name)[:1] for name in ("iroas", "carryover", "half_saturation", "slope", "peak")}
    )
    brought = posterior.contributions(one)[0, 20:36, 1].sum()
    spent = (problem.spend[-120:, 1] * problem.mean_active[1])[20:36].sum()
    measured = recover._measured_again(still, 0, np.random.default_rng(0))
    assert measured["iroas"].iloc[0] == pytest.approx(brought / spent, rel=1e-3)
    assert TESTS["iroas"].iloc[0] == 1.0


def test_a_test_measures_what_the_model_takes_it_for(post):
    """Second way: with a test as sure as can be, the log posterior gains nothing by another iROAS of its channel."""
    problem = replace(post.problem, lift_tests=TESTS)
    truths = replace(post, problem=problem)
    measured = recover._measured_again(truths, 0, np.random.default_rng(0)).assign(log_sd=0.01)
    found = estimate.draft(replace(problem, lift_tests=measured), draws=200)
    one = lift.modelled(found, TESTS)[:, 0]
    assert np.log(one / measured["iroas"].iloc[0]).std() < 0.03
    assert np.median(one) == pytest.approx(measured["iroas"].iloc[0], rel=0.02)


def test_summary_by_hand():
    rows = [
        ("tv", 1.0, 1.1, 0.9, 1.3, "below_break_even", True), ("tv", 2.0, 1.6, 1.5, 1.8, "below_break_even", False),
        ("tv", 1.0, 1.3, 0.8, 1.5, "insufficient_data", False), ("web", 1.0, 2.0, 0.5, 9.0, "insufficient_data", False),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["channel", "true", "iroas", "low", "high", "verdict", "right"])
    found = recover._summary(frame).set_index("channel")
    assert found.loc["tv", ["simulations", "median_error", "covered"]].tolist() == pytest.approx([3, 0.2, 2 / 3])
    assert found.loc["tv", ["decided", "decided_rightly"]].tolist() == pytest.approx([2 / 3, 0.5])
    assert found["answer"].to_dict() == {"tv": "decidable", "web": "not_decidable"}
    assert np.isnan(found.loc["web", "decided_rightly"])


def test_one_channel_alone_is_named_once():
    draw = np.random.default_rng(0)
    spend = 100 * draw.gamma(4, 0.25, 104)
    alone = estimate.draft(simulated.alone(1000 + 3 * spend + draw.normal(0, 10, 104), spend), draws=100)
    said = recover.recover(alone, 0.4, simulations=2).findings("en")
    assert sum("search (" in sentence for sentence in said) == 1
    assert not any("all media together (" in sentence for sentence in said)


@pytest.mark.parametrize("language", ["en", "it"])
def test_words_and_plot(result, language):
    said = result.findings(language)
    assert "{" not in " ".join(said)
    assert len(result.plot(language=language).get_yticklabels()) == 3


def test_nothing_to_simulate_is_said():
    result = recover.recover(None, 0.4)
    assert result.findings("en") == ["Nothing was simulated: nothing could be modelled."]
    assert result.plot() is None


def test_where_a_draft_lies_far_off_simulations_are_sampled():
    """Next to no data: the draft is far off, and short walks recover better than drafts do."""
    published = estimate.published(simulated.given(weeks=104, noise=400.0, iroas=(1.0, 0.5)))
    found = recover.recover(published, 0.4, simulations=6)
    drafted = recover.recover(replace(published, kind="draft"), 0.4, simulations=6)
    assert found.published == published.total.mean() and np.isnan(drafted.draft)
    assert found.simulations["true"].tolist() == drafted.simulations["true"].tolist()
    high, higher = (np.log(each.simulations["iroas"] / each.simulations["true"]).mean() for each in (found, drafted))
    assert high < higher - 0.2
    assert any("short walk of the sampler" in sentence for sentence in found.findings("en"))
    assert not any("short walk" in sentence for sentence in drafted.findings("en"))
    assert any("short samples" in note.get_text() for note in found.plot().texts)


def test_a_wrong_unit_of_spend_is_not_simulated(post):
    given = post.problem
    result = recover.recover(replace(post, problem=replace(given, spent=given.spent / 1e4)), 0.4)
    assert not len(result.table) and not len(result.simulations)
    assert result.findings("en")[0].startswith("Nothing was simulated: spend is 0.00% of revenue; check the currency")
    result.plot()


def test_each_simulation_is_refitted_to_its_own_revenue_and_its_own_tests(post, monkeypatch):
    """Without errors: the revenue of one and the same draw, and tests that measured its return, not the stated one."""
    sure = replace(post, noise=1e-12 * post.noise, problem=replace(post.problem, lift_tests=TESTS))
    expected = posterior.contributions(sure).sum(axis=2) + posterior.baseline(sure)
    refitted = []
    monkeypatch.setattr(estimate, "draft", lambda given, *_rest: refitted.append(given) or sure)
    found = recover.recover(sure, 0.4, simulations=3).simulations
    true = found.loc[found["channel"] == "tv", "true"].to_numpy()
    assert len(refitted) == 3
    for given, iroas in zip(refitted, true, strict=True):
        at = int(np.flatnonzero(sure.iroas[:, 1] == iroas)[0])
        assert given.revenue * given.scale == pytest.approx(expected[at], rel=1e-9)
        measured = given.lift_tests["iroas"].iloc[0]
        assert measured != 1.0
        assert measured == pytest.approx(recover.lift.modelled(sure, given.lift_tests)[at, 0], rel=1e-6)


def test_without_a_margin_no_verdict_is_waited_for(post):
    found = recover.recover(post, -0.447, simulations=2)
    assert set(found.table["answer"]) == {"loses_on_every_sale"} and found.table["decided"].isna().all()
    assert found.table["median_error"].notna().all()
    said = " ".join(found.findings("en"))
    assert "at this margin no return pays" in said and "verdict in" not in said and "{" not in found.findings("it")[-1]
