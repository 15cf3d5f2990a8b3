"""Regression side by side: error, coverage and CPU seconds beside PyMC-Marketing, on companies of nine families.

One run, the same simulated companies for both; eight of the nine families break an assumption of ours. A side's fits
of one family are a process of their own; CPU seconds count all threads. What the peer answered is kept under
`.benchmarks/` by company, versions and the files it depends on; `--fresh` asks it anew.

    python tests/benchmarks/regression.py --seeds 1 --no-peers                     the toolkit alone, a minute
    python tests/benchmarks/regression.py --fresh --write docs/regression-benchmark.md
    python tests/benchmarks/regression.py --choose                                 which of the peer's variants is used

Seeds below 900 are for trying things out on, 900 to 999 for `--choose`; `regression_priors.py` chose the toolkit's
defaults on 1000 and above, `regression_coverage.py` begins at 2000 and this at 3000: no default of either side was
chosen on those. Each writes its own section of the same file.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
PINS = (
    *("pymc-marketing==1.3.0", "nutpie==0.16.11", "pymc==6.3.2", "pytensor==3.3.7", "numba==0.68.0"),
    *("arviz==1.3.0", "numpy==2.4.6", "pandas==3.1.1"),
)
VARIANTS = [("logistic", "recommended"), ("hill", "recommended"), ("logistic", "default")]
VARIANT = VARIANTS[0]
SEEDS, FIRST_SEED, FIRST_OF_CHOICE = 5, 3000, 900
SECTIONS = ("side by side", "choice", "coverage")
OURS, PEER = "kpitoolkit", "PyMC-Marketing"
R_HAT = {OURS: 1.05, PEER: 1.05}
AIM = {"in family": (0.87, 0.93), "outside": (0.80, 1.0), "of the peer's CPU": 0.1, "CPU": 3.0}


def peer_fits(wanted, variant=VARIANT, fresh=False):
    """Return the peer's answers for [family, seed] pairs, kept or anew, its versions, and how many are anew."""
    from tests.benchmarks.sidebyside import companies, environments, mix_peers, stopwatch

    python = environments.environment("pymc-marketing", list(PINS), environments.interpreter("3.12"))
    sources = [companies.__file__, mix_peers.__file__]
    mark = " ".join([*PINS, environments.version_of(python), *variant, *(Path(each).read_text() for each in sources)])
    store = environments.CACHE / "regression" / hashlib.sha256(mark.encode()).hexdigest()[:12]
    store.mkdir(parents=True, exist_ok=True)

    def at(pair):
        return store / f"{pair[0]}-{pair[1]}.json"

    asked = [pair for pair in wanted if fresh or not at(pair).exists()]
    if asked:
        answer = stopwatch.start(
            python, "mix_peers", task="fit", companies_of=asked, saturation=variant[0], priors=variant[1]
        )
        if "error" in answer:
            raise RuntimeError(f"{PEER} on {asked}: {answer['error']}")
        (store / "versions.json").write_text(json.dumps(answer["result"]["versions"]))
        for pair, found in zip(asked, answer["result"]["fits"], strict=True):
            at(pair).write_text(json.dumps(found))
    versions = json.loads((store / "versions.json").read_text()) | {"Python": environments.version_of(python)}
    return [json.loads(at(pair).read_text()) for pair in wanted], versions, len(asked)


def our_fits(wanted, kind="published"):
    """Return the toolkit's answers for [family, seed] pairs."""
    from tests.benchmarks.sidebyside import stopwatch

    answer = stopwatch.start(sys.executable, "mix_ours", task="fit", companies_of=wanted, kind=kind)
    if "error" in answer:
        raise RuntimeError(f"{OURS} on {wanted}: {answer['error']}")
    return answer["result"]["fits"], answer["result"]["versions"] | {"Python": platform.python_version()}, len(wanted)


