"""The sample company: one company whose truth is known, written as an analyst would receive it.

Units ``retail-it``, ``online-eu``, ``b2b`` (EUR) and ``retail-uk`` (GBP); current quarter 2026Q3. Spend, ledger,
controls, sessions, weekly series, surveys, people, market, products, emissions, capital and the leads of b2b cover
seven years; touchpoints and claims five quarters; orders and returns one quarter more, because returns, cut-off and
retention of the first need it; control totals and promises the current quarter. All times are UTC.

What is known by construction stands in ``truth/`` beside the files, money in cents of the unit's currency; tests read
it, analyses never do: ``response`` (by channel; spend net of VAT, over the last 156 weeks), ``baseline`` (the weekly
series and its parts), ``controls`` (effects), ``lift_tests`` (what the spend of each test's weeks truly brought),
``claims`` (cause of each claim), ``orders_to_ledger`` and ``spend_to_ledger`` (row by row; VAT, shipping, discounts and
suppliers' share as one row), and their totals ``bridge_totals`` and ``spend_totals``; ``evidence`` (which KPI leads,
follows or has nothing to do with which: by unit, or ``pooled``; ``lag`` in periods, below 0 where it follows),
``simpson`` (paid orders and sessions without bots and with consent: conversion rose in each unit, fell in the group),
``leads`` (the customer that each lead won became), ``market`` (from the ledger's revenue to own sell-out), ``promises``
(what came of each); and ``tampering`` where postings were falsified.
"""

import hashlib
import math
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs

from kpitoolkit.errors import ToolkitError

SEED = 20260930


def write(folder: str | Path, seed: int = SEED, scale: float = 1.0, tampered: bool = False) -> Path:
    """Write the sample company into a new folder, all or nothing.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    seed : int
        The same seed and scale give the same bytes.
    scale : float, above 0
        Multiplies users, orders and money; the few accounts of b2b do not become fewer below 1. Staff, surveys and
        leads stay as they are.
    tampered : bool
        Falsify a few postings of the ledger, so that checks fail; all other files stay the same, and
        ``truth/tampering.csv`` says which.

    Returns
    -------
    Path
        The folder: one file a table (``data.yml`` says how to read them) and ``truth/``.

    Raises
    ------
    ToolkitError
        Where the folder holds something, or the scale is not above 0.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write(Path(folder) / "company", scale=0.02)
    ...     sorted(path.name for path in written.glob("*.parquet"))
    ['orders.parquet', 'touchpoints.parquet']
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ToolkitError(f"{folder} is not empty. Name a new folder: nothing was written")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = _generate(folder.parent, folder.name, seed, scale, tampered)
    try:
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise ToolkitError(f"{folder} was written by somebody else meanwhile. Name a new folder") from error
    return folder


def cache_root() -> Path:
    """Return the folder of what can be made or fetched again: ``KPITOOLKIT_CACHE``, or the user's own cache."""
    return Path(os.environ.get("KPITOOLKIT_CACHE") or platformdirs.user_cache_path("kpitoolkit"))


def ensure(scale: float = 1.0) -> Path:
    """Return the cached sample company, generating it at first use.

    The folder is the user's cache (or ``KPITOOLKIT_CACHE``); its name holds a hash of the generator's source, the seed
    and the scale. Two processes may call this at once: each writes a folder of its own, the first to finish keeps it.

    Returns
    -------
    Path

    Raises
    ------
    ToolkitError
        Where the scale is not above 0.
    """
    cache = cache_root()
    folder = cache / f"sample-{_source_hash()}-{SEED}-{scale:g}"
    if (folder / "data.yml").is_file():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    temporary = _generate(cache, folder.name, SEED, scale)
    try:
        temporary.rename(folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not (folder / "data.yml").is_file():
            raise
    return folder


def _generate(beside: Path, name: str, seed: int, scale: float, tampered: bool = False) -> Path:
    if not (math.isfinite(scale) and scale > 0):
        raise ToolkitError(f"scale {scale} is not above 0. Choose 1 for the whole company, 0.05 for a small one")
    from kpitoolkit.sample import company, files  # tens of milliseconds that a cached copy does not need

    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=beside))
    try:
        tables, truth = company.build(seed, scale, tampered)
        files.write_all(temporary, tables, truth)
        temporary.chmod(0o755)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return temporary


def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
