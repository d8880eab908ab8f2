"""Random streams: one per part of the world, so that a knob of one part does not change the others."""

import zlib

import numpy as np


def stream(seed: int, part: str) -> np.random.Generator:
    """The generator of one part ("wiring", "counts" ...) of the world with that seed."""
    return np.random.default_rng([seed, zlib.crc32(part.encode())])
