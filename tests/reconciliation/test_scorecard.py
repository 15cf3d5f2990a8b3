"""Scorecard, drivers, roll-up, mix and reclassification: by hand, and on the Netflix facts."""

from fractions import Fraction
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit import errors, pages, parameters, tables
from kpitoolkit.pages import summary
from kpitoolkit.reconciliation import (
    catalogue,
    drivers,
    kinds,
    measures,
    mix,
    reclassification,
    rollup,
    scorecard,
    sections,
)

CATALOGUE = catalogue.read(Path(__file__).parents[2] / "parameters" / "kpis.yml")
SEGMENTS = ("Domestic Streaming", "International Streaming", "Domestic DVD")
SAMPLE_TABLES = {"ledger", "orders", "customers", "ad_spend", "platform_claims"}


@pytest.fixture(scope="module")
def financials():
    place = parameters.workspace("netflix-2017Q3", "group", "netflix")
    return tables.read(place, ["financials"])


@pytest.fixture(scope="module")
def segments(financials):
    return {unit: measures.compute(financials, "USD", "USD", unit_in_data=unit, basis="2014-2018") for unit in SEGMENTS}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def table(currency="EUR", **values):
    rows = [(name, quarter, value) for name, by_quarter in values.items() for quarter, value in by_quarter.items()]
    frame = pd.DataFrame(rows, columns=["measure", "quarter", "value"]).astype({"value": float})
    frame["status"] = frame["value"].isna().map({True: "no_figure", False: "ok"})
    frame["value_unit"] = [kinds.MEASURES[name].value_unit for name in frame["measure"]]
    return frame.assign(currency=[currency if unit == "money" else "" for unit in frame["value_unit"]])


NOW, THEN = "2026Q3", "2025Q3"
SAMPLE = table(
    revenue={THEN: 1_000_000_00, NOW: 1_100_000_00},
    cost_of_sales={THEN: 600_000_00, NOW: 640_000_00},
    marketing_cost={THEN: 90_000_00, NOW: 120_000_00},
    media_cost={THEN: 80_000_00, NOW: 100_000_00},
    agency_fees={THEN: 10_000_00, NOW: 20_000_00},
    rebates={THEN: 0, NOW: 0},
    marketing_accruals={THEN: 0, NOW: 0},
    acquisition_salaries={THEN: 9_000_00, NOW: 9_000_00},
    acquisition_tools={THEN: 1_000_00, NOW: 1_000_00},
    media_spend={THEN: 85_000_00, NOW: 105_000_00},
    claimed_conversions={THEN: 900, NOW: 1500},
    claimed_value={THEN: 500_000_00, NOW: 800_000_00},
    claims_without_order={THEN: 100, NOW: 200},
    duplicate_claims={THEN: 200, NOW: 300},
    claims_of_repeat_orders={THEN: 200, NOW: 300},
    unclaimed_first_orders={THEN: 100, NOW: 100},
    new_customers={THEN: 500, NOW: 800},
    orders={THEN: 10_000, NOW: 11_000},
    gross_orders={THEN: 1_300_000_00, NOW: 1_400_000_00},
    active_customers={THEN: 6_000, NOW: 6_200},
)
TARGETS = pd.DataFrame(
    {
        "unit": ["it", "it", "it", "other", "it"],
        "quarter": [NOW] * 4 + [THEN],
        "kpi": ["revenue", "revenue", "cac", "cac", "cac"],
        "version": [1, 2, 1, 9, 3],
        "value": [1_000_000.0, 1_200_000.0, 250.0, 1.0, 2.0],
    }
)


def card_of(**options):
    return scorecard.scorecard(CATALOGUE, SAMPLE, NOW, SAMPLE_TABLES, "EUR", TARGETS, "it", **options)


def test_scorecard_by_hand():
    rows = card_of().table.set_index(["kpi", "basis"])
    cac = rows.loc[("cac", "finance")]
    assert cac["actual"] == pytest.approx(130_000_00 / 800) and cac["last_year"] == pytest.approx(100_000_00 / 500)
    assert cac["target"] == 250_00 and cac["variance"] == pytest.approx(162_50 - 250_00)
    assert cac["attainment"] == pytest.approx(1 + (250 - 162.5) / 250)
    assert rows.loc[("cac", "marketing"), "actual"] == pytest.approx(105_000_00 / 1500)
    assert pd.isna(rows.loc[("cac", "marketing"), "target"])
    assert rows.loc[("revenue", "finance"), "target"] == 1_200_000_00
    assert rows.loc[("revenue_growth", "finance"), "actual"] == pytest.approx(0.10)
    assert rows.loc[("retention", "finance"), "status"] == "no_figure"
    assert pd.isna(rows.loc[("retention", "finance"), "actual"])


