"""Names of the simulated genes in every naming system, outside the ranges that real genes have."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.streams import stream

_RENAMED = 0.05  # share of genes with a previous symbol that some files still use
SHARED_ALIAS = "GENAMB"  # an alias of two genes, so it names neither


@dataclass(frozen=True, eq=False)
class Identifiers:
    """Names of each gene; all (genes,) str.

    Args:
        symbol: current symbol, GEN0001 ...
        previous: previous symbol, or "" where the gene was never renamed.
        ensp: Ensembl protein.
        ensembl: Ensembl gene.
        uniprot: UniProt accession (ten characters, as new ones are).
        entrez: NCBI gene id.
    """

    symbol: NDArray
    previous: NDArray
    ensp: NDArray
    ensembl: NDArray
    uniprot: NDArray
    entrez: NDArray

    def as_older_files_say(self) -> NDArray:
        """(genes,) the previous symbol where there is one, else the current one."""
        return np.where(self.previous == "", self.symbol, self.previous)


def make_identifiers(config: SimulatorConfig, symbols: NDArray) -> Identifiers:
    """Names for all genes; some are renamed where the configuration asks for traps."""
    rng = stream(config.seed, "identifiers")
    numbers = np.arange(1, len(symbols) + 1)
    share = _RENAMED if config.knowledge.traps else 0.0
    renamed = rng.permutation(len(symbols))[: round(share * len(symbols))]
    previous = np.full(len(symbols), "", dtype="<U10")
    previous[renamed] = [f"OLDGEN{i:04d}" for i in numbers[renamed]]
    return Identifiers(
        symbol=symbols,
        previous=previous,
        ensp=np.array([f"ENSP9{i:010d}" for i in numbers]),
        ensembl=np.array([f"ENSG9{i:010d}" for i in numbers]),
        uniprot=np.array([f"A9Z{i // 1000:03d}Z{i % 1000:03d}" for i in numbers]),
        entrez=np.array([str(900_000_000 + i) for i in numbers]),
    )
