"""The conversion-rate game: by hand, against all orders of the channels, in resamples, and what cannot be computed."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.attribution import journeys, journeys_from_paths
from kpitoolkit.attribution.resampling import weights
from kpitoolkit.attribution.shapley import rate_game


def paths(*lines):
    return pd.DataFrame(lines, columns=["path", "total_conversions", "total_null"])


def contributions(game):
    return game.set_index("channel")["contribution"].to_dict()


def by_permutations(lines, channels):
    """Average what each channel adds over all the orders in which channels may join."""

    def rate(coalition):
        inside = [(c, n) for path, c, n in lines if path and set(path.split(" > ")) <= set(coalition)]
        ended = sum(c + n for c, n in inside)
        return sum(c for c, _ in inside) / ended if ended else 0.0

    total, orders = dict.fromkeys(channels, 0.0), list(permutations(channels))
    for order in orders:
        for at, channel in enumerate(order):
            total[channel] += (rate(order[: at + 1]) - rate(order[:at])) / len(orders)
    return total


# a case worked by hand


def test_a_channel_that_spoils_the_rate_has_a_negative_contribution():
    """v(a) = 1/2, v(b) = 0, v(a, b) = 5/20: a adds 1/2 or 1/4, b adds 0 or -1/4."""
    game = rate_game(journeys_from_paths(paths(("a", 5, 5), ("b > b", 0, 10), ("", 7, 0))))
    assert contributions(game) == pytest.approx({"a": 3 / 8, "b": -1 / 8})
    assert set(game["status"]) == {"ok"}
    assert list(game.columns) == ["channel", "contribution", "low", "high", "status"]


# a second way of computing

some_paths = st.lists(
    st.tuples(st.lists(st.sampled_from("abcd"), max_size=5).map(" > ".join), st.integers(0, 9), st.integers(0, 9)).map(
        lambda line: line if line[0] else (line[0], line[1], 0)
    ),
    min_size=1,
    max_size=10,
).filter(lambda lines: any(null for path, _, null in lines if path))


@given(some_paths)
@settings(max_examples=60, deadline=None)
def test_the_game_equals_the_average_over_all_orders_and_sums_to_the_rate(lines):
    built = journeys_from_paths(paths(*lines))
    game = rate_game(built)
    assert contributions(game) == pytest.approx(by_permutations(lines, built.channels), abs=1e-12)
    converted, ended = (sum(c + also * n for path, c, n in lines if path) for also in (0, 1))
    assert game["contribution"].sum() == pytest.approx(converted / ended, abs=1e-12)


def test_intervals_are_those_of_games_computed_in_every_resample():
    random = np.random.default_rng(6)
    lines = {}
    for path in ("a", "b", "c", "a > b", "b > c", "c > a > b"):
        lines[path] = (path, int(random.integers(800, 2_000)), int(random.integers(2_000, 9_000)))
    built = journeys_from_paths(paths(*lines.values()))
    sums = built.coalitions()
    drawn = []
    for weight in weights()[:300]:
        times = weight[sums["bag"]]
        again = [
            (" > ".join(name for at, name in enumerate("abc") if coalition >> at & 1), c, n)
            for coalition, c, n in zip(
                sums["coalition"].astype(int), times * sums["conversions"], times * sums["nulls"], strict=True
            )
        ]
        drawn.append(list(by_permutations(again, "abc").values()))
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    game = rate_game(built)
    assert (game["high"] - game["low"]).to_numpy() == pytest.approx(high - low, rel=0.1)
    assert game["low"].to_numpy() == pytest.approx(low, abs=0.1 * (high - low).max())


def test_sixteen_channels():
    names = [f"channel {i:02d}" for i in range(16)]
    lines = [(f"{a} > {b}", 1 + i % 3, 4) for i, a in enumerate(names) for b in names[:3]]
    game = rate_game(journeys_from_paths(paths(*lines)))
    assert game["contribution"].sum() == pytest.approx(sum(c for _, c, _ in lines) / sum(c + 4 for _, c, _ in lines))
    assert (game["low"] < game["contribution"]).all() and (game["contribution"] < game["high"]).all()


# what cannot be computed


def test_beyond_sixteen_channels_the_game_says_so():
    game = rate_game(journeys_from_paths(paths(*((f"channel {i}", 1, 1) for i in range(17)))))
    assert set(game["status"]) == {"too_many_channels"}
    assert len(game) == 17
    assert game["contribution"].isna().all()


def test_without_nulls_there_is_no_rate():
    game = rate_game(journeys_from_paths(paths(("a", 3, 0), ("a > b", 1, 0))))
    assert set(game["status"]) == {"no_nulls"}
    assert game[["contribution", "low", "high"]].isna().all(axis=None)


def test_without_channels_there_is_no_line():
    touchpoints = pd.DataFrame({"user_id": ["u"], "channel": ["tv"], "time": pd.to_datetime(["2026-07-02"])})
    conversions = touchpoints[["user_id"]].assign(order_id="A", time=pd.Timestamp("2026-09-05"), value=9.0)
    assert rate_game(journeys(touchpoints, conversions, 30, ("2026-07-01", "2026-09-30"))).empty
