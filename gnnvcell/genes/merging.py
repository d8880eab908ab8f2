"""Joining the genes of several sources, which may use symbols of different years.

Two symbols become one gene when

1. the table of renamings, or a source's own list of previous symbols, says that one was renamed to the other;
2. two sources give them the same Ensembl gene, Ensembl protein or Entrez id, and that id is of one gene in each; or
3. one of them is an accession that a source lists as an id of the other gene alone.

An alias never joins genes. Neither does a previous symbol that several genes claim, nor anything that would join two
genes which a source keeps apart: for the table of renamings such a source must give them different ids, or know
previous symbols itself; for everything else it is enough that it lists both. A source that lists the old and the new
symbol of a renaming in the table is not trusted to keep genes apart, for it mixes years. The gene takes the newest
symbol that any source uses; all the others remain as previous symbols.
"""

from collections.abc import Mapping, Sequence

from gnnvcell.genes.identities import Identities, NameSource
from gnnvcell.genes.renamings import families
from gnnvcell.genes.spelling import accession_kind
from gnnvcell.genes.table import Entry, check_entries, check_symbols

_GENE_IDS = ("ensembl", "entrez", "ensp")


class _Source:
    """One source's symbols and names, and whether it is fit to say that two symbols are two genes."""

    def __init__(self, names: NameSource, table: Mapping[str, str], species: int) -> None:
        self.symbols = check_symbols(names.symbols)
        self.entries: list[Entry] = check_entries(names.aliases, self.symbols, species)
        self.rows = {symbol: row for row, symbol in enumerate(self.symbols)}
        self.knows_previous = any(kind == "previous" for kind, _, _ in self.entries)
        self.mixes_years = any(old in self.rows and new in self.rows for old, new in table.items())
        renamed_to = set(table.values())
        self.modernity = sum((s in renamed_to) - (s in table) for s in self.symbols)
        self._ids: dict[tuple[str, int], set[str]] = {}
        for kind, name, row in self.entries:
            if kind in _GENE_IDS:
                self._ids.setdefault((kind, row), set()).add(name)

    def keeps_apart(self, one: str, other: str, *, by_table: bool) -> bool:
        """Whether this source is evidence that two symbols are two genes."""
        if one not in self.rows or other not in self.rows:
            return False
        if self.knows_previous or (not by_table and not self.mixes_years):
            return True
        for kind in _GENE_IDS:
            mine, theirs = (self._ids.get((kind, self.rows[symbol]), set()) for symbol in (one, other))
            if mine and theirs and not mine & theirs:
                return True
        return False


class _Genes:
    """Symbols joined into genes (union-find), with the direction of each renaming."""

    def __init__(self, sources: Sequence[_Source]) -> None:
        self.sources = sources
        self.order: dict[str, int] = {}
        for source in sources:
            for symbol in source.symbols:
                self.order.setdefault(symbol, len(self.order))
        self.successor: dict[str, str] = {}
        self.accessions: set[str] = set()
        self._parent: dict[str, str] = {}
        self._members: dict[str, list[str]] = {}

    def find(self, symbol: str) -> str:
        """The representative of a symbol's gene."""
        root = symbol
        while self._parent.get(root, root) != root:
            root = self._parent[root]
        while self._parent.get(symbol, symbol) != root:
            self._parent[symbol], symbol = root, self._parent[symbol]
        return root

    def members(self, symbol: str) -> list[str]:
        """All symbols of a symbol's gene."""
        return self._members.get(self.find(symbol), [symbol])

    def join(self, old: str, new: str, *, by_table: bool = False) -> bool:
        """Make two symbols one gene, the second the newer, unless a source keeps them apart. Whether it was done."""
        a, b = self.find(old), self.find(new)
        if a == b:
            return False
        first, second = self.members(old), self.members(new)
        pairs = [(x, y) for x in first if x in self.order for y in second if y in self.order]
        if any(source.keeps_apart(x, y, by_table=by_table) for x, y in pairs for source in self.sources):
            return False
        self._parent[a] = b
        self._members[b] = [*second, *first]
        self.successor.setdefault(old, new)
        return True

    def newest(self, symbol: str) -> str:
        """The newest symbol of a gene that a source uses: where the paths of all its used symbols meet."""
        used = sorted((s for s in self.members(symbol) if s in self.order), key=self.order.__getitem__)
        paths = [self._path(s) for s in used]
        return next((s for s in paths[0] if all(s in path for path in paths)), used[0])

    def _path(self, symbol: str) -> list[str]:
        path = [symbol]
        while (following := self.successor.get(path[-1])) is not None and following not in path:
            path.append(following)
        return path


