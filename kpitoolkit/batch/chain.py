"""One unit's notebooks, one after another: which are up to date, which are made, and where each one's results go.

A notebook works in a folder of the run's own; its tables and pages are moved to their place only when all of it has
succeeded. Later notebooks read a shelf of results that belong to this run's parameters and data, never what a different
run left behind. A chain needs nothing but what it is told, so it may run in another process or on another machine that
sees the same folders; made twice, it comes out the same.
"""

import contextlib
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from kpitoolkit import parameters, sources
from kpitoolkit.batch import guards, record
from kpitoolkit.batch.check import check_unit
from kpitoolkit.batch.execute import execute, load
from kpitoolkit.batch.plan import Notebook
from kpitoolkit.batch.publish import inside, move, publish, refuse_outside
from kpitoolkit.batch.reasons import CONNECTION, by_notebook, listed, shortened, why
from kpitoolkit.batch.record import GOOD, Entry
from kpitoolkit.batch.redact import Redactor
from kpitoolkit.batch.site import refuse_undrawn, render_failure, render_page
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import Faults, ToolkitError
from kpitoolkit.parameters import Case, Parameters

_BAD = ("failed", "refused")
_ALONE = threading.Lock()
"""Kernels run side by side; what this process does itself, reading tables and rendering pages, it does one at a time:
libraries load parts of themselves at first use, which two threads may not do at once."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One run: what was asked for, where it works, and what stood before it began.

    Attributes
    ----------
    before : dict of Entry
        By place: what earlier runs left.
    done : dict of Entry
        By place: what an attempt of this same run has published that was cut off, as by a worker's death.
    data : dict
        By unit: the tables that its data declare, with their hashes.
    once : str
        Stands for what cannot be known to be the same: a connection's content.
    time_limit : float
        Seconds that a notebook may run.
    retries : int
        Further attempts at a notebook whose kernel failed, not its cells.
    kernels : {"warm", "cold"}
        Forked from a server that has the libraries, where that is possible; or started anew.
    """

    case: Case
    home: Path
    work: Path
    notebooks: dict[str, Notebook]
    wanted_units: tuple[str, ...]
    wanted_notebooks: tuple[str, ...]
    language: str | None
    force: bool
    before: dict[str, Entry] = field(default_factory=dict)
    done: dict[str, Entry] = field(default_factory=dict)
    data: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    once: str = field(default_factory=lambda: uuid.uuid4().hex)
    time_limit: float = 3600.0
    retries: int = 1
    kernels: str = "warm"

    def stated(self, unit: str) -> Parameters:
        """The parameters of a unit or of the group."""
        return self.case.group if unit == GROUP_UNIT else self.case.units[unit]

    def chain(self, unit: str) -> list[Notebook]:
        """The notebooks of a unit, in their order."""
        scope = "group" if unit == GROUP_UNIT else "unit"
        return [notebook for notebook in self.notebooks.values() if notebook.scope == scope]

    def wants(self, unit: str, notebook: Notebook) -> bool:
        """Tell whether a notebook of a unit was asked for."""
        return unit in self.wanted_units and notebook.name in self.wanted_notebooks

    def imported(self) -> set[str]:
        """The modules that the notebooks import which were asked for."""
        return {name for wanted in self.wanted_notebooks for name in self.notebooks[wanted].imports}

    def shelf(self, unit: str) -> Path:
        """Where the results of this run's inputs are read: a unit's own, or those of all units for the group."""
        return self.work / "results" if unit == GROUP_UNIT else self.work / "results" / unit


