"""Bands and figures against claims: what is drawn is what the table says; no word lies over another or outside."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kpitoolkit import plots
from kpitoolkit.plots import canvas

mpl.use("agg")
LONG = "a rather long name that somebody has given to one campaign of the year, and then some more words"


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def words(ax):
    return [artist.get_text() for artist in ax.texts if artist.get_text()]


def assert_nothing_overlaps(ax):
    ax.figure.draw_without_rendering()
    legend = ax.get_legend()
    texts = [t for t in [*ax.texts, *ax.get_yticklabels(), *ax.get_xticklabels(), *legend.texts] if t.get_text()]
    boxes = [t.get_window_extent() for t in texts]
    figure = ax.figure.get_tightbbox().transformed(ax.figure.dpi_scale_trans)
    assert figure.width <= 1.03 * canvas.WIDTH_INCHES * ax.figure.dpi
    assert ax.get_window_extent().width > 0.25 * figure.width
    for i, box in enumerate(boxes):
        assert figure.x0 - 1 <= box.x0 <= box.x1 <= figure.x1 + 1, texts[i].get_text()
        assert not texts[i].get_parse_math()
        for j in range(i):
            assert not (
                min(box.x1, boxes[j].x1) - max(box.x0, boxes[j].x0) > 1
                and min(box.y1, boxes[j].y1) - max(box.y0, boxes[j].y0) > 1
            ), (texts[i].get_text(), texts[j].get_text())


def channels(names, size=1000.0):
    rng = np.random.default_rng(len(names))
    ends = np.sort(rng.uniform(0, size, (len(names), 5)), axis=1)
    frame = pd.DataFrame(ends, columns=["low", "lowest", "default", "highest", "high"])
    return frame.assign(channel=names, rank=[f"{i + 1}–{len(names)}" for i in range(len(names))])


def drawn(frame, **more):
    legend = ("Markov, 30 giorni", "tutte le regole e le finestre", "compreso il caso del campione (90%)")
    inner, outer = ("lowest", "highest"), ("low", "high")
    return plots.bands(frame, "channel", "default", inner, outer, legend, rank="rank", language="it", **more)


def test_bands_show_both_spans_the_mark_and_the_figures():
    frame = pd.DataFrame(
        {
            "channel": ["search", "unattributed"],
            "default": [2511.4, 945.0],
            "lowest": [2404.0, 945.0],
            "highest": [3155.0, 969.0],
            "low": [2324.0, 892.0],
            "high": [3257.0, 1015.0],
            "rank": ["1–2", None],
        }
    )
    ax = drawn(frame, aside=("unattributed",), value_format="number0", title="Titolo", note="Nota.")
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert bars == [(2324, 3257), (2404, 3155), (892, 1015), (945, 969)]
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    assert [mark.get_xdata()[0] for mark in marks] == [2511.4, 945]
    assert [mark.get_color() for mark in marks] == [plots.DARK, plots.GREY]
    expected = {"2.511", "(2.324 – 3.257)", "945", "(892 – 1.015)", "1–2", "Posto", "Titolo", "Nota."}
    assert set(words(ax)) == expected
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Search", "Non attribuito"]
    assert_nothing_overlaps(ax)


@pytest.mark.parametrize("size", [2.0, 1000.0, 4e6])
@pytest.mark.parametrize("rows", [1, 5, 20])
def test_no_word_of_bands_lies_over_another(rows, size):
    names = [[LONG, "$x^2$ <b> \\frac", "tv", "Prìmavera"][i % 4] + str(i) for i in range(rows)]
    assert_nothing_overlaps(drawn(channels(names, size), title="Titolo", note=LONG * 2))


def test_a_band_without_figures_says_so():
    frame = channels(["a", "b"]).assign(default=np.nan, low=np.nan, lowest=np.nan, highest=np.nan, high=np.nan)
    ax = drawn(frame)
    assert not ax.patches
    assert_nothing_overlaps(ax)


def returns(names, size):
    rng = np.random.default_rng(len(names))
    ends = np.sort(rng.uniform(0, size, (len(names), 6)), axis=1)
    frame = pd.DataFrame(ends, columns=["lowest", "low", "roas", "high", "highest", "claimed"])
    frame = frame.assign(name=names, reason=None)
    frame.loc[len(frame)] = [np.nan] * 6 + ["tv", "non misurabile dai contatti"]
    return frame


def held_against(frame, other="claimed", **more):
    said = ("attribuito da Markov, intervallo al 90%", "dichiarato dalla piattaforma", "tutte le regole e le finestre")
    reference = {"reference": 1.0, "reference_label": "valore pari alla spesa"}
    bounds = ("roas", "low", "high")
    return plots.against(frame, "name", *bounds, other, said, reason="reason", language="it", **reference, **more)


def test_against_shows_the_figure_its_interval_and_the_claim():
    frame = pd.DataFrame(
        {
            "name": ["search", "tv"],
            "roas": [7.11, None],
            "low": [6.93, None],
            "high": [7.3, None],
            "claimed": [9.89, None],
            "reason": [None, "non misurabile dai contatti"],
        }
    )
    ax = held_against(frame, title="Titolo", note="Nota.")
    expected = ["7,11", "(6,93 – 7,30)", "9,89", "non misurabile dai contatti", "Nota.", "Titolo"]
    assert words(ax) == expected
    at = {line.get_marker(): line.get_xdata()[0] for line in ax.lines if line.get_marker() in ("o", "D")}
    assert at == {"o": 7.11, "D": 9.89}
    assert any(list(line.get_xdata()) == [1.0, 1.0] for line in ax.lines)
    assert ax.get_xlim()[0] == 0
    assert_nothing_overlaps(ax)


def test_against_without_claims_names_none():
    frame = returns(["a", "b"], 5.0).drop(columns="claimed")
    ax = held_against(frame, other=None)
    assert [t.get_text() for t in ax.get_legend().texts] == [
        "attribuito da Markov, intervallo al 90%",
        "valore pari alla spesa",
    ]
    assert not [line for line in ax.lines if line.get_marker() == "D"]


@pytest.mark.parametrize("size", [0.02, 5.0, 4e4])
@pytest.mark.parametrize("rows", [1, 5, 20])
def test_no_word_of_against_lies_over_another(rows, size):
    names = [[LONG, "$x^2$ <b> \\frac", "tv", "Prìmavera"][i % 4] + str(i) for i in range(rows)]
    ax = held_against(returns(names, size), span=("lowest", "highest"), title="Titolo", note=LONG * 2)
    assert len(ax.patches) == rows
    assert_nothing_overlaps(ax)
