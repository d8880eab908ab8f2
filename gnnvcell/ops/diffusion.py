"""Diffusion over one relation: a fixed number of steps with restart, of dense states or along a sparse frontier."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.rows import require_rows
from gnnvcell.ops.spmm import aggregate

METHODS = ("auto", "dense", "frontier")
_GROUP = 64  # columns that are diffused together: a group of states stays in the cache
_COLUMNS_COUNTED = 4
_FRONTIER_ADVANTAGE = 8  # dense steps handle about this many values in the time of one on the frontier


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


def diffuse(
    adjacency: Adjacency,
    state: Float[Tensor, "*groups nodes d"],
    weight: Float[Tensor, " edges"] | None = None,
    *,
    steps: int,
    restart: float,
    method: str = "auto",
) -> Float[Tensor, "*groups nodes d"]:
    """``x_0 = state``, ``x_{t+1} = restart * state + (1 - restart) * A x_t`` with ``(A x)[v] = sum_u w[uv] x[u]``.

    [Page 1999; Gasteiger et al., APPNP, ICLR 2019.] On the CPU, dense states are handled in groups of 64 columns,
    which are repacked once, not per step. Where most of the state is zero and the steps are few, only nodes that mass
    has reached are visited ("frontier"); the result is the same up to rounding. Differentiable in state and weight
    (dense).

    Args:
        adjacency: edges of a square relation.
        state: (nodes, d), or many states of one graph as (groups, nodes, d).
        weight: edge weights in edge order; 1 when left out.
        steps: number of steps, >= 0.
        restart: in [0, 1].
        method: "dense", "frontier", or "auto": the frontier where the edges out of the nodes it will hold, counted for
            four columns, are less than an eighth of the edges that dense steps read, on the CPU and without gradient.

    Raises:
        GraphIntegrityError: the relation is not square, or the state does not fit.
        ConfigError: steps, restart or method out of range, or the frontier where a gradient is needed.

    Example:
        >>> adjacency = Adjacency(torch.tensor([0, 1]), torch.tensor([1, 0]), num_src=2, num_dst=2)
        >>> diffuse(adjacency, torch.tensor([[1.0], [0.0]]), steps=1, restart=0.5)[:, 0]
        tensor([0.5000, 0.5000])
    """
    _check(adjacency, state, steps, restart, method)
    needs_grad = torch.is_grad_enabled() and (state.requires_grad or (weight is not None and weight.requires_grad))
    if method == "frontier" or (method == "auto" and not needs_grad and _frontier_pays(adjacency, state, steps)):
        if needs_grad or state.dim() != 2 or state.device.type != "cpu":
            raise ConfigError(
                "the frontier has no gradient and holds (nodes, d) states on the CPU", remedy='method="dense"'
            )
        return _along_frontier(adjacency, state, weight, steps, restart)
    if state.dim() > 2 or state.shape[1] <= 2 * _GROUP or state.device.type == "cuda":  # whose kernel cuts columns
        return _dense(adjacency, state, weight, steps, restart)
    groups = [_dense(adjacency, part.contiguous(), weight, steps, restart) for part in state.split(_GROUP, dim=1)]
    return torch.cat(groups, dim=1)


def _check(adjacency: Adjacency, state: Tensor, steps: int, restart: float, method: str) -> None:
    if adjacency.num_src != adjacency.num_dst:
        raise GraphIntegrityError(
            "diffusion needs a relation among nodes of one type",
            found=f"{adjacency.num_src} source and {adjacency.num_dst} destination nodes",
        )
    if steps < 0 or not 0 <= restart <= 1:
        raise ConfigError("bad diffusion", expected="steps >= 0, 0 <= restart <= 1", found=f"{steps}, {restart}")
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}", expected=", ".join(METHODS))
    require_rows(adjacency, state, adjacency.num_src, "source")


def _dense(adjacency: Adjacency, start: Tensor, weight: Tensor | None, steps: int, restart: float) -> Tensor:
    state = start
    for _ in range(steps):
        message = aggregate(adjacency, state, weight)
        # Written over the message, which nobody else holds; autograd keeps nothing of a sum and a scaling.
        state = message.mul_(1 - restart).add_(start, alpha=restart)
    return state


def _frontier_pays(adjacency: Adjacency, state: Tensor, steps: int) -> bool:
    if state.dim() != 2 or state.device.type != "cpu" or state.dtype not in (torch.float32, torch.float64):
        return False
    if int(torch.count_nonzero(state)) * _FRONTIER_ADVANTAGE > state.numel():
        return False
    from gnnvcell.ops.kernels.numba_frontier import frontier_edges

    # Counting costs about what diffusing costs, so a few columns speak for all.
    columns = torch.linspace(0, state.shape[1] - 1, min(state.shape[1], _COLUMNS_COUNTED)).long()
    limit = steps * adjacency.num_edges * len(columns) // _FRONTIER_ADVANTAGE
    return frontier_edges(adjacency, state[:, columns], steps, limit=limit) is not None


def _along_frontier(adjacency: Adjacency, state: Tensor, weight: Tensor | None, steps: int, restart: float) -> Tensor:
    from gnnvcell.ops.kernels.numba_frontier import diffuse_frontier

    in_rows = state.new_ones(adjacency.num_edges) if weight is None else adjacency.in_row_order(weight)
    return diffuse_frontier(adjacency, state, adjacency.transposed_weight(in_rows.to(state.dtype)), steps, restart)


def personalised_pagerank(
    adjacency: Adjacency,
    probability: Float[Tensor, " edges"],
    seeds: Int[Tensor, " seeds"],
    *,
    steps: int,
    restart: float,
    method: str = "auto",
) -> Float[Tensor, "nodes seeds"]:
    """Where a walker is that starts at a seed and returns to it with probability ``restart`` before each step.

    ``diffuse`` of one unit mass per seed, with transition probabilities as weights. Differentiable in ``probability``.

    Args:
        adjacency: edges of a square relation.
        probability: transition probability of each edge, from ``transition_weights``.
        seeds: start node of each column.
        steps: number of steps, >= 0.
        restart: in (0, 1].
        method: as of ``diffuse``.

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
    if not 0 < restart <= 1:
        raise ConfigError("bad diffusion", expected="0 < restart <= 1", found=str(restart))
    start = probability.new_zeros(adjacency.num_src, len(seeds))
    start[seeds, torch.arange(len(seeds), device=seeds.device)] = 1.0
    return diffuse(adjacency, start, probability, steps=steps, restart=restart, method=method)
