"""The published interface, as its users type it."""

import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch

import gnnvcell
from gnnvcell.data.cells import Cells
from gnnvcell.data.effects import EffectTable
from gnnvcell.errors import ConfigError, GeneError, GnnvcellWarning, ModelError, PerturbationError
from gnnvcell.features import FeatureTable, write_features
from gnnvcell.models import StateEmbeddingModel
from gnnvcell.models.state_embedding import StateEmbedding, perturbation_effects
from gnnvcell.models.state_embedding.user_settings import plain, read_settings

EXAMPLE = "graphs/example"
SIZES: dict[str, Any] = {"d_model": 16, "nhead": 2, "d_hid": 32, "nlayers": 1, "output_dim": 8}
RECIPE = {
    "string_db": {"type": "string", "args": {"confidence": 0.7}},
    "gene_ontology": {"type": "go", "args": {"namespace": "biological_process"}},
    "reactome": {"type": "reactome", "args": {"species": "homo_sapiens"}},
}
SMALL = {"sentences": {"length": 24, "expressed": 6, "sampled": 6, "shared": 8}}


@pytest.fixture
def config() -> SimpleNamespace:
    model = SimpleNamespace(use_graph_embeddings=True, graph_dim=12, graph_config=RECIPE, source_dir=EXAMPLE)
    return SimpleNamespace(model=model, loss=SimpleNamespace(name="mse"), optimizer=SimpleNamespace(lr=1e-2), **SMALL)


def model_of(kit, **options) -> StateEmbeddingModel:
    options = {"cfg": SMALL, "genes": kit.genes, "graph": kit.gene_graph(), "esm": kit.esm_table(), **options}
    return StateEmbeddingModel(options.pop("token_dim", 6), **SIZES, **options)


@pytest.mark.filterwarnings("ignore::gnnvcell.errors.GnnvcellWarning")
def test_usage_as_typed(kit, config, tmp_path) -> None:
    """Built from a recipe, trained by the Trainer, asked for effects."""
    model = StateEmbeddingModel(
        token_dim=0, d_model=16, nhead=2, d_hid=32, nlayers=1, output_dim=8, cfg=config, use_graph_embeddings=True
    )
    assert model.network.graph is not None
    assert model.network.config.loss == "mse"
    assert model.network.graph.width == 12
    genes = model.genes[:40].tolist()
    cells = kit.adata(genes=genes)
    renamed = {"G1": genes[1], "G5": genes[5], "G1+G5": "non-targeting"}
    cells.obs["target_gene"] = cells.obs["target_gene"].replace(renamed)
    train = model.loader(cells, batch_size=16, rows=range(32))
    val = model.loader(cells, batch_size=16, rows=range(32, 48), training=False)
    trainer = L.Trainer(
        max_epochs=3, devices=1, accelerator="cpu", default_root_dir=tmp_path, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    before = model.network.summary_token.detach().clone()
    trainer.fit(model, train, val)
    assert trainer.global_step == 6
    assert not torch.equal(before, model.network.summary_token)
    assert {"train/loss", "val/loss", "val/within_cell"} <= set(trainer.callback_metrics)
    predictions = model.predict_perturbation_effects(cells, progress=False)
    assert predictions.var_names.tolist() == genes
    assert set(predictions.obs["perturbation"]) == {genes[1], genes[5]}
    assert predictions.varm["control_expression"].shape == (40, 2)


def test_forward_shapes_and_that_nothing_given_is_ignored(kit) -> None:
    model = model_of(kit).eval()
    names, expression = kit.genes[:5], torch.rand(3, 5)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 5])
    predictions, embedding, dataset = model(expression, mask, names)
    assert (predictions.shape, embedding.shape, dataset.shape) == ((3, 8), (3, 16), (3, 10))
    assert not torch.allclose(model(expression + 1, mask, names)[0], predictions)
    assert not torch.allclose(model(expression, mask, kit.genes[5:10])[0], predictions)
    changed = expression.clone()
    changed[1, 3:] = torch.nan
    torch.testing.assert_close(model(changed, mask, names)[0], predictions)
    torch.testing.assert_close(model(expression, mask, [names] * 3)[0], predictions)
    features = torch.rand(3, 5, 6)
    with_names, without = model(features, None, names)[0], model(features, None)[0]
    assert not torch.allclose(with_names, without)  # the graph is added
    assert not torch.allclose(model(features + 1, None, names)[0], with_names)
    with pytest.raises(ModelError, match="does not say of which genes"):
        model(expression, mask)
    with pytest.raises(ModelError, match="do not fit src"):
        model(expression, mask, names[:4])
    with pytest.raises(GeneError, match="'XYZ'"):
        model(expression, mask, [*names[:4], "XYZ"])


def test_embeddings_of_genes(kit) -> None:
    model = model_of(kit)
    tokens = model.get_gene_embedding(["G3", "G0", "G3"])
    torch.testing.assert_close(tokens, model.network.table()[[3, 0, 3]])
    graph = model.get_graph_embeddings(kit.genes)
    assert graph.shape == (40, 64)
    # Message passing: the embedding of a gene is not what its node began with.
    embeddings = model.network.graph
    assert embeddings is not None
    assert embeddings.encoder is not None
    assert not torch.allclose(graph[:36], embeddings.encoder.inputs["gene"]()[:36])
    alone = model_of(kit, graph=None, use_graph_embeddings=False)
    with pytest.raises(ModelError, match="has no graph"):
        alone.get_graph_embeddings(["G1"])


