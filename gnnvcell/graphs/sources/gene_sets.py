"""Gene sets of any GMT file (MSigDB, DSigDB, your own) to gene-set or gene-gene edges."""

import re
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from gnnvcell import keys
from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.genes.gmt import GmtSet, read_gmt
from gnnvcell.graphs.accessions import likely_kind
from gnnvcell.graphs.sources._membership import Membership
from gnnvcell.graphs.sources._set_source import SetSource, require_order, sized
from gnnvcell.graphs.sources.base import SOURCES, Reading, SourceContext

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@SOURCES.register("gene_sets")
class GeneSets(SetSource):
    """Gene sets of a GMT file.

    The reading "heterogeneous" gives ``(gene, <relation>, <node_type>)``, directed and of weight 1; "similarity" gives
    ``(gene, <relation>_similarity, gene)``. Genes may be symbols or accessions, ``build`` maps either.

    Args:
        file: path of the GMT file.
        node_type: node type of the sets, for example "gene_set" or "compound".
        relation: relation from gene to set.
        min_genes: least number of genes of a set.
        max_genes: largest number of genes; None for no limit.
    """

    type: ClassVar[str] = "gene_sets"
    licence: ClassVar[str] = "the licence of the file"

    file: str
    node_type: str = "gene_set"
    relation: str = "in_gene_set"
    min_genes: int = Field(default=1, ge=1)
    max_genes: int | None = Field(default=None, ge=1)

    @field_validator("node_type", "relation")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value) or value.startswith(keys.REVERSE_PREFIX):
            raise ConfigError(
                f"gene_sets: {value!r} cannot name a node type or relation",
                expected=f"lower-case letters, digits and _, not beginning with {keys.REVERSE_PREFIX}",
            )
        return value

    @model_validator(mode="after")
    def _settings_fit(self) -> Any:
        require_order("gene_sets", self.min_genes, self.max_genes, ("min_genes", "max_genes"))
        if self.node_type == keys.GENE:
            raise ConfigError("gene_sets: sets cannot be nodes of the type 'gene'", remedy="choose another node_type")
        return self

    def read(self, context: SourceContext) -> Reading:
        """Read the sets.

        Raises:
            FileFormatError: the file is missing, damaged, no GMT, or gives a set twice.
            EmptyGraphError: no set is within the limits of size.
        """
        path = context.find((), what="the GMT file", explicit=self.file)
        sets = read_gmt(path)
        _refuse_repeated(str(path), sets)
        genes = [gene for one in sets for gene in one.genes]
        codes = np.repeat(np.arange(len(sets)), [len(one.genes) for one in sets])
        members = Membership.of(genes, codes, np.array([one.name for one in sets]))
        kept = sized("gene_sets", members.sizes, self.min_genes, self.max_genes)
        chosen = members.only(kept)
        notes = [f"{int(kept.sum()):,} of {len(sets):,} sets kept by their number of genes"]
        if kind := likely_kind(members.genes.tolist()):
            notes.append(f"most names in {path.name} look like {kind}")
        if self.reading == "similarity":
            table = self._similarity(chosen, f"{self.relation}_similarity", len(members.genes))
            return Reading(tables=[table], files=[path], lines_read=len(sets), notes=notes)
        table = chosen.member_table(self.relation, self.node_type)
        labels = {one.name: _label(one) for one, keep in zip(sets, kept, strict=True) if keep}
        return Reading([table], [path], lines_read=len(sets), notes=notes, labels={self.node_type: labels})


def _label(one: GmtSet) -> str:
    """The description, unless it is a link or empty."""
    return one.name if not one.description or "://" in one.description else one.description


def _refuse_repeated(path: str, sets: list[GmtSet]) -> None:
    lines: dict[str, int] = {}
    for one in sets:
        if one.name in lines:
            raise FileFormatError(
                f"{path} gives the set {one.name!r} twice",
                found=f"lines {lines[one.name]} and {one.line}",
                remedy="rename or remove one of them",
            )
        lines[one.name] = one.line
