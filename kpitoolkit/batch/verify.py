"""Verification: does what is published still follow from what went in, does it add up, and does what was signed stand?

Everything is worked out again from the files on this machine. Nothing is written, and no network is asked.
"""

from dataclasses import dataclass
from pathlib import Path

from kpitoolkit import parameters
from kpitoolkit.batch import identities, record, register, signoff, standing
from kpitoolkit.batch.signoff import State
from kpitoolkit.batch.site import block, places_of_sign_off, says, sentences
from kpitoolkit.batch.standing import Run
from kpitoolkit.errors import ToolkitError


@dataclass(frozen=True, eq=False)
class Verification:
    """What differs, by subject; what else a reader should know; and how far each unit is signed off."""

    run: Run
    differences: dict[str, list[str]]
    notes: list[str]
    states: dict[str, State]
    counts: dict[str, int]

    @property
    def exit_status(self) -> int:
        """0 where nothing differs, else 1."""
        return int(any(self.differences.values()))

    @property
    def said(self) -> list[str]:
        """The lines to print."""
        lines = []
        for subject, found in self.differences.items():
            head = f"{subject}: {self.counts[subject]} looked at"
            lines.append(f"{head}, {'all as they were' if not found else f'{len(found)} not as they should be'}")
            lines += [f"  - {one}" for one in found]
        lines.append("sign-off:")
        lines += [f"  {unit}: {' '.join(sentences(state, self.run, 'en'))}" for unit, state in self.states.items()]
        return lines + [f"note: {note}" for note in self.notes]


def verify(outputs: str | Path, folder: str | Path | None = None) -> Verification:
    """Verify a case's outputs: hashes, the register and its signatures, and what must add up.

    Parameters
    ----------
    outputs : str or Path
        ``outputs/<case>``.
    folder : path, optional
        Of the case's parameters; by default as the run noted it.

    Raises
    ------
    ToolkitError
        Where there is no run to verify.
    """
    run = standing.read_run(standing.find_outputs(outputs))
    notes: list[str] = []
    case = place = now = None
    inputs: list[str] = []
    try:
        place = standing.case_folder(run, folder)
        case = parameters.read_case(place)
        now = standing.facts_now(case)
        inputs = [f"{unit}: {fault}" for unit, fault in standing.from_inputs(run, now, run.units)]
    except ToolkitError as error:
        inputs = [str(error)]
    files = standing.from_run(run, run.units)
    states = signoff.states(run, place, now)
    rates = identities.fx_rates_of(case) if case else None
    book = register.read(run.home)
    wrong, unread = _stamps(run, place, {unit for unit, _said in files})
    differences = {
        "files published": [said for _unit, said in files] + _index(run),
        "inputs and definitions": inputs,
        "identities": [f"{unit}: {said}" for unit, said in identities.broken(run, rates)],
        "signatures": _signatures(run, book, states),
        "lines on the sign-off": wrong,
    }
    counts = {
        "files published": sum(len(entry.outputs) for entry in run.entries.values()) + 1,
        "inputs and definitions": sum(len(facts["data"]) + 2 for facts in run.facts["units"].values()),
        "identities": sum(len(standing.saved_names(run, unit)) for unit in run.units),
        "signatures": len(book.entries),
        "lines on the sign-off": len(places_of_sign_off(run)),
    }
    unhashed = {
        f"{table} ({found['connection']})"
        for facts in run.facts["units"].values()
        for table, found in facts["data"].items()
        if "connection" in found
    }
    if unhashed:
        notes.append(f"not hashed, for they are in connections: {', '.join(sorted(unhashed))}")
    if run.facts.get("package") != record.package_digest():
        notes.append("this toolkit is not the one that made the run: a new run may give other figures")
    if unread:
        notes.append(
            "another toolkit wrote the words of the sign-off on the pages: only what they rest on was compared"
        )
    notes += _earlier(run)
    return Verification(run, differences, notes, states, counts)


def _index(run: Run) -> list[str]:
    now = record.file_digest(run.home / "index.html")
    same = now == run.facts["index_file"]["sha256"]
    return [] if same else [f"index.html: {'is not what the run wrote' if now else 'is missing'}"]


def _signatures(run: Run, book: register.Register, states: dict[str, State]) -> list[str]:
    """Say what is wrong with the register, and which signatures are void, with every file that differs."""
    said = book.said + [fault for state in states.values() for fault in state.refused]
    said += [
        f"{register.FILE}: entry {entry.number} is on {unit!r}, which is no unit of this run"
        for entry in book.entries
        for unit in entry.units
        if unit not in run.units
    ]
    for unit, state in states.items():
        if state.status != "void" or state.last is None:
            continue
        void = f"{unit}: the signature of {state.last.name} ({state.last.role}) is void"
        for change in state.changes:
            words = "changed"
            if change.kind == "parameter":
                words = f"was {standing.told(change.before)}, is {standing.told(change.after)}"
            elif not (change.before and change.after):
                words = "is not there any more" if change.before else "was not there"
            said.append(f"{void}: {change.kind} {change.name} {words}")
    return said


def _stamps(run: Run, place: Path | None, unlike: set[str]) -> tuple[list[str], list[str]]:
    """Say which pages state another sign-off than the register gives, and on which only its ground was compared.

    Pages of units whose files differ anyway are said elsewhere.
    """
    as_run = signoff.states(run, place)
    wrong, unread = [], []
    for name, (language, units) in places_of_sign_off(run).items():
        path = run.home / name
        if not path.is_file() or unlike & set(units):
            continue
        found = record.parted(path.read_bytes())[1]
        right = says(found, block(run, as_run, units, language)) if found else True
        wrong += [f"{name}: says another sign-off than the register"] if right is False else []
        unread += [name] if right is None else []
    return wrong, unread


def _earlier(run: Run) -> list[str]:
    """Say which figures of the quarter before, signed then, are others in this case."""
    said = []
    for unit in run.units:
        earlier = str(run.facts["units"][unit]["parameters"].get("previous_case") or "")
        kpis = standing.saved(run, unit, "reconciliation_kpis")
        if not earlier or kpis is None or not {"kpi", "basis", "previous"} <= set(kpis):
            continue
        signed = [entry for entry in register.read(run.home.parent / earlier).entries if unit in entry.units]
        if not signed:
            continue
        before = signed[-1].units[unit].figures
        now = standing.figures(run, unit, "previous")
        moved = standing.restated({name: figure for name, figure in before.items() if name in now}, now)
        said += [
            f"{unit}: {name} of {earlier} was signed as {was.value:,.10g}, here it is restated as {is_now.value:,.10g}"
            for name, was, is_now in moved
            if is_now is not None and was.value is not None and is_now.value is not None
        ]
    return said
