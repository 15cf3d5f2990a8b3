"""How often do the 90% intervals of attribution hold the truth?

Quarters are simulated from one process (two kinds of customers, five channels, repeat orders, orders without
touchpoint); their number of customers varies, too (Poisson). The truth is the mean credit over many more customers.
Nominal: 90%.
"""

import argparse
import time

import numpy as np
import pandas as pd

from kpitoolkit.attribution import attribute, journeys

CHANNELS = np.array(["direct", "display", "email", "search", "social"])
PERIOD = ("2026-07-01", "2026-09-30")
STAY = np.array([0.5, 0.25])
TASTE = np.array([[0.30, 0.05, 0.30, 0.30, 0.05], [0.10, 0.35, 0.05, 0.20, 0.30]])
ORDERS = np.array([[0.10, 0.01, 0.08, 0.09, 0.02], [0.03, 0.005, 0.03, 0.05, 0.01]])


def quarter(customers: int, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate the touchpoints and conversions of one quarter."""
    kind = (random.random(customers) < 0.6).astype(int)
    contacts = random.geometric(0.28, customers)
    user = np.repeat(np.arange(customers), contacts)
    first = np.concatenate([[True], user[1:] != user[:-1]])
    fresh = (random.random((len(user), 1)) > TASTE[kind[user]].cumsum(axis=1)).sum(axis=1).clip(max=4)
    new = first | (random.random(len(user)) > STAY[kind[user]])
    channel = fresh[np.maximum.accumulate(np.where(new, np.arange(len(user)), 0))]
    seconds = random.integers(0, 92 * 86_400 - 7_200, len(user))
    seconds = seconds[np.lexsort((seconds, user))]
    moment = pd.Timestamp("2026-07-01") + pd.to_timedelta(seconds, unit="s")
    touchpoints = pd.DataFrame({"user_id": user, "time": moment, "channel": CHANNELS[channel]})

    bought = random.random(len(user)) < ORDERS[kind[user], channel]
    unseen = customers + np.flatnonzero(random.random(customers) < 0.02)
    conversions = pd.DataFrame(
        {
            "user_id": np.concatenate([user[bought], unseen]),
            "time": np.concatenate(
                [
                    (moment[bought] + pd.Timedelta(hours=1)).to_numpy(),
                    np.full(len(unseen), np.datetime64("2026-08-01T00:00:00", "us")),
                ]
            ),
        }
    )
    conversions["order_id"] = np.arange(len(conversions))
    return touchpoints, conversions.assign(value=50.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quarters", type=int, default=300)
    parser.add_argument("--customers", type=int, default=2_000)
    asked = parser.parse_args()
    random = np.random.default_rng(20260930)
    factor = 300
    key = ["model", "channel"]
    truth_tables, began = [], time.process_time()
    for _ in range(3):
        result = attribute(journeys(*quarter(asked.customers * factor, random), 30, PERIOD))
        effects = result.removal.assign(model="removal effect").rename(columns={"removal_effect": "conversions"})
        effects["conversions"] *= factor
        truth_tables.append(pd.concat([result.table, effects]).set_index(key)["conversions"] / factor)
    truth = sum(truth_tables) / len(truth_tables)

    inside, widths = 0.0, 0.0
    for _ in range(asked.quarters):
        result = attribute(journeys(*quarter(random.poisson(asked.customers), random), 30, PERIOD))
        effects = result.removal.assign(model="removal effect")
        lines = pd.concat([result.table, effects]).set_index(key).loc[truth.index]
        inside = inside + ((lines["low"] <= truth) & (truth <= lines["high"])).astype(float)
        widths = widths + (lines["high"] - lines["low"])
    table = pd.DataFrame({"truth": truth, "width": widths / asked.quarters, "cover": inside / asked.quarters})
    print(table.loc[["markov", "removal effect"]].round(3).to_string())
    print("\ncover of the 90% interval, mean over channels")
    print(table["cover"].groupby(level="model", sort=False).mean().round(3).to_string())
    spent = time.process_time() - began
    print(f"\n{asked.quarters} quarters of some {asked.customers} customers, {spent:.0f} CPU-s; nominal 0.900")


if __name__ == "__main__":
    main()
