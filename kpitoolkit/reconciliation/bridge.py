"""The bridge: a formula evaluated at two sets of inputs, and the difference split between its measures, exactly.

A sum or difference passes each change on with its sign; a product splits by Shapley weights; a ratio by the weights of
the two ends' mean; down the tree a contribution is weight x change. The weights are averages over all orders in which
the parts could change, so that no order is privileged. All of it is computed in fractions: nothing is left over.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import pandas as pd

from kpitoolkit import money, plots, text
from kpitoolkit.reconciliation.formula import (
    Name,
    Node,
    Number,
    Product,
    Ratio,
    Sum,
    ZeroDenominatorError,
    evaluate,
    exact,
    names,
    parse,
)

RESIDUAL = "residual"
FORMATS = {
    "money": "money",
    "money_per_unit": "money2",
    "share": "percent",
    "count": "number0",
    "ratio": "number2",
    "index": "number1",
}


@dataclass(frozen=True, eq=False)
class Bridge:
    """
    From one value of a formula to another.

    Attributes
    ----------
    table : DataFrame
        `position`, `step`, `kind` and `amount_cents` (money) or `amount` (other units; money per unit in units of the
        currency). Empty unless ``status`` is ``ok``.
    value_unit : str
        Unit of the formula's value.
    status : str
        ``ok``; ``no_figure`` where an input is missing; ``zero_denominator`` where the formula has no value at one end.
    contributions : dict
        The exact contribution of each measure, as a fraction, in the unit of the inputs (money in cents).
    parts : tuple of Bridge
        Under ``zero_denominator`` the bridges of the ratio's numerator and denominator; else empty.
    sensitivity : float or None
        Largest difference between a step and the same step by LMDI; None where LMDI needs positive inputs.
    missing : tuple of str
        Inputs without a figure.
    currency : str
    """

    table: pd.DataFrame
    value_unit: str
    status: str = "ok"
    contributions: Mapping[str, Fraction] | None = None
    parts: tuple["Bridge", ...] = ()
    sensitivity: float | None = None
    missing: tuple[str, ...] = ()
    currency: str = "EUR"

    @property
    def value(self) -> str:
        """Name of the table's column of amounts."""
        return "amount_cents" if self.value_unit == "money" else "amount"

    def plot(self, ax=None, language="en"):
        """Draw the bridge as a waterfall; under ``zero_denominator`` the first of its two parts."""
        drawn = self.parts[0] if self.parts else self
        percent = drawn.value_unit == "share"
        unit = drawn.currency if drawn.value_unit in ("money", "money_per_unit") else ""
        form = {"value_format": "percent"} if percent else {}
        table = drawn.table.assign(step=[as_words(step, language) for step in drawn.table["step"]])
        return plots.waterfall(table, value=drawn.value, ax=ax, language=language, currency=unit, **form)

    def findings(self, language="en") -> list[str]:
        """State the change, its largest step, and how much the method matters."""
        _ = text.translator(language)
        if self.status == "no_figure":
            missing = ", ".join(text.label(name, language) for name in self.missing)
            return [_("No bridge: no figure for {missing}.").format(missing=missing)]
        if self.status == "zero_denominator":
            return [_("The denominator is zero at one end: no ratio to bridge; its two parts are shown apart.")]
        start, end = self.table[self.value].iloc[0], self.table[self.value].iloc[-1]
        steps = self.table[self.table["kind"] == "step"]
        sentences = [
            _("From {start} to {end}: {change}.").format(
                start=self.write(start, language),
                end=self.write(end, language),
                change=self.write(end - start, language, signed=True),
            )
        ]
        if len(steps):
            largest = steps.loc[steps[self.value].astype(float).abs().idxmax()]
            sentences.append(
                _("Largest step: {step}, {amount}.").format(
                    step=text.label(largest["step"], language), amount=self.write(largest[self.value], language, True)
                )
            )
        if self.sensitivity is not None and round(self.sensitivity, 9) > 0:
            method = _("Sensitivity to method: by logarithmic means (LMDI) no step differs by more than {amount}.")
            sentences.append(method.format(amount=self.write(self.sensitivity, language, difference=True)))
        return sentences

    def write(self, amount, language="en", signed=False, difference=None) -> str:
        """Write an amount of this bridge's table as readers do, from ten million in short; shares differ in points."""
        if self.value_unit == "share" and (signed if difference is None else difference):
            points = text.number(amount * 100, language, 1 if signed else 2, signed=signed)
            return text.translator(language)("{points} points").format(points=points)
        if self.value_unit == "money":
            return text.compact_money(round(amount), self.currency, language, signed=signed, least=10_000_000)
        return written(
            amount * 100 if self.value_unit == "money_per_unit" else amount,
            self.value_unit,
            language,
            self.currency,
            signed,
        )


