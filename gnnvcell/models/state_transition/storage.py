"""A transition model on disk: settings, weights, control cells, features, graph and training effects."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from torch import Tensor

from gnnvcell.data.effects import EffectTable
from gnnvcell.features import FeatureTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.model_folder import ModelFormat, load_weights, read_head, read_tensors, write_model, write_tensors
from gnnvcell.models.state_transition.config import StateTransitionConfig
from gnnvcell.models.state_transition.control_pool import ControlPool
from gnnvcell.models.state_transition.gate import EvidenceGate
from gnnvcell.models.state_transition.genes import ModelGenes
from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.state_transition.parts import TransitionParts

FORMAT = ModelFormat("gnnvcell-state-transition", 1, "gnnvcell train CONFIG.toml --out RUN")
_WEIGHTS, _CONTROLS, _GRAPH, _EFFECTS = "weights.safetensors", "controls.safetensors", "graph", "effects.h5ad"


def save(network: TransitionNetwork, parts: TransitionParts, path: str | Path) -> Path:
    """Write a model's folder; errors as of ``write_model``."""
    head = {
        "config": parts.config.model_dump(mode="json"),
        "genes": parts.genes.predicted.tolist(),
        "read": None if parts.genes.read is None else parts.genes.read.tolist(),
        "target_sum": parts.target_sum,
        "batches": list(parts.batches),
        "perturbations": list(parts.perturbations),
        "seen": [list(names) for names in parts.seen],
        "contexts": list(parts.controls),
        "combined": parts.combined,
        "strengths": parts.strengths,
        "control_batches": {name: pool.batch.tolist() for name, pool in parts.controls.items()},
        "tables": list(parts.tables),
        "graph_digest": parts.graph.digest if parts.graph is not None else None,
        "has_effects": parts.effects is not None,
        "width": parts.width,
        "gate": parts.gate.to_dict() if parts.gate is not None else None,
        "seed": parts.seed,
    }

    def fill(folder: Path) -> None:
        write_tensors(folder / _WEIGHTS, network.state_dict())
        write_tensors(folder / _CONTROLS, _of_controls(parts))
        for name, table in parts.tables.items():
            table.save(folder / f"{name}.npz")
        if parts.graph is not None:
            parts.graph.save(folder / _GRAPH)
        if parts.effects is not None:
            parts.effects.save(folder / _EFFECTS)

    return write_model(path, FORMAT, head, fill)


def load(path: str | Path) -> tuple[TransitionNetwork, TransitionParts]:
    """Read what ``save`` wrote; errors as of ``read_head``, and ``ModelError`` for weights of another model."""
    folder, head = read_head(path, FORMAT)
    read = head["read"]
    parts = TransitionParts(
        StateTransitionConfig.parse(head["config"], where=str(folder)),
        ModelGenes(np.array(head["genes"], dtype=str), None if read is None else np.array(read, dtype=np.int64)),
        head["target_sum"],
        head["batches"],
        head["perturbations"],
        (head["seen"][0], head["seen"][1]),
        _controls(head, read_tensors(folder / _CONTROLS)),
        head["combined"],
        head["strengths"],
        GeneGraph.load(folder / _GRAPH) if head["graph_digest"] is not None else None,
        {name: FeatureTable.load(folder / f"{name}.npz") for name in head["tables"]},
        EffectTable.load(folder / _EFFECTS) if head["has_effects"] else None,
        head["width"],
        EvidenceGate(**head["gate"]) if head["gate"] is not None else None,
        head["seed"],
    )
    network = parts.network()
    load_weights(network, folder / _WEIGHTS)
    return network.eval(), parts


def _of_controls(parts: TransitionParts) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {}
    for number, pool in enumerate(parts.controls.values()):
        matrix = sp.csr_array(pool.values)
        arrays[f"{number}.data"] = matrix.data
        arrays[f"{number}.indices"] = matrix.indices.astype(np.int64)
        arrays[f"{number}.indptr"] = matrix.indptr.astype(np.int64)
        if pool.embeddings is not None:
            arrays[f"{number}.embeddings"] = pool.embeddings
    return arrays


def _controls(head: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, ControlPool]:
    pools = {}
    for number, name in enumerate(head["contexts"]):
        data, indices, indptr = (tensors[f"{number}.{part}"].numpy() for part in ("data", "indices", "indptr"))
        batch = np.array(head["control_batches"][name], dtype=str)
        values = sp.csr_array((data, indices, indptr), shape=(len(batch), len(head["genes"])))
        embeddings = tensors.get(f"{number}.embeddings")
        pools[name] = ControlPool(name, values, batch, None if embeddings is None else embeddings.numpy())
    return pools
