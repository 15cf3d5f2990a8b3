"""Input tables and saved results: where they are, and everything wrong with them at once.

The ``data`` block of the parameters names a source for each table (``sources`` reads it; its names are offered here
too); ``read`` returns the rows of one unit, checked against the contracts; ``save`` and ``load`` carry results from one
notebook to the next.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kpitoolkit import connections
from kpitoolkit.contracts import CONTRACTS, GROUP_UNIT, kind_of
from kpitoolkit.errors import Faults, ToolkitError
from kpitoolkit.readers import read_table
from kpitoolkit.sources import Workspace, connected, declared, files, not_built_in, parse_sources, sources

__all__ = [
    "CONTRACTS",
    "Workspace",
    "connected",
    "declared",
    "examine",
    "files",
    "load",
    "not_built_in",
    "parse_sources",
    "quarter_gaps",
    "read",
    "save",
    "scan",
    "sources",
]


def examine(workspace: Workspace) -> list[str]:
    """Say what is wrong with the declared tables that are in connections, without reading a row of them.

    Returns
    -------
    list of str
        One sentence a fault: a variable that is not set, a server, table or column that is not there, a table that the
        account may not read.
    """
    faults: list[str] = []
    for name, source in sorted(connected(workspace).items()):
        try:
            connections.examine(name, source)
        except Faults as error:
            faults += [f"{name}: {error.where}: {fault}" for fault in error.faults]
        except ToolkitError as error:
            faults.append(f"{name}: {error}")
    return faults


def read(workspace: Workspace, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Read and check tables, and keep the rows of the workspace's unit (all rows for the unit ``group``).

    Parameters
    ----------
    workspace : Workspace
    names : iterable of str
        Names of contracts.

    Returns
    -------
    dict of DataFrame
        Columns as the contract says; money as integer ``<name>_cents``, times as UTC without zone, a fresh index.
        `touchpoints` of a connection stay there: an Ibis table with the contract's columns, computed when it is used.

    Raises
    ------
    Faults
        With everything found in all the tables.
    """
    folder, declared_sources = sources(workspace)
    faults: list[str] = []
    frames: dict[str, pd.DataFrame] = {}
    unit = None if workspace.unit == GROUP_UNIT else workspace.unit_in_data
    for name in names:
        if name not in declared_sources:
            faults.append(f"table '{name}' is not declared under data: in the parameters of case '{workspace.case}'")
            continue
        source = declared_sources[name]
        try:
            if source.connection:
                frames[name] = connections.read_table(name, source, unit)
            else:
                frames[name] = read_table(name, folder, source, unit)
        except Faults as error:
            faults += [f"{error.where}: {fault}" for fault in error.faults]
        except ToolkitError as error:
            faults.append(str(error))
    if faults:
        raise Faults(f"data of {workspace.unit}", faults)
    return frames


def scan(workspace: Workspace, name: str) -> "pd.DataFrame | Path | object":
    """Return a table in the form that needs the least memory: where it is, if it can be read there piece by piece.

    Parameters
    ----------
    workspace : Workspace
    name : str
        Name of a contract.

    Returns
    -------
    Path, Ibis table or DataFrame
        The path of a Parquet file whose columns already have the contract's names and types, with the rows of all
        units, not yet checked; otherwise what `read` returns.

    Raises
    ------
    Faults
        As `read`.
    """
    folder, declared_sources = sources(workspace)
    source = declared_sources.get(name)
    path = folder / source.file if source and source.file else None
    if path is None or path.suffix != ".parquet" or not path.is_file() or source.columns or source.timezone != "UTC":
        return read(workspace, [name])[name]
    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError):
        return read(workspace, [name])[name]
    times = [column for column in CONTRACTS[name].columns if kind_of(CONTRACTS[name], column) == "time"]
    fits = all(column in schema.names and pa.types.is_timestamp(schema.field(column).type) for column in times)
    return path if fits else read(workspace, [name])[name]


