"""What all tests share: servers to test against; under CI a skipped test is a failure; a missing browser, PostgreSQL or
Java is said with its remedy."""

import contextlib
import gc
import os
import shutil

import pytest

from tests import servers

CHROMIUM = "/usr/bin/chromium"

# pages are checked once the example cases have run (tests/notebooks_check.py); benchmarks measure and are no tests
collect_ignore = ["benchmarks", *([] if "KPITOOLKIT_OUTPUTS" in os.environ else ["cases/check_pages.py"])]


def pytest_collection_modifyitems(items):
    if shutil.which(CHROMIUM):
        return
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no Chromium: apt-get install chromium"))


def pytest_collection_finish():
    """What was imported and collected stays to the end: keep it out of the way of every later collection of garbage.

    statsmodels' ``multipletests`` collects each time it is called: 0.2 to 0.4 s with the libraries of all the tests.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter and os.environ.get("CI") == "true" and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("under CI=true a skipped test is a failure", red=True)
        session.exitstatus = 1


def _running(server):
    """Yield what a server yields; skip, with the remedy, where the machine lacks its program."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(server())
        except servers.Missing as error:
            pytest.skip(str(error))
        yield running


@pytest.fixture(scope="session")
def postgres_url():
    """The URL of a PostgreSQL that lives as long as this process of tests; make a schema of your own in it."""
    yield from _running(servers.postgres)


@pytest.fixture(scope="session")
def spark_session():
    """A session of Spark, ``local[2]``, that lives as long as this process of tests."""
    yield from _running(servers.spark)
