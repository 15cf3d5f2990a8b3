"""How the sample company's files are written: dialects of CSV, a workbook, Parquet; the same bytes each time."""

import csv
import io
import re
import zipfile
from datetime import datetime

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

LONG_AGO = datetime(2026, 10, 1, 8, 0, 0)

# What each export looks like: the reader's options, then contract name: heading.
SOURCES = {
    "ad_spend": {
        "file": "spesa_pubblicitaria.csv",
        "separator": ";",
        "decimal": ",",
        "date_format": "dd/mm/yyyy",
        "encoding": "cp1252",
        "columns": {
            "date": "Data",
            "unit": "Società",
            "platform": "Piattaforma",
            "campaign": "Campagna",
            "spend": "Spesa",
            "currency": "Valuta",
            "impressions": "Visualizzazioni",
            "clicks": "Clic",
        },
    },
    "touchpoints": {"file": "touchpoints.parquet"},
    "orders": {
        "file": "orders.parquet",
        "columns": {"time": "order_time", "gross": "gross_amount", "status": "order_status"},
    },
    "customers": {"file": "customers.csv", "encoding": "utf-8-sig"},
    "platform_claims": {"file": "platform_claims.csv"},
    "returns": {
        "file": "resi.csv",
        "separator": ";",
        "decimal": ",",
        "date_format": "dd/mm/yyyy",
        "encoding": "utf-8-sig",
        "columns": {
            "return_id": "N. reso",
            "unit": "Società",
            "order_id": "ID ordine",
            "date": "Data reso",
            "amount": "Importo netto",
            "currency": "Valuta",
        },
    },
    "ledger": {
        "file": "prima_nota.csv",
        "separator": ";",
        "decimal": ",",
        "thousands": ".",
        "date_format": "dd/mm/yyyy",
        "encoding": "cp1252",
        "columns": {
            "line": "Riga",
            "date": "Data registrazione",
            "period": "Trimestre",
            "unit": "Società",
            "account": "Conto",
            "amount": "Importo",
            "currency": "Divisa",
            "counterparty_unit": "Società controparte",
            "text": "Descrizione",
        },
    },
    "invoices": {
        "file": "fatture_media.csv",
        "separator": ";",
        "decimal": ",",
        "thousands": ".",
        "date_format": "dd/mm/yyyy",
        "encoding": "utf-8-sig",
        "columns": {
            "invoice_id": "Numero fattura",
            "unit": "Società",
            "platform": "Piattaforma",
            "date": "Data fattura",
            "service_month": "Mese di competenza",
            "kind": "Tipo",
            "net": "Imponibile",
            "vat": "IVA",
            "currency": "Valuta",
        },
    },
    "controls": {"file": "controls.csv"},
    "lift_tests": {"file": "lift_tests.csv"},
    "targets": {
        "file": "budget_e_cambi.xlsx",
        "sheet": "Obiettivi",
        "columns": {
            "unit": "Società",
            "quarter": "Trimestre",
            "kpi": "Indicatore",
            "version": "Versione",
            "value": "Valore",
        },
    },
    "fx_rates": {
        "file": "budget_e_cambi.xlsx",
        "sheet": "Cambi",
        "columns": {"quarter": "Trimestre", "currency": "Divisa", "rate": "Cambio medio"},
    },
    "web_sessions": {"file": "web_sessions.csv"},
    "kpi_series": {"file": "kpi_series.csv"},
    "surveys": {"file": "surveys.csv", "encoding": "utf-8-sig"},
    "leads": {
        "file": "crm_leads.csv",
        "columns": {
            "lead_id": "Lead ID",
            "created": "Created Date",
            "qualified": "Qualified Date",
            "accepted": "Accepted Date",
            "won": "Won Date",
            "value": "Amount",
        },
    },
    "hr": {
        "file": "organico.xlsx",
        "sheet": "Organico",
        "columns": {
            "quarter": "Trimestre",
            "unit": "Società",
            "headcount_start": "Organico iniziale",
            "headcount_end": "Organico finale",
            "leavers": "Uscite",
        },
    },
    "market": {"file": "market.csv"},
    "products": {
        "file": "ricavi_per_prodotto.csv",
        "separator": ";",
        "decimal": ",",
        "thousands": ".",
        "date_format": "dd/mm/yyyy",
        "encoding": "cp1252",
        "columns": {
            "quarter": "Trimestre",
            "unit": "Società",
            "product": "Prodotto",
            "launched": "Data di lancio",
            "revenue": "Ricavi",
            "currency": "Divisa",
        },
    },
    "emissions": {"file": "emissions.csv"},
    "capital": {"file": "capital.csv"},
    "promises": {"file": "promises.csv"},
    "open_items": {"file": "open_items.csv"},
    "control_totals": {"file": "control_totals.csv"},
}


