"""A figure drawn for a desk and for a phone: kept as PNG and SVG, and put into a page."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from gnnvcell.report.charts import NARROW, WIDE
from gnnvcell.report.html import figure_block
from gnnvcell.report.theme import inline_svg, save

FigureWriter = Callable[[Callable[[float], Figure], str, str], str]


def figure_writer(folder: Path) -> FigureWriter:
    """A function ``write(draw, name, caption)`` that gives a figure as HTML.

    Args:
        folder: where ``<name>.png`` and ``<name>.svg`` go.

    Returns:
        ``write``: ``draw(width)`` makes the figure for a width in inches, ``name`` is unique in the page, ``caption``
        says what is seen.
    """

    def write(draw: Callable[[float], Figure], name: str, caption: str) -> str:
        wide, narrow = draw(WIDE), draw(NARROW)
        save(wide, folder / name)
        drawings = (inline_svg(wide, f"{name}-w", label=caption), inline_svg(narrow, f"{name}-n", label=caption))
        return figure_block(*drawings, caption=caption)

    return write
