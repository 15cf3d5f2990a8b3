"""The sample company's marketing invoices and cost ledger, and the planted bridge from platform spend to it."""

import numpy as np
import pandas as pd

from kpitoolkit._sample_books import MONTHS
from kpitoolkit._sample_orders import identifiers
from kpitoolkit._sample_spec import (
    BRIDGED,
    FIRST_DAY,
    LAST_DAY,
    QUARTERS,
    generator,
    half_even,
    quarter_end,
    quarter_index,
)

MEDIA, FEES, REBATES, ACCRUALS = "6100", "6110", "6120", "6190"
ACCOUNT = {"media": MEDIA, "fee": FEES, "rebate": REBATES}
FEE_PERCENT = {"search": 6, "social": 7, "display": 8, "tv": 3, "affiliates": 0}
REBATE_PERCENT = {"search": 0, "social": 2, "display": 3, "tv": 4, "affiliates": 0}
TEXT = {"media": "Spazi pubblicitari", "fee": "Compenso agenzia", "rebate": "Premio di fine trimestre"}
# Wrong postings of invoices: (unit, platform, kind, service month, cents too many).
WRONG = (("online-eu", "social", "media", "2026-07", 18_750), ("online-eu", "search", "fee", "2026-07", -6_250))


def build(unit, spend, book, seed, scale):
    """Invoices of one unit; its marketing and overhead postings go into the book.

    Returns
    -------
    invoices : DataFrame
    rows : list of (unit, quarter, step, amount_cents)
        The bridge from platform spend to the marketing accounts, summed from the planted rows.
    """
    rng = generator(seed, unit, "marketing")
    invoices = _invoices(unit, spend, rng)
    invoices = invoices.sort_values(["day", "service", "platform", "kind"], kind="stable", ignore_index=True)
    invoices.insert(0, "invoice_id", identifiers(f"{unit.prefix}-FT-", np.arange(1, len(invoices) + 1), 5))
    booked, wrong = _post(unit, invoices, book)
    accruals = _accruals(unit, spend, invoices, book)
    _overheads(unit, book, rng, scale)
    return invoices, _totals(unit, spend, invoices, accruals, booked, wrong)


def _invoices(unit, spend, rng):
    frames = []
    for channel in unit.channels:
        mine = spend[spend["platform"] == channel.name]
        month = mine["day"].to_numpy().astype("datetime64[M]")
        net = np.zeros(len(MONTHS), dtype=np.int64)
        np.add.at(net, (month - MONTHS[0]).astype(np.int64), mine["net_cents"].to_numpy())
        off = np.rint(net * rng.normal(0.001, 0.006, len(net))).astype(np.int64)
        media = net + np.where(rng.random(len(net)) < 0.35, 0, off)
        service = MONTHS
        if channel.prepaid:  # next quarter's first month is already bought
            media = np.append(media, half_even(net[-12:].sum(), 1200) * 100)
            service = np.append(MONTHS, np.datetime64("2026-10", "M"))
        due = (
            (service - 1).astype("datetime64[D]") + 19 if channel.prepaid else (service + 1).astype("datetime64[D]") + 4
        )
        frames.append(_frame(channel.name, "media", service, due, media))
        fee = half_even(media[: len(MONTHS)] * FEE_PERCENT[channel.name], 100)
        frames.append(_frame(channel.name, "fee", MONTHS, (MONTHS + 1).astype("datetime64[D]") + 4, fee))
        by_quarter = media[: len(MONTHS)].reshape(-1, 3).sum(axis=1)
        rebate = -half_even(by_quarter * REBATE_PERCENT[channel.name], 100)
        last = MONTHS[2::3]
        frames.append(_frame(channel.name, "rebate", last, (last + 1).astype("datetime64[D]") + 19, rebate))
    invoices = pd.concat(frames, ignore_index=True)
    invoices = invoices[invoices["net_cents"] != 0]
    sign = np.sign(invoices["net_cents"])
    vat = sign * half_even(invoices["net_cents"].abs().to_numpy() * unit.vat_percent, 100)
    return invoices.assign(unit=unit.key, vat_cents=vat, currency=unit.currency)


def _frame(platform, kind, service, day, net):
    return pd.DataFrame(
        {"platform": platform, "kind": kind, "service": service.astype("datetime64[D]"), "day": day, "net_cents": net}
    )


