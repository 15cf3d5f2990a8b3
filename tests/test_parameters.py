"""Parameters: merged deeply, checked by name, refused with all that is wrong."""

import dataclasses
import json
from pathlib import Path

import pytest

from kpitoolkit import modelling, parameters
from kpitoolkit.errors import Faults, ToolkitError
from kpitoolkit.regression.priors import STATED, Priors


@pytest.fixture
def case(tmp_path):
    def write(**files):
        folder = tmp_path / "2026Q3"
        folder.mkdir(exist_ok=True)
        (folder / "_defaults.yml").write_text("quarter: 2026Q3\naccounts:\n  sales: ['70']\n")
        for name, content in files.items():
            (folder / f"{name}.yml").write_text(content)
        return folder

    return write


def said(folder: Path) -> str:
    with pytest.raises(ToolkitError) as caught:
        parameters.read_case(folder)
    return str(caught.value)


def test_a_unit_states_only_what_differs(case):
    folder = case(it="unit: it\naccounts:\n  media: ['61', '62']\nlookback_days: 14\n", uk="unit: uk\ncurrency: GBP\n")
    read = parameters.read_case(folder)
    assert list(read.units) == ["it", "uk"]
    assert read.units["it"].accounts["sales"] == ["70"]
    assert read.units["it"].accounts["media"] == ["61", "62"]
    assert read.units["it"].accounts["returns"] == ["4100"]
    assert read.units["uk"].accounts["media"] == ["6100"]
    assert (read.units["it"].lookback_days, read.units["uk"].lookback_days) == (14, 30)
    assert read.units["uk"].currency == "GBP" and read.group.unit == "group"


def test_all_faults_of_a_case_in_one_message(case):
    text = said(case(it="unit: it\nlookback_day: 14\n", uk="unit: uk\nlookback_days: 0\ncurrency: pound\n", x="a: 1\n"))
    assert "it.yml: 'lookback_day' is not a parameter. Did you mean 'lookback_days'?" in text
    assert "uk.yml: 'lookback_days'" in text and "uk.yml: 'currency'" in text
    assert "x.yml: states no unit" in text


def test_a_fault_of_the_defaults_is_said_once(case):
    folder = case(it="unit: it\n", uk="unit: uk\n")
    (folder / "_defaults.yml").write_text("quarter: 2026-Q3\nlanguag: it\n")
    text = said(folder)
    assert text.count("'languag' is not a parameter. Did you mean 'language'?") == 1
    assert text.count("is not a quarter such as 2026Q3") == 1
    assert "it.yml" not in text


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "../x",
            "..",
            "a/b",
            "a\\b",
            "<script>",
            "",
            "x" * 300,
            ".hidden",
            "_x",
            "dot.",
            "a\nb",
            "a\x1b[31mb",
            "\u202eb",
        ),
        *("è", "🙂", "group", "failed", "index", "Run.json", "CON", "con.txt", "nul", "lpt1.x"),
    ],
)
def test_a_unit_that_cannot_name_a_folder_is_refused(case, unit):
    message = said(case(x=f"unit: {json.dumps(unit)}\n", y="unit: fine\n", z="unit: FINE\n"))
    assert "x.yml: unit '" in message and "z.yml: unit 'FINE' would write the same output as y.yml" in message
    assert all(letter.isprintable() or letter == "\n" for letter in message)


@pytest.mark.parametrize("name", ["password", "api_key", "AUTH_TOKEN", "credentials", "secret", "user"])
def test_credentials_have_no_place_in_parameters(case, name):
    message = said(
        case(x=f"unit: x\n{name}: hunter2hunter2\n", y=f"unit: y\ndata: {{orders: {{file: a, {name}: hunter2}}}}\n")
    )
    assert f"x.yml: '{name}' is not a parameter. Addresses and credentials do not belong into parameters" in message
    assert message.count("KPITOOLKIT_CONNECTION_WAREHOUSE") == 2
    assert "hunter2" not in message


