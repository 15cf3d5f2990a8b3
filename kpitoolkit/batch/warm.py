"""Warm kernels: a server imports the libraries once, and every kernel is forked from it in a few milliseconds.

`WarmProvisioner` is a kernel provisioner of jupyter_client, so papermill, nbval and Jupyter itself take it where
``JUPYTER_DEFAULT_PROVISIONER_NAME=kpitoolkit-warm`` says so; a batch takes it by itself. The server is the standard
library's fork server, one for each process that starts kernels; it ends with that process, and so do its kernels,
however that process ends. Where a kernel cannot be forked (another system, another interpreter, no server) it is
started the usual way, and `WarmProvisioner.started` says so.
"""

import atexit
import contextlib
import io
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing import connection, context, forkserver, popen_fork, process, reduction, resource_tracker, util
from pathlib import Path

from jupyter_client.provisioning import LocalProvisioner

from kpitoolkit.batch import guards, scratch

NAME = "kpitoolkit-warm"
SWITCH = "KPITOOLKIT_KERNELS"
STARTS = ("warm", "cold")
PRELOADED = "kpitoolkit.preload"
PACKAGE = Path(__file__).parents[1]
SERVED = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    **dict.fromkeys(("BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONHASHSEED": "0",
}
"""What changes figures or pictures and is read once, when Python or a library starts: alike in the server and in every
kernel of a batch."""
_LAUNCHERS = (["-m", "ipykernel_launcher"], guards.LAUNCHER)
_log = logging.getLogger(__name__)


def available() -> bool:
    """Tell whether kernels can be forked here: on Linux, unless ``KPITOOLKIT_KERNELS=cold`` says otherwise.

    macOS' system libraries are known to fail after a fork, and Windows has none.
    """
    return sys.platform == "linux" and os.environ.get(SWITCH, "warm") != "cold"


class Server(forkserver.ForkServer):
    """The fork server of this process, with an environment of its own; started anew where the toolkit has changed."""

    def __init__(self, preloaded: str = PRELOADED):
        super().__init__()
        self._preloaded, self._stamp = preloaded, 0
        self._process: subprocess.Popen | None = None
        self._imported: frozenset[str] | None = None

    def ensure_running(self):
        """Start the server, where none runs that would do; it loads by itself, and its first kernel waits for that."""
        with self._lock:
            self._ensure()

    def prepare(self, imported: Iterable[str]) -> None:
        """Start a server that loads what notebooks import, where none runs that has it."""
        with self._lock:
            asked = frozenset(imported)
            if self._forkserver_pid is None:
                self._imported = asked
            elif self._imported is not None and not asked <= self._imported:
                self._leave()
                self._imported |= asked
            try:
                self._ensure()
            except OSError:  # the first kernel tries again, and says so; more names than a command holds are not told
                self._imported = None

    def _ensure(self):
        resource_tracker.ensure_running()
        if self._forkserver_pid is not None and (self._process.poll() is not None or self._stamp != _newest()):
            self._leave()
        if self._forkserver_pid is None:
            self._start()

    def _leave(self):
        os.close(self._forkserver_alive_fd)  # a server that still runs ends once its kernels have
        self._forkserver_pid = None
        self._remove()

    def wait_for_end(self, seconds: float = 2.0) -> None:
        """Wait for a server that seems to have ended, so that the next kernel starts another."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(seconds)

    def _start(self):
        folder = scratch.Scratch()
        self._remove = util.Finalize(self, folder.remove, exitpriority=1)
        address = str(folder.path / "s")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            os.chmod(address, 0o600)
            listener.listen()
            alive, held = os.pipe()
            passed = listener.fileno(), alive
            imported = None if self._imported is None else sorted(self._imported)
            command = f"{guards.OWN_PATH}; import {self._preloaded} as held; held.load({alive}, {imported!r}); "
            command += f"from multiprocessing.forkserver import main; main({passed[0]}, {passed[1]}, [])"
            told = {**os.environ, **SERVED, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else it warns of itself
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", command], pass_fds=passed, env=told, start_new_session=True
                )
            except BaseException:
                os.close(held)
                raise
            finally:
                os.close(alive)
        self._forkserver_address, self._forkserver_alive_fd = address, held
        self._forkserver_pid, self._stamp = self._process.pid, _newest()


def _newest() -> int:
    found = (os.path.join(folder, name) for folder, _, names in os.walk(PACKAGE) for name in names)
    return max(os.stat(path).st_mtime_ns for path in found if path.endswith(".py"))


_server = Server()


def prepare(imported: Iterable[str]) -> None:
    """Start this process's server, so that it loads while this process does something else.

    Parameters
    ----------
    imported : iterable of str
        Modules that the notebooks to come import. Without this call, the first kernel starts a server of all that is
        known.
    """
    if available():
        _server.prepare(imported)


class _Popen(popen_fork.Popen):
    """A child of this module's server; it is not told what the caller's own program is."""

    method = "forkserver"

    def __init__(self, process_obj):
        self._fds: list[int] = []
        super().__init__(process_obj)

    def _launch(self, process_obj):
        told = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump({"name": process_obj.name, "authkey": process.current_process().authkey}, told)
            reduction.dump(process_obj, told)
        finally:
            context.set_spawning_popen(None)
        self.sentinel, written = _server.connect_to_new_process(self._fds)
        # the child takes the end of this copy for the end of this process
        self.finalizer = util.Finalize(self, util.close_fds, (os.dup(written), self.sentinel))
        with open(written, "wb", closefd=True) as child:
            child.write(told.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)

    def poll(self, flag=os.WNOHANG):
        if self.returncode is None:
            if not connection.wait([self.sentinel], 0 if flag == os.WNOHANG else None):
                return None
            try:
                self.returncode = forkserver.read_signed(self.sentinel)
            except (OSError, EOFError):
                self.returncode = 255  # the server itself has ended
        return self.returncode


class _Child(context.ForkServerProcess):
    @staticmethod
    def _Popen(process_obj):
        return _Popen(process_obj)


class _Kernel:
    """A forked kernel with the face of `subprocess.Popen` that jupyter_client expects."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: str):
        self._child = _Child(target=_become_kernel, args=(list(arguments), dict(environment), folder), name="kernel")
        self._child.start()
        self.pid = self._child.pid

    def poll(self):
        return self._child.exitcode

    def wait(self):
        self._child.join()
        code = self._child.exitcode
        return code

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        self.send_signal(signal.SIGTERM)


class WarmProvisioner(LocalProvisioner):
    """Starts a kernel by a fork of the warm server, else the usual way."""

    started = "cold"

    async def launch_kernel(self, cmd, **kwargs):
        arguments = forkable(cmd, kwargs.get("env") or os.environ)
        if arguments is not None:
            folder = str(kwargs.get("cwd") or Path.cwd())
            for chance in ("the server has just ended", ""):
                try:
                    self.process = _Kernel(arguments, kwargs.get("env") or os.environ, folder)
                except (OSError, EOFError) as error:
                    _server.wait_for_end()
                    if not chance:
                        _log.warning("no warm kernel (%s): started the usual way", error)
                else:
                    self.pid = self.pgid = self.process.pid  # it leads a session of its own
                    self.cwd, self.started = folder, "warm"
                    return self.connection_info
        return await super().launch_kernel(cmd, **kwargs)


def forkable(command: Sequence[str], environment: Mapping[str, str]) -> list[str] | None:
    """Return what follows the launcher in a kernel's command; None where a fork would be another program."""
    same = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"}
    if not available() or any(environment.get(name) != os.environ.get(name) for name in same):
        return None
    if list(command[1:3]) not in _LAUNCHERS or not Path(command[0]).samefile(sys.executable):
        return None
    return list(command[3:])


def _become_kernel(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Turn a child of the server into a kernel (runs in the child)."""
    import numpy as np
    from ipykernel.kernelapp import IPKernelApp

    atexit.unregister(os._exit)  # the server's own end
    os.environ.clear()
    os.environ.update(environment)
    guards.confine()  # before there is a thread
    os.setsid()
    guards.adopt()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)
    sys.path[:] = sys.modules[PRELOADED].PATH
    sys.argv = ["ipykernel_launcher", *arguments]
    random.seed()
    np.random.seed()  # noqa: NPY002
    app = IPKernelApp.instance(parent_handle=os.getppid())
    app.initialize(arguments)
    app.start()
    atexit.unregister(app.close)  # its threads may wait seconds for one another
    atexit._run_exitfuncs()  # a forked process does not do so by itself
    os._exit(0)


def _end_with_parent() -> None:
    """Wait until the process that asked for this kernel has ended, then end with all that the kernel has started."""
    process.parent_process().join()
    guards.end_all()
