"""A transition model on disk: settings, weights, control cells, features, graph and training effects."""

from pathlib import Path

import numpy as np

from gnnvcell.data.effects import EffectTable
from gnnvcell.features import FeatureTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.control_pool import arrays_of, pools_of
from gnnvcell.models.model_folder import ModelFormat, load_weights, read_head, read_tensors, write_model, write_tensors
from gnnvcell.models.model_genes import ModelGenes
from gnnvcell.models.state_transition.config import StateTransitionConfig
from gnnvcell.models.state_transition.gate import EvidenceGate
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
        write_tensors(folder / _CONTROLS, arrays_of(parts.controls))
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
        pools_of(read_tensors(folder / _CONTROLS), head["control_batches"], len(head["genes"])),
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

