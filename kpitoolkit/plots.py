"""Charts: a tidy table in, Axes out. Knows no model, sets no style on import.

Every function draws into `ax`, or into a figure of its own as wide as a page of ours (7.2 inches, 192 dots an inch:
crisp on paper and on screen, the same bytes on every machine, since the font is the one matplotlib brings). Colour
never stands alone: signs, positions and hatching say the same thing. Names are drawn as they are, never as formulas.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterable
from contextlib import contextmanager

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from babel.dates import format_date
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kpitoolkit import text

DARK, BLUE, ORANGE, GREY, PALE, INK = "#1f2933", "#1f6f8b", "#c1571a", "#7b8794", "#d5dae0", "#3e4c59"
"""Totals and actual figures; better or more; worse or less; undecided; rules and grids; plain words."""

PALETTE = ("#1f6f8b", "#c1571a", "#6b8f3c", "#7a5195", "#b8902f", "#4a6fa5", "#8c4a3c", "#2f9e8f", "#a05a7d", "#5f6b76")
"""Colours of groups, in the order in which the groups first appear."""

WIDTH_INCHES, DOTS_PER_INCH = 7.2, 192
_LABEL_CHARACTERS = 34

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.grid": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": "#e8ebee",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


@contextmanager
def _style():
    with sns.axes_style("white"), plt.rc_context(_STYLE):
        yield


def _axes(ax: Axes | None, height_inches: float) -> Axes:
    if ax is not None:
        return ax
    figure = plt.figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
    return figure.add_subplot()


def _finish(ax: Axes, title: str | None, heading: str = "") -> Axes:
    """Write title and heading on one line, and let no text of these Axes be read as a formula."""
    if title:
        ax.set_title(title, color=DARK, pad=12 + (10 if heading else 0))
    if heading:
        ax.annotate(
            heading, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", color=GREY, fontsize=8
        )
    for artist in ax.findobj(Text):
        artist.set_parse_math(False)
    return ax


def _wrapped(name: str, characters: int = _LABEL_CHARACTERS) -> str:
    lines = textwrap.wrap(" ".join(str(name).split()), characters) or [""]
    return "\n".join(lines[:2]) + (" …" if len(lines) > 2 else "")


def figure_text(value, value_format: str, language: str, currency: str = "EUR", signed: bool = False) -> str:
    """Write a value as readers of a language do.

    Parameters
    ----------
    value : number, string or date
        Missing values are written `no figure`.
    value_format : str
        `number` (as many decimals as its size asks for), `percent` (of a share; one decimal), `money` (of cents; none), or
        these with their decimals (`number2`); `label` (of a key), `text`, `date`, `quarter`.
    language : {"en", "it"}
    currency : str
        ISO code, for `money`.
    signed : bool
        Write + before a positive figure.

    Returns
    -------
    str

    Examples
    --------
    >>> figure_text(1234.5, "number2", "it")
    '1.234,50'
    >>> figure_text(0.0412, "percent", "en", signed=True)
    '+4.1%'
    """
    if text.is_missing(value):
        return text.number(None, language)
    if value_format == "label":
        return text.label(str(value), language)
    if value_format == "text":
        return str(value)
    if value_format == "date":
        return text.date(value, language)
    if value_format == "quarter":
        return text.quarter(str(value), language)
    kind, digits = value_format.rstrip("0123456789"), value_format[len(value_format.rstrip("0123456789")) :]
    if kind == "number":
        return text.number(value, language, decimals=int(digits) if digits else _decimals(value), signed=signed)
    if kind == "percent":
        return text.percent(value, language, decimals=int(digits) if digits else 1, signed=signed)
    if kind == "money":
        return text.money(value, currency, language, decimals=int(digits) if digits else 0, signed=signed)
    raise ValueError(f"value_format {value_format!r} is not one of number, percent, money, label, text, date, quarter.")


def _decimals(value) -> int:
    """Decimals that a figure's size asks for: whole numbers none, 3.6 one, 0.36 two."""
    size = abs(float(value))
    if size == 0 or float(value).is_integer() or size >= 100:
        return 0
    return 1 if size >= 1 else 2 if size >= 0.01 else 4


