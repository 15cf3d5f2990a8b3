"""What can go wrong with a notebook, injected for real: its kernel dies, it never ends, says too much, writes where it
must not, shows credentials. Whatever it does, its page says so, and everything else stands."""

import base64
import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from nbformat import v4

from kpitoolkit.batch import guards, record
from kpitoolkit.batch.runner import run_case
from kpitoolkit.errors import ToolkitError
from tests.batch.conftest import write_case

PASSWORD = "pä$s\"wörd'<&>\\/7"
TOKEN = "tok-1234567890"
ENVIRONMENT = {
    "WAREHOUSE_PASSWORD": PASSWORD,
    "API_TOKEN": TOKEN,
    "KPITOOLKIT_CONNECTION_WAREHOUSE": "postgres://anna:hid%2Fden7@db.example.com/shop?sslkey=98765432",
}
START = "import json, os, signal, subprocess, sys, time\nfrom pathlib import Path\n"
MARKER = "seen = Path(os.environ['KPITOOLKIT_CACHE'], 'second')\n"
WRITES = """
home = Path(os.environ["KPITOOLKIT_OUTPUTS"], "tiny")
places = [home / "south" / "page.html", home / "run.json", home / "new", home / "north" / "x", Path(data_dir) / "x"]
places += [Path.home() / "kpitoolkit-x", Path(results_dir) / "tables" / "x", Path(save_dir).parent / "x"]
for place in places:
    for what in (lambda: place.write_text("spoilt"), lambda: os.truncate(place, 0), place.unlink):
        try:
            what()
            print("could", place)
        except (PermissionError, FileNotFoundError):
            pass
for what in (lambda: os.rename(home / "south", home / "gone"), lambda: os.kill(os.getppid(), 0)):
    try:
        what()
        print("could")
    except PermissionError:
        pass
shell = subprocess.run(["sh", "-c", f"echo x > '{home}/south/page.html'"], capture_output=True)
print("shell", shell.returncode != 0)
"""
MAY = """
import tempfile
import duckdb
import multiprocessing
for folder in (save_dir, tempfile.gettempdir(), os.environ["KPITOOLKIT_CACHE"], Path.home() / ".cache"):
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x")
(Path(save_dir) / "tables").mkdir()
_ = (Path(save_dir) / "tables" / "may_values.csv").write_text("a,b\\n1,2\\n")
multiprocessing.Lock()
with open(os.devnull, "w") as nowhere:
    print("x", file=nowhere)
duckdb.sql("SET memory_limit='60MB'; SET threads=1")
duckdb.sql("SET temp_directory='" + tempfile.gettempdir() + "/spill'")
print(len(duckdb.sql("SELECT md5(range::VARCHAR) AS x FROM range(1500000) ORDER BY x").limit(3).fetchall()), "sorted")
"""
SHOWS = """
import base64, html
from urllib.parse import quote
from IPython.display import HTML, display
said = os.environ["WAREHOUSE_PASSWORD"]
print(dict(os.environ))
print(json.dumps(dict(os.environ)), quote(said, safe=""), base64.b64encode(said.encode()).decode())
_ = subprocess.run("env", shell=True)
display(HTML(f"<p>{html.escape(said)}</p>"))
display({"application/json": {"token": [os.environ["API_TOKEN"]]}}, raw=True)
"""
SOURCES = {
    "leaves": START + "os._exit(3)",
    "killed": START + "print('so far', flush=True)\ntime.sleep(1)\nos.kill(os.getpid(), signal.SIGKILL)",
    "crashes": START + "import ctypes\nctypes.string_at(0)",
    "second": START + MARKER + "if not seen.exists():\n    seen.touch()\n    os._exit(1)\nprint('made')",
    "talks": START + "print('first words', flush=True)\nfor _ in range(1000):\n    print('x' * 1_000_000, flush=True)",
    "shouts": START + "print('x' * 60_000_000)",
    "throws": START + "raise ValueError('x' * 60_000_000)",
    "writes": START + WRITES,
    "may": START + MAY,
    "shows": START + SHOWS + "raise ValueError(said + ' ' + os.environ['KPITOOLKIT_CONNECTION_WAREHOUSE'])",
    "saves": START + "(Path(save_dir) / 'tables').mkdir()\n"
    "_ = (Path(save_dir) / 'tables' / 'saves_values.csv').write_text('a,' + os.environ['API_TOKEN'])",
    "links": START + "(Path(save_dir) / 'tables').symlink_to(Path(results_dir).parent)",
}
NEVER = """
children = [subprocess.Popen(["sleep", "600"]), subprocess.Popen(["sleep", "600"], start_new_session=True)]
pids = [os.getpid(), *(child.pid for child in children)]
(Path(os.environ["KPITOOLKIT_CACHE"]) / f"pids-{unit}").write_text(json.dumps(pids))
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    time.sleep(0.1)
"""
SPOILS = (
    "home = Path(os.environ['KPITOOLKIT_OUTPUTS'], 'tiny')\n_ = (home / 'south' / 'page.html').write_text('spoilt')"
)


