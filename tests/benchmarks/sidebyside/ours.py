"""The work of the toolkit, the floors under it, and the exact answer by a second way.

`everything` is what attribution gives on a set: journeys from raw touchpoints, all eight models by count and by value
with their intervals, the choice of the Markov order by held-out likelihood, the game of conversion rates.
"""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.sidebyside import stopwatch
from tests.benchmarks.sidebyside.data import PERIOD


def everything(watch, folder, order=1, portable=False):
    """Run all of it on the two Parquet files; stages are timed one by one, and together."""
    import duckdb  # noqa: F401  the clock does not pay for imports
    import pyarrow.parquet  # noqa: F401

    from kpitoolkit.attribution import attribute, journeys, markov, shapley

    paths = [str(Path(folder) / f"{name}.parquet") for name in ("touchpoints", "conversions")]
    if portable:
        import ibis

        connection = ibis.duckdb.connect()
        paths = [connection.read_parquet(path) for path in paths]
    watch.imported()
    stages = {}

    def staged(name, work):
        stages[name] = stopwatch.timed(work)
        return stages[name].pop("answer")

    def work():
        found = staged("journeys", lambda: journeys(*paths, lookback_days=30, period=PERIOD))
        result = staged("eight models", lambda: attribute(found, order=order))
        if order == 1:
            staged("order choice", lambda: markov.order_choice(found))
            staged("rate game", lambda: shapley.rate_game(found))
        return found, result

    found, result = watch.run(work)
    table = result.table[result.table["channel"] != "unattributed"].set_index("channel")
    return {
        "stages": stages,
        "credit": {model: line["conversions"].to_dict() for model, line in table.groupby("model")},
        "states": found.table.set_index("state")["journeys"].to_dict(),
        "conversions": float(found.table["conversions"].sum()),
        "touchpoints": int(found.arrival.set_index("item")["rows"].get("touchpoints_in_journeys", -1)),
        "channels": len(found.channels),
    }


def exact(watch, folder):
    """Credit from the path table: by the toolkit, and by dense inverses with one channel removed after another."""
    from kpitoolkit.attribution import attribute, journeys_from_paths

    table = pd.read_csv(Path(folder) / "paths.csv", keep_default_na=False)
    found = journeys_from_paths(table)
    line = attribute(found).table.set_index(["model", "channel"])["conversions"]
    ours = {model: line[model].drop("unattributed").to_dict() for model in ("first", "last", "linear", "markov")}
    return {"paths": ours, "dense": dense(table), "conversions": float(table["total_conversions"].sum())}


def dense(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Count first, last, linear and Markov of order 1 from distinct paths, with nothing of the toolkit.

    The chain's transitions are counted in a loop over the paths; removing a channel sends to null what would pass to
    it, and the chance of conversion is solved anew on the whole chain.
    """
    steps = [path.split(" > ") for path in table["path"]]
    names = sorted({name for path in steps for name in path})
    place = {name: number + 1 for number, name in enumerate(names)}
    k = len(names)
    converted, null = k + 1, k + 2
    counts = np.zeros((k + 3, k + 3))
    credit = {model: np.zeros(k) for model in ("first", "last", "linear")}
    for path, conversions, nulls in zip(steps, table["total_conversions"], table["total_null"], strict=True):
        states = [0, *(place[name] for name in path)]
        for origin, target in itertools.pairwise(states):
            counts[origin, target] += conversions + nulls
        counts[states[-1], converted] += conversions
        counts[states[-1], null] += nulls
        if conversions:
            credit["first"][states[1] - 1] += conversions
            credit["last"][states[-1] - 1] += conversions
            for state in states[1:]:
                credit["linear"][state - 1] += conversions / len(path)
    counts[converted, converted] = counts[null, null] = 1.0
    chance = counts / counts.sum(axis=1, keepdims=True)

    def conversion(chance):
        return np.linalg.solve(np.eye(k + 1) - chance[: k + 1, : k + 1], chance[: k + 1, converted])[0]

    whole = conversion(chance)
    effect = np.zeros(k)
    for state in range(1, k + 1):
        without = chance.copy()
        without[:, null] += without[:, state]
        without[:, state] = 0.0
        effect[state - 1] = 1 - conversion(without) / whole
    credit["markov"] = effect / effect.sum() * table["total_conversions"].sum()
    return {model: dict(zip(names, values.tolist(), strict=True)) for model, values in credit.items()}


def floors(watch, folder):
    """Count rows per channel, read all columns, and group by user, in DuckDB on all cores, straight from Parquet."""
    import duckdb

    watch.imported()
    scan = f"from '{folder}/touchpoints.parquet'"
    connection = duckdb.connect()
    watch.run(lambda: connection.sql(f"select channel, count(*) {scan} group by channel").fetchall(), "scan")
    every = f"select channel, count(*), min(time), max(user_id) {scan} group by channel"
    watch.run(lambda: connection.sql(every).fetchall(), "columns")
    inner = f"select user_id, count(*) as n, min(time) as a, max(time) as b {scan} group by user_id"
    watch.run(lambda: connection.sql(f"select sum(n), max(b - a) from ({inner})").fetchall(), "by user")
    return {}


def versions(watch):
    """Return the versions that the toolkit ran on."""
    from importlib.metadata import version

    names = ("kpitoolkit", "numpy", "scipy", "pandas", "pyarrow", "duckdb", "ibis-framework")
    return {name: version(name) for name in names}


TASKS = {"everything": everything, "exact": exact, "floors": floors, "versions": versions}

if __name__ == "__main__":
    stopwatch.answer(TASKS)
