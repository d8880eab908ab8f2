import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.data import Cells, FieldsConfig
from gnnvcell.data.knockdown import Knockdown, TargetExpression
from gnnvcell.data.passes import read_through


def of(labels: list[str], values: list, batches: list[str], **fields: str) -> Knockdown:
    obs = pd.DataFrame({"target_gene": labels, "batch": batches}, index=pd.RangeIndex(len(labels)).astype(str))
    adata = ad.AnnData(np.array(values, dtype=np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(["A", "B", "C"])))
    cells = Cells.of(adata, FieldsConfig.parse(fields))
    targets = TargetExpression(cells)
    read_through(cells, targets, size=2, progress=False)
    return targets.knockdown()


# Rows sum to 100, so that counts per 10,000 are a hundred times the counts.
CONTROLS = [[20, 20, 60], [40, 20, 40], [10, 50, 40]]
LABELS = ["ctrl", "ctrl", "ctrl"]
BATCHES = ["x", "x", "y"]


def test_residual_by_hand() -> None:
    found = of(
        [*LABELS, "A", "A", "A"], [*CONTROLS, [6, 54, 40], [12, 48, 40], [5, 55, 40]], [*BATCHES, "x", "x", "y"]
    )
    # Controls of A: 30 in x, 10 in y; matched to cells x, x, y: 70 / 3 on average.
    assert found.table["residual"].tolist() == pytest.approx([23 / 70])
    np.testing.assert_allclose(found.cell_residual[3:], np.array([6, 12, 5]) / (70 / 3), rtol=1e-6)
    assert np.isnan(found.cell_residual[:3]).all()
    assert found.arm.tolist() == [-1, -1, -1, 0, 0, 0]


def test_the_least_affected_target_of_a_double_counts() -> None:
    found = of([*LABELS, "A+B"], [*CONTROLS, [3, 10, 87]], [*BATCHES, "x"])
    assert found.table["residual"].tolist() == pytest.approx([10 / 20])


def test_what_cannot_be_judged() -> None:
    rows = [*CONTROLS, [3, 10, 87], [3, 10, 87]]
    found = of([*LABELS, "A+Z", "Z"], rows, [*BATCHES, "x", "x"])
    assert found.table["reason"].tolist() == ["target not among the genes"] * 2
    assert found.table["residual"].isna().tolist() == [True, True]
    assert np.isnan(found.cell_residual).all()
    activated = of([*LABELS, "A", "B"], rows, [*BATCHES, "x", "x"], perturbation_mode="CRISPRa")
    assert activated.table["reason"].tolist() == ["mode CRISPRa"] * 2
    elsewhere = of([*LABELS, "A", "B"], rows, [*BATCHES, "z", "x"])
    assert elsewhere.table["residual"].isna().tolist() == [True, False]
    assert "no controls" in elsewhere.table["reason"][0]


def test_logarithms_are_taken_back() -> None:
    counts = np.array([*CONTROLS, [6, 54, 40]], dtype=float)
    logged = np.log1p(counts * 100).tolist()
    found = of([*LABELS, "A"], logged, [*BATCHES, "x"])
    assert found.table["residual"].tolist() == pytest.approx([6 / 30], rel=1e-5)
