"""From claimed to booked: every cent between what the platforms claim and what the ledger says, each with one cause."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults
from kpitoolkit.parameters import REVENUE_LINES, quarter_bounds
from kpitoolkit.reconciliation import grading, matching
from kpitoolkit.reconciliation import ledger as books

JOURNALS = ("returns_provision", "deferred", "intercompany", "manual_journals")
"""Lines that are taken from the ledger as they are: no other table tells them."""


@dataclass(frozen=True, eq=False)
class ClaimedToBooked:
    """The bridge from claimed to booked revenue of one unit and quarter.

    Attributes
    ----------
    table : DataFrame
        The bridge: ``position, step, kind, amount_cents, rows``; totals ``claimed``, ``matched_gross``,
        ``gross_orders``, ``computed_net``, ``booked``.
    rows : DataFrame
        One row a claim, by ``claim_id``: ``platform``, its one ``cause``, and ``value_cents`` + ``currency_cents`` +
        ``cause_cents`` + ``mismatch_cents`` = what the claim brings to the matched gross.
    overlap : DataFrame
        Platform by platform: orders claimed by both; on the diagonal, orders that the platform claims.
    unexplained : DataFrame
        Where the ledger and its sources differ: ``account, line, date, grain, expected_cents, booked_cents,
        difference_cents``. Sums to the unexplained step; its absolute values sum to the gross unexplained.
    checks : DataFrame
        ``check, value_cents, threshold_cents, passed``.
    unmapped : DataFrame
        Accounts of the quarter's postings that stand in no line of the chart: ``account, rows, absolute_cents``.
    orders_at_own_day, untimed_claims : int
        Paid orders without recognition date, taken at their own day; claims without touch time, taken as inside the
        look-back.
    platform_grades : DataFrame
        ``platform, grade, claims, with_order_id`` (share of its claims), ``claimed_cents`` (converted),
        ``matched_cents`` (of grade B: at most).
    grade : str
        Of the bridge, the lowest of its platforms': ``A`` order by order; ``B`` day and channel; ``C`` totals; empty
        where claims were not examined.
    foreign_claims : int
        Claims that name an order which is not this unit's.
    returns_without_order : tuple of int
        Returns of the quarter whose order is not in ``orders``: rows, cents.
    no_export : bool
        Whether claims are declared and no row of the unit arrived: not examined, and never a claim of nothing.
    """

    quarter: str
    currency: str
    table: pd.DataFrame
    rows: pd.DataFrame
    overlap: pd.DataFrame
    unexplained: pd.DataFrame
    checks: pd.DataFrame
    unmapped: pd.DataFrame
    orders_at_own_day: int
    untimed_claims: int
    platform_grades: pd.DataFrame
    grade: str
    foreign_claims: int
    returns_without_order: tuple[int, int]
    no_export: bool
    materiality_cents: int | None
    performance_cents: int | None
    trivial_cents: int | None

    @property
    def passed(self) -> bool:
        """Whether every check was made and passed; otherwise the quarter is not ready for sign-off."""
        return bool(self.checks["passed"].fillna(False).all())

    @property
    def grades(self) -> pd.DataFrame:
        """The grade as a table, `subject, grade`; without rows where claims were not examined."""
        return pd.DataFrame({"subject": ["claimed"], "grade": [self.grade]}).query("grade != ''")

    def amount(self, step: str) -> int | None:
        """Return the cents of one line of the bridge; None where it was not examined."""
        return books.amount(self.table, step)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the bridge as a waterfall."""
        return plots.waterfall(self.table, ax=ax, language=language, currency=self.currency)

    def findings(self, language: str) -> list[str]:
        """Return what a CEO should know of it, in sentences with their figures."""
        return [
            *_claim_findings(self, language),
            *_order_findings(self, language),
            *grading.findings(self.platform_grades, self.currency, language),
            *_stray_findings(self, language),
            *_default_findings(self, language),
            *_unmapped_findings(self, language),
            *books.findings(self, "booked", language),
        ]

    def overlap_caption(self, language: str) -> str:
        """Return what the overlap shows, to be printed above it."""
        _ = text.translator(language)
        return _("How many orders each pair of platforms both claim; on the diagonal, how many each claims at all.")

    def basis(self, language: str) -> str:
        """Return the one value basis and date rule of the bridge, to be printed on it."""
        _ = text.translator(language)
        return _(
            "Basis: order value with VAT before discounts, in {currency} at the quarter's average rate. Claims by day "
            "of conversion, orders by day of order, returns by day of return, ledger by period."
        ).format(currency=text.currency_sign(self.currency))


