"""Does the quarter close forecast what the open journeys bring, and how often do its 90% intervals hold it?

Companies with fast channels (search: hours, email: a day) and slow ones (display: 9 days, social: 12) are simulated
past the quarter's end, in three ways: steady; growing by half within the quarter; growing, with a campaign of the slow
channel social launched in the quarter's last month. What came: the same journeys, closed at what their customers did,
credited by the same model to the touchpoints known at the quarter's end. Biases are relative to the credit of the
quarter's own journeys: credited - carried in + came.

Run: ``python tests/benchmarks/maturity_coverage.py [--quarters 120] [--users 800 4000]``
"""

import argparse
import time

import numpy as np
import pandas as pd

from kpitoolkit.attribution import attribute, journeys, maturity
from kpitoolkit.attribution.maturity_standing import standings

PERIOD = ("2026-07-01", "2026-09-30")
START, END = (int(np.datetime64(day, "us").astype(np.int64)) for day in ("2026-07-01", "2026-10-01"))
DAY, DAYS, LOOKBACK = 86_400_000_000, 92, 30
CHANNELS = np.array(["display", "email", "search", "social"])
SLOW = ["display", "social"]
DELAY_DAYS = np.array([9.0, 1.0, 0.3, 12.0])
ORDERS = np.array([0.05, 0.1, 0.1, 0.06])
MIX = np.array([0.25, 0.2, 0.35, 0.2])
WAYS = {"steady": (0.0, False), "growth": (0.5, False), "campaign": (0.5, True)}
FEW = 5


def company(users: int, way: str, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate touchpoints and conversions from a look-back and a half before the quarter to as much after it."""
    growth, launches = WAYS[way]
    before, after = -1.5 * LOOKBACK, DAYS + 1.5 * LOOKBACK
    arrival = random.uniform(before, after, random.poisson(users * (after - before) / DAYS))
    arrival = arrival[random.random(len(arrival)) < (1 + growth * np.clip(arrival / DAYS, 0, 1)) / (1 + growth)]
    first = random.choice(4, len(arrival), p=MIX)
    if launches:
        more = random.uniform(DAYS - 30, DAYS + 20, random.poisson(0.25 * users))
        arrival, first = np.concatenate([arrival, more]), np.concatenate([first, np.full(len(more), 3)])
    contacts = random.geometric(0.45, len(arrival))
    user = np.repeat(np.arange(len(arrival)), contacts)
    opens = np.concatenate([[True], user[1:] != user[:-1]])
    walked = np.cumsum(np.where(opens, 0.0, random.exponential(6.0, len(user))))
    day = walked - np.repeat(walked[opens] - arrival, contacts)
    channel = np.where(opens, first[user], random.choice(4, len(user), p=MIX))
    bought = random.random(len(user)) < ORDERS[channel]
    ordered = (day + random.exponential(DELAY_DAYS[channel]))[bought]
    touchpoints = pd.DataFrame({"user_id": user, "time": _moment(day), "channel": CHANNELS[channel]})
    conversions = pd.DataFrame({"order_id": np.arange(len(ordered)), "user_id": user[bought], "time": _moment(ordered)})
    return touchpoints, conversions.assign(value=np.exp(random.normal(4, 0.5, len(ordered))))


def _moment(day: np.ndarray) -> np.ndarray:
    return (START + np.rint(day * DAY).astype(np.int64)).astype("datetime64[us]")


def came(touchpoints: pd.DataFrame, conversions: pd.DataFrame) -> pd.DataFrame:
    """Return what the journeys open at the quarter's end brought: conversions and value by model and channel."""
    since = START - LOOKBACK * DAY
    at = standings(touchpoints, conversions, (END,), since, END + LOOKBACK * DAY, LOOKBACK)[0]
    closes = conversions["order_id"].isin(at.carried)
    moved = conversions.assign(time=conversions["time"].where(~closes, pd.Timestamp("2026-09-30 23:59:59.999999")))
    columns = {}
    for name, value in (("came", 1.0), ("value_came", moved["value"])):
        closed = journeys(touchpoints, moved.assign(value=np.where(closes, value, 0.0)), LOOKBACK, PERIOD)
        table = attribute(closed).table
        columns[name] = table.set_index(["model", "channel"])["value"]
    return pd.DataFrame(columns)


def quarter(users: int, way: str, random: np.random.Generator) -> pd.DataFrame:
    """Simulate a company, close its quarter, and put what came beside the forecast; lines `all`: all channels."""
    touchpoints, conversions = company(users, way, random)
    result = maturity.quarter_close(touchpoints, conversions, PERIOD, LOOKBACK)
    outcome = came(touchpoints, conversions)
    table = result.table[result.table["channel"] != "unattributed"].set_index(["model", "channel"]).join(outcome)
    totals = result.totals.set_index("measure")
    whole = outcome.xs("last").sum()
    every = {name: totals.loc["conversions", name] for name in ("credited", "carried_in", "forecast", "low", "high")}
    every |= {f"value_{name}": totals.loc["value", name] for name in ("forecast", "low", "high")}
    table.loc[("total", "all"), [*every, "came", "value_came"]] = [*every.values(), *whole]
    return table.reset_index().assign(way=way, users=users)


def measured(found: pd.DataFrame) -> pd.DataFrame:
    """Add cover and errors to the lines of many quarters."""
    truth = found["credited"] - found["carried_in"] + found["came"]
    return found.assign(
        cover=(found["low"] <= found["came"] + 1e-9) & (found["came"] <= found["high"] + 1e-9),
        value_cover=(found["value_low"] <= found["value_came"] + 1e-9)
        & (found["value_came"] <= found["value_high"] + 1e-9),
        truth=truth,
        by_date=found["credited"] - truth,
        at_close=found["forecast"] - found["came"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quarters", type=int, default=120, help="of each way and size")
    parser.add_argument("--users", type=int, nargs="+", default=[800, 4_000])
    parser.add_argument("--seed", type=int, default=20260930)
    asked = parser.parse_args()
    began, random = time.process_time(), np.random.default_rng(asked.seed)
    lines = [quarter(users, way, random) for users in asked.users for way in WAYS for _ in range(asked.quarters)]
    found = measured(pd.concat(lines, ignore_index=True))
    mean = found.groupby(["users", "way", "model", "channel"], sort=False)["forecast"].transform("mean")
    print("cover of the 90% interval of conversions, and of value")
    size = np.where(mean < FEW, f"below {FEW}", f"{FEW} and more")
    for name in ("cover", "value_cover"):
        table = found.assign(expected=size).pivot_table(name, "model", ["expected", "users", "way"], sort=False)
        print(table.sort_index(axis=1).round(3).to_string())
    last = found[found["model"].isin(["last", "markov", "linear", "total"])]
    sums = last.groupby(["users", "way", "model", "channel"], sort=False)
    table = sums[["forecast", "came", "credited", "carried_in", "truth", "by_date", "at_close", "cover"]].mean()
    table["bias_by_date"], table["bias_at_close"] = (
        table.pop(name) / table["truth"] for name in ("by_date", "at_close")
    )
    print("\nmean forecast and what came; bias of the credit by date, and at the close, as a share of the truth")
    print(table.round(3).to_string())
    print(f"\n{len(lines)} quarters, {time.process_time() - began:.0f} CPU-s; nominal 0.900")


if __name__ == "__main__":
    main()
