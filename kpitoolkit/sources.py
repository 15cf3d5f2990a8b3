"""What the ``data`` block of the parameters says: each table's file and how it is written, or its named connection.

Addresses and credentials have no place here: parameters are written into every notebook that runs. No table is read
here, and no library loaded that reads one: a run in which nothing changed gets by with this.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kpitoolkit import plain_yaml
from kpitoolkit.contracts import CONTRACTS
from kpitoolkit.errors import Faults, suggest

NETFLIX = Path(__file__).parent / "data" / "netflix.yml"
CONNECTION_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
SECRETS = {"url", "uri", "dsn", "address", "host", "port", "user", "username", "password", "token", "credentials"}
_FILE_OPTIONS = ("sheet", "separator", "decimal", "thousands", "encoding", "date_format")
_SECRET_NAME = re.compile(
    r"(?i)passw|passphrase|token|secret|credential|api_?key|(^|_)(keys?|auth|pwd|pin)(_|$)|.(pwd|_?key)$"
)
IN_ENVIRONMENT = (
    "addresses and credentials do not belong into parameters, which every page keeps. Name a connection (connection: "
    "warehouse) and put its URL into the environment (KPITOOLKIT_CONNECTION_WAREHOUSE)"
)


class Source(BaseModel):
    """Where one table is: in a file, and how that is written; or in a connection, under the name of a table."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    file: str = ""
    connection: str = ""
    table: str = ""
    sheet: str | int = 0
    separator: str = Field(default=",", min_length=1, max_length=1)
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    encoding: str = "utf-8-sig"
    date_format: str = "yyyy-mm-dd"
    timezone: str = "UTC"
    repeated_hour: Literal["refuse", "first", "second"] = "refuse"
    money_unit: int = Field(default=1, ge=1)
    columns: dict[str, str] = Field(default_factory=dict)

    @property
    def place(self) -> str:
        """What messages call a table of a connection.

        Examples
        --------
        >>> Source(connection="warehouse", table="marketing.touchpoints").place
        'warehouse:marketing.touchpoints'
        """
        return f"{self.connection}:{self.table}"

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, stated: object) -> object:
        if isinstance(stated, dict):
            told = [value for name in ("file", "connection", "table") if isinstance(value := stated.get(name), str)]
            names = {str(name).casefold() for name in stated}
            if SECRETS & names or any(map(looks_secret, names)) or any("://" in value for value in told):
                raise ValueError(IN_ENVIRONMENT)
        return stated

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        stated = self.model_fields_set
        if not self.file and not self.connection:
            raise ValueError(
                "names neither a file (file: orders.csv) nor a connection (connection: warehouse, table: orders)"
            )
        if self.file and (self.connection or self.table):
            raise ValueError("names a file and a connection's table. Keep one of the two")
        if self.connection and not self.table:
            raise ValueError("names a connection without its table. Add table: orders, or table: schema.orders")
        useless = [name for name in _FILE_OPTIONS if name in stated] if self.connection else []
        if useless:
            raise ValueError(f"{', '.join(useless)}: options of files. A connection's table has types of its own")
        return self

    @field_validator("connection")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if value and not CONNECTION_NAME.fullmatch(value):
            raise ValueError("is not a name: use a small letter, then small letters, digits and _")
        return value

    @field_validator("table")
    @classmethod
    def _path_of_table(cls, value: str) -> str:
        if value and not re.fullmatch(r"[^\s.;'\"`]+(\.[^\s.;'\"`]+){0,2}", value):
            raise ValueError(
                "is not the name of a table: write touchpoints, marketing.touchpoints or lake.marketing.touchpoints"
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except Exception as error:
            raise ValueError(f"'{value}' is not a time zone such as Europe/Rome") from error
        return value

    @field_validator("date_format")
    @classmethod
    def _complete_date_format(cls, value: str) -> str:
        day, form = datetime(2026, 11, 22), strptime_format(value)
        try:
            complete = datetime.strptime(day.strftime(form), form).date() == day.date()
        except ValueError:
            complete = False
        if not complete:
            raise ValueError(f"'{value}' does not say where day, month and year stand: write for example dd/mm/yyyy")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError as error:
            raise ValueError(f"'{value}' is not an encoding such as utf-8 or cp1252") from error
        return value


@dataclass(frozen=True, eq=False)
class Workspace:
    """What a notebook works on: one unit of one case, where its data come from and where its results go."""

    case: str
    unit: str
    unit_in_data: str
    data: str | dict
    data_dir: Path
    results_dir: Path
    save_dir: Path


def sources(workspace: Workspace) -> tuple[Path, dict[str, Source]]:
    """Return the folder of the data and the source of each declared table.

    Raises
    ------
    Faults
        With everything that is wrong in the ``data`` block.
    """
    if isinstance(workspace.data, str):
        if workspace.data == "sample":
            from kpitoolkit import sample  # writes the company at first use; other data never need it

            folder = sample.ensure()
            block = plain_yaml.load(folder / "data.yml")
        elif workspace.data == "netflix":
            folder, block = NETFLIX.parent, plain_yaml.load(NETFLIX)
        else:
            raise Faults("data", [not_built_in(workspace.data)])
    else:
        folder, block = workspace.data_dir, workspace.data
    return folder, parse_sources(block)


def not_built_in(stated: str) -> str:
    """Say that no data have this name; an address is not repeated.

    Examples
    --------
    >>> not_built_in("sampel")
    "'sampel' is not built in: write sample, netflix or a block of tables. Did you mean 'sample'?"
    """
    shown = "an address" if "://" in stated else f"'{stated}'"
    hint = suggest(stated, ("sample", "netflix"))
    return f"{shown} is not built in: write sample, netflix or a block of tables.{hint}"


def parse_sources(block: dict) -> dict[str, Source]:
    """Check a ``data`` block; raise Faults with all that is wrong in it.

    Examples
    --------
    >>> parse_sources({"orders": {"file": "orders.csv"}})["orders"].separator
    ','
    """
    faults: list[str] = []
    parsed: dict[str, Source] = {}
    for name, entry in (block or {}).items():
        if name not in CONTRACTS:
            faults.append(f"'{name}' is not a table.{suggest(name, CONTRACTS)} Tables: {', '.join(sorted(CONTRACTS))}")
            continue
        try:
            parsed[name] = Source.model_validate(entry)
        except ValidationError as error:
            for detail in error.errors():
                where = "".join(f"'{'.'.join(str(part) for part in detail['loc'])}' " for _ in detail["loc"][:1])
                hint = suggest(where, Source.model_fields) if detail["type"] == "extra_forbidden" else ""
                said = "is not an option of a table." if detail["type"] == "extra_forbidden" else detail["msg"]
                faults.append(f"{name}: {where}{said.removeprefix('Value error, ')}{hint}")
            continue
        faults += [
            f"{name}.columns: '{column}' is not a column of {name}.{suggest(column, CONTRACTS[name].columns)}"
            for column in parsed[name].columns
            if column not in CONTRACTS[name].columns
        ]
    if faults:
        raise Faults("data", faults)
    return parsed


def declared(workspace: Workspace) -> set[str]:
    """Return the names of the tables that the data source declares."""
    return set(sources(workspace)[1])


def files(workspace: Workspace) -> dict[str, Path]:
    """Return the file of each declared table that is in a file."""
    folder, declared_sources = sources(workspace)
    return {name: folder / source.file for name, source in declared_sources.items() if source.file}


def connected(workspace: Workspace) -> dict[str, Source]:
    """Return the source of each declared table that is in a connection."""
    return {name: source for name, source in sources(workspace)[1].items() if source.connection}


def looks_secret(name: str) -> bool:
    """Tell whether a name is one that credentials have.

    Examples
    --------
    >>> [name for name in ("PGPASSWORD", "api_key", "sslkey", "PWD", "keyword", "author") if looks_secret(name)]
    ['PGPASSWORD', 'api_key', 'sslkey']
    """
    return name.upper() not in ("PWD", "OLDPWD") and bool(_SECRET_NAME.search(name))


def strptime_format(date_format: str) -> str:
    """Translate ``dd/mm/yyyy HH:MM:SS`` into what ``strptime`` reads; a format with ``%`` is kept.

    Examples
    --------
    >>> strptime_format("dd/mm/yyyy HH:MM")
    '%d/%m/%Y %H:%M'
    """
    if "%" in date_format:
        return date_format
    for ours, theirs in (("yyyy", "%Y"), ("mm", "%m"), ("dd", "%d"), ("HH", "%H"), ("MM", "%M"), ("SS", "%S")):
        date_format = date_format.replace(ours, theirs)
    return date_format
