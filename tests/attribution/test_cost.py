"""Spend against credit: a case by hand, what has no figure, coverage, what is refused, names as they come."""

from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit import pages
from kpitoolkit.attribution import attribute, band, cost, journeys, journeys_from_paths
from kpitoolkit.attribution.resampling import credit_interval, weights
from kpitoolkit.errors import Faults

mpl.use("agg")
NASTY = 'Prìmavera & "Saldi" <b>'
FORMULA = "$x^2$ \\frac{1}{2} a_very_long_name_that_goes_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on"


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def spend(*rows, currency="EUR", **more):
    frame = pd.DataFrame(rows, columns=["platform", "spend_cents"]).assign(currency=currency, **more)
    return frame.astype({"spend_cents": "Int64"})


def claims(*rows, currency="EUR"):
    frame = pd.DataFrame(rows, columns=["platform", "value_cents"]).assign(currency=currency)
    return frame.astype({"value_cents": "Int64"})


def credit(*rows):
    """(path, conversions, value)"""
    frame = pd.DataFrame(rows, columns=["path", "total_conversions", "total_conversion_value"])
    return attribute(journeys_from_paths(frame))


@pytest.fixture(scope="module")
def result():
    return credit(("search", 400, 40_000.0), ("email", 100, 5_000.0), ("social", 50, 8_000.0), ("radio", 0, 0.0))


def row(found, channel):
    return found.table.set_index("channel").loc[channel]


# a case by hand


def test_a_case_by_hand(result):
    said = claims(("search", 600_00), ("search", 59_400_00), ("social", 4_000_00))
    found = cost.cost_and_return(result, spend(("search", 10_000_00), ("search", 10_000_00), ("social", 1_00)), said)
    line = row(found, "search")
    assert found.table["channel"].tolist() == ["search", "social", "email"]
    assert line["spend_cents"] == 20_000_00
    assert line["cost_per_conversion_cents"] == 50_00
    assert line["value_cents"] == 40_000_00
    assert line["attributed_roas"] == pytest.approx(2.0)
    assert [line["claimed_conversions"], line["claimed_value_cents"]] == [2, 60_000_00]
    assert [line["claimed_roas"], line["claimed_over_attributed"]] == pytest.approx([3.0, 1.5])
    assert row(found, "social")["claimed_over_attributed"] == pytest.approx(0.5)
    money = ["spend_cents", "cost_per_conversion_cents", "cost_low_cents", "value_cents", "claimed_value_cents"]
    assert (found.table[money].dtypes == "Int64").all()


def test_the_bounds_of_a_cost_are_those_of_the_conversions_the_other_way_round(result):
    line = row(cost.cost_and_return(result, spend(("search", 20_000_00)), model="linear"), "search")
    table = result.table[result.table["model"] == "linear"].set_index("channel").loc["search"]
    assert line["cost_low_cents"] == round(20_000_00 / table["high"])
    assert line["cost_high_cents"] == round(20_000_00 / table["low"])
    assert line["cost_low_cents"] < line["cost_per_conversion_cents"] < line["cost_high_cents"]
    assert [line["roas_low"], line["roas_high"]] == pytest.approx([table["value_low"] / 2e4, table["value_high"] / 2e4])


# a second way of computing


def test_bounds_are_those_of_the_ratio(result):
    line = row(cost.cost_and_return(result, spend(("search", 20_000_00)), model="shapley"), "search")
    credited = result.table.query("model == 'shapley' and channel == 'search'").iloc[0]
    channels = result.table[result.table["model"] == "shapley"]["channel"].tolist()
    drawn = result.draws["shapley"][:, channels.index("search")]
    low, high = credit_interval(credited["value"] / 20_000, drawn[:, 1] / 20_000)
    assert [line["roas_low"], line["roas_high"]] == pytest.approx([low, high])
    low, high = credit_interval(credited["conversions"], drawn[:, 0])
    assert [line["cost_low_cents"], line["cost_high_cents"]] == pytest.approx([2e6 / high, 2e6 / low], rel=1e-4)


# what has no figure


def test_spend_without_touchpoints_has_no_figure_not_zero(result):
    found = cost.cost_and_return(result, spend(("search", 1_000_00), ("tv", 9_000_00)))
    line = row(found, "tv")
    assert line["status"] == "no_touchpoints"
    assert line.drop(["status", "spend_cents"]).isna().all()
    assert any(
        "TV, where no touchpoint" in said and "€9,000" in said and "90%" in said for said in found.findings("en")
    )
    words = [artist.get_text() for artist in found.plot().texts]
    assert "not measurable by touchpoints" in words
    assert "0.00" not in words


