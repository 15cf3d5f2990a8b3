"""Reading one table from one file: headings, decimals, dates and times to contract columns, and all the faults found.

CSV in any dialect, Excel and Parquet. A value is converted as its column's kind says or it is a fault with its row;
nothing is repaired.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow
import pyarrow.parquet as pq

from kpitoolkit import money
from kpitoolkit.contracts import CONTRACTS, Contract, kind_of, memory_name
from kpitoolkit.errors import Faults, mask, suggest
from kpitoolkit.sources import Source, strptime_format

_DECIMAL_DIGITS = 34


def read_table(name: str, folder: Path, source: Source, unit: str | None = None) -> pd.DataFrame:
    """Read one table from its file and check it against its contract.

    Parameters
    ----------
    name : str
        A name of ``CONTRACTS``.
    folder : Path
        Where ``source.file`` is.
    source : Source
    unit : str, optional
        Keep the rows of this unit only.

    Raises
    ------
    Faults
        With everything found, rows counted as in the file (the heading is row 1).
    """
    contract, path = CONTRACTS[name], folder / source.file
    raw = _load(path, source, contract, unit)
    raw, faults = map_columns(raw, contract, source)
    if faults:
        raise Faults(path.name, faults)
    if not len(raw) and not contract.may_be_empty:
        raise Faults(path.name, ["the table is empty. Export it again, or take it out of data:"])
    if unit is not None and "unit" in contract.columns:
        raw = _rows_of_unit(raw, unit, path.name, contract)
    return convert(raw, contract, source, path.name)


def convert(raw: pd.DataFrame, contract: Contract, source: Source, where: str) -> pd.DataFrame:
    """Convert columns as their kinds say and check them against the contract.

    Parameters
    ----------
    raw : DataFrame
        Columns named as in the contract; the index is the row that messages name.
    contract : Contract
    source : Source
    where : str
        What messages begin with.

    Raises
    ------
    Faults
        With everything found.
    """
    frame, faults = _convert(raw, contract, source)
    faults += _check(frame, contract)
    if faults:
        raise Faults(where, faults)
    return frame.reset_index(drop=True)


def _load(path: Path, source: Source, contract: Contract, unit: str | None) -> pd.DataFrame:
    if path.is_dir():
        raise Faults(path.name, ["is a folder. Name the file in it"])
    if not path.is_file():
        near = suggest(path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [])
        raise Faults(path.name, [f"the file does not exist in {path.parent}.{near}"])
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            raw = _load_csv(path, source)
        elif suffix in (".xlsx", ".xlsm"):
            raw = pd.read_excel(path, sheet_name=source.sheet, dtype=object, keep_default_na=False, na_values=[""])
            raw = raw.dropna(how="all")
        elif suffix in (".parquet", ".pq"):
            return _load_parquet(path, source, contract, unit)
        else:
            raise Faults(path.name, [f"files of type '{suffix}' are not read: use .csv, .xlsx or .parquet"])
    except Faults:
        raise
    except UnicodeDecodeError as error:
        raise Faults(
            path.name, [f"is not written in {source.encoding} (byte {error.start}). Set encoding: cp1252 or utf-8-sig"]
        ) from error
    except pd.errors.EmptyDataError as error:
        raise Faults(path.name, ["the file is empty"]) from error
    except Exception as error:
        raise Faults(path.name, [f"cannot be read: {str(error).strip().splitlines()[0]}"]) from error
    raw.index = raw.index + 2
    return raw


def _load_csv(path: Path, source: Source) -> pd.DataFrame:
    """Read a CSV as text; blank lines are dropped but counted, so that rows are numbered as in the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            raw = pd.read_csv(
                path,
                sep=source.separator,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
                encoding=source.encoding,
                skipinitialspace=True,
                skip_blank_lines=False,
                index_col=False,
            )
        except pd.errors.ParserWarning as error:
            raise Faults(
                path.name,
                [
                    f"rows have more fields than the heading, separated by '{source.separator}'. Is that the separator "
                    "(separator: ';')? Or do rows end with one, and the heading does not?"
                ],
            ) from error
    heading = str(raw.columns[0])
    other = next((mark for mark in ";,\t|" if mark != source.separator and heading.count(mark) > 1), None)
    if len(raw.columns) == 1 and other:
        raise Faults(path.name, [f"the heading holds '{other}' but is one column: set separator: '{other}'"])
    if heading.startswith("ï»¿"):
        raise Faults(path.name, ["begins with a byte-order mark: set encoding: utf-8-sig"])
    return raw.dropna(how="all")


