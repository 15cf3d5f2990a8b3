"""What is refused before anything is fitted: sums of channels, levels that jump, and all of it in one message."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.errors import Faults
from kpitoolkit.regression.checks import checked, dependent, jumps

WEEKS = 60
ENDS = pd.date_range("2025-01-05", periods=WEEKS, freq="7D", name="week_end")


def spend(seed=0, names=("a", "b", "c", "d")):
    draw = np.random.default_rng(seed)
    return pd.DataFrame(draw.lognormal(6, 0.6, (WEEKS, len(names))).round(2), index=ENDS, columns=list(names))


# Channels that follow from others


@given(st.integers(0, 10_000), st.permutations(["a", "b", "c", "all"]))
@settings(max_examples=30, deadline=None)
def test_a_total_beside_its_parts_is_found_in_any_order(seed, order):
    table = spend(seed, ("a", "b", "c"))
    (fault,) = dependent(table.assign(all=table.sum(axis=1))[order])
    assert all(f"'{name}'" in fault for name in order)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_channels_of_their_own_are_left_alone(seed):
    """By rank: only a combination that explains a column to a thousandth counts, not one that explains much of it."""
    table = spend(seed)
    noise = np.random.default_rng(seed + 1).normal(0, 0.01, WEEKS) * table["c"].std()
    assert dependent(table) == dependent(table.assign(near=table["a"] + table["b"] + noise)) == []


def test_only_the_channels_concerned_are_named():
    table = spend()
    (fault,) = dependent(table.assign(total=table["a"] + table["c"]))
    assert fault.startswith("spend on 'a', 'c' and 'total': ")
    both = dependent(table.assign(total=table["a"] + table["c"], again=2 * table["b"]))
    assert len(both) == 2 and both[1].startswith("spend on 'b' and 'again' moves exactly together")
    assert "exactly against one another" in dependent(table.assign(rest=5000 - table["a"]))[0]


def test_a_total_rounded_to_whole_units_is_one_still():
    table = spend()
    assert len(dependent(table.assign(all=table.sum(axis=1).round()))) == 1


def test_too_few_periods_prove_nothing():
    """Four channels fit any fifth in five weeks."""
    table = spend(names="abcde").iloc[:5]
    assert dependent(table) == []
    assert len(dependent(table.assign(e=table["a"]))) == 1
    assert dependent(table.iloc[:2]) == []


def test_still_channels_are_not_called_alike():
    assert dependent(spend().assign(x=10.0, y=10.0, none=0.0)) == []


# Levels that jump


@pytest.mark.parametrize("factor", [100, 1000, 1e-3])
@pytest.mark.parametrize("span", [(30, 60), (4, 60), (0, 56), (20, 40)])
def test_a_stretch_in_another_unit_is_found(factor, span):
    table = spend(names="a")
    table["a"] = np.exp(np.log(table["a"]).clip(5, 7))
    table.iloc[slice(*span)] *= factor
    (fault,) = jumps(table, "spend on ")
    first = span[0] or span[1]
    assert f"in the period ending {ENDS[first].date()}: its unit" in fault
    told = float(fault.split("about ")[1].split("-fold")[0].replace(",", ""))
    assert 0.5 < told / max(factor, 1 / factor) < 2
    assert (" up " in fault) == ((factor > 1) == (span[0] > 0))


@pytest.mark.parametrize(
    "values",
    [
        np.r_[[0.5] * 57, [900.0] * 3],  # three weeks are no level
        np.tile([5.0, 5, 5, 5, 4000, 4000, 4000, 4000, 5, 5], 6),  # bursts above a fee
        np.r_[[5.0] * 20, [4000.0] * 10, [5.0] * 10, [4000.0] * 10, [5.0] * 10],  # two bursts
        np.geomspace(1, 1e6, WEEKS),  # growth
        np.r_[[10.0] * 30, [500.0] * 30],  # fiftyfold may be true
        np.r_[[0.0] * 30, np.linspace(90, 110, 30)],  # a launch
    ],
)
def test_what_may_be_true_is_not_refused(values):
    assert jumps(pd.DataFrame({"a": values}, index=ENDS)) == []


@given(st.integers(0, 10_000), st.floats(0.1, 1.0))
@settings(max_examples=40, deadline=None)
def test_usual_spend_never_jumps(seed, spread):
    draw = np.random.default_rng(seed)
    level = np.repeat(draw.normal(0, spread, 15), 4) + draw.normal(0, 0.2, WEEKS)
    values = np.exp(level) * (draw.random(WEEKS) < 0.7)
    assert jumps(pd.DataFrame({"a": values}, index=ENDS)) == []


# All at once


def frame():
    return spend().assign(revenue=np.random.default_rng(9).normal(50_000, 2000, WEEKS), price_index=100.0)


def refused(table, channels="abcd"):
    with pytest.raises(Faults) as caught:
        checked(table, list(channels), ["price_index"], "week", None)
    return caught.value.faults


def test_faults_of_figures_come_together():
    table = frame()
    table.loc[ENDS[3], "revenue"] = -1
    table.loc[ENDS[5], "price_index"] = np.nan
    table.loc[ENDS[7], "a"] = np.nan
    table.loc[ENDS[8], "b"] = -2
    said = refused(table)
    assert len(said) == 4
    for part in (
        "'price_index' has no figure in 1 period",
        "revenue is below zero",
        "'a' has no figure",
        "'b' is below",
    ):
        assert any(part in fault for fault in said)


def test_jumps_and_sums_come_together():
    table = frame().assign(e=lambda t: t["a"] + t["b"])
    table.loc[ENDS[30] :, "c"] *= 5000
    table.loc[ENDS[30] :, "revenue"] *= 1000
    said = refused(table, "abcde")
    assert [fault.split("'")[1] for fault in said] == ["revenue", "c", "a"]


def test_revenue_of_nothing_is_refused():
    assert "revenue is never above zero" in refused(frame().assign(revenue=0.0))[0]


def test_gaps_repeats_and_odd_days():
    table = frame()
    assert "no row for 2 periods (first: the one ending 2025-02-02)" in refused(table.drop(index=ENDS[4:6]))[0]
    assert "repeated periods" in refused(pd.concat([table, table.iloc[[3]]]))[0]


def test_a_good_table_passes():
    table, window = checked(frame(), list("abcd"), ["price_index"], "week", 40)
    assert (len(table), window) == (WEEKS, 40)
