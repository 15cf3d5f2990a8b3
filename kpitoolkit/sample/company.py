"""The whole sample company in memory: every unit built, the books numbered, the group rolled up, targets agreed."""

import numpy as np
import pandas as pd
import pyarrow as pa

from kpitoolkit.sample import audience, books, claims, enterprise, governance, lift, marketing, orders, weeks
from kpitoolkit.sample.spec import BRIDGED, QUARTERS, RATE_ONE, RATES, UNITS, half_even, quarter_end, quarter_index

TARGET_QUARTERS = ("2025Q3", "2026Q3")
# What was promised, as a share of what came, by unit and for the group: some targets are met, some are missed.
PROMISES = {
    "revenue": (0.97, 1.02, 1.03, 0.99, 1.01),
    "contribution_margin_share": (1.02, 0.97, 1.0, 1.06, 1.01),
    "marketing_intensity": (0.95, 1.04, 1.0, 0.90, 1.01),
    "cac": (0.96, 1.05, 1.10, 0.88, 1.01),
    "new_customers": (1.04, 0.95, 1.0, 1.08, 1.01),
    "retention": (1.05, 1.02, 0.95, 1.0, 1.01),
    "average_order_value": (1.02, 1.0, 0.90, 0.98, 1.01),
    "orders": (0.99, 1.01, 1.05, 1.04, 1.01),
}
DIGITS = {"contribution_margin_share": 3, "marketing_intensity": 3, "retention": 3, "cac": 1, "average_order_value": 1}
CURRENCY = {unit.key: unit.currency for unit in UNITS}
# Columns of each file in their order, as heading, or heading=column.
LAYOUT = {
    "ad_spend": "date=day unit platform campaign spend_cents currency impressions clicks",
    "orders": "order_id unit customer_id time gross_cents vat_cents shipping_cents discount_cents supplier_share_cents "
    "currency status recognition_date=recognised cost_cents",
    "customers": "customer_id unit first_order_date=first_order_day",
    "platform_claims": "claim_id unit platform order_id touch_time conversion_time kind value_cents currency",
    "returns": "return_id unit order_id date=day amount_cents currency",
    "ledger": "line date=day period unit account amount_cents currency counterparty_unit text",
    "invoices": "invoice_id unit platform date=day service_month kind net_cents vat_cents currency",
    "lift_tests": "unit channel first_day last_day iroas low high level source",
    "controls": "week_end unit price_index promotion_days holiday_days",
    "targets": "unit quarter kpi version value",
    "fx_rates": "quarter currency rate",
    "web_sessions": "week_end unit sessions bot_sessions unconsented_sessions prospect_sessions",
    "kpi_series": "week_end unit kpi value",
    "surveys": "date unit survey invited answers positive negative",
    "leads": "lead_id unit created qualified accepted won value_cents currency",
    "hr": "quarter unit headcount_start headcount_end leavers",
    "market": "quarter unit own_sellout_cents market_sellout_cents currency",
    "products": "quarter unit product launched revenue_cents currency",
    "emissions": "quarter unit scope tonnes",
    "capital": "quarter unit invested_capital_cents currency",
    "promises": "promise_id unit quarter measure owner amount made_on text",
    "open_items": "item_id unit opened bridge step amount_cents cause owner evidence closed",
    "control_totals": "table unit quarter rows amount_cents owner",
}


