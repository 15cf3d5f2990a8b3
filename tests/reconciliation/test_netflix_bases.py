"""The real case, every quarter: units against the company, and the same quarter on two classification bases."""

from itertools import combinations

import pandas as pd
import pytest

from kpitoolkit import parameters, tables
from kpitoolkit.reconciliation import measures, reclassification, rollup

UNITS = ("Domestic Streaming", "International Streaming", "Domestic DVD")
LINES = ["revenue", "cost_of_sales", "marketing_cost", "contribution_margin"]
BASES = {"2012": 1, "2013": 6, "2014-2018": 20, "2018Q4": 3}
"""Bases, and how many quarters each prints in full of the three units and of the company."""


@pytest.fixture(scope="module")
def financials():
    return tables.read(parameters.workspace("netflix-2017Q3", "group", "netflix"), ["financials"])["financials"]


@pytest.fixture(scope="module")
def exact(financials):
    return financials[~financials["rounded"].astype(bool)]


@pytest.fixture(scope="module")
def lines(financials):
    """Basis, unit, quarter: the four lines in cents, where a filing prints all of them."""
    found = {}
    for basis in BASES:
        for unit in (*UNITS, rollup.CONSOLIDATED):
            frame = measures.from_financials(financials, unit, basis).dropna(subset=["value"])
            frame = frame.pivot_table(index="quarter", columns="measure", values="value")
            for quarter, row in frame[LINES].dropna().iterrows():
                found[basis, unit, quarter] = [int(amount) for amount in row]
    return found


def test_every_printed_quarter_is_revenue_less_its_costs(lines):
    alone = 7  # quarters of which only the company's lines are printed
    assert len(lines) == 4 * sum(BASES.values()) + alone
    for revenue, cost, marketing, contribution in lines.values():
        assert revenue - cost - marketing == contribution


@pytest.mark.parametrize("basis", BASES)
def test_units_make_up_the_company_in_every_quarter_that_prints_all_of_them(financials, lines, basis):
    quarters = sorted({q for b, _, q in lines if b == basis})
    whole = [q for q in quarters if all((basis, unit, q) in lines for unit in (*UNITS, rollup.CONSOLIDATED))]
    assert len(whole) == BASES[basis]
    found = {unit: measures.compute({"financials": financials}, "USD", "USD", None, unit, basis) for unit in UNITS}
    stated = rollup.stated_by_group({"financials": financials}, None, rollup.CONSOLIDATED, basis, "USD")
    for quarter in whole:
        group = rollup.roll_up(found, quarter, "USD", None, stated)
        assert group.status == "ok"
        assert group.lines["measure"].tolist() == LINES and group.lines["unexplained_cents"].tolist() == [0] * 4
        assert group.lines["computed_cents"].tolist() == lines[basis, rollup.CONSOLIDATED, quarter]


def test_where_a_unit_is_not_printed_the_roll_up_states_no_revenue(financials):
    found = {unit: measures.compute({"financials": financials}, "USD", "USD", None, unit, "2013") for unit in UNITS}
    stated = rollup.stated_by_group({"financials": financials}, None, rollup.CONSOLIDATED, "2013", "USD")
    group = rollup.roll_up(found, "2012Q4", "USD", None, stated)
    assert group.status == "no_figure" and len(group.table) == 0


def bridged(financials, unit, old, new, *quarters):
    pair = {"from_basis": old, "to_basis": new, "quarters": list(quarters), "unit_in_data": unit}
    return reclassification.reclassifications({"financials": financials}, pair, "USD")


def pairs(exact):
    """Unit, two bases in the order of the filings, quarters: wherever the same quarter stands on both."""
    order = [*BASES, "unaffected-lines"]
    for unit, rows in exact[exact["basis"].isin(order)].groupby("unit"):
        on = {basis: set(rows.loc[rows["basis"] == basis, "quarter"]) for basis in order}
        for old, new in combinations(order, 2):
            if on[old] & on[new]:
                yield unit, old, new, sorted(on[old] & on[new])


