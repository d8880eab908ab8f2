"""A world: the truth, the cells measured in it, the effects read off the cells, and what databases know."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gnnvcell.data.differential import DifferentialExpression, differential_expression
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.counts import draw_cells
from gnnvcell.data.simulator.knockdowns import KnockDowns, choose_knockdowns
from gnnvcell.data.simulator.knowledge.files import RECIPE, write_knowledge
from gnnvcell.data.simulator.knowledge.text_files import write_lines
from gnnvcell.data.simulator.knowledge.visibility import Visibility, make_visibility
from gnnvcell.data.simulator.response import steady_state
from gnnvcell.data.simulator.wiring import Wiring, make_wiring
from gnnvcell.errors import DataError
from gnnvcell.files import atomic_folder, write_text

_SETTINGS = "simulator.json"
LABEL_FILES = {"de": "de", "dir": "direction"}


@dataclass(frozen=True, eq=False)
class Truth:
    """What a real experiment never sees. Models and labels are made without it.

    Args:
        wiring: modules, complexes and regulation, in which null targets regulate nothing.
        knockdowns: targets, residual expression and split.
        effects: (knock-downs, genes) float64 natural log fold changes at the steady state.
        visibility: which genes the databases know by name alone.
    """

    wiring: Wiring
    knockdowns: KnockDowns
    effects: NDArray[np.float64]
    visibility: Visibility

    @property
    def graph(self) -> sp.csr_array:
        """(genes, genes) signed regulation, row = regulator."""
        return self.wiring.regulation

    @property
    def targets(self) -> NDArray:
        """(knock-downs,) symbols of the targets."""
        return self.wiring.genes[self.knockdowns.targets]


@dataclass(frozen=True, eq=False)
class World:
    """A simulated experiment with its databases; made by ``simulate``.

    Args:
        config: all settings.
        truth: what is really so.
        cells: (cells, genes) integer counts; obs ``target_gene``, ``batch``, ``cell_type``.
    """

    config: SimulatorConfig
    truth: Truth
    cells: ad.AnnData

    @cached_property
    def measured(self) -> DifferentialExpression:
        """Tests and effect sizes from the cells alone."""
        return differential_expression(self.cells)

    def effects(self, kind: str) -> EffectTable:
        """Effects of the knock-downs as measured in the cells, with train and test knock-downs.

        Args:
            kind: "de" (differentially expressed), "direction" (up, among those) or "delta" (log1p difference).

        Raises:
            DataError: unknown kind.
        """
        split = dict(zip(self.truth.targets.tolist(), self.truth.knockdowns.split.tolist(), strict=True))
        return self.measured.effects(
            kind,
            fdr=self.config.fdr,
            split=np.array([split[name] for name in self.measured.perturbations.tolist()]),
            context=self.config.line,
        )

    def write(self, folder: str | Path, *, cells: bool = True, truth: bool = True) -> Path:
        """Write the world into a folder that takes the place of what was there.

        The databases' files and ``recipe.toml`` stand at the top, so that ``gnnvcell.graphs.build(folder/recipe.toml)``
        works; ``labels/<line>-de.csv.gz`` and ``labels/<line>-dir.csv.gz`` are what ``gnnvcell bench sources`` reads;
        ``simulator.json`` is the configuration.

        Args:
            folder: where to.
            cells: whether to write ``cells.h5ad``.
            truth: whether to write ``truth/regulation.tsv.gz`` and ``truth/effects.tsv.gz``.

        Raises:
            DataError: the folder holds something that is not a world.
        """
        _require_own(Path(folder))
        with atomic_folder(folder) as temporary:
            write_knowledge(temporary, self.config, self.truth.wiring, self.truth.visibility)
            write_text(temporary / "recipe.toml", RECIPE)
            write_text(temporary / _SETTINGS, json.dumps(self.config.model_dump(mode="json"), indent=1) + "\n")
            for name, kind in LABEL_FILES.items():
                path = temporary / "labels" / f"{self.config.line}-{name}.csv.gz"
                write_lines(path, label_lines(self.effects(kind)))
            if cells:
                self.cells.write_h5ad(temporary / "cells.h5ad", compression="gzip")
            if truth:
                _write_truth(temporary / "truth", self.truth)
        return Path(folder)


def simulate(config: SimulatorConfig | None = None) -> World:
    """Make a world; the same configuration gives the same bits.

    Args:
        config: all settings; the defaults when left out.

    Raises:
        ConfigError: the regulation has no steady state.

    Example:
        >>> world = simulate(SimulatorConfig(genes=60, modules=3, targets=8, control_cells=40, cells_per_target=10))
        >>> world.cells.shape
        (120, 60)
    """
    config = config or SimulatorConfig()
    wiring = make_wiring(config)
    knockdowns = choose_knockdowns(config, wiring)
    wiring = wiring.silencing(knockdowns.targets[knockdowns.null])
    effects = steady_state(wiring.regulation, knockdowns.targets, knockdowns.residual, saturation=config.saturation)
    truth = Truth(wiring, knockdowns, effects, make_visibility(config, wiring))
    return World(config, truth, draw_cells(config, wiring, knockdowns.targets, effects))


def label_lines(table: EffectTable) -> list[str]:
    """The rows ``pert,gene,label,split`` of a label table, with their header; measured pairs only."""
    rows, columns = np.nonzero(table.measured)
    lines = zip(
        table.perturbations[rows].tolist(),
        table.genes[columns].tolist(),
        table.values[rows, columns].astype(int).tolist(),
        table.split[rows].tolist(),
        strict=True,
    )
    return ["pert,gene,label,split", *(",".join(map(str, line)) for line in lines)]


def _require_own(folder: Path) -> None:
    """Only an empty folder or an earlier world may be replaced."""
    if folder.exists() and not (folder / _SETTINGS).exists() and (folder.is_file() or any(folder.iterdir())):
        raise DataError(
            f"{folder} is there and is not a simulated world",
            expected=f"a new or empty folder, or one with {_SETTINGS}",
            remedy="choose another folder, so that nothing of yours is replaced",
        )


def _write_truth(folder: Path, truth: Truth) -> None:
    edges = truth.graph.tocoo()
    genes = truth.wiring.genes
    rows = zip(genes[edges.row].tolist(), genes[edges.col].tolist(), edges.data.tolist(), strict=True)
    lines = ["regulator\tregulated\tweight", *(f"{a}\t{b}\t{weight:.4f}" for a, b, weight in rows)]
    write_lines(folder / "regulation.tsv.gz", lines)
    header = "\t".join(["target", "residual", "null", *genes.tolist()])
    table = zip(truth.targets.tolist(), truth.knockdowns.residual, truth.knockdowns.null, truth.effects, strict=True)
    effects = ["\t".join([t, f"{r:.4f}", str(int(n)), *(f"{x:.4f}" for x in row)]) for t, r, n, row in table]
    write_lines(folder / "effects.tsv.gz", [header, *effects])
