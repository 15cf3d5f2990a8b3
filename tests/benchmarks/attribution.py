"""Attribution side by side: time, memory and exactness beside three peers, growth to 50M touchpoints, extremes.

One run, the same journeys for all. The toolkit starts from raw touchpoints in Parquet; peers start from ready-made path
tables, already read into memory, each in a virtual environment of its own under `.benchmarks/`, made where it is not
there. Every measurement is a process of its own, whose clock starts after its imports. Up to 100,000 journeys, the
median of three runs; one run beyond. CPU seconds count all threads.

    python tests/benchmarks/attribution.py --quick                                 10,000 journeys only
    python tests/benchmarks/attribution.py --parts peers scale --write FILE.md
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import shutil
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".benchmarks"
SIZES = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
TOUCHPOINTS = {"1M": 1_000_000, "10M": 10_000_000, "50M": 50_000_000}
LIMIT_MB = 2_000
PEERS = {
    "channelattribution": ("ChannelAttribution", "2.2.5", ("matplotlib==3.10.9",)),
    "marketing": ("marketing-attribution-models", "2.1.1", ("polars==2.1.0", "pyarrow==26.0.1", "scipy==1.17.1")),
    "do": ("do-attribution", "0.0.2", ()),
}
COMMON = ("numpy==2.4.6", "pandas==3.1.1")
RUNS = {  # peers' lines: task, what it is asked, request
    "ChannelAttribution, a row a path": ("channelattribution", {}),
    "ChannelAttribution, a row a journey": ("channelattribution", {"each": True, "again": False}),
    "ChannelAttribution, a row a path, conv_par 0.01": ("channelattribution", {"closer": 0.01}),
    "marketing-attribution-models": ("marketing", {}),
    "do-attribution": ("do", {}),
}
OURS, TEXT_IDS = "**kpitoolkit**, raw Parquet", "kpitoolkit, the same with text ids"
SCAN, COLUMNS, BY_USER = "floor: count rows per channel", "floor: read all columns", "floor: group by user"


def environment(peer: str) -> Path:
    """Return the interpreter of the peer's virtual environment; make it if it is not there."""
    from tests.benchmarks.sidebyside import environments

    name, version, more = PEERS[peer]
    return environments.environment(peer, [f"{name}=={version}", *COMMON, *more])


def data(name: str, task: str, **request) -> Path:
    """Return the folder of a set of data; draw it if it is not there, or was drawn by other lines."""
    from tests.benchmarks.sidebyside import stopwatch

    folder = CACHE / "data" / name
    source = hashlib.sha256((Path(stopwatch.__file__).parent / "data.py").read_bytes()).hexdigest()
    note = folder / "set.json"
    if not note.exists() or json.loads(note.read_text())["source"] != source:
        said(f"drawing {name}")
        shutil.rmtree(folder, ignore_errors=True)
        found = stopwatch.start(sys.executable, "data", task=task, folder=str(folder), **request)
        note.write_text(json.dumps({"source": source} | found["result"]))
    return folder


def facts(folder: Path) -> dict:
    return json.loads((folder / "set.json").read_text())


def measure(python, module: str, times: int = 1, **request) -> dict:
    """Start a worker as often as asked; return the last answer with the median of each reading."""
    from tests.benchmarks.sidebyside import stopwatch

    answers = [stopwatch.start(python, module, **request) for _ in range(times)]
    found = answers[-1]
    for name, reading in found.items():
        if isinstance(reading, dict) and "cpu" in reading:
            found[name] = {key: statistics.median(answer[name][key] for answer in answers) for key in reading}
    return found


def said(what: str) -> None:
    from tests.benchmarks.sidebyside import environments

    environments.said(what)


def ours(folder: Path, times: int = 1, **request) -> dict:
    return measure(sys.executable, "ours", times, task="everything", folder=str(folder), **request)


def floors(folder: Path, times: int = 1) -> dict:
    found = measure(sys.executable, "ours", times, task="floors", folder=str(folder))
    rest = {key: found[key] for key in ("imported_mb", "tree_mb")}
    names = {SCAN: "scan", COLUMNS: "columns", BY_USER: "by user"}
    return {name: {"work": found[key]} | rest for name, key in names.items()}


