"""How much revenue did each unit of spend bring, as modelled, and the next one?"""

from kpitoolkit.regression.beliefs import contradictions
from kpitoolkit.regression.budget import Budget, plan_budget
from kpitoolkit.regression.charts import FORMATS, unmodelled
from kpitoolkit.regression.diagnostics import diagnose
from kpitoolkit.regression.experiments import rank as rank_experiments
from kpitoolkit.regression.lift import beside as lift_tests_beside
from kpitoolkit.regression.model import Regression, fit, predict
from kpitoolkit.regression.pooling import pool, summary_of
from kpitoolkit.regression.prepare import Inputs, inputs, quarterly_inputs, weekly_inputs
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.recover import recover as simulate_and_recover
from kpitoolkit.regression.refresh import refresh as bridge_from_last_quarter
from kpitoolkit.regression.refresh import specification
from kpitoolkit.regression.sensitivity import sensitivity as other_priors
from kpitoolkit.regression.transparent import transparent as plain_regression

__all__ = [
    "FORMATS",
    "Budget",
    "Inputs",
    "Priors",
    "Regression",
    "bridge_from_last_quarter",
    "contradictions",
    "diagnose",
    "fit",
    "inputs",
    "lift_tests_beside",
    "other_priors",
    "plain_regression",
    "plan_budget",
    "pool",
    "predict",
    "quarterly_inputs",
    "rank_experiments",
    "simulate_and_recover",
    "specification",
    "summary_of",
    "unmodelled",
    "weekly_inputs",
]
