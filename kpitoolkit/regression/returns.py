"""From a posterior to what each channel brought: per unit of spend, at the margin, in each period, and what it proves.

Every figure is a functional of the same draws, and so the total's interval knows how channels trade off. A verdict
needs data that moved the prior, a probability near one or naught, and chains that agree; else there is none, and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from kpitoolkit import text
from kpitoolkit.modelling import LOSES, break_even
from kpitoolkit.regression import posterior as posteriors
from kpitoolkit.regression.posterior import INTERVAL, Posterior, interval, point
from kpitoolkit.regression.priors import Prior, prior_table
from kpitoolkit.regression.problem import Problem

TOTAL = "total_media"
SHORTEST = {"week": 104, "quarter": 16}
SHRUNK, SPOKEN, SILENT = 0.5, 2 / 3, 0.8
LIKELY, UNLIKELY = 0.9, 0.1
AGREEING = 1.05
MOSTLY = 0.5
USUAL_SHARE = (0.001, 1.0)  # of revenue, that marketing spend is; beyond, a unit or a currency may be wrong
PRIOR_DRAWS = 10_000
TABLE = ["channel", "spend", "contribution", "contribution_low", "contribution_high", "iroas", "low", "high"]
TABLE += ["mroas", "mroas_low", "mroas_high", "roi", "roi_low", "roi_high", "mroi", "probability_above_break_even"]
TABLE += ["prior_iroas", "prior_low", "prior_high", "shrinkage", "own_data", "r_hat", "ess"]
TABLE += [
    "carryover",
    "half_saturation",
    "slope",
    "ceiling",
    "ceiling_low",
    "ceiling_high",
    "verdict",
    "verdict_reason",
    "kind",
]
NUMBERS = TABLE[2:-3]
CONTRIBUTIONS = ["period_end", "component", "contribution", "low", "high"]
PRIORS = ["channel", "quantity", "prior", "prior_low", "prior_high", "posterior", "low", "high"]
VERDICTS = ("above_break_even", "below_break_even")


def rows(post: Posterior, contribution_margin_share: float) -> pd.DataFrame:
    """Return the figures of all media together and of each fitted channel.

    The total weighs each draw's channels by their spend, in the posterior and in the prior alike.

    Parameters
    ----------
    post : Posterior
    contribution_margin_share : float in [-1, 1]
        Break-even is 1 / this; at zero or less there is none, and no probability of lying above it.

    Returns
    -------
    DataFrame
        `TABLE` without the verdict; the total first.
    """
    problem = post.problem
    spend = problem.spent * problem.scale
    at_margin = posteriors.mroas(post)
    iroas = np.column_stack([post.total, post.iroas])
    mroas = np.column_stack([at_margin @ post.weight, at_margin])
    frame = pd.DataFrame({"channel": [TOTAL, *problem.channels], "spend": [spend.sum(), *spend]})
    for name, drawn in (("iroas", iroas), ("mroas", mroas)):
        prefix = "" if name == "iroas" else "mroas_"
        frame[name], (frame[f"{prefix}low"], frame[f"{prefix}high"]) = point(drawn), interval(drawn)
    for end, source in (("", "iroas"), ("_low", "low"), ("_high", "high")):
        frame[f"contribution{end}"] = frame[source] * frame["spend"]
        frame[f"roi{end}"] = contribution_margin_share * frame[source] - 1
    frame[["roi_low", "roi_high"]] = np.sort(frame[["roi_low", "roi_high"]], axis=1)  # a margin below zero turns them
    frame["mroi"] = contribution_margin_share * frame["mroas"] - 1
    even = break_even(contribution_margin_share)
    frame["probability_above_break_even"] = np.nan if even is None else (iroas > even).mean(axis=0)
    before = prior_returns(problem.prior, post.weight)
    frame[["prior_iroas", "prior_low", "prior_high"]] = before[["iroas", "low", "high"]].to_numpy()
    frame["shrinkage"] = np.log(iroas).std(axis=0) / before["log_sd"].to_numpy()
    frame["own_data"] = [frame["shrinkage"].iloc[0], *own_data(post)]
    frame["r_hat"], frame["ess"] = [np.max(post.r_hat), *post.r_hat], [np.min(post.ess), *post.ess]
    shapes = {"carryover": post.carryover, "half_saturation": post.half_saturation * problem.mean_active}
    shapes |= {"slope": post.slope, "ceiling": posteriors.ceiling(post)}
    for name, drawn in shapes.items():  # medians: they add up to nothing, and the mean of what spans decades is its end
        frame[name] = [np.nan, *np.median(drawn, axis=0)]
    frame["ceiling_low"], frame["ceiling_high"] = ([np.nan, *end] for end in interval(shapes["ceiling"]))
    return frame.assign(kind=post.kind)


def prior_returns(prior: Prior, weight: np.ndarray) -> pd.DataFrame:
    """Return what was believed of iROAS before the data: all media together, then each channel.

    The figure is the median, which is what was stated: a belief as wide as this has a mean far above it. Channels are
    log-normal, known exactly; the total comes from draws with a fixed seed.

    Parameters
    ----------
    prior : Prior
    weight : array of shape (channels,)
        Each channel's share of spend.

    Returns
    -------
    DataFrame
        iroas, low, high (90%), log_sd.
    """
    count = len(weight)
    centre, spread = prior.mean[:count], prior.covariance[:count, :count]
    sd = prior.log_iroas_sd
    drawn = np.random.default_rng(0).multivariate_normal(centre, spread, size=PRIOR_DRAWS, method="cholesky")
    together = np.exp(drawn) @ weight
    reach = stats.norm.ppf(0.5 + INTERVAL / 2)
    low, high = np.exp(centre - reach * sd), np.exp(centre + reach * sd)
    if count == 1:  # one channel is the total: no chance in it
        middle, bounds, log_sd = np.exp(centre[0]), (low[0], high[0]), sd[0]
    else:
        middle, bounds, log_sd = np.median(together), interval(together), np.log(together).std()
    return pd.DataFrame(
        {
            "iroas": [middle, *np.exp(centre)],
            "low": [bounds[0], *low],
            "high": [bounds[1], *high],
            "log_sd": [log_sd, *sd],
        }
    )


def own_data(post: Posterior) -> np.ndarray:
    """Return the share of uncertainty that each channel's own data leave: 1 and more says that they said nothing.

    Posterior standard deviation of log iROAS over the prior's given all other channels' iROAS,
    ``1 / sqrt((S^-1)_cc)`` for a prior covariance S. Under a prior with a common factor the other channels alone
    narrow a channel of which the data say nothing; this does not count as its own.

    Returns
    -------
    array of shape (channels,)
    """
    count = len(post.problem.channels)
    precision = np.linalg.inv(post.problem.prior.covariance[:count, :count])
    return np.log(post.iroas).std(axis=0) * np.sqrt(np.diag(precision))


def priors_beside(post: Posterior | None) -> pd.DataFrame:
    """Return each quantity of each channel before and after the data: centre and 90% interval, in the reader's units.

    Before the data the centre is the median, as it was stated; after them it is the median too.
    """
    if post is None:
        return pd.DataFrame(columns=PRIORS)
    problem = post.problem
    units = {"half_saturation": problem.mean_active}
    found = prior_table(problem.prior, problem.channels, INTERVAL)
    after = {}
    for quantity in problem.prior.names:
        drawn = getattr(post, quantity)
        bounds = [np.median(drawn, axis=0), *interval(drawn)]
        after |= {(name, quantity): [each[at] for each in bounds] for at, name in enumerate(problem.channels)}
    beside = [after[key] for key in zip(found["channel"], found["quantity"], strict=True)]
    found[["posterior", "posterior_low", "posterior_high"]] = np.array(beside).reshape(-1, 3)
    for quantity, unit in units.items():
        own = (found["quantity"] == quantity).to_numpy()
        found.loc[own, found.columns[2:]] = found.loc[own, found.columns[2:]].mul(unit, axis=0)
    renamed = {"centre": "prior", "low": "prior_low", "high": "prior_high"}
    return found.rename(columns=renamed).rename(columns={"posterior_low": "low", "posterior_high": "high"})[PRIORS]


def verdict(row, periods: int, frequency: str) -> tuple[str, str]:
    """Place a return beside break-even where the data allow it; else say why not.

    A verdict takes enough periods, chains that agree (R-hat under 1.05), a posterior less than half as wide as the
    prior on the log scale, a channel's own data that took away at least a third of what the prior and the other
    channels left unknown (`own_data`), and a probability of lying above break-even of at least .9 or at most .1.

    Parameters
    ----------
    row
        With `spend`, `iroas`, `r_hat`, `shrinkage`, `own_data`, `kind` and `probability_above_break_even`.

    Returns
    -------
    verdict : {"above_break_even", "below_break_even", "insufficient_data", "not_spent"}
    reason : {"", "not_fitted", "too_few_periods", "chains_disagree", "data_silent", "data_faint", "holds_break_even"}
        The first of these that stands in the way of a verdict.

    Examples
    --------
    >>> from types import SimpleNamespace as Row
    >>> row = Row(spend=1.0, iroas=4.0, r_hat=1.01, shrinkage=0.3, own_data=0.4, kind="published",
    ...           probability_above_break_even=0.97)
    >>> verdict(row, 104, "week")
    ('above_break_even', '')
    >>> verdict(row, 103, "week")
    ('insufficient_data', 'too_few_periods')
    """
    if not row.spend:
        return "not_spent", ""
    probability = row.probability_above_break_even
    stands_in_the_way = {
        "too_few_periods": periods < SHORTEST[frequency],
        "not_fitted": not np.isfinite(row.iroas),
        # drafts have no chains: there, and only there, NaN is no objection
        "chains_disagree": row.r_hat >= AGREEING or (np.isnan(row.r_hat) and row.kind == "published"),
        "data_silent": not max(row.shrinkage, row.own_data) < SILENT,
        "data_faint": not (row.shrinkage < SHRUNK and row.own_data < SPOKEN),
        "holds_break_even": UNLIKELY < probability < LIKELY,
    }
    for reason, stands in stands_in_the_way.items():
        if stands:
            return "insufficient_data", reason
    return ("above_break_even" if probability >= LIKELY else "below_break_even"), ""


@dataclass(frozen=True)
class Evidence:
    """How strong a case is: how much the data narrowed what was believed, whatever they say about break-even.

    Attributes
    ----------
    grade : {"strong", "total_only", "weak"}
        `strong`: enough periods, chains that agree, and the data more than halved what was unknown of all media
        together and of channels with most of the spend; `total_only`: of all media together, not of most channels;
        `weak`: not even that.
    reason : str
        What stands in the way, of all media together (see `verdict`); empty where nothing does.
    informed_share : float
        Share of the spend that lies with channels about which the data said enough.
    """

    grade: str
    reason: str
    informed_share: float


def evidence(table: pd.DataFrame) -> Evidence:
    """Grade a regression's table, verdicts included.

    Examples
    --------
    >>> table = pd.DataFrame({"channel": ["total_media", "tv", "web"], "spend": [3.0, 2.0, 1.0],
    ...                       "verdict": ["above_break_even", "insufficient_data", "above_break_even"],
    ...                       "verdict_reason": ["", "data_silent", ""]})
    >>> evidence(table)
    Evidence(grade='total_only', reason='', informed_share=0.3333333333333333)
    """
    informed = table["verdict"].isin(VERDICTS) | (table["verdict_reason"] == "holds_break_even")
    informed |= (table["verdict"] == LOSES) & (table["verdict_reason"] == "")
    total, channels = table.iloc[0], table.iloc[1:]
    spend = float(channels["spend"].sum())
    share = float(channels.loc[informed, "spend"].sum()) / spend if spend else 0.0
    if not informed.iloc[0]:
        return Evidence("weak", total["verdict_reason"] or total["verdict"], share)
    return Evidence("strong" if share >= MOSTLY else "total_only", "", share)


def contributions(post: Posterior, revenue: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what each component brought in each period, and all media together.

    Posterior means: of the baseline and of each channel; with the residual they add up to revenue in every period.

    Parameters
    ----------
    post : Posterior
    revenue : array of shape (T,)
        Currency per period.

    Returns
    -------
    DataFrame
        period_end, component (`baseline`, the channels, `residual`), contribution, low, high; the residual without an
        interval.
    DataFrame
        period_end, contribution, low, high of all media together.
    """
    problem = post.problem
    media = posteriors.contributions(post)
    parts = {
        "baseline": posteriors.baseline(post),
        **{name: media[:, :, place] for place, name in enumerate(problem.channels)},
    }
    frames = [_by_period(problem.period_end, drawn).assign(component=name) for name, drawn in parts.items()]
    left = np.asarray(revenue, dtype=float) - sum(frame["contribution"].to_numpy() for frame in frames)
    frames.append(pd.DataFrame({"period_end": problem.period_end, "component": "residual", "contribution": left}))
    together = _by_period(problem.period_end, media.sum(axis=2))
    return pd.concat(frames, ignore_index=True)[CONTRIBUTIONS], together


