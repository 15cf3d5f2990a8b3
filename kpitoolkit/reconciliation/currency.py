"""The group from one quarter to another: organic, currency, perimeter, intercompany and consolidation, to the cent.

A unit's revenue in group currency is local revenue times rate. Its change is split as the bridge splits any product, in
no privileged order: organic ``(L1 - L0)(r0 + r1)/2``, currency ``(r1 - r0)(L0 + L1)/2``. Growth at constant currency,
as companies report it, converts this year's revenue at last year's rates; it stands beside the bridge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import money, parameters, plots, text
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.reconciliation import bridge as bridges
from kpitoolkit.reconciliation import measures, rollup

STEPS = ("organic", "currency", "entered_group", "left_group", "intercompany", "consolidation", "unexplained")
UNITS = [
    *("unit", "perimeter", "currency", "local_before_cents", "local_after_cents", "rate_before", "rate_after"),
    *("before_cents", "after_cents", "organic_cents", "currency_effect_cents", "perimeter_cents"),
    "growth_constant_currency",
]
_CENTS = [name for name in UNITS if name.endswith("_cents")]


@dataclass(frozen=True, eq=False)
class PeriodBridge:
    """
    The group's revenue from one quarter to another.

    Attributes
    ----------
    table : DataFrame
        A bridge: the earlier quarter, ``organic``, ``currency``, ``entered_group``, ``left_group``, ``intercompany``,
        ``consolidation``, ``unexplained`` (by how much the group's own books moved otherwise), the later quarter.
        Without rows where the group is partial or has no figure.
    units : DataFrame
        By unit: ``perimeter`` (``both_ends``, ``entered_group``, ``left_group``), ``currency`` (of its books in the
        later quarter), local revenue and rates at both ends, the same in group currency, its steps, and
        ``growth_constant_currency``.
    growth, growth_constant_currency : float or None
        Of the units in the perimeter at both ends, before intercompany; in group currency, and at the earlier rates.
    status : str
        ``ok``, ``partial`` (units without result, or without a figure and no stated perimeter) or ``no_figure``.
    """

    table: pd.DataFrame
    units: pd.DataFrame
    from_quarter: str
    to_quarter: str
    currency: str
    status: str
    growth: float | None = None
    growth_constant_currency: float | None = None
    missing_units: tuple[str, ...] = ()
    unclear_units: tuple[str, ...] = ()

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the bridge as a waterfall."""
        words = [bridges.as_words(step, language) for step in self.table["step"]]
        return plots.waterfall(self.table.assign(step=words), ax=ax, language=language, currency=self.currency)

    def findings(self, language: str = "en", names: Mapping[str, str] | None = None) -> list[str]:
        """Say how the group grew, how much of it is currency and perimeter, and what stays unexplained."""
        _ = text.translator(language)
        named = dict(names or {})

        def listed(units):
            return ", ".join(named.get(unit) or text.label(unit, language) for unit in units)

        if self.missing_units:
            sentence = _("Partial: {units} missing. The group is not compared with the earlier quarter.")
            return [sentence.format(units=listed(self.missing_units))]
        if self.unclear_units:
            sentence = _(
                "Partial: {units} without a figure at one end, and no perimeter states that they came or left."
            )
            return [sentence.format(units=listed(self.unclear_units))]
        if self.status != "ok":
            return [_("No bridge between the quarters: a figure or an exchange rate is missing.")]
        amounts = self.table.set_index("step")["amount_cents"]
        ends = amounts[self.from_quarter], amounts[self.to_quarter]
        sentence = _("From {start} in {before} to {end} in {after}: {change}.")
        quarters = {"before": self.from_quarter, "after": self.to_quarter}
        said = [
            sentence.format(
                start=self._money(ends[0], language),
                end=self._money(ends[1], language),
                change=self._money(ends[1] - ends[0], language, True),
                **{name: text.quarter(quarter, language) for name, quarter in quarters.items()},
            )
        ]
        steps = self.table.loc[self.table["kind"] != "total"]
        parts = [
            f"{text.label(row.step, language)} {self._money(row.amount_cents, language, True)}"
            for row in steps.itertuples()
        ]
        said.append(_("Of which {parts}.").format(parts="; ".join(parts)) if parts else _("Nothing moved."))
        if self.growth_constant_currency is not None:
            alone = (self.units["rate_before"] == self.units["rate_after"]).all()
            sentence = (
                _("Units in the group at both ends: {growth}.")
                if alone
                else _(
                    "Units in the group at both ends: {growth} in {currency}, "
                    "{constant} at the earlier quarter's rates."
                )
            )
            shares = {"growth": self.growth, "constant": self.growth_constant_currency}
            written = {name: text.percent(share, language, signed=True) for name, share in shares.items()}
            said.append(sentence.format(currency=self.currency, **written))
        for perimeter, sentence in (
            ("entered_group", _("New in the group since then: {units}.")),
            ("left_group", _("No longer in the group: {units}.")),
        ):
            units = self.units.loc[self.units["perimeter"] == perimeter, "unit"]
            if len(units):
                said.append(sentence.format(units=listed(units)))
        return said

    def _money(self, cents: int, language: str, signed: bool = False) -> str:
        return text.compact_money(cents, self.currency, language, signed=signed, least=10_000_000)


def period_bridge(
    units: Mapping[str, pd.DataFrame | None],
    quarter: str,
    group_currency: str = "EUR",
    fx_rates: pd.DataFrame | None = None,
    stated: pd.DataFrame | None = None,
    perimeter: Mapping[str, tuple[str | None, str | None]] | None = None,
    quarters_back: int = 4,
) -> PeriodBridge:
    """
    Bridge the group's revenue from an earlier quarter to this one, exact to the cent.

    Parameters
    ----------
    units : mapping
        Saved measures of each unit, as for ``rollup.roll_up``; None where a unit has no result. A unit that has left is
        handed in with the measures that it had.
    quarter, group_currency : str
    fx_rates, stated : DataFrame, optional
        As for ``rollup.roll_up``.
    perimeter : mapping, optional
        Unit: first and last quarter in the group; None where it was there before, or still is. A unit that is not
        named belongs to the group at both ends, so that a figure which is missing at one end makes the bridge partial:
        an acquisition is told from a gap in the data by being stated.
    quarters_back : int

    Returns
    -------
    PeriodBridge

    Raises
    ------
    Faults
        Where the perimeter names no unit, or leaves before it enters.

    Examples
    --------
    >>> def unit(currency, **values):
    ...     return pd.DataFrame({"measure": "revenue", "quarter": list(values), "value": values.values(),
    ...                          "value_unit": "money", "currency": currency})
    >>> units = {"a": unit("EUR", **{"2025Q3": 100_00, "2026Q3": 110_00}),
    ...          "b": unit("GBP", **{"2025Q3": 100_00, "2026Q3": 120_00}), "c": unit("EUR", **{"2026Q3": 30_00})}
    >>> rates = pd.DataFrame({"quarter": ["2025Q3", "2026Q3"], "currency": "GBP", "rate": [1.2, 1.1]})
    >>> found = period_bridge(units, "2026Q3", "EUR", rates, perimeter={"c": ("2026Q1", None)})
    >>> found.table.set_index("step")["amount_cents"].to_dict()
    {'2025Q3': 22000, 'organic': 3300, 'currency': -1100, 'entered_group': 3000, '2026Q3': 27200}
    """
    earlier = parameters.shift_quarter(quarter, -quarters_back)
    within = _within(units, perimeter or {}, (earlier, quarter))
    nothing = bridges.empty_table(), pd.DataFrame(columns=UNITS), earlier, quarter, group_currency
    missing = tuple(unit for unit, table in units.items() if table is None and any(within[unit]))
    if missing:
        return PeriodBridge(*nothing, "partial", missing_units=missing)
    found = {unit: table for unit, table in units.items() if any(within[unit])}
    values = {unit: (measures.at(table, earlier), measures.at(table, quarter)) for unit, table in found.items()}
    unclear = tuple(
        unit
        for unit, ends in values.items()
        if any(inside and end["revenue"] is None for inside, end in zip(within[unit], ends, strict=True))
    )
    if unclear:
        return PeriodBridge(*nothing, "partial", unclear_units=unclear)
    sums = []
    for side, then in enumerate((earlier, quarter)):
        inside = {unit: table for unit, table in found.items() if within[unit][side]}
        whole = rollup.roll_up(inside, then, group_currency, fx_rates, stated)
        if whole.status != "ok":
            return PeriodBridge(*nothing, "no_figure")
        sums.append(whole.lines.set_index("measure").loc["revenue"])
    by_unit = _by_unit(found, values, within, (earlier, quarter), group_currency, fx_rates)
    if by_unit is None:
        return PeriodBridge(*nothing, "no_figure")
    table = _table(by_unit, sums, (earlier, quarter))
    return PeriodBridge(table, by_unit, earlier, quarter, group_currency, "ok", *_growth(by_unit))


def _within(units, perimeter, quarters) -> dict[str, tuple[bool, bool]]:
    """Whether each unit belongs to the group at each end."""
    faults = [f"'{unit}' is no unit of the group.{suggest(unit, units)}" for unit in perimeter if unit not in units]
    faults += [
        f"{unit}: leaves in {last} before it enters in {first}. Correct one of them."
        for unit, (first, last) in perimeter.items()
        if first and last and last < first
    ]
    if faults:
        raise Faults("perimeter", faults)
    found = {}
    for unit in units:
        first, last = perimeter.get(unit, (None, None))
        found[unit] = tuple((not first or first <= then) and (not last or then <= last) for then in quarters)
    return found


def _by_unit(found, values, within, quarters, group_currency, fx_rates) -> pd.DataFrame | None:
    rows = []
    for unit, table in found.items():
        local = [end["revenue"] if inside else None for end, inside in zip(values[unit], within[unit], strict=True)]
        currencies = [_currency_at(table, then) for then in quarters]
        own = currencies[1] if within[unit][1] else currencies[0]
        rates = [money.rate_between(fx_rates, then, own, group_currency, group_currency) for then in quarters]
        converted = [
            None if cents is None else _in_group(cents, source, then, group_currency, fx_rates)
            for cents, source, then in zip(local, currencies, quarters, strict=True)
        ]
        if None in rates or any(a is not None and b is None for a, b in zip(local, converted, strict=True)):
            return None
        if own != currencies[0] and local[0] is not None:  # the books changed their currency: restated at that rate
            local[0] = converted[0] / rates[0]
        row = dict.fromkeys(UNITS, None) | {"unit": unit, "currency": own, "perimeter": "both_ends"}
        row |= {"local_before_cents": _cents(local[0]), "local_after_cents": local[1]}
        row |= {"rate_before": float(rates[0]), "rate_after": float(rates[1])}
        row |= {"before_cents": converted[0], "after_cents": converted[1]}
        if all(within[unit]):
            exact = bridges.contributions("local * rate", *(_ends(local, rates)))
            parts = money.whole_cents(converted[1] - converted[0], list(exact.values()), ["organic", "rate"])
            row["organic_cents"], row["currency_effect_cents"] = parts
            row["growth_constant_currency"] = float(local[1] / Fraction(local[0]) - 1) if local[0] > 0 else None
        else:
            row["perimeter"] = "entered_group" if within[unit][1] else "left_group"
            row["perimeter_cents"] = converted[1] if within[unit][1] else -converted[0]
        rows.append(row)
    frame = pd.DataFrame(rows, columns=UNITS)
    return frame.astype(dict.fromkeys(_CENTS, "Int64") | {"growth_constant_currency": float})


def _ends(local, rates) -> list[dict[str, Fraction]]:
    return [{"local": Fraction(cents), "rate": rate} for cents, rate in zip(local, rates, strict=True)]


def _cents(amount) -> int | None:
    return None if amount is None else round(amount)


def _currency_at(table: pd.DataFrame, quarter: str) -> str:
    """The currency of a unit's revenue in a quarter; of its books where that quarter has none."""
    rows = table[(table["measure"] == "revenue") & (table["quarter"] == quarter) & table["value"].notna()]
    return str(rows["currency"].iloc[0]) if len(rows) else rollup.currency_of(table)


def _in_group(cents: int, currency: str, quarter: str, group_currency: str, fx_rates) -> int | None:
    rate = money.rate_between(fx_rates, quarter, currency, group_currency, group_currency)
    return None if rate is None else money.convert(cents, rate)


def _table(by_unit: pd.DataFrame, sums: list, quarters: tuple[str, str]) -> pd.DataFrame:
    """The bridge; each end is what the group states, where it states it, else what its units make up."""
    ends = [line["computed_cents"] if pd.isna(line["booked_cents"]) else line["booked_cents"] for line in sums]
    both_stated = not any(pd.isna(line["booked_cents"]) for line in sums)
    if not both_stated:
        ends = [line["computed_cents"] for line in sums]
    perimeter = by_unit.groupby("perimeter")["perimeter_cents"].sum()
    amounts = {
        "organic": by_unit["organic_cents"].sum(),
        "currency": by_unit["currency_effect_cents"].sum(),
        "entered_group": perimeter.get("entered_group", 0),
        "left_group": perimeter.get("left_group", 0),
        **{name: sums[1][f"{name}_cents"] - sums[0][f"{name}_cents"] for name in ("intercompany", "consolidation")},
    }
    amounts = {name: int(cents) for name, cents in amounts.items()}
    amounts["unexplained"] = int(ends[1] - ends[0]) - sum(amounts.values()) if both_stated else 0
    rows = [(quarters[0], "total", int(ends[0]))]
    rows += [
        (name, "unexplained" if name == "unexplained" else "step", amounts[name])
        for name in STEPS
        if amounts[name] or name == "organic" or (name == "unexplained" and both_stated)
    ]
    rows.append((quarters[1], "total", int(ends[1])))
    frame = pd.DataFrame(rows, columns=["step", "kind", "amount_cents"]).astype({"amount_cents": "Int64"})
    frame.insert(0, "position", range(len(frame)))
    return frame


def _growth(by_unit: pd.DataFrame) -> tuple[float | None, float | None]:
    """Growth of the units that were there at both ends: in group currency, and at the earlier quarter's rates."""
    rows = by_unit[by_unit["perimeter"] == "both_ends"]
    before = int(rows["before_cents"].sum())
    if before <= 0:
        return None, None
    constant = (rows["local_after_cents"].astype(float) * rows["rate_before"]).sum()
    return int(rows["after_cents"].sum()) / before - 1, constant / before - 1
