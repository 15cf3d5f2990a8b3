"""A Dask cluster as the place where units run: each unit's chain is a task, the group's comes last.

All folders are shared: the case, the notebooks and the outputs are where they are on this machine. A worker that dies
costs what it was at: another one takes the unit's chain up after what was published already. Each attempt works in a
folder of its own and cuts off the one before, so that one which was only out of reach can publish nothing late. Workers
note what became of each notebook in the run's folder; ``run.json`` is written by this process alone.
"""

import json
import logging
import multiprocessing
import os
import pickle
import re
import shutil
import socket
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from kpitoolkit.batch import record
from kpitoolkit.batch.chain import Batch, one_line, run_unit, shelve
from kpitoolkit.batch.record import Entry
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import Faults, ToolkitError

RETRIES = 2
"""Further attempts at a unit's chain that ends with an error; a worker's death counts by Dask's own rule besides."""
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_REACH_SECONDS = 10
_ANSWER_SECONDS = 60
_ALONE_SECONDS = 60
_POLL_SECONDS = 0.2


def check_address(address: str) -> str:
    """Return a scheduler's address, or refuse what is none or holds a password.

    Raises
    ------
    ToolkitError

    Examples
    --------
    >>> check_address("tcp://10.0.0.5:8786")
    'tcp://10.0.0.5:8786'
    >>> check_address("tcp://anna:s3cret@10.0.0.5:8786")
    Traceback (most recent call last):
    kpitoolkit.errors.ToolkitError: --scheduler: an address with a user or a password is refused. Name host and port
    only; for an encrypted cluster state tls:// and Dask's own settings of certificates (DASK_DISTRIBUTED__COMM__TLS__*)
    """
    if "@" in address:
        raise ToolkitError(
            "--scheduler: an address with a user or a password is refused. Name host and port only; for an encrypted "
            "cluster state tls:// and Dask's own settings of certificates (DASK_DISTRIBUTED__COMM__TLS__*)"
        )
    if not _ADDRESS.fullmatch(address):
        raise ToolkitError(f"--scheduler: '{address}' is no address of a scheduler. Write it as tcp://host:8786")
    return address


@contextmanager
def joined(address: str, batch: Batch) -> Iterator:
    """Join a cluster whose workers see what this machine sees and would make the same; yield its client.

    Raises
    ------
    ToolkitError
        Before anything runs: dask is not installed, nothing answers within ten seconds, there is no worker, or a worker
        differs; then each difference is named.
    """
    check_address(address)
    try:
        from distributed import Client
    except ImportError as error:
        said = "--scheduler needs dask and distributed, which are not installed. Install them: pip install"
        raise ToolkitError(f"{said} 'kpitoolkit[cluster]' (in a checkout: pip install -e '.[cluster]')") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    told = {"timeout": _REACH_SECONDS, "set_as_default": False, "name": "kpitoolkit"}
    client = _within(_REACH_SECONDS + 2, lambda: Client(address, **told))  # its own limit is not kept by a mute port
    if not isinstance(client, Client):
        said = f"--scheduler {address}: no Dask scheduler answers there within {_REACH_SECONDS} s"
        said += f" ({one_line(client)})" if client else ""
        raise ToolkitError(f"{said}. Start one (dask scheduler), or leave --scheduler out to run here")
    try:
        _require_workers(client, address)
        _require_same(client, address, batch)
        yield client
    finally:
        client.close(timeout=_REACH_SECONDS)


