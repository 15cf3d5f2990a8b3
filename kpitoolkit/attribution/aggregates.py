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
    no factor of M - 1; the bag is x mod 200. No product exceeds 2^62, so that every SQL engine computes the same on its
    BIGINT. Bags hold different numbers of users, as a draw would deal them, so resampled bags vary in the number of
    users too.

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
    for at in range(0, len(keys), _BLOCK):
        x = keys[at : at + _BLOCK].astype(np.int64) % _PRIME
        for _ in range(2):
            square = _modulo(x * x)
            x = _modulo(_modulo(_modulo(square * square) * x) + 362_436_069)
        bags[at : at + _BLOCK] = x % BAGS
    return bags


def _modulo(x: np.ndarray) -> np.ndarray:
    """Return x mod 2^31 - 1 for x from 0 to 2^62: high and low 31 bits add up to a number of the same class."""
    x = (x & _PRIME) + (x >> 31)
    return x - _PRIME * (x >= _PRIME)


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
