"""The public result: it adds up, follows from the posterior, finds the truth, and says plainly what it cannot know."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit import regression
from kpitoolkit.errors import Faults
from kpitoolkit.regression import budget, curves, returns, transforms
from tests.regression import simulated

CHANNELS = ("search", "tv")
CONTROLS = ("price_index", "promotion_days", "holiday_days")


def company(weeks=130, noise=30.0, **stated):
    """The simulated company with every control; the rows before its window carry in."""
    frame = simulated.frame(weeks, noise=noise, controls=CONTROLS, **stated)
    return frame.assign(carry_in=np.arange(len(frame)) < simulated.CARRY_IN)


def drafted(frame, channels=CHANNELS, controls=CONTROLS, *rest, **stated):
    return regression.fit(frame, channels, controls, *rest, **{"adstock": "geometric", "draft": True, **stated})


@pytest.fixture(scope="module")
def inputs():
    return company()


@pytest.fixture(scope="module")
def result(inputs):
    return regression.fit(inputs, CHANNELS, CONTROLS, adstock="geometric")


@pytest.fixture(scope="module")
def quick(inputs):
    return drafted(inputs)


def by_channel(result):
    return result.table.set_index("channel")


def test_components_add_up_to_revenue_in_every_week(inputs, result):
    summed = result.contributions.groupby("period_end")["contribution"].sum()
    assert summed.to_numpy() == pytest.approx(inputs.loc[~inputs["carry_in"], "revenue"].to_numpy(), rel=1e-12)
    assert set(result.contributions["component"]) == {"baseline", "search", "tv", "residual"}


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1e4))
def test_adding_up_holds_at_any_scale_of_money(seed, scale):
    frame = company(weeks=40, seed=seed)
    frame[["revenue", *CHANNELS]] *= scale
    found = drafted(frame, CHANNELS, ())
    wide = found.contributions.pivot_table("contribution", "period_end", "component", "sum")
    revenue = frame.loc[~frame["carry_in"], "revenue"].to_numpy()
    assert wide.sum(axis=1).to_numpy() == pytest.approx(revenue, rel=1e-9)
    assert found.media["contribution"].to_numpy() == pytest.approx(wide[list(CHANNELS)].sum(axis=1).to_numpy())
    table = by_channel(found)
    for name in CHANNELS:
        assert wide[name].sum() == pytest.approx(table.loc[name, "contribution"], rel=1e-9)
        assert table.loc[name, "iroas"] * table.loc[name, "spend"] == pytest.approx(table.loc[name, "contribution"])


def test_money_of_another_size_is_the_same_return():
    """Scale-free beliefs: a thousandfold unit changes amounts and no ratio."""
    frame = company(weeks=110)
    one = by_channel(drafted(frame))
    other = by_channel(drafted(frame.assign(**(frame[["revenue", *CHANNELS]] * 1000))))
    ratios = ["iroas", "low", "high", "mroas", "roi", "prior_iroas", "shrinkage"]
    assert other[ratios].to_numpy() == pytest.approx(one[ratios].to_numpy(), rel=1e-3)
    assert other["half_saturation"].dropna().to_numpy() == pytest.approx(
        1000 * one["half_saturation"].dropna().to_numpy(), rel=1e-3
    )


def test_the_total_is_the_sum_of_the_channels_and_weighs_their_draws(result):
    table = by_channel(result)
    total, channels = table.loc["total_media"], table.drop(index="total_media")
    assert table.index[0] == "total_media"
    for name in ("spend", "contribution"):
        assert total[name] == pytest.approx(channels[name].sum())
    assert total["iroas"] == pytest.approx(total["contribution"] / total["spend"])
    share = channels["spend"] / total["spend"]
    drawn = result.posterior.iroas @ share.to_numpy()
    assert (total["low"], total["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.05, 0.95])))
    assert total["mroas"] == pytest.approx(share @ channels["mroas"])
    prior = result.posterior.problem.prior
    again = (
        np.exp(np.random.default_rng(9).multivariate_normal(prior.mean[:2], prior.covariance[:2, :2], 20_000)) @ share
    )
    expected = np.quantile(again, [0.5, 0.05, 0.95])
    assert total[["prior_iroas", "prior_low", "prior_high"]].to_numpy(dtype=float) == pytest.approx(expected, rel=0.06)
    relative = (table["high"] / table["low"]).drop("total_media")
    assert total["high"] / total["low"] < relative.max()  # known better than the worst-known channel


def test_figures_are_what_the_draws_say(result):
    """Second way: each figure from the draws, by its definition."""
    post = result.posterior
    for place, name in enumerate(CHANNELS):
        row, drawn = by_channel(result).loc[name], post.iroas[:, place]
        assert row["iroas"] == pytest.approx(drawn.sum() / len(drawn))
        assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.05, 0.95])))
        assert row["probability_above_break_even"] == np.count_nonzero(drawn > 2.5) / len(drawn)
        assert row["roi"] == pytest.approx((0.4 * row["contribution"] - row["spend"]) / row["spend"])
        assert row["roi_low"] == pytest.approx(0.4 * row["low"] - 1)
        assert row["mroi"] == pytest.approx(0.4 * row["mroas"] - 1)
        assert row["shrinkage"] == pytest.approx(np.log(drawn).std() / post.problem.prior.log_iroas_sd[place])
        spent = result.contributions.query("component == @name")["contribution"].sum() / row["spend"]
        assert spent == pytest.approx(row["iroas"])


def test_what_was_believed_is_stated_in_the_same_measure(inputs):
    """By hand: log-normal around 3 with sd .5 has its median there and 90% of its mass within 3 exp(+-1.645 x .5)."""
    stated = regression.Priors(channels={"search": {"iroas": 3.0, "iroas_sd": 0.5}})
    found = drafted(inputs, priors=stated)
    row = by_channel(found).loc["search"]
    assert row["prior_iroas"] == pytest.approx(3.0)
    assert (row["prior_low"], row["prior_high"]) == pytest.approx((3 * np.exp(-0.82243), 3 * np.exp(0.82243)), rel=1e-4)
    beside = found.priors.set_index(["channel", "quantity"]).loc[("search", "iroas")]
    assert beside["prior"] == pytest.approx(3.0)
    assert (beside["low"], beside["high"]) == pytest.approx((row["low"], row["high"]))
    assert set(found.priors["quantity"]) == {"iroas", "carryover", "half_saturation", "slope"}
    page = found.believed.set_index("channel")
    place = found.posterior.problem.channels.index("search")
    assert page.loc["search", "iroas_median"] == np.median(found.posterior.iroas[:, place])
    assert page.loc["total_media", "iroas_median"] == np.median(found.posterior.total)
    same = drafted(inputs, priors={"channels": {"search": {"iroas": 3.0, "iroas_sd": 0.5}}})
    assert by_channel(same).loc["search", "iroas"] == row["iroas"]


def test_without_information_the_posterior_is_the_prior():
    """Noise a hundredfold: after the data stands what stood before them, and the verdict says so."""
    frame = company(weeks=110, noise=1.0, iroas=(0.0, 0.0))
    draw = np.random.default_rng(3)
    frame["revenue"] = 1000 + draw.normal(0, 280, len(frame)).clip(-900)
    given = {"intercept_sd": 5.0}
    table = by_channel(drafted(frame, CHANNELS, (), priors={**given, "common_log_sd": 0.1, "own_log_sd": 0.1}))
    assert (table["shrinkage"] > 0.8).all()
    assert table["iroas"].to_numpy() == pytest.approx(table["prior_iroas"].to_numpy(), rel=0.15)
    assert set(table["verdict"]) == {"insufficient_data"}
    assert set(table["verdict_reason"]) == {"data_silent"}


def test_truth_is_recovered_with_little_noise():
    found = by_channel(drafted(company(noise=1.0)))
    assert found.loc[list(CHANNELS), "iroas"].to_numpy() == pytest.approx([4.0, 1.0], rel=0.1)
    assert found.loc[list(CHANNELS), "carryover"].to_numpy() == pytest.approx([0.2, 0.5], abs=0.06)
    assert found.loc["search", "verdict"] == "above_break_even"
    assert found.loc["tv", "verdict"] == "below_break_even"


def test_intervals_hold_the_truth_and_widen_with_noise(result):
    table = by_channel(result)
    loud = by_channel(drafted(company(noise=90.0)))
    assert table.loc["search", "low"] <= 4.0 <= table.loc["search", "high"]
    assert table.loc["tv", "low"] <= 1.0 <= table.loc["tv", "high"]
    ratio = (loud["high"] / loud["low"]) / (table["high"] / table["low"])
    assert (ratio > 1).all()


def test_a_draft_is_near_what_is_published(quick, result):
    quick = by_channel(quick)
    slow = by_channel(result)
    assert np.log(quick["iroas"] / slow["iroas"]).abs().max() < 0.2
    assert set(quick["kind"]) == {"draft"}
    assert set(slow["kind"]) == {"published"}
    assert quick["r_hat"].isna().all()
    assert (slow["r_hat"] < 1.05).all()
    assert (slow["ess"] > 400).all()


def test_a_lift_test_narrows_what_is_known_of_its_channel(inputs, quick):
    test = pd.DataFrame({"channel": ["tv"], "first": [60], "last": [90], "iroas": [1.0], "log_sd": [0.1]})
    without, tested = by_channel(quick), by_channel(drafted(inputs, lift_tests=test))
    assert tested.loc["tv", "shrinkage"] < without.loc["tv", "shrinkage"]
    assert abs(np.log(tested.loc["tv", "iroas"])) < abs(np.log(without.loc["tv", "iroas"])) + 0.05


ROW = {
    "spend": 1.0,
    "iroas": 4.0,
    "r_hat": 1.01,
    "shrinkage": 0.3,
    "own_data": 0.4,
    "kind": "draft",
    "probability_above_break_even": 0.97,
}


@pytest.mark.parametrize(
    ("change", "periods", "found"),
    [
        ({}, 104, ("above_break_even", "")),
        ({"probability_above_break_even": 0.9}, 104, ("above_break_even", "")),
        ({"probability_above_break_even": 0.89}, 104, ("insufficient_data", "holds_break_even")),
        ({"probability_above_break_even": 0.11}, 104, ("insufficient_data", "holds_break_even")),
        ({"probability_above_break_even": 0.1}, 104, ("below_break_even", "")),
        ({}, 103, ("insufficient_data", "too_few_periods")),
        ({"shrinkage": 0.5}, 104, ("insufficient_data", "data_faint")),
        ({"shrinkage": 0.8}, 104, ("insufficient_data", "data_silent")),
        ({"own_data": 0.67}, 104, ("insufficient_data", "data_faint")),
        ({"own_data": 0.8}, 104, ("insufficient_data", "data_silent")),
        ({"shrinkage": 0.49, "own_data": 0.66}, 104, ("above_break_even", "")),
        ({"shrinkage": 0.8, "probability_above_break_even": 0.5}, 104, ("insufficient_data", "data_silent")),
        ({"r_hat": 1.05}, 104, ("insufficient_data", "chains_disagree")),
        ({"r_hat": np.nan}, 104, ("above_break_even", "")),
        ({"r_hat": np.nan, "kind": "published"}, 104, ("insufficient_data", "chains_disagree")),
        ({"iroas": np.nan, "shrinkage": np.nan}, 104, ("insufficient_data", "not_fitted")),
        ({"spend": 0.0}, 104, ("not_spent", "")),
    ],
)
def test_the_gate_of_a_verdict(change, periods, found):
    row = type("Row", (), {**ROW, **change})
    assert returns.verdict(row, periods, "week") == found


@pytest.mark.parametrize(
    ("verdicts", "reasons", "grade"),
    [
        (["above_break_even", "above_break_even", "insufficient_data"], ["", "", "data_faint"], "strong"),
        (["insufficient_data"] * 3, ["holds_break_even", "holds_break_even", "data_silent"], "strong"),
        (["above_break_even", "insufficient_data", "insufficient_data"], ["", "data_faint", ""], "total_only"),
        (["insufficient_data", "above_break_even", "above_break_even"], ["chains_disagree", "", ""], "weak"),
        (["insufficient_data"] * 3, ["too_few_periods"] * 3, "weak"),
    ],
)
def test_evidence_is_graded_by_what_the_data_said(verdicts, reasons, grade):
    spend = {"channel": ["total_media", "a", "b"], "spend": [3.0, 2.0, 1.0]}
    table = pd.DataFrame({**spend, "verdict": verdicts, "verdict_reason": reasons})
    found = returns.evidence(table)
    assert found.grade == grade
    assert found.reason == (reasons[0] if grade == "weak" else "")


def test_next_unit_of_spend_is_the_derivative_of_contribution(result):
    """Second way: spend a thousandth more in every week of the window, draw by draw."""
    post = result.posterior
    given, ceiling = post.problem, result.posterior.iroas * result.posterior.problem.spent
    before = len(given.spend) - given.window
    for place, name in enumerate(CHANNELS):
        brought = {}
        for factor in (0.999, 1.001):
            spend = given.spend[:, place].copy()
            spend[before:] *= factor
            share = np.array(
                [
                    transforms.saturate(transforms.adstock(spend, carryover)[before:], half, slope).sum()
                    for carryover, half, slope in zip(
                        post.carryover[:, place], post.half_saturation[:, place], post.slope[:, place], strict=True
                    )
                ]
            )
            brought[factor] = (ceiling[:, place] / post.share[:, :, place].sum(axis=1) * share).mean()
        gained = (brought[1.001] - brought[0.999]) / (0.002 * given.spent[place])
        assert by_channel(result).loc[name, "mroas"] == pytest.approx(gained, rel=1e-3)


def test_curves_tell_observed_from_beyond_and_hold_their_bands(result):
    for _name, curve in result.curves.groupby("channel"):
        assert set(curve["range"]) == {"observed", "beyond"}
        assert curve["spend"].max() > curve.loc[curve["range"] == "observed", "spend"].max()
        assert (np.diff(curve["contribution"]) >= -1e-9).all()
        assert (curve["low"] <= curve["high"]).all()


def test_prediction_follows_the_curves(result):
    baseline = result.contributions.query("component == 'baseline'")["contribution"].mean()
    assert regression.predict(result, {}) == pytest.approx(baseline)
    for row in result.curves.iloc[::17].itertuples():
        expected = baseline + row.contribution
        assert regression.predict(result, {row.channel: row.spend}) == pytest.approx(expected)
    assert regression.predict(result, {"tv": 50.0, "search": 30.0}) == pytest.approx(
        regression.predict(result, {"tv": 50.0}) + regression.predict(result, {"search": 30.0}) - baseline, rel=1e-9
    )


def test_prediction_refuses_strangers_and_negatives(result):
    with pytest.raises(Faults, match="Did you mean 'search'") as caught:
        regression.predict(result, {"serch": 1.0, "tv": -1.0})
    assert len(caught.value.faults) == 2


def test_periods_limit_the_window_and_the_rest_carries_in(inputs):
    short = drafted(inputs, CHANNELS, (), periods=110)
    assert short.periods == 110
    assert len(short.contributions) == 110 * 4
    assert short.table["spend"].iloc[0] == pytest.approx(inputs[list(CHANNELS)].iloc[-110:].to_numpy().sum())
    assert len(short.posterior.problem.spend) == 122


def test_other_shapes_are_other_models(inputs):
    delayed = drafted(inputs, adstock="delayed", saturation="logistic")
    assert (delayed.posterior.peak > 0).all()
    assert set(delayed.posterior.slope.ravel()) == {1.0}
    assert set(delayed.priors["quantity"]) == {"iroas", "carryover", "half_saturation", "peak"}
    row = delayed.curves.iloc[40]
    baseline = regression.predict(delayed, {})
    assert regression.predict(delayed, {row["channel"]: row["spend"]}) == pytest.approx(baseline + row["contribution"])


def test_the_adstock_that_the_data_favour_is_the_default(inputs):
    auto = drafted(inputs, CHANNELS[:1], (), adstock="auto")
    named = drafted(inputs, CHANNELS[:1], (), adstock=auto.posterior.problem.adstock)
    assert named.table.equals(auto.table)


def test_quarters_are_fitted_too():
    draw = np.random.default_rng(5)
    ends = pd.date_range("2021-12-31", periods=20, freq="QE")
    spend = 100 * draw.gamma(4, 0.25, 20)
    frame = pd.DataFrame({"revenue": 1000 + 2 * spend + draw.normal(0, 10, 20), "marketing": spend}, index=ends)
    found = regression.fit(frame, ["marketing"], (), "quarter", draft=True)
    assert by_channel(found).loc["marketing", "low"] <= 2 <= by_channel(found).loc["marketing", "high"]
    short = regression.fit(frame.iloc[-15:], ["marketing"], (), "quarter", draft=True)
    assert set(short.table["verdict_reason"]) == {"too_few_periods"}
    assert "too few quarters (15), where a verdict takes 16" in " ".join(short.findings("en"))


def test_fewer_than_104_weeks_give_no_verdict():
    found = drafted(company(weeks=103, noise=1.0))
    assert set(found.table["verdict"]) == {"insufficient_data"}
    assert found.evidence.grade == "weak"
    assert any("too few weeks (103), where a verdict takes 104" in sentence for sentence in found.findings("en"))


@pytest.mark.parametrize("factor", [1000, 1e-5])
def test_spend_in_the_wrong_unit_gives_no_verdict_and_no_move(inputs, factor):
    scaled = inputs.assign(**{name: inputs[name] * factor for name in CHANNELS})
    found = drafted(scaled)
    assert set(found.table["verdict_reason"]) == {"unusual_spend"}
    assert found.evidence.grade == "weak"
    said = " ".join(found.findings())
    assert "check the currency and the unit" in said and "No verdict before" in said
    assert budget.plan_budget(found.posterior, 0.4).reason == "unusual_spend"


def test_fewer_weeks_than_coefficients_is_said_not_fitted():
    found = drafted(company(weeks=12))
    assert set(found.table["verdict"]) == {"insufficient_data"}
    assert found.table["iroas"].isna().all()
    assert found.posterior is None
    said = "spend: 12 weeks for 11 coefficients. Join channels or lengthen the period."
    assert said in found.findings("en")
    assert found.contributions["contribution"].sum() == pytest.approx(company(weeks=12)["revenue"].iloc[-12:].sum())


def test_of_a_single_week_it_is_said_in_the_singular():
    found = drafted(company(weeks=1))
    assert "spend: 1 week for 7 coefficients. Join channels or lengthen the period." in found.findings("en")
    assert "spesa: 1 settimana per 7 coefficienti. Unire dei canali o allungare il periodo." in found.findings("it")


@pytest.mark.parametrize(("weeks", "fitted"), [(10, False), (11, True)])
def test_a_channel_takes_three_periods_and_two_are_to_spare(weeks, fitted):
    """Six columns of the baseline, a channel's iROAS and two periods for its shape: nine, and two more."""
    assert (drafted(company(weeks=weeks), CHANNELS[:1], ()).posterior is not None) is fitted


