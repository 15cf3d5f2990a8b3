"""Triangulation: what platforms claim, attribution credits, the model finds and experiments measure, by channel.

A model that was estimated with an experiment already contains it: its figure is published and nothing is pooled, or the
experiment would count twice. Otherwise both are pooled on the log scale. What another notebook did not save, and what
no table states, stays empty.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from kpitoolkit import plots, tables, text
from kpitoolkit.errors import Faults
from kpitoolkit.modelling import LOSES, break_even, margin_fault
from kpitoolkit.reconciliation import triangulation_sums as views_of
from kpitoolkit.reconciliation import triangulation_wording as wording
from kpitoolkit.reconciliation.claims import ClaimedToBooked
from kpitoolkit.reconciliation.spend import SpendToLedger

SAVED = {
    "credit": ("attribution", "credit"),
    "cost": ("attribution", "cost"),
    "truth_band": ("attribution", "truth_band"),
    "rankings": ("attribution", "rankings"),
    "iroas": ("regression", "iroas"),
    "posterior": ("regression", "posterior"),
    "specification": ("regression", "specification"),
    "contributions": ("regression", "contributions"),
}
"""What the other notebooks saved and this room reads."""
LEVEL, TEST_LEVEL = 0.90, 0.90
LIKELY = 0.90  # as in the regression: a verdict takes nine chances in ten
BIAS_LOG_SD = 0.30
AGREEING, DIFFUSE = 1.05, 1e-3
TOTAL = "total_media"
JUDGED = ("above_break_even", "below_break_even")
COLUMNS = [
    *("channel", "spend_cents", "ledger_cents", "claimed_cents", "claimed_roas"),
    *("attributed_cents", "attributed_roas", "attributed_low", "attributed_high"),
    *("modelled_iroas", "modelled_low", "modelled_high", "tested_iroas", "tested_low", "tested_high", "tests"),
    *("iroas", "low", "high", "log_iroas", "log_sd", "source", "q", "q_p_value"),
    *("calibration", "calibration_low", "calibration_high", "break_even", "verdict", "verdict_reason"),
    *("own_log_iroas", "own_log_sd"),
]
TESTS = ["channel", "first_day", "last_day", "iroas", "low", "high", "level", "log_iroas", "log_sd", "use", "distance"]


@dataclass(frozen=True)
class Pooled:
    """Several estimates of one quantity as one: Cochran's ``q`` with ``df`` and ``p_value`` says whether they agree."""

    estimate: float
    error: float
    q: float
    df: int
    p_value: float


