"""What decision robustness says: names of definitions, the page's table and chart, and its findings."""

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults
from kpitoolkit.reconciliation.bridge import FORMATS, for_page, written

if TYPE_CHECKING:
    from kpitoolkit.reconciliation.robustness import Robustness

FEW, DRAWN = 3, 40
VALUES = ("target_reached", "break_even_reached")
GOOD = ("reached", "above_break_even")
TONES = dict.fromkeys(GOOD, "better") | dict.fromkeys(("missed", "below_break_even"), "worse")


def named(family: str, definition: str, language: str) -> str:
    """A definition in the reader's words: its parts, with the days of a look-back written out."""
    parts = definition.split("/")
    words = [
        text.plural(language, "{n} day", "{n} days", int(float(part[:-1])))
        if part.endswith("d") and part[:-1].replace(".", "", 1).isdigit()
        else text.label(part, language)
        for part in parts
    ]
    before = [text.label("matched_claims", language)] if family == "claims" else []
    return ", ".join([*before, *words])


def subject_of(subject: str, language: str) -> str:
    """The reader's word for a KPI or a channel."""
    return text.capitalised(text.label(subject, language))


def verdict_of(verdict: str, language: str) -> str:
    """A verdict in words; a ranking names its channels in order."""
    return " > ".join(text.label(part, language) for part in verdict.split(" > "))


def shown(result: "Robustness", language: str) -> tuple[pd.DataFrame, dict]:
    """The summary for the page, and how it is written."""
    rows = result.summary
    frame = pd.DataFrame(
        {
            "question": [text.label(name, language) for name in rows["question"]],
            "subject": [subject_of(name, language) if name else "–" for name in rows["subject"]],
            "default_answer": [verdict_of(verdict, language) for verdict in rows["verdict"]],
            "definitions": rows["definitions"],
            "flipping": rows["flipping"],
        }
    )
    units = list(rows["value_unit"])
    order = rows["question"].str.startswith("ranking")  # pairs in another order are no figure of the channels
    for end in ("lowest", "highest"):
        frame[end] = pd.Series(for_page(rows[end].mask(order), units), index=frame.index, dtype=object)
    by_row = [FORMATS[unit] for unit in units]
    text_columns = dict.fromkeys(["question", "subject", "default_answer"], "text")
    return frame, text_columns | {"definitions": "number0", "flipping": "number0", "lowest": by_row, "highest": by_row}


def plot(result: "Robustness", ax: Axes | None, language: str, subject: str) -> Axes:
    """Draw a dot for each definition against target or break-even, of those that share the default's."""
    valued = result.table[result.table["question"].isin(VALUES)]
    subject = subject or (valued["subject"].iloc[0] if len(valued) else "cac")
    rows = valued[valued["subject"] == subject]
    _ = text.translator(language)
    if rows.empty and len(valued):
        known = list(dict.fromkeys(valued["subject"]))
        raise Faults("robustness", [f"'{subject}' has no question. Choose one of {', '.join(known)}"])
    title = _("{subject} under each allowed definition").format(subject=subject_of(subject, language))
    columns = ("name", "value", "low", "high")
    if rows.empty:
        return plots.intervals(pd.DataFrame(columns=columns), *columns, ax=ax, language=language, title=title)
    reference = rows.sort_values("default", kind="stable")["reference"].iloc[-1]
    mine = rows[rows["reference"].eq(reference) | pd.isna(reference)]
    most = mine.sort_values("default", ascending=False, kind="stable").head(DRAWN)
    names = [named(row.family, row.definition, language) for row in most.itertuples()]
    label = text.label("target" if rows["question"].iloc[0] == "target_reached" else "break_even", language)
    against = {} if pd.isna(reference) else {"reference": reference, "reference_label": label}
    tones = [TONES.get(verdict, "undecided") if against else "" for verdict in most["verdict"]]
    unit = most["value_unit"].iloc[0]
    form = {"money_per_unit": "money2", "count": "number0", "share": "percent", "ratio": "number2"}[unit]
    drawn = most.assign(name=names, tone=tones, value=for_page(most["value"], most["value_unit"]))
    return plots.intervals(
        drawn, *columns, **against, tone="tone", ax=ax, language=language, value_format=form, title=title,
        currency=result.currency,
    )  # fmt: skip


def findings(result: "Robustness", language: str) -> list[str]:
    """Return the sentences: targets, break-even, rankings."""
    _ = text.translator(language)
    if not len(result.table):
        return [_("Not examined: there is neither a target nor a channel to ask about under other definitions.")]
    return [
        *_targets(result, language),
        *_break_even(result, language),
        *_decisions(result, language),
        *_survivors(result, language),
    ]


