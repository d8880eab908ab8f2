"""Large text files as blocks of whole lines, unpacked in one thread while the caller parses in another."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from gnnvcell.files import open_bytes

BLOCK_BYTES = 8 << 20


@contextmanager
def open_line_blocks(path: str | Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Iterator[bytes]]:
    """Open a plain or gzipped text file as an iterator over blocks of whole lines.

    The next block is unpacked while the caller works on the current one (inflating releases the interpreter's lock).
    Every block ends with a line feed, the last one too; memory stays at about three blocks whatever the file's size.

    Args:
        path: the file.
        block_bytes: bytes to unpack at a time.

    Raises:
        FileFormatError: the file is missing or empty, or a gzip file that ends early or is corrupt.
    """
    with open_bytes(path) as handle, ThreadPoolExecutor(1) as pool:

        def blocks() -> Iterator[bytes]:
            rest = b""
            pending = pool.submit(handle.read, block_bytes)
            while block := pending.result():
                pending = pool.submit(handle.read, block_bytes)
                cut = block.rfind(b"\n") + 1
                if cut:
                    yield rest + block[:cut]
                    rest = block[cut:]
                else:
                    rest += block
            if rest:
                yield rest + b"\n"

        yield blocks()
