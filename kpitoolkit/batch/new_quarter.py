"""The next quarter's case from the last: its folder of parameters, with dates moved and what is to be filled marked.

Parameter files are edited where a value stands and nowhere else: comments, order and spelling stay as they are. Data
are not copied. A table of targets in a CSV file is: with a row for each target of last quarter whose value is empty, so
that the new case is refused until somebody has filled it.
"""

import codecs
import csv
import io
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from kpitoolkit import parameters, tables
from kpitoolkit.batch.check import find_case
from kpitoolkit.batch.reasons import listed
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import Faults, ToolkitError
from kpitoolkit.parameters import Case, Parameters
from kpitoolkit.sources import Source

AMOUNTS = ("budget_total", "budget_bounds", "budget_scenarios")
"""Parameters that state amounts for a quarter's plan."""
_ORDINALS = ("first", "second", "third", "fourth")
_MONTH = re.compile(r"(19|20)\d{2}[-_]?(0[1-9]|1[0-2])(?!\d)")


@dataclass(frozen=True, eq=False)
class NewCase:
    """What became of it: the new folder, what was changed, and what is left to a person."""

    folder: Path
    last: str
    changed: list[str] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)


def new_quarter(
    said: str | Path, quarter: str, folder: Path | None = None, force: bool = False, outputs: Path | None = None
) -> NewCase:
    """Write the next case's folder beside the last one's.

    Parameters
    ----------
    said : str or Path
        The last case's folder or name.
    quarter : str
        Such as ``2026Q4``.
    folder : Path, optional
        The new one; by default the last one's name with the new quarter.
    force : bool
        Even where the quarter does not follow on the last case's.
    outputs : Path, optional
        Root of published results.

    Raises
    ------
    ToolkitError
        Where the case is unknown or faulty, the quarter is none or not the next, the folder is there or elsewhere.
    """
    last = parameters.read_case(find_case(str(said)))
    target = _target(last, quarter, folder, force)
    made = NewCase(target, last.name)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        targets = _targets(last, quarter, beside, made)
        for path in sorted(p for p in last.folder.iterdir() if p.suffix in (".yml", ".yaml") and p.is_file()):
            if path.name.startswith("_") and path.name != "_defaults.yml":
                shutil.copy2(path, beside / path.name)
                continue
            text = _moved(path, last, quarter, targets, made)
            (beside / path.name).write_bytes(text.encode("utf-8"))
        _copied(last, beside, made)
        case = parameters.read_case(beside)
        os.rename(beside, target)
    except Faults as error:
        raise Faults(
            str(target), [f"would not be right, and was not written: {fault}" for fault in error.faults]
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    case = Case(target.name, target, case.units, case.group)
    _left_to_do(case, last, quarter, outputs or parameters.outputs_root(), made)
    return made


def _target(last: Case, quarter: str, folder: Path | None, force: bool) -> Path:
    now = last.group.quarter
    following = parameters.shift_quarter(now, 1)
    if not re.fullmatch(r"(19|20)\d{2}Q[1-4]", quarter):
        raise ToolkitError(f"'{quarter}' is not a quarter such as {following}")
    if quarter == now or (quarter != following and not force):
        more = "" if quarter == now else ", or add --force"
        raise ToolkitError(f"{quarter} does not follow on {now}, the quarter of {last.name}. State {following}{more}")
    if folder is None:
        folder = last.folder.with_name(
            last.name.replace(now, quarter) if now in last.name else f"{last.name}-{quarter}"
        )
    folder = Path(os.path.abspath(folder))
    if folder.parent.resolve() != last.folder.parent:
        raise ToolkitError(
            f"--folder: {folder} is not beside {last.folder}. Paths of data and definitions are relative to the "
            f"case's folder: name one in {last.folder.parent}"
        )
    if os.path.lexists(folder):
        raise ToolkitError(f"{folder} is there already, and was left as it is. Remove it, or state another --folder")
    if not folder.name.strip(".") or folder.name.startswith((".", "_")):
        raise ToolkitError(f"--folder: '{folder.name}' cannot name a case. Begin it with a letter or digit")
    return folder


def spelt(quarter: str, name: str) -> str:
    """Return the quarter's spelling that a file's name holds, or an empty string.

    Examples
    --------
    >>> [spelt("2026Q3", name) for name in ("orders_2026q3.csv", "2026-Q3/orders.csv", "Q3_2026.csv", "2026Q31.csv")]
    ['2026q3', '2026-Q3', 'Q3_2026', '']
    """
    year, number = quarter.split("Q")
    found = re.search(rf"(?i)(?<!\d){year}[-_ ]?q{number}(?!\d)|(?<![a-z0-9])q{number}[-_ ]?{year}(?!\d)", name)
    return found.group() if found else ""


def renamed(name: str, last: str, quarter: str) -> str:
    """Return a file's name with its quarter moved, spelt as it was.

    Examples
    --------
    >>> renamed("../export/2026-q3/orders_Q3-2026.csv", "2026Q3", "2027Q1")
    '../export/2027-q1/orders_Q1-2027.csv'
    """
    (year, number), (new_year, new_number) = last.split("Q"), quarter.split("Q")
    while old := spelt(last, name):
        at = name.index(old)
        new = re.sub(rf"(?i)(q){number}", rf"\g<1>{new_number}", old.replace(year, new_year))
        name = name[:at] + new + name[at + len(old) :]
    return name


def _moved(path: Path, last: Case, quarter: str, targets: dict[str, str], made: NewCase) -> str:
    """Return a parameter file's text for the new quarter; note what was changed in it and what to look at."""
    text = path.read_bytes().decode("utf-8-sig")
    root, now, defaults = yaml.compose(text, Loader=yaml.SafeLoader), last.group.quarter, path.name == "_defaults.yml"
    edits: list[tuple[int, int, str]] = []
    stated = {key.value: (key, value) for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}

    def put(node: yaml.Node, new: str, what: str) -> None:
        start, end = node.start_mark.index, node.end_mark.index
        quote = text[start] if text[start] in "'\"" else ""
        written = f"{quote}{new}{quote}" if quote and quote not in new and "\\" not in new else _scalar(new)
        edits.append((start, end, written))
        made.changed.append(f"{path.name}: {what} {node.value} -> {new}")

    if "quarter" in stated:
        node = stated["quarter"][1]
        if node.value == now:
            put(node, quarter, "quarter")
        else:
            made.to_do.append(
                f"{path.name}: states a quarter of its own, {node.value}: it was left. Move it or remove it"
            )
    if "previous_case" in stated and stated["previous_case"][1].value:
        put(stated["previous_case"][1], last.name, "previous_case")
    elif defaults and "previous_case" not in stated:
        at = text.find("\n", stated["quarter"][1].end_mark.index) if "quarter" in stated else -1
        line = f"previous_case: {_scalar(last.name)} # whose results and promises this quarter's are compared with"
        edits.append((at, at, f"\n{line}") if at >= 0 else (len(text), len(text), f"\n{line}\n"))
        made.changed.append(f"{path.name}: previous_case {last.name}: the refresh and last quarter's promises")
    for name in AMOUNTS:
        if name in stated and stated[name][1].value not in ("fixed", "free", []):
            at = stated[name][0].start_mark.index
            edits.append((at, at, f"# TO CHECK for {quarter}: amounts of the plan made in {now}\n"))
            made.to_do.append(f"{path.name}: {name} states amounts of the plan made in {now}: state those of {quarter}")
    for table, node in _files(stated.get("data", (None, None))[1]):
        if table == "targets" and node.value in targets:
            put(node, targets[node.value], "data: targets:")
        elif spelt(now, node.value):
            put(node, renamed(node.value, now, quarter), f"data: {table}:")
    if "reclassification" in stated:
        made.to_do.append(
            f"{path.name}: reclassification bridges two filings: leave it out where {last.name} has told it"
        )
    ends = [(unit, node) for unit, node in _ends_of_perimeter(stated) if node.value < quarter]
    made.to_do.extend(
        f"{path.name}: perimeter: {unit} left the group with {node.value}: its file is wanted as long as pages show it"
        for unit, node in ends
    )
    made.to_do.extend(
        f"{path.name}, line {number}: a comment speaks of {now}: '{line.partition('#')[2].strip()[:80]}'"
        for number, line in enumerate(text.splitlines(), 1)
        if "#" in line and _speaks_of(line.partition("#")[2], now)
    )
    for start, end, new in sorted(edits, key=lambda edit: edit[0], reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _speaks_of(comment: str, quarter: str) -> bool:
    year, number = quarter.split("Q")
    words = rf"(?i)\b{_ORDINALS[int(number) - 1]} quarter( of)? {year}\b"
    return bool(spelt(quarter, comment) or re.search(words, comment))


def _files(data: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    """Return the table and the node of each file that a ``data`` block names."""
    if not isinstance(data, yaml.MappingNode):
        return []
    return [
        (table.value, option)
        for table, entry in data.value
        if isinstance(entry, yaml.MappingNode)
        for name, option in entry.value
        if name.value == "file"
    ]


def _ends_of_perimeter(stated: dict) -> list[tuple[str, yaml.Node]]:
    perimeter = stated.get("perimeter", (None, None))[1]
    pairs = perimeter.value if isinstance(perimeter, yaml.MappingNode) else []
    return [(unit.value, ends.value[-1]) for unit, ends in pairs if re.fullmatch(r"\d{4}Q[1-4]", ends.value[-1].value)]


def _scalar(value: str) -> str:
    """Write a text as YAML, with quotes where it would be read as something else.

    Examples
    --------
    >>> _scalar("sample-2026Q3"), _scalar("2026")
    ('sample-2026Q3', "'2026'")
    """
    return yaml.safe_dump(value, allow_unicode=True, width=10**6).removesuffix("\n...\n").strip()


def _sources(stated: Parameters) -> dict[str, Source]:
    return tables.parse_sources(stated.data) if isinstance(stated.data, dict) else {}


def _targets(last: Case, quarter: str, beside: Path, made: NewCase) -> dict[str, str]:
    """Write tables of targets with rows to fill; return the new name of each file, by the one that is stated."""
    found: dict[str, str] = {}
    for stated in (last.group, *last.units.values()):
        source = _sources(stated).get("targets")
        if source is None or source.file in found:
            continue
        name = renamed(source.file, last.group.quarter, quarter)
        if name != source.file and (last.folder / name).is_file():
            continue  # the new quarter's own file is there: its name is moved as any other
        new = Path(name).name
        taken = (beside / new).exists() or Path(new).suffix.casefold() not in (".csv", ".txt", ".tsv")
        try:
            text, count = ("", -1) if taken else _with_rows_to_fill(last.folder / source.file, source, last, quarter)
        except (OSError, UnicodeDecodeError, csv.Error, StopIteration):
            count = -1
        if count < 0:
            made.to_do.append(
                f"targets ({source.file}): put those of {quarter} there; what is missing counts as not stated"
            )
            continue
        (beside / new).write_text(text, encoding=_encoding(last.folder / source.file, source), newline="")
        found[source.file] = new
        if count:
            made.to_do.append(
                f"{new}: {count} targets of {quarter} to fill: state their values, or remove the rows. Until then the "
                "case is refused"
            )
        else:
            made.changed.append(
                f"{new}: copied; it states targets of {quarter} already, or none of {last.group.quarter}"
            )
    return found


def _with_rows_to_fill(path: Path, source: Source, last: Case, quarter: str) -> tuple[str, int]:
    """Return a table of targets with an empty one for each of last quarter's, and how many were added."""
    with open(path, encoding=_encoding(path, source), newline="") as file:
        text = file.read()
    rows = list(csv.reader(io.StringIO(text), delimiter=source.separator))
    heading = [name.strip() for name in rows[0]] if rows else []
    wanted = [source.columns.get(name, name) for name in ("unit", "quarter", "kpi", "version", "value")]
    if not set(wanted) <= set(heading):
        return "", -1
    unit, when, kpi, version, value = (heading.index(name) for name in wanted)
    whole = [row for row in rows[1:] if len(row) == len(heading)]
    there = {(row[unit], row[kpi]) for row in whole if row[when].strip() == quarter}
    added: dict[tuple[str, str], list[str]] = {}
    for row in whole:
        if row[when].strip() == last.group.quarter and (row[unit], row[kpi]) not in there:
            new = list(row)
            new[when], new[version], new[value] = quarter, "1", ""
            added[row[unit], row[kpi]] = new
    out = io.StringIO()
    end = "\r\n" if "\r\n" in text else "\n"
    csv.writer(out, delimiter=source.separator, lineterminator=end).writerows(added.values())
    return text + ("" if text.endswith("\n") else end) + out.getvalue(), len(added)


def _encoding(path: Path, source: Source) -> str:
    """Return a file's encoding; a mark of UTF-8 is written again only where there was one."""
    marked = path.read_bytes()[:3] == codecs.BOM_UTF8
    return "utf-8" if source.encoding.casefold() == "utf-8-sig" and not marked else source.encoding


def _copied(last: Case, beside: Path, made: NewCase) -> None:
    """Copy definitions that stand in the case's own folder: catalogue of KPIs, allowed signers."""
    for stated in (last.group, *last.units.values()):
        for name in (stated.catalogue, stated.allowed_signers):
            source = (last.folder / name).resolve() if name else last.folder
            if source.is_file() and source.is_relative_to(last.folder):
                place = beside / source.relative_to(last.folder)
                if not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source, place)
                    made.changed.append(f"{name}: copied")


def _left_to_do(case: Case, last: Case, quarter: str, outputs: Path, made: NewCase) -> None:
    """Say which data are to be put where, and what else the new quarter wants."""
    missing, shared, months, connected, built_in = {}, set(), set(), {}, set()
    for stated in (case.group, *case.units.values()):
        if isinstance(stated.data, str):
            built_in.add(stated.data)
        for table, source in _sources(stated).items():
            if source.connection:
                connected.setdefault(source.connection, []).append(table)
            elif not (case.folder / source.file).is_file():
                missing.setdefault(source.file, table)
            elif table != "targets":
                shared.add(source.file)
            if source.file and _MONTH.search(source.file):
                months.add(source.file)
    made.to_do.extend(
        f"{file}: put {table} of {quarter} there ({case.folder / file})" for file, table in missing.items()
    )
    made.to_do.extend(
        f"{file}: names a month: state the new quarter's, where it is not the same file" for file in sorted(months)
    )
    if shared:
        made.to_do.append(f"{listed(sorted(shared))}: see that they reach over {quarter}")
    made.to_do.extend(
        f"connection {name}: see that {listed(list(dict.fromkeys(names)))} reach over {quarter}"
        for name, names in sorted(connected.items())
    )
    made.to_do.extend(f"data: {name}: {_reach(case, quarter)}" for name in sorted(built_in))
    if not (outputs / last.name / "run.json").is_file():
        made.to_do.append(f"{last.name} has no results in {outputs}: run it first, or there is nothing to compare with")


def _reach(case: Case, quarter: str) -> str:
    """Say how far built-in data reach."""
    workspace = parameters.workspace_of(case, case.group)
    declared = tables.declared(workspace)
    name = next((table for table in ("financials", "fx_rates") if table in declared), None)
    until = max(tables.read(workspace, [name])[name]["quarter"]) if name and case.group.unit == GROUP_UNIT else ""
    if until and until < quarter:
        return f"these built-in data end with {until}: name files or a connection that hold {quarter}"
    return f"see that these built-in data hold {quarter}"
