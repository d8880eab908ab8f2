"""Settings as users of the published interface hand them over: an object with attributes, or nested mappings."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from gnnvcell.errors import ConfigError, GnnvcellWarning, did_you_mean
from gnnvcell.fitting import OptimizerConfig
from gnnvcell.models.state_embedding.config import StateEmbeddingConfig

SECTIONS = ("model", "loss", "sentences", "optimizer")
SOURCE_KEYS = ("graph_config", "source_dir", "esm_embeddings")
_OF_LOSS = {"name": "loss", "within_cell": "within_cell", "within_gene": "within_gene", "dataset": "dataset"}
_GRAPH_CONSISTENCY = "graph_consistency"
# The largest published learning rate; a small model learns faster with a larger one.
PUBLISHED_LR = 1e-5


@dataclass(frozen=True)
class UserSettings:
    """What a ``cfg`` says.

    Args:
        model: settings of the model that are given, as plain values.
        optimizer: settings of the optimiser.
        graph_config: recipe of the graph; None where there is none.
        source_dir: folder of the graph's files.
        esm_embeddings: file of protein features.
    """

    model: dict[str, Any]
    optimizer: OptimizerConfig
    graph_config: Any = None
    source_dir: str | None = None
    esm_embeddings: str | None = None


def read_settings(cfg: Any, arguments: Mapping[str, Any]) -> UserSettings:
    """Read a ``cfg`` and the arguments of the constructor that say the same things.

    Args:
        cfg: None, a mapping, or anything with attributes, with the sections ``model`` (settings of
            ``StateEmbeddingConfig``, ``graph_dim``, ``graph_config``, ``source_dir``, ``esm_embeddings``), ``loss``
            (``name``, ``within_cell``, ``within_gene``, ``dataset``, ``graph_consistency``), ``sentences`` and
            ``optimizer``.
        arguments: setting of the model to its value; those that are None are not given.

    Raises:
        ConfigError: an unknown setting in one of these sections, or a setting that an argument contradicts.

    Warns:
        GnnvcellWarning: other sections, which nothing here reads.
    """
    sections = plain(cfg) if cfg is not None else {}
    if not isinstance(sections, dict):
        raise ConfigError("cfg has no sections", expected=f"cfg.{', cfg.'.join(SECTIONS)}", found=repr(cfg)[:80])
    others = [name for name in sections if name not in SECTIONS]
    if others:
        warnings.warn(f"these sections of cfg are not read: {', '.join(others)}", GnnvcellWarning, stacklevel=4)
    model = dict(sections.get("model") or {})
    sources = {name: model.pop(name, None) for name in SOURCE_KEYS}
    if "graph_dim" in model:
        model["graph"] = {**model.get("graph", {}), "width": model.pop("graph_dim")}
    _require_known(model, [*StateEmbeddingConfig.model_fields, *SOURCE_KEYS, "graph_dim"], "model")
    model |= _of_loss(dict(sections.get("loss") or {}), model)
    if sections.get("sentences"):
        model["sentences"] = dict(sections["sentences"])
    for name, value in arguments.items():
        if value is not None:
            _set(model, name, value)
    optimizer = {"lr": PUBLISHED_LR, **(sections.get("optimizer") or {})}
    return UserSettings(model, OptimizerConfig.parse(optimizer, where="cfg.optimizer"), **sources)


def plain(settings: Any) -> Any:
    """Nested mappings and objects with attributes as nested dicts; other values as they are."""
    if isinstance(settings, BaseModel):
        return settings.model_dump()
    if isinstance(settings, Mapping):
        return {str(name): plain(value) for name, value in settings.items()}
    if hasattr(settings, "__dict__") and not isinstance(settings, type):
        given = {name: value for name, value in vars(settings).items() if not name.startswith("_")}
        return {name: plain(value) for name, value in given.items()}
    return settings


def _of_loss(loss: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    _require_known(loss, [*_OF_LOSS, _GRAPH_CONSISTENCY], "loss")
    found = {_OF_LOSS.get(name, name): value for name, value in loss.items()}
    twice = [name for name in found if name in model and model[name] != found[name]]
    if twice:
        raise ConfigError(f"cfg.model and cfg.loss contradict each other in {twice[0]!r}", remedy="keep cfg.loss")
    return found


def _require_known(given: Mapping[str, Any], known: list[str], section: str) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"cfg.{section} has no setting {name!r}", remedy=did_you_mean(name, known))


def _set(model: dict[str, Any], name: str, value: Any) -> None:
    """Enter an argument, "graph.width" into its own table."""
    *path, last = name.split(".")
    table = model
    for part in path:
        table[part] = table = dict(table.get(part, {}))
    if last in table and table[last] != value:
        raise ConfigError(
            f"cfg.model and an argument contradict each other in {name!r}",
            found=f"{table[last]!r} and {value!r}",
            remedy="give it once",
        )
    table[last] = value
