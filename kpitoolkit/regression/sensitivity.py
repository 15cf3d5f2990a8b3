"""Would another prior have said something else? The same data under other beliefs, and whether verdicts change."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.modelling import LOSES, break_even
from kpitoolkit.regression import charts, estimate, returns
from kpitoolkit.regression.posterior import Posterior
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import believed

STATED = "stated_prior"
COLUMNS = ["prior", "channel", "iroas", "low", "high", "probability_above_break_even", "shrinkage", "verdict"]
DRAWS = 500
NEGLIGIBLE = 1e-3


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """iROAS under several priors.

    Attributes
    ----------
    table : DataFrame
        prior (`stated_prior` first), channel (`total_media` first), iroas, low, high (90%),
        probability_above_break_even, shrinkage, verdict (`above_break_even`, `below_break_even`, `insufficient_data`,
        `loses_on_every_sale`).
    verdicts : DataFrame
        channel, verdict (under the stated prior), lowest, highest (iROAS over all priors), changes (how many other
        priors give another verdict), reversed (how many give the opposite one), answer (`holds`, `depends_on_prior`,
        `insufficient_data`: none under the stated prior).
    draft : float
        iROAS of all media together as a draft under the stated prior has it, where that is far from what is published:
        then the other priors are sampled by short walks and the stated one's figures are the published ones. NaN where
        all figures are drafts.
    spend_share : float
        Spend over revenue, where no business has such a share and nothing was refitted; else NaN.
    """

    table: pd.DataFrame
    verdicts: pd.DataFrame
    break_even: float | None
    draft: float = np.nan
    spend_share: float = np.nan

    @property
    def sampled(self) -> bool:
        """Whether the figures are samples, for want of drafts that describe what the data leave open."""
        return bool(np.isfinite(self.draft))

    def plot(self, ax: Axes | None = None, language: str = "en", channel: str = returns.TOTAL) -> Axes:
        """Draw a channel's iROAS with its interval, one row a prior, beside break-even."""
        _ = text.translator(language)
        words = (
            _("{channel}: modelled revenue per unit of spend under other priors (short samples)")
            if self.sampled
            else _("{channel}: modelled revenue per unit of spend under other priors (draft)")
        )
        title = words.format(channel=text.capitalised(text.label(channel, language)))
        rows = self.table[self.table["channel"] == channel]
        if not len(rows):
            return charts.blank(ax, title, language)
        rows = rows.assign(tone=rows["verdict"].map(charts.TONES).fillna("undecided"))
        look = {"value_format": "number2"}
        if self.break_even is not None:
            words = _("break-even {value}").format(value=text.number(self.break_even, language, 1))
            look |= {"reference": self.break_even, "reference_label": words, "tone": "tone"}
        return plots.intervals(rows, "prior", "iroas", "low", "high", ax=ax, language=language, title=title, **look)

    def findings(self, language: str = "en") -> list[str]:
        """Say how far iROAS moves with the prior, which verdicts hold and which depend on it."""
        _ = text.translator(language)
        if returns.unusual(self.spend_share):
            why = returns.unusual_words(self.spend_share, language)
            return [_("No other prior was tried: {why}.").format(why=why)]
        if not len(self.table):
            return [_("No other prior was tried: nothing could be modelled.")]
        total, stated = self.verdicts.iloc[0], self.table["iroas"].iloc[0]
        said = []
        if self.sampled:
            sentence = _(
                "The data leave so much open that a draft does not describe it ({draft} for all media together, where "
                "{published} is published): every other prior was sampled in a short walk instead."
            )
            figures = {"draft": self.draft, "published": stated}
            said.append(sentence.format(**{name: text.number(each, language, 2) for name, each in figures.items()}))
        sentence = (
            _(
                "Whichever of {n} priors is taken, all media together are modelled to bring {lowest} to {highest} of "
                "revenue per unit of spend (short samples; {stated} under the stated one)."
            )
            if self.sampled
            else _(
                "Whichever of {n} priors is taken, all media together are modelled to bring {lowest} to {highest} of "
                "revenue per unit of spend (draft fits; {stated} under the stated one)."
            )
        )
        figures = {"lowest": total["lowest"], "highest": total["highest"], "stated": stated}
        written = {name: text.number(each, language, 2) for name, each in figures.items()}
        said.append(sentence.format(n=text.number(self.table["prior"].nunique(), language), **written))
        sentences = {
            "depends_on_prior": _("The verdict depends on the prior for {channels}: no decision should rest on it."),
            "holds": _("The verdict is the same under every prior for {channels}."),
            "insufficient_data": _("No verdict under the stated prior for {channels}."),
        }
        listed = self.verdicts if len(self.verdicts) > 2 else self.verdicts.tail(1)  # one channel alone is the total
        for answer, sentence in sentences.items():
            own = listed[listed["answer"] == answer]
            if len(own):
                each = _("{channel} ({lowest} to {highest})")
                names = [
                    each.format(
                        channel=text.label(row.channel, language),
                        lowest=text.number(row.lowest, language, 2),
                        highest=text.number(row.highest, language, 2),
                    )
                    for row in own.itertuples()
                ]
                said.append(sentence.format(channels=", ".join(names)))
        return said


