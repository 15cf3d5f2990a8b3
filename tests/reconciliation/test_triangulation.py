"""Triangulation: what is published of a channel, what is pooled with what, and that every view adds up."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kpitoolkit import parameters
from kpitoolkit.errors import Faults
from kpitoolkit.reconciliation.triangulation import pool, triangulate
from kpitoolkit.reconciliation.triangulation_wording import drawn
from kpitoolkit.text import LANGUAGES

REACH = stats.norm.ppf(0.95)
WEEKS = pd.date_range("2026-07-05", "2026-09-27", freq="7D")
CLAIMED_CENTS, SPEND_CENTS = 41_000, 10_000


def spec(tests=(), **other):
    values = {"frequency": "week", "first": "2025-07-06", "last": "2026-09-27", "lift_tests": json.dumps(list(tests))}
    values |= other
    kept = {key: value for key, value in values.items() if value is not None}
    return pd.DataFrame({"key": list(kept), "value": list(kept.values())})


def a_model(iroas=1.20, log_sd=0.25, verdict="insufficient_data", reason="holds_break_even"):
    bounds = [iroas * np.exp(side * REACH * log_sd) for side in (-1, 1)]
    row = {"iroas": iroas, "low": bounds[0], "high": bounds[1], "verdict": verdict, "verdict_reason": reason}
    total = {"channel": "total_media"} | row
    return pd.DataFrame([total, {"channel": "search"} | row])


def a_test(iroas=0.85, low=0.6, high=1.2, first="2026-03-02", last="2026-04-12", **other):
    row = {"unit": "u", "channel": "search", "first_day": pd.Timestamp(first), "last_day": pd.Timestamp(last)}
    return pd.DataFrame([row | {"iroas": iroas, "low": low, "high": high} | other])


def entered(**other):
    return {"channel": "search", "first": "2026-03-08", "last": "2026-04-12", "iroas": 0.85, "log_sd": 0.2} | other


def the_bridges():
    claims = pd.DataFrame({"platform": ["search"] * 2, "value_cents": [40_000, 500], "currency_cents": [0, 500]})
    platforms = pd.DataFrame(
        {
            "platform": ["search"],
            "spend_cents": pd.array([12_200], "Int64"),
            "currency_cents": pd.array([0], "Int64"),
            "vat_cents": pd.array([-2_200], "Int64"),
            "invoiced_cents": pd.array([10_100], "Int64"),
            "billing_difference_cents": pd.array([100], "Int64"),
        }
    )
    steps = {"agency_fees": 900, "rebates": -200, "invoice_timing": 50, "accruals": -50, "unexplained": 0}
    amounts = steps | {"booked_cost": 10_800}
    spent = SimpleNamespace(quarter="2026Q3", currency="EUR", platforms=platforms, amount=amounts.get)
    return SimpleNamespace(rows=claims), spent


def books(weekly_cents=100_000):
    ledger = pd.DataFrame({"date": WEEKS, "account": "4000", "amount_cents": weekly_cents, "period": "2026Q3"})
    measures = pd.DataFrame({"measure": ["gross_orders"], "quarter": ["2026Q3"], "value": [50_000.0]})
    return ledger, measures


def the_saved(**other):
    credit = pd.DataFrame(
        {"channel": ["search", "email", "unattributed"], "model": "markov", "value": [250.004, 150.003, 99.993]}
    )
    cost = pd.DataFrame(
        {
            "channel": ["search", "email"],
            "spend_cents": pd.array([SPEND_CENTS, None], "Int64"),
            "value_cents": pd.array([25_000, 15_000], "Int64"),
            "attributed_roas": [2.5, np.nan],
            "roas_low": [2.0, np.nan],
            "roas_high": [3.0, np.nan],
            "claimed_value_cents": pd.array([CLAIMED_CENTS, None], "Int64"),
        }
    )
    parts = pd.concat(
        pd.DataFrame({"period_end": WEEKS, "component": name, "contribution": amount})
        for name, amount in {"search": 300.5, "baseline": 690.25, "residual": 9.25}.items()
    )
    found = {"credit": credit, "cost": cost, "contributions": parts, "iroas": a_model(), "specification": spec()}
    found |= other
    return {name: frame for name, frame in found.items() if frame is not None}


def of(tests=None, margin=0.5, bias=0.0, ledger=None, **saved):
    claimed, spent = the_bridges()
    books_, measures = books()
    given = books_ if ledger is None else ledger
    return triangulate(the_saved(**saved), tests, claimed, spent, measures, given, parameters.ACCOUNTS, margin, bias)


def test_two_estimates_pooled_by_hand_on_the_plain_scale():
    found = pool([1.20, 0.85], [0.30, 0.20])
    assert found.estimate == pytest.approx(0.9577, abs=5e-5) and found.error == pytest.approx(0.1664, abs=5e-5)
    assert found.q == pytest.approx(0.9423, abs=5e-5) and found.df == 1
    assert found.p_value == pytest.approx(stats.chi2.sf(0.9423, 1), abs=1e-4)
    assert found.estimate / 4.10 == pytest.approx(0.2336, abs=5e-5)
    with pytest.raises(ValueError):
        pool([1.0, 2.0], [0.1, 0.0])


def test_a_model_that_contains_the_experiment_is_published_as_it_is():
    found = of(a_test(), specification=spec([entered()]), iroas=a_model(verdict="above_break_even", reason=""))
    row = found.table.set_index("channel").loc["search"]
    assert row["source"] == "model_with_experiment" and found.tests["use"].tolist() == ["in_model"]
    assert row["iroas"] == 1.20 and row["verdict"] == "above_break_even" and np.isnan(row["q"])
    assert row["claimed_roas"] == pytest.approx(4.10) and row["calibration"] == pytest.approx(1.20 / 4.10)
    assert row["tested_iroas"] == 0.85


def test_otherwise_both_are_pooled_on_the_log_scale():
    tested, model_sd, bias = a_test(), 0.25, 0.30
    found = of(tested, bias=bias, iroas=a_model(log_sd=model_sd))
    row = found.table.set_index("channel").loc["search"]
    errors = np.array([np.hypot(model_sd, bias), np.log(1.2 / 0.6) / (2 * REACH)])
    logs, weights = np.log([1.20, 0.85]), 1 / errors**2
    mean, error = (weights @ logs) / weights.sum(), weights.sum() ** -0.5
    assert row["source"] == "model_and_experiment" and found.tests["use"].tolist() == ["pooled"]
    assert row["iroas"] == pytest.approx(np.exp(mean))
    assert [row["low"], row["high"]] == pytest.approx(np.exp([mean - REACH * error, mean + REACH * error]))
    assert row["q"] == pytest.approx((logs[0] - logs[1]) ** 2 / (errors**2).sum())
    below = stats.norm.cdf((mean - np.log(2.0)) / error)
    assert below < 0.1 and row["verdict"] == "below_break_even"


def test_the_declared_bias_moves_the_pool_towards_the_experiment():
    figures = [of(a_test(), bias=bias).table["iroas"].iloc[0] for bias in (0.0, 0.3, 3.0)]
    assert 1.20 > figures[0] > figures[1] > figures[2] > 0.85
    assert figures[2] == pytest.approx(0.85, rel=0.01)


@pytest.mark.parametrize(
    ("tests", "specification", "use"),
    [
        (a_test(low=-0.1), spec(), "holds_zero"),
        (a_test(first="2024-03-04", last="2024-04-14"), spec(), "outside_window"),
        (a_test(first="2026-09-07", last="2026-10-18"), spec(), "outside_window"),
        (a_test(), spec(lift_tests=None), "not_known"),
    ],
)
def test_what_is_compared_and_not_pooled(tests, specification, use):
    found = of(tests, specification=specification)
    row = found.table.iloc[0]
    assert found.tests["use"].tolist() == [use] and row["source"] == "model_alone" and row["iroas"] == 1.20
    assert np.isnan(found.tests["distance"].iloc[0]) == (use == "not_known")
    assert row["verdict"] == "insufficient_data" and row["verdict_reason"] == "holds_break_even"


def test_another_result_than_the_one_in_the_model_is_pooled():
    found = of(a_test(iroas=0.9), specification=spec([entered()]))
    assert found.tests["use"].tolist() == ["pooled"]


@pytest.mark.parametrize("reason", ["data_faint", "data_silent", "not_converged", "too_few_periods"])
def test_insufficient_data_carry_over_and_are_never_pooled(reason):
    alone = of(None, iroas=a_model(reason=reason))
    row = alone.table.iloc[0]
    assert (row["verdict"], row["verdict_reason"]) == ("insufficient_data", reason) and alone.evidence == reason
    assert any("weak" in sentence for sentence in alone.findings("en"))
    tested = of(a_test(), iroas=a_model(reason=reason)).table.iloc[0]
    assert tested["source"] == "experiment_alone" and tested["iroas"] == pytest.approx(0.85)
    assert tested["verdict"] == "below_break_even"


def test_an_experiment_without_a_regression_stands_alone():
    found = of(a_test(level=0.95), specification=None, iroas=None, contributions=None)
    row = found.table.iloc[0]
    assert row["source"] == "experiment_alone" and np.isnan(row["modelled_iroas"])
    assert row["log_sd"] == pytest.approx(np.log(2) / (2 * stats.norm.ppf(0.975)))


def test_without_return_nothing_is_published():
    found = of(None, specification=None, iroas=None, contributions=None)
    assert found.table["source"].tolist() == ["no_return"] and found.table["iroas"].isna().all()
    assert found.findings("en")[0].startswith("Not examined")


def test_a_channel_that_could_not_be_modelled_has_no_return_and_nothing_is_drawn_of_it():
    nothing = a_model(reason="too_few_periods").assign(iroas=None, low=None, high=None)  # as it is read back
    rest = the_saved()["contributions"].assign(component="residual")
    found = of(None, specification=None, iroas=nothing, contributions=rest)
    row = found.table.iloc[0]
    assert (row["source"], row["verdict_reason"]) == ("no_return", "too_few_periods") and not found.has_returns
    assert found.findings("en")[0].startswith("Not examined")
    assert found.sums.set_index("channel")["modelled_cents"].isna().all()
    tested = of(a_test(), specification=None, iroas=nothing, contributions=rest)
    assert tested.table["source"].tolist() == ["experiment_alone"] and tested.has_returns


def test_every_view_adds_up_to_the_cent():
    found = of(a_test())
    sums = found.sums.set_index("channel")
    assert sums.loc["total", "attributed_cents"] == 50_000 == sums["attributed_cents"].drop("total").sum()
    assert sums.loc["total", "modelled_cents"] == 13 * 100_000
    assert sums.loc["total", "ledger_cents"] == 10_800 and sums.loc["unallocated", "ledger_cents"] == 700
    assert sums.loc["total", "claimed_cents"] == CLAIMED_CENTS
    assert len(found.checks) == 5 and found.checks["passed"].all()
    assert any("5 sums" in sentence for sentence in found.findings("en"))


def test_a_view_that_does_not_add_up_is_said():
    saved = the_saved()
    short = saved["credit"].assign(value=[250.0, 150.0, 99.0])
    ledger = books(100_001)[0]
    found = of(a_test(), credit=short, ledger=ledger)
    failed = found.checks[~found.checks["passed"].astype(bool)].set_index("check")["value_cents"].to_dict()
    assert failed == {"attributed_and_unattributed": -100, "modelled_baseline_and_residual": -13}
    assert sum("does not hold" in sentence for sentence in found.findings("en")) == 2


def test_a_return_without_a_claim_is_told_with_its_verdict():
    claimed, spent = the_bridges()
    claimed.rows, (ledger, measures) = claimed.rows.iloc[:0], books()
    found = triangulate(the_saved(), None, claimed, spent, measures, ledger, parameters.ACCOUNTS, 0.5)
    said = found.findings("en")
    assert "without a claim beside it" in said[0] and "2.00" in said[0]
    assert not any("whole window" in sentence for sentence in said), "no factor, nothing to explain"


def test_a_return_beside_claims_of_nothing_is_told_too():
    claimed, spent = the_bridges()
    claimed.rows, (ledger, measures) = claimed.rows.assign(value_cents=0, currency_cents=0), books()
    found = triangulate(the_saved(), None, claimed, spent, measures, ledger, parameters.ACCOUNTS, 0.5)
    assert found.table["claimed_roas"].max() == 0
    assert "without a claim beside it" in found.findings("en")[0]


def test_a_disagreement_is_said():
    found = of(a_test(0.2, 0.15, 0.27))
    assert found.table["q_p_value"].iloc[0] < 0.01
    assert any("disagree" in sentence for sentence in found.findings("en"))


def test_the_own_data_are_the_posterior_without_the_prior():
    """Gaussian data and prior multiplied by hand are taken apart again."""
    draw = np.random.default_rng(3)
    root = draw.normal(size=(3, 3))
    data, prior = root @ root.T / 9 + 0.05 * np.eye(3), 1.44 + 0.49 * np.eye(3)
    seen, believed = np.array([0.2, 0.9, 1.4]), np.full(3, 0.7)
    spread = np.linalg.inv(np.linalg.inv(data) + np.linalg.inv(prior))
    mean = spread @ (np.linalg.solve(data, seen) + np.linalg.solve(prior, believed))
    names, rows = ["search", "social", "tv"], []
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            on = {"mean": mean[i], "prior_mean": believed[i], "r_hat": 1.0} if i == j else {}
            sd = {"sd": np.sqrt(spread[i, i]), "prior_sd": np.sqrt(prior[i, i])} if i == j else {}
            pair = {"covariance": spread[i, j], "prior_covariance": prior[i, j]}
            rows.append({"channel": one, "other": other} | pair | on | sd)
    found = of(None, posterior=pd.DataFrame(rows)).table.iloc[0]
    assert found["own_log_iroas"] == pytest.approx(0.2) and found["own_log_sd"] == pytest.approx(np.sqrt(data[0, 0]))
    held = of(a_test(), specification=spec([entered()]), posterior=pd.DataFrame(rows), bias=0.3).table.iloc[0]
    assert held["own_log_sd"] == pytest.approx(found["own_log_sd"])
    unsure = of(None, posterior=pd.DataFrame(rows), bias=0.3).table.iloc[0]
    assert unsure["own_log_sd"] == pytest.approx(np.hypot(found["own_log_sd"], 0.3))
    less = pd.DataFrame(rows).assign(prior_sd=found["own_log_sd"] * 0.99)
    assert np.isnan(of(None, posterior=less).table["own_log_sd"].iloc[0]), "the data say less than the prior did"
    apart = pd.DataFrame(rows).assign(r_hat=1.2)
    assert np.isnan(of(None, posterior=apart).table["own_log_sd"].iloc[0])


def test_bad_input_is_said_all_at_once():
    with pytest.raises(Faults) as raised:
        of(a_test(iroas=2.0, level=1.2), margin=1.5, bias=-1.0)
    assert len(raised.value.faults) == 4


def test_what_experiments_alone_publish_is_drawn_with_its_verdict():
    nothing = {"specification": None, "iroas": None, "contributions": None}
    one = of(a_test(), **nothing)
    rows, _words = drawn(one, "en")
    assert rows["name"].tolist() == ["search, experiment alone"] and rows["tone"].tolist() == ["worse"]
    assert rows["value"].iloc[0] == pytest.approx(0.85)
    two = of(pd.concat([a_test(), a_test(2.0, 1.5, 2.6, "2026-05-04", "2026-06-14")]), **nothing)
    rows, _words = drawn(two, "en")
    assert rows["name"].tolist() == ["search, measured by the test", "search, experiment alone"]
    assert rows["value"].tolist() == [2.0, two.table["iroas"].iloc[0]] and 0.85 < two.table["iroas"].iloc[0] < 2.0


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_told_and_drawn_in_both_languages(language):
    for found in (of(a_test()), of(a_test(low=-0.1)), of(a_test(), specification=spec([entered()])), of(None)):
        assert all("{" not in sentence for sentence in found.findings(language))
        rows = found.plot(language=language).get_yticklabels()
        assert len(rows) == 1 + len(found.tests) + (found.table["source"] == "model_and_experiment").sum()


def test_a_return_too_near_break_even_is_named_so_on_the_page():
    found = of(None, iroas=a_model(reason="holds_break_even"))
    assert found.table["verdict"].iloc[0] == "insufficient_data"
    assert found.shown()["verdict"].iloc[0] == "holds_break_even"


def test_without_a_margin_every_channel_loses_on_every_sale(margin=-0.447):
    """The model alone, the model pooled with an experiment, an experiment alone, and neither."""
    alone = {"specification": None, "iroas": None, "contributions": None}
    loses = a_model(verdict="loses_on_every_sale", reason="")
    for found in (of(margin=margin, iroas=loses), of(a_test(), margin=margin), of(a_test(), margin=margin, **alone)):
        assert found.break_even is None and found.table["break_even"].isna().all()
        assert set(found.shown()["verdict"]) == {"loses_on_every_sale"}
        assert np.isfinite(found.table["iroas"].iloc[0])
        assert not any("reak-even" in word.get_text() for word in found.plot().texts)
        for language, stated in (("en", "Each sale loses: no return pays."), ("it", "Ogni vendita perde")):
            assert any(stated in sentence for sentence in found.findings(language))
    assert of(a_test(), margin=margin, iroas=loses).table["source"].iloc[0] == "model_and_experiment"
    assert set(of(margin=margin, **alone).table["source"]) == {"no_return"}
    assert of(margin=0.0).break_even is None
