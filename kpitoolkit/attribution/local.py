"""Journeys and their sums from integer arrays, part by part: users are independent, so no part needs another.

A part holds the users of some bags, sorted by key, and the sums of a bag come from one part, added up in that order:
figures do not depend on the order of rows, on the number of parts, nor on the number of threads, to the last bit.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kpitoolkit.attribution import ingest, sums
from kpitoolkit.attribution.aggregates import Aggregates, bags_of, require_few_channels, require_order
from kpitoolkit.attribution.checks import Tally, missing_columns, no_touchpoint, refuse
from kpitoolkit.attribution.sums import STATES, Part
from kpitoolkit.errors import Faults

DAY_MICROSECONDS = 86_400_000_000
WORKERS = min(2, os.cpu_count() or 1)
_CONVERTED, _NULL, _OPEN, _UNATTRIBUTED = range(len(STATES))


@dataclass(frozen=True)
class _Rules:
    """Bounds and look-back in microseconds; the places of nodes and units, as met, in the order of their names."""

    start: int
    end: int
    lookback: int
    nodes: np.ndarray
    units: np.ndarray


def from_tables(
    touchpoints,
    conversions,
    lookback_days: float,
    bounds: tuple[int, int] | None = None,
    unit: str | None = None,
    faults: Sequence[str] = (),
) -> "LocalSource":
    """Build the journeys of a period; the rules are those of `journeys`.

    Parameters
    ----------
    touchpoints, conversions, lookback_days, unit
        As for `journeys`.
    bounds : (int, int), optional
        First instant of the period and first after it, microseconds UTC. Default: all that is in the data.
    faults : sequence of str
        Faults found before, to be said together with those of the tables.

    Raises
    ------
    Faults
        With everything found in the tables.
    """
    tables = {"touchpoints": touchpoints, "conversions": conversions}
    no_tables = []
    for name, table in tables.items():
        try:
            tables[name] = ingest.table_of(table, name)
        except Faults as error:
            no_tables += error.faults
    refuse([*faults, *no_tables] if no_tables else [])
    extra = () if unit is None else ("unit",)
    needed = {"touchpoints": ("user_id", "time", "channel"), "conversions": ("order_id", "user_id", "time", "value")}
    lacking = [
        text for name, table in tables.items() for text in missing_columns(table.columns, name, needed[name] + extra)
    ]
    refuse([*faults, *lacking] if lacking else [])
    lookback = 0 if faults else round(lookback_days * DAY_MICROSECONDS)
    window = None if bounds is None else (bounds[0] - lookback, bounds[1])
    units = {} if unit is None and all("unit" in table.columns for table in tables.values()) else None

    tallies = {name: Tally(name) for name in tables}
    contacts = ingest.read_touchpoints(tables["touchpoints"], unit, units, window, tallies["touchpoints"])
    orders, ids = ingest.read_conversions(tables["conversions"], unit, units, tallies["conversions"])
    found = [text for tally in tallies.values() for text in tally.faults()]
    if not found and ids and contacts.ids and contacts.ids != ids:
        found.append("user_id is a number in one table and text in the other: read both as text.")
    refuse([*found, *faults])

    if bounds is None:
        times = [contacts.first, contacts.last, *([orders.time.min(), orders.time.max()] if len(orders) else [])]
        bounds = int(min(times)), int(max(times)) + 1
        window = bounds[0] - lookback, bounds[1]
    if contacts.read == contacts.before + contacts.after:
        no_touchpoint(window, (contacts.first, contacts.last))
    orders, order_counts = _each_once(orders, window[0], bounds)
    nodes, place = contacts.nodes.frame()
    dealt = ingest.Dealt(contacts.dealt.parts)
    dealt.add(orders)
    del orders
    of_units = np.argsort(np.argsort(np.array(list(units or []), dtype=object)))
    rules = _Rules(*bounds, lookback, place.astype(_smallest(len(place))), of_units)

    def one(part: int) -> tuple[Part, dict[str, int]]:
        bags = contacts.dealt.bags(part)
        return _built(contacts.dealt.take(part), dealt.take(part), bags, rules)

    built = _mapped(one, range(dealt.parts))
    parts = [part for part, _ in built]
    totals = {name: sum(counts[name] for _, counts in built) for name in built[0][1]}
    late = {name: totals.pop(name) for name in list(totals) if name.endswith("only_after_order")}
    counts = {
        "touchpoints_read": contacts.read,
        "touchpoints_before_window": contacts.before,
        "touchpoints_after_period": contacts.after,
        **totals,
        **order_counts,
        **late,
    }
    arrival = pd.DataFrame({"item": list(counts), "rows": list(counts.values())})
    return source_of(parts, nodes, arrival, bounds, (contacts.first, contacts.last))


def _mapped(function: Callable, items: Iterable) -> list:
    items = list(items)
    if WORKERS == 1 or len(items) == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(function, items))


def _each_once(orders: ingest.Rows, window: int, bounds: tuple[int, int]) -> tuple[ingest.Rows, dict[str, int]]:
    """Return the conversions that close or cut journeys of the period, each order once, and what was left out."""
    read, different = len(orders), 0
    ids = np.sort(orders.order)
    if (ids[1:] == ids[:-1]).any():
        again = np.isin(orders.order, ids[1:][ids[1:] == ids[:-1]])
        facts = pd.DataFrame(orders[again].arrays)
        facts = facts.sort_values(["order", "time", "value", "is_guest", "key"])
        distinct = facts.drop_duplicates(["order", "time", "value", "is_guest", "key"])
        different = distinct.loc[distinct["order"].duplicated(), "order"].nunique()
        first = facts.drop_duplicates("order")
        rows = {name: np.concatenate([values[~again], first[name]]) for name, values in orders.arrays.items()}
        orders = ingest.Rows(rows)
    before, after = orders.time < bounds[0], orders.time >= bounds[1]
    counts = {
        "conversions_read": read,
        "conversions_repeated": read - len(orders),
        "order_ids_that_disagree": int(different),
        "conversions_before_period": int(before.sum()),
        "conversions_after_period": int(after.sum()),
        "conversions_in_period": int((~before & ~after).sum()),
        "conversions_without_user": int(orders.is_guest[~before & ~after].sum()),
    }
    return orders[(orders.time >= window) & ~after], counts


def _built(
    contacts: ingest.Rows, orders: ingest.Rows, bags: tuple[int, int], rules: _Rules
) -> tuple[Part, dict[str, int]]:
    """Build the journeys of one part, and count what does not count."""
    guests = orders[orders.is_guest & (orders.time >= rules.start)]
    guests = guests[np.lexsort((guests.order, guests.key))]
    orders = orders[~orders.is_guest]
    n = len(contacts)
    user, keys = _users(contacts, orders, rules.units)
    order = np.lexsort((orders.order, orders.time, user[n:]))
    orders, buyer = orders[order], user[n:][order]
    user, time, node, steps, ends, repeated = _in_order(
        user[:n], contacts.time, rules.nodes[contacts.node], buyer, orders.time
    )
    closed = _closings(orders, buyer, ends, rules)
    starts = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=len(keys)))])

    upto = np.searchsorted(steps, closed.end, side="right")
    since, ended, rests = starts[closed.key], _ends(closed.key), starts[:-1].copy()
    since[1:] = np.where(ended[:-1], since[1:], upto[:-1])
    rests[closed.key[ended]] = upto[ended]
    rest_length = starts[1:] - rests
    owner = np.flatnonzero(rest_length)
    is_open = time[starts[owner + 1] - 1] >= rules.end - rules.lookback

    in_period, counted = closed[closed.counts], (upto - since)[closed.counts]
    rows = _ranges(since[closed.counts], counted)
    journey = np.repeat(np.arange(len(in_period)), counted)
    age = in_period.time[journey] - time[rows]
    credited = age <= rules.lookback
    journey = journey[credited]
    open_rows = _ranges(rests[owner[is_open]], rest_length[owner[is_open]])
    is_null = np.ones(len(steps), dtype=bool)
    is_null[_ranges(since, upto - since)] = False
    is_null[open_rows] = False

    late = np.zeros(len(keys), dtype=bool)
    late[in_period.key] = True
    late[closed.key[upto > since]] = False
    late &= rest_length > 0
    counts = {
        "touchpoints_repeated": repeated,
        "touchpoints_closed_earlier": int((upto - since)[~closed.counts].sum()),
        "touchpoints_outside_lookback": len(rows) - len(journey),
        "touchpoints_in_journeys": len(journey) + int(rest_length.sum()),
        "touchpoints_only_after_order": int(rest_length[late].sum()),
        "users_only_after_order": int(np.count_nonzero(late)),
    }
    bag = bags_of(keys).astype(np.uint8)
    length = np.bincount(journey, minlength=len(in_period))
    opened = int(np.count_nonzero(is_open))
    closed_state = np.where(length > 0, _CONVERTED, _UNATTRIBUTED)
    other = np.repeat([_UNATTRIBUTED, _OPEN, _NULL], [len(guests), opened, len(owner) - opened])
    state = np.concatenate([closed_state, other]).astype(np.uint8)
    users = np.concatenate([owner[is_open], owner[~is_open]])
    part = Part(
        bags=bags,
        bag=np.concatenate([bag[in_period.key], bags_of(guests.key).astype(np.uint8), bag[users]]),
        state=state,
        length=np.concatenate([length, np.zeros(len(guests), dtype=np.int64), rest_length[users]]).astype(np.int32),
        conversions=np.concatenate([in_period.conversions, np.ones(len(guests)), np.zeros(len(owner))]),
        value=np.concatenate([in_period.value, guests.value, np.zeros(len(owner))]),
        nulls=state == _NULL,
        node=np.concatenate([node[rows[credited]], node[open_rows], node.compress(is_null)]),
        age=np.concatenate([age[credited], rules.end - time[open_rows]]),
    )
    return part, counts


def _closings(orders: ingest.Rows, buyer: np.ndarray, ends: np.ndarray, rules: _Rules) -> ingest.Rows:
    """Join conversions of a user at one moment: user, time, end (both in one), conversions, value, counts."""
    closes = np.ones(len(ends), dtype=bool)
    closes[1:] = ends[1:] != ends[:-1]
    number, time = np.cumsum(closes) - 1, orders.time[closes]
    return ingest.Rows(
        {
            "key": buyer[closes],
            "time": time,
            "end": ends[closes],
            "conversions": np.bincount(number, minlength=len(time)).astype(np.float64),
            "value": np.bincount(number, orders.value, minlength=len(time)),
            "counts": time >= rules.start,
        }
    )


def _ends(users: np.ndarray) -> np.ndarray:
    """Return which rows are the last of their user."""
    last = np.ones(len(users), dtype=bool)
    last[:-1] = users[1:] != users[:-1]
    return last


def _ranges(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return start, start + 1, ... of each range, one range after another."""
    stop = np.cumsum(length)
    return np.repeat(start - (stop - length), length) + np.arange(stop[-1] if len(stop) else 0)


