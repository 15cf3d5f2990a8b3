"""How well would we know each return if the model were true? Simulate on the unit's own spend, refit, compare."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults
from kpitoolkit.modelling import LOSES, break_even
from kpitoolkit.regression import charts, density, estimate, lift, returns
from kpitoolkit.regression import posterior as posteriors
from kpitoolkit.regression.posterior import Posterior

SIMULATIONS = 20
DRAWS = 300
KNOWN = 0.5
COLUMNS = ["channel", "simulations", "median_error", "covered", "decided", "decided_rightly", "answer"]


@dataclass(frozen=True, eq=False)
class Recovery:
    """What refits of simulated revenue found again.

    Attributes
    ----------
    table : DataFrame
        channel (`total_media` first), simulations, median_error (median of ``|found / true - 1|``), covered (share of
        90% intervals that hold the truth), decided (share of simulations with a verdict), decided_rightly (share of
        those verdicts that are right; missing where there are none), answer (`decidable`, where at least half of the
        simulations end in a verdict; `not_decidable`; `loses_on_every_sale`, where the margin alone is the verdict and
        no simulation is asked for one).
    simulations : DataFrame
        simulation, channel, true, iroas, low, high, verdict.
    published, draft : float
        iROAS of all media together as published and as a draft has it, where the two lie far apart: then the refits are
        short walks of the sampler. NaN where they are drafts.
    spend_share : float
        Spend over revenue, where no business has such a share and nothing was simulated; else NaN.
    """

    table: pd.DataFrame
    simulations: pd.DataFrame
    published: float = np.nan
    draft: float = np.nan
    spend_share: float = np.nan

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the median error by channel."""
        _ = text.translator(language)
        title = (
            _("How far estimates lie from the truth if the model is true (median, drafts)")
            if np.isnan(self.draft)
            else _("How far estimates lie from the truth if the model is true (median, short samples)")
        )
        if not len(self.table):
            return charts.blank(ax, title, language)
        look = {"language": language, "title": title, "value_format": "percent"}
        return plots.bars(self.table, "channel", "median_error", ax=ax, **look)

    def findings(self, language: str = "en") -> list[str]:
        """Say how well each return would be known if the model were true, and what would stay undecided."""
        _ = text.translator(language)
        if returns.unusual(self.spend_share):
            why = returns.unusual_words(self.spend_share, language)
            return [_("Nothing was simulated: {why}.").format(why=why)]
        if not len(self.table):
            return [_("Nothing was simulated: nothing could be modelled.")]
        total = self.table.iloc[0]
        said = [
            _(
                "If the model were true, on this very spend: all media together would be known to within {error} half "
                "of the time ({n} simulations), and {covered} of their 90% intervals would hold the truth."
            ).format(
                error=text.percent(total["median_error"], language, 0),
                n=text.number(int(total["simulations"]), language),
                covered=_of(total["covered"], total["simulations"], language),
            )
        ]
        if np.isfinite(self.draft):
            sentence = _(
                "A draft does not describe what these data leave open ({draft} for all media together, where "
                "{published} is published): each simulation was estimated by a short walk of the sampler."
            )
            figures = {"draft": self.draft, "published": self.published}
            said.append(sentence.format(**{name: text.number(each, language, 2) for name, each in figures.items()}))
        sentences = {
            "decidable": _("A verdict would be reached more often than not for {channels}."),
            "not_decidable": _("A verdict would be reached less often than not for {channels}."),
            LOSES: _("No verdict is waited for, because at this margin no return pays: {channels}."),
        }
        each = _("{channel} (error {error}, verdict in {decided})")
        bare = _("{channel} (error {error})")
        listed = self.table if len(self.table) > 2 else self.table.tail(1)  # one channel alone is the total
        for answer, sentence in sentences.items():
            own = listed[listed["answer"] == answer]
            names = [
                (bare if answer == LOSES else each).format(
                    channel=text.label(row.channel, language),
                    error=text.percent(row.median_error, language, 0),
                    decided="" if answer == LOSES else _of(row.decided, row.simulations, language),
                )
                for row in own.itertuples()
            ]
            if names:
                said.append(sentence.format(channels=", ".join(names)))
        verdicts = self.simulations[self.simulations["verdict"].isin(returns.VERDICTS)]
        if len(verdicts):
            sentence = _("{right} of the {n} verdicts reached were right.")
            right = text.number(int(verdicts["right"].sum()), language)
            said.append(sentence.format(right=right, n=text.number(len(verdicts), language)))
        return said


