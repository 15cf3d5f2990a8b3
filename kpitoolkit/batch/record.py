"""``run.json``: what was made from what, when, with which versions; and whether it would come out the same again.

A notebook's ``key`` is a hash of everything its output follows from. Its output is left alone while the key is the same
and the published files are, byte for byte, those that were written. ``inputs`` is the part of the key that a reader's
figures follow from (parameters, data, and last quarter's tables where a notebook takes ``previous_case``): results of
earlier notebooks are read only where it is the same.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

from kpitoolkit import __version__

GOOD = ("made", "unchanged")
LIBRARIES = (
    *("numpy", "pandas", "pyarrow", "pandera", "scipy", "statsmodels", "patsy", "numba", "llvmlite", "nutpie", "arviz"),
    *("matplotlib", "seaborn", "pillow", "duckdb", "ibis-framework", "sqlglot", "babel", "openpyxl"),
    *("nbconvert", "papermill", "ipykernel", "jinja2", "mistune", "nh3", "latex2mathml"),
)
"""What figures and pages are computed and written with: another version of one of them may bring others."""
NO_FIGURES = ("language", "catalogue", "unit_names")
"""Parameters that no figure follows from; the catalogue's content counts, not its place."""
PACKAGE = Path(__file__).parents[1]
SIGNOFF_BEGINS, SIGNOFF_ENDS = b"<!--sign-off:", b"<!--/sign-off-->"
_MAKING = re.compile(rb"<!--made:-->(?:\s*<span>[^<>]{1,80}</span>){0,4}\s*<!--/made-->")
_SOURCES = (".py", ".po", ".yml", ".csv", ".css", ".j2", ".html", ".json")


@dataclass
class Entry:
    """What became of one notebook of one unit in one language.

    ``status`` is ``made``, ``unchanged``, ``failed``, ``refused`` (its unit's data are faulty) or ``not_made`` (its
    tables are not declared). ``outputs`` maps files, relative to the case's folder of outputs, to their SHA-256.
    ``attempts`` holds why each earlier attempt of the same run failed. ``parts`` are short hashes of what the key is
    of, ``because`` why it was made; ``kernel`` is ``warm`` or ``cold``, or empty where none was started.
    """

    unit: str
    notebook: str
    language: str
    status: str
    message: str = ""
    key: str = ""
    inputs: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    parameters: dict = field(default_factory=dict)
    finished: str = ""
    seconds: float = 0.0
    git: str = ""
    left_out: list[str] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    parts: dict = field(default_factory=dict)
    because: str = ""
    kernel: str = ""

    @property
    def place(self) -> str:
        """The entry's name in ``run.json``."""
        return f"{self.unit}/{self.notebook}.{self.language}"


def digest(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def plain(value: object) -> object:
    """Return a value as it is once it was written into ``run.json`` and read back."""
    return json.loads(json.dumps(value, default=str))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, or an empty string where there is no file.

    A page's line on its own sign-off is no part of it: a signature must not change what was signed.
    """
    try:
        with open(path, "rb") as file:
            if path.suffix == ".html":
                return hashlib.sha256(b"".join(parted(file.read())[::2])).hexdigest()
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""


def parted(page: bytes) -> tuple[bytes, bytes, bytes]:
    """Part a page into what stands before its sign-off, the sign-off with its two marks, and what stands behind.

    The last mark of a page counts: what comes from data stands before it.

    Examples
    --------
    >>> parted(b"<main><!--sign-off:7f-->signed<!--/sign-off--></main>")
    (b'<main>', b'<!--sign-off:7f-->signed<!--/sign-off-->', b'</main>')
    >>> parted(b"<main></main>")
    (b'<main></main>', b'', b'')
    """
    begin = page.rfind(SIGNOFF_BEGINS)
    end = page.find(SIGNOFF_ENDS, begin)
    if begin < 0 or end < 0:
        return page, b"", b""
    end += len(SIGNOFF_ENDS)
    return page[:begin], page[begin:end], page[end:]


def without_making(page: bytes) -> bytes:
    """Return a page without what it says of when and how it was made: made again, it may differ in nothing else.

    Only plain words between the two last marks are taken out, so that nothing else can be put there unnoticed.

    Examples
    --------
    >>> without_making(b"<footer><!--made:--> <span>duration: 24 s</span><!--/made--></footer>")
    b'<footer></footer>'
    >>> without_making(b"<!--made:--><h1>12 M</h1><!--/made-->")
    b'<!--made:--><h1>12 M</h1><!--/made-->'
    """
    found = [*_MAKING.finditer(page)][-1:]
    return page[: found[0].start()] + page[found[0].end() :] if found else page


def files_digest(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its path below the root."""
    return {path.relative_to(root).as_posix(): file_digest(path) for path in sorted(paths)}


@cache
def package_digest() -> str:
    """Return one hash of all sources of this package: code, catalogues, templates and built-in data."""
    return digest(files_digest(PACKAGE, (p for p in PACKAGE.rglob("*") if p.suffix in _SOURCES and p.is_file())))


@cache
def versions() -> dict[str, str]:
    """Return the versions that figures and pages follow from."""
    found = {"kpitoolkit": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@cache
def git_commit(folder: Path = PACKAGE) -> str:
    """Return the commit of the package's repository, with ``+`` where files were changed since; empty without git."""
    said = []
    for words in ("rev-parse HEAD", "status --porcelain -uno"):
        command = ["git", *words.split()]
        try:
            ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return ""
        said.append(ran.stdout.strip())
    return said[0] + ("+" if said[1] else "")


def holds(root: Path, entry: Entry) -> bool:
    """Tell whether all the files of an entry are still those that were written."""
    return bool(entry.outputs) and all(file_digest(root / name) == found for name, found in entry.outputs.items())


def inputs_digest(values: Mapping, catalogue: str, content: Mapping[str, str]) -> str:
    """Return the hash of what a notebook's figures follow from: its parameters, the catalogue's hash, the data's."""
    figures = {name: value for name, value in values.items() if name not in NO_FIGURES}
    return digest([figures, catalogue, content])


def load(path: Path) -> dict[str, Entry]:
    """Read the entries of a ``run.json``; one that is missing or damaged is as good as empty: all is made again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {place: Entry(**said) for place, said in content["notebooks"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def last_index(path: Path) -> str:
    """Return what the last complete run noted of its index, or an empty string."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("index", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file beside its place, then move it there in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.unlink(missing_ok=True)
        beside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)  # as where the disk is full


def save(path: Path, run: Mapping, entries: Mapping[str, Entry]) -> None:
    """Write ``run.json``: the run's own facts, then every notebook's.

    While a run is under way it is written after each notebook, so then without line breaks: eight times faster.
    """
    content = {**run, "notebooks": {place: vars(entry) for place, entry in sorted(entries.items())}}
    indent = 1 if run.get("complete") else None
    write_atomically(path, json.dumps(content, indent=indent, ensure_ascii=False, default=str) + "\n")
