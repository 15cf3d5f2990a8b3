"""The quarter close: cases by hand, what must always hold, counts by loops, and the truth in simulation."""

import importlib.util
from pathlib import Path

import ibis
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kpitoolkit.attribution import attribute, journeys, maturity, maturity_curve
from kpitoolkit.attribution.maturity_standing import standings
from kpitoolkit.errors import Faults, ToolkitError

mpl.use("agg")
PERIOD = ("2026-07-01", "2026-09-30")
DAY = 86_400_000_000
LANGUAGES = ("en", "it")


def benchmark():
    place = Path(__file__).parents[1] / "benchmarks" / "maturity_coverage.py"
    spec = importlib.util.spec_from_file_location("maturity_coverage", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SIMULATED = benchmark()


def instant(moment):
    return int(np.datetime64(moment, "us").astype(np.int64))


def touchpoints(*rows):
    frame = pd.DataFrame(rows, columns=["user_id", "time", "channel"])
    return frame.assign(time=pd.to_datetime(frame["time"], format="ISO8601"))


def orders(*rows):
    frame = pd.DataFrame(rows, columns=["order_id", "user_id", "time", "value"])
    return frame.assign(time=pd.to_datetime(frame["time"], format="ISO8601"))


def standing(contacts, bought, moment, until, lookback=30):
    return standings(contacts, bought, (instant(moment),), instant("2026-01-01"), instant(until), lookback)[0]


@pytest.fixture(scope="module")
def tables():
    return SIMULATED.company(1500, "campaign", np.random.default_rng(5))


@pytest.fixture(scope="module")
def long_tables():
    """The simulated company, and the same a quarter earlier."""
    random = np.random.default_rng(6)
    now, before = (SIMULATED.company(1500, "steady", random) for _ in range(2))
    shift = pd.Timedelta(days=92)
    earlier = [table.assign(time=table["time"] - shift, user_id=table["user_id"] + 1_000_000) for table in before]
    earlier[1]["order_id"] += 1_000_000
    return tuple(pd.concat(pair, ignore_index=True) for pair in zip(now, earlier, strict=True))


@pytest.fixture(scope="module")
def closed(tables):
    return maturity.quarter_close(*tables, PERIOD)


# cases by hand


def test_who_is_open_and_what_closes_it():
    contacts = touchpoints(
        ("comes", "2026-09-27T12", "email"),
        ("too late", "2026-09-20T12", "social"),
        ("too old", "2026-08-20", "social"),
        ("bought", "2026-09-25", "email"),
        ("later contact", "2026-09-10", "social"),
        ("later contact", "2026-10-02", "email"),
        ("on the last day of the look-back", "2026-09-01", "social"),
        ("in the last moment", "2026-09-15", "social"),
        ("a moment late", "2026-09-15", "social"),
    )
    bought = orders(
        ("G", "in the last moment", "2026-10-15", 7.0),
        ("H", "a moment late", "2026-10-15T00:00:00.000001", 7.0),
        ("A", "comes", "2026-10-02", 50.0),
        ("B", "comes", "2026-10-02", 30.0),
        ("C", "too late", "2026-10-20T13", 10.0),
        ("D", "bought", "2026-09-26", 10.0),
        ("E", "bought", "2026-10-01", 10.0),
        ("F", "later contact", "2026-10-03", 20.0),
    )
    found = standing(contacts, bought, "2026-10-01", "2026-10-31")
    assert found.channels == ("email", "social")
    assert found.open[["channel", "cell", "journeys", "came", "value"]].values.tolist() == [
        [0, 3, 1, 2, 80],
        [1, 10, 1, 0, 0],
        [1, 16, 2, 1, 7],
        [1, 21, 1, 1, 20],
        [1, 29, 1, 0, 0],
    ]
    assert len(found.carried) == 4
    unknown = standing(contacts, bought, "2026-10-01", "2026-10-01")
    assert unknown.open["came"].sum() == 0


def test_a_spell_by_hand():
    contacts = touchpoints(("u", "2026-09-10T12", "tv"), ("u", "2026-09-12T06", "tv"), ("v", "2026-09-29T12", "tv"))
    bought = orders(("A", "u", "2026-09-15T18", 70.0))
    spells = standing(contacts, bought, "2026-10-01", "2026-10-01").spells
    # u: silent over two midnights, order 4.75 days after the first; then over three, 2.75 days after the first.
    # v: silent over two midnights, followed for one whole day since the first.
    rows = spells.sort_values(["event", "followed"])[["silent", "followed", "event", "orders", "value", "squares"]]
    assert rows.values.tolist() == [
        [2, 1, False, 0, 0, 0],
        [3, 3, True, 1, 70, 4900],
        [2, 5, True, 1, 70, 4900],
    ]


def test_a_spell_ends_in_a_conversion_up_to_the_last_moment_of_the_look_back():
    contacts = touchpoints(("in time", "2026-08-01T12", "tv"), ("late", "2026-08-01T12", "tv"))
    bought = orders(("A", "in time", "2026-08-31T12", 7.0), ("B", "late", "2026-08-31T12:00:00.000001", 7.0))
    spells = standing(contacts, bought, "2026-10-01", "2026-10-01").spells
    assert spells.groupby("event")["spells"].sum().to_dict() == {False: 1, True: 1}


def test_the_chance_by_hand_where_half_buy_on_the_sixth_day():
    noon = pd.date_range("2026-06-01T12", "2026-09-30T12", freq="D")
    rows = [(f"u{day:%m%d}-{at}", day, "tv") for day in noon for at in range(40)]
    contacts = touchpoints(*rows)
    bought = orders(
        *[
            (user, user, day + pd.Timedelta(days=5.25), 10.0)
            for user, day, _ in rows
            if int(user.split("-")[1]) % 2 == 0 and day + pd.Timedelta(days=5.25) < pd.Timestamp("2026-10-01")
        ]
    )
    found = standing(contacts, bought, "2026-10-01", "2026-10-01")
    curve = maturity_curve.fit(found.spells, 1, 30)
    assert curve.chance[0, [0, 2, 4]] == pytest.approx([0.5] * 3, abs=0.02)
    assert curve.chance[0, [12, 20]] == pytest.approx([0.0] * 2, abs=0.01)
    assert curve.worth[0] == pytest.approx(10)
    result = maturity.quarter_close(contacts, bought, PERIOD)
    came = 20 * 5  # half of the 40 contacts of each of the last five days buy after the end
    assert result.totals["forecast"].tolist() == pytest.approx([came, 10 * came], rel=0.05)


# counted in another way


def test_exposure_and_conversions_equal_a_count_by_loops():
    random = np.random.default_rng(3)
    n, end, lookback = 60, 120.0, 10
    contacts = [(u, t, "tv") for u in range(n) for t in np.sort(random.uniform(40, end + 20, random.poisson(4)))]
    buys = [(u, t) for u in range(n) for t in random.uniform(40, end + 20, random.poisson(0.8))]
    base = pd.Timestamp("2026-06-03")
    frame = pd.DataFrame(contacts, columns=["user_id", "day", "channel"])
    frame["time"] = base + pd.to_timedelta((frame["day"] * DAY).round(), unit="us")
    bought = pd.DataFrame(buys, columns=["user_id", "day"])
    bought["time"] = base + pd.to_timedelta((bought["day"] * DAY).round(), unit="us")
    bought["order_id"], bought["value"] = np.arange(len(bought)), 1.0
    spells = standing(frame, bought, base + pd.Timedelta(days=end), base + pd.Timedelta(days=end), lookback).spells

    exposed, turned = np.zeros((lookback, lookback)), np.zeros((lookback, lookback))
    for landmark in range(1, int(end) + 1):
        for user in range(n):
            times = sorted([(t, 0) for u, t, _ in contacts if u == user] + [(t, 1) for u, t in buys if u == user])
            past = [event for event in times if event[0] < landmark]
            if not past or past[-1][1] == 1 or landmark - past[-1][0] > lookback:
                continue
            touched = past[-1][0]
            age = int(landmark - touched)
            after = [t for t, kind in times if kind == 1 and landmark <= t < end and t - touched <= lookback]
            for on in range(lookback - age):
                if after and landmark + on <= after[0] < landmark + on + 1:
                    exposed[age, on] += 1
                    turned[age, on] += 1
                    break
                if landmark + on + 1 > end:
                    break
                exposed[age, on] += 1
    for age in range(lookback):
        for on in range(lookback - age):
            at_risk = (spells["silent"] > age) & (spells["followed"] > age + on)
            ends = (spells["silent"] > age) & (spells["followed"] == age + on + 1) & spells["event"]
            assert spells.loc[at_risk, "spells"].sum() == exposed[age, on], (age, on)
            assert spells.loc[ends, "spells"].sum() == turned[age, on], (age, on)


def test_open_journeys_and_credit_are_those_of_the_journeys(tables, closed):
    built = journeys(*tables, 30, PERIOD)
    assert closed.open_journeys == built.table.set_index("state").loc["open", "journeys"]
    credit = attribute(built).table
    assert closed.table["credited"].to_numpy() == pytest.approx(credit["conversions"].to_numpy())
    assert closed.curve["open"].sum() == closed.open_journeys


def test_the_forecast_of_the_last_touchpoint_is_the_sum_of_chances(closed):
    expected = closed.curve.assign(brings=closed.curve["chance"] * closed.curve["open"]).groupby("channel")["brings"]
    last = closed.table[(closed.table["model"] == "last") & (closed.table["channel"] != "unattributed")]
    assert last.set_index("channel")["forecast"].to_dict() == pytest.approx(expected.sum().to_dict(), rel=1e-6)


# what must always hold


def test_all_models_sum_to_the_same_totals(closed):
    totals = closed.totals.set_index("measure")
    for name in ("credited", "carried_in", "forecast", "at_maturity"):
        sums = closed.table.groupby("model")[[name, f"value_{name}"]].sum()
        assert sums[name].to_numpy() == pytest.approx(totals.loc["conversions", name])
        assert sums[f"value_{name}"].to_numpy() == pytest.approx(totals.loc["value", name])
    net = closed.table["credited"] - closed.table["carried_in"] + closed.table["forecast"]
    assert closed.table["at_maturity"].to_numpy() == pytest.approx(net.to_numpy())
    ordered = closed.table[["low", "forecast", "high"]].to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all() and (ordered >= 0).all()
    assert (closed.table["carried_in"] <= closed.table["credited"] + 1e-9).all()
    alone = closed.table[closed.table["channel"] == "unattributed"]
    assert (alone[["carried_in", "forecast"]] == 0).all(axis=None)


def test_nothing_after_the_end_is_used(tables, closed):
    cut = [table[table["time"] < "2026-10-01"] for table in tables]
    pd.testing.assert_frame_equal(maturity.quarter_close(*cut, PERIOD).table, closed.table)


def test_what_is_carried_in_is_what_came_of_the_quarter_before(long_tables):
    before = ("2026-04-01", "2026-06-30")
    result = maturity.quarter_close(*long_tables, PERIOD)
    judged = maturity.true_up(*long_tables, PERIOD)
    assert judged.status == "ok"
    assert result.totals["carried_in"][0] == judged.total["came"]
    assert judged.table["came"].sum() == judged.total["came"]
    earlier = maturity.quarter_close(*(t[t["time"] < "2026-07-01"] for t in long_tables), before)
    assert earlier.open_journeys == judged.total["journeys"]
    assert earlier.totals["forecast"][0] == pytest.approx(judged.total["forecast"], rel=0.02)
    assert judged.total["low"] < judged.total["came"] < judged.total["high"]


def test_no_chance_no_forecast(tables):
    built = journeys(*tables, 30, PERIOD)
    k, cells = len(built.channels), 30
    zero = np.zeros((k, cells))
    curve = maturity_curve.Curve(
        zero, np.zeros((9, k, cells)), zero, np.ones(k), np.ones((9, k)), orders=1.0, spread=0.5, events=100
    )
    expected, totals = maturity._forecast(built, curve, built.channels, zero + 1, 30, 7.0, "direct")
    assert (expected == 0).all(axis=None) and (totals == 0).all(axis=None)


def test_a_thin_channel_leans_on_the_others():
    rows = [(0, 0, 5, 30, False, 2000.0), (0, 0, 5, 3, True, 500.0), (0, 1, 5, 30, False, 1.0)]
    spells = pd.DataFrame(rows, columns=["bag", "channel", "silent", "followed", "event", "spells"])
    spells = spells.assign(orders=spells["spells"] * spells["event"], value=0.0, squares=0.0)
    curve = maturity_curve.fit(spells, 2, 30)
    assert curve.chance[1, 0] == pytest.approx(curve.chance[0, 0], rel=0.1)


def test_rows_in_any_order_and_parquet_files_give_the_same(tables, closed, tmp_path):
    mixed = [table.sample(frac=1, random_state=1) for table in tables]
    pd.testing.assert_frame_equal(maturity.quarter_close(*mixed, PERIOD).table, closed.table)
    for table, name in zip(tables, ("touchpoints", "orders"), strict=True):
        table.to_parquet(tmp_path / f"{name}.parquet")
    paths = tmp_path / "touchpoints.parquet", str(tmp_path / "orders.parquet")
    pd.testing.assert_frame_equal(maturity.quarter_close(*paths, PERIOD).table, closed.table)


def test_files_that_hold_nothing_of_the_period_before_are_a_short_history(tables, tmp_path):
    late = tables[0][tables[0]["time"] > "2026-09-01"]
    late.to_parquet(tmp_path / "late.parquet")
    for given in (late, tmp_path / "late.parquet"):
        assert maturity.true_up(given, tables[1], PERIOD).status == "short_history"


def test_a_quarter_without_conversions_carries_nothing_in(tables):
    contacts, bought = tables
    found = maturity.quarter_close(contacts, bought[:0], PERIOD)
    assert found.status == "few_conversions" and (found.table["carried_in"] == 0).all()


def test_one_unit_of_several(tables, closed):
    both = [pd.concat([t.assign(unit="a"), t.assign(unit="b", time=t["time"] - pd.Timedelta("3D"))]) for t in tables]
    both[1]["order_id"] = both[1]["unit"] + both[1]["order_id"].astype("str")
    found = maturity.quarter_close(*both, PERIOD, unit="a").table
    assert found["credited"].to_numpy() == pytest.approx(closed.table["credited"].to_numpy())
    assert found["forecast"].to_numpy() == pytest.approx(closed.table["forecast"].to_numpy(), rel=1e-6)
    both[0].loc[both[0]["unit"] == "b", "channel"] = "of the other unit"
    assert set(maturity.quarter_close(*both, PERIOD, unit="a").curve["channel"]) == set(closed.curve["channel"])


def test_long_look_backs_take_wider_cells(tables):
    result = maturity.quarter_close(*tables, PERIOD, lookback_days=60)
    assert result.status == "ok"
    assert result.curve.groupby("channel")["open"].sum().sum() == pytest.approx(result.open_journeys)
    assert result.curve["age_day"].max() == 59


# too little to say


def test_too_few_conversions_and_too_short_a_history_are_verdicts(tables):
    contacts, bought = tables
    few = maturity.quarter_close(contacts, bought[:20], PERIOD)
    late = maturity.quarter_close(contacts[contacts["time"] > "2026-08-15"], bought, PERIOD)
    assert (few.status, late.status) == ("few_conversions", "short_history")
    for result in (few, late):
        assert result.table["forecast"].isna().all() and result.table["at_maturity"].isna().all()
        assert result.totals["forecast"].isna().all() and not len(result.curve)
        for language in LANGUAGES:
            assert len(result.findings(language)) == 2
    judged = maturity.true_up(contacts[contacts["time"] > "2026-06-15"], bought, PERIOD)
    assert judged.status == "short_history" and not len(judged.table) and judged.total is None
    short = maturity.true_up(contacts, bought, ("2026-09-01", "2026-09-15"))
    assert short.status == "not_over"
    assert all(len(verdict.findings("it")) == 1 for verdict in (judged, short))


def test_bad_input_is_said():
    contacts, bought = touchpoints(("u", "2026-09-10", "tv")), orders(("A", "u", "2026-09-15", 70.0))
    with pytest.raises(Faults, match="lookback_days"):
        maturity.quarter_close(contacts, bought, PERIOD, lookback_days=0)
    with pytest.raises(ToolkitError, match="give the period"):
        maturity.true_up(contacts, bought, None)
    with pytest.raises(Faults, match="'channel' is missing"):
        maturity.true_up(contacts.drop(columns="channel"), bought, PERIOD)
    with pytest.raises(ToolkitError, match="touchpoints are none"):
        maturity.quarter_close(contacts, ibis.memtable(bought), PERIOD)


# what readers get


def test_a_look_back_longer_than_the_quarter_makes_no_forecast(tables):
    result = maturity.quarter_close(*tables, PERIOD, lookback_days=120)
    assert result.status == "long_lookback"
    assert result.table["forecast"].isna().all()
    assert "longer than the quarter" in result.findings("en")[1]


def test_the_close_and_the_true_up_of_the_next_quarter_give_one_forecast(tables):
    closed_then = maturity.quarter_close(*tables, ("2026-05-17", "2026-07-31")).totals.set_index("measure")
    trued_up = maturity.true_up(*tables, ("2026-08-01", "2026-10-16")).total
    for name in ("forecast", "low", "high"):
        assert trued_up[name] == pytest.approx(closed_then.loc["conversions", name], rel=1e-9)


def test_the_interval_of_a_forecast_holds_its_gamma_and_a_quarter_of_a_conversion():
    low, high = maturity._interval(np.array([4.0, 0.0]), np.array([4.0, 0.0]))
    assert low == pytest.approx([1.3663 - 0.25, 0.0], abs=1e-3)
    assert high[0] == pytest.approx(7.7537 + 0.25, abs=1e-3)


def test_an_uncertain_curve_widens_the_interval(tables, closed, monkeypatch):
    monkeypatch.setattr(maturity, "_relative_errors", lambda *_: np.zeros((99, 2)))
    known = maturity.quarter_close(*tables, PERIOD).table
    some = known["forecast"] > 0
    assert (closed.table["high"] - closed.table["low"] > known["high"] - known["low"])[some].all()


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_and_charts(closed, long_tables, language):
    sentences = closed.findings(language, "EUR")
    assert len(sentences) == 4 and all("{" not in sentence for sentence in sentences)
    judged = maturity.true_up(*long_tables, PERIOD)
    assert len(judged.findings(language)) == 2
    for result, names in ((closed, "lines"), (judged, "patches")):
        assert len(getattr(result.plot(language=language), names)) >= 4
        plt.close("all")


def test_a_miss_names_its_channel(long_tables):
    judged = maturity.true_up(*long_tables, PERIOD)
    judged.table.loc[0, "inside"] = False
    assert judged.table.loc[0, "channel"] in judged.findings("en")[1]


# truth in simulation


def test_forecasts_hold_and_take_the_bias_off_slow_channels():
    random = np.random.default_rng(20260930)
    lines = [SIMULATED.quarter(1500, way, random) for way in SIMULATED.WAYS for _ in range(5)]
    found = SIMULATED.measured(pd.concat(lines, ignore_index=True))
    assert 0.84 <= found["cover"].mean() <= 0.96
    assert 0.84 <= found["value_cover"].mean() <= 0.97
    slow = found[found["channel"].isin(SIMULATED.SLOW) & (found["model"] == "last")]
    moved = slow[slow["way"] == "campaign"][["truth", "by_date", "at_close"]].sum()
    assert moved["by_date"] / moved["truth"] < -0.12
    assert abs(moved["at_close"]) < abs(moved["by_date"]) / 2
