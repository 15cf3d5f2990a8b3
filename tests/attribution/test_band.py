"""The truth band: a case by hand, what must always hold, the tests behind a ranking, and how often they err."""

from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from kpitoolkit.attribution import attribute, band, band_wording, journeys, journeys_from_paths
from kpitoolkit.attribution.models import MODELS
from kpitoolkit.attribution.resampling import interval, weights
from kpitoolkit.errors import Faults, ToolkitError

mpl.use("agg")
PERIOD = ("2026-07-01", "2026-09-30")


def touchpoints(*rows):
    frame = pd.DataFrame(rows, columns=["user_id", "time", "channel"])
    return frame.assign(time=pd.to_datetime(frame["time"]))


def orders(*rows):
    frame = pd.DataFrame(rows, columns=["order_id", "user_id", "time", "value"])
    return frame.assign(time=pd.to_datetime(frame["time"]))


def company(users=150, seed=1):
    """tv opens early, search closes, email in between; most users buy."""
    rng = np.random.default_rng(seed)
    contacts, bought = [], []
    for user in range(users):
        end = pd.Timestamp("2026-08-01") + pd.Timedelta(days=float(rng.uniform(0, 50)))
        for channel, age, chance in (("tv", 20, 0.6), ("email", 5, 0.3), ("search", 1, 0.8)):
            if rng.random() < chance:
                contacts.append((f"u{user}", end - pd.Timedelta(days=age), channel))
        if rng.random() < 0.8:
            bought.append((f"o{user}", f"u{user}", end, 100.0))
    return touchpoints(*contacts), orders(*bought)


@pytest.fixture(scope="module")
def tables():
    return company()


@pytest.fixture(scope="module")
def found(tables):
    return band.truth_band(*tables, PERIOD)


# a case by hand


def test_a_case_by_hand():
    seen = touchpoints(("u", "2026-07-02", "tv"), ("u", "2026-07-20", "email"), ("v", "2026-07-20", "email"))
    bought = orders(("A", "u", "2026-07-21", 80.0), ("B", "v", "2026-07-21", 20.0))
    result = band.truth_band(seen, bought, PERIOD, (30, 7))
    cell = result.table.set_index(["channel", "model", "lookback_days"])
    assert cell.loc[("tv", "first", 7), "conversions"] == 0
    assert cell.loc[("tv", "first", 30), ["conversions", "value"]].tolist() == [1, 80]
    assert cell.loc[("email", "first", 30), ["conversions", "value"]].tolist() == [1, 20]
    lines = result.summary.set_index("channel")
    assert lines.loc["email", ["lowest", "highest"]].tolist() == [1, 2]
    assert lines.loc["email", ["lowest_model", "lowest_lookback_days"]].tolist() == ["first", 30]
    assert lines.loc["email", ["highest_model", "highest_lookback_days"]].tolist() == ["first", 7]
    assert result.summary["channel"].tolist() == ["email", "tv", "unattributed"]
    assert lines.loc["email", "default"] == pytest.approx(4 / 3)
    pair = result.rankings.iloc[0]
    assert [pair["first"], pair["second"], pair["cells"], pair["cells_agreeing"]] == ["email", "tv", 16, 15]
    assert pair["verdict"] == "changes_with_rule"
    assert not pair["survives"]


def test_two_customers_are_no_proof():
    seen = touchpoints(*((f"u{i}", "2026-07-20", "email") for i in range(3)), ("w", "2026-07-20", "tv"))
    bought = orders(*((f"A{i}", f"u{i}", "2026-07-21", 1.0) for i in range(3)))
    result = band.truth_band(seen, bought, PERIOD)
    assert result.rankings["verdict"].tolist() == ["too_close"]
    assert result.summary["rank_best"].tolist() == [1, 1, pd.NA]


# what must always hold


def test_every_cell_sums_to_all_conversions_and_their_value(found, tables):
    sums = found.table.groupby(["model", "lookback_days"])[["conversions", "value"]].sum()
    assert len(sums) == 3 * len(MODELS)
    assert np.allclose(sums["conversions"], len(tables[1]))
    assert np.allclose(sums["value"], tables[1]["value"].sum())