def test_saved_and_loaded(kit, tmp_path) -> None:
    model = model_of(kit)
    loaded = StateEmbeddingModel.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.embed(kit.adata(), progress=False), model.embed(kit.adata(), progress=False))
    assert isinstance(gnnvcell.load(tmp_path / "model"), gnnvcell.StateEmbeddingModel)
    restored = model_of(kit, seed=1)
    restored.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(restored.embed(kit.adata(), progress=False), model.embed(kit.adata(), progress=False))


AGREEMENT = """
import anndata as ad, numpy as np, torch
from gnnvcell.models import StateEmbeddingModel
torch.set_num_threads(1)
genes = [f"G{i}" for i in range(30)]
cells = ad.AnnData(np.random.default_rng(0).poisson(1.0, (24, 30)).astype(np.float32))
cells.var_names = genes
sizes = dict(token_dim=0, d_model=16, nhead=2, d_hid=32, nlayers=1, output_dim=8)
sizes |= dict(use_graph_embeddings=False, genes=genes)
eager, compiled = StateEmbeddingModel(**sizes), StateEmbeddingModel(**sizes, compiled=True)
batch = eager.loader(cells, batch_size=16).batch(0)
expected, found = eager.network.loss(batch), compiled.network.loss(batch)
for name in expected:
    torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
expected["loss"].backward()
found["loss"].backward()
for (name, one), other in zip(eager.named_parameters(), compiled.parameters(), strict=True):
    torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=name)
assert list(eager.state_dict()) == list(compiled.state_dict())
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler")
def test_compiled_agrees_with_eager() -> None:
    """In a process of its own: the compiler does not get along with shapes that are checked at run time."""
    ran = subprocess.run([sys.executable, "-c", AGREEMENT], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_effects_come_from_changed_sentences(kit) -> None:
    network: StateEmbedding = kit.network()
    cells = Cells.of(kit.adata())
    made = perturbation_effects(network, cells, ["G1", "G1+G5", "G2|CRISPRa", "non-targeting"], progress=False)
    assert made.contexts.tolist() == ["a"] * 4 + ["b"] * 4
    assert made.genes.tolist() == kit.genes
    rows = np.flatnonzero(cells.is_control & (cells.context_code == 0))
    counts = kit.adata().X.toarray()[rows]
    expression = np.log1p(counts * (1e4 / counts.sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(made.control["a"], expression.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(made.values[0, 1], -expression[:, 1].mean(), rtol=1e-4)
    up = (np.maximum(expression.max(axis=1), expression[:, 2]) - expression[:, 2]).mean()
    np.testing.assert_allclose(made.values[2, 2], up, rtol=1e-4)
    assert np.abs(made.values[:3, 7]).min() > 0  # other genes change
    assert not made.values[3].any()
    assert isinstance(EffectTable.from_anndata(made.to_anndata()), EffectTable)
    with pytest.raises(PerturbationError, match="'G99' is no gene"):
        perturbation_effects(network, cells, ["G99"], progress=False)
    with pytest.raises(PerturbationError, match="compound"):
        perturbation_effects(network, cells, ["aspirin|drug@1uM"], progress=False)
    with pytest.raises(ModelError, match="not how much"):
        perturbation_effects(kit.network(loss="cross_entropy"), cells, progress=False)


def test_settings_are_read_or_refused(kit) -> None:
    given = read_settings({"loss": {"name": "mmd"}, "model": {"graph_dim": 5, "positions": "rotary"}}, {"width": 4})
    assert given.model == {"graph": {"width": 5}, "positions": "rotary", "loss": "mmd", "width": 4}
    assert given.optimizer.lr == 1e-5
    assert plain(SimpleNamespace(a=SimpleNamespace(b=[1]))) == {"a": {"b": [1]}}
    for cfg, message in (
        ({"model": {"posittions": "none"}}, "did you mean 'positions'"),
        ({"loss": {"nam": "mse"}}, "did you mean 'name'"),
        ({"optimizer": {"learning_rate": 1}}, "cfg.optimizer has no setting"),
        (3, "cfg has no sections"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_settings(cfg, {})
    with pytest.raises(ConfigError, match="contradict each other in 'use_graph_embeddings'"):
        model_of(kit, cfg={"model": {"use_graph_embeddings": False}}, use_graph_embeddings=True)
    with pytest.warns(GnnvcellWarning, match="not read: experiment"):
        model_of(kit, cfg={**SMALL, "experiment": {"name": "x"}})
    with pytest.raises(ConfigError, match="loss"):
        model_of(kit, cfg={"loss": {"name": "hinge"}})


def test_missing_sources_are_errors(kit, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="there is no graph"):
        model_of(kit, graph=None)
    with pytest.raises(ConfigError, match="no protein features"):
        model_of(kit, esm=None)
    with pytest.raises(ConfigError, match="token_dim is not the width"):
        model_of(kit, token_dim=5)
    with pytest.raises(ConfigError, match="which genes there are"):
        StateEmbeddingModel(0, **SIZES, use_graph_embeddings=False)
    # The usual place of the file.
    (tmp_path / "state" / "embeddings").mkdir(parents=True)
    table = FeatureTable(np.array(kit.genes), np.ones((40, 6)), "made")
    write_features(table, "state/embeddings/protein_embeddings.pt")
    assert model_of(kit, esm=None).network.missing["esm"] == 0


def test_importing_models_does_not_import_lightning() -> None:
    code = "import sys, gnnvcell.models; sys.exit(any(name.split('.')[0] == 'lightning' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
