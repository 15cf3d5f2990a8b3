"""How journeys stood at a moment of the past, from tables of an Ibis connection: counted in the engine.

The counts are those of `maturity_standing`. A touchpoint that is silent from its time until the next event of its user
stands at each daily landmark in between; from the ages at the first and the last of them, whole numbers both, follows
all that is counted, so that no row is written for a landmark. Grouped counts come back: at most one row a bag, channel
and two ages below 32.
"""

# ruff: noqa: PD004

from dataclasses import dataclass, replace

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from kpitoolkit.attribution import portable_checks, relational
from kpitoolkit.attribution.aggregates import BAGS
from kpitoolkit.attribution.checks import refuse
from kpitoolkit.attribution.engine import Engine
from kpitoolkit.attribution.journeys import Journeys
from kpitoolkit.attribution.local import DAY_MICROSECONDS
from kpitoolkit.attribution.maturity_curve import cells, width_days
from kpitoolkit.attribution.maturity_standing import Standing

_NEVER = 2**62


@dataclass(frozen=True, eq=False)
class PortableStanding(Standing):
    """Journeys as they stood at a moment; `carried` is a table in the engine.

    Attributes
    ----------
    carried : Table
        unit?, user, closing (microseconds UTC): one row a moment at which orders closed an open journey.
    engine : Engine
        Holds that table.
    """

    engine: Engine


def standings(
    touchpoints: ir.Table,
    conversions: ir.Table | pd.DataFrame,
    moments: tuple[int, ...],
    since: int,
    until: int,
    lookback_days: float,
    unit: str | None = None,
) -> list[PortableStanding]:
    """Lay the touchpoints out once in the engine, in a temporary table, and count as of several moments.

    Parameters
    ----------
    touchpoints, conversions, unit
        As for `journeys`, of an Ibis connection; conversions that are a frame are uploaded.
    moments, since, until, lookback_days
        As for `maturity_standing.standings`.

    Returns
    -------
    list of PortableStanding

    Raises
    ------
    Faults
        With everything found in the tables.
    ToolkitError
        Where the connection was lost or the engine refused.
    """
    engine, conversions = portable_checks.connected(touchpoints, conversions, unit, [])
    contacts = relational.contacts_of(touchpoints, unit, engine.dialect)
    seen = portable_checks.touchpoint_counts(engine, contacts, None, 0)
    pairs = portable_checks.pairs(engine, contacts, (since, until), 0)
    orders = relational.orders_of(conversions, unit, engine.dialect, in_cents=False)
    booked = portable_checks.conversion_counts(engine, orders)
    refuse(portable_checks.touchpoint_faults(seen, pairs) + portable_checks.conversion_faults(booked))

    in_cents = booked["off_cents"] < 1e-6 and booked["largest"] < 1e12
    orders = relational.once(relational.orders_of(conversions, unit, engine.dialect, in_cents))
    keys = ("unit", "user") if "unit" in contacts.columns and "unit" in orders.columns else ("user",)
    closings = engine.keep(closings_of(orders, keys, since, until))
    names = tuple(sorted(pairs.loc[pairs["seen"] > 0, "channel"].astype("str").unique()))
    numbers = pd.DataFrame(
        {"channel": pd.array(names, dtype="str"), "channel_key": np.arange(len(names), dtype=np.int32)}
    )
    rows = touches(contacts, closings, engine.sent(numbers), keys, since, until, engine.dialect)
    rows = engine.keep(rows)
    rules = round(lookback_days * DAY_MICROSECONDS), width_days(lookback_days) * DAY_MICROSECONDS, cells(lookback_days)
    scale = 100 if in_cents else 1
    return [
        PortableStanding(
            names,
            _counted(engine, spells(rows, moment, *rules), scale).astype({"event": bool}),
            _counted(engine, still_open(rows, moment, *rules), scale),
            carried(rows, keys, moment, rules[0]),
            seen["first"],
            engine,
        )
        for moment in moments
    ]


