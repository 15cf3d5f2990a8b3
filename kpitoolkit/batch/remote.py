"""Outputs in a bucket, ``s3://bucket/prefix``: a mirror on this machine, brought level before, during and after a run.

Notebooks, sign-offs and checks work on the mirror, a plain folder. What changed goes up through papermill's own S3
session: a unit's files once all its notebooks are finished with, the index and what else there is at the end. While
files are being replaced the bucket's ``run.json`` describes only those that stand as they were; then the unit's new
ones, too; the run's own goes up last. So whenever the network or the machine fails, what ``run.json`` lists is there,
byte for byte, and the next run goes on from it, on whatever machine. What a broken run has made besides stays in the
mirror, where the next one on the same machine finds it.
"""

import hashlib
import json
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kpitoolkit import parameters
from kpitoolkit.batch import bucket, record
from kpitoolkit.batch.publish import inside, only_run
from kpitoolkit.batch.record import Entry
from kpitoolkit.batch.standing import RUN
from kpitoolkit.errors import ToolkitError, of_system
from kpitoolkit.sample import cache_root

_URL = re.compile(r"s3:/{1,2}(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/[^/]+)*)/?")
_INDEX = "index.html"
_AT_ONCE = 8
_log = logging.getLogger(__name__)


def is_remote(said: object) -> bool:
    """Tell whether a place is in a bucket.

    Examples
    --------
    >>> is_remote("s3://bucket/reports"), is_remote("outputs"), is_remote(None)
    (True, False, False)
    """
    return str(said).lower().startswith("s3:")


def parse(said: str) -> tuple[str, str]:
    """Return the bucket and the prefix of a URL, or refuse what is none, holds credentials or climbs.

    Examples
    --------
    >>> parse("s3://reports/kpi/2026/")
    ('reports', 'kpi/2026')
    >>> parse("s3://key:secret@reports/kpi")
    Traceback (most recent call last):
    kpitoolkit.errors.ToolkitError: s3://***: a URL with credentials or options is refused. Write s3://bucket/prefix;
    credentials come from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)
    """
    host = re.sub(r"^s3:/*", "", said, flags=re.IGNORECASE).partition("/")[0]
    if "@" in host or ":" in host or "?" in said or "#" in said:
        raise ToolkitError(
            "s3://***: a URL with credentials or options is refused. Write s3://bucket/prefix; credentials come from "
            "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
        )
    parts = _URL.fullmatch(said)
    names = parts["prefix"].strip("/").split("/") if parts else []
    if not parts or any(name in (".", "..") or "\\" in name or not name.isprintable() for name in names):
        raise ToolkitError(f"{said!r} is no place in a bucket. Write s3://bucket/prefix")
    return parts["bucket"], "/".join(names)


def in_words(error: ToolkitError | OSError) -> str:
    """Say what kept files from being uploaded, with what was noted besides."""
    said = of_system(error) if isinstance(error, OSError) else str(error)
    return ". ".join([said, *getattr(error, "__notes__", ())])


