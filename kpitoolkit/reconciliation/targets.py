"""From target to actual: a KPI's target and what came, with the steps between, where the target's parts have targets.

A part of a decomposition (a measure or a driver) has a target where a KPI of the catalogue with the same formula has
one; what a formula looks back to (``revenue_year_ago``) was known when the target was set. Where every part has one,
the decomposition is evaluated at the targets and at the actuals, and the difference is split as any other. Else one
step, the variance: targets that nobody set are not inferred from others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import pandas as pd

from kpitoolkit import plots, text
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import catalogue as definitions
from kpitoolkit.reconciliation import formula, kinds, measures
from kpitoolkit.reconciliation.bridge import Bridge
from kpitoolkit.reconciliation.catalogue import Catalogue, Kpi
from kpitoolkit.reconciliation.scorecard import latest_targets

ONE_STEP = "one_step"
VARIANCE = "variance"
APART = "targets_apart"
"""What the targets of the parts give less than the target of the whole, where nothing else explains it."""
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, eq=False)
class TargetBridges:
    """
    KPIs of one quarter from target to actual.

    ``table``: `kpi, decomposition, position, step, kind, amount, value_unit`; a bridge for each KPI with a target and
    each of its decompositions whose parts all have targets (`one_step` where none has); `money` and `money_per_unit` in
    cents. ``bridges`` holds them, also those without figures. A step `targets_apart` is what the targets of the parts
    give less than the target of the whole: they were not set on one plan.
    """

    table: pd.DataFrame
    bridges: Mapping[tuple[str, str], Bridge]
    names: Mapping[str, definitions.Words]
    quarter: str
    currency: str
    missing_units: tuple[str, ...] = ()

    def chosen(self, kpi: str = "revenue") -> tuple[str, str] | None:
        """The bridge to be drawn: this KPI's, if it is split; else one that is split, else any with figures."""
        ready = [key for key, result in self.bridges.items() if result.status == "ok"]
        return min(ready, key=lambda key: (key[1] == ONE_STEP, key[0] != kpi), default=None)

    def shown(self, language: str = "en") -> pd.DataFrame:
        """Steps with their KPIs' names, for the page; totals are in the key figures."""
        frame = self.table[self.table["kind"] == "step"].reset_index(drop=True)
        amounts = pd.Series(bridges.for_page(frame["amount"], frame["value_unit"]), index=frame.index, dtype=object)
        names = [getattr(self.names[kpi], language) for kpi in frame["kpi"]]
        return pd.DataFrame({"kpi": names, "decomposition": frame["decomposition"], "step": frame["step"]}).assign(
            change=amounts
        )

    @property
    def formats(self) -> dict[str, list[str] | str]:
        """How ``shown`` is written."""
        changes = {**bridges.FORMATS, "share": "points"}
        units = self.table.loc[self.table["kind"] == "step", "value_unit"]
        return {"kpi": "text", "change": ["+" + changes[unit] for unit in units]}

    def plot(self, ax=None, language="en", kpi="revenue"):
        """Draw one KPI from its target to its actual."""
        key = self.chosen(kpi)
        if key is None:
            return plots.waterfall(bridges.empty_table(), ax=ax, language=language)
        return self.bridges[key].plot(ax=ax, language=language)

    def findings(self, language="en") -> list[str]:
        """Say of each KPI that can be split what moved it off its target, and of the others how far off they are."""
        _ = text.translator(language)
        if self.missing_units:
            units = ", ".join(text.label(unit, language) for unit in self.missing_units)
            return [_("Not compared with targets: the results of {units} are missing.").format(units=units)]
        if not self.bridges:
            return [_("No targets are stated for this quarter.")]
        said, whole, without = [], [], []
        for (kpi, decomposition), result in self.bridges.items():
            name = getattr(self.names[kpi], language)
            if result.status != "ok":
                without.append(name)
            elif decomposition == ONE_STEP:
                amount = result.table.loc[result.table["step"] == VARIANCE, result.value].iloc[0]
                whole.append(f"{name} {result.write(amount, language, signed=True)}")
            else:
                label = text.label(decomposition, language)
                sentence = _("{kpi} against its target, {decomposition}:").format(kpi=name, decomposition=label)
                said += [f"{sentence} {bridges.lowered(finding)}" for finding in result.findings(language)]
                said += self._apart(name, result, language)
        if whole:
            sentence = _("Against target, not split because their parts have no targets of their own: {listed}.")
            said.append(sentence.format(listed=", ".join(whole)))
        if without:
            sentence = _("With a target but without a figure to compare: {listed}.")
            said.append(sentence.format(listed=", ".join(dict.fromkeys(without))))
        return said

    @staticmethod
    def _apart(name: str, result: Bridge, language: str) -> list[str]:
        steps = result.table.set_index("step")[result.value]
        if APART not in steps:
            return []
        sentence = text.translator(language)(
            "{kpi}: the targets of its parts do not give the target of the whole; {amount} of the bridge is this gap."
        )
        return [sentence.format(kpi=name, amount=result.write(steps[APART], language, signed=True))]


