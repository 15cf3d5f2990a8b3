"""Temporary folders of running processes: sockets of kernels and of their server, removed however a process ends.

Whoever makes one holds a lock in it until it ends; a folder that nobody holds is removed by the next run.
"""

import contextlib
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

_PREFIX, _HELD = "kpi-", ".held"


class Scratch:
    """A folder of this process.

    Attributes
    ----------
    path : Path
    """

    def __init__(self):
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._held = _hold(self.path)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._held is not None:
            self._held.close()


@functools.cache
def sweep() -> None:
    """Remove, once in each process, the folders of processes that have ended without removing them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another's, which is not ours to look into
            held = _hold(folder) if (folder / _HELD).is_file() else None
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                held.close()


def _hold(folder: Path) -> IO | None:
    """Hold a folder until this process ends; None where another does, or where the system has no such hold."""
    if os.name == "nt":
        return None
    import fcntl

    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        file = stack.enter_context(open(folder / _HELD, "w", encoding="utf-8"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stack.pop_all()
        return file
    return None
