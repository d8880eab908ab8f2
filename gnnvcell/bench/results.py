"""The files that a benchmark leaves: records, tables and provenance."""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gnnvcell import __version__
from gnnvcell.bench.table import format_table
from gnnvcell.files import write_text
from gnnvcell.graphs.gene_graph import GeneGraph


def write_results(out_dir: str | Path, records: Sequence[dict[str, Any]], summary: pd.DataFrame) -> None:
    """Write ``results.json`` (the records), ``table.csv`` and ``table.md`` (the summary)."""
    out = Path(out_dir)
    write_text(out / "results.json", json.dumps(list(records), indent=1))
    write_text(out / "table.csv", summary.to_csv(index=False, float_format="%.4f"))
    write_text(out / "table.md", format_table(summary) + "\n")


def provenance_of(graphs: Mapping[str, GeneGraph]) -> dict[str, Any]:
    """Command, versions, hardware, digests of graphs and what their recipes left out."""
    skipped = {
        f"{name}/{source}": reason
        for name, graph in graphs.items()
        for source, reason in graph.manifest.skipped.items()
    }
    return {
        "command": " ".join(["gnnvcell", *sys.argv[1:]]),
        "gnnvcell": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "graphs": {name: graph.digest for name, graph in graphs.items()},
        **({"skipped": skipped} if skipped else {}),
    }
