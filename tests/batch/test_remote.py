"""Outputs in a bucket of a real S3 server: what stands there, whoever runs, signs or loses the network."""

import hashlib
import json
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpitoolkit.batch import bucket, remote
from kpitoolkit.batch.record import Entry
from kpitoolkit.batch.runner import run_case
from kpitoolkit.cli import main
from kpitoolkit.errors import ToolkitError
from tests.batch.conftest import NOTEBOOKS, write_case
from tests.batch.gates import wait_for
from tests.batch.signing import LEO
from tests.batch.stores import BUCKET, described, stands, wrong

pytestmark = pytest.mark.usefixtures("environment")


def mirrored(prefix: str, case: str = "tiny"):
    return remote._level(bucket.Store(BUCKET, prefix), case, True)


def write(home: Path, files: dict[str, str], complete=True) -> None:
    """Write what a run of two notebooks leaves."""
    notebooks = {}
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content, encoding="utf-8")
        place = f"{Path(name).parts[0]}/{Path(name).stem}.en"
        entry = {"unit": Path(name).parts[0], "notebook": Path(name).stem, "language": "en", "status": "made"}
        notebooks.setdefault(place, {**entry, "outputs": {}})
        notebooks[place]["outputs"][name] = hashlib.sha256(content.encode()).hexdigest()
    run = {"case": "tiny", "complete": complete, "notebooks": notebooks}
    (home / "run.json").write_text(json.dumps(run), encoding="utf-8")


def test_a_run_stands_in_the_bucket_and_an_unchanged_one_uploads_nothing(server, environment, tmp_path, monkeypatch):
    case = write_case(tmp_path, units=("north", "faulty"))
    wanted = {"output": f"s3://{BUCKET}/kpi/all", "notebooks_dir": NOTEBOOKS, "jobs": 2}
    report = run_case(case, **wanted)
    assert report.exit_status == 1
    home, found = report.index.parent, stands(environment, "kpi/all/tiny")
    assert home.is_relative_to(tmp_path / "me")
    here = {p.relative_to(home).as_posix(): p.read_bytes() for p in home.rglob("*") if p.is_file() and p.name[0] != "."}
    assert found == here
    assert {"north/first.en.html", "north/tables/first_values.parquet", "failed/faulty/first.en.ipynb"} <= set(found)
    assert not wrong(found)
    kind = environment.head_object(Bucket=BUCKET, Key="kpi/all/tiny/north/first.en.html")["ContentType"]
    assert kind == "text/html; charset=utf-8"
    written = [said for said in server.written if ".running" not in said]
    assert written[0] == written[-1] == "PUT kpi/all/tiny/run.json"
    assert f"{len(found)} files uploaded" in report.uploaded

    for machine in ("me", "another"):
        monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path / machine))
        server.written.clear()
        again = run_case(case, units=["north"], **wanted)
        assert {entry.status for entry in again.entries} == {"unchanged", "not_made"}
        assert {said for said in server.written if ".running" not in said} <= {
            "PUT kpi/all/tiny/run.json", "PUT kpi/all/tiny/index.html",
        }  # fmt: skip
    assert not [name for name in stands(environment, "kpi/all/tiny") if "running" in name]


def test_what_is_removed_here_is_removed_there_and_nothing_else(environment):
    environment.put_object(Bucket=BUCKET, Key="removed/tiny/minutes.txt", Body=b"somebody's own")
    with mirrored("removed") as (mirror, publish):
        write(mirror.home, {"north/first.html": "1", "north/second.html": "2"})
        publish()
        (mirror.home / "north/second.html").unlink()
        write(mirror.home, {"north/first.html": "1"})
        assert "1 removed there" in publish()
    assert set(stands(environment, "removed/tiny")) == {"minutes.txt", "run.json", "north/first.html"}


@pytest.mark.parametrize("through", [0, 1, 2, 4, 6, 7])
def test_a_lost_network_leaves_a_record_of_what_stands(server, environment, through, monkeypatch):
    monkeypatch.setattr(remote, "_AT_ONCE", 1)
    prefix = f"lost/{through}"
    with mirrored(prefix) as (mirror, publish):
        write(
            mirror.home, {"north/first.html": "1", "north/first.ipynb": "{}", "north/second.html": "2", "a/b.html": "3"}
        )
        publish()
        write(mirror.home, {"north/first.html": "1 new", "north/first.ipynb": '{"new": 1}', "a/b.html": "3"})
        (mirror.home / "north/second.html").unlink()
        server.left = through
        if through < 7:  # the lock is renewed before the first write and before the last
            with pytest.raises(ToolkitError, match="the store cannot be reached"):
                publish()
        else:
            publish()
        server.left = None
        found = stands(environment, f"{prefix}/tiny")
        assert not wrong(found)
        assert "a/b.html" in described(found)
        assert json.loads(found["run.json"])["complete"] is (through in (0, 1, 7))
    with mirrored(prefix) as (mirror, publish):  # the same machine goes on from what it had made
        assert (mirror.home / "north/first.html").read_text() == "1 new"
        publish()
    found = stands(environment, f"{prefix}/tiny")
    assert found["north/first.html"] == b"1 new" and "north/second.html" not in found
    assert not wrong(found) and len(described(found)) == 3


