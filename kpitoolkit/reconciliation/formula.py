"""The formulas of KPIs: a small grammar of our own, read into a tree and computed exactly; never evaluated as code.

Grammar::

    sum     = term { ("+" | "-") term }
    term    = factor { ("*" | "/") factor }
    factor  = number | name | "(" sum ")" | "-" factor

A chain ``a * b * c`` is one product of three factors; parentheses nest: ``(a * b) * c`` is a product of two. The
bridge splits a node between its children without a privileged order, so parentheses are where nesting is declared.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational

from kpitoolkit import errors

LENGTH_LIMIT = 500
DEPTH_LIMIT = 20

_TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[-+*/()]))")


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: Fraction


@dataclass(frozen=True)
class Name:
    """A measure or a driver; ``position`` is its first character in the text, from 1."""

    name: str
    position: int = 0


@dataclass(frozen=True)
class Sum:
    """Signed terms: pairs of +1 or -1 and a node."""

    terms: tuple[tuple[int, "Node"], ...]


@dataclass(frozen=True)
class Product:
    """Two factors or more."""

    factors: tuple["Node", ...]


@dataclass(frozen=True)
class Ratio:
    """One node over another."""

    numerator: "Node"
    denominator: "Node"


Node = Number | Name | Sum | Product | Ratio


class ZeroDenominatorError(ArithmeticError):
    """A denominator of the formula is zero; ``ratio`` is the node where it happened."""

    def __init__(self, ratio: Ratio):
        super().__init__("a denominator is zero")
        self.ratio = ratio


class _Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str, where: str):
        self.where = where
        self.tokens: list[tuple[str, str, int]] = []
        if len(text) > LENGTH_LIMIT:
            raise self.fault(f"{len(text)} characters; the limit is {LENGTH_LIMIT}. Name a part of it as a driver.")
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                at = position + len(text[position:]) - len(text[position:].lstrip())
                raise self.fault(f"{text[at]!r} at character {at + 1} is not allowed. Use names, numbers, + - * / ( ).")
            self.tokens.append((found.lastgroup, found[found.lastgroup], found.start(found.lastgroup) + 1))
            position = found.end()
        self.tokens.append(("end", "", len(text) + 1))
        self.next = 0

    def fault(self, sentence: str) -> errors.ToolkitError:
        return errors.ToolkitError(f"{self.where}: {sentence}" if self.where else sentence)

    def peek(self) -> str:
        kind, word, _ = self.tokens[self.next]
        return word if kind == "sign" else kind

    def take(self) -> tuple[str, str, int]:
        self.next += 1
        return self.tokens[self.next - 1]

    def sum(self, depth: int) -> Node:
        if depth > DEPTH_LIMIT:
            raise self.fault(f"nested deeper than {DEPTH_LIMIT} levels. Name a part of it as a driver.")
        terms = [(1, self.term(depth))]
        while self.peek() in ("+", "-"):
            sign = 1 if self.take()[1] == "+" else -1
            terms.append((sign, self.term(depth)))
        return terms[0][1] if len(terms) == 1 else Sum(tuple(terms))

    def term(self, depth: int) -> Node:
        factors = [self.factor(depth)]
        while self.peek() in ("*", "/"):
            if self.take()[1] == "*":
                factors.append(self.factor(depth))
            else:
                above = factors[0] if len(factors) == 1 else Product(tuple(factors))
                at = self.tokens[self.next][2]
                below = self.factor(depth)
                if not names(below) and evaluate(below, {}) == 0:
                    raise self.fault(f"the divisor at character {at} is always zero. Divide by something else.")
                factors = [Ratio(above, below)]
        return factors[0] if len(factors) == 1 else Product(tuple(factors))

    def factor(self, depth: int) -> Node:
        kind, word, position = self.take()
        if kind == "number":
            return Number(Fraction(word))
        if kind == "name":
            return Name(word, position)
        if word == "-":
            if depth >= DEPTH_LIMIT:
                raise self.fault(f"nested deeper than {DEPTH_LIMIT} levels. Name a part of it as a driver.")
            return Sum(((-1, self.factor(depth + 1)),))
        if word == "(":
            inside = self.sum(depth + 1)
            kind, word, at = self.take()
            if word != ")":
                raise self.fault(f"the parenthesis opened at character {position} is not closed at character {at}.")
            return inside
        found = "the formula ends" if kind == "end" else repr(word)
        raise self.fault(f"{found} at character {position} where a name, a number or '(' is expected.")


def parse(text: str, where: str = "") -> Node:
    """
    Read a formula into its tree.

    Parameters
    ----------
    text : str
        The formula, at most 500 characters, nested at most 20 deep.
    where : str
        Where the formula stands; begins the message of an error.

    Raises
    ------
    ToolkitError
        Where the text is no formula; the message names the character.

    Examples
    --------
    >>> names(parse("(revenue - marketing_cost) / revenue"))
    ['revenue', 'marketing_cost']
    >>> parse("revenue ^ 2", "kpis.yml, cac")
    Traceback (most recent call last):
    ...
    kpitoolkit.errors.ToolkitError: kpis.yml, cac: '^' at character 9 is not allowed. Use names, numbers, + - * / ( ).
    """
    reader = _Reader(text, where)
    if reader.peek() == "end":
        raise reader.fault("the formula is empty. Write names of measures, numbers, + - * / ( ).")
    tree = reader.sum(1)
    kind, word, position = reader.take()
    if kind != "end":
        raise reader.fault(f"{word!r} at character {position} where an operator or the end is expected.")
    return tree


def leaves(node: Node) -> list[Name]:
    """Every name of the tree, each time that it stands there, from left to right."""
    match node:
        case Number():
            return []
        case Name():
            return [node]
        case Sum(terms):
            return [leaf for _, term in terms for leaf in leaves(term)]
        case Product(factors):
            return [leaf for factor in factors for leaf in leaves(factor)]
        case Ratio(above, below):
            return leaves(above) + leaves(below)


def names(node: Node) -> list[str]:
    """Names of measures and drivers in the tree, each once, in order of appearance."""
    return list(dict.fromkeys(leaf.name for leaf in leaves(node)))


def unknown_names(node: Node, known: Iterable[str]) -> list[str]:
    """
    One sentence for each name that is not among those known.

    Examples
    --------
    >>> unknown_names(parse("revenue - marketing_cots"), ["revenue", "marketing_cost"])
    ["unknown measure 'marketing_cots' at character 11. Did you mean 'marketing_cost'?"]
    """
    known = set(known)
    return [
        f"unknown measure {leaf.name!r} at character {leaf.position}.{errors.suggest(leaf.name, sorted(known))}"
        for leaf in leaves(node)
        if leaf.name not in known
    ]


def exact(value) -> Fraction:
    """A number as an exact fraction (a float stands for the binary number that it is)."""
    return Fraction(value) if isinstance(value, Rational | str) else Fraction(float(value))


def evaluate(node: Node, inputs: Mapping[str, object]) -> Fraction:
    """
    The formula's value, exactly.

    Parameters
    ----------
    node : Node
    inputs : mapping
        A number for each name of the formula.

    Raises
    ------
    ZeroDenominatorError
        Where a denominator is zero.
    KeyError
        Where an input is missing.

    Examples
    --------
    >>> evaluate(parse("cost / customers"), {"cost": 70_000, "customers": 150})
    Fraction(1400, 3)
    """
    match node:
        case Number(value):
            return value
        case Name(name):
            return exact(inputs[name])
        case Sum(terms):
            return sum((sign * evaluate(term, inputs) for sign, term in terms), Fraction(0))
        case Product(factors):
            value = Fraction(1)
            for factor in factors:
                value *= evaluate(factor, inputs)
            return value
        case Ratio(above, below):
            denominator = evaluate(below, inputs)
            if denominator == 0:
                raise ZeroDenominatorError(node)
            return evaluate(above, inputs) / denominator


def replace(node: Node, parts: Mapping[str, Node]) -> Node:
    """The tree with each name in ``parts`` replaced by its tree (a part stays one node, as if in parentheses)."""
    match node:
        case Number():
            return node
        case Name(name):
            return parts.get(name, node)
        case Sum(terms):
            return Sum(tuple((sign, replace(term, parts)) for sign, term in terms))
        case Product(factors):
            return Product(tuple(replace(factor, parts) for factor in factors))
        case Ratio(above, below):
            return Ratio(replace(above, parts), replace(below, parts))
