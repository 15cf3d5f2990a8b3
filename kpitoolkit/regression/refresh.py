"""Why a return is not what it was: the bridge from last quarter's published iROAS to this quarter's.

Last quarter's window is estimated again with one thing changed at a time, in a stated order: today's tables, then this
quarter's specification, then its prior; what is left is the new data. A step whose cause is absent costs no estimation
and is exactly zero. Last quarter's result never becomes a prior: most of its weeks are in this quarter's window too,
and would count twice.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

import kpitoolkit
from kpitoolkit import plots, text
from kpitoolkit.errors import Faults
from kpitoolkit.regression import charts, lift, model, transforms
from kpitoolkit.regression.model import Regression
from kpitoolkit.regression.posterior import INTERVAL, Posterior
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import Problem, problem
from kpitoolkit.regression.returns import TOTAL

STEPS = ("restated_data", "changed_specification", "changed_prior", "new_data")
TABLE = ["channel", "position", "step", "kind", "amount", "simulation_error", "within_simulation_error"]
QUARTER = {"week": 13, "quarter": 1}
KEYS = ("adstock", "saturation", "frequency", "first", "last", "seed", "version", "data")
LISTS = ("channels", "controls", "priors", "simulation_error")


@dataclass(frozen=True, eq=False)
class Specification:
    """How last quarter's figures were made.

    Attributes
    ----------
    first, last : Timestamp
        Ends of the window's first and last period.
    data : str
        Fingerprint of the numbers that were estimated from.
    simulation_error : dict
        By channel and `total_media`: half the width of the 90% interval that the draws leave to the published iROAS.
    """

    adstock: str
    saturation: str
    frequency: str
    first: pd.Timestamp
    last: pd.Timestamp
    seed: int
    version: str
    data: str
    channels: tuple[str, ...]
    controls: tuple[str, ...]
    priors: Priors
    simulation_error: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Refresh:
    """From last quarter's iROAS to this quarter's, for all media together and by channel.

    Attributes
    ----------
    table : DataFrame
        For each of `total_media` and the channels a bridge: channel, position, step, kind (`total`, `step`,
        `unexplained`, `not_examined`), amount (iROAS), simulation_error: half the width of the 90% interval that comes
        from the draws alone, within_simulation_error: true of a step that is not larger than that.
    left_out : tuple of str
        Channels without a figure at one of the ends.
    notes : tuple
        (key, values) of what readers must know; `findings` writes them out.
    estimated : int
        How many times the model was estimated again.
    """

    table: pd.DataFrame
    left_out: tuple[str, ...]
    notes: tuple[tuple[str, dict], ...]
    estimated: int

    def findings(self, language: str = "en") -> list[str]:
        """Return what moved the returns since last quarter, all media together first."""
        _ = text.translator(language)
        if not len(self.table):
            none = _("No return has a figure in both quarters: there is no bridge between them.")
            return [none, *(_note(key, values, language) for key, values in self.notes)]
        said = [_together(self.table[self.table["channel"] == TOTAL], language)]
        moved = [_moved(rows, language) for name, rows in self.table.groupby("channel", sort=False) if name != TOTAL]
        if moved:
            said.append(_("By channel, from last quarter to this: {channels}.").format(channels="; ".join(moved)))
        small = self.table[self.table["within_simulation_error"]]
        if len(small):
            sentence = _(
                "Within simulation error, so nothing to explain (another seed would move them as much): {steps}."
            )
            named = [
                f"{text.label(step, language)} ({', '.join(text.label(name, language) for name in rows['channel'])})"
                for step, rows in small.groupby("step", sort=False)
            ]
            said.append(sentence.format(steps="; ".join(named)))
        if self.left_out:
            sentence = _("Without a figure in one of the two quarters, and so without a bridge: {channels}.")
            said.append(sentence.format(channels=", ".join(text.label(name, language) for name in self.left_out)))
        return said + [_note(key, values, language) for key, values in self.notes]

    def plot(self, ax: Axes | None = None, language: str = "en", channel: str = TOTAL) -> Axes:
        """Draw the bridge of all media together, or of one channel."""
        rows = self.table[self.table["channel"] == channel]
        if not len(self.table):
            return charts.blank(ax, text.translator(language)("From last quarter's iROAS to this one's"), language)
        if not len(rows):
            raise Faults("refresh", [f"'{channel}' has no bridge. Choose one of {', '.join(_names(self.table))}"])
        title = text.translator(language)("Modelled iROAS of {channel}, from last quarter to this")
        title = title.format(channel=text.label(channel, language))
        return plots.waterfall(rows, "amount", ax, language, value_format="number", title=title)


def specification(post: Posterior | None, seed: int = 0) -> pd.DataFrame:
    """Return what next quarter's bridge must know of this quarter's figures: `regression_specification`.

    Parameters
    ----------
    post : Posterior or None
        What was published; None, where nothing could be fitted, has no specification.
    seed : int
        Of its draws.

    Returns
    -------
    DataFrame
        key, value (text; lists and mappings as JSON).
    """
    if post is None:
        return pd.DataFrame(columns=["key", "value"])
    given = post.problem
    values = {
        "adstock": given.adstock,
        "saturation": given.saturation,
        "frequency": given.frequency,
        "first": given.period_end[0].date().isoformat(),
        "last": given.period_end[-1].date().isoformat(),
        "seed": str(seed),
        "version": kpitoolkit.__version__,
        "data": fingerprint(given),
        "channels": json.dumps(list(given.channels)),
        "controls": json.dumps(_controls(given)),
        "priors": json.dumps(asdict(given.stated), sort_keys=True),
        "simulation_error": json.dumps(simulation_error(post)),
        "lift_tests": json.dumps(lift.in_model(given)),
    }
    return pd.DataFrame({"key": list(values), "value": list(values.values())})


def read_specification(table: pd.DataFrame) -> Specification:
    """Read a saved `regression_specification`.

    Raises
    ------
    Faults
        On keys that are missing, and values that cannot be read.
    """
    where = "regression_specification"
    values = dict(zip(table["key"], table["value"], strict=True)) if {"key", "value"} <= set(table) else {}
    missing = [name for name in (*KEYS, *LISTS) if name not in values]
    if missing:
        raise Faults(where, [f"no row '{name}'. Run last quarter's regression again" for name in missing])
    try:
        read = {name: json.loads(values[name]) for name in LISTS}
        return Specification(
            **{name: values[name] for name in ("adstock", "saturation", "frequency", "version", "data")},
            first=pd.Timestamp(values["first"]),
            last=pd.Timestamp(values["last"]),
            seed=int(values["seed"]),
            channels=tuple(read["channels"]),
            controls=tuple(read["controls"]),
            priors=Priors(**read["priors"]),
            simulation_error=read["simulation_error"],
        )
    except (ValueError, TypeError) as error:
        raise Faults(where, [f"cannot be read: {error}. Run last quarter's regression again"]) from error


def refresh(
    current: Regression,
    frame: pd.DataFrame,
    *,
    published: pd.DataFrame | None = None,
    specified: pd.DataFrame | None = None,
    lift_tests: pd.DataFrame | None = None,
    previous_case: str = "",
    fit: Callable[..., Regression] = model.fit,
) -> Refresh:
    """Build the bridge from last quarter's iROAS to this quarter's.

    Parameters
    ----------
    current : Regression
        This quarter's, already estimated.
    frame : DataFrame
        Today's inputs, as `fit` takes them. They should reach back to where last quarter's window began.
    published, specified : DataFrame, optional
        Last quarter's saved tables `regression_iroas` and `regression_specification`. Where nothing was published,
        last quarter's window is estimated today, and restated data are not examined.
    lift_tests : DataFrame, optional
        The unit's rows of the table `lift_tests`; each estimation takes those of its own window.
    previous_case : str
        The case that `published` was looked for in; where it has none, readers are told so by its name.
    fit : callable
        What estimates: `model.fit`, or a stand-in with its arguments.

    Returns
    -------
    Refresh
    """
    post = current.posterior
    missing = (("not_in_case", {"case": previous_case}),) if previous_case and published is None else ()
    if post is None:
        return Refresh(pd.DataFrame(columns=TABLE), (), missing, 0)
    old = None if specified is None or published is None else read_specification(specified)
    again = _Again(frame, current, old, lift_tests, fit)
    if not again.window:
        return Refresh(pd.DataFrame(columns=TABLE), (), missing, 0)
    notes = []
    end = _Figures(_point(current.table), simulation_error(post))
    if published is None:
        start = again.estimate(post.problem, post.problem.stated)
        bridge = [("restated_data", None), *((name, start) for name in STEPS[1:3])]
        notes.append(("nothing_in_case", {"case": previous_case}) if previous_case else ("nothing_published", {}))
    elif old is None or old.frequency != current.frequency:
        start = _Figures(_point(published), dict.fromkeys(published["channel"], 0.0))
        bridge = [(name, None) for name in STEPS[:3]]
        bridge.append(("unexplained", again.estimate(post.problem, post.problem.stated)))
        notes.append(("no_specification" if old is None else "other_frequency", {}))
    else:
        start = _Figures(_point(published), dict(old.simulation_error))
        bridge, more = again.in_order(start)
        notes += more
    bridge.append(("new_data", end))
    table, left_out = _bridges(start, bridge)
    return Refresh(table, left_out, (*notes, ("never_a_prior", {})), again.count)


def simulation_error(post: Posterior) -> dict[str, float]:
    """Return by channel and for all media how far the draws alone may have moved the mean iROAS: half a 90% interval.

    Standard deviation over the root of the effective number of draws: the sampler's for each channel, the smallest for
    all media; the draws of a draft are independent.
    """
    reach = stats.norm.ppf(0.5 + INTERVAL / 2)
    draws = np.where(np.isfinite(post.ess), post.ess, len(post.iroas))
    names, spread = (TOTAL, *post.problem.channels), [post.total.std(), *post.iroas.std(axis=0)]
    counts = [draws.min(), *draws]
    return {name: float(reach * sd / np.sqrt(n)) for name, sd, n in zip(names, spread, counts, strict=True)}


def fingerprint(given: Problem) -> str:
    """Return a fingerprint of the numbers that a problem is estimated from, to the ninth decimal of their scale."""
    found = hashlib.sha256(json.dumps([given.channels, list(given.baseline.columns)]).encode())
    scales = np.log(np.r_[given.scale, given.mean_active])
    tests = given.lift_tests[["first", "last", "iroas", "log_sd"]].to_numpy(dtype=float)
    compared = given.lift_tests["compared"].to_numpy(dtype=float) / given.scale
    compared = compared if compared.any() else compared[:0]  # tests against no spend: as they always were
    for part in (given.revenue, given.spend, given.baseline.to_numpy(dtype=float), scales, tests, compared):
        found.update((np.round(part, 9) + 0.0).tobytes())
    return found.hexdigest()


@dataclass(frozen=True, eq=False)
class _Figures:
    """iROAS by channel and in total, and what the draws leave uncertain of it."""

    iroas: Mapping[str, float]
    error: Mapping[str, float]


class _Again:
    """Last quarter's window in today's tables, to be estimated again; counts how often."""

    def __init__(self, frame, current, old, lift_tests, fit):
        self.current, self.old, self.fit, self.count = current, old, fit, 0
        own = current.posterior.problem
        ended = own.period_end[: -QUARTER[own.frequency]]
        last = old.last if old is not None else ended[-1] if len(ended) else own.period_end[0] - pd.Timedelta(days=1)
        rows = frame.sort_index().loc[:last]
        first = old.first if old is not None else own.period_end[0]
        if old is None and len(rows) >= own.window + own.periods - 1:
            first = rows.index[-own.window]  # as long a window as this quarter's, which ended a quarter earlier
        self.rows = rows.assign(carry_in=rows.index < first)
        self.window = int((~self.rows["carry_in"]).sum())
        self.late = len(rows) > 0 and rows.index[0] > first
        self.lift_tests = lift_tests
        self.seed = 0 if old is None else old.seed

    def estimate(self, given, priors) -> _Figures:
        """Estimate under what `given` (a Problem or a Specification) states."""
        self.count += 1
        channels, controls = self.channels(given), self.controls(given)
        known = {name: said for name, said in priors.channels.items() if name in channels}
        found = self.fit(
            self.rows, channels, controls, self.current.frequency, self.current.contribution_margin_share,
            periods=self.window, currency=self.current.currency, priors=Priors(**{**asdict(priors), "channels": known}),
            adstock=given.adstock, saturation=given.saturation, lift_tests=self.tests(channels), seed=self.seed,
        )  # fmt: skip
        error = {} if found.posterior is None else simulation_error(found.posterior)
        return _Figures(_point(found.table), error)

    def in_order(self, start: _Figures) -> tuple[list, list]:
        """Change one thing at a time, from last quarter's published figures to this quarter's way of estimating."""
        old, own = self.old, self.current.posterior.problem
        notes = []
        if self.late:
            notes.append(("begins_later", {"first": old.first, "today": self.rows.index[0]}))
        restated = start if self.same_data() else self.estimate(old, old.priors)
        same = all(
            self.shape(old)[part] == self.shape(own)[part] for part in ("adstock", "saturation", "channels", "controls")
        )
        specified = restated if same else self.estimate(own, old.priors)
        believed = specified if _stated(old.priors) == _stated(own.stated) else self.estimate(own, own.stated)
        if old.version != kpitoolkit.__version__ and restated is not start:
            notes.append(("other_version", {"before": old.version, "today": kpitoolkit.__version__}))
        absent = [
            name
            for name, here, before in zip(
                STEPS[:3], (restated, specified, believed), (start, restated, specified), strict=True
            )
            if here is before
        ]
        if absent:
            notes.append(("absent", {"steps": absent}))
        return list(zip(STEPS[:3], (restated, specified, believed), strict=True)), notes

    def same_data(self) -> bool:
        """Tell whether today's tables give last quarter's numbers again, under the version that made them."""
        if self.old.version != kpitoolkit.__version__ or not self.window:
            return False
        channels = self.channels(self.old)
        if set(channels) != set(self.old.channels):
            return False
        frame, window = model.checked(self.rows, channels, self.controls(self.old), self.old.frequency, self.window)
        given = problem(
            frame, self.old.channels, self.controls(self.old), self.old.frequency, window,
            adstock=self.old.adstock, saturation=self.old.saturation, lift_tests=self.tests(channels),
        )  # fmt: skip
        return fingerprint(given) == self.old.data

    def shape(self, given) -> dict:
        return {
            "adstock": given.adstock,
            "saturation": given.saturation,
            "channels": set(self.channels(given)),
            "controls": set(self.controls(given)),
        }

    def channels(self, given) -> list[str]:
        """Of the channels that are stated, those that today's tables know and that had spend in the window."""
        inside = self.rows[~self.rows["carry_in"]]
        return [name for name in given.channels if name in inside and inside[name].any()]

    def controls(self, given) -> list[str]:
        stated = given.controls if isinstance(given, Specification) else _controls(given)
        inside = self.rows[~self.rows["carry_in"]]
        return [name for name in stated if name in inside and transforms.standardise(inside[name]).any()]

    def tests(self, channels):
        if self.lift_tests is None or not len(self.lift_tests):
            return None
        return lift.checked(self.lift_tests, self.rows, channels, self.current.frequency, self.window).entered


