import numpy as np
import pytest
import statsmodels.api as sm

from kpitoolkit.regression import returns, shapes, transforms

GRID = shapes.shape_grid()


@pytest.fixture(scope="module")
def company():
    """Revenue that two channels explain exactly at grid points, with their columns."""
    draw = np.random.default_rng(3)
    baseline = np.column_stack([np.ones(120), np.linspace(-1, 1, 120)])
    spends = [draw.gamma(2, 50, 132), draw.gamma(1, 80, 132) * (draw.random(132) < 0.6)]
    columns = [returns.describe("c", spend, GRID, 120, 13).column for spend in spends]
    planted = [
        int(np.flatnonzero(np.isclose(GRID.carryover, 0.5) & np.isclose(GRID.half_saturation, 2.0))[0]),
        int(np.flatnonzero(np.isclose(GRID.carryover, 0.2) & np.isclose(GRID.half_saturation, 1.0))[0]),
    ]
    exact = baseline @ [900.0, 50.0] + 3.0 * columns[0][:, planted[0]] + 1.5 * columns[1][:, planted[1]]
    return exact, baseline, columns, planted


@pytest.mark.parametrize(("periods", "lags"), [(15, 2), (52, 3), (156, 4), (250, 4), (300, 5)])
def test_lags_of_newey_and_west(periods, lags):
    """The exponent is 2/9: with 1/4, 250 periods would take 5 lags."""
    assert shapes.hac_lags(periods) == lags


@pytest.mark.parametrize(("carryover", "half", "expected"), [(0.5, 1.0, 0.859357), (0.9, 16.0, -2.928189)])
def test_prior_by_hand(carryover, half, expected):
    """Normal on the logit, -0.6 and 1, with its Jacobian -log c(1 - c); normal on log half-saturation, log 2.5, 1.1."""
    point = np.isclose(GRID.carryover, carryover) & np.isclose(GRID.half_saturation, half)
    assert GRID.log_prior[point] == pytest.approx([expected], abs=1e-6)


def test_draws_have_the_tails_of_t():
    """Six degrees of freedom: t's spread is sqrt(6 / 4) = 1.22 standard errors, a normal's would be 1."""
    draw = np.random.default_rng(9)
    baseline, media = np.ones((9, 1)), [draw.normal(size=(9, 1))]
    revenue = draw.normal(size=9)
    lone = shapes.Grid(GRID.carryover[:1], GRID.half_saturation[:1], np.zeros(1))
    draws = shapes.average(revenue, baseline, media, lone, chosen=[0], autocorrelation=0.0, lags=1, sweeps=3000)
    design = np.column_stack([baseline, media[0]])[1:]
    estimates = np.linalg.lstsq(design, revenue[1:], rcond=None)[0]
    error = np.sqrt(shapes.hac_covariance(design, revenue[1:] - design @ estimates, 1)[1, 1])
    assert draws.coefficients[:, 0].std() / error == pytest.approx(np.sqrt(6 / 4), rel=0.08)


def test_search_finds_what_was_planted(company):
    exact, baseline, columns, planted = company
    noisy = exact + np.random.default_rng(0).normal(0, 0.05, len(exact))
    chosen, _autocorrelation = shapes.search(noisy, baseline, columns, GRID)
    assert chosen == planted


def test_search_is_no_worse_than_every_pair(company):
    """Second way: all 4,900 pairs of grid points, one least squares each."""
    exact, baseline, columns, _planted = company
    noisy = exact + np.random.default_rng(1).normal(0, 40.0, len(exact))
    chosen, autocorrelation = shapes.search(noisy, baseline, columns, GRID)
    target, fixed = shapes.whiten(noisy, autocorrelation), shapes.whiten(baseline, autocorrelation)
    media = [shapes.whiten(each, autocorrelation) for each in columns]

    def height(points):
        design = shapes.join(fixed, media, points)
        left = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        return -len(target) / 2 * np.log(left @ left) + GRID.log_prior[list(points)].sum()

    count = len(GRID.carryover)
    best = max(height((one, other)) for one in range(0, count, 3) for other in range(0, count, 3))
    assert height(chosen) >= best - 0.05