def claimed_to_booked(
    claims: pd.DataFrame | None,
    orders: pd.DataFrame | None,
    returns: pd.DataFrame | None,
    ledger: pd.DataFrame | None,
    fx_rates: pd.DataFrame | None,
    accounts: Mapping[str, object],
    quarter: str,
    currency: str,
    lookback_days: int = 30,
    materiality_share: float = 0.005,
    performance_share: float = 0.75,
    trivial_share: float = 0.05,
    group_currency: str = "EUR",
    timezone: str = "UTC",
) -> ClaimedToBooked:
    """Lead what the platforms claim over to what the ledger booked, to the cent.

    Each claim of the quarter gets one cause. Eligible is a claim with an order of the unit, touched at most
    `lookback_days` before the conversion, by a click. Of the eligible claims on an order one is credited: the shortest
    lag, then platform, then claim id; the others are duplicates, within their platform where it has a better claim on
    the order, else across platforms. A credited claim whose order was placed in another quarter goes out whole; the
    rest is corrected to the order's gross value. A claim whose touch time is empty counts as inside the look-back and
    yields to claims with a known lag. Order of the result does not depend on the order of rows.

    ``net = gross - vat - shipping - discount``; an order without ``recognition_date`` is recognised on its own day.
    Net revenue of an order is booked when it is recognised, without the supplier's share. A table that is None is not
    examined, nor are claims without any row, and the steps that need it are listed as such.

    Parameters
    ----------
    claims, orders, returns, ledger, fx_rates : DataFrame or None
        Tables of one unit, as `kpitoolkit.tables.read` gives them; all quarters.
    accounts : mapping
        Ledger accounts by line (docs/architecture.md).
    quarter : str
        Such as ``2026Q3``.
    currency : str
        The unit's.
    lookback_days : int
        Days between touch and conversion within which a claim is eligible.
    materiality_share, performance_share, trivial_share : float
        Shares of booked revenue, of materiality, of materiality.
    group_currency : str
        The currency in which `fx_rates` are stated; its own rate is 1.
    timezone : str
        Of the unit's calendar days.

    Returns
    -------
    ClaimedToBooked

    Raises
    ------
    Faults
        With everything that makes an amount unusable: currencies without rate, negative values, touches after their
        conversion, ids that stand twice, orders, returns or ledger lines in another currency than the unit's.

    Examples
    --------
    >>> day = pd.Timestamp("2026-07-10")
    >>> claims = pd.DataFrame({"claim_id": ["c1", "c2"], "platform": ["p", "q"], "order_id": ["o1", "o1"],
    ...     "touch_time": [day - pd.Timedelta(days=2), day - pd.Timedelta(days=1)], "conversion_time": [day, day],
    ...     "kind": ["click", "click"], "value_cents": [12200, 12200], "currency": ["EUR", "EUR"]})
    >>> orders = pd.DataFrame({"order_id": ["o1"], "time": [day], "gross_cents": [12200], "vat_cents": [2200],
    ...     "shipping_cents": [0], "discount_cents": [0], "supplier_share_cents": [0], "currency": ["EUR"],
    ...     "status": ["paid"], "recognition_date": [day]})
    >>> result = claimed_to_booked(claims, orders, None, None, None, {}, "2026Q3", "EUR")
    >>> result.rows["cause"].to_dict()
    {'c1': 'duplicate_across_platforms', 'c2': 'matched'}
    >>> [result.amount(step) for step in ("claimed", "matched_gross", "gross_orders", "computed_net", "booked")]
    [24400, 12200, 12200, 10000, None]
    """
    no_export = claims is not None and claims.empty
    claims = None if no_export else claims
    claims, orders, into, faults = matching.readied(
        claims, orders, fx_rates, quarter, currency, group_currency, timezone
    )
    for name, frame, column in (("returns", returns, "amount_cents"), ("ledger", ledger, "amount_cents")):
        if frame is not None:
            faults += books.missing_money(frame, name, [column]) + books.too_large(frame, name, [column])
            faults += books.other_currencies(frame, name, currency)
    if faults:
        raise Faults(f"claimed to booked, {quarter}", faults)

    rows, silent, by_day, timed = matching.causes(claims, orders, into, quarter, lookback_days)
    entries = None if ledger is None else books.booked_lines(ledger, accounts, REVENUE_LINES, quarter)
    lines, parts, expected = _order_steps(orders, returns, entries, accounts, quarter)
    lines = [*matching.claim_lines(rows, orders, silent, by_day, timed, quarter), *lines]
    table = books.bridge_table(lines)
    unexplained = books.locate(expected, entries, accounts, quarter, books.amount(table, "unexplained"))
    booked = books.amount(table, "booked")
    materiality = books.share_of(booked, materiality_share)
    performance = books.share_of(materiality, performance_share)
    again = _again(rows, claims, orders, parts, ledger, accounts, quarter)
    tested = books.checks(table, unexplained, again, materiality, performance)
    none = pd.DataFrame(columns=["account", "rows", "absolute_cents"])
    unmapped = none if ledger is None else books.unmapped(ledger, accounts, quarter)
    outside = None if ledger is None else books.total(unmapped["absolute_cents"])
    tested = pd.concat([tested, books.checks_table([("unmapped_accounts", outside, 0)])], ignore_index=True)
    return ClaimedToBooked(
        quarter=quarter,
        currency=currency,
        table=table,
        rows=matching.by_id(rows),
        overlap=matching.overlap(rows, orders, silent),
        unexplained=unexplained,
        checks=tested,
        unmapped=unmapped,
        orders_at_own_day=matching.taken_at_own_day(orders, quarter),
        untimed_claims=matching.untimed(rows, timed),
        platform_grades=grading.platform_grades(rows, silent, by_day),
        grade="" if rows is None else "C" if set(silent) - set(by_day) else "B" if silent else "A",
        foreign_claims=matching.foreign(rows, orders),
        returns_without_order=_without_order(returns, orders, quarter),
        no_export=no_export,
        materiality_cents=materiality,
        performance_cents=performance,
        trivial_cents=books.share_of(materiality, trivial_share),
    )


