"""Carryover and half-saturation of every channel: searched over one joint grid, then averaged over it.

The search takes the single best point, for the coefficients, contributions and curves that a reader sees. The averaging
walks over the grid in proportion to how well each point explains revenue: an interval conditional on the best point
forgets that the shape, too, was estimated, and covers far less than it states (docs/decisions.md has the measurement).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

ROUNDS_OF_AUTOCORRELATION = 3
LARGEST_MEMORY = 0.2  # of the window; what lasts longer belongs to the baseline


@dataclass(frozen=True, eq=False)
class Grid:
    """Every pair of carryover and half-saturation (in multiples of mean active spend) with its log prior weight."""

    carryover: np.ndarray
    half_saturation: np.ndarray
    log_prior: np.ndarray


def shape_grid(frequency: str = "week") -> Grid:
    """Return the grid of shapes that a channel may take.

    The prior is weak: carryover's logit ~ N(-0.6, 1) for weeks (flat for quarters, where most of a campaign's effect
    falls into its own quarter), log half-saturation ~ N(log 2.5, 1.1).

    Examples
    --------
    >>> len(shape_grid("week").carryover), len(shape_grid("quarter").carryover)
    (70, 28)
    """
    kept = np.linspace(0, 0.9, 10) if frequency == "week" else np.linspace(0, 0.3, 4)
    half = np.exp(np.linspace(np.log(0.25), np.log(16), 7))
    carryover, half_saturation = (part.ravel() for part in np.meshgrid(kept, half, indexing="ij"))
    log_prior = -0.5 * ((np.log(half_saturation) - np.log(2.5)) / 1.1) ** 2
    if frequency == "week":
        inside = np.clip(carryover, 0.04, 0.96)
        log_prior = log_prior - 0.5 * (logit(inside) + 0.6) ** 2 - np.log(inside * (1 - inside))
    return Grid(carryover, half_saturation, log_prior)


def whiten(values: np.ndarray, autocorrelation: float) -> np.ndarray:
    """Return ``x_t - rho x_(t-1)`` from the second period on, as statsmodels' GLSAR does.

    Examples
    --------
    >>> whiten(np.array([1.0, 2.0, 4.0]), 0.5).tolist()
    [1.5, 3.0]
    """
    return values[1:] - autocorrelation * values[:-1]


def search(
    revenue: np.ndarray, baseline: np.ndarray, columns: Sequence[np.ndarray], grid: Grid, starts: int = 4
) -> tuple[list[int], float]:
    """Find the joint grid point that explains revenue best, and the AR(1) coefficient there.

    Coordinate descent: one channel at a time takes its best grid point given the others, until none moves; from several
    starts; all of it again with the autocorrelation found. What is maximised is the profile log likelihood of the
    whitened regression plus the log prior.

    Parameters
    ----------
    revenue : array of shape (periods,)
    baseline : array of shape (periods, baseline columns)
    columns : sequence of arrays of shape (periods, grid points)
        One array a channel: its response at each grid point.
    starts : int
        The prior's mode, then corners drawn with a fixed seed.

    Returns
    -------
    chosen : list of int
        Grid point of each channel.
    autocorrelation : float
    """
    if not columns:
        return [], autocorrelation_of(revenue, baseline)
    mode = int(np.argmax(grid.log_prior))
    draw = np.random.default_rng(0)
    tried = [[mode] * len(columns)]
    tried += [draw.integers(len(grid.log_prior), size=len(columns)).tolist() for _ in range(starts - 1)]
    autocorrelation, chosen = 0.0, tried[0]
    for _ in range(ROUNDS_OF_AUTOCORRELATION):
        target, fixed = whiten(revenue, autocorrelation), whiten(baseline, autocorrelation)
        media = [whiten(each, autocorrelation) for each in columns]
        found = [_descend(target, fixed, media, grid.log_prior, start) for start in [chosen, *tried[1:]]]
        chosen = max(found, key=lambda pair: pair[1])[0]
        autocorrelation = autocorrelation_of(revenue, join(baseline, columns, chosen))
    return chosen, autocorrelation


def autocorrelation_of(revenue: np.ndarray, design: np.ndarray, rounds: int = 50) -> float:
    """Return the AR(1) coefficient of the errors by Cochrane-Orcutt: fit, correlate the residuals, whiten, fit again.

    It is bounded so that the errors' memory, 1 / (1 - rho), stays within a fifth of the window: errors that last
    longer cannot be told from the baseline, and the level of a short series would be lost with them.

    Examples
    --------
    >>> wave = np.sin(np.arange(40.0))
    >>> round(autocorrelation_of(wave, np.ones((40, 1))), 1)
    0.5
    """
    largest = 1 - 1 / (LARGEST_MEMORY * max(len(revenue), 5))
    autocorrelation = update = 0.0
    for _ in range(rounds):
        coefficients = _least_squares(whiten(revenue, autocorrelation), whiten(design, autocorrelation))
        error = revenue - design @ coefficients
        power = error[:-1] @ error[:-1]
        update = float(error[1:] @ error[:-1] / power) if power > 0 else 0.0
        update = float(np.clip(update, -largest, largest))
        if abs(update - autocorrelation) < 1e-10:
            break
        autocorrelation = update
    return update


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws from the averaging: grid points of shape (draws, channels), coefficients of shape (draws, channels)."""

    points: np.ndarray
    coefficients: np.ndarray


