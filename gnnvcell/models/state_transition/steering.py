"""Actions of a transition network: perturbations as vectors, and what any vector would do."""

import torch
from jaxtyping import Float
from torch import Tensor

from gnnvcell.errors import ModelError
from gnnvcell.models.control_pool import ControlPool
from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.state_transition.predicting import SetsOfControls
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
    count = max(1, min(len(whole.values), STEERED_CELLS // whole.values.shape[1]))
    # What was made in inference mode cannot take part in a backward pass; a copy can.
    values, states, batch = (one[:count].clone() for one in (whole.values, whole.states, whole.batch))
    weight = whole.mask[:count].clone() / whole.mask[:count].sum()
    described = network.targets() if network.named_decoder is not None and network.targets is not None else None
    before = _mean(network, values[None], weight)
    found = []
    for part in actions.split(max(1, _CELLS_AT_ONCE // (count * values.shape[1]))):
        context = part.repeat_interleave(count, dim=0)
        if network.batch_encoder is not None:
            context = context + network.encode_batches(batch.repeat(len(part)), len(context))
        made = network.transform(
            values.repeat(len(part), 1, 1), states.repeat(len(part), 1, 1), context, described=described
        )
        found.append(_mean(network, made.cells.unflatten(0, (len(part), count)), weight) - before)
    return torch.cat(found) if found else before.new_zeros(0, before.shape[1])


def _mean(network: TransitionNetwork, cells: Tensor, weight: Tensor) -> Float[Tensor, "n genes"]:
    """Mean expression of (n, sets, cells, outputs)."""
    genes = cells if network.gene_decoder is None else network.decode_genes(cells)
    return torch.einsum("nscg,sc->ng", genes, weight)
