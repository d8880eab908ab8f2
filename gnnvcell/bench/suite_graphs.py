"""The graphs of a suite as folders: saved ones as they are, those of recipes built once and kept."""

from collections.abc import Callable, Mapping
from pathlib import Path

from gnnvcell.bench.suite_config import GraphConfig
from gnnvcell.graphs.build import build
from gnnvcell.graphs.gene_graph import GeneGraph
from gnnvcell.graphs.recipe import read_recipe
from gnnvcell.graphs.storage import MANIFEST_FILE
from gnnvcell.graphs.verify import verify


def graph_folders(
    graphs: Mapping[str, GraphConfig], out: Path, *, report: Callable[[str], None] = lambda text: None
) -> dict[str, Path]:
    """Name to the folder of the saved graph; what is not saved yet is built into ``out/graphs``.

    A graph that was built before is taken again where recipe and files are the same.

    Raises:
        ConfigError, FileFormatError, EmptyGraphError, GeneError: a recipe cannot be built (``gnnvcell.graphs.build``).
    """
    return {
        name: Path(config.saved) if config.saved is not None else _built(name, config, out / "graphs" / name, report)
        for name, config in graphs.items()
    }


def _built(name: str, config: GraphConfig, folder: Path, report: Callable[[str], None]) -> Path:
    recipe = config.recipe if isinstance(config.recipe, str) else dict(config.recipe or {})
    plan = read_recipe(recipe, source_dir=config.source_dir, overrides=config.settings)
    if (folder / MANIFEST_FILE).exists():
        same = GeneGraph.load(folder).manifest.recipe == plan.recipe.model_dump(mode="json")
        if same and (plan.source_dir is None or verify(folder, source_dir=plan.source_dir).ok):
            report(f"{name}: built before, from the same recipe and files")
            return folder
    report(f"{name}: building")
    build(
        recipe, source_dir=config.source_dir, overrides=config.settings, progress=lambda line: report(f"{name}: {line}")
    ).save(folder)
    return folder
