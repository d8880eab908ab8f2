"""Differential expression of real cells, of predicted ones, and of a mean, all against the real control cells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import stats

from gnnvcell import keys
from gnnvcell.data.cells import Cells
from gnnvcell.data.differential import DifferentialExpression, differential_expression
from gnnvcell.data.differential_cache import DifferentialConfig, cached_differential_expression
from gnnvcell.data.rank_sum import RankSums, p_values, rank_sums
from gnnvcell.errors import DataError
from gnnvcell.metrics import DECalls
from gnnvcell.tasks.de_tables import DETables, read_de_table
from gnnvcell.tasks.in_memory import anndata_of
from gnnvcell.tasks.matching import Match
from gnnvcell.tasks.real_effects import RealEffects

_TEST = DifferentialConfig(batch_key=None, min_cells=1, assume="log1p")


@dataclass(eq=False)
class CellTests:
    """Tests of every real row against all control cells of its cell type, whose values stay in memory.

    Args:
        real: real cells.
        effects: their rows.
        tables: given tables, and the cache.
        alpha: level of significance.
        threads: that work on ranges of genes.

    Raises:
        DataError: a table is given for several cell types, or lacks a perturbation.
    """

    real: Cells
    effects: RealEffects
    tables: DETables
    alpha: float = 0.05
    threads: int = 1
    _controls: dict[int, ad.AnnData] = field(init=False)
    _calls: DECalls = field(init=False)

    def __post_init__(self) -> None:
        if len(self.real.contexts) > 1 and (self.tables.real or self.tables.predicted):
            raise DataError(
                "a table of differential expression belongs to one cell type",
                found=f"{len(self.real.contexts)} cell types",
                remedy="evaluate one cell type at a time, or let the tables be computed",
            )
        self._controls = {int(code): self._controls_of(int(code)) for code in np.unique(self.effects.context)}
        parts = {code: np.flatnonzero(self.effects.context == code) for code in self._controls}
        self._calls = self._gathered({code: self._of_real(code, rows) for code, rows in parts.items()}, parts)

    def of_real(self, rows: NDArray) -> DECalls:
        """What is truly differentially expressed in some real rows."""
        return DECalls(self._calls.log2_fold_change[rows], self._calls.fdr[rows], self.alpha)

    def of_predicted(self, predicted: Cells, match: Match, rows: NDArray) -> DECalls:
        """Tests of predicted cells against the real control cells.

        Args:
            predicted: predicted cells.
            match: how they stand against the real ones.
            rows: (matched,) real rows.
        """
        parts = self._parts(rows)
        if self.tables.predicted is not None:
            table = read_de_table(self.tables.predicted)
            return DECalls.of_table(table, match.perturbations, self.real.genes, self.alpha)
        calls = {code: self._of_cells(predicted, match, code, part) for code, part in parts.items()}
        return self._gathered(calls, parts)

    def of_mean(self, means: NDArray, rows: NDArray) -> DECalls:
        """Tests of as many equal cells as there are real ones, which is how a mean predicts cells.

        Args:
            means: (matched, genes) their log1p expression.
            rows: (matched,) real rows.
        """
        parts = self._parts(rows)
        calls = {}
        for code, part in parts.items():
            copies, controls = self.effects.cells[rows[part]], sp.csr_array(self._controls[code].X)
            calls[code] = _calls_of_equal_cells(controls, means[part], copies, self)
        return self._gathered(calls, parts)

    def _parts(self, rows: NDArray) -> dict[int, NDArray[np.int64]]:
        """Cell type to the places of its rows."""
        context = self.effects.context[rows]
        return {code: np.flatnonzero(context == code) for code in self._controls if (context == code).any()}

    def _gathered(self, calls: Mapping[int, DECalls], places: Mapping[int, NDArray]) -> DECalls:
        shape = (sum(map(len, places.values())), len(self.real.genes))
        change, fdr = np.zeros(shape, dtype=np.float32), np.ones(shape, dtype=np.float32)
        for code, part in places.items():
            change[part], fdr[part] = calls[code].log2_fold_change, calls[code].fdr
        return DECalls(change, fdr, self.alpha)

    def _controls_of(self, code: int) -> ad.AnnData:
        rows = np.flatnonzero(self.real.is_control & (self.real.context_code == code))
        return anndata_of(self.real, rows, np.full(len(self.real.code), keys.NON_TARGETING), log=True)

    def _of_real(self, code: int, rows: NDArray) -> DECalls:
        names = self.effects.perturbations[rows]
        if self.tables.real is not None:
            return DECalls.of_table(read_de_table(self.tables.real), names, self.real.genes, self.alpha)
        labels = np.append(self.effects.perturbations, "")[self.effects.row_of]
        cells = anndata_of(self.real, np.flatnonzero(np.isin(self.effects.row_of, rows)), labels, log=True)
        both = _concatenated(cells, self._controls[code])
        if self.tables.cache is None:
            found = differential_expression(both, **_TEST.model_dump(), threads=self.threads)
        else:
            found = cached_differential_expression(both, self.tables.cache, _TEST, threads=self.threads)
        return self._in_order(found, names)

    def _of_cells(self, predicted: Cells, match: Match, code: int, part: NDArray) -> DECalls:
        labels = np.append(match.perturbations, "")[match.predicted_rows]
        taken = np.flatnonzero(np.isin(match.predicted_rows, part))
        cells = anndata_of(predicted, taken, labels, match.columns, self.real.genes, log=True)
        both = _concatenated(cells, self._controls[code])
        found = differential_expression(both, **_TEST.model_dump(), threads=self.threads)
        return self._in_order(found, match.perturbations[part])

    def _in_order(self, found: DifferentialExpression, names: NDArray) -> DECalls:
        place = {str(name): i for i, name in enumerate(found.perturbations)}
        rows = [place[str(name)] for name in names]
        return _calls(found.log2_fold_change()[rows], found.q_value[rows], self.alpha)


def _concatenated(cells: ad.AnnData, controls: ad.AnnData) -> ad.AnnData:
    matrix = sp.csr_matrix(sp.vstack([cells.X, controls.X], format="csr"))
    labels = [*cells.obs[keys.TARGET_GENE], *controls.obs[keys.TARGET_GENE]]
    obs = pd.DataFrame({keys.TARGET_GENE: labels}).set_index(pd.Index([str(i) for i in range(len(labels))]))
    return ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=controls.var_names))


def _calls_of_equal_cells(controls: sp.csr_array, means: NDArray, copies: NDArray, tests: CellTests) -> DECalls:
    """Calls for ``copies`` cells in each row that all have the row's values."""
    value = means.astype(np.float32).astype(np.float64)
    cells = len(controls.indptr) - 1
    matrix = sp.csr_array(sp.vstack([sp.csr_array(value, dtype=np.float32), controls], format="csr"))
    group = np.concatenate([np.arange(len(value)), np.full(cells, len(value))])
    one = rank_sums(matrix, group, len(value), threads=tests.threads)
    sums = _repeated(one.u, one.ties, value, copies)
    p_value = p_values(sums, copies, cells)
    control = one.sums[-1] / cells
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log2(np.expm1(value) / np.expm1(control))
    fdr = stats.false_discovery_control(p_value, axis=1)
    return _calls(np.where(np.isnan(change), 0.0, change), fdr, tests.alpha)


def _calls(change: NDArray, fdr: NDArray, alpha: float) -> DECalls:
    return DECalls(change.astype(np.float32), fdr.astype(np.float32), alpha)


def _repeated(u: NDArray, ties: NDArray, value: NDArray, copies: NDArray) -> RankSums:
    """Rank sums of ``copies`` equal cells from those of one; a value other than 0 is shared with no control cell.

    Means of many cells meet the value of a single one at 0 alone. n cells among the t controls of their value add
    ``(t + n)^3 - (t + n)`` to the tie term, one cell ``(t + 1)^3 - (t + 1)``.
    """
    shared = np.where(value == 0, np.rint(2 * u), 0.0)  # at 0 no control is below, so U is half of those it shares
    n = copies[:, None].astype(np.float64)
    return RankSums(u * n, ties - _cubed(shared + 1) + _cubed(shared + n), value * n)


def _cubed(count: NDArray) -> NDArray[np.float64]:
    return count**3 - count
