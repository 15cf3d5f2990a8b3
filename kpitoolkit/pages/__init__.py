"""Pages: a notebook that ran becomes a page that leadership reads; tables, findings and the blocks of the summary."""

from kpitoolkit.pages.blocks import Html, findings, note, table

__all__ = ["Html", "findings", "note", "table"]