def write_notebooks(folder, sources):
    folder.mkdir(exist_ok=True)
    given = 'unit = "north"\ndata_dir = ""\nresults_dir = ""\nsave_dir = ""'
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for order, (name, source) in enumerate(sources.items(), 1):
        cells = [v4.new_markdown_cell(f"# {name}"), v4.new_code_cell(given), v4.new_code_cell(source)]
        cells[1].metadata["tags"] = ["parameters"]
        for cell in cells:
            cell.id = f"cell-{cells.index(cell)}"
        said = {"needs": [["financials"]], "order": order, "scope": "unit"}
        made = v4.new_notebook(cells=cells, metadata={"kpitoolkit": said, "kernelspec": kernel})
        (folder / f"{name}.ipynb").write_text(v4.writes(made), encoding="utf-8")
    return folder


class Place:
    def __init__(self, root: Path, units=("north",)):
        self.root, self.case, self.home = root, write_case(root, units), root / "outputs" / "tiny"
        self.cache = root / "cache"
        self.cache.mkdir()
        (self.home / "south").mkdir(parents=True)
        (self.home / "south" / "page.html").write_text("south's")

    def run(self, sources, **wanted):
        folder = write_notebooks(self.root / "notebooks", sources)
        self.report = run_case(self.case, output=self.root / "outputs", notebooks_dir=folder, **wanted)
        self.entries = {entry.notebook: entry for entry in self.report.entries}
        return self

    def failed(self, name, kind="html"):
        return (self.home / "failed" / "north" / f"{name}.en.{kind}").read_text(encoding="utf-8")

    def kept(self):
        """All files below the outputs' root."""
        return [path for path in (self.root / "outputs").rglob("*") if path.is_file()]


def largest_memory() -> int:
    """Return the most memory that this process has held, in bytes."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One run of every notebook that goes wrong by itself."""
    with pytest.MonkeyPatch.context() as patched:
        made = Place(tmp_path_factory.mktemp("faults"))
        for name, value in {**ENVIRONMENT, "KPITOOLKIT_CACHE": str(made.cache)}.items():
            patched.setenv(name, value)
        before = largest_memory()
        made.run(SOURCES)
        made.grown = largest_memory() - before
        yield made


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leaves", "the kernel ended by itself (exit code 3)"),
        ("killed", "the kernel ended by itself (signal 9: killed, perhaps out of memory)"),
        ("crashes", "the kernel ended by itself (signal 11: a library crashed)"),
    ],
)
def test_a_kernel_that_ends_is_tried_again_and_its_page_says_how_it_ended(place, name, said):
    entry = place.entries[name]
    assert (entry.status, entry.message, entry.attempts) == ("failed", said, [said])
    assert said in html.unescape(place.failed(name))
    assert json.loads((place.home / "run.json").read_text())["notebooks"][f"north/{name}.en"]["attempts"] == [said]


def test_what_was_shown_before_the_kernel_ended_is_kept(place):
    assert "so far" in place.failed("killed")


def test_a_second_attempt_is_recorded(place):
    entry = place.entries["second"]
    assert (entry.status, entry.attempts) == ("made", ["the kernel ended by itself (exit code 1)"])


@pytest.mark.parametrize("name", ["talks", "shouts"])
def test_a_notebook_that_says_too_much_is_ended_and_what_is_kept_is_small(place, name):
    entry = place.entries[name]
    said = "printed or displayed more than 20 MB (limit of a notebook's outputs)"
    assert (entry.status, entry.message, entry.attempts) == ("failed", said, [])
    assert said in html.unescape(place.failed(name))
    assert len(place.failed(name, "ipynb")) < 100_000


def test_a_message_that_is_too_large_is_an_end_too(place):
    assert place.entries["throws"].message.startswith("printed or displayed more than")
    assert len(place.failed("throws", "ipynb")) < 100_000


def test_memory_stays_bounded_whatever_a_notebook_says(place):
    assert place.grown < 300e6, place.grown


