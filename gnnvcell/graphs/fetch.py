"""Download the official files a recipe names: resumed, verified where a checksum is known, recorded where it is not.

What was fetched, from where and when, with its checksum, is written to ``fetched.json`` beside the files.
"""

import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gnnvcell.config import read_toml
from gnnvcell.errors import DownloadError, did_you_mean
from gnnvcell.files import atomic_path, sha256_of, write_text
from gnnvcell.graphs.download import ResumableDownloader
from gnnvcell.graphs.urls import Download, mirrored, source_tables, wanted_downloads

RECORD = "fetched.json"


@dataclass(frozen=True)
class FetchedFile:
    """One file of a fetch.

    Args:
        source: key of the source it belongs to.
        name: file name in the folder.
        url: official URL (not the mirror's).
        bytes: size on disk.
        sha256: of the file on disk.
        status: "downloaded"; "resumed" (from an unfinished download); "replaced" (a file was there, but not the
            one that the recipe or the record says); "present" (it was there and is right); "unverified" (it was
            there, and neither the recipe nor a record says what it should be).
        received: bytes that came over the network.
    """

    source: str
    name: str
    url: str
    bytes: int
    sha256: str
    status: str
    received: int = 0

    def __str__(self) -> str:
        return f"{self.source:<16} {self.status:<11} {self.bytes:>14,}  {self.sha256[:12]}  {self.name}"


@dataclass(frozen=True)
class FetchReport:
    """What a fetch did.

    Args:
        files: one record per file, in the recipe's order.
        without_urls: keys of sources whose files nobody offers for download; they are yours to bring.
    """

    files: tuple[FetchedFile, ...]
    without_urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{'source':<16} {'status':<11} {'bytes':>14}  {'sha256':<12}  file", *map(str, self.files)]
        lines += [f"{key:<16} names no urls: its files are yours to bring" for key in self.without_urls]
        return "\n".join(lines)


