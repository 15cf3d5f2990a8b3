"""Sums of journeys: frames and Parquet files against plain Python that follows every rule by hand; what must hold."""

from collections import Counter, defaultdict
from itertools import groupby
from uuid import UUID

import ibis
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.attribution import (
    batches,
    conversions_from_orders,
    ingest,
    journeys,
    journeys_from_paths,
    local,
)
from kpitoolkit.attribution.aggregates import BAGS, bags_of
from kpitoolkit.errors import Faults, ToolkitError

ZERO = pd.Timestamp("2026-06-28")
LOOKBACK, START, END = 48, 72, 192  # hours after ZERO
PERIOD = ("2026-07-01", "2026-07-05")
HALF_LIFE = 0.7
CHANNELS = ["a", "Direct", 'b > "c"', "🚀"]
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9, "check_dtype": False}

contact = st.tuples(
    st.integers(1, 5), st.integers(0, 220), st.sampled_from(CHANNELS), st.sampled_from(["", "x", "y"]),
    st.sampled_from(["it", "de"]),
)  # fmt: skip
order = st.tuples(
    st.integers(1, 30), st.one_of(st.none(), st.integers(1, 6)), st.integers(0, 220), st.integers(-500, 9000),
    st.sampled_from(["it", "de"]),
)  # fmt: skip
tables = st.tuples(st.lists(contact, min_size=1, max_size=30), st.lists(order, max_size=14))


def frames(contacts, orders):
    seen = pd.DataFrame(contacts, columns=["user_id", "hour", "channel", "campaign", "unit"])
    bought = pd.DataFrame(orders, columns=["order_id", "user_id", "hour", "value", "unit"])
    bought = bought.assign(value=bought["value"].astype(float) / 100, user_id=bought["user_id"].astype("Int64"))
    for frame in (seen, bought):
        frame["time"] = (ZERO + pd.to_timedelta(frame.pop("hour").astype(int), unit="h")).astype("datetime64[us]")
    return seen, bought


# the slow way


def plain_journeys(contacts, orders):
    """Yield user, steps [(hour, channel, campaign)], conversions, value, state, moment from which ages count."""
    once = {}
    for row in orders:
        number, user, hour, value, _ = row
        rank = (hour, value, user is None, user or 0)
        if number not in once or rank < once[number][0]:
            once[number] = (rank, row)
    kept = [row for _, row in once.values() if START - LOOKBACK <= row[2] < END]
    for number, user, hour, value, _ in kept:
        if user is None and hour >= START:
            yield number, [], 1, value / 100, "unattributed", hour
    people = {(row[0], row[4]) for row in contacts} | {(row[1], row[4]) for row in kept if row[1] is not None}
    for user, unit in sorted(people):
        walk = sorted({row[1:4] for row in contacts if (row[0], row[4]) == (user, unit)})
        walk = [step for step in walk if START - LOOKBACK <= step[0] < END]
        theirs = sorted((row[2], row[3] / 100) for row in kept if (row[1], row[4]) == (user, unit))
        before = -1
        for hour, closing in groupby(theirs, key=lambda pair: pair[0]):
            values = [value for _, value in closing]
            steps = [step for step in walk if before < step[0] <= hour and hour - step[0] <= LOOKBACK]
            before = hour
            if hour >= START:
                yield user, steps, len(values), sum(values), "converted" if steps else "unattributed", hour
        rest = [step for step in walk if step[0] > before]
        if rest:
            yield user, rest, 0, 0.0, "open" if rest[-1][0] + LOOKBACK >= END else "null", END


def plain_shares(names, hours, is_direct):
    """Return the share of each step by each model."""
    n = len(names)
    chosen = max([at for at in range(n) if not is_direct[at]], default=n - 1)
    decay = [2.0 ** (-(hours[-1] - hour) / 24 / HALF_LIFE) for hour in hours]
    distinct = [1.0 if names.index(name) == at else 0.0 for at, name in enumerate(names)]
    return {
        "first": [float(at == 0) for at in range(n)],
        "last": [float(at == n - 1) for at in range(n)],
        "last_non_direct": [float(at == chosen) for at in range(n)],
        "linear": [1 / n] * n,
        "position": [1 / n] * n if n < 3 else [0.4, *[0.2 / (n - 2)] * (n - 2), 0.4],
        "time_decay": [weight / sum(decay) for weight in decay],
        "shapley": [flag / sum(distinct) for flag in distinct],
    }


