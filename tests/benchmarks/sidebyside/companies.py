"""Simulated companies with known returns: five channels, 104 weeks and 12 carry-in weeks, in nine families.

Standard library, numpy and pandas only: peers' environments import it, and nothing of the toolkit. A family states what
the world is like, before anybody looked at what an estimator makes of it; no number here comes from a prior. Revenue is
baseline plus contributions of the channels plus an error. Each channel's iROAS over the window is drawn first, and its
response is scaled to it. 40 weeks before the carry-in are simulated and dropped, so that no channel starts cold.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

WEEKS, CARRY_IN, BEFORE = 104, 12, 40
CHANNELS = ("search", "social", "tv", "display", "mail")
CONTROLS = ("price_index", "promotion_days", "holiday_days")
YEAR = 365.25 / 7
LAGS = 13
STEP = 1e-4


@dataclass(frozen=True, eq=False)
class Company:
    """What is seen of a company, and its truth.

    Attributes
    ----------
    family, seed : str, int
    frame : DataFrame of shape (CARRY_IN + WEEKS, ...)
        `period_end` (Sundays), `revenue`, a column of spend per channel, the controls. Currency a week. Revenue of the
        carry-in weeks is there for those who can use it.
    contributions : DataFrame of shape (WEEKS, channels)
        True modelled revenue by channel in the window.
    truth : DataFrame by channel
        `spend` and `contribution` of the window, `iroas`, `mroas` (return of the next euro with all the window's spend
        scaled up and the carry-in held), and the shape.
    """

    family: str
    seed: int
    frame: pd.DataFrame
    contributions: pd.DataFrame
    truth: pd.DataFrame

    @property
    def spend(self) -> pd.DataFrame:
        """Spend of the carry-in and the window, by channel."""
        return self.frame[list(CHANNELS)]

    @property
    def total_iroas(self) -> float:
        """All channels' true contribution in the window over all spend in it."""
        return float(self.truth["contribution"].sum() / self.truth["spend"].sum())

    @property
    def total_mroas(self) -> float:
        """Return of the next euro where every channel is scaled up alike."""
        return float((self.truth["mroas"] * self.truth["spend"]).sum() / self.truth["spend"].sum())


def in_family(draw):
    """Hill saturation and geometric adstock, linear trend, two harmonics, AR(1) errors.

    Slopes lognormal(0.1, 0.3), half-saturation lognormal(log 2, 0.7) in multiples of mean active spend. Carryover by
    kind of channel: uniform 0 to 0.4 where always on, 0.3 to 0.8 for TV, 0.1 to 0.6 for display and mail. All media
    bring 15 to 30% of revenue; iROAS differs between channels with a log sd of 0.6.
    """
    return {"spend": _spend(draw), "shapes": [_hill(draw, name) for name in CHANNELS]}


def half_logistic(draw):
    """As in family, but every second channel saturates logistically: tanh of pressure, with the same half point."""
    parts = in_family(draw)
    for shape in parts["shapes"][1::2]:
        shape["curve"] = "logistic"
    return parts


def convex(draw):
    """Another simulator: convex responses, a multiplicative baseline, and budgets planned by the quarter.

    Responses: Hill of slope 1.8 to 3 with half-saturation 0.8 to 2 for three channels, and a power of pressure, 1.2 to
    1.6, without any ceiling for two, in random order. Season is a peak before Christmas and a dip in summer, growth
    bends once; both multiply the baseline, and budgets of all channels rise with the season. Flights of TV are few and
    heavy; search moves little.
    """
    shapes = [_hill(draw, name) for name in CHANNELS]
    for place, shape in enumerate(np.array(shapes, dtype=object)[draw.permutation(len(CHANNELS))]):
        if place < 3:
            shape |= {"slope": draw.uniform(1.8, 3), "half_saturation": draw.uniform(0.8, 2)}
        else:
            shape |= {"curve": "power", "slope": draw.uniform(1.2, 1.6), "half_saturation": np.nan}
    return {"spend": _planned_spend(draw), "shapes": shapes, "baseline": _bent_baseline(draw)}


def delayed(draw):
    """As in family, but pressure peaks one to four weeks after the spend: weights kept ** ((lag - peak) ** 2)."""
    parts = in_family(draw)
    for shape in parts["shapes"]:
        shape |= {"peak": draw.uniform(1, 4), "carryover": draw.uniform(0.5, 0.85)}
    return parts


def strong_saturation(draw):
    """As in family, but half of the ceiling is reached at 0.3 to 0.6 of mean active spend."""
    parts = in_family(draw)
    for shape in parts["shapes"]:
        shape["half_saturation"] = draw.uniform(0.3, 0.6)
    return parts


def rough_noise(draw):
    """As in family, but with AR(2) errors of twice the size, and of a size that itself wanders by a third."""
    return in_family(draw) | {"noise": 2.0, "second": 0.25, "wander": 0.35}


def small_returns(draw):
    """As in family, on the same baseline, but every channel brings a fifth."""
    return in_family(draw) | {"returns": 0.2}


