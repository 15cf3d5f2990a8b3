"""Sign-off: a named person in a role signs what stands of a unit; whoever prepared it does not approve it.

The rules (``faults_of``) are the same when somebody signs and whenever the register is read: an entry that breaks one
counts for nothing, however it came into the register.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kpitoolkit import __version__, parameters
from kpitoolkit.batch import record, register, standing
from kpitoolkit.batch.check import check_names
from kpitoolkit.batch.publish import only_run
from kpitoolkit.batch.record import GOOD
from kpitoolkit.batch.register import Figure, Register, Signed, Statement
from kpitoolkit.batch.standing import Change, Run
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import Faults, ToolkitError, suggest

PREPARER = "preparer"
SAME_AS = {"analyst": PREPARER}
LOCKED = (
    *("materiality_share", "performance_share", "trivial_share", "spend_materiality_share"),
    *("tax_rate", "cost_of_capital", "lifetime_model", "lifetime_horizon_quarters", "discount_rate"),
)
"""The CFO's own parameters, which nobody changes any more once an approver has signed: thresholds, rates, the worth of
a customer."""
_WAIT_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class State:
    """How far a unit is signed off.

    ``status`` is ``not_signed``, ``prepared`` (an approver is still to sign), ``signed``, ``void`` (what was signed
    stands no more) or ``damaged`` (the register cannot be believed). ``valid`` are the signatures on what stands;
    ``last`` is the one that is void, ``changes`` what voided it, ``since`` the day of the run that did (empty where no
    run did), ``restated`` the KPIs whose figure moved: id, as signed, as it stands.
    """

    unit: str
    status: str
    valid: tuple[Signed, ...] = ()
    last: Signed | None = None
    missing: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    since: str = ""
    restated: tuple[tuple[str, Figure, Figure | None], ...] = ()
    not_examined: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def approvals(self) -> list[Signed]:
        """The valid signatures that approve."""
        return [entry for entry in self.valid if entry.role != PREPARER]

    @property
    def preparers(self) -> list[Signed]:
        """The valid signatures of those who prepared."""
        return [entry for entry in self.valid if entry.role == PREPARER]


class Keys:
    """Checks each signature by key once, against the allowed signers that a case's parameters name."""

    def __init__(self, folder: Path | None):
        self.folder, self._known = folder, {}

    def fault(self, entry: Signed, statement: Statement, principal: str) -> str:
        """Say what is wrong with an entry's signature by key, or nothing."""
        stated = str(statement.parameters.get("allowed_signers") or "")
        if not stated:
            return (
                "it is signed with a key, but the parameter 'allowed_signers' names no file" if entry.signature else ""
            )
        if not entry.signature:
            return "it is signed without a key, and the parameter 'allowed_signers' asks for one"
        if self.folder is None:
            return "its key cannot be checked: the case's parameters are not there"
        question = (entry.hash, stated, principal)
        if question not in self._known:
            try:
                register.signer(entry, self.folder / stated, principal)
                self._known[question] = ""
            except ToolkitError as error:
                self._known[question] = str(error)
        return self._known[question]


def approvers(statement: Statement) -> dict[str, list[tuple[str, str]]]:
    """Return who may approve by role: names, each with the principal of its key where one is stated.

    Examples
    --------
    >>> stated = {"approvers": {"cfo": ["Anna Bianchi <anna@example.com>", "Leo Rossi"]}}
    >>> approvers(Statement(inputs={}, parameters=stated, catalogue="", outputs={}))
    {'cfo': [('Anna Bianchi', 'anna@example.com'), ('Leo Rossi', '')]}
    """
    stated = statement.parameters.get("approvers")
    stated = stated if isinstance(stated, dict) and stated else {"cfo": []}
    return {role: [_person(str(said)) for said in names or ()] for role, names in stated.items()}


def _person(said: str) -> tuple[str, str]:
    found = re.fullmatch(r"\s*(.*?)\s*<([^<>]+)>\s*", said)
    return (found[1], found[2].strip()) if found else (said.strip(), "")


