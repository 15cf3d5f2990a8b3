"""Which lift test to run next: what each would tell, what it costs while it runs, and what better budgets it would buy.

A test changes one channel's spend for some periods; its outcome is the revenue this moves, read out of the model's own
noise. The draws say what each outcome would teach, and a budget chosen after it is compared with the best one now. All
of it is as modelled: if the model is wrong, a test is worth more than stands here, and this page cannot say how much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from kpitoolkit import plots, text
from kpitoolkit.errors import Faults, suggest
from kpitoolkit.modelling import PER_QUARTER, break_even, margin_fault
from kpitoolkit.regression import charts, curves, information, lift, transforms
from kpitoolkit.regression import experiments_wording as wording
from kpitoolkit.regression.budget import FREE, LARGEST_CHANGE, LAST_QUARTER, default_bounds, refuse_bounds
from kpitoolkit.regression.posterior import Posterior, ceiling, point, reached

HORIZON_WEEKS = 52
BEFORE = {"week": 52, "quarter": 8}
TOTALS = (LAST_QUARTER, FREE)
STEPS = 160
CERTAIN = 2.0
TELLING = np.log(10) / stats.norm.ppf(0.95)  # of log_sd: the return to within a factor of ten, 90%
TABLE = ["rank", "channel", "design", "test_periods", "spend_now", "spend_change", "log_sd", "test_cost"]
TABLE += ["test_value", "test_value_error", "perfect_value", "test_net", "log_sd_now", "log_sd_after"]
TABLE += ["width_now", "width_after", "test_verdict"]


@dataclass(frozen=True)
class Design:
    """A lift test: what a channel's spend is multiplied by, and for how long.

    One factor for all of its periods: a lift test states one difference of spend, so where periods off and doubled take
    turns there is none to state.

    Attributes
    ----------
    key : str
        Its name in tables; a label of the catalogues, or shown as it is.
    factor : float
        0 is off, 2 doubled.
    periods : int
        Weeks or quarters, as the model's.
    """

    key: str
    factor: float
    periods: int


DESIGNS = {
    "week": (
        Design("test_off", 0, 4),
        Design("test_off", 0, 8),
        Design("test_halved", 0.5, 8),
        Design("test_doubled", 2, 4),
        Design("test_doubled", 2, 8),
    ),
    "quarter": (Design("test_off", 0, 1), Design("test_halved", 0.5, 1), Design("test_doubled", 2, 1)),
}


@dataclass(frozen=True, eq=False)
class Experiments:
    """What the next experiment is worth.

    Attributes
    ----------
    table : DataFrame
        One row a channel and design, the best first. test_periods; spend_now, spend_change: currency, of all of these:
        the channel's spend without the test, and what the test adds; log_sd: standard error of the logarithm of the
        return on that change (what a lift test of the two amounts states); test_cost: expected contribution margin
        after spend given up in the test and while its carry-over lasts (negative: gained);
        test_value: expected gain of choosing the budget after the test (expected value of sample information), with
        the standard error that the number of draws leaves; perfect_value: the same for knowing the channel's response
        exactly; test_net: value less cost, where a cost below zero counts as none; log_sd_now, log_sd_after, width_now,
        width_after: standard deviation of log iROAS and width of the 90% interval of iROAS, now and as expected after
        the test; test_verdict: `test_pays`, `test_unclear`, `test_does_not_pay`, `test_does_not_tell` (the return to
        no better than a factor of ten: last, the most precise first).
    budget : DataFrame
        channel, spend, low, high: currency per period, now and the bounds of what is chosen after a test.
    not_tested : tuple of str
        Channels without spend in the window's last quarter.
    total : float
        Currency per period that is shared out; NaN where it is free.
    horizon : int
        Periods over which the budget is chosen.
    contribution_margin_share : float
        At zero or less no budget pays, none is better than another, and no test is worth anything.
    """

    table: pd.DataFrame
    budget: pd.DataFrame
    not_tested: tuple[str, ...]
    total: float
    horizon: int
    kind: str
    currency: str
    frequency: str
    contribution_margin_share: float = 0.4

    def shown(self, language: str = "en") -> pd.DataFrame:
        """Return the best test of each channel as pages show it: its length in words, money in cents."""
        money = {"test_cost": "test_cost_cents", "test_value": "test_value_cents"}
        money |= {"perfect_value": "perfect_value_cents", "test_net": "test_net_cents"}
        best = self.table.drop_duplicates("channel")
        cents = {name: (best[name] * 100).round().astype("Int64") for name in money}
        cents["test_periods"] = [wording.named(row, self.frequency, language)["length"] for _, row in best.iterrows()]
        frame = best.assign(interval_narrower=wording.narrower(best), **cents).rename(columns=money)
        kept = ["rank", "channel", "design", "test_periods", "log_sd", "interval_narrower", *money.values()]
        return frame[[*kept, "test_verdict"]]

    def findings(self, language: str = "en") -> list[str]:
        """Return which test is worth most, how precisely it reads, and what bounds it, in sentences."""
        return wording.sentences(self, language)

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each channel's best test: what it is worth, what it costs, and what perfect knowledge would be worth.

        Costs are those counted in `test_net`: none where the change of spend gains.
        """
        _ = text.translator(language)
        title = _("What each channel's best test would be worth, and cost")
        if not len(self.table):
            return charts.blank(ax, title, language)
        best = self.table.drop_duplicates("channel")
        each = _("{channel}: {design}, {length}")
        named = [each.format(**wording.named(row, self.frequency, language)) for _place, row in best.iterrows()]
        counted = best.assign(channel=named, test_cost=best["test_value"] - best["test_net"])
        long = counted.melt("channel", ["perfect_value", "test_value", "test_cost"], "figure")
        return plots.bars(
            long.assign(value=long["value"] * 100),
            "channel",
            "value",
            "figure",
            ax=ax,
            language=language,
            value_format="money",
            currency=self.currency,
            title=title,
        )


