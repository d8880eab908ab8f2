"""explain: the paths from a target to a responding gene that carry a prediction, by deleting edges."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from pydantic import Field

from gnnvcell import keys
from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, GeneError, ModelError, did_you_mean
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.models.base import EffectPredictor
from gnnvcell.models.evidence import column_of
from gnnvcell.perturbation import Perturbation
from gnnvcell.screens.deletions import Deletions
from gnnvcell.screens.explanation import BETWEEN, MEASURED, RESPONDING, TARGET, Explanation
from gnnvcell.screens.hops import HopGraph, hops_of
from gnnvcell.screens.on_graph import PassesOutcomes, ReadsGraph
from gnnvcell.screens.paths import Corridor, Path, carrying_paths, matched_hops


class ExplainConfig(Config):
    """Settings of an explanation.

    Args:
        hops: longest path.
        paths: paths that are reported.
        beam: walks that the search goes on with after each hop.
        tested: links tried from each walk, the strong and specific ones first.
        draws: random deletions that the explanation is held against.
        max_term_genes: paths run through terms of at most so many genes.
        shapley_sources: Shapley values are given for at most so many sources, at 2^sources predictions.
        seed: of the random deletions.
    """

    hops: int = Field(default=2, ge=1)
    paths: int = Field(default=8, ge=1)
    beam: int = Field(default=6, ge=1)
    tested: int = Field(default=40, ge=1)
    draws: int = Field(default=20, ge=1)
    max_term_genes: int = Field(default=100, ge=2)
    shapley_sources: int = Field(default=6, ge=0)
    seed: int = Field(default=0, ge=0)


def explain(
    model: EffectPredictor,
    perturbation: str,
    gene: str,
    *,
    context: Any = None,
    config: ExplainConfig | None = None,
    progress: bool = False,
) -> Explanation:
    """Which paths, sources and outcomes carry the predicted effect of a perturbation on a gene.

    Candidates are the hops (edges of any relation, also through specific terms) between a target and, within ``hops``
    of it, the responding gene and the targets of measured perturbations, whose outcomes models pass on. A hop is judged
    by the counterfactual: it is deleted from all relations and the fitted model predicts on the rest of the graph,
    without being refitted (``ReadsGraph``). Paths are found by beam search (``carrying_paths``); deleted together they
    are held against as many hops at the same distance from the target and of like degree.

    Args:
        model: a model that predicts on edited graphs: knn, smoother, propagation, source_propagation, or a model of
            cells with a graph.
        perturbation: its name; "A+B" starts paths from both targets.
        gene: a readout gene of the model that is in the graph.
        context: the cell type, as of the model's ``predict``.
        config: settings.
        progress: a bar on stderr.

    Raises:
        ModelError: a model without a graph, one that does not predict the gene, or a prediction that no edge carries.
        GeneError: no target, or not the gene, is in the graph.
        ConfigError: no perturbation, or neither the gene nor a measured neighbour within ``hops`` of a target.
        PerturbationError: a name that cannot be parsed.

    Example:
        >>> found = explain(model, "STAT1", "IRF1")  # doctest: +SKIP
        >>> found.paths.path[0]  # doctest: +SKIP
        'STAT1 > JAK2'
    """
    config = config or ExplainConfig()
    model, graph = _reads_graph(model)
    targets = _targets(graph, perturbation)
    responding = _responding(graph, gene)
    found = model.predict([perturbation], context=context)
    column = column_of(gene, found.genes.astype(str))
    hops = HopGraph(graph, max_term_genes=config.max_term_genes)
    measured = _measured(model, graph, perturbation)
    corridor = Corridor.of(hops, targets, [*measured, responding], config.hops)
    if not corridor.open:
        raise ConfigError(
            f"within {config.hops} hops of {perturbation} are neither {gene} nor the target of a measured perturbation",
            remedy="allow longer paths (hops=), or larger terms (max_term_genes=)",
        )
    deletions = Deletions(model, hops, perturbation, column, context)
    bare = deletions.full - deletions.effect(hop for node in targets for hop in _hops_at(hops, node))
    direction = deletions.full - bare
    paths = carrying_paths(
        deletions, corridor, direction=direction, beam=config.beam, tested=config.tested, progress=progress
    )[: config.paths]
    if not paths:
        raise ModelError(
            f"no path of at most {config.hops} hops carries the prediction for {gene} under {perturbation}",
            found=f"{deletions.full:.4g}, and {bare:.4g} without the target's edges",
            remedy="allow longer paths (hops=), more links (tested=) or larger terms (max_term_genes=)",
        )
    evidence = _evidence(model, perturbation, gene, context)
    roles = {**dict.fromkeys(measured, MEASURED), responding: RESPONDING, **dict.fromkeys(targets, TARGET)}
    sources = deletions.of_sources(_sources(graph, hops), shapley_up_to=config.shapley_sources)
    path_table, hop_table = _path_table(paths, deletions, roles, direction), _hop_table(paths, deletions)
    return Explanation(
        perturbation, gene, found.context, deletions.full, bare, float(found.support[0]), path_table, hop_table,
        _fidelity(paths, deletions, corridor, direction, config),
        pd.DataFrame([{"source": n, "leave_one_out": a, "shapley": b} for n, (a, b) in sources.items()]),
        evidence,
        _as_graph(paths, deletions, roles, gene, evidence),
        config.model_dump(mode="json") | {"graph": graph.digest},
    )  # fmt: skip


def _reads_graph(model: EffectPredictor) -> tuple[ReadsGraph, GeneGraph]:
    if not isinstance(model, ReadsGraph) or model.graph is None:
        raise ModelError(
            f"{type(model).__name__} has no graph whose edges could be deleted",
            expected="a model that predicts on edited graphs, such as knn, smoother, propagation or source_propagation",
        )
    return model, model.graph


def _targets(graph: GeneGraph, perturbation: str) -> list[int]:
    if not perturbation.strip():
        raise ConfigError("there is no perturbation to explain", remedy="name one, such as STAT1 or JAK2+STAT1")
    names = list(Perturbation.parse(perturbation).targets)
    rows = graph.vocab.lookup(names)
    if not (rows >= 0).any():
        raise GeneError(
            f"no target of {perturbation!r} is in the graph",
            remedy=did_you_mean(names[0] if names else perturbation, map(str, graph.vocab.symbols)),
        )
    return rows[rows >= 0].tolist()


def _responding(graph: GeneGraph, gene: str) -> int:
    row = int(graph.vocab.lookup([gene])[0])
    if row < 0:
        raise GeneError(
            f"the gene {gene!r} is not in the graph", remedy=did_you_mean(gene, map(str, graph.vocab.symbols))
        )
    return row


def _measured(model: ReadsGraph, graph: GeneGraph, perturbation: str) -> list[int]:
    """Targets of the training perturbations, without the perturbation itself."""
    others = [name for name in model.training_perturbations if name != perturbation]
    targets = {target for name in others for target in Perturbation.parse(name).targets}
    rows = graph.vocab.lookup(sorted(targets))
    return rows[rows >= 0].tolist()


def _hops_at(hops: HopGraph, node: int) -> list[tuple[int, int]]:
    """All edges of a gene, those to large terms too."""
    pairs = []
    for source, relation, destination in hops.relations:
        src, dst, _, _ = hops.graph.edges(relation)
        for own, other, of_own, of_other in ((src, dst, source, destination), (dst, src, destination, source)):
            if of_own == keys.GENE:
                ends = other[own == node] + hops.offset[of_other]
                pairs += [(min(node, end), max(node, end)) for end in ends.tolist()]
    return list(dict.fromkeys(pairs))


def _sources(graph: GeneGraph, hops: HopGraph) -> dict[str, list[str]]:
    """Source to its relations of genes; a relation that no source claims stands for itself."""
    used = {etype[1] for etype in hops.relations}
    sources = {name: [r for r in relations if r in used] for name, relations in graph.source_relations.items()}
    claimed = {relation for relations in sources.values() for relation in relations}
    sources |= {relation: [relation] for relation in sorted(used - claimed)}
    return {name: relations for name, relations in sources.items() if relations}


def _path_table(paths: Sequence[Path], deletions: Deletions, roles: dict[int, str], direction: float) -> pd.DataFrame:
    hops, rows = deletions.hops, []
    for path in paths:
        effect = deletions.effect(hops_of(path.nodes))
        rows.append(
            {
                "path": " > ".join(hops.name(node) for node in path.nodes),
                "end": roles[path.nodes[-1]],
                "relations": " > ".join("|".join(hops.relations_of(hop)) for hop in hops_of(path.nodes)),
                "carried": path.carried,
                "effect": effect,
                "share": effect / direction,
            }
        )
    return pd.DataFrame(rows)


def _hop_table(paths: Sequence[Path], deletions: Deletions) -> pd.DataFrame:
    hops, rows = deletions.hops, {}
    for path in paths:
        for (a, b), hop in zip(pairwise(path.nodes), hops_of(path.nodes), strict=True):
            rows.setdefault(
                hop,
                {
                    "from": hops.name(a),
                    "to": hops.name(b),
                    "from_type": hops.node_type(a),
                    "to_type": hops.node_type(b),
                    "relations": "|".join(hops.relations_of(hop)),
                    "effect": deletions.effect([hop]),
                },
            )
    return pd.DataFrame(sorted(rows.values(), key=lambda row: -abs(row["effect"])))


def _fidelity(
    paths: Sequence[Path], deletions: Deletions, corridor: Corridor, direction: float, config: ExplainConfig
) -> dict[str, int | float]:
    """What goes with all hops of the paths, against as many matched ones."""
    explained = list(dict.fromkeys(hop for path in paths for hop in hops_of(path.nodes)))
    effect = deletions.effect(explained)
    rng = np.random.default_rng(config.seed)
    random = []
    for _ in range(config.draws):
        drawn = matched_hops(deletions.hops, corridor, explained, rng=rng)
        if drawn is None:
            break
        random.append(deletions.effect(drawn))
    sign = np.sign(direction)
    as_large = sum(sign * other >= sign * effect for other in random)
    return {
        "hops": len(explained),
        "effect": effect,
        "share": effect / direction,
        "draws": len(random),
        "random_mean": float(np.mean(random)) if random else float("nan"),
        "random_sd": float(np.std(random)) if random else float("nan"),
        "p": float((1 + as_large) / (1 + len(random))),
    }


def _evidence(model: ReadsGraph, perturbation: str, gene: str, context: Any) -> pd.DataFrame | None:
    if not isinstance(model, PassesOutcomes):
        return None
    heeded = {"context": context} if getattr(model, "uses_context", False) else {}
    found = model.evidence(perturbation, gene, **heeded)
    columns = ("perturbations", "weight", "outcome", "contribution")
    return pd.DataFrame({name.removesuffix("s"): getattr(found, name) for name in columns})


def _as_graph(
    paths: Sequence[Path], deletions: Deletions, roles: dict[int, str], gene: str, evidence: pd.DataFrame | None
) -> "nx.DiGraph":
    hops, made = deletions.hops, nx.DiGraph()
    for path in paths:
        for node in path.nodes:
            made.add_node(hops.name(node), role=roles.get(node, BETWEEN), node_type=hops.node_type(node))
        for (a, b), hop in zip(pairwise(path.nodes), hops_of(path.nodes), strict=True):
            relations, effect = "|".join(hops.relations_of(hop)), deletions.effect([hop])
            made.add_edge(hops.name(a), hops.name(b), kind="path", relations=relations, effect=effect)
    if gene not in made:
        made.add_node(gene, role=RESPONDING, node_type=keys.GENE)
    if evidence is not None:
        for perturbation, outcome, brought in zip(
            evidence.perturbation, evidence.outcome, evidence.contribution, strict=True
        ):
            for name in Perturbation.parse(str(perturbation)).targets:
                if name in made and name != gene and not made.has_edge(name, gene):
                    values = {"outcome": float(outcome), "effect": float(brought)}
                    made.add_edge(name, gene, kind="outcome", relations="measured", **values)
    return made
