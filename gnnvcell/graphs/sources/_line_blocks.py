"""Large text files as blocks of whole lines, unpacked in one thread while the caller parses in another."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from gnnvcell.errors import FileFormatError
from gnnvcell.files import open_bytes

BLOCK_BYTES = 2 << 20


@contextmanager
def open_line_blocks(path: str | Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Iterator[memoryview]]:
    """Open a plain or gzipped text file as an iterator over blocks of whole lines.

    The next block is unpacked while the caller works on the current one (inflating releases the interpreter's lock).
    Two buffers are used in turn, so a block is valid until the next one is asked for, and memory stays at two blocks
    whatever the file's size. Every block ends with a line feed, the last one too.

    Args:
        path: the file.
        block_bytes: size of a buffer, more than the longest line.

    Raises:
        FileFormatError: the file is missing or empty, a gzip file that ends early or is corrupt, or a line that is
            longer than a block.
    """
    with open_bytes(path) as handle, ThreadPoolExecutor(1) as pool:
        yield _blocks(path, cast(BufferedIOBase, handle), pool, block_bytes)


def _blocks(path: str | Path, handle: BufferedIOBase, pool: ThreadPoolExecutor, size: int) -> Iterator[memoryview]:
    buffers = [bytearray(size + 1), bytearray(size + 1)]  # one more for the line feed that a last line may lack
    views = [memoryview(buffer) for buffer in buffers]
    current, rest = 0, 0
    pending = pool.submit(_fill, handle, views[0][:size])
    while count := pending.result():
        end = rest + count
        cut = buffers[current].rfind(b"\n", 0, end) + 1
        if not cut and end == size:
            raise FileFormatError(
                f"{path} has a line of more than {size:,} bytes", remedy="is it another kind of file?"
            )
        rest = end - cut
        other = 1 - current
        views[other][:rest] = views[current][cut:end]
        pending = pool.submit(_fill, handle, views[other][rest:size])
        if cut:
            yield views[current][:cut]
        current = other
    if rest:
        buffers[current][rest] = ord("\n")
        yield views[current][: rest + 1]


def _fill(handle: BufferedIOBase, view: memoryview) -> int:
    """Read until the view is full or the file ends; how many bytes."""
    count = 0
    while count < len(view) and (more := handle.readinto(view[count:])):
        count += more
    return count
