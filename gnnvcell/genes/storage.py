"""The content of a vocabulary as plain arrays, for any store of arrays (npz, HDF5, safetensors)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gnnvcell.errors import GeneError
from gnnvcell.genes.identities import KINDS
from gnnvcell.genes.table import Entry, check_symbols


@dataclass(frozen=True)
class Content:
    """All that a vocabulary is.

    Args:
        symbols: (genes,) symbols.
        entries: sorted (kind, name, row) of all other names.
        reserved: names that mean several genes outside this vocabulary, sorted.
        species: NCBI taxon.
    """

    symbols: list[str]
    entries: list[Entry]
    reserved: list[str]
    species: int


def to_arrays(content: Content) -> dict[str, NDArray]:
    """Names as UTF-8 bytes, one a line; rows and kinds as integers."""
    return {
        "symbols": _to_bytes(content.symbols),
        "alias_names": _to_bytes([name for _, name, _ in content.entries]),
        "alias_rows": np.array([row for _, _, row in content.entries], dtype=np.int64),
        "alias_kinds": np.array([KINDS.index(kind) for kind, _, _ in content.entries], dtype=np.int8),
        "reserved": _to_bytes(content.reserved),
        "species": np.array([content.species], dtype=np.int64),
    }


def from_arrays(arrays: Mapping[str, NDArray]) -> Content:
    """The inverse of ``to_arrays``.

    Raises:
        GeneError: an array is missing, or they do not fit together.
    """
    try:
        symbols = check_symbols(_from_bytes(arrays["symbols"]))
        names, reserved = _from_bytes(arrays["alias_names"]), _from_bytes(arrays["reserved"])
        codes, rows = arrays["alias_kinds"], arrays["alias_rows"]
        species = int(arrays["species"][0])
        # Numpy's own range check, for the thousands of names: indexing raises where a code points nowhere.
        kinds = np.array(KINDS)[codes].tolist()
        if len(rows) and (rows.min() < 0 or rows.max() >= len(symbols) or codes.min() < 1):
            raise ValueError(f"a name outside its {len(symbols)} genes or {len(KINDS)} kinds")
        entries = list(zip(kinds, names, rows.tolist(), strict=True))
    except (KeyError, IndexError, ValueError) as error:
        raise GeneError(
            "these arrays are not a stored gene vocabulary",
            expected="what GeneVocab.to_arrays gave",
            found=f"{type(error).__name__}: {error}",
        ) from error
    return Content(symbols, entries, sorted(reserved), species)


def digest(content: Content) -> str:
    """Hex SHA-256, the same on every machine."""
    found = hashlib.sha256(b"gnnvcell.GeneVocab")
    for key, array in sorted(to_arrays(content).items()):
        found.update(f"\0{key} {array.size}\0".encode() + array.astype(array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def _to_bytes(names: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer("".join(f"{name}\n" for name in names).encode(), dtype=np.uint8)


def _from_bytes(array: Iterable[int] | NDArray) -> list[str]:
    return np.asarray(array, dtype=np.uint8).tobytes().decode("utf-8").split("\n")[:-1]
