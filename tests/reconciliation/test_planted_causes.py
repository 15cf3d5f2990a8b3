"""The sample company: every planted cause between claimed and booked, and between spend and cost, is recovered."""

import pandas as pd
import pytest

from kpitoolkit import parameters, sample
from kpitoolkit.pages import summary
from kpitoolkit.reconciliation.claims import claimed_to_booked
from kpitoolkit.reconciliation.controls import controls
from kpitoolkit.reconciliation.spend import spend_to_ledger
from kpitoolkit.sample import governance
from tests import sample_tables

CASE = parameters.read_case(parameters.project_root() / "parameters" / "sample-2026Q3")
NAMES = ["platform_claims", "orders", "returns", "ledger", "fx_rates", "ad_spend", "invoices", "control_totals"]
QUARTERS = ("2026Q3", "2026Q2")
PLACES = [(unit, quarter) for unit in sorted(CASE.units) for quarter in QUARTERS]
LEDGER_TOTALS = {
    "ledger_revenue": "booked",
    "computed_marketing_cost": "computed_cost",
    "ledger_marketing": "booked_cost",
}


@pytest.fixture(scope="module")
def truth():
    folder = sample.ensure() / "truth"
    return {
        "claims": pd.read_parquet(folder / "claims.parquet"),
        "orders_to_ledger": pd.read_csv(folder / "orders_to_ledger.csv"),
        "revenue": pd.read_csv(folder / "bridge_totals.csv"),
        "spend": pd.read_csv(folder / "spend_totals.csv"),
    }


@pytest.fixture(scope="module")
def company():
    frames = sample_tables.read("group", NAMES)
    rates = frames.pop("fx_rates")
    return {
        unit: {name: frame[frame["unit"] == unit].reset_index(drop=True) for name, frame in frames.items()}
        | {"fx_rates": rates}
        for unit in CASE.units
    }


def revenue_bridge(company, unit, quarter, **changed):
    stated, frames = CASE.units[unit], company[unit] | changed
    read = [frames[name] for name in ("platform_claims", "orders", "returns", "ledger", "fx_rates")]
    return claimed_to_booked(*read, stated.accounts, quarter, stated.currency, stated.claims_lookback_days)


def planted(totals, unit, quarter):
    steps = totals[(totals["unit"] == unit) & (totals["quarter"] == quarter)]
    return {
        LEDGER_TOTALS.get(step, step): cents for step, cents in zip(steps["step"], steps["amount_cents"], strict=True)
    }


def found(table):
    return dict(zip(table["step"], table["amount_cents"], strict=True))


@pytest.fixture(scope="module")
def claimed(company):
    """The bridge of each unit and quarter, on the books as they are."""
    return {place: revenue_bridge(company, *place) for place in PLACES}


@pytest.mark.parametrize(("unit", "quarter"), PLACES)
def test_every_step_from_claimed_to_booked_to_the_cent(claimed, truth, unit, quarter):
    result = claimed[unit, quarter]
    assert found(result.table) == planted(truth["revenue"], unit, quarter)
    again = result.checks["check"].str.endswith("_again")
    assert again.sum() == 5 and result.checks.loc[again, "passed"].all()


@pytest.mark.parametrize(("unit", "quarter"), PLACES)
def test_every_claim_its_planted_cause(claimed, truth, unit, quarter):
    rows = claimed[unit, quarter].rows
    true = truth["claims"]
    true = true[(true["unit"] == unit) & (true["quarter"] == quarter)].set_index("claim_id").sort_index()
    cause = rows["cause"].replace("value_mismatch", "matched").astype(str)
    pd.testing.assert_series_equal(cause, true["cause"], check_dtype=False, check_index_type=False)
    for column in ("currency_cents", "cause_cents", "mismatch_cents"):
        pd.testing.assert_series_equal(rows[column], true[column], check_dtype=False, check_index_type=False)
    assert ((rows["cause"] == "value_mismatch") == (rows["mismatch_cents"] != 0)).all()


@pytest.mark.parametrize(("unit", "quarter"), PLACES)
def test_every_step_from_spend_to_cost_to_the_cent(company, truth, unit, quarter):
    stated, frames = CASE.units[unit], company[unit]
    read = [frames[name] for name in ("ad_spend", "invoices", "ledger", "fx_rates")]
    result = spend_to_ledger(*read, stated.accounts, quarter, stated.currency, stated.platforms_including_vat)
    subtotals = {"invoiced_services", "dated_invoices"}
    steps = {step: cents for step, cents in found(result.table).items() if step not in subtotals}
    assert steps == planted(truth["spend"], unit, quarter)
    assert result.passed
    expected = {"6100": 18750, "6110": -6250} if (unit, quarter) == ("online-eu", "2026Q3") else {}
    assert dict(zip(result.unexplained["account"], result.unexplained["difference_cents"], strict=True)) == expected


def test_sentences_state_converted_claims(claimed):
    """883,945 is what the claims sum to at face value; converted they are 859,849, and so says the summary."""
    result = claimed["online-eu", "2026Q3"]
    said = result.findings("en")
    assert "€859,849" in said[0] and "59.8%" in said[0] and "€883,945: +€24,096" in said[1]
    facts = summary.headline_facts(None, result.table).set_index("item")["value"]
    assert facts["claimed"] == result.amount("claimed") + result.amount("currency") == 85_984_915


