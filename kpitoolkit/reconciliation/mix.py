"""The mix between units: what moved inside them, and what moved because their weights did."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import pandas as pd

from kpitoolkit import errors, parameters, text
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import kinds, measures, rollup
from kpitoolkit.reconciliation.bridge import Bridge, written
from kpitoolkit.reconciliation.catalogue import Catalogue, Kpi
from kpitoolkit.reconciliation.formula import Ratio, evaluate, exact, names


@dataclass(frozen=True, eq=False)
class Mix:
    """
    A group's ratio between two quarters: what moved within units, and what moved because their weights moved.

    ``table``: `unit, ratio_before, ratio_after, weight_before, weight_after, within, mix`. ``bridge`` sums them up.
    ``reversal`` is True where every unit moved one way and the group the other (Simpson). ``missing_units`` have no
    result: the mix is then partial, of the others only.
    """

    table: pd.DataFrame
    bridge: Bridge
    reversal: bool = False
    missing_units: tuple[str, ...] = ()

    def plot(self, ax=None, language="en"):
        """Draw the bridge of the group's ratio."""
        return self.bridge.plot(ax=ax, language=language)

    def findings(self, language="en") -> list[str]:
        """Say how much comes from within units and how much from the mix."""
        _ = text.translator(language)
        partial = []
        if self.missing_units:
            missing = ", ".join(text.label(unit, language) for unit in self.missing_units)
            partial = [_("Partial: this mix is without {units}, whose results are missing.").format(units=missing)]
        if self.bridge.status != "ok":
            return [*partial, _("No mix effect: a unit or the group has no such ratio at one of the two quarters.")]
        within, mix = self.table["within"].sum(), self.table["mix"].sum()

        def points(share: float) -> str:
            return text.number(share * 100, language, 2, signed=True)

        start, *_steps, end = self.bridge.table["amount"].tolist()
        sentence = _("From {start} to {end}: {within} points within units, {mix} points from the mix between them.")
        said = [
            *partial,
            sentence.format(
                start=text.percent(start, language, 2),
                end=text.percent(end, language, 2),
                within=points(within),
                mix=points(mix),
            ),
        ]
        if self.reversal:
            said.append(_("Reversal: every unit moved one way and the group the other; only the weights explain it."))
        return said


def mix(table: pd.DataFrame, start: str = "before", end: str = "after") -> Mix:
    """
    Split the change of a group's ratio between its units, exactly.

    ``within = mean weight x change of the ratio``; ``mix = (mean ratio - group's mean ratio) x change of the weight``;
    a weight is a unit's share of the denominator. A unit that is new or gone counts in the mix only.

    Parameters
    ----------
    table : DataFrame
        `unit, numerator_before, denominator_before, numerator_after, denominator_after`.
    start, end : str
        Keys of the two totals.

    Returns
    -------
    Mix

    Examples
    --------
    >>> sessions = pd.DataFrame({"unit": ["a", "b"], "numerator_before": [400, 40], "denominator_before": [8000, 2000],
    ...                          "numerator_after": [220, 132], "denominator_after": [4000, 6000]})
    >>> found = mix(sessions)
    >>> [round(float(found.table[part].sum()) * 100, 4) for part in ("within", "mix")], found.reversal
    ([0.38, -1.26], True)
    """
    parts = {
        name: [exact(value) if not measures.is_missing(value) else None for value in table[name]]
        for name in table.columns
        if name != "unit"
    }
    empty = Mix(table.head(0), Bridge(bridges.empty_table(), "share", "no_figure"))
    if not len(table) or any(value is None for values in parts.values() for value in values):
        return empty
    whole = {name: sum(values) for name, values in parts.items()}
    if whole["denominator_before"] == 0 or whole["denominator_after"] == 0:
        return empty
    group = [whole[f"numerator_{when}"] / whole[f"denominator_{when}"] for when in ("before", "after")]
    mean = (group[0] + group[1]) / 2
    rows, steps, moves = [], {"within_units": Fraction(0), "mix_between_units": Fraction(0)}, []
    for i, unit in enumerate(table["unit"]):
        n0, d0, n1, d1 = (
            parts[name][i]
            for name in ("numerator_before", "denominator_before", "numerator_after", "denominator_after")
        )
        if (d0 == 0 and n0 != 0) or (d1 == 0 and n1 != 0):
            return empty
        r0, r1 = n0 / d0 if d0 else None, n1 / d1 if d1 else None
        shown = [None if ratio is None else float(ratio) for ratio in (r0, r1)]
        r0, r1 = r1 if r0 is None else r0, r0 if r1 is None else r1
        r0, r1 = r0 or Fraction(0), r1 or Fraction(0)
        w0, w1 = d0 / whole["denominator_before"], d1 / whole["denominator_after"]
        within, moved = (w0 + w1) / 2 * (r1 - r0), ((r0 + r1) / 2 - mean) * (w1 - w0)
        steps["within_units"] += within
        steps["mix_between_units"] += moved
        moves.append(r1 - r0)
        rows.append((unit, *shown, float(w0), float(w1), float(within), float(moved)))
    columns = ["unit", "ratio_before", "ratio_after", "weight_before", "weight_after", "within", "mix"]
    change = group[1] - group[0]
    reversal = any(change * sign < 0 and all(move * sign > 0 for move in moves) for sign in (1, -1))
    frame = bridges.steps_table((group[0], group[1]), steps, "share", start, end)
    return Mix(pd.DataFrame(rows, columns=columns), Bridge(frame, "share", "ok", steps), reversal)


