"""Wasserstein distances in one dimension against scipy's, for sets of any size."""

import itertools

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from gnnvcell.nn.losses import sliced_wasserstein, wasserstein_1d


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("cells", "others"), [(6, 6), (4, 6), (7, 5), (1, 9), (12, 3)])
def test_agrees_with_scipy(cells, others) -> None:
    x, y = normal(2, cells, 3), normal(2, others, 3, seed=1) + 0.5
    by_gene = [[wasserstein_distance(x[i, :, g], y[i, :, g]) for g in range(3)] for i in range(2)]
    torch.testing.assert_close(wasserstein_1d(x, y), torch.tensor(by_gene).double().mean(dim=1))


def test_the_second_order_is_the_best_of_all_pairings() -> None:
    x, y = normal(1, 5, 1), normal(1, 5, 1, seed=1)
    best = min((x[0] - y[0, list(order)]).square().mean() for order in itertools.permutations(range(5)))
    torch.testing.assert_close(wasserstein_1d(x, y, order=2)[0], best)


def test_repeating_cells_changes_nothing() -> None:
    x, y = normal(2, 5, 3), normal(2, 4, 3, seed=1)
    twice = x.repeat_interleave(3, dim=1)
    for order in (1, 2):
        torch.testing.assert_close(wasserstein_1d(twice, y, order=order), wasserstein_1d(x, y, order=order))


def test_slices() -> None:
    """A shift by v moves every direction by v's share of it; another seed draws other directions."""
    x, shift = normal(1, 6, 40), normal(40, seed=2)
    found = sliced_wasserstein(x, x + shift, projections=20_000, order=2)
    torch.testing.assert_close(found, (shift.square().sum() / 40)[None], rtol=0.05, atol=0)
    few = [sliced_wasserstein(x, x + shift, projections=3, seed=seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]
