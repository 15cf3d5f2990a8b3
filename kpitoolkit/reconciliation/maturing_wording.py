"""What the maturing of a quarter says in words and how it is drawn."""

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import parameters, plots, text


def plot(result, ax: Axes | None, language: str) -> Axes:
    """Draw each quarter's reserve with its interval, and beside it what became of it."""
    rows = result.table[(result.table["component"] == "returns") & result.table["estimate_cents"].notna()]
    rows = rows.sort_values("quarter", kind="stable")
    became = rows["came_cents"] + rows["still_open_cents"]
    frames = [
        rows.assign(series="reserve", cents=rows["estimate_cents"]),
        rows.assign(series="came_back", cents=became, low_cents=pd.NA, high_cents=pd.NA)[became.notna()],
    ]
    frame = pd.concat(frames)[["quarter", "series", "cents", "low_cents", "high_cents"]]
    frame["quarter"] = [text.quarter(quarter, language) for quarter in frame["quarter"]]
    title = text.translator(language)("Returns still to come at each quarter's end, and what came")
    return plots.bars(
        frame.reset_index(drop=True),
        "quarter",
        "cents",
        group="series",
        low="low_cents",
        high="high_cents",
        ax=ax,
        language=language,
        value_format="money",
        currency=result.currency,
        title=title,
    )


def findings(result, language: str) -> list[str]:
    """Say what is still to come, how earlier reserves held, and what the ledger set aside."""
    if not result.examined:
        _ = text.translator(language)
        return [
            _(
                "Not examined: returns still to come need orders and returns, late conversions a forecast of the "
                "attribution."
            )
        ]
    said = _reserve(result, language) + _true_ups(result, language) + _provision(result, language)
    return said + _others(result, language) + _left_out(result, language)


def _money(result, cents, language: str, signed: bool = False) -> str:
    return text.money(None if pd.isna(cents) else int(cents), result.currency, language, signed=signed)


def _reserve(result, language: str) -> list[str]:
    _ = text.translator(language)
    found = result.reserve
    if found.cents is None:
        reasons = {
            "not_examined": _("Returns still to come: not examined, because orders or returns are not declared."),
            "few_returns": _("Returns still to come: no reserve, because fewer than 30 returns are known."),
            "short_history": _("Returns still to come: no reserve, because orders reach back less than 26 weeks."),
            "returns_end_early": _(
                "Returns still to come: no reserve, because the table of returns ends before the quarter does."
            ),
        }
        return [reasons[found.status]]
    day = parameters.quarter_bounds(found.quarter)[1]
    sentence = _("Of orders up to {day}, goods for {amount} are still to come back (90% interval {low} to {high}).")
    older = found.cents - found.own_cents
    if older:
        sentence += " " + _("Of it, {older} is from orders of earlier quarters.")
    amounts = {"amount": found.cents, "low": found.low_cents, "high": found.high_cents, "older": older}
    written = {name: _money(result, cents, language) for name, cents in amounts.items()}
    said = [sentence.format(day=text.date(day, language), **written)]
    if found.tail_open:
        said.append(_("Goods still come back at the oldest ages seen: the reserve is a lower bound."))
    if found.shifted:
        sentences = {
            "more": _("In the last 13 weeks {share} more came back than earlier weeks lead to expect."),
            "less": _("In the last 13 weeks {share} less came back than earlier weeks lead to expect."),
            "other_ages": _("In the last 13 weeks goods came back sooner or later after their order than before."),
        }
        sentence = sentences[found.shifted]
        sentence += " " + _("The reserve rests on all weeks and may be wrong in either direction.")
        said.append(sentence.format(share=text.percent(abs(found.shift), language)))
    return said


def _true_ups(result, language: str) -> list[str]:
    _ = text.translator(language)
    rows = result.table[(result.table["kind"] == "true_up") & result.table["came_cents"].notna()]
    if not len(rows):
        if result.reserve.cents is None:
            return []
        return [_("No earlier quarter's end has history enough for a true-up.")]
    rows = rows.sort_values("quarter", kind="stable")
    last = rows.iloc[-1]
    sentence = (
        _("True-up of {quarter}: {estimate} expected ({low} to {high}), {became} came: inside the interval.")
        if last["inside"]
        else _("True-up of {quarter}: {estimate} expected ({low} to {high}), {became} came: outside the interval.")
    )
    amounts = {name: _money(result, last[f"{name}_cents"], language) for name in ("estimate", "low", "high")}
    became = _money(result, last["came_cents"] + last["still_open_cents"], language)
    said = [sentence.format(quarter=text.quarter(last["quarter"], language), became=became, **amounts)]
    if len(rows) > 1:
        counted = _("Of {all} earlier quarters' ends, {held} held what came inside their intervals.")
        held = text.number(int(rows["inside"].sum()), language)
        said.append(counted.format(all=text.number(len(rows), language), held=held))
    return said


def _provision(result, language: str) -> list[str]:
    _ = text.translator(language)
    rows = result.provision[result.provision["quarter"] == result.reserve.quarter]
    if not len(rows):
        return []
    row = rows.iloc[-1]
    sentence = _(
        "The ledger's returns provision moved revenue by {ledger}; this reserve would have moved it by {movement} "
        "({low} to {high})."
    )
    names = ("ledger", "movement", "low", "high")
    amounts = {name: _money(result, row[f"{name}_cents"], language, signed=True) for name in names}
    outside = "" if row["inside"] else " " + _("The ledger lies outside this interval.")
    return [sentence.format(**amounts) + outside]


def _others(result, language: str) -> list[str]:
    _ = text.translator(language)
    examined = result.reserve.status != "not_examined"
    undated = _("Cancellations still to come: not examined, because orders do not state the day of a cancellation.")
    said = [undated] if examined else []
    row = result.table[result.table["component"] == "late_conversions"].iloc[0]
    if row["status"] == "ok":
        sentence = _(
            "Journeys open at the quarter's end are forecast by the attribution to end in orders of {amount} gross "
            "({low} to {high}: the channels' bounds added up, therefore wide)."
        )
        names = {"amount": "estimate", "low": "low", "high": "high"}
        amounts = {name: _money(result, row[f"{column}_cents"], language) for name, column in names.items()}
        said.append(sentence.format(**amounts))
    else:
        said.append(_("Late conversions: not examined, because the attribution has no forecast of them."))
    return said


def _left_out(result, language: str) -> list[str]:
    _ = text.translator(language)
    if not any(result.left_out.values()):
        return []
    sentence = _(
        "Left out of the reserve: {unknown} returns without a paid order in the table, {before} dated before their "
        "order."
    )
    unknown, before = (text.number(result.left_out[name], language) for name in ("without_order", "before_order"))
    return [sentence.format(unknown=unknown, before=before)]
