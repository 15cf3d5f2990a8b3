"""Batches side by side in one run: plain papermill, two threads of it, nbconvert, the toolkit's batch, cold and warm.

Two kinds of work. *Light*: a notebook as analysts write them (four imports, a regression of the sample company's weekly
revenue on its spend, a table, two plots), once for each of 12 and 48 units. *Sample*: the sample company's own
notebooks, four units and the group, which compute for minutes. Every way is a process of its own; its CPU-seconds count
all that it has started, the server of warm kernels too; memory is the largest sum of proportional shares (PSS). The
toolkit's batch renders pages, checks data and keeps its journal besides: the others only execute.

The floor is the cells' own code, run in one process that has the libraries. Then 200 units of a notebook that does
next to nothing: what is left of processes, threads, files, sockets and memory.

Run: ``python tests/benchmarks/batch.py [--units 12,48] [--sample] [--leak 200] [--write docs/batch-benchmark.md]``
"""

import argparse
import contextlib
import ctypes
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
BEGIN, END = "<!-- batch: begin -->", "<!-- batch: end -->"
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
AIMS = {"cpu": 3.0, "wall": 4.0, "unchanged": 0.03, "overhead": 1.0}
CASE = "light-2026Q3"
LIGHT = (
    "import matplotlib.pyplot as plt\nimport pandas as pd\nimport seaborn as sns\nimport statsmodels.api as sm",
    'weeks = pd.read_csv(f"{data_dir}/weeks.csv", parse_dates=["week_end"])\nweeks.tail()',
    'spend = [name for name in weeks if name not in ("week_end", "revenue")]\n'
    'fitted = sm.OLS(weeks["revenue"], sm.add_constant(weeks[spend])).fit(cov_type="HAC", cov_kwds={"maxlags": 4})\n'
    "fitted.summary()",
    'fig, ax = plt.subplots(figsize=(8, 4))\nsns.lineplot(weeks, x="week_end", y="revenue", ax=ax)\n'
    'ax.plot(weeks["week_end"], fitted.fittedvalues)\nax.set_title(unit)\nplt.show()',
    "sns.residplot(x=fitted.fittedvalues, y=fitted.resid, lowess=True)\nplt.show()",
)
IDLE = ("print(unit)",)


def notebook(path, cells, order=1):
    """Write a notebook that takes ``unit`` and ``data_dir``."""
    import nbformat

    stated = nbformat.v4.new_code_cell('unit = "u000"\ndata_dir = "."', metadata={"tags": ["parameters"]}, id="p")
    rest = [nbformat.v4.new_code_cell(cell, id=f"c{n}") for n, cell in enumerate(cells)]
    made = nbformat.v4.new_notebook(cells=[stated, *rest])
    made.metadata |= {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "kpitoolkit": {"needs": [], "order": order, "scope": "unit"},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, path)


def weeks():
    """Weekly revenue and spend by channel of one unit of the sample company, in currency units."""
    import pandas as pd

    from kpitoolkit import parameters, tables

    case = parameters.read_case(ROOT / "parameters" / "sample-2026Q3")
    place = parameters.workspace_of(case, case.units["retail-it"])
    found = tables.read(place, ["orders", "ad_spend"])
    orders, spend = found["orders"], found["ad_spend"]
    revenue = orders.set_index("time")["gross_cents"].astype(float).resample("W").sum() / 100
    revenue.index = revenue.index.normalize()
    by_platform = spend.pivot_table(
        index=pd.Grouper(key="date", freq="W"), columns="platform", values="spend_cents", aggfunc="sum"
    )
    joined = by_platform.astype(float).div(100).join(revenue.rename("revenue"), how="inner").fillna(0.0)
    return joined.rename_axis("week_end").reset_index()


def write_case(folder, units, cells):
    """Write a case of so many units, and its one notebook; return the case's folder and the notebook's."""
    case, notebooks = folder / "parameters" / CASE, folder / "notebooks"
    case.mkdir(parents=True)
    (case / "_defaults.yml").write_text('quarter: "2026Q3"\ndata: {financials: {file: financials.csv}}\n')
    rows = ["quarter,unit,basis,filing,figures,rounded,revenue"]
    for number in range(units):
        name = f"u{number:03d}"
        (case / f"{name}.yml").write_text(f"unit: {name}\n")
        rows.append(f"2026Q3,{name},b,f,printed,false,10")
    (case / "financials.csv").write_text("\n".join(rows) + "\n")
    if cells is LIGHT:
        weeks().to_csv(case / "weeks.csv", index=False)
    notebook(notebooks / "light.ipynb", cells)
    return case, notebooks


