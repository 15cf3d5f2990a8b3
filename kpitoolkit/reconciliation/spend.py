"""From the platforms' spend to the ledger's marketing cost: every cent of the difference, each step with its source."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.money import exact_rate
from kpitoolkit.parameters import MARKETING_LINES, quarter_bounds
from kpitoolkit.reconciliation import ledger as books

PLATFORM_COLUMNS = [
    "platform",
    "spend_cents",
    "currency_cents",
    "vat_cents",
    "invoiced_cents",
    "billing_difference_cents",
]


@dataclass(frozen=True, eq=False)
class SpendToLedger:
    """The bridge from platform spend to booked marketing cost of one unit and quarter.

    Attributes
    ----------
    table : DataFrame
        The bridge: ``position, step, kind, amount_cents, rows``; totals ``platform_spend``, ``invoiced_services``,
        ``dated_invoices``, ``computed_cost``, ``booked_cost``.
    platforms : DataFrame
        One row a platform: ``platform, spend_cents, currency_cents, vat_cents, invoiced_cents,
        billing_difference_cents``; spend + currency + vat + billing difference = invoiced.
    unexplained, checks : DataFrame
        As in `kpitoolkit.reconciliation.claims.ClaimedToBooked`.
    """

    quarter: str
    currency: str
    table: pd.DataFrame
    platforms: pd.DataFrame
    unexplained: pd.DataFrame
    checks: pd.DataFrame
    materiality_cents: int | None
    performance_cents: int | None
    trivial_cents: int | None

    @property
    def passed(self) -> bool:
        """Whether every check was made and passed; otherwise the quarter is not ready for sign-off."""
        return bool(self.checks["passed"].fillna(False).all())

    def amount(self, step: str) -> int | None:
        """Return the cents of one line of the bridge; None where it was not examined."""
        return books.amount(self.table, step)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the bridge as a waterfall."""
        return plots.waterfall(self.table, ax=ax, language=language, currency=self.currency)

    def findings(self, language: str) -> list[str]:
        """Return what a CFO should know of it, in sentences with their figures."""
        return [*_spend_findings(self, language), *books.findings(self, "booked_cost", language)]


def spend_to_ledger(
    ad_spend: pd.DataFrame | None,
    invoices: pd.DataFrame | None,
    ledger: pd.DataFrame | None,
    fx_rates: pd.DataFrame | None,
    accounts: Mapping[str, object],
    quarter: str,
    currency: str,
    platforms_including_vat: Mapping[str, float] | None = None,
    spend_materiality_share: float = 0.005,
    performance_share: float = 0.75,
    trivial_share: float = 0.05,
    group_currency: str = "EUR",
) -> SpendToLedger:
    """Lead the spend that the platforms report over to the marketing cost that the ledger booked, to the cent.

    Platform spend is first summed as reported, whatever its currency; ``currency`` converts each row at the quarter's
    rate. ``vat`` takes out what some platforms report with VAT: a row's net is ``spend x rate / (1 + vat)``, rounded
    once, half to even. ``billing_difference`` is what the platforms invoiced for services of the quarter beyond that.
    With agency fees and rebates of the same services this is ``invoiced_services``; ``invoice_timing`` leads from the
    services of the quarter to the ``dated_invoices``, dated in it; with the ledger's accruals this is
    ``computed_cost``.

    Parameters
    ----------
    ad_spend, invoices, ledger, fx_rates : DataFrame or None
        Tables of one unit, as `kpitoolkit.tables.read` gives them; all quarters. None: not examined.
    accounts : mapping
        Ledger accounts by line (docs/architecture.md).
    quarter, currency : str
    platforms_including_vat : mapping of str to float
        VAT rate inside a platform's reported spend, such as 0.22.
    spend_materiality_share, performance_share, trivial_share : float
        Shares of booked marketing cost, of materiality, of materiality.
    group_currency : str
        The currency in which `fx_rates` are stated; its own rate is 1.

    Returns
    -------
    SpendToLedger

    Raises
    ------
    Faults
        With everything that makes an amount unusable: currencies without rate, negative spend, ledger lines in another
        currency, VAT rates for a platform whose name is nearly that of one with spend.

    Examples
    --------
    >>> spend = pd.DataFrame({"date": [pd.Timestamp("2026-07-10")], "platform": ["social"], "spend_cents": [12200],
    ...                       "currency": ["EUR"]})
    >>> result = spend_to_ledger(spend, None, None, None, {}, "2026Q3", "EUR", {"social": 0.22})
    >>> result.amount("vat"), result.amount("computed_cost"), result.amount("booked_cost")
    (-2200, 10000, None)
    """
    including = dict(platforms_including_vat or {})
    faults, into, spent, billed = [], {}, None, None
    if ad_spend is not None:
        spend = ad_spend[books.within(ad_spend["date"], quarter)]
        into["spend"], faults = books.rates(spend, "ad_spend", fx_rates, quarter, currency, group_currency)
        faults += books.missing_money(spend, "ad_spend", ["spend_cents"]) + _negative(spend)
        faults += books.too_large(spend, "ad_spend", ["spend_cents"], into["spend"])
        faults += _strangers(including, ad_spend)
    if invoices is not None:
        invoices = invoices[_served(invoices, quarter) | books.within(invoices["date"], quarter)]
        into["invoices"], absent = books.rates(invoices, "invoices", fx_rates, quarter, currency, group_currency)
        faults += absent + books.missing_money(invoices, "invoices", ["net_cents"])
        faults += books.too_large(invoices, "invoices", ["net_cents"], into["invoices"])
    if ledger is not None:
        faults += books.missing_money(ledger, "ledger", ["amount_cents"])
        faults += books.too_large(ledger, "ledger", ["amount_cents"])
        faults += books.other_currencies(ledger, "ledger", currency)
    if faults:
        raise Faults(f"spend to ledger, {quarter}", faults)

    if ad_spend is not None:
        spent = _net_spend(spend, into["spend"], including)
    if invoices is not None:
        billed = _billed(invoices, into["invoices"], quarter)
    entries = None if ledger is None else books.booked_lines(ledger, accounts, MARKETING_LINES, quarter)
    table = books.bridge_table(_lines(spent, billed, entries, accounts))
    unexplained = books.locate(_expected(billed), entries, accounts, quarter, books.amount(table, "unexplained"))
    materiality = books.share_of(books.amount(table, "booked_cost"), spend_materiality_share)
    performance = books.share_of(materiality, performance_share)
    again = _again(spent, invoices, into.get("invoices"), entries, ledger, accounts, quarter)
    return SpendToLedger(
        quarter=quarter,
        currency=currency,
        table=table,
        platforms=_platforms(spent, billed),
        unexplained=unexplained,
        checks=books.checks(table, unexplained, again, materiality, performance),
        materiality_cents=materiality,
        performance_cents=performance,
        trivial_cents=books.share_of(materiality, trivial_share),
    )


