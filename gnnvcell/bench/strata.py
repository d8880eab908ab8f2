"""Scores within strata of the held-out perturbations: by graph support, size of effect, membership in complexes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnnvcell.bench.coalitions import is_part
from gnnvcell.bench.contrasts import ArmScores, TableScores
from gnnvcell.bench.folder import BenchFolder
from gnnvcell.bench.units import Units, unpack
from gnnvcell.errors import ConfigError
from gnnvcell.metrics import per_gene_auroc, per_gene_auroc_influence, quantile_edges
from gnnvcell.metrics.strata import SUPPORT_EDGES

SUPPORT, EFFECT, COMPLEX = "graph support", "effect size", "complexes"
SMALLEST = 20  # perturbations, and genes with both labels among them: below, a score says nothing
_SUPPORT_NAMES = ("no measured neighbour", "1 to 19", "20 to 79", "80 and more")
_QUARTERS = {1: ["all"], 2: ["lower", "higher"], 3: ["lowest", "middle", "highest"]}
_FOUR = ["lowest quarter", "second quarter", "third quarter", "highest quarter"]
_PARTNERS = ("with partner", "without")


@dataclass(frozen=True, eq=False)
class Stratum:
    """Some of the held-out perturbations.

    Args:
        along: what they are told apart by.
        name: which they are.
        inside: (held-out,) whether a perturbation is one of them.
    """

    along: str
    name: str
    inside: NDArray[np.bool_]


def effect_sizes(units: Units, task: str) -> NDArray[np.float64]:
    """(held-out,) how much each perturbation does, by labels that no model saw.

    Of differential expression the share of its measured genes that changed; of directions the number of genes with one,
    since only changed genes have a direction.
    """
    pairs = np.asarray(units.pairs, dtype=np.float64)
    if task.startswith("dir"):
        return pairs
    labels, _ = units.truth
    return labels.sum(axis=1) / np.maximum(pairs, 1)


def by_measured_neighbours(counts: NDArray) -> list[Stratum]:
    """Strata by the number of measured perturbations next to each in the graph: none, below 20, below 80, more."""
    place = np.digitize(counts, SUPPORT_EDGES)
    return [Stratum(SUPPORT, name, place == i) for i, name in enumerate(_SUPPORT_NAMES)]


def by_quarters(along: str, values: NDArray) -> list[Stratum]:
    """Strata of equal numbers, as far as values do not repeat."""
    edges = quantile_edges(values)
    edges = edges[edges > values.min()]  # a stratum holds its lower edge
    names = _QUARTERS.get(len(edges) + 1, _FOUR)
    place = np.digitize(values, edges)
    return [Stratum(along, name, place == i) for i, name in enumerate(names)]


def by_partners(partner: NDArray[np.bool_]) -> list[Stratum]:
    """Strata by whether a member of a complex of the target was among the training perturbations."""
    return [Stratum(COMPLEX, _PARTNERS[0], partner), Stratum(COMPLEX, _PARTNERS[1], ~partner)]


def tables_within(folder: BenchFolder, strata: Mapping[tuple[str, str], Sequence[Stratum]]) -> Iterator[TableScores]:
    """Scores of whole graphs within strata: of genes with both labels among the perturbations of a stratum.

    Args:
        folder: a finished benchmark.
        strata: line and task to strata of its held-out perturbations. Those with fewer than ``SMALLEST`` perturbations
            or scored genes are left out.

    Raises:
        FileFormatError: a run does not keep its scores pair by pair.
        ConfigError: strata of a line and task that were not run.
    """
    for (line, task), found in strata.items():
        if (line, task) not in folder.units:
            raise ConfigError(f"strata of {line}:{task}, which was not run")
        arms = {where: runs for where, runs in folder.runs_of(line, task).items() if not is_part(where[1])}
        cuts = [cut for cut in (_Cut.of(folder.units[line, task], stratum) for stratum in found) if cut is not None]
        scores = {
            run["run"]: _within(run, folder.units[line, task], cuts)
            for run in {run["run"]: run for runs in arms.values() for run in runs}.values()
        }
        for place, cut in enumerate(cuts if arms else []):
            within = {
                where: ArmScores(*(np.stack([scores[run["run"]][place][i] for run in runs]) for i in (0, 1)))
                for where, runs in arms.items()
            }
            yield TableScores(line, task, within, cut.stratum.along, cut.stratum.name)


@dataclass(frozen=True, eq=False)
class _Cut:
    """The held-out perturbations of a stratum, and the genes with both labels among them."""

    stratum: Stratum
    rows: NDArray[np.int64]
    genes: NDArray[np.int64]
    labels: NDArray[np.bool_]
    measured: NDArray[np.bool_]

    @classmethod
    def of(cls, units: Units, stratum: Stratum) -> "_Cut | None":
        """None where there are too few of either."""
        labels, measured = units.truth
        rows = np.flatnonzero(stratum.inside)
        both = np.logical_and((labels & measured)[rows].any(axis=0), (~labels & measured)[rows].any(axis=0))
        genes = np.flatnonzero(both)
        if min(len(rows), len(genes)) < SMALLEST:
            return None
        part = np.ix_(rows, genes)
        return cls(stratum, rows, genes, labels[part], measured[part])


def _within(
    run: Mapping[str, Any], units: Units, cuts: Sequence[_Cut]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """AUROC of genes and influence of perturbations within each stratum."""
    predicted = units.dense(unpack(dict(run), "per_pair", "score", len(units.labels)))
    found = []
    for cut in cuts:
        part = predicted[np.ix_(cut.rows, cut.genes)], cut.labels, cut.measured
        found.append((per_gene_auroc(*part), per_gene_auroc_influence(*part)))
    return found