def test_credit_without_spend_has_no_cost(result):
    found = cost.cost_and_return(result, spend(("search", 1_000_00), ("social", 0)))
    for channel in ("email", "social"):
        line = row(found, channel)
        assert line["status"] == "no_spend"
        assert line[["cost_per_conversion_cents", "attributed_roas", "roas_low"]].isna().all()
    assert any("150 conversions are credited to email, social" in said for said in found.findings("en"))


def test_touchpoints_without_credit_return_nothing_and_cost_no_figure():
    built = pd.DataFrame({"path": ["search", "radio"], "total_conversions": [40, 0], "total_null": [0, 9]})
    found = cost.cost_and_return(attribute(journeys_from_paths(built)), spend(("search", 1_00), ("radio", 1_00)))
    line = row(found, "radio")
    assert line["status"] == "no_conversions"
    assert line["attributed_roas"] == 0
    assert (
        line[["cost_per_conversion_cents", "cost_low_cents", "cost_high_cents", "roas_low", "roas_high"]].isna().all()
    )
    assert any("radio cannot be judged" in said for said in found.findings("en"))


def test_few_conversions_leave_the_cost_without_an_upper_bound():
    found = cost.cost_and_return(credit(("search", 400, 4e4), ("radio", 2, 80.0)), spend(("search", 1), ("radio", 100)))
    line = row(found, "radio")
    assert line["status"] == "few_conversions"
    assert line["cost_per_conversion_cents"] == 50
    assert pd.isna(line["cost_high_cents"])
    assert line["cost_low_cents"] < 50


def test_a_platform_that_only_claims_is_shown(result):
    found = cost.cost_and_return(result, spend(("search", 1_00)), claims(("video", 5_00), ("search", 1_00)))
    assert row(found, "video")["status"] == "claims_only"
    assert pd.isna(row(found, "email")["claimed_conversions"])


def test_where_no_claim_arrived_it_is_said_and_no_zero_is_shown(result):
    spent = spend(("search", 1_00), ("social", 1_00))
    none = cost.cost_and_return(result, spent, claims())
    assert not any(column.startswith("claimed") for column in none.shown())
    assert any("No platform claim arrived" in said for said in none.findings("en"))
    assert none.findings("it")[-2] != none.findings("en")[-2]
    some = cost.cost_and_return(result, spent, claims(("search", 1_00)))
    assert "claimed_roas" in some.shown() and pd.isna(row(some, "social")["claimed_roas"])
    assert any("No claim arrived for social" in said for said in some.findings("en"))


def test_without_conversions_nothing_is_said_of_them():
    seen = pd.DataFrame({"user_id": ["u"], "time": pd.to_datetime(["2026-07-20"]), "channel": ["tv"]})
    bought = pd.DataFrame({"order_id": [], "user_id": [], "time": pd.to_datetime([]), "value": []})
    found = cost.cost_and_return(attribute(journeys(seen, bought)), spend(("tv", 1_00)))
    assert row(found, "tv")["status"] == "no_conversions"
    found.plot(language="it")
    assert found.findings("it")


# money, days, currencies


def test_days_of_the_period_are_those_of_its_time_zone(result):
    days = pd.to_datetime(["2026-06-30", "2026-07-01", "2026-09-30", "2026-10-01"])
    times = pd.to_datetime(["2026-06-30 21:59", "2026-06-30 22:00", "2026-09-30 21:59", "2026-09-30 22:00"])
    spent = spend(*(("search", 10**n) for n in range(4)), date=days)
    said = claims(*(("search", 10**n) for n in range(4))).assign(conversion_time=times)
    period = tuple(pd.Timestamp(day, tz="Europe/Rome") for day in ("2026-07-01", "2026-09-30"))
    line = row(cost.cost_and_return(result, spent, said, period=period), "search")
    assert line["spend_cents"] == line["claimed_value_cents"] == 110
    whole = row(cost.cost_and_return(result, spent, said), "search")
    assert whole["spend_cents"] == whole["claimed_value_cents"] == 1111


def test_a_claim_after_midnight_has_the_rate_of_the_quarter_of_its_time_zone(result):
    times = pd.to_datetime(["2026-06-30 22:30", "2026-09-30 21:30"])
    said = claims(("search", 100_00), ("search", 1_00), currency="USD").assign(conversion_time=times)
    rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["USD"], "rate": [0.9]})
    period = tuple(pd.Timestamp(day, tz="Europe/Rome") for day in ("2026-07-01", "2026-09-30"))
    spent = spend(("search", 100_00), date=pd.Timestamp("2026-07-01"))
    found = cost.cost_and_return(result, spent, said, period=period, fx_rates=rates)
    assert row(found, "search")["claimed_value_cents"] == 90_90


