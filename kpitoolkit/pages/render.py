"""A notebook that ran becomes a page: self-contained HTML without code, scripts or outside addresses; and the index."""

import os
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path

from kpitoolkit import text
from kpitoolkit.errors import ToolkitError
from kpitoolkit.pages import markup
from kpitoolkit.pages.blocks import fill

LARGEST_BYTES = 500_000
_TEMPLATES = Path(__file__).parent / "templates"


def render(
    notebook_path: str | Path,
    html_path: str | Path,
    language: str,
    title: str | None = None,
    provenance: Mapping[str, object] | None = None,
    making: Mapping[str, object] | None = None,
) -> Path:
    """Write the page of a notebook that ran: prose in the reader's language, results, nothing of the code.

    Cells tagged `parameters`, `page-skip` or `nbval-check-output` (figures that the tests compare) are left out; an
    error is shown by its last words.

    Parameters
    ----------
    notebook_path : path
        With its outputs.
    html_path : path
        Replaced in one step, or left untouched.
    language : {"en", "it"}
    title : str, optional
        Above the notebook's own heading; default: unit and quarter, as its parameters state them.
    provenance : mapping, optional
        Key (see the labels) to value, for the last line: case, hashes of parameters and data, commit, versions.
    making : mapping, optional
        In the same way, behind it and between two marks: when and how it was made, which changes no figure.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ToolkitError
        Where the language is unknown, the notebook cannot be read, or the page would be larger than 500 KB.
    """
    import nbformat  # a second and a half that no notebook needs

    text.check_language(language)
    notebook_path, html_path = Path(notebook_path), Path(html_path)
    try:
        notebook = nbformat.read(notebook_path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise ToolkitError(f"{notebook_path}: not a notebook that can be read ({error}). Run it again.") from error
    for shrink in (1, 2):
        page = _page(notebook, language, title, (provenance or {}, making or {}), shrink)
        if len(page.encode("utf-8")) <= LARGEST_BYTES:
            return _write(html_path, page)
    size = len(page.encode("utf-8")) / 1000
    raise ToolkitError(f"{notebook_path}: its page would be {size:.0f} KB, more than 500. Show fewer charts or rows.")


def _page(notebook, language: str, title: str | None, footer: tuple[Mapping, Mapping], shrink: int) -> str:
    _ = text.translator(language)
    words = {
        "stopped": _("This notebook stopped here. What stands above is complete, what follows is missing."),
        "widget": _("This part is interactive: open the notebook in JupyterLab."),
    }
    provenance, making = (
        [(key, text.label(key, language), value) for key, value in part.items() if value not in ("", None)]
        for part in footer
    )
    page = {
        "language": language,
        "title": title or default_title(notebook, language),
        "style": (_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "provenance": provenance,
        "making": making,
        "own_header": _has_header(notebook),
        "words": words,
        "pictures": _Pictures(_("Chart {n}. Its figures stand in the page's tables."), shrink),
    }
    body, _resources = _exporter(language).from_notebook_node(notebook, resources={"page": page})
    return body.strip() + "\n"


@cache
def _exporter(language: str):
    """The exporter of pages in one language: its templates are compiled once."""
    from nbconvert import HTMLExporter  # half a second that no notebook needs

    exporter = HTMLExporter(
        template_name="page",
        extra_template_basedirs=[str(_TEMPLATES)],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    exporter.register_filter("prose", partial(markup.prose, language=language))
    exporter.register_filter("cleaned", markup.cleaned)
    exporter.register_filter("without_colours", markup.without_colours)
    exporter.register_filter("last_words", last_words)
    return exporter


class _Pictures:
    """Numbers the charts of one page as they are shown."""

    def __init__(self, words: str, shrink: int):
        self.words, self.shrink, self.count = words, shrink, 0

    def show(self, png: str) -> str:
        self.count += 1
        return markup.picture(png, self.words.format(n=self.count), self.shrink)


def last_words(output: Mapping) -> str:
    """What an error says, without the way it took through the code; our own errors without their class.

    Examples
    --------
    >>> last_words({"ename": "ToolkitError", "evalue": "orders.csv: column 'gross' is missing"})
    "orders.csv: column 'gross' is missing"
    >>> last_words({"ename": "KeyError", "evalue": "'spend'"})
    "KeyError: 'spend'"
    """
    said = markup.without_colours(str(output["evalue"]))
    return said if output["ename"] in ("ToolkitError", "Faults") else f"{output['ename']}: {said}"


def default_title(notebook, language: str) -> str:
    """Unit and quarter, as papermill passed them to the notebook."""
    stated = notebook.metadata.get("papermill", {}).get("parameters", {})
    unit = (stated.get("unit_name") or {}).get(language) or stated.get("unit", "")
    quarter = text.quarter(stated["quarter"], language) if stated.get("quarter") else ""
    return " · ".join(part for part in (unit, quarter) if part) or "kpitoolkit"


def _has_header(notebook) -> bool:
    shown = (
        output.get("data", {}).get("text/html", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    return any('class="kt-head"' in "".join(html) for html in shown)


def _write(path: Path, content: str) -> Path:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(content, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def index(
    case_folder: str | Path, entries: Iterable[Mapping[str, str]], language: str, title: str, notes: Iterable[str] = ()
) -> Path:
    """Write `index.html`: a row a unit, a column a notebook, and what became of each page.

    Parameters
    ----------
    case_folder : path
        Where the index goes, `outputs/<case>`.
    entries : iterable of mappings
        `unit`, `notebook`, `status` (`made`, `unchanged`, `failed`, `refused`, `not_made`), optionally `unit_name`,
        `page` (path of the page relative to the folder; of the last good one where a run failed) and `message`, which
        is told once for all the pages of a unit that it is of.
    language : {"en", "it"}
    title : str
        Of the case.
    notes : iterable of str
        Sentences above the table.

    Returns
    -------
    Path
    """
    _ = text.translator(text.check_language(language))
    entries = [dict(entry) for entry in entries]
    notebooks = list(dict.fromkeys(entry["notebook"] for entry in entries))
    units = list(dict.fromkeys(entry["unit"] for entry in entries))
    found = {(entry["unit"], entry["notebook"]): entry for entry in entries}
    names = {unit: text.capitalised(text.label(unit, language)) for unit in units}
    names |= {entry["unit"]: entry["unit_name"] for entry in entries if entry.get("unit_name")}
    rows = []
    for unit in units:
        cells = []
        for notebook in notebooks:
            entry = found.get((unit, notebook), {"status": "none"})
            good = entry["status"] in ("made", "unchanged")
            word = _("open") if good else "–" if entry["status"] == "none" else text.label(entry["status"], language)
            old = _("last good page") if entry.get("page") and not good else ""
            cells.append({"status": entry["status"], "word": word, "page": entry.get("page"), "good": good, "old": old})
        rows.append({"name": names[unit], "cells": cells})
    bad = [entry for entry in entries if entry["status"] in ("failed", "refused")]
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in bad:
        if entry.get("message"):
            reasons.setdefault((entry["unit"], entry["message"]), []).append(text.label(entry["notebook"], language))
    told = [{"where": ", ".join([names[unit], *pages]), "said": said} for (unit, said), pages in reasons.items()]
    left = [e for e in entries if e["status"] == "not_made"]
    sentences = [*notes]
    if bad:
        sentences.append(
            text.plural(
                language,
                "This run is incomplete: {n} page could not be made. Older pages are kept and marked.",
                "This run is incomplete: {n} pages could not be made. Older pages are kept and marked.",
                len(bad),
            )
        )
    html = fill(
        "index.html.j2",
        "",
        language=language,
        title=title,
        style=(_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        unit=text.capitalised(text.label("unit", language)),
        notebooks=[text.capitalised(text.label(notebook, language)) for notebook in notebooks],
        rows=rows,
        incomplete=bool(bad),
        sentences=sentences,
        told=told,
        left=_("Not made: the data that these pages need are not declared for the unit.") if left else "",
        kicker=_("Marketing and company KPIs"),
    ).html
    return _write(Path(case_folder) / "index.html", html + "\n")
