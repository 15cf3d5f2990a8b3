"""From contacts and orders to journeys: who saw what before which order, and what of it may be counted.

A journey is one customer's touchpoints in order of time up to a conversion, inside the look-back before it, cut after
it. What is left without a conversion is a null journey or, where it may still convert after the period's end, an open
one. The models read nothing but sums per bag of users, small whatever the number of rows.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots
from kpitoolkit.attribution import local, wording
from kpitoolkit.attribution.aggregates import BAGS, Aggregates
from kpitoolkit.attribution.checks import checked_paths, require, require_one_currency, rule_faults
from kpitoolkit.attribution.sums import STATES, Part
from kpitoolkit.errors import ToolkitError, suggest


@dataclass(frozen=True, eq=False)
class Journeys:
    """Journeys of one period, as `journeys` and `journeys_from_paths` make them.

    Attributes
    ----------
    table : DataFrame
        state (`converted`, `null`, `open`, `unattributed`), journeys, conversions, value.
    arrival : DataFrame
        item, rows: what was read, what was left out and why, what counts.
    channels : tuple of str
        Sorted; those that occur in journeys.
    nodes : DataFrame
        channel, campaign (empty text where there is none): the pairs that occur in journeys, sorted.
    source : local.LocalSource or portable.PortableSource
        Holds the journeys, or asks the engine that does, and gives the sums.
    lookback_days : float or None
    bounds : tuple of Timestamp or None
        First instant of the period and first instant after it, UTC.
    data_bounds : tuple of Timestamp or None
        First and last touchpoint read, UTC.
    """

    table: pd.DataFrame
    arrival: pd.DataFrame
    channels: tuple[str, ...]
    nodes: pd.DataFrame
    source: object
    lookback_days: float | None = None
    bounds: tuple[pd.Timestamp, pd.Timestamp] | None = None
    data_bounds: tuple[pd.Timestamp, pd.Timestamp] | None = None

    def aggregates(self, half_life_days: float = 7.0, direct: str = "direct", by: str = "channel") -> Aggregates:
        """Return the sums that the models read.

        Parameters
        ----------
        half_life_days : float
            Of the time decay.
        direct : str
            Name of the channel that `last_non_direct` passes over, whatever its case.
        by : {"channel", "campaign"}
            Who the players are: the channels, or the rows of `nodes`.
        """
        return self.source.aggregates(half_life_days, direct, _checked_by(by))

    def transitions(self, order: int, by: str = "channel") -> pd.DataFrame:
        """Return how often journeys pass from a state to a player, to a conversion or to null.

        A state of order k is made of the last k players (fewer at the start; for k above 1 a player that follows
        itself counts once) as digits to the base K + 1: digit player + 1, the latest lowest; the start is 0. A journey
        closed by several conversions passes as often. Open journeys are left out.

        Parameters
        ----------
        order : int
        by : {"channel", "campaign"}

        Returns
        -------
        DataFrame
            bag, origin (state), target (player; K conversion; K + 1 null), count, value (of the conversions); one row a
            bag, origin and target, sorted.

        Raises
        ------
        ToolkitError
            Where (K + 1)^order is 2^62 or more.

        Examples
        --------
        >>> paths = pd.DataFrame({"path": ["G > M"], "total_conversions": [1]})
        >>> journeys_from_paths(paths).transitions(2)[["origin", "target", "count"]].values.tolist()
        [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [5.0, 2.0, 1.0]]
        """
        return self.source.transitions(order, _checked_by(by))

    def coalitions(self) -> pd.DataFrame:
        """Return conversions, value and null journeys by the set of channels that occur in a journey.

        Returns
        -------
        DataFrame
            bag, coalition (sum of 2^channel over its channels; 0 without touchpoint), conversions, value, nulls; sorted
            by bag and coalition.

        Raises
        ------
        ToolkitError
            With more than 16 channels.
        """
        return self.source.coalitions()

    def completed(self, chances: pd.DataFrame) -> "Journeys":
        """Return the journeys with the open ones closed at what is expected of them.

        An open journey becomes `chance` conversions worth `chance` times `value`, and 1 - `chance` null journeys.

        Parameters
        ----------
        chances : DataFrame
            channel (of the last touchpoint), age_day (whole days from that touchpoint to the period's end, from 0),
            chance (0 to 1), value (currency units a conversion). Journeys of other pairs stay open.

        Raises
        ------
        ToolkitError
            Where journeys have no times, a channel is unknown, a chance is outside 0 to 1, or a pair stands twice.
        """
        require(chances, "chances", ("channel", "age_day", "chance", "value"))
        if self.bounds is None:
            raise ToolkitError("completed: ready-made paths have no times, so nothing is known of open journeys.")
        unknown = sorted(set(chances["channel"]) - set(self.channels))
        if unknown:
            raise ToolkitError(
                f"completed: '{unknown[0]}' is no channel of these journeys.{suggest(unknown[0], self.channels)}"
            )
        share = chances["chance"].to_numpy(dtype=float)
        broken = ~((share >= 0) & (share <= 1)) | ~np.isfinite(chances["value"].to_numpy(dtype=float))
        broken |= (chances["age_day"] < 0).to_numpy() | chances.duplicated(["channel", "age_day"]).to_numpy()
        if broken.any():
            raise ToolkitError(
                f"completed: row {int(broken.argmax()) + 1} of the chances is broken. Give chances from 0 to 1, values"
                " that are numbers, days from 0, and each channel and day once."
            )
        source = self.source.completed(chances)
        return replace(self, source=source, table=source.table)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the number of journeys by state."""
        return plots.bars(self.table, "state", "journeys", ax=ax, language=language)

    def findings(self, language: str) -> list[str]:
        """Return sentences on what arrived and on what to look at before the figures are used."""
        return wording.arrival(self, language)


def _checked_by(by: str) -> str:
    if by not in ("channel", "campaign"):
        raise ToolkitError(f"by is {by!r}: write by='channel' or by='campaign'.")
    return by


def conversions_from_orders(orders: pd.DataFrame) -> pd.DataFrame:
    """Return the paid orders as conversions.

    The value is the gross of the order, as the customer paid it: the figure that platforms claim and from which the
    bridge from claimed to booked starts. It is not booked revenue.

    Parameters
    ----------
    orders : DataFrame
        The table `orders`: order_id, customer_id, time (UTC), gross_cents, status, optionally currency.

    Returns
    -------
    DataFrame
        order_id, user_id, time, value (currency units), and unit if the orders have it; one row a paid order.

    Raises
    ------
    Faults
        Where columns are missing, or paid orders are in several currencies.

    Examples
    --------
    >>> orders = pd.DataFrame({"order_id": ["A", "B"], "customer_id": ["u", "v"], "gross_cents": [12_200, 5_000],
    ...                        "time": pd.to_datetime(["2026-07-02", "2026-07-03"]), "status": ["paid", "cancelled"]})
    >>> conversions_from_orders(orders)[["order_id", "user_id", "value"]].to_dict("records")
    [{'order_id': 'A', 'user_id': 'u', 'value': 122.0}]
    """
    require(orders, "orders", ("order_id", "customer_id", "time", "gross_cents", "status"))
    is_paid = (orders["status"] == "paid").to_numpy(dtype=bool, na_value=False)
    require_one_currency(orders, is_paid)
    paid = orders.loc[is_paid].reset_index(drop=True)
    columns = {"order_id": paid["order_id"], "user_id": paid["customer_id"], "time": paid["time"]}
    columns |= {"value": paid["gross_cents"].astype("float64") / 100}
    return pd.DataFrame(columns | ({"unit": paid["unit"]} if "unit" in paid else {}))


def journeys(
    touchpoints,
    conversions,
    lookback_days: float = 30,
    period: tuple[object, object] | None = None,
    unit: str | None = None,
) -> Journeys:
    """Build the journeys of a period from raw touchpoints and conversions.

    The rules. A touchpoint belongs to its user's next conversion, at the same moment or later, if it is at most
    `lookback_days` older. Conversions before the period cut journeys and are not counted; what is after the period is
    left out. Conversions of a user at one moment close one journey together. A user's touchpoints after the last
    conversion are a rest: open if the last of them may still convert after the period, inside the look-back; null if
    not. A conversion without touchpoint is `unattributed`. Touchpoints of a user at one moment stand in the order of
    the names of their channels and campaigns. Rows of one order_id count once (the earliest); touchpoints equal in
    user, time, channel and campaign count once. Conversions without user_id are unattributed. Where both tables have a
    column `unit`, a user of two units is two users.

    Parameters
    ----------
    touchpoints : DataFrame, str, Path or Ibis table
        user_id (text or whole numbers), time (UTC), channel, optionally campaign and unit; one row a contact, in any
        order. A text or Path leads to a Parquet file, a folder of them, or a pattern (`exports/2026-*.parquet`); files
        are read in batches and may be larger than memory.
    conversions : DataFrame, str, Path or Ibis table
        order_id, user_id, time (UTC), value (currency units), optionally unit; with those before the period as far as
        they are known. With touchpoints in an Ibis table: one of the same connection, or a DataFrame, which is uploaded
        as a temporary table. With other touchpoints: no Ibis table.
    lookback_days : float
        Above 0.
    period : (first day, last day), optional
        Both included; days in UTC, or in the time zone of the two timestamps. Default: all that is in the data.
    unit : str, optional
        Read this business unit's rows only.

    Returns
    -------
    Journeys

    Raises
    ------
    Faults
        With everything found in the tables and the parameters.
    ToolkitError
        Where one table stands on a connection and the other elsewhere; where the connection was lost.

    Examples
    --------
    >>> touchpoints = pd.DataFrame({"user_id": ["u", "u", "v"], "channel": ["search", "email", "search"],
    ...                             "time": pd.to_datetime(["2026-07-01", "2026-07-03", "2026-07-05"])})
    >>> conversions = pd.DataFrame({"order_id": ["A", "B"], "user_id": ["u", "w"], "value": [80.0, 20.0],
    ...                             "time": pd.to_datetime(["2026-07-04", "2026-07-09"])})
    >>> journeys(touchpoints, conversions, period=("2026-07-01", "2026-09-30")).table
              state  journeys  conversions  value
    0     converted         1          1.0   80.0
    1          null         1          0.0    0.0
    2          open         0          0.0    0.0
    3  unattributed         1          1.0   20.0
    """
    faults, bounds = rule_faults(lookback_days, period)
    maker = local
    if on_connection(touchpoints, conversions):
        from kpitoolkit.attribution import portable as maker
    source = maker.from_tables(touchpoints, conversions, lookback_days, bounds, unit, faults)
    return _journeys(source, float(lookback_days))


def on_connection(touchpoints, conversions) -> bool:
    """Tell whether the touchpoints stand in an Ibis table.

    Raises
    ------
    ToolkitError
        Where the conversions are given as something that does not go with them.
    """
    is_table = [type(table).__module__.startswith("ibis.") for table in (touchpoints, conversions)]
    given = type(touchpoints).__name__, type(conversions).__name__
    if is_table == [False, True]:
        raise ToolkitError(
            f"conversions are an Ibis table and touchpoints are none ({given[0]}): no table is fetched unasked. Give"
            " both as tables of one connection, or fetch the conversions: conversions.to_pandas()."
        )
    if is_table == [True, False] and not isinstance(conversions, pd.DataFrame):
        raise ToolkitError(
            f"touchpoints are an Ibis table and conversions are not ({given[1]}): give a table of the same connection,"
            " or a DataFrame, such as pd.read_parquet(...) returns."
        )
    return is_table[0]


def _journeys(source, lookback_days: float | None = None) -> Journeys:
    instants = {
        name: None if bounds is None else tuple(pd.Timestamp(np.datetime64(int(at), "us")) for at in bounds)
        for name, bounds in (("bounds", source.bounds), ("data_bounds", source.data_bounds))
    }
    return Journeys(source.table, source.arrival, source.channels, source.nodes, source, lookback_days, **instants)


def journeys_from_paths(paths: pd.DataFrame, separator: str | None = None) -> Journeys:
    """Take journeys from ready-made paths.

    Paths have no users and no times: each counted journey is taken as a user of its own and put into a bag at random
    (fixed seed), there is no time decay, and nothing is known of open journeys.

    Parameters
    ----------
    paths : DataFrame
        path (channels joined by ` > ` or `>`; empty for conversions without touchpoint), total_conversions, and
        optionally total_conversion_value and total_null: counts of journeys, and currency units.
    separator : str, optional
        Needed only where the paths mix ` > ` and `>`, so that one of them belongs to a channel's name.

    Returns
    -------
    Journeys

    Raises
    ------
    Faults
        With everything found in the table.

    Examples
    --------
    >>> paths = pd.DataFrame({"path": ["G", "M", "G > M"], "total_conversions": [2, 1, 1], "total_null": [1, 0, 0]})
    >>> journeys_from_paths(paths).table["journeys"].tolist()
    [4, 1, 0, 0]
    """
    names, conversions, value, nulls = checked_paths(paths, separator)
    length = np.array([len(path) for path in names], dtype=np.int64)
    node, channels = pd.factorize(np.array([name for path in names for name in path], dtype=object), sort=True)
    generator = np.random.default_rng(20260930)
    path_c, bag_c, count_c = _in_bags(conversions, generator)
    path_n, bag_n, count_n = _in_bags(nulls, generator)
    path, none = np.concatenate([path_c, path_n]), np.zeros(len(path_c))
    states = np.where(length[path] == 0, STATES.index("unattributed"), STATES.index("converted"))
    states[len(path_c) :] = STATES.index("null")
    taken = length[path]
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    part = Part(
        bags=(0, BAGS),
        bag=np.concatenate([bag_c, bag_n]).astype(np.uint8),
        state=states.astype(np.uint8),
        length=taken,
        conversions=np.concatenate([count_c, np.zeros(len(path_n))]),
        value=np.concatenate([count_c * (value / np.maximum(conversions, 1))[path_c], np.zeros(len(path_n))]),
        nulls=np.concatenate([none, count_n]),
        node=node[np.repeat((np.cumsum(length) - length)[path], taken) + within],
        age=None,
    )
    nodes = pd.DataFrame({"channel": [str(name) for name in channels], "campaign": ""}, dtype="str")
    arrival = pd.DataFrame({"item": ["paths_read"], "rows": [len(paths)]})
    return _journeys(local.source_of([part], nodes, arrival))


def _in_bags(counts: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deal each path's journeys into bags at random: path, bag, count."""
    large = np.flatnonzero(counts >= BAGS)
    small = np.repeat(np.arange(len(counts)), np.where(counts < BAGS, counts, 0))
    keys, dealt = np.unique(small * BAGS + generator.integers(BAGS, size=len(small)), return_counts=True)
    shares = generator.multinomial(counts[large], np.full(BAGS, 1 / BAGS)).reshape(-1, BAGS)
    at, bag = np.nonzero(shares)
    path = np.concatenate([keys // BAGS, large[at]])
    return path, np.concatenate([keys % BAGS, bag]), np.concatenate([dealt, shares[at, bag]]).astype(float)
