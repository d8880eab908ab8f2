"""STRING: interactions between proteins with a score per channel, protein names and aliases (v12 layout)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.knowledge.identifiers import SHARED_ALIAS, Identifiers
from gnnvcell.data.simulator.knowledge.text_files import write_lines
from gnnvcell.data.simulator.knowledge.visibility import Visibility
from gnnvcell.data.simulator.streams import stream
from gnnvcell.data.simulator.wiring import Wiring

CHANNELS = ("neighborhood", "fusion", "cooccurence", "coexpression", "experimental", "database", "textmining")
PRIOR = 0.041
_TAXON = "9606"
_LOWEST_COMBINED = 150  # STRING does not list pairs below this
_STRANGERS = 3  # proteins that belong to no gene

# How each kind of pair is supported: mean of the channel's score (0..1) and the share of pairs that have it.
_SUPPORT = {
    "complex": {
        "experimental": (0.75, 0.9),
        "database": (0.7, 0.7),
        "textmining": (0.5, 0.9),
        "coexpression": (0.4, 0.8),
    },
    "on_hub": {
        "experimental": (0.5, 0.6),
        "database": (0.6, 0.3),
        "textmining": (0.5, 0.9),
        "coexpression": (0.2, 0.4),
    },
    "regulation": {"experimental": (0.2, 0.2), "textmining": (0.35, 0.8), "coexpression": (0.3, 0.6)},
    "module": {"textmining": (0.3, 0.7), "coexpression": (0.4, 0.8), "cooccurence": (0.2, 0.2)},
    "false": {
        "textmining": (0.45, 0.9),
        "coexpression": (0.35, 0.5),
        "experimental": (0.3, 0.3),
        "fusion": (0.1, 0.05),
    },
}
_MODULE_PAIRS = 0.3  # share of the pairs of a module that a database could know
_REGULATION_MISSED = 0.5  # more is missed of the regulation by single genes and hubs than of complexes


@dataclass(frozen=True, eq=False)
class Interactions:
    """Undirected pairs that STRING knows.

    Args:
        first: (pairs,) int64 gene, smaller index.
        second: (pairs,) int64 gene, larger index.
        scores: (pairs, 7) int64 in 0..999, channels in the order of ``CHANNELS``.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    scores: NDArray[np.int64]

    @property
    def combined(self) -> NDArray[np.int64]:
        """(pairs,) combined score in thousandths, by STRING's rule.

        The prior is taken off each channel, the channels are combined as independent, and the prior is put back
        (string-db.org, "How are the scores computed?"; von Mering et al. 2005).
        """
        corrected = np.maximum(self.scores / 1000 - PRIOR, 0) / (1 - PRIOR)
        joint = 1 - np.prod(1 - corrected, axis=1)
        return np.floor(1000 * (joint + PRIOR * (1 - joint)) + 1e-9).astype(np.int64)


def known_interactions(config: SimulatorConfig, wiring: Wiring, visibility: Visibility) -> Interactions:
    """Draw what STRING knows: part of the truth, and made-up pairs that favour popular genes."""
    rng = stream(config.seed, "string")
    knowledge = config.knowledge
    pairs: dict[tuple[int, int], str] = {}
    for kind, first, second in _true_pairs(wiring, rng):
        missed = knowledge.missed_edges
        if kind == "regulation":
            missed = missed + (1 - missed) * _REGULATION_MISSED
        seen = visibility.seen(missed, first, second, rng=rng)
        for a, b in zip(first[seen].tolist(), second[seen].tolist(), strict=True):
            pairs.setdefault((min(a, b), max(a, b)), kind)
    wanted = round(knowledge.false_edges * len(pairs))
    ends = visibility.random_genes(2 * wanted, rng).reshape(2, -1)
    for a, b in zip(*ends.tolist(), strict=True):
        if a != b:
            pairs.setdefault((min(a, b), max(a, b)), "false")
    ordered = sorted(pairs)
    first, second = np.array(ordered, dtype=np.int64).reshape(-1, 2).T
    interactions = Interactions(first, second, _scores([pairs[pair] for pair in ordered], rng))
    listed = interactions.combined >= _LOWEST_COMBINED
    return Interactions(first[listed], second[listed], interactions.scores[listed])


def _true_pairs(wiring: Wiring, rng: np.random.Generator) -> Iterator[tuple[str, NDArray, NDArray]]:
    """Kinds of true pairs, the best supported first."""
    first, second = np.triu_indices(len(wiring.genes), k=1)
    together = (wiring.complex[first] == wiring.complex[second]) & (wiring.complex[first] >= 0)
    yield "complex", first[together], second[together]
    edges = wiring.regulation.tocoo()
    on_hub = wiring.hub[edges.col] & (wiring.complex[edges.row] >= 0)
    yield "on_hub", edges.row[on_hub].astype(np.int64), edges.col[on_hub].astype(np.int64)
    yield "regulation", edges.row[~on_hub].astype(np.int64), edges.col[~on_hub].astype(np.int64)
    neighbours = (wiring.module[first] == wiring.module[second]) & (rng.random(len(first)) < _MODULE_PAIRS)
    yield "module", first[neighbours], second[neighbours]


