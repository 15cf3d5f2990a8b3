"""papermill's client of a kernel, with limits: how long a notebook runs, how much it says; and why its kernel ended.

papermill takes it as the engine ``kpitoolkit``. Past a limit the kernel is ended with all that it has started. What
papermill logs goes to whoever has set up logging, never among the lines of progress: a run says itself what went wrong.
"""

import asyncio
import contextlib
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import zmq
import zmq.asyncio
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat.v4 import new_output
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.log import logger

from kpitoolkit.batch.redact import Redactor
from kpitoolkit.errors import ToolkitError

ENGINE = "kpitoolkit"
_LOOK_SECONDS = 0.25
_DYING_SECONDS = 1.0
_KEPT_CHARACTERS = 10_000
_SIGNALS = {signal.SIGKILL: "killed, perhaps out of memory", signal.SIGSEGV: "a library crashed"}


class KernelStopped(ToolkitError):
    """The kernel of a notebook is gone before the notebook's end.

    Parameters
    ----------
    message : str
    again : bool
        Whether another attempt may do better.
    """

    def __init__(self, message: str, again: bool = False):
        super().__init__(message)
        self.again = again

    def __reduce__(self):
        return type(self), (str(self), self.again)


class GivenUp(BaseException):
    """The run was given up while a notebook ran: not a failure of the notebook."""


@dataclass(eq=False)
class Watch:
    """Watches one attempt at a notebook and ends its kernel past a limit.

    Attributes
    ----------
    seconds : float
        How long it may run, from when its kernel is ready.
    characters : int
        How much it may say: texts and pictures in its outputs, as the kernel sends them.
    stopped : callable
        Tells whether the run has been given up.
    """

    seconds: float
    characters: int
    stopped: Callable[[], bool]
    fault: BaseException | None = None
    kernel: object = None
    mark: str = ""
    said: int = 0
    code: int | None = None
    _left: list[psutil.Process] = field(default_factory=list)
    _deadline: float = math.inf
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self):
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self.end()

    def begin(self) -> None:
        """Count the time from now on: the kernel is ready."""
        self._deadline = time.monotonic() + self.seconds

    def _look(self) -> None:
        while not self._ended.wait(min(_LOOK_SECONDS, self.seconds)):
            if self.fault is not None:
                self.end()  # a kernel that was only just started, or a process that was
            elif time.monotonic() > self._deadline:
                self.fail(KernelStopped(f"ran longer than {self.seconds:g} s (limit of a notebook)"))
            elif self.stopped():
                self.fail(GivenUp())

    def fail(self, fault: BaseException) -> None:
        """Note why the notebook may not go on, and end its kernel."""
        self.fault = self.fault or fault
        self.end()

    def hear(self, message: dict) -> None:
        """Count what a message of the kernel says."""
        self.said += _length(message["content"]) + sum(len(one) for one in message.get("buffers", ()))
        if self.said > self.characters:
            self.too_much()

    def too_much(self) -> None:
        """End a notebook that says more than its outputs may hold."""
        most = f"{self.characters / 1e6:g} MB"
        self.fail(KernelStopped(f"printed or displayed more than {most} (limit of a notebook's outputs)"))

    def see(self) -> int | None:
        """Return how the kernel's process has ended; None while it runs."""
        process = getattr(self.kernel, "process", None)
        if process is not None and self.code is None:
            self.code = process.poll()
        return self.code

    def note_started(self) -> None:
        """Note what the kernel has started and not ended: once it has ended itself, nobody could tell."""
        with contextlib.suppress(psutil.Error, TypeError):
            self._left = psutil.Process(self.kernel.pid).children(recursive=True)

    def end(self) -> None:
        """Kill the kernel and all that it has started."""
        for one in self._left:
            with contextlib.suppress(psutil.Error):
                one.kill()  # not where the number is another process's by now
        if self.kernel is None or not self.kernel.pid:
            return
        for _ in range(5):  # until nothing is left that could start more
            alive = getattr(self.kernel, "process", None) is not None and self.see() is None
            found = _started_by(self.kernel.pid, self.mark, alive)
            for one in found:
                try:
                    one.kill()
                except psutil.Error:
                    continue
            if not found:
                return
            psutil.wait_procs(found, timeout=0.2)

    def died(self) -> KernelStopped:
        """Say how a kernel ended that nobody here has ended."""
        code = self.code
        if code is not None and code < 0:
            how = f"signal {-code}: {_SIGNALS.get(-code) or signal.strsignal(-code) or 'unknown'}"
        else:
            how = "no exit code" if code is None else f"exit code {code}"
        return KernelStopped(f"the kernel ended by itself ({how})", again=True)


def _started_by(kernel: int, mark: str, alive: bool) -> list[psutil.Process]:
    """Return a kernel's running processes: itself, its descendants, its session, and those with its environment."""
    found: dict[int, psutil.Process] = {}
    for one in psutil.process_iter():
        try:
            if one.pid == os.getpid() or one.status() == psutil.STATUS_ZOMBIE:
                continue
            own = alive and one.pid == kernel
            own = own or (hasattr(os, "getsid") and os.getsid(one.pid) == kernel)
            own = own or (mark and one.environ().get("IPYTHONDIR") == mark)
            if own:
                found[one.pid] = one
                found |= {child.pid: child for child in one.children(recursive=True)}
        except (psutil.Error, OSError):
            continue
    return list(found.values())


