"""A function in a process of its own: what it returns, its processor time, and how far its memory grew."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MIB = 2**20


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, CPU seconds and MiB of peak resident memory beyond what the caller had when it forked.

    Raises:
        RuntimeError: the process ended without a result.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(work, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError as error:
        process.join()
        raise RuntimeError(f"a run ended with exit code {process.exitcode}") from error
    finally:
        process.join()


def _child(work: Callable[[], Any], sender: Connection) -> None:
    before, start = _resident(), time.process_time()
    result = work()
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sender.send((result, seconds, (peak - before) / MIB))
    sender.close()


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
