"""What a measurement is worth before it is made: how precisely it reads, what it may say, which decision it may change.

Arrays in, arrays out; `experiments` says which test and which budget. An outcome is one number, cut into cells, so that
every sum over it is exact: nothing is simulated, and no figure here depends on a seed. Beliefs are draws of equal
weight; an outcome gives them other weights (Raiffa and Schlaifer, "Applied Statistical Decision Theory", 1961).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.special import ndtr

CELLS = 64
_POINTS, _REACH = 512, 5.0


@dataclass(frozen=True, eq=False)
class Reading:
    """How a test reads the size of a lift of known course.

    Attributes
    ----------
    weights : array of shape (periods,)
        The estimate is ``weights @ revenue``: 1 where the lift is as expected, 0 where there is none.
    standard_error : float
        Of that estimate; to first order the standard error of the logarithm of the lift. Infinite where the baseline
        can take the lift's place.
    """

    weights: np.ndarray
    standard_error: float


def read(lift: np.ndarray, baseline: np.ndarray | None, autocorrelation: float, noise: float) -> Reading:
    """Return how generalised least squares reads a lift out of revenue with AR(1) errors.

    ``revenue = baseline b + lift a + u``, ``u_t = autocorrelation u_(t-1) + e_t``. With ``L`` the exact whitening of u
    (Prais and Winsten 1954) and ``r`` what is left of ``L lift`` after regression on ``L baseline`` (Frisch, Waugh and
    Lovell), Aitken's estimate (1935) is ``a = r'L revenue / r'r``, its variance ``noise^2 / r'r``.

    Parameters
    ----------
    lift : array of shape (periods,)
        Expected revenue brought by the test in each period, those before it (zeros) included.
    baseline : array of shape (periods, columns), optional
        What is estimated again in the same periods; None where the baseline is known.
    autocorrelation : float in (-1, 1)
    noise : float
        Standard deviation of e, in the unit of `lift`.

    Examples
    --------
    >>> round(read([0.0, 0, 1, 1], None, 0.0, 0.5).standard_error, 4)
    0.3536
    >>> read([0.0, 0, 1, 1], np.ones((4, 1)), 0.0, 0.5).standard_error
    0.5
    """
    lift = np.asarray(lift, dtype=float)
    left = whitened = _whiten(lift, autocorrelation)
    if baseline is not None:
        columns = _whiten(np.asarray(baseline, dtype=float), autocorrelation)
        left = whitened - columns @ np.linalg.lstsq(columns, whitened)[0]
    squares = float(left @ left)
    if squares <= 1e-18 * float(whitened @ whitened) or squares == 0:
        return Reading(np.zeros(len(lift)), np.inf)
    back = left.copy()
    back[0] *= np.sqrt(1 - autocorrelation**2)
    back[:-1] -= autocorrelation * left[1:]
    return Reading(back / squares, float(noise / np.sqrt(squares)))


def chances(means: np.ndarray, standard_error: float, cells: int = CELLS) -> np.ndarray:
    """Return how likely each draw makes each outcome: shape (cells, draws), each draw's chances adding up to one.

    The outcome is Gaussian around the draw's mean. It is told only to its cell: a little less than was measured, so
    what follows is never more than the measurement is worth. Cells are narrow where outcomes are likely (their density
    follows the cube root of the outcome's: Panter and Dite 1951); 64 of them lose 0.1% of a Gaussian's variance.

    Parameters
    ----------
    means : array of shape (draws,)
    standard_error : float
        Infinite for a test that tells nothing.

    Examples
    --------
    >>> chances(np.array([0.0, 1.0]), 0.001, cells=2).round(3).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    means = np.asarray(means, dtype=float)
    spread = means.max() - means.min()
    if not np.isfinite(standard_error) or spread <= 0:
        return np.ones((1, len(means)))
    width = max(standard_error, 1e-6 * spread)
    ends = means.min() - _REACH * width, means.max() + _REACH * width
    places = np.linspace(*ends, _POINTS)
    smooth = max(width, 2 * (places[1] - places[0]))
    density = np.exp(-0.5 * np.square((places[:, None] - means) / smooth)).sum(axis=1)
    height = np.cbrt(density)
    running = np.concatenate([[0.0], np.cumsum(height[1:] + height[:-1])])
    edges = np.interp(np.arange(1, cells) / cells * running[-1], running, places)
    below = np.vstack([np.zeros(len(means)), ndtr((edges[:, None] - means) / width), np.ones(len(means))])
    return np.diff(below, axis=0)


def value_of_test(
    profits: np.ndarray, likely: np.ndarray, best: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, np.ndarray]:
    """Return the expected value of sample information: what deciding after the test brings more than deciding now.

    ``sum_z p(z) max_a E[profit(a) | z] - max_a E[profit(a)]``, z the outcome's cell.

    Parameters
    ----------
    profits : array of shape (draws, channels, levels)
        Of each channel at each level of its spend; profits add up over channels.
    likely : array of shape (cells, draws)
        What `chances` returns; the identity for perfect information.
    best : function
        From expected profits of shape (cells, channels, levels) to the chosen levels of shape (cells, channels).

    Returns
    -------
    float
        Never below zero.
    array of shape (draws,)
        The gain by draw, of which it is the mean.

    Examples
    --------
    >>> profits = np.array([[[0.0, -1.0]], [[0.0, 3.0]]])
    >>> highest = lambda expected: expected.argmax(axis=2)
    >>> value_of_test(profits, np.eye(2), highest)[0]
    0.5
    """
    draws, channels, _levels = profits.shape
    flat = profits.reshape(draws, -1)
    share = likely.mean(axis=1)
    expected = (likely @ flat / draws / np.maximum(share, 1e-300)[:, None]).reshape(-1, *profits.shape[1:])
    place = np.arange(channels)
    now = best(flat.mean(axis=0).reshape(1, *profits.shape[1:]))[0]
    after = best(expected)
    # a search that misses by rounding must not make knowledge harmful: today's choice always stands open
    better = expected[np.arange(len(after))[:, None], place, after].sum(axis=1) > expected[:, place, now].sum(axis=1)
    after = np.where(better[:, None], after, now)
    gained = np.zeros(draws)
    today = profits[:, place, now].sum(axis=1)
    chosen, which = np.unique(after, axis=0, return_inverse=True)
    weight = np.zeros((len(chosen), draws))
    np.add.at(weight, which.ravel(), likely)
    for levels, chance in zip(chosen, weight, strict=True):
        gained += chance * (profits[:, place, levels].sum(axis=1) - today)
    return max(0.0, float(gained.mean())), gained


def perfect_value(profits: np.ndarray, best: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return what knowing everything that sets the draws apart would be worth: no test on it is worth more.

    Parameters as of `value_of_test`.
    """
    place = np.arange(profits.shape[1])
    now = best(profits.mean(axis=0)[None])[0]
    after = best(profits)
    today = profits[:, place, now].sum(axis=1)
    known = profits[np.arange(len(profits))[:, None], place, after].sum(axis=1)
    return float(np.maximum(known - today, 0.0).mean())


def explained(values: np.ndarray, features: np.ndarray, effective: float) -> np.ndarray:
    """Return the part of values that features explain, by least squares, shrunk by what chance alone would explain.

    The shrinkage is adjusted R2 over R2, with as many observations as the draws are worth.

    Parameters
    ----------
    values : array of shape (draws, columns)
    features : array of shape (draws, features)
    effective : float
        Effective number of draws.

    Returns
    -------
    array of shape (draws, columns)

    Examples
    --------
    >>> x = np.arange(8.0)
    >>> explained(np.column_stack([2 * x]), x[:, None], 8)[1:4, 0].round(6).tolist()
    [2.0, 4.0, 6.0]
    """
    centre = values.mean(axis=0)
    moves = features[:, np.ptp(features, axis=0) > 1e-12]
    moves = (moves - moves.mean(axis=0)) / np.maximum(moves.std(axis=0), 1e-300)
    frame, sizes, _turn = np.linalg.svd(moves, full_matrices=False)
    frame = frame[:, sizes > 1e-8 * max(1.0, sizes.max(initial=0.0))]
    fitted = frame @ (frame.T @ (values - centre))
    left = np.square(values - centre).sum()
    count = frame.shape[1]
    if left == 0 or effective <= count + 1:
        return np.broadcast_to(centre, values.shape).copy()
    r2 = np.square(fitted).sum() / left
    kept = 1 - (1 - r2) / max(r2, 1e-300) * count / (effective - count - 1)
    return centre + max(0.0, kept) * fitted


def left_after(values: np.ndarray, likely: np.ndarray, level: float = 0.9) -> tuple[float, float]:
    """Return the spread of a quantity that is expected to be left after the test.

    Parameters
    ----------
    values : array of shape (draws,)
    likely : array of shape (cells, draws)

    Returns
    -------
    float, float
        Expected standard deviation, and expected width of the central interval.

    Examples
    --------
    >>> left_after(np.array([1.0, 2.0, 3.0]), np.eye(3))
    (0.0, 0.0)
    """
    order = np.argsort(values, kind="stable")
    values, likely = values[order], likely[:, order]
    share = likely.sum(axis=1)
    seen = share > 1e-12 * share.sum()
    weight = likely[seen] / share[seen][:, None]
    middle = weight @ values
    sd = np.sqrt(np.maximum(0.0, weight @ np.square(values - values.mean()) - np.square(middle - values.mean())))
    running = np.cumsum(weight, axis=1)
    last = len(values) - 1
    low, high = (np.minimum((running < tail - 1e-12).sum(axis=1), last) for tail in (0.5 - level / 2, 0.5 + level / 2))
    width = values[high] - values[low]
    probability = share[seen] / share.sum()
    return float(probability @ sd), float(probability @ width)


@njit(cache=True, nogil=True)
def fill(profits, counts, units):
    """Return the levels that add up to a number of units and bring the most: exact, by dynamic programming.

    Parameters
    ----------
    profits : array of shape (problems, channels, levels)
        Level g is g units more than the channel's least.
    counts : array of shape (channels,)
        How many levels each channel has.
    units : int
        To be spent in full: between 0 and ``sum(counts - 1)``.

    Returns
    -------
    array of int of shape (problems, channels)

    Examples
    --------
    >>> fill(np.array([[[0.0, 5, 6], [0, 3, 9]]]), np.array([3, 3]), 2).tolist()
    [[0, 2]]
    """
    problems, channels = profits.shape[0], profits.shape[1]
    levels = np.zeros((problems, channels), dtype=np.int64)
    best = np.empty((channels, units + 1))
    taken = np.zeros((channels, units + 1), dtype=np.int64)
    for problem in range(problems):
        for spent in range(units + 1):
            best[0, spent] = profits[problem, 0, spent] if spent < counts[0] else -np.inf
            taken[0, spent] = spent
        for channel in range(1, channels):
            own = profits[problem, channel]
            for spent in range(units + 1):
                most, at = -np.inf, 0
                for level in range(min(counts[channel], spent + 1)):
                    found = best[channel - 1, spent - level] + own[level]
                    if found > most:
                        most, at = found, level
                best[channel, spent], taken[channel, spent] = most, at
        spent = units
        for channel in range(channels - 1, -1, -1):
            levels[problem, channel] = taken[channel, spent]
            spent -= levels[problem, channel]
    return levels


def _whiten(values: np.ndarray, autocorrelation: float) -> np.ndarray:
    found = values.copy()
    found[0] *= np.sqrt(1 - autocorrelation**2)
    found[1:] -= autocorrelation * values[:-1]
    return found
