"""What units sold one another: out of revenue, and out of costs where a cost posting names the unit it came from."""

import pandas as pd
import pytest

from kpitoolkit.reconciliation import measures, rollup

NOW = "2026Q3"
RATES = pd.DataFrame({"quarter": [NOW], "currency": ["GBP"], "rate": [1.25]})
NAMES = {"it": "it", "uk": "uk-books"}


def unit(currency, **values):
    table = pd.DataFrame({"measure": list(values), "quarter": NOW, "value": list(values.values())})
    return table.assign(value_unit="money", currency=currency)


def units(intercompany=500):
    return {
        "it": unit(
            "EUR", revenue=10_000, intercompany_revenue=intercompany, cost_of_sales=4_000, operating_expenses=70
        ),
        "uk": unit("GBP", revenue=8_000, intercompany_revenue=0, cost_of_sales=2_000, operating_expenses=40),
    }


def ledger(*rows):
    frame = pd.DataFrame(rows, columns=["unit", "period", "account", "amount_cents", "counterparty_unit"])
    return frame.astype({"amount_cents": "Int64", "counterparty_unit": "string"})


BOUGHT = ledger(
    ("uk-books", NOW, " 5000", 300, "it"),
    ("uk-books", NOW, "5000", 100, "it"),
    ("uk-books", NOW, "5000", 999, None),  # bought outside
    ("uk-books", NOW, "5000", 999, "uk-books"),  # its own
    ("uk-books", NOW, "5000", 999, "a shop"),  # no unit of the group
    ("uk-books", "2026Q2", "5000", 999, "it"),
    ("it", NOW, "4500", 500, "uk-books"),  # revenue, eliminated as the measure says
)


def rolled(given, **options):
    return rollup.roll_up(given, NOW, "EUR", RATES, **options)


def value(found, measure):
    return measures.at(found.measures, NOW)[measure]


def test_costs_between_units_come_out_where_they_are_known():
    """By hand: 400 pounds are 5.00 euro; cost of sales 40.00 + 25.00 - 5.00, revenue 100.00 + 100.00 - 5.00."""
    found = rolled(units(), bought=rollup.costs_between_units(BOUGHT, NAMES))
    assert (value(found, "revenue"), value(found, "cost_of_sales")) == (19_500, 6_000)
    assert value(found, "operating_expenses") == 120
    assert (found.intercompany_revenue_cents, found.intercompany_costs_cents) == (500, 500)
    assert found.findings("en")[-1].endswith("€5, is out of the group's revenue and of its costs.")


def test_the_groups_own_figure_is_compared_without_intercompany_costs():
    stated = pd.DataFrame({"measure": ["cost_of_sales"], "quarter": [NOW], "value": [6_003]})
    found = rolled(units(), stated=stated, bought=rollup.costs_between_units(BOUGHT, NAMES))
    row = found.lines.set_index("measure").loc["cost_of_sales"]
    assert row[["units_cents", "intercompany_cents", "computed_cents", "unexplained_cents"]].tolist() == [
        6_500, -500, 6_000, 3,
    ]  # fmt: skip


def test_costs_that_name_no_unit_are_said_and_stay():
    for nothing in (None, ledger(), BOUGHT.drop(columns="counterparty_unit")):
        found = rolled(units(), bought=rollup.costs_between_units(nothing, NAMES))
        assert value(found, "cost_of_sales") == 6_500 and found.intercompany_costs_cents == 0
        assert "No cost posting names the unit it was bought from" in found.findings("en")[-1]
    assert rolled(units()).measures.equals(found.measures)


def test_what_one_side_did_not_book_is_said():
    found = rolled(units(800), bought=rollup.costs_between_units(BOUGHT, NAMES))
    assert "with €8 and of its costs with €5: +€3 was not booked by both sides" in found.findings("en")[-1]


@pytest.mark.parametrize("language", ["en", "it"])
def test_nothing_is_said_where_units_sell_one_another_nothing(language):
    assert len(rolled(units(0)).findings(language)) == 1


def test_a_unit_without_result_eliminates_nothing():
    found = rolled(units() | {"uk": None}, bought=rollup.costs_between_units(BOUGHT, NAMES))
    assert value(found, "cost_of_sales") == 4_000 and found.intercompany_costs_cents == 0


def test_consolidation_moves_profit_before_and_after_tax():
    values = {"revenue": 100_00, "operating_profit": 40_00, "operating_profit_after_tax": 30_40}
    unit = pd.DataFrame(
        {
            "measure": list(values),
            "quarter": "2026Q3",
            "value": values.values(),
            "value_unit": "money",
            "currency": "EUR",
        }
    )
    stated = pd.DataFrame({"measure": ["consolidation"], "quarter": ["2026Q3"], "value": [10_00]})
    found = rollup.roll_up({"a": unit}, "2026Q3", "EUR", stated=stated, tax_rate=0.24).measures
    now = found[found["quarter"] == "2026Q3"].set_index("measure")["value"]
    assert now["operating_profit"] == 50_00
    assert now["operating_profit_after_tax"] == 30_40 + 7_60
