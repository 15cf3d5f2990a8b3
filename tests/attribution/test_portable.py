"""The portable maker on DuckDB: against loops over rows, against the local maker, its SQL, and bad input."""

from decimal import Decimal

import ibis
import numpy as np
import pandas as pd
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.attribution import journeys, portable, relational
from kpitoolkit.attribution.aggregates import BAGS, bags_of
from kpitoolkit.errors import Faults, ToolkitError
from tests.attribution import by_loops

PERIOD = ("2026-07-01", "2026-08-31")
BOUNDS = tuple(pd.Timestamp(day).value // 1000 for day in ("2026-07-01", "2026-09-01"))
# no aggregate over ordered rows, no array, no function of one's own
FOREIGN = (
    sqlglot.exp.ArrayAgg,
    sqlglot.exp.GroupConcat,
    sqlglot.exp.Array,
    sqlglot.exp.WithinGroup,
    sqlglot.exp.Unnest,
    sqlglot.exp.Lambda,
)


def connected(*frames):
    connection = ibis.duckdb.connect()
    return [connection.create_table(name, frame) for name, frame in zip(("contacts", "sales"), frames, strict=False)]


@pytest.mark.parametrize(
    ("company", "lookback_days", "unit"),
    [
        ({"seed": 1}, 30, None),
        ({"seed": 2, "units": True}, 7.5, None),
        ({"seed": 3, "units": True}, 14, "it"),
        ({"seed": 4, "channels": 1, "campaigns": False}, 1, None),
        ({"seed": 5, "channels": 70, "users": 60}, 40, None),
    ],
    ids=["plain", "units", "one unit", "one channel", "70 channels"],
)
def test_sums_are_those_of_loops_over_rows(company, lookback_days, unit):
    touchpoints, conversions = by_loops.company(**company)
    source = portable.from_tables(*connected(touchpoints, conversions), lookback_days, BOUNDS, unit)
    found, arrived = by_loops.journeys(touchpoints, conversions, lookback_days, BOUNDS, unit)
    by_loops.assert_same(source, found, arrived, by=("channel", "campaign"), direct="direct")


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    units=st.booleans(),
    campaigns=st.booleans(),
    whole=st.booleans(),
    lookback_days=st.sampled_from([0.1, 3, 30, 200]),
    half_life_days=st.sampled_from([0.001, 7.0]),
)
def test_sums_are_those_of_the_local_maker(seed, units, campaigns, whole, lookback_days, half_life_days):
    touchpoints, conversions = by_loops.company(seed, users=25, units=units, campaigns=campaigns, channels=8)
    period = None if whole else PERIOD
    local = journeys(touchpoints, conversions, lookback_days, period)
    ours = journeys(*connected(touchpoints, conversions), lookback_days, period)
    assert_equal(ours, local, half_life_days)


def assert_equal(ours, local, half_life_days=7.0, bags=True):
    figures = dict(check_exact=False, rtol=1e-9, atol=1e-7)
    pd.testing.assert_frame_equal(ours.table, local.table, **figures)
    pd.testing.assert_frame_equal(ours.arrival, local.arrival)
    pd.testing.assert_frame_equal(ours.nodes, local.nodes)
    assert (ours.channels, ours.bounds, ours.data_bounds) == (local.channels, local.bounds, local.data_bounds)
    for by in ("channel", "campaign"):
        sums, expected = (made.aggregates(half_life_days, "DIRECT", by) for made in (ours, local))
        assert list(sums.players) == list(expected.players)
        np.testing.assert_array_equal(sums.channel_of, expected.channel_of)
        assert list(sums.credits) == list(expected.credits)
        tables = [(ours.transitions(order, by), local.transitions(order, by)) for order in (1, 2, 3)]
        tables += [(sums.transitions, expected.transitions)]
        arrays = [(sums.credits[model], expected.credits[model]) for model in sums.credits]
        arrays += [(sums.unattributed, expected.unattributed)]
        if by == "channel":
            tables.append((ours.coalitions(), local.coalitions()))
        if not bags:
            tables = [[without_bags(table) for table in pair] for pair in tables]
            arrays = [[array.sum(axis=0) for array in pair] for pair in arrays]
        for have, want in tables:
            pd.testing.assert_frame_equal(have, want, **figures)
        for have, want in arrays:
            np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-7)