def peers(sizes: list[str]) -> tuple[list[str], dict]:
    """Measure all sides at each size; return lines of the report, and what the aims need."""
    lines, kept = [], {}
    pythons = {peer: environment(peer) for peer in PEERS}
    for size in sizes:
        count = SIZES[size]
        folder = data(f"journeys-{size}", "journeys", journeys=count)
        text = data(f"journeys-{size}-text", "journeys", journeys=count, text_ids=True)
        times = 3 if count <= 100_000 else 1
        said(f"{size}: the toolkit, the floors, the exact answer")
        found = floors(folder, times) | {OURS: ours(folder, times), TEXT_IDS: ours(text, times)}
        exact = measure(sys.executable, "ours", task="exact", folder=str(folder))["result"]
        for name, (peer, request) in RUNS.items():
            said(f"{size}: {name}")
            paths = str(folder / "paths.csv")
            found[name] = measure(pythons[peer], "peers", times, task=peer, paths=paths, **request)
        same_journeys(found[OURS], exact)
        lines += times_table(size, facts(folder), found) + deviations(found, exact)
        kept[size] = found
    return lines, kept


def same_journeys(toolkit: dict, exact: dict) -> None:
    """Check that paths and Parquet tell the same journeys, and that credit is exact, by the second way."""
    tolerance = 1e-9 * exact["conversions"]
    assert toolkit["result"]["conversions"] == exact["conversions"]
    for model, credit in exact["dense"].items():
        for answer in (exact["paths"][model], toolkit["result"]["credit"][model]):
            assert answer.keys() == credit.keys(), (model, answer.keys() ^ credit.keys())
            assert all(abs(answer[channel] - credit[channel]) <= tolerance for channel in credit), model


def times_table(size: str, about: dict, found: dict) -> list[str]:
    seconds = {name: answer["work"] for name, answer in found.items() if "error" not in answer}
    path, journey = list(RUNS)[:2]
    head = ["", "CPU-s", "/ floor", "/ CA, paths", "/ CA, journeys", "wall s", "peak MB", "above imports"]
    rows = []
    for name, answer in found.items():
        if name not in seconds:
            rows.append([name, answer["error"][:150].replace("\n", " "), *[""] * 6])
            continue
        spent = seconds[name]["cpu"]
        ratios = [spent / seconds[other]["cpu"] if other in seconds else None for other in (SCAN, path, journey)]
        rows.append([name, number(spent), *(number(ratio) for ratio in ratios), *memory(answer)])
    counts = [f"{about[key]:,} {key}" for key in ("touchpoints", "conversions", "users")]
    title = f"### {size} journeys: {', '.join(counts)}, {about['paths']:,} distinct paths"
    stages = found[OURS]["result"]["stages"] if "result" in found[OURS] else {}
    note = "; ".join(f"{name} {number(part['cpu'])}" for name, part in stages.items())
    return ["", title, "", *table(head, rows), "", f"The toolkit's CPU seconds by stage (last run): {note}."]


def memory(answer: dict) -> list[str]:
    """Return wall seconds, peak MB, and MB above what the imports hold."""
    peak = answer["work"]["peak_mb"]
    return [number(answer["work"]["wall"]), f"{peak:,.0f}", f"{max(0, peak - answer['imported_mb']):,.0f}"]


def deviations(found: dict, exact: dict) -> list[str]:
    """Compare every credit with the exact one of its name; models without deviation share a line."""
    truth, whole = exact["dense"], exact["conversions"]
    rows = []
    for name, answer in found.items():
        right_ones = []
        for model, credit in answer.get("result", {}).get("credit", {}).items():
            right = truth.get(model.split()[0].rstrip(","))
            if right is None:
                continue
            off = {channel: abs(credit.get(channel, 0.0) - right[channel]) for channel in right}
            if max(off.values()) <= 1e-9 * whole:
                right_ones.append(model)
                continue
            share = {channel: off[channel] / max(right[channel], 1.0) for channel in right}
            worst = max(share, key=share.get)
            none = [channel for channel in right if right[channel] > 0 and not credit.get(channel, 0.0) > 0]
            figures = [f"{100 * part / whole:.2f}%" for part in (max(off.values()), sum(off.values()))]
            rows.append([name, model, *figures, f"{100 * share[worst]:.1f}% ({worst})", ", ".join(none) or "none"])
        if right_ones:
            rows.append([name, ", ".join(right_ones), "exact", "exact", "exact", "none"])
    head = ["", "model", "largest, of all", "sum, of all", "worst, of its own credit", "wrongly without credit"]
    return ["", "Deviation from the exact credit, of all conversions:", "", *table(head, rows)]


