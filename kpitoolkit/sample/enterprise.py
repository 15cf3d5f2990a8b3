"""The rest of the sample company: leads, people, market, products, emissions and capital.

They follow from what stands: each lead won is a customer of b2b with a first order; own sell-out is the revenue of the
ledger without sales inside the group, less what partners put into stock; products add up to the ledger's revenue.
"""

import numpy as np
import pandas as pd

from kpitoolkit.sample.books import INTERCOMPANY, REVENUE_ACCOUNTS
from kpitoolkit.sample.orders import identifiers
from kpitoolkit.sample.spec import FIRST_DAY, LAST_DAY, QUARTERS, generator, quarter_end, spread

LEADS_A_WEEK = 8.5
QUALIFIED, ACCEPTED = 0.46, 0.5  # of the leads filled in; of those qualified
# Staff at the start, growth a year, and share that leaves in a year.
STAFF = {
    "retail-it": (46, 0.03, 0.17),
    "online-eu": (27, 0.05, 0.21),
    "b2b": (38, 0.02, 0.09),
    "retail-uk": (34, 0.02, 0.24),
}
SHARE = {"retail-it": 0.064, "online-eu": 0.021, "b2b": 0.092, "retail-uk": 0.038}  # of the market, in 2026Q3
SHARE_GROWTH = {"retail-it": 0.01, "online-eu": 0.05, "b2b": -0.02, "retail-uk": -0.01}  # a year
TONNES = {"retail-it": (2.1, 8.4, 61), "online-eu": (0.9, 3.2, 74), "b2b": (6.5, 11.0, 88), "retail-uk": (2.4, 7.5, 64)}
CAPITAL = {"retail-it": 0.48, "online-eu": 0.33, "b2b": 0.62, "retail-uk": 0.45}  # of a year's revenue
# Product, day of launch, and weight in the unit's revenue.
PRODUCTS = {
    "retail-it": (
        ("Sedia Città", "2016-03-01", 22), ("Tavolo Perù", "2017-09-15", 18), ("Lampada Lucciola", "2018-11-05", 13),
        ("Libreria Modulo", "2020-02-10", 14), ("Poltrona Qualità", "2021-09-20", 11),
        ("Tappeto Novità", "2023-03-06", 9), ("Scrivania Già", "2024-09-16", 8), ("Letto Comodità", "2025-10-06", 9),
        ("Divano Può", "2026-03-02", 6),
    ),
    "online-eu": (
        ("Sneaker Größe", "2017-02-01", 20), ("Jacke Nörd", "2018-08-20", 17), ("Été dress", "2019-04-08", 15),
        ("Rucksack", "2020-10-12", 14), ("Café mug", "2021-06-07", 8), ("Running set", "2022-09-05", 13),
        ("Yoga set", "2024-05-13", 9), ("Trail shoe", "2025-03-17", 12), ("Rain cape", "2025-11-10", 10),
        ("Travel kit", "2026-05-11", 5),
    ),
    "b2b": (
        ("Arredo uffici", "2012-01-01", 40), ("Allestimenti fiera", "2015-06-01", 22), ("Assistenza", "2016-01-04", 18),
        ("Noleggio", "2021-04-12", 12), ("Progettazione", "2024-11-04", 9),
    ),
    "retail-uk": (
        ("City chair", "2016-05-02", 23), ("Oak table", "2017-10-09", 19), ("Firefly lamp", "2019-02-11", 14),
        ("Modular shelf", "2020-06-15", 14), ("Reading armchair", "2022-03-07", 12), ("Wool rug", "2023-10-02", 9),
        ("Standing desk", "2024-08-05", 9), ("Guest bed", "2026-01-19", 7),
    ),
}  # fmt: skip


