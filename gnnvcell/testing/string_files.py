"""STRING files for tests, small and in STRING's own formats, and a look at what is read from them."""

import gzip
from pathlib import Path
from typing import Any

from gnnvcell.graphs.sources.base import Reading, SourceContext
from gnnvcell.graphs.sources.string_db import String

HEADER = "protein1 protein2 combined_score"
DETAILED = (
    "protein1 protein2 neighborhood fusion cooccurence coexpression experimental database textmining combined_score"
)
FULL = (
    "protein1 protein2 neighborhood neighborhood_transferred fusion cooccurence homology coexpression "
    "coexpression_transferred experiments experiments_transferred database database_transferred textmining "
    "textmining_transferred combined_score"
)
A, B, C, D = (f"9606.ENSP0000000000{i}" for i in range(1, 5))


def both_ways(rows: list[str]) -> list[str]:
    """The rows, and then each with its two proteins exchanged."""
    turned = [" ".join([row.split(" ")[1], row.split(" ")[0], *row.split(" ")[2:]]) for row in rows]
    return [*rows, *turned]


def write(folder: Path, name: str, header: str, rows: list[str], *, end: str = "\n") -> Path:
    """Write a file of a header and rows, gzipped if its name says so."""
    folder.mkdir(parents=True, exist_ok=True)
    content = (end.join([header, *rows]) + end).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def links(
    folder: Path, rows: list[str], *, header: str = HEADER, name: str = "9606.protein.links.v12.0.txt.gz"
) -> Path:
    """Write a links file in which every row stands in both directions."""
    return write(folder, name, header, both_ways(rows))


def info(folder: Path, names: dict[str, str], name: str = "9606.protein.info.v12.0.txt.gz") -> Path:
    """Write protein.info: protein to preferred name."""
    header = "#string_protein_id\tpreferred_name\tprotein_size\tannotation"
    return write(folder, name, header, [f"{protein}\t{symbol}\t100\tsome text" for protein, symbol in names.items()])


def read(folder: Path | None, species: int = 9606, **settings: Any) -> Reading:
    """Read the folder's STRING files with these settings."""
    return String.parse(settings).read(SourceContext(folder, species))


def pairs(reading: Reading) -> dict[tuple[str, str], float]:
    """(gene, gene) in alphabetical order to weight; a pair that is there twice is an error."""
    table = reading.tables[0]
    ends = zip(table.src_names[table.src], table.dst_names[table.dst], table.weight, strict=True)
    found = {tuple(sorted((str(a), str(b)))): float(w) for a, b, w in ends}
    assert len(found) == len(table), "a pair is there twice"
    return found  # type: ignore[return-value]


def scores(reading: Reading) -> list[int]:
    """Scores in thousandths, in the alphabetical order of the pairs."""
    return [round(1000 * weight) for _, weight in sorted(pairs(reading).items())]
