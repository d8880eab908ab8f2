"""Stream: the batches of a whole training run, epoch after epoch, with a position that can be saved."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from gnnvcell.errors import DataError
from gnnvcell.fitting.processes import gathered, rank_and_size
from gnnvcell.fitting.randomness import VALIDATION, random_apart


@runtime_checkable
class Numbered(Protocol):
    """A loader that gives the batch of any number of a run, where numbers go on over epochs."""

    def batch(self, number: int) -> Any:
        """The batch of a number, 0 being the first of the first epoch; each process gets its share."""
        ...

    def batches_of(self, epochs: int, processes: int) -> int:
        """Number of batches of so many epochs, where so many processes share them."""
        ...


class Stream:
    """As many batches as a run needs, from a loader that is gone through again and again.

    Epochs do not show from outside: gradients are accumulated over their ends, and several processes, whose shares may
    differ in length, all take the same number of batches.

    What a loader may offer: ``batch(number)`` (then nothing else is used); ``set_epoch(epoch)``, called before each
    pass; ``state_dict`` and ``load_state_dict``, its position within a pass. The data set and the samplers of a
    ``DataLoader`` may offer the same. A loader without a position is read up to where it was.

    Args:
        loader: an iterable of batches.
        length: number of batches of the run.
        seed: of samplers that draw from the global generators.
    """

    def __init__(self, loader: Any, length: int, seed: int = 0) -> None:
        self._loader, self._length, self._seed = loader, length, seed
        self._epoch, self._in_epoch, self._given = 0, 0, 0
        self._state: Any = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._loader, Numbered):
            return self._by_number(self._loader)
        return self._by_epochs()

    def _by_number(self, loader: Numbered) -> Iterator[Any]:
        while self._given < self._length:
            self._given += 1
            yield loader.batch(self._given - 1)

    def _by_epochs(self) -> Iterator[Any]:
        while self._given < self._length:
            for batch in self._rest_of_epoch():
                self._given, self._in_epoch = self._given + 1, self._in_epoch + 1
                yield batch
                if self._given == self._length:
                    return
            if not self._in_epoch:
                raise DataError("the training loader gives no batch", remedy="check the split and the batch size")
            self._epoch, self._in_epoch = self._epoch + 1, 0

    def _rest_of_epoch(self) -> Iterator[Any]:
        """The batches of the current pass that were not given yet."""
        for part in _parts(self._loader):
            if hasattr(part, "set_epoch"):
                part.set_epoch(self._epoch)
        skip = self._in_epoch
        if self._state is not None:
            _positioned(self._loader).load_state_dict(self._state)
            self._state, skip = None, 0
        # Samplers of torch draw their order from the global generator when they begin.
        with random_apart(self._seed, self._epoch):
            batches = iter(self._loader)
            for _ in range(skip):
                next(batches)
            first = [] if skip else list(itertools.islice(batches, 1))
        return itertools.chain(first, batches)

    def state_dict(self) -> dict[str, Any]:
        """The position, of all processes where there are several; each must call this."""
        own: dict[str, Any] = {"epoch": self._epoch, "in_epoch": self._in_epoch, "given": self._given}
        positioned = _positioned(self._loader)
        if positioned is not None:
            own["loader"] = copy.deepcopy(positioned.state_dict())
        return {"ranks": gathered(own)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position.

        Raises:
            DataError: it was saved by another number of processes, and the loader's batches have no numbers.
        """
        ranks = state["ranks"]
        rank, world = rank_and_size()
        if len(ranks) != world and not isinstance(self._loader, Numbered):
            raise DataError(
                f"the run was saved by {len(ranks)} processes, each with its own place in the data",
                found=f"{world} processes",
                remedy="resume with as many as before",
            )
        own = ranks[rank % len(ranks)]
        self._epoch, self._in_epoch, self._given = own["epoch"], own["in_epoch"], own["given"]
        self._state = own.get("loader")


def _parts(loader: Any) -> list[Any]:
    """A loader, its data set and its samplers, where it has them."""
    named = [getattr(loader, name, None) for name in ("dataset", "sampler", "batch_sampler")]
    inner = [getattr(part, "sampler", None) for part in named]
    return [part for part in (loader, *named, *inner) if part is not None]


def _positioned(loader: Any) -> Any:
    """What knows the position within a pass: the loader or, where no workers run ahead of it, its data set."""
    if isinstance(loader, Numbered):
        return None
    candidates = [loader]
    if getattr(loader, "num_workers", None) == 0:
        candidates.append(getattr(loader, "dataset", None))
    return next((one for one in candidates if hasattr(one, "load_state_dict")), None)


class Pass:
    """A loader for validation: one pass, the same each time, whatever kind of iterable it is.

    Args:
        loader: an iterable of batches.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        # Lightning asks for the first batch before it says that validation begins.
        with random_apart(VALIDATION):
            batches = iter(self._loader)
            first = list(itertools.islice(batches, 1))
        yield from itertools.chain(first, batches)
