"""From contacts and orders to journeys: who saw what before which order, and what of it may be counted.

A journey is one customer's touchpoints in order of time up to a conversion, inside the look-back before it, cut after
it. What is left without a conversion is a null journey or, where it may still convert after the period's end, an open
one. The models read nothing but `Journeys.aggregates`: sums per bag of users, small whatever the number of rows.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots
from kpitoolkit.attribution import wording
from kpitoolkit.attribution.aggregates import BAGS, Aggregates, aggregate, bags_of
from kpitoolkit.attribution.checks import checked_bounds, checked_paths, require, require_one_currency

STATES = ("converted", "null", "open", "unattributed")
DAY_MICROSECONDS = 86_400_000_000
_CONVERTED, _NULL, _OPEN, _UNATTRIBUTED = range(len(STATES))


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
        Sorted.
    each : DataFrame
        One row a journey (or part of a ready-made path): bag, state, conversions, value, nulls.
    steps : DataFrame
        One row a touchpoint that counts, in order: journey (row of `each`), channel_key (position in `channels`),
        age_days (before the conversion; absent for ready-made paths, which have no times).
    lookback_days : float or None
    bounds : tuple of Timestamp or None
        First instant of the period and first instant after it, UTC.
    data_bounds : tuple of Timestamp or None
        First and last touchpoint read, UTC.
    """

    table: pd.DataFrame
    arrival: pd.DataFrame
    channels: tuple[str, ...]
    each: pd.DataFrame
    steps: pd.DataFrame
    lookback_days: float | None = None
    bounds: tuple[pd.Timestamp, pd.Timestamp] | None = None
    data_bounds: tuple[pd.Timestamp, pd.Timestamp] | None = None

    def aggregates(self, half_life_days: float = 7.0, direct: str = "direct") -> Aggregates:
        """Return the sums that the models read."""
        return aggregate(self.each, self.steps, self.channels, half_life_days, direct)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the number of journeys by state."""
        return plots.bars(self.table, "state", "journeys", ax=ax, language=language)

    def findings(self, language: str) -> list[str]:
        """Return sentences on what arrived and on what to look at before the figures are used."""
        return wording.arrival(self, language)


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
        order_id, user_id, time, value (currency units), one row a paid order.

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
    return pd.DataFrame(columns | {"value": paid["gross_cents"].astype("float64") / 100})


def journeys(
    touchpoints: pd.DataFrame,
    conversions: pd.DataFrame,
    lookback_days: float = 30,
    period: tuple[object, object] | None = None,
) -> Journeys:
    """Build the journeys of a period from raw touchpoints and conversions.

    The rules. A touchpoint belongs to its user's next conversion, at the same moment or later, if it is at most
    `lookback_days` older. Conversions before the period cut journeys and are not counted; what is after the period is
    left out. Conversions of a user at one moment close one journey together. A user's touchpoints after the last
    conversion are a rest: open if the last of them may still convert after the period, inside the look-back; null if
    not. A conversion without touchpoint is `unattributed`. Touchpoints of a user at one moment stand in the order of
    their channels' names. Rows of one order_id count once (the earliest); touchpoints equal in user, time, channel and
    campaign count once. Conversions without user_id are unattributed.

    Parameters
    ----------
    touchpoints : DataFrame
        user_id, time (UTC), channel, optionally campaign; one row a contact, in any order.
    conversions : DataFrame
        order_id, user_id, time (UTC), value (currency units); with those before the period as far as they are known.
    lookback_days : float
        Above 0.
    period : (first day, last day), optional
        Both included; days in UTC, or in the time zone of the two timestamps. Default: all that is in the data.

    Returns
    -------
    Journeys

    Raises
    ------
    Faults
        With everything found in the tables and the parameters.

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
    start, end = checked_bounds(touchpoints, conversions, lookback_days, period)
    lookback = round(lookback_days * DAY_MICROSECONDS)
    time = _microseconds(touchpoints["time"])
    in_window = (time >= start - lookback) & (time < end)
    orders, order_counts = _orders(conversions, start, start - lookback, end)
    events, names = _events(touchpoints[in_window], time[in_window], orders)

    contacts, closings, repeated = _placed(events, start, lookback)
    each, steps, used = _laid_out(contacts, closings, end - lookback)
    fates = contacts["fate"].value_counts()
    counts = {
        "touchpoints_read": len(touchpoints),
        "touchpoints_before_window": int((time < start - lookback).sum()),
        "touchpoints_after_period": int((time >= end).sum()),
        "touchpoints_repeated": repeated,
        "touchpoints_closed_earlier": int(fates.get("earlier", 0)),
        "touchpoints_outside_lookback": int(fates.get("too_old", 0)),
        "touchpoints_in_journeys": len(steps),
    }
    converters = closings.loc[closings["in_period"], "user"]
    before = contacts.loc[contacts["fate"] != "rest", "user"]
    late = contacts.loc[contacts["user"].isin(converters) & ~contacts["user"].isin(before), "user"]
    counts |= order_counts | {"touchpoints_only_after_order": len(late), "users_only_after_order": late.nunique()}
    return Journeys(
        table=_summary(each),
        arrival=pd.DataFrame({"item": list(counts), "rows": list(counts.values())}),
        channels=tuple(str(names[key]) for key in used),
        each=each,
        steps=steps,
        lookback_days=float(lookback_days),
        bounds=(_timestamp(start), _timestamp(end)),
        data_bounds=(_timestamp(time.min()), _timestamp(time.max())),
    )


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
    channel, channels = pd.factorize(np.array([name for path in names for name in path], dtype=object), sort=True)
    generator = np.random.default_rng(20260930)
    path_c, bag_c, count_c = _in_bags(conversions, generator)
    path_n, bag_n, count_n = _in_bags(nulls, generator)
    path = np.concatenate([path_c, path_n])
    count_value = count_c * (value / np.maximum(conversions, 1))[path_c]
    states = np.where(length[path] == 0, _UNATTRIBUTED, _CONVERTED)
    states[len(path_c) :] = _NULL
    each = pd.DataFrame(
        {
            "bag": np.concatenate([bag_c, bag_n]),
            "state": pd.Categorical.from_codes(states, STATES),
            "conversions": np.concatenate([count_c, np.zeros(len(path_n))]),
            "value": np.concatenate([count_value, np.zeros(len(path_n))]),
            "nulls": np.concatenate([np.zeros(len(path_c)), count_n]),
        }
    )
    journey = np.repeat(np.arange(len(path)), length[path])
    within = np.arange(len(journey)) - np.repeat(np.cumsum(length[path]) - length[path], length[path])
    steps = pd.DataFrame(
        {"journey": journey, "channel_key": channel[(np.cumsum(length) - length)[path[journey]] + within]}
    )
    table = _summary(each, each["conversions"] + each["nulls"])
    arrival = pd.DataFrame({"item": ["paths_read"], "rows": [len(paths)]})
    return Journeys(table, arrival, tuple(str(name) for name in channels), each, steps)


