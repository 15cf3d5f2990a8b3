"""How often do stated intervals of iROAS hold the truth? Nominal against actual, on simulated companies.

Each company has 156 weeks, five channels (always on, or in flights), seasons, trend, controls and AR(1) errors. Three
ways to an interval are compared at the same point estimate:

conditional  GLSAR with HAC errors at the best grid point, as if the shapes were known
linearised   the same with the contributions' derivatives by carryover and half-saturation in the design, weak priors
averaged     shapes drawn over the joint grid, coefficients with the HAC covariance of each (what `fit` ships)

The averaged interval of the next euro (mROAS) is measured too; `fit` does not ship it, for it holds too little.

Run: ``python tests/benchmarks/regression_coverage.py [companies]``: a minute on one core for 60.
"""

import sys
import time

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit

from kpitoolkit.regression import returns, shapes, transforms

WEEKS, CARRY_IN, CHANNELS = 156, 12, 5
LEVELS = (0.5, 0.8, 0.9, 0.95)
FAMILIES = ("in family", "half logistic", "convex", "AR(2), twice the noise")


def simulate(seed, family):
    """One company: revenue, spend with its carry-in, the baseline's design, true iROAS, true mROAS of all media."""
    draw = np.random.default_rng(seed)
    rows = WEEKS + CARRY_IN
    week = np.arange(rows)
    season = np.cos(2 * np.pi * (week - draw.uniform(0, 52)) / 52.18)
    spend = np.empty((rows, CHANNELS))
    for channel in range(CHANNELS):
        level = np.exp(draw.normal(0, 0.25, rows) + 0.3 * draw.uniform(-0.5, 1) * season)
        if channel % 2:
            running, at = np.zeros(rows), 0
            while at < rows:
                length = draw.integers(3, 9)
                running[at : at + length] = 1
                at += length + draw.integers(2, 8)
            level = level * running
        else:
            level = level * np.exp(0.35 * np.repeat(draw.normal(size=rows // 6 + 1), 6)[:rows])
        spend[:, channel] = level * draw.lognormal(0, 0.7)
    spend *= 0.08 * WEEKS / spend[CARRY_IN:].sum()
    share = draw.uniform(0.15, 0.3)
    carryover, half = expit(draw.normal(-0.6, 1, CHANNELS)), np.exp(draw.normal(np.log(2), 0.7, CHANNELS))
    total = spend[CARRY_IN:].sum(axis=0)
    iroas = np.exp(draw.normal(0, 0.6, CHANNELS))
    iroas *= share * WEEKS / (iroas * total).sum()
    media, following = 0.0, 0.0
    for channel in range(CHANNELS):
        scaled = spend[:, channel] / transforms.mean_active(spend[CARRY_IN:, channel])
        pressure = transforms.adstock(scaled, carryover[channel])[CARRY_IN:]
        slope = 1.8 if family == "convex" else 1.0
        reached = transforms.saturate(pressure, half[channel], slope)
        gained = slope * reached * (1 - reached)  # derivative by pressure, times pressure
        if family == "half logistic" and channel % 2:
            reached = np.tanh(pressure / half[channel] / 1.5)
            gained = (1 - reached**2) * pressure / half[channel] / 1.5
        following += iroas[channel] * total[channel] * gained.sum() / reached.sum() / total.sum()
        media = media + reached * iroas[channel] * total[channel] / reached.sum()
    ends = pd.date_range("2023-10-08", periods=WEEKS, freq="7D")
    controls = pd.DataFrame(
        {
            "price_index": np.repeat(draw.normal(size=WEEKS // 4 + 1), 4)[:WEEKS],
            "promotion_days": draw.binomial(7, 0.2, WEEKS) * (draw.random(WEEKS) < 0.4),
            "holiday_days": (draw.random(WEEKS) < 0.08) * draw.integers(1, 3, WEEKS),
        },
        index=ends,
    )
    design = transforms.baseline_design(ends, "week", controls)
    effects = np.r_[1 - share, draw.normal(0, 0.05), draw.normal(0, [0.1, 0.1, 0.05, 0.05]), -0.03, 0.03, 0.02]
    error = _errors(draw, family)
    return design.to_numpy() @ effects + media + error, spend, design, iroas, following


def _errors(draw, family):
    first, second, size = (0.4, 0.0, 0.045) if not family.startswith("AR") else (0.4, 0.25, 0.09)
    shocks = draw.normal(0, size * np.sqrt(1 - first**2), WEEKS + 50)
    error = np.zeros(WEEKS + 50)
    for at in range(2, WEEKS + 50):
        error[at] = first * error[at - 1] + second * error[at - 2] + shocks[at]
    return error[50:]


def linearised(target, design, estimates, spend, grid, chosen, autocorrelation, lags):
    """Covariance of the iROAS with each channel's two derivatives beside its column (Gauss-Newton, weak priors)."""
    fixed = design.shape[1] - CHANNELS
    columns = [design]
    for channel in range(CHANNELS):
        inside = np.clip(grid.carryover[chosen[channel]], 0.04, 0.96)
        kept, half = logit(inside), np.log(grid.half_saturation[chosen[channel]])

        def at(kept, half, channel=channel):
            carryover, half_saturation = np.array([expit(kept)]), np.exp([half])
            share = transforms.saturations(spend[:, channel], carryover, half_saturation, window=WEEKS)[:, 0]
            return share * spend[-WEEKS:, channel].sum() / share.sum()

        step = 0.15
        slopes = np.column_stack(
            [at(kept + step, half) - at(kept - step, half), at(kept, half + step) - at(kept, half - step)]
        )
        columns.append(estimates[fixed + channel] * slopes / (2 * step))
    wide = shapes.whiten(np.column_stack(columns), autocorrelation)
    error = shapes.whiten(target - design @ estimates, autocorrelation)
    freedom = len(error) - design.shape[1]
    variance = error @ error / freedom
    prior = np.zeros(wide.shape[1])
    prior[fixed + CHANNELS :: 2], prior[fixed + CHANNELS + 1 :: 2] = 1.0, 1 / 1.1**2
    bread = np.linalg.inv(wide.T @ wide / variance + np.diag(prior))
    score = wide * error[:, None] / variance
    middle = score.T @ score
    for lag in range(1, lags + 1):
        pair = score[lag:].T @ score[:-lag]
        middle += (1 - lag / (lags + 1)) * (pair + pair.T)
    middle *= len(error) / freedom
    return (bread @ (middle + np.diag(prior)) @ bread)[fixed : fixed + CHANNELS, fixed : fixed + CHANNELS]


def one(seed, family):
    """For one company: (way, what, level) -> covered, and the errors of the point estimate."""
    target, spend, baseline, truth, following = simulate(seed, family)
    grid, lags, fixed = shapes.shape_grid(), shapes.hac_lags(WEEKS), baseline.to_numpy()
    channels = [
        returns.describe(str(c), spend[:, c], grid, WEEKS, transforms.WEEKS_OF_CARRYOVER) for c in range(CHANNELS)
    ]
    columns = [channel.column for channel in channels]
    weight = np.array([channel.spend for channel in channels])
    weight = weight / weight.sum()
    chosen, autocorrelation = shapes.search(target, fixed, columns, grid)
    design = shapes.join(fixed, columns, chosen)
    whitened, aim = shapes.whiten(design, autocorrelation), shapes.whiten(target, autocorrelation)
    estimates = np.linalg.lstsq(whitened, aim, rcond=None)[0]
    media = estimates[-CHANNELS:]
    draws = shapes.average(target, fixed, columns, grid, chosen=chosen, autocorrelation=autocorrelation, lags=lags)
    conditional = shapes.hac_covariance(whitened, aim - whitened @ estimates, lags)[-CHANNELS:, -CHANNELS:]
    linear = linearised(target, design, estimates, spend, grid, chosen, autocorrelation, lags)
    freedom = len(aim) - design.shape[1]
    rows = []
    for level in LEVELS:
        reach = stats.t.ppf(0.5 + level / 2, freedom)
        for way, covariance in (("conditional", conditional), ("linearised", linear)):
            half = reach * np.sqrt(np.diag(covariance))
            held, width = np.abs(media - truth) <= half, 2 * half / truth
            total = abs(weight @ (media - truth)) <= reach * np.sqrt(weight @ covariance @ weight)
            rows += _rows(way, level, held, total, width)
        bounds = np.array([returns.interval(draws.coefficients[:, c], media[c], level) for c in range(CHANNELS)])
        low, high = returns.interval(draws.coefficients @ weight, weight @ media, level)
        held = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
        rows += _rows("averaged", level, held, low <= weight @ truth <= high, (bounds[:, 1] - bounds[:, 0]) / truth)
        drawn = sum(
            weight[c] * draws.coefficients[:, c] * channels[c].next_share[draws.points[:, c]] for c in range(CHANNELS)
        )
        point = sum(weight[c] * media[c] * channels[c].next_share[chosen[c]] for c in range(CHANNELS))
        low, high = returns.interval(drawn, point, level)
        rows.append(
            {
                "way": "averaged",
                "level": level,
                "of": "total, next euro",
                "held": low <= following <= high,
                "width": (high - low) / following,
            }
        )
    error = {"channel": np.abs(media - truth) / truth, "total": [abs(weight @ (media - truth)) / (weight @ truth)]}
    return rows, error


def _rows(way, level, held, total, width):
    rows = [
        {"way": way, "level": level, "of": "channel", "held": h, "width": w} for h, w in zip(held, width, strict=True)
    ]
    return [*rows, {"way": way, "level": level, "of": "total", "held": total, "width": np.nan}]


def measure(family, companies):
    """Coverage by way and level (DataFrame), and the point estimate's median errors."""
    results = [one(seed, family) for seed in range(companies)]
    frame = pd.DataFrame([row for rows, _error in results for row in rows])
    covered = frame.pivot_table(index=["of", "way"], columns="level", values="held", aggfunc="mean")
    covered["median width of 90% / iROAS"] = frame[frame["level"] == 0.9].groupby(["of", "way"])["width"].median()
    errors = {of: float(np.median(np.concatenate([e[of] for _rows, e in results]))) for of in ("channel", "total")}
    return covered, errors


def main(companies=60):
    """Print the measurement of each family."""
    for family in FAMILIES:
        began = time.process_time()
        covered, errors = measure(family, companies if family == "in family" else max(1, 2 * companies // 3))
        print(f"\n{family}: median error of iROAS {errors['channel']:.2f} by channel, {errors['total']:.2f} in total")
        print(covered.round(3).to_string())
        print(f"{time.process_time() - began:.0f} CPU-s")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
