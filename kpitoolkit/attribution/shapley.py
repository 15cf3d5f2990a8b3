"""The conversion-rate game: what each channel adds to the share of journeys that convert, as a diagnostic."""

from math import factorial

import numpy as np
import pandas as pd

from kpitoolkit.attribution.aggregates import BAGS
from kpitoolkit.attribution.journeys import Journeys
from kpitoolkit.attribution.resampling import interval, moved

MOST_CHANNELS = 16


def rate_game(journeys: Journeys) -> pd.DataFrame:
    """Return the Shapley value of each channel in the game v(S) = conversions / (conversions + nulls).

    v(S) counts the journeys with touchpoints whose channels all lie in S; it is 0 where there are none, and
    v(nothing) = 0: conversions without touchpoint are left out. Contributions sum to v(all channels), the conversion
    rate of the journeys with touchpoints. A channel whose journeys convert less than others' may have a negative
    contribution; it is left as it is. This is a diagnostic beside the credit, not a credit: it sets aside how many
    journeys a channel takes part in. Exact: sums over all 2^K coalitions. Intervals move in proportion to the weights
    of the bags of users, by the exact derivative.

    Parameters
    ----------
    journeys : Journeys

    Returns
    -------
    DataFrame
        channel, contribution (conversions for each journey), low, high (90%), status. One line a channel; the figures
        are missing where status is not `ok`: `too_many_channels` (above `MOST_CHANNELS`) or `no_nulls` (no journey
        without a conversion was seen, so there is no conversion rate).

    Examples
    --------
    >>> from kpitoolkit.attribution import journeys_from_paths
    >>> paths = pd.DataFrame({"path": ["G", "M", "G > M"], "total_conversions": [2, 1, 1], "total_null": [2, 3, 3]})
    >>> game = rate_game(journeys_from_paths(paths))
    >>> game["contribution"].round(6).tolist(), game["status"].unique().tolist()
    ([0.291667, 0.041667], ['ok'])
    """
    k = len(journeys.channels)
    if k > MOST_CHANNELS:
        return _not_computed(journeys.channels, "too_many_channels")
    sums = journeys.coalitions()
    sums = sums[sums["coalition"] != 0]
    if not sums["nulls"].sum() > 0:
        return _not_computed(journeys.channels, "no_nulls")
    coalition, bag = sums["coalition"].to_numpy(np.int64), sums["bag"].to_numpy(np.int64)
    converted = sums["conversions"].to_numpy(dtype=float)
    ended = converted + sums["nulls"].to_numpy(dtype=float)

    among = [_over_subsets(np.bincount(coalition, column, minlength=1 << k)) for column in (converted, ended)]
    seen = among[1] > 0
    share = np.divide(1.0, among[1], out=np.zeros(1 << k), where=seen)
    rate = among[0] * share
    gains = _gains(k)
    influence = np.zeros((BAGS, k))
    for player in range(k):
        per_conversion = _over_supersets(gains[player] * share)[coalition]
        per_journey = _over_supersets(gains[player] * rate * share)[coalition]
        influence[:, player] = np.bincount(bag, converted * per_conversion - ended * per_journey, minlength=BAGS)
    contribution = gains @ rate
    low, high = interval(moved(contribution, influence))
    columns = {"channel": list(journeys.channels), "contribution": contribution, "low": low, "high": high}
    return pd.DataFrame(columns | {"status": "ok"})


def _not_computed(channels: tuple[str, ...], status: str) -> pd.DataFrame:
    missing = dict.fromkeys(["contribution", "low", "high"], np.nan)
    return pd.DataFrame({"channel": list(channels)} | missing | {"status": status})


def _gains(k: int) -> np.ndarray:
    """Return how much the Shapley value of each player takes of each coalition's worth (K, 2^K)."""
    members = (np.arange(1 << k) >> np.arange(k)[:, None] & 1).astype(bool)
    size = members.sum(axis=0)
    share = np.array([factorial(n) * factorial(k - n - 1) / factorial(k) for n in range(k)])
    return np.where(members, share[size - 1], -np.append(share, 0.0)[size])


def _over_subsets(sums: np.ndarray) -> np.ndarray:
    """Sum, for each coalition, over the coalitions inside it (2^K,)."""
    total = sums.astype(float)
    for player in range(len(total).bit_length() - 1):
        halves = total.reshape(-1, 2, 1 << player)
        halves[:, 1] += halves[:, 0]
    return total


def _over_supersets(sums: np.ndarray) -> np.ndarray:
    """Sum, for each coalition, over the coalitions that hold it (2^K,)."""
    return _over_subsets(sums[::-1])[::-1]
