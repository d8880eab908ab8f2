"""Reactome: pathways of the planted modules and complexes (GMT), and which pathway is part of which."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.simulator.config import KnowledgeConfig, SimulatorConfig
from gnnvcell.data.simulator.knowledge.identifiers import SHARED_ALIAS, Identifiers
from gnnvcell.data.simulator.knowledge.text_files import write_lines
from gnnvcell.data.simulator.knowledge.visibility import Visibility
from gnnvcell.data.simulator.streams import stream
from gnnvcell.data.simulator.wiring import Wiring

_CATEGORIES = 3
_NOT_GENES = ("simvirus-gag", "simvirus-pol")  # GMT files name proteins of viruses too


@dataclass(frozen=True, eq=False)
class Pathway:
    """One pathway: id, name, the pathway it is part of ("" at the top), and its genes (indices, ascending)."""

    id: str
    name: str
    parent: str
    genes: NDArray[np.int64]


def known_pathways(config: SimulatorConfig, wiring: Wiring, visibility: Visibility) -> list[Pathway]:
    """Draw what Reactome knows. A pathway holds the genes of its parts, as in Reactome's own GMT."""
    rng = stream(config.seed, "pathways")
    knowledge = config.knowledge
    tops = [Pathway(f"R-HSA-{9_000_001 + k}", f"Branch {k + 1} of the cell", "", _none()) for k in range(_CATEGORIES)]
    next_id = 9_000_001 + _CATEGORIES
    parts: list[Pathway] = []
    for m in range(config.modules):
        parent = Pathway(f"R-HSA-{next_id}", f"Signalling of module {m + 1}", tops[m % _CATEGORIES].id, _none())
        next_id += 1
        members = np.flatnonzero(wiring.module == m)
        inside: list[NDArray] = [_seen(members[wiring.complex[members] < 0], knowledge, visibility, rng)]
        for c in np.unique(wiring.complex[members][wiring.complex[members] >= 0]):
            genes = _seen(np.flatnonzero(wiring.complex == c), knowledge, visibility, rng)
            parts.append(Pathway(f"R-HSA-{next_id}", f"Assembly of complex {c + 1}", parent.id, genes))
            inside.append(genes)
            next_id += 1
        parts.append(Pathway(parent.id, parent.name, parent.parent, np.unique(np.concatenate(inside))))
    for k, top in enumerate(tops):
        below = [part.genes for part in parts if part.parent == top.id]
        tops[k] = Pathway(top.id, top.name, "", np.unique(np.concatenate([_none(), *below])))
    return sorted([*tops, *parts], key=lambda pathway: pathway.id)


def _none() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


def _seen(
    genes: NDArray, knowledge: KnowledgeConfig, visibility: Visibility, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The known members of a pathway, and wrong ones."""
    known = genes[visibility.seen(knowledge.missed_annotations, genes, rng=rng)]
    wrong = visibility.random_genes(int(rng.poisson(knowledge.false_annotations * len(known))), rng)
    return np.unique(np.concatenate([known, wrong]))


def write_pathways(folder: Path, config: SimulatorConfig, pathways: list[Pathway], names: Identifiers) -> list[Path]:
    """Write ``ReactomePathways.gmt`` by symbol and ``ReactomePathwaysRelation.txt`` (parent, child)."""
    symbols = names.as_older_files_say()
    lines = []
    for pathway in pathways:
        members = symbols[pathway.genes].tolist()
        if members:
            lines.append([pathway.name, pathway.id, *members])
    relations = [f"{pathway.parent}\t{pathway.id}" for pathway in pathways if pathway.parent]
    if config.knowledge.traps:
        lines[0] += [*_NOT_GENES, SHARED_ALIAS, str(names.uniprot[-1])]
        # The official file holds the pathways of all species.
        relations += [line.replace("R-HSA-", "R-MMU-") for line in relations[:10]]
    return [
        write_lines(folder / "ReactomePathways.gmt", ("\t".join(line) for line in lines)),
        write_lines(folder / "ReactomePathwaysRelation.txt", relations),
    ]
