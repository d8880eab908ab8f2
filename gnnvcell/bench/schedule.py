"""Who does what: jobs of one graph go to one process, until there is none left and others help."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gnnvcell.bench.recording import Job

Unit = list[tuple[int, str]]  # places and keys of jobs


@dataclass
class Taker:
    """What a process did last."""

    group: Any = None


@dataclass
class Schedule:
    """Jobs by the graph that is drawn for them, and among those by the part of it.

    A process stays with a drawn graph while there is work on it; then it takes one that nobody works on, and at last
    helps where most is left. So a graph is drawn, and what models derive from it is made, as few times as can be.

    Args:
        todo: jobs with their places, in the order in which they are begun.
    """

    todo: Sequence[tuple[int, Job]]
    _groups: dict[Any, deque[Unit]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.jobs = dict(self.todo)
        units: dict[Any, Unit] = {}
        for place, job in self.todo:
            units.setdefault((job.arm.group, job.arm.name), []).append((place, job.key))
        for (group, _), unit in units.items():
            self._groups.setdefault(group, deque()).append(unit)
        self.units = len(units)
        self._begun: set[Any] = set()

    def start(self) -> Taker:
        """A process that has not done anything yet."""
        return Taker()

    def give(self, taker: Taker, send: Callable[[Unit], None]) -> bool:
        """Send the next jobs to a process; whether there were any."""
        left = {group: units for group, units in self._groups.items() if units}
        if not left:
            return False
        if taker.group not in left:
            fresh = (group for group in left if group not in self._begun)
            taker.group = next(fresh, max(left, key=lambda group: sum(map(len, left[group]))))
            self._begun.add(taker.group)
        send(left[taker.group].popleft())
        return True