def run_units(
    client,
    batch: Batch,
    units: Sequence[str],
    jobs: int | None,
    report: Callable[[Entry], None],
    stop: threading.Event,
    earlier: Sequence[Entry] = (),
    left_out: Sequence[str] = (),
) -> list[str]:
    """Run units' chains as tasks of a cluster, and report of each notebook as soon as it is known.

    Parameters
    ----------
    client : distributed.Client
    batch : Batch
    units : sequence of str
        Or the group alone.
    jobs : int, optional
        Units at the same time; by default as many as the workers have threads.
    report : callable
        Is told what became of each notebook; twice where a second attempt came out otherwise.
    stop : threading.Event
        Is set where the run has been given up.
    earlier, left_out
        As `chain.run_unit` takes them, for the group.

    Returns
    -------
    list of str
        Results that this run has to do without.
    """
    packed = zlib.compress(pickle.dumps(batch))  # two hundred units' parameters have much in common
    waiting, running, told, missing = deque(units), {}, {}, []

    def tell(entry: Entry) -> None:
        verdict = (entry.status, entry.key, entry.outputs, entry.message)
        if told.get(entry.place) != verdict:
            told[entry.place] = verdict
            report(entry)

    def lost(unit: str, why: str) -> None:
        for entry in _noted(batch.work, unit):
            if entry.status == "made":
                tell(entry)
                shelve(batch, entry)
        for notebook in batch.chain(unit):
            language = batch.language or batch.stated(unit).language
            entry = Entry(unit, notebook.name, language, "failed", message=why)
            known = told.get(entry.place, ("",))[0]
            if batch.wants(unit, notebook) and known in ("", "running"):
                tell(entry)

    watch = _Watch(client)
    try:
        while (waiting or running) and not stop.wait(_POLL_SECONDS):
            while waiting and len(running) < (jobs or len(units)):
                unit = waiting.popleft()
                running[unit] = client.submit(
                    _chain, packed, unit, record.package_digest(), list(earlier), list(left_out),
                    key=f"{batch.case.name}-{unit}-{batch.once}", retries=RETRIES, pure=False,
                )  # fmt: skip
            for unit, future in list(running.items()):
                for entry in _noted(batch.work, unit):
                    tell(entry)
                if not future.done():
                    continue
                if future.status != "finished":
                    lost(unit, _why(future))
                else:
                    try:
                        found, without, own = future.result(timeout=_REACH_SECONDS)
                    except Exception:  # the worker died with the result: the task is run again
                        continue
                    missing += without
                    _take(batch, unit, own)
                    for entry in found:
                        tell(entry)
                del running[unit]
            gone = watch.gone()
            if gone:
                for unit in (*running, *waiting):
                    lost(unit, gone)
                break
    finally:
        _within(_REACH_SECONDS, lambda: client.cancel(list(running.values())) if running else None)
    return missing


class _Watch:
    """Tells when a cluster has been without a worker, or without its scheduler, for a minute."""

    def __init__(self, client):
        self.client = client
        self.asked = self.seen = time.monotonic()

    def gone(self) -> str:
        now = time.monotonic()
        if now - self.asked > 2:
            self.asked = now
            answer = _within(_REACH_SECONDS, self.client.nthreads) if self.client.status == "running" else None
            if isinstance(answer, dict) and answer:
                self.seen = time.monotonic()
        if time.monotonic() - self.seen <= _ALONE_SECONDS:
            return ""
        what = "no worker was left" if self.client.status == "running" else "the scheduler was out of reach"
        return f"{what} for {_ALONE_SECONDS} s. Start the cluster again and repeat the run: it goes on from here"


def _why(future) -> str:
    """Say why a unit's task came to nothing."""
    try:
        error = future.exception(timeout=_REACH_SECONDS)
    except Exception as failure:
        error = failure
    if type(error).__name__ == "KilledWorker":
        return "every worker that took this unit died at it. See the workers' logs; often it is memory"
    if type(error).__name__ in ("CancelledError", "FutureCancelledError", "TimeoutError"):
        return "the cluster dropped this unit: its scheduler has ended or was started anew. Repeat the run"
    return one_line(error)


def _take(batch: Batch, unit: str, own: Path) -> None:
    """Put what a unit's attempt left for the group on the run's shelf."""
    if unit != GROUP_UNIT:
        shutil.rmtree(batch.shelf(unit), ignore_errors=True)
        os.replace(replace(batch, work=own).shelf(unit), batch.shelf(unit))
    shutil.rmtree(own, ignore_errors=True)


def _chain(
    packed: bytes, unit: str, package: str, earlier: list, left_out: list
) -> tuple[list[Entry], list[str], Path]:
    """Run a unit's chain (on a worker): in a folder of this attempt's own, after what another has published."""
    batch: Batch = pickle.loads(zlib.decompress(packed))
    if not batch.work.is_dir():
        raise ToolkitError(f"worker on {socket.gethostname()}: cannot see {batch.work}")
    if record.package_digest() != package:
        raise ToolkitError(f"worker on {socket.gethostname()}: its kpitoolkit is not that of the run")
    # a nanny starts its worker as a daemon, which may have no children: kernels are some, and end with it anyway
    multiprocessing.current_process()._config["daemon"] = False
    attempts = batch.work / "attempts" / unit
    shutil.rmtree(attempts, ignore_errors=True)
    own = attempts / uuid.uuid4().hex
    noted = batch.work / "noted" / unit
    noted.mkdir(parents=True, exist_ok=True)
    done = {entry.place: entry for entry in _noted(batch.work, unit) if entry.status == "made"}
    mine = replace(batch, work=own, done=done)
    if unit == GROUP_UNIT:
        shutil.copytree(batch.shelf(unit), mine.shelf(unit))
    else:
        (mine.shelf(unit) / "tables").mkdir(parents=True)

    def note(entry: Entry) -> None:
        if entry.status in ("running", "made"):
            record.write_atomically(noted / f"{entry.notebook}.json", json.dumps(asdict(entry), default=str))

    found, without = run_unit(mine, unit, earlier, left_out, note, lambda: not own.is_dir())
    return found, without, own


