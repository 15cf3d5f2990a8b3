"""Which claim belongs to which order: checks of both tables, the one cause of every claim, who claims what twice."""

import numpy as np
import pandas as pd
from scipy import sparse

from kpitoolkit.reconciliation import grading
from kpitoolkit.reconciliation import ledger as books

CLAIM_STEPS = (
    "no_matching_order",
    "claims_without_order_ids",
    "outside_lookback",
    "view_through",
    "duplicate_within_platform",
    "duplicate_across_platforms",
    "other_period",
)
BY_DAY = "beyond_day_orders"
"""The step of platforms whose claims are compared day by day, which stands behind `claims_without_order_ids`."""
ROW_COLUMNS = ["claim_id", "platform", "cause", "value_cents", "currency_cents", "cause_cents", "mismatch_cents"]
ORDER_MONEY = ["gross_cents", "vat_cents", "shipping_cents", "discount_cents", "supplier_share_cents"]


def readied(claims, orders, fx_rates, quarter, currency, group_currency, timezone):
    """Return the quarter's claims, the orders with day and net, the rates, and the faults of both."""
    faults, into = [], {}
    if orders is not None:
        faults += books.missing_money(orders, "orders", ORDER_MONEY) + books.too_large(orders, "orders", ORDER_MONEY)
        faults += books.other_currencies(orders, "orders", currency)
        faults += _repeated(orders["order_id"], "orders")
        day = books.local_day(orders["time"], timezone)
        stated = "recognition_date" in orders and bool(orders["recognition_date"].notna().any())
        recognised = orders["recognition_date"].fillna(day) if stated else pd.Series(pd.NaT, orders.index, day.dtype)
        net = orders["gross_cents"] - orders["vat_cents"] - orders["shipping_cents"] - orders["discount_cents"]
        orders = orders.assign(day=day, net_cents=net, recognised=recognised)
    if claims is not None:
        optional = {"order_id": pd.Series(pd.NA, claims.index, "string"), "touch_time": pd.Series(pd.NaT, claims.index)}
        claims = claims.assign(**{name: empty for name, empty in optional.items() if name not in claims})
        claims = claims.assign(day=books.local_day(claims["conversion_time"], timezone))
        claims = claims[books.within(claims["day"], quarter)]
        into, without_rate = books.rates(claims, "platform_claims", fx_rates, quarter, currency, group_currency)
        faults += without_rate + books.missing_money(claims, "platform_claims", ["value_cents"])
        faults += books.too_large(claims, "platform_claims", ["value_cents"], into)
        faults += _repeated(claims["claim_id"], "platform_claims")
        for wrong, found in (
            (claims["value_cents"] < 0, "have a negative value. Leave refunds out: they are in 'returns'."),
            (
                claims["touch_time"] > claims["conversion_time"],
                "were touched after their conversion. Check time zones.",
            ),
        ):
            rows = wrong.fillna(False)
            if rows.any():
                first = books.first_masked(claims["claim_id"], rows)
                faults.append(f"platform_claims: {int(rows.sum())} claims ({first}) {found}")
    return claims, orders, into, faults


def recognition_known(orders: pd.DataFrame) -> bool:
    """Tell whether any order says when it is recognised; no orders at all have nothing to say."""
    return orders.empty or bool(orders["recognised"].notna().any())


def taken_at_own_day(orders: pd.DataFrame | None, quarter: str) -> int:
    """Count the quarter's paid orders that do not say when they are recognised, where others do."""
    if orders is None or not recognition_known(orders) or "recognition_date" not in orders:
        return 0
    silent = (orders["status"] == "paid") & orders["recognition_date"].isna() & books.within(orders["day"], quarter)
    return int(silent.sum())


def untimed(rows: pd.DataFrame | None, timed: bool) -> int:
    """Count the claims with an order whose touch time is empty, where others have one."""
    return int(((rows["order"] >= 0) & rows["lag"].isna()).sum()) if timed else 0


def foreign(rows: pd.DataFrame | None, orders: pd.DataFrame | None) -> int:
    """Count the claims that name an order which is not there."""
    if rows is None or orders is None:
        return 0
    return int((rows["order_id"].notna() & (rows["order"] < 0)).sum())


