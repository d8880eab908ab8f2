"""What a JEPA attends to and what it expects of every gene: maps of genes by genes, and of pathways by pathways."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from gnnvcell.data.cell_sets import GeneSetMembership
from gnnvcell.data.cells import Cells
from gnnvcell.errors import ModelError, did_you_mean
from gnnvcell.files import atomic_path
from gnnvcell.models.jepa.model import Jepa

_CELLS = 32  # control cells that attention is averaged over


@dataclass(frozen=True, eq=False)
class InteractionMap:
    """How much each row has to do with each column.

    Args:
        values: (rows, columns) float32.
        rows, columns: names of genes or pathways.
        what: what a value is, in words.
    """

    values: NDArray[np.float32]
    rows: NDArray
    columns: NDArray
    what: str

    def by_pathway(self, pathways: GeneSetMembership) -> "InteractionMap":
        """The map of pathways: the mean over pairs of their genes; a gene of two pathways is in the means of both.

        Raises:
            ModelError: the map is not of genes that are in any pathway.
        """
        of_rows, of_columns = (_shares(names, pathways) for names in (self.rows, self.columns))
        rows, columns = (np.flatnonzero(np.diff(shares.indptr)) for shares in (of_rows, of_columns))
        if not (len(rows) and len(columns)):
            raise ModelError("no gene of the map is in a pathway", found=", ".join(map(str, self.rows[:3])))
        values = (of_rows @ self.values) @ of_columns.T
        return InteractionMap(
            values[np.ix_(rows, columns)].astype(np.float32),
            pathways.sets[rows],
            pathways.sets[columns],
            f"{self.what}, mean over genes",
        )

    def save(self, path: str | Path) -> list[Path]:
        """Write ``<path>.csv`` and ``<path>.npz`` (values, rows, columns, what).

        Args:
            path: without a suffix.
        """
        csv, npz = Path(f"{path}.csv"), Path(f"{path}.npz")
        with atomic_path(csv) as temporary:
            pd.DataFrame(self.values, index=self.rows, columns=self.columns).to_csv(temporary, float_format="%.5g")
        with atomic_path(npz) as temporary, open(temporary, "wb") as handle:
            rows, columns = self.rows.astype(str), self.columns.astype(str)
            np.savez_compressed(handle, values=self.values, rows=rows, columns=columns, what=np.array(self.what))
        return [csv, npz]


def attention_map(
    model: Jepa,
    *,
    context: Cells | ad.AnnData | str | None = None,
    tokens: Sequence[str] | None = None,
    layer: int = -1,
) -> InteractionMap:
    """How much the encoder's tokens look at each other, mean over heads and 32 control cells; rows sum to 1.

    Args:
        model: a fitted model.
        context: control cells, as of ``Jepa.predict``.
        tokens: rows of the map: genes, or pathways where latents are of these; all when left out.
        layer: of the encoder.

    Raises:
        ModelError: a token that the model does not have (with the nearest), or a model without layers.
    """
    parts, pool, network = model.parts, model.forecaster.pool(context), model.network.eval()
    names = parts.genes if parts.pathways is None else parts.pathways.sets
    rows = _places(names, tokens)
    cells = np.linspace(0, len(pool) - 1, min(_CELLS, len(pool))).round().astype(np.int64)
    assert pool.log_total is not None
    device, total = model.forecaster.device, np.zeros((len(rows), len(names)))
    with torch.no_grad():
        for cell in cells:
            found = network.encoder.attention_weights(
                torch.from_numpy(pool.dense(cell[None])).to(device),
                torch.from_numpy(pool.log_total[cell[None]]).to(device),
                torch.from_numpy(rows).to(device),
                layer=layer,
            )
            total += found.mean(dim=(0, 1)).cpu().numpy()
    values = (total / len(cells)).astype(np.float32)
    return InteractionMap(values, names[rows], names, f"attention of the encoder, layer {layer}")


def interaction_map(
    model: Jepa,
    genes: Sequence[str] | None = None,
    *,
    context: Cells | ad.AnnData | str | None = None,
    mode: str = "",
) -> InteractionMap:
    """The predicted change (natural log units) of every gene of a column when the gene of a row is perturbed.

    Args:
        model: a fitted model.
        genes: rows of the map; all that the model reads when left out.
        context: control cells, as of ``Jepa.predict``.
        mode: of the perturbations, such as "CRISPRi"; as of data whose labels do not say it when left out.
    """
    names = model.parts.genes if genes is None else np.asarray(genes, dtype=str)
    found = model.predict([f"{name}|{mode}" if mode else str(name) for name in names], context=context)
    what = f"predicted change of log expression under {mode or 'perturbation'} of the row's gene"
    return InteractionMap(found.values, names, found.genes, what)


def grown_pathways(model: Jepa, *, threshold: float = 0.5) -> pd.DataFrame:
    """Genes that the pathway layer took into a pathway that they were not in.

    Args:
        model: a fitted model with a pathway layer.
        threshold: share of the mean weight of a pathway's own genes above which a gene counts as taken in.

    Returns:
        Columns ``pathway``, ``gene`` and ``weight`` (in those shares), the largest first.

    Raises:
        ModelError: the model has no pathway layer.
    """
    layer, pathways = model.network.encoder.pathways, model.parts.pathways
    if layer is None or pathways is None:
        raise ModelError("the model has no pathway layer", remedy="train one with pathways = true, such as preset v0.2")
    gene, pathway = np.nonzero(layer.grown(threshold).cpu().numpy())
    size, inside = layer.weight.detach().abs().cpu().numpy(), layer.members.cpu().numpy()
    mean = (size * inside).sum(axis=1) / inside.sum(axis=1)
    weight = size[pathway, gene] / mean[pathway]
    table = pd.DataFrame({"pathway": pathways.sets[pathway], "gene": model.parts.genes[gene], "weight": weight})
    return table.sort_values("weight", ascending=False, ignore_index=True)


def export_maps(
    model: Jepa,
    folder: str | Path,
    *,
    pathways: GeneSetMembership | None = None,
    genes: Sequence[str] | None = None,
    context: Cells | ad.AnnData | str | None = None,
    mode: str = "",
) -> dict[str, InteractionMap]:
    """Write the maps of a model into a folder, each as CSV and NPZ.

    ``attention`` and ``interactions`` of genes, and both by pathway (``attention_pathways``, ``interactions_pathways``)
    where there are gene sets. A model with a pathway layer attends by pathway alone, and has ``grown_pathways.csv``.

    Args:
        model: a fitted model.
        folder: where the files go.
        pathways: gene sets, for a model without a pathway layer.
        genes: rows of the maps of genes; all when left out (a square of 8,192 genes takes 270 MB).
        context, mode: as of ``interaction_map``.
    """
    of_pathways = model.parts.pathways is not None
    sets = model.parts.pathways if of_pathways else pathways
    maps = {"interactions": interaction_map(model, genes, context=context, mode=mode)}
    attention = attention_map(model, context=context, tokens=None if of_pathways else genes)
    maps["attention_pathways" if of_pathways else "attention"] = attention
    if sets is not None:
        maps["interactions_pathways"] = maps["interactions"].by_pathway(sets)
        if not of_pathways:
            maps["attention_pathways"] = attention.by_pathway(sets)
    for name, one in maps.items():
        one.save(Path(folder) / name)
    if of_pathways:
        with atomic_path(Path(folder) / "grown_pathways.csv") as temporary:
            grown_pathways(model).to_csv(temporary, index=False)
    return maps


def _places(names: NDArray, wanted: Sequence[str] | None) -> NDArray[np.int64]:
    place = {str(name): at for at, name in enumerate(names)}
    for name in wanted or ():
        if name not in place:
            raise ModelError(f"the model has no token {name!r}", remedy=did_you_mean(name, place))
    return np.arange(len(names)) if wanted is None else np.array([place[name] for name in wanted], dtype=np.int64)


def _shares(genes: NDArray, pathways: GeneSetMembership) -> sp.csr_array:
    """(pathways, genes) each row the mean over the genes of a pathway that are there; empty where none is."""
    place = {str(gene): at for at, gene in enumerate(pathways.genes)}
    rows = np.array([place.get(str(gene), -1) for gene in genes])
    members = sp.lil_array((len(genes), len(pathways.sets)))
    members[rows >= 0] = pathways.matrix[rows[rows >= 0]].astype(np.float64)
    shares = sp.csr_array(members.T)
    size = np.diff(shares.indptr)
    shares.data = shares.data / np.repeat(np.maximum(size, 1), size)
    return shares
