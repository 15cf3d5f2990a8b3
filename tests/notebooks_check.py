"""Run the example cases as a user would, into a temporary folder; check their pages; then run every notebook by hand.

Called by ``make notebooks``. The notebooks read the results of that run through ``KPITOOLKIT_OUTPUTS``; nbval compares
the output of the cells tagged ``nbval-check-output`` and runs all the others.

The cases take warm kernels, as a user's do. nbval's are started anew, each with its imports, and are to stay so:
nothing else runs every notebook as JupyterLab would.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMALL = (("netflix-2017Q3", "en"), ("netflix-2019Q3", "en"))
LARGE = (("sample-2026Q3", "it"),)


def call(*words: str, env: dict[str, str]) -> None:
    print("$", " ".join(words), flush=True)
    done = subprocess.run(words, env=env, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def run(cases: Iterable[tuple[str, str]], jobs: str, folder: str, env: dict[str, str]) -> int:
    """Run cases one after another, print what each said when it is done, and return the first exit status not zero."""
    for case, language in cases:
        words = [str(Path(sys.executable).parent / "kpitoolkit"), "run", f"parameters/{case}"]
        words += ["--language", language, "--jobs", jobs, "--output", folder]
        done = subprocess.run(
            words, env=env, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        print(f"$ {' '.join(words)}\n{done.stdout}", flush=True)
        if done.returncode:
            return done.returncode
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="2")
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="kpitoolkit-") as folder:
        env = {**os.environ, "KPITOOLKIT_OUTPUTS": folder}
        with ThreadPoolExecutor() as pool:  # the small ones run where the large one leaves a core idle
            begun = [pool.submit(run, SMALL, "1", folder, env), pool.submit(run, LARGE, jobs, folder, env)]
        failed = [done.result() for done in begun if done.result()]
        if failed:
            sys.exit(failed[0])
        call(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cases/check_pages.py", env=env)
        call(
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"),
            *("-n", jobs, "--dist", "loadscope", "notebooks"),
            env=env,
        )


if __name__ == "__main__":
    main()