def test_two_units_that_would_write_one_output(case):
    assert "would write the same output as a.yml" in said(case(a="unit: Shop\n", b="unit: shop\n"))


def test_broken_yaml_says_where(case):
    assert "it.yml: line 2, column" in said(case(it="unit: it\n  bad: [1,\n"))


def test_a_file_that_cannot_be_read_is_one_fault(case):
    assert "states no unit" not in said(case(it="unit: [1,\n"))
    assert "unit 12 is not text. Write it in quotes" in said(case(it="unit: 12\n"))
    assert "write it in quotes" in said(case(it="unit: it\naccounts: {media: [6100]}\n"))


def test_yaml_tags_are_not_run(case):
    text = said(case(it="unit: !!python/object/apply:os.system ['echo hacked']\n"))
    assert "YAML tags are not read" in text


def test_a_key_stated_twice_is_refused(case):
    assert "'currency' is stated twice" in said(case(it="unit: it\ncurrency: EUR\ncurrency: GBP\n"))


def test_unknown_case_names_the_nearest(case):
    folder = case(it="unit: it\n")
    assert "Did you mean '2026Q3'?" in said(folder.parent / "2026Q4")


def test_a_case_without_units(case):
    assert "has no unit" in said(case())


def test_faults_of_the_data_block(case):
    text = said(
        case(it="unit: it\ndata:\n  order: {file: a.csv}\n  orders: {fil: a.csv}\n  ledger: {file: a, decimal: 1}\n")
    )
    assert "'order' is not a table. Did you mean 'orders'?" in text
    assert "orders: 'fil' is not an option of a table. Did you mean 'file'?" in text
    assert "ledger: 'decimal'" in text
    assert "Did you mean 'sample'?" in said(case(it="unit: it\ndata: samples\n"))


def test_accounts_in_two_lines(case):
    assert "accounts 6100 stand in two lines" in said(case(it="unit: it\naccounts:\n  returns: ['6100']\n"))
    assert "'sale' is not a line of accounts. Did you mean 'sales'?" in said(
        case(it="unit: it\naccounts:\n  sale: ['1']\n")
    )


def test_folders_of_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("KPITOOLKIT_OUTPUTS", str(tmp_path))
    place = parameters.workspace("c", "u")
    assert place.results_dir == tmp_path / "c" / "u"
    assert place.save_dir == tmp_path / "_interactive" / "u"
    assert parameters.workspace("c", "group").results_dir == tmp_path / "c"
    assert parameters.workspace("c", "u", unit_in_data="Unit U").unit_in_data == "Unit U"


def test_errors_of_where_it_is(tmp_path):
    with pytest.raises(ToolkitError, match=r"has no _defaults.yml"):
        parameters.read_case(tmp_path)
    assert issubclass(Faults, ToolkitError)


def test_a_quarter_begins_at_midnight_of_the_units_clocks(case):
    first, last = parameters.quarter_bounds("2026Q3", "Europe/Rome")
    assert str(first) == "2026-07-01 00:00:00+02:00" and str(last) == "2026-09-30 00:00:00+02:00"
    assert "'Europe/Room' is not a time zone" in said(case(it="unit: it\ntimezone: Europe/Room\n"))


# The regression and the budget


def test_what_a_case_may_state_of_regression_and_budget(case):
    folder = case(
        it="unit: it\nregression_adstock: delayed\nregression_saturation: logistic\nregression_seed: 7\n"
        "regression_priors: {media_share: 0.3, channels: {tv: {iroas: 2, iroas_sd: 0.5}}}\n"
        "budget_total: 90000\nbudget_largest_change: 0.2\nbudget_bounds: {tv: [0, 20000]}\n"
        "budget_scenarios: {more tv: {tv: 12000}}\nprevious_case: 2026Q2\n"
    )
    stated = parameters.read_case(folder).units["it"]
    assert stated.regression_priors == {"media_share": 0.3, "channels": {"tv": {"iroas": 2, "iroas_sd": 0.5}}}
    assert (stated.budget_total, stated.budget_bounds) == (90000, {"tv": [0, 20000]})
    assert (stated.budget_scenarios, stated.previous_case) == ({"more tv": {"tv": 12000}}, "2026Q2")
    plain = parameters.read_case(case(it="unit: it\n")).units["it"].model_dump()
    assert (plain["regression_priors"], plain["budget_total"], plain["previous_case"]) == ({}, "fixed", "")