def rank(
    post: Posterior | None,
    contribution_margin_share: float = 0.4,
    *,
    designs: Sequence[Design] | None = None,
    channels: Sequence[str] | None = None,
    horizon_weeks: int = HORIZON_WEEKS,
    total: float | str = LAST_QUARTER,
    largest_change: float = LARGEST_CHANGE,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    baseline_known: bool = False,
    setup_cost: float = 0.0,
    currency: str = "EUR",
) -> Experiments:
    """Rank lift tests by the contribution margin that a budget chosen after them is expected to bring, less their cost.

    Now: each channel spends, period after period, the mean of the window's last quarter. Test: that times the design's
    factor; the lift, until its carry-over has ended, is read by generalised least squares (`information.read`), level
    and trend estimated from the year before the test and the test's own periods. Decision: a constant spend per channel
    within bounds, for the horizon, on the expected curves of `curves.response`; once with what is known now, once with
    what each outcome would teach. What a test says of its channel's parameters carries over to other channels as far as
    the draws tie them together (`information.explained`).

    Parameters
    ----------
    post : Posterior or None
        None, where nothing could be fitted, ranks nothing.
    contribution_margin_share : float in [-1, 1]
        Margin before marketing; at zero or less nothing is ranked.
    designs : sequence of Design, optional
        `DESIGNS` of the frequency by default.
    channels : sequence of str, optional
        To be tested; by default all that are spent on now.
    horizon_weeks : int
        For how long the budget chosen after the test runs (quarters: rounded to whole ones).
    total : float, "fixed" or "free"
        Of that budget: currency of a quarter, as now (`fixed`), or free.
    largest_change : float
        Share by which a channel's spend may move from now, up or down, within what was observed.
    bounds : mapping of str to (low, high), optional
        Currency of a quarter, in place of these for a channel; None keeps one end. All as `budget.plan_budget` has it.
    baseline_known : bool
        Whether the test's baseline is known rather than estimated again: from a control region, say.
    setup_cost : float from 0
        Of running any test at all, in currency: tools, people.
    currency : str

    Returns
    -------
    Experiments

    Raises
    ------
    Faults
        On designs whose result no lift test could state, unknown channels or such without spend, bounds that exclude
        the total.
    """
    fault = margin_fault(contribution_margin_share)
    if post is None or (not fault and break_even(contribution_margin_share) is None):
        spend = pd.DataFrame(columns=["channel", "spend", "low", "high"])
        ends = ("published", currency, "week", contribution_margin_share)
        return Experiments(pd.DataFrame(columns=TABLE), spend, (), np.nan, 0, *ends)
    problem = post.problem
    designs = DESIGNS[problem.frequency] if designs is None else tuple(designs)
    now = curves.last_quarter(post) if problem.channels else np.zeros(0)
    spent = dict(zip(problem.channels, now > 0, strict=True))
    amounts = {"horizon_weeks": (horizon_weeks, np.inf), "largest_change": (largest_change, np.inf)}
    if setup_cost:
        amounts["setup_cost"] = setup_cost, np.inf
    _check(designs, channels, spent, amounts, bounds or {}, total, fault)
    tested = [name for name in problem.channels if spent[name] and (channels is None or name in channels)]
    horizon = _horizon(horizon_weeks, problem.frequency)
    budget = _budget(post, largest_change, bounds or {}, total, currency)
    quarter = curves.HORIZON[problem.frequency]
    together = {LAST_QUARTER: budget["spend"].sum(), FREE: np.nan}.get(total, total)
    together = float(together if total in TOTALS else together / quarter)
    rows = []
    if tested:
        profits, best = _decision(post, budget, together, horizon, contribution_margin_share)
        given = {name: _known(post, profits, problem.channels.index(name)) for name in tested}
        perfect = {name: information.perfect_value(given[name], best) for name in tested}
    for design in designs if tested else ():
        lifts = _lifts(post, now, design)
        for name in tested:
            place = problem.channels.index(name)
            reading, means = _reading(post, lifts[:, :, place], baseline_known)
            likely = information.chances(means, reading.standard_error)
            value, gained = information.value_of_test(given[name], likely, best)
            usual = design.periods * now[place]
            change = (design.factor - 1) * usual
            brought = contribution_margin_share * point(lifts[:, :, place].sum(axis=1))
            rows.append(
                {
                    "channel": name,
                    "design": design.key,
                    "test_periods": design.periods,
                    "spend_now": usual,
                    "spend_change": change,
                    "log_sd": reading.standard_error,
                    "test_cost": change - brought,
                    "test_value": value,
                    "test_value_error": gained.std() / np.sqrt(_effective(post)),
                    "perfect_value": perfect[name],
                    **_spread(post.iroas[:, place], likely),
                }
            )
    table = pd.DataFrame(rows, columns=[name for name in TABLE if name not in ("rank", "test_net", "test_verdict")])
    return Experiments(
        table=_ranked(table, setup_cost),
        budget=budget,
        not_tested=tuple(name for name in problem.channels if not spent[name]),
        total=together,
        horizon=horizon,
        kind=post.kind,
        currency=currency,
        frequency=problem.frequency,
        contribution_margin_share=contribution_margin_share,
    )


