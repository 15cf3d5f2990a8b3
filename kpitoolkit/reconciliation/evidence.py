"""Evidence: does a KPI lead the company KPI that it is said to move? One row a declared influence, with its class.

What is tested stands in the catalogue beforehand: pairs, lags, margins. A lead in time is a prediction, not a cause.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from kpitoolkit import errors
from kpitoolkit.reconciliation import evidence_panel as panels
from kpitoolkit.reconciliation import evidence_wording, formula
from kpitoolkit.reconciliation import series as over_time
from kpitoolkit.reconciliation.catalogue import Catalogue, Influence, Kpi

LEAST = {"week": 104, "quarter": 16}
ALPHA, FALSE_DISCOVERIES, LEVEL = 0.05, 0.10, 0.90
GUARD = 0.05  # q of the reverse direction and of the placebo: each costs a lone true driver about this often
WIDE_MEASUREMENT = 0.2  # share of a survey's variance that is its sampling error
MATERIALITY = 0.005
CLASSES = ("driver", "echo", "unproven", "insufficient_data", "vanity")
COLUMNS = [
    *("kpi", "company_kpi", "class", "reason", "frequency", "lag", "periods", "units", "effect", "low", "high"),
    *("step", "step_unit", "effect_natural", "low_natural", "high_natural", "natural_unit", "p", "p_holm", "q"),
    *("placebo_p", "placebo_q", "reverse_p", "reverse_q", "out_of_sample", "smallest_effect", "margin"),
    *("equivalence_p", "few_clusters_p", "sampling_error_share", "arithmetic_part", "common_ground", "same_as"),
]
_TEXTS = ("kpi", "company_kpi", "class", "reason", "frequency", "step_unit", "natural_unit", "same_as")
_FLAGS = ("arithmetic_part", "common_ground")

QUESTIONS = ("enough", "ahead", "leads_in_time", "small", "follows", "placebo", "as_declared", "forecasts")
"""What the decision table asks, in its columns' order."""

DECISIONS: tuple[tuple[Mapping[str, str], str, str], ...] = (
    ({"enough": "no"}, "insufficient_data", ""),
    ({"enough": "copy"}, "unproven", "same_figures"),
    ({"leads_in_time": "yes", "small": "yes"}, "vanity", "leads_too_little"),
    ({"leads_in_time": "yes", "ahead": "no"}, "unproven", "same_period"),
    ({"leads_in_time": "yes", "as_declared": "no"}, "unproven", "opposite_sign"),
    ({"leads_in_time": "yes", "follows": "yes"}, "unproven", "each_follows_the_other"),
    ({"leads_in_time": "yes", "placebo": "yes"}, "unproven", "future_predicts"),
    ({"leads_in_time": "yes", "forecasts": "no"}, "unproven", "no_better_forecast"),
    ({"leads_in_time": "yes"}, "driver", "leads_in_time"),
    ({"leads_in_time": "no", "follows": "yes"}, "echo", "follows"),
    ({"leads_in_time": "no", "small": "yes"}, "vanity", "smaller_than_margin"),
    ({"leads_in_time": "no"}, "unproven", "not_seen"),
)
"""Conditions, class, reason: the first row whose conditions all hold decides; a question that a row leaves out may have
any answer. The page prints this table, and the class is read from it."""

STRENGTH = ("common_ground", "driver", "echo", "unproven", "insufficient_data", "vanity")
"""Which class a KPI with several influences has on the summary: the first of these. Vanity needs all of them to be."""


def decide(answers: Mapping[str, str]) -> tuple[str, str]:
    """
    Class and reason of the first row of the decision table whose conditions hold.

    Examples
    --------
    >>> decide({"enough": "yes", "ahead": "yes", "leads_in_time": "no", "small": "yes", "follows": "no"})
    ('vanity', 'smaller_than_margin')
    """
    for conditions, found, reason in DECISIONS:
        if all(answers.get(question) == answer for question, answer in conditions.items()):
            return found, reason
    raise ValueError(f"no row of the decision table holds for {dict(answers)}")


