"""Credit: the reference numbers, the algebra computed a second way, and what every model must keep."""

from importlib.resources import files
from itertools import pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.attribution import attribute, journeys, journeys_from_paths
from kpitoolkit.attribution.resampling import credit_interval, weights
from kpitoolkit.errors import ToolkitError
from tests.attribution.chains_by_hand import lost, transitions

PERIOD = ("2026-07-01", "2026-09-30")


def paths(*lines):
    """(path, conversions, nulls) or (path, conversions, nulls, value)."""
    filled = [line if len(line) == 4 else (*line, 10.0 * line[1]) for line in lines]
    return pd.DataFrame(filled, columns=["path", "total_conversions", "total_null", "total_conversion_value"])


def credit(result, model, column="conversions"):
    return result.table[result.table["model"] == model].set_index("channel")[column].to_dict()


# a case worked by hand: the references


def test_reference_a():
    result = attribute(journeys_from_paths(paths(("G", 2, 1), ("M", 1, 0), ("G > M", 1, 0))))
    assert result.removal.set_index("channel")["removal_effect"].to_dict() == pytest.approx({"G": 3 / 4, "M": 1 / 2})
    assert credit(result, "markov") == pytest.approx({"G": 12 / 5, "M": 8 / 5, "unattributed": 0})
    assert credit(result, "shapley") == pytest.approx({"G": 5 / 2, "M": 3 / 2, "unattributed": 0})


def test_reference_b():
    result = attribute(journeys_from_paths(paths(("C1>C2>C3", 1, 0), ("C1", 0, 1), ("C2>C3", 0, 1))))
    effects = result.removal.set_index("channel")["removal_effect"].to_dict()
    assert effects == pytest.approx({"C1": 1 / 2, "C2": 1, "C3": 1})
    assert credit(result, "markov") == pytest.approx({"C1": 0.2, "C2": 0.4, "C3": 0.4, "unattributed": 0})
    assert credit(result, "shapley") == pytest.approx({"C1": 1 / 3, "C2": 1 / 3, "C3": 1 / 3, "unattributed": 0})


@pytest.fixture(scope="module")
def twelve_channels():
    with (files("mta") / "data" / "data.csv.gz").open("rb") as file:
        return pd.read_csv(file, compression="gzip")


def test_reference_c(twelve_channels):
    built = journeys_from_paths(twelve_channels)
    states = built.table.set_index("state")
    assert states.loc["converted", "conversions"] == 19_785
    assert states.loc["null", "journeys"] == 68_602
    assert states["value"].sum() == pytest.approx(74_802.97159, abs=1e-5)
    result = attribute(built)
    expected = {
        "alpha": 5344.95, "iota": 3884.61, "eta": 3340.85, "beta": 2527.35, "theta": 1971.91, "lambda": 1282.85,
        "epsilon": 599.57, "zeta": 381.06, "kappa": 274.36, "gamma": 171.15, "delta": 4.61, "mi": 1.72,
        "unattributed": 0,
    }  # fmt: skip
    assert credit(result, "markov") == pytest.approx(expected, abs=0.0051)
    assert "time_decay" not in set(result.table["model"])


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (2, [5724.80, 2425.79, 5.18, 618.58, 3400.67, 176.52, 3782.34, 264.63, 1170.58, 2.11, 1845.30, 368.49]),
        (3, [5812.93, 2400.73, 5.33, 622.22, 3394.59, 180.72, 3782.76, 263.69, 1141.48, 2.15, 1813.26, 365.14]),
    ],
)
def test_reference_c_at_higher_orders(twelve_channels, order, expected):
    """From the chain solved anew without each channel's states."""
    result = attribute(journeys_from_paths(twelve_channels), order=order)
    assert result.order == order
    assert list(credit(result, "markov").values()) == pytest.approx([*expected, 0], abs=0.0051)


