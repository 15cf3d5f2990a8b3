"""Blocks of the one-page summary, made from the tables that the other notebooks saved; what is missing is said.

Every block takes saved tables (see docs/architecture.md) or None, and writes "no figure" where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from kpitoolkit import text
from kpitoolkit.pages.blocks import Html, fill
from kpitoolkit.pages.kpis import relative

_AMOUNT = re.compile(
    r"((?:[A-Z]{0,3}[€£$]|[A-Z]{3}\xa0?)\d[\d.,]*\d[A-Zkmbn]*|\d[\d.,]*\d(?:\xa0[^\W\d_]+\.?)?\xa0(?:[€£$]|[A-Z]{3}))"
)

REVENUE, MARGIN, MOVED = "revenue", "contribution_margin_share", ("contribution_margin", "revenue")
"""Ids of the catalogue: what the headline states; whose change on last year is bridged where nothing is claimed."""


def header(
    unit_name: str, quarter: str, sentences: Sequence[str], language: str, marks: Sequence[tuple[str, bool]] = ()
) -> Html:
    """Head the page: whose quarter it is, its marks (a grade, "draft", "over the threshold"), and what happened.

    Parameters
    ----------
    unit_name : str
    quarter : str
        Such as `2026Q3`.
    sentences : sequence of str
        The headline.
    language : {"en", "it"}
    marks : sequence of (str, bool)
        Words, and whether they warn.

    Returns
    -------
    Html
    """
    kicker = f"{text.translator(language)('Summary for leadership')} · {text.quarter(quarter, language)}"
    plain = "\n".join([kicker, unit_name, *(words for words, _warns in marks), *sentences])
    return fill(
        "header.html.j2",
        plain,
        kicker=kicker,
        unit_name=unit_name,
        marks=marks,
        lead=_amounts_apart(" ".join(sentences)),
    )


def _amounts_apart(words: str) -> list[tuple[str, bool]]:
    """Part a text so that amounts of money can be set bold.

    Examples
    --------
    >>> _amounts_apart("Revenue was €12.41M: +4.1%.")
    [('Revenue was ', False), ('€12.41M', True), (': +4.1%.', False)]
    """
    parts = _AMOUNT.split(words)
    return [(part, bool(position % 2)) for position, part in enumerate(parts) if part]


def headline_facts(kpis: pd.DataFrame | None, claims: pd.DataFrame | None) -> pd.DataFrame:
    """Collect what the headline states: booked revenue, its change on a year ago and its distance from target, claims.

    Returns
    -------
    DataFrame
        `item`, `value` (cents or share), `value_unit` (`money`, `share`); missing values where there is no figure.
    """
    revenue, margin = _finance(kpis, REVENUE), _finance(kpis, MARGIN)
    totals = {} if claims is None else claims[claims["kind"] == "total"].set_index("step")["amount_cents"].to_dict()
    moved = None if claims is None else claims.set_index("step")["amount_cents"].get("currency")
    first = None if pd.isna(totals.get("claimed")) else totals["claimed"] + (0 if pd.isna(moved) else moved)
    facts = [
        ("booked_revenue", _get(revenue, "actual"), "money"),
        ("change_on_last_year", relative(_get(revenue, "actual"), _get(revenue, "last_year")), "share"),
        ("variance_from_target", relative(_get(revenue, "actual"), _get(revenue, "target")), "share"),
        ("claimed", first, "money"),
        ("matched_gross", totals.get("matched_gross"), "money"),
        ("margin_share", _get(margin, "actual"), "share"),
        ("margin_share_last_year", _get(margin, "last_year"), "share"),
    ]
    frame = pd.DataFrame(facts, columns=["item", "value", "value_unit"])
    return frame.astype({"value": "Float64"})


def headline(facts: pd.DataFrame, language: str, currency: str) -> list[str]:
    """Say in a few sentences what happened, each with its number.

    Examples
    --------
    >>> facts = pd.DataFrame({"item": ["booked_revenue", "change_on_last_year", "variance_from_target", "claimed",
    ...                                "matched_gross"],
    ...                       "value": [1_241_100_000, 0.041, -0.018, 981_200_000, 660_600_000]})
    >>> for sentence in headline(facts, "en", "EUR"):
    ...     print(sentence)
    Booked revenue was €12.41M: +4.1% on the same quarter a year ago, −1.8% from target.
    Platforms claim €9.81M; the orders matched to their claims are worth €6.61M.
    """
    _ = text.translator(language)
    known = {item: value for item, value in zip(facts["item"], facts["value"], strict=True) if not pd.isna(value)}

    def money(item: str) -> str:
        cents = round(known[item])
        short = abs(cents) >= 100_000_000
        return text.compact_money(cents, currency, language) if short else text.money(cents, currency, language)

    def share(item: str) -> str:
        return text.percent(float(known[item]), language, signed=True)

    sentences = []
    if "booked_revenue" not in known:
        sentences.append(_("There is no figure for booked revenue in this quarter."))
    elif "change_on_last_year" in known and "variance_from_target" in known:
        sentences.append(
            _("Booked revenue was {revenue}: {change} on the same quarter a year ago, {variance} from target.").format(
                revenue=money("booked_revenue"),
                change=share("change_on_last_year"),
                variance=share("variance_from_target"),
            )
        )
    elif "change_on_last_year" in known:
        sentences.append(
            _("Booked revenue was {revenue}: {change} on the same quarter a year ago. No target is declared.").format(
                revenue=money("booked_revenue"), change=share("change_on_last_year")
            )
        )
    elif "variance_from_target" in known:
        sentences.append(
            _("Booked revenue was {revenue}: {variance} from target. There is no figure of a year ago.").format(
                revenue=money("booked_revenue"), variance=share("variance_from_target")
            )
        )
    else:
        sentences.append(
            _("Booked revenue was {revenue}. There is neither a figure of a year ago nor a target.").format(
                revenue=money("booked_revenue")
            )
        )
    if "claimed" in known and "matched_gross" in known:
        sentences.append(
            _("Platforms claim {claimed}; the orders matched to their claims are worth {matched}.").format(
                claimed=money("claimed"), matched=money("matched_gross")
            )
        )
    if "margin_share" in known:
        before = known.get("margin_share_last_year")
        sentence = (
            _("The contribution margin was {share} of revenue.")
            if before is None
            else _("The contribution margin was {share} of revenue, after {before} a year ago.")
        )
        share_now = text.percent(float(known["margin_share"]), language)
        sentences.append(sentence.format(share=share_now, before=text.percent(before, language)))
    return sentences


def unexplained(
    checks: pd.DataFrame | None,
    kpis: pd.DataFrame | None,
    language: str,
    currency: str,
    spend: pd.DataFrame | None = None,
) -> list[str]:
    """Say what we cannot explain, against the threshold that the CFO set; then whether the second computations agree.

    Parameters
    ----------
    checks : DataFrame or None
        `reconciliation_checks`: `check`, `value_cents`, `threshold_cents`, `passed` (empty where not tested).
    kpis : DataFrame or None
        For booked revenue, of which the share is stated.
    spend : DataFrame or None
        `reconciliation_spend`, for the booked marketing cost of which unexplained spend is a share.

    Examples
    --------
    >>> checks = pd.DataFrame({"check": ["net_unexplained", "booked_again"], "value_cents": [1_600_000, 0],
    ...                        "threshold_cents": [6_205_500, 0], "passed": [True, True]})
    >>> kpis = pd.DataFrame({"kpi": ["revenue"], "basis": ["finance"], "actual": [1_241_100_000]})
    >>> [line.replace(chr(160), " ") for line in unexplained(checks, kpis, "en", "EUR")][1]
    '✓ Subtotals that agree with a second computation to the cent: 1 of 1.'
    """
    _ = text.translator(language)
    if checks is None or checks.empty:
        return [_("There is no bridge to the ledger for this unit, so nothing was tested against a threshold.")]
    left = checks["check"].str.endswith("unexplained").fillna(False).astype(bool)
    revenue = _get(_finance(kpis, REVENUE), "actual")
    cost = None if spend is None else dict(zip(spend["step"], spend["amount_cents"], strict=True)).get("booked_cost")
    sentences = []
    untested = checks[left & checks["passed"].isna()]["check"]
    for row in checks[left & checks["passed"].notna()].to_dict("records"):
        of_cost = row["check"].startswith("spend_")
        whole = cost if of_cost else revenue
        known = not text.is_missing(row["value_cents"]) and not text.is_missing(whole) and whole
        share = text.percent(row["value_cents"] / float(whole) if known else None, language, decimals=2)
        of_what = _("{share} of marketing cost") if of_cost else _("{share} of booked revenue")
        told = {
            "check": text.capitalised(text.label(row["check"], language)),
            "value": text.money(row["value_cents"], currency, language),
            "threshold": text.money(row["threshold_cents"], currency, language),
            "share": of_what.format(share=share),
        }
        if row["passed"]:
            sentence = _("✓ {check}: {value} ({share}), within the threshold of {threshold}.")
        else:
            sentence = _("✗ {check}: {value} ({share}), over the threshold of {threshold}: blocks sign-off.")
        sentences.append(sentence.format(**told))
    if len(untested):
        names = text.capitalised("; ".join(text.label(check, language) for check in untested))
        sentences.append(_("– {check}: not tested, for want of data.").format(check=names))
    outside = checks["check"].isin(_NONE_MAY_REMAIN)
    for row in checks[outside & ~checks["passed"].fillna(True).astype(bool)].to_dict("records"):
        told = {"check": text.capitalised(text.label(row["check"], language))}
        if row.get("value_unit") == "count":
            told["value"] = text.number(row["value_cents"], language)
        else:
            told["value"] = text.money(row["value_cents"], currency, language)
        sentences.append(_("✗ {check}: {value}; none may remain: blocks sign-off.").format(**told))
    tested = checks[~left & ~outside]["passed"].dropna().astype(bool)
    if len(tested):
        sentence = _("{sign} Subtotals that agree with a second computation to the cent: {agreed} of {all}.")
        agreed = text.number(int(tested.sum()), language)
        told = {"sign": "✓" if tested.all() else "✗", "agreed": agreed, "all": text.number(len(tested), language)}
        sentences.append(sentence.format(**told))
    return sentences


def marks(
    checks: pd.DataFrame | None, language: str, draft: bool = False, grades: pd.DataFrame | None = None
) -> list[tuple[str, bool]]:
    """Marks beside the unit's name: the bridge's grade, whether modelled figures are a draft, whether a check failed.

    Examples
    --------
    >>> marks(None, "it", grades=pd.DataFrame({"subject": ["claimed"], "grade": ["A"]}))
    [('Grado A', False)]
    """
    _ = text.translator(language)
    found = [] if grades is None else [(_("Grade {grade}").format(grade=grade), False) for grade in grades["grade"]]
    if draft:
        found.append((_("Modelled figures: draft"), False))
    if checks is not None and not checks["passed"].dropna().astype(bool).all():
        found.append((_("Not ready for sign-off"), True))
    return found


_NEEDS = {
    "attribution": (("touchpoints",), "No touchpoints are declared for this unit, so there is no attribution page."),
    "regression": (
        ("ad_spend", "financials"),
        "No spend and revenue are declared for this unit, so there is no regression page.",
    ),
    "reconciliation": (("ledger", "financials"), "Neither a ledger nor filings are declared for this unit."),
    "claims": (
        ("platform_claims",),
        "No platform claims are declared for this unit: the bridge from claimed to booked is not examined.",
    ),
    "spend": (
        ("invoices",),
        "No invoices are declared for this unit: the bridge from spend to ledger is not examined.",
    ),
}


def missing(results: Mapping[str, pd.DataFrame | None], declared: Collection[str], language: str) -> list[str]:
    """Say for each missing result what does not stand on this page, and why: not declared, or not made.

    Parameters
    ----------
    results : mapping
        `attribution`, `regression`, `reconciliation`, `claims` or `spend` to its table or None.
    declared : collection of str
        Tables that the unit's data source declares.

    Examples
    --------
    >>> missing({"attribution": None, "regression": pd.DataFrame()}, {"ledger"}, "en")
    ['No touchpoints are declared for this unit, so there is no attribution page.']
    """
    _ = text.translator(language)
    sentences = []
    for name, frame in results.items():
        needs, sentence = _NEEDS[name]
        if frame is None and any(need in declared for need in needs):
            unmade = _("The result “{result}” is missing, although its data are declared: see the index of this run.")
            sentences.append(unmade.format(result=text.label(name, language)))
        elif frame is None:
            sentences.append(_(sentence))
    return sentences


def bridge(
    claims: pd.DataFrame | None, drivers: pd.DataFrame | None, kpis: pd.DataFrame | None, quarter: str, language: str
) -> tuple[pd.DataFrame | None, str]:
    """Choose the bridge of the page: from claimed to booked, shortened; where nothing is claimed, what moved the year.

    Parameters
    ----------
    claims : DataFrame or None
        `reconciliation_claims`.
    drivers, kpis : DataFrame or None
        `reconciliation_drivers`, `reconciliation_kpis`: the change of the contribution margin, else of revenue, on the
        same quarter a year ago, by the first decomposition that has figures.
    quarter : str
    language : {"en", "it"}

    Returns
    -------
    DataFrame or None
        A bridge in cents; None where there are no figures for one.
    str
        Its title.
    """
    _ = text.translator(language)
    if claims is not None and len(claims):
        return shortened(claims), _("From claimed to booked")
    year_ago = f"{int(quarter[:4]) - 1}{quarter[4:]}"
    for kpi in MOVED if drivers is not None else ():
        row = _finance(kpis, kpi)
        steps = drivers[(drivers["kpi"] == kpi) & (drivers["from_quarter"] == year_ago)]
        start, end = _get(row, "last_year"), _get(row, "actual")
        if steps.empty or start is None or end is None:
            continue
        steps = steps[steps["decomposition"] == steps["decomposition"].iloc[0]]
        name = row.get(f"name_{language}") or text.label(kpi, language)
        lines = [(text.quarter(year_ago, language), "total", round(start))]
        lines += [(d, "step", round(c)) for d, c in zip(steps["driver"], steps["contribution"], strict=True)]
        left = round(end) - sum(amount for _step, _kind, amount in lines)
        lines += [("unexplained", "unexplained", left)] if left else []
        lines += [(text.quarter(quarter, language), "total", round(end))]
        frame = pd.DataFrame(lines, columns=["step", "kind", "amount_cents"]).astype({"amount_cents": "Int64"})
        frame.insert(0, "position", range(len(frame)))
        return frame, _("{kpi}: what changed on last year").format(kpi=name)
    return None, _("There is no bridge: neither claims nor figures of a year ago.")


def shortened(table: pd.DataFrame, most: int = 4) -> pd.DataFrame:
    """Keep a bridge's largest steps before each total and join the smaller ones into one; sums stay exact.

    Parameters
    ----------
    table : DataFrame
        A bridge in cents.
    most : int
        Steps that keep their own line before each total.

    Returns
    -------
    DataFrame
        A bridge; the joined steps are `other_steps`. Steps of zero are left out.

    Examples
    --------
    >>> bridge = pd.DataFrame({"position": range(5), "step": ["a", "b", "c", "d", "e"], "kind": ["total"] + 3 * ["step"]
    ...                        + ["total"], "amount_cents": [10, -4, 1, 2, 9]})
    >>> shortened(bridge, most=1)[["step", "amount_cents"]].values.tolist()
    [['a', 10], ['b', -4], ['other_steps', 3], ['e', 9]]
    """
    table = table.sort_values("position", kind="stable").reset_index(drop=True)
    section = (table["kind"] == "total").astype(bool).cumsum()  # a table read from Parquet has Arrow strings
    steps = table[(table["kind"] == "step") & (table["amount_cents"] != 0).fillna(False)]
    largest = steps["amount_cents"].abs().groupby(section).rank(ascending=False, method="first")
    many = steps.groupby(section)["amount_cents"].transform("size") > most + 1
    small = steps.index[many & (largest > most)]
    joined = steps.loc[small].groupby(section)["amount_cents"].sum()
    lines = []
    for place, row in table.iterrows():
        before = section[place] - 1
        if row["kind"] == "total" and before in joined.index:
            lines.append({"step": "other_steps", "kind": "step", "amount_cents": joined.pop(before)})
        if row["kind"] != "step" or (place in steps.index and place not in small):
            lines.append({name: row[name] for name in ("step", "kind", "amount_cents")})
    frame = pd.DataFrame(lines, columns=["step", "kind", "amount_cents"]).astype({"amount_cents": "Int64"})
    frame.insert(0, "position", range(len(frame)))
    return frame


_NONE_MAY_REMAIN = ("unmapped_accounts", "control_rows", "control_amounts", "open_items_carried")
_GRADES = {
    "A": "Grade A: each claim is traced to its order.",
    "B": "Grade B: claims are bridged by day and channel, because a platform gives no order ids.",
    "C": "Grade C: claims are bridged in total, because a platform gives no order ids.",
}


def footer(
    kpis: pd.DataFrame | None, sources: Sequence[str], language: str, grades: pd.DataFrame | None = None
) -> Html:
    """Close the page: sources, versions of the definitions, what the grade and what "modelled" mean."""
    _ = text.translator(language)
    versions = [] if kpis is None else sorted({str(v) for v in kpis["version"].dropna()})
    names = [text.label(source, language) for source in sources]
    sentences = [_("Sources: {sources}.").format(sources=", ".join(names))] if names else []
    known = [_("Definitions: version {versions}.").format(versions=", ".join(versions))] if versions else []
    known += [] if grades is None else [_(_GRADES[grade]) for grade in grades["grade"] if grade in _GRADES]
    sentences += [" ".join(known)] if known else []
    sentences.append(
        _("Intervals hold 90% unless stated otherwise. “Modelled” is not “caused”: only an experiment shows that.")
    )
    return fill("footer.html.j2", "\n".join(sentences), sentences=sentences)


def _finance(kpis: pd.DataFrame | None, kpi: str) -> Mapping | None:
    """A KPI's row on the finance basis."""
    rows = None if kpis is None else kpis[(kpis["kpi"] == kpi) & (kpis["basis"] == "finance")]
    return None if rows is None or rows.empty else rows.iloc[0].to_dict()


def _get(row: Mapping | None, name: str):
    value = None if row is None else row.get(name)
    return None if text.is_missing(value) else value


def closes(table: pd.DataFrame) -> bool:
    """Tell whether a bridge's totals are what the steps before them add up to, to the cent.

    Examples
    --------
    >>> bridge = pd.DataFrame({"position": [0, 1, 2], "kind": ["total", "step", "total"], "amount_cents": [10, -4, 6]})
    >>> closes(bridge)
    True
    """
    level = None
    drawn = table[table["kind"] != "not_examined"].sort_values("position", kind="stable")
    for kind, amount in zip(drawn["kind"], drawn["amount_cents"], strict=True):
        if kind == "total" and level is not None and amount != level:
            return False
        level = amount if kind == "total" else (level or 0) + amount
    return True