def faults_of(entry: Signed, unit: str, earlier: Sequence[Signed], keys: Keys | None) -> list[str]:
    """Say which rules an entry breaks for one of its units, given the earlier entries that break none.

    Parameters
    ----------
    entry : Signed
    unit : str
    earlier : sequence of Signed
        On the same unit.
    keys : Keys, optional
        Without it, the signature by key is not looked at.
    """
    statement, found = entry.units[unit], []
    roles = approvers(statement)
    listed = roles.get(entry.role, [])
    named = [one for one in listed if register.same_person(one[0], entry.name)]
    if entry.role != PREPARER and entry.role not in roles:
        found.append(f"role '{entry.role}' neither prepares nor approves. The parameter 'approvers' names the roles")
    elif listed and not named:
        found.append(
            f"{entry.name} is not among those who approve as {entry.role}. The parameter 'approvers' names them"
        )
    own = [one for one in earlier if _same(one, entry)]
    on_this = [one for one in earlier if not standing.changes(one.units[unit], statement)]
    if any(one.role != entry.role and PREPARER in (one.role, entry.role) for one in own):
        did, not_also = ("prepared", "approve") if entry.role != PREPARER else ("approved", "prepare")
        found.append(f"{entry.name} {did} it (the same name, or the same key) and cannot {not_also} it too")
    elif any(one in on_this for one in own):
        found.append(f"{entry.name} has already signed exactly this")
    if entry.role != PREPARER and not any(one.role == PREPARER for one in on_this):
        found.append("nobody has signed it as preparer: an approver signs after a preparer")
    approved = [one for one in earlier if one.role != PREPARER]
    if approved:
        before = approved[-1].units[unit].parameters
        moved = [n for n in LOCKED if n in before and before[n] != statement.parameters.get(n, before[n])]
        found += [
            f"{name} is {standing.told(statement.parameters[name])}, but {approved[-1].name} ({approved[-1].role}) "
            f"approved, and so locked, {standing.told(before[name])}. Restore it and run again"
            for name in moved
        ]
    if keys:
        fault = keys.fault(entry, statement, next((principal for _name, principal in named if principal), ""))
        found += [fault] if fault else []
    return found


def _same(one: Signed, other: Signed) -> bool:
    same_key = bool(one.fingerprint) and one.fingerprint == other.fingerprint
    return same_key or register.same_person(one.name, other.name)


def accepted(entries: Iterable[Signed], unit: str, keys: Keys) -> tuple[list[Signed], list[str]]:
    """Return the entries on a unit that break no rule, and what is wrong with the others."""
    good: list[Signed] = []
    bad: list[str] = []
    for entry in entries:
        if unit in entry.units:
            faults = faults_of(entry, unit, good, keys)
            bad += [f"{register.FILE}: entry {entry.number} does not count for {unit}: {fault}" for fault in faults]
            good += [] if faults else [entry]
    return good, bad


def states(run: Run, folder: Path | None, facts: Mapping[str, Mapping] | None = None) -> dict[str, State]:
    """Return how far each unit of a run is signed off, and whether what was signed still stands.

    Parameters
    ----------
    run : Run
    folder : Path, optional
        The case's, where the allowed signers are named.
    facts : mapping, optional
        Inputs and definitions as they are now; by default as the run read them.
    """
    book = register.read(run.home)
    if not book.entries and book.whole:
        return {unit: State(unit, "not_signed") for unit in run.units}
    keys = Keys(folder)
    return {unit: _state(run, unit, book, keys, None if facts is None else facts.get(unit, {})) for unit in run.units}


def _state(run: Run, unit: str, book: Register, keys: Keys, facts: Mapping | None) -> State:
    good, bad = accepted(book.entries, unit, keys)
    if not book.whole:
        return State(unit, "damaged", last=good[-1] if good else None, refused=tuple(bad))
    if not good:
        return State(unit, "not_signed", refused=tuple(bad))
    gone = facts == {}
    now = standing.statement(run, unit, None if gone else facts)
    valid = tuple(entry for entry in good if not (gone or standing.changes(entry.units[unit], now)))
    if valid:
        missing = tuple(role for role in approvers(now) if role not in {entry.role for entry in valid})
        known = {"not_examined": tuple(now.not_examined), "refused": tuple(bad)}
        return State(unit, "prepared" if missing else "signed", valid, missing=missing, **known)
    last = next((entry for entry in reversed(good) if entry.role != PREPARER), good[-1])
    signed = last.units[unit]
    changed = (Change("input", unit),) if gone else tuple(standing.changes(signed, now))
    made = {change.name for change in changed if change.kind == "output"}
    days = [entry.finished for entry in run.of(unit) if made & set(entry.outputs) and entry.finished]
    since = max(days, default="") if days and max(days) >= last.time.astimezone(UTC).isoformat() else ""
    moved = tuple(standing.restated(signed.figures, now.figures))
    return State(unit, "void", last=last, changes=changed, since=since, restated=moved, refused=tuple(bad))


