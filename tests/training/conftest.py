"""Two small files of cells, a split of them in cell-load's TOML, and ESM features of most targets."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

TARGETS = [f"P{i}" for i in range(8)]
GENES = [*TARGETS, *(f"R{i}" for i in range(12))]
QUICK_MODEL = {"encoders": ["onehot"], "hidden_dim": 8, "layers": 1, "heads": 2, "set_size": 8, "sets_per_batch": 4}
QUICK_FIT = {"max_steps": 6, "val_every": 3, "validate_first": False, "loggers": ["csv"]}


def screen(cell_type: str, seed: int, *, targets=TARGETS, genes=GENES, cells: int = 12) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    labels = np.repeat(["non-targeting", "non-targeting", *targets], cells)
    rates = np.full((len(labels), len(genes)), 3.0)
    for row, label in enumerate(labels):
        if label in genes:
            rates[row, genes.index(label)] = 0.3
    obs = pd.DataFrame(
        {"target_gene": labels, "cell_type": cell_type, "batch": np.where(np.arange(len(labels)) % 2, "b0", "b1")},
        index=pd.Index([f"{cell_type}{i}" for i in range(len(labels))]),
    )
    return ad.AnnData(sp.csr_matrix(rng.poisson(rates).astype(np.float32)), obs, pd.DataFrame(index=pd.Index(genes)))


SPLIT = """
[datasets]
one = "{folder}/one.h5ad"
two = "{folder}/two.h5ad"

[training]
one = "train"
two = "train"

[fewshot."one.a"]
val = ["P5"]
test = ["P6", "P7"]

[fewshot."two.b"]
val = ["P5"]
test = ["P6", "P7"]
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("screens")
    screen("a", 0).write_h5ad(folder / "one.h5ad")
    screen("b", 1, genes=GENES[::-1]).write_h5ad(folder / "two.h5ad")
    screen("c", 2, targets=TARGETS[:3]).write_h5ad(folder / "three.h5ad")
    (folder / "split.toml").write_text(SPLIT.format(folder=folder))
    generator = torch.Generator().manual_seed(0)
    torch.save({name: torch.randn(5, generator=generator) for name in TARGETS[1:]}, folder / "esm.pt")
    return folder
