"""gnnvcell train with a JEPA: in stages, resumed, and what is refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.cli.main import main
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.fitting import read_checkpoint
from gnnvcell.models.jepa import Jepa
from gnnvcell.models.loading import load
from gnnvcell.training import TrainConfig, train

from .conftest import GENES

STAGE = {"validate_first": False, "max_steps": 4, "val_every": 2, "patience": None}
MODEL = {
    "name": "jepa", "preset": "v0.3", "width": 8, "heads": 2, "layers": 1, "predictor_layers": 1, "decoder_dim": 8,
    "sets_per_batch": 8, "genes": 10, "encoders": ["onehot"], "pretrain": STAGE, "action": STAGE, "decode": STAGE,
}  # fmt: skip


def config(files, **changes) -> TrainConfig:
    values = {"data": {"split": str(files / "split.toml")}, "model": MODEL, "fit": {"loggers": ["csv"]}}
    return TrainConfig.parse({**values, **changes})


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    return train(config(files), tmp_path_factory.mktemp("runs") / "run", progress=False)


def test_a_run_leaves_three_stages_and_a_model(run) -> None:
    for stage in ("pretrain", "action", "decode"):
        log = pd.read_csv(run.folder / stage / "metrics.csv")
        assert log["val/loss"].notna().sum() == 2
        assert log["train/latent_std"].count() > 0
    assert "stages: pretrain, action, decode" in str(run)
    assert "action: ended after 4 steps" in str(run)
    model = load(run.folder)
    assert isinstance(model, Jepa)
    found = model.predict(["P0", "P6"], context="a")
    assert (found.values == run.model.predict(["P0", "P6"], context="a").values).all()
    assert found.spread is not None


def test_stage_by_stage_gives_the_same_bits(files, run, tmp_path) -> None:
    for stage in ("pretrain", "action", "decode"):
        result = train(config(files), tmp_path / "run", stages=[stage], progress=False)
    assert (result.model.predict(["P6"], context="a").values == run.model.predict(["P6"], context="a").values).all()
    resumed = train(config(files), tmp_path / "run", resume=True, progress=False)
    assert resumed.fits == {}
    assert "the model is in" in str(resumed)


def test_begins_with_weights_of_another_run(files, run, tmp_path) -> None:
    source = run.folder / "pretrain" / "checkpoints" / "best.ckpt"
    changed = config(files, model={**MODEL, "skip": ["pretrain"]}, init_from=str(source))
    result = train(changed, tmp_path / "run", progress=False)
    assert result.transfer is not None
    weights = read_checkpoint(source)["state_dict"]
    own = result.model.network.state_dict()
    np.testing.assert_array_equal(own["encoder.own"].numpy(), weights["model.encoder.own"].numpy())
    assert "skipped on purpose: pretrain" in str(result)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {**MODEL, "preset": "v0.4"}}, "did you mean 'v0.2'|did you mean 'v0.3'"),
        ({"model": {**MODEL, "widht": 8}}, "did you mean 'width'"),
        ({"fit": {"max_steps": 3}}, r"max_steps is set for all stages(.|\n)*model.pretrain.max_steps"),
        ({"model": {**MODEL, "preset": "graph", "encoders": ["graph"], "pretrain": STAGE}}, "needs a gene graph"),
        ({"model": {}, "gene_sets": "sets.gmt"}, "gene_sets are for the pathway layer of a JEPA"),
    ],
)
def test_bad_settings(files, tmp_path, changes, message) -> None:
    with pytest.raises((ConfigError, ModelError), match=message):
        train(config(files, **changes), tmp_path / "run", progress=False)


def test_stages_of_other_models_and_other_settings(files, run, tmp_path) -> None:
    with pytest.raises(ConfigError, match="only a JEPA is trained in stages"):
        train(config(files, model={"encoders": ["onehot"]}), tmp_path / "run", stages=["pretrain"], progress=False)
    with pytest.raises(ConfigError, match=r"other settings\n  expected: model.width = 8"):
        train(config(files, model={**MODEL, "width": 16}), run.folder, stages=["decode"], progress=False)


def test_from_the_command_line_to_predicted_cells(files, tmp_path, capsys) -> None:
    file, out = tmp_path / "jepa.toml", tmp_path / "run"
    file.write_text(
        f'[data]\nsplit = "{files}/split.toml"\n[model]\nname = "jepa"\npreset = "v0.3"\nwidth = 8\nheads = 2\n'
        'layers = 1\npredictor_layers = 1\ndecoder_dim = 8\nsets_per_batch = 8\nencoders = ["onehot"]\n'
        + "".join(f"[model.{stage}]\nmax_steps = 2\nval_every = 2\n" for stage in ("pretrain", "action", "decode"))
    )
    assert main(["train", str(file), "--out", str(out), "--stage", "action", "--quiet"]) == 2
    assert "no teacher checkpoint" in capsys.readouterr().err
    assert main(["train", str(file), "--out", str(out), "--stage", "pretrain", "--quiet"]) == 0
    assert main(["train", str(file), "--out", str(out), "--stage", "action", "decode", "--quiet"]) == 0
    assert "stages: pretrain, action, decode" in capsys.readouterr().out
    cells = tmp_path / "cells.h5ad"
    given = ["predict", str(out), str(files / "one.h5ad"), "--perturbations", "P0", "P6+P1", "--out", str(cells)]
    assert main([*given, "--quiet"]) == 0
    assert list(ad.read_h5ad(cells).var_names) == GENES
