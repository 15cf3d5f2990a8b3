"""What the results of attribution say in words; every sentence carries its number."""

import pandas as pd

from kpitoolkit import text
from kpitoolkit.attribution.checks import UNATTRIBUTED

WEEK = pd.Timedelta(days=7)


def count(conversions: float, language: str) -> str:
    """Write a number of conversions: whole, or with one decimal where it is small and not whole.

    Examples
    --------
    >>> count(1234.5, "it"), count(4.25, "en"), count(4.0, "en")
    ('1.234', '4.2', '4')
    """
    whole = abs(conversions) >= 100 or float(conversions).is_integer()
    return text.number(float(conversions), language, decimals=0 if whole else 1)


def arrival(journeys, language: str) -> list[str]:
    """Return sentences on what arrived and on what to look at before the figures are used."""
    _ = text.translator(language)
    rows = dict(zip(journeys.arrival["item"], journeys.arrival["rows"], strict=True))
    states = journeys.table.set_index("state")
    if journeys.bounds is None:
        return [
            _(
                "Ready-made paths have no times and no customers: no time decay, no open journeys, and intervals that"
                " take each journey as a customer of its own."
            )
        ]
    days = count(journeys.lookback_days, language)
    seen = rows["touchpoints_read"] - rows["touchpoints_before_window"] - rows["touchpoints_after_period"]
    found = [
        _(
            "{used} of the {seen} touchpoints of the period and of the {days} days before it count: they stand at most"
            " {days} days before an order, or belong to customers who have not ordered since."
        ).format(
            used=text.number(rows["touchpoints_in_journeys"], language), seen=text.number(seen, language), days=days
        )
    ]
    counted = [
        (
            int(states.loc["open", "journeys"]),
            "{n} journey may still convert after the period's end: it is left out, not counted as lost.",
            "{n} journeys may still convert after the period's end: they are left out, not counted as lost.",
        ),
        (
            rows["touchpoints_repeated"],
            "{n} touchpoint repeats another in full and was counted once.",
            "{n} touchpoints repeat others in full and were counted once.",
        ),
        (
            rows["conversions_repeated"],
            "{n} row repeats the number of another order and was left out.",
            "{n} rows repeat the number of another order and were left out.",
        ),
        (
            rows["order_ids_that_disagree"],
            "{n} repeated order number comes with different customers, times or values; the earliest row was kept.",
            "{n} repeated order numbers come with different customers, times or values; the earliest row was kept.",
        ),
        (
            rows["conversions_without_user"],
            "{n} order has no customer and stays unattributed.",
            "{n} orders have no customer and stay unattributed.",
        ),
        (
            rows["users_only_after_order"],
            "{n} customer who ordered has touchpoints only after the order. If that is more than you expect, check the"
            " export's time zone.",
            "{n} customers who ordered have touchpoints only after their order. If that is more than you expect, check"
            " the export's time zone.",
        ),
    ]
    found += [text.plural(language, one, many, n) for n, one, many in counted if n]
    (first, last), (start, end) = journeys.data_bounds, journeys.bounds
    if first > start - pd.Timedelta(days=journeys.lookback_days) + WEEK:
        found.append(
            _(
                "The touchpoints begin on {first}: the {days} days before the period are not all there, and the"
                " journeys of its first orders are cut short."
            ).format(first=text.date(first, language), days=days)
        )
    if last < end - WEEK:
        found.append(
            _("The touchpoints end on {last}, before the period does: what followed is missing.").format(
                last=text.date(last, language)
            )
        )
    if states.loc["converted", "conversions"] == 0 and states.loc["unattributed", "conversions"] > 0:
        found.append(
            _("No order follows a touchpoint: check that both tables call customers by the same id, and the time zone.")
        )
    return found


