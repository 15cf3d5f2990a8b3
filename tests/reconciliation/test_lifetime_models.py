"""Lifetime models against published numbers, a second way of computing them, and their own simulation."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from kpitoolkit import errors
from kpitoolkit.reconciliation import lifetime_models as models

PUBLISHED = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}


@pytest.fixture(scope="module")
def cdnow():
    """CDNOW's 2,357 customers, as the package `lifetimes` prints them; it is never imported: nobody maintains it."""
    folder = Path(find_spec("lifetimes").submodule_search_locations[0]) / "datasets"
    return pd.read_csv(folder / "cdnow_customers_summary_with_transactions.csv")


@pytest.fixture(scope="module")
def purchases(cdnow):
    return models.fit_purchases(cdnow["x"], cdnow["t_x"], cdnow["T"])


def test_the_published_fit_of_cdnow(cdnow, purchases):
    assert len(cdnow) == 2357
    assert {name: round(value, 3) for name, value in purchases.values.items()} == PUBLISHED
    assert round(purchases.log_likelihood, 1) == -9582.4
    assert purchases.identified
    expected = models.expected_of_customers(purchases, [2], [30.43], [38.86], 39)
    assert round(float(expected[0]), 3) == 1.226


def test_the_published_values_of_cdnow(cdnow):
    repeaters = cdnow[cdnow["x"] > 0]
    assert len(repeaters) == 946
    fit = models.fit_value(repeaters["x"], repeaters["zbar"])
    assert (round(fit["p"], 2), round(fit["q"], 2)) == (6.25, 3.74)
    assert fit["gamma"] == pytest.approx(15.44, abs=0.01)
    other = sum(gamma_gamma(6.25, 3.74, 15.44, x, m) for x, m in repeaters[["x", "zbar"]].to_numpy())
    assert fit.log_likelihood >= other and fit.log_likelihood == pytest.approx(other, abs=0.05)
    assert models.expected_value(fit) == pytest.approx(35.1, abs=0.1)


def gamma_gamma(p, q, gamma, x, m):
    """Log density of a mean of x gamma values whose rate is gamma distributed: the rate is integrated out."""
    rates = np.geomspace(1e-5, 40, 1201)
    density = stats.gamma.pdf(m, p * x, scale=1 / (rates * x)) * stats.gamma.pdf(rates, q, scale=1 / gamma)
    return np.log(integrate.simpson(density, x=rates))


def test_the_likelihood_is_the_integral_over_rates_and_stopping():
    """L = E[rate^x e^(-rate T) (1-p)^x + [x>0] p (1-p)^(x-1) rate^x e^(-rate t_x)], rate gamma and p beta."""
    rng = np.random.default_rng(5)
    age = rng.uniform(5, 40, 400)
    x, t_x = simulated(rng, r=1.5, alpha=6.0, a=1.3, b=4.0, age=age)
    fit = models.fit_purchases(x, t_x, age)
    points, weights = special.roots_genlaguerre(80, fit["r"] - 1)
    rates, weights = points / fit["alpha"], weights / weights.sum()
    stops, shares = special.roots_jacobi(80, fit["b"] - 1, fit["a"] - 1)
    stops, shares = (stops + 1) / 2, shares / shares.sum()
    total = 0.0
    for count, last, span in zip(x, t_x, age, strict=True):
        alive = weights @ (rates**count * np.exp(-rates * span)) * (shares @ (1 - stops) ** count)
        gone = weights @ (rates**count * np.exp(-rates * last)) * (shares @ (stops * (1 - stops) ** (count - 1)))
        total += np.log(alive + (gone if count else 0.0))
    assert fit.log_likelihood == pytest.approx(total, rel=1e-6)


def simulated(rng, r, alpha, a, b, age):
    """Customers who buy by BG/NBD, day by day of chance: x, t_x within each one's age."""
    rows = []
    for rate, stop, span in zip(rng.gamma(r, 1 / alpha, len(age)), rng.beta(a, b, len(age)), age, strict=True):
        time, x, last = 0.0, 0, 0.0
        while True:
            time += rng.exponential(1 / rate)
            if time > span:
                break
            x, last = x + 1, time
            if rng.random() < stop:
                break
        rows.append((x, last))
    return np.array(rows).T


def test_expected_purchases_are_those_that_come():
    rng = np.random.default_rng(1)
    truth = {"r": 0.8, "alpha": 6.0, "a": 0.9, "b": 3.0}
    x, _ = simulated(rng, **truth, age=np.full(40_000, 52.0))
    expected = float(models.expected_purchases(truth, 52))
    assert x.mean() == pytest.approx(expected, abs=4 * x.std() / np.sqrt(len(x)))
    near_one = [float(models.expected_purchases(truth | {"a": a}, 52)) for a in (0.9999, 1.0, 1.0001)]
    assert near_one[1] == pytest.approx((near_one[0] + near_one[2]) / 2, rel=1e-4)


