"""Journeys and their sums as relational expressions: one text for DuckDB, Spark and warehouses.

One window pass over the union of touchpoints and conversions places each touchpoint, a second one lays out its journey.
No ordered aggregates and no arrays: they differ between engines. Time is integer microseconds UTC from the first step
on, places (pairs of channel and campaign) are integers in the order of their names.
"""

import math
from dataclasses import dataclass

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from kpitoolkit.attribution.aggregates import BAGS

CONVERTED, NULL, OPEN, UNATTRIBUTED, EARLIER, TOO_OLD, REPEATED = range(7)
_NEVER = 2**62
_PRIME = 2**31 - 1
_SHIFT = 362_436_069
_DEEPEST = -700.0  # below it, exp() is an error on some engines and 0 on others


@ibis.udf.scalar.builtin(name="epoch_us")
def _epoch_us(time) -> int: ...


@ibis.udf.scalar.builtin(name="unix_micros")
def _unix_micros(time) -> int: ...


@ibis.udf.scalar.builtin(name="to_utf8")
def _to_utf8(words) -> bytes: ...


@ibis.udf.scalar.builtin(name="xxhash64")
def _xxhash64(data) -> bytes: ...


@ibis.udf.scalar.builtin(name="xxhash64")
def _xxhash64_number(words) -> int: ...


@ibis.udf.scalar.builtin(name="from_big_endian_64")
def _from_big_endian_64(data) -> int: ...


def moment(time: ir.Column, dialect: str) -> ir.IntegerColumn:
    """Return a time as integer microseconds UTC; a time without zone is UTC, integers are microseconds already."""
    if time.type().is_integer():
        return time.cast("int64")
    if dialect == "duckdb":
        return _epoch_us(time)
    if dialect in ("pyspark", "databricks", "bigquery"):
        return _unix_micros(time.cast(dt.Timestamp(timezone="UTC")))
    if dialect == "trino" and time.type().timezone is None:
        time = time.cast(dt.Timestamp(timezone="UTC"))
    return time.truncate("s").epoch_seconds().cast("int64") * 1_000_000 + time.microsecond().cast("int64")


def key(identifier: ir.Column, dialect: str) -> ir.IntegerColumn:
    """Return a number below 2^31 - 1 for an id: of the id itself if it is a whole number, else of the engine's hash."""
    if identifier.type().is_integer():
        number = identifier.cast("int64")
    elif dialect == "trino":
        number = _from_big_endian_64(_xxhash64(_to_utf8(identifier)))
    elif dialect in ("pyspark", "databricks"):
        number = _xxhash64_number(identifier)  # their other hash has 32 bits
    else:
        number = identifier.hash().cast("int64")
    prime = ibis.literal(_PRIME, "int64")
    return (number % prime + prime) % prime


def mixed(number: ir.IntegerColumn) -> ir.IntegerColumn:
    """Return one round of the mix of `aggregates.bags_of`; two rounds make a bag of a key."""
    prime = ibis.literal(_PRIME, "int64")
    square = number * number % prime
    return (square * square % prime * number % prime + _SHIFT) % prime


def contacts_of(touchpoints: ir.Table, unit: str | None, dialect: str) -> ir.Table:
    """Return touchpoints as unit?, user, at, channel, campaign; the rows of one unit where one is named."""
    table = touchpoints if unit is None else touchpoints.filter(touchpoints["unit"] == unit)
    columns = {"unit": _text(table["unit"]).fill_null("")} if unit is None and "unit" in table.columns else {}
    campaign = _text(table["campaign"]).fill_null("") if "campaign" in table.columns else ibis.literal("")
    return table.select(
        **columns,
        user=_identifier(table["user_id"]),
        at=moment(table["time"], dialect),
        channel=_text(table["channel"]),
        campaign=campaign,
    )


