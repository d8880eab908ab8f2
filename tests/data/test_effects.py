from typing import Any

import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.errors import DataError, FileFormatError


def table(**changes) -> EffectTable:
    parts: dict[str, Any] = dict(
        values=[[1, np.nan], [0, 1]],
        measured=[[True, False], [True, True]],
        perturbations=["A", "A+B"],
        genes=["X", "Y"],
        kind="de",
        split=["train", "test"],
        context="k562",
    )
    parts.update(changes)
    return EffectTable(**parts)


def test_round_trip_through_h5ad(tmp_path) -> None:
    before = table()
    after = EffectTable.load(before.save(tmp_path / "effects.h5ad"))
    for name in ("values", "measured", "perturbations", "genes", "split"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert (after.kind, after.context) == ("de", "k562")
    assert np.isnan(np.asarray(before.to_anndata().X)[0, 1])


def test_unmeasured_values_cannot_be_seen() -> None:
    assert table(values=[[1, 1], [0, 1]]).values[0, 1] == 0


def test_splits() -> None:
    assert table().of_split("test").perturbations.tolist() == ["A+B"]
    with pytest.raises(DataError, match="no perturbation has split val"):
        table().of_split("val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genes": ["X"]}, "different shapes"),
        ({"genes": ["X", "X"]}, "gene names repeat"),
        ({"perturbations": ["A", "A"]}, "perturbation names repeat"),
        ({"measured": [[True, True], [True, True]]}, "1 measured effects are NaN"),
        ({"values": [[2, 0], [0, 1]]}, "are 0 or 1"),
        ({"kind": "log2fc"}, "unknown kind"),
    ],
)
def test_bad_tables_are_refused(changes, message) -> None:
    with pytest.raises(DataError, match=message):
        table(**changes)


def test_an_h5ad_that_is_no_effect_table(tmp_path) -> None:
    adata = table().to_anndata()
    del adata.uns["effect_kind"]
    adata.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(DataError, match="effect_kind"):
        EffectTable.load(tmp_path / "x.h5ad")
    with pytest.raises(FileFormatError, match="no file"):
        EffectTable.load(tmp_path / "y.h5ad")
