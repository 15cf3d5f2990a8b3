import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpitoolkit.regression import transforms

SPENDS = st.lists(st.floats(0, 1e6), min_size=1, max_size=30).map(np.array)
CARRYOVERS = st.floats(0, 0.95)


def test_adstock_by_hand():
    # weights 4/7, 2/7, 1/7: 700 in the first week is felt for three, 140 in the fourth anew
    assert transforms.adstock([700, 0, 0, 140, 0], 0.5, periods=3).tolist() == pytest.approx([400, 200, 100, 80, 40])


def test_saturation_by_hand():
    assert transforms.saturate([0, 2, 6], 2.0).tolist() == [0, 0.5, 0.75]
    assert transforms.saturate([2, 4], 2.0, slope=2.0).tolist() == pytest.approx([0.5, 0.8])


def test_response_by_hand():
    # mean active spend 200; pressure 0.5, 1.5, 0 (x 200); half at 1: 1/3, 3/5, 0; the column adds up to the 400 spent
    column = transforms.response([100, 300, 0], 0.0, 1.0, window=3)
    assert column.tolist() == pytest.approx([400 * (1 / 3) / (14 / 15), 400 * (3 / 5) / (14 / 15), 0])


@given(SPENDS, CARRYOVERS)
def test_adstock_loses_no_spend(spend, carryover):
    padded = np.append(spend, np.zeros(13))
    assert transforms.adstock(padded, carryover).sum() == pytest.approx(spend.sum(), rel=1e-9, abs=1e-6)


@given(SPENDS, CARRYOVERS, st.floats(0.1, 10))
def test_adstock_is_linear(spend, carryover, factor):
    once = transforms.adstock(spend, carryover)
    assert transforms.adstock(spend * factor, carryover) == pytest.approx(once * factor, rel=1e-9, abs=1e-6)


@given(CARRYOVERS)
def test_adstock_of_constant_spend_is_that_spend(carryover):
    assert transforms.adstock(np.full(30, 5.0), carryover)[13:] == pytest.approx(5.0)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20), st.floats(0.05, 20))
def test_saturation_rises_and_stays_below_one(pressure, half_saturation):
    reached = transforms.saturate(np.sort(pressure), half_saturation)
    assert (np.diff(reached) >= 0).all()
    assert (reached < 1).all()


@given(
    st.lists(st.floats(1, 1e5), min_size=3, max_size=30).map(np.array), st.floats(0, 0.9), st.floats(0.2, 10), st.data()
)
def test_response_adds_up_to_spend_in_the_window(spend, carryover, half_saturation, data):
    window = data.draw(st.integers(1, len(spend)))
    column = transforms.response(spend, carryover, half_saturation, window=window)
    assert len(column) == window
    assert column.sum() == pytest.approx(spend[-window:].sum())


def test_spend_before_the_window_carries_in():
    alone = transforms.response([0, 10, 0, 10], 0.6, 1.0, window=3)
    after = transforms.response([90, 10, 0, 10], 0.6, 1.0, window=3)
    assert after[0] > alone[0]


def test_no_spend_is_no_response():
    assert not transforms.response([0, 0, 0], 0.5, 1.0, window=2).any()


@pytest.mark.parametrize("carryover", [-0.1, 1.0, 1.5])
def test_carryover_out_of_range(carryover):
    with pytest.raises(ValueError, match="carryover"):
        transforms.adstock([1.0], carryover)


def test_baseline_of_weeks():
    ends = pd.date_range("2024-01-07", periods=104, freq="7D")
    controls = pd.DataFrame({"price_index": np.arange(104.0), "promotion_days": 2.0}, index=ends)
    design = transforms.baseline_design(ends, "week", controls)
    assert list(design) == [
        "intercept", "trend", "season_sin_1", "season_cos_1", "season_sin_2", "season_cos_2", "price_index",
    ]  # fmt: skip
    assert design["trend"].mean() == pytest.approx(0)
    assert design["trend"].iloc[-1] - design["trend"].iloc[0] == pytest.approx(103 * 7 / 365.25)
    assert design["price_index"].std(ddof=0) == pytest.approx(1)


def test_seasons_of_quarters_repeat_every_year():
    ends = pd.date_range("2014-03-31", periods=8, freq="QE")
    season = transforms.baseline_design(ends, "quarter")[["season_sin_1", "season_cos_1"]].to_numpy()
    assert season[:4] == pytest.approx(season[4:], abs=1e-9)
    assert season.sum(axis=0) == pytest.approx(0, abs=1e-9)


def test_seasons_of_weeks_have_their_phase_by_the_calendar():
    """Four years are 1461 days: 487 of them are four thirds of a year, wherever the window begins."""
    ends = pd.Timestamp("2000-01-01") + pd.to_timedelta([487, 974, 1461], "D")
    design = transforms.baseline_design(ends, "week")
    root = np.sqrt(3) / 2
    assert design["season_sin_1"].to_numpy() == pytest.approx([root, -root, 0], abs=1e-9)
    assert design["season_cos_1"].to_numpy() == pytest.approx([-0.5, -0.5, 1], abs=1e-9)
    assert design["season_sin_2"].to_numpy() == pytest.approx([-root, root, 0], abs=1e-9)
    assert transforms.baseline_design(ends[1:], "week")["season_sin_1"].iloc[0] == pytest.approx(-root)


def test_the_trend_of_quarters_is_by_the_year():
    ends = pd.date_range("2014-03-31", periods=8, freq="QE")
    assert transforms.baseline_design(ends, "quarter")["trend"].tolist() == [(at - 3.5) / 4 for at in range(8)]
