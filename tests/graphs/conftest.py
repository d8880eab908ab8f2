"""A small HTTP server on 127.0.0.1 with Range support, and with the faults that real servers have."""

import gzip
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

LINKS = gzip.compress(np.random.default_rng(0).bytes(400_000), mtime=0)
OBO = b"format-version: 1.2\n\n[Term]\nid: GO:0008150\nname: biological_process\n"


@dataclass
class FileServer:
    """``files`` maps paths to content; the other fields are faults, by path."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, list[int]] = field(default_factory=dict)  # bytes of the body sent before the line drops
    status: dict[str, list[int]] = field(default_factory=dict)  # answers given before the file is
    no_validators: bool = False
    ignores_range: bool = False
    requests: list[tuple[str, str]] = field(default_factory=list)  # (path, Range header or "")
    bytes_sent: int = 0
    url: str = ""

    def tag(self, path: str) -> str:
        return '"' + hashlib.sha256(self.files[path]).hexdigest()[:16] + '"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    state: FileServer

    def do_GET(self) -> None:
        state = self.state
        state.requests.append((self.path, self.headers.get("Range", "")))
        if state.status.get(self.path):
            self.send_error(state.status[self.path].pop(0))
            return
        if self.path not in state.files:
            self.send_error(404)
            return
        content, tag = state.files[self.path], state.tag(self.path)
        start = self._start(content, tag)
        if start is None:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if not state.no_validators:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._send(content[start:])

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path in self.state.files else 404)
        self.end_headers()

    def _start(self, content: bytes, tag: str) -> int | None:
        """First byte asked for; 0 where the whole file is sent; None where the range is outside."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or self.state.ignores_range or self.headers.get("If-Range", tag) != tag:
            return 0
        start = int(asked[1])
        return start if start < len(content) else None

    def _send(self, body: bytes) -> None:
        cuts = self.state.cut_after.get(self.path)
        body = body[: cuts.pop(0)] if cuts else body
        self.wfile.write(body)
        self.state.bytes_sent += len(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read ``requests`` instead."""


@pytest.fixture
def server() -> Iterator[FileServer]:
    """Serves ``/v12/links.txt.gz`` (random bytes, gzipped) and ``/go/go-basic.obo``."""
    state = FileServer({"/v12/links.txt.gz": LINKS, "/go/go-basic.obo": OBO})
    handler = type("Handler", (_Handler,), {"state": state})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    running.shutdown()
    running.server_close()
    thread.join()
