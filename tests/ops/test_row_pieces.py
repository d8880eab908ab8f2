"""Rows cut into pieces: every edge once, in order, and nothing where nothing is long."""

import pytest
import torch

from gnnvcell.ops import Adjacency
from gnnvcell.ops.row_pieces import PIECE_EDGES, cut_rows
from gnnvcell.testing import GRAPH_CASES

DEGREES = torch.tensor([0, 3, 4, 5, 0, 8, 9, 41, 0])
POINTER = torch.cat([DEGREES.new_zeros(1), DEGREES.cumsum(0)])


def listed(part: torch.Tensor | None) -> list[int] | None:
    return None if part is None else part.tolist()


def test_worked_example() -> None:
    pieces = cut_rows(POINTER, size=4)
    eleven = [3, 4, 4, 3, 4, 4, 4, 3, 4, 4, 4]  # 41 edges in eleven pieces, where k * 41 / 11 begins
    assert pieces.pointer.diff().tolist() == [0, 3, 4, 2, 3, 0, 4, 4, 3, 3, 3, *eleven, 0]
    assert listed(pieces.row) == [0, 1, 2, 3, 3, 4, 5, 5, 6, 6, 6, *[7] * 11, 8]
    assert listed(pieces.slot) == [-1, -1, -1, 0, 1, -1, 2, 3, 4, 5, 6, *range(7, 18), -1]
    assert listed(pieces.cut) == [3, 5, 6, 7]
    assert listed(pieces.cut_pointer) == [0, 2, 4, 7, 18]
    assert listed(pieces.slot_piece) == [3, 4, *range(6, 22)]
    assert listed(pieces.slot_cut) == [0, 0, 1, 1, 2, 2, 2, *[3] * 11]
    assert (len(pieces), pieces.num_rows, pieces.num_slots) == (23, 9, 18)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 40, 41])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_pieces_are_the_rows(size, index) -> None:
    pieces = cut_rows(POINTER.to(index), size)
    lengths = pieces.pointer.long().diff()
    rows = torch.arange(len(DEGREES)) if pieces.row is None else pieces.row.long()
    assert pieces.pointer.dtype == index
    assert int(lengths.max()) <= size
    assert torch.zeros_like(DEGREES).index_add(0, rows, lengths).tolist() == DEGREES.tolist()
    assert bool((rows.diff() >= 0).all())
    assert rows.unique().tolist() == list(range(len(DEGREES)))
    for row in range(len(DEGREES)):
        own = lengths[rows == row]
        assert len(own) == max(1, -(-int(DEGREES[row]) // size))
        assert int(own.max() - own.min()) <= 1


def test_where_no_row_is_long_the_rows_are_the_pieces() -> None:
    pieces = cut_rows(POINTER, size=41)
    assert pieces.pointer.data_ptr() == POINTER.data_ptr()
    assert pieces.row is pieces.slot is pieces.cut is None
    assert pieces.num_slots == 0
    assert cut_rows(POINTER, size=40).num_slots == 2


def test_no_rows() -> None:
    assert len(cut_rows(torch.tensor([0]))) == 0


@pytest.mark.parametrize("case", GRAPH_CASES, ids=lambda case: case.name)
def test_an_adjacency_keeps_its_own(case) -> None:
    adjacency = Adjacency(case.src, case.dst, case.num_src, case.num_dst)
    assert adjacency.pieces is adjacency.pieces
    assert adjacency.pieces.pointer.dtype == adjacency.indptr.dtype
    assert adjacency.transpose.pieces.num_rows == case.num_src
    assert adjacency.pieces.num_rows == case.num_dst
    assert bool((adjacency.pieces.num_slots > 0) == (adjacency.num_edges and adjacency.in_degrees.max() > PIECE_EDGES))


def test_pieces_made_in_inference_mode_are_of_use_in_training() -> None:
    hub = torch.zeros(PIECE_EDGES + 1, dtype=torch.int64)
    adjacency = Adjacency(hub, hub, 1, 1)
    with torch.inference_mode():
        pieces = adjacency.pieces
    assert pieces.num_slots == 2
    parts = (pieces.pointer, pieces.row, pieces.slot, pieces.cut, pieces.cut_pointer, pieces.slot_cut)
    assert not any(part is None or part.is_inference() for part in parts)
