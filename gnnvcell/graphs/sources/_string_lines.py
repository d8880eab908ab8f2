"""Compiled reading of STRING link lines: bytes to protein ids and scores, dropping low scores while reading.

A line is ``<species>.<protein> <species>.<protein> <int> ... <int>``. Only the ids of kept lines leave the kernel, so
that memory follows the thresholded graph and not the file.
"""

from dataclasses import dataclass, field
from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

MAX_SCORE = 1000
PRIOR = 0.041  # the chance that two random proteins interact, contained in every score of STRING

# What a column of scores is for.
IGNORED, PLAIN, COOCCURRENCE, TEXTMINING, HOMOLOGY, COMBINED = range(6)

# Places in the counters.
LINES, BLANK, ABOVE, HIGHEST, COMPARED, CLOSE, HOMOLOGOUS, LIKE_WITHOUT, LIKE_WITH = range(9)
_NUM_COUNTERS = 9

_TOLERANCE = 2  # thousandths; published channels are rounded, so a recombination may be off by this much
_SPACE, _NEWLINE, _RETURN, _ZERO = 32, 10, 13, 48
_LONGEST_NUMBER = 4


@dataclass(frozen=True)
class ScorePlan:
    """How the score columns of a links file become one score.

    Args:
        roles: (columns,) int8 role of each column in the score that is wanted.
        all_roles: (columns,) int8 roles when every channel counts, to compare with the published score.
        recombine: whether the score is recombined from channels (else the published combined score is taken).
        minimum: smallest score kept, in thousandths.
    """

    roles: NDArray[np.int8]
    all_roles: NDArray[np.int8]
    recombine: bool
    minimum: int


@dataclass
class Counters:
    """Counts over all lines read so far; ``values[LINES]`` and so on."""

    values: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_NUM_COUNTERS, np.int64))

    def __getitem__(self, place: int) -> int:
        return int(self.values[place])


@dataclass(frozen=True)
class KeptLines:
    """Lines of one block at or above the threshold.

    Args:
        id_bytes: the ids without species prefix, back to back: protein1, protein2, protein1, ...
        id_offsets: (2 * kept + 1,) int32 where each id starts in ``id_bytes``.
        scores: (kept, 2) int16 thousandths without and with homology correction.
        bad_line: where in the block a line that cannot be read starts, or -1.
    """

    id_bytes: NDArray[np.uint8]
    id_offsets: NDArray[np.int32]
    scores: NDArray[np.int16]
    bad_line: int


def read_lines(block: bytes | memoryview, prefix: bytes, plan: ScorePlan, counters: Counters) -> KeptLines:
    """Read a block of whole lines up to its end or to the first line that is not as it should be.

    Args:
        block: bytes that end with a line feed.
        prefix: what every id starts with, ``b"9606."``.
        plan: what the columns mean.
        counters: added to.
    """
    data = np.frombuffer(block, np.uint8)
    if len(plan.roles) > 1:
        return _scan_into(data, prefix, plan, counters, by_layout=False)[0]
    before = counters.values.copy()
    kept, separators = _scan_into(data, prefix, plan, counters, by_layout=True)
    # Lines laid out like the one before are not looked at byte by byte. That the block has no other separators than the
    # ones that were met proves that nothing was missed; else every byte is looked at, to find the line.
    if kept.bad_line >= 0 or separators != np.count_nonzero(data <= _SPACE):
        counters.values[:] = before
        kept, _ = _scan_into(data, prefix, plan, counters, by_layout=False)
    return kept


def _scan_into(
    data: NDArray[np.uint8], prefix: bytes, plan: ScorePlan, counters: Counters, *, by_layout: bool
) -> tuple[KeptLines, int]:
    """The kept lines, and how many separators (spaces, line ends) were met."""
    shortest = 2 * (len(prefix) + 2) + 2 * len(plan.roles)  # both ids of one character, every score of one digit
    room = len(data) // shortest + 1
    ids = np.empty(len(data), np.uint8)
    offsets = np.empty(2 * room + 1, np.int32)
    offsets[0] = 0
    scores = np.empty((room, 2), np.int16)
    kept, bad_line, separators = _scan(
        data,
        np.frombuffer(prefix, np.uint8),
        plan.roles,
        plan.all_roles,
        plan.recombine,
        plan.minimum,
        by_layout,
        _CHANCE,
        ids,
        offsets,
        scores,
        counters.values,
    )
    offsets = offsets[: 2 * kept + 1].copy()
    return KeptLines(ids[: offsets[-1]].copy(), offsets, scores[:kept].copy(), bad_line), separators