def without_bags(table):
    keys = [column for column in ("origin", "target", "coalition") if column in table]
    return table.drop(columns="bag").groupby(keys, as_index=False).sum()


def test_text_ids_give_the_same_credit_and_conversions_may_come_as_a_frame():
    touchpoints, conversions = by_loops.company(8, units=True)
    for frame in (touchpoints, conversions):
        frame["user_id"] = frame["user_id"].map(lambda user: None if pd.isna(user) else f"ü{user}'")
    conversions["order_id"] = "Nº " + conversions["order_id"].astype("str")
    local = journeys(touchpoints, conversions, 30, PERIOD)
    contacts, sales = connected(touchpoints, conversions)
    assert_equal(journeys(contacts, sales, 30, PERIOD), local, bags=False)
    assert_equal(journeys(contacts, conversions, 30, PERIOD), local, bags=False)
    numbers, orders = by_loops.company(9)
    (contacts,) = connected(numbers)
    assert_equal(journeys(contacts, orders.astype({"user_id": "float64"}), 30), journeys(numbers, orders, 30))


def test_values_that_are_no_whole_cents_are_kept():
    touchpoints, conversions = by_loops.company(10)
    conversions["value"] = conversions["value"] / 7 + 1e-3
    ours = journeys(*connected(touchpoints, conversions), 30, PERIOD)
    assert_equal(ours, journeys(touchpoints, conversions, 30, PERIOD))
    assert ours.source.scale == 1


def test_open_journeys_are_completed_as_by_the_local_maker():
    touchpoints, conversions = by_loops.company(11, units=True)
    local, ours = (
        journeys(*tables, 30, PERIOD) for tables in ((touchpoints, conversions), connected(touchpoints, conversions))
    )
    chances = pd.DataFrame([(channel, day) for channel in local.channels[1:] for day in range(3, 30)])
    chances.columns = ["channel", "age_day"]
    chances["chance"], chances["value"] = 0.3 + chances["age_day"] / 100, 50.0
    completed = ours.completed(chances)
    assert completed.table.loc[2, "conversions"] > 0
    assert_equal(completed, local.completed(chances))
    assert_equal(ours, local)


def test_bags_are_those_of_the_mix():
    ids = np.array([0, 1, -1, 2**31 - 1, -(2**31), 2**62, -(2**63), 2**63 - 1, 123456789012])
    table = ibis.memtable(pd.DataFrame({"id": ids}))
    number = relational.key(table["id"], "duckdb")
    bags = relational.mixed(relational.mixed(number)) % BAGS
    assert table.select(bag=bags).to_pandas()["bag"].tolist() == bags_of(ids).tolist()
    assert [by_loops.bag_of(int(number)) for number in ids] == bags_of(ids).tolist()


def test_times_are_microseconds_whatever_their_type():
    moments = pd.to_datetime(["1969-12-31 23:59:59.999999", "2026-07-01 00:00:00.000001", "2026-10-25 01:30:00.5"])
    expected = (moments.astype("datetime64[us]").astype("int64")).tolist()
    frame = pd.DataFrame({"naive": moments, "zoned": moments.tz_localize("UTC").tz_convert("Asia/Kolkata")})
    (table,) = connected(frame.assign(whole=expected))
    for column in table.columns:
        found = table.select(at=relational.moment(table[column], "duckdb")).to_pandas()["at"].tolist()
        assert found == expected, column


# SQL