def test_a_target_for_no_kpi_is_said():
    targets = pd.concat([TARGETS, TARGETS.head(1).assign(kpi="revenu")])
    card = scorecard.scorecard(CATALOGUE, SAMPLE, NOW, SAMPLE_TABLES, "EUR", targets, "it")
    assert card.unknown_targets == ("revenu",)
    assert any("revenu" in sentence for sentence in card.findings("en"))


def test_attainment_knows_the_direction():
    assert scorecard.attainment(110, 100, 1) == pytest.approx(1.1)
    assert scorecard.attainment(110, 100, -1) == pytest.approx(0.9)
    assert scorecard.attainment(-50, -100, 1) == pytest.approx(1.5)
    assert scorecard.attainment(1, 0, 1) is None and scorecard.attainment(None, 1, 1) is None


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_page_can_show_it(language):
    card = card_of()
    assert set(card.formats) >= set(card.shown(language).columns) - {"basis"}
    assert len(card.findings(language)) >= 2
    card.plot(language=language)


def test_drivers_add_up_to_the_change_and_name_what_is_left_over():
    moves = drivers.drivers(CATALOGUE, SAMPLE, NOW, SAMPLE_TABLES, "EUR")
    sums = moves.table.groupby(["kpi", "decomposition"])["contribution"].sum()
    assert sums["revenue", "by_orders"] == 100_000_00
    assert sums["contribution_margin", "by_line"] == 30_000_00
    assert sums["cac", "by_line"] == pytest.approx(162_50 - 200_00)
    rest = moves.table.query("decomposition == 'by_orders' and driver == 'gross_to_booked'")["contribution"]
    assert rest.tolist() == [(1_100_000_00 - 1_400_000_00) - (1_000_000_00 - 1_300_000_00)]
    assert ("revenue", "by_total_members") not in moves.bridges
    assert set(moves.table["from_quarter"]) == {THEN} and set(moves.table["to_quarter"]) == {NOW}


def test_the_basis_bridge_of_cac_closes_from_marketing_to_finance():
    found = drivers.basis_bridges(CATALOGUE, SAMPLE, NOW, SAMPLE_TABLES, "EUR")
    amounts = found.table[found.table["kpi"] == "cac"]["amount"].tolist()
    assert amounts[0] == pytest.approx(70_00) and amounts[-1] == pytest.approx(162_50)
    assert sum(amounts[1:-1]) == pytest.approx(92_50)
    steps = found.table[found.table["kpi"] == "cac"].set_index("step")["amount"]
    assert steps["duplicate_claims"] > 0 > steps["unclaimed_first_orders"]


def test_checks_hold_and_fail():
    card, moves = card_of(), drivers.drivers(CATALOGUE, SAMPLE, NOW, SAMPLE_TABLES, "EUR")
    theirs = pd.DataFrame(
        {
            "check": ["net_unexplained", "absent"],
            "value_cents": [-7, None],
            "threshold_cents": [5, 5],
            "passed": [False, None],
        }
    )
    found = scorecard.checks(card, moves, measures.at(SAMPLE, NOW), claimed=theirs, spend=theirs)
    assert found["check"].tolist()[-4:] == ["net_unexplained", "absent", "spend_net_unexplained", "spend_absent"]
    assert found["passed"].tolist()[-4:] == [False, pd.NA, False, pd.NA]
    assert found["passed"].iloc[:-4].all() and len(found) > 4
    printed = measures.at(SAMPLE, NOW) | {"contribution_margin": 340_000_01}
    assert not scorecard.checks(card, moves, printed).set_index("check").loc["printed_contribution_margin", "passed"]


