"""What a run shows: the page of each notebook, the page of one that failed, the index, and on all of them the sign-off.

The sign-off is written into pages that are finished, between two marks; it is no part of what is hashed and signed.
"""

import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from kpitoolkit import text
from kpitoolkit.batch import record, standing
from kpitoolkit.batch.progress import duration
from kpitoolkit.batch.record import GOOD, Entry, digest, file_digest, package_digest, parted, write_atomically
from kpitoolkit.batch.register import Figure, Signed
from kpitoolkit.batch.signoff import State
from kpitoolkit.batch.standing import Change, Run
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import ToolkitError
from kpitoolkit.parameters import Case, Parameters


def render_page(notebook: Path, page: Path, stated: Parameters, entry: Entry, case: str, data: Mapping) -> None:
    """Render a notebook that ran, with where its figures come from on the last line."""
    from kpitoolkit import pages  # nbconvert takes seconds to import

    hashed = data and not any("connection" in found for found in data.values())
    content = digest({table: found["sha256"] for table, found in data.items()})[:12] if hashed else ""
    versions = record.versions()
    provenance = {
        "case": case,
        "parameters_hash": digest(entry.parameters)[:12],
        "data_hash": content,
        "commit": _short(entry.git),
        "versions": ", ".join(f"{name} {versions[name]}" for name in ("kpitoolkit", "python", "pandas")),
        "particulars": "run.json",
    }
    making = {
        "made_at": text.date(entry.finished or None, entry.language),
        "duration": duration(entry.seconds) if entry.seconds else "",
        "kernel": text.label(entry.kernel, entry.language),
    }
    name = stated.unit_name.get(entry.language, "" if entry.unit == GROUP_UNIT else entry.unit)
    quarter = text.quarter(stated.quarter, entry.language)
    title = " · ".join(part for part in (name or text.label(entry.unit, entry.language), quarter) if part)
    pages.render(notebook, page, entry.language, title=title, provenance=provenance, making=making)


def refuse_undrawn(notebook: Path) -> None:
    """Raise ToolkitError where a chart of a notebook that ran is its name, ``<Figure size ...>``, and no image."""
    undrawn = []
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            named = "".join(data.get("text/plain", "")).startswith("<Figure size")
            if named and not any(kind.startswith("image/") for kind in data):
                undrawn.append(str(number + 1))
    if undrawn:
        error = ToolkitError(
            f"a chart was not drawn: '<Figure size ...>' stands in its place (cell {', '.join(undrawn)}). The kernel's "
            "drawing backend was not set up, or the chart is empty; run the notebook again"
        )
        error.again = True  # in another kernel
        raise error


def render_failure(notebook: Path, page: Path, stated: Parameters, entry: Entry, case: str, data: Mapping) -> None:
    """Write a readable page of a notebook that failed: as far as it ran, or at least what went wrong."""
    try:
        render_page(notebook, page, stated, entry, case, data)
    except Exception:  # whatever made the page impossible must not hide why the notebook failed
        title, said = html.escape(f"{entry.unit}: {entry.notebook}"), html.escape(entry.message)
        page.write_text(
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
            f"</head><body><h1>{title}</h1><p>{said}</p></body></html>\n",
            encoding="utf-8",
        )


def write_index(
    home: Path,
    case: Case,
    places: Iterable[tuple[str, str, str]],
    entries: Mapping[str, Entry],
    language: str,
    last: str,
) -> str:
    """Write the case's ``index.html``: what became of each page, this time or the last time it was asked for.

    Parameters
    ----------
    home : Path
        The case's folder of outputs.
    case : Case
    places : iterable of (unit, notebook, language)
        Every page that the case has, in the order to show them.
    entries : mapping of Entry
        By place.
    language : {"en", "it"}
        Of the index itself.
    last : str
        What the last run got from here.

    Returns
    -------
    str
        A hash of what is shown and of the file: where it would be the same again, the file is left alone.
    """
    shown = []
    for unit, notebook, written in places:
        entry = entries.get(f"{unit}/{notebook}.{written}")
        if entry is None:
            continue
        page = f"{unit}/{notebook}.{written}.html"
        stated = case.group if unit == GROUP_UNIT else case.units[unit]
        linked = {"page": page} if entry.status != "not_made" and (home / page).is_file() else {}
        if entry.status in GOOD and not linked:
            continue
        status = "made" if entry.status in GOOD else entry.status
        said = {"status": status, "message": _shown_reason(entry), **linked}
        name = {"unit_name": stated.unit_name[language]} if language in stated.unit_name else {}
        shown.append({"unit": unit, "notebook": notebook, **said, **name})
    title = f"{case.name} · {text.quarter(case.group.quarter, language)}"
    content = [shown, language, title, package_digest()]
    if last != digest([content, file_digest(home / "index.html")]):
        from kpitoolkit import pages  # seconds that a run in which nothing changed does not need

        pages.index(home, shown, language, title)
    return digest([content, file_digest(home / "index.html")])


