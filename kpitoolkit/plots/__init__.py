"""Charts: a tidy table in, Axes out. They know no model and set no style on import."""

from kpitoolkit.plots.bands import against, bands
from kpitoolkit.plots.canvas import BLUE, DARK, GREY, ORANGE, PALETTE
from kpitoolkit.plots.panels import panels
from kpitoolkit.plots.rows import bars, intervals, waterfall
from kpitoolkit.plots.series import areas, lines

__all__ = [
    "BLUE",
    "DARK",
    "GREY",
    "ORANGE",
    "PALETTE",
    "against",
    "areas",
    "bands",
    "bars",
    "intervals",
    "lines",
    "panels",
    "waterfall",
]
