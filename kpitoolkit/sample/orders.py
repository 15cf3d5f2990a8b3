"""The sample company's customers, orders, returns and touchpoints: drawn so that each day's orders make its revenue."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.sample.spec import (
    EVENTS_FROM,
    FIRST_DAY,
    FIRST_MONDAY,
    LAST_DAY,
    ORDERS_FROM,
    generator,
    half_even,
    spread,
)

HOURS = np.array([1, 0.5, 0.3, 0.2, 0.3, 0.6, 1.5, 3, 4, 5, 6, 6, 6, 5, 5, 5, 6, 7, 8, 9, 10, 9, 6, 3])
CHANNELS = ("search", "social", "display", "affiliates", "email", "direct")
# Odds of a channel at a journey's last touchpoint and before it, for newcomers and for customers who come back.
LAST_TOUCH = {True: (0.36, 0.16, 0.08, 0.16, 0.03, 0.21), False: (0.22, 0.09, 0.06, 0.09, 0.26, 0.28)}
EARLIER_TOUCH = {True: (0.25, 0.31, 0.22, 0.09, 0.02, 0.11), False: (0.18, 0.17, 0.15, 0.07, 0.25, 0.18)}


@dataclass(frozen=True, eq=False)
class Trade:
    """What one unit's shop recorded; ``net_cents`` is gross less VAT, shipping and discount."""

    orders: pd.DataFrame
    customers: pd.DataFrame
    returns: pd.DataFrame
    touchpoints: pd.DataFrame


def build(unit, weeks, seed, scale):
    """Orders whose paid net sums to each day's revenue, and what goes with them."""
    rng = generator(seed, unit, "orders")
    orders = _orders(unit, weeks, rng, scale)
    customers, orders = _customers(unit, orders, generator(seed, unit, "customers"), scale)
    returns = _returns(unit, orders, generator(seed, unit, "returns"))
    touchpoints = _touchpoints(unit, orders, len(customers), generator(seed, unit, "touchpoints"))
    return Trade(orders, customers, returns, touchpoints)


def identifiers(prefix, numbers, width=7):
    """Text ids of one length, so that their order as text is their order as numbers."""
    return np.char.add(prefix, np.char.zfill(np.asarray(numbers).astype(str), width))