def plain_sums(found, players, player, order):
    """Return credits, transitions and coalitions as dicts, from the journeys of `plain_journeys`."""
    credits, passed, sets = defaultdict(float), defaultdict(lambda: [0.0, 0.0]), defaultdict(lambda: np.zeros(3))
    k = len(players)
    for user, steps, conversions, value, state, _ in found:
        if state == "open":
            continue
        bag = int(bags_of(np.array([user]))[0])
        nulls = int(state == "null")
        names = [players.index(player(step)) for step in steps]
        shares = plain_shares(names, [s[0] for s in steps], [s[1].lower() == "direct" for s in steps]) if names else {}
        for model, each in shares.items():
            for name, share in zip(names, each, strict=True):
                credits[model, bag, name, 0] += share * conversions
                credits[model, bag, name, 1] += share * value
        sets[bag, sum(2**name for name in set(names))] += np.array([conversions, value, nulls])
        walk = names if order == 1 else [name for name, _ in groupby(names)]
        history = 0
        for name in walk:
            passed[bag, history, name][0] += conversions + nulls
            history = (history * (k + 1) + name + 1) % (k + 1) ** order
        if conversions:
            passed[bag, history, k][0] += conversions
            passed[bag, history, k][1] += value
        if nulls:
            passed[bag, history, k + 1][0] += nulls
    return credits, passed, sets


def assert_sums(built, found, by):
    player = (lambda step: step[1]) if by == "channel" else (lambda step: step[1:3])
    players = sorted({player(step) for _, steps, *_ in found for step in steps})
    sums = built.aggregates(HALF_LIFE, by=by)
    assert list(sums.players) == players
    for order in (1, 2, 3):
        credits, passed, sets = plain_sums(found, players, player, order)
        rows = sorted((*key, *numbers) for key, numbers in passed.items())
        expected = pd.DataFrame(rows, columns=["bag", "origin", "target", "count", "value"])
        pd.testing.assert_frame_equal(built.transitions(order, by), expected, **TOLERANCE)
    for model, credit in sums.credits.items():
        dense = np.zeros((BAGS, len(players), 2))
        for (name, *at), share in credits.items():
            dense[tuple(at)] += share if name == model else 0
        np.testing.assert_allclose(credit, dense, rtol=1e-9, atol=1e-9, err_msg=model)
    if by == "channel":
        rows = sorted((*key, *numbers) for key, numbers in sets.items())
        expected = pd.DataFrame(rows, columns=["bag", "coalition", "conversions", "value", "nulls"])
        pd.testing.assert_frame_equal(built.coalitions(), expected, **TOLERANCE)
    alone = Counter()
    for user, steps, conversions, value, *_ in found:
        if not steps:
            alone[int(bags_of(np.array([user]))[0]), 0] += conversions
            alone[int(bags_of(np.array([user]))[0]), 1] += value
    dense = np.zeros((BAGS, 2))
    for at, number in alone.items():
        dense[at] = number
    np.testing.assert_allclose(sums.unattributed, dense, rtol=1e-9, atol=1e-9)


def counted(contacts):
    return any(START - LOOKBACK <= row[1] < END for row in contacts)


@given(tables.filter(lambda both: counted(both[0])), st.sampled_from(["channel", "campaign"]))
@settings(max_examples=60, deadline=None)
def test_sums_equal_plain_python(both, by):
    assert_sums(journeys(*frames(*both), LOOKBACK / 24, PERIOD), list(plain_journeys(*both)), by)