def fetch(
    recipe: str | Path | Mapping[str, Any],
    out_dir: str | Path,
    *,
    sources: Sequence[str] | None = None,
    mirror: str | None = None,
    progress: bool = True,
    retries: int = 4,
    wait: float = 1.0,
    timeout: float = 30.0,
) -> FetchReport:
    """Download the files of a recipe's sources into a folder. Files that are there already and right are left alone.

    Args:
        recipe: path of a recipe, or its content.
        out_dir: folder for the files; made if missing.
        sources: keys of the sources to fetch ("genes" for the gene table); all of them when left out.
        mirror: where to download from instead. Either a place that keeps the official paths, which replaces scheme and
            host (``https://mirror.lab/files``), or a pattern with ``{host}``, ``{path}`` or ``{name}``
            (``https://mirror.lab/flat/{name}``). Checksums stay those of the recipe.
        progress: whether to show a progress bar per file.
        retries: failures in a row that are tried again, for each file.
        wait: seconds before the first repetition, doubled each time.
        timeout: seconds without an answer after which a connection counts as lost.

    Raises:
        ConfigError: an unknown source key, an entry of ``urls`` that cannot be read, a bad mirror, or nothing to fetch.
        DownloadError: a file that is not there, no connection, a full disk, a wrong checksum, a damaged archive. What
            was fetched until then stays, and running it again goes on from there.
    """
    values = read_toml(recipe) if isinstance(recipe, str | Path) else dict(recipe)
    wanted, without = wanted_downloads(values, sources)
    places = [mirrored(entry.url, mirror) for _, entry in wanted]
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    record = read_record(out_dir)
    files = []
    for (key, entry), place in zip(wanted, places, strict=True):
        part = out_dir / f"{entry.archive_name}.part"
        downloader = ResumableDownloader(part, progress=progress, retries=retries, wait=wait, timeout=timeout)
        fetched, line = _fetch_one(key, entry, out_dir, record.get(entry.file_name, {}), downloader, place)
        if line:
            # Written after every file, so that an interruption loses nothing.
            table = source_tables(values)[key]
            record[fetched.name] = {**line, **{k: table[k] for k in ("release", "licence") if k in table}}
            write_text(out_dir / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
        files.append(fetched)
    return FetchReport(tuple(files), tuple(without))


def read_record(folder: str | Path) -> dict[str, dict[str, Any]]:
    """What earlier fetches wrote about the files of a folder: file name to its url, sha256, bytes, date.

    Raises:
        DownloadError: the record is damaged.
    """
    path = Path(folder) / RECORD
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not all(isinstance(line, dict) for line in record.values()):
            raise ValueError("not a table of files")
    except ValueError as error:
        raise DownloadError(
            f"{path} is damaged", found=str(error), remedy="delete it; the files beside it then count as unverified"
        ) from error
    return record


def _fetch_one(
    key: str,
    entry: Download,
    out_dir: Path,
    line: Mapping[str, Any],
    downloader: ResumableDownloader,
    place: str,
) -> tuple[FetchedFile, dict[str, Any]]:
    """One file in its place, and its line for the record (empty where there is nothing new to record)."""
    path = out_dir / entry.file_name
    there = path.is_file()
    sha256 = sha256_of(path) if there else ""
    status = _standing(sha256, entry, line)
    new: dict[str, Any] = {}
    if not status:
        archive_sha256 = _retrieve(entry, out_dir, downloader, place)
        sha256 = sha256_of(path)
        status = "replaced" if there else "resumed" if downloader.resumed_from else "downloaded"
        retrieved = datetime.now(UTC).isoformat(timespec="seconds")
        new = {"source": key, "url": entry.url, "bytes": path.stat().st_size, "sha256": sha256, "retrieved": retrieved}
        new |= {name.lower(): value for name, value in downloader.headers.items()}
        if archive_sha256:
            new["archive_sha256"] = archive_sha256
    size = path.stat().st_size
    return FetchedFile(key, path.name, entry.url, size, sha256, status, downloader.received), new


def _standing(sha256: str, entry: Download, line: Mapping[str, Any]) -> str:
    """Whether a file of that checksum can stay: "present", "unverified", or nothing if it has to be fetched."""
    if not sha256:
        return ""
    as_recorded = line.get("url") == entry.url and line.get("sha256") == sha256
    if entry.member and entry.sha256:
        return "present" if as_recorded and line.get("archive_sha256") == entry.sha256.lower() else ""
    if entry.sha256:
        return "present" if sha256 == entry.sha256.lower() else ""
    if as_recorded:
        return "present"
    return "" if line else "unverified"


def _retrieve(entry: Download, out_dir: Path, downloader: ResumableDownloader, place: str) -> str:
    """Download, verify and put in place; the checksum of the archive if it was one, else nothing."""
    import pooch

    # Under a name of its own until it is verified: what is in its place now stays whole if this fails.
    fresh = out_dir / f".{entry.archive_name}.new"
    fresh.unlink(missing_ok=True)
    known = f"sha256:{entry.sha256.lower()}" if entry.sha256 else None
    try:
        with _quiet_pooch():
            # pooch's stubs name a downloader's arguments as a processor's.
            pooch.retrieve(place, known, fname=fresh.name, path=out_dir, downloader=downloader)  # type: ignore[arg-type]
    except ValueError as error:
        raise DownloadError(
            f"{entry.archive_name} is not the file that the recipe knows",
            expected=f"sha256 {entry.sha256.lower()}",
            found=str(error).partition(" but got ")[2].partition(".")[0] or str(error),
            remedy=f"the download was removed; try again, or see whether {place} now has another release",
        ) from error
    if not entry.member:
        os.replace(fresh, out_dir / entry.file_name)
        return ""
    try:
        _take_out(fresh, entry, out_dir / entry.file_name)
        return sha256_of(fresh)
    finally:
        fresh.unlink(missing_ok=True)


def _take_out(archive: Path, entry: Download, target: Path) -> None:
    """Write the one wanted file of a zip archive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            if entry.member not in opened.namelist():
                raise DownloadError(
                    f"{entry.archive_name} has no file {entry.member!r}",
                    remedy=did_you_mean(entry.member, opened.namelist()),
                )
            with atomic_path(target) as temporary, opened.open(entry.member) as inside, open(temporary, "wb") as out:
                shutil.copyfileobj(inside, out, 1 << 20)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DownloadError(
            f"{entry.archive_name} is a damaged zip archive", found=str(error), remedy="it was removed; fetch it again"
        ) from error


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """pooch logs hints about its own arguments, which are none of the user's."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