def _length(content: object) -> int:
    if isinstance(content, str):
        return len(content)
    if isinstance(content, dict):
        return sum(map(_length, content.values()))
    if isinstance(content, list | tuple):
        return sum(map(_length, content))
    return 8


class _BoundedClient(AsyncKernelClient):
    """Cuts a connection over which a message comes that is larger than what a notebook may say."""

    largest: int = 0

    def _context_default(self):
        self._created_context = True
        made = zmq.asyncio.Context()
        made.setsockopt(zmq.MAXMSGSIZE, self.largest)
        return made


class _WatchedNotebook(PapermillNotebookClient):
    """Runs a notebook under a `Watch`; keeps no credentials."""

    def __init__(self, nb_man, watch: Watch, redactor: Redactor, **kwargs):
        super().__init__(nb_man, **kwargs)
        self._watch, self._redactor = watch, redactor
        self._cut: list[zmq.Socket] = []

    def execute(self, **kwargs):
        """Run all cells; what stopped the kernel is raised in words that a reader understands."""
        try:
            return super().execute(**kwargs)
        except CellExecutionError:
            raise
        except Exception as error:
            raise self._explained(error) from error

    def execute_cell(self, cell, cell_index, **kwargs):
        """Run a cell; where the kernel is stopped, the cell says so."""
        try:
            found = super().execute_cell(cell, cell_index, **kwargs)
            if self._was_cut():
                self._watch.too_much()
            if self._watch.fault is not None:
                raise DeadKernelError
            return found
        except CellExecutionError:
            raise
        except Exception as error:
            explained = self._explained(error)
            if isinstance(explained, KernelStopped):
                said = str(explained)
                ended = new_output("error", ename="ToolkitError", evalue=said, traceback=[said])
                cell.outputs = [*_beginning(cell.outputs), ended]
                self.nb_man.cell_exception(cell, cell_index)
            raise explained from error

    def _explained(self, error: Exception) -> BaseException:
        """Return why the kernel is gone; the error itself where it is not."""
        if self._watch.fault is not None:
            return self._watch.fault
        if isinstance(error, KernelStopped):
            return error
        self._watch.see()
        if isinstance(error, DeadKernelError) or self._watch.code is not None:
            return self._watch.died()
        if isinstance(error, RuntimeError) and "Kernel didn't respond" in str(error):
            return KernelStopped(f"the kernel did not start within {self.startup_timeout} s", again=True)
        return error

    async def async_start_new_kernel(self, **kwargs):
        self.km.client_factory = type("_BoundedClient", (_BoundedClient,), {"largest": 2 * self._watch.characters})
        try:
            await super().async_start_new_kernel(**kwargs)
        except OSError as error:
            raise KernelStopped(f"the kernel did not start ({error})", again=True) from error
        self._watch.kernel, self._watch.mark = self.km.provisioner, str(self.km.ipython_folder)

    async def async_start_new_kernel_client(self):
        client = await super().async_start_new_kernel_client()
        for channel in (client.iopub_channel, client.shell_channel):
            self._cut.append(channel.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED))
        self._watch.begin()
        return client

    async def _async_cleanup_kernel(self):
        self._watch.note_started()
        await super()._async_cleanup_kernel()

    _cleanup_kernel = run_sync(_async_cleanup_kernel)
    start_new_kernel = run_sync(async_start_new_kernel)
    start_new_kernel_client = run_sync(async_start_new_kernel_client)

    async def _async_poll_kernel_alive(self):
        while self.task_poll_for_reply is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._was_cut():
                self._watch.too_much()
            self._watch.see()
            if self._watch.code is not None or self._watch.fault is not None:
                self.task_poll_for_reply.cancel()
                return

    def _was_cut(self) -> bool:
        """Tell whether a connection was cut though the kernel lives: because of a message that is too large."""
        if not any(socket.getsockopt(zmq.EVENTS) & zmq.POLLIN for socket in self._cut):
            return False
        deadline = time.monotonic() + _DYING_SECONDS
        while time.monotonic() < deadline:
            if self._watch.see() is not None:
                return False
            time.sleep(0.02)
        return True

    def process_message(self, msg, cell, cell_index):
        """Count what a message says before it is kept; keep none past the limit."""
        self._watch.hear(msg)
        if self._watch.fault is not None:
            return None
        msg["content"] = self._redactor.tree(msg["content"])
        return super().process_message(msg, cell, cell_index)


def _beginning(outputs: list) -> list:
    """Return the first outputs of a cell that was stopped, as many as a reader may want."""
    kept, left = [], _KEPT_CHARACTERS
    for output in outputs:
        size = _length(output)
        if size > left and output.output_type == "stream":
            kept.append(new_output("stream", name=output.name, text=output.text[:left] + "\n..."))
        if size > left:
            break
        kept.append(output)
        left -= size
    return kept


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, watch, redactor, kernel_manager_class, start_timeout, **_):
        """Run the notebook of papermill's manager, which writes it once, at its end, however it ends.

        It would write all of it before and after every cell, for nobody: the run's own folder is only read afterwards.
        """
        save, nb_man.save = nb_man.save, lambda **_: None
        try:
            return _WatchedNotebook(
                nb_man,
                watch,
                redactor,
                kernel_name=kernel_name,
                kernel_manager_class=kernel_manager_class,
                startup_timeout=start_timeout,
                log=logger,
            ).execute()
        finally:
            nb_man.save = save


logger.addHandler(logging.NullHandler())  # without any, Python itself would print what is logged
papermill_engines.register(ENGINE, _Engine)
