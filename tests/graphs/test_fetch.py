import builtins
import errno
import gzip
import hashlib
import io
import json
import re
import shutil
import socket
import threading
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnnvcell.errors import ConfigError, DownloadError, FileFormatError
from gnnvcell.graphs import download as download_module
from gnnvcell.graphs.fetch import RECORD, fetch, read_record

LINKS = gzip.compress(np.random.default_rng(0).bytes(400_000), mtime=0)
OBO = b"format-version: 1.2\n\n[Term]\nid: GO:0008150\nname: biological_process\n"
FAST: dict[str, Any] = {"progress": False, "wait": 0.001, "timeout": 5.0}


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


@contextmanager
def serving(state: FileServer) -> Iterator[FileServer]:
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer({"/v12/links.txt.gz": LINKS, "/go/go-basic.obo": OBO})) as state:
        yield state


def recipe(server: FileServer, **links: Any) -> dict[str, Any]:
    return {
        "sources": {
            "string_db": {
                "type": "string",
                "release": "12.0",
                "licence": "CC BY 4.0",
                "urls": [
                    {"url": f"{server.url}/v12/links.txt.gz", **links} if links else f"{server.url}/v12/links.txt.gz"
                ],
            },
            "go": {"type": "go", "release": "2026-10", "urls": [f"{server.url}/go/go-basic.obo"]},
            "own_edges": {"type": "table"},
        }
    }


def test_files_come_whole_and_are_recorded(server: FileServer, tmp_path: Path) -> None:
    report = fetch(recipe(server), tmp_path, **FAST)
    assert (tmp_path / "links.txt.gz").read_bytes() == LINKS
    assert (tmp_path / "go-basic.obo").read_bytes() == OBO
    assert [f.status for f in report.files] == ["downloaded", "downloaded"]
    assert report.without_urls == ("own_edges",)
    assert "own_edges" in str(report)
    record = json.loads((tmp_path / RECORD).read_text())["links.txt.gz"]
    assert record["sha256"] == sha(LINKS)
    assert record["bytes"] == len(LINKS)
    assert (record["release"], record["licence"]) == ("12.0", "CC BY 4.0")
    assert record["url"] == f"{server.url}/v12/links.txt.gz"
    assert record["etag"] == server.tag("/v12/links.txt.gz")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([RECORD, "links.txt.gz", "go-basic.obo"])


def test_second_time_downloads_nothing(server: FileServer, tmp_path: Path) -> None:
    fetch(recipe(server), tmp_path, **FAST)
    asked = len(server.requests)
    report = fetch(recipe(server), tmp_path, **FAST)
    assert [f.status for f in report.files] == ["present", "present"]
    assert len(server.requests) == asked


def test_a_file_of_another_url_or_content_is_replaced(server: FileServer, tmp_path: Path) -> None:
    fetch(recipe(server), tmp_path, **FAST)
    (tmp_path / "go-basic.obo").write_bytes(b"scribbled over")
    server.files["/v13/links.txt.gz"] = newer = gzip.compress(b"newer", mtime=0)
    values = recipe(server, url=f"{server.url}/v13/links.txt.gz")
    report = fetch(values, tmp_path, **FAST)
    assert [f.status for f in report.files] == ["replaced", "replaced"]
    assert (tmp_path / "links.txt.gz").read_bytes() == newer
    assert (tmp_path / "go-basic.obo").read_bytes() == OBO


def test_a_file_brought_by_hand_stays_and_is_called_unverified(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "go-basic.obo").write_bytes(b"my own ontology")
    for _ in range(2):
        report = fetch(recipe(server), tmp_path, sources=["go"], **FAST)
        assert report.files[0].status == "unverified"
        assert (tmp_path / "go-basic.obo").read_bytes() == b"my own ontology"


def test_a_broken_download_is_resumed_within_the_call(server: FileServer, tmp_path: Path) -> None:
    server.cut_after["/v12/links.txt.gz"] = [150_000, 120_000]
    report = fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert (tmp_path / "links.txt.gz").read_bytes() == LINKS
    ranges = [r for _, r in server.requests]
    assert ranges[0] == ""
    assert len(ranges) == 3
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in ranges[1:]]
    assert 0 < starts[0] < starts[1]
    # Nothing that arrived is asked for again, except less than one block that was under way when the line dropped.
    assert report.files[0].received == len(LINKS)
    assert server.bytes_sent < len(LINKS) + 2 * download_module._BLOCK


