"""Absorbing chains of any order and size: what each player's removal costs, and how each bag of users moves that.

A state is the last players of a journey (`aggregates` states the code), 0 is START. Without a player, whatever passes
to it goes to null, so every state that contains it is out of reach. For the chain without player c: v_c the expected
visits to each state from START, h_c the chance of a conversion from each state, p_c = h_c[START]. The derivative of p_c
by the weight of a bag is the sum over the bag's passes from s to t of count / leaving(s) * v_c(s) * (h_c(t) - h_c(s)):
exact, without solving anything again. The same holds for value with the value expected from each state.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.linalg import splu

from kpitoolkit.attribution.aggregates import BAGS

DENSE_STATES = 4000
MOST_STEPS = 2000
UNDER_WAY = 1e-13
_CELLS = 4_000_000
_PLAYERS = 64
_IN_CACHE = 2**17
_NOBODY = -2


@dataclass(frozen=True, eq=False)
class Chain:
    """Passes between states; S states, U distinct passes, B bags.

    Attributes
    ----------
    players : int
    latest : array (S,)
        Player seen last; -1 at START, which is state 0.
    origin, following : arrays (U,) of int
        State left, and state reached: S for a conversion, S + 1 for null.
    chance : array (U,)
        Share of the passes that leave the origin.
    worth : array (U,)
        Value converted by the pass, in each pass that leaves the origin.
    counts, values : sparse arrays (B, U), by column
        Passes and value of each bag, in each pass that leaves the origin.
    """

    players: int
    latest: np.ndarray
    origin: np.ndarray
    following: np.ndarray
    chance: np.ndarray
    worth: np.ndarray
    counts: sparse.csc_array
    values: sparse.csc_array

    @property
    def states(self) -> int:
        """Number of states, START among them."""
        return len(self.latest)


@dataclass(frozen=True, eq=False)
class Losses:
    """What is lost without each player, and its derivative by the weight of each bag.

    Attributes
    ----------
    effects : array (K,)
        Share of the conversions.
    values : array (K,)
        Value lost, for each journey that starts.
    effect_influence, value_influence : arrays (B, K)
    """

    effects: np.ndarray
    values: np.ndarray
    effect_influence: np.ndarray
    value_influence: np.ndarray


def chain_of(transitions: pd.DataFrame, players: int, order: int) -> Chain:
    """Return the chain of a table of transitions; passes from a player to itself change nothing and are left out.

    Parameters
    ----------
    transitions : DataFrame
        bag, origin, target, count, value, as `Journeys.transitions` returns them, of the same order.
    players : int
    order : int

    Returns
    -------
    Chain

    Examples
    --------
    >>> rows = [(0, 0, 0, 1.0, 0.0), (0, 1, 1, 1.0, 50.0)]
    >>> chain = chain_of(pd.DataFrame(rows, columns=["bag", "origin", "target", "count", "value"]), 1, 1)
    >>> chain.states, chain.following.tolist()
    (2, [1, 2])
    """
    base = players + 1
    bag, code, target = (transitions[name].to_numpy(dtype=np.int64) for name in ("bag", "origin", "target"))
    count, value = (transitions[name].to_numpy(dtype=float) for name in ("count", "value"))
    kept = ((code % base != target + 1) | (target >= players)) & (count > 0)
    bag, code, target, count, value = (column[kept] for column in (bag, code, target, count, value))

    states, origin = np.unique(np.append(code, 0), return_inverse=True)
    origin = origin[:-1]
    leaving = np.bincount(origin, count, minlength=len(states))
    pairs, pair = np.unique(origin * (players + 2) + target, return_inverse=True)
    of_pair, to = np.divmod(pairs, players + 2)
    ahead = (states[of_pair] * base + np.minimum(to, players - 1) + 1) % base**order
    following = np.where(to < players, np.searchsorted(states, ahead), len(states) + to - players)
    share, worth = count / leaving[origin], np.where(code == 0, 0.0, value / leaving[origin])
    shape, valued = (BAGS, len(pairs)), worth != 0
    return Chain(
        players=players,
        latest=states % base - 1,
        origin=of_pair,
        following=following,
        chance=np.bincount(pair, share, minlength=len(pairs)),
        worth=np.bincount(pair, worth, minlength=len(pairs)),
        counts=sparse.csc_array((share, (bag, pair)), shape=shape),
        values=sparse.csc_array((worth[valued], (bag[valued], pair[valued])), shape=shape),
    )


def losses(chain: Chain) -> Losses:
    """Remove each player in turn; exact, with exact derivatives.

    Parameters
    ----------
    chain : Chain
        With at least one conversion.

    Returns
    -------
    Losses

    Examples
    --------
    >>> rows = [(0, 0, 0, 1.0, 0.0), (0, 1, 1, 1.0, 50.0), (1, 0, 1, 1.0, 9.0)]
    >>> chain = chain_of(pd.DataFrame(rows, columns=["bag", "origin", "target", "count", "value"]), 1, 1)
    >>> losses(chain).effects.tolist(), losses(chain).values.tolist()
    ([0.5], [25.0])
    """
    k, solve = chain.players, _solver(chain)
    whole = solve(np.array([_NOBODY]))
    success, value = whole[1][0, 0], whole[2][0, 0]
    d_success, d_value = _derivatives(chain, *whole)
    effects, values = np.zeros(k), np.zeros(k)
    effect_influence, value_influence = np.zeros((BAGS, k)), np.zeros((BAGS, k))
    at_once = int(np.clip(_CELLS // chain.states, 1, _PLAYERS))
    for removed in np.array_split(np.arange(k), -(-k // at_once)):
        without = solve(removed)
        effects[removed] = 1.0 - without[1][0] / success
        values[removed] = value - without[2][0]
        d_without, d_value_without = _derivatives(chain, *without)
        effect_influence[:, removed] = ((1.0 - effects[removed]) * d_success - d_without) / success
        value_influence[:, removed] = d_value - d_value_without
    return Losses(np.clip(effects, 0.0, 1.0), np.maximum(values, 0.0), effect_influence, value_influence)


def _derivatives(chain: Chain, visits: np.ndarray, success: np.ndarray, value: np.ndarray):
    """Differentiate, by the weight of each bag, the conversions and the value of a journey (B, C) each."""
    one, none = np.ones((1, visits.shape[1])), np.zeros((1, visits.shape[1]))
    success, value = np.vstack([success, one, none]), np.vstack([value, none, none])
    d_success, d_value = np.zeros((2, BAGS, visits.shape[1]))
    at_once = max(1, _IN_CACHE // visits.shape[1])
    for start in range(0, len(chain.origin), at_once):
        pairs = slice(start, start + at_once)
        origin, following = chain.origin[pairs], chain.following[pairs]
        passed = visits[origin]
        d_success += chain.counts[:, pairs] @ (passed * (success[following] - success[origin]))
        d_value += chain.counts[:, pairs] @ (passed * (value[following] - value[origin]))
        d_value += chain.values[:, pairs] @ passed
    return d_success, d_value


def _solver(chain: Chain) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Choose how to solve: players removed (C,) -> visits, chances of conversion and values expected, (S, C) each."""
    s = chain.states
    within = chain.following < s
    shape = (s, s)
    passing = sparse.csr_array((chain.chance[within], (chain.origin[within], chain.following[within])), shape=shape)
    converts = chain.following == s
    reward = np.column_stack(
        [
            np.bincount(chain.origin[converts], chain.chance[converts], minlength=s),
            np.bincount(chain.origin, chain.worth, minlength=s),
        ]
    )
    if s <= DENSE_STATES:
        return _by_inverse(chain, passing, reward)
    steps = _steps(passing)
    return _by_factors(chain, passing, reward) if steps is None else _by_steps(chain, passing, reward, steps)