def mix_of(
    kpi: Kpi,
    units: Mapping[str, pd.DataFrame | None],
    quarter: str,
    group_currency: str = "EUR",
    fx_rates: pd.DataFrame | None = None,
) -> Mix:
    """
    Mix between units in a KPI that is a ratio of sums, against the same quarter a year ago.

    Raises
    ------
    ToolkitError
        Where the KPI's finance formula is no ratio.
    """
    tree = kpi.tree(kpi.formula.finance or "0", expand=True)
    if not isinstance(tree, Ratio):
        raise errors.ToolkitError(f"{kpi.id}: its finance formula is no ratio of two sums, so it has no mix effect.")
    earlier = parameters.shift_quarter(quarter, -4)
    rows = []
    for unit, table in units.items():
        if table is None:
            continue
        found = rollup.in_group_currency(table, fx_rates, group_currency)
        row: dict[str, object] = {"unit": unit}
        for when, then in (("before", earlier), ("after", quarter)):
            for part, node in (("numerator", tree.numerator), ("denominator", tree.denominator)):
                values = {name: found.get((name, then)) for name in names(node)}
                row[f"{part}_{when}"] = None if None in values.values() else evaluate(node, values)
        rows.append(row)
    columns = ["unit", "numerator_before", "denominator_before", "numerator_after", "denominator_after"]
    missing = tuple(unit for unit, table in units.items() if table is None)
    return replace(mix(pd.DataFrame(rows, columns=columns), earlier, quarter), missing_units=missing)


def reversals(
    catalogue: Catalogue,
    units: Mapping[str, pd.DataFrame | None],
    quarter: str,
    group_currency: str = "EUR",
    fx_rates: pd.DataFrame | None = None,
    language: str = "en",
) -> list[str]:
    """
    Say which ratios of sums moved one way in every unit and the other way in the group, on the same quarter a year ago.

    Ratios of customers are left out: customers of several units are counted once, so units do not add up to the group.
    With a unit missing, nothing is said of the group.
    """
    _ = text.translator(language)
    if any(table is None for table in units.values()):
        return []
    said, looked = [], 0
    for kpi in catalogue.kpis:
        tree = kpi.tree(kpi.formula.finance or "0", expand=True)
        additive = {kinds.of(kinds.base_of(name)[0]).additive for name in names(tree)}
        if not isinstance(tree, Ratio) or not additive <= {"flow", "stock"}:
            continue
        found = mix_of(kpi, units, quarter, group_currency, fx_rates)
        looked += found.bridge.status == "ok"
        if found.reversal:
            ends = [float(found.bridge.table["amount"].iloc[place]) for place in (0, -1)]
            told = [
                text.percent(end, language, 2)
                if kpi.unit == "share"
                else written(end, kpi.unit, language, group_currency)
                for end in ends
            ]
            sentence = _(
                "Reversal: {kpi} moved one way in every unit and the other in the group, from {start} to {end}; only "
                "the units' weights explain it."
            )
            said.append(sentence.format(kpi=getattr(kpi.name, language), start=told[0], end=told[1]))
    if looked and not said:
        said.append(_("No other ratio moved one way in every unit and the other way in the group."))
    return said
