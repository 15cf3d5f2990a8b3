"""The data block, reading several tables at once, and results carried from notebook to notebook."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kpitoolkit import tables
from kpitoolkit.errors import Faults, ToolkitError

LEDGER = """line,date,period,unit,account,amount,currency
1,2026-07-01,2026Q3,it,4000,10.00,EUR
2,2026-09-30,2026Q3,uk,4000,5.00,GBP
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "ledger.csv").write_text(LEDGER)
    (tmp_path / "fx.csv").write_text("quarter,currency,rate\n2026Q3,GBP,1.17\n")
    return tables.Workspace(
        case="c", unit="it", unit_in_data="it", data={"ledger": {"file": "ledger.csv"}, "fx_rates": {"file": "fx.csv"}},
        data_dir=tmp_path, results_dir=tmp_path / "results", save_dir=tmp_path / "results",
    )  # fmt: skip


def test_rows_of_one_unit_and_all_rows_of_the_group(place):
    assert tables.declared(place) == {"ledger", "fx_rates"}
    assert tables.read(place, ["ledger"])["ledger"]["amount_cents"].tolist() == [1000]
    assert len(tables.read(replace(place, unit="group"), ["ledger"])["ledger"]) == 2
    assert len(tables.read(place, ["fx_rates"])["fx_rates"]) == 1


def test_faults_of_all_tables_together(place):
    (place.data_dir / "ledger.csv").write_text(LEDGER.replace("10.00", "ten"))
    (place.data_dir / "fx.csv").write_text("quarter,currency,rate\n2026Q3,GBP,0\n")
    with pytest.raises(Faults) as caught:
        tables.read(place, ["ledger", "fx_rates", "orders"])
    said = str(caught.value)
    assert "ledger.csv: column 'amount'" in said
    assert "fx.csv: column 'rate': 1 value is not above 0" in said
    assert "table 'orders' is not declared" in said


def test_the_built_in_netflix_facts_are_read_exactly():
    place = tables.Workspace("c", "dvd", "Domestic DVD", "netflix", Path(), Path(), Path())
    frame = tables.read(place, ["financials"])["financials"]
    row = frame[(frame["quarter"] == "2017Q3") & (frame["filing"] == "0001065280-17-000180")]
    assert row["revenue_cents"].tolist() == [110_214_000_00]
    assert row["paid_members_thousand"].isna().all()
    assert row["total_members_thousand"].tolist() == [3569]


def test_results_are_saved_and_loaded_and_missing_ones_are_none(place):
    frame = pd.DataFrame({"channel": ["=HYPERLINK()", "search"], "credit_cents": pd.array([1, None], dtype="Int64")})
    path = tables.save(frame, place, "attribution", "credit")
    pd.testing.assert_frame_equal(tables.load(place, "attribution", "credit"), frame)
    assert "'=HYPERLINK()" in path.with_suffix(".csv").read_text()
    assert sorted(p.name for p in path.parent.iterdir()) == ["attribution_credit.csv", "attribution_credit.parquet"]
    assert tables.load(place, "regression", "iroas") is None


def test_a_result_of_a_unit_cannot_be_read_from_outside(place):
    with pytest.raises(ToolkitError, match="leads out of"):
        tables.load(place, "attribution", "credit", unit="../../x")


def test_a_damaged_result_says_what_to_do(place):
    path = tables.save(pd.DataFrame({"a": [1]}), place, "attribution", "credit")
    path.write_bytes(b"x")
    with pytest.raises(ToolkitError, match="Run the notebook attribution again"):
        tables.load(place, "attribution", "credit")


def test_half_a_quarter_is_said():
    first, last = pd.Timestamp("2026-07-01"), pd.Timestamp("2026-09-30")
    days = pd.DataFrame({"date": pd.date_range("2026-07-01", "2026-08-14")})
    assert "only partly present" in tables.quarter_gaps({"ad_spend": days}, first, last)[0]
    assert (
        "no rows between"
        in tables.quarter_gaps({"ledger": days.assign(date=days["date"] - pd.DateOffset(years=1))}, first, last)[0]
    )
    one_stray_row = pd.concat([days, pd.DataFrame({"date": [pd.Timestamp("2026-09-30")]})])
    assert "from 2026-08-15 to 2026-09-29" in tables.quarter_gaps({"ad_spend": one_stray_row}, first, last)[0]
    monthly = pd.DataFrame({"date": pd.to_datetime(["2026-07-31", "2026-08-31", "2026-09-30"])})
    assert tables.quarter_gaps({"ledger": monthly}, first, last) == []
    whole = pd.DataFrame({"date": pd.date_range("2026-06-01", "2026-09-27")})
    assert tables.quarter_gaps({"ad_spend": whole}, first, last) == []