def test_every_pair_of_bases_that_prints_one_quarter_is_a_reclassification_or_has_no_figure(financials, exact):
    kinds = {}
    for unit, old, new, quarters in pairs(exact):
        found = bridged(financials, unit, old, new, *quarters)
        for quarter, rows in found.table.groupby("quarter"):
            kind, change = rows["kind"].iloc[0], rows.set_index("line")["change_cents"]
            kinds.setdefault((old, new, kind), []).append((unit, quarter))
            moved = found.bridges[quarter].table
            if kind == "no_figure":
                assert change[LINES].isna().any() and len(moved) == 0
                continue
            assert change["revenue"] == 0
            assert change["cost_of_sales"] + change["marketing_cost"] + change["contribution_margin"] == 0
            assert moved["amount_cents"].iloc[:-1].sum() == moved["amount_cents"].iloc[-1]
            assert moved["amount_cents"].iloc[1:-1].sum() == change["marketing_cost"] != 0
    company = rollup.CONSOLIDATED
    everyone = sorted([*UNITS, company])
    assert {key: sorted(found) for key, found in kinds.items() if key[2] == "reclassification"} == {
        ("2012", "2013", "reclassification"): [(company, "2012Q1"), (company, "2012Q2")],
        ("2013", "2014-2018", "reclassification"): [(unit, q) for unit in everyone for q in ("2013Q2", "2013Q3")],
        ("2013", "unaffected-lines", "reclassification"): [(company, "2013Q1"), (company, "2013Q4")],
        ("2014-2018", "2018Q4", "reclassification"): [(company, "2018Q1")],
    }
    assert {key[2] for key in kinds} == {"reclassification", "no_figure"}


@pytest.mark.parametrize(
    ("unit", "old", "new", "quarter", "before", "after", "steps"),
    [
        ("Domestic Streaming", "2013", "2014-2018", "2013Q2", 70_302, 67_177, {"moved_to_cost_of_sales": -3_125}),
        ("Consolidated", "2012", "2013", "2012Q1", 135_900, 129_928, {"moved_below_contribution_margin": -5_972}),
        (
            *("Consolidated", "2014-2018", "2018Q4", "2018Q1", 479_222, 536_777),
            {"moved_to_cost_of_sales": -104_504, "moved_below_contribution_margin": 162_059},
        ),
    ],
)
def test_marketing_cost_of_one_quarter_in_two_filings(financials, unit, old, new, quarter, before, after, steps):
    table = bridged(financials, unit, old, new, quarter).bridges[quarter].table
    thousand = dict(zip(table["step"], table["amount_cents"] // 1000_00, strict=True))
    assert thousand == {f"basis_{old}": before, **steps, f"basis_{new}": after}


def test_what_moved_in_the_units_is_what_moved_in_the_company(financials):
    units = (*UNITS, rollup.CONSOLIDATED)
    found = {unit: bridged(financials, unit, "2013", "2014-2018", "2013Q2", "2013Q3").table for unit in units}
    changes = {unit: frame.set_index(["quarter", "line"])["change_cents"] for unit, frame in found.items()}
    for quarter in ("2013Q2", "2013Q3"):
        for line in LINES:
            assert sum(changes[unit][quarter, line] for unit in UNITS) == changes[rollup.CONSOLIDATED][quarter, line]


def test_two_filings_of_one_basis_agree_in_every_quarter(exact):
    """What makes the name of a basis safe: no filing on it prints another figure of the same quarter."""
    columns = [name for name in exact.columns if name.endswith(("_cents", "_thousand"))]
    of_bases = exact[exact["basis"].isin(BASES)]
    apart = of_bases.groupby(["basis", "unit", "quarter"])[columns].nunique(dropna=True)
    assert isinstance(apart, pd.DataFrame) and apart.to_numpy().max() == 1
