"""Gene Ontology: an OBO ontology and annotations (GAF, GPAD, gene2go) to gene-term, term-term or gene-gene edges."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from gnnvcell import keys
from gnnvcell.errors import ConfigError, EmptyGraphError, FileFormatError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.sources._annotations import Annotations, read_annotations
from gnnvcell.graphs.sources._evidence import CODES, expand
from gnnvcell.graphs.sources._gene_products import GeneProducts
from gnnvcell.graphs.sources._hierarchy import ancestors, joined, require_acyclic
from gnnvcell.graphs.sources._membership import Membership, link_table
from gnnvcell.graphs.sources._ontology import OBSOLETE, Ontology, read_ontology
from gnnvcell.graphs.sources._set_source import SetSource, find_tagged, require_order, sized
from gnnvcell.graphs.sources._tsv import Rows
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext

Namespace = Literal["biological_process", "molecular_function", "cellular_component"]
Relation = Literal["is_a", "part_of", "regulates", "positively_regulates", "negatively_regulates"]

ANNOTATED: dict[str, str] = {
    "biological_process": "annotated_bp",
    "molecular_function": "annotated_mf",
    "cellular_component": "annotated_cc",
}
_SHORT = {"bp": "biological_process", "mf": "molecular_function", "cc": "cellular_component"}

# How the consortium and the GOA project name a species' annotations.
_SPECIES_FILES: dict[int, tuple[str, ...]] = {
    9606: ("goa_human",),
    10090: ("mgi", "goa_mouse"),
    10116: ("rgd", "goa_rat"),
    7955: ("zfin", "goa_zebrafish"),
    7227: ("fb", "goa_fly"),
    6239: ("wb", "goa_worm"),
    559292: ("sgd", "goa_yeast"),
    4932: ("sgd", "goa_yeast"),
    4896: ("pombase",),
    44689: ("dictybase", "goa_dicty"),
    9031: ("goa_chicken",),
    9823: ("goa_pig",),
    9913: ("goa_cow",),
    9615: ("goa_dog",),
    3702: ("tair", "goa_arabidopsis"),
}
_ONTOLOGY = (r"go-basic\.obo", r"go\.obo")


@SOURCES.register("go", "gene_ontology")
class GeneOntology(SetSource):
    """Gene Ontology annotations.

    The reading "heterogeneous" gives ``(gene, annotated_bp | annotated_mf | annotated_cc, go_term)`` and
    ``(go_term, is_a | part_of | ..., go_term)`` from child to parent, all directed and of weight 1; "similarity" gives
    ``(gene, go_similarity, gene)``.

    Files in ``source_dir``: ``go-basic.obo`` and, for human, the first of ``goa_human.gaf`` (2.0 to 2.2),
    ``goa_human.gpad`` (1.x, 2.0; with ``goa_human.gpi``, if there, for symbols) and ``gene2go``; each also with a
    release tag and ``.gz``. GAF and GPI name symbols and give the accessions as aliases; GPAD alone names UniProt
    accessions, gene2go NCBI gene numbers.

    Args:
        namespace: "biological_process", "molecular_function", "cellular_component" (or "bp", "mf", "cc"), a list of
            them, or "all".
        relations: links between terms.
        evidence: GO evidence codes or groups of them to keep ("experimental", "high_throughput", "phylogenetic",
            "computational", "author", "curator", "electronic", "perturbation_derived"); None keeps all.
        exclude_evidence: codes or groups to leave out, also where ``evidence`` has them. "perturbation_derived" leaves
            out what was learned by perturbing genes, for benchmarks that ask just that. ND says that nothing is known.
        close_ancestors: annotate a gene also to the ancestors of its terms (true-path rule): over all ``relations``
            (True), over some of them (a list), or not (False).
        min_term_genes: least number of genes of a term, counted with those of its descendants.
        max_term_genes: largest number of genes, counted likewise; None for no limit.
        ontology: path of the ontology, where it is not found by its name.
        annotations: path of the annotations, where they are not found by their name.
    """

    type: ClassVar[str] = "go"
    licence: ClassVar[str] = "CC BY 4.0"
    citation: ClassVar[str] = "The Gene Ontology Consortium, Genetics 2023, doi:10.1093/genetics/iyad031"

    namespace: tuple[Namespace, ...] = ("biological_process", "molecular_function", "cellular_component")
    relations: tuple[Relation, ...] = ("is_a", "part_of")
    evidence: tuple[str, ...] | None = None
    exclude_evidence: tuple[str, ...] = ("ND",)
    close_ancestors: bool | tuple[Relation, ...] = True
    min_term_genes: int = Field(default=1, ge=0)
    max_term_genes: int | None = Field(default=None, ge=1)
    ontology: str | None = None
    annotations: str | None = None

    @field_validator("namespace", mode="before")
    @classmethod
    def _spell_namespace(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            return value
        if [name.lower() for name in names] == ["all"]:
            return tuple(ANNOTATED)
        return tuple(dict.fromkeys(_SHORT.get(name.lower(), name.lower()) for name in names))

    @field_validator("relations", "evidence", "exclude_evidence", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _settings_fit(self) -> Any:
        require_order("go", self.min_term_genes, self.max_term_genes, ("min_term_genes", "max_term_genes"))
        if not self.namespace:
            raise ConfigError("go: 'namespace' is an empty list", remedy="name a namespace, or 'all'")
        if not self._wanted_evidence():
            raise ConfigError("go: no evidence code is left", found=f"{self.evidence} without {self.exclude_evidence}")
        stray = set(self._closing()) - set(self.relations)
        if stray or (self.close_ancestors is True and not self.relations):
            raise ConfigError(
                "go: ancestors cannot be closed over relations that are not read",
                found=f"close_ancestors = {self.close_ancestors}, relations = {list(self.relations)}",
                remedy="add them to 'relations', or set close_ancestors = false",
            )
        return self

    def read(self, context: SourceContext) -> Reading:
        """Read the ontology and the annotations.

        Raises:
            FileFormatError: a file is missing, damaged, of another format, version or species, or has a cycle.
            EmptyGraphError: no annotation is left after the filters.
        """
        ontology_path = find_tagged(context, _ONTOLOGY, what="the Gene Ontology", explicit=self.ontology)
        path, products_path = self._annotation_files(context)
        context.report(f"reading {ontology_path.name}")
        ontology = read_ontology(ontology_path, self.relations, tuple(ANNOTATED))
        require_acyclic(ontology.ids, joined(list(ontology.links.values())), ontology_path.name)
        context.report(f"reading {path.name}")
        products = GeneProducts.read(products_path) if products_path else None
        annotations = read_annotations(path, context.species, products)
        notes = [f"{ontology_path.name} is {ontology.version}"] if ontology.version else []
        notes += [*ontology.notes, *annotations.notes]
        members = self._members(ontology, annotations, path.name, notes)
        tables, labels = self._tables(ontology, members, notes)
        return Reading(
            tables=tables,
            files=[ontology_path, path, *([products_path] if products_path else [])],
            lines_read=annotations.lines_read,
            identities=annotations.identities,
            notes=notes,
            labels=labels,
        )

    def _annotation_files(self, context: SourceContext) -> tuple[Path, Path | None]:
        """The annotations, and the symbols that go with a GPAD file."""
        stems = _SPECIES_FILES.get(context.species, ())
        names = [rf"{stem}\.{kind}" for kind in ("gaf", "gpad", "gpa") for stem in stems]
        names += [*(rf"gene_association\.{stem}" for stem in stems), "gene2go"]
        path = find_tagged(context, names, what="the annotation of genes with GO terms", explicit=self.annotations)
        if ".gpa" not in path.name:
            return path, None
        beside = path.with_name(path.name.split(".gpa")[0] + ".gpi")
        found = [name for name in (beside, beside.with_name(beside.name + ".gz")) if name.is_file()]
        return path, found[0] if found else None

    def _closing(self) -> tuple[str, ...]:
        if isinstance(self.close_ancestors, bool):
            return self.relations if self.close_ancestors else ()
        return self.close_ancestors

    def _wanted_evidence(self) -> frozenset[str]:
        wanted = CODES if self.evidence is None else expand(self.evidence)
        return wanted - expand(self.exclude_evidence)

    def _evident(self, annotations: Annotations, name: str, notes: list[str]) -> Rows:
        """Annotations that are not negated and pass the filter of evidence."""
        rows = annotations.rows[~annotations.rows["negated"]]
        unknown = ~rows["evidence"].isin(CODES)
        if unknown.any():
            fate = "kept" if self.evidence is None else "dropped"
            notes.append(f"{int(unknown.sum()):,} annotations of unknown evidence {fate}")
        passed = rows["evidence"].isin(self._wanted_evidence()) | (unknown & (self.evidence is None))
        if not passed.all():
            notes.append(f"{int((~passed).sum()):,} annotations dropped by their evidence")
        if not passed.any():
            counts = rows["evidence"].value_counts()
            raise EmptyGraphError(
                f"go: no annotation of {name} passes the filter of evidence",
                expected=", ".join(sorted(self._wanted_evidence())),
                found=", ".join(f"{code} ({count:,})" for code, count in counts.items()) or "only annotations with NOT",
                remedy="keep more evidence codes",
            )
        return rows[passed]

    def _members(self, ontology: Ontology, annotations: Annotations, name: str, notes: list[str]) -> Membership:
        """Direct annotations that pass the filters."""
        rows = self._evident(annotations, name, notes)
        places, terms = rows["term"].factorize()
        codes = ontology.lookup(list(terms))[places]
        found = codes >= 0
        obsolete = int((codes == OBSOLETE).sum())
        for count, fact in ((obsolete, "obsolete"), (int((~found).sum()) - obsolete, "unknown")):
            if count:
                notes.append(f"{count:,} annotations to {fact} terms dropped")
        if not found.any():
            raise FileFormatError(
                f"no annotation of {name} is to a term of the ontology",
                found=f"terms such as {', '.join(map(str, terms[:3]))}",
                remedy="give an ontology and annotations that belong together",
            )
        return Membership.of(rows["gene"][found], codes[found], ontology.ids)

    def _tables(
        self, ontology: Ontology, direct: Membership, notes: list[str]
    ) -> tuple[list[EdgeTable], dict[str, dict[str, str]]]:
        links = [ontology.links[relation] for relation in self._closing() or self.relations]
        closed = direct.closed(ancestors(len(ontology), joined(links)))
        wanted = np.isin(ontology.namespaces, self.namespace)
        kept = sized("go", closed.sizes, self.min_term_genes, self.max_term_genes, among=wanted)
        members = (closed if self._closing() else direct).only(kept)
        notes.append(f"{int(kept.sum()):,} of {int(wanted.sum()):,} terms kept by their number of genes")
        if self.reading == "similarity":
            return [self._similarity(members, "go_similarity", int((np.diff(closed.matrix.indptr) > 0).sum()))], {}
        tables = [*self._annotation_tables(members, ontology.namespaces[kept], notes)]
        for relation in self.relations:
            table = link_table(relation, keys.GO_TERM, ontology.ids, ontology.links[relation], kept)
            if len(table):
                tables.append(table)
            elif len(ontology.links[relation][0]):
                notes.append(f"no {relation} link between the kept terms")
        names = dict(zip(ontology.ids[kept].tolist(), ontology.names[kept].tolist(), strict=True))
        return tables, {keys.GO_TERM: names}

    def _annotation_tables(self, members: Membership, namespaces: NDArray, notes: list[str]) -> Sequence[EdgeTable]:
        tables = []
        for namespace in self.namespace:
            table = members.member_table(ANNOTATED[namespace], keys.GO_TERM, among=namespaces == namespace)
            if len(table):
                tables.append(table)
            else:
                notes.append(f"no annotation is to a {namespace}")
        return tables
