"""What other units know of a channel's return: each unit's estimate, brought together by channel name.

A unit's data are recovered as its posterior divided by its prior, both Gaussian in log iROAS over all its channels at
once. Each unit is then given what the *other* units say, and nothing of its own, as prior: so no data count twice.
All of it is algebra on the tables that the units saved (`summary_of`); nothing is drawn and nothing refitted.

The model: a unit's log iROAS are a mean over units plus the unit's own deviation. Both together have the variance of
the unit's prior, so that pooling takes it apart and adds nothing: a share ``f`` of it is between units, the rest is
common to them. There is a share for each channel and one for what the unit's channels have in common; before the data
any share is as likely as any other. At ``f = 1`` other units say nothing and the unit's prior stands. With two to four
units a single best share would often be nought, as if all units were one: the shares are integrated over a grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats
from scipy.linalg import solve_triangular

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.regression import charts
from kpitoolkit.regression.posterior import INTERVAL, Posterior, interval, point
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import Problem

SUMMARY = ["channel", "other", "mean", "sd", "prior_mean", "prior_sd", "covariance", "prior_covariance"]
SUMMARY += ["iroas", "low", "high", "r_hat"]
TABLE = ["unit", "channel", "units", "own_iroas", "own_low", "own_high", "others_iroas", "others_log_sd"]
TABLE += ["iroas", "low", "high", "width_ratio", "distance", "status"]
SHARES = (np.arange(16) + 0.5) / 16
SWEEPS = 30
AGREEING = 1.05
FAR = 2.0


@dataclass(frozen=True, eq=False)
class Pooling:
    """Each unit's returns with what the other units know.

    Attributes
    ----------
    table : DataFrame
        One row a unit and channel. units: in how many units the channel can be read; own_iroas, own_low, own_high: as
        the unit published them; others_iroas, others_log_sd: centre (median) and spread of the prior that the other
        units make; iroas, low, high: with it; width_ratio: of the pooled interval's to its own, on the log scale;
        distance: how far the unit's own data lie from the others' prior, in standard deviations of the difference;
        status: `pooled`, `one_unit` (left as it is), `not_converged` (neither gives nor takes).
    priors : dict
        By unit: (channels, mean, covariance) of log iROAS according to the other units.
    """

    table: pd.DataFrame
    priors: Mapping[str, tuple[tuple[str, ...], np.ndarray, np.ndarray]]

    def findings(self, language: str = "en") -> list[str]:
        """Return what pooling changed, what it left alone, and where units disagree."""
        _ = text.translator(language)
        pooled = self.table[self.table["status"] == "pooled"]
        if not len(pooled):
            said = [_("No channel has an estimate in two units: nothing to pool.")]
        else:
            sentence = _(
                "Pooled across units: {channels}. Given what the other units say, the 90% interval of a return is "
                "{share} as wide as the unit's own, at the median."
            )
            channels = ", ".join(text.label(name, language) for name in dict.fromkeys(pooled["channel"]))
            share = text.percent(pooled["width_ratio"].median(), language, 0)
            said = [sentence.format(channels=channels, share=share)]
            said.append(
                _(
                    "Each unit takes its prior from the other units only, so no data count twice; how much units may "
                    "differ is read from the data and never taken to be nothing."
                )
            )
        for row in pooled[pooled["distance"].abs() > FAR].itertuples():
            sentence = _(
                "{channel} in {unit}: its own data lie far from what the other units say ({own} on its own, {others} "
                "by the others). Look for the reason before using the pooled figure."
            )
            figures = {"own": row.own_iroas, "others": row.others_iroas}
            shown = {name: text.number(value, language, 2) for name, value in figures.items()}
            said.append(sentence.format(channel=text.label(row.channel, language), unit=row.unit, **shown))
        for status, sentence in (
            ("one_unit", _("Estimated in one unit only, and left as they are: {channels}.")),
            ("not_converged", _("Left out because the estimation's chains disagree: {channels}.")),
        ):
            rows = self.table[self.table["status"] == status]
            names = [f"{text.label(row.channel, language)} ({row.unit})" for row in rows.itertuples()]
            said += [sentence.format(channels=", ".join(names))] if names else []
        return said

    @property
    def shown(self) -> pd.DataFrame:
        """The table as pages show it: what each unit found, what the others say, and both together."""
        kept = ["unit", "channel", "own_iroas", "own_low", "own_high", "others_iroas", "iroas", "low", "high", "status"]
        return self.table[kept]

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each pooled iROAS with its interval, beside the unit's own."""
        _ = text.translator(language)
        title = _("Modelled revenue per unit of spend, with what other units know")
        rows = self.table[self.table["status"] == "pooled"]
        if not len(rows):
            return charts.blank(ax, title, language)
        names = [f"{text.label(row.channel, language)}, {row.unit}" for row in rows.itertuples()]
        words = (_("with the other units, 90% interval"), _("on its own"), _("90% interval on its own"))
        return plots.against(
            rows.assign(name=names), "name", "iroas", "low", "high", "own_iroas", words,
            span=("own_low", "own_high"), ax=ax, language=language,
            title=title,
        )  # fmt: skip


