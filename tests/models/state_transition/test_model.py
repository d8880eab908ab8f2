"""StateTransition: fit, predict, save, load, and what it refuses."""

import anndata as ad
import numpy as np
import pytest

from gnnvcell.data.cells import Cells
from gnnvcell.errors import ConfigError, FileFormatError, ModelError
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.models import CELL_MODELS, find_model
from gnnvcell.models.state_transition import StateTransition, StateTransitionConfig

from .conftest import GENES, QUICK, readout_shift, screen

NAMES = ["P1", "P5", "P2+P1", "NOWHERE"]


def test_predicts_any_perturbation_with_names(fitted):
    found = fitted.predict(NAMES)
    assert found.values.shape == (4, len(GENES))
    assert found.perturbations.tolist() == NAMES
    assert found.genes.tolist() == GENES
    assert found.context == "a"
    assert found.support[3] == 0
    assert np.abs(found.values).sum() > 0


def test_rows_do_not_depend_on_each_other(fitted):
    together = fitted.predict(NAMES).values
    np.testing.assert_allclose(fitted.predict(NAMES[::-1]).values[::-1], together, atol=1e-5)
    np.testing.assert_allclose(fitted.predict(NAMES[:1]).values, together[:1], atol=1e-5)


def test_order_of_targets_does_not_matter(fitted):
    np.testing.assert_allclose(fitted.predict(["P1+P2"]).values, fitted.predict(["P2+P1"]).values, atol=1e-6)


def test_same_seed_same_bits(make, cells):
    first, second = (make(encoders=("graph",)).fit(cells, seed=3).predict(NAMES).values for _ in range(2))
    assert (first == second).all()
    assert not (make(encoders=("graph",)).fit(cells, seed=4).predict(NAMES).values == first).all()


def test_saved_and_loaded_predicts_the_same_bits(fitted, tmp_path):
    path = fitted.save(tmp_path / "model")
    again = StateTransition.load(path)
    assert (again.predict(NAMES).values == fitted.predict(NAMES).values).all()
    assert again.config == fitted.config


def test_damaged_folders_are_refused(fitted, tmp_path):
    path = fitted.save(tmp_path / "model")
    weights = path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"weights\.safetensors was changed or damaged"):
        StateTransition.load(path)
    weights.unlink()
    with pytest.raises(FileFormatError, match=r"has no weights\.safetensors"):
        StateTransition.load(path)
    with pytest.raises(FileFormatError, match="no model is at"):
        StateTransition.load(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(FileFormatError, match="something other than a model"):
        fitted.save(tmp_path / "other")


def test_learns_effects_of_unseen_targets_from_the_graph(graph):
    held = ("P3", "P7", "P11")
    training = {**QUICK["training"], "max_steps": 100, "val_every": 50, "optimizer": {"lr": 3e-3}}
    settings = {**QUICK, "hidden_dim": 32, "training": training}
    train = screen(left_out=held, cells=16)
    truth = {name: readout_shift(int(name[1:]))[:10] for name in held}

    def score(encoder: str, graph=graph) -> float:
        model = StateTransition(StateTransitionConfig.parse({**settings, "encoders": (encoder,)}), graph=graph)
        values = model.fit(train).predict(list(held)).values[:, 18:28]
        return float(np.mean([np.corrcoef(values[row], truth[name])[0, 1] for row, name in enumerate(held)]))

    assert score("graph") > 0.8
    assert score("onehot") < 0.5
    assert np.mean([score("graph", CONTROLS.get("rewired")(graph, seed=seed)) for seed in (0, 1)]) < 0.5


def test_new_cell_types_by_their_control_cells(fitted):
    other = screen(contexts=("b",), seed=5)
    found = fitted.predict(["P1"], context=other)
    assert found.context == "b"
    assert np.isfinite(found.values).all()
    with pytest.raises(ModelError, match="not trained in the context 'c'"):
        fitted.predict(["P1"], context="c")


def test_context_must_be_named_where_there_are_several(make):
    model = make(encoders=("graph",)).fit(screen(contexts=("a", "b")))
    with pytest.raises(ModelError, match="context to predict for is missing"):
        model.predict(["P1"])
    assert model.predict(["P1"], context="b").context == "b"


def test_genes_can_be_chosen_by_their_variance(make, cells):
    model = make(encoders=("graph",), genes=10, input_genes=5).fit(cells)
    found = model.predict(["P1"])
    assert set(found.genes) >= set(model._ready().parts.perturbations)  # targets of training are always predicted
    assert 5 <= model.network.cell_encoder[0].in_features < 10  # genes that tie with the last are taken too


def test_combinations_and_modes_are_encoded(fitted):
    found = fitted.predict(["P1", "P1|CRISPRa", "P1+P2"]).values
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[0], found[2])


