"""Fine-tuning of few weights: low-rank adapters of linear layers, and frozen parts."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, did_you_mean


class AdapterConfig(Config):
    """Settings of adapters.

    Args:
        layers: patterns of names of linear layers, such as "transformer.*"; "*" is all.
        rank: of the change of each layer's weights.
        alpha: the change is scaled by alpha / rank.
        seed: of the adapters' first weights.
    """

    layers: tuple[str, ...] = ("*",)
    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    seed: int = Field(default=0, ge=0)


class LowRank(nn.Module):
    """W -> W + (alpha / rank) B A, the adapter of a matrix (LoRA; Hu et al. 2022). B begins at zero.

    Args:
        weight: (out, in) the matrix.
        config: settings.
        generator: of A.
    """

    def __init__(self, weight: Tensor, config: AdapterConfig, generator: torch.Generator) -> None:
        super().__init__()
        out_feats, in_feats = weight.shape
        down = torch.randn(config.rank, in_feats, generator=generator) * in_feats**-0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(out_feats, config.rank))
        self.scale = config.alpha / config.rank

    def forward(self, weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        """The adapted matrix."""
        return weight + self.scale * (self.up @ self.down)


def add_adapters(model: nn.Module, config: AdapterConfig | None = None) -> list[str]:
    """Put adapters on linear layers and freeze everything else; names of the layers.

    The layers stay ``nn.Linear``, and the model computes what it did until it is trained.

    Raises:
        ConfigError: a pattern that fits no linear layer.
    """
    config = config or AdapterConfig()
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    chosen = _fitting(config.layers, list(linear), "linear layer")
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(config.seed)
    for name in chosen:
        layer = linear[name]
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, config, generator))
    return chosen


def merge_adapters(model: nn.Module) -> list[str]:
    """Add what the adapters learned to the weights and take the adapters off; names of the layers.

    The model computes what it did with adapters, and everything in it takes gradients again.
    """
    merged = []
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and parametrize.is_parametrized(module, "weight"):
            with torch.no_grad():
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
            merged.append(name)
    model.requires_grad_(True)
    return merged


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Keep parameters as they are; names of those.

    Args:
        model: it is changed in place.
        patterns: of names of parameters, or of modules with all that is in them, such as "transformer".

    Raises:
        ConfigError: a pattern that fits no parameter, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    modules = [name for name, module in model.named_modules() if name and any(True for _ in module.parameters())]
    found = set(_fitting(patterns, [*names, *modules], "parameter or module"))
    frozen = [name for name in names if name in found or any(name.startswith(f"{module}.") for module in found)]
    if len(frozen) == len(names):
        raise ConfigError("everything in the model is frozen", remedy="freeze less of it")
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    return frozen


def _fitting(patterns: Sequence[str], names: Sequence[str], kind: str) -> list[str]:
    """The names that fit any of the patterns, each of which must fit one."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"no {kind} of the model fits {pattern!r}", remedy=did_you_mean(pattern, names))
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
