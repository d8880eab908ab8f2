"""The true world: modules, complexes, hubs and the signed directed regulation between genes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.streams import stream

# Strength of an edge: log fold change of the regulated gene per log fold change of the regulator.
_ON_HUB, _BY_HUB, _BY_COMPLEX, _BY_GENE = 0.7, 0.5, 0.35, 0.35
_STRENGTH_SPREAD = 0.35  # of the log strength
_ACTIVATING = 0.65  # share of a regulator's edges that have its own main sign
_INHIBITORY_MEMBER = 0.04  # share of complex members that act against their complex
_OWN_MODULE = 0.6  # share of a regulator's genes that are of its module
_IN_COMPLEX = 0.5  # share of the genes beside hubs that are in a complex
_WEAKENING = 0.8  # of feedback edges, per round, until the steady state exists


@dataclass(frozen=True, eq=False)
class Wiring:
    """Who is in which module and complex, and who regulates whom.

    Args:
        genes: (genes,) symbols.
        module: (genes,) int64 module of each gene.
        complex: (genes,) int64 complex of each gene, -1 where it is in none.
        hub: (genes,) bool: regulators that their module's complexes act on.
        popularity: (genes,) float64 > 0, mean 1, heavy-tailed: how much a gene is studied.
        regulation: (genes, genes) csr float64; row = regulator, column = regulated gene; log fold change of the
            regulated gene per log fold change of the regulator, signed.
        baseline: (genes,) float64 log of the mean expression, up to a constant.
    """

    genes: NDArray
    module: NDArray[np.int64]
    complex: NDArray[np.int64]
    hub: NDArray[np.bool_]
    popularity: NDArray[np.float64]
    regulation: sp.csr_array
    baseline: NDArray[np.float64]

    def silencing(self, genes: NDArray[np.int64]) -> "Wiring":
        """The same wiring, in which these genes regulate nothing."""
        keeps = np.ones(len(self.genes))
        keeps[genes] = 0
        regulation = sp.csr_array(sp.diags_array(keeps) @ self.regulation)
        regulation.eliminate_zeros()
        return replace(self, regulation=regulation)


def make_wiring(config: SimulatorConfig) -> Wiring:
    """Draw the wiring of a world."""
    rng = stream(config.seed, "wiring")
    module = rng.permutation(np.arange(config.genes) % config.modules)
    hub, complexes = _members(config, module, rng)
    edges = list(_edges(config, module, hub, complexes, rng))
    regulation = _regulation(edges, hub, complexes, config, rng)
    popularity = np.exp(rng.normal(0, 0.8, config.genes)) * np.where(hub, 2.0, 1.0)
    baseline = rng.normal(0, 1, config.genes) - 0.5 * hub
    return Wiring(
        genes=np.array([f"GEN{i + 1:04d}" for i in range(config.genes)]),
        module=module,
        complex=complexes,
        hub=hub,
        popularity=popularity / popularity.mean(),
        regulation=regulation,
        baseline=baseline,
    )


def _members(
    config: SimulatorConfig, module: NDArray, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Hubs and complexes of each module; the other genes are in no complex."""
    hub = np.zeros(config.genes, dtype=bool)
    complexes = np.full(config.genes, -1, dtype=np.int64)
    count = config.complexes_per_module
    for m in range(config.modules):
        members = rng.permutation(np.flatnonzero(module == m))
        hub[members[: config.hubs_per_module]] = True
        rest = members[config.hubs_per_module :]
        inside = max(3 * count, round(len(rest) * _IN_COMPLEX))
        complexes[rest[:inside]] = m * count + np.arange(inside) % count
    return hub, complexes


@dataclass(frozen=True, eq=False)
class _Program:
    """Genes that one regulator acts on, with signed strengths; its members share it."""

    members: NDArray[np.int64]
    regulated: NDArray[np.int64]
    strength: NDArray[np.float64]
    kept: float


