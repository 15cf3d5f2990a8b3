"""What a run shows: the page of each notebook, the page of one that failed, and the index of the case."""

import html
from collections.abc import Iterable, Mapping
from pathlib import Path

from kpitoolkit import text
from kpitoolkit.batch.record import GOOD, Entry, digest, file_digest, package_digest
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.parameters import Case, Parameters


def render_page(notebook: Path, page: Path, stated: Parameters, entry: Entry, case: str, data: Mapping) -> None:
    """Render a notebook that ran, with where its figures come from on the last line."""
    from kpitoolkit import pages  # nbconvert takes seconds to import

    hashed = data and not any("connection" in found for found in data.values())
    content = digest({table: found["sha256"] for table, found in data.items()})[:12] if hashed else ""
    provenance = {"case": case, "data_hash": content, "commit": _short(entry.git)}
    name = stated.unit_name.get(entry.language, "" if entry.unit == GROUP_UNIT else entry.unit)
    quarter = text.quarter(stated.quarter, entry.language)
    title = " · ".join(part for part in (name or text.label(entry.unit, entry.language), quarter) if part)
    pages.render(notebook, page, entry.language, title=title, provenance=provenance)


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
        said = {"status": status, "message": entry.message.split("\n")[0], **linked}
        name = {"unit_name": stated.unit_name[language]} if language in stated.unit_name else {}
        shown.append({"unit": unit, "notebook": notebook, **said, **name})
    title = f"{case.name} · {text.quarter(case.group.quarter, language)}"
    content = [shown, language, title, package_digest()]
    if last != digest([content, file_digest(home / "index.html")]):
        from kpitoolkit import pages  # seconds that a run in which nothing changed does not need

        pages.index(home, shown, language, title)
    return digest([content, file_digest(home / "index.html")])


def _short(commit: str) -> str:
    return commit[:10] + ("+" if commit.endswith("+") else "")