def build(unit, trade, ledger, seed, scale):
    """Rows of each table about one unit, by the table's name, and the truth of its leads and of its sell-out.

    Parameters
    ----------
    unit : Unit
    trade : Trade
        Of the unit.
    ledger : DataFrame
        All units, numbered.
    seed : int
    scale : float
    """
    mine = ledger[(ledger["unit"] == unit.key) & ledger["account"].isin(REVENUE_ACCOUNTS)]
    by_period = mine["amount_cents"].groupby(mine["period"]).sum().reindex(QUARTERS, fill_value=0)
    inside = mine[mine["account"] == INTERCOMPANY]
    inside = inside["amount_cents"].groupby(inside["period"]).sum().reindex(QUARTERS, fill_value=0)
    revenue, inside = (sums.to_numpy(np.int64) for sums in (by_period, inside))
    market, sold = _market(unit, revenue, inside, generator(seed, unit, "market"))
    tables = {
        "hr": _hr(unit, generator(seed, unit, "hr")),
        "market": market,
        "products": _products(unit, revenue, generator(seed, unit, "products")),
        "emissions": _emissions(unit, revenue, generator(seed, unit, "emissions"), scale),
        "capital": _capital(unit, generator(seed, unit, "capital"), scale),
    }
    truth = {"market": sold}
    if unit.orders_a_week:
        tables["leads"], truth["leads"] = _leads(unit, trade.customers, generator(seed, unit, "leads"))
    return tables, truth


def _frame(unit, **columns):
    return pd.DataFrame({"quarter": np.array(QUARTERS, dtype=object), "unit": unit.key, **columns})


def _hr(unit, rng):
    staff, growth, leaving = STAFF[unit.key]
    start, end, gone = [], [], []
    for at in range(len(QUARTERS)):
        start.append(staff)
        gone.append(int(rng.binomial(staff, leaving / 4)))
        wanted = round(STAFF[unit.key][0] * (1 + growth) ** ((at + 1) / 4))
        joined = max(0, wanted - staff + gone[-1] + int(rng.integers(-1, 2)))
        staff += joined - gone[-1]
        end.append(staff)
    return _frame(unit, headcount_start=start, headcount_end=end, leavers=gone)


def _market(unit, revenue, inside, rng):
    """Own and market sell-out; the truth leads from the ledger's revenue to own sell-out, to the cent."""
    stock = np.rint(revenue * rng.normal(0.0, 0.02, len(QUARTERS)) / 10_000).astype(np.int64) * 10_000
    own = revenue - inside - stock
    years = (np.arange(len(QUARTERS)) - len(QUARTERS) + 1) / 4
    share = SHARE[unit.key] * (1 + SHARE_GROWTH[unit.key]) ** years * np.exp(rng.normal(0, 0.025, len(QUARTERS)))
    whole = np.ceil(own / share / 100_000).astype(np.int64) * 100_000
    table = _frame(unit, own_sellout_cents=own, market_sellout_cents=whole, currency=unit.currency)
    steps = {"ledger_revenue_cents": revenue, "intercompany_cents": -inside, "stock_change_cents": -stock}
    return table, _frame(unit, **steps, own_sellout_cents=own)


def _products(unit, revenue, rng):
    """Split each quarter's revenue over the products on sale: new ones grow into their weight within a year."""
    catalogue = PRODUCTS[unit.key]
    launched = np.array([day for _name, day, _weight in catalogue], dtype="datetime64[D]")
    weight = np.array([weight for _name, _day, weight in catalogue], dtype=float)
    ends = quarter_end(np.arange(len(QUARTERS)))
    quarter, product = np.nonzero(launched[None, :] <= ends[:, None])
    age = (ends[quarter] - launched[product]).astype(np.int64)
    strength = weight[product] * np.clip(age + 20, 0, 365) / 365 * np.exp(rng.normal(0, 0.08, len(quarter)))
    return pd.DataFrame(
        {
            "quarter": np.array(QUARTERS, dtype=object)[quarter],
            "unit": unit.key,
            "product": np.array([name for name, _day, _weight in catalogue], dtype=object)[product],
            "launched": launched[product],
            "revenue_cents": spread(revenue, quarter, strength),
            "currency": unit.currency,
        }
    )


