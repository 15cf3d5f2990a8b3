"""From claimed to booked at scale: a million claims on a million orders, and its floor, the join alone on DuckDB.

Measured in CPU-seconds of this process, on tables in memory: the aim is at most 30. The floor joins claims to orders by
order id and sums them by whether an order was found; it applies no rule, converts no currency, compares no ledger.

Run: ``python tests/benchmarks/claims.py [--rows 1000000] [--write docs/reconciliation-benchmark.md]``
"""

import argparse
import os
import platform
import resource
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from kpitoolkit.parameters import ACCOUNTS
from kpitoolkit.reconciliation.claims import claimed_to_booked

SEED, ROWS, AIM = 20261122, 1_000_000, 30.0
BEGIN, END = "<!-- claims: begin -->", "<!-- claims: end -->"
FIRST = np.datetime64("2026-07-01T00:00:00")
SECONDS, DAY = 92 * 86_400, 86_400
RATES = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["USD"], "rate": [0.8765]})


def company(rows: int, named: float = 1.0) -> tuple:
    """Return claims, orders, returns and ledger of one quarter with every cause among them.

    Parameters
    ----------
    rows : int
        Claims, and orders.
    named : float
        Share of the five platforms that give order ids.
    """
    rng = np.random.default_rng(SEED)
    ids = pd.array([f"O{i:09d}" for i in range(rows)], dtype="string")
    placed = FIRST + np.sort(rng.integers(-7 * DAY, SECONDS + 2 * DAY, rows)).astype("timedelta64[s]")
    gross = rng.integers(500, 50_000, rows)
    vat, shipping = gross * 18 // 100, np.full(rows, 490)
    discount = np.where(rng.random(rows) < 0.2, gross // 20, 0)
    paid = rng.random(rows) < 0.97
    later = rng.integers(0, 4, rows).astype("timedelta64[D]")
    orders = pd.DataFrame({"order_id": ids, "time": placed.astype("datetime64[us]")})
    for name, cents in (("gross", gross), ("vat", vat), ("shipping", shipping), ("discount", discount)):
        orders[f"{name}_cents"] = pd.array(cents, dtype="Int64")
    orders["supplier_share_cents"] = pd.array(np.where(rng.random(rows) < 0.05, gross // 2, 0), dtype="Int64")
    orders["currency"] = pd.array(["EUR"] * rows, dtype="string")
    orders["status"] = pd.array(np.where(paid, "paid", "cancelled"), dtype="string")
    orders["recognition_date"] = (placed.astype("datetime64[D]") + later).astype("datetime64[us]")

    at = rng.integers(0, rows, rows)
    lost = rng.random(rows) < 0.05
    channel = rng.integers(0, 5, rows)
    value = np.where(rng.random(rows) < 0.9, gross[at], gross[at] * 82 // 100)
    dollars = channel == 4
    claimed = ids.take(at)
    claimed[lost | (channel >= round(5 * named))] = pd.NA
    claims = pd.DataFrame({"claim_id": pd.array([f"C{i:09d}" for i in range(rows)], dtype="string")})
    claims["platform"] = pd.array(np.array(["search", "social", "display", "video", "abroad"])[channel], dtype="string")
    claims["order_id"] = claimed
    claims["conversion_time"] = placed[at].astype("datetime64[us]")
    lag = rng.integers(60, 36 * DAY, rows).astype("timedelta64[s]")
    claims["touch_time"] = (placed[at] - lag).astype("datetime64[us]")
    claims["kind"] = pd.array(np.where(rng.random(rows) < 0.9, "click", "view"), dtype="string")
    claims["value_cents"] = pd.array(np.where(dollars, value * 100 // 88, value), dtype="Int64")
    claims["currency"] = pd.array(np.where(dollars, "USD", "EUR"), dtype="string")

    own = orders["time"].between("2026-07-01", "2026-09-30 23:59:59") & (orders["status"] == "paid")
    net = orders["gross_cents"] - orders["vat_cents"] - orders["shipping_cents"] - orders["discount_cents"]
    sales = net[own].groupby(orders["time"][own].dt.normalize()).sum()
    ledger = pd.DataFrame({"line": [f"L{i}" for i in range(len(sales))], "date": sales.index, "period": "2026Q3"})
    ledger = ledger.assign(account="4000", amount_cents=sales.to_numpy(), currency="EUR")
    return claims, orders, None, ledger.astype({"amount_cents": "Int64"})


def timed(call):
    """Return what a call returns and its CPU-seconds."""
    began = time.process_time()
    found = call()
    return found, time.process_time() - began


def joined(claims: pd.DataFrame, orders: pd.DataFrame) -> list[tuple]:
    """The floor: the join alone."""
    with duckdb.connect(config={"threads": 1}) as engine:
        engine.register("claims", claims[["claim_id", "order_id", "value_cents"]])
        engine.register("orders", orders[["order_id", "gross_cents"]])
        return engine.execute(
            "select o.order_id is not null, count(*), sum(c.value_cents), sum(o.gross_cents) "
            "from claims c left join orders o using (order_id) group by 1 order by 1"
        ).fetchall()


def measure(rows: int) -> pd.DataFrame:
    """Bridge and floor, three times each; the median."""
    lines = []
    for title, named in (("order ids from all platforms (grade A)", 1.0), ("from three of five (grade B)", 0.6)):
        claims, orders, returns, ledger = company(rows, named)
        floor = sorted(timed(lambda: joined(claims, orders))[1] for _ in range(3))[1]  # noqa: B023
        spent, result = [], None
        for _ in range(3):
            given = (claims, orders, returns, ledger, RATES, ACCOUNTS, "2026Q3", "EUR")
            result, seconds = timed(lambda: claimed_to_booked(*given))  # noqa: B023
            spent.append(seconds)
        again = result.checks[result.checks["check"].str.endswith("_again")]
        assert len(again) == 5 and (again["value_cents"] == 0).all(), again
        assert result.rows["cause"].nunique() >= 6
        lines.append((title, sorted(spent)[1], floor, sorted(spent)[1] / floor))
    return pd.DataFrame(lines, columns=["tables", "bridge", "floor", "ratio"])


def report(rows: int, found: pd.DataFrame) -> str:
    """The measurements as Markdown."""
    load = os.getloadavg()[0]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    lines = [
        f"- Command: `python tests/benchmarks/claims.py --rows {rows}`, "
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; load when it ended: {load:.1f}.",
        f"- Python {platform.python_version()}, pandas {pd.__version__}, DuckDB {duckdb.__version__}; CPU-seconds, "
        f"median of three; peak memory of the whole script {memory:.1f} GB. Seed {SEED}. Aim: at most {AIM:.0f} CPU-s.",
        "",
        f"| {rows:,} claims x {rows:,} orders | bridge, CPU-s | the join alone on DuckDB, CPU-s | ratio |",
        "|---|---|---|---|",
    ]
    lines += [f"| {r.tables} | {r.bridge:.1f} | {r.floor:.2f} | {r.ratio:.0f} |" for r in found.itertuples(index=False)]
    return "\n".join(lines)


def write(path: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put a text between two markers of a file, which is made where it is not there."""
    old = path.read_text(encoding="utf-8") if path.exists() else "# Reconciliation: measurements\n"
    if begin not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n"
    head, _, rest = old.partition(begin)
    path.write_text(f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Measure, print, and write where asked; 1 where the aim is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--write", type=Path)
    stated = parser.parse_args(arguments)
    found = measure(stated.rows)
    text = report(stated.rows, found)
    print(text)
    if stated.write:
        write(stated.write, "## From claimed to booked at scale\n\n" + text)
    return int(stated.rows >= ROWS and found["bridge"].max() > AIM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
