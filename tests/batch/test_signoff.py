"""Sign-off: who may sign what, what blocks it, what voids it, and what the pages say of it."""

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from kpitoolkit.batch import record, register, signoff, standing
from kpitoolkit.batch.closing import closing
from kpitoolkit.batch.publish import only_run
from kpitoolkit.batch.signoff import sign
from kpitoolkit.cli import main
from kpitoolkit.errors import Faults, ToolkitError
from kpitoolkit.parameters import read_case
from tests.batch.signing import ANNA, LEO, forge, refused, rewrite, states, statuses


def test_preparer_then_approver_and_every_page_says_so(place):
    assert set(statuses(place).values()) == {"not_signed"}
    assert "Not signed." in place.page()
    sign(place.home, "Analyst", "  leo   rossi ")
    assert set(statuses(place).values()) == {"prepared"}
    assert "Not signed yet by: CFO.</span> Prepared by leo rossi" in place.page()
    entry = sign(place.home, "CFO", ANNA)
    assert set(statuses(place).values()) == {"signed"}
    for name in ("north/reconciliation.en.html", "south/model.en.html", "group/group.en.html", "index.html"):
        assert "Signed by Anna Bianchi (CFO) on " in place.page(name)
        assert "name as stated, without a key: valid." in place.page(name)
        assert entry.hash[:12] in place.page(name)
    assert "Not examined, so not tested before signing" in place.page()


def test_an_entry_holds_what_was_signed(signed):
    first, second = [json.loads(line) for line in (signed.home / register.FILE).read_text().splitlines()]
    assert (first["number"], second["number"], first["previous"]) == (1, 2, "")
    assert second["previous"] == first["hash"] == register.digest({k: v for k, v in first.items() if k != "hash"})
    north = second["units"]["north"]
    assert north["inputs"] == {"financials": record.file_digest(signed.case / "financials.csv")}
    assert north["parameters"]["materiality_share"] == 0.005
    assert north["figures"]["revenue/finance"] == {"value": 1000.0, "value_unit": "money", "currency": "EUR"}
    assert north["not_examined"] == ["claimed_again"]
    assert {"north/reconciliation.en.html", "north/tables/reconciliation_kpis.csv"} <= set(north["outputs"])
    assert first["time"].endswith("Z")


def test_signing_changes_nothing_that_is_signed_and_a_run_leaves_it(signed):
    digests = [entry.units["north"].digest for entry in register.read(signed.home).entries]
    assert digests[0] == digests[1]
    before = signed.snapshot()
    report = signed.run()
    assert {entry.status for entry in report.entries} == {"unchanged"}
    assert report.voided == []
    changed = {name for name, found in signed.snapshot().items() if before.get(name) != found}
    assert changed <= {"outputs/tiny/run.json", "outputs/tiny/.lock"}


def test_the_same_figures_made_again_are_still_signed(signed):
    report = signed.run(force=True, units=["south"])
    assert [entry.status for entry in report.entries] == ["made", "made"]
    assert report.voided == []
    assert statuses(signed)["south"] == "signed"
    assert "valid." in signed.page("south/reconciliation.en.html")


@pytest.mark.parametrize("name", [LEO, "rossi, LEO", "Léo  Rossi", "Leo Rossi."])
def test_who_prepared_does_not_approve(place, name):
    sign(place.home, "preparer", LEO)
    faults = refused(place, "cfo", name)
    assert len(faults) == 3
    assert "cannot approve it too" in faults[0]


def test_who_approved_does_not_prepare_the_next_version(signed):
    (signed.case / "north.yml").write_text("unit: north\nlookback_days: 20\n")
    signed.run(units=["north", "group"])
    faults = refused(signed, "preparer", "Anna BIANCHI", units=["north"])
    assert "approved it (the same name, or the same key) and cannot prepare it too" in faults[0]