def _negative(ad_spend: pd.DataFrame) -> list[str]:
    wrong = (ad_spend["spend_cents"] < 0).fillna(False).to_numpy(dtype=bool)
    if not wrong.any():
        return []
    first = books.first_row(ad_spend, wrong)
    return [f"ad_spend: {wrong.sum()} rows have negative spend ({first}). Book credits as invoices of kind rebate."]


def _strangers(including: Mapping[str, float], ad_spend: pd.DataFrame) -> list[str]:
    # A unit may inherit the name of a platform that it does not use; a name nearly right is a slip.
    known = sorted(set(ad_spend["platform"].dropna()))
    slips = {name: suggest(name, known) for name in including if name not in known}
    return [f"platforms_including_vat: '{name}' has no rows in ad_spend.{hint}" for name, hint in slips.items() if hint]


def _net_spend(spend: pd.DataFrame, into, including) -> pd.DataFrame:
    """Return the quarter's spend row by row with what currency and VAT take from it."""
    rows = spend[["platform", "spend_cents"]].reset_index(drop=True)
    in_currency = books.converted(spend["spend_cents"], spend["currency"], into).reset_index(drop=True)
    net = in_currency.copy()
    for platform, vat in including.items():
        own = (rows["platform"] == platform).to_numpy(dtype=bool, na_value=False)
        # From the amount reported, with both rates at once: rounding the converted amount first could move a cent.
        less = {currency: rate / (1 + exact_rate(vat)) for currency, rate in into.items()}
        net[own] = books.converted(spend["spend_cents"][own], spend["currency"][own], less).to_numpy()
    return rows.assign(currency_cents=in_currency - rows["spend_cents"], vat_cents=net - in_currency, net_cents=net)


def _served(invoices: pd.DataFrame, quarter: str) -> pd.Series:
    """Tell which invoices are for services of the quarter."""
    service = pd.to_datetime(invoices["service_month"].astype("string"), format="%Y-%m")
    return service.between(*quarter_bounds(quarter))


def _billed(invoices: pd.DataFrame, into, quarter: str) -> pd.DataFrame:
    """Return the quarter's invoices in the unit's currency: those dated in it, those for its services."""
    return pd.DataFrame(
        {
            "platform": invoices["platform"],
            "kind": invoices["kind"],
            "date": invoices["date"],
            "cents": books.converted(invoices["net_cents"], invoices["currency"], into),
            "served": _served(invoices, quarter),
            "dated": books.within(invoices["date"], quarter),
        }
    )


