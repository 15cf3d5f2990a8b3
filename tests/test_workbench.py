"""The workbench without a browser: panels follow the unit, and say what they cannot show."""

import pytest

from kpitoolkit import parameters, regression, workbench

PARAMETERS = parameters.project_root() / "parameters"


def said(panel):
    return panel.children[-2].value.replace("\N{NO-BREAK SPACE}", " ")


def chart(panel):
    return panel.children[-1]


def drawn(panel):
    return bytes(chart(panel).value)


@pytest.fixture(scope="module")
def sample():
    return parameters.read_case(PARAMETERS / "sample-2026Q3")


@pytest.fixture(scope="module")
def netflix():
    return parameters.read_case(PARAMETERS / "netflix-2017Q3")


def test_a_slider_of_spend_gives_the_regressions_own_prediction(sample):
    units = workbench.unit_picker(sample, "b2b", "it")
    panel = workbench.spend_panel(sample, units, "it")
    first, before = said(panel), drawn(panel)
    assert "(0 €)" in first and before.startswith(b"\x89PNG")
    slider = panel.children[0].children[0]
    slider.value = 0.0
    assert said(panel) != first and drawn(panel) != before
    assert "(−" in said(panel)

    stated = sample.units["b2b"]
    found = regression.inputs(parameters.workspace_of(sample, stated), stated.quarter, currency="EUR")
    columns = (found.table, found.channels, found.controls, "week", stated.contribution_margin_share)
    result = regression.fit(*columns, lift_tests=found.lift_tests.entered, draft=True)
    chosen = workbench.mean_spend(result)
    usual = regression.predict(result, chosen)
    chosen[next(iter(chosen))] = 0.0
    sentences = workbench.spend_sentences(result, chosen, stated.contribution_margin_share, "it")
    assert regression.predict(result, chosen) < usual
    assert all(sentence in said(panel) for sentence in (s.replace("\N{NO-BREAK SPACE}", " ") for s in sentences))


def test_panels_follow_the_unit(netflix):
    units = workbench.unit_picker(netflix, "domestic-streaming", "en")
    panel = workbench.bridge_panel(netflix, units, "en")
    first = said(panel)
    assert drawn(panel).startswith(b"\x89PNG")
    units.value = "international-streaming"
    assert said(panel) != first


def test_another_period_is_another_bridge(netflix):
    units = workbench.unit_picker(netflix, "domestic-streaming", "en")
    panel = workbench.bridge_panel(netflix, units, "en")
    _kpi, earlier, later = panel.children[:3]
    first = said(panel)
    assert (earlier.value, later.value) == ("2016Q3", "2017Q3")
    earlier.value = "2015Q3"
    assert said(panel) != first
    earlier.value = "2017Q3"
    assert "earlier than the other" in said(panel) and chart(panel).layout.display == "none"


def test_what_is_not_declared_is_said(netflix):
    units = workbench.unit_picker(netflix, "domestic-dvd", "en")
    panel = workbench.attribution_panel(netflix, units, "en")
    assert "declares no table touchpoints, orders" in said(panel)
    assert chart(panel).layout.display == "none"


def test_a_fault_of_the_data_is_shown_and_not_thrown(sample, monkeypatch):
    message = "orders.csv: column 'gross' is missing"

    def refuse(*_args):
        raise workbench.ToolkitError(message)

    monkeypatch.setattr(workbench.tables, "read", refuse)
    panel = workbench.attribution_panel(sample, workbench.unit_picker(sample, "b2b", "en"), "en")
    assert "gross" in said(panel) and "missing" in said(panel)
