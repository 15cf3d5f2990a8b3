"""Charts over time or over spend: lines named at their ends, contributions stacked with their total."""

import itertools
import math
from collections.abc import Iterable

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
import seaborn as sns
from babel.dates import format_date
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from kpitoolkit import text
from kpitoolkit.plots import canvas
from kpitoolkit.plots.canvas import BLUE, DARK


def lines(
    frame: pd.DataFrame,
    x: str,
    value: str,
    group: str | None = None,
    *,
    dashed: str | Iterable[str] | None = None,
    points: pd.DataFrame | None = None,
    ax: Axes | None = None,
    language: str = "en",
    value_format: str = "number",
    x_format: str = "number",
    title: str | None = None,
    currency: str = "EUR",
) -> Axes:
    """Draw lines over time or over spend, each named at its right end.

    Parameters
    ----------
    frame : DataFrame
        Tidy: columns `x` (dates, numbers, or quarters in order), `value`, optionally `group`.
    dashed : str or list of str, optional
        Groups drawn with dashes.
    points : DataFrame, optional
        Rows with the same columns, drawn as dots in their group's colour (today's spend on its curve).
    value_format, x_format : str
        See `text.figure`.

    Returns
    -------
    Axes
    """
    dashed = [dashed] if isinstance(dashed, str) else list(dashed or [])
    groups = canvas.ordered(frame[group]) if group else [None]
    palette = canvas.colours(groups) if group else {None: BLUE}
    order = canvas.ordered(frame[x])
    values = canvas.floats(frame[value])
    with canvas.style():
        ax = canvas.axes(ax, 2.8)
        ends = []
        for name in groups:
            own = slice(None) if name is None else frame[group] == name
            data = pd.DataFrame({"x": _places(frame.loc[own, x], order), "y": values[own]}).sort_values("x")
            dash = (0, (4, 2)) if name in dashed else "-"
            look = {"color": palette[name], "linewidth": 1.5, "linestyle": dash, "errorbar": None}
            sns.lineplot(data, x="x", y="y", ax=ax, **look)
            known = data.dropna()
            if name is not None and len(known):
                ends.append((known["y"].iloc[-1], palette[name], canvas.wrapped(text.label(str(name), language), 24)))
        if points is not None:
            spots = zip(_places(points[x], order), canvas.floats(points[value]), range(len(points)), strict=True)
            for across, up, row in spots:
                colour = palette.get(points[group].iloc[row], DARK) if group and group in points else DARK
                ax.plot(across, up, "o", markersize=6, color=colour, markeredgecolor="white", zorder=4)
        ax.set(xlabel="", ylabel="")
        if (values < 0).any():
            ax.axhline(0, color=DARK, linewidth=0.7)
        ax.margins(x=0.01)
        heading = canvas.write_ticks(ax.yaxis, values.abs().max(), value_format, language, currency)
        _write_x(ax, frame[x], order, language, x_format, currency)
        _grid(ax)
        _name_ends(ax, ends)
        return canvas.finish(ax, title, heading)


