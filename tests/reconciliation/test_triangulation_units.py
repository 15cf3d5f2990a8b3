"""Meta-analysis across units: by hand, against the formulas written out, its coverage, bad and missing input."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from kpitoolkit.reconciliation.triangulation_units import across_units, mean_over_units
from kpitoolkit.text import LANGUAGES

COLUMNS = ["channel", "own_log_iroas", "own_log_sd", "source"]


def a_unit(**channels):
    rows = [(name, mean, sd, "model_alone") for name, (mean, sd) in channels.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_alike_units_are_pooled_by_inverse_variance():
    found, weights = mean_over_units([1.20, 0.85], [0.30, 0.20])
    assert found["tau"] == 0 and found["q"] == pytest.approx(0.9423, abs=5e-5)
    assert found["log_iroas"] == pytest.approx(0.9577, abs=5e-5) and weights == pytest.approx([4 / 13, 9 / 13])


def test_units_that_differ_follow_paule_and_mandel_and_hartung_and_knapp():
    """Second way: the equation for tau solved by root finding, the interval written out."""
    logs, errors = np.array([0.1, 0.9, 1.6, 0.4]), np.array([0.15, 0.2, 0.3, 0.1])

    def apart(tau2):
        weights = 1 / (errors**2 + tau2)
        return weights @ (logs - weights @ logs / weights.sum()) ** 2 - (len(logs) - 1)

    tau2 = optimize.brentq(apart, 0, 10)
    weights = 1 / (errors**2 + tau2)
    mean = weights @ logs / weights.sum()
    knapp = np.sqrt(weights @ (logs - mean) ** 2 / (weights.sum() * (len(logs) - 1)))
    found, share = mean_over_units(logs, errors)
    assert found["tau"] == pytest.approx(np.sqrt(tau2), rel=1e-4)
    assert found["log_iroas"] == pytest.approx(mean, rel=1e-4) and share.sum() == pytest.approx(1)
    reach = stats.t.ppf(0.95, 3) * knapp
    assert np.log([found["low"], found["high"]]) == pytest.approx([mean - reach, mean + reach], rel=1e-3)
    assert found["q_p_value"] < 0.01


def test_by_luck_alike_units_keep_an_interval_at_least_as_wide_as_the_normal_one():
    found, _weights = mean_over_units([0.5, 0.5001], [0.2, 0.2])
    assert np.log(found["high"]) - found["log_iroas"] == pytest.approx(stats.norm.ppf(0.95) * 0.2 / np.sqrt(2))


@pytest.mark.parametrize("units", [2, 3, 4])
@pytest.mark.parametrize("tau", [0.0, 0.2, 0.5])
def test_nine_in_ten_intervals_hold_the_mean(units, tau):
    draw, runs, held, usual = np.random.default_rng(units), 400, 0, 0
    for _run in range(runs):
        errors = draw.uniform(0.15, 0.6, units)
        found, _weights = mean_over_units(draw.normal(0, np.hypot(errors, tau)), errors)
        held += found["low"] <= 1 <= found["high"]
        usual += abs(found["log_iroas"]) <= stats.norm.ppf(0.95) * found["log_sd"]
    assert held / runs > 0.86, "three standard errors of 400 runs under 90%"
    if tau == 0.5:
        assert usual / runs < 0.86, "the normal interval covers too seldom: the test can fail"


def test_a_channel_in_one_unit_stands_as_it_is_and_silent_ones_are_named():
    silent = a_unit(tv=(np.nan, np.nan))
    found = across_units(
        {"a": a_unit(search=(0.5, 0.2), social=(0.3, 0.1)), "b": a_unit(search=(0.7, 0.2)), "c": silent}
    )
    table = found.table.set_index("channel")
    assert table["status"].to_dict() == {"search": "pooled", "social": "one_unit"} and table.loc["search", "units"] == 2
    assert table.loc["social", "iroas"] == pytest.approx(np.exp(0.3)) and found.silent == (("c", "tv"),)
    assert found.units.groupby("channel")["weight"].sum().tolist() == pytest.approx([1, 1])


def test_units_that_differ_are_said_to():
    found = across_units({"a": a_unit(tv=(0.1, 0.1)), "b": a_unit(tv=(1.5, 0.1))})
    assert any("units differ by more than chance" in sentence for sentence in found.findings("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_told_and_drawn(language):
    found = across_units({"a": a_unit(tv=(0.1, 0.1), search=(0.1, 0.2)), "b": a_unit(tv=(1.5, 0.1))})
    assert all("{" not in sentence for sentence in found.findings(language))
    assert len(found.plot(language=language).get_yticklabels()) == 3
    nothing = across_units({"a": None})
    assert not len(nothing.table) and len(nothing.findings(language)) == 1 and nothing.plot(language=language)
