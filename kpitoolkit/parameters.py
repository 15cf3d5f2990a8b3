"""The parameters of a case: one list of names, read from ``_defaults.yml`` and one file a unit, merged deeply.

A name that is not in the list is refused with the nearest suggestion; all the faults of a case come in one message.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kpitoolkit import plain_yaml
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import Faults, ToolkitError, suggest
from kpitoolkit.modelling import BudgetBounds, BudgetScenarios, BudgetTotal, Margin, PreviousCase, RegressionPriors
from kpitoolkit.sources import IN_ENVIRONMENT, SECRETS, Workspace, looks_secret, not_built_in, parse_sources

if TYPE_CHECKING:
    import pandas as pd

UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED_UNITS = {GROUP_UNIT, "failed", "_interactive", "index", "index.html", "run.json", "signoff.jsonl"}
_DEVICES = {"con", "nul", "aux", "prn", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}

ACCOUNTS: dict[str, list[str]] = {
    "sales": ["4000"],
    "returns": ["4100"],
    "returns_provision": ["4110"],
    "cut_off": ["4200"],
    "deferred": ["4300"],
    "principal_agent": ["4400"],
    "intercompany": ["4500"],
    "manual_journals": ["4900"],
    "consolidation": ["4950"],
    "group_revenue": ["4990"],
    "cost_of_sales": ["5000"],
    "media": ["6100"],
    "agency_fees": ["6110"],
    "rebates": ["6120"],
    "marketing_accruals": ["6190"],
    "acquisition_salaries": ["6200"],
    "acquisition_tools": ["6210"],
    "retention_marketing": [],
    "operating_expenses": ["7000"],
    "other_accounts": [],
}
REVENUE_LINES = (
    "sales",
    "returns",
    "returns_provision",
    "cut_off",
    "deferred",
    "principal_agent",
    "intercompany",
    "manual_journals",
)
MARKETING_LINES = ("media", "agency_fees", "rebates", "marketing_accruals")

Share = Annotated[float, Field(gt=0, le=1)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


def _known_quarter(value: str) -> str:
    if not re.fullmatch(r"(19|20)\d{2}Q[1-4]", value):
        raise ValueError(f"'{value}' is not a quarter such as 2026Q3")
    return value


def _known_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except Exception as error:
        raise ValueError(f"'{value}' is not a time zone such as Europe/Rome") from error
    return value


def _all_lines(value: dict[str, list[str]]) -> dict[str, list[str]]:
    unknown = [
        f"'{line}' is not a line of accounts.{suggest(line, ACCOUNTS)}" for line in value if line not in ACCOUNTS
    ]
    if unknown:
        raise ValueError(" ".join(unknown))
    stated = [account for accounts in value.values() for account in accounts]
    twice = sorted({account for account in stated if stated.count(account) > 1})
    if twice:
        raise ValueError(f"accounts {', '.join(twice)} stand in two lines")
    return value


def _approving_roles(value: dict[str, list[str]]) -> dict[str, list[str]]:
    if not value:
        raise ValueError("names no role. Name one that approves, such as cfo: []")
    for role in value:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", role) or role in ("preparer", "analyst"):
            raise ValueError(f"'{role}' is not a role that approves, such as cfo")
    return value


Quarter = Annotated[str, AfterValidator(_known_quarter)]


class Reclassification(BaseModel):
    """Two filings of the same quarters to bridge on the group's page."""

    model_config = ConfigDict(extra="forbid")

    from_basis: str
    to_basis: str
    quarters: list[Quarter] = Field(min_length=1)
    unit_in_data: str


