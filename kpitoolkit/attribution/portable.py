"""The sums of journeys from tables of an Ibis connection: DuckDB, Spark, PostgreSQL, a warehouse.

Rows stay where they are; grouped sums per bag of users come back, and the distinct pairs of channel and campaign. The
expressions are in `relational`; this module checks the tables, asks the engine and numbers the players.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from kpitoolkit.attribution import portable_checks, relational
from kpitoolkit.attribution.aggregates import BAGS, Aggregates, require_few_channels, require_order
from kpitoolkit.attribution.checks import no_touchpoint, refuse
from kpitoolkit.attribution.engine import Engine
from kpitoolkit.attribution.sums import STATES

_DAY = 86_400_000_000


def from_tables(
    touchpoints: ir.Table,
    conversions: ir.Table | pd.DataFrame,
    lookback_days: float,
    bounds: tuple[int, int] | None = None,
    unit: str | None = None,
    faults: Sequence[str] = (),
) -> "PortableSource":
    """Build the journeys of a period from tables of an Ibis connection; the rules are those of `journeys`.

    Parameters
    ----------
    touchpoints : Table
        user_id (text or whole number), time (UTC; whole numbers are microseconds since 1970), channel, optionally
        campaign and unit.
    conversions : Table or DataFrame
        order_id, user_id, time, value (currency units), optionally unit; of the same connection, or uploaded to it.
    lookback_days : float
    bounds : (int, int), optional
        First instant of the period and first after it, microseconds UTC. Default: all that is in the data.
    unit : str, optional
        Keep this unit's rows only.
    faults : sequence of str
        Faults found before, to be said together with those of the tables.

    Returns
    -------
    PortableSource

    Raises
    ------
    Faults
        With everything found in the tables.
    ToolkitError
        Where the connection was lost or the engine refused.

    Examples
    --------
    >>> import ibis
    >>> touchpoints = pd.DataFrame({"user_id": [1, 1, 2], "channel": ["search", "email", "search"],
    ...                             "time": pd.to_datetime(["2026-07-01", "2026-07-03", "2026-07-05"])})
    >>> conversions = pd.DataFrame({"order_id": ["A"], "user_id": [1], "value": [80.0],
    ...                             "time": pd.to_datetime(["2026-07-04"])})
    >>> source = from_tables(ibis.memtable(touchpoints), conversions, 30)
    >>> source.channels, source.table["journeys"].tolist()
    (('email', 'search'), [1, 0, 1, 0])
    """
    faults = list(faults)
    engine, conversions = portable_checks.connected(touchpoints, conversions, unit, faults)
    lookback = 0 if faults else round(lookback_days * _DAY)
    contacts = relational.contacts_of(touchpoints, unit, engine.dialect)
    seen = portable_checks.touchpoint_counts(engine, contacts, bounds, lookback)
    pairs = portable_checks.pairs(engine, contacts, bounds, lookback)
    orders = relational.orders_of(conversions, unit, engine.dialect, in_cents=False)
    booked = portable_checks.conversion_counts(engine, orders)
    found = portable_checks.touchpoint_faults(seen, pairs) + portable_checks.conversion_faults(booked)
    refuse([*found, *faults])

    if bounds is None:
        firsts, lasts = ([one[name] for one in (seen, booked) if one["rows"]] for name in ("first", "last"))
        bounds = min(firsts), max(lasts) + 1
    pairs = pairs[pairs["seen"] > 0]
    if not len(pairs):
        no_touchpoint((bounds[0] - lookback, bounds[1]), (seen["first"], seen["last"]))
    in_cents = booked["off_cents"] < 1e-6 and booked["largest"] < 1e12
    orders = relational.orders_of(conversions, unit, engine.dialect, in_cents)
    kept = relational.once(orders)
    order_counts = portable_checks.order_counts(engine, orders, kept, bounds)
    nodes = _numbered(sorted(zip(pairs["channel"].astype("str"), pairs["campaign"].astype("str"), strict=True)))
    steps = relational.lay_out(contacts, kept, engine.sent(nodes), bounds, lookback, engine.dialect)
    steps = dataclasses.replace(steps, table=engine.keep(steps.table))
    return _source(engine, steps, nodes, seen, order_counts, 100 if in_cents else 1, bounds)


@dataclasses.dataclass(frozen=True, eq=False)
class PortableSource:
    """Sums of the journeys that stand in an engine; the same as those of `local`.

    Attributes
    ----------
    table : DataFrame
        state, journeys, conversions, value.
    arrival : DataFrame
        item, rows.
    nodes : DataFrame
        channel, campaign: the pairs that occur in steps that count, sorted.
    bounds, data_bounds : (int, int)
        The period, and the first and last touchpoint read; microseconds UTC.
    engine : Engine
    steps : relational.Steps
    node_keys, channel_keys : array of int
        The engine's numbers of the nodes and of the channels.
    scale : int
        Units of the engine's `worth` in one currency unit.
    """

    table: pd.DataFrame
    arrival: pd.DataFrame
    nodes: pd.DataFrame
    bounds: tuple[int, int]
    data_bounds: tuple[int, int]
    engine: Engine
    steps: relational.Steps
    node_keys: np.ndarray
    channel_keys: np.ndarray
    scale: int

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels' names, sorted."""
        return tuple(self.nodes["channel"].unique())

    def aggregates(self, half_life_days: float = 7.0, direct: str = "direct", by: str = "channel") -> Aggregates:
        """Return the sums that the models read; see `Journeys.aggregates`."""
        channels = self.channels
        is_direct = [channel.casefold() == direct.casefold() for channel in channels]
        chosen = self.channel_keys[np.array(is_direct, dtype=bool)].tolist()
        rows = self.engine.ask(self.steps.credits(half_life_days * _DAY, chosen, by))
        k, player = len(self._keys(by)), self._digits(rows["player"], by) - 1
        credits = {}
        for model in (column.removesuffix("_n") for column in rows.columns if column.endswith("_n")):
            credit = np.zeros((BAGS, k, 2))
            at = rows["bag"].to_numpy(np.int64), player
            credit[*at, 0] = _floats(rows[f"{model}_n"])
            credit[*at, 1] = _floats(rows[f"{model}_worth"]) / self.scale
            credits[model] = credit
        alone, unattributed = self._alone, np.zeros((BAGS, 2))
        unattributed[alone["bag"]] = alone[["count", "value"]]
        players, channel_of = channels, np.arange(k)
        if by == "campaign":
            players = tuple(zip(self.nodes["channel"], self.nodes["campaign"], strict=True))
            channel_of = pd.Index(channels).get_indexer(self.nodes["channel"])
        return Aggregates(players, channel_of, self.transitions(1, by), credits, unattributed)

    def transitions(self, order: int, by: str = "channel") -> pd.DataFrame:
        """Return how often journeys pass from one state of a chain to the next; see `Journeys.transitions`."""
        base = len(self._keys(by)) + 1
        require_order(order, base - 1)
        rows = self.engine.ask(self.steps.moves(int(order), by))
        player = self._digits(rows["player"], by)
        origin = np.zeros(len(rows), dtype=np.int64)
        for lag in range(order, 0, -1):
            origin = origin * base + self._digits(rows[f"before_{lag}"], by)
        n, worth, nulls = (_floats(rows[name]) for name in ("n", "worth", "nulls"))
        passed = pd.DataFrame({"bag": rows["bag"].to_numpy(np.int64), "origin": origin, "target": player - 1})
        passed["count"], passed["value"] = n + nulls, 0.0
        last = rows["is_last"].to_numpy(np.int64) == 1
        ends = passed[last].assign(origin=(origin % base ** (order - 1) * base + player)[last])
        alone = self._alone.assign(origin=0, target=base - 1)
        converted = ends.assign(target=base - 1, count=n[last], value=worth[last] / self.scale)
        lost = ends.assign(target=base, count=nulls[last])
        every = pd.concat([passed, converted, lost, alone])
        every = every[(every["count"] != 0) | (every["value"] != 0)]
        sums = every.groupby(["bag", "origin", "target"], as_index=False)[["count", "value"]].sum()
        return sums.astype({"bag": "int64", "origin": "int64", "target": "int64", "count": "float64"})

    def coalitions(self) -> pd.DataFrame:
        """Return conversions, value and nulls of each set of channels; see `Journeys.coalitions`."""
        require_few_channels(len(self.channel_keys))
        rows = self.engine.ask(self.steps.coalitions(self.channel_keys.tolist()))
        alone = self._alone
        found = pd.DataFrame(
            {
                "bag": np.append(rows["bag"].to_numpy(np.int64), alone["bag"]),
                "coalition": np.append(rows["coalition"].to_numpy(np.int64), np.zeros(len(alone), dtype=np.int64)),
                "conversions": np.append(_floats(rows["n"]), alone["count"]),
                "value": np.append(_floats(rows["worth"]) / self.scale, alone["value"]),
                "nulls": np.append(_floats(rows["nulls"]), np.zeros(len(alone))),
            }
        )
        return found.sort_values(["bag", "coalition"], ignore_index=True)

    def completed(self, chances: pd.DataFrame) -> "PortableSource":
        """Return the source with its open journeys closed at their expected outcome; see `Journeys.completed`."""
        key = dict(zip(self.channels, self.channel_keys.tolist(), strict=True))
        known = chances[chances["channel"].isin(key)]
        table = pd.DataFrame(
            {
                "channel": known["channel"].map(key).astype("int32"),
                "age_day": known["age_day"].astype("int64"),
                "chance": known["chance"].astype("float64"),
                "mean": known["value"].astype("float64") * self.scale,
            }
        )
        steps = self.steps.completed(self.engine.sent(table), _DAY)
        steps = dataclasses.replace(steps, table=self.engine.keep(steps.table))
        return dataclasses.replace(self, steps=steps, table=_states(_met(self.engine, steps), self.scale))

    def _keys(self, by: str) -> np.ndarray:
        return self.channel_keys if by == "channel" else self.node_keys

    def _digits(self, keys: pd.Series, by: str) -> np.ndarray:
        """Return 1 + position among the players; 0 where there is none."""
        known = self._keys(by)
        digits = np.zeros(known.max(initial=-1) + 2, dtype=np.int64)
        digits[known] = 1 + np.arange(len(known))
        return digits[keys.to_numpy(np.int64)]

    @cached_property
    def _alone(self) -> pd.DataFrame:
        """Return bag, count, value of the conversions without touchpoint."""
        rows = self.engine.ask(self.steps.alone())
        bag, count, worth = rows["bag"].to_numpy(np.int64), _floats(rows["n"]), _floats(rows["worth"])
        return pd.DataFrame({"bag": bag, "count": count, "value": worth / self.scale})


