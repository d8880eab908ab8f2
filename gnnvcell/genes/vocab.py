"""GeneVocab: the list of genes that everything indexes into, and all the names each of them has."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gnnvcell.errors import GeneError
from gnnvcell.genes import spelling, storage
from gnnvcell.genes.alignment import Alignment
from gnnvcell.genes.hgnc import read_hgnc
from gnnvcell.genes.identities import ALIAS_KINDS, KINDS, Aliases, NameSource
from gnnvcell.genes.merging import merge_identities
from gnnvcell.genes.renamings import linked_names, load_renamings
from gnnvcell.genes.spelling import HUMAN
from gnnvcell.genes.string_names import read_string
from gnnvcell.genes.table import AMBIGUOUS, WIDTH, build_table, check_entries, check_symbols, find_codes

_MAX_HINTS = 1000

Names = Iterable[str] | NDArray


class GeneVocab:
    """Genes in a fixed order, found by symbol, previous symbol, alias, Ensembl, ENSP, UniProt or Entrez id.

    A name means the gene that has it as symbol; failing that the one that had it as symbol before; failing that the
    one with that id, or that alias. A name that means several genes at the best of these levels is ambiguous and is
    never guessed. Matching is exact but for white space, the species' taxon prefix ("9606."), versions of Ensembl ids
    and isoforms of UniProt accessions; case matters, because it tells species apart.

    Args:
        symbols: (genes,) unique symbols; the position is the gene's index.
        aliases: kind ("previous", "ensembl", "ensp", "uniprot", "entrez", "alias") to (name, row) pairs.
        species: NCBI taxon.

    Raises:
        GeneError: symbols repeat or are empty, or an alias has an unknown kind or points nowhere.

    Example:
        >>> vocab = GeneVocab(["TP53", "AARS1"], {"previous": [("AARS", 1)], "ensembl": [("ENSG00000141510", 0)]})
        >>> vocab.lookup(["AARS", "ENSG00000141510.19", "Trp53"]).tolist()
        [1, 0, -1]
    """

    def __init__(self, symbols: Names, aliases: Aliases | None = None, *, species: int = HUMAN) -> None:
        names = check_symbols(symbols)
        self._fill(names, check_entries(aliases or {}, names, species), (), species)

    def _fill(
        self, symbols: list[str], entries: list[tuple[str, str, int]], reserved: Iterable[str], species: int
    ) -> None:
        self.species = int(species)
        self.symbols: NDArray = np.array(symbols, dtype=str)
        self.symbols.flags.writeable = False
        self._entries = entries  # distinct; in canonical order only in _content
        self._reserved = sorted(reserved)

    @cached_property
    def _table(self) -> dict[str, int]:
        # On first use: a stored vocabulary may be loaded for its symbols alone.
        return build_table(self.symbols.tolist(), self._entries, self._reserved)

    @classmethod
    def from_symbols(cls, symbols: Names, *, renamings: bool = True, species: int = HUMAN) -> "GeneVocab":
        """A vocabulary of symbols in the order given; human ones are also found by the names HGNC gave them over time.

        Args:
            symbols: (genes,) unique symbols.
            renamings: whether to add the shipped table's old and new names of each gene.
            species: NCBI taxon.

        Raises:
            GeneError: symbols repeat or are empty.
        """
        names = check_symbols(symbols)
        linked = linked_names(names, load_renamings()) if renamings and species == HUMAN else []
        return cls(names, {"previous": linked}, species=species)

    @classmethod
    def from_hgnc(cls, path: str | Path) -> "GeneVocab":
        """All approved human genes of HGNC's complete set, in the order of the file.

        Raises:
            FileFormatError: the file is missing, damaged or another.
        """
        found = read_hgnc(path)
        return cls(found.symbols, found.aliases)

    @classmethod
    def from_string(
        cls, info_path: str | Path, aliases_path: str | Path | None = None, *, species: int | None = None
    ) -> "GeneVocab":
        """The genes of a STRING release, of any species; human ones with the shipped renamings.

        Args:
            info_path: ``<taxon>.protein.info.v*.txt[.gz]``.
            aliases_path: ``<taxon>.protein.aliases.v*.txt[.gz]``, or None.
            species: NCBI taxon that the file must have; None takes the file's own.

        Raises:
            FileFormatError: a file is missing, damaged or another.
            GeneError: another species.
        """
        found, taxon = read_string(info_path, aliases_path, species=species)
        return cls.from_identities([found], species=taxon)

    @classmethod
    def from_identities(
        cls, identities: Sequence[NameSource], renamings: bool = True, *, species: int = HUMAN
    ) -> "GeneVocab":
        """The union of several sources' genes, each gene once under its newest symbol, in order of first appearance.

        How genes are joined is described in ``gnnvcell.genes.merging``.

        Args:
            identities: what each source calls its genes.
            renamings: whether to use the shipped table of renamings (human only).
            species: NCBI taxon.

        Raises:
            GeneError: a source repeats a symbol or has an alias that points nowhere.
        """
        table = load_renamings() if renamings and species == HUMAN else {}
        merged = merge_identities(identities, table, species=species)
        return cls(merged.symbols, merged.aliases, species=species)

    @property
    def aliases(self) -> dict[str, list[tuple[str, int]]]:
        """Kind of name to (name, row) pairs, without the symbols."""
        found: dict[str, list[tuple[str, int]]] = {}
        for kind, name, row in self._entries:
            found.setdefault(kind, []).append((name, row))
        return found

    def __len__(self) -> int:
        return len(self.symbols)

    def __repr__(self) -> str:
        kinds = {kind: len(pairs) for kind, pairs in self.aliases.items()}
        names = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "no other"
        return f"GeneVocab({len(self):,} genes of {spelling.species_name(self.species)}; {names} names)"

    def __contains__(self, name: object) -> bool:
        return self._code(name) >= 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GeneVocab) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((self.species, self.symbols.tobytes()))

    def _content(self) -> storage.Content:
        return storage.Content(self.symbols.tolist(), sorted(self._entries), self._reserved, self.species)

    def _code(self, name: object) -> int:
        return find_codes(_texts([name]), self._table, self.species)[0]

    def _codes(self, names: Sequence[str]) -> NDArray[np.int64]:
        return np.array(find_codes(names, self._table, self.species), dtype=np.int64)

    def index(self, name: object) -> int:
        """The index of one gene.

        Raises:
            GeneError: the name is unknown, ambiguous or of another species, with the nearest symbols.
        """
        code = self._code(name)
        if code >= 0:
            return code // WIDTH
        reason, hint = self._explain(_text(name), code)
        raise GeneError(
            f"{name!r} is {reason.replace('_', ' ')}",
            expected=f"a gene of the vocabulary ({len(self):,} of {spelling.species_name(self.species)})",
            found=hint,
            remedy="use another name of the gene" if reason == "ambiguous" else self._nearest(_text(name)),
        )

    def lookup(self, names: ArrayLike | Iterable[object]) -> NDArray[np.int64]:
        """(names,) int64 index of each name, -1 where it is unknown, ambiguous or of another species.

        Raises:
            GeneError: a single text instead of a list of names.
        """
        codes = self._codes(_texts(names))
        return np.where(codes >= 0, codes // WIDTH, -1)

    def align(self, names: ArrayLike | Iterable[object], *, source: str = "") -> Alignment:
        """The index of each name, how it was matched or why it was not.

        Args:
            names: any names; missing ones (None, NaN) are reported as unknown.
            source: where the names come from, for the report.

        Raises:
            GeneError: a single text instead of a list of names.
        """
        listed = _texts(names)
        codes = self._codes(listed)
        kinds = np.array(KINDS)
        reasons = np.where(codes >= 0, kinds[codes % WIDTH * (codes >= 0)], "unknown").astype("<U13")
        hints: dict[str, str] = {}
        explained: dict[str, str] = {}
        for position in np.flatnonzero(codes < 0).tolist():
            name = listed[position]
            if name not in explained:
                explained[name], hint = self._explain(name, int(codes[position]))
                if hint and len(hints) < _MAX_HINTS:
                    hints[name] = hint
            reasons[position] = explained[name]
        index = np.where(codes >= 0, codes // WIDTH, -1)
        symbols = np.where(index >= 0, self.symbols[index], "") if len(self) else np.full(len(listed), "")
        return Alignment(np.array(listed, dtype=str), index, reasons, symbols, hints, source, self.species)

    def _explain(self, name: str, code: int) -> tuple[str, str]:
        """Why a name does not match, and what is known about it."""
        if code == AMBIGUOUS:
            return "ambiguous", f"means {self._meanings(name)}"
        name = name.strip()
        if not name:
            return "unknown", "is an empty or missing name"
        if why := spelling.foreign(name, self.species, self._table.__contains__):
            return "wrong_species", why
        if hint := spelling.spreadsheet_damage(name):
            return "unknown", hint
        near = self._by_case.get(name.casefold())
        return "unknown", f"differs from {near} in case" if near else ""

    @cached_property
    def _by_case(self) -> dict[str, str]:
        return {symbol.casefold(): symbol for symbol in self.symbols.tolist()}

    def _meanings(self, name: str) -> str:
        spelled = {kind: spelling.stored(kind, name.strip(), self.species) for kind in ALIAS_KINDS}
        found = [(KINDS.index(kind), row) for kind, alias, row in self._entries if alias == spelled[kind]]
        best = [str(self.symbols[row]) for rank, row in found if rank == min(found)[0]]
        return " or ".join(sorted(best)) if len(best) > 1 else "several genes, some of them outside this vocabulary"

    def _nearest(self, name: str) -> str:
        same_start = [symbol for symbol in self.symbols.tolist() if symbol[:1].upper() == name[:1].upper()]
        near = difflib.get_close_matches(name, same_start, n=3)
        return f"did you mean {' or '.join(map(repr, near))}?" if near else "check the name and the species"

    def subset(self, genes: ArrayLike) -> "GeneVocab":
        """The vocabulary of some genes, in the order given.

        Args:
            genes: indices, a bool mask, or names.

        Raises:
            GeneError: a gene is not in the vocabulary, or is there twice.
        """
        rows = self._rows(genes)
        position = {row: new for new, row in enumerate(rows)}
        entries, reserved = [], set(self._reserved)
        for kind, name, row in self._entries:
            if row not in position:
                continue
            # Dropping a gene must not turn a name that meant it, or was ambiguous, into a name of a gene that stays.
            owner = self._table[name]
            if owner == AMBIGUOUS:
                reserved.add(name)
            if owner == AMBIGUOUS or owner // WIDTH in position:
                entries.append((kind, name, position[row]))
        symbols = [str(self.symbols[row]) for row in rows]
        still = build_table(symbols, entries, self._reserved)
        reserved = {name for name in reserved if name in self._reserved or still[name] != AMBIGUOUS}
        subset = object.__new__(GeneVocab)
        subset._fill(symbols, entries, reserved, self.species)
        return subset

    def _rows(self, genes: ArrayLike) -> list[int]:
        given = np.asarray(_listed(genes))
        if given.size == 0:
            return []
        if given.dtype == bool:
            if len(given) != len(self):
                raise GeneError("a mask of genes has another length", expected=str(len(self)), found=str(len(given)))
            return np.flatnonzero(given).tolist()
        if not np.issubdtype(given.dtype, np.integer):
            rows = [self.index(name) for name in given.tolist()]
        else:
            rows = given.tolist()
            outside = [row for row in rows if not 0 <= row < len(self)]
            if outside:
                raise GeneError(f"there is no gene {outside[0]}", expected=f"0 to {len(self) - 1}")
        if len(set(rows)) != len(rows):
            twice = next(row for row in rows if rows.count(row) > 1)
            raise GeneError(f"the gene {self.symbols[twice]} is there twice", remedy="name each gene once")
        return rows

    def to_arrays(self) -> dict[str, NDArray]:
        """The content as plain arrays, for any array store: names are UTF-8 bytes, one name a line."""
        return storage.to_arrays(self._content())

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> "GeneVocab":
        """The inverse of ``to_arrays``.

        Raises:
            GeneError: an array is missing, or they do not fit together.
        """
        content = storage.from_arrays(arrays)
        vocab = object.__new__(cls)
        vocab._fill(content.symbols, content.entries, content.reserved, content.species)
        return vocab

    def digest(self) -> str:
        """Hex SHA-256 of the content, equal for equal vocabularies."""
        return storage.digest(self._content())


def _listed(names: Any) -> list[Any]:
    if isinstance(names, str | bytes):
        raise GeneError(f"{names!r} is one name, not a list", remedy="put it in a list, or use index(name)")
    return names.tolist() if hasattr(names, "tolist") else list(names)


def _texts(names: Any) -> list[str]:
    return [name if isinstance(name, str) else _text(name) for name in _listed(names)]


def _text(name: object) -> str:
    missing = name is None or (isinstance(name, float) and name != name)
    if isinstance(name, float) and name.is_integer():
        return str(int(name))
    return "" if missing else str(name)
