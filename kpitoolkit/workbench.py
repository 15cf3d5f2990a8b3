"""The analyst's workbench: widgets over the same functions that the notebooks call. It wires; it computes nothing."""

import io
from collections.abc import Callable
from functools import cache

import ipywidgets as widgets
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from kpitoolkit import attribution, pages, parameters, plots, regression, tables, text
from kpitoolkit.attribution.models import MODELS
from kpitoolkit.errors import ToolkitError
from kpitoolkit.parameters import Case
from kpitoolkit.reconciliation.catalogue import read as read_catalogue
from kpitoolkit.reconciliation.drivers import Drivers, drivers
from kpitoolkit.reconciliation.measures import compute

WIDTH = "760px"
STEPS_OF_A_SLIDER = 40
MEASURED = ("ledger", "orders", "customers", "ad_spend", "platform_claims", "financials", "fx_rates")

Shown = tuple[list[str], Callable[[], Axes] | None]


def unit_picker(case: Case, unit: str, language: str = "en") -> widgets.Dropdown:
    """Return the choice of a business unit that all panels follow.

    Parameters
    ----------
    case : Case
    unit : str
        The first one shown.
    language : {"en", "it"}

    Returns
    -------
    Dropdown
        Its value is the unit's key.
    """
    names = [(stated.unit_name.get(language, key), key) for key, stated in case.units.items()]
    return widgets.Dropdown(options=names, value=unit, description=text.label("unit", language), **_layout())


def attribution_panel(case: Case, units: widgets.Dropdown, language: str = "en") -> widgets.VBox:
    """Return the choice of a rule and a look-back, with the credit of each channel under them.

    Parameters
    ----------
    case : Case
    units : Dropdown
        From `unit_picker`.
    language : {"en", "it"}

    Returns
    -------
    VBox
    """
    _ = text.translator(language)
    rules = [(text.label(model, language), model) for model in MODELS]
    model = widgets.Dropdown(options=rules, value="markov", description=_("Rule"), **_layout())
    lookback = widgets.IntSlider(min=1, max=90, description=_("Look-back, days"), **_slider())

    @cache
    def read(unit):
        return tables.read(parameters.workspace_of(case, case.units[unit]), ["touchpoints", "orders"])

    @cache
    def credit(unit, days):
        stated, found = case.units[unit], read(unit)
        orders = attribution.conversions_from_orders(found["orders"])
        period = parameters.quarter_bounds(stated.quarter, stated.timezone)
        seen = attribution.journeys(found["touchpoints"], orders, days, period)
        return attribution.attribute(seen, half_life_days=stated.half_life_days)

    def show() -> Shown:
        missing = _undeclared(case, units.value, ["touchpoints", "orders"], language)
        if missing:
            return missing, None
        result = credit(units.value, lookback.value)
        sentences = result.findings(language, case.units[units.value].currency)
        return sentences, lambda: result.plot(language=language, models=(model.value,))

    def start():
        lookback.value = case.units[units.value].lookback_days

    return _panel([model, lookback], units, start, show, language)[0]


def spend_panel(case: Case, units: widgets.Dropdown, language: str = "en") -> widgets.VBox:
    """Return a slider for the spend on each channel, with the modelled revenue that goes with it.

    A slider reaches as far as the channel's spend (with its carry-over) was observed; it starts at the window's mean.

    Parameters
    ----------
    case : Case
    units : Dropdown
        From `unit_picker`.
    language : {"en", "it"}

    Returns
    -------
    VBox
    """
    sliders: dict[str, widgets.FloatSlider] = {}
    column = widgets.VBox()

    @cache
    def fitted(unit):
        stated = case.units[unit]
        found = regression.inputs(
            parameters.workspace_of(case, stated),
            stated.quarter,
            stated.frequency,
            periods=stated.regression_periods,
            currency=stated.currency,
            accounts=stated.accounts,
            platforms_including_vat=stated.platforms_including_vat,
            basis=stated.basis,
            group_currency=stated.group_currency,
        )
        columns = (found.table, found.channels, found.controls, found.frequency)
        return regression.fit(
            *columns,
            stated.contribution_margin_share,
            currency=stated.currency,
            priors=stated.regression_priors,
            adstock=stated.regression_adstock,
            saturation=stated.regression_saturation,
            lift_tests=found.lift_tests.entered,
            draft=True,
        )

    def start():
        sliders.clear()
        column.children = ()
        result = fitted(units.value)
        observed = result.curves[result.curves["range"] == "observed"].groupby("channel")["spend"].max()
        for channel, spend in mean_spend(result).items():
            highest = max(float(observed.get(channel, 0)), spend)
            name, step = text.label(channel, language), highest / STEPS_OF_A_SLIDER
            look = {"readout_format": ",.0f" if language == "en" else ".0f", "description": name, **_slider()}
            sliders[channel] = widgets.FloatSlider(value=spend, max=highest, step=step, **look)
            sliders[channel].observe(lambda _change: update(), names="value")
        column.children = tuple(sliders.values())

    def show() -> Shown:
        result, usual = fitted(units.value), mean_spend(fitted(units.value))
        if not usual:
            return result.findings(language), None
        chosen = {channel: slider.value for channel, slider in sliders.items()}
        share = case.units[units.value].contribution_margin_share
        said = spend_sentences(result, chosen, share, language)
        return said, lambda: plot_contributions(result, chosen, language)

    panel, update = _panel([column], units, start, show, language)
    return panel


