"""The summary's blocks: each sentence with its number, what is missing said, bridges shortened to the cent."""

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit import plots
from kpitoolkit.pages import modelled, summary

KPIS = pd.DataFrame(
    {
        "kpi": ["revenue", "revenue", "contribution_margin"],
        "basis": ["finance", "marketing", "finance"],
        "actual": [1_241_100_000.0, 981_200_000.0, 394_000_000.0],
        "target": [1_264_000_000.0, None, None],
        "last_year": [1_192_000_000.0, None, 390_000_000.0],
        "name_en": ["Net revenue", "Net revenue", "Contribution margin"],
        "version": [1, 1, 2],
    }
)
CLAIMS = pd.DataFrame(
    {
        "position": range(5),
        "step": ["claimed", "currency", "view_through", "unexplained", "matched_gross"],
        "kind": ["total", "not_examined", "step", "unexplained", "total"],
        "amount_cents": pd.array([981_200_000, None, -320_600_000, 0, 660_600_000], dtype="Int64"),
    }
)


def told(sentences):
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def test_headline_by_hand():
    facts = summary.headline_facts(KPIS, CLAIMS)
    assert facts.set_index("item")["value"].dropna().to_dict() == {
        "booked_revenue": 1_241_100_000,
        "change_on_last_year": pytest.approx(0.04119, abs=1e-5),
        "variance_from_target": pytest.approx(-0.01812, abs=1e-5),
        "claimed": 981_200_000,
        "matched_gross": 660_600_000,
    }
    said = told(summary.headline(facts, "it", "EUR"))
    assert "12,41 Mln €: +4,1% sullo stesso trimestre dell'anno precedente, −1,8% sul budget" in said
    assert "9,81 Mln €" in said and "6,61 Mln €" in said
    small = facts.assign(value=[67_593_416, 0.1, 0.1, None, None, None, None])
    assert "675.934 €: +10,0%" in told(summary.headline(small, "it", "EUR"))


def test_the_headline_states_claims_in_the_units_currency():
    claims = CLAIMS.assign(
        kind=["total", "step", "step", "unexplained", "total"],
        amount_cents=pd.array([981_200_000, -1_200_000, -319_400_000, 0, 660_600_000], dtype="Int64"),
    )
    assert summary.headline_facts(KPIS, claims).set_index("item")["value"]["claimed"] == 980_000_000
    assert summary.headline_facts(KPIS, claims.iloc[4:]).set_index("item")["value"].isna()["claimed"]


def test_postings_outside_the_chart_are_no_subtotal():
    checks = pd.DataFrame(
        {
            "check": ["booked_again", "unmapped_accounts"],
            "value_cents": [0, 70_000],
            "threshold_cents": [0, 0],
            "passed": [True, False],
        }
    )
    said = summary.unexplained(checks, KPIS, "en", "EUR")
    assert "€700; none may remain" in said[0] and said[1].endswith("1 of 1.")
    fine = checks.assign(value_cents=0, passed=True)
    assert len(summary.unexplained(fine, KPIS, "en", "EUR")) == 1


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["actual"], "There is no figure for booked revenue"),
        (["target"], "No target is declared."),
        (["last_year"], "There is no figure of a year ago."),
        (["target", "last_year"], "There is neither a figure of a year ago nor a target."),
    ],
)
def test_headline_says_what_is_missing(missing, said):
    kpis = KPIS.assign(**{name: float("nan") for name in missing})
    assert said in told(summary.headline(summary.headline_facts(kpis, None), "en", "EUR"))


def test_nothing_at_all():
    facts = summary.headline_facts(None, None)
    assert facts["value"].isna().all()
    assert len(summary.headline(facts, "en", "EUR")) == 1
    names = ["reconciliation", "claims", "spend", "attribution", "regression"]
    said = summary.missing(dict.fromkeys(names), set(), "it")
    assert len(said) == 5 and all("dichiarat" in sentence or "dichiarano" in sentence for sentence in said)


def test_a_result_that_was_not_made_is_not_called_undeclared():
    said = summary.missing({"attribution": None}, {"touchpoints"}, "en")
    assert said == ["The result “attribution” is missing, although its data are declared: see the index of this run."]


def test_the_header_escapes_and_sets_amounts_bold():
    html = summary.header("<script>alert(1)</script>", "2026Q3", ["Was €12.41M, <b>x</b>."], "en", [("<i>", True)]).html
    assert "<script" not in html and "<b>" not in html and "<i>" not in html
    assert "<strong>€12.41M</strong>" in html