def scale(sizes: list[str], with_portable: bool) -> tuple[list[str], dict]:
    """Measure 1M to 50M touchpoints, beside the floors and the portable way."""
    kept, rows = {}, []
    for size in sizes:
        count = TOUCHPOINTS[size]
        folder = data(f"touchpoints-{size}", "long", touchpoints=count)
        said(f"{size} touchpoints")
        found = floors(folder)
        found[OURS] = ours(folder, limit_mb=LIMIT_MB if size == "50M" else None)
        if with_portable and size != "50M":
            said(f"{size} touchpoints, portable")
            found["kpitoolkit, portable (Ibis on DuckDB)"] = ours(folder, portable=True)
        kept[size] = found
        for name, answer in found.items():
            if "error" in answer:
                rows.append([size, name, answer["error"][:150].replace("\n", " "), *[""] * 6])
                continue
            spent = answer["work"]["cpu"]
            ratios = [spent / found[floor]["work"]["cpu"] for floor in (SCAN, BY_USER)]
            each = 1e6 * spent / count
            rows.append(
                [size, name, number(spent), *(number(ratio) for ratio in ratios), number(each), *memory(answer)]
            )
    head = ["touchpoints", "", "CPU-s", "/ scan", "/ by user", "µs a row", "wall s", "peak MB", "above imports"]
    limit = (
        f"50M runs under a limit of {LIMIT_MB:,} MB on the resident memory of its processes, which the parent reads"
        " every 20 ms: it ends the run where it is passed. Peak MB is the kernel's own high-water mark, which misses"
        " nothing."
    )
    return ["", "## Scale: 10 channels, 12 touchpoints a user", "", *table(head, rows), "", limit], kept


def extremes() -> list[str]:
    """Measure what breaks or stalls others."""
    cases = {
        "1M touchpoints, 1,000 channels": (
            ("channels-1000", "long", {"touchpoints": 1_000_000, "channels": 1_000}),
            {},
        ),
        "1M touchpoints, 50 channels, order 2": (
            ("channels-50", "long", {"touchpoints": 1_000_000, "channels": 50}),
            {"order": 2},
        ),
        "one journey of 100,000 touchpoints": (("one-journey", "one_journey", {"touchpoints": 100_000}), {}),
        "one user with all of 1M rows": (("one-user", "long", {"touchpoints": 1_000_000, "users": 1}), {}),
    }
    rows = []
    for name, ((folder, task, request), asked) in cases.items():
        said(name)
        found = ours(data(folder, task, **request), **asked)
        if "error" in found:
            rows.append([name, found["error"][:150].replace("\n", " "), *[""] * 4])
            continue
        stages = ", ".join(f"{stage} {number(part['cpu'])}" for stage, part in found["result"]["stages"].items())
        rows.append([name, number(found["work"]["cpu"]), *memory(found), stages])
    head = ["", "CPU-s", "wall s", "peak MB", "above imports", "CPU-s by stage"]
    return ["", "## Extremes", "", *table(head, rows)]


