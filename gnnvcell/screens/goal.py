"""Goal: the change of expression that a screen looks for, from two cell states, a signature or a measured effect."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import digest_of
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import DataError, did_you_mean
from gnnvcell.models.state_embedding.expressed_cells import CellSource
from gnnvcell.screens.states import difference, group_states, shared_states, state_of

Weighting = Literal["none", "reliability"]


@dataclass(frozen=True, eq=False)
class Goal:
    """A wanted change of expression, gene by gene.

    Args:
        genes: (genes,) names, each once.
        change: (genes,) float64 wanted change of mean log1p expression (natural log units), or +1 and -1.
        weight: (genes,) float64 >= 0, how much each gene counts.
        name: what it is, for tables and pictures.
        sized: whether the change has a size; False for a signature, whose genes have only a sign.

    Raises:
        DataError: no gene, names that repeat, values that are not finite, negative weights, or no wanted change at all.

    Example:
        >>> goal = Goal.of_signature(up=["CDKN1A", "MDM2"], down=["MYC"])
        >>> goal.change.tolist()
        [1.0, 1.0, -1.0]
    """

    genes: NDArray
    change: NDArray[np.float64]
    weight: NDArray[np.float64]
    name: str = "goal"
    sized: bool = True

    def __post_init__(self) -> None:
        for field in ("change", "weight"):
            object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=np.float64))
        object.__setattr__(self, "genes", np.asarray(self.genes, dtype=str))
        if not self.genes.shape == self.change.shape == self.weight.shape or self.genes.ndim != 1:
            raise DataError(
                "a goal's parts have different lengths",
                found=f"{self.genes.shape} genes, {self.change.shape} changes, {self.weight.shape} weights",
            )
        unique, counts = np.unique(self.genes, return_counts=True)
        if len(unique) < len(self.genes):
            raise DataError("a gene of the goal is there twice", found=str(unique[counts > 1][0]))
        if not (np.isfinite(self.change).all() and np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            raise DataError("a goal needs finite changes, and finite weights >= 0", found=repr(self.name))
        if not (self.change * self.weight).any():
            raise DataError(
                f"the goal {self.name!r} wants no change",
                found=f"{len(self.genes)} genes, all of change or weight 0",
                remedy="are source and goal the same cells?",
            )

    def __repr__(self) -> str:
        wanted = int(((self.change != 0) & (self.weight > 0)).sum())
        return f"Goal({self.name!r}, {len(self.genes):,} genes, {wanted:,} of them to change)"

    def digest(self) -> str:
        """Hex SHA-256 of the content."""
        return digest_of([self.genes.tolist(), self.change.tolist(), self.weight.tolist(), self.sized])

    def without(self, genes: Iterable[str]) -> "Goal":
        """The goal less some genes, such as one that was knocked down to make it.

        Raises:
            DataError: nothing is left to want.
        """
        left = ~np.isin(self.genes, list(genes))
        return replace(self, genes=self.genes[left], change=self.change[left], weight=self.weight[left])

    @classmethod
    def of_means(
        cls,
        genes: Sequence[str] | NDArray,
        source: NDArray,
        goal: NDArray,
        *,
        weight: NDArray | None = None,
        name: str = "goal",
    ) -> "Goal":
        """From the mean log1p expression of two states.

        Args:
            genes: (genes,) names.
            source, goal: (genes,) mean log1p expression, scaled as the model's training cells.
            weight: (genes,) >= 0; 1 when left out.
            name: of the goal.

        Raises:
            DataError: see the class.
        """
        change = np.asarray(goal, dtype=np.float64) - np.asarray(source, dtype=np.float64)
        return cls(np.asarray(genes), change, np.ones(len(change)) if weight is None else weight, name)

    @classmethod
    def of_signature(cls, up: Iterable[str], down: Iterable[str] = (), *, name: str = "signature") -> "Goal":
        """Genes that shall go up and genes that shall go down, all of the same weight.

        Raises:
            DataError: no gene, or a gene on both sides.
        """
        rising, falling = list(dict.fromkeys(up)), list(dict.fromkeys(down))
        both = sorted(set(rising) & set(falling))
        if both:
            raise DataError(f"{both[0]!r} shall go up and down", remedy="take it out of one of the lists")
        if not rising and not falling:
            raise DataError("the signature is empty", expected="genes that shall go up, down, or both")
        change = np.repeat([1.0, -1.0], [len(rising), len(falling)])
        return cls(np.array([*rising, *falling]), change, np.ones(len(change)), name, sized=False)

    @classmethod
    def of_groups(
        cls,
        cells: CellSource,
        column: str,
        source: str,
        goal: str,
        *,
        within: str | None = None,
        weighting: Weighting = "none",
        layer: str | None = None,
        progress: bool = False,
    ) -> "Goal":
        """From two groups of cells of one file, such as diseased and healthy ones.

        ``change_g = sum_s n_s / n * (mean of the goal's cells in stratum s - mean of the source's)`` of log1p of counts
        per 10,000, with n_s the goal's cells in s.

        Args:
            cells: a file (.h5ad, .zarr), an AnnData or ``Cells``; counts or log1p.
            column: obs column of the groups.
            source, goal: labels in it.
            within: obs column of batches or donors, within which the groups are compared; everywhere when left out.
            weighting: "none", or "reliability": ``max(0, 1 - se_g^2 / change_g^2)``, the share of the squared change
                that its standard error does not explain; it leaves out genes that differ by chance.
            layer: layer with the values; X when left out.
            progress: a bar on stderr.

        Raises:
            DataError: no such column, no cell of a group, a stratum of the goal without source cells, or values that
                are neither counts nor log1p.
        """
        states = group_states(cells, column, (source, goal), within=within, layer=layer, progress=progress)
        return cls._of_states(states, weighting, f"{source} -> {goal}")

    @classmethod
    def of_cells(
        cls,
        source: CellSource,
        goal: CellSource,
        *,
        weighting: Weighting = "none",
        name: str = "source -> goal",
        progress: bool = False,
    ) -> "Goal":
        """From all cells of two files or AnnDatas; genes are those that both have, by name.

        Raises:
            DataError: they share no gene, or their values are neither counts nor log1p.
        """
        states = shared_states(state_of(source, progress=progress), state_of(goal, progress=progress))
        return cls._of_states(states, weighting, name)

    @classmethod
    def _of_states(cls, states: tuple, weighting: Weighting, name: str) -> "Goal":
        genes, change, error = difference(*states)
        weight = np.ones(len(change))
        if weighting == "reliability":
            share = np.divide(error**2, change**2, out=np.full(len(change), np.inf), where=change != 0)
            weight = np.maximum(0.0, 1.0 - share)
        return cls(genes, change, weight, name)

    @classmethod
    def of_effect(cls, table: EffectTable, perturbation: str, *, context: str | None = None) -> "Goal":
        """The measured effect of a perturbation: the question that a screen should answer by its name.

        What was not measured is left out, and with it (as ``cell_effects`` has it) the perturbed genes themselves.

        Args:
            table: of kind "delta".
            perturbation: one of its rows.
            context: of the row, where the perturbation was measured in several.

        Raises:
            DataError: labels in place of deltas, or not exactly one such row.
        """
        if table.kind != "delta":
            raise DataError("a goal is made of deltas", expected="kind 'delta'", found=table.kind)
        rows = np.flatnonzero((table.perturbations == perturbation) & (context is None or table.contexts == context))
        if len(rows) != 1:
            raise DataError(
                f"{len(rows)} rows of the table are {perturbation!r}" + (f" in {context!r}" if context else ""),
                expected="one",
                remedy="name its context" if len(rows) else did_you_mean(perturbation, table.perturbations),
            )
        seen = table.measured[rows[0]]
        change = table.values[rows[0], seen].astype(np.float64)
        return cls(table.genes[seen], change, np.ones(len(change)), f"effect of {perturbation}")
