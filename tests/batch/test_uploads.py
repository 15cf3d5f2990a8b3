"""Real runs whose outputs are in a bucket: killed or interrupted in the middle, out of reach of it, or on a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpitoolkit.batch import bucket, runner
from kpitoolkit.batch.runner import run_case
from kpitoolkit.cli import main
from tests.batch.clusters import two_workers
from tests.batch.conftest import write_case
from tests.batch.gates import wait_for, write_notebooks
from tests.batch.stores import BUCKET, described, stands, wrong

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from pathlib import Path
from kpitoolkit.batch.runner import run_case
case, notebooks, output = sys.argv[1:]
run_case(Path(case), notebooks_dir=Path(notebooks), output=output, jobs=1)
"""
FRONT_DOOR = """
import sys
from kpitoolkit.batch import bucket
from kpitoolkit.cli import main
bucket._GIVING_UP_SECONDS = float(sys.argv.pop(1))
main()
"""


def units(found: dict[str, bytes]) -> dict[str, set[str]]:
    """Which notebooks of which unit a bucket's run.json describes."""
    known = json.loads(found["run.json"])["notebooks"].values() if "run.json" in found else ()
    return {unit: {e["notebook"] for e in known if e["unit"] == unit} for unit in {e["unit"] for e in known}}


def test_a_run_that_is_killed_is_taken_up_by_another_machine(environment, tmp_path, monkeypatch):
    case = write_case(tmp_path, units=("north", "south"))
    notebooks = write_notebooks(tmp_path / "notebooks")
    output, prefix = f"s3://{BUCKET}/killed", "killed/tiny"
    gate = case / "gate-south"
    gate.touch()
    told = [sys.executable, "-c", RUN, str(case), str(notebooks), output]
    with open(tmp_path / "log", "w") as log:
        run = subprocess.Popen(told, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log)
        try:
            wait_for(lambda: run.poll() is not None or "north" in units(stands(environment, prefix)))
            home = next((tmp_path / "me").glob("s3/*/outputs/tiny"))
            wait_for(lambda: run.poll() is not None or (home / "south/tables/one_values.parquet").is_file())
            assert run.poll() is None, (tmp_path / "log").read_text()
        finally:
            run.send_signal(signal.SIGKILL)
            run.wait()
    found = stands(environment, prefix)
    assert units(found) == {"north": {"one", "two"}} and not wrong(found)
    assert json.loads(found["run.json"])["complete"] is False
    assert not [name for name in found if name.startswith(("south", "group", "index"))]  # south was half made

    gate.unlink()
    monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path / "another"))
    environment.delete_object(Bucket=BUCKET, Key=f"{prefix}/{bucket.LOCK}")  # or a quarter of an hour later
    report = run_case(case, notebooks_dir=notebooks, output=output, jobs=1)
    assert {f"{e.unit}/{e.notebook}": e.status for e in report.entries} == {
        "north/one": "unchanged", "north/two": "unchanged", "south/one": "made", "south/two": "made",
        "group/all": "made",
    }  # fmt: skip
    after = stands(environment, prefix)
    assert json.loads(after["run.json"])["complete"] is True and "index.html" in after
    assert not wrong(after)
    north = [name for name in described(found) if not name.endswith(".html")]
    assert {name: after[name] for name in north} == {name: found[name] for name in north}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own with one unit, and the notebooks that wait at gates."""
    (tmp_path / "pyproject.toml").touch()
    write_notebooks(tmp_path / "notebooks")
    write_case(tmp_path, units=("north",))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a process otherwise on Windows")
@pytest.mark.parametrize(("times", "waits"), [(1, 2), (2, 60)])
def test_ctrl_c_while_an_upload_hangs_ends_the_run(server, environment, project, times, waits):
    server.hangs_at = f"hangs{times}/tiny/north/"
    words = ["run", "tiny", "--notebook", "one", "--output", f"s3://{BUCKET}/hangs{times}"]
    told = [sys.executable, "-c", FRONT_DOOR, str(waits), *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen(told, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: run.poll() is not None or server.hangs)
        for _ in range(times):
            assert run.poll() is None
            run.send_signal(signal.SIGINT)
            time.sleep(0.5)
        _, said = run.communicate(timeout=8)
    finally:
        run.kill()
        run.wait()
        server.hangs_at, server.hangs = "", False
    assert run.returncode == 130
    _made, *last = said.splitlines()
    where = f"s3://{BUCKET}/hangs{times}/tiny"
    left = f"The lock on {where} could not be taken away: the next run can begin in 15 minutes"
    assert last == ["Interrupted. What was published stands.", left][: 3 - times]


def test_a_last_upload_that_fails_is_said_after_all_the_rest(server, environment, project, monkeypatch):
    write_case(project, units=("west",))  # of which the tables have no row
    write_index = runner.write_index

    def network_lost(*words):
        server.left = 0
        return write_index(*words)

    words = ["run", "tiny", "--notebook", "one", "--output", f"s3://{BUCKET}/last"]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "write_index", network_lost)
        patch.setitem(bucket._LIMITS, "retries", {"max_attempts": 1, "mode": "standard"})
        ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 1, ran.output
    home = next((project / "me").glob("s3/*/outputs/tiny"))
    assert "north: made one\n" in ran.stdout and "west: REFUSED, its data are faulty:" in ran.stdout
    *_, counted, fault = ran.stdout.splitlines()
    assert counted.startswith("English: 1 made, 1 refused") and str(home) in counted
    assert fault.startswith(f"not uploaded: s3://{BUCKET}/last/tiny: the store cannot be reached (")
    assert fault.endswith(f"; the pages stand in {os.path.relpath(home)}; run again to upload them")
    assert (home / "north/one.en.html").is_file()

    server.left = None
    environment.delete_object(Bucket=BUCKET, Key=f"last/tiny/{bucket.LOCK}")  # or a quarter of an hour later
    again = CliRunner().invoke(main, [*words, "--unit", "north"])
    assert again.exit_code == 0, again.output
    assert "north: unchanged one" in again.stdout and "not uploaded" not in again.stdout
    found = stands(environment, "last/tiny")
    assert "north/one.en.html" in found and not wrong(found)


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with two_workers(tmp_path_factory.mktemp("dask")) as (here, _client):
        yield here


def test_a_cluster_makes_what_goes_into_a_bucket(workers, server, environment, tmp_path):
    case = write_case(tmp_path, units=("north", "south"))
    wanted = {"notebooks_dir": write_notebooks(tmp_path / "notebooks"), "output": f"s3://{BUCKET}/both"}
    first = run_case(case, scheduler=workers.address, **wanted)
    assert {e.status for e in first.entries} == {"made"} and len(first.entries) == 5
    found = stands(environment, "both/tiny")
    assert json.loads(found["run.json"])["complete"] is True
    assert units(found) == {"north": {"one", "two"}, "south": {"one", "two"}, "group": {"all"}}
    assert not wrong(found)
    assert found["south/tables/two_values.parquet"] == b"south two"
    assert b"two_values.parquet north two" in found["group/all.en.ipynb"]
    assert {"index.html", "group/all.en.html", *described(found)} <= set(found)
    assert f"{len(found)} files uploaded" in first.uploaded

    server.written.clear()
    again = run_case(case, scheduler=workers.address, **wanted)
    assert {e.status for e in again.entries} == {"unchanged"}
    assert {said for said in server.written if ".running" not in said} == {"PUT both/tiny/run.json"}