@dataclass(frozen=True, eq=False)
class Triangulation:
    """Four views of what each channel brought.

    Attributes
    ----------
    table : DataFrame
        One row a channel with spend or a modelled return, the largest spend first. spend_cents: as the platform
        reports, net of VAT; ledger_cents: invoiced for services of the quarter; claimed_roas, attributed_roas: order
        value claimed and credited over spend; modelled_iroas, tested_iroas with their 90% intervals (the latest test's,
        at its own level); iroas, low, high: what is published, with its source: `model_with_experiment`, `model_alone`,
        `model_and_experiment` (pooled), `experiment_alone` or `no_return`; log_iroas, log_sd; q, q_p_value: Cochran's Q
        of what was pooled; calibration: iroas over claimed_roas; verdict, verdict_reason: carried over from the
        regression, or of the pooled figure; own_log_iroas, own_log_sd: what the unit's own data say, without the
        model's prior, for other units. break_even is missing, and the verdict `loses_on_every_sale`, at a margin of
        zero or less.
    tests : DataFrame
        One row an experiment. use: `in_model`, `pooled`, or why it is compared only (`holds_zero`, `outside_window`,
        `not_known`); distance: from the model, in standard deviations of the difference, where it does not contain it.
    sums : DataFrame
        What each view adds up to, in cents: a row a channel, then `unattributed`, `baseline`, `residual`,
        `unallocated`, and the total. Attributed and ledger: of the quarter; modelled: of the quarter's weeks.
    checks : DataFrame
        ``check, value_cents, threshold_cents, passed``.
    window : tuple of str
        First and last period of the model; empty without one.
    evidence : str
        Why the regression's evidence on all media together is weak; empty where it is not.
    """

    table: pd.DataFrame
    tests: pd.DataFrame
    sums: pd.DataFrame
    checks: pd.DataFrame
    quarter: str
    currency: str
    break_even: float | None
    bias_log_sd: float
    window: tuple[str, ...] = ()
    evidence: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """Keys of the headings of ``shown`` where the column's own would say too little."""
        return {"iroas": "published_iroas", "calibration": "calibration_factor", "source": "rests_on"}

    @property
    def sums_labels(self) -> dict[str, str]:
        """Keys of the headings of ``sums``."""
        return {
            "claimed_cents": "claimed_value",
            "attributed_cents": "attributed_value",
            "modelled_cents": "modelled_revenue",
            "ledger_cents": "invoiced_spend",
        }

    def shown(self) -> pd.DataFrame:
        """Return the columns that a page has room for; no rows where no view has a figure.

        A return too near break-even to call is named so: its data suffice.
        """
        kept = ["channel", "claimed_roas", "attributed_roas", "modelled_iroas", "tested_iroas", "iroas", "low", "high"]
        rows = self.table if self.table[[*kept[1:], "calibration"]].notna().any(axis=None) else self.table.head(0)
        near = rows["verdict_reason"] == "holds_break_even"
        named = rows.assign(verdict=rows["verdict"].mask(near, "holds_break_even"))
        return named[[*kept, "calibration", "source", "verdict"]]

    @property
    def has_returns(self) -> bool:
        """Whether any channel has a return, modelled or tested, to be published."""
        return bool((self.table["source"] != "no_return").any())

    @property
    def formats(self) -> dict[str, str]:
        """How ``shown`` is written."""
        figures = [name for name in self.shown() if name not in ("channel", "source", "verdict")]
        return dict.fromkeys(figures, "number2") | {"calibration": "percent"}

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw what each view says of each channel, by channel, against break-even."""
        frame, words = wording.drawn(self, language)
        return plots.intervals(
            frame, "name", "value", "low", "high", reference=self.break_even, tone="tone", ax=ax, language=language,
            value_format="number2", **words,
        )  # fmt: skip

    def findings(self, language: str = "en") -> list[str]:
        """Say what is left of each claim, on what the figures rest, where they disagree, and whether all adds up."""
        text.check_language(language)
        return wording.findings(self, language)


def read_saved(place: tables.Workspace) -> dict[str, pd.DataFrame]:
    """Return what the attribution and the regression of a unit saved; a table that is not there is left out."""
    found = {name: tables.load(place, *where) for name, where in SAVED.items()}
    return {name: frame for name, frame in found.items() if frame is not None and len(frame)}


def pool(estimates: Sequence[float], errors: Sequence[float]) -> Pooled:
    """
    Pool independent estimates by inverse variance, on whichever scale they are given.

    ``sum(w x) / sum(w)`` with ``w = 1 / se^2``, error ``1 / sqrt(sum(w))``; Cochran's Q is ``sum(w (x - mean)^2)``
    (Cochran, Biometrics 10, 1954), by `statsmodels.stats.meta_analysis`.

    Raises
    ------
    ValueError
        For an error that is not above zero.

    Examples
    --------
    >>> found = pool([1.20, 0.85], [0.30, 0.20])
    >>> round(found.estimate, 4), round(found.error, 4), round(found.q, 4), found.df
    (0.9577, 0.1664, 0.9423, 1)
    >>> round(found.estimate / 4.10, 4)
    0.2336
    """
    effects, errors = np.asarray(estimates, dtype=float), np.asarray(errors, dtype=float)
    if not len(effects) or not (errors > 0).all():
        raise ValueError("standard errors must be above zero, and there must be an estimate")
    if len(effects) == 1:
        return Pooled(float(effects[0]), float(errors[0]), 0.0, 0, float("nan"))
    found = combine_effects(effects, errors**2)
    q, df = float(((effects - found.mean_effect_fe) ** 2 / errors**2).sum()), len(effects) - 1
    return Pooled(float(found.mean_effect_fe), float(found.sd_eff_w_fe), q, df, float(stats.chi2.sf(q, df)))


def triangulate(
    saved: Mapping[str, pd.DataFrame],
    lift_tests: pd.DataFrame | None,
    claimed: ClaimedToBooked,
    spent: SpendToLedger,
    measures: pd.DataFrame,
    ledger: pd.DataFrame | None,
    accounts: Mapping[str, object],
    contribution_margin_share: float,
    model_bias_log_sd: float = BIAS_LOG_SD,
) -> Triangulation:
    """
    Hold what platforms claim, attribution credits, the model finds and experiments measure beside one another.

    Published is, by channel: the model's return where the model contains the channel's experiments, or where there is
    none; the pool of both on the log scale, with ``model_bias_log_sd`` added to the model's error, where an experiment
    is not in the model; the experiment alone where the regression says that its own data are insufficient. Where the
    regression's verdict is only "too near break-even", it is informed and pooled. Break-even iROAS is 1 / margin; the
    calibration factor is what is published over claimed ROAS.

    Parameters
    ----------
    saved : mapping
        As `read_saved` gives it.
    lift_tests : DataFrame or None
        The unit's rows of the table.
    claimed, spent : ClaimedToBooked, SpendToLedger
        The bridges of the quarter.
    measures : DataFrame
        As `measures.compute` gives it.
    ledger : DataFrame or None
    accounts : mapping
        Ledger accounts by line.
    contribution_margin_share : float
        Before marketing, of revenue, from -1 to 1; at zero or less no return pays, and there is no break-even.
    model_bias_log_sd : float
        Standard deviation, on the log scale, of how far the model may be off whatever its interval says.

    Returns
    -------
    Triangulation

    Raises
    ------
    Faults
        For experiments that contradict themselves, a margin or a bias that cannot be.
    """
    fault = margin_fault(contribution_margin_share)
    faults = [fault] if fault else []
    faults += [] if model_bias_log_sd >= 0 else ["model_bias_log_sd must not be negative"]
    faults += _contradictions(lift_tests)
    if faults:
        raise Faults(f"triangulation, {spent.quarter}", faults)
    model = _model(saved)
    specification = _specification(saved.get("specification"))
    tests = _experiments(lift_tests, specification, model)
    views = views_of.views(saved, claimed, spent)
    own = _own_data(saved.get("posterior"))
    names = [*views.index[views["spend_cents"].fillna(0) > 0], *model.index, *tests["channel"]]
    even = break_even(contribution_margin_share)
    rows = []
    for channel in dict.fromkeys(names):
        found = _published(channel, model, tests, even, model_bias_log_sd)
        seen = views.loc[channel].to_dict() if channel in views.index else {}
        alone = _without_prior(channel, own, tests, model_bias_log_sd)
        if even is None:  # the margin alone decides, whatever the return
            found |= {"verdict": LOSES, "verdict_reason": ""}
        rows.append({"channel": channel, "break_even": even} | seen | found | alone)
    table = pd.DataFrame(rows, columns=COLUMNS)
    cents = [name for name in COLUMNS if name.endswith("_cents")]
    table[cents] = table[cents].astype("Int64")
    figures = [
        name
        for name in COLUMNS
        if name.endswith(("roas", "low", "high", "log_sd", "even")) or name in ("q", "q_p_value")
    ]
    table[figures] = table[figures].astype(float)
    for end, name in _ENDS.items():
        table[f"calibration{end}"] = table[name] / table["claimed_roas"].where(table["claimed_roas"] > 0)
    table = table.sort_values(["spend_cents", "channel"], ascending=[False, True], na_position="last", kind="stable")
    sums, tested = views_of.sums(saved, claimed, spent, measures, ledger, accounts, specification)
    return Triangulation(
        table=table.reset_index(drop=True),
        tests=tests[TESTS],
        sums=sums,
        checks=tested,
        quarter=spent.quarter,
        currency=spent.currency,
        break_even=even,
        bias_log_sd=model_bias_log_sd,
        window=(specification["first"], specification["last"]) if specification else (),
        evidence=_weakness(saved.get("iroas")),
    )


_ENDS = {"": "iroas", "_low": "low", "_high": "high"}


def _model(saved) -> pd.DataFrame:
    """Return the model's returns by channel, with mean and error of their log."""
    table = saved.get("iroas")
    if table is None:
        return pd.DataFrame(columns=["iroas", "low", "high", "mean", "sd", "verdict", "verdict_reason", "informed"])
    table = table[table["channel"] != TOTAL].set_index("channel")
    bounds = np.log(table[["iroas", "low", "high"]].astype(float).where(table[["iroas", "low", "high"]] > 0))
    spread = (bounds["high"] - bounds["low"]) / (2 * stats.norm.ppf((1 + LEVEL) / 2))
    logs = pd.DataFrame({"mean": bounds["iroas"], "sd": spread})
    if "posterior" in saved:
        posterior = saved["posterior"]
        exact = posterior[posterior["channel"] == posterior["other"]].set_index("channel")[["mean", "sd"]]
        logs = exact.reindex(logs.index).fillna(logs)
    reason = table["verdict_reason"].fillna("")
    informed = table["verdict"].isin(JUDGED) | (reason == "holds_break_even")
    informed |= (table["verdict"] == LOSES) & (reason == "")
    kept = table[["iroas", "low", "high", "verdict"]].assign(verdict_reason=reason, informed=informed)
    return kept.join(logs)


