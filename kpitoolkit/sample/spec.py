"""What the sample company is: its units, channels, calendar and rates, and the integer arithmetic of its cents."""

from dataclasses import dataclass

import numpy as np

FIRST_MONDAY = np.datetime64("2019-09-30")  # weeks are counted from here
FIRST_DAY = np.datetime64("2019-10-01")  # the books open: 28 full quarters
ORDERS_FROM = np.datetime64("2025-04-01")  # one quarter more: returns, cut-off and retention need it
EVENTS_FROM = np.datetime64("2025-07-01")  # touchpoints and claims
LAST_DAY = np.datetime64("2026-09-30")
WEEKS = 366  # the first lacks a day, the last has three days
FULL_WEEKS = slice(1, 365)  # seven years, to 2026-09-27
WINDOW_WEEKS = slice(209, 365)  # the last 156: where iROAS is stated
ADSTOCK_WEEKS = 13
QUARTERS = tuple(f"{year}Q{q}" for year in range(2019, 2027) for q in range(1, 5))[3:31]
BRIDGED = QUARTERS[-5:]
RATE_ONE = 10_000  # exchange rates are kept as whole ten-thousandths

# Odd ten-thousandths for the pound: no conversion into it can fall on half a cent.
POUND = (11625, 11599, 11279, 11051, 11087, 11447, 11609, 11699, 11795, 11853, 11959, 11779, 11603, 11321, 11391, 11507)
POUND += (11629, 11533, 11675, 11705, 11833, 12015, 11969, 11763, 11567, 11489, 11521, 11543)
DOLLAR = (9037, 9069, 9083, 8551, 8387, 8303, 8297, 8483, 8749, 8917, 9389, 9931, 9803, 9321, 9183, 9191)
DOLLAR += (9299, 9211, 9289, 9103, 9371, 9503, 8823, 8559, 8591, 8477, 8523, 8569)
RATES = {
    "EUR": np.full(len(QUARTERS), RATE_ONE, dtype=np.int64),
    "GBP": np.array(POUND, dtype=np.int64),
    "USD": np.array(DOLLAR, dtype=np.int64),
}


@dataclass(frozen=True)
class Channel:
    """One channel of one unit: how it is bought, and how it truly works."""

    name: str
    spend_share: float  # of the unit's weekly revenue
    iroas: float
    carryover: float
    half_saturation: float  # in mean active weekly spends
    pattern: str
    campaigns: tuple
    currency: str = ""  # the platform's, where it is not the unit's
    vat_rate_percent: int = 0  # inside the reported spend
    prepaid: bool = False  # invoiced the month before


@dataclass(frozen=True)
class Unit:
    """One business unit; money in cents of its currency, at scale 1."""

    key: str
    index: int
    prefix: str
    currency: str
    weekly_revenue_cents: int
    order_value_cents: int
    trend: float  # of the baseline, a year
    noise: float  # standard deviation, of weekly revenue
    autocorrelation: float
    season: tuple  # cosine and sine of two yearly harmonics
    price_effect: float  # of the baseline, a point of the price index
    promotion_effect: float  # a day
    holiday_effect: float  # a day
    vat_percent: int
    cost_share: float
    new_share: float
    memory_weeks: float
    returns_share: float
    recognition_days: tuple
    channels: tuple
    orders_a_week: float = 0.0  # b2b only: orders come one by one
    marketplace_share: float = 0.0
    intercompany_to: str = ""
    salaries_month_cents: int = 0
    tools_month_cents: int = 0
    opex_share: float = 0.12


SPRING = 'Prìmavera & "Saldi" <b>'

