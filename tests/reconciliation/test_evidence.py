"""The evidence of declared influences: classes, the decision table, bad input, what is said and drawn."""

import itertools
from dataclasses import replace

import influences as made
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from kpitoolkit import errors
from kpitoolkit.reconciliation import evidence
from kpitoolkit.reconciliation import evidence_panel as panels


@pytest.fixture(scope="module")
def company():
    """Three years of weeks: a KPI that leads, one that follows, three that do neither, a constant, a copy, a short."""
    generator = np.random.default_rng(11)
    periods = 260
    leads = made.noise(generator, periods)
    own = made.moved_by(generator, leads, 0.5)
    follows = 0.4 * made.noise(generator, periods)
    follows[2:] += 0.9 * own[:-2]
    nulls = [made.noise(generator, periods) + made.trend_and_season(generator, periods, 1, "week") for _ in range(3)]
    series = {
        "company": 1e7 + 1e5 * (own + made.trend_and_season(generator, periods, 1, "week")),
        "leads": 900 + 40 * leads + 30 * made.trend_and_season(generator, periods, 1, "week"),
        "follows": follows,
        "null_a": nulls[0],
        "null_b": nulls[1],
        "null_c": nulls[2],
        "flat": np.full((periods, 1), 7.0),
        "short": np.where(np.arange(periods)[:, None] >= periods - 60, nulls[0], np.nan),
        "copy": 900 + 40 * leads + 0,
    }
    series["copy"] = series["leads"]
    return series


@pytest.fixture(scope="module")
def result(company):
    names = [name for name in company if name != "company"]
    return evidence.test(made.tidy(company), made.declared(names))


def class_of(result, kpi):
    return result.table.set_index("kpi").loc[kpi, ["class", "reason"]].tolist()


def test_what_leads_is_a_driver_what_follows_an_echo_and_nulls_are_neither(result):
    assert class_of(result, "leads") == ["driver", "leads_in_time"]
    assert class_of(result, "follows") == ["echo", "follows"]
    for null in ("null_a", "null_b", "null_c"):
        assert class_of(result, null)[0] in ("unproven", "vanity")


def test_bad_series_have_a_class_and_a_reason(result):
    assert class_of(result, "flat") == ["insufficient_data", "constant"]
    assert class_of(result, "short") == ["insufficient_data", "too_short"]
    rows = result.table.set_index("kpi")
    assert rows.loc["short", "periods"] == 60 and rows.loc["copy", "same_as"] == ""
    assert rows.loc["leads", "same_as"] == "copy"


def test_the_effect_is_the_one_planted_in_natural_units_too(result):
    row = result.table.set_index("kpi").loc["leads"]
    planted = 0.5 * 1e5  # cents a standard deviation of the KPI's own movement
    assert row["low_natural"] < planted * row["step"] / 40 < row["high_natural"]
    assert row["low"] < row["effect"] < row["high"]
    assert row["effect_natural"] / row["effect"] == pytest.approx(row["low_natural"] / row["low"])


def test_q_and_holm_are_the_libraries(result):
    rows = result.table.dropna(subset=["p"])
    np.testing.assert_allclose(rows["q"], stats.false_discovery_control(rows["p_holm"].to_numpy()))
    for p_values in ([0.03, 0.02], [0.6, 0.7], [0.01], [0.5, 0.001]):
        np.testing.assert_allclose(evidence.holm(np.array(p_values)), multipletests(p_values, method="holm")[1])


def test_each_class_is_a_row_of_the_table_that_the_page_prints(result):
    shown = result.decision_table()
    assert set(shown["class"]) == set(evidence.CLASSES)
    assert len(shown) == len(evidence.DECISIONS)
    pairs = set(zip(shown["class"], shown["reason"], strict=True))
    for found in zip(result.table["class"], result.table["reason"], strict=True):
        assert found in pairs or found[0] == "insufficient_data"


def test_every_combination_of_answers_has_one_class_and_vanity_needs_its_test():
    answers = [("yes", "no")] * (len(evidence.QUESTIONS) - 1)
    for enough, *others in itertools.product(("yes", "no", "copy"), *answers):
        given = dict(zip(evidence.QUESTIONS, (enough, *others), strict=True))
        found, _reason = evidence.decide(given)
        if found == "vanity":
            assert given["small"] == "yes" and enough == "yes"
        if found == "driver":
            wanted = {"leads_in_time": "yes", "ahead": "yes", "follows": "no", "placebo": "no", "small": "no"}
            assert given | wanted == given
        if found == "echo":
            assert given["follows"] == "yes" and given["leads_in_time"] == "no"


