"""Meta-analysis across units: what one channel's return is in all units together, and how far units differ.

Each unit gives what its own data and experiments say, without its model's prior: the prior is the same belief in every
unit, and would count once a unit. A unit's own page keeps its own figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from kpitoolkit import plots, text
from kpitoolkit.reconciliation.triangulation import LEVEL

TABLE = ["channel", "units", "iroas", "low", "high", "log_iroas", "log_sd", "tau", "q", "df", "q_p_value", "status"]
UNITS = ["channel", "unit", "iroas", "low", "high", "log_iroas", "log_sd", "weight"]
DISAGREE, FEW = 0.10, 5
REACH = stats.norm.ppf((1 + LEVEL) / 2)


@dataclass(frozen=True, eq=False)
class AcrossUnits:
    """One channel's return in all units.

    Attributes
    ----------
    table : DataFrame
        One row a channel. iroas with its 90% interval: of the mean over units; log_iroas, log_sd; tau: standard
        deviation between units, on the log scale; q, df, q_p_value: Cochran's test that all units are alike; status:
        `pooled`, or `one_unit`, whose own figure stands.
    units : DataFrame
        One row a channel and unit: its own evidence, and its weight in the mean.
    silent : tuple of (unit, channel)
        Modelled or tested, but with too little evidence of their own to enter.
    """

    table: pd.DataFrame
    units: pd.DataFrame
    silent: tuple[tuple[str, str], ...] = ()

    def plot(self, ax: Axes | None = None, language: str = "en") -> Axes:
        """Draw each channel's units and, under them, the mean over units."""
        _ = text.translator(language)
        rows = []
        for row in self.table[self.table["status"] == "pooled"].itertuples():
            name = text.label(row.channel, language)
            own = self.units[self.units["channel"] == row.channel]
            rows += [(f"{name}, {unit.unit}", unit.iroas, unit.low, unit.high, "") for unit in own.itertuples()]
            all_units = text.label("all_units", language)
            rows.append((f"{name}, {all_units}", row.iroas, row.low, row.high, "better"))
        frame = pd.DataFrame(rows, columns=["name", "value", "low", "high", "tone"])
        title = _("Revenue per unit of spend by channel: each unit's own evidence, and the mean over units")
        return plots.intervals(
            frame, "name", "value", "low", "high", tone="tone", ax=ax, language=language, value_format="number2",
            title=title,
        )  # fmt: skip

    def findings(self, language: str = "en") -> list[str]:
        """Say what each channel brings over all units, where units differ, and what could not enter."""
        _ = text.translator(language)
        said = []
        for row in self.table[self.table["status"] == "pooled"].itertuples():
            sentence = _("{channel}: over {units} units a mean return of {iroas} per unit of spend ({low} to {high}).")
            words = {name: text.number(getattr(row, name), language, 2) for name in ("iroas", "low", "high")}
            words["units"] = text.number(row.units, language)
            named = text.capitalised(text.label(row.channel, language))
            said.append(sentence.format(channel=named, **words))
            if row.q_p_value < DISAGREE:
                sentence = _(
                    "{channel}: units differ by more than chance (Cochran's Q {q}, p {p}): the mean is of units that "
                    "are not alike, and no unit should plan on it."
                )
                q, p = text.number(row.q, language, 2), text.number(row.q_p_value, language, 3)
                said.append(sentence.format(channel=named, q=q, p=p))
        if not said:
            said = [_("No channel has evidence of its own in two units: there is nothing to bring together.")]
        elif (self.table.loc[self.table["status"] == "pooled", "units"] < FEW).any():
            said.append(
                _("With so few units how much they differ is hardly known: the interval is wide for that reason too.")
            )
        alone = self.table.loc[self.table["status"] == "one_unit", "channel"]
        if len(alone):
            names = ", ".join(text.label(name, language) for name in alone)
            said.append(_("With evidence in one unit only: {channels}.").format(channels=names))
        if self.silent:
            names = ", ".join(f"{text.label(channel, language)} ({unit})" for unit, channel in self.silent)
            said.append(_("With too little evidence of their own to enter: {channels}.").format(channels=names))
        return said

    def shown(self) -> pd.DataFrame:
        """Return the columns that a page has room for."""
        return self.table[["channel", "units", "iroas", "low", "high", "tau", "q_p_value", "status"]]

    @property
    def formats(self) -> dict[str, str]:
        """How ``shown`` is written."""
        return dict.fromkeys(["iroas", "low", "high", "tau"], "number2") | {"q_p_value": "number3", "units": "number0"}


