"""Pairs of real and predicted cells for contests with the official scorers."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

CONTROL = "non-targeting"
COLUMN = "target_gene"


def simulated_pair(
    cells: int = 20_000, genes: int = 2_000, perturbations: int = 100, *, seed: int = 0, mean: float = 0.35
) -> tuple[ad.AnnData, ad.AnnData]:
    """A predicted and a real screen: log1p of counts per 10,000, CSR float32; targets are genes of the screen.

    A perturbation changes about 5 % of the genes; the prediction has half of every change and an error of its own, and
    the same control cells.
    """
    rng = np.random.default_rng(seed)
    names = np.array([f"GENE{i:05d}" for i in range(genes)])
    targets = rng.choice(genes, perturbations, replace=False)
    base = np.exp(rng.normal(np.log(mean), 1.3, genes))
    change = rng.normal(0, 0.6, (perturbations, genes)) * (rng.random((perturbations, genes)) < 0.05)
    change[np.arange(perturbations), targets] = -2.0
    guess = 0.5 * change + rng.normal(0, 0.15, change.shape) * (rng.random(change.shape) < 0.1)
    labels = np.append(names[targets], CONTROL)
    weight = np.append(np.full(perturbations, 0.95 / perturbations), 0.05)
    group = np.sort(rng.choice(perturbations + 1, cells, p=weight))
    group[: 2 * (perturbations + 1)] = np.repeat(np.arange(perturbations + 1), 2)
    depth = np.exp(rng.normal(0, 0.4, cells))
    real = _counts(depth, base, np.vstack([change, np.zeros(genes)])[group], rng)
    predicted = _counts(depth, base, np.vstack([guess, np.zeros(genes)])[group], rng)
    controls = sp.diags_array((group == perturbations).astype(np.float32))
    others = sp.diags_array((group != perturbations).astype(np.float32))
    predicted = sp.csr_array(controls @ real + others @ predicted)
    return tuple(_screen(x, labels[group], names) for x in (predicted, real))  # type: ignore[return-value]


def papalexi_pair(path: Path, *, seed: int = 0) -> tuple[ad.AnnData, ad.AnnData]:
    """Papalexi 2021 and an artificial prediction: control cells of a replicate, moved by part of the true effect.

    Each perturbed cell is predicted by a control cell whose expressed genes move by 0.6 of the perturbation's delta and
    0.3 of another one's.
    """
    rng = np.random.default_rng(seed)
    counts = ad.read_h5ad(path)
    target = counts.obs["target"].astype(str).to_numpy()
    sizes = pd.Series(target).value_counts()
    kept = np.isin(target, sizes.index[sizes >= 20]) & (target != "unassigned")
    counts, labels = counts[kept].copy(), target[kept]
    matrix = _log_normalised(sp.csr_array(counts.X, dtype=np.float64))
    dense = matrix.toarray()
    names = np.unique(labels[labels != CONTROL])
    delta = np.stack([dense[labels == name].mean(0) for name in names]) - dense[labels == CONTROL].mean(0)
    other = delta[rng.permutation(len(names))]
    predicted = dense.copy()
    replicate = counts.obs["bio_rep"].astype(str).to_numpy()
    for i, name in enumerate(names):
        for batch in np.unique(replicate):
            rows = np.flatnonzero((labels == name) & (replicate == batch))
            pool = np.flatnonzero((labels == CONTROL) & (replicate == batch))
            if len(rows):
                cells = dense[rng.choice(pool, len(rows))]
                predicted[rows] = np.where(cells > 0, np.maximum(cells + 0.6 * delta[i] + 0.3 * other[i], 0), 0)
    genes = counts.var_names.to_numpy(dtype=str)
    return tuple(_screen(sp.csr_array(x, dtype=np.float32), labels, genes) for x in (predicted, matrix))  # type: ignore[return-value]


def _counts(depth: NDArray, base: NDArray, change: NDArray, rng: np.random.Generator) -> sp.csr_array:
    rows = [
        sp.csr_array(rng.poisson(depth[i : i + 2000, None] * base * np.exp(change[i : i + 2000])).astype(np.float64))
        for i in range(0, len(depth), 2000)
    ]
    return sp.csr_array(_log_normalised(sp.csr_array(sp.vstack(rows, format="csr"))), dtype=np.float32)


def _log_normalised(counts: sp.csr_array) -> sp.csr_array:
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    counts.data = np.log1p(counts.data * np.repeat(1e4 / total, np.diff(counts.indptr)))
    return counts


def _screen(matrix: sp.csr_array, labels: NDArray, genes: NDArray) -> ad.AnnData:
    matrix.sort_indices()
    matrix.eliminate_zeros()
    obs = pd.DataFrame({COLUMN: pd.Categorical(labels)}, index=pd.RangeIndex(len(labels)).astype(str))
    return ad.AnnData(sp.csr_matrix(matrix), obs=obs, var=pd.DataFrame(index=genes.astype(object)))
