"""The same encoders made of the convolutions of PyTorch Geometric."""

import torch
from layers import BASES, HEADS, Layer  # pyright: ignore[reportMissingImports]
from message_graph import MessageGraph  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn
from torch_geometric.nn import (  # pyright: ignore[reportMissingImports]
    GATConv,
    GCNConv,
    RGCNConv,
    SAGEConv,
)


class PygConvs(nn.Module):
    """As ``DglConvs``. Sums go over a transposed sparse matrix, its fast way, where the convolution has one: in GCN and
    SAGE; GAT and RGCN take lists of edges.
    """

    def __init__(self, layer: Layer, graph: MessageGraph, dim: int, depth: int) -> None:
        super().__init__()
        if layer == "relational":
            self.inputs = (torch.stack([graph.src, graph.dst]), graph.kind)
        else:
            src, dst = graph.untyped(self_loops=layer != "sage")
            size = (graph.nodes, graph.nodes)
            edges = torch.stack([src, dst])
            self.inputs = (edges,) if layer == "gat" else (_transposed(src, dst, size),)
        self.convs = nn.ModuleList(_conv(layer, dim, graph.kinds) for _ in range(depth))

    def __len__(self) -> int:
        return len(self.convs)

    def forward(self, number: int, h: Tensor) -> Tensor:
        """The states after convolution ``number``."""
        return self.convs[number](h, *self.inputs)


def _transposed(src: Tensor, dst: Tensor, size: tuple[int, int]) -> Tensor:
    """dst x src in compressed rows, ones."""
    return torch.sparse_coo_tensor(torch.stack([dst, src]), torch.ones(len(src)), size).coalesce().to_sparse_csr()


def _conv(layer: Layer, dim: int, kinds: int) -> nn.Module:
    if layer == "graph_conv":
        return GCNConv(dim, dim, add_self_loops=False, cached=True)
    if layer == "gat":
        return GATConv(dim, dim // HEADS, HEADS, add_self_loops=False)
    if layer == "sage":
        return SAGEConv(dim, dim, aggr="mean")
    return RGCNConv(dim, dim, kinds, num_bases=BASES, aggr="mean")
