"""HTML of a page: escaped text, tables, figures for two widths, and one style sheet inside the document."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2329; --soft: #59636e; --paper: #ffffff; --panel: #f6f7f9; --grid: #cfd4db;
  --accent: #0b62a3; --font: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --soft: #a3acb7; --paper: #14171b; --panel: #1d2127; --grid: #3d444d; --accent: #6cb6f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 68rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 var(--font); }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--grid); }
p { max-width: 46rem; margin: .4rem 0; }
.lead { font-size: 1.1rem; }
.soft, caption, figcaption { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; margin: .75rem 0 1.5rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .35rem; font-weight: 600; color: var(--ink); }
th, td { padding: .28rem .9rem .28rem 0; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child, .text td { text-align: left; }
.text td { white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
.text td:first-child { color: var(--soft); white-space: nowrap; overflow-wrap: normal; }
td.best { font-weight: 700; }
.sd { color: var(--soft); font-size: .85em; font-weight: 400; display: inline-block; width: 4.4em; text-align: left;
  padding-left: .4em; }
summary { cursor: pointer; color: var(--accent); }
.lead ul { margin: .3rem 0; padding-left: 1.2rem; }
figure { margin: 0 0 1.5rem; }
figure svg { width: 100%; height: auto; display: block; color: var(--ink); overflow: visible; }
.lookup label { display: inline-block; margin: 0 1rem .5rem 0; color: var(--soft); font-size: .9rem; }
.lookup select, .lookup input, .lookup button { font: inherit; color: var(--ink); background: var(--panel);
  border: 1px solid var(--grid); border-radius: .3rem; padding: .25rem .5rem; max-width: 100%; }
.lookup th button { border: 0; background: none; color: inherit; font-weight: 600; padding: .2rem 0; cursor: pointer; }
.lookup th button::after { content: " \\2195"; color: var(--grid); }
.lookup th[aria-sort=ascending] button::after { content: " \\2191"; color: var(--accent); }
.lookup th[aria-sort=descending] button::after { content: " \\2193"; color: var(--accent); }
.lookup th:first-child, .lookup td:first-child { position: sticky; left: 0; background: var(--paper); }
.lookup h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
.near ul { margin: .2rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.strips svg { display: block; max-width: 100%; }
.strips text { fill: var(--soft); font: .8rem var(--font); }
.strips .null { stroke: var(--soft); stroke-dasharray: 4 3; }
.strips .one { fill: #0072B2; fill-opacity: .75; }
.strips .zero { fill: none; stroke: #D55E00; stroke-width: 1.2; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.narrow { display: none; }
@media (max-width: 640px) {
  body { padding: 1rem .75rem 3rem; } h1 { font-size: 1.4rem; }
  .wide { display: none; } .narrow { display: block; }
  table { font-size: .82rem; } th, td { padding-right: .55rem; white-space: normal; }
  .sd { display: block; width: auto; text-align: right; padding: 0; white-space: nowrap; }
  .text td:first-child { white-space: normal; } }
@media print { .wide { display: block; } .narrow { display: none; } h2 { break-after: avoid; }
  figure { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Args:
        text: what it says.
        small: an addition such as a spread; None for a column without additions, "" keeps its place.
        best: whether it is the best of its column.
    """

    text: str
    small: str | None = None
    best: bool = False


@dataclass(frozen=True)
class DataTable:
    """A table to show.

    Args:
        caption: above it; empty for none.
        header: column names; all empty for a table of names and texts.
        rows: cells as text or ``Cell``.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


def document(title: str, intro: str, findings: Sequence[str], sections: Sequence[str]) -> str:
    """The whole page. ``title``, ``intro`` and ``findings`` are plain text, ``sections`` are HTML."""
    paragraphs = [f"<p>{html.escape(intro)}</p>"] if intro else []
    items = "".join(f"<li>{html.escape(finding)}</li>" for finding in findings)
    paragraphs += [f'<div class="lead"><ul>{items}</ul></div>'] if findings else []
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{html.escape(title)}</h1>",
            *paragraphs,
            *sections,
            "</body>\n</html>\n",
        ]
    )


def section(heading: str, content: str) -> str:
    """A headed part of the page; ``content`` is HTML."""
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{content}\n</section>"


def figure_block(wide: str, narrow: str, *, caption: str) -> str:
    """A figure in two drawings, of which the style sheet shows the one that fits the screen."""
    return (
        f'<figure>\n<div class="wide">{wide}</div>\n<div class="narrow">{narrow}</div>\n'
        f"<figcaption>{html.escape(caption)}</figcaption>\n</figure>"
    )


def paragraphs(texts: Sequence[str]) -> str:
    """Small print: one paragraph per plain text."""
    return "\n".join(f'<p class="soft">{html.escape(text)}</p>' for text in texts)


def folded(summary: str, content: str) -> str:
    """Content that opens with a click; ``content`` is HTML."""
    return f"<details>\n<summary>{html.escape(summary)}</summary>\n{content}\n</details>"


def tables_block(tables: Sequence[DataTable]) -> str:
    """Tables one below the other; each scrolls by itself where it is wider than the screen."""
    return "\n".join(_table(table) for table in tables)


def _table(table: DataTable) -> str:
    text_only = not any(table.header)
    lines = [f'<div class="scroll"><table{" class=text" if text_only else ""}>']
    if table.caption:
        lines.append(f"<caption>{html.escape(table.caption)}</caption>")
    if not text_only:
        cells = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.header)
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    body = ("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    return "\n".join([*lines, "<tbody>", *body, "</tbody></table></div>"])


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        cell = Cell(cell)
    small = "" if cell.small is None else f'<span class="sd">{html.escape(cell.small)}</span>'
    return f"<td{' class=best' if cell.best else ''}>{html.escape(cell.text)}{small}</td>"
