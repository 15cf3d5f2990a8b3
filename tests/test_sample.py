"""The sample company: the same bytes from the same seed, and a truth that its own files bear out to the cent."""

import dataclasses
import hashlib
import re
import subprocess
import sys
from decimal import Decimal
from itertools import pairwise

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from kpitoolkit import sample, tables
from kpitoolkit.contracts import CONTRACTS
from kpitoolkit.errors import ToolkitError
from kpitoolkit.sample import lift
from kpitoolkit.sample import weeks as sample_weeks
from kpitoolkit.sample.spec import UNITS, half_even, in_foreign_currency, in_unit_currency, spread

SMALL = 0.05
REVENUE = ("4000", "4100", "4110", "4200", "4300", "4400", "4500", "4900")
MARKETING = ("6100", "6110", "6120", "6190")
QUARTERS = ("2025Q3", "2025Q4", "2026Q1", "2026Q2", "2026Q3")
LOOKBACK = pd.Timedelta(days=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    empty = tmp_path_factory.mktemp("sample") / "company"
    empty.mkdir()
    return sample.write(empty, scale=SMALL)


@pytest.fixture(scope="module")
def company(folder):
    block = yaml.safe_load((folder / "data.yml").read_text(encoding="utf-8"))
    workspace = tables.Workspace("sample", "group", "group", block, folder, folder, folder)
    return tables.read(workspace, block)


@pytest.fixture(scope="module")
def truth(folder):
    read = {path.stem: pd.read_csv(path) for path in (folder / "truth").glob("*.csv")}
    return read | {"claims": pd.read_parquet(folder / "truth" / "claims.parquet")}


def fingerprints(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def quarter_of(times):
    return times.dt.to_period("Q").astype(str)


def sums(frame, keys, column):
    return {key: int(cents) for key, cents in frame.groupby(keys)[column].sum().items()}


# Files


def test_another_seed_gives_other_bytes(folder, tmp_path):
    other = fingerprints(sample.write(tmp_path / "other", seed=7, scale=SMALL))
    same = {name for name, print_ in fingerprints(folder).items() if other[name] == print_}
    assert same == {"data.yml", "truth/controls.csv", "truth/evidence.csv"}


def test_at_scale_1_it_is_as_large_as_promised():
    folder = sample.ensure()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 50e6
    orders = pq.read_table(folder / "orders.parquet", columns=["order_time"]).to_pandas()["order_time"]
    a_quarter = quarter_of(orders).value_counts()
    assert a_quarter.between(25_000, 33_000).all() and len(a_quarter) == 6


def test_the_files_come_in_several_dialects(folder):
    ledger = (folder / "prima_nota.csv").read_bytes()
    assert ledger.startswith("Riga;Data registrazione;Trimestre;Società;".encode("cp1252")) and b"\r\n" in ledger
    assert re.search(rb";01/10/2019;2019Q4;retail-it;4000;\d{3},\d\d;EUR;;Vendite del giorno", ledger)
    assert re.search(rb";-?\d{1,3}\.\d{3},\d\d;", ledger)
    assert (folder / "resi.csv").read_bytes().startswith(b"\xef\xbb\xbfN. reso;")
    assert (folder / "customers.csv").read_bytes().startswith(b"\xef\xbb\xbfcustomer_id,unit,")
    assert (folder / "platform_claims.csv").read_bytes().startswith(b"claim_id,unit,platform,")
    assert pq.read_schema(folder / "orders.parquet").field("gross_amount").type == pa.decimal128(18, 2)
    assert openpyxl.load_workbook(folder / "budget_e_cambi.xlsx").sheetnames == ["Obiettivi", "Cambi"]
    assert 'Prìmavera & ""Saldi"" <b>' in (folder / "spesa_pubblicitaria.csv").read_text(encoding="cp1252")


def test_all_tables_keep_their_contracts(company):
    assert set(company) == set(CONTRACTS) - {"financials"}
    assert 'Prìmavera & "Saldi" <b>' in set(company["ad_spend"]["campaign"])


def test_a_folder_in_use_is_left_alone(folder):
    before = fingerprints(folder)
    with pytest.raises(ToolkitError, match="not empty"):
        sample.write(folder, scale=SMALL)
    assert fingerprints(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["company"]


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_must_be_above_zero(tmp_path, scale):
    with pytest.raises(ToolkitError, match="not above 0"):
        sample.write(tmp_path / "none", scale=scale)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("kpitoolkit.sample.files.write_workbook", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sample.write(tmp_path / "half", scale=SMALL)
    assert not list(tmp_path.iterdir())


def test_two_processes_may_ask_at_once_each_writes_the_same_bytes_and_the_cache_is_kept(folder, tmp_path, monkeypatch):
    code = f"from kpitoolkit import sample; print(sample.ensure(scale={SMALL}))"
    monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path))
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    (kept,) = tmp_path.iterdir()
    assert said == {str(kept)} and re.fullmatch(rf"sample-[0-9a-f]{{12}}-{sample.SEED}-{SMALL}", kept.name)
    assert fingerprints(kept) == fingerprints(folder)
    monkeypatch.setattr(sample, "_generate", lambda *_: pytest.fail("generated again"))
    assert sample.ensure(scale=SMALL) == kept


def test_who_comes_second_discards_its_own_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("KPITOOLKIT_CACHE", str(tmp_path))

    def generate(beside, name, seed, scale):
        for made in (beside / name, beside / "mine"):  # somebody else is done first
            made.mkdir()
            (made / "data.yml").touch()
        return beside / "mine"

    monkeypatch.setattr(sample, "_generate", generate)
    assert [sample.ensure()] == list(tmp_path.iterdir())


# What the rows hold


def test_ids_are_unique_and_times_within_their_ranges(company):
    for table, first, last, column in (
        ("orders", "2025-04-01", "2026-09-30", "time"),
        ("touchpoints", "2025-07-01", "2026-09-30", "time"),
        ("platform_claims", "2025-07-01", "2026-09-30", "conversion_time"),
        ("returns", "2025-04-01", "2026-09-30", "date"),
        ("ad_spend", "2019-10-01", "2026-09-30", "date"),
        ("ledger", "2019-10-01", "2026-09-30", "date"),
        ("controls", "2019-10-06", "2026-09-27", "week_end"),
    ):
        days = company[table][column].dt.normalize()
        assert days.between(first, last).all(), table
        assert days.min() - pd.Timestamp(first) < pd.Timedelta(days=12), table
        assert pd.Timestamp(last) - days.max() < pd.Timedelta(days=4), table
    ids = pd.concat([company["orders"]["order_id"], company["returns"]["return_id"], company["ledger"]["line"]])
    assert ids.is_unique
    ledger = company["ledger"]
    assert (ledger["period"] == quarter_of(ledger["date"])).all()


def test_first_orders_are_in_the_orders_and_nobody_buys_before(company):
    orders, customers = company["orders"], company["customers"].set_index("customer_id")
    paid = orders[orders["status"] == "paid"]
    first_paid = paid.groupby("customer_id")["time"].min().dt.normalize()
    stated = customers["first_order_date"].reindex(first_paid.index)
    inside = stated >= "2025-04-01"
    assert (first_paid[inside] == stated[inside]).all()
    assert (stated[~inside] < first_paid[~inside]).all()
    assert inside.any() and (~inside).any()
    assert (customers["first_order_date"] >= "2025-04-01").sum() == inside.sum()
    assert set(orders["customer_id"]) <= set(customers.index)


def test_touchpoints_hold_what_attribution_has_to_face(company):
    touch, orders = company["touchpoints"], company["orders"]
    assert set(touch["channel"]) == {"search", "social", "display", "affiliates", "email", "direct"}
    buyers = set(orders["customer_id"])
    assert 0.2 < (~touch["user_id"].isin(buyers)).mean() < 0.9  # journeys that never convert
    ties = touch.duplicated(["user_id", "time"], keep=False)
    assert 0 < ties.mean() < 0.02
    later = orders[orders["time"] >= "2025-08-01"].sort_values("time")
    last = pd.merge_asof(
        later,
        touch.sort_values("time")
        .rename(columns={"user_id": "customer_id"})[["customer_id", "time", "channel"]]
        .assign(touch=touch.sort_values("time")["time"]),
        on="time",
        by="customer_id",
    )
    unattributed = last["touch"].isna() | (last["time"] - last["touch"] > LOOKBACK)
    assert 0.03 < unattributed.mean() < 0.15
    reached = touch.merge(later[["customer_id", "time"]], left_on="user_id", right_on="customer_id")
    assert (reached["time_y"] - reached["time_x"] > LOOKBACK).any()
    assert (touch["time"] >= "2026-09-20").any()  # journeys still open when the quarter ends


# Money


def test_daily_sales_are_the_paid_orders_of_the_day_but_for_the_planted_errors(company, truth):
    orders, ledger = company["orders"], company["ledger"]
    paid = orders[orders["status"] == "paid"]
    net = paid["gross_cents"] - paid["vat_cents"] - paid["shipping_cents"] - paid["discount_cents"]
    by_day = net.groupby([paid["unit"], paid["time"].dt.normalize()]).sum().rename_axis(["unit", "date"])
    sales = ledger[(ledger["account"] == "4000") & (ledger["date"] >= "2025-04-01")]
    difference = sales.set_index(["unit", "date"])["amount_cents"] - by_day
    wrong = difference[difference != 0].reset_index(name="cents")
    planted = truth["orders_to_ledger"].query("step == 'unexplained'").set_index("row_id")["amount_cents"]
    lines = wrong.merge(sales, on=["unit", "date"]).set_index("line")["cents"]
    assert len(lines) == 3
    assert lines.to_dict() == planted[planted.index.isin(sales["line"])].to_dict()


def test_weekly_sales_are_the_generated_series(company, truth):
    ledger, baseline = company["ledger"], truth["baseline"]
    sales = ledger[ledger["account"] == "4000"]
    week = sales["date"] + pd.to_timedelta(6 - sales["date"].dt.day_of_week, unit="D")
    weekly = sales["amount_cents"].groupby([sales["unit"], week]).sum()
    expected = baseline.assign(week_end=pd.to_datetime(baseline["week_end"]))
    expected = expected.set_index(["unit", "week_end"])["revenue_cents"]
    difference = weekly.reindex(expected.index, fill_value=0) - expected
    assert (difference != 0).sum() == 3  # two planted errors in retail-it, one in retail-uk
    assert len(expected) == 4 * 364
    parts = baseline.drop(columns=["unit", "week_end", "revenue_cents"]).sum(axis=1)
    assert (parts == baseline["revenue_cents"]).all()


def test_contributions_follow_the_stated_response(company, truth):
    """A second way: adstock by its definition, week by week, from the spend in the files."""
    spend = company["ad_spend"]
    spend = spend[(spend["unit"] == "retail-it") & (spend["platform"] == "tv")]
    week = (spend["date"] - pd.Timestamp("2019-09-30")).dt.days // 7
    weekly = np.bincount(week, spend["spend_cents"].astype(float), minlength=366)
    response = truth["response"].query("unit == 'retail-it' and channel == 'tv'").iloc[0]
    window = weekly[209:365]
    assert window.sum() == response["spend_cents"]
    pressure = []
    for t in range(209, 365):
        weights = [response["carryover"] ** lag for lag in range(13)]
        pressure.append(sum(w * weekly[t - lag] for lag, w in enumerate(weights)) / sum(weights))
    x = np.array(pressure) / window[window > 0].mean()
    curve = x / (x + response["half_saturation"])
    expected = response["iroas"] * window.sum() * curve / curve.sum()
    found = truth["baseline"].query("unit == 'retail-it'")["tv_cents"].to_numpy()[-156:]
    assert np.abs(found - expected).max() < 1
    iroas = truth["response"]["contribution_cents"] / truth["response"]["spend_cents"]
    assert np.allclose(iroas, truth["response"]["iroas"], atol=2e-3)


def test_lift_tests_measure_what_the_weeks_truly_brought(company, truth):
    """A second way: the stated response with the test's spend and without it, week by week from the files."""
    spend, response = company["ad_spend"], truth["response"].set_index(["unit", "channel"])
    for test, true in zip(company["lift_tests"].itertuples(), truth["lift_tests"].itertuples(), strict=True):
        assert (test.unit, test.channel) == (true.unit, true.channel)
        known = response.loc[(test.unit, test.channel)]
        mine = spend[(spend["unit"] == test.unit) & (spend["platform"] == test.channel)]
        days = (
            mine.groupby("date")["spend_cents"].sum().reindex(pd.date_range("2019-09-30", "2026-09-27"), fill_value=0)
        )
        tested = days.loc[test.first_day : test.last_day].sum()
        assert tested == true.spend_cents

        def reached(days, known=known):
            weekly = days.to_numpy(dtype=float).reshape(-1, 7).sum(axis=1)
            weights = known["carryover"] ** np.arange(13) / sum(known["carryover"] ** lag for lag in range(13))
            x = np.array([sum(w * weekly[t - lag] for lag, w in enumerate(weights) if t >= lag) for t in range(365)])
            x /= known["mean_active_spend_cents"]
            return x / (x + known["half_saturation"])

        gone = days.copy()
        gone.loc[test.first_day : test.last_day] = 0
        ceiling = known["iroas"] * known["spend_cents"] / reached(days)[-156:].sum()
        lift = ceiling * (reached(days) - reached(gone)).sum()
        assert lift == pytest.approx(true.lift_cents, rel=1e-4)
        assert lift / tested == pytest.approx(true.iroas, rel=1e-4)
        assert test.low < test.iroas < test.high and abs(np.log(test.iroas / true.iroas)) < 2 * true.log_sd
        assert np.log(test.high / test.low) == pytest.approx(2 * 1.6449 * true.log_sd, abs=0.01)


def test_lift_tests_draw_on_chance_of_their_own(folder, tmp_path, monkeypatch):
    moved = [dataclasses.replace(test, log_sd=0.3) for test in lift.TESTS]
    monkeypatch.setattr(lift, "TESTS", moved[::-1])
    other, ours = fingerprints(sample.write(tmp_path / "other", scale=SMALL)), fingerprints(folder)
    assert {name for name in ours if ours[name] != other[name]} == {"lift_tests.csv", "truth/lift_tests.csv"}


def test_the_revenue_bridge_leads_from_claims_to_the_ledger(company, truth):
    totals = truth["bridge_totals"].set_index(["unit", "quarter", "step"])["amount_cents"]
    ledger = company["ledger"]
    booked = sums(ledger[ledger["account"].isin(REVENUE)], ["unit", "period"], "amount_cents")
    for unit in ("retail-it", "online-eu", "b2b", "retail-uk"):
        for quarter in QUARTERS:
            steps = totals.xs((unit, quarter))
            names = list(steps.index)
            marks = [names.index(n) for n in ("claimed", "matched_gross", "gross_orders", "computed_net")]
            marks.append(names.index("ledger_revenue"))
            for start, end in pairwise(marks):
                assert steps.iloc[start:end].sum() == steps.iloc[end], (unit, quarter, names[end])
            assert steps["ledger_revenue"] == booked[unit, quarter]
    assert totals["retail-it", "2026Q3", "unexplained"] == 32_000
    assert (totals.xs("unexplained", level="step")["b2b"] == 0).all()


def test_planted_rows_sum_to_the_totals(truth):
    for rows, totals in (("orders_to_ledger", "bridge_totals"), ("spend_to_ledger", "spend_totals")):
        keys = ["unit", "quarter", "step"]
        by_rows = sums(truth[rows], keys, "amount_cents")
        stated = {tuple(key): cents for *key, cents in truth[totals][[*keys, "amount_cents"]].itertuples(index=False)}
        assert {key: stated[key] for key in by_rows} == by_rows
        planted = {step for _, _, step in by_rows}
        assert all(cents == 0 for key, cents in stated.items() if key[2] in planted and key not in by_rows)
    assert {step for step in truth["spend_totals"]["step"]} - {step for step in truth["spend_to_ledger"]["step"]} == {
        "platform_spend",
        "computed_marketing_cost",
        "ledger_marketing",
    }
    unexplained = truth["orders_to_ledger"].query("unit == 'retail-it' and step == 'unexplained'")["amount_cents"]
    assert len(unexplained) == 4 and unexplained.sum() == 32_000 and unexplained.abs().sum() == 152_800


def test_the_steps_below_gross_orders_are_in_the_rows(company, truth):
    """Each step once more from the tables, as finance would add it up."""
    orders, returns, ledger = company["orders"], company["returns"], company["ledger"]
    net = orders["gross_cents"] - orders["vat_cents"] - orders["shipping_cents"] - orders["discount_cents"]
    orders = orders.assign(net=net, placed=quarter_of(orders["time"]), earned=quarter_of(orders["recognition_date"]))
    orders["own"] = orders["net"] - orders["supplier_share_cents"]
    paid = orders[orders["status"] == "paid"]
    moved = paid[paid["earned"] > paid["placed"]]
    assert (paid["recognition_date"] >= paid["time"].dt.normalize()).all()
    assert orders.loc[orders["status"] == "cancelled", "recognition_date"].isna().all()
    steps = {
        "vat": sums(orders, ["unit", "placed"], "vat_cents"),
        "shipping": sums(orders, ["unit", "placed"], "shipping_cents"),
        "discounts": sums(orders, ["unit", "placed"], "discount_cents"),
        "cancellations": sums(orders[orders["status"] == "cancelled"], ["unit", "placed"], "net"),
        "returns": sums(returns.assign(quarter=quarter_of(returns["date"])), ["unit", "quarter"], "amount_cents"),
        "cut_off_out": sums(moved, ["unit", "placed"], "own"),
        "principal_agent": sums(paid, ["unit", "placed"], "supplier_share_cents"),
    }
    signed = {step: {key: -cents for key, cents in found.items()} for step, found in steps.items()}
    signed["cut_off_in"] = sums(moved, ["unit", "earned"], "own")
    for step, account in (
        ("returns_provision", "4110"),
        ("deferred", "4300"),
        ("intercompany", "4500"),
        ("manual_journals", "4900"),
    ):
        signed[step] = sums(ledger[ledger["account"] == account], ["unit", "period"], "amount_cents")
    totals = truth["bridge_totals"]
    for step, found in signed.items():
        stated = totals[totals["step"] == step].set_index(["unit", "quarter"])["amount_cents"]
        assert {key: found.get(key, 0) for key in stated.index} == stated.to_dict(), step
    assert set(returns["order_id"]) <= set(paid["order_id"])
    retail = totals[totals["unit"] != "b2b"]
    for step in ("cut_off_out", "cut_off_in", "returns", "cancellations"):
        assert (retail.loc[retail["step"] == step, "amount_cents"] != 0).all()


def test_every_claim_has_the_cause_that_the_rules_give(company, truth):
    """The definition applied claim by claim, in plain Python, against the causes as they were planted."""
    claims = company["platform_claims"].merge(truth["claims"], on=["claim_id", "unit"], validate="1:1")
    orders = company["orders"].set_index("order_id")
    causes = {}
    for (unit, quarter), group in claims.groupby(["unit", "quarter"]):
        eligible = {}
        for row in group.itertuples():
            known = isinstance(row.order_id, str) and row.order_id in orders.index
            if not known or orders.at[row.order_id, "unit"] != unit:
                causes[row.claim_id] = "no_matching_order"
            elif row.conversion_time - row.touch_time > LOOKBACK:
                causes[row.claim_id] = "outside_lookback"
            elif row.kind == "view":
                causes[row.claim_id] = "view_through"
            else:
                key = (row.conversion_time - row.touch_time, row.platform, row.claim_id)
                eligible.setdefault(row.order_id, []).append(key)
        for order_id, found in eligible.items():
            (_, platform, credited), *others = sorted(found)
            placed = orders.at[order_id, "time"]
            now = f"{placed.year}Q{placed.quarter}" == quarter
            causes[credited] = "matched" if now else "other_period"
            for _, other, claim_id in others:
                causes[claim_id] = f"duplicate_{'within' if other == platform else 'across'}_platform" + (
                    "s" if other != platform else ""
                )
    assert causes == dict(zip(claims["claim_id"], claims["cause"], strict=True))
    assert set(causes.values()) == {
        "matched",
        "no_matching_order",
        "outside_lookback",
        "view_through",
        "duplicate_within_platform",
        "duplicate_across_platforms",
        "other_period",
    }
    assert (claims["quarter"] == quarter_of(claims["conversion_time"])).all()


def test_the_amounts_of_claims_follow_from_their_values_and_rates(company, truth):
    claims = company["platform_claims"].merge(truth["claims"], on=["claim_id", "unit"])
    rates = company["fx_rates"].set_index(["quarter", "currency"])["rate"]
    currency = {unit.key: unit.currency for unit in UNITS}
    foreign = claims[claims["currency"] != claims["unit"].map(currency)]
    assert set(foreign["unit"]) == {"online-eu", "retail-uk"} and set(foreign["currency"]) == {"USD"}
    for row in foreign.head(400).itertuples():
        rate = [Decimal(str(rates[row.quarter, name])) for name in ("USD", currency[row.unit])]
        converted = int((int(row.value_cents) * rate[0] / rate[1]).quantize(Decimal(1), "ROUND_HALF_EVEN"))
        assert row.currency_cents == converted - row.value_cents
    converted = claims["value_cents"] + claims["currency_cents"]
    matched = claims["cause"] == "matched"
    gross = claims["order_id"].map(company["orders"].set_index("order_id")["gross_cents"])
    assert (claims.loc[~matched, "cause_cents"] == -converted[~matched]).all()
    assert (claims.loc[matched, "mismatch_cents"] == (gross - converted)[matched]).all()
    assert (claims.loc[matched, "cause_cents"] == 0).all() and (claims.loc[~matched, "mismatch_cents"] == 0).all()
    totals = truth["bridge_totals"].set_index(["step", "unit", "quarter"])["amount_cents"]
    assert sums(claims, ["unit", "quarter"], "value_cents") == totals["claimed"].to_dict()
    assert sums(claims, ["unit", "quarter"], "mismatch_cents") == totals["value_mismatch"].to_dict()


def test_the_spend_bridge_leads_from_platforms_to_the_ledger(company, truth):
    spend, invoices, ledger = company["ad_spend"], company["invoices"], company["ledger"]
    totals = truth["spend_totals"].set_index(["unit", "quarter", "step"])["amount_cents"]
    face = sums(spend.assign(quarter=quarter_of(spend["date"])), ["unit", "quarter"], "spend_cents")
    invoices = invoices.assign(
        dated=quarter_of(invoices["date"]), served=quarter_of(pd.to_datetime(invoices["service_month"] + "-01"))
    )
    services = sums(invoices, ["unit", "served"], "net_cents")
    dated = sums(invoices, ["unit", "dated"], "net_cents")
    booked = sums(ledger[ledger["account"].isin(MARKETING)], ["unit", "period"], "amount_cents")
    accruals = sums(ledger[ledger["account"] == "6190"], ["unit", "period"], "amount_cents")
    for unit in ("retail-it", "online-eu", "b2b", "retail-uk"):
        for quarter in QUARTERS:
            steps = totals.xs((unit, quarter))
            assert steps["platform_spend"] == face[unit, quarter]
            assert steps.iloc[:6].sum() == services[unit, quarter]
            assert steps.iloc[:7].sum() == dated[unit, quarter]
            assert steps["accruals"] == accruals[unit, quarter]
            assert steps.iloc[:8].sum() == steps["computed_marketing_cost"]
            assert steps["ledger_marketing"] == booked[unit, quarter]
    unexplained = totals.xs("unexplained", level="step")
    assert unexplained[unexplained != 0].to_dict() == {("online-eu", "2026Q3"): 12_500}
    vat = totals.xs("vat", level="step")
    assert set(vat[vat != 0].index.get_level_values("unit")) == {"retail-it"}


def test_vat_inside_a_platforms_spend_comes_off_row_by_row(company, truth):
    spend = company["ad_spend"]
    social = spend[(spend["unit"] == "retail-it") & (spend["platform"] == "social")]
    social = social.loc[quarter_of(social["date"]) == "2026Q3", "spend_cents"].astype(int).tolist()
    net = [int((Decimal(cents) / Decimal("1.22")).quantize(Decimal(1), "ROUND_HALF_EVEN")) for cents in social]
    vat = sum(social) - sum(net)
    stated = truth["spend_totals"].query("unit == 'retail-it' and quarter == '2026Q3' and step == 'vat'")
    assert stated["amount_cents"].item() == -vat


def test_units_roll_up_to_the_group_to_the_cent(company):
    ledger = company["ledger"]
    rates = company["fx_rates"].set_index(["quarter", "currency"])["rate"]
    for quarter in QUARTERS:
        mine = ledger[ledger["period"] == quarter]
        total = mine.loc[mine["account"] == "4950", "amount_cents"].sum()
        for unit in UNITS:
            own = mine[(mine["unit"] == unit.key) & mine["account"].isin(REVENUE)]
            rate = Decimal(str(rates[quarter, unit.currency]))
            total += int((int(own["amount_cents"].sum()) * rate).quantize(Decimal(1), "ROUND_HALF_EVEN"))
            inside = own[own["counterparty_unit"].notna()]
            assert unit.currency == "EUR" or inside.empty
            assert set(inside["account"]) <= {"4500"}
            total -= int(inside["amount_cents"].sum())
        assert mine.loc[mine["account"] == "4990", "amount_cents"].tolist() == [total]
    group = ledger[ledger["unit"] == "group"]
    assert set(group["account"]) == {"4950", "4990"} and set(group["currency"]) == {"EUR"}


def test_the_company_makes_sense(company):
    """Positive margins, costs of acquisition below what customers bring, customers who come back."""
    ledger, orders = company["ledger"], company["orders"]
    now = ledger[ledger["period"] == "2026Q3"]
    now = now.pivot_table(index="unit", columns="account", values="amount_cents", aggfunc="sum", fill_value=0)
    units = [unit.key for unit in UNITS]
    revenue, marketing = now.loc[units, list(REVENUE)].sum(axis=1), now.loc[units, list(MARKETING)].sum(axis=1)
    margin = (revenue - now.loc[units, "5000"] - marketing) / revenue
    assert margin.between(0.15, 0.55).all()
    retail = [unit for unit in units if unit != "b2b"]
    assert (marketing / revenue)[retail].between(0.08, 0.25).all()
    paid = orders[orders["status"] == "paid"].assign(quarter=lambda o: quarter_of(o["time"]))
    active = paid.groupby(["unit", "quarter"])["customer_id"].agg(set)
    for unit in units:
        before, after = active[unit, "2026Q2"], active[unit, "2026Q3"]
        assert 0.15 < len(before & after) / len(before) < 0.85


def test_targets_are_agreed_for_this_quarter_and_last_year(company):
    targets = company["targets"]
    assert set(targets["quarter"]) == {"2025Q3", "2026Q3"}
    assert set(targets["unit"]) == {unit.key for unit in UNITS} | {"group"}
    assert (targets.groupby(["unit", "quarter"])["kpi"].nunique() == 8).all()
    assert set(targets.loc[targets["version"] == 2, "kpi"]) == {"revenue"}


# Arithmetic


def test_spread_keeps_totals_and_gives_cents_to_the_largest_remainders():
    group = np.array([0, 0, 0, 1, 1])
    cents = spread(np.array([100, 7]), group, np.array([1.0, 1.0, 1.0, 3.0, 1.0]))
    assert cents.tolist() == [34, 33, 33, 5, 2]


def test_half_even_and_the_way_there_and_back():
    assert half_even(np.array([5, 15, 25, -5, -15, 26]), 10).tolist() == [0, 2, 2, 0, -2, 3]
    cents = np.arange(1, 40_000)
    face = in_foreign_currency(cents, 8569, 10_000)
    back = in_unit_currency(face, 8569, 10_000)
    assert np.abs(back - cents).max() <= 1
    assert not ((2 * face * 8569) % 20_000 == 10_000).any()  # never on half a cent


def test_adstock_by_hand():
    spend = np.zeros(20)
    spend[0] = 1.0
    weights = 0.5 ** np.arange(13)
    assert np.allclose(sample_weeks.adstock(spend, 0.5)[:13], weights / weights.sum())
    assert (sample_weeks.adstock(spend, 0.5)[13:] == 0).all()
