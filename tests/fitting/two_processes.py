"""A training run that several processes take part in; run as a script, and again by Lightning in each process."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

torch.set_num_threads(1)

from gnnvcell.fitting import FitConfig, OptimizerConfig, fit  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from models import Net, samples  # noqa: E402


class Shared:
    """Numbered batches of samples in another order each epoch; writes down what each process takes."""

    def __init__(self, size: int, note: Path | None = None, kill_at: int | None = None) -> None:
        self.samples, self.size, self.note, self.kill_at = samples(28), size, note, kill_at

    def batches_of(self, epochs: int, processes: int) -> int:
        return -(-epochs * len(self.samples) // (self.size * processes))

    def batch(self, number: int):
        group = torch.distributed.is_initialized()
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if group else (0, 1)
        if number == self.kill_at and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        first = (number * world + rank) * self.size
        chosen = []
        for at in range(first, first + self.size):
            epoch, place = divmod(at, len(self.samples))
            chosen.append(int(np.random.default_rng([5, epoch]).permutation(len(self.samples))[place]))
        if self.note is not None:
            with open(f"{self.note}.{rank}", "a") as handle:
                handle.write(json.dumps(chosen) + "\n")
        picked = [self.samples[one] for one in chosen]
        return {name: torch.stack([one[name] for one in picked]) for name in ("x", "y")}


class Half:
    """Validation samples of this process."""

    def __iter__(self):
        group = torch.distributed.is_initialized()
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if group else (0, 1)
        mine = samples(6, seed=9)[rank::world]
        yield {name: torch.stack([one[name] for one in mine]) for name in ("x", "y")}


def run(out: Path, processes: int, *, kill_at: int | None = None, resume: bool = False, epochs: int = 3) -> None:
    model = Net(dropout=0)
    config = FitConfig(
        max_steps=1000, max_epochs=epochs, val_every=4, checkpoint_every=2, log_every=1, devices=processes,
        accelerator="cpu", loggers=("csv",), timeout=60, optimizer=OptimizerConfig(lr=0.02),
    )  # fmt: skip
    loader = Shared(8 // processes, out.parent / f"{out.name}.taken", kill_at)
    result = fit(model, loader, Half(), config=config, out_dir=out, resume=resume, progress=False)
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        torch.save(model.state_dict(), out / "weights.pt")
        print(f"steps {result.steps}")


if __name__ == "__main__":
    out, processes, kill_at, resume = sys.argv[1:]
    run(Path(out), int(processes), kill_at=int(kill_at) if kill_at != "none" else None, resume=resume == "resume")
