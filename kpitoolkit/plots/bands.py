"""Charts of rows that show how far a figure may be wrong: bands of two depths, one figure against another's claim."""

import itertools
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from kpitoolkit import text
from kpitoolkit.plots import canvas
from kpitoolkit.plots.canvas import BLUE, DARK, GREY, INK, ORANGE

_LIGHT, _DEEP, _PALE, _MIDDLE = "#c9dde4", "#6fa3b5", "#e3e6e9", "#b4bbc2"
_NOTE = 108
_BESIDE = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center_baseline"}


def bands(
    frame: pd.DataFrame,
    label: str,
    value: str,
    inner: tuple[str, str],
    outer: tuple[str, str],
    words: tuple[str, str, str],
    *,
    rank: str | None = None,
    aside: Sequence[str] = (),
    ax: Axes | None = None,
    language: str = "en",
    value_format: str = "number",
    title: str | None = None,
    note: str | None = None,
    currency: str = "EUR",
) -> Axes:
    """Draw a band of two depths and a mark in each row, the figure and the ends of the whole band at the right.

    Parameters
    ----------
    frame : DataFrame
        One row a line, from the top; columns `label` (a key or a name), `value` (the mark), the two bounds `inner`
        (drawn dark) and the two bounds `outer` (drawn light), optionally `rank` (text, or missing).
    words : tuple of str
        What the mark, the dark and the light band are, already in the reader's language.
    aside : sequence of str
        Names drawn in grey: they take no part in the comparison.
    value_format : str
        See `text.figure`.
    note : str, optional
        A sentence under the chart.

    Returns
    -------
    Axes

    Examples
    --------
    >>> rows = pd.DataFrame({"name": ["a", "b"], "at": [5, 3], "l": [4, 2], "h": [6, 3], "ll": [3, 1], "hh": [8, 5]})
    >>> ax = bands(rows, "name", "at", ("l", "h"), ("ll", "hh"), ("today", "by rule", "with chance"))
    >>> [round(bar.get_width()) for bar in ax.patches]
    [5, 2, 4, 1]
    """
    columns = zip("vlhab", [value, *inner, *outer], strict=True)
    data = pd.DataFrame({key: canvas.floats(frame[column]) for key, column in columns}).reset_index(drop=True)
    names, heights, centres = _rows(frame[label], language)
    grey = [name in aside for name in frame[label]]
    with canvas.style():
        ax = canvas.axes(ax, _height(heights, note, 0.75))
        for row, (middle, low, high, lowest, highest) in enumerate(data.itertuples(index=False)):
            looks = (_PALE, _MIDDLE) if grey[row] else (_LIGHT, _DEEP)
            for left, right, height, colour in ((lowest, highest, 0.62, looks[0]), (low, high, 0.3, looks[1])):
                if not np.isnan(left + right):
                    ax.barh(centres[row], right - left, left=left, height=height, color=colour, linewidth=0, zorder=2)
            if not np.isnan(middle):
                ax.plot(middle, centres[row], "o", markersize=6, color=GREY if grey[row] else DARK, zorder=3)
        _figures(ax, centres, data[["v", "a", "b"]], value_format, language, currency)
        ranks = [str(r) if isinstance(r, str) else "" for r in frame[rank]] if rank else []
        left = _left(ax, names, heights, centres, ranks, language)
        ax.set_xlim(min(0.0, np.nanmin([0.0, *data["a"]])), np.nanmax([*data.max(), 0.0]) * 1.02 or 1.0)
        handles = [
            Line2D([], [], marker="o", markersize=6, linestyle="", color=DARK, label=words[0]),
            Patch(color=_DEEP, label=words[1]),
            Patch(color=_LIGHT, label=words[2]),
        ]
        return _closed(ax, handles, left, 14 if any(ranks) else 6, title, note, value_format, language, currency)


