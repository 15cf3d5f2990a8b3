"""Share a total among curves exactly: equal marginal returns where curves are concave, a grid where they are not.

Pure: curves are functions, nothing here knows a channel. Concave curves have one optimum, where every curve that is not
at a bound gains the same from the next unit (its multiplier); it is found by root-finding. Curves with a convex part
have many local optima, in which gradient methods stop: dynamic programming on a grid of the total finds the best grid
point, and the best point around it is then found without the grid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from kpitoolkit.errors import Faults

STEPS = 400
ROUNDS = 12
_NODES = np.union1d(np.linspace(0, 1, 97), np.geomspace(1e-6, 1 / 96, 16))
_TOLERANCE = 1e-9
_FUNCTION = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Allocation:
    """What each curve gets.

    Attributes
    ----------
    spend : array of shape (curves,)
    multiplier : float
        What the next unit of the total would bring; NaN where the grid decided, 0 where the total is free.
    method : {"marginal", "grid"}
    """

    spend: np.ndarray
    multiplier: float
    method: str


def allocate(
    values: Sequence[_FUNCTION],
    slopes: Sequence[_FUNCTION],
    low: Sequence[float],
    high: Sequence[float],
    total: float | None = None,
    *,
    steps: int = STEPS,
) -> Allocation:
    """Maximise the sum of ``values[c](x[c])`` with ``low <= x <= high`` and, where a total is given, ``sum x = total``.

    Parameters
    ----------
    values, slopes : sequence of functions
        One a curve: array of spend in, array of the same shape out; `slopes` are the derivatives of `values`. With a
        free total, values must be net of what the spend costs.
    low, high : sequence of float
    total : float, optional
        Free where it is left out.
    steps : int
        Steps of the grid between the sum of the lower bounds and the total, used where a curve is not concave.

    Returns
    -------
    Allocation
        With a total, the spends sum to it.

    Raises
    ------
    Faults
        Where a lower bound is above its upper bound, or the bounds exclude the total.

    Examples
    --------
    Two Hill curves ``b x / (x + k)`` with ``x = sqrt(b k / multiplier) - k``:

    >>> values = [lambda x: 4 * x / (x + 1), lambda x: 9 * x / (x + 1)]
    >>> slopes = [lambda x: 4 / (x + 1) ** 2, lambda x: 9 / (x + 1) ** 2]
    >>> found = allocate(values, slopes, [0, 0], [10, 10], total=3)
    >>> found.spend.round(9).tolist(), round(found.multiplier, 9)
    ([1.0, 2.0], 1.0)
    """
    low, high = np.array(low, dtype=float), np.array(high, dtype=float)
    check_bounds(low, high, total)
    tables = [_Table(slope, *ends) for slope, *ends in zip(slopes, low, high, strict=True)]
    if total is None:
        spend = [_best_alone(v, t, steps) for v, t in zip(values, tables, strict=True)]
        concave = all(table.concave for table in tables)
        return Allocation(np.array(spend), 0.0, "marginal" if concave else "grid")
    if all(table.concave for table in tables):
        spend, multiplier = _equalise(tables, float(total))
        return Allocation(_closed(spend, low, high, total), multiplier, "marginal")
    spend = _on_the_grid(values, low, high, float(total), steps)
    spend = _polish(values, slopes, spend, low, high, float(total), steps)
    return Allocation(_closed(spend, low, high, total), np.nan, "grid")


def check_bounds(low: np.ndarray, high: np.ndarray, total: float | None) -> None:
    """Raise Faults where no allocation can keep to the bounds."""
    faults = []
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        faults.append("a bound is not a number. State one for each")
    elif (low > high).any():
        place = int(np.argmax(low > high))
        faults.append(f"the lower bound {low[place]:,.6g} lies above the upper bound {high[place]:,.6g}")
    elif total is not None and not np.isfinite(total):
        faults.append("the total is not a number")
    elif total is not None:
        room = _TOLERANCE * max(1e-300, abs(total), np.abs(high).sum())
        if not low.sum() - room <= total <= high.sum() + room:
            faults.append(
                f"the bounds allow {low.sum():,.6g} to {high.sum():,.6g}, and the total is {total:,.6g}. "
                "Widen the bounds or change the total"
            )
    if faults:
        raise Faults("budget", faults)


class _Table:
    """A curve's slope between its bounds, looked up first and solved for then."""

    def __init__(self, slope: _FUNCTION, low: float, high: float):
        self.slope, self.low, self.high = slope, low, high
        self.nodes = low + (high - low) * _NODES
        self.nodes[-1] = high
        raw = np.asarray(slope(self.nodes), dtype=float)
        finite = np.abs(raw[np.isfinite(raw)]).max(initial=0.0) or 1.0
        self.largest = 1e6 * finite  # an infinite slope at zero (Hill, slope below 1) is steeper than any other
        self.at = np.minimum(raw, self.largest)
        self.concave = bool((np.diff(self.at) <= _TOLERANCE * finite).all())

    def spend(self, multiplier: float) -> float:
        """Spend at which a decreasing slope falls to the multiplier, within the bounds."""
        if self.at[0] <= multiplier or self.low == self.high:
            return self.low
        if self.at[-1] >= multiplier:
            return self.high
        right = int(np.argmax(self.at <= multiplier))
        return _root(lambda x: min(_one(self.slope, x), self.largest) - multiplier, *self.nodes[right - 1 : right + 1])


