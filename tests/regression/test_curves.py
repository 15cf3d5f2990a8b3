"""Curves of what spend would bring: by hand, beside the fit's own response, and told apart beyond what was observed."""

import numpy as np
import pytest

from kpitoolkit.regression import curves
from kpitoolkit.regression import posterior as posteriors
from kpitoolkit.regression.transforms import adstock
from tests.regression.posterior_by_hand import written

DRAW = np.random.default_rng(5)
SPEND = DRAW.gamma(3, 1, (130, 3)) * [300.0, 100.0, 50.0]
SPEND[:, 1] *= np.arange(130) // 6 % 2
SHAPES = {
    "iroas": DRAW.lognormal(0, 0.5, (40, 3)),
    "carryover": DRAW.uniform(0.05, 0.9, (40, 3)),
    "half_saturation": DRAW.lognormal(0.5, 0.5, (40, 3)),
    "slope": DRAW.lognormal(0, 0.4, (40, 3)),
}
KINDS = [
    ("geometric", "hill"),
    ("geometric", "logistic"),
    ("delayed", "hill"),
    ("delayed", "logistic"),
]


def posterior(adstock_kind="geometric", saturation="hill", **changed):
    shapes = SHAPES | {"peak": np.full((40, 3), 1.5) if adstock_kind == "delayed" else 0.0} | changed
    return written(SPEND, window=118, adstock=adstock_kind, saturation=saturation, **shapes)


def test_by_hand_one_channel_without_carryover():
    # 100 in every week, half_saturation 100: half of the ceiling, so an iROAS of 2 makes the ceiling 400 a week.
    post = written(np.full((104, 1), 100.0), iroas=2.0)
    found = curves.response(post)
    at = (found["spend"] - 100).abs() < 1e-6
    assert found.loc[at, "contribution"].to_numpy() == pytest.approx(200, rel=1e-5)
    assert set(found.loc[at, "range"]) == {"observed"}
    ahead = curves.forward(post)
    assert ahead.revenue(0, [100.0, 300.0])[0] == pytest.approx([13 * 200, 13 * 300], rel=1e-5)
    assert ahead.next_unit(0, [100.0, 300.0])[0] == pytest.approx([1.0, 0.25], rel=1e-5)
    assert ahead.revenue(0, [0.0])[0] == pytest.approx([0.0], abs=0.02)


def test_by_hand_carry_in_and_tail_in_quarters():
    # Two quarters of carry-over, half and half nearly (carryover 1 - 1e-9): last quarter 50, the window's mean is 100.
    spend = np.array([[150.0], [100.0]] * 7 + [[150.0], [50.0]])
    post = written(spend, iroas=1.0, carryover=1 - 1e-9, frequency="quarter", revenue=1000.0)
    ceiling = posteriors.ceiling(post)[0, 0]
    active = spend.mean()
    ahead = curves.forward(post)
    assert ahead.periods == 1
    assert ahead.now.tolist() == [50.0]

    def share(pressure):
        return pressure / (pressure + active)

    # the quarter: half of its own 80 and half of the 50 before it; after it: what half of 80 adds to half of 50
    expected = ceiling * (share(40 + 25) + share(40 + 25) - share(25))
    assert ahead.revenue(0, [80.0])[0, 0] == pytest.approx(expected, rel=1e-5)
    without = curves.forward(post, tail=False).revenue(0, [80.0])[0, 0]
    assert without == pytest.approx(ceiling * share(65), rel=1e-5)
    nothing_after = curves.forward(post, following=np.zeros(1)).revenue(0, [80.0])[0, 0]
    assert nothing_after == pytest.approx(ceiling * (share(65) + share(40)), rel=1e-5)