def _specification(table: pd.DataFrame | None) -> dict[str, str]:
    return {} if table is None else dict(zip(table["key"], table["value"], strict=True))


def _weakness(table: pd.DataFrame | None) -> str:
    """Why the data say too little of all media together, as the regression grades itself."""
    if table is None or table["channel"].iloc[0] != TOTAL:
        return ""
    verdict, reason = table["verdict"].iloc[0], table["verdict_reason"].fillna("").iloc[0]
    if verdict == LOSES:
        return str(reason)
    return "" if verdict in JUDGED or reason == "holds_break_even" else str(reason or verdict)


def _contradictions(tests: pd.DataFrame | None) -> list[str]:
    said = []
    for test in () if tests is None else tests.itertuples():
        figures, level = (test.low, test.iroas, test.high), getattr(test, "level", TEST_LEVEL)
        where = f"lift_tests: {test.channel} from {test.first_day:%Y-%m-%d}"
        if not (np.isfinite(figures).all() and test.low <= test.iroas <= test.high and test.low < test.high):
            said.append(f"{where}: iroas must lie inside low and high. Correct one of them")
        if not (pd.isna(level) or 0.5 <= level < 1):
            said.append(f"{where}: level {level:g} is not that of an interval. Write 0.9 for 90%")
    return said


