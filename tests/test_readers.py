"""Reading files: every dialect gives the same table, and every fault is met with its row."""

from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kpitoolkit.errors import Faults
from kpitoolkit.readers import Source, read_table

ITALIAN = {
    "order_id": "ID Ordine",
    "unit": "Unità",
    "customer_id": "Cliente",
    "time": "Data e ora",
    "gross": "Lordo",
    "vat": "IVA",
    "shipping": "Spedizione",
    "discount": "Sconto",
    "supplier_share": "Quota fornitore",
    "currency": "Valuta",
    "status": "Stato",
    "recognition_date": "Competenza",
    "cost": "Costo",
}
ROWS = [
    ["A1", "retail-it", "C1", "2026-07-01 10:30:00", "1234.50", "222.62", "0.00", "5.00", "0.00", "EUR", "paid",
     "2026-07-03", "600.00"],
    ["A2", "retail-it", "C2", "2026-07-02 23:59:59", "10.00", "1.80", "0.00", "0.00", "0.00", "EUR", "cancelled",
     None, "0.00"],
    ["B1", "online-eu", "C3", "2026-07-05 00:00:00", "99.99", "18.03", "4.90", "0.00", "0.00", "EUR", "paid",
     "2026-07-06", "40.00"],
]  # fmt: skip
MONEY = ["gross", "vat", "shipping", "discount", "supplier_share", "cost"]


@pytest.fixture
def orders():
    return pd.DataFrame(ROWS, columns=list(ITALIAN))


def written(folder, orders, dialect):
    """Write the same orders in one dialect and return the source that reads them."""
    if dialect == "plain":
        orders.to_csv(folder / "orders.csv", index=False)
        return Source(file="orders.csv")
    if dialect == "bom":
        orders.to_csv(folder / "orders.csv", index=False, encoding="utf-8-sig")
        return Source(file="orders.csv")
    if dialect == "italian":
        frame = orders.copy()
        frame["time"] = pd.to_datetime(frame["time"]).dt.strftime("%d/%m/%Y %H:%M:%S")
        frame["recognition_date"] = pd.to_datetime(frame["recognition_date"]).dt.strftime("%d/%m/%Y")
        for name in MONEY:
            frame[name] = [
                f"{float(v):,.2f}".replace(",", "_").replace(".", ",").replace("_", ".") for v in frame[name]
            ]
        frame.rename(columns=ITALIAN).to_csv(folder / "ordini.csv", index=False, sep=";", encoding="cp1252")
        return Source(file="ordini.csv", separator=";", decimal=",", thousands=".", encoding="cp1252",
                      date_format="dd/mm/yyyy", columns=ITALIAN)  # fmt: skip
    frame = orders.copy()
    frame["time"] = pd.to_datetime(frame["time"])
    frame["recognition_date"] = pd.to_datetime(frame["recognition_date"])
    if dialect == "excel":
        for name in MONEY:
            frame[name] = frame[name].astype(float)
        frame.to_excel(folder / "orders.xlsx", index=False, sheet_name="Ordini")
        return Source(file="orders.xlsx", sheet="Ordini")
    for name in MONEY:
        frame[name] = [Decimal(v) for v in frame[name]]
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "orders.parquet")
    return Source(file="orders.parquet")


@pytest.mark.parametrize("dialect", ["plain", "bom", "italian", "excel", "parquet"])
def test_every_dialect_gives_the_same_table(tmp_path, orders, dialect):
    frame = read_table("orders", tmp_path, written(tmp_path, orders, dialect), "retail-it")
    assert frame["order_id"].tolist() == ["A1", "A2"]
    assert frame["gross_cents"].tolist() == [123450, 1000]
    assert frame["gross_cents"].dtype == "Int64"
    assert frame["time"].tolist() == [pd.Timestamp("2026-07-01 10:30"), pd.Timestamp("2026-07-02 23:59:59")]
    assert frame["recognition_date"].isna().tolist() == [False, True]
    assert "gross" not in frame


