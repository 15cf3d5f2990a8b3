"""The truth band: credit over rules, look-backs and the chance of the sample, and which rankings survive all three."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import t as student

from kpitoolkit import plots, text
from kpitoolkit.attribution import band_wording
from kpitoolkit.attribution.aggregates import BAGS
from kpitoolkit.attribution.checks import UNATTRIBUTED
from kpitoolkit.attribution.journeys import journeys
from kpitoolkit.attribution.models import Attribution, attribute
from kpitoolkit.errors import Faults, ToolkitError, suggest

LEVEL = 0.10
DRAWN = 20


@dataclass(frozen=True, eq=False)
class TruthBand:
    """Credit of each channel over every rule and look-back, with the chance of the sample.

    A *cell* is one rule with one look-back. The default cell is Markov at the default look-back.

    Attributes
    ----------
    table : DataFrame
        channel, model, lookback_days, conversions, low, high, value, value_low, value_high: one row a channel
        (`unattributed` too) and cell; bounds are 90% intervals of sampling. In each cell the channels sum to all
        conversions and their value.
    summary : DataFrame
        One row a channel, by credit in the default cell, `unattributed` last: channel, default, default_low,
        default_high (conversions in the default cell and their interval), lowest, highest (figures over all cells),
        low, high (the lowest and highest bound over all cells), lowest_model, lowest_lookback_days, highest_model,
        highest_lookback_days, rank_best, rank_worst (Int64). A channel's rank range leaves out the places that the
        surviving rankings exclude; missing for `unattributed`.
    rankings : DataFrame
        One row a pair of channels: first, second (`first` has more credit in the default cell), difference (of
        conversions, in that cell), cells, cells_agreeing (cells whose figure puts `first` before `second`), p_value
        (corrected for all pairs), survives, verdict (`survives`, `too_close`: every figure agrees, the sample does
        not exclude the reverse; `changes_with_rule`).
    status : {"ok", "few_conversions", "nothing_attributed", "no_conversions"}
        Of the default cell.
    default_model : str
    default_lookback_days : float
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    rankings: pd.DataFrame
    status: str
    default_model: str
    default_lookback_days: float

    @property
    def labels(self) -> dict[str, str]:
        """Keys of the headings of `rankings` on a page: `first` alone would read as the rule of that name."""
        return {"first": "more_credit", "second": "less_credit"}

    def by_lookback(self, model: str | None = None) -> pd.DataFrame:
        """Return the credit by one rule under each look-back: one row a channel, one column a look-back.

        Parameters
        ----------
        model : str, optional
            Default: the default rule.

        Returns
        -------
        DataFrame
            channel, then conversions for each look-back (`lookback_7_days`); rows as in `summary`.

        Raises
        ------
        ToolkitError
            For a rule that is not in the band.
        """
        chosen, known = model or self.default_model, list(self.table["model"].unique())
        if chosen not in known:
            raise ToolkitError(f"model '{chosen}' is not one of {', '.join(known)}.{suggest(chosen, known)}")
        lines = self.table[self.table["model"] == chosen].set_index("channel")
        credit = {
            f"lookback_{days:g}_days": lines.loc[lines["lookback_days"] == days, "conversions"]
            for days in lines["lookback_days"].unique()
        }
        wide = pd.DataFrame(credit)
        return wide.loc[self.summary["channel"]].rename_axis("channel").reset_index()

    def lookback_labels(self, language: str) -> dict[str, str]:
        """Headings of `by_lookback` on a page, whatever the number of days."""
        lookbacks = self.table["lookback_days"].unique()
        return {f"lookback_{days:g}_days": band_wording.days(days, language) for days in lookbacks}

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each channel's band: dark over rules and look-backs, light with the sample's chance; and its ranks."""
        channels = self.summary["channel"] != UNATTRIBUTED
        drawn = pd.concat([self.summary[channels].head(DRAWN), self.summary[~channels]])
        ranges = zip(drawn["rank_best"], drawn["rank_worst"], strict=True)
        drawn = drawn.assign(rank=[band_wording.ranks(best, worst) for best, worst in ranges])
        return plots.bands(
            drawn,
            "channel",
            "default",
            ("lowest", "highest"),
            ("low", "high"),
            band_wording.legend(self, language),
            rank="rank",
            aside=(UNATTRIBUTED,),
            ax=ax,
            language=language,
            title=text.translator(language)("How far each channel's credit depends on the rule, and on chance"),
            note=band_wording.note(self, int(channels.sum()) - DRAWN, language),
        )

    def findings(self, language: str) -> list[str]:
        """Return sentences on what holds whatever rule is chosen, and what does not."""
        return band_wording.findings(self, language)


def truth_band(
    touchpoints,
    conversions,
    period: tuple[object, object] | None = None,
    lookback_days: Sequence[float] = (7, 14, 30),
    half_life_days: float = 7.0,
    direct: str = "direct",
    unit: str | None = None,
    orders: Sequence[int] = (1,),
    default_lookback_days: float | None = None,
) -> TruthBand:
    """Share out the conversions by every rule under every look-back, and compare.

    See `band_of` for what makes a ranking survive.

    Parameters
    ----------
    touchpoints, conversions, period, unit
        As for `journeys`.
    lookback_days : sequence of float
        Days; above 0.
    half_life_days, direct
        As for `attribute`.
    orders : sequence of int
        Of the Markov chain; those beyond 1 are rules of their own, called `markov_2`, `markov_3`. The first is that of
        the default cell.
    default_lookback_days : float, optional
        The one of `lookback_days` that the other figures of the case use. Default: the longest.

    Returns
    -------
    TruthBand

    Raises
    ------
    Faults, ToolkitError
        As `journeys` and `attribute`; without a look-back or an order.

    Examples
    --------
    >>> touchpoints = pd.DataFrame({"user_id": ["u", "u"], "channel": ["tv", "email"],
    ...                             "time": pd.to_datetime(["2026-07-01", "2026-07-20"])})
    >>> conversions = pd.DataFrame({"order_id": ["A"], "user_id": ["u"], "value": [80.0],
    ...                             "time": pd.to_datetime(["2026-07-21"])})
    >>> band = truth_band(touchpoints, conversions, lookback_days=(7, 30))
    >>> band.by_lookback("linear").values.tolist()
    [['email', 1.0, 0.5], ['tv', 0.0, 0.5], ['unattributed', 0.0, 0.0]]
    """
    if isinstance(lookback_days, str) or not isinstance(lookback_days, Iterable):
        raise Faults("truth_band", [f"lookback_days is {lookback_days!r}: give several, such as (7, 14, 30)."])
    lookbacks, orders = list(dict.fromkeys(lookback_days)), list(dict.fromkeys(orders))
    faults = [] if lookbacks else ["lookback_days is empty: give at least one number of days, such as 30."]
    faults += [] if orders else ["orders is empty: give at least one order of the Markov chain, such as 1."]
    if default_lookback_days is not None and default_lookback_days not in lookbacks:
        shown = ", ".join(map(str, lookbacks))
        faults.append(f"default_lookback_days is {default_lookback_days!r}: choose one of lookback_days ({shown}).")
    if faults:
        raise Faults("truth_band", faults)
    results = {}
    for days in lookbacks:
        built = journeys(touchpoints, conversions, days, period, unit=unit)
        results[days] = [attribute(built, order, half_life_days, direct) for order in orders]
    return band_of(results, default_lookback_days)


def band_of(results: Mapping[float, Sequence[Attribution]], default_lookback_days: float | None = None) -> TruthBand:
    """Compare results that exist already: one list a look-back, one result an order of the Markov chain.

    A ranking `first` before `second` survives where `first` has more credit in every cell, beyond the chance of the
    sample. In one cell, the one-sided p value of the difference comes from the resamples of the bags, the same ones in
    every cell, so that both channels move together: the larger of the share of resamples in which the order is
    reversed, and of Student's t with 199 degrees of freedom on the difference less one conversion over its standard
    error. The conversion taken off allows for counts being whole: without it three conversions against none would
    pass for proof.

    Over cells, the p value of a pair is the largest. The claim is that `first` leads in every cell; it is false as
    soon as it is false in one, and to be made it has to be proved there too. So whichever cell is the false one, the
    claim is made wrongly at most as often as that cell's own test errs: an intersection-union test (Berger,
    Technometrics 24, 1982) needs no correction for the number of cells. Over pairs it does: Holm's, with both
    directions of each pair in the family, because the data choose the direction. So with a probability of 90% or more
    no ranking that survives is wrong in any cell, and no rank range leaves out a channel's true place in any cell
    (Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91, 2024). Nothing here covers what no touchpoint
    recorded.

    Parameters
    ----------
    results : mapping of float to sequence of Attribution
        By look-back in days, by channel, on the same conversions.
    default_lookback_days : float, optional
        Default: the longest.

    Returns
    -------
    TruthBand

    Raises
    ------
    ToolkitError
        For credit by campaign.
    """
    if any("campaign" in result.table for each in results.values() for result in each):
        raise ToolkitError("truth band: the credit is by campaign. Make it with attribute(journeys, by='channel').")
    default_days = max(results) if default_lookback_days is None else default_lookback_days
    default_model = _markov_name(results[default_days][0].order)
    cells = _cells(results)
    channels = sorted({channel for _cell, lines, _draws in cells for channel in lines.index} - {UNATTRIBUTED})
    table = pd.concat(
        [
            lines.reindex([*channels, UNATTRIBUTED], fill_value=0.0)
            .rename_axis("channel")
            .reset_index()
            .assign(model=model, lookback_days=days)
            for (days, model), lines, _draws in cells
        ],
        ignore_index=True,
    )
    if (table["lookback_days"] % 1 == 0).all():
        table["lookback_days"] = table["lookback_days"].astype("int64")
    bounds = ["low", "high"], ["value_low", "value_high"]
    table = table[["channel", "model", "lookback_days", "conversions", *bounds[0], "value", *bounds[1]]]

    is_default = (table["model"] == default_model) & (table["lookback_days"] == default_days)
    default = table[is_default].set_index("channel")["conversions"]
    ranking = default.drop(UNATTRIBUTED).sort_values(ascending=False, kind="stable").index
    rankings = _rankings(cells, list(ranking), default)
    return TruthBand(
        table=table,
        summary=_summary(table, is_default, list(ranking), rankings),
        rankings=rankings,
        status=results[default_days][0].status,
        default_model=default_model,
        default_lookback_days=float(default_days),
    )


def _markov_name(order: int) -> str:
    return "markov" if order == 1 else f"markov_{order}"


def _cells(results: Mapping[float, Sequence[Attribution]]) -> list[tuple[tuple, pd.DataFrame, np.ndarray]]:
    """Return (look-back, rule), its lines by channel, and its resampled conversions (R, lines) for each cell."""
    cells = []
    for days in sorted(results):
        for position, result in enumerate(results[days]):
            lines_of = dict(tuple(result.table.set_index("channel").groupby("model", sort=False)))
            for model, lines in lines_of.items():
                if position and model != "markov":
                    continue
                name = _markov_name(result.order) if model == "markov" else model
                columns = ["conversions", "low", "high", "value", "value_low", "value_high"]
                cells.append(((days, name), lines[columns], result.draws[model][:, :, 0]))
    return cells


def _rankings(cells, ranking: list[str], default: pd.Series) -> pd.DataFrame:
    """Compare every pair of channels over all cells; `ranking` puts them in the order of the default cell."""
    k = len(ranking)
    largest, agreeing = np.zeros((k, k)), np.zeros((k, k), dtype=np.int64)
    for _cell, lines, draws in cells:
        at = lines.index.get_indexer(ranking)
        point = np.where(at >= 0, lines["conversions"].to_numpy()[at], 0.0)
        drawn = np.where(at >= 0, draws[:, at], 0.0)
        largest = np.fmax(largest, _one_sided(point, drawn))
        agreeing += point[:, None] - point > 1e-9
    first, second = np.triu_indices(k, 1)
    p_value = _holm(largest[first, second], family=2 * len(first))
    survives = (agreeing[first, second] == len(cells)) & (p_value < LEVEL)
    verdict = np.where(agreeing[first, second] == len(cells), "too_close", "changes_with_rule")
    names = np.array(ranking, dtype=object)
    credit = default.loc[ranking].to_numpy()
    return pd.DataFrame(
        {
            "first": names[first],
            "second": names[second],
            "difference": credit[first] - credit[second],
            "cells": len(cells),
            "cells_agreeing": agreeing[first, second],
            "p_value": p_value,
            "survives": survives,
            "verdict": np.where(survives, "survives", verdict),
        }
    ).astype({"first": "str", "second": "str", "verdict": "str"})


def _one_sided(point: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return p[i, j] of "i has more credit than j" in one cell, from the point (K,) and its resamples (R, K)."""
    covariance = np.atleast_2d(np.cov(drawn, rowvar=False))
    variance = np.diagonal(covariance)
    error = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 0.0))
    ahead = point[:, None] - point
    known = error > 1e-9 * (1.0 + np.abs(ahead))
    ratio = np.divide(ahead - 1.0, error, out=np.full(error.shape, -np.inf), where=known)
    reversed_in = np.stack([(drawn[:, [i]] <= drawn).mean(axis=0) for i in range(len(point))])
    return np.where(np.isnan(ratio), 1.0, np.maximum(student.sf(ratio, BAGS - 1), reversed_in))