def _repeated(ids: pd.Series, table: str) -> list[str]:
    twice = ids.duplicated()
    if not twice.any():
        return []
    return [f"{table}: {int(twice.sum())} ids stand twice ({books.first_masked(ids, twice)}). Keep one row for each."]


def causes(claims, orders, into, quarter, lookback_days):
    """Give each claim its cause; also the platforms without any order id, those of them with days, and whether touch
    times are known."""
    if claims is None:
        return None, [], [], False
    rows = claims[["claim_id", "platform", "order_id", "kind", "day", "value_cents"]].reset_index(drop=True)
    rows["converted_cents"] = books.converted(claims["value_cents"], claims["currency"], into).to_numpy()
    rows["currency_cents"] = rows["converted_cents"] - rows["value_cents"]
    stated = rows["order_id"].notna().groupby(rows["platform"]).any()
    silent = sorted(stated.index[~stated.to_numpy(dtype=bool)])
    by_day = grading.with_days(rows, silent) if silent else []
    timed = bool(claims["touch_time"].notna().any())
    rows["lag"] = (claims["conversion_time"] - claims["touch_time"]).to_numpy()
    rows["order"] = -1
    if orders is not None:
        rows["order"] = pd.Index(orders["order_id"]).get_indexer(rows["order_id"])
        rows.loc[rows["order_id"].isna(), "order"] = -1
    mute, dated = (rows["platform"].isin(names).to_numpy(dtype=bool) for names in (silent, by_day))
    view = (rows["kind"] == "view").to_numpy(dtype=bool)
    found = (rows["order"] >= 0).to_numpy()
    late = (rows["lag"] > pd.Timedelta(days=lookback_days)).to_numpy()
    cause = np.select(
        [mute & view, dated, mute, ~found, late, view],
        [
            "view_through",
            "matched_by_day",
            "claims_without_order_ids",
            "no_matching_order",
            "outside_lookback",
            "view_through",
        ],
        "matched",
    ).astype(object)
    best = rows[cause == "matched"].sort_values(["order", "lag", "platform", "claim_id"], na_position="last")
    of_platform = best.duplicated(["order", "platform"])
    of_order = best.duplicated("order") & ~of_platform
    cause[best.index[of_platform]] = "duplicate_within_platform"
    cause[best.index[of_order]] = "duplicate_across_platforms"
    rows["mismatch_cents"] = pd.array(np.zeros(len(rows), dtype=np.int64), dtype="Int64")
    if orders is not None:
        at = rows["order"].to_numpy()
        # A claim without order points at place -1: behind the orders stands one that is in no quarter.
        here = np.append(books.within(orders["day"], quarter).to_numpy(dtype=bool), False)[at]
        cause[(cause == "matched") & ~here] = "other_period"
        kept = cause == "matched"
        gross = orders["gross_cents"].to_numpy()[at[kept]]
        rows.loc[kept, "mismatch_cents"] = gross - rows.loc[kept, "converted_cents"].to_numpy()
        cause[kept & (rows["mismatch_cents"] != 0).to_numpy(dtype=bool)] = "value_mismatch"
    elif not rows.empty:
        cause[:] = "not_examined"
    rows["cause"] = pd.array(cause, dtype="string")
    rows["cause_cents"] = (-rows["converted_cents"]).where(rows["cause"].isin(CLAIM_STEPS), 0)
    if by_day and orders is not None:
        compared = (rows["cause"] == "matched_by_day").to_numpy(dtype=bool)
        own = rows.loc[compared, ["day", "claim_id", "converted_cents"]]
        brought = grading.brought_by_day(own, left_for_days(rows, orders, quarter))
        rows.loc[compared, "cause_cents"] = brought - own["converted_cents"].to_numpy(dtype=np.int64)
    return rows, silent, by_day, timed


def left_for_days(rows, orders, quarter) -> pd.DataFrame:
    """Return day and gross value of the quarter's orders that no claim with an order id is credited with."""
    credited = rows.loc[rows["cause"].isin(["matched", "value_mismatch"]).to_numpy(dtype=bool), "order"].to_numpy()
    left = books.within(orders["day"], quarter).to_numpy(dtype=bool).copy()
    left[credited] = False
    return orders.loc[left, ["day", "gross_cents"]]


