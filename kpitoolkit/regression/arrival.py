"""What arrived for a regression, in sentences: periods, revenue, spend, and all that counts as zero without a row."""

import numpy as np

from kpitoolkit import text
from kpitoolkit.regression.checks import runs
from kpitoolkit.regression.returns import USUAL_SHARE

LONGEST_PAUSE_WEEKS = 3


def findings(arrived, language: str = "en") -> list[str]:
    """Return what arrived.

    Parameters
    ----------
    arrived : Inputs
    language : {"en", "it"}

    Returns
    -------
    list of str
    """
    _ = text.translator(language)
    window = arrived.table[~arrived.table["carry_in"]]
    if not len(window):
        return [_("No complete period arrived.")]
    sentence = {
        "week": _(
            "Weeks that arrived: {periods}, the last one ending on {last}: {revenue} of revenue, {spend} of spend."
        ),
        "quarter": _(
            "Quarters that arrived: {periods}, the last one ending on {last}: {revenue} of revenue, {spend} of spend."
        ),
    }[arrived.frequency]
    revenue = float(window["revenue"].sum())
    spend = float(window[list(arrived.channels)].to_numpy(dtype=float).sum())
    amounts = {"revenue": revenue, "spend": spend}
    said = [
        sentence.format(
            periods=text.number(len(window), language),
            last=text.date(window.index[-1], language),
            **{name: text.compact_money(round(v * 100), arrived.currency, language) for name, v in amounts.items()},
        )
    ]
    if len(window) == 1:
        said.append(_("A single period has no course to draw: there is no chart."))
    carried = int(arrived.table["carry_in"].sum())
    if carried:
        said.append(_("{n} earlier periods give their carry-over only.").format(n=text.number(carried, language)))
    if arrived.empty_periods:
        sentence = _("Nothing was sold in {n} periods, which count as zero: {days}.")
        said.append(_with_days(sentence, arrived.empty_periods, language))
    if revenue > 0 and spend > 0 and not USUAL_SHARE[0] <= spend / revenue <= USUAL_SHARE[1]:
        sentence = _("Spend is {share} of revenue: check the currency and the unit of both before anything else.")
        said.append(sentence.format(share=text.percent(spend / revenue, language, 2)))
    if arrived.no_controls:
        said.append(_("The table of controls has no row of this unit: price, promotions and holidays are left out."))
    if arrived.frequency == "week":
        said += _without_rows(arrived, language) + _pauses_of_platforms(arrived, language)
    return said + arrived.lift_tests.findings(language)


def _with_days(sentence: str, days: tuple, language: str) -> str:
    """Fill in how many days there are and the first three; an ellipsis ends the sentence where there are more."""
    shown = ", ".join(text.date(day, language) for day in days[:3])
    more = len(days) > 3
    said = sentence.format(n=text.number(len(days), language), days=shown + " …" * more)
    return said.removesuffix(".") if more else said


def _without_rows(arrived, language: str) -> list[str]:
    """Say in which weeks no platform has a row."""
    _ = text.translator(language)
    carry_in = arrived.table["carry_in"]
    inside = tuple(day for day in arrived.unreported if not carry_in[day])
    before = len(arrived.unreported) - len(inside)
    said = []
    if inside:
        shown = ", ".join(text.date(day, language) for day in inside[:3]) + " …" * (len(inside) > 3)
        said.append(
            text.plural(
                language,
                "No platform has a row of spend in {n} week of the window, ending on {days}. It counts as zero: if the "
                "export lacks it, the returns are wrong.",
                "No platform has a row of spend in {n} weeks of the window, ending on {days}. They count as zero: if "
                "the export lacks them, the returns are wrong.",
                len(inside),
                days=shown,
            )
        )
    if before:
        sentence = _(
            "Of the {carried} weeks before the window, {n} have no row of spend. They count as zero: if the export "
            "lacks them, the window's first weeks miss what carried over into them."
        )
        numbers = {"carried": int(carry_in.sum()), "n": before}
        said.append(sentence.format(**{name: text.number(value, language) for name, value in numbers.items()}))
    return said


def _pauses_of_platforms(arrived, language: str) -> list[str]:
    """Say which platforms start late, end early or pause long: the rows may be missing, or nothing was spent."""
    _ = text.translator(language)
    late = _(
        "Spend on {channel} begins in the week ending on {day}, {n} weeks into the window; the weeks before count "
        "as zero. If the export lacks them, the return of {channel} is wrong."
    )
    paused = _("{channel} ({n} weeks in all, the longest pause {longest} weeks up to the one ending on {day})")
    said, pauses, bare = [], [], []
    carried = int(arrived.table["carry_in"].sum())
    unreported = arrived.table.index.isin(arrived.unreported)
    for channel in arrived.channels:
        idle = arrived.table[channel] == 0
        if idle.iloc[carried:].all():
            continue
        name, first = text.label(channel, language), int(np.argmin(idle))
        last = len(idle) - 1 - int(np.argmin(idle.to_numpy()[::-1]))
        if first - carried > LONGEST_PAUSE_WEEKS:
            day, n = text.date(idle.index[first], language), text.number(first - carried, language)
            said.append(late.format(channel=name, day=day, n=n))
        elif first >= carried > 0 and not unreported[:carried].all():
            bare.append(name)
        after, steady = len(idle) - 1 - last, not idle.iloc[first : last + 1].any()
        if after > LONGEST_PAUSE_WEEKS or (after and steady and not unreported[last + 1 :].all()):
            said.append(
                text.plural(
                    language,
                    "Spend on {channel} ends in the week ending on {day}, {n} week before the window does; the week "
                    "after counts as zero. If the export lacks it, the return of {channel} is wrong.",
                    "Spend on {channel} ends in the week ending on {day}, {n} weeks before the window does; the weeks "
                    "after count as zero. If the export lacks them, the return of {channel} is wrong.",
                    after,
                    channel=name,
                    day=text.date(idle.index[last], language),
                )
            )
        run = runs(idle.iloc[first : last + 1])
        long = run[(run > LONGEST_PAUSE_WEEKS) & (run.shift(-1, fill_value=0) == 0)].loc[idle.index[carried] :]
        if len(long):
            numbers = {"n": int(long.sum()), "longest": int(long.max())}
            shown = {key: text.number(value, language) for key, value in numbers.items()}
            pauses.append(paused.format(channel=name, day=text.date(long.idxmax(), language), **shown))
    if bare:
        sentence = _(
            "Spend on {channels} is zero in every week before the window. If the export begins with the window, its "
            "first weeks miss what carried over into them."
        )
        said.append(sentence.format(channels=", ".join(bare)))
    if pauses:
        sentence = _(
            "Spend pauses for more than {limit} weeks at a time on {channels}. These weeks count as zero: if the "
            "export lacks them, the returns are wrong."
        )
        limit = text.number(LONGEST_PAUSE_WEEKS, language)
        said.append(sentence.format(limit=limit, channels=", ".join(pauses)))
    return said
