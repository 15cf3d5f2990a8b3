"""The chance that an open journey still converts, by the channel of its last touchpoint and the days since.

Journeys are looked at on past days, at the hour at which the period ends, and followed from there: to the conversion,
to the end of the look-back, or to the end of the data (then right-censored: Kaplan-Meier by days). A day looks only at
journeys that stand at the same age, silent so far, whatever contacts they may have afterwards: exactly what is known
of the journeys open at the period's end. A journey that was silent for m days is seen at m ages, at each once.

Thin channels lean on the others. The hazard at age a, d days on, in channel c is

    h(d) x age(a) x days(d) x cell(a, d) x level(c) x shape(c, d) x age(c, a) x cell(c, a, d)

each factor (converted + k) / (expected under the factors before it + k): the posterior mean of a gamma prior with mean
1 that weighs as much as k conversions. Ages and days borrow from their neighbours, the more the older they are.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.attribution.aggregates import BAGS

DRAWS = 200
CELLS = 31
MOST_CHANNELS = 60
PRIOR_AGE, PRIOR_LEVEL, PRIOR_SHAPE, PRIOR_CHANNEL_AGE = 10.0, 5.0, 10.0, 20.0
PRIOR_CELL, PRIOR_WORTH = 30.0, 10.0
_SEED = 20260930
_BATCH = 4_000_000


@dataclass(frozen=True, eq=False)
class Curve:
    """Chances and worth of open journeys; K channels, L cells of age, R draws of what resampled customers would give.

    Attributes
    ----------
    chance : array (K, L)
        That a journey open at this age still converts inside the look-back.
    drawn : array (R, K, L)
    converted : array (K, L)
        Share of the journeys still open on the evening of the touchpoint that have converted by the end of the cell.
    worth : array (K,)
        Mean value of the conversion (currency units).
    worth_drawn : array (R, K)
    orders : float
        Mean number of orders of a conversion: orders of one moment close a journey together.
    spread : float
        Variance of a conversion's value over its squared mean, all channels.
    events : int
        Conversions behind the curve.
    """

    chance: np.ndarray
    drawn: np.ndarray
    converted: np.ndarray
    worth: np.ndarray
    worth_drawn: np.ndarray
    orders: float
    spread: float
    events: int


def width_days(lookback_days: float) -> int:
    """Return the width of a cell of age: a day up to a look-back of a month, so that there are never more than 31.

    Examples
    --------
    >>> width_days(30), width_days(90)
    (1, 3)
    """
    return int(np.ceil(lookback_days / CELLS))


def cells(lookback_days: float) -> int:
    """Return the number of cells of age.

    Examples
    --------
    >>> cells(30), cells(90), cells(0.5)
    (30, 30, 1)
    """
    return int(np.ceil(lookback_days / width_days(lookback_days)))


def fit(spells: pd.DataFrame, channels: int, lookback_days: float) -> Curve:
    """Fit the chances.

    Parameters
    ----------
    spells : DataFrame
        Touchpoints counted by bag, channel (0 to K - 1), silent (cells of age at which the journey was seen open, 1 to
        L), followed (cells from the first of them in which it was followed, 0 to L; the last of them holds the
        conversion where there is one) and event (bool: it converted), with spells (how many), orders, value and
        squares (sums of the conversions' orders, of their value and of its square).
    channels : int
        K.
    lookback_days : float

    Returns
    -------
    Curve
    """
    size = cells(lookback_days)
    own = np.arange(channels)
    if channels > MOST_CHANNELS:
        order = np.argsort(-np.bincount(spells["channel"], spells["spells"], channels), kind="stable")
        own[order] = np.minimum(np.arange(channels), MOST_CHANNELS - 1)
    k = min(channels, MOST_CHANNELS)
    events = spells[spells["event"]]
    converted = events["spells"].to_numpy(dtype=float)
    seen = _table(spells, own, k, size, spells["spells"])
    ended = _table(events, own, k, size, converted)
    worth = np.zeros((BAGS, k, 2))
    np.add.at(worth, (events["bag"], own[events["channel"]]), np.stack([converted, events["value"]], axis=-1))

    last = lookback_days / width_days(lookback_days) - (size - 1)
    silent = events["silent"].to_numpy()
    repeats = (silent**2 * converted).sum() / (silent * converted).sum() if len(events) else 1.0
    chance, hazard = _chances(seen.sum(axis=0), ended.sum(axis=0), last, repeats)
    weights = np.random.default_rng(_SEED).multinomial(BAGS, np.full(BAGS, 1 / BAGS), size=DRAWS).astype(float)
    drawn = [
        _chances(_weighted(part, seen), _weighted(part, ended), last, repeats)[0]
        for part in np.array_split(weights, max(1, DRAWS * seen[0].size // _BATCH))
    ]
    total, value, squares = converted.sum(), events["value"].sum(), events["squares"].sum()
    spread = max(squares * total / value**2 - 1, 0.0) if value > 0 else 0.0
    return Curve(
        chance=chance[own],
        drawn=np.concatenate(drawn)[:, own],
        converted=1 - np.cumprod(1 - hazard[:, 0], axis=-1)[own],
        worth=_worth(worth.sum(axis=0))[own],
        worth_drawn=_worth(_weighted(weights, worth))[:, own],
        orders=float(events["orders"].sum() / total) if total else 1.0,
        spread=float(spread),
        events=int(total),
    )


def _weighted(weights: np.ndarray, by_bag: np.ndarray) -> np.ndarray:
    return (weights @ by_bag.reshape(BAGS, -1)).reshape(-1, *by_bag.shape[1:])


def _table(spells: pd.DataFrame, own: np.ndarray, k: int, size: int, weights) -> np.ndarray:
    """Lay the counts out as (bag, channel, silent, followed)."""
    shape = (BAGS, k, size + 1, size + 1)
    at = (spells["bag"], own[spells["channel"]], spells["silent"], spells["followed"])
    index = np.ravel_multi_index(tuple(np.asarray(part, dtype=np.int64) for part in at), shape)
    return np.bincount(index, weights, int(np.prod(shape))).reshape(shape)


def _worth(sums: np.ndarray) -> np.ndarray:
    """Return mean values (..., K) from counts and sums of value (..., K, 2), leaning on all channels' mean."""
    every = sums.sum(axis=-2, keepdims=True)
    mean = _divided(every[..., 1], every[..., 0])
    return (sums[..., 1] + PRIOR_WORTH * mean) / (sums[..., 0] + PRIOR_WORTH)


def _chances(seen: np.ndarray, ended: np.ndarray, last: float, repeats: float) -> tuple[np.ndarray, np.ndarray]:
    """Return chances (..., K, L) and hazards (..., K, L ages, L cells on).

    Parameters
    ----------
    seen, ended : arrays (..., K, L + 1, L + 1)
        Spells, and those of them that converted, by silent and followed.
    last : float
        The part of the last cell that lies inside the look-back, for a touchpoint at the cell's beginning.
    repeats : float
        At how many ages a conversion is counted, on average over what is counted.
    """
    size = seen.shape[-1] - 1
    age, on = np.arange(size)[:, None], np.arange(size)[None, :]
    at_end = np.where(age + on == size - 1, last**2 / 2, 1.0) * (age + on < size)
    open_at = seen[..., ::-1, :].cumsum(axis=-2)[..., ::-1, :][..., 1:, :]
    exposed = open_at[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
    turned = ended[..., ::-1, :].cumsum(axis=-2)[..., ::-1, :][..., 1:, 1:]
    diagonal = (..., age, np.minimum(age + on, size - 1))
    exposed, turned = exposed[diagonal] * at_end, turned[diagonal] * (age + on < size)

    near = np.exp(-0.5 * ((age - on) / (0.2 * (0.5 + on))) ** 2)
    pooled, happened = exposed.sum(axis=-3), turned.sum(axis=-3)
    base = np.broadcast_to(_divided(happened.sum(-2), pooled.sum(-2))[..., None, :], pooled.shape)
    for _ in range(2):
        base = base * _leaning(happened.sum(-1) @ near, (pooled * base).sum(-1) @ near, PRIOR_AGE)[..., None]
        base = base * _leaning(happened.sum(-2), (pooled * base).sum(-2), 1.0)[..., None, :]
    base = base * _leaning(happened, pooled * base, PRIOR_CELL)
    hazard = base[..., None, :, :]
    level = _leaning(turned.sum((-1, -2)) / repeats, (exposed * hazard).sum((-1, -2)) / repeats, PRIOR_LEVEL)
    hazard = hazard * level[..., None, None]
    by_days = [part.sum(-2) @ near / repeats for part in (turned, exposed * hazard)]
    hazard = hazard * _leaning(*by_days, PRIOR_SHAPE)[..., None, :]
    by_age = [part.sum(-1) @ near for part in (turned, exposed * hazard)]
    hazard = hazard * _leaning(*by_age, PRIOR_CHANNEL_AGE)[..., None]
    hazard = np.minimum(hazard * _leaning(turned, exposed * hazard, PRIOR_CELL) * at_end, 1.0)
    return 1 - np.prod(1 - hazard, axis=-1), hazard


def _leaning(counted: np.ndarray, expected: np.ndarray, prior: float) -> np.ndarray:
    return (counted + prior) / (expected + prior)


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below != 0)
