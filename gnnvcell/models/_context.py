"""What the cell type says of a (perturbation, gene) pair: how much of the gene, and of the targets, there is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.errors import ModelError
from gnnvcell.perturbation import Perturbation


@dataclass(frozen=True, eq=False)
class ExpressionInContext:
    """Control expression as features of pairs, in standard deviations over the genes and contexts of training.

    A target that is not expressed cannot be knocked down; a gene that is not expressed cannot go down.

    Args:
        control: context to the (genes,) mean log1p expression of its control cells; empty where the table has none,
            and there are no features then.
        genes: (genes,) names.
        mean, spread: of the training expression.
    """

    control: dict[str, NDArray[np.float32]]
    genes: NDArray
    mean: float
    spread: float

    @classmethod
    def of(cls, train: EffectTable) -> "ExpressionInContext":
        """The expression that a training table comes with.

        Raises:
            ModelError: some of its contexts have control expression and others have none.
        """
        lacking = [name for name in train.context_names if name not in train.control]
        if train.control and lacking:
            raise ModelError(
                "some contexts of the training table have no control expression",
                found=", ".join(lacking),
                remedy="give it for all contexts, or for none",
            )
        values = np.concatenate(list(train.control.values())) if train.control else np.zeros(1)
        values = values[np.isfinite(values)]
        return cls(train.control, train.genes, float(values.mean()), float(values.std()) or 1.0)

    @property
    def width(self) -> int:
        """Features of a pair: (expression, known) of the gene and of the targets; 0 without expression."""
        return 4 if self.control else 0

    def everywhere(self, perturbations: Sequence[str] | NDArray, context: Context) -> Tensor:
        """(perturbations, genes, width) features in one context.

        Raises:
            ModelError: the model learned with control expression, and the context has none.
        """
        gene, target = self.parts(perturbations, context)
        shape = (len(target), len(gene), gene.shape[1])
        return torch.cat([gene[None].expand(shape), target[:, None].expand(shape)], dim=2)

    def parts(self, perturbations: Sequence[str] | NDArray, context: Context) -> tuple[Tensor, Tensor]:
        """(genes, width / 2) features of the genes and (perturbations, width / 2) of the targets in one context.

        Raises:
            ModelError: as of ``everywhere``.
        """
        if not self.control:
            return torch.zeros(len(self.genes), 0), torch.zeros(len(perturbations), 0)
        control = context.control if context.control is not None else self.control.get(context.name)
        if control is None:
            raise ModelError(
                f"the context {context.name!r} comes without the expression of its control cells",
                expected="a context with control expression, as in training",
                remedy="give its control cells, predict(..., context=cells)",
            )
        return self._features(control), self._of_targets(perturbations, control)

    def of_rows(self, table: EffectTable) -> Tensor:
        """(rows, genes, width) features of the rows of a table, each in its own context."""
        out = torch.zeros(*table.shape, self.width)
        if self.control:
            for name in table.context_names:
                rows = np.flatnonzero(table.contexts == name)
                out[torch.from_numpy(rows)] = self.everywhere(table.perturbations[rows], table.context_of(name))
        return out

    def _features(self, values: NDArray) -> Tensor:
        """(n, 2) standardised expression, 0 where it is not known, and whether it is known."""
        known = np.isfinite(values)
        scaled = np.where(known, (values - self.mean) / self.spread, 0.0)
        return torch.from_numpy(np.stack([scaled, known], axis=1).astype(np.float32))

    def _of_targets(self, perturbations: Sequence[str] | NDArray, control: NDArray) -> Tensor:
        """(perturbations, 2) mean over the targets that are among the genes."""
        place = {str(gene): at for at, gene in enumerate(self.genes)}
        values = np.full(len(perturbations), np.nan)
        for row, name in enumerate(perturbations):
            found = [control[place[t]] for t in Perturbation.parse(str(name)).targets if t in place]
            if found and np.isfinite(found).any():
                values[row] = np.nanmean(found)
        return self._features(values)
