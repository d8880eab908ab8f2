"""Doing what is left of a list of jobs, in this process or in several."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from tqdm import tqdm

from gnnvcell.bench.recording import Job, recorded
from gnnvcell.bench.store import RunStore

_TERMINAL_REFRESH, _LOG_REFRESH = 0.1, 10.0  # seconds between two states of the progress bar
Runner = Callable[[Sequence[tuple[int, Job]]], Iterator[Job]]


def run_jobs(
    jobs: Sequence[Job], store: RunStore, *, runner: Runner | None = None, title: str = "bench", progress: bool = True
) -> None:
    """Do every job that is not in the store yet, each key once.

    Args:
        jobs: in an order in which each graph is made once.
        store: of finished runs; a job is finished when its run is in there.
        runner: does jobs, given with their places in ``jobs``, keeps their runs in the store and yields each when it is
            done; in this process, one after the other, when left out.
        title: of the progress bar.
        progress: show it.
    """
    todo: dict[str, tuple[int, Job]] = {}
    done: set[str] = set()
    for place, job in enumerate(jobs):
        key = job.key
        if key not in done and key not in todo:
            if store.get(key) is None:
                todo[key] = place, job
            else:
                done.add(key)
    finished = (runner or _here(store))(list(todo.values()))
    total, pause = len(done) + len(todo), refresh_interval()
    bar = tqdm(initial=len(done), total=total, disable=not progress, unit="run", desc=title, mininterval=pause)
    with closing(bar):
        for job in finished:
            bar.set_postfix_str(" ".join(map(str, job.where.values())), refresh=False)
            bar.update()


def refresh_interval() -> float:
    """Seconds between two states of a progress bar: few of them in a log."""
    return _TERMINAL_REFRESH if sys.stderr.isatty() else _LOG_REFRESH


def _here(store: RunStore) -> Runner:
    def run(todo: Sequence[tuple[int, Job]]) -> Iterator[Job]:
        for _, job in todo:
            store.put(job.key, recorded(job))
            yield job

    return run
