"""What the bridges that end in the ledger share: rates, booked lines, the table, where a difference lies, checks."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd

from kpitoolkit import text
from kpitoolkit.errors import mask
from kpitoolkit.money import convert, exact_rate, rate_between
from kpitoolkit.parameters import local_time, quarter_bounds

LOCATED = ["account", "line", "date", "grain", "expected_cents", "booked_cents", "difference_cents"]
LARGEST_SUM = 2**60
"""Cents that a table's amounts may reach in sum, so that every sum of a bridge stays exact in 64 bits."""


def local_day(times: pd.Series, timezone: str = "UTC") -> pd.Series:
    """Return the calendar day, in a time zone, of times that are UTC without zone.

    Examples
    --------
    >>> local_day(pd.Series(pd.to_datetime(["2026-06-30 22:30"])), "Europe/Rome").dt.strftime("%Y-%m-%d").tolist()
    ['2026-07-01']
    """
    return local_time(times, timezone).dt.normalize()


def within(days: pd.Series, quarter: str) -> pd.Series:
    """Tell which days lie in a quarter; a missing day does not."""
    first, last = quarter_bounds(quarter)
    return days.between(first, last)


def total(cents: pd.Series) -> int:
    """Return the sum of cents as a plain integer; of no rows, zero."""
    return int(cents.sum()) if len(cents) else 0


def missing_money(frame: pd.DataFrame, table: str, columns: Iterable[str]) -> list[str]:
    """Return one fault for each money column with empty amounts."""
    faults = []
    for column in columns:
        empty = frame[column].isna().to_numpy()
        if empty.any():
            faults.append(
                f"{table}: {empty.sum()} rows have no '{column.removesuffix('_cents')}' "
                f"({first_row(frame, empty)}). Complete them or write 0."
            )
    return faults


def too_large(
    frame: pd.DataFrame, table: str, columns: Iterable[str], into: Mapping[str, Fraction] | None = None
) -> list[str]:
    """Return one fault for each money column whose amounts, converted at most, could leave whole cents of 64 bits.

    Examples
    --------
    >>> frame = pd.DataFrame({"net_cents": pd.array([2**59, -(2**59)], "Int64")})
    >>> too_large(frame, "invoices", ["net_cents"]), too_large(frame.head(1), "invoices", ["net_cents"])
    (["invoices: the amounts in 'net' reach 11,529,215,046,068,469.76 in sum, too much to be kept in whole cents. \
Check their unit."], [])
    """
    rate = float(max([Fraction(1), *(into or {}).values()]))
    faults = []
    for column in columns:
        whole = float(frame[column].astype("Float64").abs().sum()) * rate if len(frame) else 0.0
        if whole >= LARGEST_SUM:
            faults.append(
                f"{table}: the amounts in '{column.removesuffix('_cents')}' reach {Decimal(int(whole)) / 100:,.2f} in "
                "sum, too much to be kept in whole cents. Check their unit."
            )
    return faults


def other_currencies(frame: pd.DataFrame, table: str, currency: str) -> list[str]:
    """Return a fault where the amounts of a table are in several currencies or not in the unit's."""
    found = sorted(frame["currency"].dropna().unique())
    if found in ([], [currency]):
        return []
    foreign = (frame["currency"] != currency).to_numpy(dtype=bool, na_value=True)
    kind = "are in several currencies" if len(found) > 1 else "are not in the unit's currency"
    return [
        f"{table}: amounts {kind} ({', '.join(found)}; {foreign.sum()} rows are not in {currency}, first: row "
        f"{foreign.argmax() + 1} of the unit). Convert them to {currency}, or correct the unit's 'currency'."
    ]


