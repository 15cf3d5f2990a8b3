"""What must add up in the tables that the notebooks saved, worked out again from the tables alone.

A table that a case does not have is not tested. Money holds to the cent, everything else to a relative 1e-9 of the
largest amount that enters (a model's sums over its window to 1e-6: they are means over draws).
"""

from collections.abc import Sequence

import pandas as pd

from kpitoolkit import money, parameters, tables
from kpitoolkit.batch import standing
from kpitoolkit.batch.standing import Run
from kpitoolkit.contracts import GROUP_UNIT
from kpitoolkit.errors import ToolkitError

RELATIVE, DRAWS = 1e-9, 1e-6
_BRIDGE = ("position", "step", "kind")


def broken(run: Run, fx_rates: pd.DataFrame | None = None) -> list[tuple[str, str]]:
    """Return what does not add up: the unit and a sentence, both figures in it.

    Parameters
    ----------
    run : Run
    fx_rates : DataFrame, optional
        For the units that keep their books in another currency than the group; without it these are left out.
    """
    said = []
    for unit in run.units:
        names = standing.saved_names(run, unit)
        found = {name: standing.saved(run, unit, name) for name in names}
        said += [(unit, f"{name}: cannot be read") for name, frame in found.items() if frame is None]
        read = {name: frame for name, frame in found.items() if frame is not None}
        for test in (bridges, credits_, contributions, booked, driver_sums, checks_kept):
            try:
                said += [(unit, sentence) for sentence in test(read)]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                said.append((unit, f"a saved table has other columns than it should: {error}"))
    return said + [(GROUP_UNIT, sentence) for sentence in roll_up(run, fx_rates)]


def bridges(saved: dict[str, pd.DataFrame]) -> list[str]:
    """Say which bridges do not close: a total must be the total before it and the steps between.

    Steps before a first total begin at zero; lines that were not examined count nothing.

    Examples
    --------
    >>> bridges({"x": pd.DataFrame({"position": [0, 1, 2], "step": ["a", "b", "c"], "kind": ["total", "step", "total"],
    ...                             "amount_cents": [1000, -400, 601]})})
    ['x: does not close at c: 6.00 from the steps, 6.01 stated']
    """
    said = []
    for name, frame in saved.items():
        column = next((c for c in ("amount_cents", "amount") if c in frame), None)
        if column is None or not set(_BRIDGE) <= set(frame):
            continue
        for bridge in _each(frame):
            size = float(bridge[column].abs().max()) if bridge[column].notna().any() else 0.0
            level = None
            for step, kind, amount in zip(bridge["step"], bridge["kind"], bridge[column], strict=True):
                if kind == "not_examined":
                    continue
                if pd.isna(amount):
                    said.append(f"{name}: {step} is a {kind} without an amount")
                    break
                if kind != "total":
                    level = (level or 0) + amount
                    continue
                exact = column == "amount_cents"
                if level is not None and (level != amount if exact else abs(level - amount) > RELATIVE * size):
                    both = (_cents(level), _cents(amount)) if exact else (f"{level:.9g}", f"{amount:.9g}")
                    said.append(f"{name}: does not close at {step}: {both[0]} from the steps, {both[1]} stated")
                level = amount
    return said


