"""What is checked before anything runs."""

from pathlib import Path

import pytest
import yaml

from kpitoolkit import parameters
from kpitoolkit.batch.check import check_names, check_unit, find_case, write_merged_parameters
from kpitoolkit.errors import Faults, ToolkitError

CASES = Path(__file__).parents[2] / "parameters"


def faults_of(folder, unit="north"):
    case = parameters.read_case(folder)
    return check_unit(case, case.units[unit])


def test_a_case_is_found_by_path_and_by_name(monkeypatch, tiny):
    (tiny.parents[1] / "notebooks").mkdir()
    monkeypatch.chdir(tiny.parents[1])
    assert find_case("tiny") == find_case("parameters/tiny") == find_case(str(tiny)) == tiny.resolve()
    for said in ("tinny", "parameters/tinny"):
        with pytest.raises(ToolkitError, match="Did you mean 'tiny'"):
            find_case(said)
    with pytest.raises(ToolkitError, match="unknown"):
        find_case("../..//x")


def test_all_unknown_names_come_together():
    with pytest.raises(Faults) as caught:
        check_names("unit", ["norht", "zzz", "south"], ["north", "south"])
    assert len(caught.value.faults) == 2


def test_data_of_a_unit(tiny):
    assert faults_of(tiny) == []
    (tiny / "financials.csv").unlink()
    assert "does not exist" in faults_of(tiny)[0]


def test_a_unit_without_data(tiny):
    (tiny / "empty.yml").write_text("unit: empty\n")
    assert "no rows for unit 'empty'" in faults_of(tiny, "empty")[0]


def test_a_quarter_that_is_not_there_or_half(tiny):
    (tiny / "north.yml").write_text('unit: north\nquarter: "2026Q4"\n')
    assert faults_of(tiny) == ["financials: no row for 2026Q4. Add it, or state another quarter"]
    data = "data: {ledger: {file: ledger.csv}}\n"
    rows = "line,date,period,unit,account,amount,currency\n1,2026-07-01,2026Q3,north,4000,1,EUR\n"
    (tiny / "ledger.csv").write_text(rows + "2,2026-08-14,2026Q3,north,4000,1,EUR\n")
    (tiny / "north.yml").write_text("unit: north\n" + data)
    assert "partly present" in faults_of(tiny)[0]
    assert "from 2026-08-15 to 2026-09-30" in faults_of(tiny)[0]
    months = "2,2026-07-31,2026Q3,north,4000,1,EUR\n3,2026-08-31,2026Q3,north,4000,1,EUR\n"
    (tiny / "ledger.csv").write_text(rows + months + "4,2026-09-30,2026Q3,north,4000,1,EUR\n")
    assert faults_of(tiny) == []


def test_merged_parameters_as_papermill_reads_them(tiny, tmp_path):
    case = parameters.read_case(tiny)
    write_merged_parameters(case, case.units["north"], tmp_path / "merged.yml")
    read = yaml.safe_load((tmp_path / "merged.yml").read_text())
    assert read["quarter"] == "2026Q3"
    assert read["data_dir"] == str(tiny.resolve())
    assert {key: read[key] for key in type(case.group).model_fields if key != "catalogue"} == {
        key: value for key, value in case.units["north"].model_dump().items() if key != "catalogue"
    }


@pytest.mark.parametrize("case", ["netflix-2017Q3", "netflix-2019Q3"])
def test_our_real_cases_are_fine(case):
    read = parameters.read_case(CASES / case)
    assert len(read.units) == 3
    for unit in read.units.values():
        assert check_unit(read, unit) == []
        assert set(unit.unit_name) == {"en", "it"}


def test_the_margins_stated_for_netflix_are_those_of_its_filings():
    for name, first in (("netflix-2017Q3", "2016Q4"), ("netflix-2019Q3", "2019Q1")):
        case = parameters.read_case(CASES / name)
        for stated in (*case.units.values(), case.group):
            rows = parameters_rows(case, stated, first)
            share = 1 - rows["cost_of_revenue_cents"].sum() / rows["revenue_cents"].sum()
            assert round(float(share), 3) == stated.contribution_margin_share, (name, stated.unit)


def parameters_rows(case, stated, first):
    from kpitoolkit import tables

    rows = tables.read(parameters.workspace_of(case, stated), ["financials"])["financials"]
    if stated.unit == "group":
        rows = rows[rows["unit"] == "Consolidated"]
    rows = rows[(rows["basis"] == stated.basis) & rows["quarter"].between(first, stated.quarter) & ~rows["rounded"]]
    return rows.drop_duplicates("quarter")
