"""What a page reads, and what it does with a result that was not examined: say so, and draw and save nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import pages, tables, text
from kpitoolkit.parameters import quarter_bounds
from kpitoolkit.reconciliation import kinds

_LEDGER_BRIDGES = (
    *("returns", "invoices", "targets", "lift_tests"),
    *("controls", "promises", "open_items", "control_totals"),
)
_TIMES = {
    **{"orders": "time", "platform_claims": "conversion_time", "customers": "first_order_date", "leads": "created"},
    **{"web_sessions": "week_end", "kpi_series": "week_end", "lift_tests": "first_day", "controls": "week_end"},
}

_QUARTERS = {"open_items": "opened"}
_DIFFERENCES, _LINES = 5, 4


def tables_to_read(declared: Iterable[str]) -> list[str]:
    """Which of the declared tables the reconciliation of a unit reads.

    Examples
    --------
    >>> tables_to_read({"financials", "touchpoints"}), tables_to_read({"returns", "ledger"})
    (['financials'], ['ledger', 'returns'])
    """
    declared = set(declared)
    return sorted({*kinds.tables_needed(declared), *(declared & set(_LEDGER_BRIDGES))})


def tables_of_group(declared: Iterable[str], complete: bool = True) -> list[str]:
    """Which of the declared tables the group's page reads: its own books, rates, targets, and all orders.

    Orders are read to count customers once over all units. Where a unit has no result they are not read: the group has
    no such figure, and what is wrong in that unit's orders is no reason for the group to have no page.
    """
    own = {"ledger", "financials", "fx_rates", "targets", *(("orders", "customers") if complete else ())}
    return sorted(own & set(declared))


def units_beside(
    ledger: pd.DataFrame | None, units: Iterable[str], quarter: str, perimeter: Mapping | None = None
) -> list[str]:
    """
    Units that have postings in the quarter and are no unit of the case: each makes the group partial.

    Parameters
    ----------
    ledger : DataFrame or None
        All units' rows.
    units : iterable of str
        What the ledger calls the units of the case, and the group.
    quarter : str
    perimeter : mapping, optional
        Unit to its first and last quarter in the group; one that is not in it in this quarter is no part of the group.

    Examples
    --------
    >>> ledger = pd.DataFrame({"unit": ["a", "group", "b", "c", "d"], "period": ["2026Q3"] * 4 + ["2026Q2"]})
    >>> units_beside(ledger, ["a", "group"], "2026Q3", {"c": [None, "2026Q2"]})
    ['b']
    """
    if ledger is None:
        return []
    found = set(ledger.loc[(ledger["period"] == quarter).to_numpy(dtype=bool, na_value=False), "unit"].dropna())
    ends = {unit: (first or quarter, last or quarter) for unit, (first, last) in (perimeter or {}).items()}
    inside = {unit for unit in found if ends.get(unit, (quarter,))[0] <= quarter <= ends.get(unit, (quarter,))[-1]}
    return sorted(inside - set(units))


def arrival(given: Mapping[str, pd.DataFrame], quarter: str) -> pd.DataFrame:
    """
    What arrived: rows of each dated table, those of the quarter, first and last day.

    Returns
    -------
    DataFrame
        `table, rows, rows_in_quarter, first_day, last_day`.
    """
    rows = []
    for name, frame in given.items():
        by_quarter = _QUARTERS.get(name, "quarter")
        if by_quarter in frame:
            bounds = {then: quarter_bounds(then) for then in frame[by_quarter].unique()}
            first, last = (frame[by_quarter].map({q: b[end] for q, b in bounds.items()}) for end in (0, 1))
            inside = frame[by_quarter] == quarter
        else:
            first = last = frame[_TIMES.get(name, "date")]
            start, end = quarter_bounds(quarter)
            inside = (first >= start) & (first < end + pd.Timedelta(days=1))
        rows.append((name, len(frame), int(inside.sum()), first.min(), last.max()))
    return pd.DataFrame(rows, columns=["table", "rows", "rows_in_quarter", "first_day", "last_day"])


def examined(result) -> bool:
    """Tell whether a result has anything to show: rows, and not only steps that were not examined."""
    rows = result.table
    return bool(len(rows)) and ("kind" not in rows or bool((rows["kind"] != "not_examined").any()))


def draw(result, language: str = "en", **choices) -> Axes | None:
    """Draw a result; without anything to draw, nothing."""
    return result.plot(language=language, **choices) if examined(result) else None


def named(result, names: Mapping[str, str]):
    """The result with units' names in place of their ids, to be shown; what is saved keeps the ids."""
    frame = result.table.copy()
    for column in {"step", "unit"} & {*frame}:
        frame[column] = [names.get(value, value) for value in frame[column]]
    return replace(result, table=frame, missing_units=tuple(names.get(unit, unit) for unit in result.missing_units))


