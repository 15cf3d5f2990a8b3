"""Next quarter's budget: the plan of highest expected contribution margin, and whether it can be told from staying.

The plan maximises ``margin x expected modelled revenue - spend`` over the posterior's draws, each channel within its
bounds, the total fixed or free. What it gains over staying is worked out draw by draw: where its 90% interval reaches
zero, the decision is to stay. Curves: `curves.forward`; the arithmetic of sharing: `allocate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.modelling import PER_QUARTER, bounds_faults, break_even, margin_fault
from kpitoolkit.regression import budget_wording as wording
from kpitoolkit.regression import charts, curves
from kpitoolkit.regression.allocate import allocate
from kpitoolkit.regression.estimate import LARGEST_R_HAT
from kpitoolkit.regression.posterior import Posterior, interval
from kpitoolkit.regression.returns import SHORTEST, SHRUNK, TOTAL, USUAL_SHARE, prior_returns

FREE, LAST_QUARTER = "free", "fixed"
LARGEST_CHANGE = 0.5
STEP = 0.2
_ENDS = ("", "_low", "_high")
TABLE = ["channel", "spend_now", "spend_best", "spend_proposed", "change", "low_bound", "high_bound", "bound"]
TABLE += [f"{name}{end}" for name in ("mroas_now", "mroas_best") for end in _ENDS]
TABLE += [f"{name}{end}" for name in ("contribution_now", "contribution_best") for end in _ENDS]
TABLE += ["verdict"]
SCENARIOS = ["plan", "channel", "spend", *(f"contribution{end}" for end in _ENDS)]
SCENARIOS += ["contribution_margin", "margin_low", "margin_high"]
SCENARIOS += ["gain", "gain_low", "gain_high", "probability", "beyond"]
PLANS = ("as_last_quarter", "same_mix", "proposed", "best_found", "a_fifth_less", "a_fifth_more", "channel_off")


@dataclass(frozen=True, eq=False)
class Gain:
    """Contribution margin of one plan less another's in the same draws: mean, 90% interval, probability above zero."""

    mean: float
    low: float
    high: float
    probability: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > 0


