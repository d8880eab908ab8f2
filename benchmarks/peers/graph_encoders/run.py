"""Scores graph encoders of DGL and PyTorch Geometric on PerturbQA: data, split, scorer of ``gnnvcell bench sources``.

python benchmarks/peers/graph_encoders/run.py OUT --models dgl:graph_conv source_propagation --lines k562 --tasks dir
    [--graph graphs/built/perturbqa] [--labels ../shared/data/perturbqa] [--controls rewired permuted] [--seeds 3]

Models are LIBRARY:LAYER (``layers.py``) or names of gnnvcell. ``--tune`` chooses learning rate and depth of each on a
fifth of the training perturbations, by the score on those, with seed 0, and writes them to OUT/chosen.json; the other
library's encoder of the same layer uses the same settings, because it is the same network. Without ``--tune`` the
models are fitted to all training perturbations with what was chosen, and scored on the test ones.

Each fit is a process of its own; finished ones are kept in OUT/runs. Seconds are processor time of one thread, from the
gene graph to the prediction; memory is what the process grew by. Start it with

    OMP_NUM_THREADS=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184

so that large buffers are used again and not given back to the kernel after every operation.
"""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from encoder_decoder import EncoderDecoder  # pyright: ignore[reportMissingImports]
from measured import measured  # pyright: ignore[reportMissingImports]

from gnnvcell.bench.store import RunStore
from gnnvcell.config import digest_of
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.labels import read_label_folder
from gnnvcell.files import write_text
from gnnvcell.graphs import GeneGraph
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.models import MODELS
from gnnvcell.models._outcomes import perturbation_folds
from gnnvcell.models.base import EffectModel
from gnnvcell.tasks import UnseenPerturbation

GRID = {"lr": (0.005, 0.02, 0.06), "depth": (1, 2)}
TASK_NAMES = {"de": "de", "direction": "dir"}
REAL = "real"


def made(name: str, settings: dict[str, Any]) -> EffectModel:
    """A model of the name with settings of the grid; ``depth`` is the number of steps of ``source_propagation``."""
    if ":" in name:
        library, layer = name.split(":")
        return EncoderDecoder(EncoderDecoder.config_class.parse({"library": library, "layer": layer, **settings}))
    model = MODELS.get(name)
    named = {"steps" if key == "depth" else key: value for key, value in settings.items()}
    return model(model.config_class.parse(named))


def network_of(name: str) -> str:
    """What settings are chosen for: the layer, whosever it is."""
    return name.split(":")[-1]


def fitted(model: EffectModel, task: UnseenPerturbation, graph: GeneGraph, seed: int) -> dict[str, Any]:
    """One finished run."""

    def work() -> tuple[dict[str, float], int]:
        inputs = task.inputs()
        prediction = model.fit(inputs.train, graph, seed=seed).predict(inputs.perturbations)
        network: torch.nn.Module | None = getattr(model, "network", None)
        parameters = sum(p.numel() for p in network.parameters()) if network is not None else 0
        return task.evaluate(prediction).metrics, parameters

    (metrics, parameters), seconds, grown = measured(work)
    return {"metrics": metrics, "seconds": round(seconds, 2), "mib": round(grown), "parameters": parameters}


def cut(table: EffectTable) -> UnseenPerturbation:
    """The task of a fifth of the training perturbations, from the rest of them."""
    train = table.of_split("train")
    fold = perturbation_folds(len(train.perturbations), 5, 0)
    split = np.where(fold == 0, "val", "train")
    names = train.perturbations, train.genes
    inner = EffectTable(train.values, train.measured, *names, kind=train.kind, split=split, context=train.context)
    return UnseenPerturbation(inner, held_out="val")


def tune(arguments: argparse.Namespace, store: RunStore, tables: Sequence[EffectTable]) -> None:
    """Choose settings by validation and keep them."""
    graph = GeneGraph.load(arguments.graph)
    file = arguments.out / "chosen.json"
    chosen = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, table in ((name, table) for table in tables for name in arguments.models):
        where, found = f"{table.context} {TASK_NAMES[table.kind]}", []
        for values in itertools.product(*GRID.values()):
            settings = dict(zip(GRID, values, strict=True))
            key = digest_of(["tune", where, name, settings, graph.digest])
            run = store.get(key) or store.put(key, fitted(made(name, settings), cut(table), graph, 0))
            found.append((run["metrics"]["per_gene_auroc"], settings))
            print(f"{where} {name} {settings}: {found[-1][0]:.3f}, {run['seconds']:.0f} s", flush=True)
        chosen.setdefault(where, {})[network_of(name)] = max(found, key=lambda one: one[0])[1]
        write_text(file, json.dumps(chosen, indent=1))


