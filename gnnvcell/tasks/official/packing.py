"""Pack a prediction as ``.vcc``, the archive the Virtual Cell Challenge takes, by cell-eval's own ``prep``."""

import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from gnnvcell.config import Config
from gnnvcell.data.cells import Cells
from gnnvcell.data.values import ValueKind
from gnnvcell.errors import DataError, DependencyError
from gnnvcell.files import atomic_path, read_names
from gnnvcell.tasks.matching import match_genes
from gnnvcell.tasks.official.running import require_scorer, scorer_version

_MEMBERS = {"pred.h5ad.zst", "watermark.txt"}


class PackConfig(Config):
    """Settings of an archive.

    Args:
        bits: of a value, 32 or 64.
        max_cells: most cells of a submission, controls included; the 2025 challenge took 100,000.
        output_perturbation: name of the perturbation column in the archive.
    """

    bits: int = 32
    max_cells: int = 100_000
    output_perturbation: str = "target_gene"


@dataclass(frozen=True)
class PackReport:
    """What was packed.

    Args:
        path: the archive.
        cells: number of cells, controls included.
        controls: number of control cells.
        genes: number of genes.
        perturbations: number of perturbations.
        bytes: size of the archive.
        scorer: package and version that packed it.
        notes: what cell-eval did to the values or their order.
    """

    path: Path
    cells: int
    controls: int
    genes: int
    perturbations: int
    bytes: int
    scorer: str
    notes: list[str]

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {self.cells:,} cells ({self.controls:,} controls) x {self.genes:,} genes, "
            f"{self.perturbations:,} perturbations, {self.bytes / 2**20:,.1f} MiB, by {self.scorer}"
        ]
        return "\n".join(lines + [f"note: {note}" for note in self.notes])


def pack_vcc(predicted: Cells, genes: str | Path, out: str | Path, *, config: PackConfig | None = None) -> PackReport:
    """Write the archive of a prediction: a tar of the zstd-compressed h5ad and cell-eval's mark.

    The work is ``cell-eval prep``: it checks the genes, puts them in the expected order, keeps the perturbation alone
    of ``obs``, makes log-normalised values of counts and stores sparse floats. What it would only warn of, or fail at
    with a traceback, is checked here first.

    Args:
        predicted: predicted cells with control cells, from an .h5ad file.
        genes: the challenge's gene list: one name per line, without a header.
        out: the archive to write, ``.vcc``.
        config: settings.

    Raises:
        DependencyError: cell-eval, zstd or tar is missing.
        DataError: the prediction is not an .h5ad file with its values in X and its names in the index, has no control
            cells, too many cells, or other genes than the list.
    """
    config = config or PackConfig()
    require_scorer("cell_eval")
    missing = [tool for tool in ("zstd", "tar") if shutil.which(tool) is None]
    if missing:
        raise DependencyError(
            f"cell-eval packs with {' and '.join(missing)}, which this machine lacks", remedy="install the command"
        )
    notes = _check(predicted, read_names(genes), config)
    with atomic_path(out) as temporary:
        _prepare(predicted, Path(genes), temporary, config)
        _check_archive(temporary)
        size = temporary.stat().st_size
    return PackReport(
        path=Path(out),
        cells=len(predicted.code),
        controls=int(predicted.is_control.sum()),
        genes=len(predicted.genes),
        perturbations=len(predicted.perturbations),
        bytes=size,
        scorer=f"cell-eval {scorer_version('cell-eval')}",
        notes=notes,
    )


def _check(predicted: Cells, genes: list[str], config: PackConfig) -> list[str]:
    """What cell-eval will do to the prediction; refuses what it would not pack, or pack wrongly."""
    if predicted.path is None or predicted.path.suffix != ".h5ad":
        raise DataError("cell-eval packs .h5ad files", found=str(predicted.path), remedy="write it as .h5ad")
    elsewhere = [f"{what} {name!r}" for what, name in _elsewhere(predicted).items() if name is not None]
    if elsewhere:
        raise DataError(
            "cell-eval packs the values of X and the names in the index of var",
            found=" and ".join(elsewhere),
            remedy="write the prediction so, and pack that file",
        )
    if not predicted.is_control.any():
        raise DataError("the prediction has no control cells", expected="the real control cells beside the predicted")
    if len(predicted.code) > config.max_cells:
        raise DataError(
            f"the prediction has {len(predicted.code):,} cells",
            expected=f"at most {config.max_cells:,}, controls included",
            remedy="predict fewer cells of each perturbation, or raise --max-cells where the challenge allows it",
        )
    columns, _ = match_genes(predicted.genes, genes)
    if len(predicted.genes) > len(genes):
        extra = sorted(set(map(str, predicted.genes)) - set(genes))
        raise DataError(
            f"{len(extra):,} predicted genes are not in the gene list", found=", ".join(extra[:5]), remedy="drop them"
        )
    notes = [] if (columns[1:] > columns[:-1]).all() else ["genes were put into the order of the list"]
    if predicted.values is ValueKind.COUNTS:
        notes.append("counts were normalised to their median and log-transformed, as cell-eval does")
    elif predicted.values is not ValueKind.LOG1P:
        raise DataError(
            "cell-eval takes counts or log1p-normalised values", found=f"{predicted.values.value} values"
        )
    return notes


def _elsewhere(predicted: Cells) -> dict[str, str | None]:
    return {"layer": predicted.fields.layer, "var column": predicted.fields.gene_names}


def _prepare(predicted: Cells, genes: Path, out: Path, config: PackConfig) -> None:
    columns = {"--pert-col": predicted.fields.perturbation, "--ntc-name": predicted.fields.control or ""}
    command = [
        *(sys.executable, "-m", "cell_eval", "prep", "--input", str(predicted.path), "--genes", str(genes)),
        *("--output", str(out), *(text for pair in columns.items() for text in pair)),
        *("--output-pert-col", config.output_perturbation, "--encoding", str(config.bits)),
        *("--max-cell-dim", str(config.max_cells), "--expected-gene-dim", "-1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DataError("cell-eval did not pack the prediction", found=said[-1] if said else f"exit {done.returncode}")


def _check_archive(path: Path) -> None:
    """cell-eval does not look whether zstd and tar did their work."""
    try:
        with tarfile.open(path) as archive:
            members = set(archive.getnames())
    except (tarfile.TarError, OSError) as error:
        raise DataError("cell-eval left no archive", found=str(error)) from error
    if members != _MEMBERS:
        raise DataError(
            "the archive is not complete", expected=", ".join(sorted(_MEMBERS)), found=", ".join(sorted(members))
        )
