"""Measures about the company beside its books, by hand."""

import pandas as pd
import pytest

from kpitoolkit import errors
from kpitoolkit.reconciliation import by_quarter, kinds, measures, measures_company, rollup

DAY = pd.to_datetime
RATES = pd.DataFrame({"quarter": ["2026Q3", "2025Q3"], "currency": "GBP", "rate": [1.2, 1.1]})


def at(table, quarter="2026Q3"):
    return measures.at(table, quarter)


def weeks(first="2026-07-05", last="2026-10-04", **columns):
    ends = pd.date_range(first, last, freq="W-SUN")
    return pd.DataFrame({"week_end": ends, **columns})


SESSIONS = {"sessions": 1000, "bot_sessions": 100, "unconsented_sessions": 50, "prospect_sessions": 400}


def test_a_week_belongs_to_the_quarter_of_most_of_its_days():
    found = measures_company.from_web_sessions(weeks(**SESSIONS))
    assert at(found)["platform_sessions"] == 13 * 1000  # 5 July to 27 September; 4 October has four days in October
    assert (at(found)["sessions"], at(found)["prospect_sessions"]) == (13 * 850, 13 * 400)
    assert at(found, "2026Q4")["sessions"] is None
    ends = pd.Series(pd.date_range("2019-01-06", "2030-12-29", freq="W-SUN"))
    counted = by_quarter.quarters_of_weeks(ends).value_counts()
    assert all(counted[quarter] == by_quarter.weeks_in(quarter) for quarter in counted.index[counted >= 12])
    days = pd.Series(pd.date_range("2026-09-28", "2026-10-04"))
    assert (by_quarter.quarters_of(days) == "2026Q4").sum() == 4


def test_a_quarter_without_one_of_its_weeks_has_no_figure():
    found = measures_company.from_web_sessions(weeks(**SESSIONS).drop(index=5))
    assert at(found)["sessions"] is None


def test_leads_are_counted_in_the_quarter_in_which_they_were_created():
    leads = pd.DataFrame(
        [
            ("2026-07-02", "2026-07-09", "2026-07-20", "2026-10-20"),
            ("2026-08-02", "2026-08-09", None, None),
            ("2026-09-30", None, None, None),
            ("2026-06-30", "2026-07-03", "2026-07-05", "2026-08-01"),
        ],
        columns=["created", "qualified", "accepted", "won"],
    ).apply(DAY)
    found = at(measures_company.from_leads(leads))
    assert [found[f"leads_{stage}"] for stage in ("filled", "qualified", "accepted", "won")] == [3, 2, 1, 1]


def test_waves_of_one_quarter_are_taken_together_and_surveys_kept_apart():
    surveys = pd.DataFrame(
        [
            ("2026-08-15", "nps", 900, 300, 120, 60),
            ("2026-09-30", "nps", 600, 200, 80, 40),
            ("2026-09-30", "brand", 400, 400, 90, 0),
            ("2026-06-30", "employees", 50, 3, 2, 0),
        ],
        columns=["date", "survey", "invited", "answers", "positive", "negative"],
    ).assign(date=lambda f: DAY(f["date"]))
    found = at(measures_company.from_surveys(surveys))
    names = ("nps_promoters", "nps_detractors", "nps_answers", "nps_invited", "brand_aware", "brand_answers")
    assert [found[name] for name in names] == [200, 100, 500, 1500, 90, 400]
    assert found["employee_answers"] is None and found["employee_answers_previous_quarter"] == 3


def test_new_products_are_under_24_months_at_the_quarters_end():
    products = pd.DataFrame(
        {
            "quarter": "2026Q3",
            "launched": DAY(["2024-09-30", "2024-10-01", "2026-08-01", "2010-01-01"]),
            "revenue_cents": [1_00, 2_00, 4_00, 8_00],
            "currency": ["EUR", "EUR", "GBP", "EUR"],
        }
    )
    found = at(measures_company.from_products(products, "EUR", RATES))
    assert (found["product_revenue"], found["new_product_revenue"]) == (11_00 + 4_80, 2_00 + 4_80)


def test_market_and_people_as_stated():
    market = pd.DataFrame(
        {"quarter": ["2026Q3"], "own_sellout_cents": [5_00], "market_sellout_cents": [100_00], "currency": ["GBP"]}
    )
    found = at(measures_company.from_market(market, "EUR", RATES))
    assert (found["own_sellout"], found["market_sellout"]) == (6_00, 120_00)
    assert at(measures_company.from_market(market, "EUR", RATES[1:]))["own_sellout"] is None
    hr = pd.DataFrame({"quarter": ["2026Q3"], "headcount_start": [90], "headcount_end": [110], "leavers": [5]})
    found = at(measures_company.from_hr(hr))
    assert (found["leavers"], found["headcount_start"], found["headcount_end"]) == (5, 90, 110)