def scored(side, fits):
    """Return one line per company, of channels, and of total: errors, what intervals held, R-hat, CPU seconds."""
    from tests.benchmarks.sidebyside import answers, companies

    rows = []
    for fit in fits:
        company = companies.company(fit["family"], fit["seed"])
        truth = np.append(company.truth["iroas"].to_numpy(), company.total_iroas)
        spent = np.append(company.truth["spend"].to_numpy(), 0.0)
        points = {name: np.maximum(np.array(fit[name]), 1e-9) for name in ("point", "mean", "median") if name in fit}
        for place, of in enumerate([*companies.CHANNELS, "total"]):
            row = {"side": side, "family": fit["family"], "seed": fit["seed"], "of": of, "cpu": fit["cpu"]}
            row |= {"build_cpu": fit["build_cpu"], "first_cpu": fit.get("first_cpu", np.nan)}
            row |= {"in_order": max(fit["r_hat"]) < R_HAT[side]}
            for name, values in points.items():
                row[f"relative {name}"] = abs(values[place] / truth[place] - 1)
                row[f"log {name}"] = np.log(values[place] / truth[place])
            for level in answers.LEVELS:
                low, high = fit["bounds"][str(level)][place]
                row[f"held {level}"] = low <= truth[place] <= high
            low, high = fit["bounds"]["0.9"][place]
            row |= {"width": np.log(max(high, 1e-9) / max(low, 1e-9)), "spend": spent[place]}
            rows.append(row)
    return pd.DataFrame(rows)


def pooled(lines):
    """Return the lines with every group they count in: their family, in family or outside, all."""
    group = np.where(lines["family"] == "in_family", "in family", "outside, pooled")
    parts = [lines.assign(group=lines["family"].str.replace("_", " ")), lines.assign(group=group)]
    parts[1] = parts[1][parts[1]["group"] != "in family"]
    return pd.concat([*parts, lines.assign(group="all")])


def measures(lines):
    """Return measures of one side by group: a DataFrame. Of its point estimates, the better one by each measure."""
    points = [name.split()[1] for name in lines.columns if name.startswith("relative")]
    rows = {}
    for group, part in pooled(lines).groupby("group", sort=False):
        channels, total = part[part["of"] != "total"], part[part["of"] == "total"]
        rows[group] = {
            "companies": len(total),
            "error": min(channels[f"relative {name}"].median() for name in points),
            "rmse": min(rmse(channels[f"log {name}"]) for name in points),
            **{level: channels[f"held {level}"].mean() for level in (0.5, 0.8, 0.9, 0.95)},
            "width": np.exp(channels["width"].median()),
            "error of total": min(total[f"relative {name}"].median() for name in points),
            "rmse of total": min(rmse(total[f"log {name}"]) for name in points),
            "total 0.9": total["held 0.9"].mean(),
            "in order": total["in_order"].mean(),
            "cpu": total["cpu"].mean(),
            "build": total["build_cpu"].mean(),
            "first": total["first_cpu"].mean(),
        }
    return pd.DataFrame(rows).T


def rmse(logs):
    return float(np.sqrt((np.asarray(logs) ** 2).mean()))


def gap(ours, theirs, draws=2000):
    """Return by group the differences of median error and of RMSE of log iROAS, ours less the peer's, with their s.e.

    Twice: between posterior means, which both sides print, and with the peer's point its better one by each measure and
    group (``best``). Companies are drawn anew, with all their channels, for both sides at once.
    """
    rows, random = {}, np.random.default_rng(0)
    own, other = (pooled(lines[lines["of"] != "total"]) for lines in (ours, theirs))
    for group, part in own.groupby("group", sort=False):
        with_them = other[other["group"] == group]
        rows[group] = {}
        for column, name, measure in (("error", "relative", np.median), ("rmse", "log", _rmse)):
            mine = _by_company(part, f"{name} point")
            mean, median = (_by_company(with_them, f"{name} {each}") for each in ("mean", "median"))
            best = min((mean, median), key=lambda each: measure(each, axis=None))
            drawn = random.integers(0, len(mine), (draws, len(mine)))
            again = measure(mine[drawn].reshape(draws, -1), axis=1)
            for which, other_side in ((column, mean), (f"{column} best", best)):
                rows[group][which] = measure(mine, axis=None) - measure(other_side, axis=None)
                rows[group][f"{which} se"] = np.std(again - measure(other_side[drawn].reshape(draws, -1), axis=1))
    return pd.DataFrame(rows).T


