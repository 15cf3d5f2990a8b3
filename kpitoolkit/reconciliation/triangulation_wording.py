"""What a triangulation says: how much of each claim is found again, on what the figure rests, where views disagree."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kpitoolkit import text
from kpitoolkit.modelling import LOSES

if TYPE_CHECKING:
    from kpitoolkit.reconciliation.triangulation import Triangulation

DISAGREE = 0.10
FAR_APART = 2.0
TONES = {"above_break_even": "better", "below_break_even": "worse"}


def drawn(result: "Triangulation", language: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the rows of the chart, name, value, low, high and tone, and its words."""
    _ = text.translator(language)
    rows = []
    for row in result.table.itertuples():
        name = text.label(row.channel, language)
        tone = "" if result.break_even is None else TONES.get(row.verdict, "undecided")
        pooled = row.source in ("model_and_experiment", "experiment_alone")
        if pooled and not np.isnan(row.modelled_iroas):
            figures = (row.modelled_iroas, row.modelled_low, row.modelled_high)
            rows.append((f"{name}, {text.label('model_alone', language)}", *figures, ""))
        alone = row.source == "experiment_alone"
        if row.tests > alone:  # a single test that stands alone is what is published
            figures = (row.tested_iroas, row.tested_low, row.tested_high)
            rows.append((f"{name}, {text.label('tested', language)}", *figures, ""))
        if row.source != "no_return":
            published = (row.iroas, row.low, row.high)
            rows.append((f"{name}, {text.label(row.source, language)}", *published, tone))
    frame = pd.DataFrame(rows, columns=["name", "value", "low", "high", "tone"])
    title = _("Revenue per unit of spend, as modelled and as measured by experiments")
    return frame, {"title": title} | (
        {} if result.break_even is None else {"reference_label": text.label("break_even", language)}
    )


def findings(result: "Triangulation", language: str) -> list[str]:
    """Return the sentences of a triangulation."""
    _ = text.translator(language)
    if not result.has_returns:
        return [
            _("Not examined: neither the regression nor an experiment has a return to hold against the claims."),
            *_sums(result, language),
        ]
    said = [_claimed(row, result, language) for row in result.table.itertuples() if _has_both(row)]
    said += _unclaimed(result, language)
    said += _weak(result, language)
    said += _tests(result, language)
    said += _conflicts(result, language)
    if result.window and result.table["calibration"].notna().any():
        sentence = _(
            "The model's return is that of its whole window, {first} to {last}, on revenue net of VAT; claims are of "
            "the quarter, at order value with VAT. The factor turns the one into the other and is no measure of error."
        )
        first, last = (text.date(pd.Timestamp(day), language) for day in result.window)
        said.append(sentence.format(first=first, last=last))
    return said + _sums(result, language)


def _has_both(row) -> bool:
    return not np.isnan(row.calibration)


def _claimed(row, result: "Triangulation", language: str) -> str:
    _ = text.translator(language)
    sentences = {
        "above_break_even": _(
            "{channel}: per unit of spend {claimed} claimed, {attributed} attributed, {found} ({low} to {high}) "
            "published, {basis}: {factor} of the claim. Above break-even ({break_even})."
        ),
        "below_break_even": _(
            "{channel}: per unit of spend {claimed} claimed, {attributed} attributed, {found} ({low} to {high}) "
            "published, {basis}: {factor} of the claim. Below break-even ({break_even})."
        ),
        LOSES: _(
            "{channel}: per unit of spend {claimed} claimed, {attributed} attributed, {found} ({low} to {high}) "
            "published, {basis}: {factor} of the claim. Each sale loses: no return pays."
        ),
    }
    other = _(
        "{channel}: per unit of spend {claimed} claimed, {attributed} attributed, {found} ({low} to {high}) "
        "published, {basis}: {factor} of the claim. Break-even is {break_even}; {verdict}."
    )
    return sentences.get(row.verdict, other).format(**_words(row, result, language))


def _words(row, result: "Triangulation", language: str) -> dict[str, str]:
    figures = {"claimed": row.claimed_roas, "attributed": row.attributed_roas, "found": row.iroas}
    figures |= {"low": row.low, "high": row.high, "break_even": result.break_even}
    words = {name: text.number(value, language, 2) for name, value in figures.items()}
    words |= {"basis": text.label(row.source, language), "factor": text.percent(row.calibration, language, 0)}
    words["channel"] = text.capitalised(text.label(row.channel, language))
    words["verdict"] = text.label(row.verdict_reason or row.verdict, language)
    return words