def _experiments(tests: pd.DataFrame | None, specification: Mapping[str, str], model: pd.DataFrame) -> pd.DataFrame:
    """Return the experiments with their error on the log scale, and what each is used for."""
    if tests is None or not len(tests):
        return pd.DataFrame(columns=[*TESTS, "plain_sd"])
    given = tests.sort_values(["channel", "first_day"]).reset_index(drop=True)
    level = given["level"] if "level" in given else pd.Series(np.nan, given.index)
    given["level"] = level.astype("Float64").astype(float).fillna(TEST_LEVEL)
    reach = 2 * stats.norm.ppf((1 + given["level"]) / 2)
    positive = given["low"] > 0
    logs = np.log(given[["iroas", "low", "high"]].astype(float).where(positive))
    given["log_iroas"], given["log_sd"] = logs["iroas"], (logs["high"] - logs["low"]) / reach
    given["plain_sd"] = (given["high"] - given["low"]) / reach
    given["use"] = [_use(test, specification) for test in given.itertuples()]
    given["distance"] = [_distance(test, model) for test in given.itertuples()]
    return given[[*TESTS, "plain_sd"]]


def _use(test, specification: Mapping[str, str]) -> str:
    """What an experiment may be used for: the saved specification says which ones the model contains."""
    if specification and "lift_tests" not in specification:
        return "not_known"
    for entered in json.loads(specification.get("lift_tests", "[]")):
        days = pd.Timestamp(entered["first"]) - pd.Timedelta(days=6), pd.Timestamp(entered["last"])
        shared = test.first_day <= days[1] and days[0] <= test.last_day
        if entered["channel"] == test.channel and shared and abs(entered["iroas"] - test.iroas) < 1e-9:
            return "in_model"
    if test.low <= 0:
        return "holds_zero"
    if specification:
        begin, end = pd.Timestamp(specification["first"]), pd.Timestamp(specification["last"])
        begin -= pd.Timedelta(days=6 if specification["frequency"] == "week" else 91)
        slack = pd.Timedelta(days=3)
        if test.first_day < begin - slack or test.last_day > end + slack:
            return "outside_window"
    return "pooled"


def _distance(test, model: pd.DataFrame) -> float:
    """How far a test lies from a model that does not contain it, in standard deviations of the difference."""
    if test.channel not in model.index or test.use in ("in_model", "not_known"):
        return np.nan
    row = model.loc[test.channel]
    if test.low > 0:
        return float((test.log_iroas - row["mean"]) / np.hypot(test.log_sd, row["sd"]))
    plain = (row["high"] - row["low"]) / (2 * stats.norm.ppf((1 + LEVEL) / 2))
    return float((test.iroas - row["iroas"]) / np.hypot(test.plain_sd, plain))


