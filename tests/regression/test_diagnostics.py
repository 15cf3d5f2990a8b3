from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kpitoolkit.regression import diagnostics, diagnostics_wording, estimate, forecasts, posterior
from kpitoolkit.regression.problem import problem
from tests.regression import simulated


@pytest.fixture
def no_forecasts(monkeypatch):
    """Forecasts have tests of their own; here they would cost most of the time."""
    empty = pd.DataFrame(columns=["period_end", "model", "seasonal_naive"])
    monkeypatch.setattr(forecasts, "rolling_errors", lambda given, seed: empty)


def run(revenue, spend, frequency="week", ends=None):
    return diagnostics.diagnose(estimate.draft(simulated.alone(revenue, spend, frequency, ends), draws=200))


def verdicts(result):
    return result.table[result.table["channel"] == ""].set_index("check")["verdict"]


@pytest.fixture(scope="module")
def post():
    return estimate.draft(simulated.given(weeks=104, noise=8.0), draws=300)


@pytest.fixture(scope="module")
def result(post):
    return diagnostics.diagnose(post)


def test_healthy_company_is_in_order(result):
    """Two channels that can be told apart, AR(1) errors: nothing calls for a closer look."""
    assert not (result.table["verdict"] == "look_closer").any()
    found = result.table.set_index(["check", "channel"])["verdict"]
    for check in ("own_data", "vif", "channel_out_of_sample"):
        assert found[check, "search"] == "in_order"
    assert found["rolling_origin", ""] == "in_order"
    assert found["r_hat", "search"] == found["divergences", ""] == "not_examined"  # a draft has no chains


def test_every_check_has_a_row_a_verdict_and_labels(result):
    table = result.table
    assert set(table["check"]) == {*diagnostics.WHOLE, *diagnostics.BY_CHANNEL}
    assert set(table.loc[table["channel"] == "", "check"]) == set(diagnostics.WHOLE)
    assert set(table["verdict"]) <= {"in_order", "look_closer", "stated", "not_examined"}
    assert not table.duplicated(["check", "channel"]).any()


def test_r_squared_is_of_the_fit(post, result):
    fit = posterior.point(posterior.contributions(post)).sum(axis=1) + posterior.point(posterior.baseline(post))
    revenue = post.problem.revenue * post.problem.scale
    expected = 1 - ((revenue - fit) ** 2).sum() / ((revenue - revenue.mean()) ** 2).sum()
    assert result.table.set_index("check").loc["r_squared", "statistic"] == pytest.approx(expected)


def test_errors_are_tested_after_the_correction_of_one_coefficient(post, result):
    """Ljung and Box's Q by its formula, on 10 lags of 103 whitened errors less one degree of freedom."""
    left = result.residuals["residual"].to_numpy()
    assert len(left) == 103
    left = left - left.mean()
    shares = [(left[lag:] @ left[:-lag] / (left @ left)) ** 2 / (103 - lag) for lag in range(1, 11)]
    row = result.table.set_index("check").loc["ljung_box"]
    assert row["statistic"] == pytest.approx(103 * 105 * sum(shares))
    assert row["p_value"] == pytest.approx(stats.chi2.sf(row["statistic"], 9))
    assert " ".join(result.findings("en")).count("After the AR(1) correction") == 2


@pytest.mark.usefixtures("no_forecasts")
def test_spend_that_answers_to_demand_a_week_later_fails_both_placebos():
    draw = np.random.default_rng(2)
    demand = draw.normal(0, 10, 157)
    spend = 100 + demand[:-1] + draw.normal(0, 2, 156)
    result = run(1000 + 5 * demand[1:] + draw.normal(0, 2, 156), spend)
    found = verdicts(result)
    assert found["future_spend"] == found["budget_follows_demand"] == "look_closer"
    said = result.findings("en")
    assert said[0].startswith("Placebo failed") or said[1].startswith("Placebo failed")
    assert "all media together (p < 0.001)" in " ".join(said)


@pytest.mark.usefixtures("no_forecasts")
def test_an_answer_four_weeks_later_still_fails_both_placebos():
    draw = np.random.default_rng(2)
    demand = draw.normal(0, 10, 160)
    result = run(1000 + 5 * demand[4:] + draw.normal(0, 2, 156), 100 + demand[:-4] + draw.normal(0, 2, 156))
    found = result.table.set_index("check").loc[["future_spend", "budget_follows_demand"]]
    assert (found["verdict"] == "look_closer").all()
    assert (found["p_value"] < 1e-20).all()  # with fewer lags, chance at most


