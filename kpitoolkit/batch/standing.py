"""What stands: a case's inputs, definitions and outputs as they are now, beside what the run and what a signature say.

A signature is on one unit's statement: the hashes of its data's files, its parameters, the hash of its catalogue, and
the hashes of all that its notebooks published. Of a notebook that ran, what a reader sees is hashed (text, code and
results, not when and how long it ran); of a page, all but its own line on the sign-off.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kpitoolkit import parameters, sources
from kpitoolkit.batch import record
from kpitoolkit.batch.publish import refuse_outside
from kpitoolkit.batch.record import GOOD, Entry, file_digest
from kpitoolkit.batch.register import Figure, Statement
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import ToolkitError
from kpitoolkit.parameters import Case, Parameters
from kpitoolkit.text import is_missing

if TYPE_CHECKING:
    import pandas as pd

RUN = "run.json"
PUBLISHED = (".html", ".ipynb", ".parquet", ".csv")


@dataclass(frozen=True, eq=False)
class Run:
    """A ``run.json``: its own facts, and an entry for each notebook, by place."""

    home: Path
    facts: dict
    entries: dict[str, Entry]

    @property
    def units(self) -> tuple[str, ...]:
        """The units, then the group."""
        return tuple(self.facts["units"])

    def of(self, unit: str) -> list[Entry]:
        """What became of a unit's notebooks."""
        return [entry for entry in self.entries.values() if entry.unit == unit]


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was: ``kind`` is ``input``, ``parameter``, ``catalogue`` or ``output``."""

    kind: str
    name: str
    before: object = ""
    after: object = ""


def find_outputs(said: str | Path) -> Path:
    """Return a case's folder of outputs, stated as a path or as a name below ``outputs/``.

    Raises
    ------
    ToolkitError
        Where there is no such folder, or no run was ever completed in it.
    """
    for home in (Path(said), parameters.outputs_root() / said):
        if (home / RUN).is_file():
            return home.resolve()
    raise ToolkitError(f"{said}: there is no {RUN} in it. Name the folder that a run wrote, such as outputs/2026Q3")


def read_run(home: Path) -> Run:
    """Read a case's ``run.json``.

    Raises
    ------
    ToolkitError
        Where it is missing, damaged, of a run that was broken off, or names files outside the case's outputs.
    """
    path = home / RUN
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        entries = {place: Entry(**said) for place, said in facts["notebooks"].items()}
        whole = facts["complete"] is True
        known = not whole or (
            all(
                isinstance(fact["parameters"], dict) and fact["catalogue"] is not None
                for fact in facts["units"].values()
            )
            and all(len(page) == 3 for page in facts["pages"])
            and bool(facts["index_file"]["language"])
        )
    except FileNotFoundError as error:
        raise ToolkitError(f"{path}: there is none. Run the case first") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolkitError(f"{path}: is damaged, or of an earlier version. Run the case again") from error
    if not whole or not known:
        raise ToolkitError(f"{path}: the last run did not come to its end. Run the case again")
    refuse_outside(home, {*facts["units"], *(name for entry in entries.values() for name in entry.outputs)})
    return Run(home, facts, entries)


def case_folder(run: Run, stated: str | Path | None = None) -> Path:
    """Return the case's folder of parameters: as stated, as the run noted it, or by the case's name.

    Raises
    ------
    ToolkitError
        Where it is nowhere.
    """
    name = str(run.facts["case"])
    places = [Path(stated)] if stated else []
    if not stated:
        places = [run.home / str(run.facts.get("folder", "")), parameters.project_root() / "parameters" / name]
    for folder in places:
        if (folder / "_defaults.yml").is_file():
            return folder.resolve()
    raise ToolkitError(f"the case's parameters are not in {places[0]}. Name their folder: --parameters FOLDER")


def relative_folder(folder: Path, home: Path) -> str:
    """Return the way from the outputs to the case's folder, so that both can be moved together."""
    try:
        return Path(os.path.relpath(folder, home)).as_posix()
    except ValueError:  # another drive
        return str(folder)


