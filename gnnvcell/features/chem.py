"""Morgan fingerprints of compounds from their SMILES, by rdkit."""

import csv
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError, DataError, DependencyError, FileFormatError, did_you_mean
from gnnvcell.features.feature_table import FeatureTable, in_file, some
from gnnvcell.features.writers import check_extension, write_features
from gnnvcell.files import open_text, require_file, sha256_of


class Salts(StrEnum):
    """What becomes of a compound of several fragments, such as a salt."""

    KEEP = "keep"  # all fragments are part of the fingerprint
    STRIP = "strip"  # the fragment with the most heavy atoms alone


class Invalid(StrEnum):
    """What becomes of SMILES that cannot be read."""

    MASK = "mask"  # no row, so that the compound is masked; counted and named in the report
    ERROR = "error"


class FingerprintConfig(Config):
    """How fingerprints are made.

    Args:
        radius: bonds around each atom that are looked at (2 is ECFP4).
        size: number of features that the environments are folded into.
        counts: how often an environment occurs, instead of whether it does.
        chirality: whether stereoisomers differ.
        salts: what becomes of compounds of several fragments.
        invalid: what becomes of SMILES that cannot be read.
    """

    radius: int = Field(default=2, ge=0)
    size: int = Field(default=2048, ge=1)
    counts: bool = False
    chirality: bool = False
    salts: Salts = Salts.KEEP
    invalid: Invalid = Invalid.MASK


@dataclass(frozen=True, eq=False)
class CompoundReport:
    """What became of a list of compounds.

    Args:
        table: the fingerprints, one row for each compound that could be read.
        invalid: name to SMILES of those that could not; they have no row, and are masked wherever the table is used.
        salts: compounds of several fragments.
        same: groups of names whose compounds are the same molecule, by canonical SMILES.
        collisions: groups of names of different molecules with equal fingerprints.
    """

    table: FeatureTable
    invalid: Mapping[str, str]
    salts: Sequence[str]
    same: Sequence[Sequence[str]]
    collisions: Sequence[Sequence[str]]

    def __str__(self) -> str:
        table = self.table
        lines = [table.source, f"  {len(table):,} compounds of {table.width:,} features"]
        bad = [f"{name}: {smiles or '(empty)'}" for name, smiles in self.invalid.items()]
        for what, names in (
            ("could not be read, and have no row", bad),
            ("have several fragments", self.salts),
            ("groups are the same molecule under several names", [" = ".join(group) for group in self.same]),
            ("groups differ, but not in their fingerprint", [" = ".join(group) for group in self.collisions]),
        ):
            if names:
                lines.append(f"  {len(names):,} {what}: {some(names)}")
        return "\n".join(lines)


def fingerprints(
    smiles: Mapping[str, str], config: FingerprintConfig | None = None, *, progress: bool = False
) -> CompoundReport:
    """Morgan fingerprints (Rogers & Hahn, J Chem Inf Model 2010) of compounds, as rdkit's Morgan generator makes them.

    Args:
        smiles: name of a compound to its SMILES.
        config: settings.
        progress: whether to show a bar on stderr.

    Raises:
        DependencyError: rdkit is not installed.
        DataError: no compound can be read, or one cannot and ``config.invalid`` is "error".
    """
    config = config or FingerprintConfig()
    with _rdkit() as (chem, generators):
        generator = generators.GetMorganGenerator(
            radius=config.radius, fpSize=config.size, includeChirality=config.chirality
        )
        make = generator.GetCountFingerprintAsNumPy if config.counts else generator.GetFingerprintAsNumPy
        rows, canonical, salts, invalid = {}, {}, [], {}
        for name, text in tqdm(smiles.items(), unit=" compounds", disable=None if progress else True):
            molecule = chem.MolFromSmiles(text) if text.strip() else None
            if molecule is None or not molecule.GetNumAtoms():
                invalid[name] = text
                continue
            fragments = chem.GetMolFrags(molecule, asMols=True)
            if len(fragments) > 1:
                salts.append(name)
                if config.salts is Salts.STRIP:
                    molecule = max(fragments, key=lambda fragment: fragment.GetNumHeavyAtoms())
            rows[name] = make(molecule).astype(np.float32)
            canonical[name] = chem.MolToSmiles(molecule)
    _check(smiles, rows, invalid, config)
    values = np.stack(list(rows.values()))
    table = FeatureTable(np.array(list(rows), dtype=str), values, _label(config, len(rows)))
    same = [group for group in _groups(canonical).values() if len(group) > 1]
    return CompoundReport(table, invalid, salts, same, _collisions(rows, canonical))


