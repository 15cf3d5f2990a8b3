"""PyMC-Marketing on simulated companies, in its own virtual environment, sampled by nutpie.

Priors are those of its documentation's examples ("recommended": sd of a channel's ceiling by its share of spend), or
the library's own where nothing is said ("default"). It scales revenue and spend by itself; controls and a trend are
given to it standardised, as its documentation asks for scales that suit the prior of their coefficients. It is fitted
on the carry-in weeks too, with their revenue, which the toolkit does not use; answers are of the window alone. Building
and compiling the model is timed apart from sampling.
"""

import logging
import warnings

from tests.benchmarks.sidebyside import stopwatch

CHAINS, DRAWS, TUNE = 2, 500, 500
LMAX = 13


def fit(watch, companies_of, saturation="logistic", priors="recommended"):
    """Fit each company ([family, seed]); return iROAS by channel and of all media together."""
    import arviz as az
    import numpy as np
    import nutpie
    from pymc_extras.prior import Prior
    from pymc_marketing.mmm import MMM, GeometricAdstock, HillSaturation, LogisticSaturation

    from tests.benchmarks.sidebyside import answers
    from tests.benchmarks.sidebyside import companies as simulated

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    watch.imported()
    channels, controls = list(simulated.CHANNELS), list(simulated.CONTROLS)

    def built(frame):
        spend = frame[channels].sum()
        ceilings = (len(channels) * spend / spend.sum()).to_numpy()
        config = {
            "intercept": Prior("Normal", mu=0.5, sigma=0.2),
            "saturation_beta": Prior("HalfNormal", sigma=ceilings, dims="channel"),
            "gamma_control": Prior("Normal", mu=0, sigma=0.05, dims="control"),
            "gamma_fourier": Prior("Laplace", mu=0, b=0.2, dims="fourier_mode"),
            "likelihood": Prior("Normal", sigma=Prior("HalfNormal", sigma=6), dims="date"),
        }
        model = MMM(
            date_column="period_end",
            target_column="revenue",
            channel_columns=channels,
            control_columns=[*controls, "trend"],
            adstock=GeometricAdstock(l_max=LMAX),
            saturation={"logistic": LogisticSaturation, "hill": HillSaturation}[saturation](),
            yearly_seasonality=2,
            model_config=None if priors == "default" else config,
        )
        given = frame.assign(trend=np.arange(float(len(frame))))
        linear = given[[*controls, "trend"]]
        given[linear.columns] = (linear - linear.mean()) / linear.std()
        model.build_model(given.drop(columns="revenue"), given["revenue"])
        return model, nutpie.compile_pymc_model(model.model)

    found = []
    for family, seed in companies_of:
        company = simulated.company(family, seed)
        frame = company.frame
        model, compiled = watch.run(lambda frame=frame: built(frame), "build")
        trace = watch.run(
            lambda compiled=compiled, seed=seed: nutpie.sample(
                compiled, draws=DRAWS, tune=TUNE, chains=CHAINS, cores=CHAINS, seed=seed, progress_bar=False
            ),
            "sample",
        )
        posterior = trace.posterior
        scale = float(model.scalers["_target"])
        brought = posterior["channel_contribution"].transpose("chain", "draw", "date", "channel")
        brought = brought.sel(channel=channels).to_numpy()[:, :, -simulated.WEEKS :].sum(axis=2) * scale
        spent = frame[channels].iloc[-simulated.WEEKS :].sum().to_numpy()
        draws = np.concatenate([brought / spent, brought.sum(axis=2, keepdims=True) / spent.sum()], axis=2)
        answer = {"family": family, "seed": seed, "build_cpu": watch.readings["build"]["cpu"]}
        answer |= {key: watch.readings["sample"][key] for key in ("cpu", "wall")}
        answer["divergences"] = int(trace.sample_stats["diverging"].sum())
        logs = np.log(np.maximum(draws, 1e-12))[:, :, :-1]
        answer["r_hat"] = [float(az.rhat(logs[:, :, place])) for place in range(len(channels))]
        answer["ess"] = [float(az.ess(logs[:, :, place])) for place in range(len(channels))]
        found.append(answer | answers.summary(draws.reshape(-1, draws.shape[2])))
    names = ("pymc-marketing", "nutpie", "pymc", "pytensor", "numba", "numpy", "pandas")
    return {"fits": found, "versions": stopwatch.versions(names)}


TASKS = {"fit": fit}

if __name__ == "__main__":
    stopwatch.answer(TASKS)
