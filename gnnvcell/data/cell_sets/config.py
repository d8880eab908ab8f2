"""CellSetConfig: how cells become sets."""

from typing import Literal

from pydantic import Field

from gnnvcell.config import Config


class CellSetConfig(Config):
    """Settings of cell sets.

    Args:
        set_size: cells in a set; the last set of a group is filled up by drawing its cells again.
        controls: "batch": control cells are of the set's cell type and batch; "context": of its cell type.
        genes: names to read, in this order; all when left out.
        target_sum: what the counts of a cell (over all genes of the file) are scaled to before log1p; None leaves
            values as they are. Not used for values that are log1p already.
        seed: of everything random, with the number of the epoch.
        block_cells: streamed sets: cells in a contiguous block on disk.
        window_blocks: streamed sets: blocks in memory at a time; sets are formed among them.
        control_cells: streamed sets: control cells kept in memory for each cell type and batch.
    """

    set_size: int = Field(default=64, ge=1)
    controls: Literal["batch", "context"] = "batch"
    genes: tuple[str, ...] | None = None
    target_sum: float | None = Field(default=1e4, gt=0)
    seed: int = Field(default=0, ge=0)
    block_cells: int = Field(default=2048, ge=1)
    window_blocks: int = Field(default=16, ge=1)
    control_cells: int = Field(default=512, ge=1)