def test_the_summary_spans_the_table(found):
    by_channel = found.table.groupby("channel")
    lines = found.summary.set_index("channel")
    assert lines["lowest"].equals(by_channel["conversions"].min().loc[lines.index].rename("lowest"))
    assert lines["highest"].equals(by_channel["conversions"].max().loc[lines.index].rename("highest"))
    assert (lines["low"] <= lines["default_low"]).all()
    assert (lines["high"] >= lines["default_high"]).all()
    assert (lines[["lowest", "default"]].diff(axis=1)["default"] >= 0).all()
    assert lines["default"].iloc[:-1].is_monotonic_decreasing
    for end in ("lowest", "highest"):
        where = lines.reset_index()[["channel", f"{end}_model", f"{end}_lookback_days"]]
        cell = found.table.set_index(["channel", "model", "lookback_days"])["conversions"]
        assert np.allclose(cell.loc[list(where.itertuples(index=False, name=None))], lines[end])


random_paths = st.lists(
    st.tuples(st.lists(st.sampled_from("abcd"), max_size=5).map(" > ".join), st.integers(0, 40), st.integers(0, 9)),
    min_size=1,
    max_size=8,
).filter(lambda lines: any(path and n + nulls for path, n, nulls in lines))


def from_paths(lines):
    paths = pd.DataFrame(lines, columns=["path", "total_conversions", "total_null"])
    return attribute(journeys_from_paths(paths))


@given(random_paths)
@settings(max_examples=12, deadline=None)
def test_ranks_and_rankings_tell_one_story(lines):
    result = band.band_of({30: [from_paths(lines)]})
    ranks = result.summary.iloc[:-1]
    k = len(ranks)
    assert len(result.rankings) == k * (k - 1) // 2
    assert ((ranks["rank_best"] >= 1) & (ranks["rank_best"] <= ranks["rank_worst"]) & (ranks["rank_worst"] <= k)).all()
    assert ((ranks["rank_best"] <= np.arange(1, k + 1)) & (np.arange(1, k + 1) <= ranks["rank_worst"])).all()
    assert result.rankings["survives"].equals((result.rankings["verdict"] == "survives").rename("survives"))
    assert result.rankings["p_value"].between(0, 1).all()
    assert (result.rankings.loc[result.rankings["survives"], "cells_agreeing"] == result.rankings["cells"].max()).all()
    assert all(any(c.isdigit() for c in said) for said in result.findings("it"))


@given(random_paths, st.permutations("abcd"))
@settings(max_examples=6, deadline=None)
def test_other_names_give_the_same_verdicts(lines, names):
    renamed = [(path.translate(str.maketrans("abcd", "".join(names))), n, nulls) for path, n, nulls in lines]
    verdicts = []
    for given_lines, back in ((lines, "abcd"), (renamed, names)):
        original = dict(zip(back, "abcd", strict=True))
        rankings = band.band_of({30: [from_paths(given_lines)]}).rankings
        kept = rankings[rankings["survives"]]
        verdicts.append({(original[a], original[b]) for a, b in zip(kept["first"], kept["second"], strict=True)})
    assert verdicts[0] == verdicts[1]


# a second way of computing


def test_each_look_back_is_that_of_the_journeys(found, tables):
    wide = found.by_lookback("linear").set_index("channel")
    assert list(wide.columns) == ["lookback_7_days", "lookback_14_days", "lookback_30_days"]
    assert wide.index.tolist() == found.summary["channel"].tolist()
    for days in (7, 14, 30):
        table = attribute(journeys(*tables, days, PERIOD)).table
        linear = table[table["model"] == "linear"].set_index("channel")["conversions"]
        assert wide[f"lookback_{days}_days"].to_dict() == pytest.approx(dict.fromkeys(wide.index, 0.0) | dict(linear))
    assert found.by_lookback().equals(found.by_lookback("markov"))
    assert found.lookback_labels("it") == {f"lookback_{n}_days": f"{n} giorni" for n in (7, 14, 30)}


def test_the_correction_is_holms():
    p = np.array([0.001, 0.2, 0.012, 0.04])
    expected = multipletests([*p, 1, 1, 1, 1], method="holm")[1][:4]
    assert band._holm(p, family=8) == pytest.approx(expected)


def cells_of(bags, default="markov"):
    """A result whose cells are given as credit per bag: {model: (200, K)}."""
    lines, draws = [], {}
    for model, each in bags.items():
        k = each.shape[1]
        drawn = np.zeros((len(weights()), k + 1, 2))
        drawn[:, :k, 0] = weights() @ each
        draws[model] = drawn
        low, high = interval(drawn[:, :, 0])
        point = [*each.sum(axis=0), 0.0]
        names = [*(f"c{i}" for i in range(k)), "unattributed"]
        frame = {"channel": names, "model": model, "conversions": point, "value": 0.0, "low": low, "high": high}
        lines.append(pd.DataFrame(frame | {"value_low": 0.0, "value_high": 0.0}))
    return SimpleNamespace(table=pd.concat(lines, ignore_index=True), draws=draws, status="ok", order=1)