def against(
    frame: pd.DataFrame,
    label: str,
    value: str,
    low: str,
    high: str,
    other: str | None,
    words: tuple[str, ...],
    *,
    span: tuple[str, str] | None = None,
    reference: float | None = None,
    reference_label: str | None = None,
    reason: str | None = None,
    ax: Axes | None = None,
    language: str = "en",
    value_format: str = "number2",
    title: str | None = None,
    note: str | None = None,
    currency: str = "EUR",
) -> Axes:
    """Draw a figure with its interval and, joined to it by a line, what somebody else says of the same.

    Parameters
    ----------
    frame : DataFrame
        One row a line, from the top; columns `label` (a key or a name), `value`, `low`, `high`, `other` (any of them
        may be missing) and `reason`: why there is no value, in words, written in place of the figure.
    other : str, optional
        Column of what is said elsewhere; None: nothing is.
    words : tuple of str
        What the mark, the other mark and the span are, already in the reader's language.
    span : tuple of str, optional
        Columns of two bounds beyond the interval, drawn light behind it.
    reference : float, optional
        Where the dashed line stands, with `reference_label` over it.
    value_format : str
        See `text.figure`.
    note : str, optional
        A sentence under the chart.

    Returns
    -------
    Axes

    Examples
    --------
    >>> rows = pd.DataFrame({"name": ["a"], "at": [2.0], "l": [1.5], "h": [2.5], "said": [4.0]})
    >>> ax = against(rows, "name", "at", "l", "h", "said", ("attributed", "claimed"), reference=1.0)
    >>> [artist.get_text() for artist in ax.texts][:3]
    ['2.00', '(1.50 – 2.50)', '4.00']
    """
    given = {"v": value, "l": low, "h": high} | ({"o": other} if other else {})
    data = pd.DataFrame({key: canvas.floats(frame[column]) for key, column in given.items()}).reset_index(drop=True)
    data["o"] = data["o"] if other else np.nan
    wide = pd.DataFrame({end: canvas.floats(frame[column]) for end, column in zip("ab", span or (), strict=False)})
    reasons = list(frame[reason]) if reason else [None] * len(frame)
    names, heights, centres = _rows(frame[label], language)
    with canvas.style():
        ax = canvas.axes(ax, _height(heights, note, 0.8 if other is None or span is None else 0.9))
        for y, (left, right) in zip(centres, wide.itertuples(index=False), strict=False):
            if not np.isnan(left + right):
                ax.barh(y, right - left, left=left, height=0.5, color=_LIGHT, linewidth=0, zorder=1)
        for row, (middle, lowest, highest, said) in enumerate(data.itertuples(index=False)):
            y = centres[row]
            if not np.isnan(middle + said):
                ax.plot([middle, said], [y, y], color=ORANGE, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
            if not np.isnan(lowest + highest):
                ax.plot([lowest, highest], [y, y], color=BLUE, linewidth=4, solid_capstyle="butt", alpha=0.45, zorder=2)
            if not np.isnan(middle):
                ax.plot(middle, y, "o", markersize=6, color=BLUE, zorder=3)
            if not np.isnan(said):
                ax.plot(said, y, "D", markersize=5, color=ORANGE, markerfacecolor="white", zorder=3)
        right = _figures(ax, centres, data[["v", "l", "h"]], value_format, language, currency)
        claimed = [
            ax.annotate(text.figure(said, value_format, language, currency), (1, y), (0, 0), **_BESIDE)
            for y, said in zip(centres, data["o"], strict=True)
            if not np.isnan(said)
        ]
        right += 10 + max([canvas.text_points(figure) for figure in claimed], default=0.0)
        for figure in claimed:
            figure.set(ha="right", x=right, color=ORANGE)
        for row, why in enumerate(reasons):
            if isinstance(why, str) and why:
                ax.annotate(why, (1, centres[row]), (8, 0), color=GREY, **_BESIDE)
        left = _left(ax, names, heights, centres, [], language)
        ends = [*data.to_numpy().ravel(), *wide.to_numpy().ravel(), reference or 0.0]
        ends = [end for end in ends if not np.isnan(end)]
        ax.set_xlim(min(0.0, *ends), max(*ends, 1e-9) * 1.04)
        handles = [Line2D([], [], marker="o", markersize=6, color=BLUE, linewidth=4, alpha=0.8, label=words[0])]
        if span:
            handles.append(Patch(color=_LIGHT, label=words[2]))
        if other:
            look = {"marker": "D", "markersize": 5, "linestyle": "", "color": ORANGE, "markerfacecolor": "white"}
            handles.append(Line2D([], [], label=words[1], **look))
        if reference is not None:
            ax.axvline(reference, color=DARK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            dashed = {"color": DARK, "linewidth": 0.9, "linestyle": (0, (4, 3))}
            handles.append(Line2D([], [], label=reference_label or "", **dashed))
        return _closed(ax, handles, left, 6, title, note, value_format, language, currency)


def _rows(labels: pd.Series, language: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names as they are written, and the height and the middle of their rows: two lines take more room."""
    names = [text.capitalised(canvas.wrapped(text.label(str(name), language))) for name in labels]
    heights = np.array([1.5 if "\n" in name else 1.0 for name in names])
    return names, heights, np.cumsum(heights) - heights / 2


def _height(heights: np.ndarray, note: str | None, around: float) -> float:
    """Inches of a chart: its rows, what stands around them, and the lines of the note."""
    return 0.25 * heights.sum() + around + 0.13 * len(textwrap.wrap(note or "", _NOTE))


def _figures(ax: Axes, centres, data: pd.DataFrame, value_format: str, language: str, currency: str) -> float:
    """Write figure and bounds right of the chart, aligned; return how far to the right they reach, in points."""
    decimals = value_format
    if value_format == "number":
        decimals = f"number{max((text.decimals(v) for v in data.iloc[:, 0].dropna()), default=0)}"
    write = [text.figure(v, decimals, language, currency) for v in data.iloc[:, 0]]
    figures = [
        ax.annotate(written, (1, y), (8, 0), color=DARK, fontweight="bold", **_BESIDE)
        for written, y, known in zip(write, centres, data.iloc[:, 0].notna(), strict=True)
        if known
    ]
    right = 8 + max([canvas.text_points(figure) for figure in figures], default=0.0)
    for figure in figures:
        figure.set(ha="right", x=right)
    reach = right
    for y, (middle, low, high) in zip(centres, data.itertuples(index=False), strict=True):
        if not np.isnan(middle) and not np.isnan(low + high):
            bounds = [text.figure(bound, decimals, language, currency) for bound in (low, high)]
            drawn = ax.annotate(f"({bounds[0]} – {bounds[1]})", (1, y), (right + 4, 0), color=GREY, **_BESIDE)
            reach = max(reach, right + 4 + canvas.text_points(drawn))
    return reach


def _left(ax: Axes, names, heights, centres, ranks: list[str], language: str) -> float:
    """Write names and, left of them, ranks; return the room they take, in points."""
    room = canvas.names_on_the_left(ax, centres, names)
    ax.set_ylim(heights.sum() + 0.1, -0.1)
    if not any(ranks):
        return room
    at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "annotation_clip": False}
    written = [
        ax.annotate(rank, (0, y), (0, 0), color=DARK, fontweight="bold", va="center_baseline", **at)
        for rank, y in zip(ranks, centres, strict=True)
    ]
    above = {**at, "xycoords": "axes fraction", "va": "bottom", "fontsize": 8, "color": GREY}
    written.append(ax.annotate(text.translator(language)("Rank"), (0, 1), (0, 3), **above))
    room += max(canvas.text_points(artist) for artist in written) + 10
    for artist in written:
        artist.set_x(-room)
    return room


def _closed(ax: Axes, handles, left, above, title, note, value_format, language, currency) -> Axes:
    """Write the scale under the chart, the legend over it, the title over both, the note under all."""
    ax.spines["left"].set_visible(False)
    ax.xaxis.grid(True)
    ax.set_axisbelow(True)
    largest = np.abs(ax.get_xlim()).max()
    canvas.write_ticks(ax.xaxis, min(largest, 99e3), value_format, language, currency)
    figure = ax.get_figure(root=True)
    shifted = ax.transAxes + ScaledTranslation(-left / 72, above / 72, figure.dpi_scale_trans)
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "bbox_transform": shifted, "borderaxespad": 0.0}
    look = {"fontsize": 8, "handlelength": 1.3, "columnspacing": 1.6, "borderpad": 0.0, "handletextpad": 0.5}
    for columns in (len(handles), 2, 1):
        legend = ax.legend(handles=handles, ncols=columns, **place, **look)
        box = legend.get_window_extent(figure.canvas.get_renderer())
        if box.width <= figure.bbox.width * 0.97:
            break
    if note:
        under = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "annotation_clip": False}
        ax.annotate(textwrap.fill(note, _NOTE), (0, 0), (-left, -17), color=INK, fontsize=8, **under)
    canvas.finish(ax, title, left_points=left, above_points=above + 7 + box.height / figure.dpi * 72)
    _thin_out(ax)
    return ax


def _thin_out(ax: Axes) -> None:
    """Write fewer figures under the chart where they would touch."""
    figure = ax.get_figure(root=True)
    for most in (5, 4, 3, 2, 1):
        ax.xaxis.set_major_locator(MaxNLocator(most))
        figure.draw_without_rendering()
        boxes = [tick.get_window_extent() for tick in ax.get_xticklabels() if tick.get_text()]
        if all(right.x0 - left.x1 > 6 for left, right in itertools.pairwise(boxes)):
            return
