"""What credit cost: spend, cost per conversion and attributed ROAS, beside what the platforms claim."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import money, plots
from kpitoolkit.attribution import cost_wording
from kpitoolkit.attribution.checks import UNATTRIBUTED
from kpitoolkit.attribution.models import Attribution
from kpitoolkit.attribution.resampling import credit_interval, one_conversion
from kpitoolkit.errors import Faults, suggest

DRAWN = 20
_KEYS = {"channel": ["channel"], "campaign": ["channel", "campaign"]}


@dataclass(frozen=True, eq=False)
class CostAndReturn:
    """Spend against credit, by channel or by campaign.

    Attributes
    ----------
    table : DataFrame
        One row a channel (and campaign), the largest spend first: channel, (campaign,) status, spend_cents,
        conversions, conversions_low, conversions_high (credited; 90% interval), cost_per_conversion_cents,
        cost_low_cents, cost_high_cents, value_cents (credited order value), attributed_roas, roas_low, roas_high, and
        where claims were given claimed_conversions, claimed_value_cents, claimed_roas, claimed_over_attributed (value
        claimed over value credited), and where a band was given roas_lowest, roas_highest (figures over all its rules
        and look-backs). Cents are Int64. What cannot be computed is missing, never zero.

        status: `ok`; `few_conversions` (the interval begins below one conversion: the cost of one has no upper bound);
        `no_conversions` (touchpoints, but no credit); `no_touchpoints` (spend that touchpoints cannot measure);
        `no_spend` (credit without spend); `claims_only`.
    model : str
    by : {"channel", "campaign"}
    currency : str
    """

    table: pd.DataFrame
    model: str
    by: str
    currency: str

    @property
    def formats(self) -> dict[str, str]:
        """How `pages.table` writes the columns: names of campaigns as they are, not as keys."""
        whole = dict.fromkeys(("conversions", "conversions_low", "conversions_high"), "number0")
        cost = dict.fromkeys(("cost_per_conversion_cents", "cost_low_cents", "cost_high_cents"), "money2")
        ratios = [name for name in self.table if "roas" in name or name == "claimed_over_attributed"]
        return whole | cost | dict.fromkeys(ratios, "number2") | {"campaign": "text"}

    def shown(self) -> pd.DataFrame:
        """Return the columns that a page has room for; those of claims only where one arrived."""
        chosen = ("spend_cents", "conversions", "cost_per_conversion_cents", "attributed_roas", "roas_low", "roas_high")
        columns = [
            *_KEYS[self.by],
            *chosen,
            "roas_lowest",
            "roas_highest",
            "claimed_roas",
            "claimed_over_attributed",
            "status",
        ]
        seen = self.table.get("claimed_value_cents", pd.Series(dtype="Int64")).notna().any()
        return self.table[[c for c in columns if c in self.table and (seen or not c.startswith("claimed"))]]

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw attributed ROAS with its interval against the ROAS that the platform claims."""
        spent = self.table[self.table["spend_cents"].fillna(0) > 0]
        drawn = spent.head(DRAWN)
        drawn = drawn.assign(
            name=[cost_wording.name(row, language) for row in drawn.to_dict("records")],
            reason=[cost_wording.reason(status, language) for status in drawn["status"]],
        )
        span = ("roas_lowest", "roas_highest") if "roas_lowest" in drawn else None
        claimed = "claimed_roas" if "claimed_roas" in drawn and drawn["claimed_roas"].notna().any() else None
        title, words, parity = cost_wording.chart(self, language)
        return plots.against(
            drawn,
            "name",
            "attributed_roas",
            "roas_low",
            "roas_high",
            claimed,
            words,
            span=span,
            reference=1.0,
            reference_label=parity,
            reason="reason",
            ax=ax,
            language=language,
            title=title,
            note=cost_wording.note(self, len(spent) - DRAWN, language),
        )

    def findings(self, language: str) -> list[str]:
        """Return sentences on what credit cost, what platforms claim, and what this is not."""
        return cost_wording.findings(self, language)