def average(
    revenue: np.ndarray,
    baseline: np.ndarray,
    columns: Sequence[np.ndarray],
    grid: Grid,
    *,
    chosen: Sequence[int],
    autocorrelation: float,
    lags: int,
    sweeps: int = 400,
    warm_up: int = 100,
    seed: int = 0,
) -> Draws:
    """Draw shapes and coefficients, so that quantiles of what follows from them carry the shape's uncertainty.

    A Gibbs walk over the joint grid: each channel in turn draws its grid point in proportion to prior x profile
    likelihood given the others, ``SSR^(-(n - p) / 2)``. At each joint point the media coefficients are drawn from
    their t distribution with the HAC covariance there.

    Parameters
    ----------
    lags : int
        Of the HAC covariance.
    sweeps, warm_up : int
        Walks kept, and walks before them.

    Returns
    -------
    Draws
        Two coefficient draws for each sweep.
    """
    draw = np.random.default_rng(seed)
    target, fixed = whiten(revenue, autocorrelation), whiten(baseline, autocorrelation)
    media = [whiten(each, autocorrelation) for each in columns]
    channels = len(media)
    freedom = len(target) - fixed.shape[1] - channels
    current, points, coefficients = list(chosen), [], []
    for sweep in range(warm_up + sweeps):
        for channel in range(channels):
            rest = join(fixed, media, current, leave_out=channel)
            log_weight = -freedom / 2 * np.log(_squares_left(target, rest, media[channel])) + grid.log_prior
            weight = np.cumsum(np.exp(log_weight - log_weight.max()))
            current[channel] = int(np.searchsorted(weight, draw.random() * weight[-1]))
        if sweep >= warm_up:
            design = join(fixed, media, current)
            fitted = _least_squares(target, design)
            covariance = hac_covariance(design, target - design @ fitted, lags)[-channels:, -channels:]
            root = _root(covariance)
            for _ in range(2):
                noise = draw.standard_normal(channels) / np.sqrt(draw.chisquare(freedom) / freedom)
                points.append(tuple(current))
                coefficients.append(fitted[-channels:] + root @ noise)
    return Draws(np.array(points), np.array(coefficients))


def hac_covariance(design: np.ndarray, error: np.ndarray, lags: int) -> np.ndarray:
    """Return the Newey-West covariance of least-squares coefficients, with the small-sample factor n / (n - p).

    Equal to statsmodels' ``cov_type="HAC"`` with ``use_correction=True``; written out because it is needed at several
    hundred designs for one fit.
    """
    rows, columns = design.shape
    score = design * error[:, None]
    middle = score.T @ score
    for lag in range(1, lags + 1):
        pair = score[lag:].T @ score[:-lag]
        middle += (1 - lag / (lags + 1)) * (pair + pair.T)
    bread = np.linalg.pinv(design.T @ design)
    return bread @ middle @ bread * rows / (rows - columns)


def hac_lags(periods: int) -> int:
    """Return Newey and West's rule of thumb for the lags, ``floor(4 (n / 100)^(2/9))``.

    Examples
    --------
    >>> hac_lags(156), hac_lags(15)
    (4, 2)
    """
    return int(4 * (periods / 100) ** (2 / 9))


def join(
    baseline: np.ndarray, columns: Sequence[np.ndarray], chosen: Sequence[int], leave_out: int | None = None
) -> np.ndarray:
    """Return the design of the baseline and each channel's column at its grid point."""
    media = [each[:, point] for place, (each, point) in enumerate(zip(columns, chosen, strict=True))
             if place != leave_out]  # fmt: skip
    return np.column_stack([baseline, *media])


def _descend(target, fixed, media, log_prior, start):
    current = list(start)
    while True:
        before = list(current)
        for channel in range(len(media)):
            rest = join(fixed, media, current, leave_out=channel)
            height = -len(target) / 2 * np.log(_squares_left(target, rest, media[channel])) + log_prior
            current[channel] = int(np.argmax(height))
        if current == before:
            return current, height[current[-1]] + sum(log_prior[point] for point in current[:-1])


def _squares_left(target: np.ndarray, rest: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Residual sum of squares with `rest` and, one at a time, each candidate column (Frisch-Waugh)."""
    basis, _ = np.linalg.qr(rest)
    left = target - basis @ (basis.T @ target)
    fresh = candidates - basis @ (basis.T @ candidates)
    power = (fresh**2).sum(axis=0)
    told_apart = power > 1e-9 * (candidates**2).sum(axis=0)
    explained = np.where(told_apart, (fresh.T @ left) ** 2 / np.where(told_apart, power, 1.0), 0.0)
    return np.maximum(left @ left - explained, 1e-12 * (target @ target))


def _least_squares(target: np.ndarray, design: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(design, target, rcond=None)[0]


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))