@dataclass(frozen=True, eq=False)
class Budget:
    """A budget for the next quarter.

    Attributes
    ----------
    table : DataFrame
        One row a channel, currency of the quarter: channel, spend_now (last quarter), spend_best (the best plan found),
        spend_proposed (the best plan where the decision is to move, else what staying means), change (of the best plan,
        share of spend_now), low_bound, high_bound, bound (`low`, `high` where the best plan stands at one, else
        empty), mroas_now, mroas_best (revenue of the next unit in the quarter), contribution_now, contribution_best
        (modelled revenue), each with `_low` and `_high` (90%), verdict (what the regression says, where given).
    scenarios : DataFrame
        plan (one of `PLANS`, or the analyst's own), channel (of `channel_off`), spend, contribution (modelled revenue
        that the quarter's spend brings, in it and after it: what earlier spend carries in was paid for then; without a
        tail all that media bring in the quarter), contribution_margin (after spend), gain (of margin over last
        quarter's plan), each with its interval; probability of a gain (none for last quarter's own); beyond: whether a
        channel moves outside what was observed.
    gain : Gain
        Of the best plan over staying.
    extra : Gain or None
        With a free total: of changing the total over the best plan at last quarter's total.
    decision : {"move", "stay"}
    reason : str
        Why to stay: `one_channel` (nothing to share out), `no_better`, `not_distinguishable`, `short`, `unusual_spend`,
        `not_converged`, `weak`, `nothing_modelled`, `no_margin`; empty for `move`.
    doubt : str
        Why there should be no plan, whatever it gains: `short`, `unusual_spend`, `not_converged`, `weak`,
        `nothing_modelled`, `no_margin` (no sale leaves a margin, and the plan of highest margin is the one that sells
        least); empty where there may be one. Pages show no plan then.
    total : {"fixed", "stated", "free"}
    method : {"marginal", "grid"}
        `allocate`'s.
    left_out : tuple of str
        Channels without modelled return.
    """

    table: pd.DataFrame
    scenarios: pd.DataFrame
    gain: Gain
    extra: Gain | None
    decision: str
    reason: str
    doubt: str
    total: str
    method: str
    left_out: tuple[str, ...]
    largest_change: float
    contribution_margin_share: float
    tail: bool
    kind: str
    currency: str
    frequency: str
    window: int

    @property
    def shares_out(self) -> bool:
        """Whether there is a plan to show: something to share out, on estimates that a plan may rest on."""
        return not self.doubt and self.reason != "one_channel"

    @property
    def plans(self) -> pd.DataFrame:
        """The scenarios that pages show: none where no plan may rest on them; of one channel, the analyst's own."""
        own = ~self.scenarios["plan"].isin(PLANS)
        return self.scenarios if self.shares_out else self.scenarios[own & (self.doubt == "")]

    @property
    def shown(self) -> pd.DataFrame:
        """The table as pages show it: money in cents; the interval is that of the next unit in the plan shown."""
        table = self.table if self.shares_out else self.table.iloc[:0]
        moved = table.assign(change=table["spend_best"] - table["spend_now"])
        frame = wording.in_cents(moved, ("spend_now", "spend_best", "change"))
        named = {"mroas_best": "mroas_at_best", "mroas_best_low": "low", "mroas_best_high": "high"}
        kept = [
            "channel",
            "spend_now_cents",
            "spend_best_cents",
            "change_cents",
            "bound",
            "mroas_now",
            *named,
            "verdict",
        ]
        return frame[kept].rename(columns=named)

    def shown_scenarios(self, language: str = "en") -> pd.DataFrame:
        """Return the scenarios as pages show them: named in the language, money in cents, their totals told apart."""
        names = [wording.plan(row, language) for row in self.plans.to_dict("records")]
        money = ("spend", "change", "contribution", "contribution_margin", "gain", "gain_low", "gain_high")
        change = self.plans["spend"] - self.table["spend_now"].sum()
        frame = wording.in_cents(self.plans.assign(plan=names, change=change), money)
        kept = ["plan", *(f"{name}_cents" for name in money), "probability"]
        return frame[kept]

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes | None:
        """Draw last quarter's spend and the best plan's, by channel."""
        if not self.shares_out:
            return charts.blank(ax, wording.title(self, language), language)
        named = {"spend_now": "spend_now", "spend_best": "spend_proposed" if self.decision == "move" else "spend_best"}
        long = (
            self.table[["channel", *named]].rename(columns=named).melt("channel", var_name="plan", value_name="spend")
        )
        order = {name: place for place, name in enumerate(self.table["channel"])}
        long = long.sort_values("channel", key=lambda names: names.map(order), kind="stable")
        return plots.bars(
            long.assign(spend=(long["spend"] * 100).round()), "channel", "spend", "plan",
            ax=ax, language=language, value_format="money_short", currency=self.currency,
            title=wording.title(self, language),
        )  # fmt: skip

    def plot_scenarios(self, ax: Axes | None = None, language: str = "en") -> Axes | None:
        """Draw what each plan gains in contribution margin over last quarter's, with its 90% interval.

        Plans beyond what was observed are grey, whatever they gain.
        """
        _ = text.translator(language)
        title = _("Contribution margin after spend beside last quarter's plan, 90% interval")
        rows = self.plans[self.plans["plan"] != "as_last_quarter"]
        if not len(rows):
            return charts.blank(ax, title, language)
        seen = ~rows["beyond"].astype(bool)
        tone = np.select(
            [seen & (rows["gain_low"] > 0), seen & (rows["gain_high"] < 0)], ["better", "worse"], "undecided"
        )
        names = [wording.plan(row, language) for row in rows.to_dict("records")]
        cents = {name: (rows[name] * 100).round() for name in ("gain", "gain_low", "gain_high")}
        return plots.intervals(
            rows.assign(plan=names, tone=tone, **cents), "plan", "gain", "gain_low", "gain_high", tone="tone",
            reference=0.0, reference_label=_("as last quarter"), ax=ax, language=language, value_format="money_short",
            currency=self.currency, title=title,
        )  # fmt: skip

    def findings(self, language: str = "en") -> list[str]:
        """Return what to do in sentences: the decision first, then the plan, then what it rests on."""
        return wording.findings(self, language)