def _tick_format(axis, value_format: str, language: str, currency: str = "EUR") -> None:
    """Write an axis' figures with the fewest decimals that keep its ticks apart."""

    def write(value, _position):
        if value_format.startswith("percent"):
            return text.percent(value, language, decimals=0 if step() >= 0.01 else 1)
        if value_format.startswith("money"):
            return text.number(value / 100, language, decimals=0)
        step_size = step()
        return text.number(value, language, decimals=0 if step_size >= 1 else 1 if step_size >= 0.1 else 2)

    def step():
        ticks = axis.get_majorticklocs()
        return abs(ticks[1] - ticks[0]) if len(ticks) > 1 else 1.0

    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(write))


def _scale(largest: float, language: str, unit: str) -> tuple[float, int, str]:
    """Divisor, decimals and heading that suit the largest figure of a chart."""
    _ = text.translator(language)
    if largest >= 100e6:
        return 1e6, 1, _("million {unit}").format(unit=unit) if unit else _("million")
    if largest >= 100e3:
        return 1e3, 0 if largest >= 1e6 else 1, _("thousand {unit}").format(unit=unit) if unit else _("thousand")
    if largest >= 1e3 or largest == 0:
        return 1.0, 0, unit
    return 1.0, 2 if largest < 100 else 1, unit


def _signed_text(value: float, decimals: int, language: str, signed: bool) -> str:
    """A figure with the chart's decimals; with more where it would be rounded to nothing."""
    if value and abs(value) < 0.5 * 10**-decimals:
        decimals = min(6, math.ceil(-math.log10(abs(value))))
    return text.number(value, language, decimals=decimals, signed=signed and bool(value))


def waterfall(
    table: pd.DataFrame,
    value: str = "amount_cents",
    ax: Axes | None = None,
    language: str = "en",
    *,
    currency: str = "EUR",
    title: str | None = None,
    value_format: str | None = None,
) -> Axes:
    """Draw a bridge as a horizontal waterfall in the IBCS notation.

    Totals are dark and start at zero, increases blue, decreases orange, what is unexplained hatched; each figure is
    written beside its bar with its sign, at one scale that the heading states once. Steps that were not examined are
    listed under the chart, not drawn.

    Parameters
    ----------
    table : DataFrame
        A bridge: `position`, `step`, `kind` (`total`, `step`, `unexplained`, `not_examined`) and `value`.
    value : {"amount_cents", "amount"}
        Column of the amounts: integer cents, or floats in the unit of the figure.
    ax : Axes, optional
    language : {"en", "it"}
    currency : str
        Unit of the heading; empty for a plain count.
    title : str, optional
    value_format : {"money", "number", "percent"}, optional
        `percent` writes the amounts of a ratio as percentages. Default: `money`.

    Returns
    -------
    Axes

    Examples
    --------
    >>> bridge = pd.DataFrame({"position": [0, 1, 2], "step": ["claimed", "view_through", "matched_gross"],
    ...                        "kind": ["total", "step", "total"], "amount_cents": [1_000_00, -400_00, 600_00]})
    >>> ax = waterfall(bridge)
    >>> len(ax.patches)
    3
    """
    table = table.sort_values("position", kind="stable")
    drawn = table[table["kind"] != "not_examined"].reset_index(drop=True)
    amounts = drawn[value].astype("Float64").fillna(0).astype(float).to_numpy()
    amounts = amounts / 100 if value == "amount_cents" else amounts
    percent = value_format == "percent"
    if percent:
        divisor, decimals, heading = 0.01, 1, "%"
    else:
        levels = np.abs(amounts).max(initial=0.0)
        divisor, decimals, heading = _scale(levels, language, currency if value_format in (None, "money") else "")
    amounts = amounts / divisor
    starts, ends, level = [], [], 0.0
    for kind, amount in zip(drawn["kind"], amounts, strict=True):
        start = 0.0 if kind == "total" else level
        level = amount if kind == "total" else level + amount
        starts.append(start)
        ends.append(level)
    names = [_wrapped(text.label(step, language)) for step in drawn["step"]]
    heights = np.array([1.45 if "\n" in name else 1.0 for name in names])
    centres = np.cumsum(heights) - heights / 2
    with _style():
        ax = _axes(ax, max(1.2, 0.215 * heights.sum() + 0.5))
        rows = zip(drawn["kind"], amounts, starts, ends, centres, names, strict=True)
        labels = []
        for position, (kind, amount, start, end, centre, _name) in enumerate(rows):
            total, left, right = kind == "total", min(start, end), max(start, end)
            colour = DARK if total else BLUE if amount >= 0 else ORANGE
            hatched = {"facecolor": "white", "edgecolor": colour, "hatch": "/////", "linewidth": 0.8}
            look = hatched if kind == "unexplained" else {"facecolor": colour, "edgecolor": colour, "linewidth": 0.5}
            ax.barh(centre, right - left, left=left, height=0.66, zorder=2, **look)
            if position + 1 < len(names):
                ax.plot([end, end], [centre + 0.33, centres[position + 1] - 0.33], color=GREY, linewidth=0.5, zorder=1)
            weight = "bold" if total else "normal"
            written = _signed_text(amount, decimals, language, signed=not total)
            labels.append(
                ax.annotate(written, (right, centre), (4, 0), textcoords="offset points", va="center", color=colour)
            )
            labels[-1].set_fontweight(weight)
        ax.set_yticks(centres, names)
        for tick, kind in zip(ax.get_yticklabels(), drawn["kind"], strict=True):
            tick.set_fontweight("bold" if kind == "total" else "normal")
            tick.set_color(DARK if kind == "total" else INK)
        _left_aligned(ax, indents=[0 if kind == "total" else 8 for kind in drawn["kind"]])
        ax.set_ylim(heights.sum() + 0.1, -0.1)
        ax.axvline(0, color=DARK, linewidth=0.7, zorder=3)
        _room_for_labels(ax, starts + ends, labels)
        ax.set_xticks([])
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        missing = [text.label(step, language) for step in table.loc[table["kind"] == "not_examined", "step"]]
        if missing:
            _ = text.translator(language)
            note = textwrap.fill(_("Not examined: {steps}.").format(steps=", ".join(missing)), 110)
            ax.set_xlabel(note, loc="left", color=GREY, fontsize=8, labelpad=5)
            ax.xaxis.label.set_horizontalalignment("left")
        return _finish(ax, title, heading)