def test_a_units_priors_are_merged_channel_by_channel(case):
    folder = case(it="unit: it\nregression_priors: {channels: {tv: {iroas: 3}}}\n", uk="unit: uk\n")
    (folder / "_defaults.yml").write_text(
        "quarter: 2026Q3\nregression_priors: {channels: {tv: {iroas: 2, carryover: 0.5}, web: {iroas: 1}}}\n"
    )
    units = parameters.read_case(folder).units
    assert units["it"].regression_priors["channels"] == {"tv": {"iroas": 3, "carryover": 0.5}, "web": {"iroas": 1}}
    assert units["uk"].regression_priors["channels"]["tv"]["iroas"] == 2


def test_the_names_of_priors_are_those_of_the_model():
    names = {each.name for each in dataclasses.fields(Priors)}
    assert {*modelling.PRIORS, "channels"} == names
    assert set(modelling.CHANNEL_PRIORS) == set(STATED)
    for name in modelling.PRIORS:
        modelling.known_priors({name: 0.999})
        Priors(**{name: 0.999})
        for value in (0, -1, float("nan"), *([1.0] if name in modelling.SHARES else [])):
            with pytest.raises(ValueError, match=name):
                modelling.known_priors({name: value})
            with pytest.raises(Faults, match=name):
                Priors(**{name: value})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("regression_priors: {media_shar: 0.2, trend: 1}", "'media_shar' is not a prior. Did you mean 'media_share'?"),
        ("regression_priors: {media_shar: 0.2, trend: 1}", "'trend' is not a prior."),
        ("regression_priors: {media_share: 22}", "media_share is a share and must be below 1, not 22"),
        ("regression_priors: {slope: true}", "slope must be a number above 0, not True"),
        (
            "regression_priors: {channels: {tv: {iroass: 2}}}",
            "channel 'tv': 'iroass' is not a prior. Did you mean 'iro",
        ),
        ("regression_priors: {channels: {tv: 2}}", "channels: write one block a channel"),
        ("regression_adstock: weibull", "'regression_adstock': Input should be 'auto', 'geometric' or 'delayed'"),
        ("regression_saturation: root", "'regression_saturation'"),
        ("regression_seed: -1", "'regression_seed'"),
        (
            "budget_total: fix",
            "must be fixed (as last quarter), free, or an amount above 0 for the quarter. Did you mean",
        ),
        ("budget_total: -5", "'budget_total': must be fixed"),
        ("budget_total: [fixed]", "'budget_total': must be fixed"),
        ("budget_largest_change: 30", "'budget_largest_change'"),
        ("budget_bounds: {tv: [5, 1]}", "needs 0 <= low <= high, not [5, 1] (amounts of the unit's currency"),
        ("budget_bounds: {tv: [-5, 1]}", "channel 'tv': needs 0 <= low <= high, not [-5, 1]"),
        ("budget_bounds: {tv: [0, many]}", "[low, high] (amounts of the unit's currency for the whole quarter)"),
        ("budget_bounds: {tv: 5}", "channel 'tv': write [low, high]"),
        ("budget_scenarios: {a: {tv: -1}}", "scenario 'a': spend on 'tv' must be a number of 0 or more, not -1"),
        ("budget_scenarios: {a: 5}", "scenario 'a': write spend of the quarter by channel"),
        ("previous_case: ../2026Q2", "'previous_case': is not the name of a case's folder"),
        ("previous_case: 2026Q3", "it.yml: previous_case is this case itself"),
        ("regression_prior: {}", "Did you mean 'regression_priors'?"),
    ],
)
def test_faults_of_regression_and_budget(case, line, expected):
    assert expected in said(case(it=f"unit: it\n{line}\n"))
