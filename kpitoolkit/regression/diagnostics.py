"""What a statistician and a CFO ask of a regression before they believe it.

Residuals, overlap of channels, forecasts, placebos, what the data added to the prior, and whether the sampler settled:
each check has a verdict in words. Tests of one kind over several series are corrected together (Holm).
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from statsmodels.stats.diagnostic import acorr_ljungbox, het_breuschpagan
from statsmodels.stats.stattools import durbin_watson

from kpitoolkit import plots, text
from kpitoolkit.regression import diagnostics_wording, forecasts, linear
from kpitoolkit.regression import posterior as posteriors
from kpitoolkit.regression.diagnostics_wording import LEVEL
from kpitoolkit.regression.posterior import Posterior
from kpitoolkit.regression.problem import Problem
from kpitoolkit.regression.returns import AGREEING, SILENT, SPOKEN, own_data
from kpitoolkit.regression.transparent import media_columns

LARGEST_VIF = 5.0
SMALLEST_ESS = 400
DIVERGENT = 0.01
BELOW_ZERO = 0.05
SAME_OPTIMUM, NEAR_OPTIMUM = 0.1, 3.0
LAGS = {"week": 4, "quarter": 1}
WHOLE = ("r_squared", "durbin_watson", "ljung_box", "breusch_pagan", "rolling_origin")
WHOLE += ("future_spend", "budget_follows_demand", "correlation_of_levels", "correlation_of_changes")
WHOLE += ("baseline_below_zero", "optima", "divergences")
BY_CHANNEL = ("vif", "channel_out_of_sample", "own_data", "r_hat", "ess")
COLUMNS = ["check", "channel", "statistic", "p_value", "verdict"]


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Checks of a regression.

    Attributes
    ----------
    table : DataFrame
        check, channel (empty where it concerns the whole), statistic, p_value (of placebos and of forecasts without a
        channel: corrected by Holm for all the series tested), verdict (`in_order`, `look_closer`, `stated`,
        `not_examined`).
    residuals : DataFrame
        period_end, residual (of the whitened regression, in its own standard deviations).
    errors : DataFrame
        period_end, `model`, `seasonal_naive`, `without_<channel>`: absolute forecasting errors in currency.
    """

    table: pd.DataFrame
    residuals: pd.DataFrame
    errors: pd.DataFrame = field(default_factory=pd.DataFrame)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the residuals over time: a pattern left in them is something that the model does not know."""
        title = text.translator(language)("What the model leaves unexplained, in standard deviations")
        return plots.lines(self.residuals, "period_end", "residual", ax=ax, language=language, title=title)

    def findings(self, language: str = "en") -> list[str]:
        """Return what the checks say in sentences, what needs a closer look before what is in order."""
        return diagnostics_wording.findings(self.table, language)

    def shown(self, language: str = "en", worst: bool = False) -> pd.DataFrame:
        """The table as pages show it: figures and p-values in words, so that none is written 0.000.

        Parameters
        ----------
        worst : bool
            One row a check: of several channels the one that most needs a closer look.
        """
        return diagnostics_wording.shown(diagnostics_wording.worst(self.table) if worst else self.table, language)


def diagnose(post: Posterior | None, *, seed: int = 0) -> Diagnostics:
    """Run every check on a fitted model.

    Parameters
    ----------
    post : Posterior or None
        None, where nothing could be fitted: nothing is examined.
    seed : int
        Of the drafts that forecast.

    Returns
    -------
    Diagnostics
    """
    if post is None:
        return not_diagnosed()
    problem = post.problem
    rho = float(posteriors.point(post.autocorrelation))
    media = media_columns(post) / problem.scale
    design = np.column_stack([problem.baseline, media])
    expected = posteriors.point(posteriors.contributions(post)).sum(axis=1) / problem.scale
    expected = expected + problem.baseline.to_numpy() @ posteriors.point(post.baseline)
    error = problem.revenue - expected
    whitened = linear.whiten(error, rho)
    around = ((problem.revenue - problem.revenue.mean()) ** 2).sum()
    errors = forecasts.rolling_errors(problem, seed)
    rows = [
        ("r_squared", "", 1 - error @ error / around if around > 0 else np.nan, np.nan, "stated"),
        _durbin_watson(whitened),
        _ljung_box(whitened),
        _breusch_pagan(whitened, design[1:]),
        _rolling_origin(errors),
        *_placebos(post, design, rho),
        *_levels_and_changes(problem),
        *_overlap(problem.baseline, media),
        *_without_each(problem.channels, errors),
        *_own_data(post),
        _baseline_below_zero(post),
        *_sampler(post),
    ]
    spread = whitened.std() or 1.0
    residuals = pd.DataFrame({"period_end": problem.period_end[1:], "residual": whitened / spread})
    return Diagnostics(pd.DataFrame(rows, columns=COLUMNS), residuals, errors)


def not_diagnosed() -> Diagnostics:
    """Return the diagnostics of a regression that could not be fitted: nothing was examined."""
    table = pd.DataFrame({"check": WHOLE, "channel": "", "statistic": np.nan, "p_value": np.nan})
    residuals = pd.DataFrame({"period_end": pd.DatetimeIndex([]), "residual": np.zeros(0)})
    return Diagnostics(table.assign(verdict="not_examined"), residuals)


def _judged(statistic: float, p_value: float) -> tuple[float, float, str]:
    if not np.isfinite(p_value):
        return np.nan, np.nan, "not_examined"
    return statistic, p_value, "look_closer" if p_value < LEVEL else "in_order"


def _family(check: str, tests: dict[str, tuple[float, float]]) -> list[tuple]:
    """Rows of tests of one kind, their p-values corrected for their number."""
    corrected = linear.holm([p_value for _statistic, p_value in tests.values()])
    return [
        (check, channel, *_judged(statistic, float(p_value)))
        for (channel, (statistic, _p)), p_value in zip(tests.items(), corrected, strict=True)
    ]


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


def _rolling_origin(errors: pd.DataFrame) -> tuple:
    """Mean absolute error over that of the seasonal-naive forecast."""
    if not len(errors):
        return "rolling_origin", "", np.nan, np.nan, "not_examined"
    naive = errors["seasonal_naive"].mean()
    ratio = float(errors["model"].mean() / naive) if naive > 0 else np.inf
    return "rolling_origin", "", ratio, np.nan, "in_order" if ratio < 1 else "look_closer"


def _without_each(channels: tuple[str, ...], errors: pd.DataFrame) -> list[tuple]:
    """Error without each channel over the error with it; whether chance could make the difference (Diebold-Mariano)."""
    if not len(errors):
        return [("channel_out_of_sample", name, np.nan, np.nan, "not_examined") for name in channels]
    own = errors["model"].to_numpy()
    tests = [linear.worse_forecasts(errors[f"without_{name}"].to_numpy(), own) for name in channels]
    corrected = linear.holm([p_value for _statistic, p_value in tests])
    rows = []
    for name, (statistic, _p), p_value in zip(channels, tests, corrected, strict=True):
        ratio = float(errors[f"without_{name}"].mean() / own.mean()) if own.any() else np.nan
        found = np.isfinite(p_value) and p_value < LEVEL
        verdict = ("in_order" if statistic > 0 else "look_closer") if found else "stated"
        rows.append(("channel_out_of_sample", name, ratio, float(p_value), verdict))
    return rows


def _placebos(post: Posterior, design: np.ndarray, rho: float) -> list[tuple]:
    """Future spend must not explain today's revenue, and past demand must not explain spend: whole and channels.

    Demand is revenue less what media brought: revenue itself still carries the spend of earlier periods, and that
    foretells flights (where nothing was wrong it failed 15% of simulated companies, demand 5%; and feedback on demand
    was seen twice as often).
    """
    problem = post.problem
    demand = problem.revenue - posteriors.point(posteriors.contributions(post)).sum(axis=1) / problem.scale
    lags = LAGS[problem.frequency]
    spend = problem.spend[-problem.window :] * problem.mean_active / problem.scale
    series = {name: spend[:, place] for place, name in enumerate(problem.channels)}
    series = {"": spend.sum(axis=1)} | (series if len(series) > 1 else {})
    ahead = {name: linear.future_spend_f(problem.revenue, design, each, rho, lags) for name, each in series.items()}
    behind = {name: _follows(each, demand, problem, lags) for name, each in series.items()}
    return _family("future_spend", ahead) + _family("budget_follows_demand", behind)


def _follows(spend: np.ndarray, demand: np.ndarray, problem: Problem, lags: int) -> tuple[float, float]:
    if spend.std() == 0:
        return np.nan, np.nan
    extra = problem.baseline.to_numpy()[:, 1:]
    statistic, p_value, freedom = linear.granger_f(spend / spend.mean(), demand, lags, extra)
    return (statistic, p_value) if freedom > lags else (np.nan, np.nan)


def _levels_and_changes(problem: Problem) -> list[tuple]:
    """Correlation of levels beside that of year-on-year changes: two series that both grow agree without a reason."""
    year, names = forecasts.YEAR[problem.frequency], ("correlation_of_levels", "correlation_of_changes")
    revenue = problem.revenue
    spend = (problem.spend[-problem.window :] * problem.mean_active).sum(axis=1)
    if len(revenue) < year + 5 or spend.std() == 0 or (np.minimum(spend, revenue)[:-year] <= 0).any():
        return [(name, "", np.nan, np.nan, "not_examined") for name in names]
    levels = linear.correlation(revenue, spend)
    changes = linear.correlation(revenue[year:] / revenue[:-year], spend[year:] / spend[:-year])
    trap = levels[0] > 0.7 and (changes[1] >= LEVEL or changes[0] <= 0)
    verdict = "look_closer" if trap else "stated"
    return [(name, "", *test, verdict) for name, test in zip(names, (levels, changes), strict=True)]


def _overlap(baseline: pd.DataFrame, media: pd.DataFrame) -> list[tuple]:
    found = linear.variance_inflation(baseline, media)
    return [
        ("vif", name, float(each), np.nan, "look_closer" if each >= LARGEST_VIF else "in_order")
        for name, each in found.items()
    ]


def _own_data(post: Posterior) -> list[tuple]:
    rows = []
    for name, left in zip(post.problem.channels, own_data(post), strict=True):
        verdict = "look_closer" if left >= SILENT else "stated" if left >= SPOKEN else "in_order"
        rows.append(("own_data", name, float(left), np.nan, verdict))
    return rows


def _baseline_below_zero(post: Posterior) -> tuple:
    """Share of draws whose baseline falls below zero in any period."""
    share = float((posteriors.baseline(post) < 0).any(axis=1).mean())
    return "baseline_below_zero", "", share, np.nan, "look_closer" if share > BELOW_ZERO else "in_order"


def _sampler(post: Posterior) -> list[tuple]:
    """Whether the chains agree and are long enough, and whether the search found other explanations nearly as good."""
    rows = []
    for check, values in (("r_hat", post.r_hat), ("ess", post.ess)):
        for name, value in zip(post.problem.channels, values, strict=True):
            fine = value < AGREEING if check == "r_hat" else value >= SMALLEST_ESS
            verdict = "not_examined" if np.isnan(value) else "in_order" if fine else "look_closer"
            rows.append((check, name, float(value), np.nan, verdict))
    share = post.divergences / len(post.iroas)
    verdict = "not_examined" if post.kind == "draft" else "in_order" if share < DIVERGENT else "look_closer"
    rows.append(("divergences", "", np.nan if post.kind == "draft" else share, np.nan, verdict))
    return [*rows, ("optima", "", *_optima(np.asarray(post.optima, dtype=float)))]


def _optima(heights: np.ndarray) -> tuple[float, float, str]:
    """How far below the best height the next lies: another explanation within three log units is nearly as good."""
    heights = heights[np.isfinite(heights)]
    if len(heights) < 2:
        return np.nan, np.nan, "not_examined"
    below = heights.max() - heights
    others = below[below > SAME_OPTIMUM]
    if not len(others):
        return 0.0, np.nan, "in_order"
    gap = float(others.min())
    return gap, np.nan, "look_closer" if gap < NEAR_OPTIMUM else "in_order"
