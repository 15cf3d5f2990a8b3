"""Where a notebook may write: its own folder, a temporary one and the caches, as Linux enforces it (Landlock).

A kernel confines itself before its first thread and cell, so all that it starts is confined too: it reads what it
likes, writes only below the folders of ``KPITOOLKIT_WRITABLE``, and reaches no process but its own. Where the system
has no Landlock, `Watched` notices afterwards which published files changed that no notebook of the run has published.
`launch` is a kernel's launcher that does so first, and sees to it that nothing which a kernel has started outlives it.
"""

import contextlib
import ctypes
import functools
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from kpitoolkit.batch import record

VARIABLE = "KPITOOLKIT_WRITABLE"
FOLDER = str(record.PACKAGE.parent)
OWN_PATH = f"import sys; sys.path[:] = [place for place in sys.path if place] + [{FOLDER!r}]"
"""First words of a process of ours: no file of the working folder stands in for a library."""
LAUNCHER = ["-c", f"{OWN_PATH}; from {__name__} import launch; launch()"]
"""What takes the place of ``-m ipykernel_launcher``."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts", "/dev/shm")
# linux/landlock.h; the numbers are the same on every architecture
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH, _NO_NEW_PRIVILEGES, _BE_SUBREAPER = 1, 1, 38, 36
_WRITE_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_OTHERS_SOCKETS_AND_PROCESSES = 0b11
_NOT_WATCHED = ("run.json", "index.html")


class _Rules(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def _system(number: int, *arguments) -> int:
    found = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


@functools.cache
def version() -> int:
    """Return the version of Landlock that this system has, 0 where it has none."""
    if sys.platform != "linux":
        return 0
    try:
        return _system(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    except OSError:
        return 0


def confine(folders: Iterable[str] | None = None) -> bool:
    """Let this process, and all that it starts from now on, write nowhere but below some folders.

    Call it before any thread is started: those that run already stay free.

    Parameters
    ----------
    folders : iterable of str, optional
        By default what ``KPITOOLKIT_WRITABLE`` lists; where it is not set, nothing is confined.

    Returns
    -------
    bool
        Whether it is confined now; not where the system has no Landlock.

    Raises
    ------
    OSError
        Where the system has Landlock and refuses.
    """
    if folders is None:
        if VARIABLE not in os.environ:
            return False
        folders = json.loads(os.environ[VARIABLE])
    known = version()
    if not known:
        return False
    rights = _WRITE_FILE | _REMOVE_AND_MAKE | (_REFER if known >= 2 else 0) | (_TRUNCATE if known >= 3 else 0)
    rules = _Rules(rights, 0, _OTHERS_SOCKETS_AND_PROCESSES if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    ruleset = _system(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in (*folders, *_DEVICES):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                _allow(ruleset, path, rights)
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _system(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    tempfile.tempdir = None  # asked for anew: a forked process may have known another
    return True


def _allow(ruleset: int, path: str, rights: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        allowed = rights if os.path.isdir(path) else rights & (_WRITE_FILE | _TRUNCATE)
        rule = _Beneath(allowed, folder)
        _system(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(folder)


def writable(own: Iterable[Path], protected: Iterable[Path]) -> list[str]:
    """Return the folders that a notebook may write to: its own, the temporary one and the caches; made where missing.

    Parameters
    ----------
    own : iterable of Path
        The notebook's own.
    protected : iterable of Path
        A shared folder that one of these lies in is not given.
    """
    home, stated = Path.home(), os.environ.get
    shared = [
        Path(tempfile.gettempdir()),
        Path(stated("XDG_CACHE_HOME") or home / ".cache"),
        Path(stated("MPLCONFIGDIR") or Path(stated("XDG_CONFIG_HOME") or home / ".config") / "matplotlib"),
        *(Path(stated(name)) for name in ("KPITOOLKIT_CACHE", "NUMBA_CACHE_DIR") if stated(name)),
        *sorted({path.parent / "__pycache__" for path in record.PACKAGE.rglob("*.py")}),  # what numba compiles
    ]
    if sys.platform == "darwin":
        shared.append(home / "Library" / "Caches")
    kept = [path.resolve() for path in shared]
    guarded = [path.resolve() for path in protected]
    kept = [path for path in kept if not any(place.is_relative_to(path) for place in guarded)]
    for path in kept:
        with contextlib.suppress(OSError):
            path.mkdir(parents=True, exist_ok=True)
    return [str(path) for path in dict.fromkeys([*(path.resolve() for path in own), *kept])]


class Watched:
    """The published files of a case as they stood before a notebook ran, where the system does not guard them.

    Parameters
    ----------
    home : Path
        The case's folder of outputs.
    noted : Path
        Folder where each notebook of the run notes what it is about to publish.
    """

    def __init__(self, home: Path, noted: Path):
        self.home, self.noted = home, noted
        self.before = {} if version() else _stamps(home)

    def changed(self) -> list[str]:
        """Return the files that have changed since, or are gone, though no notebook of the run published them so."""
        if version():
            return []
        after = _stamps(self.home)
        moved = sorted(name for name in self.before.keys() | after if self.before.get(name) != after.get(name))
        if not moved:
            return []
        published: dict[str, set[str]] = {}
        for path in self.noted.glob("*.json"):
            for name, digest in json.loads(path.read_text(encoding="utf-8")).items():
                published.setdefault(name, set()).add(digest)
        return [name for name in moved if record.file_digest(self.home / name) not in published.get(name, ())]


def note(noted: Path, outputs: Mapping[str, str], earlier: Iterable[str]) -> None:
    """Note what a notebook is about to publish or, as an empty hash, to remove."""
    if version():
        return
    noted.mkdir(parents=True, exist_ok=True)
    gone = dict.fromkeys(set(earlier) - set(outputs), "")
    record.write_atomically(noted / f"{record.digest(sorted(outputs))}.json", json.dumps({**gone, **outputs}))


def _stamps(home: Path) -> dict[str, tuple[int, int, int]]:
    """Return what changes where a published file does."""
    found = {}
    for folder, folders, files in os.walk(home):
        top = Path(folder) == home
        if top:
            folders[:] = [name for name in folders if not name.startswith(".") and name != "failed"]
        for name in files:
            path = Path(folder, name)
            if top and (name.startswith(".") or name in _NOT_WATCHED):
                continue
            with contextlib.suppress(OSError):
                seen = path.lstat()
                found[path.relative_to(home).as_posix()] = (seen.st_ino, seen.st_size, seen.st_mtime_ns)
    return found


def adopt() -> None:
    """Become the parent of what this process's descendants leave behind (Linux): so they stay its descendants."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_BE_SUBREAPER, 1, 0, 0, 0)


def end_all() -> None:
    """End this process with all that it has started, in its session or out of it."""
    try:
        import psutil

        for _ in range(5):  # until nothing is left that could start more
            with contextlib.suppress(psutil.Error):  # ended in the meantime
                found = psutil.Process().children(recursive=True)
                if not found:
                    break
                for one in found:
                    with contextlib.suppress(psutil.Error):
                        one.kill()
                psutil.wait_procs(found, timeout=0.2)
    finally:
        os.killpg(0, signal.SIGKILL)


def _end_with(parent: int) -> None:
    """Wait until the process that started this kernel has ended, then end with all that the kernel has started."""
    while os.getppid() == parent:
        time.sleep(1)
    end_all()


def launch() -> None:
    """Be a kernel that is confined, where that is asked for, and ends with whoever has started it."""
    import runpy

    sys.path.pop()  # where this module itself was found, if nowhere else
    confine()
    if os.getpgrp() == os.getpid():  # else others would be ended too
        adopt()
        # ipykernel's own look-out would end the kernel alone; the parent may be gone by now, so it is not asked for
        parent = int(os.environ.pop("JPY_PARENT_PID", os.getppid()))
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    sys.path.insert(0, "")  # the launcher takes off what comes first
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
