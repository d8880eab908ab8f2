from typing import Any

import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.data.effects import Context
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


def two_contexts(**changes) -> EffectTable:
    """A in two cell types and A+B in one; control expression of both."""
    parts: dict[str, Any] = dict(
        values=[[0.5, 0.0], [0.25, -1.0], [2.0, 1.0]],
        measured=[[True, False], [True, True], [True, True]],
        perturbations=["A", "A", "A+B"],
        genes=["X", "Y"],
        kind="delta",
        context=["k562", "rpe1", "rpe1"],
        control={"k562": np.array([1.0, np.nan]), "rpe1": np.array([3.0, 4.0])},
    )
    parts.update(changes)
    return EffectTable(**parts)


def test_one_context_or_one_for_each_row() -> None:
    assert table().contexts.tolist() == ["k562", "k562"]
    both = two_contexts()
    assert both.context_names == ["k562", "rpe1"]
    assert both.of_context("k562").context == "k562"
    with pytest.raises(DataError, match=r"several contexts(.|\n)*k562, rpe1(.|\n)*of_context"):
        _ = both.context
    assert "'k562', 'rpe1'" in repr(both)


def test_a_perturbation_is_unique_within_a_context() -> None:
    with pytest.raises(DataError, match=r"perturbation names repeat(.|\n)*'A' and 0 others"):
        two_contexts(context="k562", control={})


def test_context_with_its_control_expression() -> None:
    found = two_contexts().context_of("rpe1")
    assert isinstance(found, Context)
    assert found.name == "rpe1"
    np.testing.assert_array_equal(found.control, [3, 4])
    assert two_contexts(control={}).context_of("rpe1").control is None
    with pytest.raises(DataError, match=r"no row has the context 'rpe'(.|\n)*rpe1"):
        two_contexts().context_of("rpe")


def test_rows_of_contexts_leave_the_control_of_others() -> None:
    both = two_contexts()
    rpe1 = both.of_context("rpe1")
    assert rpe1.perturbations.tolist() == ["A", "A+B"]
    assert list(rpe1.control) == list(both.take([1]).control) == ["rpe1"]
    assert sorted(both.take(np.array([True, True, False])).control) == ["k562", "rpe1"]
    assert both.of_context("rpe1", "k562").shape == both.shape
    with pytest.raises(DataError, match="no row has the context 'hepg2'"):
        both.of_context("k562", "hepg2")


def test_joined_tables_have_the_genes_of_all() -> None:
    other = EffectTable(
        [[7.0, 8.0]], [[True, True]], ["C"], ["Z", "X"], kind="delta", split=["test"], context="hepg2",
        control={"hepg2": np.array([5.0, 6.0])},
    )  # fmt: skip
    joined = EffectTable.joined([two_contexts(), other])
    assert joined.genes.tolist() == ["X", "Y", "Z"]
    assert joined.perturbations.tolist() == ["A", "A", "A+B", "C"]
    assert joined.contexts.tolist() == ["k562", "rpe1", "rpe1", "hepg2"]
    assert joined.split.tolist() == ["train", "train", "train", "test"]
    np.testing.assert_array_equal(joined.measured, [[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(joined.values[3], [8, 0, 7])
    np.testing.assert_array_equal(joined.control["k562"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(joined.control["hepg2"], [6, np.nan, 5])


def test_tables_of_one_context_join_their_control_expression() -> None:
    genes = (["X"], ["Y"])
    first, second = (
        EffectTable([[1.0]], [[True]], [name], part, kind="delta", context="k", control={"k": np.array([value])})
        for name, part, value in zip("AB", genes, (1.0, 2.0), strict=True)
    )
    joined = EffectTable.joined([first, second])
    np.testing.assert_array_equal(joined.control["k"], [1, 2])
    np.testing.assert_array_equal(joined.measured, [[1, 0], [0, 1]])


def test_what_cannot_be_joined() -> None:
    with pytest.raises(DataError, match=r"one kind(.|\n)*de, delta"):
        EffectTable.joined([table(), two_contexts()])
    with pytest.raises(DataError, match=r"one kind(.|\n)*no table"):
        EffectTable.joined([])
    with pytest.raises(DataError, match="perturbation names repeat"):
        EffectTable.joined([two_contexts(), two_contexts()])


def test_contexts_and_control_come_back_from_h5ad(tmp_path) -> None:
    before = two_contexts()
    after = EffectTable.load(before.save(tmp_path / "effects.h5ad"))
    for name in ("values", "measured", "perturbations", "genes", "split", "contexts"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert after.kind == "delta"
    assert list(after.control) == list(before.control)
    for name, means in before.control.items():
        np.testing.assert_array_equal(after.control[name], means)
    assert before.to_anndata().obs_names.tolist() == ["A@k562", "A@rpe1", "A+B@rpe1"]


@pytest.mark.parametrize(
    ("name", "means"),
    [("hepg2", [1.0, 2.0]), ("k562", [1.0]), ("k562", [np.inf, 1.0])],
    ids=["context", "genes", "infinite"],
)
def test_control_expression_that_does_not_fit(name, means) -> None:
    with pytest.raises(DataError, match=r"the control expression of '\w+' does not fit(.|\n)*2 genes"):
        two_contexts(control={name: np.array(means)})
