"""Series with known influences, and a catalogue that declares them: for tests and for the benchmark."""

import numpy as np
import pandas as pd

from kpitoolkit.reconciliation import catalogue

WEEKS_A_YEAR = 365.25 / 7


def declared(names, frequency="week", lags=(1,), margin=0.2, sign=0, **company):
    """A catalogue in which each of these KPIs is said to move `company`."""
    base = {"unit": "count", "direction": 1, "additive": "flow", "version": 1, "date": "2026-01-01"}
    kpis = [
        base
        | {"id": "company", "name": {"en": "Company figure", "it": "Cifra aziendale"}, "owner": ["CEO"]}
        | {"formula": {"finance": "gross_orders"}, "unit": "money"}
        | company
    ]
    for name in names:
        influence = {"kpi": "company", f"lag_{frequency}s": list(lags), "sign": sign}
        kpis.append(
            base
            | {"id": name, "name": {"en": name, "it": name}, "owner": ["CMO"]}
            | {"formula": {"marketing": "clicks_of_a_kind"}, "influences": [influence]}
        )
    content = {"version": "1", "date": "2026-01-01", "equivalence_margin_sd": margin, "kpis": kpis}
    made = catalogue.Catalogue.model_validate(content)  # formulas play no part here: the series are given
    return made


def noise(generator, periods, units=1, memory=0.5, at_rest=False):
    """AR(1) series with a standard deviation of one; `at_rest` it has no past before its first period."""
    shocks = generator.normal(0, np.sqrt(1 - memory**2), (periods + 40, units))
    if at_rest:
        shocks[:40] = 0
    values = np.zeros_like(shocks)
    for t in range(1, len(shocks)):
        values[t] = memory * values[t - 1] + shocks[t]
    return values[40:]


def moved_by(generator, marketing, effect, lag=1, memory=0.5, at_rest=False):
    """A company series whose own noise has a standard deviation of one, led by the marketing one at a lag."""
    own = noise(generator, *marketing.shape, memory, at_rest)
    led = np.zeros_like(own)
    for t in range(lag, len(own)):
        led[t] = memory * led[t - 1] + effect * marketing[t - lag]
    return own + led


def trend_and_season(generator, periods, units, frequency):
    """What moves every real series besides: a trend and a yearly wave of each unit's own."""
    t = np.arange(periods)[:, None]
    year = WEEKS_A_YEAR if frequency == "week" else 4
    phase = generator.uniform(0, 2 * np.pi, (1, units))
    slope = generator.normal(4, 2, (1, units))
    return slope * t / periods + 2 * np.sin(2 * np.pi * t / year + phase)


def tidy(values, frequency="week", last="2026-09-27"):
    """Arrays of periods x units by KPI -> the table of `series.of_unit`."""
    rows = []
    for kpi, array in values.items():
        columns = np.asarray(array, dtype=float)
        columns = columns[:, None] if columns.ndim == 1 else columns
        days = pd.date_range(
            end=last if frequency == "week" else "2026-09-30",
            periods=len(columns),
            freq="7D" if frequency == "week" else "QE",
        )
        for unit, column in enumerate(columns.T):
            basis = (
                "control" if kpi in ("media_spend", "price_index") else "finance" if kpi == "company" else "marketing"
            )
            rows.append(
                pd.DataFrame(
                    {
                        "unit": f"u{unit}",
                        "kpi": kpi,
                        "basis": basis,
                        "frequency": frequency,
                        "period": days,
                        "value": column,
                        "standard_error": np.nan,
                    }
                )
            )
    return pd.concat(rows, ignore_index=True).dropna(subset=["value"])