def claim_lines(rows, orders, silent, by_day, timed, quarter):
    """Return the bridge's lines from the claimed total to the matched gross and the unclaimed orders."""
    if rows is None:
        steps = ["currency", *(step for step in CLAIM_STEPS if step != "claims_without_order_ids"), "value_mismatch"]
        gone = [("step", step, None, None) for step in steps]
        return [("total", "claimed", None, None), *gone, ("total", "matched_gross", None, None), _unclaimed(None)]
    gross = None if orders is None else books.total(orders.loc[books.within(orders["day"], quarter), "gross_cents"])
    platforms = set(rows["platform"])
    everyone_silent = len(rows) > 0 and platforms == set(silent)
    all_in_total = everyone_silent and not by_day
    in_total = set(silent) - set(by_day)
    moved = int((rows["currency_cents"] != 0).sum())
    lines = [
        ("total", "claimed", books.total(rows["value_cents"]), len(rows)),
        ("step", "currency", books.total(rows["currency_cents"]), moved),
    ]
    for step in CLAIM_STEPS:
        of_step = rows.loc[(rows["cause"] == step).to_numpy(dtype=bool), "cause_cents"]
        cents = books.total(of_step)
        if step == "claims_without_order_ids":
            if orders is None:
                continue
            if by_day:
                apart = rows.loc[(rows["cause"] == "matched_by_day").to_numpy(dtype=bool), "cause_cents"]
                lines.append(("step", BY_DAY, books.total(apart), int((apart != 0).sum())))
            if not in_total:
                continue
            # Without any order id what matches cannot be told from what does not: one step to the orders' gross value.
            cents = gross - books.total(rows["converted_cents"]) - _views(rows) if all_in_total else cents
        elif (
            orders is None or (everyone_silent and step != "view_through") or (step == "outside_lookback" and not timed)
        ):
            cents = None
        lines.append(("step", step, cents, None if cents is None else len(of_step)))
    known = orders is not None and not all_in_total
    mismatched = rows.loc[(rows["cause"] == "value_mismatch").to_numpy(dtype=bool), "mismatch_cents"]
    by_id = known and not everyone_silent
    lines.append(
        ("step", "value_mismatch", books.total(mismatched) if by_id else None, len(mismatched) if by_id else None)
    )
    kept = rows["cause"].isin(["matched", "value_mismatch", "matched_by_day"]).to_numpy(dtype=bool)
    brought = rows.loc[kept, ["converted_cents", "cause_cents"]]
    matched = books.total(brought["converted_cents"]) + books.total(brought["cause_cents"]) + books.total(mismatched)
    lines.append(("total", "matched_gross", matched if known else None, int(kept.sum()) if known else None))
    lines.append(_unclaimed(gross - matched if known else None))
    return lines


def _views(rows) -> int:
    return books.total(rows.loc[(rows["cause"] == "view_through").to_numpy(dtype=bool), "cause_cents"])


def _unclaimed(cents):
    return ("step", "unclaimed", cents, None)


def by_id(rows) -> pd.DataFrame:
    if rows is None:
        return pd.DataFrame(columns=ROW_COLUMNS).set_index("claim_id")
    return rows[ROW_COLUMNS].set_index("claim_id").sort_index()


def overlap(rows, orders, silent) -> pd.DataFrame:
    """Count the orders that each pair of platforms claims; without orders, or of platforms without ids, nothing."""
    stated = set() if rows is None or orders is None else set(rows["platform"]) - set(silent)
    if not stated:
        return pd.DataFrame()
    names = pd.Index(sorted(stated), name="platform", dtype="string")
    pairs = rows.loc[rows["order"] >= 0, ["order", "platform"]].drop_duplicates()
    columns = names.get_indexer(pairs["platform"])
    shape = (int(pairs["order"].max()) + 1 if len(pairs) else 0, len(names))
    claimed = sparse.csr_array((np.ones(len(pairs), dtype=np.int64), (pairs["order"].to_numpy(), columns)), shape=shape)
    return pd.DataFrame((claimed.T @ claimed).toarray(), index=names, columns=names.rename("with_platform"))