def run_unit(
    batch: Batch,
    unit: str,
    earlier: Sequence[Entry] = (),
    left_out: Sequence[str] = (),
    report: Callable[[Entry], None] = lambda entry: None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[list[Entry], list[str]]:
    """Run a unit's notebooks one after another; one that fails does not stop the next.

    Parameters
    ----------
    batch : Batch
    unit : str
        Or the group, whose chain comes last.
    earlier, left_out : sequence of Entry, sequence of str
        What became of the units' notebooks, and which results they do not have, for the group.
    report : callable
        Is told of each notebook as soon as it is finished with, and of one that begins, as ``running``.
    stopped : callable
        Asked before each notebook whether the run has been given up.

    Returns
    -------
    list of Entry, list of str
        Of the notebooks that were asked for; results that this run has to do without, such as ``north/regression``.
    """
    declared = sources.declared(parameters.workspace_of(batch.case, batch.stated(unit)))
    faults: list[str] | None = None
    found: list[Entry] = []
    left_out = list(left_out)

    def finish(entry: Entry) -> None:
        found.append(entry)
        report(entry)

    for notebook in batch.chain(unit):
        if stopped():
            break
        wanted = batch.wants(unit, notebook)
        shelf = batch.shelf(unit)
        job = job_of(batch, unit, notebook, record.files_digest(shelf, shelf.rglob("*.parquet")))
        if not notebook.made(declared):
            if wanted:
                finish(replace(job, status="not_made", message=f"no {notebook.missing(declared)} declared"))
            continue
        if not wanted:
            left_out += _shelve_earlier(batch, job)
            continue
        done = batch.done.get(job.place)
        if done and not why(batch.home, done, job):
            shelve(batch, done)
            finish(done)
            continue
        before = batch.before.get(job.place)
        because = why(batch.home, before, job, batch.force)
        if not because:
            shelve(batch, before)
            finish(replace(before, status="unchanged"))
            continue
        if faults is None:
            with _ALONE:
                load(batch.imported(), batch.kernels)
                faults = [] if unit == GROUP_UNIT else check_unit(batch.case, batch.stated(unit), batch.home.parent)
        if faults:
            finish(replace(job, status="refused", message=Redactor().text("\n".join(faults))))
            continue
        standing = _standing(batch, notebook, before, [*earlier, *found])
        if standing:
            finish(replace(job, message=standing))
            continue
        job = replace(job, left_out=list(left_out), because="; ".join(because))
        report(replace(job, status="running"))
        finish(_make(batch, notebook, job, stopped))
    return found, left_out


def _standing(batch: Batch, notebook: Notebook, before: Entry | None, earlier: Sequence[Entry]) -> str:
    """Say why the last good page stands: one that reads results is not remade from less than it had."""
    reads_results = notebook.scope == "group" or not notebook.needs
    if batch.force or not reads_results or before is None or not record.holds(batch.home, before):
        return ""
    own = {before.unit} if before.unit != GROUP_UNIT else set(batch.case.units)
    had = {(entry.unit, entry.notebook) for entry in batch.before.values() if entry.outputs}
    lost = [e for e in earlier if e.status in _BAD and e.unit in own and (e.unit, e.notebook) in had]
    gone = sorted({f"{entry.unit}/{entry.notebook}" for entry in lost})
    return f"not remade without {listed(gone)}; the last good page stands" if gone else ""


def job_of(batch: Batch, unit: str, notebook: Notebook, results: Mapping[str, str]) -> Entry:
    """Return the entry of a notebook that is about to run: its parameters, and the hashes of all it follows from.

    Parameters
    ----------
    batch : Batch
    unit : str
    notebook : Notebook
    results : mapping of str
        Hashes of the earlier notebooks' tables that it reads, by their place on its shelf.
    """
    stated = batch.stated(unit)
    language = batch.language or stated.language
    known = {**stated.model_dump(), "case": batch.case.name, "units": list(batch.case.units), "language": language}
    known["unit_names"] = {name: dict(one.unit_name) for name, one in batch.case.units.items()}
    known["units_in_data"] = {name: one.unit_in_data for name, one in batch.case.units.items() if one.unit_in_data}
    values = {name: known[name] for name in notebook.parameters if name in known}
    catalogue = record.file_digest(parameters.catalogue_path(stated.catalogue, batch.case.name, str(batch.case.folder)))
    # what a connection's table holds is not known without reading it: it counts as changed in every run
    unknown = f"{CONNECTION}{batch.once}"
    data = {table: unknown if "connection" in found else found["sha256"] for table, found in batch.data[unit].items()}
    previous = {}
    if "previous_case" in notebook.parameters:  # the notebook's own tables of last quarter, which it may compare with
        read = parameters.previous_tables(batch.home.parent, stated, notebook.name)
        previous = record.files_digest(batch.home.parent, read)
    parts = {
        "data": data,
        "previous": previous,
        "catalogue": catalogue,
        "names": record.digest(known["unit_names"] if "unit_names" in values else stated.unit_name),
        "notebook": record.file_digest(notebook.path),
        "package": record.package_digest(),
        "versions": record.versions(),
        "results": by_notebook(results, batch.notebooks),
    }
    inputs = record.inputs_digest(values, catalogue, data | previous)
    key = record.digest([inputs, language, parts])
    return Entry(
        unit, notebook.name, language, "failed", key=key, inputs=inputs, parameters=values, parts=shortened(parts)
    )


def _make(batch: Batch, notebook: Notebook, job: Entry, stopped: Callable[[], bool]) -> Entry:
    """Execute a notebook in the run's own folder, publish it where it succeeds, keep what there is where it fails."""
    unit, began = job.unit, time.monotonic()
    stem = f"{notebook.name}.{job.language}"
    pages, made = batch.work / "pages" / unit, batch.work / "made" / unit / notebook.name
    pages.mkdir(parents=True, exist_ok=True)
    stated = batch.stated(unit)
    folders = {
        "data_dir": str(batch.case.folder),
        "results_dir": str(batch.shelf(unit)),
        "save_dir": str(made),
        "catalogue": str(parameters.catalogue_path(stated.catalogue, batch.case.name, str(batch.case.folder))),
    }
    values = {**job.parameters, **{name: said for name, said in folders.items() if name in notebook.parameters}}
    lasting = {
        str(made): str(batch.home.parent / "_interactive" / unit),
        str(batch.work / "results"): str(batch.home),
        str(batch.work / "pages"): str(batch.home),
    }
    done = replace(job, git=record.git_commit(), finished=_now(), attempts=[])
    rendered = (pages / f"{stem}.ipynb", pages / f"{stem}.html")
    noted, before = batch.work / "published", batch.before.get(job.place)
    watched = guards.Watched(batch.home, noted)
    try:
        places = (notebook.path, rendered[0], values, lasting, batch.home.parent)
        done = replace(done, kernel=_attempt(batch, places, made, done.attempts, stopped) or "")
        done = replace(done, seconds=round(time.monotonic() - began, 1), finished=_now())
        with _ALONE:
            render_page(*rendered, stated, done, batch.case.name, batch.data[unit])
        files = {f"{unit}/tables/{path.name}": path for path in _tables_of(made)}
        files |= {f"{unit}/{stem}.{kind}": pages / f"{stem}.{kind}" for kind in ("ipynb", "html")}
        outputs = {name: record.file_digest(path) for name, path in files.items()}
        _refuse_changes(watched)
        guards.note(noted, outputs, before.outputs if before else ())
        publish(batch.home, files, before.outputs if before else ())
    except Exception as error:
        failed = replace(done, message=one_line(error), seconds=round(time.monotonic() - began, 1))
        return _keep_failed(batch, rendered, failed)
    for kind in ("ipynb", "html"):
        with contextlib.suppress(ToolkitError):  # a link, which is not ours
            inside(batch.home, f"failed/{unit}/{stem}.{kind}").unlink(missing_ok=True)
    finished = replace(
        done, status="made", outputs=outputs, finished=_now(), seconds=round(time.monotonic() - began, 1)
    )
    shelve(batch, finished)
    return finished


def _attempt(batch: Batch, places: tuple, made: Path, attempts: list[str], stopped: Callable[[], bool]) -> str:
    """Execute a notebook, and again where its kernel failed: ``attempts`` takes why. Return how its kernel started."""
    limits = {
        "start": batch.kernels,
        "time_limit": batch.time_limit,
        "protected": (batch.home, batch.case.folder),
        "stopped": stopped,
    }
    while True:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        try:
            started = execute(*places, **limits)
            refuse_undrawn(places[1])
            return started
        except ToolkitError as error:
            if not getattr(error, "again", False) or len(attempts) == batch.retries:
                raise
            attempts.append(one_line(error))


def _tables_of(made: Path) -> list[Path]:
    """Return the tables that a notebook has saved, refusing links and what holds a credential of the environment."""
    found, redactor, faults = [], Redactor(), []
    for path in sorted((made / "tables").glob("*")):
        if not path.resolve().is_relative_to(made.resolve()) or path.is_symlink():
            faults.append(f"tables/{path.name} is a link. Save a file")
        elif path.is_file():
            if redactor.finds(path):
                faults.append(f"tables/{path.name} holds a credential of the environment. Save the table without it")
            found.append(path)
    if faults:
        raise Faults("not published", faults)
    return found


def _refuse_changes(watched: guards.Watched) -> None:
    changed = watched.changed()
    if changed:
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        raise ToolkitError(
            f"published files changed while it ran, by it or by a notebook beside it: {shown}. Notebooks save in "
            "save_dir only; the next run makes these files again"
        )


def _keep_failed(batch: Batch, rendered: tuple[Path, Path], failed: Entry) -> Entry:
    """Keep a notebook that failed, as far as it ran, with its page; where even that cannot be, say so."""
    try:
        with _ALONE:
            render_failure(*rendered, batch.stated(failed.unit), failed, batch.case.name, batch.data[failed.unit])
        for path in rendered:
            if path.is_file():
                move(path, inside(batch.home, f"failed/{failed.unit}/{path.name}"))
    except (OSError, ToolkitError) as error:
        return replace(failed, message=f"{failed.message}; what ran could not be kept: {one_line(error)}")
    return failed


def shelve(batch: Batch, entry: Entry) -> None:
    """Put a notebook's published tables on the shelf that later notebooks read."""
    if entry.unit == GROUP_UNIT:
        return
    names = [name for name in entry.outputs if name.startswith(f"{entry.unit}/tables/")]
    shelves = batch.work / "results"
    for place in (batch.home, shelves):
        refuse_outside(place, names)
    for name in names:
        shutil.copy2(batch.home / name, shelves / name)


def _shelve_earlier(batch: Batch, job: Entry) -> list[str]:
    """Shelve what stands of a notebook that is not run now, if from the same parameters and data; else name it."""
    for entry in batch.before.values():
        same = (entry.unit, entry.notebook, entry.inputs) == (job.unit, job.notebook, job.inputs)
        if same and entry.status in GOOD and record.holds(batch.home, entry):
            shelve(batch, entry)
            return []
    return [f"{job.unit}/{job.notebook}"]


def one_line(error: Exception) -> str:
    """Return what went wrong in one line: an error of a notebook's cell by its own name and message.

    Examples
    --------
    >>> one_line(ValueError("no\\nsuch"))
    'ValueError: no such'
    """
    name, said = getattr(error, "ename", type(error).__name__), str(getattr(error, "evalue", error))
    said = " ".join(Redactor().text(re.sub(r"\x1b\[[0-9;]*m", "", said)).split())
    said = said if len(said) <= 300 else said[:297] + "..."
    own = isinstance(error, ToolkitError) or name in ("ToolkitError", "Faults")
    return said if own else f"{name}: {said}".rstrip(": ")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
