"""Control totals: what the owner of each source counted and summed, against what was read, to the row and the cent."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults
from kpitoolkit.reconciliation import ledger as books

MOMENTS = {"orders": "time", "platform_claims": "conversion_time", "touchpoints": "time", "leads": "created"}
"""The moment by which a row belongs to a quarter, where that is no `period`, `quarter`, `date` or `week_end`."""
AMOUNTS = {
    "ad_spend": "spend_cents",
    "orders": "gross_cents",
    "platform_claims": "value_cents",
    "returns": "amount_cents",
    "ledger": "amount_cents",
    "invoices": "net_cents",
    "leads": "value_cents",
    "market": "own_sellout_cents",
    "products": "revenue_cents",
    "capital": "invested_capital_cents",
}
"""The amount that is summed, whatever its currency; the ledger's with its sign over all accounts."""
COLUMNS = {
    "table": "string",
    "owner": "string",
    "rows_stated": "Int64",
    "rows_read": "Int64",
    "rows_difference": "Int64",
    "stated_cents": "Int64",
    "read_cents": "Int64",
    "difference_cents": "Int64",
    "status": "string",
}


@dataclass(frozen=True, eq=False)
class Controls:
    """
    Control totals of one unit and quarter against the tables that were read.

    ``table``: `table, owner, rows_stated, rows_read, rows_difference, stated_cents, read_cents, difference_cents,
    status`; the status is ``agrees``, ``differs`` or ``not_examined`` (the table was not read, or has no days).
    ``checks``: `check, value_cents, threshold_cents, passed`; a difference of rows or cents fails.
    """

    table: pd.DataFrame
    quarter: str
    currency: str
    without_control: tuple[str, ...]

    @property
    def formats(self) -> dict[str, str]:
        """How the table is written: owners in their own words, money to the cent."""
        return {"owner": "text"} | {name: "money2" for name in COLUMNS if name.endswith("_cents")}

    @property
    def checks(self) -> pd.DataFrame:
        """Two checks: differences in rows (their number) and in cents, whatever their sign, over all tables."""
        rows = []
        for check, column in (("control_rows", "rows_difference"), ("control_amounts", "difference_cents")):
            known = self.table[column].dropna()
            rows.append((check, books.total(known.abs()) if len(known) else None, 0))
        units = pd.Series(["count", "money"], dtype="string")
        return books.checks_table(rows).assign(value_unit=units)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw by how much each table differs from its owner's sum."""
        shown = self.table[self.table["difference_cents"].notna().to_numpy(dtype=bool)]
        return plots.bars(
            shown,
            "table",
            "difference_cents",
            ax=ax,
            language=language,
            value_format="money2",
            currency=self.currency,
            title=text.translator(language)("Read less stated by the owner"),
        )

    def findings(self, language: str) -> list[str]:
        """Say which sources agree with their owners, which differ and by how much, and which nobody vouches for."""
        _ = text.translator(language)
        if self.table.empty:
            return [_("No control totals: no owner has said how many rows and what sum to expect.")]
        said = []
        agreed = self.table[(self.table["status"] == "agrees").to_numpy(dtype=bool)]
        if len(agreed):
            sentence = _("Read as their owners counted and summed them, to the row and to the cent: {tables}.")
            said.append(sentence.format(tables=_names(agreed["table"], language)))
        for row in self.table[(self.table["status"] == "differs").to_numpy(dtype=bool)].to_dict("records"):
            words = {
                "table": text.capitalised(text.label(row["table"], language)),
                "owner": row["owner"],
                "read": text.number(row["rows_read"], language),
                "stated": text.number(row["rows_stated"], language),
                "amount": text.money(row["difference_cents"], self.currency, language, decimals=2, signed=True),
            }
            sentence = _("{table}: rows read: {read}; counted by {owner}: {stated}.")
            if not text.is_missing(row["difference_cents"]):
                sentence = _(
                    "{table}: rows read: {read}; counted by {owner}: {stated}. What was read differs by {amount} from "
                    "what was stated."
                )
            said.append(sentence.format(**words))
        missing = self.table[(self.table["status"] == "not_examined").to_numpy(dtype=bool)]
        if len(missing):
            sentence = _("Control totals that could not be compared, because the table is not read here: {tables}.")
            said.append(sentence.format(tables=_names(missing["table"], language)))
        if self.without_control:
            sentence = _("Read without a control total by their owner: {tables}.")
            said.append(sentence.format(tables=_names(self.without_control, language)))
        return said


