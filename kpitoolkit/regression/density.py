"""The log posterior of the media model and its exact gradient, compiled: what the optimiser and the sampler climb.

The baseline is linear with Gaussian priors, so it is integrated out by algebra; what remains are the media and the
errors. With ``L`` the AR(1) whitening and ``r = revenue - media``, ``L r ~ N(L X b0, noise^2 I + L X V X' L')``; the
determinant and the quadratic form follow from a matrix as small as the baseline (Woodbury). Rasmussen & Williams,
*Gaussian Processes for Machine Learning* (2006), section 2.7, has the algebra.

A position is one vector: log iROAS of every channel, logit carryover, log half_saturation, then log slope (Hill) and
log peak (delayed adstock) where the model has them, and last atanh autocorrelation and log noise.
"""

import numpy as np
from numba import njit

SMALLEST_PRESSURE = 1e-6
LOG_THREE = np.log(3.0)
LARGEST_ATANH = 5.0  # an autocorrelation of 0.9999
FARTHEST = 20.0  # of log or logit scales: beyond, the posterior has no mass and numbers no meaning
GEOMETRIC, DELAYED = 0, 1
HILL, LOGISTIC = 0, 1


@njit(cache=True, nogil=True, error_model="numpy")
def reach(spend, window, periods, adstock, saturation, carryover, half_saturation, slope, peak, share, by):
    """Write the share of the ceiling reached in each period, and its derivatives, into `share` and `by`.

    Parameters
    ----------
    spend : array of shape (carry-in + window,)
    window : int
    share : array of shape (window,)
    by : array of shape (4, window)
        Derivatives by logit carryover, log half_saturation, log slope, log peak.
    """
    weights, moved, shifted = np.empty(periods), np.empty(periods), np.empty(periods)
    logarithm = np.log(carryover)
    total = total_moved = total_shifted = 0.0
    # The weights are normalised in the end: counted from the nearest lag, a peak far beyond the last cannot underflow.
    least = 0.0 if adstock == GEOMETRIC else min((peak - min(max(round(peak), 0.0), periods - 1.0)) ** 2, 1e12)
    for lag in range(periods):
        power = float(lag) if adstock == GEOMETRIC else (lag - peak) ** 2
        weight = np.exp((power - least) * logarithm)
        weights[lag] = weight
        moved[lag] = power * weight * (1 - carryover)  # d carryover / d logit = c (1 - c)
        shifted[lag] = -2 * (lag - peak) * logarithm * weight * peak if adstock == DELAYED else 0.0
        total += weight
        total_moved += moved[lag]
        total_shifted += shifted[lag]
    before = len(spend) - window
    log_half = np.log(half_saturation)
    kept_last = np.exp(periods * logarithm)  # geometric: what would be left after the last lag
    pressure = pressure_moved = 0.0
    start = 0 if adstock == GEOMETRIC else before
    for place in range(start, len(spend)):
        if adstock == GEOMETRIC:  # each period keeps a share of the last one's sum
            gone = spend[place - periods] if place >= periods else 0.0
            pressure_moved = carryover * (pressure_moved + (1 - carryover) * pressure)
            pressure_moved -= periods * kept_last * gone * (1 - carryover)
            pressure = max(spend[place] + carryover * pressure - kept_last * gone, 0.0)
            if place < before:
                continue
            summed, summed_moved, summed_shifted = pressure, pressure_moved, 0.0
        else:
            summed = summed_moved = summed_shifted = 0.0
            for lag in range(min(periods, place + 1)):
                amount = spend[place - lag]
                summed += weights[lag] * amount
                summed_moved += moved[lag] * amount
                summed_shifted += shifted[lag] * amount
        row = place - before
        felt = summed / total
        by_kept = (summed_moved - felt * total_moved) / total
        by_peak = (summed_shifted - felt * total_shifted) / total
        if saturation == HILL:
            logit = slope * (np.log(felt + SMALLEST_PRESSURE) - log_half)
            reached = 1 / (1 + np.exp(-logit))
            steep = reached * (1 - reached)
            by_pressure = steep * slope / (felt + SMALLEST_PRESSURE)
            by[1, row] = -steep * slope
            by[2, row] = steep * logit
        else:
            scaled = felt * LOG_THREE / (2 * half_saturation)
            reached = np.tanh(scaled)
            by_pressure = (1 - reached * reached) * LOG_THREE / (2 * half_saturation)
            by[1, row] = -(1 - reached * reached) * scaled
            by[2, row] = 0.0
        share[row] = reached
        by[0, row] = by_pressure * by_kept
        by[3, row] = by_pressure * by_peak


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(lower, right):
    """Solve ``lower lower' x = right`` for a Cholesky factor."""
    size = len(right)
    found = right.copy()
    for row in range(size):
        for column in range(row):
            found[row] -= lower[row, column] * found[column]
        found[row] /= lower[row, row]
    for row in range(size - 1, -1, -1):
        for column in range(row + 1, size):
            found[row] -= lower[column, row] * found[column]
        found[row] /= lower[row, row]
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def log_posterior(position, gradient, revenue, spend, spent, baseline, baseline_prior, products, prior, kind, tests):
    """Return the log posterior up to a constant, and write its gradient.

    Parameters
    ----------
    position, gradient : array of shape (dimensions,)
    revenue : array of shape (window,)
        Over its mean.
    spend : array of shape (channels, carry-in + window)
        In multiples of the window's mean active spend.
    spent : array of shape (channels,)
        Window spend over mean revenue per period.
    baseline : array of shape (window, columns)
    baseline_prior : array of shape (2, columns)
        Means and precisions.
    products : array of shape (3, columns, columns)
        `baseline_products`.
    prior : tuple of arrays
        Mean of shape (dimensions,), precision of shape (dimensions, dimensions).
    kind : tuple of int
        Adstock, saturation, periods of carry-over.
    tests : array of shape (lift tests, 8)
        Channel, first and last row, spend of these rows less the spend compared with over mean revenue, log iROAS
        measured, its standard deviation; the spend compared with: times what factor, plus what level in each row.

    Returns
    -------
    float
    """
    adstock, saturation, periods = kind
    channels, window = spend.shape[0], len(revenue)
    columns = baseline.shape[1]
    has_slope, has_peak = saturation == HILL, adstock == DELAYED
    at_peak = (3 + has_slope) * channels
    size = len(position)
    mean, precision = prior
    value = 0.0
    for row in range(size):
        gradient[row] = 0.0
        if not abs(position[row]) < FARTHEST:
            return -np.inf
    if not abs(position[size - 2]) < LARGEST_ATANH:
        return -np.inf
    for row in range(size):
        pull = 0.0
        for column in range(size):
            pull += precision[row, column] * (position[column] - mean[column])
        value -= 0.5 * pull * (position[row] - mean[row])
        gradient[row] = -pull
    share, by = np.empty((channels, window)), np.empty((channels, 4, window))
    carryover, half, slope, peak = np.empty(channels), np.empty(channels), np.ones(channels), np.zeros(channels)
    brought, reached = np.empty(channels), np.empty(channels)
    residual = revenue.copy()
    for channel in range(channels):
        carryover[channel] = 1 / (1 + np.exp(-position[channels + channel]))
        half[channel] = np.exp(position[2 * channels + channel])
        if has_slope:
            slope[channel] = np.exp(position[3 * channels + channel])
        if has_peak:
            peak[channel] = np.exp(position[at_peak + channel])
        reach(
            spend[channel], window, periods, adstock, saturation,
            carryover[channel], half[channel], slope[channel], peak[channel], share[channel], by[channel],
        )  # fmt: skip
        reached[channel] = share[channel].sum()
        brought[channel] = np.exp(position[channel]) * spent[channel] / reached[channel]
        for row in range(window):
            residual[row] -= brought[channel] * share[channel, row]
    # errors and baseline
    rho, noise = np.tanh(position[size - 2]), np.exp(position[size - 1])
    first = np.sqrt(1 - rho * rho)
    for column in range(columns):
        for row in range(window):
            residual[row] -= baseline[row, column] * baseline_prior[0, column]
    matrix = (products[0] - rho * products[1] + rho * rho * products[2]) / noise**2
    own = matrix.copy()
    for column in range(columns):
        matrix[column, column] += baseline_prior[1, column]
    lower = np.linalg.cholesky(matrix)
    product = _normal(residual, rho)
    right = np.zeros(columns)
    for column in range(columns):
        for row in range(window):
            right[column] += baseline[row, column] * product[row]
        right[column] /= noise**2
    fitted = _solve(lower, right)
    squares, penalty = 0.0, 0.0
    error = residual.copy()
    for column in range(columns):
        for row in range(window):
            error[row] -= baseline[row, column] * fitted[column]
        penalty += fitted[column] ** 2 * baseline_prior[1, column]
        value -= np.log(lower[column, column])
    product = _normal(error, rho)
    for row in range(window):
        squares += error[row] * product[row]
    value += np.log(first) - window * np.log(noise) - 0.5 * squares / noise**2 - 0.5 * penalty
    # by autocorrelation and noise: the baseline stands at its best, so only the explicit terms move
    inverse = np.empty((columns, columns))
    for column in range(columns):
        unit = np.zeros(columns)
        unit[column] = 1.0
        inverse[column] = _solve(lower, unit)
    turned = 2 * rho * products[2] - products[1]
    trace_rho = trace_noise = moved = 0.0
    for row in range(columns):
        for column in range(columns):
            trace_rho += inverse[row, column] * turned[row, column] / noise**2
            trace_noise += inverse[row, column] * own[row, column]
    for row in range(1, window):
        moved -= 2 * error[row] * error[row - 1]
        if row < window - 1:
            moved += 2 * rho * error[row] ** 2
    by_rho = -rho / (1 - rho * rho) - 0.5 * trace_rho - 0.5 * moved / noise**2
    gradient[size - 2] += by_rho * (1 - rho * rho)
    gradient[size - 1] += -window + trace_noise + squares / noise**2
    # by the media
    for channel in range(channels):
        along = 0.0
        for row in range(window):
            along += product[row] * share[channel, row]
        along /= noise**2
        gradient[channel] += brought[channel] * along
        for quantity in range(4):
            place = _place(quantity, channel, channels, has_slope, has_peak, at_peak)
            if place < 0:
                continue
            turn = change = 0.0
            for row in range(window):
                turn += product[row] * by[channel, quantity, row]
                change += by[channel, quantity, row]
            gradient[place] += brought[channel] * (turn / noise**2 - along * change / reached[channel])
    # lift tests: what the spend of the test's periods brought more (or less, as it was less) than the spend compared
    # with, until its carry-over ended
    for test in range(tests.shape[0]):
        channel, start, stop = int(tests[test, 0]), int(tests[test, 1]), int(tests[test, 2])
        other_share, other_by = np.empty(window), np.empty((4, window))
        other = spend[channel].copy()
        before = len(other) - window
        for row in range(before + start, before + stop + 1):
            other[row] = tests[test, 6] * other[row] + tests[test, 7]
        reach(
            other, window, periods, adstock, saturation,
            carryover[channel], half[channel], slope[channel], peak[channel], other_share, other_by,
        )  # fmt: skip
        lifted = 0.0
        for row in range(start, min(stop + periods, window)):
            lifted += share[channel, row] - other_share[row]
        if not lifted / tests[test, 3] > 0:
            return -np.inf
        gap = np.log(brought[channel] * lifted / tests[test, 3]) - tests[test, 4]
        pull = gap / tests[test, 5] ** 2
        value -= 0.5 * pull * gap
        gradient[channel] -= pull
        for quantity in range(4):
            place = _place(quantity, channel, channels, has_slope, has_peak, at_peak)
            if place < 0:
                continue
            turn, change = 0.0, 0.0
            for row in range(start, min(stop + periods, window)):
                turn += by[channel, quantity, row] - other_by[quantity, row]
            for row in range(window):
                change += by[channel, quantity, row]
            gradient[place] -= pull * (turn / lifted - change / reached[channel])
    return value if np.isfinite(value) else -np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def _place(quantity, channel, channels, has_slope, has_peak, at_peak):
    """Where a quantity of a channel stands in the position; -1 where the model lacks it."""
    if quantity == 2 and not has_slope:
        return -1
    if quantity == 3:
        return at_peak + channel if has_peak else -1
    return (1 + quantity) * channels + channel


