"""The next quarter's case: what is moved, marked, kept and refused, on files as analysts write them."""

import pytest

from kpitoolkit import parameters
from kpitoolkit.batch.check import check_unit
from kpitoolkit.batch.new_quarter import new_quarter
from kpitoolkit.errors import Faults, ToolkitError

DEFAULTS = """\
# All units, third quarter of 2026
quarter: '2026Q3'   # the quarter that is closed
data:
  # exports of the ERP
  financials: {file: "export_2026q3/financials.csv"}
  fx_rates: {file: rates.csv}
  targets: {file: targets.csv, separator: ";", decimal: ",", columns: {kpi: Indicatore}}
approvers: {cfo: [Anna Bianchi]} # until 2027
catalogue: _kpis.yml
"""
TARGETS = (
    "unit;quarter;Indicatore;version;value;note\r\n"
    "north;2026Q2;mer;1;4,1;old\r\n"
    "north;2026Q3;mer;1;4,2;first\r\n"
    "north;2026Q3;mer;2;4,3;second\r\n"
    "south;2026Q3;revenue;1;9;\r\n"
)


@pytest.fixture
def case(tmp_path):
    folder = tmp_path / "parameters" / "shop-2026Q3"
    folder.mkdir(parents=True)
    (folder / "_defaults.yml").write_text(DEFAULTS, encoding="utf-8")
    (folder / "north.yml").write_text("unit: north\nbudget_total: 5000\nunit_name: {it: Città}\n", encoding="utf-8")
    (folder / "south.yml").write_text("unit: south\n")
    (folder / "targets.csv").write_text(TARGETS, newline="")
    (folder / "rates.csv").write_text("quarter,currency,rate\n2026Q3,USD,0.9\n")
    (folder / "_kpis.yml").write_text("kpis: []\n")
    return folder


def test_only_what_belongs_to_the_quarter_is_edited(case, tmp_path):
    made = new_quarter(case, "2026Q4", outputs=tmp_path / "outputs")
    new = tmp_path / "parameters" / "shop-2026Q4"
    assert made.folder == new
    link = "previous_case: shop-2026Q3 # whose results and promises this quarter's are compared with"
    moved = DEFAULTS.replace(
        "'2026Q3'   # the quarter that is closed", f"'2026Q4'   # the quarter that is closed\n{link}"
    )
    assert (new / "_defaults.yml").read_text(encoding="utf-8") == moved.replace("2026q3", "2026q4")
    assert (new / "north.yml").read_text(encoding="utf-8") == (
        "unit: north\n# TO CHECK for 2026Q4: amounts of the plan made in 2026Q3\nbudget_total: 5000\n"
        "unit_name: {it: Città}\n"
    )
    assert (new / "south.yml").read_bytes() == (case / "south.yml").read_bytes()
    read = parameters.read_case(new)
    assert {stated.quarter for stated in read.units.values()} == {"2026Q4"}
    assert read.units["south"].previous_case == "shop-2026Q3"
    assert {path.name for path in new.iterdir()} == {
        "_defaults.yml",
        "north.yml",
        "south.yml",
        "targets.csv",
        "_kpis.yml",
    }
    left = "\n".join(made.to_do)
    assert "line 1: a comment speaks of 2026Q3" in left
    assert "budget_total states amounts" in left
    assert "export_2026q4/financials.csv: put financials of 2026Q4 there" in left
    assert "rates.csv: put fx_rates of 2026Q4 there" in left
    assert "shop-2026Q3 has no results" in left


def test_targets_are_to_fill_and_the_case_is_refused_until_they_are(case, tmp_path):
    made = new_quarter(case, "2026Q4", outputs=tmp_path)
    file = made.folder / "targets.csv"
    assert file.read_bytes().decode() == TARGETS + "north;2026Q4;mer;1;;second\r\nsouth;2026Q4;revenue;1;;\r\n"
    assert any("targets.csv: 2 targets of 2026Q4 to fill" in left for left in made.to_do)
    (made.folder / "export_2026q4").mkdir()
    (made.folder / "export_2026q4/financials.csv").write_text(
        "quarter,unit,basis,filing,figures,rounded,revenue\n2026Q4,north,b,f,printed,false,10\n"
    )
    (made.folder / "rates.csv").write_text("quarter,currency,rate\n2026Q4,USD,0.9\n")
    read = parameters.read_case(made.folder)
    faults = check_unit(read, read.units["north"], tmp_path)
    assert len(faults) == 1 and "targets.csv" in faults[0] and "value" in faults[0]
    filled = file.read_text().replace("mer;1;;", "mer;1;4,4;").replace("revenue;1;;", "revenue;1;9;")
    file.write_text(filled)
    assert check_unit(read, read.units["north"], tmp_path) == []


def test_the_quarter_after_the_next(case, tmp_path):
    first = new_quarter(case, "2026Q4", outputs=tmp_path)
    second = new_quarter(first.folder, "2027Q1", outputs=tmp_path)
    assert second.folder.name == "shop-2027Q1"
    text = (second.folder / "_defaults.yml").read_text()
    assert "previous_case: shop-2026Q4 #" in text and text.count("previous_case") == 1
    assert "export_2027q1" in text


def test_what_is_refused_leaves_nothing(case, tmp_path):
    before = sorted(case.parent.rglob("*"))
    for quarter, said in (("2026Q3", "does not follow"), ("2027Q1", "or add --force"), ("Q4", "not a quarter")):
        with pytest.raises(ToolkitError, match=said):
            new_quarter(case, quarter)
    with pytest.raises(ToolkitError, match="is unknown"):
        new_quarter(case.parent / "nope", "2026Q4")
    with pytest.raises(ToolkitError, match="is not beside"):
        new_quarter(case, "2026Q4", tmp_path / "elsewhere")
    with pytest.raises(ToolkitError, match="is there already"):
        new_quarter(case, "2026Q4", case)
    (case / "south.yml").write_text("unit: [")
    with pytest.raises(Faults, match="line 1"):
        new_quarter(case, "2026Q4")
    (case / "south.yml").write_text("unit: south\n")
    assert sorted(case.parent.rglob("*")) == before
    assert new_quarter(case, "2027Q1", case.parent / "spring", force=True).folder.name == "spring"


def test_built_in_data_say_how_far_they_reach(tmp_path):
    case = tmp_path / "parameters" / "netflix"
    case.mkdir(parents=True)
    (case / "_defaults.yml").write_text('quarter: "2019Q4"\ndata: netflix\nbasis: "2014-2018"\nprevious_case: "x"\n')
    (case / "dvd.yml").write_text("unit: dvd\nunit_in_data: Domestic DVD\nprevious_case: ''\n")
    made = new_quarter(case, "2020Q1", outputs=tmp_path)
    assert made.folder.name == "netflix-2020Q1"
    assert 'previous_case: "netflix"' in (made.folder / "_defaults.yml").read_text()
    assert "previous_case: ''" in (made.folder / "dvd.yml").read_text()
    assert any("these built-in data end with 2019Q4" in left for left in made.to_do)
