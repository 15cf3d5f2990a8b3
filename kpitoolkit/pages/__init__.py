"""Pages: a notebook that ran becomes a page that leadership reads; tables, findings and the blocks of the summary."""

from kpitoolkit.pages.blocks import Html, findings, note, table
from kpitoolkit.pages.render import index, render

__all__ = ["Html", "findings", "index", "note", "render", "table"]