def test_the_p_value_of_a_pair_is_the_largest_of_its_cells():
    rng = np.random.default_rng(3)
    bags = {"markov": rng.poisson([2.0, 1.0], (200, 2)), "last": rng.poisson([1.6, 1.3], (200, 2))}
    alone = [band.band_of({30: [cells_of({"markov": each})]}).rankings["p_value"].item() for each in bags.values()]
    together = band.band_of({30: [cells_of(bags)]}).rankings["p_value"].item()
    assert together == pytest.approx(max(alone))
    difference = bags["last"][:, 0] - bags["last"][:, 1]
    z = (difference.sum() - 1) / (np.sqrt(200) * difference.std())
    assert together == pytest.approx(2 * (1 - 0.5 * (1 + np.tanh(z * 0.7978845608 * (1 + 0.044715 * z * z)))), abs=0.01)


# how often the verdicts err


def simulated(true, quarters, seed):
    """How often a survivor is wrong in some cell, a rank range leaves out a true rank, and true orders survive.

    true: {model: K expected conversions}; the cells of one quarter share their customers.
    """
    rng = np.random.default_rng(seed)
    means = np.stack(list(true.values()))
    k = means.shape[1]
    ahead = (means[:, None, :] > means[:, :, None]).sum(axis=2)
    behind = (means[:, None, :] < means[:, :, None]).sum(axis=2)
    best, worst = 1 + ahead.min(axis=0), k - behind.min(axis=0)
    right = (means[:, :, None] > means[:, None, :]).all(axis=0)
    wrong = outside = held = 0
    for _ in range(quarters):
        users, share = rng.gamma(2.0, 0.5, (200, k)), rng.random((200, k))
        counts = [np.floor(users * row / 200 + share) for row in means]
        cells = [((30, m), point(each), weights() @ each) for m, each in zip(true, counts, strict=True)]
        default = cells[0][1]["conversions"]
        rankings = band._rankings(cells, list(default.sort_values(ascending=False).index), default)
        claimed = np.zeros((k, k), dtype=bool)
        kept = rankings[rankings["survives"]]
        claimed[[int(c) for c in kept["first"]], [int(c) for c in kept["second"]]] = True
        wrong += (claimed & ~right).any()
        outside += ((1 + claimed.sum(axis=0) > best) | (k - claimed.sum(axis=1) < worst)).any()
        held += (claimed & right).sum() / max(right.sum(), 1)
    return wrong / quarters, outside / quarters, held / quarters


def point(each):
    return pd.DataFrame({"conversions": each.sum(axis=0)}, index=[str(i) for i in range(each.shape[1])])


ALL_EQUAL = dict.fromkeys(("markov", "last", "first"), [300.0] * 4)
ONE_CELL_TIED = {"markov": [600.0, 450.0, 300.0, 150.0], "last": [300.0] * 4, "first": [700.0, 500.0, 300.0, 100.0]}
TURNED = {"markov": [400.0, 300.0, 200.0], "last": [300.0, 400.0, 200.0]}
FEW = dict.fromkeys(("markov", "last"), [4.0] * 4)


@pytest.mark.parametrize("true", [ALL_EQUAL, ONE_CELL_TIED, TURNED, FEW], ids=["equal", "tied", "turned", "few"])
def test_a_wrong_ranking_survives_at_most_as_often_as_stated(true):
    quarters = 150
    wrong, outside, _held = simulated(true, quarters, seed=11)
    margin = 1.65 * np.sqrt(band.LEVEL * (1 - band.LEVEL) / quarters)
    assert wrong <= band.LEVEL + margin
    assert outside <= band.LEVEL + margin


def test_clear_rankings_do_survive():
    true = {"markov": [600.0, 400.0, 200.0], "last": [500.0, 350.0, 240.0]}
    wrong, _outside, held = simulated(true, 60, seed=5)
    assert wrong == 0
    assert held > 0.9


# orders of the chain, and what is not there


def test_higher_orders_are_rules_of_their_own(tables):
    result = band.truth_band(*tables, PERIOD, (30,), orders=(1, 2))
    assert list(result.table["model"].unique()) == [*MODELS, "markov_2"]
    assert result.default_model == "markov"
    second = band.truth_band(*tables, PERIOD, (30,), orders=(2,))
    assert second.default_model == "markov_2"
    assert set(second.table["model"]) == {*MODELS, "markov_2"} - {"markov"}
    assert second.by_lookback()["lookback_30_days"].tolist() == pytest.approx(
        result.by_lookback("markov_2").set_index("channel")["lookback_30_days"].loc[second.summary["channel"]].tolist()
    )


