"""Lift tests: from a table's rows to the model's terms, the same definition everywhere, and conflicts said aloud."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kpitoolkit import parameters, sample, tables
from kpitoolkit.errors import Faults
from kpitoolkit.regression import density, lift, transforms
from kpitoolkit.regression.estimate import draft
from kpitoolkit.regression.posterior import Posterior
from kpitoolkit.regression.prepare import inputs
from kpitoolkit.regression.problem import problem

CARRIED, WEEKS = 12, 104
CHANNELS = ["tv", "search", "still"]
ENDS = pd.date_range(end="2026-09-27", periods=CARRIED + WEEKS, freq="7D")


def frame(seed=1):
    """Two channels of known return (3 and 2), one that never changes, noise of 2%."""
    draw = np.random.default_rng(seed)
    rows = len(ENDS)
    tv = np.repeat(draw.random(rows // 4) < 0.5, 4)[:rows] * draw.lognormal(0, 0.3, rows) * 100
    search = draw.lognormal(0, 0.5, rows) * 80
    revenue = 1500 + draw.normal(0, 30, rows)
    for spend, iroas, kept in ((tv, 3.0, 0.5), (search, 2.0, 0.2)):
        reached = transforms.saturate(transforms.adstock(spend / transforms.mean_active(spend), kept), 2.0)
        revenue += iroas * spend[CARRIED:].sum() * reached / reached[CARRIED:].sum()
    columns = {"revenue": revenue, "tv": tv, "search": search, "still": 10.0}
    return pd.DataFrame(columns | {"carry_in": np.arange(rows) < CARRIED}, index=ENDS)


def row(**changed):
    """A test of search in the eight weeks from 5 January 2026 (rows 66 to 73 of the window)."""
    stated = {"unit": "it", "channel": "search", "first_day": "2026-01-05", "last_day": "2026-03-01"}
    return stated | {"iroas": 2.0, "low": 1.5, "high": 2.6} | changed


def checked(*rows):
    return lift.checked(pd.DataFrame(list(rows)), frame(), CHANNELS, "week")


def problem_with(found=None, data=None):
    data = frame() if data is None else data
    return problem(data, ["tv", "search"], (), "week", WEEKS, lift_tests=None if found is None else found.entered)


@pytest.fixture(scope="module")
def without():
    return draft(problem_with(), draws=400)


def one_draw(known, **shapes):
    """A posterior of a single draw: what is known for sure."""
    values = {name: np.atleast_2d(np.asarray(each, dtype=float)) for name, each in shapes.items()}
    count, none = len(known.channels), np.empty(0)
    values = {"slope": np.ones((1, count)), "peak": np.zeros((1, count))} | values
    rest = dict.fromkeys(("autocorrelation", "noise", "r_hat", "ess", "optima"), none)
    return Posterior(known, "draft", baseline=np.empty((1, 0)), divergences=0, extended=0, **values, **rest)


# From days to rows


def test_by_hand():
    test = checked(row()).table.iloc[0]
    window = ENDS[CARRIED:]
    assert (test["first"], test["last"]) == (66, 73)
    assert window[66] == pd.Timestamp("2026-01-11") and window[73] == pd.Timestamp("2026-03-01")
    assert test["log_sd"] == pytest.approx(np.log(2.6 / 1.5) / (2 * 1.6448536))
    assert test["sd"] == pytest.approx(1.1 / (2 * 1.6448536))
    assert (test["status"], test["level"], test["unfinished"]) == ("entered", 0.9, 0)
    eighty = checked(row(level=0.8)).table.iloc[0]
    assert eighty["log_sd"] / test["log_sd"] == pytest.approx(1.6448536 / 1.2815516)


@pytest.mark.parametrize(
    ("first_day", "last_day", "rows"),
    [
        ("2026-01-08", "2026-03-01", (66, 73)),  # Thursday: four days of its week
        ("2026-01-09", "2026-03-01", (67, 73)),  # Friday: three
        ("2026-01-05", "2026-03-05", (66, 74)),
        ("2026-01-05", "2026-03-04", (66, 73)),
    ],
)
def test_a_week_is_the_tests_where_it_ran_most_of_its_days(first_day, last_day, rows):
    test = checked(row(first_day=first_day, last_day=last_day)).table.iloc[0]
    assert (test["first"], test["last"]) == rows


def test_quarters_too():
    ends = pd.DatetimeIndex(["2025-03-31", "2025-06-30", "2025-09-30", "2025-12-31"])
    data = pd.DataFrame({"marketing": [1.0, 2.0, 3.0, 4.0], "carry_in": False}, index=ends)
    rows = pd.DataFrame([row(channel="marketing", first_day="2025-04-10", last_day="2025-09-20")])
    test = lift.checked(rows, data, ["marketing"], "quarter").table.iloc[0]
    assert (test["first"], test["last"], test["status"]) == (1, 2, "entered")


@pytest.mark.parametrize(("first_day", "row_of"), [("2025-05-16", 1), ("2025-05-17", 2)])
def test_a_quarter_is_the_tests_where_it_ran_half_of_it(first_day, row_of):
    """46 days of the second quarter, and 45."""
    ends = pd.DatetimeIndex(["2025-03-31", "2025-06-30", "2025-09-30", "2025-12-31"])
    data = pd.DataFrame({"marketing": [1.0, 2.0, 3.0, 4.0], "carry_in": False}, index=ends)
    rows = pd.DataFrame([row(channel="marketing", first_day=first_day, last_day="2025-09-30")])
    assert lift.checked(rows, data, ["marketing"], "quarter").table["first"].tolist() == [row_of]


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"first_day": "2023-01-02", "last_day": "2023-02-26"}, "outside_window", "lies outside the window"),
        ({"first_day": "2026-10-05", "last_day": "2026-11-01"}, "outside_window", "lies outside the window"),
        ({"first_day": "2024-09-02", "last_day": "2024-10-27"}, "partly_outside", "partly outside the window"),
        ({"first_day": "2026-08-31", "last_day": "2026-10-11"}, "partly_outside", "partly outside the window"),
        ({"first_day": "2026-02-20", "last_day": "2026-02-24"}, "too_short", "no period by more than half"),
        ({"channel": "still"}, "constant", "never changes"),
        ({"low": -0.2}, "not_positive", "no return that can be told from zero (2.00, interval −0.20 to 2.60)"),
        ({"iroas": -0.5, "low": -1.5, "high": 0.6}, "not_positive", "weighs nothing in it"),
        ({"channel": "gone", "first_day": "2023-01-02", "last_day": "2023-02-26"}, "outside_window", "gone"),
    ],
)
def test_what_cannot_enter_is_left_out_in_words(changed, status, said):
    found = checked(row(**changed))
    assert found.table["status"].tolist() == [status]
    assert not len(found.entered)
    assert len(found.findings("en")) == 1 and said in found.findings("en")[0]
    assert len(found.findings("it")) == 1


def test_three_days_beyond_the_window_are_no_week_of_it():
    assert checked(row(first_day="2026-08-31", last_day="2026-09-30")).table["status"].tolist() == ["entered"]


def test_weeks_without_spend_have_nothing_to_compare():
    data = frame()
    data.loc["2026-01-01":"2026-03-02", "tv"] = 0
    found = lift.checked(pd.DataFrame([row(channel="tv")]), data, CHANNELS, "week")
    assert found.table["status"].tolist() == ["not_spent"] and "no spend on TV" in found.findings("en")[0]


SHOWN = float(frame().loc["2026-01-05":"2026-03-01", "search"].sum())


def test_spend_compared_with_by_hand():
    """Empty is none, cents become currency, and the words say what is compared with what."""
    found = checked(row(compared_spend_cents=round(SHOWN * 200)), row(channel="tv", compared_spend_cents=None))
    assert found.entered["compared"].tolist() == pytest.approx([2 * SHOWN, 0.0], abs=0.01)
    assert found.table["shown"].iloc[0] == pytest.approx(SHOWN)
    said = found.findings("en")[0]
    assert said == (
        "2 lift tests enter the model: search from 5 Jan 2026 to 1 Mar 2026, 2.00 (1.50 to 2.60), compared with 200% "
        "of the spend shown; TV from 5 Jan 2026 to 1 Mar 2026, 2.00 (1.50 to 2.60)."
    )
    again = lift.checked(found.table, frame(), CHANNELS, "week")  # as the bridge from last quarter does
    pd.testing.assert_frame_equal(again.table, found.table)


@pytest.mark.parametrize(("first_day", "days"), [("2026-01-08", 53), ("2026-01-09", 52), ("2026-01-03", 58)])
def test_spend_of_the_tests_days_is_scaled_to_its_periods(first_day, days):
    """Days that do not fill their weeks, and weeks that are shown whole: both worlds must hold the same days."""
    test = checked(row(first_day=first_day, compared_spend_cents=100 * days)).table.iloc[0]
    assert test["compared"] == pytest.approx(7 * (test["last"] - test["first"] + 1))


def test_a_channel_switched_off_everywhere_is_compared_with_its_usual_spend():
    data = frame()
    data.loc["2026-01-01":"2026-03-02", "tv"] = 0
    found = lift.checked(pd.DataFrame([row(channel="tv", compared_spend_cents=50_000)]), data, CHANNELS, "week")
    assert found.table["status"].tolist() == ["entered"] and found.entered["compared"].tolist() == [500.0]
    assert found.findings("en")[0].endswith("(1.50 to 2.60), switched off and compared with spend as usual.")


@pytest.mark.parametrize(
    ("times", "status", "said"),
    [
        (1.0, "not_changed", "it compares with 100% of the spend that the data show on search"),
        (0.91, "not_changed", "it compares with 91% of the spend"),
        (1.09, "not_changed", "next to nothing to compare"),
        (0.89, "entered", "compared with 89% of the spend shown"),
        (1.11, "entered", "compared with 111% of the spend shown"),
        (0.011, "entered", "compared with 1% of the spend shown"),
        (0.002, "far_below", "with less than 1% of the usual spend on search. Check that the compared spend is"),
        (2000.0, "far_above", "with more than 10 times the highest spend on search that the data show for as long"),
    ],
)
def test_comparisons_that_say_nothing_are_left_out_in_words(times, status, said):
    found = checked(row(compared_spend_cents=round(times * SHOWN * 100)))
    assert found.table["status"].tolist() == [status]
    assert len(found.findings("en")) == 1 and said in found.findings("en")[0]
    assert len(found.findings("it")) == 1


@pytest.mark.parametrize("stated", [-1, np.inf])
def test_an_amount_that_cannot_be_spent_is_a_fault(stated):
    with pytest.raises(Faults, match="compared_spend must be an amount from 0"):
        checked(row(compared_spend_cents=stated))


@pytest.mark.parametrize(
    ("stated", "compared"), [("1234.50", 1234.5), ("", 0.0), ("0", 0.0), (None, 0.0), ("-1.00", None), ("lots", None)]
)
def test_a_file_states_the_spend_compared_with(tmp_path, stated, compared):
    """From a column that may be empty or absent to the model's terms."""
    columns = {name: value for name, value in row().items()} | ({} if stated is None else {"compared_spend": stated})
    (tmp_path / "tests.csv").write_text(f"{','.join(columns)}\n{','.join(str(each) for each in columns.values())}\n")
    place = tables.Workspace("c", "it", "it", {"lift_tests": {"file": "tests.csv"}}, tmp_path, tmp_path, tmp_path)
    if compared is None:
        with pytest.raises(Faults, match="column 'compared_spend'"):
            tables.read(place, ["lift_tests"])
        return
    found = lift.checked(tables.read(place, ["lift_tests"])["lift_tests"], frame(), CHANNELS, "week")
    assert found.entered["compared"].tolist() == [compared]


