"""The kernels that a batch starts: this Python, no ports, one thread of linear algebra, no set-up of the user's own.

Two runs must give the same digits whoever starts them: so no start-up script, no other interpreter registered under the
same name, one thread in BLAS. Kernels talk through sockets in a folder of their own where the system allows it, so that
parallel runs cannot collide on a port.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

KERNEL_NAME = "python3"
ONE_THREAD = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
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
    kept.update(dict.fromkeys(ONE_THREAD, "1"))
    kept["IPYTHONDIR"] = str(folder)
    kept["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    kept["PYTHONHASHSEED"] = "0"
    if outputs is not None:
        kept["KPITOOLKIT_OUTPUTS"] = str(outputs.resolve())
    return kept


class BatchKernelManager(AsyncKernelManager):
    """Starts kernels of the running interpreter, over Unix sockets where the system has them."""

    outputs: Path | None = None

    def __init__(self, **kwargs):
        kwargs.setdefault("kernel_spec_manager", KernelSpecManager(kernel_dirs=[]))
        super().__init__(**kwargs)
        self._folder = Path(tempfile.mkdtemp(prefix="kpi-"))
        connection = self._folder / "k.json"
        if sys.platform != "win32" and len(os.fsencode(connection)) < _LONGEST_SOCKET - 10:
            self.transport = "ipc"
            self.connection_file = str(connection)
            self.ip = str(self._folder / "k-ipc")

    async def start_kernel(self, **kwargs):
        """Start the kernel in the batch's environment."""
        kwargs.setdefault("env", environment(self._folder / "ipython", self.outputs))
        kwargs["extra_arguments"] = [*kwargs.get("extra_arguments", ()), "--IPKernelApp.log_level=CRITICAL"]
        await super().start_kernel(**kwargs)

    async def cleanup_resources(self, restart: bool = False):
        """Remove the kernel's folder with its sockets."""
        await super().cleanup_resources(restart=restart)
        if not restart:
            shutil.rmtree(self._folder, ignore_errors=True)


def manager(outputs: Path | None = None) -> type[BatchKernelManager]:
    """Return the class of managers whose kernels know where results are published."""
    return type("BatchKernelManager", (BatchKernelManager,), {"outputs": outputs})
