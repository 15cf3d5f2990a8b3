"""The sample company's tables as `tables.read` gives them, read once in each process of tests."""

from collections.abc import Iterable
from functools import cache

import pandas as pd

from kpitoolkit import parameters, tables

CASE = "sample-2026Q3"


@cache
def _table(unit: str, name: str) -> pd.DataFrame:
    return tables.read(parameters.workspace(CASE, unit), [name])[name]


def read(unit: str, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Return tables of a unit or of the group. Frames are copied when written to: a test changes its own only."""
    return {name: _table(unit, name).copy(deep=False) for name in names}
