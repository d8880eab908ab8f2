"""How figures look, and how they get into files and pages: one style, no global state, the same bytes every time."""

import functools
import html
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnnvcell.files import atomic_path

# Okabe & Ito (2008), which people with colour blindness can tell apart, without the yellow that white paper swallows.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#8A8F98"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
CONTROL_COLOURS = {"real": BLUE, "rewired": ORANGE, "permuted": GREY, "empty": PURPLE, "dense": SKY}
# In a page these two become the page's own colours, so that figures follow light and dark.
INK, GRID = "#1f2329", "#cfd4db"

P = ParamSpec("P")

_DPI = 160
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
}


def styled(chart: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator of functions that draw: all they make is in the house style, and nothing stays set after them."""

    @functools.wraps(chart)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return chart(*args, **kwargs)

    return draw


def tidy(axes: Axes, *, grid: str = "x") -> None:
    """Only the frame and the grid lines that help reading."""
    axes.spines[["top", "right", "left" if grid == "x" else "bottom"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg`` on a white ground."""
    paths = []
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": stem.name}):
        for suffix in (".png", ".svg"):
            path = stem.with_name(stem.name + suffix)
            metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=suffix[1:], dpi=_DPI, facecolor="white", metadata=metadata)
            paths.append(path)
    return paths


def inline_svg(figure: Figure, name: str, *, label: str) -> str:
    """The figure as an ``<svg>`` element for a page: no size of its own, the page's colours and font, unique ids.

    Args:
        figure: what to draw.
        name: unique in the page; goes before every id in the drawing.
        label: what the figure shows, for people who do not see it.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    text = text.replace(INK, "currentColor").replace(GRID, "var(--grid)")
    text = re.sub(r"(font: [^;\"']*?px )[^;\"]*", r"\1var(--font)", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label, quote=True)}"', 1).strip()
