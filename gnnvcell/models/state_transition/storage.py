"""A transition model on disk: settings, weights, control cells, features, graph and training effects."""

from pathlib import Path

import numpy as np

from gnnvcell.models.control_pool import arrays_of, pools_of
from gnnvcell.models.model_folder import ModelFormat, load_weights, read_head, read_tensors, write_model, write_tensors
from gnnvcell.models.model_genes import ModelGenes
from gnnvcell.models.state_transition.config import StateTransitionConfig
from gnnvcell.models.state_transition.gate import EvidenceGate
from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.state_transition.parts import TransitionParts
from gnnvcell.models.stored_knowledge import Knowledge

FORMAT = ModelFormat("gnnvcell-state-transition", 1, "gnnvcell train CONFIG.toml --out RUN")
_WEIGHTS, _CONTROLS = "weights.safetensors", "controls.safetensors"


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
        Knowledge(parts.tables, parts.graph, parts.effects).write(folder)

    return write_model(path, FORMAT, head, fill)


def load(path: str | Path) -> tuple[TransitionNetwork, TransitionParts]:
    """Read what ``save`` wrote; errors as of ``read_head``, and ``ModelError`` for weights of another model."""
    folder, head = read_head(path, FORMAT)
    read = head["read"]
    kept = Knowledge.read(
        folder, head["tables"], graph=head["graph_digest"] is not None, effects=head["has_effects"]
    )
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
        kept.graph,
        kept.tables,
        kept.effects,
        head["width"],
        EvidenceGate(**head["gate"]) if head["gate"] is not None else None,
        head["seed"],
    )
    network = parts.network()
    load_weights(network, folder / _WEIGHTS)
    return network.eval(), parts

