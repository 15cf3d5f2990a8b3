"""What the sample company promised and left open, what the owners of its tables counted; and a falsified ledger."""

import numpy as np
import pandas as pd

from kpitoolkit.sample.audience import quarter_of_week
from kpitoolkit.sample.books import RETURNS, REVENUE_ACCOUNTS, SALES
from kpitoolkit.sample.marketing import FEES
from kpitoolkit.sample.spec import QUARTERS, UNITS, quarter_index

QUARTER, BEFORE = "2026Q3", "2026Q2"
# Unit, measure, owner, direction promised (0: as it came), share kept where the direction came true, day, and what was
# said of more and of less. Where the direction did not come true, the promise is broken.
PROMISES = (
    ("retail-it", "media_spend", "CMO", 0, 1.0, "2026-06-24", "Più spesa pubblicitaria", "Meno spesa pubblicitaria"),
    ("retail-it", "prospect_sessions", "CMO", 1, 0.5, "2026-06-24", "Più sessioni di potenziali clienti", ""),
    ("retail-it", "agency_fees", "CFO", -1, 1.0, "2026-06-26", "", "Meno compensi d'agenzia dopo la gara"),
    ("online-eu", "orders", "CMO", 1, 0.5, "2026-06-25", "Più ordini pagati con la nuova vetrina", ""),
    ("online-eu", "media_spend", "CMO", -1, 1.0, "2026-06-25", "", "Meno spesa pubblicitaria a parità d'ordini"),
    ("b2b", "leads_filled", "Vendite", 1, 0.5, "2026-06-29", "Più richieste di contatto dopo la fiera", ""),
    ("retail-uk", "orders", "CEO", 1, 1.0, "2026-06-30", "Più ordini pagati con i saldi d'estate", ""),
)  # fmt: skip
OWNERS = {
    "orders": "Commerciale", "platform_claims": "Marketing", "ledger": "Amministrazione", "invoices": "Amministrazione",
    "ad_spend": "Marketing", "returns": "Logistica",
}  # fmt: skip
COUNTED = {  # when a row counts, and what is summed
    "orders": ("time", "gross_cents"), "platform_claims": ("conversion_time", "value_cents"),
    "ledger": ("day", "amount_cents"), "invoices": ("day", "net_cents"), "ad_spend": ("day", "spend_cents"),
    "returns": ("day", "amount_cents"),
}  # fmt: skip


def control_totals(tables):
    """Rows and sums of the quarter by table and unit, as the owner of each table counted them when closing it."""
    rows = []
    for table, (when, cents) in COUNTED.items():
        frame = tables[table]
        inside = _in_quarter(frame[when], QUARTER)
        for unit in UNITS:
            mine = inside & (frame["unit"] == unit.key).to_numpy()
            rows.append(
                (table, unit.key, QUARTER, int(mine.sum()), int(frame[cents].to_numpy()[mine].sum()), OWNERS[table])
            )
    return pd.DataFrame(rows, columns=["table", "unit", "quarter", "rows", "amount_cents", "owner"])


def _in_quarter(days, quarter):
    return quarter_index(days.to_numpy().astype("datetime64[D]")) == QUARTERS.index(quarter)


def promises(tables):
    """Promised changes on the quarter before, and what came of them.

    Returns
    -------
    tuple of DataFrame
        Rows of `promises`, money in units of currency; and the truth: ``change`` is what came, ``kept`` its share of
        what was promised, ``outcome`` is ``kept``, ``half_kept`` or ``broken``.
    """
    said, true = [], []
    for number, (unit, measure, owner, direction, share, day, more, less) in enumerate(PROMISES, start=1):
        change = _measured(tables, unit, measure, QUARTER) - _measured(tables, unit, measure, BEFORE)
        came = direction in (0, np.sign(change))
        amount = _rounded_down(change * (0.97 if share == 1 else 1 / share)) if came else direction * abs(change) * 0.8
        amount = _rounded_down(amount) or float(direction or 1)
        kept = change / amount
        name = f"P{number:02d}"
        text = (more if amount > 0 else less) or more or less
        said.append((name, unit, QUARTER, measure, owner, amount, np.datetime64(day), text))
        outcome = "kept" if kept >= 1 else "half_kept" if kept > 0 else "broken"
        true.append((name, unit, measure, amount, round(change, 2), round(kept, 4), outcome))
    columns = ["promise_id", "unit", "quarter", "measure", "owner", "amount", "made_on", "text"]
    truth = ["promise_id", "unit", "measure", "amount", "change", "kept", "outcome"]
    return pd.DataFrame(said, columns=columns), pd.DataFrame(true, columns=truth)


def _rounded_down(amount):
    """An amount towards zero, to two digits."""
    step = 10 ** max(np.floor(np.log10(abs(amount))) - 1, 0) if amount else 1
    return float(np.trunc(amount / step) * step)


