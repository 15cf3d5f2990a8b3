"""Alignment: definitions, directions, targets through the formulas, evidence; campaign criteria as they were agreed."""

import datetime
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kpitoolkit import pages
from kpitoolkit.reconciliation import alignment, catalogue, measures, scorecard, target_tree
from tests import sample_tables

CATALOGUE = catalogue.read(Path(__file__).parents[2] / "parameters" / "kpis.yml")
NOW = "2026Q3"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def kpi(id, finance=None, marketing=None, **more):
    entry = {"id": id, "name": {"en": id.title(), "it": id.upper()}, "unit": "money", "owner": ["CMO", "CFO"]}
    entry |= {"direction": 1, "additive": "flow", "version": 1, "date": "2026-06-01"}
    return entry | {"formula": {"finance": finance, "marketing": marketing}} | more


def of(*kpis, **more):
    return catalogue.from_content({"version": "1", "date": "2026-06-01", "kpis": list(kpis), **more})


TREE = of(
    kpi(
        "revenue",
        "revenue",
        "claimed_value",
        decompositions={"by_orders": {"formula": "orders * (gross_orders / orders)", "residual": "gross_to_booked"}},
    ),
    kpi("orders", "orders", unit="count"),
    kpi("order_value", "gross_orders / orders", unit="money_per_unit"),
    kpi("growth", "revenue / revenue_year_ago - 1", unit="share"),
    kpi("intensity", "marketing_cost / revenue", unit="share", direction=-1),
    kpi("after_marketing", "revenue - marketing_cost"),
    kpi("mer", "revenue / marketing_cost", unit="ratio"),
    kpi("cac", "(marketing_cost + acquisition_tools) / new_customers", "media_spend / clicks", unit="money_per_unit"),
)
SHARES = alignment.materiality_by_kpi(TREE)
TARGETS = {"revenue": 1000.0, "orders": 20.0, "order_value": 60.0, "growth": 0.25, "intensity": 0.2}
TARGETS |= {"after_marketing": 790.0, "mer": 5.02, "cac": 10.0}
FACTS = {"revenue_year_ago": 800_00, "revenue": 950_00, "gross_orders": 1_100_00, "orders": 19}


def test_targets_through_the_formulas_by_hand():
    values, made, missing = target_tree.implied(TREE, TARGETS, FACTS)
    assert values["revenue"] == 1000_00 and values["marketing_cost"] == 200_00 and values["gross_orders"] == 1200_00
    assert made == {"growth": Fraction(1, 4), "after_marketing": 800_00, "mer": 5}
    assert missing == {"cac": ("acquisition_tools", "new_customers")}
    assert "revenue_year_ago" not in values


def test_verdicts_by_hand():
    found = target_tree.verdicts(TREE, TARGETS, FACTS, SHARES)
    assert {name: verdict.status for name, verdict in found.items()} == {
        "revenue": "needs_residual",
        "orders": "nothing_beside_it",
        "order_value": "nothing_beside_it",
        "growth": "recombines",
        "intensity": "nothing_beside_it",
        "after_marketing": "does_not",  # 800 against 790 is 1.3%
        "mer": "recombines",  # 5.00 against 5.02 is 0.4%
        "cac": "cannot_be_told",
    }
    assert found["revenue"].needed == -200_00 and found["revenue"].actual_residual == -150_00
    assert found["after_marketing"].recombined == 800_00
    none = target_tree.verdicts(TREE, {}, FACTS, SHARES)
    assert {verdict.status for verdict in none.values()} == {"no_target"}


def test_a_target_that_no_measure_can_meet_is_left_open():
    """An intensity of revenue without revenue's target has two unknowns; a target of zero divides by nothing."""
    found = target_tree.verdicts(TREE, {"intensity": 0.2}, FACTS, SHARES)
    assert found["intensity"].status == "cannot_be_told"
    found = target_tree.verdicts(TREE, {"revenue": 0.0, "mer": 5.0, "intensity": 0.2}, FACTS, SHARES)
    assert found["revenue"].status == "nothing_beside_it"
    assert {found[name].status for name in ("mer", "intensity")} <= {"nothing_beside_it", "cannot_be_told"}


def test_facts_of_this_quarter_stand_in_for_no_target():
    without = {name: value for name, value in TARGETS.items() if name != "orders"}
    assert target_tree.verdicts(TREE, without, FACTS, SHARES)["order_value"].status == "cannot_be_told"


