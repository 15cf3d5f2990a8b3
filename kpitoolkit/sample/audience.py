"""What the sample company's marketing and people departments count: sessions, weekly series and surveys.

Some of it truly moves with the company's figures, most of it does not: ``evidence`` says which. Sessions of prospects
carry the surprise in the coming week's sales, which were drawn before and stay as they are: they foretell, they do not
cause. The share of search carries the noise in the sales of two weeks before; staff that is engaged makes customers who
recommend, a quarter later; a brand that is known brings prospects, a quarter later. Everything else has a trend, a
season and chance of its own.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.sample.spec import QUARTERS, UNITS, generator, quarter_end, quarter_index, week_end

SERIES_WEEKS = 365  # from the first week to 2026-09-27, as in controls
WEEK_ENDS = week_end(np.arange(SERIES_WEEKS))
THIS_YEAR, LAST_YEAR = QUARTERS.index("2026Q3"), QUARTERS.index("2025Q3")
SESSION_NOISE = 0.08  # standard deviation of the log of a week's sessions
BRAND_PULL = 0.035  # log of a quarter's prospect sessions, a standard deviation of the quarter before's awareness
# Streams of chance chosen at the default seed, as that of revenue is: the first in which no series without a tie leads
# sales by two standard errors, and the first in which no unit's sales lead its prospects by as much. A company to
# illustrate with: how often chance alone proves something, other seeds must show.
SERIES_STREAM, SESSIONS_STREAM = "series 15", "sessions 1"
ECHO = 0.6  # correlation of the share of search with the noise in sales of two weeks before


@dataclass(frozen=True)
class Audience:
    """Of one unit: who visits, and who is asked."""

    conversion: float  # paid orders a session, without bots and with consent, in 2025Q3
    rise: float  # of conversion in a year
    prospect_share: float  # of these sessions
    lead: float  # correlation of a week's prospects with the surprise in the coming week's sales
    echo: float
    nps: float
    asked: tuple  # customers, public and staff invited to a wave


# Conversion rises in every unit. It falls in the group, whose sessions move to where fewest of them end in an order.
# With other seeds, orders grow otherwise: conversion still rises in every unit, and may do so in the group.
AUDIENCES = {
    "retail-it": Audience(0.0360, 0.020, 0.62, 0.55, ECHO, 34, (1900, 1500, 56)),
    "online-eu": Audience(0.0080, 0.008, 0.71, 0.55, ECHO, 22, (2400, 1800, 36)),
    "b2b": Audience(0.0006, 0.030, 0.80, 0.0, 0.0, 41, (70, 160, 42)),
    "retail-uk": Audience(0.0320, 0.020, 0.64, 0.45, ECHO, 29, (1500, 1300, 40)),
}
# Series that nothing ties to sales: level at scale 1 in retail-it, growth a year, season, noise, decimals.
NULLS = {
    "followers": (84_000, 0.11, 0.01, 0.012, 0),
    "likes": (5_200, 0.06, 0.09, 0.16, 0),
    "video_views": (31_000, 0.14, 0.07, 0.22, 0),
    "newsletter_opens": (9_400, -0.02, 0.06, 0.10, 0),
    "app_rating": (4.3, 0.004, 0.004, 0.011, 2),
    "reach": (210_000, 0.08, 0.10, 0.15, 0),
    "podcast_downloads": (2_600, 0.20, 0.05, 0.18, 0),
    "hashtag_mentions": (760, 0.03, 0.08, 0.24, 0),
}
UNIT_SIZE = {"retail-it": 1.0, "online-eu": 1.4, "b2b": 0.15, "retail-uk": 0.7}
FEW_ANSWERS = ("2022Q2", "2026Q2")  # b2b's waves that hardly anybody answered


def build(unit, weeks, trade, seed, scale):
    """Rows of `web_sessions`, `kpi_series` and `surveys` of one unit.

    Parameters
    ----------
    unit : Unit
    weeks : Weeks
        Of the unit: the noise in its weekly sales.
    trade : Trade
        Of the unit: its paid orders set the level of sessions.
    seed : int
    scale : float

    Returns
    -------
    tuple of DataFrame
        Sessions, series, surveys, and the truth of conversion by quarter.
    """
    brand = generator(seed, unit, "brand").normal(size=len(QUARTERS))
    sessions, conversion = _sessions(unit, weeks, trade, brand, generator(seed, unit, SESSIONS_STREAM))
    series = _series(unit, weeks, generator(seed, unit, SERIES_STREAM), scale)
    return sessions, series, _surveys(unit, brand, generator(seed, unit, "surveys")), conversion


def quarter_of_week(days):
    """Position in ``QUARTERS`` of the quarter that holds most days of each week, given its last day."""
    return quarter_index(np.asarray(days) - 3)


def _years():
    return (np.arange(SERIES_WEEKS) - 287) / 52.18


def _season(rng, size):
    """A yearly wave whose top is where chance puts it."""
    angle = 2 * np.pi * (np.arange(SERIES_WEEKS) / 52.18 + rng.random())
    return size * (np.cos(angle) + 0.3 * np.cos(2 * angle))


def _noise(unit, weeks, rng):
    """Noise in weekly sales and its surprise, by week, both of standard deviation 1; chance where it is not known."""
    cents = weeks.baseline["noise_cents"].to_numpy(float)
    surprise = cents.copy()
    surprise[1:] -= unit.autocorrelation * cents[:-1]
    known = slice(1, 1 + len(cents))
    both = []
    for values in (cents, surprise):
        whole = rng.normal(size=SERIES_WEEKS + 1)
        whole[known] = (values - values.mean()) / values.std()
        both.append(whole)
    return both


def _sessions(unit, weeks, trade, brand, rng):
    """Sessions by week and kind, and orders against sessions in the quarters that have orders."""
    audience = AUDIENCES[unit.key]
    quarter = quarter_of_week(WEEK_ENDS)
    surprise = _noise(unit, weeks, rng)[1]
    own = rng.normal(size=SERIES_WEEKS)
    noise = audience.lead * surprise[1:] + np.sqrt(1 - audience.lead**2) * own
    known_before = np.where(quarter > 0, brand[np.maximum(quarter, 1) - 1], 0.0)
    common = 0.04 * _years() + 0.05 * np.cos(2 * np.pi * (np.arange(SERIES_WEEKS) / 52.18 - 0.1))
    prospects = audience.prospect_share * np.exp(common + SESSION_NOISE * noise + BRAND_PULL * known_before)
    customers = (1 - audience.prospect_share) * np.exp(common + 0.05 * rng.normal(size=SERIES_WEEKS))
    orders = trade.orders[trade.orders["paid"]]
    placed = np.bincount(quarter_index(orders["day"].to_numpy().astype("datetime64[D]")), minlength=len(QUARTERS))
    then, now = placed[LAST_YEAR] / audience.conversion, placed[THIS_YEAR] / audience.conversion / (1 + audience.rise)
    tilt = _tilt(prospects + customers, quarter, now / then)
    level = then / ((prospects + customers) * tilt)[quarter == LAST_YEAR].sum()
    prospects, customers = (np.rint(values * tilt * level).astype(np.int64) for values in (prospects, customers))
    human = prospects + customers
    unconsented = np.rint(human * 0.31 * np.exp(rng.normal(0, 0.03, SERIES_WEEKS))).astype(np.int64)
    bots = np.rint(human * 0.12 * np.exp(rng.normal(0, 0.10, SERIES_WEEKS))).astype(np.int64)
    frame = pd.DataFrame(
        {
            "week_end": WEEK_ENDS,
            "unit": unit.key,
            "sessions": human + unconsented + bots,
            "bot_sessions": bots,
            "unconsented_sessions": unconsented,
            "prospect_sessions": prospects,
        }
    )
    sums = np.bincount(quarter, human, minlength=len(QUARTERS)).astype(np.int64)
    rows = [(unit.key, QUARTERS[at], int(placed[at]), int(sums[at])) for at in (LAST_YEAR, THIS_YEAR)]
    return frame, pd.DataFrame(rows, columns=["unit", "quarter", "orders", "sessions"])


def _tilt(values, quarter, wanted):
    """A factor that grows from 1 in 2025Q3 to one level from 2026Q3 on, such that the two sums have a ratio."""
    end, start = (np.flatnonzero(quarter == at) for at in (THIS_YEAR, LAST_YEAR))
    ramp = np.clip((np.arange(SERIES_WEEKS) - start[-1]) / (end[0] - start[-1]), 0, 1)
    return (wanted * values[start].sum() / values[end].sum()) ** ramp


def _series(unit, weeks, rng, scale):
    """Share of search, which follows sales by two weeks, and series that have nothing to do with them."""
    audience = AUDIENCES[unit.key]
    before = np.concatenate([rng.normal(size=2), _noise(unit, weeks, rng)[0][: SERIES_WEEKS - 2]])
    echo = audience.echo * before + np.sqrt(1 - audience.echo**2) * rng.normal(size=SERIES_WEEKS)
    found = {"share_of_search": np.round(0.21 + 0.004 * _years() + _season(rng, 0.008) + 0.012 * echo, 4)}
    for kpi, (level, growth, season, size, decimals) in NULLS.items():
        noise = rng.normal(0, size * np.sqrt(1 - 0.25), SERIES_WEEKS)
        for week in range(1, SERIES_WEEKS):
            noise[week] += 0.5 * noise[week - 1]
        values = level * np.exp(growth * _years() + _season(rng, season) + noise)
        if kpi == "app_rating":
            found[kpi] = np.round(np.minimum(values, 5), decimals)
        else:
            found[kpi] = np.rint(values * UNIT_SIZE[unit.key] * scale)
    parts = [pd.DataFrame({"week_end": WEEK_ENDS, "kpi": kpi, "value": values}) for kpi, values in found.items()]
    return pd.concat(parts, ignore_index=True).assign(unit=unit.key)


def _surveys(unit, brand, rng):
    """Three surveys a quarter; each wave is a draw of those who answered."""
    audience, waves = AUDIENCES[unit.key], len(QUARTERS)
    engaged = rng.normal(size=waves)
    before = np.concatenate([rng.normal(size=1), engaged[:-1]])
    score = (audience.nps + 9 * before + 5 * rng.normal(size=waves)) / 100
    customers, public, staff = audience.asked
    parts = []
    for survey, asked, rate, leave in (
        ("nps", customers, 0.28, 10),
        ("brand", public, 0.38, 15),
        ("employees", staff, 0.8, 20),
    ):
        invited = np.maximum(np.rint(asked * np.exp(rng.normal(0, 0.06, waves))), 4).astype(np.int64)
        answers = np.maximum(rng.binomial(invited, rate), 3)
        if survey == "nps" and unit.orders_a_week:
            answers[[QUARTERS.index(name) for name in FEW_ANSWERS]] = 3
        if survey == "nps":
            share = np.clip(np.array([(0.62 + score) / 2, (0.62 - score) / 2]), 0.01, 0.98)
        else:
            level = 0.31 + 0.05 * brand if survey == "brand" else 0.63 + 0.12 * engaged
            share = np.array([np.clip(level, 0.03, 0.97), np.zeros(waves)])
        drawn = rng.multinomial(answers, np.vstack([share, 1 - share.sum(axis=0)]).T)
        frame = {"date": quarter_end(np.arange(waves)) - leave, "survey": survey, "invited": invited}
        parts.append(pd.DataFrame({**frame, "answers": answers, "positive": drawn[:, 0], "negative": drawn[:, 1]}))
    return pd.concat(parts, ignore_index=True).assign(unit=unit.key)


def evidence():
    """What is true of each pair: ``lag`` counts periods that the marketing KPI leads by, or follows by if below 0."""
    rows = []
    for unit in UNITS:
        audience = AUDIENCES[unit.key]
        leads = "driver" if audience.lead else "unrelated"
        lag, follows = (-2, "echo") if audience.echo else (1, "unrelated")
        rows.append((unit.key, "prospect_sessions", "revenue", 1, "week", leads))
        rows.append((unit.key, "share_of_search", "revenue", lag, "week", follows))
        rows += [(unit.key, kpi, "revenue", 1, "week", "unrelated") for kpi in NULLS]
    rows += [
        ("pooled", "engagement", "nps", 1, "quarter", "driver"),
        ("pooled", "brand_awareness", "prospect_sessions", 1, "quarter", "driver"),
        ("pooled", "nps", "revenue_growth", 1, "quarter", "unrelated"),
    ]
    return pd.DataFrame(rows, columns=["unit", "marketing_kpi", "company_kpi", "lag", "frequency", "truth"])