def rates(
    frame: pd.DataFrame, table: str, fx_rates: pd.DataFrame | None, quarter: str, currency: str, group_currency: str
) -> tuple[dict[str, Fraction], list[str]]:
    """Return the quarter's rate into the unit's currency for each currency of a table, and the faults met.

    Rates are units of group currency for one of a currency, so the rate is that of the amount's currency divided by
    that of the unit's. The group currency's own rate is 1.

    Parameters
    ----------
    frame : DataFrame
        With ``currency``; the rows that this quarter needs, no others.
    table : str
        Name for messages.
    fx_rates : DataFrame or None
        ``quarter, currency, rate``.
    quarter, currency, group_currency : str

    Returns
    -------
    tuple of dict and list of str
    """
    found, faults = {currency: Fraction(1)}, []
    empty = frame["currency"].isna().to_numpy()
    if empty.any():
        faults.append(f"{table}: {empty.sum()} rows have no currency ({first_row(frame, empty)}). State it.")
    for foreign in sorted(set(frame["currency"].dropna().unique()) - {currency}):
        ends = (foreign, currency)
        absent = [c for c in ends if not rate_between(fx_rates, quarter, c, group_currency, group_currency)]
        if absent:
            rows = (frame["currency"] == foreign).to_numpy(dtype=bool, na_value=False)
            faults.append(
                f"{table}: {rows.sum()} rows are in {foreign} ({first_row(frame, rows)}), but fx_rates has no rate of "
                f"{' and '.join(absent)} for {quarter}. Add it, or correct the currency."
            )
        else:
            found[foreign] = rate_between(fx_rates, quarter, foreign, currency, group_currency)
    return found, faults


def converted(cents: pd.Series, currencies: pd.Series, into: Mapping[str, Fraction]) -> pd.Series:
    """Convert amounts row by row, each rounded half to even to the cent; equal amounts are converted once."""
    out = cents.astype("Int64").copy()
    for name, rate in into.items():
        rows = (currencies == name).to_numpy(dtype=bool, na_value=False)
        if rate != 1 and rows.any():
            codes, amounts = pd.factorize(out[rows])
            out[rows] = convert(pd.Series(amounts, dtype="Int64"), rate).take(codes).to_numpy()
    return out


def booked_lines(
    ledger: pd.DataFrame, accounts: Mapping[str, object], lines: Sequence[str], quarter: str
) -> pd.DataFrame:
    """Return the ledger's entries of a quarter (by ``period``) on the accounts of some lines, with ``on_line``.

    Parameters
    ----------
    ledger : DataFrame
        ``line, date, period, account, amount_cents``.
    accounts : mapping
        Account, or list of accounts, by line.
    lines : sequence of str
    quarter : str

    Returns
    -------
    DataFrame
        ``date, account, on_line, amount_cents``.
    """
    line_of = {account: line for line in lines for account in account_names(accounts, line)}
    entries = ledger[(ledger["period"] == quarter).to_numpy(dtype=bool, na_value=False)]
    on_line = entries["account"].astype("string").str.strip().map(line_of)
    out = entries.assign(on_line=on_line)[on_line.notna().to_numpy()]
    return out[["date", "account", "on_line", "amount_cents"]]


def unmapped(ledger: pd.DataFrame, accounts: Mapping[str, object], quarter: str) -> pd.DataFrame:
    """Return the accounts that stand in no line of the chart and have postings of a quarter.

    Returns
    -------
    DataFrame
        ``account, rows, absolute_cents`` (sum of absolute values), the largest first.

    Examples
    --------
    >>> ledger = pd.DataFrame({"period": ["2026Q3"] * 3, "account": ["4000", "4050", "4050"],
    ...                        "amount_cents": pd.array([100, 30, -30], "Int64")})
    >>> unmapped(ledger, {"sales": ["4000"]}, "2026Q3").to_dict("records")
    [{'account': '4050', 'rows': 2, 'absolute_cents': 60}]
    """
    chart = {account for line in accounts for account in account_names(accounts, line)}
    entries = ledger[(ledger["period"] == quarter).to_numpy(dtype=bool, na_value=False)]
    account = entries["account"].astype("string").str.strip().fillna("")
    outside = ~account.isin(chart).to_numpy(dtype=bool)
    if not outside.any():
        return typed([], {"account": "string", "rows": "int64", "absolute_cents": "Int64"})
    own = pd.DataFrame({"account": account, "absolute_cents": entries["amount_cents"].abs()})[outside]
    found = own.groupby("account", as_index=False).agg(
        rows=("absolute_cents", "size"), absolute_cents=("absolute_cents", "sum")
    )
    return found.sort_values(["absolute_cents", "account"], ascending=[False, True]).reset_index(drop=True)