def test_unexplained_against_the_threshold():
    checks = pd.DataFrame(
        {
            "check": ["net_unexplained", "gross_unexplained", "spend_net_unexplained", "booked_again", "claimed_again"],
            "value_cents": pd.array([1_600_000, 9_000_000, None, 0, 1], dtype="Int64"),
            "threshold_cents": pd.array([6_205_500, 4_654_100, None, 0, 0], dtype="Int64"),
            "passed": pd.array([True, False, None, True, False], dtype="boolean"),
        }
    )
    said = [s.replace("\N{NO-BREAK SPACE}", " ") for s in summary.unexplained(checks, KPIS, "en", "EUR")]
    assert [s[0] for s in said] == ["✓", "✗", "–", "✗"]
    assert "€16,000 (0.13% of booked revenue), within the threshold of €62,055" in said[0]
    assert "blocks sign-off" in said[1]
    assert said[3].endswith("1 of 2.")
    assert [warns for _words, warns in summary.marks(checks, "en")] == [True]
    assert summary.marks(checks[checks["passed"].fillna(True)], "en") == []


def test_without_claims_the_bridge_is_what_moved_the_year():
    drivers = pd.DataFrame(
        {
            "kpi": "contribution_margin",
            "decomposition": ["by_line", "by_line", "by_members", "by_members"],
            "driver": ["revenue", "marketing_cost", "members", "price"],
            "from_quarter": "2025Q3",
            "to_quarter": "2026Q3",
            "contribution": [5_000_000, -1_000_001, 1, 2],
        }
    )
    table, title = summary.bridge(None, drivers, KPIS, "2026Q3", "en")
    assert title == "Contribution margin: what changed on last year"
    assert table["step"].tolist() == ["Q3 2025", "revenue", "marketing_cost", "unexplained", "Q3 2026"]
    assert table["amount_cents"].tolist() == [390_000_000, 5_000_000, -1_000_001, 1, 394_000_000]
    assert summary.closes(table)
    assert summary.bridge(None, drivers, KPIS, "2024Q3", "en")[0] is None
    assert summary.bridge(None, None, None, "2026Q3", "en")[0] is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-(10**9), 10**9), max_size=9), min_size=1, max_size=3), st.integers(0, 5))
def test_a_shortened_bridge_still_closes(sections, most):
    level, rows = 1000, [("start", "total", 1000)]
    for number, steps in enumerate(sections):
        rows += [(f"s{number}_{i}", "step", amount) for i, amount in enumerate(steps)] + [("gap", "not_examined", None)]
        level += sum(steps)
        rows.append((f"total{number}", "total", level))
    table = pd.DataFrame(rows, columns=["step", "kind", "amount_cents"]).astype({"amount_cents": "Int64"})
    table.insert(0, "position", range(len(table)))
    short = summary.shortened(table, most)
    assert summary.closes(table) and summary.closes(short)
    totals = short.loc[short["kind"] == "total", "amount_cents"].tolist()
    assert totals == table.loc[table["kind"] == "total", "amount_cents"].tolist()
    assert ((short["kind"] == "step").groupby((short["kind"] == "total").cumsum()).sum() <= most + 1).all()


def test_saved_tables_are_read_as_they_come_back(tmp_path):
    frames = []
    for frame in (CLAIMS, KPIS):
        frame.to_parquet(tmp_path / "x.parquet")
        frames.append(pd.read_parquet(tmp_path / "x.parquet"))
        as_arrow = frames[-1].select_dtypes(["object", "string"]).columns
        frames[-1] = frames[-1].astype(dict.fromkeys(as_arrow, pd.ArrowDtype(pa.string())))
    claims, kpis = frames
    table, _title = summary.bridge(claims, None, kpis, "2026Q3", "en")
    assert table["amount_cents"].dropna().tolist() == CLAIMS["amount_cents"].dropna().tolist()
    assert summary.headline_facts(kpis, claims).equals(summary.headline_facts(KPIS, CLAIMS))


def test_closes_sees_a_missing_cent():
    assert not summary.closes(CLAIMS.assign(amount_cents=[981_200_000, None, -320_600_000, 0, 660_600_001]))


def test_unexplained_spend_is_a_share_of_marketing_cost():
    checks = pd.DataFrame(
        {"check": ["spend_net_unexplained"], "value_cents": [50], "threshold_cents": [49], "passed": [False]}
    )
    spend = pd.DataFrame({"step": ["platform_spend", "booked_cost"], "amount_cents": [9_000, 10_000]})
    said = told(summary.unexplained(checks, KPIS, "it", "EUR", spend))
    assert "(0,50% del costo di marketing)" in said and "ricavi" not in said
    assert "no figure of marketing cost" in told(summary.unexplained(checks, KPIS, "en", "EUR"))


IROAS = pd.DataFrame(
    {
        "channel": ["total_media", "search", "tv"],
        "iroas": [2.0, 4.0, 1.0],
        "low": [1.0, 3.0, 0.5],
        "high": [3.0, 5.0, 1.5],
        "verdict": ["insufficient_data", "above_break_even", "below_break_even"],
    }
)


