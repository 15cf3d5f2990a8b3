"""Notebooks that wait at their unit's gate, so that a test may do harm meanwhile."""

import json
import time
from pathlib import Path

PARAMETERS = 'unit = "north"\nlanguage = "en"\ndata_dir = ""\nresults_dir = ""\nsave_dir = ""'
SAVES = """
from pathlib import Path
tables = Path(save_dir) / "tables"
tables.mkdir(parents=True, exist_ok=True)
_ = (tables / f"{name}_values.parquet").write_text(f"{unit} {name}")
"""
WAITS = """
import time
from pathlib import Path
until = time.monotonic() + 120
while (Path(data_dir) / f"gate-{unit}").exists() and time.monotonic() < until:
    time.sleep(0.05)
"""
READS = """
from pathlib import Path
for path in sorted(Path(results_dir).rglob("*.parquet")):
    print(path.name, path.read_text())
"""


def write_notebooks(folder: Path) -> Path:
    """Write three notebooks: one that saves, one that waits at its unit's gate and saves, one of the group."""
    folder.mkdir()
    for order, (name, scope, code) in enumerate(
        (("one", "unit", SAVES), ("two", "unit", WAITS + READS + SAVES), ("all", "group", READS)), 1
    ):
        stated = PARAMETERS if scope == "unit" else PARAMETERS.replace('data_dir = ""\n', "")
        cells = [
            {"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": [], "execution_count": None}
            for tags, source in ((["parameters"], stated), ([], f'name = "{name}"\n{code}'))
        ]
        needs = [["financials"]] if scope == "unit" else []
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        about = {"kernelspec": kernel, "kpitoolkit": {"needs": needs, "order": order, "scope": scope}}
        content = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 4}
        (folder / f"{name}.ipynb").write_text(json.dumps(content))
    return folder


def wait_for(what, seconds=90):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    return found
