"""What a trained network predicts from control cells: mean effects, and cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from gnnvcell.models.control_pool import ControlPool
from gnnvcell.models.state_transition.network import TransitionNetwork
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
    before = _mean(genes_of(network, sets.values), weight)
    found = transitions(network, sets, conditions, field=field, progress=progress)
    changes = (_mean(genes_of(network, cells), weight) - before for _, cells, _ in found)
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
    """Per perturbation its number, (sets, cells, outputs) what the control cells become, and (sets,) confidence.

    Features of targets are made once; perturbations go through the network together as far as memory allows.
    """
    count, (number, size) = len(conditions), sets.values.shape[:2]
    device = sets.values.device
    together = max(1, _CELLS_AT_ONCE // max(1, number * size))
    with torch.inference_mode():
        described = network.targets() if network.targets is not None else None
    with tqdm(total=count, desc="predicting", unit="perturbation", disable=None if progress else True) as bar:
        for start in range(0, count, together):
            chosen = torch.arange(start, min(start + together, count), device=device)
            each = chosen.repeat_interleave(number)  # perturbation by set
            repeat = (len(chosen), 1, 1)
            with torch.inference_mode():
                read = None if field is None else torch.from_numpy(field).to(device)[each]
                context = network.encode_conditions(
                    conditions.take(each), sets.batch.repeat(len(chosen)), read, described=described
                )
                controls, states = sets.values.repeat(repeat), sets.states.repeat(repeat)
                found = network.transform(controls, states, context, read, described=described)
                cells = found.cells.unflatten(0, (len(chosen), number))
                expected = None if found.confidence is None else found.confidence.view(len(chosen), number)
            for at, perturbation in enumerate(chosen.tolist()):
                yield perturbation, cells[at], None if expected is None else expected[at]
            bar.update(len(chosen))
