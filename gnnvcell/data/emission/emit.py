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
from gnnvcell.errors import DataError, did_you_mean


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
    context: str

    @property
    def obs(self) -> pd.DataFrame:
        """What is known of the cells."""
        columns = {keys.TARGET_GENE: self.label, keys.BATCH: self.batch.astype(object), keys.CELL_TYPE: self.context}
        return pd.DataFrame(columns, index=range(self.counts.shape[0]))


def emit_cells(
    effects: Effects, controls: Cells, config: EmissionConfig | None = None, *, progress: bool = True
) -> ad.AnnData:
    """Single cells of predicted perturbations, beside the control cells.

    For each perturbation, control cells of its cell type are dealt as templates, spread over batches as the controls
    are. In every gene, molecules of the templates are taken away at random, or negative-binomial ones with the gene's
    own dispersion are added, until the mean of log1p expression over the cells is that of all controls plus the
    predicted change (never below 0). Depth, zeros and the spread between cells are thus those of real cells. Genes that
    the effects lack keep the mean of the controls.

    Args:
        effects: of kind "delta"; values of genes that the controls lack are left out.
        controls: cells among which the controls are: counts, or log1p values that can be turned back into counts.
        config: settings.
        progress: a bar on stderr.

    Returns:
        X float32 CSR; obs ``target_gene`` ("non-targeting" for controls), ``batch`` and ``cell_type``; var the genes of
        the controls; uns ``emission`` with the settings and the number of genes that had no prediction.

    Raises:
        DataError: no controls, no gene in common, effects that are NaN, infinite or in other units, or an effect table
            of labels.
    """
    config = config or EmissionConfig()
    counts, parts = [], []
    for block in _blocks(effects, controls, config, progress):
        counts.append(_written(block.counts, config))
        parts.append(block.obs)
    matrix = sp.csr_matrix(sp.vstack(counts, format="csr"))
    adata = ad.AnnData(matrix, obs=_obs(parts), var=_var(controls))
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
    parts = []
    with open_writer(path, len(controls.genes)) as writer:
        for block in _blocks(effects, controls, config, progress):
            writer.append(_written(block.counts, config))
            parts.append(block.obs)
        note = {keys.EMISSION: _note(effects, controls, config)}
        writer.finish(_obs(parts), _var(controls), note)
    return Path(path)


def _blocks(effects: Effects, controls: Cells, config: EmissionConfig, progress: bool) -> Iterator[_Block]:
    delta = _aligned(effects, controls)
    contexts = _contexts(effects, controls)
    cells_of = {name: _of_context(controls, name) for name in dict.fromkeys(contexts)}
    templates_of = {name: Templates.of(cells, config.target_sum) for name, cells in cells_of.items()}
    if config.controls:
        for name, templates in templates_of.items():
            yield _Block(templates.counts, keys.NON_TARGETING, cells_of[name].batches[templates.batch], name)
    bar = tqdm(effects.perturbations, desc="emitting", unit="perturbation", disable=None if progress else True)
    for row, name in enumerate(bar):
        rng = np.random.default_rng([config.seed, row])
        templates, cells = templates_of[contexts[row]], cells_of[contexts[row]]
        chosen = templates.deal(config.cells, rng)
        wanted = np.maximum(templates.mean + delta[row], 0.0)
        counts: Any = templates.counts
        drawn = draw_counts(
            sp.csr_array(counts[chosen]), templates.total[chosen], wanted, templates.dispersion, config.target_sum, rng
        )
        yield _Block(drawn, str(name), cells.batches[templates.batch[chosen]], contexts[row])


def _contexts(effects: Effects, controls: Cells) -> list[str]:
    """The cell type of the controls that each row is made from: its own, or the only one there is.

    Raises:
        DataError: there are several, and a row's is not among them.
    """
    there = controls.contexts[np.unique(controls.context_code[controls.is_control])].tolist()
    if len(there) == 1:
        return there * len(effects.perturbations)
    several = getattr(effects, "contexts", None)
    wanted = [getattr(effects, "context", "")] * len(effects.perturbations) if several is None else several.tolist()
    for name in wanted:
        if there and name not in there:
            raise DataError(
                f"no control cell is of the cell type {name!r} of the effects", remedy=did_you_mean(name, there)
            )
    return wanted


def _of_context(controls: Cells, name: str) -> Cells:
    inside = controls.contexts[controls.context_code] == name
    return controls.take_cells(inside & controls.is_control) if inside.any() else controls


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


def _obs(parts: list[pd.DataFrame]) -> pd.DataFrame:
    obs = pd.concat(parts, ignore_index=True).astype("category")
    obs.index = pd.Index([f"cell{i}" for i in range(len(obs))], dtype=object)
    return obs if any(obs[keys.CELL_TYPE].cat.categories) else obs.drop(columns=keys.CELL_TYPE)


def _var(controls: Cells) -> pd.DataFrame:
    return pd.DataFrame(index=pd.Index(controls.genes.astype(object)))


def _note(effects: Effects, controls: Cells, config: EmissionConfig) -> dict[str, Any]:
    lacking = int((~np.isin(controls.genes, np.asarray(effects.genes, dtype=str))).sum())
    return {**config.model_dump(mode="json"), "genes_without_prediction": lacking}
