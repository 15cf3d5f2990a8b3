"""What attribution asks of its input: everything wrong with it in one message, nothing repaired."""

import re

import numpy as np
import pandas as pd

from kpitoolkit.errors import Faults, suggest

UNATTRIBUTED = "unattributed"
OPTIONAL = ("campaign", "unit")
_WHERE = "attribution"


def require(frame: pd.DataFrame, name: str, columns: tuple[str, ...]) -> None:
    """Raise Faults with every column of `columns` that the table `name` has not, or where it is no DataFrame."""
    if not isinstance(frame, pd.DataFrame):
        refuse([f"{name}: {type(frame).__name__} is no table. Give a DataFrame."])
    refuse(missing_columns(list(frame.columns), name, columns))


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


class Tally:
    """Faults of one table, found batch by batch: how many rows each concerns and which is the first."""

    def __init__(self, table: str):
        self.table = table
        self._found: dict[str, list[int]] = {}
        self._other: list[str] = []

    def rows(self, wrong: np.ndarray, sentence: str, first_row: int = 0) -> None:
        """Note the rows where `wrong` holds; `first_row` is the place of the batch in the table, from 0."""
        if count := int(np.count_nonzero(wrong)):
            self._found.setdefault(sentence, [0, first_row + int(np.argmax(wrong)) + 1])[0] += count

    def add(self, sentence: str) -> None:
        """Note a fault of the table as a whole, once."""
        if (sentence := f"{self.table}: {sentence}") not in self._other:
            self._other.append(sentence)

    def faults(self) -> list[str]:
        """Return the sentences, each with its count and first row, counted from 1 as the table came."""
        found = [_filled(f"{self.table}: {text}", n, first) for text, (n, first) in self._found.items()]
        return self._other + found


def missing_columns(found: list[str], name: str, columns: tuple[str, ...]) -> list[str]:
    """Return a sentence for every column of `columns` that the table `name` has not, and for those it has twice."""
    there = f"The table has: {', '.join(str(column) for column in found)}." if found else "The table has none."
    twice = [column for column in dict.fromkeys((*columns, *OPTIONAL)) if list(found).count(column) > 1]
    return [f"{name}: column '{column}' stands twice. Keep one of them." for column in twice] + [
        f"{name}: column '{column}' is missing.{suggest(column, found)} {there}"
        for column in columns
        if column not in found
    ]


def rule_faults(lookback_days: float, period: tuple | None) -> tuple[list[str], tuple[int, int] | None]:
    """Check look-back and period; return faults, and first instant of the period and first after it, microseconds UTC.

    The bounds are None where no period is given, and where one is faulty.
    """
    faults = []
    if isinstance(lookback_days, bool) or not _is_number(lookback_days) or not 0 < lookback_days < 36_500:
        faults.append(f"lookback_days is {lookback_days!r}: give a number of days above 0, such as 30.")
    if period is None:
        return faults, None
    try:
        start, end = _instants(period)
    except (TypeError, ValueError):
        return [
            *faults,
            f"period is {period!r}: give its first and last day, such as ('2026-07-01', '2026-09-30').",
        ], None
    if end <= start:
        return [*faults, f"period ends ({period[1]}) before it starts ({period[0]}): swap the two days."], None
    start, end = (int(bound.to_datetime64().astype("datetime64[us]").astype(np.int64)) for bound in (start, end))
    return faults, (start, end)


def refuse(faults: list[str]) -> None:
    """Raise Faults with all of the sentences, where there are any."""
    if faults:
        raise Faults(_WHERE, faults)


def no_touchpoint(window: tuple[int, int], read: tuple[int, int]) -> None:
    """Raise Faults: no touchpoint stands in the window, those read go from the first to the last of `read`."""
    days = [f"{pd.Timestamp(at, unit='us'):%Y-%m-%d}" for at in (window[0], window[1] - 1, *read)]
    raise Faults(
        _WHERE,
        [
            f"no touchpoint between {days[0]} and {days[1]}: the table goes from {days[2]} to {days[3]}. Check the"
            " quarter and the export."
        ],
    )


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
    faults += _rows(np.array([UNATTRIBUTED in path for path in names]), f"paths: {RESERVED}")
    if not any(names):
        faults.append("paths: no path holds a touchpoint. Check the column 'path'.")
    if faults:
        raise Faults(_WHERE, faults)
    conversions, nulls = (counts[column].astype(np.int64) for column in ("total_conversions", "total_null"))
    return names, conversions, counts["total_conversion_value"], nulls


RESERVED = (
    f"{{n}} with a channel called '{UNATTRIBUTED}', the name of the line for conversions without touchpoint{{first}}."
    " Rename the channel."
)


def _rows(wrong: np.ndarray, sentence: str) -> list[str]:
    """Fill the sentence with how many rows are wrong and which is the first, counted from 1 as the table came."""
    at = np.flatnonzero(wrong)
    if not len(at):
        return []
    return [_filled(sentence, len(at), int(at[0]) + 1)]


def _filled(sentence: str, count: int, first: int) -> str:
    return sentence.format(n="1 row" if count == 1 else f"{count} rows", first=f" (first: row {first})")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and bool(np.isfinite(value))


def _instants(period: tuple) -> tuple[pd.Timestamp, pd.Timestamp]:
    first, last = (pd.Timestamp(day) for day in period)
    if first is pd.NaT or last is pd.NaT:
        raise ValueError
    bounds = first.normalize(), last.normalize() + pd.DateOffset(days=1)
    return tuple(bound.tz_convert("UTC").tz_localize(None) if bound.tz is not None else bound for bound in bounds)