def test_tonnes_keep_their_decimals_and_want_every_scope():
    emissions = pd.DataFrame(
        {
            "quarter": ["2026Q3"] * 3 + ["2026Q2"] * 2,
            "scope": [1, 2, 3, 1, 2],
            "tonnes": [0.1, 0.2, 10.4, 5.0, 6.0],
        }
    )
    found = at(measures_company.from_emissions(emissions))
    assert found["emissions_tonnes"] == 10.7
    assert found["emissions_tonnes_previous_quarter"] is None


@pytest.mark.parametrize(("how", "value"), [("sum", 91.0), ("mean", 7.0), ("last", 13.0)])
def test_series_of_the_catalogue_become_measures(how, value):
    table = weeks("2026-07-05", "2026-09-27", kpi="followers").assign(value=range(1, 14))
    other = table.assign(kpi="likes")
    found = measures.compute({"kpi_series": pd.concat([table[::-1], other])}, "EUR", series={"followers": how})
    assert at(found)["followers"] == value and "likes" not in set(found["measure"])
    assert found["value_unit"].tolist() == ["number"] and at(found)["followers_year_ago"] is None
    assert kinds.is_known("followers_year_ago", ["followers"]) and not kinds.is_known("followers")
    assert kinds.can_come_from(["followers"], {"kpi_series"})
    with pytest.raises(errors.ToolkitError, match="sessions are measures of other tables"):
        measures_company.from_kpi_series(table, {"sessions": "sum"})


def books(revenue=1000_00, quarter="2026Q3"):
    rows = [("4000", revenue), ("5000", 400_00), ("6100", 100_00), ("6200", 50_00), ("6210", 25_00), ("7000", 300_00)]
    days = DAY([str(pd.Period(quarter).start_time.date()), str(pd.Period(quarter).end_time.date())])
    return (
        pd.DataFrame(
            [(day, quarter, account, amount / 2) for account, amount in rows for day in days],
            columns=["date", "period", "account", "amount_cents"],
        )
        .astype({"amount_cents": "int64"})
        .assign(currency="EUR")
    )


def test_operating_profit_after_tax_and_what_capital_costs():
    capital = pd.DataFrame({"quarter": ["2026Q3"], "invested_capital_cents": [10_000_01], "currency": ["EUR"]})
    found = at(measures.compute({"ledger": books(), "capital": capital}, "EUR", tax_rate=0.24, cost_of_capital=0.08))
    assert found["operating_profit"] == 125_00 and found["operating_profit_after_tax"] == 95_00
    assert found["capital_charge"] == 200_00
    loss = at(measures.compute({"ledger": books(775_00)}, "EUR", tax_rate=0.24))
    assert (loss["operating_profit"], loss["operating_profit_after_tax"]) == (-100_00, -76_00)


def test_amounts_that_floats_cannot_hold_are_refused():
    with pytest.raises(errors.ToolkitError, match=r"revenue, 2026Q3: .* is beyond 2\^53"):
        measures.compute({"ledger": books(2**53 + 2)}, "EUR")


def test_what_platforms_count_is_summed_where_they_count():
    spend = pd.DataFrame(
        {"date": DAY(["2026-07-01", "2026-09-30"]), "spend_cents": [100, 200], "currency": "EUR", "clicks": [5, pd.NA]}
    )
    found = at(measures.from_ad_spend(spend, "EUR"))
    assert (found["clicks"], found["impressions"]) == (5, None)
    found = at(measures.from_ad_spend(spend.assign(clicks=pd.NA), "EUR"))
    assert found["clicks"] is None


def unit(currency, intercompany=0, tonnes=0.25, **revenue):
    rows = [("revenue", quarter, value, "money") for quarter, value in revenue.items()]
    rows += [("revenue_at_last_years_rates", quarter, value, "money") for quarter, value in revenue.items()]
    rows += [("intercompany_revenue", quarter, intercompany, "money") for quarter in revenue]
    rows += [("emissions_tonnes", "2026Q3", tonnes, "number"), ("followers", "2026Q3", 7.0, "number")]
    return pd.DataFrame(rows, columns=["measure", "quarter", "value", "value_unit"]).assign(currency=currency)


def test_the_group_grows_at_last_years_rates_and_adds_tonnes_but_no_series():
    units = {
        "a": unit("EUR", 100_00, **{"2025Q3": 1000_00, "2026Q3": 1100_00}),
        "b": unit("GBP", **{"2025Q3": 1000_00, "2026Q3": 1000_00}),
    }
    found = at(rollup.roll_up(units, "2026Q3", "EUR", RATES).measures)
    assert found["revenue"] == 1000_00 + 1200_00 and found["revenue_year_ago"] == 900_00 + 1100_00
    assert found["revenue_at_last_years_rates"] == 1000_00 + 1100_00
    assert found["emissions_tonnes"] == 0.5
    assert found.get("followers") is None
