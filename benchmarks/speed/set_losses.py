"""Losses between sets of cells against geomloss and torch.cdist: time turn by turn, error, and peak memory.

OMP_NUM_THREADS=1 python benchmarks/speed/set_losses.py [--sets 8] [--cells 256] [--genes 2000] [--rounds 7]

One forward and backward pass, gradient to the predicted cells. Errors are of float32 against float64 with distances
taken coordinate by coordinate, relative to the value and to the norm of the gradient. Peak memory, from a process of
its own for each, is above what the inputs and a first small call hold. Needs ``pip install --no-deps geomloss``.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable

import geomloss  # pyright: ignore[reportMissingImports]
import torch
from contest import compete, format_results  # pyright: ignore[reportMissingImports]
from torch import Tensor

from gnnvcell.nn.losses import energy_distance, sinkhorn_divergence

Loss = Callable[[Tensor, Tensor], Tensor]


def by_cdist(mode: str) -> Loss:
    def energy(x: Tensor, y: Tensor) -> Tensor:
        def mean(a: Tensor, b: Tensor) -> Tensor:
            return torch.cdist(a, b, compute_mode=mode).mean((1, 2))

        return 2 * mean(x, y) - mean(x, x) - mean(y, y)

    return energy


def by_geomloss(**options: object) -> Loss:
    return geomloss.SamplesLoss(backend="tensorized", **options)


def twice(loss: Loss) -> Loss:
    return lambda x, y: 2 * loss(x, y)


OURS = "ours"
ENERGY: dict[str, Loss] = {
    OURS: energy_distance,
    "geomloss energy": twice(by_geomloss(loss="energy")),
    "cdist": by_cdist("use_mm_for_euclid_dist_if_necessary"),
    "cdist, exact": by_cdist("donot_use_mm_for_euclid_dist"),
}
SINKHORN: dict[str, Loss] = {OURS: sinkhorn_divergence, "geomloss sinkhorn": by_geomloss(loss="sinkhorn")}
LOSSES = {"energy": ENERGY, "sinkhorn": SINKHORN}


def drawn(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Cells of one law, the observed ones moved by 0.1 in every gene."""
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(args.sets, args.cells, args.genes, generator=random) for _ in range(2))
    return x, y + 0.1


def both_ways(loss: Loss, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    value = loss(x, y)
    value.sum().backward()
    assert x.grad is not None
    return value.detach(), x.grad


def peak(args: argparse.Namespace) -> float:
    """MiB that one pass adds, in this process."""
    name, who = args.peak
    x, y = drawn(args)
    loss = LOSSES[name][who]
    both_ways(loss, *(cells[:, :4, :10].contiguous() for cells in (x, y)))

    def status(field: str) -> float:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = status("VmRSS")
    both_ways(loss, x, y)
    return status("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("sets", 8), ("cells", 256), ("genes", 2000), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak:
        print(peak(args))
        return
    x, y = drawn(args)
    outcomes = []
    for name, losses in LOSSES.items():
        for rival, theirs in losses.items():
            if rival != OURS:
                outcomes.append(
                    compete(
                        lambda losses=losses: both_ways(losses[OURS], x, y),
                        lambda theirs=theirs: both_ways(theirs, x, y),
                        case=f"{name}, {args.sets} sets of {args.cells} cells, {args.genes} genes",
                        rival=rival,
                        target=None,
                        threads=1,
                        rounds=3 if "exact" in rival else args.rounds,
                    )
                )
    print(format_results(outcomes))
    exact, slope = both_ways(ENERGY["cdist, exact"], x.double(), y.double())
    for who, loss in ENERGY.items():
        value, grad = both_ways(loss, x, y)
        off = ((value - exact) / exact).abs().max(), (grad - slope).norm() / slope.norm()
        print(f"energy, {who}: largest error of a value {off[0]:.1e}, of the gradient {off[1]:.1e}")
    parity = [both_ways(loss, x[:1], y[:1]) for loss in SINKHORN.values()]  # one set: geomloss has one diameter
    off = [float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(*parity, strict=True)]
    print(f"sinkhorn, ours and geomloss: values {off[0]:.1e} apart, gradients {off[1]:.1e}")
    for name, losses in LOSSES.items():
        for who in losses:
            call = [sys.executable, *sys.argv, "--peak", name, who]
            print(f"{name}, {who}: peak {float(subprocess.check_output(call)):.0f} MiB")


if __name__ == "__main__":
    main()
