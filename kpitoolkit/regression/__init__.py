"""How much revenue did each unit of spend bring, as modelled, and the next one?"""

from kpitoolkit.regression.model import Regression, fit, predict
from kpitoolkit.regression.prepare import Inputs, inputs, quarterly_inputs, weekly_inputs
from kpitoolkit.regression.priors import Priors

__all__ = ["Inputs", "Priors", "Regression", "fit", "inputs", "predict", "quarterly_inputs", "weekly_inputs"]