def summary_of(post: Posterior | None) -> pd.DataFrame:
    """Return what a unit saves of its returns, so that others can learn from them: `regression_posterior`.

    Parameters
    ----------
    post : Posterior or None
        None, where nothing could be fitted, has nothing to tell.

    Returns
    -------
    DataFrame
        One row for each ordered pair of channels. channel, other; covariance and prior_covariance of their log iROAS;
        where channel and other are the same also mean, sd, prior_mean, prior_sd of log iROAS, the published iroas, low,
        high, and r_hat.
    """
    if post is None:
        return pd.DataFrame(columns=SUMMARY)
    names, logs = post.problem.channels, np.log(post.iroas)
    after = np.atleast_2d(np.cov(logs.T))
    before, centre = post.problem.prior.covariance, post.problem.prior.mean
    low, high = interval(post.iroas)
    published = {"iroas": point(post.iroas), "low": low, "high": high, "r_hat": post.r_hat}
    rows = []
    for place, name in enumerate(names):
        for beside, other in enumerate(names):
            row = {"channel": name, "other": other}
            row |= {"covariance": after[place, beside], "prior_covariance": before[place, beside]}
            if place == beside:
                row |= {"mean": logs[:, place].mean(), "prior_mean": centre[place]}
                row |= {"sd": np.sqrt(after[place, place]), "prior_sd": np.sqrt(before[place, place])}
                row |= {key: values[place] for key, values in published.items()}
            rows.append(row)
    return pd.DataFrame(rows, columns=SUMMARY)


def pool(summaries: Mapping[str, pd.DataFrame]) -> Pooling:
    """Give each unit's channels what the other units know of the channels of the same name.

    iROAS is a ratio in the unit's own currency, so currencies and frequencies may differ.

    Parameters
    ----------
    summaries : mapping of str to DataFrame
        By unit: its table of `summary_of`.

    Returns
    -------
    Pooling

    Raises
    ------
    Faults
        On tables that are not such summaries, or covariances that are none.

    Examples
    --------
    >>> def one(mean, sd):
    ...     row = {"channel": "tv", "other": "tv", "mean": mean, "sd": sd, "prior_mean": 0.5, "prior_sd": 1.0}
    ...     row |= {"covariance": sd**2, "prior_covariance": 1.0, "r_hat": 1.0}
    ...     low, high = np.exp(mean - 1.645 * sd), np.exp(mean + 1.645 * sd)
    ...     return pd.DataFrame([row | {"iroas": np.exp(mean + sd**2 / 2), "low": low, "high": high}])
    >>> found = pool({"it": one(0.9, 0.6), "uk": one(0.4, 0.2), "fr": one(0.5, 0.2)})
    >>> found.table[["unit", "own_iroas", "others_iroas", "iroas"]].round(1).values.tolist()[0]
    ['it', 2.9, 1.6, 2.6]
    """
    units = {unit: _read(unit, frame) for unit, frame in summaries.items()}
    agreeing = {unit: read.channels[read.agrees] for unit, read in units.items()}
    count = pd.Series([name for names in agreeing.values() for name in names], dtype=str).value_counts()
    shared = [name for name in dict.fromkeys(n for names in agreeing.values() for n in names) if count[name] > 1]
    rows, priors = [], {}
    for unit, read in units.items():
        names, after = [name for name in agreeing[unit] if name in shared], {}
        if names:
            own = _part(read, names)
            others = [_part(each, names) for other, each in units.items() if other != unit]
            mean, covariance = _others(own, others)
            priors[unit] = (tuple(names), mean, covariance)
            after = dict(zip(names, _updated(own, mean, covariance), strict=True))
        for place, name in enumerate(read.channels):
            row = {"unit": unit, "channel": name, "units": int(count.get(name, 0))}
            row |= {f"own_{key}": read.published[key][place] for key in ("iroas", "low", "high")}
            if name in after:
                row |= {**after[name], "status": "pooled"}
                row["width_ratio"] = np.log(row["high"] / row["low"]) / np.log(row["own_high"] / row["own_low"])
            else:
                row |= {key: row[f"own_{key}"] for key in ("iroas", "low", "high")}
                row["status"] = "one_unit" if read.agrees[place] else "not_converged"
            rows.append(row)
    return Pooling(pd.DataFrame(rows).reindex(columns=TABLE), priors)