def mean_spend(result: regression.Regression) -> dict[str, float]:
    """Return the mean spend per period of each channel that could be fitted, in currency units."""
    known = result.table.dropna(subset="ceiling").set_index("channel")["spend"]
    return {channel: float(spend) / result.periods for channel, spend in known.items()}


def spend_sentences(
    result: regression.Regression, chosen: dict[str, float], contribution_margin_share: float, language: str
) -> list[str]:
    """Say what the model expects of a spend per channel and period, beside the window's mean."""
    _ = text.translator(language)
    usual = mean_spend(result)
    before, after = regression.predict(result, usual), regression.predict(result, chosen)
    spent = sum(chosen.values()) - sum(usual.values())

    def money(amount, signed=False):
        return text.money(round(amount * 100), result.currency, language, signed=signed)

    by_frequency = {
        "week": _("Modelled revenue a week: {revenue}, against {usual} at the window's mean spend ({change})."),
        "quarter": _("Modelled revenue a quarter: {revenue}, against {usual} at the window's mean spend ({change})."),
    }
    sentence = by_frequency[result.frequency]
    said = [sentence.format(revenue=money(after), usual=money(before), change=money(after - before, signed=True))]
    sentence = _("Spend: {spend} ({change}); change of contribution margin after spend: {margin}.")
    margin = contribution_margin_share * (after - before) - spent
    amounts = {"spend": money(sum(chosen.values())), "change": money(spent, signed=True)}
    said.append(sentence.format(margin=money(margin, signed=True), **amounts))
    said.append(_("Modelled is not caused: a draft, at constant spend, within what was observed."))
    return said


def plot_contributions(result: regression.Regression, chosen: dict[str, float], language: str) -> Axes:
    """Draw each channel's modelled revenue per period, at the window's mean spend and at the chosen one."""
    baseline = regression.predict(result, {})
    rows = [
        {
            "channel": channel,
            "budget": budget,
            "contribution": 100 * (regression.predict(result, {channel: x}) - baseline),
        }
        for budget, spend in (("mean_spend", mean_spend(result)), ("chosen_spend", chosen))
        for channel, x in spend.items()
    ]
    look = {"language": language, "value_format": "money", "currency": result.currency}
    title = text.translator(language)("Modelled revenue of each channel (draft)")
    return plots.bars(pd.DataFrame(rows), "channel", "contribution", group="budget", title=title, **look)


