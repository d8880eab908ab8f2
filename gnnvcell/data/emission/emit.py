"""Predicted effects as single cells: control cells changed until their mean is the predicted one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

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
from gnnvcell.data.cells import Cells
from gnnvcell.data.emission.draws import draw_counts
from gnnvcell.data.emission.templates import Templates
from gnnvcell.data.values import LARGEST_LOG1P
from gnnvcell.errors import DataError


@runtime_checkable
class Effects(Protocol):
    """What can be emitted: an ``EffectTable`` or a ``Prediction``."""

    @property
    def values(self) -> NDArray[np.float32]:
        """(perturbations, genes) change of mean log1p expression, natural log units."""
        ...

    @property
    def perturbations(self) -> NDArray:
        """(perturbations,) names."""
        ...

    @property
    def genes(self) -> NDArray:
        """(genes,) names."""
        ...


class EmissionConfig(Config):
    """Settings of emission.

    Args:
        cells: cells of each perturbation.
        output: "counts": whole numbers; "log1p": log1p of these per ``target_sum``.
        target_sum: of the normalisation that effects are in.
        controls: whether the control cells are written too.
        seed: of the templates and all draws.
    """

    cells: int = Field(default=100, ge=1)
    output: Literal["counts", "log1p"] = "counts"
    target_sum: float = Field(default=1e4, gt=0)
    controls: bool = True
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, eq=False)
class _Block:
    """Cells of one label."""

    counts: Any  # (cells, genes) CSR
    label: str
    batch: NDArray


def emit_cells(
    effects: Effects, controls: Cells, config: EmissionConfig | None = None, *, progress: bool = True
) -> ad.AnnData:
    """Single cells of predicted perturbations, beside the control cells.

    For each perturbation, control cells are dealt as templates, spread over batches as the controls are. In every gene,
    molecules of the templates are taken away at random, or negative-binomial ones with the gene's own dispersion are
    added, until the mean of log1p expression over the cells is that of all controls plus the predicted change (never
    below 0). Depth, zeros and the spread between cells are thus those of real cells. Genes that the effects lack keep
    the mean of the controls.

    Args:
        effects: of kind "delta"; values of genes that the controls lack are left out.
        controls: cells among which the controls are: counts, or log1p values that can be turned back into counts.
        config: settings.
        progress: a bar on stderr.

    Returns:
        X float32 CSR; obs ``target_gene`` ("non-targeting" for controls) and ``batch``; var the genes of the controls;
        uns ``emission`` with the settings and the number of genes that had no prediction.

    Raises:
        DataError: no controls, no gene in common, effects that are NaN, infinite or in other units, or an effect table
            of labels.
    """
    config = config or EmissionConfig()
    counts, labels, batches = [], [], []
    for block in _blocks(effects, controls, config, progress):
        counts.append(_written(block.counts, config))
        labels += [block.label] * block.counts.shape[0]
        batches.append(block.batch)
    matrix = sp.csr_matrix(sp.vstack(counts, format="csr"))
    adata = ad.AnnData(matrix, obs=_obs(labels, np.concatenate(batches)), var=_var(controls))
    adata.uns[keys.EMISSION] = _note(effects, controls, config)
    return adata


def emit_to(
    path: str | Path,
    effects: Effects,
    controls: Cells,
    config: EmissionConfig | None = None,
    *,
    progress: bool = True,
) -> Path:
    """As ``emit_cells``, into an .h5ad file or .zarr folder, a perturbation at a time: whole or not at all."""
    config = config or EmissionConfig()
    labels, batches = [], []
    with open_writer(path, len(controls.genes)) as writer:
        for block in _blocks(effects, controls, config, progress):
            writer.append(_written(block.counts, config))
            labels += [block.label] * block.counts.shape[0]
            batches.append(block.batch)
        note = {keys.EMISSION: _note(effects, controls, config)}
        writer.finish(_obs(labels, np.concatenate(batches)), _var(controls), note)
    return Path(path)


def _blocks(effects: Effects, controls: Cells, config: EmissionConfig, progress: bool) -> Iterator[_Block]:
    delta = _aligned(effects, controls)
    templates = Templates.of(controls, config.target_sum)
    if config.controls:
        yield _Block(templates.counts, keys.NON_TARGETING, controls.batches[templates.batch])
    bar = tqdm(effects.perturbations, desc="emitting", unit="perturbation", disable=None if progress else True)
    for row, name in enumerate(bar):
        rng = np.random.default_rng([config.seed, row])
        chosen = templates.deal(config.cells, rng)
        wanted = np.maximum(templates.mean + delta[row], 0.0)
        counts: Any = templates.counts
        drawn = draw_counts(
            sp.csr_array(counts[chosen]), templates.total[chosen], wanted, templates.dispersion, config.target_sum, rng
        )
        yield _Block(drawn, str(name), controls.batches[templates.batch[chosen]])


def _aligned(effects: Effects, controls: Cells) -> NDArray[np.float64]:
    """(perturbations, genes of the controls) effects; 0 where there is none."""
    kind = getattr(effects, "kind", "delta")
    if kind != "delta":
        raise DataError(f"effects of kind {kind!r} are no changes of expression", expected="kind 'delta'")
    values = np.asarray(effects.values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{int((~np.isfinite(values)).sum())} effects are NaN or infinite", remedy="repair them")
    if np.abs(values).max(initial=0) > LARGEST_LOG1P:
        raise DataError(
            "the effects are not in natural log units",
            expected=f"changes of mean log1p expression, at most {LARGEST_LOG1P:g}",
            found=f"{np.abs(values).max():.3g}",
        )
    place = {str(gene): at for at, gene in enumerate(controls.genes)}
    column = np.array([place.get(str(gene), -1) for gene in effects.genes])
    if not (column >= 0).any():
        raise DataError(
            "effects and control cells have no gene in common",
            expected=", ".join(map(str, controls.genes[:3])),
            found=", ".join(map(str, effects.genes[:3])),
            remedy="use the same kind of names in both",
        )
    out = np.zeros((len(values), len(controls.genes)))
    out[:, column[column >= 0]] = values[:, column >= 0]
    return out


def _written(counts: sp.csr_array, config: EmissionConfig) -> sp.csr_array:
    if config.output == "counts":
        return sp.csr_array(counts, dtype=np.float32)
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    logged = np.log1p(counts.data * np.repeat(config.target_sum / total, np.diff(counts.indptr)))
    return sp.csr_array((logged.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape)


def _obs(labels: list[str], batches: NDArray) -> pd.DataFrame:
    index = pd.Index([f"cell{i}" for i in range(len(labels))], dtype=object)
    return pd.DataFrame({keys.TARGET_GENE: pd.Categorical(labels), keys.BATCH: pd.Categorical(batches)}, index=index)


def _var(controls: Cells) -> pd.DataFrame:
    return pd.DataFrame(index=pd.Index(controls.genes.astype(object)))


def _note(effects: Effects, controls: Cells, config: EmissionConfig) -> dict[str, Any]:
    lacking = int((~np.isin(controls.genes, np.asarray(effects.genes, dtype=str))).sum())
    return {**config.model_dump(mode="json"), "genes_without_prediction": lacking}
