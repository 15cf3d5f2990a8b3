"""The grammar and the catalogue: what they accept, what they refuse, and how they say it."""

import contextlib
import copy
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kpitoolkit import errors
from kpitoolkit.reconciliation import catalogue, formula

SHIPPED = Path(__file__).parents[2] / "parameters" / "kpis.yml"


def entry(**changes):
    kpi = {
        "id": "cac",
        "name": {"en": "CAC", "it": "CAC"},
        "formula": {"finance": "marketing_cost / new_customers"},
        "unit": "money_per_unit",
        "owner": ["CMO"],
        "direction": -1,
        "additive": "ratio",
        "version": 1,
        "date": "2026-07-01",
    }
    return kpi | changes


def check(*kpis):
    return catalogue.from_content({"version": "1", "date": "2026-07-01", "kpis": list(kpis)})


def refusal(*kpis):
    with pytest.raises(errors.ToolkitError) as caught:
        check(*kpis)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("20 / 2 / 5", 2),
        ("20 / 2 * 5", 50),
        ("2 * -3 - -1", -5),
        ("0.1 * 3", Fraction(3, 10)),
        ("  a - b - 1  ", 2),
        ("(a + b) / (a - b)", Fraction(9, 3)),
    ],
)
def test_arithmetic(text, value):
    assert formula.evaluate(formula.parse(text), {"a": 6, "b": 3}) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the formula is empty"),
        ("a +", "the formula ends at character 4"),
        ("a b", "'b' at character 3 where an operator"),
        ("(a + b", "opened at character 1 is not closed"),
        ("a ** b", "'*' at character 4"),
        ("a; b", "';' at character 2 is not allowed"),
        ("__import__('os')", "'(' at character 11|\"'\" at character 12"),
        ("a.b", "'.' at character 2 is not allowed"),
        ("1e400", "'e400' at character 2"),
        ("revenue / 0", "the divisor at character 11 is always zero"),
        ("a * (b / (1.5 - 3 / 2))", "the divisor at character 10 is always zero"),
        ("a / -0.00 + b", "the divisor at character 5 is always zero"),
        ("a" * 501, "501 characters; the limit is 500"),
        ("(" * 60 + "a" + ")" * 60, "nested deeper than 20"),
        ("-" * 60 + "a", "nested deeper than 20"),
        ("ricavi + è", "'è' at character 10 is not allowed"),
    ],
)
def test_what_is_no_formula_is_refused_at_its_character(text, said):
    with pytest.raises(errors.ToolkitError, match=said.replace("(", r"\(").replace("*", r"\*").replace(".", r"\.")):
        formula.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_never_more(text):
    with contextlib.suppress(errors.ToolkitError):
        formula.parse(text)


def test_an_unknown_measure_is_named_with_its_place_and_the_nearest():
    message = refusal(entry(formula={"finance": "100 + 200 / marketing_cots"}))
    assert message == (
        "kpis.yml: cac, basis finance: unknown measure 'marketing_cots' at character 13. Did you mean 'marketing_cost'?"
    )


def test_all_faults_of_the_file_come_in_one_message():
    message = refusal(
        entry(formula={"finance": "marketing_cost / nobody"}, drivers={"x": "y", "y": "x + 1"}, positive=["nothing"]),
        entry(),
        entry(id="other", formula={}, influences=[{"kpi": "othr", "lag_quarters": 1}]),
    )
    assert message.startswith("kpis.yml: 6 faults")
    for said in (
        "'nobody'",
        "goes round in a circle",
        "'nothing'",
        "two KPIs have this id",
        "state formula.finance",
        "'othr' is no other KPI",
    ):
        assert said in message


def test_all_faults_of_form_come_in_one_message():
    message = refusal(entry(ownr="CMO", direction=0), entry(id="b", unit="euro", formula={"finanze": "revenue"}))
    assert "cac, ownr: not a field of the catalogue. Did you mean 'owner'?" in message
    assert "b, formula, finanze: not a field of the catalogue. Did you mean 'finance'?" in message
    assert "cac, direction" in message and "b, unit" in message


