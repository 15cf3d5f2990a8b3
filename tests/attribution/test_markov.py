"""Removal effects of chains of any order: against chains rebuilt without the channel, and resamples solved one by one;
which order is preferred where the true one is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.attribution import chains, journeys_from_paths, markov
from kpitoolkit.attribution.aggregates import BAGS
from kpitoolkit.attribution.markov import order_choice, removal
from kpitoolkit.attribution.resampling import weights
from kpitoolkit.errors import ToolkitError
from tests.attribution.chains_by_hand import COLUMNS, lost, transitions


def simulated(n, players, random, memory=1, stop=0.35):
    """Draw journeys of a chain whose next step depends on the last `memory` players."""
    pull = np.random.default_rng(7).gamma(0.6, size=(players + 1,) * memory + (players,))
    buys = np.random.default_rng(8).uniform(0.05, 0.4, players)
    walks = []
    for _ in range(n):
        walk, past = [], (players,) * memory
        while not walk or random.random() > stop:
            chance = pull[past].copy()
            if walk:
                chance[walk[-1]] = 0.0
            walk.append(int(random.choice(players, p=chance / chance.sum())))
            past = (*past[1:], walk[-1])
        won = random.random() < buys[walk[-1]]
        walks.append((int(random.integers(BAGS)), walk, float(won), float(not won), won * random.lognormal(3, 0.5)))
    return walks


# a case worked by hand


def test_order_2_by_hand():
    """Half the journeys of a > b convert, none of c > b: at order 1 b forgets where it came from, at order 2 not."""
    journeys = [(0, [0, 1], 2.0, 2.0, 0.0), (1, [2, 1], 0.0, 4.0, 0.0)]
    first, second = (removal(transitions(journeys, 3, order), 3, order) for order in (1, 2))
    assert first.effects.tolist() == pytest.approx([1 / 2, 1, 1 / 2])
    assert second.effects.tolist() == pytest.approx([1, 1, 0])
    assert second.shares[:, 0].tolist() == pytest.approx([1 / 2, 1 / 2, 0])


# a second way of computing

walks = st.lists(
    st.tuples(
        st.integers(0, BAGS - 1),
        st.lists(st.integers(0, 3), max_size=7),
        st.integers(0, 5).map(float),
        st.integers(0, 5).map(float),
        st.floats(0, 100),
    ).map(lambda line: (*line[:4], line[4] if line[2] else 0.0)),
    min_size=1,
    max_size=8,
).filter(lambda lines: sum(line[2] for line in lines if line[1]) > 0)
SOLVERS = {"inverse": {}, "steps": {"DENSE_STATES": 0}, "factors": {"DENSE_STATES": 0, "MOST_STEPS": 0}}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("order", [1, 2, 3])
@given(lines=walks)
@settings(max_examples=25, deadline=None)
def test_effects_equal_those_of_the_chain_without_the_channel(order, solver, lines):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markov, "RESAMPLED_PLAYERS", 0)
        for name, value in SOLVERS[solver].items():
            patch.setattr(chains, name, value)
        found = removal(transitions(lines, 4, order), 4, order)
    effects, taken = lost(lines, 4, order)
    assert found.effects == pytest.approx(effects, abs=1e-9)
    assert found.shares[:, 0] == pytest.approx(effects / effects.sum(), abs=1e-9)
    worth = taken[:, 1] if taken[:, 1].sum() > 1e-9 else taken[:, 0]
    if taken[:, 1].sum() == 0 or taken[:, 1].sum() > 1e-9:
        assert found.shares[:, 1] == pytest.approx(worth / worth.sum(), abs=1e-9)


@given(lines=walks)
@settings(max_examples=25, deadline=None)
def test_the_two_ways_of_order_1_agree(lines):
    table = transitions(lines, 4, 1)
    one = removal(table, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markov, "RESAMPLED_PLAYERS", 0)
        two = removal(table, 4)
    assert two.effects == pytest.approx(one.effects, abs=1e-9)
    assert two.shares == pytest.approx(one.shares, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_the_derivative_is_that_of_a_bag_weighed_a_little_more(order):
    journeys = simulated(60, 3, np.random.default_rng(4))
    found = chains.losses(chains.chain_of(transitions(journeys, 3, order), 3, order))
    step, ones = 1e-5, np.ones(BAGS)
    for bag in sorted({journey[0] for journey in journeys})[:8]:
        nudged = [lost(journeys, 3, order, ones + sign * step * (np.arange(BAGS) == bag)) for sign in (1, -1)]
        assert found.effect_influence[bag] == pytest.approx((nudged[0][0] - nudged[1][0]) / (2 * step), abs=1e-7)
        slope = (nudged[0][1][:, 1] - nudged[1][1][:, 1]) / (2 * step)
        assert found.value_influence[bag] == pytest.approx(slope, abs=1e-5)


def test_moved_shares_spread_as_resampled_ones_at_order_1(monkeypatch):
    table = transitions(simulated(20_000, 8, np.random.default_rng(1)), 8, 1)
    resampled = removal(table, 8)
    monkeypatch.setattr(markov, "RESAMPLED_PLAYERS", 0)
    moved = removal(table, 8)
    assert moved.effect_draws.std(axis=0) == pytest.approx(resampled.effect_draws.std(axis=0), rel=0.05)
    assert moved.share_draws.std(axis=0) == pytest.approx(resampled.share_draws.std(axis=0), rel=0.05)


def test_moved_shares_spread_as_resampled_ones_at_order_2():
    journeys = simulated(6_000, 4, np.random.default_rng(2))
    moved = removal(transitions(journeys, 4, 2), 4, 2)
    alike = pd.DataFrame(
        [(bag, tuple(walk), won, null, value) for bag, walk, won, null, value in journeys],
        columns=["bag", "walk", "won", "null", "value"],
    )
    alike = alike.groupby(["bag", "walk"], as_index=False).sum().itertuples(index=False, name=None)
    drawn = resampled_order_2(list(alike), 4, 400)
    assert moved.effect_draws[:400].std(axis=0) == pytest.approx(drawn[0].std(axis=0), rel=0.05)
    assert moved.share_draws[:400].std(axis=0) == pytest.approx(drawn[1].std(axis=0), rel=0.05)


def resampled_order_2(journeys, players, times):
    """Resample bags one by one and solve each chain without each player: dense, no formula of ours."""
    table = transitions(journeys, players, 2)
    base = players + 1
    origin, target = table["origin"].to_numpy(), table["target"].to_numpy()
    effects, shares = [], []
    for weight in weights()[:times]:
        times_bag = weight[table["bag"]]
        counts = np.zeros((base**2, base**2 + 2))
        ahead = np.where(target < players, (origin * base + target + 1) % base**2, base**2 + target - players)
        np.add.at(counts, (origin, ahead), times_bag * table["count"])
        worth = np.bincount(origin, times_bag * table["value"] * (origin > 0), minlength=base**2)
        leaving = np.maximum(counts.sum(axis=1, keepdims=True), 1e-300)
        chance, ends = counts / leaving, np.column_stack([counts[:, -2], worth]) / leaving

        def solved(kept, chance=chance, ends=ends):
            return np.linalg.solve(np.eye(len(kept)) - chance[np.ix_(kept, kept)], ends[kept])[0]

        codes = np.arange(base**2)
        whole = solved(codes)
        digits = np.stack([codes % base, codes // base])
        taken = np.array([whole - solved(codes[(digits != p + 1).all(axis=0)]) for p in range(players)])
        effects.append(taken[:, 0] / whole[0])
        shares.append(taken / taken.sum(axis=0))
    return np.array(effects), np.array(shares)


# what must always hold


@pytest.mark.parametrize("order", [1, 2])
@given(lines=walks)
@settings(max_examples=20, deadline=None)
def test_shares_are_not_negative_and_sum_to_1_in_every_resample(order, lines):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markov, "RESAMPLED_PLAYERS", 2 if order == 1 and len(lines) % 2 else 60)
        found = removal(transitions(lines, 4, order), 4, order)
    assert (found.share_draws >= 0).all()
    assert ((found.effect_draws >= 0) & (found.effect_draws <= 1 + 1e-12)).all()
    sums = found.share_draws.sum(axis=1)
    assert (np.isclose(sums, 1, rtol=1e-12) | (sums == 0)).all()
    assert found.shares.sum(axis=0) == pytest.approx([1, 1], rel=1e-12)


def test_negative_value_falls_back_to_the_shares_of_conversions():
    journeys = [(0, [0, 1], 2.0, 2.0, -50.0), (1, [2, 1, 0], 1.0, 4.0, 20.0)]
    for order in (1, 2):
        found = removal(transitions(journeys, 3, order), 3, order)
        assert found.shares[:, 1].tolist() == found.shares[:, 0].tolist()


def test_one_journey_of_100_000_touchpoints():
    journeys = [(0, [0, 1] * 50_000, 1.0, 0.0, 9.0), (1, [2], 1.0, 1.0, 5.0)]
    for order in (1, 2):
        for dense in (4000, 0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(chains, "DENSE_STATES", dense)
                found = removal(transitions(journeys, 3, order), 3, order)
            assert found.effects.tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 2], rel=1e-6)
            assert (found.share_draws >= 0).all()


def test_a_player_seen_in_open_journeys_only_gets_nothing():
    for order in (1, 2):
        found = removal(transitions([(0, [0, 1], 1.0, 1.0, 9.0)], 3, order), 3, order)
        assert found.effects.tolist() == pytest.approx([1, 1, 0])
        assert (found.share_draws[:, 2] == 0).all()


def test_a_thousand_channels():
    random = np.random.default_rng(3)
    n, k = 20_000, 1000
    at = random.integers(k, size=(n, 3))
    bag, won = random.integers(BAGS, size=n), random.random(n) < 0.3
    zero = np.zeros(n)
    rows = [(bag, zero, at[:, 0], 1.0), (bag, at[:, 0] + 1, at[:, 1], 1.0), (bag, at[:, 1] + 1, at[:, 2], 1.0)]
    rows.append((bag, at[:, 2] + 1, np.where(won, k, k + 1), 1.0))
    table = pd.concat(
        pd.DataFrame(dict(zip(COLUMNS, row, strict=False))).astype({"origin": int, "target": int}) for row in rows
    ).assign(value=lambda part: 10.0 * (part["target"] == k))
    found = removal(table.groupby(COLUMNS[:3], as_index=False).sum(), k)
    assert found.shares.sum(axis=0) == pytest.approx([1, 1], rel=1e-12)
    assert found.effects.min() > 0


# which order


def journeys_of(walks, players):
    names = [f"channel {player}" for player in range(players)]
    lines = pd.DataFrame([(" > ".join(names[p] for p in walk), won, null) for _, walk, won, null, _ in walks])
    lines = lines.set_axis(["path", "total_conversions", "total_null"], axis=1).groupby("path", as_index=False).sum()
    return journeys_from_paths(lines.astype({"total_conversions": int, "total_null": int}))


@pytest.mark.parametrize("memory", [1, 2])
def test_the_true_order_is_preferred(memory):
    choice = order_choice(journeys_of(simulated(15_000, 5, np.random.default_rng(9), memory), 5))
    assert choice.loc[choice["preferred"], "order"].tolist() == [memory]
    assert choice["difference"].max() == 0
    assert list(choice.columns) == ["order", "states", "log_likelihood", "difference", "standard_error", "preferred"]


def test_held_out_likelihood_equals_a_plain_loop():
    random = np.random.default_rng(11)
    built = journeys_of(simulated(300, 3, random, 2), 3)
    table, c = built.transitions(3), markov.CONCENTRATION
    events = [
        (bag, tuple(int(origin) // 4**place % 4 for place in (2, 1, 0)), int(target), count)
        for bag, origin, target, count in table[["bag", "origin", "target", "count"]].itertuples(index=False)
    ]

    def chance(known, past, target, order):
        if order < 0:
            return 1 / 5
        recent = past[len(past) - order :]
        leaving = [(t, n) for p, t, n in known if p[len(p) - order :] == recent]
        below = chance(known, past, target, order - 1)
        if order == 1 and past[-1]:
            below /= 1 - chance(known, past, past[-1] - 1, 0)
        return (sum(n for t, n in leaving if t == target) + c * below) / (sum(n for _, n in leaving) + c)

    expected = np.zeros(3)
    for fold in range(10):
        known = [event[1:] for event in events if event[0] % 10 != fold]
        for bag, past, target, count in events:
            if bag % 10 == fold:
                expected += [count * np.log(chance(known, past, target, order)) for order in (1, 2, 3)]
    choice = order_choice(built)
    ended = table.loc[table["target"] >= 3, "count"].sum()
    assert choice["log_likelihood"].to_numpy() == pytest.approx(expected / ended)
    assert choice["states"].tolist() == [len({past[3 - k :] for _, past, _, _ in events}) for k in (1, 2, 3)]


def test_the_orders_asked_for_do_not_move_each_other():
    built = journeys_of(simulated(500, 3, np.random.default_rng(12)), 3)
    one, three = order_choice(built, (1,)), order_choice(built)
    assert one["log_likelihood"][0] == pytest.approx(three["log_likelihood"][0])
    assert one["preferred"].tolist() == [True]


@pytest.mark.parametrize("orders", [(0, 1), (1, 5), (True,), ("2",), ()])
def test_orders_must_be_available(orders):
    built = journeys_from_paths(pd.DataFrame({"path": ["a"], "total_conversions": [1]}))
    with pytest.raises(ToolkitError, match="order"):
        order_choice(built, orders)
