"""Intervals of key figures: published and hand-worked ones, their coverage, and figures that have none."""

import numpy as np
import pytest
from scipy import stats

from kpitoolkit import parameters
from kpitoolkit.reconciliation import catalogue, intervals, scorecard

SHIPPED = catalogue.read(parameters.project_root() / "parameters" / "kpis.yml")


def test_nps_of_forty_forty_twenty():
    low, high = intervals.of_kpi(
        SHIPPED["nps"], "finance", {"nps_promoters": 200, "nps_detractors": 100, "nps_answers": 500}
    )
    assert round((low + high) / 2, 1) == 20.0 and round((high - low) / 2, 1) == 6.6


def test_three_answers_give_next_to_no_knowledge_and_it_is_said():
    values = {"nps_promoters": 3, "nps_detractors": 0, "nps_answers": 3, "brand_aware": 2, "brand_answers": 3}
    low, high = intervals.of_kpi(SHIPPED["nps"], "finance", values)
    assert high - low > 100 and high == 100
    share = intervals.of_kpi(SHIPPED["brand_awareness"], "finance", values)
    assert share == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert intervals.few_answers(SHIPPED["nps"], "finance", values) == 3
    assert intervals.few_answers(SHIPPED["nps"], "finance", values | {"nps_answers": 30}) is None
    assert intervals.few_answers(SHIPPED["cac"], "finance", values) is None


@pytest.mark.parametrize(("answers", "least"), [(5, 0.93), (20, 0.93), (99, 0.94), (100, 0.935), (500, 0.94)])
@pytest.mark.parametrize("shares", [(0.4, 0.4), (0.6, 0.1), (0.1, 0.1), (0.2, 0.7)])
def test_the_interval_of_nps_covers(answers, least, shares):
    rng = np.random.default_rng(7)
    drawn = rng.multinomial(answers, [*shares, 1 - sum(shares)], size=4000)
    ends = np.array([intervals.net_interval(p, d, answers) for p, d, _ in drawn])
    truth = shares[0] - shares[1]
    assert np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) >= least - 0.01


def test_wilson_is_the_inversion_of_the_test_of_a_share():
    low, high = intervals.share_interval(37, 90)
    for end in (low, high):
        score = (37 / 90 - end) / np.sqrt(end * (1 - end) / 90)
        assert abs(score) == pytest.approx(stats.norm.ppf(0.975), rel=1e-9)
    assert np.isnan(intervals.share_interval(0, 0)).all() and np.isnan(intervals.net_interval(0, 0, 0)).all()
    assert intervals.share_interval(0, 40)[0] == 0 and intervals.share_interval(40, 40)[1] == 1


def test_a_model_states_the_interval_and_what_is_counted_has_none():
    values = {
        **{"cohort_lifetime_margin": 600_00, "cohort_lifetime_margin_low": 300_00, "new_customers": 6},
        **{"cohort_lifetime_margin_high": 900_00, "marketing_cost": 100_00, "acquisition_salaries": 0},
        **{"acquisition_tools": 0, "orders": 5, "sessions": 100},
    }
    assert intervals.of_kpi(SHIPPED["cltv"], "finance", values) == (50_00, 150_00)
    assert intervals.of_kpi(SHIPPED["cltv_to_cac"], "finance", values) == (3, 9)
    assert np.isnan(intervals.of_kpi(SHIPPED["conversion_rate"], "finance", values)).all()
    assert np.isnan(intervals.of_kpi(SHIPPED["cltv"], "finance", values | {"cohort_lifetime_margin_low": None})).all()
    assert np.isnan(intervals.of_kpi(SHIPPED["nps"], "finance", values)).all()


@pytest.mark.parametrize(
    ("attained", "target", "low", "high", "expected"),
    [
        (1.0, 100, None, None, "green"),
        (1.0, 100, 101, 105, "green"),
        (0.95, 100, None, None, "amber"),
        (0.9499, 100, np.nan, np.nan, "red"),
        (1.2, 100, 100, 140, "grey"),
        (0.5, 100, 10, 90, "red"),
        (None, 100, 10, 190, "white"),
        (None, None, None, None, "white"),
        (np.nan, np.nan, None, None, "white"),
    ],
)
def test_lights(attained, target, low, high, expected):
    assert scorecard.light(attained, target, low, high) == expected
