"""``describe_cells``: what a screen is like, by gene, by perturbation and by batch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell.config import Config
from gnnvcell.data.batch_effect import BatchVariance
from gnnvcell.data.cells import Cells
from gnnvcell.data.cells_differential import differential_of_cells
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.knockdown import TargetExpression
from gnnvcell.data.moments import Moments
from gnnvcell.data.passes import read_through
from gnnvcell.data.pseudobulk import Matching, cell_effects
from gnnvcell.data.value_scan import ValueScan
from gnnvcell.data.values import ValueKind
from gnnvcell.data.variable_genes import variable_genes
from gnnvcell.errors import DataError
from gnnvcell.files import write_text


class StatisticsConfig(Config):
    """What to compute.

    Args:
        hvg: number of genes that are marked as highly variable (scanpy's "seurat").
        matching: controls of the same batch, or all of the same context; see ``cell_effects``.
        differential: whether to test for differential expression, which takes longest.
        fdr: level of its calls.
        min_cells: perturbations with fewer cells in a context have no delta and no test.
        threads: of the tests; all that the process may use when left out.
    """

    hvg: int = 2000
    matching: Matching = "batch"
    differential: bool = True
    fdr: float = 0.05
    min_cells: int = 3
    threads: int | None = None


@dataclass(frozen=True, eq=False)
class CellStatistics:
    """What a screen is like.

    Args:
        values: what the values of the file are.
        genes: ``gene``, ``mean``, ``max``, ``min``, ``nonzero_fraction`` of the values as they are in the file, over
            all cells.
        variability: ``gene``, ``means``, ``dispersions``, ``dispersions_norm``, ``highly_variable``, of counts per
            10,000.
        perturbations: ``perturbation``, ``context``, ``cells``, ``target_residual``, ``mean_abs_delta``,
            ``effect_size`` (length of the delta), ``de_up``, ``de_down`` (genes called); most cells first. NaN for
            perturbations with too few cells.
        deltas: the effects, of the perturbations that have enough cells.
        batches: ``context``, ``batch``, ``cells``, ``controls``, ``perturbed``.
        batch_effect: by context, see ``BatchVariance.by_context``.
        batch_effect_by_gene: see ``BatchVariance.by_gene``.
    """

    values: ValueKind
    genes: pd.DataFrame
    variability: pd.DataFrame
    perturbations: pd.DataFrame
    deltas: EffectTable
    batches: pd.DataFrame
    batch_effect: pd.DataFrame
    batch_effect_by_gene: pd.DataFrame

    @property
    def summary(self) -> dict[str, Any]:
        """A few numbers, plain values; NaN as None."""
        sizes = self.perturbations["cells"].to_numpy(dtype=float)
        found: dict[str, Any] = {
            "values": self.values.value,
            "mean of gene means": self.genes["mean"].mean(),
            "mean of gene maxima": self.genes["max"].mean(),
            "mean of gene minima": self.genes["min"].mean(),
            "fraction of genes never expressed": (self.genes["nonzero_fraction"] == 0).mean(),
            "cells": int(self.batches["cells"].sum()),
            "control cells": int(self.batches["controls"].sum()),
            "perturbations": len(self.perturbations),
            "cells per perturbation, fewest": int(sizes.min()),
            "cells per perturbation, median": float(np.median(sizes)),
            "cells per perturbation, most": int(sizes.max()),
            "imbalance of cells (Gini, 0 is even)": gini(sizes),
            "mean absolute delta": float(np.abs(self.deltas.values[self.deltas.measured]).mean()),
        }
        if "de_up" in self.perturbations:
            called = (self.perturbations["de_up"] + self.perturbations["de_down"]).to_numpy(dtype=float)
            found["genes called per perturbation, median"] = float(np.nanmedian(called))
            found["perturbations with no gene called"] = int((called == 0).sum())
        for row in self.batch_effect.to_dict(orient="records"):
            where = f" in {row['context']}" if row["context"] else ""
            found[f"variance of controls between batches{where}"] = row["share"]
            found[f"of that by chance{where}"] = row["by_chance"]
        return {name: _plain(value) for name, value in found.items()}

    def __str__(self) -> str:
        width = max(map(len, self.summary))
        return "\n".join(f"{name:{width}}  {_shown(value)}" for name, value in self.summary.items())

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``gene_statistics.csv``, other tables, ``deltas.h5ad`` (an ``EffectTable``) and ``summary.json``."""
        folder = Path(folder)
        tables = {
            "gene_statistics": self.genes,
            "gene_variability": self.variability,
            "perturbations": self.perturbations,
            "batches": self.batches,
            "batch_effect": self.batch_effect,
            "batch_effect_by_gene": self.batch_effect_by_gene,
        }
        paths = [write_text(folder / f"{name}.csv", str(table.to_csv(index=False))) for name, table in tables.items()]
        summary = write_text(folder / "summary.json", json.dumps(self.summary, indent=1) + "\n")
        return [*paths, self.deltas.save(folder / "deltas.h5ad"), summary]


def describe_cells(cells: Cells, config: StatisticsConfig | None = None, *, progress: bool = True) -> CellStatistics:
    """Read all cells, and describe genes, perturbations and batches.

    Args:
        cells: counts or log1p values, in memory or on disk.
        config: what to compute.
        progress: bars on stderr, where that is a terminal.

    Raises:
        DataError: neither counts nor log1p values, broken ones, no controls, or none in a batch with perturbed cells.
    """
    config = config or StatisticsConfig()
    cells.require_controls()
    if cells.values not in (ValueKind.COUNTS, ValueKind.LOG1P):
        raise DataError(
            "statistics need counts or log1p-normalised values",
            found=f"{cells.values.value} values",
            remedy="name the layer with the counts (--layer); gnnvcell data check says what is wrong",
        )
    scan, moments, variance = ValueScan(cells), Moments(cells), BatchVariance(cells)
    targets = TargetExpression(cells)
    read_through(cells, moments, scan, variance, targets, what="describing cells", progress=progress)
    chosen = variable_genes(*moments.of_linear(), n_top=config.hvg)
    deltas = cell_effects(cells, matching=config.matching, min_cells=config.min_cells, progress=progress)
    table = _perturbations(targets, deltas)
    if config.differential:
        table = table.merge(_called(cells, config, progress), how="left", on=["perturbation", "context"])
    return CellStatistics(
        values=cells.values,
        genes=_genes(cells, scan),
        variability=pd.concat([pd.DataFrame({"gene": cells.genes}), chosen], axis=1),
        perturbations=table.sort_values("cells", ascending=False, kind="stable", ignore_index=True),
        deltas=deltas,
        batches=_batches(cells),
        batch_effect=variance.by_context(),
        batch_effect_by_gene=variance.by_gene(),
    )


def _genes(cells: Cells, scan: ValueScan) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "gene": cells.genes,
            "mean": scan.gene_totals / len(cells),
            "max": scan.gene_max,
            "min": scan.gene_min,
            "nonzero_fraction": scan.gene_nonzero / len(cells),
        }
    )


