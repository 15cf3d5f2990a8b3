"""Lift tests: what an experiment measured of a channel, as the model takes it, and whether the two agree.

A test states an iROAS with the bounds of its interval. It enters as a Gaussian on log iROAS, whose standard deviation
is that of bounds which lie as far apart: ``log(high / low) / (2 z)``. Where the test's own interval is symmetric, this
is wider than the test's error over its estimate, never narrower, and as the lower bound comes down to zero it grows
without limit: such a test weighs less and less. At a bound of zero or below the log does not exist and the test weighs
nothing. An approximation by the error over the estimate (the delta method) would instead exclude, with much confidence,
returns near zero that the test allows. So such a test is left out of the fit, in words, and compared with the model on
its own scale.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.regression import transforms
from kpitoolkit.regression.estimate import draft
from kpitoolkit.regression.posterior import Posterior, ceiling, interval, point, reached

LEVEL = 0.90
FAR_APART = 2.0  # combined standard deviations
MOST_OF = {"week": 4, "quarter": 46}  # days: a period in which the test ran as long is one of the test's
POSITIONS = ["channel", "first", "last", "iroas", "log_sd"]
NEEDED = ["channel", "first_day", "last_day", "iroas", "low", "high"]
COLUMNS = [*NEEDED, "level", "source", "status", "first", "last", "sd", "log_sd", "unfinished"]
COMPARED = ("entered", "not_positive")


@dataclass(frozen=True, eq=False)
class LiftTests:
    """Lift tests, checked.

    Attributes
    ----------
    table : DataFrame
        channel, first_day, last_day, iroas, low, high, level, source; status: `entered`, or why a test is left out
        (`outside_window`, `partly_outside`, `too_short`, `not_spent`, `constant`, `not_positive`); first, last: its
        periods as rows of the window; sd, log_sd: standard errors of iROAS and of its log; unfinished: periods of
        carry-over after the window's end.
    """

    table: pd.DataFrame

    @property
    def entered(self) -> pd.DataFrame:
        """What a `Problem` takes: channel, first, last, iroas, log_sd."""
        return self.table.loc[self.table["status"] == "entered", POSITIONS].reset_index(drop=True)

    def findings(self, language: str = "en") -> list[str]:
        """Say which tests enter the model, and of each other one why it does not."""
        _ = text.translator(language)
        why = {
            "outside_window": _("{test} lies outside the window and is left out."),
            "partly_outside": _(
                "{test} lies partly outside the window and is left out: the model sees only some of its spend."
            ),
            "too_short": _("{test} covers no period by more than half and is left out."),
            "not_spent": _(
                "{test} is left out: the data show no spend on {channel} in its weeks, so there is nothing to compare. "
                "Check the days and the export."
            ),
            "constant": _("{test} is left out: spend on {channel} never changes, and the model has no return for it."),
            "not_positive": _(
                "{test} found no return that can be told from zero ({iroas}, interval {low} to {high}). On the log "
                "scale of the model, which knows positive returns only, it cannot enter: it is compared with the model "
                "and weighs nothing in it."
            ),
        }
        entered = self.table[self.table["status"] == "entered"]
        said = []
        if len(entered):
            each = _("{channel} from {first} to {last}, {iroas} ({low} to {high})")
            told = [each.format(**_words(test, language)) for test in entered.itertuples()]
            said.append(
                text.plural(
                    language,
                    "{n} lift test enters the model: {tests}.",
                    "{n} lift tests enter the model: {tests}.",
                    len(told),
                    tests="; ".join(told),
                )
            )
        for test in self.table.itertuples():
            words = _words(test, language)
            words["test"] = _("The lift test of {channel} from {first} to {last}").format(**words)
            if test.status != "entered":
                said.append(why[test.status].format(**words))
            if test.status in COMPARED and test.unfinished:
                sentence = _(
                    "The carry-over of {channel} was not over when the window ended after its lift test: the model "
                    "counts what came up to then, and agrees with the test only if the test did the same."
                )
                said.append(sentence.format(**words))
        return said


def checked(
    rows: pd.DataFrame, frame: pd.DataFrame, channels: list[str], frequency: str, window: int | None = None
) -> LiftTests:
    """Check lift tests and find their periods.

    Parameters
    ----------
    rows : DataFrame
        One unit's rows of the table `lift_tests`.
    frame : DataFrame
        Index: last day of each period; the channels' spend; a column `carry_in`, where there is one, marks the rows
        before the window.
    channels : sequence of str
    frequency : {"week", "quarter"}
    window : int, optional
        The last periods; by default all that do not only carry in.

    Returns
    -------
    LiftTests
        A test outside the window is no error: last year's may still be listed.

    Raises
    ------
    Faults
        With every test that contradicts itself, names a channel that the data lack, or shares days with another test
        of its channel.

    Examples
    --------
    >>> ends = pd.date_range("2025-01-05", periods=20, freq="7D")
    >>> frame = pd.DataFrame({"tv": [10.0, 20.0] * 10}, index=ends)
    >>> row = {"channel": "tv", "first_day": "2025-01-27", "last_day": "2025-02-23", "iroas": 2.0, "low": 1, "high": 4}
    >>> found = checked(pd.DataFrame([row]), frame, ["tv"], "week")
    >>> found.entered.round(3).values.tolist()
    [['tv', 4, 7, 2.0, 0.421]]
    """
    if not len(rows):
        return none()
    table = rows.reindex(columns=[*NEEDED, "level", "source"]).reset_index(drop=True)
    for day in ("first_day", "last_day"):
        table[day] = pd.to_datetime(table[day])
    table["level"] = table["level"].astype(float).fillna(LEVEL)
    faults = [fault for test in table.itertuples() for fault in _contradictions(test)]
    if faults:
        raise Faults("lift_tests", faults)
    carried = int(frame["carry_in"].sum()) if "carry_in" in frame else 0
    window = len(frame) - carried if window is None else window
    ends = pd.DatetimeIndex(frame.index[-window:])
    starts = ends - pd.Timedelta(days=6) if frequency == "week" else ends.to_period("Q").start_time
    places = [_placed(test, starts, ends, MOST_OF[frequency]) for test in table.itertuples()]
    table["status"], table["first"], table["last"] = zip(*places, strict=True)
    faults = [
        f"{_named(test)}: '{test.channel}' is no channel with spend in these data.{suggest(test.channel, channels)} "
        f"Channels: {', '.join(channels)}"
        for test in table.itertuples()
        if test.status == "placed" and test.channel not in channels
    ]
    faults += _overlapping(table[table["status"] == "placed"])
    if faults:
        raise Faults("lift_tests", faults)
    spend = frame[list(channels)].astype(float)
    table["status"] = [_status(test, spend, window) for test in table.itertuples()]
    width = 2 * stats.norm.ppf(0.5 + table["level"] / 2)
    table["sd"] = (table["high"] - table["low"]) / width
    positive = table["low"].where(table["low"] > 0).astype(float)
    table["log_sd"] = np.log(table["high"].astype(float) / positive) / width
    table["unfinished"] = (table["last"] + transforms.PERIODS_OF_CARRYOVER[frequency] - window).clip(lower=0)
    return LiftTests(table)


def none() -> LiftTests:
    """Return no tests."""
    return LiftTests(pd.DataFrame(columns=COLUMNS))


def modelled(post: Posterior, placed: pd.DataFrame) -> np.ndarray:
    """Return the iROAS of the spend of some periods, as modelled, by draw.

    Modelled revenue with all spend, less modelled revenue without the channel's spend of the periods `first` to `last`,
    up to the period in which their carry-over ends (or the window does), over that spend.

    Parameters
    ----------
    post : Posterior
    placed : DataFrame
        channel (one of the problem's), first, last (rows of the window).

    Returns
    -------
    array of shape (draws, tests)
    """
    given = post.problem
    before, tops = len(given.spend) - given.window, ceiling(post)
    found = np.empty((len(post.iroas), len(placed)))
    for at, test in enumerate(placed.itertuples()):
        place = given.channels.index(test.channel)
        own = slice(before + test.first, before + test.last + 1)
        without = given.spend.copy()
        without[own, place] = 0.0
        lost = (post.share - reached(post, without))[:, test.first : test.last + given.periods, place].sum(axis=1)
        spent = given.spend[own, place].sum() * given.mean_active[place]
        found[:, at] = tops[:, place] * lost / spent
    return found


@dataclass(frozen=True, eq=False)
class Comparison:
    """Lift tests beside the model that was fitted without them.

    Attributes
    ----------
    table : DataFrame
        channel, first_day, last_day; tested, tested_low, tested_high, level: what the test states; without_test,
        without_test_low, without_test_high: iROAS of the same periods as modelled without any test, with its 90%
        interval; apart: how far, in combined standard deviations; verdict: `agree`, or `conflict` beyond two; status:
        `entered` or `not_positive`.
    """

    table: pd.DataFrame

    @property
    def shown(self) -> pd.DataFrame:
        """The table as pages show it."""
        return self.table.drop(columns=["level", "status"])

    def findings(self, language: str = "en") -> list[str]:
        """Say of each test whether the model without it agrees; conflicts first."""
        _ = text.translator(language)
        sentences = {
            ("agree", "entered"): _(
                "{channel}: the lift test from {first} to {last} measured {tested} ({tested_low} to {tested_high}); "
                "the model without the test says {without_test} ({without_test_low} to {without_test_high}) for the "
                "same spend. The two do not contradict one another."
            ),
            ("conflict", "entered"): _(
                "Conflict on {channel}: the lift test from {first} to {last} measured {tested} ({tested_low} to "
                "{tested_high}); the model without the test says {without_test} ({without_test_low} to "
                "{without_test_high}) for the same spend, {apart} standard deviations away. The figures of this page "
                "lie between the two and may be true of neither: find out which of them is wrong before money is moved."
            ),
            ("agree", "not_positive"): _(
                "{channel}: the lift test from {first} to {last} measured {tested} ({tested_low} to {tested_high}), no "
                "return that can be told from zero; the model, which does not contain the test, says {without_test} "
                "({without_test_low} to {without_test_high}) for the same spend. The two do not contradict one another."
            ),
            ("conflict", "not_positive"): _(
                "Conflict on {channel}: the lift test from {first} to {last} measured {tested} ({tested_low} to "
                "{tested_high}), no return that can be told from zero; the model, which does not contain the test, "
                "says {without_test} ({without_test_low} to {without_test_high}) for the same spend, {apart} standard "
                "deviations away. Find out which of them is wrong before money is moved."
            ),
        }
        order = self.table.sort_values("verdict", key=lambda verdicts: verdicts != "conflict", kind="stable")
        return [
            sentences[test.verdict, test.status].format(**_words(test, language), **_figures(test, language))
            for test in order.itertuples()
        ]

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each test's iROAS and interval above the model's without the test; conflicts in the tone of a loss."""
        _ = text.translator(language)
        names = {"tested": _("{channel}, measured"), "without_test": _("{channel}, modelled without the test")}
        rows = [
            {
                "name": names[kind].format(channel=text.label(test.channel, language)),
                **{end: getattr(test, f"{kind}{tail}") for end, tail in (("v", ""), ("l", "_low"), ("h", "_high"))},
                "tone": "worse" if test.verdict == "conflict" else "better",
            }
            for test in self.table.itertuples()
            for kind in names
        ]
        frame = pd.DataFrame(rows, columns=["name", "v", "l", "h", "tone"])
        title = _("iROAS of the lift tests' weeks, measured and modelled")
        look = {"language": language, "title": title, "value_format": "number1", "tone": "tone"}
        return plots.intervals(frame, "name", "v", "l", "h", **look, ax=ax)


def conflicts(post: Posterior, given: LiftTests) -> Comparison:
    """Compare lift tests with a model that was fitted without any of them.

    On the log scale, the distance is ``|log tested - mean log modelled|`` over the root of the summed variances. A test
    that allows a return of zero has no log: there the distance is the normal deviate of its two-sided tail probability
    under the modelled draws, ``2 min(p, 1 - p)`` with ``p = mean Phi((tested - modelled) / sd)``.

    Parameters
    ----------
    post : Posterior
        Of the problem without lift tests.
    given : LiftTests

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Where the posterior has already seen a test: it would agree with itself.
    """
    if len(post.problem.lift_tests):
        raise ValueError("the posterior has seen the lift tests: fit the problem without them")
    table = given.table[given.table["status"].isin(COMPARED) & given.table["channel"].isin(post.problem.channels)]
    table = table.reset_index(drop=True)
    draws = modelled(post, table)
    columns = ["channel", "first_day", "last_day", "iroas", "low", "high", "level", "status"]
    names = {"iroas": "tested", "low": "tested_low", "high": "tested_high"}
    found = table[columns].rename(columns=names)
    found["without_test"], (found["without_test_low"], found["without_test_high"]) = point(draws), interval(draws)
    found["apart"] = [_distance(test, draws[:, at]) for at, test in enumerate(table.itertuples())]
    found["verdict"] = np.where(found["apart"].astype(float) > FAR_APART, "conflict", "agree")
    shown = [
        "channel",
        "first_day",
        "last_day",
        *names.values(),
        "without_test",
        "without_test_low",
        "without_test_high",
    ]
    return Comparison(found[[*shown, "apart", "verdict", "level", "status"]])


def beside(post: Posterior | None, given: LiftTests, *, seed: int = 0) -> Comparison:
    """Compare lift tests with a draft of the same problem without them; empty where nothing could be fitted.

    Parameters
    ----------
    post : Posterior or None
        With the tests or without.
    given : LiftTests
    seed : int
        Of the draft.
    """
    if post is None or not len(given.table):
        columns = ["channel", "first_day", "last_day", "tested", "tested_low", "tested_high", "without_test"]
        columns += ["without_test_low", "without_test_high", "apart", "verdict", "level", "status"]
        return Comparison(pd.DataFrame(columns=columns))
    untested = replace(post.problem, lift_tests=post.problem.lift_tests.iloc[:0])
    return conflicts(draft(untested, seed), given)


def _distance(test, draws: np.ndarray) -> float:
    if test.status == "entered":
        logs = np.log(np.maximum(draws, 1e-12))
        return float(abs(np.log(test.iroas) - logs.mean()) / np.hypot(test.log_sd, logs.std()))
    below = stats.norm.cdf((test.iroas - draws) / test.sd).mean()
    return float(stats.norm.isf(max(min(below, 1 - below), 1e-300)))


def _contradictions(test) -> list[str]:
    figures = (test.iroas, test.low, test.high)
    if not np.isfinite(np.array(figures, dtype=float)).all():
        return [f"{_named(test)}: iroas, low and high must be numbers"]
    said = []
    if test.last_day < test.first_day:
        said.append("it ends before it starts. Exchange first_day and last_day")
    if not 0.5 <= test.level < 1:
        said.append(f"level {test.level:g} is not that of an interval. Write 0.9 for 90%")
    if test.low >= test.high:
        said.append(f"low {test.low:g} is not below high {test.high:g}. State the bounds of its interval")
    elif not test.low <= test.iroas <= test.high:
        said.append(
            f"iroas {test.iroas:g} lies outside its interval {test.low:g} to {test.high:g}. Correct one of them"
        )
    return [f"{_named(test)}: {fault}" for fault in said]


def _placed(test, starts: pd.DatetimeIndex, ends: pd.DatetimeIndex, most: int) -> tuple[str, int, int]:
    """Where a test lies, and the first and the last period in which it ran most of the days."""
    if test.last_day < starts[0] or test.first_day > ends[-1]:
        return "outside_window", -1, -1
    if (starts[0] - test.first_day).days >= most or (test.last_day - ends[-1]).days >= most:
        return "partly_outside", -1, -1
    days = (np.minimum(ends, test.last_day) - np.maximum(starts, test.first_day)).days + 1
    inside = np.flatnonzero(days >= most)
    return ("placed", int(inside[0]), int(inside[-1])) if len(inside) else ("too_short", -1, -1)


def _status(test, spend: pd.DataFrame, window: int) -> str:
    if test.status != "placed":
        return test.status
    own = spend[test.channel]
    if not own.iloc[len(own) - window :].iloc[test.first : test.last + 1].any():
        return "not_spent"
    if not transforms.standardise(own).any():
        return "constant"
    return "entered" if test.low > 0 else "not_positive"


def _overlapping(table: pd.DataFrame) -> list[str]:
    said = []
    for channel, own in table.sort_values("first_day", kind="stable").groupby("channel", sort=False):
        rows = list(own.itertuples())
        said += [
            f"{_named(one)} and {_named(other)}: share days of {channel}, which would count twice. Keep one, or "
            "state what they found together"
            for place, one in enumerate(rows)
            for other in rows[place + 1 :]
            if other.first_day <= one.last_day
        ]
    return said


def _named(test) -> str:
    days = [f"{day:%Y-%m-%d}" if not pd.isna(day) else "?" for day in (test.first_day, test.last_day)]
    return f"{test.channel} {' to '.join(days)}"


def _words(test, language: str) -> dict[str, str]:
    said = {"channel": text.label(test.channel, language)}
    said |= {"first": text.date(test.first_day, language), "last": text.date(test.last_day, language)}
    figures = {name: getattr(test, name) for name in ("iroas", "low", "high") if hasattr(test, name)}
    return said | {name: text.number(float(value), language, 2) for name, value in figures.items()}


def _figures(test, language: str) -> dict[str, str]:
    names = [f"{kind}{end}" for kind in ("tested", "without_test") for end in ("", "_low", "_high")]
    said = {name: text.number(float(getattr(test, name)), language, 2) for name in names}
    return said | {"apart": text.number(float(test.apart), language, 1)}
