"""Lift tests: what an experiment measured of a channel, as the model takes it, and whether the two agree.

A test states an iROAS with the bounds of its interval. It enters as a Gaussian on log iROAS, whose standard deviation
is that of bounds which lie as far apart: ``log(high / low) / (2 z)``. Where the test's own interval is symmetric, this
is wider than the test's error over its estimate, never narrower, and as the lower bound comes down to zero it grows
without limit: such a test weighs less and less. At a bound of zero or below the log does not exist and the test weighs
nothing. An approximation by the error over the estimate (the delta method) would instead exclude, with much confidence,
returns near zero that the test allows. So such a test is left out of the fit, in words, and compared with the model on
its own scale.

What is measured is the revenue that two amounts of the channel's spend in the same days bring more or less than one
another, over their difference: the spend that the data show, and the one that the test compares it with (none, unless
stated). Halved, doubled and switched off everywhere are such differences, and their return is not that of all spend.
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
from kpitoolkit.regression.problem import LIFT_TESTS, instead

LEVEL = 0.90
FAR_APART = 2.0  # combined standard deviations
MOST_OF = {"week": 4, "quarter": 46}  # days: a period in which the test ran as long is one of the test's
SAME = 0.1  # of the spend shown: a smaller difference is lost in how spend is spread over periods
MOST, LEAST = 10.0, 0.01  # times the highest and the usual spend that the data show: beyond, another unit of money
NEEDED = ["channel", "first_day", "last_day", "iroas", "low", "high"]
STATED = [*NEEDED, "compared_spend_cents", "level", "source"]
COLUMNS = [*STATED, "status", "first", "last", "shown", "compared", "sd", "log_sd", "unfinished"]
COMPARED = ("entered", "not_positive")


@dataclass(frozen=True, eq=False)
class LiftTests:
    """Lift tests, checked.

    Attributes
    ----------
    table : DataFrame
        channel, first_day, last_day, iroas, low, high, compared_spend_cents, level, source; status: `entered`, or why a
        test is left out (`outside_window`, `partly_outside`, `too_short`, `not_spent`, `constant`, `not_changed`,
        `far_above`, `far_below`, `not_positive`); first, last: its periods as rows of the window; shown, compared:
        their spend, currency, as the data show it and as the test compares it with; sd, log_sd: standard errors of
        iROAS and of its log; unfinished: periods of carry-over after the window's end.
    """

    table: pd.DataFrame

    @property
    def entered(self) -> pd.DataFrame:
        """What a `Problem` takes: channel, first, last, compared, iroas, log_sd."""
        return self.table.loc[self.table["status"] == "entered", LIFT_TESTS].reset_index(drop=True)

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
                "Check the days and the export. Where the channel was switched off on purpose, state as compared spend "
                "what it would have spent."
            ),
            "not_changed": _(
                "{test} is left out: it compares with {share} of the spend that the data show on {channel}, so there "
                "is next to nothing to compare. State as compared spend what was spent where the test did otherwise."
            ),
            "far_above": _(
                "{test} is left out: it compares with more than {most} times the highest spend on {channel} that the "
                "data show for as long. Check the currency of the compared spend, and that it is not in cents."
            ),
            "far_below": _(
                "{test} is left out: it compares with less than {least} of the usual spend on {channel}. Check that "
                "the compared spend is not in thousands, or state 0 where nothing was spent."
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
            told = [_told(test, language) for test in entered.itertuples()]
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
            words |= {"most": text.number(MOST, language), "least": text.percent(LEAST, language, 0)}
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
        One unit's rows of the table `lift_tests`. Where a test does not cover whole periods, its `compared_spend_cents`
        is scaled from its days to theirs.
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
    [['tv', 4, 7, 0.0, 2.0, 0.421]]
    """
    if not len(rows):
        return none()
    table = rows.reindex(columns=STATED).reset_index(drop=True)
    for day in ("first_day", "last_day"):
        table[day] = pd.to_datetime(table[day])
    table["level"] = table["level"].astype(float).fillna(LEVEL)
    table["compared_spend_cents"] = table["compared_spend_cents"].astype(float).fillna(0.0)
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
    table["shown"], table["compared"] = np.nan, np.nan
    for at, test in enumerate(table.itertuples()):
        if test.status == "placed":
            days = (ends[test.last] - starts[test.first]).days + 1
            ran = (test.last_day - test.first_day).days + 1
            table.loc[at, "shown"] = spend[test.channel].iloc[-window:].iloc[test.first : test.last + 1].sum()
            table.loc[at, "compared"] = test.compared_spend_cents / 100 * (days / ran)
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
    """Return the iROAS of the spend of some periods, or of a change of it, as modelled, by draw.

    Modelled revenue with all spend, less modelled revenue with the channel's spend of the periods `first` to `last` as
    compared, up to the period in which their carry-over ends (or the window does), over the difference in spend.

    Parameters
    ----------
    post : Posterior
    placed : DataFrame
        channel (one of the problem's), first, last (rows of the window), compared (currency, in these periods: 0 for
        none).

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
        other = given.spend.copy()
        change, factor, level = instead(given, test)
        other[own, place] = factor * other[own, place] + level
        lost = (post.share - reached(post, other))[:, test.first : test.last + given.periods, place].sum(axis=1)
        found[:, at] = tops[:, place] * lost / change
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
        `entered` or `not_positive`; compared: the spend that the test compares with, currency.
    """

    table: pd.DataFrame

    @property
    def shown(self) -> pd.DataFrame:
        """The table as pages show it."""
        return self.table.drop(columns=["level", "status", "compared"])

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
        change = _("Both are returns on the spend by which the two worlds of the test differ, not on all of it.")
        said = []
        for test in order.itertuples():
            sentence = sentences[test.verdict, test.status].format(**_words(test, language), **_figures(test, language))
            said.append(f"{sentence} {change}" if test.compared else sentence)
        return said

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
    columns = ["channel", "first_day", "last_day", "iroas", "low", "high", "level", "status", "compared"]
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
    return Comparison(found[[*shown, "apart", "verdict", "level", "status", "compared"]])


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
        columns += ["without_test_low", "without_test_high", "apart", "verdict", "level", "status", "compared"]
        return Comparison(pd.DataFrame(columns=columns))
    untested = replace(post.problem, lift_tests=post.problem.lift_tests.iloc[:0])
    return conflicts(draft(untested, seed), given)


