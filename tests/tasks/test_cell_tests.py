from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.data.cells import Cells
from gnnvcell.data.differential import differential_expression
from gnnvcell.errors import DataError
from gnnvcell.tasks.cell_tests import CellTests
from gnnvcell.tasks.de_tables import DETables
from gnnvcell.tasks.matching import match_cells
from gnnvcell.tasks.real_effects import measure_effects


# Tests are of float32 logs, as in the files of predictions; ties in float64 differ in the odd gene: hence rtol=0.05.
def run_on(real: ad.AnnData, tables: DETables | None = None) -> CellTests:
    cells = Cells.of(real)
    return CellTests(cells, measure_effects(cells, progress=False), tables or DETables())


def test_real_cells_are_tested_as_by_the_data_room(make_screen) -> None:
    real = make_screen(seed=0, contexts=("k562", "rpe1"))
    tests = run_on(real)
    found = tests.of_real(np.arange(12))
    wanted = differential_expression(real, batch_key=None, context_key="cell_type")
    for row, (name, context) in enumerate(zip(tests.effects.perturbations, tests.effects.contexts, strict=True)):
        place = np.flatnonzero((wanted.perturbations == name) & (wanted.contexts == context))[0]
        np.testing.assert_allclose(found.fdr[row], wanted.q_value[place], rtol=0.05, atol=1e-12)
        np.testing.assert_allclose(found.log2_fold_change[row], wanted.log2_fold_change()[place], rtol=1e-4, atol=1e-5)


def test_predicted_cells_are_tested_against_the_real_controls(make_screen) -> None:
    real, predicted = make_screen(seed=0), make_screen(seed=1)[:, np.arange(40)[::-1]].copy()
    tests = run_on(real)
    match = match_cells(Cells.of(predicted), Cells.of(real))
    found = tests.of_predicted(Cells.of(predicted), match, np.arange(6))
    both = ad.concat(
        [
            real[(real.obs["target_gene"] == "non-targeting").to_numpy()],
            predicted[(predicted.obs["target_gene"] != "non-targeting").to_numpy(), real.var_names],
        ],
        index_unique="-",
    )
    wanted = differential_expression(both, batch_key=None)
    np.testing.assert_allclose(found.fdr, wanted.q_value, rtol=0.05, atol=1e-12)


def test_equal_cells_are_tested_as_if_they_were_there(make_screen) -> None:
    """The closed form against cells that are laid out; some genes are silent in the mean, some in all cells."""
    real = make_screen(seed=0, controls=50, cells=7)
    real.X = sp.csr_matrix(np.where(np.arange(40) == 39, 0, real.X.toarray()))
    tests = run_on(real)
    means = np.random.default_rng(1).gamma(1.0, 3.0, (6, 40))
    means[:, [3, 4, 39]] = 0
    found = tests.of_mean(means, np.arange(6))
    controls = tests._controls[0]
    labels = np.repeat(tests.effects.perturbations, 7)
    laid_out = ad.AnnData(
        sp.vstack([controls.X, sp.csr_matrix(np.repeat(means, 7, axis=0), dtype=np.float32)], format="csr"),
        obs=pd.DataFrame({"target_gene": ["non-targeting"] * 50 + labels.tolist()}),
        var=pd.DataFrame(index=controls.var_names),
    )
    wanted = differential_expression(laid_out, batch_key=None, assume="log1p")
    np.testing.assert_allclose(found.fdr, wanted.q_value, rtol=0.05, atol=1e-12)
    np.testing.assert_allclose(found.log2_fold_change, wanted.log2_fold_change(), rtol=1e-4, atol=1e-5)


def test_real_cells_are_tested_once(make_screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = make_screen(seed=0)
    first = run_on(real, DETables(cache=tmp_path)).of_real(np.arange(6))
    assert len(list(tmp_path.iterdir())) == 1

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("tested again")

    monkeypatch.setattr("gnnvcell.data.differential_cache.differential_expression", fail)
    again = run_on(real.copy(), DETables(cache=tmp_path)).of_real(np.arange(6))
    np.testing.assert_array_equal(again.fdr, first.fdr)
    with pytest.raises(AssertionError, match="tested again"):
        run_on(make_screen(seed=5), DETables(cache=tmp_path))


def test_given_tables_are_taken_as_they_are(make_screen, tmp_path: Path) -> None:
    real = make_screen(seed=0)
    table = differential_expression(real, batch_key=None).table()
    table.assign(fdr=np.where(table["feature"] == "G7", 0.001, 0.9)).to_csv(tmp_path / "de.csv", index=False)
    found = run_on(real, DETables(real=tmp_path / "de.csv")).of_real(np.arange(6))
    assert (found.significant.sum(axis=1) == 1).all()
    assert found.significant[:, 7].all()
    table[table["target"] != "G3"].to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(DataError, match=r"lacks 1 of 6 perturbations(.|\n)*G3"):
        run_on(real, DETables(real=tmp_path / "short.csv"))
    with pytest.raises(DataError, match="belongs to one cell type"):
        run_on(make_screen(contexts=("a", "b")), DETables(real=tmp_path / "de.csv"))
