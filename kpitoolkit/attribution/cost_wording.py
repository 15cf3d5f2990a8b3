"""What cost and return say in words; every sentence carries its number."""

from kpitoolkit import text
from kpitoolkit.attribution.band_wording import listed
from kpitoolkit.attribution.wording import count


def name(row: dict, language: str) -> str:
    """Write a channel, or a channel and its campaign as it is called."""
    channel = text.label(row["channel"], language)
    return f"{channel}: {row['campaign']}" if row.get("campaign") else channel


def reason(status: str, language: str) -> str | None:
    """Return why a row with spend has no ROAS; None where it has one."""
    _ = text.translator(language)
    return _("not measurable by touchpoints") if status == "no_touchpoints" else None


def chart(found, language: str) -> tuple[str, tuple[str, str, str], str]:
    """Return the title, what the two marks and the light band are, and what the dashed line is."""
    _ = text.translator(language)
    rule = text.label(found.model, language)
    return (
        _("Order value for each {one} of spend").format(one=_one(found, language)),
        (
            _("attributed by {rule}, 90% interval").format(rule=rule),
            _("claimed by the platform"),
            _("all rules and look-backs"),
        ),
        _("value equals spend"),
    )


def note(found, left_out: int, language: str) -> str:
    """Return the sentence under the chart."""
    _ = text.translator(language)
    said = [_("Largest spend first. Attributed by a rule, not caused: no figure here is incremental.")]
    if left_out > 0:
        said.append(
            text.plural(
                language, "{n} row with less spend is not drawn.", "{n} rows with less spend are not drawn.", left_out
            )
        )
    return " ".join(said)


def findings(found, language: str) -> list[str]:
    """Return sentences on what credit cost, what platforms claim, and what this is not."""
    _ = text.translator(language)
    table = found.table
    measured = table[table["status"].isin(["ok", "few_conversions", "no_conversions"])]
    said = _returns(found, measured, language) + _costs(found, language)
    if "roas_lowest" in table:
        said += _span(found, language)
    if "claimed_over_attributed" in table:
        said += _claims(found, language)
    unmeasured = table[table["status"] == "no_touchpoints"]
    if len(unmeasured):
        cents, total = unmeasured["spend_cents"].sum(), table["spend_cents"].sum()
        said.append(
            _(
                "{spend} of spend, {share} of all, went to {names}, where no touchpoint is recorded: it cannot be"
                " measured this way, which does not mean that it brought nothing."
            ).format(
                spend=text.money(cents, found.currency, language),
                share=text.percent(cents / total, language, 0),
                names=_names(unmeasured, language),
            )
        )
    free = table[(table["status"] == "no_spend") & (table["conversions"] > 1e-9)]
    if len(free):
        said.append(
            _("{n} conversions are credited to {names}, for which no spend is recorded: no cost, no ROAS.").format(
                n=count(free["conversions"].sum(), language), names=_names(free, language)
            )
        )
    uncertain = table[table["status"].isin(["few_conversions", "no_conversions"])]
    if len(uncertain):
        said.append(
            _(
                "With {n} credited conversions in all, {names} cannot be judged: what one conversion costs has no"
                " upper bound."
            ).format(n=count(uncertain["conversions"].sum(), language), names=_names(uncertain, language))
        )
    if len(measured):
        said.append(
            _(
                "Attributed ROAS shares out order values by a rule. It is not what the spend caused, and {one} for"
                " {one} is not break-even: an order's value is not its margin."
            ).format(one=_one(found, language))
        )
    return said


def _returns(found, measured, language: str) -> list[str]:
    _ = text.translator(language)
    if not len(measured):
        return []
    total = measured["value_cents"].sum() / measured["spend_cents"].sum()
    judged = measured[measured["status"] == "ok"]
    values = {
        "rule": text.label(found.model, language),
        "one": _one(found, language),
        "total": _amount(total, found, language),
    }
    if len(judged) < 2:
        return [
            _("By {rule}, {total} of order value is credited for each {one} of spend on measurable channels.").format(
                **values
            )
        ]
    best, least = (judged.loc[at] for at in (judged["attributed_roas"].idxmax(), judged["attributed_roas"].idxmin()))
    for key, row in (("best", best), ("least", least)):
        values[key] = name(row.to_dict(), language)
        columns = {"roas": "attributed_roas", "low": "roas_low", "high": "roas_high"}
        values |= {f"{key}_{part}": _amount(row[column], found, language) for part, column in columns.items()}
    return [
        _(
            "By {rule}, {total} of order value is credited for each {one} of spend on measurable channels: most for"
            " {best} ({best_roas}; 90% interval {best_low} to {best_high}), least for {least} ({least_roas};"
            " {least_low} to {least_high})."
        ).format(**values)
    ]


