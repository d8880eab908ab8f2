"""Our ST against arc-state's of the same widths, depth, heads, set size, genes and batch: speed and memory.

python benchmarks/peers/arc_state/speed.py [--shapes 328:8:8:64 ...] [--genes 2000] [--sets 8] [--rounds 7]
python benchmarks/peers/arc_state/speed.py --data FOLDER [--shapes 128:4:4:64] [--steps 20]
python benchmarks/peers/arc_state/speed.py --device cuda --shapes 696:8:12:256 --steps 10 [--bf16] [--compile]

A shape is hidden:layers:heads:set size. Needs an environment with arc-state 0.11.1 and gnnvcell in it. Turn by turn in
one process: a training step (forward, loss, backward, clipping of the gradient, optimiser) on the same random cells,
a prediction of as many sets of cells, and the mean effects of as many perturbations on one set of control cells, which
is what most uses of a prediction come to. Peak memory: a process for each side, by which its resident memory grows
beyond what it was before there was a model. Each side runs as its own training does: arc-state with Adam and the mask
that it hands to attention, ours with the optimiser of ``gnnvcell.fitting``. arc-state is there twice: in "gene" space,
its leanest, and as its data module has it by default ("all"), where a gene decoder is trained with it. ``--compile``
compiles our transformer.

With ``--data`` (what prepare.py wrote) steps read their batches from the file's cells of the first fold, each side
through its own loader, which is what its training and its prediction do ("all" is left out: it reads X row by row too).

With one thread times are CPU time, which other jobs on the machine disturb less than the clock. On a CUDA device times
are the clock's, steps are waited for at the end of a round, and memory is the most that torch had allocated there.
``--bf16`` puts both sides under autocast.
"""

import argparse
import gc
import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arc_model import arc_batch, arc_loader, arc_model  # pyright: ignore[reportMissingImports]
from our_model import our_batch, our_loader, our_model  # pyright: ignore[reportMissingImports]
from shape import Shape  # pyright: ignore[reportMissingImports]
from torch import nn

from gnnvcell import keys
from gnnvcell.fitting.config import OptimizerConfig
from gnnvcell.fitting.optimizer import make_optimizer

OURS, GENE, ALL = "gnnvcell", "arc-state, gene", "arc-state, all"
SIDES = (OURS, GENE, ALL)
CLIP = 10.0  # arc-state's default


class Side:
    """A model with what trains it and the sets it is given, again and again the same or from a folder of data."""

    def __init__(
        self, name: str, shape: Shape, *, device: str, bf16: bool, folder: Path | None = None, compiled: bool = False
    ) -> None:
        torch.manual_seed(0)
        self.name, self.device, self.set_size = name, device, shape.set_size
        self.precision = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16)
        if name == OURS:
            self.model: Any = our_model(shape).to(device)
            self.optimizer: Any = make_optimizer(self.model, OptimizerConfig())
            batch: Any = our_batch(shape, *shape.cells()) if folder is None else {}
            loader = our_loader(shape, folder) if folder is not None else None
            if compiled:
                self.model.transformer.compile()
        else:
            space = "gene" if name == GENE else "all"
            self.model = arc_model(shape, output_space=space).to(device)
            self.optimizer = self.model.configure_optimizers()
            batch = arc_batch(shape, *shape.cells(), output_space=space) if folder is None else {}
            loader = arc_loader(shape, folder, output_space=space) if folder is not None else None
        self.batches = itertools.repeat(self._moved(batch)) if loader is None else map(self._moved, loader)

    def step(self) -> None:
        """One step of training."""
        self.model.train()
        batch = next(self.batches)
        self.optimizer.zero_grad()
        with self.precision:
            loss = self.model.loss(batch)["loss"] if self.name == OURS else self.model.training_step(batch, 0)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()

    @torch.inference_mode()
    def predict(self) -> None:
        """All sets of a batch."""
        self.model.eval()
        batch = next(self.batches)
        with self.precision:
            if self.name == OURS:
                self.model(batch[keys.CONTROL_CELLS], batch[keys.CONDITIONS], batch[keys.BATCH])
            else:
                self.model.predict_step(batch, 0)

    @torch.inference_mode()
    def effects(self) -> None:
        """Mean effects of as many perturbations as a batch has sets; ours are asked for one set of control cells."""
        self.model.eval()
        batch = next(self.batches)
        with self.precision:
            if self.name != OURS:
                cells = self.model.predict_step(batch, 0)["preds"]
                cells.unflatten(0, (-1, self.set_size)).mean(dim=1)
                return
            described = self.model.targets()
            context = self.model.encode_conditions(batch[keys.CONDITIONS], batch[keys.BATCH], described=described)
            states = self.model.encode_cells(batch[keys.CONTROL_CELLS][:1]).expand(len(context), -1, -1)
            weight = torch.full(states.shape[:2], 1 / self.set_size, device=states.device)
            self.model.mean_outputs(states, context, weight, described=described)

    def _moved(self, parts: dict[str, Any]) -> dict[str, Any]:
        """A batch on the device."""
        return {name: part.to(self.device) if hasattr(part, "to") else part for name, part in parts.items()}


