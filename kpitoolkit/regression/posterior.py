"""What the data leave possible: draws of every quantity of the model, and what follows from each draw exactly."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from kpitoolkit.regression import density
from kpitoolkit.regression.problem import Problem

INTERVAL = 0.90


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws.

    Attributes
    ----------
    problem : Problem
    kind : {"draft", "short", "published"}
        Laplace's approximation, a sampler's short walk, or a sampler that converged or says that it did not.
    iroas, carryover, half_saturation, slope, peak : array of shape (draws, channels)
        half_saturation in multiples of the mean active spend; slope 1 and peak 0 where the model has none.
    baseline : array of shape (draws, columns)
        Coefficients, over mean revenue.
    autocorrelation, noise : array of shape (draws,)
    r_hat, ess : array of shape (channels,)
        Of log iROAS; NaN for drafts.
    divergences, extended : int
        Of the sampler: divergent transitions, and how often it was extended.
    optima : array of shape (starts,)
        Log posterior reached from each start: more than one height means more than one explanation.
    """

    problem: Problem
    kind: str
    iroas: np.ndarray
    carryover: np.ndarray
    half_saturation: np.ndarray
    slope: np.ndarray
    peak: np.ndarray
    baseline: np.ndarray
    autocorrelation: np.ndarray
    noise: np.ndarray
    r_hat: np.ndarray
    ess: np.ndarray
    divergences: int
    extended: int
    optima: np.ndarray

    @cached_property
    def share(self) -> np.ndarray:
        """Share of the ceiling reached, of shape (draws, window, channels)."""
        return reached(self, self.problem.spend)

    @cached_property
    def weight(self) -> np.ndarray:
        """Each channel's share of the window's spend."""
        return self.problem.spent / self.problem.spent.sum()

    @cached_property
    def total(self) -> np.ndarray:
        """iROAS of all media together, of shape (draws,)."""
        return self.iroas @ self.weight


def point(values: np.ndarray) -> np.ndarray:
    """Return the figure that stands for draws: their mean, so that parts add up to their total.

    Examples
    --------
    >>> point(np.array([[1.0, 2.0], [3.0, 6.0]])).tolist()
    [2.0, 4.0]
    """
    return np.asarray(values).mean(axis=0)


def interval(values: np.ndarray, level: float = INTERVAL) -> tuple[np.ndarray, np.ndarray]:
    """Return the central interval of draws, by column.

    Examples
    --------
    >>> [float(each) for each in interval(np.arange(101.0), 0.5)]
    [25.0, 75.0]
    """
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return low, high


def reached(post: Posterior, spend: np.ndarray, window: int | None = None) -> np.ndarray:
    """Return the share of the ceiling that spend reaches, by draw.

    Parameters
    ----------
    spend : array of shape (rows, channels)
        In multiples of the mean active spend, oldest first.
    window : int, optional
        How many of the last rows to answer for; the problem's window by default.

    Returns
    -------
    array of shape (draws, window, channels)
    """
    window = post.problem.window if window is None else window
    share = np.empty((len(post.iroas), len(post.problem.channels), window))
    _reached(np.ascontiguousarray(np.asarray(spend, dtype=float).T), window, post.problem.kind, *_shapes(post), share)
    return share.transpose(0, 2, 1)


def contributions(post: Posterior) -> np.ndarray:
    """Return each channel's contribution by draw and period, in currency: shape (draws, window, channels)."""
    return ceiling(post)[:, None, :] * post.share


def ceiling(post: Posterior) -> np.ndarray:
    """Return the revenue per period that each channel tends to, in currency: shape (draws, channels)."""
    return post.iroas * post.problem.spent * post.problem.scale / post.share.sum(axis=1)


def baseline(post: Posterior) -> np.ndarray:
    """Return revenue without media by draw and period, in currency: shape (draws, window)."""
    return post.baseline @ post.problem.baseline.to_numpy().T * post.problem.scale


