"""Which channels get the credit for the conversions that were seen, how sure that is, and what it cost."""

from kpitoolkit.attribution.band import TruthBand, truth_band
from kpitoolkit.attribution.cost import CostAndReturn, cost_and_return
from kpitoolkit.attribution.cost_wording import no_spend
from kpitoolkit.attribution.journeys import Journeys, conversions_from_orders, journeys, journeys_from_paths
from kpitoolkit.attribution.markov import order_choice
from kpitoolkit.attribution.maturity import QuarterClose, TrueUp, quarter_close, true_up
from kpitoolkit.attribution.models import Attribution, attribute
from kpitoolkit.attribution.shapley import rate_game
from kpitoolkit.attribution.wording import on_order

__all__ = [
    "Attribution",
    "CostAndReturn",
    "Journeys",
    "QuarterClose",
    "TrueUp",
    "TruthBand",
    "attribute",
    "conversions_from_orders",
    "cost_and_return",
    "journeys",
    "journeys_from_paths",
    "no_spend",
    "on_order",
    "order_choice",
    "quarter_close",
    "rate_game",
    "true_up",
    "truth_band",
]
