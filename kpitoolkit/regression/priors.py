"""What is believed of media before the data speak: visible, in the reader's units, and the analyst's to change.

By default the beliefs are scale-free. Each channel's iROAS is centred where all media together would explain a stated
share of revenue, each channel in proportion to its spend; a factor common to all channels lets the data move the whole
quickly, and each channel moves around it. `docs/regression.md` gives reasons and measurements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit

from kpitoolkit.errors import Faults, suggest

QUANTITIES = ("iroas", "carryover", "half_saturation", "slope", "peak")
STATED = (*QUANTITIES, *(f"{name}_sd" for name in QUANTITIES))


@dataclass(frozen=True)
class Priors:
    """Centres and spreads before the data.

    Attributes
    ----------
    media_share : float in (0, 1)
        Of revenue, that all media together would explain at the centre.
    common_log_sd, own_log_sd : float
        Spread of log iROAS: of the factor common to all channels, and of each channel around it.
    carryover, carryover_logit_sd : float
        Share kept from one week to the next, at the centre; spread of its logit.
    half_saturation, half_saturation_log_sd : float
        In multiples of the window's mean active spend.
    slope, slope_log_sd : float
        Of the Hill curve: 1 concave, above 1 S-shaped.
    peak, peak_log_sd : float
        Periods until a delayed adstock is at its height.
    intercept_sd, trend_sd, season_sd, control_sd : float
        Of the baseline's coefficients, over mean revenue: intercept around 1; trend a year; each season's sine and
        cosine; each standardised control.
    autocorrelation, autocorrelation_atanh_sd, noise, noise_log_sd : float
        Of the errors; noise over mean revenue.
    channels : mapping of str to mapping
        By channel: `iroas`, `carryover`, `half_saturation`, `slope`, `peak`, and their spreads `iroas_sd` (of the log)
        and so on. A channel with an iROAS of its own leaves the common factor.
    """

    media_share: float = 0.22
    common_log_sd: float = 1.2
    own_log_sd: float = 0.7
    carryover: float = 0.354
    carryover_logit_sd: float = 1.0
    half_saturation: float = 2.5
    half_saturation_log_sd: float = 1.1
    slope: float = 1.35
    slope_log_sd: float = 0.5
    peak: float = 1.5
    peak_log_sd: float = 0.5
    intercept_sd: float = 0.5
    trend_sd: float = 0.3
    season_sd: float = 0.15
    control_sd: float = 0.25
    autocorrelation: float = 0.291
    autocorrelation_atanh_sd: float = 0.4
    noise: float = 0.05
    noise_log_sd: float = 1.0
    channels: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self):
        faults = []
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "channels" and not (np.isfinite(value) and value > 0):
                faults.append(f"{each.name} must be above zero, not {value}")
        faults += [f"{name} must be below 1" for name in ("media_share", "carryover") if getattr(self, name) >= 1]
        if self.autocorrelation >= 1:
            faults.append("autocorrelation must be below 1")
        for channel, stated in self.channels.items():
            for name, value in stated.items():
                if name not in STATED:
                    faults.append(f"channel '{channel}': '{name}' is not a prior.{suggest(name, STATED)}")
                elif not (np.isfinite(value) and value > 0) or (name == "carryover" and value >= 1):
                    faults.append(f"channel '{channel}': {name} of {value} is out of range")
        if faults:
            raise Faults("priors", faults)


@dataclass(frozen=True, eq=False)
class Prior:
    """The same as arrays, for one problem.

    Attributes
    ----------
    mean : array of shape (dimensions,)
        In the order of `density`: quantities by channel, then atanh autocorrelation, log noise.
    covariance : array of shape (dimensions, dimensions)
    baseline : array of shape (2, columns)
        Means and standard deviations of the baseline's coefficients.
    names : tuple of str
        The quantities that the model has, in order.
    """

    mean: np.ndarray
    covariance: np.ndarray
    baseline: np.ndarray
    names: tuple[str, ...]

    @property
    def log_iroas_sd(self) -> np.ndarray:
        """Standard deviation of log iROAS, by channel."""
        count = (len(self.mean) - 2) // len(self.names)
        return np.sqrt(np.diag(self.covariance)[:count])


def quantities(adstock: str, saturation: str) -> tuple[str, ...]:
    """Return the quantities that each channel has under a model.

    Examples
    --------
    >>> quantities("geometric", "logistic")
    ('iroas', 'carryover', 'half_saturation')
    """
    names = ["iroas", "carryover", "half_saturation"]
    return tuple(names + ["slope"] * (saturation == "hill") + ["peak"] * (adstock == "delayed"))


def prior_of(
    stated: Priors,
    channels: tuple[str, ...],
    spent: np.ndarray,
    window: int,
    baseline_names: list[str],
    adstock: str = "geometric",
    saturation: str = "hill",
    frequency: str = "week",
) -> Prior:
    """Return the prior's arrays.

    Parameters
    ----------
    stated : Priors
    channels : tuple of str
    spent : array of shape (channels,)
        Window spend over mean revenue per period.
    window : int
        Periods.
    baseline_names : list of str

    Raises
    ------
    Faults
        On a channel that the data lack.

    Examples
    --------
    >>> found = prior_of(Priors(), ("tv",), np.array([10.0]), 100, ["intercept"])
    >>> round(float(np.exp(found.mean[0])), 2)
    2.2
    """
    unknown = [name for name in stated.channels if name not in channels]
    names, count = quantities(adstock, saturation), len(channels)
    if unknown and count:
        raise Faults("priors", [f"'{name}' is no channel of the data.{suggest(name, channels)}" for name in unknown])
    centre = np.log(stated.media_share * window / spent.sum()) if count else 0.0
    mean, sd = [], []
    own = np.zeros(count, dtype=bool)
    for quantity in names:
        for place, channel in enumerate(channels):
            said = stated.channels.get(channel, {})
            if quantity == "iroas":
                own[place] = "iroas" in said
                mean.append(np.log(said["iroas"]) if own[place] else centre)
                sd.append(said.get("iroas_sd", stated.own_log_sd))
            elif quantity == "carryover":
                # A quarter is thirteen weeks: what is kept from one to the next is the weekly share to that power.
                kept = said.get("carryover", stated.carryover if frequency == "week" else 0.05)
                mean.append(logit(kept))
                sd.append(said.get("carryover_sd", stated.carryover_logit_sd))
            else:
                mean.append(np.log(said.get(quantity, getattr(stated, quantity))))
                sd.append(said.get(f"{quantity}_sd", getattr(stated, f"{quantity}_log_sd")))
    mean += [np.arctanh(stated.autocorrelation), np.log(stated.noise)]
    sd += [stated.autocorrelation_atanh_sd, stated.noise_log_sd]
    covariance = np.diag(np.square(sd))
    common = np.flatnonzero(~own)
    covariance[np.ix_(common, common)] += stated.common_log_sd**2
    return Prior(np.array(mean, dtype=float), covariance, _baseline(stated, baseline_names), names)


def _baseline(stated: Priors, names: list[str]) -> np.ndarray:
    spread = {"intercept": stated.intercept_sd, "trend": stated.trend_sd}
    sd = [spread.get(n, stated.season_sd if n.startswith("season_") else stated.control_sd) for n in names]
    return np.array([[float(n == "intercept") for n in names], sd])


def prior_table(prior: Prior, channels: tuple[str, ...], level: float = 0.9) -> pd.DataFrame:
    """Return the prior as a table: channel, quantity, centre, low, high (central interval, in the reader's units)."""
    reach = stats.norm.ppf(0.5 + level / 2)
    sd = np.sqrt(np.diag(prior.covariance))
    rows = []
    for place, (quantity, channel) in enumerate((q, c) for q in prior.names for c in channels):
        back = expit if quantity == "carryover" else np.exp
        bounds = [float(back(prior.mean[place] + sign * reach * sd[place])) for sign in (0, -1, 1)]
        rows.append((channel, quantity, *bounds))
    return pd.DataFrame(rows, columns=["channel", "quantity", "centre", "low", "high"])
