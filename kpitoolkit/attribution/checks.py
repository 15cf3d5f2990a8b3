"""What attribution asks of its input: everything wrong with it in one message, nothing repaired."""

import re

import numpy as np
import pandas as pd

from kpitoolkit.errors import Faults, suggest

UNATTRIBUTED = "unattributed"
_WHERE = "attribution"


def require(frame: pd.DataFrame, name: str, columns: tuple[str, ...]) -> None:
    """Raise Faults with every column of `columns` that the table `name` has not."""
    if missing := _missing(frame, name, columns):
        raise Faults(_WHERE, missing)


def require_one_currency(orders: pd.DataFrame, is_paid: np.ndarray) -> None:
    """Raise Faults where paid orders are in several currencies: their values cannot be added up.

    Parameters
    ----------
    orders : DataFrame
        Without a column `currency` there is nothing to check.
    is_paid : array of bool
    """
    if "currency" not in orders:
        return
    currency = orders["currency"].astype("str")
    counts = currency[is_paid & orders["currency"].notna()].value_counts().sort_index()
    if len(counts) > 1:
        usual = counts.idxmax()
        foreign = is_paid & (currency != usual).to_numpy(dtype=bool)
        several = f"orders: paid orders are in several currencies ({', '.join(counts.index)})"
        todo = "Convert them to one currency, or keep one unit's orders."
        raise Faults(_WHERE, _rows(foreign, f"{several}: {{n}} not in {usual}{{first}}. {todo}"))


def checked_bounds(
    touchpoints: pd.DataFrame, conversions: pd.DataFrame, lookback_days: float, period: tuple | None
) -> tuple[int, int]:
    """Check the input of `journeys`; return first instant of the period and first after it, microseconds UTC.

    Raises
    ------
    Faults
        With all the faults of both tables, the look-back and the period.
    """
    faults = _missing(touchpoints, "touchpoints", ("user_id", "time", "channel"))
    faults += _missing(conversions, "conversions", ("order_id", "user_id", "time", "value"))
    if not faults:
        faults += _touchpoint_faults(touchpoints) + _conversion_faults(conversions)
    if not faults and len(conversions) and not conversions["user_id"].isna().all():
        numeric = [pd.api.types.is_numeric_dtype(frame["user_id"]) for frame in (touchpoints, conversions)]
        if numeric[0] != numeric[1]:
            faults.append("user_id is a number in one table and text in the other: read both as text.")
    if isinstance(lookback_days, bool) or not _is_number(lookback_days) or not 0 < lookback_days < 36_500:
        faults.append(f"lookback_days is {lookback_days!r}: give a number of days above 0, such as 30.")
    start = end = None
    try:
        start, end = (None, None) if period is None else _instants(period)
    except (TypeError, ValueError):
        faults.append(f"period is {period!r}: give its first and last day, such as ('2026-07-01', '2026-09-30').")
    if start is not None and end <= start:
        faults.append(f"period ends ({period[1]}) before it starts ({period[0]}): swap the two days.")
    if faults:
        raise Faults(_WHERE, faults)

    times = [frame["time"] for frame in (touchpoints, conversions) if len(frame)]
    times = [time.dt.tz_convert("UTC").dt.tz_localize(None) if time.dt.tz is not None else time for time in times]
    if start is None:
        start, end = min(time.min() for time in times), max(time.max() for time in times) + pd.Timedelta(1, "us")
    lookback = pd.Timedelta(days=float(lookback_days))
    if not ((times[0] >= start - lookback) & (times[0] < end)).any():
        raise Faults(
            _WHERE,
            [
                f"no touchpoint between {start - lookback:%Y-%m-%d} and {end - pd.Timedelta(1, 'us'):%Y-%m-%d}:"
                f" the table goes from {times[0].min():%Y-%m-%d} to {times[0].max():%Y-%m-%d}. Check the quarter and"
                " the export."
            ],
        )
    return tuple(int(bound.to_datetime64().astype("datetime64[us]").astype(np.int64)) for bound in (start, end))


