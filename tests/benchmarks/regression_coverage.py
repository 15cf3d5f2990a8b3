"""How often do stated intervals hold the truth, and how often is a verdict right? On simulated companies.

Published fits of 200 companies in family and of fewer in each other family (`sidebyside/companies.py`): what intervals
of 50, 80, 90 and 95% hold, of iROAS and of the return of the next euro, by channel and of all media together; what the
verdict says beside a break-even of 2.5 (a margin of 40%), and how often it is right. Drafts of the same companies stand
beside. Seeds start at 2000: nothing was chosen on them.

    python tests/benchmarks/regression_coverage.py --companies 20 --others 4       a few minutes
    python tests/benchmarks/regression_coverage.py --write docs/regression-benchmark.md
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
FIRST_SEED = 2000
BREAK_EVEN = 2.5
COMPANIES, OTHERS = 200, 20
TOTAL = "total"


def one(job):
    """Return one line per estimator, quantity and channel (or total) of a company."""
    sys.path.insert(0, str(ROOT))
    from kpitoolkit.regression import estimate, posterior, returns
    from tests.benchmarks.sidebyside import answers, companies, mix_ours

    family, seed = job
    company = companies.company(family, seed)
    began = time.process_time()
    problem = mix_ours.given(company)
    choosing = time.process_time() - began
    names = [*problem.channels, TOTAL]
    truths = {
        "iROAS": [*company.truth["iroas"], company.total_iroas],
        "next euro": [*company.truth["mroas"], company.total_mroas],
    }
    found = []
    for kind, estimator in (("published", estimate.published), ("draft", estimate.draft)):
        began = time.process_time()
        post = estimator(problem)
        seconds = choosing + time.process_time() - began
        in_order = bool(max(post.r_hat) < returns.AGREEING)
        table = returns.rows(post, 1 / BREAK_EVEN).iloc[[*range(1, len(names)), 0]]
        verdicts = [returns.verdict(row, problem.window, problem.frequency)[0] for row in table.itertuples()]
        margin = posterior.mroas(post)
        drawn = {
            "iROAS": np.column_stack([post.iroas, post.total]),
            "next euro": np.column_stack([margin, margin @ post.weight]),
        }
        for quantity, truth in truths.items():
            bounds = {level: posterior.interval(drawn[quantity], level) for level in answers.LEVELS}
            point = posterior.point(drawn[quantity])
            for place, name in enumerate(names):
                row = {"family": family, "seed": seed, "kind": kind, "quantity": quantity, "of": name, "cpu": seconds}
                row |= {level: low[place] <= truth[place] <= high[place] for level, (low, high) in bounds.items()}
                row |= {"error": abs(point[place] / truth[place] - 1), "verdict": verdicts[place]}
                row |= {"above": truth[place] > BREAK_EVEN, "extended": post.extended, "in_order": in_order}
                row["delayed"] = problem.adstock == "delayed"
                found.append(row)
    return found


def study(count, others, jobs, families=None):
    """Return the lines of all companies; a worker's first fit, which pays for what numba loads, is thrown away."""
    from tests.benchmarks.sidebyside import companies

    wanted = [
        (family, FIRST_SEED + each)
        for family in families or companies.FAMILIES
        for each in range(count if family == "in_family" else others)
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=one, initargs=(("in_family", 0),)) as pool:
        return pd.DataFrame([row for rows in pool.map(one, wanted, chunksize=4) for row in rows])


def grouped(lines):
    """Yield the name of a group of families, and its lines."""
    for family, part in lines.groupby("family", sort=False):
        yield family.replace("_", " "), part
    outside = lines[lines["family"] != "in_family"]
    if len(outside["family"].unique()) > 1:
        yield "outside, pooled", outside


def share(held, company):
    """Write a share with its standard error; companies, not channels, are what is independent."""
    by = held.astype(float).groupby(company).mean()
    return f"{held.mean():.1%} ± {100 * by.std() / np.sqrt(len(by)):.1f}" if len(by) > 1 else f"{held.mean():.1%}"


def coverage(lines, kind):
    """Return the table of what intervals held, of one estimator."""
    from tests.benchmarks import regression
    from tests.benchmarks.sidebyside import answers

    rows = []
    for name, part in grouped(lines[lines["kind"] == kind]):
        for quantity in ("iROAS", "next euro"):
            for of in ("channel", TOTAL):
                own = part[(part["quantity"] == quantity) & ((part["of"] == TOTAL) == (of == TOTAL))]
                company = own["family"] + own["seed"].astype(str)
                held = [share(own[level], company) for level in answers.LEVELS]
                rows.append([name, quantity, of, str(company.nunique()), *held, f"{own['error'].median():.2f}"])
    head = ["family", "of", "by", "companies", *(f"{level:.0%}" for level in answers.LEVELS), "median error"]
    return regression.table(head, rows)


def verdicts(lines):
    """Return the table of verdicts: how often there is one, and how often it is right."""
    from tests.benchmarks import regression

    rows = []
    for name, part in grouped(lines[(lines["kind"] == "published") & (lines["quantity"] == "iROAS")]):
        for of in ("channel", TOTAL):
            own = part[(part["of"] == TOTAL) == (of == TOTAL)]
            row = [name, of, str(len(own))]
            for verdict, right in (("above_break_even", own["above"]), ("below_break_even", ~own["above"])):
                said = own["verdict"] == verdict
                row += [str(said.sum()), f"{right[said].mean():.0%}" if said.any() else "-"]
            rows.append([*row, f"{(own['verdict'] == 'insufficient_data').mean():.0%}"])
    head = ["family", "by", "asked", "said above", "right", "said below", "right", "insufficient data"]
    return regression.table(head, rows)


def report(lines):
    """Return the lines of the report."""
    published = lines[lines["kind"] == "published"].drop_duplicates(["family", "seed"])
    seconds = lines.drop_duplicates(["family", "seed", "kind"]).groupby("kind")["cpu"].mean()
    taken = published.groupby("family", sort=False)["delayed"].mean()
    delayed = ", ".join(f"{part:.0%} {name.replace('_', ' ')}" for name, part in taken.items())
    command = " ".join(["python tests/benchmarks/regression_coverage.py", *sys.argv[1:]])
    return [
        "# Coverage of the regression's intervals",
        "",
        f"- Command: `{command}`.",
        f"- {len(published)} companies; CPU seconds a fit: published {seconds['published']:.2f}, longest"
        f" {published['cpu'].max():.1f}; draft {seconds['draft']:.2f}.",
        f"- R-hat below 1.05 for every channel in {published['in_order'].mean():.1%} of published fits;"
        f" {(published['extended'] > 0).mean():.1%} were extended, at most {published['extended'].max()} times.",
        f"- Delayed adstock is taken for {delayed}.",
        "- Shares with their standard errors over companies. Error: of the figure that pages print, relative to truth.",
        "",
        "## Published",
        "",
        *coverage(lines, "published"),
        "",
        "## Drafts",
        "",
        *coverage(lines, "draft"),
        "",
        f"## Verdicts beside a break-even of {BREAK_EVEN}",
        "",
        *verdicts(lines),
    ]


def main():
    """Run the study; print the report."""
    from tests.benchmarks import regression

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--companies", type=int, default=COMPANIES, help="in family")
    parser.add_argument("--others", type=int, default=OTHERS, help="in each other family")
    parser.add_argument("--families", type=lambda text: text.split(","))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", type=Path, help="write the report into this file, too")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    text = report(study(asked.companies, asked.others, asked.jobs, asked.families))
    print("\n".join(text))
    if asked.write:
        regression.written(asked.write, text, "coverage")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
