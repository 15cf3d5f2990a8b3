"""The sample company's truth is recovered within the stated intervals, at the stated rate."""

import pandas as pd
import pytest
from scipy.stats import binom

from kpitoolkit import parameters, regression, sample

UNITS = {"retail-it": ("EUR", {"social": 0.22}), "online-eu": ("EUR", {}), "retail-uk": ("GBP", {})}
STATED = 0.9
RISK = 0.02


@pytest.fixture(scope="module")
def truth():
    return pd.read_csv(sample.ensure() / "truth" / "response.csv").set_index(["unit", "channel"])


def fitted(unit, currency, including_vat):
    place = parameters.workspace("sample-2026Q3", unit)
    found = regression.inputs(place, "2026Q3", currency=currency, platforms_including_vat=including_vat)
    return found, regression.fit(found.table, found.channels, found.controls, currency=currency)


@pytest.fixture(scope="module")
def results():
    return {unit: fitted(unit, *stated) for unit, stated in UNITS.items()}


def test_spend_is_the_true_net_spend(truth, results):
    for unit, (_found, result) in results.items():
        table = result.table.set_index("channel")
        for channel, row in truth.loc[unit].iterrows():
            assert table.loc[channel, "spend"] == pytest.approx(row["spend_cents"] / 100, rel=1e-5)


def test_true_iroas_lies_within_the_intervals_at_the_stated_rate(truth, results):
    """Of 15 independent 90% intervals, fewer than 11 hold the truth with probability 1.3%: then it is no chance."""
    held = []
    for unit, (_found, result) in results.items():
        table = result.table.set_index("channel")
        for channel, row in truth.loc[unit].iterrows():
            held.append(table.loc[channel, "low"] <= row["iroas"] <= table.loc[channel, "high"])
    needed = int(binom.ppf(RISK, len(held), STATED))
    assert (len(held), needed) == (15, 11)
    assert sum(held) >= needed


@pytest.mark.parametrize("unit", UNITS)
def test_true_return_of_all_media_lies_within_its_interval(truth, results, unit):
    known = truth.loc[unit]
    true = (known["iroas"] * known["spend_cents"]).sum() / known["spend_cents"].sum()
    total = results[unit][1].table.set_index("channel").loc["total_media"]
    assert total["low"] <= true <= total["high"]
    assert total["high"] - total["low"] < 3  # an interval that holds everything holds no truth


def test_carryover_is_near_the_truth(truth, results):
    """Median distance over 15 channels; a carryover drawn from the prior would be .2 away."""
    off = [
        abs(result.table.set_index("channel").loc[channel, "carryover"] - row["carryover"])
        for unit, (_found, result) in results.items()
        for channel, row in truth.loc[unit].iterrows()
    ]
    assert pd.Series(off).median() <= 0.15


def test_lumpy_sales_give_no_verdict():
    """b2b: three orders a week. Weeks without a sale are said, and nothing is decided."""
    found, result = fitted("b2b", "EUR", {})
    assert set(result.table["verdict"]) == {"insufficient_data"}
    assert found.empty_periods
    assert any("Nothing was sold in" in sentence for sentence in found.findings("en"))