def across_units(triangulations: Mapping[str, pd.DataFrame | None]) -> AcrossUnits:
    """
    Bring each channel's evidence from all units together: a random-effects meta-analysis on log iROAS.

    ``log iROAS of a unit = mean + difference of the unit + error``; the variance between units is Paule and Mandel's
    (`statsmodels.stats.meta_analysis`). The interval of the mean is Hartung and Knapp's, by Student's t with one degree
    of freedom less than units, or the normal one where that is wider (Wiksten, Ruecker and Schwarzer, Statistics in
    Medicine 35, 2016): with few units the usual interval covers far too seldom.

    Parameters
    ----------
    triangulations : mapping of str to DataFrame or None
        By unit, the saved table `reconciliation_triangulation`; a unit without one is left out.

    Returns
    -------
    AcrossUnits

    Examples
    --------
    >>> unit = pd.DataFrame({"channel": ["tv"], "own_log_iroas": [0.5], "own_log_sd": [0.2], "source": ["model_alone"]})
    >>> found = across_units({"a": unit, "b": unit.assign(own_log_iroas=0.9), "c": None})
    >>> found.table[["channel", "units", "status"]].values.tolist(), float(found.table["log_iroas"].round(3).iloc[0])
    ([['tv', 2, 'pooled']], 0.7)
    """
    stacked = [frame.assign(unit=unit) for unit, frame in triangulations.items() if frame is not None and len(frame)]
    if not stacked:
        return AcrossUnits(pd.DataFrame(columns=TABLE), pd.DataFrame(columns=UNITS))
    given = pd.concat(stacked, ignore_index=True)
    known = (given["own_log_sd"] > 0) & given["own_log_iroas"].notna()
    silent = given[~known & (given["source"] != "no_return")]
    means, units = [], []
    for channel, rows in given[known].groupby("channel", sort=False):
        found, weights = mean_over_units(rows["own_log_iroas"], rows["own_log_sd"])
        figures = {"log_iroas": rows["own_log_iroas"], "log_sd": rows["own_log_sd"]}
        units.append(_bounded(rows[["unit"]].assign(channel=channel, weight=weights, **figures)))
        means.append(
            {"channel": channel, "units": len(rows), "status": "pooled" if len(rows) > 1 else "one_unit"} | found
        )
    by_unit = pd.concat(units, ignore_index=True) if units else pd.DataFrame(columns=UNITS)
    table = pd.DataFrame(means, columns=TABLE)
    return AcrossUnits(
        table, by_unit.reindex(columns=UNITS), tuple(zip(silent["unit"], silent["channel"], strict=True))
    )


def mean_over_units(logs: pd.Series, errors: pd.Series) -> tuple[dict[str, float], np.ndarray]:
    """
    Return the mean of estimates that differ between units, and the weight of each.

    Parameters
    ----------
    logs, errors : Series or array
        Estimates of log iROAS and their standard errors.

    Returns
    -------
    dict
        log_iroas, log_sd, iroas, low, high, tau, q, df, q_p_value.
    array
        Weights that sum to one.
    """
    logs, errors = np.asarray(logs, dtype=float), np.asarray(errors, dtype=float)
    if len(logs) == 1:
        mean, error, reach = logs[0], errors[0], REACH * errors[0]
        apart, weights = {"tau": np.nan, "q": np.nan, "df": 0, "q_p_value": np.nan}, np.ones(1)
    else:
        found, df = combine_effects(logs, errors**2, method_re="iterated"), len(logs) - 1
        mean, error = found.mean_effect_re, found.sd_eff_w_re
        reach = max(REACH * error, stats.t.ppf((1 + LEVEL) / 2, df) * found.sd_eff_w_re_hksj)
        fixed = 1 / errors**2
        q = float(fixed @ (logs - fixed @ logs / fixed.sum()) ** 2)
        apart = {"tau": float(np.sqrt(max(found.tau2, 0.0))), "q": q, "df": df, "q_p_value": stats.chi2.sf(q, df)}
        weights = np.asarray(found.weights_rel_re)
    bounds = {"iroas": mean, "low": mean - reach, "high": mean + reach}
    figures = {name: float(np.exp(value)) for name, value in bounds.items()}
    return {"log_iroas": float(mean), "log_sd": float(error)} | figures | apart, weights


def _bounded(rows: pd.DataFrame) -> pd.DataFrame:
    reach = REACH * rows["log_sd"]
    bounds = {"iroas": rows["log_iroas"], "low": rows["log_iroas"] - reach, "high": rows["log_iroas"] + reach}
    return rows.assign(**{name: np.exp(value.astype(float)) for name, value in bounds.items()})
