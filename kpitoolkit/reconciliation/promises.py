"""Promises: moves announced for a quarter, with owner and amount, against what happened; never why it happened.

A promise states a change of a measure or KPI against the quarter before. What happened is the change of the same figure
over the same time. Last quarter's published budget is held against spend in the same way, channel by channel.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import parameters, plots, spending, text
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import kinds, measures
from kpitoolkit.reconciliation.bridge import written
from kpitoolkit.reconciliation.catalogue import Catalogue

KEPT_SHARE = 0.95
HELD_SHARE = 0.05
_DIGITS = 9
"""Of a share, beyond which it is an error of floating point: a ratio that stayed as it was has not moved."""
AGAINST = {"previous_quarter": -1, "year_ago": -4}
STATUSES = ("kept", "partly_kept", "not_kept", "cannot_be_told")
COLUMNS = [
    *("source", "promise_id", "measure", "owner", "made_on", "made_late", "before", "after", "promised", "change"),
    *("share_kept", "status", "reason", "value_unit", "text"),
]


@dataclass(frozen=True, eq=False)
class Promises:
    """
    What was announced for a quarter, against what happened.

    ``table`` has one row a promise: ``source`` (``announced``, or ``recommended`` by last quarter's budget),
    ``promise_id, measure`` (a channel under ``recommended``), ``owner, made_on, made_late`` (not before the quarter
    began), ``before, after, promised, change`` (money in cents), ``share_kept`` (change over promised change),
    ``status`` (``kept`` from 95%; ``partly_kept`` from above zero; ``not_kept``, under ``recommended`` also where spend
    went more than 5% of itself beyond; ``cannot_be_told``), ``reason``
    (``unknown_measure``, ``no_figure``), ``value_unit, text``.
    """

    table: pd.DataFrame
    quarter: str
    against: str
    currency: str
    names: Mapping[str, Mapping[str, str]]

    def shown(self, language: str = "en", source: str = "announced") -> pd.DataFrame:
        """The promises of one source for the page; measures by the catalogue's names where it names them."""
        rows = self.table[self.table["source"] == source]
        frame = pd.DataFrame({"measure": [self._name(key, language) for key in rows["measure"]]})
        if source == "announced":
            frame["owner"] = rows["owner"].to_numpy()
        for column in ("before", "after", "promised", "change"):
            frame[column] = pd.Series(bridges.for_page(rows[column], rows["value_unit"]), dtype=object)
        frame["share_kept"] = rows["share_kept"].to_numpy(dtype=float)
        frame["status"] = rows["status"].to_numpy()
        if source == "announced":
            frame["made_on"] = rows["made_on"].to_numpy()
        return frame

    def formats(self, source: str = "announced") -> dict[str, list[str] | str]:
        """How ``shown`` is written."""
        units = self.table.loc[self.table["source"] == source, "value_unit"]
        forms = [bridges.FORMATS.get(unit, "number2") for unit in units]
        changes = ["+" + ("points" if unit == "share" else form) for unit, form in zip(units, forms, strict=True)]
        found = {"measure": "text", "owner": "text", "share_kept": "percent", "status": "label", "made_on": "date"}
        return found | {"before": forms, "after": forms, "promised": changes, "change": changes}

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw what share of each promised move happened; 100% is what was promised."""
        rows = self.table[self.table["share_kept"].notna() & (self.table["source"] == "announced")]
        frame = pd.DataFrame({"share": rows["share_kept"].astype(float)})
        frame["measure"] = [f"{self._name(row.measure, language)} ({row.owner})" for row in rows.itertuples()]
        title = text.translator(language)("Share of each announced move that happened")
        return plots.bars(frame, "measure", "share", ax=ax, language=language, value_format="percent", title=title)

    def findings(self, language: str = "en") -> list[str]:
        """Say what was kept, in part or not, what cannot be told, and how spend followed the recommended budget."""
        _ = text.translator(language)
        announced = self.table[self.table["source"] == "announced"]
        if not len(announced):
            said = [_("No moves were announced for this quarter.")]
        else:
            said = [self._count(announced, language)] + [self._sentence(row, language) for row in self._told(announced)]
        said += self._untold(announced, language) + self._budget(language)
        if len(announced) and announced["share_kept"].notna().any():
            said.append(_("That a figure moved as announced does not say what moved it."))
        return said

    def _name(self, key: str, language: str) -> str:
        return text.capitalised(self.names.get(key, {}).get(language) or text.label(key, language))

    def _count(self, rows: pd.DataFrame, language: str) -> str:
        _ = text.translator(language)
        counts = {status: text.number(int((rows["status"] == status).sum()), language) for status in STATUSES}
        versus = _("the quarter before") if self.against == "previous_quarter" else _("a year ago")
        return text.plural(
            language,
            "{n} move was announced for {quarter}, counted from {versus}: {kept} kept, {partly_kept} partly kept, "
            "{not_kept} not kept, {cannot_be_told} cannot be told.",
            "{n} moves were announced for {quarter}, counted from {versus}: {kept} kept, {partly_kept} partly kept, "
            "{not_kept} not kept, {cannot_be_told} cannot be told.",
            len(rows),
            quarter=text.quarter(self.quarter, language),
            versus=versus,
            **counts,
        )

    def _told(self, rows: pd.DataFrame) -> list:
        order = {status: place for place, status in enumerate(reversed(STATUSES))}
        told = rows[rows["status"] != "cannot_be_told"]
        told = told.assign(_order=told["status"].map(order)).sort_values("_order", kind="stable")
        return list(told.itertuples())

    def _sentence(self, row, language: str) -> str:
        _ = text.translator(language)
        sentence = _("{measure} ({owner}): {promised} announced, {change} happened: {status}.")
        if row.made_late:
            sentence += " " + _("Announced on {day}, when the quarter had begun.")
        amounts = {name: self._change(getattr(row, name), row.value_unit, language) for name in ("promised", "change")}
        name, status = self._name(row.measure, language), text.label(row.status, language)
        return sentence.format(
            measure=name, owner=row.owner, status=status, day=text.date(row.made_on, language), **amounts
        )

    def _change(self, amount: float, unit: str, language: str) -> str:
        if unit == "share":
            return text.figure(amount, "+points", language)
        return written(amount, unit, language, self.currency, signed=True)

    def _untold(self, rows: pd.DataFrame, language: str) -> list[str]:
        _ = text.translator(language)
        sentences = {
            "unknown_measure": _("Cannot be told, because no measure or KPI has this name: {measures}."),
            "no_figure": _("Cannot be told, because a figure is missing at one end: {measures}."),
        }
        said = []
        for reason, sentence in sentences.items():
            named = [self._name(key, language) for key in rows.loc[rows["reason"] == reason, "measure"]]
            if named:
                said.append(sentence.format(measures=", ".join(named)))
        return said

    def _budget(self, language: str) -> list[str]:
        _ = text.translator(language)
        rows = self.table[self.table["source"] == "recommended"]
        if not len(rows):
            return [_("Last quarter's recommended budget: not examined, because none was published.")]
        told = rows[rows["status"] != "cannot_be_told"]
        if not len(told):
            return [_("Last quarter's recommended budget: cannot be told, because spend has no figures.")]
        amounts = {"planned": (told["before"] + told["promised"]).sum(), "spent": told["after"].sum()}
        return [
            text.plural(
                language,
                "Spend followed last quarter's recommended budget in {followed} of {n} channel: {planned} was "
                "recommended, {spent} spent.",
                "Spend followed last quarter's recommended budget in {followed} of {n} channels: {planned} was "
                "recommended in all, {spent} spent.",
                len(told),
                followed=text.number(int((told["status"] == "kept").sum()), language),
                **{name: written(cents, "money", language, self.currency) for name, cents in amounts.items()},
            )
        ]


def judged(before: float | None, after: float | None, promised: float) -> tuple[float | None, str]:
    """
    Share of a promised change that happened, and how that is called.

    A promise to change nothing is kept where the figure stayed within 5% of itself.

    Examples
    --------
    >>> judged(100, 120, 20), judged(100, 110, 20), judged(100, 95, 20), judged(None, 95, 20)
    ((1.0, 'kept'), (0.5, 'partly_kept'), (-0.25, 'not_kept'), (None, 'cannot_be_told'))
    >>> judged(100, 104, 0), judged(100, 94, 0)
    ((None, 'kept'), (None, 'not_kept'))
    """
    if measures.is_missing(before) or measures.is_missing(after):
        return None, "cannot_be_told"
    change = float(after) - float(before)
    if promised == 0:
        return None, "kept" if abs(change) <= HELD_SHARE * abs(float(before)) else "not_kept"
    share = round(change / promised, _DIGITS) + 0.0
    return share, "kept" if share >= KEPT_SHARE else "partly_kept" if share > 0 else "not_kept"


def promises(
    announced: pd.DataFrame | None,
    found: pd.DataFrame,
    catalogue: Catalogue,
    quarter: str,
    currency: str,
    budget: pd.DataFrame | None = None,
    spent: Mapping[str, float] | None = None,
    against: str = "previous_quarter",
) -> Promises:
    """
    Hold what was announced for a quarter against what happened.

    Parameters
    ----------
    announced : DataFrame, optional
        The table ``promises``, rows of one unit; ``amount`` in units of the currency.
    found : DataFrame
        Measures, as ``measures.compute`` gives them.
    catalogue : Catalogue
        For promises about a KPI; its first basis is taken.
    quarter, currency : str
    budget : DataFrame, optional
        ``regression_budget`` that the previous case published: what it recommended for this quarter.
    spent : mapping, optional
        As ``spent_by_channel`` gives it; None where spend has no figures.
    against : {"previous_quarter", "year_ago"}
        What a promised change is counted from.

    Returns
    -------
    Promises
    """
    earlier = parameters.shift_quarter(quarter, AGAINST[against])
    ends = measures.at(found, earlier), measures.at(found, quarter)
    kpis = {kpi.id: kpi for kpi in catalogue.kpis}
    first_day = parameters.quarter_bounds(quarter)[0]
    rows = []
    given = [] if announced is None else announced[announced["quarter"] == quarter].to_dict("records")
    for row in given:
        before, after, unit = _figures(row["measure"], kpis, ends)
        promised = float(row["amount"]) * bridges.cents_per_unit(unit or "")
        share, status = judged(before, after, promised)
        told = status != "cannot_be_told"
        reason = "" if told else "no_figure" if unit else "unknown_measure"
        rows.append(
            {
                **{name: row[name] for name in ("promise_id", "measure", "owner", "made_on", "text")},
                "source": "announced",
                "made_late": bool(row["made_on"] >= first_day),
                "before": before,
                "after": after,
                "promised": promised,
                "change": float(after) - float(before) if told else None,
                "share_kept": share,
                "status": status,
                "reason": reason,
                "value_unit": unit or "number",
            }
        )
    rows += _recommended(budget, spent)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    floats = ["before", "after", "promised", "change", "share_kept"]
    frame = frame.astype(dict.fromkeys(floats, float) | {"made_late": "boolean", "made_on": "datetime64[us]"})
    names = {kpi.id: {"en": kpi.name.en, "it": kpi.name.it} for kpi in catalogue.kpis}
    return Promises(frame, quarter, against, currency, names)


def _figures(name: str, kpis: Mapping, ends: tuple[Mapping, Mapping]):
    """The figure's value at both ends and its unit; no unit where nothing has this name."""
    if name in ends[0] or kinds.is_known(name):
        return ends[0].get(name), ends[1].get(name), kinds.value_unit(name)
    if name in kpis:
        basis = next(iter(kpis[name].formula.given()))
        return *(kpis[name].value(basis, values)[0] for values in ends), kpis[name].unit
    return None, None, None


def _recommended(budget: pd.DataFrame | None, spent: Mapping[str, float] | None) -> list[dict]:
    """Spend of each channel that last quarter's budget names: what it was, what was recommended, what it became."""
    rows = []
    for row in [] if budget is None else budget.to_dict("records"):
        now, proposed = (round(100 * float(row[name])) for name in ("spend_now", "spend_proposed"))
        after = None if spent is None else round(100 * float(spent.get(row["channel"], 0.0)))
        promised = proposed - now if abs(proposed - now) > HELD_SHARE / 10 * abs(now) else 0.0
        share, status = judged(now, after, promised)
        if status == "kept" and promised and (after - proposed) * promised > 0:
            status = "kept" if abs(after - proposed) <= HELD_SHARE * proposed else "not_kept"  # a budget is no floor
        told = status != "cannot_be_told"
        rows.append(
            {
                **{"source": "recommended", "promise_id": "", "measure": row["channel"], "owner": "", "text": ""},
                **{"made_on": pd.NaT, "made_late": False, "before": now, "after": after, "promised": promised},
                **{"change": after - now if told else None, "share_kept": share, "status": status},
                **{"reason": "" if told else "no_figure", "value_unit": "money"},
            }
        )
    return rows


def spent_by_channel(
    ad_spend: pd.DataFrame | None,
    quarter: str,
    currency: str,
    group_currency: str = "EUR",
    fx_rates: pd.DataFrame | None = None,
    platforms_including_vat: Mapping[str, float] | None = None,
) -> dict[str, float] | None:
    """
    Spend by channel of the quarter's 13 whole weeks, net of VAT, as the regression's budget counts it.

    Returns
    -------
    dict or None
        Units of the unit's currency; None without rows of these weeks or where a rate is missing.

    Examples
    --------
    >>> rows = pd.DataFrame({"date": pd.to_datetime(["2026-07-06", "2026-09-27"]), "platform": "tv",
    ...                      "spend_cents": [10_00, 5_00], "currency": "EUR"})
    >>> spent_by_channel(rows, "2026Q3", "EUR")
    {'tv': 15.0}
    """
    if ad_spend is None or not len(ad_spend):
        return None
    weeks = spending.whole_weeks(pd.Timestamp("1970-01-01"), quarter, spending.PERIODS_OF_QUARTER["week"])
    rates = spending.Rates(fx_rates, currency, group_currency, [])
    by_week = spending.weekly(ad_spend, weeks, rates, platforms_including_vat)
    covered = ad_spend["date"].max() > weeks[-1] - pd.Timedelta(days=7)
    if rates.faults or not len(by_week.columns) or not covered:
        return None
    return {name: round(float(total), 6) for name, total in by_week.sum().items()}