@pytest.mark.parametrize(("unit", "quarter"), PLACES)
def test_every_account_of_the_sample_is_in_the_chart(claimed, unit, quarter):
    result = claimed[unit, quarter]
    assert result.unmapped.empty
    assert result.checks.set_index("check")["value_cents"]["unmapped_accounts"] == 0


def test_what_is_unexplained_is_found_where_it_was_planted(company, claimed, truth):
    """320.00 in retail-it, of which offsetting errors of 1,528.00: by account, by day, against the falsified lines."""
    result = claimed["retail-it", "2026Q3"]
    assert result.amount("unexplained") == 32_000
    true = truth["orders_to_ledger"]
    true = true[(true["unit"] == "retail-it") & (true["quarter"] == "2026Q3") & (true["step"] == "unexplained")]
    days = pd.concat(
        [
            company["retail-it"]["ledger"].set_index("line")[["date", "account"]],
            company["retail-it"]["returns"].set_index("return_id")[["date"]].assign(account="4100"),
        ]
    )
    planted_days = true.join(days, on="row_id").groupby(["account", "date"])["amount_cents"].sum()
    located = result.unexplained.set_index(["account", "date"])["difference_cents"]
    assert located.to_dict() == planted_days.to_dict()
    checks = result.checks.set_index("check")
    assert checks.loc["gross_unexplained", "value_cents"] == true["amount_cents"].abs().sum() == 152_800


def test_errors_that_offset_each_other_block_the_sign_off(claimed):
    result = claimed["retail-uk", "2026Q3"]
    checks = result.checks.set_index("check")["passed"]
    assert checks["net_unexplained"] and not checks["gross_unexplained"] and not result.passed
    assert result.unexplained["difference_cents"].tolist() == [148_000, -133_000]


def test_a_tampered_ledger_fails(company, claimed):
    ledger = company["b2b"]["ledger"].copy()
    line = ledger.index[(ledger["account"] == "4000") & (ledger["period"] == "2026Q3")][7]
    assert claimed["b2b", "2026Q3"].passed
    ledger.loc[line, "amount_cents"] += 800_000
    result = revenue_bridge(company, "b2b", "2026Q3", ledger=ledger)
    assert result.amount("unexplained") == 800_000 and not result.passed
    assert result.unexplained["date"].tolist() == [ledger.loc[line, "date"]]


@pytest.fixture(scope="module")
def falsified(company):
    """The ledger as `kpitoolkit sample FOLDER --tampered` writes it, and where it was falsified."""
    whole = pd.concat([frames["ledger"] for frames in company.values()], ignore_index=True)
    false, where = governance.tampered(whole.rename(columns={"date": "day"}))
    return false.rename(columns={"day": "date"}), where


# By hand: an amount that was changed shows net and in its owner's sum; two that cancel out show by account and day
# only; a posting in another period is a row fewer, too (the gross of that unit fails without it). b2b was not touched.
FAILED = {
    "retail-it": {"net_unexplained", "gross_unexplained", "control_amounts"},
    "online-eu": {"gross_unexplained"},
    "retail-uk": {"net_unexplained", "gross_unexplained", "control_rows", "control_amounts"},
    "b2b": set(),
}


@pytest.mark.parametrize("unit", sorted(FAILED))
def test_a_falsified_ledger_blocks_the_sign_off_where_it_was_falsified(company, claimed, falsified, unit):
    true = claimed[unit, "2026Q3"].checks
    assert set(true["check"][~true["passed"]]) == ({"gross_unexplained"} if unit == "retail-uk" else set())
    ledger, where = falsified
    own = ledger[ledger["unit"] == unit].reset_index(drop=True)
    result = revenue_bridge(company, unit, "2026Q3", ledger=own)
    frames = {name: frame for name, frame in company[unit].items() if name != "control_totals"} | {"ledger": own}
    held = controls(frames, company[unit]["control_totals"], "2026Q3", CASE.units[unit].currency)
    failed = {check for checks in (result.checks, held.checks) for check in checks["check"][~checks["passed"]]}
    assert failed == FAILED[unit]
    assert result.passed == (not FAILED[unit] - {"control_rows", "control_amounts"})
    mine = where[where["unit"] == unit]
    if len(mine):  # the falsified days stand among the differences, with their accounts
        days = set(own.set_index("line").loc[mine["line"], "date"])
        located = result.unexplained[result.unexplained["account"].isin(set(mine["account"]))]
        assert days <= set(located["date"])
        said = " ".join(result.findings("en") + held.findings("en"))
        assert "Not ready for sign-off" in said
        assert ("General ledger:" in said) == ("control_amounts" in FAILED[unit])


def test_a_posting_that_left_another_period_shows_in_that_period_too(company, claimed, falsified):
    ledger, _where = falsified
    own = ledger[ledger["unit"] == "retail-uk"].reset_index(drop=True)
    false = revenue_bridge(company, "retail-uk", "2026Q2", ledger=own)
    both = (claimed["retail-uk", "2026Q2"], false)
    assert [found.checks.set_index("check")["passed"]["net_unexplained"] for found in both] == [True, False]
