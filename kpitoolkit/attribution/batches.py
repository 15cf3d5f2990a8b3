"""Tables as batches of Arrow columns: a frame and Parquet files give the same, so that the same lines check both."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from glob import glob
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kpitoolkit.attribution.checks import Tally, missing_columns, refuse

BATCH_ROWS = 1_000_000
_REPEATED = ("channel", "campaign", "unit")
_COLUMNS = ("user_id", "time", "order_id", "value", *_REPEATED)
MIXED = "'user_id' mixes numbers and text. Read it as text."


def table_of(source: pd.DataFrame | str | Path, name: str) -> "FrameTable | ParquetTable":
    """Return a DataFrame, or the Parquet files at a path, as a table that gives batches."""
    if not isinstance(source, pd.DataFrame | str | Path):
        refuse([f"{name}: {type(source).__name__} is no table. Give a DataFrame, or the path of Parquet files."])
    return FrameTable(source) if isinstance(source, pd.DataFrame) else ParquetTable(source, name)


class FrameTable:
    """A DataFrame as batches of Arrow columns."""

    def __init__(self, frame: pd.DataFrame):
        self._frame = frame
        self.columns = [str(column) for column in frame.columns]
        self.rows = len(frame)

    def outside(self, _window: tuple[int, int] | None, _unit: str | None) -> "Outside":
        """Return nothing: all rows of a frame are looked at."""
        return Outside()

    def batches(
        self, columns: list[str], tally: Tally, _unit: str | None, _passed: set[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the columns asked for, in pieces: number of the first row from 0, and batch."""
        arrays = {column: self._column(column, tally) for column in columns}
        yield from _numbered(pa.table(arrays).to_batches(max_chunksize=BATCH_ROWS))

    def _column(self, name: str, tally: Tally) -> pa.Array:
        values = self._frame[name]
        if name == "time" and not pd.api.types.is_datetime64_any_dtype(values):
            return pa.nulls(len(values))
        try:
            return pa.array(values, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            if name == "user_id":
                tally.add(MIXED)
            return pa.array(values.astype("str").where(values.notna(), None), from_pandas=True)


class ParquetTable:
    """Parquet files as batches of Arrow columns.

    Parameters
    ----------
    place : str or Path
        A file, a folder that holds `.parquet` files at any depth, or a pattern such as `exports/2026-*.parquet`. A
        folder `unit=it` gives its files a column `unit`, as engines write it.
    name : str
        What the table is called in messages.

    Raises
    ------
    Faults
        Where there is no such file, or one cannot be read as Parquet.
    """

    def __init__(self, place: str | Path, name: str):
        place = Path(place).expanduser()
        if place.is_dir():
            paths = sorted(place.rglob("*.parquet"))
        else:
            paths = [place] if place.is_file() else sorted(Path(path) for path in glob(str(place), recursive=True))
        if not paths:
            refuse([f"{name}: no Parquet file at '{place}'. Check the path."])
        self._files, self._name, faults = [], name, []
        for path in paths:
            try:
                self._files.append(_File(path, pq.read_metadata(path)))
            except (pa.ArrowInvalid, OSError) as error:
                faults.append(_unreadable(name, path, error))
        refuse(faults)
        self.columns = list(dict.fromkeys(column for file in self._files for column in file.columns))
        common = tuple(column for column in self.columns if column in _COLUMNS)
        for file in self._files:
            faults += missing_columns(file.columns, f"{name}: '{file.path.name}'", common)
        refuse(faults)
        self.rows = sum(file.metadata.num_rows for file in self._files)

    def outside(self, window: tuple[int, int] | None, unit: str | None) -> "Outside":
        """Return the groups of rows that stand outside the window as a whole, by the file's own minimum and maximum."""
        found = Outside()
        groups = ((file, group) for file in self._files for group in file.groups())
        for number, (file, group) in enumerate(groups if window is not None else []):
            extent = _extent(group)
            if extent is None or not (extent[1] < window[0] or extent[0] >= window[1]):
                continue
            if unit is None or file.units(group) == (unit, unit):
                found.groups.add(number)
                found.first, found.last = min(found.first, extent[0]), max(found.last, extent[1])
                if extent[1] < window[0]:
                    found.before += group.num_rows
                else:
                    found.after += group.num_rows
        return found

    def batches(
        self, columns: list[str], _tally: Tally, unit: str | None, passed: set[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the columns asked for, in pieces: number of the first row from 0, and batch.

        Groups of rows in `passed`, and those that cannot hold the unit, are passed over.
        """
        held, held_rows, first_row = [], 0, 0
        for at, batch in self._pieces(columns, unit, passed):
            follows = held and at == first_row + held_rows and batch.schema == held[0].schema
            if held and (not follows or held_rows + len(batch) > BATCH_ROWS):
                yield first_row, _joined(held)
                held, held_rows = [], 0
            if not held:
                first_row = at
            held.append(batch)
            held_rows += len(batch)
        if held:
            yield first_row, _joined(held)

    def _pieces(self, columns: list[str], unit: str | None, passed: set[int]) -> Iterator[tuple[int, pa.RecordBatch]]:
        at, number = 0, -1
        for file in self._files:
            for local, group in enumerate(file.groups()):
                number += 1
                units = None if unit is None else file.units(group)
                if number not in passed and (units is None or units[0] <= unit <= units[1]):
                    start = at
                    try:
                        for batch in file.read(local, columns):
                            yield start, batch
                            start += len(batch)
                    except (pa.ArrowException, OSError) as error:
                        refuse([_unreadable(self._name, file.path, error)])
                at += group.num_rows


class _File:
    """One Parquet file; folders above it called `unit=it` give it a column `unit` of that one value."""

    def __init__(self, path: Path, metadata: pq.FileMetaData):
        self.path, self.metadata = path, metadata
        self._schema = metadata.schema.to_arrow_schema()
        named = (part.split("=", 1) for part in path.parts[:-1] if "=" in part)
        self._constants = {name: unquote(value) for name, value in named if name not in self._schema.names}
        self.columns = [*self._schema.names, *self._constants]

    def groups(self) -> Iterator[pq.RowGroupMetaData]:
        """Yield what the file says of each group of rows."""
        return (self.metadata.row_group(at) for at in range(self.metadata.num_row_groups))

    def units(self, group: pq.RowGroupMetaData) -> tuple[str, str] | None:
        """Return the first and last name of a unit in a group of rows, where the file states them."""
        if "unit" in self._constants:
            return self._constants["unit"], self._constants["unit"]
        bounds = _bounds(group, "unit")
        return bounds if bounds is not None and isinstance(bounds[0], str) else None

    def read(self, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield the columns of a group of rows in pieces; texts that repeat come as dictionaries."""
        own = [name for name in columns if name not in self._constants]
        texts = [name for name in own if name in _REPEATED and is_text(self._schema.field(name).type)]
        lazily = {"pre_buffer": False, "buffer_size": 2**20}
        with pq.ParquetFile(self.path, metadata=self.metadata, read_dictionary=texts, **lazily) as file:
            for batch in file.iter_batches(BATCH_ROWS, [group], own):
                same = {name: [value] for name, value in self._constants.items() if name in columns}
                filled = {name: pa.array(value * len(batch)).dictionary_encode() for name, value in same.items()}
                arrays = [filled[name] if name in filled else batch[name] for name in columns]
                yield pa.RecordBatch.from_arrays(arrays, names=columns)


def _unreadable(name: str, path: Path, error: Exception) -> str:
    told = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return f"{name}: '{path}' cannot be read as Parquet ({told}). Write it anew."


@dataclass
class Outside:
    """Groups of rows that need not be read as all of them stand before or after a window; times in microseconds."""

    groups: set[int] = field(default_factory=set)
    before: int = 0
    after: int = 0
    first: int = np.iinfo(np.int64).max
    last: int = np.iinfo(np.int64).min


def _bounds(group: pq.RowGroupMetaData, name: str) -> tuple | None:
    """Return least and greatest value of a column without nulls, where the file states them."""
    columns = (group.column(at) for at in range(group.num_columns))
    found = next((column.statistics for column in columns if column.path_in_schema == name), None)
    if found is None or not found.has_min_max or not found.has_null_count or found.null_count:
        return None
    return found.min, found.max


def _extent(group: pq.RowGroupMetaData) -> tuple[int, int] | None:
    bounds = _bounds(group, "time")
    if bounds is None or not all(isinstance(at, datetime) for at in bounds):
        return None
    return tuple(int(microseconds(pa.array([at]))[0]) for at in bounds)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _numbered(batches) -> Iterator[tuple[int, pa.RecordBatch]]:
    at = 0
    for batch in batches:
        yield at, batch
        at += len(batch)


def microseconds(column: pa.Array) -> np.ndarray:
    """Return instants as microseconds since 1970 UTC; null gives 0."""
    unit = pa.timestamp("us", column.type.tz)
    column = column.cast(unit, safe=False).cast(pa.int64())
    return (column.fill_null(0) if column.null_count else column).to_numpy(zero_copy_only=False)
