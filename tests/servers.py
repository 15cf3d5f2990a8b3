"""Real servers for tests: a PostgreSQL and a Spark of one's own, in a temporary folder, on this machine's loopback.

Each is a context manager that starts it and removes all of it; where the machine lacks the program, ``Missing`` says
what to install. A password is drawn anew each time and stands in no file once the server runs.
"""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

JAVA = 17


class Missing(Exception):
    """A program that a server needs is not on this machine; the message says how to install it."""


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL and yield its URL, ``postgres://tester:<password>@127.0.0.1:<port>/postgres``.

    The server's own time zone is New York's, so that a session which does not ask for UTC is noticed.

    Raises
    ------
    Missing
        Where PostgreSQL is not installed.
    """
    programs = _postgres_programs()
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="kpi-pg-"))
    password = secrets.token_urlsafe(24)

    def call(program: str, *words: str) -> subprocess.CompletedProcess:
        as_whom = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(home)}
        command = [str(programs / program), "-D", str(home / "data"), *words]
        with open(home / "said", "ab") as said:
            return subprocess.run(
                command, cwd=home, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, **as_whom
            )

    def require(done: subprocess.CompletedProcess, what: str) -> None:
        if done.returncode:
            log = home / "log"
            told = (home / "said").read_text() + (log.read_text() if log.exists() else "")
            raise RuntimeError(f"PostgreSQL: {what} failed:\n{told[-2000:]}")

    try:
        secret = home / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        if account:
            for path in (home, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
        words = ("--username=tester", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale")
        require(call("initdb", *words, "--no-sync"), "initdb")
        secret.unlink()
        for attempt in range(3):  # a port that was free may be taken before the server has it
            port = free_port()
            settings = {
                "port": port,
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "''",
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "shared_buffers": "64MB",
                "timezone": "America/New_York",
            }
            options = " ".join(f"-c {name}={value}" for name, value in settings.items())
            started = call("pg_ctl", "start", "-w", "-t", "60", "-l", str(home / "log"), "-o", options)
            if not started.returncode or attempt == 2:
                break
        require(started, "start")
        try:
            yield f"postgres://tester:{password}@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs; Debian keeps them off the path, one folder a version."""
    on_path = shutil.which("pg_ctl")
    if on_path and (Path(on_path).resolve().parent / "initdb").exists():
        return Path(on_path).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not versions:
        raise Missing("no PostgreSQL: apt-get install postgresql")
    return max(versions, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))


def free_port() -> int:
    """Return a port of this machine's loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def spark() -> Iterator[object]:
    """Start Spark in this process (``local[2]``, UTC, 8 partitions a shuffle, no web pages) and yield its session.

    Raises
    ------
    Missing
        Where pyspark or its Java is not installed.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise Missing("no pyspark: pip install 'kpitoolkit[spark]'") from error
    _require_java()
    home = Path(tempfile.mkdtemp(prefix="kpi-spark-"))
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.local.dir": str(home / "local"),
        "spark.pyspark.python": sys.executable,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master("local[2]").appName("kpitoolkit tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = None
    try:
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        yield session
    finally:
        if session is not None:
            session.stop()
        shutil.rmtree(home, ignore_errors=True)


def _require_java() -> None:
    """Raise Missing where there is no Java, or one too old for Spark 4."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    remedy = f"apt-get install openjdk-{JAVA}-jre-headless"
    if not java or not Path(java).exists():
        raise Missing(f"no Java for Spark: {remedy}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', said.stderr + said.stdout)
    if not version or int(version[1]) < JAVA:
        raise Missing(f"Spark 4 needs Java {JAVA}, found {version[1] if version else 'none'}: {remedy}")
