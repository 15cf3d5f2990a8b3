"""What a statistician and a CFO ask of a regression before they believe it: residuals, overlap, forecasts, placebos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
from matplotlib.axes import Axes
from scipy import stats
from statsmodels.stats.diagnostic import acorr_ljungbox, het_breuschpagan
from statsmodels.stats.stattools import durbin_watson

from kpitoolkit import plots, text
from kpitoolkit.regression import shapes

LEVEL = 0.05
LARGEST_VIF = 5.0
LAGS = {"week": 4, "quarter": 1}
PERIODS = {"week": 52, "quarter": 4}
HORIZON = {"week": 13, "quarter": 1}
ORIGINS = 4
CHECKS = ("r_squared", "durbin_watson", "ljung_box", "breusch_pagan")
CHECKS += ("rolling_origin", "future_spend", "budget_follows_demand")
COLUMNS = ["check", "channel", "statistic", "p_value", "verdict"]


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Checks of a regression.

    Attributes
    ----------
    table : DataFrame
        check, channel (empty where it concerns the whole), statistic, p_value, verdict (`in_order`, `look_closer`,
        `stated`, `not_examined`).
    residuals : DataFrame
        period_end, residual (of the whitened regression, in its own standard deviations).
    """

    table: pd.DataFrame
    residuals: pd.DataFrame

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the residuals over time: a pattern left in them is something that the model does not know."""
        title = text.translator(language)("What the model leaves unexplained, in standard deviations (draft)")
        return plots.lines(self.residuals, "period_end", "residual", ax=ax, language=language, title=title)

    def findings(self, language: str = "en") -> list[str]:
        """Return what the checks say in sentences, what needs a closer look before what is in order."""
        _ = text.translator(language)
        rows = [row for row in self.table.itertuples() if row.verdict in ("look_closer", "in_order", "stated")]
        rows.sort(key=lambda row: ("look_closer", "stated", "in_order").index(row.verdict))
        sentences = [_sentence(row, language) for row in rows if row.check not in ("vif", "correlation_of_changes")]
        overlapping = [row for row in rows if row.check == "vif"]
        sentences += _overlap(overlapping, language)
        unseen = sorted(set(self.table.loc[self.table["verdict"] == "not_examined", "check"]))
        if unseen:
            names = ", ".join(text.label(check, language) for check in unseen)
            sentences.append(_("Not examined, for want of periods or of spend: {checks}.").format(checks=names))
        sentences.append(_trap(self.table, language))
        if {"future_spend", "budget_follows_demand"} & {row.check for row in rows}:
            sentences.append(
                _(
                    "A placebo that is passed proves nothing: an unseen demand shock in the same period moves spend "
                    "and revenue together, and no placebo sees it. Only an experiment can."
                )
            )
        return [sentence for sentence in sentences if sentence]


def diagnose(
    revenue: np.ndarray,
    baseline: pd.DataFrame,
    media: pd.DataFrame,
    spend: pd.DataFrame,
    *,
    autocorrelation: float,
    frequency: str,
    columns: Sequence[np.ndarray] = (),
    grid: shapes.Grid | None = None,
) -> Diagnostics:
    """Run every check on a fitted regression.

    Parameters
    ----------
    revenue : array of shape (periods,)
    baseline, media : DataFrame of shape (periods, columns)
        The design; `media` at the chosen shapes, one column a channel.
    spend : DataFrame of shape (periods, channels)
        In the window, as it was spent.
    autocorrelation : float
        Of the errors.
    columns, grid
        What `shapes.search` takes: the rolling forecasts choose their shapes anew.

    Returns
    -------
    Diagnostics
    """
    design = np.column_stack([baseline, media]) if media.shape[1] else baseline.to_numpy()
    target, whitened = shapes.whiten(revenue, autocorrelation), shapes.whiten(design, autocorrelation)
    fitted = sm.OLS(target, whitened).fit()
    error = revenue - design @ fitted.params
    total = spend.sum(axis=1).to_numpy()
    rows = [
        ("r_squared", "", 1 - error @ error / ((revenue - revenue.mean()) ** 2).sum(), np.nan, "stated"),
        _durbin_watson(fitted.resid),
        _ljung_box(fitted.resid),
        _breusch_pagan(fitted.resid, design[1:]),
        *[("vif", name, *_judged_vif(variance_inflation(baseline, media)[name])) for name in media.columns],
        ("rolling_origin", "", *rolling_origin(revenue, baseline.to_numpy(), columns, grid, frequency)),
        ("future_spend", "", *future_spend(revenue, design, total, autocorrelation, LAGS[frequency])),
        ("budget_follows_demand", "", *_budget_follows_demand(revenue, baseline.to_numpy(), total, LAGS[frequency])),
        *_levels_and_changes(revenue, total, PERIODS[frequency]),
    ]
    spread = fitted.resid.std() or 1.0
    residuals = pd.DataFrame({"period_end": baseline.index[1:], "residual": fitted.resid / spread})
    return Diagnostics(pd.DataFrame(rows, columns=COLUMNS), residuals)


def not_diagnosed() -> Diagnostics:
    """Return the diagnostics of a regression that could not be fitted: nothing was examined."""
    checks = [*CHECKS, *_CORRELATIONS]
    table = pd.DataFrame({"check": checks, "channel": "", "statistic": np.nan, "p_value": np.nan})
    residuals = pd.DataFrame({"period_end": pd.DatetimeIndex([]), "residual": np.zeros(0)})
    return Diagnostics(table.assign(verdict="not_examined"), residuals)


def variance_inflation(baseline: pd.DataFrame, media: pd.DataFrame) -> pd.Series:
    """Return each media column's variance inflation factor, 1 / (1 - R2) on all the other columns of the design.

    Examples
    --------
    >>> ones = pd.DataFrame({"intercept": np.ones(4)})
    >>> variance_inflation(ones, pd.DataFrame({"a": [1.0, 1, -1, -1], "b": [1.0, -1, 1, -1]})).tolist()
    [1.0, 1.0]
    """
    inflation = {}
    for name in media.columns:
        others = np.column_stack([baseline, media.drop(columns=name)])
        column = media[name].to_numpy()
        left = column - others @ np.linalg.lstsq(others, column, rcond=None)[0]
        around = ((column - column.mean()) ** 2).sum()
        inflation[name] = round(float(around / max(left @ left, 1e-12 * around)), 10) if around > 0 else np.inf
    return pd.Series(inflation, dtype=float)


def granger_f(
    effect: np.ndarray, cause: np.ndarray, lags: int, extra: np.ndarray | None = None
) -> tuple[float, float, int]:
    """Test whether past values of one series help to forecast another beyond its own past (Granger's F test).

    Parameters
    ----------
    effect, cause : array of shape (periods,)
    lags : int
        How many periods back.
    extra : array of shape (periods, columns), optional
        Further columns that both regressions have, beside the intercept.

    Returns
    -------
    statistic, p_value : float
    freedom : int
        Degrees of freedom left; where there are none, statistic and p_value are NaN.
    """
    effect, cause = np.asarray(effect, dtype=float), np.asarray(cause, dtype=float)
    periods = len(effect) - lags
    own = np.column_stack([effect[lags - lag : len(effect) - lag] for lag in range(1, lags + 1)])
    past = np.column_stack([cause[lags - lag : len(cause) - lag] for lag in range(1, lags + 1)])
    small = np.column_stack([np.ones(periods), own] + ([] if extra is None else [extra[lags:]]))
    large = np.column_stack([small, past])
    freedom = periods - np.linalg.matrix_rank(large)
    gained = np.linalg.matrix_rank(large) - np.linalg.matrix_rank(small)
    if freedom <= 0 or gained == 0:
        return np.nan, np.nan, int(freedom)
    squares = [_squares(effect[lags:], each) for each in (small, large)]
    statistic = (squares[0] - squares[1]) / gained / (squares[1] / freedom)
    return float(statistic), float(stats.f.sf(statistic, gained, freedom)), int(freedom)


def future_spend(
    revenue: np.ndarray, design: np.ndarray, spend: np.ndarray, autocorrelation: float, leads: int
) -> tuple[float, float, str]:
    """Test that spend of the next periods explains nothing of today's revenue (a placebo): F on HAC errors."""
    rows = len(revenue) - leads
    if rows - 1 - design.shape[1] - leads < leads + 2 or not spend.any():
        return np.nan, np.nan, "not_examined"
    ahead = np.column_stack([spend[lead : lead + rows] for lead in range(1, leads + 1)])
    ahead = (ahead - ahead.mean(axis=0)) / (ahead.std(axis=0) + 1e-300)
    whole = shapes.whiten(np.column_stack([design[:rows], ahead]), autocorrelation)
    fitted = sm.OLS(shapes.whiten(revenue[:rows], autocorrelation), whole).fit(
        cov_type="HAC", cov_kwds={"maxlags": shapes.hac_lags(rows), "use_correction": True}, use_t=True
    )
    chosen = np.eye(whole.shape[1])[-leads:]
    test = fitted.f_test(chosen)
    return _judged(float(np.squeeze(test.fvalue)), float(np.squeeze(test.pvalue)))


def rolling_origin(
    revenue: np.ndarray,
    baseline: np.ndarray,
    columns: Sequence[np.ndarray],
    grid: shapes.Grid | None,
    frequency: str,
) -> tuple[float, float, str]:
    """Forecast each of the last four quarters from what came before it, spend and controls given.

    Returns
    -------
    statistic : float
        Mean absolute error over that of the seasonal naive forecast (the same period a year before).
    p_value : float
        NaN.
    verdict : {"in_order", "look_closer", "not_examined"}
    """
    horizon, year = HORIZON[frequency], PERIODS[frequency]
    shortest = len(revenue) - ORIGINS * horizon
    if shortest < max(year + horizon, baseline.shape[1] + 3 * len(columns) + 2):
        return np.nan, np.nan, "not_examined"
    error, naive = [], []
    for origin in range(shortest, len(revenue), horizon):
        ahead = slice(origin, origin + horizon)
        seen = [each[:origin] for each in columns]
        chosen, _ = shapes.search(revenue[:origin], baseline[:origin], seen, grid, starts=1) if seen else ([], 0.0)
        known = shapes.join(baseline[:origin], seen, chosen)
        coefficients = np.linalg.lstsq(known, revenue[:origin], rcond=None)[0]
        later = shapes.join(baseline[ahead], [each[ahead] for each in columns], chosen)
        error.extend(np.abs(revenue[ahead] - later @ coefficients))
        naive.extend(np.abs(revenue[ahead] - revenue[origin - year : origin - year + horizon]))
    ratio = float(np.mean(error) / np.mean(naive)) if np.mean(naive) > 0 else np.inf
    return ratio, np.nan, "in_order" if ratio < 1 else "look_closer"


def _judged(statistic: float, p_value: float) -> tuple[float, float, str]:
    if not np.isfinite(p_value):
        return np.nan, np.nan, "not_examined"
    return statistic, p_value, "look_closer" if p_value < LEVEL else "in_order"


def _judged_vif(inflation: float) -> tuple[float, float, str]:
    return inflation, np.nan, "look_closer" if inflation >= LARGEST_VIF else "in_order"


def _durbin_watson(error: np.ndarray) -> tuple:
    statistic = float(durbin_watson(error))
    return "durbin_watson", "", statistic, np.nan, "in_order" if 1.5 <= statistic <= 2.5 else "look_closer"


def _ljung_box(error: np.ndarray) -> tuple:
    """Ljung-Box's test of whitened errors: one degree of freedom went into the AR(1) coefficient."""
    test = acorr_ljungbox(error, lags=[max(2, min(10, len(error) // 5))], model_df=1)
    return "ljung_box", "", *_judged(float(test["lb_stat"].iloc[0]), float(test["lb_pvalue"].iloc[0]))


def _breusch_pagan(error: np.ndarray, design: np.ndarray) -> tuple:
    if len(error) <= design.shape[1] + 1:
        return "breusch_pagan", "", np.nan, np.nan, "not_examined"
    statistic, p_value, _f, _p = het_breuschpagan(error, design)
    return "breusch_pagan", "", *_judged(float(statistic), float(p_value))


def _budget_follows_demand(revenue: np.ndarray, baseline: np.ndarray, spend: np.ndarray, lags: int) -> tuple:
    if spend.std() == 0:
        return np.nan, np.nan, "not_examined"
    statistic, p_value, freedom = granger_f(spend / spend.mean(), revenue / revenue.mean(), lags, baseline[:, 1:])
    return _judged(statistic, p_value) if freedom > lags else (np.nan, np.nan, "not_examined")


def _levels_and_changes(revenue: np.ndarray, spend: np.ndarray, year: int) -> list[tuple]:
    """Correlation of levels beside that of year-on-year changes: two series that both grow agree without a reason."""
    if len(revenue) < year + 5 or spend.std() == 0 or (np.minimum(spend, revenue)[:-year] <= 0).any():
        return [(name, "", np.nan, np.nan, "not_examined") for name in _CORRELATIONS]
    levels = correlation(revenue, spend)
    changes = correlation(revenue[year:] / revenue[:-year], spend[year:] / spend[:-year])
    trap = levels[0] > 0.7 and (changes[1] >= LEVEL or changes[0] <= 0)
    verdict = "look_closer" if trap else "stated"
    return [(name, "", *test, verdict) for name, test in zip(_CORRELATIONS, (levels, changes), strict=True)]


def correlation(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return Pearson's correlation of two series and its p-value, with as many periods as their memory leaves.

    Neighbouring periods repeat one another: the periods counted are ``n (1 - r1 r2) / (1 + r1 r2)`` with the two
    series' own lag-1 autocorrelations (Bartlett 1935), n at most and 3 at least.

    Examples
    --------
    >>> round(correlation(np.array([1.0, 3, 2, 4, 3]), np.array([2.0, 6, 4, 8, 6]))[0], 6)
    1.0
    """
    found = float(np.corrcoef(one, other)[0, 1])
    memory = np.prod([np.corrcoef(each[1:], each[:-1])[0, 1] for each in (one, other)])
    periods = float(np.clip(len(one) * (1 - memory) / (1 + memory), 3, len(one)))
    statistic = found * np.sqrt((periods - 2) / max(1 - found**2, 1e-12))
    return found, float(2 * stats.t.sf(abs(statistic), periods - 2))


_CORRELATIONS = ("correlation_of_levels", "correlation_of_changes")


def _squares(target: np.ndarray, design: np.ndarray) -> float:
    left = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return float(left @ left)


def _p_text(p_value: float, language: str) -> str:
    if p_value < 0.001:
        return "p < " + text.number(0.001, language, 3)
    return "p = " + text.number(p_value, language, 3)


def _sentence(row, language: str) -> str:
    _ = text.translator(language)
    calm = row.verdict != "look_closer"
    sentences = {
        "r_squared": _("The model follows {share} of revenue's movement (R2); a high share is no proof of a cause."),
        "durbin_watson": _("After the AR(1) correction neighbouring errors are unrelated (Durbin-Watson {statistic}).")
        if calm
        else _(
            "After the AR(1) correction neighbouring errors are still related (Durbin-Watson {statistic}): the model "
            "misses something that lasts."
        ),
        "ljung_box": _("After the AR(1) correction no pattern over time is left in the errors (Ljung-Box {p}).")
        if calm
        else _(
            "After the AR(1) correction a pattern over time is left in the errors (Ljung-Box {p}): intervals may "
            "be too narrow."
        ),
        "breusch_pagan": _("The errors' size is steady (Breusch-Pagan {p}).")
        if calm
        else _("The errors' size varies (Breusch-Pagan {p}); the intervals allow for it."),
        "rolling_origin": _(
            "Forecasting the last four quarters, the model errs by {share} of what repeating the year before would."
        ),
        "future_spend": _("Placebo: spend of the coming periods does not explain today's revenue ({p}).")
        if calm
        else _(
            "Placebo failed: spend of the coming periods explains today's revenue ({p}). Budgets may anticipate "
            "demand; the contributions are then overstated."
        ),
        "budget_follows_demand": _("Budgets do not follow past revenue ({p}).")
        if calm
        else _("Budgets follow past revenue ({p}): part of what looks like media's contribution may be demand."),
        "correlation_of_levels": "",
    }
    return sentences[row.check].format(
        share=text.percent(row.statistic, language),
        statistic=text.number(row.statistic, language, 2),
        p=_p_text(row.p_value, language),
    )


def _overlap(rows: list, language: str) -> list[str]:
    _ = text.translator(language)
    high = [row for row in rows if row.verdict == "look_closer"]
    if high:
        names = ", ".join(
            f"{text.label(row.channel, language)} ({text.number(row.statistic, language, 1)})" for row in high
        )
        sentence = _("Hard to tell apart from the rest, variance inflation of {limit} or more: {channels}.")
        return [sentence.format(channels=names, limit=text.number(LARGEST_VIF, language))]
    if rows:
        largest = max(row.statistic for row in rows)
        sentence = _("The channels can be told apart: variance inflation is {largest} at most.")
        return [sentence.format(largest=text.number(largest, language, 1))]
    return []


def _trap(table: pd.DataFrame, language: str) -> str:
    _ = text.translator(language)
    levels, changes = (table[table["check"] == name].iloc[0] for name in _CORRELATIONS)
    if levels["verdict"] == "not_examined":
        return ""
    if levels["verdict"] != "look_closer":
        sentence = _(
            "Correlation of spend and revenue: {levels} in levels, {changes} in changes on a year before ({p})."
        )
    elif changes["p_value"] >= LEVEL:
        sentence = _(
            "A trap: spend and revenue go together in levels (correlation {levels}), for both grow; in changes on a "
            "year before it is {changes}, which chance alone could give ({p}). The levels are no evidence of an effect."
        )
    else:
        sentence = _(
            "A trap: spend and revenue go together in levels (correlation {levels}), for both grow; in changes on a "
            "year before they go against one another ({changes}, {p}). The levels are no evidence of an effect."
        )
    return sentence.format(
        levels=text.number(levels["statistic"], language, 2),
        changes=text.number(changes["statistic"], language, 2),
        p=_p_text(changes["p_value"], language),
    )
