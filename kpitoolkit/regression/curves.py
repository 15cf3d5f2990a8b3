"""What spend would bring: at a constant spend for good, and in the next quarter given what was spent before it.

Everything is worked out draw by draw from a posterior, with exact derivatives. What lies beyond the observed pressure
is told apart: there the curve's shape speaks, not the data.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from kpitoolkit.regression import density
from kpitoolkit.regression import posterior as posteriors
from kpitoolkit.regression.posterior import Posterior, interval, point

HORIZON = {"week": 13, "quarter": 1}
DRAWS = 500
COLUMNS = ["channel", "spend", "contribution", "low", "high", "range"]
POINTS_BELOW, POINTS_OBSERVED, POINTS_ABOVE, ABOVE = 12, 31, 20, 1.5
_AT_ONCE = 200_000


@dataclass(frozen=True, eq=False)
class Forward:
    """The next quarter at a constant spend per channel, by draw.

    Revenue that a channel brings in the quarter's periods, what earlier spend carries into them included, and with the
    tail what the quarter's spend adds to the periods after it, on top of what is spent then.

    Attributes
    ----------
    channels : tuple of str
    periods : int
        Of the quarter.
    now, following, lowest, highest : array of shape (channels,)
        Currency per period: last quarter's mean spend; spend assumed after the quarter; bounds of the observed spend
        (with its carry-over).
    ceiling, half_saturation, slope : array of shape (draws, channels)
        Currency per period; currency per period; no unit.
    carried, own : array of shape (draws, channels, periods of the quarter and of the tail)
        Pressure in currency per period that does not depend on the quarter's spend, and the pressure for one unit of
        currency per period in the quarter.
    saturation : {"hill", "logistic"}
    """

    channels: tuple[str, ...]
    periods: int
    now: np.ndarray
    following: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    ceiling: np.ndarray
    half_saturation: np.ndarray
    slope: np.ndarray
    carried: np.ndarray
    own: np.ndarray
    smallest: np.ndarray
    saturation: str

    def revenue(self, channel: int, spend: np.ndarray) -> np.ndarray:
        """Return modelled revenue of a channel in currency: shape (draws, spends).

        Parameters
        ----------
        channel : int
            Its place in `channels`.
        spend : array of shape (spends,)
            Currency per period.
        """
        without_tail = self._reached(channel, self.carried[:, channel, self.periods :, None])[0].sum(axis=1)
        return self.ceiling[:, channel, None] * (self._summed(channel, spend, slope=False) - without_tail)

    def next_unit(self, channel: int, spend: np.ndarray) -> np.ndarray:
        """Return what the next unit of currency in the quarter brings (mROAS): shape (draws, spends)."""
        return self.ceiling[:, channel, None] / self.periods * self._summed(channel, spend, slope=True)

    def _summed(self, channel: int, spend: np.ndarray, slope: bool) -> np.ndarray:
        spend = np.atleast_1d(np.asarray(spend, dtype=float))
        carried, own = self.carried[:, channel, :, None], self.own[:, channel, :, None]
        many = max(1, _AT_ONCE // (carried.size or 1))
        found = np.empty((len(carried), len(spend)))
        for start in range(0, len(spend), many):
            part = slice(start, start + many)
            reached, steep = self._reached(channel, carried + own * spend[part], slope)
            found[:, part] = (own * steep if slope else reached).sum(axis=1)
        return found

    def _reached(self, channel: int, pressure: np.ndarray, slope: bool = False):
        half, power = self.half_saturation[:, channel, None, None], self.slope[:, channel, None, None]
        return reach(self.saturation, pressure, half, power, self.smallest[channel], slope)


def reach(
    saturation: str,
    pressure: np.ndarray,
    half_saturation: np.ndarray,
    slope: np.ndarray,
    smallest: float = density.SMALLEST_PRESSURE,
    derivative: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the share of the ceiling that a pressure reaches and, where asked for, its derivative by the pressure.

    Hill: ``x^s / (x^s + k^s)``; logistic: ``tanh(x log(3) / (2 k))``. Both reach half the ceiling at ``k``.

    Parameters
    ----------
    pressure, half_saturation, slope : arrays that broadcast
        The first two in the same unit.
    smallest : float
        Added to the pressure before its logarithm, as the model does.

    Examples
    --------
    >>> share, steep = reach("hill", np.array([1.0, 3.0]), 1.0, 1.0, derivative=True)
    >>> share.round(4).tolist(), steep.round(4).tolist()
    ([0.5, 0.75], [0.25, 0.0625])
    >>> reach("logistic", np.array([2.0]), 2.0, 1.0)[0].round(6).tolist()
    [0.5]
    """
    if saturation == "hill":
        at = pressure + smallest
        reached = expit(slope * np.log(at / half_saturation))
        return reached, (reached * (1 - reached) * slope / at if derivative else None)
    turned = density.LOG_THREE / (2 * half_saturation)
    reached = np.tanh(pressure * turned)
    return reached, ((1 - reached**2) * turned if derivative else None)


def weights(adstock: str, carryover: np.ndarray, peak: np.ndarray, periods: int) -> np.ndarray:
    """Return the share of a spend that presses in each of the periods from its own on: shape (..., periods).

    Geometric: ``carryover^lag``; delayed: ``carryover^((lag - peak)^2)``; both normalised to a sum of one.

    Examples
    --------
    >>> weights("geometric", np.array([0.5]), np.array([0.0]), 3).round(4).tolist()
    [[0.5714, 0.2857, 0.1429]]
    """
    lag = np.arange(periods)
    power = lag if adstock == "geometric" else (lag - np.asarray(peak)[..., None]) ** 2
    raw = np.asarray(carryover, dtype=float)[..., None] ** power
    return raw / raw.sum(axis=-1, keepdims=True)


