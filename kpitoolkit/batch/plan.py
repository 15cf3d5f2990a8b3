"""Which notebooks there are, what each needs, and which are made for a unit. Read from the notebooks' own metadata.

A notebook states, in its metadata under ``kpitoolkit``, ``needs`` (a list of alternatives, each a list of tables),
``order`` (earlier ones first) and ``scope`` (``unit``, ``group`` or ``interactive``).
"""

import ast
import json
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from kpitoolkit.errors import Faults, ToolkitError

SCOPES = ("unit", "group", "interactive")


@dataclass(frozen=True, eq=False)
class Notebook:
    """One notebook: where it is, what tables it needs, its place in the order, its parameters, what it imports."""

    name: str
    path: Path
    needs: tuple[tuple[str, ...], ...]
    order: int
    scope: str
    parameters: tuple[str, ...]
    imports: tuple[str, ...] = ()

    def made(self, declared: Collection[str]) -> bool:
        """Tell whether one of the alternatives is declared in full.

        Examples
        --------
        >>> notebook = Notebook("r", Path("r.ipynb"), (("ledger", "ad_spend"), ("financials",)), 2, "unit", ())
        >>> notebook.made({"financials"}), notebook.made({"ledger"})
        (True, False)
        """
        return not self.needs or any(set(option) <= set(declared) for option in self.needs)

    def missing(self, declared: Collection[str]) -> str:
        """Say in a few words which tables would have to be declared."""
        return " or ".join(" and ".join(t for t in option if t not in declared) for option in self.needs)


def read_notebooks(folder: Path) -> dict[str, Notebook]:
    """Read what each notebook of a folder says of itself, in the order in which they run.

    Raises
    ------
    ToolkitError
        Where the folder or its notebooks are missing; Faults with every notebook that says too little.
    """
    paths = sorted(path for path in Path(folder).glob("*.ipynb") if not path.name.startswith((".", "_")))
    if not paths:
        raise ToolkitError(f"{folder}: no notebooks found. Run from the repository, where notebooks/ is")
    faults: list[str] = []
    found: list[Notebook] = []
    for path in paths:
        try:
            found.append(_read(path))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            faults.append(f"{path.name}: {error}")
    if faults:
        raise Faults(str(folder), faults)
    return {notebook.name: notebook for notebook in sorted(found, key=lambda n: (n.scope == "group", n.order, n.name))}


def _read(path: Path) -> Notebook:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"is not a notebook: {error}") from error
    said = content.get("metadata", {}).get("kpitoolkit")
    if not isinstance(said, dict) or not {"needs", "order", "scope"} <= set(said) or said["scope"] not in SCOPES:
        raise ValueError(
            'metadata must hold "kpitoolkit": {"needs": [[tables], ...], "order": 1, "scope": "unit", "group" '
            'or "interactive"}'
        )
    needs = tuple(tuple(option) for option in said["needs"])
    order, scope = int(said["order"]), said["scope"]
    return Notebook(path.stem, path, needs, order, scope, parameter_names(content), imports(content))


def parameter_names(content: dict) -> tuple[str, ...]:
    """Return the names that the cell tagged ``parameters`` sets.

    Examples
    --------
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": ["unit = 'b2b'\\n", "names = {\\n 'a': 1}"]}
    >>> parameter_names({"cells": [cell]})
    ('unit', 'names')
    """
    names: list[str] = []
    for cell in content.get("cells", []):
        if "parameters" not in cell.get("metadata", {}).get("tags", []):
            continue
        try:
            statements = ast.parse("".join(cell["source"])).body
        except SyntaxError as error:
            raise ValueError(f"its cell of parameters is not Python: {error}") from error
        for statement in statements:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return tuple(dict.fromkeys(names))


def imports(content: dict) -> tuple[str, ...]:
    """Return the modules that a notebook's cells import, as far as they are Python: names from modules, too.

    Examples
    --------
    >>> source = "%matplotlib inline\\nimport numpy as np\\nfrom kpitoolkit import tables"
    >>> imports({"cells": [{"cell_type": "code", "source": source}]})
    ('numpy', 'kpitoolkit', 'kpitoolkit.tables')
    """
    found: list[str] = []
    for cell in content.get("cells", []):
        lines = "".join(cell.get("source", "")).splitlines() if cell.get("cell_type") == "code" else []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the kernel says what it thinks of the code
                statements = ast.walk(ast.parse("\n".join(line for line in lines if line[:1] not in "%!")))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for statement in statements:
            if isinstance(statement, ast.Import):
                found += [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                found += [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
    return tuple(dict.fromkeys(found))
