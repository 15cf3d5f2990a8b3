"""From spend to advertising pressure: carry-over, saturation, and the baseline's columns. Arrays in, arrays out."""

import numpy as np
import pandas as pd

WEEKS_OF_CARRYOVER = 13
PERIODS_OF_CARRYOVER = {"week": WEEKS_OF_CARRYOVER, "quarter": 2}
PERIODS_OF_YEAR = {"week": 365.25 / 7, "quarter": 4.0}
HARMONICS = {"week": 2, "quarter": 1}


def adstock(spend: np.ndarray, carryover: float, periods: int = WEEKS_OF_CARRYOVER) -> np.ndarray:
    """Spread each period's spend over the periods after it; the weights add up to one.

    ``adstock_t = sum_l carryover^l spend_(t-l) / sum_l carryover^l`` for l = 0 .. periods - 1: the normalised geometric
    adstock of Jin et al., "Bayesian Methods for Media Mix Modeling with Carryover and Shape Effects" (Google, 2017).
    Spend before the first row counts as zero: give the rows before the window too, and cut them off afterwards.

    Parameters
    ----------
    spend : array of shape (periods of the data,)
        In any unit; the result has the same.
    carryover : float in [0, 1)
        Share of advertising pressure kept from one period to the next.
    periods : int
        How many periods an impulse lasts, its own included.

    Returns
    -------
    array of the same shape and unit

    Examples
    --------
    >>> adstock([7, 0, 0, 14], 0.5, periods=3).tolist()
    [4.0, 2.0, 1.0, 8.0]
    """
    spend = np.asarray(spend, dtype=float)
    weights = _weights(carryover, periods)
    return np.convolve(spend, weights)[: len(spend)]


def saturate(pressure: np.ndarray, half_saturation: float, slope: float = 1.0) -> np.ndarray:
    """Return the share of a channel's ceiling that a pressure reaches: the Hill function ``x^s / (x^s + k^s)``.

    Examples
    --------
    >>> saturate([0, 1, 3], half_saturation=1).tolist()
    [0.0, 0.5, 0.75]
    """
    raised = np.asarray(pressure, dtype=float) ** slope
    return raised / (raised + half_saturation**slope)


def mean_active(spend: np.ndarray) -> float:
    """Return the mean of the periods in which money was spent, or 0 where there is none.

    Examples
    --------
    >>> mean_active([0, 2, 0, 4])
    3.0
    """
    spend = np.asarray(spend, dtype=float)
    return float(spend[spend > 0].mean()) if (spend > 0).any() else 0.0


def response(
    spend: np.ndarray,
    carryover: float,
    half_saturation: float,
    *,
    window: int,
    periods: int = WEEKS_OF_CARRYOVER,
    slope: float = 1.0,
) -> np.ndarray:
    """Return a channel's modelled revenue in each period of the window for an iROAS of one.

    Adstock of spend over its mean active spend, then saturation, then scaled so that the column adds up to the spend of
    the window. Its coefficient in a regression of revenue is therefore the channel's iROAS.

    Parameters
    ----------
    spend : array of shape (carry-in + window,)
        Currency per period, oldest first.
    carryover, half_saturation, slope : float
        Half-saturation in multiples of the window's mean active spend.
    window : int
        How many of the last periods belong to the window; those before them only carry in.

    Examples
    --------
    >>> response([0, 10, 10], 0.0, 1.0, window=3).tolist()
    [0.0, 10.0, 10.0]
    """
    spend = np.asarray(spend, dtype=float)
    scale = mean_active(spend[-window:])
    if scale == 0:
        return np.zeros(window)
    saturated = saturate(adstock(spend / scale, carryover, periods), half_saturation, slope)[-window:]
    return saturated * spend[-window:].sum() / saturated.sum()


def standardise(values: np.ndarray) -> np.ndarray:
    """Return values less their mean over their standard deviation; a constant becomes zero.

    Examples
    --------
    >>> standardise([1.0, 3.0]).tolist(), standardise([5.0, 5.0]).tolist()
    ([-1.0, 1.0], [0.0, 0.0])
    """
    values = np.asarray(values, dtype=float)
    spread = values.std()
    centred = values - values.mean()
    return centred / spread if spread > 1e-12 * max(1.0, abs(values.mean())) else np.zeros_like(values)


def baseline_design(period_end: pd.DatetimeIndex, frequency: str, controls: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the baseline's columns: intercept, trend, yearly Fourier harmonics, standardised controls.

    Parameters
    ----------
    period_end : DatetimeIndex of shape (periods,)
        Last day of each period.
    frequency : {"week", "quarter"}
        Two harmonics for weeks, one for quarters.
    controls : DataFrame of shape (periods, controls), optional
        Controls that never change in the window are left out.

    Returns
    -------
    DataFrame
        Columns `intercept`, `trend` (in years from the middle of the window), `season_sin_1`, `season_cos_1`, ... and
        the controls' names.

    Examples
    --------
    >>> ends = pd.date_range("2025-03-31", periods=4, freq="QE")
    >>> list(baseline_design(ends, "quarter").columns)
    ['intercept', 'trend', 'season_sin_1', 'season_cos_1']
    """
    period_end = pd.DatetimeIndex(period_end)
    count = np.arange(len(period_end))
    columns = {"intercept": np.ones(len(period_end))}
    columns["trend"] = (count - count.mean()) / PERIODS_OF_YEAR[frequency]
    # Days are counted from a fixed date, so that the season's phase does not move with the window.
    years = (period_end - pd.Timestamp("2000-01-01")).days.to_numpy() / 365.25
    if frequency == "quarter":
        years = (period_end.year.to_numpy() - 2000) + period_end.quarter.to_numpy() / 4
    for harmonic in range(1, HARMONICS[frequency] + 1):
        columns[f"season_sin_{harmonic}"] = np.sin(2 * np.pi * harmonic * years)
        columns[f"season_cos_{harmonic}"] = np.cos(2 * np.pi * harmonic * years)
    design = pd.DataFrame(columns, index=period_end)
    if controls is not None:
        for name in controls.columns:
            standard = standardise(controls[name].to_numpy())
            if standard.any():
                design[name] = standard
    return design


def _weights(carryover: float, periods: int) -> np.ndarray:
    if not 0 <= carryover < 1:
        raise ValueError(f"carryover must lie in [0, 1), not {carryover}")
    weights = float(carryover) ** np.arange(periods)
    return weights / weights.sum()