def _in_bags(counts: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deal each path's journeys into bags at random: path, bag, count."""
    large = np.flatnonzero(counts >= BAGS)
    small = np.repeat(np.arange(len(counts)), np.where(counts < BAGS, counts, 0))
    keys, dealt = np.unique(small * BAGS + generator.integers(BAGS, size=len(small)), return_counts=True)
    shares = generator.multinomial(counts[large], np.full(BAGS, 1 / BAGS)).reshape(-1, BAGS)
    at, bag = np.nonzero(shares)
    path = np.concatenate([keys // BAGS, large[at]])
    return path, np.concatenate([keys % BAGS, bag]), np.concatenate([dealt, shares[at, bag]]).astype(float)


def _microseconds(time: pd.Series) -> np.ndarray:
    if time.dt.tz is not None:
        time = time.dt.tz_convert("UTC").dt.tz_localize(None)
    return time.astype("datetime64[us]").to_numpy().astype(np.int64)


def _timestamp(microseconds: int) -> pd.Timestamp:
    return pd.Timestamp(np.datetime64(int(microseconds), "us"))


def _orders(conversions: pd.DataFrame, start: int, window: int, end: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the conversions that close or cut journeys of the period, each order once, and what was left out."""
    orders = conversions[["order_id", "user_id", "value"]].assign(time=_microseconds(conversions["time"]))
    orders["value"] = orders["value"].astype("float64")
    again = orders["order_id"].duplicated(keep=False)
    different = 0
    if again.any():
        doubled = orders[again].sort_values(["order_id", "time", "value", "user_id"])
        facts = doubled.drop_duplicates()
        different = facts.loc[facts["order_id"].duplicated(), "order_id"].nunique()
        orders = pd.concat([orders[~again], doubled.drop_duplicates("order_id")])
    kept = orders[(orders["time"] >= window) & (orders["time"] < end)]
    counts = {
        "conversions_read": len(conversions),
        "conversions_repeated": len(conversions) - len(orders),
        "order_ids_that_disagree": different,
        "conversions_before_period": int((orders["time"] < start).sum()),
        "conversions_after_period": int((orders["time"] >= end).sum()),
        "conversions_in_period": int((kept["time"] >= start).sum()),
        "conversions_without_user": int(kept.loc[kept["time"] >= start, "user_id"].isna().sum()),
    }
    return kept.reset_index(drop=True), counts


def _events(touchpoints: pd.DataFrame, time: np.ndarray, orders: pd.DataFrame) -> tuple[pd.DataFrame, pd.Index]:
    """Return touchpoints and orders in one frame, by user, moment, touchpoints first, channel; and channels' names."""
    n, m = len(touchpoints), len(orders)
    ids = pd.concat([touchpoints["user_id"], orders["user_id"]], ignore_index=True)
    user, known = pd.factorize(ids, sort=True)
    moment = np.concatenate([time, orders["time"].to_numpy()])
    guest = np.flatnonzero(user == -1)
    guest = guest[np.argsort(moment[guest], kind="stable")]
    user[guest] = len(known) + np.arange(len(guest))
    channel, names = pd.factorize(touchpoints["channel"], sort=True)
    campaign = pd.factorize(touchpoints["campaign"], sort=True)[0] if "campaign" in touchpoints else np.zeros(n, int)
    events = pd.DataFrame(
        {
            "user": user,
            "time": moment,
            "is_order": np.repeat([False, True], [n, m]),
            "channel": np.concatenate([channel, np.zeros(m, int)]),
            "campaign": np.concatenate([campaign, np.zeros(m, int)]),
            "value": np.concatenate([np.zeros(n), orders["value"].to_numpy()]),
        }
    )
    keys = ["campaign", "channel", "is_order", "time", "user"]
    return events.take(np.lexsort([events[key].to_numpy() for key in keys])), names


def _placed(events: pd.DataFrame, start: int, lookback: int) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Give each touchpoint the conversion that closes its journey, if there is one, and its fate."""
    user, time, is_order, channel, campaign = (
        events[name].to_numpy() for name in ("user", "time", "is_order", "channel", "campaign")
    )
    same_moment = _as_before(user, time, is_order)
    repeated = same_moment & ~is_order & _as_before(channel, campaign)
    closes = is_order & ~same_moment
    number = np.cumsum(closes) - 1
    closings = pd.DataFrame(
        {
            "user": user[closes],
            "time": time[closes],
            "conversions": np.bincount(number[is_order], minlength=closes.sum()).astype(float),
            "value": np.bincount(number[is_order], events["value"].to_numpy()[is_order], minlength=closes.sum()),
        }
    )
    closings["in_period"] = closings["time"] >= start
    closings["journey"] = np.cumsum(closings["in_period"]) - 1

    chosen = ~is_order & ~repeated
    closing = number[chosen] + 1  # the next conversion in the list: the user's own, or somebody else's
    has_next = np.append(closings["user"].to_numpy(), -1)[closing] == user[chosen]
    age = np.append(closings["time"].to_numpy(), 0)[closing] - time[chosen]
    counted = np.append(closings["in_period"].to_numpy(), False)[closing]
    fate = np.select([~has_next, ~counted, age > lookback], [1, 2, 3], default=0)
    contacts = pd.DataFrame({"user": user[chosen], "time": time[chosen], "channel": channel[chosen]})
    contacts["fate"] = pd.Categorical.from_codes(fate, ["credited", "rest", "earlier", "too_old"])
    contacts["journey"] = np.append(closings["journey"].to_numpy(), -1)[closing]
    contacts["age_days"] = np.where(fate == 0, age / DAY_MICROSECONDS, np.nan)
    return contacts, closings, int(repeated.sum())


def _as_before(*columns: np.ndarray) -> np.ndarray:
    """Tell which rows equal the row before them in every column."""
    same = np.ones(max(len(columns[0]) - 1, 0), dtype=bool)
    for column in columns:
        same &= column[1:] == column[:-1]
    return np.concatenate([np.zeros(min(len(columns[0]), 1), dtype=bool), same])


def _laid_out(contacts: pd.DataFrame, closings: pd.DataFrame, open_from: int):
    """Return one row a journey, one row a step, and the channels that occur in steps."""
    counted = closings[closings["in_period"]]
    credited, rest = contacts[contacts["fate"] == "credited"], contacts[contacts["fate"] == "rest"]
    last = rest.drop_duplicates("user", keep="last")
    is_open = last["time"].to_numpy() >= open_from
    touched = np.isin(counted["journey"].to_numpy(), credited["journey"].to_numpy())
    states = np.concatenate([np.where(touched, _CONVERTED, _UNATTRIBUTED), np.where(is_open, _OPEN, _NULL)])
    nothing = np.zeros(len(last))
    each = pd.DataFrame(
        {
            "bag": bags_of(np.concatenate([counted["user"], last["user"]])),
            "state": pd.Categorical.from_codes(states, STATES),
            "conversions": np.concatenate([counted["conversions"], nothing]),
            "value": np.concatenate([counted["value"], nothing]),
            "nulls": (states == _NULL).astype(float),
        }
    )
    rest_journey = len(counted) + np.cumsum(~rest["user"].duplicated().to_numpy()) - 1
    kept = np.concatenate([credited["channel"], rest["channel"]])
    used, channel_key = np.unique(kept, return_inverse=True)
    steps = pd.DataFrame(
        {
            "journey": np.concatenate([credited["journey"], rest_journey]),
            "channel_key": channel_key,
            "age_days": np.concatenate([credited["age_days"], rest["age_days"]]),
        }
    )
    return each, steps, used


def _summary(each: pd.DataFrame, journeys_each: pd.Series | None = None) -> pd.DataFrame:
    weighted = each[["state", "conversions", "value"]].assign(journeys=1 if journeys_each is None else journeys_each)
    sums = weighted.groupby("state", observed=False)[["journeys", "conversions", "value"]].sum()
    table = sums.reset_index().astype({"state": "str", "journeys": "int64"})
    return table[["state", "journeys", "conversions", "value"]]