def _controls(given: Problem) -> list[str]:
    ours = ("intercept", "trend")
    return [name for name in given.baseline.columns if name not in ours and not name.startswith("season_")]


def _stated(priors: Priors) -> dict:
    """What is stated, channel by channel, in a form that can be compared."""
    return json.loads(json.dumps(asdict(priors), sort_keys=True))


def _point(table: pd.DataFrame) -> dict[str, float]:
    known = table.dropna(subset="iroas")
    return dict(zip(known["channel"], known["iroas"].astype(float), strict=True))


def _bridges(start: _Figures, bridge: list) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the table, and the channels that lack a figure somewhere."""
    examined = [start, *(figures for _step, figures in bridge if figures is not None)]
    all_names = list(dict.fromkeys(name for figures in (examined[-1], start) for name in figures.iroas))
    names = [name for name in all_names if all(name in figures.iroas for figures in examined)]
    rows = []
    for name in names:
        rows.append((name, 0, "previous_iroas", "total", start.iroas[name], start.error.get(name, np.nan), False))
        before = start
        for place, (step, figures) in enumerate(bridge, start=1):
            if figures is None:
                rows.append((name, place, step, "not_examined", np.nan, np.nan, False))
                continue
            amount = figures.iroas[name] - before.iroas[name]
            error = 0.0
            if figures is not before:
                error = float(np.hypot(figures.error.get(name, np.nan), before.error.get(name, np.nan)))
            kind = "unexplained" if step == "unexplained" else "step"
            rows.append((name, place, step, kind, amount, error, bool(0 < abs(amount) <= error)))
            before = figures
        rows.append(
            (name, len(bridge) + 1, "current_iroas", "total", before.iroas[name], before.error.get(name, np.nan), False)
        )
    left_out = tuple(name for name in all_names if name not in names)
    return pd.DataFrame(rows, columns=TABLE), left_out


def _names(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table["channel"]))


def _together(rows: pd.DataFrame, language: str) -> str:
    _ = text.translator(language)
    if not len(rows):
        return _("All media together have no figure in both quarters.")
    steps = rows[rows["kind"].isin(["step", "unexplained"])]
    sentence = _(
        "All media together: last quarter's modelled iROAS of {previous} is {current} this quarter. {steps}. Each "
        "figure may move by {error} from the draws alone."
    )
    named = [
        f"{text.label(row.step, language)} {text.number(row.amount, language, 2, signed=True)}"
        for row in steps.itertuples()
    ]
    named[0] = named[0][:1].upper() + named[0][1:]
    return sentence.format(
        previous=text.number(rows["amount"].iloc[0], language, 2),
        current=text.number(rows["amount"].iloc[-1], language, 2),
        steps=", ".join(named),
        error=text.number(float(rows.loc[rows["kind"] == "total", "simulation_error"].max()), language, 2),
    )


def _moved(rows: pd.DataFrame, language: str) -> str:
    _ = text.translator(language)
    steps = rows[rows["kind"].isin(["step", "unexplained"])]
    largest = steps.loc[steps["amount"].abs().idxmax()]
    return _("{channel} {previous} to {current} (most of it: {step}, {amount})").format(
        channel=text.label(rows["channel"].iloc[0], language),
        previous=text.number(rows["amount"].iloc[0], language, 2),
        current=text.number(rows["amount"].iloc[-1], language, 2),
        step=text.label(largest["step"], language),
        amount=text.number(largest["amount"], language, 2, signed=True),
    )


def _note(key: str, values: dict, language: str) -> str:
    _ = text.translator(language)
    sentence = {
        "nothing_published": _(
            "Nothing was published for last quarter: its figure is estimated today on its own window, with this "
            "quarter's specification and prior. Whether data were restated cannot be examined."
        ),
        "nothing_in_case": _(
            "The previous case {case} has no published regression of this unit: last quarter's figure is estimated "
            "today on its own window, with this quarter's specification and prior. Whether data were restated cannot "
            "be examined."
        ),
        "not_in_case": _("The previous case {case} has no published regression of this unit."),
        "no_specification": _(
            "How last quarter's figures were made was not saved: restated data, specification and prior cannot be "
            "told apart, and their sum is unexplained."
        ),
        "other_frequency": _(
            "Last quarter's figures were made at another frequency: restated data, specification and prior cannot be "
            "told apart, and their sum is unexplained."
        ),
        "begins_later": _(
            "Last quarter's window began with the period that ended on {first}; today's tables begin on {today}. What "
            "the missing periods change counts as restated data."
        ),
        "other_version": _(
            "Last quarter's figures were made by version {before} of the toolkit, these by {today}: what the "
            "difference changes counts as restated data."
        ),
        "absent": _("Not changed since last quarter, so exactly zero: {steps}."),
        "never_a_prior": _(
            "Last quarter's result is not used as a prior: most of its periods are in this quarter's window too, and "
            "would count twice."
        ),
    }[key]
    shown = {
        name: ", ".join(text.label(step, language) for step in value)
        if name == "steps"
        else (text.date(value, language) if isinstance(value, pd.Timestamp) else str(value))
        for name, value in values.items()
    }
    return sentence.format(**shown)
