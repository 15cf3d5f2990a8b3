"""Decision robustness: which verdicts, rankings and decisions change with a definition that somebody may choose.

Every question is answered once under each allowed definition: who is a new customer, which costs count, how far back a
claim or a touchpoint may lie, which rule shares out the credit. One definition is the default, the catalogue's and the
parameters' own; an answer that differs from the default's flips.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import parameters, text
from kpitoolkit.modelling import LOSES
from kpitoolkit.reconciliation import matching, measures
from kpitoolkit.reconciliation import robustness_wording as wording
from kpitoolkit.reconciliation.claims import ClaimedToBooked
from kpitoolkit.reconciliation.triangulation import Triangulation

TABLE = ["question", "subject", "family", "definition", "default", "value", "low", "high", "value_unit", "reference"]
TABLE += ["verdict", "flips"]
SCOPES = {
    "media_only": ("media_cost", "marketing_accruals"),
    "with_fees_and_rebates": ("media_cost", "marketing_accruals", "agency_fees", "rebates"),
    "with_salaries_and_tools": (
        *("media_cost", "marketing_accruals", "agency_fees", "rebates"),
        *("acquisition_salaries", "acquisition_tools"),
    ),
}
"""Cost scopes, each with the one before it: what the platforms were paid, all of marketing cost, fully loaded."""
OWN_SCOPE = {"cac": "with_salaries_and_tools", "marketing_intensity": "with_fees_and_rebates"}
OWN_RULE = "first_paid_order"
MONTHS = 12
LOOKBACKS_DAYS = (7, 14, 30, 60)
CREDITED = ("matched", "value_mismatch")
TARGETS, BREAK_EVEN, ABOVE = "target_reached", "break_even_reached", "above_break_even"
BY = {"roas": 1, "cost_per_conversion": -1}
"""What channels are ranked by, and whether more is better."""


@dataclass(frozen=True, eq=False)
class Robustness:
    """One row a question and definition.

    Attributes
    ----------
    table : DataFrame
        question: `target_reached`, `break_even_reached`, `first_by_roas`, `last_by_roas`, `ranking_by_roas`, and the
        same by `cost_per_conversion`; subject: a KPI or channel, empty for rankings; family: `costs_and_customers`,
        `attribution`, `claims` or `return`; definition: its parts, joined by `/`; default; value with its 90% interval
        where there is one, in value_unit (money in cents; of a ranking, pairs of channels in another order than the
        default's); reference: target or break-even (missing where no return pays); verdict; flips.
    survivors : tuple of int
        Pairs of channels whose credit keeps its order under every rule, look-back and the chance of the sample, and
        pairs in all, as the attribution saved them; empty where it did not.
    left_out : tuple of str
        Channels that not every family of definitions knows, and that are not ranked.
    """

    table: pd.DataFrame
    quarter: str
    currency: str
    survivors: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def summary(self) -> pd.DataFrame:
        """One row a question: definitions, the default's verdict, how many flip, lowest and highest value."""
        rows = []
        for (question, subject), own in self.table.groupby(["question", "subject"], sort=False):
            default = own[own["default"]]
            rows.append(
                {
                    "question": question,
                    "subject": subject,
                    "definitions": len(own),
                    "verdict": default["verdict"].iloc[0] if len(default) else "",
                    "flipping": int(own["flips"].sum()),
                    "lowest": own["value"].min(),
                    "highest": own["value"].max(),
                    "value_unit": own["value_unit"].iloc[0],
                }
            )
        columns = ["question", "subject", "definitions", "verdict", "flipping", "lowest", "highest", "value_unit"]
        return pd.DataFrame(rows, columns=columns)

    def shown(self, language: str = "en") -> tuple[pd.DataFrame, dict]:
        """The summary for the page, in words, and how it is written."""
        return wording.shown(self, language)

    def plot(self, ax: Axes | None = None, language: str = "en", subject: str = "") -> Axes:
        """Draw a dot for each definition of a KPI or channel, by default the first, against target or break-even."""
        return wording.plot(self, ax, language, subject)

    def findings(self, language: str = "en") -> list[str]:
        """Say which verdicts, rankings and decisions hold under every definition, and which flip under which."""
        text.check_language(language)
        return wording.findings(self, language)


def robustness(
    kpis: pd.DataFrame,
    found: pd.DataFrame,
    given: Mapping[str, pd.DataFrame],
    saved: Mapping[str, pd.DataFrame],
    three: Triangulation,
    claimed: ClaimedToBooked,
    claims_lookback_days: int = 30,
    group_currency: str = "EUR",
    timezone: str = "UTC",
) -> Robustness:
    """
    Answer each question under every allowed definition.

    Targets: CAC under each rule of who is new and each cost scope; new customers under each rule; marketing intensity
    under each scope. Break-even: each channel's ROAS under every rule and look-back of the attribution's grid and every
    look-back of claims, against ``1 / (margin x net share of order value)``, because these are order values with VAT;
    and the published return against ``1 / margin``. Where there is an interval, the verdict takes all of it. Rankings:
    of the channels that every family knows.

    Parameters
    ----------
    kpis : DataFrame
        `Scorecard.table`: targets and directions.
    found : DataFrame
        Measures, as `measures.compute` gives them.
    given : mapping
        Checked tables of the unit: orders, customers, platform_claims, fx_rates where they are declared.
    saved : mapping
        As `triangulation.read_saved` gives it: cost, truth_band, rankings.
    three : Triangulation
    claimed : ClaimedToBooked
    claims_lookback_days : int
        The default of the claims' look-back.
    group_currency, timezone : str

    Returns
    -------
    Robustness
    """
    quarter = three.quarter
    values = measures.at(found, quarter)
    rules = new_customers(given.get("orders"), given.get("customers"), quarter, timezone)
    rows = _targets(kpis, values, rules)
    spend = three.table.set_index("channel")["spend_cents"].dropna()
    spend = spend[spend > 0].astype(float)
    gross_reference = np.nan if three.break_even is None else three.break_even / net_share(claimed)
    attributed = _attributed(saved, spend)
    claims = _matched(given, quarter, three.currency, group_currency, timezone, claims_lookback_days, spend)
    seen = [_judged(frame, gross_reference) for frame in (attributed, claims)]
    figures = pd.concat([frame for frame in (*seen, _returns(three)) if len(frame)] or seen, ignore_index=True)
    rows += _break_even(figures)
    ranked, left_out = _rankings(figures)
    table = pd.DataFrame([*rows, *ranked], columns=TABLE)
    table["flips"] = _flips(table)
    survivors = ()
    if "rankings" in saved:
        survivors = (int(saved["rankings"]["survives"].sum()), len(saved["rankings"]))
    return Robustness(table, quarter, three.currency, survivors, left_out)


def new_customers(
    orders: pd.DataFrame | None, customers: pd.DataFrame | None, quarter: str, timezone: str = "UTC"
) -> dict[str, int]:
    """
    Count the quarter's new customers under each rule that the tables allow.

    `first_paid_order`: the first paid order ever, which is the catalogue's; `first_order_with_cancelled`: the first
    order ever, cancelled or not; `no_order_in_12_months`: no paid order in the twelve months before, whatever was
    before that, or `no_order_in_covered_months` where the orders do not reach back so far.

    Examples
    --------
    >>> orders = pd.DataFrame({"order_id": ["1", "2", "3"], "customer_id": ["a", "b", "b"],
    ...     "time": pd.to_datetime(["2025-06-01", "2026-03-01", "2026-07-05"]),
    ...     "status": ["paid", "cancelled", "paid"]})
    >>> customers = pd.DataFrame({"customer_id": ["a", "b"], "first_order_date": pd.to_datetime(["2025-06-01"] * 2)})
    >>> new_customers(orders, customers, "2026Q3")
    {'first_paid_order': 1, 'first_order_with_cancelled': 0, 'no_order_in_12_months': 1}
    """
    if orders is None or orders.empty:
        return {}
    first_day, last_day = parameters.quarter_bounds(quarter)
    orders = orders.assign(time=parameters.local_time(orders["time"], timezone))
    inside = lambda times: times.between(first_day, last_day + pd.Timedelta(days=1), inclusive="left")  # noqa: E731
    counts: dict[str, int] = {}
    if customers is not None:
        counts[OWN_RULE] = int(inside(measures.first_paid_orders(orders, customers)["time"]).sum())
        placed = measures.first_paid_orders(orders.assign(status="paid"), customers)
        counts["first_order_with_cancelled"] = int(inside(placed["time"]).sum())
    begin = orders["time"].min().normalize()
    if begin >= first_day:
        return counts
    paid = orders[orders["status"] == "paid"].sort_values(["customer_id", "time"])
    before = paid.groupby("customer_id")["time"].shift()
    since = paid["time"] - pd.DateOffset(months=MONTHS)
    lately = (before >= since).fillna(False)
    returned = paid.loc[inside(paid["time"]) & ~lately]
    covered = begin <= first_day - pd.DateOffset(months=MONTHS)
    key = f"no_order_in_{MONTHS}_months" if covered else "no_order_in_covered_months"
    return counts | {key: int(returned["customer_id"].nunique())}


def net_share(claimed: ClaimedToBooked) -> float:
    """Share of the quarter's order value that is left without VAT, shipping and discounts; 1 where it is not known."""
    parts = [claimed.amount(step) for step in ("gross_orders", "vat", "shipping", "discounts")]
    return 1.0 if None in parts or not parts[0] else sum(parts) / parts[0]


def _targets(kpis: pd.DataFrame, values: Mapping[str, object], rules: Mapping[str, int]) -> list[dict]:
    """Answer whether targets are reached, under each rule of who is new and each cost scope."""
    costs = {}
    for scope, parts in SCOPES.items():
        cents = [values.get(part) for part in parts]
        if not any(measures.is_missing(part) for part in cents):
            costs[scope] = sum(cents)
    revenue = values.get("revenue")
    figures: dict[str, dict[str, float]] = {
        "cac": {
            f"{rule}/{scope}": cents / new
            for (rule, new), (scope, cents) in itertools.product(rules.items(), costs.items())
            if new
        },
        "new_customers": {rule: float(new) for rule, new in rules.items()},
        "marketing_intensity": {scope: cents / revenue for scope, cents in costs.items()}
        if revenue and revenue > 0
        else {},
    }
    own = {kpi: "/".join(part for part in (OWN_RULE, OWN_SCOPE.get(kpi)) if part) for kpi in figures}
    own["marketing_intensity"] = OWN_SCOPE["marketing_intensity"]
    stated = kpis[(kpis["basis"] == "finance") & kpis["target"].notna()].set_index("kpi")
    rows = []
    for kpi, under in figures.items():
        if kpi not in stated.index or own[kpi] not in under:
            continue
        target, direction, unit = (stated.loc[kpi, name] for name in ("target", "direction", "value_unit"))
        for definition, value in under.items():
            reached = direction * (value - target) >= 0
            given = {"question": TARGETS, "subject": kpi, "family": "costs_and_customers", "definition": definition}
            given |= {"default": definition == own[kpi], "value": value, "value_unit": unit, "reference": target}
            rows.append(given | {"verdict": "reached" if reached else "missed"})
    return rows


def _attributed(saved: Mapping[str, pd.DataFrame], spend: pd.Series) -> pd.DataFrame:
    """Return ROAS and cost per conversion of each channel with spend under every rule and look-back of the grid."""
    band = saved.get("truth_band")
    if band is None or not len(spend):
        return pd.DataFrame(columns=_SEEN)
    own = _own_cell(band, saved.get("cost"))
    rows = band[band["channel"].isin(spend.index)]
    paid = rows["channel"].map(spend)
    cells = list(zip(rows["model"], rows["lookback_days"], strict=True))
    figures = {"channel": rows["channel"], "roas": rows["value"] * 100 / paid}
    figures |= {"low": rows["value_low"] * 100 / paid, "high": rows["value_high"] * 100 / paid}
    figures["cost_per_conversion"] = paid / rows["conversions"].where(rows["conversions"] > 0)
    names = [f"{model}/{days:g}d" for model, days in cells]
    return pd.DataFrame(figures).assign(family="attribution", definition=names, own=[cell == own for cell in cells])


_SEEN = ["channel", "roas", "low", "high", "cost_per_conversion", "family", "definition", "own"]


def _own_cell(band: pd.DataFrame, cost: pd.DataFrame | None) -> tuple:
    """The rule and look-back that the attribution's own page uses: those of its table of costs."""
    cells = band.pivot_table("value", ["model", "lookback_days"], "channel", sort=False) * 100
    if cost is not None:
        known = cost.set_index("channel")["value_cents"].dropna().astype(float)
        known = known[known.index.isin(cells.columns)]
        if len(known):
            apart = (cells[known.index] - known).abs().max(axis=1)
            if apart.min() <= 1:
                return apart.idxmin()
    models = list(band["model"].unique())
    return ("markov" if "markov" in models else models[0], band["lookback_days"].max())


def _matched(given, quarter, currency, group_currency, timezone, own_days, spend: pd.Series) -> pd.DataFrame:
    """Return what is matched of each channel's claims under every look-back, over its spend."""
    claims, orders = given.get("platform_claims"), given.get("orders")
    if claims is None or orders is None or not len(spend):
        return pd.DataFrame(columns=_SEEN)
    claims, orders, into, faults = matching.readied(
        claims, orders, given.get("fx_rates"), quarter, currency, group_currency, timezone
    )
    if faults:
        return pd.DataFrame(columns=_SEEN)
    frames = []
    for days in sorted({*LOOKBACKS_DAYS, own_days}):
        rows = matching.causes(claims, orders, into, quarter, days)[0]
        kept = rows[rows["cause"].isin(CREDITED).to_numpy(dtype=bool)]
        cents = kept[["value_cents", "currency_cents", "cause_cents", "mismatch_cents"]].sum(axis=1)
        by = pd.DataFrame({"cents": cents, "platform": kept["platform"]}).groupby("platform")["cents"]
        sums = by.agg(["sum", "size"]).reindex(
            spend.index.intersection(list(claims["platform"].unique())), fill_value=0
        )
        paid, orders_matched = spend[sums.index], sums["size"].astype(float)
        figures = {"channel": sums.index, "roas": sums["sum"].astype(float) / paid}
        figures["cost_per_conversion"] = paid / orders_matched.where(orders_matched > 0)
        frames.append(pd.DataFrame(figures).assign(definition=f"{days:g}d", own=days == own_days))
    found = pd.concat(frames, ignore_index=True).assign(family="claims", low=np.nan, high=np.nan)
    return found[_SEEN]


def _returns(three: Triangulation) -> pd.DataFrame:
    """Return what is published of each channel's return, with the verdict that was carried over."""
    rows = three.table[three.table["source"] != "no_return"]
    kept = rows[["channel", "low", "high", "verdict"]].assign(roas=rows["iroas"], cost_per_conversion=np.nan, own=True)
    if "verdict_reason" in rows:
        near = rows["verdict_reason"] == "holds_break_even"
        kept["verdict"] = kept["verdict"].mask(near, "holds_break_even")
    reference = np.nan if three.break_even is None else three.break_even
    return kept.assign(family="return", definition="published_return", reference=reference)


def _judged(seen: pd.DataFrame, reference: float) -> pd.DataFrame:
    """Tell whether order value over spend is above break-even, with all of its interval where it has one."""
    low, high = (seen[end].astype(float).fillna(seen["roas"].astype(float)) for end in ("low", "high"))
    verdict = np.select([low > reference, high < reference], [ABOVE, "below_break_even"], "holds_break_even")
    if np.isnan(reference):
        verdict = LOSES
    return seen.assign(reference=reference, verdict=verdict)


def _break_even(figures: pd.DataFrame) -> list[dict]:
    """Answer whether each channel is above break-even under each definition that knows it."""
    rows = []
    for channel, mine in figures.groupby("channel", sort=False):
        first = mine.loc[mine["own"].astype(bool), "family"].iloc[:1].tolist()
        for row in mine.itertuples():
            given = {"question": BREAK_EVEN, "subject": channel, "family": row.family, "definition": row.definition}
            given |= {"default": bool(row.own) and [row.family] == first, "value": row.roas, "low": row.low}
            given |= {"high": row.high, "value_unit": "ratio", "reference": row.reference, "verdict": row.verdict}
            rows.append(given)
    return rows


def _rankings(figures: pd.DataFrame) -> tuple[list[dict], tuple[str, ...]]:
    """Rank the channels that every family knows under each definition: first, last, and all."""
    if figures.empty:
        return [], ()
    known = [set(rows["channel"]) for _, rows in figures.groupby("family")]
    common, rows = set.intersection(*known), []
    left_out = tuple(sorted(set.union(*known) - common))
    if len(common) <= 1:
        return [], left_out
    inside = figures[figures["channel"].isin(common)]
    for by, direction in BY.items():
        orders = {}
        for (family, definition), cell in inside.groupby(["family", "definition"], sort=False):
            ranked = cell.dropna(subset=[by]).sort_values([by, "channel"], ascending=[direction < 0, True])
            if len(ranked) == len(common):
                orders[family, definition] = (ranked["channel"].tolist(), ranked[by].tolist(), ranked["own"].any())
        default = next((name for name, (_order, _values, own) in orders.items() if own), None)
        if default is None:
            continue
        own = orders[default][0]
        for (family, definition), (order, values, _own) in orders.items():
            unit = "ratio" if by == "roas" else "money_per_unit"
            base = {
                "subject": "",
                "family": family,
                "definition": definition,
                "default": (family, definition) == default,
            }
            for end, at in (("first", 0), ("last", -1)):
                first = {"question": f"{end}_by_{by}", "value": values[at], "value_unit": unit, "verdict": order[at]}
                rows.append(base | first)
            swapped = sum(order.index(one) > order.index(other) for one, other in itertools.combinations(own, 2))
            whole = {"question": f"ranking_by_{by}", "value": float(swapped), "value_unit": "count"}
            rows.append(base | whole | {"verdict": " > ".join(order)})
    return sorted(rows, key=lambda row: list(_QUESTIONS).index(row["question"])), left_out


_QUESTIONS = tuple(f"{what}_by_{by}" for by in BY for what in ("first", "last", "ranking"))


def _flips(table: pd.DataFrame) -> pd.Series:
    """Tell which answers differ from the default's to the same question; without a default none does."""
    own = table[table["default"].astype(bool)].drop_duplicates(["question", "subject"])
    default = own.set_index(["question", "subject"])["verdict"].to_dict()
    asked = zip(table["question"], table["subject"], table["verdict"], strict=True)
    return pd.Series([verdict != default.get((q, s), verdict) for q, s, verdict in asked], table.index, dtype=bool)
