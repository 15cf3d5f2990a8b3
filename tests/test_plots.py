"""Charts: what is drawn is what the table says; nothing is clipped, laid over another word, or read as a formula."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.text import Annotation

from kpitoolkit import plots, text
from kpitoolkit.plots import canvas

mpl.use("agg")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def bridge(amounts, kinds=None, steps=None):
    kinds = kinds or ["total", *["step"] * (len(amounts) - 2), "total"]
    steps = steps or [f"row_{i}" for i in range(len(amounts))]
    frame = pd.DataFrame({"position": range(len(amounts)), "step": steps, "kind": kinds, "amount_cents": amounts})
    return frame.astype({"amount_cents": "Int64"})


def drawn(ax):
    ax.figure.draw_without_rendering()
    return [artist for artist in ax.texts if artist.get_text()]


def words(ax):
    return [artist.get_text() for artist in ax.texts]


def test_waterfall_by_hand():
    ax = plots.waterfall(bridge([1_000_000_00, -400_000_00, 100_000_00, 700_000_00]), language="it")
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert bars == [(0, 1000), (600, 400), (600, 100), (0, 700)]
    assert words(ax) == ["1.000", "−400", "+100", "700", "migliaia di EUR"]


def test_waterfall_marks_the_unexplained_by_hatching_and_lists_what_was_not_examined():
    kinds = ["total", "not_examined", "unexplained", "total"]
    ax = plots.waterfall(bridge([100_00, None, -5_00, 95_00], kinds, ["claimed", "currency", "unexplained", "booked"]))
    assert len(ax.patches) == 3
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, True, False]
    assert any(w.startswith("Not examined: ") for w in words(ax))


def test_waterfall_of_negative_totals_ends_where_the_table_does():
    ax = plots.waterfall(bridge([-1_500_000_00, 300_000_00, -1_200_000_00]))
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(-1500, 1500), (-1500, 300), (-1200, 1200)]
    assert words(ax)[:3] == ["−1,500", "+300", "−1,200"]


def test_a_tiny_step_is_not_written_as_zero():
    ax = plots.waterfall(bridge([2_000_000_00, 4_00, 2_000_004_00]))
    assert words(ax)[1] == "+0.004"


def test_names_are_neither_formulas_nor_markup():
    name = "$x^2$ <b>bold</b> \\frac"
    ax = plots.waterfall(bridge([100_00, -5_00, 95_00], steps=["claimed", name, "booked"]))
    tick = ax.get_yticklabels()[1]
    assert tick.get_text().strip() == name
    assert not tick.get_parse_math()
    ax.figure.draw_without_rendering()


@pytest.mark.parametrize("rows", [4, 12, 30])
def test_no_word_of_a_waterfall_lies_over_another_or_outside(rows):
    rng = np.random.default_rng(rows)
    steps = rng.integers(-5e8, 5e8, rows - 2).tolist()
    names = ["a rather long name that somebody has given to one step of the accounts", *"bcdefgh"]
    table = bridge([1_200_000_000, *steps, 1_200_000_000 + sum(steps)], steps=[names[i % 8] for i in range(rows)])
    ax = plots.waterfall(table, language="it", title="Titolo")
    texts = [*drawn(ax), *ax.get_yticklabels()]
    boxes = [t.get_window_extent() for t in texts]
    figure = ax.figure.get_tightbbox().transformed(ax.figure.dpi_scale_trans)
    for i, box in enumerate(boxes):
        assert figure.x0 - 1 <= box.x0 <= box.x1 <= figure.x1 + 1
        assert figure.width <= 1.03 * canvas.WIDTH_INCHES * ax.figure.dpi
        for j in range(i):
            assert not (
                min(box.x1, boxes[j].x1) - max(box.x0, boxes[j].x0) > 1
                and min(box.y1, boxes[j].y1) - max(box.y0, boxes[j].y0) > 1
            ), (texts[i].get_text(), texts[j].get_text())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=6), st.integers(-(10**12), 10**12))
def test_waterfall_levels_follow_the_table(steps, start):
    end = start + sum(steps)
    ax = plots.waterfall(bridge([start, *steps, end]))
    divisor = {"": 1, "thousand EUR": 1e3, "million EUR": 1e6}[words(ax)[-1] if words(ax)[-1] != "EUR" else ""]
    last, total = ax.patches[-2], ax.patches[-1]
    edges = (last.get_x(), last.get_x() + last.get_width())
    assert min(abs(edge - end / 100 / divisor) for edge in edges) <= 1e-9 * max(1, abs(start) + abs(end))
    assert total.get_width() == pytest.approx(abs(end) / 100 / divisor)
    plt.close("all")


def test_a_ratio_bridge_is_written_in_per_cent():
    frame = pd.DataFrame(
        {
            "position": [0, 1, 2],
            "step": list("abc"),
            "kind": ["total", "step", "total"],
            "amount": [0.302, 0.016, 0.318],
        }
    )
    ax = plots.waterfall(frame, value="amount", language="it", value_format="percent")
    assert words(ax) == ["30,2", "+1,6", "31,8", "%"]


def test_intervals_say_what_they_show():
    frame = pd.DataFrame(
        {
            "channel": ["a", "b", "c", "d"],
            "v": [3.6, 1.5, 2.4, None],
            "lo": [2.7, 0.9, 1.2, None],
            "hi": [4.6, 2.2, 3.9, None],
        }
    )
    ax = plots.intervals(
        frame,
        "channel",
        "v",
        "lo",
        "hi",
        reference=2.5,
        reference_label="pareggio 2,5",
        language="it",
        value_format="number1",
    )
    assert {"3,6", "(2,7 – 4,6)", "pareggio 2,5", "nessun dato"} <= set(words(ax))
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [3.6, 1.5, 2.4]
    assert [dot.get_markerfacecolor() for dot in dots] == [plots.BLUE, plots.ORANGE, "white"]


def test_intervals_follow_the_callers_judgement():
    frame = pd.DataFrame({"channel": list("abc"), "v": [3.0, 3.0, 3.0], "lo": [2.0] * 3, "hi": [4.0] * 3})
    frame["tone"] = ["better", "worse", "undecided"]
    ax = plots.intervals(frame, "channel", "v", "lo", "hi", reference=2.5, tone="tone")
    dots = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"]
    assert dots == [plots.BLUE, plots.ORANGE, "white"]


def test_what_stands_behind_an_interval_is_drawn_and_its_cut_is_marked():
    frame = pd.DataFrame({"channel": list("abc"), "v": [3.0, 2.0, 4.0], "lo": [2.0, 1.0, 3.0], "hi": [4.0, 3.0, 5.0]})
    frame["from"], frame["to"] = [1.5, 0.5, None], [4.5, 40.0, None]
    ax = plots.intervals(frame, "channel", "v", "lo", "hi", behind=("from", "to"), behind_label="ritenuto prima")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ritenuto prima"]
    first, second = ax.patches
    assert (first.get_x(), first.get_x() + first.get_width()) == (1.5, 4.5)
    right = ax.get_xlim()[1]
    assert right < 6.5
    assert second.get_x() + second.get_width() == pytest.approx(right)
    heads = [(line.get_marker(), line.get_ydata()[0]) for line in ax.lines if line.get_marker() in "<>"]
    assert heads == [(">", 1)]
    assert not any(patch.get_zorder() > line.get_zorder() for patch in ax.patches for line in ax.lines)


def curve(name, top, reach=10.0):
    x = np.linspace(0, reach, 21)
    data = {"of": name, "x": x, "y": top * x / (x + 3), "seen": x <= 0.7 * reach}
    frame = pd.DataFrame(data)
    return frame.assign(low=0.5 * frame["y"], high=1.5 * frame["y"])


@pytest.mark.parametrize("groups", [1, 2, 3, 5, 7])
def test_panels_share_a_scale_and_tell_the_observed_apart(groups):
    frame = pd.concat([curve(f"channel_{n}", 100.0 * (n + 1), 10.0 + n) for n in range(groups)])
    look = {"low": "low", "high": "high", "solid": "seen", "title": "Titolo", "heading": "ricavi", "language": "it"}
    spots = frame.iloc[[4]]
    words_of = ("osservato", "oltre", "intervallo al 90%")
    ax = plots.panels(frame, "x", "y", "of", words_of, points=spots, points_label="oggi", **look)
    assert [panel.get_title(loc="left") for panel in ax.child_axes] == [f"Channel {n}" for n in range(groups)]
    assert len({panel.get_ylim() for panel in ax.child_axes}) == 1
    for panel, (_name, own) in zip(ax.child_axes, frame.groupby("of"), strict=True):
        dashed, solid = panel.lines[:2]
        assert dashed.get_linestyle() == "--"
        assert solid.get_xdata().max() == own.loc[own["seen"], "x"].max() < dashed.get_xdata().max()
        assert panel.get_ylim()[1] >= own["y"].max()
    assert len(ax.child_axes[0].lines) == 3
    texts = [*ax.texts, *ax.get_legend().get_texts()]
    texts += [label for panel in ax.child_axes for label in (panel._left_title, *panel.get_xticklabels())]
    ax.figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    inside = ax.figure.bbox
    for place, (word, box) in enumerate(boxes):
        assert box.x1 <= inside.x1 + 1, word
        for other, beside in boxes[:place]:
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            down = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert not (across > 1 and down > 1), (word, other)


def test_bars_match_their_rows_and_groups():
    frame = pd.DataFrame(
        {"channel": ["a", "a", "b", "b"], "model": ["first", "last"] * 2, "n": [1234.5, 2.0, None, -3.0]}
    )
    ax = plots.bars(frame, "channel", "n", "model", language="it", value_format="number1")
    assert words(ax)[:4] == ["1.234,5", "2,0", "nessun dato", "−3,0"]
    assert sorted(bar.get_width() for bar in ax.patches if bar.get_width() and not np.isnan(bar.get_width())) == [
        -3.0,
        2.0,
        1234.5,
    ]
    low, high = ax.get_xlim()
    assert low <= -3 and high > 1234.5


def test_lines_name_their_ends_without_overlap():
    frame = pd.DataFrame(
        {"t": list(pd.date_range("2026-01-04", periods=30, freq="W")) * 3, "g": np.repeat(["x", "y", "z"], 30)}
    )
    frame["v"] = 1e6 + frame.groupby("g").cumcount() * 10.0
    ax = plots.lines(frame, "t", "v", "g", dashed="y", language="it")
    ends = [t for t in drawn(ax) if isinstance(t, Annotation) and t.get_text() in "xyz"]
    heights = sorted(t.get_window_extent().y0 for t in ends)
    assert np.diff(heights).min() > 8
    assert "migliaia" in words(ax)
    assert {t.get_text() for t in ax.get_xticklabels()} & {"gen 26", "mag 26", "lug 26"}


def test_areas_stack_both_ways_and_the_total_is_their_sum():
    frame = pd.DataFrame({"t": [1, 2] * 3, "g": ["a", "a", "b", "b", "c", "c"], "v": [5.0, 4.0, -2.0, 1.0, 3.0, None]})
    ax = plots.areas(frame, "t", "v", "g")
    total = next(line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] == 1)
    assert list(total.get_ydata()) == [6.0, 5.0]
    tops = max(path.vertices[:, 1].max() for c in ax.collections for path in c.get_paths())
    lows = min(path.vertices[:, 1].min() for c in ax.collections for path in c.get_paths())
    assert (tops, lows) == (8.0, -2.0)


def test_a_given_axes_is_drawn_into_and_the_look_is_left_behind():
    before = dict(mpl.rcParams)
    _figure, given_axes = plt.subplots()
    assert plots.waterfall(bridge([1_00, 2_00, 3_00]), ax=given_axes) is given_axes
    assert dict(mpl.rcParams) == before


def test_the_same_table_gives_the_same_bytes(tmp_path):
    table = bridge([1_000_000_00, -400_000_00, 600_000_00])
    for name in ("one.png", "two.png"):
        plots.waterfall(table).figure.savefig(tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize(("low", "high"), [(1.2, 8.1), (0.31, 0.35), (-2e6, 9e6), (0, 1e4), (0.001, 0.004)])
def test_ticks_say_where_they_stand(low, high):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "v": [low, high, low]})
    ax = plots.lines(frame, "x", "v")
    ax.figure.draw_without_rendering()
    scale = 1e3 if "thousands" in words(ax) else 1
    for tick in ax.yaxis.get_major_ticks():
        said = tick.label1.get_text()
        if said:
            assert float(said.replace(",", "").replace("−", "-")) * scale == pytest.approx(tick.get_loc(), abs=1e-9)


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="'euro' is not one of"):
        text.figure(1, "euro", "en")


def test_grouped_bars_of_no_rows_are_an_empty_chart():
    frame = pd.DataFrame({"channel": [], "series": [], "conversions": []})
    ax = plots.bars(frame, "channel", "conversions", group="series", title="None came")
    assert not ax.patches


def test_ticks_of_large_amounts_do_not_overlap_and_state_their_scale():
    rows = pd.DataFrame({"plan": ["less", "more"], "v": [3.3e9, -3.3e9], "l": [2.4e9, -3.7e9], "h": [3.7e9, 1.7e10]})
    ax = plots.intervals(rows, "plan", "v", "l", "h", value_format="money_short", currency="USD", title="Gain")
    ax.figure.draw_without_rendering()
    boxes = [tick.get_window_extent() for tick in ax.get_xticklabels() if tick.get_text()]
    assert len(boxes) > 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    said = [artist.get_text() for artist in ax.texts]
    assert "million USD" in said
    assert "$33.00M" in said and "(−$37.00M – $170.00M)" in said


def test_figures_of_bars_below_zero_stand_left_of_them_and_inside():
    """A loss of 1,500, better by 300; and one that grows out of a gain."""
    for amounts in ([-1_500_00, 300_00, -1_200_00], [500_00, -900_00, -400_00]):
        ax = plots.waterfall(bridge(amounts))
        ax.figure.draw_without_rendering()
        frame, zero = ax.get_window_extent(), ax.transData.transform((0, 0))[0]
        for bar, figure in zip(ax.patches, ax.texts, strict=False):
            ends = bar.get_x(), bar.get_x() + bar.get_width()
            box = figure.get_window_extent()
            assert frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1
            assert not box.x0 < zero < box.x1 or not max(ends) <= 0
            assert figure.get_horizontalalignment() == ("right" if max(ends) <= 0 else "left")