def _root(function, low: float, high: float) -> float:
    if function(low) <= 0:  # a curve summed in another order may differ by its last digit
        return low
    if function(high) >= 0:
        return high
    return optimize.brentq(function, low, high, xtol=1e-14 * max(abs(low), abs(high), 1e-290), rtol=1e-14)


def _one(function: _FUNCTION, spend: float) -> float:
    return float(np.asarray(function(np.array([spend])))[0])


def _equalise(tables: Sequence[_Table], total: float) -> tuple[np.ndarray, float]:
    """Find the multiplier at which concave curves together ask for the total."""
    asked: dict[float, np.ndarray] = {}

    def too_much(multiplier: float) -> float:
        asked[multiplier] = np.array([table.spend(multiplier) for table in tables])
        return float(asked[multiplier].sum()) - total

    bottom, top = _bracket(tables, total)
    scale = max(abs(bottom), abs(top))
    over, under = too_much(bottom), too_much(top)
    multiplier = bottom if over <= 0 else top
    if over > 0 > under:
        multiplier = optimize.brentq(too_much, bottom, top, xtol=1e-15 * scale, rtol=1e-14)
    # A flat piece is asked for as a whole or not at all: between the two lies the total, all points as good.
    more = [m for m, spend in asked.items() if spend.sum() >= total]
    less = [m for m, spend in asked.items() if spend.sum() <= total]
    if not more or not less:
        return asked[multiplier], multiplier
    above, below = asked[max(more)], asked[min(less)]
    gap = above.sum() - below.sum()
    share = (total - below.sum()) / gap if gap > 0 else 0.0
    return below + share * (above - below), multiplier


def _bracket(tables: Sequence[_Table], total: float) -> tuple[float, float]:
    """Two slopes from the tables between which the multiplier lies."""
    slopes = np.unique(np.concatenate([table.at for table in tables]))
    span = max(slopes[-1] - slopes[0], abs(slopes[-1]), 1e-300)
    slopes = np.concatenate([[slopes[0] - span], slopes, [slopes[-1] + span]])
    fewest, most = np.zeros(len(slopes)), np.zeros(len(slopes))
    for table in tables:
        falling = np.minimum.accumulate(table.at)
        above = len(falling) - np.searchsorted(falling[::-1], slopes, side="right")  # nodes steeper than the slope
        least = len(falling) - np.searchsorted(falling[::-1], slopes, side="left")  # nodes at least as steep
        fewest += table.nodes[np.maximum(above - 1, 0)]
        most += table.nodes[np.minimum(least, len(falling) - 1)]
    enough, short = np.flatnonzero(fewest >= total), np.flatnonzero(most <= total)
    return float(slopes[enough[-1] if len(enough) else 0]), float(slopes[short[0] if len(short) else -1])


def _best_alone(value: _FUNCTION, table: _Table, steps: int) -> float:
    if table.concave:
        return table.spend(0.0)
    nodes = np.linspace(table.low, table.high, steps + 1)
    worth = np.asarray(value(nodes))
    best = int(np.argmax(worth))
    around = (nodes[max(best - 1, 0)], nodes[min(best + 1, steps)])
    found = optimize.minimize_scalar(lambda x: -_one(value, x), bounds=around, method="bounded", options=_fine(around))
    return float(found.x) if -found.fun > worth[best] else float(nodes[best])


