"""Words, numbers and dates as readers write them, in English and Italian.

Sentences are gettext messages whose ids are the English text; labels are messages in the context ``label`` whose ids
are the keys of columns, steps, models and states. Both come from the catalogues ``pages/locale/<language>/*.po``, read
as they are. Numbers and dates are formatted by Babel.
"""

import datetime
import math
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path

from babel.dates import format_date
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from kpitoolkit.errors import ToolkitError, suggest

LANGUAGES = ("en", "it")
LOCALE = {"en": "en_GB", "it": "it_IT"}
CATALOGUES = Path(__file__).parent / "pages" / "locale"
MINUS = "\N{MINUS SIGN}"
_MISSING = ("NAType", "NaTType")
"""Types of pandas' own missing values, known by name: a run in which nothing changed does without pandas."""


def check_language(language: str) -> str:
    """Return the language if it is one we write in; otherwise raise ToolkitError."""
    if language not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise ToolkitError(
            f"language '{language}' is not available: choose one of {known}.{suggest(language, LANGUAGES)}"
        )
    return language


@cache
def catalogue(language: str) -> GNUTranslations:
    """Return all messages of a language, from every catalogue of its folder.

    Raises
    ------
    ToolkitError
        Where the language is unknown.
    """
    check_language(language)
    merged = Catalog(locale=language)
    for path in sorted((CATALOGUES / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id and message.string:
                    merged.add(message.id, message.string, context=message.context)
    compiled = BytesIO()
    write_mo(compiled, merged)
    compiled.seek(0)
    return GNUTranslations(compiled)


def translator(language: str) -> Callable[[str], str]:
    """Return the function that translates a sentence; a sentence without translation stays English.

    Examples
    --------
    >>> _ = translator("en")
    >>> _("{n} rows").format(n=3)
    '3 rows'
    """
    return catalogue(language).gettext


def plural(language: str, one: str, many: str, n: int, **values: str) -> str:
    """Return the sentence for one or for many, translated, with ``{n}`` and the other ``values`` filled in.

    Examples
    --------
    >>> plural("en", "{n} row", "{n} rows", 2)
    '2 rows'
    """
    return catalogue(language).ngettext(one, many, n).format(n=number(n, language), **values)


def label(key: str, language: str) -> str:
    """Return the reader's word for a key of a column, step, model or state.

    A key without entry (a channel's or platform's own name) comes back as it is; underscores become blanks.

    Examples
    --------
    >>> label("my_own_channel", "en")
    'my own channel'
    """
    found = catalogue(language).pgettext("label", str(key))
    return found if found != key else str(key).replace("_", " ")


def is_missing(value: object) -> bool:
    """Tell whether a value is None, NaN, NA or NaT."""
    return value is None or type(value).__name__ in _MISSING or (isinstance(value, float) and math.isnan(value))


def no_figure(language: str) -> str:
    """Return the words for a figure that was never seen."""
    return translator(language)("no figure")


def number(value: float | None, language: str, decimals: int = 0, signed: bool = False) -> str:
    """Write a number with the separators of the language.

    Examples
    --------
    >>> number(1234.5, "it", 2), number(-3, "en"), number(3, "en", signed=True)
    ('1.234,50', '−3', '+3')
    >>> number(None, "en")
    'no figure'
    """
    if is_missing(value):
        return no_figure(language)
    if isinstance(value, float) and math.isinf(value):
        return ("" if value > 0 else MINUS) + "∞"
    value = round(value, decimals) if isinstance(value, float) else value
    pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
    digits = format_decimal(abs(value), format=pattern, locale=LOCALE[check_language(language)])
    if value < 0:
        return MINUS + digits
    return "+" + digits if signed and value > 0 else digits


def percent(share: float | None, language: str, decimals: int = 1, signed: bool = False) -> str:
    """Write a share (0.041) as per cent.

    Examples
    --------
    >>> percent(0.041, "en"), percent(-0.018, "it", signed=True)
    ('4.1%', '−1,8%')
    """
    if is_missing(share):
        return no_figure(language)
    return number(float(share) * 100, language, decimals, signed) + "%"


def money(cents: int | None, currency: str, language: str, decimals: int = 0, signed: bool = False) -> str:
    """Write cents as an amount of a currency: its sign in front in English, behind a no-break space in Italian.

    Examples
    --------
    >>> money(-129167, "EUR", "en", 2), money(129167, "EUR", "it", 2).replace(chr(160), " ")
    ('−€1,291.67', '1.291,67 €')
    """
    if is_missing(cents):
        return no_figure(language)
    return _with_currency(number(in_units(cents), language, decimals, signed), "", currency, language)


def in_units(cents: int) -> float | Decimal:
    """Return cents in units of their currency; from 2^53 on, where a float no longer holds each cent, as a decimal.

    Examples
    --------
    >>> in_units(1250), in_units(2**53 + 1)
    (12.5, Decimal('90071992547409.93'))
    """
    whole = int(cents)
    return whole / 100 if abs(whole) < 2**53 else Decimal(whole) / 100


def compact_money(
    cents: int | None,
    currency: str,
    language: str,
    decimals: int = 2,
    signed: bool = False,
    least: int = 1_000_000,
    small_decimals: int = 0,
) -> str:
    """Write an amount of a million (`least`) and more in short (``€12.41M``, ``12,41 Mln €``), a smaller one in full.

    Examples
    --------
    >>> compact_money(1_241_000_000, "EUR", "en"), compact_money(298_485_900_000, "USD", "it").replace(chr(160), " ")
    ('€12.41M', '2,98 Mld $')
    """
    if is_missing(cents):
        return no_figure(language)
    value = int(cents) / 100
    if abs(value) < least:
        return money(cents, currency, language, small_decimals, signed)
    size = 1e9 if abs(value) >= 1e9 else 1e6
    short = {"en": {1e6: "M", 1e9: "B"}, "it": {1e6: "\N{NO-BREAK SPACE}Mln", 1e9: "\N{NO-BREAK SPACE}Mld"}}
    digits = number(value / size, language, decimals, signed)
    return _with_currency(digits, short[check_language(language)][size], currency, language)


def _with_currency(digits: str, unit: str, currency: str, language: str) -> str:
    sign = currency_sign(currency)
    if language != "en":
        return digits + unit + "\N{NO-BREAK SPACE}" + sign
    plus_or_minus = digits[0] if digits[0] in (MINUS, "+") else ""
    return plus_or_minus + sign + "\N{NO-BREAK SPACE}" * sign.isalpha() + digits.removeprefix(plus_or_minus) + unit


def currency_sign(currency: str) -> str:
    """Return the sign of the euro, pound and dollar, and the code of any other currency."""
    return {"EUR": "€", "GBP": "£", "USD": "$"}.get(currency, currency)


def quarter(name: str, language: str) -> str:
    """Write a quarter such as ``2026Q3``.

    Examples
    --------
    >>> quarter("2026Q3", "en"), quarter("2026Q3", "it")
    ('Q3 2026', '3º trimestre 2026')
    """
    year, number_of_quarter = str(name)[:4], str(name)[-1]
    return (
        f"{number_of_quarter}º trimestre {year}" if check_language(language) == "it" else f"Q{number_of_quarter} {year}"
    )


def date(day: object, language: str) -> str:
    """Write a day: ``12 Oct 2026``, ``12 ott 2026``.

    Examples
    --------
    >>> date("2026-10-12", "it")
    '12 ott 2026'
    """
    if is_missing(day):
        return no_figure(language)
    if not isinstance(day, datetime.date):
        import pandas as pd  # reads every way of writing a day

        day = pd.Timestamp(day)
    return format_date(day, format="d MMM y", locale=LOCALE[check_language(language)])


VALUE_UNITS = {
    "money_per_unit": "money2",
    "share": "percent",
    "count": "number0",
    "ratio": "number2",
    "index": "number1",
}
"""How a KPI's figure is written, by its `value_unit`."""


def capitalised(words: str) -> str:
    """Words as a heading or a total bears them, with a capital at the start: labels come without.

    Examples
    --------
    >>> capitalised("paid orders"), capitalised("iROAS"), capitalised("t")
    ('Paid orders', 'iROAS', 't')
    """
    return words if len(words) == 1 or words[1:2].isupper() else words[:1].upper() + words[1:]


def figure(value, value_format: str, language: str, currency: str = "EUR", signed: bool = False) -> str:
    """Write a value as readers of a language do.

    Parameters
    ----------
    value : number, string or date
        Missing values are written `no figure`.
    value_format : str
        `number` (as many decimals as its size asks for), `percent` (of a share; one decimal), `money` (of cents;
        none), or these with their decimals (`number2`); `money_short` (a million and more in short), `probability`
        (never none or one: `< 0.01`, `> 0.99`); `label` (of a key), `text`, `date`, `quarter`;
        or a KPI's `value_unit`: `money` and `money_per_unit` (of cents), `share`, `count`, `ratio`, `index`; or
        `points`, the difference of two shares. A `+` in front of any of these writes the sign of what is positive.
    language : {"en", "it"}
    currency : str
        ISO code, for `money`.
    signed : bool
        Write + before a positive figure.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        Where the format is none of these.

    Examples
    --------
    >>> figure(1234.5, "number2", "it")
    '1.234,50'
    >>> figure(0.0412, "percent", "en", signed=True)
    '+4.1%'
    >>> figure(-0.019, "+points", "it")
    '−1,9 punti'
    >>> figure(18_358_900_000, "money_short", "en", "USD"), figure(0.0004, "probability", "it")
    ('$183.59M', '< 0,01')
    """
    if is_missing(value):
        return no_figure(language)
    signed, value_format = signed or value_format.startswith("+"), value_format.removeprefix("+")
    value_format = VALUE_UNITS.get(value_format, value_format)
    plain = {
        "label": lambda: label(str(value), language),
        "text": lambda: str(value),
        "date": lambda: date(value, language),
        "quarter": lambda: quarter(str(value), language),
    }
    if value_format in plain:
        return plain[value_format]()
    kind = value_format.rstrip("0123456789")
    digits = value_format[len(kind) :]
    if kind == "number":
        return number(value, language, int(digits) if digits else decimals(value), signed)
    if kind == "percent":
        return percent(value, language, int(digits) if digits else 1, signed)
    if kind == "points":
        moved = number(float(value) * 100, language, int(digits) if digits else 1, signed)
        return translator(language)("{points} points").format(points=moved)
    if kind == "probability":
        return _probability(float(value), language)
    if kind == "money_short":
        return compact_money(value, currency, language, int(digits) if digits else 2, signed)
    if kind == "money":
        return money(value, currency, language, int(digits) if digits else 0, signed)
    raise ValueError(f"value_format {value_format!r} is not one of number, percent, money, label, text, date, quarter.")


def _probability(share: float, language: str) -> str:
    """A probability with two decimals; what draws or models give is never certain."""
    if share < 0.01:
        return f"< {number(0.01, language, 2)}"
    return f"> {number(0.99, language, 2)}" if share > 0.99 else number(share, language, 2)


def decimals(value) -> int:
    """Decimals that a figure's size asks for: whole numbers and hundreds none, 3.6 one, 0.36 two."""
    size = abs(float(value))
    if float(value).is_integer() or size >= 100:
        return 0
    return 1 if size >= 1 else 2 if size >= 0.01 else 4
