"""Which of several processes this one is."""

import torch

from gnnvcell.errors import ConfigError


def rank_and_size(rank: int | None = None, world_size: int | None = None) -> tuple[int, int]:
    """Number of this process and how many there are: as given, else those of ``torch.distributed``, else 0 of 1.

    Raises:
        ConfigError: a rank outside of the world.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if rank is None:
        rank = torch.distributed.get_rank() if distributed else 0
    if world_size is None:
        world_size = torch.distributed.get_world_size() if distributed else 1
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank {rank} of {world_size} processes", expected="0 <= rank < world_size")
    return rank, world_size
