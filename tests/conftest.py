"""What all tests share: servers to test against; under CI a skipped test is a failure; a missing browser, PostgreSQL or
Java is said with its remedy."""

import contextlib
import gc
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests import servers

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background: what tests start would ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)

CHROMIUM = "/usr/bin/chromium"

# pages are checked once the example cases have run (tests/notebooks_check.py); benchmarks measure and are no tests
collect_ignore = ["benchmarks", *([] if "KPITOOLKIT_OUTPUTS" in os.environ else ["cases/check_pages.py"])]

SERVED = ("attribution/test_engines.py", "attribution/test_maturity_portable.py", "test_connections.py")
"""Modules that take Spark: one process of tests runs them all, so that Spark starts and warms up once."""
LONG = (
    *("test_explore.py", *SERVED, "batch/test_cluster.py", "batch/test_faults.py", "batch/test_runner.py"),
    *("batch/test_remote.py", "batch/test_warm.py", "test_sample.py", "regression/test_model.py"),
    *("regression/test_estimate.py", "batch/test_signoff.py", "batch/test_verify.py", "test_sample_company.py"),
)
"""What takes longest begins first: a module runs in one process, and one that began last would be waited for."""


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONG)}
    # the modules' own examples, many and short, fill the gaps at the end
    items.sort(key=lambda item: places.get(item.path, len(places) + (not item.path.is_relative_to(here))))
    if shutil.which(CHROMIUM):
        return
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no Chromium: apt-get install chromium"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Distribute whole modules, in the order of collection; those that share a server as if they were one."""
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Modules(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            scope = super()._split_scope(nodeid)
            return "served" if scope.removeprefix("tests/") in SERVED else scope

    config.option.loadscopereorder = False
    return Modules(config, log)


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
