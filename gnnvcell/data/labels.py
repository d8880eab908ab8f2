"""Reader of label tables: one row per measured (perturbation, gene) pair, columns ``pert,gene,label,split``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gnnvcell.data.effects import EffectKind, EffectTable
from gnnvcell.errors import DataError, FileFormatError, did_you_mean
from gnnvcell.files import open_bytes

COLUMNS = ("pert", "gene", "label", "split")
SPLITS = ("train", "val", "test")
FILE_KINDS: dict[str, EffectKind] = {"de": "de", "dir": "direction"}


def read_labels(path: str | Path, *, kind: EffectKind, context: str = "") -> EffectTable:
    """Read a csv (plain or gzipped) with the columns ``pert,gene,label,split`` (PerturbQA's layout).

    Args:
        path: the file.
        kind: "de" (label 1 = differentially expressed) or "direction" (label 1 = up).
        context: cell line of the table.

    Returns:
        All perturbations of the file with their split; pairs that have no row are not measured.

    Raises:
        FileFormatError: missing, damaged or empty file, other delimiter, missing column.
        DataError: a label other than 0 and 1, an empty name, contradicting rows for one pair, or a perturbation that is
            in more than one split (its test outcomes would leak).
    """
    frame = _read_frame(Path(path))
    labels = np.asarray(pd.to_numeric(frame["label"], errors="coerce"), dtype=np.float32)
    _check_rows(frame, labels, path)
    perturbations, pert_rows = _codes(frame["pert"].to_numpy())
    genes, gene_rows = _codes(frame["gene"].to_numpy())
    values = np.zeros((len(perturbations), len(genes)), dtype=np.float32)
    measured = np.zeros(values.shape, dtype=bool)
    values[pert_rows, gene_rows] = labels
    measured[pert_rows, gene_rows] = True
    return EffectTable(
        values,
        measured,
        perturbations,
        genes,
        kind=kind,
        split=_split_by_perturbation(frame, perturbations, pert_rows, path),
        context=context,
    )


def find_label_files(folder: str | Path, lines: Sequence[str], tasks: Sequence[str]) -> dict[tuple[str, str], Path]:
    """The files ``<line>-<task>.csv[.gz]`` of a folder.

    Args:
        folder: where the files are.
        lines: cell lines, for example ("k562", "rpe1").
        tasks: "de", "dir".

    Raises:
        DataError: a task is unknown or a line's file is not there (with the lines that are).
        FileFormatError: the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileFormatError(
            f"no folder {folder}", remedy="pass the folder that holds <line>-de.csv and <line>-dir.csv"
        )
    files: dict[tuple[str, str], Path] = {}
    for task in tasks:
        if task not in FILE_KINDS:
            raise DataError(f"unknown task {task!r}", remedy=did_you_mean(task, FILE_KINDS))
        present = {
            path.name.removesuffix(".gz").removesuffix(f"-{task}.csv"): path
            for path in sorted(folder.iterdir())
            if path.name.removesuffix(".gz").endswith(f"-{task}.csv")
        }
        for line in lines:
            if line not in present:
                raise DataError(
                    f"no {task} labels for the line {line!r}",
                    expected=f"{line}-{task}.csv or {line}-{task}.csv.gz in {folder}",
                    remedy=did_you_mean(line, present),
                )
            files[line, task] = present[line]
    return files


def read_label_folder(folder: str | Path, lines: Sequence[str], tasks: Sequence[str]) -> list[EffectTable]:
    """Effect tables of several cell lines and tasks; arguments and errors as in ``find_label_files``."""
    files = find_label_files(folder, lines, tasks)
    return [read_labels(path, kind=FILE_KINDS[task], context=line) for (line, task), path in files.items()]


def _read_frame(path: Path) -> pd.DataFrame:
    with open_bytes(path) as handle:
        try:
            frame = pd.read_csv(handle, dtype=str, keep_default_na=False, na_filter=False)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise FileFormatError(f"{path} is not a csv file", found=str(error), remedy="check the file") from error
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        one_column = len(frame.columns) == 1 and any(mark in str(frame.columns[0]) for mark in "\t; ")
        raise FileFormatError(
            f"{path} has no column {', '.join(missing)}",
            expected=",".join(COLUMNS),
            found=", ".join(map(str, frame.columns[:8])),
            remedy="separate the columns by commas" if one_column else "rename the columns",
        )
    if frame.empty:
        raise FileFormatError(f"{path} has a header and no rows", remedy="write the labels into it")
    for column in ("pert", "gene", "split"):
        frame[column] = frame[column].str.strip()
    return frame


def _check_rows(frame: pd.DataFrame, labels: np.ndarray, path: str | Path) -> None:
    bad = ~np.isin(labels, (0, 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{path}: {int(bad.sum())} labels are not 0 or 1",
            found=f"{frame['label'].iloc[row]!r} in line {row + 2}",
            remedy="drop rows without a label",
        )
    for column in ("pert", "gene"):
        empty = (frame[column] == "").to_numpy()
        if empty.any():
            raise DataError(f"{path}: empty {column} in line {int(np.flatnonzero(empty)[0]) + 2}")
    unknown = sorted(set(frame["split"]) - set(SPLITS))
    if unknown:
        raise DataError(f"{path}: unknown split {unknown[0]!r}", expected=", ".join(SPLITS))
    pairs = frame.assign(label=labels).drop_duplicates(["pert", "gene", "label"])
    contradicting = pairs[["pert", "gene"]].to_numpy()[pairs.duplicated(["pert", "gene"]).to_numpy()]
    if len(contradicting):
        pert, gene = contradicting[0]
        raise DataError(
            f"{path}: {len(contradicting)} pairs have both labels",
            found=f"{pert} -> {gene}",
            remedy="keep one row a pair",
        )


def _codes(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes, unique = pd.factorize(names, sort=True)
    return np.asarray(unique, dtype=str), codes


def _split_by_perturbation(
    frame: pd.DataFrame, perturbations: np.ndarray, pert_rows: np.ndarray, path: str | Path
) -> np.ndarray:
    split_codes = np.array([SPLITS.index(name) for name in frame["split"]])
    seen = np.zeros((len(perturbations), len(SPLITS)), dtype=bool)
    seen[pert_rows, split_codes] = True
    both = seen.sum(axis=1) > 1
    if both.any():
        raise DataError(
            f"{path}: {int(both.sum())} perturbations are in more than one split",
            expected="each perturbation in train, val or test only",
            found=str(perturbations[both][0]),
            remedy="split by perturbation, or test outcomes leak into training",
        )
    return np.array(SPLITS)[seen.argmax(axis=1)]
