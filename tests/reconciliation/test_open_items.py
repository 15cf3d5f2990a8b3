"""The register of open items: ages, steps that no longer show the amount, what is carried from quarter to quarter."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from claims_by_hand import amounts, by_hand

from kpitoolkit import pages, parameters
from kpitoolkit.reconciliation import ledger as books
from kpitoolkit.reconciliation.claims import claimed_to_booked
from kpitoolkit.reconciliation.open_items import open_items
from kpitoolkit.reconciliation.spend import spend_to_ledger
from tests import sample_tables

CLAIMS = claimed_to_booked(*by_hand())
SPEND = SimpleNamespace(
    table=books.bridge_table(
        [("total", "platform_spend", 900, 1), ("step", "vat", None, None), ("step", "fee", 50, 1)]
    ),
    unexplained=CLAIMS.unexplained.head(0),
)


def register(*rows):
    columns = ["item_id", "opened", "bridge", "step", "amount_cents", "closed"]
    frame = pd.DataFrame(rows, columns=columns).assign(cause="c", owner="CFO", evidence="mail")
    return frame.astype({"amount_cents": "Int64"})


def found(*rows, **options):
    return open_items(register(*rows), {"claims": CLAIMS, "spend": SPEND}, "2026Q3", "EUR", **options)


def statuses(result):
    return result.table.set_index("item_id")["status"].to_dict()


def test_each_item_against_the_step_it_belongs_to():
    """By hand: returns are -30.00, unexplained +3.20, cut-off out -50.00; the sign counts."""
    result = found(
        ("O1", "2026Q3", "claims", "returns", -3000, None),
        ("O2", "2026Q2", "claims", "returns", -3001, None),
        ("O3", "2026Q1", "claims", "unexplained", -100, None),
        ("O4", "2025Q3", "claims", "unexplained", 320, None),
        ("O5", "2026Q3", "spend", "vat", -10, None),
        ("O6", "2026Q3", "spend", "returns", -10, None),
        ("O7", "2026Q1", "claims", "cut_off_out", -10, "2026Q3"),
        ("O8", "2026Q1", "claims", "cut_off_out", -10, "2026Q2"),
        ("O9", "2026Q4", "claims", "cut_off_out", -10, None),
    )
    assert statuses(result) == {
        "O1": "outstanding", "O2": "not_shown", "O3": "not_shown", "O4": "outstanding", "O5": "not_examined",
        "O6": "unknown_step", "O7": "closed",
    }  # fmt: skip
    assert result.table["age_quarters"].tolist() == [0, 1, 2, 4, 0, 0, 2]
    assert result.table["step_cents"].tolist()[:4] == [-3000, -3000, 0, 320]
    said = result.findings("en")
    assert "4 items of −€57.81 together are open beside +€3.20 unexplained" in said[0]
    assert any(sentence.startswith("O4: open for 4 quarters, longer than the 2 allowed") for sentence in said)
    assert not any("O3: open for" in sentence for sentence in said)  # two quarters are allowed
    assert "Closed in this quarter: O7." in said
    for item in ("O2", "O3", "O5", "O6"):
        assert any(sentence.startswith(f"{item}: open with") for sentence in said)
    assert len(said) == len(result.findings("it"))


def test_open_items_reduce_nothing():
    before = amounts(claimed_to_booked(*by_hand()))
    found(("O1", "2026Q3", "claims", "unexplained", 320, None))
    assert {step: cents for step, cents in before.items() if cents is not None} == {
        step: cents
        for step, cents in zip(CLAIMS.table["step"], CLAIMS.table["amount_cents"], strict=True)
        if not pd.isna(cents)
    }


def test_errors_of_the_other_sign_clear_no_item():
    """Sales 90.00 too high and returns 90.00 too low leave nothing in sum; each is still open."""
    claims, orders, returns, ledger, *rest = by_hand(extra_sales=0)
    ledger.loc[0, "amount_cents"] += 9000
    ledger.loc[5, "amount_cents"] -= 9000
    bridge = claimed_to_booked(claims, orders, returns, ledger, *rest)
    rows = [(f"O{c}", "2026Q3", "claims", "unexplained", c, None) for c in (9000, -9000, 9001)]
    result = open_items(register(*rows), {"claims": bridge}, "2026Q3", "EUR")
    assert statuses(result) == {"O9000": "outstanding", "O-9000": "outstanding", "O9001": "not_shown"}
    assert result.unexplained == {"claims": 0}


def test_items_that_fit_one_by_one_but_not_together_are_said():
    pair = [(f"O{i}", "2026Q3", "claims", "returns", cents, None) for i, cents in enumerate((-2000, -1001))]
    said = found(*pair).findings("en")
    assert any("come to −€30.01 together, more than the −€30.00 it shows" in sentence for sentence in said)
    fitting = [(f"O{i}", "2026Q3", "claims", "returns", cents, None) for i, cents in enumerate((-2000, -1000))]
    assert not any("together, more than" in sentence for sentence in found(*fitting).findings("en"))


def test_the_register_is_carried_from_quarter_to_quarter():
    rows = [(f"O{i}", "2026Q2", "claims", "returns", -100, None) for i in range(4)]
    last = open_items(register(*rows), {"claims": CLAIMS}, "2026Q2", "EUR").table
    closed = ("O1", "2026Q2", "claims", "returns", -100, "2026Q3")
    reduced = ("O2", "2026Q2", "claims", "returns", -60, None)
    now = found(rows[0], closed, reduced, previous=last)
    assert statuses(now) == {"O0": "outstanding", "O1": "closed", "O2": "changed", "O3": "vanished"}
    [check] = now.checks.to_dict("records")
    assert (check["check"], check["value_cents"], check["passed"]) == ("open_items_carried", 100, False)
    assert any(sentence.startswith("O3: open with −€1.00 last quarter") for sentence in now.findings("en"))
    assert found(rows[0], closed, reduced, rows[3], previous=last).checks["passed"].all()
    # What vanished is said once, and a closed item is not missed a quarter later.
    later = open_items(register(rows[0], reduced), {"claims": CLAIMS}, "2026Q4", "EUR", previous=now.table)
    assert statuses(later) == {"O0": "outstanding", "O2": "outstanding"}


def test_an_item_does_not_leave_by_its_dates():
    """Open in last quarter's table, then closed with an earlier date, or moved to a later quarter."""
    rows = [(f"O{i}", "2026Q1", "claims", "returns", -100, None) for i in range(3)]
    last = open_items(register(*rows), {"claims": CLAIMS}, "2026Q2", "EUR").table
    before = ("O0", "2026Q1", "claims", "returns", -100, "2026Q1")
    late = ("O1", "2026Q1", "claims", "returns", -100, "2026Q2")
    moved = ("O2", "2026Q4", "claims", "returns", -100, None)
    now = found(before, late, moved, previous=last)
    assert statuses(now) == {"O0": "closed", "O1": "closed", "O2": "vanished"}
    assert now.checks["passed"].tolist() == [False]
    assert "Closed in this quarter: O0, O1." in now.findings("en")
    assert statuses(found(before, late, moved)) == {}


