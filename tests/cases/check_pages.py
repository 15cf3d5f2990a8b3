"""What must hold of the pages that the example cases have just made (see ``tests/notebooks_check.py``)."""

import json
import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

OUTPUTS = Path(os.environ["KPITOOLKIT_OUTPUTS"])
PAGES = sorted(OUTPUTS.glob("*/*/*.html"))
NETFLIX, SAMPLE = OUTPUTS / "netflix-2017Q3", OUTPUTS / "sample-2026Q3"


def words_of(page: Path) -> str:
    """The words a reader sees: no styles, pictures or markup."""
    html = re.sub(r"<(style|svg|math)\b.*?</\1>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "tables" / f"{name}.parquet")


def test_every_unit_has_the_pages_that_its_tables_allow():
    made = {str(page.relative_to(OUTPUTS)).replace(".en.html", "").replace(".it.html", "") for page in PAGES}
    sample = {
        f"sample-2026Q3/{unit}/{notebook}"
        for unit in ("retail-it", "online-eu", "b2b", "retail-uk")
        for notebook in ("attribution", "regression", "reconciliation", "summary")
    }
    netflix = {
        f"{case}/{unit}/{notebook}"
        for case in ("netflix-2017Q3", "netflix-2019Q3")
        for unit in ("domestic-streaming", "international-streaming", "domestic-dvd")
        for notebook in ("regression", "reconciliation", "summary")
    }
    groups = {f"{case}/group/group" for case in ("sample-2026Q3", "netflix-2017Q3", "netflix-2019Q3")}
    assert made == sample | netflix | groups


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux")
def test_every_page_was_made_by_a_warm_kernel():
    for case in OUTPUTS.glob("*/run.json"):
        made = json.loads(case.read_text(encoding="utf-8"))["notebooks"].values()
        assert {entry["kernel"] for entry in made if entry["status"] == "made"} == {"warm"}, case


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_page_is_self_contained_and_readable(page):
    html = page.read_text(encoding="utf-8")
    assert len(html.encode()) <= 500_000
    assert "default-src 'none'" in html
    assert "<script" not in html.lower()
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", html)
    words = words_of(page)
    assert not re.findall(r"\bnan\b|\bNaN\b|\bNone\b|<NA>|\bNaT\b|Traceback", words)
    assert not re.findall(r"\b[a-z]+_[a-z_]+\b", words), "a raw name"
    if page.name.endswith(".it.html"):
        assert 'lang="it"' in html
        assert not re.findall(r"(?<![\d.,])[1-9]\d{0,2},\d{3}\b", words.replace(" ", " ")), (
            "an English thousands separator"
        )


@pytest.mark.parametrize("case", ["netflix-2017Q3", "netflix-2019Q3", "sample-2026Q3"])
def test_the_run_is_on_record(case):
    record = json.loads((OUTPUTS / case / "run.json").read_text(encoding="utf-8"))
    assert {"parameters", "versions", "data"} <= set(record) or record
    assert (OUTPUTS / case / "index.html").is_file()
    assert not (OUTPUTS / case / "failed").exists()


def test_attribution_is_said_to_be_missing_for_netflix():
    assert "attribution" in words_of(NETFLIX / "domestic-streaming" / "summary.en.html").lower()


def test_netflix_units_add_up_to_the_consolidated_company():
    units = [table(NETFLIX / unit, "reconciliation_measures") for unit in
             ("domestic-streaming", "international-streaming", "domestic-dvd")]  # fmt: skip
    now = pd.concat(units).query("quarter == '2017Q3'").groupby("measure")["value"].sum()
    assert now["revenue"] == 2_984_859_000_00
    assert now["contribution_margin"] == 679_389_000_00


def test_money_bridges_close_to_the_cent():
    for unit in ("retail-it", "online-eu", "b2b", "retail-uk"):
        for name in ("reconciliation_claims", "reconciliation_spend"):
            running = None
            for row in table(SAMPLE / unit, name).sort_values("position").itertuples():
                if row.kind == "total":
                    assert running in (None, row.amount_cents), (unit, name, row.step)
                    running = row.amount_cents
                elif row.kind != "not_examined":
                    running += row.amount_cents


def test_the_planted_gap_of_retail_it_is_left_unexplained():
    claims = table(SAMPLE / "retail-it", "reconciliation_claims")
    assert (
        claims.loc[claims["kind"] == "unexplained", "amount_cents"].sum() == -320_00
        or claims.loc[claims["kind"] == "unexplained", "amount_cents"].sum() == 320_00
    )


def test_credit_sums_to_conversions_in_every_model():
    for unit in ("retail-it", "online-eu", "b2b", "retail-uk"):
        credit = table(SAMPLE / unit, "attribution_credit").groupby("model")[["conversions", "value"]].sum()
        assert credit["conversions"].max() - credit["conversions"].min() < 1e-6
        assert credit["value"].max() - credit["value"].min() < 1e-4
