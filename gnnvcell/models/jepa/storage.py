"""A JEPA on disk: settings, weights, control cells, gene sets, features, graph and training effects."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from gnnvcell.data.cell_sets import GeneSetMembership
from gnnvcell.models.control_pool import arrays_of, pools_of
from gnnvcell.models.jepa.config import JepaConfig
from gnnvcell.models.jepa.network import JepaNetwork
from gnnvcell.models.jepa.parts import JepaParts
from gnnvcell.models.model_folder import ModelFormat, load_weights, read_head, read_tensors, write_model, write_tensors
from gnnvcell.models.stored_knowledge import Knowledge

FORMAT = ModelFormat("gnnvcell-jepa", 1, 'gnnvcell train CONFIG.toml --out RUN, with model.name = "jepa"')
_WEIGHTS, _CONTROLS, _SETS = "weights.safetensors", "controls.safetensors", "pathways.safetensors"


def save(network: JepaNetwork, parts: JepaParts, path: str | Path) -> Path:
    """Write a model's folder; errors as of ``write_model``."""
    head = {
        "config": parts.config.model_dump(mode="json"),
        "genes": parts.genes.tolist(),
        "target_sum": parts.target_sum,
        "batches": list(parts.batches),
        "perturbations": list(parts.perturbations),
        "seen": [list(names) for names in parts.seen],
        "strengths": parts.strengths,
        "stages": list(parts.stages),
        "control_batches": {name: pool.batch.tolist() for name, pool in parts.controls.items()},
        "tables": list(parts.tables),
        "pathways": None if parts.pathways is None else _about(parts.pathways),
        "has_graph": parts.graph is not None,
        "has_effects": parts.effects is not None,
        "seed": parts.seed,
    }

    def fill(folder: Path) -> None:
        write_tensors(folder / _WEIGHTS, network.state_dict())
        write_tensors(folder / _CONTROLS, arrays_of(parts.controls))
        if parts.pathways is not None:
            write_tensors(folder / _SETS, _pairs(parts.pathways))
        Knowledge(parts.tables, parts.graph, parts.effects).write(folder)

    return write_model(path, FORMAT, head, fill)


def load(path: str | Path) -> tuple[JepaNetwork, JepaParts]:
    """Read what ``save`` wrote; errors as of ``read_head``, and ``ModelError`` for weights of another model."""
    folder, head = read_head(path, FORMAT)
    genes = np.array(head["genes"], dtype=str)
    kept = Knowledge.read(folder, head["tables"], graph=head["has_graph"], effects=head["has_effects"])
    parts = JepaParts(
        JepaConfig.parse(head["config"], where=str(folder)),
        genes,
        head["target_sum"],
        head["batches"],
        head["perturbations"],
        (head["seen"][0], head["seen"][1]),
        pools_of(read_tensors(folder / _CONTROLS), head["control_batches"], len(genes)),
        head["strengths"],
        kept.graph,
        kept.tables,
        None if head["pathways"] is None else _pathways(genes, head["pathways"], read_tensors(folder / _SETS)),
        kept.effects,
        head["stages"],
        head["seed"],
    )
    network = parts.network()
    load_weights(network, folder / _WEIGHTS)
    return network.eval(), parts


def _about(pathways: GeneSetMembership) -> dict[str, Any]:
    return {"sets": pathways.sets.tolist(), "covered": pathways.covered, "left_out": pathways.left_out}


def _pairs(pathways: GeneSetMembership) -> dict[str, NDArray]:
    pairs = sp.coo_array(pathways.matrix)
    return {"gene": pairs.row.astype(np.int64), "set": pairs.col.astype(np.int64)}


def _pathways(genes: NDArray, about: dict[str, Any], pairs: dict[str, torch.Tensor]) -> GeneSetMembership:
    row, column = pairs["gene"].numpy(), pairs["set"].numpy()
    matrix = sp.csr_array((np.ones(len(row), dtype=bool), (row, column)), shape=(len(genes), len(about["sets"])))
    return GeneSetMembership(genes, np.array(about["sets"]), matrix, about["covered"], about["left_out"])
