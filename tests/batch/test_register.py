"""The register of signatures: whatever becomes of its lines is seen; and people's own SSH keys."""

import contextlib
import json
import os

import pytest

from kpitoolkit.batch import register
from kpitoolkit.batch.signoff import sign
from kpitoolkit.errors import ToolkitError
from tests.batch.signing import ANNA, LEO, forge, make_key, refused, rewrite, states, statuses


class TestRegister:
    """Whatever becomes of its lines is seen."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda lines: lines.__setitem__(0, lines[0].replace("Leo Rossi", "Leo Bossi")), "line 1 was changed"),
            (lambda lines: lines.__setitem__(1, lines[1].replace('"cfo"', '"ceo"')), "line 2 was changed"),
            (lambda lines: lines.pop(0), "line 1 does not follow"),
            (lambda lines: lines.reverse(), "line 1 does not follow"),
            (lambda lines: lines.insert(1, lines[0]), "line 2 does not follow"),
            (lambda lines: lines.insert(1, "{}"), "line 2 is not an entry"),
            (lambda lines: lines.insert(0, ""), "line 1 is not an entry"),
            (lambda lines: lines.append("[" * 100_000), "line 3 is not an entry"),
            (lambda lines: lines.append('{"number": NaN}'), "line 3 is not an entry"),
            (lambda lines: lines.__setitem__(1, lines[1].replace('"number":2', '"number":2.0')), "line 2"),
        ],
    )
    def test_a_line_that_is_not_as_it_was(self, signed, change, said):
        rewrite(signed, change)
        assert said in register.read(signed.home).faults[0]
        assert set(statuses(signed).values()) == {"damaged"}
        assert any(said in fault for fault in refused(signed, "preparer", "Eva Verdi"))
        assert "the register of signatures is damaged" in signed.run().voided[0]
        assert "Void: the register of signatures is damaged." in signed.page()

    def test_a_name_that_no_person_may_sign_with(self, signed):
        entries = [json.loads(line) for line in (signed.home / register.FILE).read_text().splitlines()]
        for changes in ({"name": "Anna\u202eBianchi"}, {"role": "cfo\x1b[2J"}):
            with pytest.raises(ValueError, match="role") if "role" in changes else contextlib.nullcontext():
                rewrite(signed, lambda lines, c=changes: lines.__setitem__(1, forge(entries[1], **c)))
                assert "line 2 is not an entry" in register.read(signed.home).faults[0]

    def test_one_dated_back(self, signed):
        entries = [json.loads(line) for line in (signed.home / register.FILE).read_text().splitlines()]
        rewrite(signed, lambda lines: lines.__setitem__(1, forge(entries[1], time="2020-01-01T00:00:00Z")))
        assert "is dated before" in register.read(signed.home).faults[0]

    def test_bytes_that_are_no_text(self, signed):
        path = signed.home / register.FILE
        path.write_bytes(path.read_bytes().replace(b"Leo", b"L\xff\xfe"))
        assert "line 1 is not an entry" in register.read(signed.home).faults[0]

    @pytest.mark.parametrize("left", [1, 30, -2])
    def test_a_last_line_that_a_power_cut_tore(self, signed, left):
        path = signed.home / register.FILE
        first, second = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first + second[:left])
        assert [entry.name for entry in register.read(signed.home).entries] == [LEO]
        assert set(statuses(signed).values()) == {"prepared"}
        torn = refused(signed, "cfo", ANNA)[0]
        assert "its last line is cut off after" in torn
        assert "the 1 entry before it stand" in torn
        path.write_bytes(first)
        sign(signed.home, "cfo", ANNA)
        assert set(statuses(signed).values()) == {"signed"}

    def test_a_whole_last_line_without_its_end(self, place):
        sign(place.home, "preparer", LEO)
        path = place.home / register.FILE
        path.write_bytes(path.read_bytes().rstrip(b"\n"))
        sign(place.home, "cfo", ANNA)
        assert set(statuses(place).values()) == {"signed"}

    def test_a_disk_that_is_full_leaves_no_torn_line(self, place, monkeypatch):
        sign(place.home, "preparer", LEO)
        before = (place.home / register.FILE).read_bytes()
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, line: write(file, line[: len(line) // 2]))
        with pytest.raises(OSError, match="disk is full"):
            sign(place.home, "cfo", ANNA)
        assert (place.home / register.FILE).read_bytes() == before

    def test_an_entry_that_breaks_a_rule_counts_for_nothing(self, place):
        """Its hash is right and it chains: somebody wrote it by other means."""
        sign(place.home, "preparer", LEO)
        first = json.loads((place.home / register.FILE).read_text())
        rewrite(
            place,
            lambda lines: lines.append(forge(first, number=2, previous=first["hash"], role="cfo", name="LEO ROSSI")),
        )
        assert register.read(place.home).said == []
        found = states(place)["north"]
        assert found.status == "prepared"
        assert "entry 2 does not count for north: LEO ROSSI prepared it" in found.refused[0]


class TestKeys:
    """Signatures by people's own SSH keys."""

    @pytest.fixture
    def keyed(self, place, tmp_path):
        keys = {name: make_key(tmp_path, name) for name in ("leo", "anna", "eve")}
        lines = [f"{name}@example.com {keys[name].with_suffix('.pub').read_text()}" for name in ("leo", "anna")]
        (place.case / "signers").write_text("".join(lines))
        place.state('allowed_signers: signers\napprovers: {cfo: ["Anna Bianchi <anna@example.com>"]}')
        place.run()
        return place, keys

    def test_are_kept_and_checked(self, keyed):
        place, keys = keyed
        entry = sign(place.home, "preparer", LEO, key=keys["leo"])
        assert entry.fingerprint == register.key_fingerprint(keys["leo"]) == register.fingerprint(entry.signature)
        sign(place.home, "cfo", ANNA, key=keys["anna"])
        assert set(statuses(place).values()) == {"signed"}
        assert "with a key of the person&#39;s own: valid." in place.page()

    def test_are_asked_for_where_allowed_signers_are_stated(self, keyed):
        assert "--key: the parameter 'allowed_signers' asks for one" in refused(keyed[0], "preparer", LEO)[0]

    def test_are_refused_where_none_are_stated(self, place, tmp_path):
        faults = refused(place, "preparer", LEO, key=make_key(tmp_path, "leo"))
        assert "'allowed_signers' names no file" in faults[0]

    def test_of_strangers_are_refused(self, keyed):
        place, keys = keyed
        assert "is not among the allowed signers (signers)" in refused(place, "preparer", "Eve", key=keys["eve"])[0]

    def test_of_another_than_the_named_approver_are_refused(self, keyed, tmp_path):
        place, keys = keyed
        sign(place.home, "preparer", "Eva Verdi", key=keys["leo"])
        with open(place.case / "signers", "a", encoding="utf-8") as file:
            file.write(f"eve@example.com {keys['eve'].with_suffix('.pub').read_text()}")
        assert "its key is not that of anna@example.com" in refused(place, "cfo", ANNA, key=keys["eve"])[0]

    def test_the_same_key_is_the_same_person(self, keyed):
        place, keys = keyed
        sign(place.home, "preparer", LEO, key=keys["anna"])
        assert "prepared it (the same name, or the same key)" in refused(place, "cfo", ANNA, key=keys["anna"])[0]

    def test_a_forged_signature_is_seen(self, keyed):
        place, keys = keyed
        sign(place.home, "preparer", LEO, key=keys["leo"])
        entry = json.loads((place.home / register.FILE).read_text())
        for changes in ({"name": "Eva Verdi"}, {"fingerprint": "", "signature": ""}, {"signature": "x"}):
            rewrite(place, lambda lines, changes=changes: lines.__setitem__(0, forge(entry, **changes)))
            assert statuses(place)["north"] == "not_signed", changes
        said = states(place)["north"].refused[0]
        assert "entry 1 does not count for north: is no SSH signature" in said

    def test_a_key_that_is_allowed_no_more(self, keyed):
        place, keys = keyed
        sign(place.home, "preparer", LEO, key=keys["leo"])
        (place.case / "signers").write_text("")
        assert "is not among the allowed signers" in states(place)["north"].refused[0]
        (place.case / "signers").unlink()
        assert "no file of allowed signers" in states(place)["north"].refused[0]

    def test_a_key_valid_only_then(self, keyed):
        place, keys = keyed
        path = place.case / "signers"
        path.write_text("".join(
            line.replace(" ", ' valid-before="20200101" ', 1) + "\n" for line in path.read_text().splitlines()
        ))  # fmt: skip
        assert "--key" not in refused(place, "preparer", LEO, key=keys["leo"])[0]
        path.write_text(path.read_text().replace("20200101", "20990101"))
        sign(place.home, "preparer", LEO, key=keys["leo"])

    def test_files_that_are_no_keys(self, keyed, tmp_path):
        with pytest.raises(ToolkitError, match="there is no file"):
            sign(keyed[0].home, "preparer", LEO, key=tmp_path / "none")
        with pytest.raises(ToolkitError, match="holds no SSH key"):
            sign(keyed[0].home, "preparer", LEO, key=keyed[0].case / "north.yml")

    def test_without_ssh_keygen_the_message_says_what_to_install(self, keyed, monkeypatch):
        place, keys = keyed
        sign(place.home, "preparer", LEO, key=keys["leo"])
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(ToolkitError, match="apt-get install openssh-client"):
            sign(place.home, "cfo", ANNA, key=keys["anna"])
        assert "ssh-keygen is not on this machine" in states(place)["north"].refused[0]

    def test_a_public_half_alone_signs_nothing(self, keyed, monkeypatch):
        place, keys = keyed
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        keys["leo"].unlink()
        with pytest.raises(ToolkitError, match="could not sign"):
            sign(place.home, "preparer", LEO, key=keys["leo"].with_suffix(".pub"))
