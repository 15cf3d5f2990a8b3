"""Tables and findings: the reader's words and separators, everything from data escaped."""

import pandas as pd

from kpitoolkit import pages

NO_BREAK = "\N{NO-BREAK SPACE}"


def test_a_table_by_hand():
    frame = pd.DataFrame(
        {
            "channel": ["search_paid", "tv"],
            "value_cents": pd.array([123_456_789, None], dtype="Int64"),
            "share": [0.25, 0.75],
            "quarter": ["2026Q3", "2026Q2"],
            "kind": ["step", "total"],
        }
    )
    shown = pages.table(frame, "it", {"share": "percent"}, caption="Una prova")
    for cell in (
        ">Search paid<",
        ">1.234.568<",
        ">nessun dato<",
        ">25,0%<",
        ">3º trimestre 2026<",
        ">Una prova<",
        ">Quota<",
    ):
        assert cell in shown.html
    assert shown.html.count('class="kt-total"') == 1
    assert ",\N{NO-BREAK SPACE}€</th>" in shown.html
    assert "Search paid" in repr(shown) and "<" not in repr(shown)


def test_one_format_a_row():
    frame = pd.DataFrame({"kpi": ["revenue", "margin"], "actual": [123_400.0, 0.318]})
    shown = pages.table(frame, "it", {"actual": ["money", "share"]})
    assert f"1.234{NO_BREAK}€" in shown.html and "31,8%" in shown.html


def test_data_never_becomes_markup():
    frame = pd.DataFrame({"<script>": ["<img src=x onerror=alert(1)>"], "b": ['"><script>']})
    for piece in (
        pages.table(frame, "en", caption="<i>").html,
        pages.findings(["<script>alert(1)</script>"]).html,
        pages.note("<b>").html,
    ):
        assert "<script" not in piece and "<img" not in piece and "<i>" not in piece and "<b>" not in piece


def test_an_empty_table_says_so():
    none = pd.DataFrame({"channel": []})
    assert "No rows." in pages.table(none, "en").html
    said = pages.table(none, "en", empty="Nothing was <spent>.")
    assert said.html == '<p class="kt-note">Nothing was &lt;spent&gt;.</p>'
    assert pages.table(none, "en", empty="").html == ""
    assert "<table" in pages.table(pd.DataFrame({"channel": ["tv"]}), "en", empty="").html


def test_large_money_stands_in_millions_in_every_column_of_the_table():
    frame = pd.DataFrame(
        {"plan": ["less", "more"], "spend_cents": [18_358_900_000, None], "gain_cents": [-3_456_700, 0]}
    )
    frame = frame.astype({"spend_cents": "Int64"})
    shown = pages.table(frame, "it", in_millions=True, currency="USD", missing="–")
    lines = [line.split() for line in repr(shown).splitlines()]
    assert lines[1:] == [["Less", "183,6", "−0,035"], ["More", "–", "0,000"]]
    assert " ".join(lines[0]).count("milioni di $") == 2
    nothing = repr(pages.table(frame.assign(gain_cents=0), "it", in_millions=True, missing="–")).splitlines()
    assert nothing[1].split() == ["Less", "183,6", "0"]
    small = frame.assign(spend_cents=[999_999_999, 1])  # just below ten million: in full, as ever
    assert repr(pages.table(small, "it", in_millions=True)) == repr(pages.table(small, "it"))


def test_a_probability_is_never_none_or_one():
    shown = pages.table(pd.DataFrame({"chance": [0.0, 0.0099, 0.01, 0.5, 0.99, 1.0, None]}), "it",
                        {"chance": "probability"}, missing="–")  # fmt: skip
    assert [line.strip() for line in repr(shown).splitlines()[1:]] == [
        "< 0,01", "< 0,01", "0,01", "0,50", "0,99", "> 0,99", "–"
    ]  # fmt: skip


def test_a_column_has_the_decimals_of_its_largest_figure():
    shown = pages.table(pd.DataFrame({"credit": [12.13, 5.0, None], "wide": [12345.6, 0.36, 5.0]}), "en",
                        {"credit": "number", "wide": "number"}, missing="–")  # fmt: skip
    assert [line.split() for line in repr(shown).splitlines()[1:]] == [["12.1", "12,346"], ["5.0", "0.36"], ["–", "5"]]
