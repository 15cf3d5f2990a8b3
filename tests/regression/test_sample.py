"""The truth beside the intervals: of the shipped sample, which was chosen, and of other draws, which were not.

The shipped company illustrates: its stream of chance is the first that strains no channel (`kpitoolkit.sample.weeks`
says so), and its channels share one revenue. What holds there shows that figures stay as they are, and nothing of how
often intervals hold the truth. Over 38 streams that nobody chose, 505 of 570 channel intervals did (.886, not .90),
with fewer than 11 of 15 in 3 of the 38; .939 of the totals did.
"""

import numpy as np
import pandas as pd
import pytest

from kpitoolkit import parameters, regression, sample
from kpitoolkit.regression.prepare import CONTROLS
from kpitoolkit.sample import spec, weeks

UNITS = {"retail-it": ("EUR", {"social": 0.22}), "online-eu": ("EUR", {}), "retail-uk": ("GBP", {})}
SEEDS = (1, 2, 3, 4)
CARRY_IN, WINDOW = 12, 156


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


def test_shipped_intervals_hold_the_truth_for_most_channels(truth, results):
    """A regression test of the shipped figures, which were chosen: no probability belongs to it."""
    held = []
    for unit, (_found, result) in results.items():
        table = result.table.set_index("channel")
        for channel, row in truth.loc[unit].iterrows():
            held.append(table.loc[channel, "low"] <= row["iroas"] <= table.loc[channel, "high"])
    assert len(held) == 15
    assert sum(held) >= 11


def weeks_of(unit, seed):
    """Inputs of a unit drawn from another seed, and its truth: spend, controls and revenue are all new."""
    made = weeks.build(unit, seed, 1.0)
    week = (made.spend["day"].to_numpy().astype("datetime64[D]") - spec.FIRST_MONDAY).astype(int) // 7
    net = made.spend.assign(week=week).pivot_table("net_cents", "week", "platform", "sum")
    frame = net.reindex(range(spec.WEEKS)).fillna(0.0) / 100
    frame["revenue"] = made.day_revenue.reshape(spec.WEEKS, 7).sum(axis=1) / 100
    frame.index = pd.DatetimeIndex(spec.week_end(np.arange(spec.WEEKS)))
    frame = frame.join(made.controls.drop(columns="unit").set_index("week_end"))
    frame = frame.iloc[spec.WINDOW_WEEKS.start - CARRY_IN : spec.WINDOW_WEEKS.stop]
    frame["carry_in"] = np.arange(CARRY_IN + WINDOW) < CARRY_IN
    return frame, made.response.set_index("channel")


def test_intervals_hold_the_truth_of_companies_that_nobody_chose():
    """Three units from four seeds: at least 45 of 60 intervals, seeds taken as they come.

    At the measured cover of .886, 53.2 are expected. Channels of a unit err together, and so their count's variance is
    taken as twice a binomial's: a standard deviation of 3.5, and 45 is 2.3 of these below. At a cover of .65, 39 are
    expected, and the test fails.
    """
    units = [unit for unit in spec.UNITS if unit.key in UNITS]
    held = []
    for unit in units:
        for seed in SEEDS:
            frame, truth = weeks_of(unit, seed)
            table = regression.fit(frame, list(truth.index), CONTROLS).table.set_index("channel").loc[truth.index]
            held += ((table["low"] <= truth["iroas"]) & (truth["iroas"] <= table["high"])).tolist()
    assert len(held) == 60
    assert sum(held) >= 45


@pytest.mark.parametrize("unit", UNITS)
def test_shipped_return_of_all_media_lies_within_its_interval(truth, results, unit):
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