def test_an_abandoned_download_is_resumed_by_the_next_call(server: FileServer, tmp_path: Path) -> None:
    server.cut_after["/v12/links.txt.gz"] = [150_000, 0, 0]
    with pytest.raises(DownloadError, match="run it again to go on") as caught:
        fetch(recipe(server), tmp_path, sources=["string_db"], retries=2, **FAST)
    part = tmp_path / "links.txt.gz.part"
    kept = part.stat().st_size
    assert f"{kept:,} bytes" in str(caught.value)
    assert 150_000 - download_module._BLOCK < kept <= 150_000
    assert not (tmp_path / "links.txt.gz").exists()
    report = fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert report.files[0].status == "resumed"
    assert report.files[0].received == len(LINKS) - kept
    assert server.requests[-1] == ("/v12/links.txt.gz", f"bytes={kept}-")
    assert (tmp_path / "links.txt.gz").read_bytes() == LINKS
    assert not part.exists()


def abandoned(server: FileServer, folder: Path) -> int:
    server.cut_after["/v12/links.txt.gz"] = [150_000]
    with pytest.raises(DownloadError):
        fetch(recipe(server), folder, sources=["string_db"], **{**FAST, "retries": 0})
    return (folder / "links.txt.gz.part").stat().st_size


def test_a_part_of_an_older_release_is_not_mixed_with_the_newer(server: FileServer, tmp_path: Path) -> None:
    assert abandoned(server, tmp_path) > 0
    server.files["/v12/links.txt.gz"] = newer = gzip.compress(np.random.default_rng(1).bytes(400_000), mtime=0)
    report = fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert report.files[0].status == "downloaded"
    assert (tmp_path / "links.txt.gz").read_bytes() == newer


def test_a_server_without_range_is_read_from_the_start(server: FileServer, tmp_path: Path) -> None:
    assert abandoned(server, tmp_path) > 0
    server.ignores_range = True
    report = fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert report.files[0].status == "downloaded"
    assert (tmp_path / "links.txt.gz").read_bytes() == LINKS


def test_a_server_without_validators_is_never_resumed(server: FileServer, tmp_path: Path) -> None:
    server.no_validators = True
    assert abandoned(server, tmp_path) > 0
    report = fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert report.files[0].received == len(LINKS)
    assert all(r == "" for _, r in server.requests)


def test_a_part_that_was_already_whole_is_used(server: FileServer, tmp_path: Path) -> None:
    part = tmp_path / "links.txt.gz.part"
    part.write_bytes(LINKS)
    note = {"url": f"{server.url}/v12/links.txt.gz", "ETag": server.tag("/v12/links.txt.gz")}
    Path(f"{part}.json").write_text(json.dumps(note))
    report = fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert report.files[0].received == 0
    assert (tmp_path / "links.txt.gz").read_bytes() == LINKS


def test_a_part_longer_than_the_file_is_dropped(server: FileServer, tmp_path: Path) -> None:
    part = tmp_path / "links.txt.gz.part"
    part.write_bytes(LINKS + b"too much")
    note = {"url": f"{server.url}/v12/links.txt.gz", "ETag": server.tag("/v12/links.txt.gz")}
    Path(f"{part}.json").write_text(json.dumps(note))
    fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert (tmp_path / "links.txt.gz").read_bytes() == LINKS


def test_a_busy_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.status["/go/go-basic.obo"] = [503, 429, 500]
    report = fetch(recipe(server), tmp_path, sources=["go"], **FAST)
    assert report.files[0].status == "downloaded"
    assert len(server.requests) == 4


def test_a_server_that_stays_busy_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.status["/go/go-basic.obo"] = [503] * 20
    with pytest.raises(DownloadError, match="HTTP 503"):
        fetch(recipe(server), tmp_path, sources=["go"], retries=3, **FAST)
    assert len(server.requests) == 4


