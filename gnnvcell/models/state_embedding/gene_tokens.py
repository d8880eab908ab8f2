"""GeneTokens: what a gene is to the transformer, from its protein and its place in the gene graph."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gnnvcell.errors import ModelError


class GeneTokens(nn.Module):
    """Gene tokens of the state embedding model (Adduri et al. 2025), with the gene graph in them.

    ``t_g = sqrt(d) SiLU(LayerNorm(b + W_esm x_g + W_graph z_g))``

    with the ESM features x of a gene and its graph embedding z: one linear layer of the concatenation [x ; z], held in
    two blocks. A gene without ESM features has a learned vector u_g in the place of ``W_esm x_g``. Without any source,
    all that is normalised is learned.

    Args:
        genes: number of genes.
        width: d.
        esm: (genes, esm_width) features; anything finite where not present.
        esm_present: (genes,) which genes have ESM features; all when left out.
        graph_width: width of graph embeddings; None without.

    Shapes: result (n, d) of n genes.

    Raises:
        ModelError: features of another number of genes, or that are not finite.

    Example:
        >>> tokens = GeneTokens(3, 8, esm=torch.rand(3, 5), esm_present=torch.tensor([True, True, False]))
        >>> tokens(torch.tensor([0, 2])).shape, tokens.without_esm
        (torch.Size([2, 8]), 1)
    """

    esm: Tensor | None
    place: Tensor

    def __init__(
        self,
        genes: int,
        width: int,
        *,
        esm: Float[Tensor, "genes esm_width"] | None = None,
        esm_present: Bool[Tensor, " genes"] | None = None,
        graph_width: int | None = None,
    ) -> None:
        super().__init__()
        total = (0 if esm is None else esm.shape[1]) + (graph_width or 0)
        has = torch.full((genes,), bool(total)) if esm_present is None else esm_present
        _require_fitting(genes, esm, has)
        # The features are no part of the state: they move with the module, and are saved beside the weights.
        self.register_buffer("esm", None if esm is None else esm.detach().float(), persistent=False)
        # -1 for a gene that needs no learned vector, else the row of its vector.
        self.register_buffer("place", torch.where(has, -1, (~has).cumsum(0) - 1), persistent=False)
        self.learned = nn.Parameter(torch.randn(int((~has).sum()), width)) if not has.all() else None
        self.esm_weight = None if esm is None else _block(width, esm.shape[1], total)
        self.graph_weight = None if graph_width is None else _block(width, graph_width, total)
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.scale = width**0.5

    @property
    def without_esm(self) -> int:
        """Number of genes without ESM features, where these are a source."""
        return 0 if self.esm_weight is None or self.learned is None else len(self.learned)

    def forward(
        self,
        rows: Int[Tensor, " n"],
        graph: Float[Tensor, "n graph_width"] | None = None,
        esm: Float[Tensor, "n esm_width"] | None = None,
    ) -> Float[Tensor, "n d"]:
        """Tokens of some genes.

        Args:
            rows: which genes.
            graph: their graph embeddings, where the tokens have that source.
            esm: ESM features that these genes have instead of the table's.
        """
        if esm is not None:
            return self.of_features(esm, graph)
        total = self.bias.expand(len(rows), -1)
        if self.esm_weight is not None and self.esm is not None:
            total = total + self.esm[rows] @ self.esm_weight.t()
        if self.learned is not None:
            place = self.place[rows]
            own = self.learned[place.clamp_min(0)].to(total.dtype)
            total = torch.where((place >= 0)[:, None], self.bias + own, total)
        return self._finished(total, graph)

    def of_features(
        self, esm: Float[Tensor, "*n esm_width"], graph: Float[Tensor, "*n graph_width"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """Tokens of proteins that are given by their features; what is not given of the graph adds nothing.

        Raises:
            ModelError: the tokens are not made of ESM features, or of features of another width.
        """
        if self.esm_weight is None or esm.shape[-1] != self.esm_weight.shape[1]:
            expected = "none" if self.esm_weight is None else f"width {self.esm_weight.shape[1]}"
            raise ModelError("these are not the model's ESM features", expected=expected, found=f"{esm.shape[-1]}")
        return self._finished(esm @ self.esm_weight.t() + self.bias, graph)

    def _finished(self, total: Tensor, graph: Tensor | None) -> Tensor:
        if graph is not None and self.graph_weight is not None:
            total = total + graph @ self.graph_weight.t()
        return F.silu(self.norm(total)) * self.scale


def _block(width: int, in_feats: int, total: int) -> nn.Parameter:
    """A block of a linear layer of ``total`` inputs, as such a layer starts."""
    return nn.Parameter(torch.empty(width, in_feats).uniform_(-(total**-0.5), total**-0.5))


def _require_fitting(genes: int, esm: Tensor | None, has: Tensor) -> None:
    if len(has) != genes or (esm is not None and len(esm) != genes):
        found = "" if esm is None else f", {len(esm):,} rows"
        raise ModelError(
            "ESM features do not fit the genes", expected=f"{genes:,} genes", found=f"{len(has):,} marks{found}"
        )
    if esm is not None and not bool(torch.isfinite(esm).all()):
        raise ModelError("ESM features are not finite", remedy="mark those genes as missing, with zeros in their rows")
