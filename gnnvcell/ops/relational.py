"""Several relations at once: one adjacency with the relations stacked, and the ways to combine what they bring."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnvcell.errors import ConfigError, GraphIntegrityError
from gnnvcell.ops.adjacency import Adjacency
from gnnvcell.ops.spmm import aggregate

_STACKS_KEPT = 16
SIDES = ("destination", "source")


class RelationStack:
    """Edges of several relations among the same nodes, as one adjacency over (relation, node).

    With ``side="destination"``, row ``r * num_dst + v`` holds the in-edges of v in relation r: one aggregation gives
    every relation's messages apart. With ``side="source"``, source ``r * num_src + u`` is u as relation r sees it: one
    aggregation (or attention) over all in-edges of v, of features that differ by relation.

    Args:
        src: (edges,) source node.
        dst: (edges,) destination node.
        relation: (edges,) relation of each edge, in [0, num_relations).
        num_relations: number of relations.
        num_src: number of source nodes.
        num_dst: number of destination nodes.
        side: which side is stacked.

    Raises:
        ConfigError: unknown side.
        GraphIntegrityError: not one relation per edge, or one outside the range.

    Example:
        >>> stack = RelationStack(*torch.tensor([[0, 0], [1, 1], [0, 1]]), 2, num_src=2, num_dst=2)
        >>> relation_aggregate(stack, torch.tensor([[3.0], [0.0]]))[:, 1, 0].tolist()
        [3.0, 3.0]
    """

    def __init__(
        self,
        src: Int[Tensor, " edges"],
        dst: Int[Tensor, " edges"],
        relation: Int[Tensor, " as_many"],
        num_relations: int,
        *,
        num_src: int,
        num_dst: int,
        side: str = "destination",
    ) -> None:
        if side not in SIDES:
            raise ConfigError(f"unknown side {side!r}", expected=" or ".join(SIDES))
        if len(relation) != len(src):
            raise GraphIntegrityError("not one relation per edge", expected=f"{len(src)}", found=f"{len(relation)}")
        if len(relation) and not 0 <= int(relation.min()) <= int(relation.max()) < num_relations:
            raise GraphIntegrityError(
                "an edge has a relation outside the range",
                expected=f"0 to {num_relations - 1}",
                found=f"{int(relation.min())} to {int(relation.max())}",
            )
        self.num_relations, self.num_src, self.num_dst, self.side = num_relations, num_src, num_dst, side
        relation = relation.to(src.device).long()
        if side == "destination":
            self.adjacency = Adjacency(src, relation * num_dst + dst, num_src, num_relations * num_dst)
        else:
            self.adjacency = Adjacency(relation * num_src + src, dst, num_relations * num_src, num_dst)

    @classmethod
    def of(
        cls,
        graph: Any,
        relation: Int[Tensor, " edges"],
        num_relations: int,
        *,
        side: str = "destination",
        device: torch.device | None = None,
    ) -> "RelationStack":
        """The stack of a DGL graph of one edge type whose edges carry a relation; the last few are remembered.

        Args:
            graph: a DGLGraph (a block too) with one edge type.
            relation: (edges,) in the graph's edge order.
            num_relations: number of relations.
            side: which side is stacked.
            device: that of the features; the graph's own when left out.
        """
        base = Adjacency.of(graph, device=device)
        if relation.is_inference():  # nobody could tell whether it was changed
            return cls._of(base, relation, num_relations, side)
        key = (id(base), id(relation), relation._version, num_relations, side)
        found = _REMEMBERED.pop(key, None)  # and put back as the youngest
        if found is None:
            # Base and relation are kept, so that their identities are not taken by others.
            found = (cls._of(base, relation, num_relations, side), base, relation)
            for oldest in list(_REMEMBERED)[: len(_REMEMBERED) + 1 - _STACKS_KEPT]:
                _REMEMBERED.pop(oldest, None)
        _REMEMBERED[key] = found
        return found[0]

    @classmethod
    @torch.inference_mode(mode=False)
    def _of(cls, base: Adjacency, relation: Tensor, num_relations: int, side: str) -> "RelationStack":
        made = cls(
            base.indices.long(), base.rows, base.in_row_order(relation.to(base.device)), num_relations,
            num_src=base.num_src, num_dst=base.num_dst, side=side,
        )  # fmt: skip
        made.adjacency.edge_ids = base.edge_ids[made.adjacency.edge_ids]  # edge order is the graph's again
        return made


_REMEMBERED: dict[tuple, tuple[RelationStack, Adjacency, Tensor]] = {}  # oldest first


def relation_aggregate(
    stack: RelationStack, feat: Float[Tensor, "src d"], weight: Float[Tensor, " edges"] | None = None
) -> Float[Tensor, "relations dst d"]:
    """Weighted sum over the in-edges of every relation apart.

    Args:
        stack: relations stacked on the destination side.
        feat: source features.
        weight: edge weights in edge order.
    """
    _require_destination(stack)
    return aggregate(stack.adjacency, feat, weight).reshape(stack.num_relations, stack.num_dst, feat.shape[-1])


def basis_aggregate(
    stack: RelationStack,
    feat: Float[Tensor, "src d_in"],
    coefficients: Float[Tensor, "relations bases"],
    bases: Float[Tensor, "bases d_in d_out"],
    weight: Float[Tensor, " edges"] | None = None,
) -> Float[Tensor, "dst d_out"]:
    """``out[v] = sum_r sum_(u -r-> v) w[uv] * feat[u] W_r`` with ``W_r = sum_b coefficients[r, b] * bases[b]``.

    [Schlichtkrull et al., R-GCN, ESWC 2018.] Aggregate once, combine relations into bases, one product per basis:
    no ``W_r`` is ever applied edge by edge.

    Args:
        stack: relations stacked on the destination side.
        feat: source features.
        coefficients: share of each basis in each relation.
        bases: the shared matrices.
        weight: edge weights in edge order.
    """
    messages = relation_aggregate(stack, feat, weight)
    # Products written into their sums must be of one type: autocast would change that of some.
    with torch.autocast(messages.device.type, enabled=False):
        product = _BasisProduct.apply(messages, coefficients.to(messages.dtype), bases.to(messages.dtype))
    return product  # type: ignore[return-value]


class _BasisProduct(torch.autograd.Function):
    """``sum_b (sum_r coefficients[r, b] messages[r]) @ bases[b]``, whose gradient copies and zeroes nothing large."""

    @staticmethod
    def forward(ctx, messages: Tensor, coefficients: Tensor, bases: Tensor) -> Tensor:  # type: ignore[override]
        per_basis = (coefficients.T @ messages.flatten(1)).view(len(bases), *messages.shape[1:])
        ctx.save_for_backward(messages, coefficients, bases, per_basis)
        out = per_basis[0] @ bases[0]
        for message, basis in zip(per_basis[1:], bases[1:], strict=True):
            out.addmm_(message, basis)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        messages, coefficients, bases, per_basis = ctx.saved_tensors
        to_messages = to_coefficients = to_bases = None
        if ctx.needs_input_grad[2]:
            to_bases = torch.stack([message.T @ grad for message in per_basis])
        if any(ctx.needs_input_grad[:2]):
            to_basis = torch.empty_like(per_basis)
            for result, basis in zip(to_basis, bases, strict=True):
                torch.mm(grad, basis.T, out=result)
            if ctx.needs_input_grad[0]:
                to_messages = (coefficients @ to_basis.flatten(1)).view_as(messages)
            if ctx.needs_input_grad[1]:
                to_coefficients = messages.flatten(1) @ to_basis.flatten(1).T
        return to_messages, to_coefficients, to_bases


def block_aggregate(
    stack: RelationStack,
    feat: Float[Tensor, "src d_in"],
    blocks: Float[Tensor, "relations blocks d_block_in d_block_out"],
    weight: Float[Tensor, " edges"] | None = None,
) -> Float[Tensor, "dst d_out"]:
    """The same with block-diagonal ``W_r``.

    Args:
        stack: relations stacked on the destination side.
        feat: source features, ``d_in = blocks * d_block_in``.
        blocks: the diagonal blocks of every relation.
        weight: edge weights in edge order.
    """
    count, width = blocks.shape[1], blocks.shape[2]
    messages = relation_aggregate(stack, feat, weight).reshape(stack.num_relations, stack.num_dst, count, width)
    return torch.einsum("rvbi,rbio->vbo", messages, blocks).flatten(1)


def _require_destination(stack: RelationStack) -> None:
    if stack.side != "destination":
        raise ConfigError("the relations are stacked on the source side", remedy='side="destination"')