def _span(found, language: str) -> list[str]:
    _ = text.translator(language)
    judged = found.table[found.table["status"] == "ok"]
    if not len(judged):
        return []
    row = judged.loc[(judged["roas_highest"] - judged["roas_lowest"]).idxmax()]
    return [
        _(
            "These intervals hold for one rule. The choice of rule and look-back matters most for {channel}: between"
            " {lowest} and {highest} for each {one} of spend."
        ).format(
            channel=name(row.to_dict(), language),
            lowest=_amount(row["roas_lowest"], found, language),
            highest=_amount(row["roas_highest"], found, language),
            one=_one(found, language),
        )
    ]


def _costs(found, language: str) -> list[str]:
    _ = text.translator(language)
    priced = found.table[found.table["status"] == "ok"]
    if len(priced) < 2:
        return []
    cost = priced["cost_per_conversion_cents"].astype(float)
    values = {}
    for key, row in (("cheap", priced.loc[cost.idxmin()]), ("dear", priced.loc[cost.idxmax()])):
        values[key] = name(row.to_dict(), language)
        columns = {"cost": "cost_per_conversion_cents", "low": "cost_low_cents", "high": "cost_high_cents"}
        values |= {
            f"{key}_{part}": text.money(row[column], found.currency, language, 2) for part, column in columns.items()
        }
    return [
        _(
            "A credited conversion costs between {cheap_cost} ({cheap}; {cheap_low} to {cheap_high}) and {dear_cost}"
            " ({dear}; {dear_low} to {dear_high})."
        ).format(**values)
    ]


def _claims(found, language: str) -> list[str]:
    _ = text.translator(language)
    both = found.table[found.table["claimed_over_attributed"].notna()]
    silent = _unclaimed(found, language)
    if not len(both):
        return silent
    claimed, credited = both["claimed_value_cents"].sum(), both["value_cents"].sum()
    widest = both.loc[both["claimed_over_attributed"].idxmax()]
    return [
        _(
            "The platforms claim {claimed} of order value, {times} times what {rule} credits to them ({credited}); the"
            " gap is widest for {channel}: {most} times."
        ).format(
            claimed=text.money(claimed, found.currency, language),
            times=text.number(float(claimed / credited), language, 2),
            credited=text.money(credited, found.currency, language),
            rule=text.label(found.model, language),
            channel=name(widest.to_dict(), language),
            most=text.number(float(widest["claimed_over_attributed"]), language, 2),
        ),
        *silent,
    ]


def _unclaimed(found, language: str) -> list[str]:
    """Say of which channels with spend no claim arrived: a figure that is missing, and no zero."""
    _ = text.translator(language)
    table = found.table
    if not table["claimed_value_cents"].notna().any():
        return [_("No platform claim arrived for these days: no claimed figure is shown, and none is taken as zero.")]
    silent = table[(table["spend_cents"].fillna(0) > 0) & table["claimed_value_cents"].isna()]
    if not len(silent):
        return []
    sentence = _("No claim arrived for {names}: the claimed figures are missing there, not zero.")
    return [sentence.format(names=_names(silent, language))]


def _amount(ratio: float, found, language: str) -> str:
    return text.money(round(float(ratio) * 100), found.currency, language, 2)


def _one(found, language: str) -> str:
    return text.money(100, found.currency, language)


def _names(rows, language: str) -> str:
    return listed([name(row, language) for row in rows.to_dict("records")], language)


def no_spend(language: str) -> list[str]:
    """Say that there is nothing to hold credit against."""
    _ = text.translator(language)
    return [_("No table of spend is declared: there is no cost per conversion and no attributed ROAS.")]
