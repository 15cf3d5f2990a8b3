"""What a person sees of a run: plain lines in a file, a live display on a real terminal, an honest time left."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kpitoolkit.batch import progress
from kpitoolkit.batch.progress import State, summary
from kpitoolkit.batch.record import Entry

ROOT = Path(__file__).parents[2]
STORY = """
import time
from kpitoolkit.batch import progress
from kpitoolkit.batch.record import Entry
progress.SILENCE_SECONDS = 1.0
with progress.shown(jobs=2) as tell:
    for unit in ("north", "south", "west"):
        for notebook in ("first", "report"):
            tell(Entry(unit, notebook, "en", "waiting"), 0, 6)
    tell(Entry("north", "first", "en", "running"), 0, 6)
    time.sleep(1.5)
    tell(Entry("north", "first", "en", "made", seconds=24.2, kernel="warm"), 1, 6)
    tell(Entry("north", "report", "en", "failed", message="ValueError: no such [bold]luck[/bold]"), 2, 6)
    for done, notebook in ((3, "first"), (4, "report")):
        tell(Entry("south", notebook, "en", "refused", message="a.csv: no rows\\nb.csv: no rows"), done, 6)
    tell(Entry("west", "first", "en", "running"), 4, 6)
    time.sleep(0.6)
print("the end")
"""

DIES = """
import os, sys
if any("IPKernelApp" in word for word in sys.orig_argv):
    os._exit(7)
"""
RUN = """
import sys
from pathlib import Path
from kpitoolkit.batch import progress
from kpitoolkit.batch.runner import run_case
from tests.batch.conftest import NOTEBOOKS
with progress.shown() as tell:
    case, outputs = map(Path, sys.argv[1:])
    told = {"notebooks": ["first"], "units": ["north"], "kernels": "cold", "notebooks_dir": NOTEBOOKS, "tell": tell}
    report = run_case(case, output=outputs, **told)
print(report.entries[0].attempts)
"""


def test_plain_lines_say_each_thing_once_with_the_time_of_day():
    told = subprocess.run([sys.executable, "-c", STORY], capture_output=True, text=True, check=True)
    assert told.stdout == "the end\n"
    lines = told.stderr.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    lines = [line[9:] for line in lines]
    assert re.fullmatch(r"still running: north first since \d\d:\d\d:\d\d \(0 of 6\)", lines.pop(0))
    assert lines == [
        "[1/6] north first: made in 24 s (warm)",
        "[2/6] north report: failed: ValueError: no such [bold]luck[/bold]",
        "[3/6] south first: refused: a.csv: no rows (1 more told at the end)",
        "[4/6] south report: refused",
    ]


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals on Windows")
def test_a_terminal_shows_what_runs_and_keeps_what_failed():
    import pty

    shown = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40", "NO_COLOR": "1"}
    ran = subprocess.Popen([sys.executable, "-c", STORY], stdin=shown[1], stdout=shown[1], stderr=shown[1], env=env)
    os.close(shown[1])
    text = b""
    try:
        while part := os.read(shown[0], 65536):
            text += part
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(shown[0])
    assert ran.wait(timeout=60) == 0
    text = text.decode()
    assert re.search(r"0 of 6 \(\d s so far\)", text)
    assert re.search(r"  north +first +\d s, since \d\d:\d\d:\d\d", text)
    assert "4 of 6: 1 made, 2 refused, 1 failed" in text
    assert re.search(r"\d\d:\d\d:\d\d north report: failed: ValueError: no such \[bold\]luck\[/bold\]", text)
    assert text.count("south first: refused: a.csv: no rows") == 1 and "south report: refused" not in text
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.split("\x1b[?25h")[-1])  # the display has cleared itself
    assert last.split() == ["the", "end"]


def test_a_dumb_terminal_is_none(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    with progress.shown() as tell:
        tell(Entry("north", "first", "en", "unchanged"), 1, 1)
    assert capsys.readouterr().err[9:] == "[1/1] north first: unchanged\n"


now_at = [0.0]


def state(last: dict, jobs=2):
    now = State(jobs, clock=lambda: now_at[0])
    for (unit, notebook), seconds in last.items():
        now.take(Entry(unit, notebook, "en", "waiting", seconds=seconds), len(last))
    return now


def test_no_time_is_told_before_there_is_ground_for_it():
    now = state({("a", "first"): 0.0, ("a", "report"): 0.0, ("b", "first"): 0.0})
    assert now.left() is None
    now.take(Entry("a", "first", "en", "made", seconds=10.0), 3)
    assert now.left() is None  # nothing is known of reports
    now.take(Entry("a", "report", "en", "made", seconds=5.0), 3)
    assert now.left() == 10.0  # b's first, as a's


def test_time_left_follows_last_time_and_how_this_run_compares():
    last = {(unit, "first"): 10.0 for unit in "abcd"} | {("group", "all"): 6.0}
    now = state(last)
    now.take(Entry("a", "first", "en", "made", seconds=5.0), 5)  # twice as fast
    assert now.left() == 3 * 5.0 / 2 + 3.0
    now.take(Entry("b", "first", "en", "running"), 5)
    now_at[0] = 4.0
    assert now.left() == (1.0 + 5.0 + 5.0) / 2 + 3.0
    now.take(Entry("b", "first", "en", "unchanged", seconds=10.0), 5)  # took nothing now
    assert now.left() == 2 * 2.5 / 2 + 6 * 5 / 20
    now_at[0] = 0.0
    assert "about 4 s left" in summary(now)


def test_one_long_unit_is_not_shared_among_jobs():
    now = state({("a", "first"): 10.0, ("b", "first"): 10.0, ("b", "report"): 60.0}, jobs=4)
    now.take(Entry("a", "first", "en", "made", seconds=10.0), 3)
    assert now.left() == 70.0


def test_what_libraries_log_of_a_kernel_that_dies_at_start_is_no_line(tiny, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(DIES)
    told = subprocess.run(
        [sys.executable, "-c", RUN, str(tiny), str(tmp_path / "outputs")],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    said = "the kernel ended by itself (exit code 7)"
    assert [line[9:] for line in told.stderr.splitlines()] == [f"[1/1] north first: failed: {said}"]
    assert told.stdout == f"{[said]}\n"
