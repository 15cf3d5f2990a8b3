"""What experiments say in sentences: the best test, its precision, how to enter it, what bounds its worth."""

import numpy as np
import pandas as pd
from scipy import stats

from kpitoolkit import text

_REACH = stats.norm.ppf(0.95)


def sentences(found, language: str) -> list[str]:
    """Return what experiments found, the best test first.

    Parameters
    ----------
    found : Experiments
    language : str
    """
    _ = text.translator(language)
    if found.contribution_margin_share <= 0:
        sentence = _(
            "No test has a worth here: it is worth the better budgets that it leads to, and with a contribution margin "
            "of {margin} before marketing no budget pays."
        )
        return [sentence.format(margin=text.percent(found.contribution_margin_share, language))]
    said = []
    if found.kind == "draft":
        said.append(_("Draft: these tests are ranked on quick estimates; published ones may rank them otherwise."))
    if len(found.table):
        said += [_best(found, language), _precision(found, language)]
        said += [] if found.table["test_verdict"].iloc[0] == "test_does_not_tell" else [_entry(found, language)]
        said.append(_bound(found, language))
    else:
        said.append(_("There is no channel whose spend a test could change."))
    if found.not_tested:
        names = ", ".join(text.label(name, language) for name in found.not_tested)
        said.append(_("Without spend in the last quarter, and so without a test: {channels}.").format(channels=names))
    return [*said, _assumed(found, language)] if len(found.table) else said


def named(row, frequency: str, language: str) -> dict[str, str]:
    """Return a test's channel, design and length in the reader's words."""
    return {
        "channel": text.label(row["channel"], language),
        "design": text.label(row["design"], language),
        "length": _length(int(row["test_periods"]), frequency, language),
    }


def narrower(table: pd.DataFrame) -> pd.Series:
    """Return the share of the interval's width that a test is expected to take away, never less than none."""
    return (1 - table["width_after"] / table["width_now"]).clip(lower=0)


def _best(found, language: str) -> str:
    _ = text.translator(language)
    best = found.table.iloc[0]
    if best["test_verdict"] == "test_does_not_tell":
        said = _("No test would tell. The most precise: {channel}, {design}, {length}.")
        return said.format(**named(best, found.frequency, language))
    sentence = {
        "test_pays": _(
            "The test worth most: {channel}, {design}, {length}. Choosing the budget after it is expected to bring "
            "{value} more contribution margin over {horizon} than choosing it now."
        ),
        "test_unclear": _(
            "Whether any test pays for itself is too close to call. The best: {channel}, {design}, {length}. Choosing "
            "the budget after it is expected to bring {value} more contribution margin over {horizon} than choosing it "
            "now."
        ),
        "test_does_not_pay": _(
            "No test pays for itself. The best: {channel}, {design}, {length}. Choosing the budget after it is "
            "expected to bring {value} more contribution margin over {horizon} than choosing it now."
        ),
    }[best["test_verdict"]]
    horizon = _length(found.horizon, found.frequency, language)
    value = _money(best["test_value"], found, language)
    said = [sentence.format(**named(best, found.frequency, language), value=value, horizon=horizon)]
    if best["test_value"] > best["test_net"]:
        cost = _money(best["test_value"] - best["test_net"], found, language)
        said.append(_("The test itself costs {cost} of contribution margin.").format(cost=cost))
    if best["test_cost"] < 0:
        gained = _(
            "As modelled, the change of spend gains {gain} while it runs: a reason to change the budget rather than to "
            "test, and not counted here."
        )
        said.append(gained.format(gain=_money(-best["test_cost"], found, language)))
    return " ".join(said)


def _precision(found, language: str) -> str:
    _ = text.translator(language)
    best, share = found.table.iloc[0], narrower(found.table).iloc[0]
    if best["test_verdict"] == "test_does_not_tell":
        if not np.isfinite(best["log_sd"]):
            return _("What it would move cannot be told from the baseline.")
        sentence = _(
            "The noise of its reading would be {times} times the revenue that it is expected to move: the return would "
            "not even be known to within a factor of ten (90%)."
        )
        return sentence.format(times=text.number(float(best["log_sd"]), language, 1))
    sentence = _(
        "It would measure the return to within a factor of {factor} (90%; standard error of the logarithm {log_sd}), "
        "and is expected to narrow the 90% interval of the iROAS of {channel} by {share}."
    )
    return sentence.format(
        factor=text.number(float(np.exp(_REACH * best["log_sd"])), language, 1),
        log_sd=text.number(float(best["log_sd"]), language, 2),
        channel=text.label(best["channel"], language),
        share=text.percent(float(share), language, 0),
    )


def _entry(found, language: str) -> str:
    """Say with which `compared_spend` a result is stated: the world that the data will not show."""
    _ = text.translator(language)
    best = found.table.iloc[0]
    sentence = _(
        "To enter its result, measured against a control group, state as the test's compared spend {now} where most of "
        "the unit takes part in it (what its days would cost as now), and {changed} where only a few regions do (what "
        "they spend, scaled to the whole unit). Do not enter what was read from the unit's own revenue alone: the "
        "model sees that revenue already, and would count it twice."
    )
    amounts = {"now": best["spend_now"], "changed": best["spend_now"] + best["spend_change"]}
    words = {name: text.money(round(each * 100), found.currency, language) for name, each in amounts.items()}
    return sentence.format(**words)


def _bound(found, language: str) -> str:
    _ = text.translator(language)
    best, most = found.table.iloc[0], found.table.loc[found.table["perfect_value"].idxmax()]
    first = _("Knowing the response of {channel} exactly would be worth {perfect}: no test of it can be worth more.")
    said = [_perfect(first, best, found, language)]
    if most["channel"] != best["channel"]:
        second = _("Knowing that of {channel} exactly would be worth {perfect}, the most of all channels.")
        said.append(_perfect(second, most, found, language))
    return " ".join(said)


def _perfect(sentence: str, row: pd.Series, found, language: str) -> str:
    channel = text.label(row["channel"], language)
    return sentence.format(channel=channel, perfect=_money(row["perfect_value"], found, language))


def _assumed(found, language: str) -> str:
    _ = text.translator(language)
    horizon = _length(found.horizon, found.frequency, language)
    if np.isnan(found.total):
        sentence = _(
            "All of this holds as modelled: the noise stays as it was, other spend stays as it is during the test, and "
            "afterwards every channel's spend is chosen again for {horizon}. That a test can also show the model to be "
            "wrong is not counted."
        )
        return sentence.format(horizon=horizon)
    sentence = _(
        "All of this holds as modelled: the noise stays as it was, other spend stays as it is during the test, and "
        "afterwards {total} is shared out again over {horizon}. That a test can also show the model to be wrong is not "
        "counted."
    )
    return sentence.format(total=_money(found.total * found.horizon, found, language), horizon=horizon)


def _length(periods: int, frequency: str, language: str) -> str:
    if frequency == "week":
        return text.plural(language, "{n} week", "{n} weeks", periods)
    return text.plural(language, "{n} quarter", "{n} quarters", periods)


def _money(value: float, found, language: str) -> str:
    return text.compact_money(round(value * 100), found.currency, language)
