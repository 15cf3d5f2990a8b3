"""Maturing: what a closed quarter's orders will still give back, as a reserve with its interval, and its true-up.

A quarter's orders are not over when the quarter is: goods come back for weeks. The chain ladder (`mack`) reads how fast
from earlier weeks. Its rows are weeks of orders counted back from the quarter's end, its columns their age in weeks,
its cells what the week's paid orders are worth, net of VAT, shipping and discount, less what has come back by that age.
In that form every week has a figure from its first age on, and an order's fate is a thinning, whose variance grows with
the amount as Mack's does; in a triangle of returns alone the youngest week has none, and no factor could be applied.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from kpitoolkit import money, parameters
from kpitoolkit.errors import Faults
from kpitoolkit.reconciliation import ledger as books
from kpitoolkit.reconciliation import mack, maturing_wording

LEVEL, SHIFT_ALPHA = 0.90, 0.05
SHORTEST_WEEKS, LONGEST_WEEKS, OLDEST_AGE = 26, 104, 52
FEW_RETURNS = 30
SILENT_DAYS, SILENT_RETURNS = 7, 5.0
OPEN_TAIL_AGES, OPEN_TAIL_SHARE = 4, 0.01
WEEKS_OF_QUARTER = 13
COLUMNS = [
    *("component", "quarter", "kind", "status", "estimate_cents", "low_cents", "high_cents", "standard_error_cents"),
    *("came_cents", "still_open_cents", "error_cents", "inside"),
]
_CENTS = [name for name in COLUMNS if name.endswith("_cents")]
WEEKS = ["week_end", "age_weeks", "own_quarter", "ordered_cents", "returned_cents", "reserve_cents"]
WEEKS += ["standard_error_cents"]
PROVISION = ["quarter", "ledger_cents", "movement_cents", "low_cents", "high_cents", "inside"]
_NEEDED = ("gross", "vat", "shipping", "discount")


@dataclass(frozen=True, eq=False)
class Reserve:
    """
    Returns still to come at one quarter's end, as its data stood then.

    Attributes
    ----------
    quarter, status : str
        ``ok``; ``few_returns`` (under 30), ``short_history`` (under 26 weeks of orders) or ``returns_end_early`` (the
        export of returns ends before the quarter does): then there is no figure.
    cents, low_cents, high_cents, standard_error_cents : int or None
        Of all orders up to the quarter's end; 90% interval.
    weeks : DataFrame
        By week of orders, oldest first: ``week_end, age_weeks, own_quarter, ordered_cents, returned_cents,
        reserve_cents`` (they sum to ``cents``), ``standard_error_cents``.
    factors : DataFrame
        ``age_weeks, kept_share`` (share that orders keep in this week of age), ``sigma2`` (in cents),
        ``returned_share`` (of the orders' worth, by the end of that age). Age 0 is the week of the order itself.
    tail_open : bool
        Goods still came back at the oldest ages seen: the reserve is a lower bound.
    shift : float or None
        What came back in the last 13 weeks over what the weeks before lead to expect, less one: the chain ladder
        assumes that nothing shifts.
    shift_p, timing_p : float or None
        Of the sum (normal), and age by age (chi-squared): goods that come back later leave the sum nearly as it was.
    """

    quarter: str
    status: str
    cents: int | None
    low_cents: int | None
    high_cents: int | None
    standard_error_cents: int | None
    weeks: pd.DataFrame
    factors: pd.DataFrame
    tail_open: bool = False
    shift: float | None = None
    shift_p: float | None = None
    timing_p: float | None = None

    @property
    def shifted(self) -> str:
        """``more``, ``less`` or ``other_ages`` where chance does not explain what came back lately; else empty.

        The smaller of two p-values, doubled, is below 0.05.
        """
        if self.shift is None or 2 * min(self.shift_p, self.timing_p) >= SHIFT_ALPHA:
            return ""
        return "other_ages" if 2 * self.shift_p >= SHIFT_ALPHA else "more" if self.shift > 0 else "less"

    @property
    def own_cents(self) -> int | None:
        """Of it, what the quarter's own orders will still give back."""
        own = self.weeks.loc[self.weeks["own_quarter"].astype(bool), "reserve_cents"]
        return None if self.cents is None else int(own.sum())


@dataclass(frozen=True, eq=False)
class Maturing:
    """
    What of a quarter is not final yet.

    Attributes
    ----------
    table : DataFrame
        One row a component and quarter: ``component`` (``returns``, ``cancellations``, ``late_conversions``),
        ``quarter, kind`` (``reserve`` of this quarter; ``true_up`` of an earlier one), ``status, estimate_cents,
        low_cents, high_cents, standard_error_cents, came_cents`` (since), ``still_open_cents`` (of it, estimated
        today), ``error_cents`` (came and still open, less the estimate), ``inside`` (the interval). Returns are net of
        VAT, late conversions gross order values: they are not added.
    reserve : Reserve
        Of this quarter's end.
    provision : DataFrame
        Movement of the ledger's returns provision in each quarter, in the sign of revenue, beside the movement of this
        reserve: ``quarter, ledger_cents, movement_cents, low_cents, high_cents, inside``.
    left_out : mapping
        Returns that belong to no paid order of the table (``without_order``), or are dated before it
        (``before_order``).
    """

    table: pd.DataFrame
    reserve: Reserve
    provision: pd.DataFrame
    left_out: Mapping[str, int]
    currency: str

    def shown(self) -> pd.DataFrame:
        """The table for the page: without rows where nothing was examined."""
        rows = self.table.drop(columns=["standard_error_cents"])
        return rows if self.examined else rows.head(0)

    @property
    def examined(self) -> bool:
        """Whether anything of what is still to come was examined."""
        return bool((self.table["status"] != "not_examined").any())

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the reserve of each quarter's end with its interval, and what came."""
        return maturing_wording.plot(self, ax, language)

    def findings(self, language: str = "en") -> list[str]:
        """Say what is still to come, how the earlier reserves held, and what the ledger set aside."""
        return maturing_wording.findings(self, language)


def maturing(
    tables: Mapping[str, pd.DataFrame],
    quarter: str,
    currency: str,
    accounts: Mapping[str, object] | None = None,
    quarter_close: pd.DataFrame | None = None,
    timezone: str = "UTC",
) -> Maturing:
    """
    State what of a quarter is still to come, and hold earlier reserves against what came.

    Parameters
    ----------
    tables : mapping
        Rows of one unit: ``orders, returns, ledger``, as far as they are declared.
    quarter, currency : str
    accounts : mapping, optional
        Ledger accounts by line; ``returns_provision`` is read.
    quarter_close : DataFrame, optional
        Saved by the attribution: its forecast of conversions is read, not made again.
    timezone : str
        Of the unit's days; times of orders are UTC.

    Returns
    -------
    Maturing

    Raises
    ------
    Faults
        Where amounts are missing or not in the unit's currency.
    """
    accounts = {**parameters.ACCOUNTS, **(accounts or {})}
    rows, reserves, left_out = [], {}, {}
    now = no_reserve(quarter, "not_examined")
    if {"orders", "returns"} <= set(tables):
        bought, back, left_out = prepared(tables["orders"], tables["returns"], currency, timezone)
        reserves = {then: reserve_at(bought, back, then) for then in _closed(bought, quarter)}
        now = reserves.get(quarter, now)
        rows += [_true_up(found, now, bought, back) for then, found in reserves.items() if then != quarter]
    rows.insert(0, _row("returns", now))
    cancelled = {"component": "cancellations", "quarter": quarter, "kind": "reserve", "status": "not_examined"}
    rows.append(cancelled)  # orders say whether, not when, they were cancelled
    rows.append(_late_conversions(quarter_close, quarter))
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(_CENTS, "Int64") | {"inside": "boolean"})
    provision = _provision(tables.get("ledger"), accounts, reserves)
    return Maturing(table, now, provision, left_out, currency)


