"""Which beliefs before the data serve best over worlds that nobody chose? Published fits under several priors.

The default was chosen here, on seeds 1000 to 1211, which the side-by-side benchmark (from 3000) and the coverage
study (from 2000) do not use. By family: median relative error and root mean square error of log iROAS, share of 90%
intervals that hold it, and the same of all media together, with the mean log error of the total.

Run: ``python -m tests.benchmarks.regression_priors [companies a family]`` (a minute of CPU for each prior and company)
"""

import sys

import numpy as np
import pandas as pd

from kpitoolkit.regression import estimate, posterior
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import problem
from tests.benchmarks.sidebyside import companies

FIRST_SEED = 1000
PRIORS = {
    "default": {},
    "common factor 0.8": {"common_log_sd": 0.8},
    "common factor 1.6": {"common_log_sd": 1.6},
    "independent, sd 1": {"common_log_sd": 1e-3, "own_log_sd": 1.0},
    "mostly concave: slope 1.1, sd 0.4": {"slope": 1.105, "slope_log_sd": 0.4},
    "geometric adstock only": {"adstock": "geometric"},
}


def one(name, family, seed):
    """Errors and coverage of one company under one prior."""
    made = companies.company(family, seed)
    stated = dict(PRIORS[name])
    only = stated.pop("adstock", None)
    frame = made.frame.set_index("period_end")
    given = problem(frame, companies.CHANNELS, companies.CONTROLS, window=companies.WEEKS, priors=Priors(**stated))
    post = estimate.published(given if only else estimate.chosen(given)[0])
    truth = np.array([*made.truth.loc[list(companies.CHANNELS), "iroas"], made.total_iroas])
    draws = np.column_stack([post.iroas, post.total])
    low, high = posterior.interval(draws)
    ratio = posterior.point(draws) / truth
    held = (low <= truth) & (truth <= high)
    rows = pd.DataFrame({"ratio": ratio, "held": held, "of": ["channel"] * len(companies.CHANNELS) + ["total"]})
    return rows.assign(prior=name, family=family)


def main(count=6):
    """Print a table for each prior."""
    for name in PRIORS:
        rows = pd.concat(
            [one(name, family, FIRST_SEED + each) for family in companies.FAMILIES for each in range(count)]
        )
        rows["error"], rows["log"] = (rows["ratio"] - 1).abs(), np.log(rows["ratio"])
        shown = rows.groupby(["family", "of"], sort=False).agg(
            error=("error", "median"),
            rmse_log=("log", lambda values: float(np.sqrt((values**2).mean()))),
            bias_log=("log", "mean"),
            held=("held", "mean"),
        )
        wide = shown.reset_index().pivot_table(index="family", columns="of", sort=False)
        print(f"\n{name}\n{wide.round(2).to_string()}", flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
