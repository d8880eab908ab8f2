"""Gene Ontology: a small ontology (OBO) over the planted modules and complexes, and annotations (GAF 2.2)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.knowledge.identifiers import Identifiers
from gnnvcell.data.simulator.knowledge.text_files import write_lines
from gnnvcell.data.simulator.knowledge.visibility import Visibility
from gnnvcell.data.simulator.streams import stream
from gnnvcell.data.simulator.wiring import Wiring

_BP, _CC, _MF = "biological_process", "cellular_component", "molecular_function"
_ROOTS = {_BP: "GO:0008150", _CC: "GO:0005575", _MF: "GO:0003674"}
_ASPECT = {_BP: "P", _CC: "C", _MF: "F"}
_QUALIFIER = {_BP: "involved_in", _CC: "part_of", _MF: "enables"}
_CATEGORIES = 5  # broad processes, each over several modules
_COMPARTMENTS = 4
_FUNCTIONS = 8
_UNINFORMATIVE = 0.5  # share of the genes in each compartment-like term
_GOOD_EVIDENCE, _POOR_EVIDENCE = ("IDA", "IMP", "IPI", "TAS", "IEA"), ("IEA", "IEA", "IEA", "NAS", "ISS")
_ACCESSION_AS_SYMBOL = 0.03  # share of genes whose rows name the accession where the symbol should be
_TRAP_ROWS = 6  # rows of each kind of trap
_DATE = "20260101"


@dataclass(eq=False)
class Term:
    """One term of the ontology."""

    id: str
    name: str
    namespace: str
    links: list[tuple[str, str]] = field(default_factory=list)  # (relation, term id)
    extra: list[str] = field(default_factory=list)  # further lines of its stanza
    genes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # truly annotated


def make_ontology(config: SimulatorConfig, wiring: Wiring) -> list[Term]:
    """Terms over the planted world: informative ones per module and complex, and broad or random ones.

    Broad processes, modules and complexes form a chain of ``is_a`` and ``part_of``; a module's hubs are annotated to a
    term that ``regulates`` the module's process.
    """
    rng = stream(config.seed, "ontology")
    terms = [Term(identifier, space, space) for space, identifier in _ROOTS.items()]
    number = iter(range(9_000_001, 9_999_999))

    def add(name: str, space: str, links: list[tuple[str, str]], genes: NDArray | None = None) -> Term:
        term = Term(f"GO:{next(number)}", name, space, links)
        if genes is not None:
            term.genes = np.asarray(genes, dtype=np.int64)
        terms.append(term)
        return term

    categories = [add(f"process category {k + 1}", _BP, [("is_a", _ROOTS[_BP])]) for k in range(_CATEGORIES)]
    assembly = add("protein-containing complex of the planted world", _CC, [("is_a", _ROOTS[_CC])])
    for m in range(config.modules):
        members = np.flatnonzero(wiring.module == m)
        loose = members[(wiring.complex[members] < 0) & ~wiring.hub[members]]
        process = add(f"process of module {m + 1}", _BP, [("is_a", categories[m % _CATEGORIES].id)], loose)
        hubs = members[wiring.hub[members]]
        add(f"regulation of module {m + 1}", _BP, [("regulates", process.id), ("is_a", _ROOTS[_BP])], hubs)
        for c in np.unique(wiring.complex[members][wiring.complex[members] >= 0]):
            inside = np.flatnonzero(wiring.complex == c)
            add(f"step of complex {c + 1}", _BP, [("part_of", process.id), ("is_a", _ROOTS[_BP])], inside)
            add(f"complex {c + 1}", _CC, [("is_a", assembly.id)], inside)
    for space, name, count in ((_CC, "compartment", _COMPARTMENTS), (_MF, "binding activity", _FUNCTIONS)):
        for k in range(count):
            genes = np.flatnonzero(rng.random(config.genes) < _UNINFORMATIVE / (1 + k))
            add(f"{name} {k + 1}", space, [("is_a", _ROOTS[space])], genes)
    if config.knowledge.traps:
        _add_trap_terms(terms, number)
    return terms


def _add_trap_terms(terms: list[Term], number: Iterator[int]) -> None:
    """An obsolete term with its replacement, and an alternative id of a term that is in use."""
    used = next(term for term in terms if term.name == "process of module 1")
    used.extra.append("alt_id: GO:8000001")
    gone = Term(f"GO:{next(number)}", "obsolete process of module 1", _BP)
    gone.extra += ["is_obsolete: true", f"replaced_by: {used.id}"]
    terms.append(gone)


def write_ontology(path: Path, terms: list[Term]) -> Path:
    """Write the terms as OBO 1.2, with the relationship types at the end."""
    name = {term.id: term.name for term in terms}
    lines = ["format-version: 1.2", "data-version: releases/2026-01-01", "ontology: go"]
    for term in terms:
        lines += ["", "[Term]", f"id: {term.id}", f"name: {term.name}", f"namespace: {term.namespace}"]
        lines += [f'def: "A term of the planted world: {term.name}." [SIM:0]', *term.extra]
        lines += [f"is_a: {other} ! {name[other]}" for relation, other in term.links if relation == "is_a"]
        lines += [f"relationship: {r} {other} ! {name[other]}" for r, other in term.links if r != "is_a"]
    lines += ["", "[Typedef]", "id: part_of", "name: part of", "namespace: external", "is_transitive: true"]
    lines += ["", "[Typedef]", "id: regulates", "name: regulates", "namespace: external"]
    return write_lines(path, lines)


@dataclass(frozen=True)
class Annotation:
    """One row of a GAF file, as far as rows differ."""

    gene: int
    term: Term
    evidence: str
    qualifier: str = ""


def known_annotations(config: SimulatorConfig, terms: list[Term], visibility: Visibility) -> list[Annotation]:
    """Draw what GO knows: part of the truth, wrong annotations that favour popular genes, and NOT rows."""
    rng = stream(config.seed, "annotations")
    rows: list[Annotation] = []
    for term in terms:
        seen = visibility.seen(config.knowledge.missed_annotations, term.genes, rng=rng)
        codes = rng.choice(_GOOD_EVIDENCE, size=int(seen.sum()))
        rows += [Annotation(int(g), term, str(code)) for g, code in zip(term.genes[seen], codes, strict=True)]
    informative = [term for term in terms if len(term.genes) and term.namespace != _MF]
    wrong = round(config.knowledge.false_annotations * len(rows))
    genes = visibility.random_genes(wrong, rng)
    picks, codes = rng.integers(len(informative), size=wrong), rng.choice(_POOR_EVIDENCE, size=wrong)
    for gene, pick, code in zip(genes.tolist(), picks, codes, strict=True):
        rows.append(Annotation(gene, informative[pick], str(code)))
    if config.knowledge.traps:
        rows += _trap_rows(terms, visibility, rng)
    return sorted(set(rows), key=lambda row: (row.gene, row.term.id, row.qualifier, row.evidence))


def _trap_rows(terms: list[Term], visibility: Visibility, rng: np.random.Generator) -> list[Annotation]:
    """Rows that a reader must drop (NOT), follow (obsolete and alternative ids) or count."""
    genes = visibility.random_genes(3 * _TRAP_ROWS, rng).reshape(3, _TRAP_ROWS).tolist()
    used = next(term for term in terms if "alt_id: GO:8000001" in term.extra)
    gone = next(term for term in terms if "is_obsolete: true" in term.extra)
    alternative = Term("GO:8000001", used.name, used.namespace)
    rows = [Annotation(gene, used, "IDA", "NOT|involved_in") for gene in genes[0]]
    rows += [Annotation(gene, gone, "IEA") for gene in genes[1]]
    return rows + [Annotation(gene, alternative, "IMP") for gene in genes[2]]


def write_annotations(path: Path, config: SimulatorConfig, rows: list[Annotation], names: Identifiers) -> Path:
    """Write GAF 2.2 with previous symbols, accessions in the symbol column and another species where traps are on."""
    rng = stream(config.seed, "gaf")
    symbols = names.as_older_files_say().astype(object)
    if config.knowledge.traps:
        careless = rng.permutation(len(symbols))[: round(_ACCESSION_AS_SYMBOL * len(symbols))]
        careless = careless[names.previous[careless] == ""]
        symbols[careless] = names.uniprot[careless]
    lines = ["!gaf-version: 2.2", "!Generated by gnnvcell's simulator: genes and terms are invented."]
    lines += [_gaf_line(row, str(names.uniprot[row.gene]), str(symbols[row.gene]), "9606") for row in rows]
    if config.knowledge.traps:
        mouse = [row for row in rows if not row.qualifier][:_TRAP_ROWS]
        lines += [_gaf_line(row, f"A9Y000Y{i:03d}", f"Gen{i:04d}", "10090") for i, row in enumerate(mouse)]
    return write_lines(path, lines)


def _gaf_line(row: Annotation, accession: str, symbol: str, taxon: str) -> str:
    space = row.term.namespace
    qualifier = row.qualifier or _QUALIFIER[space]
    columns = [
        "UniProtKB",
        accession,
        symbol,
        qualifier,
        row.term.id,
        "GO_REF:0000000",
        row.evidence,
        "",
        _ASPECT[space],
    ]
    columns += ["Simulated protein", "", "protein", f"taxon:{taxon}", _DATE, "SIM", "", ""]
    return "\t".join(columns)
