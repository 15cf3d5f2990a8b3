"""The front door as a user meets it: messages, exit status, and how little is imported to say them."""

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from kpitoolkit import __version__
from kpitoolkit.cli import main
from tests.batch.conftest import FINANCIALS, NOTEBOOKS, write_case


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own: parameters/tiny, the notebooks of the batch's tests, outputs."""
    write_case(tmp_path, units=("north",))
    (tmp_path / "notebooks").symlink_to(NOTEBOOKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KPITOOLKIT_OUTPUTS", raising=False)
    return tmp_path


def test_help_and_version_import_nothing_heavy():
    heavy = "import sys, kpitoolkit.cli; print([m for m in ('pandas', 'papermill', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert call("--version").output == f"kpitoolkit, version {__version__}\n"
    assert "run" in call("-h").output


def test_check_imports_no_notebook_machinery(project):
    heavy = (
        "import sys; from kpitoolkit.cli import main; main(['check', 'tiny'], standalone_mode=False); "
        "print([m for m in ('papermill', 'nbconvert', 'nbclient', 'matplotlib', 'statsmodels') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout
    assert said == "north: fine\n[]\n"


def test_run_says_what_was_made_and_where_to_look(project):
    done = call("run", "tiny", "--jobs", "1", "--notebook", "first")
    assert done.exit_code == 0
    assert "north first: made in" in done.stderr
    assert "north: made first\n" in done.stdout
    assert f"Open {project / 'outputs/tiny/index.html'}" in done.stdout
    again = call("run", "parameters/tiny", "--notebook", "first")
    assert again.exit_code == 0
    assert "north: unchanged first\n" in again.stdout
    (project / "parameters/tiny/north.yml").write_text("unit: north\nlookback_days: 13\n")
    failed = call("run", "tiny", "--notebook", "first", "--notebook", "needy")
    assert failed.exit_code == 1
    assert "\nnorth: FAILED first\n  first: ValueError: no such luck\n" in failed.stdout
    assert "not made needy: no touchpoints and orders declared" in failed.stdout
    assert (project / "outputs/tiny/failed/north/first.en.html").is_file()
    assert (project / "outputs/tiny/north/first.en.html").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "tinny"], "Did you mean 'tiny'"),
        (["run", "tiny", "--unit", "noth"], "Did you mean 'north'"),
        (["run", "tiny", "--notebook", "frist"], "Did you mean 'first'"),
        (["run", "tiny", "--language", "itt"], "Did you mean 'it'"),
        (["check", "tinny"], "Did you mean 'tiny'"),
        (["check", "tiny", "--unit", "noth"], "Did you mean 'north'"),
        (["sample", "parameters"], "not empty"),
        (["sample", "new", "--scale", "0"], "not above 0"),
        (["run", "tiny", "--jbos", "2"], "--jobs"),
        (["run", "tiny", "--time-limit", "0"], "State more than 0"),
        (["run", "tiny", "--retries", "-1"], "State 0 or more"),
        (["run", "tiny", "--dry-run", "--unit", "noth"], "Did you mean 'north'"),
        (["new-quarter", "tinny", "2026Q4"], "Did you mean 'tiny'"),
        (["new-quarter", "tiny", "2027Q4"], "State 2026Q4, or add --force"),
    ],
)
def test_what_is_refused_is_one_message(project, words, said):
    done = call(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(project.glob("outputs/tiny/*/*"))


def test_faulty_parameters_and_data_are_refused_with_all_faults(project):
    case = project / "parameters/tiny"
    (case / "north.yml").write_text("unit: north\nlookback_day: 3\nmateriality_share: 7\n")
    for command in ("run", "check"):
        done = call(command, "tiny")
        assert done.exit_code == 2
        assert "Did you mean 'lookback_days'" in done.stderr
        assert "materiality_share" in done.stderr
    (case / "north.yml").write_text("unit: north\n")
    (case / "financials.csv").unlink()
    checked, ran = call("check", "tiny"), call("run", "tiny")
    assert checked.exit_code == ran.exit_code == 2
    assert "north: 1 fault\n  - financials.csv: the file does not exist" in checked.stderr
    assert "Nothing was run" in ran.stdout
    assert not list(project.glob("outputs/tiny/*/*"))


def test_merged_parameters_of_one_unit(project):
    done = call("check", "tiny", "--write-merged", "merged.yml")
    assert done.exit_code == 0
    assert "quarter: 2026Q3" in (project / "merged.yml").read_text()
    write_case(project, units=("south",))
    done = call("check", "tiny", "--write-merged", "other.yml")
    assert done.exit_code == 2
    assert "--unit" in done.stderr
    assert not (project / "other.yml").exists()


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a process otherwise on Windows")
def test_ctrl_c_ends_at_once_and_leaves_nothing_half_written(project):
    (project / "notebooks").unlink()
    (project / "notebooks").symlink_to(NOTEBOOKS.parent / "slow")
    run = subprocess.Popen(
        [sys.executable, "-c", "from kpitoolkit.cli import main; main()", "run", "tiny"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(project.glob("outputs/tiny/.work-*/made/*/*/kernel.pid")):
        assert time.monotonic() < deadline, "no kernel"
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130
    assert said == "Interrupted. What was published stands.\n"
    assert {path.name for path in (project / "outputs/tiny").iterdir()} <= {".lock"}


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_faulty_catalogue_is_refused_before_anything_runs(project, command):
    (project / "parameters/kpis.yml").write_text("version: v1\ndate: 2026-01-01\nkpis: []\nkpi: 1\n")
    done = call(command, "tiny")
    assert done.exit_code == 2 and "catalogue of KPIs" in done.stderr and "Traceback" not in done.stderr
    (project / "parameters/kpis.yml").unlink()
    (project / "parameters/tiny/north.yml").write_text("unit: north\ncatalogue: nope.yml\n")
    done = call(command, "tiny")
    assert done.exit_code == 2 and "there is no catalogue" in done.stderr
    assert not (project / "outputs").exists()


def test_the_end_of_a_batch_with_three_broken_units_reads_well(project):
    """One refused by its data, one whose notebook fails, one whose kernel ends: each told once, with what to do."""
    case = write_case(project, units=("north", "south", "west", "east"))
    (project / "notebooks").unlink()
    (project / "notebooks").mkdir()
    for name in ("first", "report"):
        text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
        ends = 'import os\\n",\n    "if lookback_days == 14:\\n",\n    "    os._exit(9)\\n",\n    "from pathlib'
        text = text.replace("from pathlib", ends) if name == "first" else text
        (project / "notebooks" / f"{name}.ipynb").write_text(text, encoding="utf-8")
    for unit, lines in {"south": "lookback_days: 13", "west": "lookback_days: 14"}.items():
        (case / f"{unit}.yml").write_text(f"unit: {unit}\nunit_in_data: north\n{lines}\n")
    (case / "east.yml").write_text("unit: east\ndata: {financials: {file: a.csv}, orders: {file: b.csv}}\n")
    done = call("run", "tiny", "--jobs", "2", "--retries", "0")
    assert done.exit_code == 1 and "Traceback" not in done.output
    start, *broken, next_steps, last = done.stdout.strip().split("\n\n")
    assert start == "north: made first, report"
    assert [part.split("\n")[0] for part in broken] == [
        "east: REFUSED, its data are faulty:",
        "south: FAILED first",
        "west: FAILED first",
    ]
    assert (
        done.stdout.count("a.csv: the file does not exist") == done.stdout.count("b.csv: the file does not exist") == 1
    )
    assert "first: ValueError: no such luck\n    as far as it ran: outputs/tiny/failed/south/first.en.html" in broken[1]
    assert "the kernel ended" in broken[2] and "9" in broken[2]
    assert "correct the data of east, and test them: kpitoolkit check parameters/tiny --unit east" in next_steps
    assert "see why south, west failed" in next_steps and "run again: kpitoolkit run parameters/tiny" in next_steps
    assert last.startswith("English: 4 made, 2 failed, 2 refused, ")
    index = (project / "outputs/tiny/index.html").read_text(encoding="utf-8")
    assert index.count("a.csv: the file does not exist") == 1 and "b.csv: the file does not exist" in index


def test_a_dry_run_says_what_would_run_and_writes_nothing(project):
    done = call("run", "tiny", "--dry-run")
    assert done.exit_code == 0
    assert "north first: would run: never made\n" in done.stdout
    assert done.stdout.endswith("Nothing was run or written.\n")
    assert not (project / "outputs").exists()


def test_the_next_quarters_case_is_checked_as_any_other(project):
    done = call("new-quarter", "tiny", "2026Q4")
    assert done.exit_code == 0
    assert done.stdout.startswith(
        "parameters/tiny-2026Q4: made from tiny.\nChanged:\n  - _defaults.yml: quarter 2026Q3"
    )
    assert "financials.csv: put financials of 2026Q4 there" in done.stdout
    assert done.stdout.endswith("Then: kpitoolkit check parameters/tiny-2026Q4\n")
    assert "does not exist" in call("check", "tiny-2026Q4").stderr
    data = FINANCIALS + FINANCIALS.split("\n", 1)[1].replace("2026Q3", "2026Q4")
    (project / "parameters/tiny-2026Q4/financials.csv").write_text(data)
    assert call("check", "tiny-2026Q4").exit_code == 0
