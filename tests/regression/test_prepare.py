import numpy as np
import pandas as pd
import pytest

from kpitoolkit import parameters, regression
from kpitoolkit.errors import Faults
from kpitoolkit.regression import prepare
from kpitoolkit.regression.diagnostics import diagnose
from kpitoolkit.regression.prepare import Inputs

NETFLIX = ("Domestic Streaming", "International Streaming", "Domestic DVD")


def tables(weeks=20, last="2026-09-30"):
    """A ledger and a spend of every day, controls of every week; the last week of the quarter is cut."""
    days = pd.date_range(end=last, periods=7 * weeks + 3)
    ledger = pd.DataFrame({"date": days, "account": "4000", "amount_cents": 100_00, "currency": "EUR"})
    ledger = pd.concat([ledger, ledger.assign(account="4100", amount_cents=-5_00)], ignore_index=True)
    spend = pd.concat(
        [
            pd.DataFrame({"date": days, "platform": "search", "spend_cents": 10_00, "currency": "EUR"}),
            pd.DataFrame({"date": days[::2], "platform": "social", "spend_cents": 12_20, "currency": "EUR"}),
        ],
        ignore_index=True,
    )
    sundays = days[days.day_of_week == 6]
    controls = pd.DataFrame(
        {"week_end": sundays, "price_index": 100.0 + np.arange(len(sundays)), "promotion_days": 1, "holiday_days": 0}
    )
    quarters = sorted(set(days.to_period("Q").astype(str)))
    rates = pd.DataFrame({"quarter": quarters, "currency": "EUR", "rate": 1.0})
    return ledger, spend, controls, rates


def weekly(ledger, spend, controls, rates, **more):
    return regression.weekly_inputs(ledger, spend, controls, rates, ["4000"], "EUR", "2026Q3", **more)


def test_weeks_end_on_sundays_within_the_quarter():
    frame = weekly(*tables())
    assert frame.index[-1] == pd.Timestamp("2026-09-27")
    assert (frame.index.day_of_week == 6).all()
    assert (np.diff(frame.index) == np.timedelta64(7, "D")).all()
    assert (frame["revenue"] == 700.0).all()
    assert (frame["search"] == 70.0).all()
    assert set(frame.columns) == {
        "revenue",
        "search",
        "social",
        "price_index",
        "promotion_days",
        "holiday_days",
        "carry_in",
    }


def test_first_week_is_whole():
    ledger, spend, controls, rates = tables()
    frame = weekly(ledger[ledger["date"] >= "2026-06-17"], spend, controls, rates)
    assert frame.index[0] == pd.Timestamp("2026-06-28")


def test_weeks_before_the_window_carry_in():
    frame = weekly(*tables(), periods=5)
    assert (~frame["carry_in"]).sum() == 5
    assert frame["carry_in"].sum() == 12
    assert not frame["carry_in"].iloc[-5:].any()


def test_vat_inside_spend_is_taken_out():
    gross, net = weekly(*tables()), weekly(*tables(), platforms_including_vat={"social": 0.22})
    assert net["social"].to_numpy() == pytest.approx(gross["social"].to_numpy() / 1.22)
    assert (net["search"] == gross["search"]).all()


def test_foreign_spend_at_the_quarters_rates():
    ledger, spend, controls, rates = tables()
    dollars = rates.assign(currency="USD", rate=np.where(rates["quarter"] == "2026Q3", 0.9, 0.8))
    pounds = rates.assign(currency="GBP", rate=1.2)
    spend["currency"] = "USD"
    frame = weekly(ledger, spend, controls, pd.concat([rates, dollars, pounds]))
    assert frame["search"].iloc[-1] == pytest.approx(63.0)
    assert frame["search"].iloc[0] == pytest.approx(56.0)
    in_pounds = regression.weekly_inputs(
        ledger.assign(currency="GBP"), spend, controls, pd.concat([rates, dollars, pounds]), ["4000"], "GBP", "2026Q3"
    )
    assert in_pounds["search"].iloc[-1] == pytest.approx(70 * 0.9 / 1.2)
    assert (in_pounds["revenue"] == 700.0).all()