@pytest.mark.parametrize("loss", [{"de_weight": 0.5}, {"name": "mmd"}, {"name": "sinkhorn+energy"}, {"name": "mse"}])
def test_losses_are_those_of_the_settings(make, cells, loss):
    losses = [make(encoders=("graph",), loss=one).fit(cells).result.history["train/loss"].iloc[0] for one in ({}, loss)]
    assert losses[0] != losses[1]


def test_registered_as_a_model_of_cells():
    assert CELL_MODELS.get("state_transition") is StateTransition
    assert find_model("state_transition") is StateTransition
    with pytest.raises(ConfigError, match="state_transition"):
        find_model("state_transitoin")


class TestRefusals:
    def test_before_fit(self, make):
        with pytest.raises(ModelError, match="not fitted"):
            make().predict(["P1"])

    def test_without_graph(self, cells):
        with pytest.raises(ModelError, match="needs a gene graph"):
            StateTransition(StateTransitionConfig.parse(QUICK)).fit(cells)

    def test_without_features(self, cells, graph):
        with pytest.raises(ModelError, match="'esm' is to be read"):
            StateTransition(StateTransitionConfig.parse({**QUICK, "encoders": ("esm",)}), graph=graph).fit(cells)

    def test_perturbation_on_both_sides(self, make, cells):
        with pytest.raises(ModelError, match="'P0' is in training and in validation"):
            make().fit(cells, validation=cells)

    def test_no_controls(self, make):
        adata = screen()
        with pytest.raises(Exception, match="no cell is a control"):
            make().fit(adata[adata.obs["target_gene"] != "non-targeting"].copy())

    def test_one_perturbation(self, make):
        adata = screen()
        with pytest.raises(ModelError, match="too few perturbations"):
            make().fit(adata[adata.obs["target_gene"].isin(["non-targeting", "P1"])].copy())

    def test_fallback_without_validation(self, make, cells):
        with pytest.raises(ConfigError, match="weighed on validation perturbations"):
            make(fallback="knn", validation=0.0).fit(cells)

    def test_early_stopping_without_validation(self, make, cells):
        training = {**QUICK["training"], "patience": 2}
        with pytest.raises(ConfigError, match="stopping early needs validation data"):
            make(encoders=("graph",), validation=0.0, training=training).fit(cells)

    def test_control_cells_that_lack_genes(self, fitted):
        with pytest.raises(Exception, match="lack 1 of"):
            fitted.predict(["P1"], context=screen()[:, GENES[1:]].copy())

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"encoders": ()}, "encoders"),
            ({"encoders": ("graph", "graph")}, "each once"),
            ({"heads": 5}, "do not divide"),
            ({"embedding": "X", "decoder": "named"}, "gene_decoder"),
            ({"hiden_dim": 5}, "hidden_dim"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ConfigError, match=message):
            StateTransitionConfig.parse({**QUICK, **settings})

    def test_preset(self):
        assert StateTransitionConfig.preset("esm").hidden_dim == 696
        with pytest.raises(ConfigError, match="tiny"):
            StateTransitionConfig.preset("tinny")


def test_anndata_and_cells_are_alike(make):
    adata = screen()
    assert isinstance(adata, ad.AnnData)
    first = make(encoders=("graph",)).fit(adata).predict(["P1"]).values
    assert (make(encoders=("graph",)).fit(Cells.of(adata)).predict(["P1"]).values == first).all()