def cost_and_return(
    result: Attribution,
    spend: pd.DataFrame,
    claims: pd.DataFrame | None = None,
    model: str = "markov",
    by: str = "channel",
    period: tuple[object, object] | None = None,
    currency: str | None = None,
    fx_rates: pd.DataFrame | None = None,
    group_currency: str = "EUR",
    platforms_including_vat: Mapping[str, float] | None = None,
    band: pd.DataFrame | None = None,
) -> CostAndReturn:
    """Hold spend against the credit of one rule.

    cost per conversion = spend / credited conversions; attributed ROAS = credited order value / spend. Spend is known,
    so their 90% intervals are those of the credit, divided: the bounds of a cost are those of the conversions, the
    other way round. Both share out what was seen by a rule. Neither says what the spend caused.

    Channels and campaigns are matched with platforms and their campaigns by name, as written.

    Parameters
    ----------
    result : Attribution
        Of the period; by campaign where `by` is. Its value is in `currency`.
    spend : DataFrame
        The table `ad_spend`: platform, spend_cents, currency; date where there is a period or another currency;
        campaign where `by` is.
    claims : DataFrame, optional
        The table `platform_claims`: platform, value_cents, currency; conversion_time where there is a period or another
        currency; campaign where `by` is. Each row is a claimed conversion, however often its order is claimed.
    model : str
        A rule of `result`.
    by : {"channel", "campaign"}
    period : (first day, last day), optional
        Both included; days in UTC, or in the time zone of the two timestamps. Default: all rows.
    currency : str, optional
        Into which amounts are converted, each row at the rate of its quarter in the period's time zone.
        Default: the only one of `spend`.
    fx_rates : DataFrame, optional
        quarter, currency, rate.
    group_currency : str
        The one that `fx_rates` converts into.
    platforms_including_vat : mapping of str to float, optional
        VAT rate inside a platform's reported spend; it is taken out, row by row, half to even. Claims and order values
        stay gross.
    band : DataFrame, optional
        `TruthBand.table` of the same conversions, by channel: the interval of one rule does not say how far the figure
        depends on the rule.

    Returns
    -------
    CostAndReturn

    Raises
    ------
    Faults
        With everything found: missing columns, amounts missing or negative, several currencies without a rate, names
        that differ in capitals or blanks only, an unknown rule.

    Examples
    --------
    >>> from kpitoolkit.attribution import attribute, journeys_from_paths
    >>> paths = pd.DataFrame({"path": ["search", "email"], "total_conversions": [40, 10],
    ...                       "total_conversion_value": [4000.0, 500.0]})
    >>> spend = pd.DataFrame({"platform": ["search", "tv"], "spend_cents": [100_000, 50_000], "currency": ["EUR"] * 2})
    >>> found = cost_and_return(attribute(journeys_from_paths(paths)), spend, model="last")
    >>> found.table[["channel", "status", "cost_per_conversion_cents", "attributed_roas"]]
      channel          status  cost_per_conversion_cents  attributed_roas
    0  search              ok                       2500              4.0
    1      tv  no_touchpoints                       <NA>              NaN
    2   email        no_spend                       <NA>              NaN
    """
    faults = _faults(result, spend, claims, model, by, period, currency)
    if band is not None and by == "campaign":
        faults.append("the truth band is by channel: leave it out of costs by campaign.")
    if faults:
        raise Faults("cost and return", faults)
    keys = _KEYS[by]
    currency = currency or next((str(name) for name in spend["currency"].dropna()), "EUR")
    into = (currency, fx_rates, group_currency)
    spend, spend_faults = _ready(spend, "spend", "spend_cents", "date", keys, period, into)
    claimed, claim_faults = None, []
    if claims is not None:
        claimed, claim_faults = _ready(claims, "claims", "value_cents", "conversion_time", keys, period, into)
    credit = _credit(result, model, keys)
    faults = [*spend_faults, *claim_faults, *_spellings(credit, spend, claimed, keys)]
    including, known = dict(platforms_including_vat or {}), set(spend["channel"]) | set(credit["channel"])
    faults += [
        f"platforms_including_vat: '{name}' has no rows in spend.{hint}"
        for name in sorted(set(including) - known)
        if (hint := suggest(name, known))
    ]
    if faults:
        raise Faults("cost and return", faults)

    for name, rate in including.items():
        rows = spend["channel"] == name
        spend.loc[rows, "cents"] = money.convert(spend.loc[rows, "cents"], 1 / (1 + money.exact_rate(rate)))
    sums = spend.groupby(keys)["cents"].sum().rename("spend_cents")
    table = credit.merge(sums.reset_index(), on=keys, how="outer")
    if claimed is not None:
        said = claimed.groupby(keys)["cents"].agg(claimed_conversions="size", claimed_value_cents="sum").reset_index()
        table = table.merge(said.astype({"claimed_conversions": "Int64"}), on=keys, how="outer")
    if band is not None:
        over_cells = band.groupby("channel")["value"].agg(value_lowest="min", value_highest="max")
        table = table.merge(over_cells.reset_index(), on="channel", how="left")
    table = _ratios(table.astype({"spend_cents": "Int64"}))
    order = table.assign(_spend=table["spend_cents"].fillna(0), _credit=table["conversions"].fillna(-1.0))
    order = order.sort_values(["_spend", "_credit", *keys], ascending=[False, False, *[True] * len(keys)])
    columns = [c for c in (*keys, "status", *_COLUMNS) if c in table]
    return CostAndReturn(table.loc[order.index, columns].reset_index(drop=True), model, by, currency)