def test_an_approver_signs_after_a_preparer_and_nobody_twice(place):
    assert "nobody has signed it as preparer" in refused(place, "cfo", ANNA)[0]
    sign(place.home, "preparer", LEO, units=["north"])
    assert len(refused(place, "cfo", ANNA)) == 2
    sign(place.home, "cfo", ANNA, units=["north"])
    assert statuses(place) == {"north": "signed", "south": "not_signed", "group": "not_signed"}
    assert "already signed exactly this" in refused(place, "cfo", ANNA, units=["north"])[0]
    assert "already signed exactly this" in refused(place, "preparer", LEO, units=["north"])[0]


def test_roles_and_names_that_approve_are_parameters(place):
    place.state('approvers: {cfo: ["Anna Bianchi"], head_of_audit: []}')
    place.run()
    sign(place.home, "preparer", LEO)
    assert "Eva Verdi is not among those who approve as cfo" in refused(place, "cfo", "Eva Verdi")[0]
    assert "Did you mean 'cfo'? Known: cfo, head_of_audit, preparer" in refused(place, "cf", "Eva Verdi")[0]
    sign(place.home, "cfo", "anna bianchi")
    assert "Not signed yet by: head of audit." in place.page()
    sign(place.home, "head_of_audit", "Eva Verdi")
    assert set(statuses(place).values()) == {"signed"}


@pytest.mark.parametrize("stated", ["{}", "{preparer: []}", "{CFO: []}", "{'a b': []}"])
def test_roles_that_cannot_approve_are_refused_with_the_parameters(place, stated):
    place.state(f"approvers: {stated}")
    with pytest.raises(Faults, match="approve"):
        place.run()


@pytest.mark.parametrize(
    "name", ["", " . ", "x" * 81, "Anna\u202eBianchi", "Anna\nBianchi\x00", "Ann\u0430 Bianchi", "<b>Anna"]
)
def test_names_that_could_pass_for_others_are_refused(place, name):
    with pytest.raises(ToolkitError, match="--name"):
        sign(place.home, "preparer", name)
    assert not (place.home / register.FILE).exists()


@pytest.mark.parametrize("role", ["", "C F O", "cfo\x1b[2J", "x" * 33])
def test_roles_that_are_none_are_refused(place, role):
    with pytest.raises(ToolkitError, match="--role: state preparer"):
        sign(place.home, role, LEO)


def test_names_are_escaped(place):
    sign(place.home, "preparer", "Leo 'x' & \"y\" Rossi")
    assert "Leo &#39;x&#39; &amp; &#34;y&#34; Rossi" in place.page()
    assert "<b>" not in place.page("index.html")


