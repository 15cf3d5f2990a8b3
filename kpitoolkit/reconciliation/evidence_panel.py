"""The regression behind the evidence: one unit or several, by week or by quarter, with corrections for small samples.

The company KPI is regressed on its own lags, trend, season, controls and the marketing KPI at lags declared in advance;
several units are pooled with effects, trend and season of each unit and effects of each period. Both KPIs are divided,
unit by unit, by the standard deviation of their own movement beside trend, season and controls: effects are in these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

SEASON_PAIRS = 3  # sines and cosines of a year of weeks
WEEKS_A_YEAR = 365.25 / 7
OWN_LAGS = {"week": 2, "quarter": 1}
BACK = {"week": 4, "quarter": 1}  # lags of the company KPI in the reverse test
AHEAD = {"week": 2, "quarter": 1}  # leads of the placebo
FIRST_FORECAST = 0.7  # share of the periods before the first forecast
WEEKS_A_REFIT = 4
FLAT = 1e-9  # of the largest value: no movement that could be told from rounding
LONGEST_ROOT, FADING, STEPS = 0.97, 60, 4
WEBB = np.sqrt([0.5, 1.0, 1.5])
DRAWS, SEED = 999, 20261122


@dataclass(frozen=True, eq=False)
class Panel:
    """
    Two KPIs and what is held constant: arrays of periods x units, NaN where there is no figure.

    ``first`` is the position of the first period within the year (for the season of quarters).
    """

    company: np.ndarray
    marketing: np.ndarray
    frequency: str
    controls: tuple[np.ndarray, ...] = ()
    first: int = 0
    units: tuple[str, ...] = ("",)

    def season(self) -> np.ndarray:
        """Constant, trend and season by period."""
        periods = np.arange(len(self.company)) + self.first
        trend = np.linspace(-1, 1, len(periods))
        if self.frequency == "week":
            turns = 2 * np.pi * np.outer(periods / WEEKS_A_YEAR, np.arange(1, SEASON_PAIRS + 1))
            season = np.column_stack([np.sin(turns), np.cos(turns)])
        else:
            season = np.equal.outer(periods % 4, np.arange(3)).astype(float)
        return np.column_stack([np.ones(len(periods)), trend, season])


@dataclass(frozen=True, eq=False)
class Fit:
    """
    Effects of the lags in standard deviations, with their standard errors and degrees of freedom.

    ``covariances`` are the classical one and the one robust to what is left over time and across units; ``own`` are the
    company KPI's own lags, and ``plain`` own lags and effects before their bias is taken out.
    """

    effects: np.ndarray
    errors: np.ndarray
    covariances: tuple[np.ndarray, ...]
    freedom: int
    own: np.ndarray
    plain: np.ndarray
    scale_company: np.ndarray
    scale_marketing: np.ndarray
    rows: int
    periods: int
    residuals: np.ndarray = field(repr=False)
    regressors: np.ndarray = field(repr=False)
    unit_of_row: np.ndarray = field(repr=False)

    def p_values(self) -> np.ndarray:
        """Two-sided p-value of each effect."""
        return 2 * stats.t.sf(np.abs(self.effects) / self.errors, self.freedom)

    def joint_ratio(self) -> float:
        """F of all effects together: the smaller of both covariances'."""
        return min(
            float(self.effects @ np.linalg.lstsq(covariance, self.effects, rcond=None)[0] / len(self.effects))
            for covariance in self.covariances
        )

    def joint_p(self) -> float:
        """P-value that all effects are zero, by an F test."""
        return float(stats.f.sf(self.joint_ratio(), len(self.effects), self.freedom))

    def shrunk(self) -> np.ndarray:
        """Effects times ``max(0, 1 - 1 / F)``: what is left of them once their own sampling error is taken off."""
        return self.effects * max(0.0, 1 - 1 / max(self.joint_ratio(), 1e-300))

    def half_widths(self, level: float) -> np.ndarray:
        """Half the width of each effect's interval."""
        return stats.t.ppf(0.5 + level / 2, self.freedom) * self.errors

    def smaller_than(self, margin: float) -> float:
        """P-value of the test that an effect is as large as the margin (two one-sided tests; the worst of the lags)."""
        beyond = (margin - np.abs(self.effects)) / self.errors
        return float(stats.t.sf(beyond, self.freedom).max())

    def smallest_effect(self, power: float = 0.8, level: float = 0.05) -> float:
        """The effect that a test at this level would have found with this power."""
        quantiles = stats.t.ppf(1 - level / 2 / len(self.effects), self.freedom) + stats.t.ppf(power, self.freedom)
        return float(quantiles * self.errors.min())


class NotTestable(ValueError):
    """These series cannot be tested; the message is the key of the reason."""


