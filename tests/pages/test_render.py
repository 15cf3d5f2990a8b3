"""A page is self-contained, runs nothing, leads nowhere outside, and comes out the same each time."""

import base64
import importlib
import io
import re

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from kpitoolkit import errors, pages

UNIT = "<script>alert(1)</script>"


def png(width=200, height=100, noise=False):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 240, (60, 3)).astype("uint8")[rng.integers(0, 60, (height, width))]
    image = Image.fromarray(pixels) if noise else Image.new("RGB", (width, height), "#1f6f8b")
    content = io.BytesIO()
    image.save(content, "PNG", dpi=(192, 192))
    return base64.b64encode(content.getvalue()).decode()


def result(**data):
    return new_output("execute_result", {key.replace("_", "/"): value for key, value in data.items()})


def code(*outputs, tags=()):
    return new_code_cell("secret_code = 1", outputs=list(outputs), metadata={"tags": list(tags)})


def notebook(*cells, **parameters):
    return new_notebook(cells=list(cells), metadata={"papermill": {"parameters": parameters}})


@pytest.fixture
def page(tmp_path):
    def make(*cells, language="it", **options):
        stated = {"unit": UNIT, "quarter": "2026Q3", "unit_name": {}}
        nbformat.write(notebook(*cells, **stated), tmp_path / "x.ipynb")
        return pages.render(tmp_path / "x.ipynb", tmp_path / "x.html", language, **options).read_text(encoding="utf-8")

    return make


FULL = (
    new_markdown_cell("## Key figures\n\nSee $R_i = v_i h_i$ and <b>raw</b>, [away](https://example.org)."),
    code(result(text_plain="3"), tags=["parameters"]),
    code(result(text_html="<table><tr><td onclick='x()'>cell</td></tr></table><script>alert(2)</script>")),
    code(new_output("display_data", {"image/png": png(), "text/plain": "<Figure>"})),
    code(new_output("stream", name="stdout", text="sum <b> 12\n\nrows 3")),
    code(new_output("stream", name="stdout", text="credit sums: True"), tags=["nbval-check-output"]),
    code(new_output("stream", name="stderr", text="a warning nobody should see")),
    code(result(text_plain="hidden"), tags=["page-skip"]),
    code(new_output("display_data", {"application/javascript": "alert(3)", "text/plain": "js"})),
    code(
        new_output(
            "error", ename="ToolkitError", evalue="orders.csv: \x1b[31mcolumn <b> is missing", traceback=["secret"]
        )
    ),
)


def test_a_page_runs_nothing_and_leads_nowhere(page):
    html = page(*FULL, provenance={"data_hash": "a41f", "case": "<x>"})
    assert "<script" not in html and "onclick" not in html and "alert(" not in html.replace("alert(1)", "")
    assert "http:" not in html and "https:" not in html and "//" not in re.sub(r"base64,[^\"]*", "", html)
    assert "Content-Security-Policy" in html and "default-src 'none'" in html
    assert not re.findall(r'(?:src|href)="(?!data:|#|[\w./-]+")', html)
    assert "secret" not in html and "hidden" not in html and "warning" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "&lt;x&gt;" in html


def test_a_page_holds_what_readers_want(page):
    html = page(*FULL)
    assert '<html lang="it">' in html and "<h2>Indicatori</h2>" in html and "3º trimestre 2026" in html
    assert (
        "<math" in html and "<td>cell</td>" in html and "data:image/png;base64," in html and 'alt="Grafico 1.' in html
    )
    assert "sum &lt;b&gt; 12\n\nrows 3" in html
    assert "credit sums" not in html
    assert "orders.csv: column &lt;b&gt; is missing" in html and "Il notebook si è fermato qui" in html
    assert "<h2>Key figures</h2>" in page(*FULL, language="en")


def test_the_same_notebook_gives_the_same_bytes(page):
    assert page(*FULL) == page(*FULL)


def test_a_page_with_its_own_header_has_no_second_one(page):
    own = '<header><div class="kt-head"><p class="kt-kicker">k</p><h1>Unit</h1></div></header>'
    html = page(code(result(text_html=own)))
    assert html.count('class="kt-kicker"') == 1 and "kt-one-page" in html


def test_large_charts_are_shrunk_and_a_page_too_large_is_refused_leaving_the_last_one(page, tmp_path, monkeypatch):
    cell = code(new_output("display_data", {"image/png": png(300, 200, noise=True)}))
    module = importlib.import_module("kpitoolkit.pages.render")  # the package's `render` is the function
    whole = len(page(cell))
    monkeypatch.setattr(module, "LARGEST_BYTES", whole - 1)
    shrunk = page(cell)
    assert len(shrunk) < whole - 10_000 and 'width="150"' in shrunk
    monkeypatch.setattr(module, "LARGEST_BYTES", 1000)
    with pytest.raises(errors.ToolkitError, match="more than 500"):
        page(cell)
    assert (tmp_path / "x.html").read_text(encoding="utf-8") == shrunk
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.html", "x.ipynb"]


def test_bad_input_is_said_clearly(tmp_path):
    (tmp_path / "x.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(errors.ToolkitError, match="not a notebook"):
        pages.render(tmp_path / "x.ipynb", tmp_path / "x.html", "en")
    with pytest.raises(errors.ToolkitError, match="language 'fr'"):
        pages.render(tmp_path / "x.ipynb", tmp_path / "x.html", "fr")
    assert not (tmp_path / "x.html").exists()


def test_the_index_links_what_is_good_and_tells_what_failed(tmp_path):
    entries = [
        {"unit": "a", "unit_name": "<b>A</b>", "notebook": "summary", "status": "made", "page": "a/summary.it.html"},
        {"unit": "a", "notebook": "attribution", "status": "not_made"},
        {"unit": UNIT, "notebook": "summary", "status": "failed", "page": "b/summary.it.html", "message": "x: <i>y"},
    ]
    html = pages.index(tmp_path, entries, "it", "Caso <1>").read_text(encoding="utf-8")
    assert '<a href="a/summary.it.html">apri</a>' in html
    assert "ultima pagina valida" in html and "x: &lt;i&gt;y" in html and "Esecuzione incompleta: 1 pagina" in html
    assert "&lt;b&gt;A&lt;/b&gt;" in html and "<script" not in html and "Caso &lt;1&gt;" in html
    assert html == pages.index(tmp_path, entries, "it", "Caso <1>").read_text(encoding="utf-8")
    whole = pages.index(tmp_path, entries[:1], "en", "x").read_text(encoding="utf-8")
    assert "incomplete" not in whole and "Not made" not in whole
