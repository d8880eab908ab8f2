"""Which genes and compounds can be targets: those of the data, of the graph and of the features."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.cells import Cells
from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.perturbation import Mode

ESM, COMPOUND = "esm", "compound"  # names of tables of features


def seen_targets(cells: Cells) -> tuple[list[str], list[str]]:
    """Genes and compounds that were perturbed, sorted."""
    genes: set[str] = set()
    compounds: set[str] = set()
    for one in cells.targets:
        (compounds if one.mode is Mode.DRUG else genes).update(one.targets)
    return sorted(genes), sorted(compounds)


def target_vocab(
    graph: GeneGraph | None, tables: Mapping[str, FeatureTable], seen: Sequence[str], genes: NDArray
) -> GeneVocab:
    """All genes that can be targets: of the graph, of features, and of the data.

    Args:
        graph: the gene graph.
        tables: features; those of "esm" have genes.
        seen: targets of training.
        genes: (genes,) that are measured.
    """
    sources = [graph.vocab] if graph is not None else []
    if ESM in tables:
        sources.append(_symbols(tables[ESM].names))
    sources += [_symbols(np.array(seen, dtype=str)), _symbols(genes)]
    return GeneVocab.from_identities(sources)


def target_compounds(tables: Mapping[str, FeatureTable], seen: Sequence[str]) -> list[str]:
    """All compounds that can be targets: of features, and of training."""
    table = tables.get(COMPOUND)
    names = [] if table is None else table.names.tolist()
    return list(dict.fromkeys([*names, *seen]))


def _symbols(names: NDArray) -> GeneVocab:
    return GeneVocab.from_symbols(list(dict.fromkeys(map(str, names))))