def merge_identities(sources: Sequence[NameSource], table: Mapping[str, str], *, species: int) -> Identities:
    """The union of several sources' genes, each gene once, in order of first appearance.

    Args:
        sources: what each source calls its genes.
        table: old symbol to its successor, one step each; empty for none.
        species: NCBI taxon.

    Raises:
        GeneError: a source repeats a symbol or has an alias that points nowhere.
    """
    checked = [_Source(source, table, species) for source in sources]
    genes = _Genes(checked)
    family_of = families(table)
    table = {old: new for old, new in table.items() if any(name in genes.order for name in family_of[old])}
    for old, new in table.items():
        genes.join(old, new, by_table=True)
    _join_previous(genes, table)
    _join_ids(genes)
    _join_accessions(genes)
    return _collect(genes, table)


def _join_previous(genes: _Genes, table: Mapping[str, str]) -> None:
    claims: dict[str, list[str]] = {}
    for source in genes.sources:
        for kind, name, row in source.entries:
            if kind == "previous" and name in genes.order:
                claims.setdefault(name, []).append(source.symbols[row])
    for old, new in claims.items():
        # The table of renamings knows better than a source what became of a symbol.
        if old not in table and len({genes.find(symbol) for symbol in new}) == 1:
            genes.join(old, new[0])


def _join_ids(genes: _Genes) -> None:
    if len(genes.sources) < 2:
        return
    owners: dict[tuple[str, str], dict[int, set[str]]] = {}
    for number, source in enumerate(genes.sources):
        for kind, name, row in source.entries:
            if kind in _GENE_IDS:
                owners.setdefault((kind, name), {}).setdefault(number, set()).add(source.symbols[row])
    for by_source in owners.values():
        if len(by_source) < 2 or any(len(symbols) > 1 for symbols in by_source.values()):
            continue
        newest_last = sorted(by_source, key=lambda number: (genes.sources[number].modernity, -number))
        symbols = [next(iter(by_source[number])) for number in newest_last]
        for symbol in symbols[:-1]:
            genes.join(symbol, symbols[-1])


def _join_accessions(genes: _Genes) -> None:
    """A source that has only an accession for a gene meets the source that knows whose accession it is."""
    wanted = {symbol: kind for symbol in genes.order if (kind := accession_kind(symbol))}
    owners: dict[str, set[str]] = {}
    for source in genes.sources:
        for kind, name, row in source.entries:
            if wanted.get(name) == kind and source.symbols[row] not in wanted:
                owners.setdefault(name, set()).add(genes.find(source.symbols[row]))
    for accession, found in owners.items():
        if len(found) == 1 and genes.join(accession, next(iter(found))):
            genes.accessions.add(accession)


def _collect(genes: _Genes, table: Mapping[str, str]) -> Identities:
    newest = {symbol: genes.newest(symbol) for symbol in genes.order}
    rows = {symbol: row for row, symbol in enumerate(dict.fromkeys(newest.values()))}
    # An accession that was joined is among its gene's ids already.
    found: dict[Entry, None] = {
        ("previous", symbol, rows[gene]): None for symbol, gene in newest.items() if symbol not in genes.accessions
    }
    for source in genes.sources:
        row_of = [rows[newest[symbol]] for symbol in source.symbols]
        found.update(dict.fromkeys((kind, name, row_of[row]) for kind, name, row in source.entries))
    found.update(dict.fromkeys(_table_names(genes, table, newest, rows)))
    aliases: dict[str, list[tuple[str, int]]] = {}
    symbols = list(rows)
    for kind, name, row in found:
        if name != symbols[row]:
            aliases.setdefault(kind, []).append((name, row))
    return Identities(symbols, aliases)


def _table_names(
    genes: _Genes, table: Mapping[str, str], newest: Mapping[str, str], rows: Mapping[str, int]
) -> list[Entry]:
    """Names of the table that no source uses, for the genes they were joined with."""
    found: list[Entry] = []
    for name in dict.fromkeys([*table, *table.values()]):
        if name in genes.order:
            continue
        used = next((symbol for symbol in genes.members(name) if symbol in genes.order), None)
        if used is not None:
            found.append(("previous", name, rows[newest[used]]))
    return found
