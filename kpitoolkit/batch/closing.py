"""What a run says last: what was made, what is not as it should be and why, where to look, what to do next."""

import os
from collections.abc import Sequence
from pathlib import Path

from kpitoolkit.batch.progress import duration
from kpitoolkit.batch.reasons import listed
from kpitoolkit.batch.record import Entry
from kpitoolkit.batch.runner import Report

_NAMES = {"en": "English", "it": "Italian"}
_MANY = 20
_BAD = ("failed", "refused")


def closing(report: Report, seconds: float) -> str:
    """Return the last words of a run: first what is fine, then each unit that is not, then what to do.

    Parameters
    ----------
    report : Report
    seconds : float
        What the run took.
    """
    own = {
        unit: [e for e in report.entries if e.unit == unit] for unit in dict.fromkeys(e.unit for e in report.entries)
    }
    broken = [unit for unit, entries in own.items() if any(entry.status in _BAD for entry in entries)]
    everywhere = _never_made(report.entries)
    own = {unit: [e for e in entries if (e.notebook, e.message) not in everywhere] for unit, entries in own.items()}
    fine = {unit: _fine(entries) for unit, entries in own.items() if unit not in broken}
    lines = [
        "",
        *(_grouped(fine) if len(fine) > _MANY else [line for unit in fine for line in _said(unit, fine[unit])]),
    ]
    lines += [f"not made in any unit: {notebook}: {message}" for notebook, message in sorted(everywhere)]
    lines = lines if len(lines) > 1 else []
    for unit in broken:
        lines += ["", *_broken(report, unit, own[unit])]
    lines += ["", *_next(report, own, broken)] if broken else []
    lines += _attempts(report.entries)
    lines += [*report.voided, *([report.uploaded] if report.uploaded else [])]
    if report.exit_status == 2:
        return "\n".join([*lines, "Nothing was run; what was published before stands."])
    languages = ", ".join(sorted({_NAMES.get(entry.language, entry.language) for entry in report.entries}))
    counts = {
        "made": [e for e in report.entries if e.status == "made"],
        "unchanged": [e for e in report.entries if e.status == "unchanged"],
        "failed": [e for e in report.entries if e.status == "failed" and e.finished],
        "not remade": [e for e in report.entries if e.status == "failed" and not e.finished],
        "refused": [e for e in report.entries if e.status == "refused"],
    }
    told = ", ".join(f"{len(found)} {status}" for status, found in counts.items() if found)
    lines += [""] if broken or report.voided else []
    lines.append(f"{languages}: {told or 'nothing made'}, {duration(seconds)}. Open {report.index}")
    if report.upload_fault:
        stand = f"the pages stand in {short(report.index.parent)}; run again to upload them"
        lines.append(f"not uploaded: {report.upload_fault}; {stand}")
    return "\n".join(lines)


def _attempts(entries: Sequence[Entry]) -> list[str]:
    """Say which notebooks were made only after their kernel had failed, and how it had.

    Examples
    --------
    >>> _attempts([Entry("b2b", "regression", "en", "made", attempts=["kernel died"])])
    ['b2b regression: made at the second attempt; the first: kernel died']
    """
    said = []
    for entry in entries:
        if entry.attempts and entry.status in ("made", "failed"):
            last, before = len(entry.attempts) + 1, "; ".join(entry.attempts)
            at = "second" if last == 2 else "third" if last == 3 else f"{last}th"
            status = "failed, also" if entry.status == "failed" else "made"
            first = "the first" if last == 2 else "before"
            said.append(f"{entry.unit} {entry.notebook}: {status} at the {at} attempt; {first}: {before}")
    return said


def _never_made(entries: Sequence[Entry]) -> set[tuple[str, str]]:
    """Return what is made in no unit for one and the same reason: it is said once."""
    found: dict[tuple[str, str], int] = {}
    for entry in entries:
        if entry.status == "not_made":
            found[entry.notebook, entry.message] = found.get((entry.notebook, entry.message), 0) + 1
    asked = [entry.notebook for entry in entries]
    return {(name, message) for (name, message), count in found.items() if count == asked.count(name) > 1}