def test_a_missing_rate_is_a_fault():
    ledger, spend, controls, rates = tables()
    spend["currency"] = "CHF"
    with pytest.raises(Faults, match="no rate into EUR for CHF in 2026Q2"):
        weekly(ledger, spend, controls, rates)


def test_group_currency_needs_a_rate_too():
    """A unit in dollars, spend in pounds and in euros, and no rate of the dollar: nothing is taken as dollars."""
    ledger, spend, controls, rates = tables()
    pounds = rates.assign(currency="GBP", rate=1.2)
    for source in ("GBP", "EUR"):
        with pytest.raises(Faults, match=f"ad_spend: fx_rates has no rate into USD for {source} in 2026Q2"):
            regression.weekly_inputs(
                ledger.assign(currency="USD"), spend.assign(currency=source), controls, pounds, ["4000"], "USD",
                "2026Q3",
            )  # fmt: skip


def test_spend_in_the_groups_currency_needs_no_row_of_its_own():
    ledger, spend, controls, rates = tables()
    pounds = rates.assign(currency="GBP", rate=1.25)
    table = [ledger.assign(currency="GBP"), spend, controls, pounds, ["4000"], "GBP", "2026Q3"]
    assert regression.weekly_inputs(*table)["search"].iloc[-1] == pytest.approx(70 / 1.25)
    with pytest.raises(Faults, match="no rate into GBP for EUR"):
        regression.weekly_inputs(*table, group_currency="CHF")


def test_spend_that_begins_after_the_window_is_a_fault():
    """An export from July only, beside a ledger of 20 weeks: the weeks before are no zeros."""
    ledger, spend, controls, rates = tables()
    with pytest.raises(Faults, match=r"spend begins on 2026-07-01, the window on 2026-05-11.*regression_periods to 13"):
        weekly(ledger, spend[spend["date"] >= "2026-07-01"], controls, rates)
    assert weekly(ledger, spend[spend["date"] >= "2026-05-21"], controls, rates)["search"].iloc[0] == 0
    with pytest.raises(Faults, match="spend begins on 2026-05-22"):
        weekly(ledger, spend[spend["date"] >= "2026-05-22"], controls, rates)
    assert len(weekly(ledger, spend[spend["date"] >= "2026-07-01"], controls, rates, periods=13)) == 20


def test_spend_outside_the_window_only_is_a_fault():
    ledger, spend, controls, rates = tables()
    with pytest.raises(Faults, match="ad_spend: no row in the window"):
        weekly(ledger, spend[spend["date"] < "2026-07-01"], controls, rates, periods=10)


@pytest.mark.parametrize(("last", "weeks"), [("2026-07-26", 3), ("2026-08-02", 4)])
def test_a_long_run_without_any_spend_is_a_fault_unless_zeros_are_stated(last, weeks):
    ledger, spend, controls, rates = tables()
    hole = spend["date"].between("2026-07-06", last)
    if weeks > 3:
        with pytest.raises(Faults, match="no row at all in 4 periods \\(first: the one ending 2026-07-12\\)"):
            weekly(ledger, spend[~hole], controls, rates)
    else:
        assert (weekly(ledger, spend[~hole], controls, rates)["search"] == 0).sum() == weeks
    stated = spend.assign(spend_cents=spend["spend_cents"].where(~hole, 0))
    assert (weekly(ledger, stated, controls, rates)["search"] == 0).sum() == weeks


def arrived(spend):
    ledger, _spend, controls, rates = tables()
    frame = weekly(ledger, spend, controls, rates)
    return Inputs(frame, ("search", "social"), (), "week", "EUR")


def test_a_platform_that_starts_late_is_said_not_refused():
    spend = tables()[1]
    late = spend[(spend["platform"] == "search") | (spend["date"] >= "2026-06-15")]
    said = arrived(late).findings("en")
    assert said[-1].startswith("Spend on social begins in the week ending on 21 Jun 2026, 5 weeks into the window")
    assert arrived(late).findings("it")[-1].startswith("La spesa su social comincia nella settimana")
    assert len(arrived(spend).findings("en")) == 1


