"""Writing text files, gzipped by name, with the same bytes every time."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from gnnvcell.files import atomic_path


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Write lines with ``\\n`` ends, gzipped where the name ends in ``.gz``.

    The gzip header has no time and no file name, so equal lines give equal bytes.
    """
    content = ("\n".join(lines) + "\n").encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(content, compresslevel=9, mtime=0) if path.suffix == ".gz" else content)
    return path