def test_an_influence_declares_its_lags_in_advance_and_two_at_most():
    other = entry(id="other")
    kpis = catalogue.from_content(
        {
            "version": "1",
            "date": "2026-07-01",
            "equivalence_margin_sd": 0.3,
            "kpis": [entry(influences=[{"kpi": "other", "lag_weeks": [1, 3], "margin_sd": 0.1, "sign": 0}]), other],
        }
    )
    declared = kpis["cac"].influences[0]
    assert (declared.lag_weeks, declared.lag_quarters, declared.margin_sd, declared.sign) == ((1, 3), (), 0.1, 0)
    assert kpis.equivalence_margin_sd == 0.3
    for wrong, said in (
        ({}, "cac, influences, 0: state lag_weeks, lag_quarters or both"),
        ({"lag_weeks": [1, 2, 3]}, "at most 2"),
        ({"lag_weeks": [1, 1]}, "no lag twice"),
        ({"lag_quarters": 9}, "lag_quarters [9]: at most 8"),
        ({"lag_weeks": -1}, "greater than or equal to 0"),
        ({"lag_weeks": 1, "margin_sd": 0}, "greater than 0"),
        ({"lag_weeks": 1, "lag_months": 1}, "lag_months: not a field"),
    ):
        assert said in refusal(entry(influences=[{"kpi": "other", **wrong}]), other)


def test_a_name_that_stands_twice_in_the_file_is_refused(tmp_path):
    path = tmp_path / "kpis.yml"
    path.write_text(yaml.safe_dump({"version": "1"}) + "version: '2'\n", encoding="utf-8")
    with pytest.raises(errors.ToolkitError, match=r"line 2.*'version' is stated twice"):
        catalogue.read(path)


@pytest.mark.parametrize("content", ["kpis: [", "!!python/object/apply:os.system ['true']", "- 1", ""])
def test_broken_yaml_tags_and_other_content_are_refused(tmp_path, content):
    path = tmp_path / "kpis.yml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(errors.ToolkitError, match=r"kpis\.yml"):
        catalogue.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.ToolkitError, match=r"there is no catalogue\. Check the parameter 'catalogue'"):
        catalogue.read(tmp_path / "kpis.yml")


def test_a_figure_and_its_status():
    kpi = check(entry(positive=["new_customers"])).kpis[0]
    assert kpi.value("finance", {"marketing_cost": 100_00, "new_customers": 8}) == (1250.0, "ok")
    assert kpi.value("finance", {"marketing_cost": 100_00, "new_customers": 0}) == (None, "not_meaningful")
    assert kpi.value("finance", {"marketing_cost": 100_00, "new_customers": -3}) == (None, "not_meaningful")
    assert kpi.value("finance", {"marketing_cost": None, "new_customers": 8}) == (None, "no_figure")
    assert kpi.value("finance", {"new_customers": 0}) == (None, "no_figure")
    assert kpi.value("marketing", {"marketing_cost": 1, "new_customers": 8}) == (None, "no_figure")


def test_drivers_may_stand_on_drivers():
    kpi = check(
        entry(
            drivers={"full": "marketing_cost + tools", "tools": "2 * acquisition_tools"},
            formula={"finance": "full / new_customers"},
        )
    ).kpis[0]
    values = {"marketing_cost": 60, "acquisition_tools": 20, "new_customers": 4}
    assert kpi.measures() == ["marketing_cost", "acquisition_tools", "new_customers"]
    assert kpi.value("finance", values) == (25.0, "ok")
    assert kpi.inputs(values)["full"] == 100


def test_listed_only_where_the_tables_are_declared():
    shipped = catalogue.read(SHIPPED)
    ids = [kpi.id for kpi, _ in shipped.listed({"financials"})]
    assert "total_members" in ids and "cac" not in ids and "claimed_roas" not in ids
    both = {
        basis
        for kpi, basis in shipped.listed({"ledger", "orders", "customers", "ad_spend", "platform_claims"})
        if kpi.id == "cac"
    }
    assert both == {"finance", "marketing"}
    assert "total_members" not in [kpi.id for kpi, _ in shipped.listed({"ledger", "orders"})]


VALUES = {
    "media_spend": 90_000_00,
    "media_cost": 80_000_00,
    "marketing_accruals": 1_000_00,
    "agency_fees": 9_000_00,
    "rebates": -2_000_00,
    "marketing_cost": 88_000_00,
    "acquisition_salaries": 10_000_00,
    "acquisition_tools": 500_00,
    "claimed_conversions": 900,
    "claims_without_order": 120,
    "duplicate_claims": 200,
    "claims_of_repeat_orders": 310,
    "unclaimed_first_orders": 45,
    "new_customers": 315,
    "revenue": 1_000_000_00,
    "cost_of_sales": 600_000_00,
    "orders": 2000,
    "gross_orders": 1_250_000_00,
    "active_customers": 1500,
    "total_members": 7,
    "paid_members": 6,
}


def test_the_shipped_decompositions_equal_their_formulas():
    catalogue.check_decompositions(catalogue.read(SHIPPED), VALUES)


