"""How often does the evidence call a null a driver, how often does it find one, and what do its intervals hold?

Simulated series of known influence: AR(1) noise with a memory of .5 and a standard deviation of one, with a trend and a
season of each series' own. The naive methods of the definition stand beside `evidence.test` on the same series.

    python tests/benchmarks/evidence.py --share 0.1       under a minute
    python tests/benchmarks/evidence.py --write docs/evidence-benchmark.md
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy import stats  # noqa: E402

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "reconciliation")]
import influences as made  # noqa: E402

from kpitoolkit.reconciliation import evidence  # noqa: E402
from kpitoolkit.reconciliation import evidence_panel as panels  # noqa: E402

BEGIN, END = "<!-- begin evidence -->", "<!-- end evidence -->"
MEMORY, MARGIN, ECHO = 0.5, 0.2, 0.7
TREND, SEASON = 6.0, {"quarter": 0.6, "week": 4.3}
YEAR = {"quarter": 4.0, "week": 365.25 / 7}
DESIGNS = {
    "16 quarters": ("quarter", 16, 1),
    "28 quarters": ("quarter", 28, 1),
    "104 weeks": ("week", 104, 1),
    "365 weeks": ("week", 365, 1),
    "6 units x 16 quarters": ("quarter", 16, 6),
    "4 units x 28 quarters": ("quarter", 28, 4),
}
POOLED = "6 units x 16 quarters"
PATTERNS = {  # of trend and season over the units; the first is that of all other tables
    "own": "trend shared, each unit's season of its own",
    "shared": "trend and season shared by the units",
    "rest": "the same, all series starting at rest",
    "alike": "trend shared, each unit's season the same in both KPIs",
    "strong": "trends and seasons of their own, stronger",
}
ECHOES = ("28 quarters", "104 weeks", POOLED, "4 units x 28 quarters")
PUBLISHED_POWER = {"16 quarters": 23, "104 weeks": 98, "6 units x 16 quarters": 91}
LED_VARIANCE = (1 + MEMORY**2) / ((1 - MEMORY**2) * (1 - MEMORY**2))
AT_MARGIN = MARGIN / np.sqrt(1 - MARGIN**2 * LED_VARIANCE)  # the effect that is the margin in deviations of the sum


def in_deviations(effect):
    """An effect on own noise of one -> in standard deviations of the company series' whole movement."""
    return effect / np.sqrt(1 + effect**2 * LED_VARIANCE)


def moved(generator, values, frequency):
    """Add a trend upwards and a season of each series' own."""
    t = np.arange(len(values))[:, None]
    phase = generator.uniform(0, 2 * np.pi, (1, values.shape[1]))
    return values + TREND * t / len(values) + SEASON[frequency] * np.sin(2 * np.pi * t / YEAR[frequency] + phase)


def pair(generator, design, effect, pattern="own"):
    """Company and marketing series, periods x units, the one led by the other at a lag of one period."""
    frequency, periods, units = DESIGNS[design]
    marketing = made.noise(generator, periods, units, MEMORY, at_rest=pattern == "rest")
    company = made.moved_by(generator, marketing, effect, 1, MEMORY, at_rest=pattern == "rest")
    if pattern == "own":
        return moved(generator, company, frequency), moved(generator, marketing, frequency)
    if pattern in ("shared", "rest"):
        one = np.zeros((periods, 1))
        return company + moved(generator, one, frequency), marketing + moved(generator, one, frequency)
    if pattern == "alike":  # the marketing KPI's peak stands one quarter before the company KPI's
        both = moved(generator, np.zeros((periods + 1, units)), frequency)
        return company + both[:-1], marketing + both[1:]
    return tuple(
        values + made.trend_and_season(generator, periods, units, frequency) for values in (company, marketing)
    )


def echo(generator, design):
    """A marketing series that follows the company's by one period and leads nothing."""
    frequency, periods, units = DESIGNS[design]
    company = made.noise(generator, periods + 1, units, MEMORY)
    marketing = ECHO * made.noise(generator, periods + 1, units, MEMORY)
    marketing[1:] += ECHO * company[:-1]
    return moved(generator, company[1:], frequency), moved(generator, marketing[1:], frequency)


def f_test(response, held, tested):
    """P-value of the tested columns by ordinary least squares."""
    both = np.column_stack([held, tested])

    def left(columns):
        return ((response - columns @ np.linalg.lstsq(columns, response, rcond=None)[0]) ** 2).sum()

    freedom = len(response) - both.shape[1]
    without, with_it = left(held), left(both)
    return stats.f.sf((without - with_it) / tested.shape[1] / (with_it / freedom), tested.shape[1], freedom)


