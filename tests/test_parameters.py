"""Parameters: merged deeply, checked by name, refused with all that is wrong."""

from pathlib import Path

import pytest

from kpitoolkit import parameters
from kpitoolkit.errors import Faults, ToolkitError


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
    "unit", ["../x", "<script>", "a/b", "", "group", "failed", "x" * 65, ".hidden", "a\nb", "è", "CON"]
)
def test_a_unit_that_cannot_name_a_folder_is_refused(case, unit):
    assert "x.yml: " in said(case(x=f"unit: {unit!r}\n" if "\n" not in unit else 'unit: "a\\nb"\n'))


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
