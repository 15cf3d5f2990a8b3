"""The sample company's marketing invoices and cost ledger, and the planted bridge from platform spend to it."""

import numpy as np
import pandas as pd

from kpitoolkit.sample.books import MONTHS, Book
from kpitoolkit.sample.orders import identifiers
from kpitoolkit.sample.spec import (
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
STEPS = ("currency", "vat", "billing_difference", "agency_fees", "rebates", "invoice_timing", "accruals")
# Wrong postings of invoices: (unit, platform, kind, service month, cents too many).
WRONG = (("online-eu", "social", "media", "2026-07", 18_750), ("online-eu", "search", "fee", "2026-07", -6_250))


def build(unit, spend, book, seed, scale):
    """Invoices of one unit; its marketing and overhead postings go into the book.

    Returns
    -------
    invoices : DataFrame
    planted : Book
        Holds no postings: the rows of the bridge from platform spend to the marketing accounts.
    """
    rng = generator(seed, unit, "marketing")
    invoices = _invoices(unit, spend, rng)
    invoices = invoices.sort_values(["day", "service", "platform", "kind"], kind="stable", ignore_index=True)
    invoices.insert(0, "invoice_id", identifiers(f"{unit.prefix}-FT-", np.arange(1, len(invoices) + 1), 5))
    planted = Book(unit.key, unit.currency)
    _post(unit, invoices, book, planted)
    _accruals(unit, invoices, book, planted)
    _plant(spend, invoices, planted)
    _overheads(unit, book, rng, scale)
    return invoices, planted


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


def _post(unit, invoices, book, planted):
    """One posting an invoice, at its date; a few with the wrong amount."""
    booked = invoices["net_cents"].to_numpy().copy()
    for key, platform, kind, month, cents in WRONG:
        if key == unit.key:
            hit = (invoices["platform"] == platform) & (invoices["kind"] == kind)
            at = np.flatnonzero(hit & (invoices["service"] == np.datetime64(month, "D")))
            booked[at] += cents
            planted.plant_rows(
                _quarters(invoices["day"])[at], "unexplained", _ids(invoices)[at], np.full(len(at), cents)
            )
    for kind, account in ACCOUNT.items():
        mine = (invoices["kind"] == kind).to_numpy()
        text = TEXT[kind] + " " + invoices["platform"][mine] + ", fattura " + invoices["invoice_id"][mine]
        book.post(invoices["day"].to_numpy()[mine], booked[mine], account, text.to_numpy())


def _accruals(unit, invoices, book, planted):
    """Services not yet invoiced, estimated to the euro (in b2b to the hundred); what is prepaid; both reversed."""
    day = invoices["day"].to_numpy().astype("datetime64[D]")
    service = invoices["service"].to_numpy().astype("datetime64[D]")
    net = invoices["net_cents"].to_numpy()
    step = 10_000 if unit.orders_a_week else 100
    estimate = half_even(net, step) * step
    ends = quarter_end(np.arange(len(QUARTERS)))
    later = day[None, :] > ends[:, None]
    beyond = (service[None, :] > ends[:, None]) & (day >= FIRST_DAY)
    waiting = np.where(later & (service[None, :] <= ends[:, None]), estimate, 0).sum(axis=1)
    prepaid = np.where(beyond & ~later, net, 0).sum(axis=1)
    for cents, text in ((waiting, "Fatture da ricevere"), (-prepaid, "Risconto attivo spazi pubblicitari")):
        for days, amounts, said in ((ends, cents, text), (ends + 1, -cents, f"Storno: {text.lower()}")):
            tags = np.array([f"{ACCRUALS}/{said}/{when}" for when in days], dtype=object)
            booked = (amounts != 0) & (days <= LAST_DAY)
            book.post(days, amounts, ACCRUALS, said, tags)
            planted.plant_rows(quarter_index(days)[booked], "accruals", tags[booked], amounts[booked])


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


def _plant(spend, invoices, planted):
    """The rows behind each step from platform spend to invoices; accruals and errors are planted as they are posted."""
    quarters = _quarters(spend["day"])
    days = spend["day"].to_numpy().astype("datetime64[D]").astype(str).astype(object)
    names = (days + "/" + spend["platform"] + "/" + spend["campaign"]).to_numpy()
    for step, cents in (("currency", spend["currency_cents"]), ("vat", -spend["vat_cents"])):
        rows = np.flatnonzero(cents)
        planted.plant_rows(quarters[rows], step, names[rows], cents.to_numpy()[rows])
    served, dated = _quarters(invoices["service"]), _quarters(invoices["day"])
    kind, net, ids = invoices["kind"].to_numpy(), invoices["net_cents"].to_numpy(), _ids(invoices)
    month = pd.Series(spend["day"].to_numpy().astype("datetime64[M]").astype("datetime64[D]"), spend.index)
    reported = spend["net_cents"].groupby([spend["platform"], month]).sum()
    media = np.flatnonzero(kind == "media")
    keys = pd.MultiIndex.from_arrays([invoices["platform"].iloc[media], invoices["service"].iloc[media]])
    planted.plant_rows(
        served[media],
        "billing_difference",
        ids[media],
        net[media] - reported.reindex(keys).fillna(0).to_numpy(np.int64),
    )
    for step, name in (("agency_fees", "fee"), ("rebates", "rebate")):
        mine = kind == name
        planted.plant_rows(served[mine], step, ids[mine], net[mine])
    moved = dated != served
    planted.plant_rows(served[moved], "invoice_timing", ids[moved], -net[moved])
    planted.plant_rows(dated[moved], "invoice_timing", ids[moved], net[moved])


def totals(unit, spend, planted):
    """The bridge from platform spend to the ledger, summed from planted rows: unit, quarter, step, amount_cents."""
    sums = pd.DataFrame(planted.planted, columns=["unit", "quarter", "step", "row_id", "amount_cents"])
    sums = sums.groupby(["quarter", "step"])["amount_cents"].sum()
    quarters, rows = _quarters(spend["day"]), []
    for name in BRIDGED:
        steps = {"platform_spend": int(spend["spend_cents"].to_numpy()[quarters == QUARTERS.index(name)].sum())}
        steps |= {step: int(sums.get((name, step), 0)) for step in STEPS}
        steps["computed_marketing_cost"] = sum(steps.values())
        steps["unexplained"] = int(sums.get((name, "unexplained"), 0))
        steps["ledger_marketing"] = steps["computed_marketing_cost"] + steps["unexplained"]
        rows += [(unit.key, name, step, cents) for step, cents in steps.items()]
    return rows


def _quarters(days):
    return quarter_index(days.to_numpy().astype("datetime64[D]"))


def _ids(invoices):
    return invoices["invoice_id"].to_numpy()
