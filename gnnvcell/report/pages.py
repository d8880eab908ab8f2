"""All pages of a benchmark's folder: that of the tasks on labels, and one for each task on cells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnnvcell.bench.cell_folder import cell_folders
from gnnvcell.errors import ConfigError
from gnnvcell.report.benchmark import write_report
from gnnvcell.report.cells import write_cell_report


def write_pages(
    folder: str | Path,
    *,
    title: str | None = None,
    draws: int = 2000,
    seed: int = 0,
    targets: str | Path | None = None,
    markdown: str | Path | None = None,
    ceilings: Mapping[tuple[str, str], float] | None = None,
    graphs: Mapping[str, str | Path] | None = None,
    explorer: bool | None = None,
) -> list[Path]:
    """Write every page, with its plots and statistics.

    Args:
        folder: what ``--out`` of ``gnnvcell bench`` was.
        title, draws, seed, targets: as of ``write_report``.
        markdown: the file of the labels, or of the only task on cells; other tasks go into files beside it.
        ceilings, graphs, explorer: of labels, as of ``write_report``.

    Returns:
        The paths of the pages.

    Raises:
        MissingFileError, FileFormatError, DataError: the folder is not one of a benchmark, not finished, or damaged.
        ConfigError: as ``write_report``; or settings of labels for a folder that has none.
    """
    named: dict[str, Any] = {} if title is None else {"title": title}
    shared = {"draws": draws, "seed": seed, "targets": targets, **named}
    of_labels = {"ceilings": ceilings, "graphs": graphs, "explorer": explorer}
    on_cells = cell_folders(folder)
    only_cells = bool(on_cells) and not (Path(folder) / "results.json").exists()
    pages = []
    if not only_cells:
        pages.append(write_report(folder, **shared, **of_labels, markdown=markdown))
    elif unused := [name for name, value in of_labels.items() if value or value is False]:
        raise ConfigError(f"{', '.join(unused)} are for benchmarks on labels, and {folder} has tasks on cells alone")
    for one in on_cells:
        alone = only_cells and len(on_cells) == 1
        pages.append(write_cell_report(one, **shared, markdown=_beside(markdown, "" if alone else one.name)))
    return pages


def _beside(markdown: str | Path | None, task: str) -> Path | None:
    """The file of a task on cells: the one that was named, or one of that name and the task's."""
    if markdown is None:
        return None
    path = Path(markdown)
    return path.with_name(f"{path.stem}-{task}{path.suffix}") if task else path
