"""SetSource: what sources of gene sets (GO terms, pathways, GMT files) have in common, the two readings."""

from abc import ABC
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gnnvcell.errors import ConfigError, EmptyGraphError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.filters import TopK
from gnnvcell.graphs.projection import Measure
from gnnvcell.graphs.sources._membership import Membership
from gnnvcell.graphs.sources.base import Source, SourceContext

# A name of the file that is no gene of the graph may not take a gene's place among its top k: so many times k pairs
# are given to ``build``, and ``filters`` cuts to k once names are genes.
_SPARE = 2
_RELEASE = r"[._-]v?\d[\w.-]*"
_SIMILARITY_ONLY = ("measure", "top_k", "min_similarity")


class SetSource(Source, ABC):
    """A source that says which genes are in which sets.

    Args:
        reading: "heterogeneous": the sets are nodes, genes are linked to them and they to each other;
            "similarity": genes are linked to genes that share sets.
        measure: similarity of two genes, see ``gnnvcell.graphs.projection.similar_pairs``.
        top_k: similar genes per gene; None keeps every pair of at least ``min_similarity``.
        min_similarity: least similarity of a kept pair, from 0 to 1.
    """

    reading: Literal["heterogeneous", "similarity"] = "heterogeneous"
    measure: Measure = "tfidf"
    top_k: int | None = Field(default=20, ge=1)
    min_similarity: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _settings_fit_reading(self) -> Any:
        fields = type(self).model_fields
        changed = [name for name in _SIMILARITY_ONLY if getattr(self, name) != fields[name].default]
        if self.reading == "heterogeneous" and changed:
            raise ConfigError(
                f"{self.type}: {changed[0]!r} is a setting of the reading 'similarity'",
                found=f"reading = 'heterogeneous', {changed[0]} = {getattr(self, changed[0])!r}",
                remedy=f"set reading = 'similarity', or leave {changed[0]!r} out",
            )
        if self.reading == "similarity" and self.top_k is None and self.min_similarity == 0:
            raise ConfigError(
                f"{self.type}: top_k = None keeps every pair of genes that share anything",
                remedy="set top_k, or a min_similarity above 0",
            )
        return self

    def filters(self) -> Sequence[Callable[[EdgeTable], EdgeTable]]:
        """``TopK`` on the genes of the graph, in the reading "similarity"."""
        return (TopK(self.top_k),) if self.reading == "similarity" and self.top_k is not None else ()

    def _similarity(self, members: Membership, relation: str, total: int) -> EdgeTable:
        return members.similarity_table(
            relation,
            measure=self.measure,
            top_k=None if self.top_k is None else _SPARE * self.top_k,
            min_similarity=self.min_similarity,
            total=total,
        )


def sized(
    source: str, sizes: NDArray[np.int64], least: int, most: int | None, among: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """(sets,) which sets have from ``least`` to ``most`` genes.

    Raises:
        EmptyGraphError: none, or only sets without a gene.
    """
    candidates = np.ones(len(sizes), bool) if among is None else among
    kept = candidates & (sizes >= least) & (sizes <= (most if most is not None else len(sizes) + sizes.max(initial=0)))
    if not sizes[kept].any():
        held = sizes[candidates & (sizes > 0)]
        raise EmptyGraphError(
            f"{source}: no set has from {least} to {most if most is not None else 'any number of'} genes",
            found=f"{len(held):,} sets of {held.min()} to {held.max():,} genes" if len(held) else "no set with a gene",
            remedy="change the limits on genes per set, or the other filters of this source",
        )
    return kept


def require_order(source: str, least: int, most: int | None, names: tuple[str, str]) -> None:
    """Refuse a smallest size above the largest one.

    Raises:
        ConfigError: it is.
    """
    if most is not None and most < least:
        raise ConfigError(f"{source}: {names[1]} = {most} is below {names[0]} = {least}", remedy="swap or raise it")


def tagged(names: Sequence[str]) -> list[str]:
    """Patterns of official file names, each as it is and with a release tag before its ending.

    Args:
        names: regular expressions such as ``goa_human\\.gaf``.
    """
    patterns = []
    for name in names:
        stem, dot, ending = name.rpartition(r"\.")
        patterns += [name, rf"{stem}{_RELEASE}{dot}{ending}" if dot else rf"{name}{_RELEASE}"]
    return patterns


def find_tagged(context: SourceContext, names: Sequence[str], *, what: str, explicit: str | None = None) -> Path:
    """The file of the first official name that is there, with or without a release tag.

    Raises:
        FileFormatError: as ``SourceContext.find``; the error names the official names only.
    """
    path = context.find_optional(tagged(names), explicit=explicit)
    return context.find(names, what=what) if path is None else path
