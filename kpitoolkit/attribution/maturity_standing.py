"""How journeys stood at a moment of the past, and what became of them: counts from raw tables, part by part.

A journey is open at a moment if the last event of its user before it is a touchpoint, at most the look-back old. What
is counted as of a moment uses nothing that happened later.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.attribution import ingest
from kpitoolkit.attribution.aggregates import bags_of
from kpitoolkit.attribution.checks import Tally, missing_columns, refuse
from kpitoolkit.attribution.local import DAY_MICROSECONDS
from kpitoolkit.attribution.maturity_curve import cells, width_days

_SPELL = ["bag", "channel", "silent", "followed", "event"]
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Standing:
    """Journeys as they stood at a moment.

    Attributes
    ----------
    channels : tuple of str
        Sorted; of the touchpoints that were taken.
    spells : DataFrame
        What `maturity_curve.fit` reads: bag, channel (position), silent, followed, event, spells, orders, value,
        squares; from what was known at the moment.
    open : DataFrame
        channel (position), cell (of age), journeys, came (orders that closed them inside the look-back, as far as the
        data were read), value (of those orders).
    carried : array of int
        Keys of those orders.
    first : int
        First touchpoint of the table, microseconds UTC.
    """

    channels: tuple[str, ...]
    spells: pd.DataFrame
    open: pd.DataFrame
    carried: np.ndarray
    first: int


def standings(
    touchpoints, conversions, moments: tuple[int, ...], since: int, until: int, lookback_days: float, unit=None
) -> list[Standing]:
    """Read tables once and count as of several moments.

    Parameters
    ----------
    touchpoints, conversions
        As for `journeys`; of an Ibis connection, `maturity_portable.standings` counts the same.
    moments : tuple of int
        Microseconds UTC.
    since, until : int
        First instant to take, and the end of what is read.
    lookback_days : float
    unit : str, optional
        As for `journeys`.

    Returns
    -------
    list of Standing

    Raises
    ------
    Faults
        With everything found in the tables.
    """
    tables = {
        "touchpoints": ingest.table_of(touchpoints, "touchpoints"),
        "conversions": ingest.table_of(conversions, "conversions"),
    }
    extra = () if unit is None else ("unit",)
    needed = {"touchpoints": ("user_id", "time", "channel"), "conversions": ("order_id", "user_id", "time", "value")}
    refuse([line for name in tables for line in missing_columns(tables[name].columns, name, needed[name] + extra)])
    units = {} if unit is None and all("unit" in table.columns for table in tables.values()) else None
    tallies = {name: Tally(name) for name in tables}
    contacts = ingest.read_touchpoints(tables["touchpoints"], unit, units, (since, until), tallies["touchpoints"])
    orders, _ = ingest.read_conversions(tables["conversions"], unit, units, tallies["conversions"])
    refuse([text for tally in tallies.values() for text in tally.faults()])

    if contacts.read == contacts.before + contacts.after:
        columns = ("key", "time", "node", *(() if units is None else ("unit",)))
        contacts.dealt.add(ingest.Rows(dict.fromkeys(columns, np.zeros(0, dtype=np.int64))))
    names, place = contacts.nodes.frame()
    used = np.zeros(len(names), dtype=bool)
    for part in range(contacts.dealt.parts):
        used[place[contacts.dealt.take(part).node]] = True
    channels, channel_of = np.unique(names.loc[used, "channel"].to_numpy(dtype=object)), np.zeros(len(names), np.int64)
    channel_of[used] = pd.Index(channels).get_indexer(names.loc[used, "channel"])
    order = np.lexsort((orders.key, orders.is_guest, orders.value, orders.time, orders.order))
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = np.diff(orders.order[order]) != 0
    orders = orders[order[is_first]]
    dealt = ingest.Dealt(contacts.dealt.parts)
    dealt.add(orders[~orders.is_guest & (orders.time >= since) & (orders.time < until)])
    lookback = round(lookback_days * DAY_MICROSECONDS)
    grid = width_days(lookback_days) * DAY_MICROSECONDS, cells(lookback_days)
    found = [[] for _ in moments]
    for part in range(dealt.parts):
        events, closing_of = _events(contacts.dealt.take(part), dealt.take(part), place, channel_of)
        for counted, moment in zip(found, moments, strict=True):
            still_open, closed_by = _open(events, moment, lookback, *grid)
            carried = dealt.take(part).order[np.isin(closing_of, closed_by)]
            counted.append((_spells(events, moment, lookback, *grid), still_open, carried))
    standings = []
    for counted in found:
        spells, still_open, carried = zip(*counted, strict=True)
        still_open = pd.concat(still_open).groupby(["channel", "cell"], as_index=False).sum()
        spells = pd.concat(spells, ignore_index=True)
        names = tuple(str(name) for name in channels)
        standings.append(Standing(names, spells, still_open, np.concatenate(carried), contacts.first))
    return standings


def _events(contacts, orders, place: np.ndarray, channel_of: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the events by user and time, orders of one moment as one; and the row of each order's event.

    Columns: user, bag, time, channel (-1: orders), orders, value.
    """
    n = len(contacts)
    keys = np.concatenate([contacts.key, orders.key])
    user, _ = pd.factorize(keys)
    if "unit" in contacts.arrays:
        unit = np.concatenate([contacts.unit, orders.unit])
        user, _ = pd.factorize(user * (int(unit.max(initial=0)) + 1) + unit)
    time = np.concatenate([contacts.time, orders.time])
    node = np.concatenate([place[contacts.node], np.full(len(orders), len(place))])
    sequence = np.lexsort((node, time, user))
    user, time, node = user[sequence], time[sequence], node[sequence]
    is_order = node == len(place)
    is_new = np.ones(len(sequence), dtype=bool)
    is_new[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1]) | ~(is_order[1:] & is_order[:-1])
    row = np.cumsum(is_new) - 1
    closing_of = np.empty(len(orders), dtype=np.int64)
    closing_of[sequence[is_order] - n] = row[is_order]
    size = int(is_new.sum())
    events = pd.DataFrame(
        {
            "user": user[is_new],
            "bag": bags_of(keys)[sequence][is_new],
            "time": time[is_new],
            "channel": np.append(channel_of, -1)[node[is_new]],
            "orders": np.bincount(closing_of, minlength=size).astype(float),
            "value": np.bincount(closing_of, orders.value, minlength=size),
        }
    )
    return events, closing_of


