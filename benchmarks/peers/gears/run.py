"""Trains GEARS on every run of prepare.py and writes the effects that it predicts, with gene names.

GEARS/bin/python benchmarks/peers/gears/run.py FOLDER --screen papalexi|norman [--name gears] [--draws 0 1 2]
    [--groups 0 1 2 3] [--epochs 5] [--lr 0.001] [--layers 1]

GEARS is the environment of make_env.sh; gnnvcell is not needed. The seed of a run is its draw. A fifth of the training
perturbations validates: GEARS keeps the epoch with the smallest mean squared error of their 20 most changed genes. That
error is printed and kept with the effects, to choose settings by. Its learning rate halves after every epoch.

It downloads nothing: ``default_pert_graph`` is off, the gene set is given (all measured genes and all targets), and its
GO graph is its own ``make_GO`` (the Jaccard index of two genes' terms, above .1, the 20 nearest) on the terms of
prepare.py, in one process. What it cannot predict, a target without a GO term, is printed, and gets "no change".

An effect is the predicted mean cell less the mean of the very control cells that it was predicted from: GEARS adds what
it predicts to 300 control cells drawn at random, and the chance of that draw is no effect.
"""

import argparse
import json
import os
import pickle
import resource
import shutil
import time
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from gears import GEARS, PertData  # pyright: ignore
from gears.inference import compute_metrics, evaluate  # pyright: ignore[reportMissingImports]
from gears.utils import make_GO  # pyright: ignore[reportMissingImports]
from protocol import (  # pyright: ignore[reportMissingImports]
    CONTROL,
    FOLDS,
    SCREENS,
    cells_file,
    effects_file,
    knowledge_file,
)

SAMPLES, VALIDATION, BATCH = 300, 0.2, 32  # GEARS's number of control cells; share that validates; its batch size


def targets_of(condition: str) -> list[str]:
    """Genes of a condition."""
    return [gene for gene in condition.split("+") if gene != CONTROL]


def pert_data(folder: Path, work: Path, cells: ad.AnnData, seed: int) -> Any:
    """GEARS's data, with the split of its training perturbations and no test cells."""
    terms = {gene: set(found) for gene, found in json.loads(knowledge_file(folder).read_text()).items()}
    (work / "gene2go_all.pkl").write_bytes(pickle.dumps(terms))
    conditions = [*cells.obs["condition"].unique(), *cells.uns["held_out"]]
    genes = sorted({*cells.var["gene_name"], *(gene for name in conditions for gene in targets_of(name))})
    (work / "genes.pkl").write_bytes(pickle.dumps(genes))
    cells = cells[[all(g in terms for g in targets_of(name)) for name in cells.obs["condition"]]].copy()
    data = PertData(str(work), gene_set_path=str(work / "genes.pkl"), default_pert_graph=False)
    data.new_data_process("screen", adata=cells)
    seen = sorted(name for name in cells.obs["condition"].unique() if name != CONTROL)
    order = np.random.default_rng(seed).permutation(seen).tolist()
    count = max(1, round(VALIDATION * len(seen)))
    data.split, data.seed, data.subgroup, data.train_gene_set_size = "no_test", seed, None, 0.75
    data.set2conditions = {"train": [CONTROL, *order[count:]], "val": order[:count]}
    data.get_dataloader(batch_size=BATCH, test_batch_size=4 * BATCH)
    return data


def trained(data: Any, work: Path, arguments: argparse.Namespace, seed: int) -> Any:
    """A GEARS model."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  GEARS draws from it
    (work / "data").mkdir()
    make_GO(str(work), data.pert_names.tolist(), data.dataset_name, num_workers=1)  # it finds the file again
    model = GEARS(data, device="cpu")
    layers = {"num_go_gnn_layers": arguments.layers, "num_gene_gnn_layers": arguments.layers}
    model.model_initialize(hidden_size=64, **layers)
    model.train(epochs=arguments.epochs, lr=arguments.lr)
    return model


def predicted_effects(model: Any, held_out: list[str], seed: int) -> ad.AnnData:
    """(held out, genes) effects."""
    controls = model.adata[(model.adata.obs["condition"] == CONTROL).to_numpy()].X.toarray()
    known, effects = set(model.pert_list), []
    for name in held_out:
        targets = targets_of(name)
        if not known.issuperset(targets):
            print(f"no GO term: {name}")
            effects.append(np.zeros(controls.shape[1], dtype=np.float32))
            continue
        np.random.seed(seed)  # noqa: NPY002
        base = controls[np.random.randint(0, len(controls), SAMPLES)].mean(axis=0)  # noqa: NPY002  what predict draws
        np.random.seed(seed)  # noqa: NPY002
        effects.append(model.predict([targets])["_".join(targets)] - base)
    obs, var = (pd.DataFrame(index=pd.Index(names)) for names in (held_out, model.gene_list))
    return ad.AnnData(np.stack(effects), obs=obs, var=var)


def one(folder: Path, draw: int, group: int, arguments: argparse.Namespace) -> None:
    """One run, in a folder of its own: GEARS reads and writes ./data."""
    start = time.process_time()
    work = folder / f"work_{arguments.name}_draw{draw}_group{group}"
    shutil.rmtree(work, ignore_errors=True)  # it would read its own files of an earlier run
    work.mkdir()
    os.chdir(work)
    cells = ad.read_h5ad(cells_file(folder, draw, group))
    data = pert_data(folder, work, cells, draw)
    model = trained(data, work, arguments, draw)
    effects = predicted_effects(model, cells.uns["held_out"].tolist(), draw)
    checked, _ = compute_metrics(evaluate(model.dataloader["val_loader"], model.best_model, False, "cpu"))
    effects.uns["validation"] = float(checked["mse_de"])
    effects.uns["cpu_seconds"] = time.process_time() - start
    effects.uns["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    effects.uns["parameters"] = sum(p.numel() for p in model.model.parameters())
    effects.write_h5ad(effects_file(folder, arguments.name, draw, group))
    seconds, error = effects.uns["cpu_seconds"], effects.uns["validation"]
    print(f"draw {draw}, group {group}: validation error {error:.4f}, {seconds:.0f} CPU seconds", flush=True)
    shutil.rmtree(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--screen", choices=SCREENS, required=True)
    parser.add_argument("--name", default="gears")
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--groups", type=int, nargs="+")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-3, help="its default")
    parser.add_argument("--layers", type=int, default=1, help="of its two graph networks; 1 is its default")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = arguments.folder.resolve()
    groups = arguments.groups or (range(1) if SCREENS[arguments.screen].doubles else range(FOLDS))
    for draw in arguments.draws:
        for group in groups:
            one(folder, draw, group, arguments)


if __name__ == "__main__":
    main()
