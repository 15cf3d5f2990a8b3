"""Outputs in a bucket, ``s3://bucket/prefix``: a mirror on this machine, brought level before a run and after it.

Notebooks, sign-offs and checks work on the mirror, a plain folder. What changed goes up through papermill's own S3
session. While pages are being replaced the bucket's ``run.json`` describes only those that stand as they were; the
run's own goes up last. So whenever the network fails, what ``run.json`` lists is there, byte for byte. What a broken
run has made stays in the mirror, and the next one goes on from it.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kpitoolkit import parameters
from kpitoolkit.batch import bucket, record
from kpitoolkit.batch.publish import inside, only_run
from kpitoolkit.batch.standing import RUN
from kpitoolkit.errors import ToolkitError
from kpitoolkit.sample import cache_root

_URL = re.compile(r"s3:/{1,2}(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/[^/]+)*)/?")
_AT_ONCE = 8


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


@dataclass(eq=False)
class Mirror:
    """A case's outputs in a bucket, and their mirror.

    Attributes
    ----------
    root : Path
        The mirror's root of outputs: the place of ``--output``.
    kept : Path
        Where is noted what was last seen in the bucket.
    """

    where: str
    store: bucket.Store
    root: Path
    case: str
    kept: Path
    remembered: dict[str, list[str]] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)

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
            (self.kept / RUN).write_bytes((self.home / RUN).read_bytes())
        self._save()
        return len(wanted)

    def push(self, held: Callable[[], None] = lambda: None) -> tuple[int, int]:
        """Bring the bucket level with the mirror; return how many files went up, and how many were removed there.

        Parameters
        ----------
        held : callable
            Asked before anything is changed: raises where the case is not this run's any more.
        """
        here = {name: _digest(self.home / name) for name in _files(self.home)}
        known = {name: sha for name, (tag, sha) in self.remembered.items() if tag == self.there.get(name)}
        changed = sorted(name for name, sha in here.items() if known.get(name) != sha and name != RUN)
        removed = sorted(set(self.remembered) & set(self.there) - set(here))
        held()
        if changed or removed:
            self._put_run(_without(self._described(), {*changed, *removed}))
            notebooks = [name for name in changed if name.endswith(".ipynb")]
            _each(self._put, (name for name in changed if name not in notebooks))
            for name in notebooks:  # papermill's handler, which is not made for threads
                self._put(name)
            _each(lambda name: self.store.remove(f"{self.case}/{name}"), removed)
            held()
        if RUN in here and (changed or removed or known.get(RUN) != here[RUN]):
            self._put_run((self.home / RUN).read_bytes())
            changed.append(RUN)
        self.there = {name: tag for name, tag in self.store.tags(self.case).items() if not _hidden(name)}
        self.remembered = {name: [self.there[name], sha] for name, sha in here.items() if name in self.there}
        self._save()
        return len(changed), len(removed)

    def _put(self, name: str) -> None:
        self.store.put(f"{self.case}/{name}", self.home / name)

    def _put_run(self, content: bytes) -> None:
        """Put a ``run.json``, and note it at once: it is this machine's own."""
        tag = self.store.put_bytes(f"{self.case}/{RUN}", content)
        (self.kept / RUN).write_bytes(content)
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


@contextmanager
def outputs(said: str | Path | None, folder: Path, change: bool = True) -> Iterator[tuple[Path | None, Callable]]:
    """Yield the root of outputs on this machine for ``--output``, and what to call once they are to go up.

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
    Path or None, callable
        The callable returns a sentence on what went up; of a folder, an empty one.

    Raises
    ------
    ToolkitError
        Before anything runs: no credentials, no such bucket, or another run of the case.
    """
    if not is_remote(said):
        yield (Path(said) if said else None), lambda: ""
        return
    name, prefix = parse(str(said))
    store = bucket.Store(name, prefix)
    case = parameters.read_case(folder)
    for before in sorted({one.previous_case for one in (*case.units.values(), case.group)} - {""}):
        with _kept(store, before) as mirror:
            mirror.pull()
    with _level(store, case.name, change) as (mirror, publish):
        yield mirror.root, publish


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
        yield said, lambda: ""
        return
    name, prefix = parse(str(said))
    above, _, case = prefix.rpartition("/")
    if not case:
        raise ToolkitError(f"{said}: name the case's folder in the bucket, such as s3://{name}/2026Q3")
    with _level(bucket.Store(name, above), case, change) as (mirror, publish):
        yield mirror.home, publish


@contextmanager
def _level(store: bucket.Store, case: str, change: bool) -> Iterator[tuple[Mirror, Callable[[], str]]]:
    """Yield a case's mirror, level with the bucket, and what to call once it is to go up."""
    with _kept(store, case) as mirror:
        if not change:
            mirror.pull()
            yield mirror, lambda: ""
            return
        with bucket.locked(store, f"{case}/{bucket.LOCK}", mirror.where) as held:
            mirror.pull()

            def publish() -> str:
                up, gone = mirror.push(held)
                also = f", {gone} removed there" if gone else ""
                return f"{mirror.where}: {up} file{'' if up == 1 else 's'} uploaded{also}. Mirror: {mirror.home}"

            yield mirror, publish


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


def _files(home: Path) -> set[str]:
    """Return the names of a folder's own files; what a link leads to is not one of them."""
    found = set()
    for folder, _, names in os.walk(home):
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


def _without(described: bytes, touched: set[str]) -> bytes:
    """Return a ``run.json`` that describes only what is not about to be replaced."""
    try:
        run = json.loads(described)
        known = {place: e for place, e in run["notebooks"].items() if not touched & set(e["outputs"])}
    except (ValueError, KeyError, TypeError, AttributeError):
        run, known = {}, {}
    content = {**run, "complete": False, "notebooks": known}
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def _each(call: Callable[[str], None], names: Iterable[str]) -> None:
    """Call for each name, several at once; the first failure ends it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for _ in pool.map(call, names):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
