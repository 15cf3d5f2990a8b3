"""The catalogues: every label in both languages and in one room only, every sentence and Markdown block in Italian."""

import ast
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from babel.messages.pofile import read_po

from kpitoolkit import text
from kpitoolkit.pages import markup

ROOT = Path(__file__).parents[1]
PLACEHOLDER = re.compile(r"\{(\w+)\}")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def messages(language):
    for path in sorted((text.CATALOGUES / language).glob("*.po")):
        with path.open("rb") as file:
            yield from ((path.stem, m) for m in read_po(file, locale=language, abort_invalid=True) if m.id)


@pytest.mark.parametrize("language", text.LANGUAGES)
def test_a_key_stands_in_one_catalogue_only(language):
    count = Counter(message.id for _room, message in messages(language) if message.context == "label")
    assert [key for key, times in count.items() if times > 1] == []


def test_a_sentence_that_two_rooms_say_is_said_in_the_same_words():
    said = {}
    for _room, message in messages("it"):
        said.setdefault((message.context, str(message.id)), set()).add(str(message.string))
    assert {key: words for key, words in said.items() if len(words) > 1} == {}


def test_every_label_has_both_languages_in_the_same_room():
    labels = {
        language: {(room, m.id) for room, m in messages(language) if m.context == "label"}
        for language in text.LANGUAGES
    }
    assert labels["en"] ^ labels["it"] == set()


@pytest.mark.parametrize("language", text.LANGUAGES)
def test_no_translation_is_empty_or_loses_a_placeholder(language):
    for room, message in messages(language):
        given = message.id if isinstance(message.id, tuple) else (message.id,)
        said = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(said), (room, message.id)
        if message.context != "label" and not _is_prose(message.id):
            wanted = set().union(*(PLACEHOLDER.findall(part) for part in given))
            assert set().union(*(PLACEHOLDER.findall(part) for part in said)) == wanted, (room, message.id)


def _is_prose(message_id):
    return isinstance(message_id, str) and (message_id in BLOCKS or not markup.needs_translation(message_id))


def _blocks(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            yield from (block for block in markup.blocks(cell.source) if markup.needs_translation(block))


BLOCKS = {block for path in NOTEBOOKS for block in _blocks(path)}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_markdown_block_is_translated(path):
    known = {message.id for _room, message in messages("it") if message.context is None}
    assert [block for block in _blocks(path) if block not in known] == []


def _sentences(path):
    """Literal messages of `_("...")` and `plural(language, "...", "...", n)` in a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        direct = name == "_" or (
            isinstance(node.func, ast.Call) and getattr(node.func.func, "attr", "") == "translator"
        )
        literals = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if direct and literals:
            yield literals[0]
        elif name == "plural" and len(literals) >= 2:
            yield literals[-2]


def test_every_sentence_of_the_package_is_translated():
    known = set()
    for _room, message in messages("it"):
        if message.context is None:
            known.add(message.id[0] if isinstance(message.id, tuple) else message.id)
    paths = sorted((ROOT / "kpitoolkit").rglob("*.py"))
    missing = {
        (path.relative_to(ROOT).as_posix(), sentence)
        for path in paths
        for sentence in _sentences(path)
        if sentence not in known and path.name != "text.py"
    }
    assert missing == set()