def _next(events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each event, the row of its user's next conversion (-1: none), and the moment of the next event."""
    n = len(events)
    user, time = events["user"].to_numpy(), events["time"].to_numpy()
    rows = np.where(events["channel"].to_numpy() < 0, np.arange(n), n)
    closing = np.minimum.accumulate(rows[::-1])[::-1]
    closing = np.where(np.append(user, -1)[closing] == user, closing, -1)
    after = np.full(n, _NEVER)
    goes_on = np.flatnonzero(user[1:] == user[:-1])
    after[goes_on] = time[goes_on + 1]
    return closing, after


def _spells(events: pd.DataFrame, moment: int, lookback: int, width: int, size: int) -> pd.DataFrame:
    """Count touchpoints as `maturity_curve.fit` reads them, from the events before the moment."""
    known = events[events["time"] < moment].reset_index(drop=True)
    closing, after = _next(known)
    time = known["time"].to_numpy()
    aged = (moment - time) // width
    last_seen = -((np.minimum(after, moment) - moment) // width)
    silent = np.where(after == time, 0, np.clip(aged - last_seen + 1, 0, size))
    seen = (known["channel"].to_numpy() >= 0) & (silent > 0)
    time, aged, closing = time[seen], aged[seen], closing[seen]
    event = (closing >= 0) & (known["time"].to_numpy()[closing] - time <= lookback)
    closed_at = known["time"].to_numpy()[closing]
    followed = np.where(event, (closed_at - (moment - aged * width)) // width + 1, aged)
    value = np.where(event, known["value"].to_numpy()[closing], 0.0)
    frame = pd.DataFrame(
        {
            "bag": known["bag"].to_numpy()[seen],
            "channel": known["channel"].to_numpy()[seen],
            "silent": silent[seen],
            "followed": np.minimum(followed, size),
            "event": event,
            "spells": 1.0,
            "orders": np.where(event, known["orders"].to_numpy()[closing], 0.0),
            "value": value,
            "squares": value**2,
        }
    )
    return frame.groupby(_SPELL, as_index=False).sum()


def _open(events: pd.DataFrame, moment: int, lookback: int, width: int, size: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Count the journeys open at the moment and what closed them; return the rows of those events, too."""
    closing, after = _next(events)
    time = events["time"].to_numpy()
    chosen = (events["channel"].to_numpy() >= 0) & (time < moment) & (time >= moment - lookback) & (after >= moment)
    time_open, closing = time[chosen], closing[chosen]
    came = (closing >= 0) & (time[closing] - time_open <= lookback)
    frame = pd.DataFrame(
        {
            "channel": events["channel"].to_numpy()[chosen],
            "cell": np.minimum((moment - time_open) // width, size - 1),
            "journeys": 1.0,
            "came": np.where(came, events["orders"].to_numpy()[closing], 0.0),
            "value": np.where(came, events["value"].to_numpy()[closing], 0.0),
        }
    )
    return frame.groupby(["channel", "cell"], as_index=False).sum(), closing[came]
