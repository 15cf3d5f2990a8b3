"""Customers who buy at will, by maximum likelihood: how often they come back and what they spend; and subscribers.

BG/NBD (Fader, Hardie and Lee 2005, "Counting your customers the easy way") for repeat purchases, Gamma-Gamma (Fader and
Hardie 2013) for their value. A repeat purchase is a day with a purchase after the first one; times are in weeks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import optimize
from scipy.special import digamma, expit, gammaln, hyp2f1

from kpitoolkit import errors


@dataclass(frozen=True, eq=False)
class Fit:
    """
    What maximum likelihood found: parameters by name, and where the search stood, with its covariance.

    ``point`` holds what was varied and ``natural`` turns it into parameters by name. What came to lie at a bound (all
    customers alike in stopping, or in what they spend) is held there: its row of the covariance is zero. ``identified``
    is False where the rest has no inner maximum.
    """

    values: dict[str, float]
    point: np.ndarray
    natural: Callable[[np.ndarray], dict[str, float]]
    covariance: np.ndarray
    log_likelihood: float
    rows: int
    identified: bool

    def __getitem__(self, name: str) -> float:
        return self.values[name]


_ALIKE = 8.0
"""Logarithm of a + b, or of q, from which on customers are alike in every digit that matters."""


def _maximum(likelihood: Callable, natural: Callable, start, bounds, rows: int) -> Fit:
    """Maximise within bounds; ``likelihood`` gives the sum and its gradient in what is varied."""

    def minus(point):
        value, gradient = likelihood(point)
        return -value / rows, -gradient / rows

    options = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9}
    found = optimize.minimize(minus, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    low, high = np.array(bounds, float).T
    free = np.flatnonzero((found.x > low + 1e-3) & (found.x < high - 1e-3))
    step = 1e-4
    unit = np.eye(len(found.x))[free] * step
    curvature = np.array(
        [(likelihood(found.x + move)[1] - likelihood(found.x - move)[1])[free] / (2 * step) for move in unit]
    )
    information = -(curvature + curvature.T) / 2
    identified = bool(len(free) and np.all(np.linalg.eigvalsh(information) > 1e-6))
    covariance = np.zeros((len(found.x), len(found.x)))
    if identified:
        covariance[np.ix_(free, free)] = np.linalg.inv(information)
    return Fit(natural(found.x), found.x, natural, covariance, float(-found.fun * rows), rows, identified)


def _checked(x, t_x, age) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, t_x, age = (np.asarray(part, float) for part in (x, t_x, age))
    faults = [
        said
        for said, wrong in (
            ("a number of repeat purchases is no whole number of 0 or more", (x < 0) | (x != np.floor(x))),
            ("a last purchase lies after the end of observation, or before the first", (t_x > age) | (t_x < 0)),
            ("a customer without repeat purchases has one later than the first", (x == 0) & (t_x != 0)),
        )
        if np.any(wrong)
    ]
    if len(x) == 0 or x.sum() == 0:
        faults.append("no customer came back: there is nothing to estimate")
    if faults:
        raise errors.Faults("purchases", faults)
    return x, t_x, age


def fit_purchases(x, t_x, age) -> Fit:
    """
    BG/NBD: purchases come at a customer's own rate, and after each the customer may stop for good.

    ``ln L = ln G(r+x)/G(r) + r ln alpha + ln B(a, b+x)/B(a, b) + ln(A3 + [x > 0] A4)`` with
    ``A3 = (alpha + T)^-(r+x)`` and ``A4 = a / (b + x - 1) (alpha + t_x)^-(r+x)``, the beta functions written so that
    ``A3`` carries ``G(a+b) G(b+x) / (G(b) G(a+b+x))`` (Fader, Hardie and Lee 2005).

    Parameters
    ----------
    x, t_x, age : array of numbers
        Repeat purchases of each customer, week of the last one (0 without) and weeks observed, from the first purchase.

    Returns
    -------
    Fit
        ``r``, ``alpha`` (purchase rates: gamma, in weeks), ``a``, ``b`` (stopping: beta).

    Raises
    ------
    Faults
        Where the arrays contradict one another or nobody came back.

    Examples
    --------
    >>> fit = fit_purchases([2, 1, 0, 4, 0, 1], [30.4, 1.7, 0, 20.0, 0, 30.0], [38.9] * 6)
    >>> sorted(fit.values)
    ['a', 'alpha', 'b', 'r']
    """
    x, t_x, age = _checked(x, t_x, age)
    counts, of_row = np.unique(x, return_inverse=True)
    repeated = x > 0
    below = np.where(repeated, x - 1, 0.0)

    def natural(point):
        stopping, both = float(expit(point[2])), float(np.exp(point[3]))
        r, alpha = np.exp(point[:2]).tolist()
        return {"r": r, "alpha": alpha, "a": both * stopping, "b": both * (1 - stopping)}

    def likelihood(point):
        r, alpha, a, b = natural(point).values()
        logs_end, logs_last = np.log(alpha + age), np.log(alpha + t_x)
        by_count = gammaln(r + counts) - gammaln(r) + gammaln(a + b) + gammaln(b + counts)
        by_count += r * np.log(alpha) - gammaln(b) - gammaln(a + b + counts)
        alive = -(r + x) * logs_end
        stopped = np.where(repeated, np.log(a) - np.log(b + below) - (r + x) * logs_last, -np.inf)
        either = np.logaddexp(alive, stopped)
        w = np.exp(alive - either)
        v = 1 - w
        d_r = digamma(r + counts)[of_row].sum() + len(x) * (np.log(alpha) - digamma(r)) - w @ logs_end - v @ logs_last
        d_alpha = len(x) * r / alpha - (r + x) @ (w / (alpha + age) + v / (alpha + t_x))
        d_both = digamma(a + b) - digamma(a + b + counts)
        d_a = d_both[of_row].sum() + v.sum() / a
        d_b = (d_both + digamma(b + counts) - digamma(b))[of_row].sum() - (v[repeated] / (b + below[repeated])).sum()
        value = by_count[of_row].sum() + either.sum()
        return value, np.array([d_r * r, d_alpha * alpha, a * b / (a + b) * (d_a - d_b), d_a * a + d_b * b])

    start = [np.log(0.5), np.log(max(float(np.median(age)) / 4, 1e-3)), -1.0, 1.0]
    bounds = [(-_ALIKE, _ALIKE), (-_ALIKE, 2 * _ALIKE), (-_ALIKE, _ALIKE), (-_ALIKE, _ALIKE)]
    return _maximum(likelihood, natural, start, bounds, len(x))


def expected_purchases(fit: Fit | dict, weeks) -> np.ndarray:
    """
    Repeat purchases to expect of a new customer within so many weeks.

    ``E[X(t)] = (a+b-1)/(a-1) (1 - (alpha/(alpha+t))^r 2F1(r, b; a+b-1; t/(alpha+t)))``.
    """
    r, alpha, a, b = (fit[name] for name in ("r", "alpha", "a", "b"))
    a = a if abs(a - 1) > 1e-6 else 1 + 1e-6  # the limit there is finite, its formula is not
    t = np.asarray(weeks, float)
    return (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + t)) ** r * hyp2f1(r, b, a + b - 1, t / (alpha + t)))


def expected_of_customers(fit: Fit, x, t_x, age, weeks: float) -> np.ndarray:
    """
    Purchases to expect of known customers in the next weeks, given what each did so far.

    ``E[Y(t)] = (a+b+x-1)/(a-1) (1 - ((alpha+T)/(alpha+T+t))^(r+x) 2F1(r+x, b+x; a+b+x-1; t/(alpha+T+t)))
    / (1 + [x > 0] a/(b+x-1) ((alpha+T)/(alpha+t_x))^(r+x))``.
    """
    r, alpha, a, b = (fit[name] for name in ("r", "alpha", "a", "b"))
    a = a if abs(a - 1) > 1e-6 else 1 + 1e-6
    x, t_x, age = _checked(x, t_x, age)
    end = alpha + age
    series = hyp2f1(r + x, b + x, a + b + x - 1, weeks / (end + weeks))
    above = (a + b + x - 1) / (a - 1) * (1 - (end / (end + weeks)) ** (r + x) * series)
    stopped = np.exp((r + x) * np.log(end / (alpha + t_x))) * a / np.where(x > 0, b + x - 1, 1.0)
    return above / (1 + np.where(x > 0, stopped, 0.0))


def fit_value(x, mean) -> Fit:
    """
    Gamma-Gamma: what a customer's purchases are worth, and how customers differ.

    ``ln L = ln G(px+q) - ln G(px) - ln G(q) + q ln gamma + (px-1) ln m + px ln x - (px+q) ln(gamma + m x)`` for a
    customer whose ``x`` repeat purchases were worth ``m`` on average. It takes value and number of purchases to be
    unrelated (Fader and Hardie 2013).

    Returns
    -------
    Fit
        ``p``, ``q``, ``gamma``, the last in the unit of ``mean``.

    Raises
    ------
    Faults
        Where a value or a number of purchases is not above zero.
    """
    x, mean = np.asarray(x, float), np.asarray(mean, float)
    faults = [
        f"{said} ({int(np.sum(~(part > 0)))} customers)"
        for said, part in (("values are not above zero", mean), ("purchases are not above zero", x))
        if not np.all(part > 0)
    ]
    if faults or not len(x):
        raise errors.Faults("values of purchases", faults or ["no customer with a repeat purchase"])
    unit = float(np.median(mean))
    m = mean / unit
    log_m, log_x = np.log(m), np.log(x)

    def natural(point):
        p, q, scale = np.exp(point).tolist()
        return {"p": p, "q": q, "gamma": q * scale}

    def likelihood(point):
        p, q, gamma = natural(point).values()
        whole = np.log(gamma + x * m)
        value = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(gamma)
        value += (p * x - 1) * log_m + p * x * log_x - (p * x + q) * whole
        d_p = (x * (digamma(p * x + q) - digamma(p * x) + log_m + log_x - whole)).sum()
        d_q = (digamma(p * x + q) - digamma(q) + np.log(gamma) - whole).sum()
        d_gamma = (q / gamma - (p * x + q) / (gamma + x * m)).sum()
        return value.sum(), np.array([d_p * p, d_q * q + d_gamma * gamma, d_gamma * gamma])

    fit = _maximum(likelihood, natural, [1.0, 1.0, 0.0], [(-_ALIKE, _ALIKE)] * 3, len(x))
    in_money = partial(_scaled, natural, unit)
    likelihood_of_money = fit.log_likelihood - len(x) * float(np.log(unit))
    return replace(fit, values=in_money(fit.point), natural=in_money, log_likelihood=likelihood_of_money)


def _scaled(natural: Callable, unit: float, point: np.ndarray) -> dict[str, float]:
    values = natural(point)
    return values | {"gamma": values["gamma"] * unit}


def expected_value(fit: Fit | dict) -> float:
    """Mean value of a purchase over all customers, ``p gamma / (q - 1)``; NaN where ``q`` is 1 or less."""
    return float(fit["p"] * fit["gamma"] / (fit["q"] - 1)) if fit["q"] > 1 else np.nan


def log_error(function: Callable, fits: Sequence[Fit]) -> float:
    """
    Standard error of the logarithm of a positive function of fitted parameters (delta method); NaN where unidentified.

    ``function`` takes one dictionary of parameters for each fit.
    """
    if not all(fit.identified for fit in fits):
        return np.nan
    middle = function(*[fit.values for fit in fits])
    variance, step = 0.0, 1e-4
    for position, fit in enumerate(fits):
        given = [other.values for other in fits]
        gradient = np.zeros(len(fit.point))
        for along, move in enumerate(np.eye(len(fit.point)) * step):
            ends = []
            for sign in (1, -1):
                given[position] = fit.natural(fit.point + sign * move)
                ends.append(np.log(function(*given)))
            gradient[along] = (ends[0] - ends[1]) / (2 * step)
        variance += float(gradient @ fit.covariance @ gradient)
    return float(np.sqrt(variance)) if middle > 0 and np.isfinite(variance) and variance >= 0 else np.nan


def subscriber(
    margin: float,
    retention: float | Sequence[float],
    discount: float,
    first_margin: str = "at_once",
    periods: int | None = None,
) -> float:
    """
    Discounted margin of a subscriber, whose retention a period is observed.

    ``sum over t of margin s(t) / (1 + discount)^t`` with ``s(t)`` the share that is still there after ``t`` periods:
    from ``t = 0`` where the first margin comes at once, from ``t = 1`` where it comes after the first period, from
    those who stayed. Without ``periods`` for ever: ``margin (1 + d) / (1 + d - r)`` or ``margin r / (1 + d - r)``.

    Parameters
    ----------
    margin : float
        Of a period, in any unit of money.
    retention : float or sequence of float
        Share of subscribers who stay, a period; a sequence gives each period's own and its last one holds on.
    discount : float
        A period.
    first_margin : {"at_once", "after_first_period"}
    periods : int, optional
        How many margins are counted.

    Raises
    ------
    ToolkitError
        Where a rate is no rate, the convention is unknown, or the sum would be infinite.

    Examples
    --------
    >>> monthly = 19.95 - 1.50 - 0.50
    >>> round(subscriber(monthly, 0.995, 0.01, "after_first_period"), 2), round(subscriber(monthly, 0.995, 0.01), 2)
    (1190.68, 1208.63)
    """
    rates = np.atleast_1d(np.asarray(retention, float))
    if not len(rates) or not np.all((rates >= 0) & (rates <= 1)) or not discount > -1:
        raise errors.ToolkitError("retention: a share from 0 to 1 is expected, and a discount above -1.")
    if first_margin not in ("at_once", "after_first_period"):
        known = ["at_once", "after_first_period"]
        raise errors.ToolkitError(
            f"first_margin: '{first_margin}' is no convention.{errors.suggest(first_margin, known)}"
        )
    last = float(rates[-1])
    if periods is None and last >= 1 + discount:
        raise errors.ToolkitError("retention: nobody leaves and nothing is discounted. State a number of periods.")
    first = 0 if first_margin == "at_once" else 1
    length = len(rates) + 1 if periods is None else periods + first
    kept = np.concatenate([rates, np.full(max(length - len(rates), 0), last)])[: max(length - 1, 0)]
    staying = np.concatenate([[1.0], np.cumprod(kept)])[:length]
    worth = staying / (1 + discount) ** np.arange(length)
    beyond = worth[-1] * last / (1 + discount - last) if periods is None else 0.0
    return float(margin * (worth[first:].sum() + beyond))