class TestWhatBlocks:
    """Each alone stands against a signature."""

    def only(self, place, **more):
        faults = refused(place, "preparer", LEO, **more)
        assert len(faults) == 1, faults
        return faults[0]

    @pytest.mark.parametrize(("unit", "figures"), [("money", "0.06 against 0.05"), ("count", "6 against 5")])
    def test_a_check_that_did_not_pass(self, place, unit, figures):
        def fail(frame):
            frame["value_cents"], frame["value_unit"] = [6, 0, None], unit

        place.spoil("north/tables/reconciliation_checks.parquet", fail)
        faults = refused(place, "preparer", LEO)
        assert f"north: check net_unexplained (claims) did not pass: {figures} at most" in faults
        if unit == "money":
            sign(place.home, "preparer", LEO, units=["south"])

    def test_a_ledger_that_the_notebook_itself_finds_unexplained(self, place):
        path = place.case / "financials.csv"
        path.write_text(path.read_text().replace("printed,false,10\n", "printed,false,9\n"))
        place.run()
        assert "check net_unexplained (claims) did not pass: 7.00 against 0.05" in self.only(place)

    def test_no_checks_at_all(self, place):
        run = json.loads((place.home / "run.json").read_text())
        for kind in ("parquet", "csv"):
            name = f"north/tables/reconciliation_checks.{kind}"
            del run["notebooks"]["north/reconciliation.en"]["outputs"][name]
            (place.home / name).unlink()
        (place.home / "run.json").write_text(json.dumps(run))
        assert "nothing was checked" in self.only(place, units=["north"])

    def test_a_missing_notebook(self, place):
        run = json.loads((place.home / "run.json").read_text())
        run["pages"].append(["north", "summary", "en"])
        (place.home / "run.json").write_text(json.dumps(run))
        assert self.only(place) == "north/summary.en: was never made. Run the whole case"

    def test_a_failed_notebook(self, place):
        run = json.loads((place.home / "run.json").read_text())
        run["notebooks"]["north/model.en"] |= {"status": "failed", "message": "ValueError: no"}
        (place.home / "run.json").write_text(json.dumps(run))
        assert self.only(place) == "north/model.en: failed: ValueError: no"
        assert self.only(place, units=["north"])
        sign(place.home, "preparer", LEO, units=["south"])

    def test_outputs_that_differ_from_the_run(self, place):
        path = place.home / "north/tables/reconciliation_kpis.csv"
        path.write_text(path.read_text().replace("1000", "1001"))
        assert self.only(place) == "north: north/tables/reconciliation_kpis.csv: is not what the run wrote"
        path.unlink()
        assert self.only(place) == "north: north/tables/reconciliation_kpis.csv: is missing"

    def test_data_and_definitions_that_changed_since_the_run(self, place):
        path = place.case / "financials.csv"
        path.write_text(path.read_text() + "\n")
        assert "financials (financials.csv): changed since the run" in self.only(place, units=["north"])
        place.run()
        (place.case / "north.yml").write_text("unit: north\nmateriality_share: 0.01\nunit_name: {en: N}\n")
        faults = refused(place, "preparer", LEO, units=["north"])
        assert "north: parameter materiality_share: 0.005 in the run, 0.01 now" in faults
        (place.case.parent / "kpis.yml").write_text("kpis: {}\n")
        assert any("catalogue of KPIs changed" in fault for fault in refused(place, "preparer", LEO, units=["north"]))

    def test_a_unit_that_was_not_run_again(self, place):
        (place.case / "_defaults.yml").write_text(
            (place.case / "_defaults.yml").read_text() + "materiality_share: 0.004\n"
        )
        place.run(units=["north"])
        faults = refused(place, "preparer", LEO, units=["south"])
        assert "south: south/reconciliation.en: was made from other data or definitions" in faults[-1]
        sign(place.home, "preparer", LEO, units=["north"])

    def test_a_bridge_that_does_not_close(self, place):
        def one_cent(frame):
            frame.loc[1, "amount_cents"] += 1

        place.spoil("north/tables/reconciliation_claims.parquet", one_cent)
        assert "does not close at booked: 10.01 from the steps, 10.00 stated" in self.only(place)

    def test_a_group_that_leaves_more_than_is_material(self, place):
        def hole(frame):
            frame.loc[frame["step"] == "unexplained", "amount_cents"] = -200
            frame.loc[frame["step"] == "group_revenue", "amount_cents"] -= 200

        place.spoil("group/tables/group_rollup.parquet", hole)
        assert "the roll-up leaves -2.00 unexplained, at most 0.14 is not material" in self.only(place)

    def test_a_run_that_was_broken_off(self, place):
        run = json.loads((place.home / "run.json").read_text())
        (place.home / "run.json").write_text(json.dumps({**run, "complete": False}))
        with pytest.raises(ToolkitError, match="did not come to its end"):
            sign(place.home, "preparer", LEO)

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"complete": true, "notebooks": {}}'])
    def test_a_damaged_record(self, place, content):
        (place.home / "run.json").write_text(content)
        with pytest.raises(ToolkitError, match="is damaged"):
            sign(place.home, "preparer", LEO)


