"""How far does a published iROAS move when a quarter of data is added? Nothing else changes: the truth stays.

Simulated companies (`sidebyside/companies.py`, longer histories) are estimated on last quarter's window and on this
quarter's, 13 weeks later: on an expanding window (same first week), and on a rolling one (same length). Reported: the
median, mean and 90th percentile of |change of log iROAS|, by channel and for all media together. An iROAS is that of
its window, so part of the change is the world's own: `truth` is what the true figure moves.

The aim is a median of at most 0.10 by channel.

Run: ``python -m tests.benchmarks.regression_refresh [companies] [draft|published] [first seed]``
"""

import sys
import time

import numpy as np
import pandas as pd

from kpitoolkit.regression import estimate
from kpitoolkit.regression.posterior import point
from kpitoolkit.regression.problem import problem
from tests.benchmarks.sidebyside import companies

QUARTER, LONGEST = 13, 156
WINDOWS = (
    ("expanding", 104, 117),
    ("expanding", 143, 156),
    ("rolling", 104, 104),
    ("rolling", 156, 156),
)


def company(family, seed, weeks):
    """A company of the benchmark's families with a longer window."""
    before, companies.WEEKS = companies.WEEKS, weeks
    try:
        return companies.company(family, seed)
    finally:
        companies.WEEKS = before


def measure(one, fit, seed):
    """For one company: rows of window, channel, change of the estimate's log iROAS and of the truth's."""
    frame = one.frame.set_index("period_end")
    channels, controls = list(companies.CHANNELS), list(companies.CONTROLS)
    known = {}

    def estimated(last, weeks):
        if (last, weeks) not in known:
            post = fit(problem(frame.iloc[:last], channels, controls, "week", weeks), seed)
            inside = slice(last - companies.CARRY_IN - weeks, last - companies.CARRY_IN)
            brought = one.contributions.iloc[inside].sum()
            spent = frame[channels].iloc[last - weeks : last].sum()
            truth = [*np.log(brought / spent), np.log(brought.sum() / spent.sum())]
            known[last, weeks] = np.log([*point(post.iroas), point(post.total)]), np.array(truth)
        return known[last, weeks]

    rows = []
    for kind, before, after in WINDOWS:
        last = len(frame)
        (old, old_truth), (new, new_truth) = estimated(last - QUARTER, before), estimated(last, after)
        for place, name in enumerate([*channels, "total_media"]):
            change = {"change": abs(new[place] - old[place]), "truth": abs(new_truth[place] - old_truth[place])}
            rows.append({"windows": f"{before} to {after}, {kind}", "channel": name, **change})
    return rows


def main(count=20, kind="draft", first=100):
    """Print the table."""
    fit = getattr(estimate, kind)
    began, rows = time.process_time(), []
    for seed in range(first, first + count):
        rows += measure(company("in_family", seed, LONGEST + QUARTER), fit, seed)
    found = pd.DataFrame(rows)
    found["of"] = np.where(found["channel"] == "total_media", "all media", "channel")
    by = found.groupby(["of", "windows"], sort=False)
    table = by["change"].agg(median="median", mean="mean", p90=lambda values: values.quantile(0.9))
    table["median of the truth"] = by["truth"].median()
    print(f"{kind}, {count} companies in family, seeds from {first}: |change of log iROAS| at a refresh of 13 weeks")
    print(table.round(3).to_string())
    print(f"{time.process_time() - began:.0f} CPU-s")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*(kind(value) for kind, value in zip((int, str, int), given, strict=False)))
