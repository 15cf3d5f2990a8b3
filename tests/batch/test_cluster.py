"""A real cluster of several processes: the same results as here, whoever dies in the middle."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kpitoolkit.batch import cluster as under_test
from kpitoolkit.batch.runner import run_case
from kpitoolkit.errors import Faults, ToolkitError
from tests.batch.clusters import COLD, two_workers
from tests.batch.conftest import NOTEBOOKS, write_case
from tests.batch.gates import wait_for, write_notebooks


class Run(threading.Thread):
    """A run on a cluster, in a thread, so that a test may do harm meanwhile."""

    def __init__(self, case: Path, outputs: Path, notebooks: Path, scheduler: str, **wanted):
        super().__init__(daemon=True)
        self.told, self.report, self.error = [], None, None
        self.wanted = {"output": outputs, "notebooks_dir": notebooks, "scheduler": scheduler, **wanted}
        self.case = case
        self.start()

    def run(self):
        try:
            self.report = run_case(self.case, tell=lambda entry, *_: self.told.append(entry), **self.wanted)
        except Exception as error:
            self.error = error

    def statuses(self) -> dict[str, str]:
        assert self.error is None, self.error
        return {f"{entry.unit}/{entry.notebook}": entry.status for entry in self.report.entries}


def of(told, place):
    return [entry.status for entry in told if f"{entry.unit}/{entry.notebook}" == place]


def tables(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.glob("*/tables/*"))}


def outputs_of_cells(path: Path) -> list:
    return [cell.get("outputs") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with two_workers(tmp_path_factory.mktemp("dask")) as both:
        yield both


def test_a_cluster_makes_what_this_machine_makes(place, tmp_path, monkeypatch):
    monkeypatch.setenv("KPITOOLKIT_KERNELS", "cold")
    case = write_case(tmp_path)
    here = run_case(case, output=tmp_path / "here", notebooks_dir=NOTEBOOKS, jobs=2)
    there = Run(case, tmp_path / "there", NOTEBOOKS, place[0].address)
    there.join(600)
    assert there.statuses() == {f"{e.unit}/{e.notebook}": e.status for e in here.entries}
    assert next(e for e in there.report.entries if e.status == "failed").message == "ValueError: no such luck"
    ours, theirs = tmp_path / "here/tiny", tmp_path / "there/tiny"
    assert tables(ours) and tables(theirs) == tables(ours)
    pages = sorted(path.relative_to(ours) for path in ours.rglob("*.*") if path.suffix in (".html", ".ipynb"))
    assert pages == sorted(p.relative_to(theirs) for p in theirs.rglob("*.*") if p.suffix in (".html", ".ipynb"))
    for name in pages:
        if name.suffix == ".ipynb":
            assert outputs_of_cells(theirs / name)[1:] == outputs_of_cells(ours / name)[1:]
    run = json.loads((theirs / "run.json").read_text(encoding="utf-8"))
    assert run["complete"] is True
    assert set(run["notebooks"]["north/first.en"]["outputs"]) == {
        "north/tables/first_values.parquet", "north/first.en.ipynb", "north/first.en.html",
    }  # fmt: skip
    assert not list(theirs.glob(".work*"))
    assert ".work" not in (theirs / "north/report.en.ipynb").read_text(encoding="utf-8")
    again = Run(case, tmp_path / "there", NOTEBOOKS, place[0].address, units=["north", "south", "group"])
    again.join(600)
    assert set(again.statuses().values()) == {"unchanged", "not_made"}


def test_a_unit_whose_worker_is_killed_goes_on_elsewhere(place, tmp_path):
    here, client = place
    case = write_case(tmp_path, units=("north", "south"))
    notebooks = write_notebooks(tmp_path / "notebooks")
    gate = case / "gate-north"
    gate.touch()
    processes = client.run(os.getpid)
    run = Run(case, tmp_path / "outputs", notebooks, here.address, force=True)
    wait_for(lambda: "running" in of(run.told, "north/two"))
    key = next(worker for worker, keys in client.processing().items() if any("-north-" in str(key) for key in keys))
    os.kill(processes[key], signal.SIGKILL)
    gate.unlink()
    run.join(600)
    assert set(run.statuses().values()) == {"made"}
    assert of(run.told, "north/one").count("made") == 1  # it was published before the worker died: not made again
    home = tmp_path / "outputs/tiny"
    assert (home / "north/tables/two_values.parquet").read_text() == "north two"
    assert "one_values.parquet north one" in "".join(outputs_of_cells(home / "group/all.en.ipynb")[-1][0]["text"])
    known = json.loads((home / "run.json").read_text())["notebooks"]["north/one.en"]
    assert known["finished"] == next(e for e in run.told if e.place == "north/one.en" and e.status == "made").finished
    if len(client.nthreads()) < 2:
        wait_for(lambda: any(worker.poll() is not None for worker in here.workers) or len(client.nthreads()) == 2)
    if len(client.nthreads()) < 2:
        here.start("another", "--no-nanny", env=COLD)
    client.wait_for_workers(2, timeout=90)  # the next tests need both


def test_a_cluster_that_differs_is_refused(place, tmp_path, monkeypatch):
    case = write_case(tmp_path, units=("north",))
    monkeypatch.setattr(under_test.record, "versions", lambda: {"kpitoolkit": "0", "pandas": "2.9"})
    with pytest.raises(Faults) as refused:
        run_case(case, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS, scheduler=place[0].address)
    assert "has pandas" in str(refused.value) and "here it is 2.9" in str(refused.value)
    assert "so nothing was run" in str(refused.value)
    assert [path.name for path in (tmp_path / "outputs/tiny").iterdir()] == [".lock"]


def test_what_a_worker_cannot_see_is_named(tmp_path):
    places = {"case": str(tmp_path), "notebooks": str(NOTEBOOKS), "outputs": str(tmp_path)}
    (tmp_path / "probe").write_text("x")
    (tmp_path / "a.yml").write_text("unit: a")
    here = under_test.seen(places)
    assert under_test._differences(here, under_test.seen(places), places) == []
    nowhere = under_test.seen(dict.fromkeys(places, str(tmp_path / "nowhere")))
    said = "\n".join(under_test._differences(here, nowhere, places))
    for what in ("the case", "the notebooks", "the outputs"):
        assert f"({what}). Put it on a file system that all machines share" in said
    other = {**here, "package": "0", "written": "Read-only file system"}
    said = under_test._differences(here, other, places)
    assert len(said) == 2 and "Read-only file system" in said[0] and "other sources of kpitoolkit" in said[1]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://anna:s3cret@localhost:8786", "a user or a password is refused"),
        ("localhost", "'localhost' is no address"),
        ("http://localhost:8786", "is no address"),
        ("tcp://localhost", "is no address"),
    ],
)
def test_an_address_that_is_none_is_refused(address, said, tmp_path):
    case = write_case(tmp_path, units=("north",))
    with pytest.raises(ToolkitError, match=said) as refused:
        run_case(case, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS, scheduler=address)
    assert "s3cret" not in str(refused.value)


def test_a_scheduler_that_does_not_answer_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(under_test, "_REACH_SECONDS", 2)
    case = write_case(tmp_path, units=("north",))
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection and never says a word
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ToolkitError, match="no Dask scheduler answers there"):
            run_case(case, output=tmp_path / "outputs", notebooks_dir=NOTEBOOKS, scheduler=address)
    assert not (tmp_path / "outputs/tiny/run.json").exists()


def test_without_dask_it_says_what_to_install(tmp_path):
    case = write_case(tmp_path, units=("north",))
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from kpitoolkit.batch.runner import run_case\n"
        f"run_case({str(case)!r}, output={str(tmp_path / 'o')!r}, notebooks_dir={str(NOTEBOOKS)!r},"
        " scheduler='tcp://localhost:8786')"
    )
    code = code.replace(f"run_case({str(case)!r}", f"from pathlib import Path; run_case(Path({str(case)!r})")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'kpitoolkit[cluster]'" in ended.stderr


def test_when_all_workers_have_died_the_run_ends_and_what_stands_stands(place, tmp_path, monkeypatch):
    monkeypatch.setattr(under_test, "_ALONE_SECONDS", 3)
    here, _ = place
    case = write_case(tmp_path, units=("north", "south"))
    notebooks = write_notebooks(tmp_path / "notebooks")
    first = Run(case, tmp_path / "outputs", notebooks, here.address)
    first.join(600)
    assert set(first.statuses().values()) == {"made"}
    home = tmp_path / "outputs/tiny"
    before = {name: path.read_bytes() for name in tables(home) for path in [home / name]}
    for unit in ("north", "south"):
        (case / f"gate-{unit}").touch()
    run = Run(case, tmp_path / "outputs", notebooks, here.address, force=True)
    wait_for(lambda: "running" in of(run.told, "north/two") and "running" in of(run.told, "south/two"))
    here.kill()
    run.join(600)
    assert run.statuses() == {
        "north/one": "made", "north/two": "failed", "south/one": "made", "south/two": "failed", "group/all": "failed",
    }  # fmt: skip
    said = next(entry for entry in run.report.entries if entry.status == "failed").message
    assert said.startswith("no worker was left") and "goes on from here" in said
    assert run.report.exit_status == 1
    assert tables(home) == before
    assert json.loads((home / "run.json").read_text())["complete"] is True