@pytest.mark.parametrize("dialect", ["bigquery", "snowflake", "trino", "postgres", "duckdb"])
@pytest.mark.parametrize("kind", ["timestamp", "timestamp('UTC')", "int64"])
def test_sql_of_every_sum_compiles_and_holds_nothing_that_engines_lack(dialect, kind):
    common = {"user_id": "string" if kind == "timestamp" else "int64", "time": kind, "unit": "string"}
    touchpoints = ibis.table({**common, "channel": "string", "campaign": "string"}, name="touchpoints")
    conversions = ibis.table({**common, "order_id": "string", "value": "decimal(18, 2)"}, name="conversions")
    compiled = portable.compile_sql(dialect, touchpoints, conversions, BOUNDS)
    assert len(compiled) == 9
    for name, sql in compiled.items():
        parsed = sqlglot.parse_one(sql, dialect=dialect)
        assert not list(parsed.find_all(*FOREIGN)), name
        for call in parsed.find_all(sqlglot.exp.AggFunc):
            assert not call.find(sqlglot.exp.Order), name
    windows = list(sqlglot.parse_one(compiled["journeys"], dialect=dialect).find_all(sqlglot.exp.Window))
    partitions = {tuple(part.sql() for part in window.args["partition_by"]) for window in windows}
    assert len(partitions) == 3  # of an order's rows, of a user's, of a journey's


# bad input


def contacts_frame(**columns):
    rows = {"user_id": [1, 2, 3], "time": pd.to_datetime(["2026-07-01", "2026-07-02", "2026-07-03"])}
    return pd.DataFrame(rows | {"channel": ["tv", "email", "tv"]} | columns)


def sales_frame(**columns):
    rows = {"order_id": ["A", "B"], "user_id": [1, 2], "time": pd.to_datetime(["2026-07-05", "2026-07-06"])}
    return pd.DataFrame(rows | {"value": [10.0, 20.0]} | columns)


def faults_of(contacts, sales, *words):
    with pytest.raises(Faults) as caught:
        journeys(contacts, sales, *words)
    return "\n".join(caught.value.faults)


def test_faults_come_all_at_once():
    contacts = contacts_frame(
        user_id=pd.array([1, None, None], dtype="Int64"),
        channel=[" ", None, "unattributed"],
        time=pd.to_datetime(["2026-07-01", None, "2026-07-03"]),
    )
    sales = sales_frame(order_id=["A", None], value=[np.inf, np.nan], time=pd.to_datetime([None, "2026-07-06"]))
    said = faults_of(*connected(contacts, sales), 0)
    for part in (
        "touchpoints: 2 rows without user_id",
        "touchpoints: 1 row without time",
        "touchpoints: 2 rows without channel",
        "touchpoints: 1 row with a channel called 'unattributed'",
        "conversions: 1 row without order_id",
        "conversions: 1 row without time",
        "conversions: 2 rows without a finite value",
        "lookback_days is 0",
    ):
        assert part in said
    assert len(said.splitlines()) == 8
    (table,) = connected(contacts_frame())
    assert "conversions: 2 rows without a finite value" in faults_of(table, sales_frame(value=[np.inf, np.nan]))


def test_columns_and_types_are_asked_for():
    contacts, sales = connected(contacts_frame().drop(columns="channel"), sales_frame().drop(columns="value"))
    said = faults_of(contacts, sales)
    assert "touchpoints: column 'channel' is missing" in said
    assert "conversions: column 'value' is missing" in said
    contacts, sales = connected(contacts_frame(time=["a", "b", "c"]), sales_frame(user_id=["1", "2"], value=["x", "y"]))
    said = faults_of(contacts, sales)
    for part in ("touchpoints: 'time'", "conversions: 'value'", "user_id is a number in one table and text"):
        assert part in said
    (contacts,) = connected(contacts_frame())
    assert "column 'unit' is missing" in faults_of(contacts, sales_frame(), 30, None, "it")
    assert "two connections" in faults_of(contacts, connected(contacts_frame(), sales_frame())[1])


def test_empty_tables_and_windows():
    contacts, sales = connected(contacts_frame(), sales_frame())
    assert "the table is empty" in faults_of(contacts.limit(0), sales)
    said = faults_of(contacts, sales, 30, ("2025-01-01", "2025-03-31"))
    assert "no touchpoint between 2024-12-02 and 2025-03-31: the table goes from 2026-07-01 to 2026-07-03" in said
    nothing = journeys(contacts, sales.limit(0), 30)
    assert nothing.table["journeys"].tolist() == [0, 0, 3, 0]
    assert nothing.coalitions().empty
    assert nothing.aggregates().credits["linear"].sum() == 0
    assert journeys(contacts, sales_frame().iloc[:0], 30).table.equals(nothing.table)