def data_of(case: Case, stated: Parameters, seen: dict[Path, str]) -> dict[str, dict[str, str]]:
    """Return the file and the hash of each declared table, each file read once for all units; or its connection."""
    folder, declared = sources.sources(parameters.workspace_of(case, stated))
    found = {}
    for table, source in sorted(declared.items(), key=lambda named: (bool(named[1].connection), named[0])):
        if source.connection:
            found[table] = {"connection": source.connection, "table": source.table, "sha256": ""}
            continue
        path = folder / source.file
        if path not in seen:
            seen[path] = file_digest(path)
        found[table] = {"file": path.name, "sha256": seen[path]}
    return found


def facts_of(case: Case, stated: Parameters, data: Mapping) -> dict:
    """Return what ``run.json`` says of a unit: its parameters, its data's hashes, its catalogue's hash."""
    catalogue = parameters.catalogue_path(stated.catalogue, case.name, str(case.folder))
    return {"parameters": stated.model_dump(), "data": data, "catalogue": file_digest(catalogue)}


def facts_now(case: Case) -> dict[str, dict]:
    """Return what ``run.json`` would say of each unit today; every file is read."""
    seen: dict[Path, str] = {}
    both = {**case.units, GROUP_UNIT: case.group}
    found = {unit: facts_of(case, stated, data_of(case, stated, seen)) for unit, stated in both.items()}
    return json.loads(json.dumps(found, default=str))


def content_digest(path: Path) -> str:
    """Return the hash of what a reader finds in an output; empty where there is none.

    The cell of parameters that papermill adds is left out: it says in which folders the notebook worked, and its values
    are signed as parameters. Of a page, when and how it was made is left out.
    """
    if path.suffix == ".html":
        return _page_digest(path)
    if path.suffix != ".ipynb":
        return file_digest(path)
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return record.digest(
            [
                [cell["cell_type"], "".join(cell["source"]), [_shown(output) for output in cell.get("outputs", [])]]
                for cell in cells
                if "injected-parameters" not in cell.get("metadata", {}).get("tags", [])
            ]
        )
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return file_digest(path)


def _page_digest(page: Path) -> str:
    """Return the hash of a page without its sign-off and without how it was made."""
    try:
        begun, _sign_off, ended = record.parted(page.read_bytes())
    except OSError:
        return ""
    return hashlib.sha256(begun + record.without_making(ended)).hexdigest()


def _shown(output: Mapping) -> dict:
    return {name: value for name, value in output.items() if name not in ("execution_count", "metadata")}


def statement(run: Run, unit: str, facts: Mapping | None = None) -> Statement:
    """Return what a signature on a unit would say now.

    Parameters
    ----------
    run : Run
    unit : str
    facts : mapping, optional
        Of the unit, as ``facts_now`` gives them; by default those of the run.
    """
    facts = run.facts["units"][unit] if facts is None else facts
    stated = json.loads(json.dumps(facts["parameters"], default=str))
    names = sorted({name for entry in run.of(unit) for name in entry.outputs})
    return Statement(
        inputs={
            table: found["sha256"] or f"connection {found.get('connection', '')}: not hashed"
            for table, found in facts["data"].items()
        },
        parameters=stated,
        catalogue=facts["catalogue"],
        outputs={name: content_digest(run.home / name) for name in names},
        figures=figures(run, unit),
        not_examined=not_examined(checks(run, unit)),
    )


def changes(signed: Statement, now: Statement) -> list[Change]:
    """Return what is not as it was signed: data, parameters, catalogue, outputs, each by name."""
    found = _changed("input", signed.inputs, now.inputs) + parameter_changes(signed.parameters, now.parameters)
    if signed.catalogue != now.catalogue:
        found.append(Change("catalogue", "catalogue", signed.catalogue, now.catalogue))
    return found + _changed("output", signed.outputs, now.outputs)