def lowered(sentence: str) -> str:
    """A sentence as it stands after a colon."""
    return sentence[:1].lower() + sentence[1:]


def as_words(step: str, language: str) -> str:
    """A total's key as readers write it, where it is a quarter or a classification basis; other keys as they are."""
    if step.startswith("basis_"):
        return text.translator(language)("Basis {basis}").format(basis=step.removeprefix("basis_"))
    return text.quarter(step, language) if re.fullmatch(r"\d{4}Q[1-4]", step) else step


def cents_per_unit(value_unit: str) -> int:
    """100 where figures of this unit are kept in cents, else 1."""
    return 100 if value_unit in ("money", "money_per_unit") else 1


def as_kept(amount: float, value_unit: str) -> float:
    """
    An amount as people state it (units of the currency), as figures of this unit are kept: what they read, to the cent.

    Examples
    --------
    >>> as_kept(4.35, "money_per_unit"), 100 * 4.35, as_kept(0.3, "share")
    (435.0, 434.99999999999994, 0.3)
    """
    return float(Fraction(str(amount)) * cents_per_unit(value_unit))


def written(value, value_unit: str, language: str, currency: str, signed: bool = False) -> str:
    """
    A KPI's value as readers write it; money and money per unit in cents.

    Examples
    --------
    >>> written(0.3251, "share", "it", "EUR"), written(1_234_500, "count", "en", "")
    ('32,5%', '1,234,500')
    """
    if value is None or pd.isna(value):
        return text.number(None, language)
    value = float(value)
    if value_unit == "money":
        return text.money(round(value), currency, language, signed=signed)
    if value_unit == "money_per_unit":
        return text.money(round(value), currency, language, decimals=2, signed=signed)
    if value_unit == "share":
        return text.percent(value, language, signed=signed)
    return text.number(value, language, decimals=0 if value_unit == "count" else 2, signed=signed)


def shapley_weights(before: list[Fraction], after: list[Fraction]) -> list[Fraction]:
    """
    For each factor of a product the mean, over all orders of change, of the product of the other factors.

    The sum over subsets of equal size comes from the coefficients of prod(before_j + after_j x), so the cost grows with
    the square of the number of factors, not with its factorial.

    Examples
    --------
    >>> shapley_weights([Fraction(2), Fraction(3)], [Fraction(4), Fraction(5)])
    [Fraction(4, 1), Fraction(3, 1)]
    """
    count = len(before)
    weights = []
    for i in range(count):
        sums = [Fraction(1)]
        for j in range(count):
            if j != i:
                held = [*[term * before[j] for term in sums], Fraction(0)]
                moved = [Fraction(0), *[term * after[j] for term in sums]]
                sums = [a + b for a, b in zip(held, moved, strict=True)]
        orders = [math.factorial(k) * math.factorial(count - 1 - k) for k in range(count)]
        weights.append(sum((n * s for n, s in zip(orders, sums, strict=True)), Fraction(0)) / math.factorial(count))
    return weights