def test_a_platform_that_pauses_long_is_said_not_refused():
    """Pauses of 4 and 5 weeks count, one of 3 does not."""
    spend = tables()[1]
    spans = (("2026-05-18", "2026-06-14"), ("2026-06-29", "2026-08-02"), ("2026-08-17", "2026-09-06"))
    hole = (spend["platform"] == "social") & np.any([spend["date"].between(*span) for span in spans], axis=0)
    said = arrived(spend[~hole]).findings("en")
    assert len(said) == 2
    assert "pauses for more than 3 weeks at a time on social (9 weeks in all, the longest pause 5 weeks" in said[1]
    assert "up to the one ending on 2 Aug 2026" in said[1]
    assert "si ferma per più di 3 settimane" in arrived(spend[~hole]).findings("it")[1]


@pytest.mark.parametrize(("last", "n"), [("2026-08-16", 6), ("2026-09-20", 1)])
def test_a_platform_whose_rows_end_early_is_said(last, n):
    spend = tables()[1]
    said = arrived(spend[(spend["platform"] == "search") | (spend["date"] <= last)]).findings("en")
    weeks = "1 week before" if n == 1 else f"{n} weeks before"
    assert len(said) == 2 and f"Spend on social ends in the week ending on {pd.Timestamp(last):%-d %b}" in said[1]
    assert weeks in said[1]


def test_a_platform_in_flights_may_rest_at_the_end():
    spend = tables()[1]
    resting = spend["date"].between("2026-07-06", "2026-07-12") | (spend["date"] > "2026-09-13")
    assert len(arrived(spend[(spend["platform"] == "search") | ~resting]).findings("en")) == 1


def declared(monkeypatch, periods=8, **found):
    """Inputs of a data source that declares these tables."""
    names = ("ledger", "ad_spend", "controls", "fx_rates")
    given = dict(zip(names, tables(), strict=True)) | found
    monkeypatch.setattr(prepare.tables, "declared", lambda place: set(given))
    monkeypatch.setattr(prepare.tables, "read", lambda place, wanted: {name: given[name] for name in wanted})
    return regression.inputs(None, "2026Q3", periods=periods)


def test_weeks_without_a_row_of_any_platform_are_said(monkeypatch):
    spend = tables()[1]
    gone = spend["date"].between("2026-06-01", "2026-06-14") | (spend["date"] > "2026-09-13")
    found = declared(monkeypatch, ad_spend=spend[~gone])
    assert [day.strftime("%m-%d") for day in found.unreported] == ["06-07", "06-14", "09-20", "09-27"]
    said = found.findings("en")
    assert said[2].startswith(
        "No platform has a row of spend in 2 weeks of the window, ending on 20 Sept 2026, 27 Sept"
    )
    assert said[3].startswith("Of the 12 weeks before the window, 2 have no row of spend.")
    assert len(said) == 4  # what is said of all platforms is not said of each again
    zeros = spend.assign(spend_cents=spend["spend_cents"].mask(gone, 0))
    assert declared(monkeypatch, ad_spend=zeros).unreported == ()


def test_spend_that_begins_with_the_window_is_said(monkeypatch):
    spend = tables()[1]
    late = spend[(spend["platform"] == "search") | (spend["date"] >= "2026-08-03")]
    said = declared(monkeypatch, ad_spend=late).findings("en")
    assert said[2].startswith("Spend on social is zero in every week before the window.") and len(said) == 3


def test_controls_without_a_row_of_the_unit_are_said(monkeypatch):
    found = declared(monkeypatch, controls=tables()[2].iloc[:0])
    assert found.no_controls and "controls has no row of this unit" in found.findings("en")[2]
    assert not declared(monkeypatch).no_controls


