"""What screens recover of a planted world: the perturbation behind a signature, and which pairs interact.

    OMP_NUM_THREADS=1 python benchmarks/screens/recovery.py targets --seeds 5 --workers 5
    OMP_NUM_THREADS=1 python benchmarks/screens/recovery.py combos --seeds 5 --workers 5

Each prints a table in Markdown, mean and standard deviation over worlds; nothing is tuned on the test part. A worker is
a process with a world of its own.
"""

import argparse
import contextlib
import functools
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import gnnvcell.graphs
from gnnvcell.data.cells import Cells
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.pseudobulk import cell_effects
from gnnvcell.data.simulator import ScreenConfig, SimulatorConfig, World, screen_truth, simulate, simulate_screen
from gnnvcell.graphs.controls import CONTROLS
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.metrics import retrieval_chance
from gnnvcell.models import MODELS
from gnnvcell.models.base import EffectPredictor, Prediction
from gnnvcell.screens.combo import ComboConfig, combo_screen
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.interactions import interactions
from gnnvcell.screens.target import TargetConfig, target_screen

TOP = 5


class Remembered:
    """A model whose predictions of a gallery are made once, for the many goals that it is screened for."""

    def __init__(self, model: EffectPredictor, gallery: Sequence[str]) -> None:
        self._whole = model.predict(gallery)
        self._row = {str(name): row for row, name in enumerate(gallery)}

    def predict(self, perturbations: Sequence[str] | NDArray, *, context: Any = None) -> Prediction:
        """The rows of these perturbations."""
        rows = [self._row[str(name)] for name in perturbations]
        whole = self._whole
        spread = None if whole.spread is None else whole.spread[rows]
        names = np.array([str(name) for name in perturbations])
        return Prediction(whole.values[rows], names, whole.genes, whole.support[rows], whole.context, spread)


def target_world(seed: int, *, genes: int = 1000, targets: int = 500, modules: int = 40) -> World:
    """A world of 500 knock-downs, of which a quarter is held out."""
    return simulate(SimulatorConfig(seed=seed, genes=genes, modules=modules, targets=targets))


