"""Diffusion of unit masses over one relation: personalised PageRank by a fixed number of steps."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.spmm import aggregate


def transition_weights(adjacency: Adjacency, weight: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
    """Probability of each edge for a walker that leaves its source node: ``w[uv] / sum over v' of w[uv']``.

    Args:
        adjacency: the edges.
        weight: edge weights in edge order, >= 0.

    Returns:
        Probabilities in edge order; the edges out of a node sum to 1 (or are all 0 where its weights are).

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 0]), torch.tensor([1, 2]), num_src=3, num_dst=3)
        >>> transition_weights(adjacency, torch.tensor([1.0, 3.0]))
        tensor([0.2500, 0.7500])
    """
    out = adjacency.transpose
    strength = aggregate(out, weight.new_ones(adjacency.num_dst, 1), weight)[:, 0]
    source = torch.empty_like(adjacency.indices)
    source[adjacency.edge_ids] = adjacency.indices
    divisor = torch.where(strength > 0, strength, torch.ones_like(strength))
    return weight / divisor[source]


def personalised_pagerank(
    adjacency: Adjacency,
    probability: Float[Tensor, " edges"],
    seeds: Int[Tensor, " seeds"],
    *,
    steps: int,
    restart: float,
) -> Float[Tensor, "nodes seeds"]:
    """Where a walker is that starts at a seed and returns to it with probability ``restart`` before each step.

    ``x_0 = e_s``, ``x_{t+1} = restart * e_s + (1 - restart) * P^T x_t`` for a fixed number of steps [Page 1999;
    Gasteiger et al., APPNP, ICLR 2019]. Differentiable in ``probability``.

    Args:
        adjacency: edges of a square relation.
        probability: transition probability of each edge, from ``transition_weights``.
        seeds: start node of each column.
        steps: number of steps, >= 0.
        restart: in (0, 1].

    Returns:
        One column per seed.

    Raises:
        GraphIntegrityError: the relation is not square.
        ConfigError: steps or restart out of range.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([1, 0]), num_src=2, num_dst=2)
        >>> personalised_pagerank(adjacency, torch.ones(2), torch.tensor([0]), steps=1, restart=0.5)[:, 0]
        tensor([0.5000, 0.5000])
    """
    if adjacency.num_src != adjacency.num_dst:
        raise GraphIntegrityError(
            "diffusion needs a relation among nodes of one type",
            found=f"{adjacency.num_src} source and {adjacency.num_dst} destination nodes",
        )
    if steps < 0 or not 0 < restart <= 1:
        raise ConfigError("bad diffusion", expected="steps >= 0, 0 < restart <= 1", found=f"{steps}, {restart}")
    start = probability.new_zeros(adjacency.num_src, len(seeds))
    start[seeds, torch.arange(len(seeds))] = 1.0
    state = start
    for _ in range(steps):
        state = (1 - restart) * aggregate(adjacency, state, probability) + restart * start
    return state
