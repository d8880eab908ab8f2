"""One file over HTTP, resumed where an earlier attempt stopped: a downloader for pooch, which cannot resume itself."""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gnnvcell.errors import DownloadError
from gnnvcell.files import write_text

_BLOCK = 1 << 16
_RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 30.0
_MAGIC = {".gz": b"\x1f\x8b", ".zip": b"PK"}


class _PassingError(Exception):
    """A failure that may pass by itself: a lost connection, a busy server."""


class ResumableDownloader:
    """Downloads with HTTP Range into ``<name>.part``, which outlives failures and is taken up again by the next call.

    Callable as ``pooch.retrieve(..., downloader=...)`` expects. A part is taken up only if the server says that the
    file is still the one it was begun from (``If-Range`` with its ETag or Last-Modified); a changed file is begun anew.
    Bytes are kept as the server stores them (``Accept-Encoding: identity``), because checksums are of those.

    Args:
        part: where the unfinished file is kept.
        progress: whether to show a tqdm bar on stderr.
        retries: how many failures in a row, without a new byte between them, are tried again.
        wait: seconds before the first repetition; doubled each time, up to 30.
        timeout: seconds without an answer after which a connection counts as lost.

    Attributes:
        resumed_from: bytes that were already there when the call began.
        received: bytes that came over the network in this call, repetitions included.
        headers: ``ETag`` and ``Last-Modified`` of the file, where the server gave them.
    """

    def __init__(
        self, part: Path, *, progress: bool = True, retries: int = 4, wait: float = 1.0, timeout: float = 30.0
    ) -> None:
        self.part, self.progress, self.retries, self.wait, self.timeout = part, progress, retries, wait, timeout
        self.resumed_from = self.received = 0
        self.headers: dict[str, str] = {}

    @property
    def _note(self) -> Path:
        """Beside the part: which URL it was begun from, and the validators of the file there."""
        return self.part.with_name(self.part.name + ".json")

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> bool | None:
        """Download ``url`` to the path ``output_file``.

        Raises:
            DownloadError: the server has no such file or refuses it, no connection, the disk is full, or the content
                is not of the kind its name promises. What arrived stays in the part where it is of use.
        """
        if check_only:
            return self._exists(url)
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.resumed_from = self._usable_part(url)
        try:
            self._until_complete(url)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._disk_full(url, str(error)) from error
            raise
        self._check_content(url)
        os.replace(self.part, output_file)
        self._note.unlink(missing_ok=True)
        return None

    def _until_complete(self, url: str) -> None:
        failures, furthest = 0, -1
        while True:
            try:
                self._transfer(url)
                return
            except _PassingError as error:
                # A connection that keeps dropping but gets further each time is worth going on with.
                size = self._size()
                failures = 0 if size > furthest else failures + 1
                furthest = max(furthest, size)
                if failures >= self.retries:
                    raise self._gave_up(url, str(error)) from error
                time.sleep(min(self.wait * 2**failures, _LONGEST_WAIT))

    def _transfer(self, url: str) -> None:
        """One request; returns when the part holds the whole file."""
        import requests

        have = self._usable_part(url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "gnnvcell"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": self._validator()}
        try:
            response = requests.get(url, headers=headers, stream=True, timeout=self.timeout)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _PassingError(_reason(error)) from error
        except requests.RequestException as error:
            raise DownloadError(f"cannot download {url}", found=_reason(error), remedy="check the URL") from error
        with response:
            span = response.headers.get("Content-Range", "")
            if response.status_code == 416 and span == f"bytes */{have}":
                return  # the part was already whole
            if response.status_code == 416 or (response.status_code == 206 and not span.startswith(f"bytes {have}-")):
                self._discard_part()
                raise _PassingError("the server did not go on where the unfinished file ends; beginning again")
            self._check_status(url, response)
            self._receive(url, response, have if response.status_code == 206 else 0)

    def _receive(self, url: str, response: Any, have: int) -> None:
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        if have == 0:
            self.resumed_from = 0
            self._begin_part(url, response)
        if total is not None:
            self._check_space(url, total - have)
        with open(self.part, "ab" if have else "wb") as handle, self._bar(total, have) as bar:
            for block in _blocks(response):
                handle.write(block)
                self.received += len(block)
                bar.update(len(block))
            handle.flush()
            os.fsync(handle.fileno())
        if total is not None and self._size() != total:
            raise _PassingError(f"{self._size():,} of {total:,} bytes arrived")

    def _begin_part(self, url: str, response: Any) -> None:
        wanted = ("ETag", "Last-Modified")
        self.headers = {key: response.headers[key] for key in wanted if key in response.headers}
        write_text(self._note, json.dumps({"url": url, **self.headers}))

    def _usable_part(self, url: str) -> int:
        """Bytes of a part that can be gone on with; one of another URL, or that cannot be verified, is dropped."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            note = {}
        if not isinstance(note, dict) or not all(isinstance(value, str) for value in note.values()):
            note = {}
        self.headers = {key: note[key] for key in ("ETag", "Last-Modified") if key in note}
        if note.get("url") != url or not self._validator():
            self._discard_part()
        return self._size()

    def _validator(self) -> str:
        """What If-Range may carry: a strong ETag, else the date, else nothing."""
        tag = self.headers.get("ETag", "")
        return tag if tag and not tag.startswith("W/") else self.headers.get("Last-Modified", "")

    def _discard_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.resumed_from = 0

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _bar(self, total: int | None, have: int) -> Any:
        from tqdm import tqdm

        name = self.part.name.removesuffix(".part")
        return tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name, disable=not self.progress)

    def _check_status(self, url: str, response: Any) -> None:
        code = response.status_code
        if code in (200, 206):
            return
        found = f"HTTP {code} {response.reason or ''}".strip()
        if code in _RETRY_STATUS:
            raise _PassingError(found)
        site = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
        if code in (404, 410):
            raise DownloadError(
                f"the server has no file {url}",
                expected="the file that the recipe names",
                found=found,
                remedy=f"releases move: look for its present name at {site} and put it into the recipe's urls",
            )
        raise DownloadError(
            f"the server refuses {url}",
            found=found,
            remedy=f"open {site} in a browser to see what it asks for, or name a mirror",
        )

    def _check_space(self, url: str, needed: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if needed > free:
            raise self._disk_full(url, f"{free / 1e6:,.0f} MB free, {needed / 1e6:,.0f} MB needed")

    def _check_content(self, url: str) -> None:
        """A .gz or .zip that does not begin like one is usually a web page that says why there is no file."""
        kind = Path(urlsplit(url).path).suffix
        with open(self.part, "rb") as handle:
            start = handle.read(64)
        page = start.lstrip().lower().startswith((b"<!doctype html", b"<html"))
        if not start or page or not start.startswith(_MAGIC.get(kind, b"")):
            self._discard_part()
            raise DownloadError(
                f"what came from {url} is not the file",
                expected=f"content of a {kind} file" if kind in _MAGIC else "a file with content, and not a web page",
                found=repr(start[:40]),
                remedy="open the URL in a browser: a login page or a proxy may be in between (the file was removed)",
            )

    def _disk_full(self, url: str, found: str) -> DownloadError:
        return DownloadError(
            f"the disk is full: cannot store {url}",
            expected=f"room in {self.part.parent}",
            found=found,
            remedy=f"free some space and run it again; {self._size():,} bytes are kept in {self.part.name}",
        )

    def _gave_up(self, url: str, found: str) -> DownloadError:
        return DownloadError(
            f"cannot download {url}",
            expected=f"an answer from {urlsplit(url).netloc}",
            found=found,
            remedy="check the network and the proxy, or name a mirror; run it again to go on"
            + (f" from the {self._size():,} bytes kept in {self.part.name}" if self._size() else ""),
        )

    def _exists(self, url: str) -> bool:
        import requests

        return requests.head(url, timeout=self.timeout, allow_redirects=True).status_code == 200


def _blocks(response: Any) -> Iterator[bytes]:
    """The body's bytes as they are on the server, undecoded; a broken connection becomes ``_PassingError``."""
    from urllib3.exceptions import HTTPError

    try:
        yield from response.raw.stream(_BLOCK, decode_content=False)
    except HTTPError as error:
        raise _PassingError(f"the connection broke off ({type(error).__name__})") from error


def _reason(error: BaseException) -> str:
    """The innermost cause in one line: requests and urllib3 wrap it several times."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return f"{type(error).__name__}: {error}"
