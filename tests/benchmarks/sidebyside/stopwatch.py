"""Seconds and memory of a piece of work, each in a process of its own. Standard library only: peers' processes use it.

A worker is a module with `TASKS`; it is started with a request (JSON), and writes its answer into a file. The clock
runs after imports and after what the task reads ahead. Memory is the kernel's high-water mark of resident memory, reset
when the clock starts; the parent watches the whole process tree besides and ends it where it goes over a limit.
"""

import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[3]
WATCH_SECONDS = 0.02
MB = 1e6


class Stopwatch:
    """Clock of one worker: `imported` notes the memory after imports, `run` times a piece of work."""

    def __init__(self):
        self.readings = {}
        self.imported()

    def imported(self) -> None:
        """Note the memory that the imports hold."""
        self.readings["imported_mb"] = resident()

    def run(self, work, name="work"):
        """Call `work`; note wall seconds, CPU seconds (all threads, and children), and peak memory in MB."""
        gc.collect()
        _forget_peak()
        reading = timed(work)
        self.readings[name] = reading | {"peak_mb": _peak()}
        return self.readings[name].pop("answer")


def timed(work) -> dict:
    """Call `work`; return answer, wall seconds, and CPU seconds of all threads and of children."""
    cpu, began = _cpu(), time.perf_counter()
    answer = work()
    return {"answer": answer, "wall": time.perf_counter() - began, "cpu": _cpu() - cpu}


def answer(tasks: dict) -> None:
    """Do the task that this worker was started for, and write what it returns, or why it failed."""
    request = json.loads(sys.argv[1])
    out = Path(request.pop("out"))
    watch = Stopwatch()
    try:
        found = {"result": tasks[request.pop("task")](watch, **request)} | watch.readings
    except Exception as error:  # the report tells what happened
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"} | watch.readings
    out.write_text(json.dumps(found))


def start(python: str | Path, module: str, limit_mb: float | None = None, **request) -> dict:
    """Start a worker and return its answer, with `tree_mb`, the most that all its processes held at once.

    Parameters
    ----------
    python : path of the interpreter
    module : str
        Module of this folder.
    limit_mb : float, optional
        The worker is ended where its processes hold more; the answer then is `error`.
    request
        task, and what the task takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answer.json"
        log = Path(folder) / "log"
        command = [str(python), "-m", f"tests.benchmarks.sidebyside.{module}", json.dumps(request | {"out": str(out)})]
        with log.open("w") as sink:
            child = subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=sink, start_new_session=True)
            most, over = _watched(child, limit_mb)
        if over:
            return {"error": f"ended at {most:,.0f} MB, limit {limit_mb:,.0f} MB", "tree_mb": most}
        if not out.exists():
            return {"error": f"exit code {child.returncode}: {log.read_text()[-500:]}", "tree_mb": most}
        found = json.loads(out.read_text()) | {"tree_mb": most}
        if "error" in found:
            print(log.read_text()[-3000:], file=sys.stderr)
        return found


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the installed versions of packages."""
    return {name: metadata.version(name) for name in names}


def _watched(child: subprocess.Popen, limit_mb: float | None) -> tuple[float, bool]:
    most = 0.0
    try:
        while child.poll() is None:
            most = max(most, sum(resident(pid) for pid in _tree(child.pid)))
            if limit_mb and most > limit_mb:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return most, True
            time.sleep(WATCH_SECONDS)
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    return most, False


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
        except OSError:
            continue
    return found


def resident(pid: int | str = "self") -> float:
    """Return the resident memory of a process in MB, 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / MB
    except (OSError, IndexError):
        return 0.0


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / MB


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
