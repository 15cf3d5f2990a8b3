"""Charts: a tidy table in, Axes out. They know no model and set no style on import."""

from kpitoolkit.plots.bands import against, bands
from kpitoolkit.plots.canvas import BLUE, DARK, GREY, ORANGE, PALETTE, VALUE_UNITS, capitalised, decimals, figure_text
from kpitoolkit.plots.panels import panels
from kpitoolkit.plots.rows import bars, intervals, waterfall
from kpitoolkit.plots.series import areas, lines

__all__ = [
    "BLUE",
    "DARK",
    "GREY",
    "ORANGE",
    "PALETTE",
    "VALUE_UNITS",
    "against",
    "areas",
    "bands",
    "bars",
    "capitalised",
    "decimals",
    "figure_text",
    "intervals",
    "lines",
    "panels",
    "waterfall",
]
