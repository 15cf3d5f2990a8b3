"""How often do the 90% intervals of attribution hold the truth?

Companies of several kinds are simulated: two sorts of customers each with its own taste for channels, repeat orders of
unequal value, orders without touchpoint, a rare channel, campaigns of unequal size; their number of customers varies
(Poisson). The truth is each model's credit in the population, from some hundred times as many customers. Measured: all
models with the Markov chain at orders 1 and 2, in conversions and in value, by channel and by campaign, for small
companies (two hundred conversions) and larger ones; lines with few conversions behind them apart. Nominal: 0.90.

Run: ``python tests/benchmarks/attribution_coverage.py [--companies 200] [--customers 1000 4000 20000] [--seed N]``
"""

import argparse
import time

import numpy as np
import pandas as pd

from kpitoolkit.attribution import attribute, journeys

PERIOD = ("2026-07-01", "2026-09-30")
NODES = (
    ("affiliates", "coupons"),
    ("direct", ""),
    ("display", "launch"),
    ("display", "always on"),
    ("email", "letter"),
    ("email", "reminder"),
    ("search", "brand"),
    ("search", "generic"),
    ("search", "niche"),
    ("social", "stories"),
    ("social", "posts"),
)
ODDS = np.array([0.01, 0.2, 0.05, 0.11, 0.1, 0.06, 0.12, 0.17, 0.01, 0.1, 0.07])
BUYS = np.array([0.06, 0.07, 0.01, 0.01, 0.06, 0.09, 0.1, 0.06, 0.08, 0.015, 0.01])
EXPECTED = {"below 5": (0, 5), "5 to 20": (5, 20), "20 and more": (20, np.inf)}
BY = {"channel": ["channel"], "campaign": ["channel", "campaign"]}


def kind(number: int, seed: int) -> dict[str, np.ndarray]:
    """Draw what sets one kind of company apart: tastes and order rates of its two sorts of customers."""
    random = np.random.default_rng([seed, number])
    taste = ODDS * np.exp(random.normal(0, 0.5, (2, len(ODDS))))
    buys = BUYS * np.array([[1.4], [0.6]]) * np.exp(random.normal(0, 0.3, (2, len(ODDS))))
    return {"taste": taste / taste.sum(axis=1, keepdims=True), "buys": buys, "stay": random.uniform(0.1, 0.5, 2)}


