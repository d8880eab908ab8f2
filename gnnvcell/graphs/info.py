"""GraphInfo: nodes, edges, degrees and coverage of a graph by relation, and the overlap between its relations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gnnvcell import keys

if TYPE_CHECKING:
    from gnnvcell.graphs.gene_graph import GeneGraph

_QUANTILES = {"degree_min": 0.0, "degree_median": 0.5, "degree_p95": 0.95, "degree_max": 1.0}


@dataclass(frozen=True, eq=False)
class GraphInfo:
    """A graph in numbers; ``str()`` prints it.

    Args:
        name: the recipe's name.
        nodes: node type to number of nodes.
        isolated_genes: genes without an edge in any relation.
        digest: of the graph's content.
        table: one row per relation: ``source`` (key in the recipe), ``src_type``, ``dst_type``, ``edges`` (a symmetric
            pair counts once), ``src_nodes`` and ``dst_nodes`` (nodes with an edge on that side), ``signed`` (share of
            edges with a sign), ``gene_coverage`` (share of the graph's genes with an edge), ``isolated_genes`` (those
            without; both NaN where the relation has no genes) and quantiles of the degree of the nodes on the source
            side that have an edge (both directions counted where the two sides are one node type).
        overlap: (gene-gene relations, gene-gene relations) share of the row's gene pairs, direction left aside, that
            the column has too.
        gene_overlap: (relations with genes, relations with genes) share of the row's genes that have an edge in the
            column too.
    """

    name: str
    nodes: dict[str, int]
    isolated_genes: int
    digest: str
    table: pd.DataFrame
    overlap: pd.DataFrame
    gene_overlap: pd.DataFrame

    def __str__(self) -> str:
        nodes = ", ".join(f"{count:,} {ntype}" for ntype, count in self.nodes.items())
        parts = [
            f"{self.name or 'gene graph'}: {nodes}; {self.isolated_genes:,} genes without any edge",
            f"digest {self.digest}",
            "",
            _formatted(self.table),
        ]
        for title, frame in (
            ("share of the row's gene pairs that the column has too:", self.overlap),
            ("share of the row's genes that have an edge in the column too:", self.gene_overlap),
        ):
            if len(frame) > 1:
                parts += ["", title, frame.map(_percent).to_string()]
        return "\n".join(parts)


def describe(graph: "GeneGraph") -> GraphInfo:
    """Count everything a ``GraphInfo`` holds."""
    covered = {r: _covered_genes(graph, r) for r in graph.relations if keys.GENE in graph.etype(r)[::2]}
    pairs = {r: _gene_pairs(graph, r) for r in graph.relations if graph.etype(r)[::2] == (keys.GENE, keys.GENE)}
    touched = np.zeros(graph.num_genes, dtype=bool)
    for mask in covered.values():
        touched |= mask
    rows = {relation: _row(graph, relation, covered.get(relation)) for relation in graph.relations}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("relation")
    return GraphInfo(
        name=graph.manifest.name,
        nodes={ntype: graph.graph.num_nodes(ntype) for ntype in sorted(graph.graph.ntypes, key=_genes_first)},
        isolated_genes=int((~touched).sum()),
        digest=graph.digest,
        table=table,
        overlap=_shares(pairs),
        gene_overlap=_shares({relation: np.flatnonzero(mask) for relation, mask in covered.items()}),
    )


def _genes_first(ntype: str) -> tuple[bool, str]:
    return ntype != keys.GENE, ntype


def _row(graph: "GeneGraph", relation: str, covered: NDArray | None) -> dict[str, object]:
    source, _, destination = graph.etype(relation)
    table = graph.table(relation)
    degrees = np.bincount(table.src, minlength=graph.graph.num_nodes(source))
    if source == destination:
        degrees = degrees + np.bincount(table.dst, minlength=len(degrees))
    sides = [np.unique(table.src), np.unique(table.dst)]
    if graph.is_symmetric(relation):
        sides = [np.flatnonzero(degrees)] * 2
    present = degrees[degrees > 0]
    quantiles = {name: float(np.quantile(present, q)) if len(present) else 0.0 for name, q in _QUANTILES.items()}
    return {
        "source": graph.manifest.source_of(relation),
        "src_type": source,
        "dst_type": destination,
        "edges": len(table),
        "src_nodes": len(sides[0]),
        "dst_nodes": len(sides[1]),
        "signed": 0.0 if table.sign is None or not len(table) else float((table.sign != 0).mean()),
        "gene_coverage": np.nan if covered is None else float(covered.mean()),
        "isolated_genes": np.nan if covered is None else int((~covered).sum()),
        **quantiles,
    }


def _covered_genes(graph: "GeneGraph", relation: str) -> NDArray[np.bool_]:
    source, _, destination = graph.etype(relation)
    table = graph.table(relation)
    mask = np.zeros(graph.num_genes, dtype=bool)
    for ntype, codes in ((source, table.src), (destination, table.dst)):
        if ntype == keys.GENE:
            mask[codes] = True
    return mask


def _gene_pairs(graph: "GeneGraph", relation: str) -> NDArray[np.int64]:
    """(pairs,) sorted unique integers, one per unordered gene pair."""
    table = graph.table(relation)
    low, high = np.minimum(table.src, table.dst), np.maximum(table.src, table.dst)
    return np.unique(low * np.int64(graph.num_genes) + high)


def _shares(sets: dict[str, NDArray]) -> pd.DataFrame:
    frame = pd.DataFrame(np.nan, index=pd.Index(sets), columns=pd.Index(sets), dtype=float)
    for row, ours in sets.items():
        for column, theirs in sets.items():
            common = len(np.intersect1d(ours, theirs, assume_unique=True))
            frame.loc[row, column] = common / len(ours) if len(ours) else np.nan
    return frame.rename_axis("relation")


def _formatted(table: pd.DataFrame) -> str:
    shown = table.copy()
    for column in ("edges", "src_nodes", "dst_nodes"):
        shown[column] = [f"{int(value):,}" for value in table[column]]
    for column in ("signed", "gene_coverage"):
        shown[column] = table[column].map(_percent)
    shown["isolated_genes"] = ["" if np.isnan(value) else f"{int(value):,}" for value in table["isolated_genes"]]
    for column in _QUANTILES:
        shown[column] = [f"{value:g}" for value in table[column]]
    return shown.to_string()


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{share:.1%}"
