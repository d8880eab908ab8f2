"""SetLoss: the loss between sets of cells that a configuration names."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, ModelError, did_you_mean
from gnnvcell.nn.losses.energy import energy_distance
from gnnvcell.nn.losses.mmd import BANDWIDTHS, mmd, require_kernels
from gnnvcell.nn.losses.pointwise import mse, mse_of_means
from gnnvcell.nn.losses.sets import GeneWeights
from gnnvcell.nn.losses.sinkhorn import sinkhorn_divergence
from gnnvcell.nn.losses.wasserstein import sliced_wasserstein, wasserstein_1d
from gnnvcell.ops.eager import eager

NAMES = ("energy", "sinkhorn", "sinkhorn+energy", "mmd", "wasserstein", "mse", "mse_of_means")


class SetLossConfig(Config):
    """Settings.

    Args:
        name: energy, sinkhorn, sinkhorn+energy, mmd, wasserstein, mse (of matched cells) or mse_of_means.
        energy_weight, sinkhorn_weight: of the parts of sinkhorn+energy. The energy distance grows with distance, the
            Sinkhorn divergence with its square, hence the small weight.
        blur, p, scaling: of the Sinkhorn divergence.
        kernels, bandwidths, median_heuristic: of the MMD.
        order: of the Wasserstein distance, ``|difference|^order``.
        projections: random directions that the Wasserstein distance is taken along; 0 goes gene by gene.
        seed: of the directions, which change from one training step to the next and stay in evaluation.
        de_weight: how much of every gene's weight follows the ``gene_weights`` of a batch, such as marks of
            differentially expressed genes: 0 weighs all genes alike, 1 by ``gene_weights`` alone.

    Example:
        >>> SetLossConfig(name="mmd", kernels=("energy", "gaussian")).kernels
        ('energy', 'gaussian')
    """

    name: str = "energy"
    energy_weight: float = Field(default=1.0, gt=0)
    sinkhorn_weight: float = Field(default=0.001, gt=0)
    blur: float = Field(default=0.05, gt=0)
    p: Literal[1, 2] = 2
    scaling: float = Field(default=0.5, gt=0, lt=1)
    kernels: tuple[str, ...] = ("gaussian",)
    bandwidths: tuple[float, ...] = BANDWIDTHS
    median_heuristic: bool = True
    order: int = Field(default=1, ge=1)
    projections: int = Field(default=0, ge=0)
    seed: int = 0
    de_weight: float = Field(default=0.0, ge=0, le=1)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NAMES:
            raise ConfigError(f"unknown set loss {name!r}", remedy=did_you_mean(name, NAMES))
        return name

    @model_validator(mode="after")
    def _usable(self) -> "SetLossConfig":
        require_kernels(self.kernels, self.bandwidths)
        return self


class SetLoss(nn.Module):
    """The loss of a configuration, with one signature for all of them.

    ``de_weight`` w gives gene g of a set the weight ``1 - w + w a_g / mean(a)``, where a are the ``gene_weights`` of
    the set: weights have mean 1, and a set whose ``gene_weights`` are all 0 weighs its genes alike.

    Args:
        config: settings.

    Example:
        >>> loss = set_loss(SetLossConfig(name="energy"))
        >>> loss(torch.zeros(1, 1, 2), torch.tensor([[[3.0, 4.0]]]))
        tensor([10.])
    """

    turn: Tensor

    def __init__(self, config: SetLossConfig) -> None:
        super().__init__()
        self.config = config
        self._loss = _losses(config)
        self._sliced = config.name == "wasserstein" and config.projections > 0
        if self._sliced:  # part of the state, so that a resumed run draws what it would have drawn
            self.register_buffer("turn", torch.zeros((), dtype=torch.int64))

    @eager
    def forward(
        self,
        predicted: Float[Tensor, "batch cells d"],
        observed: Float[Tensor, "batch others d"],
        *,
        predicted_mask: Bool[Tensor, "batch cells"] | None = None,
        observed_mask: Bool[Tensor, "batch others"] | None = None,
        gene_weights: GeneWeights | None = None,
    ) -> Float[Tensor, " batch"]:
        """One number per set.

        Args:
            predicted: predicted cells.
            observed: observed cells.
            predicted_mask: True where a predicted cell is real; all are when left out.
            observed_mask: the same of observed cells.
            gene_weights: 0 or more, of genes, for all sets or for each; not looked at where ``de_weight`` is 0.

        Raises:
            ModelError: shapes that do not go together, or ``de_weight`` without ``gene_weights``.
            DataError: a set without cells, or a weight below 0.
        """
        options = {} if not self._sliced else {"seed": self._next_seed()}
        return self._loss(
            predicted,
            observed,
            predicted_mask=predicted_mask,
            observed_mask=observed_mask,
            gene_weights=self._weights(gene_weights),
            **options,
        )

    def _weights(self, given: Tensor | None) -> Tensor | None:
        share = self.config.de_weight
        if share == 0:
            return None
        if given is None:
            raise ModelError(
                f"the set loss has de_weight {share:g} and the batch has no weights of genes",
                remedy="pass gene_weights, or set de_weight to 0",
            )
        mean = given.float().mean(dim=-1, keepdim=True)
        return 1 - share + share * torch.where(mean == 0, 1.0, given / mean)

    def _next_seed(self) -> int:
        if not self.training:
            return self.config.seed
        self.turn += 1
        return self.config.seed + int(self.turn)


def set_loss(config: SetLossConfig | None = None) -> SetLoss:
    """The loss that a configuration names; the energy distance when left out."""
    return SetLoss(config or SetLossConfig())


def _losses(config: SetLossConfig) -> Callable[..., Tensor]:
    sinkhorn = partial(sinkhorn_divergence, blur=config.blur, p=config.p, scaling=config.scaling)
    by_gene = partial(wasserstein_1d, order=config.order)
    sliced = partial(sliced_wasserstein, order=config.order, projections=config.projections)

    def both(*sets: Tensor, **options: Tensor | None) -> Tensor:
        energy = energy_distance(*sets, **options)  # type: ignore[arg-type]
        return config.energy_weight * energy + config.sinkhorn_weight * sinkhorn(*sets, **options)  # type: ignore[arg-type]

    return {
        "energy": energy_distance,
        "sinkhorn": sinkhorn,
        "sinkhorn+energy": both,
        "mmd": partial(
            mmd, kernels=config.kernels, bandwidths=config.bandwidths, median_heuristic=config.median_heuristic
        ),
        "wasserstein": sliced if config.projections else by_gene,
        "mse": mse,
        "mse_of_means": mse_of_means,
    }[config.name]
