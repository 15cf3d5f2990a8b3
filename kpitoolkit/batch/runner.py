"""Units x notebooks: runs what is not up to date, publishes what succeeded, and says what became of everything.

Each unit is a chain of notebooks in their order; units run in parallel; the group comes last. A notebook works in a
folder of the run's own; its tables and pages are moved to their place only when all of it has succeeded. Later
notebooks read a shelf of results that belong to this run's parameters and data, never what a different run left behind.
"""

import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from kpitoolkit import parameters, tables
from kpitoolkit.batch import record, signoff, standing
from kpitoolkit.batch.check import check_names, check_unit
from kpitoolkit.batch.execute import execute, load
from kpitoolkit.batch.plan import Notebook, read_notebooks
from kpitoolkit.batch.publish import inside, move, only_run, publish
from kpitoolkit.batch.record import GOOD, Entry
from kpitoolkit.batch.site import render_failure, render_page, sentences, stamp, write_index
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import ToolkitError
from kpitoolkit.parameters import Case, Parameters
from kpitoolkit.text import check_language

Tell = Callable[[Entry, int, int], None]
_BAD = ("failed", "refused")


@dataclass(frozen=True, eq=False)
class Report:
    """What became of a run: an entry for each notebook asked for, where to look, which sign-offs are void."""

    case: Case
    entries: list[Entry]
    index: Path
    voided: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 all fine; 1 something failed, the rest stands; 2 every unit was refused."""
        statuses = {entry.status for entry in self.entries} - {"not_made"}
        if statuses == {"refused"}:
            return 2
        return 1 if statuses & {"failed", "refused"} else 0


@dataclass(frozen=True, eq=False)
class Batch:
    """One run: what was asked for, where it works, and what is known so far.

    Kernels run side by side; what this process does itself, reading tables and rendering pages, it does one at a time:
    libraries load parts of themselves at first use, which two threads may not do at once.
    """

    case: Case
    home: Path
    work: Path
    notebooks: dict[str, Notebook]
    wanted_units: tuple[str, ...]
    wanted_notebooks: tuple[str, ...]
    language: str | None
    force: bool
    tell: Tell
    total: int = 0
    entries: dict[str, Entry] = field(default_factory=dict)
    reports: list[Entry] = field(default_factory=list)
    data: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    once: str = field(default_factory=lambda: uuid.uuid4().hex)

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

    def shelf(self, unit: str) -> Path:
        """Where the results of this run's inputs are read: a unit's own, or those of all units for the group."""
        return self.work / "results" if unit == GROUP_UNIT else self.work / "results" / unit


def run_case(
    folder: Path,
    units: Iterable[str] = (),
    notebooks: Iterable[str] = (),
    jobs: int | None = None,
    language: str | None = None,
    force: bool = False,
    output: Path | None = None,
    notebooks_dir: Path | None = None,
    tell: Tell = lambda entry, done, total: None,
) -> Report:
    """Run the notebooks of a case and publish their pages and tables.

    Parameters
    ----------
    folder : Path
        The case's folder of parameters.
    units, notebooks : iterable of str
        Only these; by default all units, then the group, and all notebooks that are not interactive.
    jobs : int, optional
        Units at the same time; by default as many as there are processors or units.
    language : str, optional
        Of the pages; by default what the parameters say.
    force : bool
        Make again what is up to date.
    output : Path, optional
        Root of published results; by default ``outputs/`` of the project.
    notebooks_dir : Path, optional
        By default ``notebooks/`` of the project.
    tell : callable
        Called as ``tell(entry, done, total)`` whenever a notebook is finished with.

    Raises
    ------
    ToolkitError
        Before anything runs: faulty parameters; unknown names; another run of the same case under way.
    """
    case = parameters.read_case(folder)
    known = read_notebooks(notebooks_dir or parameters.project_root() / "notebooks")
    batchable = [name for name, notebook in known.items() if notebook.scope != "interactive"]
    wanted_units, wanted_notebooks = tuple(dict.fromkeys(units)), tuple(dict.fromkeys(notebooks))
    for name in wanted_notebooks:
        if name in known and name not in batchable:
            raise ToolkitError(f"--notebook: '{name}' is for work by hand. Open it in JupyterLab: make lab")
    check_names("notebook", wanted_notebooks, batchable)
    check_names("unit", wanted_units, [*case.units, GROUP_UNIT])
    if language is not None:
        check_language(language)
    if jobs is not None and jobs < 1:
        raise ToolkitError(f"--jobs: {jobs} is not a number of units. State 1 or more")
    home = (Path(output).resolve() if output else parameters.outputs_root().resolve()) / case.name
    home.mkdir(parents=True, exist_ok=True)
    with only_run(home):
        for leftover in home.glob(".work-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        work = home / f".work-{os.getpid()}"
        batch = Batch(
            case=case,
            home=home,
            work=work,
            notebooks={name: known[name] for name in batchable},
            wanted_units=wanted_units or (*case.units, GROUP_UNIT),
            wanted_notebooks=wanted_notebooks or tuple(batchable),
            language=language,
            force=force,
            tell=tell,
            entries={
                place: entry
                for place, entry in record.load(home / "run.json").items()
                if entry.unit in (*case.units, GROUP_UNIT) and entry.notebook in batchable
            },
        )
        try:
            return _run(batch, jobs)
        finally:
            batch.stop.set()
            shutil.rmtree(work, ignore_errors=True)


def _run(batch: Batch, jobs: int | None) -> Report:
    case, started, before = batch.case, _now(), record.last_index(batch.home / "run.json")
    total = sum(batch.wants(unit, notebook) for unit in (*case.units, GROUP_UNIT) for notebook in batch.chain(unit))
    if not total:
        raise ToolkitError("nothing to run: none of these notebooks is made for these units")
    batch = replace(batch, total=total)
    seen: dict[Path, str] = {}
    for unit in (*case.units, GROUP_UNIT):
        batch.data[unit] = standing.data_of(case, batch.stated(unit), seen)
    for unit in case.units:
        (batch.shelf(unit) / "tables").mkdir(parents=True)
    pool = ThreadPoolExecutor(max_workers=min(jobs or os.cpu_count() or 1, len(case.units)))
    try:
        for finished in as_completed([pool.submit(_run_unit, batch, unit) for unit in case.units]):
            finished.result()
        if {entry.status for entry in batch.reports} - {"not_made"} != {"refused"}:
            _run_unit(batch, GROUP_UNIT)
    except BaseException:
        batch.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    order = {name: position for position, name in enumerate((*case.units, GROUP_UNIT))}
    entries = sorted(batch.reports, key=lambda e: (order[e.unit], list(batch.notebooks).index(e.notebook)))
    report = Report(case, entries, batch.home / "index.html")
    if report.exit_status != 2:
        places = [(u, n.name, batch.language or batch.stated(u).language) for u in order for n in batch.chain(u)]
        refused = {entry.place: entry for entry in entries if entry.status == "refused"}
        written = batch.language or case.group.language
        index = write_index(batch.home, case, places, batch.entries | refused, written, before)
        _save_record(batch, report, started, index, places, written)
        report.voided.extend(_say_sign_off(batch))
    return report


def _run_unit(batch: Batch, unit: str) -> None:
    """Run a unit's notebooks one after another; one that fails does not stop the next."""
    declared = tables.declared(parameters.workspace_of(batch.case, batch.stated(unit)))
    faults: list[str] | None = None
    for notebook in batch.chain(unit):
        if batch.stop.is_set():
            return
        wanted = batch.wants(unit, notebook)
        job = _job(batch, unit, notebook)
        if not notebook.made(declared):
            if wanted:
                _report(batch, replace(job, status="not_made", message=f"no {notebook.missing(declared)} declared"))
            continue
        if not wanted:
            _shelve_earlier(batch, job)
            continue
        before = batch.entries.get(job.place)
        if not batch.force and _is_current(batch, before, job):
            _shelve(batch, before)
            _report(batch, replace(before, status="unchanged"))
            continue
        if faults is None:
            with batch.one_at_a_time:
                faults = [] if unit == GROUP_UNIT else check_unit(batch.case, batch.stated(unit), batch.home.parent)
        if faults:
            _report(batch, replace(job, status="refused", message="\n".join(faults)))
            continue
        standing = _standing(batch, notebook, before)
        if standing:
            _report(batch, replace(job, message=standing))
            continue
        job.left_out.extend(name for name in tuple(batch.left_out) if unit in (GROUP_UNIT, name.split("/")[0]))
        _report(batch, _make(batch, notebook, job))