def test_unknown_folders_and_units(place, tmp_path):
    with pytest.raises(ToolkitError, match="Name the folder that a run wrote"):
        sign(tmp_path / "nowhere", "preparer", LEO)
    with pytest.raises(Faults, match="Did you mean 'north'"):
        sign(place.home, "preparer", LEO, units=["nort"])
    place.case.rename(tmp_path / "moved")
    with pytest.raises(ToolkitError, match="--parameters"):
        sign(place.home, "preparer", LEO)


class TestWhatVoids:
    """What a signature was on, changed afterwards."""

    def test_data(self, signed):
        path = signed.case / "financials.csv"
        path.write_text(path.read_text().replace("printed,false,10\n", "printed,false,11\n"))
        report = signed.run()
        assert report.exit_status == 0
        assert set(statuses(signed).values()) == {"void"}
        north = next(line for line in report.voided if line.startswith("north"))
        assert north in closing(report, 0.0).splitlines()
        assert "data changed (filings)" in north
        assert "Anna Bianchi (CFO) had signed on" in north
        assert "Restated since: Margin 20.0% → 22.0%; Net revenue €10 → €11." in north
        assert "Restated since: Net revenue €10 → €11" not in next(x for x in report.voided if x.startswith("south"))
        assert "Void since " in signed.page()
        assert "kt-signoff-void" in signed.page("index.html")
        assert "valid." not in signed.page("index.html")

    def test_and_is_signed_anew_by_the_same_people(self, signed):
        self.test_data(signed)
        sign(signed.home, "preparer", LEO)
        sign(signed.home, "cfo", ANNA)
        assert set(statuses(signed).values()) == {"signed"}
        assert [entry.number for entry in states(signed)["north"].valid] == [3, 4]

    def test_figures_that_move_by_less_than_is_written(self, signed):
        path = signed.case / "financials.csv"
        path.write_text(path.read_text().replace("printed,false,10\n", "printed,false,10.01\n"))
        assert "Margin 20.00% → 20.02%; Net revenue €10.00 → €10.01." in "".join(signed.run().voided)

    def test_a_definition(self, signed):
        signed.state("trivial_share: 0.06")
        assert "parameters changed (trivial_share)" in signed.run().voided[0]
        (signed.case.parent / "kpis.yml").write_text("kpis: {}\n")
        assert "the definitions of the KPIs changed" in signed.run().voided[0]

    def test_an_output(self, signed):
        path = signed.home / "north/model.en.html"
        path.write_text(path.read_text().replace("Done for", "Made for"))
        assert statuses(signed) == {"north": "void", "south": "signed", "group": "signed"}
        assert [(change.kind, change.name) for change in states(signed)["north"].changes] == [
            ("output", "north/model.en.html")
        ]

    def test_what_a_notebook_shows_but_not_how_long_it_ran(self, signed):
        path = signed.home / "north/model.en.ipynb"
        content = json.loads(path.read_text())
        content["metadata"]["papermill"]["duration"] = 1.0
        path.write_text(json.dumps(content))
        assert statuses(signed)["north"] == "signed"
        content["cells"][-1]["outputs"][0]["text"] = ["Made\n"]
        path.write_text(json.dumps(content))
        assert statuses(signed)["north"] == "void"

    def test_a_parameter_that_the_toolkit_has_learnt_since_does_not(self, place):
        run = json.loads((place.home / "run.json").read_text())
        now = standing.statement(standing.read_run(place.home), "north")
        old = {name: value for name, value in now.parameters.items() if name != "allowed_signers"}
        before = now.model_copy(update={"parameters": old})
        assert standing.changes(before, now) == []
        other = now.model_copy(update={"parameters": {**old, "allowed_signers": "x"}})
        assert [change.name for change in standing.changes(before, other)] == ["allowed_signers"]
        assert run["units"]["north"]["parameters"] == now.parameters

    def test_a_toolkit_that_has_learnt_a_parameter_reads_old_signatures(self, signed):
        """As if parameters and a line of the accounts had come with a new version, after run and signatures."""

        def forget(stated):
            del stated["allowed_signers"], stated["accounts"]["media"]

        run = json.loads((signed.home / "run.json").read_text())
        for facts in run["units"].values():
            forget(facts["parameters"])
        (signed.home / "run.json").write_text(json.dumps(run))
        before, lines = "", []
        for line in (signed.home / register.FILE).read_text().splitlines():
            entry = json.loads(line)
            for statement in entry["units"].values():
                forget(statement["parameters"])
            lines.append(forge(entry, previous=before))
            before = json.loads(lines[-1])["hash"]
        rewrite(signed, lambda all_lines: all_lines.__setitem__(slice(None), lines))
        now = standing.facts_now(read_case(signed.case))
        found = signoff.states(standing.read_run(signed.home), signed.case, now)
        assert {(state.status, state.refused) for state in found.values()} == {("signed", ())}
        assert standing.from_inputs(standing.read_run(signed.home), now, ["north"]) == []