def test_hac_covariance_is_statsmodels():
    draw = np.random.default_rng(2)
    design = np.column_stack([np.ones(60), draw.normal(size=(60, 3))])
    target = draw.normal(size=60).cumsum()
    fitted = sm.OLS(target, design).fit(cov_type="HAC", cov_kwds={"maxlags": 4, "use_correction": True})
    assert shapes.hac_covariance(design, fitted.resid, 4) == pytest.approx(fitted.cov_params(), rel=1e-9)


def test_autocorrelation_is_statsmodels():
    draw = np.random.default_rng(4)
    error = np.zeros(400)
    for at in range(1, 400):
        error[at] = 0.6 * error[at - 1] + draw.normal()
    design = np.column_stack([np.ones(400), draw.normal(size=400)])
    target = design @ [5.0, 2.0] + error
    model = sm.GLSAR(target, design, 1)
    model.iterative_fit(50)
    assert shapes.autocorrelation_of(target, design) == pytest.approx(float(model.rho[0]), abs=0.01)
    assert shapes.autocorrelation_of(target, design) == pytest.approx(0.6, abs=0.1)


def test_errors_that_never_end_are_left_to_the_baseline():
    assert shapes.autocorrelation_of(np.arange(15.0) ** 2, np.ones((15, 1))) == pytest.approx(1 - 5 / 15)


def test_averaging_is_wider_than_the_best_point_and_repeats_itself(company):
    exact, baseline, columns, _planted = company
    noisy = exact + np.random.default_rng(1).normal(0, 40.0, len(exact))
    chosen, autocorrelation = shapes.search(noisy, baseline, columns, GRID)
    settings = {"chosen": chosen, "autocorrelation": autocorrelation, "lags": 4}
    draws = shapes.average(noisy, baseline, columns, GRID, **settings)
    again = shapes.average(noisy, baseline, columns, GRID, **settings)
    assert (draws.coefficients == again.coefficients).all()
    whitened = shapes.whiten(shapes.join(baseline, columns, chosen), autocorrelation)
    aim = shapes.whiten(noisy, autocorrelation)
    left = aim - whitened @ np.linalg.lstsq(whitened, aim, rcond=None)[0]
    conditional = np.sqrt(np.diag(shapes.hac_covariance(whitened, left, 4)))[-2:]
    assert (draws.coefficients.std(axis=0) > conditional).all()
    assert len(set(draws.points[:, 0])) > 3


def test_without_channels_there_is_nothing_to_search():
    chosen, _autocorrelation = shapes.search(np.arange(20.0), np.ones((20, 1)), [], GRID)
    assert chosen == []


def test_responses_scale_with_the_currency():
    spend = np.random.default_rng(5).gamma(2, 50, 60)
    one = returns.describe("c", spend, GRID, 50, transforms.WEEKS_OF_CARRYOVER)
    cents = returns.describe("c", spend * 100, GRID, 50, transforms.WEEKS_OF_CARRYOVER)
    assert cents.column == pytest.approx(one.column * 100)
    assert cents.half_saturation == pytest.approx(one.half_saturation * 100)
    assert cents.next_share == pytest.approx(one.next_share)


def test_with_one_shape_only_the_draws_are_the_conditional_distribution(company):
    """Nothing to average: the draws' spread is the HAC standard error, in t's units."""
    exact, baseline, columns, planted = company
    noisy = exact + np.random.default_rng(1).normal(0, 40.0, len(exact))
    lone = shapes.Grid(GRID.carryover[:1], GRID.half_saturation[:1], np.zeros(1))
    media = [each[:, [point]] for each, point in zip(columns, planted, strict=True)]
    draws = shapes.average(noisy, baseline, media, lone, chosen=[0, 0], autocorrelation=0.2, lags=4, sweeps=2000)
    design, aim = shapes.whiten(shapes.join(baseline, media, [0, 0]), 0.2), shapes.whiten(noisy, 0.2)
    estimates = np.linalg.lstsq(design, aim, rcond=None)[0]
    conditional = np.sqrt(np.diag(shapes.hac_covariance(design, aim - design @ estimates, 4)))[-2:]
    freedom = len(aim) - design.shape[1]
    assert draws.coefficients.mean(axis=0) == pytest.approx(estimates[-2:], abs=0.1 * conditional.max())
    assert draws.coefficients.std(axis=0) == pytest.approx(conditional * np.sqrt(freedom / (freedom - 2)), rel=0.06)
