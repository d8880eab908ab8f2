"""Kernels inside data loaders: forked workers and several Python threads at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from gnnvcell.ops import Adjacency, aggregate, edge_scores, gatv2_aggregate

NODES, EDGES = 400, 30_000


def big() -> tuple[Adjacency, torch.Tensor, torch.Tensor]:
    """Large enough for the kernels to use threads."""
    generator = torch.Generator().manual_seed(0)
    src, dst = (torch.randint(NODES, (EDGES,), generator=generator) for _ in range(2))
    feat = torch.randn(NODES, 2, 16, generator=generator)
    return Adjacency(src, dst, NODES, NODES), feat, torch.rand(EDGES, generator=generator)


ADJACENCY, FEAT, WEIGHT = big()


def work(index: int) -> torch.Tensor:
    """Every compiled kernel once."""
    feat = (FEAT + index).requires_grad_()
    out = gatv2_aggregate(ADJACENCY, feat, feat, FEAT[0])[0].flatten(1)
    out = out + aggregate(ADJACENCY, feat.flatten(1), WEIGHT)
    (grad,) = torch.autograd.grad(out.square().sum(), [feat])
    return torch.cat([out.detach().sum()[None], grad.sum()[None], edge_scores(ADJACENCY, out, out).detach()[:3]])


class Items(Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return work(index)


def test_forked_workers_agree_with_the_parent() -> None:
    expected = torch.stack([work(i) for i in range(6)])  # starts the parent's threads before the fork
    found = torch.cat(list(DataLoader(Items(), batch_size=2, num_workers=2, multiprocessing_context="fork")))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("threads", [2, 4])
def test_python_threads_agree_with_one(threads: int) -> None:
    expected = [work(i) for i in range(6)]
    with ThreadPoolExecutor(threads) as pool:
        for mine, reference in zip(pool.map(work, range(6)), expected, strict=True):
            assert torch.equal(mine, reference)
