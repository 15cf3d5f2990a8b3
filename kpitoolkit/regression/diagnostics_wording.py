"""What the checks of a regression say in words: what needs a closer look first, each sentence with its number."""

import pandas as pd

from kpitoolkit import text

LEVEL, SMALLEST_P = 0.05, 0.001
CLEAR = 0.1  # from here on a third decimal of a p-value tells nothing
_ORDER = ("look_closer", "stated", "in_order")
_PLACEBOS = ("future_spend", "budget_follows_demand")
_SHARES = ("r_squared", "rolling_origin", "baseline_below_zero", "channel_out_of_sample", "own_data", "divergences")
_WHOLE = ("ess",)
_BETTER_HIGH = ("ess", "channel_out_of_sample")


def p_text(p_value: float, language: str, letter: str = "") -> str:
    """Write a p-value; below .001 as that, never as 0.000.

    Parameters
    ----------
    letter : str
        Written in front, with an equals sign where there is no other.

    Examples
    --------
    >>> p_text(0.00004, "en"), p_text(0.0412, "it"), p_text(0.00004, "en", "p"), p_text(0.5, "en", "p")
    ('< 0.001', '0,041', 'p < 0.001', 'p = 0.50')
    """
    if text.is_missing(p_value):
        return text.no_figure(language)
    if p_value < SMALLEST_P:
        return f"{letter} < ".lstrip() + text.number(SMALLEST_P, language, 3)
    digits = 3 if p_value < CLEAR else 2
    return (f"{letter} = " if letter else "") + text.number(float(p_value), language, digits)


def shown(table: pd.DataFrame, language: str) -> pd.DataFrame:
    """Return the table of checks with figures and p-values in words; missing ones stay missing."""
    statistic, p_values = [], []
    for row in table.itertuples():
        decimals = 0 if row.check in _WHOLE else 2
        as_share = row.check in _SHARES
        words = text.percent(row.statistic, language) if as_share else text.number(row.statistic, language, decimals)
        statistic.append(None if text.is_missing(row.statistic) else words)
        p_values.append(None if text.is_missing(row.p_value) else p_text(row.p_value, language))
    return table.assign(statistic=statistic, p_value=p_values)


def worst(table: pd.DataFrame) -> pd.DataFrame:
    """Keep of each check the row that most needs a closer look: by verdict, then by p-value, then by statistic.

    Checks that were not examined have none; `findings` names them.

    Examples
    --------
    >>> rows = [("vif", "tv", 1.5, None, "in_order"), ("vif", "web", 7.0, None, "look_closer")]
    >>> table = pd.DataFrame(rows, columns=["check", "channel", "statistic", "p_value", "verdict"])
    >>> worst(table)["channel"].tolist()
    ['web']
    """
    rank = table["verdict"].map({verdict: place for place, verdict in enumerate((*_ORDER, "not_examined"))})
    sign = table["check"].isin(_BETTER_HIGH).map({True: 1.0, False: -1.0})
    ranked = table.assign(rank=rank, p=table["p_value"].astype(float), size=sign * table["statistic"].astype(float))
    first = ranked.sort_values(["rank", "p", "size"], kind="stable").drop_duplicates("check").index
    kept = table.loc[sorted(first)]
    return kept[kept["verdict"] != "not_examined"].reset_index(drop=True)


def findings(table: pd.DataFrame, language: str) -> list[str]:
    """Return the sentences: what needs a closer look, what is only stated, what is in order, what was not examined.

    Parameters
    ----------
    table : DataFrame
        check, channel, statistic, p_value, verdict.
    language : {"en", "it"}
    """
    _ = text.translator(language)
    examined = table[table["verdict"].isin(_ORDER)]
    if not len(examined):
        return [_("No check could be made, for want of periods or of spend.")]
    found: list[tuple[int, str]] = []
    for check, rows in examined.groupby("check", sort=False):
        found += _GROUPS[check](rows, language) if check in _GROUPS else _single(rows.iloc[0], language)
    found += _trap(table, language)
    found.sort(key=lambda pair: pair[0])
    said = [sentence for _place, sentence in found if sentence]
    unseen = [check for check, rows in table.groupby("check", sort=False) if set(rows["verdict"]) == {"not_examined"}]
    if unseen:
        names = ", ".join(text.label(check, language) for check in unseen)
        said.append(
            _("Not examined, for want of periods, of spend or of a sampler's chains: {checks}.").format(checks=names)
        )
    if examined["check"].isin(_PLACEBOS).any():
        said.append(
            _(
                "A placebo that is passed proves nothing: an unseen demand shock in the same period moves spend "
                "and revenue together, and no placebo sees it. Only an experiment can."
            )
        )
    return said