def test_what_was_not_examined_stays_a_row_that_neither_passed_nor_failed(tmp_path):
    card, moves = card_of(), drivers.drivers(CATALOGUE, SAMPLE, NOW, SAMPLE_TABLES, "EUR")
    nothing = pd.DataFrame({"check": ["net_unexplained", "gross_unexplained", "matched_gross_again"]})
    nothing = nothing.assign(value_cents=None, threshold_cents=[None, None, 0], passed=None)
    found = scorecard.checks(card, moves, measures.at(SAMPLE, NOW), claimed=nothing)
    assert found["passed"].isna().sum() == 3 and found["passed"].sum() == len(found) - 3
    shown = scorecard.checks_shown(found)
    assert shown["passed"].tolist()[-4:] == [True, *["not_examined"] * 3]
    written = pages.table(shown, "it").plain.splitlines()
    assert written[-1].endswith("non esaminato") and written[-4].endswith("sì")
    place = parameters.workspace("sample-2026Q3", "retail-it", save_dir=str(tmp_path))
    tables.save(found, place, "reconciliation", "checks")
    back = pd.read_parquet(tmp_path / "tables" / "reconciliation_checks.parquet")
    assert summary.marks(back, "en") == []
    said = summary.unexplained(back, card.table, "en", "EUR")
    assert said[0] == "– Net unexplained; gross unexplained, whatever the sign: not tested, for want of data."
    agreed = [sentence for sentence in said if sentence.startswith("✓ Subtotals")]
    tested = len(found) - 3
    assert agreed == [f"✓ Subtotals that agree with a second computation to the cent: {tested} of {tested}."]


def test_a_check_of_rows_is_written_as_rows_and_not_as_money():
    card, moves = card_of(), drivers.drivers(CATALOGUE, SAMPLE, NOW, SAMPLE_TABLES, "EUR")
    counted = pd.DataFrame({"check": ["control_rows"], "value_cents": [300], "threshold_cents": [0]})
    found = scorecard.checks(card, moves, {}, controls=counted.assign(value_unit="count"))
    assert found["value_unit"].tolist() == ["money"] * (len(found) - 1) + ["count"]
    formats = scorecard.checks_formats(found)
    assert pages.table(scorecard.checks_shown(found), "en", formats).plain.splitlines()[-1].split()[-3:-1] == [
        "300",
        "0",
    ]
    said = summary.unexplained(found, card.table, "en", "EUR")
    assert any("300; none may remain" in sentence for sentence in said)
    assert scorecard.checks_formats(found.head(1)) == {}


def test_a_money_kpi_on_the_marketing_basis_only_is_checked_on_that_basis():
    claimed = CATALOGUE["revenue"].model_copy(
        update={
            "formula": catalogue.Formulas(marketing="claimed_value"),
            "drivers": {"value_of_claim": "claimed_value / claimed_conversions"},
            "decompositions": {"by_claims": catalogue.Decomposition(formula="claimed_conversions * value_of_claim")},
        }
    )
    only = CATALOGUE.model_copy(update={"kpis": [claimed]})
    card = scorecard.scorecard(only, SAMPLE, NOW, SAMPLE_TABLES, "EUR")
    moves = drivers.drivers(only, SAMPLE, NOW, SAMPLE_TABLES, "EUR")
    found = scorecard.checks(card, moves, measures.at(SAMPLE, NOW)).set_index("check")
    assert found.loc["by_claims", "value_cents"] == 0 and found.loc["by_claims", "passed"]


SHIPPED_BY_HAND = [
    ("mer", {"revenue": {NOW: 900_00}, "marketing_cost": {NOW: 200_00}}, 4.5),
    ("retention", {"retained_customers": {NOW: 30}, "active_customers": {"2026Q2": 120, NOW: 40}}, 0.25),
    ("revenue_growth", {"revenue": {THEN: 200_00, "2026Q2": 400_00, NOW: 250_00}}, 0.25),
]


@pytest.mark.parametrize(("kpi", "values", "figure"), SHIPPED_BY_HAND)
def test_shipped_formulas_by_hand(kpi, values, figure):
    value, status = CATALOGUE[kpi].value("finance", measures.at(table(**values), NOW))
    assert (value, status) == (figure, "ok")


def test_a_cost_below_its_target_is_more_than_attained_and_a_negative_target_keeps_the_sign():
    assert scorecard.attainment(80, 100, -1) == pytest.approx(1.2)
    assert scorecard.attainment(-80, -100, 1) == pytest.approx(1.2)
    assert scorecard.attainment(-120, -100, -1) == pytest.approx(1.2)


