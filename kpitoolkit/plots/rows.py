"""Charts of rows: the waterfall of a bridge, intervals, horizontal bars."""

import textwrap

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from kpitoolkit import text
from kpitoolkit.plots import canvas
from kpitoolkit.plots.canvas import BLUE, DARK, GREY, INK, ORANGE

_LIGHT = "#e3e6e9"
_TONES = {"better": BLUE, "worse": ORANGE, "undecided": GREY}


def waterfall(
    table: pd.DataFrame,
    value: str = "amount_cents",
    ax: Axes | None = None,
    language: str = "en",
    *,
    currency: str = "EUR",
    title: str | None = None,
    value_format: str = "money",
) -> Axes:
    """Draw a bridge as a horizontal waterfall in the IBCS notation.

    Totals are dark and start at zero, increases blue, decreases orange, what is unexplained hatched; each figure is
    written beside its bar (left of one below zero, lest it cross the axis), steps with their sign, at one scale that
    the heading states once. Steps that were not examined are listed under the chart, not drawn.

    Parameters
    ----------
    table : DataFrame
        A bridge: `position`, `step`, `kind` (`total`, `step`, `unexplained`, `not_examined`) and `value`.
    value : {"amount_cents", "amount"}
        Column of the amounts: integer cents, or floats in the unit of the figure.
    ax : Axes, optional
    language : {"en", "it"}
    currency : str
        Unit in the heading, where the amounts are money.
    title : str, optional
    value_format : {"money", "number", "percent"}
        What the amounts are; `percent` writes those of a ratio as percentages.

    Returns
    -------
    Axes

    Examples
    --------
    >>> bridge = pd.DataFrame({"position": [0, 1, 2], "step": ["claimed", "view_through", "matched_gross"],
    ...                        "kind": ["total", "step", "total"], "amount_cents": [1_000_00, -400_00, 600_00]})
    >>> ax = waterfall(bridge)
    >>> [round(bar.get_width()) for bar in ax.patches]
    [1000, 400, 600]
    """
    table = table.sort_values("position", kind="stable")
    drawn = table[table["kind"] != "not_examined"].reset_index(drop=True)
    amounts = canvas.floats(drawn[value]).fillna(0.0).to_numpy() / (100 if value == "amount_cents" else 1)
    if value_format.startswith("percent"):
        divisor, decimals, heading = 0.01, 1, "%"
    else:
        unit = currency if value_format.startswith("money") else ""
        divisor, decimals, heading = canvas.scale(np.abs(amounts).max(initial=0.0), language, unit)
    amounts = amounts / divisor
    total = (drawn["kind"] == "total").to_numpy()
    starts, ends = _levels(amounts, total)
    names = [canvas.wrapped(text.label(step, language)) for step in drawn["step"]]
    names = [text.capitalised(name) if is_total else name for name, is_total in zip(names, total, strict=True)]
    heights = np.array([1.45 if "\n" in name else 1.0 for name in names])
    centres = np.cumsum(heights) - heights / 2
    with canvas.style():
        ax = canvas.axes(ax, 0.195 * heights.sum() + 0.5)
        figures = []
        for row, kind in enumerate(drawn["kind"]):
            written = canvas.scaled_text(amounts[row], decimals, language, signed=not total[row])
            colour = DARK if total[row] else BLUE if amounts[row] > 0 else ORANGE if amounts[row] < 0 else GREY
            hatched = {"facecolor": "white", "edgecolor": colour, "hatch": "//////", "linewidth": 0.8}
            look = hatched if kind == "unexplained" else {"facecolor": colour, "edgecolor": colour, "linewidth": 0.5}
            left, right = sorted((starts[row], ends[row]))
            ax.barh(centres[row], right - left, left=left, height=0.66, zorder=2, **look)
            if row + 1 < len(names):
                across = [centres[row] + 0.33, centres[row + 1] - 0.33]
                ax.plot([ends[row]] * 2, across, color=GREY, linewidth=0.5, zorder=1)
            weight = "bold" if total[row] else "normal"
            end, side, align = (left, -4, "right") if left < 0 and right <= 0 else (right, 4, "left")
            beside = {"xytext": (side, 0), "textcoords": "offset points", "va": "center_baseline", "ha": align}
            figures.append(ax.annotate(written, (end, centres[row]), color=colour, fontweight=weight, **beside))
        room = canvas.names_on_the_left(ax, centres, names, bold=total)
        ax.set_ylim(heights.sum() + 0.1, -0.1)
        ax.axvline(0, color=DARK, linewidth=0.7, zorder=3)
        canvas.room_for_figures(ax, [*starts, *ends], figures)
        _bare(ax)
        missing = [text.label(step, language) for step in table.loc[table["kind"] == "not_examined", "step"]]
        if missing:
            sentence = text.translator(language)("Not examined: {steps}.").format(steps=", ".join(missing))
            under = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "annotation_clip": False}
            ax.annotate(textwrap.fill(sentence, 100), (0, 0), (-room, -4), color=GREY, fontsize=8, **under)
        return canvas.finish(ax, title, heading, left_points=room)


