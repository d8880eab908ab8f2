"""NamedGeneDecoder: a state read out at genes by what is known of them, not by their number."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class NamedGeneDecoder(nn.Module):
    """The weights of a linear layer, made from what is known of each gene::

        x_g = <h, W u_g> + v . u_g

    for a state h and the features u_g of gene g, such as its embedding by a graph encoder; genes without features have
    a learned u_g. W and v begin at zero, so that the first prediction is zero.

    Args:
        in_feats: width of a state.
        gene_feats: width of a gene's features.
        rows: (genes,) row of each gene among the features, -1 where it has none.

    Shapes: state (..., in_feats); features (rows, gene_feats); result (..., genes).

    Example:
        >>> decoder = NamedGeneDecoder(8, 4, torch.tensor([2, -1, 0]))
        >>> decoder(torch.rand(2, 5, 8), torch.rand(3, 4)).shape
        torch.Size([2, 5, 3])
    """

    rows: Tensor
    own: Tensor

    def __init__(self, in_feats: int, gene_feats: int, rows: Int[Tensor, " genes"]) -> None:
        super().__init__()
        absent = rows < 0
        self.register_buffer("rows", rows.clamp_min(0), persistent=False)
        # A gene with features is at -1, another at the row of its learned vector.
        self.register_buffer("own", torch.where(absent, absent.cumsum(0) - 1, -1), persistent=False)
        self.learned = nn.Parameter(torch.randn(int(absent.sum()), gene_feats)) if bool(absent.any()) else None
        self.weight = nn.Linear(gene_feats, in_feats, bias=False)
        self.bias = nn.Linear(gene_feats, 1, bias=False)
        nn.init.zeros_(self.weight.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(
        self, state: Float[Tensor, "... in_feats"], features: Float[Tensor, "rows gene_feats"]
    ) -> Float[Tensor, "... genes"]:
        """Decode; the weights are made once for all states."""
        vectors = features[self.rows]
        if self.learned is not None:
            vectors = torch.where((self.own < 0)[:, None], vectors, self.learned[self.own.clamp_min(0)])
        return F.linear(state, self.weight(vectors), self.bias(vectors)[:, 0])