# -- one process for each way ------------------------------------------------------------------------------------------


def by_papermill(work, threads):
    """Execute every unit's notebook with plain papermill, in a loop or by threads."""
    from concurrent.futures import ThreadPoolExecutor

    import papermill

    case, source = Path(work["case"]), work["notebook"]

    def one(unit):
        target = Path(work["out"]) / f"{unit}.ipynb"
        papermill.execute_notebook(
            source, str(target), {"unit": unit, "data_dir": str(case)}, kernel_name="python3", progress_bar=False
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, work["units"]))


def by_nbconvert(work):
    """Execute copies of the notebook, one for each unit, by one call of nbconvert."""
    copies = []
    for unit in work["units"]:
        content = json.loads(Path(work["notebook"]).read_text())
        content["cells"][0]["source"] = f"unit = {unit!r}\ndata_dir = {work['case']!r}"
        copies.append(Path(work["out"]) / f"{unit}.ipynb")
        copies[-1].write_text(json.dumps(content))
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    subprocess.run([*command, *map(str, copies)], check=True, stderr=subprocess.DEVNULL)


def floor(work):
    """Run the cells' own code for every unit in this process, which has the libraries; print CPU-seconds of that."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    cells = ["".join(c["source"]) for c in json.loads(Path(work["notebook"]).read_text())["cells"]]
    shell = InteractiveShell.instance()

    def one(unit):
        with capture_output():
            shell.run_cell(cells[0])
            shell.push({"unit": unit, "data_dir": work["case"]})
            for cell in cells[1:]:
                shell.run_cell(cell).raise_error()

    one("first")
    began = time.process_time()
    for unit in work["units"]:
        one(unit)
    print(json.dumps({"cpu": time.process_time() - began}))


def sample_by_papermill(work):
    """Execute the sample company's notebooks in their order with plain papermill, one after another."""
    import papermill

    from kpitoolkit import parameters
    from kpitoolkit.batch.plan import read_notebooks
    from kpitoolkit.contracts import GROUP_UNIT

    case = parameters.read_case(Path(work["case"]))
    found = [each for each in read_notebooks(ROOT / "notebooks").values() if each.scope != "interactive"]
    out = Path(work["out"])
    names = {name: dict(one.unit_name) for name, one in case.units.items()}
    for unit in (*case.units, GROUP_UNIT):
        stated = case.group if unit == GROUP_UNIT else case.units[unit]
        catalogue = str(parameters.catalogue_path(stated.catalogue, case.name, str(case.folder)))
        for each in found:
            if (each.scope == "group") != (unit == GROUP_UNIT):
                continue
            known = {**stated.model_dump(), "case": case.name, "units": list(case.units), "unit_names": names}
            known |= {"data_dir": str(case.folder), "save_dir": str(out / unit), "catalogue": catalogue}
            known["results_dir"] = str(out if unit == GROUP_UNIT else out / unit)
            values = {name: known[name] for name in each.parameters if name in known}
            target = out / unit / f"{each.name}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            papermill.execute_notebook(str(each.path), str(target), values, kernel_name="python3", progress_bar=False)


WAYS = {
    "papermill in a loop": lambda work: by_papermill(work, 1),
    "papermill, two threads": lambda work: by_papermill(work, 2),
    "nbconvert --execute": by_nbconvert,
    "kpitoolkit, cold kernels": None,
    "kpitoolkit, warm kernels": None,
    "kpitoolkit, warm, unchanged": None,
    "floor": floor,
    "sample by papermill": sample_by_papermill,
}
"""What is asked of this script in a process of its own; None for the command that users give."""
COMMAND = "from kpitoolkit.cli import main; main()"


# -- measuring ---------------------------------------------------------------------------------------------------------


