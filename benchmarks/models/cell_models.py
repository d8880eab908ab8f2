"""Models of cells on a real screen: the versions of JEPA, ST, and ST on embeddings of SE, beside the baselines.

Papalexi's knock-outs in four folds, or Norman's doubles from all singles (the protocols of ``gnnvcell bench cells``).
Each model runs in a process of its own; on a machine with a GPU they share it.

    OMP_NUM_THREADS=1 python benchmarks/models/cell_models.py papalexi CELLS --graph GRAPH \
        --pathway-graph GRAPH2 --workers 10 --out OUT
    OMP_NUM_THREADS=1 python benchmarks/models/cell_models.py norman CELLS --graph GRAPH \
        --pathway-graph GRAPH2 --workers 10 --out OUT

For "st_state", CELLS is what ``gnnvcell embed transform`` wrote: cells with ``obsm["X_state"]``. Finished runs are kept
in OUT: the same command goes on where it stopped.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gnnvcell.bench.cells import format_cells
from gnnvcell.bench.published import format_published
from gnnvcell.bench.run_cells import CellBenchConfig, CellBenchResult, run_cell_bench
from gnnvcell.files import write_text
from gnnvcell.models import JepaConfig

STRONG = ["IFNGR1", "IFNGR2", "JAK2", "STAT1"]
OTHER = ["SMAD4", "IRF1", "BRD4"]
SCREENS: dict[str, tuple[CellBenchConfig, dict[str, list[str]]]] = {
    "papalexi": (
        CellBenchConfig(protocol="folds", folds=4, splits=1),
        {"strong7": STRONG + OTHER, "ifn4": STRONG, "other3": OTHER},
    ),
    "norman": (CellBenchConfig(protocol="doubles", context="k562", min_cells=1, splits=3), {}),
}
BASELINES = {
    "papalexi": ["no_change", "perturbation_mean", "knn", "ridge", "smoother", "propagation"],
    "norman": ["no_change", "perturbation_mean", "additive", "larger_single", "knn", "ridge"],
}
WIDTH, STAGES = 32, ("pretrain", "action", "decode")
# The sizes of benchmarks/models/jepa_versions.py; v0.2 and v0.3 know targets by graph embeddings, there is no ESM here.
SMALL: dict[str, Any] = {
    "width": WIDTH, "decoder_dim": WIDTH, "heads": 4, "layers": 1, "predictor_layers": 2, "genes": None,
    "spectral_dim": 16, "validation": 0.2, "graph": {"width": WIDTH, "layers": 1, "dropout": 0.0},
}  # fmt: skip
PAIRS = {"encoders": ["graph"], "set_size": 1, "sets_per_batch": 64}
SETS = {"set_size": 8, "sets_per_batch": 8}
JEPA: dict[str, tuple[str, dict[str, Any]]] = {
    "jepa_v02": ("v0.2", PAIRS),
    "jepa_v03": ("v0.3", PAIRS),
    "jepa_graph": ("graph", SETS),
    "jepa_propagation": ("graph", {**SETS, "measured": "propagation"}),
    "jepa_no_outcomes": ("graph", {**SETS, "measured": None}),
    "jepa_untrained": ("graph", {**SETS, "skip": list(STAGES)}),
}
PATHWAYS = ("jepa_v02",)  # models that need them
ST_SMALL: dict[str, Any] = {
    "hidden_dim": 64, "layers": 2, "heads": 4, "set_size": 64, "spectral_dim": 16, "validation": 0.2,
    "graph": {"width": 48, "layers": 1, "dropout": 0.0},
}  # fmt: skip
ST: dict[str, dict[str, Any]] = {
    "st_graph": {"encoders": ["graph"]},
    "st_field": {"encoders": ["field"]},
    "st_propagation": {"encoders": ["field"], "field_model": "propagation"},
    "st_state": {"encoders": ["field"], "embedding": "X_state", "gene_decoder": [256, 256]},
}


def settings_of(arm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a model's settings say, beyond the defaults."""
    if arm in JEPA:
        (preset, own), steps = JEPA[arm], arguments.steps
        val_every = max(1, steps // arguments.validations)
        stage = {"max_steps": steps, "val_every": val_every, "loggers": [], "optimizer": {"lr": 2e-3}}
        stages = {"pretrain": stage, "action": {**stage, "patience": 3}, "decode": {**stage, "patience": 3}}
        preset_settings = JepaConfig.preset(preset, **{**SMALL, **stages, **own})
        return changed(preset_settings.model_dump(mode="json"), JepaConfig().model_dump(mode="json"))
    steps = arguments.st_steps
    fit = {
        "max_steps": steps, "val_every": max(1, steps // 10), "patience": 3, "loggers": [],
        "monitor": "val/delta", "optimizer": {"lr": 5e-4},
    }  # fmt: skip
    return {**ST_SMALL, **ST[arm], "training": fit}


def changed(settings: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    """The settings that are not the default's; what the benchmark decides for all models is left to it."""
    found = {}
    for key, value in settings.items():
        if value != default[key]:
            nested = isinstance(value, dict) and isinstance(default[key], dict)
            found[key] = changed(value, default[key]) if nested else value
    return found


def overrides(path: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings as ``gnnvcell bench cells --set`` takes them."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from overrides(f"{path}.{key}", value)
        else:
            yield f"{path}.{key}={json.dumps(value)}"


def scored(arm: str, arguments: argparse.Namespace) -> CellBenchResult:
    """A model on the real graph and its controls."""
    torch.set_num_threads(1)
    config, groups = SCREENS[arguments.screen]
    kind = "jepa" if arm in JEPA else "state_transition" if arm in ST else arm
    texts = ["knn.prior_count=0.001"] if arm == "knn" else []
    if kind != arm:
        texts = list(overrides(arm, settings_of(arm, arguments)))
    return run_cell_bench(
        arguments.cells,
        [arguments.pathway_graph if arm in PATHWAYS and arguments.pathway_graph else arguments.graph],
        config=config,
        models=[f"{arm}={kind}"],
        controls=arguments.controls,
        groups=groups,
        overrides=texts,
        out_dir=Path(arguments.out) / arm,
        progress=False,
    )


def run_job(job: tuple[str, argparse.Namespace]) -> tuple[str, CellBenchResult]:
    """A model by its name, and what it gave."""
    return job[0], scored(*job)


def table(results: Sequence[CellBenchResult]) -> str:
    """One table of all models; each brought the ceiling and the mean cell along."""
    summary, published = (
        pd.concat([getattr(result, name) for result in results], ignore_index=True).drop_duplicates()
        for name in ("summary", "published")
    )
    return f"{format_cells(summary)}\n\n{format_published(published)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("screen", choices=list(SCREENS))
    parser.add_argument("cells", help="file of cells")
    parser.add_argument("--graph", required=True, help="folder of a saved graph")
    parser.add_argument("--pathway-graph", help="one with pathways too, for JEPA v0.2")
    parser.add_argument("--arms", nargs="+", default=[*JEPA, "st_graph", "st_field"], choices=[*JEPA, *ST])
    parser.add_argument("--controls", nargs="*", default=["rewired"])
    parser.add_argument("--steps", type=int, default=200, help="of each stage of a JEPA")
    parser.add_argument("--validations", type=int, default=6, help="of each stage of a JEPA, beside the first")
    parser.add_argument("--st-steps", type=int, default=400, help="of ST")
    parser.add_argument("--workers", type=int, default=1, help="models at a time")
    parser.add_argument("--out", required=True, help="a folder for each model, and table.md")
    arguments = parser.parse_args()
    arms, start = [*arguments.arms, *BASELINES[arguments.screen]], time.perf_counter()
    results: dict[str, CellBenchResult] = {}
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        for arm, result in pool.imap_unordered(run_job, [(arm, arguments) for arm in arms]):
            print(f"{time.perf_counter() - start:6.0f} s  {arm}", file=sys.stderr, flush=True)
            results[arm] = result
            found = table([results[arm] for arm in arms if arm in results])
            write_text(Path(arguments.out) / "table.md", found + "\n")
    print((Path(arguments.out) / "table.md").read_text())


if __name__ == "__main__":
    main()
