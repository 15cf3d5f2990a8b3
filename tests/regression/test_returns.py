"""From draws to figures, by hand: two channels whose draws are a straight line, spend that never changes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.regression import returns
from tests.regression.posterior_by_hand import written

BREAK_EVEN = 2.402
MARGIN = 1 / BREAK_EVEN
DRAWS = np.column_stack([np.linspace(1, 5, 101), np.linspace(3, 1, 101)])
HALF = np.exp(np.linspace(-1, 1, 101))[:, None]


def posterior(**changed):
    """A quarter of the spend goes to the first channel, and all of it reaches half of its ceiling."""
    post = written(np.full((104, 2), [100.0, 300.0]), iroas=DRAWS, channels=("tv", "web"), **changed)
    return replace(post, r_hat=np.array([1.01, 1.2]), ess=np.array([900.0, 100.0]))


@pytest.fixture(scope="module")
def rows():
    return returns.rows(posterior(), MARGIN).set_index("channel")


IROAS = {"total_media": (2.25, 2.025, 2.475), "tv": (3.0, 1.2, 4.8), "web": (2.0, 1.1, 2.9)}
SPEND = {"total_media": 41_600, "tv": 10_400, "web": 31_200}


@pytest.mark.parametrize("channel", IROAS)
def test_each_figure_and_both_ends_of_its_interval(rows, channel):
    """The next euro at half of the ceiling brings half of the average one."""
    row, iroas = rows.loc[channel], np.array(IROAS[channel])
    found = {
        name: row[[name, f"{prefix}low", f"{prefix}high"]].to_numpy(dtype=float)
        for name, prefix in (("iroas", ""), ("contribution", "contribution_"), ("mroas", "mroas_"), ("roi", "roi_"))
    }
    assert row["spend"] == pytest.approx(SPEND[channel])
    assert found["iroas"] == pytest.approx(iroas)
    assert found["contribution"] == pytest.approx(SPEND[channel] * iroas)
    assert found["mroas"] == pytest.approx(iroas / 2, rel=1e-4)
    assert found["roi"] == pytest.approx(iroas / BREAK_EVEN - 1)
    assert row["mroi"] == pytest.approx(iroas[0] / 2 / BREAK_EVEN - 1, abs=1e-4)


def test_the_probability_of_the_total_is_of_its_own_draws(rows):
    """2.5 - 0.005 i in 20 of 101 draws; 1 + 0.04 i in 65; 3 - 0.02 i in 30."""
    assert (rows["probability_above_break_even"] * 101).tolist() == pytest.approx([20, 65, 30])


def test_the_total_is_as_doubtful_as_its_worst_channel(rows):
    assert rows["r_hat"].tolist() == [1.2, 1.01, 1.2]
    assert rows["ess"].tolist() == [100, 900, 100]


def test_the_total_is_judged_by_its_own_narrowing(rows):
    """Its own data are all data: what is left of it is posterior over prior, the prior's drawn anew."""
    prior = posterior().problem.prior
    drawn = np.random.default_rng(7).multivariate_normal(prior.mean[:2], prior.covariance[:2, :2], 100_000)
    before = np.log(np.exp(drawn) @ [0.25, 0.75]).std()
    total = rows.loc["total_media"]
    assert total["shrinkage"] == pytest.approx(np.log(np.linspace(2.5, 2.0, 101)).std() / before, rel=0.03)
    assert total["own_data"] == total["shrinkage"]


def test_priors_and_posteriors_stand_in_currency_and_as_medians():
    """Half-saturation of 2.5 times 100 and 300 before, once after; a log-uniform has its median in the middle."""
    found = returns.priors_beside(posterior(half_saturation=HALF)).set_index(["quantity", "channel"])
    half, ends = found.loc["half_saturation"], np.exp([-0.9, 0.9])
    spread = np.exp(1.6448536 * 1.1)
    for channel, spend in (("tv", 100.0), ("web", 300.0)):
        before = half.loc[channel, ["prior", "prior_low", "prior_high"]].to_numpy(dtype=float)
        assert before == pytest.approx(2.5 * spend * np.array([1, 1 / spread, spread]), rel=1e-5)
        after = half.loc[channel, ["posterior", "low", "high"]].to_numpy(dtype=float)
        assert after == pytest.approx(spend * np.array([1, *ends]))
    assert found.loc[("carryover", "tv"), "prior"] == pytest.approx(0.354)


def test_shapes_stand_in_currency():
    found = returns.rows(posterior(half_saturation=HALF), MARGIN).set_index("channel")
    assert found["half_saturation"].tolist() == pytest.approx([np.nan, 100, 300], nan_ok=True)
    flat = returns.rows(posterior(), MARGIN).set_index("channel")
    assert flat["ceiling"].tolist() == pytest.approx([np.nan, 2 * 3 * 100, 2 * 2 * 300], rel=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    ("share", "reason"),
    [(0.00099, "unusual_spend"), (0.001, ""), (1.0, ""), (1.01, "unusual_spend"), (np.nan, "")],
)
def test_where_spend_beside_revenue_looks_like_a_wrong_unit(rows, share, reason):
    table = rows.reset_index().assign(r_hat=1.0, shrinkage=0.1, own_data=0.1, probability_above_break_even=1.0)
    assert set(returns.judged(table, 104, "week", share)["verdict_reason"]) == {reason}


@pytest.mark.parametrize(("informed", "grade"), [(0.49, "total_only"), (0.5, "strong")])
def test_most_of_the_spend_is_half_of_it(informed, grade):
    table = pd.DataFrame({"channel": ["total_media", "a", "b"], "spend": [1.0, informed, 1 - informed]})
    verdicts, reasons = ["above_break_even", "below_break_even", "insufficient_data"], ["", "", "data_silent"]
    assert returns.evidence(table.assign(verdict=verdicts, verdict_reason=reasons)).grade == grade


@pytest.mark.parametrize("share", [0.0, -0.447])
def test_at_a_margin_of_zero_or_less_no_return_pays_whatever_the_data_say(share):
    """-0.447 x 2.475 - 1 and -0.447 x 2.025 - 1: the higher return loses more."""
    found = returns.rows(posterior(), share)
    assert found["probability_above_break_even"].isna().all()
    assert (found["roi_low"] <= found["roi"]).all() and (found["roi"] <= found["roi_high"]).all()
    total = found.iloc[0]
    assert [total["roi_low"], total["roi_high"]] == pytest.approx([share * 2.475 - 1, share * 2.025 - 1])
    calm = found.assign(r_hat=1.0, shrinkage=0.1, own_data=0.1)
    known = returns.judged(calm, 104, "week", pays=False)
    assert set(known["verdict"]) == {"loses_on_every_sale"} and set(known["verdict_reason"]) == {""}
    assert returns.evidence(known).grade == "strong"
    short = returns.judged(calm, 103, "week", pays=False)
    assert set(short["verdict"]) == {"loses_on_every_sale"} and set(short["verdict_reason"]) == {"too_few_periods"}
    assert returns.evidence(short).reason == "too_few_periods"
    idle = returns.judged(calm.assign(spend=0.0), 104, "week", pays=False)
    assert set(idle["verdict"]) == {"not_spent"}
