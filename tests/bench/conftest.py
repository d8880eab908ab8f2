"""A planted world for the tests of suites: two modules; a perturbation switches on the genes of its own module."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.manifest import Manifest, SourceRecord

GENES = [f"G{i:02d}" for i in range(40)]
MODULE = np.arange(40) % 2


@pytest.fixture
def world() -> SimpleNamespace:
    """How to make the world's parts."""
    return SimpleNamespace(graph=planted_graph, labels=planted_labels, write_labels=write_labels, suite=suite_values)


def planted_graph(sources: str = "ab") -> GeneGraph:
    """Sources that each link a random half of the pairs within the modules."""
    names = np.array(GENES)
    src, dst = np.triu_indices(40, k=1)
    inside = MODULE[src] == MODULE[dst]
    tables = []
    for number, source in enumerate(sources):
        kept = inside & (np.random.default_rng(number).random(len(src)) < 0.5 - 0.1 * number)
        weight = np.ones(kept.sum(), np.float32)
        tables.append(EdgeTable(("gene", source, "gene"), src[kept], dst[kept], weight, names, names))
    records = {name: SourceRecord(key=name, type="table", relations=(name,)) for name in sources}
    return GeneGraph.from_tables(tables, GeneVocab.from_symbols(GENES), manifest=Manifest.create(sources=records))


def planted_labels(*, test_label: int | None = None) -> EffectTable:
    """Labels with a little noise; those of held-out perturbations may all be set to one value but for their first."""
    flipped = np.random.default_rng(7).random((40, 40)) < 0.1
    values = ((MODULE[:, None] == MODULE[None, :]) ^ flipped).astype(float)
    split = np.where(np.arange(40) < 28, "train", "test")
    if test_label is not None:
        values[28:] = test_label
        values[28] = 1 - test_label
    return EffectTable(values, np.ones((40, 40), bool), GENES, GENES, kind="de", split=split, context="sim")


def write_labels(folder: Path, table: EffectTable) -> Path:
    """The labels as ``sim-de.csv`` in a new folder."""
    rows = [
        f"{p},{g},{int(table.values[i, j])},{table.split[i]}"
        for i, p in enumerate(table.perturbations)
        for j, g in enumerate(table.genes)
    ]
    folder.mkdir()
    (folder / "sim-de.csv").write_text("\n".join(["pert,gene,label,split", *rows]))
    return folder


def suite_values(folder: Path, **changed: Any) -> dict[str, Any]:
    """Settings of a suite on the world in ``folder``, which is written where it is not there yet."""
    if not (folder / "labels").exists():
        write_labels(folder / "labels", planted_labels())
        planted_graph().save(folder / "mini")
    return {
        "tasks": {"sim": {"labels": str(folder / "labels"), "lines": ["sim"], "kinds": ["de"]}},
        "models": ["smoother", "knn"],
        "graphs": {"mini": {"saved": str(folder / "mini"), "parts": ["all", "each"]}},
        "controls": ["rewired", "permuted"],
        "seeds": 2,
        **changed,
    }
