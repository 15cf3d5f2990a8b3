"""Revenue regressed on what media and baseline can explain of it: contributions, iROAS with intervals, curves.

A draft on purpose: least squares with autocorrelated errors, one joint grid of shapes, no prior on the returns. What
the regression finds is "modelled": correlation that a model explains is still not a cause.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.plots import canvas
from kpitoolkit.regression import returns, shapes, transforms
from kpitoolkit.regression.checks import checked
from kpitoolkit.regression.diagnostics import Diagnostics, diagnose, not_diagnosed
from kpitoolkit.regression.findings import findings, reason

_MONEY = ("spend", "contribution", "half_saturation")


@dataclass(frozen=True, eq=False)
class Regression:
    """What a regression found.

    Attributes
    ----------
    table : DataFrame
        One row a channel and one for `total_media` (first). spend, contribution: currency in the window; iroas, low,
        high: modelled revenue per unit of spend, with its 90% interval; mroas: of the next unit spent as the window's
        was (without an interval: docs/decisions.md says why); carryover: per period; half_saturation: currency per
        period; ceiling: the revenue per period that the channel tends to; verdict: `above_break_even`,
        `below_break_even`, `insufficient_data`, `not_spent`.
    contributions : DataFrame
        period_end, component (`baseline`, the channels, `residual`), contribution: together each period's revenue.
    curves : DataFrame
        channel, spend (per period, held constant), contribution (per period), range (`observed`, `beyond`).
    coefficients : DataFrame
        term, estimate, standard_error, t, p_value, low, high: the regression at the chosen shapes, as if these were
        known. Media terms are iROAS; baseline terms are currency per period.
    diagnostics : Diagnostics
    reasons : tuple
        (key, values) of what explains verdicts beside the intervals; `findings` writes them out.
    """

    table: pd.DataFrame
    contributions: pd.DataFrame
    curves: pd.DataFrame
    coefficients: pd.DataFrame
    diagnostics: Diagnostics
    reasons: tuple[tuple[str, dict], ...]
    break_even: float
    currency: str
    frequency: str
    periods: int
    autocorrelation: float

    @property
    def shown(self) -> pd.DataFrame:
        """The table as pages show it: money in cents, without the columns that only further figures need."""
        money = {name: (self.table[name] * 100).round().astype("Int64") for name in _MONEY}
        named = self.table.assign(**money).rename(columns={name: f"{name}_cents" for name in _MONEY})
        kept = ["channel", "spend_cents", "contribution_cents", "iroas", "low", "high", "mroas", "carryover"]
        return named[[*kept, "half_saturation_cents", "verdict"]]

    def findings(self, language: str = "en") -> list[str]:
        """Return what was found in sentences, all media together first."""
        return findings(self, language)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each channel's modelled iROAS with its 90% interval beside break-even.

        Where the periods are too few for a verdict the break-even is left out: beside it, an interval would look like
        one.
        """
        _ = text.translator(language)
        title = _("Modelled revenue per unit of spend, 90% interval (draft)")
        rows = self.table.dropna(subset="iroas")
        rows = rows if len(rows) > 2 else rows.tail(1)  # one channel alone is the total
        if not len(rows):
            return _blank(ax, title, language)
        judged = self.periods >= returns.SHORTEST[self.frequency]
        words = _("break-even {value}").format(value=text.number(self.break_even, language, 1))
        line = {"reference": self.break_even, "reference_label": words} if judged else {}
        look = {"language": language, "title": title, "value_format": "number1"}
        return plots.intervals(rows, "channel", "iroas", "low", "high", **line, **look, ax=ax)

    def plot_contributions(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw baseline and contributions stacked over time, with revenue as a line."""
        revenue = self.contributions.groupby("period_end", as_index=False)["contribution"].sum()
        shown = self.contributions[self.contributions["component"] != "residual"]
        frame = pd.concat([shown, revenue.assign(component="revenue")], ignore_index=True)
        return plots.areas(
            frame.assign(contribution=frame["contribution"] * 100),
            "period_end",
            "contribution",
            "component",
            total="revenue",
            ax=ax,
            language=language,
            value_format="money",
            currency=self.currency,
            title=text.translator(language)("Revenue as the model explains it (draft)"),
        )

    def plot_curves(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw modelled revenue against constant spend per period: solid as far as it was observed, dashed beyond."""
        _ = text.translator(language)
        title = _("Modelled revenue by constant spend per period: solid as observed, dashed beyond (draft)")
        if not len(self.curves):
            return _blank(ax, title, language)
        curves = self.curves.assign(spend=self.curves["spend"] * 100, contribution=self.curves["contribution"] * 100)
        channels = list(curves["channel"].unique())
        ax = plots.lines(
            curves,
            "spend",
            "contribution",
            "channel",
            dashed=channels,
            ax=ax,
            language=language,
            value_format="money",
            x_format="money",
            currency=self.currency,
            title=title,
        )
        for channel, line in zip(channels, list(ax.lines), strict=False):
            seen = curves[(curves["channel"] == channel) & (curves["range"] == "observed")]
            ax.plot(seen["spend"], seen["contribution"], color=line.get_color(), linewidth=2)
        return ax


def fit(
    inputs: pd.DataFrame,
    channels: Sequence[str],
    controls: Sequence[str] = (),
    frequency: str = "week",
    contribution_margin_share: float = 0.4,
    *,
    periods: int | None = None,
    currency: str = "EUR",
) -> Regression:
    """Regress revenue on adstocked, saturated spend by feasible generalised least squares with HAC errors.

    ``revenue_t = baseline_t + sum_c iroas_c x response_ct + u_t`` with ``u_t = rho u_(t-1) + e_t`` (statsmodels' GLSAR;
    Newey-West covariance). Carryover and half-saturation of each channel come from one joint grid
    (`shapes.search`); the intervals average over it (`shapes.average`).

    Parameters
    ----------
    inputs : DataFrame
        Index: last day of each period, without gaps. Columns: `revenue`, the channels' spend, the controls; currency
        units. Rows before the window, where a column `carry_in` is true or `periods` leaves them out, only carry
        their spend in.
    channels, controls : sequence of str
    frequency : {"week", "quarter"}
    contribution_margin_share : float in (0, 1]
        Margin before marketing; break-even iROAS is 1 / this.
    periods : int, optional
        Longest window; all periods by default.
    currency : str
        Code of the amounts' currency.

    Returns
    -------
    Regression

    Raises
    ------
    Faults
        With all that is wrong in the inputs: gaps, repeated periods, missing or negative values, revenue not above
        zero, channels that move exactly together.
    """
    channels, controls = list(channels), list(controls)
    frame, window = checked(inputs, channels, controls, frequency, periods)
    inside = frame.iloc[-window:]
    spend = inside[channels].astype(float)
    design = transforms.baseline_design(inside.index, frequency, inside[controls])
    still = [name for name in channels if spend[name].any() and not transforms.standardise(frame[name]).any()]
    moving = [name for name in channels if spend[name].any() and name not in still]
    reasons = [reason("constant", channel=name) for name in still]
    count = design.shape[1] + len(moving)
    enough = window >= count + 2 * len(moving) + 2
    if not enough:
        reasons.insert(0, reason(f"too_few_{frequency}", periods=window, coefficients=count))
    elif moving and window < returns.SHORTEST[frequency]:
        reasons.insert(0, reason(f"short_{frequency}", periods=window, shortest=returns.SHORTEST[frequency]))
    reasons += [reason("not_spent", channel=name) for name in channels if not spend[name].any()]
    estimated = _estimate(frame, inside, design, moving, frequency) if enough else _nothing(inside)
    spent = {returns.TOTAL: float(spend.to_numpy().sum()), **{name: float(spend[name].sum()) for name in channels}}
    known = {row["channel"] for row in estimated.rows}
    rows = [*estimated.rows, *({"channel": name, "spend": spent[name]} for name in spent if name not in known)]
    table = pd.DataFrame(rows).reindex(columns=returns.TABLE)
    order = {name: place for place, name in enumerate([returns.TOTAL, *channels])}
    table = table.sort_values("channel", key=lambda names: names.map(order)).reset_index(drop=True)
    break_even = 1 / contribution_margin_share
    table["verdict"] = [returns.verdict(row, break_even, window, frequency) for row in table.itertuples()]
    return Regression(
        table=table,
        reasons=tuple(reasons),
        break_even=break_even,
        currency=currency,
        frequency=frequency,
        periods=window,
        contributions=estimated.contributions,
        curves=estimated.curves,
        coefficients=estimated.coefficients,
        diagnostics=estimated.diagnostics,
        autocorrelation=estimated.autocorrelation,
    )


def predict(regression: Regression, spend_by_channel: dict[str, float]) -> float:
    """Return modelled revenue per period at a constant spend per channel and period, with the mean baseline.

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
    fitted = regression.table.set_index("channel").dropna(subset="ceiling")
    faults = [
        f"'{name}' is no channel of this regression.{suggest(name, fitted.index)}"
        for name in spend_by_channel
        if name not in fitted.index
    ]
    faults += [f"'{name}': spend of {value} is below zero" for name, value in spend_by_channel.items() if value < 0]
    if faults:
        raise Faults("spend_by_channel", faults)
    components = regression.contributions
    revenue = float(components.loc[components["component"] == "baseline", "contribution"].mean())
    for name, value in spend_by_channel.items():
        revenue += fitted.loc[name, "ceiling"] * float(
            transforms.saturate(np.array(float(value)), fitted.loc[name, "half_saturation"])
        )
    return revenue


@dataclass(frozen=True, eq=False)
class _Estimate:
    rows: list[dict]
    contributions: pd.DataFrame
    curves: pd.DataFrame
    coefficients: pd.DataFrame
    diagnostics: Diagnostics
    autocorrelation: float


def _estimate(
    frame: pd.DataFrame, inside: pd.DataFrame, baseline: pd.DataFrame, moving: list[str], frequency: str
) -> _Estimate:
    """Search the shapes, fit at the best of them, average over all of them."""
    revenue = inside["revenue"].to_numpy(dtype=float)
    scale = revenue.mean()
    grid, lags = shapes.shape_grid(frequency), shapes.hac_lags(len(inside))
    lasting = transforms.PERIODS_OF_CARRYOVER[frequency]
    channels = [returns.describe(name, frame[name], grid, len(inside), lasting) for name in moving]
    columns = [channel.column / scale for channel in channels]
    target, fixed = revenue / scale, baseline.to_numpy()
    chosen, autocorrelation = shapes.search(target, fixed, columns, grid)
    best = {name: each[:, point] for name, each, point in zip(moving, columns, chosen, strict=True)}
    media = pd.DataFrame(best, index=inside.index)
    design = pd.concat([baseline, media], axis=1)
    fitted = sm.GLSAR(target, design, rho=np.array([autocorrelation])).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=True
    )
    rows, curves, draws = [], [], None
    if moving:
        draws = shapes.average(target, fixed, columns, grid, chosen=chosen, autocorrelation=autocorrelation, lags=lags)
    for place, (channel, point) in enumerate(zip(channels, chosen, strict=True)):
        estimate = float(fitted.params[channel.name])
        rows.append(returns.channel_row(channel, point, estimate, draws.coefficients[:, place]))
        curves.append(returns.curve(channel, point, estimate))
    return _Estimate(
        rows=[returns.total_row(rows, draws), *rows] if rows else [],
        contributions=returns.contributions(inside.index, revenue, design * fitted.params * scale, baseline.columns),
        curves=pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=returns.CURVES),
        coefficients=returns.coefficients(fitted, baseline.columns, scale),
        diagnostics=diagnose(
            target,
            baseline,
            media,
            inside[moving].astype(float),
            autocorrelation=autocorrelation,
            frequency=frequency,
            columns=columns,
            grid=grid,
        ),
        autocorrelation=autocorrelation,
    )


def _nothing(inside: pd.DataFrame) -> _Estimate:
    """What is left to say where there are too few periods: all of revenue is unexplained."""
    revenue = inside["revenue"].to_numpy(dtype=float)
    return _Estimate(
        rows=[],
        contributions=pd.DataFrame({"period_end": inside.index, "component": "residual", "contribution": revenue}),
        curves=pd.DataFrame(columns=returns.CURVES),
        coefficients=pd.DataFrame(columns=returns.COEFFICIENTS),
        diagnostics=not_diagnosed(),
        autocorrelation=np.nan,
    )


def _blank(ax: Axes | None, title: str, language: str) -> Axes:
    ax = canvas.axes(ax, 0.8)
    ax.set_axis_off()
    ax.annotate(text.translator(language)("Nothing could be modelled."), (0, 0.5), xycoords="axes fraction")
    return canvas.finish(ax, title)
