"""Bridges without figures are saved as they are, with as many KPIs as there are."""

import pandas as pd
import pytest

from kpitoolkit import parameters, tables
from kpitoolkit.reconciliation import catalogue, drivers, kinds

NOW = "2026Q3"
DECLARED = {"ledger", "orders", "customers", "ad_spend", "platform_claims"}
SHIPPED = catalogue.read(parameters.project_root() / "parameters" / "kpis.yml")
BASES = {
    **{name: 10_00 for name in ("media_spend", "media_cost", "marketing_accruals", "agency_fees", "rebates")},
    **{name: 1_00 for name in ("marketing_cost", "acquisition_salaries", "acquisition_tools", "revenue")},
    **{name: 0 for name in ("claims_without_order", "duplicate_claims", "claims_of_repeat_orders")},
    **{"claimed_conversions": 5, "new_customers": 5, "unclaimed_first_orders": 0, "claimed_value": 2_00},
}


def saved(tmp_path, found):
    place = parameters.workspace("sample-2026Q3", "retail-it", save_dir=str(tmp_path))
    tables.save(found.table, place, "reconciliation", "basis")
    return pd.read_parquet(tmp_path / "tables" / "reconciliation_basis.parquet")


def bridged(values, kpis=SHIPPED):
    rows = [(name, NOW, value, kinds.value_unit(name)) for name, value in values.items()]
    table = pd.DataFrame(rows, columns=["measure", "quarter", "value", "value_unit"])
    return drivers.basis_bridges(kpis, table, NOW, DECLARED, "EUR")


CENTS = {"cac": 840.0, "revenue": 1200.0}
NO_CLAIMS = {name: value for name, value in BASES.items() if "claim" not in name}
NO_CUSTOMERS = BASES | {"claimed_conversions": 0}


@pytest.mark.parametrize(("values", "status"), [(NO_CLAIMS, "no_figure"), (NO_CUSTOMERS, "zero_denominator")])
def test_a_basis_bridge_without_figures_is_saved_without_rows(tmp_path, values, status):
    found = bridged(values)
    assert found.bridges["cac"].status == status
    back = saved(tmp_path, found)
    assert list(back.columns) == ["kpi", "position", "step", "kind", "amount", "value_unit"]
    assert "cac" not in set(back["kpi"])


@pytest.mark.parametrize(("values", "rows"), [(BASES, {"cac", "revenue"}), (NO_CUSTOMERS, {"revenue"}), ({}, set())])
def test_two_kpis_with_a_basis_bridge_stand_in_one_table(tmp_path, values, rows):
    formulas = catalogue.Formulas(finance="claimed_value + rebates", marketing="claimed_value")
    revenue = SHIPPED["revenue"].model_copy(update={"formula": formulas, "basis_bridge": "claimed_value + rebates"})
    both = SHIPPED.model_copy(update={"kpis": [revenue, SHIPPED["cac"]]})
    back = saved(tmp_path, bridged(values, both))
    assert set(back["kpi"]) == rows and back["amount"].notna().all()
    units = back.drop_duplicates("kpi").set_index("kpi")["value_unit"].to_dict()
    assert units == {kpi: {"cac": "money_per_unit", "revenue": "money"}[kpi] for kpi in rows}
    last = back.drop_duplicates("kpi", keep="last").set_index("kpi")["amount"].to_dict()
    # Both in cents: four costs of 10.00 and two of 1.00 over 5 customers are 8.40; claims of 2.00 and rebates of 10.00
    assert last == {kpi: CENTS[kpi] for kpi in rows}


def test_each_basis_is_said_in_the_words_of_its_formula():
    said = bridged(BASES)
    assert (
        "Customer acquisition cost (CAC): marketing counts media spend, as the platforms report / claimed conversions; "
        "finance counts (marketing cost + acquisition salaries + acquisition tools) / new customers."
    ) in said.findings("en")
    assert any("la finanza conta (costi di marketing + stipendi" in sentence for sentence in said.findings("it"))