def bridge_panel(case: Case, units: widgets.Dropdown, language: str = "en") -> widgets.VBox:
    """Return the choice of a KPI and two quarters, with the exact bridge from one to the other.

    Parameters
    ----------
    case : Case
    units : Dropdown
        From `unit_picker`.
    language : {"en", "it"}

    Returns
    -------
    VBox
    """
    _ = text.translator(language)
    kpi = widgets.Dropdown(description=_("KPI"), **_layout())
    earlier = widgets.Dropdown(description=_("From"), **_layout())
    later = widgets.Dropdown(description=_("To"), **_layout())

    @cache
    def measured(unit):
        stated = case.units[unit]
        place = parameters.workspace_of(case, stated)
        names = [name for name in MEASURED if name in tables.declared(place)]
        found = tables.read(place, names)
        currencies = (stated.currency, stated.group_currency)
        table = compute(found, *currencies, stated.accounts, place.unit_in_data, stated.basis, stated.timezone)
        return table, tables.declared(place)

    def moves(unit, quarter, quarters_back) -> Drivers:
        stated, (table, declared) = case.units[unit], measured(unit)
        known = read_catalogue(parameters.catalogue_path(stated.catalogue, case.name, str(case.folder)))
        return drivers(known, table, quarter, declared, stated.currency, quarters_back)

    def start():
        stated = case.units[units.value]
        quarters = sorted(measured(units.value)[0]["quarter"].unique())
        found = moves(units.value, stated.quarter, 4)
        kept, first = kpi.value, found.chosen()
        kpi.options = [
            (f"{getattr(found.names[key], language)}: {text.label(decomposition, language)}", (key, decomposition))
            for key, decomposition in found.bridges
        ]
        kpi.value = kept if kept in found.bridges else first
        for picker, back in ((earlier, -4), (later, 0)):
            picker.options = [(text.quarter(quarter, language), quarter) for quarter in quarters]
            wanted = parameters.shift_quarter(stated.quarter, back)
            picker.value = wanted if wanted in quarters else quarters[-1]

    def show() -> Shown:
        back = quarters_between(earlier.value, later.value)
        if back <= 0 or kpi.value is None:
            return [_("Choose a KPI, and a quarter to start from that is earlier than the other.")], None
        result = moves(units.value, later.value, back).bridges[kpi.value]
        drawn = (lambda: result.plot(language=language)) if len(result.table) or result.parts else None
        return result.findings(language), drawn

    return _panel([kpi, earlier, later], units, start, show, language)[0]


def quarters_between(earlier: str | None, later: str | None) -> int:
    """Return how many quarters lie between two; 0 where one is missing.

    Examples
    --------
    >>> quarters_between("2025Q3", "2026Q3")
    4
    """
    if earlier is None or later is None:
        return 0
    return (pd.Period(later, freq="Q") - pd.Period(earlier, freq="Q")).n


def _undeclared(case: Case, unit: str, names: list[str], language: str) -> list[str]:
    declared = tables.declared(parameters.workspace_of(case, case.units[unit]))
    missing = [name for name in names if name not in declared]
    sentence = text.translator(language)("This case declares no table {tables}.")
    return [sentence.format(tables=", ".join(missing))] if missing else []


def _panel(
    controls: list[widgets.Widget],
    units: widgets.Dropdown,
    start: Callable[[], None],
    show: Callable[[], Shown],
    language: str,
) -> tuple[widgets.VBox, Callable[[], None]]:
    """Put controls, sentences and a chart under one another, and keep them in step.

    `start` sets the controls for a unit; `show` says what to write and how to draw it. What a user can mend is written
    where the sentences stand.
    """
    sentences = widgets.HTML()
    chart = widgets.Image(format="png", layout=widgets.Layout(width=WIDTH, max_width="100%"))
    chart.add_class("kt-chart")
    state = {"starting": False}

    def write(said, draw):
        sentences.value = pages.findings(said).html
        chart.value = picture(draw()) if draw else b""
        chart.layout.display = None if draw else "none"

    def update(_change=None):
        if state["starting"]:
            return
        try:
            write(*show())
        except ToolkitError as error:
            write([str(error)], None)

    def restart(_change=None):
        state["starting"] = True
        try:
            start()
        except ToolkitError as error:
            write([str(error)], None)
            return
        finally:
            state["starting"] = False
        update()

    for control in controls:
        if control.has_trait("value"):
            control.observe(update, names="value")
    units.observe(restart, names="value")
    restart()
    return widgets.VBox([*controls, sentences, chart]), update


def picture(ax: Axes) -> bytes:
    """Return a chart as PNG and close its figure."""
    content = io.BytesIO()
    ax.figure.savefig(content, format="png")
    plt.close(ax.figure)
    return content.getvalue()


def _layout() -> dict:
    return {"style": {"description_width": "150px"}, "layout": widgets.Layout(width=WIDTH, max_width="100%")}


def _slider() -> dict:
    return {"continuous_update": False, **_layout()}
