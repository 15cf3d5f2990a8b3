"""A small company whose truth is known, for tests of what is asked of a posterior."""

import numpy as np
import pandas as pd

from kpitoolkit.regression import transforms
from kpitoolkit.regression.problem import Problem, problem

CARRY_IN = 12
SHAPES = {"search": (0.2, 1.0), "tv": (0.5, 2.0)}
CONTROLS = {
    "price_index": lambda draw, rows: 100 + draw.normal(0, 2, rows),
    "promotion_days": lambda draw, rows: draw.integers(0, 4, rows).astype(float),
    "holiday_days": lambda draw, rows: (draw.random(rows) < 0.1).astype(float),
}


def frame(weeks=120, seed=0, noise=20.0, iroas=(4.0, 1.0), kept=0.3, controls=("promotion_days",)):
    """Revenue of about 1000 a week, search always on and TV in flights, AR(1) errors; only promotions move revenue."""
    draw = np.random.default_rng(seed)
    rows = weeks + CARRY_IN
    ends = pd.date_range("2026-09-27", periods=rows, freq="-7D")[::-1]
    found = pd.DataFrame({"revenue": 800.0}, index=pd.DatetimeIndex(ends, name="week_end"))
    found["search"] = 40 * draw.gamma(4, 0.25, rows)
    found["tv"] = 60 * draw.gamma(2, 0.5, rows) * (np.arange(rows) // 5 % 2)
    for name in controls:
        found[name] = CONTROLS[name](draw, rows)
    for (name, (carryover, half)), value in zip(SHAPES.items(), iroas, strict=True):
        response = transforms.response(found[name], carryover, half, window=weeks)
        found.loc[found.index[CARRY_IN:], "revenue"] += value * response
    error = np.zeros(rows)
    for at in range(1, rows):
        error[at] = kept * error[at - 1] + draw.normal(0, noise)
    found["revenue"] += 10 * (found["promotion_days"] - 1.5) + error
    return found


def given(weeks=120, seed=0, **stated) -> Problem:
    """The same as a problem; `priors` and `lift_tests` as in `problem`."""
    asked = {name: stated.pop(name) for name in ("priors", "lift_tests", "saturation") if name in stated}
    return problem(frame(weeks, seed, **stated), list(SHAPES), ["promotion_days"], window=weeks, **asked)


def alone(revenue, spend, frequency="week", ends=None) -> Problem:
    """One channel, no controls, no carry-in."""
    ends = pd.date_range("2023-10-08", periods=len(revenue), freq="7D") if ends is None else ends
    return problem(pd.DataFrame({"revenue": revenue, "search": spend}, index=ends), ["search"], frequency=frequency)
