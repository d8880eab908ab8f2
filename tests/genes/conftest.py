import gzip
from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def newer_symbols(shared_data: Path) -> dict[str, set[str]]:
    """Symbols of the real files that are newer than STRING 11.5, by file."""
    graphs = shared_data / "graphs"
    pairs = pd.read_csv(graphs / "string_newer_symbols.tsv.gz", sep="\t", keep_default_na=False)
    with gzip.open(graphs / "goa_human.gaf.gz", "rt") as handle:
        goa = {line.split("\t")[2] for line in handle if not line.startswith("!")}
    with open(graphs / "ReactomePathways.gmt") as handle:
        reactome = {name for line in handle for name in line.rstrip("\n").split("\t")[2:]}
    return {"string": set(pairs["gene_a"]) | set(pairs["gene_b"]), "goa": goa, "reactome": reactome}
