"""Tables of a warehouse, a database or Spark, by the name of their connection.

Parameters hold a name only; the URL, with whatever it needs to log in, is read from the environment variable
``KPITOOLKIT_CONNECTION_<NAME>``. Nothing is written but temporary tables, and no message shows user, password or query.
"""

import contextlib
import os
import re
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pandas as pd

from kpitoolkit.contracts import CONTRACTS, kind_of
from kpitoolkit.errors import Faults, ToolkitError, suggest
from kpitoolkit.readers import convert, map_columns, to_pandas
from kpitoolkit.sources import CONNECTION_NAME, Source

VARIABLE = "KPITOOLKIT_CONNECTION_"
SCHEMES = ("duckdb", "postgres", "postgresql", "spark", "bigquery", "snowflake", "trino")
LAZY = frozenset({"touchpoints"})
_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<user>[^:/?#@\s]*)(?::(?P<password>[^/?#@\s]*))?@)?(?P<host>[^/?#@\s]*?)(?::(?P<port>\d+))?"
    r"(?P<path>/[^?#@\s]*)?(?:\?(?P<query>[^#@\s]*))?"
)
_TEXTS = ("text", "id", "quarter", "month", "currency")
_CONNECT_SECONDS = 10
_LOCK = threading.RLock()


@dataclass(frozen=True, eq=False)
class _Opened:
    url: str
    backend: object
    end: weakref.finalize


_OPENED: dict[str, _Opened] = {}


def open(name: str):
    """Return the Ibis backend of a named connection; one for each name in a process, its session in UTC.

    Parameters
    ----------
    name : str
        A small letter, then small letters, digits and ``_``. Its URL stands in ``KPITOOLKIT_CONNECTION_<NAME>``:
        ``duckdb:///path`` (opened to read only), ``postgres://``, ``spark://local[2]``, ``spark://host:7077``,
        ``bigquery://``, ``snowflake://`` or ``trino://``.

    Returns
    -------
    ibis.backends.BaseBackend

    Raises
    ------
    ToolkitError
        Where the variable is not set, a library is missing, or the server cannot be reached: with what to do, and
        without the secrets of the URL.

    Examples
    --------
    >>> open("warehouse")
    Traceback (most recent call last):
    kpitoolkit.errors.ToolkitError: connection 'warehouse': the environment variable KPITOOLKIT_CONNECTION_WAREHOUSE is
    not set. Put the URL there, such as postgres://user:password@host:5432/database
    """
    if not CONNECTION_NAME.fullmatch(name):
        raise ToolkitError("a connection is opened by its name: a small letter, then small letters, digits and _")
    variable = VARIABLE + name.upper()
    url = os.environ.get(variable, "").strip()
    if not url:
        near = suggest(variable, [known for known in os.environ if known.startswith(VARIABLE)])
        raise ToolkitError(
            f"connection '{name}': the environment variable {variable} is not set. Put the URL there, such as "
            f"postgres://user:password@host:5432/database{near}"
        )
    with _LOCK:
        kept = _OPENED.get(name)
        if kept and kept.url == url and not getattr(getattr(kept.backend, "con", None), "closed", False):
            return kept.backend
        close(name)
        _OPENED[name] = _connected(name, variable, url)
        return _OPENED[name].backend


def close(name: str | None = None) -> None:
    """Close one connection, or all, once nothing that was read lazily is in use; one that is not open is left alone."""
    with _LOCK:
        for known in [name] if name else list(_OPENED):
            kept = _OPENED.pop(known, None)
            if kept:
                kept.end()


def _opened(url: str, backend, disconnect: Callable[[], None]) -> _Opened:
    """Keep a backend until it is closed or the process ends; then after the temporary tables that were made later."""

    def end() -> None:
        with contextlib.suppress(Exception):
            disconnect()

    return _Opened(url, backend, weakref.finalize(backend, end))


