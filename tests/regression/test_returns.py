"""Figures of a posterior by hand: shapes that span decades, and shares of spend that no business has."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.regression import model, returns
from tests.regression.posterior_by_hand import written


def spread(factor):
    """One channel, flat spend of 100, half of the ceiling reached: ceilings from 1 / factor to factor times 200."""
    level = np.exp(np.linspace(-np.log(factor), np.log(factor), 101))
    return written(np.full((120, 1), 100.0), iroas=level[:, None], half_saturation=1.0, revenue=1e4)


def test_shapes_are_medians_with_the_ceilings_interval():
    row = returns.rows(spread(1000.0), 2.5).iloc[1]
    assert row["ceiling"] == pytest.approx(200.0, rel=1e-4)
    # the central 90% of draws that are even on the log scale: 0.9 of the way to either end
    assert (row["ceiling_low"], row["ceiling_high"]) == pytest.approx((200 * 1000**-0.9, 200 * 1000**0.9), rel=1e-4)
    assert row["half_saturation"] == pytest.approx(100.0)
    shaped = replace(spread(2.0), half_saturation=np.array([[1.0], [2.0], [9.0]])[np.arange(101) % 3])
    assert returns.rows(shaped, 2.5)["half_saturation"].iloc[1] == pytest.approx(200.0)


@pytest.mark.parametrize(("factor", "status"), [(12.0, "determined"), (13.5, "not_determined")])
def test_a_ceiling_that_spans_more_than_a_hundredfold_is_no_figure(factor, status):
    """The interval spans factor ** 1.8: 88 and 108."""
    post = spread(factor)
    table = returns.ordered(returns.rows(post, 2.5), {"total_media": 1.0, "channel_1": 1.0}, ["channel_1"])
    names = ("contributions", "media", "curves", "priors", "evidence")
    result = model.Regression(
        table=table, posterior=post, **dict.fromkeys(names), reasons=(), contribution_margin_share=0.4,
        currency="EUR", frequency="week", periods=120,
    )  # fmt: skip
    shown = result.shapes.iloc[0]
    assert shown["ceiling_status"] == status
    assert pd.isna(shown["ceiling_cents"]) == (status == "not_determined")
    assert shown["ceiling_high_cents"] / shown["ceiling_low_cents"] == pytest.approx(factor**1.8, rel=1e-3)


def test_spend_over_revenue_by_hand():
    post = spread(2.0)
    assert returns.spend_share(post.problem) == pytest.approx(100 / 1e4)
    assert [returns.unusual(share) for share in (0.0, np.nan, 0.0009, 0.0011, 0.99, 1.01)] == [
        False, False, True, False, False, True,
    ]  # fmt: skip
    assert returns.unusual_words(2.5, "en").startswith("spend is 250.00% of revenue;")
