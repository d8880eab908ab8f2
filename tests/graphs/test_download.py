import builtins
import errno
import gzip
import io
import json
import shutil
import socket
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnnvcell.errors import DownloadError
from gnnvcell.graphs import download as download_module
from gnnvcell.graphs.download import ResumableDownloader

LINKS, OBO = "/v12/links.txt.gz", "/go/go-basic.obo"


class Folder:
    """A folder to download into from the server, one file at a time."""

    def __init__(self, server: Any, path: Path) -> None:
        self.server, self.path = server, path

    def download(self, file: str = LINKS, **settings: Any) -> tuple[ResumableDownloader, bytes]:
        """The downloader after its work, and what it brought."""
        name = Path(file).name
        settings = {"progress": False, "wait": 0.001, "timeout": 5.0, **settings}
        downloader = ResumableDownloader(self.path / f"{name}.part", **settings)
        downloader(self.server.url + file, self.path / name, None)
        return downloader, (self.path / name).read_bytes()

    @property
    def part(self) -> Path:
        return self.path / "links.txt.gz.part"

    def abandon(self, after: int = 150_000) -> int:
        """A download that broke off; the size of what is left of it."""
        self.server.cut_after[LINKS] = [after]
        with pytest.raises(DownloadError):
            self.download(retries=0)
        return self.part.stat().st_size

    def leave_part(self, content: bytes, **note: str) -> None:
        self.part.write_bytes(content)
        Path(f"{self.part}.json").write_text(json.dumps({"url": self.server.url + LINKS, **note}))

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())


@pytest.fixture
def folder(server: Any, tmp_path: Path) -> Folder:
    return Folder(server, tmp_path)


def test_a_file_comes_whole(server: Any, folder: Folder) -> None:
    downloader, content = folder.download()
    assert content == server.files[LINKS]
    assert (downloader.resumed_from, downloader.received) == (0, len(content))
    assert downloader.headers == {"ETag": server.tag(LINKS)}
    assert folder.names() == ["links.txt.gz"]


def test_a_broken_download_is_resumed_within_the_call(server: Any, folder: Folder) -> None:
    server.cut_after[LINKS] = [150_000, 120_000]
    downloader, content = folder.download()
    assert content == server.files[LINKS]
    ranges = [asked for _, asked in server.requests]
    assert ranges[0] == ""
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in ranges[1:]]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1]
    # Nothing that arrived is asked for again, except less than one block that was under way when the line dropped.
    assert downloader.received == len(content)
    assert server.bytes_sent < len(content) + 2 * download_module._BLOCK


def test_an_abandoned_download_says_what_is_kept(server: Any, folder: Folder) -> None:
    server.cut_after[LINKS] = [150_000, 0, 0]
    with pytest.raises(DownloadError, match="run it again to go on") as caught:
        folder.download(retries=2)
    kept = folder.part.stat().st_size
    assert f"{kept:,} bytes" in str(caught.value)
    assert 150_000 - download_module._BLOCK < kept <= 150_000
    assert len(server.requests) == 3


def test_a_later_call_goes_on_where_an_abandoned_one_stopped(server: Any, folder: Folder) -> None:
    kept = folder.abandon()
    downloader, content = folder.download()
    assert content == server.files[LINKS]
    assert (downloader.resumed_from, downloader.received) == (kept, len(content) - kept)
    assert server.requests[-1] == (LINKS, f"bytes={kept}-")
    assert folder.names() == ["links.txt.gz"]


def test_a_connection_that_gets_further_each_time_is_not_given_up(server: Any, folder: Folder) -> None:
    server.cut_after[LINKS] = [100_000, 100_000, 100_000]
    _, content = folder.download(retries=1)
    assert content == server.files[LINKS]


def test_a_part_of_an_older_release_is_not_mixed_with_the_newer(server: Any, folder: Folder) -> None:
    assert folder.abandon() > 0
    server.files[LINKS] = newer = gzip.compress(np.random.default_rng(1).bytes(400_000), mtime=0)
    downloader, content = folder.download()
    assert content == newer
    assert downloader.resumed_from == 0


def test_a_part_of_another_url_is_dropped(server: Any, folder: Folder) -> None:
    assert folder.abandon() > 0
    server.files["/v13/links.txt.gz"] = newer = gzip.compress(b"newer", mtime=0)
    downloader, content = folder.download("/v13/links.txt.gz")
    assert content == newer
    assert server.requests[-1] == ("/v13/links.txt.gz", "")
    assert downloader.resumed_from == 0


def test_a_server_without_range_is_read_from_the_start(server: Any, folder: Folder) -> None:
    assert folder.abandon() > 0
    server.ignores_range = True
    downloader, content = folder.download()
    assert content == server.files[LINKS]
    assert (downloader.resumed_from, downloader.received) == (0, len(content))