def embed_compounds(
    path: str | Path,
    out: str | Path,
    config: FingerprintConfig | None = None,
    *,
    name_column: str | None = None,
    smiles_column: str | None = None,
    progress: bool = True,
) -> CompoundReport:
    """Read compounds from a file, and write their fingerprints as a feature table, with a note of how (``.json``).

    Raises:
        FileFormatError: what ``read_smiles`` raises, what ``fingerprints`` refuses, or an unknown extension of ``out``.
        ConfigError: no such column.
        DependencyError: rdkit is not installed.
    """
    config = config or FingerprintConfig()
    out = check_extension(out)
    try:
        report = fingerprints(read_smiles(path, name_column, smiles_column), config, progress=progress)
    except DataError as error:
        raise in_file(Path(path), error) from error
    digest, label = sha256_of(path), f"{report.table.source}, {Path(path).name}"
    table = FeatureTable(report.table.names, report.table.values, label, digest)
    note = {"source": label, "smiles": digest, **config.model_dump(mode="json"), "invalid_smiles": dict(report.invalid)}
    write_features(table, out, note | {"rows": len(table), "same_molecule": report.same})
    return CompoundReport(table, report.invalid, report.salts, report.same, report.collisions)


def read_smiles(path: str | Path, name_column: str | None = None, smiles_column: str | None = None) -> dict[str, str]:
    """Name to SMILES, from a csv or tsv file with a header line, plain or gzipped. A line that repeats counts once.

    Args:
        path: the file.
        name_column: column of the names; the first when left out.
        smiles_column: column of the SMILES; the one called "smiles", in any case, when left out.

    Raises:
        FileFormatError: missing, empty or damaged file, no compounds, lines of another number of columns, empty names,
            or one name with two SMILES.
        ConfigError: no such column.
    """
    path = require_file(path)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if suffixes[-1:] not in ([".csv"], [".tsv"]):
        raise FileFormatError(f"{path} is not known as a table", expected="a name that ends in .csv or .tsv (or .gz)")
    with open_text(path) as handle:
        lines = [line for line in csv.reader(handle, delimiter="," if suffixes[-1] == ".csv" else "\t") if line]
    header = [cell.strip().removeprefix("\ufeff") for cell in lines[0]] if lines else []
    name_at, smiles_at = _columns(path, header, name_column, smiles_column)
    odd = next((number for number, line in enumerate(lines, start=1) if len(line) != len(header)), 0)
    if odd or len(lines) < 2:
        raise FileFormatError(
            f"{path}: line {odd} has another number of columns than the header" if odd else f"{path} has no compounds",
            expected=f"columns {', '.join(header)}",
            found=",".join(lines[odd - 1])[:60] if odd else "",
        )
    found: dict[str, str] = {}
    for line in lines[1:]:
        name, text = line[name_at].strip(), line[smiles_at].strip()
        if not name or found.get(name, text) != text:
            raise FileFormatError(
                f"{path}: {name!r} has two different SMILES" if name else f"{path}: a compound has no name",
                found=f"{found[name]} and {text}" if name else text,
                remedy="give each compound one name and one SMILES",
            )
        found[name] = text
    return found


def _columns(path: Path, header: list[str], name: str | None, smiles: str | None) -> tuple[int, int]:
    wanted = smiles or next((column for column in header if column.casefold() == "smiles"), "smiles")
    for column in (wanted, *([name] if name else [])):
        if column not in header:
            raise ConfigError(
                f"{path} has no column {column!r}", found=some(header), remedy=did_you_mean(column, header)
            )
    at = header.index(wanted)
    other = header.index(name) if name else next((i for i in range(len(header)) if i != at), at)
    return other, at


def _check(smiles: Mapping[str, str], rows: Mapping, invalid: Mapping[str, str], config: FingerprintConfig) -> None:
    if rows and (not invalid or config.invalid is Invalid.MASK):
        return
    raise DataError(
        f"{len(invalid):,} of {len(smiles):,} SMILES cannot be read" if smiles else "there are no compounds",
        expected="SMILES such as CC(=O)Oc1ccccc1C(=O)O",
        found=some([f"{name}: {text or '(empty)'}" for name, text in invalid.items()]),
        remedy='mend them, or mask these compounds: invalid="mask"' if rows else "is it the right column?",
    )


def _label(config: FingerprintConfig, compounds: int) -> str:
    kind = "counts" if config.counts else "bits"
    extra = ", with chirality" * config.chirality + ", largest fragments" * (config.salts is Salts.STRIP)
    return f"Morgan {kind}, radius {config.radius}, {config.size} features{extra}, of {compounds:,} compounds"


def _groups(keys: Mapping[str, Any]) -> dict[Any, list[str]]:
    groups: dict[Any, list[str]] = {}
    for name, key in keys.items():
        groups.setdefault(key, []).append(name)
    return groups


def _collisions(rows: Mapping[str, NDArray[np.float32]], canonical: Mapping[str, str]) -> list[list[str]]:
    first = {group[0]: rows[group[0]].tobytes() for group in _groups(canonical).values()}  # one name per molecule
    return [group for group in _groups(first).values() if len(group) > 1]


@contextmanager
def _rdkit():
    """rdkit's chemistry and its fingerprint generators; its messages about each bad SMILES are kept off stderr."""
    try:
        from rdkit import Chem, rdBase  # type: ignore[import-not-found]
        from rdkit.Chem import rdFingerprintGenerator  # type: ignore[import-not-found]
    except ImportError as error:
        raise DependencyError(
            "fingerprints of compounds need rdkit", found=str(error), remedy="pip install 'gnnvcell[chem]'"
        ) from error
    with rdBase.BlockLogs():
        yield Chem, rdFingerprintGenerator
