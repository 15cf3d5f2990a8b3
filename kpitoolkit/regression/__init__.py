"""How much revenue did each unit of spend bring, as modelled, and the next one?"""

from kpitoolkit.regression.beliefs import contradictions
from kpitoolkit.regression.budget import Budget, plan_budget
from kpitoolkit.regression.diagnostics import diagnose
from kpitoolkit.regression.experiments import rank as rank_experiments
from kpitoolkit.regression.lift import beside as lift_tests_beside
from kpitoolkit.regression.model import Regression, fit, predict
from kpitoolkit.regression.pooling import pool, summary_of
from kpitoolkit.regression.prepare import Inputs, inputs, quarterly_inputs, weekly_inputs
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.recover import recover
from kpitoolkit.regression.refresh import refresh, specification
from kpitoolkit.regression.sensitivity import sensitivity
from kpitoolkit.regression.transparent import transparent

__all__ = [
    "Budget",
    "Inputs",
    "Priors",
    "Regression",
    "contradictions",
    "diagnose",
    "fit",
    "inputs",
    "lift_tests_beside",
    "plan_budget",
    "pool",
    "predict",
    "quarterly_inputs",
    "rank_experiments",
    "recover",
    "refresh",
    "sensitivity",
    "specification",
    "summary_of",
    "transparent",
    "weekly_inputs",
]
