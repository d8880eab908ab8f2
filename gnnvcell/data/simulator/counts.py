"""Single cells: negative-binomial counts of control cells and knock-downs, in batches."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell import keys
from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.streams import stream
from gnnvcell.data.simulator.wiring import Wiring

_CELLS_AT_A_TIME = 2000


def draw_cells(
    config: SimulatorConfig, wiring: Wiring, targets: NDArray[np.int64], effects: NDArray[np.float64]
) -> ad.AnnData:
    """Draw the counts.

    ``count ~ NegativeBinomial(depth * share, dispersion)`` with ``share`` the softmax over genes of baseline + effect
    of the knock-down + activity of the gene's module in this cell + batch effect.

    Args:
        config: depth, dispersion, batches and numbers of cells.
        wiring: genes, modules and baseline.
        targets: (knock-downs,) gene indices.
        effects: (knock-downs, genes) natural log fold changes.

    Returns:
        (cells, genes) integer counts (csr, int32); obs ``target_gene`` (controls: "non-targeting"), ``batch``,
        ``cell_type``; cells in random order.
    """
    rng = stream(config.seed, "counts")
    arm = np.repeat(np.arange(-1, len(targets)), [config.control_cells, *[config.cells_per_target] * len(targets)])
    arm = rng.permutation(arm)
    batch = rng.integers(config.batches, size=len(arm))
    batch_effect = rng.normal(0, config.batch_effect, (config.batches, config.genes))
    loading = np.exp(rng.normal(0, 0.3, config.genes))
    with_control = np.vstack([effects, np.zeros(config.genes)])  # arm -1 picks the last row
    blocks = []
    for start in range(0, len(arm), _CELLS_AT_A_TIME):
        part = slice(start, start + _CELLS_AT_A_TIME)
        activity = rng.normal(0, config.program_noise, (len(arm[part]), config.modules))
        log_rate = wiring.baseline + with_control[arm[part]] + batch_effect[batch[part]]
        log_rate += activity[:, wiring.module] * loading
        blocks.append(sp.csr_array(counts_at(log_rate, config, rng)))
    names = np.array([*wiring.genes[targets], keys.NON_TARGETING], dtype=object)
    obs = pd.DataFrame(
        {
            keys.TARGET_GENE: pd.Categorical(names[arm]),
            keys.BATCH: pd.Categorical([f"batch{b + 1}" for b in batch]),
            keys.CELL_TYPE: pd.Categorical([config.line] * len(arm)),
        },
        index=pd.Index([f"cell{i + 1:06d}" for i in range(len(arm))], dtype=object),
    )
    return ad.AnnData(sp.csr_matrix(sp.vstack(blocks)), obs=obs, var=pd.DataFrame(index=wiring.genes.astype(object)))


def counts_at(log_rate: NDArray, config: SimulatorConfig, rng: np.random.Generator) -> NDArray[np.int32]:
    """(cells, genes) int32 counts at log rates that are known up to a constant in each cell."""
    share = np.exp(log_rate - log_rate.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    # The log-normal's mean is exp(sd^2 / 2): subtracted, so that mean_depth is the mean.
    log_depth = rng.normal(np.log(config.mean_depth) - config.depth_spread**2 / 2, config.depth_spread, len(share))
    mean = np.exp(log_depth)[:, None] * share
    return rng.poisson(rng.gamma(1 / config.dispersion, mean * config.dispersion)).astype(np.int32)
