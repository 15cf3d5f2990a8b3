"""Which sampler is kept: nutpie's NUTS on the compiled density, or a hand-written HMC on the same density?

Both start from the same optimum, in coordinates whitened by its curvature, on the same simulated companies, in one
process and thread. HMC: 24 chains of 150 kept walks after 75, 18 leap-frog steps each of jittered length, the step size
adapted in the first walks. CPU-seconds are of the walk alone, after compiling; R-hat and bulk ESS of log iROAS are
ArviZ's.

Run: ``python -m tests.benchmarks.regression_samplers [companies]``
"""

import sys
import time

import numpy as np
import pandas as pd

from kpitoolkit.regression import density, estimate
from kpitoolkit.regression.problem import problem
from tests.benchmarks.sidebyside import companies
from tests.benchmarks.sidebyside.stopwatch import resident

FAMILIES = ("in_family", "convex", "small_returns", "confounder")
CHAINS, WARM_UP, KEPT, STEPS = 24, 75, 150, 18


def hmc(inputs, centre, root, seed):
    """Walk HMC; return positions of shape (chains, kept, dimensions) and the share of walks that went astray."""
    draw = np.random.default_rng(seed)
    size = len(centre)
    scratch = np.empty(size)

    def look(z):
        gradient = np.empty(size)
        return density.whitened(z, gradient, centre, root, scratch, inputs), gradient

    chains, astray = np.empty((CHAINS, KEPT, size)), 0
    for chain in range(CHAINS):
        z = draw.standard_normal(size)
        height, slope = look(z)
        step = 0.25
        for walk in range(WARM_UP + KEPT):
            speed = draw.standard_normal(size)
            before = height - 0.5 * speed @ speed
            at, moving, here = z.copy(), speed.copy(), slope
            length = step * draw.uniform(0.8, 1.2)
            for _ in range(STEPS):
                moving = moving + 0.5 * length * here
                at = at + length * moving
                there, here = look(at)
                moving = moving + 0.5 * length * here
                if not np.isfinite(there):
                    break
            gain = there - 0.5 * moving @ moving - before
            chance = min(1.0, np.exp(min(gain, 0.0))) if np.isfinite(gain) else 0.0
            astray += walk >= WARM_UP and (not np.isfinite(gain) or gain < -1000)
            if draw.random() < chance:
                z, height, slope = at, there, here
            if walk < WARM_UP:
                step *= np.exp((chance - 0.8) * 0.15)
            else:
                chains[chain, walk - WARM_UP] = centre + root @ z
    return chains, astray


def one(family, seed):
    """Both samplers on one company."""
    made = companies.company(family, seed)
    frame = made.frame.set_index("period_end")
    given = problem(frame, companies.CHANNELS, companies.CONTROLS, window=companies.WEEKS)
    inputs = given.arrays()
    centre, _optima = estimate.highest(given, inputs)
    root = estimate.curvature(given, centre, inputs)
    rows = []
    for name, walk in (
        ("nutpie", lambda: estimate._walk(inputs, centre, root, None, estimate.TUNE, seed)),
        ("hand-written HMC", lambda: hmc(inputs, centre, root, seed)),
    ):
        before, began = resident(), time.process_time()
        chains, astray = walk()
        seconds = time.process_time() - began
        r_hat, ess = estimate.agreement(chains[:, :, : len(given.channels)])
        rows.append(
            {
                "sampler": name, "family": family, "seed": seed, "CPU-s": seconds, "largest R-hat": r_hat.max(),
                "smallest ESS": ess.min(), "ESS a CPU-s": ess.min() / seconds, "divergent": astray,
                "MB": resident() - before,
            }
        )  # fmt: skip
    return rows


def main(count=3):
    """Print medians by sampler and family."""
    one("in_family", 1)  # compiles
    frame = pd.DataFrame([row for family in FAMILIES for seed in range(count) for row in one(family, 500 + seed)])
    shown = frame.groupby(["family", "sampler"]).agg(
        {"CPU-s": "median", "largest R-hat": "max", "smallest ESS": "min", "ESS a CPU-s": "median", "divergent": "sum",
         "MB": "max"}
    )  # fmt: skip
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
