"""How often does the 90% interval of the reserve for returns hold what comes, and how far off is its middle?

Shops are simulated past a quarter's end: orders a day, worth lognormal amounts, some sent back whole or in part after 5
to 45 days. The reserve is estimated from what is known at the quarter's end and held against what comes later. Ways:
steady; season (orders double before the quarter's end, as before Christmas); calendar (in one week in eight the
warehouse books nothing and catches up in the next); drift (the share sent back rises by a half over the last quarter);
slower (the delay grows by a half over the last quarter). The last two break what the chain ladder
assumes: there the page must say so.

Run: ``python tests/benchmarks/maturing_reserve.py [--shops 300] [--orders 10 60 300] [--write docs/FILE.md]``
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from kpitoolkit.reconciliation import maturing

END = pd.Timestamp("2026-09-30")
WEEKS, QUARTER_DAYS, HORIZON_DAYS = 78, 92, 120
SHARE, WHOLE, WORTH_SD = 0.09, 0.65, 0.55
WAYS = ("steady", "season", "calendar", "drift", "slower")
MARKERS = ("<!-- maturing-reserve -->", "<!-- /maturing-reserve -->")


def shop(orders_a_day: float, way: str, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Orders by day and worth, and their returns, also those after the quarter's end."""
    age = np.arange(7 * WEEKS)[::-1]
    rate = np.full(len(age), orders_a_day)
    if way == "season":
        rate = rate * (1 + np.clip(1 - age / QUARTER_DAYS, 0, 1))
    ordered = np.repeat(-age, random.poisson(rate))
    worth = np.rint(np.exp(random.normal(np.log(8_000), WORTH_SD, len(ordered)))).astype(np.int64)
    late = np.clip(1 + ordered / QUARTER_DAYS, 0, 1)
    share = SHARE * (1 + 0.5 * late) if way == "drift" else SHARE
    back = random.random(len(ordered)) < share
    stretch = 1 + 0.5 * late[back] if way == "slower" else 1.0
    delay = np.rint((4 + np.minimum(random.geometric(0.09, back.sum()), 41)) * stretch).astype(np.int64)
    part = np.where(random.random(back.sum()) < WHOLE, 1.0, random.uniform(0.2, 0.8, back.sum()))
    booked = ordered[back] + delay
    if way == "calendar":
        closed = np.flatnonzero(random.random(WEEKS + 20) < 1 / 8)
        week = (booked + 7 * WEEKS) // 7
        booked = np.where(np.isin(week, closed), booked + 7, booked)
    amount = np.maximum(np.rint(worth[back] * part), 1).astype(np.int64)
    days = pd.to_timedelta(ordered, unit="D") + END
    bought = pd.DataFrame({"day": days, "net_cents": worth})
    came = {"ordered": days[back], "day": END + pd.to_timedelta(booked, unit="D"), "amount_cents": amount}
    return bought, pd.DataFrame(came)


def trial(orders_a_day: float, way: str, random: np.random.Generator) -> dict:
    bought, back = shop(orders_a_day, way, random)
    found = maturing.reserve_at(bought, back, "2026Q3")
    came = int(back.loc[back["day"] > END, "amount_cents"].sum())
    row = {"way": way, "orders": orders_a_day, "status": found.status, "came": came}
    if found.cents is None:
        return row
    below, above = came < found.low_cents, came > found.high_cents
    width = (found.high_cents - found.low_cents) / max(found.cents, 1)
    return row | {
        "held": not (below or above),
        "below": below,
        "above": above,
        "estimate": found.cents,
        "width": width,
        "warned": bool(found.shifted),
    }


def measured(found: pd.DataFrame) -> pd.DataFrame:
    told = found[found["status"] == "ok"].assign(held=lambda f: f["held"].astype(float))
    by = told.groupby(["orders", "way"], sort=False)
    table = by.agg(
        shops=("held", "size"),
        held=("held", "mean"),
        below=("below", lambda hits: float(np.mean(hits.astype(float)))),
        above=("above", lambda hits: float(np.mean(hits.astype(float)))),
        width=("width", "median"),
        warned=("warned", lambda hits: float(np.mean(hits.astype(float)))),
    )
    sums = by[["estimate", "came"]].sum()
    table.insert(2, "bias", sums["estimate"] / sums["came"] - 1)
    return table.reset_index()


def markdown(table: pd.DataFrame, asked: argparse.Namespace, seconds: float) -> str:
    lines = [
        f"`python tests/benchmarks/maturing_reserve.py --shops {asked.shops}`, seed {asked.seed}, {seconds:.0f} CPU-s; "
        "nominal 0.90. Width: of the interval, over the reserve (median). Below, above: what came lay there. Warned: "
        "the page says that lately more or less came back than chance explains (nominal 0.05 where nothing shifted).",
        "",
        "| orders a day | way | shops | held | came below | came above | bias of the reserve | width | warned |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in table.to_dict("records"):
        lines.append(
            f"| {row['orders']:g} | {row['way']} | {row['shops']} | {row['held']:.3f} | {row['below']:.3f} | "
            f"{row['above']:.3f} | {100 * row['bias']:+.1f}% | {100 * row['width']:.0f}% | {row['warned']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=300, help="of each size and way")
    parser.add_argument("--orders", type=float, nargs="+", default=[10, 60, 300], help="a day")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--seed", type=int, default=20260930)
    parser.add_argument("--write", type=Path, help="put the table between its markers in this page")
    asked = parser.parse_args()
    began, random = time.process_time(), np.random.default_rng(asked.seed)
    found = [trial(size, way, random) for size in asked.orders for way in asked.ways for _ in range(asked.shops)]
    text = markdown(measured(pd.DataFrame(found)), asked, time.process_time() - began)
    print(text)
    if asked.write:
        page = asked.write.read_text(encoding="utf-8") if asked.write.is_file() else "\n".join(MARKERS) + "\n"
        before, rest = page.split(MARKERS[0], 1)
        after = rest.split(MARKERS[1], 1)[1]
        asked.write.write_text(f"{before}{MARKERS[0]}\n{text}\n{MARKERS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