def carried_in(built: Journeys, standing: PortableStanding, keeps_value: bool) -> Journeys:
    """Return journeys whose value is 1 a conversion (or their own) where they are carried in, and 0 elsewhere.

    All conversions of one moment close a journey together, so a journey is carried in as a whole: the journeys that
    stand in the engine are joined with the moments of those carried, and no conversion comes back.

    Parameters
    ----------
    built : Journeys
        Of the quarter, from tables of the same connection.
    standing : PortableStanding
        As of the quarter's beginning.
    keeps_value : bool
    """
    source = built.source
    steps, keys = source.steps, source.steps.keys
    moments = standing.carried.mutate(is_carried=ibis.literal(1, "int8"))
    rows = steps.table.left_join(moments, [*keys, "closing"])
    rows = rows.select(*steps.table.columns, "is_carried")
    worth = rows["worth"] if keeps_value else rows["n"] * source.scale
    worth = rows["is_carried"].notnull().ifelse(worth, 0).cast(rows["worth"].type())
    steps = replace(steps, table=rows.mutate(worth=worth).drop("is_carried"))
    return replace(built, source=replace(source, steps=steps))


def closings_of(orders: ir.Table, keys: tuple[str, ...], since: int, until: int) -> ir.Table:
    """Return the moments at which users converted: the columns of `keys`, closing, n, worth.

    Parameters
    ----------
    orders : Table
        As `relational.once` returns it.
    keys : tuple of str
        What tells one user from another.
    since, until : int
    """
    known = orders.filter(orders["user"].notnull(), orders["at"] >= since, orders["at"] < until)
    moments = known.group_by([*keys, "at"]).aggregate(n=known.count(), worth=known["worth"].sum())
    return moments.select(
        *keys, closing="at", n=moments["n"].cast("int64"), worth=moments["worth"].cast(orders["worth"].type())
    )


def touches(
    contacts: ir.Table,
    closings: ir.Table,
    channels: ir.Table,
    keys: tuple[str, ...],
    since: int,
    until: int,
    dialect: str,
) -> ir.Table:
    """Return the touchpoints that are the last event of their user at their moment, and what came afterwards.

    Parameters
    ----------
    contacts : Table
        As `relational.contacts_of` returns it.
    closings : Table
        As `closings_of` returns it.
    channels : Table
        channel, channel_key: integers in the order of the names.
    keys : tuple of str
    since, until : int
    dialect : str
        The engine's name in Ibis.

    Returns
    -------
    Table
        The columns of `keys`, bag, channel, at, after (the user's next event, or never), closing (the user's next
        conversion, or never), n, worth (of that conversion, or 0).
    """
    seen = contacts.filter(contacts["at"] >= since, contacts["at"] < until).join(channels, "channel")
    seen = seen.select(
        *keys,
        key=relational.key(seen["user"], dialect),
        at="at",
        kind=ibis.literal(0, "int8"),
        channel=seen["channel_key"].cast("int32"),
        closes=ibis.literal(_NEVER, "int64"),
    )
    events = closings.select(
        *keys,
        key=relational.key(closings["user"], dialect),
        at="closing",
        kind=ibis.literal(1, "int8"),
        channel=ibis.literal(-1, "int32"),
        closes="closing",
    )
    events = seen.union(events)
    backwards = [events[name].desc() for name in ("at", "kind", "channel")]
    so_far = ibis.cumulative_window(group_by=list(keys), order_by=backwards)
    order = ibis.window(group_by=list(keys), order_by=backwards)
    placed = events.mutate(
        closing=events["closes"].min().over(so_far), after=events["at"].lag().over(order).fill_null(_NEVER)
    )
    placed = placed.filter(placed["kind"] == 0, placed["after"] > placed["at"])
    placed = placed.mutate(key=relational.mixed(placed["key"]))
    joined = placed.left_join(closings, [*keys, "closing"])
    return joined.select(
        *keys,
        "channel",
        "at",
        "after",
        "closing",
        bag=relational.mixed(joined["key"]) % BAGS,
        n=joined["n"].fill_null(0),
        worth=joined["worth"].fill_null(0),
    )


