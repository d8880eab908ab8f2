"""The shape of a contest, and random cells of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

BATCHES = 10


@dataclass(frozen=True)
class Shape:
    """Args:
    hidden: width of states; feed-forward layers are 4 times as wide.
    layers, heads: of the transformer.
    set_size: cells in a set.
    genes: in and out.
    sets: in a batch.
    perturbations: known ones.
    """

    hidden: int
    layers: int
    heads: int
    set_size: int
    genes: int
    sets: int
    perturbations: int = 100

    def cells(self, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Control and perturbed sets (sets, set_size, genes), perturbation and batch (sets,)."""
        generator = torch.Generator().manual_seed(seed)
        size = (self.sets, self.set_size, self.genes)
        control, perturbed = (torch.rand(size, generator=generator) for _ in range(2))
        perturbation = torch.randint(self.perturbations, (self.sets,), generator=generator)
        return control, perturbed, perturbation, torch.randint(BATCHES, (self.sets,), generator=generator)