def _text_inches(artist: Text) -> float:
    return artist.get_window_extent().width / artist.get_figure().dpi


def _left_aligned(ax: Axes, indents: list[float] | None = None) -> None:
    """Set row names flush left, as in a table, the steps indented (points)."""
    ticks = ax.get_yticklabels()
    widths = [_text_inches(tick) * 72 for tick in ticks]
    indents = indents or [0] * len(ticks)
    pad = max((width + indent for width, indent in zip(widths, indents, strict=True)), default=0) + 8
    ax.tick_params(axis="y", pad=pad)
    for tick, indent in zip(ticks, indents, strict=True):
        tick.set_horizontalalignment("left")
        if indent:
            tick.set_text("\u2003" + tick.get_text().replace("\n", "\n\u2003"))
    ax.set_yticks(ax.get_yticks(), [tick.get_text() for tick in ticks])


def _room_for_labels(ax: Axes, values: Iterable[float], labels: list[Text]) -> None:
    """Widen the axis so that figures to the right of their bars stay inside: hi >= lo + (x - lo) * W / (W - label)."""
    low, high = min(0.0, *values), max(0.0, *values)
    if low == high:
        high = low + 1
    ax.figure.draw_without_rendering() if ax.figure.get_layout_engine() is not None else None
    width = max(1.0, ax.get_window_extent().width / ax.figure.dpi)
    high_needed = high
    for label in labels:
        taken = min(0.8 * width, _text_inches(label) + 6 / 72)
        high_needed = max(high_needed, low + (label.xy[0] - low) * width / (width - taken))
    ax.set_xlim(low - 0.004 * (high - low), high_needed)


