"""Trains arc-state's ST on every fold and writes what it predicts for the fold's perturbations, with gene names.

python benchmarks/peers/arc_state/run.py FOLDER [--state STATE] [--name onehot|features] [--steps 1000] [--folds 0 1]

FOLDER is what prepare.py wrote; ``--state`` is the command ``state`` of an environment with arc-state 0.11.1, such as

    python -m venv arc && arc/bin/pip install torch==2.13.0 "transformers<5" arc-state==0.11.1

Besides the size of the model, what is set is what its own README's command needs to run and what the task asks for: the
control label (the default is DMSO_TF), no W&B, gene space (X_hvg), controls from the cell's batch. ``--name features``
gives it the vectors of ``features.pt`` as the perturbations' encoding; one-hot codes, the default, say nothing about an
unseen perturbation. The last weights are used, and nothing is chosen on the test perturbations: its validation, which
falls back to them where a split has no validation part, is put off beyond the last step.
"""

import argparse
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import anndata as ad
import pandas as pd
from protocol import (  # pyright: ignore[reportMissingImports]
    CONTROL,
    FOLDS,
    cells_file,
    features_file,
    predictions_file,
    toml_file,
)

SET_SIZE, HIDDEN, LAYERS, HEADS, BATCH_SIZE = 64, 128, 4, 4, 8


def train_arguments(folder: Path, runs: Path, name: str, fold: int, steps: int, lr: float) -> list[str]:
    """Arguments of ``state tx train``."""
    data = {
        "toml_config_path": toml_file(folder, fold),
        "embed_key": "X_hvg",
        "output_space": "gene",
        "pert_col": "target_gene",
        "cell_type_key": "cell_type",
        "batch_col": "batch",
        "control_pert": CONTROL,
        "basal_mapping_strategy": "batch",
        "num_workers": 0,
        "pin_memory": "false",
    }
    if name == "features":
        data["perturbation_features_file"] = features_file(folder)
    backbone = {
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HIDDEN // HEADS,
        "intermediate_size": 4 * HIDDEN,
    }
    return [
        "model=state",
        *(f"data.kwargs.{key}={value}" for key, value in data.items()),
        f"model.kwargs.cell_set_len={SET_SIZE}",
        f"model.kwargs.hidden_dim={HIDDEN}",
        *(f"model.kwargs.transformer_backbone_kwargs.{key}={value}" for key, value in backbone.items()),
        f"training.batch_size={BATCH_SIZE}",
        f"training.max_steps={steps}",
        f"training.lr={lr}",
        f"training.val_freq={steps + 1}",
        f"training.ckpt_every_n_steps={steps + 1}",
        "use_wandb=false",
        f"output_dir={runs}",
        f"name=fold{fold}",
    ]


def named_predictions(folder: Path, run: Path) -> ad.AnnData:
    """What ``state tx predict`` wrote, with the gene names that it loses."""
    predicted = ad.read_h5ad(run / "eval_final.ckpt" / "adata_pred.h5ad")
    names = ad.read_h5ad(cells_file(folder), backed="r").uns["hvg_names"]
    whole: Any = predicted.obs
    obs = whole[["target_gene", "cell_type", "batch"]].astype(str)
    return ad.AnnData(predicted.X, obs=obs, var=pd.DataFrame(index=pd.Index(names)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--state", default="state", help="arc-state's command")
    parser.add_argument("--name", choices=("onehot", "features"), default="onehot")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=1e-4, help="its default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    runs = folder / f"runs_{arguments.name}"
    threads = {name: str(arguments.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **threads}
    for fold in arguments.folds:
        run = runs / f"fold{fold}"
        shutil.rmtree(run, ignore_errors=True)  # it would go on from its last checkpoint
        options = train_arguments(folder, runs, arguments.name, fold, arguments.steps, arguments.lr)
        start = time.perf_counter()
        subprocess.run([arguments.state, "tx", "train", *options], check=True, env=environment)
        trained = time.perf_counter()
        predict = ["tx", "predict", "--output-dir", str(run), "--checkpoint", "final.ckpt", "--predict-only"]
        subprocess.run([arguments.state, *predict], check=True, env=environment)
        named_predictions(folder, run).write_h5ad(predictions_file(folder, arguments.name, fold))
        seconds = trained - start, time.perf_counter() - trained
        print(f"fold {fold}: trained in {seconds[0]:.0f} s, predicted in {seconds[1]:.0f} s", flush=True)


if __name__ == "__main__":
    main()