def _levels(amounts: np.ndarray, total: np.ndarray) -> tuple[list[float], list[float]]:
    """Where each bar starts and ends: totals at zero, steps where the row before ended."""
    starts, ends, level = [], [], 0.0
    for amount, is_total in zip(amounts, total, strict=True):
        starts.append(0.0 if is_total else level)
        level = starts[-1] + amount
        ends.append(level)
    return starts, ends


def _bare(ax: Axes) -> None:
    """No x axis: the figures stand beside their bars."""
    ax.set_xticks([])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def intervals(
    frame: pd.DataFrame,
    label: str,
    value: str,
    low: str,
    high: str,
    *,
    reference: float | None = None,
    reference_label: str | None = None,
    tone: str | None = None,
    behind: tuple[str, str] | None = None,
    behind_label: str | None = None,
    ax: Axes | None = None,
    language: str = "en",
    value_format: str = "number",
    title: str | None = None,
    currency: str = "EUR",
) -> Axes:
    """Draw a dot and its interval per row, the figures written at the right: `3.6 (2.7 – 4.6)`.

    With a reference (a break-even, a target) an interval above it is blue, one below orange, one that straddles it grey
    and hollow; where the caller has judged the rows, `tone` says which of the three each one is.

    Parameters
    ----------
    frame : DataFrame
        One row a line; columns `label` (a key or a name), `value`, `low`, `high` (may be missing).
    reference : float, optional
        Where the dashed line stands.
    reference_label : str, optional
        Its words, already in the reader's language.
    tone : str, optional
        Column of `better`, `worse` or `undecided`.
    behind : tuple of str, optional
        Columns of two bounds drawn light behind each interval (what was believed before, a wider range), with
        `behind_label`, their words; where they reach out of the chart, an arrow head says so.
    value_format : str
        See `text.figure`.

    Returns
    -------
    Axes
    """
    names = [text.capitalised(canvas.wrapped(text.label(str(name), language))) for name in frame[label]]
    data = pd.DataFrame({key: canvas.floats(frame[column]) for key, column in [("v", value), ("l", low), ("h", high)]})
    with canvas.style():
        pitch = 0.31 if any("\n" in name for name in names) else 0.22  # two lines take more room
        ax = canvas.axes(ax, pitch * max(1, len(frame)) + (0.82 if behind else 0.65))
        beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center_baseline"}
        written = [text.figure(v, value_format, language, currency) for v in data["v"]]
        figures = [
            ax.annotate(w, (1, row), (8, 0), color=DARK, fontweight="bold", **beside)
            for row, w in enumerate(written)
            if not np.isnan(data["v"].iloc[row])
        ]
        right = 8 + max([canvas.text_points(figure) for figure in figures], default=0.0)
        for figure in figures:
            figure.set(ha="right", x=right)
        for row, (middle, lowest, highest) in enumerate(data.itertuples(index=False)):
            known = not np.isnan(lowest + highest)
            judged = frame[tone].iloc[row] if tone else _tone(lowest, highest, reference)
            colour = _TONES.get(judged, DARK)
            if known:
                ax.plot([lowest, highest], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=2)
                bounds = [text.figure(bound, value_format, language, currency) for bound in (lowest, highest)]
                ax.annotate(f"({bounds[0]} – {bounds[1]})", (1, row), (right + 4, 0), color=GREY, **beside)
            if np.isnan(middle):
                ax.annotate(written[row], (1, row), (8, 0), color=GREY, **beside)
            else:
                face = "white" if judged == "undecided" else colour
                ax.plot(middle, row, "o", markersize=6, color=colour, markerfacecolor=face, zorder=3)
        room = canvas.names_on_the_left(ax, range(len(names)), names)
        ax.set_ylim(len(frame) - 0.4, -0.6)
        if reference is not None:
            ax.axvline(reference, color=DARK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            over = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
            ax.annotate(reference_label or "", (reference, 1), (0, 3), color=INK, fontsize=8, **over)
        ax.margins(x=0.04)
        above = 16 if reference_label else 6
        if behind:
            _behind(ax, frame, behind)
            shifted = ax.transAxes + ScaledTranslation(-room / 72, above / 72, ax.get_figure(root=True).dpi_scale_trans)
            place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "bbox_transform": shifted, "borderaxespad": 0.0}
            look = {"fontsize": 8, "handlelength": 1.3, "borderpad": 0.0, "handletextpad": 0.5}
            ax.legend(handles=[Patch(color=_LIGHT, label=behind_label or "")], **place, **look)
            above += 15
        ax.spines["left"].set_visible(False)
        ax.xaxis.grid(True)
        ax.set_axisbelow(True)
        money, largest = value_format.lstrip("+").startswith("money"), np.nanmax(np.abs([*ax.get_xlim()]))
        scale = canvas.write_ticks(ax.xaxis, largest if money else min(largest, 99e3), value_format, language, currency)
        return canvas.finish(ax, title, scale if money else "", left_points=room, above_points=above)


