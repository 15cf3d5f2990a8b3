"""What every side of the regression's benchmark answers about a company, from its draws. numpy only."""

import numpy as np

LEVELS = (0.5, 0.8, 0.9, 0.95)


def summary(draws: np.ndarray) -> dict:
    """Summarise draws of iROAS, shape (draws, channels and total last): mean, median, bounds of central intervals."""
    return {
        "mean": draws.mean(axis=0).tolist(),
        "median": np.median(draws, axis=0).tolist(),
        "bounds": {str(level): np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0).T.tolist()
                   for level in LEVELS},
    }  # fmt: skip