def _chance_by_score() -> NDArray[np.float64]:
    """(1001,) by score in thousandths: 1 - score once the prior is taken away."""
    score = np.arange(MAX_SCORE + 1) / 1000
    return 1 - np.maximum(score - PRIOR, 0) / (1 - PRIOR)


_CHANCE = _chance_by_score()

# ``no_type_check`` keeps the run-time type check of the tests from wrapping the kernels: numba compiles no wrappers.


@numba.njit(cache=True, nogil=True)
@no_type_check
def combine(scores, roles, chance):
    """Combine the channels of one line by STRING's rule into (score without, score with homology correction).

    From each channel s the prior p is taken away, ``s' = max(s - p, 0) / (1 - p)``; the channels are joined as
    independent evidence, ``1 - prod(1 - s')``; the prior is put back once, ``s (1 - p) + p``. With homology correction
    co-occurrence and text mining (direct and transferred joined) count by ``s' (1 - homology)``. Rounded down to
    thousandths as STRING does, except that a value a binary rounding error below a thousandth is not lowered by one.

    Args:
        scores: (columns,) int scores in thousandths.
        roles: (columns,) int8 roles.
        chance: (1001,) float64, ``1 - s'`` by score.
    """
    plain, occurrence, text, homology = 1.0, 1.0, 1.0, 0.0
    for column in range(len(roles)):
        role = roles[column]
        if role == PLAIN:
            plain *= chance[scores[column]]
        elif role == COOCCURRENCE:
            occurrence *= chance[scores[column]]
        elif role == TEXTMINING:
            text *= chance[scores[column]]
        elif role == HOMOLOGY:
            homology = scores[column] / 1000
    without = 1 - plain * occurrence * text
    corrected = 1 - plain * (1 - (1 - occurrence) * (1 - homology)) * (1 - (1 - text) * (1 - homology))
    back = 1000 * (1 - PRIOR)
    return int(without * back + 1000 * PRIOR + 1e-6), int(corrected * back + 1000 * PRIOR + 1e-6)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _at(data, position):
    """The byte there. An unsigned index spares the test for counting from the end, which halves the time of a scan."""
    return data[np.uintp(position)]


@numba.njit(cache=True, nogil=True)
@no_type_check
def _end_of_id(data, position, prefix):
    """Where the id that starts at ``position`` ends (at a space), or -1 if it is empty or lacks the prefix."""
    for place in range(len(prefix)):
        if _at(data, position) != _at(prefix, place):
            return -1
        position += 1
    start = position
    while _at(data, position) > _SPACE:
        position += 1
    return position if _at(data, position) == _SPACE and position > start else -1


@numba.njit(cache=True, nogil=True)
@no_type_check
def _read_scores(data, position, scores, counters):
    """Read the scores after the space at ``position``; where the next line starts, or -1 if they are not right.

    A published score above 1000 (scores that someone added up) counts as 1000; a channel above 1000 is not right.
    """
    last = len(scores) - 1
    for column in range(last + 1):
        position += 1
        start = position
        value = 0
        while _ZERO <= _at(data, position) <= _ZERO + 9 and position - start < _LONGEST_NUMBER:
            value = 10 * value + np.int64(_at(data, position)) - _ZERO
            position += 1
        if position == start or (column < last and (value > MAX_SCORE or _at(data, position) != _SPACE)):
            return -1
        if value > MAX_SCORE:
            counters[ABOVE] += 1
            value = MAX_SCORE
        scores[column] = value
    if _at(data, position) == _RETURN:
        position += 1
    return position + 1 if _at(data, position) == _NEWLINE else -1