def test_with_an_empty_register_nothing_is_open():
    result = open_items(register(), {"claims": CLAIMS}, "2026Q3", "EUR")
    assert result.table.empty and result.findings("en") == ["No item is open."] and result.checks["passed"].all()


def test_without_a_register_that_is_said_and_nothing_is_called_passed():
    result = open_items(None, {"claims": CLAIMS}, "2026Q3", "EUR")
    assert result.findings("en")[0].startswith("No register of open items is declared")
    assert result.table.empty and result.checks["passed"].isna().all()
    last = found(("O1", "2026Q2", "claims", "returns", -100, None)).table
    dropped = open_items(None, {"claims": CLAIMS}, "2026Q4", "EUR", previous=last)
    assert statuses(dropped) == {"O1": "vanished"} and dropped.checks["passed"].tolist() == [False]


def test_the_table_is_written_to_the_cent_and_causes_in_their_own_words():
    result = found(("O_1", "2026Q3", "claims", "unexplained", 319, None))
    written = pages.table(result.table, "en", result.formats).plain
    assert "O_1" in written and "3.19" in written and "3.20" in written


@pytest.mark.parametrize("language", ["en", "it"])
def test_the_items_are_drawn(language):
    result = found(("O1", "2026Q3", "claims", "returns", -3000, None), ("O2", "2026Q3", "spend", "fee", 50, None))
    assert len(result.plot(language=language).patches) == 2


def test_the_sample_companys_items_stand_in_their_steps():
    case = parameters.read_case(parameters.project_root() / "parameters" / "sample-2026Q3")
    stated = case.units["retail-it"]
    names = ["platform_claims", "orders", "returns", "ledger", "fx_rates", "ad_spend", "invoices", "open_items"]
    given = sample_tables.read("retail-it", names)
    read = [given[name] for name in names[:5]]
    claimed = claimed_to_booked(*read, stated.accounts, "2026Q3", stated.currency, stated.claims_lookback_days)
    spent = spend_to_ledger(
        given["ad_spend"], given["invoices"], given["ledger"], given["fx_rates"], stated.accounts, "2026Q3",
        stated.currency, stated.platforms_including_vat,
    )  # fmt: skip
    items = open_items(given["open_items"], {"claims": claimed, "spend": spent}, "2026Q3", "EUR")
    assert set(items.table["bridge"]) == {"claims", "spend"} and set(items.table["status"]) == {"outstanding"}
    assert items.unexplained == {"claims": 32_000, "spend": 0}


def test_the_age_that_is_called_old_is_a_parameter_of_the_case():
    cells = nbformat.read(Path(__file__).parents[2] / "notebooks" / "reconciliation.ipynb", as_version=4).cells
    own = parameters.Parameters(unit="it", quarter="2026Q3").oldest_item_quarters
    assert sum(f"oldest_item_quarters = {own} " in cell.source for cell in cells) == 1
    assert sum("currency, last, oldest_item_quarters)" in cell.source for cell in cells) == 1
