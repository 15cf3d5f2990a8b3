"""Tables of real servers by the name of a connection: what is read, what is refused, and that no secret is written."""

import os
import subprocess
import sys
from dataclasses import replace
from urllib.parse import quote

import duckdb
import ibis
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpitoolkit import connections, parameters, tables
from kpitoolkit.attribution.journeys import conversions_from_orders
from kpitoolkit.errors import Faults, ToolkitError
from kpitoolkit.readers import read_table
from kpitoolkit.sources import Source
from tests.servers import free_port

TOUCHPOINTS = """
    CREATE TABLE marketing.touchpoints AS SELECT * FROM (VALUES
        (11, TIMESTAMPTZ '2026-07-01 00:30:00+02', 'it', 'search', 'brand'),
        (11, TIMESTAMPTZ '2026-07-02 08:00:00+00', 'it', 'social', NULL),
        (12, TIMESTAMPTZ '2026-07-03 09:00:00+00', 'uk', 'search', 'brand')
    ) AS rows (visitor, seen_at, unit, channel, campaign)"""
ORDERS = """
    CREATE TABLE orders AS SELECT * FROM (VALUES
        ('A', 'it', 11, TIMESTAMP '2026-07-02 12:00:00', 122.10, 22.00, 0.00, 0.00, 0.00, 'EUR', 'paid',
         DATE '2026-07-04', 60.00),
        ('B', 'uk', 12, TIMESTAMP '2026-07-03 12:00:00', 50.00, 9.00, 0.00, 0.00, 0.00, 'EUR', 'paid', NULL, 20.00)
    ) AS rows (order_id, unit, customer_id, time, gross, vat, shipping, discount, supplier_share, currency, status,
        recognition_date, cost)"""
COLUMNS = {"user_id": "visitor", "time": "seen_at"}
DATA = {
    "touchpoints": {"connection": "warehouse", "table": "marketing.touchpoints", "columns": COLUMNS},
    "orders": {"connection": "warehouse", "table": "orders", "timezone": "Europe/Rome"},
}


@pytest.fixture(autouse=True)
def nothing_open(monkeypatch):
    for name in [name for name in os.environ if name.startswith(connections.VARIABLE)]:
        monkeypatch.delenv(name)
    yield
    connections.close()


def place_of(folder, data=None, unit="it"):
    return tables.Workspace("c", unit, unit, DATA if data is None else data, folder, folder, folder)


@pytest.fixture(params=["duckdb", "postgres"])
def place(request, tmp_path, monkeypatch):
    """A workspace whose tables are in a DuckDB file, or in a database of its own in a PostgreSQL."""
    if request.param == "duckdb":
        url = f"duckdb://{tmp_path}/ware house.duckdb"
        with duckdb.connect(str(tmp_path / "ware house.duckdb")) as made:
            for statement in ("CREATE SCHEMA marketing", TOUCHPOINTS, ORDERS):
                made.execute(statement)
    else:
        import psycopg

        server = request.getfixturevalue("postgres_url")
        with psycopg.connect(server, autocommit=True) as made:
            made.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
            made.execute("CREATE DATABASE shop")
        url = server.removesuffix("postgres") + "shop"
        with psycopg.connect(url) as made:
            for statement in ("CREATE SCHEMA marketing", TOUCHPOINTS, ORDERS):
                made.execute(statement)
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_WAREHOUSE", url)
    return place_of(tmp_path)


def test_touchpoints_stay_in_the_engine_and_orders_are_checked_frames(place):
    read = tables.read(place, ["touchpoints", "orders"])
    assert isinstance(read["touchpoints"], ibis.Table)
    seen = read["touchpoints"].order_by("time").to_pandas()
    assert seen.columns.tolist() == ["user_id", "time", "unit", "channel", "campaign"]
    assert seen["user_id"].tolist() == ["11", "11"]
    assert seen["time"].astype(str).tolist() == ["2026-06-30 22:30:00", "2026-07-02 08:00:00"]
    assert read["orders"].to_dict("records")[0] | {"cost_cents": 6000} == read["orders"].to_dict("records")[0]
    assert read["orders"]["gross_cents"].tolist() == [12_210]
    assert read["orders"]["time"].astype(str).tolist() == ["2026-07-02 10:00:00"]  # 12:00 in Rome
    assert conversions_from_orders(read["orders"])["user_id"].tolist() == ["11"]


def test_the_group_reads_the_rows_of_all_units(place):
    read = tables.read(replace(place, unit="group"), ["touchpoints", "orders"])
    assert read["touchpoints"].count().execute() == 3
    assert read["orders"]["order_id"].tolist() == ["A", "B"]
    assert read["orders"]["recognition_date"].isna().tolist() == [False, True]


