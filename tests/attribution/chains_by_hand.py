"""Chains of any order by plain loops and dense solving, for tests to compare with."""

from itertools import groupby, pairwise

import numpy as np
import pandas as pd

COLUMNS = ["bag", "origin", "target", "count", "value"]


def transitions(journeys, players, order):
    """Write journeys (bag, walk, conversions, nulls, value) as the table of transitions, by a plain loop."""
    base, rows = players + 1, []
    for bag, seen, conversions, nulls, value in journeys:
        walk = [player for player, _ in groupby(seen)] if order > 1 else seen
        codes = [0]
        for player in walk:
            codes.append((codes[-1] * base + player + 1) % base**order)
        rows += [(bag, code, player, conversions + nulls, 0.0) for code, player in zip(codes[:-1], walk, strict=True)]
        rows += [(bag, codes[-1], players, conversions, value), (bag, codes[-1], players + 1, nulls, 0.0)]
    table = pd.DataFrame(rows, columns=COLUMNS).groupby(COLUMNS[:3], as_index=False).sum()
    return table[table["count"] > 0].reset_index(drop=True)


def of_the_chain(journeys, order, weight=None, removed=None):
    """Solve the chain with the removed player's states taken out: conversions and value of a journey."""
    position, steps = {(): 0}, []
    for bag, seen, conversions, nulls, value in journeys:
        times = 1.0 if weight is None else weight[bag]
        walk = [player for player, _ in groupby(seen)] if order > 1 else list(seen)
        states = [tuple(walk[max(0, at - order) : at]) for at in range(len(walk) + 1)]
        for state in states:
            position.setdefault(state, len(position))
        steps += [(here, there, times * (conversions + nulls)) for here, there in pairwise(states)]
        steps += [(states[-1], "won", times * conversions), (states[-1], "lost", times * nulls)]
        steps.append((states[-1], "value", times * value if walk else 0.0))
    n = len(position)
    passing, ends, leaving = np.zeros((n, n)), np.zeros((n, 2)), np.zeros(n)
    for here, there, count in steps:
        if there == "value":
            ends[position[here], 1] += count
            continue
        leaving[position[here]] += count
        if there == "won":
            ends[position[here], 0] += count
        elif there != "lost":
            passing[position[here], position[there]] += count
    leaving = np.where(leaving == 0, 1.0, leaving)[:, None]
    kept = [at for state, at in position.items() if removed not in state]
    solved = np.linalg.solve(np.eye(len(kept)) - (passing / leaving)[np.ix_(kept, kept)], (ends / leaving)[kept])
    return solved[0]


def lost(journeys, players, order, weight=None):
    """Return the removal effect of each player and its share of the value lost, by brute force."""
    whole = of_the_chain(journeys, order, weight)
    without = np.array([of_the_chain(journeys, order, weight, player) for player in range(players)])
    taken = whole - without
    return taken[:, 0] / whole[0], taken