UNITS = {
    "a": table(revenue={NOW: 5_000_000_00}, intercompany_revenue={NOW: 250_000_00}),
    "b": table(revenue={NOW: 3_000_000_00}, intercompany_revenue={NOW: 0}),
    "c": table("GBP", revenue={NOW: 2_000_000_00}, intercompany_revenue={NOW: 0}),
}
RATES = pd.DataFrame({"quarter": [NOW], "currency": ["GBP"], "rate": [1.17]})


def stated(**values):
    return pd.DataFrame({"measure": list(values), "quarter": NOW, "value": list(values.values())})


@pytest.mark.parametrize(
    ("promoters", "light", "said"),
    [
        (60, "green", "1 of 1 targets is reached."),
        (5, "red", "0 of 1 targets are reached. Farthest from it: Net promoter score (NPS), −30.00 against 0.00."),
        (36, "grey", "0 of 1 targets are reached."),
    ],
)
def test_a_target_of_zero_is_judged_though_no_share_of_it_is_attained(promoters, light, said):
    found = table(
        **{
            f"nps_{name}": {NOW: n}
            for name, n in zip(("promoters", "detractors", "answers"), (promoters, 35, 100), strict=True)
        }
    )
    targets = pd.DataFrame({"unit": ["it"], "quarter": [NOW], "kpi": ["nps"], "value": [0.0], "version": [1]})
    card = scorecard.scorecard(CATALOGUE, found, NOW, {"surveys"}, "EUR", targets, "it")
    row = card.table.set_index("kpi").loc["nps"]
    assert row["light"] == light and pd.isna(row["attainment"])
    assert said in card.findings("en")
    assert len(card.findings("it")) == len(card.findings("en")) and len(card.shown("it"))


def test_a_target_that_is_met_to_the_cent_is_reached():
    """4.35 is no binary number: 100 times it lies under 435 cents."""
    costs = {"marketing_cost": 435_00, "acquisition_salaries": 0, "acquisition_tools": 0, "new_customers": 100}
    found = table(**{name: {NOW: value} for name, value in costs.items()})
    targets = pd.DataFrame({"unit": ["it"], "quarter": [NOW], "kpi": ["cac"], "value": [4.35], "version": [1]})
    card = scorecard.scorecard(CATALOGUE, found, NOW, SAMPLE_TABLES, "EUR", targets, "it")
    row = card.table.set_index(["kpi", "basis"]).loc[("cac", "finance")]
    assert row["light"] == "green" and "1 of 1 targets is reached." in card.findings("en")


def test_units_add_up_to_the_group_with_currency_and_intercompany():
    found = rollup.roll_up(UNITS, NOW, "EUR", RATES, stated(revenue=10_090_000_00))
    assert found.status == "ok"
    steps = found.table.set_index("step")["amount_cents"]
    assert steps["c"] == 2_340_000_00 and steps["intercompany"] == -250_000_00
    assert steps["computed_revenue"] == steps["group_revenue"] == 10_090_000_00 and steps["unexplained"] == 0
    found = rollup.roll_up(UNITS, NOW, "EUR", RATES, stated(revenue=10_090_000_17, consolidation=12))
    assert found.table.set_index("step")["amount_cents"]["unexplained"] == 5
    assert "Unexplained" in found.findings("en")[0]


def test_a_missing_unit_makes_the_group_partial_and_is_not_compared():
    found = rollup.roll_up(UNITS | {"b": None}, NOW, "EUR", RATES, stated(revenue=10_090_000_00))
    assert found.status == "partial" and found.missing_units == ("b",)
    assert "unexplained" not in set(found.table["step"]) and "group_revenue" not in set(found.table["step"])
    assert found.table.set_index("step")["kind"]["b"] == "not_examined"
    assert "b missing" in found.findings("en")[0]
    card = scorecard.scorecard(CATALOGUE, found.measures, NOW, {"ledger"}, "EUR", missing_units=found.missing_units)
    assert card.table.set_index("kpi")["status"]["revenue"] == "partial"
    wanted = pd.DataFrame({"unit": ["group"], "quarter": NOW, "kpi": "revenue", "version": 1, "value": 12e6})
    told = {"targets": wanted, "unit_in_data": "group", "missing_units": found.missing_units}
    row = scorecard.scorecard(CATALOGUE, found.measures, NOW, {"ledger"}, "EUR", **told).table.iloc[0]
    assert row["light"] == "white" and pd.isna(row["attainment"]) and pd.isna(row["variance"])


