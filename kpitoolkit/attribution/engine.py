"""The engine behind tables of an Ibis connection: asked, lent small tables, and named when it fails."""

import contextlib
import weakref
from functools import partial

import ibis
import ibis.expr.types as ir
import pandas as pd

from kpitoolkit.errors import ToolkitError


class Engine:
    """The engine behind the tables: asks it, keeps a table in it, and says in the user's words when it fails.

    Parameters
    ----------
    backend : ibis backend
    place : str
        The tables, as the user knows them.
    """

    def __init__(self, backend, place: str):
        self.backend = backend
        self.place = place
        self._kept, self._sent = [], []
        weakref.finalize(self, _drop, self._kept, self._sent)

    @property
    def dialect(self) -> str:
        """The engine's name in Ibis."""
        return self.backend.name

    def ask(self, expression: ir.Table) -> pd.DataFrame:
        """Return the rows of an expression.

        Raises
        ------
        ToolkitError
            Where the connection was lost or the engine refused; nothing kept in the engine stays.
        """
        try:
            return self.backend.to_pandas(expression)
        except Exception as error:
            self.release()
            raise self._failure(error) from None

    def sent(self, frame: pd.DataFrame) -> ir.Table:
        """Return a small frame as a table of the engine."""
        table = ibis.memtable(frame)
        drop = self.backend.drop_view if self.dialect in ("duckdb", "pyspark") else self.backend.drop_table
        self._sent.append(partial(drop, table.get_name(), force=True))
        self.ask(table.limit(1))  # some engines know it only once it has been asked for
        return table

    def keep(self, table: ir.Table) -> ir.Table:
        """Return the table as a temporary one of the engine, so that it is computed once; as it is where it cannot."""
        try:
            if self.dialect in ("pyspark", "databricks"):  # their temporary tables are views, computed anew each time
                kept = table.cache()
                self._kept.append(kept.release)
            else:
                name = ibis.util.gen_name("kpitoolkit")
                kept = self.backend.create_table(name, table, temp=True)
                self._kept.append(partial(self.backend.drop_table, name, force=True))
        except Exception as error:
            try:
                self.backend.to_pandas(ibis.literal(1).as_table())
            except Exception:
                self.release()
                raise self._failure(error) from None
            return table
        _drop(self._sent)
        return kept

    def release(self) -> None:
        """Drop what was kept, which happens too when nothing refers to the engine; a lost connection has dropped it."""
        _drop(self._kept, self._sent)

    def _failure(self, error: Exception) -> ToolkitError:
        return ToolkitError(
            f"{self.place} ({self.dialect}): the connection was lost, or the query failed ({type(error).__name__})."
            " Nothing half-made was kept. Check that the tables can be read there, and run again."
        )

    def counted(
        self, table: ir.Table, wrong: dict[str, ir.BooleanColumn], other: dict[str, ir.Scalar] | None = None
    ) -> dict[str, float]:
        """Return the rows of a table, how many of them fulfil each condition, and other figures; in one query."""
        sums = {name: condition.ifelse(1, 0).sum() for name, condition in wrong.items()}
        row = self.ask(table.aggregate(rows=table.count(), **sums, **(other or {}))).to_dict("records")[0]
        figures = {name: 0 if pd.isna(value) else value for name, value in row.items()}
        return {name: value if isinstance(value, float) else int(value) for name, value in figures.items()}


def _drop(*tables: list) -> None:
    for found in tables:
        while found:
            with contextlib.suppress(Exception):
                found.pop()()
