"""Blocks of the one-page summary, made from the tables that the other notebooks saved; what is missing is said.

Every block takes saved tables (see docs/architecture.md) or None, and writes "no figure" where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from kpitoolkit import plots, text
from kpitoolkit.pages.blocks import Html, fill, table

REVENUE = ("revenue", "booked_revenue")
"""Ids under which a catalogue may keep booked revenue."""

BAR_WIDTH, BAR_HEIGHT, LARGEST_SHARE = 190, 22, 0.5
"""Of a variance bar, in pixels; and the variance at which bars are cut, with a pointed end."""


def header(
    unit_name: str, quarter: str, sentences: Sequence[str], language: str, marks: Sequence[tuple[str, bool]] = ()
) -> Html:
    """Head the page: whose quarter it is, its marks (a grade, "draft", "over the threshold"), and what happened.

    Parameters
    ----------
    unit_name : str
    quarter : str
        Such as `2026Q3`.
    sentences : sequence of str
        The headline.
    language : {"en", "it"}
    marks : sequence of (str, bool)
        Words, and whether they warn.

    Returns
    -------
    Html
    """
    kicker = f"{text.translator(language)('Summary for leadership')} · {text.quarter(quarter, language)}"
    plain = "\n".join([kicker, unit_name, *(words for words, _warns in marks), *sentences])
    return fill("header.html.j2", plain, kicker=kicker, unit_name=unit_name, marks=marks, lead=" ".join(sentences))


def headline_facts(kpis: pd.DataFrame | None, claims: pd.DataFrame | None) -> pd.DataFrame:
    """Collect what the headline states: booked revenue, its change on a year ago and its distance from target, claims.

    Returns
    -------
    DataFrame
        `item`, `value` (cents or share), `value_unit` (`money`, `share`); missing values where there is no figure.
    """
    revenue = _revenue(kpis)
    totals = {} if claims is None else claims[claims["kind"] == "total"].set_index("step")["amount_cents"].to_dict()
    first = None if claims is None or not totals else next(iter(totals.values()))
    facts = [
        ("booked_revenue", _get(revenue, "actual"), "money"),
        ("change_on_last_year", relative(_get(revenue, "actual"), _get(revenue, "last_year")), "share"),
        ("variance_from_target", relative(_get(revenue, "actual"), _get(revenue, "target")), "share"),
        ("claimed", first, "money"),
        ("matched_gross", totals.get("matched_gross"), "money"),
    ]
    frame = pd.DataFrame(facts, columns=["item", "value", "value_unit"])
    return frame.astype({"value": "Float64"})


def headline(facts: pd.DataFrame, language: str, currency: str) -> list[str]:
    """Say in a few sentences what happened, each with its number.

    Examples
    --------
    >>> facts = pd.DataFrame({"item": ["booked_revenue", "change_on_last_year", "variance_from_target", "claimed",
    ...                                "matched_gross"],
    ...                       "value": [1_241_100_000, 0.041, -0.018, 981_200_000, 660_600_000]})
    >>> for sentence in headline(facts, "en", "EUR"):
    ...     print(sentence)
    Booked revenue was €12.41M: +4.1% on the same quarter a year ago, −1.8% from target.
    Platforms claim €9.81M; the orders matched to their claims are worth €6.61M.
    """
    _ = text.translator(language)
    known = {item: value for item, value in zip(facts["item"], facts["value"], strict=True) if not pd.isna(value)}

    def money(item: str) -> str:
        return text.compact_money(round(known[item]), currency, language)

    def share(item: str) -> str:
        return text.percent(float(known[item]), language, signed=True)

    sentences = []
    if "booked_revenue" not in known:
        sentences.append(_("There is no figure for booked revenue in this quarter."))
    elif "change_on_last_year" in known and "variance_from_target" in known:
        sentences.append(
            _("Booked revenue was {revenue}: {change} on the same quarter a year ago, {variance} from target.").format(
                revenue=money("booked_revenue"),
                change=share("change_on_last_year"),
                variance=share("variance_from_target"),
            )
        )
    elif "change_on_last_year" in known:
        sentences.append(
            _("Booked revenue was {revenue}: {change} on the same quarter a year ago. No target is declared.").format(
                revenue=money("booked_revenue"), change=share("change_on_last_year")
            )
        )
    elif "variance_from_target" in known:
        sentences.append(
            _("Booked revenue was {revenue}: {variance} from target. There is no figure of a year ago.").format(
                revenue=money("booked_revenue"), variance=share("variance_from_target")
            )
        )
    else:
        sentences.append(
            _("Booked revenue was {revenue}. There is neither a figure of a year ago nor a target.").format(
                revenue=money("booked_revenue")
            )
        )
    if "claimed" in known and "matched_gross" in known:
        sentences.append(
            _("Platforms claim {claimed}; the orders matched to their claims are worth {matched}.").format(
                claimed=money("claimed"), matched=money("matched_gross")
            )
        )
    return sentences


def relative(actual, reference) -> float | None:
    """(actual - reference) / |reference|, or None where one is missing or the reference is zero."""
    if text.is_missing(actual) or text.is_missing(reference) or reference == 0:
        return None
    return (float(actual) - float(reference)) / abs(float(reference))


def variances(kpis: pd.DataFrame) -> pd.DataFrame:
    """Judge each KPI against its target; where no KPI has one, against the same quarter a year ago.

    Variance = (actual - reference) / |reference|, its interval likewise; favourable where it goes the KPI's own way
    (`direction`); not distinguishable where the interval of the figure holds the reference.

    Returns
    -------
    DataFrame
        The rows of the finance basis (a KPI without one: of the marketing basis), with `reference`, `variance`,
        `variance_low`, `variance_high` and `judgement` (`favourable`, `unfavourable`, `indistinguishable`, `equal`,
        `no_reference`).
    """
    finance = kpis["basis"] == "finance"
    rows = kpis[finance | ~kpis["kpi"].isin(kpis.loc[finance, "kpi"])].reset_index(drop=True)
    reference = "target" if rows["target"].notna().any() else "last_year"
    judged = []
    for row in rows.to_dict("records"):
        variance = relative(row["actual"], row[reference])
        low, high = relative(row.get("low"), row[reference]), relative(row.get("high"), row[reference])
        if variance is None:
            judgement = "no_reference"
        elif low is not None and high is not None and low <= 0 <= high:
            judgement = "indistinguishable"
        elif variance == 0:
            judgement = "equal"
        else:
            judgement = "favourable" if variance * row["direction"] > 0 else "unfavourable"
        judged.append((reference, variance, low, high, judgement))
    names = ["reference", "variance", "variance_low", "variance_high", "judgement"]
    frame = pd.DataFrame(judged, columns=names, index=rows.index)
    return rows.assign(**frame.astype({name: "Float64" for name in names[1:4]}))


def kpi_table(kpis: pd.DataFrame | None, language: str, currency: str) -> Html:
    """Show the KPIs: actual, target, last year, and the variance as a bar with its interval, its sign and its figure.

    Parameters
    ----------
    kpis : DataFrame or None
        `reconciliation_kpis`.
    language : {"en", "it"}
    currency : str

    Returns
    -------
    Html
    """
    _ = text.translator(language)
    if kpis is None or kpis.empty:
        return missing_result("reconciliation", language)
    judged = variances(kpis)
    shown = judged[["variance", "variance_low", "variance_high"]].astype(float).abs().max().max()
    limit = min(LARGEST_SHARE, max(0.01, 0.0 if pd.isna(shown) else shown))
    rows = []
    for row in judged.to_dict("records"):
        verdict, tone = _verdict(row, language)
        actual, unit = figure_and_unit(row, "actual", language, currency)
        rows.append(
            {
                "name": row.get(f"name_{language}") or text.label(row["kpi"], language),
                "actual": actual,
                "unit": unit,
                "target": figure_and_unit(row, "target", language, currency)[0],
                "last_year": figure_and_unit(row, "last_year", language, currency)[0],
                "bar": None if text.is_missing(row["variance"]) else bar(row, limit),
                "verdict": verdict,
                "tone": tone,
                "owner": row.get("owner") or "–",
            }
        )
    from_target = judged["reference"].iloc[0] == "target"
    headings = {
        **{column: text.label(column, language) for column in ("actual", "target", "last_year")},
        "variance": _("variance from target") if from_target else _("variance from last year"),
        "owner": text.label("owner", language),
    }
    key = _("blue ▲ favourable, orange ▼ unfavourable, grey: the interval holds the reference")
    plain = table(judged.drop(columns=["reference"]), language, {"kpi": "label"}).plain
    return fill("kpis.html.j2", plain, rows=rows, headings=headings, key=key, width=BAR_WIDTH, height=BAR_HEIGHT)


def figure_and_unit(row: Mapping, column: str, language: str, currency: str) -> tuple[str, str]:
    """A KPI's figure and, apart, its unit; large money in millions or thousands, by the size of the actual figure.

    Examples
    --------
    >>> figure_and_unit({"actual": 1_241_100_000, "value_unit": "money"}, "actual", "it", "EUR")
    ('12,41', 'M€')
    >>> figure_and_unit({"actual": None, "status": "not_meaningful"}, "actual", "en", "EUR")
    ('n/m', '')
    """
    value, unit = row.get(column), row.get("value_unit", "number")
    if text.is_missing(value):
        if column == "actual" and row.get("status") == "not_meaningful":
            return text.translator(language)("n/m"), ""
        return text.no_figure(language), ""
    sign = text.currency_sign(currency)
    sizes = [row.get(name) for name in ("actual", "target", "last_year")]
    size = max((abs(float(s)) for s in sizes if not text.is_missing(s)), default=0.0)
    if unit == "money":
        for least, divisor, prefix in ((1e11, 1e11, "B"), (1e8, 1e8, "M"), (1e6, 1e5, "k")):
            if size >= least:
                decimals = 0 if divisor == 1e5 else 2
                return text.number(float(value) / divisor, language, decimals), prefix + sign
        return text.number(float(value) / 100, language), sign
    if unit == "money_per_unit":
        return text.number(float(value) / 100, language, 2 if size < 1e6 else 0), sign
    if unit == "share":
        return text.number(float(value) * 100, language, 1), "%"
    if unit == "count" and size >= 1e6:
        return text.number(float(value) / 1e6, language, 2), "M"
    return plots.figure_text(value, unit, language, currency), ""


def _verdict(row: Mapping, language: str) -> tuple[str, str]:
    _ = text.translator(language)
    judgement = row["judgement"]
    if judgement == "no_reference":
        words = _("no target") if row["reference"] == "target" else _("no figure of a year ago")
        return words, "even"
    if judgement == "indistinguishable":
        return _("not distinguishable"), "even"
    written = text.percent(float(row["variance"]), language, signed=True)
    symbol, tone = {"favourable": ("▲", "good"), "unfavourable": ("▼", "bad"), "equal": ("=", "even")}[judgement]
    return f"{symbol} {written}", tone


def bar(row: Mapping, limit: float) -> dict:
    """Place a variance bar: from the axis in the middle, cut with a pointed end where it passes the limit.

    Examples
    --------
    >>> bar({"variance": -0.05, "variance_low": None, "variance_high": None, "judgement": "unfavourable"}, 0.1)["path"]
    'M95,5 H50.5 V17 H95 Z'
    """
    middle, reach = BAR_WIDTH / 2, BAR_WIDTH / 2 - 6

    def across(share: float) -> float:
        return round(middle + max(-1.0, min(1.0, float(share) / limit)) * reach, 1)

    end, cut = across(row["variance"]), abs(float(row["variance"])) > limit * 1.0001
    tip = f"L{end + (5 if end > middle else -5):g},11 L{end:g},17" if cut else "V17"
    tone = {"favourable": "good", "unfavourable": "bad"}.get(row["judgement"], "even")
    known = not (text.is_missing(row["variance_low"]) or text.is_missing(row["variance_high"]))
    return {
        "path": f"M{middle:g},5 H{end:g} {tip} H{middle:g} Z",
        "tone": tone,
        "interval": sorted((across(row["variance_low"]), across(row["variance_high"]))) if known else None,
    }


def unexplained(checks: pd.DataFrame | None, kpis: pd.DataFrame | None, language: str, currency: str) -> list[str]:
    """Say what we cannot explain, against the threshold that the CFO set; then whether the second computations agree.

    Parameters
    ----------
    checks : DataFrame or None
        `reconciliation_checks`: `check`, `value_cents`, `threshold_cents`, `passed` (empty where not tested).
    kpis : DataFrame or None
        For booked revenue, of which the share is stated.

    Examples
    --------
    >>> checks = pd.DataFrame({"check": ["net_unexplained", "booked_again"], "value_cents": [1_600_000, 0],
    ...                        "threshold_cents": [6_205_500, 0], "passed": [True, True]})
    >>> kpis = pd.DataFrame({"kpi": ["revenue"], "basis": ["finance"], "actual": [1_241_100_000]})
    >>> [line.replace(chr(160), " ") for line in unexplained(checks, kpis, "en", "EUR")][1]
    '✓ Subtotals that agree with a second computation to the cent: 1 of 1.'
    """
    _ = text.translator(language)
    if checks is None or checks.empty:
        return [_("There is no bridge to the ledger for this unit, so nothing was tested against a threshold.")]
    left = checks["check"].str.endswith("unexplained").fillna(False).astype(bool)
    revenue = _get(_revenue(kpis), "actual")
    sentences = []
    for row in checks[left].to_dict("records"):
        share = None if text.is_missing(row["value_cents"]) or not revenue else row["value_cents"] / float(revenue)
        told = {
            "check": plots.capitalised(text.label(row["check"], language)),
            "value": text.money(row["value_cents"], currency, language),
            "threshold": text.money(row["threshold_cents"], currency, language),
            "share": text.percent(share, language, decimals=2),
        }
        if text.is_missing(row["passed"]):
            sentence = _("– {check}: not tested, for want of data.")
        elif row["passed"]:
            sentence = _("✓ {check}: {value} ({share} of booked revenue), within the threshold of {threshold}.")
        else:
            sentence = _(
                "✗ {check}: {value} ({share} of booked revenue), over the threshold of {threshold}: blocks sign-off."
            )
        sentences.append(sentence.format(**told))
    tested = checks[~left]["passed"].dropna().astype(bool)
    if len(tested):
        sentence = _("{sign} Subtotals that agree with a second computation to the cent: {agreed} of {all}.")
        agreed = text.number(int(tested.sum()), language)
        told = {"sign": "✓" if tested.all() else "✗", "agreed": agreed, "all": text.number(len(tested), language)}
        sentences.append(sentence.format(**told))
    return sentences


def marks(checks: pd.DataFrame | None, language: str, draft: bool = False) -> list[tuple[str, bool]]:
    """Marks beside the unit's name: whether the modelled figures are a draft, whether a check failed."""
    _ = text.translator(language)
    found = [(_("Modelled figures: draft"), False)] if draft else []
    if checks is not None and not checks["passed"].dropna().astype(bool).all():
        found.append((_("A check failed: not for sign-off"), True))
    return found