def sensitivity(post: Posterior | None, contribution_margin_share: float, *, seed: int = 0) -> Sensitivity:
    """Refit under other priors: wider, independent, half and twice the centre, no S-shaped curve.

    By drafts; where a draft lies far from what is published (`estimate.beside_draft`), by short walks of the sampler.
    Where spend beside revenue looks like a wrong unit, nothing is refitted.

    Parameters
    ----------
    post : Posterior or None
        Its problem is refitted; None, where nothing could be fitted, gives an empty result.
    contribution_margin_share : float in [-1, 1]
        Break-even iROAS is 1 / this; at zero or less no return pays, whatever the prior.
    seed : int

    Returns
    -------
    Sensitivity
    """
    even = break_even(contribution_margin_share)
    names = ["channel", "verdict", "lowest", "highest", "changes", "reversed", "answer"]
    if post is None or not post.problem.channels:
        return Sensitivity(pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=names), even)
    share = returns.spend_share(post.problem)
    if returns.unusual(share):
        return Sensitivity(pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=names), even, spend_share=share)
    draft, pieces = estimate.beside_draft(post, seed), []
    for name, stated in alternatives(post.problem.stated).items():
        given = believed(post.problem, stated)
        if np.isnan(draft):
            found = estimate.draft(given, seed=seed, draws=DRAWS)
        else:
            found = post if name == STATED else estimate.short(given, seed)
        frame = returns.rows(found, contribution_margin_share)
        frame = returns.judged(frame, given.window, given.frequency, pays=even is not None)
        pieces.append(frame.assign(prior=name)[COLUMNS])
    table = pd.concat(pieces, ignore_index=True)
    return Sensitivity(table, _answers(table), even, draft)


def alternatives(stated: Priors) -> dict[str, Priors]:
    """Return the stated prior and others around it, by name; those equal to the stated one are left out.

    Examples
    --------
    >>> list(alternatives(Priors()))[:3]
    ['stated_prior', 'independent_1', 'independent_1_5']
    >>> alternatives(Priors())["centre_halved"].media_share
    0.11
    """
    others = {
        "independent_1": replace(stated, common_log_sd=NEGLIGIBLE, own_log_sd=1.0),
        "independent_1_5": replace(stated, common_log_sd=NEGLIGIBLE, own_log_sd=1.5),
        "correlated": replace(stated, common_log_sd=0.8, own_log_sd=0.7),
        "centre_halved": _centred(stated, 0.5),
        "centre_doubled": _centred(stated, 2.0),
        "slope_1": replace(stated, slope=1.0, slope_log_sd=NEGLIGIBLE, channels=_without_slopes(stated.channels)),
    }
    return {STATED: stated, **{name: other for name, other in others.items() if other != stated}}


def _centred(stated: Priors, factor: float) -> Priors:
    """Every iROAS that the prior expects, times a factor."""
    channels = {
        name: {key: value * factor if key == "iroas" else value for key, value in said.items()}
        for name, said in stated.channels.items()
    }
    return replace(stated, media_share=min(stated.media_share * factor, 0.95), channels=channels)


def _without_slopes(channels: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {key: value for key, value in said.items() if key not in ("slope", "slope_sd")}
        for name, said in channels.items()
    }


def _answers(table: pd.DataFrame) -> pd.DataFrame:
    """Whether each channel's verdict stands under every prior."""
    rows = []
    for channel, own in table.groupby("channel", sort=False):
        verdict, others = own["verdict"].iloc[0], own["verdict"].iloc[1:]
        changed = others != verdict
        answer = "insufficient_data" if verdict not in (*returns.VERDICTS, LOSES) else None
        rows.append(
            {
                "channel": channel,
                "verdict": verdict,
                "lowest": own["iroas"].min(),
                "highest": own["iroas"].max(),
                "changes": int(changed.sum()),
                "reversed": int((changed & others.isin(returns.VERDICTS)).sum()) if answer is None else 0,
                "answer": answer or ("depends_on_prior" if changed.any() else "holds"),
            }
        )
    return pd.DataFrame(rows)
