"""What the truth band says in words; every sentence carries its number."""

import pandas as pd

from kpitoolkit import text
from kpitoolkit.attribution.checks import UNATTRIBUTED
from kpitoolkit.attribution.wording import count


def days(number: float, language: str) -> str:
    """Write a look-back.

    Examples
    --------
    >>> days(30, "it"), days(1, "en"), days(7.5, "en")
    ('30 giorni', '1 day', '7.5 days')
    """
    if float(number).is_integer():
        return text.plural(language, "{n} day", "{n} days", int(number))
    return text.translator(language)("{number} days").format(number=text.number(float(number), language, 1))


def ranks(best, worst) -> str | None:
    """Write a range of ranks: `2`, `2–4`; None where there is none."""
    if pd.isna(best):
        return None
    return f"{best}" if best == worst else f"{best}–{worst}"


def listed(names, language: str, most: int = 6) -> str:
    """Write names one after the other; where there are many, the first ones and how many more."""
    shown = ", ".join(names[:most])
    more = len(names) - most
    return (
        shown if more <= 0 else text.plural(language, "{names} and {n} more", "{names} and {n} more", more, names=shown)
    )


def legend(band, language: str) -> tuple[str, str, str]:
    """Return what the mark, the dark and the light band of the chart are."""
    _ = text.translator(language)
    mark = _("{rule}, {days}").format(rule=_rule(band, language), days=days(band.default_lookback_days, language))
    return mark, _("all rules and look-backs"), _("with the chance of the sample (90%)")


def note(band, left_out: int, language: str) -> str:
    """Return the sentence under the chart: what a range of ranks is, and how many channels are not drawn."""
    _ = text.translator(language)
    said = [
        _("Conversions. A range of ranks: within it the order turns with the rule or the look-back, or may be chance.")
    ]
    if left_out > 0:
        said.append(
            text.plural(
                language,
                "{n} channel with less credit is not drawn.",
                "{n} channels with less credit are not drawn.",
                left_out,
            )
        )
    return " ".join(said)


def findings(band, language: str) -> list[str]:
    """Return sentences on what holds whatever rule is chosen, and what does not."""
    _ = text.translator(language)
    if band.status in ("no_conversions", "nothing_attributed"):
        return [_("0 conversions follow a touchpoint in the period: there is nothing to compare.")]
    channels = band.summary[band.summary["channel"] != UNATTRIBUTED]
    cells = band.table[["model", "lookback_days"]].drop_duplicates()
    leader = channels.iloc[0]
    values = {
        "channel": text.label(leader["channel"], language),
        "default": count(leader["default"], language),
        "lowest": count(leader["lowest"], language),
        "highest": count(leader["highest"], language),
        "rule": _rule(band, language),
        "days": days(band.default_lookback_days, language),
        "cells": text.number(len(cells), language),
    }
    found = []
    if len(channels) > 1 and leader["rank_worst"] == 1:
        found.append(
            _(
                "Under each of the {cells} combinations of rule and look-back {channel} comes first, beyond the chance"
                " of the sample: {default} conversions by {rule} at {days}, between {lowest} and {highest} by the"
                " others."
            ).format(**values)
        )
    elif len(channels) > 1:
        could = [text.label(name, language) for name in channels.loc[channels["rank_best"] == 1, "channel"]]
        found.append(
            _(
                "No channel is sure to come first: the rule, the look-back and chance decide between these: {channels}."
                " By {rule} at {days} it is {channel} with {default} conversions; over the {cells} combinations of"
                " rule and look-back it has between {lowest} and {highest}."
            ).format(channels=listed(could, language), **values)
        )
    found += _rankings(band, language)
    widest = channels.loc[(channels["highest"] - channels["lowest"]).idxmax()]
    if len(cells) > 1:
        found.append(
            _(
                "The choice matters most for {channel}: from {lowest} conversions ({lowest_rule}, {lowest_days}) to"
                " {highest} ({highest_rule}, {highest_days})."
            ).format(
                channel=text.label(widest["channel"], language),
                lowest=count(widest["lowest"], language),
                highest=count(widest["highest"], language),
                lowest_rule=text.label(widest["lowest_model"], language),
                highest_rule=text.label(widest["highest_model"], language),
                lowest_days=days(widest["lowest_lookback_days"], language),
                highest_days=days(widest["highest_lookback_days"], language),
            )
        )
    spread = (channels["highest"] - channels["lowest"]).mean()
    chance = (channels["default_high"] - channels["default_low"]).mean()
    if len(cells) > 1 and chance > 0:
        found.append(
            _(
                "On average {spread} conversions lie between a channel's lowest and highest figure, and {chance}"
                " between the ends of one figure's 90% interval: the choice of rule and look-back weighs {times} times"
                " as much as the chance of the sample."
            ).format(
                spread=text.number(float(spread), language, 0 if spread >= 10 else 1),
                chance=text.number(float(chance), language, 0 if chance >= 10 else 1),
                times=text.number(float(spread / chance), language, 1),
            )
        )
    return found


def _rankings(band, language: str) -> list[str]:
    """Say how many orders of two channels hold, and name the first neighbours whose order does not."""
    _ = text.translator(language)
    pairs = band.rankings
    if not len(pairs):
        return []
    counts = pairs["verdict"].value_counts()
    found = [
        _(
            "In {survive} of {pairs} pairs of channels one is before the other under every rule and look-back, beyond"
            " the chance of the sample; in {changed} the order turns with the rule or the look-back; in {close} all"
            " figures agree, but chance is not excluded."
        ).format(
            pairs=text.number(len(pairs), language),
            survive=text.number(int(counts.get("survives", 0)), language),
            changed=text.number(int(counts.get("changes_with_rule", 0)), language),
            close=text.number(int(counts.get("too_close", 0)), language),
        )
    ]
    place = {channel: at for at, channel in enumerate(band.summary["channel"])}
    turned = [
        pair
        for pair in pairs[pairs["verdict"] == "changes_with_rule"].to_dict("records")
        if place[pair["second"]] - place[pair["first"]] == 1
    ]
    if turned:
        pair = turned[0]
        found.append(
            _(
                "In {agreeing} of {cells} combinations {first} is before {second}: which of the two has more credit is"
                " the rule's answer, not the data's."
            ).format(
                first=text.label(pair["first"], language),
                second=text.label(pair["second"], language),
                agreeing=text.number(int(pair["cells_agreeing"]), language),
                cells=text.number(int(pair["cells"]), language),
            )
        )
    return found


def _rule(band, language: str) -> str:
    return text.label(band.default_model, language)
