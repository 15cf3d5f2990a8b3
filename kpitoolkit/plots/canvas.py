"""What all charts share: the look, figures and scales in the reader's language, names that fit.

A chart draws into the Axes it is given, or into a figure of its own as wide as a page of ours (7.2 inches, 192 dots an
inch: crisp on paper and on screen). The font is the one matplotlib brings, so the bytes are the same on every machine.
Colour never stands alone: signs, positions and hatching say the same thing. Names are drawn as they are, never read as
formulas.
"""

import math
import textwrap
from collections.abc import Sequence
from contextlib import contextmanager

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kpitoolkit import text

DARK, BLUE, ORANGE, GREY, INK = "#1f2933", "#1f6f8b", "#c1571a", "#66717d", "#3e4c59"
"""Totals and actual figures; better or more; worse or less; undecided; plain words."""

PALETTE = ("#1f6f8b", "#c1571a", "#6b8f3c", "#7a5195", "#b8902f", "#4a6fa5", "#8c4a3c", "#2f9e8f", "#a05a7d", "#5f6b76")
"""Colours of groups, in the order in which the groups first appear."""

WIDTH_INCHES, DOTS_PER_INCH = 7.2, 192

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
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
def style():
    """Our look, for as long as a chart is drawn; nothing of it stays behind."""
    with sns.axes_style("white"), plt.rc_context(STYLE):
        yield


def axes(ax: Axes | None, height_inches: float) -> Axes:
    """Return the Axes that were given, or new ones as wide as a page."""
    if ax is not None:
        return ax
    figure = plt.figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
    return figure.add_subplot()


def finish(ax: Axes, title: str | None, heading: str = "", left_points: float = 0.0, above_points: float = 5.0) -> Axes:
    """Write the title and, in grey, the heading that states the scale; let no text be read as a formula."""
    at = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom", "annotation_clip": False}
    if heading:
        ax.annotate(heading, (0, 1), (-left_points, above_points), color=GREY, fontsize=8, **at)
        above_points += 13
    if title:
        style_of_title = {"color": DARK, "fontsize": 9.5, "fontweight": "bold"}
        ax.annotate(title, (0, 1), (-left_points, above_points), **style_of_title, **at)
    for artist in ax.findobj(Text):
        artist.set_parse_math(False)
    return ax


def wrapped(name: object, characters: int = 34) -> str:
    """A name on two lines at most."""
    lines = textwrap.wrap(" ".join(str(name).split()), characters) or [""]
    return "\n".join(lines[:2]) + ("…" if len(lines) > 2 else "")


def ordered(values: pd.Series) -> list:
    """Distinct values in the order in which they first appear."""
    return list(pd.unique(values.dropna()))


def colours(groups: Sequence) -> dict:
    """A colour for each group."""
    return {name: PALETTE[position % len(PALETTE)] for position, name in enumerate(groups)}


def floats(values: pd.Series) -> pd.Series:
    """The figures as floats, NaN where there is none."""
    return values.astype("Float64").astype(float)


def text_points(artist: Text) -> float:
    """Width of a text in points."""
    return artist.get_window_extent().width / artist.get_figure(root=True).dpi * 72


def names_on_the_left(ax: Axes, centres: Sequence[float], names: list[str], bold: Sequence[bool] = ()) -> float:
    """Write row names flush left, as a table does; where some are bold, indent the others. Return their width."""
    bold = list(bold) or [False] * len(names)
    if any(bold):
        names = [n if b else "\u2003" + n.replace("\n", "\n\u2003") for n, b in zip(names, bold, strict=True)]
    ax.set_yticks(centres, names)
    for tick, strong in zip(ax.get_yticklabels(), bold, strict=True):
        tick.set_fontweight("bold" if strong else "normal")
        tick.set_color(DARK if strong else INK)
    room = max((text_points(tick) for tick in ax.get_yticklabels()), default=0.0) + 8
    for tick in ax.get_yticklabels():
        tick.set_horizontalalignment("left")
    ax.tick_params(axis="y", pad=room)
    return room


def room_for_figures(ax: Axes, values: Sequence[float], figures: list[Text]) -> None:
    """Widen the x axis so that figures beside their bars stay inside.

    For one at the right ``high >= low + (x - low) / (1 - w)``, at the left ``low <= high - (high - x) / (1 - w)``, with
    w its width over the axis'; the two ends are widened in turn until both hold.
    """
    low, high = min([0.0, *values]), max([0.0, *values])
    high = low + 1 if low == high else high
    if ax.get_figure(root=True).get_layout_engine() is not None:
        ax.get_figure(root=True).draw_without_rendering()
    inside = max(72.0, ax.get_window_extent().width / ax.get_figure(root=True).dpi * 72)
    left = [written.get_horizontalalignment() == "right" for written in figures]
    most = 0.4 if any(left) else 0.8
    widths = [min(most, (text_points(written) + 6) / inside) for written in figures]
    lowest, highest = low, high
    for _turn in range(30 if any(left) else 1):
        for written, width, is_left in zip(figures, widths, left, strict=True):
            if is_left:
                lowest = min(lowest, highest - (highest - written.xy[0]) / (1 - width))
            else:
                highest = max(highest, lowest + (written.xy[0] - lowest) / (1 - width))
    edge = 0.004 * (high - low)
    ax.set_xlim(lowest - edge, highest + edge * any(left))


def scale(largest: float, language: str, unit: str) -> tuple[float, int, str]:
    """Divisor, decimals and heading that suit a chart's largest figure.

    Examples
    --------
    >>> scale(12_411_000, "en", "EUR")
    (1000.0, 0, 'thousand EUR')
    """
    _ = text.translator(language)
    if largest >= 100e6:
        return 1e6, 1, _("million {unit}").format(unit=unit) if unit else _("millions")
    if largest >= 100e3:
        heading = _("thousand {unit}").format(unit=unit) if unit else _("thousands")
        return 1e3, 0 if largest >= 1e6 else 1, heading
    return 1.0, 0 if largest >= 1e3 or largest == 0 else 1 if largest >= 100 else 2, unit


def scaled_text(value: float, decimals: int, language: str, signed: bool) -> str:
    """A figure with its chart's decimals; with more where it would be rounded to nothing."""
    if value and abs(value) < 0.5 * 10**-decimals:
        decimals = min(6, math.ceil(-math.log10(abs(value))))
    return text.number(value, language, decimals, signed)


def write_ticks(axis: Axis, largest: float, value_format: str, language: str, currency: str = "EUR") -> str:
    """Write an axis' figures in the reader's way, large ones in thousands or millions; return the heading to state."""
    axis.set_major_locator(MaxNLocator(5))
    money = value_format.startswith("money")
    divisor, heading = 1.0, ""
    if not value_format.startswith("percent"):
        divisor, _decimals_of_figures, heading = scale(largest / (100 if money else 1), language, currency * money)
        divisor *= 100 if money else 1

    if value_format.startswith("percent"):
        divisor = 0.01

    def write(value, _position):
        ticks = [tick / divisor for tick in axis.get_majorticklocs()]
        apart = max(ticks, default=1.0) - min(ticks, default=0.0) or 1.0
        exact = (d for d in range(5) if all(abs(tick - round(tick, d)) <= 1e-6 * apart for tick in ticks))
        written = text.number(float(value / divisor), language, next(exact, 4))
        return f"{written}%" if value_format.startswith("percent") else written

    axis.set_major_formatter(FuncFormatter(write))
    return heading
