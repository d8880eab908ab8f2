"""What a trained network predicts from control cells: mean effects, and cells."""

import itertools
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

    @property
    def weight(self) -> Tensor:
        """(sets, cells) of each in the mean over the pool, each cell of which counts once."""
        return self.mask / self.mask.sum()

    def first(self, count: int) -> "SetsOfControls":
        """The first sets, as copies that may take part in a backward pass, which what ``of`` made may not."""
        values, states, mask, batch = (
            one[:count].clone() for one in (self.values, self.states, self.mask, self.batch)
        )
        return SetsOfControls(values, states, mask, batch, self.rows[:count])


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
        conditions: perturbations, on the device of the network.
        size: cells in a set.
        batches: names of the training batches.
        field: (perturbations, genes + 1) field, where the network reads one.
        progress: a bar on stderr.
    """
    sets = SetsOfControls.of(network, pool, size=size, batches=batches)
    before = mean_before(network, sets)
    steps = _steps(network, sets, conditions, field=field, progress=progress)
    changes = [mean_changes(network, sets, step) - before for step in steps]
    return torch.cat(changes).double().cpu().numpy()


def mean_before(network: TransitionNetwork, sets: SetsOfControls) -> Float[Tensor, " genes"] | float:
    """Mean expression of control cells, to be taken off ``mean_changes``: 0 where the network says changes itself."""
    if network.gene_decoder is None and network.config.residual:
        return 0.0
    return sets.weight.flatten() @ genes_of(network, sets.values).flatten(0, 1)


def mean_changes(
    network: TransitionNetwork, sets: SetsOfControls, step: "Step"
) -> Float[Tensor, "perturbations genes"]:
    """Mean expression over all control cells, or its change (``mean_before``), under some perturbations."""
    count = len(step.context) // len(sets.values)
    if network.gene_decoder is not None:
        controls = sets.values.repeat(count, 1, 1)
        cells = network.transform(controls, step.states, step.context, step.field, described=step.described).cells
        genes = network.decode_genes(cells).unflatten(0, (count, len(sets.values)))
        return torch.einsum("nscg,sc->ng", genes, sets.weight)
    share = sets.weight.sum(dim=1, keepdim=True)  # of each set in the mean over the pool
    within = (sets.weight / share).repeat(count, 1)
    means = network.mean_outputs(step.states, step.context, within, step.field, described=step.described)
    return (share * means.unflatten(0, (count, len(sets.values)))).sum(dim=1)


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
    perturbation = itertools.count()
    for step in _steps(network, sets, conditions, field=field, progress=progress):
        count = len(step.context) // len(sets.values)
        with torch.inference_mode():
            controls = sets.values.repeat(count, 1, 1)
            found = network.transform(controls, step.states, step.context, step.field, described=step.described)
            cells = found.cells.unflatten(0, (count, -1))
            expected = None if found.confidence is None else found.confidence.view(count, -1)
        for at in range(count):
            yield next(perturbation), cells[at], None if expected is None else expected[at]


class Step(NamedTuple):
    """Some perturbations that go through the network together: (perturbations x sets, ...) of everything."""

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
) -> Iterator[Step]:
    """Perturbations, as many at a time as memory allows; features of targets are made once."""
    count, (number, size) = len(conditions), sets.values.shape[:2]
    device = sets.values.device
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
            yield Step(states, context, read, described)
            bar.update(len(chosen))
