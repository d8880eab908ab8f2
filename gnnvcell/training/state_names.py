"""The names that State's training script gives to settings, and what they are called here."""

from collections.abc import Iterable

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, did_you_mean
from gnnvcell.training.config import TrainConfig

# State's name to ours. What State has and we do not is left out, so that it is refused and not passed over.
NAMES = {
    "data.kwargs.toml_config_path": "data.split",
    "data.kwargs.pert_col": "data.fields.perturbation",
    "data.kwargs.control_pert": "data.fields.control",
    "data.kwargs.cell_type_key": "data.fields.cell_type",
    "data.kwargs.batch_col": "data.fields.batch",
    "data.kwargs.embed_key": "model.embedding",
    "model.kwargs.hidden_dim": "model.hidden_dim",
    "model.kwargs.cell_set_len": "model.set_size",
    "model.kwargs.n_encoder_layers": "model.cell_encoder_layers",
    "model.kwargs.n_decoder_layers": "model.decoder_layers",
    "model.kwargs.esm_encoder_layers": "model.perturbation_encoder_layers",
    "model.kwargs.esm_embeddings_path": "features.esm.path",
    "model.kwargs.gene_to_esm_map_path": "features.esm.index",
    "model.kwargs.dropout": "model.dropout",
    "model.kwargs.batch_encoder": "model.batch_encoder",
    "model.kwargs.predict_residual": "model.residual",
    "model.kwargs.confidence_token": "model.confidence",
    "model.kwargs.distributional_loss": "model.loss.name",
    "model.kwargs.loss": "model.loss.name",
    "model.kwargs.blur": "model.loss.blur",
    "model.kwargs.init_from": "init_from",
    "model.kwargs.transformer_backbone_kwargs.num_hidden_layers": "model.layers",
    "model.kwargs.transformer_backbone_kwargs.num_attention_heads": "model.heads",
    "model.kwargs.transformer_backbone_kwargs.intermediate_size": "model.feed_forward_dim",
    "training.batch_size": "model.sets_per_batch",
    "training.max_steps": "fit.max_steps",
    "training.lr": "fit.optimizer.lr",
    "training.weight_decay": "fit.optimizer.weight_decay",
    "training.val_freq": "fit.val_every",
    "training.ckpt_every_n_steps": "fit.checkpoint_every",
    "training.gradient_clip_val": "fit.clip",
    "training.accumulate_grad_batches": "fit.accumulate",
    "training.train_seed": "fit.seed",
    "training.precision": "fit.precision",
    "training.devices": "fit.devices",
    "training.num_nodes": "fit.num_nodes",
    "training.strategy": "fit.strategy",
}
FOREIGN = ("model.kwargs.", "data.kwargs.", "training.")


def our_overrides(overrides: Iterable[str]) -> list[str]:
    """Overrides ``a.b=c`` with State's names put into ours; ours stay as they are.

    Raises:
        ConfigError: no ``=``, or a name that neither knows (with the nearest).
    """
    return [_ours(override) for override in overrides]


def _ours(override: str) -> str:
    name, separator, value = override.partition("=")
    if not separator:
        raise ConfigError(f"cannot read {override!r}", expected="a flag (--name value) or key.sub_key=value")
    if name in NAMES:
        return f"{NAMES[name]}={value}"
    table = name.split(".")[0]
    if name.startswith(FOREIGN) or table not in TrainConfig.model_fields:
        raise ConfigError(f"there is no setting {name!r}", remedy=did_you_mean(name, [*NAMES, *our_names()]))
    return override


def our_names() -> list[str]:
    """Dotted names of our own settings, those of the model and of features aside."""
    return [name for name in _dotted(TrainConfig) if not name.startswith(("model", "features", "tuning"))]


def _dotted(config: type[Config], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, setting in config.model_fields.items():
        kind = setting.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            names += _dotted(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names