_LONGEST_PAUSE_DAYS = {"ad_spend": 10, "touchpoints": 14, "ledger": 31, "orders": 30, "platform_claims": 30}


def quarter_gaps(frames: dict[str, pd.DataFrame], first_day: pd.Timestamp, last_day: pd.Timestamp) -> list[str]:
    """Say which tables do not reach over the whole quarter.

    Parameters
    ----------
    frames : dict of DataFrame
        As ``read`` returns them.
    first_day, last_day : Timestamp
        Of the quarter.

    Returns
    -------
    list of str
        One sentence for each table of continuous records that has no row in the quarter, or none for longer than such
        a table pauses (spend 10 days, touchpoints 14, orders and claims 30, a ledger 31) at its beginning, at its end
        or within.
    """
    said = []
    for name, longest in _LONGEST_PAUSE_DAYS.items():
        if name not in frames or not len(frames[name]):
            continue
        column = {"ad_spend": "date", "ledger": "date", "platform_claims": "conversion_time"}.get(name, "time")
        days = frames[name][column].dt.normalize()
        inside = days[(days >= first_day) & (days <= last_day)].drop_duplicates().sort_values()
        if not len(inside):
            said.append(f"{name}: no rows between {first_day.date()} and {last_day.date()}. Export that quarter")
            continue
        edges = [first_day - pd.Timedelta(days=1), *inside, last_day + pd.Timedelta(days=1)]
        pauses = pd.Series(edges).diff().dt.days - 1
        if pauses.max() > longest:
            end = edges[int(pauses.idxmax())] - pd.Timedelta(days=1)
            begin = end - pd.Timedelta(days=int(pauses.max()) - 1)
            said.append(
                f"{name}: the quarter is only partly present, there are no rows from {begin.date()} to {end.date()} "
                f"(the quarter runs from {first_day.date()} to {last_day.date()}). Export the whole quarter"
            )
    return said


def save(frame: pd.DataFrame, workspace: Workspace, notebook: str, table: str) -> Path:
    """Write a result as ``<save_dir>/tables/<notebook>_<table>.parquet`` and ``.csv``, each in one step.

    In the CSV, text that a spreadsheet would run as a formula is preceded by an apostrophe.

    Returns
    -------
    Path
        Of the Parquet file.
    """
    folder = workspace.save_dir / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{notebook}_{table}.parquet"
    frame = frame.reset_index(drop=True)
    harmless = frame.copy()
    for column in harmless.columns:
        if pd.api.types.is_string_dtype(harmless[column].dtype) or harmless[column].dtype == object:
            harmless[column] = harmless[column].map(_harmless, na_action="ignore")
    for target, write in (
        (path, lambda f: frame.to_parquet(f, index=False)),
        (path.with_suffix(".csv"), lambda f: harmless.to_csv(f, index=False)),
    ):
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        write(beside)
        beside.replace(target)
    return path


def _harmless(value: object) -> object:
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def load(workspace: Workspace, notebook: str, table: str, unit: str | None = None) -> pd.DataFrame | None:
    """Read a saved result, or return None where it is missing.

    Parameters
    ----------
    unit : str, optional
        Read the result of this unit, below ``results_dir`` (for the group's page).

    Raises
    ------
    ToolkitError
        Where the unit would lead out of the folder, or the file is damaged.
    """
    folder = workspace.results_dir / unit if unit else workspace.results_dir
    if not folder.resolve().is_relative_to(workspace.results_dir.resolve()):
        raise ToolkitError(f"unit '{unit}' leads out of {workspace.results_dir}")
    path = folder / "tables" / f"{notebook}_{table}.parquet"
    if not path.is_file():
        return None
    try:
        return pd.read_parquet(path)
    except Exception as error:
        raise ToolkitError(f"{path} cannot be read: {error}. Run the notebook {notebook} again") from error