def test_the_same_period_has_no_direction_and_the_declared_sign_binds(company):
    both = {name: company[name] for name in ("company", "leads")}
    opposite = evidence.test(made.tidy(both), made.declared(["leads"], sign=-1))
    assert class_of(opposite, "leads") == ["unproven", "opposite_sign"]
    generator = np.random.default_rng(12)
    x = made.noise(generator, 200)
    at_once = evidence.test(
        made.tidy({"company": x + made.noise(generator, 200), "x": x}), made.declared(["x"], lags=(0,))
    )
    assert class_of(at_once, "x") == ["unproven", "same_period"]


def test_figures_that_are_the_companys_own_are_no_evidence(company):
    both = {"company": company["company"], "x": 3 * company["company"] - 5}
    found = evidence.test(made.tidy(both), made.declared(["x"]))
    assert class_of(found, "x") == ["unproven", "same_figures"]


def test_sixteen_quarters_are_enough_to_test_and_fifteen_are_not():
    generator = np.random.default_rng(13)
    x = made.noise(generator, 16)
    both = {"company": made.moved_by(generator, x, 0.3), "x": x}
    catalogue = made.declared(["x"], "quarter")
    assert class_of(evidence.test(made.tidy(both, "quarter"), catalogue), "x")[0] != "insufficient_data"
    fewer = {name: values[1:] for name, values in both.items()}
    assert class_of(evidence.test(made.tidy(fewer, "quarter"), catalogue), "x") == ["insufficient_data", "too_short"]


def test_sixteen_quarters_of_a_null_are_never_vanity():
    generator = np.random.default_rng(14)
    for _ in range(10):
        both = {"company": made.noise(generator, 16), "x": made.noise(generator, 16)}
        found = evidence.test(made.tidy(both, "quarter"), made.declared(["x"], "quarter"))
        assert class_of(found, "x")[0] != "vanity" and found.table["smallest_effect"].iloc[0] > 0.4


def test_units_are_pooled_and_missing_ones_are_named():
    generator = np.random.default_rng(15)
    x = made.noise(generator, 20, 5)
    waves = made.trend_and_season(generator, 20, 5, "quarter")
    series = made.tidy({"company": made.moved_by(generator, x, 0.6) + waves, "x": x}, "quarter")
    by_unit = {unit: rows for unit, rows in series.groupby("unit")} | {"u9": None}
    found = evidence.pooled(by_unit, made.declared(["x"], "quarter"))
    row = found.table.iloc[0]
    assert (row["class"], row["units"], found.missing_units) == ("driver", 5, ("u9",))
    assert np.isnan(row["effect_natural"]) and row["few_clusters_p"] < 0.1
    assert "u9" in found.findings("en")[0]
    by_unit["u0"] = by_unit["u0"][by_unit["u0"]["period"] > "2024-01-01"]
    assert evidence.pooled(by_unit, made.declared(["x"], "quarter")).table.iloc[0]["units"] == 4
    nobody = evidence.pooled({"u0": None}, made.declared(["x"], "quarter"))
    assert not len(nobody.table) and len(nobody.findings("it")) == 2


def _own_variance(series):
    x = series.loc[series["kpi"] == "x", ["value"]].to_numpy()
    panel = panels.Panel(x, x, "week")
    return panels.scaled(x, panel.season())[1][0] ** 2


def test_a_survey_of_few_answers_cannot_show_vanity():
    generator = np.random.default_rng(17)
    series = made.tidy({"company": made.noise(generator, 300), "x": made.noise(generator, 300)})
    catalogue = made.declared(["x"], margin=0.4)
    assert class_of(evidence.test(series, catalogue), "x")[0] == "vanity"
    wide = series.assign(standard_error=np.where(series["kpi"] == "x", 0.6, np.nan))
    found = evidence.test(wide, catalogue)
    assert class_of(found, "x") == ["unproven", "wide_measurement"]
    assert found.table["sampling_error_share"].iloc[0] == pytest.approx(0.36 / _own_variance(series), rel=0.02)


