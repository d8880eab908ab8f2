"""What rows and columns of a transition network's parameters stand for: genes, targets and batches, by name."""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from gnnvcell.models.state_transition.network import TransitionNetwork
from gnnvcell.models.target_features import ONEHOT, ONEHOT_COMPOUND, TargetFeatures

if TYPE_CHECKING:
    from gnnvcell.models.state_transition.parts import TransitionParts

_EVIDENCE = "evidence of the field"
Names = dict[str, list[str]]


def names_of_rows(network: TransitionNetwork, parts: "TransitionParts") -> Names:
    """Parameter to the names of its rows, for ``gnnvcell.fitting.init_from``."""
    genes, targets = [str(gene) for gene in parts.genes.predicted], network.targets
    rows: Names = {}
    if network.named_decoder is not None:
        own = network.named_decoder.own.numpy()
        rows["named_decoder.learned"] = parts.genes.predicted[own >= 0].tolist()
    else:
        of_genes = "decoder" if network.gene_decoder is None else "gene_decoder"
        rows |= dict.fromkeys(_last(network, of_genes), genes)
    rows["batch_encoder.weight"] = list(parts.batches)
    if targets is not None:
        rows |= _names_of_targets(targets, parts)
    return _existing(rows, network)


def names_of_columns(network: TransitionNetwork, parts: "TransitionParts") -> Names:
    """Parameter to the names of its columns."""
    genes = parts.genes.predicted
    columns: Names = {"field_encoder.0.weight": [*genes.tolist(), _EVIDENCE]}
    if parts.width is None:
        read = genes if parts.genes.read is None else genes[parts.genes.read]
        columns["cell_encoder.0.weight"] = read.tolist()
    return _existing(columns, network)


def _names_of_targets(targets: TargetFeatures, parts: "TransitionParts") -> Names:
    rows: Names = {}
    for name, known in ((ONEHOT, targets.vocab.symbols), (ONEHOT_COMPOUND, np.array(targets.compounds, dtype=str))):
        if name in targets.onehot:
            places = targets.get_buffer(f"_{name}_rows").numpy()
            rows[f"targets.onehot.{name}.weight"] = known[places].tolist()
    if targets.graph_encoder is not None and parts.graph is not None:
        inputs: Any = targets.graph_encoder.inputs
        for kind, features in inputs.items():
            learned = features.place.numpy() >= 0
            names = np.asarray(parts.graph.names(kind))[learned].tolist()
            rows[f"targets.graph_encoder.inputs.{kind}.learned"] = [str(name) for name in names]
    return rows


def _last(network: TransitionNetwork, stack: str) -> list[str]:
    """Names of the weight and bias of the last linear layer of a stack."""
    layers = network.get_submodule(stack)
    at = max(at for at, layer in enumerate(layers.children()) if isinstance(layer, nn.Linear))
    return [f"{stack}.{at}.weight", f"{stack}.{at}.bias"]


def _existing(names: Names, network: TransitionNetwork) -> Names:
    parameters = dict(network.named_parameters())
    return {parameter: list(of) for parameter, of in names.items() if parameter in parameters}
