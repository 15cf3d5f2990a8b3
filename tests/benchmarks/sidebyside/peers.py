"""The work of each peer, from a ready-made path table, in the peer's own virtual environment.

Each runs as its documentation shows, on the leanest table it takes: distinct paths with counts. Reading the table and
bringing it into the peer's form is not timed. Answers are credits of conversions by channel.
"""

import warnings

from tests.benchmarks.sidebyside import stopwatch

SEPARATOR = " > "


def _table(path, each=False):
    import pandas as pd

    table = pd.read_csv(path, keep_default_na=False)
    if not each:
        return table
    mean = table["total_conversion_value"] / table["total_conversions"].clip(lower=1)
    converted = table[["path"]].assign(total_conversions=1, total_conversion_value=mean, total_null=0)
    null = table[["path"]].assign(total_conversions=0, total_conversion_value=0.0, total_null=1)
    halves = [converted.loc[table.index.repeat(table["total_conversions"])]]
    halves.append(null.loc[table.index.repeat(table["total_null"])])
    return pd.concat(halves).sample(frac=1, random_state=0).reset_index(drop=True)


def channelattribution(watch, paths, again=True, each=False, closer=None):
    """First, last, linear; Markov of order 1 with nulls and value, at the defaults or with a closer `conv_par`."""
    import ChannelAttribution as peer

    watch.imported()
    table = _table(paths, each)
    columns = {"var_path": "path", "var_conv": "total_conversions", "var_value": "total_conversion_value"}
    rest = {"sep": ">", "flg_pro": False}
    simulation = {} if closer is None else {"conv_par": closer}

    def markov(seed):
        return peer.markov_model(
            table, **columns, var_null="total_null", seed=seed, verbose=False, **simulation, **rest
        )

    rules, chain = watch.run(lambda: (peer.heuristic_models(table, **columns, **rest), markov(0)))
    rules, chain = rules.set_index("channel_name"), chain.set_index("channel_name")["total_conversions"]
    credit = {name: rules[f"{name}_touch_conversions"].to_dict() for name in ("first", "last", "linear")}
    credit["markov"] = chain.to_dict()
    if again:
        credit["markov, other seed"] = markov(1).set_index("channel_name")["total_conversions"].to_dict()
    return {"credit": credit}


def marketing(watch, paths, again=True):
    """First, last, linear, position; Markov; Shapley of at most 4 channels, the default."""
    import pandas as pd
    import polars as pl
    from mam import MAM

    watch.imported()
    table = _table(paths)
    halves = [
        pd.DataFrame({"path": table["path"], "converted": flag, "times": table[column]})
        for flag, column in ((True, "total_conversions"), (False, "total_null"))
    ]
    frame = pl.from_pandas(pd.concat(halves).query("times > 0"))

    def work():
        peer = MAM(frame, "grouped_journey", "path", "converted", occurrences_colname="times", path_separator=SEPARATOR)
        rules = {
            "first": peer.run_first_click(),
            "last": peer.run_last_click(),
            "linear": peer.run_linear(),
            "position": peer.run_position_based(),
            "markov": peer.run_markov(),
            "shapley": peer.run_shapley(),
        }
        return rules

    done = watch.run(work)
    credit = {}
    for name, result in done.items():
        parts = vars(result).values()
        frame = next(p for p in parts if hasattr(p, "columns") and "attribution" in p.columns)
        credit[name] = {str(channel): float(part) for channel, part in frame.select("channels", "attribution").rows()}
    effects = next(p for p in vars(done["markov"]).values() if isinstance(p, dict))["removal_effect"]["removal_effect"]
    whole = sum(credit["last"].values())
    credit["markov by its removal effects"] = (effects / effects.sum() * whole).to_dict()
    return {"credit": credit}


def do(watch, paths, again=True):
    """Markov of order 1 alone, removal to null: its fastest, and the one whose answer is comparable."""
    import numpy as np
    from do_attribution import MarkovAttribution

    watch.imported()
    table = _table(paths)
    path = np.tile(table["path"].to_numpy(dtype=object), 2)
    times = np.concatenate([table["total_conversions"], table["total_null"]]).astype(float)
    converted = np.repeat([1, 0], len(table))
    path, converted, times = path[times > 0], converted[times > 0], times[times > 0]
    whole = float(table["total_conversions"].sum())

    def fit(strategy):
        found = MarkovAttribution(separator=SEPARATOR, removal_strategy=strategy).fit(path, converted, times)
        return {channel: share * whole for channel, share in (found["attribution"] or {}).items()}

    credit = {"markov": watch.run(lambda: fit("redirect_to_null"))}
    if again:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            credit["markov as by default"] = fit("fail")
    return {"credit": credit}


TASKS = {"channelattribution": channelattribution, "marketing": marketing, "do": do}

if __name__ == "__main__":
    stopwatch.answer(TASKS)
