"""What attribution asks of tables of an Ibis connection: what they hold, counted in the engine, and what is wrong."""

# ruff: noqa: PD003, PD004

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from kpitoolkit.attribution import ingest, relational
from kpitoolkit.attribution.checks import RESERVED, UNATTRIBUTED, Tally, missing_columns, refuse
from kpitoolkit.attribution.engine import Engine

_COLUMNS = {"touchpoints": ("user_id", "time", "channel"), "conversions": ("order_id", "user_id", "time", "value")}
_NO_TIMES = "'time' is not a column of times. Convert it."
_NO_NUMBERS = "'value' is not a number. Give currency units."


def connected(
    touchpoints: ir.Table, conversions: ir.Table | pd.DataFrame, unit: str | None, faults: list[str]
) -> tuple[Engine, ir.Table]:
    """Check the columns of both tables; return their engine, and the conversions as a table of it.

    Raises
    ------
    Faults
        With `faults` and all that columns and their types tell.
    """
    tables = {"touchpoints": touchpoints, "conversions": conversions}
    extra = () if unit is None else ("unit",)
    lacking = [
        text
        for name, table in tables.items()
        for text in missing_columns(list(table.columns), name, _COLUMNS[name] + extra)
    ]
    refuse([*faults, *lacking] if lacking else [])
    is_frame = isinstance(conversions, pd.DataFrame)
    engine = Engine(touchpoints.get_backend(), f"touchpoints{_named(touchpoints)} and conversions{_named(conversions)}")
    of_touchpoints = _type_faults("touchpoints", touchpoints) or (
        _broken_ids("touchpoints", touchpoints, engine) + _without_unit("touchpoints", touchpoints, unit, engine)
    )
    ids = _kind_of_ids(touchpoints)
    if is_frame:
        found, sold = _frame_faults(conversions, unit)
    else:
        found, sold = _type_faults("conversions", conversions), _kind_of_ids(conversions)
        if _tables(conversions) and conversions.get_backend() is not engine.backend:
            found.append("touchpoints and conversions are tables of two connections. Copy one next to the other.")
        else:
            found = found or (
                _broken_ids("conversions", conversions, engine)
                + _without_unit("conversions", conversions, unit, engine)
            )
    if sold and sold != ids:
        found.append("user_id is a number in one table and text in the other: read both as text.")
    if found and not of_touchpoints:
        of_touchpoints = _row_faults(engine, touchpoints, unit)
    refuse([*of_touchpoints, *found, *faults] if of_touchpoints or found else [])
    return engine, _uploaded(engine, conversions, unit, ids == "number") if is_frame else conversions


def touchpoint_counts(engine: Engine, contacts: ir.Table, bounds: tuple[int, int] | None, lookback: int) -> dict:
    """Return rows, no_user, no_time, before (the window), after (the period), first, last."""
    at = contacts["at"]
    wrong = {"no_user": contacts["user"].isnull(), "no_time": at.isnull()}
    if bounds is not None:
        wrong |= {"before": at < bounds[0] - lookback, "after": at >= bounds[1]}
    return {"before": 0, "after": 0} | engine.counted(contacts, wrong, {"first": at.min(), "last": at.max()})


def pairs(engine: Engine, contacts: ir.Table, bounds: tuple[int, int] | None, lookback: int) -> pd.DataFrame:
    """Return channel, campaign, rows, seen: the distinct pairs, and how many of their rows are in the window."""
    at = contacts["at"]
    seen = at.notnull() if bounds is None else (at >= bounds[0] - lookback) & (at < bounds[1])
    table = contacts.mutate(seen=seen.ifelse(1, 0))
    return engine.ask(table.group_by(["channel", "campaign"]).aggregate(rows=table.count(), seen=table["seen"].sum()))


def conversion_counts(engine: Engine, orders: ir.Table) -> dict:
    """Return rows, no_order, no_time, no_value, first, last, and how far values are from whole cents and from zero."""
    value = orders["worth"]
    cents = value * 100
    finite = value.notnull() & ~value.isnan() & ~value.isinf()
    return engine.counted(
        orders,
        {"no_order": orders["order"].isnull(), "no_time": orders["at"].isnull(), "no_value": ~finite},
        {
            "first": orders["at"].min(),
            "last": orders["at"].max(),
            "off_cents": finite.ifelse((cents - cents.round()).abs(), 0.0).max().cast("float64"),
            "largest": finite.ifelse(value.abs(), 0.0).max().cast("float64"),
        },
    )


def order_counts(engine: Engine, orders: ir.Table, kept: ir.Table, bounds: tuple[int, int]) -> dict[str, int]:
    """Return what arrived of conversions; `kept` has each order once."""
    at, (start, end) = kept["at"], bounds
    inside = (at >= start) & (at < end)
    guests = inside & kept["user"].isnull()
    counts = engine.counted(kept, {"before": at < start, "after": at >= end, "inside": inside, "guests": guests})
    ends = {
        f"{edge}_{name}": getattr(orders[name], edge)() for name in ("at", "worth", "user") for edge in ("min", "max")
    }
    facts = orders.group_by("order").aggregate(rows=orders.count(), named=orders["user"].count(), **ends)
    differ = [(facts[f"min_{name}"] != facts[f"max_{name}"]).fill_null(False) for name in ("at", "worth", "user")]
    differ.append((facts["named"] > 0) & (facts["named"] < facts["rows"]))
    read = engine.counted(facts, {"different": ibis.or_(*differ)}, {"read": facts["rows"].sum()})
    return {
        "conversions_read": read["read"],
        "conversions_repeated": read["read"] - counts["rows"],
        "order_ids_that_disagree": read["different"],
        "conversions_before_period": counts["before"],
        "conversions_after_period": counts["after"],
        "conversions_in_period": counts["inside"],
        "conversions_without_user": counts["guests"],
    }


