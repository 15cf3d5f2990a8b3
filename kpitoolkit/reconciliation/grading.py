"""How closely each platform's claims can be held against orders: order by order (A), day and channel (B), totals (C).

A platform that names order ids is graded A. Without ids its claims of a day are held against the orders of that day
that no claim with an id is credited with: they can account for at most the smaller of both sums. Duplicates, look-back
and missing orders are then one line. Where all its claims stand on first or last days of months, the days are those of
a report and not of conversions, and only totals can be compared.
"""

import numpy as np
import pandas as pd

from kpitoolkit import text
from kpitoolkit.reconciliation import ledger as books

COLUMNS = {
    "platform": "string",
    "grade": "string",
    "claims": "Int64",
    "with_order_id": "Float64",
    "claimed_cents": "Int64",
    "matched_cents": "Int64",
}


def with_days(rows: pd.DataFrame, silent: list[str]) -> list[str]:
    """Return which of the platforms without order ids give days of conversion, and not only days of a report.

    Examples
    --------
    >>> days = pd.to_datetime(["2026-07-31", "2026-08-01", "2026-07-31", "2026-08-02"])
    >>> with_days(pd.DataFrame({"platform": ["p", "p", "q", "q"], "day": days}), ["p", "q"])
    ['q']
    """
    mute = rows[rows["platform"].isin(silent).to_numpy(dtype=bool)]
    days = mute["day"].dt
    inside = ~(days.is_month_start | days.is_month_end)
    return sorted(mute.loc[inside.to_numpy(dtype=bool), "platform"].unique())


def brought_by_day(claims: pd.DataFrame, orders: pd.DataFrame) -> np.ndarray:
    """Return what each claim without order id may bring to the matched gross, in cents.

    The claims of a day together bring the smaller of their sum and that of the day's orders. Where the orders are
    fewer, each claim brings its proportional part: largest remainder, ties by claim id.

    Parameters
    ----------
    claims : DataFrame
        ``day, claim_id, converted_cents`` (0 or more), all platforms of grade B together.
    orders : DataFrame
        ``day, gross_cents`` of the orders that no claim with an id is credited with.

    Examples
    --------
    >>> day = pd.Timestamp("2026-07-15")
    >>> claims = pd.DataFrame({"day": day, "claim_id": ["a", "b", "c"], "converted_cents": [100, 100, 100]})
    >>> brought_by_day(claims, pd.DataFrame({"day": [day], "gross_cents": [200]})).tolist()
    [67, 67, 66]
    """
    brought = claims["converted_cents"].to_numpy(dtype=np.int64).copy()
    ids = claims["claim_id"].to_numpy(dtype=object)
    room = {day: int(cents) for day, cents in orders.groupby("day")["gross_cents"].sum().items()}
    for day, places in claims.groupby("day").indices.items():
        claimed, most = int(brought[places].sum()), room.get(day, 0)
        if claimed <= most:
            continue
        # As Python integers: the product of two amounts does not fit into 64 bits.
        exact = brought[places].astype(object) * most
        parts, remainders = exact // claimed, exact % claimed
        order = sorted(range(len(places)), key=lambda i: (-remainders[i], ids[places[i]]))
        for i in order[: most - int(parts.sum())]:
            parts[i] += 1
        brought[places] = parts.astype(np.int64)
    return brought


def matched_by_day_again(claims: pd.DataFrame, orders: pd.DataFrame) -> int:
    """Return what all claims without order id bring, from the sums of the days alone."""
    claimed = claims.groupby("day")["converted_cents"].sum()
    room = orders.groupby("day")["gross_cents"].sum().reindex(claimed.index, fill_value=0)
    return sum(min(int(a), int(b)) for a, b in zip(claimed, room, strict=True))


def platform_grades(rows: pd.DataFrame | None, silent: list[str], by_day: list[str]) -> pd.DataFrame:
    """Return each platform's grade: how many of its claims name an order, what it claims and what of it is matched."""
    if rows is None or rows.empty:
        return books.typed([], COLUMNS)
    in_total = set(silent) - set(by_day)
    kept = rows["cause"].isin(["matched", "value_mismatch", "matched_by_day"]).to_numpy(dtype=bool)
    brings = (rows["converted_cents"] + rows["cause_cents"] + rows["mismatch_cents"]).where(kept, 0)
    known = rows.assign(brings=brings, named=rows["order_id"].notna())
    lines = []
    for platform, own in known.groupby("platform"):
        grade = "C" if platform in in_total else "B" if platform in by_day else "A"
        matched = None if grade == "C" or (own["cause"] == "not_examined").any() else books.total(own["brings"])
        claimed = books.total(own["converted_cents"])
        lines.append((platform, grade, len(own), float(own["named"].mean()), claimed, matched))
    return books.typed(lines, COLUMNS)


def findings(grades: pd.DataFrame, currency: str, language: str) -> list[str]:
    """Say what the grade of each platform can tell and what it cannot."""
    _, said = text.translator(language), []
    sentences = {
        "A": _(
            "Grade A ({platforms}): each claim is held against its order. This tells which claims have no order, come "
            "too late or repeat another; it does not tell whether advertising brought the order."
        ),
        "B": _(
            "Grade B ({platforms}): without order ids, each day's claims are held against that day's orders that no "
            "other platform claims. At most {matched} of {claimed} can be real; which claims repeat another, come too "
            "late or have no order cannot be told apart."
        ),
        "C": _(
            "Grade C ({platforms}): with neither order ids nor days, only totals can be compared. None of the "
            "{claimed} claimed is counted as matched, and none of it is shown to be wrong."
        ),
    }
    for grade, sentence in sentences.items():
        own = grades[(grades["grade"] == grade).to_numpy(dtype=bool)]
        if len(own):
            words = {
                "platforms": ", ".join(text.label(platform, language) for platform in own["platform"]),
                "claimed": text.money(books.total(own["claimed_cents"]), currency, language),
                "matched": text.money(books.total(own["matched_cents"]), currency, language),
            }
            said.append(sentence.format(**words))
    few = grades[((grades["grade"] == "A") & (grades["with_order_id"] < 0.5)).to_numpy(dtype=bool)]
    for row in few.to_dict("records"):
        sentence = _("{platform} names an order for only {share} of its claims; the others count as without an order.")
        platform = text.label(row["platform"], language)
        said.append(sentence.format(platform=platform, share=text.percent(row["with_order_id"], language)))
    return said