def test_the_order_of_the_catalogue_changes_no_figure():
    turned = TREE.model_copy(update={"kpis": list(reversed(TREE.kpis))})
    values, _, missing = target_tree.implied(turned, {n: v for n, v in TARGETS.items() if n != "mer"}, FACTS)
    assert values["revenue"] in (1000_00, Fraction(987_50)) and missing == {
        "cac": ("acquisition_tools", "new_customers")
    }


def test_the_group_s_targets_by_its_units():
    rates = pd.DataFrame({"quarter": [NOW, "2025Q3"], "currency": "GBP", "rate": [1.2, 1.5]})
    own = {"revenue": 1000.0, "orders": 10.0, "order_value": 110.0, "growth": 0.2}
    uk = {"revenue": 500.0, "orders": 5.0, "order_value": 120.0}
    units = {"it": (own, {"revenue_year_ago": 800_00}, "EUR"), "uk": (uk, {"revenue_year_ago": 400_00}, "GBP")}
    group = {"revenue": 1600.0, "orders": 16.0, "order_value": 121.33, "growth": 1600 / 1400 - 1, "cac": 1.0}
    found = target_tree.of_group(TREE, group, units, NOW, "EUR", rates, SHARES)
    assert found["revenue"].status == "recombines" and found["revenue"].recombined == 1600_00
    assert found["orders"].status == "does_not" and found["orders"].recombined == 15
    # (10 x 110 + 5 x 120 x 1.2) / 15, never the mean of the units' values; last year at last year's rate
    assert found["order_value"].recombined == pytest.approx((1100 + 720) / 15 * 100)
    assert found["growth"].recombined == pytest.approx(1600 / (800 + 400 * 1.5) - 1)
    assert found["cac"].status == "cannot_be_told"
    no_rate = target_tree.of_group(TREE, group, units, NOW, "EUR", None, SHARES)
    assert no_rate["revenue"].status == "cannot_be_told" and no_rate["orders"].status == "does_not"
    shared = of(kpi("new_customers", "new_customers", unit="count", additive="distinct"))
    units = {"it": ({"new_customers": 3.0}, {}, "EUR"), "uk": ({"new_customers": 4.0}, {}, "EUR")}
    found = target_tree.of_group(shared, {"new_customers": 7.0}, units, NOW, "EUR", None, {"new_customers": 0.1})
    assert found["new_customers"].status == "cannot_be_told"  # one may be a customer of both
    units = {"it": ({"orders": 3.0}, {}, "EUR"), "uk": ({}, {}, "EUR")}
    found = target_tree.of_group(TREE, {"orders": 3.0}, units, NOW, "EUR", None, SHARES)
    assert found["orders"].status == "cannot_be_told"  # a unit without a target is not zero


def card(**rows):
    """KPI: actual and last year on the finance basis, then on the marketing basis."""
    found = []
    for name, figures in rows.items():
        for basis, pair in zip(("finance", "marketing"), figures, strict=False):
            if pair is not None:
                found.append({"kpi": name, "basis": basis, "actual": pair[0], "last_year": pair[1]})
    return pd.DataFrame(found)


CARD = card(
    revenue=[(950_00.0, 900_00.0), (954_00.0, 990_00.0)],
    cac=[(50_00.0, 40_00.0), (20_00.0, 15_00.0)],
    mer=[(4.0, 5.0)],
    after_marketing=[(760_00.0, 700_00.0)],
)


def held(**options):
    return alignment.alignment(TREE, CARD, NOW, "EUR", target_tree.verdicts(TREE, TARGETS, FACTS, SHARES), **options)


def test_definition_and_direction_by_hand():
    rows = held().table.set_index("kpi")
    assert rows["definition"].to_dict() == {
        "revenue": "within_materiality",
        "cac": "beyond_materiality",
        "mer": "one_definition",
        "after_marketing": "one_definition",
    }
    assert rows.loc["revenue", "gap"] == -4_00 and rows.loc["revenue", "gap_share"] == pytest.approx(4 / 950)
    moved = {"revenue": "opposite_directions", "cac": "same_direction", "mer": "one_basis"}
    assert rows["moves"].drop("after_marketing").to_dict() == moved
    assert rows["evidence"].tolist() == ["not_declared"] * 4
    strict = alignment.alignment(TREE, CARD, NOW, "EUR", materiality_share=0.004)
    assert strict.table.set_index("kpi").loc["revenue", "definition"] == "beyond_materiality"