def test_channel_never_spent_on(inputs, quick):
    found = drafted(inputs.assign(radio=0.0), [*CHANNELS, "radio"], priors={"channels": {"radio": {"iroas": 1.0}}})
    row = by_channel(found).loc["radio"]
    assert row["verdict"] == "not_spent"
    assert row["spend"] == 0
    assert by_channel(found).loc["search", "iroas"] == by_channel(quick).loc["search", "iroas"]
    assert "Nothing was spent on radio in these periods." in found.findings("en")


def test_nothing_spent_at_all(inputs):
    found = drafted(inputs.assign(search=0.0, tv=0.0))
    assert set(found.table["verdict"]) == {"not_spent"}
    assert set(found.contributions["component"]) == {"baseline", "residual"}
    assert "there is no return to model" in found.findings("en")[0]


def test_constant_channel_is_left_out_and_said(inputs):
    found = drafted(inputs.assign(radio=50.0), [*CHANNELS, "radio"])
    row = by_channel(found).loc["radio"]
    assert (row["verdict"], row["verdict_reason"]) == ("insufficient_data", "not_fitted")
    assert np.isnan(row["iroas"])
    assert row["spend"] == 50.0 * 130
    assert by_channel(found).loc["total_media", "spend"] == pytest.approx(
        by_channel(found).loc[list(CHANNELS), "spend"].sum()
    )
    assert any(sentence.startswith("Spend on radio never changes") for sentence in found.findings("en"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="tv"), "column 'tv' is missing"),
        (lambda f: f.drop(index=f.index[50]), "no row for 1 period"),
        (lambda f: pd.concat([f, f.iloc[[60]]]), "repeated periods"),
        (lambda f: f.assign(price_index=f["price_index"].where(f.index != f.index[70])), "'price_index' has no figure"),
        (lambda f: f.assign(tv=f["search"] * 2), "'search' and 'tv' moves exactly together"),
        (lambda f: f.assign(revenue=0.0), "revenue is never above zero"),
        (lambda f: f.assign(revenue=f["revenue"] - 1000), "revenue is below zero"),
        (lambda f: f.assign(tv=f["tv"] - 1), "spend on 'tv' is below zero"),
        (lambda f: f.reset_index(drop=True), "the index must be the last day"),
        (lambda f: f.set_axis(f.index + pd.to_timedelta(1 * (np.arange(len(f)) == 40), "D")), "no row for 1 period"),
    ],
)
def test_bad_input(inputs, change, said):
    with pytest.raises(Faults, match=said):
        drafted(change(inputs))


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"priors": {"channels": {"tw": {"iroas": 1.0}}}}, "'tw' is no channel of the data"),
        ({"priors": {"media_share": 1.2}}, "media_share must be below 1"),
        ({"adstock": "weibull"}, "adstock 'weibull' is not one of geometric, delayed"),
        ({"contribution_margin_share": 44.7}, "contribution_margin_share must lie from -1 to 1, not 44.7"),
    ],
)
def test_bad_statements(inputs, stated, said):
    with pytest.raises(Faults, match=said):
        drafted(inputs, **stated)