@dataclass(frozen=True, eq=False)
class Evidence:
    """
    Declared influences with their evidence.

    ``table`` has one row an influence. ``effect``, ``low``, ``high`` (90%) and ``smallest_effect`` are in standard
    deviations of the company KPI's own movement, for one of the marketing KPI's; ``*_natural`` are the same in the
    company KPI's unit, for a rise by ``step`` (money in cents; empty where units are pooled). ``p`` is the smallest of
    the lags', ``p_holm`` corrected for them, ``q`` over all influences (Benjamini and Hochberg).
    """

    table: pd.DataFrame
    names: Mapping[str, Mapping[str, str]]
    currency: str = "EUR"
    missing_units: tuple[str, ...] = ()

    def shown(self, language: str = "en") -> pd.DataFrame:
        """The table for the page, with KPIs' names: class, reason, effect and what decided."""
        return evidence_wording.shown(self, language)

    def plot(self, ax=None, language="en"):
        """Draw each effect with its interval in front of the margin declared for it."""
        return evidence_wording.plot(self, ax, language)

    def findings(self, language="en") -> list[str]:
        """Say what leads, what follows, what is vanity, what is not proven and what could not be seen."""
        return evidence_wording.findings(self, language)

    def decision_table(self, language="en") -> pd.DataFrame:
        """Which result gives which class: the very table from which the code reads it."""
        return evidence_wording.decision_table(DECISIONS, QUESTIONS, language)

    @property
    def strip(self) -> pd.DataFrame:
        """One row a KPI for the summary: `kpi, class`, the strongest of its influences; `common_ground` above all."""
        marked = self.table["class"].where(~self.table["common_ground"].fillna(False).astype(bool), "common_ground")
        rank = marked.map({name: place for place, name in enumerate(STRENGTH)})
        frame = self.table[["kpi"]].assign(**{"class": marked, "rank": rank})
        best = frame.sort_values("rank", kind="stable").drop_duplicates("kpi").sort_index()
        return best[["kpi", "class"]].reset_index(drop=True)


def test(
    series: pd.DataFrame,
    catalogue: Catalogue,
    kpis: pd.DataFrame | None = None,
    currency: str = "EUR",
    missing_units: Iterable[str] = (),
) -> Evidence:
    """
    Test every influence that the catalogue declares, where the series hold both of its KPIs.

    Weeks are taken where the influence states a lag in weeks and both KPIs have 104 of them, else quarters, from 16 on.
    Several units in ``series`` are pooled; a unit with fewer periods is left out of a pair.

    Parameters
    ----------
    series : DataFrame
        As ``series.of_unit`` gives it, of one unit or several.
    catalogue : Catalogue
    kpis : DataFrame, optional
        The scorecard's table, for common ground: whether both bases agree within materiality.
    currency : str
    missing_units : iterable of str
        Of a group: units whose series are missing; said on the page.

    Returns
    -------
    Evidence

    Raises
    ------
    ToolkitError
        Where a KPI has two values for one period.
    """
    twice = series[series.duplicated(["unit", "kpi", "basis", "frequency", "period"])]
    if len(twice):
        row = twice.iloc[0]
        where = f"{row['unit']}, {row['period']:%Y-%m-%d}"
        raise errors.ToolkitError(
            f"series: {row['kpi']} has two values for {where} ({len(twice)} such rows). "
            "Keep one row a unit, KPI, basis and period."
        )
    listed = set(series.loc[series["basis"] != over_time.CONTROL, "kpi"])
    rows = [
        _row(series, catalogue, kpi, influence)
        for kpi in catalogue.kpis
        for influence in kpi.influences
        if {kpi.id, influence.kpi} <= listed
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "sign", "answer"])
    for name, corrected in (("p_holm", "q"), ("reverse_p", "reverse_q"), ("placebo_p", "placebo_q")):
        table[corrected] = _false_discoveries(table[name].astype(float).to_numpy())
    classed = [_classed(row) for _place, row in table.iterrows()]
    table["class"], table["reason"] = (list(found) for found in zip(*classed, strict=True)) if classed else ([], [])
    table["same_as"] = _copies(series, table)
    table["common_ground"] = [_common(row, catalogue[row["kpi"]], kpis) for _, row in table.iterrows()]
    numbers = [name for name in COLUMNS if name not in (*_TEXTS, *_FLAGS, "periods", "units", "lag")]
    table = table.astype(dict.fromkeys(numbers, float) | dict.fromkeys(("periods", "units", "lag"), "Int64"))
    table = table.astype(dict.fromkeys(_TEXTS, "string") | dict.fromkeys(_FLAGS, "boolean"))
    names = {kpi.id: {"en": kpi.name.en, "it": kpi.name.it} for kpi in catalogue.kpis}
    return Evidence(table[COLUMNS], names, currency, tuple(missing_units))