def checked_paths(
    paths: pd.DataFrame, separator: str | None
) -> tuple[list[tuple[str, ...]], np.ndarray, np.ndarray, np.ndarray]:
    """Check ready-made paths; return the channels of each, and its conversions, value and nulls.

    Raises
    ------
    Faults
        With all the faults of the table.
    """
    require(paths, "paths", ("path", "total_conversions"))
    if not len(paths):
        raise Faults(_WHERE, ["paths: the table is empty. Check the export."])
    faults, counts = [], {}
    for column in ("total_conversions", "total_null", "total_conversion_value"):
        numbers = pd.to_numeric(paths[column], errors="coerce") if column in paths else pd.Series(0, paths.index)
        numbers = numbers.to_numpy(dtype=float, na_value=np.nan)
        counts[column] = np.nan_to_num(numbers)
        wrong = ~np.isfinite(numbers)
        what = "a finite number"
        if column != "total_conversion_value":
            wrong |= (counts[column] < 0) | (counts[column] % 1 != 0)
            what = "a whole number of journeys"
        faults += _rows(wrong, f"paths: {{n}} in '{column}' not {what}{{first}}. Give counts, not shares.")
    valueless = (counts["total_conversions"] == 0) & (counts["total_conversion_value"] != 0)
    faults += _rows(valueless, "paths: {n} with a value and no conversion{first}. Check the export.")
    empty = paths["path"].isna().to_numpy()
    faults += _rows(empty, "paths: {n} without path{first}. Write an empty text for conversions without touchpoint.")
    texts = paths["path"].astype("str").where(~empty, "").tolist()
    spaced, tight = [" > " in path for path in texts], [re.search(r"\S>\S", path) is not None for path in texts]
    if separator is None and any(spaced) and any(tight):
        faults.append(
            f"paths: both ' > ' and '>' are used (first: rows {spaced.index(True) + 1} and {tight.index(True) + 1})."
            " Say which one separates channels: separator=' > ' or separator='>'."
        )
    separator = separator or (" > " if any(spaced) else ">")
    names = [tuple(part.strip() for part in path.split(separator)) if path.strip() else () for path in texts]
    faults += _rows(
        np.array([any(not name or name.startswith("> ") for name in path) for path in names]),
        "paths: {n} with an empty step{first}. Name the channel.",
    )
    faults += _rows(np.array([UNATTRIBUTED in path for path in names]), _RESERVED.format(table="paths"))
    if not any(names):
        faults.append("paths: no path holds a touchpoint. Check the column 'path'.")
    if faults:
        raise Faults(_WHERE, faults)
    conversions, nulls = (counts[column].astype(np.int64) for column in ("total_conversions", "total_null"))
    return names, conversions, counts["total_conversion_value"], nulls


_RESERVED = (
    "{table}: {{n}} with a channel called '"
    + UNATTRIBUTED
    + "', the name of the line for conversions without touchpoint"
    "{{first}}. Rename the channel."
)


def _touchpoint_faults(touchpoints: pd.DataFrame) -> list[str]:
    if not len(touchpoints):
        return ["touchpoints: the table is empty. Check the export and the unit's name in the data."]
    faults = _id_and_time_faults(touchpoints, "touchpoints", ("user_id",))
    channel = touchpoints["channel"]
    unnamed = channel.isna().to_numpy()
    blank = [name for name in channel.dropna().unique() if not str(name).strip()]
    if blank:
        unnamed = unnamed | channel.isin(blank).to_numpy()
    faults += _rows(unnamed, "touchpoints: {n} without channel{first}. Name it, or leave the rows out of the export.")
    reserved = (channel == UNATTRIBUTED).fillna(False).to_numpy(dtype=bool)
    return faults + _rows(reserved, _RESERVED.format(table="touchpoints"))


def _conversion_faults(conversions: pd.DataFrame) -> list[str]:
    if not len(conversions):
        return []
    faults = _id_and_time_faults(conversions, "conversions", ("order_id",))
    if not pd.api.types.is_numeric_dtype(conversions["value"]):
        return [*faults, "conversions: 'value' is not a number. Give currency units."]
    wrong = ~np.isfinite(conversions["value"].to_numpy(dtype=float, na_value=np.nan))
    return faults + _rows(wrong, "conversions: {n} without a finite value{first}. Write 0 where there is none.")


def _id_and_time_faults(frame: pd.DataFrame, name: str, ids: tuple[str, ...]) -> list[str]:
    faults = []
    for column in ids:
        faults += _rows(frame[column].isna().to_numpy(), f"{name}: {{n}} without {column}{{first}}. Check the export.")
    if pd.api.types.infer_dtype(frame["user_id"], skipna=True).startswith("mixed"):
        faults.append(f"{name}: 'user_id' mixes numbers and text. Read it as text.")
    if not pd.api.types.is_datetime64_any_dtype(frame["time"]):
        return [*faults, f"{name}: 'time' is not a column of times. Read the table with tables.read, or convert it."]
    return faults + _rows(frame["time"].isna().to_numpy(), f"{name}: {{n}} without time{{first}}. Check the export.")


def _missing(frame: pd.DataFrame, name: str, columns: tuple[str, ...]) -> list[str]:
    found = list(frame.columns)
    there = f"The table has: {', '.join(str(column) for column in found)}."
    return [
        f"{name}: column '{column}' is missing.{suggest(column, found)} {there}"
        for column in columns
        if column not in found
    ]


def _rows(wrong: np.ndarray, sentence: str) -> list[str]:
    """Fill the sentence with how many rows are wrong and which is the first, counted from 1 as the table came."""
    at = np.flatnonzero(wrong)
    if not len(at):
        return []
    return [sentence.format(n="1 row" if len(at) == 1 else f"{len(at)} rows", first=f" (first: row {at[0] + 1})")]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and bool(np.isfinite(value))


def _instants(period: tuple) -> tuple[pd.Timestamp, pd.Timestamp]:
    first, last = (pd.Timestamp(day) for day in period)
    if first is pd.NaT or last is pd.NaT:
        raise ValueError
    bounds = first.normalize(), last.normalize() + pd.DateOffset(days=1)
    return tuple(bound.tz_convert("UTC").tz_localize(None) if bound.tz is not None else bound for bound in bounds)
