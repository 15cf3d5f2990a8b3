"""A case whose two units are reconciled by a small notebook: outputs to sign and to spoil.

Its notebooks run in this process, not in kernels of their own, so that a test can run them again in a moment.
"""

import contextlib
import io
import json
import shutil
import subprocess
import time
from pathlib import Path
from unittest import mock

import pytest

from kpitoolkit.batch import chain, register, runner, signoff, standing
from kpitoolkit.batch.execute import settle
from kpitoolkit.errors import Faults
from tests.batch.conftest import write_case

LEO, ANNA = "Leo Rossi", "Anna Bianchi"
_PYTHON = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
_PARAMETERS = """
case = ""
unit = ""
quarter = ""
language = "en"
data = "sample"
data_dir = ""
unit_in_data = ""
results_dir = ""
save_dir = ""
materiality_share = 0.005
"""
_RECONCILE = """
import pandas as pd
from kpitoolkit import parameters, tables
place = parameters.workspace(case, unit, data, data_dir, unit_in_data, results_dir, save_dir)
booked = int(tables.read(place, ["financials"])["financials"]["revenue_cents"].iloc[0])
left = 3 if booked >= 1000 else 700
names = ["net_unexplained", "unmapped_accounts", "claimed_again"]
checks = pd.DataFrame({"subject": "claims", "check": names, "value_cents": [left, 0, None]})
checks["threshold_cents"] = [5, 0, 0]
checks = checks.astype({"value_cents": "Int64", "threshold_cents": "Int64"})
tables.save(checks.assign(passed=(checks.value_cents <= checks.threshold_cents).astype("boolean")), place,
            "reconciliation", "checks")
steps = [("claimed", "total", booked + 200), ("returns", "step", -203), ("unexplained", "unexplained", 3),
         ("currency", "not_examined", None), ("booked", "total", booked)]
bridge = pd.DataFrame(steps, columns=["step", "kind", "amount_cents"]).astype({"amount_cents": "Int64"})
tables.save(bridge.rename_axis("position").reset_index(), place, "reconciliation", "claims")
kpis = pd.DataFrame({"kpi": ["revenue", "margin_share"], "basis": "finance", "actual": [booked, booked / 5000],
                     "last_year": [booked - 100.0, None], "value_unit": ["money", "share"],
                     "name_en": ["Net revenue", "Margin"], "name_it": ["Ricavi netti", "Margine"]})
tables.save(kpis, place, "reconciliation", "kpis")
moves = pd.DataFrame({"kpi": "revenue", "decomposition": "by_orders", "driver": ["orders", "order_value"],
                      "from_quarter": "2025Q3", "to_quarter": "2026Q3", "contribution": [70.0, 30.0]})
tables.save(moves, place, "reconciliation", "drivers")
"""
_MODEL = """
import pandas as pd
from kpitoolkit import parameters, tables
place = parameters.workspace(case, unit, data, data_dir, unit_in_data, results_dir, save_dir)
journeys = pd.DataFrame({"state": ["converted", "unattributed"], "conversions": [8.0, 2.0], "value": [80.0, 20.0]})
tables.save(journeys, place, "attribution", "journeys")
credit = pd.DataFrame({"model": ["first"] * 2 + ["last"] * 2, "channel": ["tv", "unattributed"] * 2,
                       "conversions": [8.0, 2.0] * 2, "value": [80.0, 20.0] * 2})
tables.save(credit, place, "attribution", "credit")
parts = {"baseline": 6.0, "tv": 3.0, "residual": 1.0, "revenue": 10.0}
weeks = [(day, name, part) for day in pd.to_datetime(["2026-07-05", "2026-07-12"]) for name, part in parts.items()]
tables.save(pd.DataFrame(weeks, columns=["period_end", "component", "contribution"]), place, "regression",
            "contributions")
tables.save(pd.DataFrame({"channel": ["total_media", "tv"], "contribution": [6.0, 6.0]}), place, "regression", "iroas")
"""
_GROUP = """
import pandas as pd
from kpitoolkit import parameters, tables
place = parameters.workspace(case, unit, data, data_dir, unit_in_data, results_dir, save_dir)
own = {name: tables.load(place, "reconciliation", "kpis", unit=name).set_index("kpi")["actual"]["revenue"]
       for name in units}
rows = [(name, "step", value) for name, value in own.items()]
whole = sum(own.values())
rows += [("sum_of_units", "total", whole), ("unexplained", "unexplained", 0), ("group_revenue", "total", whole)]
table = pd.DataFrame(rows, columns=["step", "kind", "amount_cents"]).astype({"amount_cents": "Int64"})
tables.save(table.rename_axis("position").reset_index(), place, "group", "rollup")
tables.save(pd.DataFrame({"kpi": ["revenue"], "basis": "finance", "actual": [float(whole)], "value_unit": "money",
                          "name_en": "Net revenue", "name_it": "Ricavi netti"}), place, "group", "kpis")
"""


def _cell(source: str, *tags: str) -> dict:
    lines = source.strip().splitlines(keepends=True)
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "source": lines,
    }


