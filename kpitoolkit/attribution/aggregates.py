"""The few sums that the models read, one set per bag of users: their size depends on channels, never on rows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.errors import ToolkitError

BAGS = 200
COALITION_CHANNELS = 16
_PRIME = 2**31 - 1
_BLOCK = 2**14  # small enough for a processor's cache


@dataclass(frozen=True, eq=False)
class Aggregates:
    """The sums that the models read; B bags of users, K players (channels, or the campaigns of channels).

    Attributes
    ----------
    players : tuple
        Names of channels, or pairs (channel, campaign); sorted.
    channel_of : array of int (K,)
        Position of each player's channel among the channels.
    transitions : DataFrame
        bag, origin, target, count, value of order 1, as `Journeys.transitions` returns them; a player that follows
        itself included.
    credits : dict of array (B, K, 2)
        Conversions and value credited to each player by the models that are plain sums over journeys.
    unattributed : array (B, 2)
        Conversions without touchpoint, and their value.
    """

    players: tuple
    channel_of: np.ndarray
    transitions: pd.DataFrame
    credits: dict[str, np.ndarray]
    unattributed: np.ndarray


def bags_of(keys: np.ndarray) -> np.ndarray:
    """Deal users into bags, each by a fixed mix of its key alone.

    With M = 2^31 - 1 and x = key mod M, twice: x becomes (x^5 + 362436069) mod M, a permutation of 0..M-1 as 5 divides
    no factor of M - 1; the bag is x mod 200. Reduced after each step, no product exceeds 2^62, so that every SQL engine
    computes the same on its BIGINT. Bags hold different numbers of users, as a draw would deal them, so resampled bags
    vary in the number of users too.

    Parameters
    ----------
    keys : array of int

    Returns
    -------
    array of int64
        Below `BAGS`.

    Examples
    --------
    >>> bags_of(np.array([0, 1, -1, 0])).tolist()
    [38, 47, 56, 38]
    """
    bags = np.empty(len(keys), dtype=np.int64)
    room = np.empty((3, min(len(keys), _BLOCK)), dtype=np.uint64)
    for at in range(0, len(keys), _BLOCK):
        key = keys[at : at + _BLOCK].astype(np.int64, copy=False).view(np.uint64)
        x, power, free = room[:, : len(key)]
        np.right_shift(key, 63, out=free)
        np.left_shift(free, 2, out=free)
        np.subtract(key, free, out=x)  # 2^64 mod M is 4: what a number below 0 has too much
        _folded(x, free, 2)
        _reduced(x, free, x)
        for _ in range(2):
            np.multiply(x, x, out=power)
            _folded(power, free, 1)  # below 2^32
            np.multiply(power, power, out=power)
            _folded(power, free, 2)  # below 2^31 + 5
            np.multiply(power, x, out=power)
            _folded(power, free, 1)
            np.add(power, 362_436_069, out=power)
            _folded(power, free, 1)
            _reduced(power, free, x)
        small = x.astype(np.uint32)
        bags[at : at + _BLOCK] = small - small // np.uint32(BAGS) * np.uint32(BAGS)
    return bags


def _folded(x: np.ndarray, free: np.ndarray, times: int) -> None:
    """Add the bits from the 31st on to the 31 low ones, in place: a smaller number of the same class mod 2^31 - 1."""
    for _ in range(times):
        np.right_shift(x, 31, out=free)
        np.bitwise_and(x, _PRIME, out=x)
        np.add(x, free, out=x)


def _reduced(x: np.ndarray, free: np.ndarray, out: np.ndarray) -> None:
    """Put x mod 2^31 - 1 into `out`, for x below 2^32 - 2; what would fall below 0 turns over to a large number."""
    np.subtract(x, _PRIME, out=free)
    np.minimum(x, free, out=out)


def require_order(order: int, players: int) -> None:
    """Raise ToolkitError where the order is no number above 0, or its states do not fit one integer."""
    if isinstance(order, bool) or not isinstance(order, int | np.integer) or order < 1:
        raise ToolkitError(f"transitions: order {order!r} is not a whole number above 0, such as 1.")
    if (players + 1) ** int(order) >= 2**62:
        raise ToolkitError(
            f"transitions: order {order} with {players} channels has more states than can be numbered. Take a lower"
            " order, or join channels."
        )


def require_few_channels(channels: int) -> None:
    """Raise ToolkitError where there are too many channels to list their coalitions."""
    if channels > COALITION_CHANNELS:
        raise ToolkitError(
            f"coalitions: {channels} channels have 2^{channels} coalitions; at most {COALITION_CHANNELS} channels"
            " can be listed. Join channels."
        )
