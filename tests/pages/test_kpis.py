"""The KPI table: judged against the target, in the KPI's own direction, grey where the interval holds the target."""

import pandas as pd
import pytest

from kpitoolkit.pages import kpis

COLUMNS = ["kpi", "basis", "actual", "low", "high", "target", "last_year", "value_unit", "direction", "owner"]
COLUMNS += ["status", "version"]


def frame(*rows):
    figures = ["actual", "low", "high", "target", "last_year"]
    return pd.DataFrame([dict(zip(COLUMNS, row, strict=True)) for row in rows]).astype(
        {name: float for name in figures}
    )


REVENUE = ("revenue", "finance", 1241e6, None, None, 1264e6, 1192e6, "money", 1, "CFO", "ok", 1)
MARGIN = ("margin", "finance", 0.318, None, None, 0.31, 0.302, "share", 1, "CEO", "ok", 1)
CAC = ("cac", "finance", 8640, None, None, 8000, 7890, "money_per_unit", -1, "CMO", "ok", 1)
CLTV = ("cltv_cac", "finance", 3.1, 2.2, 3.9, 3.0, 3.3, "ratio", 1, "CMO", "ok", 1)
NEW = ("new_customers", "finance", None, None, None, None, None, "count", 1, "CMO", "not_meaningful", 1)


def test_judged_by_hand():
    judged = kpis.variances(frame(REVENUE, MARGIN, CAC, CLTV, NEW)).set_index("kpi")
    assert judged["judgement"].to_dict() == {
        "revenue": "unfavourable",
        "margin": "favourable",
        "cac": "unfavourable",
        "cltv_cac": "indistinguishable",
        "new_customers": "no_reference",
    }
    assert judged.loc["revenue", "variance"] == pytest.approx(1241 / 1264 - 1)
    assert judged.loc["margin", "variance"] == pytest.approx(0.008)  # points, not a share of a share
    assert judged.loc["cltv_cac", "variance_low"] == pytest.approx(-0.8 / 3)


def test_written_with_sign_symbol_and_unit():
    html = kpis.kpi_table(frame(REVENUE, MARGIN, CAC, CLTV, NEW), "it", "EUR").html
    for cell in (
        ">12,41 <small>M€",
        ">31,8 <small>%",
        "▼ −1,8%",
        "▲ +0,8 punti",
        "▼ +8,0%",
        "non distinguibile",
        "n.s.",
    ):
        assert cell in html
    assert html.count('class="kt-interval"') == 1
    assert "<script" not in html and "http" not in html


def test_without_any_target_last_year_is_the_reference():
    rows = [(*row[:5], None, *row[6:]) for row in (REVENUE, CAC)]
    judged = kpis.variances(frame(*rows))
    assert set(judged["reference"]) == {"last_year"}
    html = kpis.kpi_table(frame(*rows), "it", "EUR").html
    assert "budget" not in html and "anno prec." in html


def test_the_finance_basis_stands_for_a_kpi_that_has_both():
    judged = kpis.variances(frame(REVENUE, ("revenue", "marketing", *REVENUE[2:]), ("roas", "marketing", *CLTV[2:])))
    assert judged[["kpi", "basis"]].values.tolist() == [["revenue", "finance"], ["roas", "marketing"]]


def test_at_most_eight_those_with_targets_and_figures_first_and_the_rest_is_counted():
    rows = [NEW, *[(f"kpi_{i}", *CAC[1:]) for i in range(9)]]
    html = kpis.kpi_table(frame(*rows), "en", "EUR").html
    assert html.count("<tr>") == 9
    assert "new customers" not in html and "2 more stand on the reconciliation page." in html


def test_bars_are_cut_with_a_point():
    row = {"variance": 9.0, "variance_low": None, "variance_high": None, "judgement": "favourable"}
    assert kpis.bar(row, 0.5)["path"] == "M70,5 H134 L139,11 L134,17 H70 Z"
    assert kpis.bar({**row, "variance": 0.5}, 0.5)["path"] == "M70,5 H134 V17 H70 Z"


def test_missing_reconciliation_and_hostile_names():
    assert "no reconciliation" in kpis.kpi_table(None, "en", "EUR").html
    hostile = frame(("<b>x</b>", *REVENUE[1:9], "<script>", "ok", 1))
    html = kpis.kpi_table(hostile, "en", "EUR").html
    assert "<b>" not in html and "<script" not in html


def test_what_rounds_to_nothing_is_neither_good_nor_bad():
    judged = kpis.variances(frame(("margin", "finance", 0.3104, None, None, 0.31, 0.302, "share", 1, "", "ok", 1)))
    assert judged["judgement"].tolist() == ["equal"]
    assert "= 0.0 points" in kpis.kpi_table(judged, "en", "EUR").html


def test_a_change_on_a_loss_is_written_as_an_amount_not_as_a_per_cent():
    row = ("contribution_margin", "finance", 6_236_100_000, None, None, None, -6_858_300_000, "money", 1, "", "ok", 1)
    html = kpis.kpi_table(frame(row), "en", "USD").html
    assert "▲ +$130.94M" in html and "%" not in html.split("<tbody>")[1]
    assert "▼" in kpis.kpi_table(frame((*row[:8], -1, *row[9:])), "en", "USD").html
