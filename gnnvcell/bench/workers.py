"""Jobs in several processes, each with one thread; every run is kept as soon as it is done."""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from gnnvcell import errors
from gnnvcell.bench.recording import Job, recorded
from gnnvcell.bench.running import Runner
from gnnvcell.bench.schedule import Schedule
from gnnvcell.bench.store import RunStore
from gnnvcell.errors import ConfigError, GnnvcellError

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
# A process goes through many graphs: glibc gives the memory of the last one back, and does not keep it in pieces.
_GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**22), "MALLOC_TRIM_THRESHOLD_": str(2**24)}
_DONE, _IDLE, _FAILED = "done", "idle", "failed"
_ORPHANED = 1


class WorkerError(GnnvcellError):
    """A process of a benchmark ended before its work was done."""


def in_processes(make: Callable[[], Sequence[Job]], folder: Path, processes: int) -> Runner:
    """A runner for ``run_jobs`` that does jobs in processes of their own, with one thread each.

    A process that is killed takes no finished run with it. When this process is killed, the others end at once.

    Args:
        make: makes the same jobs in each process; a function of a module, or a ``partial`` of one with plain arguments.
        folder: of the store.
        processes: how many.

    Raises:
        ConfigError: fewer than one process.
    """
    if processes < 1:
        raise ConfigError(f"{processes} processes", expected="1 or more")

    def run(todo: Sequence[tuple[int, Job]]) -> Iterator[Job]:
        schedule = Schedule(todo)
        with _started(make, folder, min(processes, schedule.units)) as connections:
            busy = {connection: schedule.start() for connection in connections}
            while busy:
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    what, value = _received(ready)
                    if what == _FAILED:
                        raise _error(*value)
                    if what == _DONE:
                        yield schedule.jobs[value]
                    elif not schedule.give(busy[ready], ready.send):
                        ready.send(None)
                        del busy[ready]

    return run


@contextmanager
def _started(make: Callable[[], Sequence[Job]], folder: Path, number: int) -> Iterator[list[Connection]]:
    """Connections to fresh processes, which end with the block."""
    context = get_context("spawn")  # forked processes inherit threads that do not survive it
    workers, connections = [], []
    try:
        with _environment():
            for _ in range(number):
                here, there = context.Pipe()
                worker = context.Process(target=_work, args=(there, make, folder))
                worker.start()
                there.close()
                workers.append(worker)
                connections.append(here)
        yield connections
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


@contextmanager
def _environment() -> Iterator[None]:
    """Libraries read these variables when they are loaded, so they must be there before a process begins."""
    wanted = dict.fromkeys(ONE_THREAD, "1") | _GIVEN_BACK
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _received(connection: Connection) -> tuple[str, Any]:
    try:
        return connection.recv()
    except (EOFError, ConnectionResetError) as error:
        raise WorkerError(
            "a process of the benchmark was killed",
            found="it ended without a word; mostly memory ran out",
            remedy="run the same command again with fewer processes: finished runs are kept",
        ) from error


def _error(name: str, text: str) -> Exception:
    kind = getattr(errors, name, None)
    return kind(text) if kind is not None else WorkerError("a run failed", found=text)


def _work(connection: Connection, make: Callable[[], Sequence[Job]], folder: Path) -> None:
    """What a process does: ask for jobs, do them, keep each run, say so."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        torch.set_num_threads(1)
        jobs, store = make(), RunStore(folder)
        connection.send((_IDLE, None))
        while (places := connection.recv()) is not None:
            for place, key in places:
                job = jobs[place]
                if job.key != key:
                    raise ConfigError("labels or graphs changed while the benchmark ran", remedy="start it again")
                store.put(key, recorded(job))
                connection.send((_DONE, place))
            connection.send((_IDLE, None))
    except KeyboardInterrupt:
        sys.exit(_ORPHANED)  # the parent was interrupted too, and says so
    except GnnvcellError as error:
        connection.send((_FAILED, (type(error).__name__, str(error))))
    except Exception:
        connection.send((_FAILED, ("", traceback.format_exc())))


def _end_with_parent() -> None:
    """A process without a parent would go on with what somebody may already have started again."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(_ORPHANED)