def test_an_approval_locks_what_is_the_cfos(signed):
    before = (signed.case / "_defaults.yml").read_text()
    moved = {"materiality_share": (0.05, 0.005), "tax_rate": (0.2, 0.24), "cost_of_capital": (0.05, 0.08)}
    moved |= {"lifetime_model": ('"none"', '"purchases"'), "lifetime_horizon_quarters": (20, 12)}
    moved |= {"discount_rate": (0.02, 0.08)}
    signed.state("\n".join(f"{name}: {now}" for name, (now, _was) in moved.items()))
    voided = signed.run().voided
    assert f"parameters changed ({', '.join(sorted(moved))})" in voided[0]
    faults = "\n".join(refused(signed, "preparer", LEO, units=["north"]))
    for name, (now, was) in moved.items():
        assert f"{name} is {now}, but Anna Bianchi (cfo) approved, and so locked, {was}" in faults
    (signed.case / "_defaults.yml").write_text(before)
    assert signed.run().voided == []  # what was signed stands again


def test_a_preparer_locks_nothing(place):
    sign(place.home, "preparer", LEO)
    place.state("materiality_share: 0.05")
    place.run()
    sign(place.home, "preparer", LEO)


def test_people_who_sign_at_once_all_stand_in_the_chain(place, monkeypatch):
    monkeypatch.setattr(signoff, "_WAIT_SECONDS", 120)
    people = [LEO, "Eva Verdi", "Ugo Neri", "Ada Gallo"]
    threads = [threading.Thread(target=sign, args=(place.home, "preparer", name)) for name in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book = register.read(place.home)
    assert book.said == []
    assert sorted(entry.name for entry in book.entries) == sorted(people)


def test_nobody_signs_while_a_run_is_under_way(place, monkeypatch):
    monkeypatch.setattr(signoff, "_WAIT_SECONDS", 0.2)
    with only_run(place.home), pytest.raises(ToolkitError, match="under way"):
        sign(place.home, "preparer", LEO)


def test_the_command_line(place):
    def call(*words):
        return CliRunner().invoke(main, [str(word) for word in words])

    early = call("sign", place.home, "--role", "cfo", "--name", ANNA)
    assert early.exit_code == 2
    assert early.stderr.startswith("tiny: not signed: 3 faults\n")
    done = call("sign", place.home, "--role", "preparer", "--name", LEO, "--unit", "north")
    assert done.exit_code == 0
    assert "Signed by Leo Rossi (preparer), name as stated, without a key: north\n" in done.stdout
    assert "north: not examined, so not tested: claimed_again" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Entry 1 of signoff.jsonl, ")


def test_a_damaged_page_is_not_what_was_signed_even_in_its_own_line(signed):
    """What stands between the two marks is no part of the hash; nothing else may hide there twice."""
    path = signed.home / "north/model.en.html"
    page = path.read_bytes()
    before, own, after = record.parted(page)
    path.write_bytes(before + b"<!--sign-off:-->Revenue is 9<!--/sign-off-->" + own + after)
    assert statuses(signed)["north"] == "void"
    assert Path(path).suffix == ".html"
