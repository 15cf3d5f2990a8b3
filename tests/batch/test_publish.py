"""Finished files reach their places, and no others."""

import os

import pytest

from kpitoolkit.batch.publish import inside, only_run, publish, refuse_outside
from kpitoolkit.errors import ToolkitError


def test_files_are_moved_and_what_is_no_longer_written_goes(tmp_path):
    home, work = tmp_path / "home", tmp_path / "work"
    (home / "u").mkdir(parents=True)
    work.mkdir()
    for name in ("old", "kept", "strange"):
        (home / "u" / name).write_text("before")
    (work / "kept").write_text("now")
    publish(home, {"u/kept": work / "kept"}, earlier=["u/kept", "u/old", "u/gone"])
    assert {path.name: path.read_text() for path in (home / "u").iterdir()} == {"kept": "now", "strange": "before"}


@pytest.mark.parametrize("name", ["../x", "u/../../x", "/etc/x", "/x", "u/..", "..", "", "."])
def test_no_output_leads_out_of_the_folder(tmp_path, name):
    (tmp_path / "made").write_text("x")
    with pytest.raises(ToolkitError, match="leads out"):
        publish(tmp_path / "home", {"u/fine": tmp_path / "made", name: tmp_path / "made"})
    assert not (tmp_path / "home").exists()
    with pytest.raises(ToolkitError, match="leads out"):
        publish(tmp_path / "home", {}, earlier=[name])
    with pytest.raises(ToolkitError, match="leads out"):
        refuse_outside(tmp_path / "home", ["u/fine", "fine", name])


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_no_output_follows_a_link_out_of_the_folder(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "unit").symlink_to(tmp_path)
    (tmp_path / "home" / "north").mkdir()
    (tmp_path / "home" / "south").symlink_to(tmp_path / "home" / "north")
    (tmp_path / "home" / "north" / "page.html").symlink_to(tmp_path / "home" / "north" / "other.html")
    for name in ("unit/page.html", "south/page.html", "north/page.html"):
        with pytest.raises(ToolkitError, match="leads out"):
            inside(tmp_path / "home", name)
        with pytest.raises(ToolkitError, match="leads out"):
            refuse_outside(tmp_path / "home", ["north/fine", "fine", name])
    refuse_outside(tmp_path / "home", ["north", "north/fine", "fine", "north/new/fine"])


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_case_is_not_written_through_a_link(tmp_path):
    for name in ("elsewhere", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "home" / ".lock").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").write_text("kept")
    for name in ("linked", "home"):
        with pytest.raises(ToolkitError, match="links, through which nothing is written"), only_run(tmp_path / name):
            pass
    assert (tmp_path / "kept").read_text() == "kept"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_folder_is_held_by_one_run_and_let_go(tmp_path):
    with only_run(tmp_path), pytest.raises(ToolkitError, match="another run"), only_run(tmp_path):
        pass
    with only_run(tmp_path):
        pass