def contributions(formula: Node | str, before: Mapping, after: Mapping) -> dict[str, Fraction]:
    """
    Split the change of a formula between its measures, exactly.

    Parameters
    ----------
    formula : Node or str
    before, after : mapping
        A number for each name of the formula.

    Returns
    -------
    dict of str to Fraction
        One entry a name, in order of appearance (a name that stands twice is one entry); they sum to
        ``evaluate(formula, after) - evaluate(formula, before)``.

    Raises
    ------
    ZeroDenominatorError
        Where a denominator is zero at one end.

    Examples
    --------
    >>> before, after = {"cost": 70_000, "customers": 150}, {"cost": 155_000, "customers": 120}
    >>> split = contributions("cost / customers", before, after)
    >>> {name: round(float(share), 2) for name, share in split.items()}
    {'cost': 637.5, 'customers': 187.5}
    """
    tree = parse(formula) if isinstance(formula, str) else formula
    return _split(tree, before, after, _exact_weights)


def lmdi(formula: Node | str, before: Mapping, after: Mapping) -> dict[str, float] | None:
    """
    The same split by logarithmic mean weights (Ang's LMDI-I), down the same tree; None where a part is not positive.

    Examples
    --------
    >>> split = lmdi("p * q", {"p": 1, "q": 2}, {"p": 4, "q": 5})
    >>> {name: round(share, 4) for name, share in split.items()}
    {'p': 10.8371, 'q': 7.1629}
    """
    tree = parse(formula) if isinstance(formula, str) else formula
    try:
        return {name: float(share) for name, share in _split(tree, before, after, _logarithmic_weights).items()}
    except ArithmeticError:
        return None


def _exact_weights(node: Product | Ratio, before: list[Fraction], after: list[Fraction]) -> list[Fraction]:
    if isinstance(node, Product):
        return shapley_weights(before, after)
    (n0, d0), (n1, d1) = before, after
    if d0 == 0 or d1 == 0:
        raise ZeroDenominatorError(node)
    return [(1 / d0 + 1 / d1) / 2, -(n0 + n1) / (2 * d0 * d1)]


def _logarithmic_weights(node: Product | Ratio, before: list[Fraction], after: list[Fraction]) -> list[Fraction]:
    if min(*before, *after) <= 0:
        raise ArithmeticError("LMDI needs positive inputs")
    signs = [1] * len(before) if isinstance(node, Product) else [1, -1]
    whole = [
        math.prod(part if sign == 1 else 1 / part for part, sign in zip(end, signs, strict=True))
        for end in (before, after)
    ]
    mean = _logarithmic_mean(*whole)
    return [sign * mean / _logarithmic_mean(b, a) for sign, b, a in zip(signs, before, after, strict=True)]


def _logarithmic_mean(before: Fraction, after: Fraction) -> Fraction:
    if before == after:
        return before
    relative = float((after - before) / before)
    return (after - before) / exact(math.log1p(relative))


def _split(node: Node, before: Mapping, after: Mapping, weights_of) -> dict[str, Fraction]:
    match node:
        case Number():
            return {}
        case Name(name):
            return {name: exact(after[name]) - exact(before[name])}
        case Sum(terms):
            children, weights = [term for _, term in terms], [Fraction(sign) for sign, _ in terms]
        case Product() | Ratio():
            children = list(node.factors) if isinstance(node, Product) else [node.numerator, node.denominator]
            ends = [[evaluate(child, end) for child in children] for end in (before, after)]
            weights = weights_of(node, *ends)
    shares: dict[str, Fraction] = {}
    for child, weight in zip(children, weights, strict=True):
        for name, share in _split(child, before, after, weights_of).items():
            shares[name] = shares.get(name, Fraction(0)) + weight * share
    return shares


