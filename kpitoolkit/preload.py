"""What the server of warm kernels holds when a kernel is forked from it: libraries, and nothing that runs.

A fork takes along one thread only. So nothing here may leave a thread, a connection or an open file behind: a test
counts them. Imported by that server alone (`batch.warm`).
"""

import gc
import os
import pkgutil
import select
import sys
import threading
from importlib import import_module

MODULES = (
    *("duckdb", "ibis.backends.duckdb", "ipykernel.kernelapp", "pyarrow.parquet", "numba", "arviz", "nutpie"),
    *("matplotlib.pyplot", "seaborn", "statsmodels.api", "statsmodels.formula.api"),
    *("kpitoolkit.attribution", "kpitoolkit.regression", "kpitoolkit.tables", "kpitoolkit.parameters"),
    *("kpitoolkit.pages.kpis", "kpitoolkit.pages.modelled", "kpitoolkit.pages.summary"),
)
ROOM = "kpitoolkit.reconciliation"
"""Every module of it: its notebooks take most of them by name."""

PATH: list[str] = []
"""Where a kernel looks for modules: as one that is started the usual way does, before IPython adds its folder."""


def load(alive: int) -> None:
    """Import everything, leave nothing running, and keep what was imported out of the collector's way.

    Parameters
    ----------
    alive : int
        End of a pipe that is readable as soon as nobody wants the server any more: it ends at once.
    """
    loaded = threading.Event()
    watch = threading.Thread(target=_end_unwanted, args=(alive, loaded))
    watch.start()
    PATH[:] = [place for place in sys.path if place]
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # Arrow's allocator starts a thread when loaded
    for name in MODULES:
        import_module(name)
    for _finder, name, _package in pkgutil.iter_modules(import_module(ROOM).__path__):
        import_module(f"{ROOM}.{name}")
    sys.modules["duckdb"].close()  # its default connection, which has a thread; made anew at first use
    gc.collect()
    gc.freeze()
    loaded.set()
    watch.join()


def _end_unwanted(alive: int, loaded: threading.Event) -> None:
    while not loaded.wait(0.05):
        if select.select([alive], [], [], 0)[0]:
            os._exit(0)