def _fine(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Say what became of a unit's notebooks that did not fail: in one line, and one for each that is wanting."""
    groups = {status: [e.notebook for e in entries if e.status == status] for status in ("made", "unchanged")}
    parts = [f"{status} {', '.join(names)}" for status, names in groups.items() if names]
    return (
        "; ".join(parts) or "nothing made",
        *(f"  not made {e.notebook}: {e.message}" for e in entries if e.status == "not_made"),
        *(
            f"  {e.notebook} is without {listed(e.left_out)}: not up to date, not asked for"
            for e in entries
            if e.left_out and e.status == "made"
        ),
    )


def _said(unit: str, words: Sequence[str]) -> list[str]:
    return [f"{unit}: {words[0]}", *words[1:]]


def _grouped(fine: dict[str, tuple[str, ...]]) -> list[str]:
    """Say once what is the same for many units."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for unit, words in fine.items():
        groups.setdefault(words, []).append(unit)
    return [
        line
        for words, units in groups.items()
        for line in _said(listed(units) if len(units) == 1 else f"{len(units)} units ({listed(units)})", words)
    ]


def _broken(report: Report, unit: str, entries: Sequence[Entry]) -> list[str]:
    """Say what is wrong with a unit, each fault once, and what its readers still have."""
    home = report.index.parent
    refused = [entry for entry in entries if entry.status == "refused"]
    lines = []
    if refused:
        lines.append(f"{unit}: REFUSED, its data are faulty:")
        lines += [f"  - {fault}" for fault in refused[0].message.split("\n")]
        stand = [entry.notebook for entry in refused if _page(home, entry)]
        lines.append(f"  What was published before stands: {', '.join(stand)}" if stand else "  Nothing of it was run.")
    else:
        failed = [entry.notebook for entry in entries if entry.status == "failed" and entry.finished]
        lines.append(f"{unit}: FAILED {', '.join(failed)}" if failed else f"{unit}: NOT REMADE")
    for entry in (entry for entry in entries if entry.status == "failed"):
        tried = f" (tried {len(entry.attempts) + 1} times)" if entry.attempts else ""
        lines.append(f"  {entry.notebook}{tried}: {entry.message}")
        failed = home / "failed" / unit / f"{entry.notebook}.{entry.language}.html"
        if entry.finished and failed.is_file():
            lines.append(f"    as far as it ran: {short(failed)}")
        if entry.finished and _page(home, entry):
            lines.append(
                f"    the last good page stands: {short(home / unit / f'{entry.notebook}.{entry.language}.html')}"
            )
    first, *others = _fine(entries)
    return [*lines, *([] if first == "nothing made" else [f"  {first}"]), *others]


def _next(report: Report, own: dict[str, list[Entry]], broken: Sequence[str]) -> list[str]:
    """Say what to do about what is broken."""
    refused = [unit for unit in broken if any(entry.status == "refused" for entry in own[unit])]
    failed = [unit for unit in broken if any(entry.status == "failed" and entry.finished for entry in own[unit])]
    case, lines = short(report.case.folder), ["What to do next:"]
    if refused:
        only = "" if len(refused) > 3 else "".join(f" --unit {unit}" for unit in refused)
        lines.append(f"  - correct the data of {listed(refused)}, and test them: kpitoolkit check {case}{only}")
    if failed:
        lines.append(f"  - see why {listed(failed)} failed, on the pages named above")
    return [*lines, f"  - run again: kpitoolkit run {case}. What is made stands and is not repeated"]


def _page(home: Path, entry: Entry) -> bool:
    return (home / entry.unit / f"{entry.notebook}.{entry.language}.html").is_file()


def short(path: Path) -> str:
    """Write a path as from the working folder, where it lies below."""
    said = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    return f"'{said}'" if " " in said else said
