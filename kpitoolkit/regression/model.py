"""Revenue regressed on what media and baseline can explain of it: contributions, iROAS with intervals, curves.

Bayesian, with priors that pages print beside what the data made of them: a sampler for what is published, Laplace's
approximation for drafts. What the regression finds is "modelled": correlation that a model explains is still not a
cause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit.errors import Faults, suggest
from kpitoolkit.modelling import LOSES, break_even, margin_fault
from kpitoolkit.regression import charts, curves, estimate, returns, transforms
from kpitoolkit.regression import posterior as posteriors
from kpitoolkit.regression.checks import checked
from kpitoolkit.regression.findings import findings, reason
from kpitoolkit.regression.posterior import Posterior
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import ADSTOCKS, problem
from kpitoolkit.regression.returns import Evidence

AUTO = "auto"
WIDEST = 100.0  # factor between the ends of a ceiling's interval, beyond which no figure is shown
_CEILING = ("ceiling", "ceiling_low", "ceiling_high")
_SHOWN = ["channel", "spend", "contribution", "iroas", "low", "high", "probability_above_break_even"]
_SHOWN += ["roi", "mroas", "mroas_low", "mroas_high", "verdict"]
_BELIEVED = [
    "channel",
    "prior_iroas",
    "prior_low",
    "prior_high",
    "iroas_median",
    "low",
    "high",
    "shrinkage",
    "own_data",
]
_BELIEVED += ["r_hat", "ess"]


@dataclass(frozen=True, eq=False)
class Regression:
    """What a regression found.

    Attributes
    ----------
    table : DataFrame
        One row for `total_media` (first) and one a channel; figures are posterior means, so that channels add up to
        the total, with central 90% intervals. spend, contribution: currency in the window; iroas: modelled revenue
        per unit of spend; mroas: of the next unit, spent as the window's was; roi, mroi: after the margin and the
        spend itself (margin x iroas - 1); probability_above_break_even; prior_iroas (median), prior_low, prior_high:
        before; shrinkage: posterior over prior standard deviation of log iROAS; own_data: of a channel, beyond what
        the others tell (`returns.own_data`); r_hat, ess: of the sampler (missing in drafts); medians of the shape:
        carryover per period, half_saturation (currency per period), slope, ceiling (the revenue per period that the
        channel tends to) with ceiling_low, ceiling_high;
        verdict: `above_break_even`, `below_break_even`, `insufficient_data`, `not_spent`, `loses_on_every_sale` (at a
        margin of zero or less); verdict_reason: what stands in the way of a verdict (`returns.verdict`); kind:
        `published` or `draft`.
    contributions : DataFrame
        period_end, component (`baseline`, the channels, `residual`), contribution, low, high: together the
        contributions are each period's revenue.
    media : DataFrame
        period_end, contribution, low, high: all media together.
    curves : DataFrame
        channel, spend (per period, held constant), contribution (per period), low, high, range (`observed`, `beyond`).
    priors : DataFrame
        channel, quantity, prior, prior_low, prior_high, posterior, low, high: medians and 90% intervals.
    posterior : Posterior or None
        What further questions (budget, diagnostics, experiments) take; None where nothing could be fitted.
    evidence : Evidence
        How strong the case is.
    reasons : tuple
        (key, values) of what explains verdicts beside the intervals; `findings` writes them out.
    """

    table: pd.DataFrame
    contributions: pd.DataFrame
    media: pd.DataFrame
    curves: pd.DataFrame
    priors: pd.DataFrame
    posterior: Posterior | None
    evidence: Evidence
    reasons: tuple[tuple[str, dict], ...]
    contribution_margin_share: float
    currency: str
    frequency: str
    periods: int

    @property
    def break_even(self) -> float | None:
        """IROAS at which the contribution margin pays for the spend; None where no return does."""
        return break_even(self.contribution_margin_share)

    @property
    def draft(self) -> bool:
        """Whether the figures are Laplace's approximation, which is not for publication."""
        return self.posterior is not None and self.posterior.kind == "draft"

    @property
    def shown(self) -> pd.DataFrame:
        """The table as pages show it: money in cents, fewer columns, and for want of a verdict the reason why."""
        why = self.table["verdict_reason"]
        table = self.table.assign(
            verdict=self.table["verdict"].where((why == "") | (self.table["verdict"] == LOSES), why)
        )
        table = table.tail(1) if len(table) == 2 else table  # one channel alone is the total
        shown = [name for name in _SHOWN if self.break_even or name != "probability_above_break_even"]
        return _in_cents(table[shown], ("spend", "contribution"))

    @property
    def believed(self) -> pd.DataFrame:
        """Returns before and after the data, as pages show them: medians both, for silent data leave them equal."""
        table, post = self.table.dropna(subset="iroas"), self.posterior
        table = table.tail(1) if len(table) == 2 else table
        after = {} if post is None else dict(zip(post.problem.channels, np.median(post.iroas, axis=0), strict=True))
        after |= {} if post is None else {returns.TOTAL: float(np.median(post.total))}
        return table.assign(iroas_median=table["channel"].map(after).astype(float))[_BELIEVED]

    @property
    def shapes(self) -> pd.DataFrame:
        """Carry-over and saturation of each channel, as pages show them: medians, money in cents.

        A ceiling whose 90% interval spans more than a factor of 100 is said to be undetermined, and only its interval
        is shown.
        """
        kept = self.table[["channel", "carryover", "half_saturation", "slope", *_CEILING]].dropna(subset="ceiling")
        wide = kept["ceiling_high"] > WIDEST * kept["ceiling_low"]
        status = np.where(wide, "not_determined", "determined")
        kept = kept.assign(ceiling=kept["ceiling"].mask(wide), ceiling_status=status)
        return _in_cents(kept, ("half_saturation", *_CEILING))

    def findings(self, language: str = "en") -> list[str]:
        """Return what was found in sentences: how strong the case is, all media together, then the channels."""
        return findings(self, language)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each channel's modelled iROAS with its 90% interval beside break-even, what was believed before behind.

        Where the periods are too few for a verdict the break-even is left out: beside it, an interval would look like
        one.
        """
        return charts.plot_iroas(self, ax, language)

    def plot_contributions(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw baseline and contributions stacked over time, with revenue as a line."""
        return charts.plot_contributions(self, ax, language)

    def plot_curves(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw modelled revenue against constant spend per period: solid as far as it was observed, dashed beyond."""
        return charts.plot_curves(self, ax, language)


def fit(
    inputs: pd.DataFrame,
    channels: Sequence[str],
    controls: Sequence[str] = (),
    frequency: str = "week",
    contribution_margin_share: float = 0.4,
    *,
    periods: int | None = None,
    currency: str = "EUR",
    priors: Priors | Mapping | None = None,
    adstock: str = "auto",
    saturation: str = "hill",
    lift_tests: pd.DataFrame | None = None,
    seed: int = 0,
    draft: bool = False,
) -> Regression:
    """Regress revenue on adstocked, saturated spend, with priors and autocorrelated errors.

    ``revenue_t = baseline_t + sum_c contribution_ct + u_t`` with ``u_t = rho u_(t-1) + e_t``; a channel's contributions
    over the window add up to its iROAS times its spend there. Jin and others, "Bayesian Methods for Media Mix Modeling
    with Carryover and Shape Effects" (Google, 2017); `docs/regression.md` has the priors and the measurements.

    Parameters
    ----------
    inputs : DataFrame
        Index: last day of each period, without gaps. Columns: `revenue`, the channels' spend, the controls; currency
        units. Rows before the window, where a column `carry_in` is true or `periods` leaves them out, only carry
        their spend in.
    channels, controls : sequence of str
    frequency : {"week", "quarter"}
    contribution_margin_share : float in [-1, 1]
        Margin before marketing; break-even iROAS is 1 / this, and there is none at zero or less.
    periods : int, optional
        Longest window; all periods by default.
    currency : str
        Code of the amounts' currency.
    priors : Priors or mapping of its fields, optional
        What is believed before the data; by default scale-free.
    adstock : {"auto", "geometric", "delayed"}
        "auto" takes the one of higher evidence (`estimate.chosen`).
    saturation : {"hill", "logistic"}
    lift_tests : DataFrame, optional
        Experiments that enter the model: channel, first, last (rows of the window), compared (currency), iroas, log_sd
        (`lift.LiftTests.entered`).
    seed : int
        The same seed gives the same digits.
    draft : bool
        Laplace's approximation: a tenth of a second, for trying things out.

    Returns
    -------
    Regression

    Raises
    ------
    Faults
        With all that is wrong in the inputs: gaps, repeated periods, missing or negative values, revenue not above
        zero, channels that move exactly together; priors for channels that are not there.
    """
    if fault := margin_fault(contribution_margin_share):
        raise Faults("regression", [fault])
    channels, controls = list(channels), list(controls)
    priors = priors if isinstance(priors, Priors) else Priors(**(priors or {}))
    frame, window = checked(inputs, channels, controls, frequency, periods)
    unknown = [name for name in priors.channels if name not in channels]
    if unknown:
        raise Faults("priors", [f"'{name}' is no channel of the data.{suggest(name, channels)}" for name in unknown])
    inside = frame.iloc[-window:]
    spend = inside[channels].astype(float)
    revenue = inside["revenue"].to_numpy(dtype=float)
    still = [name for name in channels if spend[name].any() and not transforms.standardise(frame[name]).any()]
    moving = [name for name in channels if spend[name].any() and name not in still]
    baseline = transforms.baseline_design(inside.index, frequency, inside[controls])
    count = baseline.shape[1] + len(moving)
    enough = window >= count + 2 * len(moving) + 2
    reasons = [reason("constant", channel=name) for name in still]
    if not enough:
        reasons.insert(0, reason(f"too_few_{frequency}", periods=window, coefficients=count))
    reasons += [reason("not_spent", channel=name) for name in channels if not spend[name].any()]
    post, found = None, pd.DataFrame(columns=returns.TABLE)
    if enough and moving:
        said = {name: stated for name, stated in priors.channels.items() if name in moving}
        given = problem(
            frame, moving, controls, frequency, window,
            priors=replace(priors, channels=said), adstock=ADSTOCKS[0] if adstock == AUTO else adstock,
            saturation=saturation, lift_tests=lift_tests,
        )  # fmt: skip
        given = estimate.chosen(given)[0] if adstock == AUTO else given
        post = estimate.draft(given, seed) if draft else estimate.published(given, seed)
        found = returns.rows(post, contribution_margin_share)
        contributions, media = returns.contributions(post, revenue)
    else:
        contributions = returns.without_media(inside.index, revenue, baseline if enough else None)
        media = pd.DataFrame(columns=["period_end", "contribution", "low", "high"])
    spent = {returns.TOTAL: float(spend.to_numpy().sum()), **{name: float(spend[name].sum()) for name in channels}}
    share = spent[returns.TOTAL] / revenue.sum()
    pays = contribution_margin_share > 0
    table = returns.judged(returns.ordered(found, spent, channels), window, frequency, share, pays=pays)
    return Regression(
        table=table,
        contributions=contributions,
        media=media,
        curves=curves.response(post),
        priors=returns.priors_beside(post),
        posterior=post,
        evidence=returns.evidence(table),
        reasons=tuple(reasons),
        contribution_margin_share=contribution_margin_share,
        currency=currency,
        frequency=frequency,
        periods=window,
    )


def predict(regression: Regression, spend_by_channel: dict[str, float]) -> float:
    """Return modelled revenue per period at a constant spend per channel and period, with the mean baseline.

    The expectation over the draws, not the curve of an average channel.

    Parameters
    ----------
    regression : Regression
    spend_by_channel : dict
        Currency per period; channels left out count as zero.

    Returns
    -------
    float
        Currency per period; NaN where nothing could be fitted.

    Raises
    ------
    Faults
        On a channel that was not fitted, or negative spend.
    """
    post = regression.posterior
    fitted = post.problem.channels if post else ()
    faults = [
        f"'{name}' is no channel of this regression.{suggest(name, fitted)}"
        for name in spend_by_channel
        if name not in fitted
    ]
    faults += [f"'{name}': spend of {value} is below zero" for name, value in spend_by_channel.items() if value < 0]
    if faults:
        raise Faults("spend_by_channel", faults)
    components = regression.contributions
    revenue = float(components.loc[components["component"] == "baseline", "contribution"].mean())
    if not spend_by_channel:
        return revenue
    given, places = post.problem, [fitted.index(name) for name in spend_by_channel]
    held = np.array([float(value) for value in spend_by_channel.values()]) / given.mean_active[places]
    share, _steep = curves.reach(given.saturation, held, post.half_saturation[:, places], post.slope[:, places])
    return revenue + float(posteriors.point((posteriors.ceiling(post)[:, places] * share).sum(axis=1)))


def _in_cents(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    money = {name: (frame[name] * 100).round().astype("Int64") for name in names}
    return frame.assign(**money).rename(columns={name: f"{name}_cents" for name in names})