def _claim_findings(result: ClaimedToBooked, language: str) -> list[str]:
    _ = text.translator(language)
    said, claimed, matched = [], books.as_converted(result.table, "claimed"), result.amount("matched_gross")
    if result.no_export:
        sentence = _(
            "No platform's export of this unit arrived: its claims are declared without a row. What platforms claim is "
            "not examined, and not taken as nothing."
        )
        said.append(sentence)
    if claimed is not None and matched is not None:
        sentence = _("The platforms claim {claimed}; the matched orders are worth {matched} ({share}).")
        share = matched / claimed if claimed else None
        said.append(
            sentence.format(
                claimed=text.money(claimed, result.currency, language),
                matched=text.money(matched, result.currency, language),
                share=text.percent(share, language),
            )
        )
        said += _face_value(result, language)
        last = int(result.table.loc[(result.table["step"] == "matched_gross"), "position"].iloc[0])
        steps = result.table[(result.table["kind"] == "step") & (result.table["position"] < last)]
        steps = steps[(steps["step"] != "currency").to_numpy(dtype=bool)]
        if (steps["amount_cents"] != 0).any():
            largest = steps.loc[steps["amount_cents"].abs().idxmax()]
            moved = text.money(largest["amount_cents"], result.currency, language, signed=True)
            sentence = _("The largest cause of the difference is: {step}, {amount}.")
            said.append(sentence.format(step=text.label(largest["step"], language), amount=moved))
    return said