def adopt_orphans():
    """Become the parent of what a child leaves behind, so that its CPU is counted once it ends (Linux)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def shares():
    """Memory of all processes below this one, in MB: proportional shares, so that forks' common pages count once."""
    import psutil

    total = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError, psutil.Error, StopIteration):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def measured(way, work, **environment):
    """Run a way in a process of its own; return wall, CPU-seconds and MB, and what it printed."""
    for name in ("out",):
        if "unchanged" not in way:
            shutil.rmtree(work[name], ignore_errors=True)
        Path(work[name]).mkdir(parents=True, exist_ok=True)
    told = {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": str(ROOT), **environment}
    told.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody's modules are compiled at each start
    before, began, most, done = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), [0.0], threading.Event()

    def watch():
        while not done.wait(0.5):
            most[0] = max(most[0], shares())

    watcher = threading.Thread(target=watch)
    watcher.start()
    asked = [sys.executable, str(Path(__file__).resolve()), "--way", way, "--work", json.dumps(work)]
    if WAYS[way] is None:
        asked = [sys.executable, "-c", COMMAND, "run", work["case"], "--output", work["out"], "--jobs", "2"]
    folder = Path(work["notebook"]).parents[1]  # the project's
    ran = subprocess.run(asked, env=told, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{way}: {ran.stderr}")
    wall = time.monotonic() - began
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    done.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(getattr(after, each) - getattr(before, each) for each in ("ru_utime", "ru_stime"))
    print(f"{way}: {wall:.1f} s, {cpu:.1f} CPU-s, {most[0]:.0f} MB", file=sys.stderr, flush=True)
    return {"wall": wall, "cpu": cpu, "mb": most[0], "said": ran.stdout}


def light(count):
    """Return the rows of the table for so many light notebooks, and whether the aims are met."""
    with tempfile.TemporaryDirectory(prefix="kpi-bench-") as name:
        folder = Path(name)
        case, notebooks = write_case(folder, count, LIGHT)
        units = sorted(path.stem for path in case.glob("u*.yml"))
        base = {"case": str(case), "notebook": str(notebooks / "light.ipynb"), "units": units}
        work = {way: base | {"out": str(folder / f"out{n}")} for n, way in enumerate(WAYS)}
        work["kpitoolkit, warm, unchanged"]["out"] = work["kpitoolkit, warm kernels"]["out"]
        cold = {"KPITOOLKIT_KERNELS": "cold"}
        found = {way: measured(way, work[way], **(cold if "cold" in way else {})) for way in list(WAYS)[:6]}
        own = json.loads(measured("floor", work["floor"])["said"])["cpu"]
    loop, warm = found["papermill in a loop"], found["kpitoolkit, warm kernels"]
    rows = [
        [way, f"{m['wall']:.1f}", f"{loop['wall'] / m['wall']:.2f}", f"{m['cpu']:.1f}", f"{loop['cpu'] / m['cpu']:.2f}",
         f"{(m['cpu'] - own) / count:.2f}" if "unchanged" not in way else "–", f"{m['mb']:.0f}"]
        for way, m in found.items()
    ]  # fmt: skip
    rows.append(["the cells' own code in one process", "–", "–", f"{own:.1f}", f"{loop['cpu'] / own:.2f}", "0", "–"])
    again = found["kpitoolkit, warm, unchanged"]["cpu"] / warm["cpu"]
    aims = [
        (f"{count} notebooks: CPU-s of the loop over ours", "at least 3", loop["cpu"] / warm["cpu"], AIMS["cpu"], 1),
        (f"{count} notebooks: wall of the loop over ours", "at least 4", loop["wall"] / warm["wall"], AIMS["wall"], 1),
        (f"{count} notebooks: unchanged second run, CPU", "at most 3%", again, AIMS["unchanged"], -1),
        (f"{count} notebooks: overhead a notebook, CPU-s", "at most 1", (warm["cpu"] - own) / count, 1.0, -1),
    ]
    return rows, aims


def sample():
    """Return the rows of the table for the sample company's own notebooks."""
    with tempfile.TemporaryDirectory(prefix="kpi-bench-") as name:
        case = ROOT / "parameters" / "sample-2026Q3"
        base = {"case": str(case), "notebook": str(ROOT / "notebooks" / "summary.ipynb"), "units": []}
        work = {way: base | {"out": f"{name}/{n}"} for n, way in enumerate(WAYS)}
        work["kpitoolkit, warm, unchanged"]["out"] = work["kpitoolkit, warm kernels"]["out"]
        found = {"papermill in a loop": measured("sample by papermill", work["sample by papermill"])}
        for way in list(WAYS)[3:6]:
            found[way] = measured(way, work[way], **({"KPITOOLKIT_KERNELS": "cold"} if "cold" in way else {}))
    loop = found["papermill in a loop"]
    return [
        [way, f"{m['wall']:.0f}", f"{loop['wall'] / m['wall']:.2f}", f"{m['cpu']:.0f}", f"{loop['cpu'] / m['cpu']:.2f}",
         f"{m['mb']:.0f}"]
        for way, m in found.items()
    ]  # fmt: skip


def leak(count):
    """Run so many units in this process; say what is left of processes, threads, files, sockets, folders, memory."""
    import psutil

    from kpitoolkit.batch.runner import run_case

    own, temporary = psutil.Process(), Path(tempfile.gettempdir())

    def state():
        kinds = {c.type for c in own.net_connections() if c.family.name != "AF_UNIX"}
        return {
            "children": len([c for c in own.children(recursive=True) if c.status() != psutil.STATUS_ZOMBIE]),
            "threads": own.num_threads(),
            "files": own.num_fds(),
            "ports": len(kinds),
            "folders": len([one for kind in ("kpi-*", "pymp-*") for one in temporary.glob(kind)]),
            "MB": round(own.memory_info().rss / 2**20),
        }

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        case, notebooks = write_case(Path(name), count, IDLE)
        seen = []

        def tell(entry, done, total):
            if done in (count // 4, count // 2, count) and entry.status == "made":
                seen.append({"after": done, **state()})

        first = state()
        began = time.monotonic()
        report = run_case(case, output=Path(name) / "out", jobs=2, notebooks_dir=notebooks, tell=tell)
        wall = time.monotonic() - began
        time.sleep(1)
        last = state()
    made = sum(entry.status == "made" for entry in report.entries)
    told = [("before", first), *((f"after {row.pop('after')} units", row) for row in seen), ("at the end", last)]
    rows = [[label, *(str(value) for value in row.values())] for label, row in told]
    return ["", *first], rows, f"{made} of {count} units made in {wall:.0f} s."


def table(head, rows):
    """Write a Markdown table."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (head, marks, *rows))


def main():
    """Measure what is asked for; print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", default="12,48")
    parser.add_argument("--sample", action="store_true", help="the sample company's own notebooks, too: ten minutes")
    parser.add_argument("--leak", type=int, default=200)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    stated = parser.parse_args()
    if stated.way:
        WAYS[stated.way](json.loads(stated.work))
        return
    adopt_orphans()
    load = os.getloadavg()[0]
    parts, aims = [], []
    for count in map(int, filter(None, stated.units.split(","))):
        rows, reached = light(count)
        aims += reached
        head = ["way", "wall, s", "loop / this", "CPU-s", "loop / this", "overhead a notebook, CPU-s", "memory, MB"]
        parts += [f"## {count} light notebooks", table(head, rows)]
    if stated.sample:
        head = ["way", "wall, s", "loop / this", "CPU-s", "loop / this", "memory, MB"]
        parts += ["## The sample company: 16 notebooks and the group's", table(head, sample())]
    if stated.leak:
        head, rows, said = leak(stated.leak)
        parts += [f"## {stated.leak} units: what is left", said, table(head, rows)]
    judged = [
        [what, aim, f"{value:.1%}" if "%" in aim else f"{value:.2f}",
         "met" if sign * (value - limit) >= 0 else "**missed**"] for what, aim, value, limit, sign in aims
    ]  # fmt: skip
    versions = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("papermill", "nbclient", "nbconvert", "ipykernel")
    )
    text = "\n\n".join(
        [
            f"- Command: `python tests/benchmarks/batch.py {' '.join(sys.argv[1:])}`, "
            f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; load when it began: {load:.1f}.\n"
            f"- {os.cpu_count()} cores, Python {platform.python_version()}, {versions}.",
            "## Aims",
            table(["", "aim", "reached", ""], judged),
            *parts,
        ]
    )
    print(text)
    if stated.write:
        whole = stated.write.read_text(encoding="utf-8") if stated.write.is_file() else f"# Batches\n\n{BEGIN}\n{END}\n"
        before, after = whole.split(BEGIN)[0], whole.split(END)[1]
        stated.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
