"""The next experiment: figures by hand, what must always hold, and tests that make no sense."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.linalg import toeplitz

from kpitoolkit.errors import Faults
from kpitoolkit.regression import experiments, lift
from kpitoolkit.regression.experiments import Design
from kpitoolkit.regression.posterior import ceiling
from tests.regression.posterior_by_hand import written

OFF = Design("test_off", 0, 4)
MONEY = ["spend_now", "spend_change", "test_cost", "test_value", "test_value_error", "perfect_value", "test_net"]
MONEY_LESS = ["log_sd", "log_sd_now", "log_sd_after", "width_now", "width_after"]


def uncertain(channels=2, sd=0.6, draws=300, spend=100.0, size=1.0, seed=4, **changed):
    """Return a posterior of channels that each spent the same, of returns known to a factor of exp(sd)."""
    draw = np.random.default_rng(seed)
    level = np.exp(np.broadcast_to(sd, channels) * stats.zscore(draw.standard_normal((draws, channels))))
    steady = spend * draw.uniform(0.5, 1.5, (130, channels))
    steady[-13:] = spend
    shapes = {"carryover": 0.4, "half_saturation": draw.lognormal(0.3, 0.3, (draws, channels))} | changed
    return written(steady * size, window=118, iroas=3 * level, revenue=2000.0 * size, **shapes)


def money_of(found):
    return found.table.set_index(["channel", "design", "test_periods"]).sort_index()


def test_figures_by_hand():
    # spend 100 a week, no carry-over, concave: the window's every week brings iROAS x 100, 200 on average
    post = written(np.full((120, 1), 100.0), iroas=[[1.0], [3.0]], half_saturation=1.0, revenue=1000.0)
    found = experiments.rank(post, 0.4, designs=[OFF], baseline_known=True)
    row = found.table.iloc[0]
    assert row["spend_change"] == -400
    assert row["test_cost"] == pytest.approx(0.4 * 4 * 200 - 400, rel=2e-5)
    # noise 5% of 1000, read out of four weeks of 200
    assert row["log_sd"] == pytest.approx(50 / (200 * np.sqrt(4)), rel=2e-5)
    # one channel and a fixed total: nothing to decide
    assert (row["test_value"], row["perfect_value"], row["test_verdict"]) == (0, 0, "test_does_not_pay")
    assert row["log_sd_now"] == pytest.approx(np.log(3) / 2)


def test_a_free_budget_of_one_channel_by_hand():
    # per week at spend x: 0.4 x 200 iROAS x / (x + 100) - x, between 70 and 130, for 52 weeks:
    # the least where iROAS is 1, the most where it is 9, and for 5 as expected 100, where 400 x 100 / (x + 100)^2 = 1
    post = written(np.full((120, 1), 100.0), iroas=[[1.0], [9.0]], half_saturation=1.0, revenue=1000.0)
    spend = {"bounds": {"channel_1": (13 * 70.0, 13 * 130.0)}, "total": "free"}
    found = experiments.rank(post, 0.4, designs=[OFF], baseline_known=True, **spend)

    def weekly(iroas, x):
        return 0.4 * 200 * iroas * x / (x + 100) - x

    known = (weekly(1, 70) + weekly(9, 130)) / 2 - weekly(5, 100)
    gained = 52 * np.array([weekly(1, 70) - weekly(1, 100), weekly(9, 130) - weekly(9, 100)])
    assert found.table["perfect_value"].iloc[0] == pytest.approx(52 * known, rel=1e-4)
    # the truth is 0.2 or 1.8 of what is expected, read with 50 / 1000: almost perfect knowledge
    assert found.table["test_value"].iloc[0] == pytest.approx(found.table["perfect_value"].iloc[0], rel=1e-6)
    assert found.table["test_value_error"].iloc[0] == pytest.approx(gained.std() / np.sqrt(2), rel=1e-4)


def test_chains_that_repeat_themselves_count_as_fewer_draws():
    post = uncertain(draws=300)
    for ess, expected in (([900.0, 120.0], 120), ([900.0, 400.0], 300), ([np.nan, np.nan], 300)):
        assert experiments._effective(replace(post, ess=np.array(ess))) == expected


@pytest.mark.parametrize(
    ("cost", "error", "net", "verdict"),
    [
        (4.0, 2.9, 5.0, "test_unclear"),  # two standard errors of the value decide
        (4.0, 2.4, 5.0, "test_pays"),
        (-9.0, 2.9, 9.0, "test_pays"),  # what the change of spend gains is no merit of the test
        (9.5, 0.1, -0.5, "test_does_not_pay"),
    ],
)
def test_what_a_test_is_worth_beside_its_cost(cost, error, net, verdict):
    row = dict.fromkeys(experiments.TABLE, 0.0) | {"channel": "tv", "design": "test_off", "log_sd": 0.3}
    row |= {"test_value": 10.0, "test_cost": cost, "test_value_error": error}
    given = pd.DataFrame([row]).drop(columns=["rank", "test_net", "test_verdict"])
    found = experiments._ranked(given, 1.0).iloc[0]
    assert (found["test_net"], found["test_verdict"]) == (net, verdict)


@pytest.mark.parametrize(("frequency", "before", "year"), [("week", 52, 365.25 / 7), ("quarter", 8, 4)])
def test_level_and_trend_are_read_from_so_many_periods_before(frequency, before, year):
    """Second way: least squares of a lift of one period, errors without memory, on so many rows."""
    post = written(np.full((120, 1), 100.0), iroas=[[1.0], [3.0]], frequency=frequency, revenue=1000.0)
    row = experiments.rank(post, designs=[replace(OFF, periods=1)], total="free").table.iloc[0]
    rows = before + post.problem.periods
    lift_of = np.where(np.arange(rows) == before, -200.0, 0.0)
    design = np.column_stack([lift_of, np.ones(rows), np.arange(rows) / year])
    assert row["log_sd"] == pytest.approx(50 * np.sqrt(np.linalg.inv(design.T @ design)[0, 0]), rel=1e-4)


def test_a_test_is_worth_something_but_never_more_than_perfect_knowledge():
    table = experiments.rank(uncertain(3)).table
    assert len(table) == 3 * len(experiments.DESIGNS["week"])
    assert (table["test_value"] >= 0).all() and (table["test_value"] <= table["perfect_value"]).all()
    assert table["test_value"].max() > 0.1 * table["perfect_value"].max() > 0
    assert table["test_net"].is_monotonic_decreasing
    assert table["rank"].tolist() == list(range(1, len(table) + 1))


def test_the_worth_of_a_test_equals_a_simulation_of_tests_and_budgets():
    # by other means: weeks of revenue are drawn, read by dense algebra, beliefs reweighted, budgets tried one by one
    draws, draw = 200, np.random.default_rng(12)
    post = uncertain(2, sd=(0.6, 0.0), draws=draws, carryover=0.0, half_saturation=1.5)
    post = replace(post, autocorrelation=np.full(draws, 0.4))
    row = experiments.rank(post, 0.4, designs=[OFF], largest_change=0.3).table.set_index("channel").loc["channel_1"]

    weeks, tested, trials = 52 + 4 + 12, np.arange(52, 56), 20_000
    steady, top = 100 / post.problem.mean_active, ceiling(post)
    weekly = top * steady / (steady + 1.5)
    lift = np.zeros(weeks)
    lift[tested] = -weekly[:, 0].mean()
    noise = 0.05 * 2000.0
    inverse = np.linalg.inv(noise**2 * toeplitz(0.4 ** np.arange(weeks)) / (1 - 0.4**2))
    design = np.column_stack([lift, np.ones(weeks), np.arange(weeks)])
    reader = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse)[0]
    spread = np.sqrt(reader @ np.linalg.solve(inverse, reader))
    assert row["log_sd"] == pytest.approx(spread, rel=1e-4)

    truth = draw.integers(0, draws, trials)
    means = weekly[:, 0] / weekly[:, 0].mean()
    heard = means[truth] + spread * draw.standard_normal(trials)
    moved = np.linspace(-30, 30, 61)[:, None]
    spend = np.hstack([100 + moved, 100 - moved]) / post.problem.mean_active
    profit = 52 * 0.4 * (top[:, None, :] * spend / (spend + 1.5)).sum(axis=2)
    weight = np.exp(-0.5 * np.square((heard[:, None] - means) / spread))
    chosen = (weight @ profit).argmax(axis=1)
    gained = profit[truth, chosen] - profit[truth, profit.mean(axis=0).argmax()]
    assert row["test_value"] == pytest.approx(gained.mean(), abs=4 * gained.std() / np.sqrt(trials))
    assert gained.mean() > 10 * gained.std() / np.sqrt(trials)


def carried_out(post, design):
    """Return the same response, draw by draw, over a window that ends with a test and its carry-over."""
    weeks = design.periods + 12
    spend = np.vstack([(post.problem.spend * post.problem.mean_active)[:130], np.full((weeks, 2), 100.0)])
    spend[130 : 130 + design.periods, 0] *= design.factor
    ran = written(spend, window=118 + weeks, iroas=post.iroas, revenue=post.problem.scale)
    unit = post.problem.mean_active / ran.problem.mean_active
    ran = replace(ran, carryover=post.carryover, half_saturation=post.half_saturation * unit, slope=post.slope)
    return replace(ran, iroas=ceiling(post) * ran.share.sum(axis=1) / (ran.problem.spent * ran.problem.scale))


@pytest.mark.parametrize("design", experiments.DESIGNS["week"], ids=str)
def test_what_a_design_reads_and_states_is_what_lift_tests_take(design):
    """Run in the whole unit and entered with `spend_now`: the same lift, the same error, as much narrowing."""
    post = replace(uncertain(sd=0.4), noise=np.full(300, 0.02))
    row = experiments.rank(post, designs=[design], baseline_known=True).table.set_index("channel").loc["channel_1"]
    ran = carried_out(post, design)
    window = ran.problem.period_end
    test = {"channel": "channel_1", "first_day": window[118] - pd.Timedelta(days=6)}
    test |= {"last_day": window[117 + design.periods], "compared_spend_cents": round(100 * row["spend_now"])}
    reach = np.exp(stats.norm.ppf(0.95) * row["log_sd"])
    entered = pd.DataFrame([test | {"iroas": 2.0, "low": 2.0 / reach, "high": 2.0 * reach}])
    data = pd.DataFrame(
        ran.problem.spend * ran.problem.mean_active,
        columns=list(ran.problem.channels),
        index=window.union(pd.date_range(end=window[0] - pd.Timedelta(days=7), periods=12, freq="7D")),
    )
    found = lift.checked(entered, data, list(data), "week", len(window))
    assert found.table["status"].tolist() == ["entered"]
    assert found.entered["log_sd"].iloc[0] == pytest.approx(row["log_sd"])
    measured = lift.modelled(ran, found.entered)[:, 0]
    read = experiments._lifts(post, np.full(2, 100.0), design)[:, :, 0].sum(axis=1)
    assert measured * row["spend_change"] == pytest.approx(read, rel=1e-6)
    # the model's own rule: a Gaussian on log iROAS, for every outcome that the draws hold likely
    logs, errors = np.log(measured), row["log_sd"] * stats.norm.ppf((np.arange(15) + 0.5) / 15)
    outcomes = (logs[:, None] + errors).ravel()
    likely = np.exp(-0.5 * np.square((outcomes[:, None] - logs) / row["log_sd"]))
    weight = likely / likely.sum(axis=1, keepdims=True)
    known = np.log(post.iroas[:, 0])
    left = np.sqrt(weight @ known**2 - (weight @ known) ** 2).mean()
    # never better than promised: log_sd is that of the expected lift, and a smaller one is read less precisely
    assert 0.97 * left < row["log_sd_after"] < 1.2 * left
    assert row["log_sd_after"] < 0.8 * row["log_sd_now"]


def test_less_noise_is_worth_more_and_none_is_worth_perfect_knowledge_of_a_scale():
    # only the height of each curve is unknown: a noiseless test says all
    post = uncertain(half_saturation=1.5, carryover=0.3)
    values = []
    for noise in (1e-7, 0.02, 0.1, 1e6):
        table = experiments.rank(replace(post, noise=np.full(300, noise)), designs=[OFF]).table
        values.append(table.set_index("channel").loc["channel_1", ["test_value", "log_sd_after", "width_after"]])
    value, log_sd, width = pd.DataFrame(values).to_numpy().T
    perfect = table["perfect_value"].max()
    assert value[0] == pytest.approx(perfect, rel=0.01)
    assert value[0] > value[1] > value[2] > value[3] >= 0
    assert value[3] == pytest.approx(0, abs=1e-6 * perfect)
    assert (np.diff(log_sd) > 0).all() and (np.diff(width) > 0).all()


def test_a_channel_known_well_is_worth_testing_less_than_an_uncertain_one_of_the_same_spend():
    table = experiments.rank(uncertain(2, sd=(0.05, 0.8), half_saturation=1.5), designs=[OFF]).table
    known, unknown = table.set_index("channel").loc[["channel_1", "channel_2"]].itertuples()
    assert known.test_value < 0.1 * unknown.test_value
    assert known.perfect_value < 0.1 * unknown.perfect_value
    assert known.log_sd_now - known.log_sd_after < 0.1 * (unknown.log_sd_now - unknown.log_sd_after)


def test_the_currency_changes_no_answer():
    one, other = experiments.rank(uncertain()), experiments.rank(uncertain(size=1000.0))
    assert other.table["test_verdict"].tolist() == one.table["test_verdict"].tolist()
    left, right = money_of(one), money_of(other)
    assert right[MONEY_LESS].to_numpy() == pytest.approx(left[MONEY_LESS].to_numpy(), rel=1e-9)
    assert right[MONEY].to_numpy() == pytest.approx(1000 * left[MONEY].to_numpy(), rel=1e-6, abs=1e-3)


def test_the_same_posterior_gives_the_same_digits():
    pd.testing.assert_frame_equal(experiments.rank(uncertain()).table, experiments.rank(uncertain()).table, rtol=0)


def test_a_longer_test_reads_more_precisely_and_costs_more():
    designs = [replace(OFF, periods=periods) for periods in (2, 4, 8)]
    table = experiments.rank(uncertain(carryover=0.0), designs=designs).table
    table = table[table["channel"] == "channel_1"].sort_values("test_periods")
    assert (np.diff(table["log_sd"]) < 0).all()
    assert table["test_cost"].to_numpy() == pytest.approx(table["test_cost"].iloc[0] * np.array([1, 2, 4]))


def test_a_test_that_would_not_tell_never_pays_however_little_it_costs():
    # returns so high that doubling gains, and noise many times the lift: free, and worth a little as counted
    post = replace(uncertain(spend=1.0), noise=np.full(300, 0.2))
    post = replace(post, iroas=10 * post.iroas)
    found = experiments.rank(post, 0.9, designs=[Design("test_doubled", 2, 4), replace(OFF, periods=8)])
    table = found.table
    doubled = table[table["design"] == "test_doubled"]
    assert (doubled["test_cost"] < 0).all() and (doubled["test_net"] > 0).all()
    assert set(table["test_verdict"]) == {"test_does_not_tell"}
    assert table["log_sd"].is_monotonic_increasing and table["log_sd"].iloc[0] > 1.4
    said = " ".join(found.findings()[:2])
    assert said.startswith("No test would tell.") and "pays" not in said and "would not even be known" in said
    assert f"{table['log_sd'].iloc[0]:.1f} times" in said


def test_a_factor_of_ten_is_where_a_test_stops_telling():
    """90% of readings within a factor of exp(1.645 log_sd): ten at 1.4."""
    figures = {"test_value": 5.0, "test_cost": -1.0, "test_value_error": 1.0, "channel": "tv", "test_periods": 4}
    rows = [{**figures, "log_sd": log_sd, "design": str(log_sd)} for log_sd in (np.inf, 1.41, 1.39)]
    missing = dict.fromkeys(set(experiments.TABLE) - {"rank", "test_net", "test_verdict", *rows[0]}, 0.0)
    found = experiments._ranked(pd.DataFrame(rows).assign(**missing), 0.0)
    assert found["test_verdict"].tolist() == ["test_pays", "test_does_not_tell", "test_does_not_tell"]
    assert found["log_sd"].tolist() == [1.39, 1.41, np.inf]


def test_a_baseline_estimated_again_costs_precision():
    again = money_of(experiments.rank(uncertain()))
    known = money_of(experiments.rank(uncertain(), baseline_known=True))
    assert (again["log_sd"] > known["log_sd"]).all()


def test_a_bound_that_is_left_out_keeps_its_default():
    usual = experiments.rank(uncertain()).budget.set_index("channel")
    stated = experiments.rank(uncertain(), bounds={"channel_2": (None, 13 * 101.0)}).budget.set_index("channel")
    assert stated.loc["channel_1"].tolist() == usual.loc["channel_1"].tolist()
    assert stated.loc["channel_2"].tolist() == [*usual.loc["channel_2", ["spend", "low"]], 101.0]


def test_setting_a_test_up_can_cost_more_than_it_is_worth():
    found = experiments.rank(uncertain(), setup_cost=1e6)
    assert set(found.table["test_verdict"]) == {"test_does_not_pay"}
    assert "No test pays for itself" in found.findings()[0]
    free = money_of(experiments.rank(uncertain()))
    assert money_of(found)["test_net"].to_numpy() == pytest.approx(free["test_net"].to_numpy() - 1e6)


def test_a_budget_that_cannot_change_makes_every_test_worthless():
    table = experiments.rank(uncertain(), largest_change=1e-12).table
    assert table["test_value"].to_numpy() == pytest.approx(0, abs=1e-6)


def test_a_total_that_equals_the_lower_bounds_leaves_nothing_to_decide():
    # last quarter's spend is less than any before it: the bounds go up from there, and the total stays there
    spend = np.append(np.full(107, 200.0), np.full(13, 100.0))[:, None]
    post = written(spend, iroas=[[1.0], [3.0]], carryover=0.5, half_saturation=1.0, revenue=1000.0)
    found = experiments.rank(post, 0.4, designs=[OFF])
    assert found.budget[["spend", "low"]].to_numpy().ravel() == pytest.approx([100, 100])
    assert found.budget["high"].item() > 140
    assert found.table[["test_value", "perfect_value"]].to_numpy().ravel() == pytest.approx([0, 0], abs=1e-9)


def test_channels_that_are_off_now_are_named_and_not_tested():
    post = uncertain()
    silent = post.problem.spend.copy()
    silent[-13:, 0] = 0
    post = replace(post, problem=replace(post.problem, spend=silent))
    found = experiments.rank(post)
    assert found.not_tested == ("channel_1",) and set(found.table["channel"]) == {"channel_2"}
    assert any("channel 1" in sentence for sentence in found.findings())
    with pytest.raises(Faults, match="nothing was spent on 'channel_1'"):
        experiments.rank(post, channels=["channel_1"])
    silent[-13:] = 0
    found = experiments.rank(replace(post, problem=replace(post.problem, spend=silent)))
    assert len(found.table) == 0 and "no channel" in found.findings()[0]
    assert len(found.shown()) == 0
    found.plot()


def test_quarters_are_tested_by_the_quarter():
    draw = np.random.default_rng(0)
    spend = draw.uniform(80, 120, (26, 2))
    post = written(spend, window=24, frequency="quarter", iroas=draw.lognormal(0, 0.8, (200, 2)))
    found = experiments.rank(post)
    assert found.horizon == 4 and set(found.table["test_periods"]) == {1}
    assert "1 quarter" in found.findings()[0]


@pytest.mark.parametrize("total", ["fixed", "free", 13 * 310.0])
def test_readers_see_sentences_figures_and_a_picture_in_both_languages(total):
    found = experiments.rank(uncertain(3), total=total)
    for language in ("en", "it"):
        sentences = found.findings(language)
        assert len(sentences) == 5 and not any("{" in sentence for sentence in sentences)
        assert len(found.plot(language=language).patches) >= 9
    assert found.shown()["test_net_cents"].iloc[0] == round(100 * found.table["test_net"].iloc[0])
    assert (found.shown()["interval_narrower"] >= 0).all()
    length = round(found.table["test_periods"].iloc[0])
    assert found.shown("it")["test_periods"].iloc[0] == f"{length} settimane"
    draft = replace(found, kind="draft")
    assert draft.findings()[0].startswith("Draft") and not found.findings()[0].startswith("Draft")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"designs": [Design("long", 0, 0)]}, "'long': a test of 0 periods measures nothing"),
        ({"designs": [Design("odd", 0, 2.5)]}, "'odd': a test of 2.5 periods"),
        ({"designs": [Design("none", np.nan, 4)]}, "'none': the factor must be 0 or from 0.01 to 10, not nan"),
        ({"designs": [Design("all", 11, 4)]}, "'all': the factor must be 0 or from 0.01 to 10, not 11"),
        ({"designs": [Design("little", 1.09, 4)]}, "'little': a factor of 1.09 changes next to no spend"),
        ({"designs": [Design("less", 0.91, 4)]}, "'less': a factor of 0.91 changes next to no spend"),
        ({"designs": [Design("back", -1, 4)]}, "'back': the factor must be 0 or from 0.01 to 10, not -1"),
        ({"designs": [Design("same", 1, 4)]}, "'same': a factor of 1 changes next to no spend"),
        ({"designs": []}, "no design is stated"),
        ({"channels": ["chanel_1"]}, "'chanel_1' is no fitted channel. Did you mean 'channel_1'?"),
        ({"contribution_margin_share": 1.2}, "contribution_margin_share must lie from -1 to 1, not 1.2"),
        ({"horizon_weeks": 0}, "horizon_weeks of 0"),
        ({"largest_change": np.nan}, "largest_change of nan"),
        ({"setup_cost": -1.0}, "setup_cost of -1"),
        (
            {"total": "fixe"},
            "total 'fixe' is not one of fixed, free, nor an amount. Did you mean 'fixed'?",
        ),
        ({"total": 10.0}, "EUR in the quarter, above the total of 10.00 EUR"),
        ({"bounds": {"channel_1": (5.0, 1.0)}}, "must rise from zero"),
        ({"bounds": {"channel_1": (None, np.inf)}}, "must rise from zero"),
        ({"bounds": {"tv": (0.0, 1.0)}}, "'tv' is no fitted channel"),
    ],
)
def test_tests_that_make_no_sense_are_refused(stated, said):
    with pytest.raises(Faults) as error:
        experiments.rank(uncertain(), **stated)
    assert said in str(error.value)


def test_all_faults_come_together():
    with pytest.raises(Faults) as error:
        experiments.rank(uncertain(), 2.0, designs=[Design("a", 1, 3), Design("b", 0, -1)], channels=["x"])
    assert len(error.value.faults) == 4


@pytest.mark.parametrize("share", [0.0, -0.447])
def test_without_a_margin_no_test_has_a_worth(share):
    found = experiments.rank(uncertain(draws=50), share)
    assert found.table.empty and found.shown().empty and found.plot() is None
    assert [len(found.findings(language)) for language in ("en", "it")] == [1, 1]
    assert "no budget pays" in found.findings("en")[0]
