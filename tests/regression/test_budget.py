"""The next quarter's budget: by hand, when to stay, bounds, scenarios, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from kpitoolkit import text
from kpitoolkit.errors import Faults
from kpitoolkit.regression import budget, curves
from kpitoolkit.regression.budget import plan_budget
from tests.regression.posterior_by_hand import written

LEVEL = np.full((130, 2), 100.0) * (1 + 0.5 * np.sin(np.arange(130))[:, None])
DRAW = np.random.default_rng(2)
NOISE = DRAW.standard_normal((200, 3))
SPEND = DRAW.gamma(4, 1, (130, 3)) * [300.0, 100.0, 50.0]


def certain(iroas=(4.0, 1.0), spread=0.05, spend=LEVEL, **shapes):
    """Draws of iROAS that hardly differ (or do, with another spread)."""
    iroas = np.asarray(iroas) * np.exp(spread * NOISE[:, : len(iroas)])
    return written(
        spend, window=118, iroas=iroas, **({"carryover": 0.3, "half_saturation": 2.0, "revenue": 1e4} | shapes)
    )


def wide_open(post, share=3.0):
    """Bounds from nothing to three times what is spent."""
    return {
        name: (0.0, share * 13 * now)
        for name, now in zip(post.problem.channels, curves.last_quarter(post), strict=True)
    }


def test_by_hand():
    # Without carry-over the quarter is 13 times b x / (x + k): shares of 13 x 100 go by x = sqrt(b k / m) - k.
    flat = np.full((130, 2), 100.0)
    post = written(flat, window=118, iroas=[[4.0, 1.0]], half_saturation=1.0)
    found = plan_budget(post, 0.5, bounds=wide_open(post))
    # ceilings are 800 and 200, k is 100: sqrt(800 k / m) + sqrt(200 k / m) = 400, so sqrt(200 k / m) = 400 / 3
    expected = [2 * 400 / 3 - 100, 400 / 3 - 100]
    assert found.table["spend_best"].to_numpy() / 13 == pytest.approx(expected, rel=1e-5)
    brought = 13 * sum(b * x / (x + 100) for b, x in zip((800, 200), expected, strict=True))
    assert found.gain.mean == pytest.approx(0.5 * (brought - 13 * 500), rel=1e-5)
    assert found.table["mroas_now"].to_numpy() == pytest.approx([2.0, 0.5], rel=1e-5)
    assert found.table["mroas_best"].to_numpy() == pytest.approx([800 * 100 / (800 / 3) ** 2] * 2, rel=1e-5)
    assert (found.decision, found.reason, found.method) == ("move", "", "marginal")
    free = plan_budget(post, 0.5, total="free", bounds=wide_open(post))
    # margin x next unit = 1: x = sqrt(0.5 b k) - k, so 100 and, for the second, nothing
    assert free.table["spend_best"].to_numpy() / 13 == pytest.approx([100, 0], rel=1e-5, abs=0.01)


def test_equal_curves_gain_nothing_and_stay():
    post = certain((2.0, 2.0), spread=0.0)
    found = plan_budget(post, bounds=wide_open(post))
    assert found.table["spend_best"].to_numpy() == pytest.approx(found.table["spend_now"].to_numpy(), rel=1e-9)
    assert found.gain.mean == pytest.approx(0, abs=1e-6)
    assert found.decision == "stay"
    assert found.reason == "no_better"


def test_a_gain_that_cannot_be_told_from_none_means_stay():
    sure, unsure = plan_budget(certain()), plan_budget(certain((1.3, 1.0), spread=0.9))
    assert (sure.decision, sure.reason) == ("move", "")
    assert sure.gain.low > 0
    assert sure.gain.probability == 1
    assert (unsure.decision, unsure.reason) == ("stay", "not_distinguishable")
    assert unsure.gain.low <= 0 < unsure.gain.mean
    assert 0.5 < unsure.gain.probability < 0.95
    assert (unsure.table["spend_proposed"] == unsure.table["spend_now"]).all()
    assert not np.allclose(unsure.table["spend_best"], unsure.table["spend_now"])
    assert "best_found" in set(unsure.scenarios["plan"])
    assert "proposed" in set(sure.scenarios["plan"])


def test_the_gain_is_worked_out_draw_by_draw():
    post = certain((1.3, 1.0), spread=0.4)
    found = plan_budget(post, 0.3)
    ahead = curves.forward(post)
    margins = []
    for column in ("spend_best", "spend_now"):
        plan = found.table[column].to_numpy() / 13
        margins.append(0.3 * sum(ahead.revenue(place, x)[:, 0] for place, x in enumerate(plan)) - 13 * plan.sum())
    drawn = margins[0] - margins[1]
    assert found.gain.mean == pytest.approx(drawn.mean(), rel=1e-9)
    assert [found.gain.low, found.gain.high] == pytest.approx(np.quantile(drawn, [0.05, 0.95]), rel=1e-9)
    assert found.gain.probability == (drawn > 0).mean()
    row = found.scenarios[found.scenarios["plan"].isin(["proposed", "best_found"])].iloc[0]
    assert row["gain"] == pytest.approx(found.gain.mean, rel=1e-9)
    carried = 0.3 * sum(ahead.revenue(place, 0.0)[:, 0] for place in range(2))  # paid for by earlier quarters
    assert row["contribution_margin"] == pytest.approx((margins[0] - carried).mean(), rel=1e-9)
    assert row["contribution_margin"] == pytest.approx(0.3 * row["contribution"] - row["spend"], rel=1e-9)


@pytest.mark.parametrize("slope", [0.8, 1.0, 3.0])
@pytest.mark.parametrize("saturation", ["hill", "logistic"])
def test_no_other_plan_within_the_bounds_is_expected_to_bring_more(slope, saturation):
    slope = 1.0 if saturation == "logistic" else slope
    shapes = {"carryover": 0.5, "half_saturation": np.exp(0.3 * NOISE), "slope": slope, "saturation": saturation}
    post = certain((3.0, 1.0, 2.0), 0.4, SPEND, **shapes)
    found = plan_budget(post, 0.5)
    table = found.table
    assert table["spend_best"].sum() == pytest.approx(table["spend_now"].sum(), rel=1e-12)
    assert (table["spend_best"] >= table["low_bound"] * (1 - 1e-12)).all()
    assert (table["spend_best"] <= table["high_bound"] * (1 + 1e-12)).all()
    ahead = curves.forward(post)

    def expected(plan):
        return sum(ahead.revenue(place, x / 13)[:, 0].mean() for place, x in enumerate(plan))

    best = expected(table["spend_best"])
    draw, tried = np.random.default_rng(0), 0
    for attempt in range(60):
        share = draw.dirichlet(np.ones(3)) if attempt % 2 else draw.dirichlet(200 * table["spend_best"] / 1e4)
        plan = table["low_bound"] + share * (table["spend_now"].sum() - table["low_bound"].sum())
        if (plan <= table["high_bound"]).all():
            assert expected(plan) <= best * (1 + 1e-9)
            tried += 1
    assert tried > 10


def test_default_bounds_are_what_was_observed_and_a_share_of_last_quarter():
    post = certain((1.0, 5.0, 0.2), 0.1, SPEND)
    table = plan_budget(post, largest_change=0.2).table
    assert table["low_bound"].to_numpy() == pytest.approx(0.8 * table["spend_now"].to_numpy())
    assert table["high_bound"].to_numpy() == pytest.approx(1.2 * table["spend_now"].to_numpy())
    assert set(table["bound"]) == {"low", "high", ""}
    table = plan_budget(post, largest_change=9.0).table
    lowest, highest = curves.observed(post)
    assert table["low_bound"].to_numpy() == pytest.approx(13 * lowest)
    assert table["high_bound"].to_numpy() == pytest.approx(13 * highest)
    first = table["channel"][0]
    stated = plan_budget(post, bounds={first: (None, 1.1 * table["spend_now"][0])}).table
    assert stated["high_bound"][0] == pytest.approx(1.1 * table["spend_now"][0])
    assert stated["low_bound"][0] == pytest.approx(0.5 * table["spend_now"][0])


def test_a_stated_total_is_compared_with_the_same_mix_at_that_total():
    post = certain((3.0, 1.0, 2.0), 0.1, SPEND)
    now = plan_budget(post).table["spend_now"]
    found = plan_budget(post, total=float(1.2 * now.sum()))
    assert found.table["spend_best"].sum() == pytest.approx(1.2 * now.sum(), rel=1e-12)
    plans = found.scenarios.set_index("plan")
    assert plans.loc["same_mix", "spend"] == pytest.approx(1.2 * now.sum(), rel=1e-9)
    assert plans.loc["same_mix", "contribution"] == pytest.approx(plans.loc["a_fifth_more", "contribution"], rel=1e-9)
    difference = plans.loc["proposed", "gain"] - plans.loc["same_mix", "gain"]
    assert found.gain.mean == pytest.approx(difference, rel=1e-6)


def test_a_free_total_moves_only_where_the_extra_can_be_told_from_none():
    rich = plan_budget(certain((9.0, 9.0), 0.05), 0.5, total="free")
    assert rich.extra.low > 0
    assert rich.decision == "move"
    assert set(rich.table["bound"]) == {"high"}
    poor = plan_budget(certain((0.2, 0.2), 0.05), 0.5, total="free")
    assert poor.decision == "move"
    assert set(poor.table["bound"]) == {"low"}
    # Near break-even at the margin, and wide: the total stays, though a mix that is surely better may still move.
    unsure = plan_budget(certain((3.9, 3.9), 0.5), 0.5, total="free")
    assert unsure.extra.low <= 0
    assert unsure.decision == "stay"
    assert unsure.table["spend_best"].sum() == pytest.approx(unsure.table["spend_now"].sum(), rel=1e-9)
    # The same doubt about the level, shared by both channels, but none about which is better.
    shared = np.exp(0.5 * NOISE[:, :1])
    better = written(LEVEL, window=118, iroas=np.array([5.0, 2.8]) * shared, carryover=0.3, half_saturation=2.0)
    mixed = plan_budget(better, 0.5, total="free")
    assert mixed.extra.low <= 0
    assert mixed.decision == "move"
    assert mixed.table["spend_best"].sum() == pytest.approx(mixed.table["spend_now"].sum(), rel=1e-9)


def test_scenarios_say_what_each_plan_brings():
    post = certain((3.0, 1.0, 2.0), 0.1, SPEND)
    now = plan_budget(post).table.set_index("channel")["spend_now"]
    found = plan_budget(post, scenarios={"christmas": {"channel_1": 1.1 * now["channel_1"], "channel_2": 0.0}})
    plans = found.scenarios.set_index(found.scenarios["plan"] + found.scenarios["channel"])
    assert plans.loc["as_last_quarter", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert plans.loc["a_fifth_less", "spend"] == pytest.approx(0.8 * now.sum())
    off = plans.loc["channel_offchannel_2"]
    assert off["spend"] == pytest.approx(now.sum() - now["channel_2"])
    assert off["contribution"] < plans.loc["as_last_quarter", "contribution"]
    # what earlier spend carries over is still there
    ahead = curves.forward(post)
    lost = ahead.revenue(1, [now["channel_2"] / 13]) - ahead.revenue(1, [0.0])
    assert plans.loc["as_last_quarter", "contribution"] - off["contribution"] == pytest.approx(lost.mean(), rel=1e-9)
    expected = 1.1 * now["channel_1"] + now["channel_3"]
    assert plans.loc["christmas", "spend"] == pytest.approx(expected)
    assert off["beyond"]
    assert not plans.loc["as_last_quarter", "beyond"]
    own = plans[plans["plan"].isin(["proposed", "best_found"])].iloc[0]
    assert own["contribution"] > plans.loc["as_last_quarter", "contribution"]
    assert not own["beyond"]  # the default bounds end where observation does
    for name in ("contribution", "gain"):
        assert (plans[f"{name}_low"] <= plans[name] + 1e-9).all()
        assert (plans[name] <= plans[f"{name}_high"] + 1e-9).all()


def test_a_channel_not_spent_on_last_quarter_stays_at_nothing_unless_bounds_say_otherwise():
    spend = SPEND.copy()
    spend[-13:, 2] = 0
    post = certain((1.0, 1.0, 8.0), 0.1, spend)
    found = plan_budget(post)
    row = found.table.iloc[2]
    assert (row["spend_now"], row["spend_best"], row["bound"]) == (0, 0, "")
    assert np.isnan(row["change"])
    assert "channel 3" in " ".join(found.findings())
    opened = plan_budget(post, bounds={"channel_3": (0, 1000)}).table
    assert opened["spend_best"][2] > 0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"window": 90}, "short"), ({"r_hat": 1.2}, "not_converged"), ({"r_hat": [1.0, 1.2]}, "not_converged")],
)
def test_nothing_moves_on_short_data_or_chains_that_disagree(changed, reason):
    given = {"window": 118, "iroas": np.array([4.0, 1.0]) * np.exp(0.05 * NOISE[:, :2])} | changed
    found = plan_budget(written(LEVEL, **given))
    assert found.gain.low > 0
    assert (found.decision, found.reason, found.doubt) == ("stay", reason, reason)
    assert (found.table["spend_proposed"] == found.table["spend_now"]).all()
    no_plan_is_shown(found)
    assert len(found.findings()) == 1
    assert "90 weeks are too few" in found.findings()[0] or reason != "short"


def no_plan_is_shown(found):
    assert found.shown.empty
    assert found.shown_scenarios().empty
    assert found.plot() is None
    assert found.plot_scenarios() is None
    assert len(found.scenarios)  # what is saved stays whole


def test_nothing_moves_on_the_prior_alone():
    # the common factor as wide as before the data: the plan is the prior's, however sure the gain looks
    level = np.exp(np.linspace(-1.2, 1.2, 200))[:, None]
    post = written(LEVEL, window=118, iroas=np.array([40.0, 40.0]) * level, half_saturation=3.0)
    found = plan_budget(post, total="free")
    assert found.extra.distinguishable
    assert found.gain.low > 0
    assert (found.decision, found.reason) == ("stay", "weak")
    assert "rest on the prior" in found.findings()[0]
    no_plan_is_shown(found)


def test_weak_estimates_show_no_plan_even_where_none_would_gain_for_sure():
    level = np.exp(np.random.default_rng(4).permutation(np.linspace(-2.5, 2.5, 200)))[:, None]
    found = plan_budget(written(LEVEL, window=118, iroas=np.array([3.0, 2.5]) * level[:, ::-1], half_saturation=3.0))
    assert found.doubt == "weak"
    no_plan_is_shown(found)
    assert not any("fifth" in sentence for sentence in found.findings())


@pytest.mark.parametrize("total", ["fixed", 900.0])
def test_one_channel_with_a_fixed_total_has_nothing_to_share_out(total):
    post = certain((3.0,), spend=LEVEL[:, :1])
    now = float(plan_budget(post).table["spend_now"].iloc[0])
    found = plan_budget(post, total=total if total == "fixed" else 1.1 * now)
    assert (found.decision, found.reason, found.doubt) == ("stay", "one_channel", "")
    no_plan_is_shown(found)
    assert "nothing to share out" in found.findings()[0]
    assert "bound" not in " ".join(found.findings()[:2])
    free = plan_budget(post, total="free")
    assert free.reason != "one_channel"
    own = plan_budget(post, scenarios={"christmas": {"channel_1": 0.9 * now}})
    assert own.shown_scenarios()["plan"].tolist() == ["christmas"]
    assert [tick.get_text() for tick in own.plot_scenarios().get_yticklabels()] == ["Christmas"]


def test_what_a_smaller_total_gains_is_told_apart_from_a_better_mix():
    found = plan_budget(certain((0.9, 0.8), 0.05), 0.5)
    table = found.shown_scenarios().set_index("plan")
    rows = found.scenarios.set_index("plan")
    assert rows.loc["a_fifth_less", "gain_low"] > 0
    assert not rows.loc["a_fifth_less", "beyond"]
    said = found.findings()[1]
    assert said.startswith("How much to spend in all is a decision of its own")
    assert "at the same total" in found.findings()[0]
    spent = table["spend_cents"].to_numpy(dtype=float)
    assert table["change_cents"].to_numpy(dtype=float) == pytest.approx(spent - spent[0], abs=1)
    # grey, whatever it gains, where nobody has seen it
    narrow = plan_budget(certain((0.9, 0.8), 0.05, np.full((130, 2), 100.0) + np.sin(np.arange(130))[:, None]), 0.5)
    assert narrow.scenarios.set_index("plan").loc["a_fifth_less", ["gain_low", "beyond"]].gt(0).all()
    assert not any("decision of its own" in sentence for sentence in narrow.findings())


@pytest.mark.parametrize("tail", [True, False])
def test_what_earlier_spend_carries_in_counts_once(tail):
    # a straight line: 100 a week bring 2 each, whenever; the tail replaces what the weeks before carried in
    post = written(np.full((130, 1), 100.0), window=118, iroas=2.0, carryover=0.8, half_saturation=1e4)
    row = plan_budget(post, 0.5, tail=tail).scenarios.iloc[0]
    assert row["contribution"] == pytest.approx(13 * 200, rel=1e-3)
    assert row["contribution_margin"] == pytest.approx(0, abs=2)


def test_quarters():
    spend = DRAW.gamma(4, 1, (31, 2)) * [3000.0, 1000.0]
    post = written(spend, window=30, iroas=np.array([4.0, 1.0]) * np.exp(0.05 * NOISE[:, :2]), frequency="quarter")
    found = plan_budget(post)
    assert found.table["spend_now"].tolist() == pytest.approx(spend[-1].tolist())
    assert found.table["spend_best"].sum() == pytest.approx(spend[-1].sum(), rel=1e-12)


def test_without_a_posterior_the_decision_is_to_stay():
    found = plan_budget(None, verdicts={"tv": "insufficient_data"})
    assert (found.decision, found.reason) == ("stay", "nothing_modelled")
    assert found.table.empty
    assert found.shown.empty
    assert found.shown_scenarios().empty
    assert found.plot() is None
    assert found.plot_scenarios() is None
    assert len(found.findings()) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"total": 1.0}, "the lower bounds of all .* EUR in the quarter, above the total of 1.00 EUR"),
        ({"bounds": {"chanel_1": (0, 1)}}, "'chanel_1' is no channel of this regression. Did you mean 'channel_1'"),
        ({"bounds": {"channel_1": (5, 1)}}, "lower bound above its upper bound"),
        (
            {"bounds": {"channel_1": (-5, 1)}},
            "zero or more .amounts of the unit's currency for the whole quarter",
        ),
        (
            {"bounds": {"channel_1": (0, 1), "channel_2": (0, 1)}},
            "add up to 2.00 EUR in the quarter, below .*fixed, last quarter",
        ),
        ({"bounds": {"channel_1": (1e9, None)}}, "'channel_1': the lower bound of 1,000,000,000.00 EUR in the quarter"),
        ({"scenarios": {"x": {"tv": 1}}}, "scenario 'x': 'tv' is no channel"),
        ({"scenarios": {"proposed": {}}}, "scenario 'proposed' has the name of a plan of ours"),
        ({"total": "fre"}, "total 'fre' is not one of .* Did you mean 'free'"),
        ({"total": float("nan")}, "must be an amount"),
        ({"largest_change": -1}, "largest_change of -1"),
        ({"contribution_margin_share": -1.2}, "contribution_margin_share must lie from -1 to 1, not -1.2"),
    ],
)
def test_what_cannot_be_planned_is_refused(given, message):
    with pytest.raises(Faults, match=message):
        plan_budget(certain(), **given)


def test_all_faults_come_at_once():
    with pytest.raises(Faults) as caught:
        plan_budget(certain(), 2.0, total="fre", bounds={"tv": (0, 1)})
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("language", text.LANGUAGES)
@pytest.mark.parametrize("total", ["fixed", "free"])
def test_findings_begin_with_the_decision_and_bear_its_number(language, total):
    found = plan_budget(certain((3.0, 1.0, 2.0), 0.3, SPEND), total=total, verdicts={"channel_2": "insufficient_data"})
    said = found.findings(language)
    assert text.compact_money(round(found.gain.mean * 100), "EUR", language, signed=True) in said[0]
    assert any("channel 2" in sentence for sentence in said)
    assert not any("{" in sentence for sentence in said)
    assert "draft" not in " ".join(said).lower()
    assert any(s.startswith(("Draft", "Bozza")) for s in plan_budget(certain(kind="draft")).findings(language))


def test_money_is_shown_in_cents_and_charts_bear_the_figures():
    found = plan_budget(certain((3.0, 1.0, 2.0), 0.3, SPEND), scenarios={"mine": {"channel_1": 10_000}})
    assert found.shown["spend_now_cents"].tolist() == (found.table["spend_now"] * 100).round().astype(int).tolist()
    assert found.shown["spend_best_cents"].dtype == pd.Int64Dtype()
    shown = found.shown_scenarios("en")
    assert "channel 1 switched off" in set(shown["plan"])
    assert shown["gain_cents"].iloc[0] == 0
    ax = found.plot()
    written_amounts = {artist.get_text() for artist in ax.texts}
    assert text.money(round(found.table["spend_now"][0] * 100), "EUR", "en") in written_amounts
    assert len(found.plot_scenarios().get_yticklabels()) == len(found.scenarios) - 1


def test_the_same_digits_each_time():
    one, other = (plan_budget(certain((3.0, 1.0, 2.0), 0.3, SPEND, slope=2.0)) for _each in range(2))
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    pd.testing.assert_frame_equal(one.scenarios, other.scenarios, check_exact=True)
    assert one.method == other.method
    assert list(one.table.columns) == budget.TABLE


def test_change_is_the_share_by_which_spend_moves():
    table = plan_budget(certain((3.0, 1.0, 2.0), 0.1, SPEND)).table
    assert (table["spend_now"] * (1 + table["change"])).to_numpy() == pytest.approx(table["spend_best"].to_numpy())
    assert table["change"].abs().max() > 0.05


def test_beyond_begins_where_observation_ends():
    post = certain((3.0, 1.0, 2.0), 0.1, SPEND)
    lowest, highest = (13 * ends[0] for ends in curves.observed(post))
    plans = {"low": 0.99 * lowest, "lowest": lowest, "highest": highest, "high": 1.01 * highest}
    found = plan_budget(post, scenarios={name: {"channel_1": spend} for name, spend in plans.items()}).scenarios
    assert found.set_index("plan").loc[list(plans), "beyond"].tolist() == [True, False, False, True]


@pytest.mark.parametrize(("share", "total"), [(0.0, "fixed"), (-0.447, "free"), (-0.447, 1000.0)])
def test_without_a_margin_no_budget_is_shared_out_by_profit(share, total):
    """The plan of highest margin would be the one that sells least."""
    found = plan_budget(certain(), share, total=total)
    assert (found.decision, found.reason, found.doubt) == ("stay", "no_margin", "no_margin")
    assert found.table.empty and found.shown.empty and found.shown_scenarios().empty
    assert found.plot() is None and found.plot_scenarios() is None
    assert text.percent(share, "en") in found.findings("en")[0] and found.findings("en") != found.findings("it")
