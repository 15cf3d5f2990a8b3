"""The toolkit's regression on simulated companies: published intervals, or drafts.

One fit before the clock starts pays for imports and for what numba reads from its cache; it is timed apart, as the
peers' building and compiling is.
"""

import numpy as np

from tests.benchmarks.sidebyside import answers, companies, stopwatch


def given(company):
    """Return the problem of a company as `regression.fit` poses it: window, carry-in, controls, adstock by evidence."""
    from kpitoolkit.regression import estimate
    from kpitoolkit.regression.problem import problem

    frame = company.frame.set_index("period_end")
    return estimate.chosen(problem(frame, companies.CHANNELS, companies.CONTROLS, "week", companies.WEEKS))[0]


def fit(watch, companies_of, kind="published"):
    """Fit each company ([family, seed]); return iROAS by channel and of all media together."""
    from kpitoolkit.regression import estimate
    from kpitoolkit.regression.posterior import point

    watch.imported()
    estimator = {"published": estimate.published, "draft": estimate.draft}[kind]
    watch.run(lambda: estimator(given(companies.company("in_family", 10**6))), "first")
    found = []
    for family, seed in companies_of:
        company = companies.company(family, seed)
        posterior = watch.run(lambda company=company: estimator(given(company)), "fit")
        draws = np.column_stack([posterior.iroas, posterior.total])
        answer = {"family": family, "seed": seed, "build_cpu": 0.0}
        answer["first_cpu"] = watch.readings["first"]["cpu"]
        answer |= {key: watch.readings["fit"][key] for key in ("cpu", "wall")}
        answer |= {key: np.asarray(getattr(posterior, key)).tolist() for key in ("r_hat", "ess", "divergences")}
        answer["point"] = point(draws).tolist()
        found.append(answer | answers.summary(draws))
    names = ("kpitoolkit", "numpy", "scipy", "numba", "pandas", "arviz")
    return {"fits": found, "versions": stopwatch.versions(names)}


TASKS = {"fit": fit}

if __name__ == "__main__":
    stopwatch.answer(TASKS)