def _each(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Part a table into its bridges: each begins where the position does not rise."""
    begins = frame["position"].diff().le(0).fillna(False).cumsum()
    return [bridge for _, bridge in frame.groupby(begins, sort=False)]


def credits_(saved: dict[str, pd.DataFrame]) -> list[str]:
    """Say where the credit of a rule does not sum to the conversions of the period, or their value."""
    journeys, said = saved.get("attribution_journeys"), []
    if journeys is None:
        return said
    for name, by in (("attribution_credit", ["model"]), ("attribution_truth_band", ["model", "lookback_days"])):
        if name not in saved:
            continue
        for column in ("conversions", "value"):
            whole = float(journeys[column].sum())
            for key, given in saved[name].groupby(by)[column].sum().items():
                if abs(given - whole) > RELATIVE * max(abs(whole), 1.0):
                    words = " ".join(map(str, key if isinstance(key, tuple) else (key,)))
                    said.append(
                        f"{name}: {column} of {words} sum to {given:,.2f}, those of all journeys to {whole:,.2f}"
                    )
    return said


def contributions(saved: dict[str, pd.DataFrame]) -> list[str]:
    """Say where baseline, contributions and residual do not add up.

    To the revenue of each period where the table holds it (component ``revenue``); by channel over the window to the
    contribution that ``regression_iroas`` states; every period must have every component once.
    """
    table, said = saved.get("regression_contributions"), []
    if table is None or table.empty:
        return said
    wide = table.pivot_table(index="period_end", columns="component", values="contribution", aggfunc="sum", min_count=1)
    twice = int(table.duplicated(["period_end", "component"]).sum())
    gaps = int(wide.isna().sum().sum())
    if twice or gaps:
        said.append(f"regression_contributions: {gaps} components are missing in a period, {twice} stand twice")
    if "revenue" in wide:
        apart = wide.drop(columns="revenue").sum(axis=1) - wide["revenue"]
        worst = apart.abs().idxmax()
        if abs(apart[worst]) > RELATIVE * max(wide["revenue"].abs().max(), 1.0):
            said.append(
                f"regression_contributions: on {worst:%Y-%m-%d} baseline, channels and residual are "
                f"{apart[worst]:+,.2f} off the revenue"
            )
    iroas = saved.get("regression_iroas")
    if iroas is None or not {"channel", "contribution"} <= set(iroas):
        return said
    stated = iroas.dropna(subset=["contribution"]).set_index("channel")["contribution"]
    channels = [channel for channel in stated.index if channel in wide]
    sums = wide[channels].sum()
    for channel in channels:
        if abs(sums[channel] - stated[channel]) > DRAWS * max(abs(stated[channel]), 1.0):
            said.append(_off("regression_iroas", channel, sums[channel], stated[channel]))
    if "total_media" in stated and channels and len(channels) == len(stated) - 1:
        whole = stated[channels].sum()
        if abs(whole - stated["total_media"]) > DRAWS * max(abs(whole), 1.0):
            said.append(_off("regression_iroas", "total_media", whole, stated["total_media"]))
    return said


def _off(name: str, channel: str, summed: float, stated: float) -> str:
    return f"{name}: {channel} contributes {stated:,.2f}, its parts sum to {summed:,.2f}"


def booked(saved: dict[str, pd.DataFrame]) -> list[str]:
    """Say where revenue is one figure in one table and another in the next: scorecard, bridge, headline."""
    kpis, said = saved.get("reconciliation_kpis"), []
    if kpis is None:
        return said
    revenue = kpis.loc[(kpis["kpi"] == "revenue") & (kpis["basis"] == "finance"), "actual"].dropna()
    if revenue.empty:
        return said
    stated = {}
    if "reconciliation_claims" in saved:
        bridge = saved["reconciliation_claims"]
        stated["reconciliation_claims"] = bridge.loc[
            bridge["step"].eq("booked") & bridge["kind"].eq("total"), "amount_cents"
        ]
    if "summary_headline" in saved:
        facts = saved["summary_headline"]
        stated["summary_headline"] = facts.loc[facts["item"] == "booked_revenue", "value"]
    for name, found in ((name, column.dropna()) for name, column in stated.items()):
        if len(found) and round(found.iloc[0]) != round(revenue.iloc[0]):
            said.append(f"{name}: booked revenue is {_cents(found.iloc[0])}, the scorecard's {_cents(revenue.iloc[0])}")
    return said


def driver_sums(saved: dict[str, pd.DataFrame]) -> list[str]:
    """Say where the drivers of a KPI do not sum to its change on last year."""
    said = []
    for room in ("reconciliation", "group"):
        kpis, drivers = saved.get(f"{room}_kpis"), saved.get(f"{room}_drivers")
        if kpis is None or drivers is None or drivers.empty:
            continue
        rows = kpis[kpis["basis"] == "finance"].set_index("kpi")
        years = drivers["to_quarter"].astype(str).str[:4].astype(int) - drivers["from_quarter"].astype(str).str[
            :4
        ].astype(int)
        same = drivers["to_quarter"].astype(str).str[-1] == drivers["from_quarter"].astype(str).str[-1]
        on_year = drivers[(years == 1) & same]
        for (kpi, way), given in on_year.groupby(["kpi", "decomposition"])["contribution"].sum(min_count=1).items():
            if kpi not in rows.index or rows.loc[kpi, ["actual", "last_year"]].isna().any() or pd.isna(given):
                continue
            now, before = float(rows.loc[kpi, "actual"]), float(rows.loc[kpi, "last_year"])
            # the group converts each line and rounds it to the cent, and a ratio is of such lines
            allowed = RELATIVE if room == "reconciliation" else 100 * RELATIVE
            if abs(given - (now - before)) > allowed * max(abs(now), abs(before), abs(given)):
                said.append(
                    f"{room}_drivers: {kpi} {way} sums to {given:.9g}, the scorecard moved by {now - before:.9g}"
                )
    return said


def checks_kept(saved: dict[str, pd.DataFrame]) -> list[str]:
    """Say which checks state another outcome than their value and threshold have."""
    said = []
    for name, frame in saved.items():
        if name.endswith("_checks") and {"check", "value_cents", "threshold_cents", "passed"} <= set(frame):
            value, most = (frame[c].astype("Int64") for c in ("value_cents", "threshold_cents"))
            again, stated = (value.abs() <= most).astype("boolean"), frame["passed"].astype("boolean")
            wrong = (again.isna() != stated.isna()) | (again != stated).fillna(False)
            said += [f"{name}: {check} states another outcome than its figures have" for check in frame["check"][wrong]]
    return said


def roll_up(run: Run, fx_rates: pd.DataFrame | None) -> list[str]:
    """Say which unit's revenue is another in the group's roll-up than in the unit's own tables."""
    table = standing.saved(run, GROUP_UNIT, "group_rollup") if GROUP_UNIT in run.units else None
    if table is None or not {"step", "amount_cents"} <= set(table):
        return []
    facts, said = run.facts["units"], []
    home = str(facts[GROUP_UNIT]["parameters"].get("group_currency", ""))
    in_group = table.dropna(subset=["amount_cents"]).drop_duplicates("step").set_index("step")["amount_cents"]
    for unit in run.units:
        own = standing.figures(run, unit).get("revenue/finance")
        if unit == GROUP_UNIT or unit not in in_group or own is None or own.value is None:
            continue
        quarter = str(facts[unit]["parameters"]["quarter"])
        rate = money.rate_between(fx_rates, quarter, own.currency, home, home)
        if rate is None:
            continue
        converted = money.convert(round(own.value), rate)
        if converted != in_group[unit]:
            stated = _cents(in_group[unit])
            said.append(f"group_rollup: {unit} enters with {stated} {home}, its own page has {_cents(converted)}")
    return said


def over_materiality(run: Run, units: Sequence[str]) -> list[str]:
    """Say where the group's roll-up leaves more unexplained than is material; its units have checks of their own."""
    table = standing.saved(run, GROUP_UNIT, "group_rollup") if GROUP_UNIT in units else None
    if table is None or not set(_BRIDGE) <= set(table):
        return []
    left = table.loc[table["kind"] == "unexplained", "amount_cents"].dropna()
    totals = table.loc[table["kind"] == "total", "amount_cents"].dropna()
    if left.empty or totals.empty:
        return []
    share = run.facts["units"][GROUP_UNIT]["parameters"].get("materiality_share", 0)
    most = money.convert(abs(int(totals.iloc[-1])), money.exact_rate(share))
    if left.abs().sum() <= most:
        return []
    return [
        f"{GROUP_UNIT}: the roll-up leaves {_cents(left.sum())} unexplained, at most {_cents(most)} is not material"
    ]


def fx_rates_of(case: parameters.Case) -> pd.DataFrame | None:
    """Read the rates that a case declares; None where it declares none, or they cannot be read."""
    place = parameters.workspace_of(case, case.group)
    try:
        return tables.read(place, ["fx_rates"])["fx_rates"] if "fx_rates" in tables.declared(place) else None
    except ToolkitError:
        return None


def _cents(cents) -> str:
    return f"{int(cents) / 100:,.2f}"