def aims(sides: dict, long: dict) -> list[str]:
    """Say what was aimed at, what was reached."""
    rows = []

    def line(what, aim, reached, unit=""):
        verdict = "missed" if reached is None else "met" if reached <= aim else "**missed**"
        rows.append([what, f"{aim:g}{unit}", "no answer" if reached is None else number(reached) + unit, verdict])

    def read(found, name, key):
        return found[name]["work"][key] if "error" not in found[name] else None

    def ratio(above, below):
        return above / below if above is not None and below else None

    if "1M" in sides:
        for key, clock in (("cpu", "CPU"), ("wall", "wall")):
            spent = read(sides["1M"], OURS, key)
            for name in list(RUNS)[:2]:
                line(f"1M journeys: {clock} / {name}", 0.6, ratio(spent, read(sides["1M"], name, key)))
            line(f"1M journeys: {clock} / scan", 30, ratio(spent, read(sides["1M"], SCAN, key)))
    spent = {size: read(found, OURS, "cpu") for size, found in long.items()}
    if "10M" in long:
        line("10M touchpoints: CPU seconds", 25, spent["10M"], " s")
        line("10M touchpoints: peak memory", 2_000, read(long["10M"], OURS, "peak_mb"), " MB")
    if "50M" in long:
        line("50M touchpoints: peak memory", LIMIT_MB, read(long["50M"], OURS, "peak_mb"), " MB")
    if "10M" in long and "50M" in long:
        line("CPU seconds a row, 50M / 10M", 1.2, ratio(spent["50M"] and spent["50M"] / 5, spent["10M"]))
    return ["", "## Aims", "", *table(["", "at most", "reached", ""], rows)] if rows else []


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 else f"{value:.1g}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Write a Markdown table; figures to the right where the first row holds one."""
    marks = ["---:" if rows and row_is_figure(rows[0][at]) else "---" for at in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *rows)]


def row_is_figure(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").replace("e-", "").isdigit()


def machine() -> list[str]:
    """Say what this ran on, and with what."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    versions = measure(sys.executable, "ours", task="versions")["result"]
    stamp = datetime.datetime.now().astimezone()
    command = "python tests/benchmarks/attribution.py " + " ".join(sys.argv[1:])
    return [
        "# Attribution, side by side",
        "",
        f"- Command: `{command.strip()}`, {stamp:%Y-%m-%d %H:%M %Z}; load when it began: {os.getloadavg()[0]:.1f}.",
        f"- Machine: {model}, {os.cpu_count()} cores, {pages:.0f} GiB, Python {platform.python_version()}.",
        f"- Toolkit: {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        f"- Peers: {', '.join(f'{name} {version}' for name, version, _more in PEERS.values())}, each with"
        f" {', '.join(COMMON).replace('==', ' ')}.",
        "- Each line is a process of its own, timed after imports, all cores allowed; CPU seconds count all threads. Up"
        " to 100k journeys: median of three.",
    ]


METHOD = """
## Side by side: 12 channels, mean length 4, one journey in ten converts

The toolkit reads raw touchpoints and conversions from Parquet, builds the journeys (look-back of 30 days), credits by
eight models by count and by value with 90% intervals, compares the orders 1 to 3 of the chain by held-out likelihood,
and solves the game of conversion rates. Peers start from path tables of the same journeys in memory: distinct paths
with counts, their leanest form; ChannelAttribution also with a row a journey, and with a simulation that runs until
it is closer (conv_par 0.01; its default is 0.05). They do: ChannelAttribution (CA) first,
last, linear and Markov by simulation; marketing-attribution-models first, last, linear, position, Markov, Shapley of
four channels; do-attribution Markov alone (removal to null). None gives intervals. The exact credit is computed twice:
by the toolkit from the paths, and by dense inverses that use nothing of it; the run stops where they differ, or differ
from what the toolkit finds in the Parquet files. marketing-attribution-models deals its removal effects out a second
time within each journey, so its Markov credit is of another kind; `by its removal effects` is what the others call
Markov. do-attribution's default fits the chain anew without each channel."""


def main() -> None:
    """Measure what is asked for; print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 journeys only")
    parts = ["peers", "scale", "extremes"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--touchpoints", nargs="+", default=list(TOUCHPOINTS), choices=list(TOUCHPOINTS))
    parser.add_argument("--no-portable", action="store_true", help="leave out the portable way at 1M and 10M")
    parser.add_argument("--write", type=Path, help="write the report to this file, too")
    asked = parser.parse_args()
    parts, sizes = (["peers"], ["10k"]) if asked.quick else (asked.parts, asked.sizes)
    report, body, sides, long = machine(), [], {}, {}
    if "peers" in parts:
        lines, sides = peers(sizes)
        body += METHOD.splitlines() + lines
    if "scale" in parts:
        lines, long = scale(asked.touchpoints, not asked.no_portable)
        body += lines
    if "extremes" in parts:
        body += extremes()
    text = "\n".join(report + aims(sides, long) + body) + "\n"
    print(text, end="")
    if asked.write:
        asked.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