def lagged(values, lag, first):
    return values[first - lag : len(values) - lag, None]


def controlled(company, marketing, lags, frequency, season=True):
    """P-values of each lag beside own lag, trend and season, by ordinary least squares."""
    first, whole = max(lags), panels.Panel(company[:, None], marketing[:, None], frequency).season()
    held = whole if season else whole[:, :2]
    held = np.column_stack([held[first:], lagged(company, 1, first)])
    columns = [lagged(marketing, lag, first) for lag in lags]
    found = []
    for place, column in enumerate(columns):
        others = [c for other, c in enumerate(columns) if other != place]
        found.append(f_test(company[first:], np.column_stack([held, *others]), column))
    return np.array(found)


def granger(company, marketing):
    """Smallest p-value of four lags tried one after the other, with own lag and trend, uncorrected."""
    trend = np.column_stack([np.ones(len(company)), np.arange(len(company))])
    return min(
        f_test(
            company[lag:], np.column_stack([trend[lag:], lagged(company, 1, lag)]), lagged(marketing, lag, lag)
        )
        for lag in range(1, 5)
    )  # fmt: skip


def effects_of_units_and_periods(company, marketing):
    """P-value of one lag over pooled units as the definition has it: effects of units and of periods, own lag."""
    periods, units = company.shape
    unit, period = np.tile(np.arange(units), periods - 1), np.repeat(np.arange(1, periods), units)
    dummies = [np.equal.outer(unit, np.arange(units)), np.equal.outer(period, np.arange(2, periods))]
    held = np.column_stack([*dummies, company[:-1].ravel()]).astype(float)
    return f_test(company[1:].ravel(), held, marketing[:-1].reshape(-1, 1))


def naive(job):
    """Whether each naive method finds an influence that is not there (or is: effect)."""
    seed, effect = job
    generator = np.random.default_rng([1, seed])
    company, marketing = (series[:, 0] for series in pair(generator, "16 quarters", effect))
    found = {
        "raw": stats.pearsonr(company, marketing)[1] < 0.05,
        "granger": granger(company, marketing) < 0.05,
        "one_lag": controlled(company, marketing, [1], "quarter")[0] < 0.05,
    }
    company, marketing = (series[:, 0] for series in pair(generator, "104 weeks", effect))
    found["no_season"] = controlled(company, marketing, [1], "week", season=False)[0] < 0.05
    found["fourier_holm"] = evidence.holm(controlled(company, marketing, [1, 2], "week")).min() < 0.05
    found["weeks_one_lag"] = controlled(company, marketing, [1], "week")[0] < 0.05
    for pattern in PATTERNS:
        found[pattern] = effects_of_units_and_periods(*pair(generator, POOLED, effect, pattern)) < 0.05
    return found


def ours(job):
    """What `evidence.test` says of one pair."""
    design, effect, lags, seed, pattern = job
    frequency, _periods, units = DESIGNS[design]
    generator = np.random.default_rng([2, seed, round(effect * 1e4), len(lags)])
    if pattern == "echo":
        company, marketing = echo(generator, design)
    else:
        company, marketing = pair(generator, design, effect)
    catalogue = made.declared(["x"], frequency, lags, MARGIN)
    row = evidence.test(made.tidy({"company": company, "x": marketing}, frequency), catalogue).table.iloc[0]
    truth = in_deviations(effect)
    held = row["low"] <= truth <= row["high"]
    if units == 1:
        held = row["low_natural"] <= effect * row["step"] <= row["high_natural"]
    corrected = panels.fit(panels.Panel(company, marketing, frequency), lags)
    scale = float(np.mean(corrected.scale_marketing / corrected.scale_company))
    plain = corrected.plain / scale
    return {
        "design": design, "effect": effect, "pattern": pattern,
        "lags": len(lags), "seen": row["p_holm"] < 0.05, "class": row["class"],
        "held": held, "low": truth < row["low"], "clusters": row["few_clusters_p"] < 0.05,
        "own": corrected.own.sum(), "own_plain": corrected.plain[: len(corrected.own)].sum(),
        "estimate": corrected.effects[0] / scale, "estimate_plain": plain[len(corrected.own)],
        "smallest": row["smallest_effect"], "reason": row["reason"],
    }  # fmt: skip


