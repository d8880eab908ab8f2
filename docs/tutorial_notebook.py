"""Makes docs/tutorial.ipynb, outputs and pictures included, of docs/tutorial.py (cells between lines ``# %%``).

A line ``# %name`` is a command of Jupyter: one in the notebook, a comment in the script.

python docs/tutorial_notebook.py             runs the cells in one namespace and writes the notebook beside them
python docs/tutorial_notebook.py --no-write  runs them, and says how long it took
"""

import argparse
import ast
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
SOURCE, NOTEBOOK = DOCS / "tutorial.py", DOCS / "tutorial.ipynb"
CODE, MARKDOWN = "# %%", "# %% [markdown]"
_DPI = 80


@dataclass
class NotebookCell:
    """One cell.

    Args:
        kind: "code" or "markdown".
        source: its text; of Markdown without the comment signs.
        outputs: of a cell that was run, as nbformat 4 has them.
    """

    kind: str
    source: str
    outputs: list[dict[str, Any]] = field(default_factory=list)


def read_cells(text: str) -> list[NotebookCell]:
    """The cells of a script in percent format; what stands before the first is refused."""
    cells: list[NotebookCell] = []
    for line in text.splitlines():
        if line in (CODE, MARKDOWN):
            cells.append(NotebookCell("code" if line == CODE else "markdown", ""))
        elif not cells:
            raise ValueError(f"{line!r} stands before the first cell, expected {CODE!r} or {MARKDOWN!r}")
        elif cells[-1].kind == "code":
            cells[-1].source += f"{line}\n"
        else:
            cells[-1].source += f"{line.removeprefix('#').removeprefix(' ')}\n"
    for cell in cells:
        cell.source = cell.source.strip("\n")
    return cells


def run_cells(cells: list[NotebookCell], folder: Path) -> dict[str, Any]:
    """Run all code cells in one namespace, in a folder that they may write to, and keep their outputs.

    Returns:
        The namespace.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    here = Path.cwd()
    os.chdir(folder)
    try:
        for cell in (cell for cell in cells if cell.kind == "code"):
            cell.outputs = _run(cell.source, namespace)
    finally:
        os.chdir(here)
    return namespace


def _run(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """What a cell prints, and the value of its last line where that is an expression."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a tutorial warns of nothing that it does not speak of
        exec(compile(tree, "<cell>", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if value is not None:
        outputs.append({"output_type": "display_data", "metadata": {}, "data": _shown(value)})
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    """A value by MIME types: a picture, a table, or its text."""
    if isinstance(value, Figure):
        buffer = io.BytesIO()
        value.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
        return {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": ["<picture>"]}
    if isinstance(value, pd.DataFrame):
        return {"text/plain": _lines(value.to_string()), "text/html": _lines(value.to_html(border=0))}
    return {"text/plain": _lines(repr(value))}


def as_notebook(cells: list[NotebookCell]) -> dict[str, Any]:
    """The notebook, as nbformat 4.5 has it."""
    return {
        "cells": [_as_json(number, cell) for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _as_json(number: int, cell: NotebookCell) -> dict[str, Any]:
    source = re.sub(r"^# %(?=[a-z])", "%", cell.source, flags=re.MULTILINE)
    name = hashlib.sha256(f"{number} {source}".encode()).hexdigest()[:8]
    made: dict[str, Any] = {"cell_type": cell.kind, "id": name, "metadata": {}, "source": _lines(source)}
    return made | {"execution_count": None, "outputs": cell.outputs} if cell.kind == "code" else made


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Run the cells, and write the notebook."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-write", action="store_true")
    arguments = parser.parse_args()
    cells, start = read_cells(SOURCE.read_text(encoding="utf-8")), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run_cells(cells, Path(folder))
    if not arguments.no_write:
        text = json.dumps(as_notebook(cells), indent=1, ensure_ascii=False)
        NOTEBOOK.write_text(f"{text}\n", encoding="utf-8")
    print(f"{len(cells)} cells in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
