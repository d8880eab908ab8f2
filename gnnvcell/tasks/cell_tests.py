"""Differential expression of the rows of a prediction and of the truth, both against the real control cells."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import stats

from gnnvcell.data.cells import Cells
from gnnvcell.data.rank_sum import RankSums, p_values, rank_sums
from gnnvcell.errors import DataError
from gnnvcell.tasks.cell_sums import log_normalised


@dataclass(frozen=True, eq=False)
class CellTests:
    """Two-sided Mann-Whitney tests of each row's cells against all control cells of its cell type.

    Args:
        p_value: (rows, genes) by the normal approximation, corrected for ties and continuity.
        fdr: (rows, genes) Benjamini-Hochberg within a row.
        log2_fold_change: (rows, genes) of geometric means, as pdex has it: infinite where one side has no expression,
            NaN where none has.
    """

    p_value: NDArray[np.float64]
    fdr: NDArray[np.float64]
    log2_fold_change: NDArray[np.float64]

    def take(self, rows: NDArray) -> "CellTests":
        """The tests of some rows."""
        return CellTests(self.p_value[rows], self.fdr[rows], self.log2_fold_change[rows])

    def put(self, rows: NDArray, tests: "CellTests") -> None:
        """Set the tests of some rows."""
        self.p_value[rows], self.fdr[rows] = tests.p_value, tests.fdr
        self.log2_fold_change[rows] = tests.log2_fold_change

    def table(self, names: Sequence[str] | NDArray, genes: Sequence[str] | NDArray) -> pd.DataFrame:
        """One row per perturbation and gene, as pdex writes it."""
        return pd.DataFrame(
            {
                "target": np.repeat(np.asarray(names, dtype=object), len(genes)),
                "feature": np.tile(np.asarray(genes, dtype=object), len(names)),
                "log2_fold_change": self.log2_fold_change.ravel(),
                "p_value": self.p_value.ravel(),
                "fdr": self.fdr.ravel(),
            }
        )

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, names: Sequence[str] | NDArray, genes: Sequence[str] | NDArray, *, what: str
    ) -> "CellTests":
        """The inverse of ``table``; a gene that a table leaves out for a perturbation counts as not significant.

        Raises:
            DataError: a perturbation is missing altogether, or one of its genes stands there twice.
        """
        rows, columns = pd.Index([str(name) for name in names]), pd.Index([str(gene) for gene in genes])
        missing = rows.difference(pd.Index(table["target"].astype(str).unique()))
        if len(missing):
            raise DataError(
                f"the table of differential expression of the {what} cells lacks {len(missing)} perturbations",
                found=", ".join(missing[:5]),
                remedy="let it be computed",
            )
        row, column = rows.get_indexer(table["target"].astype(str)), columns.get_indexer(table["feature"].astype(str))
        inside = (row >= 0) & (column >= 0)
        place = row[inside] * len(columns) + column[inside]
        if len(np.unique(place)) != len(place):
            raise DataError(f"genes repeat in the table of differential expression of the {what} cells")

        def matrix(name: str, missing: float) -> NDArray[np.float64]:
            out = np.full(len(rows) * len(columns), missing)
            out[place] = table[name].to_numpy(dtype=np.float64)[inside]
            return out.reshape(len(rows), len(columns))

        return cls(matrix("p_value", 1.0), matrix("fdr", 1.0), matrix("log2_fold_change", np.nan))


@dataclass(frozen=True, eq=False)
class CellBlock:
    """Log-normalised cells of one cell type in memory, by row.

    Args:
        values: (cells, genes) float32 log1p expression.
        row: (cells,) their rows, 0 .. rows - 1.
        rows: number of rows.
    """

    values: sp.csr_array
    row: NDArray[np.int64]
    rows: int

    @classmethod
    def of(cls, cells: Cells, row_of: NDArray, rows: NDArray, columns: NDArray | None = None) -> "CellBlock":
        """The cells whose row is among ``rows``, renumbered in their order; ``columns`` picks and orders genes."""
        number = np.full(int(row_of.max(initial=-1)) + 2, -1, dtype=np.int64)
        number[rows] = np.arange(len(rows))
        taken = np.flatnonzero(number[row_of] >= 0)
        block = sp.csr_array(cells.take(taken))
        if columns is not None:
            block = sp.csr_array(block[:, columns])
        values = sp.csr_array(log_normalised(block, cells.values), dtype=np.float32)
        return cls(values, number[row_of][taken], len(rows))

    def digest(self) -> str:
        """Hex SHA-256 of values and rows."""
        digest = hashlib.sha256(str((self.values.shape, self.rows)).encode())
        for part in (self.values.data, self.values.indices, self.values.indptr, self.row):
            digest.update(np.ascontiguousarray(part))
        return digest.hexdigest()


def overlap_at_n(predicted: CellTests, true: CellTests, *, fdr: float = 0.05) -> NDArray[np.float64]:
    """Overlap of the genes with the largest changes among the significant ones ("DES"), as cell-eval computes it.

    ``|P & T| / k``: T are the k truly significant genes, P the k predicted significant ones with the largest absolute
    log2 fold change; 0 where no gene is truly significant.

    Args:
        predicted: tests of predicted cells.
        true: tests of the real ones, of the same rows and genes.
        fdr: level of significance.

    Returns:
        (rows,) between 0 and 1.
    """
    truly, called = true.fdr < fdr, predicted.fdr < fdr
    size = np.where(called, np.nan_to_num(np.abs(predicted.log2_fold_change), nan=0.0, posinf=np.inf), -1.0)
    rank = np.argsort(np.argsort(-size, axis=1, kind="stable"), axis=1, kind="stable")
    k = truly.sum(axis=1)
    shared = (truly & called & (rank < k[:, None])).sum(axis=1)
    return np.divide(shared, k, out=np.zeros(len(k)), where=k > 0)


def run_tests(
    cells: CellBlock,
    controls: CellBlock,
    *,
    constant: NDArray | None = None,
    copies: NDArray | None = None,
    threads: int = 1,
) -> tuple[CellTests, CellTests | None]:
    """Test every row's cells against the control cells.

    Args:
        cells: perturbed cells by row.
        controls: control cells, one row.
        constant: (rows, genes) where given, also test cells of each row that all have these values, which is how a mean
            predicts cells.
        copies: (rows,) how many of them; as many as there are cells when left out.
        threads: that work on ranges of genes.

    Returns:
        The tests of the cells, and of the constant ones.
    """
    extra = 0 if constant is None else cells.rows
    parts = [cells.values, controls.values]
    group = [cells.row, np.full(controls.values.shape[0], cells.rows + extra)]
    if constant is not None:
        constant = constant.astype(np.float32).astype(np.float64)
        parts.append(sp.csr_array(constant, dtype=np.float32))
        group.append(np.arange(cells.rows) + cells.rows)
    matrix = sp.csr_array(sp.vstack(parts, format="csr"))
    matrix.sort_indices()
    sums = rank_sums(matrix, np.concatenate(group), cells.rows + extra, threads=threads)
    sizes, n = np.bincount(cells.row, minlength=cells.rows), controls.values.shape[0]
    control_mean = sums.sums[-1] / n
    own = RankSums(sums.u[: cells.rows], sums.ties[: cells.rows], sums.sums[: cells.rows])
    found = _tests(own, sizes, control_mean, n)
    if constant is None:
        return found, None
    one = slice(cells.rows, 2 * cells.rows)
    copies = sizes if copies is None else copies
    return found, _tests(_repeated(sums.u[one], sums.ties[one], constant, copies), copies, control_mean, n)


def _repeated(u: NDArray, ties: NDArray, value: NDArray, copies: NDArray) -> RankSums:
    """Rank sums of ``copies`` equal cells from those of one; a value that is not 0 is shared with no control cell.

    Means of many cells meet the value of a single one at 0 alone. One cell among ``t`` controls of its value adds
    ``(t + 1)^3 - (t + 1) - (t^3 - t)`` to the tie term, n cells ``(t + n)^3 - (t + n) - (t^3 - t)``.
    """
    shared = np.where(value == 0, np.rint(2 * u), 0.0)  # at 0 no control is below, so U is half of those it shares
    n = copies[:, None].astype(np.float64)
    return RankSums(u * n, ties - _cubed(shared + 1) + _cubed(shared + n), value * n)


def _cubed(count: NDArray) -> NDArray[np.float64]:
    return count**3 - count


def _tests(sums: RankSums, sizes: NDArray, control_mean: NDArray, controls: int) -> CellTests:
    p_value = p_values(sums, sizes, controls)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log2(np.expm1(sums.sums / sizes[:, None])) - np.log2(np.expm1(control_mean))
    return CellTests(p_value, stats.false_discovery_control(p_value, axis=1), change)