def arms(graph: GeneGraph, controls: Sequence[str], seeds: int) -> Iterator[tuple[str, int, GeneGraph]]:
    """The real graph and its controls, drawn anew for each seed."""
    for seed in range(seeds):
        yield REAL, seed, graph
    for control, seed in itertools.product(controls, range(seeds)):
        yield control, seed, CONTROLS.get(control)(graph, seed=seed)


def chosen_settings(arguments: argparse.Namespace, where: str, name: str) -> dict[str, Any]:
    """What was chosen on a table for a layer."""
    where, layer = arguments.settings_of or where, arguments.settings_like or network_of(name)
    file = arguments.out / "chosen.json"
    chosen = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if layer not in chosen.get(where, {}):
        raise SystemExit(f"nothing was chosen for {layer} on {where}: run with --tune first")
    fewer = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    return {**chosen[where][layer], **fewer}


def score(arguments: argparse.Namespace, store: RunStore, tables: Sequence[EffectTable]) -> pd.DataFrame:
    """Fit with what was chosen; one row per run."""
    graph, rows = GeneGraph.load(arguments.graph), []
    for control, seed, arm in arms(graph, arguments.controls, arguments.seeds):
        for name, table in ((name, table) for table in tables for name in arguments.models):
            line, task = table.context, TASK_NAMES[table.kind]
            settings = chosen_settings(arguments, f"{line} {task}", name)
            key = digest_of(["score", line, task, name, settings, graph.digest, control, seed])
            done = store.get(key)
            run = done or store.put(key, fitted(made(name, settings), UnseenPerturbation(table), arm, seed))
            where = {"line": line, "task": task, "model": name, **settings, "control": control, "seed": seed}
            value = run["metrics"]["per_gene_auroc"]
            rows.append({**where, "auroc": value, **{k: run[k] for k in ("seconds", "mib", "parameters")}})
            print(f"{where}: {value:.3f}, {run['seconds']:.0f} s, {run['mib']} MiB", flush=True)
    return pd.DataFrame(rows)


def formatted(rows: pd.DataFrame) -> str:
    """A Markdown table: score by control, then seconds, memory and parameters of the real graph."""
    controls = list(dict.fromkeys(rows["control"]))
    names = ["line", "task", "model", *GRID, *controls, "CPU seconds", "peak MiB", "parameters"]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for where, found in rows.groupby(["line", "task", "model"], sort=False):
        group: Any = found
        real = group[group["control"] == REAL]
        settings = [f"{real[key].iloc[0]:g}" for key in GRID]
        scores = [_spread(group["auroc"][group["control"] == control]) for control in controls]
        costs = f"{real['seconds'].median():.0f}", f"{real['mib'].median():,.0f}", f"{real['parameters'].iloc[0]:,}"
        lines.append("| " + " | ".join([*map(str, where), *settings, *scores, *costs]) + " |")  # type: ignore[arg-type]
    return "\n".join(lines)


def _spread(scores: pd.Series) -> str:
    return f"{scores.mean():.3f} ± {scores.std():.3f}" if len(scores) > 1 else f"{scores.mean():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--graph", type=Path, default=Path("graphs/built/perturbqa"))
    parser.add_argument("--labels", type=Path, default=Path("../shared/data/perturbqa"))
    parser.add_argument("--lines", nargs="+", default=["k562"])
    parser.add_argument("--tasks", nargs="+", default=["dir"])
    parser.add_argument("--controls", nargs="*", default=["rewired", "permuted"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings-of", help="use what was chosen on another table, such as 'k562 dir'")
    parser.add_argument("--settings-like", help="use what was chosen for another layer, such as graph_conv")
    parser.add_argument("--epochs", type=int, help="fewer than the default, where only costs are asked for")
    parser.add_argument("--tune", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = read_label_folder(arguments.labels, arguments.lines, arguments.tasks)
    store = RunStore(arguments.out / "runs")
    if arguments.tune:
        tune(arguments, store, tables)
    else:
        print(formatted(score(arguments, store, tables)))


if __name__ == "__main__":
    main()
