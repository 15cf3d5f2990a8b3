"""The catalogue of KPIs: definitions that an analyst edits and a CFO signs, checked before anything is computed."""

import datetime
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from kpitoolkit import errors, plain_yaml
from kpitoolkit.reconciliation import formula, kinds
from kpitoolkit.text import is_missing

BASES = ("finance", "marketing")
_NAME = r"^[a-z][a-z0-9_]*$"
_Owner = Literal["CMO", "CEO", "CFO", "CIO", "HR"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(_Entry):
    """A name in the readers' languages."""

    en: str = Field(min_length=1)
    it: str = Field(min_length=1)


class Formulas(_Entry):
    """The same KPI on one basis or on both."""

    marketing: str | None = None
    finance: str | None = None

    def given(self) -> dict[str, str]:
        """Formulas that are stated, finance first."""
        return {basis: text for basis in BASES if (text := getattr(self, basis)) is not None}


class Decomposition(_Entry):
    """An arithmetic tree for the KPI; ``residual`` names what it leaves over, where it leaves anything."""

    formula: str
    residual: str | None = Field(default=None, pattern=_NAME)


def _as_lags(value):
    return () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)


_Lags = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_as_lags), Field(max_length=2)]


class Influence(_Entry):
    """
    A company KPI that this one is said to move, with what is declared before anything is tested.

    ``lag_weeks`` and ``lag_quarters`` state one lag each, or two at most. ``sign`` is the direction that the effect
    must have: 1, -1 or 0 for either; without it, the product of the two KPIs' directions. ``margin_sd`` is the effect,
    in standard deviations, below which the influence does not matter; without it, the file's ``equivalence_margin_sd``.
    """

    kpi: str
    lag_weeks: _Lags = ()
    lag_quarters: _Lags = ()
    sign: Literal[1, -1, 0] | None = None
    margin_sd: float | None = Field(default=None, gt=0, le=2)

    @model_validator(mode="after")
    def _lags_are_stated(self):
        if not self.lag_weeks and not self.lag_quarters:
            raise ValueError("state lag_weeks, lag_quarters or both: what is tested is declared in advance")
        faults = [
            f"{name} {list(lags)}: at most {longest}, and no lag twice"
            for name, lags, longest in (("lag_weeks", self.lag_weeks, 26), ("lag_quarters", self.lag_quarters, 8))
            if len(set(lags)) < len(lags) or any(lag > longest for lag in lags)
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _as_decomposition(value):
    return {"formula": value} if isinstance(value, str) else value


class Kpi(_Entry):
    """
    One definition.

    ``drivers`` are named sub-formulas that a bridge treats as leaves. ``basis_bridge`` is one formula for both bases:
    on the marketing basis those of its names that the marketing formula does not know are zero. ``positive`` lists
    what must be positive for the figure to mean anything ("n/m" otherwise).
    """

    id: str = Field(pattern=_NAME)
    name: Words
    formula: Formulas
    unit: Literal["money", "money_per_unit", "share", "count", "ratio", "index"]
    owner: list[_Owner] = Field(min_length=1)
    direction: Literal[1, -1]
    additive: Literal["flow", "stock", "ratio", "distinct", "index"]
    drivers: dict[str, str] = {}
    decompositions: dict[str, Annotated[Decomposition, BeforeValidator(_as_decomposition)]] = {}
    basis_bridge: str | None = None
    positive: list[str] = []
    influences: list[Influence] = []
    target: float | None = None
    materiality: float | None = Field(default=None, ge=0, description="share of the figure")
    sources: list[str] = []
    version: int = Field(ge=1)
    date: datetime.date

    def tree(self, text: str, expand: bool = False) -> formula.Node:
        """A formula of this KPI as a tree; with ``expand`` its drivers are replaced by their own formulas."""
        tree = formula.parse(text)
        while expand and any(name in self.drivers for name in formula.names(tree)):
            tree = formula.replace(tree, {name: formula.parse(text) for name, text in self.drivers.items()})
        return tree

    def measures(self, basis: str | None = None) -> list[str]:
        """Measures that the formula needs on one basis, or on all bases stated."""
        texts = self.formula.given()
        texts = texts.values() if basis is None else [texts[basis]]
        return list(dict.fromkeys(name for text in texts for name in formula.names(self.tree(text, expand=True))))

    def inputs(self, values: Mapping[str, object]) -> dict[str, object]:
        """Values of measures with the drivers' values added; a driver without a value is None."""
        known = dict(values)
        for name, text in self.drivers.items():
            known[name] = _value(self.tree(text, expand=True), values)[0]
        return known

    def value(self, basis: str, values: Mapping[str, object]) -> tuple[float | None, str]:
        """
        The KPI's figure on a basis and its status: ``ok``, ``no_figure`` or ``not_meaningful``.

        Money is in cents. A figure is not meaningful where a denominator is zero or where what must be positive is not.
        """
        if basis not in self.formula.given():
            return None, "no_figure"
        value, status = _value(self.tree(self.formula.given()[basis], expand=True), values)
        if status == "no_figure":
            return None, status
        used, known = set(self.measures(basis)), self.inputs(values) if self.positive else {}
        positive = [
            known.get(name) for name in self.positive if used.issuperset(formula.names(self.tree(name, expand=True)))
        ]
        if status != "ok" or any(amount is None or amount <= 0 for amount in positive):
            return None, "not_meaningful"
        return float(value), "ok"


def _value(tree: formula.Node, values: Mapping[str, object]):
    inputs = {name: values.get(name) for name in formula.names(tree)}
    if any(is_missing(value) for value in inputs.values()):
        return None, "no_figure"
    try:
        return formula.evaluate(tree, inputs), "ok"
    except formula.ZeroDenominatorError:
        return None, "not_meaningful"


class Series(_Entry):
    """A series of the table `kpi_series` that formulas may use by its name: how its weeks make a quarter."""

    aggregate: Literal["sum", "mean", "last"]


class Criterion(_Entry):
    """
    What a campaign will be judged by, agreed with the CFO before it starts.

    The KPI on a ``basis`` is to reach ``target`` from the ``first_day`` to the ``last_day`` of the window.
    """

    campaign: str = Field(min_length=1)
    unit: str = Field(min_length=1)
    kpi: str
    basis: Literal["finance", "marketing"] = "finance"
    target: float
    first_day: datetime.date
    last_day: datetime.date
    agreed_on: datetime.date
    agreed_by: list[_Owner] = Field(min_length=1)

    @model_validator(mode="after")
    def _window_has_days(self):
        if self.last_day < self.first_day:
            raise ValueError(f"the window ends ({self.last_day}) before it begins ({self.first_day})")
        return self

    @property
    def standing(self) -> str:
        """``agreed_before``, ``agreed_late`` (on the window's first day or after it) or ``without_cfo``."""
        if self.agreed_on >= self.first_day:
            return "agreed_late"
        return "agreed_before" if "CFO" in self.agreed_by else "without_cfo"


class Elsewhere(_Entry):
    """A KPI that is no formula over measures, as one by channel: the saved tables in which its figures are found."""

    id: str = Field(pattern=_NAME)
    name: Words
    owner: list[_Owner] = Field(min_length=1)
    direction: Literal[1, -1]
    found_in: list[str] = Field(min_length=1)
    version: int = Field(ge=1)
    date: datetime.date


class Catalogue(_Entry):
    """
    All definitions of one file, in the file's order.

    ``amber_from`` is the attainment from which a missed target is amber rather than red.
    """

    version: str
    date: datetime.date
    equivalence_margin_sd: float = Field(default=0.2, gt=0, le=2)
    amber_from: float = Field(default=0.95, gt=0, le=1)
    kpis: list[Kpi] = Field(min_length=1)
    series: dict[Annotated[str, Field(pattern=_NAME)], Series] = {}
    criteria: list[Criterion] = []
    elsewhere: list[Elsewhere] = []

    @property
    def aggregates(self) -> dict[str, str]:
        """How the weeks of each declared series make a quarter, as ``measures.compute`` takes it."""
        return {name: entry.aggregate for name, entry in self.series.items()}

    def __getitem__(self, kpi: str) -> Kpi:
        found = {entry.id: entry for entry in self.kpis}
        if kpi not in found:
            raise errors.ToolkitError(f"the catalogue has no KPI '{kpi}'.{errors.suggest(kpi, found)}")
        return found[kpi]

    def listed(self, tables: Iterable[str]) -> list[tuple[Kpi, str]]:
        """KPIs and bases whose measures can come from the declared tables, finance before marketing."""
        tables = set(tables)
        return [
            (kpi, basis)
            for kpi in self.kpis
            for basis in kpi.formula.given()
            if kinds.can_come_from(kpi.measures(basis), tables)
        ]


def read(path: str | Path) -> Catalogue:
    """
    Read a catalogue file and check all of it.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ToolkitError, Faults
        Where the file is missing, is no YAML or breaks a rule; all faults of the file come in one message.
    """
    path = Path(path)
    if not path.is_file():
        raise errors.ToolkitError(f"{path}: there is no catalogue. Check the parameter 'catalogue'.")
    return from_content(plain_yaml.load(path), path.name)


def from_content(stated: object, where: str = "kpis.yml") -> Catalogue:
    """
    Check a catalogue that was read from YAML.

    Examples
    --------
    >>> from_content({"version": "v1"})
    Traceback (most recent call last):
    ...
    kpitoolkit.errors.Faults: kpis.yml: 2 faults
      - date: field required
      - kpis: field required
    """
    if not isinstance(stated, dict):
        raise errors.ToolkitError(f"{where}: a catalogue states version, date and kpis; found none of them.")
    try:
        catalogue = Catalogue.model_validate(stated)
    except ValidationError as error:
        raise errors.Faults(where, [_sentence(fault, stated) for fault in error.errors()]) from None
    faults = _faults(catalogue)
    if faults:
        raise errors.Faults(where, faults)
    return catalogue


def _sentence(fault: Mapping, stated: dict) -> str:
    """One sentence for a fault that pydantic found, with the KPI's id and the nearest name."""
    place = list(fault["loc"])
    if len(place) > 1 and place[0] == "kpis" and isinstance(place[1], int):
        entry = stated["kpis"][place[1]]
        identity = entry.get("id") if isinstance(entry, dict) else None
        place = [str(identity or f"KPI number {place[1] + 1}"), *place[2:]]
    where = ", ".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        models = {"name": Words, "formula": Formulas, "decompositions": Decomposition, "influences": Influence}
        models |= {"series": Series, "criteria": Criterion, "elsewhere": Elsewhere}
        inside = [models[part] for part in place if part in models]
        model = inside[-1] if inside else Kpi if fault["loc"][0] == "kpis" else Catalogue
        return f"{where}: not a field of the catalogue.{errors.suggest(place[-1], model.model_fields)}"
    said = fault["msg"].removeprefix("Value error, ")
    return f"{where}: {said[0].lower()}{said[1:]}"


def _faults(catalogue: Catalogue) -> list[str]:
    """Everything that is wrong with entries that are well formed one by one."""
    faults, seen = [], set()
    for kpi in [*catalogue.kpis, *catalogue.elsewhere]:
        if kpi.id in seen:
            faults.append(f"{kpi.id}: two KPIs have this id. Rename one.")
        seen.add(kpi.id)
    for kpi in catalogue.kpis:
        faults.extend(_faults_of(kpi, catalogue.series))
    faults.extend(
        f"series, {name}: a measure has this name. Rename the series."
        for name in catalogue.series
        if kinds.is_known(name) or kinds.base_of(name)[1]
    )
    seen = {kpi.id for kpi in catalogue.kpis}
    for criterion in catalogue.criteria:
        faults.extend(_faults_of_criterion(criterion, catalogue))
    for kpi in catalogue.kpis:
        for influence in kpi.influences:
            if influence.kpi not in seen or influence.kpi == kpi.id:
                hint = errors.suggest(influence.kpi, seen - {kpi.id})
                faults.append(f"{kpi.id}, influences: '{influence.kpi}' is no other KPI of the catalogue.{hint}")
    return faults


def _faults_of_criterion(criterion: Criterion, catalogue: Catalogue) -> list[str]:
    where = f"criteria, {criterion.campaign}"
    found = next((kpi for kpi in catalogue.kpis if kpi.id == criterion.kpi), None)
    if found is None:
        hint = errors.suggest(criterion.kpi, [kpi.id for kpi in catalogue.kpis])
        return [f"{where}: '{criterion.kpi}' is no KPI of the catalogue.{hint}"]
    if criterion.basis not in found.formula.given():
        return [f"{where}: {criterion.kpi} has no {criterion.basis} basis. Name the other, or state its formula."]
    return []


def _faults_of(kpi: Kpi, series: Iterable[str] = ()) -> list[str]:
    faults = [
        f"{kpi.id}, driver {name}: a measure has this name. Rename it."
        for name in kpi.drivers
        if kinds.is_known(name, series)
    ]
    if not kpi.formula.given():
        faults.append(f"{kpi.id}, formula: state formula.finance, formula.marketing or both.")
    if kpi.basis_bridge is not None and len(kpi.formula.given()) < 2:
        faults.append(f"{kpi.id}, basis_bridge: needs formula.marketing and formula.finance.")
    known = [*kinds.known(series), *kpi.drivers]
    texts = [(f"basis {basis}", text) for basis, text in kpi.formula.given().items()]
    texts += [(f"driver {name}", text) for name, text in kpi.drivers.items()]
    texts += [(f"decomposition {name}", entry.formula) for name, entry in kpi.decompositions.items()]
    texts += [("basis_bridge", kpi.basis_bridge)] if kpi.basis_bridge is not None else []
    graph = {}
    for where, text in texts:
        try:
            tree = formula.parse(text, f"{kpi.id}, {where}")
        except errors.ToolkitError as error:
            faults.append(str(error))
            continue
        unknown = formula.unknown_names(tree, known)
        faults.extend(f"{kpi.id}, {where}: {sentence}" for sentence in unknown)
        if where.startswith("driver "):
            graph[where.removeprefix("driver ")] = set(formula.names(tree)) & set(kpi.drivers)
    faults.extend(
        f"{kpi.id}, positive: unknown measure '{name}'.{errors.suggest(name, known)}"
        for name in kpi.positive
        if name not in known
    )
    for name, entry in kpi.decompositions.items():
        if entry.residual in known:
            faults.append(f"{kpi.id}, decomposition {name}: residual '{entry.residual}' is the name of something else.")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        chain = " -> ".join(reversed(error.args[1]))
        faults.append(f"{kpi.id}, drivers: {chain} goes round in a circle. Write one of them over measures.")
    return faults


def check_decompositions(catalogue: Catalogue, values: Mapping[str, object], where: str = "kpis.yml") -> None:
    """
    Hold every decomposition and basis bridge against its formula on real data.

    Parameters
    ----------
    catalogue : Catalogue
    values : mapping
        Values of measures in one quarter; what has no figure is not examined.
    where : str

    Raises
    ------
    Faults
        Where a decomposition that states no residual differs from its formula by more than 1e-9 of it.
    """
    faults = []
    for kpi in catalogue.kpis:
        first = next(iter(kpi.formula.given()))
        stated = [(f"decomposition {n}", d.formula, first) for n, d in kpi.decompositions.items() if d.residual is None]
        if kpi.basis_bridge is not None:
            stated += [("basis_bridge", kpi.basis_bridge, basis) for basis in BASES]
        for name, text, basis in stated:
            bridged = name == "basis_bridge" and basis == "marketing"
            inputs = marketing_inputs(kpi, values) if bridged else kpi.inputs(values)
            whole, whole_status = _value(kpi.tree(kpi.formula.given()[basis], expand=True), values)
            parts, parts_status = _value(kpi.tree(text), inputs)
            if whole_status != "ok" or parts_status != "ok":
                continue
            if abs(parts - whole) > 1e-9 * max(abs(whole), abs(parts)):
                faults.append(
                    f"{kpi.id}, {name}: gives {float(parts):.6g} where the {basis} formula gives {float(whole):.6g}. "
                    "Mend it or state its residual."
                )
    if faults:
        raise errors.Faults(where, faults)


def marketing_inputs(kpi: Kpi, values: Mapping[str, object]) -> dict[str, object]:
    """Inputs of the basis bridge on the marketing basis: what the marketing formula does not know is zero."""
    inputs = kpi.inputs(values)
    known = set(formula.names(kpi.tree(kpi.formula.marketing))) | set(kpi.measures("marketing"))
    return {name: inputs.get(name) if name in known else 0 for name in formula.names(kpi.tree(kpi.basis_bridge))}
