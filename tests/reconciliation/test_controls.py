"""Control totals: rows and cents against their owners' by hand, on the sample company, and on bad data."""

import pandas as pd
import pytest
from claims_by_hand import by_hand

from kpitoolkit import pages, parameters
from kpitoolkit.errors import Faults
from kpitoolkit.reconciliation.controls import AMOUNTS, controls
from tests import sample_tables

NAMES = ["orders", "platform_claims", "ledger", "returns"]
# By hand, of the third quarter: six orders of 12,200 + 24,400 + 6,100 + 12,200 + 36,600 + 1,220; eleven claims.
STATED = {"orders": (6, 92720), "platform_claims": (11, 187500), "returns": (1, 3000), "ledger": (14, 132277)}


def tables_by_hand():
    claims, orders, returns, ledger, *_rest = by_hand(extra_sales=0)
    return {"orders": orders, "platform_claims": claims, "ledger": ledger, "returns": returns}


def totals(**changed):
    rows = [(name, "2026Q3", *pair, f"owner of {name}") for name, pair in (STATED | changed).items()]
    rows.append(("orders", "2026Q2", 99, 99, "owner of orders"))
    frame = pd.DataFrame(rows, columns=["table", "quarter", "rows", "amount_cents", "owner"])
    return frame.astype({"amount_cents": "Int64"})


def test_what_was_read_agrees_with_its_owners():
    found = controls(tables_by_hand(), totals(), "2026Q3", "EUR")
    assert found.table["table"].tolist() == sorted(NAMES)
    assert set(found.table["status"]) == {"agrees"}
    assert found.checks[["check", "value_cents", "passed"]].values.tolist() == [
        ["control_rows", 0, True],
        ["control_amounts", 0, True],
    ]
    assert len(found.findings("en")) == 1 and "to the cent" in found.findings("en")[0]


@pytest.mark.parametrize(
    ("table", "stated", "apart", "failed"),
    [
        ("orders", (7, 92720), (-1, 0), ["control_rows"]),
        ("returns", (1, 3001), (0, -1), ["control_amounts"]),
        ("ledger", (13, 132000), (1, 277), ["control_rows", "control_amounts"]),
        ("platform_claims", (12, pd.NA), (-1, pd.NA), ["control_rows"]),
    ],
)
def test_each_difference_fails_a_check_and_is_said(table, stated, apart, failed):
    found = controls(tables_by_hand(), totals(**{table: stated}), "2026Q3", "EUR")
    row = found.table.set_index("table").loc[table]
    assert row["status"] == "differs"
    assert [row["rows_difference"], row["difference_cents"]] == list(apart)
    assert found.checks.loc[~found.checks["passed"].to_numpy(dtype=bool), "check"].tolist() == failed
    for language in ("en", "it"):
        assert any(f"owner of {table}" in sentence for sentence in found.findings(language))


def test_differences_of_two_tables_never_offset_each_other():
    found = controls(tables_by_hand(), totals(orders=(7, 92730), returns=(0, 2990)), "2026Q3", "EUR")
    assert found.checks["value_cents"].tolist() == [2, 20]


def test_a_table_that_is_not_read_and_one_without_control_are_said():
    given = tables_by_hand()
    del given["returns"]
    stated = totals()
    found = controls(given, stated[stated["table"] != "ledger"], "2026Q3", "EUR")
    assert found.table.set_index("table")["status"].to_dict()["returns"] == "not_examined"
    assert found.without_control == ("ledger",)
    said = " ".join(found.findings("en"))
    assert "not read here: returns" in said and "without a control total by their owner: general ledger" in said
    assert found.checks["passed"].all()


def test_no_control_totals_are_no_figure_and_not_a_pass():
    for none in (None, totals().head(0)):
        found = controls(tables_by_hand(), none, "2026Q3", "EUR")
        assert found.checks["passed"].isna().all() and len(found.findings("en")) == 1


def test_days_are_the_units_own():
    """30 June 23:59:59 UTC is July in Rome, 30 September 23:59 UTC is October."""
    given = {"platform_claims": tables_by_hand()["platform_claims"]}
    stated = totals(platform_claims=(12, 187500 + 50000))
    found = controls(given, stated, "2026Q3", "EUR", "Europe/Rome").table.set_index("table")
    assert found.loc["platform_claims", "status"] == "agrees"


def test_the_table_is_written_to_the_cent_and_owners_in_their_own_words():
    found = controls(tables_by_hand(), totals(returns=(1, 3001)), "2026Q3", "EUR")
    written = pages.table(found.table, "en", found.formats).plain
    assert "owner of platform_claims" in written and "30.01" in written and "−0.01" in written


@pytest.mark.parametrize("language", ["en", "it"])
def test_what_differs_is_drawn(language):
    bars = controls(tables_by_hand(), totals(returns=(1, 3001)), "2026Q3", "EUR").plot(language=language)
    assert sum(bar.get_width() != 0 for bar in bars.patches) == 1


def test_sums_of_any_size_stay_exact():
    large = pd.DataFrame(
        {"date": pd.to_datetime(["2026-07-01"] * 3), "amount_cents": pd.array([2**59 + 1] * 3, "Int64")}
    )
    stated = totals(returns=(3, 0))
    with pytest.raises(Faults, match="returns: the amounts in 'amount' reach"):
        controls({"returns": large}, stated, "2026Q3", "EUR")
    found = controls({"returns": large.head(1)}, totals(returns=(1, 2**59)), "2026Q3", "EUR")
    assert found.table.set_index("table").loc["returns", "difference_cents"] == 1


def test_the_sample_companys_owners_agree_with_what_is_read():
    case = parameters.read_case(parameters.project_root() / "parameters" / "sample-2026Q3")
    for unit, stated in case.units.items():
        given = sample_tables.read(unit, [*AMOUNTS, "control_totals"])
        control_totals = given.pop("control_totals")
        found = controls(given, control_totals, "2026Q3", stated.currency, stated.timezone)
        assert len(found.table) == 6 and set(found.table["status"]) == {"agrees"}, unit