def test_a_carry_over_that_the_window_cuts_is_said():
    found = checked(row(first_day="2026-06-01", last_day="2026-09-27"))
    assert found.table["unfinished"].tolist() == [12]
    assert found.findings("en")[1].startswith("The carry-over of search was not over when the window ended")
    last_whole = checked(row(first_day="2026-06-01", last_day="2026-07-05"))
    assert last_whole.table["unfinished"].tolist() == [0] and len(last_whole.findings("en")) == 1


def test_all_that_contradicts_itself_comes_together():
    rows = [
        row(first_day="2026-03-02", last_day="2026-03-01"),
        row(low=3.0, high=1.0),
        row(iroas=9.0),
        row(level=90),
        row(low=2.0, high=2.0),
        row(high=np.nan),
        row(channel="tv", first_day="2025-01-06", last_day="2025-02-02"),
    ]
    with pytest.raises(Faults) as caught:
        checked(*rows)
    said = caught.value.faults
    parts = ["it ends before it starts", "low 3 is not below high 1", "iroas 9 lies outside its interval 1.5 to 2.6"]
    parts += ["level 90", "low 2 is not below high 2", "must be numbers"]
    assert len(said) == len(parts)
    assert all(part in fault for part, fault in zip(parts, said, strict=True))
    assert said[1].startswith("search 2026-01-05 to 2026-03-01: ")