def _orders(unit, weeks, rng, scale):
    first, last = ((day - FIRST_MONDAY).astype(int) for day in (ORDERS_FROM, LAST_DAY))
    revenue = weeks.day_revenue[first : last + 1]
    if weeks.day_orders is not None:
        count = weeks.day_orders[first : last + 1]
    else:
        count = np.maximum(rng.poisson(revenue / unit.order_value_cents), 1)
    cancelled = rng.poisson(0.035 * count)
    day = np.concatenate([np.repeat(np.arange(len(count)), count), np.repeat(np.arange(len(count)), cancelled)])
    paid = np.arange(len(day)) < count.sum()
    size = np.exp(rng.normal(0, 0.55, len(day)))
    net = np.rint(size * revenue.sum() / count.sum() * 0.86).astype(np.int64) + 100
    net[paid] = spread(revenue, day[paid], size[paid])
    second = rng.choice(24, len(day), p=HOURS / HOURS.sum()) * 3600 + rng.integers(0, 3600, len(day))
    if unit.orders_a_week:
        second = 8 * 3600 + second // 3
    order = np.lexsort((second, day))
    day, paid, net, second = day[order], paid[order], net[order], second[order]
    rows = len(day)
    discount = np.where(rng.random(rows) < 0.22, half_even(net * rng.integers(5, 26, rows), 100), 0)
    shipping = np.where(net < 5 * unit.order_value_cents // 4, 490, 0) if not unit.orders_a_week else 18_000
    shipping = np.where(rng.random(rows) < 0.75, shipping, 0).astype(np.int64)
    vat_percent = np.where(rng.random(rows) < 0.25, 0, unit.vat_percent) if unit.orders_a_week else unit.vat_percent
    vat = half_even((net + shipping) * vat_percent, 100)
    marketplace = rng.random(rows) < unit.marketplace_share
    supplier = np.where(marketplace, half_even(net * rng.integers(80, 87, rows), 100), 0)
    cost_percent = np.where(marketplace, 1.5, 100 * unit.cost_share * np.exp(rng.normal(0, 0.06, rows)))
    recognised = day + rng.integers(*unit.recognition_days, rows)
    orders = pd.DataFrame(
        {
            "day": ORDERS_FROM + day,
            "time": ((ORDERS_FROM + day).astype("datetime64[s]") + second),
            "gross_cents": net + vat + shipping + discount,
            "vat_cents": vat,
            "shipping_cents": shipping,
            "discount_cents": discount,
            "supplier_share_cents": supplier,
            "cost_cents": np.rint(net * cost_percent / 100).astype(np.int64),
            "net_cents": net,
            "paid": paid,
            "recognised": np.where(paid, ORDERS_FROM + recognised, np.datetime64("NaT")),
            "marketplace": marketplace,
        }
    )
    orders.insert(0, "order_id", identifiers(f"{unit.prefix}-", np.arange(1, rows + 1)))
    orders.insert(1, "unit", unit.key)
    return orders


def _customers(unit, orders, rng, scale):
    """Give each order a customer: new ones join, earlier ones come back while they remember."""
    if unit.orders_a_week:
        earlier = max(12, round(60 * scale))
        first = rng.integers(0, 280, earlier)
    else:
        joined = unit.new_share * unit.weekly_revenue_cents * scale / unit.order_value_cents
        earlier = max(50, round(joined * 287 * 0.65))
        first = np.floor(286 * rng.beta(1.5, 1.0, earlier)).astype(np.int64)
    first_day = np.sort(np.maximum(FIRST_MONDAY + 7 * first + rng.integers(0, 7, earlier), FIRST_DAY))
    first_day = np.minimum(first_day, ORDERS_FROM - 1)
    day = orders["day"].to_numpy().astype("datetime64[D]")
    week = (day - FIRST_MONDAY).astype(np.int64) // 7
    new = (rng.random(len(orders)) < unit.new_share) & orders["paid"].to_numpy()
    joins = np.flatnonzero(new)
    first_day = np.concatenate([first_day, day[joins]])
    since = (first_day - FIRST_MONDAY).astype(np.int64) // 7
    liking = rng.gamma(0.9, 1.0, len(first_day)) + 0.02
    customer = np.empty(len(orders), dtype=np.int64)
    customer[joins] = earlier + np.arange(len(joins))
    draw = rng.random(len(orders))
    for now in np.unique(week):
        known = np.searchsorted(since, now)  # those who joined before this week
        odds = np.cumsum(liking[:known] * np.exp((since[:known] - now) / unit.memory_weeks))
        slots = np.flatnonzero((week == now) & ~new)
        customer[slots] = np.searchsorted(odds, draw[slots] * odds[-1])
    orders = orders.assign(customer=customer, new=new)
    orders.insert(2, "customer_id", identifiers(f"{unit.prefix}C", customer))
    customers = pd.DataFrame(
        {
            "customer_id": identifiers(f"{unit.prefix}C", np.arange(len(first_day))),
            "unit": unit.key,
            "first_order_day": first_day,
        }
    )
    return customers, orders


def _returns(unit, orders, rng):
    """Goods sent back 5 to 45 days after the order, two in three of them whole; marketplace sellers take theirs."""
    rows = len(orders)
    chosen = (rng.random(rows) < unit.returns_share * 1.15) & (orders["paid"] & ~orders["marketplace"]).to_numpy()
    percent = np.where(rng.random(rows) < 0.65, 100, rng.integers(20, 80, rows))
    day = orders["day"].to_numpy().astype("datetime64[D]") + 4 + np.minimum(rng.geometric(0.09, rows), 41)
    amount = half_even(orders["net_cents"].to_numpy() * percent, 100)
    chosen &= (day <= LAST_DAY) & (amount > 0)
    at = np.flatnonzero(chosen)
    at = at[np.lexsort((at, day[at]))]
    return pd.DataFrame(
        {
            "return_id": identifiers(f"{unit.prefix}R", np.arange(1, len(at) + 1), 6),
            "unit": unit.key,
            "order_id": orders["order_id"].to_numpy()[at],
            "day": day[at],
            "amount_cents": amount[at],
            "cost_cents": half_even(orders["cost_cents"].to_numpy()[at] * percent[at], 100),
        }
    )


def _touchpoints(unit, orders, customers, rng):
    """Contacts before orders, those of visitors who never buy, and letters to customers; b2b takes its time."""
    slow = 4.0 if unit.orders_a_week else 1.0
    bought = orders["time"].to_numpy().astype("datetime64[s]").astype(np.int64)
    reached = np.flatnonzero(rng.random(len(orders)) >= 0.08)
    length = np.minimum(rng.geometric(0.38 / slow**0.4, len(reached)), 14)
    journey = np.repeat(np.arange(len(reached)), length)
    closing = np.r_[True, journey[1:] != journey[:-1]]  # counted back from the order
    gap = np.where(
        closing,
        60 + np.exp(rng.normal(np.log(9000 * slow), 1.3, len(journey))),
        600 + np.exp(rng.normal(np.log(190_000 * slow), 1.2, len(journey))),
    )
    lag = _running(gap, closing)
    same_moment = ~closing & (rng.random(len(journey)) < 0.006)
    lag[same_moment] = lag[np.flatnonzero(same_moment) - 1]
    user = orders["customer"].to_numpy()[reached][journey]
    time = bought[reached][journey] - np.rint(lag).astype(np.int64)
    channel = _channels(rng, closing, orders["new"].to_numpy()[reached][journey])
    visitors = round(1.4 * len(orders)) if not unit.orders_a_week else 25 * len(orders)
    lengths = np.minimum(rng.geometric(0.55, visitors), 12)
    visit = np.repeat(np.arange(visitors), lengths)
    opening = np.r_[True, visit[1:] != visit[:-1]]
    begin, end = (day.astype("datetime64[s]").astype(np.int64) for day in (EVENTS_FROM, LAST_DAY + 1))
    start = rng.integers(begin - 20 * 86_400, end, visitors)
    steps = np.where(opening, 0, 600 + np.exp(rng.normal(np.log(170_000 * slow), 1.2, len(visit))))
    visit_time = start[visit] + np.rint(_running(steps, opening)).astype(np.int64)
    letters = round(0.12 * len(orders))
    user = np.concatenate([user, customers + visit, rng.integers(0, customers, letters)])
    time = np.concatenate([time, visit_time, rng.integers(begin, end, letters)])
    channel = np.concatenate(
        [channel, _channels(rng, opening & (lengths[visit] == 1), True), np.full(letters, CHANNELS.index("email"))]
    )
    keep = (time >= begin) & (time < end)
    if unit.orders_a_week:
        keep &= channel != CHANNELS.index("affiliates")
    order = np.lexsort((channel, user, time))
    order = order[keep[order]]
    user, time, channel = user[order], time[order], channel[order]
    campaign = np.full(len(time), -1)
    names = []
    for bought_channel in unit.channels:
        if bought_channel.name in CHANNELS:
            mine = np.flatnonzero(channel == CHANNELS.index(bought_channel.name))
            campaign[mine] = len(names) + rng.integers(0, len(bought_channel.campaigns), len(mine))
            names += bought_channel.campaigns
    frame = pd.DataFrame({"user": user, "time": time.astype("datetime64[s]"), "channel": channel, "campaign": campaign})
    frame.attrs["campaigns"] = tuple(names)
    frame.attrs["prefix"] = f"{unit.prefix}C"
    return frame.assign(unit=unit.key)


def _running(values, starts):
    """Cumulative sums that begin anew at each start."""
    total = np.cumsum(values)
    first = np.flatnonzero(starts)
    before = np.repeat(total[first] - values[first], np.diff(np.r_[first, len(values)]))
    return total - before


def _channels(rng, last, new):
    codes = np.empty(len(last), dtype=np.int64)
    draw = rng.random(len(last))
    new = np.broadcast_to(np.asarray(new, dtype=bool), len(last))
    for is_last, table in ((True, LAST_TOUCH), (False, EARLIER_TOUCH)):
        for is_new, odds in table.items():
            mine = (last == is_last) & (new == is_new)
            edges = np.cumsum(odds) / np.sum(odds)
            codes[mine] = np.minimum(np.searchsorted(edges, draw[mine], side="right"), len(CHANNELS) - 1)
    return codes
