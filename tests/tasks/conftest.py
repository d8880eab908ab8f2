from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

GENES = [f"G{i}" for i in range(40)]


def screen(
    *,
    seed: int = 0,
    perturbations: tuple[str, ...] = ("G0", "G1", "G2", "G3", "G4", "G5"),
    cells: int = 40,
    controls: int = 80,
    batches: int = 2,
    contexts: tuple[str, ...] = (),
    strength: float = 1.0,
) -> ad.AnnData:
    """Integer counts of a screen in which every perturbation silences its targets and moves eight other genes.

    The same perturbation does the same under every seed, which draws cells alone.
    """
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).gamma(2.0, 3.0, len(GENES))
    labels, rates = [], []
    for name in ("non-targeting", *perturbations):
        effect = np.zeros(len(GENES))
        if name != "non-targeting":
            world = np.random.default_rng(abs(hash_of(name)))
            effect[world.choice(len(GENES), 8, replace=False)] = strength * world.normal(0, 1.2, 8)
            effect[[GENES.index(part) for part in name.split("+") if part in GENES]] = -3.0
        count = controls if name == "non-targeting" else cells
        labels += [name] * count
        rates.append(np.tile(base * np.exp(effect), (count, 1)))
    rate = np.concatenate(rates)
    batch = rng.integers(0, batches, len(labels))
    batch[:batches] = np.arange(batches)  # controls come first: one in every batch
    rate = rate * np.exp(0.3 * batch)[:, None] * rng.gamma(5.0, 0.2, (len(labels), 1))
    counts = rng.poisson(rate).astype(np.float32)
    obs = pd.DataFrame(
        {"target_gene": pd.Categorical(labels), "batch": pd.Categorical([f"b{b}" for b in batch])},
        index=pd.Index([f"cell{i}" for i in range(len(labels))]),
    )
    cells_ = ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=pd.Index(GENES)))
    if contexts:
        parts = []
        for context in contexts:
            part = cells_.copy()
            part.obs["cell_type"] = context
            part.obs_names = [f"{context}-{name}" for name in part.obs_names]
            parts.append(part)
        cells_ = ad.concat(parts)
    return cells_


def hash_of(name: str) -> int:
    """A number for a name that is the same in every process."""
    return int.from_bytes(name.encode(), "big") % (1 << 31)


def log_normal(cells: ad.AnnData) -> ad.AnnData:
    """log1p of counts per 10,000."""
    out = cells.copy()
    x = sp.csr_matrix(out.X, dtype=np.float64)
    total = np.asarray(x.sum(axis=1)).ravel()
    x = sp.csr_matrix(x.multiply(1e4 / np.maximum(total, 1)[:, None]))
    x.data = np.log1p(x.data)
    out.X = x
    return out


@pytest.fixture
def make_screen() -> Callable[..., ad.AnnData]:
    """``screen``: counts of a small screen."""
    return screen


@pytest.fixture
def make_log() -> Callable[[ad.AnnData], ad.AnnData]:
    """``log_normal``: counts to log1p of counts per 10,000."""
    return log_normal