class Parameters(BaseModel):
    """All the names that a case may state. Defaults are those of the sample company."""

    model_config = ConfigDict(extra="forbid")

    unit: str
    quarter: Quarter
    unit_name: dict[Literal["en", "it"], str] = Field(default_factory=dict)
    unit_in_data: str = ""
    language: Literal["en", "it"] = "en"
    data: str | dict[str, Any] = "sample"
    timezone: Annotated[str, AfterValidator(_known_timezone)] = "UTC"
    currency: Currency = "EUR"
    group_currency: Currency = "EUR"
    catalogue: str = "../kpis.yml"
    basis: str = ""
    lookback_days: int = Field(default=30, ge=1, le=365)
    half_life_days: float = Field(default=7.0, gt=0, le=365, allow_inf_nan=False)
    markov_order: int = Field(default=1, ge=1, le=4)
    frequency: Literal["week", "quarter"] = "week"
    regression_periods: int = Field(default=156, ge=4, le=1040)
    regression_adstock: Literal["auto", "geometric", "delayed"] = "auto"
    regression_saturation: Literal["hill", "logistic"] = "hill"
    regression_priors: RegressionPriors = Field(default_factory=dict)
    regression_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    contribution_margin_share: Margin = 0.40
    model_bias_log_sd: float = Field(default=0.30, ge=0, le=2)
    budget_total: BudgetTotal = "fixed"
    budget_largest_change: Share = 0.30
    budget_bounds: BudgetBounds = Field(default_factory=dict)
    budget_scenarios: BudgetScenarios = Field(default_factory=dict)
    previous_case: PreviousCase = ""
    claims_lookback_days: int = Field(default=30, ge=1, le=365)
    materiality_share: Share = 0.005
    performance_share: Share = 0.75
    trivial_share: Share = 0.05
    spend_materiality_share: Share = 0.005
    oldest_item_quarters: int = Field(default=2, ge=0, le=80)
    tax_rate: float = Field(default=0.24, ge=0, lt=1)
    cost_of_capital: float = Field(default=0.08, ge=0, lt=1)
    lifetime_model: Literal["purchases", "subscription", "none"] = "purchases"
    lifetime_horizon_quarters: int = Field(default=12, ge=1, le=80)
    discount_rate: float = Field(default=0.08, ge=0, lt=1)
    platforms_including_vat: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    accounts: Annotated[dict[str, list[str]], AfterValidator(_all_lines)] = Field(
        default_factory=lambda: {line: list(accounts) for line, accounts in ACCOUNTS.items()}
    )
    perimeter: dict[str, tuple[Quarter | None, Quarter | None]] = Field(default_factory=dict)
    reclassification: Reclassification | None = None
    approvers: Annotated[dict[str, list[str]], AfterValidator(_approving_roles)] = Field(
        default_factory=lambda: {"cfo": []}
    )
    allowed_signers: str = ""


@dataclass(frozen=True, eq=False)
class Case:
    """A case: its folder, the parameters of each unit, and those of the group."""

    name: str
    folder: Path
    units: dict[str, Parameters]
    group: Parameters