def prepared(
    orders: pd.DataFrame, returns: pd.DataFrame, currency: str, timezone: str = "UTC"
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """
    Paid orders by day and worth, their returns by both days, and how many returns were left out.

    Returns
    -------
    tuple
        ``day, net_cents``; ``ordered, day, amount_cents``; counts by reason.

    Raises
    ------
    Faults
        Where amounts are missing or not in the unit's currency.
    """
    money_columns = [f"{name}_cents" for name in _NEEDED]
    faults = books.missing_money(orders, "orders", money_columns)
    faults += books.missing_money(returns, "returns", ["amount_cents"])
    faults += books.other_currencies(orders, "orders", currency)
    faults += books.other_currencies(returns, "returns", currency)
    if faults:
        raise Faults("reserve for returns", faults)
    paid = orders[(orders["status"] == "paid").to_numpy(dtype=bool, na_value=False)]
    net = paid["gross_cents"] - paid["vat_cents"] - paid["shipping_cents"] - paid["discount_cents"]
    bought = pd.DataFrame({"day": books.local_day(paid["time"], timezone), "net_cents": net.astype("int64")})
    ordered = pd.Series(bought["day"].to_numpy(), index=paid["order_id"]).reindex(returns["order_id"]).to_numpy()
    unknown, before = np.isnat(ordered), returns["date"].to_numpy() < ordered
    cents = returns["amount_cents"].astype("int64").to_numpy()
    back = pd.DataFrame({"ordered": ordered, "day": returns["date"].to_numpy(), "amount_cents": cents})
    counts = {"without_order": int(unknown.sum()), "before_order": int(before.sum())}
    return bought, back[~unknown & ~before], counts


def _closed(bought: pd.DataFrame, quarter: str) -> list[str]:
    """The quarter, and the ones before it whose ends the orders reach with history enough."""
    if not len(bought):
        return [quarter]
    first, found = bought["day"].min(), [quarter]
    while True:
        then = parameters.shift_quarter(found[0], -1)
        if (parameters.quarter_bounds(then)[1] - first).days + 1 < 7 * SHORTEST_WEEKS:
            return found
        found.insert(0, then)


def no_reserve(quarter: str, status: str) -> Reserve:
    """A quarter's end without a figure."""
    weeks, factors = pd.DataFrame(columns=WEEKS), pd.DataFrame(columns=["age_weeks", "kept_share", "sigma2"])
    return Reserve(quarter, status, None, None, None, None, weeks, factors.assign(returned_share=[]))


def reserve_at(bought: pd.DataFrame, back: pd.DataFrame, quarter: str) -> Reserve:
    """
    Estimate what orders up to a quarter's end will still give back, from what was known on that day.

    Parameters
    ----------
    bought, back : DataFrame
        As ``prepared`` gives them; what is later than the quarter is not looked at.
    quarter : str

    Returns
    -------
    Reserve

    Examples
    --------
    Of each week's 1,000.00, 100.00 come back in the week after, and 50.00 in the second:

    >>> days = pd.date_range("2025-10-02", "2026-09-24", freq="7D")
    >>> bought = pd.DataFrame({"day": days, "net_cents": 1_000_00})
    >>> later = [(d, d + pd.Timedelta(days=7 * n), c) for d in days for n, c in ((1, 100_00), (2, 50_00))]
    >>> back = pd.DataFrame(later, columns=["ordered", "day", "amount_cents"])
    >>> found = reserve_at(bought, back, "2026Q3")
    >>> found.cents, found.weeks["reserve_cents"].tolist()[-3:]
    (20000, [0, 5000, 15000])
    """
    first_day, last_day = parameters.quarter_bounds(quarter)
    known, seen = bought[bought["day"] <= last_day], back[back["day"] <= last_day]
    weeks = ((last_day - known["day"].min()).days + 1) // 7 if len(known) else 0
    if weeks < SHORTEST_WEEKS:
        return no_reserve(quarter, "short_history")
    weeks = min(weeks, LONGEST_WEEKS)
    if len(seen) < FEW_RETURNS:
        return no_reserve(quarter, "few_returns")
    if _silent(back, seen, last_day):
        return no_reserve(quarter, "returns_end_early")
    worth, given_back = _triangle(known, seen, last_day, weeks)
    latest = np.minimum(np.arange(weeks)[::-1], given_back.shape[1] - 1)
    reached = np.arange(given_back.shape[1]) <= latest[:, None]
    kept = np.where(reached, worth[:, None] - np.cumsum(given_back, axis=1), np.nan)
    found = mack.develop(kept)
    exact = [Fraction(left) for left in (found.latest - found.ultimate).tolist()]
    cents = round(sum(exact))
    ends = last_day - pd.to_timedelta(7 * np.arange(weeks)[::-1], unit="D")
    parts = money.whole_cents(cents, exact, [str(end.date()) for end in ends])
    low, high = interval(cents, found.total_standard_error)
    at_once = 1 - given_back[:, 0].sum() / max(worth.sum(), 1)
    steps = np.concatenate([[at_once], found.factors])
    shares = 1 - np.cumprod(steps)
    factors = {"kept_share": steps, "sigma2": np.concatenate([[np.nan], found.sigma2]), "returned_share": shares}
    by_week = {
        "week_end": ends,
        "age_weeks": np.arange(weeks)[::-1],
        "own_quarter": ends - pd.Timedelta(days=3) >= first_day,
        "ordered_cents": worth,
        "returned_cents": given_back.sum(axis=1),
        "reserve_cents": parts,
        "standard_error_cents": np.rint(found.standard_error).astype(np.int64),
    }
    last = shares[-1] - shares[-1 - OPEN_TAIL_AGES]
    return Reserve(
        quarter,
        "ok",
        cents,
        low,
        high,
        round(found.total_standard_error),
        pd.DataFrame(by_week),
        pd.DataFrame({"age_weeks": np.arange(len(shares)), **factors}),
        bool(last > OPEN_TAIL_SHARE * shares[-1]),
        *_shift(kept, found.sigma2),
    )


def _shift(kept: np.ndarray, sigma2: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """What came back in the last 13 weeks against what factors of the weeks before give, in Mack's variance."""
    before, after = kept[:, :-1], kept[:, 1:]
    known = ~np.isnan(after) & (before > 0)
    week = np.arange(len(kept))[:, None] + np.arange(after.shape[1]) + 1
    lately = known & (week >= len(kept) - WEEKS_OF_QUARTER)
    before, after = np.where(known, before, 0.0), np.where(known, after, 0.0)
    bases, at_risk = (before * ~lately).sum(axis=0), (before * lately).sum(axis=0)
    judged = (bases > 0) & (at_risk > 0) & (sigma2 > 0)
    if not judged.any():
        return None, None, None
    bases, at_risk = bases[judged], at_risk[judged]
    expected = at_risk * (1 - (after * ~lately).sum(axis=0)[judged] / bases)
    came = ((before - after) * lately).sum(axis=0)[judged]
    variance = sigma2[judged] * (at_risk + at_risk**2 / bases)
    if expected.sum() <= 0:
        return None, None, None
    distance = (came - expected).sum() / np.sqrt(variance.sum())
    by_age = stats.chi2.sf(((came - expected) ** 2 / variance).sum(), len(expected))
    return float(came.sum() / expected.sum() - 1), float(2 * stats.norm.sf(abs(distance))), float(by_age)


def _silent(back: pd.DataFrame, seen: pd.DataFrame, last_day: pd.Timestamp) -> bool:
    """Whether the table of returns ends so long before a day that returns must be missing."""
    gap = (last_day - back["day"].max()).days
    daily = len(seen) / max((seen["day"].max() - seen["day"].min()).days, 1)
    return gap >= SILENT_DAYS and gap * daily >= SILENT_RETURNS


def _triangle(known, seen, last_day, weeks) -> tuple[np.ndarray, np.ndarray]:
    """Worth of each week's orders, oldest first, and what came back of it by age; weeks end with the quarter."""
    days = (known["day"], seen["ordered"], seen["day"])
    bought, ordered, came = (((last_day - day).dt.days // 7).to_numpy() for day in days)
    ages = min(weeks, OLDEST_AGE + 1)
    worth, given_back = np.zeros(weeks, dtype=np.int64), np.zeros((weeks, ages), dtype=np.int64)
    inside = bought < weeks
    np.add.at(worth, weeks - 1 - bought[inside], known["net_cents"].to_numpy()[inside])
    inside = ordered < weeks
    age = np.minimum(ordered - came, ages - 1)[inside]
    np.add.at(given_back, (weeks - 1 - ordered[inside], age), seen["amount_cents"].to_numpy()[inside])
    return worth, given_back


def interval(cents: int, standard_error: float, level: float = LEVEL) -> tuple[int, int]:
    """
    Bounds of what is still to come: quantiles of the gamma distribution with this mean and standard error.

    Examples
    --------
    >>> interval(1_000_00, 100_00.0), interval(0, 0.0)
    ((84139, 116997), (0, 0))
    """
    if cents <= 0 or standard_error <= 0:
        return cents, cents
    shape = (cents / standard_error) ** 2
    tails = (1 - level) / 2, (1 + level) / 2
    low, high = (round(float(bound)) for bound in stats.gamma.ppf(tails, shape, scale=cents / shape))
    return low, high


def _row(component: str, found: Reserve) -> dict:
    return {
        "component": component,
        "quarter": found.quarter,
        "kind": "reserve",
        "status": found.status,
        "estimate_cents": found.cents,
        "low_cents": found.low_cents,
        "high_cents": found.high_cents,
        "standard_error_cents": found.standard_error_cents,
    }


def _true_up(then: Reserve, now: Reserve, bought: pd.DataFrame, back: pd.DataFrame) -> dict:
    """An earlier reserve against what came since, and what today's reserve still expects of the same orders."""
    row = _row("returns", then) | {"kind": "true_up"}
    if then.cents is None or now.cents is None:
        return row
    end, today = (parameters.quarter_bounds(name)[1] for name in (then.quarter, now.quarter))
    first = then.weeks["week_end"].iloc[0] - pd.Timedelta(days=6)
    since = back[back["ordered"].between(first, end) & (back["day"] > end) & (back["day"] <= today)]
    came = int(since["amount_cents"].sum())
    same = now.weeks["week_end"] - pd.Timedelta(days=3) <= end
    still_open = int(now.weeks.loc[same, "reserve_cents"].sum())
    became = came + still_open
    return row | {
        "came_cents": came,
        "still_open_cents": still_open,
        "error_cents": became - then.cents,
        "inside": then.low_cents <= became <= then.high_cents,
    }


def _late_conversions(quarter_close: pd.DataFrame | None, quarter: str) -> dict:
    """The attribution's forecast, summed over channels; their bounds are summed too, so the interval is wide."""
    row = {"component": "late_conversions", "quarter": quarter, "kind": "reserve", "status": "not_examined"}
    if quarter_close is None or not len(quarter_close):
        return row
    model = "last" if (quarter_close["model"] == "last").any() else quarter_close["model"].iloc[0]
    rows = quarter_close[quarter_close["model"] == model]
    sums = [rows[f"value_{name}"].sum(skipna=False) for name in ("forecast", "low", "high")]
    if any(pd.isna(amount) for amount in sums):
        return row | {"status": "no_figure"}
    names = ("estimate_cents", "low_cents", "high_cents")
    return row | {"status": "ok"} | {name: round(100 * amount) for name, amount in zip(names, sums, strict=True)}


def _provision(ledger, accounts, reserves: Mapping[str, Reserve]) -> pd.DataFrame:
    """Each quarter's movement of the provision in the ledger, beside that of the reserve, in the sign of revenue."""
    rows = []
    quarters = list(reserves)
    for before, quarter in itertools.pairwise(quarters):
        ends = reserves[before], reserves[quarter]
        if ledger is None or any(end.cents is None for end in ends):
            continue
        booked = books.total(books.booked_lines(ledger, accounts, ["returns_provision"], quarter)["amount_cents"])
        movement = ends[0].cents - ends[1].cents
        error = stats.norm.ppf((1 + LEVEL) / 2) * np.hypot(*(end.standard_error_cents for end in ends))
        low, high = round(movement - error), round(movement + error)
        rows.append((quarter, booked, movement, low, high, low <= booked <= high))
    frame = pd.DataFrame(rows, columns=PROVISION)
    return frame.astype(dict.fromkeys(PROVISION[1:-1], "Int64") | {"inside": "boolean"})
