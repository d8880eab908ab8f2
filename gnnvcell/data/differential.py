"""Differential expression of perturbed against control cells: rank-sum test, effect sizes, and the labels from them."""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.expression import checked_expression, counts_scale, log_normalise
from gnnvcell.data.rank_sum import usable_threads
from gnnvcell.data.screen_layout import ScreenLayout
from gnnvcell.errors import DataError, FileFormatError, did_you_mean
from gnnvcell.files import atomic_path, require_file

__all__ = ["DifferentialExpression", "differential_expression", "differential_of_matrix", "log_normalise"]

_WORTH_THREADS = 1_000_000  # values; below, starting threads costs more than they save


@dataclass(frozen=True, eq=False)
class DifferentialExpression:
    """Tests and effect sizes of every perturbation on every gene; a row is a perturbation in a cell type.

    Args:
        perturbations: (rows,) names.
        genes: (genes,) names.
        cells: (rows,) int64 cells of each perturbation.
        p_value: (rows, genes) float64, two-sided Mann-Whitney of perturbed against all control cells of the cell type.
        q_value: (rows, genes) float64, Benjamini-Hochberg within a row.
        delta: (rows, genes) float64, mean log1p expression minus that of the controls of the same batches, in natural
            log units of counts per 10,000.
        statistic: (rows, genes) float64, U of the perturbed cells: pairs in which theirs is the higher value, ties
            counted half.
        mean: (rows, genes) float64, mean log1p expression of the perturbed cells.
        control_mean: (rows, genes) float64, mean log1p expression of all control cells of the cell type, of any batch.
        controls: (rows,) int64 number of these control cells.
        contexts: (rows,) names of cell types, "" where the cells were not told apart.
    """

    perturbations: NDArray
    genes: NDArray
    cells: NDArray[np.int64]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]
    delta: NDArray[np.float64]
    statistic: NDArray[np.float64]
    mean: NDArray[np.float64]
    control_mean: NDArray[np.float64]
    controls: NDArray[np.int64]
    contexts: NDArray

    @property
    def matched_log2_fold_change(self) -> NDArray[np.float64]:
        """(rows, genes) ours: ``delta / ln 2``, against the controls of the same batches and finite everywhere."""
        return self.delta / np.log(2)

    def log2_fold_change(self, epsilon: float = 0.0) -> NDArray[np.float64]:
        """(rows, genes) as ``pdex`` has it: log2 ratio of geometric means, against all controls.

        ``log2((expm1(mean) + epsilon) / (expm1(control_mean) + epsilon))``; 0 where both are 0. cell-eval calls it with
        ``epsilon`` 0: a gene that one side does not express at all is infinite.

        Args:
            epsilon: added to both, in counts per 10,000.
        """
        up, down = np.expm1(self.mean) + epsilon, np.expm1(self.control_mean) + epsilon
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log2(up / down)
        return np.where(np.isnan(ratio), 0.0, ratio)

    def of_context(self, context: str) -> "DifferentialExpression":
        """The rows of one cell type.

        Raises:
            DataError: there is none of that name.
        """
        rows = self.contexts == context
        if not rows.any():
            raise DataError(f"no row is of cell type {context!r}", remedy=did_you_mean(context, set(self.contexts)))
        return DifferentialExpression(
            **{
                name: value if name == "genes" else value[rows]
                for name, value in ((name, getattr(self, name)) for name in self.__dataclass_fields__)
            }
        )

    def table(self, *, epsilon: float = 0.0) -> pd.DataFrame:
        """One row per perturbation and gene with the columns of ``pdex``, as official scorers take it (``de_real=``).

        Returns:
            ``target``, ``feature``, ``target_mean``, ``ref_mean`` (geometric means of counts per 10,000),
            ``target_membership``, ``ref_membership``, ``log2_fold_change``, ``percent_change``, ``p_value``,
            ``statistic``, ``fdr``; and ``matched_log2_fold_change``, which is ours.

        Raises:
            DataError: there are several cell types, which such a table cannot tell apart.
        """
        if len(set(self.contexts.tolist())) > 1:
            raise DataError(
                "a table of differential expression has one cell type",
                found=", ".join(sorted(set(self.contexts.tolist()))[:5]),
                remedy="take one by of_context(name)",
            )
        rows, genes = self.p_value.shape
        mean, reference = np.expm1(self.mean), np.expm1(self.control_mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            change = (mean - reference) / (reference + epsilon)
        return pd.DataFrame(
            {
                "target": _categories(self.perturbations, np.repeat(np.arange(rows), genes)),
                "feature": _categories(self.genes, np.tile(np.arange(genes), rows)),
                "target_mean": mean.ravel(),
                "ref_mean": reference.ravel(),
                "target_membership": np.repeat(self.cells, genes),
                "ref_membership": np.repeat(self.controls, genes),
                "log2_fold_change": self.log2_fold_change(epsilon).ravel(),
                "percent_change": np.where(np.isnan(change), 0.0, change).ravel(),
                "p_value": self.p_value.ravel(),
                "statistic": self.statistic.ravel(),
                "fdr": self.q_value.ravel(),
                "matched_log2_fold_change": self.matched_log2_fold_change.ravel(),
            }
        )

    def effects(
        self, kind: str, *, fdr: float = 0.05, split: NDArray | None = None, context: str | None = None
    ) -> EffectTable:
        """The effect table of one kind; a perturbation's own targets are never measured readouts.

        Args:
            kind: "de": 1 where ``q_value < fdr``. "direction": 1 where such a gene went up; only those are measured.
                "delta": the effect size.
            fdr: level of the call.
            split: (rows,) "train", "val" or "test".
            context: name of the cell type, where the cells were not told apart; ``contexts`` when left out.

        Returns:
            The table, with the mean expression of each cell type's control cells.

        Raises:
            DataError: unknown kind.
        """
        significant = self.q_value < fdr
        values = {"de": significant, "direction": self.delta > 0, "delta": self.delta}
        if kind not in values:
            raise DataError(f"unknown kind of effect {kind!r}", remedy=did_you_mean(kind, values))
        measured = np.stack([~np.isin(self.genes, name.split("+")) for name in self.perturbations.tolist()])
        if kind == "direction":
            measured = measured & significant
        contexts = self.contexts if context is None else np.full(len(self.contexts), context)
        first = np.unique(contexts, return_index=True)
        return EffectTable(
            values[kind],
            measured,
            self.perturbations,
            self.genes,
            kind=kind,
            split=split,
            context=contexts,
            control={str(name): self.control_mean[row] for name, row in zip(*first, strict=True)},
        )

    def save(self, path: str | Path, *, digest: str = "") -> Path:
        """Write as npz, whole or not at all.

        Args:
            path: ends in .npz.
            digest: of the cells and settings it was computed from (``cells_digest``).
        """
        with atomic_path(path) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, digest=np.array(digest), **{name: getattr(self, name) for name in _FIELDS})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, digest: str | None = None) -> "DifferentialExpression":
        """Read what ``save`` wrote.

        Args:
            path: the file.
            digest: what the file must have been saved with; not asked for when left out.

        Raises:
            FileFormatError: missing, damaged, or another kind of file.
            DataError: it was computed from other cells or with other settings.
        """
        path = require_file(path)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found, values = str(arrays["digest"]), {name: arrays[name] for name in _FIELDS}
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise FileFormatError(
                f"{path} is no differential expression of this package",
                expected="an npz file of DifferentialExpression.save",
                found=str(error).splitlines()[0],
                remedy="compute it again",
            ) from error
        if digest is not None and found != digest:
            raise DataError(
                f"{path} was computed from other cells or with other settings",
                expected=f"digest {digest[:16]}",
                found=found[:16] or "none",
                remedy="compute it again",
            )
        return cls(**values)


