"""What a budget says in words: the decision with its number first, then the plan, then what it rests on."""

from collections.abc import Mapping

import pandas as pd

from kpitoolkit import text

MOST_NAMES = 8


def in_cents(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the frame with these money columns in whole cents, renamed `<name>_cents`."""
    money = {name: (frame[name].astype(float) * 100).round().astype("Int64") for name in names}
    return frame.assign(**money).rename(columns={name: f"{name}_cents" for name in names})


def plan(row: Mapping, language: str) -> str:
    """Write a plan's name; the analyst's own stays as it was given."""
    _ = text.translator(language)
    if row["plan"] == "channel_off":
        return _("{channel} switched off").format(channel=text.label(row["channel"], language))
    return text.label(row["plan"], language)


def title(budget, language: str) -> str:
    """Return the chart's title: what to do."""
    _ = text.translator(language)
    if budget.decision == "move":
        return _("Spend of the quarter: last one and proposed")
    if budget.reason == "not_distinguishable":
        return _("Stay: the best plan found cannot be told from last quarter's")
    return _("Stay: spend of last quarter, and the best plan found")


def findings(budget, language: str) -> list[str]:
    """Return a budget's findings.

    Parameters
    ----------
    budget : Budget
    language : {"en", "it"}

    Returns
    -------
    list of str
    """
    _ = text.translator(language)
    if budget.reason == "nothing_modelled":
        return [_("Stay with last quarter's plan: no channel's return could be modelled, so no other can be proposed.")]
    if budget.reason == "no_margin":
        sentence = _(
            "No budget by profit: with a contribution margin of {margin} before marketing no return pays, and of all "
            "plans the one that sells least would lose least. Whether to spend at all, for growth, is not decided here."
        )
        return [sentence.format(margin=text.percent(budget.contribution_margin_share, language))]
    said = [_decision(budget, language)]
    if budget.doubt:
        return _closed([*said, _left_out(budget, language)], budget, language)
    said.append(_another_total(budget, language))
    if budget.extra is not None:
        said.append(_extra(budget, language))
    if budget.shares_out and budget.reason != "no_better":
        said += [_changes(budget, language), _at_bounds(budget, language)]
    said.append(_as_last_quarter(budget, language))
    said += [_unsure(budget, language)] * budget.shares_out
    said += [_left_out(budget, language), _basis(budget, language), _scenarios(budget, language)]
    return _closed(said, budget, language)


def _closed(said: list[str], budget, language: str) -> list[str]:
    """The sentences that say something, and last that they rest on a draft."""
    _ = text.translator(language)
    draft = _("Draft: these intervals are an approximation, not for publication.")
    return [sentence for sentence in [*said, draft * (budget.kind == "draft")] if sentence]


def _decision(budget, language: str) -> str:
    _ = text.translator(language)
    sentence = {
        "": _(
            "Move to the proposed plan: it is modelled to bring {gain} of contribution margin beyond {stay} (90% "
            "interval {low} to {high}; probability of a gain {probability})."
        ),
        "one_channel": _("Stay with {stay}: with one channel and a fixed total there is nothing to share out."),
        "not_distinguishable": _(
            "Stay with {stay}: the best other plan within the bounds cannot be told from it. It is modelled to bring "
            "{gain} of contribution margin, but the 90% interval runs from {low} to {high} (probability of a gain "
            "{probability})."
        ),
        "no_better": _("Stay with {stay}: within the bounds no other plan is modelled to bring more."),
        "short": _("Stay with {stay}: {length} are too few for a plan to rest on, and none is shown."),
        "unusual_spend": _(
            "Stay with {stay}: spend is so small or so large beside revenue that its currency or unit seems wrong. "
            "Check both before any plan."
        ),
        "not_converged": _(
            "Stay with {stay}: the estimation did not settle, no plan should rest on it, and none is shown."
        ),
        "weak": _(
            "Stay with {stay}: the data have not halved what was unknown about all media together. A plan would rest "
            "on the prior, and none is shown."
        ),
    }["one_channel" if budget.reason == "one_channel" else budget.doubt or budget.reason]
    mixed = budget.total == "fixed" and not budget.doubt and budget.shares_out
    stay = _("last quarter's mix at the same total") if mixed else _("last quarter's plan")
    stay = _("last quarter's mix at the stated total") if budget.total == "stated" else stay
    return sentence.format(
        stay=stay,
        gain=_money(budget.gain.mean, budget, language, signed=True),
        low=_money(budget.gain.low, budget, language, signed=True),
        high=_money(budget.gain.high, budget, language, signed=True),
        probability=_probability(budget.gain.probability, language),
        length=length(budget.window, budget.frequency, language),
    )


def _extra(budget, language: str) -> str:
    _ = text.translator(language)
    figures = {
        "gain": _money(budget.extra.mean, budget, language, signed=True),
        "low": _money(budget.extra.low, budget, language, signed=True),
        "high": _money(budget.extra.high, budget, language, signed=True),
    }
    if budget.extra.distinguishable:
        before, after = budget.table["spend_now"].sum(), budget.table["spend_best"].sum()
        sentence = _(
            "The total was free: {after} instead of {before}. Changing it is modelled to bring {gain} of contribution "
            "margin beyond sharing the same total better (90% interval {low} to {high})."
        )
        figures |= {name: _money(v, budget, language) for name, v in (("after", after), ("before", before))}
        return sentence.format(**figures)
    return _(
        "The total was free, but a change of it cannot be told from last quarter's total: {gain} of contribution "
        "margin, 90% interval {low} to {high}. The total stays."
    ).format(**figures)


def _changes(budget, language: str) -> str:
    _ = text.translator(language)
    rows = budget.table.assign(moved=(budget.table["spend_best"] - budget.table["spend_now"]).abs())
    rows = rows[rows["moved"] > 0.005 * rows["spend_now"].sum() / len(rows)].sort_values("moved", ascending=False)
    if not len(rows):
        return ""
    each = _("{channel} {now} to {best}")
    names = [
        each.format(
            channel=text.label(row.channel, language),
            now=_money(row.spend_now, budget, language),
            best=_money(row.spend_best, budget, language),
        )
        for row in rows.itertuples()
    ]
    sentence = (
        _("Proposed for the quarter: {channels}.")
        if budget.decision == "move"
        else _("The best plan found would be: {channels}.")
    )
    return sentence.format(channels="; ".join(names[:MOST_NAMES]) + " …" * (len(names) > MOST_NAMES))


def _at_bounds(budget, language: str) -> str:
    _ = text.translator(language)
    at = {end: _names(budget.table.loc[budget.table["bound"] == end, "channel"], language) for end in ("high", "low")}
    if at["high"] and at["low"]:
        sentence = _(
            "The plan stops at the upper bound of {high} and at the lower bound of {low}: the bounds decide there, not "
            "the data."
        )
    elif at["high"]:
        sentence = _("The plan stops at the upper bound of {high}: the bound decides there, not the data.")
    elif at["low"]:
        sentence = _("The plan stops at the lower bound of {low}: the bound decides there, not the data.")
    else:
        return ""
    return sentence.format(**at)


def _as_last_quarter(budget, language: str) -> str:
    _ = text.translator(language)
    row = budget.scenarios.iloc[0]
    return _(
        "As last quarter, media are modelled to bring {revenue} of revenue on {spend} of spend: {margin} of "
        "contribution margin after spend (90% interval {low} to {high})."
    ).format(
        revenue=_money(row["contribution"], budget, language),
        spend=_money(row["spend"], budget, language),
        margin=_money(row["contribution_margin"], budget, language),
        low=_money(row["margin_low"], budget, language),
        high=_money(row["margin_high"], budget, language),
    )


def _another_total(budget, language: str) -> str:
    """Say that less or more of the same mix would gain, where that was observed; a free total has said so already."""
    _ = text.translator(language)
    if budget.total == "free":
        return ""
    sentence = {
        "a_fifth_less": _(
            "How much to spend in all is a decision of its own, and not taken here: a fifth less on every channel is "
            "modelled to gain {gain} (90% interval {low} to {high})."
        ),
        "a_fifth_more": _(
            "How much to spend in all is a decision of its own, and not taken here: a fifth more on every channel is "
            "modelled to gain {gain} (90% interval {low} to {high})."
        ),
    }
    said = [
        sentence[row["plan"]].format(
            gain=_money(row["gain"], budget, language, signed=True),
            low=_money(row["gain_low"], budget, language, signed=True),
            high=_money(row["gain_high"], budget, language, signed=True),
        )
        for row in budget.scenarios.to_dict("records")
        if row["plan"] in sentence and row["gain_low"] > 0 and not row["beyond"]
    ]
    return " ".join(said)


def _unsure(budget, language: str) -> str:
    _ = text.translator(language)
    names = _names(budget.table.loc[budget.table["verdict"] == "insufficient_data", "channel"], language)
    sentence = _("The data allow no verdict on {channels}: their place in any plan rests on the prior as well.")
    return sentence.format(channels=names) if names else ""


def _left_out(budget, language: str) -> str:
    _ = text.translator(language)
    said = []
    idle = budget.table[(budget.table["spend_now"] == 0) & (budget.table["high_bound"] == 0)]
    if len(idle):
        sentence = _("Nothing was spent on {channels} last quarter: the plan leaves them at nothing.")
        said.append(sentence.format(channels=_names(idle["channel"], language)))
    if budget.left_out:
        sentence = _("Without a modelled return, and so without a plan: {channels}.")
        said.append(sentence.format(channels=_names(budget.left_out, language)))
    return " ".join(said)


def _basis(budget, language: str) -> str:
    _ = text.translator(language)
    after = (
        _("what it adds to later periods counts, at last quarter's spend in these")
        if budget.tail
        else _("what it adds to later periods does not count")
    )
    return _(
        "Assumed: spend is constant within the quarter; earlier spend carries over into it; {after}; the margin before "
        "marketing is {margin}. Unless stated otherwise, each channel stays within {change} of last quarter's spend "
        "and within what was observed."
    ).format(
        after=after,
        margin=text.percent(budget.contribution_margin_share, language, 0),
        change=text.percent(budget.largest_change, language, 0),
    )


def _scenarios(budget, language: str) -> str:
    _ = text.translator(language)
    beyond = budget.plans[budget.plans["beyond"].astype(bool)]
    if not len(beyond):
        return ""
    names = ", ".join(plan(row, language) for row in beyond.to_dict("records"))
    return _("Beyond what was observed, where the curve's shape speaks and not the data: {plans}.").format(plans=names)


def _probability(share: float, language: str) -> str:
    """Write a probability; draws never show that it is none or one."""
    _ = text.translator(language)
    if share > 0.99:
        return _("above {share}").format(share=text.percent(0.99, language, 0))
    if share < 0.01:
        return _("below {share}").format(share=text.percent(0.01, language, 0))
    return text.percent(share, language, 0)


def length(periods: int, frequency: str, language: str) -> str:
    """Write how long something lasts: `8 weeks`, `1 quarter`."""
    if frequency == "week":
        return text.plural(language, "{n} week", "{n} weeks", periods)
    return text.plural(language, "{n} quarter", "{n} quarters", periods)


def _names(channels, language: str) -> str:
    return ", ".join(text.label(name, language) for name in channels)


def _money(value: float, budget, language: str, signed: bool = False) -> str:
    return text.compact_money(round(value * 100), budget.currency, language, signed=signed)