def _noted(work: Path, unit: str) -> list[Entry]:
    """Return what attempts at a unit's chain have begun or published, as they noted it in the run's folder."""
    return [
        Entry(**json.loads(path.read_text(encoding="utf-8"))) for path in (work / "noted" / unit).glob("[!.]*.json")
    ]


def _require_workers(client, address: str) -> None:
    """Wait for the first worker."""
    try:
        client.wait_for_workers(1, timeout=_REACH_SECONDS)
    except TimeoutError as error:
        said = f"--scheduler {address}: it has no worker. Start at least one, in the environment of this toolkit"
        raise ToolkitError(f"{said}: dask worker {address}") from error


def _require_same(client, address: str, batch: Batch) -> None:
    """Refuse a cluster with a worker that sees or would make something else than this process."""
    batch.work.mkdir(parents=True, exist_ok=True)
    places = {
        "case": str(batch.case.folder.resolve()),
        "notebooks": str(next(iter(batch.notebooks.values())).path.resolve().parent) if batch.notebooks else "",
        "outputs": str(batch.work),
    }
    (batch.work / "probe").write_text(uuid.uuid4().hex, encoding="utf-8")
    here = seen(places)
    answers = _within(_ANSWER_SECONDS, lambda: client.run(seen, places, on_error="return"))
    if not isinstance(answers, dict):
        said = "did not answer" if answers is None else f"could not be asked ({one_line(answers)})"
        raise ToolkitError(f"--scheduler {address}: its workers {said}. Install this toolkit where they run")
    faults = []
    for worker, answer in sorted(answers.items()):
        if isinstance(answer, BaseException):
            faults.append(f"{worker}: could not be asked ({one_line(answer)}). Install this toolkit where it runs")
        else:
            faults += [f"{worker} on {answer['host']}: {fault}" for fault in _differences(here, answer, places)]
    if faults:
        raise Faults(f"--scheduler {address}: not every worker would make the same pages, so nothing was run", faults)


def seen(places: dict[str, str]) -> dict:
    """Return what a process sees of a run's folders, and with what it would make its pages."""
    case, notebooks, outputs = (Path(places[name]) for name in ("case", "notebooks", "outputs"))
    written = ""
    try:
        own = outputs / f"probe-{uuid.uuid4().hex}"
        own.write_text("", encoding="utf-8")
        own.unlink()
    except OSError as error:
        written = error.strerror or str(error)
    return {
        "host": socket.gethostname(),
        "case": record.files_digest(case, case.glob("*.yml")),
        "notebooks": record.files_digest(notebooks, notebooks.glob("*.ipynb")),
        "outputs": record.file_digest(outputs / "probe"),
        "written": written,
        "package": record.package_digest(),
        "versions": record.versions(),
    }


def _differences(here: dict, there: dict, places: dict[str, str]) -> list[str]:
    """Say what another process sees or has that this one does not."""
    shared = "Put it on a file system that all machines share, at the same path"
    cache = " (with s3://, KPITOOLKIT_CACHE says where its mirror is)"
    said = []
    for name, what in (("case", "the case"), ("notebooks", "the notebooks"), ("outputs", "the outputs")):
        if there[name] != here[name]:
            found = "sees other files in" if there[name] else "cannot see"
            said.append(f"{found} {places[name]} ({what}). {shared}{cache if name == 'outputs' else ''}")
    if there["outputs"] == here["outputs"] and there["written"]:
        said.append(f"may not write in {places['outputs']} ({there['written']}). Give it the right to")
    for name, mine in here["versions"].items():
        if there["versions"].get(name) != mine:
            said.append(f"has {name} {there['versions'].get(name, 'absent')}, here it is {mine}. Install the same")
    if there["package"] != here["package"]:
        said.append("has other sources of kpitoolkit. Install the same commit and start the worker again")
    return said


def _within(seconds: float, call: Callable):
    """Return what a call returns or raises; None where it does not come back in time."""
    box: list = []

    def made() -> None:
        try:
            box.append(call())
        except Exception as error:
            box.append(error)

    thread = threading.Thread(target=made, daemon=True)
    thread.start()
    thread.join(seconds)
    return box[0] if box else None
