"""What the server of warm kernels holds when a kernel is forked from it: libraries, and nothing that runs.

It holds what the notebooks to come import, as far as the table below knows it, and what that loads only when it is
used: loaded once, instead of in every kernel. A fork takes along one thread only. So nothing here may leave a thread, a
connection or an open file behind: a test counts them. Imported by that server alone (`batch.warm`).
"""

import atexit
import contextlib
import gc
import itertools
import os
import pkgutil
import select
import sys
import threading
from collections.abc import Iterable
from importlib import import_module

ALWAYS = ("kpitoolkit.batch.warm", "ipykernel.kernelapp", "ipykernel.debugger", "IPython.core.pylabtools")
ALWAYS += ("numpy.random",)
_DRAWING = ("matplotlib.pyplot", "matplotlib.backends.backend_agg", "PIL.BmpImagePlugin", "PIL.GifImagePlugin")
_DRAWING += ("PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.PpmImagePlugin")
_TABLES = ("pandas", "pyarrow.pandas_compat", "pandas.io.formats.html", "pandas.io.formats.string")
_CHECKS = ("pandera.backends.pandas.builtin_checks", "openpyxl", "pyarrow.parquet", "pyarrow.dataset")
KNOWN = {
    "pandas": _TABLES,
    "matplotlib": _DRAWING,
    "seaborn": ("seaborn", *_DRAWING),
    "statsmodels": ("statsmodels.api", "statsmodels.formula.api"),
    "duckdb": ("duckdb",),
    "kpitoolkit": ("kpitoolkit.tables", "kpitoolkit.parameters", *_CHECKS, *_TABLES),
    "kpitoolkit.plots": ("kpitoolkit.plots", *_DRAWING),
    "kpitoolkit.pages": ("kpitoolkit.pages.kpis", "kpitoolkit.pages.modelled", "kpitoolkit.pages.summary", *_DRAWING),
    "kpitoolkit.attribution": ("kpitoolkit.attribution", "duckdb", "ibis.backends.duckdb"),
    "kpitoolkit.regression": ("kpitoolkit.regression", "numba", "arviz", "nutpie", "dask.array"),
    "kpitoolkit.reconciliation": ("kpitoolkit.reconciliation.*", "statsmodels.api"),
}
"""What a notebook may import, and what is loaded where one does: `.*` stands for all modules of a package."""

PATH: list[str] = []
"""Where a kernel looks for modules: as one that is started the usual way does, before IPython adds its folder."""


def load(alive: int, imported: Iterable[str] | None = None) -> None:
    """Import what is needed, leave nothing running, and keep what was imported out of the collector's way.

    Parameters
    ----------
    alive : int
        End of a pipe that is readable as soon as nobody wants the server any more: it ends at once.
    imported : iterable of str, optional
        What the notebooks to come import; by default all that is known.
    """
    loaded = threading.Event()
    watch = threading.Thread(target=_end_unwanted, args=(alive, loaded), daemon=True)
    watch.start()
    sys.path.pop()  # where this module itself was found, if nowhere else
    PATH[:] = sys.path
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # Arrow's allocator starts a thread when loaded
    gc.disable()
    for name in modules(imported):
        with contextlib.suppress(Exception):  # the kernel that needs it says why it cannot be had
            import_module(name)
    if "duckdb" in sys.modules:
        sys.modules["duckdb"].close()  # its default connection, which has a thread; made anew at first use
    gc.collect()
    gc.freeze()
    gc.enable()
    loaded.set()
    watch.join()
    atexit.register(os._exit, 0)  # taking down what was loaded takes a second, and serves nobody


def modules(imported: Iterable[str] | None = None) -> list[str]:
    """Return what is loaded for notebooks that import these modules; by default all that is known.

    Examples
    --------
    >>> modules(["pandas", "statsmodels.api", "torch"])[-2:]
    ['statsmodels.api', 'statsmodels.formula.api']
    >>> "nutpie" in modules(["kpitoolkit.attribution"]), "nutpie" in modules()
    (False, True)
    """
    asked = [f"{name}." for name in (KNOWN if imported is None else imported)]
    taken = [names for known, names in KNOWN.items() if any(one.startswith(f"{known}.") for one in asked)]
    found = []
    for name in itertools.chain(ALWAYS, *taken):
        package = name.removesuffix(".*")
        found.append(package)
        if package != name:
            found += [f"{package}.{each}" for _, each, _ in pkgutil.iter_modules(import_module(package).__path__)]
    return list(dict.fromkeys(found))


def _end_unwanted(alive: int, loaded: threading.Event) -> None:
    while not loaded.wait(0.05):
        if select.select([alive], [], [], 0)[0]:
            os._exit(0)