def _published(channel: str, model: pd.DataFrame, tests: pd.DataFrame, even: float | None, bias: float) -> dict:
    """Return what is published of one channel, on what it rests, and how it stands to break-even."""
    mine = tests[tests["channel"] == channel]
    apart = mine[mine["use"] == "pooled"]
    said = dict.fromkeys(("iroas", "low", "high", "log_iroas", "log_sd", "q", "q_p_value"), np.nan)
    said |= {"source": "no_return", "verdict": "insufficient_data", "verdict_reason": "", "tests": len(mine)}
    if len(mine):
        latest = mine.loc[mine["last_day"].idxmax()]
        said |= {f"tested_{name}": latest[name] for name in ("iroas", "low", "high")}
    row = model.loc[channel] if channel in model.index else None
    if row is not None:
        said |= {f"modelled_{name}": row[name] for name in ("iroas", "low", "high")}
    if row is not None and pd.isna(row["iroas"]):
        said |= {name: row[name] for name in ("verdict", "verdict_reason")}
        row = None
    if row is not None and (apart.empty or not np.isfinite(row["sd"])):
        said |= {name: row[name] for name in ("iroas", "low", "high", "verdict", "verdict_reason")}
        contains = (mine["use"] == "in_model").any()
        source = "model_with_experiment" if contains else "model_alone"
        return said | {"log_iroas": row["mean"], "log_sd": row["sd"], "source": source}
    if apart.empty:
        return said
    means, errors = list(apart["log_iroas"]), list(apart["log_sd"])
    joined = row is not None and bool(row["informed"])
    if joined:
        means, errors = [row["mean"], *means], [np.hypot(row["sd"], bias), *errors]
    found = pool(means, errors)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * found.error
    figures = {"iroas": found.estimate, "low": found.estimate - reach, "high": found.estimate + reach}
    said |= {name: float(np.exp(value)) for name, value in figures.items()}
    above = stats.norm.cdf((found.estimate - np.log(even or np.nan)) / found.error)
    verdict = "above_break_even" if above >= LIKELY else "below_break_even" if above <= 1 - LIKELY else ""
    said |= {"verdict": verdict or "insufficient_data", "verdict_reason": "" if verdict else "holds_break_even"}
    said |= {"q": found.q, "q_p_value": found.p_value} if found.df else {}
    source = "model_and_experiment" if joined else "experiment_alone"
    return said | {"log_iroas": found.estimate, "log_sd": found.error, "source": source}


def _own_data(posterior: pd.DataFrame | None) -> pd.DataFrame:
    """
    Return what the data say of each channel without the prior: mean and sd of log iROAS.

    Posterior over prior, both Gaussian over all channels at once: precision ``S^-1 - P^-1``. Directions in which the
    data say nothing keep a precision of almost zero. A channel of which the data say less than the prior did is silent,
    and so is one whose chains disagree.
    """
    if posterior is None:
        return pd.DataFrame(columns=["mean", "sd"])
    names = list(dict.fromkeys(posterior["channel"]))
    wide = {
        name: posterior.pivot_table(name, "channel", "other").loc[names, names].to_numpy(dtype=float)
        for name in ("covariance", "prior_covariance")
    }
    on = posterior[posterior["channel"] == posterior["other"]].set_index("channel").loc[names]
    after, before = np.linalg.inv(wide["covariance"]), np.linalg.inv(wide["prior_covariance"])
    values, vectors = np.linalg.eigh(after - before)
    spread = (vectors / np.maximum(values, DIFFUSE)) @ vectors.T
    mean = spread @ (after @ on["mean"].to_numpy(dtype=float) - before @ on["prior_mean"].to_numpy(dtype=float))
    sd = np.sqrt(np.diagonal(spread))
    known = (sd < on["prior_sd"].to_numpy(dtype=float)) & ~(on["r_hat"].to_numpy(dtype=float) > AGREEING)
    return pd.DataFrame({"mean": np.where(known, mean, np.nan), "sd": np.where(known, sd, np.nan)}, index=names)


def _without_prior(channel: str, own: pd.DataFrame, tests: pd.DataFrame, bias: float) -> dict[str, float]:
    """Return the unit's own evidence on a channel: its data and its experiments, each once."""
    mine = tests[tests["channel"] == channel]
    apart = mine[mine["use"] == "pooled"]
    means, errors = list(apart["log_iroas"]), list(apart["log_sd"])
    if channel in own.index and np.isfinite(own.loc[channel, "sd"]):
        contains = (mine["use"] == "in_model").any()
        means.append(own.loc[channel, "mean"])
        errors.append(own.loc[channel, "sd"] if contains else np.hypot(own.loc[channel, "sd"], bias))
    if not means:
        return {"own_log_iroas": np.nan, "own_log_sd": np.nan}
    found = pool(means, errors)
    return {"own_log_iroas": found.estimate, "own_log_sd": found.error}
