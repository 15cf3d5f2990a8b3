"""Money as integer cents: exact reading, exact splitting, one rounding rule (half to even)."""

import math
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as arrow
from pyarrow import compute

LARGEST_CENTS = 2**62
EXACT_CENTS = 2**53
"""Beyond this a table of floats no longer holds every cent."""


def to_cents(values: pd.Series) -> pd.Series:
    """Convert amounts in currency units to integer cents, exactly.

    Text and decimals are converted digit by digit; binary floats are accepted where they are the nearest float to an
    amount with two decimals.

    Parameters
    ----------
    values : Series of str, Decimal, int or float
        Amounts in currency units, with a point as decimal mark. Missing values stay missing.

    Returns
    -------
    Series of Int64
        Cents.

    Raises
    ------
    ValueError
        With the positions (from 0) of the values that are no amounts, have more than two decimals or are beyond 2^62
        cents, in ``.args[1]``.

    Examples
    --------
    >>> to_cents(pd.Series(["12.30", "-0.05", None])).tolist()
    [1230, -5, <NA>]
    """
    if pd.api.types.is_integer_dtype(values.dtype):
        most = LARGEST_CENTS // 100
        large = ((values > most) | (values < -most)).fillna(False).to_numpy(dtype=bool)
        if large.any():
            raise ValueError("not amounts that fit", np.flatnonzero(large).tolist())
        return values.astype("Int64") * 100
    if isinstance(values.dtype, pd.ArrowDtype):
        return _decimals_to_cents(values)
    missing = values.isna().to_numpy()
    cents = np.zeros(len(values), dtype=np.int64)
    if pd.api.types.is_float_dtype(values.dtype):
        amounts = values.to_numpy(dtype=float, na_value=0.0)
        amounts = np.where(missing, 0.0, amounts)
        with np.errstate(invalid="ignore", over="ignore"):
            rounded = np.rint(amounts * 100)
            fits = np.isfinite(amounts) & (np.abs(rounded) < 2**53)
            wrong = ~fits | (np.abs(rounded / 100 - amounts) > 1e-9 * np.maximum(1.0, np.abs(amounts)))
        cents = np.where(wrong, 0, rounded).astype(np.int64)
        positions = np.flatnonzero(wrong).tolist()
    else:
        positions = []
        found: dict[object, int | None] = {}
        for position, value in enumerate(values.tolist()):
            if missing[position]:
                continue
            if value not in found:
                found[value] = _cents(value)
            amount = found[value]
            if amount is None:
                positions.append(position)
            else:
                cents[position] = amount
    if positions:
        raise ValueError("not amounts with at most two decimals", positions)
    return pd.Series(pd.arrays.IntegerArray(cents, missing), index=values.index, name=values.name)


def _decimals_to_cents(values: pd.Series) -> pd.Series:
    """Convert a column of decimals of fixed scale (Parquet's and databases' own type) in one step."""
    scaled = compute.multiply(arrow.array(values.array), arrow.scalar(Decimal(100)))
    whole = compute.round(scaled, ndigits=0)
    fits = compute.and_(compute.equal(scaled, whole), compute.less(compute.abs(whole), arrow.scalar(LARGEST_CENTS)))
    wrong = ~pd.Series(fits.to_pandas()).fillna(True).astype(bool)
    if wrong.any():
        raise ValueError("not amounts with at most two decimals", wrong.to_numpy().nonzero()[0].tolist())
    cents = whole.cast(arrow.int64()).to_pandas(types_mapper={arrow.int64(): pd.Int64Dtype()}.get)
    return pd.Series(cents.array, index=values.index, name=values.name)


def _cents(value: object) -> int | None:
    try:
        scaled = Decimal(str(value).strip()).scaleb(2)
        whole = int(scaled) if scaled.is_finite() and scaled == scaled.to_integral_value() else None
    except (InvalidOperation, ValueError):
        return None
    return whole if whole is not None and abs(whole) < LARGEST_CENTS else None