def account_names(accounts: Mapping[str, object], line: str) -> list[str]:
    """Return the accounts of a line, as text; none where the chart has no such line."""
    stated = accounts.get(line)
    if stated is None:
        return []
    return [str(account) for account in (stated if isinstance(stated, list | tuple) else [stated])]


def on_line(entries: pd.DataFrame | None, line: str, accounts: Mapping[str, object]) -> int | None:
    """Return what the ledger booked on a line in the quarter; None without a ledger or without accounts of the line."""
    if entries is None or not account_names(accounts, line):
        return None
    return total(entries.loc[(entries["on_line"] == line).to_numpy(dtype=bool), "amount_cents"])


def booked_again(ledger: pd.DataFrame, accounts: Mapping[str, object], lines: Sequence[str], quarter: str) -> int:
    """Return what the ledger booked on some lines in a quarter, from its sums by period and account."""
    chart = {account for line in lines for account in account_names(accounts, line)}
    sums = ledger.groupby(["period", "account"])["amount_cents"].sum()
    return sum(
        int(cents) for (period, account), cents in sums.items() if period == quarter and str(account).strip() in chart
    )


def bridge_table(lines: Sequence[tuple[str, str, int | None, int | None]]) -> pd.DataFrame:
    """Build a bridge's table from its lines ``(kind, step, cents, rows)``.

    The first total that has an amount starts the bridge; the amount of each later total is the running sum. A line
    whose amount is None, and a step before the bridge has started, is ``not_examined``. An ``unexplained`` line is
    given as the total it must lead to.

    Examples
    --------
    >>> lines = [("total", "claimed", 100, 2), ("step", "vat", -18, None), ("step", "returns", None, None),
    ...          ("total", "computed_net", 0, None), ("unexplained", "unexplained", 80, None),
    ...          ("total", "booked", 80, None)]
    >>> bridge_table(lines)[["step", "kind", "amount_cents"]].values.tolist()
    [['claimed', 'total', 100], ['vat', 'step', -18], ['returns', 'not_examined', <NA>],
     ['computed_net', 'total', 82], ['unexplained', 'unexplained', -2], ['booked', 'total', 80]]
    """
    running, rows = None, []
    for position, (kind, step, cents, count) in enumerate(lines):
        amount, drawn = cents, kind
        if cents is None or (running is None and kind != "total"):
            amount, drawn = None, "not_examined"
        elif kind == "total":
            running = amount = cents if running is None else running
        else:
            amount = cents - running if kind == "unexplained" else cents
            running += amount
        rows.append((position, step, drawn, amount, count))
    return typed(
        rows, {"position": "int64", "step": "string", "kind": "string", "amount_cents": "Int64", "rows": "Int64"}
    )


def typed(rows: Sequence[Sequence[object]], types: Mapping[str, str]) -> pd.DataFrame:
    """Build a frame column by column in its types: integers beside None never pass through a float, which ends at 2^53.

    Examples
    --------
    >>> typed([(2**60 + 1,), (None,)], {"amount_cents": "Int64"})["amount_cents"].tolist()
    [1152921504606846977, <NA>]
    """
    columns = zip(*rows, strict=True) if rows else ([] for _ in types)
    return pd.DataFrame({n: pd.array(list(v), dtype=types[n]) for n, v in zip(types, columns, strict=True)})


def amount(table: pd.DataFrame, step: str) -> int | None:
    """Return the amount of one line of a bridge; None where it was not examined."""
    found = next(
        (c for s, c in zip(table["step"].tolist(), table["amount_cents"].tolist(), strict=True) if s == step), None
    )
    return None if text.is_missing(found) else int(found)


