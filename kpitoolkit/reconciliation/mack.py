"""Mack's chain ladder: what rows of a triangle will still become, with standard errors, free of a distribution.

Mack, T. (1993), "Distribution-free calculation of the standard error of chain ladder reserve estimates", ASTIN Bulletin
23, 213-225. Knows arrays only; `maturing` says what the rows are.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Development:
    """
    A triangle brought to its end.

    Attributes
    ----------
    factors, sigma2 : array of length ages - 1
        Mack's f and sigma squared, from each age to the next.
    latest, ultimate, standard_error : array of length origins
        What is known, what it becomes, and the root of the mean squared error of that.
    total, total_standard_error : float
        Of the origins asked for together; the error of a sum of origins is not the root of their sums of squares,
        because they share the factors.
    """

    factors: np.ndarray
    sigma2: np.ndarray
    latest: np.ndarray
    ultimate: np.ndarray
    standard_error: np.ndarray
    total: float
    total_standard_error: float


def develop(triangle: np.ndarray, origins: np.ndarray | None = None) -> Development:
    """
    Bring a cumulative triangle to its last age by the chain ladder.

    ``f_k = sum C_{i,k+1} / sum C_{i,k}`` over the origins known at age k + 1;
    ``sigma2_k = sum C_{i,k} (C_{i,k+1} / C_{i,k} - f_k)^2 / (n_k - 1)``, the last one, where only one origin is that
    old, by Mack's rule ``min(s_{k-1}^2 / s_{k-2}, s_{k-2}, s_{k-1})``. The error follows age by age:
    ``mse' = f^2 mse + sigma2 C + C^2 sigma2 / S``, with ``S`` the sum in the denominator of f: what chance brings, and
    what the factor may be wrong by, which all origins share.

    Parameters
    ----------
    triangle : array, origins x ages
        Cumulative, oldest origin first, NaN where the age is not reached yet; what is known ends at one age a row.
    origins : array of bool, optional
        Which origins the total is asked for; all by default.

    Returns
    -------
    Development

    Examples
    --------
    >>> found = develop(np.array([[100.0, 150.0, 165.0], [110.0, 170.0, np.nan], [120.0, np.nan, np.nan]]))
    >>> found.factors.round(4).tolist(), found.ultimate.round(1).tolist()
    ([1.5238, 1.1], [165.0, 187.0, 201.1])
    """
    known = ~np.isnan(triangle)
    reached = known.sum(axis=1) - 1
    rows, ages = triangle.shape
    filled = np.where(known, triangle, 0.0)
    wanted = np.ones(rows, dtype=bool) if origins is None else np.asarray(origins, dtype=bool)
    factors, sigma2, bases = _estimates(filled, known)
    value, error, shared, of_chance = filled[np.arange(rows), reached].copy(), np.zeros(rows), 0.0, 0.0
    latest = value.copy()
    for age in range(ages - 1):
        open_ = reached <= age
        whole = value[open_ & wanted].sum()
        share = sigma2[age] / bases[age] if bases[age] > 0 else 0.0
        shared = factors[age] ** 2 * shared + whole**2 * share
        of_chance = factors[age] ** 2 * of_chance + whole * sigma2[age]
        moved = factors[age] ** 2 * error + sigma2[age] * value + value**2 * share
        error = np.where(open_, moved, error)
        value = np.where(open_, factors[age] * value, value)
    total_error = float(np.sqrt(shared + of_chance))
    return Development(factors, sigma2, latest, value, np.sqrt(error), float(value[wanted].sum()), total_error)


def _estimates(filled: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors, variances and the sums that the factors rest on, by age."""
    both = known[:, 1:] & (filled[:, :-1] > 0)
    before, after = np.where(both, filled[:, :-1], 0.0), np.where(both, filled[:, 1:], 0.0)
    bases, count = before.sum(axis=0), both.sum(axis=0)
    factors = np.divide(after.sum(axis=0), bases, out=np.ones(len(bases)), where=bases > 0)
    ratio = np.divide(after, before, out=np.zeros_like(after), where=both)
    squares = (before * (ratio - factors) ** 2).sum(axis=0)
    sigma2 = np.divide(squares, count - 1, out=np.zeros(len(bases)), where=count > 1)
    for age in np.flatnonzero(count <= 1):
        last, before_last = (sigma2[age - back] if age >= back else 0.0 for back in (1, 2))
        sigma2[age] = min(last**2 / before_last if before_last > 0 else 0.0, before_last, last)
    return factors, sigma2, bases