def _ranked(table: pd.DataFrame, setup_cost: float) -> pd.DataFrame:
    """Verdicts and ranks: tests that tell by their net worth, then those that do not by their precision.

    A test without cost (as modelled, doubling where the mean return is high gains) pays whatever little it is worth,
    and a reading with many times more noise than lift is worth a little: the rare draws with the largest lifts would
    show. Such an outcome reaches zero, and a lift test that does has no logarithm to enter the model with.
    """
    net = table["test_value"] - table["test_cost"].clip(lower=0) - setup_cost
    silent = table["log_sd"] > TELLING
    pays = np.select(
        [silent, net > CERTAIN * table["test_value_error"], net > 0],
        ["test_does_not_tell", "test_pays", "test_unclear"],
        "test_does_not_pay",
    )
    table = table.assign(test_net=net, test_verdict=pays, blur=table["log_sd"].where(silent, 0.0))
    order = ["blur", "test_net", "test_value", "channel", "design", "test_periods"]
    table = table.sort_values(order, ascending=[True, False, False, True, True, True], ignore_index=True)
    return table.assign(rank=np.arange(1, len(table) + 1))[TABLE]


def _horizon(weeks: float, frequency: str) -> int:
    return max(1, round(weeks if frequency == "week" else weeks / 13))


def _budget(post: Posterior, change: float, bounds: Mapping, total: float | str, currency: str) -> pd.DataFrame:
    """Spend now and its bounds, currency per period."""
    names = post.problem.channels
    if not names:
        return pd.DataFrame(columns=["channel", "spend", "low", "high"])
    ahead = curves.forward(post, tail=False)
    low, high = default_bounds(ahead, change)
    for name, ends in bounds.items():
        place = names.index(name)
        low[place], high[place] = (
            kept if end is None else end / ahead.periods
            for end, kept in zip(ends, (low[place], high[place]), strict=True)
        )
    refuse_bounds("experiments", ahead, low, high, total, currency)
    return pd.DataFrame({"channel": names, "spend": ahead.now, "low": low, "high": high})


def _decision(post: Posterior, budget: pd.DataFrame, total: float, horizon: int, margin: float):
    """Return profits of the horizon (draws, channels, levels), and the function that chooses among expected ones.

    With a total, levels are equal steps of currency from each channel's least, the same for all channels, and dynamic
    programming finds the best sum: exact to the grid, S-shaped curves included. With a free total (NaN) each channel
    has a grid and a best level of its own.
    """
    problem, low, high = post.problem, budget["low"].to_numpy(), budget["high"].to_numpy()
    free = np.isnan(total)
    if free:
        spend = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, STEPS + 1)
    else:
        step = max((total - low.sum()) / STEPS, 1e-300)
        counts = np.floor(np.minimum((high - low) / step + 1e-6, STEPS)).astype(np.int64) + 1
        units = int(min(STEPS, (counts - 1).sum()))
        spend = low[:, None] + step * np.minimum(np.arange(counts.max()), counts[:, None] - 1)
    profits = np.empty((len(post.iroas), *spend.shape))
    for place, (top, unit) in enumerate(zip(ceiling(post).T, problem.mean_active, strict=True)):
        half, slope = post.half_saturation[:, place, None], post.slope[:, place, None]
        reach = curves.reach(problem.saturation, spend[place] / unit, half, slope)[0]
        profits[:, place] = horizon * (margin * top[:, None] * reach - spend[place])

    def best(expected):
        if free:
            return expected.argmax(axis=2)
        return information.fill(np.ascontiguousarray(expected), counts, units)

    return profits, best