def mroas(post: Posterior) -> np.ndarray:
    """Return what the next unit of spend brings within the window, by draw: shape (draws, channels).

    The next unit goes the way the window's went: every period of it grows by the same small share, the carry-in stays.
    The derivative is exact.
    """
    given = post.problem
    own = given.spend.copy()
    own[: len(own) - given.window] = 0.0
    gained = np.empty_like(post.iroas)
    _gained(
        np.ascontiguousarray(given.spend.T), np.ascontiguousarray(own.T), given.window, given.kind,
        *_shapes(post), gained,
    )  # fmt: skip
    return post.iroas * gained / post.share.sum(axis=1)


def baseline_draws(
    given: Problem, media: np.ndarray, autocorrelation: np.ndarray, noise: np.ndarray, draw: np.random.Generator
) -> np.ndarray:
    """Draw the baseline's coefficients given everything else: Gaussian, by algebra.

    Parameters
    ----------
    media : array of shape (draws, window)
        Contribution of all media over mean revenue.
    """
    design = given.baseline.to_numpy()
    means, sd = given.prior.baseline
    plain, crossed, inner = density.baseline_products(design)
    rho, variance = autocorrelation[:, None, None], (noise**2)[:, None, None]
    lower = np.linalg.cholesky((plain - rho * crossed + rho**2 * inner) / variance + np.diag(1 / sd**2))
    residual = given.revenue - media - design @ means
    turned = residual * (1 + autocorrelation[:, None] ** 2)
    turned[:, [0, -1]] = residual[:, [0, -1]]
    turned[:, 1:] -= autocorrelation[:, None] * residual[:, :-1]
    turned[:, :-1] -= autocorrelation[:, None] * residual[:, 1:]
    centre = np.linalg.solve(lower, (turned @ design / (noise**2)[:, None])[..., None])
    shifted = centre + draw.standard_normal((len(media), len(means)))[..., None]
    return means + np.linalg.solve(lower.transpose(0, 2, 1), shifted)[..., 0]


def _shapes(post: Posterior) -> tuple[np.ndarray, ...]:
    return tuple(np.ascontiguousarray(each) for each in (post.carryover, post.half_saturation, post.slope, post.peak))


@njit(cache=True)
def _reached(spend, window, kind, carryover, half, slope, peak, share):
    by = np.empty((4, window))
    for draw in range(carryover.shape[0]):
        for channel in range(carryover.shape[1]):
            density.reach(
                spend[channel], window, kind[2], kind[0], kind[1], carryover[draw, channel], half[draw, channel],
                slope[draw, channel], peak[draw, channel], share[draw, channel], by,
            )  # fmt: skip


@njit(cache=True)
def _gained(spend, own, window, kind, carryover, half, slope, peak, gained):
    """Write the derivative of the window's summed share by a common factor on the window's spend."""
    by, share = np.empty((4, window)), np.empty(window)
    periods, before = kind[2], spend.shape[1] - window
    weights = np.empty(periods)
    for draw in range(carryover.shape[0]):
        for channel in range(carryover.shape[1]):
            kept, late = carryover[draw, channel], peak[draw, channel]
            density.reach(
                spend[channel], window, periods, kind[0], kind[1], kept, half[draw, channel],
                slope[draw, channel], late, share, by,
            )  # fmt: skip
            least = 0.0 if kind[0] == density.GEOMETRIC else (late - min(max(round(late), 0.0), periods - 1.0)) ** 2
            for lag in range(periods):
                power = float(lag) if kind[0] == density.GEOMETRIC else (lag - late) ** 2
                weights[lag] = kept ** (power - least)
            total = 0.0
            for row in range(window):
                whole = part = 0.0
                for lag in range(min(periods, before + row + 1)):
                    whole += weights[lag] * spend[channel, before + row - lag]
                    part += weights[lag] * own[channel, before + row - lag]
                if whole > 0:
                    total -= by[1, row] * part / whole
            gained[draw, channel] = total
