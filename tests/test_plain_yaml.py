"""YAML files: what is read, and what is refused in the same words whichever parser meets it first."""

from pathlib import Path

import pytest
import yaml

from kpitoolkit import plain_yaml
from kpitoolkit.errors import Faults

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "parameters").rglob("*.yml"), *(ROOT / "kpitoolkit").rglob("*.yml")])


def read(folder, text):
    path = folder / "case.yml"
    path.write_text(text, encoding="utf-8")
    return plain_yaml.load(path)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_both_parsers_read_our_files_alike(path):
    text = path.read_text(encoding="utf-8")
    assert plain_yaml.load(path) == yaml.safe_load(text)
    assert yaml.load(text, Loader=plain_yaml._FastLoader) == yaml.safe_load(text)


def test_values_of_every_plain_kind(tmp_path):
    text = "a: [1, 2.5, ~, yes, 2026-07-01]\nb: {c: 'x', d: &here [1_000]}\ne: *here\nf: |\n  two\n  lines\n"
    assert read(tmp_path, text) == yaml.safe_load(text)
    assert read(tmp_path, "") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "case.yml: line 3, column 1: 'a' is stated twice"),
        ("a: {b: 1, b: 2}\n", "case.yml: line 1, column 11: 'b' is stated twice"),
        ("a: 1\n b: 2\n", "case.yml: line 2, column 3: mapping values are not allowed here"),
        ("a: *x\n", "case.yml: line 1, column 4: found undefined alias 'x'"),
        ("a:\tb\n", "case.yml: line 1, column 3: found character '\\t' that cannot start any token"),
        ("a: !!python/name:os.system x\n", "line 1, column 4: YAML tags are not read: write plain values. could not"),
        ("a: \x07\n", "case.yml: is not YAML in UTF-8: unacceptable character #x0007"),
    ],
)
def test_what_is_refused_is_said_with_its_place(tmp_path, text, said):
    with pytest.raises(Faults) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)


def test_depth_without_end_is_an_error_and_no_crash(tmp_path):
    with pytest.raises(Faults, match="nested too deeply"):
        read(tmp_path, "a: " + "[" * 200_000)