def test_unknown_channels_and_tests_of_the_same_days_are_faults():
    with pytest.raises(Faults) as caught:
        checked(row(channel="serch"), row(), row(first_day="2026-03-01", last_day="2026-04-05"))
    assert "'serch' is no channel with spend in these data. Did you mean 'search'?" in caught.value.faults[0]
    assert "share days of search, which would count twice" in caught.value.faults[1]
    apart = checked(row(), row(first_day="2026-03-02", last_day="2026-04-05"), row(channel="tv"))
    assert len(apart.entered) == 3
    assert apart.findings("en")[0].startswith(
        "3 lift tests enter the model: search from 5 Jan 2026 to 1 Mar 2026, 2.00"
    )


def test_no_tests_are_no_findings(without):
    empty = lift.checked(pd.DataFrame(columns=list(row())), frame(), CHANNELS, "week")
    assert empty.findings("en") == [] and len(empty.entered) == 0
    nothing = lift.conflicts(without, empty)
    assert nothing.findings("it") == [] and len(nothing.table) == 0
    assert nothing.plot().get_title() is not None


@given(st.floats(0.1, 10), st.floats(0.01, 0.999))
@settings(max_examples=20, deadline=None)
def test_the_log_scale_never_narrows_a_symmetric_interval(iroas, half):
    """And a test weighs less and less as its lower bound comes down to zero, below which it weighs nothing."""
    low, high = iroas * (1 - half), iroas * (1 + half)
    test = checked(row(iroas=iroas, low=low, high=high)).table.iloc[0]
    assert test["log_sd"] >= test["sd"] / iroas
    wider = checked(row(iroas=iroas, low=low / 10, high=high)).table.iloc[0]
    assert wider["log_sd"] > test["log_sd"]


