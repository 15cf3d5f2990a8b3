from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.regression import estimate, posterior, sensitivity
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import believed, problem
from tests.regression import simulated


@pytest.fixture(scope="module")
def post():
    return estimate.draft(simulated.given(noise=5.0), draws=300)


@pytest.fixture(scope="module")
def result(post):
    return sensitivity.sensitivity(post, 0.4)


def test_each_prior_is_a_draft_of_its_own(post, result):
    """Second way: fit one of them directly."""
    assert list(result.table["prior"].unique()) == list(sensitivity.alternatives(post.problem.stated))
    stated = sensitivity.alternatives(post.problem.stated)["centre_doubled"]
    direct = estimate.draft(believed(post.problem, stated), draws=sensitivity.DRAWS)
    own = result.table[result.table["prior"] == "centre_doubled"].set_index("channel")
    assert own.loc[["search", "tv"], "iroas"].to_numpy() == pytest.approx(posterior.point(direct.iroas))
    assert own.loc["total_media", "iroas"] == pytest.approx(posterior.point(direct.total))


def test_data_that_speak_overrule_every_prior(result):
    """Returns of 4 and 1 beside a break-even of 2.5, little noise."""
    table = result.table.pivot_table("iroas", "prior", "channel")
    assert table["search"].to_numpy() == pytest.approx(4.0, rel=0.16)
    assert table["tv"].to_numpy() == pytest.approx(1.0, rel=0.12)
    found = result.verdicts.set_index("channel")
    assert found.loc["search", "answer"] == found.loc["tv", "answer"] == "holds"
    assert (found.loc["search", "verdict"], found.loc["tv", "verdict"]) == ("above_break_even", "below_break_even")
    assert found.loc["search", "lowest"] == table["search"].min()
    assert found.loc["search", "highest"] == table["search"].max()
    assert "The verdict is the same under every prior for" in " ".join(result.findings("en"))


def test_a_channel_of_which_the_data_say_nothing_follows_its_prior():
    """Next to nothing of TV and priors without a common factor: where the centre doubles, so does the figure."""
    frame = simulated.frame(weeks=104, iroas=(4.0, 0.0))
    frame["tv"] /= 1e5
    given = problem(frame, ["search", "tv"], window=104, priors=Priors(common_log_sd=0.001, own_log_sd=1.0))
    result = sensitivity.sensitivity(estimate.draft(given, draws=50), 0.4)
    found = result.table.set_index(["prior", "channel"])["iroas"]
    assert found["centre_doubled", "tv"] == pytest.approx(2 * found["stated_prior", "tv"], rel=0.1)
    assert found["centre_halved", "tv"] == pytest.approx(0.5 * found["stated_prior", "tv"], rel=0.1)
    verdicts = result.verdicts.set_index("channel")
    assert verdicts.loc["tv", "answer"] == "insufficient_data"
    assert "No verdict under the stated prior for" in " ".join(result.findings("en"))


def test_alternatives_move_what_they_name():
    stated = Priors(channels={"tv": {"iroas": 2.0, "iroas_sd": 0.3, "slope": 2.0, "slope_sd": 0.1}})
    given = believed(simulated.given(), stated)
    others = {name: believed(given, each).prior for name, each in sensitivity.alternatives(stated).items()}
    centre = others["stated_prior"].mean[:2]
    assert others["centre_doubled"].mean[:2] == pytest.approx(centre + np.log(2))
    assert others["centre_halved"].mean[:2] == pytest.approx(centre - np.log(2))
    assert others["independent_1_5"].log_iroas_sd[0] == pytest.approx(1.5, rel=1e-4)
    assert others["independent_1"].covariance[0, 0] == pytest.approx(1.0, rel=1e-4)
    at_slope = slice(3 * 2, 4 * 2)
    assert others["stated_prior"].mean[at_slope] == pytest.approx(np.log([stated.slope, 2.0]))
    assert others["slope_1"].mean[at_slope] == pytest.approx([0.0, 0.0])
    assert np.diag(others["slope_1"].covariance)[at_slope].max() < 1e-5


def test_a_prior_equal_to_the_stated_one_is_no_alternative():
    assert "correlated" not in sensitivity.alternatives(Priors(common_log_sd=0.8, own_log_sd=0.7))
    assert "correlated" in sensitivity.alternatives(Priors(common_log_sd=0.5))