def test_a_known_checksum_is_verified(server: FileServer, tmp_path: Path) -> None:
    report = fetch(recipe(server, sha256=sha(LINKS).upper()), tmp_path, sources=["string_db"], **FAST)
    assert report.files[0].sha256 == sha(LINKS)


def test_a_wrong_checksum_removes_the_file_and_says_so(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the download was removed") as caught:
        fetch(recipe(server, sha256="0" * 64), tmp_path, sources=["string_db"], **FAST)
    assert sha(LINKS) in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_leaves_the_old_file_in_place(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "links.txt.gz").write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(recipe(server, sha256="0" * 64), tmp_path, sources=["string_db"], **FAST)
    assert (tmp_path / "links.txt.gz").read_bytes() == b"old"


def test_not_found_names_the_url_and_does_not_retry(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="HTTP 404") as caught:
        fetch(recipe(server, url=f"{server.url}/v99/links.txt.gz"), tmp_path, **FAST)
    assert f"{server.url}/v99/links.txt.gz" in str(caught.value)
    assert len(server.requests) == 1


def test_refusal_is_its_own_error(server: FileServer, tmp_path: Path) -> None:
    server.status["/go/go-basic.obo"] = [403]
    with pytest.raises(DownloadError, match="refuses"):
        fetch(recipe(server), tmp_path, sources=["go"], **FAST)


def test_files_before_a_failure_stay_recorded(server: FileServer, tmp_path: Path) -> None:
    del server.files["/go/go-basic.obo"]
    with pytest.raises(DownloadError):
        fetch(recipe(server), tmp_path, **FAST)
    assert set(read_record(tmp_path)) == {"links.txt.gz"}


def test_no_connection_says_what_to_check(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values = {"sources": {"a": {"type": "table", "urls": [f"http://127.0.0.1:{port}/edges.tsv"]}}}
    with pytest.raises(DownloadError, match="check the network"):
        fetch(values, tmp_path, retries=1, **FAST)


def test_a_full_disk_is_foreseen(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DownloadError, match="disk is full"):
        fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert not (tmp_path / "links.txt.gz").exists()


class _FullDisk(io.FileIO):
    """A file on a disk that is full after 200,000 bytes."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 200_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_disk_that_fills_up_keeps_the_part(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_part(path: Any, mode: str = "r", **rest: Any) -> Any:
        return _FullDisk(path, mode) if mode in ("ab", "wb") else builtins.open(path, mode, **rest)

    monkeypatch.setattr(download_module, "open", open_part, raising=False)
    with pytest.raises(DownloadError, match="disk is full") as caught:
        fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    kept = (tmp_path / "links.txt.gz.part").stat().st_size
    assert 0 < kept <= 200_000
    assert f"{kept:,} bytes are kept" in str(caught.value)
    monkeypatch.undo()
    report = fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert report.files[0].received == len(LINKS) - kept
    assert (tmp_path / "links.txt.gz").read_bytes() == LINKS


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>please log in</html>", b"plain text", b""])
def test_something_else_than_a_gz_is_refused(server: FileServer, tmp_path: Path, content: bytes) -> None:
    server.files["/v12/links.txt.gz"] = content
    with pytest.raises(DownloadError, match="is not the file"):
        fetch(recipe(server), tmp_path, sources=["string_db"], **FAST)
    assert list(tmp_path.iterdir()) == []


def test_a_web_page_is_not_taken_for_an_ontology(server: FileServer, tmp_path: Path) -> None:
    server.files["/go/go-basic.obo"] = b"\n<html><body>maintenance</body></html>"
    with pytest.raises(DownloadError, match="is not the file"):
        fetch(recipe(server), tmp_path, sources=["go"], **FAST)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_gmt", ".gmt"), content)
    return buffer.getvalue()


def reactome(server: FileServer, **more: Any) -> dict[str, Any]:
    entry = {"url": f"{server.url}/ReactomePathways.gmt.zip", "member": "ReactomePathways.gmt", **more}
    return {"sources": {"reactome": {"type": "reactome", "urls": [entry]}}}


def test_one_file_is_taken_out_of_a_zip(server: FileServer, tmp_path: Path) -> None:
    server.files["/ReactomePathways.gmt.zip"] = archive = zipped(ReactomePathways_gmt=b"A\tR-HSA-1\tTP53\n")
    for status in ("downloaded", "present"):
        report = fetch(reactome(server, sha256=sha(archive)), tmp_path, **FAST)
        assert report.files[0].status == status
    assert (tmp_path / "ReactomePathways.gmt").read_bytes() == b"A\tR-HSA-1\tTP53\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ReactomePathways.gmt", RECORD]
    assert read_record(tmp_path)["ReactomePathways.gmt"]["archive_sha256"] == sha(archive)


def test_a_zip_without_the_file_names_what_it_has(server: FileServer, tmp_path: Path) -> None:
    server.files["/ReactomePathways.gmt.zip"] = zipped(ReactomePathway_gmt=b"x")
    with pytest.raises(DownloadError, match=r"did you mean 'ReactomePathway\.gmt'"):
        fetch(reactome(server), tmp_path, **FAST)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_zip_is_refused(server: FileServer, tmp_path: Path) -> None:
    server.files["/ReactomePathways.gmt.zip"] = zipped(ReactomePathways_gmt=b"x" * 10_000)[:-30]
    with pytest.raises(DownloadError, match="damaged"):
        fetch(reactome(server), tmp_path, **FAST)
    assert list(tmp_path.iterdir()) == []


def test_a_zip_cannot_write_outside_the_folder(server: FileServer, tmp_path: Path) -> None:
    server.files["/ReactomePathways.gmt.zip"] = zipped(**{"..__..__evil_gmt": b"x"})
    folder = tmp_path / "a" / "b"
    fetch(reactome(server, member="../../evil.gmt"), folder, **FAST)
    assert (folder / "evil.gmt").exists()
    assert not (tmp_path / "evil.gmt").exists()


@pytest.mark.parametrize("pattern", ["{url}/mirror", "{url}/mirror/", "{url}/mirror/{{path}}"])
def test_a_mirror_keeps_paths(server: FileServer, tmp_path: Path, pattern: str) -> None:
    server.files = {"/mirror/download/x.txt": b"mirrored"}
    official = "https://official.invalid/download/x.txt"
    values = {"sources": {"a": {"type": "table", "urls": [{"url": official, "sha256": sha(b"mirrored")}]}}}
    report = fetch(values, tmp_path, mirror=pattern.format(url=server.url), **FAST)
    assert (tmp_path / "x.txt").read_bytes() == b"mirrored"
    assert report.files[0].url == official


def test_a_bad_mirror_is_refused_before_anything_is_written(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        fetch(recipe(server), tmp_path / "new", mirror="nowhere", **FAST)
    assert not (tmp_path / "new").exists()


def test_one_file_of_two_sources_is_fetched_once(server: FileServer, tmp_path: Path) -> None:
    url = f"{server.url}/go/go-basic.obo"
    values = {"sources": {key: {"type": "go", "urls": [url]} for key in ("bp", "mf")}}
    report = fetch(values, tmp_path, **FAST)
    assert len(report.files) == len(server.requests) == 1
    assert report.without_urls == ()


def test_unknown_source_shows_the_nearest(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'string_db'"):
        fetch(recipe(server), tmp_path, sources=["string"], **FAST)


def test_nothing_to_fetch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to fetch"):
        fetch({"sources": {"a": {"type": "table"}}}, tmp_path, **FAST)


def test_a_recipe_file_with_a_gene_table(server: FileServer, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'[genes]\nurls = ["{server.url}/go/go-basic.obo"]\n'
        f'[sources.s]\ntype = "string"\nurls = ["{server.url}/v12/links.txt.gz"]\n'
    )
    report = fetch(path, tmp_path / "out", **FAST)
    assert {f.source for f in report.files} == {"genes", "s"}
    with pytest.raises(FileFormatError):
        fetch(tmp_path / "none.toml", tmp_path / "out", **FAST)


def test_a_damaged_record_is_its_own_error(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("[1, 2")
    with pytest.raises(DownloadError, match="damaged"):
        fetch(recipe(server), tmp_path, **FAST)


def test_progress_goes_to_stderr(server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(recipe(server), tmp_path, sources=["go"], **{**FAST, "progress": True})
    captured = capsys.readouterr()
    assert "go-basic.obo" in captured.err
    assert captured.out == ""
