"""Words, numbers and dates in both languages."""

import pandas as pd
import pytest

from kpitoolkit import text
from kpitoolkit.errors import ToolkitError


def plain(written):
    return written.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("language", "expected"), [("en", ["1,234.50", "−0.12", "€12,411"]), ("it", ["1.234,50", "−0,12", "12.411 €"])]
)
def test_separators_follow_the_language(language, expected):
    written = [
        text.number(1234.5, language, 2),
        text.number(-0.12, language, 2),
        plain(text.money(1_241_100, "EUR", language)),
    ]
    assert written == expected


def test_four_digit_numbers_are_grouped_in_italian_too():
    assert text.number(1234, "it") == "1.234"


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_what_was_never_seen_is_no_figure(missing):
    assert text.number(missing, "en") == "no figure"
    assert text.percent(missing, "en") == "no figure"
    assert text.money(missing, "EUR", "it") == text.no_figure("it") == "nessun dato"
    assert text.date(missing, "en") == "no figure"


def test_signs_and_rounding():
    assert text.number(0.4, "en", signed=True) == "0"
    assert text.number(-0.4, "en") == "0"
    assert text.percent(-0.0183, "it", signed=True) == "−1,8%"
    assert plain(text.compact_money(-1_241_000_000, "EUR", "it")) == "−12,41 Mln €"
    assert plain(text.compact_money(67_593_416, "EUR", "it")) == "675.934 €"


def test_unknown_language_is_refused():
    with pytest.raises(ToolkitError, match="language 'fr' is not available"):
        text.translator("fr")


def test_money_beyond_what_a_float_holds_is_written_to_the_cent():
    cents = 2**53 + 1
    assert text.money(cents, "EUR", "en", 2) == "€90,071,992,547,409.93"
    assert text.money(-cents, "EUR", "it", 2).replace(chr(160), " ") == "−90.071.992.547.409,93 €"
    assert text.money(cents, "EUR", "en") == "€90,071,992,547,410"
