"""Credit by the removal effects of a Markov chain of any order, with intervals; and which order predicts best."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.attribution.aggregates import BAGS
from kpitoolkit.attribution.chains import chain_of, losses
from kpitoolkit.attribution.journeys import Journeys
from kpitoolkit.attribution.resampling import RESAMPLES, moved, weights
from kpitoolkit.errors import ToolkitError

RESAMPLED_PLAYERS = 60
HIGHEST_ORDER = 4
FOLDS = 10
CONCENTRATION = 5.0


@dataclass(frozen=True, eq=False)
class Removal:
    """Removal effects and the shares of credit that follow from them; R resamples, K players.

    Attributes
    ----------
    effects : array (K,)
        Share of all conversions lost without the player.
    shares : array (K, 2)
        Of the attributed conversions and value; each column sums to 1, or to 0 where nothing is attributed.
    effect_draws : array (R, K)
    share_draws : array (R, K, 2)
    """

    effects: np.ndarray
    shares: np.ndarray
    effect_draws: np.ndarray
    share_draws: np.ndarray


def removal(transitions: pd.DataFrame, players: int, order: int = 1) -> Removal:
    """Compute the removal effect of each player, exactly.

    Order 1: v_i h_i / (N_ii p) with N = (I - Q)^-1, h = N r, p = h[START], v the row START of N. Order k: p less its
    value where passing to any state that contains the player goes to null, over p. Value: the same with the mean value
    converted at each state in the place of r; where value is negative anywhere, shares of value are those of
    conversions. Up to `RESAMPLED_PLAYERS` players at order 1, each resample is computed exactly; beyond, and at higher
    orders, effects move in proportion to the weights of the bags, by their exact derivative, and stay within 0 and 1.

    Parameters
    ----------
    transitions : DataFrame
        bag, origin, target, count, value, as `Journeys.transitions(order)` returns them; at order 1 repeats may be in.
    players : int
    order : int

    Returns
    -------
    Removal

    Examples
    --------
    >>> rows = [(0, 0, 0, 1.0, 0.0), (0, 1, 1, 1.0, 50.0), (1, 0, 1, 1.0, 9.0)]
    >>> removal(pd.DataFrame(rows, columns=["bag", "origin", "target", "count", "value"]), 1).effects.tolist()
    [0.5]
    """
    converts = transitions["target"].to_numpy() == players
    attributed = transitions.loc[converts & (transitions["origin"].to_numpy() > 0)]
    if not transitions.loc[converts, "count"].sum() > 0 or players == 0:
        nothing = np.zeros((RESAMPLES, players, 2))
        return Removal(nothing[0, :, 0], nothing[0], nothing[:, :, 0], nothing)
    if order == 1 and players <= RESAMPLED_PLAYERS:
        return _resampled(transitions, players)

    lost = losses(chain_of(transitions, players, order))
    effect_draws = np.clip(moved(lost.effects, lost.effect_influence), 0.0, 1.0)
    shares, share_draws = _normed(lost.effects), _normed(effect_draws)
    stuck = effect_draws.sum(axis=1) == 0
    share_draws[stuck] = shares
    value_shares, value_share_draws = shares, share_draws
    if (attributed.groupby("origin")["value"].sum() >= 0).all() and lost.values.sum() > 0:
        value_shares = _normed(lost.values)
        value_draws = np.maximum(moved(lost.values, lost.value_influence), 0.0)
        positive = value_draws.sum(axis=1, keepdims=True) > 0
        value_share_draws = np.where(positive, _normed(value_draws), share_draws)
    return Removal(
        effects=lost.effects,
        shares=np.stack([shares, value_shares], axis=-1),
        effect_draws=effect_draws,
        share_draws=np.stack([share_draws, value_share_draws], axis=-1),
    )


def _resampled(transitions: pd.DataFrame, k: int) -> Removal:
    """Compute order 1 for the sums of all bags, then for each resample of the bags."""
    bag, origin, target = (transitions[name].to_numpy(dtype=np.int64) for name in ("bag", "origin", "target"))
    shape = (BAGS, 1 + k, k + 2)
    index = np.ravel_multi_index((bag, origin, target), shape)
    counts = np.bincount(index, transitions["count"], minlength=int(np.prod(shape))).reshape(shape)
    at = bag * (1 + k) + origin
    values = np.bincount(at, transitions["value"], minlength=BAGS * (1 + k)).reshape(BAGS, 1 + k)
    counts[:, np.arange(1, k + 1), np.arange(k)] = 0.0

    effects, shares = _order_1(counts.sum(axis=0), values.sum(axis=0))
    drawn = [
        _order_1((part @ counts.reshape(BAGS, -1)).reshape(-1, 1 + k, k + 2), part @ values)
        for part in np.array_split(weights(), max(1, RESAMPLES * (k + 2) ** 2 // 2_000_000))
    ]
    return Removal(effects, shares, *(np.concatenate(parts) for parts in zip(*drawn, strict=True)))


def _order_1(counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return removal effects (..., K) and shares of conversions and value (..., K, 2).

    Parameters
    ----------
    counts : array (..., 1 + K, K + 2)
    values : array (..., 1 + K)
    """
    k = counts.shape[-1] - 2
    leaving = counts.sum(axis=-1)
    chance = _divided(counts, leaving[..., None])
    inverse = np.linalg.inv(np.eye(k) - chance[..., 1:, :k])
    visits = (chance[..., :1, :k] @ inverse)[..., 0, :]
    loops = np.diagonal(inverse, axis1=-2, axis2=-1)
    success = (inverse @ chance[..., 1:, k, None])[..., 0]
    through = np.maximum(visits * success / loops, 0.0)
    converted = (chance[..., 0, :k] * success).sum(axis=-1) + chance[..., 0, k]
    shares = _normed(through)
    reward = _divided(values[..., 1:], leaving[..., 1:])
    worth = visits * (inverse @ reward[..., None])[..., 0] / loops
    positive = (values[..., 1:] >= 0).all(axis=-1, keepdims=True) & (worth.sum(axis=-1, keepdims=True) > 0)
    value_shares = np.where(positive, _normed(np.maximum(worth, 0.0)), shares)
    return _divided(through, converted[..., None]), np.stack([shares, value_shares], axis=-1)


