"""What a run would do and why, without doing it: nothing is written, no kernel starts, no row of data is checked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kpitoolkit import parameters, sources
from kpitoolkit.batch import record, standing
from kpitoolkit.batch.chain import Batch, job_of
from kpitoolkit.batch.progress import duration
from kpitoolkit.batch.reasons import listed, why
from kpitoolkit.batch.record import GOOD, Entry
from kpitoolkit.contracts import GROUP_UNIT


@dataclass(frozen=True)
class Planned:
    """One notebook of one unit: ``status`` is ``run``, ``after`` (only if earlier results change), ``unchanged`` or
    ``not_made``; ``seconds`` is what it took last time, 0 where that is not known."""

    unit: str
    notebook: str
    status: str
    reasons: list[str] = field(default_factory=list)
    seconds: float = 0.0


def explain(batch: Batch) -> list[Planned]:
    """Say of each notebook that was asked for whether it would run, and why.

    A notebook that is to run may bring the same results as before. So those that read them are judged as if it did,
    and named apart where nothing else speaks against what stands.

    Parameters
    ----------
    batch : Batch
        As `runner.prepare` returns it; its hashes of the data are filled in.
    """
    case, seen = batch.case, {}
    planned: list[Planned] = []
    shelved: dict[str, str] = {}
    for unit in (*case.units, GROUP_UNIT):
        batch.data[unit] = standing.data_of(case, batch.stated(unit), seen)
        declared = sources.declared(parameters.workspace_of(case, batch.stated(unit)))
        would_run = [] if unit != GROUP_UNIT else [f"{p.unit}/{p.notebook}" for p in planned if p.status == "run"]
        maybe = [] if unit != GROUP_UNIT else [f"{p.unit}/{p.notebook}" for p in planned if p.status == "after"]
        for notebook in batch.chain(unit):
            own = f"{unit}/"
            results = {
                place.removeprefix("" if unit == GROUP_UNIT else own): sha256
                for place, sha256 in shelved.items()
                if unit == GROUP_UNIT or place.startswith(own)
            }
            job = job_of(batch, unit, notebook, results)
            before = batch.before.get(job.place)
            if not notebook.made(declared):
                if batch.wants(unit, notebook):
                    reason = f"no {notebook.missing(declared)} declared"
                    planned.append(Planned(unit, notebook.name, "not_made", [reason]))
                continue
            if not batch.wants(unit, notebook):
                shelved |= _tables(_standing(batch, job))
                continue
            reasons = why(batch.home, before, job, batch.force)
            status = "run" if reasons else "after" if would_run or maybe else "unchanged"
            if status == "after":
                reasons = [f"{listed(would_run or maybe)} before it would run"]
            planned.append(Planned(unit, notebook.name, status, reasons, before.seconds if before else 0.0))
            shelved |= _tables(before)
            name = notebook.name
            would_run += [name] if status == "run" else []
            maybe += [name] if status == "after" else []
    return planned


def _standing(batch: Batch, job: Entry) -> Entry | None:
    """Return what stands of a notebook that is not asked for, where a run would read its results."""
    for entry in batch.before.values():
        same = (entry.unit, entry.notebook, entry.inputs) == (job.unit, job.notebook, job.inputs)
        if same and entry.status in GOOD and record.holds(batch.home, entry):
            return entry
    return None


def _tables(entry: Entry | None) -> dict[str, str]:
    if entry is None or entry.unit == GROUP_UNIT:
        return {}
    return {
        place: sha256
        for place, sha256 in entry.outputs.items()
        if place.startswith(f"{entry.unit}/tables/") and Path(place).suffix == ".parquet"
    }


def said(planned: Iterable[Planned]) -> list[str]:
    """Return a line for each notebook, and one for them all.

    Examples
    --------
    >>> lines = said([Planned("north", "first", "run", ["never made"]), Planned("north", "report", "unchanged")])
    >>> lines[0], lines[1]
    ('north first: would run: never made', 'north report: unchanged')
    >>> lines[-1]
    'Would run 1 of 2 notebooks. Nothing was run or written.'
    """
    planned = list(planned)
    words = {
        "run": "would run",
        "after": "would run if results change",
        "not_made": "not made",
        "unchanged": "unchanged",
    }
    lines = [
        ": ".join([f"{p.unit} {p.notebook}", words[p.status], "; ".join(p.reasons)]).removesuffix(": ") for p in planned
    ]
    made = [p for p in planned if p.status != "not_made"]
    groups = {status: [p for p in made if p.status == status] for status in ("run", "after")}
    more = f", {len(groups['after'])} more if results change" if groups["after"] else ""
    known = [p.seconds for p in (*groups["run"], *groups["after"]) if p.seconds]
    took = f" Last time these took {duration(sum(known))} of notebooks' time." if known else ""
    count = f"{len(made)} notebook" + ("" if len(made) == 1 else "s")
    return [*lines, "", f"Would run {len(groups['run'])} of {count}{more}.{took} Nothing was run or written."]
