"""channel_readout: message sums to scores, channels and readout in one pass that keeps no channel in memory."""

from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from gnnvcell.errors import GraphIntegrityError
from gnnvcell.ops.kernels.threads import over_rows

SIDES = 4  # own, graph, data, overall
_BLOCK = 128  # genes that are read out together: their channels stay in the first-level cache


@dataclass(frozen=True, eq=False)
class MessageSums:
    """What reached some perturbations: one line for each (perturbation, kernel) by which anything came.

    Args:
        start: (rows + 1,) first line of each perturbation.
        kernel: (lines,) kernel of each line.
        own, graph, data: (lines, genes) sums of messages of each side.
        overall: (lines,) sums of the side that is the same for all genes.
        reach: (lines,) sum of the kernel's weights.
        measured: (lines, incomplete genes) evidence of the own side where a gene was not measured under every
            training perturbation; of the other genes it is ``reach``.
    """

    start: Int64[NDArray, " rows_1"]
    kernel: Int64[NDArray, " lines"]
    own: Float32[NDArray, "lines genes"]
    graph: Float32[NDArray, "lines genes"]
    data: Float32[NDArray, "lines genes"]
    overall: Float32[NDArray, " lines"]
    reach: Float32[NDArray, " lines"]
    measured: Float32[NDArray, "lines incomplete"]


@dataclass(frozen=True, eq=False)
class ReadoutWeights:
    """A one-hidden-layer readout of channels, its members side by side.

    Args:
        first: (hidden, channels) of all members; channel ``4 * kernel + side``.
        last: (hidden,) over the number of members.
        linear: (channels,) weights of the part without hidden layer.
        clip: channels are cut at plus and minus this value before the hidden layer.
        scale: (channels,) what channels are multiplied by first.
        halfway: (channels,) evidence at which a channel is half of what it would be.
        expected: (3, genes) evidence of one unit of reach over the graph, data and overall side.
        incomplete: (genes,) column of the gene in ``MessageSums.measured``, -1 where it was measured everywhere.
        gene: (hidden, genes) what the gene adds to the hidden layer.
    """

    first: Float32[NDArray, "hidden channels"]
    last: Float32[NDArray, " hidden"]
    linear: Float32[NDArray, " channels"]
    clip: float
    scale: Float32[NDArray, " channels"]
    halfway: Float32[NDArray, " channels"]
    expected: Float32[NDArray, "3 genes"]
    incomplete: Int64[NDArray, " genes"]
    gene: Float32[NDArray, "hidden genes"]


def channel_readout(
    sums: MessageSums, weights: ReadoutWeights, row: Float32[NDArray, "rows hidden"] | None = None
) -> Float32[NDArray, "rows genes"]:
    """Scores of every (perturbation, gene) pair.

    ``x_c = scale_c * sum_c / (evidence_c + halfway_c)``, evidence ``reach * expected`` or, of the own side, what was
    measured; ``score = linear . x + last . (silu(z + first clip(x)) - silu(z))`` with ``z = gene_g + row_p``. silu by
    a rational approximation of tanh (error below 1e-6). No gradient, float32, CPU.

    Args:
        sums: of some perturbations.
        weights: of the readout.
        row: (rows, hidden) what the perturbation adds to the hidden layer; nothing when left out.

    Returns:
        (rows, genes) scores; 0 for a perturbation without lines.

    Raises:
        GraphIntegrityError: sums and weights are of other numbers of genes, perturbations or kernels.
    """
    rows, genes = len(sums.start) - 1, weights.gene.shape[1]
    kernels = weights.first.shape[1] // SIDES
    given = np.zeros((rows, 0), dtype=np.float32) if row is None else np.ascontiguousarray(row)
    if sums.own.shape[1] != genes or len(given) != rows or sums.kernel.max(initial=-1) >= kernels:
        raise GraphIntegrityError(
            "message sums and readout do not fit",
            expected=f"{genes} genes, {len(given)} perturbations, {kernels} kernels",
            found=f"{sums.own.shape[1]} genes, {rows} perturbations, kernels to {sums.kernel.max(initial=-1)}",
        )
    rest = _at_rest(weights.gene, weights.last) if row is None else np.zeros(0, dtype=np.float32)
    out = np.empty((rows, genes), dtype=np.float32)
    work = weights.first.shape[0] * SIDES * genes
    over_rows(
        _read_out, sums.start, work,
        sums.start, sums.kernel, sums.own, sums.graph, sums.data, sums.overall, sums.reach, sums.measured,
        weights.first, weights.last, weights.linear, np.float32(weights.clip), weights.scale, weights.halfway,
        weights.expected, weights.incomplete, weights.gene, given, rest, out,
    )  # fmt: skip
    return out