def test_lift_tests_come_with_the_rest(monkeypatch):
    row = {"channel": "search", "first_day": "2026-08-10", "last_day": "2026-09-06", "iroas": 2.0}
    rows = pd.DataFrame([row | {"low": 1.0, "high": 3.0}])
    with pytest.raises(Faults, match="'serch' is no channel"):
        declared(monkeypatch, lift_tests=rows.assign(channel="serch"))
    found = declared(monkeypatch, lift_tests=rows)
    assert found.lift_tests.table["status"].tolist() == ["constant"]
    uneven = tables()[1]
    uneven["spend_cents"] += 10 * (np.arange(len(uneven)) % 9)
    found = declared(monkeypatch, lift_tests=rows, ad_spend=uneven)
    assert found.lift_tests.entered[["channel", "first", "last"]].to_numpy().tolist() == [["search", 1, 4]]
    assert found.findings("en")[-2].startswith("1 lift test enters the model: search")


@pytest.mark.parametrize("factor", [1000, 0.001])
def test_spend_out_of_all_proportion_to_revenue_is_said(factor):
    spend = tables()[1]
    spend["spend_cents"] = spend["spend_cents"] * factor
    found = arrived(spend).findings("en")
    assert found[1].startswith("Spend is ") and "check the currency" in found[1]


def test_a_change_of_unit_and_a_total_beside_its_parts_are_faults():
    ledger, spend, controls, rates = tables()
    draw = np.random.default_rng(5)
    spend["spend_cents"] = (spend["spend_cents"] * draw.lognormal(0, 0.4, len(spend))).round()
    whole = spend.groupby(["date", "currency"], as_index=False)["spend_cents"].sum().assign(platform="all")
    late = (spend["platform"] == "social") & (spend["date"] >= "2026-08-03")
    wrong = spend.assign(spend_cents=spend["spend_cents"].mask(late, spend["spend_cents"] * 1000))
    with pytest.raises(Faults) as caught:
        weekly(ledger, pd.concat([wrong, whole]), controls, rates)
    assert [fault[:68] for fault in caught.value.faults] == [
        "ad_spend: spend on 'social' jumps about 1,000-fold up in the period "
    ]
    with pytest.raises(Faults, match="spend on 'all', 'search' and 'social': each follows exactly from the others"):
        weekly(ledger, pd.concat([spend, whole]), controls, rates)
    cents = ledger.assign(amount_cents=ledger["amount_cents"].where(ledger["date"] < "2026-08-03", 1_000_000))
    with pytest.raises(Faults, match="ledger: 'revenue' jumps about 100-fold up in the period ending 2026-08-09"):
        weekly(cents[cents["account"] == "4000"], spend, controls, rates)


def test_a_hole_in_a_steady_ledger_is_a_fault():
    ledger, spend, controls, rates = tables()
    hole = ledger["date"].between("2026-08-03", "2026-08-09")
    with pytest.raises(Faults, match="no sales in 1 period \\(first: the one ending 2026-08-09\\)"):
        weekly(ledger[~hole], spend, controls, rates)


def test_a_quiet_week_among_uneven_ones_is_zero():
    ledger, spend, controls, rates = tables()
    quiet = ledger["date"].between("2026-08-03", "2026-08-09")
    ledger.loc[ledger["date"].between("2026-07-06", "2026-07-12"), "amount_cents"] = 3_00
    frame = weekly(ledger[~quiet], spend, controls, rates)
    assert frame.loc["2026-08-09", "revenue"] == 0


def test_faults_of_several_tables_come_together():
    ledger, spend, controls, rates = tables()
    controls.loc[3, "price_index"] = np.nan
    spend["currency"] = "CHF"
    with pytest.raises(Faults) as caught:
        weekly(ledger, spend, pd.concat([controls, controls.iloc[[5]]]), rates)
    assert len(caught.value.faults) == 3


def test_nothing_of_the_unit():
    ledger, spend, controls, rates = tables()
    with pytest.raises(Faults, match="no row of the accounts of sales"):
        weekly(ledger.assign(account="9999"), spend, controls, rates)
    with pytest.raises(Faults, match="no row of this unit"):
        weekly(ledger, spend.iloc[:0], controls, rates)


