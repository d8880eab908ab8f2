import os
from functools import partial

import pytest

from gnnvcell.bench.recording import Job
from gnnvcell.bench.schedule import Schedule
from gnnvcell.bench.suite_config import read_suite
from gnnvcell.bench.workers import ONE_THREAD, WorkerError, in_processes
from gnnvcell.errors import ConfigError, MissingFileError


class Planned:
    """A job that is never done here."""

    def __init__(self, group: str, name: str, key: str) -> None:
        self.group, self.name, self.key = group, name, key
        self.where = {}

    @property
    def arm(self) -> "Planned":
        return self

    def run(self) -> dict:
        raise NotImplementedError


def planned(*arms: str) -> list[tuple[int, Job]]:
    """One job for each text, whose first letter is the drawn graph and whose second is the part of it."""
    return [(place, Planned(arm[0], arm, str(place))) for place, arm in enumerate(arms)]


def test_a_process_stays_with_its_graph_and_helps_at_last() -> None:
    schedule = Schedule(planned("ax", "ax", "ay", "bx", "az"))
    assert schedule.units == 4
    given: list[tuple[str, list[int]]] = []
    takers = {name: schedule.start() for name in ("first", "second")}

    def give(name: str) -> bool:
        return schedule.give(takers[name], lambda unit: given.append((name, [place for place, _ in unit])))

    for name in ("first", "second", "first", "second"):
        assert give(name)
    assert given == [("first", [0, 1]), ("second", [3]), ("first", [2]), ("second", [4])]
    assert not give("first")


def test_a_process_that_is_killed_is_an_error(tmp_path) -> None:
    before = [os.environ.get(name) for name in ONE_THREAD]
    run = in_processes(partial(os._exit, 9), tmp_path, 1)
    with pytest.raises(WorkerError, match=r"was killed\n(.|\n)*finished runs are kept"):
        list(run(planned("ax")))
    assert [os.environ.get(name) for name in ONE_THREAD] == before


def test_errors_of_a_process_are_those_of_the_run(tmp_path) -> None:
    with pytest.raises(MissingFileError, match=r"no file .*none\.toml"):
        list(in_processes(partial(read_suite, tmp_path / "none.toml"), tmp_path, 1)(planned("ax")))  # type: ignore[arg-type]
    with pytest.raises(WorkerError, match=r"a run failed\n  found: Traceback(.|\n)*ValueError"):
        list(in_processes(partial(int, "x"), tmp_path, 1)(planned("ax")))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="0 processes"):
        in_processes(list, tmp_path, 0)
    assert list(in_processes(list, tmp_path, 1)([])) == []