def test_foreign_amounts_are_converted_at_their_quarters_rate(result):
    rates = pd.DataFrame({"quarter": ["2026Q3", "2026Q2"], "currency": ["USD", "USD"], "rate": [0.9, 0.5]})
    spent = spend(("search", 100_01), ("search", 100_00)).assign(
        currency=["USD", "EUR"], date=pd.to_datetime(["2026-07-05"] * 2)
    )
    found = cost.cost_and_return(result, spent, currency="EUR", fx_rates=rates)
    assert row(found, "search")["spend_cents"] == 190_01
    with pytest.raises(Faults, match="in several currencies"):
        cost.cost_and_return(result, spent, fx_rates=rates)
    with pytest.raises(Faults, match="2026Q3 has amounts in USD, and fx_rates no rate for it"):
        cost.cost_and_return(result, spent, currency="EUR", fx_rates=rates[1:])
    with pytest.raises(Faults, match="Convert them to EUR, or add dates"):
        cost.cost_and_return(result, spent.drop(columns="date"), currency="EUR", fx_rates=rates)


def test_vat_is_taken_out_row_by_row(result):
    spent = spend(("search", 122_00), ("search", 1), ("social", 122_00))
    found = cost.cost_and_return(result, spent, platforms_including_vat={"search": 0.22, "an_other_one": 0.2})
    assert row(found, "search")["spend_cents"] == 100_01
    assert row(found, "social")["spend_cents"] == 122_00
    with pytest.raises(Faults, match="Did you mean 'search'"):
        cost.cost_and_return(result, spent, platforms_including_vat={"serch": 0.22})


# by campaign


@pytest.fixture(scope="module")
def by_campaign():
    rng = np.random.default_rng(5)
    rows = []
    for user in range(120):
        channel, campaign = [("social", NASTY), ("social", FORMULA), ("search", "last"), ("direct", None)][user % 4]
        rows.append((f"u{user}", pd.Timestamp("2026-07-10") + pd.Timedelta(hours=user), channel, campaign))
    seen = pd.DataFrame(rows, columns=["user_id", "time", "channel", "campaign"])
    bought = seen[["user_id", "time"]].assign(order_id=seen["user_id"], value=rng.uniform(20, 90, len(seen)))
    bought["time"] += pd.Timedelta(days=1)
    return attribute(journeys(seen, bought, 30), by="campaign")


def test_campaigns_sum_to_their_channel(by_campaign):
    spent = spend(("social", 300_00), ("social", 200_00), ("search", 100_00)).assign(campaign=[NASTY, FORMULA, "last"])
    fine = cost.cost_and_return(by_campaign, spent, by="campaign").table
    coarse = cost.cost_and_return(by_campaign, spent).table.set_index("channel")
    assert list(fine.columns[:2]) == ["channel", "campaign"]
    assert fine.groupby("channel")["conversions"].sum().to_dict() == pytest.approx(coarse["conversions"].to_dict())
    assert coarse.loc["social", "spend_cents"] == 500_00
    assert fine.loc[fine["channel"] == "direct", "campaign"].tolist() == [""]


@pytest.mark.parametrize("language", ["en", "it"])
def test_campaigns_are_shown_as_they_are_called(by_campaign, language):
    spent = spend(("social", 300_00), ("social", 200_00), ("search", 100_00)).assign(campaign=[NASTY, FORMULA, "last"])
    found = cost.cost_and_return(by_campaign, spent, by="campaign")
    html = pages.table(found.shown(), language, found.formats).html
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert ">last<" in html
    assert "<b>" not in pages.findings(found.findings(language)).html
    ax = found.plot(language=language)
    ax.figure.draw_without_rendering()
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert any(NASTY in name.replace("\n", " ") for name in names)
    assert any("$x^2$" in name for name in names)
    assert all(name.count("\n") <= 1 for name in names)


# the rule's share of the doubt


def test_the_band_says_how_far_the_rule_matters(result):
    found = cost.cost_and_return(result, spend(("search", 20_000_00)), band=band.band_of({30: [result]}).table)
    line = row(found, "search")
    values = result.table[result.table["channel"] == "search"]["value"]
    assert [line["roas_lowest"], line["roas_highest"]] == pytest.approx([values.min() / 2e4, values.max() / 2e4])
    assert pd.isna(row(found, "email")["roas_lowest"])
    assert any("hold for one rule" in said for said in found.findings("en"))
    found.plot(language="it")


