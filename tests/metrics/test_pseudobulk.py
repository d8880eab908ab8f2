import numpy as np
import pytest
import scipy.sparse as sp

from gnnvcell.errors import DataError
from gnnvcell.metrics import PseudoBulk
from gnnvcell.metrics.pseudobulk import group_sums

LABELS = np.array(["b", "control", "a", "b", "control"])
GENES = np.array(["x", "y"])
VALUES = np.array([[1.0, 0.0], [0.0, 4.0], [5.0, 5.0], [3.0, 0.0], [2.0, 0.0]], dtype=np.float32)


@pytest.mark.parametrize("matrix", [VALUES, sp.csr_matrix(VALUES), sp.csr_array(VALUES)])
def test_means_by_hand(matrix) -> None:
    bulk = PseudoBulk.of_cells(matrix, LABELS, "control", GENES)
    assert bulk.perturbations.tolist() == ["a", "b"]
    assert bulk.means.tolist() == [[5, 5], [2, 0]]
    assert bulk.control.tolist() == [1, 2]
    assert bulk.deltas.tolist() == [[4, 3], [1, -2]]


def test_each_perturbation_may_have_controls_of_its_own() -> None:
    bulk = PseudoBulk(np.ones((2, 2)), np.array([[0.0, 1.0], [1.0, 0.0]]), np.array(["a", "b"]), GENES)
    assert bulk.deltas.tolist() == [[1, 0], [0, 1]]


def test_sums_leave_out_what_has_no_group() -> None:
    found = group_sums(sp.csr_array(VALUES), np.array([0, -1, 1, 0, -1]), 3)
    assert found.tolist() == [[4, 0], [5, 5], [0, 0]]


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="did you mean 'control'"):
        PseudoBulk.of_cells(VALUES, LABELS, "Control", GENES)
    with pytest.raises(DataError, match="a CSR matrix in memory"):
        PseudoBulk.of_cells(sp.csc_array(VALUES), LABELS, "control", GENES)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="different shapes"):
        PseudoBulk(np.ones((2, 2)), np.ones(3), np.array(["a", "b"]), GENES)
    with pytest.raises(DataError, match="repeat"):
        PseudoBulk(np.ones((2, 2)), np.ones(2), np.array(["a", "a"]), GENES)
