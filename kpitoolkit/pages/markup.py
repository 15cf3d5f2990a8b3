"""What a notebook holds, as a page may show it: prose translated, formulas as MathML, HTML cleaned, images small."""

import base64
import html
import io
import re
import struct
from functools import cache

import mistune
import nh3
from latex2mathml.converter import convert as to_mathml
from PIL import Image

from kpitoolkit import text

_SVG = {
    "svg": {"viewBox", "width", "height", "role", "aria-label", "class", "preserveAspectRatio"},
    "g": {"transform", "class", "fill", "stroke"},
    "title": set(),
    "rect": {"x", "y", "width", "height", "class", "fill"},
    "line": {"x1", "x2", "y1", "y2", "class", "stroke", "stroke-width"},
    "path": {"d", "class", "fill", "stroke", "stroke-width"},
    "circle": {"cx", "cy", "r", "class", "fill"},
    "text": {"x", "y", "class", "text-anchor", "fill"},
}
_MATH = (
    "math mrow mi mn mo mtext mspace msub msup msubsup munder mover munderover mfrac msqrt mroot mtable mtr mtd mstyle "
    "mpadded mphantom menclose"
)
_HTML = (
    "div span p br hr h1 h2 h3 h4 ul ol li dl dt dd table caption colgroup col thead tbody tfoot tr th td strong b em "
    "i code pre blockquote sub sup small abbr header footer section details summary a"
)
_TAGS = {*_HTML.split(), *_MATH.split(), *_SVG}
_ATTRIBUTES = {
    "*": {"class", "lang", "title"},
    "a": {"href"},
    "table": {"border"},
    "td": {"colspan", "rowspan", "style", "align"},
    "th": {"colspan", "rowspan", "style", "align", "scope"},
    "tr": {"style"},
    "caption": {"style"},
    "col": {"span"},
    "math": {"display"},
    "mo": {"stretchy", "fence", "form", "separator", "minsize", "maxsize", "lspace", "rspace", "movablelimits"},
    "mi": {"mathvariant"},
    "mspace": {"width"},
    "mtable": {"columnalign", "rowspacing", "columnspacing"},
    "mtd": {"columnalign"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "munder": {"accentunder"},
    "mover": {"accent"},
    **_SVG,
}
_ONLY_FORMULA = re.compile(r"\s*\$\$.*\$\$\s*", re.DOTALL)
_SIGNED = re.compile("([\N{MINUS SIGN}+])(?=[€£$])")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def cleaned(piece: str) -> str:
    """Keep tables, words, formulas and drawings of some HTML; drop scripts, handlers, styles and outside addresses.

    A line may not break between the sign of an amount and that of its currency: a word joiner stands there.

    Examples
    --------
    >>> cleaned('<table onclick="x()"><tr><td><script>alert(1)</script>3</td></tr></table>')
    '<table><tbody><tr><td>3</td></tr></tbody></table>'
    >>> cleaned('<a href="https://example.org">there</a> <a href="summary.it.html">here</a>')
    '<a>there</a> <a href="summary.it.html">here</a>'
    """
    kept = nh3.clean(
        piece,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=set(),
        link_rel=None,
        attribute_filter=_inside_only,
        filter_style_properties={"text-align"},
        clean_content_tags={"script", "style", "iframe", "object", "foreignObject"},
    )
    return _SIGNED.sub("\\1\N{WORD JOINER}", kept)


def _inside_only(_tag: str, name: str, value: str) -> str | None:
    """Links lead to pages beside this one or to a place on it, nowhere else."""
    return value if name != "href" or re.fullmatch(r"(?:#|(?:\.\./|[\w.-]+/)*)[\w.-]+", value) else None


def blocks(source: str) -> list[str]:
    """The messages of a Markdown cell: what blank lines divide.

    Examples
    --------
    >>> blocks("# Title\\n\\nOne line\\nand another.\\n")
    ['# Title', 'One line\\nand another.']
    """
    return [block for block in re.split(r"\n[ \t]*\n\s*", source.strip()) if block.strip()]


def needs_translation(block: str) -> bool:
    """Tell whether a block must have a translation: a displayed formula alone may stay as it is."""
    return not _ONLY_FORMULA.fullmatch(block)


def prose(source: str, language: str) -> str:
    """Translate a Markdown cell block by block and turn it into HTML, formulas as MathML, raw HTML as plain text.

    Examples
    --------
    >>> prose("The share is $s$ and <b>.", "en")
    '<p>The share is <math display="inline"><mrow><mi>s</mi></mrow></math> and &lt;b&gt;.</p>'
    """
    _ = text.translator(language)
    translated = "\n\n".join(_(block) for block in blocks(source))
    return cleaned(_markdown()(translated)).strip()


class _Renderer(mistune.HTMLRenderer):
    def block_math(self, formula: str) -> str:
        return f'<div class="kt-formula">{mathml(formula, "block")}</div>\n'

    def inline_math(self, formula: str) -> str:
        return mathml(formula, "inline")


@cache
def _markdown() -> mistune.Markdown:
    return mistune.create_markdown(renderer=_Renderer(escape=True), plugins=["table", "math"])


def mathml(formula: str, display: str) -> str:
    """A LaTeX formula as MathML; as code where it cannot be read."""
    try:
        return to_mathml(formula.strip(), display=display)
    except Exception:  # the converter raises a class of its own for every fault
        return f"<code>{html.escape(formula.strip())}</code>"


def without_colours(output: str) -> str:
    """Terminal output without its colour codes."""
    return _ESCAPES.sub("", output)


def picture(png: str, description: str, shrink: int = 1) -> str:
    """A PNG (base64) as an image of a page: 64 colours, its size on paper as its dots an inch say, its words beside it.

    Parameters
    ----------
    png : str
        Base64, as notebooks hold it.
    description : str
        For readers who do not see it.
    shrink : int
        Divide width and height by this where a page would be too large.
    """
    content = base64.b64decode(png)
    image = Image.open(io.BytesIO(content))
    dots = _dots_per_inch(content)
    width = round(image.width * 96 / dots)
    image = image.convert("RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    if shrink > 1:
        flat = flat.resize((max(1, flat.width // shrink), max(1, flat.height // shrink)), Image.Resampling.LANCZOS)
    few = flat.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    colours = few.getpalette()
    near_white = [min(colours[i : i + 3]) >= 250 for i in range(0, len(colours), 3)]
    few.putpalette([255 if near_white[i // 3] else value for i, value in enumerate(colours)])
    small = io.BytesIO()
    few.save(small, "PNG", optimize=True)
    encoded = base64.b64encode(small.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(description)}" width="{width}" src="data:image/png;base64,{encoded}">'


def _dots_per_inch(content: bytes) -> float:
    """What the PNG itself says (`pHYs`, dots a metre); 96 where it says nothing."""
    place = content.find(b"pHYs")
    if place < 0:
        return 96.0
    across, _down, unit = struct.unpack(">IIB", content[place + 4 : place + 13])
    return across * 0.0254 if unit == 1 and across else 96.0