def _stray_findings(result: ClaimedToBooked, language: str) -> list[str]:
    said = []
    if result.foreign_claims:
        said.append(
            text.plural(
                language,
                "{n} claim names an order that is not in this unit's orders: another shop's, or a wrong id.",
                "{n} claims name an order that is not in this unit's orders: another shop's, or a wrong id.",
                result.foreign_claims,
            )
        )
    count, cents = result.returns_without_order
    if count:
        said.append(
            text.plural(
                language,
                "{n} return of {amount} belongs to no order that was read: older than the orders, or a wrong id.",
                "{n} returns of {amount} belong to no order that was read: older than the orders, or wrong ids.",
                count,
                amount=text.money(cents, result.currency, language, decimals=2),
            )
        )
    return said


def _without_order(returns, orders, quarter) -> tuple[int, int]:
    if returns is None or orders is None or "order_id" not in returns:
        return 0, 0
    back = returns[books.within(returns["date"], quarter)]
    lost = back.loc[~back["order_id"].isin(orders["order_id"]).to_numpy(dtype=bool), "amount_cents"]
    return len(lost), books.total(lost)


def _face_value(result: ClaimedToBooked, language: str) -> list[str]:
    _ = text.translator(language)
    reported, moved = result.amount("claimed"), result.amount("currency")
    if not moved:
        return []
    sentence = _(
        "Summed as reported, without converting currencies, the claims come to {reported}: {difference} from the face "
        "value of foreign currencies alone."
    )
    difference = text.money(-moved, result.currency, language, signed=True)
    return [sentence.format(reported=text.money(reported, result.currency, language), difference=difference)]


def _default_findings(result: ClaimedToBooked, language: str) -> list[str]:
    said = []
    if result.orders_at_own_day:
        said.append(
            text.plural(
                language,
                "{n} paid order has no recognition date and is taken as recognised on its own day.",
                "{n} paid orders have no recognition date and are taken as recognised on their own day.",
                result.orders_at_own_day,
            )
        )
    if result.untimed_claims:
        said.append(
            text.plural(
                language,
                "{n} claim has no touch time and counts as inside the look-back.",
                "{n} claims have no touch time and count as inside the look-back.",
                result.untimed_claims,
            )
        )
    return said


def _unmapped_findings(result: ClaimedToBooked, language: str, most: int = 5) -> list[str]:
    _ = text.translator(language)
    if not books.total(result.unmapped["absolute_cents"]):
        return []
    sentence = _(
        "Accounts in no line of the chart have {postings} postings of this quarter, {amount} whatever their sign, "
        "which no figure counts: {names}. Add them to accounts or to other_accounts."
    )
    names = [account or text.no_figure(language) for account in result.unmapped["account"]]
    named = ", ".join([*names[:most], *["…"] * (len(names) > most)])
    amount = text.money(books.total(result.unmapped["absolute_cents"]), result.currency, language)
    return [sentence.format(postings=text.number(result.unmapped["rows"].sum(), language), amount=amount, names=named)]


def _order_findings(result: ClaimedToBooked, language: str) -> list[str]:
    _ = text.translator(language)
    unclaimed, gross = result.amount("unclaimed"), result.amount("gross_orders")
    if not unclaimed or not gross:
        return []
    sentence = _(
        "Orders worth {amount} ({share} of gross orders) are claimed by no platform; that is not what would have been "
        "sold without advertising."
    )
    amount = text.money(unclaimed, result.currency, language)
    return [sentence.format(amount=amount, share=text.percent(unclaimed / gross, language))]