def test_a_missing_rate_gives_no_figure_never_one():
    found = rollup.roll_up(UNITS, NOW, "EUR", RATES.head(0))
    assert found.status == "no_figure" and len(found.table) == 0
    assert measures.at(found.measures, NOW)["revenue"] is None
    found.plot()


def test_a_quarter_before_the_groups_own_books_has_no_group_revenue():
    units = {"a": table(revenue={THEN: 90_00, NOW: 100_00}), "b": table(revenue={THEN: 10_00, NOW: 10_00})}
    found = rollup.roll_up(units, NOW, stated=stated(revenue=105_00, consolidation=-5_00))
    values = measures.at(found.measures, NOW)
    assert values["revenue"] == 105_00 and values["revenue_year_ago"] is None
    assert measures.at(rollup.roll_up(units, NOW).measures, NOW)["revenue_year_ago"] == 100_00


def test_ratios_of_the_group_are_computed_again_and_customers_counted_once():
    units = {
        "a": table(revenue={NOW: 100_00}, marketing_cost={NOW: 50_00}, active_customers={NOW: 5}),
        "b": table(revenue={NOW: 900_00}, marketing_cost={NOW: 90_00}, active_customers={NOW: 5}),
    }
    found = rollup.roll_up(units, NOW, distinct=table(active_customers={NOW: 7}, orders={NOW: 99}))
    values = measures.at(found.measures, NOW)
    assert values["active_customers"] == 7 and values["orders"] is None
    card = scorecard.scorecard(CATALOGUE, found.measures, NOW, {"ledger"}, "EUR").table.set_index("kpi")
    assert card["actual"]["marketing_intensity"] == pytest.approx(0.14)


def test_a_customer_of_two_units_does_not_break_the_groups_definitions():
    at_now = measures.at(SAMPLE, NOW)
    shared = table(new_customers={NOW: 2 * at_now["new_customers"] - 1})
    found = rollup.roll_up({"a": SAMPLE, "b": SAMPLE}, NOW, distinct=shared)
    card = scorecard.scorecard(CATALOGUE, found.measures, NOW, SAMPLE_TABLES, "EUR").table.set_index(["kpi", "basis"])
    cost = 2 * sum(at_now[name] for name in ("marketing_cost", "acquisition_salaries", "acquisition_tools"))
    assert card["actual"]["cac", "finance"] == pytest.approx(cost / (2 * at_now["new_customers"] - 1))


def test_a_group_without_one_of_its_units_has_no_figure_of_customers():
    everyone = table(new_customers={NOW: 999}, active_customers={NOW: 9999})
    found = rollup.roll_up({"a": SAMPLE, "b": None}, NOW, distinct=everyone)
    card = scorecard.scorecard(CATALOGUE, found.measures, NOW, SAMPLE_TABLES, "EUR", missing_units=found.missing_units)
    assert measures.at(found.measures, NOW)["new_customers"] is None
    assert card.table.set_index(["kpi", "basis"])["status"]["cac", "finance"] == "no_figure"


def test_netflix_units_add_up_to_the_consolidated_company(financials, segments):
    own = rollup.stated_by_group(financials, basis="2014-2018")
    found = rollup.roll_up(segments, "2017Q3", "USD", stated=own)
    assert found.status == "ok"
    lines = found.lines.set_index("measure")
    assert lines["booked_cents"].to_dict() == {
        "revenue": 2_984_859_000_00,
        "cost_of_sales": 1_992_980_000_00,
        "marketing_cost": 312_490_000_00,
        "contribution_margin": 679_389_000_00,
    }
    assert (lines["unexplained_cents"] == 0).all()
    assert len(found.findings("it")) == 4


def test_the_groups_own_books_in_another_currency_are_refused():
    rows = [("group", "4990", 100_00, "EUR"), ("group", "4950", -5_00, "EUR"), ("b2b", "4000", 7_00, "GBP")]
    books = pd.DataFrame(rows, columns=["unit", "account", "amount_cents", "currency"]).assign(period=NOW)
    own = rollup.stated_by_group({"ledger": books}, group_currency="EUR").set_index("measure")["value"]
    assert own.to_dict() == {"revenue": 100_00, "consolidation": -5_00}
    mixed = books.assign(currency=["EUR", "GBP", "GBP"])
    with pytest.raises(errors.ToolkitError, match=r"1 of the group's own 2 rows are not in EUR but in GBP"):
        rollup.stated_by_group({"ledger": mixed}, group_currency="EUR")