def to_targets(
    catalogue: Catalogue,
    table: pd.DataFrame,
    quarter: str,
    declared: Iterable[str],
    currency: str,
    targets: pd.DataFrame | None = None,
    unit_in_data: str = "",
    missing_units: Iterable[str] = (),
) -> TargetBridges:
    """
    Bridge every KPI with a target from the target to the actual, exactly.

    With ``f`` the decomposition, ``T`` the target and ``A`` the actual of the whole, ``t`` and ``a`` those of its
    parts: the change ``f(a) - f(t)`` is split between the parts, and ``(A - f(a)) - (T - f(t))`` is a step of its own:
    the decomposition's stated residual, else `targets_apart`.

    Parameters
    ----------
    catalogue, table, quarter, declared, currency, targets, unit_in_data
        As for ``scorecard``.
    missing_units : iterable of str
        Of a group: units without results. Its targets are of the whole group, so nothing is compared with them.

    Returns
    -------
    TargetBridges

    Examples
    --------
    >>> kpis = definitions.from_content({"version": "1", "date": "2026-07-01", "kpis": [
    ...     {"id": "new_customers", "name": {"en": "New", "it": "Nuovi"}, "formula": {"finance": "new_customers"},
    ...      "unit": "count", "owner": ["CMO"], "direction": 1, "additive": "flow", "target": 150,
    ...      "version": 1, "date": "2026-07-01"}]})
    >>> found = pd.DataFrame({"measure": ["new_customers"], "quarter": ["2026Q3"], "value": [120.0]})
    >>> to_targets(kpis, found, "2026Q3", {"orders", "customers"}, "EUR").table[["step", "amount"]].values.tolist()
    [['target', 150.0], ['variance', -30.0], ['2026Q3', 120.0]]
    """
    missing_units = tuple(missing_units)
    values = measures.at(table, quarter)
    wanted = latest_targets(targets, unit_in_data, quarter)
    listed = [
        (kpi, basis) for kpi, basis in catalogue.listed(set(declared)) if basis == next(iter(kpi.formula.given()))
    ]
    targeted = {
        kpi.id: Fraction(str(wanted.get(kpi.id, kpi.target))) * bridges.cents_per_unit(kpi.unit)
        for kpi, _basis in listed
        if wanted.get(kpi.id, kpi.target) is not None
    }
    of_formula = {
        _plain(kpi.tree(kpi.formula.given()[basis], expand=True)): targeted[kpi.id]
        for kpi, basis in listed
        if kpi.id in targeted
    }
    found: dict[tuple[str, str], Bridge] = {}
    names, frames = {}, []
    for kpi, basis in () if missing_units else listed:
        if kpi.id not in targeted:
            continue
        names[kpi.id] = kpi.name
        for decomposition, result in _of_kpi(kpi, basis, values, targeted[kpi.id], of_formula, quarter, currency):
            found[kpi.id, decomposition] = result
            scale = bridges.cents_per_unit(kpi.unit) if kpi.unit != "money" else 1
            frame = result.table[["position", "step", "kind"]].assign(
                amount=result.table[result.value].astype(float) * scale, value_unit=kpi.unit
            )
            frames.append(frame.assign(kpi=kpi.id, decomposition=decomposition))
    columns = ["kpi", "decomposition", "position", "step", "kind", "amount", "value_unit"]
    joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return TargetBridges(joined[columns].astype({"amount": float}), found, names, quarter, currency, missing_units)


def _of_kpi(kpi: Kpi, basis: str, values: Mapping, target: Fraction, of_formula: Mapping, quarter: str, currency: str):
    """Yield the KPI's bridges by decomposition: those whose parts all have targets, else the one step."""
    actual, status = kpi.value(basis, values)
    whole = None if status != "ok" else (target, actual)
    own = _plain(kpi.tree(kpi.formula.given()[basis], expand=True))
    split = False
    for name, entry in kpi.decompositions.items() if whole is not None else ():
        tree = kpi.tree(entry.formula)
        inputs = kpi.inputs(values)
        planned = {part: _target_of(kpi, part, own, of_formula, inputs) for part in formula.names(tree)}
        if all(part.endswith(tuple(kinds.LAGS)) for part in planned):
            continue
        residual = entry.residual or APART
        result = bridges.bridge(tree, planned, inputs, kpi.unit, "target", quarter, whole, residual, currency)
        if result.status == "ok":
            split = True
            yield name, _without_negligible(result)
    if not split:
        one = {VARIANCE: None if whole is None else actual}
        yield (
            ONE_STEP,
            bridges.bridge(VARIANCE, {VARIANCE: target}, one, kpi.unit, "target", quarter, currency=currency),
        )


def _plain(tree: formula.Node) -> formula.Node:
    """The tree without the characters at which its names stand, so that equal formulas are equal."""
    return formula.replace(tree, {name: formula.Name(name) for name in formula.names(tree)})


def _target_of(kpi: Kpi, part: str, own: formula.Node, of_formula: Mapping, inputs: Mapping):
    """The target of a part: of the KPI with its formula, or what is past and known; None where nobody set one."""
    if part.endswith(tuple(kinds.LAGS)):
        return inputs.get(part)
    tree = _plain(kpi.tree(part, expand=True))
    return None if tree == own else of_formula.get(tree)


def _without_negligible(result: Bridge) -> Bridge:
    """The bridge without the step of targets that lie apart, where they do not by a cent or in the ninth digit."""
    amounts = result.table[result.value].astype(float).abs()
    least = 0.5 if result.value_unit == "money" else _NEGLIGIBLE * amounts.max()
    kept = result.table[(result.table["step"] != APART) | (amounts > least)]
    return replace(result, table=kept.assign(position=range(len(kept))).reset_index(drop=True))
