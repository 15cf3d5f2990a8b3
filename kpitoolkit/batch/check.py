"""Checks before anything runs: the names on the command line, and the data of each unit against their contracts."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import yaml

from kpitoolkit import parameters, tables
from kpitoolkit.batch.record import write_atomically
from kpitoolkit.errors import Faults, ToolkitError, suggest
from kpitoolkit.parameters import Case, Parameters


def find_case(said: str) -> Path:
    """Return the folder of a case, stated as a path or as a name below ``parameters/``.

    Raises
    ------
    ToolkitError
        Where there is no such folder, with the nearest name.
    """
    path = Path(said)
    if path.is_dir():
        return path.resolve()
    shelf = parameters.project_root() / "parameters"
    if (shelf / said).is_dir() and (shelf / said).resolve().parent == shelf.resolve():
        return (shelf / said).resolve()
    siblings = path.parent if len(path.parts) > 1 and path.parent.is_dir() else shelf
    known = sorted(p.name for p in siblings.iterdir() if (p / "_defaults.yml").is_file()) if siblings.is_dir() else []
    listed = f" Cases in {siblings}: {', '.join(known)}" if known else f" There are no cases in {siblings}"
    raise ToolkitError(f"case '{said}' is unknown.{suggest(path.name, known)}{listed}")


def check_names(what: str, wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raise Faults with every wanted name that is not known, each with the nearest known one.

    Examples
    --------
    >>> check_names("unit", ["retail-ti"], ["retail-it", "b2b"])
    Traceback (most recent call last):
    kpitoolkit.errors.Faults: --unit: 'retail-ti' is unknown. Did you mean 'retail-it'? Known: retail-it, b2b
    """
    known = list(known)
    faults = [
        f"'{name}' is unknown.{suggest(name, known)} Known: {', '.join(known)}" for name in wanted if name not in known
    ]
    if faults:
        raise Faults(f"--{what}", faults)


def check_unit(case: Case, stated: Parameters) -> list[str]:
    """Read every declared table of a unit and say all that is wrong with it.

    Parameters
    ----------
    case : Case
    stated : Parameters
        Of the unit.

    Returns
    -------
    list of str
        One sentence a fault, empty where all is well: what breaks a contract, what is missing, and tables that do not
        reach over the case's quarter. Of tables in connections no row is read: only that they and their columns are
        there.
    """
    workspace = parameters.workspace_of(case, stated)
    faults = tables.examine(workspace)
    try:
        frames = tables.read(workspace, sorted(tables.files(workspace)))
    except Faults as error:
        return faults + list(error.faults)
    if faults:
        return faults
    for name, column in (("orders", "time"), ("touchpoints", "time"), ("platform_claims", "conversion_time")):
        if name in frames:
            local = parameters.local_time(frames[name][column], stated.timezone)
            frames[name] = frames[name].assign(**{column: local})
    gaps = tables.quarter_gaps(frames, *parameters.quarter_bounds(stated.quarter)) + currency_faults(frames, stated)
    late = frames.get("platform_claims")
    if late is not None and {"touch_time", "conversion_time"} <= set(late):
        touched = parameters.local_time(late["touch_time"], stated.timezone)
        count = int((touched > late["conversion_time"]).sum())
        if count:
            gaps.append(f"platform_claims: {count} claims were touched after their conversion. Check the time zones")
    if "financials" in frames and stated.quarter not in set(frames["financials"]["quarter"]):
        gaps.append(f"financials: no row for {stated.quarter}. Add it, or state another quarter")
    return gaps


def currency_faults(frames: dict[str, pd.DataFrame], stated: Parameters) -> list[str]:
    """Say which tables hold currencies that cannot be in them, or that have no rate in the case's quarter.

    Examples
    --------
    >>> spend = pd.DataFrame({"currency": ["EUR", "XYZ"], "date": pd.to_datetime(["2026-07-01", "2026-07-02"])})
    >>> currency_faults({"ad_spend": spend}, Parameters(unit="it", quarter="2026Q3"))
    ['ad_spend: amounts in XYZ, but fx_rates has no rate of XYZ for 2026Q3. Add it, or correct the currency']
    """
    first_day, last_day = parameters.quarter_bounds(stated.quarter)
    rates = frames.get("fx_rates")
    rated = set() if rates is None else set(rates.loc[rates["quarter"] == stated.quarter, "currency"])
    rated |= {stated.group_currency}
    said = []
    for name in ("orders", "returns", "ledger"):
        foreign = sorted(set(frames[name]["currency"].dropna()) - {stated.currency}) if name in frames else []
        if foreign:
            said.append(
                f"{name}: amounts in {', '.join(foreign)}, but the unit keeps its books in {stated.currency}. "
                "Convert them, or correct the parameter 'currency'"
            )
    for name, column in (("ad_spend", "date"), ("platform_claims", "conversion_time"), ("invoices", "date")):
        if name not in frames:
            continue
        days = frames[name][column]
        now = frames[name][(days >= first_day) & (days < last_day + pd.Timedelta(days=1))]
        foreign = set(now["currency"].dropna()) - {stated.currency}
        unrated = sorted((foreign | {stated.currency} if foreign else set()) - rated)
        if unrated:
            said.append(
                f"{name}: amounts in {', '.join(sorted(foreign))}, but fx_rates has no rate of {', '.join(unrated)} "
                f"for {stated.quarter}. Add it, or correct the currency"
            )
    return said


def write_merged_parameters(case: Case, stated: Parameters, file: Path) -> None:
    """Write a unit's merged parameters as YAML that ``papermill -f`` takes, with absolute folders."""
    content = {
        "case": case.name,
        **stated.model_dump(),
        "data_dir": str(case.folder),
        "catalogue": str(parameters.catalogue_path(stated.catalogue, case.name, str(case.folder))),
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_atomically(Path(file), f"# {case.name}, {stated.unit}: merged by kpitoolkit check --write-merged\n{text}")
