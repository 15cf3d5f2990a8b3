"""The sample company beyond its books: what leads, what follows, what is nothing, what was promised and falsified."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import yaml
from click.testing import CliRunner

from kpitoolkit import cli, sample, tables
from kpitoolkit.sample.spec import UNITS

SMALL = 0.05
KEYS = [unit.key for unit in UNITS]
REVENUE = ("4000", "4100", "4110", "4200", "4300", "4400", "4500", "4900")
QUARTERS = [str(quarter) for quarter in pd.period_range("2019Q4", "2026Q3", freq="Q")]


def read(folder, names=None):
    block = yaml.safe_load((folder / "data.yml").read_text(encoding="utf-8"))
    workspace = tables.Workspace("sample", "group", "group", block, folder, folder, folder)
    return tables.read(workspace, names or set(block) - {"touchpoints"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sample.write(tmp_path_factory.mktemp("sample") / "company", scale=SMALL)


@pytest.fixture(scope="module")
def company(folder):
    return read(folder)


@pytest.fixture(scope="module")
def truth(folder):
    return {path.stem: pd.read_csv(path) for path in (folder / "truth").glob("*.csv")}


def quarter_of(times):
    return times.dt.to_period("Q").astype(str)


@pytest.fixture(scope="module")
def whole():
    """The company at scale 1, as the analyses read it."""
    return read(sample.ensure())


def booked_revenue(ledger, accounts=REVENUE):
    mine = ledger[ledger["account"].isin(accounts) & ledger["unit"].isin(KEYS)]
    return mine.groupby(["unit", "period"])["amount_cents"].sum()


# What leads, what follows, what is nothing


def weekly_sales(company, unit):
    ledger = company["ledger"]
    sales = ledger[(ledger["account"] == "4000") & (ledger["unit"] == unit)]
    week = sales["date"] + pd.to_timedelta(6 - sales["date"].dt.day_of_week, unit="D")
    return sales["amount_cents"].astype(float).groupby(week).sum()


def effect(explained, explaining, lag):
    """Partial correlation and t of a series with another, `lag` weeks before, beside own past, trend and season."""
    both = pd.concat([explained, explaining], axis=1, keys=["y", "x"], sort=True)
    both = both.loc["2019-10-13":"2026-09-27"].fillna(0.0)
    week = np.arange(len(both))
    waves = {f"{f.__name__}{k}": f(2 * np.pi * k * week / 52.18) for k in (1, 2, 3) for f in (np.cos, np.sin)}
    known = pd.DataFrame({"one": 1.0, "trend": week, **waves}, index=both.index)
    known["own"], known["x"] = both["y"].shift(1), both["x"].shift(lag)
    known = known.iloc[max(lag, 1) :]
    fit = sm.OLS(both["y"].reindex(known.index), known).fit(cov_type="HAC", cov_kwds={"maxlags": 6})
    t = float(fit.tvalues["x"])
    return t / np.sqrt(t**2 + fit.df_resid), t


def series_of(company, unit, kpi):
    if kpi == "prospect_sessions":
        mine = company["web_sessions"]
        return np.log(mine[mine["unit"] == unit].set_index("week_end")["prospect_sessions"].astype(float))
    mine = company["kpi_series"]
    return mine[(mine["unit"] == unit) & (mine["kpi"] == kpi)].set_index("week_end")["value"]


def test_the_truth_names_every_series_of_every_unit(company, truth):
    stated = truth["evidence"][truth["evidence"]["frequency"] == "week"]
    series = set(zip(company["kpi_series"]["unit"], company["kpi_series"]["kpi"], strict=True))
    assert set(zip(stated["unit"], stated["marketing_kpi"], strict=True)) == series | {
        (unit, "prospect_sessions") for unit in KEYS
    }
    assert len(series) == 4 * 9 and (stated["truth"] == "driver").sum() == 3 and (stated["truth"] == "echo").sum() == 3
    assert ((stated["lag"] < 0) == (stated["truth"] == "echo")).all()


def test_prospects_lead_sales_by_a_week_and_sales_do_not_lead_prospects(whole, truth):
    stated = truth["evidence"].query("marketing_kpi == 'prospect_sessions' and frequency == 'week'")
    for unit, true in zip(stated["unit"], stated["truth"], strict=True):
        sales, prospects = weekly_sales(whole, unit), series_of(whole, unit, "prospect_sessions")
        size, t = effect(sales, prospects, 1)
        if true == "driver":
            assert t > 4, unit
            assert unit == "retail-uk" or 0.25 < size < 0.55, unit
        else:
            assert abs(t) < 2, unit
        assert abs(effect(sales, prospects, 0)[1]) < 2 and abs(effect(prospects, sales, 1)[1]) < 2, unit


def test_the_share_of_search_follows_sales_and_does_not_lead_them(whole, truth):
    stated = truth["evidence"].query("marketing_kpi == 'share_of_search'")
    for unit, true in zip(stated["unit"], stated["truth"], strict=True):
        sales, search = weekly_sales(whole, unit), series_of(whole, unit, "share_of_search")
        assert abs(effect(sales, search, 1)[1]) < 2, unit
        t = effect(search, sales, 2)[1]
        assert t > 4 if true == "echo" else abs(t) < 2, unit


def test_nulls_lead_nothing_though_many_go_along_with_sales(whole, truth):
    nulls = truth["evidence"].query(
        "truth == 'unrelated' and frequency == 'week' and marketing_kpi != 'prospect_sessions'"
    )
    assert len(nulls) == 4 * 8 + 1
    together = []
    for unit, kpi in zip(nulls["unit"], nulls["marketing_kpi"], strict=True):
        sales, series = weekly_sales(whole, unit), series_of(whole, unit, kpi)
        assert abs(effect(sales, series, 1)[1]) < 2.1, (unit, kpi)
        together.append(abs(np.corrcoef(sales.reindex(series.index, fill_value=0.0), series)[0, 1]))
    assert np.mean(np.array(together) > 0.103) > 0.5  # a raw correlation "proves" most of them


def test_a_series_keeps_half_of_its_noise_and_has_a_trend(whole):
    for unit in KEYS:
        series = np.log(series_of(whole, unit, "video_views"))
        week = np.arange(len(series))
        waves = [f(2 * np.pi * k * week / 52.18) for k in (1, 2) for f in (np.cos, np.sin)]
        fit = sm.OLS(series.to_numpy(), np.column_stack([np.ones(len(week)), week / 52.18, *waves])).fit()
        assert fit.params[1] == pytest.approx(0.14, abs=0.04)
        assert np.corrcoef(fit.resid[1:], fit.resid[:-1])[0, 1] == pytest.approx(0.5, abs=0.15)


def waves(company):
    """Survey shares by unit and quarter, and the log of prospects."""
    surveys = company["surveys"].assign(quarter=quarter_of(company["surveys"]["date"]))
    surveys["share"] = ((surveys["positive"] - surveys["negative"]) / surveys["answers"]).astype(float)
    found = surveys.pivot_table(index=["unit", "quarter"], columns="survey", values="share")
    sessions = company["web_sessions"]
    middle = quarter_of(sessions["week_end"] - pd.Timedelta(days=3))
    prospects = sessions["prospect_sessions"].groupby([sessions["unit"], middle]).sum().rename_axis(["unit", "quarter"])
    growth = booked_revenue(company["ledger"]).astype(float).rename_axis(["unit", "quarter"])
    growth = np.log(growth).groupby("unit").diff(4)
    return found.assign(prospects=np.log(prospects.astype(float)), growth=growth).reset_index()


def pooled(frame, explained, explaining, lag):
    """T of a KPI in the quarter `lag` before, beside own past and effects of unit and quarter."""
    by_unit = frame.groupby("unit")
    x = pd.DataFrame({"x": by_unit[explaining].shift(lag), "own": by_unit[explained].shift(1)})
    rows = frame[x.notna().all(axis=1) & frame[explained].notna()]
    dummies = [pd.get_dummies(rows["unit"]), pd.get_dummies(rows["quarter"], drop_first=True)]
    x = pd.concat([x.loc[rows.index], *dummies], axis=1).astype(float)
    return sm.OLS(rows[explained], x).fit().tvalues["x"]


def test_engaged_staff_leads_nps_and_a_known_brand_leads_prospects_by_a_quarter(whole, truth):
    frame = waves(whole)
    assert pooled(frame, "nps", "employees", 1) > 4 and pooled(frame, "prospects", "brand", 1) > 3
    for explained, explaining, lag in (
        ("nps", "employees", -1),
        ("employees", "nps", 1),
        ("prospects", "brand", -1),
        ("growth", "nps", 1),
    ):
        assert abs(pooled(frame, explained, explaining, lag)) < 2, (explained, explaining, lag)
    stated = truth["evidence"].query("unit == 'pooled'").set_index(["marketing_kpi", "company_kpi"])["truth"]
    assert stated["engagement", "nps"] == stated["brand_awareness", "prospect_sessions"] == "driver"
    assert stated["nps", "revenue_growth"] == "unrelated"


@pytest.mark.parametrize("at", ["company", "whole"])
def test_conversion_rises_in_every_unit_and_falls_in_the_group(at, request):
    """From the files: paid orders over sessions without bots and with consent, weeks in the quarter of most days."""
    found = request.getfixturevalue(at)
    orders, web = found["orders"], found["web_sessions"]
    orders = orders[orders["status"] == "paid"]
    paid = orders.groupby(["unit", quarter_of(orders["time"])]).size()
    human = web["sessions"] - web["bot_sessions"] - web["unconsented_sessions"]
    human = human.groupby([web["unit"], quarter_of(web["week_end"] - pd.Timedelta(days=3))]).sum()
    then, now = (
        pd.DataFrame({"orders": paid.xs(q, level=1), "sessions": human.xs(q, level=1)}) for q in ("2025Q3", "2026Q3")
    )
    assert (now["orders"] / now["sessions"] > then["orders"] / then["sessions"]).all()
    assert now["orders"].sum() / now["sessions"].sum() < then["orders"].sum() / then["sessions"].sum()
    folder = sample.ensure() if at == "whole" else request.getfixturevalue("folder")
    stated = pd.read_csv(folder / "truth" / "simpson.csv").set_index(["unit", "quarter"])
    for quarter, found in (("2025Q3", then), ("2026Q3", now)):
        assert stated.xs(quarter, level=1).loc[KEYS, ["orders", "sessions"]].to_dict() == found.loc[KEYS].to_dict()
        assert stated.loc[("group", quarter), "sessions"] == found["sessions"].sum()


# Rows


def test_weeks_and_quarters_are_complete_in_every_unit(company):
    weeks = set(company["controls"]["week_end"])
    assert len(weeks) == 365
    for unit in KEYS:
        web, series = (company[name][company[name]["unit"] == unit] for name in ("web_sessions", "kpi_series"))
        assert set(web["week_end"]) == weeks
        assert series.groupby("kpi")["week_end"].nunique().eq(365).all()
        for table in ("hr", "market", "capital", "emissions", "products"):
            mine = company[table][company[table]["unit"] == unit]
            assert set(mine["quarter"]) == set(QUARTERS), table
        surveys = company["surveys"][company["surveys"]["unit"] == unit]
        waves = surveys.groupby("survey")["date"].apply(lambda days: set(quarter_of(days)))
        assert waves.to_dict() == {survey: set(QUARTERS) for survey in ("nps", "brand", "employees")}


def test_a_wave_of_b2b_has_three_answers_and_no_other_unit_so_few(company):
    nps = company["surveys"].query("survey == 'nps'")
    few = nps[nps["answers"] <= 3]
    assert set(few["unit"]) == {"b2b"} and set(quarter_of(few["date"])) == {"2022Q2", "2026Q2"}
    rate = company["surveys"]["answers"] / company["surveys"]["invited"]
    assert rate.between(0.02, 0.99).all() and nps.loc[nps["unit"] != "b2b", "answers"].min() > 200


def test_people_who_stay_join_and_leave_add_up(company):
    hr = company["hr"].sort_values(["unit", "quarter"])
    before = hr.groupby("unit")["headcount_end"].shift(1)
    assert (before.isna() | (before == hr["headcount_start"])).all()
    assert (hr["headcount_end"] >= hr["headcount_start"] - hr["leavers"]).all() and hr["leavers"].sum() > 100


def test_a_lead_won_is_a_customer_with_a_first_order_and_late_cohorts_are_not_ripe(company, truth):
    leads = company["leads"].set_index("lead_id")
    assert set(leads["unit"]) == {"b2b"}
    won = leads[leads["won"].notna()]
    assert set(won.index) == set(truth["leads"]["lead_id"])
    customer = truth["leads"].set_index("lead_id")["customer_id"].reindex(won.index)
    first = company["customers"].set_index("customer_id")["first_order_date"].reindex(customer)
    assert customer.is_unique
    waited = first.to_numpy() - won["won"].to_numpy()
    assert (waited >= np.timedelta64(0)).all() and (waited <= np.timedelta64(11, "D")).all()
    for later, earlier in (("qualified", "created"), ("accepted", "qualified"), ("won", "accepted")):
        both = leads[leads[later].notna()]
        assert (both[later] >= both[earlier]).all() and (both[later] <= "2026-09-30").all()
    assert (leads["value_cents"].notna() == leads["accepted"].notna()).all()
    cohort = quarter_of(leads["created"])
    rate = leads["won"].notna().groupby(cohort).sum() / leads["accepted"].notna().groupby(cohort).sum()
    assert rate["2026Q3"] < rate["2020Q1":"2025Q4"].mean() < 0.25
    assert ((won["won"] - won["created"]).dt.days > 90).mean() > 0.4


def test_products_add_up_to_booked_revenue_and_begin_with_their_launch(company):
    products = company["products"]
    found = products.groupby(["unit", "quarter"])["revenue_cents"].sum().rename_axis(["unit", "period"])
    assert found.to_dict() == booked_revenue(company["ledger"]).to_dict()
    ends = pd.PeriodIndex(products["quarter"], freq="Q").end_time
    assert (products["launched"] <= ends).all() and (products["revenue_cents"] > 0).all()
    young = products["launched"] > ends - pd.DateOffset(months=24)
    now = products["quarter"] == "2026Q3"
    share = products[now & young].groupby("unit")["revenue_cents"].sum() / found.xs("2026Q3", level=1)
    assert share.between(0.02, 0.4).all()


def test_own_sell_out_is_booked_revenue_without_intercompany_less_the_stock_change(company, truth):
    market, true = company["market"], truth["market"].set_index(["unit", "quarter"])
    own = market.set_index(["unit", "quarter"])["own_sellout_cents"]
    assert own.to_dict() == true["own_sellout_cents"].to_dict()
    assert true.iloc[:, :3].sum(axis=1).to_dict() == own.to_dict()
    ledger = company["ledger"]
    booked = booked_revenue(ledger).rename_axis(["unit", "quarter"])
    assert true["ledger_revenue_cents"].to_dict() == booked.to_dict()
    inside = booked_revenue(ledger, ["4500"]).rename_axis(["unit", "quarter"])
    assert (true["intercompany_cents"] == -inside.reindex(true.index, fill_value=0)).all()
    share = (market["own_sellout_cents"] / market["market_sellout_cents"]).groupby(market["unit"])
    assert share.min().min() > 0.005 and share.max().max() < 0.2
    assert (true["stock_change_cents"] != 0).mean() > 0.8


def test_capital_and_emissions_are_of_a_likely_size(company):
    year = booked_revenue(company["ledger"]).reset_index()
    year = year[year["period"].isin(QUARTERS[-4:])].groupby("unit")["amount_cents"].sum()
    capital = company["capital"].query("quarter == '2026Q3'").set_index("unit")["invested_capital_cents"]
    assert (capital / year).between(0.2, 0.9).all()
    tonnes = company["emissions"].groupby(["unit", "scope"])["tonnes"].sum()
    assert all(tonnes[unit, 1] < tonnes[unit, 2] < tonnes[unit, 3] for unit in KEYS)


# Promises, open items, controls


def test_promises_are_kept_half_kept_and_broken(company, truth):
    promises, true = company["promises"].set_index("promise_id"), truth["promises"].set_index("promise_id")
    assert set(promises["quarter"]) == {"2026Q3"} and (promises["made_on"] <= "2026-06-30").all()
    assert set(true["outcome"]) == {"kept", "half_kept", "broken"}
    assert promises["amount"].to_dict() == true["amount"].to_dict()
    orders = company["orders"][company["orders"]["status"] == "paid"]
    placed = orders.groupby(["unit", quarter_of(orders["time"])]).size()
    spend = company["ad_spend"][company["ad_spend"]["unit"] == "retail-it"]
    spent = spend.groupby(quarter_of(spend["date"]))["spend_cents"].sum() / 100
    ledger = company["ledger"].query("unit == 'retail-it' and account == '6110'")
    fees = ledger.groupby("period")["amount_cents"].sum() / 100
    leads = quarter_of(company["leads"]["created"]).value_counts()
    for name, row in true.iterrows():
        if row["measure"] == "orders":
            change = placed[row["unit"], "2026Q3"] - placed[row["unit"], "2026Q2"]
        elif (row["unit"], row["measure"]) in (("retail-it", "media_spend"), ("retail-it", "agency_fees")):
            sums = spent if row["measure"] == "media_spend" else fees
            change = sums["2026Q3"] - sums["2026Q2"]
        elif row["measure"] == "leads_filled":
            change = leads["2026Q3"] - leads["2026Q2"]
        else:
            continue
        assert row["change"] == pytest.approx(change, abs=0.01), name
        assert row["kept"] == pytest.approx(change / row["amount"], abs=1e-4), name
    bounds = {"kept": (1, 3), "half_kept": (0.2, 0.99), "broken": (-9, 0)}
    assert all(bounds[row.outcome][0] <= row.kept <= bounds[row.outcome][1] for row in true.itertuples())


def test_open_items_have_the_amount_of_a_row_of_their_step(company, truth):
    items = company["open_items"]
    rows = {"claims": truth["orders_to_ledger"], "spend": truth["spend_to_ledger"]}
    for item in items.itertuples():
        mine = rows[item.bridge].query("unit == @item.unit and quarter == @item.opened and step == @item.step")
        known = mine.set_index("row_id")["amount_cents"]
        assert known[item.evidence.removeprefix("Riga ")] == item.amount_cents != 0
    retail = items[items["unit"] == "retail-it"]
    assert set(retail.loc[retail["closed"].isna(), "bridge"]) == {"claims", "spend"}
    assert (
        retail["closed"].notna().any() and (items["closed"].dropna() > items["opened"][items["closed"].notna()]).all()
    )


def test_control_totals_are_those_of_the_files(company):
    column = {
        "orders": ("time", "gross_cents"), "platform_claims": ("conversion_time", "value_cents"),
        "ledger": ("date", "amount_cents"), "invoices": ("date", "net_cents"), "ad_spend": ("date", "spend_cents"),
        "returns": ("date", "amount_cents"),
    }  # fmt: skip
    stated = company["control_totals"].set_index(["table", "unit"])
    assert len(stated) == len(column) * 4 and set(stated["quarter"]) == {"2026Q3"}
    for (table, unit), row in stated.iterrows():
        when, cents = column[table]
        frame = company[table]
        mine = frame[(frame["unit"] == unit) & (quarter_of(frame[when]) == "2026Q3")]
        assert (len(mine), mine[cents].sum()) == (row["rows"], row["amount_cents"]), (table, unit)


# A falsified ledger


def test_the_command_falsifies_only_the_ledger_and_the_truth_says_where(folder, tmp_path):
    false = tmp_path / "false"
    done = CliRunner().invoke(cli.main, ["sample", str(false), "--tampered", "--scale", str(SMALL)])
    assert done.exit_code == 0, done.output
    names = {str(path.relative_to(false)) for path in false.rglob("*") if path.is_file()}
    assert names - {str(p.relative_to(folder)) for p in folder.rglob("*")} == {"truth/tampering.csv"}
    same = names - {"truth/tampering.csv"}
    assert {n for n in same if (false / n).read_bytes() != (folder / n).read_bytes()} == {"prima_nota.csv"}
    ledgers = (read(place, ["ledger"])["ledger"].set_index("line") for place in (folder, false))
    before, after = (ledger[["period", "amount_cents"]] for ledger in ledgers)
    changed = before.index[(before != after).any(axis=1)]
    stated = pd.read_csv(false / "truth" / "tampering.csv").set_index("line")
    assert sorted(changed) == sorted(stated.index) and len(stated) == 4
    for line, row in stated.iterrows():
        assert (before.at[line, "period"], before.at[line, "amount_cents"]) == (row["period"], row["amount_cents"])
        assert (after.at[line, "period"], after.at[line, "amount_cents"]) == (
            row["period_after"],
            row["amount_after_cents"],
        )
    offsetting = stated[stated["kind"] == "offsetting"]
    assert (offsetting["amount_after_cents"] - offsetting["amount_cents"]).sum() == 0 and len(offsetting) == 2


def test_amounts_reach_the_files_as_decimals(folder):
    text = (folder / "ricavi_per_prodotto.csv").read_text(encoding="cp1252").splitlines()
    assert text[0] == "Trimestre;Società;Prodotto;Data di lancio;Ricavi;Divisa" and "Sedia Città;01/03/2016;" in text[1]
    last = text[1].split(";")[4]
    assert Decimal(last.replace(".", "").replace(",", ".")) > 0 and last[-3] == ","
    leads = (folder / "crm_leads.csv").read_text(encoding="utf-8").splitlines()
    assert leads[0].startswith("Lead ID,unit,Created Date") and any(",,,,,EUR" in line for line in leads)
