"""Exact reading, splitting and converting of money."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pandas as pd
import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpitoolkit import money

CENTS = st.integers(min_value=-(10**12), max_value=10**12)


@given(st.lists(CENTS, min_size=1, max_size=20))
def test_text_with_two_decimals_is_read_exactly(cents):
    written = pd.Series([str(Decimal(c).scaleb(-2)) for c in cents])
    assert money.to_cents(written).tolist() == cents


@given(st.lists(CENTS, min_size=1, max_size=20))
def test_floats_that_are_amounts_are_read_exactly(cents):
    assert money.to_cents(pd.Series([c / 100 for c in cents])).tolist() == cents


@pytest.mark.parametrize("wrong", ["1.005", "abc", "1,50", "NaN", "inf", "1e400", ""])
def test_text_that_is_no_amount_is_refused_with_its_position(wrong):
    with pytest.raises(ValueError, match="two decimals") as caught:
        money.to_cents(pd.Series(["1.00", wrong]))
    assert caught.value.args[1] == [1]


def test_decimals_of_fixed_scale_agree_with_text():
    written = ["12.30", "-0.05", None, "92233720368547758.07", "1.005"]
    decimals = pd.Series(
        [None if t is None else Decimal(t) for t in written], dtype=pd.ArrowDtype(arrow.decimal128(30, 3))
    )
    assert money.to_cents(decimals[:3]).tolist() == [1230, -5, pd.NA]
    with pytest.raises(ValueError, match="two decimals") as caught:
        money.to_cents(decimals)
    assert caught.value.args[1] == [3, 4]


def test_floats_with_three_decimals_or_too_large_are_refused():
    with pytest.raises(ValueError, match="two decimals") as caught:
        money.to_cents(pd.Series([1.005, 2.0, 1e17, float("inf")]))
    assert caught.value.args[1] == [0, 2, 3]


@pytest.mark.parametrize("kind", ["int64", "Int64", "uint64"])
def test_whole_numbers_that_do_not_fit_as_cents_are_refused_and_never_wrap(kind):
    most = 2**62 // 100
    assert money.to_cents(pd.Series([most, 5], dtype=kind)).tolist() == [100 * most, 500]
    with pytest.raises(ValueError, match="fit") as caught:
        money.to_cents(pd.Series([5, most + 1, 2**62], dtype=kind))
    assert caught.value.args[1] == [1, 2]


@given(st.lists(st.fractions(-(10**6), 10**6, max_denominator=1000), min_size=1, max_size=12), st.randoms())
def test_parts_sum_to_the_total_and_do_not_depend_on_the_order(amounts, random):
    keys = list(range(len(amounts)))
    total = round(sum(amounts))
    parts = money.whole_cents(total, amounts, keys)
    assert sum(parts) == total
    assert all(abs(part - amount) <= 1 for part, amount in zip(parts, amounts, strict=True))
    order = keys.copy()
    random.shuffle(order)
    shuffled = money.whole_cents(total, [amounts[i] for i in order], order)
    assert [shuffled[order.index(i)] for i in keys] == parts


def test_ties_go_by_key_and_a_total_beyond_rounding_is_refused():
    assert money.whole_cents(1, [Fraction(1, 2), Fraction(1, 2)], ["b", "a"]) == [0, 1]
    with pytest.raises(ValueError, match="not to their total 100"):
        money.whole_cents(100, [Fraction(1), Fraction(2)], ["a", "b"])


@given(CENTS, st.decimals("0.0001", "1000", places=4))
def test_conversion_agrees_with_decimal_arithmetic(cents, rate):
    expected = int((Decimal(cents) * rate).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    assert money.convert(cents, rate) == expected
    assert money.convert(pd.Series([cents], dtype="Int64"), str(rate)).tolist() == [expected]


def test_a_rate_for_each_row():
    cents = pd.Series([100, 200, None, 300], dtype="Int64")
    rates = pd.Series([1.17, 0.5, 1.0, None])
    assert money.convert(cents, rates).tolist() == [117, 100, pd.NA, pd.NA]
