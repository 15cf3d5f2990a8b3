"""Pieces of a page that a notebook shows: a table, findings, a note. Everything that comes from data is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import jinja2
import pandas as pd

from kpitoolkit import text

_FIGURES = ("number", "percent", "points", "money", "probability", "+", *text.VALUE_UNITS)
_MILLIONS_FROM = 10  # millions
_QUARTER = re.compile(r"\d{4}Q[1-4]")

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("kpitoolkit.pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


@dataclass(frozen=True, eq=False, repr=False)
class Html:
    """A piece of HTML that notebooks display, with plain text beside it for terminals and comparisons."""

    html: str
    plain: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.plain


def fill(template: str, plain: str, **values) -> Html:
    """Fill one of our templates (autoescaped) into an `Html`."""
    return Html(_TEMPLATES.get_template(template).render(**values).strip(), plain)


def table(
    frame: pd.DataFrame,
    language: str = "en",
    formats: Mapping[str, str | Sequence[str]] | None = None,
    *,
    caption: str | None = None,
    labels: Mapping[str, str] | None = None,
    currency: str = "EUR",
    missing: str | None = None,
    empty: str | None = None,
    in_millions: bool = False,
) -> Html:
    """Show a tidy table: headings and keys in the reader's words, figures flush right with the language's separators.

    Parameters
    ----------
    frame : DataFrame
        The index is not shown. Rows whose `kind` is `total` are set bold.
    language : {"en", "it"}
    formats : mapping, optional
        Column to a format of `text.figure` (`number`, `number2`, `percent`, `money` (cents), `label`, `text`,
        `date`, `quarter`), or to one format a row. Default: by type; `*_cents` are money, strings are keys. Keys in the
        first column are written with a capital.
    caption : str, optional
        Above the table, already in the reader's language.
    labels : mapping, optional
        Column to the key (or words) of its heading, where that is not the column's name.
    currency : str
        Of the money columns; stands once, in their headings.
    missing : str, optional
        What stands where there is no value. Default: the words for a figure that was never seen.
    empty : str, optional
        The sentence that stands in place of a table without rows, already in the reader's language; an empty one: no
        table and no sentence. Default: the headings, and that there are no rows.
    in_millions : bool
        Write all the money in millions, as the headings then say, where the table's largest amount is ten or more.

    Returns
    -------
    Html

    Examples
    --------
    >>> table(pd.DataFrame({"channel": ["<b>"], "share": [0.25]}), "it", {"share": "percent"})
    Canale   Quota
    <b>      25,0%
    """
    if empty is not None and not len(frame):
        return note(empty) if empty else Html("", "")
    frame = frame.reset_index(drop=True)
    written, right, headings = {}, {}, {}
    unit, formats, scaled = text.currency_sign(currency), dict(formats or {}), ()
    if in_millions:
        frame, formats, scaled = _in_millions(frame, formats)
        unit = text.translator(language)("million {unit}").format(unit=unit) if scaled else unit
    for position, column in enumerate(frame.columns):
        values = frame.iloc[:, position]
        chosen = formats.get(column, _default_format(str(column), values))
        chosen = f"number{_column_decimals(values)}" if chosen == "number" else chosen
        each = [chosen] * len(frame) if isinstance(chosen, str) else list(chosen)
        one_currency = isinstance(chosen, str) and chosen.startswith("money") and chosen != "money_short"
        cells = [
            missing if missing is not None and text.is_missing(v) else _cell(v, f, language, currency, one_currency)
            for v, f in zip(values, each, strict=True)
        ]
        heading = text.capitalised(text.label((labels or {}).get(column, str(column)), language))
        headings[position] = f"{heading},\N{NO-BREAK SPACE}{unit}" if one_currency or column in scaled else heading
        names = position == 0 and chosen == "label"
        written[position] = [text.capitalised(cell) for cell in cells] if names else cells
        right[position] = any(str(f).startswith(_FIGURES) for f in each) if each else False
    bold = [kind == "total" for kind in frame["kind"]] if "kind" in frame else [False] * len(frame)
    rows = [{"bold": bold[i], "cells": [written[c][i] for c in written]} for i in range(len(frame))]
    plain = _plain_table([*headings.values()], [row["cells"] for row in rows], [*right.values()])
    return fill(
        "table.html.j2",
        plain if not caption else f"{caption}\n{plain}",
        headings=list(headings.values()),
        rows=rows,
        right=list(right.values()),
        caption=caption,
        empty=text.translator(language)("No rows."),
    )


def _in_millions(frame: pd.DataFrame, formats: dict) -> tuple[pd.DataFrame, dict, list]:
    """The frame with its money in millions, the formats for that, and the columns; as it came where none is large."""
    chosen = {column: formats.get(column, _default_format(str(column), frame[column])) for column in frame}
    amounts = {column: frame[column].astype("Float64") / 1e8 for column in frame if chosen[column] == "money"}
    largest = {column: float(each.abs().max()) for column, each in amounts.items() if each.notna().any()}
    if max(largest.values(), default=0.0) < _MILLIONS_FROM:
        return frame, formats, []
    digits = {c: 1 if most >= 10 else 2 if most >= 1 else 3 if most else 0 for c, most in largest.items()}
    written = {column: f"number{digits.get(column, 0)}" for column in amounts}
    return frame.assign(**amounts), formats | written, [*amounts]


def _default_format(column: str, values: pd.Series) -> str:
    if column.endswith("_cents"):
        return "money"
    if pd.api.types.is_bool_dtype(values):
        return "label"
    if pd.api.types.is_datetime64_any_dtype(values):
        return "date"
    if pd.api.types.is_integer_dtype(values):
        return "number0"
    if pd.api.types.is_float_dtype(values):
        known = values.dropna().abs()
        if known.empty or (known % 1 == 0).all() or known.max() >= 1000:
            return "number0"
        return "number1" if known.max() >= 100 else "number2" if known.max() >= 0.1 else "number4"
    known = values.dropna().astype(str)
    return "quarter" if len(known) and known.str.fullmatch(_QUARTER).all() else "label"


def _column_decimals(values: pd.Series) -> int | str:
    """Decimals of a whole column, by its largest figure; empty, each by its own size, where the sizes are far apart."""
    known = values.dropna().astype(float).abs()
    if known.empty or (known % 1 == 0).all():
        return 0
    return text.decimals(known.max()) if known.max() < 100 else ""


def _cell(value, value_format: str, language: str, currency: str, currency_in_heading: bool) -> str:
    if text.is_missing(value):
        return text.no_figure(language)
    if isinstance(value, bool) or str(type(value).__name__) in {"bool_", "bool"}:
        return text.label("yes" if value else "no", language)
    if currency_in_heading:
        return text.number(text.in_units(value), language, decimals=int(value_format.removeprefix("money") or 0))
    return text.figure(value, value_format, language, currency)


def _plain_table(headings: list[str], rows: list[list[str]], right: list[bool]) -> str:
    lines = [headings, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    write = [str.rjust if flush else str.ljust for flush in right]
    return "\n".join("   ".join(write[i](c, widths[i]) for i, c in enumerate(line)).rstrip() for line in lines)


def findings(sentences: Iterable[str]) -> Html:
    """Show findings as a list, each sentence as it is.

    Examples
    --------
    >>> findings(["Booked revenue is <b>12</b>."]).html
    '<ul class="kt-findings">\\n<li>Booked revenue is &lt;b&gt;12&lt;/b&gt;.</li>\\n</ul>'
    """
    sentences = list(sentences)
    return fill("findings.html.j2", "\n".join(f"- {s}" for s in sentences), sentences=sentences)


def note(sentence: str) -> Html:
    """Show one sentence apart from the text: what is missing, what is not examined, how far to trust a figure."""
    return fill("note.html.j2", sentence, sentence=sentence)
