"""Blocks of the one-page summary on what is modelled and what is proven: returns, and evidence by class."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.modelling import break_even
from kpitoolkit.pages.summary import missing

TOLD = ("common_ground", "driver", "echo", "vanity", "unproven", "insufficient_data")
"""Classes in the order in which the strip tells them."""
MOST_NAMED = 5


def is_draft(iroas: pd.DataFrame | None) -> bool:
    """Tell whether modelled figures are a draft's, which are not for publication.

    Examples
    --------
    >>> is_draft(pd.DataFrame({"iroas": [2.0], "kind": ["published"]})), is_draft(None)
    (False, False)
    """
    return iroas is not None and "kind" in iroas and bool((iroas["kind"] == "draft").any())


def plot_iroas(iroas: pd.DataFrame, contribution_margin_share: float, language: str, ax: Axes | None = None) -> Axes:
    """Draw modelled revenue per unit of spend with its intervals against break-even, 1 / margin before marketing.

    Behind each interval stands what was believed before the data. Where the data allow no channel a place beside
    break-even, it is left out: beside it, an interval would look like a verdict; so it is where the margin is zero or
    less, and there is none. One channel alone is drawn once,
    without the total that is the same.
    """
    _ = text.translator(language)
    iroas = iroas[iroas["iroas"].notna()]
    iroas = iroas if len(iroas) > 2 else iroas.tail(1)  # all media together come first
    look = {"value_format": "number1"}
    if "prior_low" in iroas:
        look |= {"behind": ("prior_low", "prior_high"), "behind_label": _("believed before the data")}
    even = break_even(contribution_margin_share)
    if even is not None and (_placed(iroas) != "insufficient_data").any():
        words = _("break-even {value}").format(value=text.number(even, language, 1))
        look |= {"reference": even, "reference_label": words, "tone": "tone"}
    tones = {"above_break_even": "better", "below_break_even": "worse"}
    iroas = iroas.assign(tone=iroas["verdict"].map(tones).fillna("undecided"))
    return plots.intervals(iroas, "channel", "iroas", "low", "high", ax=ax, language=language, **look)


def iroas_findings(iroas: pd.DataFrame | None, declared: Collection[str], language: str) -> list[str]:
    """Say per verdict which channels it concerns, and how to read the intervals.

    Parameters
    ----------
    iroas : DataFrame or None
        `regression_iroas`.
    """
    _ = text.translator(language)
    if iroas is None:
        return missing({"regression": None}, declared, language)
    said = []
    iroas = iroas if len(iroas) > 2 else iroas.tail(1)
    for placed, rows in iroas.groupby(_placed(iroas), sort=False):
        channels = ", ".join(text.label(channel, language) for channel in rows["channel"])
        words = text.capitalised(text.label(placed, language))
        said.append(_("{verdict}: {channels}.").format(verdict=words, channels=channels))
    kind = _("Modelled from spend and revenue, not proven by an experiment.")
    if is_draft(iroas):
        kind = _("Draft: modelled by a quick approximation, not proven by an experiment.")
    return [" ".join(said), *[kind] * bool(iroas["iroas"].notna().any())]


def _placed(iroas: pd.DataFrame) -> pd.Series:
    """Each row's verdict; where the data suffice and the return is too near break-even, that."""
    if "verdict_reason" not in iroas:
        return iroas["verdict"]
    return iroas["verdict"].mask(iroas["verdict_reason"] == "holds_break_even", "holds_break_even")


def evidence_strip(strip: pd.DataFrame | None, kpis: pd.DataFrame | None, language: str) -> list[str]:
    """Say which KPIs lead the company figure that they are said to move, which follow, which are vanity.

    Of a class with many KPIs the number is told.

    Parameters
    ----------
    strip : DataFrame or None
        `reconciliation_evidence_strip`: `kpi`, `class`. A reconciliation of an earlier version saved none.
    kpis : DataFrame or None
        `reconciliation_kpis`, for names.

    Examples
    --------
    >>> found = pd.DataFrame({"kpi": ["nps", "likes"], "class": ["driver", "vanity"]})
    >>> kpis = pd.DataFrame({"kpi": ["nps", "likes"], "name_en": ["NPS", "Likes"], "name_it": ["NPS", "Mi piace"]})
    >>> evidence_strip(found, kpis, "en")[:2]
    ['Driver: NPS.', 'Vanity: Likes.']
    """
    _ = text.translator(language)
    if strip is None and kpis is not None:
        return [_("The reconciliation saved no class of its KPIs: an earlier version made it. Run it again.")]
    if strip is None or strip.empty:
        return [_("No declared influence could be tested in this unit.")]
    names = {} if kpis is None else dict(zip(kpis["kpi"], kpis[f"name_{language}"], strict=True))
    said = []
    for name in TOLD:
        listed = [names.get(kpi, text.label(kpi, language)) for kpi in strip["kpi"][strip["class"] == name]]
        if listed:
            told = ", ".join(listed[:MOST_NAMED])
            if len(listed) > MOST_NAMED:
                told = _("{names} and {n} more").format(names=told, n=text.number(len(listed) - MOST_NAMED, language))
            sentence = _("{verdict}: {channels}.")
            said.append(sentence.format(verdict=text.capitalised(text.label(name, language)), channels=told))
    if (strip["class"] == "driver").any():
        said.append(_("A driver leads the figure in time: a prediction, not a cause."))
    return said
