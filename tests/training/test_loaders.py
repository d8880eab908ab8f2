"""Cell sets, in memory and streamed from files, as training data of a run that is interrupted."""

import os
import signal

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from gnnvcell.data.cell_sets import CellSetConfig, CellSets, open_stream
from gnnvcell.data.cells import Cells
from gnnvcell.fitting import FitConfig, OptimizerConfig, fit

SETS = CellSetConfig(set_size=6, block_cells=20, window_blocks=2, seed=4)
FIT = FitConfig(max_steps=30, val_every=100, accumulate=2, loggers=(), optimizer=OptimizerConfig(lr=0.01))


class Shift(nn.Module):
    """A learned change of each gene, with dropout."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.shift, self.stop_at, self.rows = nn.Parameter(torch.zeros(20)), stop_at, []

    def loss(self, batch):
        self.rows.append(batch["rows"])
        if len(self.rows) == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        moved = batch["control"] + nn.functional.dropout(self.shift, 0.3)
        return {"loss": (moved.mean(dim=1) - batch["perturbed"].mean(dim=1)).square().mean()}


def in_memory(files):
    return CellSets(Cells.open(files / "one.h5ad"), SETS).loader(3)


def streamed(files):
    return DataLoader(open_stream([files / "one.h5ad", files / "two.h5ad"], SETS), batch_size=3)


@pytest.mark.parametrize("make", [in_memory, streamed])
def test_interrupted_runs_see_the_same_cells_and_end_with_the_same_bits(files, tmp_path, make) -> None:
    whole, first, second = Shift(), Shift(stop_at=25), Shift()
    fit(whole, make(files), config=FIT, out_dir=tmp_path / "whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        fit(first, make(files), config=FIT, out_dir=tmp_path / "parts", progress=False)
    fit(second, make(files), config=FIT, out_dir=tmp_path / "parts", resume=True, progress=False)
    assert 0 < len(second.rows) < 60
    assert all(map(torch.equal, [*first.rows, *second.rows], whole.rows))
    assert len(first.rows) + len(second.rows) == len(whole.rows) == 60
    assert torch.equal(second.shift, whole.shift)
