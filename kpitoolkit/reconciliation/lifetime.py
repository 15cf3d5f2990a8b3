"""Customer lifetime value of each quarter's new customers, from the orders known at that quarter's end.

The model follows the contract, which no table states: `purchases` where customers buy at will (BG/NBD x Gamma-Gamma),
`subscription` where they stay until they leave (retention curve), `none`. A handful of accounts gets no figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import money, parameters, plots, text
from kpitoolkit.reconciliation import lifetime_models as models
from kpitoolkit.reconciliation import measures
from kpitoolkit.reconciliation.by_quarter import covered, is_missing, quarters_of, tidy
from kpitoolkit.reconciliation.intervals import Z, share_interval
from kpitoolkit.reconciliation.ledger import converted

LEAST_REPEATERS, LEAST_WEEKS = 100, 26
"""Customers who came back, and weeks of orders, under which there is no figure."""
WEEKS_A_QUARTER = 365.25 / 28
COLUMNS = [
    *("quarter", "model", "status", "new_customers", "customers", "repeaters", "weeks", "first_margin_cents"),
    *("repeat_purchases", "purchase_value_cents", "margin_share", "cltv_cents", "low_cents", "high_cents"),
    *("revenue_cents", "expected_purchases", "actual_purchases", "later_share"),
]
_NEEDED = ("gross_cents", "vat_cents", "shipping_cents", "discount_cents", "cost_cents")


@dataclass(frozen=True)
class Rules:
    """What the CFO states: the model by contract, how many quarters count, and the discount rate a year."""

    model: str = "purchases"
    horizon_quarters: int = 12
    discount_rate: float = 0.08


@dataclass(frozen=True, eq=False)
class Lifetime:
    """
    One row a quarter: what its new customers are worth, as known at its end.

    ``cltv_cents`` is discounted margin a new customer over the horizon, with the 95% interval ``low_cents`` to
    ``high_cents``; ``revenue_cents`` the undiscounted revenue. ``expected_purchases`` are those that the quarter
    before expected of the customers it knew, ``actual_purchases`` those that came; ``later_share`` is the share of the
    value that lies after a span as long as the orders observed. ``curve`` is the last quarter's, by quarter of a
    customer's life.
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    rules: Rules
    currency: str

    def row(self, quarter: str) -> dict | None:
        """The row of a quarter, or None."""
        found = self.table[self.table["quarter"] == quarter]
        return found.iloc[0].to_dict() if len(found) else None

    def measures(self) -> pd.DataFrame:
        """The measures that formulas use: value of the whole cohort, with the ends of its interval, and revenue."""
        values: dict = {}
        for row in self.table.to_dict("records"):
            for measure, column in _MEASURES.items():
                known = row["status"] == "ok" and not is_missing(row[column])
                total = round(row[column] * row["new_customers"]) if known else None
                values[measure, row["quarter"]] = total
        return tidy(values)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw how the value of a new customer builds up over its life, with its interval."""
        _ = text.translator(language)
        curve = self.curve if len(self.curve) else pd.DataFrame(columns=["quarter_of_life", "cltv", "low", "high"])
        frame = curve.melt("quarter_of_life", value_name="amount", var_name="kind").astype({"amount": float})
        frame["kind"] = frame["kind"].map(lambda kind: text.label(kind, language))
        frame["amount"] = frame["amount"] / 100
        dashed = [text.label(kind, language) for kind in ("low", "high")]
        title = _("Discounted margin of a new customer, {currency}, by quarter of its life").format(
            currency=self.currency
        )
        ax = plots.lines(
            frame,
            "quarter_of_life",
            "amount",
            "kind",
            dashed=dashed,
            ax=ax,
            language=language,
            x_format="number0",
            title=title,
        )
        last = int(self.curve["quarter_of_life"].max()) if len(self.curve) else 0
        ax.set_xticks(range(0, last + 1, max(1, last // 6)))
        return ax

    def findings(self, language: str = "en") -> list[str]:
        """Say what a new customer of the last quarter is worth, what that rests on, and how the forecast did."""
        _ = text.translator(language)
        if not len(self.table):
            return [_("Customer lifetime value is not examined: it needs orders and customers.")]
        row = self.table.iloc[-1].to_dict()
        if row["model"] == "none":
            return [_("No customer lifetime value: the case states that none is modelled for this unit.")]
        if row["status"] != "ok":
            return [_too_little(row, language)]

        def written(cents):
            return text.money(round(cents), self.currency, language, 2)

        quarters = text.number(self.rules.horizon_quarters, language)
        said = [
            _(
                "A new customer of {quarter} is worth {value} of margin before marketing over {quarters} quarters, "
                "discounted at {rate} a year; undiscounted revenue is {revenue}."
            ).format(
                quarter=text.quarter(row["quarter"], language),
                value=written(row["cltv_cents"]),
                quarters=quarters,
                rate=text.percent(self.rules.discount_rate, language),
                revenue=written(row["revenue_cents"]),
            )
        ]
        if is_missing(row["low_cents"]):
            said.append(_("The figure has no interval: no earlier forecast could be held against what came."))
        else:
            sentence = _("Its 95% interval is {low} to {high}.")
            said.append(sentence.format(low=written(row["low_cents"]), high=written(row["high_cents"])))
        if row["model"] == "subscription":
            said.append(_("Each period's margin counts at once, from those who stayed; retention is last quarter's."))
            return said
        first = row["first_margin_cents"] / row["cltv_cents"]
        said.append(
            _(
                "{first} of it came with the first order; the rest are {purchases} later purchases that a model "
                "expects, and {later} lies beyond the {weeks} weeks that were observed."
            ).format(
                first=text.percent(first, language),
                purchases=text.number(row["repeat_purchases"], language, 2),
                later=text.percent(row["later_share"], language),
                weeks=text.number(row["weeks"], language),
            )
        )
        if not is_missing(row["expected_purchases"]):
            said.append(
                _(
                    "A quarter ago {expected} purchases were expected of the customers known then, and {actual} came "
                    "({error}). The interval allows for an error of this size."
                ).format(
                    expected=text.number(row["expected_purchases"], language),
                    actual=text.number(row["actual_purchases"], language),
                    error=text.percent(row["actual_purchases"] / row["expected_purchases"] - 1, language, signed=True),
                )
            )
        return said


_MEASURES = {
    "cohort_lifetime_margin": "cltv_cents",
    "cohort_lifetime_margin_low": "low_cents",
    "cohort_lifetime_margin_high": "high_cents",
    "cohort_lifetime_revenue": "revenue_cents",
}


def _too_little(row: Mapping, language: str) -> str:
    _ = text.translator(language)
    if row["status"] == "short_history":
        return _("No customer lifetime value: {weeks} weeks of orders, and {least} are needed.").format(
            weeks=text.number(row["weeks"], language), least=text.number(LEAST_WEEKS, language)
        )
    return _("No customer lifetime value: {n} new customers came back, and {least} are needed to tell a rate.").format(
        n=text.number(row["repeaters"], language), least=text.number(LEAST_REPEATERS, language)
    )


def of_tables(
    tables: Mapping[str, pd.DataFrame],
    currency: str,
    rules: Rules | None = None,
    group_currency: str = "EUR",
    timezone: str = "UTC",
) -> Lifetime:
    """
    Lifetime value from the tables of one unit, as ``tables.read`` gives them; without orders and customers, empty.

    See Also
    --------
    of_orders : what the figures mean.
    """
    rules = rules or Rules()
    if "orders" not in tables or "customers" not in tables:
        return Lifetime(pd.DataFrame(columns=COLUMNS), pd.DataFrame(), rules, currency)
    orders = tables["orders"].assign(time=parameters.local_time(tables["orders"]["time"], timezone))
    first = measures.first_paid_orders(orders, tables["customers"])
    returns, rates = tables.get("returns"), tables.get("fx_rates")
    return of_orders(orders, first, currency, rules, returns, rates, group_currency)


def of_orders(
    orders: pd.DataFrame,
    first_orders: pd.DataFrame,
    currency: str,
    rules: Rules | None = None,
    returns: pd.DataFrame | None = None,
    fx_rates: pd.DataFrame | None = None,
    group_currency: str = "EUR",
) -> Lifetime:
    """
    Lifetime value of the new customers of each quarter that the orders cover.

    ``first margin + sum over quarters k of (E[X(k)] - E[X(k-1)]) E[M] margin share / (1 + d)^((k - 1/2) / 4)``: the
    first order is a fact and counts at once; purchases ``E[X]`` come from BG/NBD and their value ``E[M]`` from
    Gamma-Gamma, both fitted to the new customers of all quarters so far; the margin share is that of the last four
    quarters, after returns and cost of goods and before marketing. The interval joins the error of the fit with the
    error that the quarter before made in forecasting this one.

    Parameters
    ----------
    orders : DataFrame
        Of one unit, in its local time.
    first_orders : DataFrame
        First paid order of each new customer: `order_id, customer_id, time`.
    currency : str
    rules : Rules, optional
    returns : DataFrame, optional
        Value that came back, net of VAT.
    fx_rates : DataFrame, optional
    group_currency : str

    Returns
    -------
    Lifetime
        Status ``ok``, ``few_repeat_customers`` (under 100 came back), ``short_history`` (under 26 weeks) or
        ``no_figure``.
    """
    rules = rules or Rules()
    empty = Lifetime(pd.DataFrame(columns=COLUMNS), pd.DataFrame(), rules, currency)
    if not set(_NEEDED) <= set(orders) or not len(orders):
        return empty
    quarters = covered(orders["time"], 30)
    if rules.model == "none":
        rows = [dict.fromkeys(COLUMNS) | {"quarter": q, "model": "none", "status": "no_figure"} for q in quarters]
        return Lifetime(pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(), rules, currency)
    paid = _valued(orders[orders["status"] == "paid"], currency, fx_rates, group_currency)
    paid["back"] = 0.0
    if returns is not None and len(returns):
        given_back = _in_currency(returns, ["amount_cents"], "date", currency, fx_rates, group_currency)
        by_order = given_back["amount_cents"].groupby(returns["order_id"]).sum()
        paid["back"] = paid["order_id"].map(by_order).fillna(0.0).to_numpy()
    begin = orders["time"].min().normalize()
    rows, last, curve = [], None, pd.DataFrame()
    for quarter in quarters:
        end = parameters.quarter_bounds(quarter)[1] + pd.Timedelta(days=1)
        known = paid[paid["time"] < end]
        made = _of_purchases if rules.model == "purchases" else _of_subscribers
        row, curve, last = made(known, first_orders, quarter, begin, rules, last)
        rows.append(dict.fromkeys(COLUMNS) | row | {"quarter": quarter, "model": rules.model})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    floats = [name for name in COLUMNS if name not in ("quarter", "model", "status")]
    return Lifetime(frame.astype(dict.fromkeys(floats, float)), curve, rules, currency)


def _valued(paid: pd.DataFrame, currency, fx_rates, group_currency) -> pd.DataFrame:
    """Net revenue and margin of each paid order, in cents of the unit's currency."""
    minus = [name for name in ("vat_cents", "shipping_cents", "discount_cents", "supplier_share_cents") if name in paid]
    frame = _in_currency(paid, ["gross_cents", "cost_cents", *minus], "time", currency, fx_rates, group_currency)
    net = frame["gross_cents"] - frame[minus].sum(axis=1)
    kept = paid[["order_id", "customer_id", "time"]].assign(day=paid["time"].dt.normalize())
    return kept.assign(net=net, margin=net - frame["cost_cents"])