def test_only_temporary_tables_can_be_or_are_made(place):
    backend = connections.open("warehouse")
    kept = backend.create_table("for_now", ibis.memtable({"a": [1, 2]}), temp=True)
    assert kept.a.sum().execute() == 3
    connections.close("warehouse")
    assert "for_now" not in connections.open("warehouse").list_tables()


def test_a_connection_is_opened_once_and_again_once_it_was_closed(place):
    first = connections.open("warehouse")
    assert connections.open("warehouse") is first
    assert str(first.raw_sql("SELECT current_setting('TimeZone')").fetchall()[0][0]) == "UTC"
    connections.close()
    assert connections.open("warehouse") is not first


def test_a_process_may_end_without_closing(place):
    script = (
        "from kpitoolkit import connections\n"
        "kept = connections.table('warehouse', 'orders').cache()\n"
        "print(kept.count().execute())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("2\n", "")


def test_nothing_is_read_by_check_but_columns(place, monkeypatch):
    read = []
    monkeypatch.setattr(connections, "convert", lambda *said: read.append(said))
    assert tables.examine(place) == []
    assert not read
    wrong = {"touchpoints": DATA["touchpoints"] | {"columns": {"user_id": "visiter", "time": "seen_at"}},
             "orders": DATA["orders"] | {"table": "ordres"}, "ledger": DATA["orders"]}  # fmt: skip
    said = "\n".join(tables.examine(replace(place, data=wrong)))
    assert "touchpoints: warehouse:marketing.touchpoints: column 'user_id' (heading 'visiter') is missing." in said
    assert "Did you mean 'visitor'?" in said
    assert "orders: connection 'warehouse' has no table 'ordres'. Did you mean 'orders'?" in said
    assert "ledger: warehouse:orders: column 'line' is missing" in said


@pytest.mark.parametrize("stated", ["touchpoints", "marketing.touchpoint", "sales.touchpoints"])
def test_an_unknown_table_comes_with_the_nearest(place, stated):
    with pytest.raises(ToolkitError, match=r"Did you mean 'marketing\.touchpoints'"):
        connections.table("warehouse", stated)


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_a_table_in_other_letters_comes_with_its_own(place):
    with pytest.raises(ToolkitError, match=r"Did you mean 'marketing\.touchpoints'"):
        connections.table("warehouse", "MARKETING.Touchpoints")


def test_units_that_are_not_there_and_rows_without_unit_are_said(place):
    with pytest.raises(Faults) as caught:
        tables.read(replace(place, unit_in_data="itt"), ["touchpoints", "orders"])
    assert "warehouse:marketing.touchpoints: no rows for unit 'itt'. Did you mean 'it'?" in str(caught.value)
    assert "Units in the table: 'it', 'uk'" in str(caught.value)
    assert "warehouse:orders: no rows for unit 'itt'" in str(caught.value)
    lost = {"touchpoints": DATA["touchpoints"] | {"columns": COLUMNS | {"unit": "campaign"}}}
    with pytest.raises(Faults, match="column 'unit': rows without unit: 1"):
        tables.read(replace(place, data=lost), ["touchpoints"])


def test_what_a_frame_of_a_connection_breaks_is_said_as_for_a_file(place):
    wrong = {"orders": DATA["orders"] | {"columns": {"status": "currency"}}}
    with pytest.raises(Faults, match="column 'status': 1 value is not one of paid, cancelled") as caught:
        tables.read(replace(place, data=wrong), ["orders"])
    assert "warehouse:orders" in str(caught.value)


def test_times_of_a_lazy_table_must_be_times_in_utc(place):
    text = {"touchpoints": DATA["touchpoints"] | {"columns": COLUMNS | {"time": "channel"}}}
    with pytest.raises(Faults, match="column 'time' is string, not a time"):
        tables.read(replace(place, data=text), ["touchpoints"])
    columns = {"user_id": "customer_id", "channel": "status"}
    local = {"connection": "warehouse", "table": "orders", "columns": columns, "timezone": "Europe/Rome"}
    with pytest.raises(Faults, match="no time zone of its own"):
        tables.read(replace(place, data={"touchpoints": local}), ["touchpoints"])
    local["timezone"] = "UTC"
    read = tables.read(replace(place, data={"touchpoints": local}), ["touchpoints"])["touchpoints"]
    assert read.to_pandas()["time"].astype(str).tolist() == ["2026-07-02 12:00:00"]


def test_spark_is_read_through_the_session_there_is(spark_session, tmp_path, monkeypatch):
    rows = pd.DataFrame({"visitor": [11, 12], "seen_at": pd.to_datetime(["2026-07-01 10:00"] * 2), "unit": ["it", "uk"],
                         "channel": ["search", "social"]})  # fmt: skip
    spark_session.createDataFrame(rows).createOrReplaceTempView("touchpoints_of_spark")
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_LAKE", "spark://local[2]")
    data = {"touchpoints": {"connection": "lake", "table": "touchpoints_of_spark", "columns": COLUMNS}}
    read = tables.read(place_of(tmp_path, data), ["touchpoints"])["touchpoints"].to_pandas()
    assert read["user_id"].tolist() == ["11"]
    assert read["time"].astype(str).tolist() == ["2026-07-01 10:00:00"]
    with pytest.raises(ToolkitError, match=r"no table 'touchpoint_of_spark'\. Did you mean 'touchpoints_of_spark'"):
        connections.table("lake", "touchpoint_of_spark")
    connections.close()
    assert spark_session.range(3).count() == 3  # a session of others is left running
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_LAKE", "spark://127.0.0.1:7077")
    with pytest.raises(ToolkitError, match=r"runs Spark on local\[2\] already"):
        connections.open("lake")


def test_spark_of_its_own():
    script = (
        "from kpitoolkit import connections; backend = connections.open('lake'); "
        'print(backend.raw_sql("SELECT current_timezone() AS zone").collect()[0].zone)'
    )
    env = {**os.environ, "KPITOOLKIT_CONNECTION_LAKE": "spark://local[1]"}
    ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["UTC"], ran.stderr
    assert "WARN" not in ran.stderr  # Java's log would stand on the page


def test_spark_without_java(tmp_path, monkeypatch):
    from pyspark.sql import SparkSession

    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_LAKE", "spark://local[1]")
    with pytest.raises(ToolkitError, match=r"Java, and there is none\. Install it: apt-get install openjdk-17"):
        connections.open("lake")


def test_a_file_of_parquet_is_read_as_a_frame(tmp_path):
    rows = pd.DataFrame({"user_id": ["u", "v"], "time": pd.to_datetime(["2026-07-01", "2026-07-02"], utc=True),
                         "unit": ["it", "uk"], "channel": ["search", "social"]})  # fmt: skip
    rows.to_parquet(tmp_path / "touchpoints.parquet")
    read = tables.read(place_of(tmp_path, {"touchpoints": {"file": "touchpoints.parquet"}}), ["touchpoints"])
    assert read["touchpoints"]["user_id"].tolist() == ["u"]
    assert read["touchpoints"]["time"].dt.tz is None
    everything = read_table("touchpoints", tmp_path, Source(file="touchpoints.parquet"))
    assert everything["channel"].tolist() == ["search", "social"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"connection": "postgres://anna:s3cret@db/shop", "table": "t"}, "do not belong into parameters"),
        ({"file": "postgres://anna:s3cret@db/shop"}, "do not belong into parameters"),
        ({"connection": "warehouse", "table": "t", "password": "s3cret"}, "do not belong into parameters"),
        ({"connection": "warehouse", "table": "t", "URL": "s3cret"}, "do not belong into parameters"),
        ({"connection": "anna:s3cret", "table": "t"}, "'connection' is not a name"),
        ({"connection": "Warehouse", "table": "t"}, "'connection' is not a name"),
        ({"connection": "warehouse"}, "without its table"),
        ({"connection": "warehouse", "table": "t; s3cret"}, "'table' is not the name of a table"),
        ({"connection": "warehouse", "table": "t", "file": "t.csv"}, "names a file and a connection's table"),
        ({"connection": "warehouse", "table": "t", "separator": ";", "sheet": 1}, "sheet, separator: options of files"),
        ({}, "names neither a file"),
    ],
)
def test_addresses_and_half_sources_are_refused_without_repeating_them(tmp_path, entry, said):
    with pytest.raises(Faults) as caught:
        tables.parse_sources({"orders": entry})
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [("postgres://anna:s3cret@db/shop", "an address is not built in"), ("[duckdb://s3cret]", "found an address")],
)
def test_an_address_for_the_whole_data_block_is_refused_without_repeating_it(tmp_path, data, said):
    (tmp_path / "_defaults.yml").write_text(f'quarter: "2026Q3"\ndata: {data}\n')
    (tmp_path / "it.yml").write_text("unit: it\n")
    with pytest.raises(Faults, match=said) as caught:
        parameters.read_case(tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_variable_that_is_not_set(monkeypatch):
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_WAREHOUSES", "duckdb:///x")
    with pytest.raises(ToolkitError, match="KPITOOLKIT_CONNECTION_WAREHOUSE is not set") as caught:
        connections.open("warehouse")
    assert "Did you mean 'KPITOOLKIT_CONNECTION_WAREHOUSES'" in str(caught.value)
    with pytest.raises(ToolkitError, match="opened by its name") as caught:
        connections.open("postgres://anna:s3cret@db/shop")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://anna:s3cret@db/shop", "must begin with one of duckdb://"),
        ("anna s3cret", "must begin with one of duckdb://"),
        ("postgres://anna:s3/cret@db/shop", "is not a URL"),
        ("postgres://anna:s3@cret@db/shop?x=s3cret", "is not a URL"),
        ("duckdb:///nowhere/w.duckdb?motherduck_token=s3cret", "there is no such file"),
        ("snowflake://anna:s3cret@account/shop", r"pip install 'ibis-framework\[snowflake\]"),
        ("trino://anna:s3cret@db/shop", r"pip install 'ibis-framework\[trino\]"),
        ("bigquery://project/shop?credentials=s3cret", r"pip install 'ibis-framework\[bigquery\]"),
    ],
)
def test_an_address_that_leads_nowhere(monkeypatch, url, said):
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_WAREHOUSE", url)
    with pytest.raises(ToolkitError, match=said) as caught:
        connections.open("warehouse")
    assert not any(secret in str(caught.value) for secret in ("anna", "s3", "cret", "token"))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_server_that_cannot_be_reached_or_refuses(monkeypatch, request):
    monkeypatch.setenv(
        "KPITOOLKIT_CONNECTION_WAREHOUSE", f"postgres://anna:s3cret@127.0.0.1:{free_port()}/shop?sslmode=disable"
    )
    with pytest.raises(ToolkitError, match=r"no connection: .*refused") as caught:
        connections.open("warehouse")
    assert "s3cret" not in str(caught.value) and "anna" not in str(caught.value)
    url = request.getfixturevalue("postgres_url")
    password = url.split(":")[2].split("@")[0]
    wrong = quote("p@ss/word", safe="")
    for other in (url.replace(password, wrong), url.replace("tester", "nobody"), url + "_not"):
        monkeypatch.setenv("KPITOOLKIT_CONNECTION_WAREHOUSE", other)
        with pytest.raises(ToolkitError, match="no connection: ") as caught:
            connections.open("warehouse")
        for secret in (password, wrong, "p@ss", "tester", "nobody"):
            assert secret not in str(caught.value)


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_a_table_that_the_account_may_not_read(place, monkeypatch):
    import psycopg

    url = os.environ["KPITOOLKIT_CONNECTION_WAREHOUSE"]
    with psycopg.connect(url) as made:
        made.execute("DROP ROLE IF EXISTS guest")
        made.execute("CREATE ROLE guest LOGIN PASSWORD 'p@ss word'")
        made.execute("GRANT USAGE ON SCHEMA marketing TO guest")
    guest = "guest:p%40ss%20word@" + url.rpartition("@")[2]
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_WAREHOUSE", f"postgresql://{guest}")
    said = tables.examine(place)
    assert len(said) == 2
    assert all("cannot be read: permission denied" in fault and "may read the table" in fault for fault in said)
    with psycopg.connect(url) as made:
        made.execute("DROP OWNED BY guest")
        made.execute("DROP ROLE guest")


def test_a_duckdb_file_that_is_open_for_writing(tmp_path, monkeypatch):
    path = tmp_path / "w.duckdb"
    monkeypatch.setenv("KPITOOLKIT_CONNECTION_WAREHOUSE", f"duckdb://{path}")
    with duckdb.connect(str(path)), pytest.raises(ToolkitError, match="open for writing elsewhere"):
        connections.open("warehouse")
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        connections.open("warehouse").raw_sql("CREATE TABLE t (a INT)")
    connections.close()
    path.write_text("no database")
    with pytest.raises(ToolkitError, match="no connection"):
        connections.open("warehouse")


WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=4, max_size=12)


@given(user=WORD, password=WORD, query=WORD)
@example(user="4321", password="432?", query="4321")
@settings(max_examples=300)
def test_no_part_of_a_secret_is_left_in_a_redacted_url(user, password, query):
    shown = connections.redact(
        f"postgres://{quote(user, safe='')}:{quote(password, safe='')}@[::1]:5432/shop?k={query}"
    )
    assert shown in ("postgres://[::1]:5432/shop", "postgres://***")
    raw = connections.redact(f"postgres://{user}:{password}@db/shop?k={query}")
    assert raw in ("postgres://db/shop", "postgres://***")
