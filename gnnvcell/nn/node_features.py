"""NodeFeatures: what a node brings to the first layer, measured where there is something, learned where not."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnnvcell.errors import GraphIntegrityError


class NodeFeatures(nn.Module):
    """Projects given features and learns a vector for every node that has none.

    ``h_n = LayerNorm(W x_n + b)`` where the features x_n of node n are present, ``h_n = e_n`` (learned) where not.
    Given features are no parameters: they move with the module, and are not in its state.

    Args:
        num_nodes: number of nodes.
        out_feats: width d of the result.
        features: (num_nodes, width) such as ESM embeddings; none when left out, and every vector is learned.
        present: (num_nodes,) which rows of ``features`` hold something; all when left out.

    Shapes: result (num_nodes, d), or (nodes, d) for some nodes.

    Raises:
        GraphIntegrityError: features of another number of nodes, or values that are not numbers where present.

    Example:
        >>> table = NodeFeatures(3, 4, features=torch.ones(3, 2), present=torch.tensor([True, True, False]))
        >>> table().shape, table.learned.shape
        (torch.Size([3, 4]), torch.Size([1, 4]))
    """

    features: Tensor
    place: Tensor

    def __init__(
        self,
        num_nodes: int,
        out_feats: int,
        *,
        features: Float[Tensor, "nodes width"] | None = None,
        present: Bool[Tensor, " nodes"] | None = None,
    ) -> None:
        super().__init__()
        given = torch.zeros(num_nodes, 0) if features is None else features.detach().float()
        has = torch.full((len(given),), features is not None) if present is None else present
        if len(given) != num_nodes or len(has) != num_nodes:
            raise GraphIntegrityError(
                "node features do not fit the graph",
                expected=f"{num_nodes} nodes",
                found=f"{len(given)} rows, {len(has)} of them marked as present or missing",
            )
        if not bool(torch.isfinite(given[has]).all()):
            raise GraphIntegrityError(
                "node features are not finite where they are said to be present",
                found=f"{int((~torch.isfinite(given[has])).any(dim=1).sum())} nodes",
                remedy="mark these nodes as missing: present=torch.isfinite(features).all(dim=1)",
            )
        self.register_buffer("features", torch.where(has[:, None], given, 0.0), persistent=False)
        # A present node's place is -1, a missing node's the row of its learned vector.
        self.register_buffer("place", torch.where(has, -1, (~has).cumsum(0) - 1), persistent=False)
        self.learned = nn.Parameter(torch.empty(int((~has).sum()), out_feats).normal_(std=out_feats**-0.5))
        width = given.shape[1]
        self.project = nn.Sequential(nn.Linear(width, out_feats), nn.LayerNorm(out_feats)) if width else None

    def forward(self, nodes: Tensor | None = None) -> Float[Tensor, "nodes d"]:
        """Vectors of some nodes, by default of all."""
        place = self.place if nodes is None else self.place[nodes]
        if self.project is None:
            return self.learned[place]
        given = self.project(self.features if nodes is None else self.features[nodes])
        if len(self.learned) == 0:
            return given
        missing = (place >= 0).unsqueeze(1)
        return torch.where(missing, self.learned[place.clamp_min(0)].to(given.dtype), given)
