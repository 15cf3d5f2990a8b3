"""One notebook: papermill runs it with its parameters in a kernel of the batch, and the one that ran is kept."""

import json
from collections.abc import Mapping
from pathlib import Path

_START_SECONDS = 120
_MARKER = "papermill-error-cell-tag"


def load():
    """Import what runs notebooks: a second that a run in which nothing changed does not need."""
    import papermill

    from kpitoolkit.batch import kernels

    return papermill, kernels


def execute(
    source: Path,
    target: Path,
    values: Mapping[str, object],
    lasting: Mapping[str, str],
    outputs: Path | None = None,
) -> None:
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

    Raises
    ------
    papermill.exceptions.PapermillExecutionError
        Where a cell fails.
    """
    papermill, kernels = load()
    try:
        papermill.execute_notebook(
            _literal(source),
            _literal(target),
            dict(values),
            kernel_name=kernels.KERNEL_NAME,
            engine_name="nbclient",
            kernel_manager_class=kernels.manager(outputs),
            start_timeout=_START_SECONDS,
            progress_bar=False,
        )
    finally:
        if target.is_file():
            target.write_text(settle(target.read_text(encoding="utf-8"), lasting), encoding="utf-8")


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
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _as_papermill(path: str) -> str:
    """Write a path as papermill does between double quotes."""
    return path.encode("unicode_escape").decode("ascii").replace('"', '\\"')
