"""What a page may show: prose translated, formulas as MathML, HTML without anything that runs or leads outside."""

import base64
import io

import pytest
from PIL import Image

from kpitoolkit.pages import markup


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '<img src="https://example.org/x.png">',
        '<p onclick="alert(1)">x</p>',
        '<svg onload="alert(1)"><script>alert(1)</script></svg>',
        '<a href="javascript:alert(1)">x</a>',
        '<a href="//example.org/x">x</a>',
        '<a href="https://example.org">x</a>',
        '<td style="background: url(https://example.org)">x</td>',
        "<style>@import url(https://example.org)</style>",
        '<iframe src="https://example.org"></iframe>',
        "<math><mtext><script>alert(1)</script></mtext></math>",
        '<svg><foreignObject><iframe src="//example.org"></iframe></foreignObject></svg>',
    ],
)
def test_nothing_that_runs_or_leads_outside_is_kept(hostile):
    kept = markup.cleaned(hostile).lower()
    for word in ("script", "onclick", "onload", "example.org", "alert", "url(", "iframe", "<img"):
        assert word not in kept


def test_tables_drawings_and_pages_beside_this_one_are_kept():
    ours = (
        '<table class="kt-table"><tbody><tr><td style="text-align:right">1</td></tr></tbody></table>'
        '<svg viewBox="0 0 9 9"><path class="kt-good" d="M0,0 H5"></path></svg><a href="../group/group.it.html">x</a>'
    )
    assert markup.cleaned(ours) == ours


def test_raw_html_in_prose_is_text_and_formulas_are_mathml():
    html = markup.prose(
        "A <b>word</b> <script>x</script> and $p = \\frac{1}{2}$.\n\n$$\ny_t = \\sum_c x_{ct}\n$$", "en"
    )
    assert "&lt;b&gt;" in html and "<script" not in html
    assert html.count("<math") == 2 and 'display="block"' in html and "<mfrac>" in html and "$" not in html


def test_a_formula_that_cannot_be_read_is_shown_as_it_is():
    assert "<code>" in markup.mathml("\\frac{1", "inline") or "<math" in markup.mathml("\\frac{1", "inline")


def test_prose_is_translated_block_by_block():
    html = markup.prose("## Key figures\n\nA block without translation.\n\n$$x$$", "it")
    assert "<h2>Indicatori</h2>" in html and "A block without translation." in html


def test_a_picture_keeps_its_size_on_paper_and_its_colours():
    image = Image.new("RGB", (1382, 200), "white")
    image.paste((31, 111, 139), (0, 0, 700, 200))
    content = io.BytesIO()
    image.save(content, "PNG", dpi=(192, 192))
    encoded = base64.b64encode(content.getvalue()).decode()
    html = markup.picture(encoded, 'a "chart" <b>')
    assert 'width="691"' in html and "<b>" not in html
    small = Image.open(io.BytesIO(base64.b64decode(html.split("base64,")[1].rstrip('">')))).convert("RGB")
    assert small.size == (1382, 200)
    assert small.getpixel((10, 10)) == (31, 111, 139) and small.getpixel((1000, 10)) == (255, 255, 255)
    assert markup.picture(encoded, "x") == markup.picture(encoded, "x")


def test_no_line_breaks_between_the_sign_of_an_amount_and_its_currency():
    assert markup.cleaned("<p>−€5, +$6, −7%</p>") == "<p>−\u2060€5, +\u2060$6, −7%</p>"
