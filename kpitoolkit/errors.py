"""Errors a user can mend: where it is, what was found, what to do. All the faults of one input come together."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_SHOWN = 40


class ToolkitError(Exception):
    """Something the user can mend; front doors show its message without a traceback."""


class Faults(ToolkitError):
    """All the faults of one input.

    Parameters
    ----------
    where : str
        The file, table or parameter file, as the user knows it.
    faults : sequence of str
        One sentence each: what was found, what to do.

    Examples
    --------
    >>> print(Faults("orders.csv", ["column 'gross' is missing", "2 rows have no date (first: row 7)"]))
    orders.csv: 2 faults
      - column 'gross' is missing
      - 2 rows have no date (first: row 7)
    >>> print(Faults("orders.csv", ["column 'gross' is missing"]))
    orders.csv: column 'gross' is missing
    """

    def __init__(self, where: str, faults: Sequence[str]):
        self.where = where
        self.faults = list(faults)
        if len(self.faults) == 1:
            message = f"{where}: {self.faults[0]}"
        else:
            shown = [f"  - {fault}" for fault in self.faults[:_SHOWN]]
            if len(self.faults) > _SHOWN:
                shown.append(f"  ... and {len(self.faults) - _SHOWN} more")
            message = "\n".join([f"{where}: {len(self.faults)} faults", *shown])
        super().__init__(message)

    def __reduce__(self):
        return type(self), (self.where, self.faults)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name nearest to a misspelt one, or an empty string.

    Examples
    --------
    >>> suggest("lookback_day", ["lookback_days", "language"])
    " Did you mean 'lookback_days'?"
    >>> suggest("zzz", ["lookback_days"])
    ''
    """
    near = get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def mask(identifier: object) -> str:
    """Return an id of a user, customer or order in a form fit for messages: its first two characters and its length.

    Examples
    --------
    >>> mask("C0012345")
    'C0******'
    >>> mask(None)
    '(empty)'
    """
    import pandas as pd  # an id comes from a table that was read, not so the other errors

    if identifier is None or pd.isna(identifier):
        return "(empty)"
    text = str(identifier)
    return text[:2] + "*" * max(len(text) - 2, 1)


def of_system(error: OSError) -> str:
    """Return what the system refused in one line, and of which file.

    Examples
    --------
    >>> of_system(OSError(28, "No space left on device", "outputs/run.json"))
    'outputs/run.json: No space left on device'
    """
    return f"{error.filename or 'system'}: {error.strerror or error}"