test.__test__ = False  # its name is what it does; it is no test of ours


def pooled(
    series_by_unit: Mapping[str, pd.DataFrame | None],
    catalogue: Catalogue,
    kpis: pd.DataFrame | None = None,
    currency: str = "EUR",
) -> Evidence:
    """
    Test every influence over all units together, from the series that each unit saved; missing units are named.

    Parameters
    ----------
    series_by_unit : mapping
        Unit to its saved ``reconciliation_series``, or None where it is missing.

    Returns
    -------
    Evidence
    """
    there = [frame.assign(unit=unit) for unit, frame in series_by_unit.items() if frame is not None]
    missing = [unit for unit, frame in series_by_unit.items() if frame is None]
    joined = pd.concat(there, ignore_index=True) if there else pd.DataFrame(columns=over_time.COLUMNS)
    return test(joined, catalogue, kpis, currency, missing)


def _row(series: pd.DataFrame, catalogue: Catalogue, kpi: Kpi, influence: Influence) -> dict:
    """One influence: what was tested and what came of it, without what needs the other influences."""
    company = catalogue[influence.kpi]
    sign = kpi.direction * company.direction if influence.sign is None else influence.sign
    row = {
        "kpi": kpi.id, "company_kpi": company.id, "sign": sign, "answer": "yes", "reason": "",
        "margin": influence.margin_sd or catalogue.equivalence_margin_sd, "natural_unit": company.unit,
        "step_unit": kpi.unit, "arithmetic_part": is_arithmetic_part(kpi, company),
    }  # fmt: skip
    for frequency, lags in (("week", influence.lag_weeks), ("quarter", influence.lag_quarters)):
        panel, most, noise = _panel(series, kpi, company, frequency) if lags else (None, 0, None)
        if lags and (most or "frequency" not in row):
            row |= {"frequency": frequency, "periods": most, "lag": lags[0]}
        if panel is not None:
            return row | _tested(panel, lags, row["margin"], noise)
    return row | {"answer": "no", "reason": "too_short"}


