"""Programmes: gene sets with what it means when they rise or fall."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import DataError, FileFormatError
from gnnvcell.genes import GeneVocab
from gnnvcell.genes.gmt import GmtSet, read_gmt

_HARM = "harm="


@dataclass(frozen=True)
class Programme:
    """A gene set.

    Args:
        name: of the set.
        genes: its genes, each once.
        harm: "up" where it is harmful when they go up, "down" where when they go down, "" where it is not said.
        source: where the set is from.
    """

    name: str
    genes: tuple[str, ...]
    harm: Literal["up", "down", ""] = ""
    source: str = ""


def stress_programmes() -> list[Programme]:
    """The sets of stress, death and growth that come with the package, each with its source.

    Targets of p53, the unfolded protein response, the integrated stress response, heat shock, oxidative stress,
    apoptosis, inflammation, interferon (all harmful when they rise), DNA replication, mitosis and ribosome (when they
    fall).
    """
    with resources.as_file(resources.files("gnnvcell").joinpath("data_files", "stress.gmt")) as path:
        return read_programmes(path)


def read_programmes(path: str | Path) -> list[Programme]:
    """The sets of a GMT file; a description that begins with ``harm=up;`` or ``harm=down;`` says when a set is harmful.

    Raises:
        FileFormatError: as ``read_gmt``, or a harm that is neither up nor down.
    """
    return [_programme(one, path) for one in read_gmt(Path(path)) if one.genes]


def _programme(one: GmtSet, path: str | Path) -> Programme:
    if not one.description.startswith(_HARM):
        return Programme(one.name, one.genes, "", one.description)
    harm, _, source = one.description.removeprefix(_HARM).partition(";")
    if harm not in ("up", "down"):
        raise FileFormatError(
            f"line {one.line} of {path} says harm={harm}", expected="harm=up; or harm=down;", remedy="mend the line"
        )
    return Programme(one.name, one.genes, harm, source.strip())


def members(
    programmes: Iterable[Programme], genes: Sequence[str] | NDArray, *, least: int
) -> tuple[list[Programme], list[NDArray[np.int64]], list[Programme]]:
    """Programmes that enough genes of a model are in, their columns, and the programmes with too few.

    Args:
        programmes: sets; their genes are found by old symbols too.
        genes: (genes,) names that the model reads out.
        least: smallest number of genes of a set.

    Raises:
        DataError: a name that two sets have, or no set with that many genes.
    """
    given = list(programmes)
    names = [one.name for one in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two gene sets are called {twice!r}", remedy="rename one of them")
    vocab = GeneVocab.from_symbols([str(gene) for gene in genes])
    found = [np.unique(vocab.lookup(list(one.genes))) for one in given]
    columns = [at[at >= 0] for at in found]
    kept = [at for at in range(len(given)) if len(columns[at]) >= least]
    if not kept:
        raise DataError(
            f"none of {len(given)} gene sets has {least} of the model's {len(genes)} genes",
            found=", ".join(f"{name}: {len(at)}" for name, at in list(zip(names, columns, strict=True))[:5]),
            remedy="take a model that reads more genes out, sets of these genes, or a lower limit",
        )
    left_out = [one for at, one in enumerate(given) if at not in kept]
    return [given[at] for at in kept], [columns[at] for at in kept], left_out