@given(tables.filter(lambda both: counted([row for row in both[0] if row[4] == "it"])))
@settings(max_examples=30, deadline=None)
def test_a_unit_stands_alone(both):
    alone = tuple([row for row in rows if row[4] == "it"] for rows in both)
    built = journeys(*frames(*both), LOOKBACK / 24, PERIOD, unit="it")
    assert_sums(built, list(plain_journeys(*alone)), "campaign")
    assert same(built, journeys(*frames(*alone), LOOKBACK / 24, PERIOD))


def same(one, two):
    """Whether two results agree to the last bit."""
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.arrival, two.arrival)
    pd.testing.assert_frame_equal(one.nodes, two.nodes)
    assert (one.bounds, one.data_bounds) == (two.bounds, two.data_bounds)
    for by in ("channel", "campaign"):
        first, second = one.aggregates(by=by), two.aggregates(by=by)
        assert first.players == second.players
        for model, credit in first.credits.items():
            np.testing.assert_array_equal(credit, second.credits[model])
        np.testing.assert_array_equal(first.unattributed, second.unattributed)
        for order in (1, 2, 3):
            pd.testing.assert_frame_equal(one.transitions(order, by), two.transitions(order, by))
    pd.testing.assert_frame_equal(one.coalitions(), two.coalitions())
    return True


# parts, threads, files


