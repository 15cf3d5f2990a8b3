"""The kernels that a batch starts: this Python, no ports, one thread of linear algebra, no set-up of the user's own.

Two runs must give the same digits whoever starts them: so no start-up script, no other interpreter registered under the
same name, one thread in BLAS. Kernels talk through sockets in a folder of their own where the system allows it, so that
parallel runs cannot collide on a port. They are forked from a server that has the libraries (`warm`) or started anew.
"""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory

from kpitoolkit.batch import guards, scratch, warm
from kpitoolkit.batch.warm import SERVED

KERNEL_NAME = "python3"
_LONGEST_SOCKET = 100  # a Unix socket's path holds 104 to 108 bytes


def environment(folder: Path, outputs: Path | None = None) -> dict[str, str]:
    """Return the environment of a kernel: this process's, without what would change figures or pictures.

    Parameters
    ----------
    folder : Path
        An empty folder that takes the place of the user's IPython folder.
    outputs : Path, optional
        Where results are published, so that a notebook finds those of last quarter's case beside its own.

    Examples
    --------
    >>> found = environment(Path("/tmp/x"))
    >>> found["OPENBLAS_NUM_THREADS"], "PYTHONSTARTUP" in found
    ('1', False)
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONSTARTUP"}
    kept |= SERVED | {"IPYTHONDIR": str(folder)}
    if outputs is not None:
        kept["KPITOOLKIT_OUTPUTS"] = str(outputs.resolve())
    return kept


class BatchKernelManager(AsyncKernelManager):
    """Starts kernels of the running interpreter, over Unix sockets where the system has them."""

    outputs: Path | None = None
    start: str = "warm"
    started: str = ""
    writable: tuple[str, ...] | None = None

    def __init__(self, **kwargs):
        kwargs.setdefault("kernel_spec_manager", KernelSpecManager(kernel_dirs=[]))
        super().__init__(**kwargs)
        self._scratch = scratch.Scratch()
        self._folder = self._scratch.path
        connection = self._folder / "k.json"
        if sys.platform != "win32" and len(os.fsencode(connection)) < _LONGEST_SOCKET - 10:
            self.transport = "ipc"
            self.connection_file = str(connection)
            self.ip = str(self._folder / "k-ipc")

    @property
    def ipython_folder(self) -> Path:
        """Stands in the environment of the kernel and of all that it starts, and of nothing else."""
        return self._folder / "ipython"

    async def start_kernel(self, **kwargs):
        """Start the kernel in the batch's environment; it may write to ``writable`` only, where that is stated."""
        stated = kwargs.setdefault("env", environment(self.ipython_folder, self.outputs))
        if self.writable is not None:
            temporary = self._folder / "tmp"
            temporary.mkdir()
            stated |= {"TMPDIR": str(temporary), guards.VARIABLE: json.dumps([str(self._folder), *self.writable])}
        if os.name != "nt":
            self.kernel_spec.argv[1:3] = guards.LAUNCHER
        kwargs["extra_arguments"] = [*kwargs.get("extra_arguments", ()), "--IPKernelApp.log_level=CRITICAL"]
        if self.start == "warm" and _provided():
            self.kernel_spec.metadata["kernel_provisioner"] = {"provisioner_name": warm.NAME}
        await super().start_kernel(**kwargs)
        type(self).started = getattr(self.provisioner, "started", "cold")

    async def cleanup_resources(self, restart: bool = False):
        """Remove the kernel's folder with its sockets."""
        await super().cleanup_resources(restart=restart)
        if not restart:
            self._scratch.remove()


def prepare(imported: Iterable[str]) -> None:
    """Start the server of warm kernels, where there is to be one, for notebooks that import these modules."""
    if _provided():
        warm.prepare(imported)


def _provided() -> bool:
    """Tell whether kernels can be asked for by the provisioner's name: not where the toolkit was only copied."""
    return warm.NAME in KernelProvisionerFactory.instance().get_provisioner_entries()


def manager(outputs: Path | None = None, start: str = "warm") -> type[BatchKernelManager]:
    """Return a class of managers for one notebook; after its kernel has started, ``started`` is ``warm`` or ``cold``.

    Parameters
    ----------
    outputs : Path, optional
        Where results are published.
    start : {"warm", "cold"}
        Forked from a server that has the libraries, where that is possible; or anew.
    """
    return type("BatchKernelManager", (BatchKernelManager,), {"outputs": outputs, "start": start})
