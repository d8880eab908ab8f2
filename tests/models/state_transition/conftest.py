"""A small screen whose effects follow communities of the gene graph, and models of it."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from gnnvcell.data.cells import Cells
from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.state_transition import StateTransition, StateTransitionConfig

GROUPS, MEMBERS, READOUTS = 3, 6, 12
TARGETS = [f"P{i}" for i in range(GROUPS * MEMBERS)]
GENES = [*TARGETS, *(f"R{i}" for i in range(READOUTS))]
QUICK = {
    "hidden_dim": 16,
    "layers": 1,
    "heads": 2,
    "set_size": 8,
    "sets_per_batch": 4,
    "graph": {"width": 8, "layers": 1, "dropout": 0.0},
    "spectral_dim": 8,
    "training": {"max_steps": 6, "val_every": 3, "validate_first": False, "patience": None, "loggers": []},
}


def gene_graph(seed: int = 0) -> GeneGraph:
    """P17 and the readout genes R10 and R11 are not in it."""
    rng = np.random.default_rng(seed)
    names = np.array([name for name in GENES if name not in ("P17", "R10", "R11")])
    group = np.array([int(name[1:]) % GROUPS for name in names])
    same = group[:, None] == group[None]
    src, dst = np.nonzero(np.triu(rng.random(same.shape) < np.where(same, 0.7, 0.03), 1))
    terms = np.array([f"T{i}" for i in range(GROUPS)])
    gene, term = np.nonzero(group[:, None] == np.arange(GROUPS)[None])
    tables = [
        EdgeTable(("gene", "string", "gene"), src, dst, np.ones(len(src), np.float32), names, names, directed=False),
        EdgeTable(
            ("gene", "annotated_bp", "go_term"), gene, term, np.ones(len(gene), np.float32), names, terms, directed=True
        ),
    ]
    return GeneGraph.from_tables(tables, GeneVocab.from_symbols(names, renamings=False), {"go_term": terms})


def readout_shift(target: int) -> np.ndarray:
    """(readouts,) what a target of group g does: those of g go up by 1, of the next group down by 1."""
    apart = (np.arange(READOUTS) - target) % GROUPS
    return np.select([apart == 0, apart == 1], [1.0, -1.0], 0.0)


def screen(*, cells: int = 10, contexts: tuple[str, ...] = ("a",), seed: int = 0, left_out: tuple[str, ...] = ()):
    """log1p cells of knocked-down targets (``readout_shift``), a few of each in two batches."""
    rng = np.random.default_rng(seed)
    rows, obs = [], []
    names = ["non-targeting"] * 4 + [name for name in TARGETS if name not in left_out]
    for context in contexts:
        base = rng.uniform(1.0, 3.0, len(GENES))
        for name in names:
            for number in range(cells):
                shift = np.zeros(len(GENES))
                if name != "non-targeting":
                    shift[len(TARGETS) :] = readout_shift(int(name[1:]))
                    shift[GENES.index(name)] = -0.8
                rows.append(np.maximum(base + shift + 0.2 * rng.standard_normal(len(GENES)), 0.0))
                obs.append((name, context, f"b{number % 2}"))
    frame = pd.DataFrame(obs, columns=pd.Index(["target_gene", "cell_type", "batch"]))
    frame.index = frame.index.astype(str)
    adata = ad.AnnData(np.array(rows, dtype=np.float32), obs=frame, var=pd.DataFrame(index=pd.Index(GENES)))
    adata.uns["log1p"] = {}
    return adata


def protein_table() -> FeatureTable:
    """P16 is not in it."""
    names = [name for name in GENES if name != "P16"]
    return FeatureTable(np.array(names), np.random.default_rng(1).normal(size=(len(names), 5)), "drawn")


@pytest.fixture(scope="session")
def graph() -> GeneGraph:
    return gene_graph()


@pytest.fixture(scope="session")
def cells() -> Cells:
    return Cells.of(screen())


@pytest.fixture(scope="session")
def make(graph):
    """(settings) -> a small model that is not fitted."""

    def made(**settings) -> StateTransition:
        config = StateTransitionConfig.parse({**QUICK, **settings})
        return StateTransition(config, graph=graph, features={"esm": protein_table()})

    return made


@pytest.fixture(scope="session")
def fitted(make, cells):
    """A model with the graph and all other encoders of genes."""
    model = make(encoders=("onehot", "esm", "graph", "field"), confidence=True, fallback="perturbation_mean")
    return model.fit(cells)
