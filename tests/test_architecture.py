"""The house: each layer imports only from those below, the analyses never import one another, notebooks hold no code
that belongs in the package."""

import ast
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kpitoolkit"

BELOW = {
    "errors": set(),
    "money": {"errors"},
    "text": {"errors"},
    "contracts": {"errors"},
    "plain_yaml": {"errors"},
}
GROUND = {"errors", "money", "text", "contracts", "plain_yaml"}
BELOW["sample"] = GROUND
BELOW["sources"] = GROUND | {"sample"}
BELOW["readers"] = BELOW["sources"] | {"sources"}
BELOW["connections"] = BELOW["readers"] | {"readers"}
BELOW["tables"] = BELOW["connections"] | {"connections"}
BELOW["modelling"] = {"errors"}
BELOW["parameters"] = BELOW["tables"] | {"tables", "modelling"}
BELOW["spending"] = BELOW["parameters"] | {"parameters"}
DATA = BELOW["spending"] | {"spending"}
BELOW["plots"] = DATA
BELOW["pages"] = DATA | {"plots"}
ANALYSES = {"attribution", "regression", "reconciliation"}
for analysis in ANALYSES:
    BELOW[analysis] = DATA | {"plots", "pages"}
BELOW["workbench"] = DATA | {"plots", "pages"} | ANALYSES
BELOW["batch"] = DATA | {"plots", "pages"}
BELOW["preload"] = DATA | {"plots", "pages", "batch"} | ANALYSES
BELOW["cli"] = DATA | {"plots", "pages", "batch"} | ANALYSES


def room_of(path: Path) -> str:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return part


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("kpitoolkit.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kpitoolkit":
            parts = node.module.split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
    return rooms - {"__version__"}


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    room = room_of(path)
    assert room in BELOW, f"{room} has no place in the house: see docs/architecture.md"
    upwards = imported_rooms(path) - BELOW[room] - {room}
    assert not upwards, f"{room} must not import {upwards}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_says_what_it_is_for_and_stays_small(path):
    source = path.read_text(encoding="utf-8")
    assert not source.strip() or ast.get_docstring(ast.parse(source)), "says nothing in its first lines"
    assert len(source.splitlines()) <= 500


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebook_asks_and_calls_and_shows(path):
    notebook = nbformat.read(path, as_version=4)
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == 1
    prose = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    assert prose >= len(notebook.cells) / 3
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert "def " not in cell.source, "a function belongs in the package"
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= 12 or "parameters" in cell.metadata.get("tags", []), cell.source


def names_and_bounds(requirements, renamed):
    out = set()
    for requirement in requirements:
        name = requirement
        for mark in "<>=~!":
            name = name.split(mark)[0]
        bounds = requirement[len(name) :]
        name = name.split("[")[0].strip()
        out.add((renamed.get(name, name), bounds.replace(" ", "")))
    return out


def test_conda_environment_is_in_step_with_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip_only = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    ours = names_and_bounds([*project["dependencies"], *project["optional-dependencies"]["test"]], {})
    theirs = names_and_bounds(
        [e for e in conda if isinstance(e, str) and e != "pip" and not e.startswith("python>")]
        + [e for e in pip_only if not e.startswith("-")],
        {
            **{"matplotlib-base": "matplotlib", "nbconvert-core": "nbconvert", "python-duckdb": "duckdb"},
            "jupyter_client": "jupyter-client",
        },
    )
    assert ours == theirs
    assert f"python{project['requires-python']}" in conda


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    needed = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    assert {name for name, _ in names_and_bounds(needed, {})} <= pins
