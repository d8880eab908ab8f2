"""Graphs in the older array layout: a folder per graph with gene names and an adjacency matrix or a parquet."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gnnvcell.errors import EmptyGraphError, FileFormatError, MissingFileError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.sources._edge_arrays import entries, open_array, open_names, read_npz, require_shape, sparse_of
from gnnvcell.graphs.sources._edge_columns import AUTO, NONE, RawEdges, choose_columns, make_table, tidy
from gnnvcell.graphs.sources._edge_files import Columns, read_parquet
from gnnvcell.graphs.sources.base import SOURCES, Reading, Source, SourceContext
from gnnvcell.graphs.sources.table import Name
from gnnvcell.keys import GENE

_PARQUET = r"v\d+(\.\d+)*\.parquet"


@SOURCES.register("arrays")
class Arrays(Source):
    """A gene-gene graph in the layout ``string/string_gene_names.npy`` with ``string/v11.5.parquet``, or
    ``go/go_gene_names.npy`` with ``go/go_graph_adjacency_matrix.npy``; ``reactome`` likewise.

    The edges beside the names are looked for as ``<layout>_graph_adjacency_matrix.npz`` (of
    ``scipy.sparse.save_npz``), then ``.npy`` (dense, memory-mapped, read in blocks), then ``v<release>.parquet``. Its
    two columns hold names, or indices into the gene names. Genes with an empty name are no genes: their edges are
    dropped and counted. Nothing is unpickled; a file of Python objects is refused with the line that converts it.

    Args:
        layout: which graph: the folder's name and what the file names begin with.
        relation: the relation's name in the graph; the layout's without it.
        folder: where the files are, absolute or relative to ``source_dir``; without it ``source_dir`` or one folder
            below.
        names_file, edges_file: files to use instead of the ones found by name.
        threshold: smallest weight kept; zeros are never edges.
        src, dst, weight: columns of a parquet file, as in the source "table".
        directed: whether an entry (u, v) says nothing about (v, u).
    """

    type: ClassVar[str] = "arrays"
    licence: ClassVar[str] = "that of the files' origin"

    layout: Literal["string", "go", "reactome"]
    relation: Name | None = None
    folder: Path | None = None
    names_file: Path | None = None
    edges_file: Path | None = None
    threshold: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    src: str | None = None
    dst: str | None = None
    weight: str = AUTO
    directed: bool = False

    def read(self, context: SourceContext) -> Reading:
        """Read names and edges.

        Raises:
            FileFormatError: a file is missing, cut short or needs unpickling; names and matrix do not fit; weights are
                NaN, infinite or negative.
            EmptyGraphError: no edge reaches the threshold.
        """
        where = self._context(context)
        names_path = where.find(
            [rf"{self.layout}_gene_names\.npy"], what=f"the gene names of {self.layout}", explicit=self.names_file
        )
        names = open_names(names_path)
        edges_path = self._find_edges(where, names_path)
        etype = (GENE, self.relation or self.layout, GENE)
        read = self._read_parquet if edges_path.suffix in (".parquet", ".pq") else self._read_matrix
        table, rows, notes = read(edges_path, names, etype)
        if len(table) == 0:
            raise EmptyGraphError(
                f"{edges_path} has no edge >= {self.threshold:g} between two different genes",
                found=f"{rows:,} entries or rows",
                remedy="lower threshold, or check the file",
            )
        return Reading([table], [names_path, edges_path], rows, notes=notes)

    def _context(self, context: SourceContext) -> SourceContext:
        if self.folder is None:
            return context
        folder = self.folder.expanduser()
        if not folder.is_absolute() and context.source_dir is not None:
            folder = context.source_dir / folder
        return replace(context, source_dir=folder)

    def _find_edges(self, context: SourceContext, names_path: Path) -> Path:
        beside = replace(context, source_dir=names_path.parent)
        stem = rf"{self.layout}_graph_adjacency_matrix"
        if self.edges_file is not None:
            return context.find([], what="the edges", explicit=self.edges_file)
        found = beside.find_optional([rf"{stem}\.npz", rf"{stem}\.npy", _PARQUET])
        if found is None:
            raise MissingFileError(
                f"there are no edges of {self.layout} beside {names_path}",
                expected=f"{stem}.npz, {stem}.npy or v<release>.parquet",
                found=", ".join(sorted(path.name for path in names_path.parent.iterdir())[:5]),
                remedy="name the file with edges_file",
            )
        return found

    def _read_matrix(self, path: Path, names: NDArray, etype: tuple[str, str, str]) -> tuple[EdgeTable, int, list[str]]:
        sparse = path.suffix == ".npz"
        matrix = sparse_of(read_npz(path), str(path)) if sparse else open_array(path, "adjacency matrix")
        require_shape(matrix, (len(names), len(names)), str(path))
        src, dst, weight = entries(matrix, self.threshold, str(path))
        genes, code = np.unique(names, return_inverse=True)
        table = EdgeTable(etype, code[src], code[dst], weight, genes, genes, directed=self.directed)
        repeated = np.count_nonzero(names != "") - np.count_nonzero(genes != "")
        notes = [f"{repeated:,} gene names stand there more than once"] if repeated else []
        notes += self._asymmetry(table)
        named = (names[src] != "") & (names[dst] != "")
        table, more = tidy(table.take(named))
        return table, len(src), [*notes, *_nameless(int((~named).sum())), *more]

    def _asymmetry(self, table: EdgeTable) -> list[str]:
        if self.directed:
            return []
        size = max(len(table.src_names), 1)
        keys = table.src * size + table.dst
        order = np.argsort(keys, kind="stable")
        mirrored = table.dst * size + table.src
        place = np.minimum(np.searchsorted(keys[order], mirrored), max(len(keys) - 1, 0))
        partner = order[place] if len(keys) else place
        even = (keys[partner] == mirrored) & (table.weight[partner] == table.weight)
        if even.all():
            return []
        return [f"{int((~even).sum()):,} entries without an equal one across the diagonal; the larger weight kept"]

    def _read_parquet(
        self, path: Path, names: NDArray, etype: tuple[str, str, str]
    ) -> tuple[EdgeTable, int, list[str]]:
        columns = read_parquet(path)
        chosen = choose_columns(
            columns.names, src=self.src, dst=self.dst, weight=self.weight, sign=NONE, where=str(path)
        )
        ends = [_named(columns, name, names) for name in (chosen.src, chosen.dst)]
        weight = np.ones(len(columns)) if chosen.weight is None else columns.get(chosen.weight)
        rows = np.flatnonzero((ends[0] != "") & (ends[1] != ""))
        raw = RawEdges(ends[0][rows], ends[1][rows], weight[rows], None, lambda row: columns.row_name(int(rows[row])))
        table, notes = make_table(etype, self.directed, raw)
        notes += _nameless(len(columns) - len(rows))
        strange = len(set(table.src_names.tolist()) - set(names.tolist()))
        if strange:
            notes.append(f"{strange:,} genes of the edges are not among the gene names; kept")
        keep = (table.weight >= self.threshold) & (table.weight > 0)
        return table.take(keep), len(columns), [chosen.describe(), *notes]


def _nameless(count: int) -> list[str]:
    return [f"{count:,} edges of genes with an empty name; dropped"] if count else []


def _named(columns: Columns, name: str, names: NDArray) -> NDArray:
    """The names in a column that holds names, or indices into ``names``."""
    values = columns.get(name)
    if values.dtype.kind == "f" and not np.isnan(values).any() and (values == values.astype(np.int64)).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu":
        return values
    bad = (values < 0) | (values >= len(names))
    if bad.any():
        row = int(bad.argmax())
        raise FileFormatError(
            f"{columns.row_name(row)} has the gene index {values[row]} in {name!r}",
            expected=f"indices from 0 to {len(names) - 1}",
            remedy="do the names belong to these edges?",
        )
    return names[values]
