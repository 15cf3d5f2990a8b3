"""The sums of one part of the journeys, held as arrays: credits, transitions, coalitions, states; by bag of users.

The sums of a bag come from one part, and are added up in the order in which its journeys stand there.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.attribution.aggregates import BAGS

STATES = ("converted", "null", "open", "unattributed")


@dataclass(frozen=True, eq=False)
class Part:
    """Journeys of the users of some bags: first those closed by conversions, then the open ones, then the null ones.

    Attributes
    ----------
    bags : (int, int)
        First bag, and the first after the last.
    bag, state, length, conversions, value, nulls : array (J,)
        One entry a journey; state as position in `STATES`, length in touchpoints.
    node : array (S,)
        One entry a touchpoint, journey after journey, in order of time.
    age : array (A,) or None
        Microseconds from touchpoint to conversion, or to the period's end; of the first A touchpoints, which are those
        of all journeys but the null ones. None for ready-made paths.
    """

    bags: tuple[int, int]
    bag: np.ndarray
    state: np.ndarray
    length: np.ndarray
    conversions: np.ndarray
    value: np.ndarray
    nulls: np.ndarray
    node: np.ndarray
    age: np.ndarray | None


def states(parts: tuple[Part, ...], is_weighted: bool) -> pd.DataFrame:
    """Return state, journeys, conversions, value; a journey counts once or, if weighted, as often as it was passed."""
    sums = np.zeros((BAGS, len(STATES), 3))
    for part in parts:
        index = part.bag.astype(np.int64) * len(STATES) + part.state
        journeys = part.conversions + part.nulls if is_weighted else np.ones(len(index))
        for at, numbers in enumerate((journeys, part.conversions, part.value)):
            sums[:, :, at] += np.bincount(index, numbers, minlength=BAGS * len(STATES)).reshape(BAGS, -1)
    journeys, conversions, value = sums.sum(axis=0).T
    columns = {"state": list(STATES), "journeys": journeys.round().astype(np.int64)}
    return pd.DataFrame(columns | {"conversions": conversions, "value": value})


def _edges(length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of first and last steps of the journeys that have any."""
    some = length > 0
    stop = np.cumsum(length, dtype=np.int64)[some]
    return stop - length[some], stop - 1


def credits(part, player_of, is_direct, half_life) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return for each model that is a sum over journeys the credits (bags, K, 2), and the unattributed (bags, 2)."""
    low, k = part.bags[0], len(is_direct)
    size = (part.bags[1] - low) * k
    weights = part.conversions, part.value
    closed = np.flatnonzero(part.conversions)
    empty, closed = closed[part.length[closed] == 0], closed[part.length[closed] > 0]
    at = part.bag[empty].astype(np.int64) - low
    unattributed = np.stack([np.bincount(at, w[empty], minlength=part.bags[1] - low) for w in weights], axis=-1)

    length = part.length[closed].astype(np.int64)
    first, last = _edges(length)
    journey = np.repeat(np.arange(len(length)), length)
    chosen = np.cumsum(part.length, dtype=np.int64)[closed] - length
    chosen = (chosen - first)[journey] + np.arange(len(journey))
    player = player_of[part.node[chosen]]
    bag = (part.bag[closed].astype(np.int64) - low) * k
    weights = tuple(weight[closed] for weight in weights)

    def summed(of_journey, of_player, share=None):
        at = bag[of_journey] + of_player
        sums = [
            np.bincount(at, w[of_journey] if share is None else share * w[of_journey], minlength=size) for w in weights
        ]
        return np.stack(sums, axis=-1).reshape(part.bags[1] - low, k, 2)

    each = np.arange(len(length))
    rows = np.where(is_direct[player], -1, np.arange(len(player)))
    latest = np.maximum.reduceat(rows, first) if len(rows) else rows
    latest = np.where(latest < 0, last, latest)
    even = (1.0 / length)[journey]
    place = np.where(length < 3, 1.0 / length, 0.2 / np.maximum(length - 2, 1))[journey]
    place[first[length > 2]] = place[last[length > 2]] = 0.4
    found = {
        "first": summed(each, player[first]),
        "last": summed(each, player[last]),
        "last_non_direct": summed(each, player[latest]),
        "linear": summed(journey, player, even),
        "position": summed(journey, player, place),
    }
    if part.age is not None:
        age = part.age[chosen]
        decay = np.exp2((age[last][journey] - age) / half_life)
        decay /= np.bincount(journey, decay, minlength=len(length))[journey]
        found["time_decay"] = summed(journey, player, decay)
    of_journey, of_player = _distinct(journey, player, k)
    share = 1.0 / np.bincount(of_journey, minlength=len(length))
    found["shapley"] = summed(of_journey, of_player, share[of_journey])
    return found, unattributed


def _distinct(journey: np.ndarray, player: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each pair of journey and player once, sorted."""
    bits = max(k - 1, 0).bit_length()
    pairs = journey << bits | player
    pairs.sort()
    if len(pairs):
        pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    return pairs >> bits, pairs & (1 << bits) - 1