def thinned(draws: int, most: int = DRAWS) -> np.ndarray:
    """Return which of many draws to keep: evenly spaced, the same each time.

    Examples
    --------
    >>> thinned(3).tolist(), thinned(9, most=3).tolist()
    ([0, 1, 2], [0, 4, 8])
    """
    return np.arange(draws) if draws <= most else np.linspace(0, draws - 1, most).round().astype(int)


def last_quarter(post: Posterior) -> np.ndarray:
    """Return mean spend per period of the window's last quarter, in currency: shape (channels,)."""
    given = post.problem
    return given.spend[-min(HORIZON[given.frequency], given.window) :].mean(axis=0) * given.mean_active


def observed(post: Posterior) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest spend of the window, in currency per period, each of shape (channels,).

    Spend with its carry-over, at the posterior's mean: a burst of one period never shows what the same spend would
    bring period after period.
    """
    given = post.problem
    keep = thinned(len(post.iroas))
    share = weights(given.adstock, post.carryover[keep], post.peak[keep], given.periods).mean(axis=0)
    padded = np.vstack([np.zeros((given.periods - 1, len(given.channels))), given.spend])
    rows = np.lib.stride_tricks.sliding_window_view(padded, given.periods, axis=0)[-given.window :, :, ::-1]
    pressure = np.einsum("tcl,cl->tc", rows, share) * given.mean_active
    return pressure.min(axis=0), pressure.max(axis=0)


def response(post: Posterior | None) -> pd.DataFrame:
    """Return modelled revenue per period at a spend that is held for good, with its 90% band.

    Parameters
    ----------
    post : Posterior, optional
        Without one there are no curves.

    Returns
    -------
    DataFrame
        channel, spend, contribution, low, high (currency per period), range: `observed` between the lowest and the
        highest spend of the window (with its carry-over), `beyond` below it down to nothing, and above it up to half
        as much again.
    """
    if post is None:
        return pd.DataFrame(columns=COLUMNS)
    given = post.problem
    ceiling = posteriors.ceiling(post)
    frames = []
    for place, (channel, lowest, highest) in enumerate(zip(given.channels, *observed(post), strict=True)):
        below = np.linspace(0, lowest, POINTS_BELOW, endpoint=False) if lowest > 0 else np.zeros(0)
        seen = np.linspace(lowest, highest, POINTS_OBSERVED)
        above = np.linspace(highest, ABOVE * highest, POINTS_ABOVE + 1)[1:]
        spend = np.concatenate([below, seen, above])
        half, slope = post.half_saturation[:, place, None], post.slope[:, place, None]
        drawn = ceiling[:, place, None] * reach(given.saturation, spend / given.mean_active[place], half, slope)[0]
        low, high = interval(drawn)
        frame = pd.DataFrame({"spend": spend, "contribution": point(drawn), "low": low, "high": high})
        inside = np.repeat(["beyond", "observed", "beyond"], [len(below), len(seen), len(above)])
        frames.append(frame.assign(channel=channel, range=inside))
    return pd.concat(frames, ignore_index=True)[COLUMNS] if frames else pd.DataFrame(columns=COLUMNS)


def forward(post: Posterior, *, tail: bool = True, following: np.ndarray | None = None) -> Forward:
    """Return the next quarter's curves: constant spend in it, the carry-in of the last periods as they were.

    Parameters
    ----------
    post : Posterior
        At most 500 of its draws are used, evenly spaced.
    tail : bool
        Count what the quarter's spend adds after the quarter: the difference that it makes to the revenue of those
        periods, in which `following` is spent.
    following : array of shape (channels,), optional
        Currency per period after the quarter; last quarter's mean by default.

    Returns
    -------
    Forward
    """
    given = post.problem
    keep, count, lasting = thinned(len(post.iroas)), HORIZON[given.frequency], given.periods
    now, (lowest, highest) = last_quarter(post), observed(post)
    following = now if following is None else np.asarray(following, dtype=float)
    share = weights(given.adstock, post.carryover[keep], post.peak[keep], lasting)
    rows = count + (lasting - 1 if tail else 0)
    # Which period each lag looks back to: 0 .. count - 1 is the quarter, before it the past, after it what follows.
    looked = np.arange(rows)[:, None] - np.arange(lasting)
    past = given.spend * given.mean_active
    past = np.vstack([np.zeros((lasting, past.shape[1])), past])[-lasting:]
    fixed = np.zeros((rows, lasting, len(given.channels)))
    before = looked < 0
    fixed[before] = past[looked[before] + lasting]
    fixed[looked >= count] = following
    inside = ((looked >= 0) & (looked < count)).astype(float)
    return Forward(
        channels=given.channels,
        periods=count,
        now=now,
        following=following,
        lowest=lowest,
        highest=highest,
        ceiling=posteriors.ceiling(post)[keep],
        half_saturation=post.half_saturation[keep] * given.mean_active,
        slope=post.slope[keep],
        carried=np.einsum("dcl,tlc->dct", share, fixed),
        own=np.einsum("dcl,tl->dct", share, inside),
        smallest=density.SMALLEST_PRESSURE * given.mean_active,
        saturation=given.saturation,
    )
