"""Journeys: every rule by a small case, a plain loop as the second way, and bad input."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.attribution import attribute, conversions_from_orders, journeys, journeys_from_paths
from kpitoolkit.attribution.sums import STATES
from kpitoolkit.errors import Faults, ToolkitError

PERIOD = ("2026-07-01", "2026-09-30")


def touch(*rows):
    """(user, moment, channel) or (user, moment, channel, campaign)."""
    columns = ["user_id", "time", "channel", "campaign"][: len(rows[0])]
    return pd.DataFrame(rows, columns=columns).astype({"time": "datetime64[us]"})


def orders(*rows):
    """(order, user, moment) at a value of 10 each."""
    frame = pd.DataFrame(rows, columns=["order_id", "user_id", "time"]).astype({"time": "datetime64[us]"})
    return frame.assign(value=10.0)


def counts(built):
    return built.table.set_index("state")["journeys"].to_dict()


def rows(built):
    return built.arrival.set_index("item")["rows"].to_dict()


def walks(built):
    """State and channels of every journey, as the source holds them."""
    found = []
    for part in built.source.parts:
        ends = np.cumsum(part.length)
        for state, start, end in zip(part.state, ends - part.length, ends, strict=True):
            channels = built.nodes["channel"].iloc[part.node[start:end]]
            found.append((STATES[state], tuple(channels)))
    return sorted(found)


# the rules, one by one


def test_a_journey_is_cut_after_its_conversion_and_the_rest_is_open_or_null():
    built = journeys(
        touch(
            ("u", "2026-07-02", "tv"), ("u", "2026-07-05", "email"), ("u", "2026-07-09", "search"),
            ("v", "2026-09-20", "tv"), ("w", "2026-07-20", "tv"),
        ),
        orders(("A", "u", "2026-07-06"), ("B", "x", "2026-08-01")),
        30,
        PERIOD,
    )  # fmt: skip
    assert walks(built) == [
        ("converted", ("tv", "email")),
        ("null", ("search",)),
        ("null", ("tv",)),
        ("open", ("tv",)),
        ("unattributed", ()),
    ]
    assert built.table.to_dict("list") == {
        "state": ["converted", "null", "open", "unattributed"],
        "journeys": [1, 2, 1, 1], "conversions": [1, 0, 0, 1], "value": [10, 0, 0, 10],
    }  # fmt: skip


def test_the_look_back_includes_its_last_instant():
    built = journeys(
        touch(("u", "2026-07-01 12:00:00", "tv"), ("v", "2026-07-01 11:59:59", "tv")),
        orders(("A", "u", "2026-07-31 12:00:00"), ("B", "v", "2026-07-31 12:00:00")),
        30,
        PERIOD,
    )
    assert counts(built) == {"converted": 1, "null": 0, "open": 0, "unattributed": 1}
    assert rows(built)["touchpoints_outside_lookback"] == 1


def test_open_means_that_the_look_back_reaches_beyond_the_period():
    built = journeys(
        touch(("u", "2026-09-01 00:00:00", "tv"), ("v", "2026-08-31 23:59:59", "tv")), orders(), 30, PERIOD
    )
    assert counts(built) == {"converted": 0, "null": 1, "open": 1, "unattributed": 0}


def test_a_rest_is_open_as_a_whole():
    built = journeys(touch(("u", "2026-07-02", "tv"), ("u", "2026-09-25", "email")), orders(), 30, PERIOD)
    assert walks(built) == [("open", ("tv", "email"))]


def test_conversions_before_the_period_cut_journeys_and_are_not_counted():
    built = journeys(
        touch(("u", "2026-06-10", "tv"), ("u", "2026-06-25", "email")),
        orders(("A", "u", "2026-06-20"), ("B", "u", "2026-07-03"), ("C", "v", "2026-10-01")),
        30,
        PERIOD,
    )
    assert walks(built) == [("converted", ("email",))]
    found = rows(built)
    assert (found["touchpoints_closed_earlier"], found["conversions_before_period"]) == (1, 1)
    assert found["conversions_after_period"] == 1


def test_the_last_day_of_the_period_is_included_in_its_own_time_zone():
    late = orders(("A", "u", "2026-09-30 22:30:00"))
    seen = touch(("u", "2026-09-30 10:00:00", "tv"))
    assert counts(journeys(seen, late, 30, PERIOD))["converted"] == 1
    rome = tuple(pd.Timestamp(day, tz="Europe/Rome") for day in PERIOD)
    assert counts(journeys(seen, late, 30, rome)) == {"converted": 0, "null": 0, "open": 1, "unattributed": 0}


def test_ties_touchpoints_come_before_the_order_and_by_channel_name():
    moment = "2026-07-05 10:00:00"
    built = journeys(touch(("u", moment, "tv"), ("u", moment, "email")), orders(("A", "u", moment)), 30, PERIOD)
    assert walks(built) == [("converted", ("email", "tv"))]


def test_orders_of_one_moment_close_one_journey_together():
    moment = "2026-07-05 10:00:00"
    built = journeys(touch(("u", "2026-07-04", "tv")), orders(("A", "u", moment), ("B", "u", moment)), 30, PERIOD)
    assert built.table.iloc[0].tolist() == ["converted", 1, 2, 20]
    assert attribute(built).table.query("model == 'last'")["conversions"].tolist() == [2, 0]


def test_repeated_orders_and_touchpoints_count_once_and_are_reported():
    built = journeys(
        touch(
            ("u", "2026-07-02", "tv", "x"), ("u", "2026-07-02", "tv", "x"), ("u", "2026-07-02", "tv", "y"),
            ("u", "2026-07-03", "tv", "x"),
        ),
        orders(("A", "u", "2026-07-06"), ("A", "u", "2026-07-06"), ("B", "v", "2026-07-09"), ("B", "v", "2026-07-08")),
        30,
        PERIOD,
    )  # fmt: skip
    assert walks(built) == [("converted", ("tv", "tv", "tv")), ("unattributed", ())]
    found = rows(built)
    assert (found["touchpoints_repeated"], found["conversions_repeated"], found["order_ids_that_disagree"]) == (1, 2, 1)
    words = " ".join(built.findings("en"))
    assert "1 touchpoint repeats another in full" in words
    assert "2 rows repeat the number of another order" in words


def test_orders_without_customer_are_unattributed():
    guest = orders(("A", None, "2026-07-06"), ("B", None, "2026-07-06"))
    built = journeys(touch(("u", "2026-07-02", "tv")), guest, 30, PERIOD)
    assert counts(built)["unattributed"] == 2
    assert rows(built)["conversions_without_user"] == 2


def test_customers_with_touchpoints_only_after_their_order_are_pointed_out():
    built = journeys(
        touch(("u", "2026-07-06 11:00", "tv"), ("v", "2026-07-05", "tv"), ("v", "2026-07-09", "tv")),
        orders(("A", "u", "2026-07-06 10:00"), ("B", "v", "2026-07-06")),
        30,
        PERIOD,
    )
    assert rows(built)["users_only_after_order"] == 1
    assert any("time zone" in sentence for sentence in built.findings("en"))


def test_a_half_quarter_is_pointed_out():
    days = pd.date_range("2026-07-10", "2026-08-20").strftime("%Y-%m-%d")
    words = " ".join(journeys(touch(*[("u", day, "tv") for day in days]), orders(), 30, PERIOD).findings("en"))
    assert "begin on 10 Jul 2026" in words
    assert "end on 20 Aug 2026" in words


def test_without_a_period_all_is_in_it():
    built = journeys(touch(("u", "2025-01-02", "tv")), orders(("A", "u", "2025-01-20"), ("B", "v", "2026-05-05")))
    assert counts(built) == {"converted": 1, "null": 0, "open": 0, "unattributed": 1}


def test_paid_orders_become_conversions_at_their_gross():
    table = pd.DataFrame(
        {
            "order_id": ["A", "B"], "customer_id": ["u", "v"], "status": ["paid", "cancelled"],
            "time": pd.to_datetime(["2026-07-02", "2026-07-03"]), "gross_cents": pd.array([12_345, 1], dtype="Int64"),
        }
    )  # fmt: skip
    assert conversions_from_orders(table)["value"].tolist() == [123.45]


def test_paid_orders_in_several_currencies_are_refused():
    table = pd.DataFrame(
        {
            "order_id": list("ABCDE"), "customer_id": "u", "time": pd.Timestamp("2026-07-02"), "gross_cents": 10_000,
            "status": ["paid", "cancelled", "paid", "paid", "paid"], "currency": ["EUR", "USD", "GBP", "EUR", "GBP"],
        }
    )  # fmt: skip
    table.loc[5] = ["F", "u", pd.Timestamp("2026-07-02"), 10_000, "paid", "EUR"]
    message = r"several currencies \(EUR, GBP\): 2 rows not in EUR \(first: row 3\)\. Convert them to one currency"
    with pytest.raises(Faults, match=message):
        conversions_from_orders(table)
    assert conversions_from_orders(table[table["currency"] != "GBP"])["value"].sum() == 300
    assert conversions_from_orders(table.iloc[:0]).empty


def test_of_rows_with_one_order_id_the_earliest_counts():
    late_first = orders(("A", "u", "2026-07-20"), ("A", "v", "2026-07-06")).assign(value=[5.0, 70.0])
    seen = touch(("u", "2026-07-19", "tv"), ("v", "2026-07-05", "email"))
    built = journeys(seen, late_first, 30, PERIOD)
    assert walks(built) == [("converted", ("email",)), ("null", ("tv",))]
    assert built.table["value"].sum() == 70


# a second way, and what must always hold

events = st.lists(st.tuples(st.sampled_from("uvw"), st.integers(0, 160), st.sampled_from(["a", "b", "c"])), max_size=25)


def plain_loop(seen, bought, lookback, start, end):
    """The rules once more, customer by customer, hour by hour."""
    found = []
    for user in "uvw":
        kept = sorted({(hour, name) for who, hour, name in seen if who == user and start - lookback <= hour < end})
        ordered = sorted(hour for who, hour, _ in bought if who == user and hour < end)
        before = -1
        for moment in sorted(set(ordered)):
            walk = tuple(name for hour, name in kept if before < hour <= moment and moment - hour <= lookback)
            before = moment
            if moment >= start:
                found.append(("converted" if walk else "unattributed", walk))
        rest = [(hour, name) for hour, name in kept if hour > before]
        if rest:
            found.append(("open" if rest[-1][0] + lookback >= end else "null", tuple(name for _, name in rest)))
    return sorted(found)


@given(events.filter(bool), events, st.sampled_from([24, 48]))
@settings(max_examples=80, deadline=None)
def test_journeys_equal_a_plain_loop(seen, bought, lookback):
    zero, start, end = pd.Timestamp("2026-06-28"), 72, 120
    if not any(start - lookback <= hour < end for _, hour, _ in seen):
        return
    moments = [zero + pd.Timedelta(hours=hour) for _, hour, _ in seen]
    touchpoints = touch(*[(user, moment, name) for (user, _, name), moment in zip(seen, moments, strict=True)])
    conversions = orders(*[(str(i), who, zero + pd.Timedelta(hours=hour)) for i, (who, hour, _) in enumerate(bought)])
    built = journeys(touchpoints, conversions, lookback / 24, ("2026-07-01", "2026-07-02"))
    assert walks(built) == plain_loop(seen, bought, lookback, start, end)

    found = rows(built)
    parts = ("before_window", "after_period", "repeated", "closed_earlier", "outside_lookback", "in_journeys")
    assert found["touchpoints_read"] == sum(found[f"touchpoints_{part}"] for part in parts)
    in_period = sum(start <= hour < end for _, hour, _ in bought)
    assert built.table["conversions"].sum() == in_period == found["conversions_in_period"]
    for _model, lines in attribute(built).table.groupby("model"):
        assert lines["conversions"].sum() == pytest.approx(in_period, rel=1e-9)
        assert lines["value"].sum() == pytest.approx(10 * in_period, rel=1e-9)


def test_the_order_of_rows_changes_nothing():
    random = np.random.default_rng(1)
    hours = random.integers(0, 2000, 500)
    touchpoints = touch(
        *[
            (f"u{i % 60}", pd.Timestamp("2026-07-01") + pd.Timedelta(hours=int(hour)), name)
            for i, (hour, name) in enumerate(zip(hours, random.choice(["a", "b", "c"], 500), strict=True))
        ]
    )
    conversions = orders(*[(f"o{i}", f"u{i}", f"2026-08-{i % 28 + 1:02d}") for i in range(80)])
    one = attribute(journeys(touchpoints, conversions, 30, PERIOD)).table
    shuffled = touchpoints.sample(frac=1, random_state=2), conversions.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(attribute(journeys(*shuffled, 30, PERIOD)).table, one)


# paths


def test_paths_take_either_separator_and_keep_their_counts():
    wide = pd.DataFrame({"path": ["a > b>c", "b>c"], "total_conversions": [700, 3], "total_null": [1500, 0]})
    built = journeys_from_paths(wide, separator=" > ")
    assert built.channels == ("a", "b>c")
    assert counts(built) == {"converted": 703, "null": 1500, "open": 0, "unattributed": 0}
    tight = journeys_from_paths(wide.assign(path=["a>b", "b"]))
    assert tight.channels == ("a", "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": ["a > b", "a>b"]}, "both ' > ' and '>' are used .first: rows 1 and 2."),
        ({"path": ["a > > b", "a"]}, "1 row with an empty step .first: row 1."),
        ({"path": ["a", None]}, "1 row without path .first: row 2."),
        ({"path": ["", ""]}, "no path holds a touchpoint"),
        ({"path": ["unattributed", "a"]}, "Rename the channel"),
        ({"total_conversions": [0.5, 1]}, "not a whole number of journeys"),
        ({"total_conversions": [-1, 1]}, "not a whole number of journeys"),
        ({"total_conversions": [0, 1], "total_conversion_value": [3.0, 1.0]}, "with a value and no conversion"),
    ],
)
def test_faulty_paths_are_refused(change, message):
    good = {"path": ["a", "b"], "total_conversions": [1, 1], "total_null": [0, 0]}
    with pytest.raises(Faults, match=message):
        journeys_from_paths(pd.DataFrame(good | change))


def test_missing_columns_of_paths():
    with pytest.raises(Faults, match=r"'path' is missing\. Did you mean 'paths'"):
        journeys_from_paths(pd.DataFrame({"paths": ["a"], "total_conversions": [1]}))


# bad input

GOOD_TOUCHPOINTS = touch(("u", "2026-07-02", "tv"), ("v", "2026-07-03", "tv"))
GOOD_ORDERS = orders(("A", "u", "2026-07-06"))


def test_all_faults_come_together():
    seen = GOOD_TOUCHPOINTS.assign(channel=["tv", None])
    bought = GOOD_ORDERS.assign(value=np.nan)
    with pytest.raises(Faults) as caught:
        journeys(seen, bought, lookback_days=-1, period=("2026-09-30", "2026-07-01"))
    message = str(caught.value)
    assert "touchpoints: 1 row without channel (first: row 2)" in message
    assert "without a finite value (first: row 1)" in message
    assert "lookback_days is -1" in message
    assert "before it starts" in message


@pytest.mark.parametrize(
    ("seen", "bought", "message"),
    [
        (GOOD_TOUCHPOINTS.rename(columns={"channel": "chanel"}), GOOD_ORDERS, "Did you mean 'chanel'"),
        (GOOD_TOUCHPOINTS, GOOD_ORDERS.drop(columns="value"), "conversions: column 'value' is missing"),
        (GOOD_TOUCHPOINTS.iloc[:0], GOOD_ORDERS, "the table is empty"),
        (GOOD_TOUCHPOINTS.assign(channel=["tv", "  "]), GOOD_ORDERS, "1 row without channel"),
        (GOOD_TOUCHPOINTS.assign(channel="unattributed"), GOOD_ORDERS, "2 rows with a channel called 'unattributed'"),
        (GOOD_TOUCHPOINTS.assign(user_id=["u", None]), GOOD_ORDERS, "1 row without user_id"),
        (GOOD_TOUCHPOINTS.assign(user_id=[1, 2]), GOOD_ORDERS, "read both as text"),
        (GOOD_TOUCHPOINTS.assign(user_id=pd.Series([1, "u"], dtype=object)), GOOD_ORDERS, "mixes numbers and text"),
        (GOOD_TOUCHPOINTS.assign(time="02/07/2026"), GOOD_ORDERS, "'time' is not a column of times"),
        (GOOD_TOUCHPOINTS.assign(time=pd.NaT), GOOD_ORDERS, "2 rows without time"),
        (GOOD_TOUCHPOINTS, GOOD_ORDERS.assign(order_id=None), "1 row without order_id"),
        (GOOD_TOUCHPOINTS, GOOD_ORDERS.assign(value="10"), "'value' is not a number"),
        (touch(("u", "2024-01-01", "tv")), GOOD_ORDERS, "no touchpoint between 2026-06-01 and 2026-09-30"),
    ],
)
def test_faulty_tables_are_refused(seen, bought, message):
    with pytest.raises(Faults, match=message):
        journeys(seen, bought, 30, PERIOD)


@pytest.mark.parametrize("period", [("x", "y"), ("2026-07-01",), 3, (None, None)])
def test_a_faulty_period_is_refused(period):
    with pytest.raises(Faults, match="give its first and last day"):
        journeys(GOOD_TOUCHPOINTS, GOOD_ORDERS, 30, period)


def test_only_old_touchpoints_leave_everything_unattributed():
    built = journeys(
        touch(("u", "2026-06-10", "tv")), orders(("A", "u", "2026-06-20"), ("B", "x", "2026-07-20")), 30, PERIOD
    )
    result = attribute(built)
    assert result.status == "nothing_attributed"
    assert result.table["channel"].unique().tolist() == ["unattributed"]
    assert len(result.findings("en")) == 1
    assert any("same id" in sentence for sentence in built.findings("en"))
    result.plot()
    built.plot(language="it")


@pytest.mark.parametrize(
    ("broken", "row"),
    [({"chance": [0.5, 1.5]}, 2), ({"chance": [np.nan, 0.1]}, 1), ({"age_day": [0, -1]}, 2), ({"age_day": [3, 3]}, 2)],
)
def test_chances_that_are_none_are_refused(broken, row):
    touchpoints = pd.DataFrame({"user_id": ["u"], "channel": ["tv"], "time": pd.to_datetime(["2026-09-29"])})
    none = pd.DataFrame({"order_id": [], "user_id": [], "time": pd.to_datetime([]), "value": []}).astype(
        {"order_id": "str", "user_id": "str", "value": "float64"}
    )
    built = journeys(touchpoints, none, 30, ("2026-07-01", "2026-09-30"))
    chances = pd.DataFrame({"channel": "tv", "age_day": [0, 1], "chance": 0.5, "value": 10.0}).assign(**broken)
    with pytest.raises(ToolkitError, match=f"row {row} of the chances"):
        built.completed(chances)


def test_an_order_without_customer_counts_from_the_first_instant_on():
    touchpoints = pd.DataFrame({"user_id": ["u"], "channel": ["tv"], "time": pd.to_datetime(["2026-07-05"])})
    edges = ["2026-06-30T23:59:59.999999", "2026-07-01", "2026-09-30T23:59:59.999999", "2026-10-01"]
    times = pd.to_datetime(edges, format="ISO8601")
    guests = pd.DataFrame({"order_id": list("ABCD"), "user_id": None, "time": times.astype("datetime64[us]")})
    built = journeys(touchpoints, guests.assign(value=1.0, user_id=pd.Series([None] * 4, dtype="str")), 30, PERIOD)
    assert built.table.set_index("state").loc["unattributed", "conversions"] == 2