def _standing(batch: Batch, notebook: Notebook, before: Entry | None) -> str:
    """Say why the last good page stands: one that reads results is not remade from less than it had."""
    reads_results = notebook.scope == "group" or not notebook.needs
    if batch.force or not reads_results or before is None or not record.holds(batch.home, before):
        return ""
    own = {before.unit} if before.unit != GROUP_UNIT else set(batch.case.units)
    had = {(entry.unit, entry.notebook) for entry in batch.entries.values() if entry.outputs}
    lost = [e for e in batch.reports if e.status in _BAD and e.unit in own and (e.unit, e.notebook) in had]
    gone = sorted({f"{entry.unit}/{entry.notebook}" for entry in lost})
    return f"not remade without {', '.join(gone)}; the last good page stands" if gone else ""


def _job(batch: Batch, unit: str, notebook: Notebook) -> Entry:
    """Return the entry of a notebook that is about to run: its parameters, and the hashes of all it follows from."""
    stated = batch.stated(unit)
    language = batch.language or stated.language
    known = {**stated.model_dump(), "case": batch.case.name, "units": list(batch.case.units), "language": language}
    known["unit_names"] = {name: dict(one.unit_name) for name, one in batch.case.units.items()}
    values = {name: known[name] for name in notebook.parameters if name in known}
    catalogue = parameters.catalogue_path(stated.catalogue, batch.case.name, str(batch.case.folder))
    # what a connection's table holds is not known without reading it: it counts as changed in every run
    data = batch.data[unit].items()
    content = {table: batch.once if "connection" in found else found["sha256"] for table, found in data}
    if "previous_case" in notebook.parameters:  # the notebook's own tables of last quarter, which it may compare with
        read = parameters.previous_tables(batch.home.parent, stated, notebook.name)
        content |= record.files_digest(batch.home.parent, read)
    inputs = record.inputs_digest(values, record.file_digest(catalogue), content)
    shelf = batch.shelf(unit)
    key = record.digest(
        [
            inputs,
            language,
            known["unit_names"] if "unit_names" in values else stated.unit_name,
            record.file_digest(notebook.path),
            record.package_digest(),
            record.versions(),
            record.files_digest(shelf, shelf.rglob("*.parquet")),
        ]
    )
    return Entry(unit, notebook.name, language, "failed", key=key, inputs=inputs, parameters=values)