def redact(url: str) -> str:
    """Return a URL without user, password and query; of one that is not well formed, its scheme only.

    Examples
    --------
    >>> redact("postgres://anna:s3cret@db.example.com:5432/sales?sslmode=require")
    'postgres://db.example.com:5432/sales'
    >>> redact("postgres://anna:not/encoded@db/sales")
    'postgres://***'
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("duckdb", "spark") and "@" not in rest:
        return f"{scheme}://{rest.partition('?')[0]}"
    parts = _URL.fullmatch(url)
    if not parts:
        return f"{scheme}://***" if re.fullmatch(r"[a-z]+", scheme) and rest else "***"
    port = f":{parts['port']}" if parts["port"] else ""
    return f"{scheme}://{parts['host']}{port}{parts['path'] or ''}"


def _connected(name: str, variable: str, url: str) -> _Opened:
    where = f"connection '{name}' ({redact(url)})"
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES or "://" not in url:
        raise ToolkitError(f"{where}: {variable} must begin with one of {', '.join(f'{s}://' for s in SCHEMES)}")
    parts = _URL.fullmatch(url)
    if not parts and scheme not in ("duckdb", "spark"):
        raise ToolkitError(
            f"{where}: {variable} is not a URL as scheme://user:password@host:port/database. Write special characters "
            "of user and password as codes: @ is %40, / is %2F, : is %3A, ? is %3F, # is %23, a blank is %20"
        )
    extra = {"postgresql": "postgres", "duckdb": ""}.get(scheme, scheme)
    try:
        import ibis

        if scheme == "duckdb":
            backend = _duckdb(url, where)
        elif scheme == "spark":
            return _spark(url, where)
        elif extra == "postgres":
            backend = _postgres(parts)
        else:
            backend = ibis.connect(url)
    except ToolkitError:
        raise
    except ImportError:
        own = f"[{extra}]" if extra in ("postgres", "spark") else ""
        package = f"kpitoolkit{own}" if own or not extra else f"ibis-framework[{extra}]>=12.0,<12.1"
        raise ToolkitError(f"{where}: a library is missing. Install it: pip install '{package}'") from None
    except Exception as error:  # drivers' own errors hold addresses and users: said without them, and not chained
        java = "that Java is 17 or newer, " if scheme == "spark" else ""
        raise ToolkitError(
            f"{where}: no connection: {_said(error, url)}. Check {variable}, {java}that the server runs, that this "
            "machine may reach it, and that the account may log in"
        ) from None
    return _opened(url, backend, backend.disconnect)


def _duckdb(url: str, where: str):
    import duckdb
    import ibis

    path = Path(url.removeprefix("duckdb://").partition("?")[0])
    if not path.is_file():
        raise ToolkitError(f"{where}: there is no such file. Write duckdb:///absolute/path.duckdb")
    try:
        return ibis.duckdb.connect(path, read_only=True)
    except (duckdb.ConnectionException, duckdb.IOException) as error:
        if "different configuration" in str(error) or "lock" in str(error):
            raise ToolkitError(
                f"{where}: the file is open for writing elsewhere. Close it there; it is read only here"
            ) from None
        raise


def _postgres(parts: re.Match):
    import ibis

    database, _, schema = (parts["path"] or "/")[1:].partition("/")
    stated = {
        "host": parts["host"],
        "port": int(parts["port"]) if parts["port"] else None,
        "user": unquote(parts["user"] or ""),
        "password": unquote(parts["password"] or ""),
        "database": unquote(database),
        "schema": unquote(schema),
    }
    own = {"connect_timeout": _CONNECT_SECONDS, "application_name": "kpitoolkit"}
    return ibis.postgres.connect(
        **{key: value for key, value in stated.items() if value}, **own | dict(parse_qsl(parts["query"] or ""))
    )


def _spark(url: str, where: str) -> _Opened:
    import ibis
    from pyspark.sql import SparkSession

    rest = url.removeprefix("spark://").partition("?")[0].rstrip("/")
    master = url.partition("?")[0].rstrip("/") if re.search(r":\d+$", rest) else rest or "local[*]"
    running = SparkSession.getActiveSession()
    if running is not None:
        if running.sparkContext.master != master:
            raise ToolkitError(
                f"{where}: this process runs Spark on {running.sparkContext.master} already, and has room for one. "
                "Stop that session, or use another process"
            )
        return _opened(url, ibis.pyspark.connect(running), lambda: None)
    home = os.environ.get("JAVA_HOME")
    if not (Path(home, "bin", "java").exists() if home else shutil.which("java")):
        raise ToolkitError(
            f"{where}: Spark needs Java, and there is none. Install it: apt-get install openjdk-17-jre-headless"
        )
    builder = SparkSession.builder.master(master).appName("kpitoolkit")
    settings = {"spark.sql.session.timeZone": "UTC", "spark.ui.showConsoleProgress": "false"}
    if master.startswith("local"):
        settings |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.ui.enabled": "false",
        }
    for key, value in settings.items():
        builder = builder.config(key, value)
    with _java_silent():
        session = builder.getOrCreate()
    return _opened(url, ibis.pyspark.connect(session), session.stop)


@contextlib.contextmanager
def _java_silent() -> Iterator[None]:
    """Give a Java that is started here no standard error: a kernel would print its log on the page."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _said(error: Exception, url: str) -> str:
    """Return the first line of a driver's message without anything secret that stands in the URL."""
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else type(error).__name__
    parts = _URL.fullmatch(url)
    if parts:
        secrets = {parts["user"], parts["password"], *(value for _, value in parse_qsl(parts["query"] or ""))}
        secrets -= {None, ""}
        for secret in sorted(secrets | {unquote(secret) for secret in secrets}, key=len, reverse=True):
            said = said.replace(secret, "***")
    return (said.replace(url, redact(url)) if url else said)[:300].rstrip(" .:")


