"""Where finished files go: each to its place in one step, never outside the case's folder, one run at a time."""

import os
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from kpitoolkit.errors import ToolkitError


def publish(home: Path, files: dict[str, Path], earlier: Iterable[str] = ()) -> None:
    """Move finished files to their places, each in one step, and remove what the same notebook no longer writes.

    Parameters
    ----------
    home : Path
        The case's folder of outputs; every place must lie inside.
    files : dict of Path
        Finished files by their place below ``home``.
    earlier : iterable of str
        What the same notebook wrote last time.
    """
    places = {name: inside(home, name) for name in files}
    for name, place in places.items():
        move(files[name], place)
    for name in set(earlier) - set(files):
        inside(home, name).unlink(missing_ok=True)


def inside(home: Path, name: str) -> Path:
    """Return the path of an output, refusing one outside the case's folder, or that a link leads elsewhere."""
    path, root = (home / name).resolve(), home.resolve()
    if path != root / name or not path.is_relative_to(root) or path == root:
        raise ToolkitError(f"'{name}' leads out of {home}, or to another place within: nothing was written there")
    return path


def refuse_outside(home: Path, names: Iterable[str]) -> None:
    """Refuse outputs as ``inside`` does, each folder looked at once: a run has thousands of files in a few folders."""
    known = {home}
    for name in names:
        path = home / name
        if path.parent not in known or path.name == ".." or path.is_symlink():
            inside(home, name)
            known.add(path.parent)


def move(source: Path, target: Path) -> None:
    """Move a file to its place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def refuse_links(home: Path, names: Iterable[str]) -> None:
    """Refuse a folder of outputs that is a link, or in which some of these names are."""
    links = [path for path in (home, *(home / name for name in names)) if path.is_symlink()]
    if links:
        shown = ", ".join(map(str, links[:5])) + (f" and {len(links) - 5} more" if len(links) > 5 else "")
        raise ToolkitError(f"links, through which nothing is written: {shown}. Remove them; nothing was run")


@contextmanager
def only_run(home: Path):
    """Hold the case's folder of outputs for one run; the system lets go of it however the run ends."""
    refuse_links(home, (".lock",))
    with open(home / ".lock", "w", encoding="utf-8") as file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            said = f"{home}: another run or signature of this case is under way. Wait until it has ended"
            raise ToolkitError(said) from error
        yield