def _weak(result: "Triangulation", language: str) -> list[str]:
    _ = text.translator(language)
    if not result.evidence:
        return []
    sentence = _("The regression calls its own evidence on all media weak ({reason}): that holds here too.")
    return [sentence.format(reason=text.label(result.evidence, language))]


def _tests(result: "Triangulation", language: str) -> list[str]:
    _ = text.translator(language)
    why = {
        "in_model": _("The model already contains the experiment on {test}: it is not counted a second time."),
        "pooled": _(
            "The experiment on {test} is not in the model: both are pooled, with {bias} added to the model's error on "
            "the log scale."
        ),
        "holds_zero": _(
            "The experiment on {test} found a return that may be zero: it has no logarithm and is compared, not pooled."
        ),
        "outside_window": _("The experiment on {test} lies outside the model's window: it is compared, not pooled."),
        "not_known": _(
            "Whether the model contains the experiment on {test} was not saved: it is not pooled, lest it count twice. "
            "Run the regression again."
        ),
    }
    alone = _(
        "The experiment on {test} stands alone: the regression has no return of this channel that rests on enough data."
    )
    without = set(result.table.loc[result.table["source"] == "experiment_alone", "channel"])
    said = []
    for test in result.tests.itertuples():
        figures = {name: text.number(getattr(test, name), language, 2) for name in ("iroas", "low", "high")}
        figures |= {name: text.date(getattr(test, name), language) for name in ("first_day", "last_day")}
        named = _("{channel} from {first_day} to {last_day}, {iroas} ({low} to {high})")
        named = named.format(channel=text.label(test.channel, language), **figures)
        sentence = alone if test.use == "pooled" and test.channel in without else why[test.use]
        said.append(sentence.format(test=named, bias=text.number(result.bias_log_sd, language, 2)))
    return said


def _conflicts(result: "Triangulation", language: str) -> list[str]:
    _ = text.translator(language)
    said = []
    for row in result.table[result.table["q_p_value"] < DISAGREE].itertuples():
        sentence = _(
            "{channel}: model and experiment disagree (Cochran's Q {q}, p {p}): the pooled figure lies between two "
            "answers. Find out which one is wrong before using it."
        )
        q, p = text.number(row.q, language, 2), text.number(row.q_p_value, language, 3)
        said.append(sentence.format(channel=text.capitalised(text.label(row.channel, language)), q=q, p=p))
    apart = result.tests[(result.tests["use"] != "pooled") & (result.tests["distance"].abs() > FAR_APART)]
    for test in apart.itertuples():
        sentence = _("{channel}: the experiment lies {distance} standard deviations from the model.")
        distance = text.number(abs(test.distance), language, 1)
        said.append(sentence.format(channel=text.capitalised(text.label(test.channel, language)), distance=distance))
    return said


def _unclaimed(result: "Triangulation", language: str) -> list[str]:
    _ = text.translator(language)
    sentence = _(
        "{channel}: {found} ({low} to {high}) per unit of spend published, {basis}, without a claim beside it. "
        "Break-even is {break_even}; {verdict}."
    )
    if result.break_even is None:
        sentence = _(
            "{channel}: {found} ({low} to {high}) per unit of spend published, {basis}, without a claim beside it. "
            "Each sale loses: no return pays."
        )
    rows = result.table[result.table["calibration"].isna() & (result.table["source"] != "no_return")]
    return [sentence.format(**_words(row, result, language)) for row in rows.itertuples()]


def _sums(result: "Triangulation", language: str) -> list[str]:
    _ = text.translator(language)
    made = result.checks.dropna(subset=["passed"])
    if made.empty:
        return []
    failed = made[~made["passed"].astype(bool)]
    said = []
    if failed.empty:
        names = "; ".join(text.label(name, language) for name in made["check"])
        said.append(
            text.plural(
                language,
                "{n} sum holds to the cent: {names}.",
                "{n} sums hold to the cent: {names}.",
                len(made),
                names=names,
            )
        )
    for row in failed.itertuples():
        sentence = _("{check} does not hold: {amount} apart.")
        amount = text.money(row.value_cents, result.currency, language, 2, signed=True)
        said.append(sentence.format(check=text.capitalised(text.label(row.check, language)), amount=amount))
    return said
