"""RealTests: differential expression of the real cells, done once, and of predictions against the same controls."""

import numpy as np
from numpy.typing import NDArray

from gnnvcell.config import digest_of
from gnnvcell.data.cells import Cells
from gnnvcell.errors import DataError
from gnnvcell.tasks.cell_tests import CellBlock, CellTests, run_tests
from gnnvcell.tasks.de_tables import DETables
from gnnvcell.tasks.matching import Match
from gnnvcell.tasks.real_effects import RealEffects

# Goes into the keys of kept tables: a change of the test makes new ones.
_METHOD = "mann-whitney, asymptotic, geometric log2 fold change, 1"


class RealTests:
    """Tests of every real row against all control cells of its cell type, whose values stay in memory.

    Args:
        real: real cells.
        effects: their rows.
        tables: given tables, and where that of the real cells is kept.
        threads: that work on ranges of genes.

    Raises:
        DataError: a table is given for cells of several cell types, or lacks a perturbation.
    """

    def __init__(self, real: Cells, effects: RealEffects, tables: DETables, *, threads: int = 1) -> None:
        if len(real.contexts) > 1 and (tables.real or tables.predicted):
            raise DataError(
                "a table of differential expression belongs to one cell type",
                found=f"{len(real.contexts)} cell types",
                remedy="evaluate one cell type at a time, or let the tables be computed",
            )
        self._real, self._effects, self._tables, self._threads = real, effects, tables, threads
        self._row_of = effects.row_of
        rows, genes = effects.deltas.shape
        self.tests = CellTests(*(np.full((rows, genes), np.nan) for _ in range(3)))
        self._controls = {int(code): self._controls_of(int(code)) for code in np.unique(effects.context)}
        for code in self._controls:
            inside = np.flatnonzero(effects.context == code)
            self.tests.put(inside, self._test(inside, self._controls[code]))

    def against(
        self, predicted: Cells, match: Match, rows: NDArray, constant: NDArray | None
    ) -> tuple[CellTests, CellTests | None]:
        """Test a prediction, and a mean that stands for as many cells as are real, against the real controls.

        Args:
            predicted: predicted cells.
            match: how they stand against the real ones.
            rows: (matched,) real rows.
            constant: (matched, genes) mean expression; None to leave it out.

        Returns:
            Tests of the matched rows: of the prediction, and of the mean.
        """
        shape = (len(rows), len(self._real.genes))
        found, mean = (CellTests(*(np.full(shape, np.nan) for _ in range(3))) for _ in range(2))
        given = self._tables.predicted_table()
        for code, controls in self._controls.items():
            inside = np.flatnonzero(self._effects.context[rows] == code)
            if not len(inside):
                continue
            cells = CellBlock.of(predicted, match.predicted_rows, inside, match.columns)
            values = None if constant is None else constant[inside]
            copies = self._effects.cells[rows[inside]]
            tests, of_mean = run_tests(cells, controls, constant=values, copies=copies, threads=self._threads)
            if given is not None:
                tests = CellTests.from_table(
                    given, match.perturbations[inside], self._real.genes, what="predicted"
                )
            found.put(inside, tests)
            if of_mean is not None:
                mean.put(inside, of_mean)
        return found, None if constant is None else mean

    def _controls_of(self, code: int) -> CellBlock:
        row_of = np.where(self._real.is_control & (self._real.context_code == code), 0, -1)
        return CellBlock.of(self._real, row_of, np.zeros(1, dtype=np.int64))

    def _test(self, rows: NDArray, controls: CellBlock) -> CellTests:
        names, genes = self._effects.perturbations[rows], self._real.genes
        cells = CellBlock.of(self._real, self._row_of, rows)
        key = digest_of([_METHOD, cells.digest(), controls.digest(), names.tolist(), genes.tolist()])
        table = self._tables.real_table(key)
        if table is not None:
            return CellTests.from_table(table, names, genes, what="real")
        tests, _ = run_tests(cells, controls, threads=self._threads)
        self._tables.keep(key, tests.table(names, genes))
        return tests
