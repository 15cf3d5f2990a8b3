"""What is estimated from: numbers only, free of units, checked before; all that fits a model takes a `Problem`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kpitoolkit.errors import Faults, suggest
from kpitoolkit.regression import density, transforms
from kpitoolkit.regression.priors import Prior, Priors, prior_of

ADSTOCKS = ("geometric", "delayed")
SATURATIONS = ("hill", "logistic")
LIFT_TESTS = ["channel", "first", "last", "compared", "iroas", "log_sd"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Revenue, spend and baseline of one unit's window.

    Attributes
    ----------
    channels : tuple of str
        Those that can be told from the baseline.
    period_end : DatetimeIndex of shape (window,)
    revenue : array of shape (window,)
        Over `scale`, the window's mean revenue per period (currency).
    spend : array of shape (carry-in + window, channels)
        In multiples of `mean_active`.
    mean_active : array of shape (channels,)
        Mean of the window's periods with spend, currency per period.
    spent : array of shape (channels,)
        Spend of the window over `scale`: iROAS times this is a channel's contribution over mean revenue.
    baseline : DataFrame of shape (window, columns)
    periods : int
        How many periods a spend lasts.
    lift_tests : DataFrame
        channel, first, last (rows of the window), compared (currency: what the test compares the spend of these periods
        with), iroas, log_sd.
    """

    channels: tuple[str, ...]
    period_end: pd.DatetimeIndex
    revenue: np.ndarray
    scale: float
    spend: np.ndarray
    mean_active: np.ndarray
    spent: np.ndarray
    baseline: pd.DataFrame
    frequency: str
    adstock: str
    saturation: str
    periods: int
    stated: Priors
    prior: Prior
    lift_tests: pd.DataFrame

    @property
    def window(self) -> int:
        """Periods of the window."""
        return len(self.revenue)

    @property
    def kind(self) -> tuple[int, int, int]:
        """Adstock, saturation and length of carry-over, as `density` takes them."""
        return ADSTOCKS.index(self.adstock), SATURATIONS.index(self.saturation), self.periods

    def arrays(self) -> tuple:
        """Return what `density.log_posterior` takes after the gradient."""
        design = np.ascontiguousarray(self.baseline.to_numpy(dtype=float))
        prior = np.ascontiguousarray(self.prior.mean), np.ascontiguousarray(np.linalg.inv(self.prior.covariance))
        means, sd = self.prior.baseline
        return (
            np.ascontiguousarray(self.revenue, dtype=float),
            np.ascontiguousarray(self.spend.T),
            np.ascontiguousarray(self.spent, dtype=float),
            design,
            np.ascontiguousarray(np.stack([means, 1 / sd**2])),
            density.baseline_products(design),
            prior,
            self.kind,
            self._tests(),
        )

    def _tests(self) -> np.ndarray:
        rows = []
        for test in self.lift_tests.itertuples():
            change, factor, level = instead(self, test)
            place, spent = self.channels.index(test.channel), change / self.scale
            rows.append([place, test.first, test.last, spent, np.log(test.iroas), test.log_sd, factor, level])
        return np.array(rows, dtype=float).reshape(-1, 8)