def test_all_faults_come_together(inputs):
    with pytest.raises(Faults) as caught:
        drafted(inputs.assign(tv=-1.0, revenue=np.nan))
    assert len(caught.value.faults) >= 2


DIGITS = """
import sys
sys.path.insert(0, {folder!r})
from tests.regression.test_model import CHANNELS, company
from kpitoolkit import regression
found = regression.fit(company(weeks=50), CHANNELS[:1], seed=4)
print(found.table.drop(columns="channel").to_json(double_precision=15))
print(found.contributions["contribution"].to_json(double_precision=15))
"""


def test_the_same_seed_gives_the_same_digits_in_another_process_with_more_threads():
    script = DIGITS.format(folder=str(Path(__file__).parents[2]))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    look = {"capture_output": True, "text": True, "timeout": 300}
    other = subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, **threads}, **look)
    here = regression.fit(company(weeks=50), CHANNELS[:1], seed=4)
    own = (here.table.drop(columns="channel"), here.contributions["contribution"])
    assert other.stdout.splitlines() == [each.to_json(double_precision=15) for each in own]


def test_another_seed_differs_by_chance_and_by_no_more(inputs, result):
    """An iROAS from n draws worth `ess` independent ones errs by sd / sqrt(ess): two differ by under 5 of these."""
    other = by_channel(regression.fit(inputs, CHANNELS, CONTROLS, adstock="geometric", seed=1))
    for place, name in enumerate(CHANNELS):
        row = by_channel(result).loc[name]
        error = result.posterior.iroas[:, place].std() * np.sqrt(1 / row["ess"] + 1 / other.loc[name, "ess"])
        assert 0 < abs(row["iroas"] - other.loc[name, "iroas"]) < 5 * error


