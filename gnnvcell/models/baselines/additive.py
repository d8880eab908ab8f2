"""A combination does what its parts do alone: their sum, or the larger of them."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import MODELS, EffectModel, Prediction
from gnnvcell.models.baselines.perturbation_mean import mean_effect
from gnnvcell.perturbation import Perturbation


class AdditiveConfig(Config):
    """Settings of ``Additive`` and ``LargerSingle``.

    Args:
        missing: what stands for a target that was not measured alone: the "mean" effect of the training singles, or
            "zero".
    """

    missing: Literal["mean", "zero"] = "mean"


class _Singles:
    """Effects of single targets, mean over contexts where there are several."""

    def __init__(self, train: EffectTable, missing: str) -> None:
        targets = [Perturbation.parse(str(name)).targets for name in train.perturbations]
        alone = np.array([len(genes) == 1 for genes in targets])
        # Without a single, what is known of a target is what perturbations do on average.
        mean = mean_effect(train.take(alone) if alone.any() else train)
        rows: dict[str, list[int]] = {}
        for row in np.flatnonzero(alone).tolist():
            rows.setdefault(targets[row][0], []).append(row)
        self._effect = {gene: mean_effect(train.take(np.array(found))) for gene, found in rows.items()}
        self._otherwise = mean if missing == "mean" else np.zeros_like(mean)

    def parts(self, name: str) -> tuple[NDArray[np.float64], int]:
        """(targets, genes) effects of the parts, and how many of them were measured."""
        targets = Perturbation.parse(name).targets
        parts = [self._effect.get(gene, self._otherwise) for gene in targets]
        return np.stack(parts or [self._otherwise]), sum(gene in self._effect for gene in targets)


@MODELS.register("additive")
class Additive(EffectModel):
    """The effect of A+B is that of A plus that of B, each as measured alone: ``y[A+B] = d[A] + d[B]``.

    The baseline for combinations that deep models do not beat [Ahlmann-Eltze et al., Nat Methods 2025]. Support is the
    number of targets that were measured alone; a perturbation without one gets the mean (or no) effect.

    Example:
        >>> model = Additive(AdditiveConfig(missing="zero"))
    """

    config_class = AdditiveConfig
    config: AdditiveConfig
    kinds = ("delta",)
    uses_graph = False

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes, self._singles = train.genes, _Singles(train, self.config.missing)
        self._otherwise = self._singles._otherwise

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        parts = [self._singles.parts(str(name)) for name in names]
        rows = [effects.sum(axis=0) if known else self._otherwise for effects, known in parts]
        return _prediction(rows, [known for _, known in parts], names, self._genes)


@MODELS.register("larger_single")
class LargerSingle(EffectModel):
    """The effect of A+B is that of A or B alone, whichever is longer: ``y[A+B] = d[argmax_t |d[t]|]``.

    Hard to beat where one part of a combination does nothing, or where effects saturate.

    Example:
        >>> model = LargerSingle()
    """

    config_class = AdditiveConfig
    config: AdditiveConfig
    kinds = ("delta",)
    uses_graph = False

    def _fit(self, train: EffectTable, graph: GeneGraph, seed: int) -> None:
        self._genes, self._singles = train.genes, _Singles(train, self.config.missing)

    def _predict(self, names: NDArray, context: Context) -> Prediction:
        parts = [self._singles.parts(str(name)) for name in names]
        rows = [effects[np.linalg.norm(effects, axis=1).argmax()] for effects, _ in parts]
        return _prediction(rows, [known for _, known in parts], names, self._genes)


def _prediction(rows: list[NDArray], known: list[int], names: NDArray, genes: NDArray) -> Prediction:
    values = np.stack(rows).astype(np.float32) if rows else np.zeros((0, len(genes)), dtype=np.float32)
    return Prediction(values, names, genes, np.array(known, dtype=np.float32))