@pytest.mark.parametrize(("adstock_kind", "saturation"), KINDS)
def test_the_next_quarter_is_what_the_fit_would_say_of_such_spend(adstock_kind, saturation):
    post = posterior(adstock_kind, saturation)
    given, ahead = post.problem, curves.forward(post)
    plan = ahead.now * [1.3, 0.4, 2.0]
    quarter, after = np.tile(plan / given.mean_active, (13, 1)), np.tile(ahead.now / given.mean_active, (12, 1))
    spent = posteriors.reached(post, np.vstack([given.spend, quarter, after]), window=25)
    without = posteriors.reached(post, np.vstack([given.spend, 0 * quarter, after]), window=25)
    share = spent[:, :13].sum(axis=1) + (spent[:, 13:] - without[:, 13:]).sum(axis=1)
    expected = posteriors.ceiling(post) * share
    for place, spend in enumerate(plan):
        assert ahead.revenue(place, [spend])[:, 0] == pytest.approx(expected[:, place], rel=1e-9)


@pytest.mark.parametrize(("adstock_kind", "saturation"), KINDS)
def test_the_next_unit_is_the_derivative(adstock_kind, saturation):
    ahead = curves.forward(posterior(adstock_kind, saturation))
    for place in range(3):
        spend = np.array([0.3, 1.0, 1.8]) * ahead.highest[place]
        step = 1e-5 * ahead.highest[place]
        rise = ahead.revenue(place, spend + step) - ahead.revenue(place, spend - step)
        assert ahead.next_unit(place, spend) == pytest.approx(rise / (2 * step * 13), rel=1e-5, abs=1e-8)


def test_a_spend_held_for_good_is_where_the_fit_settles():
    post = posterior()
    given, found = post.problem, curves.response(post)
    held = np.tile(np.array([0.7, 1.4, 0.2]), (given.periods, 1))
    settled = posteriors.reached(post, held, window=1)[:, 0] * posteriors.ceiling(post)
    for place, channel in enumerate(given.channels):
        own = found[found["channel"] == channel]
        at = held[0, place] * given.mean_active[place]
        mean = settled[:, place].mean()
        assert np.interp(at, own["spend"], own["contribution"]) == pytest.approx(mean, rel=5e-3)
        low, high = np.quantile(settled[:, place], [0.05, 0.95])
        assert np.interp(at, own["spend"], own["low"]) == pytest.approx(low, rel=2e-2)
        assert np.interp(at, own["spend"], own["high"]) == pytest.approx(high, rel=2e-2)


def test_observed_is_spend_with_its_carryover_and_told_apart():
    post = posterior(carryover=np.full((40, 3), 0.6))
    lowest, highest = curves.observed(post)
    pressure = np.column_stack([adstock(column, 0.6)[-118:] for column in SPEND.T])
    assert lowest == pytest.approx(pressure.min(axis=0), rel=1e-9)
    assert highest == pytest.approx(pressure.max(axis=0), rel=1e-9)
    found = curves.response(post)
    for place, channel in enumerate(post.problem.channels):
        own = found[found["channel"] == channel]
        assert own["spend"].is_monotonic_increasing
        assert own["contribution"].is_monotonic_increasing
        inside = own["spend"].between(lowest[place] * (1 - 1e-12), highest[place] * (1 + 1e-12))
        assert (own["range"].eq("observed") == inside).all()
        assert own["spend"].max() == pytest.approx(1.5 * highest[place])
        assert own["spend"].min() == 0
        assert (own["low"] <= own["high"]).all()
    assert set(found["range"]) == {"observed", "beyond"}


def test_many_draws_are_thinned_the_same_way_each_time():
    many = {name: np.repeat(values, 30, axis=0) for name, values in SHAPES.items()}
    post = written(SPEND, window=118, **many)
    one, other = curves.forward(post), curves.forward(post)
    assert one.ceiling.shape == (500, 3)
    assert (one.revenue(0, [100.0]) == other.revenue(0, [100.0])).all()
    whole = curves.forward(posterior())
    assert one.revenue(0, [100.0]).mean() == pytest.approx(whole.revenue(0, [100.0]).mean(), rel=0.02)


def test_without_a_posterior_there_is_no_curve():
    assert curves.response(None).empty
    assert list(curves.response(None).columns) == curves.COLUMNS
