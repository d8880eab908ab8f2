"""The state of all random generators: saved, restored, and kept apart for validation."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from gnnvcell.config import digest_of

# What a validation draws is its own, so that validating more often changes nothing.
VALIDATION = "validation"


def random_state() -> dict[str, Any]:
    """The state of Python's, NumPy's and torch's generators, as plain values."""
    name, words, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    version, internal, gauss_next = random.getstate()
    return {
        "python": [version, list(internal), gauss_next],
        "numpy": [name, np.asarray(words).tolist(), position, has_gauss, gauss],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [one.tolist() for one in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go back to a state; that of CUDA only where as many devices are there as it was taken from."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, words, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, np.array(words, dtype=np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([torch.tensor(one, dtype=torch.uint8) for one in state["cuda"]])


def seed_everything(*words: int | str) -> None:
    """Seed all generators by whole numbers and words: other ones, other streams."""
    seed = int(digest_of(list(words))[:15], 16)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


@contextmanager
def random_apart(*words: int | str) -> Iterator[None]:
    """Draw from generators seeded by ``words``; afterwards those of before go on as if nothing had been drawn."""
    before = random_state()
    if words:
        seed_everything(*words)
    try:
        yield
    finally:
        set_random_state(before)
