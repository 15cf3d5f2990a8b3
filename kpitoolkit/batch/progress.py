"""How far a run is, for a person: a live display on a terminal, else one plain line for each notebook.

Time left is told once a notebook of this run has finished, from what each took last time and how this run compares.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TextIO

from kpitoolkit.batch.record import Entry
from kpitoolkit.contracts import GROUP_UNIT

SILENCE_SECONDS = 300.0
_MOST_RUNNING = 12


class State:
    """What a run has been told of: which notebooks wait, run and are finished with.

    Parameters
    ----------
    jobs : int, optional
        Units at the same time; by default one for each processor.
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, jobs: int | None = None, clock: Callable[[], float] = time.monotonic):
        self.jobs, self.clock, self.began, self.total = jobs or os.cpu_count() or 1, clock, clock(), 0
        self.waiting: dict[str, Entry] = {}
        self.running: dict[str, tuple[Entry, float, datetime]] = {}
        self.finished: dict[str, Entry] = {}
        self.last: dict[str, float] = {}

    def take(self, entry: Entry, total: int) -> None:
        """Take in what a run tells of a notebook."""
        self.total = total
        if entry.status == "waiting":
            self.waiting[entry.place], self.last[entry.place] = entry, entry.seconds
            return
        self.waiting.pop(entry.place, None)
        if entry.status == "running":
            self.running[entry.place] = (entry, self.clock(), datetime.now())
            return
        self.running.pop(entry.place, None)
        self.finished[entry.place] = entry

    def count(self, *statuses: str) -> int:
        """Return how many notebooks are finished with in one of these ways."""
        return sum(entry.status in statuses for entry in self.finished.values())

    def left(self) -> float | None:
        """Return the seconds that are left, as far as they can be foretold; None while there is no ground for it.

        A notebook is expected to take what it took last time, times how this run has compared so far (nothing where
        it is unchanged); one that never ran, the mean of its namesakes. Units share the jobs; the group comes last.

        Examples
        --------
        >>> now = State(jobs=2, clock=lambda: 0.0)
        >>> for unit in ("a", "b", "c"):
        ...     now.take(Entry(unit, "first", "en", "waiting", seconds=10.0), 3)
        >>> now.left()
        >>> now.take(Entry("a", "first", "en", "made", seconds=20.0), 3)
        >>> now.left()
        20.0
        """
        if not self.finished:
            return None
        spent = {place: _spent(entry) for place, entry in self.finished.items()}
        before = sum(self.last.get(place, 0.0) for place in spent)
        ratio = sum(spent[place] for place in spent if self.last.get(place)) / before if before else 1.0
        chains: dict[str, float] = {}
        pending = [(entry, 0.0) for entry in self.waiting.values()]
        pending += [(entry, self.clock() - began) for entry, began, _ in self.running.values()]
        for entry, elapsed in pending:
            expected = self._expected(entry, spent, ratio)
            if expected is None:
                return None
            chains[entry.unit] = chains.get(entry.unit, 0.0) + max(expected - elapsed, 0.0)
        group = chains.pop(GROUP_UNIT, 0.0)
        return max(sum(chains.values()) / min(self.jobs, len(chains) or 1), *chains.values(), 0.0) + group

    def _expected(self, entry: Entry, spent: dict[str, float], ratio: float) -> float | None:
        if self.last.get(entry.place):
            return self.last[entry.place] * ratio
        same = [spent[place] for place, other in self.finished.items() if other.notebook == entry.notebook]
        if same:
            return sum(same) / len(same)
        known = [(place, seconds) for place, seconds in self.last.items() if seconds]
        same = [seconds * ratio for place, seconds in known if _notebook(place) == entry.notebook]
        return sum(same) / len(same) if same else None


def _spent(entry: Entry) -> float:
    return entry.seconds if entry.status in ("made", "failed") else 0.0


def _notebook(place: str) -> str:
    return place.split("/", 1)[1].rsplit(".", 1)[0]


