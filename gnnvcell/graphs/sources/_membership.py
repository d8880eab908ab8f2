"""Which gene is in which set (GO term, pathway, gene set), and the edge tables made of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.projection import similar_pairs
from gnnvcell.graphs.sources._hierarchy import Links


@dataclass(frozen=True, eq=False)
class Membership:
    """Genes in sets, each pair once.

    Args:
        genes: (genes,) names as the file spells them.
        sets: (sets,) names of terms or pathways.
        matrix: (genes, sets) float32 0/1.
    """

    genes: NDArray
    sets: NDArray
    matrix: sp.csr_matrix

    @classmethod
    def of(cls, genes: Sequence[str] | pd.Series, codes: NDArray[np.int64], sets: NDArray) -> "Membership":
        """From one gene name and one set code per membership."""
        rows, names = pd.factorize(np.asarray(genes, dtype=object))
        ones = np.ones(len(rows), np.float32)
        matrix = sp.csr_matrix((ones, (rows, codes)), shape=(len(names), len(sets)))
        return cls(np.array([str(name) for name in names], dtype=str), sets, _binary(matrix))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(sets,) genes in each set."""
        return np.bincount(self.matrix.indices, minlength=len(self.sets))

    def closed(self, ancestors: sp.csr_matrix) -> "Membership":
        """Every gene of a set also in the set's ancestors (the true-path rule)."""
        return replace(self, matrix=_binary(sp.csr_matrix(self.matrix @ ancestors)))

    def only(self, kept: NDArray[np.bool_]) -> "Membership":
        """Some of the sets; genes in none of them stay as rows without an entry."""
        return replace(self, sets=self.sets[kept], matrix=sp.csr_matrix(self.matrix[:, kept]))

    def member_table(self, relation: str, node_type: str, among: NDArray[np.bool_] | None = None) -> EdgeTable:
        """Edges (gene, relation, node type) of weight 1, for the sets in ``among``."""
        entries = self.matrix.tocoo()
        row, column = entries.row.astype(np.int64), entries.col.astype(np.int64)
        if among is not None:
            row, column = row[among[column]], column[among[column]]
        return EdgeTable(
            etype=(keys.GENE, relation, node_type),
            src=row,
            dst=column,
            weight=np.ones(len(row), np.float32),
            src_names=self.genes,
            dst_names=self.sets,
            directed=True,
        )

    def similarity_table(
        self, relation: str, *, measure: str, top_k: int | None, min_similarity: float, total: int
    ) -> EdgeTable:
        """Edges (gene, relation, gene), each pair once, weighted by ``projection.similar_pairs``."""
        pairs = similar_pairs(self.matrix, measure=measure, top_k=top_k, min_similarity=min_similarity, total=total)
        return EdgeTable(
            etype=(keys.GENE, relation, keys.GENE),
            src=pairs.src,
            dst=pairs.dst,
            weight=pairs.weight,
            src_names=self.genes,
            dst_names=self.genes,
        )


def link_table(relation: str, node_type: str, names: NDArray, links: Links, kept: NDArray[np.bool_]) -> EdgeTable:
    """Edges (node type, relation, node type) from child to parent among the kept nodes, which alone are named."""
    place = np.cumsum(kept) - 1
    child, parent = links
    inside = kept[child] & kept[parent]
    return EdgeTable(
        etype=(node_type, relation, node_type),
        src=place[child[inside]],
        dst=place[parent[inside]],
        weight=np.ones(int(inside.sum()), np.float32),
        src_names=names[kept],
        dst_names=names[kept],
        directed=True,
    )


def _binary(matrix: sp.csr_matrix) -> sp.csr_matrix:
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