def locate(
    expected: Mapping[str, pd.DataFrame | None],
    entries: pd.DataFrame | None,
    accounts: Mapping[str, object],
    quarter: str,
    unexplained: int | None,
) -> pd.DataFrame:
    """Compare what was expected with what was booked, by account and day, and return the lines that differ.

    An account is compared by day where the ledger has postings on at least half of the days on which something was
    expected; else by month on the same rule; else over the quarter. What the accounts leave over is a last line without
    account, so that the differences always sum to ``unexplained``.

    Parameters
    ----------
    expected : mapping of line to DataFrame or None
        ``date, cents`` of the lines that are computed from other tables; None where that table is missing. Lines that
        are taken from the ledger itself are left out.
    entries : DataFrame or None
        From `booked_lines`.
    accounts : mapping
    quarter : str
    unexplained : int or None
        Cents.

    Returns
    -------
    DataFrame
        ``account, line, date, grain, expected_cents, booked_cents, difference_cents``, the largest first. With month or
        quarter as grain, ``date`` is the last day.
    """
    last, rows = quarter_bounds(quarter)[1], []
    nothing = pd.DataFrame({"date": pd.to_datetime([]), "cents": pd.array([], "Int64")})
    for line, due in expected.items() if entries is not None else ():
        posted = entries[(entries["on_line"] == line).to_numpy(dtype=bool)]
        wanted = nothing if due is None else due
        days = [frame["date"].to_numpy().astype("datetime64[D]") for frame in (wanted, posted)]
        cents = [frame.to_numpy(dtype=np.int64) for frame in (wanted["cents"], posted["amount_cents"])]
        known = [~np.isnat(each) for each in days]
        grain, keys = _grain(*(each[there] for each, there in zip(days, known, strict=True)), last)
        dates, at = np.unique(np.concatenate(keys), return_inverse=True)
        sums = np.zeros((2, len(dates)), dtype=np.int64)
        np.add.at(sums[0], at[: len(keys[0])], cents[0][known[0]])
        np.add.at(sums[1], at[len(keys[0]) :], cents[1][known[1]])
        account = "+".join(account_names(accounts, line))
        for place in np.flatnonzero(sums[0] != sums[1]):
            before, after = (int(each[place]) for each in sums)
            stated = None if due is None else before
            rows.append((account, line, dates[place], grain, stated, after, after - before))
    rest = 0 if unexplained is None else unexplained - sum(row[-1] for row in rows)
    if rest:
        rows.append(("", "", last.to_datetime64(), "quarter", None, None, rest))
    rows.sort(key=lambda row: (-abs(row[-1]), row[0], row[2]))
    money = {name: "Int64" for name in LOCATED if name.endswith("_cents")}
    types = {"account": "string", "line": "string", "date": "datetime64[us]", "grain": "string"}
    return typed(rows, {name: (types | money)[name] for name in LOCATED})


def _grain(due: np.ndarray, booked: np.ndarray, last: pd.Timestamp) -> tuple[str, list[np.ndarray]]:
    """Return the finest grain at which half of what was expected meets a posting, and both sides' days at it."""
    months = [each.astype("datetime64[M]") + 1 for each in (due, booked)]
    grains = {"day": [due, booked], "month": [each.astype("datetime64[D]") - 1 for each in months]}
    for name, keys in grains.items():
        wanted = np.unique(keys[0])
        if len(wanted) and 2 * len(np.intersect1d(wanted, keys[1])) >= len(wanted):
            return name, keys
    return "quarter", [np.full(len(each), last.to_datetime64().astype("datetime64[D]")) for each in (due, booked)]


def share_of(cents: int | None, share: float) -> int | None:
    """Return a share of an amount's absolute value, half to even to the cent; None of None."""
    return None if cents is None else convert(abs(cents), exact_rate(share))


def checks_table(rows: Sequence[tuple[str, int | None, int | None]]) -> pd.DataFrame:
    """Build ``check, value_cents, threshold_cents, passed`` from rows; without value or threshold ``passed`` is empty.

    Examples
    --------
    >>> checks_table([("net_unexplained", -5, 4), ("matched_gross_again", 0, 0)])["passed"].tolist()
    [False, True]
    """
    table = typed(list(rows), {"check": "string", "value_cents": "Int64", "threshold_cents": "Int64"})
    return table.assign(passed=(table["value_cents"].abs() <= table["threshold_cents"]).astype("boolean"))


def as_converted(table: pd.DataFrame, first_step: str) -> int | None:
    """Return a bridge's first total in the unit's currency: as reported, with the currency step."""
    reported, moved = amount(table, first_step), amount(table, "currency")
    return None if reported is None or moved is None else reported + moved


