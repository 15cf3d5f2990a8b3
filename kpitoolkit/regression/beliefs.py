"""Priors that somebody stated and the data contradict: said in words, for neither can then be used as it is.

A prior that is far off and narrow wins: the posterior stays beside it, and errors grow to cover what it forbids. So the
stated prior is held not only against the posterior that it shaped, but against a draft under the default priors too.
"""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from kpitoolkit import text
from kpitoolkit.regression.estimate import draft
from kpitoolkit.regression.posterior import Posterior
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import believed
from kpitoolkit.regression.returns import TOTAL

FAR = 2.5  # prior standard deviations


@dataclass(frozen=True, eq=False)
class Beliefs:
    """Stated priors beside what the data made of them.

    Attributes
    ----------
    table : DataFrame
        channel, quantity, prior, posterior, unstated (medians, in the reader's units: of the stated prior, with it, and
        without it), apart (how far, the larger one, in standard deviations on the scale of the prior), contradicted.
    """

    table: pd.DataFrame

    def findings(self, language: str = "en") -> list[str]:
        """Say which stated priors the data contradict."""
        _ = text.translator(language)
        sentence = _(
            "The stated prior for {quantity} of {channel} and the data contradict one another: {prior} was stated, "
            "{posterior} comes out with it and {unstated} without it, {apart} standard deviations away. Check where "
            "the prior comes from (unit, currency, period) before either is used."
        )
        said, shown = [], ("prior", "posterior", "unstated")
        for row in self.table[self.table["contradicted"]].itertuples():
            figures = {name: text.number(float(getattr(row, name)), language, 2) for name in shown}
            names = {name: text.label(getattr(row, name), language) for name in ("channel", "quantity")}
            said.append(sentence.format(**figures, **names, apart=text.number(row.apart, language, 1)))
        return said


def contradictions(post: Posterior | None, *, seed: int = 0) -> Beliefs:
    """Compare the priors that were stated, not those by default, with the posterior.

    A prior is contradicted where ``|posterior median - prior centre| > 2.5`` prior standard deviations, on the scale on
    which the prior is Gaussian (logarithms; logits of the carryover), or where the median of a draft under the default
    priors lies 2.5 combined standard deviations from it. A stated `media_share`, `common_log_sd` or `own_log_sd` is
    compared with the log iROAS of all media together.

    Parameters
    ----------
    post : Posterior or None
        None, where nothing could be fitted, contradicts nothing.
    seed : int
        Of the draft.

    Returns
    -------
    Beliefs
        No rows where nothing was stated.
    """
    if post is None:
        return Beliefs(pd.DataFrame({"contradicted": np.zeros(0, dtype=bool)}))
    given, prior = post.problem, post.problem.prior
    usual, count = Priors(), len(post.problem.channels)
    changed = {each.name for each in fields(Priors) if getattr(given.stated, each.name) != getattr(usual, each.name)}
    stated = []
    for block, quantity in enumerate(prior.names):
        for place, channel in enumerate(given.channels):
            own = {quantity, f"{quantity}_sd"} & set(given.stated.channels.get(channel, {}))
            if own or any(name == quantity or name.startswith(f"{quantity}_") for name in changed):
                at = block * count + place
                stated.append((channel, quantity, place, prior.mean[at], np.sqrt(prior.covariance[at, at])))
    if count and changed & {"media_share", "common_log_sd", "own_log_sd"}:
        weight = given.spent * np.exp(prior.mean[:count])
        total, weight = weight.sum() / given.spent.sum(), weight / weight.sum()
        sd = np.sqrt(weight @ prior.covariance[:count, :count] @ weight)
        stated.append((TOTAL, "iroas", -1, np.log(total), sd))
    plain = draft(believed(given, usual), seed) if stated else post
    rows = []
    for channel, quantity, place, centre, sd in stated:
        turn, back = (logit, expit) if quantity == "carryover" else (np.log, np.exp)
        drawn = [each.total if place < 0 else getattr(each, quantity)[:, place] for each in (post, plain)]
        with_it, without = (turn(values) for values in drawn)
        distances = (
            abs(np.median(with_it) - centre) / sd,
            abs(np.median(without) - centre) / np.hypot(sd, without.std()),
        )
        medians = [float(back(each)) for each in (centre, np.median(with_it), np.median(without))]
        rows.append((channel, quantity, *medians, float(max(distances))))
    found = pd.DataFrame(rows, columns=["channel", "quantity", "prior", "posterior", "unstated", "apart"])
    return Beliefs(found.assign(contradicted=found["apart"].astype(float) > FAR))
