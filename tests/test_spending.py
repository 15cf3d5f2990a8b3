"""Spend by channel and period: what the check knows of a regression before it runs."""

from pathlib import Path

import pandas as pd
import pytest

from kpitoolkit import parameters, regression, spending, tables
from kpitoolkit.parameters import Parameters
from kpitoolkit.regression import curves, transforms


def weekly_frames():
    """Thirty weeks from Monday 2026-03-02: search 7 a week and 14 in the last; social with VAT; an old platform."""
    days = pd.date_range("2026-03-02", periods=210)
    rows = pd.DataFrame({"date": days, "platform": "search", "spend_cents": 100, "currency": "EUR"})
    rows.loc[rows["date"] > "2026-09-20", "spend_cents"] = 200
    social = rows.assign(platform="social", spend_cents=244, currency="GBP")
    old = rows.iloc[:1].assign(platform="radio", date=pd.Timestamp("2026-03-03"))
    ledger = pd.DataFrame({"date": days, "account": "4000"})
    rates = pd.DataFrame({"quarter": ["2026Q1", "2026Q2", "2026Q3"], "currency": "GBP", "rate": 1.25})
    return {"ledger": ledger, "ad_spend": pd.concat([rows, social, old]), "fx_rates": rates}


def stated(**said):
    return Parameters(**{"unit": "it", "quarter": "2026Q3", **said})


def test_spend_of_a_regression_by_hand():
    found = spending.of_regression(weekly_frames(), stated(platforms_including_vat={"social": 0.22}))
    assert list(found) == ["radio", "search", "social"] and len(found) == 30
    assert found["search"].tolist() == [7.0] * 29 + [14.0]
    assert found["social"].tolist() == pytest.approx([7 * 2.44 / 1.22 * 1.25] * 30)
    assert found["radio"].sum() == found["radio"].iloc[0] == 1.0


def test_a_window_that_begins_later_knows_no_platform_of_before():
    found = spending.of_regression(weekly_frames(), stated(regression_periods=4))
    assert len(found) == 4 + 12 + 13 and "radio" not in found


def test_a_missing_rate_leaves_names_only_and_missing_tables_say_nothing():
    frames = weekly_frames()
    gap = spending.of_regression({**frames, "fx_rates": frames["fx_rates"].iloc[1:]}, stated())
    assert gap.isna().all(axis=None) and list(gap) == ["radio", "search", "social"]
    assert spending.of_regression({"ad_spend": frames["ad_spend"]}, stated()) is None
    assert spending.of_regression({**frames, "ledger": frames["ledger"].assign(account="9")}, stated()) is None
    assert spending.of_regression(frames, stated(quarter="2025Q3")) is None
    assert spending.of_regression({}, stated(frequency="quarter")) is None


def test_periods_are_those_of_the_regression():
    assert spending.PERIODS_OF_CARRYOVER == transforms.PERIODS_OF_CARRYOVER
    assert spending.PERIODS_OF_QUARTER == curves.HORIZON


@pytest.mark.parametrize("unit", ["retail-it", "retail-uk"])
def test_spend_is_that_which_the_regression_of_the_sample_reads(unit):
    case = parameters.read_case(Path(__file__).parents[1] / "parameters" / "sample-2026Q3")
    said, place = case.units[unit], parameters.workspace_of(case, case.units[unit])
    frames = tables.read(place, ["ledger", "ad_spend", "fx_rates"])
    settings = {"platforms_including_vat": said.platforms_including_vat, "accounts": said.accounts}
    read = regression.inputs(place, said.quarter, currency=said.currency, periods=52, **settings)
    found = spending.of_regression(frames, said.model_copy(update={"regression_periods": 52}))
    assert list(found) == list(read.channels)
    assert found.loc[read.table.index].equals(read.table[list(read.channels)])