def _by_company(lines, column):
    return lines.pivot_table(index=["family", "seed"], columns="of", values=column).to_numpy()


def _rmse(logs, axis):
    return np.sqrt((logs**2).mean(axis=axis))


def table(head, rows):
    """Write a Markdown table, its first column to the left."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *rows)]


def difference(distance, group, column):
    """Write a difference with its standard error."""
    return f"{distance.loc[group, column]:+.2f} ± {distance.loc[group, f'{column} se']:.2f}"


def report(found):
    """Return lines of the report from measures by side, and the gap where there is a peer."""
    ours, theirs, distance = found["ours"], found.get("theirs"), found.get("gap")
    beside = theirs is not None

    def pair(group, column, form):
        own = format(ours.loc[group, column], form)
        return f"**{own}** / {format(theirs.loc[group, column], form)}" if beside else own

    lines, rows = ["", "## Error", ""], []
    for group in ours.index:
        row = [group, f"{ours.loc[group, 'companies']:.0f}"]
        for column in ("error", "rmse"):
            own = pair(group, column, ".2f")
            if beside:
                mean = ours.loc[group, column] - distance.loc[group, column]
                own = f"**{ours.loc[group, column]:.2f}** / {mean:.2f} / {theirs.loc[group, column]:.2f}"
            row += [own, *([difference(distance, group, f"{column} best")] if beside else [])]
        rows.append(row + [pair(group, column, ".2f") for column in ("error of total", "rmse of total")])
    apart = ["less its better ± s.e."] if beside else []
    head = ["family", "companies", "median error", *apart, "RMSE of log", *apart]
    lines += table([*head, "total: median error", "RMSE of log"], rows)
    lines += ["", "## Coverage of intervals", ""]
    columns = {"50%": 0.5, "80%": 0.8, "90%": 0.9, "95%": 0.95, "total, 90%": "total 0.9", "R-hat in order": "in order"}
    rows = [
        [group, *(pair(group, column, ".0%") for column in columns.values()), pair(group, "width", ".1f")]
        for group in ours.index
    ]
    lines += table(["family", *columns, "90%: high / low"], rows)
    lines += ["", "## CPU seconds a fit", ""]
    rows = []
    for group in ours.index:
        own = ours.loc[group, "cpu"]
        row = [group, f"{own:.2f}"]
        if beside:
            sampling, build = theirs.loc[group, "cpu"], theirs.loc[group, "build"]
            row += [f"{sampling:.1f}", f"{build:.1f}", f"{own / (sampling + build):.3f}", f"{own / sampling:.2f}"]
        rows.append(row)
    head = ["family", OURS]
    if beside:
        head += [f"{PEER}: sampling", "building, compiling", "ours / all of it", "ours / its sampling"]
    first = f"A process's first fit, which loads what numba compiled, takes {ours.loc['all', 'first']:.1f} CPU-s."
    return [*lines, *table(head, rows), "", first]


def aims(found):
    """Return the table of aims, and whether each is reached."""
    ours, theirs = found["ours"], found.get("theirs")
    rows = []

    def add(what, aim, reached, met):
        rows.append([what, aim, reached, "met" if met else "**missed**"])

    groups = {"in family": "in family", "outside": "outside, pooled"}
    for name, group in groups.items():
        if group in ours.index:
            low, high = AIM[name]
            held = ours.loc[group, 0.9]
            aim = f"{low:.0%} to {high:.0%}" if high < 1 else f"at least {low:.0%}"
            add(f"90% intervals, {group}", aim, f"{held:.1%}", low <= held <= high)
    add("CPU seconds a fit", f"at most {AIM['CPU']:.0f}", f"{ours.loc['all', 'cpu']:.2f}", ours.loc["all", "cpu"] <= 3)
    if theirs is not None:
        whole = theirs.loc["all", "cpu"] + theirs.loc["all", "build"]
        share = ours.loc["all", "cpu"] / whole
        add("CPU / the peer's, compiling included", "at most 0.1", f"{share:.3f}", share <= AIM["of the peer's CPU"])
        families = [group for group in ours.index if group not in ("all", "outside, pooled")]
        apart = found["gap"].loc[families]
        for column, what in (("error", "median error"), ("rmse", "RMSE of log iROAS")):
            for which, against in ((column, "mean against mean"), (f"{column} best", "against its better of two")):
                worse = [group for group in families if apart.loc[group, which] > 0]
                reached = ", ".join(f"{group} ({difference(apart, group, which)})" for group in worse)
                clear = [group for group in worse if apart.loc[group, which] > 2 * apart.loc[group, f"{which} se"]]
                aim = "none" if which == column else "none beyond two s.e."
                add(
                    f"{what}, {against}: families where worse",
                    aim,
                    reached or "none",
                    not (clear if "best" in which else worse),
                )
    return ["", "## Aims", "", *table(["", "aim", "reached", ""], rows)]


def heading(asked, versions, anew):
    """Say what this ran on, with what, and how to run it again."""
    info = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    command = " ".join(["python tests/benchmarks/regression.py", *sys.argv[1:]])
    stamp = datetime.datetime.now().astimezone()
    lines = [
        "# Regression, side by side",
        "",
        f"- Command: `{command}`, {stamp:%Y-%m-%d %H:%M %Z}; load when it began: {asked.load:.1f}.",
        f"- Machine: {model}, {os.cpu_count()} cores. CPU seconds count all threads.",
    ]
    for side, found in versions.items():
        lines.append(f"- {side}: {', '.join(f'{name} {version}' for name, version in found.items())}.")
    if PEER in versions:
        lines.append(
            f"- {PEER}: {asked.variant[0]} saturation, {asked.variant[1]} priors; {anew} of its fits made in this run."
        )
    return lines


METHOD = """
Companies of 104 weeks and five channels with known returns, `tests/benchmarks/sidebyside/companies.py`; each family's
docstring says what its world is like. Eight of nine families break an assumption of the toolkit's model. Both sides see
the same revenue, spend and controls, and the carry-in's spend. The toolkit chooses its adstock by evidence, within the
time stated. PyMC-Marketing runs nutpie with 2 chains of 500 + 500 draws, geometric adstock of 13 weeks, two yearly
Fourier modes, standardised controls and trend, and has the carry-in weeks' revenue besides. Both sides print posterior
means, the toolkit nothing else: so means are compared with means. Besides, the peer is given the choice that nobody has
beforehand: of its mean and its median the one that did better, by measure and family. Errors are of iROAS over the
window, by channel, relative to the truth, or of its log. Where two figures stand, the toolkit's comes first; where
three, the peer's mean and its better follow. The standard error of a difference comes from drawing companies anew: less
than two of them is noise. R-hat is in order below 1.05 for every channel's log iROAS. The peer builds and compiles its
model anew for each company, as `MMM.fit` does: its user waits for all of it, so the aim is set against all of it, and
the sampling alone stands beside."""


def run(asked):
    """Fit all companies on both sides, some at a time; return scored lines by side, versions, fits made anew."""
    from tests.benchmarks.sidebyside import companies, environments

    families = asked.families or list(companies.FAMILIES)
    counts = {name: max(asked.seeds or SEEDS, dict(asked.more).get(name, 0)) for name in families}
    wanted = {name: [[name, asked.first_seed + each] for each in range(counts[name])] for name in families}
    jobs = [(OURS, name) for name in families]
    jobs = ([] if asked.no_peers else [(PEER, name) for name in families]) + jobs

    def work(job):
        side, name = job
        environments.said(f"{side}, {name}")
        answered = our_fits(wanted[name]) if side == OURS else peer_fits(wanted[name], asked.variant, asked.fresh)
        return side, *answered

    if not asked.no_peers:
        environments.environment("pymc-marketing", list(PINS), environments.interpreter("3.12"))
    with ThreadPoolExecutor(asked.jobs) as pool:
        answers = list(pool.map(work, jobs))
    lines = {
        side: pd.concat([scored(side, fits) for name, fits, _versions, _anew in answers if name == side])
        for side in dict.fromkeys(side for side, _name in reversed(jobs))
    }
    versions = {side: found for side, _fits, found, _anew in reversed(answers)}
    return lines, versions, sum(anew for side, _fits, _versions, anew in answers if side == PEER)


def choose(asked):
    """Return lines that compare the peer's variants on seeds that nothing else uses."""
    from tests.benchmarks.sidebyside import companies

    rows = []
    for variant in VARIANTS:
        wanted = [[name, FIRST_OF_CHOICE + each] for name in companies.FAMILIES for each in range(asked.seeds or 1)]
        fits, _versions, _anew = peer_fits(wanted, variant, asked.fresh)
        best = measures(scored(PEER, fits)).loc["all"]
        figures = [f"{best[column]:.2f}" for column in ("error", "rmse", 0.9, "in order", "cpu", "build")]
        rows.append([", ".join(variant), *figures])
    head = ["saturation, priors", "median error", "RMSE of log", "90% held", "R-hat in order", "CPU-s", "building"]
    text = f"`python tests/benchmarks/regression.py --choose`: {len(wanted)} companies, as many of each family."
    return ["## Which of the peer's variants", "", text, "", *table(head, rows)]