def _by_period(period_end: pd.DatetimeIndex, drawn: np.ndarray) -> pd.DataFrame:
    low, high = interval(drawn)
    return pd.DataFrame({"period_end": period_end, "contribution": drawn.mean(axis=0), "low": low, "high": high})


def without_media(period_end: pd.DatetimeIndex, revenue: np.ndarray, baseline: pd.DataFrame | None) -> pd.DataFrame:
    """Return the contributions where no channel could be fitted: the baseline by least squares, if any, and the rest.

    Parameters
    ----------
    baseline : DataFrame of shape (T, k), optional
        Its columns; None: too few periods for them, and all of revenue is residual.
    """
    revenue = np.asarray(revenue, dtype=float)
    parts = {"residual": revenue}
    if baseline is not None:
        design = baseline.to_numpy()
        fitted = design @ np.linalg.lstsq(design, revenue, rcond=None)[0]
        parts = {"baseline": fitted, "residual": revenue - fitted}
    frames = [
        pd.DataFrame({"period_end": period_end, "component": name, "contribution": part, "low": np.nan, "high": np.nan})
        for name, part in parts.items()
    ]
    return pd.concat(frames, ignore_index=True)[CONTRIBUTIONS]


def ordered(frame: pd.DataFrame, spent: dict[str, float], channels: Sequence[str]) -> pd.DataFrame:
    """Return one row for the total and each channel stated, in this order; figures of those not fitted are missing."""
    names = [TOTAL, *channels]
    table = frame.set_index("channel").reindex(names).rename_axis("channel").reset_index().reindex(columns=TABLE)
    table["spend"] = table["spend"].fillna(pd.Series([spent[name] for name in names]))
    return table


