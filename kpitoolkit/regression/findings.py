"""What a regression found, in sentences for readers: how strong the case is, all media together, then the channels."""

import pandas as pd

from kpitoolkit import text
from kpitoolkit.modelling import LOSES
from kpitoolkit.regression.returns import SHORTEST, VERDICTS, unusual_words


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
        Sentences, each with its numbers: that no return pays, where the margin is zero or less; how strong the case
        is; all media together, before and after the data, after the margin and for the next unit of spend; what could
        not be fitted; the channels by verdict, and why where there is none.
    """
    table = regression.table
    total, channels = table.iloc[0], table.iloc[1:]
    sentences = [_draft(regression, language), no_return_pays(regression.contribution_margin_share, language)]
    sentences += [graded(regression, language), _total(regression, total, language)]
    if pd.notna(total["iroas"]):
        sentences.append(_before_and_after(regression, total, language))
        if regression.evidence.grade != "weak":
            sentences += [_next(regression, total, language), _roi(regression, total, language)]
    sentences += [_reason(key, values, language) for key, values in regression.reasons]
    fitted = channels[channels["iroas"].notna()]
    if len(fitted) > 1 or (len(fitted) and regression.evidence.grade != "weak"):
        sentences += _channels(fitted, language)
    return [sentence for sentence in sentences if sentence]


def no_return_pays(contribution_margin_share: float, language: str) -> str:
    """Say that there is no break-even, where the margin before marketing is zero or less; empty elsewhere."""
    if contribution_margin_share > 0:
        return ""
    return text.translator(language)(
        "There is no break-even: the contribution margin before marketing is {margin} of revenue. No sale leaves "
        "anything to pay for the spend that brought it, whatever the return."
    ).format(margin=text.percent(contribution_margin_share, language))


def graded(regression, language: str = "en") -> str:
    """Say plainly how strong the case is, and why it is no stronger.

    Parameters
    ----------
    regression : Regression
    """
    _ = text.translator(language)
    found, frequency = regression.evidence, regression.frequency
    if found.reason == "not_spent":
        return _("Nothing was spent on media in these periods, and so there is no return to model.")
    sentences = {
        ("strong", "week"): _(
            "The data say much, as far as a model can tell: {periods} weeks, chains that agree, and for channels with "
            "{share} of the spend more than half of what was unknown is known now."
        ),
        ("strong", "quarter"): _(
            "The data say much, as far as a model can tell: {periods} quarters, chains that agree, and for channels "
            "with {share} of the spend more than half of what was unknown is known now."
        ),
        ("total_only", "week"): _(
            "On {periods} weeks the data say enough about all media together and little about single channels: enough "
            "about channels with {share} of the spend."
        ),
        ("total_only", "quarter"): _(
            "On {periods} quarters the data say enough about all media together and little about single channels: "
            "enough about channels with {share} of the spend."
        ),
    }
    said = sentences.get(
        (found.grade, frequency), _("No ground for a decision: {why}. Nothing below should move a budget.")
    )
    if regression.break_even is None:
        said = sentences.get((found.grade, frequency), _("How much revenue the spend brought is hardly known: {why}."))
    elif found.grade == "strong":
        said += " " + _("A return near break-even stays undecided all the same.")
    return said.format(
        periods=text.number(regression.periods, language),
        share=text.percent(found.informed_share, language, 0),
        why=_why(regression, language),
    )


def _why(regression, language: str) -> str:
    _ = text.translator(language)
    revenue = regression.contributions["contribution"].sum()
    words = {
        "too_few_periods": _("too few weeks ({periods}), where a verdict takes {shortest}")
        if regression.frequency == "week"
        else _("too few quarters ({periods}), where a verdict takes {shortest}"),
        "not_fitted": _("no channel could be told from the baseline"),
        "chains_disagree": _("the sampler's chains do not agree (R-hat {r_hat})"),
        "unusual_spend": unusual_words(regression.table["spend"].iloc[0] / revenue, language),
        "data_faint": _("the data have not halved what was unknown about all media together"),
        "data_silent": _("the data said next to nothing about all media together, and the figures lean on the prior"),
    }.get(regression.evidence.reason, "")
    return words.format(
        periods=text.number(regression.periods, language),
        shortest=text.number(SHORTEST[regression.frequency], language),
        r_hat=text.number(regression.table["r_hat"].iloc[0], language, 2),
    )


def _draft(regression, language: str) -> str:
    if not regression.draft:
        return ""
    return text.translator(language)(
        "Draft: a quick approximation, good for trying things out and not for publication."
    )


def _total(regression, total: pd.Series, language: str) -> str:
    _ = text.translator(language)
    if total["verdict"] == "not_spent":
        return ""
    if pd.isna(total["iroas"]):
        return _("{spend} went into media; what it brought cannot be modelled from these data.").format(
            spend=_money(total["spend"], regression, language)
        )
    sentence = {
        "below_break_even": _(
            "All media together: {iroas} of modelled revenue per {one} spent (90% interval {low} to {high}), below the "
            "break-even of {break_even} with a probability of {chance}. {contribution} of revenue, {share}, is "
            "modelled as brought by {spend}."
        ),
        "above_break_even": _(
            "All media together: {iroas} of modelled revenue per {one} spent (90% interval {low} to {high}), above the "
            "break-even of {break_even} with a probability of {chance}. {contribution} of revenue, {share}, is "
            "modelled as brought by {spend}."
        ),
        "holds_break_even": _(
            "All media together: {iroas} of modelled revenue per {one} spent (90% interval {low} to {high}), too near "
            "the break-even of {break_even} to call: above it with a probability of {chance}. {contribution} of "
            "revenue, {share}, is modelled as brought by {spend}."
        ),
        LOSES: _(
            "All media together: {iroas} of modelled revenue per {one} spent (90% interval {low} to {high}). "
            "{contribution} of revenue, {share}, is modelled as brought by {spend}."
        ),
    }.get(
        LOSES if total["verdict"] == LOSES else total["verdict_reason"] or total["verdict"],
        _(
            "Insufficient data to place all media together beside the break-even of {break_even}: {iroas} of modelled "
            "revenue per {one} spent, 90% interval {low} to {high}, on {spend}."
        ),
    )
    revenue = regression.contributions["contribution"].sum()
    return sentence.format(
        **{name: _each(total[name], regression, language) for name in ("iroas", "low", "high")},
        one=_one(regression, language),
        break_even="" if regression.break_even is None else _each(regression.break_even, regression, language),
        chance=_chance_of(total, language),
        contribution=_money(total["contribution"], regression, language),
        share=text.percent(total["contribution"] / revenue, language),
        spend=_money(total["spend"], regression, language),
    )


def _before_and_after(regression, total: pd.Series, language: str) -> str:
    sentence = text.translator(language)(
        "Before the data all media together were believed to lie between {prior_low} and {prior_high} per {one}; after "
        "them, between {low} and {high} (90% each)."
    )
    names = ("prior_low", "prior_high", "low", "high")
    figures = {name: _each(total[name], regression, language) for name in names}
    return sentence.format(one=_one(regression, language), **figures)


def _roi(regression, total: pd.Series, language: str) -> str:
    sentence = text.translator(language)(
        "After a contribution margin of {margin} and the spend itself, the modelled return (ROI) of all media together "
        "is {roi} (90% interval {low} to {high}); of the next {one} spent it is {mroi}."
    )
    return sentence.format(
        margin=text.percent(regression.contribution_margin_share, language),
        roi=text.percent(total["roi"], language, 0, signed=True),
        low=text.percent(total["roi_low"], language, 0, signed=True),
        high=text.percent(total["roi_high"], language, 0, signed=True),
        mroi=text.percent(total["mroi"], language, 0, signed=True),
        one=_one(regression, language),
    )


def _next(regression, total: pd.Series, language: str) -> str:
    sentence = text.translator(language)(
        "The next {one} spent, spread as the last was, is modelled to bring {mroas} of revenue (90% interval {low} to "
        "{high})."
    )
    figures = {"mroas": "mroas", "low": "mroas_low", "high": "mroas_high"}
    written = {name: _each(total[column], regression, language) for name, column in figures.items()}
    return sentence.format(one=_one(regression, language), **written)


def _channels(rows: pd.DataFrame, language: str) -> list[str]:
    """Sentences on the channels that were fitted: what was believed of them, then each by verdict or lack of one."""
    _ = text.translator(language)
    sentences = {
        "above_break_even": _(
            "Above break-even, as modelled (in brackets the 90% interval and the probability of being above): "
            "{channels}."
        ),
        "below_break_even": _(
            "Below break-even, as modelled (in brackets the 90% interval and the probability of being below): "
            "{channels}."
        ),
        "holds_break_even": _(
            "Estimated, but too near break-even to call (in brackets the 90% interval and the probability of being "
            "above): {channels}."
        ),
        "data_faint": _("Insufficient data, for they say too little: {channels}."),
        "unusual_spend": _("No verdict before the currency and the unit of spend are checked: {channels}."),
        "data_silent": _(
            "Insufficient data, for they say next to nothing and the figures lean on the prior: {channels}."
        ),
        "chains_disagree": _("No verdict, because the sampler's chains do not agree: {channels}."),
        LOSES: _("Modelled revenue per unit of spend (in brackets the 90% interval): {channels}."),
    }
    said = []
    believed = rows[["prior_low", "prior_high"]]
    alike = bool((believed.max() - believed.min() < 1e-9 * believed.max()).all())
    if alike:
        figures = {end: text.number(rows[f"prior_{end}"].iloc[0], language, 2) for end in ("low", "high")}
        sentence = _("Before the data each channel was believed to lie between {low} and {high}.")
        said.append(sentence.format(**figures))
    keys = rows["verdict"].where(rows["verdict"].isin(VERDICTS), rows["verdict_reason"])
    keys = keys.mask(rows["verdict"] == LOSES, rows["verdict_reason"].where(rows["verdict_reason"] != "", LOSES))
    for key, sentence in sentences.items():
        own = [_channel(row, key, alike, language) for _place, row in rows[keys == key].iterrows()]
        said += [sentence.format(channels=", ".join(own))] * bool(own)
    return said


def _channel(row: pd.Series, key: str, alike: bool, language: str) -> str:
    """A channel's figures; with the probability where it says something, with the prior where it is its own."""
    _ = text.translator(language)
    inside = [_("{low} to {high}")]
    inside += ["{chance}"] * (key in (*VERDICTS, "holds_break_even"))
    inside += [_("before the data {prior_low} to {prior_high}")] * (not alike)
    names = ("iroas", "low", "high", "prior_low", "prior_high")
    written = {name: text.number(row[name], language, 2) for name in names}
    brackets = "; ".join(inside).format(chance=_chance_of(row, language), **written)
    return f"{text.label(row['channel'], language)} {written['iroas']} ({brackets})"