def test_the_default_is_the_look_back_that_the_case_uses(tables):
    result = band.truth_band(*tables, PERIOD, (7, 14), default_lookback_days=7)
    assert result.default_lookback_days == 7
    default = attribute(journeys(*tables, 7, PERIOD)).wide().set_index("channel")["markov"]
    assert result.summary.set_index("channel")["default"].to_dict() == pytest.approx(
        dict.fromkeys(result.summary["channel"], 0.0) | dict(default)
    )


def test_without_conversions_there_is_nothing_to_compare():
    result = band.truth_band(touchpoints(("u", "2026-07-20", "tv"), ("v", "2026-07-20", "email")), orders(), PERIOD)
    assert result.status == "no_conversions"
    assert not result.rankings["survives"].any()
    assert result.findings("en") == ["0 conversions follow a touchpoint in the period: there is nothing to compare."]
    result.plot()
    plt.close("all")


def test_one_channel_has_no_ranking():
    seen = touchpoints(("u", "2026-07-02", "tv"), ("v", "2026-07-20", "tv"))
    bought = orders(("A", "u", "2026-07-21", 80.0), ("B", "v", "2026-07-21", 20.0))
    result = band.truth_band(seen, bought, PERIOD)
    assert len(result.rankings) == 0
    assert result.summary["rank_worst"].tolist() == [1, pd.NA]
    assert not any("first" in said and "sure" in said for said in result.findings("en"))
    result.plot(language="it")
    plt.close("all")


# words and pictures


def test_findings_say_what_holds_and_what_turns(found):
    said = " ".join(found.findings("en"))
    survive = int(found.rankings["survives"].sum())
    assert f"In {survive} of {len(found.rankings)} pairs" in said
    assert "24 combinations" in said
    for language in ("en", "it"):
        assert all(any(c.isdigit() for c in one) and "{" not in one for one in found.findings(language))


def test_a_clear_leader_is_said_to_be_one():
    bags = {model: np.random.default_rng(1).poisson([6.0, 2.0, 2.0], (200, 3)) for model in ("markov", "last")}
    result = band.band_of({7: [cells_of(bags)], 30: [cells_of(bags)]})
    assert result.summary["rank_worst"].tolist()[0] == 1
    assert "c0 comes first" in result.findings("en")[0]
    assert "Al primo posto c'è c0" in result.findings("it")[0]


@pytest.mark.parametrize("language", ["en", "it"])
def test_the_chart_shows_bands_and_ranks(found, language):
    ax = found.plot(language=language)
    ax.figure.draw_without_rendering()
    words = [artist.get_text() for artist in ax.texts]
    expected = [band_wording.ranks(row["rank_best"], row["rank_worst"]) for row in found.summary.to_dict("records")]
    assert [word for word in expected if word] == [word for word in words if word in set(expected)]
    assert len(ax.patches) == 2 * len(found.summary)
    plt.close("all")


def test_many_channels_are_drawn_to_a_limit():
    bags = {"markov": np.random.default_rng(1).poisson(1.0, (200, 30))}
    result = band.band_of({30: [cells_of(bags)]})
    ax = result.plot()
    assert len(ax.get_yticklabels()) == band.DRAWN + 1
    assert any("10 channels with less credit are not drawn." in artist.get_text() for artist in ax.texts)
    plt.close("all")


# bad input


def test_faults_come_together(tables):
    with pytest.raises(Faults) as caught:
        band.truth_band(*tables, PERIOD, (), orders=(), default_lookback_days=30)
    assert len(caught.value.faults) == 3
    with pytest.raises(ToolkitError, match="Did you mean 'linear'"):
        band.band_of({30: [from_paths([("a", 1, 0)])]}).by_lookback("lineare")


def test_credit_by_campaign_is_refused():
    result = from_paths([("a", 1, 0)])
    result.table.insert(1, "campaign", "")
    with pytest.raises(ToolkitError, match="by campaign"):
        band.band_of({30: [result]})


def test_one_look_back_is_not_several():
    with pytest.raises(ToolkitError, match="lookback_days is 30: give several, such as"):
        band.truth_band(pd.DataFrame(), pd.DataFrame(), lookback_days=30)