def read_case(folder: str | Path) -> Case:
    """Read and check all parameter files of a case.

    Parameters
    ----------
    folder : path
        Holds ``_defaults.yml`` and one file for each unit.

    Raises
    ------
    ToolkitError
        Where the folder is no case.
    Faults
        With everything wrong in all its files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        near = suggest(
            folder.name, [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
        )
        raise ToolkitError(f"case '{folder.name}' is unknown: there is no folder {folder}.{near}")
    if not (folder / "_defaults.yml").is_file():
        raise ToolkitError(f"{folder} is no case: it has no _defaults.yml")
    faults: list[str] = []
    defaults = _read_yaml(folder / "_defaults.yml", faults) or {}
    if "unit" in defaults:
        faults.append("_defaults.yml: 'unit' belongs into the files of the units")
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".yml", ".yaml") and not p.name.startswith("_"))
    units: dict[str, Parameters] = {}
    written_by: dict[str, str] = {}
    group = _validated({**defaults, "unit": GROUP_UNIT}, "_defaults.yml", faults, own=defaults)
    in_defaults = set(faults)
    for path in paths:
        own = _read_yaml(path, faults)
        if own is None:
            continue
        stated = own.get("unit")
        if stated is not None and not isinstance(stated, str):
            faults.append(f"{path.name}: unit {stated} is not text. Write it in quotes")
            continue
        if stated is None:
            faults.append(
                f"{path.name}: states no unit. Add a line such as 'unit: {path.stem}', or begin its name with '_' "
                "where it is no unit's file"
            )
            continue
        fault = _unit_fault(stated)
        if fault:
            faults.append(f"{path.name}: {fault}")
            continue
        if stated.casefold() in written_by:
            faults.append(
                f"{path.name}: unit '{stated}' would write the same output as {written_by[stated.casefold()]}. "
                "Give each file a unit of its own (upper and lower case are not told apart)"
            )
            continue
        written_by[stated.casefold()] = path.name
        parsed = _validated(merge(defaults, own), path.name, faults, own=own, already=in_defaults)
        if parsed is not None:
            units[stated] = parsed
            if parsed.previous_case == folder.resolve().name:
                where = path.name if "previous_case" in own else "_defaults.yml"
                faults.append(f"{where}: previous_case is this case itself. Name last quarter's, or leave it out")
    if not paths:
        faults.append("has no unit: write one file for each, with a line 'unit: ...'")
    if faults or group is None:
        raise Faults(str(folder), list(dict.fromkeys(faults)))
    return Case(folder.resolve().name, folder.resolve(), units, group)


def _unit_fault(unit: str) -> str | None:
    if unit.casefold() in RESERVED_UNITS or unit.casefold().split(".")[0] in _DEVICES:
        return f"unit '{unit}' is a reserved name. Choose another"
    if not UNIT_NAME.fullmatch(unit) or unit.endswith("."):
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in unit[:40]) + ("..." if len(unit) > 40 else "")
        return (
            f"unit '{shown}' cannot name a folder. Use 1 to 64 letters a-z, digits, '.', '_' and '-', beginning with a "
            "letter or digit; what readers see goes into unit_name"
        )
    return None


def _read_yaml(path: Path, faults: list[str]) -> dict[str, Any] | None:
    """Read one parameter file; None, and a fault, where it cannot be read."""
    try:
        content = plain_yaml.load(path)
    except Faults as error:
        faults += [f"{error.where}: {fault}" for fault in error.faults]
        return None
    if content is None:
        return {}
    if not isinstance(content, dict):
        faults.append(f"{path.name}: must be a list of 'name: value' lines")
        return None
    return content


def merge(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Merge a unit's parameters over the defaults, dictionaries within dictionaries; lists are replaced.

    Examples
    --------
    >>> merge({"accounts": {"sales": ["4000"], "media": ["6100"]}}, {"accounts": {"media": ["61"]}})
    {'accounts': {'sales': ['4000'], 'media': ['61']}}
    """
    merged = dict(defaults)
    for name, value in own.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def _validated(
    stated: dict[str, Any], file: str, faults: list[str], own: dict[str, Any], already: set[str] = frozenset()
) -> Parameters | None:
    """Validate merged parameters; a fault of the defaults is reported once, under their own file."""
    found: list[str] = []
    parsed = None
    stated = dict(stated)
    if isinstance(stated.get("accounts"), dict):
        stated["accounts"] = merge(ACCOUNTS, stated["accounts"])
    try:
        parsed = Parameters.model_validate(stated)
    except ValidationError as error:
        for detail in error.errors():
            name = str(detail["loc"][0]) if detail["loc"] else ""
            where = file if name in own or (name in Parameters.model_fields and name not in stated) else "_defaults.yml"
            if detail["type"] == "extra_forbidden":
                path = ".".join(str(part) for part in detail["loc"])
                hint = suggest(path, Parameters.model_fields)
                if looks_secret(name) or name.casefold() in SECRETS:
                    hint = f" {IN_ENVIRONMENT[0].upper()}{IN_ENVIRONMENT[1:]}"
                found.append(f"{where}: '{path}' is not a parameter.{hint}")
            elif detail["type"] == "missing":
                found.append(f"{where}: '{name}' is not stated")
            else:
                path = ".".join(str(part) for part in detail["loc"])
                said = detail["msg"].removeprefix("Value error, ")
                if detail["type"] == "string_type":
                    said = "write it in quotes"
                shown = "an address" if "://" in str(detail["input"]) else repr(str(detail["input"])[:60])
                found.append(f"{where}: '{path}': {said} (found {shown})")
    if isinstance(stated.get("data"), dict):
        try:
            parse_sources(stated["data"])
        except Faults as error:
            found += [f"{file if 'data' in own else '_defaults.yml'}: data: {fault}" for fault in error.faults]
            parsed = None
    elif isinstance(stated.get("data"), str) and stated["data"] not in ("sample", "netflix"):
        found.append(f"{file if 'data' in own else '_defaults.yml'}: data: {not_built_in(stated['data'])}")
        parsed = None
    faults += [fault for fault in found if fault not in already]
    return parsed