def _reason(key: str, values: dict, language: str) -> str:
    _ = text.translator(language)
    if key == "too_few_week":
        return text.plural(
            language,
            "spend: {n} week for {coefficients} coefficients. Join channels or lengthen the period.",
            "spend: {n} weeks for {coefficients} coefficients. Join channels or lengthen the period.",
            values["periods"],
            coefficients=text.number(values["coefficients"], language),
        )
    if key == "too_few_quarter":
        return text.plural(
            language,
            "spend: {n} quarter for {coefficients} coefficients. Join channels or lengthen the period.",
            "spend: {n} quarters for {coefficients} coefficients. Join channels or lengthen the period.",
            values["periods"],
            coefficients=text.number(values["coefficients"], language),
        )
    sentence = {
        "constant": _(
            "Spend on {channel} never changes: its contribution cannot be told from the baseline. It is left out of "
            "the total."
        ),
        "not_spent": _("Nothing was spent on {channel} in these periods."),
    }[key]
    return sentence.format(channel=text.label(values["channel"], language))


def _chance_of(row: pd.Series, language: str) -> str:
    """The probability that a row's verdict is right: of lying below break-even where that is it, else above."""
    above = row["probability_above_break_even"]
    return chance(1 - above if row["verdict"] == "below_break_even" else above, language)


def chance(probability: float, language: str) -> str:
    """Write a probability as per cent; draws cannot tell one of more than 99% from certainty.

    Examples
    --------
    >>> chance(0.874, "en"), chance(0.999, "en"), chance(0.0, "en")
    ('87%', 'over 99%', 'under 1%')
    """
    _ = text.translator(language)
    if probability > 0.99:
        return _("over {share}").format(share=text.percent(0.99, language, 0))
    if probability < 0.01:
        return _("under {share}").format(share=text.percent(0.01, language, 0))
    return text.percent(probability, language, 0)


def _one(regression, language: str) -> str:
    return text.money(100, regression.currency, language)


def _each(ratio: float, regression, language: str) -> str:
    """Revenue for one unit of the currency."""
    return text.money(round(ratio * 100), regression.currency, language, decimals=2)


def _money(value: float, regression, language: str) -> str:
    return text.compact_money(round(value * 100), regression.currency, language)