def test_break_even_is_drawn_only_beside_a_verdict_and_one_channel_only_once():
    def words(ax):
        return [t.get_text() for t in ax.texts]

    assert "break-even 2.5" in words(modelled.plot_iroas(IROAS, 0.4, "en"))
    undecided = modelled.plot_iroas(IROAS.assign(verdict="insufficient_data"), 0.4, "en")
    assert not any("break-even" in word for word in words(undecided))
    assert len({line.get_color() for line in undecided.lines}) == 1
    alone = modelled.plot_iroas(IROAS.head(2), 0.4, "en")
    assert [tick.get_text() for tick in alone.get_yticklabels()] == ["Search"]
    assert "search" in modelled.iroas_findings(IROAS.head(2), [], "en")[0]
    unspent = IROAS.head(2).assign(iroas=None, verdict="not_spent")
    assert modelled.iroas_findings(unspent, [], "en") == ["Nothing spent: search."]
    assert "all media" not in modelled.iroas_findings(IROAS.head(2), [], "en")[0]


def test_what_was_believed_and_what_is_too_near_to_call_are_shown():
    believed = IROAS.assign(
        prior_low=0.5, prior_high=12.0, verdict_reason=["holds_break_even", "", ""], kind="published"
    )
    ax = modelled.plot_iroas(believed, 0.4, "en")
    assert [artist.get_text() for artist in ax.get_legend().get_texts()] == ["believed before the data"]
    dots = [dot.get_markerfacecolor() for dot in ax.lines if dot.get_marker() == "o"]
    assert dots == ["white", plots.BLUE, plots.ORANGE]
    said = modelled.iroas_findings(believed, [], "en")
    assert said[0].startswith("Too near break-even to call: all media together.")
    assert said[1] == "Modelled from spend and revenue, not proven by an experiment."
    near = believed.assign(verdict="insufficient_data", verdict_reason="holds_break_even")
    assert any("break-even 2.5" in artist.get_text() for artist in modelled.plot_iroas(near, 0.4, "en").texts)
    assert not modelled.is_draft(believed)
    drafted = believed.assign(kind="draft")
    assert modelled.is_draft(drafted)
    assert modelled.iroas_findings(drafted, [], "en")[1].startswith("Draft: ")


def test_the_evidence_strip_tells_each_class_and_a_table_that_is_not_there():
    strip = pd.DataFrame({"kpi": ["likes", *"abcdef", "nps"], "class": ["vanity", *["unproven"] * 6, "common_ground"]})
    kpis = pd.DataFrame({"kpi": ["nps"], "name_en": ["NPS"], "name_it": ["NPS"]})
    said = modelled.evidence_strip(strip, kpis, "en")
    assert said == ["Common ground: NPS.", "Vanity: likes.", "Unproven: a, b, c, d, e and 1 more."]
    older = modelled.evidence_strip(None, kpis, "en")
    assert older == ["The reconciliation saved no class of its KPIs: an earlier version made it. Run it again."]
    assert "versione precedente" in modelled.evidence_strip(None, kpis, "it")[0]
    none = ["No declared influence could be tested in this unit."]
    assert modelled.evidence_strip(strip.head(0), kpis, "en") == modelled.evidence_strip(None, None, "en") == none


@pytest.mark.parametrize(
    ("language", "named", "caution"),
    [
        ("en", "Driver: NPS.", "A driver leads the figure in time: a prediction, not a cause."),
        ("it", "Driver: NPS.", "Un driver anticipa la cifra nel tempo: una previsione, non una causa."),
    ],
)
def test_what_a_driver_is_not_is_said_where_one_is_named(language, named, caution):
    strip = pd.DataFrame({"kpi": ["nps", "likes"], "class": ["driver", "vanity"]})
    kpis = pd.DataFrame({"kpi": ["nps"], "name_en": ["NPS"], "name_it": ["NPS"]})
    said = modelled.evidence_strip(strip, kpis, language)
    assert said[0] == named and said[-1] == caution and len(said) == 3
    assert caution not in modelled.evidence_strip(strip[strip["class"] != "driver"], kpis, language)


def test_the_grade_is_marked_and_explained():
    grades = pd.DataFrame({"subject": ["claimed"], "grade": ["C"]})
    assert summary.marks(None, "en", True, grades) == [("Grade C", False), ("Modelled figures: draft", False)]
    assert "Grade C: claims are bridged in total" in summary.footer(None, [], "en", grades).plain
    assert summary.marks(None, "en", grades=grades.head(0)) == []


@pytest.mark.parametrize("share", [0.0, -0.447])
def test_without_a_margin_no_break_even_is_drawn_and_it_is_said(share):
    iroas = IROAS.assign(verdict="loses_on_every_sale")
    assert not any("break-even" in word.get_text() for word in modelled.plot_iroas(iroas, share, "en").texts)
    said = modelled.iroas_findings(iroas, [], "en")[0]
    assert said == "Loses on every sale, so no return pays: all media together, search, TV."
