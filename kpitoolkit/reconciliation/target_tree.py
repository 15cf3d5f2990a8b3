"""Whether targets fit together: children's targets, put through the formulas, against the parent's target.

A target of a KPI is one equation between measures. Where a KPI is a measure, its target is the measure's; where one
measure of its formula is unknown, the target gives that measure; where none is, both sides are known and must agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd

from kpitoolkit import money, parameters
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import formula, kinds, measures
from kpitoolkit.reconciliation.catalogue import Catalogue, Kpi

STATUSES = ("recombines", "does_not", "needs_residual", "nothing_beside_it", "cannot_be_told", "no_target")


@dataclass(frozen=True)
class Verdict:
    """
    How a KPI's target stands to the others; money in cents.

    ``status``: ``recombines`` and ``does_not`` (within materiality), ``needs_residual`` (a decomposition with a stated
    residual: what the residual would have to be is ``needed``, what it is this quarter ``actual_residual``),
    ``nothing_beside_it`` (no other target says anything of it), ``cannot_be_told`` (``missing`` measures have no
    target), ``no_target``.
    """

    status: str
    target: float | None = None
    recombined: float | None = None
    needed: float | None = None
    actual_residual: float | None = None
    missing: tuple[str, ...] = ()


def implied(
    catalogue: Catalogue, targets: Mapping[str, float], facts: Mapping[str, object]
) -> tuple[dict[str, Fraction], dict[str, Fraction], dict[str, tuple[str, ...]]]:
    """
    What targets say of measures.

    Parameters
    ----------
    catalogue : Catalogue
    targets : mapping
        By KPI, in units of the currency, for each KPI's first basis.
    facts : mapping
        Values of measures of the quarter; only those of earlier quarters (``revenue_year_ago``) are taken.

    Returns
    -------
    tuple of dict
        Measures that follow from targets; of KPIs whose target is not needed for that, what the others make of it; of
        the remaining KPIs, the measures that are missing.

    Examples
    --------
    >>> entry = {"unit": "money", "owner": ["CFO"], "direction": 1, "additive": "flow", "version": 1,
    ...          "date": "2026-07-01"}
    >>> def kpi(id, formula):
    ...     return entry | {"id": id, "name": {"en": id, "it": id}, "formula": {"finance": formula}}
    >>> stated = [kpi("revenue", "revenue"), kpi("share", "marketing_cost / revenue") | {"unit": "share"},
    ...           kpi("after_marketing", "revenue - marketing_cost")]
    >>> from kpitoolkit.reconciliation.catalogue import from_content
    >>> known = from_content({"version": "1", "date": "2026-07-01", "kpis": stated})
    >>> values, made, missing = implied(known, {"revenue": 100, "share": 0.25, "after_marketing": 80}, {})
    >>> int(values["marketing_cost"]), int(made["after_marketing"])
    (2500, 7500)
    """
    known = {
        name: formula.exact(value)
        for name, value in facts.items()
        if kinds.base_of(name)[1] and not measures.is_missing(value)
    }
    earlier, made = set(known), {}
    open_ = {kpi.id: kpi for kpi in catalogue.kpis if kpi.id in targets}
    moved = True
    while moved:
        moved = False
        for kpi in list(open_.values()):
            tree = _tree(kpi)
            unknown = [name for name in formula.names(tree) if name not in known]
            if len(unknown) > 1:
                continue
            if unknown:
                solved = _solve(tree, unknown[0], known, _target(kpi, targets))
                if solved is None:
                    continue
                known[unknown[0]] = solved
            else:
                value = _evaluate(tree, known)
                if value is None:
                    continue
                made[kpi.id] = value
            del open_[kpi.id]
            moved = True
    missing = {kpi.id: tuple(n for n in formula.names(_tree(kpi)) if n not in known) for kpi in open_.values()}
    return {name: value for name, value in known.items() if name not in earlier}, made, missing


def _tree(kpi: Kpi) -> formula.Node:
    return kpi.tree(next(iter(kpi.formula.given().values())), expand=True)


def _target(kpi: Kpi, targets: Mapping[str, float]) -> Fraction:
    return Fraction(str(targets[kpi.id])) * bridges.cents_per_unit(kpi.unit)


def _evaluate(tree: formula.Node, known: Mapping[str, Fraction]) -> Fraction | None:
    try:
        return formula.evaluate(tree, known)
    except formula.ZeroDenominatorError:
        return None


def _solve(tree: formula.Node, name: str, known: Mapping[str, Fraction], target: Fraction) -> Fraction | None:
    """The value of one measure at which the formula gives the target; None where it is not linear in it."""
    if isinstance(tree, formula.Ratio):
        above, below = tree.numerator, tree.denominator
    else:
        above, below = tree, formula.Number(Fraction(1))

    def distance(value: int) -> Fraction | None:
        given = {**known, name: Fraction(value)}
        ends = _evaluate(above, given), _evaluate(below, given)
        return None if None in ends else ends[0] - target * ends[1]

    left = [distance(value) for value in (1, 2, 3)]
    if None in left or left[2] - left[1] != left[1] - left[0] or left[1] == left[0]:
        return None
    return 1 - left[0] / (left[1] - left[0])


def verdicts(
    catalogue: Catalogue,
    targets: Mapping[str, float],
    facts: Mapping[str, object],
    materiality: Mapping[str, float],
) -> dict[str, Verdict]:
    """
    Judge each KPI's target by the others of the same unit.

    Parameters
    ----------
    catalogue, targets, facts
        As for ``implied``.
    materiality : mapping
        Share of a target by which it may differ, by KPI.
    """
    values, made, missing = implied(catalogue, targets, facts)
    earlier = {n: v for n, v in facts.items() if kinds.base_of(n)[1] and not measures.is_missing(v)}
    known = {**{name: formula.exact(value) for name, value in earlier.items()}, **values}
    found = {}
    for kpi in catalogue.kpis:
        if kpi.id not in targets:
            found[kpi.id] = Verdict("no_target")
            continue
        target = _target(kpi, targets)
        if kpi.id in made:
            found[kpi.id] = _compared(target, made[kpi.id], materiality[kpi.id])
        elif kpi.id in missing:
            found[kpi.id] = Verdict("cannot_be_told", float(target), missing=missing[kpi.id])
        else:
            found[kpi.id] = _with_residual(kpi, target, known, facts)
    return found


def _compared(target: Fraction, value: Fraction, materiality: float) -> Verdict:
    close = abs(value - target) <= Fraction(str(materiality)) * abs(target)
    return Verdict("recombines" if close else "does_not", float(target), float(value))


def _with_residual(kpi: Kpi, target: Fraction, known: Mapping[str, Fraction], facts: Mapping[str, object]) -> Verdict:
    for entry in kpi.decompositions.values():
        tree = kpi.tree(entry.formula, expand=True)
        if entry.residual and set(formula.names(tree)) <= set(known):
            value = _evaluate(tree, known)
            if value is not None:
                given = {name: facts.get(name) for name in formula.names(tree)}
                told = not any(measures.is_missing(amount) for amount in given.values())
                parts = _evaluate(tree, given) if told else None
                whole = kpi.value(next(iter(kpi.formula.given())), facts)[0]
                actual = None if parts is None or whole is None else whole - float(parts)
                return Verdict("needs_residual", float(target), float(value), float(target - value), actual)
    return Verdict("nothing_beside_it", float(target))


def of_group(
    catalogue: Catalogue,
    targets: Mapping[str, float],
    by_unit: Mapping[str, tuple[Mapping[str, float], Mapping[str, object], str]],
    quarter: str,
    group_currency: str,
    fx_rates: pd.DataFrame | None,
    materiality: Mapping[str, float],
) -> dict[str, Verdict]:
    """
    Judge the group's targets by its units': sums are added up, ratios computed again from the sums.

    Customers are not added, because one may be a customer of two units; revenue is before intercompany.

    Parameters
    ----------
    catalogue, materiality
        As for ``verdicts``.
    targets : mapping
        The group's.
    by_unit : mapping
        Unit: its targets, its facts (as ``measures.at`` gives them) and its currency.
    quarter, group_currency : str
    fx_rates : DataFrame, optional
    """
    found = [_in_group_currency(catalogue, *entry, quarter, group_currency, fx_rates) for entry in by_unit.values()]
    everywhere = set.intersection(*(set(values) for values in found)) if found else set()
    known = {name: sum((values[name] for values in found), Fraction(0)) for name in everywhere}
    judged = {}
    for kpi in catalogue.kpis:
        if kpi.id not in targets:
            judged[kpi.id] = Verdict("no_target")
            continue
        tree, target = _tree(kpi), _target(kpi, targets)
        missing = tuple(name for name in formula.names(tree) if name not in known)
        value = None if missing else _evaluate(tree, known)
        told = value is not None
        judged[kpi.id] = (
            _compared(target, value, materiality[kpi.id])
            if told
            else Verdict("cannot_be_told", float(target), missing=missing)
        )
    return judged


def _in_group_currency(catalogue, targets, facts, currency, quarter, group_currency, fx_rates) -> dict[str, Fraction]:
    """What a unit's targets say of measures that may be added over units, in the group's currency."""
    known = {n: formula.exact(v) for n, v in facts.items() if kinds.base_of(n)[1] and not measures.is_missing(v)}
    known |= implied(catalogue, targets, facts)[0]
    found = {}
    for name, value in known.items():
        base, lag = kinds.base_of(name)
        kind = kinds.of(base)
        rate = Fraction(1)
        if kind.value_unit == "money":
            then = parameters.shift_quarter(quarter, lag) if lag else quarter
            rate = money.rate_between(fx_rates, then, currency, group_currency, group_currency)
        if rate is not None and kind.additive in ("flow", "stock"):
            found[name] = value * rate
    return found
