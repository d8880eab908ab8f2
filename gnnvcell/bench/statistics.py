"""What a benchmark shows: scores, real against control graphs, model against model, what a source adds; with intervals.

==============  ================================================================  ====
kind            value                                                             null
==============  ================================================================  ====
score           per-gene AUROC of an arm                                          .5
control         real minus control graph, same model                              0
model           one model minus another, same whole real graph                    0
leave_one_out   whole graph minus the graph without the source                    0
shapley         what the source adds, averaged over all orders of adding          0
score_within    score within a stratum of held-out perturbations                  .5
control_within  real minus control graph within a stratum                         0
==============  ================================================================  ====
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gnnvcell.bench.coalitions import coalition_name, is_part, shapley_terms, sources_named
from gnnvcell.bench.contrasts import CHANCE, Bootstrap, Contrast, Estimate, TableScores, holm, sign_test
from gnnvcell.bench.sources import REAL
from gnnvcell.bench.table import HEADLINE
from gnnvcell.metrics import rescaled

MEAN_LINE = "mean of lines"
EMPTY = "empty"
PERMUTED = "permuted"
KINDS = ("score", "control", "model", "leave_one_out", "shapley", "score_within", "control_within")
_Row = tuple[str, Contrast, str]  # task, contrast, line


def benchmark_statistics(
    tables: Sequence[TableScores],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    ceilings: Mapping[tuple[str, str], float] | None = None,
) -> pd.DataFrame:
    """Every comparison that the arms allow.

    Args:
        tables: scores by line and task, and within strata.
        draws: of the bootstrap.
        seed: of the draws.
        level: of the intervals.
        ceilings: (line, task) to the best score that the data allow, where it is known.

    Returns:
        One row per comparison: ``kind, line, task, model, graph, against, along, stratum``; ``value, low, high, sd``;
        ``p`` (normal, of the bootstrap's standard deviation) and ``p_holm``, corrected over the kind; ``seeds,
        seeds_above`` and ``seeds_sign_p`` (NaN where seeds change nothing); ``perturbations, genes, genes_above,
        genes_below`` and ``genes_sign_p``. Genes share perturbations, so their sign test says how even a difference is
        and not how sure. ``of_ceiling`` is the score with 0 at the ``floor`` and 1 at the ceiling; the floor is the
        score of the same model on permuted graphs where these were run, else chance. Where there are several lines,
        their means follow as the line ``mean of lines``.
    """
    estimates: dict[_Row, Estimate] = {}
    for table in tables:
        bootstrap = Bootstrap(table, draws=draws, seed=seed)
        for contrast in contrasts_of(table):
            estimates[table.task, contrast, table.line] = bootstrap.estimate(contrast)
    estimates |= _means_of_lines(estimates)
    rows = [_row(task, contrast, line, found, level) for (task, contrast, line), found in estimates.items()]
    frame = pd.DataFrame(rows)
    frame.insert(frame.columns.get_loc("p") + 1, "p_holm", frame.groupby("kind")["p"].transform(_holm))  # type: ignore[arg-type]
    frame = _between_floor_and_ceiling(frame, ceilings or {})
    return frame.sort_values("kind", key=lambda kinds: kinds.map(KINDS.index), kind="stable", ignore_index=True)


def contrasts_of(table: TableScores) -> Iterator[Contrast]:
    """The comparisons that the arms of a table allow; within a stratum, scores and real against control."""
    if table.stratum:
        for one in _of_arms(table):
            yield replace(one, kind=f"{one.kind}_within", along=table.along, stratum=table.stratum)
        return
    yield from _of_arms(table)
    real = [(model, graph) for model, graph, control in table.arms if control == REAL]
    for graph in dict.fromkeys(graph for _, graph in real if not is_part(graph)):
        for one, other in combinations([model for model, where in real if where == graph], 2):
            terms = {(one, graph, REAL): 1.0, (other, graph, REAL): -1.0}
            yield Contrast("model", one, graph, other, terms)
        sources = sources_named(graph, (name for _, name in real))
        for model in dict.fromkeys(model for model, where in real if where == graph):
            for source in sources:
                yield from _of_source(table, model, graph, source, sources)


def _of_arms(table: TableScores) -> Iterator[Contrast]:
    """Each arm by itself, and each real graph against its controls."""
    yield from (
        Contrast("score", model, graph, "" if control == REAL else control, {(model, graph, control): 1.0}, null=CHANCE)
        for model, graph, control in table.arms
    )
    for model, graph, control in table.arms:
        if control != REAL and (model, graph, REAL) in table.arms:
            terms = {(model, graph, REAL): 1.0, (model, graph, control): -1.0}
            yield Contrast("control", model, graph, control, terms)


def _of_source(table: TableScores, model: str, graph: str, source: str, sources: Sequence[str]) -> Iterator[Contrast]:
    """Leave-one-out and Shapley value of a source, where the graphs they need were scored."""
    without = (model, coalition_name(graph, [name for name in sources if name != source], sources), REAL)
    if len(sources) > 1 and without in table.arms:
        terms = {(model, graph, REAL): 1.0, without: -1.0}
        yield Contrast("leave_one_out", model, f"{graph}/{source}", "the others", terms)
    named = shapley_terms(graph, source, sources)
    nothing = named.pop("")
    terms = {(model, name, REAL): weight for name, weight in named.items()}
    if len(sources) > 1 and terms.keys() <= table.arms.keys():
        constant = 0.0
        if (model, graph, EMPTY) in table.arms:
            terms[model, graph, EMPTY] = nothing
        else:  # what a model knows without any edge is not known: chance
            constant = nothing * CHANCE
        yield Contrast("shapley", model, f"{graph}/{source}", "all orders", terms, constant)


def _means_of_lines(estimates: Mapping[_Row, Estimate]) -> dict[_Row, Estimate]:
    """Means over lines of the contrasts that every line of a task has."""
    lines: dict[str, set[str]] = {}
    groups: dict[tuple[str, Contrast], list[Estimate]] = {}
    for (task, contrast, line), found in estimates.items():
        lines.setdefault(task, set()).add(line)
        groups.setdefault((task, contrast), []).append(found)
    return {
        (task, contrast, MEAN_LINE): Estimate(
            float(np.mean([one.value for one in found])),
            np.mean([one.draws for one in found], axis=0),
            np.mean([one.by_seed for one in found], axis=0),
            np.concatenate([one.by_unit for one in found]),
            contrast.null,
            sum(one.perturbations for one in found),
        )
        for (task, contrast), found in groups.items()
        if len(found) == len(lines[task]) > 1
    }


def _row(task: str, contrast: Contrast, line: str, found: Estimate, level: float) -> dict[str, Any]:
    low, high = found.interval(level)
    if contrast.null == CHANCE:  # a score; the draws follow it to first order, and may leave its range
        low, high = max(low, 0.0), min(high, 1.0)
    seeds_above, _, seeds_p = sign_test(found.by_seed, found.null)
    if np.ptp(found.by_seed) < 1e-12:  # the same run for every seed is no evidence anew
        seeds_p = float("nan")
    genes_above, genes_below, genes_p = sign_test(found.by_unit, found.null)
    return {
        "kind": contrast.kind, "line": line, "task": task, "model": contrast.model, "graph": contrast.graph,
        "against": contrast.against, "along": contrast.along, "stratum": contrast.stratum,
        "value": found.value, "low": low, "high": high, "sd": found.sd, "p": found.p,
        "seeds": len(found.by_seed), "seeds_above": seeds_above, "seeds_sign_p": seeds_p,
        "perturbations": found.perturbations, "genes": len(found.by_unit), "genes_above": genes_above,
        "genes_below": genes_below, "genes_sign_p": genes_p,
    }  # fmt: skip


def _between_floor_and_ceiling(frame: pd.DataFrame, ceilings: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """Scores of arms with 0 at their floor and 1 at the ceiling, as columns ``floor`` and ``of_ceiling``."""
    rows = frame.to_dict(orient="records")
    permuted = {_arm(row): row["value"] for row in rows if (row["kind"], row["against"]) == ("score", PERMUTED)}
    floors, shares = [], []
    for row in rows:
        scored = (row["kind"], row["against"]) == ("score", "")
        floors.append(permuted.get(_arm(row), CHANCE) if scored else float("nan"))
        ceiling = ceilings.get((row["line"], row["task"]), float("nan")) if scored else float("nan")
        ends = {HEADLINE: floors[-1]}, {HEADLINE: ceiling}
        shares.append(rescaled({HEADLINE: row["value"]}, *ends)[HEADLINE])
    return frame.assign(floor=floors, of_ceiling=shares)


def _arm(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("line", "task", "model", "graph"))


def _holm(p: pd.Series) -> pd.Series:
    return pd.Series(holm(p.to_numpy()), index=p.index)
