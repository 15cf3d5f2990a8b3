"""Alignment: do marketing and finance mean, see and aim at the same? A table, KPI by KPI, and never one score.

Also what a campaign reached of the criteria that were agreed for it: judged as agreed, whatever would look better now.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import parameters, plots, text
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import kinds, measures, target_tree
from kpitoolkit.reconciliation.bridge import written
from kpitoolkit.reconciliation.catalogue import Catalogue, Kpi

MATERIALITY = 0.005
DEFINITIONS = ("one_definition", "within_materiality", "beyond_materiality", "no_figure")
MOVES = ("same_direction", "opposite_directions", "one_basis", "no_figure")
COLUMNS = [
    *("kpi", "owner", "direction", "finance", "marketing", "gap", "gap_share", "materiality", "definition", "moves"),
    *("target", "recombined", "residual_needed", "residual_actual", "targets", "missing", "evidence"),
    *("value_unit", "name_en", "name_it"),
]
CRITERIA = [
    *("campaign", "kpi", "basis", "first_day", "last_day", "agreed_on", "agreed_by", "standing", "changed_since"),
    *("target", "actual", "status", "reason", "value_unit", "name_en", "name_it"),
]


@dataclass(frozen=True, eq=False)
class Alignment:
    """
    One row a KPI. Whether its figure is signed is known only after the page was made: a signature is on all of a unit's
    figures, and stands in the page's own line on the sign-off.

    Attributes
    ----------
    table : DataFrame
        ``kpi, owner, direction`` (1: more is better); ``finance, marketing, gap`` (finance less marketing; money in
        cents), ``gap_share`` (of finance; infinite where that is zero), ``materiality, definition``
        (``one_definition``: stated once, on one basis;
        ``within_materiality``, ``beyond_materiality``, ``no_figure``); ``moves`` (whether both bases moved the same
        way on last year); ``target, recombined`` (what the other targets make of it), ``residual_needed,
        residual_actual, targets`` (see ``target_tree.Verdict``), ``missing`` (measures without a target); ``evidence``
        (the KPI's class, as ``Evidence.strip`` has it; ``not_declared``, ``not_examined``).
    """

    table: pd.DataFrame
    quarter: str
    currency: str
    evidence_examined: bool = False
    of_group: bool = False

    def shown(self, language: str = "en") -> pd.DataFrame:
        """The table for the page."""
        rows = self.table
        frame = pd.DataFrame({"kpi": rows[f"name_{language}"], "owner": rows["owner"]})
        for column in ("finance", "marketing"):
            frame[column] = pd.Series(bridges.for_page(rows[column], rows["value_unit"]), dtype=object)
        frame["gap_share"] = rows["gap_share"].where(np.isfinite(rows["gap_share"]))
        for column in ("definition", "moves"):
            frame[column] = rows[column]
        frame["targets_fit"] = rows["targets"]
        frame["evidence"] = rows["evidence"]
        return frame

    @property
    def formats(self) -> dict[str, list[str] | str]:
        """How ``shown`` is written."""
        forms = [bridges.FORMATS.get(unit, "number2") for unit in self.table["value_unit"]]
        return {"kpi": "text", "owner": "text", "finance": forms, "marketing": forms, "gap_share": "percent"}

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw how far each KPI's marketing figure lies from its finance figure."""
        rows = self.table[np.isfinite(self.table["gap_share"])]
        frame = pd.DataFrame({"kpi": rows[f"name_{language}"], "distance": rows["marketing"] / rows["finance"] - 1})
        title = text.translator(language)("Marketing figure against finance figure")
        return plots.bars(frame, "kpi", "distance", ax=ax, language=language, value_format="percent", title=title)

    def findings(self, language: str = "en") -> list[str]:
        """Say where both sides differ in definition, in direction and in targets, and what is common ground."""
        _ = text.translator(language)
        said = self._definitions(language)
        opposed = self._names(self.table["moves"] == "opposite_directions", language)
        if opposed:
            said.append(
                _("On last year the two bases moved in opposite directions: {kpis}.").format(kpis=", ".join(opposed))
            )
        said += self._targets(language)
        common = self._names(self.table["evidence"] == "common_ground", language)
        if common:
            said.append(_("Common ground, with a proven lead: {kpis}.").format(kpis=", ".join(common)))
        elif self.evidence_examined:
            said.append(_("No KPI is common ground: none is on one definition with a proven lead."))
        return said

    def _names(self, which: pd.Series, language: str) -> list[str]:
        return self.table.loc[which.to_numpy(dtype=bool), f"name_{language}"].tolist()

    def _definitions(self, language: str) -> list[str]:
        _ = text.translator(language)
        counts = self.table["definition"].value_counts()
        compared = int(counts.get("within_materiality", 0) + counts.get("beyond_materiality", 0))
        if not compared:
            return [_("No KPI has a figure on both bases: definitions are not compared.")]
        said = [
            text.plural(
                language,
                "{n} KPI has figures on both bases: {within} within materiality, {beyond} beyond it.",
                "{n} KPIs have figures on both bases: {within} within materiality, {beyond} beyond it.",
                compared,
                within=text.number(int(counts.get("within_materiality", 0)), language),
                beyond=text.number(int(counts.get("beyond_materiality", 0)), language),
            )
        ]
        far = self.table[self.table["definition"] == "beyond_materiality"]
        if len(far):
            row = far.loc[far["gap_share"].idxmax()]
            sentence = _("Farthest apart: {kpi}, {marketing} on the marketing basis, {finance} on the finance basis.")
            amounts = {b: written(row[b], row["value_unit"], language, self.currency) for b in ("marketing", "finance")}
            said.append(sentence.format(kpi=row[f"name_{language}"], **amounts))
        return said

    def _targets(self, language: str) -> list[str]:
        _ = text.translator(language)
        if not self.table["target"].notna().any():
            return [_("No targets are stated: whether they fit together is not examined.")]
        said = []
        for row in self.table[self.table["targets"] == "does_not"].to_dict("records"):
            sentence = (
                _("The units' targets do not make the group's: {kpi} is to reach {target}, they make it {recombined}.")
                if self.of_group
                else _("The targets do not fit together: {kpi} is to reach {target}, the others make it {recombined}.")
            )
            said.append(self._written(sentence, row, language))
        for row in self.table[self.table["targets"] == "needs_residual"].to_dict("records"):
            sentence = _(
                "{kpi}: from what its parts' targets make ({recombined}) to its own target ({target}) it takes "
                "{needed}; this quarter it is {residual_actual}."
            )
            said.append(self._written(sentence, row, language))
        fit = self._names(self.table["targets"] == "recombines", language)
        if fit:
            said.append(_("Targets that the others recombine to: {kpis}.").format(kpis=", ".join(fit)))
        untold = self._names(self.table["targets"] == "cannot_be_told", language)
        if untold:
            sentence = _("Cannot be told, because parts have no target: {kpis}.")
            said.append(sentence.format(kpis=", ".join(untold)))
        if self.of_group:
            said.append(_("Units' targets are added before intercompany; customers are not added."))
        return said

    def _written(self, sentence: str, row: Mapping, language: str) -> str:
        columns = {"target": "target", "recombined": "recombined", "needed": "residual_needed"}
        columns["residual_actual"] = "residual_actual"
        amounts = {
            name: written(row[column], row["value_unit"], language, self.currency, column.startswith("residual"))
            for name, column in columns.items()
        }
        return sentence.format(kpi=row[f"name_{language}"], **amounts)


def alignment(
    catalogue: Catalogue,
    card: pd.DataFrame,
    quarter: str,
    currency: str,
    verdicts: Mapping[str, target_tree.Verdict] | None = None,
    evidence: pd.DataFrame | None = None,
    materiality_share: float = MATERIALITY,
    of_group: bool = False,
) -> Alignment:
    """
    Put beside each KPI how far both sides agree on it.

    Parameters
    ----------
    catalogue : Catalogue
    card : DataFrame
        The scorecard's table.
    quarter, currency : str
    verdicts : mapping, optional
        Of ``target_tree.verdicts`` or ``target_tree.of_group``.
    evidence : DataFrame, optional
        ``Evidence.strip`` (``kpi, class``).
    materiality_share : float
        For KPIs that state none of their own.
    of_group : bool
        Whether the verdicts hold the group's targets against its units'.

    Returns
    -------
    Alignment
    """
    verdicts, listed = verdicts or {}, card.set_index(["kpi", "basis"])
    classes = {} if evidence is None else dict(zip(evidence["kpi"], evidence["class"], strict=True))
    rows = []
    for kpi in catalogue.kpis:
        bases = [basis for basis in kpi.formula.given() if (kpi.id, basis) in listed.index]
        if not bases:
            continue
        figures = {basis: listed.loc[(kpi.id, basis)] for basis in bases}
        verdict = verdicts.get(kpi.id, target_tree.Verdict("no_target"))
        threshold = materiality_share if kpi.materiality is None else kpi.materiality
        untested = "not_examined" if kpi.influences else "not_declared"
        rows.append(
            {
                "kpi": kpi.id,
                "owner": ", ".join(kpi.owner),
                "direction": kpi.direction,
                **_gap(kpi, figures, threshold),
                "materiality": threshold,
                "moves": _moves(figures),
                **{"target": verdict.target, "recombined": verdict.recombined, "residual_needed": verdict.needed},
                "residual_actual": verdict.actual_residual,
                **{"targets": verdict.status, "missing": " ".join(verdict.missing)},
                "evidence": classes.get(kpi.id, untested),
                **{"value_unit": kpi.unit, "name_en": kpi.name.en, "name_it": kpi.name.it},
            }
        )
    frame = pd.DataFrame(rows, columns=COLUMNS)
    floats = ["finance", "marketing", "gap", "gap_share", "materiality", "target", "recombined"]
    floats += ["residual_needed", "residual_actual"]
    return Alignment(frame.astype(dict.fromkeys(floats, float)), quarter, currency, evidence is not None, of_group)


def materiality_by_kpi(catalogue: Catalogue, materiality_share: float = MATERIALITY) -> dict[str, float]:
    """The share by which each KPI may differ: its own, else the one for all."""
    return {kpi.id: materiality_share if kpi.materiality is None else kpi.materiality for kpi in catalogue.kpis}


def _gap(kpi: Kpi, figures: Mapping[str, pd.Series], threshold: float) -> dict[str, object]:
    values = {basis: float(row["actual"]) for basis, row in figures.items()}
    if len(kpi.formula.given()) == 1:
        return values | {"gap": None, "gap_share": None, "definition": "one_definition"}
    if len(values) < 2 or any(np.isnan(value) for value in values.values()):
        return values | {"gap": None, "gap_share": None, "definition": "no_figure"}
    gap = values["finance"] - values["marketing"]
    share = abs(gap) / abs(values["finance"]) if values["finance"] else (0.0 if gap == 0 else np.inf)
    near = "within_materiality" if share <= threshold else "beyond_materiality"
    return values | {"gap": gap, "gap_share": share, "definition": near}


def _moves(figures: Mapping[str, pd.Series]) -> str:
    if len(figures) < 2:
        return "one_basis"
    signs = [np.sign(float(row["actual"]) - float(row["last_year"])) for row in figures.values()]
    if any(np.isnan(sign) for sign in signs):
        return "no_figure"
    return "opposite_directions" if signs[0] * signs[1] < 0 else "same_direction"


@dataclass(frozen=True, eq=False)
class Criteria:
    """
    What campaigns reached of what was agreed.

    ``table`` has one row a criterion: ``campaign, kpi, basis, first_day, last_day, agreed_on, agreed_by``, ``standing``
    (``agreed_before``, ``agreed_late``, ``without_cfo``), ``changed_since`` (the KPI has a later version than the
    agreement), ``target, actual`` (money in cents), ``status`` (``reached``, ``not_reached``, ``still_running``,
    ``cannot_be_told``), ``reason`` (``no_figure``; ``window``: not of whole quarters; ``distinct``: customers of
    several quarters are not added).
    """

    table: pd.DataFrame
    currency: str

    def shown(self, language: str = "en") -> pd.DataFrame:
        """The table for the page."""
        rows = self.table
        frame = pd.DataFrame({"campaign": rows["campaign"], "kpi": rows[f"name_{language}"], "basis": rows["basis"]})
        for column in ("target", "actual"):
            frame[column] = pd.Series(bridges.for_page(rows[column], rows["value_unit"]), dtype=object)
        for column in ("status", "standing", "first_day", "last_day", "agreed_on"):
            frame[column] = rows[column]
        return frame

    @property
    def formats(self) -> dict[str, list[str] | str]:
        """How ``shown`` is written."""
        forms = [bridges.FORMATS.get(unit, "number2") for unit in self.table["value_unit"]]
        days = dict.fromkeys(("first_day", "last_day", "agreed_on"), "date")
        return {"campaign": "text", "kpi": "text", "target": forms, "actual": forms, **days}

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each campaign's figure as a share of what was agreed."""
        rows = self.table[self.table["actual"].notna() & (self.table["target"] != 0)]
        frame = pd.DataFrame({"share": rows["actual"] / rows["target"]})
        frame["campaign"] = rows["campaign"] + ", " + rows[f"name_{language}"]
        title = text.translator(language)("Campaign criteria: figure as a share of the agreed target")
        return plots.bars(frame, "campaign", "share", ax=ax, language=language, value_format="percent", title=title)

    def findings(self, language: str = "en") -> list[str]:
        """Say what was agreed, what came, and what was agreed too late or by too few."""
        _ = text.translator(language)
        if not len(self.table):
            return [_("No campaign criteria were agreed for this unit and quarter.")]
        sentences = {
            "reached": _("{campaign}: {kpi} reached, {actual} against the agreed {target}."),
            "not_reached": _("{campaign}: {kpi} not reached, {actual} against the agreed {target}."),
            "still_running": _("{campaign}: {kpi} is judged after {last_day}, as agreed."),
            "cannot_be_told": _(
                "{campaign}: {kpi} cannot be told, because its figure for the agreed window is missing."
            ),
        }
        late = _("Agreed on {agreed_on}, when the campaign had begun: it is no criterion agreed beforehand.")
        alone = _("Agreed without the CFO.")
        changed = _("The KPI's definition has changed since the agreement.")
        said = []
        for row in self.table.to_dict("records"):
            whole = [sentences[row["status"]]]
            whole += {"agreed_late": [late], "without_cfo": [alone]}.get(row["standing"], [])
            whole += [changed] if row["changed_since"] else []
            amounts = {
                name: written(row[name], row["value_unit"], language, self.currency) for name in ("actual", "target")
            }
            days = {name: text.date(row[name], language) for name in ("last_day", "agreed_on")}
            said.append(
                " ".join(whole).format(campaign=row["campaign"], kpi=row[f"name_{language}"], **amounts, **days)
            )
        return said


def judge(
    catalogue: Catalogue, criteria: Iterable, found: pd.DataFrame, unit: str, quarter: str, currency: str
) -> Criteria:
    """
    Judge the campaigns whose window touches a quarter by what was agreed: KPI, basis, target, window.

    Parameters
    ----------
    catalogue : Catalogue
    criteria : iterable of catalogue.Criterion
        ``campaign, unit, kpi, basis, target, first_day, last_day, agreed_on, agreed_by, standing``.
    found : DataFrame
        Measures, as ``measures.compute`` gives them.
    unit, quarter, currency : str

    Returns
    -------
    Criteria
    """
    begin, end = (day.date() for day in parameters.quarter_bounds(quarter))
    kpis = {kpi.id: kpi for kpi in catalogue.kpis}
    rows = []
    for entry in criteria:
        if entry.unit != unit or entry.last_day < begin or entry.first_day > end:
            continue
        kpi = kpis[entry.kpi]
        actual, reason = (None, "") if entry.last_day > end else _over_window(kpi, entry, found)
        target = bridges.as_kept(entry.target, kpi.unit)
        reached = actual is not None and kpi.direction * (actual - target) >= 0
        status = "reached" if reached else "cannot_be_told" if reason else "not_reached"
        rows.append(
            {
                **{name: getattr(entry, name) for name in CRITERIA[:6]},
                "agreed_by": ", ".join(entry.agreed_by),
                "standing": entry.standing,
                "changed_since": kpi.version > 1 and kpi.date > entry.agreed_on,
                **{"target": target, "actual": actual, "reason": reason},
                "status": "still_running" if entry.last_day > end else status,
                **{"value_unit": kpi.unit, "name_en": kpi.name.en, "name_it": kpi.name.it},
            }
        )
    frame = pd.DataFrame(rows, columns=CRITERIA)
    days = dict.fromkeys(("first_day", "last_day", "agreed_on"), "datetime64[us]")
    return Criteria(frame.astype({"target": float, "actual": float, **days}), currency)


def _over_window(kpi: Kpi, entry, found: pd.DataFrame) -> tuple[float | None, str]:
    """The KPI over whole quarters; flows of several are added, customers and stocks of several are not."""
    quarters = _whole_quarters(entry.first_day, entry.last_day)
    if not quarters:
        return None, "window"
    looks = [measures.at(found, then) for then in quarters]
    needed = kpi.measures(entry.basis)
    if len(quarters) > 1 and any(kinds.of(name).additive != "flow" or kinds.base_of(name)[1] for name in needed):
        return None, "distinct"
    values = {
        name: None if any(measures.is_missing(look.get(name)) for look in looks) else sum(look[name] for look in looks)
        for name in needed
    }
    value, status = kpi.value(entry.basis, values)
    return value, "" if status == "ok" else "no_figure"


def _whole_quarters(first_day: datetime.date, last_day: datetime.date) -> list[str]:
    """
    The quarters that a window consists of; none where it begins or ends within one.

    Examples
    --------
    >>> _whole_quarters(datetime.date(2026, 4, 1), datetime.date(2026, 9, 30))
    ['2026Q2', '2026Q3']
    >>> _whole_quarters(datetime.date(2026, 4, 1), datetime.date(2026, 9, 15))
    []
    """
    quarters = [str(quarter) for quarter in pd.period_range(first_day, last_day, freq="Q")]
    begins, ends = parameters.quarter_bounds(quarters[0])[0], parameters.quarter_bounds(quarters[-1])[1]
    return quarters if (begins.date(), ends.date()) == (first_day, last_day) else []
