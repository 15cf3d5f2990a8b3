"""A tiny case: three units whose notebooks run for real in a second each."""

from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parent / "notebooks"
FINANCIALS = "quarter,unit,basis,filing,figures,rounded,revenue\n" + "".join(
    f"2026Q3,{unit},b,f,printed,false,{revenue}\n" for unit, revenue in (("north", 10), ("south", 20), ("faulty", 30))
)


def write_case(root: Path, units=("north", "south", "faulty")) -> Path:
    """Write the case ``tiny`` below ``root/parameters`` and return its folder."""
    folder = root / "parameters" / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_defaults.yml").write_text(
        'quarter: "2026Q3"\ndata: {financials: {file: financials.csv}}\ncatalogue: ../kpis.yml\n'
    )
    (folder / "financials.csv").write_text(FINANCIALS)
    for unit in units:
        (folder / f"{unit}.yml").write_text(f"unit: {unit}\n")
    return folder


@pytest.fixture
def tiny(tmp_path):
    return write_case(tmp_path)


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    """A case that was run and that nobody has signed."""
    from tests.batch.signing import made

    return made(tmp_path_factory.mktemp("signing"))


@pytest.fixture(scope="session")
def ran_and_signed(ran, tmp_path_factory):
    from kpitoolkit.batch.signoff import sign
    from tests.batch.signing import ANNA, LEO

    place = ran.copy(tmp_path_factory.mktemp("signed"))
    sign(place.home, "preparer", LEO)
    sign(place.home, "cfo", ANNA)
    return place


@pytest.fixture
def place(ran, tmp_path):
    """A copy of a case that was run, for a test to sign and to spoil."""
    return ran.copy(tmp_path)


@pytest.fixture
def signed(ran_and_signed, tmp_path):
    """A copy of a case that its preparer and its approver have signed."""
    return ran_and_signed.copy(tmp_path)


@pytest.fixture(scope="session")
def server():
    from tests.batch.stores import store

    with store() as here:
        yield here


@pytest.fixture
def environment(server, monkeypatch, tmp_path):
    """A machine with credentials of a bucket and an empty cache; the client of its store."""
    import boto3

    from kpitoolkit.batch import bucket
    from tests.batch.stores import BUCKET, ENVIRONMENT

    for name in (*bucket._SOURCES, "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (*ENVIRONMENT.items(), ("AWS_ENDPOINT_URL", server.url), ("KPITOOLKIT_CACHE", tmp_path / "me")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("KPITOOLKIT_KERNELS", "cold")
    server.left, server.hangs_at, server.hangs = None, "", False
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    server.written.clear()
    return client
