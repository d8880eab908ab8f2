"""The unperturbed cells of an AnnData: which they are, and their expression as a dense matrix."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.errors import ConfigError, DataError, FileFormatError, did_you_mean
from gnnvcell.files import require_file

Normalisation = Literal["auto", "log1p", "none"]

LABELS = ("control", "ctrl", "non-targeting", "nontargeting", "non_targeting", "nt", "unperturbed", "dmso", "vehicle")
_MAX_CATEGORIES = 50_000
_SAMPLE = 200_000


@dataclass(frozen=True)
class ControlCells:
    """Expression of control cells.

    Args:
        values: (cells, genes) float32, log1p of counts scaled to the median library size, or as stored.
        genes: (genes,) names.
        ensembl: (genes,) Ensembl ids where the AnnData has them, or None.
        cells_read: cells of all kinds in the file.
        notes: what was found and done.
    """

    values: NDArray[np.float32]
    genes: NDArray
    ensembl: NDArray | None
    cells_read: int
    notes: tuple[str, ...]


def open_cells(path: Path) -> Any:
    """An AnnData whose matrix stays on disk.

    Raises:
        FileFormatError: missing, damaged, or no h5ad.
    """
    import anndata as ad

    path = require_file(path)
    try:
        return ad.read_h5ad(path, backed="r")
    # anndata's readers raise many kinds of errors, some of them in no public module.
    except Exception as error:
        raise FileFormatError(f"{path} cannot be read as h5ad", found=str(error)) from error


def read_controls(
    adata: Any,
    *,
    column: str | None,
    label: str | None,
    gene_column: str | None,
    layer: str | None,
    normalisation: Normalisation,
    max_cells: int,
    seed: int,
) -> ControlCells:
    """Find and read control cells.

    Args:
        adata: AnnData, in memory or backed.
        column: obs column that says what was done to a cell; found by its labels when None.
        label: its label of control cells; found among the usual ones when None.
        gene_column: var column with the gene names; the index when None.
        layer: layer to read; X when None.
        normalisation: "log1p": scale every cell to the median library size, then log1p; "none": as stored; "auto": the
            first for counts (whole numbers), the second for anything else.
        max_cells: draw this many control cells where there are more.
        seed: of the draw.

    Raises:
        ConfigError: an unknown column, label or layer, or controls that cannot be told without being named.
        DataError: values that are NaN, infinite, or negative where counts are expected.
    """
    column, label = find_controls(adata.obs, column, label)
    rows = np.flatnonzero(adata.obs[column].astype(str).to_numpy() == label)
    notes = [f"{len(rows):,} control cells: {column} is {label!r}"]
    if len(rows) > max_cells:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_cells, replace=False))
        notes.append(f"{max_cells:,} of them drawn with seed {seed}")
    if layer is not None and layer not in adata.layers:
        raise ConfigError(f"the AnnData has no layer {layer!r}", remedy=did_you_mean(layer, adata.layers))
    chosen = adata[rows].to_memory() if adata.isbacked else adata[rows]
    values = chosen.X if layer is None else chosen.layers[layer]
    if values is None:
        raise ConfigError("the AnnData has no X", remedy=did_you_mean("", adata.layers))
    values, note = _normalised(values, normalisation)
    genes = _gene_names(adata, gene_column)
    return ControlCells(values, genes, _ensembl_ids(adata, genes), adata.n_obs, (*notes, note))


def find_controls(obs: Any, column: str | None, label: str | None) -> tuple[str, str]:
    """The column and the label of control cells, found where they are not given.

    Raises:
        ConfigError: an unknown column or label, none that could be meant, or several (with the values of each).
    """
    if column is not None and column not in obs:
        raise ConfigError(f"the cells have no column {column!r}", remedy=did_you_mean(column, obs.columns))
    values = {name: _labels_of(obs, name) for name in ([column] if column else list(obs.columns))}
    if label is not None:
        found = [(name, label) for name, labels in values.items() if label in labels]
    else:
        found = [(name, value) for name, labels in values.items() for value in labels if value.lower() in LABELS]
    found = _without_echoes(obs, found)
    if len(found) == 1:
        return found[0]
    shown = "; ".join(
        f"{name}: {', '.join(labels[:6])}{' ...' if len(labels) > 6 else ''}"
        for name, labels in values.items()
        if labels
    )
    raise ConfigError(
        "cannot tell which cells are controls" if not found else "several columns or labels could mark control cells",
        expected=f"one column with one label of {', '.join(LABELS)}" if label is None else f"one column with {label!r}",
        found=", ".join(f"{name}={value}" for name, value in found) or shown or "no column of labels",
        remedy="name them with control_column and control_label",
    )


def _labels_of(obs: Any, column: str) -> list[str]:
    values = obs[column]
    if values.dtype.kind in "fb":
        return []
    return [str(value) for value in values.astype(str).unique()[:_MAX_CATEGORIES]]


def _without_echoes(obs: Any, found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Columns that mark the very same cells count once: the first one."""
    kept: list[tuple[str, str]] = []
    masks: list[NDArray] = []
    for name, value in found:
        mask = obs[name].astype(str).to_numpy() == value
        if not any((mask == other).all() for other in masks):
            kept.append((name, value))
            masks.append(mask)
    return kept


def _normalised(values: Any, how: Normalisation) -> tuple[NDArray[np.float32], str]:
    stored = values.data if sp.issparse(values) else np.asarray(values)
    if not np.isfinite(stored).all():
        raise DataError("expression values are NaN or infinite", remedy="mend the matrix, or choose another layer")
    sample = stored.reshape(-1)[:_SAMPLE]
    whole = bool(len(sample)) and bool((sample >= 0).all()) and bool((sample == np.round(sample)).all())
    dense = values.toarray() if sp.issparse(values) else np.asarray(values)
    dense = dense.astype(np.float32)
    if how == "none" or (how == "auto" and not whole):
        return dense, "values used as stored" + ("" if how == "none" else " (they are no counts)")
    if (stored < 0).any():
        raise DataError("log1p normalisation needs counts", found="negative values", remedy="normalisation = 'none'")
    depth = dense.sum(axis=1, keepdims=True)
    filled = depth[:, 0] > 0
    dense, depth = dense[filled], depth[filled]
    if not len(dense):
        raise DataError("the control cells have no counts at all")
    note = f"counts scaled to the median library size {np.median(depth):g}, then log1p"
    if not filled.all():
        note += f"; {int((~filled).sum()):,} cells without counts left out"
    return np.log1p(dense * (np.median(depth) / depth)), note


def _gene_names(adata: Any, column: str | None) -> NDArray:
    if column is None:
        return adata.var_names.to_numpy().astype(str)
    if column not in adata.var:
        raise ConfigError(f"the genes have no column {column!r}", remedy=did_you_mean(column, adata.var.columns))
    return adata.var[column].astype(str).to_numpy().astype(str)


def _ensembl_ids(adata: Any, genes: NDArray) -> NDArray | None:
    """The Ensembl ids that stand beside the symbols, in whatever column they are."""
    for values in (adata.var_names, *(adata.var[c] for c in adata.var.columns if adata.var[c].dtype.kind in "OT")):
        ids = np.asarray(values).astype(str)
        if len(ids) and np.char.startswith(ids, "ENSG").mean() > 0.5 and not (ids == genes).all():
            return ids
    return None