def scaled(
    values: np.ndarray, season: np.ndarray, controls: Sequence[np.ndarray] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """
    Divide each unit's series by the standard deviation of its movement beside trend, season and controls.

    Raises
    ------
    NotTestable
        ``constant``: a unit's series does not move beside trend, season and controls.
    """
    deviations = np.full(values.shape[1], np.nan)
    for unit, own in enumerate(values.T):
        known = np.isfinite(own)
        basis = _orthonormal(np.column_stack([season, *(control[:, unit] for control in controls)])[known])
        rest = own[known] - basis @ (basis.T @ own[known])
        freedom = known.sum() - basis.shape[1]
        if freedom < 1 or np.sqrt(rest @ rest / freedom) <= FLAT * max(np.abs(own[known]).max(), 1e-300):
            raise NotTestable("constant")
        deviations[unit] = np.sqrt(rest @ rest / freedom)
    return values / deviations, deviations


def fit(panel: Panel, lags: Sequence[int], beside: Sequence[int] = (), back: Fit | None = None) -> Fit:
    r"""
    Regress the company KPI on its own lags, the marketing KPI at ``lags`` and all that is held constant.

    .. math:: y_{ut} = \sum_j \rho_j y_{u,t-j} + \sum_l \beta_l x_{u,t-l} + \gamma' z_{ut}
              + \alpha_u + \delta_u t + s_u(t) + \lambda_t + e_{ut}

    The least-squares estimate is corrected for the bias of own lags beside effects of units, trends and seasons
    (Nickell 1981): :math:`(W'MW)^{-1} \sigma^2 [tr(M C_1), ...]`, the leading term of Kiviet (1995), where *M* removes
    what is held constant and :math:`C_j` carries an error into regressor *j*: into own lags, and, where the marketing
    KPI follows the company KPI (``back``), into its lags as well; iterated. The standard error is the larger of the
    classical one and Newey and West's over time, in which units' errors of one period may go together (Driscoll and
    Kraay 1998).

    Parameters
    ----------
    panel : Panel
    lags : sequence of int
        Of the marketing KPI; a negative one is a lead.
    beside : sequence of int
        Further lags that are held constant.
    back : Fit, optional
        Of the marketing KPI on the company KPI's lags 1, 2, ...

    Raises
    ------
    NotTestable
        ``constant``, ``too_short`` (fewer than three degrees of freedom) or ``same_figures`` (the marketing KPI cannot
        be told from what is held constant, such as the company KPI's own past).
    """
    season = panel.season()
    company, scale_company = scaled(panel.company, season, panel.controls)
    marketing, scale_marketing = scaled(panel.marketing, season, panel.controls)
    count, own_lags = company.shape[0], OWN_LAGS[panel.frequency]
    own = np.stack([_shifted(company, lag) for lag in range(1, own_lags + 1)])
    moved = np.stack([_shifted(marketing, lag) for lag in lags])
    held = [_shifted(marketing, lag) for lag in beside] + [control for control in panel.controls]
    every = np.concatenate([company[None], own, moved, *[h[None] for h in held]])
    known = np.isfinite(every).all(axis=0)
    unit_of_row, row_period = (index.ravel() for index in np.nonzero(known.T))
    if len(unit_of_row) == 0:
        raise NotTestable("too_short")
    units = np.unique(unit_of_row)
    blocks = [np.where((unit_of_row == unit)[:, None], season[row_period], 0.0) for unit in units]
    if len(units) > 1:
        blocks.append(np.equal.outer(row_period, np.unique(row_period)[1:]).astype(float))
    blocks += [h.T[unit_of_row, row_period][:, None] for h in held]
    basis = _orthonormal(np.column_stack(blocks))
    pick = lambda a: a[..., row_period, unit_of_row]  # noqa: E731
    regressors = np.column_stack([pick(own).T, pick(moved).T])
    before = (regressors**2).sum(axis=0)
    response = pick(company)
    regressors, response = (a - basis @ (basis.T @ a) for a in (regressors, response))
    freedom = len(response) - basis.shape[1] - regressors.shape[1]
    if freedom < 3:
        raise NotTestable("too_short")
    _refuse_copies(regressors, before, own_lags)
    inverse = np.linalg.inv(regressors.T @ regressors)
    plain = inverse @ (regressors.T @ response)
    found = plain
    lagged = _lagged(basis, row_period, unit_of_row, company.shape, min(count, FADING))
    for _ in range(STEPS):
        rest = response - regressors @ found
        bias = -np.array(_responses(found, own_lags, lags, back, count)) @ lagged
        found = plain - inverse @ bias * (rest @ rest / freedom)
    rest = response - regressors @ found
    classical = inverse * (rest @ rest / freedom)
    scores = np.zeros((count, regressors.shape[1]))
    np.add.at(scores, row_period, regressors * rest[:, None])
    robust = inverse @ _long_run(scores, len(np.unique(row_period))) @ inverse * (len(rest) / freedom)
    effects = slice(own_lags, None)
    covariances = classical[effects, effects], robust[effects, effects]
    errors = np.sqrt(np.maximum(*(np.diag(covariance) for covariance in covariances)))
    return Fit(
        found[effects], errors, covariances, freedom, found[:own_lags], plain, scale_company, scale_marketing,
        len(rest), len(np.unique(row_period)), rest, regressors, unit_of_row,
    )  # fmt: skip


def _refuse_copies(regressors: np.ndarray, before: np.ndarray, own_lags: int) -> None:
    left = (regressors**2).sum(axis=0)
    if (left[:own_lags] <= FLAT * before[:own_lags]).any():
        raise NotTestable("constant")
    for column in range(own_lags, regressors.shape[1]):
        others = np.delete(regressors, column, axis=1)
        own = regressors[:, column]
        rest = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
        if rest @ rest <= FLAT * before[column]:
            raise NotTestable("same_figures")


def _responses(found: np.ndarray, own_lags: int, lags: Sequence[int], back: Fit | None, count: int) -> list[np.ndarray]:
    """
    What an error of the company KPI becomes in each regressor, period by period after it.

    Where the estimated system would not fade, its lags are damped until its largest root is .97.
    """
    length, longest = min(count, FADING), max(own_lags, *lags, len(back.own) if back else 0, 1)
    system = np.zeros((longest + 1, 2, 2))  # lag, equation (company, marketing), variable
    system[1 : own_lags + 1, 0, 0] = found[:own_lags]
    if back is not None:
        longest = max(longest, len(back.effects))
        system = np.concatenate([system, np.zeros((longest + 1 - len(system), 2, 2))])
        past = [(lag, effect) for lag, effect in zip(lags, found[own_lags:], strict=True) if lag > 0]
        for lag, effect in past:
            system[lag, 0, 1] = effect
        system[1 : len(back.own) + 1, 1, 1] = back.own
        system[1 : len(back.effects) + 1, 1, 0] = back.effects
    companion = np.eye(2 * longest, k=-2)
    companion[:2] = np.concatenate(system[1:], axis=1)
    largest = np.abs(np.linalg.eigvals(companion)).max()
    if largest > LONGEST_ROOT:
        system *= ((LONGEST_ROOT / largest) ** np.arange(longest + 1))[:, None, None]
    paths = np.zeros((length, 2))
    paths[0, 0] = 1.0
    for t in range(1, length):
        reach = min(t, longest)
        paths[t] = np.einsum("kij,kj->i", system[1 : reach + 1], paths[t - reach : t][::-1])
    company, marketing = paths.T
    into = [np.r_[np.zeros(lag), company][:length] for lag in range(1, own_lags + 1)]
    return into + [np.r_[np.zeros(max(lag, 0)), marketing][:length] * (lag >= 0) for lag in lags]


def _lagged(basis, row_period, unit_of_row, shape, length: int) -> np.ndarray:
    """Sums of the products of a basis' rows with those of the same unit so many periods earlier, 0 to ``length - 1``.

    With C_j what an error becomes in a regressor after so many periods, ``tr(M C_j)`` is minus the product of the two:
    M = I - QQ', and C_j has no diagonal, so that only Q counts.
    """
    grid = np.zeros((*shape, basis.shape[1]))
    grid[row_period, unit_of_row] = basis
    return np.array([(grid[lag:] * grid[: len(grid) - lag]).sum() for lag in range(length)])


def _long_run(scores: np.ndarray, periods: int) -> np.ndarray:
    """Newey and West's sum of the scores' covariances, with Bartlett's weights and ``4 (T / 100)^(2/9)`` lags."""
    total = scores.T @ scores
    lags = int(4 * (periods / 100) ** (2 / 9))
    for lag in range(1, lags + 1):
        part = scores[lag:].T @ scores[:-lag]
        total = total + (1 - lag / (lags + 1)) * (part + part.T)
    return total


def _shifted(values: np.ndarray, lag: int) -> np.ndarray:
    """The values of ``lag`` periods before (after, where it is negative)."""
    moved = np.full_like(values, np.nan)
    if lag >= 0:
        moved[lag:] = values[: len(values) - lag]
    else:
        moved[:lag] = values[-lag:]
    return moved


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    left, sizes, _right = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > 1e-10 * sizes[0]]