# coverage


def test_intervals_of_roas_cover_as_those_of_credit_do():
    """Each quarter is a channel of one table."""
    rng, quarters, mean, lines, drawn = np.random.default_rng(8), 300, 50.0, [], []
    for quarter in range(quarters):
        orders = rng.poisson(1.2, 200)
        value = np.array([rng.gamma(2.0, mean / 2, n).sum() for n in orders])
        drawn.append(weights() @ np.stack([orders, value], axis=1))
        lines.append((f"c{quarter:03}", "markov", orders.sum() * 1.0, value.sum()))
    table = pd.DataFrame(lines, columns=["channel", "model", "conversions", "value"])
    made = SimpleNamespace(table=table, draws={"markov": np.stack(drawn, axis=1)}, status="ok")
    found = cost.cost_and_return(made, spend(*((name, 100_00) for name in table["channel"]))).table
    assert len(found) == quarters
    covered = (found["roas_low"] <= 200 * 1.2 * mean / 100) & (200 * 1.2 * mean / 100 <= found["roas_high"])
    assert 0.86 <= covered.mean() <= 0.94


@given(st.integers(1, 10**9), st.integers(1, 500), st.integers(1, 500))
@settings(max_examples=25, deadline=None)
def test_costs_and_intervals_are_in_order(cents, many, few):
    found = cost.cost_and_return(credit(("a", many, many * 20.0), ("b", few, few * 5.0)), spend(("a", cents)))
    line = row(found, "a")
    assert line["roas_low"] <= line["attributed_roas"] + 1e-9
    assert line["roas_high"] >= line["attributed_roas"] - 1e-9
    assert line["cost_low_cents"] <= line["cost_per_conversion_cents"]
    assert pd.isna(line["cost_high_cents"]) or line["cost_high_cents"] >= line["cost_per_conversion_cents"]
    assert abs(line["cost_per_conversion_cents"] * line["conversions"] - cents) <= 0.5 * line["conversions"] + 1e-6


# bad input


def test_faults_come_together(result):
    with pytest.raises(Faults) as caught:
        cost.cost_and_return(result, pd.DataFrame({"platfrom": ["a"]}), pd.DataFrame(), model="markow")
    assert len(caught.value.faults) == 7
    assert "Did you mean 'markov'" in str(caught.value)
    assert "Did you mean 'platfrom'" in str(caught.value)
    with pytest.raises(Faults, match="choose channel or campaign"):
        cost.cost_and_return(result, spend(), by="campagin")
    with pytest.raises(Faults, match="attribute\\(journeys, by='campaign'\\)"):
        cost.cost_and_return(result, spend().assign(campaign=""), by="campaign", band=pd.DataFrame())


def test_amounts_and_names_that_cannot_be_used_are_named(result):
    spent = spend(("Search ", 1_00), ("social", -5), ("social", None), (None, 5)).assign(currency=["EUR"] * 3 + [None])
    with pytest.raises(Faults) as caught:
        cost.cost_and_return(result, spent)
    text = str(caught.value)
    assert "'Search ', 'search'" in text
    assert "1 row with a negative amount (first: row 2)" in text
    assert "1 row without 'spend_cents' (first: row 3)" in text
    assert "1 row without 'platform' (first: row 4)" in text
    assert "1 row without 'currency' (first: row 4)" in text


def test_spend_of_another_time_and_no_table_of_spend_are_said(result):
    old = spend(("search", 100), date=pd.Timestamp("2020-05-01"))
    with pytest.raises(Faults, match="no row in the period 2026-07-01 to 2026-09-30: it has 2020-05-01 to 2020-05-01"):
        cost.cost_and_return(result, old, period=("2026-07-01", "2026-09-30"))
    with pytest.raises(Faults, match="spend is no table"):
        cost.cost_and_return(result, None)


def test_a_cost_whose_conversions_may_be_less_than_one_has_no_upper_bound():
    found = cost.cost_and_return(credit(("search", 1, 50.0), ("email", 90, 50.0)), spend(("search", 100_00)))
    line = row(found, "search")
    assert line["status"] == "few_conversions"
    assert 0 < line["conversions_low"] < 1
    assert line["cost_low_cents"] < line["cost_per_conversion_cents"] == 100_00
    assert pd.isna(line["cost_high_cents"])