def _normed(amounts: np.ndarray) -> np.ndarray:
    """Divide by the sum over the last axis."""
    return _divided(amounts, amounts.sum(axis=-1, keepdims=True))


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide, with 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below != 0)


def order_choice(journeys: Journeys, orders: Iterable[int] = (1, 2, 3), by: str = "channel") -> pd.DataFrame:
    """Compare orders of the chain by how well they predict journeys that they have not seen.

    Bags of users are dealt into `FOLDS` folds; the journeys of each are predicted step by step, up to the conversion or
    to null, from the counts of the others. Repeats of a player are taken as one step at every order, and no order
    predicts a repeat, so all predict the same events. The chance of t after the last j players is
    (count + c * chance after the last j - 1) / (passes + c), c = `CONCENTRATION`, down to the frequency of t anywhere
    and to equal chances: what an order has not seen, it predicts as the order below does.

    Parameters
    ----------
    journeys : Journeys
    orders : iterable of int
        From 1 to `HIGHEST_ORDER`.
    by : {"channel", "campaign"}
        The players.

    Returns
    -------
    DataFrame
        order, states (seen, START among them), log_likelihood (natural, for each journey that has ended), difference
        (to the best order, 0 or below), standard_error (of the difference, over bags of users), preferred (the lowest
        order that is within one standard error of the best; nowhere if no journey has ended).

    Raises
    ------
    ToolkitError
        For an order that is not available, or one whose states no integer can number.

    Examples
    --------
    >>> from kpitoolkit.attribution import journeys_from_paths
    >>> paths = pd.DataFrame({"path": ["a > b", "b"], "total_conversions": [300, 200], "total_null": [500, 700]})
    >>> order_choice(journeys_from_paths(paths), orders=(1, 2))[["order", "states", "preferred"]].values.tolist()
    [[1, 3, False], [2, 4, True]]
    """
    asked = sorted(set(orders))
    for order in asked:
        checked_order(order, "order_choice")
    if not asked:
        raise ToolkitError("order_choice: no orders. Give at least one, such as orders=(1, 2, 3).")
    highest = max(2, *asked)
    passes = journeys.transitions(highest, by)
    players = len(journeys.channels if by == "channel" else journeys.nodes)
    pair, pairs = pd.factorize(
        passes["origin"].to_numpy(np.int64) * (players + 2) + passes["target"].to_numpy(np.int64), sort=True
    )
    origin, target = np.divmod(pairs, players + 2)
    bag, count = passes["bag"].to_numpy(np.int64), passes["count"].to_numpy(dtype=float)
    levels = [_level(origin % (players + 1) ** order, target, players) for order in range(highest + 1)]

    of_bag = np.zeros((BAGS, len(asked)))
    in_all, fold_of = np.bincount(pair, count, minlength=len(pairs)), (bag % FOLDS).astype(np.uint8)
    for fold in range(FOLDS):
        held = np.flatnonzero(fold_of == fold)
        known = in_all - np.bincount(pair[held], count[held], minlength=len(pairs))
        chances = _chances(np.maximum(known, 0.0), levels, origin % (players + 1), target, players)
        for at, order in enumerate(asked):
            gained = count[held] * np.log(chances[order][pair[held]])
            of_bag[:, at] += np.bincount(bag[held], gained, minlength=BAGS)

    ended = np.bincount(bag, count * (passes["target"].to_numpy() >= players), minlength=BAGS)
    each = of_bag.sum(axis=0) / ended.sum() if ended.sum() > 0 else np.full(len(asked), np.nan)
    best = int(np.argmax(each))
    difference = each - each[best]
    spread = of_bag - of_bag[:, [best]] - ended[:, None] * difference
    error = np.sqrt(BAGS / (BAGS - 1) * (spread**2).sum(axis=0)) / max(ended.sum(), 1.0)
    near = difference >= -error
    return pd.DataFrame(
        {
            "order": asked,
            "states": [len(np.unique(levels[order][0])) for order in asked],
            "log_likelihood": each,
            "difference": difference,
            "standard_error": error,
            "preferred": near & (np.cumsum(near) == 1),
        }
    )