def _emissions(unit, revenue, rng, scale):
    """Scope 1 and 2 by season and falling, scope 3 with revenue."""
    years = (np.arange(len(QUARTERS)) - len(QUARTERS) + 1) / 4
    winter = np.array([{"1": 1.0, "4": 0.7}.get(name[-1], 0.0) for name in QUARTERS])
    parts = []
    for scope, (level, decline) in enumerate(zip(TONNES[unit.key], (0.03, 0.07, 0.02), strict=True), start=1):
        drive = revenue / revenue[-4:].mean() if scope == 3 else (1 + (0.5, 0.25)[scope - 1] * winter)
        tonnes = level * (1 - decline) ** years * drive * np.exp(rng.normal(0, 0.03, len(QUARTERS)))
        parts.append(_frame(unit, scope=scope, tonnes=np.round(np.maximum(tonnes, 0) * scale, 3)))
    return pd.concat(parts, ignore_index=True)


def _capital(unit, rng, scale):
    years = (np.arange(len(QUARTERS)) - len(QUARTERS) + 1) / 4
    level = CAPITAL[unit.key] * unit.weekly_revenue_cents * 52.18 * scale
    cents = level * (1 + unit.trend) ** years * np.exp(0.02 * rng.normal(size=len(QUARTERS)))
    cents = np.maximum(np.rint(cents / 100_000).astype(np.int64), 1) * 100_000
    return _frame(unit, invested_capital_cents=cents, currency=unit.currency)


def _leads(unit, customers, rng):
    """Leads that came to nothing, and one for each customer, won shortly before the first order, months after it began.

    So the latest cohorts have few wins yet. Leads from before the books are not in the export.
    """
    first = customers["first_order_day"].to_numpy().astype("datetime64[D]")
    won = np.maximum(first - rng.integers(1, 12, len(first)), FIRST_DAY)
    took = np.minimum(30 + rng.gamma(2.0, 45.0, len(first)), 330).astype(np.int64)
    weeks = (LAST_DAY - FIRST_DAY).astype(np.int64) / 7
    others = rng.poisson(LEADS_A_WEEK * weeks)
    days = (LAST_DAY - FIRST_DAY).astype(np.int64) + 1
    created = np.concatenate([won - took, FIRST_DAY + np.sort(rng.integers(0, days, others))])
    is_won = np.arange(len(created)) < len(first)
    to_qualify = np.where(is_won, _part_of(took, 0.12, others), rng.integers(0, 22, len(created)))
    to_accept = np.where(is_won, _part_of(took, 0.20, others), rng.integers(1, 34, len(created)))
    draw = rng.random((2, len(created)))
    qualified = np.where(is_won | (draw[0] < QUALIFIED), created + to_qualify, np.datetime64("NaT"))
    accepted = np.where(is_won | (draw[1] < ACCEPTED), qualified + to_accept, np.datetime64("NaT"))
    qualified, accepted = (np.where(when > LAST_DAY, np.datetime64("NaT"), when) for when in (qualified, accepted))
    value = (
        np.rint(unit.order_value_cents * np.exp(rng.normal(0, 0.5, len(created))) / 10_000).astype(np.int64) * 10_000
    )
    frame = pd.DataFrame(
        {
            "unit": unit.key,
            "created": created,
            "qualified": qualified,
            "accepted": accepted,
            "won": np.concatenate([won, np.full(others, np.datetime64("NaT"))]),
            "value_cents": pd.array(value, dtype="Int64"),
            "currency": unit.currency,
            "customer_id": np.concatenate([customers["customer_id"].to_numpy(), np.full(others, None)]),
        }
    )
    frame.loc[frame["accepted"].isna(), "value_cents"] = pd.NA
    frame = frame[frame["created"] >= FIRST_DAY].sort_values("created", kind="stable", ignore_index=True)
    frame.insert(0, "lead_id", identifiers(f"{unit.prefix}L", np.arange(1, len(frame) + 1), 6))
    return frame, frame.loc[frame["won"].notna(), ["lead_id", "customer_id"]]


def _part_of(days, share, more):
    """A share of each number of days, in whole days, with zeros behind."""
    return np.concatenate([np.floor(days * share).astype(np.int64), np.zeros(more, dtype=np.int64)])
