"""How a regression is drawn: titles, formats and what stands beside what. The drawing itself is in `plots`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.plots import canvas
from kpitoolkit.regression import returns

_RETURNS = ["iroas", "low", "high", "mroas", "mroas_low", "mroas_high", "mroas_now", "mroas_at_best", "iroas_median"]
_RETURNS += ["prior_iroas", "prior_low", "prior_high", "tested", "tested_low", "tested_high"]
_RETURNS += ["without_test", "without_test_low", "without_test_high"]
FORMATS = dict.fromkeys(_RETURNS, "number2")
FORMATS |= dict.fromkeys(("apart", "shrinkage", "own_data", "r_hat", "carryover", "slope", "log_sd"), "number2")
FORMATS |= dict.fromkeys(("probability", "probability_above_break_even"), "probability")
FORMATS |= dict.fromkeys(("interval_narrower", "median_error", "covered", "decided", "decided_rightly"), "percent0")
FORMATS |= {"ess": "number0", "roi": "+percent0"}
"""How the columns of this analysis' tables are written: one number of decimals a column."""

TONES = {"above_break_even": "better", "below_break_even": "worse"}


def plot_iroas(result, ax: Axes | None = None, language: str = "en") -> Axes | None:
    """Draw iROAS with its interval beside break-even, in front of what was believed before the data.

    Parameters
    ----------
    result : Regression
    """
    _ = text.translator(language)
    title = titled(_("Modelled revenue per unit of spend, 90% interval"), result, language)
    rows = result.table.dropna(subset="iroas")
    rows = rows if len(rows) > 2 else rows.tail(1)  # one channel alone is the total
    if not len(rows):
        return blank(ax, title, language)
    look = {"language": language, "title": title, "value_format": "number1"}
    look |= {"behind": ("prior_low", "prior_high"), "behind_label": _("believed before the data")}
    if result.break_even is not None and result.periods >= returns.SHORTEST[result.frequency]:
        words = _("break-even {value}").format(value=text.number(result.break_even, language, 1))
        look |= {"reference": result.break_even, "reference_label": words, "tone": "tone"}
    rows = rows.assign(tone=rows["verdict"].map(TONES).fillna("undecided"))
    return plots.intervals(rows, "channel", "iroas", "low", "high", ax=ax, **look)


def plot_contributions(result, ax: Axes | None = None, language: str = "en") -> Axes | None:
    """Draw baseline and contributions stacked over time, with revenue as a line.

    Parameters
    ----------
    result : Regression
    """
    title = titled(text.translator(language)("Revenue as the model explains it"), result, language)
    if result.posterior is None:
        return blank(ax, title, language)
    parts = result.contributions[["period_end", "component", "contribution"]]
    revenue = parts.groupby("period_end", as_index=False)["contribution"].sum()
    shown = parts[parts["component"] != "residual"]
    frame = pd.concat([shown, revenue.assign(component="revenue")], ignore_index=True)
    look = {"value_format": "money", "currency": result.currency, "title": title, "language": language}
    frame = frame.assign(contribution=frame["contribution"] * 100)
    return plots.areas(frame, "period_end", "contribution", "component", total="revenue", ax=ax, **look)


def plot_curves(result, ax: Axes | None = None, language: str = "en") -> Axes | None:
    """Draw modelled revenue against constant spend per period: solid as far as it was observed, dashed beyond.

    Parameters
    ----------
    result : Regression
    """
    _ = text.translator(language)
    title = titled(_("Modelled revenue at constant spend"), result, language)
    if not len(result.curves):
        return blank(ax, title, language)
    names = ["spend", "contribution", "low", "high"]
    curves = result.curves.assign(**(result.curves[names] * 100), observed=result.curves["range"] == "observed")
    today = result.table.dropna(subset="ceiling")[["channel", "spend"]]
    today = today.assign(spend=today["spend"] / result.periods * 100)
    own = {channel: curve for channel, curve in curves.groupby("channel")}
    today["contribution"] = [
        np.interp(spend, own[channel]["spend"], own[channel]["contribution"])
        for channel, spend in zip(today["channel"], today["spend"], strict=True)
    ]
    words = (_("as far as it was observed"), _("beyond"), _("90% interval"))
    look = {"value_format": "money", "currency": result.currency, "title": title, "language": language}
    look |= {"points": today, "points_label": _("mean spend of the window")}
    heading = {
        "week": _("modelled revenue (upwards) and spend (across) a week"),
        "quarter": _("modelled revenue (upwards) and spend (across) a quarter"),
    }
    look |= {"heading": heading[result.frequency]}
    return plots.panels(
        curves, "spend", "contribution", "channel", words, low="low", high="high", solid="observed", ax=ax, **look
    )


def titled(title: str, result, language: str) -> str:
    """Return the title, which says so where the figures are a draft's."""
    return text.translator(language)("{title} (draft)").format(title=title) if result.draft else title


def blank(ax: Axes | None, title: str, language: str) -> Axes | None:
    """Say in the Axes given that nothing could be modelled; without Axes draw nothing: pages say it in words."""
    if ax is None:
        return None
    ax.set_axis_off()
    ax.annotate(text.translator(language)("Nothing could be modelled."), (0, 0.5), xycoords="axes fraction")
    return canvas.finish(ax, title)


def unmodelled(result, language: str = "en") -> list[str]:
    """Return the sentence that stands in place of charts and tables where nothing could be modelled; elsewhere none.

    Parameters
    ----------
    result : Regression
    """
    return [] if result.posterior else [text.translator(language)("Nothing could be modelled.")]