def test_a_decomposition_that_leaves_something_over_must_say_so():
    kpi = entry(decompositions={"by_media": "media_cost / new_customers"})
    with pytest.raises(errors.Faults, match=r"cac, decomposition by_media: gives .* where the finance formula gives"):
        catalogue.check_decompositions(check(kpi), VALUES)
    kpi["decompositions"] = {"by_media": {"formula": "media_cost / new_customers", "residual": "other_marketing"}}
    catalogue.check_decompositions(check(kpi), VALUES)


def test_a_basis_bridge_must_meet_both_formulas():
    shipped = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    broken = copy.deepcopy(shipped)
    cac = next(kpi for kpi in broken["kpis"] if kpi["id"] == "cac")
    cac["basis_bridge"] = cac["basis_bridge"].replace("+ rebates", "")
    with pytest.raises(errors.Faults, match="cac, basis_bridge"):
        catalogue.check_decompositions(catalogue.from_content(broken), VALUES)


def test_series_are_names_that_formulas_may_use():
    content = {"version": "1", "date": "2026-07-01", "series": {"followers": {"aggregate": "last"}}}
    own = entry(id="fans", formula={"marketing": "followers / followers_year_ago - 1"})
    kpis = catalogue.from_content({**content, "kpis": [own]})
    assert kpis.aggregates == {"followers": "last"}
    assert kpis["fans"].value("marketing", {"followers": 12.5, "followers_year_ago": 10}) == (0.25, "ok")
    assert [kpi.id for kpi, _ in kpis.listed({"kpi_series"})] == ["fans"] and not kpis.listed({"ledger"})
    assert "unknown measure 'followers' at character 1" in refusal(entry(formula={"marketing": "followers"}))
    for name in ("revenue", "revenue_year_ago"):
        with pytest.raises(errors.ToolkitError, match=f"series, {name}: a measure has this name"):
            catalogue.from_content({**content, "series": {name: {"aggregate": "sum"}}, "kpis": [entry()]})
    with pytest.raises(errors.ToolkitError, match="series, followers, aggregate"):
        catalogue.from_content({**content, "series": {"followers": {"aggregate": "median"}}, "kpis": [own]})


def criterion(**changes):
    stated = {
        **{"campaign": "autumn", "unit": "it", "kpi": "cac", "basis": "finance", "target": 40, "agreed_by": ["CFO"]},
        **{"first_day": "2026-09-01", "last_day": "2026-09-30", "agreed_on": "2026-08-31"},
    } | changes
    return catalogue.from_content({"version": "1", "date": "2026-07-01", "kpis": [entry()], "criteria": [stated]})


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({}, "agreed_before"),
        ({"agreed_on": "2026-09-01"}, "agreed_late"),
        ({"agreed_on": "2026-10-05", "agreed_by": ["CMO"]}, "agreed_late"),
        ({"agreed_by": ["CMO", "CEO"]}, "without_cfo"),
    ],
)
def test_criteria_say_whether_they_were_agreed_before_the_window(changes, standing):
    assert criterion(**changes).criteria[0].standing == standing


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kpi": "cca"}, "criteria, autumn: 'cca' is no KPI of the catalogue. Did you mean 'cac'?"),
        ({"basis": "marketing"}, "criteria, autumn: cac has no marketing basis"),
        ({"last_day": "2026-08-01"}, r"the window ends \(2026-08-01\) before it begins"),
        ({"agreed_by": []}, "criteria, 0, agreed_by"),
        ({"agreed": "2026-08-31"}, "not a field of the catalogue. Did you mean 'agreed_on'?"),
    ],
)
def test_criteria_that_cannot_be_judged_are_refused(changes, said):
    with pytest.raises(errors.ToolkitError, match=said):
        criterion(**changes)


def test_a_name_is_used_once_also_for_kpis_found_elsewhere():
    other = {"id": "cac", "name": {"en": "x", "it": "x"}, "owner": ["CMO"], "direction": 1, "found_in": ["a_b"]}
    content = {"version": "1", "date": "2026-07-01", "kpis": [entry()]}
    with pytest.raises(errors.ToolkitError, match="cac: two KPIs have this id"):
        catalogue.from_content({**content, "elsewhere": [{**other, "version": 1, "date": "2026-07-01"}]})