def test_answers_by_hand():
    above, below, none = "above_break_even", "below_break_even", "insufficient_data"
    said = {"tv": (above, above, above), "mail": (above, none, below), "web": (none, above, none)}
    figures = {"tv": (3.0, 3.1, 2.9), "mail": (3.0, 2.0, 1.0), "web": (3.0, 3.5, 3.0)}
    rows = [
        {"channel": channel, "prior": prior, "iroas": figures[channel][at], "verdict": verdicts[at]}
        for channel, verdicts in said.items()
        for at, prior in enumerate(("stated_prior", "a", "b"))
    ]
    found = sensitivity._answers(pd.DataFrame(rows)).set_index("channel")
    assert found["answer"].to_dict() == {"tv": "holds", "mail": "depends_on_prior", "web": "insufficient_data"}
    assert found["changes"].to_dict() == {"tv": 0, "mail": 2, "web": 1}
    assert found["reversed"].to_dict() == {"tv": 0, "mail": 1, "web": 0}
    assert found.loc["mail", ["lowest", "highest"]].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("language", ["en", "it"])
def test_words_and_plot(result, language):
    assert "{" not in " ".join(result.findings(language))
    ax = result.plot(language=language, channel="tv")
    assert len(ax.get_yticklabels()) == result.table["prior"].nunique()


def test_nothing_to_refit_is_said():
    result = sensitivity.sensitivity(None, 0.4)
    assert not len(result.table)
    assert result.findings("en") == ["No other prior was tried: nothing could be modelled."]
    assert result.plot() is None


def faint():
    """Data that say next to nothing: the draft of such a posterior lies far off."""
    return simulated.given(weeks=104, noise=400.0, iroas=(1.0, 0.5))


@pytest.fixture(scope="module")
def published():
    return estimate.published(faint())


def test_where_a_draft_lies_far_off_every_prior_is_sampled(published):
    """Second way: the whole walk under another prior agrees with the short one, and not with the draft."""
    result = sensitivity.sensitivity(published, 0.4)
    assert result.sampled and result.draft == estimate.draft(published.problem, draws=500).total.mean()
    table = result.table[result.table["channel"] == "total_media"].set_index("prior")
    assert table.loc["stated_prior", "iroas"] == pytest.approx(published.total.mean(), rel=1e-12)
    given = believed(published.problem, sensitivity.alternatives(published.problem.stated)["centre_halved"])
    whole, draft = (each.total for each in (estimate.published(given), estimate.draft(given)))
    assert table.loc["centre_halved", "iroas"] == pytest.approx(whole.mean(), rel=0.2)
    assert abs(np.log(draft.mean() / whole.mean())) > 0.22
    said = result.findings("en")
    assert "sampled in a short walk" in said[0] and "(short samples;" in said[1]
    assert not any("draft fits" in sentence for sentence in said)
    assert any("short samples" in note.get_text() for note in result.plot().texts)


def test_where_a_draft_is_near_drafts_are_what_is_shown(post):
    """A published posterior whose draft agrees with it: the same figures as before it was published."""
    near = sensitivity.sensitivity(replace(post, kind="published"), 0.4)
    assert not near.sampled
    pd.testing.assert_frame_equal(near.table, sensitivity.sensitivity(post, 0.4).table)
    assert any("draft fits" in sentence for sentence in near.findings("en"))


def test_a_quarter_more_or_less_is_far(post):
    drafted = estimate.draft(post.problem, draws=500).total.mean()
    for factor, far in ((1.2, False), (1 / 1.2, False), (1.3, True), (1 / 1.3, True)):
        iroas = np.full_like(post.iroas, drafted * factor)
        found = estimate.beside_draft(replace(post, kind="published", iroas=iroas))
        assert (found == drafted) if far else np.isnan(found)
    assert np.isnan(estimate.beside_draft(replace(post, iroas=9 * post.iroas)))


def test_a_wrong_unit_of_spend_gives_no_figures(post):
    """Spend of a thousandfold: more than revenue is."""
    given = post.problem
    wrong = replace(post, problem=replace(given, spent=1000 * given.spent))
    result = sensitivity.sensitivity(wrong, 0.4)
    assert not len(result.table) and not len(result.verdicts)
    share = 100 * 1000 * given.spent.sum() / len(given.revenue)
    assert result.findings("en") == [
        f"No other prior was tried: spend is {share:,.2f}% of revenue; check the currency and the unit of both first."
    ]
    result.plot()


def test_alternatives_keep_within_reason():
    """Twice a share of .6 would be more than all revenue; the correlated prior is common .8 and own .7."""
    others = sensitivity.alternatives(Priors(media_share=0.6))
    assert (others["centre_doubled"].media_share, others["centre_halved"].media_share) == (0.95, 0.3)
    covariance = believed(simulated.given(), others["correlated"]).prior.covariance[:2, :2]
    assert covariance.ravel() == pytest.approx([1.13, 0.64, 0.64, 1.13])


def test_without_a_margin_no_prior_makes_a_return_pay(post):
    found = sensitivity.sensitivity(post, -0.447)
    assert found.break_even is None and set(found.table["verdict"]) == {"loses_on_every_sale"}
    assert set(found.verdicts["answer"]) == {"holds"}
    assert not any("break-even" in word.get_text() for word in found.plot().texts)
