"""The bridge from last quarter's iROAS: adding up, steps without a cause, order of steps, bad input."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import kpitoolkit
from kpitoolkit.errors import Faults
from kpitoolkit.regression.posterior import Posterior, point
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import LIFT_TESTS, problem
from kpitoolkit.regression.refresh import (
    STEPS,
    TOTAL,
    fingerprint,
    read_specification,
    refresh,
    simulation_error,
    specification,
)

WEEKS, QUARTER = 60, 13
ENDS = pd.date_range("2025-01-05", periods=12 + WEEKS, freq="7D", name="week_end")


def a_frame(seed=0):
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"revenue": draw.uniform(90, 110, len(ENDS))}, index=ENDS)
    for name in ("search", "tv"):
        frame[name] = draw.uniform(1, 3, len(ENDS))
    return frame.assign(price_index=draw.normal(size=len(ENDS)), carry_in=np.arange(len(ENDS)) < 12)


class Estimator:
    """Stands in for `fit`: iROAS are a known function of what it is given; remembers each call."""

    def __init__(self):
        self.calls = []

    def __call__(self, inputs, channels, controls=(), frequency="week", contribution_margin_share=0.4, **said):
        self.calls.append(said | {"last": inputs.index[-1], "channels": channels, "controls": controls})
        frame = inputs[~inputs["carry_in"]]
        given = problem(
            inputs, channels, controls, frequency, len(frame), priors=said["priors"], adstock=said["adstock"],
            saturation=said["saturation"], lift_tests=said["lift_tests"],
        )  # fmt: skip
        centre = np.log(frame["revenue"].mean() / 50) + (said["adstock"] == "delayed") * 0.2 + len(controls) * 0.1
        centre += said["priors"].own_log_sd - 0.7 + 0.001 * len(frame)
        draw = np.random.default_rng(said["seed"])
        iroas = np.exp(centre + 0.1 * draw.standard_normal((2000, len(channels))))
        flat, none = np.ones_like(iroas), np.ones(len(channels))
        post = Posterior(
            given, "published", iroas, flat, flat, flat, 0 * flat, np.zeros((2000, given.baseline.shape[1])),
            np.zeros(2000), np.ones(2000), none, 500 * none, 0, 0, none,
        )  # fmt: skip
        table = pd.DataFrame({"channel": [TOTAL, *channels], "iroas": [point(post.total), *point(post.iroas)]})
        return SimpleNamespace(
            posterior=post, table=table, frequency=frequency, contribution_margin_share=contribution_margin_share,
            currency="EUR",
        )  # fmt: skip


def estimated(frame, weeks, *, priors=None, adstock="geometric", controls=("price_index",), seed=0, channels=None):
    rows = frame.iloc[: 12 + weeks]
    said = {"priors": priors or Priors(), "adstock": adstock, "saturation": "hill", "lift_tests": None, "seed": seed}
    return Estimator()(rows, channels or ["search", "tv"], list(controls), **said)


def last_quarter(frame=None, **said):
    found = estimated(a_frame() if frame is None else frame, WEEKS - QUARTER, **said)
    return {"published": found.table, "specified": specification(found.posterior, said.get("seed", 0))}


def amounts(found, channel=TOTAL):
    rows = found.table[found.table["channel"] == channel].set_index("step")
    return rows["amount"]


def test_each_cause_has_its_step_and_the_bridge_adds_up():
    frame = a_frame()
    restated = frame.assign(revenue=frame["revenue"] * 1.1)
    current = estimated(restated, WEEKS, priors=Priors(own_log_sd=1.0), adstock="delayed")
    fit = Estimator()
    found = refresh(current, restated, **last_quarter(frame), fit=fit)
    for channel in (TOTAL, "search", "tv"):
        by = amounts(found, channel)
        assert list(by.index) == ["previous_iroas", *STEPS, "current_iroas"]
        assert by.iloc[:-1].sum() == pytest.approx(by.iloc[-1], abs=1e-12)
        assert by["current_iroas"] == current.table.set_index("channel").loc[channel, "iroas"]
        before = by["previous_iroas"]
        for step, factor in zip(STEPS[:3], (1.1, np.exp(0.2), np.exp(0.3)), strict=True):
            assert by[step] == pytest.approx(before * (factor - 1)), step
            before += by[step]
    assert found.estimated == len(fit.calls) == 3
    assert [call["adstock"] for call in fit.calls] == ["geometric", "delayed", "delayed"]
    assert [call["priors"].own_log_sd for call in fit.calls] == [0.7, 0.7, 1.0]
    assert {call["last"] for call in fit.calls} == {ENDS[-1 - QUARTER]} and {c["periods"] for c in fit.calls} == {47}


def test_what_did_not_change_costs_nothing_and_is_exactly_zero():
    frame = a_frame()
    fit = Estimator()
    found = refresh(estimated(frame, WEEKS), frame, **last_quarter(frame), fit=fit)
    rows = found.table[found.table["step"].isin(STEPS[:3])]
    assert (rows["amount"] == 0).all() and (rows["simulation_error"] == 0).all() and not fit.calls
    assert not rows["within_simulation_error"].any()
    assert any("exactly zero" in sentence for sentence in found.findings("en"))


@pytest.mark.parametrize(
    ("changed", "steps", "count"),
    [
        ({"priors": Priors(own_log_sd=1.0)}, {"changed_prior"}, 1),
        ({"adstock": "delayed"}, {"changed_specification"}, 1),
        ({"controls": ()}, {"changed_specification"}, 1),
    ],
)
def test_only_the_step_with_a_cause_moves(changed, steps, count):
    frame = a_frame()
    found = refresh(estimated(frame, WEEKS, **changed), frame, **last_quarter(frame), fit=Estimator())
    by = amounts(found)
    assert {step for step in STEPS[:3] if by[step] != 0} == steps and found.estimated == count


def test_a_change_of_an_old_row_is_restated_and_of_a_new_row_is_not():
    frame = a_frame()
    old, new = frame.copy(), frame.copy()
    old.iloc[30, 0] += 5
    new.iloc[-2, 0] += 5
    last = last_quarter(frame)
    assert amounts(refresh(estimated(old, WEEKS), old, **last, fit=Estimator()))["restated_data"] > 0
    assert amounts(refresh(estimated(new, WEEKS), new, **last, fit=Estimator()))["restated_data"] == 0


def test_estimating_again_takes_last_quarters_seed():
    """The same data, specification, prior and seed would give the same digits: no estimation and zero are one."""
    frame = a_frame()
    last = last_quarter(frame, seed=7)
    last["specified"].loc[last["specified"]["key"] == "version", "value"] = "0.0.1"
    fit = Estimator()
    found = refresh(estimated(frame, WEEKS, seed=3), frame, **last, fit=fit)
    assert [call["seed"] for call in fit.calls] == [7] and amounts(found)["restated_data"] == 0
    assert any("0.0.1" in sentence for sentence in found.findings("en"))


def test_without_anything_published_last_quarter_is_estimated_today():
    frame = a_frame()
    fit = Estimator()
    found = refresh(estimated(frame, WEEKS), frame, fit=fit)
    kinds = found.table[found.table["channel"] == TOTAL].set_index("step")["kind"]
    by = amounts(found)
    assert kinds["restated_data"] == "not_examined" and found.estimated == 1
    assert by["changed_specification"] == by["changed_prior"] == 0
    assert by["previous_iroas"] == estimated(frame, WEEKS - QUARTER).table["iroas"].iloc[0]
    assert by.iloc[:-1].sum() == pytest.approx(by.iloc[-1]) and fit.calls[0]["last"] == ENDS[-1 - QUARTER]


def test_a_previous_case_without_the_unit_is_named():
    frame = a_frame()
    said = "The previous case 2026Q2 has no published regression of this unit"
    found = refresh(estimated(frame, WEEKS), frame, previous_case="2026Q2", fit=Estimator())
    assert sum(sentence.startswith(f"{said}: ") for sentence in found.findings("en")) == 1
    assert not any("Nothing was published" in sentence for sentence in found.findings("en"))
    there = refresh(estimated(frame, WEEKS), frame, **last_quarter(frame), previous_case="2026Q2", fit=Estimator())
    assert not any("previous case" in sentence for sentence in there.findings("en"))
    nothing = SimpleNamespace(posterior=None)
    assert refresh(nothing, frame, previous_case="2026Q2").findings("en")[1:] == [f"{said}."]
    assert len(refresh(nothing, frame).findings("en")) == 1


def test_without_anything_published_last_quarters_window_is_as_long_as_this_ones():
    frame = a_frame()
    today = frame.assign(carry_in=np.arange(len(ENDS)) < 12 + QUARTER)
    fit = Estimator()
    refresh(estimated(today, WEEKS), frame.assign(carry_in=False), fit=fit)
    assert fit.calls[0]["periods"] == WEEKS - QUARTER


@pytest.mark.parametrize("why", ["not saved", "other frequency"])
def test_without_a_specification_the_rest_is_unexplained(why):
    frame = a_frame()
    last = last_quarter(frame)
    if why == "not saved":
        last["specified"] = None
    else:
        last["specified"].loc[last["specified"]["key"] == "frequency", "value"] = "quarter"
    last["published"] = last["published"].assign(iroas=2.5)
    found = refresh(estimated(frame, WEEKS), frame, **last, fit=Estimator())
    rows = found.table[found.table["channel"] == TOTAL].set_index("step")
    assert rows.loc["unexplained", "kind"] == "unexplained"
    assert (rows.loc[list(STEPS[:3]), "kind"] == "not_examined").all()
    assert rows["amount"].iloc[:-1].sum() == pytest.approx(rows["amount"].iloc[-1])


def test_channels_without_a_figure_in_both_quarters_are_named():
    frame = a_frame()
    frame["mail"] = np.where(np.arange(len(ENDS)) >= len(ENDS) - 5, 2.0, 0.0)
    found = refresh(estimated(frame, WEEKS, channels=["search", "mail"]), frame, **last_quarter(frame), fit=Estimator())
    assert set(found.left_out) == {"mail", "tv"}
    assert any("tv" in sentence.lower() and "without a bridge" in sentence for sentence in found.findings("en"))


def test_a_channel_that_was_not_yet_bought_is_new_data_not_another_specification():
    frame = a_frame()
    frame["mail"] = np.where(np.arange(len(ENDS)) >= len(ENDS) - 5, 2.0, 0.0)
    fit = Estimator()
    current = estimated(frame, WEEKS, channels=["search", "tv", "mail"])
    assert amounts(refresh(current, frame, **last_quarter(frame), fit=fit))["changed_specification"] == 0
    assert not fit.calls


def test_simulation_error_is_that_of_a_mean_of_so_many_draws():
    """Second way: half the 90% interval of the means of many independent sets of draws."""
    post = estimated(a_frame(), WEEKS).posterior
    draw = np.random.default_rng(1)
    sets = np.exp(np.log(post.iroas[:, 0]).mean() + 0.1 * draw.standard_normal((4000, 500))).mean(axis=1)
    low, high = np.quantile(sets, [0.05, 0.95])
    assert simulation_error(post)["search"] == pytest.approx((high - low) / 2, rel=0.05)
    draft = replace(post, ess=np.full(2, np.nan))
    assert simulation_error(draft)["search"] == pytest.approx(simulation_error(post)["search"] / 2, rel=1e-6)


def test_a_step_within_simulation_error_is_said_to_be():
    frame = a_frame()
    restated = frame.assign(revenue=frame["revenue"] * 1.0005)
    found = refresh(estimated(restated, WEEKS), restated, **last_quarter(frame), fit=Estimator())
    rows = found.table[found.table["step"] == "restated_data"]
    assert rows["within_simulation_error"].all() and (rows["amount"] != 0).all()
    reach = stats.norm.ppf(0.95)
    expected = np.sqrt(2) * reach * 0.1 * amounts(found, "tv")["previous_iroas"] / np.sqrt(500)
    assert rows.set_index("channel").loc["tv", "simulation_error"] == pytest.approx(expected, rel=0.05)
    assert any("Within simulation error" in sentence for sentence in found.findings("en"))
    large = frame.assign(revenue=frame["revenue"] * 1.5)
    found = refresh(estimated(large, WEEKS), large, **last_quarter(frame), fit=Estimator())
    assert not found.table.loc[found.table["step"] == "restated_data", "within_simulation_error"].any()


def test_a_specification_comes_back_as_it_was():
    priors = Priors(own_log_sd=0.9, channels={"tv": {"iroas": 2.0, "carryover": 0.6}})
    found = estimated(a_frame(), WEEKS, priors=priors, adstock="delayed", seed=4)
    table = specification(found.posterior, 4)
    assert list(table.columns) == ["key", "value"] and table["value"].map(type).eq(str).all()
    read = read_specification(table)
    assert read.priors == priors and (read.adstock, read.seed) == ("delayed", 4)
    assert read.version == kpitoolkit.__version__ and read.channels == ("search", "tv")
    assert (read.first, read.last) == (ENDS[12], ENDS[-1]) and read.controls == ("price_index",)
    assert read.simulation_error == simulation_error(found.posterior)


def test_a_specification_names_the_lift_tests_that_the_figures_contain():
    found = estimated(a_frame(), WEEKS)
    said = specification(found.posterior, 0).set_index("key")["value"]
    assert json.loads(said["lift_tests"]) == []
    tests = pd.DataFrame([("tv", 3, 5, 0.0, 2.5, 0.2)], columns=LIFT_TESTS)
    problem = replace(found.posterior.problem, lift_tests=tests)
    said = specification(replace(found.posterior, problem=problem), 0).set_index("key")["value"]
    first, last = (problem.period_end[at].date().isoformat() for at in (3, 5))
    assert json.loads(said["lift_tests"]) == [
        {"channel": "tv", "first": first, "last": last, "iroas": 2.5, "log_sd": 0.2}
    ]


def test_the_window_of_last_quarter_is_cut_where_todays_tables_begin():
    frame = a_frame()
    late = frame.iloc[20:].assign(carry_in=False)
    fit = Estimator()
    found = refresh(estimated(frame, WEEKS), late, **last_quarter(frame), fit=fit)
    assert fit.calls[0]["periods"] == WEEKS - QUARTER - 8
    assert any("tables begin on 25 May 2025" in sentence for sentence in found.findings("en"))


def test_nothing_to_bridge_where_nothing_was_estimated():
    frame = a_frame()
    nothing = SimpleNamespace(posterior=None, table=pd.DataFrame({"channel": [TOTAL], "iroas": [np.nan]}))
    found = refresh(nothing, frame, **last_quarter(frame), fit=Estimator())
    assert not len(found.table) and found.findings("en")[0].startswith("No return")
    short = estimated(frame, QUARTER - 2)
    assert not len(refresh(short, frame, fit=Estimator()).table)


@pytest.mark.parametrize("language", ["en", "it"])
def test_sentences_and_plot(language):
    frame = a_frame()
    found = refresh(estimated(frame, WEEKS, adstock="delayed"), frame, **last_quarter(frame), fit=Estimator())
    said = found.findings(language)
    assert len(said) >= 3 and all("{" not in sentence for sentence in said)
    assert len(found.plot(language=language).patches) == 6
    assert len(found.plot(language=language, channel="tv").patches) == 6
    with pytest.raises(Faults, match="radio"):
        found.plot(channel="radio")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table[table["key"] != "first"], "no row 'first'"),
        (lambda table: table.rename(columns={"key": "name"}), "no row 'adstock'"),
        (lambda table: table.assign(value=table["value"].where(table["key"] != "priors", "{")), "cannot be read"),
        (lambda table: table.assign(value=table["value"].where(table["key"] != "last", "soon")), "cannot be read"),
        (
            lambda table: table.assign(value=table["value"].where(table["key"] != "priors", '{"own_sd": 1}')),
            "cannot be read",
        ),
    ],
)
def test_a_damaged_specification_is_refused(change, said):
    last = last_quarter()
    with pytest.raises(Faults, match=said):
        read_specification(change(last["specified"]))


def test_fingerprints_follow_the_numbers():
    given = estimated(a_frame(), WEEKS).posterior.problem
    same = estimated(a_frame(), WEEKS).posterior.problem
    assert fingerprint(given) == fingerprint(same)
    for other in (replace(given, scale=given.scale * 1.01), replace(given, spend=given.spend + 1e-6)):
        assert fingerprint(other) != fingerprint(given)


def test_the_totals_simulation_error_is_by_the_channel_that_was_drawn_worst():
    post = estimated(a_frame(), WEEKS).posterior
    found = simulation_error(replace(post, ess=np.array([400.0, 100.0])))
    assert found[TOTAL] == pytest.approx(1.6448536 * post.total.std() / 10)
    assert found["search"] == pytest.approx(1.6448536 * post.iroas[:, 0].std() / 20)
