"""Credit for the conversions seen: eight rules on one set of journeys, exact, each with its sampling interval."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.attribution import wording
from kpitoolkit.attribution.aggregates import BAGS, Aggregates
from kpitoolkit.attribution.checks import UNATTRIBUTED
from kpitoolkit.attribution.journeys import Journeys, journeys
from kpitoolkit.errors import ToolkitError, suggest

MODELS = ("first", "last", "last_non_direct", "linear", "position", "time_decay", "markov", "shapley")
RESAMPLES = 1000
FEW_CONVERSIONS = 30
_SEED = 20260701


@dataclass(frozen=True, eq=False)
class Attribution:
    """Credit of each channel by each model.

    Attributes
    ----------
    table : DataFrame
        channel, model, conversions, value (currency units), low, high (90% interval of conversions). One line a channel
        and model, and the line `unattributed` in every model: each model sums exactly to all conversions and value.
    removal : DataFrame
        channel, removal_effect (0 to 1), low, high: the share of all conversions whose journey passes through the
        channel on the fitted chain. Shares overlap and do not add up to 1.
    journeys : DataFrame
        state, journeys, conversions, value.
    status : {"ok", "few_conversions", "nothing_attributed", "no_conversions"}
    leader_share : float
        Share of the resamples in which the first channel of the Markov model comes first.
    has_nulls : bool
        Whether journeys without conversion were seen.
    order : int
        Of the Markov chain.
    half_life_days : float
        Of the time decay.
    """

    table: pd.DataFrame
    removal: pd.DataFrame
    journeys: pd.DataFrame
    status: str
    leader_share: float
    has_nulls: bool
    order: int
    half_life_days: float

    def wide(self, column: str = "conversions") -> pd.DataFrame:
        """Return one row a channel, one column a model; the most credited by Markov first, `unattributed` last."""
        by_channel = self.table.set_index("channel")
        ranking = by_channel.loc[by_channel["model"] == "markov", "conversions"].drop(UNATTRIBUTED)
        channels = [*ranking.sort_values(ascending=False, kind="stable").index, UNATTRIBUTED]
        models = self.table["model"].unique()
        lines = pd.DataFrame({model: by_channel.loc[by_channel["model"] == model, column] for model in models})
        return lines.loc[channels].rename_axis("channel").reset_index()

    def plot(
        self, ax: Axes | None = None, language: str = "en", models: tuple[str, ...] = ("first", "last", "markov")
    ) -> Axes:
        """Draw the conversions credited to each channel by a few models; the interval on Markov."""
        lines, wide = self.table.set_index(["channel", "model"]), self.wide()
        drawn = lines.loc[[(c, m) for c in wide["channel"] for m in models if m in wide.columns]].reset_index()
        shown = (drawn["model"] == "markov") & (drawn["channel"] != UNATTRIBUTED)
        drawn = drawn.assign(low=drawn["low"].where(shown), high=drawn["high"].where(shown))
        title = text.translator(language)("Conversions credited to each channel, by rule")
        bounds = {"low": "low", "high": "high"}
        return plots.bars(
            drawn, "channel", "conversions", group="model", **bounds, ax=ax, language=language, title=title
        )

    def findings(self, language: str, currency: str | None = None) -> list[str]:
        """Return sentences on who gets the credit, how sure that is, and what it is not."""
        return wording.credit(self, language, currency)


def attribute(journeys: Journeys, order: int = 1, half_life_days: float = 7.0, direct: str = "direct") -> Attribution:
    """Share the conversions among the channels of their journeys, by every model.

    `first`, `last`, `linear`: as they say. `last_non_direct`: the last channel but `direct`; all-direct journeys go to
    direct. `position`: 40% first, 40% last, 20% shared between; 50/50 with two. `time_decay`: weight 2^(-age /
    half-life). `markov`: removal effects v_i h_i / (N_ii p) of the absorbing chain of order 1, N = (I - Q)^-1, h = N r,
    v the row `start` of N, p = h[start] (Anderl et al. 2016, computed exactly, without simulation); credit is the
    effect's share of the sum of effects. For value, r holds the mean value converted at each channel. `shapley`: the
    game v(S) = conversions of journeys whose channels all lie in S; its Shapley value is an even split of each
    conversion over its distinct channels. Intervals (90%) come from resampling 200 bags of users, unequal in number as
    a draw deals them: they are those of sampling alone, for a quarter of the same kind with its own number of users,
    not those of the choice of a rule.

    Parameters
    ----------
    journeys : Journeys
    order : int
        Of the Markov chain; 1.
    half_life_days : float
        Above 0; of `time_decay`, which is left out where journeys have no times.
    direct : str
        Name of the direct channel, whatever its case.

    Returns
    -------
    Attribution

    Raises
    ------
    ToolkitError
        For another order, or a half-life that is not above 0.

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
    if order != 1 or isinstance(order, bool):
        raise ToolkitError(
            f"attribute: order {order!r} is not available. This version computes order 1: write order=1."
        )
    if isinstance(half_life_days, bool) or not isinstance(half_life_days, int | float) or not 0 < half_life_days < 1e6:
        raise ToolkitError(
            f"attribute: half_life_days is {half_life_days!r}. Give a number of days above 0, such as 7."
        )
    sums = journeys.aggregates(half_life_days, direct)
    k = len(sums.channels)
    counts, values = sums.transitions.sum(axis=0), sums.values.sum(axis=0)
    conversions, attributed = counts[:, k].sum(), counts[1:, k].sum()
    effects, shares, value_shares = _removal(counts, values)
    drawn_effects, drawn = _resampled(sums)
    if conversions == 0:
        effects, drawn_effects = np.full(k, np.nan), np.full((1, k), np.nan)
        drawn = {model: np.full((1, k + 1), np.nan) for model in drawn}

    point = {model: credit.sum(axis=0) for model, credit in sums.credits.items()}
    point["markov"] = np.column_stack([shares * attributed, value_shares * values[1:].sum()])
    models = [model for model in MODELS if model in point]
    credited = np.stack([np.vstack([point[model], [counts[0, k], values[0]]]) for model in models])
    low, high = np.quantile(np.stack([drawn[model] for model in models]), [0.05, 0.95], axis=1)
    table = pd.DataFrame(
        {
            "channel": [*sums.channels, UNATTRIBUTED] * len(models),
            "model": np.repeat(models, k + 1),
            "conversions": credited[:, :, 0].ravel(),
            "value": credited[:, :, 1].ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
    )
    low, high = np.quantile(drawn_effects, [0.05, 0.95], axis=0)
    removal = pd.DataFrame({"channel": list(sums.channels), "removal_effect": effects, "low": low, "high": high})
    leads = (
        drawn["markov"][:, :k].argmax(axis=1) == point["markov"][:, 0].argmax() if attributed else np.array([np.nan])
    )
    status = "few_conversions" if attributed < FEW_CONVERSIONS else "ok"
    if attributed == 0:
        status = "no_conversions" if conversions == 0 else "nothing_attributed"
    return Attribution(
        table=table,
        removal=removal,
        journeys=journeys.table,
        status=status,
        leader_share=float(leads.mean()),
        has_nulls=bool(counts[:, k + 1].sum() > 0),
        order=order,
        half_life_days=float(half_life_days),
    )


def lookback_sensitivity(
    touchpoints: pd.DataFrame,
    conversions: pd.DataFrame,
    period: tuple[object, object] | None = None,
    lookback_days: tuple[float, ...] = (7, 14, 30),
    model: str = "markov",
    half_life_days: float = 7.0,
    direct: str = "direct",
) -> pd.DataFrame:
    """Return the credit of each channel under several look-backs.

    Parameters
    ----------
    touchpoints, conversions, period
        As for `journeys`.
    lookback_days : tuple of float
    model : str
        One of `MODELS`.
    half_life_days, direct
        As for `attribute`.

    Returns
    -------
    DataFrame
        channel, then one column of conversions for each look-back (`lookback_7_days`), which sums to all conversions;
        the most credited in the last column first, `unattributed` last.

    Raises
    ------
    Faults, ToolkitError
        As `journeys`; where the model is unknown.

    Examples
    --------
    >>> touchpoints = pd.DataFrame({"user_id": ["u", "u"], "channel": ["tv", "email"],
    ...                             "time": pd.to_datetime(["2026-07-01", "2026-07-20"])})
    >>> conversions = pd.DataFrame({"order_id": ["A"], "user_id": ["u"], "value": [80.0],
    ...                             "time": pd.to_datetime(["2026-07-21"])})
    >>> lookback_sensitivity(touchpoints, conversions, lookback_days=(7, 30), model="linear").values.tolist()
    [['email', 1.0, 0.5], ['tv', 0.0, 0.5], ['unattributed', 0.0, 0.0]]
    """
    if model not in MODELS:
        raise ToolkitError(f"model '{model}' is not one of {', '.join(MODELS)}.{suggest(model, MODELS)}")
    columns = {}
    for days in lookback_days:
        built = journeys(touchpoints, conversions, days, period)
        table = attribute(built, half_life_days=half_life_days, direct=direct).table
        chosen = table[table["model"] == model].set_index("channel")["conversions"]
        columns[f"lookback_{days:g}_days"] = chosen
    wide = pd.DataFrame(columns).fillna(0.0)
    ranking = wide[wide.columns[-1]].drop(UNATTRIBUTED).sort_values(ascending=False, kind="stable")
    return wide.loc[[*ranking.index, UNATTRIBUTED]].rename_axis("channel").reset_index()


def _removal(counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return removal effects, and the shares of credit in conversions and in value.

    Parameters
    ----------
    counts : array (..., 1 + K, K + 2)
    values : array (..., 1 + K)

    Returns
    -------
    three arrays (..., K)
    """
    k = counts.shape[-1] - 2
    leaving = counts.sum(axis=-1)
    chance = _divided(counts, leaving[..., None])
    inverse = np.linalg.inv(np.eye(k) - chance[..., 1:, :k])
    visits = (chance[..., :1, :k] @ inverse)[..., 0, :]
    loops = np.diagonal(inverse, axis1=-2, axis2=-1)
    through = visits * (inverse @ chance[..., 1:, k, None])[..., 0] / loops
    converted = (chance[..., 0, :k] * (inverse @ chance[..., 1:, k, None])[..., 0]).sum(axis=-1) + chance[..., 0, k]
    shares = _divided(through, through.sum(axis=-1, keepdims=True))
    reward = _divided(values[..., 1:], leaving[..., 1:])
    worth = visits * (inverse @ reward[..., None])[..., 0] / loops
    positive = (values[..., 1:] >= 0).all(axis=-1, keepdims=True) & (worth.sum(axis=-1, keepdims=True) > 0)
    value_shares = np.where(positive, _divided(worth, worth.sum(axis=-1, keepdims=True)), shares)
    return _divided(through, converted[..., None]), shares, value_shares


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide, with 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below != 0)


@cache
def _weights() -> np.ndarray:
    """How often each bag is drawn in each resample (R, B); the same on every call."""
    return np.random.default_rng(_SEED).multinomial(BAGS, np.full(BAGS, 1 / BAGS), size=RESAMPLES).astype(float)


def _resampled(sums: Aggregates) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Resample bags of users: removal effects (R, K), and conversions credited by model (R, K + unattributed)."""
    k = len(sums.channels)
    weights = _weights()
    unattributed = weights @ sums.transitions[:, 0, k]
    drawn = {
        model: np.column_stack([weights @ credit[:, :, 0], unattributed]) for model, credit in sums.credits.items()
    }
    effects, credited = [], []
    for part in np.array_split(weights, max(1, RESAMPLES * (k + 2) ** 2 // 2_000_000)):
        counts = (part @ sums.transitions.reshape(BAGS, -1)).reshape(-1, 1 + k, k + 2)
        effect, shares, _ = _removal(counts, part @ sums.values)
        effects.append(effect)
        credited.append(shares * counts[:, 1:, k].sum(axis=1, keepdims=True))
    drawn["markov"] = np.column_stack([np.concatenate(credited), unattributed])
    return np.concatenate(effects), drawn
