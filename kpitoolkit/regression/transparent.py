"""The regression that a CFO can follow: ordinary least squares on media as the model transforms them.

Beside the Bayesian estimate stands what the data say alone, as if carryover and saturation were known: one linear
regression with autocorrelated errors, its standard errors and tests by Newey and West.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.regression import charts
from kpitoolkit.regression import posterior as posteriors
from kpitoolkit.regression.diagnostics_wording import p_text
from kpitoolkit.regression.linear import fit_linear, hac_lags

SHAPES = ("carryover", "half_saturation", "slope", "peak")
COLUMNS = ["term", "estimate", "standard_error", "t", "p_value", "low", "high", "modelled"]


@dataclass(frozen=True, eq=False)
class Transparent:
    """A linear regression of revenue on the baseline and the transformed media.

    Attributes
    ----------
    table : DataFrame
        term, estimate, standard_error, t, p_value, low, high (90%), modelled (the Bayesian point). Media terms are
        iROAS; baseline terms are currency per period.
    channels : tuple of str
        The media terms.
    shapes : DataFrame
        channel, carryover, half_saturation (currency per period), slope, peak: what the media were transformed with.
    r_squared : float
        Of the whitened regression.
    f_statistic, f_p_value : float
        Of all terms but the intercept together, on the HAC covariance.
    autocorrelation : float
        Of the errors, as the Bayesian model estimates it; 0 is ordinary least squares.
    lags : int
        Of the HAC covariance.
    """

    table: pd.DataFrame
    channels: tuple[str, ...]
    shapes: pd.DataFrame
    r_squared: float
    f_statistic: float
    f_p_value: float
    autocorrelation: float
    lags: int
    periods: int

    def shown(self, language: str = "en", media: bool = True) -> pd.DataFrame:
        """The table as pages show it, p-values in words: of the media, or of the baseline, whose terms are in cents."""
        table = self.table[self.table["term"].isin(self.channels) == media]
        table = table.assign(p_value=[p_text(value, language) for value in table["p_value"]])
        if media:
            return table
        amounts = ("estimate", "standard_error", "low", "high", "modelled")
        cents = {name: (table[name].astype(float) * 100).round().astype("Int64") for name in amounts}
        return table.assign(**cents).rename(columns={name: f"{name}_cents" for name in amounts})

    def findings(self, language: str = "en") -> list[str]:
        """Say what the regression is, how much it follows, and where it and the Bayesian estimate part."""
        _ = text.translator(language)
        if not len(self.table):
            return [_("No linear regression: there are too few periods for its coefficients.")]
        said = [
            _(
                "A linear regression of {periods} periods on the same media, as if the shapes were known: R2 "
                "{r_squared}, F {f} ({p}); errors by Newey-West with {lags} lags, autocorrelation {rho}."
            ).format(
                periods=text.number(self.periods, language),
                r_squared=text.number(self.r_squared, language, 3),
                f=text.number(self.f_statistic, language, 1),
                p=p_text(self.f_p_value, language, "p"),
                lags=text.number(self.lags, language),
                rho=text.number(self.autocorrelation, language, 2),
            )
        ]
        media = self.table[self.table["term"].isin(self.channels)]
        apart = media[(media["modelled"] < media["low"]) | (media["modelled"] > media["high"])]
        negative = media[media["estimate"] <= 0]
        each = _("{channel} ({estimate} here, {modelled} modelled)")
        if len(apart):
            names = [
                each.format(
                    channel=text.label(row.term, language),
                    estimate=text.number(row.estimate, language, 2),
                    modelled=text.number(row.modelled, language, 2),
                )
                for row in apart.itertuples()
            ]
            sentence = _("The prior moves the modelled iROAS out of this regression's 90% interval: {channels}.")
            said.append(sentence.format(channels=", ".join(names)))
        elif len(media):
            said.append(_("Every modelled iROAS lies within this regression's 90% interval."))
        if len(negative):
            names = ", ".join(text.label(name, language) for name in negative["term"])
            sentence = _(
                "Without a prior this regression gives no positive return for {channels}: what is modelled there is "
                "positive because the prior allows nothing else."
            )
            said.append(sentence.format(channels=names))
        return said

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each channel's iROAS of the linear regression with its interval, and the modelled one beside it."""
        _ = text.translator(language)
        if not len(self.table):
            return charts.blank(ax, _("Modelled revenue per unit of spend, with and without the prior"), language)
        return plots.against(
            self.table[self.table["term"].isin(self.channels)],
            "term",
            "estimate",
            "low",
            "high",
            "modelled",
            (_("linear regression, 90% interval"), _("modelled, with the prior")),
            ax=ax,
            language=language,
            title=_("Modelled revenue per unit of spend, with and without the prior"),
            note=_("Both on the same transformed media, as if the shapes were known."),
        )


