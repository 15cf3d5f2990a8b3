"""Why a notebook runs: what its output follows from, part by part, beside what the one that stands was made from.

A notebook's parts are its parameters, data, catalogue, own text, the toolkit's sources, the versions of what it
computes with, and the results of earlier notebooks that it reads. The hash of them all is its key; the parts are kept
in ``run.json`` so that a later run can say which of them is another.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kpitoolkit.batch import record
from kpitoolkit.batch.record import GOOD, Entry

CONNECTION = "connection "
"""Begins what stands for a connection's content, which cannot be known to be the same."""
_SHORT = 16
_SENTENCES = {
    "catalogue": "the catalogue of KPIs changed",
    "names": "names of units changed",
    "notebook": "the notebook changed",
    "package": "made with another version of the toolkit",
}


def shortened(parts: Mapping) -> dict:
    """Return parts with hashes as short as it takes to tell them apart: a run keeps them for every notebook.

    Examples
    --------
    >>> shortened({"notebook": "0123456789abcdef0123", "data": {"orders": "fedcba9876543210fedc"}, "versions": {}})
    {'notebook': '0123456789abcdef', 'data': {'orders': 'fedcba9876543210'}, 'versions': {}}
    """
    return {
        name: {key: str(found)[:_SHORT] for key, found in part.items()}
        if isinstance(part, Mapping)
        else str(part)[:_SHORT]
        for name, part in parts.items()
    }


def by_notebook(results: Mapping[str, str], notebooks: Iterable[str]) -> dict[str, str]:
    """Return one hash of the tables of each notebook, for the group's page of each notebook of each unit.

    Parameters
    ----------
    results : mapping of str
        Hashes by place: ``tables/first_values.parquet``, for the group ``north/tables/first_values.parquet``.
    notebooks : iterable of str

    Examples
    --------
    >>> list(by_notebook({"north/tables/first_values.parquet": "12", "north/tables/other.parquet": "34"}, ["first"]))
    ['north/first', 'north/other']
    """
    longest, found = sorted(notebooks, key=len, reverse=True), {}
    for place, sha256 in results.items():
        unit, _tables, file = ("/" + place).rpartition("/tables/")
        stem = Path(file).stem
        name = next((notebook for notebook in longest if stem.startswith(f"{notebook}_")), stem)
        found.setdefault(f"{unit}/{name}".strip("/"), {})[file] = sha256
    return {name: record.digest(files) for name, files in found.items()}


def why(home: Path, before: Entry | None, job: Entry, force: bool = False) -> list[str]:
    """Say why a notebook is to be made; nothing where what stands would come out the same.

    Parameters
    ----------
    home : Path
        The case's folder of outputs.
    before : Entry or None
        What earlier runs left in its place.
    job : Entry
        The notebook that is about to run, with its key, parameters and parts.
    force : bool
        Whether everything is to be made again.
    """
    said = ["--force"] if force else []
    if before is None or not (before.outputs or before.status in (*GOOD, "failed")):
        return [*said, "never made"]
    if before.status not in GOOD:
        return [*said, "it failed last time", *changes(before, job)]
    if before.key != job.key:
        said += changes(before, job) or ["what it follows from changed"]
    gone = sorted(name for name, found in before.outputs.items() if record.file_digest(home / name) != found)
    if gone or not before.outputs:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        said.append(f"{gone[0]}{more} changed or removed since" if gone else "never made")
    return said


def changes(before: Entry, job: Entry) -> list[str]:
    """Say what of a notebook's parts is not as it was.

    Examples
    --------
    >>> was = Entry("north", "first", "en", "made", parameters={"lookback_days": 30}, parts={"data": {"orders": "12"}})
    >>> now = Entry("north", "first", "en", "failed", parameters={"lookback_days": 45}, parts={"data": {"orders": "3"}})
    >>> changes(was, now)
    ['data changed (orders)', 'parameter lookback_days 30 -> 45']
    """
    was, now = before.parts, shortened(job.parts)
    if not was:
        return ["made by an earlier version of the toolkit"]
    said = _data(was.get("data", {}), now.get("data", {}))
    said += [f"parameter {change}" for change in _parameters(before.parameters, job.parameters)]
    if was.get("previous", {}) != now.get("previous", {}):
        said.append("tables of the previous case changed")
    said += [
        sentence for name, sentence in _SENTENCES.items() if name in now and was.get(name) not in (None, now[name])
    ]
    versions = was.get("versions", {}), now.get("versions", {})
    said += [
        f"made with {name} {versions[0].get(name, 'absent')}, now {versions[1].get(name, 'absent')}"
        for name in sorted({*versions[0], *versions[1]})
        if name != "kpitoolkit" and versions[0].get(name) != versions[1].get(name)
    ]
    results = was.get("results", {}), now.get("results", {})
    names = [name for name in sorted({*results[0], *results[1]}) if results[0].get(name) != results[1].get(name)]
    if names:
        said.append(f"results changed ({listed(names)})")
    return said


def _data(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    both = sorted({*was} & {*now})
    groups = {
        "data missing": [t for t in now if not now[t]],
        "data changed": [t for t in both if was[t] != now[t] and now[t] and not now[t].startswith(CONNECTION)],
        "data in a connection may have changed": [t for t in both if now[t].startswith(CONNECTION)],
        "data declared since": [t for t in sorted({*now} - {*was}) if now[t]],
        "data not declared any more": sorted({*was} - {*now}),
    }
    return [f"{sentence} ({listed(tables)})" for sentence, tables in groups.items() if tables]


def _parameters(was: Mapping, now: Mapping) -> list[str]:
    from kpitoolkit.batch.standing import parameter_changes, told

    left_out = {
        name: {k: v for k, v in one.items() if k not in ("unit_names", "catalogue")}
        for name, one in (("was", was), ("now", record.plain(now)))
    }
    return [
        f"{change.name} {told(change.before)} -> {told(change.after)}"
        for change in parameter_changes(left_out["was"], left_out["now"])
    ]


def listed(names: Sequence[str], most: int = 6) -> str:
    """Write names with commas, and how many more there are.

    Examples
    --------
    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