def _in_currency(frame, columns: Sequence[str], time: str, currency, fx_rates, group_currency) -> pd.DataFrame:
    """Amounts at the rate of their quarter; missing where there is none."""
    found = frame[list(columns)].astype(float)
    foreign = frame["currency"] != currency
    if foreign.any():
        for quarter, rows in frame[foreign].groupby(quarters_of(frame.loc[foreign, time])):
            for source, own in rows.groupby("currency"):
                rate = money.rate_between(fx_rates, quarter, source, currency, group_currency)
                for column in columns:
                    cents = converted(own[column], own["currency"], {source: rate}) if rate is not None else np.nan
                    found.loc[own.index, column] = cents
    return found


def _margin_share(known: pd.DataFrame, quarter: str) -> float:
    first = parameters.quarter_bounds(parameters.shift_quarter(quarter, -3))[0]
    year = known[known["time"] >= first]
    net = year["net"].sum()
    return float((year["margin"].sum() - year["back"].sum()) / net) if net > 0 else np.nan


def histories(known: pd.DataFrame, customers: pd.Series, end: pd.Timestamp) -> pd.DataFrame:
    """
    Repeat purchases, week of the last and weeks observed of each new customer, and the mean value of its repeats.

    Orders of one day are one purchase. Returns `x, t_x, age, mean` by customer; ``mean`` is NaN without repeats.
    """
    own = known[known["customer_id"].isin(customers)]
    days = own.groupby(["customer_id", "day"], sort=True)["net"].sum().reset_index()
    grouped = days.groupby("customer_id")["day"]
    first, last = grouped.min(), grouped.max()
    repeats = days[days["day"] > days["customer_id"].map(first)]
    return pd.DataFrame(
        {
            "x": grouped.size() - 1,
            "t_x": (last - first).dt.days / 7,
            "age": (end.normalize() - first).dt.days / 7,
            "mean": repeats.groupby("customer_id")["net"].mean(),
        }
    )


