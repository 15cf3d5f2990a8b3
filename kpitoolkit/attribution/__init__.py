"""Which channels get the credit for the conversions that were seen."""

from kpitoolkit.attribution.journeys import Journeys, conversions_from_orders, journeys, journeys_from_paths
from kpitoolkit.attribution.models import Attribution, attribute, lookback_sensitivity

__all__ = [
    "Attribution",
    "Journeys",
    "attribute",
    "conversions_from_orders",
    "journeys",
    "journeys_from_paths",
    "lookback_sensitivity",
]
