"""Kernels forked from a warm server: equal to cold ones to the byte, gone with whoever started them, never stale."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from jupyter_client.provisioning import LocalProvisioner

from kpitoolkit.batch import guards, kernels, plan, scratch, warm
from kpitoolkit.batch.execute import execute

ROOT = Path(__file__).parents[2]
CELLS = (
    "import numpy as np, pandas as pd\nimport matplotlib.pyplot as plt\nimport seaborn, statsmodels.api as sm",
    "{'a', 'b', 'cc', 'ddd'}, hash('kpi'), np.random.default_rng(7).normal(size=3)",
    "x = np.linspace(0, 1, 500)\nsm.OLS(x**2 + np.sin(x), sm.add_constant(x)).fit().params, sm.OLS(x**2, x).fit().bse",
    "pd.DataFrame({'x': x, 'y': x @ np.outer(x, x)}).describe()",
    "fig, ax = plt.subplots()\nseaborn.lineplot(x=x, y=x**3, ax=ax)\nplt.show()",
    "import os, sys\nsorted(k for k in os.environ if 'THREADS' in k), plt.get_backend(), sys.argv[0] != ''",
    "print('out')\nprint('err', file=sys.stderr)\n%matplotlib inline\n[place for place in sys.path if place]",
    "import kpitoolkit.regression, threading\nos.getcwd(), plt.rcParams['figure.dpi'], threading.current_thread().name",
    "1 / 0",
)


def notebook(folder: Path, cells=CELLS, name="asked.ipynb") -> Path:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, id=f"c{n}") for n, cell in enumerate(cells)])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, folder / name)
    return folder / name


def outputs(path: Path) -> list:
    return [cell["outputs"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if "outputs" in cell]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids, seconds=20.0) -> bool:
    """Wait until none of the processes runs."""
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def ask(code: str, start="warm") -> tuple[str, str]:
    """Run code in a kernel; return what it printed and how the kernel was started."""

    async def talk():
        manager = kernels.manager(start=start)()
        await manager.start_kernel()
        client, said = manager.client(), []
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=120)
            await client.execute_interactive(
                code, timeout=120, output_hook=lambda m: said.append(m["content"].get("text", ""))
            )
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)
        return "".join(said), type(manager).started

    return asyncio.run(talk())


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same notebook run by a warm kernel and by a cold one, each up to the cell that fails."""
    folder = tmp_path_factory.mktemp("both")
    asked = notebook(folder)
    for start in warm.STARTS:
        with pytest.raises(Exception, match="ZeroDivisionError"):
            execute(asked, folder / f"{start}.ipynb", {}, {}, start=start)
    return folder


def test_warm_and_cold_outputs_are_equal_to_the_byte(both):
    found, beside = outputs(both / "warm.ipynb"), outputs(both / "cold.ipynb")
    assert len(found) == len(CELLS)
    assert all(found[1:]), "a cell without any output compares nothing"
    assert json.dumps(found) == json.dumps(beside)


def test_the_server_holds_one_thread_and_no_socket_but_its_own():
    said, started = ask(
        "import os, psutil\nserver = psutil.Process(os.getppid())\n"
        "print(server.num_threads(), [c.type for c in server.net_connections() if c.family.name != 'AF_UNIX'])\n"
        "print([f.path for f in server.open_files()])"
    )
    assert started == "warm"
    assert said == "1 []\n[]\n"


def test_a_kernel_starts_with_random_numbers_of_its_own():
    code = "import random, numpy as np\nprint(random.random(), np.random.random())"
    assert ask(code)[0].split() != ask(code)[0].split()


def test_a_kernel_can_use_duckdb_and_start_processes():
    code = (
        "import duckdb, subprocess, sys\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "print(duckdb.sql('select sum(range) from range(1000000)').fetchall())\n"
        "print(subprocess.run([sys.executable, '-c', 'print(3)'], capture_output=True, text=True).stdout)\n"
        "print(sum(ThreadPoolExecutor(2).map(int, ['1', '2'])))"
    )
    assert ask(code)[0].split() == ["[(499999500000,)]", "3", "3"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "terminate"])