def compile_sql(
    dialect: str, touchpoints: ir.Table, conversions: ir.Table, bounds: tuple[int, int], lookback_days: float = 30
) -> dict[str, str]:
    """Return the SQL of the journeys and of each sum over them, for an engine that need not be there.

    Parameters
    ----------
    dialect : str
        The engine's name in Ibis, such as `bigquery`.
    touchpoints, conversions : Table
        As for `from_tables`; also unbound ones.
    bounds, lookback_days
        As for `from_tables`.

    Returns
    -------
    dict of str
        By name of the sum. The numbers of places are read from a table `nodes`, the journeys from a table `journeys`.

    Examples
    --------
    >>> import ibis
    >>> touchpoints = ibis.table({"user_id": "int64", "time": "timestamp", "channel": "string"}, name="touchpoints")
    >>> columns = {"order_id": "int64", "user_id": "int64", "time": "timestamp", "value": "float64"}
    >>> sorted(compile_sql("postgres", touchpoints, ibis.table(columns, name="conversions"), (0, 1)))
    ['alone', 'coalitions', 'completed', 'credits', 'journeys', 'late', 'met', 'moves_1', 'moves_2']
    """
    places = {"channel": "string", "campaign": "string", "channel_key": "int32", "node": "int32"}
    orders = relational.once(relational.orders_of(conversions, None, dialect, in_cents=True))
    contacts = relational.contacts_of(touchpoints, None, dialect)
    lookback = round(lookback_days * _DAY)
    laid = relational.lay_out(contacts, orders, ibis.table(places, name="nodes"), bounds, lookback, dialect)
    steps = dataclasses.replace(laid, table=ibis.table(laid.table.schema(), name="journeys"))
    chances = ibis.table(
        {"channel": "int32", "age_day": "int64", "chance": "float64", "mean": "float64"}, name="chances"
    )
    every = {
        "journeys": laid.table,
        "met": steps.met(),
        "late": steps.late(),
        "alone": steps.alone(),
        "moves_1": steps.moves(1, "channel"),
        "moves_2": steps.moves(2, "campaign"),
        "credits": steps.credits(7.0 * _DAY, [0], "channel"),
        "coalitions": steps.coalitions([0, 1]),
        "completed": steps.completed(chances, _DAY).table,
    }
    return {name: str(ibis.to_sql(expression, dialect=dialect)) for name, expression in every.items()}