@contextlib.contextmanager
def _asking(source: Source) -> Iterator[None]:
    """Turn what a server answers, but for our own errors, into one message without secrets."""
    try:
        yield
    except (ToolkitError, AttributeError, NameError, TypeError):
        raise
    except Exception as error:
        url = _OPENED[source.connection].url if source.connection in _OPENED else ""
        raise Faults(
            source.place, [f"cannot be read: {_said(error, url)}. Check that the account may read the table"]
        ) from None


def table(name: str, path: str):
    """Return a table of a connection as an Ibis table; no row is read.

    Parameters
    ----------
    name : str
        Of the connection.
    path : str
        ``touchpoints``, ``marketing.touchpoints`` or ``lake.marketing.touchpoints``.

    Raises
    ------
    ToolkitError
        Where there is no such table, with the nearest that there is.
    """
    from ibis.common.exceptions import TableNotFound

    backend = open(name)
    *schema, last = path.split(".")
    database = {0: None, 1: schema[0] if schema else None}.get(len(schema), tuple(schema))
    try:
        return backend.table(last, database=database)
    except Exception as error:
        known = _tables_of(backend)
        if not isinstance(error, TableNotFound) and (path in known or len(schema) == 2):
            with _asking(Source(connection=name, table=path)):
                raise
        plain = {one.casefold(): one for one in reversed(known)}
        near = plain.get(path.casefold(), "")
        hint = f" Did you mean '{near}'?" if near else _nearest(path, known)
        listed = f" Tables there: {', '.join(known[:12])}" if known else " The account sees no table there"
        raise ToolkitError(f"connection '{name}' has no table '{path}'.{hint}{listed}") from None


def _nearest(path: str, known: list[str]) -> str:
    """Suggest a table: the same name in another schema, else the nearest spelling."""
    last = path.rpartition(".")[2]
    same = next((one for one in known if one.rpartition(".")[2] == last), "")
    return f" Did you mean '{same}'?" if same else suggest(path, known)


def _tables_of(backend) -> list[str]:
    """Return what tables a connection shows, those outside its own schema with theirs."""
    found: list[str] = []
    with contextlib.suppress(Exception):
        found += [name for name in backend.list_tables() if not name.startswith("ibis_")]
    with contextlib.suppress(Exception):
        own = [s for s in backend.list_databases() if s != "information_schema" and not s.startswith("pg_")]
        for schema in own[:50]:
            found += [f"{schema}.{name}" for name in backend.list_tables(database=schema)]
    return found


