"""What would run and why, against one real run whose case is then changed in one respect at a time."""

import json
import shutil

import pytest

from kpitoolkit.batch import dry_run, record
from kpitoolkit.batch.runner import prepare, run_case
from kpitoolkit.errors import Faults, ToolkitError
from tests.batch.conftest import NOTEBOOKS, write_case


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("dry")
    case = write_case(root, units=("north", "south"))
    run_case(case, jobs=2, output=root / "outputs", notebooks_dir=NOTEBOOKS)
    return root


@pytest.fixture
def place(first_run, tmp_path):
    """A copy of the case and of what the run left; what a dry run says of it, by notebook."""
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "parameters" / "tiny"

    def said(notebooks_dir=NOTEBOOKS, **wanted):
        batch = prepare(folder, output=tmp_path / "outputs", notebooks_dir=notebooks_dir, **wanted)
        return {f"{p.unit}/{p.notebook}": (p.status, "; ".join(p.reasons)) for p in dry_run.explain(batch)}

    return folder, tmp_path / "outputs" / "tiny", said


def everything(root):
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_what_is_unchanged_is_said_to_be_and_nothing_is_written(place, tmp_path):
    _, _, said = place
    before = everything(tmp_path)
    found = said()
    assert {status for status, _ in found.values()} == {"unchanged", "not_made"}
    assert found["north/needy"] == ("not_made", "no touchpoints and orders declared")
    assert everything(tmp_path) == before
    assert said(force=True)["north/first"] == ("run", "--force")


def test_a_parameter_and_what_reads_its_results(place):
    folder, _, said = place
    (folder / "north.yml").write_text("unit: north\nlookback_days: 45\n")
    found = said()
    assert found["north/first"] == ("run", "parameter lookback_days 30 -> 45")
    assert found["south/first"] == found["south/report"] == ("unchanged", "")
    assert found["group/all"][0] == "after" and found["group/all"][1].endswith("before it would run")
    alone = said(units=["north"], notebooks=["report"])
    assert set(alone) == {"north/report"} and alone["north/report"][0] == "run"


def test_data_catalogue_notebook_page_and_versions(place, tmp_path):
    folder, home, said = place
    data = (folder / "financials.csv").read_text()
    (folder / "financials.csv").write_text(data + "2026Q2,north,b,f,printed,false,9\n")
    assert said()["south/first"] == ("run", "data changed (financials)")
    (folder / "financials.csv").unlink()
    assert said()["south/first"] == ("run", "data missing (financials)")
    (folder / "financials.csv").write_text(data)
    (folder.parent / "kpis.yml").write_text("kpis: []\n")
    assert said()["south/first"] == ("run", "the catalogue of KPIs changed")
    (folder.parent / "kpis.yml").unlink()
    (home / "south/first.en.html").unlink()
    assert said()["south/first"] == ("run", "south/first.en.html changed or removed since")
    notebooks = shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    (notebooks / "first.ipynb").write_text((notebooks / "first.ipynb").read_text() + "\n")
    assert said(notebooks_dir=notebooks)["north/first"] == ("run", "the notebook changed")
    assert said(notebooks_dir=notebooks)["north/report"] == ("after", "first before it would run")
    run = json.loads((home / "run.json").read_text())
    entry = run["notebooks"]["north/first.en"]
    entry["parts"]["versions"]["pandas"], entry["key"] = "3.0.9", "another"
    run["notebooks"]["north/report.en"]["status"] = "failed"
    entry = run["notebooks"]["south/report.en"]
    entry["parts"], entry["key"] = {}, "another"
    (home / "run.json").write_text(json.dumps(run))
    found = said()
    assert found["north/first"] == ("run", f"made with pandas 3.0.9, now {record.versions()['pandas']}")
    assert found["north/report"] == ("run", "it failed last time")
    assert found["south/report"][1].startswith("made by an earlier version of the toolkit")


def test_without_a_run_all_is_new_and_no_folder_is_made(tiny, tmp_path):
    batch = prepare(tiny, output=tmp_path / "new", notebooks_dir=NOTEBOOKS)
    found = dry_run.explain(batch)
    assert {p.reasons[0] for p in found if p.status == "run"} == {"never made"}
    assert dry_run.said(found)[-1] == "Would run 7 of 7 notebooks. Nothing was run or written."
    assert not (tmp_path / "new").exists()


def test_what_a_run_refuses_is_refused(tiny, tmp_path):
    with pytest.raises(ToolkitError, match="Did you mean 'north'"):
        prepare(tiny, units=["noth"], output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS)
    (tiny / "north.yml").write_text("unit: north\nlookback_day: 3\n")
    with pytest.raises(Faults, match="Did you mean 'lookback_days'"):
        prepare(tiny, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS)
    assert not (tmp_path / "outputs").exists()


def test_a_run_does_what_the_dry_run_said_and_notes_why(place, tmp_path):
    folder, home, said = place
    (folder / "north.yml").write_text("unit: north\nlookback_days: 45\n")
    told = said(units=["north"])
    report = run_case(folder, units=["north"], jobs=1, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS)
    made = {f"{entry.unit}/{entry.notebook}" for entry in report.entries if entry.status == "made"}
    assert made == {name for name, (status, _) in told.items() if status == "run"} | {"north/report"}
    entries = record.load(home / "run.json")
    assert entries["north/first.en"].because == "parameter lookback_days 30 -> 45"
    assert "results changed (first)" in entries["north/report.en"].because
    assert {status for status, _ in said(units=["north"]).values()} == {"unchanged", "not_made"}