def problem(
    frame: pd.DataFrame,
    channels: Sequence[str],
    controls: Sequence[str] = (),
    frequency: str = "week",
    window: int | None = None,
    *,
    priors: Priors | None = None,
    adstock: str = "geometric",
    saturation: str = "hill",
    lift_tests: pd.DataFrame | None = None,
) -> Problem:
    """Scale inputs that were checked into a problem.

    Parameters
    ----------
    frame : DataFrame
        Index: last day of each period, in order and without gaps; `revenue`, the channels' spend, the controls, in
        currency units (what `checks.checked` returns).
    channels : sequence of str
        Each with spend in the window.
    window : int, optional
        The last periods; those before only carry their spend in. All rows by default.
    priors : Priors, optional
    adstock : {"geometric", "delayed"}
    saturation : {"hill", "logistic"}
    lift_tests : DataFrame, optional
        channel, first, last (rows of the window), compared (currency; 0 where the column is absent), iroas, log_sd;
        only those of `channels` are used.

    Returns
    -------
    Problem

    Raises
    ------
    Faults
        On an unknown adstock or saturation, a prior for a channel that the data lack, or a lift test that compares
        spend with the same spend.

    Examples
    --------
    >>> ends = pd.date_range("2025-01-05", periods=30, freq="7D")
    >>> frame = pd.DataFrame({"revenue": 100.0, "tv": [10.0, 0] * 15}, index=ends)
    >>> found = problem(frame, ["tv"], window=20)
    >>> found.window, len(found.spend), found.spent.tolist()
    (20, 30, [1.0])
    """
    faults = [
        f"{name} '{value}' is not one of {', '.join(known)}.{suggest(value, known)}"
        for name, value, known in (("adstock", adstock, ADSTOCKS), ("saturation", saturation, SATURATIONS))
        if value not in known
    ]
    if faults:
        raise Faults("regression", faults)
    window = len(frame) if window is None else window
    periods = transforms.PERIODS_OF_CARRYOVER[frequency]
    rows = frame.iloc[max(0, len(frame) - window - periods + 1) :]
    inside, channels = rows.iloc[-window:], tuple(channels)
    scale = float(inside["revenue"].mean())
    spend = rows[list(channels)].to_numpy(dtype=float)
    active = np.array([transforms.mean_active(spend[-window:, place]) for place in range(len(channels))])
    spent = spend[-window:].sum(axis=0) / scale
    baseline = transforms.baseline_design(inside.index, frequency, inside[list(controls)])
    stated = priors or Priors()
    tests = pd.DataFrame(columns=LIFT_TESTS) if lift_tests is None else lift_tests
    tests = tests.assign(compared=tests["compared"].astype(float) if "compared" in tests else 0.0)
    tests = tests.loc[tests["channel"].isin(channels), LIFT_TESTS].reset_index(drop=True)
    prior = prior_of(stated, channels, spent, window, list(baseline.columns), adstock, saturation, frequency)
    found = Problem(
        channels=channels,
        period_end=pd.DatetimeIndex(inside.index),
        revenue=inside["revenue"].to_numpy(dtype=float) / scale,
        scale=scale,
        spend=spend / active,
        mean_active=active,
        spent=spent,
        baseline=baseline,
        frequency=frequency,
        adstock=adstock,
        saturation=saturation,
        periods=periods,
        stated=stated,
        prior=prior,
        lift_tests=tests,
    )
    faults = [
        f"{test.channel}, periods {test.first} to {test.last}: its spend is compared with the same spend. Leave it out"
        for test in tests.itertuples()
        if instead(found, test)[0] == 0
    ]
    if faults:
        raise Faults("lift_tests", faults)
    return found


def instead(given: Problem, test) -> tuple[float, float, float]:
    """Return what spend a test compares with: that of its periods times a factor, plus a level in each.

    In proportion to what the data show; evenly where they show none.

    Parameters
    ----------
    given : Problem
    test : row with channel, first, last, compared

    Returns
    -------
    float, float, float
        Spend shown less spend compared with, in currency; the factor; the level, in multiples of the channel's mean
        active spend.
    """
    place, before = given.channels.index(test.channel), len(given.spend) - given.window
    unit = given.mean_active[place]
    shown = given.spend[before + test.first : before + test.last + 1, place].sum() * unit
    if shown > 0:
        return shown - test.compared, test.compared / shown, 0.0
    return -test.compared, 0.0, test.compared / unit / (test.last - test.first + 1)


def believed(given: Problem, stated: Priors) -> Problem:
    """Return the same problem under other priors."""
    names = list(given.baseline.columns)
    prior = prior_of(
        stated, given.channels, given.spent, given.window, names, given.adstock, given.saturation, given.frequency
    )
    return replace(given, stated=stated, prior=prior)


def shaped(given: Problem, adstock: str) -> Problem:
    """Return the same problem under another adstock."""
    return believed(replace(given, adstock=adstock), given.stated)


def cut(given: Problem, periods: int) -> Problem:
    """Return the first `periods` of the window, in the same units, under the same prior (a rolling forecast's past)."""
    end = len(given.spend) - given.window + periods
    tests = given.lift_tests
    return replace(
        given,
        period_end=given.period_end[:periods],
        revenue=given.revenue[:periods],
        spend=given.spend[:end],
        spent=given.spend[end - periods : end].sum(axis=0) * given.mean_active / given.scale,
        baseline=given.baseline.iloc[:periods],
        lift_tests=tests[tests["last"] < periods].reset_index(drop=True),
    )


def without(given: Problem, channel: str) -> Problem:
    """Return the problem without a channel."""
    kept = [place for place, name in enumerate(given.channels) if name != channel]
    count, names = len(given.channels), given.prior.names
    places = [block * count + place for block in range(len(names)) for place in kept]
    places += [len(names) * count, len(names) * count + 1]
    prior = replace(
        given.prior, mean=given.prior.mean[places], covariance=given.prior.covariance[np.ix_(places, places)]
    )
    stated = {name: said for name, said in given.stated.channels.items() if name != channel}
    tests = given.lift_tests
    return replace(
        given,
        channels=tuple(given.channels[place] for place in kept),
        spend=given.spend[:, kept],
        mean_active=given.mean_active[kept],
        spent=given.spent[kept],
        stated=replace(given.stated, channels=stated),
        prior=prior,
        lift_tests=tests[tests["channel"] != channel].reset_index(drop=True),
    )
