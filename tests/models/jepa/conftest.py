"""A small gene graph, cells and networks of every version."""

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from gnnvcell import keys
from gnnvcell.data.cells import Cells
from gnnvcell.features import FeatureTable
from gnnvcell.genes import GeneVocab
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.jepa import Jepa, JepaConfig, JepaFacts, JepaNetwork
from gnnvcell.nn.perturbation_batch import PerturbationBatch
from gnnvcell.perturbation import Perturbation

GENES = [f"G{i}" for i in range(14)]  # G12 and G13 are not in the graph
QUICK: dict[str, Any] = {
    "width": 16,
    "heads": 2,
    "layers": 1,
    "predictor_layers": 2,
    "decoder_dim": 8,
    "graph": {"width": 8, "layers": 2, "dropout": 0.0},
    "spectral_dim": 4,
    "genes": None,
    "dropout": 0.0,
}
OWN: dict[str, dict[str, Any]] = {"v0.2": {}, "v0.3": {}, "graph": {"neighbours": 3, "hops": 3, "channels": 2}}


def gene_graph(seed: int = 0) -> GeneGraph:
    rng = np.random.default_rng(seed)
    names = np.array(GENES[:12])
    src, dst = np.nonzero(np.triu(rng.random((12, 12)) < 0.35, 1))
    terms = np.array(["T0", "T1", "T2"])
    gene, term = np.nonzero(rng.random((12, 3)) < 0.4)
    weight = rng.uniform(0.5, 1.0, len(src)).astype(np.float32)
    of_terms = rng.uniform(0.5, 1.0, len(gene)).astype(np.float32)
    is_a = np.array([0, 1]), np.array([2, 2])
    tables = [
        EdgeTable(("gene", "string", "gene"), src, dst, weight, names, names, directed=False),
        EdgeTable(("gene", "annotated_bp", "go_term"), gene, term, of_terms, names, terms, directed=True),
        EdgeTable(("go_term", "is_a", "go_term"), *is_a, np.ones(2, np.float32), terms, terms, directed=True),
    ]
    return GeneGraph.from_tables(tables, GeneVocab.from_symbols(names, renamings=False), {"go_term": terms})


@pytest.fixture(scope="session")
def graph() -> GeneGraph:
    return gene_graph()


@pytest.fixture(scope="session")
def facts(graph) -> JepaFacts:
    rng = np.random.default_rng(1)
    table = FeatureTable(np.array(GENES[:13]), rng.normal(size=(13, 5)), "drawn")
    pathways = torch.zeros(len(GENES), 3, dtype=torch.bool)
    pathways[:5, 0] = pathways[4:9, 1] = pathways[8:13, 2] = True
    vocab = GeneVocab.from_symbols(GENES, renamings=False)
    return JepaFacts(GENES, vocab, tables={"esm": table}, graph=graph, pathways=pathways)


@pytest.fixture(scope="session")
def make(facts):
    """(preset, settings) -> a network, with weights that are not zero any more unless ``fresh``."""

    def made(preset: str, *, fresh: bool = False, given: JepaFacts = facts, **settings) -> JepaNetwork:
        torch.manual_seed(0)
        network = JepaNetwork(JepaConfig.preset(preset, **{**QUICK, **OWN[preset], **settings}), given)
        if not fresh:
            generator = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return network

    return made


@pytest.fixture(scope="session")
def conditions():
    """(labels) -> perturbations."""

    def made(*labels: str) -> PerturbationBatch:
        genes = GeneVocab.from_symbols(GENES, renamings=False)
        return PerturbationBatch.of([Perturbation.parse(label) for label in labels], genes=genes)

    return made


@pytest.fixture(scope="session")
def batch(conditions):
    """(labels) -> sets of drawn cells."""

    def made(*labels: str, cells: int = 3, seed: int = 0) -> dict[str, Any]:
        labels = labels or ("G0|CRISPRi", "G1+G2|CRISPRi", "G3|CRISPRa", "G13|KO")
        generator = torch.Generator().manual_seed(seed)
        shape = (len(labels), cells)
        mask = torch.ones(shape, dtype=torch.bool)
        mask[-1, -1] = cells == 1
        return {
            keys.CONTROL_CELLS: 2 * torch.rand(*shape, len(GENES), generator=generator),
            keys.PERTURBED_CELLS: 2 * torch.rand(*shape, len(GENES), generator=generator),
            keys.CONTROL_MEAN: 2 * torch.rand(len(labels), len(GENES), generator=generator),
            keys.CONTROL_LOG_TOTAL: 8 + torch.rand(shape, generator=generator),
            keys.PERTURBED_LOG_TOTAL: 8 + torch.rand(shape, generator=generator),
            keys.CELL_MASK: mask,
            keys.CONDITIONS: conditions(*labels),
            keys.FIELD: torch.randn(len(labels), len(GENES) + 1, generator=generator).abs(),
        }

    return made


# --- whole models, of cells


STAGE = {"validate_first": False, "max_steps": 4, "val_every": 2, "patience": None, "loggers": [], "log_every": 2}
STAGES = dict.fromkeys(("pretrain", "action", "decode"), STAGE)
PER_SET = {"v0.2": {"sets_per_batch": 8}, "v0.3": {"sets_per_batch": 8}, "graph": {"set_size": 4, "sets_per_batch": 4}}


def screen(*, contexts: tuple[str, ...] = ("a",), seed: int = 0, targets: int = 10) -> ad.AnnData:
    """Counts of controls and knock-downs, a few of each in two batches."""
    rng = np.random.default_rng(seed)
    rows, obs = [], []
    for context in contexts:
        for name in ["non-targeting"] * 3 + GENES[:targets]:
            for number in range(6):
                rate = np.full(len(GENES), 5.0)
                if name != "non-targeting":
                    rate[GENES.index(name)] = 0.5
                rows.append(rng.poisson(rate))
                obs.append((name, context, f"b{number % 2}"))
    frame = pd.DataFrame(obs, columns=pd.Index(["target_gene", "cell_type", "batch"]))
    frame.index = frame.index.astype(str)
    return ad.AnnData(np.array(rows, dtype=np.float32), obs=frame, var=pd.DataFrame(index=pd.Index(GENES)))


@pytest.fixture(scope="session")
def cells() -> Cells:
    return Cells.of(screen())


@pytest.fixture(scope="session")
def gene_sets(tmp_path_factory):
    path = tmp_path_factory.mktemp("sets") / "sets.gmt"
    sets = {"first": GENES[:6], "second": GENES[4:10], "third": GENES[8:14], "tiny": GENES[:2]}
    path.write_text("".join(f"{name}\t-\t" + "\t".join(genes) + "\n" for name, genes in sets.items()))
    return path


@pytest.fixture(scope="session")
def new(graph, gene_sets):
    """(preset, settings) -> a model that is not fitted."""
    table = FeatureTable(np.array(GENES[:13]), np.random.default_rng(1).normal(size=(13, 5)), "drawn")

    def made(preset: str, **settings) -> Jepa:
        own = {**QUICK, **OWN[preset], **PER_SET[preset], **STAGES, "validation": 0.2, **settings}
        features = {} if preset == "graph" else {"esm": table}
        return Jepa(JepaConfig.preset(preset, **own), graph=graph, features=features, gene_sets=gene_sets)

    return made