def test_arithmetic_parts_are_marked_and_prove_nothing(company):
    both = {name: company[name] for name in ("company", "null_a")}
    catalogue = made.declared(["null_a"], formula={"finance": "clicks_of_a_kind * gross_orders"})
    row = evidence.test(made.tidy(both), catalogue).table.iloc[0]
    assert row["arithmetic_part"] and row["class"] != "driver"


@pytest.mark.parametrize(
    ("classes", "common", "told"),
    [
        (["vanity", "unproven", "driver"], [False, None, False], "driver"),
        (["driver", "vanity"], [False, True], "common_ground"),
        (["unproven", "echo"], [None, None], "echo"),
        (["vanity", "insufficient_data"], [False, False], "insufficient_data"),
        (["vanity", "vanity"], [False, False], "vanity"),
    ],
)
def test_a_kpi_with_several_influences_has_one_class(classes, common, told):
    table = pd.DataFrame({"kpi": "nps", "class": classes, "common_ground": pd.array(common, "boolean")})
    other = pd.DataFrame({"kpi": ["likes"], "class": ["echo"], "common_ground": [False]})
    found = evidence.Evidence(pd.concat([table, other], ignore_index=True), {}).strip
    assert found.to_dict("records") == [{"kpi": "nps", "class": told}, {"kpi": "likes", "class": "echo"}]
    assert not len(evidence.Evidence(table.head(0), {}).strip)


def test_common_ground_needs_both_owners_and_one_definition(company):
    series = made.tidy({name: company[name] for name in ("company", "leads")})
    alone = made.declared(["leads"])
    entry = alone.kpis[1]
    assert not evidence.test(series, alone).table["common_ground"].iloc[0]
    shared = entry.model_copy(update={"owner": ["CMO", "CFO"]})
    one = alone.model_copy(update={"kpis": [alone.kpis[0], shared]})
    found = evidence.test(series, one)
    assert found.table["common_ground"].iloc[0]
    assert found.strip.to_dict("records") == [{"kpi": "leads", "class": "common_ground"}]
    formulas = entry.formula.model_copy(update={"finance": "clicks_of_a_kind"})
    two = alone.model_copy(update={"kpis": [alone.kpis[0], shared.model_copy(update={"formula": formulas})]})
    assert pd.isna(evidence.test(series, two).table["common_ground"].iloc[0])
    kpis = pd.DataFrame({"kpi": "leads", "basis": ["finance", "marketing"], "actual": [100.0, 100.4]})
    assert evidence.test(series, two, kpis).table["common_ground"].iloc[0]
    assert not evidence.test(series, two, kpis.assign(actual=[100.0, 101.0])).table["common_ground"].iloc[0]


@pytest.mark.parametrize(("language", "written"), [("en", "points"), ("it", "punti")])
def test_effects_on_shares_and_steps_of_shares_are_points(company, language, written):
    series = {name: company[name] / scale for name, scale in (("company", 1e8), ("leads", 1e4))}
    catalogue = made.declared(["leads"], unit="share")
    found = evidence.test(made.tidy(series), catalogue)
    [row] = found.table.to_dict("records")
    assert row["class"] == "driver" and row["natural_unit"] == "share" and row["step_unit"] == "count"
    [said] = [sentence for sentence in found.findings(language) if "90%" in sentence]
    assert said.count(written) == 3 and said.count("%") == 1
    of_share = replace(found, table=found.table.assign(step_unit="share"))
    [said] = [sentence for sentence in of_share.findings(language) if "90%" in sentence]
    assert said.count(written) == 4 and said.count("%") == 1


def test_two_values_for_one_period_are_refused(company):
    series = made.tidy({name: company[name] for name in ("company", "leads")})
    with pytest.raises(errors.ToolkitError, match="leads has two values for u0, 2026-09-27"):
        evidence.test(pd.concat([series, series.tail(1)]), made.declared(["leads"]))


@pytest.mark.parametrize("language", ["en", "it"])
def test_what_is_said_and_drawn(result, language):
    said = result.findings(language)
    assert all("{" not in sentence for sentence in said)
    assert any("0.20" in sentence or "0,20" in sentence for sentence in said)
    ax = result.plot(language=language)
    assert len(ax.get_yticklabels()) == result.table["effect"].notna().sum()
    plt.close("all")
    assert len(result.shown(language)) == len(result.table)