def test_heuristics_by_hand():
    touchpoints = pd.DataFrame(
        {
            "user_id": ["u"] * 4,
            "channel": ["tv", "email", "email", "Direct"],
            "time": pd.to_datetime(["2026-07-03", "2026-07-10", "2026-07-17", "2026-07-24"]),
        }
    )
    conversions = pd.DataFrame(
        {"order_id": ["A"], "user_id": ["u"], "time": pd.to_datetime(["2026-07-24"]), "value": [90.0]}
    )
    result = attribute(journeys(touchpoints, conversions, 30, PERIOD), half_life_days=7)
    none = {"unattributed": 0.0}
    assert credit(result, "first") == none | {"tv": 1, "email": 0, "Direct": 0}
    assert credit(result, "last") == none | {"tv": 0, "email": 0, "Direct": 1}
    assert credit(result, "last_non_direct") == none | {"tv": 0, "email": 1, "Direct": 0}
    assert credit(result, "linear") == pytest.approx(none | {"tv": 0.25, "email": 0.5, "Direct": 0.25})
    assert credit(result, "position") == pytest.approx(none | {"tv": 0.4, "email": 0.2, "Direct": 0.4})
    decay = {"tv": 1 / 15, "email": (2 + 4) / 15, "Direct": 8 / 15}
    assert credit(result, "time_decay") == pytest.approx(none | decay)
    assert credit(result, "shapley") == pytest.approx(none | dict.fromkeys(["tv", "email", "Direct"], 1 / 3))
    assert credit(result, "time_decay", "value") == pytest.approx({c: 90 * s for c, s in (none | decay).items()})


def test_an_all_direct_journey_goes_to_direct_and_two_touchpoints_share_evenly():
    result = attribute(journeys_from_paths(paths(("direct > direct", 3, 1), ("tv > direct", 2, 0))))
    assert credit(result, "last_non_direct") == {"direct": 3, "tv": 2, "unattributed": 0}
    assert credit(result, "position") == pytest.approx({"direct": 4, "tv": 1, "unattributed": 0})


def test_value_follows_the_orders_that_a_channel_takes_part_in():
    built = journeys_from_paths(paths(("a", 10, 0, 1000.0), ("b", 10, 0, 10.0)))
    assert credit(attribute(built), "markov", "value") == pytest.approx({"a": 1000, "b": 10, "unattributed": 0})


# a second way of computing

random_paths = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "b", "c", "Direct"]), max_size=6).map(" > ".join),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=8,
)


def usable(lines):
    return any(path and conversions + nulls for path, conversions, nulls in lines) and any(line[1] for line in lines)


def conversion_probability(lines, removed=None):
    """Solve the chain with the channel's outgoing probability sent to null: no formula of ours."""
    states = ["start", *sorted({name for path, _, _ in lines for name in path.split(" > ") if name})]
    position = {state: at for at, state in enumerate([*states, "conversion", "null"])}
    counts = np.zeros((len(position), len(position)))
    for path, conversions, nulls in lines:
        walk = ["start", *(name for name in path.split(" > ") if name)]
        for here, there in pairwise(walk):
            counts[position[here], position[there]] += conversions + nulls
        counts[position[walk[-1]], position["conversion"]] += conversions
        counts[position[walk[-1]], position["null"]] += nulls
    if removed:
        counts[position[removed]] = 0
        counts[position[removed], position["null"]] = 1
    n = len(states)
    totals = counts[:n].sum(axis=1, keepdims=True)
    chance = np.divide(counts[:n], totals, out=np.zeros_like(counts[:n]), where=totals > 0)
    return np.linalg.solve(np.eye(n) - chance[:, :n], chance[:, n])[0]


@given(random_paths.filter(usable))
@settings(max_examples=50, deadline=None)
def test_removal_effects_equal_those_of_the_chain_without_the_channel(lines):
    built = journeys_from_paths(paths(*lines))
    result = attribute(built)
    whole = conversion_probability(lines)
    expected = {channel: 1 - conversion_probability(lines, channel) / whole for channel in built.channels}
    effects = result.removal.set_index("channel")["removal_effect"].to_dict()
    assert effects == pytest.approx(expected, abs=1e-9)
    attributed = sum(conversions for path, conversions, _ in lines if path)
    if attributed:
        shares = {channel: attributed * effect / sum(expected.values()) for channel, effect in expected.items()}
        assert credit(result, "markov") == pytest.approx(
            shares | {"unattributed": sum(c for path, c, _ in lines if not path)}, abs=1e-8
        )