def write_all(folder, tables, truth):
    """Write each table as its source says, ``data.yml`` beside them, and the truth in ``truth/``."""
    for name, source in SOURCES.items():
        if source["file"].endswith(".csv"):
            write_csv(folder / source["file"], tables[name], source)
        elif source["file"].endswith(".parquet"):
            write_parquet(folder / source["file"], tables[name], source)
    books = {}
    for name, source in SOURCES.items():
        if source["file"].endswith(".xlsx"):
            books.setdefault(source["file"], {})[source["sheet"]] = (tables[name], source["columns"])
    for file, sheets in books.items():
        write_workbook(folder / file, sheets)
    said = "# Where each table of the sample company is and how it is written: a block for data: in _defaults.yml.\n"
    text = said + yaml.safe_dump(SOURCES, sort_keys=False, allow_unicode=True)
    (folder / "data.yml").write_text(text, encoding="utf-8", newline="\n")
    (folder / "truth").mkdir()
    for name, columns in truth.items():
        if name == "claims":
            write_parquet(folder / "truth" / "claims.parquet", columns, {})
        else:
            write_csv(folder / "truth" / f"{name}.csv", columns, {})


def decimal_text(cents, decimal=".", thousands=""):
    """Cents as text: ``-1.234,50``; an amount that is missing is empty."""
    if thousands:
        swap = str.maketrans(",.", f"{thousands}{decimal}")
        return [f"{'-' if c < 0 else ''}{abs(c) // 100:,}.{abs(c) % 100:02d}".translate(swap) for c in cents.tolist()]
    if cents.dtype == object:
        return ["" if c is None else decimal_text(np.array([c]), decimal)[0] for c in cents.tolist()]
    return [f"{'-' if c < 0 else ''}{abs(c) // 100}{decimal}{abs(c) % 100:02d}" for c in cents.tolist()]


def write_csv(path, columns, source):
    """Write columns (contract name: array) under their headings; money is marked by the suffix ``_cents``."""
    headings = source.get("columns", {})
    names, lists = [], []
    for name, values in columns.items():
        if source and name.endswith("_cents"):
            name = name.removesuffix("_cents")  # noqa: PLW2901
            texts = decimal_text(values, source.get("decimal", "."), source.get("thousands", ""))
        else:
            texts = _texts(values, source.get("date_format", ""))
        names.append(headings.get(name, name))
        lists.append(texts)
    with path.open("w", encoding=source.get("encoding", "utf-8"), newline="") as file:
        ending = "\r\n" if source.get("separator") == ";" else "\n"
        writer = csv.writer(file, delimiter=source.get("separator", ","), lineterminator=ending)
        writer.writerow(names)
        writer.writerows(zip(*lists, strict=True))


def _texts(values, date_format):
    values = np.asarray(values)
    if values.dtype.kind != "M":
        return ["" if value is None else value for value in values.tolist()]
    missing = np.isnat(values)
    if values.dtype != np.dtype("datetime64[D]"):
        texts = values.astype("datetime64[s]").astype(str)
    else:
        texts = values.astype(str)
        if date_format == "dd/mm/yyyy":
            codes, at = np.unique(texts, return_inverse=True)
            texts = np.array([f"{day[8:]}/{day[5:7]}/{day[:4]}" for day in codes.tolist()])[at]
    texts = np.char.replace(texts, "T", " ")
    return np.where(missing, "", texts).tolist()


def write_parquet(path, columns, source):
    """Write columns; ``_cents`` become decimal128(18,2) in tables, and stay integers in the truth."""
    arrays = {}
    for name, values in columns.items():
        if source and name.endswith("_cents"):
            name = name.removesuffix("_cents")  # noqa: PLW2901
            arrays[source.get("columns", {}).get(name, name)] = decimals(np.asarray(values, dtype=np.int64))
        else:
            arrays[source.get("columns", {}).get(name, name)] = _arrow(values)
    pq.write_table(pa.table(arrays), path, compression="zstd")


def decimals(cents):
    """Integer cents as Arrow decimal128(18, 2), without a Python object a value."""
    words = np.empty((len(cents), 2), dtype="<i8")
    words[:, 0], words[:, 1] = cents, cents >> 63
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(words.tobytes())])


def _arrow(values):
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    values = np.asarray(values)
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]"))
    return pa.array(values.tolist()) if values.dtype.kind in "UO" else pa.array(values)


def write_workbook(path, sheets):
    """Write a workbook whose bytes do not depend on the clock."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, (columns, headings) in sheets.items():
        sheet = book.create_sheet(title)
        sheet.append([headings.get(name, name) for name in columns])
        for row in zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True):
            sheet.append(row)
    book.properties.creator = "kpitoolkit"
    book.properties.created = LONG_AGO
    buffer = io.BytesIO()
    book.save(buffer)
    stamp = LONG_AGO.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with zipfile.ZipFile(buffer) as saved, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as fixed:
        for item in saved.infolist():
            content = saved.read(item)
            if item.filename == "docProps/core.xml":
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + stamp, content)
            entry = zipfile.ZipInfo(item.filename, date_time=LONG_AGO.timetuple()[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            fixed.writestr(entry, content)