def both_ways(panel: Panel, lags: Sequence[int]) -> tuple[Fit, float]:
    """
    The fit of a pair, and the p-value that the company KPI's past says nothing of the marketing KPI beyond its own.

    Each direction's correction knows the other: where a KPI follows the company figure, short series of several units
    would else let it seem to lead. How the marketing KPI follows enters shrunken, since where it does not, its sampling
    error alone would cost power. The p-value is NaN where the reverse cannot be tested.
    """
    turned = Panel(panel.marketing, panel.company, panel.frequency, panel.controls, panel.first, panel.units)
    steps = list(range(1, BACK[panel.frequency] + 1))
    ahead = fit(panel, lags)
    try:
        behind = fit(turned, steps)
    except NotTestable:
        return ahead, np.nan
    if max(lags) > FADING or min(lags) < 1:
        return ahead, behind.joint_p()
    padded = np.zeros(max(lags))
    padded[[lag - 1 for lag in lags]] = ahead.effects
    known = replace(behind, effects=behind.shrunk())
    return fit(panel, lags, back=known), fit(turned, steps, back=replace(ahead, effects=padded)).joint_p()


def placebo_p(panel: Panel, lags: Sequence[int]) -> float:
    """P-value that the marketing KPI's future says nothing of the company KPI beside its past; NaN if untestable."""
    path = {0, *lags, *range(1, min(max(lags), 4) + 1)}
    leads = [-lead for lead in range(1, AHEAD[panel.frequency] + 1)]
    try:
        return fit(panel, leads, sorted(path)).joint_p()
    except NotTestable:
        return np.nan


