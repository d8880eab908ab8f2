"""JepaDecoder: expression from latents."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.facts import JepaFacts
from gnnvcell.nn.pathway_layer import PathwayLayer


class JepaDecoder(nn.Module):
    """One hidden layer over each latent, and a readout of each gene::

        x_g = <gelu(W z_g + w), r_g> + b_g

    The readout r begins at zero: a change of latents says nothing of expression before it is learned what it says.
    Latents of pathways are first carried back to genes by a pathway layer of its own. ``begin_at`` sets b to the mean
    expression of cells, from which training need not learn it.

    Args:
        config: settings.
        facts: genes, and pathways.

    Shapes: latents (..., tokens, d); result (..., genes) log1p expression.
    """

    def __init__(self, config: JepaConfig, facts: JepaFacts) -> None:
        super().__init__()
        genes, hidden = len(facts.genes), config.decoder_dim
        self.pathways = PathwayLayer(facts.pathways) if config.pathways and facts.pathways is not None else None
        self.hidden = nn.Sequential(nn.Linear(config.width, hidden), nn.GELU())
        self.readout = nn.Parameter(torch.zeros(genes, hidden))
        self.bias = nn.Parameter(torch.zeros(genes))

    @property
    def begun(self) -> bool:
        """Whether b is something."""
        return bool(self.bias.any())

    @torch.no_grad()
    def begin_at(self, expression: Float[Tensor, "*cells genes"]) -> None:
        """Set b to the mean of cells."""
        self.bias.copy_(expression.flatten(0, -2).mean(dim=0))

    def forward(self, latents: Float[Tensor, "*cells tokens d"]) -> Float[Tensor, "*cells genes"]:
        """Decode; latents may be means over cells."""
        if self.pathways is not None:
            latents = self.pathways.back(latents)
        return torch.einsum("...gh,gh->...g", self.hidden(latents), self.readout) + self.bias