def _shown_reason(entry: Entry, most: int = 8) -> str:
    """Say why a page is not made; nothing of one that waits for another page of its unit, which says it."""
    if entry.status == "failed" and not entry.finished and entry.unit != GROUP_UNIT:
        return ""
    lines = entry.message.split("\n")
    return "\n".join(lines[:most] + [f"... (+{len(lines) - most})"] * (len(lines) > most))


def stamp(run: Run, states: Mapping[str, State]) -> None:
    """Write on every page of a run, and on its index, how far it is signed off; pages that say so already stand."""
    for name, (language, units) in places_of_sign_off(run).items():
        path = run.home / name
        try:
            page = path.read_bytes()
        except OSError:
            continue  # that it is missing is said by its hash
        before, found, after = parted(page)
        mark = _mark(run, states, units, language)
        if found and not found.startswith(mark):
            write_atomically(path, before + block(run, states, units, language) + after)


def places_of_sign_off(run: Run) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the pages that say how far they are signed off: language, and a page's own unit or the index' units."""
    found = {"index.html": (run.facts["index_file"]["language"], run.units)}
    for entry in run.entries.values():
        if entry.unit in run.units:
            found |= {name: (entry.language, (entry.unit,)) for name in entry.outputs if name.endswith(".html")}
    return found


def _mark(run: Run, states: Mapping[str, State], units: tuple[str, ...], language: str) -> bytes:
    """Begin the sign-off of a page with hashes of what it rests on, and of the toolkit whose words it has."""
    facts = [[_name(run, unit, language), *_plain(states[unit])] for unit in units]
    return f"<!--sign-off:{digest([facts, language])[:16]}.{package_digest()[:16]}-->".encode()


def _plain(state: State) -> list:
    def moved(figure: Figure | None):
        return figure and figure.model_dump()

    return [
        state.status,
        [entry.hash for entry in (*state.valid, *([state.last] if state.last else []))],
        state.missing,
        [(change.kind, change.name) for change in state.changes],
        state.since,
        [(name, moved(was), moved(now)) for name, was, now in state.restated],
        state.not_examined,
    ]


def block(run: Run, states: Mapping[str, State], units: tuple[str, ...], language: str) -> bytes:
    """Return what a page of one unit, or the index, says of the sign-off, between its two marks."""
    from kpitoolkit.pages.blocks import fill  # templates, which a run without signatures does not need

    _ = text.translator(language)
    said = {unit: sentences(states[unit], run, language) for unit in units}
    if len(units) == 1:
        values = {"status": states[units[0]].status, "sentences": said[units[0]]}
    else:
        rows = [
            {"name": _name(run, unit, language), "status": states[unit].status, "sentences": said[unit]}
            for unit in units
        ]
        values = {"rows": rows, "note": _("As of the last run or signature; kpitoolkit verify tests it again.")}
    html = fill("signoff.html.j2", "", heading=_("Sign-off"), **values).html
    return _mark(run, states, units, language) + f"\n{html}\n<!--/sign-off-->".encode()


def says(found: bytes, right: bytes) -> bool | None:
    """Tell whether a page's sign-off says what it should; None where another version of the toolkit wrote its words.

    Examples
    --------
    >>> right = b"<!--sign-off:12.ab-->valid"
    >>> says(right, right), says(b"<!--sign-off:12.ab-->void", right), says(b"<!--sign-off:34.cd-->valid", right)
    (True, False, False)
    >>> says(b"<!--sign-off:12.cd-->is valid", right)
    """
    (facts, _dot, toolkit), (right_facts, _dot, right_toolkit) = (
        mark.split(b"-->")[0].partition(b".") for mark in (found, right)
    )
    return None if facts == right_facts and toolkit != right_toolkit else found == right


def _name(run: Run, unit: str, language: str) -> str:
    stated = run.facts["units"][unit]["parameters"].get("unit_name") or {}
    if stated.get(language):
        return str(stated[language])
    label = text.label(unit, language)
    return label[:1].upper() + label[1:]


def sentences(state: State, run: Run, language: str) -> list[str]:
    """Say how far a unit is signed off: by whom, when, whether it stands, and if not, why and which figures moved."""
    _ = text.translator(language)
    preparers = ", ".join(f"{entry.name} ({text.date(entry.time, language)})" for entry in state.preparers)
    said = []
    if state.status in ("signed", "prepared"):
        for entry in state.approvals:
            how = _("with a key of the person's own") if entry.fingerprint else _("name as stated, without a key")
            said.append(_("Signed by {name} ({role}) on {day}, {how}: valid.").format(**_who(entry, language), how=how))
        if state.missing:
            roles = ", ".join(_role(role, language) for role in state.missing)
            said.append(_("Not signed yet by: {roles}.").format(roles=roles))
        said.append(_("Prepared by {names}.").format(names=preparers))
        said.append(_("Register entry {entry}.").format(entry=state.valid[-1].hash[:12]))
    elif state.status == "void":
        what = _because(state.changes, language)
        void = _("Void since {day}: {what}.") if state.since else _("Void: {what}.")
        said.append(void.format(day=text.date(state.since[:10] or None, language), what=what))
        said.append(_("{name} ({role}) had signed on {day}.").format(**_who(state.last, language)))
    elif state.status == "damaged":
        said.append(_("Void: the register of signatures is damaged."))
    else:
        said.append(_("Not signed."))
    if state.restated:
        said.append(_("Restated since: {figures}.").format(figures=_restated(state, run, language)))
    if state.not_examined:
        names = "; ".join(text.label(check, language) for check in state.not_examined)
        said.append(_("Not examined, so not tested before signing: {checks}.").format(checks=names))
    return said


def _who(entry: Signed, language: str) -> dict[str, str]:
    return {"name": entry.name, "role": _role(entry.role, language), "day": text.date(entry.time, language)}


def _role(role: str, language: str) -> str:
    return role.upper() if len(role) <= 4 else text.label(role, language)


def _because(changes: Iterable[Change], language: str) -> str:
    """Say in a few words what changed."""
    _ = text.translator(language)
    by_kind: dict[str, list[str]] = {}
    for change in changes:
        name = text.label(change.name, language) if change.kind == "input" else change.name
        by_kind.setdefault(change.kind, []).append(name)
    said = []
    for kind, sentence in (
        ("input", _("data changed ({names})")),
        ("parameter", _("parameters changed ({names})")),
        ("catalogue", _("the definitions of the KPIs changed")),
    ):
        if kind in by_kind:
            said.append(sentence.format(names=", ".join(by_kind[kind])))
    count = len(by_kind.get("output", ()))
    if count:
        said.append(text.plural(language, "{n} published file changed", "{n} published files changed", count))
    return "; ".join(said)


def _restated(state: State, run: Run, language: str, most: int = 6) -> str:
    names, said = standing.kpi_names(run, state.unit, language), []
    for key, was, now in state.restated[:most]:
        kpi, basis = key.rsplit("/", 1)
        name = names.get(kpi) or text.label(kpi, language)
        name += "" if basis == "finance" else f" ({text.label(basis, language)})"
        for decimals in (None, 2, 4, 6):  # as many as it takes to see that it moved
            both = [_figure(figure, language, decimals) for figure in (was, now)]
            if both[0] != both[1]:
                break
        said.append(f"{name} {both[0]} → {both[1]}")
    left = len(state.restated) - most
    return "; ".join(said) + (text.plural(language, "; {n} more", "; {n} more", left) if left > 0 else "")


def _figure(figure: Figure | None, language: str, decimals: int | None) -> str:
    if figure is None or figure.value is None:
        return text.no_figure(language)
    kind = {"money": "money", "money_per_unit": "money", "share": "percent"}.get(figure.value_unit, "number")
    usual = text.VALUE_UNITS.get(figure.value_unit, kind)
    return text.figure(figure.value, usual if decimals is None else f"{kind}{decimals}", language, figure.currency)


def _short(commit: str) -> str:
    return commit[:10] + ("+" if commit.endswith("+") else "")