def test_missing_figures_are_no_agreement():
    empty = CARD.assign(actual=CARD["actual"].where(CARD["basis"] == "finance"))
    rows = alignment.alignment(TREE, empty, NOW, "EUR").table.set_index("kpi")
    assert rows.loc["revenue", "definition"] == rows.loc["revenue", "moves"] == "no_figure"
    zero = CARD.assign(actual=CARD["actual"].where(CARD["basis"] == "marketing", 0.0))
    assert alignment.alignment(TREE, zero, NOW, "EUR").table.set_index("kpi").loc["revenue", "gap_share"] == np.inf


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_finance_figure_of_zero_is_drawn_and_shown_without_a_share(language):
    zero = CARD.assign(actual=CARD["actual"].where((CARD["kpi"] != "cac") | (CARD["basis"] == "marketing"), 0.0))
    result = alignment.alignment(TREE, zero, NOW, "EUR")
    assert result.table.set_index("kpi").loc["cac", "definition"] == "beyond_materiality"
    assert result.shown(language).set_index("kpi")["gap_share"].notna().sum() == 1  # revenue has one
    result.plot(language=language).figure.canvas.draw()


def test_evidence_is_handed_in_and_a_signature_is_never_foretold():
    evidence = pd.DataFrame({"kpi": ["cac", "mer"], "class": ["common_ground", "vanity"]})
    result = held(evidence=evidence)
    rows = result.table.set_index("kpi")
    assert rows["evidence"].drop("after_marketing").to_dict() == {
        "revenue": "not_declared",
        "cac": "common_ground",
        "mer": "vanity",
    }
    assert "not_signed" not in result.table.to_numpy() and "sign_off" not in result.shown("en")
    assert any("Common ground" in sentence and "Cac" in sentence for sentence in result.findings("en"))
    none = held(evidence=evidence.assign(**{"class": "driver"}))
    assert any("No KPI is common ground" in sentence for sentence in none.findings("en"))
    assert not any("common ground" in sentence.lower() for sentence in held().findings("en"))
    real = CATALOGUE["retention"]
    assert real.influences
    for tested in (None, evidence):  # declared, but nobody handed in a test, or none of its series could be had
        rows = alignment.alignment(CATALOGUE, card(retention=[(0.3, 0.2)]), NOW, "EUR", evidence=tested).table
        assert rows["evidence"].tolist() == ["not_examined"]


def test_findings_say_which_targets_do_not_fit():
    said = " ".join(held().findings("en"))
    assert "After_Marketing is to reach €790, the others make it €800" in said
    assert "(€1,200) to its own target (€1,000) it takes −€200; this quarter it is −€150" in said
    group = alignment.alignment(
        TREE, CARD, NOW, "EUR", {"revenue": target_tree.Verdict("does_not", 1.0, 2.0)}, of_group=True
    )
    assert any("before intercompany" in sentence for sentence in group.findings("en"))
    assert any("units' targets do not make the group's" in sentence for sentence in group.findings("en"))
    assert "units' targets" not in said


def test_there_is_no_single_score():
    assert not any("score" in column for column in held().table.columns)


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_page_can_show_it(language):
    for result in (
        held(),
        alignment.alignment(TREE, CARD.head(0), NOW, "EUR"),
        alignment.alignment(TREE, CARD, NOW, ""),
    ):
        pages.table(result.shown(language), language, result.formats, currency="EUR")
        assert result.findings(language)
    held().plot(language=language)


# --- criteria agreed beforehand


def criterion(**changes):
    given = {"campaign": "Spring", "unit": "it", "kpi": "orders", "basis": "finance", "target": 20.0}
    given |= {"first_day": datetime.date(2026, 7, 1), "last_day": datetime.date(2026, 9, 30)}
    given |= {"agreed_on": datetime.date(2026, 6, 20), "agreed_by": ["CMO", "CFO"], "standing": "agreed_before"}
    return SimpleNamespace(**given | changes)


