"""Preprocessing of cells: normalisation, logarithm, choice of cells and genes, in passes over blocks of cells."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from gnnvcell import keys
from gnnvcell.config import Config
from gnnvcell.data.cell_writer import open_writer
from gnnvcell.data.cells import BLOCK, Cells
from gnnvcell.data.expression import COUNTS_PER_CELL, checked_expression
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.data.gene_choice import GeneChoice, choose_genes, named_genes
from gnnvcell.data.knockdown import TargetExpression
from gnnvcell.data.knockdown_filter import Filtered, KnockdownConfig, filter_knockdown, require_matched_controls
from gnnvcell.data.moments import Moments, Totals
from gnnvcell.data.passes import read_through
from gnnvcell.data.values import ValueKind
from gnnvcell.data.variable_genes import Flavour
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.files import write_text


class PreprocessConfig(Config):
    """What to do with cells.

    Args:
        target_sum: sum that the counts of a cell are scaled to, over all genes of the file; "median" takes the median
            sum of the cells kept that have counts.
        normalise: False takes log1p values as they are.
        hvg: number of highly variable genes; 0 for none.
        flavour: how they are found, see ``variable_genes``.
        bins: bins of mean expression ("seurat").
        top_genes: keep only so many genes, those of highest mean expression; None keeps all.
        genes: keep only these genes, None for all; names that the file lacks are counted.
        keep_targets: perturbed genes are kept by ``top_genes`` and ``genes`` and count as highly variable.
        knockdown: keep only cells whose target was knocked down; None keeps all.
        keep_counts: also write the counts, as a layer.
        compression: of h5ad files, "gzip" or None; gzip is a third to a half of the size and several times slower.
    """

    target_sum: Annotated[float, Field(gt=0)] | Literal["median"] = COUNTS_PER_CELL
    normalise: bool = True
    hvg: Annotated[int, Field(ge=0)] = 2000
    flavour: Flavour = "seurat"
    bins: Annotated[int, Field(ge=1)] = 20
    top_genes: Annotated[int, Field(ge=1)] | None = None
    genes: tuple[str, ...] | None = None
    keep_targets: bool = False
    knockdown: KnockdownConfig | None = None
    keep_counts: bool = False
    compression: Literal["gzip"] | None = None


@dataclass(frozen=True, eq=False)
class Preprocessed:
    """What was done.

    Args:
        cells, genes: before and after.
        target_sum: sum that cells were scaled to; NaN where they were not.
        choice: the genes, with their statistics.
        filtered: the outcome of the knock-down filter, or None.
        config: the settings.
    """

    cells: tuple[int, int]
    genes: tuple[int, int]
    target_sum: float
    choice: GeneChoice
    filtered: Filtered | None
    config: PreprocessConfig

    @property
    def uns(self) -> dict[str, Any]:
        """What the file says about itself, plain values."""
        counts = {
            "cells_before": self.cells[0],
            "cells_after": self.cells[1],
            "genes_before": self.genes[0],
            "genes_after": self.genes[1],
            "genes_asked_for_and_absent": len(self.choice.absent),
            "targets_kept": len(self.choice.targets),
            "target_sum": self.target_sum,
        }
        if self.filtered is not None:
            counts |= {f"perturbations {name}": n for name, n in self._outcomes().items()}
        settings = self.config.model_dump(mode="json") | {"genes": None if self.config.genes is None else "given"}
        written = {keys.LOG1P: {}, keys.PREPROCESS: {"config": json.dumps(settings), **counts}}
        if self.config.hvg:
            names = self.choice.names[self.choice.variable].astype(object)
            written |= {keys.HVG: {"flavor": self.config.flavour}, keys.HVG_NAMES: names}
        return written

    def _outcomes(self) -> dict[str, int]:
        table = self.filtered.table if self.filtered is not None else pd.DataFrame({"outcome": []})
        return {str(name): int(count) for name, count in table["outcome"].value_counts().items()}

    def __str__(self) -> str:
        scaled = f"scaled to {self.target_sum:,.6g} a cell, log1p" if self.config.normalise else "log1p as it was"
        lines = [
            f"cells  {self.cells[1]:,} of {self.cells[0]:,}",
            f"genes  {self.genes[1]:,} of {self.genes[0]:,}",
            f"values {scaled}",
        ]
        if self.config.hvg:
            lines.append(f"highly variable genes  {int(self.choice.variable.sum()):,} ({self.config.flavour})")
        if self.config.keep_targets:
            lines.append(f"targets among the genes, kept  {len(self.choice.targets):,}")
        if self.choice.absent:
            few = ", ".join(self.choice.absent[:5])
            lines.append(f"genes asked for that the file lacks  {len(self.choice.absent):,}: {few}")
        lines += [f"perturbations {name}  {count:,}" for name, count in self._outcomes().items()]
        return "\n".join(lines)


def preprocess(
    path_in: str | Path,
    path_out: str | Path,
    config: PreprocessConfig | None = None,
    *,
    fields: FieldsConfig | None = None,
    progress: bool = True,
) -> Preprocessed:
    """Preprocess a file of any size; the values are read two or three times and written once, block by block.

    Written: X (CSR, log1p), obs and var with what was computed, ``obsm["X_hvg"]``, the layer of counts on request.
    Other layers, obsm, varm and uns of the file are left behind. The filter also writes ``<out>.knockdown.csv``.

    Args:
        path_in: .h5ad or .zarr.
        path_out: .h5ad or .zarr; appears whole or not at all.
        config: what to do.
        fields: which columns to use.
        progress: bars on stderr, where that is a terminal.

    Raises:
        ConfigError: the two paths are one, or the output has another extension.
        DataError: counts are needed and not there, broken values, genes or controls that are missing.
        FileFormatError: the file cannot be read.
        OSError: the file cannot be written.
    """
    config, path_out = config or PreprocessConfig(), Path(path_out)
    if Path(path_in).resolve() == path_out.resolve():
        raise ConfigError(f"{path_out} would replace its own source", remedy="name another file with --out")
    cells = Cells.open(path_in, fields)
    done, rows = _plan(cells, config, progress)
    totals = np.zeros(len(rows))
    with open_writer(path_out, done.genes[1], compression=config.compression) as writer:
        _transform(cells, rows, done, totals, writer.append, progress)
        writer.finish(*_annotations(cells, rows, done, totals), done.uns)
    if done.filtered is not None:
        write_text(path_out.with_suffix(".knockdown.csv"), done.filtered.table.to_csv(index=False))
    return done


def preprocess_anndata(
    adata: ad.AnnData,
    config: PreprocessConfig | None = None,
    *,
    fields: FieldsConfig | None = None,
    progress: bool = False,
) -> tuple[ad.AnnData, Preprocessed]:
    """``preprocess`` of an AnnData in memory, into a new one; errors as there."""
    cells = Cells.of(adata, fields)
    done, rows = _plan(cells, config or PreprocessConfig(), progress)
    totals = np.zeros(len(rows))
    blocks: list[tuple[sp.csr_array, dict[str, sp.csr_array], dict[str, NDArray]]] = []
    _transform(cells, rows, done, totals, lambda *block: blocks.append(block), progress)
    obs, var = _annotations(cells, rows, done, totals)
    made = ad.AnnData(_stacked([x for x, _, _ in blocks]), obs=obs, var=var, uns=done.uns)
    for name in blocks[0][1]:
        made.layers[name] = _stacked([layers[name] for _, layers, _ in blocks])
    for name in blocks[0][2]:
        made.obsm[name] = np.concatenate([obsm[name] for _, _, obsm in blocks])
    return made, done


def _stacked(blocks: list[sp.csr_array]) -> sp.csr_matrix:
    return sp.csr_matrix(sp.vstack(blocks, format="csr"))


def _plan(cells: Cells, config: PreprocessConfig, progress: bool) -> tuple[Preprocessed, NDArray[np.int64]]:
    """Which cells and genes, and how they are scaled; reads the cells where that takes it."""
    _require_values(cells, config)
    wanted = named_genes(cells, config.genes, config.keep_targets)
    filtered, target_sum = _survey(cells, config, progress)
    rows = np.flatnonzero(filtered.keep) if filtered is not None else np.arange(len(cells))
    scale = target_sum / COUNTS_PER_CELL if config.normalise else 1.0
    moments = None
    if config.hvg or config.top_genes is not None:
        moments = Moments(cells, scale=scale if config.flavour == "cell_ranger" else None)
        read_through(cells, moments, rows=rows, what="moments of genes", progress=progress)
    choice = choose_genes(
        cells,
        wanted,
        moments,
        scale=scale,
        top_genes=config.top_genes,
        hvg=config.hvg,
        flavour=config.flavour,
        bins=config.bins,
        keep_targets=config.keep_targets,
    )
    genes = (len(cells.genes), len(choice.columns))
    return Preprocessed((len(cells), len(rows)), genes, target_sum, choice, filtered, config), rows


def _require_values(cells: Cells, config: PreprocessConfig) -> None:
    kind = cells.values
    if config.normalise and kind is ValueKind.COUNTS:
        return
    if not config.normalise:
        if kind is ValueKind.LOG1P and not config.keep_counts:
            return
        text = "there are no counts to keep" if config.keep_counts else "the cells do not hold log1p values"
        raise DataError(text, found=f"{kind.value} values", remedy="normalise counts, and name their layer (--layer)")
    remedy = "name the layer with the counts: --layer NAME, FieldsConfig(layer=...)"
    if kind is ValueKind.LOG1P:
        remedy += "; or take log1p values as they are: --no-normalise, PreprocessConfig(normalise=False)"
    raise DataError("counts are needed, to be normalised", found=f"{kind.value} values", remedy=remedy)


def _survey(cells: Cells, config: PreprocessConfig, progress: bool) -> tuple[Filtered | None, float]:
    """The outcome of the knock-down filter, and the sum to scale to."""
    totals = Totals(cells)
    targets = None
    if config.knockdown is not None:
        require_matched_controls(cells)
        targets = TargetExpression(cells)
    by_median = config.normalise and config.target_sum == "median"
    if by_median or targets is not None:
        read_through(cells, totals, *([targets] if targets else []), what="cells and targets", progress=progress)
    filtered = None
    if targets is not None and config.knockdown is not None:
        filtered = filter_knockdown(cells, targets.knockdown(), config.knockdown)
    if not by_median:
        return filtered, float(config.target_sum) if config.normalise else float("nan")
    kept = totals.totals if filtered is None else totals.totals[filtered.keep]
    if not (kept > 0).any():
        raise DataError("all cells are empty", remedy="name the layer with the counts: --layer NAME")
    return filtered, float(np.median(kept[kept > 0]))


def _transform(
    cells: Cells,
    rows: NDArray[np.int64],
    done: Preprocessed,
    totals: NDArray[np.float64],
    write: Callable[[sp.csr_array, dict[str, sp.csr_array], dict[str, NDArray]], None],
    progress: bool,
) -> None:
    """Give ``write`` the cells block by block (X, layers, obsm), and note their sums in ``totals``, (rows,)."""
    config, columns = done.config, done.choice.columns
    all_genes = len(columns) == len(cells.genes)
    start = 0
    with tqdm(total=len(rows), desc="writing cells", unit="cell", disable=None if progress else True) as bar:
        for taken, block in cells.blocks(BLOCK, rows=rows if len(rows) < len(cells) else None):
            checked_expression(block, cells.values.value)
            sums = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
            totals[start : start + len(taken)] = sums
            chosen = block if all_genes else sp.csr_array(block[:, columns])
            chosen.sort_indices()
            x = _log_normalised(chosen, sums, done.target_sum) if config.normalise else chosen
            layers = {keys.COUNTS: chosen} if config.keep_counts else {}
            obsm = {keys.X_HVG: x[:, np.flatnonzero(done.choice.variable)].toarray()} if config.hvg else {}
            write(x, layers, obsm)
            start += len(taken)
            bar.update(len(taken))


def _log_normalised(counts: sp.csr_array, sums: NDArray[np.float64], target_sum: float) -> sp.csr_array:
    """log1p of counts that are scaled so that all of a cell's counts (``sums``) make ``target_sum``, float32."""
    scale = np.divide(target_sum, sums, out=np.zeros_like(sums), where=sums > 0)
    data = np.log1p(counts.data * np.repeat(scale, np.diff(counts.indptr))).astype(np.float32)
    return sp.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)


def _annotations(
    cells: Cells, rows: NDArray[np.int64], done: Preprocessed, totals: NDArray[np.float64]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """obs and var with what was computed."""
    obs = cells.obs.iloc[rows].copy()
    for name in obs.columns:
        if isinstance(obs[name].dtype, pd.CategoricalDtype):
            obs[name] = obs[name].cat.remove_unused_categories()
    if done.config.normalise:
        obs[keys.LOG_TOTAL] = np.log1p(totals).astype(np.float32)
    var = cells.var.iloc[done.choice.columns].copy()
    if done.choice.statistics is not None:
        for name in done.choice.statistics.columns:
            var[name] = done.choice.statistics[name].to_numpy()
    return obs, var
