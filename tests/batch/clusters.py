"""A real Dask cluster on this machine's loopback: a scheduler, and workers that tests may kill."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

ROOT = Path(__file__).parents[2]
COLD = {"KPITOOLKIT_KERNELS": "cold"}
_START_SECONDS = 90


@dataclass
class Cluster:
    """A scheduler's address, and its workers' processes."""

    address: str
    folder: Path
    workers: list[subprocess.Popen] = field(default_factory=list)

    def start(self, name: str, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen:
        """Start a worker process with one thread."""
        worker = _start(
            self.folder, name,
            "worker", self.address, "--name", name, "--nthreads", "1", "--no-dashboard", "--death-timeout", "60",
            "--local-directory", str(self.folder), *words, env=env,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def kill(self) -> None:
        """Kill all workers, and the nannies that would start them again."""
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start a scheduler on a free port, and end it with all its workers."""
    scheduler = _start(folder, "scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    here = Cluster("", folder)
    try:
        until = time.monotonic() + _START_SECONDS
        while not (found := re.search(r"Scheduler at:\s+(tcp://127\.0\.0\.1:\d+)", here.said("scheduler"))):
            assert scheduler.poll() is None and time.monotonic() < until, here.said("scheduler")
            time.sleep(0.1)
        here.address = found[1]
        yield here
    finally:
        here.kill()
        scheduler.kill()
        scheduler.wait()


@contextlib.contextmanager
def two_workers(folder: Path) -> Iterator[tuple[Cluster, Client]]:
    """Start a cluster of two workers: one under its nanny, a daemon, with warm kernels, and one with cold ones."""
    with cluster(folder) as here:
        here.start("nannied", "--nanny")
        here.start("bare", "--no-nanny", env=COLD)
        with Client(here.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=90)
            yield here, client


def _start(folder: Path, name: str, command: str, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen:
    told = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__ADMIN__EVENT_LOOP": "asyncio", **(env or {})}
    with open(folder / f"{name}.log", "w", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + command, *words],
            cwd=folder, env=told, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