def test_a_notebook_writes_in_its_own_folder_only(place):
    assert place.entries["writes"].status == "made"
    printed = json.loads((place.home / "north" / "writes.en.ipynb").read_text())["cells"][-1]["outputs"]
    assert "".join(printed[0]["text"]) == "shell True\n"
    assert (place.home / "south" / "page.html").read_text() == "south's"


def test_temporary_files_caches_and_spilling_work(place):
    assert (place.entries["may"].status, place.entries["may"].message) == ("made", "")
    assert (place.home / "north" / "tables" / "may_values.csv").is_file()


def test_no_credential_is_kept_in_any_form(place):
    assert place.entries["shows"].status == "failed"
    forms = [PASSWORD, TOKEN, "hid%2Fden7", "hid/den7", "98765432", json.dumps(PASSWORD)[1:-1], repr(PASSWORD)[1:-1]]
    forms += [json.dumps(PASSWORD, ensure_ascii=False)[1:-1], html.escape(PASSWORD), quote(PASSWORD, safe="")]
    forms += [base64.b64encode(PASSWORD.encode()).decode().rstrip("="), json.dumps(repr(PASSWORD)[1:-1])[1:-1]]
    for path in place.kept():
        content = path.read_bytes()
        assert [form for form in forms if form.encode() in content] == [], path
    assert place.failed("shows", "ipynb").count("***") > 10
    assert place.entries["shows"].message == "ValueError: *** postgres://anna:***@db.example.com/shop?sslkey=***"


def test_tables_with_credentials_and_links_are_not_published(place):
    assert place.entries["saves"].message == (
        "not published: tables/saves_values.csv holds a credential of the environment. Save the table without it"
    )
    assert place.entries["links"].status == "failed"
    assert not list((place.home / "north" / "tables").glob("[sl]*"))


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_notebook_that_never_ends_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    place = Place(tmp_path)
    monkeypatch.setenv("KPITOOLKIT_CACHE", str(place.cache))
    place.run({"never": START + "print('begun', flush=True)\n" + NEVER}, time_limit=3)
    entry = place.entries["never"]
    assert entry.message == "ran longer than 3 s (limit of a notebook)"
    assert entry.attempts == []
    assert "begun" in place.failed("never") and "limit of a notebook" in place.failed("never")
    pids = json.loads((place.cache / "pids-north").read_text())
    assert [pid for pid in pids if is_alive(pid)] == []


def test_without_the_systems_help_changed_files_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(guards, "version", lambda: 0)
    place = Place(tmp_path).run({"fine": "print(1)", "spoils": START + SPOILS, "after": "print(1)"})
    assert "south/page.html" in place.entries["spoils"].message
    assert {name: entry.status for name, entry in place.entries.items()} == {
        "fine": "made", "spoils": "failed", "after": "made",
    }  # fmt: skip