def _order_steps(orders, returns, entries, accounts, quarter):
    """Return the lines from gross orders to the ledger, their parts, and what each account should show."""
    last = quarter_bounds(quarter)[1]
    part = {step: None for step in ("gross", "vat", "shipping", "discounts", "cancellations", "principal_agent")}
    part |= {step: None for step in ("cut_off_out", "cut_off_in", "returns")}
    expected = {line: None for line in ("sales", "returns", "cut_off", "principal_agent")}
    placed = None
    if orders is not None:
        own = books.within(orders["day"], quarter)
        paid = orders["status"] == "paid"
        placed, sold = orders[own], orders[own & paid]
        part["gross"] = books.total(placed["gross_cents"])
        for step, column in (("vat", "vat_cents"), ("shipping", "shipping_cents"), ("discounts", "discount_cents")):
            part[step] = -books.total(placed[column])
        part["cancellations"] = -books.total(orders.loc[own & ~paid, "net_cents"])
        part["principal_agent"] = -books.total(sold["supplier_share_cents"])
        expected["sales"] = _dated(sold["day"], sold["net_cents"])
        expected["principal_agent"] = _dated(sold["day"], -sold["supplier_share_cents"])
        if matching.recognition_known(orders):
            recognised = books.within(orders["recognised"], quarter)
            own_share = orders["net_cents"] - orders["supplier_share_cents"]
            later, earlier = own_share[own & paid & ~recognised], own_share[paid & recognised & ~own]
            part["cut_off_out"], part["cut_off_in"] = -books.total(later), books.total(earlier)
            days = pd.Series(last, later.index, orders["recognised"].dtype)
            dates = pd.concat([days, orders.loc[earlier.index, "recognised"]])
            expected["cut_off"] = _dated(dates, pd.concat([-later, earlier]))
    if returns is not None:
        back = returns[books.within(returns["date"], quarter)]
        part["returns"] = -books.total(back["amount_cents"])
        expected["returns"] = _dated(back["date"], -back["amount_cents"])
    part |= {line: books.on_line(entries, line, accounts) for line in JOURNALS}
    order = [
        "vat",
        "shipping",
        "discounts",
        "cancellations",
        "returns",
        "returns_provision",
        "cut_off_out",
        "cut_off_in",
    ]
    order += ["deferred", "principal_agent", "intercompany", "manual_journals"]
    booked = None if entries is None else books.total(entries["amount_cents"])
    gross = ("total", "gross_orders", part["gross"], None if placed is None else len(placed))
    ends = ("total", "computed_net", None if orders is None else 0, None)
    ends = [ends, ("unexplained", "unexplained", booked, None), ("total", "booked", booked, None)]
    return [gross, *(("step", step, part[step], None) for step in order), *ends], part, expected


def _dated(dates: pd.Series, cents: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"date": dates, "cents": cents.astype("Int64")})


def _again(rows, claims, orders, parts, ledger, accounts, quarter) -> dict[str, int | None]:
    """Compute each subtotal a second time, from the tables and not from the steps."""
    again = {"claimed": None, "matched_gross": None, "gross_orders": None, "computed_net": None, "booked": None}
    if claims is not None:
        again["claimed"] = int(claims["value_cents"].fillna(0).to_numpy(dtype=np.int64).sum())
    if orders is not None:
        own = books.within(orders["day"], quarter)
        again["gross_orders"] = books.total(orders.groupby(own)["gross_cents"].sum().reindex([True], fill_value=0))
        if rows is not None:
            credited = rows.loc[rows["cause"].isin(["matched", "value_mismatch"]).to_numpy(dtype=bool), "order_id"]
            places = pd.Index(orders["order_id"]).get_indexer(credited.unique())
            again["matched_gross"] = books.total(orders["gross_cents"].iloc[places])
            by_day = rows[(rows["cause"] == "matched_by_day").to_numpy(dtype=bool)]
            if len(by_day):
                left = own.to_numpy(dtype=bool).copy()
                left[places] = False
                again["matched_gross"] += grading.matched_by_day_again(by_day, orders[left])
        if matching.recognition_known(orders):
            kept = orders[(orders["status"] == "paid") & books.within(orders["recognised"], quarter)]
            revenue = books.total(kept["net_cents"]) - books.total(kept["supplier_share_cents"])
            journals = [
                parts[line] or 0 for line in ("returns_provision", "deferred", "intercompany", "manual_journals")
            ]
            again["computed_net"] = revenue + (parts["returns"] or 0) + sum(journals)
    if ledger is not None:
        again["booked"] = books.booked_again(ledger, accounts, REVENUE_LINES, quarter)
    return again
