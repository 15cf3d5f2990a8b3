"""Units x notebooks: runs what is not up to date, publishes what succeeded, and says what became of everything.

Each unit is a chain of notebooks in their order (`chain`); units run in parallel; the group comes last. What became of
each is written down at once, so that a run which is cut short goes on from there.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kpitoolkit import parameters
from kpitoolkit.batch import record, remote, signoff, standing
from kpitoolkit.batch.chain import Batch, run_unit
from kpitoolkit.batch.check import check_names
from kpitoolkit.batch.plan import read_notebooks
from kpitoolkit.batch.publish import only_run, refuse_links
from kpitoolkit.batch.record import Entry
from kpitoolkit.batch.site import sentences, stamp, write_index
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import ToolkitError
from kpitoolkit.parameters import Case
from kpitoolkit.text import check_language

Tell = Callable[[Entry, int, int], None]
_GIVING_UP_SECONDS = 10


@dataclass(frozen=True, eq=False)
class Report:
    """What became of a run: an entry for each notebook, where to look, void sign-offs, what was uploaded or why not."""

    case: Case
    entries: list[Entry]
    index: Path
    voided: list[str] = field(default_factory=list)
    uploaded: str = ""
    upload_fault: str = ""

    @property
    def exit_status(self) -> int:
        """0 all fine; 1 something failed or is not uploaded, the rest stands; 2 every unit was refused."""
        statuses = {entry.status for entry in self.entries} - {"not_made"}
        if statuses == {"refused"}:
            return 2
        return 1 if self.upload_fault or statuses & {"failed", "refused"} else 0


class _Journal:
    """What is known of a run so far: on disk at once, and told to the caller. Threads report to it."""

    def __init__(self, batch: Batch, total: int, tell: Tell):
        self.batch, self.total, self.tell = batch, total, tell
        self.entries = dict(batch.before)
        self.reports: list[Entry] = []
        self.lock, self.stop = threading.Lock(), threading.Event()

    def report(self, entry: Entry) -> None:
        """Record what became of a notebook, and tell the caller."""
        with self.lock:
            if self.stop.is_set():
                return
            if entry.status == "running":
                self.tell(entry, len(self.reports), self.total)
                return
            self.reports = [known for known in self.reports if known.place != entry.place] + [entry]
            if entry.status != "refused":  # what stands from before stands, and is still described
                before = self.entries.get(entry.place)
                outputs = entry.outputs or (before.outputs if before else {})
                self.entries[entry.place] = replace(entry, outputs=outputs)
                if entry.status in ("made", "failed"):
                    facts = {"case": self.batch.case.name, "complete": False}
                    record.save(self.batch.home / "run.json", facts, self.entries)
            self.tell(entry, len(self.reports), self.total)


def run_case(
    folder: Path,
    units: Iterable[str] = (),
    notebooks: Iterable[str] = (),
    jobs: int | None = None,
    language: str | None = None,
    force: bool = False,
    output: str | Path | None = None,
    notebooks_dir: Path | None = None,
    tell: Tell = lambda entry, done, total: None,
    time_limit: float = 3600.0,
    retries: int = 1,
    kernels: str = "warm",
    scheduler: str | None = None,
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
    output : str or Path, optional
        Root of published results, or ``s3://bucket/prefix``; by default ``outputs/`` of the project.
    notebooks_dir : Path, optional
        By default ``notebooks/`` of the project.
    tell : callable
        Called as ``tell(entry, done, total)``: at first of every notebook that was asked for, as ``waiting`` with the
        seconds that it took last time; of each that begins, as ``running``; of each that is finished with.
    time_limit : float
        Seconds that a notebook may run before its kernel is ended.
    retries : int
        Further attempts at a notebook whose kernel failed, not its cells.
    kernels : {"warm", "cold"}
        Forked from a server that has the libraries, where that is possible; or started anew.
    scheduler : str, optional
        Address of a Dask cluster that runs the units, such as ``tcp://host:8786``; by default they run here.

    Raises
    ------
    ToolkitError
        Before anything runs: faulty parameters; unknown names; another run of the same case under way; a cluster that
        cannot be reached or would not make the same. Of what was made and is not uploaded, the report says why.
    """
    if jobs is not None and jobs < 1:
        raise ToolkitError(f"--jobs: {jobs} is not a number of units. State 1 or more")
    if not time_limit > 0:
        raise ToolkitError(f"--time-limit: {time_limit:g} is not a number of seconds. State more than 0")
    if retries < 0:
        raise ToolkitError(f"--retries: {retries} is not a number of attempts. State 0 or more")
    check_names("kernels", (kernels,), ("warm", "cold"))
    report = None
    try:
        with remote.outputs(output, folder) as (root, uploads):

            def told(entry: Entry, done: int, total: int) -> None:
                uploads.take(entry)
                tell(entry, done, total)

            batch = prepare(folder, units, notebooks, language, force, root, notebooks_dir)
            batch = replace(batch, time_limit=time_limit, retries=retries, kernels=kernels)
            report = _run_alone(batch, jobs, told, scheduler)
            return replace(report, uploaded=uploads())
    except (ToolkitError, OSError) as error:
        if report is None:
            raise
        return replace(report, upload_fault=remote.in_words(error))