def test_a_driver_that_must_be_positive_makes_the_figure_meaningless_where_it_is_not():
    kpi = check(
        entry(drivers={"margin": "revenue - cost_of_sales"}, formula={"finance": "1 / margin"}, positive=["margin"])
    ).kpis[0]
    assert kpi.value("finance", {"revenue": 5, "cost_of_sales": 3}) == (0.5, "ok")
    assert kpi.value("finance", {"revenue": 3, "cost_of_sales": 5}) == (None, "not_meaningful")
    assert kpi.value("finance", {"revenue": 3, "cost_of_sales": 3}) == (None, "not_meaningful")
    assert "positive: unknown measure 'margn'. Did you mean 'margin'?" in refusal(
        entry(drivers={"margin": "revenue - cost_of_sales"}, positive=["margn"])
    )


def test_an_import_in_a_formula_is_refused_at_its_character():
    message = refusal(entry(formula={"finance": "revenue + __import__('os')"}))
    assert message.startswith('kpis.yml: cac, basis finance: "\'" at character 22 is not allowed')
    assert "unknown measure '__import__' at character 11" in refusal(entry(formula={"finance": "revenue + __import__"}))


def test_the_shipped_catalogue_holds_every_kpi_of_the_definition():
    shipped = catalogue.read(SHIPPED)
    ids = {kpi.id for kpi in shipped.kpis} | {kpi.id for kpi in shipped.elsewhere}
    both = {kpi.id for kpi in shipped.kpis if len(kpi.formula.given()) == 2}
    assert ids >= {
        *("cac", "cac_paid", "cac_payback_months", "retention_cost_per_customer", "cltv", "cltv_to_cac", "web_traffic"),
        *("prospect_sessions", "conversion_rate", "first_order_conversion", "leads", "lead_win_rate", "new_customers"),
        *("brand_awareness", "retention", "campaign_roi", "budget_mix", "revenue", "revenue_growth", "company_roi"),
        *("growth_at_constant_currency", "contribution_margin", "ebit_margin", "market_share", "nps", "innovation"),
        *("employee_engagement", "employee_turnover", "emissions_intensity", "economic_profit"),
    }
    assert both >= {
        *("cac", "cltv", "cltv_to_cac", "web_traffic", "conversion_rate", "leads", "lead_win_rate", "brand_awareness"),
        *("new_customers", "retention", "revenue", "revenue_growth", "contribution_margin"),
    }
    unstated = [kpi.id for kpi in shipped.kpis if not kpi.owner or not kpi.sources or kpi.version < 1]
    assert unstated == []


def test_decompositions_of_the_shipped_catalogue_hold_on_made_up_figures():
    shipped = catalogue.read(SHIPPED)
    names = {name for kpi in shipped.kpis for name in kpi.measures()}
    names |= {
        name
        for kpi in shipped.kpis
        for entry in kpi.decompositions.values()
        for name in formula.names(kpi.tree(entry.formula, expand=True))
    }
    values = {name: 1000 + 7 * number for number, name in enumerate(sorted(names))}
    whole = ["media_cost", "marketing_accruals", "agency_fees", "rebates"]
    values["marketing_cost"] = sum(values[name] for name in whole)
    values["operating_profit"] = values["revenue"] - sum(
        values[name]
        for name in (
            *("cost_of_sales", "marketing_cost", "acquisition_salaries", "acquisition_tools", "operating_expenses"),
        )
    )
    claimed = ["claimed_conversions", "unclaimed_first_orders"]
    removed = ["claims_without_order", "duplicate_claims", "claims_of_repeat_orders"]
    values["new_customers"] = sum(values[n] for n in claimed if n in values) - sum(values.get(n, 1) for n in removed)
    values |= {name: values.get(name, 1) for name in removed}
    catalogue.check_decompositions(shipped, values)
    values["new_customers"] += 1
    with pytest.raises(errors.ToolkitError, match="new_customers, basis_bridge"):
        catalogue.check_decompositions(shipped, values)


@pytest.mark.parametrize(("factor", "held"), [("1.0000000001", True), ("1.00000001", False)])
def test_a_decomposition_equals_its_formula_to_the_ninth_digit(factor, held):
    kpi = entry(decompositions={"by_line": f"{factor} * marketing_cost / new_customers"})
    values = {"marketing_cost": 1_000_00, "new_customers": 7}
    with contextlib.nullcontext() if held else pytest.raises(errors.Faults, match="by_line: gives"):
        catalogue.check_decompositions(check(kpi), values)


@pytest.mark.parametrize(("cost", "status"), [(1, "ok"), (0, "not_meaningful"), (-1, "not_meaningful")])
def test_what_must_be_positive_may_not_be_zero_even_where_nothing_is_divided_by_it(cost, status):
    kpi = check(entry(positive=["marketing_cost"])).kpis[0]
    assert kpi.value("finance", {"marketing_cost": cost, "new_customers": 5})[1] == status
