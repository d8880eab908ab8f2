"""Compiled reading of STRING link lines: bytes to protein codes and scores, dropping low scores while reading.

A line is ``<species>.<protein> <species>.<protein> <int> ... <int>``. Only the proteins of kept lines are interned, so
that memory follows the thresholded graph and not the file.
"""

import numba
import numpy as np
from numpy.typing import NDArray

# What a column of scores is for; ``Plan.roles`` has one of these per column.
IGNORED, PLAIN, COOCCURRENCE, TEXTMINING, HOMOLOGY, COMBINED = range(6)

# How a kernel run ended.
DONE, TABLE_FULL, BAD_LINE = range(3)

# Places in the counters array.
LINES, KEPT, BLANK, WITH, WITHOUT, DIFFERING, CLOSE = range(7)
NUM_COUNTERS = 7

MAX_SCORE = 1000
PRIOR = 0.041

_SPACE, _NEWLINE, _RETURN, _ZERO = 32, 10, 13, 48
_FNV_OFFSET, _FNV_PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)
_LONGEST_NUMBER = 4


def unlikely_by_score() -> NDArray[np.float64]:
    """(1001,) probability, by score in thousandths, that one channel's evidence is chance once the prior is taken away."""
    score = np.arange(MAX_SCORE + 1) / 1000
    return 1 - np.maximum(score - PRIOR, 0) / (1 - PRIOR)


@numba.njit(cache=True, nogil=True)
def thousandths(unlikely: float) -> int:
    """Combined score in thousandths, rounded down as STRING does, from the product of the channels' ``1 - score``.

    The small term undoes binary rounding: a channel of 900 alone is 900, where STRING's script says 899.
    """
    return int(((1 - unlikely) * (1 - PRIOR) + PRIOR) * 1000 + 1e-6)


@numba.njit(cache=True, nogil=True)
def combine(scores, roles, unlikely):
    """Scores of one line to (without, with) homology correction, in thousandths.

    With correction, co-occurrence and text-mining evidence counts only by ``1 - homology``.
    """
    plain, occurrence, text, homology = 1.0, 1.0, 1.0, 0.0
    for column in range(len(roles)):
        role = roles[column]
        if role == PLAIN:
            plain *= unlikely[scores[column]]
        elif role == COOCCURRENCE:
            occurrence *= unlikely[scores[column]]
        elif role == TEXTMINING:
            text *= unlikely[scores[column]]
        elif role == HOMOLOGY:
            homology = scores[column] / 1000
    without = thousandths(plain * occurrence * text)
    occurrence = 1 - (1 - occurrence) * (1 - homology)
    text = 1 - (1 - text) * (1 - homology)
    return without, thousandths(plain * occurrence * text)


@numba.njit(cache=True, nogil=True)
def _intern(data, start, stop, slots, starts, pool):
    """Code of ``data[start:stop]``, adding it if it is new. ``slots[0]`` of ``starts`` bookkeeping is in starts[-1]."""
    value = _FNV_OFFSET
    for position in range(start, stop):
        value = (value ^ np.uint64(data[position])) * _FNV_PRIME
    mask = len(slots) - 1
    slot = np.int64((value ^ (value >> np.uint64(32))) & np.uint64(mask))
    length = stop - start
    while True:
        code = slots[slot] - 1
        if code < 0:
            break
        begin = starts[code]
        if starts[code + 1] - begin == length:
            same = True
            for offset in range(length):
                if pool[begin + offset] != data[start + offset]:
                    same = False
                    break
            if same:
                return code
        slot = (slot + 1) & mask
    code = starts[-1]
    begin = starts[code]
    for offset in range(length):
        pool[begin + offset] = data[start + offset]
    starts[code + 1] = begin + length
    starts[-1] = code + 1
    slots[slot] = code + 1
    return code
