"""Edges of your own, from a csv, tsv, parquet or npz file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from gnnvcell.errors import EmptyGraphError, FileFormatError
from gnnvcell.graphs.edges import EdgeTable
from gnnvcell.graphs.sources._edge_arrays import (
    as_names,
    entries,
    is_sparse,
    open_names,
    read_npz,
    require_shape,
    sparse_of,
)
from gnnvcell.graphs.sources._edge_columns import (
    AUTO,
    EdgeColumns,
    RawEdges,
    choose_columns,
    make_table,
)
from gnnvcell.graphs.sources._edge_files import read_columns
from gnnvcell.graphs.sources.base import SOURCES, Reading, Source, SourceContext
from gnnvcell.keys import GENE, REVERSE_PREFIX


def _graph_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w*", name) or name.startswith(REVERSE_PREFIX):
        raise ValueError(f"a name of letters, digits and _, not beginning with {REVERSE_PREFIX!r}")
    return name


Name = Annotated[str, AfterValidator(_graph_name)]


@SOURCES.register("table")
class Table(Source):
    """Edges of your own: one relation from a csv, tsv, txt (also gzipped), parquet or npz file.

    A npz file holds either ``src`` and ``dst`` (names, or indices into ``names`` or into ``src_names`` and
    ``dst_names``) with ``weight`` and ``sign`` if there are any, or a sparse matrix of ``scipy.sparse.save_npz``
    (rows are sources) with ``names`` beside it, in the file or in ``names_file``.

    Args:
        file: absolute, or relative to ``source_dir`` or the working folder.
        relation: the relation's name in the graph.
        src, dst: columns of the two ends; without them a well-known pair is looked for (gene_a/gene_b, source/target,
            src/dst, node1/node2, protein1/protein2, from/to ...). Numbers count columns from 0, of a file without a
            header line.
        weight: column of weights >= 0; "auto" looks for weight, score, combined_score, confidence or importance,
            "none" gives every edge 1. Which one it was stands in the manifest's notes.
        sign: column of signs (1, +, -1, -, 0, activation, inhibition ...); "auto" looks for sign. The same column as
            ``weight`` where weights are signed effects: the weight is then the magnitude.
        delimiter: of a text file; found from its first line if None.
        src_type, dst_type: node types.
        directed: whether an edge u -> v says nothing about v -> u.
        names_file: npy file of node names, for a npz file without them.
    """

    type: ClassVar[str] = "table"
    licence: ClassVar[str] = "the file's own"

    file: Path
    relation: Name = "table"
    src: str | int | None = None
    dst: str | int | None = None
    weight: str | int = AUTO
    sign: str | int = AUTO
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    src_type: Name = GENE
    dst_type: Name = GENE
    directed: bool = False
    names_file: Path | None = None

    def read(self, context: SourceContext) -> Reading:
        """Read the file.

        Raises:
            FileFormatError: missing, damaged or cut short; another delimiter; columns that are not there or cannot be
                told apart; missing names; weights NaN, infinite or negative; unknown signs; with the line.
            EmptyGraphError: no edge but self edges.
        """
        path = context.find([], what="the table of edges", explicit=self.file)
        etype = (self.src_type, self.relation, self.dst_type)
        files = [path]
        if path.suffix == ".npz":
            raw, rows, origin = self._read_npz(path, context, files)
        else:
            raw, rows, origin = self._read_columns(path)
        table, notes = make_table(etype, self.directed, raw)
        require_edges(table, path, rows)
        return Reading([table], files, rows, notes=[origin, *notes])

    def _read_columns(self, path: Path) -> tuple[RawEdges, int, str]:
        positions = [value for value in (self.src, self.dst, self.weight, self.sign) if isinstance(value, int)]
        columns = read_columns(path, self.delimiter, header=not positions)
        chosen = self._choose(columns.names, str(path))
        weight = None if chosen.weight is None else columns.get(chosen.weight)
        sign = None if chosen.sign is None else weight if chosen.sign == chosen.weight else columns.get(chosen.sign)
        raw = RawEdges(columns.get(chosen.src), columns.get(chosen.dst), weight, sign, columns.row_name)
        return raw, len(columns), chosen.describe()

    def _choose(self, names: Sequence[str], where: str) -> EdgeColumns:
        src, dst = (None if value is None else str(value) for value in (self.src, self.dst))
        return choose_columns(names, src=src, dst=dst, weight=str(self.weight), sign=str(self.sign), where=where)

    def _read_npz(self, path: Path, context: SourceContext, files: list[Path]) -> tuple[RawEdges, int, str]:
        arrays = read_npz(path)
        if self.names_file is not None:
            names_path = context.find([], what="the names", explicit=self.names_file)
            files.append(names_path)
            arrays = {**arrays, "names": open_names(names_path)}
        if is_sparse(arrays):
            return _of_sparse(sparse_of(arrays, str(path)), arrays, str(path))
        chosen = self._choose(list(arrays), str(path))
        return _of_arrays(arrays, chosen, str(path))


def require_edges(table: EdgeTable, path: Path, rows: int) -> None:
    """Refuse a table without edges.

    Raises:
        EmptyGraphError: with how many rows there were.
    """
    if len(table) == 0:
        raise EmptyGraphError(
            f"{path} has no edge between two different nodes",
            found=f"{rows:,} rows" + (", all self edges" if rows else ""),
            remedy="is it the right file, and the right columns?",
        )


def _of_sparse(matrix: sp.coo_array, arrays: dict[str, NDArray], where: str) -> tuple[RawEdges, int, str]:
    src_names, dst_names = _node_names(arrays, where)
    require_shape(matrix, (len(src_names), len(dst_names)), where)
    rows, columns, values = entries(matrix, 0.0, where)
    raw = RawEdges(src_names[rows], dst_names[columns], values, None, lambda row: f"entry {row} of {where}")
    return raw, len(rows), "entries of a sparse matrix"


def _of_arrays(arrays: dict[str, NDArray], chosen: EdgeColumns, where: str) -> tuple[RawEdges, int, str]:
    wanted = [name for name in (chosen.src, chosen.dst, chosen.weight, chosen.sign) if name is not None]
    lengths = {name: arrays[name].shape for name in wanted}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) != 1:
        raise FileFormatError(f"{where} has edge arrays of different shapes", found=str(lengths))
    src, dst = arrays[chosen.src], arrays[chosen.dst]
    if src.dtype.kind in "iu" or dst.dtype.kind in "iu":
        src_names, dst_names = _node_names(arrays, where)
        src, dst = _look_up(src, src_names, where), _look_up(dst, dst_names, where)
    else:
        src, dst = as_names(src, f"{where}[{chosen.src!r}]"), as_names(dst, f"{where}[{chosen.dst!r}]")
    weight = None if chosen.weight is None else arrays[chosen.weight]
    sign = None if chosen.sign is None else weight if chosen.sign == chosen.weight else arrays[chosen.sign]
    return RawEdges(src, dst, weight, sign, lambda row: f"edge {row} of {where}"), len(src), chosen.describe()


def _node_names(arrays: dict[str, NDArray], where: str) -> tuple[NDArray, NDArray]:
    pair = [arrays.get(f"{side}_names", arrays.get("names")) for side in ("src", "dst")]
    if pair[0] is None or pair[1] is None:
        raise FileFormatError(
            f"{where} has no names for its nodes",
            expected="an array names, or src_names and dst_names",
            found=f"the arrays {', '.join(arrays)}",
            remedy="store the names with the edges, or set names_file",
        )
    return as_names(pair[0], f"{where}: names"), as_names(pair[1], f"{where}: names")


def _look_up(codes: NDArray, names: NDArray, where: str) -> NDArray:
    if codes.dtype.kind not in "iu":
        raise FileFormatError(f"{where} has names at one end and indices at the other", found=str(codes.dtype))
    bad = (codes < 0) | (codes >= len(names))
    if bad.any():
        row = int(bad.argmax())
        raise FileFormatError(
            f"edge {row} of {where} has the node index {codes[row]}",
            expected=f"indices from 0 to {len(names) - 1}",
            remedy="do the names belong to these edges?",
        )
    return names[codes]