def _perturbations(targets: TargetExpression, deltas: EffectTable) -> pd.DataFrame:
    table = targets.knockdown().table.drop(columns="reason").rename(columns={"residual": "target_residual"})
    measured = np.maximum(deltas.measured.sum(axis=1), 1)
    effects = pd.DataFrame(
        {
            "perturbation": deltas.perturbations,
            "context": deltas.contexts,
            "mean_abs_delta": np.abs(deltas.values).sum(axis=1) / measured,
            "effect_size": np.linalg.norm(deltas.values, axis=1),
        }
    )
    return table.merge(effects, how="left", on=["perturbation", "context"])


def _called(cells: Cells, config: StatisticsConfig, progress: bool) -> pd.DataFrame:
    """Genes called up and down; a perturbation's own targets are not counted."""
    pair = cells.code.astype(np.int64) * len(cells.contexts) + cells.context_code
    perturbed = cells.code >= 0
    names, counts = np.unique(pair[perturbed], return_counts=True)
    enough = np.isin(pair, names[counts >= config.min_cells])
    usable = cells if enough[perturbed].all() else cells.take_cells(~perturbed | enough)
    found = differential_of_cells(usable, min_cells=config.min_cells, threads=config.threads, progress=progress)
    own = np.zeros(found.p_value.shape, dtype=bool)
    targets = {str(name): p.targets for name, p in zip(cells.perturbations, cells.targets, strict=True)}
    for row, name in enumerate(found.perturbations.tolist()):
        own[row] = np.isin(found.genes, targets[name])
    called = (found.q_value < config.fdr) & ~own
    # Up or down as the rank test has it: what a batch-matched mean says may differ in sign where little changed.
    up = found.mean > found.control_mean
    return pd.DataFrame(
        {
            "perturbation": found.perturbations,
            "context": found.contexts,
            "de_up": (called & up).sum(axis=1),
            "de_down": (called & ~up).sum(axis=1),
        }
    )


def _batches(cells: Cells) -> pd.DataFrame:
    place = cells.context_code.astype(np.int64) * len(cells.batches) + cells.batch_code
    total = len(cells.contexts) * len(cells.batches)
    columns = {"cells": slice(None), "controls": cells.is_control, "perturbed": cells.code >= 0}
    table = pd.DataFrame(
        {
            "context": np.repeat(cells.contexts, len(cells.batches)),
            "batch": np.tile(cells.batches, len(cells.contexts)),
            **{name: np.bincount(place[rows], minlength=total) for name, rows in columns.items()},
        }
    )
    return table.take(np.flatnonzero(table["cells"] > 0)).reset_index(drop=True)


def gini(sizes: NDArray[np.float64]) -> float:
    """Gini coefficient: 0 where all are equal, towards 1 where one has everything."""
    ordered = np.sort(sizes)
    places = np.arange(1, len(ordered) + 1)
    return float((2 * places - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value


