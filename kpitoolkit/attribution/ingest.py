"""From tables to integer arrays: keys of users, microseconds, numbers of channels; batch by batch, checked on the way.

Rows are dealt by bag of users into parts that later steps take one at a time.
"""

import os
import tempfile
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from kpitoolkit.attribution.aggregates import BAGS, bags_of
from kpitoolkit.attribution.batches import MIXED, is_text, microseconds, table_of
from kpitoolkit.attribution.checks import RESERVED, UNATTRIBUTED, Tally
from kpitoolkit.attribution.text_keys import text_keys

__all__ = ["Contacts", "Dealt", "Nodes", "Rows", "read_conversions", "read_touchpoints", "table_of"]

PART_ROWS = 131_072
_BLOCK = 131_072  # rows dealt at a time: few enough for a processor's cache
SPILL_ROWS = 20_000_000
_BLANK = "{n} without channel{first}. Name it, or leave the rows out of the export."
_LACKING = "{{n}} without {column}{{first}}. Check the export."
BROKEN_IDS = "'{column}' holds numbers that are not whole. Read it as text."
_NOT_TIMES = "'time' is not a column of times. Read the table with tables.read, or convert it."


class Nodes:
    """Numbers for pairs of channel and campaign, in the order in which they are met."""

    def __init__(self):
        self._channels: dict[str, int] = {}
        self._campaigns: dict[str, int] = {"": 0}
        self._pairs: dict[tuple[int, int], int] = {}

    def codes(self, channel: pa.Array, campaign: pa.Array | None) -> np.ndarray:
        """Return the number of each row's pair."""
        codes, names = coded(channel)
        channels = _looked_up(names, self._channels)
        if campaign is None:
            pairs, shape = codes, (max(len(names), 1), 1)
            campaigns = np.zeros(1, dtype=np.int64)
        else:
            of_campaign, names = coded(campaign)
            campaigns = _looked_up(names, self._campaigns)
            shape = (max(len(channels), 1), max(len(campaigns), 1))
            pairs = codes * shape[1] + of_campaign
        local, met = (pairs, np.arange(shape[0])) if campaign is None else pd.factorize(pairs)
        known = [
            self._pairs.setdefault((int(channels[pair // shape[1]]), int(campaigns[pair % shape[1]])), len(self._pairs))
            for pair in (met if len(channels) else [])
        ]
        return np.array(known, dtype=np.min_scalar_type(len(self._pairs)))[local]

    def frame(self) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the pairs, sorted by channel and campaign, and the place of each number among them."""
        channels, campaigns = list(self._channels), list(self._campaigns)
        names = [(channels[channel], campaigns[campaign]) for channel, campaign in self._pairs]
        order = sorted(range(len(names)), key=names.__getitem__)
        place = np.empty(len(names), dtype=np.int64)
        place[order] = np.arange(len(names))
        return pd.DataFrame([names[at] for at in order], columns=["channel", "campaign"], dtype="str"), place


def _looked_up(names: list[str], known: dict[str, int]) -> np.ndarray:
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)


def coded(column: pa.Array) -> tuple[np.ndarray, list[str]]:
    """Return codes of a column's texts, and the texts; null counts as the empty text."""
    if not pa.types.is_dictionary(column.type):
        column = (column if is_text(column.type) else column.cast(pa.string())).dictionary_encode()
    names = [str(name) for name in column.dictionary.cast(pa.string()).to_pylist()]
    codes = column.indices
    if column.null_count:
        codes = codes.fill_null(len(names))
        names.append("")
    return codes.to_numpy(zero_copy_only=False).astype(np.int64), names


def keys_of(column: pa.Array) -> np.ndarray:
    """Return an integer key for each id: the id itself if it is a whole number, else a hash of its text; null gives 0.

    Raises
    ------
    ValueError
        For numbers that are not whole.
    """
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=np.int64)
    if pa.types.is_floating(column.type):
        column = pc.fill_null(column, 0).cast(pa.int64(), safe=True)
    if pa.types.is_integer(column.type):
        column = column.fill_null(0) if column.null_count else column
        return column.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    if not pa.types.is_dictionary(column.type):
        return text_keys(column.cast(pa.large_string()))
    hashed = text_keys(column.dictionary.cast(pa.large_string()))
    codes = column.indices.fill_null(len(hashed)).to_numpy(zero_copy_only=False)
    return np.append(hashed, 0)[codes]


def is_number(kind: pa.DataType) -> bool:
    """Tell whether ids of this type are numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


@dataclass(frozen=True)
class Rows:
    """Rows as arrays of one length: `key` of the user, `time`, `unit`, and what else the table holds."""

    arrays: dict[str, np.ndarray]

    def __getattr__(self, name: str) -> np.ndarray:
        try:
            return self.arrays[name]
        except KeyError:
            raise AttributeError(name) from None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, chosen) -> "Rows":
        return Rows({name: values[chosen] for name, values in self.arrays.items()})


class Dealt:
    """Rows dealt into parts, each holding a range of the bags; in memory, or in a file where they are many.

    Parameters
    ----------
    parts : int
    spill : bool
        Whether to keep the rows in a temporary file.
    """

    def __init__(self, parts: int, spill: bool = False):
        self.parts = parts
        self._part_of_bag = (np.arange(BAGS) * parts // BAGS).astype(np.uint8)
        self._file = tempfile.TemporaryFile() if spill else None  # noqa: SIM115
        self._dealt: list[tuple[np.ndarray, dict]] = []

    def bags(self, part: int) -> tuple[int, int]:
        """Return the first bag of a part, and the first after it."""
        return tuple(int(at) for at in np.searchsorted(self._part_of_bag, [part, part + 1]))

    def add(self, rows: Rows) -> None:
        """Deal rows by the bag of their key."""
        bounds, arrays = [np.array([0, len(rows)])], rows.arrays
        if self.parts > 1:
            part, bounds = self._part_of_bag[bags_of(rows.key)], []
            arrays = {name: np.empty_like(values) for name, values in rows.arrays.items()}
            at_once = max(len(rows), 1) if self._file is not None else _BLOCK
            for at in range(0, max(len(rows), 1), at_once):
                block = slice(at, at + at_once)
                order = np.argsort(part[block], kind="stable")
                for name, values in rows.arrays.items():
                    np.take(values[block], order, out=arrays[name][block], mode="clip")
                bounds.append(at + np.cumsum(np.bincount(part[block] + 1, minlength=self.parts + 1)))
        kept = arrays
        if self._file is not None:
            kept = {}
            for name, values in arrays.items():
                kept[name] = (self._file.tell(), values.dtype)
                self._file.write(np.ascontiguousarray(values).data)
            self._file.flush()
        self._dealt += [(of_block, kept) for of_block in bounds]

    def take(self, part: int) -> Rows:
        """Return the rows of a part."""
        pieces = {name: [] for name in self._dealt[0][1]}
        for bounds, kept in self._dealt:
            for name, values in kept.items():
                pieces[name].append(self._piece(values, bounds[part], bounds[part + 1]))
        return Rows({name: np.concatenate(found) for name, found in pieces.items()})

    def _piece(self, values, start: int, stop: int) -> np.ndarray:
        if self._file is None:
            return values[start:stop]
        at, kind = values
        size = int(stop - start) * kind.itemsize
        return np.frombuffer(os.pread(self._file.fileno(), size, at + int(start) * kind.itemsize), dtype=kind)


@dataclass
class Contacts:
    """What was read of the touchpoints: the rows that may count, dealt into parts, and how many were left out.

    `first` and `last` are microseconds; `ids` is `number`, `text` or empty, where no id was seen.
    """

    dealt: Dealt
    nodes: Nodes
    read: int = 0
    before: int = 0
    after: int = 0
    first: int = np.iinfo(np.int64).max
    last: int = np.iinfo(np.int64).min
    ids: str = ""


def read_touchpoints(
    table, unit: str | None, units: dict[str, int] | None, window: tuple[int, int] | None, tally: Tally
) -> Contacts:
    """Read the touchpoints in the window, check them, and deal them into parts.

    All rows are checked, but those of files that stand, a whole group of rows at once, outside the window.

    Parameters
    ----------
    table : FrameTable or ParquetTable
    unit : str or None
        Keep this unit's rows.
    units : dict or None
        Numbers of units where users of several units are to be told apart; filled here.
    window : (first microsecond, first after it) or None
        None: all rows.
    tally : Tally
        Takes the faults.
    """
    parts = min(BAGS, max(1, -(-table.rows // PART_ROWS)))
    passed = table.outside(window, unit)
    found = Contacts(Dealt(parts, spill=table.rows > SPILL_ROWS), Nodes(), passed.before + passed.after, passed.before)
    found.after, found.first, found.last = passed.after, passed.first, passed.last
    needed = ("user_id", "time", "channel")
    for batch, at, chosen in _checked_batches(
        table, needed, ("campaign",), unit, units is not None, tally, passed.groups
    ):
        _note_channels(batch["channel"], chosen, at, tally)
        keys, kind = _ids(batch["user_id"], "user_id", chosen, at, tally, required=True)
        found.ids = _one_kind(found.ids, kind, tally)
        time = _times(batch["time"], chosen, at, tally)
        if time is None:
            found.read += len(batch["time"])
            continue
        arrays = {"key": keys, "time": time, "node": found.nodes.codes(batch["channel"], batch.get("campaign"))}
        if units is not None:
            arrays["unit"] = _units(batch["unit"], units)
        rows = Rows(arrays) if chosen is None else Rows(arrays)[chosen]
        found.read += len(rows)
        if not len(rows):
            continue
        low, high = int(rows.time.min()), int(rows.time.max())
        found.first, found.last = min(found.first, low), max(found.last, high)
        if window is not None and (low < window[0] or high >= window[1]):
            before, after = rows.time < window[0], rows.time >= window[1]
            found.before += int(np.count_nonzero(before))
            found.after += int(np.count_nonzero(after))
            rows = rows[~(before | after)]
        found.dealt.add(rows)
    if not found.read:
        tally.add("the table is empty. Check the export and the unit's name in the data.")
    return found


def read_conversions(table, unit: str | None, units: dict[str, int] | None, tally: Tally) -> tuple[Rows, str]:
    """Read and check all conversions: key, time, order (its key), value, is_guest; and the kind of ids, as above."""
    names = ("key", "time", "order", "value", "is_guest", *(() if units is None else ("unit",)))
    found, ids = [], ""
    needed = ("order_id", "user_id", "time", "value")
    for batch, at, chosen in _checked_batches(table, needed, (), unit, units is not None, tally):
        order, _ = _ids(batch["order_id"], "order_id", chosen, at, tally, required=True)
        keys, kind = _ids(batch["user_id"], "user_id", chosen, at, tally, required=False)
        ids = _one_kind(ids, kind, tally)
        time = _times(batch["time"], chosen, at, tally)
        value = _values(batch["value"], chosen, at, tally)
        if time is None or value is None:
            continue
        is_guest = _is_null(batch["user_id"])
        arrays = [np.where(is_guest, order, keys), time, order, value, is_guest]
        arrays += [] if units is None else [_units(batch["unit"], units)]
        rows = Rows(dict(zip(names, arrays, strict=True)))
        found.append(rows if chosen is None else rows[chosen])
    kinds = {"value": np.float64, "is_guest": bool}
    empty = Rows({name: np.zeros(0, dtype=kinds.get(name, np.int64)) for name in names})
    return Rows({name: np.concatenate([rows.arrays[name] for rows in [empty, *found]]) for name in names}), ids


def _checked_batches(table, needed, optional, unit, by_unit, tally, passed=frozenset()):
    """Yield columns by name, number of the first row, and which rows are of the unit (None: all)."""
    needed = needed if unit is None and not by_unit else (*needed, "unit")
    columns = [*needed, *(name for name in optional if name in table.columns)]
    for at, batch in table.batches(columns, tally, unit, passed):
        chosen = None
        if unit is not None:
            _note(_is_null(batch["unit"]), _LACKING.format(column="unit"), None, at, tally)
            same = pc.equal(batch["unit"].cast(pa.string()), unit).fill_null(False)
            chosen = same.to_numpy(zero_copy_only=False)
        yield {name: batch[name] for name in columns}, at, chosen


def _is_null(column: pa.Array) -> np.ndarray:
    return column.is_null().to_numpy(zero_copy_only=False) if column.null_count else np.zeros(len(column), dtype=bool)


def _note(wrong: np.ndarray, sentence: str, chosen: np.ndarray | None, at: int, tally: Tally) -> None:
    tally.rows(wrong if chosen is None else wrong & chosen, sentence, at)


def _ids(column, name, chosen, at, tally, required) -> tuple[np.ndarray, str]:
    if required and column.null_count:
        _note(_is_null(column), _LACKING.format(column=name), chosen, at, tally)
    if pa.types.is_dictionary(column.type) and not is_text(column.type.value_type):
        column = column.dictionary_decode()
    try:
        keys = keys_of(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        of_numbers = is_number(column.type) or pa.types.is_decimal(column.type)
        no_ids = "'{column}' is neither text nor whole numbers. Read it as text."
        tally.add((BROKEN_IDS if of_numbers else no_ids).format(column=name))
        keys = np.zeros(len(column), dtype=np.int64)
    return keys, "" if column.null_count == len(column) else "number" if is_number(column.type) else "text"


def _one_kind(known: str, kind: str, tally: Tally) -> str:
    if known and kind and known != kind:
        tally.add(MIXED)
    return known or kind


def _times(column, chosen, at, tally) -> np.ndarray | None:
    if not pa.types.is_timestamp(column.type):
        tally.add(_NOT_TIMES)
        return None
    if column.null_count:
        _note(_is_null(column), _LACKING.format(column="time"), chosen, at, tally)
    return microseconds(column)


def _values(column, chosen, at, tally) -> np.ndarray | None:
    if not (is_number(column.type) or pa.types.is_decimal(column.type)):
        tally.add("'value' is not a number. Give currency units.")
        return None
    value = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    wrong = ~np.isfinite(value)
    _note(wrong, "{n} without a finite value{first}. Write 0 where there is none.", chosen, at, tally)
    return value


def _note_channels(column, chosen, at, tally) -> None:
    codes, names = coded(column)
    for of_name, sentence in ((lambda name: not name.strip(), _BLANK), (lambda name: name == UNATTRIBUTED, RESERVED)):
        if wrong := [code for code, name in enumerate(names) if of_name(name)]:
            _note(np.isin(codes, wrong), sentence, chosen, at, tally)


def _units(column, units: dict[str, int]) -> np.ndarray:
    codes, names = coded(column)
    return _looked_up(names, units)[codes] if len(names) else codes
