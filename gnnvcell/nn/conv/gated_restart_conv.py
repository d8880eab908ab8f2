"""GatedRestartConv: one step of message passing over several relations with node-wise gates and a restart."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError
from gnnvcell.ops import Adjacency, aggregate

_NO_MESSAGE = -1e9  # gate logit of a relation in which a node has no in-edge


class GatedRestartConv(nn.Module):
    """Personalised-PageRank-style propagation in which every node weighs its relations [APPNP, ICLR 2019; gates new].

    ``m_rv = sum over paths u -> v of P_r[u, v] h_u``
    ``g_v = softmax over relations r that reach v of (a_r . m_rv + b_r)``
    ``h'_v = restart * x_v + (1 - restart) * sum_r g_rv m_rv``

    ``P_r`` is the product of one or more adjacencies (gene -> term -> gene has two), each weighted edge by edge; with
    weights that sum to 1 over the in-edges of a node, messages are averages. A node that no relation reaches keeps
    ``restart * x_v``.

    Args:
        in_feats: width of the node features.
        num_relations: number of relations.
        restart: share of the input features in every step, in [0, 1].

    Shapes: x, h (nodes, in_feats); result (nodes, in_feats).

    Raises:
        ConfigError: restart out of range, or another number of relations on the call.

    Example:
        >>> conv = GatedRestartConv(2, num_relations=1, restart=0.5)
        >>> edge = Adjacency(torch.tensor([0]), torch.tensor([1]), num_src=2, num_dst=2)
        >>> x = torch.eye(2)
        >>> conv([[edge]], [[torch.ones(1)]], x, x).tolist()
        [[0.5, 0.0], [0.5, 0.5]]
    """

    def __init__(self, in_feats: int, num_relations: int, *, restart: float) -> None:
        super().__init__()
        if not 0 <= restart <= 1:
            raise ConfigError("restart is out of range", expected="0 to 1", found=str(restart))
        self.restart = restart
        self.gate = nn.Parameter(torch.zeros(num_relations, in_feats))
        self.gate_bias = nn.Parameter(torch.zeros(num_relations))

    def forward(
        self,
        paths: Sequence[Sequence[Adjacency]],
        weights: Sequence[Sequence[Tensor]],
        x: Float[Tensor, "nodes d"],
        h: Float[Tensor, "nodes d"],
    ) -> Float[Tensor, "nodes d"]:
        """One step.

        Args:
            paths: per relation the adjacencies that a message crosses, in order.
            weights: the (edges,) weights of each, in edge order.
            x: input features, to which every step restarts.
            h: current state.
        """
        if len(paths) != len(self.gate_bias):
            raise ConfigError(f"{len(paths)} relations were given to a layer of {len(self.gate_bias)}")
        messages, reached = [], []
        for hops, hop_weights in zip(paths, weights, strict=True):
            message = h
            for adjacency, weight in zip(hops, hop_weights, strict=True):
                message = aggregate(adjacency, message, weight)
            messages.append(message)
            reached.append(hops[-1].in_degrees > 0)
        stacked = torch.stack(messages, dim=1)
        logits = (stacked * self.gate).sum(dim=2) + self.gate_bias
        logits = logits.masked_fill(~torch.stack(reached, dim=1), _NO_MESSAGE)
        mixed = (logits.softmax(dim=1)[:, :, None] * stacked).sum(dim=1)
        return self.restart * x + (1 - self.restart) * mixed
