"""Gene graphs: knowledge files in, one DGL heterograph with provenance out.

``gnnvcell.graphs.build`` is both a module (``from gnnvcell.graphs.build import build``) and the function in it
(``gnnvcell.graphs.build(recipe)``): the module is callable. Everything here loads on first use.
"""

import importlib
from typing import TYPE_CHECKING

_MODULES = ("build", "controls", "fetch", "filters", "plot", "sources")
_NAMES = {
    "EdgeTable": "gnnvcell.graphs.edges",
    "GeneGraph": "gnnvcell.graphs.gene_graph",
    "GraphInfo": "gnnvcell.graphs.info",
    "Manifest": "gnnvcell.graphs.manifest",
}
__all__ = [
    "EdgeTable",
    "GeneGraph",
    "GraphInfo",
    "Manifest",
    "build",
    "controls",
    "fetch",
    "filters",
    "plot",
    "sources",
]

if TYPE_CHECKING:
    from gnnvcell.graphs import controls, fetch, filters, plot, sources
    from gnnvcell.graphs.build import build
    from gnnvcell.graphs.edges import EdgeTable
    from gnnvcell.graphs.gene_graph import GeneGraph
    from gnnvcell.graphs.info import GraphInfo
    from gnnvcell.graphs.manifest import Manifest


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"gnnvcell.graphs.{name}")
    raise AttributeError(f"module 'gnnvcell.graphs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
