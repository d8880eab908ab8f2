"""Calibration: intervals that hold the truth as often as they say, whatever the model, from its errors elsewhere."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.models.base import Prediction
from gnnvcell.models.model_folder import ModelFormat, read_head, read_tensors, write_model, write_tensors
from gnnvcell.models.uncertainty.error_scale import ErrorScale
from gnnvcell.models.uncertainty.residuals import Residuals

Over = Literal["gene", "pairs", "perturbation"]

FORMAT = ModelFormat("gnnvcell-calibration", 1, "gnnvcell.models.calibrate(model, truth).calibration.save(FOLDER)")
_RESIDUALS = "residuals.safetensors"
_GENES_AT_ONCE = 2048
_ROUNDING = 1e-9  # 0.9 / (1 - 0.9) is a little more than 9 in floating point


class ConformalConfig(Config):
    """Settings of a calibration.

    Args:
        over: what an interval of level L promises of a new perturbation. "gene": of each gene, that its interval holds
            the truth with probability L. "pairs": of a gene drawn at random. "perturbation": that the intervals of all
            its genes hold the truth at once, with probability L.
        use_spread: whether the model's own spread, where it states one, says which predictions are less certain.
        support_edges: inner edges of strata of graph support that are calibrated apart, so that the promise holds in
            each (Mondrian); none by default: on simulated screens coverage does not depend on support.
        prior_count: measurements after which a gene's own residuals weigh as much as those of all genes in its scale.
    """

    over: Over = "gene"
    use_spread: bool = True
    support_edges: tuple[float, ...] = ()
    prior_count: float = Field(default=3.0, gt=0)


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of predicted effects.

    Args:
        lower, upper: (perturbations, genes) float32; infinite for a gene that was measured in too few calibration
            perturbations for the level.
        level: probability that they hold the truth.
        perturbations: (perturbations,) names.
        genes: (genes,) names.
        context: cell type.
    """

    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    level: float
    perturbations: NDArray
    genes: NDArray
    context: str = ""