def _make(batch: Batch, notebook: Notebook, job: Entry) -> Entry:
    """Execute a notebook in the run's own folder, publish it where it succeeds, keep what there is where it fails."""
    unit, began = job.unit, time.monotonic()
    stem = f"{notebook.name}.{job.language}"
    pages, made = batch.work / "pages" / unit, batch.work / "made" / unit / notebook.name
    pages.mkdir(parents=True, exist_ok=True)
    made.mkdir(parents=True, exist_ok=True)
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
    done = replace(job, git=record.git_commit(), finished=_now())
    rendered = (pages / f"{stem}.ipynb", pages / f"{stem}.html")
    try:
        with batch.one_at_a_time:
            load()
        execute(notebook.path, pages / f"{stem}.ipynb", values, lasting, batch.home.parent)
        with batch.one_at_a_time:
            render_page(*rendered, stated, done, batch.case.name, batch.data[unit])
        files = {f"{unit}/tables/{path.name}": path for path in sorted((made / "tables").glob("*")) if path.is_file()}
        files |= {f"{unit}/{stem}.{kind}": pages / f"{stem}.{kind}" for kind in ("ipynb", "html")}
        outputs = {name: record.file_digest(path) for name, path in files.items()}
        before = batch.entries.get(job.place)
        publish(batch.home, files, before.outputs if before else ())
    except Exception as error:
        failed = replace(done, message=one_line(error), seconds=round(time.monotonic() - began, 1))
        with batch.one_at_a_time:
            render_failure(*rendered, stated, failed, batch.case.name, batch.data[unit])
        for path in sorted(pages.glob(f"{stem}.*")):
            move(path, inside(batch.home, f"failed/{unit}/{path.name}"))
        return failed
    for kind in ("ipynb", "html"):
        inside(batch.home, f"failed/{unit}/{stem}.{kind}").unlink(missing_ok=True)
    finished = replace(
        done, status="made", outputs=outputs, finished=_now(), seconds=round(time.monotonic() - began, 1)
    )
    _shelve(batch, finished)
    return finished


