"""JepaEncoder: a cell's expression becomes latents, one for each gene or pathway."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gnnvcell.errors import ModelError
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.facts import JepaFacts
from gnnvcell.nn.expression_tokens import ExpressionTokens
from gnnvcell.nn.pathway_layer import PathwayLayer
from gnnvcell.nn.transformer import Transformer

_OWN = 0.5  # standard deviation of genes' own vectors at the start


class JepaEncoder(nn.Module):
    """What student and teacher both are::

        Z = Transformer(Pathways(ExpressionTokens(x, n, U))),    U_g = o_g + W e_g

    for the expression x and log total count n of a cell, a learned vector o_g of each gene, and its embedding e_g by
    message passing over the gene graph where ``gene_tokens`` is "graph" (none for a gene that is not in the graph). The
    pathway layer is there where ``pathways`` is set.

    Args:
        config: settings.
        facts: genes, graph and pathways.

    Shapes: expression (cells, genes) log1p; log_total (cells,); result (cells, tokens, d), tokens being genes or
        pathways.

    Attributes:
        tokens: number of latents of a cell.
    """

    def __init__(self, config: JepaConfig, facts: JepaFacts) -> None:
        super().__init__()
        width, genes = config.width, len(facts.genes)
        self.own = nn.Parameter(_OWN * torch.randn(genes, width))
        self.known = facts.of_genes(config)
        self.project = None
        if self.known is not None:
            self.project = nn.Linear(config.graph.width, width, bias=False)
            self.register_buffer("gene_rows", facts.gene_rows, persistent=False)
        self.expression = ExpressionTokens(width)
        self.pathways = PathwayLayer(_required(facts.pathways)) if config.pathways else None
        self.transformer = Transformer(config.transformer(config.layers))
        self.tokens = genes if self.pathways is None else len(self.pathways.weight)

    def gene_vectors(self) -> Float[Tensor, "genes d"]:
        """U, which gene a token is of."""
        if self.known is None or self.project is None:
            return self.own
        described, rows = self.known(), self.get_buffer("gene_rows")
        there = described.present["graph"][rows]
        return self.own + torch.where(there[:, None], self.project(described.features["graph"][rows]), 0.0)

    def forward(
        self,
        expression: Float[Tensor, "cells genes"],
        log_total: Float[Tensor, " cells"],
        hidden: Bool[Tensor, "cells genes"] | None = None,
    ) -> Float[Tensor, "cells tokens d"]:
        """Latents of cells; ``hidden`` values are not seen."""
        return self.transformer(self._read(expression, log_total, hidden))

    def attention_weights(
        self,
        expression: Float[Tensor, "cells genes"],
        log_total: Float[Tensor, " cells"],
        rows: Int[Tensor, " rows"],
        *,
        layer: int = -1,
    ) -> Float[Tensor, "cells heads rows tokens"]:
        """How much some tokens (genes, or pathways) look at each one, in one layer of the transformer."""
        return self.transformer.attention_weights(self._read(expression, log_total, None), rows, layer=layer)

    def _read(self, expression: Tensor, log_total: Tensor, hidden: Tensor | None) -> Tensor:
        """(cells, tokens, d) before the transformer."""
        if expression.shape[1] != len(self.own):
            raise ModelError(
                "the cells have other genes than the model",
                expected=f"{len(self.own)} genes",
                found=f"{expression.shape[1]}",
            )
        x = self.expression(expression, log_total, self.gene_vectors(), hidden)
        return x if self.pathways is None else self.pathways(x)


def _required(pathways: Tensor | None) -> Tensor:
    if pathways is None:
        raise ModelError("the model has a pathway layer, and there are no gene sets", remedy="give pathways")
    return pathways