def credit(result, language: str, currency: str | None = None) -> list[str]:
    """Return sentences on who gets the credit, how sure that is, and what it is not."""
    _ = text.translator(language)
    states = result.journeys.set_index("state")
    total, value = states["conversions"].sum(), states["value"].sum()
    if result.status == "no_conversions":
        return [_("No conversion in the period: there is nothing to credit, and no removal effect can be computed.")]
    worth = text.number(value, language) if currency is None else text.money(round(value * 100), currency, language)
    unattributed = states.loc[UNATTRIBUTED, "conversions"]
    if result.status == "nothing_attributed":
        return [
            _(
                "No conversion of the period ({n}, worth {value}) follows a touchpoint: all are unattributed, and no"
                " channel can be credited."
            ).format(n=count(total, language), value=worth)
        ]
    found = [
        _(
            "{share} of {n} conversions worth {value} follow at least one touchpoint and are shared among the channels;"
            " {unattributed} follow none and stay unattributed."
        ).format(
            share=text.percent(1 - unattributed / total, language),
            n=count(total, language),
            value=worth,
            unattributed=count(unattributed, language),
        )
    ]
    credited = result.table[result.table["channel"] != UNATTRIBUTED]
    wide = result.wide().set_index("channel").drop(UNATTRIBUTED)
    markov = credited[credited["model"] == "markov"]
    leader = markov.loc[markov["conversions"].idxmax()]
    found.append(
        _(
            "Most credit goes to {channel}: {credit} conversions by Markov (90% interval {low} to {high}), {last} by"
            " last touchpoint. In {share} of the resamples of the customers it comes first."
        ).format(
            channel=text.label(leader["channel"], language),
            credit=count(leader["conversions"], language),
            low=count(leader["low"], language),
            high=count(leader["high"], language),
            last=count(wide.loc[leader["channel"], "last"], language),
            share=text.percent(result.leader_share, language, decimals=0),
        )
    )
    if len(wide) > 1:
        spread = (wide.max(axis=1) - wide.min(axis=1)).idxmax()
        least, most = wide.loc[spread].idxmin(), wide.loc[spread].idxmax()
        found.append(
            _(
                "The rule matters most for {channel}: from {least} conversions ({least_model}) to {most}"
                " ({most_model})."
            ).format(
                channel=text.label(spread, language),
                least=count(wide.loc[spread, least], language),
                least_model=text.label(least, language),
                most=count(wide.loc[spread, most], language),
                most_model=text.label(most, language),
            )
        )
    if result.status == "few_conversions":
        found.append(
            _("Only {n} conversions can be shared: too few for a ranking. Read the intervals, not the figures.").format(
                n=count(total - unattributed, language)
            )
        )
    if not result.has_nulls:
        found.append(
            _(
                "No journey without a conversion was seen: the removal effects compare conversions only, and say"
                " nothing of channels whose contacts do not buy."
            )
        )
    found.append(
        _(
            "Credit shares out the conversions that were seen, by a rule. It does not say which of them would not have"
            " come without a channel: that takes the regression or an experiment."
        )
    )
    return found


def on_order(choice: pd.DataFrame, order: int, language: str) -> list[str]:
    """Say which order of the chain predicts unseen customers best, and whether it is the one in use.

    Parameters
    ----------
    choice : DataFrame
        As `order_choice` returns it.
    order : int
        In use.
    language : {"en", "it"}
    """
    _ = text.translator(language)
    preferred = choice[choice["preferred"]]
    if not len(preferred):
        return [_("No journey has ended: the order of the Markov chain cannot be examined.")]
    best = int(preferred["order"].iloc[0])
    if best == order:
        return [
            _("Customers whom the chain has not seen are predicted best at order {order}, the one in use.").format(
                order=order
            )
        ]
    used = choice[choice["order"] == order]
    if not len(used):
        return [
            _(
                "Customers whom the chain has not seen are predicted best at order {best}; order {order} is in use."
            ).format(best=best, order=order)
        ]
    return [
        _(
            "Customers whom the chain has not seen are predicted best at order {best}, by {gain} in logarithm for each"
            " journey (standard error {error}); order {order} is in use. The band holds both."
        ).format(
            best=best,
            order=order,
            gain=text.number(float(preferred["difference"].iloc[0] - used["difference"].iloc[0]), language, 4),
            error=text.number(float(used["standard_error"].iloc[0]), language, 4),
        )
    ]
