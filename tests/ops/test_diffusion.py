import numpy as np
import pytest
import torch

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops import Adjacency, diffusion
from gnnvcell.ops.diffusion import diffuse, personalised_pagerank, transition_weights
from gnnvcell.ops.pair_products import pair_products
from gnnvcell.testing import GRAPH_CASES

SQUARE = [case for case in GRAPH_CASES if case.num_src == case.num_dst]


@pytest.mark.parametrize("case", SQUARE, ids=lambda case: case.name)
def test_agrees_with_a_dense_reference(case):
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    weight = torch.rand(len(case.src), generator=torch.Generator().manual_seed(0)) + 0.1
    dense = torch.zeros(case.num_src, case.num_src).index_put((case.src, case.dst), weight, accumulate=True)
    walk = dense / dense.sum(dim=1, keepdim=True).clamp_min(1e-9)
    probability = transition_weights(adjacency, weight)
    seeds = torch.arange(case.num_src)
    state = start = torch.eye(case.num_src)
    for _ in range(3):
        state = 0.6 * walk.T @ state + 0.4 * start
    torch.testing.assert_close(personalised_pagerank(adjacency, probability, seeds, steps=3, restart=0.4), state)


def test_gradients_reach_the_edges():
    adjacency = Adjacency(torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 0, 0]), 3, 3)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64, requires_grad=True)

    def diffuse(w):
        return personalised_pagerank(adjacency, w, torch.tensor([0, 1]), steps=2, restart=0.3)

    assert torch.autograd.gradcheck(diffuse, (weight,))


def test_bad_settings_are_errors():
    square, flat = (
        Adjacency(torch.tensor([0]), torch.tensor([0]), 2, 2),
        Adjacency(torch.tensor([0]), torch.tensor([0]), 2, 3),
    )
    with pytest.raises(ConfigError, match="bad diffusion"):
        personalised_pagerank(square, torch.ones(1), torch.tensor([0]), steps=1, restart=0.0)
    with pytest.raises(GraphIntegrityError, match="nodes of one type"):
        personalised_pagerank(flat, torch.ones(1), torch.tensor([0]), steps=1, restart=0.5)


def test_pair_products_agree_with_einsum():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.rand(3, 5, 7, generator=generator), torch.rand(4, 2, 7, generator=generator)
    row, column = torch.tensor([0, 4, 4, 0]), torch.tensor([3, 0, 3, 1])
    expected = torch.einsum("apk,pbk->pab", left[:, row], right[column])
    np.testing.assert_allclose(pair_products(left, right, row, column), expected, rtol=1e-5)
    with pytest.raises(GraphIntegrityError, match="outside"):
        pair_products(left, right, torch.tensor([5]), torch.tensor([0]))


@pytest.mark.parametrize("case", SQUARE, ids=lambda case: case.name)
@pytest.mark.parametrize("restart", [0.0, 0.3, 1.0])
def test_frontier_groups_and_dense_agree(case, restart):
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(len(case.src), generator=generator, dtype=torch.float64)
    state = torch.zeros(case.num_src, 150, dtype=torch.float64)
    state[torch.randint(case.num_src, (150,), generator=generator), torch.arange(150)] = 1.0
    matrix = torch.zeros(case.num_src, case.num_src, dtype=torch.float64)
    matrix = matrix.index_put((case.dst, case.src), weight, accumulate=True)
    expected = state
    for _ in range(3):
        expected = restart * state + (1 - restart) * matrix @ expected
    for method in ("dense", "frontier", "auto"):
        found = diffuse(adjacency, state, weight, steps=3, restart=restart, method=method)
        torch.testing.assert_close(found, expected)
    grouped = diffuse(adjacency, state.reshape(-1, 3, 50).transpose(0, 1), weight, steps=3, restart=restart)
    torch.testing.assert_close(grouped.transpose(0, 1).reshape(state.shape), expected)


def test_the_frontier_is_taken_where_it_stays_small(monkeypatch):
    """A ring of 1,000 nodes: three steps from one node reach four nodes, from every node all."""
    count = 1000
    adjacency = Adjacency(torch.arange(count), torch.arange(count).roll(-1), count, count)
    taken = []
    along = diffusion._along_frontier
    monkeypatch.setattr(diffusion, "_along_frontier", lambda *a: taken.append(1) or along(*a))
    few = torch.zeros(count, 5)
    few[0] = 1.0
    torch.testing.assert_close(
        diffuse(adjacency, few, steps=3, restart=0.5), diffuse(adjacency, few, steps=3, restart=0.5, method="dense")
    )
    assert len(taken) == 1
    diffuse(adjacency, torch.ones(count, 5), steps=3, restart=0.5)
    diffuse(adjacency, few, steps=600, restart=0.5)
    diffuse(adjacency, few.requires_grad_(), steps=3, restart=0.5)
    assert len(taken) == 1, "not where the state is dense, the steps reach everything, or a gradient is needed"
    with pytest.raises(ConfigError, match="no gradient"):
        diffuse(adjacency, few, steps=3, restart=0.5, method="frontier")


def test_bad_diffusions_are_refused():
    adjacency = Adjacency(torch.tensor([0]), torch.tensor([0]), 2, 2)
    with pytest.raises(ConfigError, match="unknown method 'sparse'"):
        diffuse(adjacency, torch.ones(2, 1), steps=1, restart=0.5, method="sparse")
    with pytest.raises(ConfigError, match="bad diffusion"):
        diffuse(adjacency, torch.ones(2, 1), steps=-1, restart=0.5)
    with pytest.raises(GraphIntegrityError, match="do not fit"):
        diffuse(adjacency, torch.ones(3, 1), steps=1, restart=0.5)
