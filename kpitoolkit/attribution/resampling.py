"""The one set of draws of bags of users behind every interval, so that differences between results are paired."""

from functools import cache

import numpy as np

from kpitoolkit.attribution.aggregates import BAGS

RESAMPLES = 1000
_SEED = 20260701


@cache
def weights() -> np.ndarray:
    """Return how often each bag is drawn in each resample; the same on every call.

    Returns
    -------
    array (RESAMPLES, BAGS)
        Each row sums to `BAGS`.

    Examples
    --------
    >>> weights().shape, float(weights().sum(axis=1).min())
    ((1000, 200), 200.0)
    """
    drawn = np.random.default_rng(_SEED).multinomial(BAGS, np.full(BAGS, 1 / BAGS), size=RESAMPLES).astype(float)
    drawn.flags.writeable = False
    return drawn


def interval(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of 90% of the draws.

    Parameters
    ----------
    draws : array (RESAMPLES, ...)

    Returns
    -------
    two arrays (...)

    Examples
    --------
    >>> [float(bound) for bound in interval(np.arange(101.0))]
    [5.0, 95.0]
    """
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return low, high


def moved(point: np.ndarray, influence: np.ndarray) -> np.ndarray:
    """Return a statistic in every resample, to first order: point + (weights - 1) @ influence.

    Parameters
    ----------
    point : array (K,)
    influence : array (BAGS, K)
        Derivative of the statistic by the weight of each bag.

    Returns
    -------
    array (RESAMPLES, K)

    Examples
    --------
    >>> float(moved(np.array([200.0]), np.ones((BAGS, 1))).std().round(9))
    0.0
    """
    return point + (weights() - 1.0) @ influence