def test_no_kernel_and_no_server_outlives_whoever_started_them(tmp_path, end):
    """A kernel in the middle of work, its own child process included, and one that left its session."""
    asked = notebook(
        tmp_path,
        ["import os, subprocess, time, pathlib\nchild = subprocess.Popen(['sleep', '600'])\nread, write = os.pipe()\n"
         "if not os.fork():\n    os.setsid()\n    if os.fork():\n        os._exit(0)\n"
         "    os.write(write, str(os.getpid()).encode())\n    time.sleep(600)\n"
         "left = os.read(read, 20).decode()\n"
         f"pids = pathlib.Path({str(tmp_path / 'pids')!r})\n"
         "pids.write_text(f'{os.getpid()} {child.pid} {left} {os.getppid()} '\n"
         "    + os.environ['IPYTHONDIR'])\n"
         "while True:\n    pass"],
    )  # fmt: skip
    call = "import sys; from pathlib import Path; from kpitoolkit.batch.execute import execute; "
    call += f"execute(Path({str(asked)!r}), Path({str(tmp_path / 'ran.ipynb')!r}), {{}}, {{}})"
    caller = subprocess.Popen([sys.executable, "-c", call], start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        end_of_waiting = time.monotonic() + 120
        while not (tmp_path / "pids").exists() and time.monotonic() < end_of_waiting:
            time.sleep(0.1)
        time.sleep(0.2)
        *pids, left = (tmp_path / "pids").read_text().split()
        pids, left = [int(pid) for pid in pids], Path(left).parent
        assert all(alive(pid) for pid in pids)
        caller.send_signal(end)
        caller.wait(timeout=30)
        assert gone(pids), [pid for pid in pids if alive(pid)]
        assert left.is_dir()
        scratch.sweep.cache_clear()
        scratch.sweep()
        assert not left.exists()
    finally:
        caller.kill()


def test_a_kernel_whose_run_was_killed_while_it_started_ends_too(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    told = {**os.environ, "JPY_PARENT_PID": str(ended.pid)}
    kernel = subprocess.Popen(
        [sys.executable, *guards.LAUNCHER, "-f", str(tmp_path / "k.json")],
        env=told, start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert kernel.wait(30) == -signal.SIGKILL
    finally:
        kernel.kill()


def test_a_server_that_is_still_loading_ends_with_whoever_started_it():
    call = "from kpitoolkit.batch import warm; warm._server.ensure_running(); print(warm._server._forkserver_pid)"
    asked = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True)
    assert gone([int(asked.stdout)], 2.0)


def test_the_server_holds_what_the_notebooks_import_and_is_replaced_where_more_is_asked_for(monkeypatch):
    monkeypatch.setattr(warm, "_server", warm.Server())
    code = "import os, sys\nprint(os.getppid(), 'seaborn' in sys.modules, 'nutpie' in sys.modules)"
    warm.prepare(["pandas", "json"])
    first = ask(code)[0].split()
    warm.prepare(["pandas"])
    again = ask(code)[0].split()
    warm.prepare(["seaborn", "no.such.module"])
    more = ask(code)[0].split()
    assert first == again
    assert first[1:] == ["False", "False"]
    assert more[0] != first[0]
    assert more[1:] == ["True", "False"]
    assert gone([int(first[0])])


def test_a_kernel_of_ours_finds_all_that_its_notebook_imports_already_there(monkeypatch):
    monkeypatch.setattr(warm, "_server", warm.Server())
    asked = {
        name
        for one in plan.read_notebooks(ROOT / "notebooks").values()
        if one.scope != "interactive"
        for name in one.imports
    }
    warm.prepare(asked)
    code = f"from importlib.util import find_spec\nimport sys\nasked = {sorted(asked)}\n"
    code += "print([name for name in asked if name not in sys.modules and find_spec(name)])"
    assert ask(code)[0] == "[]\n"


def test_a_server_that_was_killed_is_started_again():
    first, started = ask("import os; print(os.getppid())")
    assert started == "warm"
    os.kill(int(first), signal.SIGKILL)
    again, started = ask("import os; print(os.getppid())")
    assert started == "warm"
    assert int(again) != int(first)


def test_code_that_was_changed_is_read_anew(monkeypatch):
    first, _ = ask("import os; print(os.getppid())")
    monkeypatch.setattr(warm, "_newest", lambda: 1)
    again, started = ask("import os; print(os.getppid())")
    assert started == "warm"
    assert first != again
    assert gone([int(first)]), "the server with the old code ends once its kernels have"


def test_what_cannot_be_forked_is_started_the_usual_way(monkeypatch):
    asked = [sys.executable, "-m", "ipykernel_launcher", "-f", "k.json"]
    same = dict(os.environ)
    assert warm.forkable(asked, same) == ["-f", "k.json"]
    assert warm.forkable([sys.executable, *guards.LAUNCHER, "-f", "k.json"], same) == ["-f", "k.json"]
    assert warm.forkable(["/usr/bin/env", *asked[1:]], same) is None
    assert warm.forkable([sys.executable, "-m", "xeus", "-f", "k.json"], same) is None
    assert warm.forkable(asked, same | {"PYTHONPATH": "/elsewhere"}) is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert warm.forkable(asked, same) is None
    monkeypatch.undo()
    monkeypatch.setenv(warm.SWITCH, "cold")
    assert ask("print(1)") == ("1\n", "cold")


def test_a_server_that_cannot_start_costs_a_warning_and_no_notebook(monkeypatch, caplog):
    monkeypatch.setattr(warm, "_server", warm.Server("no.such.module"))
    assert ask("print(1)") == ("1\n", "cold")
    assert "started the usual way" in caplog.text


@pytest.mark.parametrize("start", warm.STARTS)
def test_no_file_of_the_working_folder_stands_in_for_a_library(tmp_path, start):
    (tmp_path / "calendar.py").write_text("raise RuntimeError('of the working folder')")
    (tmp_path / "own.py").write_text("said = 'own'")
    asked = notebook(tmp_path, ["import calendar, own\nprint(calendar.__file__ == '', own.said)"])
    call = "import sys; sys.path.remove(''); from pathlib import Path; from kpitoolkit.batch.execute import execute; "
    call += f"execute(Path({str(asked)!r}), Path('ran.ipynb'), {{}}, {{}}, start={start!r})"
    done = subprocess.run([sys.executable, "-c", call], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "".join(outputs(tmp_path / "ran.ipynb")[0][0]["text"]).split() == ["False", "own"]


def test_a_library_that_cannot_be_loaded_is_left_to_the_kernel_that_needs_it(tmp_path, monkeypatch):
    (tmp_path / "seaborn.py").write_text("raise ImportError('wants another numpy')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(warm, "_server", warm.Server())
    warm.prepare(["seaborn"])
    code = "try:\n    import seaborn\nexcept ImportError as error:\n    print(error)"
    assert ask(code) == ("wants another numpy\n", "warm")


def test_more_names_than_a_command_holds_cost_no_warm_kernel(monkeypatch):
    monkeypatch.setattr(warm, "_server", warm.Server())
    warm.prepare([f"a_module_of_some_length_{number}" for number in range(9000)])
    assert ask("print(1)") == ("1\n", "warm")


@pytest.mark.parametrize("start", warm.STARTS)
def test_a_notebook_that_ends_well_leaves_nothing_running(tmp_path, start):
    """Not even what has left the kernel's session and knows nothing of its environment."""
    cell = "import subprocess\nprint(subprocess.Popen(['env', '-i', 'sleep', '600'], start_new_session=True).pid)"
    execute(notebook(tmp_path, [cell]), tmp_path / "ran.ipynb", {}, {}, start=start)
    assert gone([int("".join(outputs(tmp_path / "ran.ipynb")[0][0]["text"]))], 5.0)


@pytest.mark.parametrize("start", warm.STARTS)
def test_what_a_notebook_puts_off_until_its_end_is_done(tmp_path, start):
    cell = f"import atexit, pathlib\n_ = atexit.register(pathlib.Path({str(tmp_path / 'ended')!r}).touch)"
    execute(notebook(tmp_path, [cell]), tmp_path / "ran.ipynb", {}, {}, start=start)
    assert (tmp_path / "ended").is_file()


def test_a_forked_kernel_ends_by_itself(tmp_path, monkeypatch):
    """ipykernel's threads may wait for one another at its end, in one kernel of ten: jupyter_client would end those."""
    ended = []

    async def send_signal(self, number):
        ended.extend([number] * (number == signal.SIGTERM))  # each is interrupted first
        await LocalProvisioner.send_signal(self, number)

    monkeypatch.setattr(warm.WarmProvisioner, "send_signal", send_signal, raising=False)
    asked = notebook(tmp_path, ["1"])
    started = {execute(asked, tmp_path / "ran.ipynb", {}, {}) for _ in range(16)}
    assert started == {"warm"}
    assert ended == []


def test_a_kernel_ends_even_where_what_it_has_started_cannot_be_told(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "killpg", lambda *group: ended.append(group))
    monkeypatch.setattr(psutil.Process, "children", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        guards.end_all()
    assert ended == [(0, signal.SIGKILL)]


def test_nbval_and_plain_papermill_take_warm_kernels_by_the_environment(tmp_path):
    cells = ["import os\nprint(open(f'/proc/{os.getppid()}/cmdline').read().count('forkserver'))", "import pandas"]
    asked = notebook(tmp_path, cells)
    told = {**os.environ, "JUPYTER_DEFAULT_PROVISIONER_NAME": warm.NAME}
    ran = tmp_path / "ran.ipynb"
    papermill = [sys.executable, "-m", "papermill", str(asked), str(ran), "--no-progress-bar", "-k", "python3"]
    subprocess.run(papermill, check=True, env=told, capture_output=True)
    assert outputs(ran)[0][0]["text"] in ("2\n", ["2\n"], "1\n", ["1\n"])
    checked = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "-p", "no:cacheprovider", str(ran)]
    done = subprocess.run(checked, env=told, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