def bridge(
    formula: Node | str,
    before: Mapping,
    after: Mapping,
    value_unit: str = "money",
    start: str = "before",
    end: str = "after",
    whole: tuple | None = None,
    residual: str = RESIDUAL,
    currency: str = "EUR",
) -> Bridge:
    """
    Bridge a formula from one set of inputs to another.

    Parameters
    ----------
    formula : Node or str
    before, after : mapping
        A number for each name of the formula; money in cents; None, NaN or absent where there is no figure.
    value_unit : str
        Unit of the value; ``money`` gives integer cents that close to the cent, everything else floats.
    start, end : str
        Keys of the two totals.
    whole : tuple of two numbers, optional
        The figure's own values at both ends, where the formula explains it only up to a stated residual, which then is
        a step of its own.
    residual : str
        Key of that step.
    currency : str

    Returns
    -------
    Bridge

    Examples
    --------
    >>> tree = bridge("orders * value", {"orders": 100, "value": 50_00}, {"orders": 120, "value": 45_00})
    >>> tree.table[["step", "amount_cents"]].values.tolist()
    [['before', 500000], ['orders', 95000], ['value', -55000], ['after', 540000]]
    """
    tree = parse(formula) if isinstance(formula, str) else formula
    empty = empty_table()
    needed = names(tree)
    absent = [name for name in needed if _no_figure(before.get(name)) or _no_figure(after.get(name))]
    if whole is not None and any(_no_figure(value) for value in whole):
        absent.append(residual)
    if absent:
        return Bridge(empty, value_unit, "no_figure", missing=tuple(absent), currency=currency)
    try:
        ends = evaluate(tree, before), evaluate(tree, after)
        steps = contributions(tree, before, after)
    except ZeroDenominatorError as zero:
        units = ("money", "count") if value_unit == "money_per_unit" and zero.ratio is tree else ("number", "number")
        parts = tuple(
            bridge(part, before, after, unit, start, end, currency=currency)
            for part, unit in zip((zero.ratio.numerator, zero.ratio.denominator), units, strict=True)
        )
        return Bridge(empty, value_unit, "zero_denominator", parts=parts, currency=currency)
    if whole is not None:
        ends_of_whole = exact(whole[0]), exact(whole[1])
        rest = ends_of_whole[1] - ends[1] - (ends_of_whole[0] - ends[0])
        ends = ends_of_whole
        steps[residual] = steps.get(residual, Fraction(0)) + rest
    logarithmic = lmdi(tree, before, after)
    sensitivity = None
    if logarithmic is not None and len(steps) > 1:
        sensitivity = max(abs(float(steps[name]) - share) for name, share in logarithmic.items())
        sensitivity = sensitivity / 100 if value_unit == "money_per_unit" else sensitivity
    table = steps_table(ends, steps, value_unit, start, end)
    return Bridge(table, value_unit, "ok", steps, (), sensitivity, (), currency)


def without_zero_steps(result: Bridge) -> Bridge:
    """The same bridge without the steps that move nothing."""
    kept = result.table[(result.table["kind"] != "step") | (result.table[result.value] != 0)]
    return replace(result, table=kept.assign(position=range(len(kept))).reset_index(drop=True))


def for_page(amounts: pd.Series, value_units: pd.Series) -> list:
    """Figures as a page writes them: money in whole cents, half to even; missing ones as None."""
    whole = [unit in ("money", "money_per_unit") for unit in value_units]
    given = [None if pd.isna(amount) else float(amount) for amount in amounts]
    return [
        round(amount) if cents and amount is not None else amount for amount, cents in zip(given, whole, strict=True)
    ]


def empty_table() -> pd.DataFrame:
    """A bridge without rows."""
    columns = {"position": "int64", "step": "str", "kind": "str", "amount": "float64", "amount_cents": "Int64"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def steps_table(
    ends: tuple[Fraction, Fraction], steps: Mapping[str, Fraction], value_unit: str, start: str, end: str
) -> pd.DataFrame:
    """Lay exact steps out as a bridge table; money is rounded to whole cents that still close."""
    keys = [start, *steps, end]
    kinds = ["total", *["step"] * len(steps), "total"]
    frame = pd.DataFrame({"position": range(len(keys)), "step": keys, "kind": kinds})
    if value_unit == "money":
        rounded = round(ends[0]), round(ends[1])
        parts = money.whole_cents(rounded[1] - rounded[0], list(steps.values()), list(steps))
        frame["amount_cents"] = pd.array([rounded[0], *parts, rounded[1]], dtype="Int64")
    else:
        scale = 100 if value_unit == "money_per_unit" else 1
        frame["amount"] = [float(amount / scale) for amount in (ends[0], *steps.values(), ends[1])]
    return frame


def _no_figure(value) -> bool:
    return value is None or (not isinstance(value, Fraction) and pd.isna(value))
