"""A case whose tables are in a database: made anew each time, refused where it cannot be read, and nowhere a secret."""

import nbformat
import psycopg
import pytest
from nbformat import v4

from kpitoolkit import connections
from kpitoolkit.batch import runner
from kpitoolkit.batch.check import check_unit
from kpitoolkit.parameters import read_case

DEFAULTS = """quarter: "2026Q3"
data:
  touchpoints: {connection: warehouse, table: marketing.touchpoints, columns: {user_id: visitor}}
  financials: {connection: warehouse, table: financials}
"""
ROWS = """
    CREATE SCHEMA marketing;
    CREATE TABLE marketing.touchpoints AS SELECT * FROM (VALUES
        (11, TIMESTAMPTZ '2026-07-01 00:30:00+02', 'north', 'search'), (12, NOW(), 'south', 'search')
    ) AS rows (visitor, time, unit, channel);
    CREATE TABLE financials AS SELECT '2026Q3' AS quarter, unit, 'b' AS basis, 'f' AS filing, 'printed' AS figures,
        FALSE AS rounded, revenue FROM (VALUES ('north', 10.25), ('south', 20)) AS rows (unit, revenue)"""
PARAMETERS = 'case = "c"\nunit = "north"\ndata = "netflix"\ndata_dir = ""\nresults_dir = ""\nsave_dir = ""'
READING = """from kpitoolkit import connections, parameters, tables

place = parameters.workspace(case, unit, data, data_dir, "", results_dir, save_dir)
given = tables.read(place, ["touchpoints", "financials"])
print(given["touchpoints"].count().execute(), given["financials"]["revenue_cents"].sum())
tables.save(given["financials"], place, "reading", "rows")"""
FAILING = """from kpitoolkit import connections

backend = connections.open("warehouse")
print(backend)
try:
    backend.raw_sql("SELECT * FROM no_such_table")
finally:
    connections.table("warehouse", "marketing.touchpoint")"""


def write_notebook(folder, name, order, source):
    cells = [v4.new_markdown_cell("# Rows"), v4.new_code_cell(PARAMETERS), v4.new_code_cell(source)]
    cells[1].metadata["tags"] = ["parameters"]
    said = {"needs": [["touchpoints"]], "order": order, "scope": "unit"}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = v4.new_notebook(cells=cells, metadata={"kpitoolkit": said, "kernelspec": kernel})
    folder.mkdir(exist_ok=True)
    nbformat.write(made, folder / f"{name}.ipynb")


@pytest.fixture
def case(tmp_path, postgres_url, monkeypatch):
    """A case of two units, and two notebooks of which one fails."""
    with psycopg.connect(postgres_url, autocommit=True) as made:
        made.execute("DROP DATABASE IF EXISTS batch WITH (FORCE)")
        made.execute("CREATE DATABASE batch")
    url = postgres_url.removesuffix("postgres") + "batch"
    with psycopg.connect(url) as made:
        made.execute(ROWS)
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_WAREHOUSE", url)
    folder = tmp_path / "parameters" / "c"
    folder.mkdir(parents=True)
    (folder / "_defaults.yml").write_text(DEFAULTS)
    for unit in ("north", "south"):
        (folder / f"{unit}.yml").write_text(f"unit: {unit}\n")
    write_notebook(tmp_path / "notebooks", "reading", 1, READING)
    write_notebook(tmp_path / "notebooks", "failing", 2, FAILING)
    yield folder
    connections.close()


def run(folder, **wanted):
    root = folder.parents[1]
    told = []
    report = runner.run_case(
        folder,
        output=root / "outputs",
        notebooks_dir=root / "notebooks",
        tell=lambda *said: told.append(str(said)),
        **wanted,
    )
    return report, {f"{entry.unit}/{entry.notebook}": entry.status for entry in report.entries}, told


def written(root, secret):
    """Return the files below a folder that hold a secret."""
    return [path for path in root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_a_case_in_a_database_is_made_anew_each_time_and_no_secret_is_written(case, postgres_url, capfd, monkeypatch):
    password, user = postgres_url.split(":")[2].split("@")[0], "tester"
    home = case.parents[1] / "outputs" / "c"
    report, first, told = run(case)
    assert first == {
        "north/failing": "failed",
        "north/reading": "made",
        "south/failing": "failed",
        "south/reading": "made",
    }
    ran = (home / "north" / "reading.en.ipynb").read_text(encoding="utf-8")
    assert "1 1025" in ran
    failed = next(entry for entry in report.entries if entry.status == "failed")
    assert failed.message.startswith("connection 'warehouse' has no table 'marketing.touchpoint'. Did you mean")
    _, again, more = run(case, notebooks=["reading"], units=["north"])
    assert again == {"north/reading": "made"}
    assert '"connection": "warehouse"' in (home / "run.json").read_text(encoding="utf-8")
    right = postgres_url.removesuffix("postgres") + "batch"
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_WAREHOUSE", right.replace(password, "wr0ng-" + password))
    report, refused, last = run(case, notebooks=["reading"], units=["north"])
    assert (report.exit_status, refused) == (2, {"north/reading": "refused"})
    assert "no connection: " in report.entries[0].message
    said = capfd.readouterr()
    for secret in (password, "wr0ng-", f"{user}:", f'"{user}"'):
        assert written(home, secret) == []
        assert secret not in "".join([*told, *more, *last, said.out, said.err])


def test_check_says_all_that_is_wrong_with_connections(case, monkeypatch):
    read = read_case(case)
    assert check_unit(read, read.units["north"]) == []
    (case / "_defaults.yml").write_text(
        DEFAULTS.replace("visitor", "visiter").replace("table: financials", "table: fin")
    )
    read = read_case(case)
    found = check_unit(read, read.units["north"])
    assert len(found) == 2
    assert "Did you mean 'visitor'" in found[1]
    monkeypatch.delenv("KPITOOLKIT_CONNECTION_WAREHOUSE")
    found = check_unit(read, read.units["north"])
    assert len(found) == 2
    assert all("KPITOOLKIT_CONNECTION_WAREHOUSE is not set" in fault for fault in found)