def spells(rows: ir.Table, moment: int, lookback: int, width: int, size: int) -> ir.Table:
    """Count touchpoints as `maturity_curve.fit` reads them, from what was known at the moment.

    Parameters
    ----------
    rows : Table
        As `touches` returns it.
    moment, lookback, width : int
        Microseconds; the width of a cell of age.
    size : int
        Number of cells.

    Returns
    -------
    Table
        bag, channel, silent, followed, event (0 or 1), spells, orders, worth, squares.
    """
    rows = rows.filter(rows["at"] < moment)
    rows = rows.mutate(aged=((moment - rows["at"]) // width).cast("int64"))
    until = ibis.least(rows["after"], ibis.literal(moment, "int64"))
    last_seen = ((moment - until + (width - 1)) // width).cast("int64")
    rows = rows.mutate(silent=_at_most(rows["aged"] - last_seen + 1, size))
    rows = rows.filter(rows["silent"] > 0)
    event = (rows["closing"] < moment) & (rows["closing"] - rows["at"] <= lookback)
    closed_at = event.ifelse(rows["closing"], moment)
    followed = event.ifelse(((closed_at - moment + rows["aged"] * width) // width).cast("int64") + 1, rows["aged"])
    rows = rows.mutate(event=event.ifelse(1, 0).cast("int64"), followed=_at_most(followed, size))
    is_event, worth = rows["event"] == 1, rows["worth"].cast("float64")
    return rows.group_by(["bag", "channel", "silent", "followed", "event"]).aggregate(
        spells=rows.count(),
        orders=is_event.ifelse(rows["n"], 0).sum(),
        value=is_event.ifelse(rows["worth"], 0).sum(),
        squares=is_event.ifelse(worth * worth, 0.0).sum(),
    )


def still_open(rows: ir.Table, moment: int, lookback: int, width: int, size: int) -> ir.Table:
    """Count the journeys open at the moment: channel, cell, journeys, orders that came, their value; as `spells`."""
    rows = _open(rows, moment, lookback)
    came = rows["closing"] - rows["at"] <= lookback
    cell = _at_most(((moment - rows["at"]) // width).cast("int64"), size - 1)
    rows = rows.mutate(cell=cell, orders=came.ifelse(rows["n"], 0), value=came.ifelse(rows["worth"], 0))
    return rows.group_by(["channel", "cell"]).aggregate(
        journeys=rows.count(), came=rows["orders"].sum(), value=rows["value"].sum()
    )


def carried(rows: ir.Table, keys: tuple[str, ...], moment: int, lookback: int) -> ir.Table:
    """Return the columns of `keys` and the moment at which orders closed a journey that was open; as `spells`."""
    rows = _open(rows, moment, lookback)
    return rows.filter(rows["closing"] - rows["at"] <= lookback).select(*keys, "closing")


def _open(rows: ir.Table, moment: int, lookback: int) -> ir.Table:
    return rows.filter(rows["at"] < moment, rows["at"] >= moment - lookback, rows["after"] >= moment)


def _at_most(number: ir.IntegerValue, most: int) -> ir.IntegerValue:
    return (number > most).ifelse(most, number).cast("int64")


def _counted(engine: Engine, counts: ir.Table, scale: int) -> pd.DataFrame:
    """Ask for counts: keys as integers, figures as floats in currency units, sorted as the local counts are."""
    frame = engine.ask(counts)
    keys = [name for name in frame if name in ("bag", "channel", "silent", "followed", "event", "cell")]
    frame = frame.astype(dict.fromkeys(frame.columns, "float64") | dict.fromkeys(keys, "int64"))
    units = {"value": scale, "squares": scale**2}
    frame = frame.assign(**{name: frame[name] / unit for name, unit in units.items() if name in frame})
    return frame.sort_values(keys, ignore_index=True)