def parameter_changes(before: Mapping, after: Mapping) -> list[Change]:
    """Return the parameters that are others, an entry of a mapping by its own name.

    What the toolkit has since learnt (a parameter, a line of the accounts) is no change where it stands at its default.

    Examples
    --------
    >>> was = {"accounts": {**parameters.ACCOUNTS, "media": ["61"]}, "approvers": {"cfo": ["Anna"]}}
    >>> new = {"accounts": {**parameters.ACCOUNTS, "media": ["62"]}, "approvers": {"cfo": []}, "allowed_signers": ""}
    >>> [(change.name, change.before, change.after) for change in parameter_changes(was, new)]
    [('accounts.media', ['61'], ['62']), ('approvers.cfo', ['Anna'], [])]
    """
    fields = {name: field for name, field in Parameters.model_fields.items() if not field.is_required()}
    learnt = {name: fields[name].get_default(call_default_factory=True) for name in {*fields} & {*after} - {*before}}
    before = {**json.loads(json.dumps(learnt, default=str)), **before}
    if isinstance(before.get("accounts"), Mapping) and isinstance(after.get("accounts"), Mapping):
        lines = {line: accounts for line, accounts in parameters.ACCOUNTS.items() if line in after["accounts"]}
        before["accounts"] = {**lines, **before["accounts"]}
    found = []
    for change in _changed("parameter", before, after):
        if isinstance(change.before, Mapping) and isinstance(change.after, Mapping):
            within = _changed("parameter", change.before, change.after)
            found += [Change("parameter", f"{change.name}.{one.name}", one.before, one.after) for one in within]
        else:
            found.append(change)
    return found


def _changed(kind: str, before: Mapping, after: Mapping) -> list[Change]:
    names = sorted({*before, *after})
    pairs = [(name, before.get(name, ""), after.get(name, "")) for name in names]
    return [Change(kind, name, was, now) for name, was, now in pairs if was != now]


def saved(run: Run, unit: str, name: str) -> "pd.DataFrame | None":
    """Read a table that a unit's notebooks published; None where there is none, or where it cannot be read."""
    place = f"{unit}/tables/{name}.parquet"
    if not any(place in entry.outputs for entry in run.of(unit)):
        return None
    import pandas as pd  # half a second that a run in which nothing changed does not need

    try:
        return pd.read_parquet(run.home / place)
    except Exception:  # whatever a damaged file makes its reader say; that it differs is said by its hash
        return None


def saved_names(run: Run, unit: str) -> list[str]:
    """Return the names of all tables that a unit's notebooks published."""
    names = {name for entry in run.of(unit) for name in entry.outputs if name.startswith(f"{unit}/tables/")}
    return sorted(Path(name).stem for name in names if name.endswith(".parquet"))


def checks(run: Run, unit: str) -> "pd.DataFrame":
    """Return all checks that a unit's notebooks saved: ``table, subject, check, value_cents, threshold_cents, passed``.

    ``passed`` is worked out again from the value and its threshold. ``value_unit`` is ``money``, unless the check says
    that it counts.
    """
    import pandas as pd

    columns = ["table", "subject", "check", "value_cents", "threshold_cents", "passed"]
    frames = []
    for name in saved_names(run, unit):
        frame = saved(run, unit, name) if name.endswith("_checks") else None
        if frame is None or not set(columns[2:]) <= set(frame):
            continue
        again = (frame["value_cents"].astype("Int64").abs() <= frame["threshold_cents"].astype("Int64")).astype(
            "boolean"
        )
        stated = frame["passed"].astype("boolean")
        whole = frame.assign(table=name, passed=again & stated, subject=frame.get("subject", ""))
        frames.append(whole[columns].assign(value_unit=frame.get("value_unit", "money")))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def not_examined(tested: "pd.DataFrame") -> list[str]:
    """Return what was not tested for want of data: a subject of which no check was made, else the single checks.

    Examples
    --------
    >>> import pandas as pd
    >>> not_examined(pd.DataFrame({"subject": ["claims", "claims", "spend"], "check": ["a", "b", "c"],
    ...                            "passed": [True, None, None]}))
    ['b', 'spend']
    """
    left = tested[tested["passed"].isna()]
    made = set(tested.loc[tested["passed"].notna(), "subject"])
    return sorted(
        {
            check if subject in made else str(subject or check)
            for subject, check in zip(left["subject"], left["check"], strict=True)
        }
    )


def figures(run: Run, unit: str, column: str = "actual") -> dict[str, Figure]:
    """Return a unit's KPIs as its page states them, by ``kpi/basis``; of the quarter, or of another column."""
    table = saved(run, unit, "group_kpis" if unit == GROUP_UNIT else "reconciliation_kpis")
    if table is None or not {"kpi", "basis", column, "value_unit"} <= set(table):
        return {}
    stated = run.facts["units"][unit]["parameters"]
    currency = str(stated.get("group_currency" if unit == GROUP_UNIT else "currency", ""))
    return {
        f"{row.kpi}/{row.basis}": Figure(
            value=None if is_missing(row.value) else float(row.value), value_unit=str(row.value_unit), currency=currency
        )
        for row in table.rename(columns={"value": "_", column: "value"}).itertuples(index=False)
    }