def large_returns(draw):
    """As in family, on the same baseline, but every channel brings three times as much."""
    return in_family(draw) | {"returns": 3.0}


def confounder(draw):
    """As in family, but demand that nobody records moves revenue and the budget of search in the same week.

    Demand is AR(1) with 0.3; a standard deviation of it is 3.5% of the baseline's revenue, and 35% of search's spend.
    """
    parts = in_family(draw)
    demand = _autoregression(draw, WEEKS + CARRY_IN + BEFORE, 0.3, 0.0)
    parts["spend"]["search"] *= np.exp(0.35 * demand)
    return parts | {"demand": 0.035 * demand}


FAMILIES = {
    family.__name__: family
    for family in (
        *(in_family, half_logistic, convex, delayed, strong_saturation, rough_noise),
        *(small_returns, large_returns, confounder),
    )
}


def company(family: str, seed: int) -> Company:
    """Draw a company of a family; the same family and seed give the same digits."""
    draw = np.random.default_rng([seed, *family.encode()])
    size = draw.lognormal(np.log(1e6), 1.0)  # currency a week
    parts = FAMILIES[family](draw)
    rows = WEEKS + CARRY_IN + BEFORE
    window = slice(CARRY_IN + BEFORE, rows)
    ends = pd.date_range("2023-10-08", periods=rows, freq="7D")
    controls = _controls(draw, rows)
    baseline = parts["baseline"] if "baseline" in parts else _baseline(draw)
    effect = np.array([draw.normal(-0.03, 0.02), draw.normal(0.03, 0.015), draw.normal(0.02, 0.02)])
    baseline = baseline + _standard(controls.to_numpy()) @ effect + parts.get("demand", 0.0)

    share = draw.uniform(0.15, 0.30)
    spend = parts["spend"]
    spend *= share / 2 / draw.lognormal(0, 0.5) * WEEKS / spend.iloc[window].to_numpy().sum()
    spent = spend.iloc[window].sum().to_numpy()
    iroas = np.exp(draw.normal(0, 0.6, len(CHANNELS)))
    iroas *= share / (1 - share) * baseline[window].sum() / (iroas @ spent) * parts.get("returns", 1.0)
    contributions, mroas = np.empty((rows, len(CHANNELS))), np.empty(len(CHANNELS))
    for place, (name, shape) in enumerate(zip(CHANNELS, parts["shapes"], strict=True)):
        active = spend[name].iloc[window]
        multiples = (spend[name] / active[active > 0].mean()).to_numpy()
        reached = response(multiples, shape)
        ceiling = iroas[place] * spent[place] / reached[window].sum()
        inside = np.arange(rows) >= window.start
        more, less = (response(multiples * np.where(inside, by, 1), shape) for by in (1 + STEP, 1 - STEP))
        contributions[:, place] = ceiling * reached
        mroas[place] = ceiling * (more - less)[window].sum() / (2 * STEP) / spent[place]

    kept, size_of_error = draw.uniform(0.2, 0.6), draw.uniform(0.04, 0.05)
    error = _autoregression(draw, rows, kept, parts.get("second", 0.0))
    if "wander" in parts:
        error = error * np.exp(parts["wander"] * _autoregression(draw, rows, 0.9, 0.0))
    error = error * size_of_error * parts.get("noise", 1.0) * (baseline + contributions.sum(axis=1))[window].mean()
    revenue = baseline + contributions.sum(axis=1) + error
    if revenue.min() <= 0:
        raise ValueError(f"{family}, seed {seed}: revenue of {revenue.min():.2f} of its usual size")

    frame = pd.DataFrame({"period_end": ends, "revenue": revenue * size})
    frame = pd.concat([frame, (spend * size).set_axis(frame.index), controls.set_axis(frame.index)], axis=1)
    truth = pd.DataFrame(parts["shapes"], index=pd.Index(CHANNELS, name="channel"))
    truth = truth.assign(spend=spent * size, contribution=iroas * spent * size, iroas=iroas, mroas=mroas)
    seen = pd.DataFrame(contributions[window] * size, columns=list(CHANNELS), index=ends[window])
    return Company(family, seed, frame.iloc[BEFORE:].reset_index(drop=True), seen, truth)


def response(multiples: np.ndarray, shape: dict) -> np.ndarray:
    """Return a channel's response to spend in multiples of its mean active spend: adstock, then its curve."""
    lag = np.arange(LAGS)
    weights = shape["carryover"] ** (lag if np.isnan(shape["peak"]) else (lag - shape["peak"]) ** 2)
    pressure = np.convolve(multiples, weights / weights.sum())[: len(multiples)]
    if shape["curve"] == "power":
        return pressure ** shape["slope"]
    ratio = pressure / shape["half_saturation"]
    if shape["curve"] == "logistic":
        return np.tanh(np.log(3) / 2 * ratio)  # 0.5 at a ratio of one
    return ratio ** shape["slope"] / (1 + ratio ** shape["slope"])