def _run_alone(batch: Batch, jobs: int | None, tell: Tell, scheduler: str | None) -> Report:
    """Run a batch as the only run of its folder of outputs."""
    batch.home.mkdir(parents=True, exist_ok=True)
    with only_run(batch.home):
        refuse_links(batch.home, [*batch.case.units, GROUP_UNIT, "failed"])
        for leftover in batch.home.glob(".work-*"):
            leftover.unlink() if leftover.is_symlink() else shutil.rmtree(leftover, ignore_errors=True)
        batch = replace(batch, before=_earlier(batch))
        try:
            with _place(batch, scheduler) as run_units:
                return _run(batch, jobs, tell, run_units)
        finally:
            shutil.rmtree(batch.work, ignore_errors=True)


def prepare(
    folder: Path,
    units: Iterable[str] = (),
    notebooks: Iterable[str] = (),
    language: str | None = None,
    force: bool = False,
    output: Path | None = None,
    notebooks_dir: Path | None = None,
) -> Batch:
    """Return what a run would work with, refusing what it would refuse; write nothing. As `run_case` says them."""
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
    home = (Path(output).resolve() if output else parameters.outputs_root().resolve()) / case.name
    batch = Batch(
        case=case,
        home=home,
        work=home / f".work-{os.getpid()}",
        notebooks={name: known[name] for name in batchable},
        wanted_units=wanted_units or (*case.units, GROUP_UNIT),
        wanted_notebooks=wanted_notebooks or tuple(batchable),
        language=language,
        force=force,
    )
    if not any(batch.wants(unit, notebook) for unit in (*case.units, GROUP_UNIT) for notebook in batch.chain(unit)):
        raise ToolkitError("nothing to run: none of these notebooks is made for these units")
    return replace(batch, before=_earlier(batch))


def _earlier(batch: Batch) -> dict[str, Entry]:
    """Return what earlier runs left of the case's units and notebooks, by place."""
    known = record.load(batch.home / "run.json").items()
    units = (*batch.case.units, GROUP_UNIT)
    return {place: entry for place, entry in known if entry.unit in units and entry.notebook in batch.notebooks}


@contextmanager
def _place(batch: Batch, scheduler: str | None) -> Iterator[Callable]:
    """Yield what runs units: threads of this process, whose kernels do the work, or a cluster."""
    if not scheduler:
        yield _run_units
        return
    from kpitoolkit.batch import cluster

    with cluster.joined(scheduler, batch) as client:
        yield partial(cluster.run_units, client)


def _run(batch: Batch, jobs: int | None, tell: Tell, run_units: Callable) -> Report:
    case, started, before = batch.case, _now(), record.last_index(batch.home / "run.json")
    total = sum(batch.wants(unit, notebook) for unit in (*case.units, GROUP_UNIT) for notebook in batch.chain(unit))
    seen: dict[Path, str] = {}
    for unit in (*case.units, GROUP_UNIT):
        batch.data[unit] = standing.data_of(case, batch.stated(unit), seen)
    for unit in case.units:
        (batch.shelf(unit) / "tables").mkdir(parents=True)
    for unit, notebook in ((u, n) for u in (*case.units, GROUP_UNIT) for n in batch.chain(u) if batch.wants(u, n)):
        waiting = Entry(unit, notebook.name, batch.language or batch.stated(unit).language, "waiting")
        tell(replace(waiting, seconds=batch.before.get(waiting.place, waiting).seconds), 0, total)
    journal = _Journal(batch, total, tell)
    for kept in (record.package_digest, record.versions):
        kept()  # read once, before the units' threads ask for it all at once
    try:
        left_out = run_units(batch, tuple(case.units), jobs, journal.report, journal.stop)
        if {entry.status for entry in journal.reports} - {"not_made"} != {"refused"}:
            run_units(batch, (GROUP_UNIT,), jobs, journal.report, journal.stop, journal.reports, left_out)
    finally:
        journal.stop.set()
    order = {name: position for position, name in enumerate((*case.units, GROUP_UNIT))}
    entries = sorted(journal.reports, key=lambda e: (order[e.unit], list(batch.notebooks).index(e.notebook)))
    report = Report(case, entries, batch.home / "index.html")
    if report.exit_status != 2:
        places = [(u, n.name, batch.language or batch.stated(u).language) for u in order for n in batch.chain(u)]
        refused = {entry.place: entry for entry in entries if entry.status == "refused"}
        written = batch.language or case.group.language
        index = write_index(batch.home, case, places, journal.entries | refused, written, before)
        _save_record(batch, report, journal.entries, started, index, places, written)
        report.voided.extend(_say_sign_off(batch))
    return report


def _run_units(
    batch: Batch,
    units: Sequence[str],
    jobs: int | None,
    report: Callable[[Entry], None],
    stop: threading.Event,
    earlier: Sequence[Entry] = (),
    left_out: Sequence[str] = (),
) -> list[str]:
    """Run units' chains in threads: what takes time is done by their kernels. Return what they have to do without."""
    pool, missing = ThreadPoolExecutor(max_workers=min(jobs or os.cpu_count() or 1, len(units))), []
    told, begun = (earlier, left_out, report, stop.is_set), []
    try:
        for unit in units:
            begun.append(pool.submit(run_unit, batch, unit, *told))
        for finished in as_completed(begun):
            missing += finished.result()[1]
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(begun, _GIVING_UP_SECONDS)  # kernels that run are ended
        raise
    pool.shutdown()
    return missing


def _save_record(
    batch: Batch, report: Report, known: dict, started: str, index: str, places: list, written: str
) -> None:
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
    record.save(batch.home / standing.RUN, facts, known)


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
