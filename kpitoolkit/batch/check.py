"""Checks before anything runs: the names on the command line, and whether a unit's data may be worked with.

What reads tables is imported when a unit is checked: a run in which nothing changed checks none.
"""

from collections.abc import Iterable
from pathlib import Path

import yaml

from kpitoolkit import parameters
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


def check_unit(case: Case, stated: Parameters, outputs: Path | None = None) -> list[str]:
    """Return the faults of a unit, as ``examine`` finds them."""
    from kpitoolkit.batch.examine import examine

    return examine(case, stated, outputs)[0]


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
