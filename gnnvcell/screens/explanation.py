"""Explanation: which paths, sources and outcomes carry one predicted effect."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gnnvcell.files import atomic_path
from gnnvcell.screens.result import ScreenResult

if TYPE_CHECKING:
    import networkx as nx

GRAPHML = "explanation.graphml"
TARGET, MEASURED, RESPONDING, BETWEEN = "target", "measured neighbour", "responding gene", "between"


@dataclass(frozen=True, eq=False)
class Explanation:
    """What carries the predicted effect of a perturbation on a gene.

    Effects are in the unit of the prediction (natural log for changes of expression). What a deletion takes away is
    counted with the sign of the prediction: deleting an edge with effect +0.1 lowers it by 0.1.

    Args:
        perturbation, gene, context: what is explained.
        predicted: the predicted effect.
        bare: the prediction when all edges of the targets are deleted.
        support: of the prediction.
        paths: one row a path, best first: ``path`` (nodes), ``end``, ``relations`` (per hop), ``carried`` (by its
            weakest hop), ``effect`` (of deleting the whole path), ``share`` of predicted - bare.
        hops: one row a hop of these paths: ``from``, ``to``, their types, ``relations``, ``effect`` of deleting it.
        fidelity: ``effect`` and ``share`` of deleting all hops of the paths together, ``random_mean`` and
            ``random_sd`` of deleting as many matched ones, ``p`` (share of draws, and this, that take away as much),
            ``hops``, ``draws``.
        sources: one row a source: ``leave_one_out`` (what goes without it) and ``shapley``.
        evidence: one row a training perturbation that the model listened to: ``weight``, ``outcome``, ``contribution``;
            None for models that pass no outcomes.
        graph: the paths as a directed graph of networkx, nodes with ``role`` and ``node_type``, edges with ``effect``;
            edges of ``kind`` "outcome" run from measured neighbours to the responding gene.
        settings: how it was made.
    """

    perturbation: str
    gene: str
    context: str
    predicted: float
    bare: float
    support: float
    paths: pd.DataFrame
    hops: pd.DataFrame
    fidelity: dict[str, int | float]
    sources: pd.DataFrame
    evidence: pd.DataFrame | None
    graph: "nx.DiGraph"
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, Any]:
        """All but the tables."""
        names = ("perturbation", "gene", "context", "predicted", "bare", "support", "fidelity", "settings")
        return {name: getattr(self, name) for name in names}

    def save(self, path: str | Path) -> Path:
        """Write ``table.csv`` (paths), ``hops.csv``, ``sources.csv``, ``evidence.csv``, ``provenance.json`` and
        ``explanation.graphml`` into a folder.

        Raises:
            DataError: the folder holds something that is not a screen.
        """
        import networkx as nx

        more = {"hops": self.hops, "sources": self.sources}
        if self.evidence is not None:
            more["evidence"] = self.evidence
        result = ScreenResult("explain", self.paths, pd.DataFrame({"perturbation": []}), self.summary, more)
        folder = result.save(path)
        with atomic_path(folder / GRAPHML) as temporary:
            nx.write_graphml(self.graph, temporary)
        return folder