def test_times_of_a_zone_become_utc(tmp_path, orders):
    orders.to_csv(tmp_path / "orders.csv", index=False)
    frame = read_table("orders", tmp_path, Source(file="orders.csv", timezone="Europe/Rome"), "retail-it")
    assert frame["time"].iloc[0] == pd.Timestamp("2026-07-01 08:30")


def test_a_time_that_a_clock_change_makes_ambiguous_is_a_fault(tmp_path, orders):
    orders.loc[0, "time"] = "2026-10-25 02:30:00"
    orders.to_csv(tmp_path / "orders.csv", index=False)
    with pytest.raises(Faults, match=r"column 'time': 1 value is not a time .* \(first: row 2"):
        read_table("orders", tmp_path, Source(file="orders.csv", timezone="Europe/Rome"), "retail-it")


@pytest.mark.parametrize(("repeated_hour", "utc"), [("first", "00:30"), ("second", "01:30")])
def test_the_source_may_say_which_of_the_two_hours_it_is(tmp_path, orders, repeated_hour, utc):
    orders.loc[0, "time"] = "2026-10-25 02:30:00"
    orders.to_csv(tmp_path / "orders.csv", index=False)
    source = Source(file="orders.csv", timezone="Europe/Rome", repeated_hour=repeated_hour)
    assert read_table("orders", tmp_path, source, "retail-it")["time"].iloc[0] == pd.Timestamp(f"2026-10-25 {utc}")


def test_money_in_thousands(tmp_path):
    (tmp_path / "f.csv").write_text(
        "quarter,unit,basis,filing,figures,rounded,revenue\n2017Q3,DVD,b,f,printed,false,110214\n"
    )
    frame = read_table("financials", tmp_path, Source(file="f.csv", money_unit=1000), "DVD")
    assert frame["revenue_cents"].tolist() == [110_214_000_00]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(("amount", "money_unit"), [(2**62, 1), (2**54, 1000), (10**17, 1)])
def test_money_that_does_not_fit_is_refused_and_never_wraps(tmp_path, suffix, amount, money_unit):
    rows = {"quarter": "2017Q3", "unit": "DVD", "basis": "b", "filing": ["f", "g"], "figures": "printed"}
    frame = pd.DataFrame({**rows, "rounded": False, "revenue": [10**12, amount]})
    path = tmp_path / f"f.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    with pytest.raises(Faults, match=rf"'revenue'.*1 value is not an amount.*row [23]; found '{amount}'"):
        read_table("financials", tmp_path, Source(file=path.name, money_unit=money_unit), "DVD")


def faults_of(tmp_path, frame, source=None, unit="retail-it"):
    frame.to_csv(tmp_path / "orders.csv", index=False)
    with pytest.raises(Faults) as caught:
        read_table("orders", tmp_path, source or Source(file="orders.csv"), unit)
    return str(caught.value)


def test_all_faults_come_in_one_message_with_rows_and_values(tmp_path, orders):
    orders.loc[0, "gross"] = "12.345"
    orders.loc[1, "status"] = "open"
    orders.loc[1, "vat"] = "-1.00"
    orders.loc[1, "order_id"] = "A1"
    orders.loc[0, "time"] = "31/02/2026"
    said = faults_of(tmp_path, orders)
    assert "5 faults" in said
    assert "column 'gross': 1 value is not an amount with at most two decimals" in said
    assert "column 'time': 1 value is not a time" in said and "'31/02/2026'" in said
    assert "1 value is not one of paid, cancelled (first: row 3; found 'open')" in said
    assert "column 'vat': 1 value is not 0 or more" in said and "found '-1.00'" in said
    assert "1 row repeats the key (order_id) of another (first: rows 2 and 3)" in said


def test_ids_are_masked(tmp_path, orders):
    orders["customer_id"] = ["C1000000", None, "C3000000"]
    said = faults_of(tmp_path, orders)
    assert "column 'customer_id': 1 value" in said and "C1000000" not in said