def _panel(series, kpi: Kpi, company: Kpi, frequency: str):
    """Both KPIs and the controls as arrays, the most periods that a unit has, and the surveys' sampling error."""
    rows = series[series["frequency"] == frequency]
    marketing, moved = (_wide(rows, entry) for entry in (kpi, company))
    units = [unit for unit in marketing.columns if unit in moved.columns]
    both = {unit: (marketing[unit].notna() & moved[unit].reindex(marketing.index).notna()).sum() for unit in units}
    most = max(both.values(), default=0)
    units = [unit for unit in units if both[unit] >= LEAST[frequency]]
    if not units:
        return None, int(most), None
    ends = [frame[units].dropna(how="all").index for frame in (marketing, moved)]
    first, last = max(end.min() for end in ends), min(end.max() for end in ends)
    whole = pd.date_range(first, last, freq="7D" if frequency == "week" else "QE")
    arrays = [frame[units].reindex(whole).to_numpy(dtype=float) for frame in (moved, marketing)]
    held = _controls(rows, kpi, company, units, whole)
    position = (whole[0].day_of_year // 7) if frequency == "week" else whole[0].quarter - 1
    noise = _wide(rows, kpi, "standard_error")
    noise = noise.reindex(index=whole, columns=units).to_numpy(dtype=float) if len(noise.columns) else None
    return panels.Panel(*arrays, frequency, tuple(held), position, tuple(units)), int(most), noise


def _wide(rows: pd.DataFrame, kpi: Kpi, column: str = "value") -> pd.DataFrame:
    """Periods x units of a KPI on its first basis that has figures."""
    own = rows[(rows["kpi"] == kpi.id) & np.isfinite(rows["value"].astype(float))]
    for basis in kpi.formula.given():
        if (own["basis"] == basis).any():
            own = own[own["basis"] == basis]
            break
    return own.set_index(["period", "unit"])[column].unstack()  # noqa: PD010 - the key is unique


def _controls(rows, kpi: Kpi, company: Kpi, units, whole) -> list[np.ndarray]:
    """Standardised controls that cover all periods; media spend only where it is no part of either KPI."""
    wanted = list(over_time.CONTROLS) if "ledger" in company.sources or "orders" in company.sources else []
    if wanted and not {"ad_spend", "invoices"} & {*kpi.sources, *company.sources}:
        wanted.append("media_spend")
    held = []
    for name in wanted:
        own = rows[(rows["kpi"] == name) & (rows["basis"] == over_time.CONTROL)]
        wide = own.set_index(["period", "unit"])["value"].unstack()  # noqa: PD010 - the key is unique
        wide = wide.reindex(index=whole, columns=units)
        values = wide.to_numpy(dtype=float)
        if np.isfinite(values).all() and (values.std(axis=0) > panels.FLAT * np.abs(values).max()).all():
            held.append((values - values.mean(axis=0)) / values.std(axis=0))
    if len(whole) * len(units) < LEAST["week"]:
        held = []  # few quarters of one unit: each control would cost what little they can tell
    return held


def _tested(panel: panels.Panel, lags, margin: float, noise) -> dict:
    """The regression's answers for one influence."""
    try:
        fitted, reverse = panels.both_ways(panel, lags)
    except panels.NotTestable as reason:
        same = str(reason) == "same_figures"
        return {"answer": "copy" if same else "no", "reason": str(reason), "units": len(panel.units)}
    p_values = fitted.p_values()
    corrected = holm(p_values)
    best = int(np.argmin(corrected))
    half = fitted.half_widths(1 - (1 - LEVEL) / len(lags))[best]
    effect = fitted.effects[best]
    share = np.nan
    if noise is not None and np.isfinite(noise).any():
        share = float(np.nanmean((noise / fitted.scale_marketing) ** 2))
    row = {
        "lag": lags[best],
        "units": len(panel.units),
        "effect": effect,
        "low": effect - half,
        "high": effect + half,
        "p": p_values[best],
        "p_holm": corrected[best],
        "placebo_p": panels.placebo_p(panel, lags),
        "reverse_p": reverse,
        "out_of_sample": panels.out_of_sample(panel, lags),
        "smallest_effect": fitted.smallest_effect(),
        "equivalence_p": fitted.smaller_than(margin),
        "few_clusters_p": panels.few_clusters_p(fitted, best),
        "sampling_error_share": share,
    }
    if len(panel.units) == 1:
        scale = float(fitted.scale_company[0])
        row |= {f"{name}_natural": row[name] * scale for name in ("effect", "low", "high")}
        row["step"] = float(fitted.scale_marketing[0])
    return row


def holm(p_values: np.ndarray) -> np.ndarray:
    """
    Holm's corrected p-values (1979), as statsmodels' ``multipletests`` gives them, which collects garbage each time.

    Examples
    --------
    >>> holm(np.array([0.04, 0.01])).tolist(), holm(np.array([0.2])).tolist()
    ([0.04, 0.02], [0.2])
    """
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    found = np.empty(len(p_values))
    found[order] = np.minimum(stepped, 1.0)
    return found


def _false_discoveries(p_values: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's q over the p-values that there are."""
    found = np.full(len(p_values), np.nan)
    known = np.isfinite(p_values)
    if known.any():
        found[known] = stats.false_discovery_control(p_values[known])
    return found


def answers(row: Mapping) -> dict[str, str]:
    """A row's answers to the questions of the decision table; a test that could not be made answers no."""

    def says(yes) -> str:
        return "yes" if bool(yes) else "no"

    wide = row["sampling_error_share"] > WIDE_MEASUREMENT
    return {
        "enough": row["answer"],
        "ahead": says(row["answer"] == "yes" and row["lag"] > 0),
        "leads_in_time": says(row["q"] <= FALSE_DISCOVERIES),
        "small": says(row["equivalence_p"] < ALPHA and not wide),
        "follows": says(row["reverse_q"] <= GUARD),
        "placebo": says(row["placebo_q"] <= GUARD),
        "as_declared": says(row["sign"] == 0 or row["effect"] * row["sign"] > 0),
        "forecasts": says(not row["out_of_sample"] <= 0),
    }


def _classed(row: Mapping) -> tuple[str, str]:
    found, reason = decide(answers(row))
    if found == "unproven" and row["sampling_error_share"] > WIDE_MEASUREMENT and reason == "not_seen":
        reason = "wide_measurement"
    return found, reason or row["reason"]


def is_arithmetic_part(kpi: Kpi, company: Kpi) -> bool:
    """
    Tell whether a measure of the one stands in the formula, a driver or a decomposition of the other.

    Such a KPI is a part of the other by definition, which proves no influence.
    """
    texts = [*company.formula.given().values(), *company.drivers.values()]
    texts += [entry.formula for entry in company.decompositions.values()]
    trees = [company.tree(stated, expand=True) for stated in texts]
    inside = {name for tree in trees for name in formula.names(tree)} | set(company.drivers)
    return kpi.id in inside or bool(set(kpi.measures()) & inside)


def _copies(series: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """For each row another tested KPI with the same figures, if there is one."""
    own = series[series["kpi"].isin(set(table["kpi"])) & (series["basis"] != over_time.CONTROL)]
    seen: dict[tuple, str] = {}
    same: dict[str, str] = {}
    ordered = own.sort_values(["unit", "basis", "frequency", "period"])
    for kpi, rows in ordered.groupby("kpi", sort=True):
        key = tuple(zip(rows["unit"], rows["frequency"], rows["period"], rows["value"], strict=True))
        same[kpi] = seen.setdefault(key, kpi)
    return ["" if same[kpi] == kpi else same[kpi] for kpi in table["kpi"]]


def _common(row, kpi: Kpi, kpis: pd.DataFrame | None) -> bool | None:
    """Whether a driver is owned by both sides on one definition within materiality; None where that is not known."""
    both = "CMO" in kpi.owner and bool({"CEO", "CFO"} & set(kpi.owner))
    if row["class"] != "driver" or not both:
        return False
    if len(kpi.formula.given()) == 1:
        return True
    own = None if kpis is None else kpis[kpis["kpi"] == kpi.id].set_index("basis")["actual"].astype(float)
    if own is None or not {"finance", "marketing"} <= set(own.dropna().index):
        return None
    allowed = (MATERIALITY if kpi.materiality is None else kpi.materiality) * abs(own["finance"])
    return bool(abs(own["marketing"] - own["finance"]) <= allowed)
