"""What a trained network predicts from control cells: mean effects, and cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from gnnvcell.models.control_pool import ControlPool
from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.target_features import Described
from gnnvcell.nn.perturbation_batch import PerturbationBatch

_CELLS_AT_ONCE = 2048  # of one pass through the network


@dataclass(frozen=True, eq=False)
class SetsOfControls:
    """Control cells of one cell type on the network's device, encoded once for all perturbations.

    Args:
        values: (sets, cells, outputs) what is changed: expression, or embeddings.
        states: (sets, cells, h) their states.
        mask: (sets, cells) False where a cell was drawn again to fill its set.
        batch: (sets,) position of the batch among those of training, -1 where it is none.
        rows: (sets, cells) rows of the pool.
    """

    values: Tensor
    states: Tensor
    mask: Tensor
    batch: Tensor
    rows: NDArray[np.int64]

    @classmethod
    @torch.inference_mode()
    def of(
        cls, network: TransitionNetwork, pool: ControlPool, *, size: int, batches: Sequence[str], seed: int = 0
    ) -> "SetsOfControls":
        """Cut a pool into sets and encode them."""
        device = next(network.parameters()).device
        rows, mask, names = pool.sets(size, seed=seed)
        given = pool.dense(rows) if pool.embeddings is None else pool.embeddings[rows]
        values = torch.from_numpy(given).to(device)
        place = {name: at for at, name in enumerate(batches)}
        batch = torch.tensor([place.get(str(name), -1) for name in names], device=device)
        return cls(values, network.encode_cells(values), torch.from_numpy(mask).to(device), batch, rows)


@torch.inference_mode()
def network_effects(
    network: TransitionNetwork,
    pool: ControlPool,
    conditions: PerturbationBatch,
    *,
    size: int,
    batches: Sequence[str],
    field: NDArray[np.float32] | None = None,
    progress: bool = False,
) -> NDArray[np.float64]:
    """(perturbations, genes) mean change of expression under each perturbation, over all cells of a pool.

    Args:
        network: in evaluation mode.
        pool: control cells.
        conditions: perturbations.
        size: cells in a set.
        batches: names of the training batches.
        field: (perturbations, genes + 1) field, where the network reads one.
        progress: a bar on stderr.
    """
    sets = SetsOfControls.of(network, pool, size=size, batches=batches)
    weight = sets.mask / sets.mask.sum()  # (sets, cells): each cell of the pool once
    if network.gene_decoder is not None:
        before = _mean(network.decode_genes(sets.values), weight)
        found = transitions(network, sets, conditions, field=field, progress=progress)
        changes = [_mean(network.decode_genes(cells), weight) - before for _, cells, _ in found]
    else:
        before = torch.zeros(()) if network.config.residual else _mean(sets.values, weight)
        share = weight.sum(dim=1, keepdim=True)  # of each set in the mean over the pool
        changes = []
        for step in _steps(network, sets, conditions, field=field, progress=progress):
            within = (weight / share).repeat(len(step.chosen), 1)
            means = network.mean_outputs(step.states, step.context, within, step.field, described=step.described)
            changes.extend((share * means.unflatten(0, (len(step.chosen), -1))).sum(dim=1) - before.to(means.device))
    return np.stack([change.double().cpu().numpy() for change in changes])


def _mean(cells: Float[Tensor, "sets cells genes"], weight: Float[Tensor, "sets cells"]) -> Float[Tensor, " genes"]:
    return weight.flatten() @ cells.flatten(0, 1)


@torch.inference_mode()
def genes_of(
    network: TransitionNetwork, cells: Float[Tensor, "sets cells outputs"]
) -> Float[Tensor, "sets cells genes"]:
    """Expression of cells; of embeddings, what the decoder makes of them."""
    return cells if network.gene_decoder is None else network.decode_genes(cells)


def transitions(
    network: TransitionNetwork,
    sets: SetsOfControls,
    conditions: PerturbationBatch,
    *,
    field: NDArray[np.float32] | None = None,
    progress: bool = False,
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """Per perturbation its number, (sets, cells, outputs) what the control cells become, and (sets,) confidence."""
    for step in _steps(network, sets, conditions, field=field, progress=progress):
        with torch.inference_mode():
            controls = sets.values.repeat(len(step.chosen), 1, 1)
            found = network.transform(controls, step.states, step.context, step.field, described=step.described)
            cells = found.cells.unflatten(0, (len(step.chosen), -1))
            expected = None if found.confidence is None else found.confidence.view(len(step.chosen), -1)
        for at, perturbation in enumerate(step.chosen.tolist()):
            yield perturbation, cells[at], None if expected is None else expected[at]


class _Step(NamedTuple):
    """Some perturbations that go through the network together: (perturbations x sets, ...) of everything."""

    chosen: Tensor
    states: Tensor
    context: Tensor
    field: Tensor | None
    described: Described | None


def _steps(
    network: TransitionNetwork,
    sets: SetsOfControls,
    conditions: PerturbationBatch,
    *,
    field: NDArray[np.float32] | None,
    progress: bool,
) -> Iterator[_Step]:
    """Perturbations, as many at a time as memory allows; features of targets are made once."""
    count, (number, size) = len(conditions), sets.values.shape[:2]
    device = sets.values.device
    conditions = conditions.to(device)
    together = max(1, _CELLS_AT_ONCE // max(1, number * size))
    with torch.inference_mode():
        described = network.targets() if network.targets is not None else None
    with tqdm(total=count, desc="predicting", unit="perturbation", disable=None if progress else True) as bar:
        for start in range(0, count, together):
            chosen = torch.arange(start, min(start + together, count), device=device)
            each = chosen.repeat_interleave(number)  # perturbation by set
            with torch.inference_mode():
                read = None if field is None else torch.from_numpy(field).to(device)[each]
                context = network.encode_conditions(
                    conditions.take(each), sets.batch.repeat(len(chosen)), read, described=described
                )
                states = sets.states.repeat(len(chosen), 1, 1)
            yield _Step(chosen, states, context, read, described)
            bar.update(len(chosen))
