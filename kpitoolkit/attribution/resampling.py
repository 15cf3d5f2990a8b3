"""The one set of draws of bags of users behind every interval, so that differences between results are paired."""

from functools import cache

import numpy as np
from scipy import special

from kpitoolkit.attribution.aggregates import BAGS

RESAMPLES = 1000
LEVELS = (0.05, 0.95)
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
    low, high = np.quantile(draws, LEVELS, axis=0)
    return low, high


def credit_interval(
    point: np.ndarray, draws: np.ndarray, one: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return 90% bounds of credit, a sum of few or many amounts above 0.

    Credit x with standard deviation s over the draws varies as n = (x / s)^2 whole conversions of x / n each would:
    unequal amounts, shared credit and customers who return make n less than the number of conversions. Bounds are those
    of a Poisson count n: x / n times the 5% and 95% points of the gamma distribution of shape n + 1/2 (Jeffreys; for
    sums of unequal amounts, Fay and Feuer, Statistics in Medicine 16, 1997). They are skewed as counts are and never
    below 0. And s is itself estimated from the n amounts: it is first taken larger, by Student's 95% point with n + 1
    degrees of freedom over the normal one; one conversion has bounds 0.1 and 8.3, ten have 5.7 and 16.5. Percentiles
    of the draws are too low and too narrow where amounts are few (`tests/benchmarks/attribution_coverage.py`).

    Where there is no credit in any draw, n is 0 and nothing tells the size of a conversion: bounds are 0 and `one`
    times the 95% point of shape 1/2, 1.9. Too narrow for value where a few orders make most of it.

    Where other credit is not above 0, or refunds make a draw negative, or nothing varies, bounds are those of
    `interval`. The bounds enclose the point.

    Parameters
    ----------
    point : array (...)
    draws : array (RESAMPLES, ...)
    one : array (...) or float
        What one conversion is: 1, or the mean value of a conversion.

    Returns
    -------
    two arrays (...)

    Examples
    --------
    >>> bags = np.repeat([1.0, 0.0], [10, 190])
    >>> [round(float(bound), 1) for bound in credit_interval(bags.sum(), weights() @ bags)]
    [5.7, 16.5]
    """
    low, high = interval(draws)
    error = draws.std(axis=0)
    counted = (point > 0) & (draws.min(axis=0) >= 0) & (error > 1e-9 * np.abs(point))
    x, error = np.where(counted, point, 1.0), np.where(counted, error, 1.0)
    wider = special.stdtrit((x / error) ** 2 + 1.0, LEVELS[1]) / special.ndtri(LEVELS[1])
    n = (x / (error * wider)) ** 2
    low, high = (
        np.where(counted, x / n * special.gammaincinv(n + 0.5, level), bound)
        for level, bound in zip(LEVELS, (low, high), strict=True)
    )
    none = (point == 0) & (np.abs(draws).max(axis=0) == 0)
    high = np.where(none, one * special.gammaincinv(0.5, LEVELS[1]), high)
    return np.minimum(low, point), np.maximum(high, point)


def one_conversion(conversions: float, value: float) -> np.ndarray:
    """Return what one conversion is, in conversions and in value: 1, and the mean value (0 where it is below).

    Examples
    --------
    >>> one_conversion(4.0, 100.0).tolist()
    [1.0, 25.0]
    """
    return np.array([1.0, max(value / conversions, 0.0)]) if conversions > 0 else np.zeros(2)


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