# One definition


@given(
    st.lists(st.floats(0.05, 0.9), min_size=2, max_size=2),
    st.lists(st.floats(0.3, 4), min_size=2, max_size=2),
    st.lists(st.floats(0.6, 2), min_size=2, max_size=2),
    st.integers(0, 90),
    st.integers(1, 13),
    st.sampled_from([(1, 0.0), (1, 0.5), (1, 2.0), (1, 7.0), (0, 0.5), (0, 1.0)]),
)
@settings(max_examples=25, deadline=None)
def test_modelled_is_revenue_with_the_spend_less_revenue_without_it(carryover, half, slope, first, length, worlds):
    """A second way: numpy's adstock and Hill curve, in currency."""
    data, (shown, times) = frame(), worlds
    shapes = {"iroas": [3.0, 2.0], "carryover": carryover, "half_saturation": half, "slope": slope}
    placed = pd.DataFrame({"channel": ["search"], "first": [first], "last": [first + length - 1]})
    placed["compared"] = compared = times * data["search"].iloc[CARRIED:].iloc[first : first + length].sum()
    data.iloc[CARRIED + first : CARRIED + first + length, data.columns.get_loc("search")] *= shown
    post = one_draw(problem_with(data=data), **shapes)
    spend = data["search"].to_numpy()
    scale = transforms.mean_active(spend[CARRIED:])
    gone = spend.copy()
    own = gone[CARRIED + first : CARRIED + first + length]
    own[:] = own * compared / own.sum() if shown else compared / length
    curve, other = (
        transforms.saturate(transforms.adstock(each / scale, carryover[1]), half[1], slope[1])[CARRIED:]
        for each in (spend, gone)
    )
    ceiling = 2.0 * spend[CARRIED:].sum() / curve.sum()
    expected = ceiling * (curve - other).sum() / (spend - gone).sum()
    assert lift.modelled(post, placed)[0, 0] == pytest.approx(expected, rel=1e-3)