_FIELDS = tuple(field.name for field in fields(DifferentialExpression))


def differential_expression(
    cells: ad.AnnData,
    *,
    perturbation_key: str = keys.TARGET_GENE,
    control: str = keys.NON_TARGETING,
    batch_key: str | None = keys.BATCH,
    context_key: str | None = None,
    min_cells: int = 3,
    assume: str = "counts",
    threads: int | None = None,
) -> DifferentialExpression:
    """Test every perturbation of a screen against its control cells.

    Counts are scaled to 10,000 a cell and log1p-transformed on the way, without a copy of the matrix. The test is the
    Mann-Whitney U test with tie and continuity correction (as ``scipy.stats.mannwhitneyu(method="asymptotic")``), done
    for all perturbations of a gene at once: see ``rank_sum.rank_sums``. Beside the cells it takes some 50 MB a thread.

    Args:
        cells: (cells, genes), dense or sparse.
        perturbation_key: obs column with the perturbation of each cell.
        control: its value for control cells.
        batch_key: obs column with batches, or None; effect sizes are taken against the controls of the same batch.
        context_key: obs column with cell types, or None; each has its own controls.
        min_cells: fewest cells of a perturbation in a cell type.
        assume: what the values are, "counts" or "log1p" (log-normalised, taken as they are).
        threads: all that this process may use when left out.

    Raises:
        DataError: a column is missing, there are no control cells or none in a batch or cell type, a perturbation has
            fewer than ``min_cells`` cells, or the matrix does not hold finite values >= 0, whole ones if counts.
    """
    labels = _column(cells, perturbation_key)
    if not (labels == control).any():
        raise DataError(
            f"no cell has {perturbation_key} = {control!r}", remedy=did_you_mean(control, np.unique(labels).tolist())
        )
    return differential_of_matrix(
        cells.X,
        labels,
        control,
        np.asarray(cells.var_names, dtype=str),
        batches=None if batch_key is None else _column(cells, batch_key),
        contexts=None if context_key is None else _column(cells, context_key),
        min_cells=min_cells,
        assume=assume,
        threads=threads,
    )