@dataclass(eq=False)
class Mirror:
    """A case's outputs in a bucket, and their mirror.

    Attributes
    ----------
    root : Path
        The mirror's root of outputs: the place of ``--output``.
    kept : Path
        Where is noted what was last seen in the bucket.
    up, gone : set of str
        What was uploaded since, and what was removed there.
    unsure : set of str
        Whose upload was begun, and perhaps broken off.
    """

    where: str
    store: bucket.Store
    root: Path
    case: str
    kept: Path
    remembered: dict[str, list[str]] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)
    up: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)

    @property
    def home(self) -> Path:
        """The mirror of the case's folder."""
        return self.root / self.case

    def pull(self) -> int:
        """Bring the mirror level with the bucket; return the number of files that were fetched.

        What changed in the bucket since it was last seen is fetched. Where ``run.json`` is one of them, another machine
        has run the case, and what is in the mirror alone goes; else that is work of this machine's own, and stays.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.remembered = self._load()
        self.there = {name: tag for name, tag in self.store.tags(self.case).items() if not _hidden(name)}
        places = {name: inside(self.home, name) for name in self.there}
        others = self._tag(RUN) != self.there.get(RUN, "")
        wanted = [
            name
            for name, tag in self.there.items()
            if tag != self._tag(name) or (others and _digest(places[name]) != self.remembered[name][1])
        ]
        _each(lambda name: self.store.fetch(f"{self.case}/{name}", places[name]), wanted)
        if others:
            for name in _files(self.home) - set(self.there):
                inside(self.home, name).unlink()
            self.remembered = {name: known for name, known in self.remembered.items() if name in self.there}
        self.remembered |= {name: [self.there[name], _digest(places[name])] for name in wanted}
        if RUN in wanted:
            record.write_atomically(self.kept / RUN, (self.home / RUN).read_bytes())
        self._save()
        return len(wanted)

    def push(self, held: Callable[[], None] = lambda: None) -> None:
        """Bring the bucket level with the mirror; the run's own ``run.json`` goes up last.

        Parameters
        ----------
        held : callable
            Asked before anything is changed: raises where the case is not this run's any more.
        """
        here = {name: _digest(self.home / name) for name in _files(self.home)}
        self._send(here, set(self.remembered), held)
        held()
        if RUN in here and self._known().get(RUN) != here[RUN]:
            self._put_run((self.home / RUN).read_bytes())
            self.up.add(RUN)
        self._see("", here)
        self._save()

    def push_units(self, units: Iterable[str], held: Callable[[], None] = lambda: None) -> None:
        """Bring the bucket level with what the mirror has of units, and let its ``run.json`` describe that, too.

        Parameters
        ----------
        units : iterable of str
            All their notebooks are finished with. Of one that is made again all the same, as by a cluster's second
            attempt, nothing is described whose files are not those that went up.
        held : callable
            As `push` takes it.
        """
        units = sorted(units)
        folders = [f"{above}{unit}" for unit in units for above in ("", "failed/")]
        here = {name: _digest(self.home / name) for folder in folders for name in _files(self.home, folder)}
        before = {name for name in self.remembered if name.startswith(tuple(f"{folder}/" for folder in folders))}
        if self._send(here, before, held):
            for folder in folders:
                self._see(f"{folder}/", here)
        now = {name: _digest(self.home / name) for name in here}
        sent = {name for name, sha in self._known().items() if here.get(name) == now.get(name) == sha}
        described = _run_of(self._described())
        entries = {
            place: entry
            for place, entry in record.load(self.home / RUN).items()
            if entry.unit in units and set(entry.outputs) <= sent and record.holds(self.home, entry)
        }
        known = described.get("notebooks", {})
        said = {place: (entry.get("key"), entry["outputs"]) for place, entry in known.items()}
        if any(said.get(place) != (entry.key, entry.outputs) for place, entry in entries.items()):
            held()
            notebooks = known | {place: vars(entry) for place, entry in entries.items()}
            self._put_run(_written({**described, "case": self.case, "complete": False, "notebooks": notebooks}))
        self._save()

    def _send(self, here: dict[str, str], before: set[str], held: Callable[[], None]) -> bool:
        """Upload what differs and remove what is not here any more; tell whether there was anything to do.

        Meanwhile ``run.json`` describes none of it; but for a page whose line on its sign-off alone is another.
        """
        known = self._known()
        changed = sorted(name for name, sha in here.items() if known.get(name) != sha and name != RUN)
        removed = sorted(before & set(self.remembered) & set(self.there) - set(here))
        if not changed and not removed:
            return False
        held()
        described = self._described()
        run = _run_of(described)
        said = {n: sha for entry in run.get("notebooks", {}).values() for n, sha in entry["outputs"].items()}
        pages = (name for name in changed if name.endswith(".html"))
        same = {name for name in pages if said.get(name) == record.file_digest(self.home / name)}
        without = _without(run, {*changed, *removed} - same)
        if without != described:
            self._put_run(without)
        self.unsure |= {*changed}
        last = [name for name in changed if name == _INDEX]
        notebooks = [name for name in changed if name.endswith(".ipynb")]
        _each(self._put, (name for name in changed if name not in {*notebooks, *last}))
        for name in (*notebooks, *last):  # papermill's handler is not made for threads
            self._put(name)
        _each(lambda name: self.store.remove(f"{self.case}/{name}"), removed)
        self.up |= {*changed}
        self.gone |= {*removed}
        return True

    def _known(self) -> dict[str, str]:
        """Return the hash of each file that is in the bucket as it was last seen there."""
        seen = ((name, sha) for name, (tag, sha) in self.remembered.items() if tag == self.there.get(name))
        return {name: sha for name, sha in seen if name not in self.unsure}

    def _see(self, folder: str, here: dict[str, str]) -> None:
        """Note what is below a folder of the bucket after it was brought level with the files that are here."""
        found = self.store.tags(f"{self.case}/{folder}".rstrip("/"))
        found = {f"{folder}{name}": tag for name, tag in found.items() if not _hidden(name)}
        seen = {name: [tag, here[name]] for name, tag in found.items() if name in here}
        self.there = {name: tag for name, tag in self.there.items() if not name.startswith(folder)} | found
        self.remembered = {name: k for name, k in self.remembered.items() if not name.startswith(folder)} | seen
        self.unsure = {name for name in self.unsure if not name.startswith(folder)}

    def _put(self, name: str) -> None:
        self.store.put(f"{self.case}/{name}", self.home / name)

    def _put_run(self, content: bytes) -> None:
        """Put a ``run.json``, and note it at once: it is this machine's own."""
        tag = self.store.put_bytes(f"{self.case}/{RUN}", content)
        record.write_atomically(self.kept / RUN, content)
        self.remembered[RUN], self.there[RUN] = [tag, hashlib.sha256(content).hexdigest()], tag
        self._save()

    def _described(self) -> bytes:
        if RUN in self.there and (self.kept / RUN).is_file():
            return (self.kept / RUN).read_bytes()
        return b""

    def _tag(self, name: str) -> str:
        return self.remembered.get(name, ("", ""))[0]

    def _load(self) -> dict[str, list[str]]:
        try:
            return dict(json.loads((self.kept / "objects.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _save(self) -> None:
        record.write_atomically(self.kept / "objects.json", json.dumps(self.remembered, indent=0))


class Uploads:
    """What goes up while a run goes on: each unit whose notebooks are finished with; called, at the end, the rest.

    A unit that cannot go up, as where the network is lost, does with a later one, or at the end; why is told at once,
    the same only once. In a folder, nothing.
    """

    def __init__(self, mirror: Mirror | None = None):
        self.mirror, self.held = mirror, lambda: None
        self.open: dict[str, set[str]] = {}
        self.ready: set[str] = set()
        self.told: set[str] = set()
        self.changed, self.ended = threading.Condition(), False
        self.thread = threading.Thread(target=self._send, daemon=True)

    def begin(self, held: Callable[[], None] = lambda: None) -> None:
        """Send up units from now on; ``held`` as `Mirror.push` takes it."""
        self.held = held
        self.thread.start()

    def take(self, entry: Entry) -> None:
        """Take in what a run tells of a notebook."""
        with self.changed:
            left = self.open.setdefault(entry.unit, set())
            if entry.status in ("waiting", "running"):
                left.add(entry.place)
                return
            left.discard(entry.place)
            if not left:
                self.ready.add(entry.unit)
                self.changed.notify()

    def _send(self) -> None:
        units: set[str] = set()
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or self.ready)
                if self.ended:
                    return
                units, self.ready = units | self.ready, set()
            try:
                self.mirror.push_units(units, self.held)
                units = set()
            except (ToolkitError, OSError) as error:
                self._tell(in_words(error))
            except Exception as error:  # would hold up the others, too: the end raises it again
                self._tell(f"{', '.join(sorted(units))}: {type(error).__name__}")
                units = set()

    def _tell(self, fault: str) -> None:
        reason = fault.partition(": ")[2]  # the same of another object is no news
        if reason not in self.told:
            self.told.add(reason)
            _log.warning("not uploaded so far: %s", fault)

    def stop(self, seconds: float | None = None) -> bool:
        """Let the unit that is under way go up, within these seconds, and no other; tell whether none is any more."""
        with self.changed:
            self.ended = True
            self.changed.notify()
        if self.thread.is_alive():
            self.thread.join(seconds)
        return not self.thread.is_alive()

    def __call__(self) -> str:
        """Send up the rest, and return a sentence on what went up; of a folder, an empty one."""
        if self.mirror is None:
            return ""
        self.stop()
        self.mirror.push(self.held)
        up, gone = len(self.mirror.up), len(self.mirror.gone)
        also = f", {gone} removed there" if gone else ""
        return f"{self.mirror.where}: {up} file{'' if up == 1 else 's'} uploaded{also}. Mirror: {self.mirror.home}"


@contextmanager
def outputs(said: str | Path | None, folder: Path, change: bool = True) -> Iterator[tuple[Path | None, Uploads]]:
    """Yield the root of outputs on this machine for ``--output``, and what sends them up.

    Parameters
    ----------
    said : str, Path or None
        A folder, or ``s3://bucket/prefix``.
    folder : Path
        The case's folder of parameters; the outputs of last quarter's case, which it names, are fetched too.
    change : bool
        Whether anything is going to be changed: then no other may run the case meanwhile.

    Yields
    ------
    Path or None, Uploads

    Raises
    ------
    ToolkitError
        Before anything runs: no credentials, no such bucket, or another run of the case.
    """
    if not is_remote(said):
        yield (Path(said) if said else None), Uploads()
        return
    name, prefix = parse(str(said))
    store = bucket.Store(name, prefix)
    case = parameters.read_case(folder)
    for before in sorted({one.previous_case for one in (*case.units.values(), case.group)} - {""}):
        with _kept(store, before) as mirror:
            mirror.pull()
    with _level(store, case.name, change) as (mirror, uploads):
        yield mirror.root, uploads


@contextmanager
def case_outputs(said: str | Path, change: bool) -> Iterator[tuple[str | Path, Callable[[], str]]]:
    """Yield a case's folder of outputs, as ``sign`` and ``verify`` take it, and what to call once it is to go up.

    Parameters
    ----------
    said : str or Path
        A folder or its name, or ``s3://bucket/prefix/case``.
    change : bool
        Whether it is going to be changed: then no other may run the case meanwhile.
    """
    if not is_remote(said):
        yield said, Uploads()
        return
    name, prefix = parse(str(said))
    above, _, case = prefix.rpartition("/")
    if not case:
        raise ToolkitError(f"{said}: name the case's folder in the bucket, such as s3://{name}/2026Q3")
    with _level(bucket.Store(name, above), case, change) as (mirror, publish):
        yield mirror.home, publish


@contextmanager
def _level(store: bucket.Store, case: str, change: bool) -> Iterator[tuple[Mirror, Uploads]]:
    """Yield a case's mirror, level with the bucket, and what sends up what is changed in it."""
    with _kept(store, case) as mirror:
        if not change:
            mirror.pull()
            yield mirror, Uploads()
            return
        uploads = Uploads(mirror)
        with bucket.locked(store, f"{case}/{bucket.LOCK}", mirror.where, uploads.stop) as held:
            mirror.pull()
            uploads.begin(held)
            yield mirror, uploads


@contextmanager
def _kept(store: bucket.Store, case: str) -> Iterator[Mirror]:
    """Hold a case's mirror on this machine for one process."""
    place = f"{store.name}-{record.digest([store.endpoint, store.name, store.prefix])[:12]}"
    root = cache_root() / "s3" / place
    kept = root / "seen" / case
    kept.mkdir(parents=True, exist_ok=True)
    with only_run(kept):
        yield Mirror(store.url(case), store, root / "outputs", case, kept)


def _hidden(name: str) -> bool:
    return name.endswith("/") or any(part.startswith(".") for part in name.split("/"))


def _files(home: Path, below: str = "") -> set[str]:
    """Return the names of a folder's own files, or of those below a place in it; not what a link leads to."""
    found = set()
    for folder, _, names in os.walk(home / below):
        for path in (Path(folder, name) for name in names):
            name = path.relative_to(home).as_posix()
            if not _hidden(name) and path.is_file() and not path.is_symlink():
                found.add(name)
    return found


def _digest(path: Path) -> str:
    """Return the hash of all of a file's bytes, of a page its line on the sign-off too; of none, an empty string."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _run_of(described: bytes) -> dict:
    """Read a ``run.json``; one that is missing or damaged describes nothing."""
    try:
        run = json.loads(described)
        return run if all(isinstance(entry["outputs"], dict) for entry in run["notebooks"].values()) else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _without(run: dict, touched: set[str]) -> bytes:
    """Return a ``run.json`` that describes only what is not about to be replaced."""
    known = {place: e for place, e in run.get("notebooks", {}).items() if not touched & set(e["outputs"])}
    return _written({**run, "complete": False, "notebooks": known})


def _written(run: dict) -> bytes:
    return (json.dumps(run, ensure_ascii=False, default=str) + "\n").encode("utf-8")


def _each(call: Callable[[str], None], names: Iterable[str]) -> None:
    """Call for each name, several at once; the first failure ends it. An interruption waits for no call under way."""
    left, faults = deque(names), []

    def work() -> None:
        while not faults:
            try:
                name = left.popleft()
            except IndexError:
                return
            try:
                call(name)
            except BaseException as error:
                faults.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_AT_ONCE, len(left)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        left.clear()
    if faults:
        raise faults[0]