def project_root() -> Path:
    """Return the folder that holds ``parameters`` and ``notebooks``: the nearest one above the working folder, else the
    one that holds this package."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "parameters").is_dir() and (folder / "notebooks").is_dir():
            return folder
    beside = Path(__file__).resolve().parents[1]
    return beside if (beside / "parameters").is_dir() else Path.cwd()


def outputs_root() -> Path:
    """Return the folder of published results: ``KPITOOLKIT_OUTPUTS`` or ``outputs`` in the project."""
    stated = os.environ.get("KPITOOLKIT_OUTPUTS")
    return Path(stated).resolve() if stated else project_root() / "outputs"


def workspace(
    case: str,
    unit: str,
    data: str | dict = "sample",
    data_dir: str = "",
    unit_in_data: str = "",
    results_dir: str = "",
    save_dir: str = "",
) -> Workspace:
    """Resolve the folders that a notebook works with.

    Parameters
    ----------
    case, unit : str
    data : str or dict
        As in the parameters.
    data_dir : str
        Folder that the files of ``data`` are relative to; by default the case's folder.
    unit_in_data : str
        How the tables call the unit; by default its own name.
    results_dir : str
        Where results of other notebooks are read; by default what the batch published for this unit (for the unit
        ``group``: the case's folder, which holds all units).
    save_dir : str
        Where this notebook saves; by default ``outputs/_interactive/<unit>``, which overwrites nothing published.
    """
    published = outputs_root() / case
    return Workspace(
        case=case,
        unit=unit,
        unit_in_data=unit_in_data or unit,
        data=data,
        data_dir=Path(data_dir) if data_dir else project_root() / "parameters" / case,
        results_dir=Path(results_dir) if results_dir else (published if unit == GROUP_UNIT else published / unit),
        save_dir=Path(save_dir) if save_dir else outputs_root() / "_interactive" / unit,
    )


def workspace_of(case: Case, parameters: Parameters) -> Workspace:
    """Return the workspace of one unit of a case that was read."""
    return workspace(case.name, parameters.unit, parameters.data, str(case.folder), parameters.unit_in_data)


def previous_tables(outputs: Path, stated: Parameters, notebook: str) -> list[Path]:
    """Return the tables that a notebook published for this unit in the case that is stated as the previous one."""
    if not stated.previous_case:
        return []
    published = outputs / stated.previous_case / ("" if stated.unit == GROUP_UNIT else stated.unit)
    return sorted((published / "tables").glob(f"{notebook}_*.parquet"))


def catalogue_path(catalogue: str, case: str, data_dir: str = "") -> Path:
    """Return the path of the KPI catalogue: relative to the case's folder, by default ``parameters/kpis.yml``."""
    folder = Path(data_dir) if data_dir else project_root() / "parameters" / case
    return (folder / (catalogue or "../kpis.yml")).resolve()


def quarter_bounds(quarter: str, timezone: str = "UTC") -> "tuple[pd.Timestamp, pd.Timestamp]":
    """Return the first and the last day of a quarter; in another time zone than UTC, as moments of that zone.

    Examples
    --------
    >>> [str(day.date()) for day in quarter_bounds("2026Q3")]
    ['2026-07-01', '2026-09-30']
    """
    import pandas as pd  # half a second that a run in which nothing changed does not need

    period = pd.Period(_known_quarter(quarter), freq="Q")
    bounds = period.start_time.normalize(), period.end_time.normalize()
    return bounds if timezone == "UTC" else tuple(day.tz_localize(timezone) for day in bounds)


def local_time(times: "pd.Series", timezone: str = "UTC") -> "pd.Series":
    """Return what the clocks of a time zone showed at times that are UTC without zone.

    Examples
    --------
    >>> import pandas as pd
    >>> local_time(pd.Series(pd.to_datetime(["2026-06-30 22:30"])), "Europe/Rome").astype(str).tolist()
    ['2026-07-01 00:30:00']
    """
    if timezone == "UTC":
        return times
    return times.dt.tz_localize("UTC").dt.tz_convert(timezone).dt.tz_localize(None)


def shift_quarter(quarter: str, quarters: int) -> str:
    """Return the quarter that many quarters later (earlier where negative).

    Examples
    --------
    >>> shift_quarter("2026Q3", -4), shift_quarter("2026Q3", -3)
    ('2025Q3', '2025Q4')
    """
    year, position = divmod(4 * int(_known_quarter(quarter)[:4]) + int(quarter[-1]) - 1 + quarters, 4)
    return f"{year}Q{position + 1}"