def _targets(result: "Robustness", language: str) -> list[str]:
    _ = text.translator(language)
    said = []
    asked = result.table[result.table["question"] == "target_reached"]
    for kpi, rows in asked.groupby("subject", sort=False):
        own = rows[rows["default"]].iloc[0]
        sentence = _(
            "{kpi}: the target of {target} is reached under {reached} of {all} definitions ({lowest} to {highest})."
        )
        words = {"kpi": subject_of(kpi, language), "all": text.number(len(rows), language)}
        words["reached"] = text.number(int((rows["verdict"] == "reached").sum()), language)
        for name, value in (
            ("target", own["reference"]), ("lowest", rows["value"].min()), ("highest", rows["value"].max())
        ):  # fmt: skip
            words[name] = written(value, own["value_unit"], language, result.currency)
        said.append(sentence.format(**words))
        if rows["flips"].any():
            sentence = {
                "reached": _("As the catalogue defines it ({own}) it is reached; it is not under: {flips}."),
                "missed": _("As the catalogue defines it ({own}) it is missed; it is reached under: {flips}."),
            }[own["verdict"]]
            flips = _listed(_names(rows[rows["flips"]], language), language)
            said[-1] += " " + sentence.format(own=named(own["family"], own["definition"], language), flips=flips)
    return said


def _break_even(result: "Robustness", language: str) -> list[str]:
    _ = text.translator(language)
    asked = result.table[result.table["question"] == "break_even_reached"]
    if asked.empty:
        return []
    said, firm = [], []
    for channel, rows in asked.groupby("subject", sort=False):
        if len(rows) < 2 or not rows["default"].any():
            continue
        if not rows["flips"].any():
            firm.append((channel, rows["verdict"].iloc[0]))
            continue
        sentence = _("{channel}: {verdict} as this case defines it; another verdict under {n} of {all}: {flips}.")
        own = rows[rows["default"]].iloc[0]
        flips = rows[rows["flips"]]
        words = {"channel": subject_of(channel, language), "verdict": text.label(own["verdict"], language)}
        words |= {"n": text.number(len(flips), language), "all": text.number(len(rows), language)}
        told = [
            f"{named(row.family, row.definition, language)} ({text.label(row.verdict, language)})"
            for row in flips.itertuples()
        ]
        words["flips"] = _listed(told, language)
        said.append(sentence.format(**words))
    for verdict in dict.fromkeys(verdict for _channel, verdict in firm):
        names = ", ".join(text.label(channel, language) for channel, own in firm if own == verdict)
        sentence = _("Under every definition {verdict}: {channels}.")
        said.append(sentence.format(verdict=text.label(verdict, language), channels=names))
    if (asked["family"] != "return").any():
        said.append(
            _(
                "Attribution and claims divide what was seen, at order value: only the published return speaks of what "
                "spend brought."
            )
        )
    return said


def _decisions(result: "Robustness", language: str) -> list[str]:
    _ = text.translator(language)
    sentences = {
        "first": _("First by {by}: {channel} under {n} of {all} definitions{others}."),
        "last": _("Last by {by}: {channel} under {n} of {all} definitions{others}."),
    }
    said = []
    for question, rows in result.table.groupby("question", sort=False):
        end, _by, by = question.partition("_by_")
        if end not in sentences:
            continue
        own = rows.loc[rows["default"], "verdict"].iloc[0]
        others = [
            _("{channel} under {where}").format(
                channel=text.label(channel, language), where=_listed(_names(flipped, language), language)
            )
            for channel, flipped in rows[rows["flips"]].groupby("verdict", sort=False)
        ]
        words = {"by": text.label(by, language), "channel": text.label(own, language)}
        words |= {"n": text.number(int((~rows["flips"]).sum()), language), "all": text.number(len(rows), language)}
        said.append(sentences[end].format(others="".join(f"; {other}" for other in others), **words))
    for by in ("roas", "cost_per_conversion"):
        rows = result.table[result.table["question"] == f"ranking_by_{by}"]
        if len(rows):
            sentence = _("The whole ranking by {by} stays as it is under {n} of {all} definitions.")
            same = text.number(int((~rows["flips"]).sum()), language)
            words = {"by": text.label(by, language), "n": same, "all": text.number(len(rows), language)}
            said.append(sentence.format(**words))
    if result.left_out:
        names = ", ".join(text.label(name, language) for name in result.left_out)
        said.append(
            _("Not ranked, because not every definition has a figure for it: {channels}.").format(channels=names)
        )
    return said


def _survivors(result: "Robustness", language: str) -> list[str]:
    _ = text.translator(language)
    if not result.survivors:
        return []
    kept, pairs = (text.number(n, language) for n in result.survivors)
    sentence = _(
        "By credit, {kept} of {pairs} pairs of channels keep their order under every rule, look-back and chance."
    )
    return [sentence.format(kept=kept, pairs=pairs)]


def _names(rows: pd.DataFrame, language: str) -> list[str]:
    return [named(row.family, row.definition, language) for row in rows.itertuples()]


def _listed(names: list[str], language: str) -> str:
    """Name the first definitions, and say how many more there are."""
    kept = "; ".join(names[:FEW])
    if len(names) <= FEW:
        return kept
    more = text.plural(language, "{n} more", "{n} more", len(names) - FEW)
    return f"{kept}; {more}"
