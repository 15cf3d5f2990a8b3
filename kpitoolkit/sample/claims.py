"""What the platforms of the sample company claim, each row planted with its cause."""

import numpy as np
import pandas as pd

from kpitoolkit.sample.orders import identifiers
from kpitoolkit.sample.spec import (
    BRIDGED,
    EVENTS_FROM,
    LAST_DAY,
    QUARTERS,
    RATES,
    generator,
    in_foreign_currency,
    in_unit_currency,
    quarter_end,
    quarter_index,
)

DAY = 86_400
# Planted lags stay days away from the look-back of 30 days, and rival claims of one order share its conversion time:
# which claim is eligible, and which is the shortest, does not hang on a convention.
INSIDE_DAYS, OUTSIDE_DAYS = 27, 33
LOYAL = {"search": 0.42, "social": 0.28, "display": 0.14, "affiliates": 0.16}
CLAIM_COLUMNS = ["claim_id", "unit", "platform", "order_id", "touch_time", "conversion_time", "kind", "value_cents"]


def build(unit, orders, other_orders, seed):
    """Claims of one unit over the bridged quarters.

    Parameters
    ----------
    unit : Unit
    orders : DataFrame
        Of the unit.
    other_orders : array of str
        Order ids of another shop.
    seed : int

    Returns
    -------
    DataFrame
        Rows of ``platform_claims`` with ``cause``, ``currency_cents`` (of the conversion), ``cause_cents`` and
        ``mismatch_cents``, ``order`` (position in orders, -1 for none) and ``quarter`` (position in QUARTERS).
    """
    rng = generator(seed, unit, "claims")
    claims = _planted(unit, orders, other_orders, rng)
    claims = _valued(claims, unit, orders, rng)
    claims = claims.sort_values(["conversion", "draw"], kind="stable", ignore_index=True)
    claims.insert(0, "claim_id", identifiers(f"{unit.prefix}K", np.arange(1, len(claims) + 1), 6))
    claims.insert(1, "unit", unit.key)
    claims["touch_time"] = claims["touch"].to_numpy().astype("datetime64[s]")
    claims["conversion_time"] = claims["conversion"].to_numpy().astype("datetime64[s]")
    claims.loc[claims["touch"] < 0, "touch_time"] = pd.NaT
    known = claims["order"].to_numpy() >= 0
    ids = orders["order_id"].to_numpy()
    claims["order_id"] = np.where(known, ids[claims["order"].to_numpy()], claims["foreign_id"])
    truth = ["currency", "cause", "currency_cents", "cause_cents", "mismatch_cents", "order", "quarter"]
    return claims[CLAIM_COLUMNS + truth]


