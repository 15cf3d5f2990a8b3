"""How well a model forecasts what it has not seen: rolling origins, spend and controls given.

Each origin refits a draft on the periods before it. Beside the model stand the seasonal-naive forecast (the same period
a year before) and, for each channel, the model without that channel.
"""

import numpy as np
import pandas as pd

from kpitoolkit.regression import estimate
from kpitoolkit.regression import posterior as posteriors
from kpitoolkit.regression.problem import Problem, cut, without

YEAR = {"week": 52, "quarter": 4}
HORIZON = {"week": 13, "quarter": 1}
ORIGINS, FEWEST_ORIGINS = 4, 2
DRAWS = 60


def rolling_errors(given: Problem, seed: int = 0) -> pd.DataFrame:
    """Forecast each of the last four quarters from what came before it; fewer where the first would lack a past.

    Parameters
    ----------
    given : Problem
    seed : int

    Returns
    -------
    DataFrame
        One row a period that was forecast: period_end, `model`, `seasonal_naive` and `without_<channel>`: absolute
        errors in currency. Every origin has a year and a quarter before it, and more periods than the model has
        coefficients; no rows where that leaves fewer than two quarters to forecast.
    """
    horizon, year = HORIZON[given.frequency], YEAR[given.frequency]
    needed = max(year + horizon, given.baseline.shape[1] + len(given.channels) + 2)
    origins = min(ORIGINS, (given.window - needed) // horizon)
    first = given.window - origins * horizon
    names = ["model", "seasonal_naive", *(f"without_{name}" for name in given.channels)]
    if origins < FEWEST_ORIGINS:
        return pd.DataFrame(columns=["period_end", *names])
    pieces = []
    for origin in range(first, given.window, horizon):
        ahead = slice(origin, origin + horizon)
        seen, true = cut(given, origin), given.revenue[ahead]
        forecasts = [forecast(seen, cut(given, origin + horizon), seed), given.revenue[origin - year :][:horizon]]
        for name in given.channels:
            forecasts.append(forecast(without(seen, name), without(cut(given, origin + horizon), name), seed))
        errors = np.abs(true[:, None] - np.column_stack(forecasts)) * given.scale
        pieces.append(pd.DataFrame(errors, columns=names).assign(period_end=given.period_end[ahead]))
    return pd.concat(pieces, ignore_index=True)[["period_end", *names]]


def forecast(seen: Problem, whole: Problem, seed: int = 0) -> np.ndarray:
    """Return expected revenue of the periods that `whole` has beyond `seen`, over the scale they share.

    A draft is fitted to `seen`; the AR(1) error of its last period dies out over the horizon.

    Parameters
    ----------
    seen : Problem
        `whole`, cut.
    whole : Problem

    Returns
    -------
    array of shape (periods ahead,)
    """
    for name in [name for name, spent in zip(seen.channels, seen.spent, strict=True) if not spent]:
        seen, whole = without(seen, name), without(whole, name)  # not begun yet: nothing is known of it
    post = estimate.draft(seen, seed=seed, draws=DRAWS)
    expected = post.baseline @ whole.baseline.to_numpy().T
    if seen.channels:
        share = posteriors.reached(post, whole.spend, whole.window)
        expected = expected + np.einsum("dtc,dc->dt", share, posteriors.ceiling(post) / seen.scale)
    expected = posteriors.point(expected)
    left = seen.revenue[-1] - expected[seen.window - 1]
    steps = np.arange(1, whole.window - seen.window + 1)
    return expected[seen.window :] + left * float(posteriors.point(post.autocorrelation)) ** steps
