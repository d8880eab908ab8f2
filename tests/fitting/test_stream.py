import itertools

import pytest
import torch
from torch.utils.data import DataLoader

from gnnvcell.errors import DataError
from gnnvcell.fitting.stream import Stream


class Epochs:
    """Gives (epoch, place)."""

    def __init__(self, length: int) -> None:
        self.length, self.epoch, self.begun = length, -1, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self):
        self.begun += 1
        return iter([(self.epoch, place) for place in range(self.length)])


class ByNumber:
    def batch(self, number: int) -> int:
        return number

    def batches_of(self, epochs: int, processes: int) -> int:
        return 3 * epochs


def test_epochs_follow_each_other() -> None:
    assert list(Stream(Epochs(2), 5)) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert list(Stream(ByNumber(), 3)) == [0, 1, 2]


@pytest.mark.parametrize("make", [lambda: Epochs(3), ByNumber, lambda: DataLoader(range(6), 2, shuffle=True)])  # type: ignore
@pytest.mark.parametrize("given", [0, 1, 3, 4, 7])
def test_goes_on_where_it_was(make, given) -> None:
    whole = [str(batch) for batch in Stream(make(), 9)]
    first = Stream(make(), 9)
    begin = [str(batch) for batch in itertools.islice(first, given)]
    second = Stream(make(), 9)
    second.load_state_dict(first.state_dict())
    assert begin + [str(batch) for batch in second] == whole


def test_orders_differ_between_epochs_and_seeds() -> None:
    loader = DataLoader(range(100), 100, shuffle=True)  # type: ignore[arg-type]
    first, second = list(Stream(loader, 2))
    other = next(iter(Stream(loader, 2, seed=1)))
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


def test_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    list(Stream(DataLoader(range(6), 2, shuffle=True), 9))  # type: ignore[arg-type]
    assert torch.equal(torch.rand(2), expected)


def test_position_of_a_data_set_is_used() -> None:
    class Positioned(torch.utils.data.IterableDataset):
        def __init__(self) -> None:
            self.place, self.loaded = 0, False

        def set_epoch(self, epoch: int) -> None:
            self.place = 0

        def state_dict(self):
            return {"place": self.place}

        def load_state_dict(self, state) -> None:
            self.place, self.loaded = state["place"], True

        def __iter__(self):
            while self.place < 6:
                self.place += 1
                yield self.place

    first = Stream(DataLoader(Positioned(), 2), 5)
    begin = list(itertools.islice(first, 4))
    data = Positioned()
    second = Stream(DataLoader(data, 2), 5)
    second.load_state_dict(first.state_dict())
    assert [b.tolist() for b in [*begin, *second]] == [[1, 2], [3, 4], [5, 6], [1, 2], [3, 4]]
    assert data.loaded


def test_empty_loader() -> None:
    with pytest.raises(DataError, match="gives no batch"):
        list(Stream([], 2))


def test_other_number_of_processes() -> None:
    state = Stream(Epochs(2), 4).state_dict()
    with pytest.raises(DataError, match="saved by 2 processes"):
        Stream(Epochs(2), 4).load_state_dict({"ranks": state["ranks"] * 2})
    Stream(ByNumber(), 4).load_state_dict({"ranks": state["ranks"] * 2})