def table(result, language: str = "en", formats: Mapping | None = None, currency: str = "EUR"):
    """Show a result's table; without rows, nothing."""
    return pages.table(result.table, language, formats, currency=currency) if examined(result) else None


def grades(claimed, language: str = "en") -> pages.Html | None:
    """Show the grade of each platform's claims under what a grade means; without platforms, nothing."""
    _ = text.translator(language)
    caption = _(
        "How closely a platform's claims can be held against orders is its grade: A order by order, B day and "
        "channel, C totals only. The bridge has the lowest grade of its platforms."
    )
    formats = {"with_order_id": "percent", "platform": "label"}
    look = {"caption": caption, "currency": claimed.currency}
    return pages.table(claimed.platform_grades, language, formats, **look) if len(claimed.platform_grades) else None


def differences(bridge, ledger: pd.DataFrame | None, quarter: str, language: str = "en") -> pages.Html | None:
    """Show where a bridge leaves most unexplained, and the ledger's lines that stand there; without any, nothing.

    Lines of that account and day in another period are named with it: a posting moved to another quarter is found.
    """
    rows = bridge.unexplained[(bridge.unexplained["account"] != "").to_numpy(dtype=bool)].head(_DIFFERENCES)
    if ledger is None or not len(rows):
        return None
    _ = text.translator(language)
    caption = _("The largest differences by account and day, and the ledger's lines on that account and day.")
    shown = rows[["account", "date", "expected_cents", "booked_cents", "difference_cents"]]
    lines = [_lines_there(ledger, row, quarter, language) for row in rows.itertuples()]
    formats = dict.fromkeys(("account", "lines"), "text")
    formats |= {name: "money2" for name in shown if name.endswith("_cents")}
    look = {"caption": caption, "labels": {"lines": "ledger_lines"}, "currency": bridge.currency, "missing": "–"}
    return pages.table(shown.assign(lines=lines), language, formats, **look)


def _lines_there(ledger: pd.DataFrame, row, quarter: str, language: str) -> str:
    """Name the ledger's lines on a difference's accounts and day; of a month or a quarter there are too many."""
    if row.grain != "day":
        return "–"
    there = (ledger["date"] == row.date) & ledger["account"].astype("string").isin(row.account.split("+"))
    found = ledger[there.to_numpy(dtype=bool, na_value=False)]
    told = [
        str(line) if period == quarter else f"{line} ({text.quarter(period, language)})"
        for line, period in zip(found["line"], found["period"], strict=True)
    ]
    return ", ".join([*told[:_LINES], *["…"] * (len(told) > _LINES)]) or "–"


def sums(views, language: str = "en") -> pages.Html | None:
    """Show what each view of the channels adds up to; without any, nothing."""
    _ = text.translator(language)
    caption = _(
        "What each view adds up to: value claimed and credited in the quarter, revenue modelled in the quarter's "
        "weeks, spend invoiced. What belongs to no channel stands under its own name."
    )
    look = {"caption": caption, "labels": views.sums_labels, "currency": views.currency, "missing": "–"}
    return pages.table(views.sums, language, **look) if len(views.sums) else None


def findings(result, language: str = "en") -> list[str]:
    """Findings of a bridge to the ledger; one sentence where none of its tables is declared."""
    _ = text.translator(language)
    if not examined(result):
        return [_("Not examined: the tables that this bridge needs are not declared.")]
    return list(result.findings(language))


def save(result, place: tables.Workspace, notebook: str, name: str) -> None:
    """Save a result's table; a result that was not examined leaves no table, not even one of an earlier run."""
    if examined(result):
        tables.save(result.table, place, notebook, name)
        return
    for suffix in (".parquet", ".csv"):
        (place.save_dir / "tables" / f"{notebook}_{name}{suffix}").unlink(missing_ok=True)