def _smallest(count: int) -> np.dtype:
    return np.min_scalar_type(max(count - 1, 0))


def _users(contacts: ingest.Rows, orders: ingest.Rows, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the users of both tables by key, and by unit where there are units; return numbers, and keys of each."""
    code, keys = pd.factorize(np.concatenate([contacts.key, orders.key]), sort=True)
    if not len(units):
        return code, keys
    unit = units[np.concatenate([contacts.unit, orders.unit])]
    code, pairs = pd.factorize(code * len(units) + unit, sort=True)
    return code, keys[pairs // len(units)]


def _in_order(user: np.ndarray, time: np.ndarray, node: np.ndarray, buyer: np.ndarray, bought: np.ndarray):
    """Sort touchpoints by user, time and node, each once; put user and time of each into one integer.

    Returns
    -------
    user, time, node : arrays
    steps, ends : arrays of int64
        User and time of each touchpoint, and of each conversion (`buyer`, `bought`): in microseconds from the first
        time where that fits, else as its rank.
    repeated : int
        Touchpoints left out as they were there before.
    """
    if (time[1:] >= time[:-1]).all():
        order = _stable_order(user)
        user, time, node = user[order], time[order], node[order]
        steps, ends = _moments(user, time, buyer, bought)
    else:
        steps, ends = _moments(user, time, buyer, bought)
        order = np.argsort(steps)
        user, time, node, steps = user[order], time[order], node[order], steps[order]
    tied = steps[1:] == steps[:-1]
    if not tied.any():
        return user, time, node, steps, ends, 0
    among = np.zeros(len(steps), dtype=bool)
    among[1:] = tied
    among[:-1] |= tied
    node[among] = node[among][np.lexsort((node[among], steps[among]))]
    fresh = np.ones(len(steps), dtype=bool)
    fresh[1:] = ~tied | (node[1:] != node[:-1])
    return user[fresh], time[fresh], node[fresh], steps[fresh], ends, int(np.count_nonzero(~fresh))


def _stable_order(numbers: np.ndarray) -> np.ndarray:
    """Return what sorts numbers from 0 to 2^32, equal ones as they stand; 16 bits at a time, which numpy counts."""
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    if numbers.max(initial=0) >> 16:
        order = order[np.argsort((numbers >> 16).astype(np.uint16)[order], kind="stable")]
    return order


def _moments(user: np.ndarray, time: np.ndarray, buyer: np.ndarray, bought: np.ndarray):
    """Put user and time of each touchpoint, and of each conversion, into one integer each."""
    times = [part for part in (time, bought) if len(part)]
    first = min((int(part.min()) for part in times), default=0)
    last = max((int(part.max()) for part in times), default=0)
    if int(max(user.max(initial=0), buyer.max(initial=0))).bit_length() + (last - first).bit_length() > 63:
        ranks, known = pd.factorize(np.concatenate([time, bought]), sort=True)
        time, bought, first, last = ranks[: len(time)], ranks[len(time) :], 0, len(known)
    bits = (last - first).bit_length()
    return user << bits | (time - first), buyer << bits | (bought - first)


def source_of(
    parts: list[Part],
    nodes: pd.DataFrame,
    arrival: pd.DataFrame,
    bounds: tuple[int, int] | None = None,
    data_bounds: tuple[int, int] | None = None,
) -> "LocalSource":
    """Return the source of these parts; nodes that occur in no step are dropped and the others numbered again."""
    used = sum(np.bincount(part.node, minlength=len(nodes)) for part in parts) > 0
    place = (np.cumsum(used) - 1).clip(0).astype(_smallest(int(used.sum())))
    nodes = nodes[used].reset_index(drop=True)
    channel_of, channels = pd.factorize(nodes["channel"])
    return LocalSource(
        table=sums.states(parts, is_weighted=bounds is None),
        arrival=arrival,
        channels=tuple(str(name) for name in channels),
        nodes=nodes,
        bounds=bounds,
        data_bounds=data_bounds,
        parts=tuple(replace(part, node=place[part.node]) for part in parts),
        channel_of=channel_of.astype(np.int64),
    )


@dataclass(frozen=True, eq=False)
class LocalSource:
    """The sums of journeys that are held as arrays.

    Attributes
    ----------
    table : DataFrame
        state, journeys, conversions, value.
    arrival : DataFrame
        item, rows.
    channels : tuple of str
    nodes : DataFrame
        channel, campaign.
    bounds, data_bounds : (int, int) or None
        The period, and the first and last touchpoint read; microseconds UTC.
    parts : tuple of Part
        In order of bags; together all bags.
    channel_of : array of int
        Position of each node's channel.
    """

    table: pd.DataFrame
    arrival: pd.DataFrame
    channels: tuple[str, ...]
    nodes: pd.DataFrame
    bounds: tuple[int, int] | None
    data_bounds: tuple[int, int] | None
    parts: tuple[Part, ...]
    channel_of: np.ndarray

    def players(self, by: str) -> tuple[tuple, np.ndarray, np.ndarray]:
        """Return the players' labels, the channel of each, and the player of each node."""
        if by == "channel":
            return self.channels, np.arange(len(self.channels)), self.channel_of
        pairs = tuple(zip(self.nodes["channel"].tolist(), self.nodes["campaign"].tolist(), strict=True))
        return pairs, self.channel_of, np.arange(len(pairs))

    def aggregates(self, half_life_days: float = 7.0, direct: str = "direct", by: str = "channel") -> Aggregates:
        """See `Journeys.aggregates`."""
        players, channel_of, player_of = self.players(by)
        is_direct = np.array([name.casefold() == direct.casefold() for name in self.channels], dtype=bool)
        half_life = half_life_days * DAY_MICROSECONDS

        def one(part: Part) -> tuple[dict[str, np.ndarray], np.ndarray]:
            return sums.credits(part, player_of, is_direct[channel_of], half_life)

        found = _mapped(one, self.parts)
        return Aggregates(
            players=players,
            channel_of=channel_of,
            transitions=self.transitions(1, by),
            credits={model: np.concatenate([credit[model] for credit, _ in found]) for model in found[0][0]},
            unattributed=np.concatenate([unattributed for _, unattributed in found]),
        )

    def transitions(self, order: int, by: str = "channel") -> pd.DataFrame:
        """See `Journeys.transitions`."""
        players, _, player_of = self.players(by)
        require_order(order, len(players))
        found = _mapped(lambda part: sums.transitions(part, player_of, len(players), order), self.parts)
        names = ("bag", "origin", "target", "count", "value")
        return pd.DataFrame({name: np.concatenate([part[at] for part in found]) for at, name in enumerate(names)})

    def coalitions(self) -> pd.DataFrame:
        """See `Journeys.coalitions`."""
        require_few_channels(len(self.channels))
        found = _mapped(lambda part: sums.coalitions(part, self.channel_of, len(self.channels)), self.parts)
        names = ("bag", "coalition", "conversions", "value", "nulls")
        return pd.DataFrame({name: np.concatenate([part[at] for part in found]) for at, name in enumerate(names)})

    def completed(self, chances: pd.DataFrame) -> "LocalSource":
        """See `Journeys.completed`."""
        k, days = len(self.channels), int(chances["age_day"].max()) + 1 if len(chances) else 1
        filled = np.zeros((3, k, days + 1))
        at = pd.Index(self.channels).get_indexer(chances["channel"]), chances["age_day"].to_numpy(dtype=int)
        chance = chances["chance"].to_numpy(dtype=float)
        filled[0][at], filled[1][at], filled[2][at] = chance, chance * chances["value"].to_numpy(), 1 - chance

        def one(part: Part) -> Part:
            is_open = part.state == _OPEN
            last = np.cumsum(part.length)[is_open] - 1
            age = np.minimum(part.age[last] // DAY_MICROSECONDS, days)
            expected = filled[:, self.channel_of[part.node[last]], age]
            changed = [part.conversions.copy(), part.value.copy(), part.nulls.astype(np.float64)]
            for numbers, of_open in zip(changed, expected, strict=True):
                numbers[is_open] = of_open
            return replace(part, conversions=changed[0], value=changed[1], nulls=changed[2])

        parts = tuple(one(part) for part in self.parts)
        return replace(self, parts=parts, table=sums.states(parts, is_weighted=False))