def written(path, lines, section):
    """Put lines into a section of a file; the others of `SECTIONS` stay in order, and what follows them."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = dict(re.findall(r"<!-- begin (.*?) -->\n(.*?)\n<!-- end -->", text, re.DOTALL)) | {
        section: "\n".join(lines)
    }
    after = text.rpartition("<!-- end -->")[2].strip("\n")
    blocks = [f"<!-- begin {name} -->\n{found[name]}\n<!-- end -->" for name in SECTIONS if name in found]
    blocks += [after] if after else []
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _more(said):
    """Read ``family:count,...``."""
    return tuple((name, int(count)) for name, _colon, count in (each.partition(":") for each in said.split(",")))


def main():
    """Measure what is asked for; print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help=f"companies of each family: {SEEDS}, or 1 to choose")
    parser.add_argument("--more", type=_more, default=(), help="half_logistic:30 for more companies of a family")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--families", type=lambda text: text.split(","))
    parser.add_argument("--no-peers", action="store_true", help="the toolkit alone")
    parser.add_argument("--fresh", action="store_true", help="ask the peer anew")
    parser.add_argument("--choose", action="store_true", help="compare the peer's variants, on seeds of their own")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes at a time")
    parser.add_argument("--write", type=Path, help="write the report into this file, too")
    asked = parser.parse_args()
    asked.variant, asked.load = VARIANT, os.getloadavg()[0]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if asked.choose:
        text = choose(asked)
        print("\n".join(text))
        if asked.write:
            written(asked.write, text, "choice")
        return
    lines, versions, anew = run(asked)
    found = {"ours": measures(lines[OURS].drop(columns=["relative mean", "log mean", "relative median", "log median"]))}
    if PEER in lines:
        found |= {"theirs": measures(lines[PEER]), "gap": gap(lines[OURS], lines[PEER])}
    text = heading(asked, versions, anew) + aims(found) + METHOD.splitlines() + report(found)
    print("\n".join(text))
    if asked.write:
        written(asked.write, text, "side by side")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