_MISSING = {
    "attribution": "No touchpoints are declared for this unit, so there is no attribution page.",
    "regression": "No spend and revenue are declared for this unit, so there is no regression page.",
    "reconciliation": "There is no reconciliation for this unit: no figures stand on this page.",
    "claims": "No platform claims are declared for this unit: the bridge from claimed to booked is not examined.",
    "spend": "No invoices are declared for this unit: the bridge of spend to the ledger is not examined.",
}


def missing(results: Mapping[str, pd.DataFrame | None], language: str) -> list[str]:
    """Say for each missing result what does not stand on this page, and why.

    Parameters
    ----------
    results : mapping
        `attribution`, `regression`, `reconciliation`, `claims` or `spend` to its table or None.

    Examples
    --------
    >>> missing({"attribution": None, "regression": pd.DataFrame()}, "en")
    ['No touchpoints are declared for this unit, so there is no attribution page.']
    """
    _ = text.translator(language)
    return [_(_MISSING[name]) for name, frame in results.items() if frame is None]


def missing_result(name: str, language: str) -> Html:
    """The note that stands in the place of a block whose result is missing."""
    sentence = text.translator(language)(_MISSING[name])
    return fill("note.html.j2", sentence, sentence=sentence)


def footer(kpis: pd.DataFrame | None, sources: Sequence[str], language: str) -> Html:
    """Close the page: sources, versions of the definitions, owners, and what "modelled" does not mean."""
    _ = text.translator(language)
    versions = [] if kpis is None else sorted({str(v) for v in kpis["version"].dropna()})
    names = [text.label(source, language) for source in sources]
    sentences = [_("Sources: {sources}.").format(sources=", ".join(names))] if names else []
    if versions:
        sentences.append(_("Definitions: version {versions}.").format(versions=", ".join(versions)))
    sentences.append(
        _("Intervals hold 90% unless stated otherwise. “Modelled” is not “caused”: only an experiment shows that.")
    )
    return fill("footer.html.j2", "\n".join(sentences), sentences=sentences)


def _revenue(kpis: pd.DataFrame | None) -> Mapping | None:
    if kpis is None:
        return None
    rows = kpis[kpis["kpi"].isin(REVENUE)]
    finance = rows[rows["basis"] == "finance"]
    rows = finance if len(finance) else rows
    return rows.iloc[0].to_dict() if len(rows) else None


def _get(row: Mapping | None, name: str):
    value = None if row is None else row.get(name)
    return None if text.is_missing(value) else value
