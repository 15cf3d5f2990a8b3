"""A bucket: papermill's own S3 session and handlers, what goes wrong said in a sentence, and a lock for one run.

Credentials come from the environment alone, and no message shows them.
"""

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from kpitoolkit.errors import ToolkitError

LOCK = ".running.json"
STALE_SECONDS = 900
"""Age after which a lock that was not renewed is taken over; the store's own clock counts."""
_RENEW_SECONDS = 60
_GIVING_UP_SECONDS = 10
_LIMITS = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3, "mode": "standard"}}
_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv; charset=utf-8",
}
_TO_DO = {
    "NoSuchBucket": "there is no such bucket. Create it, or correct the name",
    "AccessDenied": "access is denied. The credentials need to list, get, put and delete below the prefix",
    "403": "access is denied. The credentials need to list, get, put and delete below the prefix",
    "InvalidAccessKeyId": "the access key in the environment is unknown there. Correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret in the environment does not fit its key. Correct AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the token in the environment has expired. Log in again",
    "NotImplemented": "the store does not know conditional writes, which the lock needs. Use another store",
}


class Store:
    """What is below a prefix of a bucket."""

    def __init__(self, name: str, prefix: str):
        self.name, self.prefix = name, prefix
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        self.client = _client()

    def url(self, name: str) -> str:
        """Return the URL of a name below the prefix."""
        return f"s3://{self.name}/{self.key(name)}"

    def key(self, name: str) -> str:
        """Return the key of a name below the prefix."""
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise ToolkitError(f"{name!r} would lead out of s3://{self.name}/{self.prefix}: nothing was written there")
        return f"{self.prefix}/{name}" if self.prefix else name

    def tags(self, folder: str) -> dict[str, str]:
        """Return the entity tag of each object below a folder, by its name there."""
        start = self.key(folder) + "/"
        with _said(self.url(folder)):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=start)
            return {one["Key"].removeprefix(start): one["ETag"] for page in pages for one in page.get("Contents", ())}

    def fetch(self, name: str, place: Path) -> None:
        """Copy an object to its place, in one step."""
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        with _said(self.url(name)), open(beside, "wb") as file:
            answer = self.client.get_object(Bucket=self.name, Key=self.key(name))
            for part in answer["Body"].iter_chunks(1 << 20):
                file.write(part)
        os.replace(beside, place)

    def put(self, name: str, path: Path) -> None:
        """Copy a file to its object: a notebook by papermill's handler, as papermill itself would write it there."""
        with _said(self.url(name)):
            if path.suffix == ".ipynb":
                from papermill.iorw import papermill_io

                papermill_io.write(path.read_text(encoding="utf-8"), self.url(name))
                return
            with open(path, "rb") as file:
                kind = _KINDS.get(path.suffix, "application/octet-stream")
                self.client.put_object(Bucket=self.name, Key=self.key(name), Body=file, ContentType=kind)

    def put_bytes(self, name: str, content: bytes, **condition: str) -> str:
        """Write an object, under a condition where one is stated; return its entity tag."""
        with _said(self.url(name)):
            kind = _KINDS[".json"]
            said = {"Bucket": self.name, "Key": self.key(name), "Body": content, "ContentType": kind}
            return self.client.put_object(**said, **condition)["ETag"]

    def read(self, name: str) -> tuple[bytes, str, float]:
        """Return an object's content, its entity tag, and its age in seconds by the store's own clock."""
        with _said(self.url(name)):
            answer = self.client.get_object(Bucket=self.name, Key=self.key(name))
            now = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
            now = parsedate_to_datetime(now) if now else datetime.now(UTC)
            return answer["Body"].read(), answer["ETag"], (now - answer["LastModified"]).total_seconds()

    def remove(self, name: str) -> None:
        """Remove an object."""
        with _said(self.url(name)):
            self.client.delete_object(Bucket=self.name, Key=self.key(name))


class _Refused(ToolkitError):
    """A condition of a write was not met."""