def test_the_group_in_financials_must_be_found(financials):
    frame = financials["financials"]
    with pytest.raises(errors.ToolkitError, match="the group has no rows as 'Consolidatd'"):
        rollup.group_rows(frame[frame["unit"] != "Consolidated"], "Consolidatd")


def test_mix_with_reversal():
    sessions = pd.DataFrame(
        {
            "unit": ["a", "b"],
            "numerator_before": [400, 40],
            "denominator_before": [8000, 2000],
            "numerator_after": [220, 132],
            "denominator_after": [4000, 6000],
        }
    )
    found = mix.mix(sessions)
    amounts = found.bridge.table["amount"].tolist()
    assert [round(100 * amount, 2) for amount in amounts] == [4.40, 0.38, -1.26, 3.52]
    assert found.reversal and any("Reversal" in sentence for sentence in found.findings("en"))


def test_a_new_unit_counts_in_the_mix_only():
    frame = pd.DataFrame(
        {
            "unit": ["old", "new"],
            "numerator_before": [50, 0],
            "denominator_before": [100, 0],
            "numerator_after": [50, 10],
            "denominator_after": [100, 100],
        }
    )
    found = mix.mix(frame)
    assert found.table["within"].tolist() == [0, 0]
    assert found.table["mix"].sum() == pytest.approx(0.30 - 0.50)
    assert not found.reversal


amounts = st.integers(-1000, 1000)
unit_rows = st.tuples(amounts, st.integers(1, 1000), amounts, st.integers(1, 1000))


@settings(deadline=None, max_examples=60)
@given(st.lists(unit_rows, min_size=1, max_size=5))
def test_within_and_mix_add_up_to_the_change(rows):
    columns = ["numerator_before", "denominator_before", "numerator_after", "denominator_after"]
    frame = pd.DataFrame(rows, columns=columns).assign(unit=[str(n) for n in range(len(rows))])
    n0, d0, n1, d1 = (int(frame[name].sum()) for name in columns)
    found = mix.mix(frame)
    assert sum(found.bridge.contributions.values()) == Fraction(n1, d1) - Fraction(n0, d0)
    total = found.table["within"].sum() + found.table["mix"].sum()
    assert total == pytest.approx(n1 / d1 - n0 / d0, abs=1e-9)


def test_mix_of_netflix_margin_closes_on_the_group(segments):
    found = mix.mix_of(CATALOGUE["contribution_margin_share"], segments, "2017Q3", "USD")
    amounts = found.bridge.table["amount"].tolist()
    assert amounts[0] == pytest.approx(475_301 / 2_290_188) and amounts[-1] == pytest.approx(679_389 / 2_984_859)
    assert amounts[0] + amounts[1] + amounts[2] == pytest.approx(amounts[3])
    with pytest.raises(errors.ToolkitError, match="no ratio"):
        mix.mix_of(CATALOGUE["revenue"], segments, "2017Q3", "USD")


def test_a_mix_without_a_unit_is_called_partial(segments):
    units = segments | {"Domestic DVD": None}
    found = mix.mix_of(CATALOGUE["contribution_margin_share"], units, "2017Q3", "USD")
    assert found.missing_units == ("Domestic DVD",) and len(found.table) == 2
    assert found.findings("en")[0] == "Partial: this mix is without Domestic DVD, whose results are missing."
    assert found.findings("it")[0].startswith("Parziale: questo mix è senza Domestic DVD")
    assert "within units" in found.findings("en")[1]
    assert mix.mix_of(CATALOGUE["contribution_margin_share"], segments, "2017Q3", "USD").missing_units == ()


def test_mix_without_last_years_figures_is_no_figure(financials):
    units = {u: measures.compute(financials, "USD", "USD", unit_in_data=u, basis="2018Q4") for u in SEGMENTS}
    found = mix.mix_of(CATALOGUE["contribution_margin_share"], units, "2019Q3", "USD")
    assert found.bridge.status == "no_figure"
    assert "No mix effect" in found.findings("en")[0]
    found.plot()


PAIR = {
    "from_basis": "2013",
    "to_basis": "2014-2018",
    "quarters": ["2013Q2", "2013Q3"],
    "unit_in_data": "Domestic Streaming",
}