def seconds(job: Callable[[Side], None], side: Side, arguments: argparse.Namespace) -> float:
    """CPU time of some steps in one thread; the clock's for several threads, or on a device."""
    on_device = arguments.device != "cpu"
    clock = time.process_time if arguments.threads == 1 and not on_device else time.perf_counter
    start = clock()
    for _ in range(arguments.steps):
        job(side)
    if on_device:
        torch.cuda.synchronize()
    return clock() - start


def device_memory(side: str, shape: Shape, arguments: argparse.Namespace, steps: int = 3) -> float:
    """Mebibytes that torch has allocated on the device at most."""
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    made = Side(side, shape, device=arguments.device, bf16=arguments.bf16)
    for _ in range(steps):
        made.step()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def grown_memory(side: str, shape: Shape, steps: int = 3) -> float:
    """Mebibytes that this process grows by at most."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    made = Side(side, shape, device="cpu", bf16=False)
    for _ in range(steps):
        made.step()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def memory_of(side: str, spec: str, arguments: argparse.Namespace) -> float:
    """``grown_memory`` in a process of its own, or the device's."""
    if arguments.device != "cpu":
        return device_memory(side, _shape(spec, arguments), arguments)
    command = [sys.executable, __file__, "--memory-of", side, "--shapes", spec]
    options = [f"--{name}={getattr(arguments, name)}" for name in ("genes", "sets", "threads")]
    return float(subprocess.run([*command, *options], check=True, capture_output=True, text=True).stdout.split()[-1])


def contest(spec: str, arguments: argparse.Namespace) -> None:
    """Print the lines of one shape."""
    shape, folder = _shape(spec, arguments), arguments.data
    names = SIDES if folder is None else (OURS, GENE)
    how = {"device": arguments.device, "bf16": arguments.bf16, "folder": folder}
    sides = [Side(name, shape, compiled=arguments.compile and name == OURS, **how) for name in names]
    jobs = {"training step": Side.step, "prediction": Side.predict}
    if folder is None:
        jobs["mean effects"] = Side.effects
    for what, job in jobs.items():
        for side in sides:
            seconds(job, side, arguments)

        rounds = [[seconds(job, side, arguments) for side in sides] for _ in range(arguments.rounds)]
        times = np.array(rounds) / arguments.steps
        label = what if folder is None else f"{what}, with reading"
        for at, side in enumerate(sides):
            _print(spec, label, side.name, f"{1e3 * np.median(times[:, at]):,.1f} ms", times[:, at] / times[:, 0])
    if folder is None:
        del sides, side
        memory = [memory_of(name, spec, arguments) for name in names]
        for name, grown in zip(names, memory, strict=True):
            _print(spec, "peak memory", name, f"{grown:,.0f} MiB", np.array([grown / memory[0]]))


def _print(spec: str, what: str, name: str, value: str, ratios: Any) -> None:
    spread = f" ({ratios.min():.2f} to {ratios.max():.2f})" if len(ratios) > 1 else ""
    print(f"| {spec} | {what} | {name} | {value} | {np.median(ratios):.2f}{spread} |", flush=True)


def _shape(spec: str, arguments: argparse.Namespace) -> Shape:
    hidden, layers, heads, set_size = map(int, spec.split(":"))
    return Shape(hidden, layers, heads, set_size, arguments.genes, arguments.sets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["328:8:8:64", "328:8:8:256"])
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--sets", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1, help="steps, or predicted batches, of a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, help="folder that prepare.py wrote")
    parser.add_argument("--compile", action="store_true", help="compile our transformer")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--bf16", action="store_true", help="both sides under autocast to bfloat16")
    parser.add_argument("--memory-of", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        print(grown_memory(arguments.memory_of, _shape(arguments.shapes[0], arguments)))
        return
    print("| shape | what | side | time or memory | times ours |\n|---|---|---|---|---|")
    for spec in arguments.shapes:
        contest(spec, arguments)


if __name__ == "__main__":
    main()
