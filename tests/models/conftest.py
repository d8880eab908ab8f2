from dataclasses import dataclass

import numpy as np
import pytest

from gnnvcell.data import EffectTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models import MODELS

# Settings of the models that learn, small enough for tests that fit many times.
QUICK = {
    "propagation": {"readout": {"epochs": 3, "hidden": 8}},
    "source_propagation": {"epochs": 25, "dim": 16, "steps": 2},
}

COMMUNITIES, MEMBERS, READOUTS = 6, 14, 24


@dataclass(frozen=True)
class Planted:
    """A graph whose communities respond alike, and effects of held-out members."""

    graph: GeneGraph
    train: EffectTable
    test: EffectTable


def planted(kind: str, seed: int = 0) -> Planted:
    rng = np.random.default_rng(seed)
    count = COMMUNITIES * MEMBERS
    genes = [f"P{i}" for i in range(count)] + [f"R{i}" for i in range(READOUTS)]
    community = np.concatenate([np.arange(count) % COMMUNITIES, np.arange(READOUTS) % COMMUNITIES])
    same = community[:, None] == community[None, :]
    linked = np.triu(rng.random(same.shape) < np.where(same, 0.4, 0.02), 1)
    src, dst = np.nonzero(linked)
    names, terms = np.array(genes), np.array([f"T{i}" for i in range(2 * COMMUNITIES)])
    member = rng.random((len(genes), len(terms))) < np.where(
        community[:, None] == np.arange(len(terms))[None, :] % COMMUNITIES, 0.6, 0.03
    )
    gene, term = np.nonzero(member)
    tables = [
        EdgeTable(("gene", "string", "gene"), src, dst, np.ones(len(src), np.float32), names, names, directed=False),
        EdgeTable(
            ("gene", "annotated_bp", "go_term"), gene, term, np.ones(len(gene), np.float32), names, terms, directed=True
        ),
    ]
    graph = GeneGraph.from_tables(tables, GeneVocab.from_symbols(genes, renamings=False), {"go_term": terms})
    # Readout genes of one community respond alike; which communities of targets move them is drawn once.
    up = rng.permuted(np.tile([0, 0, 0, 1, 1, 1], (READOUTS // 2, 1)), axis=1).T
    probability = np.where(up[community[:count]][:, np.arange(READOUTS) // 2] > 0, 0.9, 0.1)
    values = (rng.random(probability.shape) < probability).astype(np.float32)
    if kind == "delta":
        values = (probability - 0.5 + 0.2 * rng.standard_normal(probability.shape)).astype(np.float32)
    measured = rng.random(values.shape) < 0.8
    split = np.where(rng.permutation(count) < 0.7 * count, "train", "test")
    table = EffectTable(
        values, measured, genes[:count], genes[count:], kind=kind, split=split, cells=np.full(count, 30)
    )
    return Planted(graph, table.of_split("train"), table.of_split("test"))


@pytest.fixture(scope="session")
def planted_de() -> Planted:
    return planted("de")


@pytest.fixture(scope="session")
def planted_delta() -> Planted:
    return planted("delta")


@pytest.fixture(scope="session")
def make_model():
    """(name) -> a new model with quick settings."""

    def make(name: str):
        model = MODELS.get(name)
        return model(model.config_class.parse(QUICK.get(name, {})))

    return make