def _scores(kinds: list[str], rng: np.random.Generator) -> NDArray[np.int64]:
    kind = np.array(kinds)
    scores = np.zeros((len(kinds), len(CHANNELS)), dtype=np.int64)
    for name, support in _SUPPORT.items():
        rows = np.flatnonzero(kind == name)
        for channel, (mean, share) in support.items():
            value = rng.beta(4 * mean, 4 * (1 - mean), len(rows))
            present = rng.random(len(rows)) < share
            column = np.where(present, np.rint(value * 999).astype(np.int64), 0)
            # A channel without more evidence than the prior is written as 0.
            scores[rows, CHANNELS.index(channel)] = np.where(column > 1000 * PRIOR, column, 0)
    return scores


def write_string(
    folder: Path, config: SimulatorConfig, interactions: Interactions, names: Identifiers, visibility: Visibility
) -> list[Path]:
    """Write links, detailed links, protein info and aliases; every pair stands in both directions, as in STRING."""
    strangers = _strangers(config, names)
    protein = np.array([f"{_TAXON}.{ensp}" for ensp in [*names.ensp, *strangers]])
    first, second, scores, combined = _both_directions(_with_strangers(config, interactions, names, visibility))
    plain, detailed = ["protein1 protein2 combined_score"], [f"protein1 protein2 {' '.join(CHANNELS)} combined_score"]
    for a, b, channels, total in zip(protein[first], protein[second], scores.tolist(), combined, strict=True):
        plain.append(f"{a} {b} {total}")
        detailed.append(f"{a} {b} {' '.join(map(str, channels))} {total}")
    info = ["#string_protein_id\tpreferred_name\tprotein_size\tannotation"]
    sizes = stream(config.seed, "protein sizes").integers(80, 1500, len(protein))
    for identifier, name, size in zip(protein, [*names.symbol, *strangers], sizes, strict=True):
        info.append(f"{identifier}\t{name}\t{size}\tSimulated protein.")
    return [
        write_lines(folder / f"{_TAXON}.protein.links.v12.0.txt.gz", plain),
        write_lines(folder / f"{_TAXON}.protein.links.detailed.v12.0.txt.gz", detailed),
        write_lines(folder / f"{_TAXON}.protein.info.v12.0.txt.gz", info),
        write_lines(folder / f"{_TAXON}.protein.aliases.v12.0.txt.gz", _aliases(config, names, protein)),
    ]


def _strangers(config: SimulatorConfig, names: Identifiers) -> list[str]:
    """Proteins that STRING lists under their ENSP id because they belong to no gene with a symbol."""
    count = _STRANGERS if config.knowledge.traps else 0
    return [f"ENSP9{len(names.symbol) + 1 + i:010d}" for i in range(count)]


def _with_strangers(
    config: SimulatorConfig, interactions: Interactions, names: Identifiers, visibility: Visibility
) -> Interactions:
    """The interactions, and a few of each stranger."""
    strangers = len(_strangers(config, names))
    rng = stream(config.seed, "strangers")
    ends = [np.unique(visibility.random_genes(5, rng)) for _ in range(strangers)]
    first = np.concatenate([interactions.first, *ends])
    second = np.concatenate(
        [interactions.second, *(np.full(len(e), len(names.symbol) + i) for i, e in enumerate(ends))]
    )
    added = _scores(["on_hub"] * (len(first) - len(interactions.first)), rng)
    return Interactions(first, second, np.vstack([interactions.scores, added]))


def _both_directions(pairs: Interactions) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    first, second = np.r_[pairs.first, pairs.second], np.r_[pairs.second, pairs.first]
    order = np.lexsort((second, first))
    return (
        first[order],
        second[order],
        np.vstack([pairs.scores] * 2)[order],
        np.r_[pairs.combined, pairs.combined][order],
    )


def _aliases(config: SimulatorConfig, names: Identifiers, protein: NDArray) -> list[str]:
    lines = ["#string_protein_id\talias\tsource"]
    columns = (
        (names.symbol, "Ensembl_HGNC_symbol"),
        (names.previous, "Ensembl_HGNC_prev_symbol"),
        (names.ensembl, "Ensembl_gene"),
        (names.uniprot, "UniProt_AC"),
        (names.entrez, "Ensembl_HGNC_entrez_id"),
    )
    for row in range(len(names.symbol)):
        lines += [f"{protein[row]}\t{column[row]}\t{source}" for column, source in columns if column[row]]
        if config.knowledge.traps and row < 2:
            lines.append(f"{protein[row]}\t{SHARED_ALIAS}\tEnsembl_HGNC_alias_symbol")
    return lines