@njit(cache=True, nogil=True, error_model="numpy")
def _normal(values, rho):
    """Return ``L'L values`` for the whitening of a stationary AR(1)."""
    window = len(values)
    product = np.empty(window)
    for row in range(window):
        inner = 1 + rho * rho if 0 < row < window - 1 else 1.0
        product[row] = inner * values[row]
        if row > 0:
            product[row] -= rho * values[row - 1]
        if row < window - 1:
            product[row] -= rho * values[row + 1]
    return product


@njit(cache=True, nogil=True, error_model="numpy")
def whitened(coordinates, gradient, centre, root, scratch, inputs):
    """Return the log posterior at ``centre + root coordinates``, and its gradient by the coordinates.

    Parameters
    ----------
    centre : array of shape (dimensions,)
    root : array of shape (dimensions, dimensions)
        Lower triangular.
    scratch : array of shape (dimensions,)
    inputs : tuple
        What `log_posterior` takes after the gradient.
    """
    size = len(coordinates)
    position = centre.copy()
    for row in range(size):
        for column in range(row + 1):
            position[row] += root[row, column] * coordinates[column]
    revenue, spend, spent, baseline, baseline_prior, products, prior, kind, tests = inputs
    value = log_posterior(
        position, scratch, revenue, spend, spent, baseline, baseline_prior, products, prior, kind, tests
    )
    for column in range(size):
        total = 0.0
        for row in range(column, size):
            total += root[row, column] * scratch[row]
        gradient[column] = total
    return value


def baseline_products(baseline: np.ndarray) -> np.ndarray:
    """Return the three matrices of which ``X' L'L X = G0 - rho G1 + rho^2 G2``.

    Examples
    --------
    >>> baseline_products(np.ones((4, 1))).ravel().tolist()
    [4.0, 6.0, 2.0]
    """
    crossed = baseline[1:].T @ baseline[:-1]
    return np.stack([baseline.T @ baseline, crossed + crossed.T, baseline[1:-1].T @ baseline[1:-1]])