@contextmanager
def locked(
    store: Store, name: str, where: str, stop: Callable[[float | None], bool] = lambda seconds: True
) -> Iterator[Callable[[], None]]:
    """Hold a case in a bucket for one run: an object that only one can create, renewed every minute.

    A lock that was not renewed for a quarter of an hour is taken over: its holder has ended, or lost the network. So
    one that cannot be taken away in ten seconds is left there, and so is that of a run which is broken off while it
    uploads: it keeps others away from what is still going up. What broke the run off then has a note that says so.

    Parameters
    ----------
    store : Store
    name : str
        Of the lock's object.
    where : str
        The case's URL, for messages.
    stop : callable
        Ends what this run is uploading, within the seconds it is given (None: however long it takes), and tells
        whether that has ended.

    Yields
    ------
    callable
        Raises where the lock is not this run's any more.

    Raises
    ------
    ToolkitError
        Where another run holds it: who, and since when.
    """
    who = {
        "user": _user(),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": _now(),
        "run": uuid.uuid4().hex,
    }
    content = json.dumps(who).encode("utf-8")
    tag, ended, gone = _taken(store, name, content, where), threading.Event(), threading.Event()
    held, alone = {"tag": tag, "renewed": time.monotonic(), "lost": False}, threading.Lock()

    def renew() -> None:
        with alone:
            if ended.is_set():
                return
            try:
                held["tag"] = store.put_bytes(name, content, IfMatch=held["tag"])
                held["renewed"] = time.monotonic()
            except _Refused:
                held["lost"] = True

    def keep() -> None:
        while not ended.wait(_RENEW_SECONDS) and not held["lost"]:
            with suppress(Exception):  # said by who asks for the lock, where it lasts
                renew()

    def require() -> None:
        renew()
        if ended.is_set():
            raise ToolkitError(f"{where}: this run was broken off. Nothing more was uploaded: run the case again")
        if held["lost"] or time.monotonic() - held["renewed"] > STALE_SECONDS:
            said = f"{where}: another run has taken this case over, as this one was out of reach for "
            raise ToolkitError(f"{said}{STALE_SECONDS // 60} minutes. Nothing more was uploaded: run the case again")

    def remove() -> None:
        with alone, suppress(Exception):
            with suppress(_Refused):  # it is not there any more
                if store.read(name)[1] == held["tag"]:
                    store.remove(name)
            gone.set()

    def let_go(seconds: float | None) -> bool:
        stopped = stop(seconds)
        ended.set()
        if stopped:
            removing = threading.Thread(target=remove, daemon=True)
            removing.start()
            removing.join(_GIVING_UP_SECONDS)
        return gone.is_set()

    threading.Thread(target=keep, daemon=True).start()
    try:
        yield require
    except BaseException as error:
        if not let_go(_GIVING_UP_SECONDS):
            minutes = STALE_SECONDS // 60
            error.add_note(f"The lock on {where} could not be taken away: the next run can begin in {minutes} minutes")
        raise
    let_go(None)


def _taken(store: Store, name: str, content: bytes, where: str) -> str:
    """Create the lock, or take one over that is stale; return its entity tag."""
    with suppress(_Refused):
        return store.put_bytes(name, content, IfNoneMatch="*")
    said, tag, age = store.read(name)
    if age > STALE_SECONDS:
        with suppress(_Refused):
            return store.put_bytes(name, content, IfMatch=tag)
    try:
        other = json.loads(said)
        told = f"by {other['user']} on {other['host']}, since {other['since']}"
    except (ValueError, KeyError, TypeError):
        told = "by an unknown hand"
    raise ToolkitError(
        f"{where}: another run of this case is under way, {told}. Wait until it has ended; if it was broken off, its "
        f"lock is taken over {STALE_SECONDS // 60} minutes after its last sign of life, or remove {store.url(name)}"
    )


def _client():
    """Make papermill's S3 session anew from today's environment, with limits of time, and return its client."""
    if not any(os.environ.get(name) for name in _SOURCES):
        said = "s3://: there are no credentials in the environment. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise ToolkitError(f"{said}, or AWS_PROFILE")
    if "@" in os.environ.get("AWS_ENDPOINT_URL", "") + os.environ.get("AWS_ENDPOINT_URL_S3", ""):
        raise ToolkitError("AWS_ENDPOINT_URL: a URL with credentials is refused. Set AWS_ACCESS_KEY_ID and its secret")
    try:
        from boto3.session import Session
        from botocore.config import Config
        from papermill.s3 import S3
    except ImportError as error:
        said = "s3:// needs boto3, which is not installed. Install it: pip install 'kpitoolkit[s3]'"
        raise ToolkitError(f"{said} (in a checkout: pip install -e '.[s3]')") from error
    with _said("s3://"):
        session = Session()
        client = session.client("s3", config=Config(**_LIMITS))
        S3.s3_session = (session, client, session.resource("s3", config=Config(**_LIMITS)))
    return client


@contextmanager
def _said(where: str) -> Iterator[None]:
    """Say what a store refuses in a sentence of our own: its own may hold keys."""
    from botocore.exceptions import BotoCoreError, ClientError

    where = where.removesuffix(f"/{LOCK}")  # what concerns the lock concerns the case, and readers know no lock
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409"):
            raise _Refused(f"{where}: another has written or removed it meanwhile") from None
        raise ToolkitError(f"{where}: {_TO_DO.get(code, f'the store answers {code}')}") from None
    except BotoCoreError as error:
        kind = type(error).__name__
        if "Credential" in kind or kind == "ProfileNotFound":
            said = f"the credentials in the environment are incomplete ({kind}). Set AWS_ACCESS_KEY_ID and its secret"
            raise ToolkitError(f"{where}: {said}") from None
        said = f"the store cannot be reached ({kind}). Check the network and AWS_ENDPOINT_URL"
        raise ToolkitError(f"{where}: {said}") from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
