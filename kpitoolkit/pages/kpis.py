"""The KPI table of the summary: actual, target, last year, and the variance as a bar with its interval and its sign."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from kpitoolkit import text
from kpitoolkit.pages.blocks import Html, fill, note

MOST_KPIS = 8
BAR_WIDTH, BAR_HEIGHT, LARGEST_SHARE = 140, 22, 0.5
"""Of a variance bar, in pixels; and the variance at which bars are cut, with a pointed end."""


def relative(actual, reference) -> float | None:
    """(actual - reference) / reference, or None where one is missing or the reference is not positive."""
    if text.is_missing(actual) or text.is_missing(reference) or reference <= 0:
        return None
    return (float(actual) - float(reference)) / float(reference)


def points(actual, reference) -> float | None:
    """The difference of two shares, or None where one is missing."""
    return None if text.is_missing(actual) or text.is_missing(reference) else float(actual) - float(reference)


def variances(kpis: pd.DataFrame) -> pd.DataFrame:
    """Judge each KPI against its target; where no KPI has one, against the same quarter a year ago.

    Variance = (actual - reference) / reference, of a share the difference in points, its interval likewise; there is
    none on a reference that is not positive: a per cent of a loss says nothing. Favourable where it goes the KPI's own
    way (`direction`); not distinguishable where the interval of the figure holds the reference.

    Returns
    -------
    DataFrame
        The rows of the finance basis (a KPI without one: of the marketing basis), with `reference`, `variance`,
        `variance_low`, `variance_high` and `judgement` (`favourable`, `unfavourable`, `indistinguishable`, `equal`:
        to a tenth of a per cent or of a point, `no_reference`).
    """
    finance = kpis["basis"] == "finance"
    rows = kpis[finance | ~kpis["kpi"].isin(kpis.loc[finance, "kpi"])].reset_index(drop=True)
    reference = "target" if rows["target"].notna().any() else "last_year"
    judged = []
    for row in rows.to_dict("records"):
        apart = points if row["value_unit"] == "share" else relative
        variance, low, high = (apart(row.get(name), row[reference]) for name in ("actual", "low", "high"))
        change = points(row["actual"], row[reference])
        if variance is None and change:
            judgement = "favourable" if change * row["direction"] > 0 else "unfavourable"
        elif variance is None:
            judgement = "no_reference"
        elif low is not None and high is not None and low <= 0 <= high:
            judgement = "indistinguishable"
        elif round(variance * 100, 1) == 0:  # as it is written
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
        return note(_("There is no reconciliation for this unit: no figures stand on this page."))
    every = variances(kpis)
    weight = 2 * every["target"].notna() + every["actual"].notna()
    judged = every.loc[weight.sort_values(ascending=False, kind="stable").index[:MOST_KPIS].sort_values()]
    drawn = judged[["variance", "variance_low", "variance_high"]].astype(float).abs()
    limit = min(LARGEST_SHARE, max(0.01, drawn.max().fillna(0).max()), max(0.01, 2 * drawn["variance"].fillna(0).max()))
    rows = []
    for row in judged.to_dict("records"):
        verdict, tone = _verdict(row, language, currency)
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
    if not from_target:
        del headings["target"]
    key = _("blue ▲ favourable, orange ▼ unfavourable, grey: the interval holds the reference; shares in points")
    left = len(every) - len(judged)
    more = _("{n} more stand on the reconciliation page.").format(n=text.number(left, language)) if left else ""
    plain = "\n".join(f"{r['name']}: {r['actual']} {r['unit']} ({r['verdict']})" for r in rows)
    return fill(
        "kpis.html.j2", plain, rows=rows, headings=headings, key=key, more=more, width=BAR_WIDTH, height=BAR_HEIGHT
    )


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
        for least, divisor, prefix in (
            (1e11, 1e11, "B" if language == "en" else "Mld\N{NO-BREAK SPACE}"),
            (1e8, 1e8, "M"),
            (1e6, 1e5, "k"),
        ):
            if size >= least:
                decimals = 0 if divisor == 1e5 else 2
                short = sign + prefix if language == "en" else prefix + sign
                return text.number(float(value) / divisor, language, decimals), short
        return text.number(float(value) / 100, language), sign
    if unit == "money_per_unit":
        return text.number(float(value) / 100, language, 2 if size < 1e6 else 0), sign
    if unit == "share":
        return text.number(float(value) * 100, language, 1), "%"
    if unit == "count" and size >= 1e6:
        return text.number(float(value) / 1e6, language, 2), "M"
    return text.figure(value, unit, language, currency), ""


def _verdict(row: Mapping, language: str, currency: str) -> tuple[str, str]:
    _ = text.translator(language)
    judgement = row["judgement"]
    if judgement == "no_reference":
        words = _("no target") if row["reference"] == "target" else _("no figure of a year ago")
        return words, "even"
    if judgement == "indistinguishable":
        return _("not distinguishable"), "even"
    symbol, tone = {"favourable": ("▲", "good"), "unfavourable": ("▼", "bad"), "equal": ("=", "even")}[judgement]
    if text.is_missing(row["variance"]):
        return f"{symbol} {_change(row, language, currency)}", tone
    in_points = row["value_unit"] == "share"
    written = text.number(float(row["variance"]) * 100, language, decimals=1, signed=True)
    written = _("{points} points").format(points=written) if in_points else f"{written}%"
    return f"{symbol} {written}", tone


def _change(row: Mapping, language: str, currency: str) -> str:
    """The difference itself, where no per cent of the reference can be stated."""
    change = points(row["actual"], row[row["reference"]])
    if row["value_unit"] == "money":
        return text.compact_money(round(change), currency, language, signed=True)
    return text.figure(change, row["value_unit"], language, currency, signed=True)


def bar(row: Mapping, limit: float) -> dict:
    """Place a variance bar and its interval: from the axis in the middle, with pointed ends where they pass the limit.

    Examples
    --------
    >>> bar({"variance": -0.05, "variance_low": None, "variance_high": None, "judgement": "unfavourable"}, 0.1)["path"]
    'M70,5 H38 V17 H70 Z'
    """
    middle, reach = BAR_WIDTH / 2, BAR_WIDTH / 2 - 6

    def across(share: float) -> float:
        return round(middle + max(-1.0, min(1.0, float(share) / limit)) * reach, 1)

    end, cut = across(row["variance"]), abs(float(row["variance"])) > limit * 1.0001
    tip = f"L{end + (5 if end > middle else -5):g},11 L{end:g},17" if cut else "V17"
    tone = {"favourable": "good", "unfavourable": "bad"}.get(row["judgement"], "even")
    interval = [row["variance_low"], row["variance_high"]]
    arrows = ""
    if any(text.is_missing(bound) for bound in interval):
        interval = None
    else:
        for bound, point in zip(interval, (-5, 5), strict=True):
            if abs(float(bound)) > limit * 1.0001:
                arrows += f"M{across(bound):g},7 l{point},4 l{-point},4 Z "
        interval = [across(bound) for bound in interval]
    return {"path": f"M{middle:g},5 H{end:g} {tip} H{middle:g} Z", "tone": tone, "interval": interval, "arrows": arrows}
