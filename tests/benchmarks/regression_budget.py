"""How good and how fast is the budget? Beside SciPy's SLSQP with many starts, on concave and on S-shaped curves.

Curves are Hill's, five channels, bounds and totals at random (fixed seeds); SLSQP gets exact gradients and an objective
scaled to one, the best of its starts counts. Then the decisions: what plans made from drafts of simulated companies
truly gain. Prints its tables; nothing is written.

    python tests/benchmarks/regression_budget.py [problems] [--companies N] [--fit published]    minutes on one core
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from kpitoolkit.regression import allocate as sharing
from kpitoolkit.regression.allocate import allocate
from kpitoolkit.regression.budget import plan_budget

CHANNELS, STARTS = 5, 30
FAMILIES = {"concave (slope 0.5 to 1)": (0.5, 1.0), "S-shaped (slope 1.2 to 4)": (1.2, 4.0)}


def simulate(seed, powers, count=CHANNELS):
    """Ceilings, half-saturations and slopes, bounds, a total, and today's spend, which sums to it."""
    draw = np.random.default_rng(seed)
    ceiling, half = draw.lognormal(0, 0.5, count) * 1e5, draw.lognormal(0, 0.5, count) * 1e4
    low, high = 0.02 * half, half * draw.uniform(1, 4, count)
    room, wanted = high - low, draw.uniform(0, 1, count)
    total = low.sum() + draw.uniform(0.1, 0.9) * room.sum()
    today = sharing._closed(low + wanted * room, low, high, total)
    return (ceiling, half, draw.uniform(*powers, count)), low, high, total, today


def worth(shape, spend):
    if spend is None:
        return -np.inf
    ceiling, half, power = shape
    return float((ceiling / (1 + (half / np.maximum(spend, 1e-300)) ** power)).sum())


def climbed(shape, low, high, total, start, scale=None):
    """Where SLSQP gets to from a start; None where it ends off the total."""
    ceiling, half, power = shape
    scale = ceiling.sum() if scale is None else scale

    def objective(x):
        ratio = (half / np.maximum(x * total, 1e-300)) ** power
        gradient = ceiling * power * ratio / (1 + ratio) ** 2 / np.maximum(x, 1e-300)
        return -(ceiling / (1 + ratio)).sum() / scale, -gradient / scale

    found = minimize(
        objective,
        start / total,
        jac=True,
        bounds=list(zip(low / total, high / total, strict=True)),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"maxiter": 500} | ({"ftol": 1e-15} if scale == ceiling.sum() else {}),
    )
    spend = np.clip(found.x * total, low, high)
    return spend if abs(spend.sum() - total) < 1e-8 * total else None


def functions(shape):
    """The same curves as `allocate` takes them."""
    values, slopes = [], []
    for ceiling, half, power in zip(*shape, strict=True):

        def value(x, b=ceiling, k=half, s=power):
            return b / (1 + (k / np.maximum(x, 1e-300)) ** s)

        def slope(x, b=ceiling, k=half, s=power):
            ratio = (k / np.maximum(x, 1e-300)) ** s
            return b * s * ratio / (1 + ratio) ** 2 / np.maximum(x, 1e-300)

        values.append(value)
        slopes.append(slope)
    return values, slopes


