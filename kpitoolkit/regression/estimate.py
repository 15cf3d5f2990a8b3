"""From a problem to a posterior: the highest point with its curvature for drafts, NUTS for what is published.

Both start from the same optimum. NUTS (nutpie's) walks in coordinates whitened by the curvature, and is extended until
its chains agree or a stated limit is reached; what then still disagrees is for the verdict to refuse.
"""

import warnings
from dataclasses import replace
from itertools import cycle

import numpy as np
from scipy import optimize
from scipy.special import expit

from kpitoolkit.regression import density
from kpitoolkit.regression.posterior import Posterior, baseline_draws, reached
from kpitoolkit.regression.problem import ADSTOCKS, Problem, shaped

STARTS = 4
CHAINS, TUNE, DRAWS = 4, 200, 350
SHORT_CHAINS, SHORT_TUNE, SHORT_DRAWS = 2, 100, 150
FAR = 0.22  # of log iROAS of all media together: a quarter more or less
TARGET_ACCEPT = 0.9
EXTENSIONS = 4
LARGEST_R_HAT, SMALLEST_ESS = 1.05, 400.0
STEP = 1e-4
REACH = 6.0  # how far, in prior standard deviations, the optimiser may go


def draft(given: Problem, seed: int = 0, draws: int = 1000) -> Posterior:
    """Estimate by the posterior's highest point and Laplace's approximation around it.

    Parameters
    ----------
    given : Problem
    seed : int
        Of the draws.
    draws : int

    Returns
    -------
    Posterior
        kind `draft`.
    """
    inputs = given.arrays()
    best, optima = highest(given, inputs)
    centre, root = best, curvature(given, best, inputs)
    draw = np.random.default_rng(seed)
    positions = centre + draw.standard_normal((draws, len(centre))) @ root.T
    unknown = np.full(len(given.channels), np.nan)
    return _posterior(given, positions, draw, "draft", unknown, unknown, 0, 0, optima)