def differential_of_matrix(
    matrix: object,
    labels: NDArray,
    control: str,
    genes: NDArray,
    *,
    batches: NDArray | None = None,
    contexts: NDArray | None = None,
    min_cells: int = 3,
    assume: str = "counts",
    threads: int | None = None,
) -> DifferentialExpression:
    """``differential_expression`` of a matrix, for cells that are no AnnData.

    Args:
        matrix: (cells, genes), dense or sparse.
        labels: (cells,) perturbation of each cell.
        control: the label of control cells.
        genes: (genes,) names.
        batches: (cells,) names or codes; one batch when left out.
        contexts: (cells,) names of cell types; one when left out.
        min_cells: fewest cells of a perturbation in a cell type.
        assume: what the values are, "counts" or "log1p".
        threads: all that this process may use when left out.

    Raises:
        DataError: as ``differential_expression``.
    """
    if (labels == control).all():
        raise DataError("all cells are controls", expected="cells of at least one perturbation")
    contexts = np.full(len(labels), "") if contexts is None else np.asarray(contexts, dtype=str)
    batches = np.zeros(len(labels), dtype=np.int64) if batches is None else np.asarray(batches)
    cell_types = np.unique(contexts).tolist()
    layouts = [ScreenLayout.of(labels, control, batches, contexts == name, name, min_cells) for name in cell_types]
    layouts = [layout for layout in layouts if len(layout.names)]
    matrix = checked_expression(matrix, assume)
    scale = counts_scale(matrix) if assume == "counts" else None
    if threads is None:
        threads = usable_threads() if matrix.size > _WORTH_THREADS else 1
    parts = [layout.tested(matrix, scale, threads) for layout in layouts]
    # One part is taken as it is: its control_mean is a view without rows of its own.
    whole = parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return DifferentialExpression(genes=np.asarray(genes, dtype=str), **whole)


def _column(cells: ad.AnnData, key: str) -> NDArray:
    if key not in cells.obs:
        raise DataError(f"the cells have no obs column {key!r}", remedy=did_you_mean(key, cells.obs.columns))
    missing = np.asarray(pd.isna(cells.obs[key]))
    if missing.any():
        raise DataError(f"{int(missing.sum())} cells have no value for {key!r}", remedy="drop or label them")
    return cells.obs[key].astype(str).to_numpy(dtype=str)


def _categories(names: NDArray, codes: NDArray) -> pd.Categorical:
    """Names row by row; a column of 20 million strings would take gigabytes."""
    unique, position = np.unique(names, return_inverse=True)
    return pd.Categorical.from_codes(position[codes], categories=unique)