def _measured(tables, unit, measure, quarter):
    """A measure of a unit in a quarter; money in units of its currency."""
    table, days = {
        "media_spend": ("ad_spend", "day"),
        "agency_fees": ("ledger", "day"),
        "orders": ("orders", "time"),
        "leads_filled": ("leads", "created"),
        "prospect_sessions": ("web_sessions", "week_end"),
    }[measure]
    frame = tables[table]
    frame = frame[(frame["unit"] == unit).to_numpy()]
    if measure == "prospect_sessions":
        weeks = quarter_of_week(frame["week_end"].to_numpy().astype("datetime64[D]"))
        return float(frame["prospect_sessions"].to_numpy()[weeks == QUARTERS.index(quarter)].sum())
    frame = frame[_in_quarter(frame[days], quarter)]
    if measure == "media_spend":
        return (frame["spend_cents"] + frame["currency_cents"]).sum() / 100
    if measure == "agency_fees":
        return frame.loc[frame["account"] == FEES, "amount_cents"].sum() / 100
    return float(frame["paid"].sum() if measure == "orders" else len(frame))


def open_items(planted, spend_planted):
    """Items of the bridges that somebody has to settle, each with the amount of one of its rows.

    Parameters
    ----------
    planted, spend_planted : DataFrame
        ``unit, quarter, step, row_id, amount_cents``: the rows behind each step.
    """
    rows = []

    def item(bridge, unit, quarter, step, cause, owner, closed=None, largest=True):
        frame = planted if bridge == "claims" else spend_planted
        mine = frame[(frame["unit"] == unit) & (frame["quarter"] == quarter) & (frame["step"] == step)]
        mine = mine[mine["amount_cents"] != 0]
        if not len(mine):
            return
        size = mine["amount_cents"].abs().to_numpy()
        row = mine.iloc[int(np.argmax(size) if largest else np.argmin(size))]
        name = f"A{len(rows) + 1:02d}"
        rows.append(
            (name, unit, quarter, bridge, step, int(row["amount_cents"]), cause, owner, f"Riga {row['row_id']}", closed)
        )

    item(
        "claims",
        "retail-it",
        QUARTER,
        "unexplained",
        "Vendita registrata con importo diverso dagli ordini",
        "Amministrazione",
    )
    item(
        "spend",
        "retail-it",
        QUARTER,
        "billing_difference",
        "Fattura diversa da quanto riporta la piattaforma",
        "Acquisti media",
    )
    item(
        "spend",
        "retail-it",
        "2025Q4",
        "billing_difference",
        "Nota di credito della piattaforma ricevuta",
        "Acquisti media",
        "2026Q1",
    )
    item(
        "claims",
        "online-eu",
        "2026Q1",
        "unexplained",
        "Nota di credito registrata nel trimestre dopo",
        "Amministrazione",
        "2026Q2",
    )
    item(
        "claims",
        "retail-uk",
        QUARTER,
        "unexplained",
        "Resi registrati per importo sbagliato",
        "Amministrazione",
        largest=False,
    )
    item("spend", "b2b", "2026Q1", "billing_difference", "Contestazione aperta con la concessionaria", "Acquisti media")
    columns = ["item_id", "unit", "opened", "bridge", "step", "amount_cents", "cause", "owner", "evidence", "closed"]
    return pd.DataFrame(rows, columns=columns)


def tampered(ledger):
    """Falsify a few postings of the ledger, and say which.

    One amount of retail-it; two amounts of online-eu that cancel out; one posting of retail-uk in another period.

    Returns
    -------
    tuple of DataFrame
        The ledger, and ``line, unit, account, kind, period, period_after, amount_cents, amount_after_cents``.
    """
    false, rows = ledger.copy(), []

    def change(kind, unit, account, month, share=0.0, period=QUARTER):
        mine = (ledger["unit"] == unit) & (ledger["account"] == account)
        mine &= ledger["day"].to_numpy().astype("datetime64[M]") == np.datetime64(month)
        at = ledger.loc[mine, "amount_cents"].abs().idxmax()
        booked = (ledger["unit"] == unit) & (ledger["period"] == QUARTER) & ledger["account"].isin(REVENUE_ACCOUNTS)
        cents = round(ledger.loc[booked, "amount_cents"].sum() * share / 1_000) * 1_000
        before = ledger.loc[at]
        false.loc[at, "amount_cents"] = before["amount_cents"] + cents
        false.loc[at, "period"] = period
        after = (period, before["amount_cents"], before["amount_cents"] + cents)
        rows.append((before["line"], unit, account, kind, before["period"], *after))

    change("amount", "retail-it", SALES, "2026-08", share=0.01)
    change("offsetting", "online-eu", SALES, "2026-07", share=0.006)
    change("offsetting", "online-eu", RETURNS, "2026-07", share=-0.006)
    change("period", "retail-uk", SALES, "2026-09", period=BEFORE)
    columns = ["line", "unit", "account", "kind", "period", "period_after", "amount_cents", "amount_after_cents"]
    return false, pd.DataFrame(rows, columns=columns)
