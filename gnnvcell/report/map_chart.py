"""A map of genes by genes, or of pathways, as a picture of its most pronounced rows and columns."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gnnvcell.report.theme import styled

_CELL, _MARGIN = 0.19, 2.2  # inches


@styled
def map_chart(values: NDArray, rows: NDArray, columns: NDArray, *, what: str, most: int = 40) -> Figure:
    """Rows and columns of largest mean absolute value, in the order of the map.

    Args:
        values: (rows, columns).
        rows, columns: names.
        what: what a value is, for the bar of colours.
        most: rows, and columns, that are shown.
    """
    size = np.abs(values)
    shown = [np.sort(np.argsort(-size.mean(axis=axis), kind="stable")[:most]) for axis in (1, 0)]
    part = values[np.ix_(*shown)]
    height, width = (len(one) * _CELL + _MARGIN for one in shown)
    figure = Figure(figsize=(width + 1.0, height), layout="constrained")
    axes = figure.subplots()
    signed, top = bool((part < 0).any()), float(np.abs(part).max(initial=1e-12))
    image = axes.imshow(
        part, cmap="RdBu_r" if signed else "viridis", vmin=-top if signed else 0.0, vmax=top, aspect="equal"
    )
    axes.set_xticks(range(part.shape[1]), columns[shown[1]], rotation=90)
    axes.set_yticks(range(part.shape[0]), rows[shown[0]])
    figure.colorbar(image, ax=axes, label=what, shrink=0.6)
    return figure
