"""PostgreSQL and Spark give what DuckDB and the local maker give; times agree; a lost connection is said."""

import ibis
import numpy as np
import pandas as pd
import pytest

from kpitoolkit.attribution import journeys, relational
from kpitoolkit.errors import Faults, ToolkitError
from tests.attribution import by_loops

PERIOD = ("2026-07-01", "2026-08-31")
BOUNDS = tuple(pd.Timestamp(day).value // 1000 for day in ("2026-07-01", "2026-09-01"))
MOMENTS = (
    "1969-12-31 23:59:59.999999",
    "2026-03-29 02:30:00.000001",
    "2026-07-01 00:00:00",
    "2026-10-25 01:30:00.25",
)


@pytest.fixture
def postgres(postgres_url):
    connection = ibis.connect(postgres_url)
    yield connection
    connection.disconnect()


@pytest.fixture
def spark(spark_session):
    return ibis.pyspark.connect(spark_session)


def in_postgres(connection, **frames):
    return [connection.create_table(name, frame, temp=True) for name, frame in frames.items()]


def in_spark(connection, **frames):
    kinds = {"time": "timestamp", "value": "double"}
    for name, frame in frames.items():
        rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
        rows = [tuple(cell.to_pydatetime() if isinstance(cell, pd.Timestamp) else cell for cell in row) for row in rows]
        number = {column: "long" for column in frame if pd.api.types.is_integer_dtype(frame[column])}
        columns = ", ".join(f"{column} {(number | kinds).get(column, 'string')}" for column in frame)
        connection._session.createDataFrame(rows, columns).createOrReplaceTempView(name)
    return [connection.table(name) for name in frames]


def in_duckdb(**frames):
    connection = ibis.duckdb.connect()
    return [connection.create_table(name, frame) for name, frame in frames.items()]


def totals(built):
    """Every sum, added up over the bags."""
    parts = [built.table.iloc[:, 1:], built.arrival["rows"]]
    for by in ("channel", "campaign"):
        parts += [credit.sum(axis=0) for credit in built.aggregates(5.0, "direct", by).credits.values()]
        parts += [
            built.transitions(order, by).groupby(["origin", "target"])[["count", "value"]].sum() for order in (1, 2)
        ]
    parts.append(built.coalitions().groupby("coalition")[["conversions", "value", "nulls"]].sum())
    return np.concatenate([np.asarray(part, dtype=float).ravel() for part in parts])


@pytest.mark.parametrize(
    ("company", "unit"),
    [({"seed": 31, "units": True}, None), ({"seed": 32, "units": True}, "eu"), ({"seed": 33, "channels": 70}, None)],
    ids=["units", "one unit", "70 channels"],
)
def test_postgres_gives_the_sums_of_the_loops(postgres, company, unit):
    touchpoints, conversions = by_loops.company(**company)
    contacts, sales = in_postgres(postgres, contacts=touchpoints, sales=conversions)
    found, arrived = by_loops.journeys(touchpoints, conversions, 14, BOUNDS, unit)
    built = journeys(contacts, sales, 14, PERIOD, unit)
    by_loops.assert_same(built, found, arrived, orders=(1, 2, 3), by=("channel", "campaign"))
    built = journeys(contacts, conversions, 14, PERIOD, unit)
    by_loops.assert_same(built, found, arrived, orders=(1,))


def test_spark_gives_the_sums_of_the_loops(spark):
    touchpoints, conversions = by_loops.company(34, units=True)
    contacts, sales = in_spark(spark, contacts=touchpoints, sales=conversions)
    found, arrived = by_loops.journeys(touchpoints, conversions, 14, BOUNDS)
    by_loops.assert_same(journeys(contacts, sales, 14, PERIOD), found, arrived, orders=(1, 2), by=("campaign",))
    frame = journeys(contacts, conversions, 14, PERIOD)
    assert frame.table["journeys"].tolist() == [state[0] for state in by_loops.table(found).values()]


@pytest.mark.parametrize("engine", ["postgres", "spark"])
def test_text_ids_and_odd_names_give_the_credit_of_duckdb(engine, request):
    touchpoints, conversions = by_loops.company(35, channels=10)
    for frame in (touchpoints, conversions):
        frame["user_id"] = frame["user_id"].map(lambda user: None if pd.isna(user) else f"ü{user}'")
    frames = {"contacts": touchpoints, "sales": conversions}
    put = in_postgres if engine == "postgres" else in_spark
    there = journeys(*put(request.getfixturevalue(engine), **frames), 30, PERIOD)
    here = journeys(*in_duckdb(**frames), 30, PERIOD)
    assert there.channels == here.channels == journeys(touchpoints, conversions, 30, PERIOD).channels
    np.testing.assert_allclose(totals(there), totals(here), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("engine", ["postgres", "spark"])
def test_open_journeys_are_completed_as_by_the_local_maker(engine, request):
    touchpoints, conversions = by_loops.company(36)
    put = in_postgres if engine == "postgres" else in_spark
    there = journeys(*put(request.getfixturevalue(engine), contacts=touchpoints, sales=conversions), 30, PERIOD)
    local = journeys(touchpoints, conversions, 30, PERIOD)
    chances = pd.DataFrame([(name, day, 0.25, 40.0) for name in local.channels[1:] for day in range(30)])
    chances.columns = ["channel", "age_day", "chance", "value"]
    have, want = (built.completed(chances) for built in (there, local))
    assert want.table.loc[2, "conversions"] > 0
    pd.testing.assert_frame_equal(have.table, want.table)
    pd.testing.assert_frame_equal(have.transitions(1), want.transitions(1))


def expected_times():
    return pd.to_datetime(list(MOMENTS), format="ISO8601").astype("datetime64[us]").astype("int64").tolist()


def test_postgres_reads_times_to_the_microsecond_in_any_session_time_zone(postgres):
    rows = ", ".join(f"({at}, timestamp '{text}', timestamptz '{text}+00')" for at, text in enumerate(MOMENTS))
    postgres.raw_sql(f"create temp table moments as select * from (values {rows}) as t (at, naive, zoned)").close()
    for zone in ("UTC", "America/New_York"):
        postgres.raw_sql(f"set time zone '{zone}'").close()
        table = postgres.table("moments")
        for column in ("naive", "zoned"):
            at = relational.moment(table[column], "postgres")
            assert table.select("at", us=at).order_by("at").to_pandas()["us"].tolist() == expected_times(), column


def test_spark_reads_times_to_the_microsecond(spark):
    rows = ", ".join(f"({at}, timestamp_ntz'{text}', timestamp'{text}Z')" for at, text in enumerate(MOMENTS))
    spark.raw_sql(f"create or replace temp view moments as select * from values {rows} as t (at, naive, zoned)")
    table = spark.table("moments")
    for column in ("naive", "zoned"):
        at = relational.moment(table[column], "pyspark")
        assert table.select("at", us=at).order_by("at").to_pandas()["us"].tolist() == expected_times(), column


def test_postgres_says_faults_and_leaves_nothing(postgres):
    touchpoints, conversions = by_loops.company(37)
    conversions.loc[:2, "value"] = [np.inf, -np.inf, np.nan]
    contacts, sales = in_postgres(postgres, contacts=touchpoints.assign(channel=" "), sales=conversions)
    with pytest.raises(Faults) as caught:
        journeys(contacts, sales, 30, PERIOD)
    assert "conversions: 3 rows without a finite value" in str(caught.value)
    assert f"touchpoints: {len(touchpoints)} rows without channel" in str(caught.value)
    assert not [name for name in postgres.list_tables() if name.startswith("ibis_kpitoolkit")]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_connection_lost_in_the_middle_is_said_with_the_tables_and_without_the_address(
    postgres, postgres_url, moment
):
    touchpoints, conversions = by_loops.company(38)
    names = {f"contacts_{moment}": touchpoints, f"sales_{moment}": conversions}
    contacts, sales = (postgres.create_table(name, frame) for name, frame in names.items())
    built = journeys(contacts, sales, 30, PERIOD) if moment == "after" else None
    pid = postgres.raw_sql("select pg_backend_pid()").fetchone()[0]
    other = ibis.connect(postgres_url)
    other.raw_sql(f"select pg_terminate_backend({pid}, 5000)").close()
    with pytest.raises(ToolkitError) as caught:
        built.aggregates() if built else journeys(contacts, sales, 30, PERIOD)
    said = str(caught.value)
    assert f"contacts_{moment}" in said and f"sales_{moment}" in said and "connection was lost" in said
    assert "127.0.0.1" not in said and "tester" not in said and "://" not in said
    assert caught.value.__suppress_context__
    left = [name for name in other.list_tables() if name.startswith("ibis_")]
    again = journeys(other.table(f"contacts_{moment}"), other.table(f"sales_{moment}"), 30, PERIOD)
    other_side = journeys(touchpoints, conversions, 30, PERIOD)
    pd.testing.assert_frame_equal(again.table, other_side.table)
    for name in names:
        other.drop_table(name)
    other.disconnect()
    assert not left