def _post(unit, invoices, book):
    """One posting an invoice, at its date; a few with the wrong amount. Returns the booked rows' sums by quarter."""
    booked = invoices["net_cents"].to_numpy().copy()
    wrong = []
    for key, platform, kind, month, cents in WRONG:
        if key == unit.key:
            hit = (invoices["platform"] == platform) & (invoices["kind"] == kind)
            at = np.flatnonzero(hit & (invoices["service"] == np.datetime64(month, "D")))[0]
            booked[at] += cents
            wrong.append((invoices["day"].to_numpy()[at], invoices["invoice_id"].iloc[at], cents))
    for kind, account in ACCOUNT.items():
        mine = (invoices["kind"] == kind).to_numpy()
        text = TEXT[kind] + " " + invoices["platform"][mine] + ", fattura " + invoices["invoice_id"][mine]
        book.post(invoices["day"].to_numpy()[mine], booked[mine], account, text.to_numpy())
    return booked, wrong


def _accruals(unit, spend, invoices, book):
    """Services not yet invoiced, estimated from the platforms' reports to the euro; what is prepaid; both reversed."""
    day = invoices["day"].to_numpy().astype("datetime64[D]")
    service = invoices["service"].to_numpy().astype("datetime64[D]")
    net = invoices["net_cents"].to_numpy()
    estimate = np.where(invoices["kind"] == "rebate", net, half_even(net, 100) * 100)
    estimate = np.rint(estimate / 10_000).astype(np.int64) * 10_000 if unit.key == "b2b" else estimate
    moves = np.zeros(len(QUARTERS) + 1, dtype=np.int64)
    for quarter in range(len(QUARTERS)):
        end = quarter_end(quarter)
        open_services = estimate[(service <= end) & (day > end)].sum()
        prepaid = net[(service > end) & (day <= end) & (day >= FIRST_DAY)].sum()
        for cents, text in ((open_services, "Fatture da ricevere"), (-prepaid, "Risconto attivo spazi pubblicitari")):
            book.post(end, cents, ACCRUALS, text)
            book.post(end + 1, -cents, ACCRUALS, f"Storno: {text.lower()}")
            moves[quarter] += cents
            moves[quarter + 1] -= cents
    return moves


def _overheads(unit, book, rng, scale):
    ends = (MONTHS + 1).astype("datetime64[D]") - 1
    years = (ends - LAST_DAY).astype(np.int64) / 365.25
    for account, cents, text in (
        ("6200", unit.salaries_month_cents, "Stipendi acquisizione clienti"),
        ("6210", unit.tools_month_cents, "Strumenti e licenze"),
        ("7000", unit.opex_share * unit.weekly_revenue_cents * 52.18 / 12, "Spese di struttura"),
    ):
        level = cents * scale * 1.03**years * np.exp(rng.normal(0, 0.01, len(ends)))
        book.post(ends, np.rint(level).astype(np.int64), account, text)


def _totals(unit, spend, invoices, accruals, booked, wrong):
    spent = quarter_index(spend["day"].to_numpy().astype("datetime64[D]"))
    served = quarter_index(invoices["service"].to_numpy().astype("datetime64[D]"))
    dated = quarter_index(invoices["day"].to_numpy().astype("datetime64[D]"))
    kind, net = invoices["kind"].to_numpy(), invoices["net_cents"].to_numpy()
    rows = []
    for name in BRIDGED:
        quarter = QUARTERS.index(name)
        mine, services = spend[spent == quarter], served == quarter
        steps = {
            "platform_spend": mine["spend_cents"].sum(),
            "currency": mine["currency_cents"].sum(),
            "vat": -mine["vat_cents"].sum(),
            "billing_difference": net[services & (kind == "media")].sum() - mine["net_cents"].sum(),
            "agency_fees": net[services & (kind == "fee")].sum(),
            "rebates": net[services & (kind == "rebate")].sum(),
            "invoice_timing": net[(dated == quarter) & ~services].sum() - net[services & (dated != quarter)].sum(),
            "accruals": accruals[quarter],
        }
        steps["computed_marketing_cost"] = sum(steps.values())
        found = [cents for day, _, cents in wrong if quarter_index(np.array([day], "datetime64[D]"))[0] == quarter]
        steps["unexplained"] = sum(found)
        steps["ledger_marketing"] = steps["computed_marketing_cost"] + steps["unexplained"]
        rows += [(unit.key, name, step, int(cents)) for step, cents in steps.items()]
    return rows
