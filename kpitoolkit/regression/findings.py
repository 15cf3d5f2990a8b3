"""What a regression found, in sentences for readers: all media together first, then the channels by verdict."""

import pandas as pd

from kpitoolkit import text
from kpitoolkit.regression.returns import TOTAL


def reason(key: str, **values) -> tuple[str, dict]:
    """Name a reason for a verdict, with its values; `findings` writes it out."""
    return key, values


def findings(regression, language: str = "en") -> list[str]:
    """Return a regression's findings.

    Parameters
    ----------
    regression : Regression
    language : {"en", "it"}

    Returns
    -------
    list of str
        Sentences, each with its numbers: all media, why no verdict where there is none, the channels by verdict.
    """
    _ = text.translator(language)
    table = regression.table
    total = table[table["channel"] == TOTAL].iloc[0]
    sentences = [_total(regression, total, language)]
    sentences += [_reason(key, values, language) for key, values in regression.reasons]
    channels = table[table["channel"] != TOTAL]
    fitted = channels[channels["iroas"].notna()]
    if len(fitted):
        sentences += [
            _by_verdict(key, fitted[fitted["verdict"] == key], regression, language)
            for key in ("above_break_even", "below_break_even", "insufficient_data")
        ]
        sentence = _(
            "The next {one} spent, spread as the last was, is modelled to bring {mroas} of revenue; how sure that is, "
            "this draft cannot say."
        )
        sentences.append(
            sentence.format(one=_one(regression, language), mroas=_each(total["mroas"], regression, language))
        )
    return [sentence for sentence in sentences if sentence]


def _total(regression, total: pd.Series, language: str) -> str:
    _ = text.translator(language)
    if total["verdict"] == "not_spent":
        return _("Draft. Nothing was spent on media in these periods: there is no return to model.")
    if pd.isna(total["iroas"]):
        return _("Draft. {spend} went into media; what it brought cannot be modelled from these data.").format(
            spend=_money(total["spend"], regression, language)
        )
    sentence = {
        "above_break_even": _(
            "Draft. All media together: {iroas} of modelled revenue per {one} spent (90% interval {low} to {high}), "
            "above the break-even of {break_even}. {contribution} of revenue, {share}, is modelled as brought by "
            "{spend}."
        ),
        "below_break_even": _(
            "Draft. All media together: {iroas} of modelled revenue per {one} spent (90% interval {low} to {high}), "
            "below the break-even of {break_even}. {contribution} of revenue, {share}, is modelled as brought by "
            "{spend}."
        ),
        "insufficient_data": _(
            "Draft. Insufficient data to place all media together beside the break-even of {break_even}: {iroas} of "
            "modelled revenue per {one} spent, 90% interval {low} to {high}, on {spend}."
        ),
    }[total["verdict"]]
    revenue = regression.contributions["contribution"].sum()
    return sentence.format(
        **{name: _each(total[name], regression, language) for name in ("iroas", "low", "high")},
        one=_one(regression, language),
        break_even=_each(regression.break_even, regression, language),
        contribution=_money(total["contribution"], regression, language),
        share=text.percent(total["contribution"] / revenue, language),
        spend=_money(total["spend"], regression, language),
    )


def _by_verdict(key: str, rows: pd.DataFrame, regression, language: str) -> str:
    _ = text.translator(language)
    if not len(rows):
        return ""
    sentence = {
        "above_break_even": _("Above break-even, as modelled: {channels}."),
        "below_break_even": _("Below break-even, as modelled: {channels}."),
        "insufficient_data": _("Insufficient data to place beside break-even: {channels}."),
    }[key]
    each = _("{channel} {iroas} ({low} to {high})")
    names = [
        each.format(channel=text.label(row["channel"], language), **_figures(row, language))
        for _place, row in rows.iterrows()
    ]
    return sentence.format(channels=", ".join(names))


def _reason(key: str, values: dict, language: str) -> str:
    _ = text.translator(language)
    sentence = {
        "too_few_week": _(
            "spend: {periods} weeks for {coefficients} coefficients. Join channels or lengthen the period."
        ),
        "too_few_quarter": _(
            "spend: {periods} quarters for {coefficients} coefficients. Join channels or lengthen the period."
        ),
        "short_week": _("No verdict is given on {periods} weeks: it takes {shortest}."),
        "short_quarter": _("No verdict is given on {periods} quarters: it takes {shortest}."),
        "constant": _(
            "Spend on {channel} never changes: its effect cannot be told from the baseline. It is left out of the "
            "total."
        ),
        "not_spent": _("Nothing was spent on {channel} in these periods."),
    }[key]
    words = {
        name: text.label(value, language) if isinstance(value, str) else text.number(value, language)
        for name, value in values.items()
    }
    return sentence.format(**words)


def _figures(row: pd.Series, language: str) -> dict[str, str]:
    return {name: text.number(row[name], language, 2) for name in ("iroas", "low", "high")}


def _one(regression, language: str) -> str:
    return text.money(100, regression.currency, language)


def _each(ratio: float, regression, language: str) -> str:
    """Revenue for one unit of the currency."""
    return text.money(round(ratio * 100), regression.currency, language, decimals=2)


def _money(value: float, regression, language: str) -> str:
    return text.compact_money(round(value * 100), regression.currency, language)
