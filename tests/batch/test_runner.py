"""Real notebooks in real kernels: what is made, left alone, left out, kept when one fails, and published whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kpitoolkit.batch import chain, record
from kpitoolkit.batch.chain import one_line
from kpitoolkit.batch.publish import only_run
from kpitoolkit.batch.runner import run_case
from kpitoolkit.errors import Faults, ToolkitError
from tests.batch.conftest import NOTEBOOKS, write_case


def statuses(report):
    return {f"{entry.unit}/{entry.notebook}": entry.status for entry in report.entries}


def printed(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "".join("".join(output["text"]) for cell in cells for output in cell.get("outputs", []) if "text" in output)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """One run of everything: the case's folder, the outputs' root, the report and what was told."""
    root = tmp_path_factory.mktemp("all {of} it")
    case = write_case(root)
    told = []
    report = run_case(
        case, jobs=2, output=root / "outputs", notebooks_dir=NOTEBOOKS, tell=lambda *said: told.append(said)
    )
    return case, root / "outputs", report, told


@pytest.fixture
def place(first_run, tmp_path):
    """A copy of what the first run left, for a test to spoil."""
    case, outputs, _, _ = first_run
    shutil.copytree(case.parent, tmp_path / "parameters")
    shutil.copytree(outputs, tmp_path / "outputs")
    folder = tmp_path / "parameters" / "tiny"

    def again(**wanted):
        return run_case(folder, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS, jobs=2, **wanted)

    return folder, tmp_path / "outputs" / "tiny", again


def test_one_failing_unit_stops_no_other(first_run):
    _, outputs, report, told = first_run
    home = outputs / "tiny"
    assert statuses(report) == {
        "faulty/first": "failed",
        "faulty/needy": "not_made",
        "faulty/report": "made",
        "north/first": "made",
        "north/needy": "not_made",
        "north/report": "made",
        "south/first": "made",
        "south/needy": "not_made",
        "south/report": "made",
        "group/all": "made",
    }
    assert report.exit_status == 1
    finished = [said for said in told if said[0].status not in ("waiting", "running")]
    assert [(done, total) for _, done, total in finished] == [(n, 10) for n in range(1, 11)]
    failed = next(entry for entry in report.entries if entry.status == "failed")
    assert failed.message == "ValueError: no such luck"
    assert next(e for e in report.entries if e.status == "not_made").message == "no touchpoints and orders declared"
    assert printed(home / "north/report.en.ipynb") == "read: north 30\n"
    assert printed(home / "faulty/report.en.ipynb") == "read: nothing\n"
    assert printed(home / "group/all.en.ipynb") == "faulty: nothing\nnorth: north 30\nsouth: south 30\n"


def test_what_failed_is_kept_apart_and_readable(first_run):
    home = first_run[1] / "tiny"
    assert printed(home / "failed/faulty/first.en.ipynb") == "tiny faulty 2026Q3 en 30\n"
    page = (home / "failed/faulty/first.en.html").read_text(encoding="utf-8")
    assert "no such luck" in page
    assert "papermill" not in page
    assert not list((home / "faulty").glob("first*"))
    assert not (home / "faulty/tables").exists()


def test_nothing_of_the_run_is_left(first_run):
    home = first_run[1] / "tiny"
    assert not list(home.glob(".work*"))
    text = (home / "north/report.en.ipynb").read_text(encoding="utf-8")
    assert ".work" not in text
    assert json.dumps(str(home / "north"))[1:-1] in text  # where the results are that it read
    assert {path.name for path in home.iterdir()} == {
        ".lock", "index.html", "run.json", "failed", "faulty", "north", "south", "group",
    }  # fmt: skip


def test_only_known_parameters_are_passed(first_run):
    home = first_run[1] / "tiny"
    stated = json.loads((home / "group/all.en.ipynb").read_text())["metadata"]["papermill"]["parameters"]
    assert stated["units"] == ["faulty", "north", "south"]
    assert stated["unit_names"] == {"faulty": {}, "north": {}, "south": {}}
    assert set(stated) == {
        "case", "unit", "quarter", "language", "lookback_days", "results_dir", "save_dir", "units", "unit_names",
    }  # fmt: skip


def test_the_record_says_what_was_made_from_what(first_run):
    case, outputs, _, _ = first_run
    run = json.loads((outputs / "tiny/run.json").read_text(encoding="utf-8"))
    assert run["complete"] is True
    assert run["exit_status"] == 1
    assert run["units"]["north"]["parameters"]["quarter"] == "2026Q3"
    assert run["units"]["north"]["data"]["financials"] == {
        "file": "financials.csv",
        "sha256": record.file_digest(case / "financials.csv"),
    }
    assert run["versions"]["pandas"]
    assert run["started"] <= run["finished"]
    made = run["notebooks"]["north/first.en"]
    assert set(made["outputs"]) == {"north/tables/first_values.parquet", "north/first.en.ipynb", "north/first.en.html"}
    assert made["parameters"]["lookback_days"] == 30
    assert run["notebooks"]["faulty/first.en"]["status"] == "failed"


def test_what_is_up_to_date_is_left_alone(place):
    _, home, again = place
    before = {path: path.stat().st_mtime_ns for path in home.glob("[ngs]*/**/*") if path.is_file()}
    report = again(units=["north", "south", "group"])
    assert set(statuses(report).values()) == {"unchanged", "not_made"}
    assert report.exit_status == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    index = home / "index.html"
    written = index.stat().st_mtime_ns
    again(units=["north", "south", "group"])
    assert index.stat().st_mtime_ns == written
    index.write_text("spoilt")
    again(units=["north"])
    assert "spoilt" not in index.read_text(encoding="utf-8")
    (home / "north/report.en.html").write_text("spoilt")
    assert statuses(again(units=["north"], notebooks=["report"])) == {"north/report": "made"}
    assert "spoilt" not in (home / "north/report.en.html").read_text()
    assert statuses(again(units=["south"], notebooks=["report"], force=True)) == {"south/report": "made"}


def test_a_changed_parameter_reaches_all_that_reads_it(place):
    folder, home, again = place
    (folder / "north.yml").write_text("unit: north\nlookback_days: 60\n")
    report = again(units=["north"], notebooks=["report"])
    assert printed(home / "north/report.en.ipynb") == "read: nothing\n"  # never the 30 days of another run
    assert report.entries[0].left_out == ["north/first"]
    report = again(units=["north", "group"])
    assert (
        statuses(report)["north/first"] == statuses(report)["north/report"] == statuses(report)["group/all"] == "made"
    )
    assert printed(home / "north/report.en.ipynb") == "read: north 60\n"
    assert "north: north 60\nsouth: south 30\n" in printed(home / "group/all.en.ipynb")


def test_a_failure_leaves_the_last_good_output(place):
    folder, home, again = place
    before = snapshot(home / "north")
    (folder / "north.yml").write_text("unit: north\nlookback_days: 13\n")
    report = again(units=["north"], notebooks=["first"])
    assert report.exit_status == 1
    assert snapshot(home / "north") == before
    assert (home / "failed/north/first.en.html").is_file()
    assert "north/first.en.html" in (home / "index.html").read_text(encoding="utf-8")
    (folder / "north.yml").write_text("unit: north\n")
    assert statuses(again(units=["north"], notebooks=["first"])) == {"north/first": "made"}
    assert not (home / "failed/north/first.en.html").exists()


def test_a_page_that_reads_results_is_not_remade_from_less_than_it_had(place):
    folder, home, again = place
    before = snapshot(home / "north"), snapshot(home / "group")
    (folder / "north.yml").write_text("unit: north\nlookback_days: 13\n")
    report = again()
    assert statuses(report)["north/report"] == "failed" and statuses(report)["south/report"] == "unchanged"
    said = {f"{entry.unit}/{entry.notebook}": entry.message for entry in report.entries}
    assert said["north/report"] == "not remade without north/first; the last good page stands"
    assert said["group/all"] == "not remade without north/first, north/report; the last good page stands"
    assert (snapshot(home / "north"), snapshot(home / "group")) == before
    assert statuses(again(force=True))["north/report"] == "made"


def test_last_quarters_tables_are_part_of_what_a_page_follows_from(tiny, tmp_path):
    notebooks, outputs = tmp_path / "notebooks", tmp_path / "outputs"
    notebooks.mkdir()
    for name, line in (("first", 'previous_case = \\"\\"\\n'), ("other", "")):
        text = (NOTEBOOKS / "first.ipynb").read_text(encoding="utf-8").replace("first_values", f"{name}_values")
        (notebooks / f"{name}.ipynb").write_text(text.replace('save_dir = \\"\\"', line + 'save_dir = \\"\\"'))
    (tiny / "north.yml").write_text("unit: north\nprevious_case: before\n")
    tables = outputs / "before" / "north" / "tables"
    tables.mkdir(parents=True)
    (outputs / "before" / "run.json").write_text("{}")

    def again():
        return statuses(run_case(tiny, units=["north"], output=outputs, notebooks_dir=notebooks, jobs=1))

    made, unchanged = ({"north/first": status, "north/other": "unchanged"} for status in ("made", "unchanged"))
    assert set(again().values()) == {"made"}
    assert again() == unchanged
    for content in ("0.9", "1.1"):  # published now, then published anew
        (tables / "first_iroas.parquet").write_text(content)
        assert again() == made
        assert again() == unchanged
    (tables / "second_iroas.parquet").write_text("another notebook's")
    assert again() == unchanged
    (tables / "first_iroas.parquet").unlink()
    assert again() == made


def test_another_language_stands_beside_the_first(place):
    _, home, again = place
    tables = snapshot(home / "north/tables")
    assert statuses(again(units=["north"], notebooks=["first"], language="it")) == {"north/first": "made"}
    assert printed(home / "north/first.it.ipynb") == "tiny north 2026Q3 it 30\n"
    assert snapshot(home / "north/tables") == tables
    assert statuses(again(units=["north"], notebooks=["first"])) == {"north/first": "unchanged"}


def test_refused_data_touch_nothing(place):
    folder, home, again = place
    before = snapshot(home)
    (folder / "financials.csv").write_text(
        "quarter,unit,basis,filing,figures,rounded,revenue\n2026Q3,north,b,f,,x,ten\n"
    )
    report = again()
    assert report.exit_status == 2
    assert {entry.status for entry in report.entries} == {"refused", "not_made"}
    assert "no rows for unit 'south'" in next(
        e.message for e in report.entries if e.unit == "south" and e.message[:2] != "no"
    )
    assert snapshot(home) == before


def test_one_refused_unit_stops_no_other_and_keeps_its_record(place):
    folder, home, again = place
    (folder / "south.yml").write_text("unit: south\ndata: {financials: {file: south.csv}}\n")
    report = again(units=["north", "south"])
    assert report.exit_status == 1
    assert statuses(report)["north/report"] == "unchanged"
    assert statuses(report)["south/report"] == "refused"
    assert "south.csv" in json.loads((home / "run.json").read_text())["refused"]["south"]
    (folder / "south.yml").write_text("unit: south\n")
    assert statuses(again(units=["south"]))["south/report"] == "unchanged"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"units": ["nroth"]}, "Did you mean 'north'"),
        ({"notebooks": ["reprot"]}, "Did you mean 'report'"),
        ({"notebooks": ["hand"]}, "work by hand"),
        ({"language": "fr"}, "language 'fr' is not available"),
        ({"jobs": 0}, "State 1 or more"),
        ({"units": ["group"], "notebooks": ["report"]}, "nothing to run"),
    ],
)
def test_unknown_names_are_refused_before_anything_runs(tiny, tmp_path, wanted, said):
    with pytest.raises(ToolkitError, match=said):
        run_case(tiny, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS, **wanted)
    assert not list(tmp_path.glob("outputs/tiny/*/*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("unit: ../x", "cannot name a folder"),
        ("unit: <script>", "cannot name a folder"),
        ("unit: " + "x" * 300, "cannot name a folder"),
        ("unit: NORTH", "same output"),
        ("unit: south2\nlookback_day: 3", "Did you mean 'lookback_days'"),
        ("unit: [", "line 1"),
        ("unit: !!python/object/apply:os.system [ls]", "YAML tags are not read"),
    ],
)
def test_hostile_parameter_files_are_refused(tiny, tmp_path, content, said):
    (tiny / "zz.yml").write_text(content)
    with pytest.raises(Faults, match=said):
        run_case(tiny, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS)
    assert not (tmp_path / "outputs").exists()


def test_this_process_reads_and_renders_one_at_a_time(tiny, tmp_path, monkeypatch):
    """Two threads that import parts of one library at once may find it half imported (seen with openpyxl)."""
    inside, most = [], []

    def busy(*said):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return []

    for name in ("check_unit", "render_page", "render_failure", "load"):
        monkeypatch.setattr(chain, name, busy)
    monkeypatch.setattr(chain, "execute", lambda *said, **more: None)
    run_case(tiny, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS, jobs=3)
    assert len(most) >= 9
    assert max(most) == 1


def test_one_run_of_a_case_at_a_time(tiny, tmp_path):
    home = tmp_path / "outputs" / "tiny"
    home.mkdir(parents=True)
    with only_run(home), pytest.raises(ToolkitError, match="under way"):
        run_case(tiny, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS)


@pytest.mark.skipif(os.name == "nt", reason="no kill -9 on Windows")
def test_a_killed_run_leaves_published_pages_whole_and_no_kernel(place):
    folder, home, again = place
    before = snapshot(home)
    slow = Path(__file__).parent / "slow"
    call = f"from kpitoolkit.batch.runner import run_case; run_case({str(folder)!r}, units=['north'], force=True, "
    call += f"output={str(home.parent)!r}, notebooks_dir={str(slow)!r})"
    run = subprocess.Popen([sys.executable, "-c", f"from pathlib import Path; {call}"])
    kernel = wait_for(lambda: sum(int(path.read_text() or 0) for path in home.glob(".work-*/made/*/*/kernel.pid")))
    run.send_signal(signal.SIGKILL)
    run.wait()
    after = {name: content for name, content in snapshot(home).items() if not name.startswith(".work")}
    assert after == before
    wait_for(lambda: not is_alive(kernel))
    assert set(statuses(again(units=["north"])).values()) == {"unchanged", "not_made"}
    assert not list(home.glob(".work*"))


def wait_for(told, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := told():
            return found
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (OSError, FileNotFoundError):
        return False


def test_one_line_without_colours():
    class Told(Exception):
        ename, evalue = "Faults", "\x1b[31mledger:\x1b[0m 2 faults\n  - one"

    assert one_line(Told()) == "ledger: 2 faults - one"