class Calibration:
    """Split-conformal prediction of effects [Vovk et al. 2005; Lei et al., JASA 2018], by perturbation.

    With residuals e of K perturbations that the model has not seen, and sigma their expected size (``ErrorScale``, each
    without its own perturbation), scores are ``|e| / sigma``, and the interval of a new prediction is
    ``y[p, g] +- q sigma[p, g]``. q is the smallest score that ``level`` of the mass lies at or below, where every
    perturbation has the mass 1 / (K + 1), shared out among its scores, and 1 / (K + 1) lies at infinity, for the new
    one [Lee, Barber & Willett 2023]. Taken over the scores of a gene this is the classical rule, the
    ``ceil((K + 1) level)``-th smallest; over all pairs it allows for the genes of a perturbation erring together, and
    is on the safe side by up to 1 / (K + 1); over perturbations the score is the largest of a perturbation's genes.

    It holds on average over draws of perturbations that are as likely to be new as to be calibrated on. Targets of a
    perturbation that its table marks as not measured have no part in it, and their intervals no promise.

    Args:
        residuals: of held-out perturbations.
        config: settings.

    Raises:
        ModelError: as of ``ErrorScale.fit``; of the methods, too few perturbations for the level (with how many are
            needed), or a prediction of other genes or without the spread of the model that was calibrated.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> names, genes = np.array([f"P{i}" for i in range(19)]), np.array(["A", "B"])
        >>> held_out = Residuals(rng.normal(size=(19, 2)).astype(np.float32), names, genes, np.ones(19, np.float32))
        >>> new = Prediction(np.zeros((1, 2), np.float32), names[:1], genes, np.ones(1, np.float32))
        >>> Calibration(held_out).intervals(new, 0.9).upper.shape
        (1, 2)
    """

    def __init__(self, residuals: Residuals, config: ConformalConfig | None = None) -> None:
        self.config = config or ConformalConfig()
        self.residuals = residuals
        self.scale, self._own_scale = ErrorScale.fit(
            residuals, prior_count=self.config.prior_count, use_spread=self.config.use_spread
        )
        self._code, self.perturbations = pd.factorize(residuals.perturbations)

    def __repr__(self) -> str:
        return f"Calibration({len(self.perturbations)} perturbations, {len(self.residuals.genes)} genes)"

    def spread(self, prediction: Prediction) -> NDArray[np.float32]:
        """(perturbations, genes) standard deviation of the error of a prediction."""
        self._require_genes(prediction)
        return self.scale.of(len(prediction.perturbations), prediction.spread)

    def intervals(self, prediction: Prediction, level: float = 0.9, *, over: Over | None = None) -> Intervals:
        """Intervals of a prediction.

        Args:
            prediction: of the model whose residuals were calibrated.
            level: probability that an interval holds the truth.
            over: as of ``ConformalConfig``, whose value it is when left out.
        """
        over = over or self.config.over
        scores = np.abs(self.residuals.error) / self._own_scale
        wide = self.spread(prediction) * self._quantiles(prediction, scores, level, over)
        return Intervals(
            (prediction.values - wide).astype(np.float32, copy=False),
            (prediction.values + wide).astype(np.float32, copy=False),
            level,
            prediction.perturbations,
            prediction.genes,
            prediction.context,
        )

    def error_bound(self, prediction: Prediction, level: float = 0.9) -> NDArray[np.float32]:
        """(perturbations,) what the root mean squared error over genes stays below, with that probability."""
        measured = np.isfinite(self.residuals.error)
        size = _root_mean(self.residuals.error.astype(np.float64) ** 2, measured)
        expected = _root_mean(self._own_scale**2, measured)
        own = np.sqrt(np.mean(self.spread(prediction) ** 2, axis=1, dtype=np.float64))
        found = self._quantiles(prediction, (size / expected)[:, None], level, "perturbation")
        return (own * found[:, 0]).astype(np.float32)

    def _quantiles(self, prediction: Prediction, scores: NDArray, level: float, over: Over) -> NDArray[np.float32]:
        """(perturbations, genes or 1) the quantile that belongs to each prediction."""
        _require_level(level)
        edges = np.asarray(self.config.support_edges, dtype=np.float64)
        stratum, new = (np.searchsorted(edges, s, side="right") for s in (self.residuals.support, prediction.support))
        found = {
            int(one): self._quantile(scores, stratum == one, level, over, int(one)).astype(np.float32)
            for one in np.unique(new)
        }
        if len(found) == 1:  # as usual; a genome of predictions is not to be held once more
            return np.broadcast_to(next(iter(found.values())), (len(new), scores.shape[1] if over == "gene" else 1))
        return np.stack([found[int(one)] for one in new]) if found else np.zeros((0, 1), np.float32)

    def _quantile(
        self, scores: NDArray, rows: NDArray[np.bool_], level: float, over: Over, stratum: int
    ) -> NDArray[np.float64]:
        found, code = scores[rows], self._code[rows]
        have, need = len(np.unique(code[np.isfinite(found).any(axis=1)])), perturbations_needed(level)
        if have < need:
            where = f" in the stratum of support {self._stratum_name(stratum)}" if self.config.support_edges else ""
            raise ModelError(
                f"too few calibration perturbations for intervals of level {level:g}{where}",
                expected=f"at least {need}",
                found=str(have),
                remedy=f"calibrate on more perturbations, or ask for a level of at most {have / (have + 1):.2f}",
            )
        if over == "perturbation":
            found = np.fmax.reduce(found, axis=1, keepdims=True)
        elif over == "pairs":
            code, found = np.repeat(code, found.shape[1]), found.reshape(-1, 1)
        return grouped_quantile(found, code, level)

    def _stratum_name(self, stratum: int) -> str:
        edges = [-math.inf, *self.config.support_edges, math.inf]
        return f"{edges[stratum]:g} to {edges[stratum + 1]:g}"

    def _require_genes(self, prediction: Prediction) -> None:
        if not np.array_equal(prediction.genes, self.residuals.genes):
            raise ModelError(
                "the prediction is of other genes than the calibration",
                expected=f"the {len(self.residuals.genes)} genes that were calibrated, in their order",
                found=f"{len(prediction.genes)} genes",
                remedy="calibrate the model that predicts",
            )

    def save(self, path: str | Path) -> Path:
        """Write a folder; errors as of ``write_model``."""
        own = self.residuals
        head = {
            "config": self.config.model_dump(mode="json"),
            "perturbations": own.perturbations.tolist(),
            "genes": own.genes.tolist(),
        }
        tensors = {"error": own.error, "support": own.support}
        if own.spread is not None:
            tensors["spread"] = own.spread
        return write_model(path, FORMAT, head, lambda folder: write_tensors(folder / _RESIDUALS, tensors))

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read what ``save`` wrote; errors as of ``read_head``."""
        folder, head = read_head(path, FORMAT)
        arrays = {name: tensor.numpy() for name, tensor in read_tensors(folder / _RESIDUALS).items()}
        names, genes = (np.array(head[part], dtype=str) for part in ("perturbations", "genes"))
        residuals = Residuals(arrays["error"], names, genes, arrays["support"], arrays.get("spread"))
        return cls(residuals, ConformalConfig.parse(head["config"], where=str(folder)))


def perturbations_needed(level: float) -> int:
    """Fewest calibration perturbations for intervals of a level: ``level / (1 - level)``, rounded up.

    Raises:
        ConfigError: the level is not between 0 and 1.

    Example:
        >>> perturbations_needed(0.9), perturbations_needed(0.95)
        (9, 19)
    """
    _require_level(level)
    return math.ceil(level / (1 - level) - _ROUNDING)


def grouped_quantile(scores: NDArray, group: NDArray, level: float) -> NDArray[np.float64]:
    """Quantile of scores that come in groups, with a share of the mass at infinity for a group yet to come.

    Args:
        scores: (n, columns), NaN where there is none.
        group: (n,) code of each row's group.
        level: mass at or below the quantile, in (0, 1).

    Returns:
        (columns,): smallest score q with ``sum_k 1 / ((K + 1) n_k) #{scores of group k <= q} >= level``, K the groups
        with n_k > 0 scores in the column; infinite where there are too few groups.
    """
    codes, groups = pd.factorize(group)
    blocks = []
    for start in range(0, scores.shape[1], _GENES_AT_ONCE):
        block = scores[:, start : start + _GENES_AT_ONCE]
        present = np.isfinite(block)
        count = np.zeros((len(groups), block.shape[1]))
        np.add.at(count, codes, present)
        known = (count > 0).sum(axis=0)
        mass = present / (np.maximum(count, 1)[codes] * (known + 1))
        values = np.where(present, block, np.inf)
        order = np.argsort(values, axis=0, kind="stable")
        reached = np.cumsum(np.take_along_axis(mass, order, axis=0), axis=0) >= level - _ROUNDING
        first = np.take_along_axis(np.take_along_axis(values, order, axis=0), reached.argmax(axis=0)[None], axis=0)[0]
        blocks.append(np.where(reached.any(axis=0), first, np.inf))
    return np.concatenate(blocks)


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"no interval has the level {level:g}", expected="a share between 0 and 1, such as 0.9")


def _root_mean(squares: NDArray, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(rows,) root of the mean over what is inside; NaN where nothing is."""
    count = inside.sum(axis=1)
    total = np.where(inside, squares, 0.0).sum(axis=1)
    return np.sqrt(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
