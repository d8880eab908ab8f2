"""PredictedEffects: predictions with their intervals, where the graph has support for them, and into a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.files import atomic_folder, atomic_path
from gnnvcell.models.base import EffectPredictor, Prediction
from gnnvcell.models.uncertainty.calibrated import CalibratedModel
from gnnvcell.models.uncertainty.conformal import Calibration

FORMATS = (".h5ad", ".zarr", ".csv")


def abstained(support: NDArray, min_support: float) -> NDArray[np.bool_]:
    """(perturbations,) whether a prediction is better not made: its support in the graph is below a threshold.

    Args:
        support: (perturbations,) evidence, as ``Prediction.support``. Models have units of their own; 0 says that
            nothing measured is near in the graph.
        min_support: what is needed.

    Example:
        >>> abstained(np.array([0.0, 3.0]), 1.0).tolist()
        [True, False]
    """
    return np.asarray(support) < min_support


@dataclass(frozen=True, eq=False)
class PredictedEffects:
    """Predicted effects in one or more cell types, a row for each perturbation in each; made by ``predicted_effects``.

    Args:
        values: (rows, genes) float32, change of mean log1p expression; NaN in rows that are abstained from.
        perturbations: (rows,) names.
        contexts: (rows,) cell types.
        genes: (genes,) names.
        support: (rows,) float32.
        abstained: (rows,) bool.
        notes: what goes into ``uns``: kind of effect, least support, and the intervals' level.
        spread: (rows, genes) float32, standard deviation of the error, None where the model does not know it.
        lower, upper: (rows, genes) float32, ends of the intervals; None without.
        error_bound: (rows,) float32, what the root mean squared error over genes stays below, with the same level.
    """

    values: NDArray[np.float32]
    perturbations: NDArray
    contexts: NDArray
    genes: NDArray
    support: NDArray[np.float32]
    abstained: NDArray[np.bool_]
    notes: Mapping[str, Any]
    spread: NDArray[np.float32] | None = None
    lower: NDArray[np.float32] | None = None
    upper: NDArray[np.float32] | None = None
    error_bound: NDArray[np.float32] | None = None

    def to_anndata(self) -> ad.AnnData:
        """AnnData: X the values, layers ``spread``, ``lower`` and ``upper``, obs perturbation, context, support,
        abstained and error_bound, as far as they are known. ``EffectTable.from_anndata`` reads it, with rows that are
        abstained from as not measured.
        """
        several = len(set(self.contexts.tolist())) > 1
        names = [f"{p}@{c}" if several else p for p, c in zip(self.perturbations, self.contexts, strict=True)]
        obs = pd.DataFrame(index=pd.Index(names))
        obs[keys.PERTURBATION], obs[keys.CONTEXT] = self.perturbations.astype(object), self.contexts.astype(object)
        obs[keys.SUPPORT], obs[keys.ABSTAINED] = self.support, self.abstained
        if self.error_bound is not None:
            obs[keys.ERROR_BOUND] = self.error_bound
        var = pd.DataFrame(index=self.genes.astype(object))
        return ad.AnnData(self.values, obs=obs, var=var, layers=self._layers(), uns=dict(self.notes))

    def to_frame(self) -> pd.DataFrame:
        """A row for each gene under each perturbation; one row, without a gene, where it is abstained from."""
        rows, columns = np.nonzero(np.repeat(~self.abstained[:, None], len(self.genes), axis=1))
        parts = {"effect": self.values, **self._layers()}
        made = {name: part[rows, columns] for name, part in parts.items()}
        table = pd.concat([self._about(rows), pd.DataFrame({"gene": self.genes[columns], **made})], axis=1)
        out = np.flatnonzero(self.abstained)
        named = self._about(out).assign(gene="")
        return pd.concat([table, named], ignore_index=True).reindex(columns=[*named.columns, *made])

    def _about(self, rows: NDArray) -> pd.DataFrame:
        columns = (self.perturbations, self.contexts, self.support, self.abstained)
        named = (keys.PERTURBATION, keys.CELL_TYPE, keys.SUPPORT, keys.ABSTAINED)
        return pd.DataFrame({name: column[rows] for name, column in zip(named, columns, strict=True)})

    def _layers(self) -> dict[str, NDArray[np.float32]]:
        known = {keys.LOWER: self.lower, keys.UPPER: self.upper, keys.SPREAD: self.spread}
        return {name: layer for name, layer in known.items() if layer is not None}

    def save(self, path: str | Path) -> Path:
        """Write as .h5ad, .zarr or .csv, whole or not at all.

        Raises:
            ConfigError: another kind of file.
        """
        path = Path(path)
        if path.suffix not in FORMATS:
            raise ConfigError(f"effects cannot be written as {path.name!r}", expected=" or ".join(FORMATS))
        if path.suffix == ".zarr":
            with atomic_folder(path) as folder:
                self.to_anndata().write_zarr(folder)
            return path
        with atomic_path(path) as temporary:
            if path.suffix == ".csv":
                self.to_frame().to_csv(temporary, index=False)
            else:
                self.to_anndata().write_h5ad(temporary)
        return path


def predicted_effects(
    model: EffectPredictor,
    perturbations: Sequence[str] | NDArray,
    *,
    contexts: Sequence[Any] = (None,),
    level: float | None = None,
    min_support: float = 0.0,
) -> PredictedEffects:
    """Predict effects, with intervals, and only where the graph has support for them.

    Args:
        model: fitted; a ``CalibratedModel`` where intervals are asked for.
        perturbations: names.
        contexts: where to predict, each as the model's ``predict`` takes it.
        level: of the intervals; none when left out.
        min_support: a perturbation with less is abstained from: it has a row, and NaN for effects, spread and
            intervals. 0 abstains from none.

    Raises:
        ModelError: intervals of a model that is not calibrated, or as of ``predict`` and of ``Calibration``.
    """
    calibration = model.calibration if isinstance(model, CalibratedModel) else None
    if level is not None and calibration is None:
        raise ModelError("the model is not calibrated, so it has no intervals", remedy="calibrate(model, validation)")
    notes: dict[str, Any] = {keys.EFFECT_KIND: "delta", keys.MIN_SUPPORT: min_support}
    if level is not None and calibration is not None:
        promise = {"over": calibration.config.over, "calibrated_on": len(calibration.perturbations)}
        notes[keys.INTERVALS] = {"level": level, **promise}
    own = model.model if isinstance(model, CalibratedModel) else model
    found = [own.predict(perturbations, context=context) for context in contexts]
    genes = found[0].genes
    if any(not np.array_equal(one.genes, genes) for one in found):
        raise ModelError("the model predicts other genes in other cell types", expected="the same genes in all")
    parts = [_rows(one, calibration, level, min_support) for one in found]
    rows: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return PredictedEffects(genes=genes, notes=notes, **rows)


def _rows(
    found: Prediction, calibration: Calibration | None, level: float | None, min_support: float
) -> dict[str, NDArray]:
    """What there is of the rows of one cell type, by the names of ``PredictedEffects``."""
    out = abstained(found.support, min_support)
    rows: dict[str, NDArray] = {
        "perturbations": found.perturbations,
        "contexts": np.full(len(found.perturbations), found.context),
        "support": found.support,
        "abstained": out,
    }
    numbers = {"values": found.values}
    spread = found.spread if calibration is None else calibration.spread(found)
    if spread is not None:
        numbers["spread"] = spread
    if calibration is not None and level is not None:
        intervals = calibration.intervals(found, level)
        numbers |= {"lower": intervals.lower, "upper": intervals.upper}
        numbers["error_bound"] = calibration.error_bound(found, level)
    unknown = np.where(out, np.float32(np.nan), np.float32(0))
    return rows | {name: (array.T + unknown).T for name, array in numbers.items()}