def test_the_reclassification_between_two_filings(financials):
    found = reclassification.reclassifications(financials, PAIR, "USD")
    marketing = found.table[found.table["line"] == "marketing_cost"].set_index("quarter")
    assert marketing["before_cents"].tolist() == [70_302_000_00, 63_971_000_00]
    assert marketing["after_cents"].tolist() == [67_177_000_00, 60_637_000_00]
    contribution = found.table[found.table["line"] == "contribution_margin"]
    assert contribution["change_cents"].tolist() == [0, 0]
    assert set(found.table["kind"]) == {"reclassification"}
    moved = found.bridges["2013Q2"].table
    assert moved["step"].tolist() == ["basis_2013", "moved_to_cost_of_sales", "basis_2014-2018"]
    assert moved["amount_cents"].tolist() == [70_302_000_00, -3_125_000_00, 67_177_000_00]
    assert all("therefore a reclassification" in sentence for sentence in found.findings("en"))
    found.plot(quarter="2013Q3")


def test_a_changed_contribution_is_a_restatement(financials):
    frame = financials["financials"].copy()
    row = (frame["quarter"] == "2013Q2") & (frame["unit"] == "Domestic Streaming") & (frame["basis"] == "2014-2018")
    frame.loc[row, ["cost_of_revenue_cents", "contribution_margin_cents"]] += [100, -100]
    found = reclassification.reclassifications({"financials": frame}, PAIR, "USD")
    assert found.table["kind"].tolist()[:4] == ["restatement"] * 4
    steps = found.bridges["2013Q2"].table
    assert steps["amount_cents"].sum() - 2 * steps["amount_cents"].iloc[-1] == 0


def test_nothing_to_reclassify_is_said():
    assert "Not examined" in reclassification.reclassifications({}, None).findings("en")[0]
    reclassification.reclassifications({}, None).plot()


def test_a_group_without_any_result_says_so_and_estimates_nothing():
    found = rollup.roll_up({"a": None, "b": None}, NOW, "EUR", RATES, stated(revenue=1))
    assert found.status == "partial" and len(found.table) == 0 and len(found.lines) == 0
    declared = {"ledger", "orders", "customers"}
    card = scorecard.scorecard(CATALOGUE, found.measures, NOW, declared, "EUR", missing_units=found.missing_units)
    assert set(card.table["status"]) == {"no_figure"}
    assert card.findings("en")[0].startswith("Partial: the results of a, b are missing")
    moves = drivers.drivers(CATALOGUE, found.measures, NOW, declared, "EUR")
    assert not sections.examined(moves) and sections.draw(moves) is None
    assert not sections.examined(mix.mix_of(CATALOGUE["contribution_margin_share"], {"a": None}, NOW))
    frame, _formats = rollup.by_unit({"a": None}, CATALOGUE, {"a": None})
    assert len(frame) == 0


def test_what_was_not_examined_is_said_and_leaves_no_table(tmp_path):
    place = parameters.workspace("netflix-2017Q3", "group", "netflix", save_dir=str(tmp_path))
    moved = reclassification.reclassifications({}, None)
    sections.save(rollup.roll_up(UNITS, NOW, "EUR", RATES), place, "group", "rollup")
    assert (tmp_path / "tables" / "group_rollup.parquet").is_file()
    sections.save(moved, place, "group", "rollup")
    assert not list((tmp_path / "tables").iterdir())
    assert sections.table(moved) is None
    assert sections.findings(moved, "en") == ["Not examined: the tables that this bridge needs are not declared."]


def test_targets_are_counted_in_the_plural_of_the_language_and_the_farthest_has_both_figures():
    said = card_of().findings("it")[1]
    expected = "1 obiettivo su 2 è raggiunto. Il più lontano: Ricavi netti, 1.100.000 € contro 1.200.000 €."
    assert said.replace("\N{NO-BREAK SPACE}", " ") == expected


def test_units_are_shown_by_their_names_and_saved_by_their_ids():
    found = rollup.roll_up({"a": None, "<b>": None}, NOW, "EUR", RATES, stated(revenue=1))
    shown = sections.named(found, {"a": "Negozi <i>", "<b>": "B_2"})
    assert shown.missing_units == ("Negozi <i>", "B_2") and found.missing_units == ("a", "<b>")
    whole = rollup.roll_up(UNITS, NOW, "EUR", RATES)
    names = {unit: f"Unit {unit}" for unit in UNITS}
    assert set(names.values()) <= set(sections.named(whole, names).table["step"])
    assert set(UNITS) <= set(whole.table["step"])