def _source(engine, steps, nodes, seen, order_counts, scale, bounds) -> PortableSource:
    met = _met(engine, steps)
    fates = met.groupby("state")["rows"].sum().to_dict()
    counted = met["state"] < relational.UNATTRIBUTED
    late = engine.ask(steps.late()).iloc[0].fillna(0)
    counts = {
        "touchpoints_read": seen["rows"],
        "touchpoints_before_window": seen["before"],
        "touchpoints_after_period": seen["after"],
        "touchpoints_repeated": fates.get(relational.REPEATED, 0),
        "touchpoints_closed_earlier": fates.get(relational.EARLIER, 0),
        "touchpoints_outside_lookback": fates.get(relational.TOO_OLD, 0),
        "touchpoints_in_journeys": met.loc[counted, "rows"].sum(),
        **order_counts,
        "touchpoints_only_after_order": late["touchpoints"],
        "users_only_after_order": late["users"],
    }
    used = np.unique(met.loc[counted, "node"].to_numpy(np.int64))
    kept = nodes.iloc[used]
    return PortableSource(
        table=_states(met, scale),
        arrival=pd.DataFrame({"item": list(counts), "rows": [int(rows) for rows in counts.values()]}),
        nodes=kept[["channel", "campaign"]].reset_index(drop=True),
        bounds=bounds,
        data_bounds=(seen["first"], seen["last"]),
        engine=engine,
        steps=steps,
        node_keys=used,
        channel_keys=kept["channel_key"].unique().astype(np.int64),
        scale=scale,
    )


def _met(engine: Engine, steps: relational.Steps) -> pd.DataFrame:
    return engine.ask(steps.met()).astype("float64").astype({"state": "int64", "node": "int64"})


def _states(met: pd.DataFrame, scale: int) -> pd.DataFrame:
    sums = met.groupby("state")[["journeys", "n", "worth"]].sum().reindex(range(len(STATES)), fill_value=0.0)
    return pd.DataFrame(
        {
            "state": STATES,
            "journeys": sums["journeys"].to_numpy().astype(np.int64),
            "conversions": sums["n"].to_numpy(),
            "value": sums["worth"].to_numpy() / scale,
        }
    )


def _numbered(names: list[tuple[str, str]]) -> pd.DataFrame:
    """Number sorted pairs of channel and campaign, and their channels."""
    frame = pd.DataFrame(names, columns=["channel", "campaign"], dtype="str")
    channel_key = frame["channel"].ne(frame["channel"].shift()).cumsum() - 1
    return frame.assign(channel_key=channel_key.astype("int32"), node=np.arange(len(frame), dtype=np.int32))


def _floats(column: pd.Series) -> np.ndarray:
    return column.astype("float64").to_numpy()