def plan_budget(
    post: Posterior | None,
    contribution_margin_share: float = 0.4,
    *,
    total: float | str = LAST_QUARTER,
    largest_change: float = LARGEST_CHANGE,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    scenarios: Mapping[str, Mapping[str, float]] | None = None,
    verdicts: Mapping[str, str] | None = None,
    tail: bool = True,
    currency: str = "EUR",
) -> Budget:
    """Plan the next quarter's spend: constant within the quarter, after what was spent before it.

    Parameters
    ----------
    post : Posterior, optional
        None where nothing could be modelled: then the decision is to stay.
    contribution_margin_share : float in [-1, 1]
        Margin before marketing; at zero or less nothing is planned.
    total : float, "fixed" or "free"
        Currency of the quarter; fixed: as last quarter. A free total moves only where the extra gain can itself be told
        from zero.
    largest_change : float
        By default each channel stays within this share of last quarter's spend, and within the spend that was observed
        (with its carry-over). Staying is always within the default bounds.
    bounds : mapping of str to (low, high), optional
        Currency of the quarter, in place of the default for these channels; None keeps one end's default.
    scenarios : mapping of str to mapping, optional
        Further plans by name: currency of the quarter by channel; channels left out stay as they were.
    verdicts : mapping of str to str, optional
        The regression's verdict by channel. Channels of it that the posterior lacks are named as left out.
    tail : bool
        Count carry-over beyond the quarter as brought by its spend.
    currency : str

    Returns
    -------
    Budget

    Raises
    ------
    Faults
        On unknown channels, negative amounts, or bounds that exclude the total.
    """
    verdicts = dict(verdicts or {})
    known = post.problem.channels if post else ()
    _check(known, contribution_margin_share, total, largest_change, bounds or {}, scenarios or {})
    left_out = tuple(name for name in verdicts if name not in (*known, TOTAL))
    fixed = {"left_out": left_out, "largest_change": largest_change, "tail": tail, "currency": currency}
    fixed["contribution_margin_share"] = contribution_margin_share
    if break_even(contribution_margin_share) is None:
        return _nothing(fixed, total, "no_margin")
    if not known:
        return _nothing(fixed, total, "nothing_modelled")
    ahead = curves.forward(post, tail=tail)
    market = _Market(ahead, contribution_margin_share)
    low, high = default_bounds(ahead, largest_change)
    for name, ends in (bounds or {}).items():
        place = known.index(name)
        low[place] = low[place] if ends[0] is None else ends[0] / ahead.periods
        high[place] = high[place] if ends[1] is None else ends[1] / ahead.periods
    now, extra, kind = ahead.now, None, LAST_QUARTER
    refuse_bounds("budget", ahead, low, high, total, currency)
    if total == LAST_QUARTER:
        best, method = market.best(low, high, now.sum())
        stay = now
    elif total == FREE:
        kind = FREE
        best, method = market.best(low, high, None)
        kept = market.best(low, high, now.sum())[0] if low.sum() <= now.sum() <= high.sum() else now
        extra = market.gain(best, kept)
        best, stay = best if extra.distinguishable else kept, now
    else:
        kind = "stated"
        best, method = market.best(low, high, float(total) / ahead.periods)
        stay = _same_mix(now, low, high, float(total) / ahead.periods)
    gain = market.gain(best, stay)
    doubt = _doubt(post)
    reason = "one_channel" if len(known) == 1 and kind != FREE else _reason(doubt, gain)
    proposed = stay if reason else best
    plans = [("as_last_quarter", "", now)]
    plans += [("same_mix", "", stay)] if kind == "stated" else []
    plans += [("best_found" if reason else "proposed", "", best), ("a_fifth_less", "", (1 - STEP) * now)]
    plans += [("a_fifth_more", "", (1 + STEP) * now)]
    plans += [("channel_off", n, np.where(np.arange(len(known)) == p, 0.0, now)) for p, n in enumerate(known) if now[p]]
    plans += [(name, "", _stated(now, known, plan, ahead.periods)) for name, plan in (scenarios or {}).items()]
    return Budget(
        table=_table(market, now, best, proposed, low, high, [verdicts.get(name, "") for name in known]),
        scenarios=pd.DataFrame([market.scenario(*plan) for plan in plans], columns=SCENARIOS),
        gain=gain,
        extra=extra,
        decision="stay" if reason else "move",
        reason=reason,
        doubt=doubt,
        total=kind,
        method=method,
        kind=post.kind,
        frequency=post.problem.frequency,
        window=post.problem.window,
        **fixed,
    )


def default_bounds(ahead: curves.Forward, largest_change: float = LARGEST_CHANGE) -> tuple[np.ndarray, np.ndarray]:
    """Return each channel's bounds in currency per period: what was observed, within a share of last quarter's spend.

    Last quarter's spend always lies within them; a channel not spent on then stays at nothing.
    """
    low = np.maximum(ahead.lowest, ahead.now * (1 - largest_change))
    high = np.minimum(ahead.highest, ahead.now * (1 + largest_change))
    return np.maximum(np.minimum(low, ahead.now), 0.0), np.maximum(high, ahead.now)