def _fine(around: tuple[float, float]) -> dict:
    return {"xatol": 1e-9 * (around[1] - around[0])}


def _on_the_grid(values: Sequence[_FUNCTION], low, high, total: float, steps: int) -> np.ndarray:
    """Best sum over the grid, curve by curve: ``best_c(m) = max over j of best_(c-1)(m - j) + value_c(low_c + j)``.

    A curve's last step ends at its upper bound; what it does not use is shared out by the polish.
    """
    step = (total - low.sum()) / steps
    if step <= 0:
        return low.copy()
    best = np.where(np.arange(steps + 1) == 0, 0.0, -np.inf)
    shift = np.arange(steps + 1)[:, None] - np.arange(steps + 1)
    chosen, options = [], []
    for value, least, most in zip(values, low, high, strict=True):
        count = min(steps, int(np.ceil((most - least) / step - _TOLERANCE)))
        spend = np.minimum(least + step * np.arange(count + 1), most)
        before = np.where(shift[:, : count + 1] >= 0, best[np.maximum(shift[:, : count + 1], 0)], -np.inf)
        summed = before + np.asarray(value(spend))
        taken = summed.argmax(axis=1)
        best = summed[np.arange(steps + 1), taken]
        chosen.append(taken)
        options.append(spend)
    left, spend = steps, np.empty(len(low))
    for place in range(len(low) - 1, -1, -1):
        taken = chosen[place][left]
        spend[place] = options[place][taken]
        left -= taken
    return spend


def _polish(values, slopes, spend, low, high, total: float, steps: int) -> np.ndarray:
    """Best point within a step of the grid's; where it comes to stand at the edge of its cell, once more from there."""
    step = (total - low.sum()) / steps
    spend = _closed(spend, low, high, total)
    if step <= 0:
        return spend
    for _round in range(ROUNDS):
        bottom, top = np.maximum(low, spend - step), np.minimum(high, spend + step)
        tables = [_Table(slope, *ends) for slope, *ends in zip(slopes, bottom, top, strict=True)]
        found = _equalise(tables, total)[0] if all(t.concave for t in tables) else _exchange(values, spend, bottom, top)
        found = _closed(found, bottom, top, total)
        if _sum(values, found) <= _sum(values, spend):
            return spend
        at_edge = np.abs(found - spend).max() > (1 - 1e-6) * step
        spend = found
        if not at_edge:
            return spend
    return spend


def _sum(values: Sequence[_FUNCTION], spend: np.ndarray) -> float:
    return float(sum(_one(value, x) for value, x in zip(values, spend, strict=True)))


def _exchange(values, spend: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Move spend between two curves at a time for as long as it gains."""
    spend = spend.copy()
    for _round in range(ROUNDS):
        before = _sum(values, spend)
        for one in range(len(spend)):
            for other in range(one + 1, len(spend)):
                around = (
                    max(low[one] - spend[one], spend[other] - high[other]),
                    min(high[one] - spend[one], spend[other] - low[other]),
                )
                if around[1] <= around[0]:
                    continue

                def lost(moved, one=one, other=other):
                    return -_one(values[one], spend[one] + moved) - _one(values[other], spend[other] - moved)

                found = optimize.minimize_scalar(lost, bounds=around, method="bounded", options=_fine(around))
                moved = min([float(found.x), 0.0, *around], key=lost)
                spend[one] += moved
                spend[other] -= moved
        if _sum(values, spend) - before <= 1e-13 * abs(before):
            return spend
    return spend


def _closed(spend: np.ndarray, low: np.ndarray, high: np.ndarray, total: float) -> np.ndarray:
    """Share what rounding or the grid left over among the curves with room, so that the spends sum to the total."""
    spend = np.clip(spend, low, high)
    for _round in range(4):
        over = float(total - spend.sum())
        room = high - spend if over > 0 else spend - low
        if over == 0 or room.sum() <= 0:
            break
        spend = np.clip(spend + over * room / room.sum(), low, high)
    return spend