def _names(names, language: str) -> str:
    return ", ".join(text.label(name, language) for name in names)


def controls(
    given: Mapping[str, pd.DataFrame],
    control_totals: pd.DataFrame | None,
    quarter: str,
    currency: str,
    timezone: str = "UTC",
) -> Controls:
    """
    Compare count and sum of each table's rows of a quarter with what the table's owner states.

    A row belongs to the quarter of its `period`, `quarter`, `date` or `week_end`, or of the unit's calendar day of the
    moments in `MOMENTS`. What is summed is in `AMOUNTS`, as reported: currencies are not converted, as an owner of a
    source does not convert them either.

    Parameters
    ----------
    given : mapping
        Tables of one unit by name, as `kpitoolkit.tables.read` gives them; all quarters.
    control_totals : DataFrame or None
        ``table, quarter, rows, owner`` and optionally ``amount_cents``.
    quarter, currency, timezone : str

    Returns
    -------
    Controls

    Raises
    ------
    Faults
        Where the amounts of a table are too large in sum to be kept in whole cents.

    Examples
    --------
    >>> returns = pd.DataFrame({"date": pd.to_datetime(["2026-07-01", "2026-07-02"]), "amount_cents": [500, 700]})
    >>> stated = pd.DataFrame({"table": ["returns"], "quarter": ["2026Q3"], "rows": [2], "amount_cents": [1250],
    ...                        "owner": ["warehouse"]})
    >>> found = controls({"returns": returns}, stated, "2026Q3", "EUR")
    >>> found.table[["rows_difference", "difference_cents", "status"]].values.tolist()
    [[0, -50, 'differs']]
    >>> found.checks["passed"].tolist()
    [True, False]
    """
    stated = [] if control_totals is None else control_totals[control_totals["quarter"] == quarter].to_dict("records")
    rows, faults = [], []
    for line in sorted(stated, key=lambda record: record["table"]):
        name, count, amount = line["table"], int(line["rows"]), line.get("amount_cents")
        amount = None if text.is_missing(amount) else int(amount)
        read = _of_quarter(given[name], name, quarter, timezone) if name in given else None
        summed = None
        if read is not None and name in AMOUNTS and amount is not None:
            faults += books.too_large(read, name, [AMOUNTS[name]])
            summed = books.total(read[AMOUNTS[name]])
        more = None if read is None else len(read) - count
        apart = None if summed is None else summed - amount
        status = "not_examined" if read is None else "differs" if more or apart else "agrees"
        counted = None if read is None else len(read)
        rows.append((name, line["owner"], count, counted, more, amount, summed, apart, status))
    if faults:
        raise Faults(f"control totals, {quarter}", faults)
    controlled = {line["table"] for line in stated}
    without = sorted(name for name in given if name in AMOUNTS and name not in controlled) if stated else []
    return Controls(books.typed(rows, COLUMNS), quarter, currency, tuple(without))


def _of_quarter(frame: pd.DataFrame, name: str, quarter: str, timezone: str) -> pd.DataFrame | None:
    for column in ("period", "quarter"):
        if column in frame:
            return frame[(frame[column] == quarter).to_numpy(dtype=bool, na_value=False)]
    if name in MOMENTS:
        return frame[books.within(books.local_day(frame[MOMENTS[name]], timezone), quarter).to_numpy()]
    column = next((column for column in ("date", "week_end") if column in frame), None)
    return None if column is None else frame[books.within(frame[column], quarter).to_numpy()]
