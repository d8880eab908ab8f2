"""EdgeTable: the edges of one relation, between names or between node indices."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import FileFormatError

EType = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """Edges of one relation as codes into two name lists.

    A source makes one with the names as its file spells them; ``build`` resolves names to the graph's nodes, after
    which ``src_names`` and ``dst_names`` are the node lists of the graph.

    Args:
        etype: (source node type, relation, destination node type).
        src: (edges,) int64 codes into ``src_names``.
        dst: (edges,) int64 codes into ``dst_names``.
        weight: (edges,) float32, finite and >= 0.
        src_names: (sources,) names of the source side.
        dst_names: (destinations,) names of the destination side.
        sign: (edges,) int8 in {-1, 0, +1}, or None where the relation has no signs.
        directed: whether u -> v says nothing about v -> u. An undirected gene-gene relation is stored once per pair by
            sources and in both directions by ``build``.

    Raises:
        FileFormatError: lengths differ, codes out of range, weights NaN, infinite or negative.
    """

    etype: EType
    src: NDArray[np.int64]
    dst: NDArray[np.int64]
    weight: NDArray[np.float32]
    src_names: NDArray
    dst_names: NDArray
    sign: NDArray[np.int8] | None = None
    directed: bool = False

    def __post_init__(self) -> None:
        lengths = {len(self.src), len(self.dst), len(self.weight)}
        if self.sign is not None:
            lengths.add(len(self.sign))
        if len(lengths) != 1:
            raise FileFormatError(f"the columns of {self.etype} have different lengths", found=str(sorted(lengths)))
        for codes, names, side in ((self.src, self.src_names, "source"), (self.dst, self.dst_names, "destination")):
            if len(codes) and (codes.min() < 0 or codes.max() >= len(names)):
                raise FileFormatError(f"{self.etype} has {side} codes outside its {len(names)} names")
        bad = ~np.isfinite(self.weight) | (self.weight < 0)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise FileFormatError(
                f"{int(bad.sum())} weights of {self.etype} are negative, NaN or infinite",
                expected="finite weights >= 0 (a negative effect is a sign, not a weight)",
                found=f"{self.weight[row]} for {self.src_names[self.src[row]]} - {self.dst_names[self.dst[row]]}",
                remedy="drop or mend these rows",
            )

    @property
    def relation(self) -> str:
        """The middle of the edge type."""
        return self.etype[1]

    def __len__(self) -> int:
        return len(self.src)

    def take(self, rows: NDArray) -> "EdgeTable":
        """The edges at ``rows`` (indices or a mask), in that order."""
        sign = None if self.sign is None else self.sign[rows]
        return replace(self, src=self.src[rows], dst=self.dst[rows], weight=self.weight[rows], sign=sign)

    def with_weight(self, weight: NDArray) -> "EdgeTable":
        """The same edges with other weights."""
        return replace(self, weight=np.asarray(weight, dtype=np.float32))