def pooled_priors(pooling: Pooling, unit: str, stated: Priors | None = None) -> Priors:
    """Return a unit's priors with each shared channel's iROAS where the other units put it, for a refit of the unit.

    Stated by channel, they are independent of one another; `pooled_problem` keeps what they have in common.

    Parameters
    ----------
    pooling : Pooling
    unit : str
    stated : Priors, optional
        What the unit's other priors are.
    """
    stated = stated or Priors()
    if unit not in pooling.priors:
        return stated
    names, mean, covariance = pooling.priors[unit]
    channels = {name: dict(said) for name, said in stated.channels.items()}
    for name, centre, variance in zip(names, mean, np.diag(covariance), strict=True):
        channels.setdefault(name, {}).update(iroas=float(np.exp(centre)), iroas_sd=float(np.sqrt(variance)))
    return replace(stated, channels=channels)


def pooled_problem(pooling: Pooling, unit: str, given: Problem) -> Problem:
    """Return a unit's problem with the other units' prior, its covariance between channels included.

    Channels that no other unit has keep their prior, independent of the rest.
    """
    if unit not in pooling.priors:
        return given
    names, centre, spread = pooling.priors[unit]
    place = [given.channels.index(name) for name in names if name in given.channels]
    kept = [at for at, name in enumerate(names) if name in given.channels]
    mean, covariance = given.prior.mean.copy(), given.prior.covariance.copy()
    mean[place] = centre[kept]
    covariance[place, :], covariance[:, place] = 0.0, 0.0
    covariance[np.ix_(place, place)] = spread[np.ix_(kept, kept)]
    return replace(
        given,
        stated=pooled_priors(pooling, unit, given.stated),
        prior=replace(given.prior, mean=mean, covariance=covariance),
    )


