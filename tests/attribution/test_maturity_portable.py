"""The quarter close on an Ibis connection: the counts of the local one, to the last journey, and its figures."""

import ibis
import numpy as np
import pandas as pd
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.attribution import journeys, maturity, maturity_portable, maturity_standing, relational
from kpitoolkit.errors import Faults, ToolkitError
from tests.attribution import by_loops
from tests.attribution.test_portable import FOREIGN, connected

PERIOD = ("2026-07-01", "2026-08-31")
DAY = 86_400_000_000
KEYS = ["bag", "channel", "silent", "followed", "event"]


def instant(moment):
    return int(np.datetime64(moment, "us").astype(np.int64))


MOMENTS = (instant("2026-07-01"), instant("2026-08-20T13:30"))
WINDOW = instant("2026-06-05"), instant("2026-09-10")


def with_text_ids(touchpoints, conversions):
    named = [frame.assign(user_id=frame["user_id"].map(named_user)) for frame in (touchpoints, conversions)]
    return named[0], named[1].assign(order_id="Nº " + conversions["order_id"].astype("str"))


def named_user(user):
    return None if pd.isna(user) else f"ü{user}'"


def assert_same_standings(frames, tables, lookback_days, unit=None, bags=True):
    rules = MOMENTS, *WINDOW, lookback_days, unit
    expected = maturity_standing.standings(*frames, *rules)
    for have, want in zip(maturity_portable.standings(*tables, *rules), expected, strict=True):
        assert (have.channels, have.first) == (want.channels, want.first)
        keys = KEYS if bags else KEYS[1:]
        counts = [part.spells.groupby(keys, as_index=False)[["spells", "orders", "value", "squares"]].sum()
                  for part in (have, want)]  # fmt: skip
        pd.testing.assert_frame_equal(*counts, rtol=1e-12)
        pd.testing.assert_frame_equal(have.open, want.open, rtol=1e-12)
        closed = have.engine.ask(have.carried)
        assert len(closed) <= want.open["journeys"].sum()
        assert (closed["closing"] >= MOMENTS[0]).all()
    return expected


# counts


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    units=st.booleans(),
    unit=st.sampled_from([None, "it"]),
    text=st.booleans(),
    uploaded=st.booleans(),
    lookback_days=st.sampled_from([0.1, 3, 7.5, 30, 95]),
)
def test_counts_are_those_of_the_local_close(seed, units, unit, text, uploaded, lookback_days):
    frames = by_loops.company(seed, users=30, units=units, channels=8)
    if text:
        frames = with_text_ids(*frames)
    contacts, sales = connected(*frames)
    tables = contacts, frames[1] if uploaded else sales
    assert_same_standings(frames, tables, lookback_days, unit if units else None, bags=not text)


def test_the_counts_compared_hold_what_is_to_be_counted():
    frames = by_loops.company(3, users=120, units=True)
    at_start, at_end = assert_same_standings(frames, connected(*frames), 30)
    for found in (at_start, at_end):
        assert len(found.carried) > 3 and found.spells["event"].sum() > 5 and len(found.open) > 20
    assert at_end.spells["silent"].max() > 20


def test_values_that_are_no_whole_cents_and_ids_of_other_types():
    touchpoints, conversions = by_loops.company(4)
    conversions["value"] = conversions["value"] / 7 + 1e-3
    assert_same_standings((touchpoints, conversions), connected(touchpoints, conversions), 14)
    conversions = conversions.astype({"order_id": "float64", "user_id": "float64"})
    assert_same_standings((touchpoints, conversions), (connected(touchpoints)[0], conversions), 14)


# the quarter close


def assert_same_close(frames, tables, lookback_days=20, unit=None, bags=True):
    have, want = (maturity.quarter_close(*pair, PERIOD, lookback_days, unit=unit) for pair in (tables, frames))
    assert want.status == "ok"
    exact = ["credited", "carried_in", "value_credited", "value_carried_in", "forecast", "value_forecast"]
    columns = list(want.table.columns) if bags else ["channel", "model", *exact]
    pd.testing.assert_frame_equal(have.table[columns], want.table[columns], rtol=1e-7, atol=1e-7)
    columns = list(want.curve.columns) if bags else ["channel", "age_day", "chance", "converted", "open"]
    pd.testing.assert_frame_equal(have.curve[columns], want.curve[columns], rtol=1e-7)
    for name in ("status", "open_journeys", "events", "bounds", "lookback_days"):
        assert getattr(have, name) == getattr(want, name)
    assert want.totals["carried_in"].min() > 0 and want.totals["forecast"].min() > 0
    have, want = (maturity.true_up(*pair, PERIOD, lookback_days, unit=unit) for pair in (tables, frames))
    assert (have.status, have.first, have.moment) == (want.status, want.first, want.moment)
    pd.testing.assert_frame_equal(have.table, want.table, rtol=1e-7)


@pytest.fixture(scope="module")
def long_company():
    """Journeys with history enough for a forecast; two units, ties, repeated orders, orders without user."""
    touchpoints, conversions = by_loops.company(20, users=150, units=True)
    before = [frame.assign(time=frame["time"] - pd.Timedelta("60D")) for frame in by_loops.company(21, users=150)]
    before = [frame.assign(unit="it") for frame in before]
    before[1]["order_id"] += 10_000
    return pd.concat([touchpoints, before[0]]), pd.concat([conversions, before[1]])