@numba.njit(cache=True, nogil=True)
@no_type_check
def _compare(scores, roles, chance, counters):
    """Recombine all channels and count how it agrees with the published score, with and without homology correction."""
    without, corrected = combine(scores, roles, chance)
    published = scores[len(scores) - 1]
    near, near_corrected = abs(without - published) <= _TOLERANCE, abs(corrected - published) <= _TOLERANCE
    counters[COMPARED] += 1
    counters[CLOSE] += near or near_corrected
    if abs(without - corrected) > _TOLERANCE:
        counters[HOMOLOGOUS] += 1
        counters[LIKE_WITHOUT] += near
        counters[LIKE_WITH] += near_corrected


@numba.njit(cache=True, nogil=True)
@no_type_check
def _copy_id(data, start, stop, ids, offsets, number):
    used = offsets[number]
    for position in range(start, stop):
        ids[used] = _at(data, position)
        used += 1
    offsets[number + 1] = used


@numba.njit(cache=True, nogil=True)
@no_type_check
def _count_alike(data, start, first, second, length, prefix, scores):
    """How many lines from ``start`` on are laid out like a line with these ends of its ids; fills their one score.

    Lines are checked without branches over their bytes and without waiting for each other: most files have ids of one
    length, and then this is several times as fast as a scan.
    """
    for number in range((len(data) - start) // length):
        line = start + number * length
        last = line + length - 1
        alike = (_at(data, line + first) == _SPACE) & (_at(data, line + second) == _SPACE)
        alike &= _at(data, last) == _NEWLINE
        for place in range(len(prefix)):
            byte = _at(prefix, place)
            alike &= (_at(data, line + place) == byte) & (_at(data, line + first + 1 + place) == byte)
        score = 0
        for position in range(line + second + 1, last):
            digit = np.int64(_at(data, position)) - _ZERO
            alike &= (digit >= 0) & (digit <= 9)
            score = 10 * score + digit
        if not alike or score > MAX_SCORE:
            return number
        scores[number] = score
    return (len(data) - start) // length


@numba.njit(cache=True, nogil=True)
@no_type_check
def _keep(data, line, first, second, skip, without, corrected, kept, ids, offsets, kept_scores):
    _copy_id(data, line + skip, line + first, ids, offsets, 2 * kept)
    _copy_id(data, line + first + 1 + skip, line + second, ids, offsets, 2 * kept + 1)
    kept_scores[kept, 0], kept_scores[kept, 1] = without, corrected


@numba.njit(cache=True, nogil=True)
@no_type_check
def _scan(data, prefix, roles, all_roles, recombine, minimum, by_layout, chance, ids, offsets, kept_scores, counters):
    """Fill ``ids``, ``offsets``, ``kept_scores``; returns (lines kept, start of a bad line or -1, separators met)."""
    position, kept, skip, lines, highest, separators = 0, 0, len(prefix), 0, 0, 0
    scores = np.empty(len(roles), np.int64)
    alike = np.empty(len(kept_scores), np.int16)
    while position < len(data):
        line = position
        if _at(data, line) == _NEWLINE:
            counters[BLANK] += 1
            separators += 1
            position += 1
            continue
        first = _end_of_id(data, line, prefix)
        second = -1 if first < 0 else _end_of_id(data, first + 1, prefix)
        position = -1 if second < 0 else _read_scores(data, second, scores, counters)
        if position < 0:
            break
        first, second, length = first - line, second - line, position - line
        separators += len(scores) + 2 + (_at(data, position - 2) == _RETURN)
        lines += 1
        without = corrected = scores[-1]
        if recombine:
            _compare(scores, all_roles, chance, counters)
            without, corrected = combine(scores, roles, chance)
        highest = max(highest, without)
        if without >= minimum:
            _keep(data, line, first, second, skip, without, corrected, kept, ids, offsets, kept_scores)
            kept += 1
        more = _count_alike(data, position, first, second, length, prefix, alike) if by_layout else 0
        for number in range(more):
            score = alike[number]
            highest = max(highest, score)
            if score >= minimum:
                _keep(
                    data, position + number * length, first, second, skip, score, score, kept, ids, offsets, kept_scores
                )
                kept += 1
        separators += 3 * more
        lines += more
        position += more * length
    counters[LINES] += lines
    counters[HIGHEST] = max(counters[HIGHEST], highest)
    return kept, line if position < 0 else -1, separators
