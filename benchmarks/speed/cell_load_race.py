"""Sets streamed from disk by us and by cell-load: the same TOML, file, genes and batches, turn by turn in one process.

python benchmarks/speed/cell_load_race.py FOLDER [--cells 100000] [--rounds 5] [--seconds 4] [--workers 0]

Writes two files of cells (log1p values of 2,000 genes, 5 % of them not zero, 100 perturbations, 10 batches) and a split
of each into FOLDER, where they are not there yet: one with its cells in random order, one with the cells of every
perturbation and batch side by side. Sets of 64 cells with controls of their batch, 16 sets a batch, dense. cell-load is
run in each of its modes: cells looked up one by one, or (where they lie side by side; it refuses other files) in
consecutive places; from X, or from obsm["X_hvg"], where the same values are stored dense. Ours reads X.
Needs ``pip install --no-deps cell-load==0.10.4``.
"""

import argparse
import importlib.util
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnvcell import keys
from gnnvcell.data.cell_sets import CellSetConfig, StreamedCellSets

GENES, DENSITY, PERTURBATIONS, BATCHES, BLOCK = 2000, 0.05, 100, 10, 20_000
SET_SIZE, SETS_PER_BATCH = 64, 16
ORDERS = ("random", "grouped")
OURS = "gnnvcell"
CELL_LOAD_MODES = {
    "cell-load": {"embed_key": None, "output_space": "all", "use_consecutive_loading": False},
    "cell-load, consecutive": {"embed_key": None, "output_space": "all", "use_consecutive_loading": True},
    "cell-load, X_hvg": {"embed_key": "X_hvg", "output_space": "gene", "use_consecutive_loading": False},
    "cell-load, X_hvg, consecutive": {"embed_key": "X_hvg", "output_space": "gene", "use_consecutive_loading": True},
}


def make(folder: Path, order: str, cells: int) -> Path:
    """The TOML of one file of cells; both are written where they are not there."""
    path, toml = folder / f"{order}_{cells}.h5ad", folder / f"{order}_{cells}.toml"
    if not path.exists():
        rng = np.random.default_rng(0)
        label = np.where(rng.random(cells) < 0.05, 0, rng.integers(1, PERTURBATIONS + 1, cells))
        batch = rng.integers(0, BATCHES, cells)
        if order == "grouped":
            by_group = np.lexsort((batch, label))
            label, batch = label[by_group], batch[by_group]
        names = ["non-targeting", *(f"G{i}" for i in range(PERTURBATIONS))]
        obs = pd.DataFrame(
            {
                "target_gene": pd.Categorical.from_codes(label, names),  # type: ignore[arg-type]
                "batch": pd.Categorical.from_codes(batch, [f"b{i}" for i in range(BATCHES)]),  # type: ignore[arg-type]
                "cell_type": pd.Categorical(["k"] * cells),
            },
            index=pd.Index([str(i) for i in range(cells)]),
        )
        values = _values(cells, rng)
        adata = ad.AnnData(values, obs=obs, var=pd.DataFrame(index=pd.Index([f"G{i}" for i in range(GENES)])))
        adata.uns["log1p"], adata.obsm["X_hvg"] = {}, values.toarray()
        adata.write_h5ad(path)
    val, test = ([f"G{i}" for i in range(*part)] for part in ((64, 80), (80, 100)))
    toml.write_text(
        f'[datasets]\na = "{path}"\n[training]\na = "train"\n[zeroshot]\n[fewshot."a.k"]\nval = {val}\ntest = {test}\n'
    )
    return toml


def _values(cells: int, rng: np.random.Generator) -> sp.csr_matrix:
    blocks = []
    for start in range(0, cells, BLOCK):
        shape = (min(BLOCK, cells - start), GENES)
        block = sp.random(*shape, density=DENSITY, format="csr", random_state=rng, dtype=np.float32)  # pyright: ignore[reportCallIssue]
        block.data = np.log1p(np.floor(block.data * 9) + 1).astype(np.float32)
        block.sort_indices()
        blocks.append(block)
    return sp.csr_matrix(sp.vstack(blocks, format="csr"))


def ours(toml: Path, workers: int) -> Iterable[Mapping[str, Tensor]]:
    stream = StreamedCellSets.from_toml(toml, "train", CellSetConfig(set_size=SET_SIZE, target_sum=None))
    return torch.utils.data.DataLoader(stream, batch_size=SETS_PER_BATCH, num_workers=workers)


def cell_load(toml: Path, workers: int, mode: str) -> Iterable[Mapping[str, Tensor]]:
    from cell_load.data_modules import PerturbationDataModule  # pyright: ignore[reportMissingImports]

    module: Any = PerturbationDataModule(
        str(toml),
        batch_size=SETS_PER_BATCH,
        num_workers=workers,
        pert_col="target_gene",
        batch_col="batch",
        cell_type_key="cell_type",
        basal_mapping_strategy="batch",
        should_yield_control_cells=False,
        cell_sentence_len=SET_SIZE,
        **CELL_LOAD_MODES[mode],
    )
    module.setup()
    return module.train_dataloader()


def rate(loader: Iterable[Mapping[str, Tensor]], perturbed: str, control: str, seconds: float) -> float:
    """Perturbed cells a second, each with its control, over epochs begun afresh until the time is over."""
    cells, start = 0, time.perf_counter()
    while True:
        for batch in loader:
            assert batch[perturbed].shape == batch[control].shape
            assert batch[perturbed].shape[-1] == GENES
            cells += batch[perturbed].numel() // GENES
            if time.perf_counter() - start > seconds:
                return cells / (time.perf_counter() - start)


def race(toml: Path, modes: Iterable[str], workers: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Rates of every reader, one of each a round; a first round warms the page cache and does not count."""
    own, names = ours(toml, workers), (keys.PERTURBED_CELLS, keys.CONTROL_CELLS)
    readers: dict[str, Callable[[], float]] = {OURS: lambda: rate(own, *names, seconds)}
    for mode in modes:
        loader = cell_load(toml, workers, mode)
        readers[mode] = lambda loader=loader: rate(loader, "pert_cell_emb", "ctrl_cell_emb", seconds)
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(rounds + 1):
        for name, read in readers.items():
            found = read()
            if number:
                rates[name].append(found)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    if importlib.util.find_spec("cell_load") is None:
        print("skipped: cell-load is not installed; pip install --no-deps cell-load==0.10.4")
        return
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print("| file | workers | reader | cells/s | ours / theirs |\n|---|---|---|---|---|")
    for order in ORDERS:
        toml = make(arguments.folder, order, arguments.cells)
        for workers in arguments.workers:
            modes = [mode for mode in CELL_LOAD_MODES if order == "grouped" or "consecutive" not in mode]
            rates = race(toml, modes, workers, arguments.rounds, arguments.seconds)
            for name, found in rates.items():
                ratio = "" if name == OURS else _spread(np.array(rates[OURS]) / np.array(found), ".1f")
                print(f"| {order} | {workers} | {name} | {_spread(found, ',.0f')} | {ratio} |", flush=True)


def _spread(numbers: Any, digits: str) -> str:
    return f"{np.median(numbers):{digits}} ({min(numbers):{digits}} to {max(numbers):{digits}})"


if __name__ == "__main__":
    main()
