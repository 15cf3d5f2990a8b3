"""What the evidence says in words and how it is drawn: what leads, what follows, what could not be seen."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.reconciliation.bridge import written

SMALLEST_P = 0.001
CLEAR = 0.1  # from here on a third decimal of a p-value tells nothing
_TONES = {"driver": "better", "vanity": "worse"}


def p_text(p_value: float, language: str, letter: str = "") -> str:
    """
    Write a p-value or a q; below .001 as that, never as 0.000.

    Examples
    --------
    >>> p_text(0.00004, "en", "q"), p_text(0.0412, "it", "q"), p_text(0.5, "en")
    ('q < 0.001', 'q = 0,041', '0.50')
    """
    if text.is_missing(p_value):
        return text.no_figure(language)
    if p_value < SMALLEST_P:
        return f"{letter} < ".lstrip() + text.number(SMALLEST_P, language, 3)
    return (f"{letter} = " if letter else "") + text.number(float(p_value), language, 3 if p_value < CLEAR else 2)


def shown(result, language: str) -> pd.DataFrame:
    """The table for the page: names, class, reason, effect with interval, q, and what else decided."""
    _ = text.translator(language)
    rows = result.table
    frame = pd.DataFrame(
        {
            "kpi": [_name(result, kpi, language) for kpi in rows["kpi"]],
            "company_kpi": [_name(result, kpi, language) for kpi in rows["company_kpi"]],
            "class": rows["class"],
            "reason": rows["reason"],
            "declared_lag": [_lag(row, language) for row in rows.itertuples()],
            "periods": rows["periods"],
        }
    )
    frame["effect"] = rows["effect"]
    frame["interval_90"] = [
        None if text.is_missing(row.low) else _("{low} to {high}").format(**_ends(row, language))
        for row in rows.itertuples()
    ]
    frame["margin"] = rows["margin"]
    for column in ("q", "reverse_q", "placebo_q"):
        frame[column] = [None if text.is_missing(q) else p_text(q, language) for q in rows[column]]
    return frame


FORMATS = {
    **dict.fromkeys(("kpi", "company_kpi", "declared_lag", "interval_90", "q", "reverse_q", "placebo_q"), "text"),
    **dict.fromkeys(("class", "reason"), "label"),
    **dict.fromkeys(("effect", "margin"), "number2"),
    "periods": "number0",
}
"""How `shown` is written."""


def decision_table(decisions: Iterable, questions: Iterable[str], language: str) -> pd.DataFrame:
    """The decision table as a frame of keys: one row a rule, a dash where the answer does not matter."""
    rows = []
    for conditions, found, reason in decisions:
        rows.append({question: conditions.get(question, "–") for question in questions} | {"class": found})
        rows[-1]["reason"] = reason or "too_short_or_constant"
    return pd.DataFrame(rows).astype("string")


def plot(result, ax: Axes | None, language: str) -> Axes:
    """Draw effects and intervals in front of the margins; a driver is blue, vanity orange, all else grey and hollow."""
    _ = text.translator(language)
    rows = result.table.dropna(subset=["effect"]).sort_values("effect", ascending=False, kind="stable")
    arrow = " \N{RIGHTWARDS ARROW} "
    pairs = [_name(result, r.kpi, language) + arrow + _name(result, r.company_kpi, language) for r in rows.itertuples()]
    frame = pd.DataFrame({"pair": pairs, "effect": rows["effect"], "low": rows["low"], "high": rows["high"]})
    frame = frame.assign(
        tone=rows["class"].map(_TONES).fillna("undecided"), below=-rows["margin"], above=rows["margin"]
    )
    title = _("Effect of one standard deviation, in standard deviations, 90% interval")
    return plots.intervals(
        frame.reset_index(drop=True), "pair", "effect", "low", "high", reference=0.0, tone="tone",
        behind=("below", "above"), behind_label=_("smaller than matters, as declared beforehand"),
        ax=ax, language=language, value_format="number2", title=title,
    )  # fmt: skip


def findings(result, language: str) -> list[str]:
    """Sentences of the evidence, each with its number."""
    _ = text.translator(language)
    rows, said = result.table, []
    if result.missing_units:
        missing = ", ".join(result.missing_units)
        said.append(_("Partial: the series of {units} are missing.").format(units=missing))
    if not len(rows):
        said.append(_("Not examined: the tables hold no declared influence with both of its KPIs over time."))
        return said
    drivers = rows[rows["class"] == "driver"]
    said.append(
        text.plural(
            language,
            "{n} of {all} declared influences is proven as a predictive lead, which is no proof of a cause.",
            "{n} of {all} declared influences are proven as predictive leads, which is no proof of a cause.",
            len(drivers),
            all=text.number(len(rows), language),
        )
    )
    said += [_driver(result, row, language) for row in drivers.itertuples()]
    common = rows[rows["common_ground"].fillna(False).astype(bool)]
    for kpi in dict.fromkeys(common["kpi"]):
        sentence = _("Common ground: {kpi}, which both sides own on one definition, with a proven influence.")
        said.append(sentence.format(kpi=_name(result, kpi, language)))
    said += _listed(result, rows[rows["class"] == "echo"], language, _("Follows, does not lead: {pairs}."))
    for margin, small in rows[rows["class"] == "vanity"].groupby("margin"):
        sentence = _(
            "Vanity, shown by an equivalence test: an effect smaller than {margin} standard deviations, {pairs}."
        )
        said += _listed(result, small, language, sentence, margin=text.number(float(margin), language, 2))
    said += _unproven(result, rows[rows["class"] == "unproven"], language)
    short = rows[rows["class"] == "insufficient_data"]
    sentence = _("Insufficient data, under 104 weeks and 16 quarters or without movement: {pairs}.")
    said += _listed(result, short, language, sentence)
    part = rows[rows["arithmetic_part"].fillna(False).astype(bool)]
    said += _listed(result, part, language, _("Arithmetic parts, which proves no influence: {pairs}."))
    said += _notes(result, rows, language)
    return said


def _driver(result, row, language: str) -> str:
    _ = text.translator(language)
    kpi, company = _name(result, row.kpi, language), _name(result, row.company_kpi, language)
    number = {name: text.number(getattr(row, name), language, 2, signed=True) for name in ("effect", "low", "high")}
    values = {"kpi": kpi, "company": company, "lag": _lag(row, language), "q": p_text(row.q, language, "q"), **number}
    if text.is_missing(row.step):
        sentence = _(
            "{kpi} leads {company} by {lag}: one standard deviation more is followed by {effect} standard deviations "
            "(90% interval {low} to {high}; {q})."
        )
        return sentence.format(**values)
    for name in ("effect", "low", "high"):
        values[name] = _difference(getattr(row, f"{name}_natural"), row.natural_unit, language, result.currency, True)
    values["step"] = _difference(row.step, row.step_unit, language, result.currency)
    sentence = _(
        "{kpi} leads {company} by {lag}: {step} more (one standard deviation) is followed by {effect} "
        "(90% interval {low} to {high}; {q})."
    )
    return sentence.format(**values)


def _difference(amount, unit: str, language: str, currency: str, signed: bool = False) -> str:
    """How much a KPI moves, in its own unit: shares in points."""
    if unit == "share":
        return text.figure(amount, "points2", language, signed=signed)
    return written(amount, unit, language, currency, signed)


def _unproven(result, rows: pd.DataFrame, language: str) -> list[str]:
    _ = text.translator(language)
    sentences = {
        "not_seen": _("Unproven, which is not the same as disproved: {pairs}."),
        "wide_measurement": _("Unproven, because the survey has too few answers to tell: {pairs}."),
        "opposite_sign": _("Unproven, because the effect has the opposite sign of the one declared: {pairs}."),
        "each_follows_the_other": _("Unproven, because each follows the other and may share a cause: {pairs}."),
        "future_predicts": _("Unproven, because its future predicts as its past does: {pairs}."),
        "no_better_forecast": _("Unproven, because it makes forecasts no better: {pairs}."),
        "same_period": _("Unproven, because a link within one period has no direction: {pairs}."),
        "same_figures": _("Unproven, because the two have the same figures: {pairs}."),
    }
    said = [
        line
        for key, sentence in sentences.items()
        for line in _listed(result, rows[rows["reason"] == key], language, sentence)
    ]
    unseen = rows[rows["reason"] == "not_seen"]
    if len(unseen):
        sentence = _(
            "These data would have shown effects from {smallest} standard deviations up in four cases of five."
        )
        ends = unseen["smallest_effect"].min(), unseen["smallest_effect"].max()
        ends = [text.number(float(end), language, 2) for end in ends]
        said.append(sentence.format(smallest=" – ".join(dict.fromkeys(ends))))
    return said


def _notes(result, rows: pd.DataFrame, language: str) -> list[str]:
    _ = text.translator(language)
    said = []
    wide = rows[(rows["sampling_error_share"] > 0.2) & (rows["reason"] != "wide_measurement")]
    said += _listed(result, wide, language, _("Measured with wide error, by few answers: {pairs}."))
    same = rows[rows["same_as"].fillna("") != ""].drop_duplicates("kpi")
    for row in same.itertuples():
        sentence = _("{kpi} and {other} have the same figures: they count as two tests and are one.")
        said.append(sentence.format(kpi=_name(result, row.kpi, language), other=_name(result, row.same_as, language)))
    doubtful = rows[(rows["class"] == "driver") & (rows["few_clusters_p"] > 0.1)]
    sentence = _("Proven only if units' errors are unrelated over time; with units as clusters not: {pairs}.")
    said += _listed(result, doubtful, language, sentence)
    return said


def _listed(result, rows: pd.DataFrame, language: str, sentence: str, **values: str) -> list[str]:
    """The sentence with its pairs, or nothing."""
    if not len(rows):
        return []
    _ = text.translator(language)
    by_company: dict[str, list[str]] = {}
    for row in rows.itertuples():
        names = by_company.setdefault(_name(result, row.company_kpi, language), [])
        names.append(_name(result, row.kpi, language))
    on = _("{kpis} on {company}")
    pairs = [on.format(kpis=", ".join(dict.fromkeys(names)), company=company) for company, names in by_company.items()]
    return [sentence.format(pairs="; ".join(pairs), **values)]


def _name(result, kpi: str, language: str) -> str:
    return result.names[kpi][language] if kpi in result.names else text.label(kpi, language)


def _ends(row, language: str) -> dict[str, str]:
    return {end: text.number(float(getattr(row, end)), language, 2) for end in ("low", "high")}


def _lag(row, language: str) -> str:
    if text.is_missing(row.lag):
        return ""
    if row.frequency == "week":
        return text.plural(language, "{n} week", "{n} weeks", int(row.lag))
    return text.plural(language, "{n} quarter", "{n} quarters", int(row.lag))