def judged(
    table: pd.DataFrame, periods: int, frequency: str, spend_share: float = np.nan, *, pays: bool = True
) -> pd.DataFrame:
    """Return the table with each row's verdict and what stands in the way of one.

    Spend as a share of revenue that no business has gives none: a unit or a currency is wrong more likely than true.
    Where no return pays, the margin alone is the verdict, `loses_on_every_sale`, and needs no data; the reason then
    says why the return itself is little known.
    """
    found = [verdict(row, periods, frequency) for row in table.itertuples()]
    if unusual(spend_share):
        found = [said if said[0] == "not_spent" else ("insufficient_data", "unusual_spend") for said in found]
    if not pays:
        known = {"holds_break_even": ""}
        found = [said if said[0] == "not_spent" else (LOSES, known.get(said[1], said[1])) for said in found]
    return table.assign(verdict=[word for word, _why in found], verdict_reason=[why for _word, why in found])


def spend_share(given: Problem) -> float:
    """Return spend on the fitted channels over revenue, both of the window."""
    return float(given.spent.sum() / given.revenue.sum())


def unusual(share: float) -> bool:
    """Return whether spend as a share of revenue is one that no business has; none at all is no such share.

    Examples
    --------
    >>> unusual(0.1), unusual(0.0), unusual(1.2), unusual(0.0001)
    (False, False, True, True)
    """
    return bool(share and (share < USUAL_SHARE[0] or share > USUAL_SHARE[1]))


def unusual_words(share: float, language: str) -> str:
    """Say what is wrong with such a share, as the end of a sentence."""
    sentence = text.translator(language)(
        "spend is {spend_share} of revenue; check the currency and the unit of both first"
    )
    return sentence.format(spend_share=text.percent(share, language, 2))