def build(seed, scale, tampered=False):
    """Tables (contract name: columns) and truth (file: columns) of the company; money in integer cents.

    With ``tampered`` a few postings of the ledger are falsified after all else is made.
    """
    made_weeks = {unit.key: weeks.build(unit, seed, scale) for unit in UNITS}
    trades = {unit.key: orders.build(unit, made_weeks[unit.key], seed, scale) for unit in UNITS}
    claimed, booked, spending, invoices, claim_totals, spend_totals = {}, [], [], [], [], []
    for unit in UNITS:
        trade, spend = trades[unit.key], made_weeks[unit.key].spend
        other = trades["online-eu" if unit.key != "online-eu" else "retail-it"].orders["order_id"].to_numpy()
        claimed[unit.key] = claims.build(unit, trade.orders, other, seed)
        claim_totals += claims.totals(unit, claimed[unit.key], trade.orders)
        book = books.revenue(unit, made_weeks[unit.key], trade, seed, scale)
        invoice, spent = marketing.build(unit, spend, book, seed, scale)
        booked.append(book)
        invoices.append(invoice)
        spending.append(spent)
        spend_totals += marketing.totals(unit, spend, spent)
    tests = [lift.build(unit, made_weeks[unit.key].spend, seed) for unit in UNITS]
    ledger, planted, spend_planted = _numbered(booked, spending)
    ledger = pd.concat([ledger, _group(ledger, len(ledger), scale)], ignore_index=True)
    revenue_totals = _revenue_totals(planted, claim_totals)
    all_orders = pd.concat([trade.orders for trade in trades.values()]).sort_values(["time", "order_id"], kind="stable")
    tables = {
        "ad_spend": _spend_table(pd.concat([w.spend for w in made_weeks.values()])),
        "touchpoints": _touchpoint_table([trade.touchpoints for trade in trades.values()]),
        "orders": all_orders.assign(
            currency=all_orders["unit"].map(CURRENCY), status=np.where(all_orders["paid"], "paid", "cancelled")
        ),
        "customers": pd.concat([trade.customers for trade in trades.values()]),
        "platform_claims": pd.concat(claimed.values()),
        "returns": pd.concat([t.returns.assign(currency=CURRENCY[unit]) for unit, t in trades.items()]),
        "ledger": ledger,
        "invoices": pd.concat(invoices).assign(
            service_month=lambda frame: frame["service"].to_numpy().astype("datetime64[M]").astype(str)
        ),
        "controls": pd.concat([w.controls for w in made_weeks.values()]),
        "lift_tests": lift.table([row for said, _true in tests for row in said]),
        "targets": _targets(ledger, trades),
        "fx_rates": _rates(),
    }
    more, more_truth = _company(made_weeks, trades, tables, seed, scale)
    tables |= more | {"open_items": governance.open_items(planted, spend_planted)}
    tables["control_totals"] = governance.control_totals(tables)
    tables["promises"], more_truth["promises"] = governance.promises(tables)
    if tampered:
        tables["ledger"], more_truth["tampering"] = governance.tampered(ledger)
    tables = {name: _laid_out(frame, LAYOUT[name]) if name in LAYOUT else frame for name, frame in tables.items()}
    columns = ("unit", "quarter", "step", "amount_cents")
    truth = {
        "response": _whole(pd.concat([w.response for w in made_weeks.values()])),
        "baseline": _whole(pd.concat([w.baseline for w in made_weeks.values()]).convert_dtypes()),
        "controls": _control_truth(),
        "lift_tests": _whole(lift.table([row for _said, true in tests for row in true])),
        "claims": _claim_truth(pd.concat(claimed.values())),
        "orders_to_ledger": _whole(planted),
        "bridge_totals": _whole(pd.DataFrame(claim_totals + revenue_totals, columns=columns)),
        "spend_to_ledger": _whole(spend_planted),
        "spend_totals": _whole(pd.DataFrame(spend_totals, columns=columns)),
    }
    return tables, truth | {name: _whole(frame) for name, frame in more_truth.items()}


def _company(made_weeks, trades, tables, seed, scale):
    """The tables about the company and its audience, all units in each, and their truth."""
    found, truth = {}, {"evidence": [audience.evidence()]}
    for unit in UNITS:
        week, trade = made_weeks[unit.key], trades[unit.key]
        sessions, series, surveys, conversion = audience.build(unit, week, trade, seed, scale)
        own, true = enterprise.build(unit, trade, tables["ledger"], seed, scale)
        own |= {"web_sessions": sessions, "kpi_series": series, "surveys": surveys}
        for parts, whole in ((own, found), (true | {"simpson": conversion}, truth)):
            for name, frame in parts.items():
                whole.setdefault(name, []).append(frame)
    found, truth = ({name: pd.concat(parts) for name, parts in kept.items()} for kept in (found, truth))
    for name, key in (
        ("web_sessions", "week_end"),
        ("kpi_series", "week_end"),
        ("surveys", "date"),
        ("products", "quarter"),
    ):
        found[name] = found[name].sort_values(key, kind="stable", ignore_index=True)
    truth["simpson"] = _with_group(truth["simpson"])
    return found, truth


def _with_group(conversion):
    """Orders and sessions by unit and quarter, with the group's sum and the conversion of each."""
    group = conversion.groupby("quarter", as_index=False)[["orders", "sessions"]].sum().assign(unit="group")
    conversion = pd.concat([conversion, group], ignore_index=True)
    return conversion.assign(conversion=(conversion["orders"] / conversion["sessions"]).round(8))


