"""Log totals of cells, and labels that were dealt out anew."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from gnnvcell import keys
from gnnvcell.data.cells import Cells
from gnnvcell.data.log_totals import log_totals
from gnnvcell.data.shuffled_labels import with_shuffled_labels


def cells_of(values: np.ndarray, labels: list[str], **columns) -> Cells:
    obs = pd.DataFrame({"target_gene": labels, **columns}, index=pd.Index([f"c{i}" for i in range(len(labels))]))
    var = pd.DataFrame(index=pd.Index([f"G{i}" for i in range(values.shape[1])]))
    return Cells.of(ad.AnnData(sp.csr_matrix(values.astype(np.float32)), obs=obs, var=var))


def test_totals_of_counts_of_log1p_values_and_of_the_column() -> None:
    counts = np.array([[3, 0, 4], [0, 0, 0], [1, 1, 0]])
    labels = ["ctrl", "A", "A"]
    np.testing.assert_allclose(log_totals(cells_of(counts, labels)), np.log1p([7, 0, 2]), rtol=1e-6)
    np.testing.assert_allclose(log_totals(cells_of(np.log1p(counts), labels), np.array([2, 0])), np.log1p([2, 7]))
    known = cells_of(np.log1p(counts), labels, **{keys.LOG_TOTAL: [9.0, 8.0, 7.0]})
    assert log_totals(known, np.array([1, 0])).tolist() == [8, 9]


def test_labels_move_among_perturbed_cells_of_a_cell_type() -> None:
    labels, types = ["ctrl", "A", "A", "B", "B", "C"] * 20, (["k"] * 6 + ["t"] * 6) * 10
    cells = cells_of(np.arange(240).reshape(120, 2) + 1, labels, cell_type=types)
    shuffled = with_shuffled_labels(cells, seed=0)
    np.testing.assert_array_equal(shuffled.is_control, cells.is_control)
    assert (shuffled.code != cells.code).mean() > 0.3
    for context in range(2):
        inside = cells.context_code == context
        np.testing.assert_array_equal(np.sort(shuffled.code[inside]), np.sort(cells.code[inside]))
    np.testing.assert_array_equal(with_shuffled_labels(cells, seed=0).code, shuffled.code)
    assert (with_shuffled_labels(cells, seed=1).code != shuffled.code).any()
    part = shuffled.take_cells(shuffled.code == 0)
    assert part.perturbations.tolist() == ["A"]
    assert len(part) == 40
