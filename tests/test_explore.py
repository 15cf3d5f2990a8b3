"""The workbench in a real browser: JupyterLab in headless Chromium, run all cells, move a slider, the plot changes."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

CHROMIUM = "/usr/bin/chromium"
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "explore.ipynb"
PANELS = 3

READY = """() => {
    const widget = window.jupyterapp?.shell.currentWidget;
    if (!widget?.context?.isReady) return false;
    const kernel = widget.context.sessionContext?.session?.kernel;
    return kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
RUN_ALL = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
ERRORS = """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells.flatMap(
    cell => (cell.outputs ?? []).filter(output => output.output_type === 'error').map(output => output.evalue))"""
COUNTS = """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells
    .filter(cell => cell.cell_type === 'code').map(cell => cell.execution_count)"""

pytestmark = pytest.mark.browser


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab of its own: own folders, own process group, ended with all its kernels."""
    root = tmp_path / "work"
    root.mkdir()
    shutil.copy(NOTEBOOK, root)
    own = {
        name: str(tmp_path / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    own |= {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"), "JUPYTER_PREFER_ENV_PATH": "1"}
    port, token = free_port(), secrets.token_hex(16)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "IdentityProvider.token": token,
        "ServerApp.root_dir": root,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": "None",
        "LabApp.extension_manager": "readonly",
        "LabApp.expose_app_in_browser": "True",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", *(f"--{k}={v}" for k, v in options.items())]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    log = (tmp_path / "lab.log").open("w")
    server = subprocess.Popen(
        command, cwd=root, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api?token={token}", server, tmp_path / "lab.log")
        yield f"{address}/lab/tree/{NOTEBOOK.name}?token={token}&reset"
    finally:
        stop(server)
        log.close()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        assert server.poll() is None, log.read_text()
        time.sleep(0.25)
    raise AssertionError("JupyterLab did not answer in two minutes:\n" + log.read_text())


def stop(server: subprocess.Popen) -> None:
    """End the server's process group; asked to end, it shuts its kernels down, which have groups of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=20)
            return


@pytest.fixture
def page():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    arguments = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    arguments += " --disable-component-update --disable-sync"
    with playwright.sync_playwright() as drive:
        browser = drive.chromium.launch(executable_path=CHROMIUM, args=arguments.split())
        opened = browser.new_page(viewport={"width": 1280, "height": 1600})
        opened.set_default_timeout(120_000)
        yield opened
        browser.close()


def unchanged(sentences: str) -> bool:
    """Whether the first sentence, on modelled revenue, states a change of nothing."""
    return "(€0)" in sentences.splitlines()[0]


def test_a_slider_moves_and_sentences_and_plot_follow(lab, page, tmp_path):
    page.goto(lab)
    page.wait_for_function(READY)
    page.evaluate(RUN_ALL)
    page.wait_for_function(READY)
    assert page.evaluate(ERRORS) == []
    assert all(page.evaluate(COUNTS))

    charts = page.locator("img.kt-chart")
    page.wait_for_function(f"() => document.querySelectorAll('img.kt-chart').length === {PANELS}")
    panel = (
        page.locator(".widget-vbox").filter(has=page.locator(".noUi-handle")).filter(has_text="Modelled revenue a week")
    )
    chart, handle = panel.locator("img.kt-chart").last, panel.locator(".widget-hslider .noUi-handle").first
    assert charts.count() == PANELS
    sentences = panel.locator(".kt-findings").last
    before = sentences.inner_text(), chart.get_attribute("src")
    assert unchanged(before[0])
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("ArrowRight")
    deadline = time.monotonic() + 60
    while (now := (sentences.inner_text(), chart.get_attribute("src")))[0] == before[0] or now[1] == before[1]:
        assert time.monotonic() < deadline, "the slider moved and nothing followed"
        page.wait_for_timeout(100)
    assert not unchanged(now[0])
    assert chart.evaluate("image => image.complete && image.naturalWidth > 0")
    assert page.evaluate(ERRORS) == []
    chart.scroll_into_view_if_needed()
    page.screenshot(path=os.environ.get("KPITOOLKIT_SCREENSHOT") or tmp_path / "explore.png")
