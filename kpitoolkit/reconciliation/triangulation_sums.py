"""What claims, attribution, model and ledger say of each channel in money, and whether it adds up to the books."""

from collections.abc import Mapping
from fractions import Fraction

import pandas as pd

from kpitoolkit import money
from kpitoolkit.reconciliation import ledger as books
from kpitoolkit.reconciliation.by_quarter import quarters_of_weeks
from kpitoolkit.reconciliation.claims import ClaimedToBooked
from kpitoolkit.reconciliation.spend import SpendToLedger

UNATTRIBUTED = "unattributed"
REST = ("agency_fees", "rebates", "invoice_timing", "accruals", "unexplained")
SUMS = ["channel", "claimed_cents", "attributed_cents", "modelled_cents", "ledger_cents"]


def views(saved: Mapping[str, pd.DataFrame], claimed: ClaimedToBooked, spent: SpendToLedger) -> pd.DataFrame:
    """Return claims, credit and spend by channel: of the bridges, and of the attribution's saved table."""
    cost = saved.get("cost", pd.DataFrame({"channel": []})).set_index("channel")
    own = pd.DataFrame({"claimed_cents": pd.Series(_claimed(claimed), dtype="Int64")})
    platforms = spent.platforms.set_index("platform")
    parts = platforms[["spend_cents", "currency_cents", "vat_cents"]].sum(axis=1).rename("net_cents")
    own = own.join([parts, platforms["invoiced_cents"].rename("ledger_cents")], how="outer")
    names = {"value_cents": "attributed_cents", "attributed_roas": "attributed_roas"}
    names |= {"roas_low": "attributed_low", "roas_high": "attributed_high", "spend_cents": "spend_cents"}
    credit = cost.reindex(columns=list(names)).rename(columns=names)
    both = own.join(credit, how="outer").rename_axis("channel")
    both["spend_cents"] = both["spend_cents"].astype("Int64").fillna(both["net_cents"].astype("Int64"))
    both = both.astype(dict.fromkeys(("claimed_cents", "ledger_cents", "attributed_cents"), "Int64"))
    spend = both["spend_cents"].astype("Float64").astype(float)
    both["claimed_roas"] = both["claimed_cents"].astype("Float64").astype(float) / spend.where(spend > 0)
    return both.drop(columns="net_cents")


def sums(
    saved: Mapping[str, pd.DataFrame],
    claimed: ClaimedToBooked,
    spent: SpendToLedger,
    measures: pd.DataFrame,
    ledger: pd.DataFrame | None,
    accounts: Mapping[str, object],
    specification: Mapping[str, str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what each view adds up to, and the checks that it adds up to what the books say."""
    quarter, frequency = spent.quarter, specification.get("frequency", "week")
    columns, checks = {}, []
    whole = _claimed(claimed)
    if whole:
        columns["claimed_cents"] = whole
    gross = measures[(measures["measure"] == "gross_orders") & (measures["quarter"] == quarter)]["value"]
    gross = None if gross.empty or gross.isna().any() else int(gross.iloc[0])
    credit = saved.get("credit")
    if credit is not None:
        rules = credit.groupby("model")["value"].sum() * 100
        rule = "markov" if "markov" in rules.index else rules.index[0]
        mine = credit[credit["model"] == rule].set_index("channel")["value"]
        columns["attributed_cents"] = _whole(mine)
        apart = None if gross is None else int(max(((rules - gross).round()).tolist(), key=abs))
        checks.append(("attributed_and_unattributed", apart, 0))
    parts = saved.get("contributions")
    if parts is not None and set(parts["component"]) - {"residual"}:  # with nothing modelled, all of revenue is left
        of_period = quarters_of_weeks(parts["period_end"])
        inside = parts[(of_period == quarter).to_numpy()]
        columns["modelled_cents"] = _whole(inside.groupby("component")["contribution"].sum())
        booked = _revenue(parts["period_end"], frequency, measures, ledger, accounts)
        added = round(parts["contribution"].sum() * 100)
        checks.append(("modelled_baseline_and_residual", None if booked is None else added - booked, 1))
    booked = spent.amount("booked_cost")
    if len(spent.platforms) and booked is not None:
        by_platform = spent.platforms.set_index("platform")["invoiced_cents"].astype(int).to_dict()
        rest = [spent.amount(step) for step in REST]
        columns["ledger_cents"] = by_platform | {"unallocated": booked - sum(by_platform.values())}
        apart = None if None in rest else sum(by_platform.values()) + sum(rest) - booked
        checks.append(("spend_and_unallocated", apart, 0))
        if "cost" in saved:
            net = int(spent.platforms[["spend_cents", "currency_cents", "vat_cents"]].to_numpy().sum())
            checks.append(("spend_of_attribution", int(saved["cost"]["spend_cents"].fillna(0).sum()) - net, 0))
    if whole and "cost" in saved and "claimed_value_cents" in saved["cost"]:
        again = int(saved["cost"]["claimed_value_cents"].fillna(0).sum())
        checks.append(("claims_of_attribution", again - sum(whole.values()), 0))
    frame = pd.DataFrame(columns).reindex(columns=SUMS[1:]).astype("Int64")
    last = [name for name in (UNATTRIBUTED, "baseline", "residual", "unallocated") if name in frame.index]
    order = frame.drop(index=last).sort_values(["ledger_cents", "attributed_cents"], ascending=False).index
    frame = frame.loc[[*order, *last]]
    if len(frame):
        frame.loc["total"] = frame.sum(min_count=1)
    return frame.rename_axis("channel").reset_index(), books.checks_table(checks)


def _claimed(claimed: ClaimedToBooked) -> dict[str, int]:
    if claimed.rows is None or not len(claimed.rows):
        return {}
    whole = claimed.rows["value_cents"] + claimed.rows["currency_cents"]
    return {name: int(cents) for name, cents in whole.groupby(claimed.rows["platform"]).sum().items()}


def _whole(amounts: pd.Series) -> dict[str, int]:
    """Amounts in currency as whole cents that add up to their total."""
    keys = list(amounts.index)
    exact = [Fraction(float(value)) * 100 for value in amounts]
    return dict(zip(keys, money.whole_cents(round(sum(exact)), exact, keys), strict=True))


def _revenue(period_end: pd.Series, frequency: str, measures, ledger, accounts) -> int | None:
    """Return the revenue of the model's window, read again from the books: sales by week, all revenue by quarter."""
    ends = pd.DatetimeIndex(period_end.unique())
    if frequency == "quarter":
        quarters = ends.to_period("Q").astype(str)
        own = measures[(measures["measure"] == "revenue") & measures["quarter"].isin(quarters)]["value"]
        return int(own.sum()) if len(own) == len(quarters) and own.notna().all() else None
    if ledger is None:
        return None
    sales = set(books.account_names(accounts, "sales"))
    inside = ledger["date"].between(ends.min() - pd.Timedelta(days=6), ends.max())
    return books.total(ledger.loc[inside & ledger["account"].astype(str).isin(sales), "amount_cents"])
