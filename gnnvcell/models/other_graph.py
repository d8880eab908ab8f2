"""network_on: a trained network over another graph, with the weights it has."""

from copy import copy
from typing import TypeVar

from torch import nn

from gnnvcell.graphs.gene_graph import GeneGraph

N = TypeVar("N", bound=nn.Module)
_GRAPH = "_graph"  # where modules keep the graph that they pass messages over


def network_on(network: N, graph: GeneGraph) -> N:
    """The network with its own weights, passing messages over another graph of the same nodes and relations.

    Weights and buffers are shared, not copied; what nodes begin from (such as spectral features) stays that of the
    graph that the network was made with, so that a deleted edge is missing from the messages and nothing else.

    Args:
        network: trained; not changed.
        graph: takes the place of every ``GeneGraph`` in it.
    """
    other = copy(network)
    other.__dict__["_modules"] = {
        name: None if child is None else network_on(child, graph) for name, child in network._modules.items()
    }
    if isinstance(other.__dict__.get(_GRAPH), GeneGraph):
        other.__dict__[_GRAPH] = graph
    return other
