"""Credit for the conversions seen: eight rules on one set of journeys, exact, each with its sampling interval."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.attribution import wording
from kpitoolkit.attribution.aggregates import Aggregates
from kpitoolkit.attribution.checks import UNATTRIBUTED
from kpitoolkit.attribution.journeys import Journeys
from kpitoolkit.attribution.markov import checked_order, removal
from kpitoolkit.attribution.resampling import RESAMPLES, credit_interval, interval, one_conversion, weights
from kpitoolkit.errors import ToolkitError

MODELS = ("first", "last", "last_non_direct", "linear", "position", "time_decay", "markov", "shapley")
FEW_CONVERSIONS = 30
DRAWN = 20
_OF_WHOLE_JOURNEYS = ("markov", "shapley")


@dataclass(frozen=True, eq=False)
class Attribution:
    """Credit of each channel, or of each campaign, by each model.

    Attributes
    ----------
    table : DataFrame
        channel, model, conversions, value (currency units), low, high (90% interval of conversions), value_low,
        value_high. One line a channel and model, and the line `unattributed` in every model: each model sums exactly to
        all conversions and value. By campaign: channel, campaign, model, ...; a channel's campaigns sum to the channel.
    removal : DataFrame
        channel (and campaign), removal_effect (0 to 1), low, high: the share of all conversions lost on the fitted
        chain without it. Shares overlap and do not add up to 1.
    journeys : DataFrame
        state, journeys, conversions, value.
    status : {"ok", "few_conversions", "nothing_attributed", "no_conversions"}
    leader_share : float
        Share of the resamples in which the first line of the Markov model comes first.
    has_nulls : bool
        Whether journeys without conversion were seen.
    order : int
        Of the Markov chain.
    half_life_days : float
        Of the time decay.
    draws : dict of array (RESAMPLES, lines of a model, 2)
        Conversions and value of each model in each resample, lines as in `table`. Resample i holds the same bags in
        every model, look-back and period.
    """

    table: pd.DataFrame
    removal: pd.DataFrame
    journeys: pd.DataFrame
    status: str
    leader_share: float
    has_nulls: bool
    order: int
    half_life_days: float
    draws: dict[str, np.ndarray]

    @property
    def keys(self) -> list[str]:
        """Columns that name a line: channel, or channel and campaign."""
        return [name for name in ("channel", "campaign") if name in self.table]

    def wide(self, column: str = "conversions") -> pd.DataFrame:
        """Return one row a line, one column a model; the most credited by Markov first, `unattributed` last."""
        by_line = self.table.set_index(self.keys)
        models = self.table["model"].unique()
        lines = pd.DataFrame({model: by_line.loc[by_line["model"] == model, column] for model in models})
        credited = by_line.loc[by_line["model"] == "markov", "conversions"]
        aside = credited.index.get_level_values("channel") == UNATTRIBUTED
        ranking = [*credited[~aside].sort_values(ascending=False, kind="stable").index, *credited[aside].index]
        return lines.loc[ranking].rename_axis(self.keys).reset_index()

    def plot(
        self, ax: Axes | None = None, language: str = "en", models: tuple[str, ...] = ("first", "last", "markov")
    ) -> Axes:
        """Draw the conversions credited by a few models, 20 lines at most; the interval on Markov."""
        named = self._in_one_name()
        lines, wide = named.table.set_index(["channel", "model"]), named.wide()
        most = [*wide["channel"].head(DRAWN), *wide["channel"].iloc[DRAWN:].tail(1)]
        drawn = lines.loc[[(c, m) for c in most for m in models if m in wide.columns]].reset_index()
        shown = (drawn["model"] == "markov") & (drawn["channel"] != UNATTRIBUTED)
        drawn = drawn.assign(low=drawn["low"].where(shown), high=drawn["high"].where(shown))
        title = text.translator(language)("Conversions credited to each channel, by rule")
        bounds = {"low": "low", "high": "high"}
        return plots.bars(
            drawn, "channel", "conversions", group="model", **bounds, ax=ax, language=language, title=title
        )

    def findings(self, language: str, currency: str | None = None) -> list[str]:
        """Return sentences on who gets the credit, how sure that is, and what it is not."""
        return wording.credit(self._in_one_name(), language, currency)

    def _in_one_name(self) -> "Attribution":
        """Write channel and campaign into one name, for readers."""
        if "campaign" not in self.table:
            return self

        def named(frame):
            joined = frame["channel"].where(frame["campaign"] == "", frame["channel"] + " / " + frame["campaign"])
            return frame.assign(channel=joined).drop(columns="campaign")

        return replace(self, table=named(self.table), removal=named(self.removal))


def attribute(
    journeys: Journeys, order: int = 1, half_life_days: float = 7.0, direct: str = "direct", by: str = "channel"
) -> Attribution:
    """Share the conversions among the channels of their journeys, by every model.

    `first`, `last`, `linear`: as they say. `last_non_direct`: the last channel but `direct`; all-direct journeys go to
    direct. `position`: 40% first, 40% last, 20% shared between; 50/50 with two. `time_decay`: weight 2^(-age /
    half-life). `markov`: removal effects v_i h_i / (N_ii p) of the absorbing chain of order 1, N = (I - Q)^-1, h = N r,
    v the row `start` of N, p = h[start] (Anderl et al. 2016, computed exactly, without simulation); credit is the
    effect's share of the sum of effects. For value, r holds the mean value converted at each channel. At order k a
    state is the last k different channels, and a channel's removal takes every state that holds it; `order_choice`
    says which order the journeys speak for. `shapley`: the game v(S) = conversions of journeys whose channels all lie
    in S; its Shapley value is an even split of each conversion over its distinct channels. Intervals (90%) come from
    resampling 200 bags of users, unequal in number as a draw deals them: those of credit from the spread of the draws,
    as that of a count (`resampling.credit_interval`), those of removal effects as percentiles of the draws. They are
    those of sampling alone, for a quarter of the same kind with its own number of users, not those of the choice of a
    rule. By campaign, a campaign gets of its channel's credit the share that the same model gives it among the
    channel's campaigns where campaigns take the place of channels.

    Parameters
    ----------
    journeys : Journeys
    order : int
        Of the Markov chain; 1 to 4.
    half_life_days : float
        Above 0; of `time_decay`, which is left out where journeys have no times.
    direct : str
        Name of the direct channel, whatever its case.
    by : {"channel", "campaign"}
        What the lines of the result are.

    Returns
    -------
    Attribution

    Raises
    ------
    ToolkitError
        For an order that is not available, or one whose states no integer can number; a half-life that is not above 0;
        another `by`.

    Examples
    --------
    >>> from kpitoolkit.attribution import journeys_from_paths
    >>> paths = pd.DataFrame({"path": ["G", "M", "G > M"], "total_conversions": [2, 1, 1], "total_null": [1, 0, 0]})
    >>> result = attribute(journeys_from_paths(paths))
    >>> result.removal["removal_effect"].round(6).tolist()
    [0.75, 0.5]
    >>> result.table.loc[result.table["model"] == "markov", ["channel", "conversions"]].round(6).values.tolist()
    [['G', 2.4], ['M', 1.6], ['unattributed', 0.0]]
    """
    if not isinstance(journeys, Journeys):
        raise ToolkitError("attribute: make journeys first: attribute(journeys(touchpoints, conversions)).")
    order = checked_order(order, "attribute")
    if isinstance(half_life_days, bool) or not isinstance(half_life_days, int | float) or not 0 < half_life_days < 1e6:
        raise ToolkitError(
            f"attribute: half_life_days is {half_life_days!r}. Give a number of days above 0, such as 7."
        )
    if by not in ("channel", "campaign"):
        raise ToolkitError(f"attribute: by is {by!r}. Choose 'channel' or 'campaign'.")
    sums = journeys.aggregates(half_life_days, direct, by="channel")
    credited = _credited(journeys, sums, order, "channel")
    lines = pd.DataFrame({"channel": list(sums.players)}, dtype="str")
    if by == "campaign":
        sums = journeys.aggregates(half_life_days, direct, by="campaign")
        credited = _divided_among(credited, _credited(journeys, sums, order, "campaign"), sums)
        lines = pd.DataFrame(list(sums.players), columns=["channel", "campaign"], dtype="str")

    points, draws = credited.points, credited.draws
    one = one_conversion(*points["last"].sum(axis=0))
    bounds = {model: credit_interval(points[model], draws[model], one) for model in points}
    low, high = (np.concatenate([bound[at] for bound in bounds.values()]) for at in (0, 1))
    everything = pd.concat([lines, pd.DataFrame({"channel": [UNATTRIBUTED]})], ignore_index=True).fillna("")
    table = pd.concat([everything] * len(points), ignore_index=True).assign(
        model=np.repeat(list(points), len(everything)),
        conversions=np.concatenate([point[:, 0] for point in points.values()]),
        value=np.concatenate([point[:, 1] for point in points.values()]),
        low=low[:, 0],
        high=high[:, 0],
        value_low=low[:, 1],
        value_high=high[:, 1],
    )
    low, high = interval(credited.effect_draws)
    attributed = points["markov"][:-1, 0]
    leads = draws["markov"][:, :-1, 0].argmax(axis=1) == attributed.argmax() if attributed.any() else [np.nan]
    status = "few_conversions" if attributed.sum() < FEW_CONVERSIONS else "ok"
    if not attributed.any():
        status = "nothing_attributed" if points["markov"][-1, 0] else "no_conversions"
    passes = sums.transitions
    return Attribution(
        table=table,
        removal=lines.assign(removal_effect=credited.effects, low=low, high=high),
        journeys=journeys.table,
        status=status,
        leader_share=float(np.mean(leads)),
        has_nulls=bool(passes.loc[passes["target"] == len(sums.players) + 1, "count"].sum() > 0),
        order=order,
        half_life_days=float(half_life_days),
        draws=draws,
    )


@dataclass(frozen=True, eq=False)
class _Credited:
    """Credit of K players, `unattributed` last, and removal effects: points, and draws in R resamples."""

    points: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]
    effects: np.ndarray
    effect_draws: np.ndarray


def _credited(journeys: Journeys, sums: Aggregates, order: int, by: str) -> _Credited:
    """Credit players by every model: points (K + 1, 2), draws (R, K + 1, 2)."""
    k, bags = len(sums.players), len(sums.unattributed)
    passes = sums.transitions if order == 1 else journeys.transitions(order, by)
    removed = removal(passes, k, order)
    ends = sums.transitions[(sums.transitions["target"] == k) & (sums.transitions["origin"] > 0)]
    attributed = np.stack(
        [np.bincount(ends["bag"].to_numpy(np.int64), ends[name], minlength=bags) for name in ("count", "value")], axis=1
    )
    points = {name: credit.sum(axis=0) for name, credit in sums.credits.items()}
    columns = [*(credit.reshape(bags, -1) for credit in sums.credits.values()), attributed, sums.unattributed]
    drawn = (weights() @ np.concatenate(columns, axis=1)).reshape(RESAMPLES, -1, 2)
    draws = {name: drawn[:, at * k : (at + 1) * k] for at, name in enumerate(points)}
    attributed_draws, unattributed_draws = drawn[:, -2:-1], drawn[:, -1:]
    points["markov"] = removed.shares * attributed.sum(axis=0)
    draws["markov"] = removed.share_draws * attributed_draws

    unattributed = sums.unattributed.sum(axis=0)
    models = [model for model in MODELS if model in points]
    points = {model: np.vstack([points[model], unattributed]) for model in models}
    draws = {model: np.concatenate([draws[model], unattributed_draws], axis=1) for model in models}
    effects, effect_draws = removed.effects, removed.effect_draws
    if points["markov"][:, 0].sum() == 0:
        draws = {model: np.full_like(drawn, np.nan) for model, drawn in draws.items()}
        effects, effect_draws = np.full(k, np.nan), np.full((RESAMPLES, k), np.nan)
    return _Credited(points, draws, effects, effect_draws)


def _divided_among(channels: _Credited, campaigns: _Credited, sums: Aggregates) -> _Credited:
    """Divide each channel's credit among its campaigns as the model does where they are the players.

    For the models that give each touchpoint its share, that is the credit of the campaigns as it stands. Where a model
    gives a channel's campaigns nothing, they share by their passes; where they have value of both signs, by their
    conversions.
    """
    k, channel = len(sums.players), sums.channel_of
    leaving = sums.transitions[sums.transitions["origin"] > 0]
    passes = np.bincount(leaving["origin"].to_numpy(np.int64) - 1, leaving["count"], minlength=k)
    passes = _share_within(passes, channel, np.ones(k) / _within(np.ones(k), channel))

    def divided(channel_credit, credit):
        own, whole = credit[..., :-1, :], channel_credit[..., channel, :]
        by_conversions = _share_within(own[..., 0], channel, passes)
        one_sign = np.abs(_within(own[..., 1], channel)) > (1 - 1e-9) * _within(np.abs(own[..., 1]), channel)
        by_value = np.where(one_sign, _share_within(own[..., 1], channel, by_conversions), by_conversions)
        share = np.stack([by_conversions, by_value], axis=-1)
        return np.concatenate([share * whole, channel_credit[..., -1:, :]], axis=-2)

    nested = {
        model: (divided(channels.points[model], campaigns.points[model]), divided(channels.draws[model], drawn))
        for model, drawn in campaigns.draws.items()
        if model in _OF_WHOLE_JOURNEYS
    }
    points = campaigns.points | {model: point for model, (point, _draws) in nested.items()}
    draws = campaigns.draws | {model: drawn for model, (_point, drawn) in nested.items()}
    return replace(campaigns, points=points, draws=draws)


def _share_within(amounts: np.ndarray, channel: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return each player's share (..., K) of its channel, or another where the channel has nothing."""
    total = _within(amounts, channel)
    return np.divide(amounts, total, out=np.broadcast_to(otherwise, amounts.shape).copy(), where=total != 0)


def _within(amounts: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Sum (..., K) over the players of each player's channel."""
    return amounts @ (channel[:, None] == channel).astype(float)
