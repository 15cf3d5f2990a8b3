"""One notebook: papermill runs it with its parameters in a kernel of the batch, and the one that ran is kept."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from kpitoolkit.batch import guards
from kpitoolkit.batch.redact import Redactor

OUTPUT_CHARACTERS = 20_000_000
_START_SECONDS = 120
_MARKER = "papermill-error-cell-tag"


def load(imported: Iterable[str] = (), start: str = "cold"):
    """Import what runs notebooks: a second that a run in which nothing changed does not need.

    Parameters
    ----------
    imported : iterable of str
        Modules that the notebooks to come import: the server of warm kernels loads them in the meantime.
    start : {"warm", "cold"}
        How their kernels are to be started.
    """
    from kpitoolkit.batch import kernels

    if start == "warm":
        kernels.prepare(imported)
    with _without("rfc3987_syntax"):
        import papermill

    from kpitoolkit.batch import client

    return papermill, kernels, client


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Import something as if an optional module were not installed.

    jsonschema takes along a grammar of internet addresses, 1.4 CPU-seconds, that no notebook is tested against.
    """
    absent = module not in sys.modules
    if absent:
        sys.modules[module] = None
    try:
        yield
    finally:
        if absent:
            del sys.modules[module]


def execute(
    source: Path,
    target: Path,
    values: Mapping[str, object],
    lasting: Mapping[str, str],
    outputs: Path | None = None,
    start: str = "warm",
    time_limit: float = 3600.0,
    protected: Iterable[Path] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> str:
    """Run a notebook with values for its parameters; the notebook that ran is kept even where a cell fails.

    Parameters
    ----------
    source, target : Path
        The notebook, and where the one that ran is written.
    values : mapping
        Values of names that its cell of parameters sets.
    lasting : mapping of str
        Folders of this run and what takes their place in the notebook that ran, once the run's own are gone.
    outputs : Path, optional
        Where results are published; by default as the environment says.
    start : {"warm", "cold"}
        How its kernel is to be started.
    time_limit : float
        Seconds that it may run, from when its kernel is ready.
    protected : iterable of Path, optional
        Folders that it must not write to, but for its own ``save_dir``; where stated, it writes there, to temporary
        folders and to caches only.
    stopped : callable
        Asked all the time whether the run has been given up.

    Returns
    -------
    str
        How it was started.

    Raises
    ------
    papermill.exceptions.PapermillExecutionError
        Where a cell fails.
    kpitoolkit.batch.client.KernelStopped
        Where its kernel ends, by itself or past a limit.
    kpitoolkit.batch.client.GivenUp
        Where the run has been given up.
    """
    papermill, kernels, client = load()
    manager, redactor = kernels.manager(outputs, start), Redactor()
    if protected is not None and guards.version():
        own = [Path(values["save_dir"])] if "save_dir" in values else []
        manager.writable = tuple(guards.writable(own, protected))
    try:
        with client.Watch(time_limit, OUTPUT_CHARACTERS, stopped) as watch:
            papermill.execute_notebook(
                _literal(source),
                _literal(target),
                dict(values),
                kernel_name=kernels.KERNEL_NAME,
                engine_name=client.ENGINE,
                watch=watch,
                redactor=redactor,
                kernel_manager_class=manager,
                start_timeout=_START_SECONDS,
                progress_bar=False,
            )
    except BaseException:
        with contextlib.suppress(OSError, ValueError):  # as on a full disk: must not hide why
            _settle_file(target, lasting, redactor)
        raise
    _settle_file(target, lasting, redactor)
    return manager.started


def _settle_file(target: Path, lasting: Mapping[str, str], redactor: Redactor) -> None:
    """Make the notebook that ran fit to keep; of one that cannot be, keep nothing."""
    try:
        content = json.loads(settle(target.read_text(encoding="utf-8"), lasting))
        target.write_text(json.dumps(redactor.tree(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except (OSError, ValueError):
        target.unlink(missing_ok=True)
        raise


def _literal(path: Path) -> str:
    """Write a path so that papermill, which fills in ``{names}``, leaves it as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def settle(notebook: str, lasting: Mapping[str, str]) -> str:
    """Make a notebook that ran fit to keep: lasting folders for those of the run, none of papermill's error marks.

    Parameters
    ----------
    notebook : str
        Its JSON; folders are replaced in strings and in Python literals within strings.
    lasting : mapping of str
        What takes the place of which folder.

    Examples
    --------
    >>> ran = '{"cells": [{"source": "results_dir = \\\\"/o/.work-7/results/b2b\\\\""}]}'
    >>> json.loads(settle(ran, {"/o/.work-7/results": "/o"}))["cells"]
    [{'source': 'results_dir = "/o/b2b"'}]
    """
    for old, new in lasting.items():
        for write in (str, lambda path: repr(path)[1:-1], _as_papermill):
            was, becomes = (json.dumps(write(path), ensure_ascii=False)[1:-1] for path in (old, new))
            notebook = notebook.replace(was, becomes)
    content = json.loads(notebook)
    content["cells"] = [c for c in content["cells"] if _MARKER not in c.get("metadata", {}).get("tags", [])]
    for cell in content["cells"]:
        if "outputs" in cell:
            cell["outputs"] = _joined(cell["outputs"])
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _joined(outputs: list[dict]) -> list[dict]:
    """Join what was printed in one go and sent in parts."""
    found: list[dict] = []
    for output in outputs:
        before = found[-1] if found else {}
        if output.get("output_type") == "stream" and before.get("name") == output["name"]:
            text = "".join(before["text"]) + "".join(output["text"])
            found[-1] = {**before, "text": text.splitlines(keepends=True)}
        else:
            found.append(output)
    return found


def _as_papermill(path: str) -> str:
    """Write a path as papermill does between double quotes."""
    return path.encode("unicode_escape").decode("ascii").replace('"', '\\"')