def recover(
    post: Posterior | None,
    contribution_margin_share: float,
    *,
    simulations: int = SIMULATIONS,
    source: str = "posterior",
    seed: int = 0,
) -> Recovery:
    """Simulate revenue from known returns on the unit's own spend, refit it, and compare.

    Each simulation takes one draw of every quantity, adds AR(1) errors of the drawn size and measures the lift tests
    anew; the refit knows the prior and the simulated figures only. It is a draft; where a draft of the unit's own data
    lies far from what is published (`estimate.beside_draft`), a short walk of the sampler. Where spend beside revenue
    looks like a wrong unit, nothing is simulated.

    Parameters
    ----------
    post : Posterior or None
        None, where nothing could be fitted, gives an empty result.
    contribution_margin_share : float in [-1, 1]
        Break-even iROAS is 1 / this; at zero or less there is none, and only the errors are told.
    simulations : int
    source : {"posterior", "prior"}
        Whence the true figures come: what the data leave possible, or, for the media, what was believed before them.
    seed : int

    Returns
    -------
    Recovery
    """
    if source not in ("posterior", "prior"):
        raise Faults("recover", [f"source '{source}' is not one of posterior, prior"])
    names = ["simulation", "channel", "true", "iroas", "low", "high", "verdict", "right"]
    if post is None or not post.problem.channels:
        return Recovery(pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=names))
    share = returns.spend_share(post.problem)
    if returns.unusual(share):
        return Recovery(pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=names), spend_share=share)
    even, problem, draft = break_even(contribution_margin_share), post.problem, estimate.beside_draft(post, seed)
    draw = np.random.default_rng(seed)
    truths = _truths(post, simulations, source, draw)
    media, baseline = posteriors.contributions(truths), posteriors.baseline(truths)
    pieces = []
    for place in range(simulations):
        errors = autoregression(truths.autocorrelation[place], truths.noise[place], problem.window, draw)
        revenue = (media[place].sum(axis=1) + baseline[place]) / problem.scale + errors
        again = replace(problem, revenue=revenue, lift_tests=_measured_again(truths, place, draw))
        refit = estimate.draft(again, seed, DRAWS) if np.isnan(draft) else estimate.short(again, seed)
        found = returns.rows(refit, contribution_margin_share)
        found = returns.judged(found, problem.window, problem.frequency, pays=even is not None)
        true = np.array([truths.total[place], *truths.iroas[place]])
        truth = LOSES if even is None else np.where(true > even, "above_break_even", "below_break_even")
        right = truth == found["verdict"]
        pieces.append(found.assign(simulation=place, true=true, right=right)[names])
    table = pd.concat(pieces, ignore_index=True)
    published = np.nan if np.isnan(draft) else float(post.total.mean())
    return Recovery(_summary(table), table, published, draft)


def autoregression(rho: float, noise: float, periods: int, draw: np.random.Generator) -> np.ndarray:
    """Draw stationary AR(1) errors: ``u_t = rho u_(t-1) + e_t`` with ``e_t ~ N(0, noise^2)``.

    Examples
    --------
    >>> autoregression(0.5, 0.0, 3, np.random.default_rng(0)).tolist()
    [0.0, 0.0, 0.0]
    """
    shocks = noise * draw.standard_normal(periods)
    errors = np.empty(periods)
    errors[0] = shocks[0] / np.sqrt(1 - rho**2)
    for at in range(1, periods):
        errors[at] = rho * errors[at - 1] + shocks[at]
    return errors


def _truths(post: Posterior, simulations: int, source: str, draw: np.random.Generator) -> Posterior:
    """Return as many draws as there are simulations; media from the prior where it is asked for."""
    chosen = draw.choice(len(post.iroas), simulations, replace=simulations > len(post.iroas))
    names = ("iroas", "carryover", "half_saturation", "slope", "peak", "baseline", "autocorrelation", "noise")
    truths = replace(post, **{name: getattr(post, name)[chosen] for name in names})
    if source == "posterior":
        return truths
    prior = post.problem.prior
    positions = draw.multivariate_normal(prior.mean, prior.covariance, simulations)
    count = len(post.problem.channels)
    fresh = {name: positions[:, at * count : (at + 1) * count] for at, name in enumerate(prior.names)}
    back = {name: 1 / (1 + np.exp(-each)) if name == "carryover" else np.exp(each) for name, each in fresh.items()}
    return replace(truths, **back)


def _measured_again(truths: Posterior, place: int, draw: np.random.Generator) -> pd.DataFrame:
    """Return the lift tests with what they would have measured in this simulation."""
    given = truths.problem
    tests = given.lift_tests.copy()
    if len(tests):
        one = {name: getattr(truths, name)[place : place + 1] for name in ("iroas", "carryover", "half_saturation")}
        one |= {name: getattr(truths, name)[place : place + 1] for name in ("slope", "peak")}
        true = np.log(np.maximum(lift.modelled(replace(truths, **one), tests)[0], density.SMALLEST_PRESSURE))
        tests["iroas"] = np.exp(true + tests["log_sd"].to_numpy(dtype=float) * draw.standard_normal(len(tests)))
    return tests


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for channel, own in table.groupby("channel", sort=False):
        decided, asked = own["verdict"].isin(returns.VERDICTS), not (own["verdict"] == LOSES).any()
        answer = "decidable" if decided.mean() >= KNOWN else "not_decidable"
        rows.append(
            {
                "channel": channel,
                "simulations": len(own),
                "median_error": float((own["iroas"] / own["true"] - 1).abs().median()),
                "covered": float(((own["low"] <= own["true"]) & (own["true"] <= own["high"])).mean()),
                "decided": float(decided.mean()) if asked else np.nan,
                "decided_rightly": float(own.loc[decided, "right"].mean()) if decided.any() else np.nan,
                "answer": answer if asked else LOSES,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _of(share: float, n: float, language: str) -> str:
    """Write a share of a few as so many of so many."""
    sentence = text.translator(language)("{some} of {all}")
    return sentence.format(some=text.number(round(share * n), language), all=text.number(int(n), language))
