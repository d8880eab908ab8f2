"""Large screens of a planted world: cell types, doubles with known interactions, counts written block by block."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from gnnvcell import keys
from gnnvcell.config import Config
from gnnvcell.data.cell_writer import open_writer
from gnnvcell.data.effects import EffectTable
from gnnvcell.data.simulator.config import SimulatorConfig
from gnnvcell.data.simulator.counts import counts_at
from gnnvcell.data.simulator.knockdowns import KnockDowns, choose_knockdowns
from gnnvcell.data.simulator.knowledge.files import RECIPE, write_knowledge
from gnnvcell.data.simulator.knowledge.visibility import make_visibility
from gnnvcell.data.simulator.response import steady_state
from gnnvcell.data.simulator.streams import stream
from gnnvcell.data.simulator.wiring import Wiring, make_wiring
from gnnvcell.errors import ConfigError, DataError
from gnnvcell.files import atomic_folder, write_text

ADDITIVE, SYNERGY, BUFFERING = "additive", "synergy", "buffering"
_SETTINGS = "screen.json"
_SYNERGY = 1.5  # of the sum of the parts
_SILENT = -8.0  # log rate of a gene that a cell type does not express, beside the others
_CELLS_AT_A_TIME = 2000


class ScreenConfig(Config):
    """A screen in several cell types.

    Args:
        world: wiring, knock-downs, batches, depth and noise; its ``control_cells`` and ``cells_per_target`` are of each
            cell type, and ``cells_per_target`` of each double.
        cell_types: number of cell types; their names are "type1", "type2" ...
        silent: share of the genes that a cell type does not express. Such a target does nothing there.
        baseline_spread: standard deviation of a gene's expression between cell types (natural log).
        effect_spread: standard deviation of the log of how strongly a cell type responds.
        doubles: number of pairs of targets that are also knocked down together.
        synergy, buffering: shares of the doubles that do more than the sum of their parts (1.5 times), and no more than
            the larger of them in every gene; the others are additive.
        interactions: what decides which: "pairs" draws each double for itself, so that no model can know it of a double
            that was not measured; "modules" draws each pair of modules, so that doubles of the same modules are alike.
    """

    world: SimulatorConfig = SimulatorConfig()
    cell_types: int = Field(default=1, ge=1)
    silent: float = Field(default=0.2, ge=0, lt=1)
    baseline_spread: float = Field(default=0.5, ge=0)
    effect_spread: float = Field(default=0.2, ge=0)
    doubles: int = Field(default=0, ge=0)
    synergy: float = Field(default=0.25, ge=0, le=1)
    buffering: float = Field(default=0.25, ge=0, le=1)
    interactions: Literal["pairs", "modules"] = "pairs"

    @property
    def cells(self) -> int:
        """Cells of the whole screen."""
        arms = self.world.targets + self.doubles
        return self.cell_types * (self.world.control_cells + arms * self.world.cells_per_target)


@dataclass(frozen=True, eq=False)
class ScreenTruth:
    """What is really so.

    Args:
        wiring: of all cell types.
        effects: true natural log fold changes of expression, one row for each (perturbation, cell type); ``control`` is
            the log of the expected share of each gene.
        interactions: double to "additive", "synergy" or "buffering".
        expressed: (cell types, genes) bool.
    """

    wiring: Wiring
    effects: EffectTable
    interactions: dict[str, str]
    expressed: NDArray[np.bool_]


def screen_truth(config: ScreenConfig) -> ScreenTruth:
    """Draw a screen without its cells; the same configuration gives the same bits.

    Raises:
        ConfigError: more doubles than pairs, shares of interactions beyond 1, or a regulation without steady state.
    """
    world = config.world
    pairs = world.targets * (world.targets - 1) // 2
    if config.doubles > pairs or config.synergy + config.buffering > 1:
        raise ConfigError(
            "the doubles do not fit",
            expected=f"at most {pairs} doubles; synergy + buffering at most 1",
            found=f"{config.doubles} doubles, {config.synergy} + {config.buffering}",
        )
    wiring = make_wiring(world)
    downs = choose_knockdowns(world, wiring)
    wiring = wiring.silencing(downs.targets[downs.null])
    rng = stream(world.seed, "cell types")
    expressed = rng.random((config.cell_types, world.genes)) >= config.silent
    baseline = wiring.baseline + config.baseline_spread * rng.normal(size=expressed.shape)
    baseline = np.where(expressed, baseline, baseline + _SILENT)
    strength = np.exp(config.effect_spread * rng.normal(size=config.cell_types))
    doubles, kinds = _doubles(config, wiring, downs)
    names = wiring.genes[downs.targets]
    arms = np.array([*names, *(f"{names[a]}+{names[b]}" for a, b in doubles)])
    blocks = [
        _in_cell_type(config, wiring, downs, doubles, kinds, expressed[c], float(strength[c]))
        for c in range(config.cell_types)
    ]
    types = cell_type_names(config)
    values = np.concatenate(blocks)
    effects = EffectTable(
        values,
        np.ones(values.shape, dtype=bool),
        np.tile(arms, config.cell_types),
        wiring.genes,
        kind="delta",
        split=np.tile(_split(downs, doubles), config.cell_types),
        context=np.repeat(types, len(arms)),
        control=dict(zip(types, baseline, strict=True)),
    )
    return ScreenTruth(wiring, effects, dict(zip(arms[len(names) :].tolist(), kinds, strict=True)), expressed)


def simulate_screen(folder: str | Path, config: ScreenConfig | None = None, *, progress: bool = True) -> Path:
    """Simulate a screen into a folder; memory does not grow with the number of cells.

    Writes ``cells.h5ad`` (counts; obs ``target_gene``, ``batch``, ``cell_type``, ``guide``; cells in random order), the
    knowledge files with ``recipe.toml`` at the top, ``truth/effects.h5ad``, ``truth/interactions.tsv``,
    ``truth/expressed.tsv`` and ``screen.json``.

    Args:
        folder: where to; an earlier screen is replaced.
        config: all settings.
        progress: a bar on stderr.

    Raises:
        ConfigError: as ``screen_truth``.
        DataError: the folder holds something else.
    """
    config, folder = config or ScreenConfig(), Path(folder)
    if folder.exists() and not (folder / _SETTINGS).exists() and (folder.is_file() or any(folder.iterdir())):
        raise DataError(f"{folder} is there and is not a simulated screen", remedy="choose another folder")
    truth = screen_truth(config)
    with atomic_folder(folder) as temporary:
        write_knowledge(temporary, config.world, truth.wiring, make_visibility(config.world, truth.wiring))
        write_text(temporary / "recipe.toml", RECIPE)
        write_text(temporary / _SETTINGS, json.dumps(config.model_dump(mode="json"), indent=1) + "\n")
        truth.effects.save(temporary / "truth" / "effects.h5ad")
        lines = [f"{name}\t{kind}" for name, kind in truth.interactions.items()]
        write_text(temporary / "truth" / "interactions.tsv", "\n".join(["double\tinteraction", *lines]) + "\n")
        table = pd.DataFrame(truth.expressed.T, index=truth.wiring.genes, columns=pd.Index(cell_type_names(config)))
        write_text(temporary / "truth" / "expressed.tsv", table.astype(int).to_csv(sep="\t", index_label="gene"))
        _write_cells(temporary / "cells.h5ad", config, truth, progress)
    return folder


def cell_type_names(config: ScreenConfig) -> list[str]:
    """Names of the cell types."""
    return [f"type{c + 1}" for c in range(config.cell_types)]


def _doubles(config: ScreenConfig, wiring: Wiring, downs: KnockDowns) -> tuple[list[tuple[int, int]], list[str]]:
    rng = stream(config.world.seed, "doubles")
    chosen: dict[tuple[int, int], None] = {}
    while len(chosen) < config.doubles:
        a, b = sorted(rng.choice(len(downs.targets), 2, replace=False).tolist())
        chosen[a, b] = None
    draw = rng.random(len(chosen))
    if config.interactions == "modules":
        by_modules = rng.random((config.world.modules, config.world.modules))
        modules = np.sort(wiring.module[downs.targets[np.array(list(chosen)).reshape(-1, 2)]], axis=1)
        draw = by_modules[modules[:, 0], modules[:, 1]]
    kinds = np.select([draw < config.synergy, draw < config.synergy + config.buffering], [SYNERGY, BUFFERING], ADDITIVE)
    return list(chosen), kinds.tolist()


def _split(downs: KnockDowns, doubles: list[tuple[int, int]]) -> NDArray:
    """A double is a test perturbation where one of its targets is."""
    of_doubles = ["test" if "test" in (downs.split[a], downs.split[b]) else "train" for a, b in doubles]
    return np.array([*downs.split.tolist(), *of_doubles])


def _in_cell_type(
    config: ScreenConfig,
    wiring: Wiring,
    downs: KnockDowns,
    doubles: list[tuple[int, int]],
    kinds: list[str],
    expressed: NDArray[np.bool_],
    strength: float,
) -> NDArray[np.float64]:
    """(singles and doubles, genes) log fold changes; a gene that is off regulates nothing and cannot change."""
    regulation = wiring.silencing(np.flatnonzero(~expressed)).regulation
    singles = steady_state(regulation, downs.targets, downs.residual, saturation=config.world.saturation)
    own = np.zeros(singles.shape, dtype=bool)
    own[np.arange(len(downs.targets)), downs.targets] = True
    # How strongly a cell type responds is a matter of what is regulated, not of how well the guide works.
    singles = np.where(own, singles, strength * singles) * expressed
    rows = [singles]
    for (a, b), kind in zip(doubles, kinds, strict=True):
        larger = np.where(np.abs(singles[a]) >= np.abs(singles[b]), singles[a], singles[b])
        total = {ADDITIVE: 1.0, SYNERGY: _SYNERGY}.get(kind, 0.0) * (singles[a] + singles[b])
        both = larger if kind == BUFFERING else total
        both[downs.targets[[a, b]]] = singles[[a, b], downs.targets[[a, b]]]
        rows.append(both[None])
    return np.concatenate(rows)


def _write_cells(path: Path, config: ScreenConfig, truth: ScreenTruth, progress: bool) -> None:
    world, rng = config.world, stream(config.world.seed, "screen counts")
    types, names = cell_type_names(config), truth.effects.perturbations
    arms = len(names) // config.cell_types
    one_type = np.repeat(np.arange(-1, arms), [world.control_cells, *[world.cells_per_target] * arms])
    order = rng.permutation(config.cells)
    arm = np.tile(one_type, config.cell_types)[order]
    cell_type = np.repeat(np.arange(config.cell_types), len(one_type))[order]
    batch = rng.integers(world.batches, size=len(arm))
    batch_effect = rng.normal(0, world.batch_effect, (world.batches, world.genes))
    loading = np.exp(rng.normal(0, 0.3, world.genes))
    baseline = np.stack([truth.effects.control[name] for name in types]).astype(np.float64)
    changes = np.vstack([truth.effects.values, np.zeros(world.genes)])
    row = np.where(arm < 0, len(changes) - 1, cell_type * arms + arm)
    with open_writer(path, world.genes, compression="gzip") as writer:
        starts = range(0, len(arm), _CELLS_AT_A_TIME)
        for start in tqdm(starts, desc="drawing cells", unit="block", disable=None if progress else True):
            part = slice(start, start + _CELLS_AT_A_TIME)
            activity = rng.normal(0, world.program_noise, (len(arm[part]), world.modules))
            log_rate = baseline[cell_type[part]] + changes[row[part]] + batch_effect[batch[part]]
            log_rate += activity[:, truth.wiring.module] * loading
            writer.append(sp.csr_array(counts_at(log_rate, world, rng), dtype=np.float32))
        labels = np.array([*names[:arms], keys.NON_TARGETING], dtype=object)[arm]
        obs = pd.DataFrame(
            {
                keys.TARGET_GENE: pd.Categorical(labels),
                keys.BATCH: pd.Categorical([f"batch{b + 1}" for b in batch]),
                keys.CELL_TYPE: pd.Categorical(np.array(types, dtype=object)[cell_type]),
                keys.GUIDE: pd.Categorical([f"{label}_g{g + 1}" for label, g in zip(labels, order % 2, strict=True)]),
            },
            index=pd.Index([f"cell{i + 1:07d}" for i in range(len(arm))], dtype=object),
        )
        writer.finish(obs, pd.DataFrame(index=pd.Index(truth.wiring.genes.astype(object))), {})