def examine(name: str, source: Source) -> None:
    """Check that a table of a connection is there, has the columns of its contract and may be read; read no row.

    Raises
    ------
    ToolkitError, Faults
        With everything found.
    """
    with _asking(source):
        _mapped(name, source).limit(0).to_pyarrow()


def read_table(name: str, source: Source, unit: str | None = None):
    """Return the rows of one unit: `touchpoints` as an Ibis table still to be computed, the others as checked frames.

    Parameters
    ----------
    name : str
        A name of ``CONTRACTS``.
    source : Source
        With ``connection`` and ``table``.
    unit : str, optional
        Keep the rows of this unit only; the engine does.

    Returns
    -------
    ibis.Table or DataFrame
        Columns as the contract says. In an Ibis table ids are text and ``time`` is UTC without zone.

    Raises
    ------
    Faults
        With everything found. The rows of an Ibis table are not checked, but for those without a unit.
    """
    contract = CONTRACTS[name]
    with _asking(source):
        rows = _mapped(name, source)
        if unit is not None and "unit" in contract.columns:
            _require_unit(rows, unit, source, contract.may_be_empty)
            rows = rows.filter(rows.unit == unit)
        if name in LAZY:
            return rows
        key = [column for column in contract.key if column in rows.columns]
        raw = to_pandas((rows.order_by(key) if key else rows).to_pyarrow())
    if not len(raw) and not contract.may_be_empty:
        raise Faults(source.place, ["the table is empty. Load it again, or take it out of data:"])
    raw.index = raw.index + 1
    return convert(raw, contract, source, source.place)


def _mapped(name: str, source: Source):
    """Return a table under the contract's names, with texts as text; of a lazy one, times as UTC without zone."""
    contract, found = CONTRACTS[name], table(source.connection, source.table)
    empty, faults = map_columns(pd.DataFrame(columns=list(found.columns)), contract, source)
    if faults:
        raise Faults(source.place, faults)
    columns = {column: found[source.columns.get(column, column)] for column in empty.columns}
    for column, values in columns.items():
        if kind_of(contract, column) in _TEXTS and not values.type().is_string() and not values.type().is_floating():
            columns[column] = values.cast("string")
        elif name in LAZY and kind_of(contract, column) == "time":
            kind = values.type()
            if not kind.is_timestamp():
                faults.append(f"column '{column}' is {kind}, not a time. Give a view in which it is a timestamp")
            elif kind.timezone is None and source.timezone != "UTC":
                faults.append(
                    f"column '{column}' has no time zone of its own, and is not converted from {source.timezone} in "
                    "the engine. Give a view in which it is in UTC, or has its zone, and leave timezone out"
                )
            else:
                columns[column] = values.cast("timestamp")
    if faults:
        raise Faults(source.place, faults)
    return found.select(**columns)


def _require_unit(rows, unit: str, source: Source, may_be_empty: bool) -> None:
    """Raise Faults where rows have no unit, or none has this one; counted in the engine."""
    lost = rows.unit.isnull().sum()  # noqa: PD003
    counts = rows.aggregate(lost=lost, own=(rows.unit == unit).sum()).to_pyarrow().to_pylist()[0]
    if counts["lost"]:
        raise Faults(source.place, [f"column 'unit': rows without unit: {int(counts['lost'])}"])
    if not counts["own"] and not may_be_empty:
        units = sorted(rows.select("unit").distinct().limit(50).to_pyarrow()["unit"].to_pylist())
        known = ", ".join(f"'{one}'" for one in units[:12]) or "none"
        raise Faults(
            source.place,
            [
                f"no rows for unit '{unit}'.{suggest(unit, units)} Units in the table: {known}. "
                "If the data call it otherwise, set unit_in_data"
            ],
        )