@pytest.mark.parametrize("language", ["en", "it"])
@pytest.mark.parametrize("weeks", [130, 103, 40, 12])
def test_findings_are_whole_sentences_and_never_speak_of_cause(weeks, language):
    said = drafted(company(weeks=weeks)).findings(language)
    whole = " ".join(said).lower()
    assert "modell" in whole
    assert "caus" not in whole
    assert "{" not in whole
    assert "nan" not in whole.replace("finan", "")
    assert all(sentence.endswith(".") for sentence in said)


def test_the_grade_comes_first_and_a_draft_before_it(quick, result):
    assert result.findings("en")[0].startswith("The data say much, as far as a model can tell: 130 weeks")
    said = quick.findings("en")
    assert said[0].startswith("Draft: ")
    assert said[1].startswith("The data say much")
    assert not any("raft" in sentence for sentence in result.findings("en"))


def test_findings_state_the_total_with_its_chance_and_its_prior(result):
    said = " ".join(result.findings("en"))
    total = by_channel(result).loc["total_media"]
    assert f"All media together: €{total['iroas']:.2f} of modelled revenue per €1 spent" in said
    assert (
        f"believed to lie between €{total['prior_low']:.2f} and €{total['prior_high']:.2f} per €1; after them" in said
    )
    assert f"is {total['roi'] * 100:+.0f}%".replace("-", "−") in said
    assert f"bring €{total['mroas']:.2f} of revenue (90% interval €{total['mroas_low']:.2f} to" in said
    assert "Below break-even, as modelled (in brackets the 90% interval and the probability of being below): TV" in said


