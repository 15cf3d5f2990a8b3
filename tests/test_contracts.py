"""The rules of the tables about the company: a row that keeps them is read, one that breaks one is named."""

import pytest

from kpitoolkit.contracts import CONTRACTS
from kpitoolkit.errors import Faults
from kpitoolkit.readers import Source, read_table

GOOD = {
    "web_sessions": "2026-09-27,it,1000,100,200,500",
    "leads": "L1,it,2026-07-01,2026-07-02,2026-07-05,2026-08-01,1200.50,EUR",
    "surveys": "2026-09-30,it,nps,40,10,6,4",
    "hr": "2026Q3,it,50,48,4",
    "market": "2026Q3,it,100.00,1000.00,EUR",
    "products": "2026Q3,it,Sedia,2025-01-15,-12.00,EUR",
    "emissions": "2026Q3,it,3,12.5",
    "capital": "2026Q3,it,1000.00,EUR",
    "kpi_series": "2026-09-27,it,followers,-1.5",
    "promises": "P1,it,2026Q3,media_spend,CMO,-1000,2026-06-30,Meno display",
    "open_items": "O1,it,2026Q2,claims,returns,-10.00,Reso non registrato,CFO,mail,2026Q3",
    "control_totals": "ledger,it,2026Q3,120,-10.00,CFO",
}
MAY_BE_EMPTY = {
    "leads": ("qualified", "accepted", "won", "value"),
    "open_items": ("closed",),
    "control_totals": ("amount",),
}
# Table, what stands instead of the good row, and what is said of it.
WRONG = [
    ("web_sessions", "2026-09-27,it,1000,100,200,701", "1 row has bot_sessions + unconsented_sessions + prospect_sess"),
    ("web_sessions", "2026-09-26,it,1000,100,200,500", "column 'week_end': 1 value is not a Sunday"),
    ("web_sessions", "2026-09-27,it,1000,-1,200,500", "column 'bot_sessions': 1 value is not 0 or more"),
    ("leads", "L1,it,2026-07-03,2026-07-02,2026-07-05,,,EUR", "1 row has qualified before created (first: row 2)"),
    ("leads", "L1,it,2026-07-06,,2026-07-05,,,EUR", "1 row has accepted before created (first: row 2)"),
    ("leads", "L1,it,2026-07-01,,2026-07-05,2026-07-04,,EUR", "1 row has won before accepted (first: row 2)"),
    ("leads", "L1,it,2026-07-01,,,2026-06-04,,EUR", "1 row has won before created (first: row 2)"),
    ("leads", "L1,it,2026-07-01,,,,-3.00,EUR", "column 'value': 1 value is not 0 or more"),
    ("surveys", "2026-09-30,it,nps,9,10,6,4", "1 row has answers above invited (first: row 2)"),
    ("surveys", "2026-09-30,it,nps,40,10,7,4", "1 row has positive + negative above answers (first: row 2)"),
    ("surveys", "2026-09-30,it,brand,40,10,5,4", "1 row has negative above 0 in a survey other than nps"),
    ("surveys", "2026-09-30,it,csat,40,10,5,0", "not one of nps, brand, employees"),
    ("hr", "2026Q3,it,50,48,-4", "column 'leavers': 1 value is not 0 or more"),
    ("hr", "2026Q3,it,50.5,48,4", "column 'headcount_start': 1 value is not a whole number"),
    ("market", "2026Q3,it,1000.01,1000.00,EUR", "1 row has own_sellout above market_sellout (first: row 2)"),
    ("emissions", "2026Q3,it,4,12.5", "column 'scope': 1 value is not a scope: 1, 2 or 3"),
    ("emissions", "2026Q3,it,3,-12.5", "column 'tonnes': 1 value is not 0 or more"),
    ("capital", "2026Q3,it,0.00,EUR", "column 'invested_capital': 1 value is not above 0"),
    ("kpi_series", "2026-09-27,it,followers,many", "column 'value': 1 value is not a number"),
    ("promises", "P1,it,2026Q3,media_spend,,-1000,2026-06-30,Meno display", "column 'owner': 1 value is empty"),
    ("open_items", "O1,it,2026Q2,claims,returns,-10.00,x,CFO,mail,2026Q1", "1 row has closed before opened"),
    ("open_items", "O1,it,2026Q2,returns,returns,-10.00,x,CFO,mail,", "not one of claims, spend"),
    ("control_totals", "ledgers,it,2026Q3,120,-10.00,CFO", "column 'table': 1 value is not a table's name"),
    ("control_totals", "ledger,it,2026Q3,-1,-10.00,CFO", "column 'rows': 1 value is not 0 or more"),
]  # fmt: skip


def read(folder, table, *rows, unit="it"):
    heading = ",".join(CONTRACTS[table].schema.columns)
    (folder / f"{table}.csv").write_text("\n".join([heading, *rows, ""]), encoding="utf-8")
    return read_table(table, folder, Source(file=f"{table}.csv"), unit)


@pytest.mark.parametrize("table", GOOD)
def test_a_row_that_keeps_the_rules_is_read(tmp_path, table):
    assert len(read(tmp_path, table, GOOD[table])) == 1
    assert not len(read(tmp_path, table, GOOD[table], unit="uk"))  # a unit may have none


@pytest.mark.parametrize("table", GOOD)
def test_the_stated_columns_may_be_empty_and_no_other(tmp_path, table):
    cells = GOOD[table].split(",")
    for place, name in enumerate(CONTRACTS[table].schema.columns):
        if name == "unit":
            continue
        row = ",".join([*cells[:place], "", *cells[place + 1 :]])
        if name in MAY_BE_EMPTY.get(table, ()):
            assert len(read(tmp_path, table, row)) == 1
        else:
            with pytest.raises(Faults, match=f"column '{name}': 1 value is empty"):
                read(tmp_path, table, row)


@pytest.mark.parametrize(("table", "row", "said"), WRONG)
def test_a_row_that_breaks_a_rule_is_named(tmp_path, table, row, said):
    with pytest.raises(Faults) as caught:
        read(tmp_path, table, row)
    assert said in str(caught.value)
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize("table", GOOD)
def test_a_row_stands_once(tmp_path, table):
    with pytest.raises(Faults, match="1 row repeats the key"):
        read(tmp_path, table, GOOD[table], GOOD[table])


def test_each_broken_rule_is_said_once_with_its_rows(tmp_path):
    rows = ["2026-06-30,it,nps,40,10,6,4", "2026-09-30,it,nps,9,10,6,5", "2026-09-30,it,brand,9,10,6,0"]
    with pytest.raises(Faults) as caught:
        read(tmp_path, "surveys", *rows)
    assert caught.value.faults == [
        "2 rows have answers above invited (first: row 3)",
        "1 row has positive + negative above answers (first: row 3)",
    ]