def quarter(customers: int, company: dict, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate the touchpoints and conversions of one quarter."""
    sort = (random.random(customers) < 0.6).astype(int)
    contacts = random.geometric(0.28, customers)
    user = np.repeat(np.arange(customers), contacts)
    first = np.concatenate([[True], user[1:] != user[:-1]])
    fresh = (random.random((len(user), 1)) > company["taste"][sort[user]].cumsum(axis=1)).sum(axis=1)
    fresh = fresh.clip(max=len(NODES) - 1)
    new = first | (random.random(len(user)) > company["stay"][sort[user]])
    node = fresh[np.maximum.accumulate(np.where(new, np.arange(len(user)), 0))]
    seconds = random.integers(0, 92 * 86_400 - 7_200, len(user))
    seconds = seconds[np.lexsort((seconds, user))]
    moment = pd.Timestamp("2026-07-01") + pd.to_timedelta(seconds, unit="s")
    names = np.array(NODES)[node]
    touchpoints = pd.DataFrame({"user_id": user, "time": moment, "channel": names[:, 0], "campaign": names[:, 1]})

    bought = random.random(len(user)) < company["buys"][sort[user], node]
    unseen = customers + np.flatnonzero(random.random(customers) < 0.02)
    worth = np.concatenate([4.0 + 0.4 * sort[user[bought]], np.full(len(unseen), 4.0)])
    return touchpoints, pd.DataFrame(
        {
            "order_id": np.arange(len(worth)),
            "user_id": np.concatenate([user[bought], unseen]),
            "time": np.concatenate(
                [
                    (moment[bought] + pd.Timedelta(hours=1)).to_numpy().astype("datetime64[us]"),
                    np.full(len(unseen), np.datetime64("2026-08-01T00:00:00", "us")),
                ]
            ),
            "value": np.exp(random.normal(worth, 0.6)),
        }
    )


def lines(touchpoints: pd.DataFrame, conversions: pd.DataFrame) -> pd.DataFrame:
    """Return estimate, low and high of every model, measure and line, by channel and by campaign."""
    built = journeys(touchpoints, conversions, 30, PERIOD)
    tables = []
    for by, names in BY.items():
        for order in (1, 2):
            table = attribute(built, order=order, by=by).table
            if order > 1:
                table = table[table["model"] == "markov"]
            model = table["model"].where(table["model"] != "markov", f"markov, order {order}")
            line = table[names].agg(" / ".join, axis=1)
            key = pd.DataFrame({"by": by, "model": model, "line": line})
            for measure, low, high in (("conversions", "low", "high"), ("value", "value_low", "value_high")):
                values = {"estimate": table[measure], "low": table[low], "high": table[high]}
                tables.append(key.assign(measure=measure, **values))
    return pd.concat(tables).set_index(["by", "measure", "model", "line"])


def truth(company: dict, customers: int, times: int, random: np.random.Generator) -> pd.Series:
    """Return each line's credit a customer, in the population."""
    samples = [lines(*quarter(customers, company, random))["estimate"] for _ in range(times)]
    return pd.concat(samples, axis=1).mean(axis=1) / customers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--companies", type=int, default=200, help="companies of each size")
    parser.add_argument("--customers", type=int, nargs="+", default=[1_000, 4_000, 20_000], help="mean customers")
    parser.add_argument("--kinds", type=int, default=4)
    parser.add_argument("--population", type=int, default=400_000, help="customers of one sample of the population")
    parser.add_argument("--samples", type=int, default=4, help="such samples, for each kind")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--lines", action="store_true", help="print every line as well")
    asked = parser.parse_args()
    began, random = time.process_time(), np.random.default_rng(asked.seed)
    kinds = [kind(number, asked.seed) for number in range(asked.kinds)]
    rates = [truth(company, asked.population, asked.samples, random) for company in kinds]
    print(f"truth: {time.process_time() - began:.0f} CPU-s")

    found = []
    for customers in asked.customers:
        for number in range(asked.companies):
            which = number % asked.kinds
            expected = rates[which] * customers
            got = lines(*quarter(random.poisson(customers), kinds[which], random)).reindex(expected.index)
            few = expected.xs("conversions", level="measure").reindex(expected.index.droplevel("measure")).to_numpy()
            got = got.fillna(0.0).assign(customers=customers, truth=expected, expected="")
            for name, (low, high) in EXPECTED.items():
                got.loc[(few >= low) & (few < high), "expected"] = name
            found.append(got.reset_index())
    found = pd.concat(found)
    found["cover"] = (found["low"] <= found["truth"]) & (found["truth"] <= found["high"])
    found["too_high"], found["too_low"] = found["low"] > found["truth"], found["high"] < found["truth"]
    found["width"] = (found["high"] - found["low"]) / found["truth"]
    found["expected"] = pd.Categorical(found["expected"], EXPECTED)

    print("\nshare of 90% intervals that hold the truth, by conversions expected of the line: each model, all sizes")
    by_model = found.pivot_table("cover", "model", ["expected", "by", "measure"], observed=True, sort=False)
    print(by_model.sort_index(axis=1, level=0, sort_remaining=False).round(3).to_string())
    print("\nthe same over models: mean, lowest and highest model; too low, too high, width / truth; intervals")
    cell = found.groupby(["expected", "measure", "customers"], observed=True, sort=False)
    models = found.groupby(["expected", "measure", "customers", "by", "model"], observed=True, sort=False)["cover"]
    range_of = models.mean().groupby(["expected", "measure", "customers"], observed=True, sort=False)
    sizes = cell[["cover", "too_low", "too_high", "width"]].mean()
    sizes = sizes.assign(lowest=range_of.min(), highest=range_of.max(), intervals=cell.size())
    print(sizes.sort_index().round(3).to_string())
    columns = ["expected", "measure", "customers", "by", "model", "line"]
    by_line = found.groupby(columns, observed=True, sort=False)[["cover", "too_low", "too_high", "truth", "estimate"]]
    if asked.lines:
        print(by_line.mean().round(3).to_string())
    spent = time.process_time() - began
    print(f"\n{asked.companies} companies of each size, {asked.kinds} kinds; {spent:.0f} CPU-s; nominal 0.900")


if __name__ == "__main__":
    main()