def orders_of(conversions: ir.Table, unit: str | None, dialect: str, in_cents: bool) -> ir.Table:
    """Return conversions as unit?, order, user, at, worth (cents where all values are whole cents)."""
    table = conversions if unit is None else conversions.filter(conversions["unit"] == unit)
    columns = {"unit": _text(table["unit"]).fill_null("")} if unit is None and "unit" in table.columns else {}
    value = table["value"].cast("float64")
    return table.select(
        **columns,
        order=_identifier(table["order_id"]),
        user=_identifier(table["user_id"]),
        at=moment(table["time"], dialect),
        worth=(value * 100).round().cast("int64") if in_cents else value,
    )


def once(orders: ir.Table) -> ir.Table:
    """Keep one row an order: the earliest, then the lowest value, then the first user."""
    window = ibis.window(
        group_by="order", order_by=[orders["at"], orders["worth"], _flag(orders["user"].isnull()), orders["user"]]
    )
    ranked = orders.mutate(rank=ibis.row_number().over(window))
    return ranked.filter(ranked["rank"] == 0).drop("rank")


def _identifier(column: ir.Column) -> ir.Column:
    return column.cast("int64") if column.type().is_numeric() else _text(column)


def _text(column: ir.Column) -> ir.StringColumn:
    return column if column.type().is_string() else column.cast("string")