def financials():
    return pd.DataFrame(
        {
            "quarter": ["2016Q1", "2016Q2", "2016Q2", "2016Q3", "2016Q4", "2017Q1", "2017Q1", "2017Q2"],
            "unit": "a",
            "basis": ["x"] * 6 + ["y", "x"],
            "filing": list("abcdefgh"),
            "rounded": [False, False, False, False, True, False, False, False],
            "revenue_cents": pd.array([100, 110, 110, 120, 130, 140, 999, 150], dtype="Int64"),
            "marketing_cost_cents": pd.array([10, None, 11, 12, 13, 14, 99, 15], dtype="Int64"),
        }
    )


def test_quarters_stay_on_one_basis_complete_and_unbroken():
    frame = regression.quarterly_inputs(financials(), "x", "2017Q2")
    assert list(frame.index.strftime("%Y-%m-%d")) == ["2017-03-31", "2017-06-30"]  # 2016Q4 is rounded: a break
    assert frame["revenue"].tolist() == [1.4, 1.5]
    before = regression.quarterly_inputs(financials(), "x", "2016Q3")
    assert before["marketing"].tolist() == pytest.approx([0.10, 0.11, 0.12])


def test_filings_of_one_basis_that_disagree_are_a_fault():
    table = financials()
    table.loc[2, "revenue_cents"] = 111
    with pytest.raises(Faults, match="revenue of 2016Q2: filings on basis 'x' disagree"):
        regression.quarterly_inputs(table, "x", "2017Q2")


def test_unknown_basis():
    with pytest.raises(Faults, match="no row has basis 'z'"):
        regression.quarterly_inputs(financials(), "z", "2017Q2")


def netflix(unit, quarter="2017Q3", basis="2014-2018"):
    place = parameters.workspace(f"netflix-{quarter}", unit, data="netflix", unit_in_data=unit)
    found = regression.inputs(place, quarter, "quarter", basis=basis, currency="USD")
    return found, regression.fit(found.table, found.channels, found.controls, "quarter", currency="USD")


@pytest.mark.parametrize("unit", NETFLIX)
def test_netflix_has_fifteen_quarters_and_no_verdict(unit):
    found, result = netflix(unit)
    assert len(found.table) == 15
    assert set(result.table["verdict"]) == {"not_spent" if unit == "Domestic DVD" else "insufficient_data"}
    for language in ("en", "it"):
        assert result.findings(language)
        assert found.findings(language)


def test_netflix_falls_into_the_trap_of_levels():
    """Correlations worked out apart, from the rows of the file."""
    _found, result = netflix("International Streaming")
    path = parameters.Path(regression.__file__).parents[1] / "data" / "netflix_segments.csv"
    rows = pd.read_csv(path).query("segment == 'International Streaming' and basis == '2014-2018' and not rounded")
    rows = rows[rows["quarter"].between("2014Q1", "2017Q3")].dropna(subset="marketing_usd_thousand")
    series = rows.groupby("quarter")[["revenues_usd_thousand", "marketing_usd_thousand"]].first()
    growth = series / series.shift(4)
    found = diagnose(result.posterior)
    checks = found.table.set_index("check")
    assert checks.loc["correlation_of_levels", "statistic"] == pytest.approx(series.corr().iloc[0, 1])
    assert checks.loc["correlation_of_changes", "statistic"] == pytest.approx(growth.corr().iloc[0, 1])
    assert checks.loc["correlation_of_levels", "statistic"] > 0.85
    assert checks.loc["correlation_of_changes", "statistic"] < 0
    assert any(sentence.startswith("A trap") for sentence in found.findings("en"))


def test_netflix_after_the_change_of_basis_has_too_few_quarters():
    _found, result = netflix("Domestic Streaming", "2019Q3", "2018Q4")
    assert "spend: 3 quarters for 5 coefficients. Join channels or lengthen the period." in result.findings("en")


def test_of_a_single_period_there_is_no_chart_and_it_is_said():
    found, result = netflix("Domestic Streaming", quarter="2013Q1", basis="2013")
    assert (~found.table["carry_in"]).sum() == 1
    assert found.plot() is None
    assert any("no course to draw" in said for said in found.findings("en"))
    assert "spend: 1 quarter for 4 coefficients. Join channels or lengthen the period." in result.findings("en")
    assert "spesa: 1 trimestre per 4 coefficienti. Unire dei canali o allungare il periodo." in result.findings("it")
