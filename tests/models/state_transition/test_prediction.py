"""Predicted cells: in files that tell what they hold, in gene and in embedding space, by Python and by the command."""

import anndata as ad
import numpy as np
import pytest

from gnnvcell.cli.main import main
from gnnvcell.data.cells import Cells
from gnnvcell.errors import DataError, FileFormatError
from gnnvcell.models.loading import load
from gnnvcell.models.state_transition import StateTransition
from gnnvcell.models.state_transition.gate import EvidenceGate

from .conftest import GENES, screen

NAMES = ["P1", "P2+P4"]


@pytest.fixture
def embedded():
    """Cells whose embedding is a turn of their expression."""
    adata = screen()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(len(GENES), len(GENES))))[0]
    adata.obsm["X_state"] = (adata.X @ turn[:, :6]).astype(np.float32)
    return adata


def mean_of(adata, name: str) -> np.ndarray:
    return np.asarray(adata[adata.obs["target_gene"] == name].to_df().mean(axis=0))


def test_mean_of_predicted_cells_is_the_predicted_effect(make, cells, tmp_path):
    model = make(encoders=("graph", "field")).fit(cells)
    path = model.predict_cells(tmp_path / "p.h5ad", NAMES, cells=1000)
    found = Cells.open(path)
    assert found.perturbations.tolist() == sorted(NAMES)
    adata = ad.read_h5ad(path)
    effects = model.predict(NAMES).values
    for row, name in enumerate(NAMES):
        # What would be below 0 is 0 in a cell.
        np.testing.assert_allclose(mean_of(adata, name) - mean_of(adata, "non-targeting"), effects[row], atol=0.01)
    about = adata.uns["prediction"]
    assert about["target_gene"].tolist() == NAMES
    assert about["network_share"].tolist() == [1.0, 1.0]
    assert adata.var_names.tolist() == GENES


def test_gate_is_in_the_cells_too(fitted, tmp_path):
    path = fitted.predict_cells(tmp_path / "p.h5ad", ["P1"], cells=1000)
    adata = ad.read_h5ad(path)
    change = mean_of(adata, "P1") - mean_of(adata, "non-targeting")
    np.testing.assert_allclose(change, fitted.predict(["P1"]).values[0], atol=0.01)
    assert np.isfinite(adata.uns["prediction"]["expected_loss"]).all()


def test_fewer_cells_are_taken_evenly(fitted, tmp_path):
    adata = ad.read_h5ad(fitted.predict_cells(tmp_path / "p.h5ad", NAMES, cells=6))
    assert (adata.obs["target_gene"] == "P1").sum() == 6
    assert set(adata.obs["batch"][adata.obs["target_gene"] == "P1"]) == {"b0", "b1"}


def test_embedding_space(make, embedded, tmp_path):
    settings = {"encoders": ("graph",), "embedding": "X_state", "gene_decoder": (16,), "loss": {"de_weight": 0.5}}
    model = make(**settings).fit(embedded)
    found = model.predict(NAMES)
    assert found.values.shape == (2, len(GENES))
    assert {"train/set", "train/genes"} <= set(model.result.history)
    path = model.save(tmp_path / "model")
    again = load(path)
    assert (again.predict(NAMES).values == found.values).all()
    from_cells = again.predict(NAMES, context=embedded[embedded.obs["target_gene"] == "non-targeting"].copy())
    np.testing.assert_allclose(from_cells.values, found.values, atol=1e-4)
    with pytest.raises(DataError, match="has no obsm"):
        again.predict(NAMES, context=screen())
    embedded.obsm["X_state"] = embedded.obsm["X_state"][:, :3]
    with pytest.raises(DataError, match="not those of training"):
        again.predict(NAMES, context=embedded)


def test_no_parameter_is_dead_in_embedding_space(make, embedded):
    model = make(encoders=("graph",), embedding="X_state", gene_decoder=(16,), confidence=True).fit(embedded)
    network, loader = model.network.train(), model.loader(embedded)
    network.zero_grad()
    for number in range(3 * len(loader)):
        network.loss(loader.batch(number))["loss"].backward()
    assert [n for n, p in network.named_parameters() if p.numel() and (p.grad is None or not p.grad.any())] == []


class TestCommand:
    @pytest.fixture
    def files(self, fitted, tmp_path):
        data = tmp_path / "cells.h5ad"
        screen().write_h5ad(data)
        return str(fitted.save(tmp_path / "run" / "model")), str(data), tmp_path

    def test_writes_cells(self, files, capsys):
        _, data, folder = files
        arguments = ["predict", str(folder / "run"), data, "--perturbations", *NAMES, "--out", str(folder / "o.h5ad")]
        assert main([*arguments, "--quiet"]) == 0
        assert "2 perturbations in 1 cell types" in capsys.readouterr().out
        assert Cells.open(folder / "o.h5ad").perturbations.tolist() == sorted(NAMES)

    def test_names_of_a_file_or_of_the_data(self, files):
        run, data, folder = files
        (folder / "names.txt").write_text("P1\nP3\n")
        out = str(folder / "o.h5ad")
        assert main(["predict", run, data, "--perturbations", str(folder / "names.txt"), "--out", out, "--quiet"]) == 0
        assert Cells.open(out).perturbations.tolist() == ["P1", "P3"]
        assert main(["predict", run, data, "--out", out, "--quiet", "--cells", "3"]) == 0
        assert len(Cells.open(out).perturbations) == 18

    def test_unknown_context_and_run(self, files, capsys):
        run, data, folder = files
        out = str(folder / "o.h5ad")
        assert main(["predict", run, data, "--context", "aa", "--out", out]) == 2
        assert "did you mean 'a'" in capsys.readouterr().err
        assert main(["predict", str(folder / "nothing"), data, "--out", out]) == 2
        assert "no model is at" in capsys.readouterr().err


def test_load_refuses_what_is_no_model(tmp_path):
    with pytest.raises(FileFormatError, match="no model is at"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "other", "files": {}}')
    with pytest.raises(FileFormatError, match="another kind of model"):
        load(tmp_path)


def test_gate_finds_which_model_to_trust():
    rng = np.random.default_rng(0)
    truth, support = rng.normal(size=(40, 30)), np.repeat([0.0, 50.0], 20)
    noise = rng.normal(size=truth.shape)
    network = np.where(support[:, None] > 0, 2.0 * truth, noise)  # twice as strong as it should be, with support
    fallback = np.where(support[:, None] > 0, noise, truth)
    gate = EvidenceGate.fit(network, fallback, support, truth, np.ones_like(truth), prior=0.01)
    shares = gate.share(np.array([0.0, 50.0]))
    assert shares[0] < 0.1
    assert shares[1] > 0.9
    error = np.square(gate.mixed(network, fallback, support) - truth).mean()
    assert error < 0.1 * min(np.square(network - truth).mean(), np.square(fallback - truth).mean())


def test_wrong_model_kind_is_named(fitted, tmp_path):
    path = fitted.save(tmp_path / "model")
    text = (path / "config.json").read_text().replace('"version": 1', '"version": 9', 1)
    (path / "config.json").write_text(text)
    with pytest.raises(FileFormatError, match="another version"):
        StateTransition.load(path)
