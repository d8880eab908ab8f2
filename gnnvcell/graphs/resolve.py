"""From the names of the files to the nodes of the graph: matching, merging, filtering, every edge accounted for."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.errors import EmptyGraphError
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.accessions import likely_kind
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import merge_pairs
from gnnvcell.graphs.manifest import MAX_EXAMPLES, NOT_SELECTED, RelationRecord

_WRONG_SPECIES = "wrong_species"


def used_names(table: EdgeTable, ntype: str) -> NDArray:
    """Sorted unique names of one node type that an edge of the table has at an end."""
    found = [
        names[np.unique(codes)]
        for side, codes, names in ((0, table.src, table.src_names), (2, table.dst, table.dst_names))
        if table.etype[side] == ntype
    ]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=str)


@dataclass
class GeneMatches:
    """Which gene names of one source are in the vocabulary.

    Args:
        index: name to gene index, -1 where it is not matched.
        reasons: name to how it was matched or why it was not.
    """

    index: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Sequence[EdgeTable], vocab: GeneVocab, *, source: str) -> "GeneMatches":
        """Match every gene name that an edge of the source's tables uses, each once."""
        names = np.unique(np.concatenate([np.zeros(0, dtype=str), *(used_names(t, keys.GENE) for t in tables)]))
        if not len(names):
            return cls()
        aligned = vocab.align(names, source=source)
        listed = names.tolist()
        return cls(
            dict(zip(listed, np.asarray(aligned.index).tolist(), strict=True)),
            dict(zip(listed, map(str, np.asarray(aligned.reasons).tolist()), strict=True)),
        )

    def matched(self) -> dict[str, int]:
        """How names were matched to how many."""
        return dict(Counter(reason for name, reason in self.reasons.items() if self.index[name] >= 0))

    def unmatched(self) -> dict[str, list[str]]:
        """Why names were not matched to those names."""
        found: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            if self.index[name] < 0:
                found.setdefault(reason, []).append(name)
        return found

    def codes(self, names: NDArray) -> NDArray[np.int64]:
        """(names,) gene index of each, -1 for those not matched or not used."""
        return np.fromiter((self.index.get(name, -1) for name in names.tolist()), dtype=np.int64, count=len(names))

    def explain(self, table: EdgeTable) -> str:
        """For an error: how many names of a table matched, some that did not, and what they seem to be."""
        names = used_names(table, keys.GENE).tolist()
        missed = [name for name in names if self.index[name] < 0]
        text = f"{len(table):,} edges read, {len(names) - len(missed):,} of {len(names):,} gene names matched"
        if not missed:
            return text
        reasons = Counter(self.reasons[name] for name in missed)
        text += f" ({', '.join(f'{count:,} {reason}' for reason, count in reasons.most_common())}; for example "
        return text + f"{', '.join(missed[:5])})"

    def remedy(self, table: EdgeTable) -> str:
        """For an error: what would make the names match."""
        missed = [name for name in used_names(table, keys.GENE).tolist() if self.index[name] < 0]
        if 2 * sum(self.reasons[name] == NOT_SELECTED for name in missed) > len(missed):
            return "no edge has both its genes among those asked for: ask for more genes, or leave the source out"
        if 2 * sum(self.reasons[name] == _WRONG_SPECIES for name in missed) > len(missed):
            return "most of these names are of another species: check species in the recipe, and the file"
        kind = likely_kind(missed)
        if kind:
            return (
                f"most of these names look like {kind}, which nothing in the recipe maps to symbols: "
                "add hgnc_complete_set.txt as [genes] hgnc, or STRING's protein.aliases"
            )
        return "check that the file is of the recipe's species, and that genes or vocab name the genes you mean"


@dataclass
class Resolved:
    """One relation on its way into the graph.

    Args:
        source: key of its source.
        table: its edges; gene codes are gene indices, the codes of other nodes still point into the table's own names.
        read: edges before anything.
        unmatched, self_loops, duplicates, filtered: edges dropped at each step.
    """

    source: str
    table: EdgeTable
    read: int
    unmatched: int
    self_loops: int = 0
    duplicates: int = 0
    filtered: int = 0

    def record(self) -> RelationRecord:
        """The counts, for the manifest."""
        return RelationRecord(
            relation=self.table.relation,
            etype=self.table.etype,
            read=self.read,
            unmatched=self.unmatched,
            self_loops=self.self_loops,
            duplicates=self.duplicates,
            filtered=self.filtered,
            kept=len(self.table),
        )


