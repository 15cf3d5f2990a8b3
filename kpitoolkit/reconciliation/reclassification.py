"""One quarter in two filings: the same facts under another definition, or a corrected error."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from kpitoolkit import plots, text
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import measures
from kpitoolkit.reconciliation.bridge import Bridge

LINES = ("revenue", "cost_of_sales", "marketing_cost", "contribution_margin")
TOTALS = ("net_income", "operating_income", "contribution_margin")
"""Totals of a filing from the lowest up: a cost that moves between lines above a total leaves it as it was."""


@dataclass(frozen=True, eq=False)
class Reclassifications:
    """
    The same quarters on two bases.

    ``table``: `quarter, from_basis, to_basis, line, before_cents, after_cents, change_cents, kind`, where ``kind`` is
    `reclassification` (revenue and the lowest total that both filings print are unchanged), `restatement`, `unchanged`
    or `no_figure`; a lower total than contribution margin is a line of its own. ``bridges``: marketing cost by quarter.
    """

    table: pd.DataFrame
    bridges: Mapping[str, Bridge]
    unit_in_data: str
    currency: str

    def plot(self, ax=None, language="en", quarter=None):
        """Draw the bridge of marketing cost of one quarter; the first with figures unless stated."""
        ready = {key: result for key, result in self.bridges.items() if result.status == "ok"}
        if not ready:
            return plots.waterfall(bridges.empty_table(), ax=ax, language=language)
        return ready.get(quarter, next(iter(ready.values()))).plot(ax=ax, language=language)

    def findings(self, language="en") -> list[str]:
        """Say for each quarter what moved, and whether it was reclassified or restated."""
        _ = text.translator(language)
        if not self.bridges:
            return [_("Not examined: no two filings of one quarter are named in the parameters.")]
        said = []
        for quarter, rows in self.table.groupby("quarter", sort=False):
            kind = rows["kind"].iloc[0]
            marketing = rows.set_index("line").loc["marketing_cost"]
            sentence = {
                "reclassification": _(
                    "{unit}, {quarter}: marketing cost {before} on basis {from_basis}, {after} on basis {to_basis}; "
                    "{total} unchanged, therefore a reclassification."
                ),
                "restatement": _(
                    "{unit}, {quarter}: marketing cost {before} on basis {from_basis}, {after} on basis {to_basis}; "
                    "{total} changed, therefore a restatement."
                ),
                "unchanged": _("{unit}, {quarter}: both filings print the same figures."),
                "no_figure": _("{unit}, {quarter}: one of the two filings has no figure for a line."),
            }[kind]
            said.append(
                sentence.format(
                    unit=_named(self.unit_in_data, language),
                    quarter=text.quarter(quarter, language),
                    before=text.compact_money(marketing["before_cents"], self.currency, language, least=10_000_000),
                    after=text.compact_money(marketing["after_cents"], self.currency, language, least=10_000_000),
                    from_basis=marketing["from_basis"],
                    to_basis=marketing["to_basis"],
                    total=text.label(_decisive(rows), language),
                )
            )
        return said


def _named(unit: str, language: str) -> str:
    """A unit of the filings in the reader's words where the catalogues have one, else as it is written."""
    found = text.label(unit, language)
    return unit if found == unit.replace("_", " ") else found


def reclassifications(
    tables: Mapping[str, pd.DataFrame], reclassification: Mapping | None, currency: str = "EUR"
) -> Reclassifications:
    """
    Bridge marketing cost from one filing's classification to another's.

    With ``marketing = revenue - cost of sales - contribution`` on both bases, the bridge of marketing cost has one step
    for each line; where contribution is unchanged, what leaves marketing has moved into another line.

    Parameters
    ----------
    tables : mapping
        With ``financials``; without it, or without ``reclassification``, nothing is examined.
    reclassification : mapping, optional
        `from_basis`, `to_basis`, `quarters`, `unit_in_data`.
    currency : str

    Returns
    -------
    Reclassifications
    """
    columns = ["quarter", "from_basis", "to_basis", "line", "before_cents", "after_cents", "change_cents", "kind"]
    cents = {name: "Int64" for name in columns if name.endswith("_cents")}
    if not reclassification or "financials" not in tables:
        return Reclassifications(pd.DataFrame(columns=columns).astype(cents), {}, "", currency)
    unit = reclassification["unit_in_data"]
    old, new = reclassification["from_basis"], reclassification["to_basis"]
    financials = tables["financials"]
    on_basis = {basis: measures.from_financials(financials, unit, basis) for basis in (old, new)}
    rows, found = [], {}
    for quarter in reclassification["quarters"]:
        before, after = (measures.at(on_basis[basis], quarter) for basis in (old, new))
        lower = [_printed_below(financials, unit, basis, quarter) for basis in (old, new)]
        total = next(name for name in TOTALS if name in LINES or all(name in printed for printed in lower))
        before, after = ({**end, **printed} for end, printed in zip((before, after), lower, strict=True))
        kind = _kind(before, after, total)
        for line in dict.fromkeys([*LINES, total]):
            change = None if None in (before[line], after[line]) else after[line] - before[line]
            rows.append((quarter, old, new, line, before[line], after[line], change, kind))
        found[quarter] = _marketing_bridge(before, after, currency, (old, new), kind)
    return Reclassifications(pd.DataFrame(rows, columns=columns).astype(cents), found, unit, currency)


def _printed_below(financials: pd.DataFrame, unit: str, basis: str, quarter: str) -> dict[str, int]:
    """Totals below contribution margin that the filings of one basis print, where they print one figure."""
    of_unit = (financials["unit"] == unit) & (financials["basis"] == basis) & (financials["quarter"] == quarter)
    rows = financials[of_unit & ~financials["rounded"].astype(bool)]
    found = {}
    for name in TOTALS:
        printed = rows[f"{name}_cents"].dropna().unique() if f"{name}_cents" in rows and name not in LINES else []
        if len(printed) == 1:
            found[name] = int(printed[0])
    return found


def _kind(before: Mapping, after: Mapping, total: str) -> str:
    if any(measures.is_missing(end[line]) for end in (before, after) for line in LINES):
        return "no_figure"
    if all(before[line] == after[line] for line in (*LINES, total)):
        return "unchanged"
    kept = all(before[line] == after[line] for line in ("revenue", total))
    return "reclassification" if kept else "restatement"


def _decisive(rows: pd.DataFrame) -> str:
    """The line that tells: of a restatement revenue where it changed, else the lowest total (the last line)."""
    revenue = rows.set_index("line").loc["revenue"]
    changed = rows["kind"].iloc[0] == "restatement" and revenue["change_cents"] != 0
    return "revenue" if changed else rows["line"].iloc[-1]


def _marketing_bridge(before: Mapping, after: Mapping, currency: str, bases: tuple[str, str], kind: str) -> Bridge:
    """
    Marketing cost as revenue less the other lines, so that each step says where an amount came from or went to.

    Where contribution margin moved and nothing below it did, what left marketing went below the margin: that step is
    `moved_below_contribution_margin`, which would read as a fall of the margin under the margin's own name.
    """
    below = "moved_below_contribution_margin" if kind == "reclassification" else "contribution_margin"
    steps = {"revenue": "revenue", "cost_of_sales": "moved_to_cost_of_sales", "contribution_margin": below}
    ends = [{step: end[line] for line, step in steps.items()} for end in (before, after)]
    formula = f"revenue - moved_to_cost_of_sales - {below}"
    result = bridges.bridge(formula, *ends, "money", *(f"basis_{basis}" for basis in bases), currency=currency)
    return bridges.without_zero_steps(result)