def few_clusters_p(fitted: Fit, effect: int) -> float:
    """
    P-value of one effect by the wild bootstrap over units, for errors that go together within few units.

    Restricted residuals, six-point weights (Webb 2014), studentised by units' clusters; NaN for one unit.
    """
    units, of_row = np.unique(fitted.unit_of_row, return_inverse=True)
    if len(units) < 2:
        return np.nan
    own = fitted.regressors[:, : len(fitted.own)]
    others = np.delete(fitted.regressors, len(fitted.own) + effect, axis=1)
    tested = fitted.regressors[:, len(fitted.own) + effect]
    tested = tested - others @ np.linalg.lstsq(others, tested, rcond=None)[0]
    restricted = fitted.residuals + tested * fitted.effects[effect]
    weights = np.random.default_rng(SEED).choice(np.r_[-WEBB, WEBB], size=(len(units), DRAWS))
    drawn = np.column_stack([restricted, restricted[:, None] * weights[of_row]])
    slopes = tested @ drawn / (tested @ tested)
    rest = drawn - np.outer(tested, slopes)
    rest = rest - own @ np.linalg.lstsq(own, rest, rcond=None)[0]
    clusters = np.zeros((len(units), drawn.shape[1]))
    np.add.at(clusters, of_row, tested[:, None] * rest)
    statistic = np.abs(slopes) / np.sqrt((clusters**2).sum(axis=0))
    return float((1 + (statistic[1:] >= statistic[0] * (1 - 1e-12)).sum()) / (1 + DRAWS))


def out_of_sample(panel: Panel, lags: Sequence[int]) -> float:
    """
    Share of the squared forecast error that the marketing KPI saves, one period ahead, refitted as time goes on.

    The first forecast is of the period after 70% of them; effects of periods, which nobody knows in advance, are left
    out. NaN where fewer than four forecasts can be made; below zero the KPI makes forecasts worse.
    """
    season = panel.season()
    company, marketing = (scaled(values, season, panel.controls)[0] for values in (panel.company, panel.marketing))
    own = [_shifted(company, lag) for lag in range(1, OWN_LAGS[panel.frequency] + 1)]
    lagged = [_shifted(marketing, lag) for lag in lags]
    count, units = company.shape
    per_unit = [
        np.where(np.arange(units) == unit, column[:, None], 0.0) for unit in range(units) for column in season.T
    ]
    without = np.stack([*per_unit, *own, *panel.controls])
    every = np.concatenate([without, np.stack(lagged)])
    known = np.isfinite(every).all(axis=0) & np.isfinite(company)
    step = WEEKS_A_REFIT if panel.frequency == "week" else 1
    errors = np.zeros((2, 0))
    for start in range(int(np.ceil(FIRST_FORECAST * count)), count, step):
        past = known & (np.arange(count) < start)[:, None]
        ahead = known & ((np.arange(count) >= start) & (np.arange(count) < start + step))[:, None]
        if past.sum() <= len(every) + 2 or not ahead.any():
            continue
        made = []
        for columns in (without, every):
            slopes = np.linalg.lstsq(columns[:, past].T, company[past], rcond=None)[0]
            made.append(company[ahead] - slopes @ columns[:, ahead])
        errors = np.concatenate([errors, np.array(made)], axis=1)
    if errors.shape[1] < 4:
        return np.nan
    squared = (errors**2).sum(axis=1)
    return float(1 - squared[1] / squared[0])
