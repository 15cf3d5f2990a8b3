"""From target to actual: split where the parts have targets of their own, one step where they have none."""

import pandas as pd
import pytest

from kpitoolkit import parameters, tables
from kpitoolkit.reconciliation import catalogue, measures, sections, targets
from tests import sample_tables

NOW = "2026Q3"
DECLARED = {"ledger", "orders", "customers", "ad_spend", "platform_claims"}


def kpi(name, formula, unit="count", **more):
    return {
        **{"id": name, "name": {"en": name.title(), "it": name.upper()}, "formula": {"finance": formula}, "unit": unit},
        **{"owner": ["CMO"], "direction": 1, "additive": "flow", "version": 1, "date": "2026-07-01"},
        **more,
    }


ORDERS = kpi("orders", "orders")
BASKET = kpi("basket", "gross_orders / orders", "money_per_unit")
GROSS = kpi("gross", "gross_orders", "money", drivers={"worth": "gross_orders / orders"})
GROSS["decompositions"] = {"by_orders": "orders * worth"}
MARGIN = kpi("margin", "revenue - cost_of_sales", "money", decompositions={"by_line": "revenue - cost_of_sales"})


def compared(kpis, values, wanted, quarter=NOW, **more):
    found = catalogue.from_content({"version": "1", "date": "2026-07-01", "kpis": list(kpis)})
    table = pd.DataFrame({"measure": list(values), "quarter": NOW, "value": [float(v) for v in values.values()]})
    rows = [("it", quarter, name, 1, float(value)) for name, value in wanted.items()]
    stated = pd.DataFrame(rows, columns=["unit", "quarter", "kpi", "version", "value"])
    return targets.to_targets(found, table, NOW, DECLARED, "EUR", stated, "it", **more)


def steps(result, name):
    rows = result.table[result.table["kpi"] == name]
    return dict(zip(rows["step"], rows["amount"], strict=True))


ACTUAL = {"orders": 120, "gross_orders": 5_400_00}  # 45.00 an order


def test_parts_with_targets_split_the_distance_from_the_target():
    found = compared([GROSS, ORDERS, BASKET], ACTUAL, {"gross": 5_000, "orders": 100, "basket": 50})
    assert steps(found, "gross") == {"target": 5_000_00, "orders": 950_00, "worth": -550_00, NOW: 5_400_00}
    assert steps(found, "orders") == {"target": 100, "variance": 20, NOW: 120}
    assert steps(found, "basket") == {"target": 50_00, "variance": -5_00, NOW: 45_00}
    assert found.table.set_index("kpi")["decomposition"].groupby("kpi").first().to_dict() == {
        **{"gross": "by_orders", "orders": "one_step", "basket": "one_step"}
    }
    assert found.chosen() == ("gross", "by_orders")
    said = found.findings("en")
    assert said[0] == "Gross against its target, by orders: from €5,000 to €5,400: +€400."
    assert said[-1].endswith("have no targets of their own: Orders +20, Basket −€5.00.")


def test_targets_that_were_not_set_on_one_plan_leave_a_step_of_their_own():
    found = compared([GROSS, ORDERS, BASKET], ACTUAL, {"gross": 5_200, "orders": 100, "basket": 50})
    assert steps(found, "gross") == {
        **{"target": 5_200_00, "orders": 950_00, "worth": -550_00, "targets_apart": -200_00, NOW: 5_400_00}
    }
    assert "Gross: the targets of its parts do not give the target of the whole; −€200" in " ".join(
        found.findings("en")
    )


def test_a_stated_residual_keeps_its_name():
    entry = {"by_orders": {"formula": "orders * worth", "residual": "left_over"}}
    found = compared(
        [GROSS | {"decompositions": entry}, ORDERS, BASKET], ACTUAL, {"gross": 5_200, "orders": 100, "basket": 50}
    )
    assert steps(found, "gross")["left_over"] == -200_00
    assert "targets_apart" not in set(found.table["step"]) and "one plan" not in " ".join(found.findings("en"))


@pytest.mark.parametrize("wanted", [{"gross": 5_000}, {"gross": 5_000, "orders": 100}])
def test_a_part_without_a_target_leaves_one_step(wanted):
    found = compared([GROSS, ORDERS, BASKET], ACTUAL, wanted)
    assert steps(found, "gross") == {"target": 5_000_00, "variance": 400_00, NOW: 5_400_00}


def test_a_kpi_is_no_part_of_itself():
    alone = kpi("orders", "orders", decompositions={"itself": "orders"})
    assert steps(compared([alone], ACTUAL, {"orders": 100}), "orders") == {"target": 100, "variance": 20, NOW: 120}