@pytest.mark.parametrize("through", range(8))
def test_a_network_lost_in_the_middle_of_a_run_leaves_whole_units(server, environment, through, tmp_path, monkeypatch):
    """Seven writes: lock, run.json without the unit, two pages, a notebook, lock, run.json with the unit."""
    monkeypatch.setattr(remote, "_AT_ONCE", 1)
    prefix = f"middle/{through}"
    with mirrored(prefix) as (mirror, uploads):
        write(mirror.home, {"north/first.html": "1", "south/first.html": "2"})
        uploads()
        write(mirror.home, {"north/first.html": "1 new", "north/b.ipynb": "{}", "south/first.html": "2 new"}, False)
        (mirror.home / "failed/north").mkdir(parents=True)
        (mirror.home / "failed/north/c.html").write_text("as far as it ran")
        server.left = through
        with nullcontext() if through == 7 else pytest.raises(ToolkitError, match="the store cannot be reached"):
            mirror.push_units(["north"], uploads.held)
        server.left = None
        found = stands(environment, f"{prefix}/tiny")
        assert not wrong(found)
        assert found["south/first.html"] == b"2" and "south/first.html" in described(found)
        assert {name for name in described(found) if name.startswith("north")} == (
            {"north/first.html", "north/b.ipynb"} if through == 7 else {"north/first.html"} if through < 2 else set()
        )
        assert json.loads(found["run.json"])["complete"] is (through < 2)
        server.written.clear()
        mirror.push_units(["north"], uploads.held)  # as when the network is there again
        assert bool(server.written) is (through < 7)
        assert not wrong(stands(environment, f"{prefix}/tiny"))
    monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path / "another"))
    with mirrored(prefix) as (mirror, uploads):
        assert (mirror.home / "north/first.html").read_text() == "1 new"
        assert (mirror.home / "south/first.html").read_text() == "2"


def test_what_changed_while_it_went_up_is_not_described(environment, monkeypatch):
    with mirrored("again") as (mirror, uploads):
        write(mirror.home, {"north/first.html": "1", "north/second.html": "2"}, False)
        put = remote.Mirror._put

        def put_and_change(own, name):
            put(own, name)
            if name == "north/first.html":
                (mirror.home / name).write_text("1 of a second attempt")

        with monkeypatch.context() as patch:
            patch.setattr(remote.Mirror, "_put", put_and_change)
            mirror.push_units(["north"], uploads.held)
        found = stands(environment, "again/tiny")
        assert set(described(found)) == {"north/second.html"} and not wrong(found)
        write(mirror.home, {"north/first.html": "1 of a second attempt", "north/second.html": "2"})
        uploads()
    found = stands(environment, "again/tiny")
    assert found["north/first.html"] == b"1 of a second attempt"
    assert len(described(found)) == 2 and not wrong(found)


def test_a_unit_that_cannot_go_up_stops_no_other_and_is_told_at_once(environment, monkeypatch, caplog):
    put = remote.Mirror._put

    def put_some(own, name):
        if name == "north/first.html":
            raise KeyError("a fault of our own")
        put(own, name)

    monkeypatch.setattr(remote.Mirror, "_put", put_some)
    with pytest.raises(KeyError, match="a fault of our own"), mirrored("unexpected") as (mirror, uploads):
        write(mirror.home, {"north/first.html": "1", "south/first.html": "2"}, False)
        uploads.take(Entry("north", "first", "en", "made"))
        wait_for(lambda: caplog.messages, 10)
        assert caplog.messages == ["not uploaded so far: north: KeyError"]
        uploads.take(Entry("south", "first", "en", "made"))
        wait_for(lambda: "south/first.html" in described(stands(environment, "unexpected/tiny")), 10)
        uploads()
    assert set(stands(environment, "unexpected/tiny")) == {"run.json", "south/first.html"}


def test_another_machines_run_is_taken_over_whole(environment, tmp_path, monkeypatch):
    with mirrored("two") as (mirror, publish):
        write(mirror.home, {"north/first.html": "1", "north/second.html": "2"})
        publish()
    monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path / "another"))
    with mirrored("two") as (mirror, publish):
        assert (mirror.home / "north/second.html").read_text() == "2"
        write(mirror.home, {"north/first.html": "1 of another"})
        (mirror.home / "north/second.html").unlink()
        publish()
    monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path / "me"))
    with mirrored("two") as (mirror, _):
        assert (mirror.home / "north/first.html").read_text() == "1 of another"
        assert not (mirror.home / "north/second.html").exists()


def test_one_run_of_a_case_at_a_time(environment, tmp_path, monkeypatch):
    with mirrored("lock"):
        monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path / "another"))
        said = r"another run of this case is under way, by .+ on .+, since 20"
        with pytest.raises(ToolkitError, match=said), mirrored("lock"):
            pass
        with remote.case_outputs(f"s3://{BUCKET}/lock/tiny", change=False) as (home, _):  # reading is free
            assert home.name == "tiny"
    with mirrored("lock"):
        pass