@pytest.mark.usefixtures("no_forecasts")
def test_same_week_demand_shock_escapes_both_placebos():
    """Why a pass proves nothing: spend and revenue share an unseen shock, and both placebos pass."""
    draw = np.random.default_rng(4)
    shock = draw.normal(0, 10, 156)
    result = run(1000 + 4 * shock + draw.normal(0, 5, 156), 100 + shock + draw.normal(0, 5, 156))
    assert (verdicts(result)[["future_spend", "budget_follows_demand"]] == "in_order").all()
    assert "passed proves nothing" in " ".join(result.findings("en"))


@pytest.mark.usefixtures("no_forecasts")
def test_budgets_are_held_against_demand_not_against_what_spend_brought(post, monkeypatch):
    """Revenue carries past spend, and that foretells flights: what is tested is revenue less contributions."""
    causes = []
    monkeypatch.setattr(
        diagnostics.linear, "granger_f", lambda _effect, cause, _lags, _extra: causes.append(cause) or (1.0, 0.5, 50)
    )
    diagnostics.diagnose(post)
    brought = posterior.point(posterior.contributions(post)).sum(axis=1) / post.problem.scale
    assert len(causes) == 3
    for cause in causes:
        assert cause == pytest.approx(post.problem.revenue - brought)


@pytest.mark.usefixtures("no_forecasts")
def test_tests_of_one_kind_are_corrected_together(post):
    """One raw p-value of .03 among three: alone a closer look, in its family none."""
    rows = diagnostics._family("future_spend", {"": (1.0, 0.5), "search": (3.0, 0.03), "tv": (0.5, 0.9)})
    assert [row[3] for row in rows] == pytest.approx([1.0, 0.09, 1.0])
    assert {row[4] for row in rows} == {"in_order"}
    assert diagnostics._family("future_spend", {"": (3.0, 0.03)})[0][4] == "look_closer"
    found = diagnostics.diagnose(post).table
    assert (found["check"] == "future_spend").sum() == 3  # all media together and two channels


@pytest.mark.usefixtures("no_forecasts")
def test_growth_alone_is_named_a_trap():
    draw = np.random.default_rng(5)
    ends = pd.date_range("2014-03-31", periods=15, freq="QE")
    revenue = 100 * 1.06 ** np.arange(15) + draw.normal(0, 3, 15)
    spend = 10 * 1.05 ** np.arange(15) + draw.normal(0, 0.5, 15)
    result = run(revenue, spend, "quarter", ends)
    levels, changes = (
        result.table.set_index("check").loc[name] for name in ("correlation_of_levels", "correlation_of_changes")
    )
    assert levels["statistic"] == pytest.approx(np.corrcoef(revenue, spend)[0, 1])
    assert changes["statistic"] == pytest.approx(np.corrcoef(revenue[4:] / revenue[:-4], spend[4:] / spend[:-4])[0, 1])
    assert levels["verdict"] == changes["verdict"] == "look_closer"
    assert any(sentence.startswith("A trap") for sentence in result.findings("en"))


@pytest.mark.parametrize(
    ("levels", "changes", "verdict"),
    [
        (0.71, (0.5, 0.05), "look_closer"),  # agreement of levels that changes do not bear out
        (0.70, (0.5, 0.5), "stated"),
        (0.71, (0.5, 0.049), "stated"),
        (0.71, (-0.5, 0.001), "look_closer"),
        (0.71, (0.0, 0.001), "look_closer"),
    ],
)
def test_where_a_trap_begins(levels, changes, verdict, post, monkeypatch):
    found = iter([(levels, 0.0), changes])
    monkeypatch.setattr(diagnostics.linear, "correlation", lambda _revenue, _spend: next(found))
    assert [row[4] for row in diagnostics._levels_and_changes(post.problem)] == [verdict] * 2


@pytest.mark.parametrize(
    ("run_of", "statistic", "verdict"),
    [(4, 0.9, "look_closer"), (2, 1.9, "in_order"), (1, 3.9, "look_closer")],
)
def test_neighbouring_errors_by_hand(run_of, statistic, verdict):
    """Forty errors of one: each change of sign adds four to the sum of squared differences, over a sum of forty."""
    errors = np.resize(np.repeat([1.0, -1.0], run_of), 40)
    assert diagnostics._durbin_watson(errors)[2:] == (statistic, pytest.approx(np.nan, nan_ok=True), verdict)


@pytest.mark.usefixtures("no_forecasts")
def test_channels_that_move_together_are_hard_to_tell_apart():
    frame = simulated.frame(weeks=104)
    given = simulated.given(weeks=104)
    frame["tv"] = 2 * frame["search"] + np.random.default_rng(0).normal(0, 2, len(frame))
    twin = replace(given, spend=(frame[["search", "tv"]] / frame[["search", "tv"]].iloc[-104:].mean()).to_numpy())
    result = diagnostics.diagnose(estimate.draft(twin, draws=100))
    inflated = result.table[result.table["check"] == "vif"]
    assert (inflated["verdict"] == "look_closer").all()
    assert any(said.startswith("Hard to tell apart from the rest") for said in result.findings("en"))