def sign(
    outputs: str | Path,
    role: str,
    name: str,
    units: Iterable[str] = (),
    key: Path | None = None,
    folder: str | Path | None = None,
) -> Signed:
    """Sign what stands of a case, or of some of its units, and write so on its pages.

    Parameters
    ----------
    outputs : str or Path
        ``outputs/<case>``.
    role : str
        ``preparer`` (or ``analyst``), or one that the parameter ``approvers`` names.
    name : str
        Of a person.
    units : iterable of str
        By default all, with the group.
    key : Path, optional
        The person's own SSH key.
    folder : path, optional
        Of the case's parameters; by default as the run noted it.

    Raises
    ------
    Faults
        With everything that stands against the signature; then nothing was written.
    """
    home, role = standing.find_outputs(outputs), role.strip().lower()
    role, name = SAME_AS.get(role, role), register.clean_name(name)
    if not re.fullmatch(register.ROLE, role):
        raise ToolkitError("--role: state preparer, or a role of the parameter 'approvers', such as cfo")
    with _alone(home):
        run = standing.read_run(home)
        case_folder = standing.case_folder(run, folder)
        wanted = tuple(dict.fromkeys(units)) or run.units
        check_names("unit", wanted, run.units)
        now = standing.facts_now(parameters.read_case(case_folder))
        book, keys = register.read(home), Keys(case_folder)
        faults = [*book.said, *blocking(run, now, wanted)]
        entry = Signed(
            number=len(book.entries) + 1,
            previous=book.entries[-1].hash if book.entries else "",
            case=str(run.facts["case"]),
            time=max([datetime.now(UTC).replace(microsecond=0), *(one.time for one in book.entries[-1:])]),
            role=role,
            name=name,
            units={unit: standing.statement(run, unit) for unit in wanted},
            toolkit=__version__,
            commit=record.git_commit(),
            fingerprint=register.key_fingerprint(key) if key else "",
            signature="",
            hash="",
        )
        if role not in (known := {PREPARER, *(one for s in entry.units.values() for one in approvers(s))}):
            faults.append(f"--role: '{role}' is unknown.{suggest(role, known)} Known: {', '.join(sorted(known))}")
        else:
            earlier = {unit: accepted(book.entries, unit, keys)[0] for unit in wanted}
            faults += [f"{unit}: {fault}" for unit in wanted for fault in faults_of(entry, unit, earlier[unit], None)]
        if not key and any(statement.parameters.get("allowed_signers") for statement in entry.units.values()):
            faults.append("--key: the parameter 'allowed_signers' asks for one. Sign with your own SSH key")
        if faults:
            raise Faults(f"{home.name}: not signed", faults)
        if key:
            entry = entry.model_copy(update={"signature": register.sign_with(key)(entry.message)})
        entry = entry.model_copy(update={"hash": entry.right_hash})
        faults = [f"{unit}: {said}" for unit in wanted for said in faults_of(entry, unit, earlier[unit], keys)]
        if faults:
            raise Faults(f"{home.name}: not signed", list(dict.fromkeys(faults)))
        register.append(home, entry)
        from kpitoolkit.batch.site import stamp  # drawing libraries: seconds that a refusal does not need

        stamp(run, states(run, case_folder))
    return entry


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the case's outputs; where somebody else is signing, wait for a moment."""
    until = time.monotonic() + _WAIT_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(only_run(home))
                break
            except ToolkitError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield


def blocking(run: Run, now: Mapping[str, Mapping], units: Sequence[str]) -> list[str]:
    """Say everything for which units cannot be signed: what failed, is missing, changed, or did not pass."""
    from kpitoolkit.batch import identities  # reads tables: not what a run without signatures needs

    said = []
    for unit in units:
        if unit in run.facts.get("refused", {}):
            said.append(f"{unit}: the last run refused its data. Mend them and run again")
        for place in (f"{u}/{notebook}.{language}" for u, notebook, language in run.facts["pages"] if u == unit):
            entry = run.entries.get(place)
            if entry is None:
                said.append(f"{place}: was never made. Run the whole case")
            elif entry.status not in (*GOOD, "not_made"):
                said.append(
                    f"{place}: {entry.status}: {entry.message.splitlines()[0] if entry.message else 'no reason'}"
                )
            elif entry.left_out:
                said.append(f"{place}: was made without {', '.join(entry.left_out)}. Run the whole case")
        if not any(entry.outputs for entry in run.of(unit)):
            said.append(f"{unit}: there is nothing to sign")
        tested = standing.checks(run, unit)
        if tested.empty and unit != GROUP_UNIT:
            said.append(f"{unit}: nothing was checked: there is no table of checks. Make its reconciliation first")
        for row in tested[tested["passed"].eq(False).fillna(False).astype(bool)].itertuples(index=False):
            value, most = (_figure(stated, row.value_unit) for stated in (row.value_cents, row.threshold_cents))
            figures = f"{value} against {most} at most"
            said.append(f"{unit}: check {row.check} ({row.subject}) did not pass: {figures}")
    said += [f"{unit}: {fault}" for unit, fault in standing.from_run(run, units)]
    said += [f"{unit}: {fault}" for unit, fault in standing.from_inputs(run, now, units)]
    return (
        said
        + [fault for unit, fault in identities.broken(run) if unit in units]
        + identities.over_materiality(run, units)
    )


def _figure(stated, value_unit: str) -> str:
    return f"{int(stated):,}" if value_unit == "count" else f"{int(stated) / 100:,.2f}"
