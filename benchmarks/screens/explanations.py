"""Do explanation paths run over true edges? Simulated worlds, whose regulation is known.

OMP_NUM_THREADS=1 python benchmarks/screens/explanations.py [--seeds 5] [--targets 12] [--workers 5]

In each world a model learns from the training knock-downs over the links that the databases (STRING-like, scGPT-like)
report, of which some are made up and some are missing. For held-out targets the prediction of the gene that is
predicted to move most is explained. A link is true where one gene regulates the other; "or together" counts links
within a complex too. Chance: as many other links at the same distance from the target and of like degree
(``matched_hops``).
"""

import argparse
import itertools
import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

from gnnvcell.data.simulator import SimulatorConfig, World, simulate
from gnnvcell.errors import ConfigError, ModelError
from gnnvcell.graphs.build import build
from gnnvcell.models import Knn, Propagation, Smoother
from gnnvcell.screens.explain import ExplainConfig, explain
from gnnvcell.screens.explanation import Explanation
from gnnvcell.screens.hops import Hop, HopGraph
from gnnvcell.screens.paths import Corridor, matched_hops

MODELS: dict[str, Callable] = {"knn": Knn, "smoother": Smoother, "propagation": Propagation}
CONFIG = ExplainConfig(hops=2, paths=5, beam=4, tested=25, draws=10)
DRAWS = 20


def truth_of(world: World, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(genes, genes) whether one regulates the other, and whether that or both are in one complex."""
    wiring = world.truth.wiring
    place = {str(gene): at for at, gene in enumerate(wiring.genes)}
    rows = np.array([place.get(str(name), -1) for name in symbols])
    regulation = np.asarray(wiring.regulation.todense()) != 0
    known = rows >= 0
    regulates = np.zeros((len(rows), len(rows)), dtype=bool)
    regulates[np.ix_(known, known)] = (regulation | regulation.T)[np.ix_(rows[known], rows[known])]
    group = np.where(known, wiring.complex[rows], -1)
    together = (group[:, None] == group[None]) & (group[:, None] >= 0)
    return regulates, regulates | together


def explained_and_matched(found: Explanation, hops: HopGraph, measured: list[int], rng) -> tuple[list[Hop], list[Hop]]:
    place = {str(name): at for at, name in enumerate(hops.graph.vocab.symbols)}
    ends = [(place[a], place[b]) for a, b in zip(found.hops["from"], found.hops["to"], strict=True)]
    own = [(min(pair), max(pair)) for pair in ends]
    target = place[found.perturbation]
    corridor = Corridor.of(hops, [target], [*measured, place[found.gene]], CONFIG.hops)
    drawn = [matched_hops(hops, corridor, own, rng=rng) for _ in range(DRAWS)]
    return own, [hop for one in drawn if one is not None for hop in one]


def world_scores(name: str, seed: int, targets: int) -> dict[str, float]:
    world = simulate(SimulatorConfig.example().model_copy(update={"seed": seed}))
    with tempfile.TemporaryDirectory() as folder:
        graph = build(world.write(Path(folder) / "w") / "recipe.toml", progress=False).select(["string", "scgpt"])
    table = world.effects("delta")
    model = MODELS[name]().fit(table.of_split("train"), graph)
    held_out = table.of_split("test").perturbations[:targets]
    values = model.predict(held_out).values
    regulates, linked = truth_of(world, graph.vocab.symbols)
    hops, rng = HopGraph(graph, max_term_genes=CONFIG.max_term_genes), np.random.default_rng(seed)
    rows = graph.vocab.lookup(sorted(model.training_perturbations))
    own: list[Hop] = []
    other: list[Hop] = []
    beaten, explained = 0, 0
    for target, effects in zip(held_out.tolist(), np.abs(values - np.median(values, axis=0)), strict=True):
        gene = str(table.genes[np.argmax(np.where(table.genes == target, 0, effects))])
        try:
            found = explain(model, target, gene, config=CONFIG)
        except (ConfigError, ModelError):  # nothing measured within two links of it
            continue
        mine, matched = explained_and_matched(found, hops, rows[rows >= 0].tolist(), rng)
        own, other = own + mine, other + matched
        explained += 1
        sign = np.sign(found.predicted - found.bare)
        beaten += sign * found.fidelity["effect"] > sign * found.fidelity["random_mean"]
    share = {
        f"{what} {who}": float(np.mean([truth[hop] for hop in some]))
        for what, truth in (("regulates", regulates), ("linked", linked))
        for who, some in (("explained", own), ("matched", other))
    }
    return share | {"targets": explained, "links": len(own), "beaten": beaten / max(explained, 1)}


def _scored(job: tuple[str, int, int]) -> dict[str, float]:
    return world_scores(*job)


def row(name: str, found: list[dict[str, float]]) -> str:
    """The line of a model, from its scores in each world."""
    column = {key: np.array([one[key] for one in found]) for key in found[0]}
    gain = column["regulates explained"] - column["regulates matched"]
    test: Any = scipy.stats.ttest_1samp(gain, 0, alternative="greater")
    cells = [f"{column[k].mean():.3f} ± {column[k].std(ddof=1):.3f}" for k in list(column)[:4]]
    return (
        f"| {name} | {int(column['links'].sum())} | {' | '.join(cells)} | {(gain > 0).sum()} of {len(gain)} "
        f"| {test.pvalue:.2g} | {column['beaten'].mean():.2f} of targets |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--targets", type=int, default=12)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--workers", type=int, default=1, help="worlds at a time")
    args = parser.parse_args()
    print("| model | links explained | regulation: on paths | matched | or together: on paths | matched "
          "| worlds above chance | p (paired t) | fidelity above random |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    jobs = [(name, seed, args.targets) for name in args.models for seed in range(args.seeds)]
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        scored = pool.imap(_scored, jobs)
        for name in args.models:
            print(row(name, list(itertools.islice(scored, args.seeds))), flush=True)


if __name__ == "__main__":
    main()
