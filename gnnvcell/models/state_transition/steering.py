"""Actions of a transition network: perturbations as vectors, and what any vector would do."""

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import ModelError
from gnnvcell.models.control_pool import ControlPool
from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.state_transition.predicting import SetsOfControls, Step, mean_before, mean_changes
from gnnvcell.nn.perturbation_batch import PerturbationBatch

STEERED_CELLS = 128  # control cells that each action is tried on; a search tries thousands of actions
_CELLS_AT_ONCE = 4096


def encoded_actions(network: TransitionNetwork, conditions: PerturbationBatch) -> Float[Tensor, "perturbations h"]:
    """Perturbations as the network adds them to the states of cells (f_pert of ``TransitionNetwork``).

    Raises:
        ModelError: the network reads a predicted effect ("field"), which is no vector that one could search in.
    """
    targets, encoder = network.targets, network.perturbation_encoder
    if targets is None or encoder is None or network.field_encoder is not None:
        raise ModelError(
            "the model cannot be steered: it reads the effect that another model predicts",
            expected="encoders among onehot, esm, graph, compound",
            found=", ".join(network.config.encoders),
            remedy="screen the gallery without --search, or train with encoders=('graph',)",
        )
    described = targets()
    return encoder(conditions, described.features, described.present)


def steered_effects(
    network: TransitionNetwork,
    pool: ControlPool,
    actions: Float[Tensor, "n h"],
    *,
    size: int,
    batches: list[str],
) -> Float[Tensor, "n genes"]:
    """Mean change of expression under any actions, differentiable in them.

    The mean is over a fixed part of the pool's cells, ``STEERED_CELLS`` at most, in whole sets.

    Args:
        network: in evaluation mode.
        pool: control cells.
        actions: vectors of the kind of ``encoded_actions``.
        size: cells in a set.
        batches: names of the training batches.
    """
    whole = SetsOfControls.of(network, pool, size=size, batches=batches)
    sets = whole.first(max(1, min(len(whole.values), STEERED_CELLS // whole.values.shape[1])))
    count, size = sets.values.shape[:2]
    described = network.targets() if network.named_decoder is not None and network.targets is not None else None
    before, found = mean_before(network, sets), []
    for part in actions.split(max(1, _CELLS_AT_ONCE // (count * size))):
        context = part.repeat_interleave(count, dim=0)
        if network.batch_encoder is not None:
            context = context + network.encode_batches(sets.batch.repeat(len(part)), len(context))
        step = Step(sets.states.repeat(len(part), 1, 1), context, None, described)
        found.append(mean_changes(network, sets, step) - before)
    return torch.cat(found)