def areas(
    frame: pd.DataFrame,
    x: str,
    value: str,
    group: str,
    *,
    total: str | None = None,
    ax: Axes | None = None,
    language: str = "en",
    value_format: str = "number",
    title: str | None = None,
    currency: str = "EUR",
) -> Axes:
    """Draw contributions stacked over time: what adds above zero, what takes away below it, and the total as a line.

    The legend lists the groups from the top of the stack.

    Parameters
    ----------
    frame : DataFrame
        Tidy: columns `x` (dates, numbers, or quarters in order), `value`, `group`.
    total : str, optional
        Group that is drawn as the line (the actual figure), not stacked. Default: the sum of the groups.
    value_format : str
        See `text.figure`.

    Returns
    -------
    Axes
    """
    order = canvas.ordered(frame[x])
    groups = [name for name in canvas.ordered(frame[group]) if name != total]
    data = pd.DataFrame({"x": _places(frame[x], order), "group": frame[group], "value": canvas.floats(frame[value])})
    wide = data.pivot_table(index="x", columns="group", values="value", aggfunc="sum").sort_index()
    stack = wide[groups].fillna(0.0)
    line = wide[total] if total is not None else stack.sum(axis=1)
    palette = canvas.colours(groups)
    with canvas.style():
        ax = canvas.axes(ax, 3.0)
        above, below = np.zeros(len(stack)), np.zeros(len(stack))
        for name in groups:
            plus, minus = stack[name].clip(lower=0).to_numpy(), stack[name].clip(upper=0).to_numpy()
            ax.fill_between(stack.index, above, above + plus, color=palette[name], linewidth=0)
            ax.fill_between(stack.index, below, below + minus, color=palette[name], linewidth=0)
            above, below = above + plus, below + minus
        ax.plot(line.index, line.to_numpy(), color=DARK, linewidth=1.2)
        ax.axhline(0, color=DARK, linewidth=0.7)
        ax.margins(x=0)
        heading = canvas.write_ticks(ax.yaxis, np.abs(ax.get_ylim()).max(), value_format, language, currency)
        _write_x(ax, frame[x], order, language, "number", currency)
        _grid(ax)
        handles = [Line2D([], [], color=DARK, label=canvas.wrapped(text.label(total or "total", language), 24))]
        for name in reversed(groups):
            handles.append(Patch(color=palette[name], label=canvas.wrapped(text.label(str(name), language), 24)))
        ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), handlelength=1, fontsize=8)
        return canvas.finish(ax, title, heading)


def _places(x: pd.Series, order: list) -> pd.Series:
    """Numbers and dates as they are; quarters by their order."""
    if pd.api.types.is_numeric_dtype(x) or pd.api.types.is_datetime64_any_dtype(x):
        return x
    return x.map({name: place for place, name in enumerate(order)})


def _write_x(ax: Axes, x: pd.Series, order: list, language: str, x_format: str, currency: str) -> None:
    if pd.api.types.is_datetime64_any_dtype(x):
        pattern = "MMM yy" if (x.max() - x.min()).days > 120 else "d MMM"
        ax.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=3, maxticks=7))
        write = FuncFormatter(lambda day, _: format_date(mdates.num2date(day).date(), pattern, locale=language))
        ax.xaxis.set_major_formatter(write)
    elif pd.api.types.is_numeric_dtype(x):
        heading = canvas.write_ticks(ax.xaxis, x.abs().max(), x_format, language, currency)
        ax.set_xlabel(heading, loc="right", color=canvas.GREY, fontsize=8)
    else:
        every = max(1, math.ceil(len(order) / 8))
        shown = range((len(order) - 1) % every, len(order), every)
        ax.set_xticks([*shown], [text.quarter(str(order[i]), language).replace(" ", "\n") for i in shown], fontsize=8)


def _grid(ax: Axes) -> None:
    ax.yaxis.grid(True)
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)


def _name_ends(ax: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write each line's name right of its end, pushed apart where lines end close together."""
    low, high = ax.get_ylim()
    height = ax.get_window_extent().height / ax.get_figure(root=True).dpi * 72
    wanted = np.array([(end - low) / (high - low) * height for end, _colour, _name in ends])
    needed = np.array([10.5 * (name.count("\n") + 1) + 1 for _end, _colour, name in ends])
    settled, order = wanted.copy(), np.argsort(wanted, kind="stable")
    for before, here in itertools.pairwise(order):
        settled[here] = max(settled[here], settled[before] + (needed[before] + needed[here]) / 2)
    settled -= max(0.0, (settled - wanted).max(initial=0.0) / 2)
    for (_end, colour, name), ideal, spot in zip(ends, wanted, settled, strict=True):
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center", "color": colour}
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 1}
        ax.annotate(name, (1, ideal / height), (12, spot - ideal), arrowprops=leader, **place)
