"""KPIs over time on the sample company: planted drivers are found, and nulls are called none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from kpitoolkit import errors, sample
from kpitoolkit.reconciliation import catalogue, evidence, measures, series
from tests import sample_tables

ROOT = Path(__file__).parents[2]
QUARTER = "2026Q3"
KEPT = ("share_of_search", "followers", "likes", "video_views", "newsletter_opens", "app_rating", "reach")
KEPT += ("podcast_downloads", "hashtag_mentions")
WEEKLY = ["ad_spend", "controls", "fx_rates", "kpi_series", "ledger", "web_sessions"]
SURVEYED = {
    "nps": "(nps_promoters - nps_detractors) / nps_answers",
    "engagement": "engaged_employees / employee_answers",
}


def entry(name, text, company, **lags):
    base = {"unit": "share", "direction": 1, "additive": "ratio", "version": 1, "date": "2026-10-01", "owner": ["CMO"]}
    influences = [{"kpi": company, **lags}] if company else []
    return base | {
        "id": name, "name": {"en": name, "it": name}, "formula": {"finance": text}, "influences": influences,
    }  # fmt: skip


@pytest.fixture(scope="module")
def definitions():
    content = yaml.safe_load((ROOT / "parameters" / "kpis.yml").read_text(encoding="utf-8"))
    own = [entry(name, name, "revenue", lag_weeks=1) for name in ("prospect_sessions", *KEPT)]
    own += [entry("nps", SURVEYED["nps"], None), entry("engagement", SURVEYED["engagement"], "nps", lag_quarters=1)]
    added = {kpi["id"] for kpi in own}
    others = [kpi | {"influences": []} for kpi in content["kpis"] if kpi["id"] not in added]
    content["kpis"] = others + own
    return catalogue.Catalogue.model_validate(content)


@pytest.fixture(scope="module")
def truth():
    return pd.read_csv(sample.ensure() / "truth" / "evidence.csv")


def weekly(unit, definitions):
    none = pd.DataFrame({"measure": [], "quarter": [], "value": []})
    return series.of_unit(sample_tables.read(unit, WEEKLY), definitions, none, unit, QUARTER, "EUR")


@pytest.mark.parametrize("unit", ["retail-it", "online-eu"])
def test_planted_weekly_drivers_are_found_and_nulls_are_not_called_drivers(unit, definitions, truth):
    found = evidence.test(weekly(unit, definitions), definitions).table.set_index("kpi")["class"]
    planted = truth[truth["unit"] == unit].set_index("marketing_kpi")["truth"]
    for kpi, what in planted.items():
        if what == "unrelated":
            assert found[kpi] not in ("driver", "echo"), kpi
        else:
            assert found[kpi] == what, kpi


def test_engagement_leads_nps_over_all_units(definitions):
    by_unit = {}
    for unit in ("retail-it", "online-eu", "b2b", "retail-uk"):
        given = sample_tables.read(unit, ["surveys"])
        by_unit[unit] = series.of_unit(given, definitions, measures.compute(given, "EUR"), unit, QUARTER, "EUR")
    row = evidence.pooled(by_unit, definitions).table.set_index("kpi").loc["engagement"]
    assert (row["class"], row["units"], row["lag"]) == ("driver", 4, 1)
    errors_of = pd.concat(by_unit.values()).groupby("kpi")["standard_error"]
    assert errors_of.count()["nps"] == 4 * 28 and errors_of.min()["nps"] > 0.005


def test_weeks_hold_what_the_tables_hold(definitions):
    given = sample_tables.read("retail-it", WEEKLY)
    found = weekly("retail-it", definitions)
    assert list(found.columns) == series.COLUMNS
    assert not found.duplicated(["unit", "kpi", "basis", "frequency", "period"]).any()
    weeks = found[found["kpi"] == "revenue"].set_index("period")["value"]
    assert (weeks.index.day_of_week == 6).all() and (weeks.index.to_series().diff().dropna().dt.days == 7).all()
    sales = given["ledger"][given["ledger"]["account"].astype(str) == "4000"].set_index("date")["amount_cents"]
    first, last = weeks.index[0] - pd.Timedelta(days=6), weeks.index[-1]
    assert weeks.sum() == pytest.approx(sales[(sales.index >= first) & (sales.index <= last)].astype(float).sum())
    likes = given["kpi_series"].query("kpi == 'likes'").set_index("week_end")["value"]
    mine = found[found["kpi"] == "likes"].set_index("period")["value"]
    np.testing.assert_allclose(mine, likes[mine.index])


def test_nothing_after_the_quarter_enters_and_what_is_not_covered_has_no_row(definitions):
    given = sample_tables.read("retail-it", ["kpi_series", "web_sessions"])
    none = pd.DataFrame({"measure": [], "quarter": [], "value": []})
    found = series.of_unit(given, definitions, none, "u", "2024Q4", "EUR")
    assert found["period"].max() <= pd.Timestamp("2024-12-31") and "revenue" not in set(found["kpi"])
    assert series.of_unit({}, definitions, none, "u", "2024Q4", "EUR").empty


def test_a_series_with_the_name_of_a_measure_is_refused(definitions):
    given = sample_tables.read("retail-it", ["kpi_series", "web_sessions"])
    renamed = given["kpi_series"].replace({"kpi": {"likes": "prospect_sessions"}})
    with pytest.raises(errors.ToolkitError, match="prospect_sessions are measures of other tables"):
        series.by_week(given | {"kpi_series": renamed}, QUARTER, "EUR")


def test_the_sampling_error_of_a_survey(definitions):
    values = {"nps_promoters": 200, "nps_detractors": 100, "nps_answers": 500}
    error = series.standard_error(definitions["nps"], "finance", values)
    assert 1.96 * error == pytest.approx(0.066, abs=0.0005)  # 40/40/20 of 500: 20 +- 6.6
    assert np.isnan(series.standard_error(definitions["revenue"], "finance", {"revenue": 1}))
    three = {"nps_promoters": 3, "nps_detractors": 0, "nps_answers": 3}
    assert series.standard_error(definitions["nps"], "finance", three) > 0.2