def many(n=6000, seed=1, text=False):
    random = np.random.default_rng(seed)
    contacts = zip(
        random.integers(1, 900, n).tolist(), random.integers(0, 220, n).tolist(), random.choice(CHANNELS, n).tolist(),
        random.choice(["", "x", "y"], n).tolist(), random.choice(["it", "de"], n).tolist(), strict=True,
    )  # fmt: skip
    m = n // 8
    orders = zip(
        random.integers(0, m, m).tolist(), random.integers(1, 1000, m).tolist(), random.integers(0, 220, m).tolist(),
        random.integers(1, 9000, m).tolist(), random.choice(["it", "de"], m).tolist(), strict=True,
    )  # fmt: skip
    seen, bought = frames(list(contacts), list(orders))
    bought.loc[::50, "user_id"] = pd.NA
    if text:
        for frame in (seen, bought):
            frame["user_id"] = ("u" + frame["user_id"].astype("string")).astype("str")
        bought["order_id"] = "o" + bought["order_id"].astype("str")
    return seen, bought


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("parts", [3, 7, 200])
def test_parts_threads_and_the_order_of_rows_change_no_bit(monkeypatch, parts, text):
    seen, bought = many(text=text)
    monkeypatch.setattr(local, "WORKERS", 1)
    whole = journeys(seen, bought, 2, PERIOD)
    assert len(whole.source.parts) == 1
    monkeypatch.setattr(ingest, "PART_ROWS", -(-len(seen) // parts))
    monkeypatch.setattr(batches, "BATCH_ROWS", 700)
    monkeypatch.setattr(ingest, "SPILL_ROWS", 0 if parts == 7 else 10**9)
    monkeypatch.setattr(local, "WORKERS", 2)
    shuffled = seen.sample(frac=1, random_state=2), bought.sample(frac=1, random_state=3)
    dealt = journeys(*shuffled, 2, PERIOD)
    assert len(dealt.source.parts) == parts
    assert same(whole, dealt)


@pytest.mark.parametrize("text", [False, True])
def test_parquet_files_give_what_frames_give(tmp_path, monkeypatch, text):
    seen, bought = many(text=text)
    monkeypatch.setattr(batches, "BATCH_ROWS", 1000)
    for part in range(3):
        folder = tmp_path / "touchpoints" / f"{part}"
        folder.mkdir(parents=True)
        rows = seen.sort_values("unit").iloc[part * 2000 : (part + 1) * 2000]
        rows.to_parquet(folder / "rows.parquet", index=False, row_group_size=300)
    bought.to_parquet(tmp_path / "orders.parquet", index=False)
    for unit in (None, "it"):
        expected = journeys(seen, bought, 2, PERIOD, unit)
        for place in (tmp_path / "touchpoints", str(tmp_path / "touchpoints" / "*" / "*.parquet")):
            assert same(journeys(place, tmp_path / "orders.parquet", 2, PERIOD, unit), expected)
    assert same(journeys(tmp_path / "touchpoints", bought), journeys(seen, bought))


def test_folders_named_after_a_unit_give_the_column(tmp_path):
    seen, bought = many()
    seen.to_parquet(tmp_path, partition_cols=["unit"], index=False)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["unit=de", "unit=it"]
    for unit in (None, "it"):
        assert same(journeys(tmp_path, bought, 2, PERIOD, unit), journeys(seen, bought, 2, PERIOD, unit))


def test_groups_of_rows_outside_the_window_are_counted_and_not_read(tmp_path, monkeypatch):
    seen, bought = many()
    seen = seen.sort_values(["unit", "time"], ignore_index=True)
    for frame, name in ((seen, "plain"), (seen.assign(time=seen["time"].dt.tz_localize("UTC")), "zoned")):
        frame.to_parquet(tmp_path / f"{name}.parquet", row_group_size=200)
    period = ("2026-07-02", "2026-07-02")
    read = []
    plain = ingest.microseconds
    monkeypatch.setattr(ingest, "microseconds", lambda column: read.append(len(column)) or plain(column))
    for unit in (None, "it"):
        expected = journeys(seen, bought, 1, period, unit)
        for name in ("plain", "zoned"):
            read.clear()
            assert same(journeys(tmp_path / f"{name}.parquet", bought, 1, period, unit), expected)
            assert sum(read) - len(bought) < len(seen) / 2
    with pytest.raises(Faults, match="no touchpoint between 2030-01-01 and 2030-02-01: the table goes from 2026-06-28"):
        journeys(tmp_path / "plain.parquet", bought, 1, ("2030-01-02", "2030-02-01"))


def test_other_types_of_columns_give_the_same(tmp_path):
    seen, bought = many()
    expected = journeys(seen, bought, 2, PERIOD)
    zoned = seen.assign(time=seen["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    zoned = zoned.astype({"channel": "category", "user_id": "int32", "campaign": "object"})
    zoned.to_parquet(tmp_path / "zoned.parquet", index=False)
    floating = bought.astype({"user_id": "float64", "time": "datetime64[ns]", "value": "float64"})
    assert same(journeys(zoned, floating, 2, PERIOD), expected)
    assert same(journeys(tmp_path / "zoned.parquet", floating, 2, PERIOD), expected)


# what must always hold


@given(tables.filter(lambda both: counted(both[0])))
@settings(max_examples=30, deadline=None)
def test_other_names_of_channels_permute_the_sums(both):
    names = dict(zip(CHANNELS, ["z", "Direct", "<b>y</b>", "0"], strict=True))
    # touchpoints of one moment stand in the order of names, so each has a moment of its own
    contacts = [(user, at * 7 % 220, *rest) for at, (user, _, *rest) in enumerate(both[0])]
    if not counted(contacts):
        return
    one = journeys(*frames(contacts, both[1]), LOOKBACK / 24, PERIOD)
    renamed = [(user, hour, names[channel], *rest) for user, hour, channel, *rest in contacts]
    two = journeys(*frames(renamed, both[1]), LOOKBACK / 24, PERIOD)
    place = [two.channels.index(names[channel]) for channel in one.channels]
    pd.testing.assert_frame_equal(one.table, two.table)
    first, second = one.aggregates(), two.aggregates()
    for model, credit in first.credits.items():
        np.testing.assert_allclose(credit, second.credits[model][:, place], rtol=1e-12)
    bits = [2**at for at in place]
    moved = one.coalitions()
    moved["coalition"] = [sum(b for at, b in enumerate(bits) if c >> at & 1) for c in moved["coalition"]]
    pd.testing.assert_frame_equal(moved.sort_values(["bag", "coalition"], ignore_index=True), two.coalitions())


@given(tables.filter(lambda both: counted(both[0])))
@settings(max_examples=30, deadline=None)
def test_one_more_user_without_conversion_changes_only_nulls(both):
    one = journeys(*frames(*both), LOOKBACK / 24, PERIOD)
    lost = (77, START, "a", "", "it")
    two = journeys(*frames([*both[0], lost], both[1]), LOOKBACK / 24, PERIOD)
    before, after = (built.table.set_index("state")["journeys"] for built in (one, two))
    assert (after - before).to_dict() == {"converted": 0, "null": 1, "open": 0, "unattributed": 0}
    pd.testing.assert_frame_equal(one.table.drop(columns="journeys"), two.table.drop(columns="journeys"))
    place = [two.channels.index(channel) for channel in one.channels]
    for model, credit in two.aggregates().credits.items():
        np.testing.assert_allclose(credit[:, place], one.aggregates().credits[model], rtol=1e-12)
        assert credit.sum() == pytest.approx(credit[:, place].sum())


def test_a_user_of_two_units_is_two_users_in_one_bag():
    seen, bought = frames([(1, 100, "a", "", "it"), (1, 101, "Direct", "", "de")], [(9, 1, 110, 1000, "it")])
    both = journeys(seen, bought, 2, PERIOD)
    assert both.table["journeys"].tolist() == [1, 1, 0, 0]
    assert len(set(both.transitions(1)["bag"])) == 1
    joined = journeys(seen.drop(columns="unit"), bought, 2, PERIOD)
    assert joined.table["journeys"].tolist() == [1, 0, 0, 0]


def test_open_journeys_are_completed_at_what_is_expected():
    seen, bought = frames([(1, 180, "a", "", "it"), (2, 150, "Direct", "", "it"), (3, 100, "a", "", "it")], [])
    built = journeys(seen, bought, 2, PERIOD)
    chances = pd.DataFrame({"channel": ["a"], "age_day": [0], "chance": [0.25], "value": [80.0]})
    done = built.completed(chances)
    assert done.table.set_index("state").loc["open"].tolist() == [2, 0.25, 20.0]
    ends = done.transitions(1).groupby("target")["count"].sum()
    assert ends.loc[[2, 3]].tolist() == [0.25, 1.75]
    assert done.aggregates().credits["time_decay"].sum(axis=0).tolist() == [[0, 0], [0.25, 20.0]]
    assert built.table.set_index("state").loc["open", "conversions"] == 0
    with pytest.raises(ToolkitError, match="'b' is no channel"):
        built.completed(chances.assign(channel="b"))
    with pytest.raises(ToolkitError, match="no times"):
        journeys_from_paths(pd.DataFrame({"path": ["a"], "total_conversions": [1]})).completed(chances)


# extremes


def test_a_thousand_channels():
    contacts = [(user, 80 + user % 50, f"c{(user * 7 + at) % 1000:03d}", "", "it") for user in range(2000)
                for at in range(3)]  # fmt: skip
    built = journeys(*frames(contacts, [(u, u, 140, 100, "it") for u in range(0, 2000, 2)]), 3, PERIOD)
    assert len(built.channels) == 1000
    assert built.transitions(2).query("target == 1000")["count"].sum() == 1000
    assert built.aggregates().credits["shapley"][:, :, 0].sum() == pytest.approx(1000)
    with pytest.raises(ToolkitError, match="at most 16 channels"):
        built.coalitions()
    assert built.transitions(6)["origin"].max() < 1001**6
    with pytest.raises(ToolkitError, match="more states than can be numbered"):
        built.transitions(7)


def test_a_journey_of_a_hundred_thousand_touchpoints_of_one_user(monkeypatch):
    monkeypatch.setattr(ingest, "PART_ROWS", 20_000)
    n = 100_000
    times = pd.Timestamp("2026-07-01") + pd.to_timedelta(np.arange(n), unit="s")
    seen = pd.DataFrame({"user_id": 5, "time": times, "channel": np.array(["a", "b", "c"])[np.arange(n) % 3]})
    bought = pd.DataFrame({"order_id": [1], "user_id": [5], "time": [times[-1]], "value": [9.0]})
    built = journeys(seen, bought, 30, PERIOD)
    assert built.table["journeys"].tolist() == [1, 0, 0, 0]
    assert built.transitions(3)["count"].sum() == n + 1
    assert built.aggregates().credits["linear"].sum(axis=0)[:, 0] == pytest.approx([33334 / n, 33333 / n, 33333 / n])


def test_times_of_many_centuries_keep_their_order():
    years = ["1700-01-01", "1950-06-01", "2200-12-31"]
    seen = pd.DataFrame({"user_id": 2**62 + np.arange(3), "time": pd.to_datetime(years).as_unit("us"), "channel": "a"})
    bought = pd.DataFrame(
        {"order_id": [1], "user_id": [2**62 + 1], "time": pd.to_datetime(["1950-06-02"]), "value": 1.0}
    )
    assert journeys(seen, bought).table["journeys"].tolist() == [1, 1, 1, 0]


# bad input


@pytest.fixture
def good():
    return frames(
        [(1, 100, "a", "", "it"), (2, 101, "a", "", "it"), (3, 102, "a", "", "it")], [(9, 1, 110, 1000, "it")]
    )


def test_faults_of_files_are_those_of_frames(good, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_ROWS", 2)
    seen, bought = good
    seen = seen.assign(channel=["a", " ", "unattributed"], user_id=pd.array([1, 2, None], dtype="Int64"))
    seen.loc[1, "time"] = pd.NaT
    bought = bought.assign(value=np.inf, order_id=pd.array([None], dtype="Int64"))
    seen.to_parquet(tmp_path / "t.parquet", row_group_size=1)
    bought.to_parquet(tmp_path / "c.parquet")
    messages = []
    for tables in ((seen, bought), (tmp_path / "t.parquet", tmp_path / "c.parquet")):
        with pytest.raises(Faults) as caught:
            journeys(*tables, 2, PERIOD)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    for part in (
        "1 row without channel (first: row 2)", "'unattributed'", "(first: row 3). Rename",
        "touchpoints: 1 row without user_id (first: row 3)", "1 row without time (first: row 2)",
        "1 row without order_id", "1 row without a finite value",
    ):  # fmt: skip
        assert part in messages[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop(columns="channel"), "column 'channel' is missing"),
        (lambda s: s.assign(time="2026-07-02"), "'time' is not a column of times"),
        (lambda s: s.assign(user_id=["u", "v", "w"]), "read both as text"),
        (lambda s: s.assign(user_id=[1.5, 2, 3]), "holds numbers that are not whole"),
        (lambda s: s.iloc[:0], "the table is empty"),
        (lambda s: s.assign(time=s["time"] - pd.Timedelta(days=900)), "no touchpoint between 2026-06-29 and"),
        (lambda s: s.drop(columns="unit"), "column 'unit' is missing"),
    ],
)
def test_faulty_tables_are_refused_in_frames_and_files(good, tmp_path, change, message):
    seen, bought = change(good[0]), good[1]
    seen.to_parquet(tmp_path / "t.parquet")
    for table in (seen, tmp_path / "t.parquet"):
        with pytest.raises(Faults, match=message):
            journeys(table, bought, 2, PERIOD, unit="it")


def test_times_of_several_zones_are_refused(good):
    zones = [pd.Timestamp("2026-07-02", tz=zone) for zone in ("Europe/Rome", "Asia/Tokyo", "UTC")]
    with pytest.raises(Faults, match="'time' is not a column of times"):
        journeys(good[0].assign(time=pd.Series(zones, dtype=object)), good[1], 2, PERIOD)


def test_an_unknown_unit_and_paths_that_lead_nowhere(good, tmp_path):
    with pytest.raises(Faults, match="the unit's name"):
        journeys(*good, 2, PERIOD, unit="fr")
    with pytest.raises(Faults, match=r"no Parquet file at '.*nothing\.parquet'"):
        journeys(tmp_path / "nothing.parquet", good[1], 2, PERIOD)
    (tmp_path / "text.parquet").write_text("user_id,time")
    with pytest.raises(Faults, match="conversions: list is no table"):
        journeys(good[0], [1], 2, PERIOD)
    with pytest.raises(Faults, match="cannot be read as Parquet"):
        journeys(tmp_path / "text.parquet", good[1], 2, PERIOD)


def test_a_file_of_a_folder_that_lacks_a_column_is_named(good, tmp_path):
    good[0].to_parquet(tmp_path / "a.parquet")
    good[0].drop(columns="channel").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(Faults, match=r"'b\.parquet': column 'channel' is missing"):
        journeys(tmp_path, good[1], 2, PERIOD)


@pytest.mark.parametrize("by", ["chanel", None])
def test_players_are_channels_or_campaigns(good, by):
    with pytest.raises(ToolkitError, match="by='channel' or by='campaign'"):
        journeys(*good, 2, PERIOD).aggregates(by=by)


def test_columns_that_stand_twice_and_ids_of_other_kinds_are_refused(good):
    twice = pd.concat([good[0], good[0][["channel"]]], axis=1)
    with pytest.raises(Faults, match="column 'channel' stands twice"):
        journeys(twice, good[1], 2, PERIOD)
    with pytest.raises(Faults, match="'user_id' is neither text nor whole numbers"):
        journeys(good[0].assign(user_id=[UUID(int=2**127 + at) for at in range(len(good[0]))]), good[1], 2, PERIOD)
    with pytest.raises(Faults, match="'value' is not a number"):
        journeys(good[0], good[1].assign(value=1j), 2, PERIOD)


def test_both_paths_are_named_and_a_damaged_file_too(good, tmp_path):
    with pytest.raises(Faults) as caught:
        journeys(tmp_path / "a.parquet", tmp_path / "b.parquet", 0, PERIOD)
    assert len(caught.value.faults) == 3
    good[0].to_parquet(tmp_path / "t.parquet")
    start = pq.read_metadata(tmp_path / "t.parquet").row_group(0).column(0).dictionary_page_offset
    written = bytearray((tmp_path / "t.parquet").read_bytes())
    written[start : start + 60] = bytes(60)
    (tmp_path / "t.parquet").write_bytes(written)
    with pytest.raises(Faults, match=r"touchpoints: '.*t\.parquet' cannot be read as Parquet"):
        journeys(tmp_path / "t.parquet", good[1], 2, PERIOD)


@pytest.mark.parametrize("make", [conversions_from_orders, journeys_from_paths])
def test_what_is_no_frame_is_named(make):
    with pytest.raises(Faults, match="str is no table"):
        make("orders.csv")


@pytest.mark.parametrize("kind", ["frame", "parquet", "connection"])
def test_rows_without_unit_are_not_passed_over_in_silence(kind, tmp_path):
    touchpoints = pd.DataFrame(
        {"user_id": [1, 2, 3], "time": pd.Timestamp("2026-07-05"), "channel": "tv", "unit": ["it", None, "uk"]}
    )
    conversions = pd.DataFrame(
        {"order_id": [1, 2], "user_id": [1, 2], "time": pd.Timestamp("2026-07-06"), "value": 1.0, "unit": [None, "it"]}
    )
    pair = [touchpoints, conversions]
    if kind == "parquet":
        for name, frame in (("t", touchpoints), ("c", conversions)):
            frame.to_parquet(tmp_path / f"{name}.parquet")
        pair = [tmp_path / "t.parquet", tmp_path / "c.parquet"]
    if kind == "connection":
        backend = ibis.duckdb.connect()
        pair = [backend.create_table(name, frame) for name, frame in (("t", touchpoints), ("c", conversions))]
    with pytest.raises(Faults) as error:
        journeys(*pair, 30, ("2026-07-01", "2026-09-30"), unit="it")
    assert [fault.split(" (first")[0].split(". ")[0] for fault in error.value.faults] == [
        "touchpoints: 1 row without unit",
        "conversions: 1 row without unit",
    ]