def _load_parquet(path: Path, source: Source, contract: Contract, unit: str | None) -> pd.DataFrame:
    headings = pq.read_schema(path).names
    asked = dict.fromkeys(source.columns.get(name, name) for name in contract.columns)
    wanted = [heading for heading in asked if heading in headings]
    unit_heading = source.columns.get("unit", "unit")
    filters = None
    if unit is not None and unit_heading in wanted:
        filters = [(unit_heading, "==", unit)]
    raw = to_pandas(pq.read_table(path, columns=wanted, filters=filters))
    if filters and not len(raw):
        raw = to_pandas(pq.read_table(path, columns=wanted))
    missing = [h for n in contract.columns if (h := source.columns.get(n, n)) not in headings]
    if missing:  # the headings that were not asked for help to say what is misspelt
        raw = raw.reindex(columns=[*wanted, *(h for h in headings if h not in wanted)])
    raw.index = raw.index + 1
    return raw


def to_pandas(table: arrow.Table) -> pd.DataFrame:
    """Return an Arrow table as a frame whose decimals stay exact, with room left to count them in cents."""
    for position, field in enumerate(table.schema):
        if arrow.types.is_decimal(field.type) and field.type.precision > _DECIMAL_DIGITS:
            narrow = table.column(position).cast(arrow.decimal128(_DECIMAL_DIGITS, field.type.scale))
            table = table.set_column(position, field.name, narrow)
    return table.to_pandas(types_mapper=lambda kind: pd.ArrowDtype(kind) if arrow.types.is_decimal(kind) else None)


def map_columns(raw: pd.DataFrame, contract: Contract, source: Source) -> tuple[pd.DataFrame, list[str]]:
    """Name columns as in the contract and leave out all others; the second value says what is missing or twice."""
    faults = []
    headings = [str(heading).strip() for heading in raw.columns]
    raw = raw.set_axis(headings, axis=1)
    twice = sorted({h for h in headings if headings.count(h) > 1})
    faults += [f"heading '{heading}' stands twice" for heading in twice]
    used = {source.columns.get(name, name) for name in contract.columns}
    spare = [heading for heading in headings if heading not in used]
    for name, column in contract.columns.items():
        heading = source.columns.get(name, name)
        if heading in headings:
            continue
        shown = f"column '{name}'" + (f" (heading '{heading}')" if heading != name else "")
        hint = suggest(heading, spare)
        if column.required or name in source.columns:
            found = ", ".join(f"'{h}'" for h in headings[:20])
            faults.append(
                f"{shown} is missing.{hint} Headings found: {found}. "
                f"If it has another heading, say so under columns: {{{name}: ...}}"
            )
        elif hint:
            faults.append(f"optional {shown} is missing, but a heading looks like it.{hint} Rename or map it")
    if faults:
        return raw, faults
    kept = {name: heading for name in contract.columns if (heading := source.columns.get(name, name)) in headings}
    return raw[list(kept.values())].set_axis(list(kept), axis=1), []


def _rows_of_unit(raw: pd.DataFrame, unit: str, file: str, contract: Contract) -> pd.DataFrame:
    units = raw["unit"].astype("string").str.strip()
    if units.isna().any():
        first = units.index[units.isna()][0]
        raise Faults(file, [f"column 'unit': rows without unit: {int(units.isna().sum())} (first: row {first})"])
    rows = raw[units == unit]
    if not len(rows) and not contract.may_be_empty:
        known = ", ".join(f"'{u}'" for u in sorted(units.unique())[:12])
        raise Faults(
            file,
            [
                f"no rows for unit '{unit}'.{suggest(unit, units.unique())} Units in the file: {known}. "
                "If the data call it otherwise, set unit_in_data"
            ],
        )
    return rows


def _convert(raw: pd.DataFrame, contract: Contract, source: Source) -> tuple[pd.DataFrame, list[str]]:
    """Convert each column by its kind; a value that cannot be converted is a fault."""
    faults: list[str] = []
    faulty: dict[str, list[int]] = {}
    columns: dict[str, pd.Series] = {}
    for name in contract.columns:
        if name not in raw:
            continue
        kind = kind_of(contract, name)
        values = raw[name]
        if values.dtype == object:
            values = values.map(lambda v: v.strip() or None if isinstance(v, str) else v)
        elif pd.api.types.is_string_dtype(values.dtype):
            values = values.str.strip()
            values = values.mask(values == "")
        converted, wrong, expected = _CONVERTERS[kind](values, source)
        if wrong.any():
            bad = values[wrong]
            shown = ", ".join(f"'{_shown(kind, value)}'" for value in bad.head(3))
            count = "1 value is" if len(bad) == 1 else f"{len(bad)} values are"
            faults.append(f"column '{name}': {count} not {expected} (first: row {bad.index[0]}; found {shown})")
            converted = converted.mask(wrong)
            faulty[name] = list(bad.index)
        columns[memory_name(name, kind)] = converted
    frame = pd.DataFrame(columns, index=raw.index)
    frame.attrs["faulty"] = faulty
    return frame, faults