FOUND = pd.DataFrame(
    [
        *(
            ("orders", "2026Q2", 15),
            ("orders", NOW, 19),
            ("gross_orders", "2026Q2", 90_00),
            ("gross_orders", NOW, 95_00),
        ),
        *(("marketing_cost", NOW, 20_00), ("revenue", NOW, 100_00), ("new_customers", "2026Q2", 1)),
        ("new_customers", NOW, 2),
    ],
    columns=["measure", "quarter", "value"],
)


def judged(*criteria, known=TREE):
    return alignment.judge(known, criteria, FOUND, "it", NOW, "EUR")


def test_criteria_by_hand():
    both = datetime.date(2026, 4, 1)
    rows = judged(
        criterion(),
        criterion(target=19.0),
        criterion(kpi="intensity", target=0.25),
        criterion(kpi="intensity", target=0.15),
        criterion(first_day=both, target=34.0),
        criterion(first_day=both, kpi="order_value", target=5.0),
    ).table
    assert rows["status"].tolist() == ["not_reached", "reached", "reached", "not_reached", "reached", "reached"]
    assert rows["actual"].tolist() == pytest.approx([19, 19, 0.2, 0.2, 34, 185_00 / 34])
    assert rows["target"].tolist()[-1] == 5_00


def test_windows_that_quarters_do_not_tell_are_not_guessed():
    day = datetime.date
    rows = judged(
        criterion(first_day=day(2026, 7, 6)),
        criterion(last_day=day(2026, 10, 31)),
        criterion(kpi="cac", first_day=day(2026, 4, 1)),
        criterion(kpi="growth"),
        criterion(unit="uk"),
        criterion(first_day=day(2026, 1, 1), last_day=day(2026, 3, 31)),
    ).table
    assert rows["status"].tolist() == ["cannot_be_told", "still_running", "cannot_be_told", "cannot_be_told"]
    assert rows["reason"].tolist() == ["window", "", "distinct", "no_figure"]
    assert rows["actual"].isna().all()


@pytest.mark.parametrize("language", ["en", "it"])
def test_what_was_agreed_late_is_judged_and_said(language):
    result = judged(
        criterion(standing="agreed_late", agreed_on=datetime.date(2026, 8, 1), target=10.0),
        criterion(standing="without_cfo"),
        criterion(last_day=datetime.date(2026, 12, 31)),
        criterion(first_day=datetime.date(2026, 8, 1)),
    )
    assert result.table["status"].tolist() == ["reached", "not_reached", "still_running", "cannot_be_told"]
    said = result.findings(language)
    assert len(said) == 4 and "{" not in " ".join(said)
    if language == "en":
        assert "no criterion agreed beforehand" in said[0] and "without the CFO" in said[1]
    pages.table(result.shown(language), language, result.formats)
    result.plot(language=language)
    assert judged().findings(language)


def test_a_definition_changed_since_the_agreement_is_said():
    later = of(kpi("orders", "orders", unit="count", version=2, date="2026-08-01"))
    assert judged(criterion(), known=later).table["changed_since"].tolist() == [True]
    assert judged(criterion(), known=TREE).table["changed_since"].tolist() == [False]


def test_on_the_sample_company():
    units, facts = {}, {}
    for name, currency in (("retail-it", "EUR"), ("online-eu", "EUR"), ("b2b", "EUR"), ("retail-uk", "GBP")):
        given = sample_tables.read(name, ["ledger", "orders", "targets"])
        facts[name] = measures.at(measures.compute(given, currency), NOW)
        units[name] = (scorecard.latest_targets(given["targets"], name, NOW), facts[name], currency)
    group = sample_tables.read("group", ["targets", "fx_rates"])
    wanted = scorecard.latest_targets(group["targets"], "group", NOW)
    shares = alignment.materiality_by_kpi(CATALOGUE)
    found = target_tree.of_group(CATALOGUE, wanted, units, NOW, "EUR", group["fx_rates"], shares)
    assert found["orders"].status == "recombines" and found["orders"].recombined == 31_018
    # 1,014,733 + 625,008 + 942,740 + 578,176 x 1.1543; the group's target is after intercompany
    assert found["revenue"].status == "does_not" and found["revenue"].recombined == pytest.approx(3_249_869_55.68)
    assert found["new_customers"].status == "cannot_be_told"
    own = target_tree.verdicts(CATALOGUE, units["retail-it"][0], facts["retail-it"], shares)
    assert own["revenue"].status == "needs_residual" and own["revenue"].recombined == 11_376 * 125_20