@given(random_paths.filter(usable))
@settings(max_examples=30, deadline=None)
def test_shapley_equals_the_average_over_all_orders_of_the_channels(lines):
    built = journeys_from_paths(paths(*lines))

    def game(coalition):
        return sum(c for path, c, _ in lines if path and set(path.split(" > ")) <= set(coalition))

    expected = dict.fromkeys(built.channels, 0.0)
    orders = list(permutations(built.channels))
    for order in orders:
        for at, channel in enumerate(order):
            expected[channel] += (game(order[: at + 1]) - game(order[:at])) / len(orders)
    found = credit(attribute(built), "shapley")
    del found["unattributed"]
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("order", [2, 3])
@given(lines=random_paths.filter(usable))
@settings(max_examples=25, deadline=None)
def test_credit_at_higher_orders_equals_that_of_the_chain_without_the_channel(order, lines):
    built = journeys_from_paths(paths(*lines))
    seen = [line for line in lines if line[1] + line[2]]
    walks = [([built.channels.index(name) for name in path.split(" > ") if name], c, n) for path, c, n in seen]
    effects, _taken = lost([(0, walk, c, n, 0.0) for walk, c, n in walks], len(built.channels), order)
    result = attribute(built, order=order)
    assert result.removal["removal_effect"].to_numpy() == pytest.approx(effects, abs=1e-9)
    attributed = sum(c for walk, c, _ in walks if walk)
    if attributed:
        found = list(credit(result, "markov").values())[:-1]
        assert found == pytest.approx(effects / effects.sum() * attributed, abs=1e-8)


@given(random_paths.filter(usable))
@settings(max_examples=25, deadline=None)
def test_transitions_of_any_order_equal_a_plain_loop(lines):
    built = journeys_from_paths(paths(*lines))
    seen = [line for line in lines if line[1] + line[2]]
    walks = [([built.channels.index(name) for name in path.split(" > ") if name], c, n) for path, c, n in seen]
    for order in (1, 2, 3):
        keys = ["origin", "target"]
        found = built.transitions(order).groupby(keys)[["count", "value"]].sum()
        expected = transitions([(0, walk, c, n, 10.0 * c) for walk, c, n in walks], len(built.channels), order)
        pd.testing.assert_frame_equal(
            found[found["count"] > 0], expected.set_index(keys)[["count", "value"]], check_dtype=False
        )


def test_heuristics_equal_a_plain_loop():
    random = np.random.default_rng(5)
    names = ["tv", "email", "direct", "search"]
    walks = [[str(name) for name in random.choice(names, random.integers(1, 7))] for _ in range(60)]
    ages = [np.sort(random.uniform(0, 29, len(walk)))[::-1] for walk in walks]
    ordered = pd.Timestamp("2026-08-15")
    touchpoints = pd.DataFrame(
        [
            (f"u{i}", name, ordered - pd.Timedelta(days=age).floor("us"))
            for i, (walk, age) in enumerate(zip(walks, ages, strict=True))
            for name, age in zip(walk, age, strict=True)
        ],
        columns=["user_id", "channel", "time"],
    )
    users = [f"u{i}" for i in range(len(walks))]
    conversions = pd.DataFrame({"order_id": users, "user_id": users, "time": ordered, "value": 1.0})
    result = attribute(journeys(touchpoints.sample(frac=1, random_state=1), conversions, 30, PERIOD), half_life_days=3)

    expected = {
        m: dict.fromkeys(names, 0.0) for m in ("first", "last", "last_non_direct", "linear", "position", "time_decay")
    }
    for walk, age in zip(walks, ages, strict=True):
        n = len(walk)
        expected["first"][walk[0]] += 1
        expected["last"][walk[-1]] += 1
        others = [name for name in walk if name != "direct"]
        expected["last_non_direct"][others[-1] if others else "direct"] += 1
        weights = [2 ** (-days / 3) for days in age]
        places = {1: [1], 2: [0.5, 0.5]}.get(n, [0.4, *[0.2 / max(n - 2, 1)] * (n - 2), 0.4])
        for name, weight, place in zip(walk, weights, places, strict=True):
            expected["linear"][name] += 1 / n
            expected["time_decay"][name] += weight / sum(weights)
            expected["position"][name] += place
    for model, credits in expected.items():
        assert credit(result, model) == pytest.approx(credits | {"unattributed": 0}, abs=1e-6), model