def kpi_names(run: Run, unit: str, language: str) -> dict[str, str]:
    """Return what readers call a unit's KPIs, as its own scorecard says."""
    table = saved(run, unit, "group_kpis" if unit == GROUP_UNIT else "reconciliation_kpis")
    if table is None or not {"kpi", f"name_{language}"} <= set(table):
        return {}
    return {str(kpi): str(name) for kpi, name in zip(table["kpi"], table[f"name_{language}"], strict=True) if name}


def restated(before: Mapping[str, Figure], after: Mapping[str, Figure]) -> list[tuple[str, Figure, Figure | None]]:
    """Return the KPIs whose figure is not the one that was signed, each with both."""
    moved = []
    for name, was in before.items():
        now = after.get(name)
        same = now is not None and (now.value_unit, now.currency) == (was.value_unit, was.currency)
        if same and was.value is not None and now.value is not None:
            same = math.isclose(was.value, now.value, rel_tol=1e-9, abs_tol=1e-12)
        elif same:
            same = was.value is now.value
        if not same:
            moved.append((name, was, now))
    return moved


def from_run(run: Run, units: Iterable[str]) -> list[tuple[str, str]]:
    """Say which published files are not those that the run wrote: ``(unit, sentence)``."""
    said = []
    for unit in units:
        known: set[str] = set()
        for entry in run.of(unit):
            known |= set(entry.outputs)
            for name, found in sorted(entry.outputs.items()):
                now = file_digest(run.home / name)
                if now != found:
                    said.append((unit, f"{name}: {'is not what the run wrote' if now else 'is missing'}"))
        for path in sorted((run.home / unit).rglob("*")):
            name = path.relative_to(run.home).as_posix()
            if path.suffix in PUBLISHED and path.is_file() and name not in known:
                said.append((unit, f"{name}: was not written by a run. Remove it"))
    return list(dict.fromkeys(said))


def from_inputs(run: Run, now: Mapping[str, Mapping], units: Iterable[str]) -> list[tuple[str, str]]:
    """Say what of the data, parameters and catalogue is not what the run read, and which notebooks are older."""
    said = []
    for unit in units:
        if unit not in now:
            said.append((unit, "the case has no such unit any more"))
            continue
        facts = run.facts["units"][unit]
        for table, was, is_now in ((c.name, c.before, c.after) for c in _changed("", facts["data"], now[unit]["data"])):
            file = (is_now or was).get("file", table)
            gone = not (is_now and (is_now["sha256"] or "connection" in is_now))
            said.append((unit, f"{table} ({file}): {'is not there any more' if gone else 'changed since the run'}"))
        for change in parameter_changes(facts["parameters"], now[unit]["parameters"]):
            said.append((unit, f"parameter {change.name}: {told(change.before)} in the run, {told(change.after)} now"))
        if facts["catalogue"] != now[unit]["catalogue"]:
            said.append((unit, "the catalogue of KPIs changed since the run"))
        said += [(unit, sentence) for sentence in _older(run, unit)]
    return said


def _older(run: Run, unit: str) -> list[str]:
    """Name the notebooks made from other inputs than the run's own.

    Left out is what also follows from elsewhere: data in a connection, tables of last quarter's case.
    """
    facts = run.facts["units"][unit]
    if any("connection" in found for found in facts["data"].values()):
        return []
    content = {table: found["sha256"] for table, found in facts["data"].items()}
    said = []
    for entry in run.of(unit):
        if entry.outputs and entry.status in GOOD and not entry.parameters.get("previous_case"):
            values = {name: facts["parameters"].get(name, value) for name, value in entry.parameters.items()}
            if record.inputs_digest(values, facts["catalogue"], content) != entry.inputs:
                said.append(f"{entry.place}: was made from other data or definitions than the run's. Run it again")
    return said


def told(value: object) -> str:
    """Write a parameter's value in a message.

    Examples
    --------
    >>> told({"cfo": ["Anna Bianchi"]}), told("")
    ('{"cfo": ["Anna Bianchi"]}', 'nothing')
    """
    if value == "":
        return "nothing"
    words = json.dumps(value, ensure_ascii=False, default=str)
    return words if len(words) <= 80 else words[:77] + "..."
