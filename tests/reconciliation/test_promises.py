"""Promises: by hand, with figures missing, announced late, about KPIs; last quarter's budget; the sample's truth."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kpitoolkit import pages, sample
from kpitoolkit.reconciliation import catalogue, measures, promises
from tests import sample_tables

CATALOGUE = catalogue.read(Path(__file__).parents[2] / "parameters" / "kpis.yml")
NOW, BEFORE, LAST_YEAR = "2026Q3", "2026Q2", "2025Q3"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def found(**values):
    rows = [(name, quarter, value) for name, by_quarter in values.items() for quarter, value in by_quarter.items()]
    return pd.DataFrame(rows, columns=["measure", "quarter", "value"]).astype({"value": float})


FIGURES = found(
    media_spend={LAST_YEAR: 70_000_00, BEFORE: 100_000_00, NOW: 90_000_00},
    orders={LAST_YEAR: 900, BEFORE: 1_000, NOW: 1_300},
    gross_orders={BEFORE: 100_000_00, NOW: 117_000_00},
    revenue={BEFORE: 80_000_00, NOW: 100_000_00},
    marketing_cost={BEFORE: 8_000_00, NOW: 9_000_00},
    clicks={NOW: 500},
)


def announced(*rows):
    frame = pd.DataFrame(rows, columns=["measure", "amount", "made_on"]).assign(
        unit="it", quarter=NOW, owner="CMO", text="", promise_id=[f"P{n}" for n in range(len(rows))]
    )
    return frame.astype({"made_on": "datetime64[us]", "amount": float})


def held(*rows, **options):
    return promises.promises(announced(*rows), FIGURES, CATALOGUE, NOW, "EUR", **options)


def test_promises_by_hand():
    rows = held(
        ("media_spend", -20_000, "2026-06-20"),
        ("orders", 300, "2026-06-20"),
        ("orders", -50, "2026-06-20"),
        ("orders", 316, "2026-06-20"),
        ("clicks", 10, "2026-06-20"),
        ("click", 10, "2026-06-20"),
    ).table
    assert rows["status"].tolist() == [
        *("partly_kept", "kept", "not_kept", "partly_kept", "cannot_be_told", "cannot_be_told")
    ]
    assert rows["share_kept"].tolist()[:3] == [0.5, 1.0, -6.0]
    assert rows.loc[0, ["before", "after", "promised", "change"]].tolist() == [
        *(100_000_00, 90_000_00, -20_000_00, -10_000_00)
    ]
    assert rows["reason"].tolist() == ["", "", "", "", "no_figure", "unknown_measure"]
    assert rows.loc[4:, "change"].isna().all()


def test_kept_begins_at_95_per_cent():
    assert promises.judged(0, 95, 100)[1] == "kept"
    assert promises.judged(0, 94.9, 100)[1] == "partly_kept"
    assert promises.judged(0, -0.1, 100)[1] == "not_kept"
    assert promises.judged(0, 0, 100)[1] == "not_kept"


def test_a_promise_about_a_kpi_is_kept_in_its_own_unit():
    rows = held(("average_order_value", -10, "2026-06-20"), ("marketing_intensity", -0.02, "2026-06-20")).table
    assert rows["value_unit"].tolist() == ["money_per_unit", "share"]
    assert rows["change"].tolist() == pytest.approx([-10_00, 0.09 - 0.10])
    assert rows["share_kept"].tolist() == pytest.approx([1.0, 0.5])
    said = held(("marketing_intensity", -0.02, "2026-06-20")).findings("en")
    assert any("−2.0" in sentence and "Marketing cost on revenue" in sentence for sentence in said)


def test_against_a_year_ago_is_stated():
    result = held(("orders", 400, "2026-06-20"), against="year_ago")
    assert result.table["share_kept"].tolist() == [1.0]
    assert "a year ago" in result.findings("en")[0]
    assert "the quarter before" in held(("orders", 400, "2026-06-20")).findings("en")[0]


def test_what_was_announced_late_is_judged_and_said():
    result = held(("orders", 300, "2026-07-01"), ("orders", 300, "2026-06-30"))
    assert result.table["made_late"].tolist() == [True, False]
    assert result.table["status"].tolist() == ["kept", "kept"]
    assert sum("when the quarter had begun" in sentence for sentence in result.findings("en")) == 1


def test_promises_for_another_quarter_are_not_read():
    other = announced(("orders", 300, "2026-06-20")).assign(quarter=BEFORE)
    assert not len(promises.promises(other, FIGURES, CATALOGUE, NOW, "EUR").table)


@pytest.mark.parametrize("language", ["en", "it"])
def test_without_promises_it_is_said(language):
    for table in (None, announced()):
        result = promises.promises(table, FIGURES, CATALOGUE, NOW, "EUR")
        assert not len(result.table) and len(result.findings(language)) == 2
        result.plot(language=language)
        result.shown(language)


BUDGET = pd.DataFrame(
    {"channel": ["tv", "web", "radio", "post"], "spend_now": [100.0, 200.0, 50.0, 10.0], "spend_proposed": 100.0}
)


def test_spend_against_last_quarter_s_budget():
    spent = {"tv": 104.0, "web": 150.0, "radio": 100.0, "mail": 7.0}
    rows = held(budget=BUDGET, spent=spent).table.set_index("measure")
    assert rows["status"].to_dict() == {"tv": "kept", "web": "partly_kept", "radio": "kept", "post": "not_kept"}
    assert rows.loc["post", "after"] == 0 and rows.loc["web", "share_kept"] == 0.5
    said = held(budget=BUDGET, spent=spent).findings("en")
    assert any("2 of 4 channels: €400 was recommended in all, €354 spent" in sentence for sentence in said)
    unknown = held(budget=BUDGET)
    assert (unknown.table["status"] == "cannot_be_told").all()
    assert any("spend has no figures" in sentence for sentence in unknown.findings("en"))


def test_floating_point_moves_no_figure_and_keeps_no_promise():
    assert promises.judged(0.3, 0.1 + 0.2, 0.02) == (0.0, "not_kept")
    assert promises.judged(0.3, 0.319, 0.02) == (0.95, "kept")
    assert promises.judged(0.3, 0.3, -0.02) == (0.0, "not_kept")


def test_spend_beyond_the_budget_does_not_follow_it():
    """Recommended 110 of 100 and 80 of 100: up to 5% beyond follows, three times as much and nothing at all do not."""
    budget = pd.DataFrame({"channel": ["tv", "web"], "spend_now": 100.0, "spend_proposed": [110.0, 80.0]})

    def statuses(tv, web):
        return held(budget=budget, spent={"tv": tv, "web": web}).table["status"].tolist()

    assert statuses(110.0, 80.0) == statuses(115.5, 76.0) == ["kept", "kept"]
    assert statuses(115.6, 75.9) == statuses(330.0, 0.0) == ["not_kept", "not_kept"]
    assert statuses(105.0, 90.0) == ["partly_kept", "partly_kept"]
    said = held(budget=budget, spent={"tv": 330.0, "web": 0.0}).findings("en")
    assert any("in 0 of 2 channels: €190 was recommended in all, €330 spent" in sentence for sentence in said)
    # What was announced may be outdone.
    assert held(("orders", 100, "2026-06-20")).table["status"].tolist() == ["kept"]


def test_spend_is_counted_as_the_budget_counts_it():
    days = pd.to_datetime(["2026-06-28", "2026-06-29", "2026-09-27", "2026-09-28"])
    rows = pd.DataFrame({"date": days, "platform": "social", "spend_cents": [1, 122_00, 244_00, 1], "currency": "EUR"})
    assert promises.spent_by_channel(rows, NOW, "EUR", platforms_including_vat={"social": 0.22}) == {"social": 300.0}
    assert promises.spent_by_channel(rows.assign(currency="USD"), NOW, "EUR") is None
    assert promises.spent_by_channel(rows.head(2), NOW, "EUR") is None  # the export ends in the quarter's first week
    assert (
        promises.spent_by_channel(rows.head(0), NOW, "EUR") is None and promises.spent_by_channel(None, NOW, "") is None
    )


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_page_can_show_it(language):
    result = held(("media_spend", -20_000, "2026-06-20"), ("click", 1, "2026-07-20"), budget=BUDGET, spent={"tv": 1.0})
    for source in ("announced", "recommended"):
        shown = result.shown(language, source)
        assert set(result.formats(source)) >= set(shown.columns)
        formats = {name: form for name, form in result.formats(source).items() if name in shown}
        pages.table(shown, language, formats, currency="EUR")
    result.plot(language=language)
    assert len(result.findings(language)) == 5
    causal = ("because of", "thanks to", "led to", "due to", "grazie", "dovut")
    assert not any(word in sentence for sentence in result.findings(language) for word in causal)


def test_the_sample_s_promises_are_told_apart():
    truth = pd.read_csv(sample.ensure() / "truth" / "promises.csv").set_index("promise_id")
    words = {"kept": "kept", "half_kept": "partly_kept", "broken": "not_kept"}
    seen = 0
    for unit, currency in (("retail-it", "EUR"), ("online-eu", "EUR"), ("b2b", "EUR"), ("retail-uk", "GBP")):
        given = sample_tables.read(
            unit, ["orders", "ad_spend", "ledger", "web_sessions", "leads", "fx_rates", "promises"]
        )
        figures = measures.compute(given, currency)
        rows = promises.promises(given["promises"], figures, CATALOGUE, NOW, currency).table.set_index("promise_id")
        for name, row in rows.iterrows():
            assert row["status"] == words[truth.loc[name, "outcome"]], name
            assert row["share_kept"] == pytest.approx(truth.loc[name, "kept"], abs=1e-4)
            seen += 1
    assert seen == len(truth) == 7
    assert np.isfinite(truth["kept"]).all()