def test_too_many_states_and_channels_are_refused():
    touchpoints, conversions = by_loops.company(12, channels=20, users=60)
    ours = journeys(*connected(touchpoints, conversions), 30)
    with pytest.raises(ToolkitError, match="20 channels"):
        ours.coalitions()
    with pytest.raises(ToolkitError, match="more states"):
        ours.transitions(15)


def test_a_lost_connection_is_said_without_its_address(monkeypatch):
    contacts, sales = connected(contacts_frame(), sales_frame())
    made = journeys(contacts, sales, 30)
    backend = contacts.get_backend()
    assert [name for name in backend.list_tables() if name.startswith("ibis_kpitoolkit")]

    def broken(*_, **__):
        raise OSError("server closed the connection: postgres://me:secret@db.example/sales")

    monkeypatch.setattr(backend, "to_pandas", broken)
    for ask in (made.aggregates, lambda: journeys(contacts, sales, 30)):
        with pytest.raises(ToolkitError) as caught:
            ask()
        said = str(caught.value)
        assert "contacts" in said and "sales" in said and "connection was lost" in said and "run again" in said
        assert "secret" not in said and "://" not in said
        assert caught.value.__suppress_context__
    monkeypatch.undo()
    assert sorted(backend.list_tables()) == ["contacts", "sales"]


def test_an_engine_that_keeps_no_tables_is_asked_each_time(monkeypatch):
    touchpoints, conversions = by_loops.company(13)
    contacts, sales = connected(touchpoints, conversions)

    def refused(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(contacts.get_backend(), "create_table", refused)
    assert_equal(journeys(contacts, sales, 30, PERIOD), journeys(touchpoints, conversions, 30, PERIOD))


def test_what_an_engine_kept_goes_with_the_journeys():
    contacts, sales = connected(contacts_frame(), sales_frame())
    backend = contacts.get_backend()
    made = journeys(contacts, sales, 30)
    assert len(backend.list_tables()) == 3
    del made
    assert sorted(backend.list_tables()) == ["contacts", "sales"]


def test_ids_with_a_fraction_are_no_ids():
    contacts, sales = connected(contacts_frame(), sales_frame(order_id=[1.5, 1.7], user_id=[1.0, 2.25]))
    said = faults_of(contacts, sales)
    assert "conversions: 'order_id' holds numbers that are not whole. Read it as text." in said
    assert "conversions: 'user_id' holds numbers that are not whole" in said
    contacts, sales = connected(contacts_frame(user_id=[1.5, 2, 3]), sales_frame())
    assert "touchpoints: 'user_id' holds numbers that are not whole" in faults_of(contacts, sales)
    contacts, sales = connected(contacts_frame(user_id=[1.0, 2.0, 3.0]), sales_frame(user_id=[1.0, 2.0]))
    assert journeys(contacts, sales).table["journeys"].tolist() == [2, 0, 1, 0]


def test_a_frame_of_conversions_is_checked_as_anywhere_and_with_the_touchpoints():
    sales = sales_frame(order_id=["A", None], value=[1.0, np.inf])
    (contacts,) = connected(contacts_frame(channel=["tv", None, "tv"]))
    assert sorted(faults_of(contacts, sales).splitlines()) == [
        "conversions: 1 row without a finite value (first: row 2). Write 0 where there is none.",
        "conversions: 1 row without order_id (first: row 2). Check the export.",
        "touchpoints: 1 row without channel. Name it, or leave the rows out of the export.",
    ]
    assert "'value' is not a number" in faults_of(contacts, sales_frame(value=[True, False]))
    (contacts,) = connected(contacts_frame(unit="it"))
    exact = sales_frame(value=[Decimal("10.10"), Decimal("0.20")], unit="it")
    other = sales_frame(value=[Decimal(1), None], order_id=["C", None], time=pd.NaT, unit="fr")
    both = pd.concat([exact, other], ignore_index=True)
    assert journeys(contacts, both, 30, None, "it").table["value"].sum() == pytest.approx(10.3)