def published(given: Problem, seed: int = 0) -> Posterior:
    """Estimate by NUTS from the posterior's highest point, extended until the chains agree.

    Parameters
    ----------
    given : Problem
    seed : int

    Returns
    -------
    Posterior
        kind `published`. `r_hat` and `ess` say whether the chains agree: after `EXTENSIONS` extensions they may not.
    """
    inputs = given.arrays()
    best, optima = highest(given, inputs)
    centre, root = best, curvature(given, best, inputs)
    chains, divergences = _walk(inputs, centre, root, None, TUNE, seed)
    r_hat, ess = agreement(chains[:, :, : len(given.channels)])
    extended = 0
    while extended < EXTENSIONS and not (r_hat.max() < LARGEST_R_HAT and ess.min() > SMALLEST_ESS):
        extended += 1
        centre, root = _learned(chains)
        more, failed = _walk(inputs, centre, root, chains[:, -1], TUNE // 2, seed + extended)
        chains, divergences = np.concatenate([chains, more], axis=1), divergences + failed
        r_hat, ess = agreement(chains[:, :, : len(given.channels)])
    positions = chains.reshape(-1, chains.shape[2])
    draw = np.random.default_rng(seed)
    return _posterior(given, positions, draw, "published", r_hat, ess, divergences, extended, optima)


def short(given: Problem, seed: int = 0) -> Posterior:
    """Estimate by a short walk of NUTS, never extended: for refits by the dozen where no draft describes the posterior.

    Parameters
    ----------
    given : Problem
    seed : int

    Returns
    -------
    Posterior
        kind `short`.
    """
    inputs = given.arrays()
    best, optima = highest(given, inputs)
    centre, root = best, curvature(given, best, inputs)
    chains, divergences = _walk(inputs, centre, root, None, SHORT_TUNE, seed, SHORT_CHAINS, SHORT_DRAWS)
    r_hat, ess = agreement(chains[:, :, : len(given.channels)])
    positions = chains.reshape(-1, chains.shape[2])
    draw = np.random.default_rng(seed)
    return _posterior(given, positions, draw, "short", r_hat, ess, divergences, 0, optima)


def beside_draft(post: Posterior, seed: int = 0) -> float:
    """Return iROAS of all media together as a draft of the same problem has it; NaN where it describes the posterior.

    A draft whose figure is within a quarter of the published one (`FAR`) does; and beside what is a draft itself there
    is nothing to compare.
    """
    if post.kind != "published":
        return np.nan
    found = float(draft(post.problem, seed, draws=500).total.mean())
    return found if abs(np.log(found / post.total.mean())) > FAR else np.nan


def chosen(given: Problem) -> tuple[Problem, dict[str, float]]:
    """Return the problem under the adstock of higher evidence, and the log evidence of each.

    Evidence is Laplace's approximation of the marginal likelihood (MacKay, *Information Theory, Inference, and Learning
    Algorithms*, 2003, chapter 27): how well a model foresaw the data, its freedom counted against it. The geometric
    adstock stands unless the delayed one is more likely than not. By quarter it always stands: what peaks within a
    quarter is no delay.
    """
    if not given.channels or given.frequency != "week":
        return given, {}
    found = {adstock: shaped(given, adstock) for adstock in ADSTOCKS}
    heights = {adstock: evidence(each) for adstock, each in found.items()}
    return found[max(heights, key=heights.get)], heights


def evidence(given: Problem) -> float:
    """Return Laplace's log evidence, up to a constant that all models of the same revenue and baseline share."""
    inputs = given.arrays()
    best, optima = highest(given, inputs)
    width = np.log(np.diag(curvature(given, best, inputs))).sum()
    return float(optima.max() + width - 0.5 * np.linalg.slogdet(given.prior.covariance)[1])


def highest(given: Problem, inputs: tuple | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of the highest log posterior, and the height reached from each start.

    L-BFGS-B with the exact gradient, in prior standard deviations, from the prior's centre and from draws of it.
    """
    inputs = given.arrays() if inputs is None else inputs
    mean, sd = given.prior.mean, np.sqrt(np.diag(given.prior.covariance))
    gradient = np.empty(len(mean))

    def negative(scaled):
        value = density.log_posterior(mean + sd * scaled, gradient, *inputs)
        return -value, -gradient * sd

    draw = np.random.default_rng(0)
    starts = [np.zeros(len(mean)), *(draw.standard_normal((STARTS - 1, len(mean))) * 0.7)]
    bounds = [(-REACH, REACH)] * len(mean)
    found = [
        optimize.minimize(negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 400})
        for start in starts
    ]
    best = min(found, key=lambda each: each.fun)
    return mean + sd * best.x, np.array([-each.fun for each in found])


def curvature(given: Problem, position: np.ndarray, inputs: tuple) -> np.ndarray:
    """Return a lower triangular root of the inverse curvature of the log posterior at a position.

    Differences of the exact gradient, in prior standard deviations. Directions in which the surface bends less than the
    prior does, or the wrong way, are given a tenth of the prior's bend: Laplace cannot see them.
    """
    sd = np.sqrt(np.diag(given.prior.covariance))
    size = len(position)
    bend = np.empty((size, size))
    above, below = np.empty(size), np.empty(size)
    for place in range(size):
        step = np.zeros(size)
        step[place] = STEP * sd[place]
        density.log_posterior(position + step, above, *inputs)
        density.log_posterior(position - step, below, *inputs)
        bend[place] = (below - above) * sd / (2 * STEP)
    values, vectors = np.linalg.eigh((bend + bend.T) / 2)
    # The prior's least bend (.25) as floor moved 3 of 27 simulated evidences by < .5, and no choice of adstock.
    inverse = (vectors / np.maximum(values, 0.1)) @ vectors.T
    return np.linalg.cholesky(inverse * np.outer(sd, sd))


def agreement(chains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rank-normalised R-hat and bulk ESS (ArviZ's) by quantity; takes shape (chains, draws, quantities)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import arviz
    columns = [chains[:, :, place] for place in range(chains.shape[2])]
    r_hat = np.array([float(arviz.rhat(column)) for column in columns])
    return r_hat, np.array([float(arviz.ess(column)) for column in columns])


def _walk(inputs, centre, root, start, tune, seed, count=CHAINS, draws=DRAWS):
    """Walk NUTS in whitened coordinates; return positions of shape (chains, draws, dimensions), and divergences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import nutpie
        from nutpie import compiled_pyfunc
    size = len(centre)
    if start is None:
        begun = np.random.default_rng(seed).standard_normal((count, size))
    else:
        begun = np.ascontiguousarray(np.linalg.solve(root, (start - centre).T).T)
    waiting = cycle(begun)

    def make_density():
        scratch = np.empty(size)

        def value(coordinates):
            gradient = np.empty(size)
            return density.whitened(coordinates, gradient, centre, root, scratch, inputs), gradient

        return value

    def make_expand(_seed, _other, _chain):
        return lambda coordinates: {"position": coordinates}

    model = compiled_pyfunc.from_pyfunc(
        size,
        make_density,
        make_expand,
        [np.dtype("float64")],
        [(size,)],
        ["position"],
        make_initial_point_fn=lambda _seed: next(waiting),
    )
    trace = nutpie.sample(
        model, draws=draws, tune=tune, chains=count, cores=1, seed=seed, save_warmup=False, progress_bar=False,
        target_accept=TARGET_ACCEPT,
    )  # fmt: skip
    coordinates = trace.posterior["position"].to_numpy()
    return centre + coordinates @ root.T, int(trace.sample_stats["diverging"].sum())


def _learned(chains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = chains.reshape(-1, chains.shape[2])
    return flat.mean(axis=0), np.linalg.cholesky(np.cov(flat.T))


def _posterior(given, positions, draw, kind, r_hat, ess, divergences, extended, optima) -> Posterior:
    count, names = len(given.channels), given.prior.names
    blocks = {name: positions[:, place * count : (place + 1) * count] for place, name in enumerate(names)}
    none = np.ones((len(positions), count))
    found = Posterior(
        problem=given,
        kind=kind,
        iroas=np.exp(blocks["iroas"]),
        carryover=expit(blocks["carryover"]),
        half_saturation=np.exp(blocks["half_saturation"]),
        slope=np.exp(blocks["slope"]) if "slope" in blocks else none,
        peak=np.exp(blocks["peak"]) if "peak" in blocks else 0 * none,
        baseline=np.empty((0, 0)),
        autocorrelation=np.tanh(positions[:, -2]),
        noise=np.exp(positions[:, -1]),
        r_hat=r_hat,
        ess=ess,
        divergences=divergences,
        extended=extended,
        optima=optima,
    )
    share = reached(found, given.spend)
    media = np.einsum("dwc,dc->dw", share, found.iroas * given.spent / share.sum(axis=1))
    return replace(found, baseline=baseline_draws(given, media, found.autocorrelation, found.noise, draw))