def match_genes(source: str, table: EdgeTable, relation: str, matches: GeneMatches, genes: NDArray) -> Resolved:
    """Replace gene names by gene indices; edges with an unmatched end are dropped and counted.

    Args:
        source: key of the source.
        table: as the source gave it.
        relation: the relation's name in the graph.
        matches: of the source's gene names.
        genes: (genes,) symbols of the vocabulary.

    Raises:
        EmptyGraphError: no edge is left.
    """
    ends = {}
    for side, codes, names in ((0, table.src, table.src_names), (2, table.dst, table.dst_names)):
        is_gene = table.etype[side] == keys.GENE
        ends[side] = (matches.codes(names)[codes] if is_gene else codes, genes if is_gene else names)
    keep = (ends[0][0] >= 0) & (ends[2][0] >= 0)
    if not keep.any():
        raise EmptyGraphError(
            f"the relation {relation!r} of the source {source!r} has no edges",
            expected="edges between genes of the vocabulary",
            found=matches.explain(table),
            remedy=matches.remedy(table) if len(table) else "loosen the source's thresholds",
        )
    etype = (table.etype[0], relation, table.etype[2])
    kept = replace(
        table.take(keep),
        etype=etype,
        src=ends[0][0][keep],
        dst=ends[2][0][keep],
        src_names=ends[0][1],
        dst_names=ends[2][1],
    )
    return Resolved(source, kept, read=len(table), unmatched=int(len(table) - keep.sum()))


def node_lists(resolved: Sequence[Resolved]) -> dict[str, NDArray]:
    """For every node type but genes the sorted names that an edge uses."""
    ntypes = {end for item in resolved for end in item.table.etype[::2]} - {keys.GENE}
    return {
        ntype: np.unique(np.concatenate([used_names(r.table, ntype) for r in resolved])) for ntype in sorted(ntypes)
    }


def onto_nodes(table: EdgeTable, nodes: Mapping[str, NDArray]) -> EdgeTable:
    """The table with codes of other nodes than genes pointing into the graph's node lists."""
    changes = {}
    for side, ntype in (("src", table.etype[0]), ("dst", table.etype[2])):
        if ntype == keys.GENE:
            continue
        names, codes = getattr(table, f"{side}_names"), getattr(table, side)
        used = np.unique(codes)
        position = np.zeros(len(names), dtype=np.int64)
        position[used] = np.searchsorted(nodes[ntype], names[used])
        changes |= {side: position[codes], f"{side}_names": nodes[ntype]}
    return replace(table, **changes)


def clean(item: Resolved, filters: Sequence[Callable[[EdgeTable], EdgeTable]], matches: GeneMatches) -> Resolved:
    """Drop self loops, merge duplicates, run the filters; count each.

    Raises:
        EmptyGraphError: nothing is left, with the step that took the last edges.
    """
    table = item.table
    if table.etype[0] == table.etype[2]:
        table = table.take(table.src != table.dst)
    loops = len(item.table) - len(table)
    merged = merge_pairs(table)
    result = replace(item, self_loops=loops, duplicates=len(table) - len(merged), table=merged)
    _require_edges(result, "every edge is a self loop", "check the two gene columns of the file")
    for edge_filter in filters:
        result.table = edge_filter(result.table)
        _require_edges(
            result, f"none of {len(merged):,} edges passes {edge_filter}", f"loosen it; weights are {_range(merged)}"
        )
    result.filtered = len(merged) - len(result.table)
    return result


def _require_edges(item: Resolved, found: str, remedy: str) -> None:
    if not len(item.table):
        raise EmptyGraphError(
            f"the relation {item.table.relation!r} of the source {item.source!r} has no edges",
            found=f"{item.read:,} edges read, {item.unmatched:,} with unmatched genes; {found}",
            remedy=remedy,
        )


def _range(table: EdgeTable) -> str:
    return f"{table.weight.min():g} to {table.weight.max():g}"


def examples(unmatched: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Up to 20 names per reason."""
    return {reason: tuple(names[:MAX_EXAMPLES]) for reason, names in unmatched.items()}
