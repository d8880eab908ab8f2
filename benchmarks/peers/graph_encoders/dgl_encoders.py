"""Encoders of genes made of the convolutions of ``dgl.nn``."""

from layers import BASES, HEADS, Layer  # pyright: ignore[reportMissingImports]
from message_graph import MessageGraph  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn

from gnnvcell._dgl import dgl


class DglConvs(nn.Module):
    """Convolutions of one kind over one graph, ``(nodes, dim) -> (nodes, dim)`` each.

    Args:
        layer: which convolution.
        graph: its nodes and edges.
        dim: width of the states.
        depth: number of convolutions.
    """

    def __init__(self, layer: Layer, graph: MessageGraph, dim: int, depth: int) -> None:
        super().__init__()
        if layer == "relational":
            self.graph = dgl.graph((graph.src, graph.dst), num_nodes=graph.nodes)
            self.inputs = {"etypes": graph.kind, "norm": graph.share()[:, None], "presorted": True}
        else:
            edges = graph.untyped(self_loops=layer != "sage")
            self.graph, self.inputs = dgl.graph(edges, num_nodes=graph.nodes), {}
        self.convs = nn.ModuleList(_conv(layer, dim, graph.kinds) for _ in range(depth))

    def __len__(self) -> int:
        return len(self.convs)

    def forward(self, number: int, h: Tensor) -> Tensor:
        """The states after convolution ``number``."""
        return self.convs[number](self.graph, h, **self.inputs).flatten(1)


def _conv(layer: Layer, dim: int, kinds: int) -> nn.Module:
    if layer == "graph_conv":
        return dgl.nn.GraphConv(dim, dim, norm="both")
    if layer == "gat":
        return dgl.nn.GATConv(dim, dim // HEADS, HEADS)
    if layer == "sage":
        return dgl.nn.SAGEConv(dim, dim, "mean")
    return dgl.nn.RelGraphConv(dim, dim, kinds, "basis", BASES, self_loop=True)