def _shown(kind: str, value: object) -> str:
    return mask(value) if kind == "id" else str(value)[:40]


def _as_text(values: pd.Series, source: Source):
    if isinstance(values.dtype, pd.StringDtype):
        return values, _none(values), "text"
    whole = values.map(lambda v: str(int(v)) if isinstance(v, float) and v == int(v) else v, na_action="ignore")
    converted = whole.astype("string").astype("str") if values.notna().any() else whole.astype("str")
    return converted, pd.Series(False, index=values.index), "text"


def _plain_number(values: pd.Series, source: Source) -> pd.Series:
    """Write numbers with a decimal point and no thousands mark, leaving anything that is no number for the caller."""
    if values.dtype == object:
        texts = values.map(lambda value: isinstance(value, str)).astype(bool)
        return values.where(~texts, _plain_number(values[texts].astype("str"), source)) if texts.any() else values
    if not isinstance(values.dtype, pd.StringDtype):
        return values
    plain = values.str.replace("\N{NO-BREAK SPACE}", "", regex=False).str.replace("\N{MINUS SIGN}", "-", regex=False)
    mark, point = re.escape(source.thousands), re.escape(source.decimal)
    grouped = rf"|\d{{1,3}}(?:{mark}\d{{3}})+" if mark else ""
    written = plain.str.fullmatch(rf"[-+]?(?:\d+{grouped})(?:{point}\d+)?").astype(bool) | plain.isna()
    if source.thousands:
        plain = plain.str.replace(source.thousands, "", regex=False)
    return plain.str.replace(source.decimal, ".", regex=False).mask(~written, "?")


