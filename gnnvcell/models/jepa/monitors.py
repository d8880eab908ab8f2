"""Monitors of a JEPA: whether latents collapse, and whether an action tells genes apart."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell import keys
from gnnvcell.models.jepa.objectives import CELLS, require
from gnnvcell.models.jepa.two_steps import controls_like
from gnnvcell.nn.effective_rank import effective_rank

if TYPE_CHECKING:
    from gnnvcell.models.jepa.network import JepaNetwork

# Latents are normalised token by token: below a thousandth of that, or along one direction, cells look the same.
MONITOR_FLOORS = {"latent_std": 1e-3, "latent_rank": 1.5}


@torch.no_grad()
def monitors_of(network: "JepaNetwork", batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Numbers of a batch that tell a collapse.

    Returns:
        "latent_std": standard deviation over cells of the teacher's latents, mean over tokens and coordinates; 0 where
        all cells look the same. "latent_rank": effective rank of the same variation, 0 to d. After pre-training also
        "injected_spread" and "effect_spread": ``spread`` over tokens of what the actions add to the predictor's first
        block, and of how the predicted latents differ from those under a control.

    Raises:
        ModelError: the batch lacks something.
    """
    require(batch, CELLS)
    was = network.training
    network.eval()
    try:
        cells = network.target(batch[keys.PERTURBED_CELLS], batch[keys.PERTURBED_LOG_TOTAL]).flatten(0, 1)
        found = {"latent_std": cells.std(dim=0).mean(), "latent_rank": effective_rank(cells)}
        return found if network.stage == "pretrain" else found | _of_actions(network, batch)
    finally:
        network.train(was)


def _of_actions(network: "JepaNetwork", batch: Mapping[str, Any]) -> dict[str, Tensor]:
    conditions, field = batch[keys.CONDITIONS], batch.get(keys.FIELD)
    latents = network.state(network.encode(batch[keys.CONTROL_CELLS], batch[keys.CONTROL_LOG_TOTAL]))
    action = network.action(conditions, field)
    nothing = network.action(controls_like(conditions), None if field is None else torch.zeros_like(field))
    effect = network.predictor(latents, action).mean - network.predictor(latents, nothing).mean
    return {
        "injected_spread": spread(network.predictor.injected(latents, action)).mean(),
        "effect_spread": spread(effect.mean(dim=1)).mean(),
    }


def spread(effect: Float[Tensor, "actions tokens d"]) -> Float[Tensor, " actions"]:
    """How much of an effect differs between tokens: 0 where all get the same vector, 1 where their mean is 0::

        sqrt( sum_t |e_t - mean e|^2 / sum_t |e_t|^2 )

    Args:
        effect: e.
    """
    apart = (effect - effect.mean(dim=1, keepdim=True)).square().sum(dim=(1, 2))
    whole = effect.square().sum(dim=(1, 2))
    return torch.where(whole > 0, apart / whole.clamp_min(torch.finfo(whole.dtype).tiny), 0.0).sqrt()