def _of_purchases(known, first_orders, quarter, begin, rules, last):
    end = parameters.quarter_bounds(quarter)[1] + pd.Timedelta(days=1)
    firsts = first_orders[first_orders["time"] < end]
    history = histories(known, firsts["customer_id"], end)
    repeaters, weeks = int((history["x"] > 0).sum()), int((end - begin).days // 7)
    in_quarter = firsts[quarters_of(firsts["time"]) == quarter] if len(firsts) else firsts
    row = {"customers": len(history), "repeaters": repeaters, "weeks": weeks, "new_customers": len(in_quarter)}
    forecast = {}
    if last is not None:
        forecast = _held_against(last, known, quarter)
    if repeaters < LEAST_REPEATERS or weeks < LEAST_WEEKS:
        status = "few_repeat_customers" if repeaters < LEAST_REPEATERS else "short_history"
        return row | {"status": status}, pd.DataFrame(), None
    again = models.fit_purchases(history["x"], history["t_x"], history["age"])
    valued = history[history["mean"] > 0]
    spent = models.fit_value(valued["x"], valued["mean"])
    share = _margin_share(known, quarter)
    first_net = known.loc[known["order_id"].isin(in_quarter["order_id"]), "net"].mean()
    life = np.arange(rules.horizon_quarters + 1)
    discount = (1 + rules.discount_rate) ** (-(life[1:] - 0.5) / 4)

    def later(purchases, value):
        counted = np.diff(models.expected_purchases(purchases, life * WEEKS_A_QUARTER))
        return counted * models.expected_value(value)

    by_quarter = later(again.values, spent.values)
    repeat = by_quarter * discount * share
    error = models.log_error(lambda *given: float((later(*given) * discount).sum()), [again, spent])
    missed = np.nan
    if forecast.get("actual_purchases") and forecast.get("expected_purchases"):
        missed = np.log(forecast["actual_purchases"] / forecast["expected_purchases"])
    spread = np.exp(Z * np.hypot(error, missed))
    first_margin = first_net * share
    value = first_margin + repeat.sum()
    if not np.isfinite(value) or value <= 0:
        return row | forecast | {"status": "no_figure"}, pd.DataFrame(), (again, history, end)
    row |= forecast | {
        "status": "ok",
        "first_margin_cents": first_margin,
        "repeat_purchases": float(models.expected_purchases(again.values, life[-1] * WEEKS_A_QUARTER)),
        "purchase_value_cents": models.expected_value(spent.values),
        "margin_share": share,
        "cltv_cents": value,
        "low_cents": first_margin + repeat.sum() / spread,
        "high_cents": first_margin + repeat.sum() * spread,
        "revenue_cents": first_net + by_quarter.sum(),
        "later_share": repeat[life[1:] * WEEKS_A_QUARTER > weeks].sum() / value,
    }
    grown = np.concatenate([[0.0], np.cumsum(repeat)])
    curve = pd.DataFrame(
        {
            "quarter_of_life": life,
            "cltv": first_margin + grown,
            "low": first_margin + grown / spread,
            "high": first_margin + grown * spread,
        }
    )
    return row, curve, (again, history, end)


def _held_against(last, known: pd.DataFrame, quarter: str) -> dict[str, float]:
    """What the quarter before expected of the customers it knew, and what came."""
    again, history, then = last
    end = parameters.quarter_bounds(quarter)[1] + pd.Timedelta(days=1)
    weeks = (end - then).days / 7
    expected = models.expected_of_customers(again, history["x"], history["t_x"], history["age"], weeks).sum()
    came = known[(known["time"] >= then) & known["customer_id"].isin(history.index)]
    return {
        "expected_purchases": float(expected),
        "actual_purchases": len(came.drop_duplicates(["customer_id", "day"])),
    }


def _of_subscribers(known, first_orders, quarter, begin, rules, last):
    """Retention curve: those active in the quarter before who are active now, and the margin of an active customer."""
    of_row = quarters_of(known["time"]) if len(known) else pd.Series(dtype=str)
    before = set(known.loc[of_row == parameters.shift_quarter(quarter, -1), "customer_id"])
    now = known[of_row == quarter]
    active, kept = now["customer_id"].nunique(), len(before & set(now["customer_id"]))
    end = parameters.quarter_bounds(quarter)[1] + pd.Timedelta(days=1)
    new = int((quarters_of(first_orders["time"]) == quarter).sum()) if len(first_orders) else 0
    weeks = int((end - begin).days // 7)
    row = {"customers": len(before), "repeaters": kept, "weeks": weeks, "new_customers": new}
    if kept < LEAST_REPEATERS or weeks < LEAST_WEEKS:
        status = "few_repeat_customers" if kept < LEAST_REPEATERS else "short_history"
        return row | {"status": status}, pd.DataFrame(), None
    margin = float((now["margin"].sum() - now["back"].sum()) / active)
    discount = (1 + rules.discount_rate) ** 0.25 - 1
    low, high = share_interval(kept, len(before))
    life = np.arange(1, rules.horizon_quarters + 1)

    def worth(retention, periods=rules.horizon_quarters):
        return models.subscriber(margin, retention, discount, periods=int(periods))

    stays = kept / len(before)
    row |= {
        "status": "ok",
        "first_margin_cents": margin,
        "repeat_purchases": models.subscriber(1.0, stays, 0.0, periods=rules.horizon_quarters) - 1,
        "purchase_value_cents": float(now["net"].sum() / active),
        "margin_share": float(margin / (now["net"].sum() / active)),
        "cltv_cents": worth(stays),
        "low_cents": min(worth(low), worth(high)),
        "high_cents": max(worth(low), worth(high)),
        "revenue_cents": models.subscriber(
            float(now["net"].sum() / active), stays, 0.0, periods=rules.horizon_quarters
        ),
        "later_share": 1 - worth(stays, min(rules.horizon_quarters, max(1, weeks // 13))) / worth(stays),
    }
    curve = pd.DataFrame(
        {
            "quarter_of_life": life,
            **{name: [worth(r, n) for n in life] for name, r in (("cltv", stays), ("low", low), ("high", high))},
        }
    )
    return row, curve, None
