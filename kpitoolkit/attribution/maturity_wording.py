"""What the quarter close and its true-up say in words; every sentence carries its number."""

import pandas as pd

from kpitoolkit import text
from kpitoolkit.attribution.checks import UNATTRIBUTED
from kpitoolkit.attribution.wording import count

_HALF_DAY = pd.Timedelta(hours=12)  # inside the last day, wherever the quarter ends at midnight


def close(result, language: str, currency: str | None = None) -> list[str]:
    """Return sentences on what is open, what it will bring and which channel gains most from waiting."""
    _ = text.translator(language)
    last_day = text.date(result.bounds[1] - _HALF_DAY, language)
    totals = result.totals.set_index("measure")
    sums = totals.loc["conversions"]
    found = [
        text.plural(
            language,
            "{n} journey was open at the end of {day}: its customer may still order within {days} days of the last"
            " touchpoint.",
            "{n} journeys were open at the end of {day}: their customers may still order within {days} days of the"
            " last touchpoint.",
            result.open_journeys,
            day=last_day,
            days=count(result.lookback_days, language),
        )
    ]
    if result.status != "ok":
        return [*found, _no_forecast(result.status, language)]
    worth = totals.loc["value", "forecast"]
    worth = text.number(worth, language) if currency is None else text.money(round(worth * 100), currency, language)
    found.append(
        _("They are expected to bring {forecast} conversions (90% interval {low} to {high}), worth {value}.").format(
            forecast=count(sums["forecast"], language),
            low=count(sums["low"], language),
            high=count(sums["high"], language),
            value=worth,
        )
    )
    found.append(
        _(
            "{carried} of the quarter's {credited} conversions were carried in: their journeys were open when it began."
            " Without them, and with those to come, the quarter's own journeys bring {at_maturity}."
        ).format(
            carried=count(sums["carried_in"], language),
            credited=count(sums["credited"], language),
            at_maturity=count(sums["at_maturity"], language),
        )
    )
    markov = result.table[(result.table["model"] == "markov") & (result.table["channel"] != UNATTRIBUTED)]
    if len(markov) and sums["credited"] > 0 and sums["at_maturity"] > 0:
        shares = markov["credited"] / sums["credited"], markov["at_maturity"] / sums["at_maturity"]
        gains = (shares[1] - shares[0]).idxmax()
        line = markov.loc[gains]
        found.append(
            _(
                "Counting by the date of the order is least fair to {channel}: {credited} of all conversions by Markov,"
                " against {at_maturity} at maturity ({forecast} conversions still to come, 90% interval {low} to"
                " {high})."
            ).format(
                channel=text.label(line["channel"], language),
                credited=text.percent(shares[0][gains], language),
                at_maturity=text.percent(shares[1][gains], language),
                **{name: count(line[name], language) for name in ("forecast", "low", "high")},
            )
        )
    return found


def true_up(result, language: str) -> list[str]:
    """Return sentences on whether the forecast of the quarter before held."""
    _ = text.translator(language)
    if result.status == "short_history":
        return [
            _(
                "The touchpoints begin on {first}: too late to repeat the forecast of the quarter before. It was not"
                " examined."
            ).format(first=text.date(result.first, language))
        ]
    if result.status == "not_over":
        return [
            _(
                "The quarter is shorter than the look-back: what the journeys open at its start bring is not all known."
                " The forecast of the quarter before was not examined."
            )
        ]
    if result.status == "few_conversions":
        return [_("Too few conversions before the quarter to repeat its forecast. It was not examined.")]
    total, table = result.total, result.table
    found = [
        _(
            "At the end of {day}, {forecast} conversions were expected from the journeys then open (90% interval {low}"
            " to {high}). {came} came."
        ).format(
            day=text.date(result.moment - _HALF_DAY, language),
            **{name: count(total[name], language) for name in ("forecast", "low", "high", "came")},
        )
    ]
    if not total["inside"]:
        found.append(
            _(
                "That is {gap} against the forecast, outside its interval: customers behaved otherwise than before, as"
                " in a season or a promotion. The forecast for the end of this quarter may err as much."
            ).format(gap=text.percent(total["came"] / total["forecast"] - 1, language, 0, signed=True))
        )
    held = int(table["inside"].sum())
    if held == len(table):
        found.append(
            text.plural(
                language,
                "The forecast held for the {n} channel.",
                "The forecast held for all {n} channels.",
                len(table),
            )
        )
        return found
    missed = table[~table["inside"].astype(bool)]
    found.append(
        text.plural(
            language,
            "{n} of {all} channels came outside its interval: {names}. Where the forecast holds, one in ten does.",
            "{n} of {all} channels came outside their intervals: {names}. Where the forecast holds, one in ten does.",
            len(missed),
            all=text.number(len(table), language),
            names=", ".join(text.label(name, language) for name in missed["channel"]),
        )
    )
    return found


def _no_forecast(status: str, language: str) -> str:
    _ = text.translator(language)
    if status == "short_history":
        return _(
            "The touchpoints reach back less than a look-back and four weeks: too little to see how long customers"
            " take. No forecast is made."
        )
    if status == "long_lookback":
        return _(
            "The look-back is longer than the quarter: a journey may be open when it begins and when it ends, and would"
            " count twice. No forecast is made."
        )
    return _("Too few conversions to see how long customers take. No forecast is made.")