def first_row(frame: pd.DataFrame | pd.Series, wrong) -> str:
    """Return `first: row 3 of the unit` for the first row marked wrong; the index counts the unit's rows from zero."""
    return f"first: row {int(frame.index[int(wrong.argmax())]) + 1} of the unit"


def first_masked(ids: pd.Series, wrong: pd.Series) -> str:
    """Return `first: row 3 of the unit, C0***` for the first row marked wrong."""
    marked = wrong.to_numpy(dtype=bool)
    return f"{first_row(ids, marked)}, {mask(ids.iloc[int(marked.argmax())])}"


def checks(
    table: pd.DataFrame,
    unexplained: pd.DataFrame,
    again: Mapping[str, int | None],
    materiality_cents: int | None,
    performance_cents: int | None,
) -> pd.DataFrame:
    """Test what is unexplained against materiality, and each subtotal against a second computation.

    Net is the unexplained step, against materiality; gross is the sum of the absolute differences by account and day,
    against performance materiality, so that offsetting errors cannot hide.
    """
    net = amount(table, "unexplained")
    gross = None if net is None else total(unexplained["difference_cents"].abs())
    rows = [
        ("net_unexplained", None if net is None else abs(net), materiality_cents),
        ("gross_unexplained", gross, performance_cents),
    ]
    for step, second in again.items():
        first = amount(table, step)
        rows.append((f"{step}_again", None if first is None or second is None else first - second, 0))
    return checks_table(rows)


def findings(result: object, booked_step: str, language: str) -> list[str]:
    """Return the sentences on what stays unexplained, shared by the bridges that end in the ledger.

    Parameters
    ----------
    result : object
        With ``table, unexplained, checks, currency, materiality_cents, performance_cents, trivial_cents``.
    booked_step : str
        Key of the bridge's last total.
    language : str
    """
    _ = text.translator(language)
    said, net, booked = [], amount(result.table, "unexplained"), amount(result.table, booked_step)

    def money(cents, **options):
        return text.compact_money(cents, result.currency, language, least=10_000_000, small_decimals=2, **options)

    if net is not None:
        gross = total(result.unexplained["difference_cents"].abs())
        whole = "unmapped_accounts" not in set(result.checks["check"][result.checks["passed"].eq(False)])
        if net == 0 and gross == 0 and whole:
            said.append(
                _("Nothing is unexplained: what is booked, {booked}, is explained to the cent.").format(
                    booked=money(booked)
                )
            )
        elif net or gross:
            sentence = _("Unexplained: {amount} ({share} of what is booked); materiality is {materiality}.")
            share = text.percent(net / booked if booked else None, language, decimals=2, signed=True)
            amounts = {"amount": money(net, signed=True), "materiality": money(result.materiality_cents)}
            said.append(sentence.format(share=share, **amounts))
            sentence = _(
                "The differences by account and day, whatever their sign, sum to {gross}; performance materiality is "
                "{performance}."
            )
            said.append(sentence.format(gross=money(gross), performance=money(result.performance_cents)))
            worst = result.unexplained.iloc[0]
            if worst["account"]:
                sentence = _(
                    "The largest difference is on account {account}, {date}: expected {expected}, booked {booked}."
                )
                amounts = {"expected": money(worst["expected_cents"]), "booked": money(worst["booked_cents"])}
                said.append(
                    sentence.format(account=worst["account"], date=text.date(worst["date"], language), **amounts)
                )
            if gross <= result.trivial_cents:
                sentence = _("This is clearly trivial (threshold {threshold}).")
                said.append(sentence.format(threshold=money(result.trivial_cents)))
    failed = result.checks[result.checks["passed"].fillna(True).eq(False)]
    if len(failed):
        names = ", ".join(text.label(check, language) for check in failed["check"])
        said.append(_("Not ready for sign-off; checks that failed: {checks}.").format(checks=names))
    missing = result.table.loc[(result.table["kind"] == "not_examined").to_numpy(dtype=bool), "step"]
    if len(missing):
        names = ", ".join(text.label(step, language) for step in missing)
        said.append(_("Not examined, for want of data: {steps}.").format(steps=names))
    return said
