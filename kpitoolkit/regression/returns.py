"""From coefficients and drawn shapes to what each channel brought: per unit of spend, at the margin, on its curve."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpitoolkit.regression import shapes, transforms

TOTAL = "total_media"
INTERVAL = 0.90
SHORTEST = {"week": 104, "quarter": 16}
NUMBERS = ["contribution", "iroas", "low", "high", "mroas", "carryover", "half_saturation"]
TABLE = ["channel", "spend", *NUMBERS, "ceiling", "verdict"]
CONTRIBUTIONS = ["period_end", "component", "contribution"]
CURVES = ["channel", "spend", "contribution", "range"]
COEFFICIENTS = ["term", "estimate", "standard_error", "t", "p_value", "low", "high"]
CURVE_POINTS, BEYOND = 41, 1.5


@dataclass(frozen=True, eq=False)
class Channel:
    """A channel's spend and what follows from it at every grid point, for an iROAS of one.

    Attributes
    ----------
    spend : float
        In the window.
    column : array of shape (periods, grid points)
        Modelled revenue, adding up to the spend.
    next_share : array of shape (grid points,)
        mROAS over iROAS.
    ceiling, half_saturation : array of shape (grid points,)
        Currency per period.
    largest : array of shape (grid points,)
        Highest adstocked spend of the window, currency per period: as far as the curve was observed.
    """

    name: str
    spend: float
    column: np.ndarray
    next_share: np.ndarray
    ceiling: np.ndarray
    carryover: np.ndarray
    half_saturation: np.ndarray
    largest: np.ndarray


def describe(name: str, spend: np.ndarray, grid: shapes.Grid, window: int, periods: int) -> Channel:
    """Work out a channel's response at every point of the grid.

    The next unit of spend goes the way the window's went: with ``h`` the share of the ceiling reached, slope 1,
    ``mROAS / iROAS = sum h (1 - h) / sum h``.
    """
    spend = np.asarray(spend, dtype=float)
    share = transforms.saturations(spend, grid.carryover, grid.half_saturation, window=window, periods=periods)
    total, reached = spend[-window:].sum(), share.sum(axis=0)
    half_saturation = grid.half_saturation * transforms.mean_active(spend[-window:])
    highest = share.max(axis=0)
    return Channel(
        name=name,
        spend=float(total),
        column=share * total / reached,
        next_share=(share * (1 - share)).sum(axis=0) / reached,
        ceiling=total / reached,
        carryover=grid.carryover,
        half_saturation=half_saturation,
        largest=half_saturation * highest / (1 - highest),
    )


def channel_row(channel: Channel, point: int, estimate: float, drawn: np.ndarray) -> dict:
    """Return a channel's row of the table.

    Parameters
    ----------
    point, estimate : int, float
        Chosen grid point and iROAS there.
    drawn : array of shape (draws,)
        iROAS, of the averaging.
    """
    low, high = interval(drawn, estimate)
    return {
        "channel": channel.name,
        "spend": channel.spend,
        "contribution": estimate * channel.spend,
        "iroas": estimate,
        "low": low,
        "high": high,
        "mroas": estimate * channel.next_share[point],
        "carryover": channel.carryover[point],
        "half_saturation": channel.half_saturation[point],
        "ceiling": estimate * channel.ceiling[point],
    }


def total_row(rows: Sequence[dict], draws: shapes.Draws) -> dict:
    """Return the row of all media together: contributions and the next unit of spend in proportion to spend.

    Parameters
    ----------
    rows : sequence of dict
        Of the channels, in the order of the draws.
    """
    spend = np.array([row["spend"] for row in rows])
    weight = spend / spend.sum()
    iroas = float(weight @ [row["iroas"] for row in rows])
    low, high = interval(draws.coefficients @ weight, iroas)
    return {
        "channel": TOTAL,
        "spend": float(spend.sum()),
        "contribution": float(sum(row["contribution"] for row in rows)),
        "iroas": iroas,
        "low": low,
        "high": high,
        "mroas": float(weight @ [row["mroas"] for row in rows]),
    }


def interval(drawn: np.ndarray, estimate: float, level: float = INTERVAL) -> tuple[float, float]:
    """Return the central interval of the draws, widened to hold the estimate where it would not.

    Examples
    --------
    >>> interval(np.arange(101.0), 50.0, level=0.5)
    (25.0, 75.0)
    """
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return float(min(low, estimate)), float(max(high, estimate))


def curve(channel: Channel, point: int, estimate: float) -> pd.DataFrame:
    """Return modelled revenue per period at constant spend, up to what was observed and half as much again beyond."""
    largest = channel.largest[point]
    spend = np.append(np.linspace(0, largest, CURVE_POINTS), np.linspace(largest, BEYOND * largest, CURVE_POINTS // 2))
    reached = transforms.saturate(spend, channel.half_saturation[point])
    return pd.DataFrame(
        {
            "channel": channel.name,
            "spend": spend,
            "contribution": estimate * channel.ceiling[point] * reached,
            "range": np.where(np.arange(len(spend)) < CURVE_POINTS, "observed", "beyond"),
        }
    )


def verdict(row, break_even: float, periods: int, frequency: str) -> str:
    """Place an interval beside break-even; without enough periods, or with break-even inside it, say so.

    Parameters
    ----------
    row
        With `spend`, `low` and `high`.
    """
    if not row.spend:
        return "not_spent"
    if periods < SHORTEST[frequency] or not (np.isfinite(row.low) and np.isfinite(row.high)):
        return "insufficient_data"
    if row.low > break_even:
        return "above_break_even"
    return "below_break_even" if row.high < break_even else "insufficient_data"


def contributions(
    period_end: pd.DatetimeIndex, revenue: np.ndarray, parts: pd.DataFrame, baseline_terms: Sequence[str]
) -> pd.DataFrame:
    """Return what each component brought in each period; with the residual they add up to revenue."""
    wide = pd.DataFrame({"baseline": parts[list(baseline_terms)].sum(axis=1).to_numpy()}, index=period_end)
    for name in parts.columns.drop(list(baseline_terms)):
        wide[name] = parts[name].to_numpy()
    wide["residual"] = revenue - wide.sum(axis=1)
    wide.index.name = "period_end"
    return wide.reset_index().melt("period_end", var_name="component", value_name="contribution")


def coefficients(fitted, baseline_terms: Sequence[str], scale: float) -> pd.DataFrame:
    """Return statsmodels' table in the reader's units: baseline in currency per period, media as iROAS."""
    names = fitted.model.exog_names
    units = np.array([scale if name in set(baseline_terms) else 1.0 for name in names])
    bounds = np.asarray(fitted.conf_int(alpha=1 - INTERVAL))
    return pd.DataFrame(
        {
            "term": names,
            "estimate": np.asarray(fitted.params) * units,
            "standard_error": np.asarray(fitted.bse) * units,
            "t": np.asarray(fitted.tvalues),
            "p_value": np.asarray(fitted.pvalues),
            "low": bounds[:, 0] * units,
            "high": bounds[:, 1] * units,
        },
        columns=COEFFICIENTS,
    )