# what must always hold


@given(random_paths.filter(lambda lines: any(path for path, _, _ in lines)))
@settings(max_examples=40, deadline=None)
def test_credit_of_every_model_sums_to_conversions_and_value(lines):
    valued = [(*line, 7.3 * line[1]) for line in lines]
    result = attribute(journeys_from_paths(paths(*valued)))
    conversions, value = sum(line[1] for line in lines), sum(line[3] for line in valued)
    for _model, lines_of_model in result.table.groupby("model"):
        assert lines_of_model["conversions"].sum() == pytest.approx(conversions, rel=1e-9, abs=1e-12)
        assert lines_of_model["value"].sum() == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert (lines_of_model["conversions"] >= 0).all()


def test_repeats_change_nothing_at_order_1():
    once = attribute(journeys_from_paths(paths(("a > b", 5, 2), ("b", 3, 9), ("a > c", 1, 4))))
    again = attribute(journeys_from_paths(paths(("a > a > b", 5, 2), ("b > b > b", 3, 9), ("a > c", 1, 4))))
    assert credit(again, "markov") == pytest.approx(credit(once, "markov"))
    assert credit(again, "shapley") == pytest.approx(credit(once, "shapley"))


def test_markov_credit_in_value_equals_the_value_lost_without_the_channel():
    lines = [("a > b > a > c", 3, 4), ("b > c > b", 2, 1), ("c", 5, 9), ("a > a > b", 1, 0), ("", 2, 0)]
    value = {"a > b > a > c": 70.0, "b > c > b": 900.0, "c": 25.0, "a > a > b": 300.0, "": 40.0}
    built = journeys_from_paths(paths(*((*line, value[line[0]]) for line in lines)))

    def expected_value(removed=None):
        states = ["start", "a", "b", "c"]
        counts, worth, leaving = np.zeros((4, 4)), np.zeros(4), np.zeros(4)
        for path, conversions, nulls in lines:
            walk = [states.index(name) for name in ["start", *(n for n in path.split(" > ") if n)]]
            for at, here in enumerate(walk):
                leaving[here] += conversions + nulls
                if at + 1 < len(walk):
                    counts[here, walk[at + 1]] += conversions + nulls
            worth[walk[-1]] += value[path]
        chance, reward = counts / leaving[:, None], worth / leaving
        if removed:
            chance[states.index(removed)], reward[states.index(removed)] = 0, 0
        return np.linalg.solve(np.eye(4) - chance, reward)[0]

    lost = {channel: expected_value() - expected_value(channel) for channel in "abc"}
    attributed = sum(value.values()) - 40
    expected = {channel: attributed * amount / sum(lost.values()) for channel, amount in lost.items()}
    assert credit(attribute(built), "markov", "value") == pytest.approx(expected | {"unattributed": 40})


def test_intervals_hold_ninety_per_cent_of_a_count_of_rare_events():
    result = attribute(journeys_from_paths(paths(("a", 10_000, 390_000))))
    line = result.table.query("model == 'markov' and channel == 'a'").iloc[0]
    assert line["high"] - line["low"] == pytest.approx(2 * 1.645 * 100, rel=0.12)
    assert (line["high"] + line["low"]) / 2 == pytest.approx(10_000, rel=0.005)