def duration(seconds: float) -> str:
    """Write a duration as a person says it.

    Examples
    --------
    >>> duration(8.4), duration(95), duration(1234), duration(7300)
    ('8 s', '1 min 35 s', '21 min', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def said(entry: Entry, first: bool = True) -> str:
    """Say in one line what became of a notebook; what is wrong with a unit's data only at its first one.

    Examples
    --------
    >>> said(Entry("retail-it", "regression", "it", "made", seconds=24.2, kernel="warm"))
    'retail-it regression: made in 24 s (warm)'
    >>> said(Entry("b2b", "summary", "it", "refused", message="a.csv: no rows\\nb.csv: no rows"))
    'b2b summary: refused: a.csv: no rows (1 more told at the end)'
    """
    line = f"{entry.unit} {entry.notebook}: {entry.status.replace('_', ' ')}"
    if entry.status == "made":
        return f"{line} in {duration(entry.seconds)}" + (f" ({entry.kernel})" if entry.kernel else "")
    message, *others = entry.message.split("\n")
    if entry.status == "refused" and not first:
        return line
    more = f" ({len(others)} more told at the end)" if others else ""
    return line + (f": {message}{more}" if message else "")


def summary(state: State) -> str:
    """Say in a few words how far a run is.

    Examples
    --------
    >>> now = State(jobs=1, clock=lambda: 0.0)
    >>> now.take(Entry("a", "first", "en", "failed", seconds=3.0), 2)
    >>> now.take(Entry("b", "first", "en", "waiting"), 2)
    >>> summary(now)
    '1 of 2: 1 failed; about 3 s left'
    """
    counts = {
        "made": state.count("made"),
        "unchanged": state.count("unchanged"),
        "not made": state.count("not_made"),
        "refused": state.count("refused"),
        "failed": state.count("failed"),
    }
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    left = state.left()
    told = f"; about {duration(left)} left" if left is not None and left >= 1 else ""
    return f"{len(state.finished)} of {state.total}" + (f": {parts}" if parts else "") + told


@contextmanager
def shown(jobs: int | None = None, to: TextIO | None = None) -> Iterator[Callable[[Entry, int, int], None]]:
    """Yield what is told of a run's notebooks (``tell`` of `runner.run_case`) and show it to a person.

    Parameters
    ----------
    jobs : int, optional
        Units at the same time.
    to : text stream, optional
        By default standard error. On a terminal the display is live; ``TERM=dumb`` counts as none.
    """
    to = to or sys.stderr
    live = to.isatty() and os.environ.get("TERM", "") != "dumb"
    with (_live if live else _plain)(State(jobs), to) as tell:
        yield tell


class _Lines:
    """Tells which notebook of a unit is the first to be refused."""

    def __init__(self):
        self.refused: set[str] = set()

    def of(self, entry: Entry) -> str:
        first = entry.unit not in self.refused
        if entry.status == "refused":
            self.refused.add(entry.unit)
        return said(entry, first)


@contextmanager
def _plain(state: State, to: TextIO) -> Iterator[Callable[[Entry, int, int], None]]:
    """One line with the time of day for each notebook, and after minutes of silence one of what is running."""
    lines, lock, ended, heard = _Lines(), threading.Lock(), threading.Event(), [time.monotonic()]

    def write(line: str) -> None:
        heard[0] = time.monotonic()
        print(f"{datetime.now():%H:%M:%S} {line}", file=to, flush=True)

    def tell(entry: Entry, done: int, total: int) -> None:
        with lock:
            state.take(entry, total)
            if entry.status not in ("waiting", "running"):
                write(f"[{done}/{total}] {lines.of(entry)}")

    def watch() -> None:
        while not ended.wait(min(SILENCE_SECONDS / 10, 5.0)):
            with lock:
                if state.running and time.monotonic() - heard[0] >= SILENCE_SECONDS:
                    running = ", ".join(
                        f"{entry.unit} {entry.notebook} since {at:%H:%M:%S}" for entry, _, at in state.running.values()
                    )
                    write(f"still running: {running} ({summary(state)})")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield tell
    finally:
        ended.set()
        watcher.join()


@contextmanager
def _live(state: State, to: TextIO) -> Iterator[Callable[[Entry, int, int], None]]:
    """A bar, what is running and for how long; what fails is written above it and stays."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    lines, lock = _Lines(), threading.Lock()
    console = Console(file=to, highlight=False, markup=False, emoji=False)

    def drawn() -> Group:
        with lock:
            bar = Table.grid(padding=(0, 1))
            spent = duration(state.clock() - state.began)
            bar.add_row(
                ProgressBar(state.total or 1, len(state.finished), width=24), Text(f"{summary(state)} ({spent} so far)")
            )
            running = Table.grid(padding=(0, 2))
            now = [*state.running.values()]
            for entry, began, at in now[:_MOST_RUNNING]:
                running.add_row(
                    Text(f"  {entry.unit}"), entry.notebook, f"{duration(state.clock() - began)}, since {at:%H:%M:%S}"
                )
            more = [Text(f"  and {len(now) - _MOST_RUNNING} more")] if len(now) > _MOST_RUNNING else []
            return Group(bar, running, *more)

    with Live(get_renderable=drawn, console=console, refresh_per_second=4, transient=True) as live:

        def tell(entry: Entry, done: int, total: int) -> None:
            with lock:
                state.take(entry, total)
                line = f"{datetime.now():%H:%M:%S} {lines.of(entry)}" if entry.status in ("failed", "refused") else ""
            if line and not (entry.status == "refused" and line.endswith(": refused")):
                live.console.print(Text(line))

        yield tell
