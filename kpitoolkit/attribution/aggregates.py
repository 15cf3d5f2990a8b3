"""The few sums that the models read, one set per bag of users: their size depends on channels, never on rows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

BAGS = 200


@dataclass(frozen=True, eq=False)
class Aggregates:
    """The sums that the models read; B bags of users, K channels.

    Attributes
    ----------
    channels : tuple of str
        The K channels, sorted.
    transitions : array (B, 1 + K, K + 2)
        How often journeys pass from START (row 0) or a channel (row 1 + i) to a channel (column i), to a conversion
        (column K) or to null (column K + 1). Open journeys are left out.
    values : array (B, 1 + K)
        Value of the conversions that follow START (row 0: unattributed) or a channel (1 + i) directly.
    credits : dict of array (B, K, 2)
        Conversions and value credited to each channel by the models that are plain sums over journeys.
    """

    channels: tuple[str, ...]
    transitions: np.ndarray
    values: np.ndarray
    credits: dict[str, np.ndarray]


def bags_of(users: np.ndarray) -> np.ndarray:
    """Deal users into bags, each by a fixed mix of its code alone (splitmix64).

    Bags hold different numbers of users, as a draw would deal them, so resampled bags vary in the number of users too.

    Parameters
    ----------
    users : array of int
        The codes of users.

    Returns
    -------
    array of int64
        Below `BAGS`.

    Examples
    --------
    >>> bags_of(np.array([0, 1, 2, 0])).tolist()
    [135, 100, 79, 135]
    """
    mixed = (users.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(BAGS)).astype(np.int64)


def aggregate(
    each: pd.DataFrame, steps: pd.DataFrame, channels: tuple[str, ...], half_life_days: float, direct: str
) -> Aggregates:
    """Sum journeys up for the models.

    Parameters
    ----------
    each : DataFrame
        One row a journey: bag, conversions, value, nulls (all three 0 for open journeys).
    steps : DataFrame
        One row a touchpoint, by journey and in order: journey (row of `each`), channel_key, optionally age_days.
    channels : tuple of str
    half_life_days : float
    direct : str
        Name of the channel that `last_non_direct` passes over, whatever its case.

    Returns
    -------
    Aggregates
    """
    bag, conversions, value, nulls = (each[name].to_numpy() for name in ("bag", "conversions", "value", "nulls"))
    journey, channel = steps["journey"].to_numpy(), steps["channel_key"].to_numpy()
    k = len(channels)
    first, last = _ends(journey)

    shape = (BAGS, 1 + k, k + 2)
    passed = (conversions + nulls)[journey]
    touched = np.zeros(len(each), dtype=bool)
    touched[journey] = True
    empty, follows = np.flatnonzero(~touched), np.flatnonzero(~first)
    ends = journey[last]
    origin = [np.zeros(first.sum()), 1 + channel[follows - 1], *[1 + channel[last]] * 2, *[np.zeros(len(empty))] * 2]
    target = [channel[first], channel[follows], *(np.full(n, at) for n in (len(ends), len(empty)) for at in (k, k + 1))]
    of_bag = [bag[journey[first]], bag[journey[follows]], bag[ends], bag[ends], bag[empty], bag[empty]]
    weight = [passed[first], passed[follows], conversions[ends], nulls[ends], conversions[empty], nulls[empty]]
    index = np.ravel_multi_index(
        tuple(np.concatenate(part).astype(np.int64) for part in (of_bag, origin, target)), shape
    )
    transitions = np.bincount(index, np.concatenate(weight), minlength=int(np.prod(shape))).reshape(shape)

    index = np.concatenate([bag[ends] * (1 + k) + 1 + channel[last], bag[empty] * (1 + k)])
    values = np.bincount(index, np.concatenate([value[ends], value[empty]]), minlength=BAGS * (1 + k))

    counts = (conversions != 0)[journey]
    journey, channel = journey[counts], channel[counts]
    age = steps["age_days"].to_numpy()[counts] if "age_days" in steps else None
    is_direct = np.array([name.casefold() == direct.casefold() for name in channels], dtype=bool)
    index = bag[journey] * k + channel
    credits = {}
    for model, share in _shares(journey, channel, age, half_life_days, is_direct).items():
        sums = [np.bincount(index, share * weight[journey], minlength=BAGS * k) for weight in (conversions, value)]
        credits[model] = np.stack(sums, axis=-1).astype(float).reshape(BAGS, k, 2)
    return Aggregates(channels, transitions.astype(float), values.astype(float).reshape(BAGS, 1 + k), credits)


def _ends(journey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell which steps are the first and which the last of their journey."""
    changes = journey[1:] != journey[:-1]
    edge = np.ones(min(len(journey), 1), dtype=bool)
    return np.concatenate([edge, changes]), np.concatenate([changes, edge])


def _shares(journey, channel, age_days, half_life_days, is_direct) -> dict[str, np.ndarray]:
    """Return, for each model that is a sum over journeys, the share of its journey that each step gets."""
    rows = np.arange(len(journey))
    first, last = _ends(journey)
    starts, finishes = np.flatnonzero(first), np.flatnonzero(last)
    length = np.repeat(finishes - starts + 1, finishes - starts + 1)

    chosen = np.maximum.reduceat(np.where(is_direct[channel], -1, rows), starts) if len(rows) else rows
    chosen = np.where(chosen < 0, finishes, chosen)
    position = np.where(first | last, 0.4, 0.2 / np.maximum(length - 2, 1))
    distinct = np.zeros(len(rows))
    distinct[np.unique(journey * max(len(is_direct), 1) + channel, return_index=True)[1]] = 1.0
    shares = {
        "first": first.astype(float),
        "last": last.astype(float),
        "last_non_direct": np.isin(rows, chosen).astype(float),
        "linear": 1.0 / length,
        "position": np.where(length < 3, 1.0 / length, position),
    }
    if age_days is not None:
        youngest = np.repeat(age_days[finishes], finishes - starts + 1)
        decay = np.exp2(-(age_days - youngest) / half_life_days)
        shares["time_decay"] = decay / _total(decay, starts)[np.repeat(np.arange(len(starts)), finishes - starts + 1)]
    shares["shapley"] = distinct / _total(distinct, starts)[np.repeat(np.arange(len(starts)), finishes - starts + 1)]
    return shares


def _total(weights: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(weights, starts) if len(starts) else weights
