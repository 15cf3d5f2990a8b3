"""Tables as batches of Arrow columns: a frame and Parquet files give the same, so that the same lines check both."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kpitoolkit.attribution.checks import Tally, missing_columns, refuse

BATCH_ROWS = 1_000_000
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
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            if name == "user_id":
                tally.add(MIXED)
            return pa.array(values.astype("str").where(values.notna(), None), from_pandas=True)


class ParquetTable:
    """Parquet files as batches of Arrow columns.

    Parameters
    ----------
    place : str or Path
        A file, a folder that holds `.parquet` files at any depth, or a pattern such as `exports/2026-*.parquet`.
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
        self._files, faults = [], []
        for path in paths:
            try:
                self._files.append((path, pq.read_metadata(path)))
            except (pa.ArrowInvalid, OSError) as error:
                faults.append(f"{name}: '{path}' cannot be read as Parquet ({str(error).splitlines()[0]}).")
        refuse(faults)
        self.columns = list(self._files[0][1].schema.to_arrow_schema().names)
        for path, metadata in self._files[1:]:
            faults += missing_columns(metadata.schema.to_arrow_schema().names, f"{name}: '{path.name}'", self.columns)
        refuse(faults)
        self.rows = sum(metadata.num_rows for _, metadata in self._files)

    def outside(self, window: tuple[int, int] | None, unit: str | None) -> "Outside":
        """Return the groups of rows that stand outside the window as a whole, by the file's own minimum and maximum."""
        found = Outside()
        for number, group in enumerate(self._groups() if window is not None else []):
            extent = _extent(group)
            if extent is None or not (extent[1] < window[0] or extent[0] >= window[1]):
                continue
            if unit is None or _bounds(group, "unit") == (unit, unit):
                found.groups.add(number)
                found.first, found.last = min(found.first, extent[0]), max(found.last, extent[1])
                if extent[1] < window[0]:
                    found.before += group.num_rows
                else:
                    found.after += group.num_rows
        return found

    def _groups(self) -> Iterator[pq.RowGroupMetaData]:
        for _, metadata in self._files:
            yield from (metadata.row_group(at) for at in range(metadata.num_row_groups))

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
        for path, metadata in self._files:
            schema = metadata.schema.to_arrow_schema()
            texts = [
                name for name in ("channel", "campaign", "unit") if name in columns and is_text(schema.field(name).type)
            ]
            with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False, buffer_size=2**20) as file:
                for local in range(metadata.num_row_groups):
                    group, number = metadata.row_group(local), number + 1
                    low, high = (None, None) if unit is None else _bounds(group, "unit") or (None, None)
                    if number not in passed and (low is None or low <= unit <= high):
                        start = at
                        for batch in file.iter_batches(BATCH_ROWS, [local], columns):
                            yield start, batch
                            start += len(batch)
                    at += group.num_rows


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