def _planted(unit, orders, other_orders, rng):
    names = np.array([channel.name for channel in unit.channels if channel.name in LOYAL], dtype=object)
    odds = np.array([LOYAL[name] for name in names])
    odds /= odds.sum()
    day = orders["day"].to_numpy().astype("datetime64[D]")
    placed = orders["time"].to_numpy().astype("datetime64[s]").astype(np.int64)
    quarter = quarter_index(day)
    rows = len(orders)
    recent = day >= EVENTS_FROM
    draw = rng.random(rows)
    ends_soon = (quarter_end(quarter) - day).astype(np.int64) < 12
    late = (day >= EVENTS_FROM - 12) & ends_soon & (quarter < len(QUARTERS) - 1) & (draw > 0.88)
    credited = recent & (draw < 0.46)
    viewed = recent & (draw >= 0.46) & (draw < 0.51)
    stale = recent & (draw >= 0.51) & (draw < 0.54)
    conversion = np.minimum(placed + rng.integers(0, 90, rows), (day + 1).astype("datetime64[s]").astype(np.int64) - 1)
    platform = rng.choice(len(names), rows, p=odds)
    rival = (platform + rng.integers(1, len(names), rows)) % len(names)
    lag = np.rint(3600 + np.minimum(rng.exponential(5 * DAY, rows), 22 * DAY)).astype(np.int64)
    parts = []

    def plant(at, cause, who, lags, kind="click", when=conversion, draw=None):
        parts.append(
            pd.DataFrame(
                {
                    "platform": names[who[at]],
                    "order": at,
                    "touch": when[at] - lags[at],
                    "conversion": when[at],
                    "kind": kind,
                    "cause": cause,
                    "draw": rng.random(len(at)) if draw is None else draw,
                    "foreign_id": None,
                }
            )
        )

    at = np.flatnonzero(credited)
    first_draw = rng.random(rows)
    plant(at, "matched", platform, lag, draw=first_draw[at])
    longer = np.minimum(lag + rng.integers(1800, 4 * DAY, rows), INSIDE_DAYS * DAY)
    longer2 = np.minimum(lag + rng.integers(1800, 4 * DAY, rows), INSIDE_DAYS * DAY)
    shorter = np.maximum(lag // 2, 600)
    outside = OUTSIDE_DAYS * DAY + rng.integers(0, 40 * DAY, rows)
    some = rng.random((6, rows))
    again = credited & (some[0] < 0.09)
    tied = again & (some[1] < 0.05)  # the same click reported twice: the lower claim id keeps it
    plant(np.flatnonzero(again & ~tied), "duplicate_within_platform", platform, longer)
    at = np.flatnonzero(tied)
    plant(at, "duplicate_within_platform", platform, lag, draw=first_draw[at] + 1)
    shared = credited & (some[2] < 0.17)
    in_order = np.array(names)[platform] < np.array(names)[rival]
    level = shared & in_order & (some[1] > 0.97)  # an exact tie between platforms: the first by name keeps it
    plant(np.flatnonzero(shared & ~level), "duplicate_across_platforms", rival, longer2)
    plant(np.flatnonzero(level), "duplicate_across_platforms", rival, lag)
    plant(np.flatnonzero(credited & (some[3] < 0.08)), "view_through", rival, shorter, kind="view")
    plant(np.flatnonzero(credited & (some[4] < 0.03)), "outside_lookback", rival, outside)
    plant(np.flatnonzero(viewed), "view_through", platform, lag, kind="view")
    plant(np.flatnonzero(viewed & (some[5] < 0.10)), "outside_lookback", rival, outside, kind="view")
    plant(np.flatnonzero(stale), "outside_lookback", platform, outside)
    next_day = (quarter_end(quarter) + 1).astype("datetime64[s]").astype(np.int64)
    reported = next_day + rng.integers(3600, 9 * DAY, rows)
    plant(np.flatnonzero(late), "other_period", platform, reported - placed + np.minimum(lag, 4 * DAY), when=reported)
    parts.append(_unmatched(names, odds, round(0.055 * recent.sum()) + 5, other_orders, rng))
    return pd.concat(parts, ignore_index=True)


def _unmatched(names, odds, count, other_orders, rng):
    """Claims without an order of this shop: no id, another shop's id, an id that nobody knows."""
    begin, end = (day.astype("datetime64[s]").astype(np.int64) for day in (EVENTS_FROM, LAST_DAY + 1))
    when = rng.integers(begin, end, count)
    luck = rng.random(count)
    lag = rng.integers(3600, 45 * DAY, count)
    foreign = rng.choice(other_orders, count).astype(object)
    unknown = identifiers("XX-", rng.integers(1, 10**7, count)).astype(object)
    return pd.DataFrame(
        {
            "platform": names[rng.choice(len(names), count, p=odds)],
            "order": -1,
            "touch": np.where(luck < 0.2, -1, when - lag),
            "conversion": when,
            "kind": np.where(rng.random(count) < 0.15, "view", "click"),
            "cause": "no_matching_order",
            "draw": rng.random(count),
            "foreign_id": np.where(luck < 0.7, None, np.where(luck < 0.9, foreign, unknown)),
        }
    )


def _valued(claims, unit, orders, rng):
    """What each claim says it is worth, in the platform's currency, and what that makes of its gap."""
    order = claims["order"].to_numpy()
    gross = orders["gross_cents"].to_numpy()
    guess = np.rint(unit.order_value_cents * np.exp(rng.normal(0, 0.5, len(claims)))).astype(np.int64)
    value = np.where(order >= 0, gross[order], guess)
    luck = rng.random(len(claims))
    for low, high, left_out in ((0, 0.05, "vat_cents"), (0.05, 0.11, "discount_cents"), (0.11, 0.13, "shipping_cents")):
        short = (luck >= low) & (luck < high) & (order >= 0)
        value = value - np.where(short, orders[left_out].to_numpy()[order], 0)
    day = claims["conversion"].to_numpy().astype("datetime64[s]").astype("datetime64[D]")
    quarter = quarter_index(day)
    currency = np.full(len(claims), unit.currency, dtype=object)
    face, converted = value.copy(), value.copy()
    for channel in unit.channels:
        if channel.currency:
            at = np.flatnonzero(claims["platform"] == channel.name)
            rates = RATES[channel.currency][quarter[at]], RATES[unit.currency][quarter[at]]
            currency[at] = channel.currency
            face[at] = in_foreign_currency(value[at], *rates)
            converted[at] = in_unit_currency(face[at], *rates)
    matched = (claims["cause"] == "matched").to_numpy()
    return claims.assign(
        value_cents=face,
        currency=currency,
        currency_cents=converted - face,
        cause_cents=np.where(matched, 0, -converted),
        mismatch_cents=np.where(matched, gross[order] - converted, 0),
        quarter=quarter,
    )


def totals(unit, claims, orders):
    """The bridge from claimed to gross orders, summed from the planted rows: unit, quarter, step, amount_cents."""
    order_quarter = quarter_index(orders["day"].to_numpy().astype("datetime64[D]"))
    rows = []
    for name in BRIDGED:
        quarter = QUARTERS.index(name)
        mine = claims[claims["quarter"] == quarter]
        by_cause = mine.groupby("cause")["cause_cents"].sum()
        matched = mine.loc[mine["cause"] == "matched", "order"].to_numpy()
        gross = orders["gross_cents"].to_numpy()
        matched_gross, all_gross = gross[matched].sum(), gross[order_quarter == quarter].sum()
        steps = {"claimed": mine["value_cents"].sum(), "currency": mine["currency_cents"].sum()}
        for cause in (
            "no_matching_order",
            "outside_lookback",
            "view_through",
            "duplicate_within_platform",
            "duplicate_across_platforms",
            "other_period",
        ):
            steps[cause] = by_cause.get(cause, 0)
        steps["value_mismatch"] = mine["mismatch_cents"].sum()
        steps |= {"matched_gross": matched_gross, "unclaimed": all_gross - matched_gross, "gross_orders": all_gross}
        rows += [(unit.key, name, step, int(cents)) for step, cents in steps.items()]
    return rows
