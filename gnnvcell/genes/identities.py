"""Which names one file ties to which gene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from numpy.typing import NDArray

# Best first: where a name is an approved symbol of one gene and an alias of another, it means the first.
KINDS = ("symbol", "previous", "ensembl", "ensp", "uniprot", "entrez", "alias")
ALIAS_KINDS = KINDS[1:]

Aliases = Mapping[str, Sequence[tuple[str, int]]]


@runtime_checkable
class NameSource(Protocol):
    """Anything with symbols and the other names of each: an ``Identities``, or a ``GeneVocab`` itself."""

    @property
    def symbols(self) -> Sequence[str] | NDArray:
        """(genes,) symbol of each gene."""
        ...

    @property
    def aliases(self) -> Aliases:
        """Kind of name to (name, row) pairs."""
        ...


@dataclass(frozen=True)
class Identities:
    """The names a source's own files tie together: one row per gene.

    Args:
        symbols: (genes,) preferred symbol of each gene.
        aliases: kind ("previous", "ensembl", "ensp", "uniprot", "entrez", "alias") to (name, row) pairs.
    """

    symbols: Sequence[str]
    aliases: dict[str, list[tuple[str, int]]]