def _known(post: Posterior, profits: np.ndarray, place: int) -> np.ndarray:
    """Profits as expected where a channel's own parameters are known: its own by draw, the others' as far as tied."""
    carryover = np.clip(post.carryover[:, place], 1e-6, 1 - 1e-6)
    log_iroas = np.log(post.iroas[:, place])
    shapes = np.log(np.column_stack([post.half_saturation[:, place], post.slope[:, place]]))
    features = np.column_stack([log_iroas, log_iroas**2, np.log(carryover / (1 - carryover)), shapes])
    found, effective = profits.copy(), _effective(post)
    for other in range(profits.shape[1]):
        if other != place:
            found[:, other] = information.explained(profits[:, other], features, effective)
    return found


def _lifts(post: Posterior, now: np.ndarray, design: Design) -> np.ndarray:
    """Revenue that a test of each channel moves: shape (draws, periods of the test and of its carry-over, channels)."""
    problem = post.problem
    steady, around = now / problem.mean_active, np.ones(problem.periods - 1)
    factors = np.concatenate([around, np.full(design.periods, float(design.factor)), around])
    tested = reached(post, factors[:, None] * steady, len(factors) - len(around))
    planned = reached(post, np.ones((problem.periods, 1)) * steady, 1)
    return ceiling(post)[:, None, :] * (tested - planned)


def _reading(post: Posterior, lifts: np.ndarray, baseline_known: bool) -> tuple[information.Reading, np.ndarray]:
    """How the test reads its lift, and what it reads on average under each draw (1 where all is as expected)."""
    problem = post.problem
    padded = np.pad(lifts, ((0, 0), (BEFORE[problem.frequency], 0)))
    count = np.arange(padded.shape[1]) / transforms.PERIODS_OF_YEAR[problem.frequency]
    baseline = None if baseline_known else np.column_stack([np.ones_like(count), count - count.mean()])
    autocorrelation, noise = float(point(post.autocorrelation)), float(point(post.noise)) * problem.scale
    reading = information.read(point(padded), baseline, autocorrelation, noise)
    return reading, padded @ reading.weights


def _spread(iroas: np.ndarray, likely: np.ndarray) -> dict[str, float]:
    found = {}
    for end, chance in (("now", np.ones((1, len(iroas)))), ("after", likely)):
        found[f"log_sd_{end}"] = information.left_after(np.log(iroas), chance)[0]
        found[f"width_{end}"] = information.left_after(iroas, chance)[1]
    return found


def _effective(post: Posterior) -> float:
    """How many independent draws the draws are worth."""
    smallest = np.min(post.ess) if np.isfinite(post.ess).all() else np.inf
    return float(min(len(post.iroas), smallest))


def _check(designs, channels, spent, amounts, bounds, total, fault) -> None:
    faults = [fault] if fault else []
    for name, (value, most) in amounts.items():
        if not (np.isfinite(value) and 0 < value <= most):
            faults.append(f"{name} of {value:g} is out of range")
    if isinstance(total, str) and total not in TOTALS:
        faults.append(f"total '{total}' is not one of {', '.join(TOTALS)}, nor an amount.{suggest(total, TOTALS)}")
    if not designs:
        faults.append("no design is stated. Leave `designs` out for the usual ones")
    for design in designs:
        if not (isinstance(design.periods, (int, np.integer)) and design.periods > 0):
            faults.append(f"design '{design.key}': a test of {design.periods} periods measures nothing")
        elif not (design.factor == 0 or lift.LEAST <= design.factor <= lift.MOST):
            allowed = f"0 or from {lift.LEAST:g} to {lift.MOST:g}"
            faults.append(f"design '{design.key}': the factor must be {allowed}, not {design.factor}")
        elif abs(design.factor - 1) < lift.SAME * max(1, design.factor):
            faults.append(f"design '{design.key}': a factor of {design.factor:g} changes next to no spend")
    for name in [*(channels or ()), *bounds]:
        if name not in spent:
            faults.append(f"'{name}' is no fitted channel.{suggest(name, spent)}")
    for name in channels or ():
        if not spent.get(name, True):
            faults.append(f"nothing was spent on '{name}' in the window's last quarter: no spend to change")
    for name, (least, most) in bounds.items():
        lowest, highest = 0.0 if least is None else least, np.inf if most is None else most
        if not 0 <= lowest <= highest or most == np.inf:
            faults.append(f"the bounds of '{name}' must rise from zero, not {least} to {most} {PER_QUARTER}")
    if faults:
        raise Faults("experiments", faults)
