"""Reading files that may be gzipped or damaged, and writing files whole or not at all."""

import gzip
import hashlib
import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from isal import igzip, isal_zlib

from gnnvcell.errors import FileFormatError, MissingFileError, did_you_mean

_GZIP_MAGIC = b"\x1f\x8b"
_HASH_BLOCK = 1 << 20


def require_file(path: str | Path) -> Path:
    """The path, if a file with content is there.

    Raises:
        MissingFileError: no file there (with the nearest name beside it).
        FileFormatError: a folder, or an empty file.
    """
    path = Path(path)
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder, not a file", remedy="name the file itself")
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        state = "is empty" if path.parent.is_dir() else "does not exist"
        hint = did_you_mean(path.name, beside) if beside else f"the folder {path.parent} {state}"
        raise MissingFileError(f"no file {path}", remedy=hint)
    if path.stat().st_size == 0:
        raise FileFormatError(f"{path} is empty", remedy="download or write it again")
    return path


def is_gzip(path: Path) -> bool:
    """Whether the content is gzip, judged by its first bytes and not by its name."""
    with open(path, "rb") as handle:
        return handle.read(2) == _GZIP_MAGIC


@contextmanager
def open_bytes(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzipped file for reading bytes; damage met while reading becomes a clear error.

    Gzip is unpacked by ISA-L, about three times as fast as zlib.

    Raises:
        FileFormatError: missing, empty, or a gzip file that ends early or is corrupt.
    """
    path = require_file(path)
    opener = igzip.open if is_gzip(path) else open
    try:
        with opener(path, "rb") as handle:
            yield handle  # type: ignore[misc]
    except (EOFError, zlib.error, isal_zlib.error, gzip.BadGzipFile) as error:  # type: ignore[misc]
        raise FileFormatError(
            f"{path} is a damaged gzip file",
            expected="a complete gzip stream",
            found=str(error),
            remedy="download it again; the last download probably stopped half-way",
        ) from error


@contextmanager
def open_text(path: str | Path) -> Iterator[IO[str]]:
    """Open a plain or gzipped UTF-8 text file for reading.

    Raises:
        FileFormatError: as in ``open_bytes``, or the bytes are not UTF-8 text.
    """
    with open_bytes(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="")  # type: ignore[arg-type]
        try:
            yield text
        except UnicodeDecodeError as error:
            raise FileFormatError(
                f"{path} is not UTF-8 text", found=str(error), remedy="is it another kind of file, or compressed?"
            ) from error


def read_names(path: str | Path) -> list[str]:
    """The names in a text file, plain or gzipped: one per line; empty lines and lines that begin with # are left out.

    Raises:
        FileFormatError: missing, empty, damaged, not text, no name in it, or lines with several columns.
    """
    with open_text(path) as handle:
        lines = [line.strip() for line in handle]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise FileFormatError(f"{path} has no names in it", expected="one name per line")
    columns = next((name for name in names if any(mark in name for mark in "\t,;")), "")
    if columns:
        raise FileFormatError(
            f"{path} has several columns",
            expected="one name per line",
            found=columns[:60],
            remedy="keep the names only",
        )
    return names


def sha256_of(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes as they are on disk."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends well, and disappears when it does not.

    The content is flushed to disk before the rename, so that a crash leaves either the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The final suffix is kept at the end, because many writers choose their format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Like ``atomic_path`` for a folder: it is filled under a temporary name, then takes the place of the old one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        os.chmod(temporary, 0o777 & ~_umask())
        if path.exists():
            _swap(temporary, path)
        else:
            os.replace(temporary, path)
        _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, old: Path) -> None:
    """Put a folder in the place of what is there; if that fails, what was there is put back."""
    retired = new.with_name(new.name + ".old")
    os.replace(old, retired)
    try:
        os.replace(new, old)
    except BaseException:
        os.replace(retired, old)
        raise
    if retired.is_dir() and not retired.is_symlink():
        shutil.rmtree(retired)
    else:
        retired.unlink()


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file whole or not at all, and return its path."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