def graph_of(folder: Path) -> GeneGraph:
    """The graph that the databases of a simulated world give, built in silence."""
    with open("/dev/null", "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        return gnnvcell.graphs.build(folder / "recipe.toml")


def target_recovery(world: World, graph: GeneGraph, models: Sequence[str], *, seed: int = 0) -> pd.DataFrame:
    """Rank of the true knock-down among all, for every held-out one, its signature as measured in the cells.

    What a model can have learned of a held-out knock-down is told by its ``mates``: effective knock-downs of the same
    complex in training. It is "null" where it regulates nothing, so that there is nothing to find.

    Returns:
        model, graph ("real", "permuted"), perturbation, rank, mates, null.
    """
    effects = world.effects("delta")
    train, held_out = effects.of_split("train"), effects.of_split("test").perturbations
    gallery, mates, null = effects.perturbations.tolist(), *_strata(world, train)
    rows = []
    for name in models:
        for control in ("real", "permuted"):
            used = graph if control == "real" else CONTROLS.get(control)(graph, seed=seed)
            model = Remembered(MODELS.get(name)().fit(train, used, seed=seed), gallery)
            config = TargetConfig(centred=True, support_above=-1, batch=len(gallery))
            for query in held_out.tolist():
                table = target_screen(model, Goal.of_effect(effects, query), gallery, config=config).table
                at = np.flatnonzero(table["perturbation"] == query)[0]
                tied = np.isclose(table["score"], table["score"].iloc[at], rtol=0, atol=1e-9)
                rank = float(table["rank"].to_numpy()[tied].mean())
                about = {"rank": rank, "mates": mates[query], "null": null[query]}
                rows.append({"model": name, "graph": control, "perturbation": query, **about})
    return pd.DataFrame(rows)


def _strata(world: World, train: EffectTable) -> tuple[dict[str, int], dict[str, bool]]:
    """Knock-down to its mates in training (none for one that does nothing), and to whether it does nothing."""
    wiring, downs = world.truth.wiring, world.truth.knockdowns
    names = world.truth.targets.tolist()
    null = dict(zip(names, downs.null.tolist(), strict=True))
    complexes = dict(zip(names, wiring.complex[downs.targets].tolist(), strict=True))
    trained = Counter(complexes[name] for name in train.perturbations.tolist() if not null[name])
    mates = {name: 0 if null[name] or complexes[name] < 0 else trained[complexes[name]] for name in names}
    return mates, null


def in_worlds(
    of_world: Callable[..., pd.DataFrame], seeds: int, models: Sequence[str], workers: int
) -> Iterator[pd.DataFrame]:
    """The rows of each world, in order."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(functools.partial(of_world, models=models), range(seeds))


def targets_of_world(seed: int, models: Sequence[str]) -> pd.DataFrame:
    """Target screens in one world."""
    world = target_world(seed)
    with tempfile.TemporaryDirectory() as folder:
        graph = graph_of(world.write(Path(folder) / "world", cells=False, truth=False))
    return target_recovery(world, graph, models, seed=seed).assign(seed=seed)


def targets(seeds: int, models: Sequence[str], workers: int = 1) -> str:
    """The table of target screens."""
    found = []
    for seed, table in enumerate(in_worlds(targets_of_world, seeds, models, workers)):
        found.append(table)
        print(f"worlds 0 to {seed}\n{_table(pd.concat(found, ignore_index=True))}\n", flush=True)
    return _table(pd.concat(found, ignore_index=True))


def _table(everything: pd.DataFrame) -> str:
    chance = retrieval_chance(500, (TOP,))
    strata = {
        "module learned: 1 mate or more in training": everything["mates"] >= 1,
        "2 mates or more": everything["mates"] >= 2,
        "all that do something": ~everything["null"],
        "all": everything["rank"] > 0,
    }
    lines = ["| model | graph | stratum | queries | top 5 of 500 | MRR |", "|---|---|---|---|---|---|"]
    # pandas' annotations lose track of what a group-by gives.
    grouped: Any = everything.groupby(["model", "graph"], sort=False)
    for (model, graph), rows in grouped:
        for stratum, mask in strata.items():
            own = rows[mask.loc[rows.index]]
            hits = own.groupby("seed")["rank"].apply(lambda rank: (rank <= TOP).mean())
            mrr = own.groupby("seed")["rank"].apply(lambda rank: (1 / rank).mean())
            numbers = f"{hits.mean():.2f} ± {hits.std():.2f} | {mrr.mean():.3f} ± {mrr.std():.3f}"
            lines.append(f"| {model} | {graph} | {stratum} | {len(own)} | {numbers} |")
    lines.append(f"| chance | | | | {chance[f'hits_at_{TOP}']:.2f} | {chance['reciprocal_rank']:.3f} |")
    return "\n".join(lines)


def combo_world(seed: int, folder: Path, *, doubles: int = 800) -> tuple[EffectTable, ScreenConfig, GeneGraph]:
    """Effects of 100 knock-downs and some of their doubles, whose interactions follow from the modules of both."""
    world = SimulatorConfig(
        seed=seed, genes=400, modules=8, targets=100, null_targets=0.0, control_cells=1500, test_share=0.1
    )
    config = ScreenConfig(
        world=world,
        doubles=doubles,
        silent=0.0,
        effect_spread=0.0,
        synergy=0.3,
        buffering=0.3,
        interactions="modules",
    )
    path = simulate_screen(folder / "screen", config, progress=False)
    return cell_effects(Cells.open(path / "cells.h5ad", in_memory=True)), config, graph_of(path)


def combo_recovery(
    effects: EffectTable, config: ScreenConfig, graph: GeneGraph, models: Sequence[str], *, seed: int = 0
) -> pd.DataFrame:
    """Predicted against planted interactions of doubles, those held out and those of training.

    Returns:
        A row for each model, graph and part ("held out", "training"): ``synergy`` and ``buffering`` (AUROC of
        ``Interactions.scale`` for the planted kind against all other doubles), ``rank`` (Spearman of predicted and
        planted scale) and ``typical`` (median predicted scale).
    """
    double = np.array(["+" in str(name) for name in effects.perturbations])
    held = double & (np.random.default_rng([seed, 7]).random(len(double)) < 0.3)
    train = effects.take(~held)
    kinds, scale = _planted(config)
    rows = []
    for name, control in [(name, "real") for name in models] + [(models[-1], "permuted")]:
        used = graph if control == "real" else CONTROLS.get(control)(graph, seed=seed)
        model = MODELS.get(name)().fit(train, used, seed=seed)
        for part, chosen in (("held out", held), ("training", double & ~held)):
            table = pd.concat([_screened(model, str(one)) for one in effects.perturbations[chosen]], ignore_index=True)
            keys = [frozenset(str(one).split("+")) for one in table["perturbation"]]
            kind, true = np.array([kinds[key] for key in keys]), np.array([scale[key] for key in keys])
            found = table["scale"].to_numpy()
            numbers = {
                "synergy": roc_auc_score(kind == "synergy", found),
                "buffering": roc_auc_score(kind == "buffering", -found),
                # Sums of the same numbers in another order differ by rounding, which has no rank.
                "rank": float(np.nan_to_num(np.asarray(spearmanr(found.round(6), true))[0])),
                "typical": float(np.median(found)),
            }
            rows.append({"model": name, "graph": control, "part": part, "doubles": len(table), **numbers})
    return pd.DataFrame(rows)


def _screened(model: EffectPredictor, double: str) -> pd.DataFrame:
    table = combo_screen(model, double.split("+"), config=ComboConfig(support_above=-1)).table
    return table.assign(scale=table["scale"].round(6))


def _planted(config: ScreenConfig) -> tuple[dict[frozenset[str], str], dict[frozenset[str], float]]:
    """Double to its planted kind, and to its true scale."""
    truth = screen_truth(config)
    row = {str(name): at for at, name in enumerate(truth.effects.perturbations)}
    values = truth.effects.values
    kinds, scales = {}, {}
    for name, kind in truth.interactions.items():
        a, b = name.split("+")
        sides = [values[row[one]][None].astype(np.float64).copy() for one in (a, b, name)]
        for side in sides:
            side[:, np.isin(truth.effects.genes, (a, b))] = 0.0
        key = frozenset((a, b))
        kinds[key], scales[key] = kind, float(interactions(*sides).scale[0])
    return kinds, scales


def combos_of_world(seed: int, models: Sequence[str]) -> pd.DataFrame:
    """Combination screens in one world."""
    with tempfile.TemporaryDirectory() as folder:
        world = combo_world(seed, Path(folder))
        return combo_recovery(*world, models, seed=seed).assign(seed=seed)


def combos(seeds: int, models: Sequence[str], workers: int = 1) -> str:
    """The table of combination screens."""
    found = []
    for seed, table in enumerate(in_worlds(combos_of_world, seeds, models, workers)):
        found.append(table)
        print(f"seed {seed}\n{found[-1].round(3).to_string(index=False)}", flush=True)
    everything = pd.concat(found, ignore_index=True)
    measures = ("synergy", "buffering", "rank", "typical")
    heads = ["model", "graph", "doubles", "AUROC synergy", "AUROC buffering", "rank correlation", "typical scale"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    grouped: Any = everything.groupby(["model", "graph", "part"], sort=False)
    for (model, graph, part), rows in grouped:
        numbers = [f"{rows[name].mean():.2f} ± {rows[name].std():.2f}" for name in measures]
        lines.append(f"| {model} | {graph} | {part} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def main() -> None:
    """Run one of the two benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("targets", "combos"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--workers", type=int, default=1, help="worlds at a time")
    given = parser.parse_args()
    if given.what == "targets":
        print(targets(given.seeds, given.models or ["knn", "smoother", "propagation"], given.workers))
    else:
        models = given.models or ["additive", "latent_additive", "knn", "pair_rules"]
        print(combos(given.seeds, models, given.workers))


if __name__ == "__main__":
    main()