def write_notebooks(folder: Path) -> Path:
    """Write the three notebooks: two of a unit, one of the group."""
    folder.mkdir()
    for name, scope, order, more, source in (
        ("model", "unit", 1, "", _MODEL),
        ("reconciliation", "unit", 2, "", _RECONCILE),
        ("group", "group", 3, "units = []\n", _GROUP),
    ):
        facts = {"needs": [["financials"]], "order": order, "scope": scope}
        cells = [_cell(_PARAMETERS + more, "parameters"), _cell(source), _cell("print('Done for', unit)")]
        content = {"cells": cells, "metadata": {"kpitoolkit": facts, **_PYTHON}, "nbformat": 4, "nbformat_minor": 4}
        (folder / f"{name}.ipynb").write_text(json.dumps(content))
    return folder


def run_here(source, target, values, lasting, outputs=None, **limits):
    """Run a notebook as papermill would, in this process."""
    content, names = json.loads(source.read_text()), {}
    given = _cell("\n".join(f"{name} = {value!r}" for name, value in values.items()), "injected-parameters")
    content["cells"].insert(1, given)
    for cell in content["cells"]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec("".join(cell["source"]), names)
        if said.getvalue():
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": said.getvalue()}]
    content["metadata"]["papermill"] = {"duration": time.monotonic()}
    target.write_text(settle(json.dumps(content), lasting))


class Place:
    """A case with its outputs: ``case`` is the folder of parameters, ``home`` that of outputs."""

    def __init__(self, root: Path):
        self.root, self.case, self.home = root, root / "parameters" / "tiny", root / "outputs" / "tiny"

    def run(self, **wanted):
        with mock.patch.object(chain, "execute", run_here), mock.patch.object(chain, "load"):
            places = {"output": self.root / "outputs", "notebooks_dir": self.root / "notebooks"}
            return runner.run_case(self.case, **places, jobs=1, **wanted)

    def copy(self, root: Path) -> "Place":
        for name in ("parameters", "outputs", "notebooks"):
            shutil.copytree(self.root / name, root / name)
        return Place(root)

    def state(self, more: str) -> None:
        """Add lines to the case's defaults."""
        with open(self.case / "_defaults.yml", "a", encoding="utf-8") as file:
            file.write(more + "\n")

    def spoil(self, name: str, change) -> None:
        """Change a published table, and say in run.json that the run wrote it so."""
        import pandas as pd

        from kpitoolkit.batch.record import file_digest

        path = self.home / name
        frame = pd.read_parquet(path)
        changed = change(frame)
        (frame if changed is None else changed).to_parquet(path, index=False)
        run = json.loads((self.home / "run.json").read_text())
        for entry in run["notebooks"].values():
            if name in entry["outputs"]:
                entry["outputs"][name] = file_digest(path)
        (self.home / "run.json").write_text(json.dumps(run))

    def page(self, name: str = "north/reconciliation.en.html") -> str:
        return (self.home / name).read_text(encoding="utf-8")

    def snapshot(self) -> dict[str, tuple[bytes, int]]:
        paths = [path for path in sorted(self.root.rglob("*")) if path.is_file()]
        return {str(path.relative_to(self.root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def made(root: Path) -> Place:
    """Run the case once."""
    write_case(root, units=("north", "south"))
    (root / "parameters" / "tiny" / "north.yml").write_text(
        "unit: north\nunit_name: {en: North <b>& Co, it: Nord <b>& Co}\n"
    )
    write_notebooks(root / "notebooks")
    place = Place(root)
    failed = [f"{entry.place}: {entry.message}" for entry in place.run().entries if entry.status != "made"]
    assert not failed, failed
    return place


def states(place: Place) -> dict[str, signoff.State]:
    """Say how far each unit is signed off."""
    return signoff.states(standing.read_run(place.home), place.case)


def statuses(place: Place) -> dict[str, str]:
    return {unit: state.status for unit, state in states(place).items()}


def refused(place: Place, *words, **more) -> list[str]:
    """Sign in vain: return why; nothing may have been written."""
    before = place.snapshot()
    with pytest.raises(Faults) as error:
        signoff.sign(place.home, *words, **more)
    after = place.snapshot()
    lock = "outputs/tiny/.lock"
    assert {k: v for k, v in after.items() if k != lock} == {k: v for k, v in before.items() if k != lock}
    return error.value.faults


def rewrite(place: Place, change) -> None:
    """Change the lines of the register."""
    path = place.home / register.FILE
    lines = path.read_text(encoding="utf-8").splitlines()
    change(lines)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def forge(entry: dict, **changes) -> str:
    """Write an entry that carries its right hash, as somebody who knows the code would."""
    forged = register.Signed.model_validate({**entry, **changes})
    return register.canonical({**forged.written, "hash": forged.right_hash}).decode()


def make_key(folder: Path, name: str) -> Path:
    """Make an SSH key without a passphrase; a test that wants one is skipped where there is no ssh-keygen."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed: apt-get install openssh-client")
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
    return path
