"""Credit by campaign: nested in the channels, in every model and resample."""

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.attribution import attribute, journeys, journeys_from_paths
from kpitoolkit.errors import ToolkitError

PERIOD = ("2026-07-01", "2026-09-30")


def campaigns(walks):
    """Touchpoints and conversions from (campaigns such as "search:brand", value or None) of one user each."""
    start = pd.Timestamp("2026-07-02")
    touchpoints = pd.DataFrame(
        [
            (f"u{user}", *node.split(":"), start + pd.Timedelta(days=at))
            for user, (walk, _value) in enumerate(walks)
            for at, node in enumerate(walk.split())
        ],
        columns=["user_id", "channel", "campaign", "time"],
    )
    bought = [(f"o{user}", f"u{user}", value) for user, (_walk, value) in enumerate(walks) if value is not None]
    conversions = pd.DataFrame(bought, columns=["order_id", "user_id", "value"])
    return journeys(touchpoints, conversions.assign(time=start + pd.Timedelta(days=20)), 30, PERIOD)


def many_campaigns(n=300):
    random = np.random.default_rng(13)
    nodes = ["search:brand", "search:generic", "social:a", "social:b", "social:c", "direct:"]
    walks = [
        (" ".join(random.choice(nodes, random.integers(1, 5))), float(random.integers(1, 90)) if i % 3 else None)
        for i in range(n)
    ]
    return campaigns(walks)


def test_a_channel_is_divided_among_its_campaigns_by_hand():
    """Channels share 2 conversions evenly; in search, `brand` takes part in both and `generic` in one."""
    built = campaigns([("search:brand social:x", 10.0), ("social:x search:brand search:generic", 30.0)])
    table = attribute(built, by="campaign").table
    shapley = table[table["model"] == "shapley"].set_index(["channel", "campaign"])
    found = shapley["conversions"].to_dict()
    assert found == pytest.approx(
        {
            ("search", "brand"): 1 * (1 / 2 + 1 / 3) / (1 / 2 + 2 / 3),
            ("search", "generic"): 1 * (1 / 3) / (1 / 2 + 2 / 3),
            ("social", "x"): 1,
            ("unattributed", ""): 0,
        }
    )
    assert shapley["value"].to_dict()["search", "generic"] == pytest.approx(20 * (30 / 3) / (10 / 2 + 2 * 30 / 3))
    assert list(table)[:7] == ["channel", "campaign", "model", "conversions", "value", "low", "high"]


@pytest.mark.parametrize("order", [1, 2])
def test_campaigns_sum_to_their_channel_in_every_model_and_resample(order):
    built = many_campaigns()
    channels, nested = attribute(built, order), attribute(built, order, by="campaign")
    by_line = nested.table.groupby(["model", "channel"])[["conversions", "value"]].sum()
    pd.testing.assert_frame_equal(by_line, channels.table.groupby(["model", "channel"])[["conversions", "value"]].sum())
    names = nested.table.loc[nested.table["model"] == "first", "channel"].to_numpy()
    for model, draws in nested.draws.items():
        for at, channel in enumerate(channels.wide()["channel"].sort_values()):
            position = channels.table.loc[channels.table["model"] == model, "channel"].tolist().index(channel)
            summed = draws[:, names == channel].sum(axis=1)
            assert summed == pytest.approx(channels.draws[model][:, position], rel=1e-9, abs=1e-9), (model, at)
    assert (nested.table[["conversions", "value"]] >= 0).all(axis=None)
    assert list(nested.removal) == ["channel", "campaign", "removal_effect", "low", "high"]


def test_without_campaigns_both_ways_give_the_same():
    lines = pd.DataFrame({"path": ["a > b > a", "b", ""], "total_conversions": [31, 40, 2], "total_null": [5, 1, 0]})
    built = journeys_from_paths(lines)
    one, two = attribute(built), attribute(built, by="campaign")
    columns = ["conversions", "value", "low", "high"]
    assert (two.table["campaign"] == "").all()
    assert two.table[columns].to_numpy() == pytest.approx(one.table[columns].to_numpy())


@pytest.mark.parametrize("language", ["en", "it"])
def test_campaigns_are_ranked_drawn_and_told(language):
    result = attribute(many_campaigns(), by="campaign")
    wide = result.wide()
    assert list(wide)[:2] == ["channel", "campaign"]
    assert wide["markov"].iloc[:-1].is_monotonic_decreasing
    assert wide["channel"].iloc[-1] == "unattributed"
    leader = " / ".join(part for part in wide.iloc[0][["channel", "campaign"]] if part)
    assert any(leader in sentence for sentence in result.findings(language))
    result.plot(language=language)


# bad input


@pytest.mark.parametrize("by", ["campaigns", None, "channels"])
def test_lines_are_channels_or_campaigns(by):
    with pytest.raises(ToolkitError, match="'channel' or 'campaign'"):
        attribute(journeys_from_paths(pd.DataFrame({"path": ["a"], "total_conversions": [1]})), by=by)


@pytest.mark.parametrize("by", ["channel", "campaign"])
def test_where_no_touchpoint_counts_all_is_unattributed(by):
    touchpoints = pd.DataFrame({"user_id": ["u"], "channel": ["tv"], "time": pd.to_datetime(["2026-07-02"])})
    conversions = touchpoints[["user_id"]].assign(order_id="A", time=pd.Timestamp("2026-09-05"), value=9.0)
    for order in (1, 2):
        result = attribute(journeys(touchpoints, conversions, 30, PERIOD), order, by=by)
        assert result.status == "nothing_attributed"
        assert set(result.table["channel"]) == {"unattributed"}
        assert set(result.table["value"]) == {9.0}
