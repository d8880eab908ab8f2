"""A STRING links file to pairs of proteins with one score each."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gnnvcell.errors import FileFormatError
from gnnvcell.graphs.sources._line_blocks import open_line_blocks
from gnnvcell.graphs.sources._string_channels import ChannelChoice, plan_scores, read_header
from gnnvcell.graphs.sources._string_lines import (
    ABOVE,
    BLANK,
    HOMOLOGOUS,
    LIKE_WITH,
    LIKE_WITHOUT,
    LINES,
    MAX_SCORE,
    Counters,
    KeptLines,
    read_lines,
)

HomologyRule = Literal["measured", "always", "never"]
_LONGEST_HEADER = 10_000
_BLOCKS_A_REPORT = 64
_SCORE_BITS = 10  # holds 0..1000
_SCORE_MASK = (1 << _SCORE_BITS) - 1
_MAX_ABOVE = 0.05  # share of scores above 1000 that may be somebody's sums; more is another scale


@dataclass(frozen=True)
class Links:
    """Lines of a links file at or above the threshold, as they stand in the file (each pair twice).

    Args:
        proteins: (proteins,) ids without species prefix.
        first, second: (lines kept,) int32 codes into ``proteins``.
        scores: (lines kept,) int16 in thousandths.
        counters: counts over all lines.
        corrected: whether homology correction was applied.
        columns: the score columns of the file.
    """

    proteins: NDArray
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    scores: NDArray[np.int16]
    counters: Counters
    corrected: bool
    columns: list[str]


def read_links(
    path: Path,
    species: int,
    choice: ChannelChoice,
    confidence: float,
    homology: HomologyRule,
    report: Callable[[str], None],
) -> Links:
    """Read a links file.

    Args:
        path: ``protein.links``, ``.detailed`` or ``.full``, plain or gzipped.
        species: taxon whose prefix every id must have.
        choice: which channels count.
        confidence: smallest score kept, 0..1.
        homology: whether text mining and co-occurrence count less between homologous proteins. STRING did so up to
            release 11 and its channels contain the correction since release 12. "measured" takes the rule that
            reproduces the published scores of this file.
        report: called with progress.

    Raises:
        FileFormatError: header, ids, scores or gzip stream are not as they should be, with the line.
    """
    prefix = f"{species}.".encode()
    counters, ids, scores = Counters(), [], []
    with open_line_blocks(path) as blocks:
        columns, rest = _split_header(path, blocks)
        plan = plan_scores(path, columns, choice, confidence)
        for number, block in enumerate(_with_first(rest, blocks)):
            kept = read_lines(block, prefix, plan, counters)
            if kept.bad_line >= 0:
                raise _bad_line(path, block, kept.bad_line, species, columns, counters)
            ids.append(_encode(kept))
            scores.append(kept.scores)
            if number % _BLOCKS_A_REPORT == _BLOCKS_A_REPORT - 1:
                report(f"{path.name}: {counters[LINES]:,} lines")
    if counters[ABOVE] > _MAX_ABOVE * counters[LINES]:
        raise FileFormatError(
            f"{path} has {counters[ABOVE]:,} of {counters[LINES]:,} scores above {MAX_SCORE}",
            expected=f"whole scores from 0 to {MAX_SCORE}",
            remedy="its scores are not STRING's; give the file as STRING publishes it",
        )
    proteins, codes = _unify(path, ids)
    corrected = _use_correction(homology, counters) and plan.recombine
    column = int(corrected)
    score = np.concatenate([block[:, column] for block in scores]) if scores else np.zeros(0, np.int16)
    rows = np.flatnonzero(score >= plan.minimum)
    return Links(proteins, codes[rows, 0], codes[rows, 1], score[rows], counters, corrected, columns)


def _split_header(path: Path, blocks: Iterator[memoryview]) -> tuple[list[str], memoryview]:
    first = next(blocks, memoryview(b""))
    header, _, _ = bytes(first[:_LONGEST_HEADER]).partition(b"\n")
    return read_header(path, header), first[len(header) + 1 :]


def _with_first(first: memoryview, blocks: Iterator[memoryview]) -> Iterator[memoryview]:
    if len(first):
        yield first
    yield from blocks


def _use_correction(rule: HomologyRule, counters: Counters) -> bool:
    if rule == "measured":
        return counters[LIKE_WITH] >= counters[LIKE_WITHOUT] and counters[HOMOLOGOUS] > 0
    return rule == "always"


def _encode(kept: KeptLines) -> pa.DictionaryArray:
    count = len(kept.id_offsets) - 1
    buffers = [None, pa.py_buffer(kept.id_offsets), pa.py_buffer(kept.id_bytes)]
    return pa.Array.from_buffers(pa.binary(), count, buffers).dictionary_encode()  # type: ignore[return-value]


def _unify(path: Path, ids: list[pa.DictionaryArray]) -> tuple[NDArray, NDArray[np.int32]]:
    """(proteins,) names and (lines, 2) codes; empties ``ids``, which may be most of the memory in use."""
    if not ids:
        return np.zeros(0, np.str_), np.zeros((0, 2), np.int32)
    chunked = pa.chunked_array(ids).unify_dictionaries()
    ids.clear()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in chunked.chunks]).astype(np.int32, copy=False)
    try:
        names = [name.decode() for name in chunked.chunk(0).dictionary.to_pylist()]
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} has protein ids that are not UTF-8 text", found=str(error)) from error
    return np.array(names, dtype=np.str_), codes.reshape(-1, 2)


def _bad_line(
    path: Path, block: memoryview, start: int, species: int, columns: list[str], counters: Counters
) -> FileFormatError:
    number = counters[LINES] + counters[BLANK] + 2  # one for the header, and lines count from 1
    line, _, _ = bytes(block[start:]).partition(b"\n")
    text = line.decode("utf-8", "replace").rstrip("\r")
    where = f"line {number:,} of {path}"
    fields = text.split(" ")
    shown = repr(text[:120])
    for field in fields[:2]:
        taxon = re.match(r"(\d+)\.\S", field)
        if len(fields) == len(columns) + 2 and not field.startswith(f"{species}."):
            found = f"species {taxon[1]}" if taxon else "no species prefix"
            return FileFormatError(
                f"{where} has the protein {field!r}, which is not of species {species}",
                expected=f"ids like {species}.ENSP00000000233",
                found=f"{found}, in {shown}",
                remedy="give the file of this species, or set the species of the graph",
            )
    if len(fields) != len(columns) + 2:
        remedy = "the fields are separated by tabs" if "\t" in text else "the file may have been cut; download it again"
        expected = f"{len(columns) + 2} fields separated by single spaces, as the header says"
        return FileFormatError(f"{where} has {len(fields)} fields", expected=expected, found=shown, remedy=remedy)
    expected = f"whole scores from 0 to {MAX_SCORE}"
    return FileFormatError(f"{where} has a score that cannot be read", expected=expected, found=shown)


@dataclass(frozen=True)
class Pairs:
    """Undirected pairs, each once, with the higher of its scores.

    Args:
        first, second: (pairs,) int64, first < second.
        scores: (pairs,) int16 in thousandths.
        self_edges: lines dropped because both ends are the same.
        repeated: lines dropped because the same line came before (in the same direction).
        one_way: pairs that stand in one direction only.
        uneven: pairs whose two directions have different scores.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    scores: NDArray[np.int16]
    self_edges: int
    repeated: int
    one_way: int
    uneven: int