def test_what_is_expected_of_known_customers_is_what_they_then_do():
    rng = np.random.default_rng(2)
    truth = {"r": 0.8, "alpha": 6.0, "a": 0.9, "b": 3.0}
    seeds = rng.integers(2**63, size=12_000)
    before, after = (simulated_paths(seeds, truth, weeks) for weeks in (26.0, 39.0))
    fit = models.Fit(truth, np.zeros(4), dict, np.eye(4), 0.0, 1, True)
    expected = models.expected_of_customers(fit, before[0], before[1], np.full(before.shape[1], 26.0), 13.0)
    came = after[0] - before[0]
    for count in (0, 1, 4):
        own = before[0] == count
        assert expected[own].mean() == pytest.approx(came[own].mean(), abs=4 * came[own].std() / np.sqrt(own.sum()))


def simulated_paths(seeds, truth, weeks):
    """The same customers whatever the number of weeks: each one's purchases come from a stream of its own."""
    found = [simulated(np.random.default_rng(seed), **truth, age=np.array([weeks])) for seed in seeds]
    return np.concatenate(found, axis=1)


def test_customers_who_are_all_alike_are_held_at_the_bound_and_still_have_an_error():
    rng = np.random.default_rng(3)
    age = rng.uniform(10, 80, 4000)
    x, t_x = simulated(rng, r=0.7, alpha=14.0, a=300_000.0, b=1_700_000.0, age=age)
    fit = models.fit_purchases(x, t_x, age)
    assert fit.identified and fit["a"] / (fit["a"] + fit["b"]) == pytest.approx(0.15, abs=0.03)
    assert 0 < models.log_error(lambda given: float(models.expected_purchases(given, 100)), [fit]) < 0.2
    same = models.fit_value(np.repeat(2, 500), rng.gamma(20.0, 5.0, 500))
    assert models.expected_value(same) == pytest.approx(100, rel=0.05)


def test_currency_is_only_a_unit():
    rng = np.random.default_rng(4)
    x, mean = rng.integers(1, 6, 400), rng.gamma(3.0, 20.0, 400) * rng.gamma(5, 0.2, 400)
    euro, cents = models.fit_value(x, mean), models.fit_value(x, mean * 100)
    assert models.expected_value(cents) == pytest.approx(100 * models.expected_value(euro), rel=1e-6)
    assert cents["p"] == pytest.approx(euro["p"], rel=1e-5)


def test_published_lifetime_of_a_subscriber_by_both_conventions():
    margin = 19.95 - 1.50 - 0.50
    assert round(models.subscriber(margin, 0.995, 0.01, "after_first_period"), 2) == 1190.68
    assert round(models.subscriber(margin, 0.995, 0.01, "at_once"), 2) == 1208.63
    by_hand = sum(margin * 0.995**t / 1.01**t for t in range(12))
    assert models.subscriber(margin, 0.995, 0.01, periods=12) == pytest.approx(by_hand)
    after = sum(margin * 0.995**t / 1.01**t for t in range(1, 13))
    assert models.subscriber(margin, 0.995, 0.01, "after_first_period", 12) == pytest.approx(after)
    curve = 1 + 0.8 / 1.1 + 0.8 * 0.9 / 1.1**2 + 0.8 * 0.9 * 0.95 / 1.1**3 / (1 - 0.95 / 1.1)
    assert models.subscriber(1, [0.8, 0.9, 0.95], 0.1) == pytest.approx(curve)
    assert models.subscriber(1, 1.0, 0.0, periods=5) == 5
    assert models.subscriber(1, [0.5, 0.5, 0.5], 0.0, periods=1) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((1, 1.2, 0.1), "a share from 0 to 1"),
        ((1, 1.0, 0.0), "nobody leaves"),
        ((1, 0.9, 0.1, "at_onse"), "Did you mean 'at_once'"),
    ],
)
def test_a_retention_that_is_none_is_refused(given, said):
    with pytest.raises(errors.ToolkitError, match=said):
        models.subscriber(*given)


def test_histories_that_contradict_themselves_are_refused_all_at_once():
    with pytest.raises(errors.Faults) as caught:
        models.fit_purchases([1, 0, 1.5], [12.0, 3.0, 2.0], [10.0, 10.0, 10.0])
    assert len(caught.value.faults) == 3
    with pytest.raises(errors.Faults, match="no customer came back"):
        models.fit_purchases([0, 0], [0, 0], [5, 6])
    with pytest.raises(errors.Faults, match="values are not above zero"):
        models.fit_value([1, 2], [10.0, -1.0])