# ``no_type_check`` keeps the run-time type check of the tests from wrapping the kernel: numba compiles no wrappers.
# numpy's error model: a loop that must stop at a division by zero is not vectorised.
@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
@no_type_check
def _silu(x):  # type: ignore[no-untyped-def]
    # tanh(x / 2) by the rational function of Eigen's generic ptanh; float32 all through, so that it is vectorised.
    t = min(max(np.float32(0.5) * x, np.float32(-9.0)), np.float32(9.0))
    s = t * t
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    half = np.float32(0.5) * x
    return half + half * (t * p / q)


@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
@no_type_check
def _at_rest(gene, last):  # type: ignore[no-untyped-def]
    """(genes,) ``last . silu(gene)``: what the hidden layer says without messages."""
    total = np.zeros(gene.shape[1], dtype=np.float32)
    for h in range(len(last)):
        for g in range(len(total)):
            total[g] += last[h] * _silu(gene[h, g])
    return total


@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
@no_type_check
def _make_channels(  # type: ignore[no-untyped-def]
    x, total, place, line, first_gene, count, kernel, own, graph, data, overall, reach, measured,
    linear, clip, scale, halfway, expected, incomplete,
):  # fmt: skip
    """Channels of one line, clipped, into four rows of ``x``; the linear part is added to ``total``."""
    at = 4 * kernel[line]
    weight, amount = reach[line], overall[line]
    for j in range(count):
        column = incomplete[first_gene + j]
        evidence = weight if column < 0 else measured[line, column]
        x[place, j] = own[line, first_gene + j] / (evidence + halfway[at])
    for j in range(count):
        g = first_gene + j
        x[place + 1, j] = graph[line, g] / (weight * expected[0, g] + halfway[at + 1])
        x[place + 2, j] = data[line, g] / (weight * expected[1, g] + halfway[at + 2])
        x[place + 3, j] = amount / (weight * expected[2, g] + halfway[at + 3])
    for side in range(4):
        factor, share = scale[at + side], linear[at + side]
        for j in range(count):
            value = factor * x[place + side, j]
            total[j] += share * value
            x[place + side, j] = min(max(value, -clip), clip)


@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
@no_type_check
def _read_out(  # type: ignore[no-untyped-def]
    first_row, last_row, start, kernel, own, graph, data, overall, reach, measured,
    first, last, linear, clip, scale, halfway, expected, incomplete, gene, row, rest, out,
):  # fmt: skip
    hidden, genes = gene.shape
    of_rows = row.shape[1] > 0
    x = np.zeros((first.shape[1], _BLOCK), dtype=np.float32)
    one, other = np.empty(_BLOCK, dtype=np.float32), np.empty(_BLOCK, dtype=np.float32)
    total = np.empty(_BLOCK, dtype=np.float32)
    weight = np.empty((hidden, first.shape[1]), dtype=np.float32)
    for r in range(first_row, last_row):
        lines = start[r + 1] - start[r]
        if lines == 0:
            out[r, :] = 0
            continue
        for i in range(lines):
            at = 4 * kernel[start[r] + i]
            for h in range(hidden):
                for side in range(4):
                    weight[h, 4 * i + side] = first[h, at + side]
        for g in range(0, genes, _BLOCK):
            count = min(_BLOCK, genes - g)
            total[:] = 0
            if not of_rows:
                total[:count] = -rest[g : g + count]
            for i in range(lines):
                _make_channels(
                    x, total, 4 * i, start[r] + i, g, count, kernel, own, graph, data, overall, reach, measured,
                    linear, clip, scale, halfway, expected, incomplete,
                )  # fmt: skip
            for h in range(0, hidden, 2):
                pair = min(h + 1, hidden - 1)  # an odd last one goes with itself, and counts once
                a, b = last[h], last[pair] if pair > h else np.float32(0)
                one[:count], other[:count] = gene[h, g : g + count], gene[pair, g : g + count]
                if of_rows:
                    for j in range(count):
                        one[j] += row[r, h]
                        other[j] += row[r, pair]
                        total[j] -= a * _silu(one[j]) + b * _silu(other[j])
                for c in range(0, 4 * lines, 4):
                    w0, w1, w2, w3 = weight[h, c], weight[h, c + 1], weight[h, c + 2], weight[h, c + 3]
                    v0, v1, v2, v3 = weight[pair, c], weight[pair, c + 1], weight[pair, c + 2], weight[pair, c + 3]
                    x0, x1, x2, x3 = x[c], x[c + 1], x[c + 2], x[c + 3]
                    for j in range(count):
                        one[j] += w0 * x0[j] + w1 * x1[j] + w2 * x2[j] + w3 * x3[j]
                        other[j] += v0 * x0[j] + v1 * x1[j] + v2 * x2[j] + v3 * x3[j]
                for j in range(count):
                    total[j] += a * _silu(one[j]) + b * _silu(other[j])
            for j in range(count):
                out[r, g + j] = total[j]
