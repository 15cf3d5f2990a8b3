"""The scorecard of a unit or of the group: its KPIs with target, past and status, and what was checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from kpitoolkit import parameters, plots, text
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import catalogue as definitions
from kpitoolkit.reconciliation import intervals, measures
from kpitoolkit.reconciliation.bridge import written
from kpitoolkit.reconciliation.catalogue import Catalogue
from kpitoolkit.reconciliation.drivers import Drivers

KPI_COLUMNS = [
    *("kpi", "basis", "actual", "low", "high", "target", "last_year", "previous", "status", "value_unit"),
    *("direction", "owner", "version", "variance", "attainment", "last_year_status", "previous_status"),
    *("name_en", "name_it", "light", "answers"),
]
_FIGURES = ("actual", "target", "attainment", "last_year", "previous")
_STATUSES = {"actual": "status", "last_year": "last_year_status", "previous": "previous_status"}


def _joined(words: Iterable[str]) -> str:
    return ", ".join(words)


@dataclass(frozen=True, eq=False)
class Scorecard:
    """
    KPIs of one quarter.

    ``table`` has one row a KPI and basis; money and money per unit are in cents. ``low`` and ``high`` are the 95%
    interval of what was sampled or modelled; ``light`` says how the figure stands to its target (see ``light``);
    ``answers`` is how many answers a survey's figure rests on where they are fewer than 30. ``unknown_targets`` are
    targets for KPIs that the catalogue does not define.
    """

    table: pd.DataFrame
    quarter: str
    currency: str
    unknown_targets: tuple[str, ...] = ()
    missing_units: tuple[str, ...] = ()

    def shown(self, language: str = "en") -> pd.DataFrame:
        """Names and figures for the page: n/m for what means nothing, a dash for what has no target."""
        _ = text.translator(language)
        marketing = text.label("marketing", language)
        frame = pd.DataFrame({"kpi": self.table[f"name_{language}"]})
        frame["kpi"] += (self.table["basis"] == "marketing").map({True: f", {marketing}", False: ""})
        for figure in _FIGURES:
            units = ["share"] * len(frame) if figure == "attainment" else self.table["value_unit"]
            rounded = bridges.for_page(self.table[figure], units)
            frame[figure] = pd.Series(rounded, index=frame.index, dtype=object)
        frame.loc[self.table["target"].isna(), ["target", "attainment"]] = "–"
        for figure, status in _STATUSES.items():
            frame.loc[self.table[status] == "not_meaningful", figure] = _("n/m")
        ends = [bridges.for_page(self.table[end], self.table["value_unit"]) for end in ("low", "high")]
        written_ends = zip(*ends, self.table["value_unit"], strict=True)
        frame["interval"] = [_interval(low, high, unit, language, self.currency) for low, high, unit in written_ends]
        frame["light"] = [text.label(f"light_{light}", language) for light in self.table["light"]]
        frame["owner"] = [str(owner).replace(" ", "\N{NO-BREAK SPACE}") for owner in self.table["owner"]]
        if self.table["low"].isna().all():
            frame = frame.drop(columns="interval")
        return frame if self.table["target"].notna().any() else frame.drop(columns=["target", "attainment", "light"])

    @property
    def formats(self) -> dict[str, list[str] | str]:
        """How ``shown`` is written: one format a cell."""
        by_row = [bridges.FORMATS[unit] for unit in self.table["value_unit"]]
        formats: dict[str, list[str] | str] = dict.fromkeys(("kpi", "interval", "light", "owner"), "text")
        formats |= {name: list(by_row) for name in _FIGURES}
        targeted = self.table["target"].notna()
        formats["target"] = [form if ok else "text" for form, ok in zip(by_row, targeted, strict=True)]
        formats["attainment"] = ["percent" if ok else "text" for ok in targeted]
        for figure, status in _STATUSES.items():
            meant = self.table[status] != "not_meaningful"
            formats[figure] = [form if ok else "text" for form, ok in zip(by_row, meant, strict=True)]
        return formats

    def plot(self, ax=None, language="en"):
        """Draw the relative change on last year of the KPIs that are no shares."""
        both = self.table[
            self.table["actual"].notna() & (self.table["last_year"] > 0) & (self.table["basis"] == "finance")
        ]
        both = both[both["value_unit"] != "share"]
        frame = pd.DataFrame({"kpi": both[f"name_{language}"], "change": both["actual"] / both["last_year"] - 1})
        return plots.bars(frame, "kpi", "change", ax=ax, language=language, value_format="percent")

    def findings(self, language="en") -> list[str]:
        """Say how revenue stands, which targets are reached, and what has no figure."""
        _ = text.translator(language)
        finance = self.table[self.table["basis"] == "finance"].set_index("kpi")
        name = f"name_{language}"
        said = []
        if self.missing_units:
            missing = _joined(self.missing_units)
            said.append(_("Partial: the results of {units} are missing and are not estimated.").format(units=missing))
        if "revenue" in finance.index and finance.loc["revenue", "actual"] > 0:
            row = finance.loc["revenue"]
            actual = text.compact_money(round(row["actual"]), self.currency, language, least=10_000_000)
            if row["last_year"] > 0:
                change = text.percent(row["actual"] / row["last_year"] - 1, language, signed=True)
                sentence = _("Net revenue of {quarter}: {actual}, {change} on last year.")
                said.append(sentence.format(quarter=text.quarter(self.quarter, language), actual=actual, change=change))
            else:
                sentence = _("Net revenue of {quarter}: {actual}; last year has no figure.")
                said.append(sentence.format(quarter=text.quarter(self.quarter, language), actual=actual))
        judged = finance[finance["light"] != "white"].sort_values("attainment", kind="stable")
        if len(judged):
            below_zero = (judged["target"] == 0) & (judged["direction"] * judged["variance"] < 0)
            seen = judged["light"] != "grey"  # of a target inside the figure's interval nobody knows
            missed = judged[seen & ((judged["attainment"] < 1) | below_zero)]
            reached = int(seen.sum()) - len(missed)
            sentence = text.plural(
                language,
                "{n} of {judged} targets is reached.",
                "{n} of {judged} targets are reached.",
                reached,
                judged=text.number(len(judged), language),
            )
            if len(missed):
                last = missed.iloc[0]
                figures = {
                    column: written(last[column], last["value_unit"], language, self.currency)
                    for column in ("actual", "target")
                }
                sentence += " " + _("Farthest from it: {kpi}, {actual} against {target}.").format(
                    kpi=last[name], **figures
                )
            said.append(sentence)
        for status, sentence in (
            ("no_figure", _("No figure, because the tables do not state it: {kpis}.")),
            ("not_meaningful", _("Not meaningful (n/m), because what it divides by is not positive: {kpis}.")),
        ):
            rows = self.table[self.table["status"] == status]
            if len(rows):
                said.append(sentence.format(kpis=_joined(dict.fromkeys(rows[name]))))
        unclear = judged[judged["light"] == "grey"]
        if len(unclear):
            sentence = _("Not distinguishable from the target, which lies inside the interval: {kpis}.")
            said.append(sentence.format(kpis=_joined(unclear[name])))
        few = self.table[self.table["answers"].notna()]
        if len(few):
            listed = [f"{row[name]} ({text.number(row['answers'], language)})" for _row, row in few.iterrows()]
            said.append(
                _("These rest on few answers, and their intervals are wide: {kpis}.").format(kpis=_joined(listed))
            )
        if self.table["target"].isna().all():
            said.append(_("No targets are stated for this quarter."))
        if self.unknown_targets:
            sentence = _("Targets for KPIs that the catalogue does not define: {kpis}.")
            said.append(sentence.format(kpis=_joined(self.unknown_targets)))
        return said


def attainment(actual: float | None, target: float | None, direction: int) -> float | None:
    """
    ``1 + direction x (actual - target) / |target|``; None where either is missing or the target is zero.

    Examples
    --------
    >>> attainment(90.0, 100.0, -1), attainment(90.0, 100.0, 1)
    (1.1, 0.9)
    """
    if measures.is_missing(actual) or measures.is_missing(target) or target == 0:
        return None
    return 1 + direction * (actual - target) / abs(target)


def _met(actual: float | None, direction: int) -> float | None:
    """For a target of zero, of which there is no share: 1 where it is reached, else 0."""
    return None if measures.is_missing(actual) else float(direction * actual >= 0)


def light(
    attained: float | None, target: float | None, low: float | None, high: float | None, amber_from: float = 0.95
) -> str:
    """
    How a figure stands to its target.

    ``white``: no target or no figure. ``grey``: the target lies inside the figure's interval. Else ``green`` where the
    target is reached, ``amber`` from ``amber_from`` of attainment, ``red`` below. A target of zero knows no amber.

    Examples
    --------
    >>> light(1.02, 100, None, None), light(0.97, 100, None, None), light(0.90, 100, None, None)
    ('green', 'amber', 'red')
    >>> light(0.90, 100, 80, 110), light(None, None, 80, 110)
    ('grey', 'white')
    """
    if measures.is_missing(attained) or measures.is_missing(target):
        return "white"
    if not measures.is_missing(low) and not measures.is_missing(high) and low <= target <= high:
        return "grey"
    return "green" if attained >= 1 else "amber" if attained >= amber_from else "red"


def _interval(low, high, value_unit: str, language: str, currency: str) -> str:
    """The interval as it is written; a dash where there is none."""
    if measures.is_missing(low) or measures.is_missing(high):
        return "–"
    ends = [text.figure(end, bridges.FORMATS[value_unit], language, currency) for end in (low, high)]
    return text.translator(language)("{low} to {high}").format(low=ends[0], high=ends[1])


def latest_targets(targets: pd.DataFrame | None, unit_in_data: str, quarter: str) -> dict[str, float]:
    """The latest version of each target of a unit and quarter, by KPI."""
    if targets is None:
        return {}
    rows = targets[(targets["unit"] == unit_in_data) & (targets["quarter"] == quarter)].sort_values("version")
    return dict(zip(rows["kpi"], rows["value"].astype(float), strict=True))


def scorecard(
    catalogue: Catalogue,
    table: pd.DataFrame,
    quarter: str,
    declared: Iterable[str],
    currency: str,
    targets: pd.DataFrame | None = None,
    unit_in_data: str = "",
    missing_units: Iterable[str] = (),
) -> Scorecard:
    """
    Compute every KPI that the declared tables allow.

    A KPI without a target is left out where one of its measures about the company has no row in any quarter: the unit
    has nothing of the kind, such as leads.

    Parameters
    ----------
    catalogue : Catalogue
    table : DataFrame
        Measures, as ``measures.compute`` gives them.
    quarter : str
    declared : iterable of str
        Tables that the data source declares.
    currency : str
    targets : DataFrame, optional
        In units of the currency; applied to the finance basis where there is one.
    unit_in_data : str
        The unit's name in ``targets``.
    missing_units : iterable of str
        Of a group: units without results; every figure then has status ``partial`` and is held against no target.

    Returns
    -------
    Scorecard

    Raises
    ------
    Faults
        Where a decomposition does not equal its formula on these data.
    """
    values = {name: measures.at(table, then) for name, then in _looks(quarter).items()}
    definitions.check_decompositions(catalogue, values["actual"])
    wanted = latest_targets(targets, unit_in_data, quarter)
    missing_units = tuple(missing_units)
    rows = []
    for kpi, basis in catalogue.listed(declared):
        if wanted.get(kpi.id, kpi.target) is None and measures.has_nothing_of(table, kpi.measures(basis)):
            continue
        figures = {name: kpi.value(basis, given) for name, given in values.items()}
        target = wanted.get(kpi.id, kpi.target) if basis == next(iter(kpi.formula.given())) else None
        target = None if target is None else bridges.as_kept(target, kpi.unit)
        actual, status = figures["actual"]
        low, high = intervals.of_kpi(kpi, basis, values["actual"])
        judged = None if missing_units else actual  # a target of the whole group is not one of a part
        attained = attainment(judged, target, kpi.direction)
        rows.append(
            {
                **{name: value for name, (value, _) in figures.items()},
                **{f"{name}_status": was for name, (_, was) in figures.items() if name != "actual"},
                "kpi": kpi.id,
                "basis": basis,
                "target": target,
                "status": "partial" if status == "ok" and missing_units else status,
                "value_unit": kpi.unit,
                "direction": kpi.direction,
                "owner": _joined(kpi.owner),
                "version": kpi.version,
                "variance": None if target is None or judged is None else judged - target,
                "attainment": attained,
                "low": low,
                "high": high,
                "light": light(
                    _met(judged, kpi.direction) if target == 0 else attained, target, low, high, catalogue.amber_from
                ),
                "answers": intervals.few_answers(kpi, basis, values["actual"]),
                "name_en": kpi.name.en,
                "name_it": kpi.name.it,
            }
        )
    frame = pd.DataFrame(rows, columns=KPI_COLUMNS)
    floats = ["actual", "low", "high", "target", "last_year", "previous", "variance", "attainment", "answers"]
    frame[floats] = frame[floats].astype(float)
    unknown = tuple(sorted(set(wanted) - {kpi.id for kpi in catalogue.kpis}))
    return Scorecard(frame, quarter, currency, unknown, missing_units)


def _looks(quarter: str) -> dict[str, str]:
    shift = parameters.shift_quarter
    return {"actual": quarter, "last_year": shift(quarter, -4), "previous": shift(quarter, -1)}


def checks(card: Scorecard, moves: Drivers, values: Mapping[str, object], **others: pd.DataFrame) -> pd.DataFrame:
    """
    What was checked, what it gave and what it may give at most, in one table.

    Parameters
    ----------
    card : Scorecard
    moves : Drivers
    values : mapping
        Measures of the quarter, as ``measures.at`` gives them.
    **others : DataFrame
        Checks of the bridges to the ledger, by the key of the bridge, which distinguishes checks of one name.

    Returns
    -------
    DataFrame
        `subject, check, value_cents, threshold_cents, value_unit, passed`; ``passed`` is empty where a check was not
        examined; `value_unit` is ``money``, or ``count`` where both figures are numbers of rows.
    """
    rows = []
    parts = [values.get(name) for name in ("revenue", "cost_of_sales", "marketing_cost", "contribution_margin")]
    if not any(measures.is_missing(part) for part in parts):
        rows.append(("definitions", "printed_contribution_margin", parts[0] - parts[1] - parts[2] - parts[3], 0))
    for (kpi, decomposition), result in moves.bridges.items():
        if result.status == "ok" and result.value_unit == "money":
            amounts = result.table["amount_cents"].tolist()
            whole = card.table[card.table["kpi"] == kpi].iloc[0]  # the first basis stated, as in the decomposition
            rows.append((kpi, decomposition, round(whole["actual"] - whole["last_year"]) - sum(amounts[1:-1]), 0))
    own = pd.DataFrame(rows, columns=["subject", "check", "value_cents", "threshold_cents"]).assign(value_unit="money")
    names: set[str] = set()
    found = []
    for subject, frame in others.items():
        of_two = frame["check"].isin(names)
        names |= set(frame["check"])
        unit = frame.get("value_unit", "money")
        check = frame["check"].mask(of_two, subject + "_" + frame["check"])
        found.append(frame.assign(subject=subject, check=check, value_unit=unit))
    joined = pd.concat([own, *[frame[own.columns] for frame in found]], ignore_index=True)
    joined = joined.astype(
        {
            "value_cents": "Int64",
            "threshold_cents": "Int64",
            **dict.fromkeys(("subject", "check", "value_unit"), "string"),
        }
    )
    return joined.assign(passed=(joined["value_cents"].abs() <= joined["threshold_cents"]).astype("boolean"))


def checks_shown(table: pd.DataFrame) -> pd.DataFrame:
    """The checks for the page: `not_examined` where there was nothing to check, never passed and never failed."""
    shown = table.assign(passed=table["passed"].astype(object).fillna("not_examined"))
    return shown.drop(columns="value_unit", errors="ignore")


def checks_formats(table: pd.DataFrame) -> dict[str, list[str]]:
    """How ``checks_shown`` is written where some checks count rows: money as money, rows as numbers."""
    if "value_unit" not in table or (table["value_unit"] == "money").all():
        return {}
    written = ["number0" if unit == "count" else "money" for unit in table["value_unit"]]
    return {"value_cents": written, "threshold_cents": written}
