"""What moved a KPI: from a year ago to now by its drivers, and from the marketing basis to the finance basis."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from kpitoolkit import parameters, plots, text
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import catalogue as definitions
from kpitoolkit.reconciliation import formula, kinds, measures
from kpitoolkit.reconciliation.bridge import Bridge
from kpitoolkit.reconciliation.catalogue import Catalogue


@dataclass(frozen=True, eq=False)
class Drivers:
    """
    What moved the KPIs between two quarters.

    ``table``: `kpi, decomposition, driver, from_quarter, to_quarter, contribution, value_unit`; money in cents.
    ``bridges``: each decomposition as a Bridge, also those without figures.
    """

    table: pd.DataFrame
    bridges: Mapping[tuple[str, str], Bridge]
    names: Mapping[str, definitions.Words]
    from_quarter: str
    to_quarter: str
    currency: str

    def chosen(self, kpi: str = "contribution_margin") -> tuple[str, str] | None:
        """The first decomposition with figures: of this KPI, else of any."""
        ready = [key for key, result in self.bridges.items() if result.status == "ok"]
        return next((key for key in ready if key[0] == kpi), ready[0] if ready else None)

    def shown(self, language: str = "en") -> pd.DataFrame:
        """The table with the KPIs' names."""
        frame = self.table[["kpi", "decomposition", "driver", "contribution"]].copy()
        frame["kpi"] = [getattr(self.names[kpi], language) for kpi in frame["kpi"]]
        written = bridges.for_page(frame.pop("contribution"), self.table["value_unit"])
        frame["change"] = pd.Series(written, index=frame.index, dtype=object)
        return frame

    @property
    def formats(self) -> dict[str, list[str] | str]:
        """How ``shown`` is written."""
        changes = {**bridges.FORMATS, "share": "points"}
        return {"kpi": "text", "change": ["+" + changes[unit] for unit in self.table["value_unit"]]}

    def plot(self, ax=None, language="en", kpi="contribution_margin"):
        """Draw the bridge of one KPI from the earlier quarter to the later one."""
        key = self.chosen(kpi)
        if key is None:
            return plots.waterfall(bridges.empty_table(), ax=ax, language=language)
        ax = self.bridges[key].plot(ax=ax, language=language)
        return ax

    def findings(self, language="en", kpi="contribution_margin") -> list[str]:
        """Say what moved this KPI, and which decompositions have no figures."""
        _ = text.translator(language)
        said, key = [], self.chosen(kpi)
        if key is not None:
            name = getattr(self.names[key[0]], language)
            label = text.label(key[1], language)
            sentence = _("{kpi}, {decomposition}:").format(kpi=name, decomposition=label)
            said += [f"{sentence} {bridges.lowered(finding)}" for finding in self.bridges[key].findings(language)]
        else:
            said.append(_("No driver can be shown: the earlier quarter has no figures for any decomposition."))
        empty = [key for key, result in self.bridges.items() if result.status != "ok"]
        if empty:
            listed = [f"{getattr(self.names[k], language)} ({text.label(d, language)})" for k, d in empty]
            said.append(
                _("Without figures at one end, therefore not split: {listed}.").format(listed=", ".join(listed))
            )
        return said


def drivers(
    catalogue: Catalogue,
    table: pd.DataFrame,
    quarter: str,
    declared: Iterable[str],
    currency: str,
    quarters_back: int = 4,
) -> Drivers:
    """
    Split the change of each KPI since an earlier quarter by each of its named decompositions, exactly.

    Parameters
    ----------
    catalogue, table, quarter, declared, currency
        As for ``scorecard``.
    quarters_back : int
        4: against the same quarter a year ago.

    Returns
    -------
    Drivers
    """
    declared = set(declared)
    earlier = parameters.shift_quarter(quarter, -quarters_back)
    before, after = measures.at(table, earlier), measures.at(table, quarter)
    found, rows, names = {}, [], {}
    for kpi, basis in catalogue.listed(declared):
        if basis != next(iter(kpi.formula.given())):
            continue
        names[kpi.id] = kpi.name
        whole = tuple(kpi.value(basis, values)[0] for values in (before, after))
        for name, entry in kpi.decompositions.items():
            tree = kpi.tree(entry.formula)
            needed = formula.names(kpi.tree(entry.formula, expand=True))
            if not kinds.can_come_from(needed, declared) or measures.has_nothing_of(table, needed):
                continue
            result = bridges.bridge(
                tree,
                kpi.inputs(before),
                kpi.inputs(after),
                kpi.unit,
                earlier,
                quarter,
                whole if entry.residual else None,
                entry.residual or bridges.RESIDUAL,
                currency,
            )
            found[kpi.id, name] = result
            steps = result.table[result.table["kind"] == "step"]
            scale = bridges.cents_per_unit(kpi.unit) if kpi.unit != "money" else 1
            for step, amount in zip(steps["step"], steps.get(result.value, []), strict=True):
                rows.append((kpi.id, name, step, earlier, quarter, float(amount) * scale, kpi.unit))
    columns = ["kpi", "decomposition", "driver", "from_quarter", "to_quarter", "contribution", "value_unit"]
    frame = pd.DataFrame(rows, columns=columns).astype({"contribution": float})
    return Drivers(frame, found, names, earlier, quarter, currency)