def _lines(spent, billed, entries, accounts):
    """Return the lines of the bridge."""
    step = dict.fromkeys(("spend", "currency", "vat", "net", "media", "fee", "rebate", "services", "timing", "dated"))
    rows = None
    if spent is not None:
        rows = len(spent)
        step |= {name: books.total(spent[f"{name}_cents"]) for name in ("spend", "currency", "vat", "net")}
    if billed is not None:
        served = billed[billed["served"]]
        kinds = served["kind"]
        step |= {kind: books.total(served.loc[kinds == kind, "cents"]) for kind in ("media", "fee", "rebate")}
        step["services"] = books.total(served["cents"])
        step["dated"] = books.total(billed.loc[billed["dated"], "cents"])
        step["timing"] = books.total(billed.loc[~billed["served"], "cents"]) - books.total(
            billed.loc[~billed["dated"], "cents"]
        )
    both = spent is not None and billed is not None
    any_source = spent is not None or billed is not None
    booked = None if entries is None else books.total(entries["amount_cents"])
    return [
        ("total", "platform_spend", step["spend"], rows),
        ("step", "currency", step["currency"], None),
        ("step", "vat", step["vat"], None),
        ("step", "billing_difference", step["media"] - step["net"] if both else None, None),
        ("step", "agency_fees", step["fee"] if both else None, None),
        ("step", "rebates", step["rebate"] if both else None, None),
        ("total", "invoiced_services", step["services"], None),
        ("step", "invoice_timing", step["timing"], None),
        ("total", "dated_invoices", step["dated"], None),
        ("step", "accruals", books.on_line(entries, "marketing_accruals", accounts), None),
        ("total", "computed_cost", 0 if any_source else None, None),
        ("unexplained", "unexplained", booked, None),
        ("total", "booked_cost", booked, None),
    ]


def _expected(billed) -> dict[str, pd.DataFrame | None]:
    """Return what each marketing account should show: the invoices dated in the quarter."""
    expected: dict[str, pd.DataFrame | None] = {"media": None, "agency_fees": None, "rebates": None}
    if billed is not None:
        dated = billed[billed["dated"]]
        for line, kind in (("media", "media"), ("agency_fees", "fee"), ("rebates", "rebate")):
            expected[line] = dated.loc[dated["kind"] == kind, ["date", "cents"]]
    return expected


def _platforms(spent, billed) -> pd.DataFrame:
    """Return spend, currency, VAT and billing difference by platform, for services of the quarter."""
    if spent is None or billed is None:
        return pd.DataFrame(columns=PLATFORM_COLUMNS)
    media = billed[billed["served"] & (billed["kind"] == "media")].groupby("platform")["cents"].sum()
    sums = spent.groupby("platform")[["spend_cents", "currency_cents", "vat_cents", "net_cents"]].sum()
    both = sums.join(media.rename("invoiced_cents"), how="outer").astype("Int64").fillna(0)
    both["billing_difference_cents"] = both["invoiced_cents"] - both["net_cents"]
    return both.rename_axis("platform").reset_index()[PLATFORM_COLUMNS]


def _again(spent, invoices, into, entries, ledger, accounts, quarter) -> dict[str, int | None]:
    """Compute each subtotal a second time, from the tables and not from the steps."""
    again = dict.fromkeys(("platform_spend", "invoiced_services", "dated_invoices", "computed_cost", "booked_cost"))
    if spent is not None:
        again["platform_spend"] = sum(int(cents) for cents in spent.groupby("platform")["spend_cents"].sum())
    if invoices is not None:
        year, number = quarter.split("Q")
        months = {f"{year}-{month:02d}" for month in range(3 * int(number) - 2, 3 * int(number) + 1)}
        cents = books.converted(invoices["net_cents"], invoices["currency"], into)
        dates = invoices["date"].dt.strftime("%Y-%m")
        again["invoiced_services"] = books.total(cents[invoices["service_month"].astype("string").isin(months)])
        again["dated_invoices"] = books.total(cents[dates.isin(months)])
        again["computed_cost"] = again["dated_invoices"] + (books.on_line(entries, "marketing_accruals", accounts) or 0)
    if ledger is not None:
        again["booked_cost"] = books.booked_again(ledger, accounts, MARKETING_LINES, quarter)
    return again


def _spend_findings(result: SpendToLedger, language: str) -> list[str]:
    _ = text.translator(language)
    spend, booked = books.as_converted(result.table, "platform_spend"), result.amount("booked_cost")
    if spend is None or booked is None:
        return []
    sentence = _("The platforms report {spend} of spend; the ledger has {booked} of marketing cost ({difference}).")
    said = [
        sentence.format(
            spend=text.money(spend, result.currency, language),
            booked=text.money(booked, result.currency, language),
            difference=text.money(booked - spend, result.currency, language, signed=True),
        )
    ]
    steps = result.table[result.table["kind"] == "step"].set_index("step")["amount_cents"].to_dict()
    moved = steps.pop("currency", 0)
    if moved:
        sentence = _(
            "Summed as reported, without converting currencies, the spend comes to {reported}: {difference} from the "
            "face value of foreign currencies alone."
        )
        reported = text.money(spend - moved, result.currency, language)
        difference = text.money(-moved, result.currency, language, signed=True)
        said.append(sentence.format(reported=reported, difference=difference))
    # Invoices of other periods and their accruals cancel out; only what is left of both is a cause.
    steps["timing_and_accruals"] = steps.pop("invoice_timing", 0) + steps.pop("accruals", 0)
    largest = max(steps, key=lambda step: abs(steps[step]))
    if steps[largest]:
        sentence = _("The largest cause of the difference is: {step}, {amount}.")
        moved = text.money(steps[largest], result.currency, language, signed=True)
        said.append(sentence.format(step=text.label(largest, language), amount=moved))
    return said