def test_the_page_table_says_why_there_is_no_verdict(inputs):
    shown = drafted(inputs.iloc[-103:]).shown
    assert set(shown["verdict"]) == {"too_few_periods"}
    assert {"spend_cents", "contribution_cents"} <= set(shown)


def words(ax):
    import matplotlib.pyplot as plt

    found = [text.get_text() for text in ax.figure.findobj(plt.Text) if text.get_text()]
    plt.close(ax.figure)
    return found


@pytest.mark.parametrize("weeks", [130, 12])
def test_only_drafts_say_so(weeks, result):
    found = drafted(company(weeks=weeks))
    for draw in ("plot", "plot_contributions", "plot_curves"):
        drawn = getattr(found, draw)()
        assert any("(draft)" in word for word in words(drawn)) if weeks == 130 else drawn is None
        assert not any("draft" in word.lower() for word in words(getattr(result, draw)()))
    assert regression.unmodelled(found) == ["Nothing could be modelled."] * (weeks == 12)
    if weeks == 12:
        import matplotlib.pyplot as plt

        assert "Nothing could be modelled." in words(found.plot(plt.figure().add_subplot()))


def test_the_chart_shows_the_verdict_that_the_table_gives(result):
    from kpitoolkit import plots

    ax = result.plot()
    dots = {dot.get_ydata()[0]: dot.get_markerfacecolor() for dot in ax.lines if dot.get_marker() == "o"}
    colours = {"above_break_even": plots.BLUE, "below_break_even": plots.ORANGE}
    assert [dots[row] for row in range(3)] == [colours.get(verdict, "white") for verdict in result.table["verdict"]]
    drawn = words(ax)
    assert "believed before the data" in drawn
    assert "break-even 2.5" in drawn


def test_curves_are_those_of_the_posterior(result):
    assert result.curves.equals(curves.response(result.posterior))


@pytest.mark.parametrize(("share", "weeks"), [(-0.447, 110), (0.0, 40), (-0.447, 8)])
def test_without_a_margin_no_page_shows_a_break_even(share, weeks):
    """With much data, with few, and with too few to model anything."""
    found = drafted(company(weeks=weeks), CHANNELS, CONTROLS, "week", share)
    assert found.break_even is None and set(found.table["verdict"]) == {"loses_on_every_sale"}
    assert set(found.shown["verdict"]) == {"loses_on_every_sale"} and "probability" not in str(list(found.shown))
    for language, stated in (("en", "There is no break-even"), ("it", "Non c'è pareggio")):
        said = " ".join(found.findings(language))
        assert stated in said and not any(f" {word}" in said for word in ("inf", "nan", "{", "no figure"))
        ax = found.plot(language=language)
        assert ax is None or not any("break-even" in word.get_text() for word in ax.texts)
