"""A reclassification keeps the lowest total that both filings print, whatever it does to the lines above it."""

import pandas as pd
import pytest

from kpitoolkit import parameters, tables
from kpitoolkit.reconciliation import reclassification

OF_2018 = {
    "from_basis": "2014-2018",
    "to_basis": "2018Q4",
    "quarters": ["2018Q1"],
    "unit_in_data": "Consolidated",
}


@pytest.fixture(scope="module")
def financials():
    place = parameters.workspace("netflix-2017Q3", "group", "netflix")
    return tables.read(place, ["financials"])["financials"]


def compared(frame):
    return reclassification.reclassifications({"financials": frame}, OF_2018, "USD")


def new_rows(frame):
    return (frame["quarter"] == "2018Q1") & (frame["basis"] == "2018Q4") & (frame["unit"] == "Consolidated")


def with_change(financials, **cents):
    frame = financials.copy()
    for column, change in cents.items():
        frame.loc[new_rows(frame), f"{column}_cents"] += change
    return frame


def test_costs_that_cross_the_contribution_line_are_reclassified(financials):
    found = compared(financials)
    lines = found.table.set_index("line")
    assert lines.loc["contribution_margin", "change_cents"] == (863_500 - 1_025_559) * 1000_00
    assert lines.loc["net_income", "before_cents"] == lines.loc["net_income", "after_cents"] == 290_124_000_00
    assert set(lines["kind"]) == {"reclassification"}
    assert "net income unchanged, therefore a reclassification." in found.findings("en")[0]
    assert "la voce “utile netto” è invariata, quindi una riclassificazione." in found.findings("it")[0]
    assert [found.findings(language)[0].split(",")[0] for language in ("en", "it")] == ["Consolidated", "Consolidato"]


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"net_income": 1000_00}, "restatement", "net income changed, therefore a restatement"),
        ({"revenue": 1000_00}, "restatement", "revenue changed, therefore a restatement"),
        ({"operating_income": 1000_00}, "reclassification", "net income unchanged"),
    ],
)
def test_the_lowest_total_and_revenue_decide(financials, change, kind, said):
    found = compared(with_change(financials, **change))
    assert set(found.table["kind"]) == {kind} and said in found.findings("en")[0]


@pytest.mark.parametrize(
    ("unprinted", "total", "kind"),
    [
        (["net_income_cents"], "operating_income", "reclassification"),
        (["net_income_cents", "operating_income_cents"], "contribution_margin", "restatement"),
    ],
)
def test_where_one_filing_does_not_print_the_lowest_total_the_next_one_decides(financials, unprinted, total, kind):
    frame = financials.copy()
    frame.loc[new_rows(frame), unprinted] = None
    found = compared(frame)
    assert found.table["line"].iloc[-1] == total and set(found.table["kind"]) == {kind}


def test_figures_that_differ_in_the_lowest_total_only_are_not_the_same(financials):
    old = financials[(financials["quarter"] == "2018Q1") & (financials["basis"] == "2014-2018")]
    same = financials[~new_rows(financials)]
    twin = old[old["unit"] == "Consolidated"].assign(basis="2018Q4")
    frame = pd.concat([same, twin], ignore_index=True)
    assert set(compared(frame).table["kind"]) == {"unchanged"}
    assert set(compared(with_change(frame, net_income=-1)).table["kind"]) == {"restatement"}


def test_a_step_is_called_moved_below_the_margin_only_where_nothing_else_explains_it(financials):
    moved = compared(financials).bridges["2018Q1"].table["step"].tolist()
    assert moved == ["basis_2014-2018", "moved_to_cost_of_sales", "moved_below_contribution_margin", "basis_2018Q4"]
    restated = compared(with_change(financials, net_income=1000_00)).bridges["2018Q1"].table["step"].tolist()
    assert restated[2] == "contribution_margin"


def test_rounded_figures_of_a_letter_do_not_hide_the_total_that_the_filing_prints(financials):
    letter = financials[new_rows(financials)].head(1).assign(rounded=True, filing="a letter")
    letter["net_income_cents"] = 290_000_000_00
    found = compared(pd.concat([financials, letter], ignore_index=True))
    assert found.table["line"].iloc[-1] == "net_income" and set(found.table["kind"]) == {"reclassification"}