def in_model(given) -> list[dict]:
    """The lift tests that a `Problem` contains, by the ends of their first and last period."""
    return [
        {
            "channel": test.channel,
            "first": given.period_end[test.first].date().isoformat(),
            "last": given.period_end[test.last].date().isoformat(),
            "iroas": float(test.iroas),
            "log_sd": float(test.log_sd),
        }
        for test in given.lift_tests.itertuples()
    ]


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
    if not 0 <= test.compared_spend_cents < np.inf:
        said.append("compared_spend must be an amount from 0. Leave it empty where the test compares with no spend")
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
    own, count = spend[test.channel].to_numpy(), test.last - test.first + 1
    if not (test.shown or test.compared):
        return "not_spent"
    if not transforms.standardise(own).any():
        return "constant"
    if abs(test.compared - test.shown) < SAME * test.shown:
        return "not_changed"
    if test.compared > MOST * _highest(own, count):
        return "far_above"
    if 0 < test.compared < LEAST * (test.shown or count * transforms.mean_active(own)):
        return "far_below"
    return "entered" if test.low > 0 else "not_positive"


def _highest(spend: np.ndarray, count: int) -> float:
    """Highest spend of so many periods on end."""
    return float(np.convolve(spend, np.ones(count), "valid").max())


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


def _told(test, language: str) -> str:
    """Name a test with its figures, and what it compares with where that is not nothing."""
    _ = text.translator(language)
    sentence = _("{channel} from {first} to {last}, {iroas} ({low} to {high})")
    if test.compared and test.shown:
        sentence = _(
            "{channel} from {first} to {last}, {iroas} ({low} to {high}), compared with {share} of the spend shown"
        )
    elif test.compared:
        sentence = _(
            "{channel} from {first} to {last}, {iroas} ({low} to {high}), switched off and compared with spend as usual"
        )
    return sentence.format(**_words(test, language))


def _words(test, language: str) -> dict[str, str]:
    said = {"channel": text.label(test.channel, language)}
    said |= {"first": text.date(test.first_day, language), "last": text.date(test.last_day, language)}
    figures = {name: getattr(test, name) for name in ("iroas", "low", "high") if hasattr(test, name)}
    said |= {name: text.number(float(value), language, 2) for name, value in figures.items()}
    share = test.compared / test.shown if getattr(test, "shown", 0) > 0 else np.nan
    return said | {"share": text.percent(share, language, 0)}


def _figures(test, language: str) -> dict[str, str]:
    names = [f"{kind}{end}" for kind in ("tested", "without_test") for end in ("", "_low", "_high")]
    said = {name: text.number(float(getattr(test, name)), language, 2) for name in names}
    return said | {"apart": text.number(float(test.apart), language, 1)}