def _is_current(batch: Batch, before: Entry | None, job: Entry) -> bool:
    return bool(before) and before.status in GOOD and before.key == job.key and record.holds(batch.home, before)


def _shelve(batch: Batch, entry: Entry) -> None:
    """Put a notebook's published tables on the shelf that later notebooks read."""
    if entry.unit == GROUP_UNIT:
        return
    for name in entry.outputs:
        if name.startswith(f"{entry.unit}/tables/"):
            shutil.copy2(inside(batch.home, name), inside(batch.work, f"results/{name}"))


def _shelve_earlier(batch: Batch, job: Entry) -> None:
    """Shelve the results of a notebook that is not run this time, where they come from the same parameters and data."""
    for entry in batch.entries.values():
        same = (entry.unit, entry.notebook, entry.inputs) == (job.unit, job.notebook, job.inputs)
        if same and entry.status in GOOD and record.holds(batch.home, entry):
            _shelve(batch, entry)
            return
    batch.left_out.append(f"{job.unit}/{job.notebook}")


def _report(batch: Batch, entry: Entry) -> None:
    """Record what became of a notebook, on disk at once, and tell the caller."""
    with batch.lock:
        if batch.stop.is_set():
            return
        batch.reports.append(entry)
        if entry.status != "refused":  # what stands from before stands, and is still described
            before = batch.entries.get(entry.place)
            outputs = entry.outputs or (before.outputs if before else {})
            batch.entries[entry.place] = replace(entry, outputs=outputs)
            if entry.status in ("made", "failed"):
                record.save(batch.home / "run.json", {"case": batch.case.name, "complete": False}, batch.entries)
        batch.tell(entry, len(batch.reports), batch.total)


def _save_record(batch: Batch, report: Report, started: str, index: str, places: list, written: str) -> None:
    case = batch.case
    facts = {
        "case": case.name,
        "folder": standing.relative_folder(case.folder, batch.home),
        "complete": True,
        "started": started,
        "finished": _now(),
        "exit_status": report.exit_status,
        "index": index,
        "index_file": {"language": written, "sha256": record.file_digest(report.index)},
        "pages": places,
        "refused": {entry.unit: entry.message for entry in report.entries if entry.status == "refused"},
        "git": record.git_commit(),
        "package": record.package_digest(),
        "versions": record.versions(),
        "units": {
            unit: standing.facts_of(case, batch.stated(unit), batch.data[unit]) for unit in (*case.units, GROUP_UNIT)
        },
    }
    record.save(batch.home / standing.RUN, facts, batch.entries)


def _say_sign_off(batch: Batch) -> list[str]:
    """Write on all pages how far they are signed off; return what is void."""
    run = standing.read_run(batch.home)
    found = signoff.states(run, batch.case.folder)
    stamp(run, found)
    return [
        f"{unit}: sign-off: {' '.join(sentences(state, run, 'en'))}"
        for unit, state in found.items()
        if state.status in ("void", "damaged")
    ]


def one_line(error: Exception) -> str:
    """Return what went wrong in one line: an error of a notebook's cell by its own name and message.

    Examples
    --------
    >>> one_line(ValueError("no\\nsuch"))
    'ValueError: no such'
    """
    name, said = getattr(error, "ename", type(error).__name__), str(getattr(error, "evalue", error))
    said = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", said).split())
    said = said if len(said) <= 300 else said[:297] + "..."
    return said if name in ("ToolkitError", "Faults") else f"{name}: {said}".rstrip(": ")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
