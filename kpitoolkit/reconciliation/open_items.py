"""Register of open items: what is known of a bridge's steps and not yet cleared, carried from quarter to quarter.

Open items reduce nothing: they stand beside the unexplained, with amount, cause, owner, evidence and age.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.reconciliation import ledger as books

COLUMNS = {
    "item_id": "string",
    "bridge": "string",
    "step": "string",
    "amount_cents": "Int64",
    "step_cents": "Int64",
    "opened": "string",
    "age_quarters": "Int64",
    "cause": "string",
    "owner": "string",
    "evidence": "string",
    "status": "string",
}
_SPOKEN = {
    "not_shown": "{item}: open with {amount}, but its step '{step}' shows {shown}. Clear the item or correct it.",
    "not_examined": "{item}: open with {amount}, but its step '{step}' was not examined in this quarter.",
    "unknown_step": "{item}: open with {amount} on '{step}', which is no step of its bridge. Correct the register.",
    "vanished": "{item}: open with {amount} last quarter, no longer in the register and never closed. Ask {owner}.",
    "changed": "{item}: open with {amount}, while last quarter's register had another amount. Ask {owner}.",
}


@dataclass(frozen=True, eq=False)
class OpenItems:
    """
    The open items of one unit at the end of a quarter.

    ``table``: `item_id, bridge, step, amount_cents, step_cents, opened, age_quarters, cause, owner, evidence, status`.
    The status is ``outstanding``, ``closed`` (in this quarter), or what is wrong: ``not_shown`` (the step shows less,
    or the other sign), ``not_examined``, ``unknown_step``, ``vanished`` (in last quarter's register only), ``changed``.
    """

    table: pd.DataFrame
    unexplained: Mapping[str, int | None]
    quarter: str
    currency: str
    oldest_quarters: int
    declared: bool = True

    @property
    def still_open(self) -> pd.DataFrame:
        """The items that are not closed and not vanished."""
        return self.table[~self.table["status"].isin(["closed", "vanished"]).to_numpy(dtype=bool)]

    @property
    def formats(self) -> dict[str, str]:
        """How the table is written: what people wrote in their own words, money to the cent."""
        words = dict.fromkeys(("item_id", "cause", "owner", "evidence"), "text")
        return words | {name: "money2" for name in COLUMNS if name.endswith("_cents")}

    @property
    def checks(self) -> pd.DataFrame:
        """One check: no item that was open last quarter may leave the register without being closed.

        Without a register in either quarter it is not examined.
        """
        lost = (self.table["status"] == "vanished").to_numpy(dtype=bool)
        gone = books.total(self.table.loc[lost, "amount_cents"].abs())
        return books.checks_table([("open_items_carried", gone if self.declared or lost.any() else None, 0)])

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw the items that are open by their amounts."""
        return plots.bars(
            self.still_open,
            "item_id",
            "amount_cents",
            ax=ax,
            language=language,
            value_format="money2",
            currency=self.currency,
            title=text.translator(language)("Open items"),
        )

    def findings(self, language: str) -> list[str]:
        """Say what is open beside what is unexplained, which items are old, and which no longer fit their step."""
        _ = text.translator(language)
        said = [self._beside(bridge, language) for bridge in dict.fromkeys(self.still_open["bridge"])]
        if not self.declared:
            said = [_("No register of open items is declared: nobody has said which differences are open.")]
        elif not said:
            said = [_("No item is open.")]
        closed = self.table[(self.table["status"] == "closed").to_numpy(dtype=bool)]
        if len(closed):
            said.append(_("Closed in this quarter: {items}.").format(items=", ".join(closed["item_id"])))
        for row in self.still_open.to_dict("records"):
            if row["age_quarters"] > self.oldest_quarters:
                sentence = _("{item}: open for {age} quarters, longer than the {most} allowed. {owner} is to clear it.")
                age, most = (text.number(n, language) for n in (row["age_quarters"], self.oldest_quarters))
                said.append(sentence.format(item=row["item_id"], age=age, most=most, owner=row["owner"]))
        for row in self.table[self.table["status"].isin(list(_SPOKEN)).to_numpy(dtype=bool)].to_dict("records"):
            words = {"item": row["item_id"], "step": text.label(row["step"], language), "owner": row["owner"]}
            amounts = {"amount": row["amount_cents"], "shown": row["step_cents"]}
            written = {name: self._money(cents, language) for name, cents in amounts.items()}
            said.append(_(_SPOKEN[row["status"]]).format(**words, **written))
        return said + self._together(language)

    def _together(self, language: str) -> list[str]:
        """Items that each fit their step, but not together."""
        _, said = text.translator(language), []
        for (_bridge, step), items in self.still_open.groupby(["bridge", "step"]):
            whole, shown = books.total(items["amount_cents"]), items["step_cents"].iloc[0]
            if (items["status"] == "outstanding").all() and abs(whole) > abs(shown):
                sentence = _("The open items on '{step}' come to {amount} together, more than the {shown} it shows.")
                written = {"amount": self._money(whole, language), "shown": self._money(shown, language)}
                said.append(sentence.format(step=text.label(step, language), **written))
        return said

    def _beside(self, bridge: str, language: str) -> str:
        items = self.still_open[(self.still_open["bridge"] == bridge).to_numpy(dtype=bool)]
        amount = self._money(books.total(items["amount_cents"]), language)
        left = self._money(self.unexplained.get(bridge), language)
        return text.plural(
            language,
            "{bridge}: {n} item of {amount} is open beside {left} unexplained. It reduces nothing.",
            "{bridge}: {n} items of {amount} together are open beside {left} unexplained. They reduce nothing.",
            len(items),
            bridge=text.capitalised(text.label(f"{bridge}_bridge", language)),
            amount=amount,
            left=left,
        )

    def _money(self, cents, language: str) -> str:
        return text.money(cents, self.currency, language, decimals=2, signed=True)


def open_items(
    register: pd.DataFrame | None,
    bridges: Mapping[str, object],
    quarter: str,
    currency: str,
    previous: pd.DataFrame | None = None,
    oldest_quarters: int = 2,
) -> OpenItems:
    """
    Hold the register of open items against the steps of this quarter's bridges.

    An item counts from the quarter in which it was opened to the one before it is closed; in the quarter of its closing
    it is listed as closed. Its age is the number of quarters since it was opened. What last quarter's table still had
    open never goes in silence: closed with an earlier quarter's date it is listed as closed, moved to a later quarter
    it has vanished.

    Parameters
    ----------
    register : DataFrame or None
        ``item_id, opened, bridge, step, amount_cents, cause, owner, evidence, closed``, of one unit; None where no
        register is declared.
    bridges : mapping
        The bridges by name (``claims``, ``spend``): results with ``table`` and ``unexplained``. On the step
        ``unexplained`` an item is held against the differences of its own sign, by account and day: errors of the other
        sign that offset them clear no item.
    quarter, currency : str
    previous : DataFrame, optional
        The table of last quarter's `OpenItems`, as it was saved: what was open then must still be in the register.
    oldest_quarters : int
        An item that is older is said.

    Returns
    -------
    OpenItems

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> table = books.bridge_table([("total", "claimed", 900, None), ("step", "returns", -300, None)])
    >>> bridge = SimpleNamespace(table=table, unexplained=pd.DataFrame({"difference_cents": []}))
    >>> register = pd.DataFrame({"item_id": ["O1"], "opened": ["2025Q4"], "bridge": ["claims"], "step": ["returns"],
    ...     "amount_cents": [-500], "cause": ["not booked"], "owner": ["CFO"], "evidence": ["mail"], "closed": [None]})
    >>> found = open_items(register, {"claims": bridge}, "2026Q3", "EUR")
    >>> found.table[["step_cents", "age_quarters", "status"]].values.tolist()
    [[-300, 3, 'not_shown']]
    """
    rows, known, last = [], set(), _left_open(previous)
    for item in [] if register is None else register.sort_values("item_id").to_dict("records"):
        closed = item.get("closed")
        closed = None if text.is_missing(closed) else str(closed)
        before = last.get(item["item_id"])
        ended = closed is not None and closed <= quarter
        if item["opened"] > quarter or (ended and closed < quarter and before is None):
            continue
        known.add(item["item_id"])
        shown, status = _step(bridges.get(item["bridge"]), item["step"], int(item["amount_cents"]))
        if ended:
            status = "closed"
        elif before is not None and int(before["amount_cents"]) != int(item["amount_cents"]):
            status = "changed"
        rows.append(_row(item, shown, quarter, status))
    rows += [_row(item, None, quarter, "vanished") for key, item in last.items() if key not in known]
    left = {name: books.amount(bridge.table, "unexplained") for name, bridge in bridges.items()}
    return OpenItems(books.typed(rows, COLUMNS), left, quarter, currency, oldest_quarters, register is not None)


def _row(item: Mapping, shown: int | None, quarter: str, status: str) -> tuple:
    stated = {name: item[name] for name in ("item_id", "bridge", "step", "cause", "owner", "evidence", "opened")}
    found = {"amount_cents": int(item["amount_cents"]), "step_cents": shown, "status": status}
    return tuple(
        {**stated, **found, "age_quarters": _quarters_apart(item["opened"], quarter)}[name] for name in COLUMNS
    )


def _left_open(previous: pd.DataFrame | None) -> dict[str, dict]:
    if previous is None:
        return {}
    kept = previous[~previous["status"].isin(["closed", "vanished"]).to_numpy(dtype=bool)]
    return {item["item_id"]: item for item in kept.to_dict("records")}


def _step(bridge, step: str, amount: int) -> tuple[int | None, str]:
    """What the step of an item shows, and whether the item can be in it: the same sign, and at least its amount."""
    if bridge is None:
        return None, "not_examined"
    if step not in set(bridge.table["step"]):
        return None, "unknown_step"
    shown = books.amount(bridge.table, step)
    if shown is None:
        return None, "not_examined"
    if step == "unexplained":
        apart = bridge.unexplained["difference_cents"]
        shown = books.total(apart[(apart > 0 if amount > 0 else apart < 0).to_numpy(dtype=bool)])
    return shown, "outstanding" if shown * amount >= 0 and abs(shown) >= abs(amount) else "not_shown"


def _quarters_apart(first: str, last: str) -> int:
    (year, number), (end_year, end_number) = (map(int, quarter.split("Q")) for quarter in (first, last))
    return 4 * (end_year - year) + end_number - number