def test_a_server_without_validators_is_never_resumed(server: Any, folder: Folder) -> None:
    server.no_validators = True
    assert folder.abandon() > 0
    downloader, content = folder.download()
    assert content == server.files[LINKS]
    assert downloader.received == len(content)
    assert all(asked == "" for _, asked in server.requests)


def test_a_part_that_was_already_whole_is_used(server: Any, folder: Folder) -> None:
    folder.leave_part(server.files[LINKS], ETag=server.tag(LINKS))
    downloader, content = folder.download()
    assert content == server.files[LINKS]
    assert downloader.received == 0


def test_a_part_longer_than_the_file_is_dropped(server: Any, folder: Folder) -> None:
    folder.leave_part(server.files[LINKS] + b"too much", ETag=server.tag(LINKS))
    assert folder.download()[1] == server.files[LINKS]


@pytest.mark.parametrize("note", ["", "[", "[1]", '{"url": 3}'])
def test_a_part_without_a_readable_note_is_dropped(server: Any, folder: Folder, note: str) -> None:
    folder.part.write_bytes(b"of unknown origin")
    Path(f"{folder.part}.json").write_text(note)
    assert folder.download()[1] == server.files[LINKS]


def test_a_busy_server_is_asked_again(server: Any, folder: Folder) -> None:
    server.status[OBO] = [503, 429, 500]
    assert folder.download(OBO)[1] == server.files[OBO]
    assert len(server.requests) == 4


def test_a_server_that_stays_busy_is_given_up(server: Any, folder: Folder) -> None:
    server.status[OBO] = [503] * 20
    with pytest.raises(DownloadError, match="HTTP 503"):
        folder.download(OBO, retries=3)
    assert len(server.requests) == 4


@pytest.mark.parametrize(("code", "message"), [(403, "refuses"), (404, "has no file"), (410, "has no file")])
def test_a_final_answer_is_not_asked_for_again(server: Any, folder: Folder, code: int, message: str) -> None:
    server.status[OBO] = [code]
    with pytest.raises(DownloadError, match=message) as caught:
        folder.download(OBO)
    assert f"HTTP {code}" in str(caught.value)
    assert server.url in str(caught.value)
    assert len(server.requests) == 1


def test_no_connection_says_what_to_check(server: Any, folder: Folder) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server.url = f"http://127.0.0.1:{port}"
    with pytest.raises(DownloadError, match="check the network"):
        folder.download(retries=1)


def test_a_full_disk_is_foreseen(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DownloadError, match="disk is full"):
        folder.download()
    assert not (folder.path / "links.txt.gz").exists()


class _FullDisk(io.FileIO):
    """A file on a disk that is full after 200,000 bytes."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 200_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_disk_that_fills_up_keeps_the_part(server: Any, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_part(path: Any, mode: str = "r", **rest: Any) -> Any:
        return _FullDisk(path, mode) if mode in ("ab", "wb") else builtins.open(path, mode, **rest)

    monkeypatch.setattr(download_module, "open", open_part, raising=False)
    with pytest.raises(DownloadError, match="disk is full") as caught:
        folder.download()
    kept = folder.part.stat().st_size
    assert 0 < kept <= 200_000
    assert f"{kept:,} bytes are kept" in str(caught.value)
    monkeypatch.undo()
    downloader, content = folder.download()
    assert content == server.files[LINKS]
    assert downloader.received == len(content) - kept


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>please log in</html>", b"plain text", b""])
def test_something_else_than_a_gz_is_refused(server: Any, folder: Folder, content: bytes) -> None:
    server.files[LINKS] = content
    with pytest.raises(DownloadError, match="is not the file"):
        folder.download()
    assert folder.names() == []


def test_a_web_page_is_not_taken_for_an_ontology(server: Any, folder: Folder) -> None:
    server.files[OBO] = b"\n<html><body>maintenance</body></html>"
    with pytest.raises(DownloadError, match="is not the file"):
        folder.download(OBO)


def test_progress_goes_to_stderr(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.download(OBO, progress=True)
    captured = capsys.readouterr()
    assert "go-basic.obo" in captured.err
    assert captured.out == ""


def test_availability_can_be_asked(server: Any, folder: Folder) -> None:
    """pooch asks with ``check_only`` whether a file is there."""
    downloader = ResumableDownloader(folder.part, progress=False)
    assert downloader(server.url + OBO, folder.path / "x", None, check_only=True) is True
    assert downloader(server.url + "/none", folder.path / "x", None, check_only=True) is False
    assert folder.names() == []