def refuse_bounds(
    where: str, ahead: curves.Forward, low: np.ndarray, high: np.ndarray, total: float | str, currency: str
) -> None:
    """Raise Faults where bounds (currency per period) leave no budget with this total: said in currency per quarter."""
    stated = (
        None if total == FREE else ahead.periods * float(ahead.now.sum()) if total == LAST_QUARTER else float(total)
    )
    ends = [dict(zip(ahead.channels, (ahead.periods * each).tolist(), strict=True)) for each in (low, high)]
    faults = bounds_faults(*ends, stated, currency, fixed=total == LAST_QUARTER)
    if faults:
        raise Faults(where, faults)


class _Market:
    """Plans and what they bring, by draw."""

    def __init__(self, ahead: curves.Forward, margin: float):
        self.ahead, self.margin = ahead, margin
        count = range(len(ahead.channels))
        self.tail = ahead.carried.shape[2] > ahead.periods
        self.values = [lambda x, c=c: margin * ahead.revenue(c, x).mean(axis=0) - ahead.periods * x for c in count]
        self.slopes = [lambda x, c=c: ahead.periods * (margin * ahead.next_unit(c, x).mean(axis=0) - 1) for c in count]

    def best(self, low: np.ndarray, high: np.ndarray, total: float | None) -> tuple[np.ndarray, str]:
        """Return the best plan (currency per period) and how it was found."""
        found = allocate(self.values, self.slopes, low, high, total)
        return found.spend, found.method

    def brought(self, plan: np.ndarray) -> np.ndarray:
        """Modelled revenue, of shape (draws, channels).

        A tail belongs to the spend before it: what was carried in has counted in its own quarter and counts no more.
        """
        found = [self.ahead.revenue(place, [x, 0.0]) for place, x in enumerate(plan)]
        return np.column_stack([own[:, 0] - own[:, 1] if self.tail else own[:, 0] for own in found])

    def left(self, plan: np.ndarray) -> np.ndarray:
        """Contribution margin after spend, by draw."""
        return self.margin * self.brought(plan).sum(axis=1) - self.ahead.periods * plan.sum()

    def gain(self, plan: np.ndarray, other: np.ndarray) -> Gain:
        """What one plan gains over another."""
        drawn = self.left(plan) - self.left(other)
        return Gain(float(drawn.mean()), *(float(end) for end in interval(drawn)), float((drawn > 0).mean()))

    def scenario(self, name: str, channel: str, plan: np.ndarray) -> dict:
        """A row of the scenarios."""
        brought, gain = self.brought(plan).sum(axis=1), self.gain(plan, self.ahead.now)
        left = self.margin * brought - self.ahead.periods * plan.sum()
        row = {"plan": name, "channel": channel, "spend": self.ahead.periods * plan.sum()}
        row |= dict(zip(SCENARIOS[3:6], (brought.mean(), *interval(brought)), strict=True))
        row |= dict(zip(SCENARIOS[6:9], (left.mean(), *interval(left)), strict=True))
        row |= dict(zip(SCENARIOS[9:12], (gain.mean, gain.low, gain.high), strict=True))
        row["probability"] = np.nan if name == "as_last_quarter" else gain.probability
        room = 1e-9 * self.ahead.highest
        outside = (plan > self.ahead.highest + room) | (plan < self.ahead.lowest - room)
        return row | {"beyond": bool((outside & (np.abs(plan - self.ahead.now) > room)).any())}


def _table(market: _Market, now, best, proposed, low, high, verdicts) -> pd.DataFrame:
    ahead = market.ahead
    frame = pd.DataFrame({"channel": ahead.channels})
    for name, values in {"spend_now": now, "spend_best": best, "spend_proposed": proposed}.items():
        frame[name] = values * ahead.periods
    frame["change"] = np.where(now > 0, best / np.where(now > 0, now, 1.0) - 1, np.nan)
    frame["low_bound"], frame["high_bound"] = low * ahead.periods, high * ahead.periods
    near = 1e-9 * np.maximum(high, 1e-300)
    frame["bound"] = np.select([high - low <= near, best <= low + near, best >= high - near], ["", "low", "high"], "")
    for at, plan in {"now": now, "best": best}.items():
        mroas = np.column_stack([ahead.next_unit(place, x)[:, 0] for place, x in enumerate(plan)])
        for name, drawn in {"mroas": mroas, "contribution": market.brought(plan)}.items():
            figures = (drawn.mean(axis=0), *interval(drawn))
            frame = frame.assign(**{f"{name}_{at}{end}": f for end, f in zip(_ENDS, figures, strict=True)})
    return frame.assign(verdict=verdicts)[TABLE]


