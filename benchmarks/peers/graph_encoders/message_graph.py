"""The gene graph as the convolutions of DGL and of PyTorch Geometric take it: one set of nodes, numbered edges."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnvcell.graphs import GeneGraph
from gnnvcell.models.relations import is_gene_gene, links, require_gene_relations


@dataclass(frozen=True, eq=False)
class MessageGraph:
    """Genes first, then the terms and pathways that link at least two of them.

    Args:
        src, dst: (edges,) int64, in order of kind, then of dst.
        kind: (edges,) int64: one number for each relation of genes with genes, two (there and back) for each relation
            of genes with terms.
        nodes: genes and terms.
        kinds: how many kinds there are.
    """

    src: Tensor
    dst: Tensor
    kind: Tensor
    nodes: int
    kinds: int

    @classmethod
    def of(cls, graph: GeneGraph, max_term_genes: int) -> "MessageGraph":
        """All relations of genes, both ways; terms of one gene or of more than ``max_term_genes`` are left out."""
        parts: list[sp.coo_matrix] = []
        nodes = graph.num_genes
        for relation in require_gene_relations(graph, "a graph encoder"):
            if is_gene_gene(graph, relation):
                parts.append(sp.coo_matrix(links(graph, relation)))
                continue
            membership = graph.adjacency(relation)
            size = np.diff(membership.tocsc().indptr)
            kept: Any = sp.coo_matrix(membership[:, (size >= 2) & (size <= max_term_genes)])
            for rows, columns in ((kept.row, kept.col + nodes), (kept.col + nodes, kept.row)):
                parts.append(sp.coo_matrix((kept.data, (rows, columns))))
            nodes += kept.shape[1]
        edges = []
        for kind, part in enumerate(parts):
            order = np.argsort(part.col, kind="stable")
            edges.append(np.stack([part.row[order], part.col[order], np.full(part.nnz, kind)]).astype(np.int64))
        src, dst, kinds = torch.from_numpy(np.concatenate(edges, axis=1))
        return cls(src.contiguous(), dst.contiguous(), kinds.contiguous(), nodes, len(parts))

    def untyped(self, *, self_loops: bool) -> tuple[Tensor, Tensor]:
        """(edges,) src and dst of all kinds together, each pair once, in order of dst."""
        pair = torch.unique(self.dst * self.nodes + self.src)
        if self_loops:
            pair = torch.unique(torch.cat([pair, torch.arange(self.nodes) * (self.nodes + 1)]))
        return pair % self.nodes, pair // self.nodes

    def share(self) -> Tensor:
        """(edges,) float32, 1 over the number of edges of the same kind into the same node."""
        slot = self.kind * self.nodes + self.dst
        return 1.0 / torch.bincount(slot)[slot].float()
