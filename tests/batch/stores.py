"""A real S3 server on this machine's loopback, which can lose its network, or hang."""

import contextlib
import hashlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from kpitoolkit.batch import record

BUCKET = "reports"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "anna", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Server:
    """What was written since; how many writes get through until the network is lost; at which write all hangs."""

    url: str = ""
    written: list[str] = field(default_factory=list)
    left: int | None = None
    hangs_at: str = ""
    hangs: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stuck(self, environ: dict) -> bool:
        """Tell whether nothing is answered any more."""
        here = environ["REQUEST_METHOD"] == "PUT" and bool(self.hangs_at) and self.hangs_at in environ["PATH_INFO"]
        self.hangs = self.hangs or here
        return self.hangs

    def lost(self, environ: dict) -> bool:
        """Note a write; tell whether it finds no network."""
        with self.lock:
            if environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
                if self.left is not None:
                    self.left -= 1
                    if self.left < 0:
                        return True
                self.written.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'].split('/', 2)[-1]}")
            return self.left is not None and self.left < 0


class _Quiet(WSGIRequestHandler):
    def log(self, *words):
        pass


@contextlib.contextmanager
def store() -> Iterator[Server]:
    """Start the server on a free port."""
    here, backend = Server(), DomainDispatcherApplication(create_backend_app)

    def answer(environ, start):
        while here.stuck(environ):
            time.sleep(0.05)
        if here.lost(environ):
            with contextlib.suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        return backend(environ, start)

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=_Quiet)
    here.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()


def stands(client, prefix: str) -> dict[str, bytes]:
    """What is in the bucket below a prefix."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix + "/")
    keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
    return {k.removeprefix(prefix + "/"): client.get_object(Bucket=BUCKET, Key=k)["Body"].read() for k in keys}


def described(found: dict[str, bytes]) -> dict[str, str]:
    run = json.loads(found["run.json"])
    return {name: sha for entry in run["notebooks"].values() for name, sha in entry["outputs"].items()}


def wrong(found: dict[str, bytes]) -> list[str]:
    """Names that a bucket's run.json describes otherwise than they stand there; a page's sign-off does not count."""
    own = {name: b"".join(record.parted(content)[::2]) for name, content in found.items()}
    return [n for n, sha in described(found).items() if hashlib.sha256(own.get(n, b"")).hexdigest() != sha]
