"""What several processes of one run tell each other."""

import os
from typing import Any

import torch


def is_distributed() -> bool:
    """Whether this process is one of a group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def rank_and_size() -> tuple[int, int]:
    """Number of this process and how many there are; 0 of 1 outside of a group."""
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if is_distributed() else (0, 1)


def gathered(value: Any) -> list[Any]:
    """The plain values of all processes, in the order of their numbers; each process must call this."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def is_first() -> bool:
    """Whether this process is the first of its run, also before the group is there."""
    if is_distributed():
        return torch.distributed.get_rank() == 0
    numbers = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return all(number in (None, "0") for number in numbers) and os.environ.get("NODE_RANK", "0") == "0"
