"""Run the example cases as a user would, into a temporary folder; check their pages; then run every notebook by hand.

Called by ``make notebooks``. The notebooks read the results of that run through ``KPITOOLKIT_OUTPUTS``; nbval compares
the output of the cells tagged ``nbval-check-output`` and runs all the others.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CASES = (("netflix-2017Q3", "en"), ("netflix-2019Q3", "en"), ("sample-2026Q3", "it"))


def call(*words: str, env: dict[str, str]) -> None:
    print("$", " ".join(words), flush=True)
    done = subprocess.run(words, env=env, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="2")
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="kpitoolkit-") as folder:
        env = {**os.environ, "KPITOOLKIT_OUTPUTS": folder}
        program = str(Path(sys.executable).parent / "kpitoolkit")
        for case, language in CASES:
            call(
                program,
                "run",
                f"parameters/{case}",
                "--language",
                language,
                "--jobs",
                jobs,
                "--output",
                folder,
                env=env,
            )
        call(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cases/check_pages.py", env=env)
        call(
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"),
            *("-n", jobs, "--dist", "loadscope", "notebooks"),
            env=env,
        )


if __name__ == "__main__":
    main()
