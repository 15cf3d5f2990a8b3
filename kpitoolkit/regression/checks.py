"""What `fit` refuses, all of it at once: gaps, repeats, missing or negative figures, channels that are one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kpitoolkit.errors import Faults, suggest
from kpitoolkit.regression.transforms import PERIODS_OF_CARRYOVER


def checked(
    inputs: pd.DataFrame, channels: Sequence[str], controls: Sequence[str], frequency: str, periods: int | None
) -> tuple[pd.DataFrame, int]:
    """Check what `fit` was given; return its rows in order, and how many of the last belong to the window."""
    if frequency not in PERIODS_OF_CARRYOVER:
        raise Faults("regression", [f"frequency '{frequency}' is not one of {', '.join(PERIODS_OF_CARRYOVER)}"])
    needed = ["revenue", *channels, *controls]
    faults = [f"column '{n}' is missing.{suggest(n, inputs.columns)}" for n in needed if n not in inputs]
    faults += [f"'{name}' is stated twice" for name in sorted({n for n in needed if needed.count(n) > 1})]
    if not isinstance(inputs.index, pd.DatetimeIndex):
        faults.append("the index must be the last day of each period")
    if faults:
        raise Faults("regression inputs", faults)
    frame = inputs.sort_index()
    repeated = frame.index[frame.index.duplicated()]
    if len(repeated):
        raise Faults("regression inputs", [f"repeated periods: {named_periods(repeated.unique())}. Keep one row each"])
    if frequency == "week":
        full = pd.date_range(frame.index.min(), frame.index.max(), freq="7D") if len(frame) else frame.index
    else:
        full = pd.period_range(*frame.index.to_period("Q")[[0, -1]]).end_time.normalize() if len(frame) else frame.index
    lost = pd.DatetimeIndex(full).difference(frame.index)
    odd = frame.index.difference(pd.DatetimeIndex(full))
    if len(lost):
        faults.append(f"no row for {named_periods(lost)}. Complete the series")
    elif len(odd):
        faults.append(
            f"rows that end no period: {named_periods(odd)}. Weeks are 7 days apart, quarters end on their last day"
        )
    carried = frame["carry_in"].to_numpy(dtype=bool) if "carry_in" in frame else np.zeros(len(frame), dtype=bool)
    window = min(int((~carried).sum()), periods or len(frame))
    inside = frame.iloc[len(frame) - window :]
    for name in controls:
        faults += _not_finite(inside[name])
    faults += _not_finite(inside["revenue"])
    if window and (inside["revenue"] < 0).any():
        faults.append(
            f"revenue is below zero in {named_periods(inside.index[inside['revenue'] < 0])}. Book returns elsewhere"
        )
    if window and not (inside["revenue"] > 0).any():
        faults.append("revenue is never above zero. Check the unit and the accounts of sales")
    for name in channels:
        faults += _not_finite(frame[name])
        if (frame[name] < 0).any():
            where = named_periods(frame.index[frame[name] < 0])
            faults.append(f"spend on '{name}' is below zero in {where}. Book credits elsewhere")
    if not faults:
        faults += _same(inside[list(channels)].astype(float))
    if faults:
        raise Faults("regression inputs", faults)
    return frame, window


def _same(spend: pd.DataFrame) -> list[str]:
    moving = [name for name in spend if spend[name].std() > 1e-9 * spend[name].abs().max()] if len(spend) > 2 else []
    alike = np.corrcoef(spend[moving].to_numpy().T) if len(moving) > 1 else np.eye(len(moving))
    return [
        f"spend on '{one}' and '{other}' moves exactly together. Join them into one channel"
        for place, one in enumerate(moving)
        for after, other in enumerate(moving[place + 1 :], place + 1)
        if abs(alike[place, after]) > 1 - 1e-9
    ]


def _not_finite(values: pd.Series) -> list[str]:
    wrong = values.index[~np.isfinite(values.astype("Float64").astype(float))]
    return (
        [f"'{values.name}' has no figure in {named_periods(wrong)}. Complete it, or leave it out"] if len(wrong) else []
    )


def named_periods(days: pd.DatetimeIndex) -> str:
    """How many periods, and the first of them."""
    return f"{len(days)} {'period' if len(days) == 1 else 'periods'} (first: the one ending {days[0].date()})"
