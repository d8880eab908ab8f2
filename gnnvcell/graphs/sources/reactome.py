"""Reactome: pathway members and the pathway hierarchy to gene-pathway, pathway-pathway or gene-gene edges."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from gnnvcell import keys
from gnnvcell.errors import EmptyGraphError, FileFormatError
from gnnvcell.graphs.sources._hierarchy import Links, ancestors, require_acyclic
from gnnvcell.graphs.sources._membership import Membership, link_table
from gnnvcell.graphs.sources._reactome_files import (
    Kind,
    PathwayMembers,
    read_members,
    read_pathway_names,
    read_pathway_relations,
)
from gnnvcell.graphs.sources._reactome_species import ReactomeSpecies, find_species
from gnnvcell.graphs.sources._set_source import SetSource, find_tagged, require_order, sized, tagged
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext

_STEMS: dict[Kind, str] = {
    "symbol": "ReactomePathways",
    "ensembl": "Ensembl2Reactome",
    "uniprot": "UniProt2Reactome",
    "entrez": "NCBI2Reactome",
}
_HIERARCHY = (r"ReactomePathwaysRelation\.txt",)
_VARIANTS = ("", "_All_Levels", "_PE_Pathway", "_PE_All_Levels")

MEMBER_OF = "member_of"
SUBPATHWAY_OF = "subpathway_of"


@SOURCES.register("reactome")
class Reactome(SetSource):
    """Reactome pathways.

    The reading "heterogeneous" gives ``(gene, member_of, pathway)`` and ``(pathway, subpathway_of, pathway)`` from
    child to parent, both directed and of weight 1; "similarity" gives ``(gene, reactome_similarity, gene)``.

    Files in ``source_dir``: one of ``ReactomePathways.gmt``, ``Ensembl2Reactome.txt``, ``UniProt2Reactome.txt`` and
    ``NCBI2Reactome.txt`` (or their ``_All_Levels``, ``_PE_Pathway`` and ``_PE_All_Levels`` variants), with
    ``ReactomePathwaysRelation.txt`` and, if there, ``ReactomePathways.txt`` for names; each also with a release tag and
    ``.gz``. Names are handed on as they are, ``build`` maps accessions as well as symbols; a file whose names are
    mostly of another kind than it should have is noted.

    Args:
        identifiers: which file to read: "symbol" (GMT), "ensembl", "uniprot", "entrez", or "auto" for the first of them
            that is there.
        species: "homo_sapiens", "Homo sapiens", "human", "HSA" or 9606; None for the species of the graph.
        close_ancestors: a gene of a pathway is also in the pathways above it.
        min_pathway_genes: least number of genes of a pathway, counted with those of its sub-pathways.
        max_pathway_genes: largest number of genes, counted likewise; None for no limit.
        members: path of the file of members, where it is not found by its name.
        relations: path of the file of parent and child pathways, where it is not found by its name.
    """

    type: ClassVar[str] = "reactome"
    licence: ClassVar[str] = "CC0 1.0"
    citation: ClassVar[str] = "Milacic et al., Nucleic Acids Research 2024, doi:10.1093/nar/gkad1025"

    identifiers: Literal["auto", "symbol", "ensembl", "uniprot", "entrez"] = "auto"
    species: str | int | None = None
    close_ancestors: bool = True
    min_pathway_genes: int = Field(default=1, ge=0)
    max_pathway_genes: int | None = Field(default=None, ge=1)
    members: str | None = None
    relations: str | None = None

    @model_validator(mode="after")
    def _settings_fit(self) -> Any:
        require_order(
            "reactome", self.min_pathway_genes, self.max_pathway_genes, ("min_pathway_genes", "max_pathway_genes")
        )
        if self.species is not None:
            find_species(self.species)
        return self

    def read(self, context: SourceContext) -> Reading:
        """Read members and hierarchy.

        Raises:
            FileFormatError: a file is missing, damaged, of another format or species, or the hierarchy has a cycle.
            EmptyGraphError: no pathway is left within the limits of size.
            ConfigError: Reactome does not have the species.
        """
        species = find_species(context.species if self.species is None else self.species)
        path, kind = self._member_file(context)
        context.report(f"reading {path.name}")
        found = read_members(path, species, kind)
        if not len(found.genes):
            raise EmptyGraphError(f"reactome: no pathway of {species.name} in {path.name} has a gene")
        notes = list(found.notes)
        relations_path, pairs, lines = self._hierarchy(context, species, found)
        names_path = context.find_optional(tagged([r"ReactomePathways\.txt"]))
        readable = {**found.names, **(read_pathway_names(names_path, species) if names_path else {})}
        tables, kept = self._tables(found, pairs, relations_path, notes)
        labels = {keys.PATHWAY: {str(name): readable.get(str(name), str(name)) for name in kept}}
        return Reading(
            tables=tables,
            files=[one for one in (path, relations_path, names_path) if one is not None],
            lines_read=found.lines_read + lines,
            notes=notes,
            labels=labels if self.reading == "heterogeneous" else {},
        )

    def _member_file(self, context: SourceContext) -> tuple[Path, Kind | None]:
        kinds: tuple[Kind, ...] = tuple(_STEMS) if self.identifiers == "auto" else (self.identifiers,)
        if self.members is not None:
            path = context.find((), what="Reactome's pathway members", explicit=self.members)
            return path, None if self.identifiers == "auto" else kinds[0]
        for kind in kinds:
            if path := context.find_optional(tagged(_names(kind))):
                return path, kind
        official = [_names(kind)[0] for kind in kinds]
        return context.find(
            official, what=f"the file of Reactome's pathway members (identifiers: {self.identifiers})"
        ), None

    def _hierarchy(
        self, context: SourceContext, species: ReactomeSpecies, found: PathwayMembers
    ) -> tuple[Path | None, list[tuple[str, str]], int]:
        if not found.stable:
            if self.close_ancestors or self.relations:
                raise FileFormatError(
                    "the pathways have no stable identifiers, so that their hierarchy cannot be joined to them",
                    expected="R-HSA-... beside each name",
                    remedy="give the official GMT file, or set close_ancestors = false",
                )
            return None, [], 0
        if self.close_ancestors:
            path = find_tagged(context, _HIERARCHY, what="Reactome's pathway hierarchy", explicit=self.relations)
        else:
            path = context.find_optional(tagged(_HIERARCHY), explicit=self.relations)
        if path is None:
            return None, [], 0
        context.report(f"reading {path.name}")
        return path, *read_pathway_relations(path, species)

    def _tables(
        self, found: PathwayMembers, pairs: list[tuple[str, str]], relations_path: Path | None, notes: list[str]
    ) -> tuple[list, np.ndarray]:
        above = [name for pair in pairs for name in pair]
        names = np.array(list(dict.fromkeys([*found.pathways, *above])), dtype=str)
        place = {name: code for code, name in enumerate(names.tolist())}
        links: Links = (
            np.array([place[child] for child, _ in pairs], dtype=np.int64),
            np.array([place[parent] for _, parent in pairs], dtype=np.int64),
        )
        require_acyclic(names, links, relations_path.name if relations_path else "")
        direct = Membership.of(found.genes, np.array([place[name] for name in found.pathways], dtype=np.int64), names)
        closed = direct.closed(ancestors(len(names), links))
        kept = sized("reactome", closed.sizes, self.min_pathway_genes, self.max_pathway_genes)
        members = (closed if self.close_ancestors else direct).only(kept)
        notes.append(f"{int(kept.sum()):,} of {len(names):,} pathways kept by their number of genes")
        if relations_path is not None:
            alone = len(set(found.pathways) - set(above))
            if alone:
                notes.append(f"{alone:,} pathways with members are not in {relations_path.name}")
        if self.reading == "similarity":
            return [self._similarity(members, "reactome_similarity", len(members.genes))], names[kept]
        tables = [members.member_table(MEMBER_OF, keys.PATHWAY)]
        above_table = link_table(SUBPATHWAY_OF, keys.PATHWAY, names, links, kept)
        if len(above_table):
            tables.append(above_table)
        else:
            notes.append(f"no {SUBPATHWAY_OF} link between the kept pathways")
        return tables, names[kept]


def _names(kind: Kind) -> list[str]:
    if kind == "symbol":
        return [r"ReactomePathways\.gmt"]
    return [rf"{_STEMS[kind]}{variant}\.txt" for variant in _VARIANTS]