def transitions(part: Part, player_of: np.ndarray, k: int, order: int) -> tuple[np.ndarray, ...]:
    """Return bag, origin, target, count, value of one part."""
    passes = part.conversions + part.nulls
    counts, node = passes != 0, part.node
    columns = part.length, part.bag, part.conversions, part.value, part.nulls, passes
    if not counts.all():
        node = node.compress(np.repeat(counts, part.length))
        columns = (values[counts] for values in columns)
    length, bag, conversions, value, nulls, passes = columns
    player, some = player_of.astype(np.int32)[node], length > 0
    first, last = _edges(length)
    if order > 1 and len(player):
        kept = np.ones(len(player), dtype=bool)
        np.not_equal(player[1:], player[:-1], out=kept[1:])
        kept[first] = True
        number = np.cumsum(kept) - 1
        player, first, last = player.compress(kept), number[first], number[last]
        length = np.zeros_like(length)
        length[some] = last - first + 1

    sizes = (k + 1) ** order, k + 2
    kind = np.int32 if sizes[0] < 2**31 else np.int64
    before, after = np.zeros(len(player), dtype=kind), player.astype(kind)
    for _ in range(order):
        after = before * kind(k + 1)
        after += player
        after += 1
        before[1:] = after[:-1]
        before[first] = 0
    final = np.zeros(len(length), dtype=kind)
    final[some] = after[last]
    closed, lost = np.flatnonzero(conversions), np.flatnonzero(nulls)
    weights, count = (passes, conversions[closed], nulls[lost]), None
    if not all((weight == 1).all() for weight in weights):
        count = np.concatenate([np.repeat(passes, length), *weights[1:]])
    return _summed(
        np.concatenate([np.repeat(bag, length), bag[closed], bag[lost]]),
        np.concatenate([before, final[closed], final[lost]]),
        np.concatenate([player, np.full(len(closed), k, np.int32), np.full(len(lost), k + 1, np.int32)]),
        ((slice(None), count), (slice(len(player), len(player) + len(closed)), value[closed])),
        sizes,
        part.bags,
    )


def coalitions(part: Part, channel_of: np.ndarray, k: int) -> tuple[np.ndarray, ...]:
    """Return bag, coalition, conversions, value, nulls of one part."""
    coalition = np.zeros(len(part.length), dtype=np.int32)
    if len(part.node):
        of_node = (1 << channel_of).astype(np.int32)
        coalition[part.length > 0] = np.bitwise_or.reduceat(of_node[part.node], _edges(part.length)[0])
    counts = part.conversions + part.nulls != 0
    weights = tuple((slice(None), values[counts]) for values in (part.conversions, part.value, part.nulls))
    found = _summed(part.bag[counts], coalition[counts], np.int32(0), weights, (2**k, 1), part.bags)
    return found[0], found[1], *found[3:]


def _summed(bag, origin, target, weights, sizes, bags) -> tuple[np.ndarray, ...]:
    """Add weights up by bag, origin and target; return the sorted keys that occur, and the sums.

    A weight is a slice of the rows and what they weigh; None: 1 each. The rows of a key are added in the order in which
    they stand.
    """
    states, targets = sizes
    names = None
    if states >= 2**62 // (BAGS * targets):
        origin, names = pd.factorize(origin, sort=True)
        states = max(len(names), 1)
    size = (bags[1] - bags[0]) * states * targets
    code = bag.astype(np.int32 if size < 2**31 else np.int64)
    code -= bags[0]
    code *= states
    code += origin
    code *= targets
    code += target
    if size <= max(4 * len(code), 2**12):
        found = order = np.flatnonzero(np.bincount(code))
    else:
        code, found = pd.factorize(code)
        order = np.argsort(found)
        found = found[order].astype(np.int64)
        size = len(found)
    sums = [np.bincount(code[rows], weight, minlength=size)[order].astype(np.float64) for rows, weight in weights]
    origin = found // targets % states
    return found // targets // states + bags[0], origin if names is None else names[origin], found % targets, *sums
