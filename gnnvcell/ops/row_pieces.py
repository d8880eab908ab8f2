"""Rows of an adjacency cut into pieces, so that no program of a kernel has many more edges than another."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

# Edges of a piece. Steps over the edges of a row wait for each other, about a microsecond each: a hub that one program
# handles alone keeps a whole device waiting for it. Shorter pieces mean more partial sums to write and to add up.
PIECE_EDGES = 256


@dataclass(frozen=True, eq=False)
class RowPieces:
    """Consecutive pieces of compressed rows, each within one row; rows without edges are pieces without edges.

    A row of one piece is done with once that is. The pieces of a cut row, one after the other, have a slot each in a
    buffer of partial results, which a second kernel merges in their order. Where no row is cut, the pieces are the
    rows, and everything but ``pointer`` is None.

    Args:
        pointer: (pieces + 1,) where each piece starts.
        num_rows: number of rows.
        row: (pieces,) the row of each piece.
        slot: (pieces,) place of its partial result; -1 for rows of one piece.
        cut: (cut rows,) the rows that have several pieces.
        cut_pointer: (cut rows + 1,) their first slots.
        slot_piece: (slots,) the piece that fills each slot.
        slot_cut: (slots,) position of its row in ``cut``.
    """

    pointer: Tensor
    num_rows: int
    row: Tensor | None = None
    slot: Tensor | None = None
    cut: Tensor | None = None
    cut_pointer: Tensor | None = None
    slot_piece: Tensor | None = None
    slot_cut: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pointer) - 1

    @property
    def num_slots(self) -> int:
        """Number of partial results."""
        return 0 if self.slot_piece is None else len(self.slot_piece)


def cut_rows(indptr: Int[Tensor, " rows_and_one"], size: int = PIECE_EDGES) -> RowPieces:
    """Cut rows of more than ``size`` edges into as few pieces as that allows, which are as long as each other.

    Waits for the device, so it is done once per adjacency (``Adjacency.pieces``).

    Args:
        indptr: where each row starts.
        size: most edges of a piece.

    Example:
        >>> pieces = cut_rows(torch.tensor([0, 2, 2, 9]), size=3)
        >>> pieces.pointer.tolist(), pieces.row.tolist(), pieces.slot.tolist()
        ([0, 2, 2, 4, 6, 9], [0, 1, 2, 2, 2], [-1, -1, 0, 1, 2])
    """
    start = indptr.long()
    degrees = start[1:] - start[:-1]
    counts = ((degrees + size - 1) // size).clamp(min=1)
    cut = torch.nonzero(counts > 1)[:, 0]
    if len(cut) == 0:
        return RowPieces(indptr.contiguous(), len(degrees))
    rows = torch.arange(len(degrees), device=indptr.device)
    row = torch.repeat_interleave(rows, counts)
    number = torch.arange(len(row), device=indptr.device) - (counts.cumsum(0) - counts)[row]  # within its row
    pointer = torch.cat([start[row] + number * degrees[row] // counts[row], start[-1:]])
    slot_piece = torch.nonzero(counts[row] > 1)[:, 0]
    slot = torch.full_like(row, -1)
    slot[slot_piece] = torch.arange(len(slot_piece), device=indptr.device)
    slot_cut = torch.repeat_interleave(torch.arange(len(cut), device=indptr.device), counts[cut])
    cut_pointer = torch.cat([cut.new_zeros(1), counts[cut].cumsum(0)])
    parts = (part.to(indptr.dtype) for part in (row, slot, cut, cut_pointer, slot_piece, slot_cut))
    return RowPieces(pointer.to(indptr.dtype), len(degrees), *parts)
