"""The data of the comparison: raw touchpoints and conversions in Parquet, and path tables of the same journeys.

Everything is drawn with a fixed seed and kept under `.benchmarks/data`; a set that is there is not made again.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.sidebyside import stopwatch

PERIOD = ("2026-07-01", "2026-09-30")
START = np.datetime64("2026-07-01", "us").astype(np.int64)
DAY = 86_400_000_000
HOUR = DAY // 24
NAMES = np.array(
    [
        *("search_brand", "search_generic", "direct", "email", "social", "display"),
        *("affiliate", "video", "referral", "shopping", "app", "push"),
    ],
    dtype=object,
)
GROUP_ROWS = 1_000_000
BEFORE_NULL, BEFORE_ORDER = 0.225, 0.025
LONG_DAYS, STAY_DAYS = 70, 15
MOST_STEPS, MOST_DAYS, LATEST_START = 200, 12, 30


def chain(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shares of the next channel by channel, start last (K + 1, K), and the chance of an order by channel."""
    random = np.random.default_rng(20260701)
    base = 1.0 / np.arange(1, k + 1) ** 0.9
    follows = random.dirichlet(6 * base / base.sum(), k + 1) + 0.25 * np.eye(k + 1, k)
    orders = random.lognormal(0, 0.6, k)
    return follows / follows.sum(axis=1, keepdims=True), BEFORE_ORDER * orders / (orders @ base / base.sum())


def journeys_set(watch, folder: str, journeys: int, text_ids: bool = False) -> dict:
    """Draw journeys step by step from a chain; write `touchpoints.parquet`, `conversions.parquet`, `paths.csv`.

    Mean length 4, about one journey in ten converts; a fifth of those who convert come back for a second journey. All
    lie inside a look-back of 30 days, nulls are over before the period ends: none is open, so paths tell the same.
    """
    random = np.random.default_rng(journeys)
    follows, orders = chain(len(NAMES))
    cumulative = follows.cumsum(axis=1)
    alive = np.arange(journeys)
    at = np.full(journeys, len(NAMES))
    path = np.full(journeys, "", dtype=object)
    converted = np.zeros(journeys, dtype=bool)
    rows, steps = [], []
    while len(alive):
        at = np.minimum((random.random((len(alive), 1)) > cumulative[at]).sum(axis=1), len(NAMES) - 1)
        path[alive] += (" > " if rows else "") + NAMES[at]
        rows.append(alive)
        steps.append(at)
        draw = random.random(len(alive))
        buys = draw < orders[at]
        converted[alive[buys]] = True
        stays = draw >= orders[at] + BEFORE_NULL
        if len(rows) >= MOST_STEPS:
            stays[:] = False
        alive, at = alive[stays], at[stays]

    journey, channel = np.concatenate(rows), np.concatenate(steps)
    step = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    order = np.lexsort((step, journey))
    journey, channel, step = journey[order], channel[order], step[order]
    gap = random.exponential(0.8 * DAY, len(journey)).astype(np.int64) * (step > 0)
    passed = np.cumsum(gap)
    passed -= np.repeat(passed[step == 0], np.bincount(journey, minlength=journeys))
    length = np.bincount(journey, minlength=journeys)
    last = np.cumsum(length) - 1
    shrink = np.minimum(1.0, MOST_DAYS * DAY / np.maximum(passed[last], 1))
    passed = (passed * shrink[journey]).astype(np.int64) + step
    begin = START + random.integers(0, LATEST_START * DAY, journeys)
    close = begin + passed[last] + random.integers(60_000_000, HOUR, journeys)

    user = np.arange(journeys)
    again = np.flatnonzero(converted & (random.random(journeys) < 0.2))
    pairs = again[again + 1 < journeys]
    pairs = pairs[np.diff(pairs, prepend=-2) > 1]
    user[pairs + 1] = pairs
    shift = close[pairs] + random.integers(HOUR, 5 * DAY, len(pairs)) - begin[pairs + 1]
    begin[pairs + 1] += shift
    close[pairs + 1] += shift
    ids = _sparse(user)

    time = begin[journey] + passed
    by_time = np.argsort(time, kind="stable")
    to = Path(folder)
    to.mkdir(parents=True, exist_ok=True)
    bought = np.flatnonzero(converted)
    value = np.round(random.lognormal(4, 0.5, len(bought)), 2)
    _write_touchpoints(to, ids[journey][by_time], time[by_time], channel[by_time], NAMES, text_ids)
    _write_conversions(to, bought, ids[bought], close[bought], value, text_ids)

    paths = pd.DataFrame({"path": path, "total_conversions": converted.astype(int), "total_conversion_value": 0.0})
    paths.loc[bought, "total_conversion_value"] = value
    paths["total_null"] = 1 - paths["total_conversions"]
    table = paths.groupby("path", as_index=False, sort=True).sum()
    table.to_csv(to / "paths.csv", index=False)
    return {
        "journeys": journeys,
        "touchpoints": len(time),
        "conversions": len(bought),
        "users": len(np.unique(user)),
        "paths": len(table),
    }


