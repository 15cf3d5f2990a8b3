"""How often do the 95% intervals of customer lifetime value hold the truth?

Customers arrive over six quarters and are then followed for the twelve quarters of the horizon. In two ways: as the
model says (BG/NBD with Gamma-Gamma), and otherwise: each customer's rate of purchases falls as the customer ages, which
the model does not know. What counts is the discounted value of the later purchases of a new customer: its expectation
under the model's truth, or the mean over very many customers under the other. Intervals by the fit's own error alone,
and as published: with the error that the quarter before made in forecasting this one.

Run: ``python tests/benchmarks/lifetime.py [--runs 200] [--customers 600 2400]``
"""

import argparse
import time

import numpy as np
import pandas as pd

from kpitoolkit.reconciliation import lifetime
from kpitoolkit.reconciliation import lifetime_models as models
from kpitoolkit.reconciliation.intervals import Z

TRUTH = {"r": 0.9, "alpha": 10.0, "a": 1.2, "b": 6.0}
VALUE = {"p": 3.0, "q": 6.0, "gamma": 8000.0}
AGEING = 60.0
"""Weeks in which a customer's rate falls to 1/e, where it falls."""
FIRST, LAST = pd.Timestamp("2025-04-01"), pd.Timestamp("2026-10-01")
HORIZON = 12 * lifetime.WEEKS_A_QUARTER


def purchases(random: np.random.Generator, customers: int, weeks: np.ndarray, ageing: bool):
    """Customer and week of life of each later purchase, up to as many weeks as are given for each customer."""
    rate, stop = random.gamma(TRUTH["r"], 1 / TRUTH["alpha"], customers), random.beta(TRUTH["a"], TRUTH["b"], customers)
    alive, now = np.arange(customers), np.zeros(customers)
    found = []
    while len(alive):
        wait = random.exponential(1 / rate[alive])
        if ageing:  # time runs slower and slower: the whole future holds only as much as AGEING weeks of youth
            left = np.exp(-now[alive] / AGEING) - wait / AGEING
            now[alive] = np.where(left > 0, -AGEING * np.log(np.where(left > 0, left, 1.0)), np.inf)
        else:
            now[alive] += wait
        alive = alive[now[alive] < weeks[alive]]
        found.append((alive, now[alive]))
        alive = alive[random.random(len(alive)) >= stop[alive]]
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def worth(weeks_of_life: np.ndarray) -> np.ndarray:
    """Discount of purchases by the quarter of life in which they fall, as published figures have it."""
    return 1.08 ** (-(np.floor(weeks_of_life / lifetime.WEEKS_A_QUARTER) + 0.5) / 4)


def truth(ageing: bool) -> float:
    """Discounted cents that a new customer's later purchases bring."""
    if ageing:
        many = 1_000_000
        _, at = purchases(np.random.default_rng(0), many, np.full(many, HORIZON), True)
        return worth(at).sum() / many * models.expected_value(VALUE)
    edges = np.arange(13) * lifetime.WEEKS_A_QUARTER
    counted = np.diff(models.expected_purchases(TRUTH, edges))
    return float((counted * 1.08 ** (-(np.arange(12) + 0.5) / 4)).sum() * models.expected_value(VALUE))


def company(random: np.random.Generator, customers: int, ageing: bool) -> dict[str, pd.DataFrame]:
    """Orders of customers who arrive on any day, each day's at noon; margin is all of the net value."""
    arrived = random.integers(0, (LAST - FIRST).days, customers)
    who, at = purchases(random, customers, ((LAST - FIRST).days - arrived) / 7, ageing)
    level = random.gamma(VALUE["q"], 1 / VALUE["gamma"], customers)
    who = np.concatenate([np.arange(customers), who])
    day = np.concatenate([arrived, arrived[who[customers:]] + np.ceil(at * 7).astype(int)])
    keep = day < (LAST - FIRST).days
    who, day = who[keep], day[keep]
    cents = np.maximum(np.rint(random.gamma(VALUE["p"], 1 / level[who])), 1).astype("int64")
    orders = pd.DataFrame({"order_id": np.arange(len(who)).astype(str), "customer_id": who, "gross_cents": cents})
    orders["time"] = FIRST + pd.to_timedelta(day, unit="D") + pd.Timedelta(hours=12)
    orders = orders.assign(vat_cents=0, shipping_cents=0, discount_cents=0, cost_cents=0, currency="EUR", status="paid")
    known = pd.DataFrame(
        {"customer_id": np.arange(customers), "first_order_date": FIRST + pd.to_timedelta(arrived, "D")}
    )
    return {"orders": orders, "customers": known}


def main() -> None:
    """Print one line for each way and number of customers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--customers", type=int, nargs="+", default=[600, 2400])
    parser.add_argument("--seed", type=int, default=20261122)
    given = parser.parse_args()
    started = time.process_time()
    head = ("customers", "runs", "no figure", "bias", "fit alone", "published", "width")
    print(f"{'way':<11}" + "".join(f"{name:>11}" for name in head))
    for ageing in (False, True):
        true = truth(ageing)
        for customers in given.customers:
            random, rows = np.random.default_rng([given.seed, customers, ageing]), []
            for _ in range(given.runs):
                result = lifetime.of_tables(company(random, customers, ageing), "EUR")
                row = result.row("2026Q3")
                if row["status"] != "ok" or np.isnan(row["low_cents"]):
                    continue
                later = row["cltv_cents"] - row["first_margin_cents"]
                low, high = (row[f"{end}_cents"] - row["first_margin_cents"] for end in ("low", "high"))
                missed = np.log(row["actual_purchases"] / row["expected_purchases"])
                alone = np.sqrt(max((np.log(high / later) / Z) ** 2 - missed**2, 0.0))
                inside = abs(np.log(later / true)) <= Z * alone
                rows.append((later / true - 1, inside, low <= true <= high, np.log(high / low) / 2))
            found = np.array(rows, float)
            way = "ageing" if ageing else "as modelled"
            print(
                f"{way:<11}{customers:>11}{len(found):>11}{given.runs - len(found):>11}{np.median(found[:, 0]):>11.1%}"
                f"{found[:, 1].mean():>11.1%}{found[:, 2].mean():>11.1%}{np.median(found[:, 3]):>11.1%}"
            )
    print(f"{time.process_time() - started:.0f} CPU-s")


if __name__ == "__main__":
    main()
