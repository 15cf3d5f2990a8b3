"""Small charts side by side, one for each group: curves with their bands, told apart where nobody has looked yet."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from kpitoolkit import text
from kpitoolkit.plots import canvas
from kpitoolkit.plots.canvas import BLUE, DARK

_ACROSS = 3
_HEIGHT, _WIDEST, _GAP_ACROSS, _GAP_DOWN = 1.25, 0.62, 0.05, 0.42


def panels(
    frame: pd.DataFrame,
    x: str,
    value: str,
    group: str,
    words: tuple[str, str, str],
    *,
    low: str,
    high: str,
    solid: str,
    points: pd.DataFrame | None = None,
    points_label: str = "",
    ax: Axes | None = None,
    language: str = "en",
    value_format: str = "number",
    title: str | None = None,
    heading: str = "",
    currency: str = "EUR",
) -> Axes:
    """Draw one curve a panel with its band, three panels a row, all on one vertical scale.

    Parameters
    ----------
    frame : DataFrame
        Tidy: numeric columns `x`, `value`, `low`, `high`; `group` (a key or a name); `solid` (true or false), where the
        curve is drawn through; elsewhere it is dashed and its band paler.
    words : tuple of str
        What the solid and the dashed curve and the band are, already in the reader's language.
    points : DataFrame, optional
        Rows with `x`, `value` and `group`, drawn as dots: where one stands today; `points_label` says what they are.
    value_format : str
        Of both axes; see `text.figure`.
    heading : str
        What the axes measure, in words; the unit is written behind it.

    Returns
    -------
    Axes
        The frame that holds the panels (its `child_axes`), bare itself.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [0, 1, 2], "y": [0, 2, 3], "l": [0, 1, 1], "h": [0, 3, 5]})
    >>> frame["seen"] = frame["x"] < 2
    >>> words = ("as observed", "beyond", "90%")
    >>> ax = panels(frame.assign(of="web"), "x", "y", "of", words, low="l", high="h", solid="seen")
    >>> [panel.get_title(loc="left") for panel in ax.child_axes]
    ['Web']
    """
    groups = canvas.ordered(frame[group])
    down, across = max(1, math.ceil(len(groups) / _ACROSS)), min(_ACROSS, max(1, len(groups)))
    data = frame.assign(**{name: canvas.floats(frame[name]) for name in (x, value, low, high)})
    top = _top(data, value, high)
    with canvas.style():
        ax = canvas.axes(ax, down * _HEIGHT + (down - 1) * _GAP_DOWN + 0.85)
        ax.set_axis_off()
        gap = _GAP_DOWN / (down * _HEIGHT + (down - 1) * _GAP_DOWN)
        width = min(_WIDEST, (1 - _GAP_ACROSS * (across - 1)) / across)
        height = (1 - gap * (down - 1)) / down
        unit = ""
        for place, name in enumerate(groups):
            column, row = place % across, place // across
            corner = (column * (width + _GAP_ACROSS), 1 - height - row * (height + gap))
            panel = ax.inset_axes([*corner, width, height])
            own = data[data[group] == name].sort_values(x)
            seen = own[own[solid].astype(bool)]
            panel.fill_between(own[x], own[low], own[high].clip(upper=2 * top), color=BLUE, alpha=0.10, linewidth=0)
            panel.fill_between(seen[x], seen[low], seen[high].clip(upper=2 * top), color=BLUE, alpha=0.16, linewidth=0)
            panel.plot(own[x], own[value], color=BLUE, linewidth=1.2, linestyle=(0, (3, 2)))
            panel.plot(seen[x], seen[value], color=BLUE, linewidth=2)
            if points is not None:
                spot = points[points[group] == name]
                look = {"color": DARK, "markersize": 5, "markeredgecolor": "white", "zorder": 4}
                panel.plot(canvas.floats(spot[x]), canvas.floats(spot[value]), "o", **look)
            panel.set_xlim(own[x].min(), own[x].max())
            panel.set_ylim(0, top)
            shown = text.capitalised(canvas.wrapped(text.label(str(name), language), 26))
            panel.set_title(shown, loc="left", fontsize=8.5, color=DARK, pad=3)
            unit = canvas.write_ticks(panel.yaxis, top, value_format, language, currency)
            canvas.write_ticks(panel.xaxis, top, value_format, language, currency)
            panel.set_xticks(_clear_of_the_next(*panel.get_xlim()))
            panel.yaxis.set_major_locator(MaxNLocator(4))
            panel.tick_params(labelsize=7.5, pad=2, labelleft=column == 0)
            panel.yaxis.grid(True)
            panel.set_axisbelow(True)
            panel.spines["left"].set_visible(False)
        handles = [
            Line2D([], [], color=BLUE, linewidth=2, label=words[0]),
            Line2D([], [], color=BLUE, linewidth=1.2, linestyle=(0, (3, 2)), label=words[1]),
            Patch(color=BLUE, alpha=0.2, label=words[2]),
        ]
        if points is not None:
            look = {"marker": "o", "markersize": 5, "linestyle": "", "color": DARK}
            handles.append(Line2D([], [], label=points_label, **look))
        figure = ax.get_figure(root=True)
        raised = ax.transAxes + ScaledTranslation(0, 22 / 72, figure.dpi_scale_trans)
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "bbox_transform": raised, "borderaxespad": 0.0}
        look = {"fontsize": 8, "handlelength": 1.6, "columnspacing": 1.4, "borderpad": 0.0, "handletextpad": 0.5}
        ax.legend(handles=handles, ncols=len(handles), **place, **look)
        written = " · ".join(part for part in (heading, unit) if part)
        return canvas.finish(ax, title, written, above_points=38)


def _clear_of_the_next(left: float, right: float) -> list[float]:
    """Ticks that end before the panel does, so that their figures do not touch those of the next one."""
    ticks = MaxNLocator(4).tick_values(left, right)
    return [tick for tick in ticks if left <= tick <= left + 0.9 * (right - left)]


def _top(data: pd.DataFrame, value: str, high: str) -> float:
    """Where the vertical scale ends: above every curve, and above bands that are not out of all proportion."""
    highest = float(np.nanmax([*data[value], 0.0])) or 1.0
    return 1.05 * min(float(np.nanmax([*data[high], highest])), 2 * highest)
