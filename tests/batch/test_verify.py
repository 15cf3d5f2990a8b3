"""Verification: what was tampered with is found, nothing is changed, and what is right is said to be right."""

import json
import re

import pandas as pd
import pytest
from click.testing import CliRunner

from kpitoolkit.batch import identities, record, register, site
from kpitoolkit.batch.signoff import sign
from kpitoolkit.batch.verify import verify
from kpitoolkit.cli import main
from kpitoolkit.errors import ToolkitError
from tests.batch.signing import ANNA, LEO, forge, make_key, rewrite

SUBJECTS = ["files published", "inputs and definitions", "identities", "signatures", "lines on the sign-off"]


def differs(place) -> dict[str, list[str]]:
    return {subject: found for subject, found in verify(place.home).differences.items() if found}


def only(place, subject: str) -> list[str]:
    found = differs(place)
    assert list(found) == [subject], found
    return found[subject]


def edit(path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_what_stands_is_said_to_stand_and_nothing_is_written(signed):
    before = signed.snapshot()
    found = verify(signed.home)
    assert found.exit_status == 0
    assert list(found.differences) == SUBJECTS
    assert found.said[0] == "files published: 47 looked at, all as they were"
    assert sum("Signed by Anna Bianchi (CFO)" in line for line in found.said) == 3
    assert signed.snapshot() == before


def test_what_nobody_signed_is_no_fault(place):
    found = verify(place.home)
    assert found.exit_status == 0
    assert "  north: Not signed." in found.said


def test_outputs_and_parameters_can_move_together(signed, tmp_path):
    moved = signed.copy(tmp_path / "elsewhere")
    assert differs(moved) == {}
    moved.case.rename(tmp_path / "case")
    assert "--parameters FOLDER" in only(moved, "inputs and definitions")[0]
    assert verify(moved.home, tmp_path / "case").differences["files published"] == []


@pytest.mark.parametrize(
    "name",
    [
        "north/reconciliation.en.html",
        "north/reconciliation.en.ipynb",
        "south/tables/attribution_credit.csv",
        "south/tables/attribution_credit.parquet",
        "group/tables/group_rollup.parquet",
    ],
)
def test_a_file_that_was_changed_or_is_gone(signed, name):
    unit, path = name.split("/")[0], signed.home / name
    path.write_bytes(path.read_bytes() + b" ")
    found = differs(signed)
    assert f"{name}: is not what the run wrote" in found["files published"]
    shown = name.endswith(".ipynb")  # a blank at its end changes nothing that a reader sees
    void = [] if shown else [f"{unit}: the signature of Anna Bianchi (cfo) is void: output {name} changed"]
    assert found.get("signatures", []) == void
    path.unlink()
    assert f"{name}: is missing" in differs(signed)["files published"]
    gone = f"{unit}: the signature of Anna Bianchi (cfo) is void: output {name} is not there any more"
    assert differs(signed)["signatures"] == [gone]


def test_a_file_that_no_run_wrote(signed):
    (signed.home / "north/tables/reconciliation_extra.csv").write_text("a\n1\n")
    assert only(signed, "files published") == [
        "north/tables/reconciliation_extra.csv: was not written by a run. Remove it"
    ]


def test_the_index(signed):
    edit(signed.home / "index.html", "Reconciliation", "Reconciled")
    assert only(signed, "files published") == ["index.html: is not what the run wrote"]


def test_a_line_on_the_sign_off_that_says_another_thing(signed):
    edit(signed.home / "north/model.en.html", ANNA, "Eva Verdi")
    edit(signed.home / "index.html", "valid.", "valid for ever.")
    assert only(signed, "lines on the sign-off") == [
        "index.html: says another sign-off than the register",
        "north/model.en.html: says another sign-off than the register",
    ]
    assert all(record.parted((signed.home / "index.html").read_bytes()))


def test_a_register_that_was_cut_off_at_a_line(signed):
    rewrite(signed, list.pop)
    assert len(only(signed, "lines on the sign-off")) == 6
    (signed.home / register.FILE).unlink()
    assert len(only(signed, "lines on the sign-off")) == 6


def test_a_register_whose_line_was_changed_or_torn(signed):
    path = signed.home / register.FILE
    whole = path.read_bytes()
    edit(path, LEO, "Leo Bossi")
    assert "line 1 was changed after it was signed" in differs(signed)["signatures"][0]
    path.write_bytes(whole[:-20])
    assert "its last line is cut off" in differs(signed)["signatures"][0]


def test_entries_on_a_unit_that_is_gone(signed):
    entries = [json.loads(line) for line in (signed.home / register.FILE).read_text().splitlines()]
    units = {"east": entries[1]["units"]["north"]}
    last = forge(entries[1], number=3, previous=entries[1]["hash"], role="preparer", units=units)
    rewrite(signed, lambda lines: lines.append(last))
    assert only(signed, "signatures") == ["signoff.jsonl: entry 3 is on 'east', which is no unit of this run"]


def test_data_parameters_and_catalogue(signed):
    edit(signed.case / "financials.csv", "printed,false,10\n", "printed,false,12\n")
    found = differs(signed)
    assert found["inputs and definitions"][0] == "north: financials (financials.csv): changed since the run"
    void = "the signature of Anna Bianchi (cfo) is void"
    assert f"north: {void}: input financials changed" in found["signatures"]
    assert "Void: data changed (filings)." in "\n".join(verify(signed.home).said)
    (signed.case / "financials.csv").unlink()
    said = differs(signed)["inputs and definitions"]
    assert "north: financials (financials.csv): is not there any more" in said
    edit(signed.case / "north.yml", "unit: north", "unit: north\nmateriality_share: 0.05")
    (signed.case.parent / "kpis.yml").write_text("kpis: {}\n")
    found = differs(signed)
    assert "north: parameter materiality_share: 0.005 in the run, 0.05 now" in found["inputs and definitions"]
    assert "south: the catalogue of KPIs changed since the run" in found["inputs and definitions"]
    assert f"north: {void}: parameter materiality_share was 0.005, is 0.05" in found["signatures"]


def test_a_unit_that_left_the_case(signed):
    (signed.case / "south.yml").unlink()
    found = differs(signed)
    assert "south: the case has no such unit any more" in found["inputs and definitions"]
    assert any(line.startswith("  south: Void") for line in verify(signed.home).said)


def test_a_record_that_states_other_parameters(signed):
    run = json.loads((signed.home / "run.json").read_text())
    run["notebooks"]["north/reconciliation.en"]["parameters"]["materiality_share"] = 0.5
    run["notebooks"]["north/reconciliation.en"]["inputs"] = "0" * 64
    (signed.home / "run.json").write_text(json.dumps(run))
    said = "north: north/reconciliation.en: was made from other data or definitions than the run's. Run it again"
    assert only(signed, "inputs and definitions") == [said]


def test_a_forged_signature_by_key(place, tmp_path):
    key = make_key(tmp_path, "leo")
    (place.case / "signers").write_text("leo@example.com " + key.with_suffix(".pub").read_text())
    place.state("allowed_signers: signers")
    place.run()
    sign(place.home, "preparer", LEO, key=key)
    assert differs(place) == {}
    line = forge(json.loads((place.home / register.FILE).read_text()), commit="0" * 40)
    rewrite(place, lambda lines: lines.__setitem__(0, line))
    found = differs(place)["signatures"]
    assert found[0] == "signoff.jsonl: entry 1 does not count for north: its signature is not of this entry"


class TestIdentities:
    """Tables that the run itself wrote so: every hash is right, the sums are not."""

    def said(self, place, name, change) -> list[str]:
        place.spoil(name, change)
        return only(place, "identities")

    def test_a_bridge_off_by_a_cent(self, place):
        found = self.said(place, "north/tables/reconciliation_claims.parquet", lambda f: add(f, 1, "amount_cents", 1))
        assert found == ["north: reconciliation_claims: does not close at booked: 10.01 from the steps, 10.00 stated"]

    def test_a_bridge_with_a_gap(self, place):
        found = self.said(
            place, "north/tables/reconciliation_claims.parquet", lambda f: put(f, 1, "amount_cents", None)
        )
        assert found == ["north: reconciliation_claims: returns is a step without an amount"]

    def test_credit_that_does_not_sum_to_the_conversions(self, place):
        found = self.said(place, "north/tables/attribution_credit.parquet", lambda f: add(f, 0, "conversions", 1e-6))
        assert found == ["north: attribution_credit: conversions of first sum to 10.00, those of all journeys to 10.00"]

    def test_contributions_that_are_not_the_revenue(self, place):
        name = "south/tables/regression_contributions.parquet"
        found = self.said(place, name, lambda f: add(f, 2, "contribution", 0.5))
        assert found == [
            "south: regression_contributions: on 2026-07-05 baseline, channels and residual are +0.50 off the revenue"
        ]

    def test_contributions_with_a_period_missing(self, place):
        name = "south/tables/regression_contributions.parquet"
        found = self.said(place, name, lambda f: f.drop(index=4))
        assert "1 components are missing in a period, 0 stand twice" in found[0]

    def test_a_return_of_other_contributions(self, place):
        found = self.said(place, "north/tables/regression_iroas.parquet", lambda f: put(f, 1, "contribution", 7.0))
        assert found == [
            "north: regression_iroas: tv contributes 7.00, its parts sum to 6.00",
            "north: regression_iroas: total_media contributes 6.00, its parts sum to 7.00",
        ]

    def test_a_unit_that_enters_the_group_with_another_figure(self, place):
        def swap(frame):
            add(frame, 0, "amount_cents", 5)
            add(frame, 1, "amount_cents", -5)

        assert self.said(place, "group/tables/group_rollup.parquet", swap) == [
            "group: group_rollup: north enters with 10.05 EUR, its own page has 10.00",
            "group: group_rollup: south enters with 19.95 EUR, its own page has 20.00",
        ]

    def test_a_scorecard_that_is_not_the_bridge(self, place):
        found = self.said(place, "north/tables/reconciliation_kpis.parquet", lambda f: put(f, 0, "actual", 1007.0))
        assert found == [
            "north: reconciliation_claims: booked revenue is 10.00, the scorecard's 10.07",
            "north: reconciliation_drivers: revenue by_orders sums to 100, the scorecard moved by 107",
            "group: group_rollup: north enters with 10.00 EUR, its own page has 10.07",
        ]

    def test_a_check_that_states_another_outcome(self, place):
        name = "north/tables/reconciliation_checks.parquet"
        for value, check in ((False, 0), (None, 1), (True, 2)):
            place.spoil(name, lambda f, value=value, check=check: put(f, check, "passed", value))
        assert len(only(place, "identities")) == 3

    def test_a_table_that_is_none(self, place):
        path = place.home / "north/tables/reconciliation_kpis.parquet"
        path.write_bytes(b"no table")
        run = json.loads((place.home / "run.json").read_text())
        run["notebooks"]["north/reconciliation.en"]["outputs"]["north/tables/reconciliation_kpis.parquet"] = (
            record.file_digest(path)
        )
        (place.home / "run.json").write_text(json.dumps(run))
        assert only(place, "identities") == ["north: reconciliation_kpis: cannot be read"]

    def test_a_table_with_other_columns(self, place):
        found = self.said(place, "north/tables/attribution_credit.parquet", lambda f: f.drop(columns="model"))
        assert "a saved table has other columns than it should" in found[0]


def add(frame, row, column, amount):
    frame.loc[row, column] += amount


def put(frame, row, column, value):
    frame.loc[row, column] = value


def test_bridges_of_several_kpis_in_one_table_and_a_roll_up_that_begins_with_steps():
    table = pd.DataFrame(
        {
            "kpi": ["a"] * 3 + ["b"] * 3,
            "position": [0, 1, 2] * 2,
            "step": list("xyz") * 2,
            "kind": ["total", "step", "total"] * 2,
            "amount": [1.0, 0.1, 1.1, 1e6, 1e-4, 1e6 + 1e-4],
        }
    )
    assert identities.bridges({"t": table}) == []
    assert len(identities.bridges({"t": table.assign(amount=table["amount"] + [0, 0, 1e-8, 0, 0, 0])})) == 1
    units = pd.DataFrame({"position": [0, 1, 2], "step": list("abc"), "kind": ["step", "step", "total"]})
    assert identities.bridges({"t": units.assign(amount_cents=[1, 2, 3])}) == []
    assert len(identities.bridges({"t": units.assign(amount_cents=[1, 2, 4])})) == 1


def test_a_unit_in_another_currency_enters_at_the_quarters_rate(place):
    """1,000 cents at 1.17 are 1,170; without a rate the unit is left out."""
    edit(place.case / "north.yml", "unit: north", "unit: north\ncurrency: GBP")
    place.run()
    rates = pd.DataFrame({"quarter": ["2026Q3"], "currency": ["GBP"], "rate": [1.17]})
    from kpitoolkit.batch.standing import read_run

    assert identities.roll_up(read_run(place.home), None) == []
    assert identities.roll_up(read_run(place.home), rates) == [
        "group_rollup: north enters with 10.00 EUR, its own page has 11.70"
    ]


def test_a_quarter_restated_in_the_next_ones_case(signed):
    """What was signed for 2026Q3 stands in 2026Q4's tables as the quarter before."""
    later = signed.home.with_name("later")
    signed.home.rename(later)
    (later / "signoff.jsonl").rename(later.with_name("earlier.jsonl"))
    earlier = signed.home.with_name("earlier")
    earlier.mkdir()
    later.with_name("earlier.jsonl").rename(earlier / "signoff.jsonl")
    signed.home = later
    signed.spoil("north/tables/reconciliation_kpis.parquet", lambda f: f.__setitem__("previous", [990.0, float("nan")]))
    run = json.loads((later / "run.json").read_text())
    run["units"]["north"]["parameters"]["previous_case"] = "earlier"
    (later / "run.json").write_text(json.dumps(run))
    assert verify(later).notes == ["north: revenue/finance of earlier was signed as 1,000, here it is restated as 990"]


def test_the_command_line(signed):
    fine = CliRunner().invoke(main, ["verify", str(signed.home)])
    assert fine.exit_code == 0
    (signed.home / "north/model.en.html").unlink()
    said = CliRunner().invoke(main, ["verify", str(signed.home)])
    assert said.exit_code == 1
    assert "  - north/model.en.html: is missing" in said.stdout.splitlines()
    none = CliRunner().invoke(main, ["verify", "nowhere"])
    assert none.exit_code == 2
    assert re.search(r"nowhere: there is no run\.json", none.stderr)


def test_it_needs_no_network(signed, monkeypatch):
    def no(*words, **more):
        raise AssertionError("asked the network")

    for name in ("socket.socket.connect", "socket.create_connection", "socket.getaddrinfo"):
        monkeypatch.setattr(name, no)
    assert verify(signed.home).exit_status == 0


def test_pages_whose_words_another_version_wrote(signed, monkeypatch):
    monkeypatch.setattr(site, "package_digest", lambda: "f" * 64)
    found = verify(signed.home)
    assert found.exit_status == 0
    assert "only what they rest on was compared" in found.notes[0]
    rewrite(signed, list.pop)
    assert len(only(signed, "lines on the sign-off")) == 6


def test_a_run_that_is_none(signed):
    (signed.home / "run.json").write_text("{}")
    with pytest.raises(ToolkitError, match="is damaged"):
        verify(signed.home)


def test_a_record_that_names_files_elsewhere(signed):
    run = json.loads((signed.home / "run.json").read_text())
    run["notebooks"]["north/model.en"]["outputs"]["../../secret.html"] = "0"
    (signed.home / "run.json").write_text(json.dumps(run))
    with pytest.raises(ToolkitError, match="leads out of"):
        verify(signed.home)
