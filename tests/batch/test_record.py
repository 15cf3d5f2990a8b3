"""run.json and the hashes that decide what is made again."""

from kpitoolkit.batch import record, standing
from kpitoolkit.batch.record import Entry


def test_what_is_written_is_read_back(tmp_path):
    entry = Entry("b2b", "summary", "it", "made", outputs={"b2b/x": "1"}, parameters={"quarter": "2026Q3"})
    record.save(tmp_path / "run.json", {"case": "c"}, {entry.place: entry})
    assert record.load(tmp_path / "run.json") == {"b2b/summary.it": entry}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_damaged_record_counts_as_empty(tmp_path):
    path = tmp_path / "run.json"
    assert record.load(path) == {}
    for content in ("{", "[]", '{"notebooks": {"a": {"unknown": 1}}}', '{"notebooks": []}'):
        path.write_text(content)
        assert record.load(path) == {}


def test_outputs_hold_only_while_every_byte_does(tmp_path):
    (tmp_path / "a").write_text("1")
    entry = Entry("u", "n", "en", "made", outputs=record.files_digest(tmp_path, [tmp_path / "a"]))
    assert record.holds(tmp_path, entry)
    (tmp_path / "a").write_text("2")
    assert not record.holds(tmp_path, entry)
    (tmp_path / "a").unlink()
    assert not record.holds(tmp_path, entry)
    assert not record.holds(tmp_path, Entry("u", "n", "en", "made"))


def test_versions_and_sources_are_part_of_what_a_page_follows_from():
    assert record.versions()["kpitoolkit"] == record.__version__
    assert len(record.package_digest()) == 64


def test_how_a_page_was_made_is_no_part_of_what_is_signed(tmp_path):
    page = tmp_path / "a.html"

    def digest(made):
        page.write_text(f"<main>12 M<!--sign-off:--><!--/sign-off--><footer>{made}</footer></main>", encoding="utf-8")
        return standing.content_digest(page)

    plain = digest("")
    for spans in ("<span>duration: 24 s</span>", "<span>duration: 9 s</span>\n<span>kernel: cold</span>"):
        assert digest(f"<!--made:-->\n{spans}\n<!--/made-->") == plain
    for smuggled in ("<h1>13 M</h1>", "<span><b>13 M</b></span>", "<span>" + "x" * 200 + "</span>", "13 M"):
        assert digest(f"<!--made:-->{smuggled}<!--/made-->") != plain
    assert digest("<!--made:--><span>a</span><!--/made--><!--made:--><span>b</span><!--/made-->") != plain