def test_a_stale_lock_is_taken_over_and_its_holder_uploads_nothing(environment, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(bucket, "_RENEW_SECONDS", 0.2)
    with mirrored("stale") as (mirror, uploads):
        write(mirror.home, {"north/first.html": "of the first"})
        with monkeypatch.context() as patch:
            patch.setenv("KPITOOLKIT_CACHE", str(tmp_path / "another"))
            patch.setattr(bucket, "STALE_SECONDS", -1)
            with mirrored("stale") as (other, publish_other):
                patch.undo()
                write(other.home, {"north/first.html": "of the other"})
                time.sleep(1)  # the first tries to renew what is no longer its own
                for _ in range(2):
                    uploads.take(Entry("north", "first", "en", "made"))
                    time.sleep(0.5)
                assert len(caplog.messages) == 1 and "another run has taken this case over" in caplog.messages[0]
                with pytest.raises(ToolkitError, match="another run has taken this case over"):
                    uploads()
                publish_other()
    assert stands(environment, "stale/tiny")["north/first.html"] == b"of the other"


def test_a_signature_and_a_check_work_on_the_mirror(place, environment, tmp_path, monkeypatch):
    with mirrored("signed", place.home.name) as (mirror, publish):
        for path in sorted(place.home.rglob("*")):
            if path.is_file():
                (mirror.home / path.relative_to(place.home)).parent.mkdir(parents=True, exist_ok=True)
                (mirror.home / path.relative_to(place.home)).write_bytes(path.read_bytes())
        publish()
    monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path / "another"))
    url, folder = f"s3://{BUCKET}/signed/{place.home.name}", ["--parameters", str(place.case)]
    signed = CliRunner().invoke(main, ["sign", url, "--role", "preparer", "--name", LEO, *folder])
    assert signed.exit_code == 0, signed.output
    assert "uploaded" in signed.output
    assert b"Leo" in stands(environment, f"signed/{place.home.name}")["signoff.jsonl"]
    checked = CliRunner().invoke(main, ["verify", url, *folder])
    assert checked.exit_code == 0, checked.output
    environment.put_object(Bucket=BUCKET, Key=f"signed/{place.home.name}/north/first.en.html", Body=b"<p>forged</p>")
    forged = CliRunner().invoke(main, ["verify", url, *folder])
    assert forged.exit_code != 0 and "first.en.html" in forged.output


def test_no_object_leads_out_of_the_mirror(environment, tmp_path):
    store = bucket.Store(BUCKET, "out")
    for name in ("../x", "tiny/../../x", "tiny//x", "./x"):
        with pytest.raises(ToolkitError, match="lead out of"):
            store.key(name)
    environment.put_object(Bucket=BUCKET, Key=f"out/tiny/{tmp_path}/x", Body=b"of another client")
    with pytest.raises(ToolkitError, match="leads out of"), mirrored("out"):
        pass
    assert not list(tmp_path.rglob("x"))


def test_a_link_in_the_mirror_is_not_uploaded(environment, tmp_path):
    (tmp_path / "secret").write_text("s3cret")
    with mirrored("links") as (mirror, publish):
        write(mirror.home, {"north/first.html": "1"})
        (mirror.home / "north/linked.html").symlink_to(tmp_path / "secret")
        publish()
    assert set(stands(environment, "links/tiny")) == {"run.json", "north/first.html"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("s3://anna:hunter2@reports/kpi", "a URL with credentials"),
        ("s3://reports/kpi?key=hunter2", "a URL with credentials"),
        ("s3://reports/../kpi", "is no place in a bucket"),
        ("s3://reports//kpi", "is no place in a bucket"),
        ("s3://", "is no place in a bucket"),
        ("s3://no-such-bucket/kpi", "there is no such bucket"),
    ],
)
def test_a_place_that_is_none_is_refused(said, expected, tiny):
    with pytest.raises(ToolkitError, match=expected) as refused:
        run_case(tiny, output=said, notebooks_dir=NOTEBOOKS)
    assert "hunter2" not in str(refused.value)


def test_credentials_come_from_the_environment_only(tiny, monkeypatch, tmp_path):
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ToolkitError, match="no credentials in the environment"):
        run_case(tiny, output=f"s3://{BUCKET}/kpi", notebooks_dir=NOTEBOOKS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anna")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ToolkitError, match="credentials in the environment are incomplete"):
        run_case(tiny, output=f"s3://{BUCKET}/kpi", notebooks_dir=NOTEBOOKS)


def test_a_store_out_of_reach_is_refused_before_anything_runs(tiny, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ToolkitError, match="the store cannot be reached"):
        run_case(tiny, output=f"s3://{BUCKET}/kpi", notebooks_dir=NOTEBOOKS)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://anna:hunter2@127.0.0.1:9")
    with pytest.raises(ToolkitError, match="AWS_ENDPOINT_URL: a URL with credentials is refused") as refused:
        run_case(tiny, output=f"s3://{BUCKET}/kpi", notebooks_dir=NOTEBOOKS)
    assert "hunter2" not in str(refused.value)