_COLUMNS = (
    "spend_cents", "conversions", "conversions_low", "conversions_high",
    "cost_per_conversion_cents", "cost_low_cents", "cost_high_cents",
    "value_cents", "attributed_roas", "roas_low", "roas_high", "roas_lowest", "roas_highest",
    "claimed_conversions", "claimed_value_cents", "claimed_roas", "claimed_over_attributed",
)  # fmt: skip


def _faults(result, spend, claims, model, by, period, currency) -> list[str]:
    if by not in _KEYS:
        return [f"by is '{by}': choose channel or campaign.{suggest(by, _KEYS)}"]
    if not isinstance(spend, pd.DataFrame):
        return ["spend is no table: give the rows of ad_spend."]
    faults, known = [], list(result.table["model"].unique())
    if model not in known:
        faults.append(f"model '{model}' is not one of {', '.join(known)}.{suggest(model, known)}")
    if by == "campaign" and "campaign" not in result.table:
        faults.append("the credit is by channel: make it with attribute(journeys, by='campaign').")
    own = ["campaign"] if by == "campaign" else []
    timed = {"spend": ["date"] if period else [], "claims": ["conversion_time"] if period else []}
    for name, frame, amount in (("spend", spend, "spend_cents"), ("claims", claims, "value_cents")):
        wanted = ["platform", amount, "currency", *own, *timed[name]]
        missing = [c for c in wanted if frame is not None and c not in frame]
        faults += [f"{name}: column '{c}' is missing.{suggest(c, frame.columns)}" for c in missing]
    several = [] if faults or currency else sorted(spend["currency"].dropna().unique())
    if len(several) > 1:
        todo = "Say into which one with currency='EUR'."
        faults.append(f"spend: amounts are in several currencies ({', '.join(several)}). {todo}")
    return faults


def _ready(frame, name, amount, time, keys, period, into) -> tuple[pd.DataFrame, list[str]]:
    """Return channel, (campaign,) cents of the rows of the period in one currency, and what is wrong with them."""
    frame, outside = frame.rename(columns={"platform": "channel"}), []
    if period:
        first, last = (pd.Timestamp(day) for day in period)
        if time != "date" and first.tz is not None:
            there = frame[time].dt.tz_localize("UTC").dt.tz_convert(first.tz)
            frame = frame.assign(**{time: there.dt.tz_localize(None)})
        bounds = [day.tz_localize(None) for day in (first, last + pd.DateOffset(days=1))]
        inside = (frame[time] >= bounds[0]) & (frame[time] < bounds[1])
        if name == "spend" and len(frame) and not inside.any():
            ends = [frame[time].min(), frame[time].max()]
            seen = " to ".join(f"{day:%Y-%m-%d}" for day in ends)
            outside.append(f"{name}: no row in the period {first:%Y-%m-%d} to {last:%Y-%m-%d}: it has {seen}.")
        frame = frame[inside]
    frame, faults = frame.reset_index(drop=True), outside
    for column, wrong in (
        ("platform", frame["channel"].isna()),
        (amount, frame[amount].isna()),
        ("currency", frame["currency"].isna()),
    ):
        if wrong.any():
            faults.append(f"{name}: {_counted(wrong)} without '{column}' (first: row {wrong.idxmax() + 1}).")
    if (below := frame[amount].lt(0).fillna(False)).any():
        faults.append(f"{name}: {_counted(below)} with a negative amount (first: row {below.idxmax() + 1}).")
    currency, fx_rates, group_currency = into
    cents = frame[amount].astype("Int64")
    foreign = (frame["currency"] != currency) & frame["currency"].notna()
    if foreign.any() and time not in frame:
        several = ", ".join(sorted(frame["currency"].dropna().unique()))
        faults.append(
            f"{name}: amounts are in several currencies ({several}). Convert them to {currency}, or add dates."
        )
    elif foreign.any():
        quarters = frame.loc[foreign, time].dt.to_period("Q").astype("str")
        for (quarter, source), rows in frame[foreign].groupby([quarters, "currency"]):
            rate = money.rate_between(fx_rates, quarter, source, currency, group_currency)
            if rate is None:
                todo = f"Add it to fx_rates, or keep the rows in {currency}."
                faults.append(f"{name}: {quarter} has amounts in {source}, and fx_rates no rate for it. {todo}")
            else:
                cents.loc[rows.index] = money.convert(cents.loc[rows.index], rate)
    frame = frame.assign(cents=cents)
    if "campaign" in keys:
        frame["campaign"] = frame["campaign"].fillna("").astype("str")
    return frame[[*keys, "cents"]].astype({"channel": "str"}), faults