@pytest.mark.parametrize("unit", [None, "it"])
@pytest.mark.parametrize("uploaded", [False, True])
def test_the_close_and_the_true_up_are_the_local_ones(long_company, unit, uploaded):
    contacts, sales = connected(*long_company)
    assert_same_close(long_company, (contacts, long_company[1] if uploaded else sales), unit=unit)


def test_text_ids_give_the_same_close_but_for_the_draw_of_the_intervals(long_company):
    frames = with_text_ids(*long_company)
    have, want = (maturity.quarter_close(*pair, PERIOD, 20) for pair in (connected(*frames), frames))
    exact = [name for name in want.table if "low" not in name and "high" not in name]
    pd.testing.assert_frame_equal(have.table[exact], want.table[exact], rtol=1e-7)
    columns = ["channel", "age_day", "chance", "converted", "open"]
    pd.testing.assert_frame_equal(have.curve[columns], want.curve[columns])
    assert (have.table["high"] >= have.table["forecast"]).all()


def test_little_history_is_a_verdict_and_nothing_stays_in_the_engine(long_company):
    touchpoints, conversions = (frame[frame["time"] > "2026-06-20"] for frame in long_company)
    contacts, sales = connected(touchpoints, conversions)
    close, judged = (ask(contacts, sales, PERIOD, 30, unit="it") for ask in (maturity.quarter_close, maturity.true_up))
    expected = maturity.quarter_close(touchpoints, conversions, PERIOD, 30, unit="it")
    assert (close.status, judged.status) == (expected.status, "short_history") == ("ok", "short_history")
    late = maturity.quarter_close(contacts.filter(contacts["time"] > "2026-07-10"), sales, PERIOD, 30, unit="it")
    assert late.status == "short_history" and not len(late.curve) and late.table["forecast"].isna().all()
    assert sorted(contacts.get_backend().list_tables()) == ["contacts", "sales"]


def test_no_conversion_at_all():
    touchpoints, conversions = by_loops.company(22)
    contacts, sales = connected(touchpoints, conversions)
    for none in (sales.limit(0), conversions[:0]):
        close = maturity.quarter_close(contacts, none, PERIOD)
        assert close.status == "few_conversions" and (close.table["carried_in"] == 0).all()
        assert close.open_journeys == maturity.quarter_close(touchpoints, conversions[:0], PERIOD).open_journeys


# PostgreSQL


@pytest.mark.parametrize("text", [False, True])
def test_postgres_gives_the_counts_and_the_close(postgres_url, long_company, text):
    connection = ibis.connect(postgres_url)
    frames = with_text_ids(*long_company) if text else long_company
    frames = [frame.reset_index(drop=True) for frame in frames]
    tables = [
        connection.create_table(name, frame, temp=True)
        for name, frame in zip(("contacts", "sales"), frames, strict=True)
    ]
    assert_same_standings(frames, tables, 20, bags=not text)
    if not text:
        assert_same_close(frames, tables, unit="it")
    connection.disconnect()


@pytest.mark.parametrize("dialect", ["bigquery", "snowflake", "trino", "postgres", "duckdb"])
def test_sql_compiles_and_holds_nothing_that_engines_lack(dialect):
    common = {"user_id": "string", "time": "timestamp", "unit": "string"}
    contacts = relational.contacts_of(ibis.table({**common, "channel": "string"}, name="contacts"), None, dialect)
    sales = ibis.table({**common, "order_id": "string", "value": "float64"}, name="sales")
    orders = relational.once(relational.orders_of(sales, None, dialect, in_cents=True))
    keys = ("unit", "user")
    closings = maturity_portable.closings_of(orders, keys, *WINDOW)
    channels = ibis.table({"channel": "string", "channel_key": "int32"}, name="channels")
    laid = maturity_portable.touches(contacts, closings, channels, keys, *WINDOW, dialect)
    rows = ibis.table(laid.schema(), name="touches")
    rules = MOMENTS[0], 30 * DAY, DAY, 30
    counts = [maturity_portable.spells(rows, *rules), maturity_portable.still_open(rows, *rules)]
    for expression in (closings, laid, *counts, maturity_portable.carried(rows, keys, *rules[:2])):
        parsed = sqlglot.parse_one(str(ibis.to_sql(expression, dialect=dialect)), dialect=dialect)
        assert not list(parsed.find_all(*FOREIGN))


# bad input


def test_faults_are_those_of_the_tables():
    touchpoints, conversions = by_loops.company(23)
    contacts, sales = connected(touchpoints.assign(channel=" "), conversions.assign(value=np.nan))
    for ask in (maturity.true_up, maturity.quarter_close):
        with pytest.raises(Faults) as caught:
            ask(contacts, sales, PERIOD)
        assert len(caught.value.faults) == 2
        with pytest.raises(Faults, match="column 'unit' is missing"):
            ask(contacts, sales, PERIOD, unit="it")


def test_tables_that_do_not_go_together_are_said():
    touchpoints, conversions = by_loops.company(24)
    contacts, sales = connected(touchpoints, conversions)
    for ask in (lambda *tables: journeys(*tables, 30, PERIOD), *(
        lambda *tables, ask=ask: ask(*tables, PERIOD) for ask in (maturity.quarter_close, maturity.true_up)
    )):  # fmt: skip
        with pytest.raises(ToolkitError, match=r"conversions are an Ibis table and .*\(DataFrame\).*to_pandas"):
            ask(touchpoints, sales)
        with pytest.raises(ToolkitError, match=r"touchpoints are an Ibis table and conversions are not \(str\)"):
            ask(contacts, "orders.parquet")
        with pytest.raises(Faults, match="two connections"):
            ask(contacts, connected(touchpoints, conversions)[1])