def _holm(p: np.ndarray, family: int) -> np.ndarray:
    """Correct p values for a family of tests of which these are the smallest."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * (family - np.arange(len(p))))
    return np.minimum(corrected, 1.0)


def _summary(table: pd.DataFrame, is_default: pd.Series, ranking: list[str], rankings: pd.DataFrame) -> pd.DataFrame:
    rows = [*ranking, UNATTRIBUTED]
    default = table[is_default].set_index("channel").loc[rows]
    by_channel = table.groupby("channel")
    figures = table.assign(_figure=table["conversions"].round(9))
    least = figures.sort_values("_figure", kind="stable").drop_duplicates("channel").set_index("channel").loc[rows]
    most = figures.sort_values("_figure", ascending=False, kind="stable").drop_duplicates("channel")
    most = most.set_index("channel").loc[rows]
    kept = rankings[rankings["survives"]]
    behind = kept["second"].value_counts().reindex(ranking, fill_value=0)
    ahead = kept["first"].value_counts().reindex(ranking, fill_value=0)
    summary = pd.DataFrame(
        {
            "default": default["conversions"],
            "default_low": default["low"],
            "default_high": default["high"],
            "lowest": least["conversions"],
            "highest": most["conversions"],
            "low": by_channel["low"].min().loc[rows],
            "high": by_channel["high"].max().loc[rows],
            "lowest_model": least["model"],
            "lowest_lookback_days": least["lookback_days"],
            "highest_model": most["model"],
            "highest_lookback_days": most["lookback_days"],
            "rank_best": (1 + behind).reindex(rows).astype("Int64"),
            "rank_worst": (len(ranking) - ahead).reindex(rows).astype("Int64"),
        },
        index=pd.Index(rows, name="channel"),
    )
    return summary.reset_index()