def checked_order(order: object, where: str) -> int:
    """Return the order of a chain, or say why there is none.

    Raises
    ------
    ToolkitError

    Examples
    --------
    >>> checked_order(2, "attribute")
    2
    """
    if isinstance(order, bool) or not isinstance(order, int | np.integer) or not 1 <= order <= HIGHEST_ORDER:
        raise ToolkitError(
            f"{where}: order {order!r} is not available. Give a whole number from 1 to {HIGHEST_ORDER}, such as 1."
        )
    return int(order)


def _level(context: np.ndarray, target: np.ndarray, players: int) -> tuple[np.ndarray, np.ndarray]:
    """Number the contexts, and the pairs of a context and a target (U,) each."""
    contexts = np.unique(context, return_inverse=True)[1]
    return contexts, np.unique(contexts * (players + 2) + target, return_inverse=True)[1]


def _chances(known: np.ndarray, levels: list, latest: np.ndarray, target: np.ndarray, players: int) -> list[np.ndarray]:
    """Return the predicted chance of each pair (U,) at each order from 0, from the passes known (U,)."""
    chance, found = np.full(len(known), 1.0 / (players + 2)), []
    for order, (context, pair) in enumerate(levels):
        if order == 1:
            repeat = np.zeros(players + 2)
            repeat[target] = chance
            chance = chance / (1.0 - np.where(latest > 0, repeat[latest - 1], 0.0))
        passed, leaving = np.bincount(pair, known), np.bincount(context, known)
        chance = (passed[pair] + CONCENTRATION * chance) / (leaving[context] + CONCENTRATION)
        found.append(chance)
    return found