def likelihood(
    mean: np.ndarray, covariance: np.ndarray, prior_mean: np.ndarray, prior_covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the data alone say: posterior over prior, as precision and precision times mean.

    In directions in which the posterior is as wide as the prior or wider, the data say nothing: precision nought.

    Examples
    --------
    >>> precision, shift = likelihood(np.array([2.0]), np.array([[0.5]]), np.array([1.0]), np.array([[1.0]]))
    >>> float(precision.item()), float((shift / precision).item())
    (1.0, 3.0)
    """
    root = np.linalg.cholesky(prior_covariance)
    turned = solve_triangular(root, solve_triangular(root, covariance, lower=True).T, lower=True)
    size, directions = np.linalg.eigh((turned + turned.T) / 2)
    known = size < 1 - 1e-9
    size = np.where(known, size, 1.0)
    back = solve_triangular(root.T, directions, lower=False)
    moved = directions.T @ solve_triangular(root, mean - prior_mean, lower=True)
    precision = (back * (1 / size - 1)) @ back.T
    return precision, back @ np.where(known, moved / size, 0.0) + precision @ prior_mean


@dataclass(frozen=True, eq=False)
class _Unit:
    channels: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    prior_mean: np.ndarray
    prior_covariance: np.ndarray
    published: Mapping[str, np.ndarray]
    agrees: np.ndarray


@dataclass(frozen=True, eq=False)
class _Part:
    """What a unit says of some channels: its data alone, its posterior, its prior."""

    precision: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    prior_mean: np.ndarray
    prior_covariance: np.ndarray


def _read(unit: str, frame: pd.DataFrame) -> _Unit:
    missing = [name for name in SUMMARY if name not in frame]
    if missing:
        known = list(frame.columns)
        raise Faults(f"regression_posterior of {unit}", [f"no column '{n}'.{suggest(n, known)}" for n in missing])
    own = frame[frame["channel"] == frame["other"]].set_index("channel")
    names = list(own.index)
    indexed = frame.set_index(["channel", "other"])
    if indexed.index.duplicated().any():
        raise Faults(f"regression_posterior of {unit}", ["a pair of channels stands twice. Save the regression again"])
    every, square = pd.MultiIndex.from_product([names, names]), (len(names), len(names))
    matrices = [indexed[key].reindex(every).to_numpy(dtype=float).reshape(square) for key in SUMMARY[6:8]]
    vectors = {key: own[key].to_numpy(dtype=float) for key in ("mean", "prior_mean", "iroas", "low", "high", "r_hat")}
    faults = []
    for key, matrix in zip(SUMMARY[6:8], matrices, strict=True):
        if not np.isfinite(matrix).all() or (names and np.linalg.eigvalsh(matrix).min() <= 0):
            faults.append(f"{key} is no covariance of {', '.join(names)}. Save the unit's regression again")
    faults += [
        f"{key} is missing or not finite" for key in ("mean", "prior_mean") if not np.isfinite(vectors[key]).all()
    ]
    if faults:
        raise Faults(f"regression_posterior of {unit}", faults)
    return _Unit(
        channels=np.array(names, dtype=object),
        mean=vectors["mean"],
        covariance=matrices[0],
        prior_mean=vectors["prior_mean"],
        prior_covariance=matrices[1],
        published={key: vectors[key] for key in ("iroas", "low", "high")},
        agrees=~(vectors["r_hat"] >= AGREEING),  # a draft has no R-hat
    )


def _part(read: _Unit, names: list[str]) -> _Part:
    """Return what a unit says of some channels.

    Leaving the others out of posterior and prior alike integrates them out under the unit's own prior, exactly.
    """
    here = [at for at, name in enumerate(read.channels) if name in names and read.agrees[at]]
    block = np.ix_(here, here)
    mean, covariance = read.mean[here], read.covariance[block]
    prior_mean, prior_covariance = read.prior_mean[here], read.prior_covariance[block]
    precision, shift = np.zeros((len(names), len(names))), np.zeros(len(names))
    if here:
        place = [names.index(read.channels[at]) for at in here]
        found = likelihood(mean, covariance, prior_mean, prior_covariance)
        precision[np.ix_(place, place)], shift[place] = found
    return _Part(precision, shift, mean, covariance, prior_mean, prior_covariance)


def _updated(own: _Part, mean: np.ndarray, covariance: np.ndarray) -> list[dict]:
    """Return the columns of the table that pooling makes, by channel: the others' prior times the unit's own data."""
    after = np.linalg.inv(np.linalg.inv(covariance) + own.precision)
    centre = after @ (np.linalg.solve(covariance, mean) + own.shift)
    reach = stats.norm.ppf(0.5 + INTERVAL / 2)
    rows = []
    for at in range(len(mean)):
        sd, before = np.sqrt(after[at, at]), covariance[at, at]
        # The data's say of this channel alone, the unit's other channels under its own prior.
        alone = 1 / own.covariance[at, at] - 1 / own.prior_covariance[at, at]
        distance = np.nan
        if alone > 0:
            said = own.mean[at] / own.covariance[at, at] - own.prior_mean[at] / own.prior_covariance[at, at]
            distance = (said / alone - mean[at]) / np.sqrt(1 / alone + before)
        row = {"others_iroas": np.exp(mean[at]), "others_log_sd": np.sqrt(before), "distance": distance}
        row |= {"iroas": np.exp(centre[at] + sd**2 / 2)}  # the mean, as `posterior.point` is
        rows.append(row | {"low": np.exp(centre[at] - reach * sd), "high": np.exp(centre[at] + reach * sd)})
    return rows


def _others(own: _Part, others: list[_Part]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the unit's log iROAS as the other units see them.

    Given the shares everything is Gaussian and exact. Each share is integrated over its grid given typical values of
    the rest, found in sweeps over them; the mean's movement over the grids adds to the covariance.
    """
    size = len(own.prior_mean)
    precision = np.stack([part.precision for part in others])
    shift = np.stack([part.shift - part.precision @ own.prior_mean for part in others])
    common, apart = split(own.prior_covariance)
    shares = np.full(size + 1, 0.5)
    weights, moved = np.empty((size + 1, len(SHARES))), np.empty((size + 1, len(SHARES), size))
    for _sweep in range(SWEEPS):
        before = shares.copy()
        for which in range(size + 1):
            tried = np.tile(shares, (len(SHARES), 1))
            tried[:, which] = SHARES
            height, moved[which], _spread = _given(tried, common, apart, precision, shift)
            weight = np.exp(height - height.max())
            weights[which] = weight / weight.sum()
            shares[which] = weights[which] @ SHARES
        if np.abs(shares - before).max() < 1e-4:
            break
    _height, centre, spread = (each[0] for each in _given(shares[None], common, apart, precision, shift))
    mean, covariance = centre.copy(), spread + _between(shares[None], common, apart)[0]
    for weight, at in zip(weights, moved, strict=True):
        around = at - weight @ at
        covariance += (around * weight[:, None]).T @ around
        mean += weight @ at - centre
    return own.prior_mean + mean, covariance


def split(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a prior's covariance as what channels have in common, and variances of each channel apart.

    As much as can be is apart: the rest is still a covariance.

    Examples
    --------
    >>> common, apart = split(0.64 * np.ones((3, 3)) + 0.49 * np.eye(3))
    >>> common.round(2).tolist()[0], apart.round(2).tolist()
    ([0.64, 0.64, 0.64], [0.49, 0.49, 0.49])
    """
    sd = np.sqrt(np.diag(covariance))
    least = max(0.0, np.linalg.eigvalsh(covariance / np.outer(sd, sd))[0])
    apart = least * sd**2
    return covariance - np.diag(apart), apart


def _between(shares, common, apart):
    """Covariance between units for each row of shares: the last one is of what channels have in common."""
    return shares[:, -1, None, None] * common + (shares[:, :-1] * apart)[:, :, None] * np.eye(len(apart))


def _given(shares, common, apart, precision, shift):
    """Log marginal likelihood of the other units, and mean and covariance of the mean over units, at rows of shares.

    For data ``exp(-x'Lx/2 + h'x)`` of a unit and ``x ~ N(m, D)``: integrating ``x`` leaves ``exp(-m'Qm/2 + r'm)`` with
    ``Q = L (I + DL)^-1`` and ``r = (I + LD)^-1 h``; then ``m ~ N(0, M)`` is integrated in the same way.
    """
    identity = np.eye(len(apart))
    between = _between(shares, common, apart)[:, None]
    among = _between(1 - shares, common, apart)
    mixed = identity + between @ precision
    inverse = np.linalg.inv(mixed)
    left = (precision @ inverse).sum(axis=1)
    pull = np.einsum("guji,uj->gui", inverse, shift)
    height = np.einsum("ui,guij,guj->g", shift, inverse @ between, np.broadcast_to(shift, pull.shape)) / 2
    height -= np.linalg.slogdet(mixed)[1].sum(axis=1) / 2
    pull = pull.sum(axis=1)
    together = identity + left @ among
    spread = among @ np.linalg.inv(together)
    centre = np.einsum("gij,gj->gi", spread, pull)
    height += np.einsum("gi,gi->g", pull, centre) / 2 - np.linalg.slogdet(together)[1] / 2
    return height, centre, spread
