"""Stated priors that the data contradict."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.regression import transforms
from kpitoolkit.regression.beliefs import contradictions
from kpitoolkit.regression.estimate import draft
from kpitoolkit.regression.priors import Priors
from kpitoolkit.regression.problem import problem

WEEKS = 104
ENDS = pd.date_range(end="2026-09-27", periods=WEEKS, freq="7D")


@cache
def company():
    draw = np.random.default_rng(4)
    table = pd.DataFrame({"search": draw.lognormal(4, 0.7, WEEKS), "tv": draw.lognormal(4, 0.5, WEEKS)}, index=ENDS)
    revenue = 1000 + draw.normal(0, 8, WEEKS)
    for name, iroas in (("search", 3.0), ("tv", 2.0)):
        revenue += iroas * transforms.response(table[name].to_numpy(), 0.3, 2.0, window=WEEKS)
    return table.assign(revenue=revenue)


def fitted(**stated):
    """A search of iROAS 3 that the data show well, and a TV of iROAS 2."""
    return draft(problem(company(), ["search", "tv"], priors=Priors(**stated)), draws=500)


def test_what_nobody_stated_is_not_judged():
    assert len(contradictions(fitted()).table) == 0
    assert contradictions(fitted()).findings("it") == []


def test_a_prior_far_off_is_said():
    post = fitted(channels={"search": {"iroas": 0.2, "iroas_sd": 0.4, "carryover": 0.3}, "tv": {"iroas": 2.0}})
    found = contradictions(post)
    rows = found.table.set_index(["channel", "quantity"])
    assert set(rows.index) == {("search", "iroas"), ("search", "carryover"), ("tv", "iroas")}
    assert rows["contradicted"].to_dict() == {
        ("search", "iroas"): True, ("search", "carryover"): False, ("tv", "iroas"): False,
    }  # fmt: skip
    search = rows.loc[("search", "iroas")]
    assert search["prior"] == pytest.approx(0.2)
    plain = np.log(fitted().iroas[:, 0])
    with_it = abs(np.log(np.median(post.iroas[:, 0]) / 0.2)) / 0.4
    without = abs(np.median(plain) - np.log(0.2)) / np.hypot(0.4, plain.std())
    assert search["apart"] == pytest.approx(max(with_it, without), rel=0.05)
    (sentence,) = found.findings("en")
    assert sentence.startswith(
        "The stated prior for iROAS of search and the data contradict one another: 0.20 was stated"
    )
    assert len(found.findings("it")) == 1


def test_a_share_of_all_media_far_off_is_said():
    """Media bring about a third of revenue; a thousandth was stated, with so little doubt that it wins."""
    post = fitted(media_share=0.001, common_log_sd=0.3, own_log_sd=0.3)
    assert np.median(post.total) < 0.1
    found = contradictions(post)
    total = found.table[found.table["channel"] == "total_media"]
    assert total["contradicted"].tolist() == [True]
    usual = contradictions(fitted(media_share=0.3)).table
    assert usual["channel"].tolist() == ["total_media"] and not usual["contradicted"].any()


def test_a_general_prior_is_held_against_every_channel():
    found = contradictions(fitted(carryover=0.98, carryover_logit_sd=0.2)).table
    assert found["channel"].tolist() == ["search", "tv"] and (found["quantity"] == "carryover").all()
    assert found["contradicted"].any()


@pytest.mark.parametrize(("away", "contradicted"), [(2.45, False), (2.55, True), (-2.55, True)])
def test_two_and_a_half_standard_deviations_are_a_contradiction(away, contradicted):
    """The posterior put so far from what was stated; without the prior the data lie one deviation off."""
    post = fitted(channels={"search": {"iroas": 2.0, "iroas_sd": 0.4}})
    moved = replace(post, iroas=np.full_like(post.iroas, 2 * np.exp(0.4 * away)))
    (row,) = contradictions(moved).table.itertuples()
    assert row.apart == pytest.approx(2.5, abs=0.06)
    assert row.contradicted is contradicted