def _tone(low: float, high: float, reference: float | None) -> str:
    """How an interval stands to the reference; plain where there is none."""
    if reference is None or np.isnan(low + high):
        return "plain"
    return "better" if low > reference else "worse" if high < reference else "undecided"


def _behind(ax: Axes, frame: pd.DataFrame, columns: tuple[str, str]) -> None:
    """Draw bounds light behind the intervals, an arrow head where they leave the chart, which they widen by a fifth."""
    bounds = pd.DataFrame({end: canvas.floats(frame[column]) for end, column in zip("ab", columns, strict=True)})
    left, right = ax.get_xlim()
    wider = 0.2 * (right - left)
    left = max(left - wider, np.nanmin([left, *bounds["a"]]))
    left = 0.0 if 0 < left < 0.25 * right else left
    right = min(right + wider, np.nanmax([right, *bounds["b"]]))
    for row, (low, high) in enumerate(bounds.itertuples(index=False)):
        if np.isnan(low + high) or high < left or low > right:
            continue
        start, end = max(low, left), min(high, right)
        ax.barh(row, end - start, left=start, height=0.46, color=_LIGHT, linewidth=0, zorder=0.9)
        for at, beyond, head in ((left, low < left, "<"), (right, high > right, ">")):
            if beyond:
                ax.plot(at, row, marker=head, markersize=3.5, color=GREY, clip_on=False, zorder=3)
    ax.set_xlim(left, right)


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

    Groups stand in each row in the order of the legend, from the top.

    Parameters
    ----------
    frame : DataFrame
        Tidy: one row a bar; columns `label` (a key or a name), `value`, optionally `group`, `low` and `high`.
    value_format : str
        See `text.figure`.

    Returns
    -------
    Axes
    """
    rows, groups = canvas.ordered(frame[label]), canvas.ordered(frame[group]) if group else [None]
    names = [text.capitalised(canvas.wrapped(text.label(str(name), language))) for name in rows]
    data = pd.DataFrame({"row": frame[label], "value": canvas.floats(frame[value])})
    data["group"] = frame[group] if group else None
    for key, column in (("low", low), ("high", high)):
        data[key] = canvas.floats(frame[column]) if column else np.nan
    palette = canvas.colours(groups) if group else {}
    thickness = 0.8 / max(1, len(groups))
    with canvas.style():
        ax = canvas.axes(ax, (0.26 if len(groups) == 1 else 0.1 + 0.15 * len(groups)) * max(1, len(rows)) + 0.6)
        look = {"hue": "group", "hue_order": groups, "palette": palette, "legend": False} if group else {"color": BLUE}
        width = 0.8 if group else 0.66
        sns.barplot(
            data, x="value", y="row", order=rows, orient="h", errorbar=None, saturation=1, width=width, ax=ax, **look
        )
        figures, extremes = [], [0.0, 0.0]
        for line in data.itertuples(index=False):
            offset = (groups.index(line.group) - (len(groups) - 1) / 2) * thickness if group else 0.0
            y = rows.index(line.row) + offset
            if not np.isnan(line.low + line.high):
                ax.plot([line.low, line.high], [y, y], color=DARK, linewidth=1.1, solid_capstyle="butt", zorder=4)
            ends = [end for end in (0.0, line.value, line.low, line.high) if not np.isnan(end)]
            extremes += [min(ends), max(ends)]
            written = text.figure(line.value, value_format, language, currency)
            beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center_baseline", "color": INK}
            figures.append(ax.annotate(written, (max(ends), y), fontsize=8.5 if len(groups) < 3 else 7, **beside))
        room = canvas.names_on_the_left(ax, range(len(rows)), names)
        ax.set_ylim(max(1, len(rows)) - 0.45, -0.55)
        ax.set(xlabel="", ylabel="")
        ax.axvline(0, color=DARK, linewidth=0.7, zorder=3)
        if group:
            handles = [Patch(color=palette[name], label=text.label(str(name), language)) for name in groups]
            under = {"loc": "upper left", "bbox_to_anchor": (0, 0), "ncols": min(4, len(groups)), "borderaxespad": 0.4}
            ax.legend(handles=handles, handlelength=1, fontsize=8, **under)
        canvas.room_for_figures(ax, extremes, figures)
        _bare(ax)
        return canvas.finish(ax, title, left_points=room)