def test_what_a_formula_looks_back_to_was_known_when_the_target_was_set():
    growth = kpi("growth", "revenue / revenue_year_ago - 1", "share")
    growth["decompositions"] = {"by_line": "revenue / revenue_year_ago - 1"}
    kpis = [growth, kpi("sales", "revenue", "money")]
    found = catalogue.from_content({"version": "1", "date": "2026-07-01", "kpis": kpis})
    table = pd.DataFrame({"measure": "revenue", "quarter": [NOW, "2025Q3"], "value": [1_150_00.0, 1_000_00.0]})
    stated = pd.DataFrame(
        {"unit": "it", "quarter": NOW, "kpi": ["growth", "sales"], "version": 1, "value": [0.2, 1200.0]}
    )
    result = targets.to_targets(found, table, NOW, {"ledger"}, "EUR", stated, "it")
    assert steps(result, "growth") == pytest.approx({"target": 0.2, "revenue": -0.05, "revenue_year_ago": 0, NOW: 0.15})
    assert result.findings("en")[0] == "Growth against its target, by line: from 20.0% to 15.0%: −5.0 points."


def test_a_target_of_the_catalogue_and_the_latest_version_count():
    found = compared([kpi("orders", "orders", target=110)], ACTUAL, {})
    assert steps(found, "orders") == {"target": 110, "variance": 10, NOW: 120}
    kpis = catalogue.from_content({"version": "1", "date": "2026-07-01", "kpis": [ORDERS]})
    table = pd.DataFrame({"measure": ["orders"], "quarter": [NOW], "value": [120.0]})
    stated = pd.DataFrame({"unit": "it", "quarter": NOW, "kpi": "orders", "version": [2, 1], "value": [130.0, 90.0]})
    result = targets.to_targets(kpis, table, NOW, DECLARED, "EUR", stated, "it")
    assert steps(result, "orders")["variance"] == -10


@pytest.mark.parametrize(
    ("values", "why"), [({"gross_orders": 1}, "absent"), ({"orders": 0, "gross_orders": 1}, "zero")]
)
def test_without_an_actual_there_is_no_bridge_and_it_is_said(values, why):
    found = compared([BASKET], values, {"basket": 50})
    assert len(found.table) == 0 and found.bridges["basket", "one_step"].status == "no_figure"
    assert found.findings("en") == ["With a target but without a figure to compare: Basket."]
    assert found.chosen() is None and found.plot() is not None


def test_without_targets_nothing_is_compared():
    for found in (compared([ORDERS], ACTUAL, {}), compared([ORDERS], ACTUAL, {"orders": 9}, quarter="2026Q2")):
        assert len(found.table) == 0 and found.findings("en") == ["No targets are stated for this quarter."]
        assert not sections.examined(found)


def test_a_group_without_a_unit_is_not_compared_with_its_target():
    found = compared([ORDERS], ACTUAL, {"orders": 100}, missing_units=("b2b",))
    assert len(found.table) == 0
    assert found.findings("en")[0].startswith("Not compared with targets: the results of ")
    named = sections.named(found, {"b2b": "Business customers"})
    assert "Business customers are missing" in named.findings("en")[0]


def test_the_sample_closes_from_every_target_to_its_actual():
    place = parameters.workspace("sample-2026Q3", "retail-it")
    declared = tables.declared(place)
    given = sample_tables.read("retail-it", sections.tables_to_read(declared))
    kpis = catalogue.read(parameters.project_root() / "parameters" / "kpis.yml")
    found = measures.compute(given, "EUR", "EUR", parameters.ACCOUNTS, place.unit_in_data)
    result = targets.to_targets(kpis, found, NOW, declared, "EUR", given["targets"], place.unit_in_data)
    assert ("revenue", "by_orders") in result.bridges
    for (name, decomposition), bridge in result.bridges.items():
        rows = result.table[(result.table["kpi"] == name) & (result.table["decomposition"] == decomposition)]
        wanted = given["targets"].query("unit == 'retail-it' and quarter == @NOW and kpi == @name")
        first, *inside, last = rows["amount"]
        scale = 100 if bridge.value_unit in ("money", "money_per_unit") else 1
        assert first == pytest.approx(scale * wanted.sort_values("version")["value"].iloc[-1], rel=1e-12)
        assert first + sum(inside) == pytest.approx(last, rel=1e-9)
        actual = kpis[name].value("finance", measures.at(found, NOW))[0]
        assert last == pytest.approx(actual, rel=1e-9)
    shown = result.shown("en")
    assert len(shown) == len(result.formats["change"]) and set(shown) == {"kpi", "decomposition", "step", "change"}