def test_a_test_of_the_whole_window_measures_the_channels_iroas():
    data = frame()
    data.loc[data["carry_in"], "search"] = 0.0
    shapes = {"iroas": [3.0, 2.0], "carryover": [0.5, 0.3], "half_saturation": [2.0, 1.0]}
    post = one_draw(problem_with(data=data), **shapes)
    placed = pd.DataFrame({"channel": ["search"], "first": [0], "last": [WEEKS - 1], "compared": [0.0]})
    assert lift.modelled(post, placed)[0, 0] == pytest.approx(2.0, rel=1e-4)


def test_the_fit_weighs_a_test_by_the_same_definition():
    """The log posterior with a test, less that without it, is the Gaussian of log modelled around log tested."""
    doubled = row(first_day="2025-03-03", last_day="2025-04-06", compared_spend_cents=120_000)
    found = checked(row(), row(channel="tv", iroas=1.0, low=0.5, high=2.5, compared_spend_cents=20_000), doubled)
    with_tests, plain = problem_with(found), problem_with()
    assert len(with_tests.lift_tests) == 3
    mean = plain.prior.mean + 0.3
    values = []
    for each in (with_tests, plain):
        values.append(density.log_posterior(mean, np.empty(len(mean)), *each.arrays()))
    quantities = mean[:8].reshape(4, 2)
    shapes = dict(zip(("iroas", "carryover", "half_saturation", "slope"), np.exp(quantities), strict=True))
    shapes["carryover"] = 1 / (1 + np.exp(-quantities[1]))
    gap = np.log(lift.modelled(one_draw(plain, **shapes), found.entered)[0] / found.entered["iroas"])
    assert values[0] - values[1] == pytest.approx(-0.5 * ((gap / found.entered["log_sd"]) ** 2).sum(), rel=1e-9)


def test_the_sample_companys_truth_is_that_of_the_model():
    place = parameters.workspace("sample-2026Q3", "retail-it")
    arrived = inputs(place, "2026Q3", platforms_including_vat={"social": 0.22})
    found = lift.checked(tables.read(place, ["lift_tests"])["lift_tests"], arrived.table, arrived.channels, "week")
    assert found.entered["channel"].tolist() == ["tv"]
    known = problem(arrived.table, arrived.channels, (), "week", 156)
    true = pd.read_csv(sample.ensure() / "truth" / "response.csv").query("unit == 'retail-it'").set_index("channel")
    true = true.loc[list(known.channels)]
    shapes = {name: true[name].to_numpy() for name in ("iroas", "carryover", "half_saturation")}
    stated = pd.read_csv(sample.ensure() / "truth" / "lift_tests.csv").query("unit == 'retail-it'").iloc[0]
    modelled = lift.modelled(one_draw(known, **shapes), found.entered)[0, 0]
    assert modelled == pytest.approx(stated["iroas"], rel=1e-4)
    assert found.entered["log_sd"].iloc[0] == pytest.approx(stated["log_sd"], abs=0.005)


# With the model


def test_a_test_pulls_the_model_and_narrows_it(without):
    found = checked(row(iroas=2.0, low=1.7, high=2.35))
    post = draft(problem_with(found), draws=400)
    before, after = np.log(without.iroas[:, 1]), np.log(post.iroas[:, 1])
    assert after.std() < 0.8 * before.std()
    modelled = np.log(lift.modelled(post, found.entered)[:, 0])
    assert abs(modelled.mean() - np.log(2.0)) < abs(
        np.log(lift.modelled(without, found.entered)[:, 0]).mean() - np.log(2.0)
    )


def test_a_test_of_the_margin_is_compared_at_the_margin(without):
    """Of a concave channel more spend brings less: the same figure may agree with one comparison and not another."""
    same = row(compared_spend_cents=round(SHOWN * 300), iroas=2.0, low=1.99, high=2.01)
    found = checked(same)
    both = pd.concat([found.entered, found.entered.assign(compared=0.0)], ignore_index=True)
    margin, average = np.log(lift.modelled(without, both)).mean(axis=0)
    assert margin < average
    compared = lift.conflicts(without, found)
    assert np.log(compared.table["without_test"].iloc[0]) == pytest.approx(margin, abs=0.05)
    assert compared.findings("en")[0].endswith("by which the two worlds of the test differ, not on all of it.")
    assert not lift.conflicts(without, checked(row())).findings("en")[0].endswith("not on all of it.")