def _edges(
    config: SimulatorConfig, module: NDArray, hub: NDArray, complexes: NDArray, rng: np.random.Generator
) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """(regulator, regulated, strength) blocks: complex to hub, complex to gene, hub to gene, gene to gene."""
    genes = np.arange(config.genes)
    partner = rng.permutation(config.modules)
    for c in range(config.modules * config.complexes_per_module):
        members = np.flatnonzero(complexes == c)
        home = c // config.complexes_per_module
        hubs = _some_hubs(hub, module, home, int(partner[home]), rng)
        on_hubs = np.abs(_signed(len(hubs), _ON_HUB, rng))
        on_hubs[1:] *= rng.choice([-1.0, 1.0])
        yield from _expand(_Program(members, hubs, on_hubs, 0.95), rng)
        regulated = _pick(config.complex_regulation, home, module, rng)
        yield from _expand(_Program(members, regulated, _signed(len(regulated), _BY_COMPLEX, rng), 0.85), rng)
    for h in np.flatnonzero(hub):
        regulated = _pick(config.hub_regulation, int(module[h]), module, rng)
        yield np.full(len(regulated), h), regulated, _signed(len(regulated), _BY_HUB, rng)
    for gene, count in zip(genes, rng.poisson(config.own_regulation, config.genes), strict=True):
        regulated = rng.choice(genes, size=min(int(count), len(genes)), replace=False)
        yield np.full(len(regulated), gene), regulated, _signed(len(regulated), _BY_GENE, rng)


def _some_hubs(hub: NDArray, module: NDArray, home: int, partner: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The main hub of the complex's module, and in half of the cases one more, of its own or a partner module."""
    at_home = np.flatnonzero(hub & (module == home))
    others = np.setdiff1d(np.flatnonzero(hub & np.isin(module, (home, partner))), at_home[:1])
    if len(others) and rng.random() < 0.5:
        return np.array([at_home[0], rng.choice(others)])
    return at_home[:1]


def _pick(mean: float, home: int, module: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """Regulated genes, mostly of the home module; their number is log-normal around ``mean``."""
    size = min(round(mean * float(np.exp(rng.normal(-0.18, 0.6)))), len(module))
    weight = np.where(module == home, _OWN_MODULE / (module == home).mean(), (1 - _OWN_MODULE))
    return rng.choice(len(module), size=size, replace=False, p=weight / weight.sum())


def _signed(count: int, strength: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Strengths whose signs mostly agree with the regulator's main sign."""
    main = rng.choice([-1.0, 1.0])
    signs = np.where(rng.random(count) < _ACTIVATING, main, -main)
    return signs * strength * np.exp(rng.normal(0, _STRENGTH_SPREAD, count))


def _expand(program: _Program, rng: np.random.Generator) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """The edges of every member: its share in the program, some edges missing, some members against the rest."""
    for member in program.members:
        share = np.exp(rng.normal(0, _STRENGTH_SPREAD)) * (-1.0 if rng.random() < _INHIBITORY_MEMBER else 1.0)
        kept = rng.random(len(program.regulated)) < program.kept
        yield np.full(int(kept.sum()), member), program.regulated[kept], share * program.strength[kept]


def _regulation(
    edges: list[tuple],
    hub: NDArray,
    complexes: NDArray,
    config: SimulatorConfig,
    rng: np.random.Generator,
) -> sp.csr_array:
    """One matrix, without self-regulation, whose loops do not amplify themselves.

    Regulation runs from complexes to hubs to the other genes ("effectors"), and among effectors in one order (edges
    between them are turned round where they must be). Edges against this order close loops; they are weakened together
    until the spectral radius of ``|W|`` is at most ``config.gain``. That always ends, because without them the matrix
    is nilpotent.
    """
    rows, columns, strengths = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    layer = np.select([complexes >= 0, hub], [0.0, 1.0], 2.0 + rng.permutation(config.genes))
    turned = (layer[columns] >= 2) & (layer[rows] > layer[columns])
    rows, columns = np.where(turned, columns, rows), np.where(turned, rows, columns)
    kept = rows != columns
    rows, columns, strengths = rows[kept], columns[kept], strengths[kept]
    feedback = layer[rows] >= layer[columns]
    while True:
        matrix = sp.coo_array((strengths, (rows, columns)), shape=(config.genes, config.genes)).tocsr()
        matrix.sum_duplicates()
        if spectral_radius(abs(matrix)) <= config.gain:
            return matrix
        strengths = np.where(feedback, strengths * _WEAKENING, strengths)


def spectral_radius(matrix: sp.csr_array, *, rounds: int = 200) -> float:
    """Largest eigenvalue of a matrix without negative entries, by power iteration on ``I + matrix``.

    The identity is added because a matrix with a cyclic structure would otherwise make the iteration oscillate.
    """
    vector = np.ones(len(matrix.indptr) - 1)
    norm = 1.0
    for _ in range(rounds):
        vector = vector + matrix @ vector
        norm = float(np.linalg.norm(vector))
        vector = vector / norm
    return norm - 1.0
