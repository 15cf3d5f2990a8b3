"""How much revenue did each unit of spend bring, as modelled, and the next one?"""

from kpitoolkit.regression.model import Regression, fit, predict
from kpitoolkit.regression.prepare import Inputs, inputs, quarterly_inputs, weekly_inputs

__all__ = ["Inputs", "Regression", "fit", "inputs", "predict", "quarterly_inputs", "weekly_inputs"]