@dataclass(frozen=True, eq=False)
class Steps:
    """The journeys of a period, one row a step, and the sums over them.

    Attributes
    ----------
    table : Table
        bag, the columns of `keys`, closing (moment of the conversion, or never), state (also: closed earlier, too old,
        repeated), pos (1 to steps), steps (0: a conversion without touchpoint), channel, node, channel_before,
        node_before (-1: none), age (microseconds before the conversion or the period's end), youngest (age of the last
        step), n, worth, nulls (weights of the journey).
    keys : tuple of str
        What tells one user from another.
    """

    table: ir.Table
    keys: tuple[str, ...]

    def moves(self, order: int, by: str) -> ir.Table:
        """Return bag, before_k to before_1 (-1: none), player, is_last and the sums n, worth, nulls of passes.

        For an order above 1, repeats of one player in a row are collapsed first.
        """
        rows = self._counted()
        player, before = _columns(by)
        befores = [f"before_{lag}" for lag in range(order, 0, -1)]
        if order == 1:
            rows = rows.mutate(player=rows[player], before_1=rows[before], is_last=_flag(rows["pos"] == rows["steps"]))
        else:
            rows = rows.filter(rows[player] != rows[before])
            window = ibis.window(group_by=[*self.keys, "closing"], order_by="pos")
            lags = {name: rows[player].lag(order - at).over(window) for at, name in enumerate(befores)}
            rows = rows.mutate(
                player=rows[player],
                is_last=_flag(rows["pos"].lead().over(window).isnull()),
                **{name: column.fill_null(-1) for name, column in lags.items()},
            )
        return rows.group_by(["bag", *befores, "player", "is_last"]).aggregate(**_weights(rows))

    def alone(self) -> ir.Table:
        """Return bag, n and worth of the conversions without touchpoint."""
        rows = self.table.filter(self.table["state"] == UNATTRIBUTED)
        return rows.group_by("bag").aggregate(n=rows["n"].sum(), worth=rows["worth"].sum())

    def credits(self, half_life: float, direct: list[int], by: str) -> ir.Table:
        """Return bag, player, and for each model that is a sum over journeys `<model>_n` and `<model>_worth`.

        Parameters
        ----------
        half_life : float
            Microseconds.
        direct : list of int
            Channels that `last_non_direct` passes over.
        by : {"channel", "campaign"}
        """
        rows = self._counted()
        rows = rows.filter(rows["n"] != 0)
        pos, steps = rows["pos"], rows["steps"]
        since = (rows["age"] - rows["youngest"]).cast("float64") * (-math.log(2) / half_life)
        decay = (since > _DEEPEST).ifelse(since, _DEEPEST).exp()
        spread = (steps > 0).ifelse(steps, 1).cast("float64")
        is_end = (pos == 1) | (pos == steps)
        between = 0.2 / (steps > 2).ifelse(spread - 2, 1.0)
        position = (steps < 3).ifelse(1 / spread, is_end.ifelse(0.4, between))
        late = rows["channel"].isin(direct).ifelse(0, pos) if direct else pos
        rows = rows.mutate(
            player=rows[_columns(by)[0]],
            is_first=_flag(pos == 1),
            is_last=_flag(pos == steps),
            linear=1 / spread,
            position=position,
            decay=decay,
            late=late,
        )
        of_journey = ["bag", *self.keys, "closing", "n", "worth"]
        met = rows.group_by([*of_journey, "player"]).aggregate(
            first=rows["is_first"].max(),
            last=rows["is_last"].max(),
            late=rows["late"].max(),
            linear=rows["linear"].sum(),
            position=rows["position"].sum(),
            decay=rows["decay"].sum(),
        )
        whole = ibis.window(group_by=[*self.keys, "closing"])
        met = met.mutate(
            latest=met["late"].max().over(whole),
            players=met["player"].count().over(whole),
            decays=met["decay"].sum().over(whole),
        )
        shares = {
            "first": met["first"],
            "last": met["last"],
            "last_non_direct": (met["latest"] == 0).ifelse(met["last"], _flag(met["late"] == met["latest"])),
            "linear": met["linear"],
            "position": met["position"],
            "time_decay": met["decay"] / met["decays"],
            "shapley": 1 / met["players"].cast("float64"),
        }
        sums = {f"{model}_{of}": (share * met[of]).sum() for model, share in shares.items() for of in ("n", "worth")}
        return met.group_by(["bag", "player"]).aggregate(**sums)

    def coalitions(self, channels: list[int]) -> ir.Table:
        """Return bag, coalition (sum of 2**position in `channels`) and the sums n, worth, nulls of its journeys."""
        rows = self._counted()
        bits = ibis.cases(*((rows["channel"] == channel, 2**at) for at, channel in enumerate(channels)), else_=0)
        rows = rows.mutate(bit=bits.cast("int64"))
        of_journey = ["bag", *self.keys, "closing", "n", "worth", "nulls"]
        met = rows.group_by([*of_journey, "bit"]).aggregate()
        sets = met.group_by(of_journey).aggregate(coalition=met["bit"].sum())
        return sets.group_by(["bag", "coalition"]).aggregate(**_weights(sets))

    def met(self) -> ir.Table:
        """Return state, node, rows, and journeys, n, worth of the journeys that end there."""
        rows = self.table
        is_last = rows["pos"] >= rows["steps"]
        return rows.group_by(["state", "node"]).aggregate(
            rows=rows.count(),
            journeys=_flag(is_last).sum(),
            **{name: is_last.ifelse(rows[name], 0).sum() for name in ("n", "worth")},
        )

    def late(self) -> ir.Table:
        """Return users and touchpoints of the users who converted and have contacts after conversions only."""
        rows = self.table.filter(self.table["state"] != REPEATED)
        rows = rows.filter(rows[self.keys[-1]].notnull())
        state = rows["state"]
        users = rows.group_by(list(self.keys)).aggregate(
            closed=_flag(state.isin([CONVERTED, UNATTRIBUTED])).max(),
            before=_flag(state.isin([CONVERTED, EARLIER, TOO_OLD])).max(),
            after=_flag(state.isin([NULL, OPEN])).sum(),
        )
        users = users.filter(users["closed"] == 1, users["before"] == 0, users["after"] > 0)
        return users.aggregate(users=users.count(), touchpoints=users["after"].sum())

    def completed(self, chances: ir.Table, day: int) -> "Steps":
        """Close open journeys at their expected outcome; see `Journeys.completed`.

        Parameters
        ----------
        chances : Table
            channel (key), age_day, chance, mean (worth of one conversion).
        day : int
            Microseconds.
        """
        rows = self.table
        last = rows.filter(rows["state"] == OPEN, rows["pos"] == rows["steps"])
        last = last.mutate(age_day=(last["youngest"] // day).cast("int64"))
        last = last.join(chances, ["channel", "age_day"])
        last = last.select(*self.keys, is_open=ibis.literal(OPEN, "int8"), chance="chance", mean="mean")
        joined = rows.left_join(last, [*self.keys, rows["state"] == last["is_open"]])
        joined = joined.select(*rows.columns, "chance", "mean")
        chance, known = joined["chance"], joined["chance"].notnull()
        table = joined.mutate(
            n=known.ifelse(chance, joined["n"].cast("float64")),
            worth=known.ifelse(chance * joined["mean"], joined["worth"].cast("float64")),
            nulls=known.ifelse(1 - chance, joined["nulls"].cast("float64")),
        )
        return Steps(table.drop("chance", "mean"), self.keys)

    def _counted(self) -> ir.Table:
        """Return the steps of journeys that pass through the chain."""
        rows = self.table
        return rows.filter(rows["state"] < UNATTRIBUTED, (rows["n"] != 0) | (rows["nulls"] != 0))


def lay_out(
    contacts: ir.Table, orders: ir.Table, nodes: ir.Table, bounds: tuple[int, int], lookback: int, dialect: str
) -> Steps:
    """Return the journeys of a period.

    Parameters
    ----------
    contacts : Table
        As `contacts_of` returns it.
    orders : Table
        As `orders_of` and `once` return it.
    nodes : Table
        channel, campaign, channel_key, node: integers in the order of the names.
    bounds : (int, int)
        First instant of the period and first after it, microseconds UTC.
    lookback : int
        Microseconds.
    dialect : str
        The engine's name in Ibis.
    """
    start, end = bounds
    keys = ("unit", "user") if "unit" in contacts.columns and "unit" in orders.columns else ("user",)
    seen = contacts.filter(contacts["at"] >= start - lookback, contacts["at"] < end)
    seen = seen.join(nodes, ["channel", "campaign"])
    no_worth = ibis.literal(0, orders["worth"].type())
    seen = seen.select(
        *keys,
        key=key(seen["user"], dialect),
        at="at",
        kind=ibis.literal(0, "int8"),
        channel=seen["channel_key"].cast("int32"),
        node=seen["node"].cast("int32"),
        closes=ibis.literal(_NEVER, "int64"),
        n=ibis.literal(0, "int64"),
        worth=no_worth,
    )
    kept = orders.filter(orders["at"] >= start - lookback, orders["at"] < end)
    known = kept.filter(kept["user"].notnull())
    moments = known.group_by([*keys, "at"]).aggregate(n=known.count(), worth=known["worth"].sum())
    moments = moments.select(
        *keys,
        key=key(moments["user"], dialect),
        at="at",
        kind=ibis.literal(1, "int8"),
        channel=ibis.literal(-1, "int32"),
        node=ibis.literal(-1, "int32"),
        closes=moments["at"],
        n=moments["n"].cast("int64"),
        worth=moments["worth"].cast(no_worth.type()),
    )
    laid = _journeys(_placed(seen.union(moments), keys, start, lookback), keys, end, lookback)
    laid = laid.mutate(bag=mixed(laid["key"]) % BAGS, nulls=_flag(laid["state"] == NULL)).drop("key")
    guests = kept.filter(kept["user"].isnull(), kept["at"] >= start)
    guests = guests.mutate(
        bag=mixed(mixed(key(guests["order"], dialect))) % BAGS,
        closing=guests["at"],
        state=ibis.literal(UNATTRIBUTED, "int8"),
        n=ibis.literal(1, "int64"),
        **{name: ibis.literal(0) for name in ("pos", "steps", "age", "youngest", "nulls")},
        **{name: ibis.literal(-1) for name in ("channel", "node", "channel_before", "node_before")},
    )
    columns = laid.columns
    table = laid.union(guests.select(**{name: guests[name].cast(laid[name].type()) for name in columns}))
    return Steps(table, keys)


def _placed(events: ir.Table, keys: tuple[str, ...], start: int, lookback: int) -> ir.Table:
    """Give each touchpoint the moment of the conversion that closes its journey, if there is one, and its fate."""
    backwards = [events[name].desc() for name in ("at", "kind", "node")]
    so_far = ibis.cumulative_window(group_by=list(keys), order_by=backwards)
    order = ibis.window(group_by=list(keys), order_by=backwards)
    table = events.mutate(
        closing=events["closes"].min().over(so_far),
        at_after=events["at"].lag().over(order),
        node_after=events["node"].lag().over(order),
    )
    fate = ibis.cases(
        ((table["kind"] == 0) & (table["at"] == table["at_after"]) & (table["node"] == table["node_after"]), REPEATED),
        (table["closing"] == _NEVER, NULL),
        (table["closing"] < start, EARLIER),
        (table["closing"] - table["at"] > lookback, TOO_OLD),
        else_=CONVERTED,
    )
    return table.mutate(fate=fate.cast("int8"), key=mixed(table["key"])).drop("closes", "at_after", "node_after")


def _journeys(placed: ir.Table, keys: tuple[str, ...], end: int, lookback: int) -> ir.Table:
    """Lay the steps of each journey out, and keep a conversion's own row only where it has no touchpoint."""
    group = [*keys, "closing", "fate"]
    forwards = [placed[name] for name in ("at", "kind", "node")]
    order = ibis.window(group_by=group, order_by=forwards)
    whole = ibis.window(group_by=group, order_by=forwards, preceding=None, following=None)
    is_step = placed["kind"] == 0
    laid = placed.mutate(
        pos=ibis.row_number().over(order) + 1,
        steps=(1 - placed["kind"]).cast("int64").sum().over(whole),
        last=is_step.ifelse(placed["at"], -_NEVER).max().over(whole),
        n=placed["n"].sum().over(whole),
        worth=placed["worth"].sum().over(ibis.window(group_by=group)),  # in order, DuckDB adds floats up slowly
        channel_before=placed["channel"].lag().over(order).fill_null(-1),
        node_before=placed["node"].lag().over(order).fill_null(-1),
    )
    alone = (laid["kind"] == 1) & (laid["fate"] == CONVERTED) & (laid["steps"] == 0)
    laid = laid.filter((laid["kind"] == 0) | alone)
    state = ibis.cases(
        (laid["kind"] == 1, UNATTRIBUTED),
        ((laid["fate"] == NULL) & (laid["last"] >= end - lookback), OPEN),
        else_=laid["fate"],
    )
    until = (laid["closing"] == _NEVER).ifelse(end, laid["closing"])
    is_alone = laid["kind"] == 1
    return laid.select(
        *keys,
        key="key",
        closing="closing",
        state=state.cast("int8"),
        pos=laid["pos"].cast("int64"),
        steps=laid["steps"].cast("int64"),
        channel="channel",
        node="node",
        channel_before="channel_before",
        node_before="node_before",
        age=until - laid["at"],
        youngest=is_alone.ifelse(0, until - laid["last"]),
        n=laid["n"].cast("int64"),
        worth=laid["worth"].cast(placed["worth"].type()),
    )


def _columns(by: str) -> tuple[str, str]:
    """Return the columns of the player and of the one before it."""
    return ("channel", "channel_before") if by == "channel" else ("node", "node_before")


def _flag(condition: ir.BooleanValue) -> ir.IntegerValue:
    return condition.ifelse(ibis.literal(1, "int64"), ibis.literal(0, "int64"))


def _weights(rows: ir.Table) -> dict[str, ir.Scalar]:
    return {name: rows[name].sum() for name in ("n", "worth", "nulls")}
