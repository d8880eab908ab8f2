"""Features, graph and training effects in a model's folder: what models of cells keep of what they were made from."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from gnnvcell.data.effects import EffectTable
from gnnvcell.features import FeatureTable
from gnnvcell.graphs.gene_graph import GeneGraph

_GRAPH, _EFFECTS = "graph", "effects.h5ad"


class Knowledge(NamedTuple):
    """What is kept; None for what the model does not read.

    Args:
        tables: features by their names.
        graph: the gene graph.
        effects: of training.
    """

    tables: Mapping[str, FeatureTable]
    graph: GeneGraph | None
    effects: EffectTable | None

    def write(self, folder: Path) -> None:
        """Write what there is."""
        for name, table in self.tables.items():
            table.save(folder / f"{name}.npz")
        if self.graph is not None:
            self.graph.save(folder / _GRAPH)
        if self.effects is not None:
            self.effects.save(folder / _EFFECTS)

    @classmethod
    def read(cls, folder: Path, tables: Iterable[str], *, graph: bool, effects: bool) -> "Knowledge":
        """Read what a model's head says is there."""
        return cls(
            {name: FeatureTable.load(folder / f"{name}.npz") for name in tables},
            GeneGraph.load(folder / _GRAPH) if graph else None,
            EffectTable.load(folder / _EFFECTS) if effects else None,
        )