def _as_money(values: pd.Series, source: Source):
    plain = _plain_number(values, source)
    grouped = f", thousands mark '{source.thousands}'" if source.thousands else ""
    expected = f"an amount with at most two decimals, decimal mark '{source.decimal}'{grouped}"
    if plain.dtype == object:
        plain = plain.map(lambda v: repr(v) if isinstance(v, float) else v, na_action="ignore")
    wrong = pd.Series(False, index=values.index)
    try:
        cents = money.to_cents(plain)
    except ValueError as error:
        wrong.iloc[error.args[1]] = True
        plain = plain.astype(object) if pd.api.types.is_integer_dtype(plain.dtype) else plain
        cents = money.to_cents(plain.mask(wrong))
    large = (cents.abs() > money.LARGEST_CENTS // source.money_unit).fillna(False).astype(bool)
    return cents.mask(large) * source.money_unit, wrong | large, expected


def _as_number(values: pd.Series, source: Source):
    converted = pd.to_numeric(_plain_number(values, source), errors="coerce").astype("float64")
    infinite = converted.abs() == float("inf")
    return converted.mask(infinite), (converted.isna() & values.notna()) | infinite, "a number"


def _as_integer(values: pd.Series, source: Source):
    converted = pd.to_numeric(_plain_number(values, source), errors="coerce").astype("float64")
    wrong = (converted.isna() & values.notna()) | (converted.notna() & (converted % 1 != 0))
    return converted.mask(wrong).astype("Int64"), wrong, "a whole number"


def _as_boolean(values: pd.Series, source: Source):
    words = values.astype("string").str.lower()
    converted = words.map({"true": True, "false": False, "1": True, "0": False}).astype("boolean")
    return converted, converted.isna() & values.notna(), "true or false"


def _as_date(values: pd.Series, source: Source):
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return values.dt.tz_localize(None).dt.normalize().astype("datetime64[us]"), _none(values), "a date"
    day = values.map(lambda v: v if isinstance(v, str) else v.strftime(strptime_format(source.date_format)), "ignore")
    converted = pd.to_datetime(day, format=strptime_format(source.date_format), errors="coerce")
    return converted.astype("datetime64[us]"), converted.isna() & values.notna(), f"a date as {source.date_format}"


def _as_time(values: pd.Series, source: Source):
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        times = values
    else:
        day = strptime_format(source.date_format)
        separators = [f"{day} %H:%M:%S", f"{day} %H:%M", f"{day}T%H:%M:%S", f"{day} %H:%M:%S.%f", day]
        tried = [pd.to_datetime(values, format=form, errors="coerce") for form in separators[:2]]
        times = tried[0] if tried[0].notna().sum() >= tried[1].notna().sum() else tried[1]
        for form in separators[2:]:
            if (times.isna() & values.notna()).any():
                times = times.fillna(pd.to_datetime(values, format=form, errors="coerce"))
    if times.dt.tz is None and source.timezone != "UTC":
        # the hour that a clock change in autumn repeats: refused unless the source says which of the two it is
        first = np.full(len(times), source.repeated_hour == "first")
        ambiguous = "NaT" if source.repeated_hour == "refuse" else first
        times = times.dt.tz_localize(source.timezone, ambiguous=ambiguous, nonexistent="NaT")
    if times.dt.tz is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    wrong = times.isna() & values.notna()
    expected = f"a time as {source.date_format} HH:MM:SS in {source.timezone}"
    if source.timezone != "UTC":
        expected += ", or in the hour that autumn repeats (export in UTC, or set repeated_hour: first)"
    return times.astype("datetime64[us]"), wrong, expected


def _as_pattern(pattern: str, expected: str):
    compiled = re.compile(pattern)

    def convert(values: pd.Series, source: Source):
        text = _as_text(values, source)[0]
        wrong = text.notna() & ~text.map(lambda v: bool(compiled.fullmatch(v)), na_action="ignore").fillna(True).astype(
            bool
        )
        return text, wrong, expected

    return convert


def _none(values: pd.Series) -> pd.Series:
    return pd.Series(False, index=values.index)


_CONVERTERS = {
    "text": _as_text,
    "id": _as_text,
    "money": _as_money,
    "number": _as_number,
    "integer": _as_integer,
    "boolean": _as_boolean,
    "date": _as_date,
    "time": _as_time,
    "quarter": _as_pattern(r"\d{4}Q[1-4]", "a quarter such as 2026Q3"),
    "month": _as_pattern(r"\d{4}-(0[1-9]|1[0-2])", "a month such as 2026-07"),
    "currency": _as_pattern(r"[A-Z]{3}", "a currency code such as EUR"),
}


def _check(frame: pd.DataFrame, contract: Contract) -> list[str]:
    """Check values with pandera and say each kind of fault once, with its first row."""
    faults: list[str] = []
    already = frame.attrs.pop("faulty", {})
    schema = contract.schema_in_memory
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        of_rows = cases["check"].isin([rule.error for rule in schema.checks])
        for rule, group in cases[of_rows].groupby("check", sort=False):
            rows = group["index"].drop_duplicates()
            count = "1 row has" if len(rows) == 1 else f"{len(rows)} rows have"
            faults.append(f"{count} {rule} (first: row {rows.min()})")
        cases = cases[~of_rows]
        for (column, check), group in cases.groupby(["column", "check"], sort=False, dropna=False):
            name = str(column).removesuffix("_cents")
            if name in already and str(check) == "not_nullable":
                cases_left = group[~group["index"].isin(already[name])]  # what could not be read is said already
                if not len(cases_left):
                    continue
            else:
                cases_left = group
            rows = cases_left["index"].dropna()
            if contract.key and str(check) == "multiple_fields_uniqueness":
                continue
            kind = kind_of(contract, name) if name in contract.columns else "text"
            value = cases_left["failure_case"].iloc[0]
            shown = f"; found '{_shown(kind, _readable(value, kind))}'" if str(check) != "not_nullable" else ""
            count = len(cases_left)
            empty = str(check) == "not_nullable"
            said = ("is" if count == 1 else "are") + (" empty" if empty else f" not {check}")
            first = f" (first: row {int(rows.iloc[0])}{shown})" if len(rows) else ""
            faults.append(f"column '{name}': {count} {'value' if count == 1 else 'values'} {said}{first}")
    faults += _repeated_keys(frame, contract)
    return faults


def _readable(value: object, kind: str) -> object:
    return f"{int(value) / 100:.2f}" if kind == "money" else value


def _repeated_keys(frame: pd.DataFrame, contract: Contract) -> list[str]:
    key = [memory_name(name, kind_of(contract, name)) for name in contract.key if name in frame or contract.key]
    key = [name for name in key if name in frame]
    if not key:
        return []
    complete = frame[key].notna().all(axis=1)
    repeated = frame[complete & frame.duplicated(key, keep=False)]
    if not len(repeated):
        return []
    first = repeated.index[0]
    same = (repeated[key] == repeated.loc[first, key]).all(axis=1)
    second = same.index[same][1]
    surplus = int(frame[complete].duplicated(key).sum())
    rows = "1 row repeats" if surplus == 1 else f"{surplus} rows repeat"
    return [f"{rows} the key ({', '.join(contract.key)}) of another (first: rows {first} and {second})"]