def _doubt(post: Posterior) -> str:
    """Why no plan should rest on a posterior; empty where one may."""
    if post.problem.window < SHORTEST[post.problem.frequency]:
        return "short"
    if not USUAL_SHARE[0] <= post.problem.spent.sum() / post.problem.window <= USUAL_SHARE[1]:
        return "unusual_spend"
    if (post.r_hat[np.isfinite(post.r_hat)] >= LARGEST_R_HAT).any():
        return "not_converged"
    before = prior_returns(post.problem.prior, post.weight)["log_sd"].iloc[0]
    return "" if np.log(post.total).std() < SHRUNK * before else "weak"


def _reason(doubt: str, gain: Gain) -> str:
    """Why to stay; empty where the plan should move."""
    if doubt and (doubt != "weak" or gain.distinguishable):
        return doubt
    return "" if gain.distinguishable else "not_distinguishable" if gain.mean > 0 else "no_better"


def _same_mix(now: np.ndarray, low: np.ndarray, high: np.ndarray, total: float) -> np.ndarray:
    """Last quarter's mix at another total, as near to it as the bounds allow."""
    if not now.sum():
        return low + (high - low) * (total - low.sum()) / max((high - low).sum(), 1e-300)
    size = total / now.sum()
    least, most = 0.0, size
    while np.clip(most * now, low, high).sum() < total and most < 1e9 * size:
        most *= 2
    for _round in range(200):
        size = (least + most) / 2
        least, most = (size, most) if np.clip(size * now, low, high).sum() < total else (least, size)
    return np.clip(most * now, low, high)


def _stated(now: np.ndarray, channels: tuple[str, ...], plan: Mapping[str, float], periods: int) -> np.ndarray:
    stated = now.copy()
    for name, amount in plan.items():
        stated[channels.index(name)] = amount / periods
    return stated


def _check(channels, margin, total, largest_change, bounds, scenarios) -> None:
    faults = []
    if fault := margin_fault(margin):
        faults.append(fault)
    if isinstance(total, str) and total not in (FREE, LAST_QUARTER):
        faults.append(
            f"total '{total}' is not one of {LAST_QUARTER}, {FREE}, an amount.{suggest(total, (FREE, LAST_QUARTER))}"
        )
    elif not isinstance(total, str) and not (np.isfinite(total) and total >= 0):
        faults.append(f"total of {total} must be an amount of zero or more")
    if not (np.isfinite(largest_change) and largest_change >= 0):
        faults.append(f"largest_change of {largest_change} must be a share of zero or more, such as 0.5")
    stated = [("bounds", name, ends) for name, ends in bounds.items()]
    stated += [(f"scenario '{plan}'", name, (each,)) for plan, own in scenarios.items() for name, each in own.items()]
    for where, name, amounts in stated:
        if channels and name not in channels:
            faults.append(f"{where}: '{name}' is no channel of this regression.{suggest(name, channels)}")
        if any(each is not None and not (np.isfinite(each) and each >= 0) for each in amounts):
            faults.append(f"{where}: '{name}' must have amounts of zero or more {PER_QUARTER}")
        if len(amounts) == 2 and None not in amounts and amounts[0] > amounts[1]:
            faults.append(f"{where}: '{name}' has a lower bound above its upper bound {PER_QUARTER}")
    faults += [
        f"scenario '{name}' has the name of a plan of ours. Choose another" for name in scenarios if name in PLANS
    ]
    if faults:
        raise Faults("budget", faults)


def _nothing(fixed: dict, total: float | str, why: str) -> Budget:
    """What is left to say where no channel could be modelled, or none can earn anything."""
    none = Gain(np.nan, np.nan, np.nan, np.nan)
    return Budget(
        table=pd.DataFrame(columns=TABLE),
        scenarios=pd.DataFrame(columns=SCENARIOS),
        gain=none,
        extra=None,
        decision="stay",
        reason=why,
        doubt=why,
        total=total if isinstance(total, str) else "stated",
        method="marginal",
        kind="",
        frequency="week",
        window=0,
        **fixed,
    )