def transparent(post: posteriors.Posterior | None) -> Transparent:
    """Regress revenue on the baseline and the media at the posterior's median shapes, by GLSAR with HAC errors.

    ``revenue_t = baseline_t + sum_c iroas_c x media_ct + u_t``, ``u_t = rho u_(t-1) + e_t``, rho at its posterior mean
    (statsmodels' GLSAR), with the covariance of Newey & West (Econometrica 55, 1987). Its p-values and intervals take
    carryover, half-saturation, slope and rho as known: they say more than is known.

    Parameters
    ----------
    post : Posterior or None
        None, where nothing could be fitted, gives an empty result.

    Returns
    -------
    Transparent
        Without rows where there are no more periods than terms.
    """
    nothing = dict.fromkeys(("r_squared", "f_statistic", "f_p_value"), np.nan)
    if post is None:
        shapes = pd.DataFrame(columns=["channel", *SHAPES])
        return Transparent(
            pd.DataFrame(columns=COLUMNS), (), shapes, **nothing, autocorrelation=np.nan, lags=0, periods=0
        )
    problem = post.problem
    media = media_columns(post)
    design = pd.concat([problem.baseline, media / problem.scale], axis=1)
    lags, rho = hac_lags(problem.window), float(posteriors.point(post.autocorrelation))
    shared = {"channels": problem.channels, "lags": lags, "periods": problem.window, "autocorrelation": rho}
    shared["shapes"] = _shapes(post)
    if problem.window - 1 <= design.shape[1]:
        return Transparent(table=pd.DataFrame(columns=COLUMNS), **nothing, **shared)
    fitted = fit_linear(problem.revenue, design, rho, lags)
    units = np.where(np.isin(design.columns, problem.channels), 1.0, problem.scale)
    bounds = np.asarray(fitted.conf_int(alpha=1 - posteriors.INTERVAL)) * units[:, None]
    table = pd.DataFrame(
        {
            "term": design.columns,
            "estimate": np.asarray(fitted.params) * units,
            "standard_error": np.asarray(fitted.bse) * units,
            "t": np.asarray(fitted.tvalues),
            "p_value": np.asarray(fitted.pvalues),
            "low": bounds[:, 0],
            "high": bounds[:, 1],
            "modelled": np.concatenate([posteriors.point(post.baseline), posteriors.point(post.iroas)]) * units,
        },
        columns=COLUMNS,
    )
    return Transparent(
        table=table,
        r_squared=float(fitted.rsquared),
        f_statistic=float(np.squeeze(fitted.fvalue)),
        f_p_value=float(np.squeeze(fitted.f_pvalue)),
        **shared,
    )


def media_columns(post: posteriors.Posterior) -> pd.DataFrame:
    """Return each channel's modelled revenue per period for an iROAS of one, at the posterior's median shapes.

    Medians, because they are the same whether a shape or its logarithm is looked at.

    Returns
    -------
    DataFrame of shape (periods, channels)
        Currency; each column adds up to the channel's spend of the window.
    """
    problem = post.problem
    shapes = {name: np.median(getattr(post, name), axis=0)[None] for name in SHAPES}
    at_medians = replace(post, iroas=np.ones((1, len(problem.channels))), **shapes)
    column = posteriors.contributions(at_medians)[0]
    return pd.DataFrame(column, index=problem.period_end, columns=list(problem.channels))


def _shapes(post: posteriors.Posterior) -> pd.DataFrame:
    medians = {name: np.median(getattr(post, name), axis=0) for name in SHAPES}
    medians["half_saturation"] = medians["half_saturation"] * post.problem.mean_active
    return pd.DataFrame({"channel": list(post.problem.channels), **medians})