def touchpoint_faults(counts: dict, found: pd.DataFrame) -> list[str]:
    """Return what is wrong with touchpoints, by their counts and the pairs found."""
    if not counts["rows"]:
        return ["touchpoints: the table is empty. Check the export and the unit's name in the data."]
    channel, rows = found["channel"], found["rows"].to_numpy(np.int64)
    blank = channel.isna() | (channel.astype("str").str.strip() == "")
    unnamed, reserved = (
        int(rows[chosen.fillna(False).to_numpy(dtype=bool)].sum()) for chosen in (blank, channel == UNATTRIBUTED)
    )
    faults = _lacking("touchpoints", {"user_id": counts["no_user"], "time": counts["no_time"]})
    if unnamed:
        faults.append(f"touchpoints: {_rows(unnamed)} without channel. Name it, or leave the rows out of the export.")
    if reserved:
        faults.append(f"touchpoints: {RESERVED.format(n=_rows(reserved), first='')}")
    return faults


def conversion_faults(counts: dict) -> list[str]:
    """Return what is wrong with conversions, by their counts."""
    faults = _lacking("conversions", {"order_id": counts["no_order"], "time": counts["no_time"]})
    if wrong := counts["no_value"]:
        faults.append(f"conversions: {_rows(wrong)} without a finite value. Write 0 where there is none.")
    return faults


def _type_faults(name: str, table: ir.Table) -> list[str]:
    faults, kind = [], table["time"].type()
    if not (kind.is_timestamp() or kind.is_integer()):
        faults.append(f"{name}: {_NO_TIMES}")
    if name == "conversions" and not table["value"].type().is_numeric():
        faults.append(f"{name}: {_NO_NUMBERS}")
    return faults


def _broken_ids(name: str, table: ir.Table, engine: Engine) -> list[str]:
    """Return a sentence for each column of ids whose numbers have fractions: as whole numbers two would be one."""
    ids = [table[column] for column in ("order_id", "user_id") if column in _COLUMNS[name]]
    ids = {column.get_name(): column for column in ids if column.type().is_floating() or column.type().is_decimal()}
    counts = engine.counted(table, {key: column != column.floor() for key, column in ids.items()}) if ids else {}
    return [f"{name}: {ingest.BROKEN_IDS.format(column=key)}" for key in ids if counts[key]]


def _without_unit(name: str, table: ir.Table, unit: str | None, engine: Engine) -> list[str]:
    """Say how many rows name no unit, where one unit's rows are asked for: they would drop out unseen."""
    if unit is None:
        return []
    return _lacking(name, {"unit": engine.counted(table, {"no_unit": table["unit"].isnull()})["no_unit"]})


def _row_faults(engine: Engine, touchpoints: ir.Table, unit: str | None) -> list[str]:
    contacts = relational.contacts_of(touchpoints, unit, engine.dialect)
    return touchpoint_faults(touchpoint_counts(engine, contacts, None, 0), pairs(engine, contacts, None, 0))


def _frame_faults(conversions: pd.DataFrame, unit: str | None) -> tuple[list[str], str]:
    """Check a frame of conversions as the local maker does; return the faults, and the kind of its users' ids."""
    tally = Tally("conversions")
    _, ids = ingest.read_conversions(ingest.table_of(conversions, "conversions"), unit, None, tally)
    return tally.faults(), ids


def _uploaded(engine: Engine, frame: pd.DataFrame, unit: str | None, is_numeric: bool) -> ir.Table:
    """Return a frame's conversions as a table of the engine; on the way there are no empty cells and no times."""
    if unit is not None:
        frame = frame[(frame["unit"] == unit).fillna(False).astype(bool)]
    time = pd.to_datetime(frame["time"])
    if time.dt.tz is not None:
        time = time.dt.tz_convert("UTC").dt.tz_localize(None)
    plain = {"known": frame["user_id"].notna(), "time": time.astype("datetime64[us]").astype("int64")}
    for name, numeric in (("order_id", pd.api.types.is_numeric_dtype(frame["order_id"])), ("user_id", is_numeric)):
        plain[name] = frame[name].fillna(0).astype("int64") if numeric else frame[name].astype("str").fillna("")
    if "unit" in frame:
        plain["unit"] = frame["unit"].astype("str").fillna("")
    table = engine.sent(pd.DataFrame(plain | {"value": frame["value"].astype("float64")}))
    return table.mutate(user_id=table["known"].ifelse(table["user_id"], ibis.null(table["user_id"].type()))).drop(
        "known"
    )


def _kind_of_ids(table: ir.Table) -> str:
    return "number" if table["user_id"].type().is_numeric() else "text"


def _tables(table: object) -> list[str]:
    """Return the names of the engine's tables that an expression reads."""
    return sorted({found.name for found in table.op().find(ops.DatabaseTable)}) if isinstance(table, ir.Table) else []


def _named(table: object) -> str:
    return f" ({', '.join(names)})" if (names := _tables(table)) else ""


def _lacking(table: str, counts: dict[str, int]) -> list[str]:
    return [f"{table}: {_rows(count)} without {column}. Check the export." for column, count in counts.items() if count]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
