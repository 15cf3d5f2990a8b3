"""What is checked before anything runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from kpitoolkit import parameters
from kpitoolkit.batch.check import check_names, check_unit, find_case, write_merged_parameters
from kpitoolkit.batch.examine import examine, notes_of, regression_faults, too_large_faults
from kpitoolkit.cli import main
from kpitoolkit.errors import Faults, ToolkitError
from kpitoolkit.parameters import Parameters
from kpitoolkit.regression.budget import plan_budget
from tests.regression.posterior_by_hand import written

CASES = Path(__file__).parents[2] / "parameters"


def faults_of(folder, unit="north"):
    case = parameters.read_case(folder)
    return check_unit(case, case.units[unit])


def test_a_case_is_found_by_path_and_by_name(monkeypatch, tiny):
    (tiny.parents[1] / "notebooks").mkdir()
    monkeypatch.chdir(tiny.parents[1])
    assert find_case("tiny") == find_case("parameters/tiny") == find_case(str(tiny)) == tiny.resolve()
    for said in ("tinny", "parameters/tinny"):
        with pytest.raises(ToolkitError, match="Did you mean 'tiny'"):
            find_case(said)
    with pytest.raises(ToolkitError, match="unknown"):
        find_case("../..//x")


def test_all_unknown_names_come_together():
    with pytest.raises(Faults) as caught:
        check_names("unit", ["norht", "zzz", "south"], ["north", "south"])
    assert len(caught.value.faults) == 2


def test_data_of_a_unit(tiny):
    assert faults_of(tiny) == []
    (tiny / "financials.csv").unlink()
    assert "does not exist" in faults_of(tiny)[0]


def test_a_unit_without_data(tiny):
    (tiny / "empty.yml").write_text("unit: empty\n")
    assert "no rows for unit 'empty'" in faults_of(tiny, "empty")[0]


def test_a_quarter_that_is_not_there_or_half(tiny):
    (tiny / "north.yml").write_text('unit: north\nquarter: "2026Q4"\n')
    assert faults_of(tiny) == ["financials: no row for 2026Q4. Add it, or state another quarter"]
    data = "data: {ledger: {file: ledger.csv}}\n"
    rows = "line,date,period,unit,account,amount,currency\n1,2026-07-01,2026Q3,north,4000,1,EUR\n"
    (tiny / "ledger.csv").write_text(rows + "2,2026-08-14,2026Q3,north,4000,1,EUR\n")
    (tiny / "north.yml").write_text("unit: north\n" + data)
    assert "partly present" in faults_of(tiny)[0]
    assert "from 2026-08-15 to 2026-09-30" in faults_of(tiny)[0]
    months = "2,2026-07-31,2026Q3,north,4000,1,EUR\n3,2026-08-31,2026Q3,north,4000,1,EUR\n"
    (tiny / "ledger.csv").write_text(rows + months + "4,2026-09-30,2026Q3,north,4000,1,EUR\n")
    assert faults_of(tiny) == []


def test_merged_parameters_as_papermill_reads_them(tiny, tmp_path):
    case = parameters.read_case(tiny)
    write_merged_parameters(case, case.units["north"], tmp_path / "merged.yml")
    read = yaml.safe_load((tmp_path / "merged.yml").read_text())
    assert read["quarter"] == "2026Q3"
    assert read["data_dir"] == str(tiny.resolve())
    assert {key: read[key] for key in type(case.group).model_fields if key != "catalogue"} == {
        key: value for key, value in case.units["north"].model_dump().items() if key != "catalogue"
    }


@pytest.mark.parametrize("case", ["netflix-2017Q3", "netflix-2019Q3"])
def test_our_real_cases_are_fine(case):
    read = parameters.read_case(CASES / case)
    assert len(read.units) == 3
    for unit in read.units.values():
        assert check_unit(read, unit) == []
        assert set(unit.unit_name) == {"en", "it"}


def test_the_margins_stated_for_netflix_are_those_of_its_filings():
    for name, first in (("netflix-2017Q3", "2016Q4"), ("netflix-2019Q3", "2019Q1")):
        case = parameters.read_case(CASES / name)
        for stated in (*case.units.values(), case.group):
            rows = parameters_rows(case, stated, first)
            share = 1 - rows["cost_of_revenue_cents"].sum() / rows["revenue_cents"].sum()
            assert round(float(share), 3) == stated.contribution_margin_share, (name, stated.unit)


def parameters_rows(case, stated, first):
    from kpitoolkit import tables

    rows = tables.read(parameters.workspace_of(case, stated), ["financials"])["financials"]
    if stated.unit == "group":
        rows = rows[rows["unit"] == "Consolidated"]
    rows = rows[(rows["basis"] == stated.basis) & rows["quarter"].between(first, stated.quarter) & ~rows["rounded"]]
    return rows.drop_duplicates("quarter")


# What is stated of the regression


def frames_of(spend):
    """Tables of a unit with this spend by week, the last of 2026Q3."""
    ends = pd.date_range(end="2026-09-27", periods=len(spend), freq="7D")
    wide = spend.set_axis(ends).rename_axis("date").reset_index()
    rows = wide.melt("date", var_name="platform", value_name="spend_cents").assign(currency="EUR")
    rows["spend_cents"] = (rows["spend_cents"] * 100).round().astype("int64")
    return {"ad_spend": rows, "ledger": pd.DataFrame({"date": ends - pd.Timedelta(days=6), "account": "4000"})}


def two_channels(last_quarter=(100, 50)):
    """Twenty weeks of 90 and 30, then thirteen of ``last_quarter``."""
    early = np.tile([90, 30], (20, 1))
    return pd.DataFrame(np.vstack([early, np.tile(last_quarter, (13, 1))]), columns=["search", "tv"])


def said_of(spend, **stated):
    return regression_faults(frames_of(spend), Parameters(unit="it", quarter="2026Q3", **stated))


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (
            {"regression_priors": {"channels": {"serch": {"iroas": 2.0}}}},
            "regression_priors: channels: 'serch' is no channel of this unit's spend. Did you mean 'search'? "
            "Channels: search, tv",
        ),
        (
            {"budget_bounds": {"affiliates": [0, 1]}},
            "budget_bounds: 'affiliates' is no channel of this unit's spend. State it only in the files of units that "
            "have it. Channels: search, tv",
        ),
        ({"budget_scenarios": {"more": {"tvv": 5}}}, "budget_scenarios: 'more': 'tvv' is no channel"),
        # last quarter: 1,300 and 650; tv at least 650 x 0.7 = 455
        (
            {"budget_bounds": {"search": [1500, 1600]}},
            "budget_bounds: the lower bounds of all channels add up to 1,955.00 EUR in the quarter, above the total of "
            "1,950.00 EUR (budget_total: fixed, last quarter's spend). Lower them in budget_bounds (amounts of the "
            "unit's currency for the whole quarter)",
        ),
        # tv was never above 50 a week, so at most 650
        ({"budget_bounds": {"search": [0, 1299]}}, "upper bounds of all channels add up to 1,949.00 EUR"),
        ({"budget_total": 2000, "budget_bounds": {"search": [0, 1300]}}, "below the total of 2,000.00 EUR. Raise"),
        # before the first row nothing was spent; where rows carry spend in, search was never below 90 a week
        ({"budget_total": 100}, "lower bounds of all channels add up to 1,365.00 EUR"),  # 910 and 455
        ({"budget_total": 100, "regression_periods": 20}, "add up to 1,625.00 EUR"),  # 1,170 and 455
    ],
)
def test_what_the_regression_would_refuse_is_said_before(stated, said):
    (fault,) = said_of(two_channels(), **stated)
    assert fault.startswith(said) or said in fault


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"budget_bounds": {"search": [1495, 1495]}},
        {"budget_bounds": {"search": [1300, 1300]}},
        {"budget_total": "free", "budget_bounds": {"search": [5000, 6000]}},
        {"regression_priors": {"channels": {"tv": {"iroas": 2.0}}}, "budget_scenarios": {"a": {"tv": 0}}},
    ],
)
def test_what_the_regression_would_take_is_no_fault(stated):
    assert said_of(two_channels(), **stated) == []


def test_a_channel_of_which_nothing_is_modelled_takes_priors_and_no_bounds():
    spend = two_channels().assign(steady=10, radio=[5] * 3 + [0] * 30)
    stated = {"regression_periods": 15, "budget_bounds": {"radio": [0, 1], "steady": [0, 1], "tv": [0, 700]}}
    found = said_of(spend, **stated, regression_priors={"channels": {"radio": {"iroas": 2}, "steady": {"iroas": 2}}})
    assert [fault.split("'")[1] for fault in found] == ["radio", "steady"]
    assert all("nothing is modelled of it" in fault for fault in found)


@pytest.mark.parametrize("carryover", [0.0, 0.6, 0.95])
def test_the_check_refuses_nothing_that_the_budget_takes(carryover):
    """The check knows no carry-over: where it refuses, the budget does at any; near the edge the budget alone may."""
    draw = np.random.default_rng(3)
    spend = draw.gamma(4, 25, (62, 2)).round(2)
    post = written(spend, window=50, iroas=[3.0, 1.0], carryover=carryover, channels=("search", "tv"))
    now = 13 * spend[-13:].mean(axis=0)
    agreed = {True: 0, False: 0}
    for _time in range(60):
        ends = np.sort(now[0] * draw.uniform(0.3, 1.8, 2)).round(2).tolist()
        total = draw.choice(["fixed", float(now.sum() * draw.uniform(0.6, 1.4))]).item()
        total = total if total == "fixed" else float(total)
        stated = {"budget_total": total, "budget_bounds": {"search": ends}, "regression_periods": 50}
        refused = bool(said_of(pd.DataFrame(spend, columns=["search", "tv"]), **stated))
        try:
            plan_budget(post, total=total, largest_change=0.3, bounds={"search": ends})
            assert not refused, (total, ends)
            agreed[False] += 1
        except Faults:
            agreed[True] += refused
    assert min(agreed.values()) >= 10


def previous(tiny, name):
    (tiny / "north.yml").write_text(f"unit: north\nprevious_case: {name}\n")
    case = parameters.read_case(tiny)
    return case, case.units["north"]


def test_a_previous_case_that_is_none_is_a_fault(tiny, tmp_path):
    (tmp_path / "outputs" / "2026Q2").mkdir(parents=True)
    (tmp_path / "outputs" / "2026Q2" / "run.json").write_text("{}")
    case, stated = previous(tiny, "2026Q1")
    (fault,) = check_unit(case, stated, tmp_path / "outputs")
    assert "there is no case '2026Q1'" in fault and "Did you mean '2026Q2'? Known: 2026Q2." in fault
    assert notes_of(case, stated, tmp_path / "outputs") == []
    (tiny / "financials.csv").rename(tmp_path / "kept.csv")
    assert len(check_unit(case, stated, tmp_path / "outputs")) == 2  # all faults in one message
    (tmp_path / "kept.csv").rename(tiny / "financials.csv")
    case, stated = previous(tiny, "2026Q2")
    assert check_unit(case, stated, tmp_path / "outputs") == []
    (tmp_path / "parameters" / "2026Q1").mkdir()
    (tmp_path / "parameters" / "2026Q1" / "_defaults.yml").write_text("")
    assert check_unit(*previous(tiny, "2026Q1"), tmp_path / "outputs") == []


def test_a_previous_case_without_the_unit_is_noted_and_no_fault(tiny, tmp_path):
    outputs = tmp_path / "outputs"
    (outputs / "2026Q2" / "north" / "tables").mkdir(parents=True)
    (outputs / "2026Q2" / "run.json").write_text("{}")
    case, stated = previous(tiny, "2026Q2")
    assert check_unit(case, stated, outputs) == []
    (note,) = notes_of(case, stated, outputs)
    assert note.startswith("previous_case 2026Q2 has no published regression of this unit in ")
    (outputs / "2026Q2" / "north" / "tables" / "regression_iroas.parquet").write_text("")
    assert notes_of(case, stated, outputs) == []
    (tiny / "north.yml").write_text("unit: north\n")
    case = parameters.read_case(tiny)
    assert notes_of(case, case.units["north"], outputs) == []


def test_claims_without_a_row_of_the_unit_are_noted(tiny):
    heading = "claim_id,unit,platform,order_id,touch_time,conversion_time,kind,value,currency\n"
    days = ("2026-07-02", "2026-07-30", "2026-08-27", "2026-09-24")
    rows = [f"c{i},south,search,o{i},{day} 10:00,{day} 11:00,click,9.00,EUR\n" for i, day in enumerate(days)]
    (tiny / "claims.csv").write_text(heading + "".join(rows))
    files = "financials: {file: financials.csv}, platform_claims: {file: claims.csv}"
    for unit in ("north", "south"):
        (tiny / f"{unit}.yml").write_text(f"unit: {unit}\ndata: {{{files}}}\n")
    case = parameters.read_case(tiny)
    faults, (note,) = examine(case, case.units["north"])
    assert faults == [] and note.startswith("platform_claims has no row of unit 'north': what platforms claim will not")
    assert examine(case, case.units["south"]) == ([], [])
    said = CliRunner().invoke(main, ["check", str(tiny), "--unit", "north"])
    assert said.exit_code == 0 and f"  note: {note}\n" in said.output


def test_amounts_and_sums_of_a_quarter_that_no_figure_holds_to_the_cent():
    half = 2**52 + 1
    orders = pd.DataFrame({"time": pd.to_datetime(["2026-07-02", "2026-09-30", "2026-10-01"]), "gross_cents": half})
    (fault,) = too_large_faults({"orders": orders})
    assert fault.startswith(
        "orders: the amounts in 'gross' reach 90,071,992,547,409.94 in a quarter, beyond 2^53 cents"
    )
    assert "(2026Q3). Check" in fault
    assert too_large_faults({"orders": orders.iloc[1:]}) == []
    ledger = pd.DataFrame({"period": "2026Q3", "account": ["4000", "4100"], "amount_cents": [2**53, -(2**53)]})
    assert too_large_faults({"ledger": ledger, "empty": ledger.head(0)}) == []
    assert "(2026Q3, 4000)" in too_large_faults({"ledger": pd.concat([ledger, ledger])})[0]
    within = pd.DataFrame({"date": pd.to_datetime(["2026-07-02"]), "net_cents": pd.array([None], "Int64")})
    assert too_large_faults({"invoices": within}) == []


def test_an_amount_beyond_what_is_exact_is_found_before_anything_runs(tiny):
    text = (tiny / "financials.csv").read_text()
    row = next(line for line in text.splitlines() if "north" in line)
    head = text.splitlines()[0].split(",")
    cells = row.split(",")
    cells[head.index("revenue")] = "90071992547409.94"
    (tiny / "financials.csv").write_text(text.replace(row, ",".join(cells)))
    (fault,) = faults_of(tiny)
    assert fault.startswith("financials: an amount in 'revenue' is 90,071,992,547,409.94, beyond 2^53 cents")
