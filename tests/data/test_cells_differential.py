import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.data.cells import Cells
from gnnvcell.data.cells_differential import differential_of_cells
from gnnvcell.data.differential import differential_expression
from gnnvcell.errors import DataError


def screen(seed: int = 0, *, log1p: bool = False) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(["non-targeting", "G0", "G1", "G2"], [80, 40, 40, 40]))
    counts = rng.poisson(rng.exponential(1.0, 30), (200, 30)).astype(np.float32)
    counts[labels == "G1", 5] += 3
    obs = pd.DataFrame(
        {"target_gene": labels, "batch": rng.choice(["a", "b"], 200), "cell_type": rng.choice(["K562", "RPE1"], 200)},
        index=pd.RangeIndex(200).astype(str),
    )
    values = np.log1p(counts / 3) if log1p else counts
    return ad.AnnData(sp.csr_matrix(values), obs=obs, var=pd.DataFrame(index=pd.Index([f"G{i}" for i in range(30)])))


@pytest.mark.parametrize("log1p", [False, True])
@pytest.mark.parametrize("memory", [1 << 30, 20_000])
@pytest.mark.parametrize("on_disk", [False, True])
def test_the_same_as_of_the_anndata(tmp_path, log1p: bool, memory: int, on_disk: bool) -> None:
    adata = screen(log1p=log1p)
    wanted = differential_expression(adata, context_key="cell_type", assume="log1p" if log1p else "counts")
    cells = Cells.of(adata)
    if on_disk:
        adata.write_h5ad(tmp_path / "cells.h5ad")
        cells = Cells.open(tmp_path / "cells.h5ad", in_memory=False)
    found = differential_of_cells(cells, memory=memory, progress=False)
    for name, value in vars(wanted).items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


def test_cells_that_cannot_be_tested_are_refused() -> None:
    adata = screen()
    no_controls = adata[(adata.obs["target_gene"] != "non-targeting").to_numpy()].copy()
    with pytest.raises(DataError, match="no cell is a control"):
        differential_of_cells(Cells.of(no_controls), progress=False)
    adata.X = adata.X.toarray() - 1.5  # type: ignore[union-attr]
    with pytest.raises(DataError, match="neither counts nor log1p"):
        differential_of_cells(Cells.of(adata), progress=False)
