"""Intervals of key figures that rest on a sample or on a model: 95%, by what the figure is made of.

Figures counted in full (orders, customers, postings) have none: nothing was sampled. A survey's share has Wilson's
interval, promoters less detractors that of a multinomial, a lifetime value the one that its model states.
"""

from collections.abc import Mapping

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from kpitoolkit.reconciliation.catalogue import Kpi

LEVEL, Z = 0.95, 1.959963984540054
FEW_ANSWERS = 30
"""Answers under which a survey's figure is said to rest on few."""
_LARGE = 100
SURVEYS = (
    ("nps_promoters", "nps_detractors", "nps_answers"),
    ("brand_aware", "", "brand_answers"),
    ("engaged_employees", "", "employee_answers"),
)
_MODELLED = {"cohort_lifetime_margin": ("cohort_lifetime_margin_low", "cohort_lifetime_margin_high")}


def share_interval(positive: float, answers: float) -> tuple[float, float]:
    """
    Wilson's 95% interval of a share (Wilson 1927); NaN without answers.

    Examples
    --------
    >>> [round(end, 3) for end in share_interval(2, 3)], [round(end, 3) for end in share_interval(200, 400)]
    ([0.208, 0.939], [0.451, 0.549])
    """
    if not answers:
        return np.nan, np.nan
    low, high = proportion_confint(positive, answers, 1 - LEVEL, method="wilson")
    return float(low), float(high)


def net_interval(positive: float, negative: float, answers: float) -> tuple[float, float]:
    """
    95% interval of promoters less detractors, as a share of answers; NaN without answers.

    ``p - d +- z sqrt((p + d - (p - d)^2) / n)``. With fewer than 100 answers three are added, as Rocks (2016) found
    best for small surveys: 3/4 promoters, 3/4 detractors, 3/2 neither.

    Examples
    --------
    >>> low, high = net_interval(200, 100, 500)
    >>> round(100 * low, 1), round(100 * high, 1), round(50 * (high - low), 1)
    (13.4, 26.6, 6.6)
    >>> [round(end, 2) for end in net_interval(3, 0, 3)]
    [-0.07, 1.0]
    """
    if not answers:
        return np.nan, np.nan
    if answers < _LARGE:
        positive, negative, answers = positive + 0.75, negative + 0.75, answers + 3
    p, d = positive / answers, negative / answers
    half = Z * np.sqrt((p + d - (p - d) ** 2) / answers)
    return float(max(-1.0, p - d - half)), float(min(1.0, p - d + half))


def survey_of(kpi: Kpi, basis: str) -> tuple[str, str, str] | None:
    """The measures of the one survey that a KPI is a share of, or None."""
    needed = set(kpi.measures(basis))
    for positive, negative, answers in SURVEYS:
        if {positive, answers} <= needed <= {positive, negative, answers}:
            return positive, negative, answers
    return None


def of_kpi(kpi: Kpi, basis: str, values: Mapping[str, object]) -> tuple[float, float]:
    """
    The 95% interval of a KPI's figure in its own unit; NaN where nothing of it is sampled or modelled, or no figure is.

    Parameters
    ----------
    kpi : Kpi
    basis : str
    values : mapping
        Measures of the quarter, as ``measures.at`` gives them.
    """
    if kpi.value(basis, values)[1] != "ok":
        return np.nan, np.nan
    survey = survey_of(kpi, basis)
    if survey is not None:
        positive, negative, answers = survey
        given = [float(values.get(name) or 0) for name in survey]
        ends = net_interval(*given) if negative in kpi.measures(basis) else share_interval(given[0], given[2])
        nothing = {positive: 0, negative: 0, answers: 1}
        zero, one = (kpi.value(basis, nothing | {positive: share})[0] for share in (0, 1))
        if zero is None or one is None:
            return np.nan, np.nan
        found = [zero + end * (one - zero) for end in ends]
        return min(found), max(found)
    for modelled, names in _MODELLED.items():
        if modelled in kpi.measures(basis):
            found = [kpi.value(basis, {**values, modelled: values.get(name)})[0] for name in names]
            return (np.nan, np.nan) if None in found else (min(found), max(found))
    return np.nan, np.nan


def few_answers(kpi: Kpi, basis: str, values: Mapping[str, object]) -> int | None:
    """How many answers a survey's figure rests on where they are fewer than 30; else None."""
    survey = survey_of(kpi, basis)
    answers = None if survey is None else values.get(survey[2])
    return int(answers) if answers and answers < FEW_ANSWERS else None