@dataclass(frozen=True, eq=False)
class BasisBridges:
    """
    KPIs from the marketing basis to the finance basis.

    ``table`` is `kpi, value_unit` and a bridge in `amount`: `money` and `money_per_unit` in cents, as in the drivers.
    """

    table: pd.DataFrame
    bridges: Mapping[str, Bridge]
    kpis: Mapping[str, definitions.Kpi]

    def plot(self, ax=None, language="en", kpi="cac"):
        """Draw one KPI's bridge; an empty chart where none has figures."""
        ready = {key: result for key, result in self.bridges.items() if result.status == "ok"}
        if not ready:
            return plots.waterfall(bridges.empty_table(), ax=ax, language=language)
        return ready.get(kpi, next(iter(ready.values()))).plot(ax=ax, language=language)

    def findings(self, language="en") -> list[str]:
        """Say what each basis counts, how far apart the two are, and why."""
        _ = text.translator(language)
        if not self.bridges:
            return [_("Not examined: in these tables no KPI has both a marketing and a finance basis.")]
        said = []
        for kpi, result in self.bridges.items():
            name = getattr(self.kpis[kpi].name, language)
            counted = {basis: _in_words(given, language) for basis, given in self.kpis[kpi].formula.given().items()}
            said.append(_("{kpi}: marketing counts {marketing}; finance counts {finance}.").format(kpi=name, **counted))
            said += [f"{name}: {bridges.lowered(finding)}" for finding in result.findings(language)]
        return said


def _in_words(stated: str, language: str) -> str:
    """Return a formula of the catalogue with the readers' words for its measures.

    Examples
    --------
    >>> _in_words("revenue - cost_of_sales", "en")
    'revenue − cost of sales'
    """
    signs = stated.replace("*", "×").replace("-", "−")
    return re.sub(r"[A-Za-z_]\w*", lambda found: text.label(found[0], language), signs)


def basis_bridges(
    catalogue: Catalogue, table: pd.DataFrame, quarter: str, declared: Iterable[str], currency: str
) -> BasisBridges:
    """Bridge every KPI that declares it from its marketing figure to its finance figure of the same quarter."""
    values = measures.at(table, quarter)
    listed = [one for one in catalogue.listed(declared) if not measures.has_nothing_of(table, one[0].measures(one[1]))]
    twice = [kpi for kpi, basis in listed if basis == "finance" and kpi.basis_bridge and (kpi, "marketing") in listed]
    found, frames = {}, []
    for kpi in twice:
        before, after = definitions.marketing_inputs(kpi, values), kpi.inputs(values)
        tree = kpi.tree(kpi.basis_bridge)
        result = bridges.bridge(tree, before, after, kpi.unit, "marketing_basis", "finance_basis", currency=currency)
        found[kpi.id] = bridges.without_zero_steps(result)
        frame = found[kpi.id].table
        scale = bridges.cents_per_unit(kpi.unit) if kpi.unit != "money" else 1
        amounts = frame[found[kpi.id].value].astype(float) * scale
        frames.append(frame[["position", "step", "kind"]].assign(amount=amounts, kpi=kpi.id, value_unit=kpi.unit))
    columns = ["kpi", "position", "step", "kind", "amount", "value_unit"]
    joined = pd.concat(frames, ignore_index=True) if frames else bridges.empty_table().assign(kpi=[], value_unit=[])
    return BasisBridges(joined[columns].astype({"amount": float}), found, {kpi.id: kpi for kpi in twice})
