"""A run in which nothing changed loads no library that reads tables, draws or runs notebooks, nor does a dry run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.conftest import NOTEBOOKS, write_case

HEAVY = (
    *("pandas", "pandera", "pyarrow", "numpy", "scipy", "numba", "statsmodels", "duckdb", "ibis", "pyspark"),
    *("matplotlib", "seaborn", "papermill", "nbformat", "nbclient", "nbconvert", "jupyter_client", "IPython"),
)
CALL = f"""
import json, sys
from kpitoolkit.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""
CATALOGUE = Path(__file__).parents[2] / "parameters" / "kpis.yml"


def call(folder, *words):
    """Call the front door in a process of its own; return what it said, and the heavy libraries that it loaded."""
    environment = {name: value for name, value in os.environ.items() if name != "KPITOOLKIT_OUTPUTS"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    told = [sys.executable, "-c", CALL, *words]
    ran = subprocess.run(told, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    said, _end, heavy = ran.stdout.rstrip().rpartition("\n")
    return said, json.loads(heavy)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A case with a catalogue of KPIs that was run once."""
    root = tmp_path_factory.mktemp("unchanged")
    case = write_case(root, units=("north", "south"))
    shutil.copy(CATALOGUE, case.parent)
    (root / "notebooks").symlink_to(NOTEBOOKS)
    said, heavy = call(root, "run", "tiny")
    assert "made first" in said and "pandas" in heavy  # work needs them: so they are told where they are loaded
    return root


def test_a_run_in_which_nothing_changed_loads_none_of_them(project):
    said, heavy = call(project, "run", "tiny")
    assert "English: 5 unchanged," in said
    assert heavy == []


def test_a_dry_run_loads_none_of_them_whatever_would_run(project):
    said, heavy = call(project, "run", "tiny", "--dry-run")
    assert "north first: unchanged" in said
    assert heavy == []
    said, heavy = call(project, "run", "tiny", "--dry-run", "--force", "--language", "it")
    assert "north first: would run: --force" in said
    assert heavy == []


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("--version",)], ids=" ".join)
def test_help_loads_none_of_them(project, words):
    assert call(project, *words)[1] == []
