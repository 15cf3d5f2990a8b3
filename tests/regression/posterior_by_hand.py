"""A posterior written down, not estimated: spend and every draw of every quantity are given."""

import numpy as np
import pandas as pd

from kpitoolkit.regression.posterior import Posterior
from kpitoolkit.regression.problem import problem


def written(
    spend,
    *,
    iroas,
    carryover=0.0,
    half_saturation=1.0,
    slope=1.0,
    peak=0.0,
    window=None,
    frequency="week",
    adstock="geometric",
    saturation="hill",
    channels=None,
    kind="published",
    r_hat=1.0,
    revenue=1000.0,
):
    """Return a Posterior.

    Parameters
    ----------
    spend : array of shape (carry-in + window, channels)
        Currency per period.
    iroas, carryover, half_saturation, slope, peak : arrays that broadcast to (draws, channels)
        half_saturation in multiples of mean active spend.
    """
    spend = np.asarray(spend, dtype=float)
    window = len(spend) if window is None else window
    channels = tuple(channels or (f"channel_{place + 1}" for place in range(spend.shape[1])))
    iroas = np.atleast_2d(np.asarray(iroas, dtype=float))
    shape = (max(len(iroas), len(np.atleast_2d(slope)), len(np.atleast_2d(half_saturation))), len(channels))
    first, step = ("2024-01-07", "7D") if frequency == "week" else ("2015-03-31", "QE")
    last = pd.date_range(first, periods=window, freq=step)[-1]
    frame = pd.DataFrame(spend, pd.date_range(end=last, periods=len(spend), freq=step), list(channels))
    given = problem(
        frame.assign(revenue=revenue), channels, (), frequency, window, adstock=adstock, saturation=saturation
    )
    full = {
        name: np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype=float), shape))
        for name, values in {
            "iroas": iroas,
            "carryover": carryover,
            "half_saturation": half_saturation,
            "slope": slope,
            "peak": peak,
        }.items()
    }
    full["carryover"] = np.maximum(full["carryover"], 1e-12)
    return Posterior(
        problem=given,
        kind=kind,
        **full,
        baseline=np.zeros((shape[0], given.baseline.shape[1])),
        autocorrelation=np.zeros(shape[0]),
        noise=np.full(shape[0], 0.05),
        r_hat=np.full(len(channels), r_hat),
        ess=np.full(len(channels), 1000.0),
        divergences=0,
        extended=0,
        optima=np.zeros(4),
    )
