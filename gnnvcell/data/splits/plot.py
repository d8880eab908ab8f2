"""A picture of a split: the sizes of effects in each part."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gnnvcell import keys
from gnnvcell.data.splits.conditions import EFFECT
from gnnvcell.data.splits.draws import PARTS
from gnnvcell.data.splits.split import Split
from gnnvcell.errors import DataError
from gnnvcell.files import atomic_path

_COLOURS: dict[str, str] = dict(zip(PARTS, ("#0072B2", "#E69F00", "#D55E00"), strict=True))  # Okabe & Ito 2008


def save_plot(split: Split, path: str | Path, *, what: str = EFFECT) -> Path:
    """Write a PNG: one point per condition by part, with the median, on a log scale.

    Args:
        split: to show.
        path: ends in .png.
        what: "effect" or "cells".

    Raises:
        DataError: no condition has a value above 0.
    """
    values = split.table[what].to_numpy(dtype=float)
    if not (values > 0).any():
        raise DataError(f"no condition has a known {what} to plot", remedy="compute effect sizes first")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    spread = np.random.default_rng(0)  # sideways only, so that points do not hide one another
    present = [part for part in PARTS if (split.parts == part).any()]
    for x, part in enumerate(present):
        inside = values[(split.parts == part) & (values > 0)]
        axes.scatter(x + spread.uniform(-0.22, 0.22, len(inside)), inside, s=18, color=_COLOURS[part], alpha=0.7, lw=0)
        if len(inside):
            axes.hlines(np.median(inside), x - 0.32, x + 0.32, color="black", lw=1.6)
    axes.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(plain)
    axes.set_xlim(-0.6, len(present) - 0.4)
    axes.set_xticks(range(len(present)), [f"{part}\n{int((split.parts == part).sum())} conditions" for part in present])
    axes.set_ylabel("norm of the effect (natural log units)" if what == EFFECT else "cells")
    cell_types = split.table[keys.CELL_TYPE].nunique()
    size = f"{len(split.table)} conditions, {cell_types} cell type(s)"
    title = f"{split.strategy}, seed {split.seed}: {size}; bar: median"
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return Path(path)
