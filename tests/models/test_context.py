"""Models and cell types: which one is predicted for, and what its control cells express."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from gnnvcell.data import Cells, EffectTable
from gnnvcell.data.effects import Context
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.errors import DataError, ModelError
from gnnvcell.models import MODELS, ReadoutConfig
from gnnvcell.models._context import ExpressionInContext
from gnnvcell.models.propagation import PropagationConfig
from gnnvcell.models.source_propagation import SourcePropagationConfig

CONTEXTS = ("k562", "rpe1")
LEARNERS = {
    "propagation": PropagationConfig(readout=ReadoutConfig(hidden=16, lr=1e-2)),
    "source_propagation": SourcePropagationConfig(dim=16, steps=2),
}


def world(planted, seed: int = 0) -> tuple[EffectTable, EffectTable]:
    """Targets of a community do the same where they are expressed, and nothing where they are not: train and test.

    Each target is expressed in one of the two cell types. A quarter of the targets is held out in both.
    """
    rng = np.random.default_rng(seed)
    targets = [f"P{i}" for i in range(84)]
    genes = [*targets, *(f"R{i}" for i in range(24))]
    effect = np.zeros((6, len(genes)))
    effect[:, 84:] = rng.choice([-1.0, 1.0], (6, 24))
    on = rng.random(84) < 0.5
    held_out = rng.permutation(84) < 21
    values, control = [], {}
    for context, expressed in zip(CONTEXTS, (on, ~on), strict=True):
        values.append(effect[np.arange(84) % 6] * expressed[:, None] + 0.2 * rng.standard_normal((84, len(genes))))
        control[context] = np.append(np.where(expressed, 2.0, 0.1), rng.uniform(0.5, 2.0, 24))
    measured = np.array(targets * 2)[:, None] != np.array(genes)
    table = EffectTable(
        np.concatenate(values), measured, targets * 2, genes, kind="delta", control=control,
        split=np.where(np.tile(held_out, 2), "test", "train"), context=np.repeat(CONTEXTS, 84),
    )  # fmt: skip
    assert set(genes[:84]) <= set(planted.graph.vocab.symbols.tolist())
    return table.of_split("train"), table.of_split("test")


def without_control(table: EffectTable) -> EffectTable:
    return EffectTable(
        table.values, table.measured, table.perturbations, table.genes, kind=table.kind, context=table.contexts
    )


@pytest.fixture(scope="module")
def table_and_test(planted_delta):
    return world(planted_delta)


@pytest.fixture(scope="module")
def fitted(planted_delta, table_and_test):
    return {name: MODELS.get(name)(LEARNERS[name]).fit(table_and_test[0], planted_delta.graph) for name in LEARNERS}


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_a_target_that_is_not_expressed_does_less(fitted, table_and_test, name) -> None:
    """Held-out perturbations, each asked for where its target is on and where it is off."""
    _, test = table_and_test
    names = test.of_context("k562").perturbations
    sizes = {}
    for context in CONTEXTS:
        prediction = fitted[name].predict(names, context=context)
        assert prediction.context == context
        sizes[context] = np.linalg.norm(prediction.values[:, 84:], axis=1)
    column = [int(np.flatnonzero(test.genes == target)[0]) for target in names]
    on = test.control["k562"][column] > 1
    ratio = np.where(on, sizes["rpe1"] / sizes["k562"], sizes["k562"] / sizes["rpe1"])
    assert (ratio < 1).all()
    assert np.median(ratio) < 0.6


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_control_expression_lowers_the_error(fitted, planted_delta, table_and_test, name) -> None:
    train, test = table_and_test
    blind = MODELS.get(name)(LEARNERS[name]).fit(without_control(train), planted_delta.graph)
    errors = []
    for model in (fitted[name], blind):
        tables = [test.of_context(context) for context in CONTEXTS]
        found = [model.predict(t.perturbations, context=t.context).values[:, 84:] - t.values[:, 84:] for t in tables]
        errors.append(np.mean(np.square(found)))
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize("name", [*LEARNERS, "gene_mean", "knn", "ridge", "smoother"])
def test_the_context_matters_only_where_it_is_said(planted_delta, table_and_test, make_model, name) -> None:
    model = make_model(name).fit(table_and_test[0], planted_delta.graph)
    first, second = (model.predict(["P0", "P1+P2"], context=context) for context in CONTEXTS)
    assert (first.context, second.context) == CONTEXTS
    assert model.uses_context == (name in LEARNERS)
    assert np.array_equal(first.values, second.values) != model.uses_context
    np.testing.assert_array_equal(first.support, second.support)


@pytest.mark.parametrize("name", sorted(LEARNERS))
@pytest.mark.parametrize("kind", ["de", "delta"])
def test_without_control_expression_the_context_says_nothing(planted_de, planted_delta, make_model, name, kind) -> None:
    planted = planted_de if kind == "de" else planted_delta
    model = make_model(name).fit(planted.train, planted.graph)
    known = Context("elsewhere", np.linspace(0, 3, planted.train.shape[1]).astype(np.float32))
    wanted = model.predict(["P0", "P1+P2"]).values
    for context in ("", Context("elsewhere"), known):
        np.testing.assert_array_equal(model.predict(["P0", "P1+P2"], context=context).values, wanted)


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_a_new_cell_type_is_told_by_its_control_expression(fitted, table_and_test, name) -> None:
    train, test = table_and_test
    names, model = test.of_context("k562").perturbations, fitted[name]
    wanted = model.predict(names, context="k562")
    found = model.predict(names, context=Context("new", train.control["k562"]))
    np.testing.assert_array_equal(found.values, wanted.values)
    assert found.context == "new"
    np.testing.assert_array_equal(model.predict(names, context=Context("k562")).values, wanted.values)
    partly = np.where(np.arange(train.shape[1]) % 2, train.control["k562"], np.nan)
    assert np.isfinite(model.predict(names, context=Context("new", partly)).values).all()
    with pytest.raises(ModelError, match=r"'new' comes without the expression(.|\n)*context=cells"):
        model.predict(names, context=Context("new"))
    with pytest.raises(ModelError, match=r"'new' does not fit the model(.|\n)*108 training genes"):
        model.predict(names, context=Context("new", train.control["k562"][:5]))


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_contexts_that_are_missing_or_unknown(fitted, name) -> None:
    with pytest.raises(ModelError, match=r"the context to predict for is missing(.|\n)*k562, rpe1"):
        fitted[name].predict(["P0"])
    with pytest.raises(ModelError, match=r"not trained in the context 'rpe'(.|\n)*rpe1(.|\n)*control cells"):
        fitted[name].predict(["P0"], context="rpe")


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_control_expression_of_some_contexts_only(planted_delta, table_and_test, name) -> None:
    train = table_and_test[0].take(np.arange(table_and_test[0].shape[0]))
    del train.control["rpe1"]
    with pytest.raises(ModelError, match=r"some contexts (.|\n)*no control expression(.|\n)*rpe1"):
        MODELS.get(name)(LEARNERS[name]).fit(train, planted_delta.graph)


def test_models_that_ignore_the_context_need_none(planted_delta, table_and_test, make_model) -> None:
    model = make_model("knn").fit(table_and_test[0], planted_delta.graph)
    assert model.predict(["P0"]).context == ""
    with pytest.raises(ModelError, match="not trained in the context 'hepg2'"):
        model.predict(["P0"], context="hepg2")
    one = make_model("knn").fit(table_and_test[0].of_context("rpe1"), planted_delta.graph)
    assert one.predict(["P0"]).context == "rpe1"


def test_expression_features_by_hand() -> None:
    control = {"k": np.array([1.0, 3.0, np.nan]), "t": np.array([5.0, 3.0, 3.0])}
    table = EffectTable(
        np.zeros((3, 3)), np.ones((3, 3), bool), ["A", "A+C", "elsewhere"], ["A", "B", "C"], kind="delta",
        context=["k", "t", "k"], control=control,
    )  # fmt: skip
    expression = ExpressionInContext.of(table)
    assert (expression.mean, expression.width) == (3.0, 4)  # of 1, 3, 5, 3, 3
    spread = np.sqrt(8 / 5)
    features = expression.of_rows(table).numpy()
    np.testing.assert_allclose(features[0, :, 0], [-2 / spread, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(features[0, :, 1], [1, 1, 0])
    np.testing.assert_allclose(features[:, 0, 2], [-2 / spread, 1 / spread, 0], rtol=1e-6)
    np.testing.assert_array_equal(features[:, 0, 3], [1, 1, 0])
    assert (features[:, :1, 2:] == features[:, :, 2:]).all()  # what a target has does not depend on the gene
    assert ExpressionInContext.of(without_control(table)).of_rows(table).shape == (3, 3, 0)


def screen(seed: int = 0) -> Cells:
    """Counts of 48 perturbations in one cell type; their own gene is all that they lower."""
    rng = np.random.default_rng(seed)
    genes = [*(f"P{i}" for i in range(48)), "R0", "R1"]
    labels = np.array([*["ctrl"] * 40, *np.repeat(genes[:48], 4)])
    rate = rng.gamma(4.0, 2.0, len(genes)) * np.ones((len(labels), 1))
    rate[np.arange(40, len(labels)), np.repeat(np.arange(48), 4)] *= 0.1
    obs = pd.DataFrame({"target_gene": labels, "cell_type": "k"}, index=pd.RangeIndex(len(labels)).astype(str))
    counts = sp.csr_matrix(rng.poisson(rate).astype(np.float32))
    return Cells.of(ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=pd.Index(genes))))


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_cells_are_taken_as_their_effects(planted_delta, make_model, name) -> None:
    cells = screen()
    by_cells = make_model(name).fit(cells, planted_delta.graph)
    by_anndata = make_model(name).fit(cells.to_anndata(), planted_delta.graph)
    by_table = make_model(name).fit(cell_effects(cells), planted_delta.graph)
    wanted = by_table.predict(["P3", "P80"])
    assert wanted.context == "k"
    for model in (by_cells, by_anndata):
        np.testing.assert_array_equal(model.predict(["P3", "P80"]).values, wanted.values)
    controls = cells.take_cells(cells.is_control)
    for context in (controls, controls.to_anndata(), cells):
        found = by_table.predict(["P3", "P80"], context=context)
        assert found.context == "k"
        np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5, atol=1e-6)


def test_cells_without_controls_are_refused(planted_delta, make_model) -> None:
    cells = screen()
    with pytest.raises(DataError, match="no cell is a control"):
        make_model("propagation").fit(cells.take_cells(cells.code >= 0), planted_delta.graph)
    model = make_model("propagation").fit(cells, planted_delta.graph)
    with pytest.raises(DataError, match="no cell is a control"):
        model.predict(["P0"], context=cells.take_cells(cells.code >= 0))