def _numbered(booked, spending):
    """One journal for all units in order of date, with line numbers; planted tags become those numbers."""
    ledger = pd.concat([book.ledger() for book in booked], ignore_index=True)
    order = {unit.key: unit.index for unit in UNITS}
    ledger = ledger.assign(place=ledger["unit"].map(order))
    ledger = ledger.sort_values(["day", "place", "account"], kind="stable", ignore_index=True)
    ledger["line"] = np.char.add("R", np.char.zfill(np.arange(1, len(ledger) + 1).astype(str), 6))
    ledger["period"] = _periods(ledger["day"])
    tagged = ledger[ledger["tag"].notna()]
    line_of = dict(zip(zip(tagged["unit"], tagged["tag"], strict=True), tagged["line"], strict=True))
    planted = []
    for group in (booked, spending):
        rows = [row for book in group for row in book.planted]
        frame = pd.DataFrame(rows, columns=["unit", "quarter", "step", "row_id", "amount_cents"])
        keys = zip(frame["unit"], frame["row_id"], strict=True)
        frame["row_id"] = [line_of.get(key, key[1]) for key in keys]
        planted.append(frame)
    return ledger, *planted


def _periods(days):
    return np.array(QUARTERS, dtype=object)[quarter_index(days.to_numpy().astype("datetime64[D]"))]


def _revenue_totals(planted, claim_totals):
    """The steps from gross orders to the ledger, summed, with the totals between them."""
    steps = (
        "vat",
        "shipping",
        "discounts",
        "cancellations",
        "returns",
        "returns_provision",
        "cut_off_out",
        "cut_off_in",
    )
    steps += ("deferred", "principal_agent", "intercompany", "manual_journals")
    sums = planted.groupby(["unit", "quarter", "step"])["amount_cents"].sum()
    gross = {(unit, quarter): cents for unit, quarter, step, cents in claim_totals if step == "gross_orders"}
    rows = []
    for (unit, quarter), start in gross.items():
        amounts = {step: int(sums.get((unit, quarter, step), 0)) for step in steps}
        computed = start + sum(amounts.values())
        unexplained = int(sums.get((unit, quarter, "unexplained"), 0))
        amounts |= {"computed_net": computed, "unexplained": unexplained, "ledger_revenue": computed + unexplained}
        rows += [(unit, quarter, step, cents) for step, cents in amounts.items()]
    return rows


def _group(ledger, lines, scale):
    """Group revenue by quarter: units at the quarter's rate, less intercompany, with consolidation entries."""
    rows = []
    for name in BRIDGED:
        quarter = QUARTERS.index(name)
        mine = ledger[(ledger["period"] == name) & ledger["account"].isin(books.REVENUE_ACCOUNTS)]
        total = 0
        for unit in UNITS:
            own = mine[mine["unit"] == unit.key]
            for sign, part in ((1, own), (-1, own[own["counterparty_unit"].notna()])):
                total += sign * int(half_even(part["amount_cents"].sum() * RATES[unit.currency][quarter], RATE_ONE))
        entries = (round(-1_840_000 * scale) - 1_317 * quarter, round(615_000 * scale) + 743 * quarter)
        texts = ("Utili interni in rimanenze", "Allineamento principi contabili")
        for cents, text in zip(entries, texts, strict=True):
            rows.append((quarter, books.CONSOLIDATION, cents, text))
        rows.append((quarter, books.GROUP_REVENUE, total + sum(entries), "Ricavi consolidati"))
    frame = pd.DataFrame(rows, columns=["quarter", "account", "amount_cents", "text"])
    frame["day"] = quarter_end(frame.pop("quarter").to_numpy())
    frame["period"] = _periods(frame["day"])
    frame["line"] = [f"R{lines + 1 + n:06d}" for n in range(len(frame))]
    return frame.assign(unit="group", currency="EUR", counterparty_unit=None)


def _targets(ledger, trades):
    rows = []
    for quarter in TARGET_QUARTERS:
        for place, name in enumerate([*CURRENCY, "group"]):
            for kpi, value in _measured(ledger, trades, name, quarter).items():
                promise = PROMISES[kpi][place] * (1 if quarter == "2026Q3" else 1.01)
                target = round(value * promise, DIGITS[kpi]) if kpi in DIGITS else float(round(value * promise))
                rows.append((name, quarter, kpi, 1, target))
                if kpi == "revenue" and quarter == "2026Q3":  # revised in the quarter
                    rows.append((name, quarter, kpi, 2, float(round(value * (promise + 0.015)))))
    return pd.DataFrame(rows, columns=["unit", "quarter", "kpi", "version", "value"])


