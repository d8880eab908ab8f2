import json
from typing import Any

import pytest

from gnnvcell.errors import ConfigError
from gnnvcell.training.esm_perturbation import config_of, main, make_parser
from gnnvcell.training.state_names import NAMES, our_overrides
from gnnvcell.training.training_run import model_config, resolved


def parsed(*arguments: str):
    options, unknown = make_parser().parse_known_intermixed_args(["--output_dir", "out", *arguments])
    assert not unknown
    return config_of(options)


GIVEN = ("--config", "s.toml", "--esm_embeddings_path", "e.pt")


def test_the_defaults_are_those_of_the_esm_variant() -> None:
    config = parsed(*GIVEN)
    model: Any = model_config(config.model)
    assert (model.hidden_dim, model.set_size, model.sets_per_batch, model.encoders) == (696, 512, 8, ("esm",))
    assert model.perturbation_encoder_layers == 2
    assert (config.fit.max_steps, config.fit.optimizer.lr, config.fit.wandb_project) == (100_000, 3e-4, None)


def test_the_command_that_people_type() -> None:
    config = parsed(
        *GIVEN, "--batch_size", "16", "--max_steps", "50000", "--lr", "1e-4", "--use_wandb", "--wandb_project", "P",
        "model.kwargs.hidden_dim=1024", "model.heads=8", "model.kwargs.esm_encoder_layers=3",
        "training.val_freq=1000", "model.kwargs.init_from=C.ckpt", "training.accumulate_grad_batches=2",
        "fit.ema=0.99",
    )  # fmt: skip
    model: Any = model_config(config.model)
    assert (model.hidden_dim, model.sets_per_batch, model.perturbation_encoder_layers) == (1024, 16, 3)
    fit = config.fit
    assert (fit.max_steps, fit.optimizer.lr, fit.val_every, fit.accumulate, fit.ema) == (50_000, 1e-4, 1000, 2, 0.99)
    assert (fit.wandb_project, config.init_from) == ("P", "C.ckpt")
    assert (config.data.split, config.features["esm"].path) == ("s.toml", "e.pt")


def test_flags_and_settings_may_be_mixed() -> None:
    config = parsed("model.kwargs.cell_set_len=64", *GIVEN, "training.lr=0.01", "--max_steps", "7")
    assert (model_config(config.model).set_size, config.fit.optimizer.lr, config.fit.max_steps) == (64, 0.01, 7)


def test_every_name_of_state_leads_to_a_setting() -> None:
    config = parsed(*GIVEN)
    known = set(_flat(resolved(config))) | {"model.loss.name", "model.loss.blur"}
    known |= {f"fit.{name}" for name in type(config.fit).model_fields} | {"init_from", "features.esm.index"}
    known |= {f"model.{name}" for name in type(model_config({})).model_fields}
    known |= {f"data.fields.{name}" for name in type(config.data.fields).model_fields}
    assert set(NAMES.values()) <= known


def _flat(values, prefix=""):
    for name, value in values.items():
        yield from _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.kwargs.hiden_dim=3", "did you mean 'model.kwargs.hidden_dim'"),
        ("training.val_frequency=3", "did you mean 'training.val_freq'"),
        ("optimizer.lr=3", "there is no setting 'optimizer.lr'"),
        ("hidden_dim", "expected: a flag"),
    ],
)
def test_unknown_names_are_refused(override, message) -> None:
    with pytest.raises(ConfigError, match=message):
        our_overrides([override])


def test_what_is_missing_is_said(capsys) -> None:
    assert main(["--output_dir", "out", "--esm_embeddings_path", "e.pt"]) == 2
    assert "there is no split" in capsys.readouterr().err
    assert main(["--output_dir", "out", "--config", "s.toml"]) == 2
    assert "gnnvcell embed esm" in capsys.readouterr().err
    assert main(["--output_dir", "out", *GIVEN, "--batchsize", "3"]) == 2
    assert "there is no flag '--batchsize'" in capsys.readouterr().err


def test_it_trains(files, tmp_path, capsys) -> None:
    arguments = [
        "--config", str(files / "split.toml"), "--esm_embeddings_path", str(files / "esm.pt"), "--output_dir",
        str(tmp_path / "run"), "--max_steps", "4", "--batch_size", "4", "--quiet", "training.val_freq=2",
        "model.kwargs.hidden_dim=8", "model.heads=2", "model.layers=1", "model.kwargs.cell_set_len=8",
    ]  # fmt: skip
    with pytest.warns(UserWarning, match="1 of 5 targets have no features"):
        assert main(arguments) == 0
    assert "ended after 4 steps" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["fit"]["val_every"] == 2