def test_intervals_of_removal_effects_hold_ninety_per_cent():
    result = attribute(journeys_from_paths(paths(*((f"channel {i:02d}", 500, 0) for i in range(40)))))
    width = (result.removal["high"] - result.removal["low"]).mean()
    assert width == pytest.approx(2 * 1.645 * (1 / 40 * 39 / 40 / 20_000) ** 0.5, rel=0.05)
    assert ((result.removal["high"] + result.removal["low"]) / 2).mean() == pytest.approx(1 / 40, rel=0.01)


def test_intervals_hold_the_number_of_customers_too():
    users = [f"u{i:04d}" for i in range(1000)]
    touchpoints = pd.DataFrame({"user_id": users, "channel": "tv", "time": pd.Timestamp("2026-07-02")})
    conversions = pd.DataFrame({"order_id": users, "user_id": users, "time": pd.Timestamp("2026-07-03"), "value": 1.0})
    result = attribute(journeys(touchpoints, conversions, 30, PERIOD))
    for line in result.table[result.table["channel"] == "tv"].itertuples():
        assert line.high - line.low == pytest.approx(2 * 1.645 * 1000**0.5, rel=0.25), line.model
        assert line.low < 1000 < line.high


def test_the_order_of_guests_does_not_move_their_interval():
    touchpoints = pd.DataFrame({"user_id": ["u"], "channel": ["tv"], "time": [pd.Timestamp("2026-07-02")]})
    days = pd.date_range("2026-06-10", periods=60)
    guests = pd.DataFrame({"order_id": range(60), "user_id": None, "time": days, "value": 1.0})
    one, two = (attribute(journeys(touchpoints, frame, 30, PERIOD)).table for frame in (guests, guests.iloc[::-1]))
    pd.testing.assert_frame_equal(one, two)


