"""Real runs on a cluster whose outputs are in a bucket."""

import json

import pytest

from kpitoolkit.batch.runner import run_case
from tests.batch.clusters import two_workers
from tests.batch.conftest import write_case
from tests.batch.gates import write_notebooks
from tests.batch.stores import BUCKET, described, stands, wrong


def units(found: dict[str, bytes]) -> dict[str, set[str]]:
    """Which notebooks of which unit a bucket's run.json describes."""
    known = json.loads(found["run.json"])["notebooks"].values() if "run.json" in found else ()
    return {unit: {e["notebook"] for e in known if e["unit"] == unit} for unit in {e["unit"] for e in known}}


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
