"""The sample company's weeks: media plans, spend by day and campaign, controls, true response and daily revenue."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.sample.spec import (
    ADSTOCK_WEEKS,
    FIRST_DAY,
    FIRST_MONDAY,
    FULL_WEEKS,
    LAST_DAY,
    RATES,
    WEEKS,
    WINDOW_WEEKS,
    generator,
    half_even,
    in_foreign_currency,
    in_unit_currency,
    quarter_index,
    spread,
    week_end,
)

DAY_WEIGHTS = np.array([0.95, 0.90, 0.92, 0.98, 1.10, 1.20, 0.95])
COST_PER_THOUSAND_CENTS = {"search": 1800, "social": 700, "display": 300, "tv": 1200, "affiliates": 900}
CLICK_RATE = {"search": 0.045, "social": 0.011, "display": 0.004, "tv": 0.0, "affiliates": 0.03}


@dataclass(frozen=True, eq=False)
class Weeks:
    """All that is weekly or daily in one unit, in cents of its currency."""

    spend: pd.DataFrame  # rows of ad_spend, with net_cents and vat_cents
    controls: pd.DataFrame
    response: pd.DataFrame
    baseline: pd.DataFrame
    day_revenue: np.ndarray  # by day since FIRST_MONDAY
    day_orders: np.ndarray | None  # b2b: how many orders made it


def build(unit, seed, scale):
    """Spend, controls, response and revenue of one unit over seven years."""
    spend = _spend(unit, generator(seed, unit, "spend"), scale)
    controls = _controls(generator(seed, unit, "controls"))
    week = (spend["day"].to_numpy().astype("datetime64[D]") - FIRST_MONDAY).astype(np.int64) // 7
    contributions, rows = {}, []
    for channel in unit.channels:
        mine = (spend["platform"] == channel.name).to_numpy()
        weekly = np.bincount(week[mine], spend["net_cents"].to_numpy()[mine], minlength=WEEKS)
        mean_active = weekly[WINDOW_WEEKS][weekly[WINDOW_WEEKS] > 0].mean()
        pressure = adstock(weekly / mean_active, channel.carryover)
        curve = pressure / (pressure + channel.half_saturation)
        spent = weekly[WINDOW_WEEKS].sum()
        contributions[channel.name] = channel.iroas * spent * curve / curve[WINDOW_WEEKS].sum()
        rows.append(
            {
                "unit": unit.key,
                "channel": channel.name,
                "iroas": channel.iroas,
                "carryover": channel.carryover,
                "half_saturation": channel.half_saturation,
                "slope": 1.0,
                "mean_active_spend_cents": round(mean_active),
                "spend_cents": int(spent),
            }
        )
    total = sum(contributions.values())
    base = _baseline(unit, controls, unit.weekly_revenue_cents * scale - total[WINDOW_WEEKS].mean())
    signal = base + total
    # The first stream of chance that, at the default seed, carries no channel's estimate under the true curves beyond
    # two standard errors: a company to illustrate with. How often intervals hold the truth, other seeds must show.
    rng = generator(seed, unit, "revenue 1")
    if unit.orders_a_week:
        weekly, day_revenue, day_orders = _lumpy(signal, unit.orders_a_week * max(scale, 1.0), rng)
    else:
        weekly, day_revenue, day_orders = *_steady(unit, signal, rng, unit.weekly_revenue_cents * scale), None
    baseline = pd.DataFrame({"unit": unit.key, "week_end": week_end(np.arange(WEEKS))})
    baseline["baseline_cents"] = np.rint(base).astype(np.int64)
    for name, values in contributions.items():
        baseline[f"{name}_cents"] = np.rint(values).astype(np.int64)
    known = baseline.iloc[:, 2:].sum(axis=1)
    baseline["noise_cents"] = weekly - known
    baseline["revenue_cents"] = weekly
    for row in rows:
        row["contribution_cents"] = int(baseline[f"{row['channel']}_cents"].iloc[WINDOW_WEEKS].sum())
    return Weeks(
        spend,
        controls.iloc[0:365].assign(unit=unit.key),
        pd.DataFrame(rows),
        baseline.iloc[FULL_WEEKS].reset_index(drop=True),
        day_revenue,
        day_orders,
    )


def adstock(spend, carryover):
    """Normalised geometric adstock over 13 weeks: sum of carryover^l x spend(t-l), over sum of carryover^l."""
    weights = carryover ** np.arange(ADSTOCK_WEEKS)
    return np.convolve(spend, weights / weights.sum())[: len(spend)]


def _plan(pattern, rng):
    """Relative weekly pressure, independent of demand but for a light season: what makes effects separable."""
    level = np.zeros(WEEKS)
    at = 0
    while at < WEEKS:
        if pattern == "steps":
            on, off, size = rng.integers(2, 6), 0, np.exp(rng.normal(0, 0.50))
        elif pattern == "flights":
            on, off, size = rng.integers(2, 6), rng.integers(1, 5), np.exp(rng.normal(0, 0.35))
        elif pattern == "bursts":
            on, off, size = rng.integers(3, 6), rng.integers(4, 8), np.exp(rng.normal(0, 0.25))
        else:
            on, off, size = rng.integers(1, 5), 0, 0.5 if rng.random() < 0.6 else rng.uniform(1.5, 3.0)
        level[at : at + on] = size
        at += on + off
    season = 1 + 0.12 * np.cos(2 * np.pi * (np.arange(WEEKS) - 8) / 52.18)
    level *= season * np.exp(rng.normal(0, 0.12, WEEKS))
    return level / level[WINDOW_WEEKS].mean()


def _spend(unit, rng, scale):
    frames = []
    growth = np.clip(1 + unit.trend * (np.arange(WEEKS) - 287) / 52.18, 0.5, None)
    day = np.arange(7)
    for channel in unit.channels:
        weekly = _plan(channel.pattern, rng) * growth * channel.spend_share * unit.weekly_revenue_cents * scale
        campaigns = len(channel.campaigns)
        shares = rng.dirichlet(np.full(campaigns, 6.0), WEEKS // 13 + 1)[np.arange(WEEKS) // 13]
        weights = shares[:, None, :] * (DAY_WEIGHTS * np.exp(rng.normal(0, 0.1, (WEEKS, 7))))[:, :, None]
        week = np.repeat(np.arange(WEEKS), 7 * campaigns)
        net = spread(np.rint(weekly).astype(np.int64), week, weights.ravel())
        frame = pd.DataFrame(
            {
                "day": FIRST_MONDAY + np.repeat(7 * np.arange(WEEKS)[:, None] + day, campaigns),
                "platform": channel.name,
                "campaign": np.tile(np.array(channel.campaigns, dtype=object), 7 * WEEKS),
                "net_cents": net,
            }
        )
        frame = frame[(net > 0) & (frame["day"] >= FIRST_DAY) & (frame["day"] <= LAST_DAY)]
        frames.append(_reported(frame.reset_index(drop=True), unit, channel, rng))
    spend = pd.concat(frames, ignore_index=True).assign(unit=unit.key)
    return spend.sort_values(["day", "platform", "campaign"], ignore_index=True, kind="stable")


def _reported(frame, unit, channel, rng):
    """What the platform reports of a net spend: its own currency, VAT inside, impressions and clicks."""
    net = frame["net_cents"].to_numpy()
    currency = channel.currency or unit.currency
    quarter = quarter_index(frame["day"].to_numpy().astype("datetime64[D]"))
    if channel.currency:
        rates = RATES[currency][quarter], RATES[unit.currency][quarter]
        face = in_foreign_currency(net, *rates)
        net = in_unit_currency(face, *rates)
    else:
        face = half_even(net * (100 + channel.vat_rate_percent), 100)
    impressions = np.rint(net / COST_PER_THOUSAND_CENTS[channel.name] * 1000 * np.exp(rng.normal(0, 0.1, len(net))))
    clicks = rng.poisson(impressions * CLICK_RATE[channel.name]) if channel.name != "tv" else -1
    converted = net + (face - net if channel.vat_rate_percent else 0)
    return frame.assign(
        net_cents=net,
        spend_cents=face,
        vat_cents=converted - net,
        currency_cents=converted - face,
        currency=currency,
        impressions=impressions.astype(np.int64),
        clicks=clicks,
    )


def _controls(rng):
    price = np.zeros(WEEKS)
    shocks = rng.normal(0, 1.1, WEEKS)
    for t in range(1, WEEKS):
        price[t] = 0.85 * price[t - 1] + shocks[t]
    month_day = week_end(np.arange(WEEKS)).astype("datetime64[D]").astype(str)
    sales_season = np.array([day[5:7] in ("01", "07", "11") for day in month_day])
    holiday = np.zeros(WEEKS, dtype=np.int64)
    for mark, days in (("12-25", 2), ("01-01", 1), ("05-01", 1), ("08-15", 1)):
        for year in range(2019, 2027):
            week = (np.datetime64(f"{year}-{mark}") - FIRST_MONDAY).astype(int) // 7
            if 0 <= week < WEEKS:
                holiday[week] += days
    promoted = (rng.random(WEEKS) < 0.22) | (sales_season & (rng.random(WEEKS) < 0.5))
    return pd.DataFrame(
        {
            "week_end": week_end(np.arange(WEEKS)),
            "price_index": np.round(100 + price, 1),
            "promotion_days": np.where(promoted, rng.integers(1, 8, WEEKS), 0),
            "holiday_days": holiday,
        }
    )


def _baseline(unit, controls, mean):
    weeks = np.arange(WEEKS)
    angle = 2 * np.pi * ((week_end(weeks) - np.datetime64("2019-01-01")).astype(np.int64)) / 365.25
    cos1, sin1, cos2, sin2 = unit.season
    shape = 1 + unit.trend * (weeks - 287) / 52.18
    shape += cos1 * np.cos(angle) + sin1 * np.sin(angle) + cos2 * np.cos(2 * angle) + sin2 * np.sin(2 * angle)
    shape += unit.price_effect * (controls["price_index"].to_numpy() - 100)
    shape += unit.promotion_effect * (controls["promotion_days"].to_numpy() - 1.0)
    shape += unit.holiday_effect * controls["holiday_days"].to_numpy()
    return mean * shape


def _steady(unit, signal, rng, mean):
    """Weekly revenue with AR(1) noise, and its days."""
    shocks = rng.normal(0, unit.noise * mean * np.sqrt(1 - unit.autocorrelation**2), WEEKS)
    noise = np.zeros(WEEKS)
    noise[0] = shocks[0]
    for t in range(1, WEEKS):
        noise[t] = unit.autocorrelation * noise[t - 1] + shocks[t]
    weekly = np.rint(signal + noise).astype(np.int64)
    weights = DAY_WEIGHTS * np.exp(rng.normal(0, 0.08, (WEEKS, 7)))
    return weekly, spread(weekly, np.repeat(np.arange(WEEKS), 7), weights.ravel())


def _lumpy(signal, orders_a_week, rng):
    """Weekly revenue of a few orders whose number and size are chance: nothing in some weeks, plenty in others."""
    count = rng.poisson(orders_a_week, WEEKS)
    week = np.repeat(np.arange(WEEKS), count)
    size = np.exp(rng.normal(-0.18, 0.6, len(week)))
    weekly = np.bincount(week, size, minlength=WEEKS) / orders_a_week * signal
    weekly = np.rint(weekly).astype(np.int64)
    cents = spread(weekly, week, size)
    day = 7 * week + rng.integers(0, 5, len(week))
    day_revenue = np.bincount(day, cents, minlength=7 * WEEKS).astype(np.int64)
    return weekly, day_revenue, np.bincount(day, minlength=7 * WEEKS)
