"""Virtual environments of peers under `.benchmarks/`, made where they are not there; interpreters to make them with."""

import datetime
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CACHE = ROOT / ".benchmarks"


def environment(name: str, pins: list[str], python: str | Path = sys.executable) -> Path:
    """Return the interpreter of an environment with exactly these requirements; make it if it is not there."""
    mark = "" if str(python) == sys.executable else version_of(python)
    folder = CACHE / f"{name}-{hashlib.sha256(' '.join([*pins, mark]).strip().encode()).hexdigest()[:8]}"
    if not (folder / ".ready").exists():
        said(f"installing {', '.join(pins)}")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        install = [folder / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*install, *pins], check=True)
        (folder / ".ready").touch()
    return folder / "bin" / "python"


def interpreter(wanted: str) -> str:
    """Return a Python of that version ("3.12") where one is at hand, else the one that runs this."""
    candidates = [shutil.which(f"python{wanted}"), *sorted(Path.home().glob(f".pyenv/versions/{wanted}.*/bin/python"))]
    for candidate in filter(None, candidates):
        if version_of(candidate).startswith(f"{wanted}."):
            return str(candidate)
    return sys.executable


def version_of(python: str | Path) -> str:
    """Return an interpreter's version, empty where it does not run."""
    show = "import platform; print(platform.python_version())"
    asked = subprocess.run([python, "-c", show], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def said(what: str) -> None:
    """Tell on standard error what is being done, with the time."""
    print(f"[{datetime.datetime.now():%H:%M:%S}] {what}", file=sys.stderr, flush=True)