def intervals(
    frame: pd.DataFrame,
    label: str,
    value: str,
    low: str,
    high: str,
    *,
    reference: float | None = None,
    reference_label: str | None = None,
    ax: Axes | None = None,
    language: str = "en",
    value_format: str = "number",
    title: str | None = None,
    currency: str = "EUR",
) -> Axes:
    """Draw a dot and its interval per row, the figures written at the right: `3.6 (2.7 – 4.6)`.

    With a reference (a break-even, a target) an interval above it is blue, one below orange, one that straddles it grey
    and hollow.

    Parameters
    ----------
    frame : DataFrame
        One row a line; columns `label` (a key or a name), `value`, `low`, `high` (may be missing).
    reference : float, optional
        Where the dashed line stands.
    reference_label : str, optional
        Its words, already in the reader's language.
    value_format : str
        See `figure_text`.

    Returns
    -------
    Axes
    """
    names = [_wrapped(text.label(str(name), language)) for name in frame[label]]
    rows = np.arange(len(frame))
    with _style():
        ax = _axes(ax, 0.27 * max(1, len(frame)) + 0.75)
        for row, (_index, line) in zip(rows, frame.iterrows(), strict=True):
            middle, lowest, highest = (None if text.is_missing(line[c]) else float(line[c]) for c in (value, low, high))
            known = lowest is not None and highest is not None
            colour, filled = DARK, True
            if reference is not None and known:
                above, below = lowest > reference, highest < reference
                colour, filled = (BLUE, True) if above else (ORANGE, True) if below else (GREY, False)
            if known:
                ax.plot([lowest, highest], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=2)
            if middle is not None:
                face = colour if filled else "white"
                ax.plot(middle, row, "o", markersize=6, color=colour, markerfacecolor=face, zorder=3)
            written = figure_text(middle, value_format, language, currency)
            across = ax.get_yaxis_transform()
            ax.text(1.12, row, written, transform=across, ha="right", va="center", color=DARK, fontweight="bold")
            if known:
                bounds = " – ".join(figure_text(bound, value_format, language, currency) for bound in (lowest, highest))
                ax.text(1.13, row, f"({bounds})", transform=across, ha="left", va="center", color=GREY)
        ax.set_yticks(rows, names)
        _left_aligned(ax)
        ax.set_ylim(len(frame) - 0.4, -0.6)
        if reference is not None:
            ax.axvline(reference, color=DARK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            if reference_label:
                ax.annotate(
                    reference_label,
                    (reference, 1),
                    (0, 3),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    color=INK,
                    fontsize=8,
                )
        ax.margins(x=0.04)
        ax.spines["left"].set_visible(False)
        ax.xaxis.grid(True)
        ax.set_axisbelow(True)
        _tick_format(ax.xaxis, value_format, language, currency)
        if title:
            ax.set_title(title, color=DARK, pad=18 if reference_label else 8)
        return _finish(ax, None)


def _order(values: pd.Series) -> list:
    return list(pd.unique(values.dropna()))


def bars(
    frame: pd.DataFrame,
    label: str,
    value: str,
    group: str | None = None,
    *,
    low: str | None = None,
    high: str | None = None,
    ax: Axes | None = None,
    language: str = "en",
    value_format: str = "number",
    title: str | None = None,
    currency: str = "EUR",
) -> Axes:
    """Draw horizontal bars, side by side within a row where there are groups, each figure written at its end.

    Parameters
    ----------
    frame : DataFrame
        Tidy: one row a bar; columns `label` (a key or a name), `value`, optionally `group`, `low` and `high`.
    value_format : str
        See `figure_text`.

    Returns
    -------
    Axes
    """
    rows, groups = _order(frame[label]), _order(frame[group]) if group else [None]
    names = [_wrapped(text.label(str(name), language)) for name in rows]
    thickness = 0.8 / len(groups)
    with _style():
        ax = _axes(ax, (0.26 if len(groups) == 1 else 0.1 + 0.15 * len(groups)) * max(1, len(rows)) + 0.7)
        data = frame.assign(**{value: frame[value].astype("Float64").astype(float)})
        look = {"data": data, "x": value, "y": label, "order": rows, "orient": "h", "errorbar": None, "ax": ax}
        if group:
            look |= {"hue": group, "hue_order": groups, "palette": list(_colours(groups).values()), "legend": False}
        else:
            look |= {"color": BLUE}
        sns.barplot(**look, saturation=1, width=0.8 if group else 0.66)
        labels, extremes = [], []
        for _index, line in data.iterrows():
            offset = (groups.index(line[group]) - (len(groups) - 1) / 2) * thickness if group else 0.0
            y, end = rows.index(line[label]) + offset, line[value]
            bounds = (
                [float(line[low]), float(line[high])]
                if low and high and not (text.is_missing(line[low]) or text.is_missing(line[high]))
                else []
            )
            if bounds:
                ax.plot(bounds, [y, y], color=DARK, linewidth=1.1, solid_capstyle="butt", zorder=4)
            right = max([0.0, *bounds, 0.0 if text.is_missing(end) else end])
            extremes += [right, min([0.0, *bounds, 0.0 if text.is_missing(end) else end])]
            written = figure_text(end, value_format, language, currency)
            size = 8.5 if len(groups) < 3 else 7
            labels.append(
                ax.annotate(
                    written, (right, y), (4, 0), textcoords="offset points", va="center", fontsize=size, color=INK
                )
            )
        ax.set_yticks(range(len(rows)), names)
        _left_aligned(ax)
        ax.set_ylim(len(rows) - 0.45, -0.55)
        ax.set_xlabel("")
        ax.set_ylabel("")
        ax.axvline(0, color=DARK, linewidth=0.7, zorder=3)
        _room_for_labels(ax, [0.0, 0.0, *extremes], labels)
        ax.set_xticks([])
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        if group:
            _legend(ax, [text.label(str(name), language) for name in groups], list(_colours(groups).values()))
        return _finish(ax, title)


def _colours(groups: list) -> dict:
    return {name: PALETTE[position % len(PALETTE)] for position, name in enumerate(groups)}


def _legend(ax: Axes, names: list[str], colours: list[str], **options) -> None:
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    place = {"loc": "upper left", "bbox_to_anchor": (0, 0), "ncols": min(4, len(names)), "borderaxespad": 0.4}
    ax.legend(handles, [_wrapped(name) for name in names], **(place | options), handlelength=1, fontsize=8)


def _time_axis(ax: Axes, x: pd.Series, language: str, value_format: str = "number") -> None:
    if pd.api.types.is_datetime64_any_dtype(x):
        locator = mdates.AutoDateLocator(minticks=3, maxticks=7)
        ax.xaxis.set_major_locator(locator)
        pattern = "MMM yy" if (x.max() - x.min()).days > 120 else "d MMM"
        ax.xaxis.set_major_formatter(
            FuncFormatter(lambda day, _p: format_date(mdates.num2date(day).date(), pattern, locale=language))
        )
    elif not pd.api.types.is_numeric_dtype(x):
        names = list(pd.unique(x))
        every = max(1, math.ceil(len(names) / 8))
        shown = range((len(names) - 1) % every, len(names), every)
        ax.set_xticks(list(shown), [text.quarter(str(names[i]), language) for i in shown])
    else:
        _tick_format(ax.xaxis, value_format, language)


def _positions(x: pd.Series, names: list | None = None) -> pd.Series:
    """Numbers and dates as they are; names (quarters) by their order."""
    if pd.api.types.is_numeric_dtype(x) or pd.api.types.is_datetime64_any_dtype(x):
        return x
    order = {name: place for place, name in enumerate(names if names is not None else pd.unique(x))}
    return x.map(order)


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
    title: str | None = None,
    x_format: str = "number",
    currency: str = "EUR",
) -> Axes:
    """Draw lines over time or over spend, each named at its right end.

    Parameters
    ----------
    frame : DataFrame
        Tidy: columns `x` (dates, numbers or quarters), `value`, optionally `group`.
    dashed : str or list of str, optional
        Groups drawn with dashes.
    points : DataFrame, optional
        Rows with the same columns drawn as dots (today's spend on its curve), in their group's colour.
    value_format, x_format : str
        See `figure_text`.

    Returns
    -------
    Axes
    """
    dashed = [dashed] if isinstance(dashed, str) else list(dashed or [])
    groups = _order(frame[group]) if group else [None]
    colours = _colours(groups) if group else {None: BLUE}
    order = list(pd.unique(frame[x]))
    with _style():
        ax = _axes(ax, 2.9)
        places, names = [], []
        for name in groups:
            rows = frame if name is None else frame[frame[group] == name]
            data = pd.DataFrame(
                {"x": _positions(rows[x], order), "y": rows[value].astype("Float64").astype(float)}
            ).sort_values("x")
            style = (0, (4, 2)) if name in dashed else "-"
            sns.lineplot(
                data=data, x="x", y="y", ax=ax, color=colours[name], linewidth=1.5, linestyle=style, errorbar=None
            )
            known = data.dropna()
            if name is not None and len(known):
                places.append((known["x"].iloc[-1], known["y"].iloc[-1], colours[name]))
                names.append(_wrapped(text.label(str(name), language), 24))
        if points is not None:
            for _index, line in points.iterrows():
                colour = colours.get(line[group], DARK) if group and group in points else DARK
                at = _positions(points[x], order).loc[_index]
                ax.plot(at, line[value], "o", markersize=5, color=colour, markeredgecolor="white", zorder=4)
        ax.set_xlabel("")
        ax.set_ylabel("")
        ax.yaxis.grid(True)
        ax.set_axisbelow(True)
        ax.spines["left"].set_visible(False)
        if (frame[value].astype("Float64") < 0).any():
            ax.axhline(0, color=DARK, linewidth=0.7)
        _time_axis(ax, frame[x], language, x_format)
        _tick_format(ax.yaxis, value_format, language, currency)
        _name_ends(ax, places, names)
        return _finish(ax, title)


