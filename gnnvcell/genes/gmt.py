"""GMT files: one gene set per line, ``name<TAB>description<TAB>gene<TAB>gene...``."""

from dataclasses import dataclass
from pathlib import Path

from gnnvcell.errors import FileFormatError
from gnnvcell.files import open_text


@dataclass(frozen=True)
class GmtSet:
    """One line of a GMT file.

    Args:
        name: first field.
        description: second field, may be empty.
        genes: the others, each once, without empty ones.
        line: its number in the file, from 1.
    """

    name: str
    description: str
    genes: tuple[str, ...]
    line: int


def read_gmt(path: Path) -> list[GmtSet]:
    """The sets of a GMT file, plain or gzipped, in order; blank lines and lines that begin with # are passed over.

    Raises:
        FileFormatError: the file cannot be read, has no set, a line has no tab, no name, or no set has a gene.
    """
    sets = []
    with open_text(path) as handle:
        for number, line in enumerate(handle, start=1):
            text = line.rstrip("\r\n")
            if text.strip() and not text.startswith("#"):
                sets.append(_one_set(path, number, text))
    if not any(one.genes for one in sets):
        raise FileFormatError(
            f"{path} has no gene set with a gene",
            expected="lines of name, description and genes, separated by tabs",
            found=f"{len(sets)} sets, all empty" if sets else "no lines",
            remedy="download or write it again",
        )
    return sets


def _one_set(path: Path, number: int, text: str) -> GmtSet:
    fields = [field.strip() for field in text.split("\t")]
    if len(fields) < 2 or not fields[0]:
        raise FileFormatError(
            f"line {number} of {path} is not a GMT line",
            expected="name, description and genes, separated by tabs",
            found=repr(text[:80]),
            remedy="separate the fields by tabs" if fields[0] else "give the set a name",
        )
    return GmtSet(fields[0], fields[1], tuple(dict.fromkeys(gene for gene in fields[2:] if gene)), number)