def _hill(draw, name):
    low, high = {"search": (0, 0.4), "social": (0, 0.4), "tv": (0.3, 0.8)}.get(name, (0.1, 0.6))
    return {
        "curve": "hill",
        "carryover": draw.uniform(low, high),
        "peak": np.nan,
        "half_saturation": draw.lognormal(np.log(2), 0.7),
        "slope": draw.lognormal(0.1, 0.3),
    }


def _spend(draw):
    """Search and social always on, with slow moves of the budget; TV and display in flights; mail in pulses."""
    rows = WEEKS + CARRY_IN + BEFORE
    season = np.cos(2 * np.pi * (np.arange(rows) - draw.uniform(0, YEAR)) / YEAR)
    spend = {}
    for name in CHANNELS:
        level = np.exp(draw.normal(0, 0.2, rows) + draw.uniform(-0.1, 0.3) * season)
        if name in ("search", "social"):
            level = level * np.exp(0.35 * np.repeat(draw.normal(size=rows // 6 + 1), 6)[:rows])
        elif name == "mail":
            level = level * _running(draw, rows, (1, 2), (2, 7))
        else:
            level = level * _running(draw, rows, (3, 8), (2, 8))
        spend[name] = level * draw.lognormal(0, 0.7) / level.mean()
    return pd.DataFrame(spend)


def _planned_spend(draw):
    """Budgets by the quarter that rise with the season; TV in few heavy flights, search with little movement."""
    rows = WEEKS + CARRY_IN + BEFORE
    season = _retail_season(rows)
    spend = {}
    for name in CHANNELS:
        quarter = np.repeat(draw.lognormal(0, 0.3, rows // 13 + 1), 13)[:rows]
        level = quarter * (1 + draw.uniform(0.5, 1.5) * season) * draw.lognormal(0, 0.1, rows)
        if name == "tv":
            level = level * _running(draw, rows, (2, 4), (6, 12)) * draw.lognormal(0, 0.4, rows)
        elif name in ("display", "mail"):
            level = level * (draw.random(rows) < 0.45) * draw.lognormal(0, 0.5, rows)
        elif name == "social":
            level = level * np.where(_running(draw, rows, (3, 5), (3, 5)) > 0, 1.8, 0.6)
        spend[name] = np.maximum(level, 0) * draw.lognormal(0, 0.7) / level.mean()
    return pd.DataFrame(spend)


def _running(draw, rows, on, off):
    """Return 1 in weeks on air, 0 in pauses; lengths are drawn from both ranges, ends included."""
    running, at = np.zeros(rows), draw.integers(0, off[1])
    while at < rows:
        length = draw.integers(on[0], on[1] + 1)
        running[at : at + length] = 1
        at += length + draw.integers(off[0], off[1] + 1)
    return running


def _baseline(draw):
    """Around one: a straight trend and two harmonics."""
    week = np.arange(WEEKS + CARRY_IN + BEFORE)
    angle = 2 * np.pi * (week - draw.uniform(0, YEAR)) / YEAR
    first, second, shift = draw.uniform(0.03, 0.15), draw.uniform(0, 0.06), draw.uniform(0, 2 * np.pi)
    return (
        1
        + draw.normal(0.03, 0.06) * (week - week.mean()) / YEAR
        + first * np.cos(angle)
        + second * np.cos(2 * angle + shift)
    )


def _bent_baseline(draw):
    """Around one: growth that bends once, times a retail season."""
    week = np.arange(WEEKS + CARRY_IN + BEFORE)
    bend = draw.integers(60, 130)
    growth = draw.normal(0.04, 0.05) * week + draw.normal(0, 0.08) * np.maximum(week - bend, 0)
    growth = np.exp(growth / YEAR)
    return growth / growth.mean() * (1 + draw.uniform(0.3, 0.6) * _retail_season(len(week)))


def _retail_season(rows):
    """Up to about 0.6 in the weeks before Christmas, down to -0.15 in summer; the first row is in October."""
    week = (np.arange(rows) + 40) % YEAR
    return 0.6 * np.exp(-(((week - 49) / 2.5) ** 2)) - 0.15 * np.exp(-(((week - 31) / 4) ** 2))


def _controls(draw, rows):
    steps = np.repeat(draw.normal(size=rows // 4 + 1), 4)[:rows]
    promotion = draw.binomial(7, 0.4, rows) * (draw.random(rows) < 0.3)
    holiday = draw.integers(1, 3, rows) * (draw.random(rows) < 0.1)
    return pd.DataFrame(dict(zip(CONTROLS, (100 + 3 * steps, promotion, holiday), strict=True)))


def _standard(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _autoregression(draw, rows, first, second):
    """AR(2) of sd one; with `second` 0, AR(1)."""
    variance = (1 - second) / ((1 + second) * ((1 - second) ** 2 - first**2))
    shock = draw.normal(size=rows + 100)
    value = np.zeros(rows + 100)
    for at in range(2, rows + 100):
        value[at] = first * value[at - 1] + second * value[at - 2] + shock[at]
    return value[100:] / np.sqrt(variance)