def _name_ends(ax: Axes, places: list[tuple], names: list[str]) -> None:
    """Write each line's name at the right edge, pushed apart where lines end close together."""
    if not names:
        return
    ax.margins(x=0.01)
    low, high = ax.get_ylim()
    height = ax.get_window_extent().height / ax.figure.dpi * 72
    wanted = np.array([(y - low) / (high - low) * height for _x, y, _c in places])
    needed = np.array([10.5 * (name.count("\n") + 1) + 1 for name in names])
    order = np.argsort(wanted)
    settled = wanted.copy()
    for before, here in itertools.pairwise(order):
        settled[here] = max(settled[here], settled[before] + (needed[before] + needed[here]) / 2)
    settled -= max(0.0, (settled.max() - wanted.max()) / 2)
    for (_x, y, colour), name, spot in zip(places, names, settled, strict=True):
        ax.annotate(
            name,
            (1, (y - low) / (high - low)),
            (12, spot - (y - low) / (high - low) * height),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 1},
        )


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

    Parameters
    ----------
    frame : DataFrame
        Tidy: columns `x` (dates, numbers or quarters), `value`, `group`.
    total : str, optional
        Group that is drawn as the line (the actual figure), not stacked; default: the sum of the groups.
    value_format : str
        See `figure_text`.

    Returns
    -------
    Axes
    """
    order = list(pd.unique(frame[x]))
    wide = frame.assign(**{value: frame[value].astype("Float64").astype(float)}).pivot_table(
        index=x, columns=group, values=value, aggfunc="sum", sort=True
    )
    groups = [name for name in _order(frame[group]) if name != total]
    across = _positions(pd.Series(wide.index), order)
    stack = wide[groups].fillna(0)
    line = wide[total] if total is not None else stack.sum(axis=1)
    colours = _colours(groups)
    with _style():
        ax = _axes(ax, 3.1)
        up, down = np.zeros(len(stack)), np.zeros(len(stack))
        for name in groups:
            plus, minus = stack[name].clip(lower=0).to_numpy(), stack[name].clip(upper=0).to_numpy()
            ax.fill_between(across, up, up + plus, color=colours[name], linewidth=0, alpha=0.85)
            ax.fill_between(across, down, down + minus, color=colours[name], linewidth=0, alpha=0.85, hatch="///")
            up, down = up + plus, down + minus
        ax.plot(across, line.to_numpy(), color=DARK, linewidth=1.3)
        ax.axhline(0, color=DARK, linewidth=0.7)
        ax.yaxis.grid(True)
        ax.set_axisbelow(True)
        ax.spines["left"].set_visible(False)
        ax.margins(x=0)
        _time_axis(ax, frame[x], language)
        _tick_format(ax.yaxis, value_format, language, currency)
        names = [text.label(str(name), language) for name in [total if total is not None else "total", *groups[::-1]]]
        _legend(
            ax,
            names,
            [DARK, *[colours[name] for name in groups[::-1]]],
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            ncols=1,
        )
        return _finish(ax, title)