def merge_pairs(first: NDArray, second: NDArray, scores: NDArray, nodes: int) -> Pairs:
    """Merge lines that name the same two nodes, in whatever direction.

    Args:
        first, second: (lines,) integer codes < ``nodes``.
        scores: (lines,) integers 0..1000.
        nodes: number of nodes, up to about 60 million.
    """
    other = first != second
    self_edges = len(other) - int(np.count_nonzero(other))
    if self_edges:
        first, second, scores = first[other], second[other], scores[other]
    # Pair, direction and score in one number, made in place: one sort groups the lines of a pair, scores ascending.
    packed = np.minimum(first, second).astype(np.int64)
    packed *= nodes
    packed += np.maximum(first, second)
    packed *= 2
    packed += first > second
    packed <<= _SCORE_BITS
    packed += scores
    packed.sort()
    return _pairs_of(packed, nodes, self_edges)


def _pairs_of(packed: NDArray[np.int64], nodes: int, self_edges: int) -> Pairs:
    """Pairs from sorted packed lines; of the lines of one pair and direction the last has the highest score."""
    directed = packed >> _SCORE_BITS
    last = np.append(directed[1:] != directed[:-1], True)[: len(packed)]
    repeated = len(packed) - int(np.count_nonzero(last))
    if repeated:
        packed, directed = packed[last], directed[last]
    score = (packed & _SCORE_MASK).astype(np.int16)
    lines = len(packed)
    del packed, last
    directed >>= 1
    starts = np.flatnonzero(np.append(True, directed[1:] != directed[:-1])[:lines])
    if lines == 0:
        return Pairs(directed, directed, score, self_edges, 0, 0, 0)
    highest, lowest = np.maximum.reduceat(score, starts), np.minimum.reduceat(score, starts)
    pair = directed[starts]
    return Pairs(
        first=pair // nodes,
        second=pair % nodes,
        scores=highest,
        self_edges=self_edges,
        repeated=repeated,
        one_way=2 * len(starts) - lines,
        uneven=int(np.count_nonzero(highest != lowest)),
    )