def long_set(watch, folder: str, touchpoints: int, channels: int = 10, users: int = 0, per_order: int = 50) -> dict:
    """Draw touchpoints one slice of time after another, as a log grows; about 12 a user; write them group by group.

    A user is there for 15 of the 70 days in which touchpoints fall and has a taste for one channel. The period ends 22
    days later than they do, so about a quarter of the journeys is open. Memory stays that of one row group.
    """
    to = Path(folder)
    to.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(touchpoints + channels)
    users = users or max(1, touchpoints // 12)
    names = np.array([f"channel {number:04d}" for number in range(channels)], dtype=object)
    share = 1.0 / np.arange(1, channels + 1) ** 0.8
    cumulative = np.cumsum(share / share.sum())
    slices = max(1, -(-touchpoints // GROUP_ROWS))
    width = LONG_DAYS * DAY // slices
    present = -(-users * STAY_DAYS // (LONG_DAYS + STAY_DAYS))
    bought = []
    with pq.ParquetWriter(to / "touchpoints.parquet", _schema(False)) as writer:
        for number in range(slices):
            rows = min(GROUP_ROWS, touchpoints - number * GROUP_ROWS)
            passed = number * width + np.sort(random.integers(0, width, rows))
            time = START + passed
            user = (passed / (LONG_DAYS * DAY) * (users - present) + random.random(rows) * present).astype(np.int64)
            fresh = np.searchsorted(cumulative, random.random(rows)).clip(max=channels - 1)
            taste = np.searchsorted(cumulative, (_sparse(user) % 1_000_003) / 1_000_003).clip(max=channels - 1)
            channel = np.where(random.random(rows) < 0.4, taste, fresh)
            writer.write_table(_touchpoints(_sparse(user), time, channel, names, False))
            buys = random.random(rows) < (1 / per_order) * (0.5 + channel % 3 / 2)
            bought.append((_sparse(user[buys]), time[buys] + random.integers(60_000_000, HOUR, buys.sum())))
    ids, when = (np.concatenate(parts) for parts in zip(*bought, strict=True))
    _write_conversions(to, np.arange(len(ids)), ids, when, np.round(random.lognormal(4, 0.5, len(ids)), 2), False)
    return {"touchpoints": touchpoints, "conversions": len(ids), "users": users, "channels": channels}


def one_journey_set(watch, folder: str, touchpoints: int) -> dict:
    """One journey of that many touchpoints inside 29 days, closed by one order, beside a thousand short ones."""
    to = Path(folder)
    to.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(touchpoints)
    others = 1_000
    user = np.concatenate([np.zeros(touchpoints, int), np.arange(1, others + 1)])
    time = START + np.concatenate([np.sort(random.integers(0, 29 * DAY, touchpoints)), random.integers(0, DAY, others)])
    channel = random.integers(0, len(NAMES), len(user))
    _write_touchpoints(to, _sparse(user), time, channel, NAMES, False)
    buyer = np.append(0, np.arange(1, others + 1, 10))
    _write_conversions(to, buyer, _sparse(buyer), np.full(len(buyer), START + 29 * DAY), np.ones(len(buyer)), False)
    return {"touchpoints": len(user), "conversions": len(buyer), "users": others + 1, "channels": len(NAMES)}


def _sparse(user: np.ndarray) -> np.ndarray:
    """Turn numbers 0, 1, 2... into ids as systems give them: large and far apart, but never the same twice."""
    x = user.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((x ^ (x >> np.uint64(29))) >> np.uint64(1)).astype(np.int64)


def _schema(text_ids: bool) -> pa.Schema:
    ids = pa.string() if text_ids else pa.int64()
    return pa.schema([("user_id", ids), ("time", pa.timestamp("us")), ("channel", pa.string())])


def _ids(ids: np.ndarray, text_ids: bool) -> pa.Array:
    return pa.array([f"{number:016x}" for number in ids.tolist()]) if text_ids else pa.array(ids)


def _touchpoints(ids, time, channel, names, text_ids) -> pa.Table:
    channels = pa.DictionaryArray.from_arrays(pa.array(channel.astype(np.int32)), pa.array(names)).cast(pa.string())
    columns = [_ids(ids, text_ids), pa.array(time).cast(pa.timestamp("us")), channels]
    return pa.table(columns, schema=_schema(text_ids))


def _write_touchpoints(to, ids, time, channel, names, text_ids) -> None:
    table = _touchpoints(ids, time, channel, names, text_ids)
    pq.write_table(table, to / "touchpoints.parquet", row_group_size=GROUP_ROWS)


def _write_conversions(to, order, ids, time, value, text_ids) -> None:
    columns = {"order_id": pa.array(order.astype(np.int64)), "user_id": _ids(ids, text_ids)}
    columns |= {"time": pa.array(time).cast(pa.timestamp("us")), "value": pa.array(value.astype(float))}
    pq.write_table(pa.table(columns), to / "conversions.parquet", row_group_size=GROUP_ROWS)


TASKS = {"journeys": journeys_set, "long": long_set, "one_journey": one_journey_set}

if __name__ == "__main__":
    stopwatch.answer(TASKS)