def test_missing_and_misspelt_columns(tmp_path, orders):
    said = faults_of(tmp_path, orders.rename(columns={"gross": "gros"}).drop(columns="cost"))
    assert "column 'gross' is missing. Did you mean 'gros'?" in said
    assert "column 'cost' is missing" in said


def test_a_mapped_heading_that_is_not_there(tmp_path, orders):
    said = faults_of(tmp_path, orders, Source(file="orders.csv", columns={"gross": "Lordo"}))
    assert "column 'gross' (heading 'Lordo') is missing" in said


def test_extra_columns_are_left_alone_but_a_misspelt_optional_one_is_met(tmp_path):
    (tmp_path / "t.csv").write_text("user_id,time,unit,channel,browser\nu1,2026-07-01 10:00:00,a,search,x\n")
    frame = read_table("touchpoints", tmp_path, Source(file="t.csv"), "a")
    assert list(frame) == ["user_id", "time", "unit", "channel"]
    (tmp_path / "t.csv").write_text("user_id,time,unit,channel,campain\nu1,2026-07-01 10:00:00,a,search,x\n")
    with pytest.raises(Faults, match=r"optional column 'campaign' is missing.*'campain'"):
        read_table("touchpoints", tmp_path, Source(file="t.csv"), "a")


@pytest.mark.parametrize("wrong", ["84.89", "1.2345,00", "12.34.567,00", "1e5", "1,234.50"])
def test_a_thousands_mark_in_a_wrong_place_is_no_amount(tmp_path, orders, wrong):
    written(tmp_path, orders, "italian")
    path = tmp_path / "ordini.csv"
    path.write_text(path.read_text("cp1252").replace("1.234,50", wrong), "cp1252")
    source = Source(file="ordini.csv", separator=";", decimal=",", thousands=".", encoding="cp1252",
                    date_format="dd/mm/yyyy", columns=ITALIAN)  # fmt: skip
    with pytest.raises(Faults, match=r"column 'gross': 1 value is not an amount .* thousands mark '\.'"):
        read_table("orders", tmp_path, source, "retail-it")


def test_rows_are_counted_as_in_the_file_and_empties_are_said_beside_other_faults(tmp_path, orders):
    orders["vat"] = ["n.d.", None, "1.00"]
    orders["unit"] = "retail-it"
    lines = orders.to_csv(index=False).splitlines()
    (tmp_path / "orders.csv").write_text("\n".join([lines[0], "", "", *lines[1:]]) + "\n")
    with pytest.raises(Faults) as caught:
        read_table("orders", tmp_path, Source(file="orders.csv"), "retail-it")
    assert "column 'vat': 1 value is not an amount" in str(caught.value) and "first: row 4;" in str(caught.value)
    assert "column 'vat': 1 value is empty (first: row 5)" in str(caught.value)


def test_wrong_separators_are_named(tmp_path, orders):
    written(tmp_path, orders, "italian")
    for separator in (",", "\t"):
        with pytest.raises(Faults, match="separator"):
            read_table(
                "orders", tmp_path, Source(file="ordini.csv", separator=separator, encoding="cp1252"), "retail-it"
            )
    body = orders.to_csv(index=False).splitlines()
    (tmp_path / "orders.csv").write_text("\n".join([body[0], *(line + "," for line in body[1:])]))
    assert read_table("orders", tmp_path, Source(file="orders.csv"), "online-eu")["gross_cents"].tolist() == [9999]
    (tmp_path / "orders.csv").write_text("\n".join([body[0], *(line + ",7" for line in body[1:])]))
    with pytest.raises(Faults, match="rows have more fields than the heading"):
        read_table("orders", tmp_path, Source(file="orders.csv"), "retail-it")


def test_a_byte_order_mark_read_as_cp1252_names_the_remedy(tmp_path, orders):
    orders.to_csv(tmp_path / "orders.csv", index=False, encoding="utf-8-sig")
    with pytest.raises(Faults, match="set encoding: utf-8-sig"):
        read_table("orders", tmp_path, Source(file="orders.csv", encoding="cp1252"), "retail-it")