def _single(row: pd.Series, language: str) -> list[tuple[int, str]]:
    """Sentence of a check that concerns the whole."""
    _ = text.translator(language)
    calm = row["verdict"] != "look_closer"
    sentences = {
        "r_squared": _("The model follows {share} of revenue's movement (R2); a high share is no proof of a cause."),
        "durbin_watson": _("After the AR(1) correction neighbouring errors are unrelated (Durbin-Watson {statistic}).")
        if calm
        else _(
            "After the AR(1) correction neighbouring errors are still related (Durbin-Watson {statistic}): the model "
            "misses something that lasts."
        ),
        "ljung_box": _("After the AR(1) correction no pattern over time is left in the errors (Ljung-Box {p}).")
        if calm
        else _(
            "After the AR(1) correction a pattern over time is left in the errors (Ljung-Box {p}): intervals may "
            "be too narrow."
        ),
        "breusch_pagan": _("The errors' size is steady (Breusch-Pagan {p}).")
        if calm
        else _("The errors' size varies (Breusch-Pagan {p}): intervals may be too narrow."),
        "rolling_origin": _(
            "Forecasting the last quarters, each from what came before it, the model errs by {share} of what repeating "
            "the year before would."
        ),
        "baseline_below_zero": _("Revenue without media stays above zero ({share} of draws fall below it).")
        if calm
        else _(
            "In {share} of draws revenue without media falls below zero in some period: the model credits media "
            "with more than there is."
        ),
        "optima": _(
            "From several starts the search for the best fit finds no second explanation that is nearly as good."
        )
        if calm
        else _(
            "Another explanation fits nearly as well ({statistic} log units below the best): the search found more "
            "than one."
        ),
        "divergences": _("The sampler moved without trouble ({share} of its steps diverged).")
        if calm
        else _("The sampler had trouble: {share} of its steps diverged, and intervals may be off."),
    }
    if row["check"] not in sentences:
        return []
    words = sentences[row["check"]].format(
        share=text.percent(row["statistic"], language),
        statistic=text.number(row["statistic"], language, 2),
        p=p_text(row["p_value"], language, "p"),
    )
    return [(_ORDER.index(row["verdict"]), words)]


def _names(rows: pd.DataFrame, language: str, write) -> str:
    """Series and their figures, in brackets; what has no channel is all media together."""
    return ", ".join(
        f"{text.label(row.channel or 'total_media', language)} ({write(row)})" for row in rows.itertuples()
    )


def _future_spend(rows: pd.DataFrame, language: str) -> list[tuple[int, str]]:
    _ = text.translator(language)
    failed = _(
        "Placebo failed: spend of the coming periods explains today's revenue: {channels}. Budgets may anticipate "
        "demand; the contributions are then overstated."
    )
    passed = _("Placebo: spend of the coming periods does not explain today's revenue (smallest {p}).")
    return _judged(rows, failed, passed, language)


def _budget_follows_demand(rows: pd.DataFrame, language: str) -> list[tuple[int, str]]:
    _ = text.translator(language)
    failed = _("Budgets follow past demand: {channels}. Part of what looks like media's contribution may be demand.")
    return _judged(rows, failed, _("Budgets do not follow past demand (smallest {p})."), language)


def _judged(rows: pd.DataFrame, failed: str, passed: str, language: str) -> list[tuple[int, str]]:
    high = rows[rows["verdict"] == "look_closer"]
    if len(high):
        names = _names(high, language, lambda row: p_text(row.p_value, language, "p"))
        return [(0, failed.format(channels=names))]
    return [(2, passed.format(p=p_text(rows["p_value"].min(), language, "p")))]


def _overlap(rows: pd.DataFrame, language: str) -> list[tuple[int, str]]:
    _ = text.translator(language)
    high = rows[rows["verdict"] == "look_closer"]
    if not len(high):
        sentence = _("The channels can be told apart: variance inflation is {largest} at most.")
        return [(2, sentence.format(largest=text.number(rows["statistic"].max(), language, 1)))]
    names = _names(high, language, lambda row: text.number(row.statistic, language, 1))
    sentence = _("Hard to tell apart from the rest, variance inflation of {limit} or more: {channels}.")
    return [(0, sentence.format(channels=names, limit=text.number(5, language)))]