def test_own_data_is_what_is_left_beyond_prior_and_other_channels(post):
    """Two channels, common variance 0.64 and own 0.49: given the other, variance 1.13 - 0.64^2 / 1.13."""
    covariance = post.problem.prior.covariance.copy()
    covariance[:2, :2] = [[1.13, 0.64], [0.64, 1.13]]
    problem = replace(post.problem, prior=replace(post.problem.prior, covariance=covariance))
    sd = np.sqrt(1.13 - 0.64**2 / 1.13)
    iroas = np.exp(np.random.default_rng(0).normal(size=(4000, 2)) * sd * [0.25, 1.0])
    known = replace(post, problem=problem, iroas=iroas)
    assert diagnostics.own_data(known) == pytest.approx([0.25, 1.0], rel=0.04)
    assert [row[4] for row in diagnostics._own_data(known)] == ["in_order", "look_closer"]


def test_where_data_begin_to_speak_of_their_own(post, monkeypatch):
    """As for a verdict: a fifth of the uncertainty taken away is little, a third is enough."""
    said = []
    for left in (0.81, 0.8, 0.79, 0.67, 0.66):
        monkeypatch.setattr(diagnostics, "own_data", lambda _post, left=left: np.full(2, left))
        said.append(diagnostics._own_data(post)[0][4])
    assert said == ["look_closer", "look_closer", "stated", "stated", "in_order"]


@pytest.mark.usefixtures("no_forecasts")
def test_data_that_say_nothing_are_said_to():
    """A thousandth of the spend goes to a channel beside errors of a tenth of revenue: its prior is what is left."""
    draw = np.random.default_rng(1)
    ends = pd.date_range("2023-10-08", periods=104, freq="7D")
    spend = {"search": 100 * draw.gamma(4, 0.25, 104), "mail": 0.1 * draw.gamma(4, 0.25, 104)}
    frame = pd.DataFrame({"revenue": 1000 + 2 * spend["search"] + draw.normal(0, 100, 104), **spend}, index=ends)
    result = diagnostics.diagnose(estimate.draft(problem(frame, ["search", "mail"]), draws=1000))
    found = result.table.set_index(["check", "channel"]).loc["own_data"]
    assert found.loc["mail", "statistic"] > 0.9
    assert found.loc["mail", "verdict"] == "look_closer"
    assert found.loc["search", "verdict"] != "look_closer"
    assert any(said.startswith("The data said nothing of their own about mail") for said in result.findings("en"))


def test_baseline_below_zero_counts_draws_not_periods(post):
    """Three draws in ten dip below zero in one period each."""
    baseline = np.zeros((10, post.baseline.shape[1]))
    baseline[:, 0] = 1.0
    dips = np.zeros(post.problem.window)
    dips[7] = 1.0
    design = post.problem.baseline.assign(dip=dips)
    problem = replace(post.problem, baseline=design)
    baseline = np.column_stack([baseline, np.where(np.arange(10) < 3, -2.0, 0.0)])
    row = diagnostics._baseline_below_zero(replace(post, problem=problem, baseline=baseline))
    assert row[2] == pytest.approx(0.3)
    assert row[4] == "look_closer"


@pytest.mark.parametrize(
    ("heights", "gap", "verdict"),
    [
        ([10.0, 10.0, 9.99, 2.0], 8.0, "in_order"),
        ([10.0, 9.0, 2.0, 10.0], 1.0, "look_closer"),
        ([10.0, 10.0, 10.0, 10.0], 0.0, "in_order"),
        ([10.0, np.nan, np.nan, np.nan], np.nan, "not_examined"),
    ],
)
def test_second_explanations_are_looked_for_near_the_best(heights, gap, verdict):
    found = diagnostics._optima(np.array(heights))
    assert found[0] == pytest.approx(gap, nan_ok=True)
    assert found[2] == verdict


def test_chains_that_disagree_are_named(post):
    walked = replace(post, kind="published", r_hat=np.array([1.01, 1.2]), ess=np.array([900.0, 120.0]), divergences=30)
    rows = {(row[0], row[1]): row for row in diagnostics._sampler(walked)}
    assert rows["r_hat", "search"][4] == rows["ess", "search"][4] == "in_order"
    assert rows["r_hat", "tv"][4] == rows["ess", "tv"][4] == "look_closer"
    assert rows["divergences", ""][2] == pytest.approx(0.1)
    assert rows["divergences", ""][4] == "look_closer"
    said = " ".join(diagnostics_wording.findings(pd.DataFrame(list(rows.values()), columns=diagnostics.COLUMNS), "en"))
    assert "disagree (R-hat) about TV (1.20)" in said
    assert "search (" not in said


