"""Our ST of the same shape: one-hot perturbations, batch encoder, one linear layer in and out, energy distance."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from protocol import toml_file  # pyright: ignore[reportMissingImports]
from shape import BATCHES, Shape  # pyright: ignore[reportMissingImports]
from torch import Tensor

from gnnvcell import keys
from gnnvcell.data import Cells
from gnnvcell.data.cell_sets import CellSetConfig, CellSets
from gnnvcell.data.splits.files import load_split
from gnnvcell.data.splits.toml import SplitFile
from gnnvcell.genes import GeneVocab
from gnnvcell.models.set_batches import SetBatches, SetFacts
from gnnvcell.models.state_transition import StateTransitionConfig, TransitionNetwork
from gnnvcell.models.target_features import TargetFeatures
from gnnvcell.nn.perturbation_batch import PerturbationBatch
from gnnvcell.perturbation import Perturbation


def our_model(shape: Shape) -> TransitionNetwork:
    """A network with new weights."""
    config = StateTransitionConfig(
        encoders=("onehot",),
        hidden_dim=shape.hidden,
        layers=shape.layers,
        heads=shape.heads,
        perturbation_encoder_layers=1,
        set_size=shape.set_size,
        sets_per_batch=shape.sets,
    )
    names = target_names(shape)
    targets = TargetFeatures(GeneVocab.from_symbols(names), seen=(names, ()), onehot_width=shape.hidden)
    return TransitionNetwork(config, targets, outputs=shape.genes, batches=BATCHES)


def target_names(shape: Shape) -> list[str]:
    """Names of the perturbations."""
    return [f"G{i}" for i in range(shape.perturbations)]


def conditions(shape: Shape, perturbation: Tensor) -> PerturbationBatch:
    """Perturbations of sets, as the network takes them."""
    names = target_names(shape)
    return PerturbationBatch.of([Perturbation.parse(names[at]) for at in perturbation.tolist()], genes=names)


def our_batch(shape: Shape, control: Tensor, perturbed: Tensor, perturbation: Tensor, batch: Tensor) -> dict[str, Any]:
    """Sets as ``SetBatches`` lays them out."""
    return {
        keys.CONTROL_CELLS: control,
        keys.PERTURBED_CELLS: perturbed,
        keys.CONDITIONS: conditions(shape, perturbation),
        keys.BATCH: batch,
    }


def our_loader(shape: Shape, folder: Path) -> Iterator[dict[str, Any]]:
    """Training batches of the first fold without an end, through the loader of ``StateTransition.fit``."""
    cells = training_cells(toml_file(folder, 0))
    sets = CellSets(cells, CellSetConfig(set_size=shape.set_size, target_sum=None))
    facts = SetFacts.of(
        sets,
        conditions=conditions(shape, torch.arange(len(sets.perturbations))),
        batches=cells.batches.tolist(),
    )
    loader = SetBatches(sets.loader(shape.sets), facts)
    for number in itertools.count():
        batch = loader.batch(number)
        if len(batch[keys.BATCH]) == shape.sets:  # the last of an epoch may be smaller, and would count as a whole one
            yield batch


def training_cells(toml: Path) -> Cells:
    """The training cells of a split in cell-load's TOML, in memory."""
    split, file = load_split(toml, None), SplitFile.read(toml)
    ((name, path),) = file.datasets.items()
    cells = Cells.open(path, in_memory=True)
    return cells.take_cells(split.rows(cells, "train", dataset=name))