def test_a_problem_refuses_spend_compared_with_itself():
    test = checked(row()).entered.assign(compared=SHOWN)
    with pytest.raises(Faults, match="search, periods 66 to 73: its spend is compared with the same spend"):
        problem(frame(), ["tv", "search"], (), "week", WEEKS, lift_tests=test)


def test_agreement_and_conflict_are_told_in_words(without):
    here = float(np.exp(np.log(lift.modelled(without, checked(row()).entered)).mean()))
    near = row(iroas=here, low=here * 0.8, high=here * 1.25)
    far = row(channel="tv", first_day="2025-03-03", last_day="2025-06-01", iroas=40.0, low=36.0, high=44.0)
    compared = lift.conflicts(without, checked(near, far))
    assert compared.table["verdict"].tolist() == ["agree", "conflict"]
    assert compared.table["apart"].iloc[0] == pytest.approx(0, abs=1e-9)
    modelled = np.log(lift.modelled(without, checked(far).entered)[:, 0])
    log_sd = np.log(44 / 36) / (2 * stats.norm.ppf(0.95))
    expected = (np.log(40) - modelled.mean()) / np.sqrt(log_sd**2 + modelled.var())
    assert compared.table["apart"].iloc[1] == pytest.approx(expected)
    said = compared.findings("en")
    assert said[0].startswith("Conflict on TV: the lift test from 3 Mar 2025 to 1 Jun 2025 measured 40.00 (36.00 to 44")
    assert "may be true of neither" in said[0] and said[1].endswith("The two do not contradict one another.")
    assert len(compared.findings("it")) == 2
    ax = compared.plot(language="en")
    names = [" ".join(label.get_text().split()) for label in ax.get_yticklabels()]
    assert names == [
        f"{name}, {kind}" for name in ("Search", "TV") for kind in ("measured", "modelled without the test")
    ]
    assert list(compared.shown) == [
        "channel", "first_day", "last_day", "tested", "tested_low", "tested_high",
        "without_test", "without_test_low", "without_test_high", "apart", "verdict",
    ]  # fmt: skip


@pytest.mark.parametrize(("away", "verdict"), [(1.98, "agree"), (2.02, "conflict"), (-2.02, "conflict")])
def test_two_combined_standard_deviations_are_a_conflict(away, verdict, without):
    logs = np.log(lift.modelled(without, checked(row()).entered)[:, 0])
    log_sd = np.log(2.6 / 1.5) / (2 * stats.norm.ppf(0.95))
    at = float(np.exp(logs.mean() + away * np.hypot(log_sd, logs.std())))
    test = row(iroas=at, low=at * np.sqrt(1.5 / 2.6), high=at * np.sqrt(2.6 / 1.5))
    found = lift.conflicts(without, checked(test)).table.iloc[0]
    assert found["apart"] == pytest.approx(abs(away))
    assert found["verdict"] == verdict


def test_a_test_that_found_nothing_conflicts_on_its_own_scale(without):
    """Two-sided tail probability by simulation: draws of the model plus the test's error, beside what was tested."""
    faint, sharp = row(iroas=0.1, low=-6.0, high=6.2), row(iroas=-0.3, low=-0.7, high=0.1)
    verdicts = [lift.conflicts(without, checked(each)) for each in (faint, sharp)]
    assert [each.table["verdict"].iloc[0] for each in verdicts] == ["agree", "conflict"]
    assert "no return that can be told from zero" in verdicts[0].findings("en")[0]
    assert verdicts[1].findings("en")[0].startswith("Conflict on search")
    found = checked(faint)
    draw, draws = np.random.default_rng(3), lift.modelled(without, found.table)[:, 0]
    seen = np.repeat(draws, 500) + draw.normal(0, found.table["sd"].iloc[0], 500 * len(draws))
    tail = min((seen > 0.1).mean(), (seen < 0.1).mean())
    assert verdicts[0].table["apart"].iloc[0] == pytest.approx(stats.norm.isf(tail), abs=0.02)


def test_a_posterior_that_saw_the_tests_is_refused(without):
    found = checked(row())
    with pytest.raises(ValueError, match="has seen the lift tests"):
        lift.conflicts(replace(without, problem=problem_with(found)), found)