def test_the_same_answer_twice_and_intervals_around_it(twelve_channels):
    one, two = (attribute(journeys_from_paths(twelve_channels)).table for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    credited = one[one["conversions"] > 0]
    assert ((credited["low"] < credited["conversions"]) & (credited["conversions"] < credited["high"])).all()


def test_intervals_narrow_with_the_square_root_of_the_customers():
    def width(times):
        result = attribute(
            journeys_from_paths(paths(("a > b", 50 * times, 400 * times), ("b", 30 * times, 600 * times)))
        )
        line = result.table.query("model == 'markov' and channel == 'b'").iloc[0]
        return (line["high"] - line["low"]) / line["conversions"]

    assert width(1) / width(100) == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize("order", [1, 2])
def test_every_resample_sums_to_its_conversions_and_value_and_gives_the_intervals(order):
    valued = paths(("a > b > a", 31, 50, 700.0), ("b", 40, 90, 300.0), ("c > a", 6, 2, 80.0), ("", 9, 0, 50.0))
    built = journeys_from_paths(valued)
    result = attribute(built, order=order)
    ends = built.transitions(1).query("target == 3").groupby("bag")[["count", "value"]].sum().reindex(range(200))
    drawn = weights() @ ends.fillna(0).to_numpy()
    one = np.array([1.0, 1130.0 / 86])
    for model, draws in result.draws.items():
        assert draws.shape == (1000, 4, 2)
        assert draws.sum(axis=1) == pytest.approx(drawn, rel=1e-9)
        assert (draws >= 0).all()
        lines = result.table[result.table["model"] == model]
        found = lines[["low", "value_low", "high", "value_high"]].to_numpy().reshape(-1, 2, 2)
        point = lines[["conversions", "value"]].to_numpy()
        assert found.swapaxes(0, 1) == pytest.approx(np.array(credit_interval(point, draws, one)))
    assert list(result.table)[:6] == ["channel", "model", "conversions", "value", "low", "high"]


def test_wide_ranks_channels_by_markov():
    wide = attribute(journeys_from_paths(paths(("a", 31, 5), ("b", 40, 1), ("", 2, 0)))).wide()
    assert wide["channel"].tolist() == ["b", "a", "unattributed"]
    assert list(wide.columns) == [
        "channel",
        "first",
        "last",
        "last_non_direct",
        "linear",
        "position",
        "markov",
        "shapley",
    ]
    assert wide["last"].tolist() == [40, 31, 2]


def test_the_half_life_and_the_name_of_the_direct_channel():
    touchpoints = pd.DataFrame(
        {"user_id": "u", "channel": ["tv", "Diretto"], "time": pd.to_datetime(["2026-07-18", "2026-07-20"])}
    )
    conversions = pd.DataFrame(
        {"order_id": ["A"], "user_id": ["u"], "time": pd.to_datetime(["2026-07-20"]), "value": [1.0]}
    )
    result = attribute(journeys(touchpoints, conversions, 7, PERIOD), half_life_days=1, direct="diretto")
    wide = result.wide().set_index("channel")
    assert wide["time_decay"].to_dict() == pytest.approx({"Diretto": 0.8, "tv": 0.2, "unattributed": 0})
    assert wide["last_non_direct"].to_dict() == {"tv": 1, "Diretto": 0, "unattributed": 0}


# bad input


@pytest.mark.parametrize("order", [0, 5, True, "1", 1.5])
def test_the_order_is_1_to_4(order):
    with pytest.raises(ToolkitError, match="from 1 to 4"):
        attribute(journeys_from_paths(paths(("a", 1, 0))), order=order)


@pytest.mark.parametrize("half_life", [0, -1, float("nan"), "7", None])
def test_the_half_life_is_above_0(half_life):
    with pytest.raises(ToolkitError, match="half_life_days"):
        attribute(journeys_from_paths(paths(("a", 1, 0))), half_life_days=half_life)


def test_without_conversions_a_status_and_no_figures():
    result = attribute(journeys_from_paths(paths(("a > b", 0, 4))))
    assert result.status == "no_conversions"
    assert result.removal["removal_effect"].isna().all()
    assert result.table["conversions"].sum() == 0
    assert result.table["low"].isna().all()
    assert len(result.findings("en")) == 1
    result.plot()


def test_without_nulls_the_findings_say_so():
    result = attribute(journeys_from_paths(paths(("a > b", 40, 0), ("b", 20, 0))))
    assert any("No journey without a conversion" in sentence for sentence in result.findings("en"))
    with_nulls = attribute(journeys_from_paths(paths(("a > b", 40, 1), ("b", 20, 0))))
    assert not any("No journey without a conversion" in sentence for sentence in with_nulls.findings("en"))


def test_one_channel_takes_all_that_is_attributed():
    result = attribute(journeys_from_paths(paths(("a", 31, 5), ("", 2, 0))))
    assert result.status == "ok"
    for model in set(result.table["model"]):
        assert credit(result, model) == pytest.approx({"a": 31, "unattributed": 2})
    assert result.removal["removal_effect"].tolist() == pytest.approx([31 / 33])


@pytest.mark.parametrize("language", ["en", "it"])
def test_plot_and_findings_take_any_name(language):
    names = ["a>b", '"quoted"', "🚀", "<b>bold</b>", "$x_1$ {y}"]
    touchpoints = pd.DataFrame(
        {"user_id": names, "channel": names, "time": pd.to_datetime(["2026-07-02"] * len(names))}
    )
    conversions = pd.DataFrame(
        {"order_id": names, "user_id": names, "time": pd.to_datetime(["2026-07-03"] * len(names)), "value": 1.0}
    )
    result = attribute(journeys(touchpoints, conversions, 30, PERIOD))
    assert sorted(set(result.table["channel"]) - {"unattributed"}) == sorted(names)
    assert all("{" not in sentence.replace("{y}", "") for sentence in result.findings(language, "EUR"))
    result.plot(language=language)


def test_what_is_no_journeys_is_said():
    with pytest.raises(ToolkitError, match="make journeys first"):
        attribute(pd.DataFrame())
