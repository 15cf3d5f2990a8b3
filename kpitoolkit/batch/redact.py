"""Credentials of the environment, replaced by ``***`` in every text that a run keeps, in whatever form they stand.

What counts: values of 6 characters or more of variables whose names look secret, and passwords within addresses.
"""

import base64
import html
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from kpitoolkit.sources import looks_secret

_SHORTEST = 6
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_LOGIN = re.compile(r"[^:/?#\s]*:(?P<password>\S*)@")
_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"}


class Redactor:
    """Replaces the credentials of an environment in texts.

    Parameters
    ----------
    environment : mapping of str, optional
        By default this process's.

    Examples
    --------
    >>> redactor = Redactor({"PGPASSWORD": "s3cret&1", "WAREHOUSE": "postgres://anna:hidden%2F7@db/shop"})
    >>> redactor.text("s3cret&1 s3cret%261 s3cret&amp;1 hidden/7 anna")
    '*** *** *** *** anna'
    """

    def __init__(self, environment: Mapping[str, str] | None = None):
        forms = set().union(*map(_forms, secrets(os.environ if environment is None else environment)))
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._found = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, said: str) -> str:
        """Return a text without credentials."""
        return self._found.sub("***", said) if self._found else said

    def finds(self, path: Path) -> bool:
        """Tell whether a file holds a credential."""
        return bool(self._found and self._found.search(path.read_bytes().decode("utf-8", "replace")))

    def tree(self, value):
        """Return what JSON holds, without credentials in its texts; pictures stay as they are.

        Lists of texts that a notebook splits by lines are read as one.
        """
        if self._found is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                name: kept if name in _PICTURES and isinstance(kept, str | list) else self.tree(kept)
                for name, kept in value.items()
            }
        if isinstance(value, list):
            if value and all(isinstance(part, str) for part in value):
                parts = [self.text(part) for part in value]
                whole = self.text("".join(parts))
                return parts if whole == "".join(parts) else whole.splitlines(keepends=True)
            return [self.tree(part) for part in value]
        return value


def secrets(environment: Mapping[str, str]) -> set[str]:
    """Return the credentials that an environment holds.

    Examples
    --------
    >>> sorted(secrets({"API_TOKEN": "abcdef1", "KEYBOARD": "italian", "DB": "x://u:pass%20word@h?sslkey=99999999"}))
    ['99999999', 'abcdef1', 'pass word', 'pass%20word']
    """
    found: set[str] = set()
    for name, value in environment.items():
        if looks_secret(name) and not os.path.exists(value):  # a path of a key is none; what is written there may be
            found |= {value, value.strip()}
        for address in _ADDRESS.findall(value):
            rest = address.partition("://")[2]
            login = _LOGIN.match(rest)
            told = [login["password"]] if login else []
            told += [one for key, one in parse_qsl(rest.partition("?")[2]) if looks_secret(key)]
            found |= {form for one in told for form in (one, unquote(one))}
    return {value for value in found if len(value) >= _SHORTEST}


def _forms(secret: str) -> set[str]:
    """Return how a secret may be written: as it is, within literals of JSON, Python and HTML, in addresses, encoded."""

    def as_html(said: str) -> set[str]:
        return {html.escape(said), html.escape(said, quote=False), html.escape(said).replace("&#x27;", "&#39;")}

    def escaped(said: str) -> set[str]:
        literal = {json.dumps(said)[1:-1], json.dumps(said, ensure_ascii=False)[1:-1], repr(said)[1:-1], said}
        return literal | {form for one in literal for form in as_html(one)}

    raw = secret.encode("utf-8", "surrogateescape")
    found = {form for one in escaped(secret) for form in escaped(one)}
    found |= {quote(raw), quote(raw, safe=""), quote_plus(raw), *secret.splitlines()} - {secret}
    found |= {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="), raw.hex()}
    return {form for form in found if len(form) >= _SHORTEST}