def _measured(ledger, trades, name, quarter):
    """What came of each KPI in one unit, or in the group at the quarter's rates."""
    position = QUARTERS.index(quarter)
    units = [unit for unit in UNITS if name in (unit.key, "group")]
    rate = {unit.key: RATES[unit.currency][position] / RATE_ONE if name == "group" else 1.0 for unit in units}
    mine = ledger[(ledger["period"] == quarter) & ledger["unit"].isin(rate)]
    amounts = mine["amount_cents"] / 100 * mine["unit"].map(rate)
    sums = amounts.groupby(mine["account"]).sum()

    def booked(*accounts):
        return float(sums.reindex(accounts).fillna(0.0).sum())

    counts = dict.fromkeys(("orders", "gross", "new", "before", "kept"), 0.0)
    for unit in units:
        orders_of_unit = trades[unit.key].orders
        paid = orders_of_unit[orders_of_unit["paid"]]
        placed, customer = quarter_index(paid["day"].to_numpy().astype("datetime64[D]")), paid["customer"].to_numpy()
        now = placed == position
        before = np.unique(customer[placed == position - 1])
        counts["orders"] += now.sum()
        counts["gross"] += paid["gross_cents"].to_numpy()[now].sum() / 100 * rate[unit.key]
        counts["new"] += (paid["new"].to_numpy() & now).sum()
        counts["before"] += len(before)
        counts["kept"] += np.isin(before, customer[now]).sum()
    revenue = booked(*books.REVENUE_ACCOUNTS)
    if name == "group":
        rolled_up = ledger["account"].eq(books.GROUP_REVENUE) & ledger["period"].eq(quarter)
        revenue = ledger.loc[rolled_up, "amount_cents"].sum() / 100
    cost = booked(marketing.MEDIA, marketing.FEES, marketing.REBATES, marketing.ACCRUALS)
    return {
        "revenue": revenue,
        "contribution_margin_share": (revenue - booked("5000") - cost) / revenue,
        "marketing_intensity": cost / revenue,
        "cac": (cost + booked("6200", "6210")) / max(counts["new"], 1),
        "new_customers": counts["new"],
        "retention": counts["kept"] / max(counts["before"], 1),
        "average_order_value": counts["gross"] / max(counts["orders"], 1),
        "orders": counts["orders"],
    }


def _laid_out(frame, layout):
    """Arrays of the columns of a layout (``heading`` or ``heading=column``); days as datetime64[D]."""
    pairs = [item.split("=") for item in layout.split()]
    return {pair[0]: _array(frame[pair[-1]]) for pair in pairs}


def _whole(frame):
    return {name: _array(frame[name]) for name in frame.columns}


def _array(column):
    values = column.to_numpy()
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]" if column.name.endswith("time") else "datetime64[D]")
    if values.dtype.kind == "O" or not isinstance(column.dtype, np.dtype):
        return column.astype(object).where(column.notna(), None).to_numpy()
    return values


def _spend_table(frame):
    clicks = frame["clicks"].astype(object).where(frame["clicks"] >= 0, None)
    return frame.assign(clicks=clicks).sort_values(["day", "unit", "platform", "campaign"], kind="stable")


def _touchpoint_table(frames):
    """Arrow columns: 800,000 ids are taken from a few, not made one by one."""
    parts = []
    for frame in frames:
        users, user = np.unique(frame["user"].to_numpy(), return_inverse=True)
        ids = pa.array(orders.identifiers(frame.attrs["prefix"], users).tolist())
        names = pa.array(list(frame.attrs["campaigns"]))
        campaign = frame["campaign"].to_numpy()
        parts.append(
            pa.table(
                {
                    "user_id": ids.take(pa.array(user)),
                    "time": pa.array(frame["time"].to_numpy().astype("datetime64[us]")),
                    "unit": pa.array([frame["unit"].iloc[0]]).take(pa.array(np.zeros(len(frame), dtype=np.int64))),
                    "channel": pa.array(orders.CHANNELS).take(pa.array(frame["channel"].to_numpy())),
                    "campaign": names.take(pa.array(campaign, mask=campaign < 0)),
                }
            )
        )
    table = pa.concat_tables(parts).combine_chunks()
    return {name: table.column(name) for name in table.column_names}


def _rates():
    rows = [(QUARTERS[at], name, int(rate) / RATE_ONE) for name in RATES for at, rate in enumerate(RATES[name])]
    return pd.DataFrame(rows, columns=["quarter", "currency", "rate"])


def _control_truth():
    rows = []
    for unit in UNITS:
        for control, effect in (
            ("price_index", unit.price_effect),
            ("promotion_days", unit.promotion_effect),
            ("holiday_days", unit.holiday_effect),
            ("noise", unit.noise),
            ("autocorrelation", unit.autocorrelation),
        ):
            rows.append((unit.key, control, effect))
    return _whole(pd.DataFrame(rows, columns=["unit", "name", "share_of_mean_baseline"]))


def _claim_truth(frame):
    columns = ["claim_id", "unit", "quarter", "cause", "currency_cents", "cause_cents", "mismatch_cents"]
    frame = frame[columns].assign(quarter=np.array(QUARTERS, dtype=object)[frame["quarter"].to_numpy()])
    return _whole(frame)