def test_a_table_that_may_be_empty_may_have_no_rows(tmp_path):
    (tmp_path / "r.csv").write_text("return_id,unit,order_id,date,amount,currency\n")
    frame = read_table("returns", tmp_path, Source(file="r.csv"), "retail-it")
    assert not len(frame) and frame["amount_cents"].dtype == "Int64"


@pytest.mark.parametrize(
    "options", [{"date_format": "%Q"}, {"date_format": "gg/mm/aaaa"}, {"separator": ""}, {"decimal": ",,"}]
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Source(file="a.csv", **options)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "exports").mkdir()
    with pytest.raises(Faults, match="is a folder"):
        read_table("orders", tmp_path, Source(file="exports"), "retail-it")


def test_missing_file_names_the_nearest(tmp_path, orders):
    orders.to_csv(tmp_path / "orders.csv", index=False)
    with pytest.raises(Faults, match=r"order.csv: the file does not exist .* Did you mean 'orders.csv'\?"):
        read_table("orders", tmp_path, Source(file="order.csv"), "retail-it")


@pytest.mark.parametrize("content", ["", "order_id,unit\n"])
def test_empty_tables(tmp_path, orders, content):
    (tmp_path / "orders.csv").write_text(content or "")
    with pytest.raises(Faults, match=r"empty|missing"):
        read_table("orders", tmp_path, Source(file="orders.csv"), "retail-it")
    orders.iloc[:0].to_csv(tmp_path / "orders.csv", index=False)
    with pytest.raises(Faults, match="the table is empty"):
        read_table("orders", tmp_path, Source(file="orders.csv"), "retail-it")


def test_a_unit_without_rows_names_the_units_there_are(tmp_path, orders):
    said = faults_of(tmp_path, orders, unit="retail-fr")
    assert "no rows for unit 'retail-fr'. Did you mean 'retail-it'?" in said and "'online-eu'" in said


def test_a_row_without_unit_is_a_fault(tmp_path, orders):
    orders.loc[2, "unit"] = None
    assert "rows without unit: 1 (first: row 4)" in faults_of(tmp_path, orders)


def test_negative_spend_and_unknown_currency(tmp_path):
    (tmp_path / "s.csv").write_text(
        "date,unit,platform,campaign,spend,currency\n2026-07-01,a,search,x,-5.00,EUR\n2026-07-02,a,search,x,5.00,euro\n"
    )
    with pytest.raises(Faults) as caught:
        read_table("ad_spend", tmp_path, Source(file="s.csv"), "a")
    assert "column 'spend'" in str(caught.value) and "row 2; found '-5.00'" in str(caught.value)
    assert "column 'currency': 1 value is not a currency code such as EUR (first: row 3" in str(caught.value)


def test_wrong_encoding_says_which(tmp_path):
    (tmp_path / "o.csv").write_bytes("order_id,unit\nà,b\n".encode("cp1252"))
    with pytest.raises(Faults, match="is not written in utf-8-sig"):
        read_table("orders", tmp_path, Source(file="o.csv"), "b")


def test_a_damaged_file_is_one_clear_message(tmp_path):
    (tmp_path / "o.xlsx").write_bytes(b"not a workbook")
    with pytest.raises(Faults, match="cannot be read"):
        read_table("orders", tmp_path, Source(file="o.xlsx"), "b")


def test_decimals_as_wide_as_databases_export_them_and_one_heading_for_two_columns(tmp_path):
    wide = pa.array([Decimal("12.300000000"), None], pa.decimal128(38, 9))
    table = pa.table(
        {"unit": ["it", "it"], "quarter": ["2026Q3", "2026Q2"], "basis": ["b", "b"], "figures": ["printed"] * 2,
         "rounded": [False, False], "revenue": wide}
    )  # fmt: skip
    pq.write_table(table, tmp_path / "financials.parquet")
    source = Source(file="financials.parquet", columns={"filing": "basis"})
    frame = read_table("financials", tmp_path, source)
    assert frame["revenue_cents"].tolist() == [1230, pd.NA]
    assert frame["filing"].tolist() == frame["basis"].tolist() == ["b", "b"]