def _credit(result: Attribution, model: str, keys: list[str]) -> pd.DataFrame:
    """Return channel, (campaign,) conversions and value with their intervals, without `unattributed`."""
    lines = result.table[result.table["model"] == model].reset_index(drop=True)
    drawn, one = result.draws[model], one_conversion(lines["conversions"].sum(), lines["value"].sum())
    kept = (lines["channel"] != UNATTRIBUTED).to_numpy()
    lines, drawn = lines[kept], drawn[:, kept]
    if "campaign" in keys:
        lines = lines.assign(campaign=lines["campaign"].fillna("").astype("str"))
    groups = lines.groupby(keys)
    number = groups.ngroup().to_numpy()
    sums = groups[["conversions", "value"]].sum()
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(len(sums)))
    summed = np.add.reduceat(drawn[:, order], starts, axis=1) if len(sums) else drawn
    low, high = credit_interval(sums.to_numpy(dtype=float), summed, one)
    bounds = {
        "conversions_low": low[:, 0],
        "conversions_high": high[:, 0],
        "value_low": low[:, 1],
        "value_high": high[:, 1],
    }
    return sums.assign(**bounds).reset_index().astype({"channel": "str"})


def _spellings(credit, spend, claimed, keys) -> list[str]:
    """Find names that two tables write differently in capitals or blanks only: one of the two is a slip."""
    faults, key = [], keys[-1]
    written: dict[tuple, set[tuple]] = {}
    for frame in (credit, spend, claimed):
        if frame is not None:
            for names in frame[keys].dropna().drop_duplicates().itertuples(index=False, name=None):
                written.setdefault(tuple(" ".join(n.split()).casefold() for n in names), set()).add(names)
    for spellings in written.values():
        if len(spellings) > 1:
            shown = ", ".join(repr(" / ".join(names)) for names in sorted(spellings))
            faults.append(f"a {key} is written in {len(spellings)} ways: {shown}. Write it alike in all tables.")
    return faults


def _ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Add the ratios and the status of each row; leave out the figures that cannot be computed."""
    conversions, spend = table["conversions"], table["spend_cents"].astype("Float64").astype(float)
    seen, spent, credited = conversions.notna(), spend > 0, conversions > 1e-9
    few = seen & spent & credited & (table["conversions_low"] < 1.0)
    table["status"] = np.select(
        [spent & ~seen, ~spent & ~seen, ~spent, ~credited, few],
        ["no_touchpoints", "claims_only", "no_spend", "no_conversions", "few_conversions"],
        default="ok",
    )
    cost = spend.where(spent & credited)
    table["cost_per_conversion_cents"] = _cents(cost / conversions)
    table["cost_low_cents"] = _cents(cost / table["conversions_high"].where(table["conversions_high"] > 0))
    table["cost_high_cents"] = _cents(cost / table["conversions_low"].where(~few & (table["conversions_low"] > 0)))
    table["value_cents"] = _cents(table["value"] * 100)
    known = spend.where(spent)
    table["attributed_roas"] = table["value"] * 100 / known
    table["roas_low"] = (table["value_low"] * 100 / known).where(credited)
    table["roas_high"] = (table["value_high"] * 100 / known).where(credited)
    for end in ("lowest", "highest"):
        if f"value_{end}" in table:
            table[f"roas_{end}"] = (table[f"value_{end}"] * 100 / known).where(seen)
    if "claimed_value_cents" in table:
        claimed = table["claimed_value_cents"].astype("Float64").astype(float)
        table["claimed_roas"] = claimed / known
        table["claimed_over_attributed"] = claimed / (table["value"] * 100).where(table["value"] > 0)
    return table


def _counted(wrong: pd.Series) -> str:
    return "1 row" if wrong.sum() == 1 else f"{wrong.sum()} rows"


def _cents(values: pd.Series) -> pd.Series:
    return values.round().astype("Int64")