def _by_inverse(chain: Chain, passing: sparse.csr_array, reward: np.ndarray):
    """Invert once; without a player, N - N[:, R] N[R, R]^-1 N[R, :], R the states where it is the latest."""
    inverse = np.linalg.inv(np.eye(chain.states) - passing.toarray())
    expected = inverse @ reward

    def solve(removed):
        visits = np.repeat(inverse[0][:, None], len(removed), axis=1)
        ahead = np.repeat(expected[:, :, None], len(removed), axis=2)
        for at, player in enumerate(removed):
            gone = np.flatnonzero(chain.latest == player)
            if len(gone):
                core, entering = inverse[np.ix_(gone, gone)], inverse[:, gone]
                ahead[:, :, at] -= entering @ np.linalg.solve(core, expected[gone])
                visits[:, at] -= np.linalg.solve(core.T, inverse[0, gone]) @ inverse[gone]
                ahead[gone, :, at], visits[gone, at] = 0.0, 0.0
        return np.maximum(visits, 0.0), np.clip(ahead[:, 0], 0.0, 1.0), ahead[:, 1]

    return solve


def _steps(passing: sparse.csr_array) -> int | None:
    """Return the steps after which a journey is over from wherever it stands, but for `UNDER_WAY` of all."""
    under_way = np.ones(passing.shape[0])
    for step in range(MOST_STEPS):
        if under_way.max() < UNDER_WAY:
            return step
        under_way = passing @ under_way
    return None


def _by_steps(chain: Chain, passing: sparse.csr_array, reward: np.ndarray, steps: int):
    """Walk all the chains at once, each without its player; the steps left out are shorter than those of the whole."""
    backward = passing.T.tocsr()

    def walked(matrix, state, stays):
        total = state = state * stays
        for _ in range(steps):
            state = (matrix @ state) * stays
            total = total + state
        return total

    def solve(removed):
        stays = chain.latest[:, None] != removed
        start = np.zeros(stays.shape)
        start[0] = 1.0
        return walked(backward, start, stays), *(walked(passing, reward[:, [i]], stays) for i in (0, 1))

    return solve


def _by_factors(chain: Chain, passing: sparse.csr_array, reward: np.ndarray):
    """Factorise the chain without each player: for journeys too long to walk."""
    system = (sparse.eye_array(chain.states) - passing).tocsc()

    def solve(removed):
        visits, success, value = (np.zeros((chain.states, len(removed))) for _ in range(3))
        for at, player in enumerate(removed):
            stays = np.flatnonzero(chain.latest != player)
            factors = splu(system[stays][:, stays])
            success[stays, at], value[stays, at] = factors.solve(reward[stays]).T
            visits[stays, at] = factors.solve(np.eye(1, len(stays))[0], trans="T")
        return np.maximum(visits, 0.0), np.clip(success, 0.0, 1.0), value

    return solve