def whole_cents(total_cents: int, amounts: list[Fraction], keys: list[str]) -> list[int]:
    """Round exact amounts to whole cents that sum to the total: largest remainder, ties by key.

    Each amount is rounded down; the cents left over go to the largest remainders (Hamilton's method); a zero stays
    zero.

    Parameters
    ----------
    total_cents : int
        At most one cent per amount away from their sum.
    amounts : list of Fraction
        Of either sign.
    keys : list of str

    Raises
    ------
    ValueError
        Where the amounts are farther from the total than rounding explains.

    Examples
    --------
    >>> whole_cents(0, [Fraction(1, 2), Fraction(-1, 2), Fraction(0)], ["a", "b", "c"])
    [1, -1, 0]
    """
    if abs(sum(amounts) - total_cents) > len(amounts) + 1:
        raise ValueError(f"steps sum to {float(sum(amounts)):.2f} cents, not to their total {total_cents}.")
    parts = [math.floor(amount) for amount in amounts]
    order = sorted(range(len(amounts)), key=lambda i: (-(amounts[i] - parts[i]), keys[i]))
    order = [i for i in order if amounts[i] != 0] or order
    left = total_cents - sum(parts)
    while left and order:
        for i in order if left > 0 else reversed(order):
            if left == 0:
                break
            parts[i] += 1 if left > 0 else -1
            left += -1 if left > 0 else 1
    return parts


def convert(cents: pd.Series | int, rate: float | str | Decimal | pd.Series | Fraction) -> pd.Series | int:
    """Convert cents into another currency, each amount rounded half to even to the cent.

    The rate is taken as the decimal number that its shortest text says (1.17 is 117/100), or as an exact fraction.

    Parameters
    ----------
    cents : Series of Int64, or int
    rate : number, text, Fraction, or Series of them aligned with ``cents``
        Units of the target currency for one unit of the source currency.

    Returns
    -------
    Series of Int64, or int
        Missing where either is missing.

    Examples
    --------
    >>> convert(200_000_000, 1.17)
    234000000
    >>> convert(pd.Series([50, 150, None], dtype="Int64"), "0.01").tolist()
    [0, 2, <NA>]
    """
    if not isinstance(cents, pd.Series):
        return _round_half_even(int(cents) * exact_rate(rate))
    if isinstance(rate, pd.Series):
        rates = {value: exact_rate(value) for value in rate.dropna().unique()}
        pairs = zip(cents.tolist(), rate.tolist(), strict=True)
        out = [pd.NA if pd.isna(c) or pd.isna(r) else _round_half_even(c * rates[r]) for c, r in pairs]
        return pd.Series(out, index=cents.index, name=cents.name, dtype="Int64")
    exact = exact_rate(rate)
    if exact == 1:
        return cents.astype("Int64")
    out = [pd.NA if pd.isna(c) else _round_half_even(c * exact) for c in cents.tolist()]
    return pd.Series(out, index=cents.index, name=cents.name, dtype="Int64")


def exact_rate(rate: object) -> Fraction:
    """Return a rate as the fraction its shortest decimal text says.

    Examples
    --------
    >>> exact_rate(1.17)
    Fraction(117, 100)
    """
    return rate if isinstance(rate, Fraction) else Fraction(Decimal(str(rate)))


def rate_between(
    fx_rates: pd.DataFrame | None, quarter: str, source: str, target: str, group_currency: str
) -> Fraction | None:
    """Units of ``target`` for one of ``source`` in a quarter, as a fraction; None where a rate is missing.

    Parameters
    ----------
    fx_rates : DataFrame or None
        ``quarter, currency, rate``: units of the group's currency for one of ``currency``; its own rate is 1.
    quarter, source, target, group_currency : str

    Returns
    -------
    Fraction or None

    Examples
    --------
    >>> rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["GBP"], "rate": [1.17]})
    >>> rate_between(rates, "2026Q3", "GBP", "EUR", "EUR"), rate_between(rates, "2026Q2", "GBP", "EUR", "EUR")
    (Fraction(117, 100), None)
    """
    if source == target:
        return Fraction(1)
    found = []
    for currency in (source, target):
        if currency == group_currency:
            found.append(Fraction(1))
            continue
        rows = [] if fx_rates is None else fx_rates.query("quarter == @quarter and currency == @currency")["rate"]
        if not len(rows):
            return None
        found.append(exact_rate(rows.iloc[0]))
    return found[0] / found[1]


def _round_half_even(value: Fraction) -> int:
    return round(value)
