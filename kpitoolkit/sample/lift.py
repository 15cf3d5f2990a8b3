"""The sample company's lift tests: what a channel truly brought in some weeks, and what an experiment measured of it.

The truth follows the model's own definition: modelled revenue with the spend less modelled revenue without the spend of
the test's weeks, from the first of them until the carry-over of the last has ended, over the spend of the test's weeks.
The measured value is the truth times a log-normal error, from a stream of chance of its own.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.sample.spec import ADSTOCK_WEEKS, FIRST_MONDAY, WEEKS, WINDOW_WEEKS, generator
from kpitoolkit.sample.weeks import adstock

LEVEL = 0.90
REACH = 1.6448536269514722  # standard errors on either side of a 90% interval


@dataclass(frozen=True)
class Test:
    """A test of one channel in whole weeks, and the standard error of the log of what it measures."""

    unit: str
    channel: str
    first_day: np.datetime64
    last_day: np.datetime64
    log_sd: float
    source: str


TESTS = (
    Test(
        "retail-it", "tv", np.datetime64("2025-09-01"), np.datetime64("2025-10-12"), 0.15,
        "Test geografico: 8 regioni senza spot",
    ),
    Test(
        "online-eu", "social", np.datetime64("2025-05-19"), np.datetime64("2025-07-13"), 0.18,
        "Geo experiment, 30% of postcodes held out",
    ),
)  # fmt: skip


def build(unit, spend, seed):
    """Rows of `lift_tests` and of their truth, of one unit.

    Parameters
    ----------
    spend : DataFrame
        The unit's rows of `ad_spend`, with `net_cents`.
    """
    said, true = [], []
    for test in TESTS:
        if test.unit != unit.key:
            continue
        channel = next(each for each in unit.channels if each.name == test.channel)
        spent, lift = lifted(channel, weekly_cents(spend, test.channel), *weeks_of(test))
        known = {"unit": unit.key, "channel": test.channel, "first_day": test.first_day, "last_day": test.last_day}
        measured = lift / spent * np.exp(generator(seed, unit, "lift test").normal(0, test.log_sd))
        low, high = measured * np.exp(-REACH * test.log_sd), measured * np.exp(REACH * test.log_sd)
        figures = {"iroas": round(measured, 2), "low": round(low, 2), "high": round(high, 2), "level": LEVEL}
        said.append({**known, **figures, "source": test.source})
        cents = {"spend_cents": int(spent), "lift_cents": round(lift)}
        true.append({**known, **cents, "iroas": round(lift / spent, 6), "log_sd": test.log_sd})
    return said, true


def weekly_cents(spend, channel):
    """A channel's spend net of VAT by week, in cents."""
    mine = spend[spend["platform"] == channel]
    week = (mine["day"].to_numpy().astype("datetime64[D]") - FIRST_MONDAY).astype(np.int64) // 7
    return np.bincount(week, mine["net_cents"].to_numpy(), minlength=WEEKS)


def weeks_of(test):
    """First week and week after the last of a test."""
    days = (np.array([test.first_day, test.last_day + 1]) - FIRST_MONDAY).astype(np.int64)
    return days // 7


def lifted(channel, weekly, start, stop):
    """Spend of the weeks from `start` up to `stop`, and what the channel truly brought with it, in cents."""
    scale = weekly[WINDOW_WEEKS][weekly[WINDOW_WEEKS] > 0].mean()
    without = np.where((np.arange(WEEKS) >= start) & (np.arange(WEEKS) < stop), 0, weekly)
    pressure = [adstock(each / scale, channel.carryover) for each in (weekly, without)]
    curve, other = (each / (each + channel.half_saturation) for each in pressure)
    ceiling = channel.iroas * weekly[WINDOW_WEEKS].sum() / curve[WINDOW_WEEKS].sum()
    reached = slice(start, stop + ADSTOCK_WEEKS - 1)
    return weekly[start:stop].sum(), ceiling * (curve - other)[reached].sum()


def table(rows):
    """Rows as a frame, days as days."""
    return pd.DataFrame(rows).astype({"first_day": "datetime64[s]", "last_day": "datetime64[s]"})
