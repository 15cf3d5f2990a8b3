"""The p value of a ranking once more, from the bags: both directions, both channels together, Holm step by step."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from kpitoolkit.attribution import band
from kpitoolkit.attribution.resampling import weights


def p_value(bags):
    """Of the only pair, from one cell; bags (200, 2)."""
    lines = pd.DataFrame({"conversions": bags.sum(axis=0)}, index=["a", "b"])
    return band._rankings([((30, "last"), lines, weights() @ bags)], ["a", "b"], lines["conversions"])["p_value"].item()


def test_both_channels_move_together_and_both_directions_count():
    rng = np.random.default_rng(5)
    users = rng.gamma(2.0, 5.0, 200)
    bags = np.column_stack([users + rng.random(200) * 0.5, users + rng.random(200) * 0.3])
    difference = bags[:, 0] - bags[:, 1]
    error = (weights() @ difference).std(ddof=1)
    bags[:, 0] -= (difference.sum() - 1 - 1.2 * error) / 200
    expected = 2 * student.sf(1.2, 199)
    assert 0.2 < expected < 0.3
    assert p_value(bags) == pytest.approx(expected, rel=0.02)


def test_credit_that_hangs_on_one_customer_is_reversed_as_often_as_the_customer_is_not_drawn():
    bags = np.full((200, 2), [0.0, 0.3])
    bags[0, 0] = 1000.0
    without = (weights()[:, 0] == 0).mean()
    assert student.sf(939 / (1000 * weights()[:, 0].std()), 199) < without
    assert p_value(bags) == pytest.approx(2 * without)


def test_a_weaker_pair_never_gets_the_smaller_p_value():
    p = np.array([0.02, 0.021, 0.03])
    expected = multipletests([*p, 1, 1, 1], method="holm")[1][:3]
    assert band._holm(p, family=6) == pytest.approx(expected)
    assert (np.diff(band._holm(p, family=6)) >= 0).all()