def test_where_a_sampler_is_to_be_looked_at(post):
    """R-hat from 1.05, an effective number of draws below 400, one divergence in a hundred."""
    rows, draws = [], len(post.iroas)
    for r_hat, ess, share in ((1.0499, 400.0, 0.0099), (1.05, 399.9, 0.01)):
        figures = {"r_hat": np.full(2, r_hat), "ess": np.full(2, ess), "divergences": share * draws}
        walked = replace(post, kind="published", **figures)
        rows.append([row[4] for row in diagnostics._sampler(walked)][:-1])
    assert rows == [["in_order"] * 5, ["look_closer"] * 5]


def test_out_of_sample_error_without_each_channel():
    """By hand: without search errors double, without TV they are the same, without mail they halve."""
    draw = np.random.default_rng(0)
    own = 10 + draw.random(52)
    errors = pd.DataFrame({"model": own, "seasonal_naive": 4 * own, "without_search": 2 * own + draw.random(52) / 10})
    errors = errors.assign(without_tv=own + draw.normal(0, 0.1, 52), without_mail=own / 2)
    rows = {row[1]: row for row in diagnostics._without_each(("search", "tv", "mail"), errors)}
    assert [rows[name][4] for name in ("search", "tv", "mail")] == ["in_order", "stated", "look_closer"]
    assert rows["mail"][2] == pytest.approx(0.5)
    assert diagnostics._rolling_origin(errors)[2:] == (
        pytest.approx(0.25),
        pytest.approx(np.nan, nan_ok=True),
        "in_order",
    )
    said = " ".join(diagnostics_wording.findings(pd.DataFrame(list(rows.values()), columns=diagnostics.COLUMNS), "en"))
    assert "better without mail (error −50%)" in said


def test_findings_start_with_what_needs_a_closer_look():
    rows = [("r_squared", "", 0.9, np.nan, "stated"), ("ljung_box", "", 1.0, 0.6, "in_order")]
    rows += [("durbin_watson", "", 0.8, np.nan, "look_closer"), ("optima", "", np.nan, np.nan, "not_examined")]
    said = diagnostics_wording.findings(pd.DataFrame(rows, columns=diagnostics.COLUMNS), "en")
    assert [sentence.split(" (")[0].split(" of ")[0] for sentence in said] == [
        "After the AR(1) correction neighbouring errors are still related",
        "The model follows 90.0%",
        "After the AR(1) correction no pattern over time is left in the errors",
        "Not examined, for want",
    ]


def test_tables_write_no_p_value_as_nought(result):
    table = result.table.assign(p_value=0.0004)
    shown = replace(result, table=table).shown("it")
    assert set(shown["p_value"]) == {"< 0,001"}
    assert shown.loc[shown["check"] == "r_squared", "statistic"].iloc[0].endswith("%")
    assert result.shown("en")["p_value"].isna().sum() == result.table["p_value"].isna().sum()


def test_one_row_a_check_is_the_one_to_look_at():
    """By verdict first, then by p-value, then by the figure: low is worse for ESS, high for the rest."""
    rows = [("future_spend", "", 3.0, 0.04, "look_closer"), ("future_spend", "tv", 5.0, 0.01, "look_closer")]
    rows += [("ess", "search", 900.0, np.nan, "in_order"), ("ess", "tv", 500.0, np.nan, "in_order")]
    rows += [("vif", "search", 1.2, np.nan, "in_order"), ("vif", "tv", 1.9, np.nan, "in_order")]
    rows += [("own_data", "search", 0.9, np.nan, "look_closer"), ("own_data", "tv", 0.3, np.nan, "in_order")]
    table = pd.DataFrame(rows, columns=diagnostics.COLUMNS)
    found = diagnostics.Diagnostics(table, pd.DataFrame()).shown(worst=True)
    assert list(zip(found["check"], found["channel"], strict=True)) == [
        ("future_spend", "tv"),
        ("ess", "tv"),
        ("vif", "tv"),
        ("own_data", "search"),
    ]


@pytest.mark.parametrize("language", ["en", "it"])
def test_nothing_examined_is_said(language):
    result = diagnostics.diagnose(None)
    assert set(result.table["verdict"]) == {"not_examined"}
    assert len(result.findings(language)) == 1


@pytest.mark.parametrize("language", ["en", "it"])
def test_no_sentence_has_an_open_placeholder_or_speaks_of_cause(result, language):
    for verdict in ("look_closer", "stated", "in_order"):
        said = " ".join(diagnostics_wording.findings(result.table.assign(verdict=verdict), language))
        assert "{" not in said
        assert "caus" not in said.replace("no proof of a cause", "").replace("non prova una causa", "")


def test_the_same_seed_gives_the_same_digits(post, result):
    again = diagnostics.diagnose(post)
    pd.testing.assert_frame_equal(result.table, again.table)
    pd.testing.assert_frame_equal(result.errors, again.errors)
