"""What all tests share: under CI a skipped test is a failure, and a missing browser is said once, with its remedy."""

import os
import shutil

import pytest

CHROMIUM = "/usr/bin/chromium"

# pages are checked once the example cases have run (tests/notebooks_check.py); benchmarks measure and are no tests
collect_ignore = ["benchmarks", *([] if "KPITOOLKIT_OUTPUTS" in os.environ else ["cases/check_pages.py"])]


def pytest_collection_modifyitems(items):
    if shutil.which(CHROMIUM):
        return
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no Chromium: apt-get install chromium"))


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter and os.environ.get("CI") == "true" and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("under CI=true a skipped test is a failure", red=True)
        session.exitstatus = 1