def twelve(job):
    """Of 12 KPIs that move nothing: how many raw correlation with Benjamini and Hochberg proves, and what we say."""
    design, seed = job
    frequency, periods, units = DESIGNS[design]
    generator = np.random.default_rng([3, seed])
    names = [f"null{n}" for n in range(12)]
    series = {
        name: moved(generator, made.noise(generator, periods, units, MEMORY), frequency) for name in ["company", *names]
    }
    p_values = [stats.pearsonr(series["company"][:, 0], series[name][:, 0])[1] for name in names]
    result = evidence.test(made.tidy(series, frequency), made.declared(names, frequency, (1,), MARGIN))
    counted = result.table["class"].value_counts()
    return {
        "design": design,
        "raw": int((stats.false_discovery_control(p_values) <= 0.10).sum()),
        **{found: int(counted.get(found, 0)) for found in evidence.CLASSES},
    }


def measured(share, processes):
    """All simulations: naive methods, ours, and twelve nulls."""
    many, few = max(20, int(800 * share)), max(10, int(130 * share))
    often = {("16 quarters", 0.0): 5, (POOLED, 0.0): 5} | {(design, 0.4): 2 for design in PUBLISHED_POWER}
    jobs = [
        (design, effect, (1,), seed, "own")
        for design in DESIGNS
        for effect in (0.0, AT_MARGIN, 0.4)
        for seed in range(few * often.get((design, effect), 1))
    ]
    jobs += [("104 weeks", 0.0, (1, 2), seed, "own") for seed in range(5 * few)]
    jobs += [(design, 0.0, (1,), seed, "echo") for design in ECHOES for seed in range(few)]
    nulls = [
        (design, seed) for design in ("16 quarters", "104 weeks", "6 units x 16 quarters") for seed in range(few // 4)
    ]
    with ProcessPoolExecutor(processes) as pool:
        bad = pd.DataFrame(pool.map(naive, [(seed, 0.0) for seed in range(many)], chunksize=20))
        good = pd.DataFrame(pool.map(naive, [(seed, 0.4) for seed in range(many)], chunksize=20))
        own = pd.DataFrame(pool.map(ours, jobs, chunksize=20))
        groups = pd.DataFrame(pool.map(twelve, nulls, chunksize=5))
    return bad, good, own, groups


def percent(values):
    """A share with the standard error of its simulation."""
    values = np.asarray(values, dtype=float)
    p = values.mean()
    return f"{100 * p:.0f}% ± {100 * np.sqrt(max(p * (1 - p), 0.25 / len(values)) / len(values)):.0f}"


def table(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "| --- |" + " ---: |" * (len(headings) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def written(bad, good, own, groups, seconds):
    """The page between its markers."""

    def of(design, effect, lags=1, pattern="own"):
        chosen = (own["design"] == design) & np.isclose(own["effect"], effect)
        return own[chosen & (own["lags"] == lags) & (own["pattern"] == pattern)]

    def row(words, aim, name, design, lags):
        mine = of(design, 0.0, lags) if design else None
        ours = ("–", "–") if mine is None else (percent(mine["seen"]), percent(mine["class"] == "driver"))
        return (words, aim, percent(bad[name]) if name else "–", *ours, "–" if mine is None else len(mine))

    false = [
        row("raw correlation, 16 quarters", "96%", "raw", None, 1),
        row("Granger, best of 4 lags, uncorrected, 16 quarters", "29%", "granger", None, 1),
        row("controlled, one lag, 16 quarters", "7%", "one_lag", "16 quarters", 1),
        row("104 weeks without season", "75%", "no_season", None, 1),
        row("104 weeks with Fourier terms, two lags with Holm", "3%", "fourier_holm", "104 weeks", 2),
        row("104 weeks, one lag", "", "weeks_one_lag", "104 weeks", 1),
        *(
            row(f"{design}, one lag", "", "own" if design == POOLED else "", design, 1)
            for design in DESIGNS
            if design not in ("16 quarters", "104 weeks")
        ),
    ]
    naive_power = {"16 quarters": good["one_lag"], "104 weeks": good["weeks_one_lag"], POOLED: good["own"]}
    power, cover, vanity, bias = [], [], [], []
    for design, (_frequency, _periods, units) in DESIGNS.items():
        null, edge, led = (of(design, effect) for effect in (0.0, AT_MARGIN, 0.4))
        aim = f"{PUBLISHED_POWER[design]}%" if design in PUBLISHED_POWER else ""
        plain = percent(naive_power[design]) if design in naive_power else "–"
        clusters = percent(led["clusters"]) if units > 1 else "–"
        level = percent(null["clusters"]) if units > 1 else "–"
        power.append((design, aim, plain, percent(led["seen"]), percent(led["class"] == "driver"), level, clusters,
                      f"{pd.concat([null, edge, led])['smallest'].median():.2f}"))  # fmt: skip
        cover.append((design, *(percent(frame["held"]) for frame in (null, edge, led)), percent(led["low"])))
        vanity.append((design, percent(edge["class"] == "vanity"), percent(null["class"] == "vanity")))
        means = [led[name].mean() for name in ("own_plain", "own", "estimate_plain", "estimate")]
        bias.append((design, *(f"{mean:.3f}" for mean in means)))
    twelves = [
        (design, f"{rows['raw'].mean():.1f}", f"{rows['driver'].mean():.2f}", percent(rows["driver"] > 0),
         f"{rows['echo'].mean():.2f}", f"{rows['unproven'].mean():.1f}", f"{rows['vanity'].mean():.1f}")
        for design, rows in groups.groupby("design", sort=False)
    ]  # fmt: skip
    mine = [percent(of(POOLED, effect)["seen"]) for effect in (0.0, 0.4)]
    pooled = [
        (words, percent(bad[pattern]), percent(good[pattern]), *(("–", "–") if pattern == "rest" else mine))
        for pattern, words in PATTERNS.items()
    ]
    echoes = [
        (design, *(percent(frame[name] == found) for name, found in
                   (("seen", True), ("class", "driver"), ("class", "echo"), ("class", "unproven"))))
        for design in ECHOES
        for frame in [of(design, 0.0, pattern="echo")]
    ]  # fmt: skip
    runs = (
        f"{len(bad)} series for the naive methods, {len(of('365 weeks', 0.0))} for each of ours (nulls: as stated; "
        f"power where the definition has a figure: {len(of(POOLED, 0.4))})"
    )
    parts = [
        BEGIN,
        f"Measured by `python tests/benchmarks/evidence.py --write docs/evidence-benchmark.md` in {seconds:.0f} s: "
        f"{runs}. Each share with the standard error of its simulation.",
        "## Nulls called proven, at a nominal 5%",
        table(
            [
                "independent series",
                "definition",
                "method, as defined",
                "`evidence.test`, p ≤ .05",
                "class driver",
                "series of ours",
            ],
            false,
        ),
        f"## Pooled units: {POOLED}",
        table(
            [
                "trend and season",
                "as defined (effects of units and periods): nulls",
                "its power at .4 sd (definition 91%)",
                "`evidence.test`, p ≤ .05: nulls, the same by construction",
                "its power",
            ],
            pooled,
        ),
        "## Echoes: a KPI that follows by one period and leads nothing",
        table(["series", "p ≤ .05 as a lead", "class driver", "class echo", "unproven"], echoes),
        "## Twelve KPIs that move nothing",
        table(
            [
                "series",
                "raw correlation with BH proves (definition, 16 quarters: 11.7)",
                "drivers",
                "companies with any",
                "echoes",
                "unproven",
                "vanity",
            ],
            twelves,
        ),
        "## Power for an effect of .4 sd",
        table(
            [
                "series",
                "definition",
                "as defined, one lag",
                "`evidence.test`, p ≤ .05",
                "class driver",
                "wild bootstrap over units: level",
                "its power",
                "smallest effect seen with 80% power, sd",
            ],
            power,
        ),
        "## What 90% intervals hold",
        table(["series", "no effect", f"effect of {MARGIN} sd", "effect of .4 sd", "of which truth below"], cover),
        f"## Vanity, margin {MARGIN} sd",
        table(["series", "false: the effect is the margin (nominal at most 5%)", "true: no effect"], vanity),
        "## The bias of own lags, and of the effect beside them (truth .5 and .4)",
        table(["series", "own lags, least squares", "corrected", "effect, least squares", "corrected"], bias),
        END,
    ]
    return "\n\n".join(parts) + "\n"


def main():
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reading.add_argument("--share", type=float, default=1.0, help="of the full number of simulations")
    reading.add_argument("--processes", type=int, default=2)
    reading.add_argument("--write", type=Path, help="a Markdown file; what stands between its markers is replaced")
    stated = reading.parse_args()
    began = time.time()
    found = measured(stated.share, stated.processes)
    page = written(*found, time.time() - began)
    if stated.write is None:
        print(page)
        return
    before, after = "# Evidence: how often it is right\n\n", ""
    if stated.write.is_file():
        whole = stated.write.read_text(encoding="utf-8")
        before, after = whole.split(BEGIN)[0], whole.split(END)[1].lstrip("\n")
    stated.write.write_text(before + page + after, encoding="utf-8")


if __name__ == "__main__":
    main()
