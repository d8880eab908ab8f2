"""A small real screen and a prediction of it, with what trips scorers up."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

CONTROL, COLUMN = "non-targeting", "target"
NAMES = ["G00", "G01", "G02+G03", "G04", "G05", "elsewhere"]
GENES = [f"G{i:02d}" for i in range(24)]


def small_pair(seed: int = 0) -> tuple[ad.AnnData, ad.AnnData]:
    """(predicted, real) log1p float32 CSR of 24 genes: 6 perturbations of 16 cells, 40 control cells.

    G05 does nothing; G23 is expressed in no cell and G22 in controls of the prediction alone (infinite fold changes);
    one perturbation has two targets and one none among the genes.
    """
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(7), [16] * 6 + [40])
    change = np.zeros((7, 24))
    for row in (0, 1, 2, 3, 5):
        changed = np.arange(6 + 2 * row, 9 + 3 * row)
        change[row, changed % 22] = 2.0 * (-0.8) ** (changed - 6)
        change[row, row] = -3
    base = np.linspace(0.6, 6, 24)
    real = rng.poisson(base * np.exp(change[group]))
    predicted = rng.poisson(base * np.exp(0.6 * change[group] + 0.3 * change[(group + 1) % 7]))
    real[:, 23], predicted[:, 23] = 0, 0
    predicted[:96, 22] = 0
    return _screen(predicted, group), _screen(real, group)


def _screen(counts: np.ndarray, group: np.ndarray) -> ad.AnnData:
    labels = np.array([*NAMES, CONTROL])[group]
    obs = pd.DataFrame({COLUMN: labels}, index=pd.RangeIndex(len(group)).astype(str))
    values = sp.csr_matrix(np.log1p(counts / 4.0).astype(np.float32))
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=pd.Index(GENES)))


@pytest.fixture(scope="session")
def screens() -> tuple[ad.AnnData, ad.AnnData]:
    """(predicted, real); see ``small_pair``. Not to be changed."""
    return small_pair()