def beside_slsqp(problems):
    """A row a family: how far from the best known, how often SLSQP from today's spend is short, times."""
    print(f"{problems} problems a family, {CHANNELS} channels; best known: of ours and {STARTS} starts of SLSQP\n")
    columns = ["curves", "ours below the best known, worst", "SLSQP's best start below ours, worst"]
    columns += ["SLSQP from today more than 1% short", "worst", "objective 1e-6 too small: SLSQP stays at its start"]
    columns += ["ours, CPU-ms", "SLSQP, all starts, CPU-ms"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for family, powers in FAMILIES.items():
        rows = []
        for seed in range(problems):
            shape, low, high, total, today = simulate(seed, powers)
            values, slopes = functions(shape)
            started = time.process_time()
            ours = worth(shape, allocate(values, slopes, low, high, total).spend)
            own_time, started = time.process_time() - started, time.process_time()
            draw = np.random.default_rng(10_000 + seed)
            starts = [low + draw.random(CHANNELS) * (high - low) for _each in range(STARTS - 1)]
            from_today = max(worth(shape, today), worth(shape, climbed(shape, low, high, total, today)))
            many = [from_today, *(worth(shape, climbed(shape, low, high, total, start)) for start in starts)]
            their_time = time.process_time() - started
            still = climbed(shape, low, high, total, today, scale=1e6 * shape[0].sum())
            best = max(ours, *many)
            stays = still is None or np.abs(still - today).max() < 1e-3 * total
            rows.append((1 - ours / best, 1 - max(many) / ours, 1 - from_today / ours, stays, own_time, their_time))
        short, behind, today_short, stays, own_time, their_time = np.array(rows).T
        print(f"| {family} | {short.max():.1e} | {behind.max():.1%} | {(today_short > 0.01).mean():.0%} "
              f"| {today_short.max():.1%} | {stays.mean():.0%} "
              f"| {1e3 * np.median(own_time):.1f} | {1e3 * np.median(their_time):.0f} |")  # fmt: skip


def beside_every_point(problems, steps=40):
    """Three S-shaped channels: ours beside every point of the grid, before and after the polish."""
    worst, gained = 0.0, []
    for seed in range(problems):
        shape, _low, _high, _total, _today = simulate(seed, FAMILIES["S-shaped (slope 1.2 to 4)"], count=3)
        total = 1.2 * shape[1].sum()
        low, high = np.zeros(3), np.full(3, total)
        values, slopes = functions(shape)
        grid = worth(shape, sharing._on_the_grid(values, low, high, total, steps))
        points = (np.array([a, b, steps - a - b]) for a, b in itertools.product(range(steps + 1), repeat=2))
        best = max(worth(shape, point * total / steps) for point in points if point[2] >= 0)
        worst = max(worst, abs(grid / best - 1))
        gained.append(worth(shape, allocate(values, slopes, low, high, total, steps=steps).spend) / best - 1)
    print(f"\n{problems} problems of 3 S-shaped channels, every point of a grid of {steps} steps tried: our best on "
          f"the grid differs from theirs by {worst:.0e} at most; the polish adds {np.median(gained):.2%} (median), "
          f"{min(gained):.1e} at least.")  # fmt: skip


def over_the_draws():
    """Seconds for a whole plan: 500 draws, five channels, 13 weeks of carry-over, scenarios and intervals."""
    from tests.regression.posterior_by_hand import written

    draw = np.random.default_rng(0)
    spend = draw.gamma(3, 1, (168, CHANNELS)) * [300.0, 200.0, 100.0, 80.0, 50.0]
    for slope in (1.0, 3.0):
        post = written(
            spend,
            window=156,
            iroas=draw.lognormal(0.5, 0.4, (1000, CHANNELS)),
            carryover=draw.uniform(0.1, 0.8, (1000, CHANNELS)),
            half_saturation=draw.lognormal(0.5, 0.4, (1000, CHANNELS)),
            slope=slope * draw.lognormal(0, 0.2, (1000, CHANNELS)),
        )
        now = 13 * (post.problem.spend[-13:].mean(axis=0) * post.problem.mean_active)
        wide = {name: (0.0, 3 * amount) for name, amount in zip(post.problem.channels, now, strict=True)}
        for words, bounds in (("default bounds", None), ("from nothing to threefold", wide)):
            started = time.process_time()
            found = plan_budget(post, bounds=bounds)
            print(f"plan over 500 draws, slope about {slope:.0f}, {words}: {found.method}, "
                  f"{time.process_time() - started:.1f} CPU-s, {found.decision}")  # fmt: skip


def true_margin(company, plan, after, margin):
    """What a quarter's plan truly leaves after its spend: its 13 weeks, and what it adds to the 12 after them."""
    from tests.benchmarks.sidebyside import companies

    left = 0.0
    for name in companies.CHANNELS:
        spend, shape = company.spend[name].to_numpy(), company.truth.loc[name]
        window = spend[companies.CARRY_IN :]
        active = window[window > 0].mean()
        ceiling = shape["contribution"] / companies.response(spend / active, shape)[companies.CARRY_IN :].sum()

        def ahead(amount, active=active, spend=spend, shape=shape, name=name):
            whole = np.concatenate([spend, np.full(13, amount), np.full(12, after[name])])
            return companies.response(whole / active, shape)[-25:]

        reached = ahead(plan[name])
        left += margin * ceiling * (reached.sum() - ahead(0.0)[13:].sum()) - 13 * plan[name]
    return left


def decisions(number, fit="draft", margin=0.4):
    """A row a family: what plans of simulated companies truly gain, beside what was said of them."""
    from kpitoolkit.regression import estimate
    from kpitoolkit.regression.problem import problem
    from tests.benchmarks.sidebyside import companies

    print(f"\n{number} companies a family, {fit} fits, margin {margin:.0%}, default bounds, last quarter's total\n")
    columns = ["family", "best plans that truly gain", "decided to move", "of these, truly gain"]
    columns += ["true over stated gain of these, median", "true gain inside the 90% interval, all plans"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for family in companies.FAMILIES:
        rows = []
        for seed in range(number):
            company = companies.company(family, seed)
            frame = company.frame.set_index("period_end")
            given = problem(frame, companies.CHANNELS, companies.CONTROLS, "week", companies.WEEKS)
            found = plan_budget(getattr(estimate, fit)(given), margin)
            now, best = (found.table.set_index("channel")[f"spend_{plan}"] / 13 for plan in ("now", "best"))
            gained = true_margin(company, best, now, margin) - true_margin(company, now, now, margin)
            inside = found.gain.low <= gained <= found.gain.high
            rows.append((gained > 0, found.decision == "move", gained / found.gain.mean, inside))
        gains, moved, ratio, inside = np.array(rows).T
        own = moved == 1
        shown = f"{gains[own].mean():.0%} | {np.median(ratio[own]):.2f}" if own.any() else "- | -"
        print(f"| {family} | {gains.mean():.0%} | {moved.mean():.0%} | {shown} | {inside.mean():.0%} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="?", type=int, default=100)
    parser.add_argument("--companies", type=int, default=20, help="simulated companies a family, for the decisions")
    parser.add_argument("--fit", choices=("draft", "published"), default="draft", help="of these companies")
    asked = parser.parse_args()
    problems = asked.problems
    beside_slsqp(problems)
    beside_every_point(min(problems, 40))
    over_the_draws()
    decisions(asked.companies, asked.fit)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    with np.errstate(all="ignore"):
        main()