def test_nothing_is_written_through_a_link(tmp_path):
    place = Place(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for name in ("north", "failed"):
        (place.home / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ToolkitError, match=r"links, .*tiny/north, .*tiny/failed\. Remove them; nothing was run"):
        place.run({"fine": "print(1)"})
    for name in ("north", "failed"):
        (place.home / name).unlink()
    (place.home / "north").mkdir()
    (place.home / "north" / "fine.en.html").symlink_to(tmp_path / "elsewhere" / "page")
    place.run({"fine": "print(1)"})
    assert "'north/fine.en.html' leads out of" in place.entries["fine"].message
    assert not list((tmp_path / "elsewhere").iterdir())
    assert place.failed("fine", "ipynb")


CALL = "from kpitoolkit.cli import main; main(['run', 'tiny', '--output', 'outputs', '--jobs', '2', '--unit', 'north', "
CALL += "'--unit', 'other'])"
UNGUARDED = "from kpitoolkit.batch import guards; guards.version = lambda: 0; "


@pytest.mark.parametrize(
    ("number", "before"),
    [(signal.SIGINT, ""), (signal.SIGKILL, ""), (signal.SIGKILL, UNGUARDED)],
    ids=["ctrl-c", "kill -9", "kill -9 without Landlock"],
)
def test_a_run_that_is_cut_short_leaves_no_kernel_and_the_next_goes_on_from_there(tmp_path, number, before):
    place = Place(tmp_path, units=("north", "other"))
    financials = place.case / "financials.csv"
    financials.write_text(financials.read_text() + "2026Q3,other,b,f,printed,false,5\n")
    write_notebooks(tmp_path / "notebooks", {"fine": "print(1)", "never": START + NEVER})
    environment = {**os.environ, "KPITOOLKIT_CACHE": str(place.cache), "KPITOOLKIT_KERNELS": "cold"}
    told = {"cwd": tmp_path, "env": environment}
    with open(tmp_path / "said", "w") as said:
        run = subprocess.Popen([sys.executable, "-c", before + CALL], start_new_session=True, stderr=said, **told)
    wait_for(lambda: len(list(place.cache.glob("pids-*"))) == 2)
    time.sleep(0.2)
    os.killpg(run.pid, number)
    run.wait(timeout=120)
    pids = [json.loads(path.read_text()) for path in place.cache.glob("pids-*")]
    if number == signal.SIGINT:
        assert run.returncode == 130
        assert "What was published stands" in (tmp_path / "said").read_text()
        assert [pid for both in pids for pid in both if is_alive(pid)] == []
        assert not list(place.home.glob(".work-*"))
    else:
        wait_for(lambda: not any(is_alive(pid) for both in pids for pid in both))
    assert not (place.home / "failed").exists()
    record.package_digest.cache_clear()  # the other process has read the sources later
    place.run({"fine": "print(1)", "never": "print(2)"}, units=["north", "other"])
    found = {f"{entry.unit} {entry.notebook} {entry.status}" for entry in place.report.entries}
    expected = {"north fine unchanged", "other fine unchanged", "north never made", "other never made"}
    assert found == expected, [entry.because for entry in place.report.entries]
    assert not list(place.home.glob(".work-*"))


def wait_for(told, seconds=300):
    deadline = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


FULL = """
import json, os, resource, sys
from pathlib import Path
from click.testing import CliRunner
from kpitoolkit.cli import main

home, how = Path("outputs/tiny"), sys.argv[1]

def run():
    found = CliRunner().invoke(main, ["run", "tiny", "--output", "outputs", "--unit", "north", "--force"])
    files = {str(path): path.read_bytes().hex() for path in sorted(home.glob("north/**/*")) if path.is_file()}
    entries = json.loads((home / "run.json").read_text())["notebooks"]
    return found.exit_code, found.output, files, {name: entry["status"] for name, entry in entries.items()}

def fill(free):
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (free, resource.RLIM_INFINITY))
        return
    with open("outputs/ballast", "wb", buffering=0) as file:
        while os.statvfs("outputs").f_bavail * os.statvfs("outputs").f_frsize > free:
            file.write(bytes(4096))

def make_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    Path("outputs/ballast").unlink(missing_ok=True)

told = [run()]
for free in (300_000, 0):
    fill(free)
    told.append(run())
    make_room()
told.append(run())
print("\\n" + json.dumps([[code, said, files == told[0][2], statuses] for code, said, files, statuses in told]))
"""


def test_a_full_disk_takes_nothing_that_is_good(tmp_path):
    Place(tmp_path)
    saves = START + "tables = Path(save_dir) / 'tables'\ntables.mkdir()\n"
    write_notebooks(
        tmp_path / "notebooks", {"saves": saves + "_ = (tables / 'saves_values.csv').write_text('x' * 10**6)"}
    )
    (tmp_path / "full.py").write_text(FULL)
    told = {"cwd": tmp_path, "capture_output": True, "text": True, "env": {**os.environ, "KPITOOLKIT_KERNELS": "cold"}}
    python = [sys.executable, "full.py"]
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode == 0:
        mounted = 'mount -t tmpfs -o size=8m none outputs && exec "$@"'
        ran = subprocess.run(["unshare", "-rm", "sh", "-c", mounted, "sh", *python, "tmpfs"], check=False, **told)
    else:
        ran = subprocess.run([*python, "limit"], check=False, **told)
    assert ran.returncode == 0, ran.stderr
    first, little, none, last = json.loads(ran.stdout.strip().splitlines()[-1])
    assert (first[0], last[0]) == (0, 0), (first, last)
    for code, said, same, _ in (little, none):
        assert code in (1, 2)
        assert "No space left on device" in said or "File too large" in said
        assert same
    assert last[3] == {"north/saves.en": "made"}


def test_what_is_compiled_at_first_use_may_be_kept_before_there_is_a_folder_for_it(tmp_path, monkeypatch):
    (tmp_path / "package" / "regression").mkdir(parents=True)
    (tmp_path / "package" / "regression" / "density.py").touch()
    monkeypatch.setattr(guards.record, "PACKAGE", tmp_path / "package")
    given = guards.writable([], [tmp_path / "outputs"])
    assert str(tmp_path / "package" / "regression" / "__pycache__") in given
    assert (tmp_path / "package" / "regression" / "__pycache__").is_dir()