UNITS = (
    Unit(
        "retail-it", 0, "RI", "EUR", 7_800_000, 9_600, 0.05, 0.028, 0.35, (0.05, -0.03, 0.02, 0.015),
        -0.010, 0.012, -0.015, 22, 0.55, 0.31, 40.0, 0.085, (0, 6),
        (
            Channel("search", 0.032, 3.4, 0.25, 1.6, "steps", ("Marca", "Generico")),
            Channel("social", 0.026, 2.3, 0.40, 1.2, "steps", (SPRING, "Novità", "Città d'arte"), vat_rate_percent=22),
            Channel("display", 0.014, 1.2, 0.30, 1.0, "flights", ("Prospecting", "Retargeting")),
            Channel("tv", 0.026, 2.9, 0.65, 2.0, "bursts", ("Spot 30\"",), prepaid=True),
            Channel("affiliates", 0.012, 3.1, 0.10, 2.5, "pulses", ("Coupon", "Comparatori")),
        ),
        intercompany_to="retail-uk", salaries_month_cents=1_450_000, tools_month_cents=210_000,
    ),
    Unit(
        "online-eu", 1, "OE", "EUR", 5_900_000, 7_400, 0.09, 0.030, 0.30, (0.04, -0.05, 0.03, -0.01),
        -0.013, 0.015, 0.010, 21, 0.54, 0.34, 36.0, 0.11, (0, 6),
        (
            Channel("search", 0.036, 2.8, 0.20, 1.4, "steps", ("Brand", "Größen & Trends")),
            Channel("social", 0.034, 3.2, 0.45, 1.8, "steps", ("Été en ligne", "Reels")),
            Channel("display", 0.016, 0.9, 0.30, 1.2, "flights", ("Prospecting", "Retargeting"), currency="USD"),
            Channel("tv", 0.018, 1.6, 0.60, 1.5, "bursts", ("Connected TV",)),
            Channel("affiliates", 0.016, 2.2, 0.10, 2.0, "pulses", ("Cashback", "Blogs")),
        ),
        marketplace_share=0.28, salaries_month_cents=900_000, tools_month_cents=260_000,
    ),
    Unit(
        "b2b", 2, "BB", "EUR", 7_200_000, 2_400_000, 0.03, 0.0, 0.0, (0.03, 0.02, 0.0, 0.0),
        -0.004, 0.0, -0.03, 22, 0.60, 0.08, 220.0, 0.02, (10, 76),
        (
            Channel("search", 0.012, 2.0, 0.40, 1.5, "steps", ("Capitolati",)),
            Channel("social", 0.007, 1.0, 0.50, 1.5, "flights", ("Account mirati",)),
            Channel("display", 0.005, 0.5, 0.40, 1.5, "flights", ("Fiere & eventi",)),
        ),
        orders_a_week=3.4, intercompany_to="online-eu", salaries_month_cents=2_600_000, tools_month_cents=320_000,
        opex_share=0.15,
    ),
    Unit(
        "retail-uk", 3, "RU", "GBP", 4_700_000, 8_300, 0.04, 0.032, 0.40, (0.06, -0.02, -0.02, 0.02),
        -0.011, 0.013, -0.010, 20, 0.55, 0.32, 38.0, 0.095, (0, 6),
        (
            Channel("search", 0.034, 3.0, 0.25, 1.5, "steps", ("Brand", "Generic")),
            Channel("social", 0.028, 1.4, 0.40, 1.0, "steps", ("Café culture", "Stories")),
            Channel("display", 0.016, 1.7, 0.30, 1.4, "flights", ("Prospecting", "Retargeting"), currency="USD"),
            Channel("tv", 0.026, 3.3, 0.65, 2.0, "bursts", ("Regional 30\"",)),
            Channel("affiliates", 0.013, 1.8, 0.10, 2.0, "pulses", ("Voucher", "Content")),
        ),
        salaries_month_cents=800_000, tools_month_cents=150_000,
    ),
)  # fmt: skip


def generator(seed, unit, purpose):
    """A stream of its own for each unit and purpose: changing one leaves the others as they are."""
    return np.random.default_rng([seed, unit.index, *purpose.encode()])


def week_end(weeks):
    return FIRST_MONDAY + 7 * np.asarray(weeks) + 6


def quarter_index(days):
    """Position in ``QUARTERS`` of each day (datetime64[D]); negative before the books open."""
    months = days.astype("datetime64[M]").astype(np.int64)
    return (months - np.datetime64("2019-10", "M").astype(np.int64)) // 3


def quarter_end(index):
    """Last day of the quarter at a position in ``QUARTERS``."""
    months = np.datetime64("2019-10", "M") + 3 * (np.asarray(index) + 1)
    return months.astype("datetime64[D]") - 1


def half_even(numerator, denominator):
    """Integer quotient, rounded half to even."""
    quotient, rest = np.divmod(numerator, denominator)
    up = (2 * rest > denominator) | ((2 * rest == denominator) & (quotient % 2 == 1))
    return quotient + up


def in_unit_currency(face_cents, currency_rate, unit_rate):
    """Cents of a foreign currency in the unit's, at the quarter's rates, half-even to the cent."""
    return half_even(face_cents * currency_rate, unit_rate)


def in_foreign_currency(cents, currency_rate, unit_rate):
    """A foreign face value for cents of the unit, moved by a cent where its way back would fall on half a cent."""
    face = half_even(cents * unit_rate, currency_rate)
    return face + ((2 * face * currency_rate) % (2 * unit_rate) == unit_rate)


def spread(total_cents, group, weights):
    """Split each group's total over its rows by weight, to the cent: largest remainder, ties by row."""
    sums = np.bincount(group, weights, minlength=len(total_cents))
    share = weights / sums[group] * total_cents[group]
    cents = np.floor(share).astype(np.int64)
    left = total_cents - np.bincount(group, cents, minlength=len(total_cents)).astype(np.int64)
    order = np.lexsort((np.arange(len(group)), cents - share, group))
    starts = np.searchsorted(group[order], np.arange(len(total_cents)))
    rank = np.arange(len(group)) - starts[group[order]]
    cents[order] += rank < left[group[order]]
    return cents