def _without(rows: pd.DataFrame, language: str) -> list[tuple[int, str]]:
    _ = text.translator(language)
    error = _("error {change}")
    sentences = {
        "look_closer": _("Forecasts are better without {channels}: what is modelled there does not hold up."),
        "stated": _("Forecasts are neither clearly better nor worse without {channels}."),
        "in_order": _("Forecasts are worse without {channels}: this spend helps to foresee revenue."),
    }
    said = []
    for place, verdict in enumerate(_ORDER):
        own = rows[rows["verdict"] == verdict]
        if len(own):
            names = _names(own, language, lambda row: error.format(change=_change(row.statistic, language)))
            said.append((place, sentences[verdict].format(channels=names)))
    return said


def _change(ratio: float, language: str) -> str:
    return text.percent(ratio - 1, language, 0, signed=True)


def _own_data(rows: pd.DataFrame, language: str) -> list[tuple[int, str]]:
    _ = text.translator(language)
    sentences = {
        "look_closer": _(
            "The data said nothing of their own about {channels}: what stands there is the prior, moved by the other "
            "channels at most."
        ),
        "stated": _("The data said little of their own about {channels}."),
        "in_order": _("The data spoke of their own about {channels}."),
    }
    left = _("{share} of the uncertainty left")
    said = []
    for place, verdict in enumerate(_ORDER):
        own = rows[rows["verdict"] == verdict]
        if len(own):
            names = _names(own, language, lambda row: left.format(share=text.percent(row.statistic, language, 0)))
            said.append((place, sentences[verdict].format(channels=names)))
    return said


def _r_hat(rows: pd.DataFrame, language: str) -> list[tuple[int, str]]:
    _ = text.translator(language)
    high = rows[rows["verdict"] == "look_closer"]
    if not len(high):
        sentence = _("The sampler's chains agree: R-hat is {largest} at most.")
        return [(2, sentence.format(largest=text.number(rows["statistic"].max(), language, 2)))]
    names = _names(high, language, lambda row: text.number(row.statistic, language, 2))
    return [(0, _("The sampler's chains disagree (R-hat) about {channels}: no verdict there.").format(channels=names))]


def _ess(rows: pd.DataFrame, language: str) -> list[tuple[int, str]]:
    _ = text.translator(language)
    high = rows[rows["verdict"] == "look_closer"]
    if not len(high):
        sentence = _("The draws are worth at least {smallest} independent ones (ESS).")
        return [(2, sentence.format(smallest=text.number(rows["statistic"].min(), language)))]
    names = _names(high, language, lambda row: text.number(row.statistic, language))
    return [(0, _("Too few independent draws (ESS) for sure intervals of {channels}.").format(channels=names))]


def _trap(table: pd.DataFrame, language: str) -> list[tuple[int, str]]:
    """Correlation in levels beside that in changes."""
    _ = text.translator(language)
    by_check = table[table["check"].str.startswith("correlation_")].set_index("check")
    if not len(by_check) or by_check["verdict"].iloc[0] == "not_examined":
        return []
    levels, changes = by_check.loc["correlation_of_levels"], by_check.loc["correlation_of_changes"]
    found = "stated"
    if levels["verdict"] == "look_closer":
        found = "by_chance" if changes["p_value"] >= LEVEL else "against"
    sentences = {
        "stated": _(
            "Correlation of spend and revenue: {levels} in levels, {changes} in changes on a year before ({p})."
        ),
        "by_chance": _(
            "A trap: spend and revenue go together in levels (correlation {levels}), for both grow; in changes on a "
            "year before it is {changes}, which chance alone could give ({p}). The levels are no evidence of an effect."
        ),
        "against": _(
            "A trap: spend and revenue go together in levels (correlation {levels}), for both grow; in changes on a "
            "year before they go against one another ({changes}, {p}). The levels are no evidence of an effect."
        ),
    }
    words = sentences[found].format(
        levels=text.number(levels["statistic"], language, 2),
        changes=text.number(changes["statistic"], language, 2),
        p=p_text(changes["p_value"], language, "p"),
    )
    return [(_ORDER.index(levels["verdict"]), words)]


_GROUPS = {
    "vif": _overlap,
    "channel_out_of_sample": _without,
    "own_data": _own_data,
    "r_hat": _r_hat,
    "ess": _ess,
    "future_spend": _future_spend,
    "budget_follows_demand": _budget_follows_demand,
}
