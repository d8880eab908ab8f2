"""Lists of perturbations and genes on the command line, and what all screens say at their end."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gnnvcell.cli.screen_model import ScreenModel
    from gnnvcell.screens.result import ScreenResult

NAMES_OR_FILE = "names, or one file with a name on each line"


def listed(given: Sequence[str]) -> list[str]:
    """Names as they are given, or those in a file."""
    from gnnvcell.files import read_names

    return read_names(given[0]) if len(given) == 1 and Path(given[0]).is_file() else list(given)


def gallery_of(given: Sequence[str] | None, screened: "ScreenModel", flag: str) -> list[str]:
    """Names of the command line or of a file; every gene of the graph where there are none.

    A gene whose symbol reads as a control's label (CTRL is chymotrypsin-like protease) is left out, and said.

    Raises:
        ConfigError: neither names nor a graph.
    """
    from gnnvcell.errors import ConfigError

    if given is not None:
        return listed(given)
    if screened.graph is None:
        raise ConfigError("there is nothing to screen", remedy=f"name perturbations ({flag}), or give --graph DIR")
    from gnnvcell.perturbation import Perturbation

    genes = [str(symbol) for symbol in screened.graph.vocab.symbols]
    controls = [gene for gene in genes if Perturbation.parse(gene).is_control]
    if controls:
        print(f"left out, because the name means a control: {', '.join(controls)}")
    return [gene for gene in genes if gene not in controls]


def add_output_arguments(verb: argparse.ArgumentParser) -> None:
    """Add where the results go and how much of them is shown."""
    verb.add_argument("--support-above", type=float, default=0.0, metavar="X", help="rank what has more support (0)")
    verb.add_argument("--top", type=int, default=15, metavar="N", help="rows to print and to draw (default: 15)")
    verb.add_argument("--out", metavar="DIR", help="folder for tables, provenance and picture")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")


def kept_in(out: str | None) -> Path | None:
    """Where finished parts of a screen wait for the others: beside its folder."""
    return None if out is None else Path(f"{Path(out)}.parts")


def model_key(screened: "ScreenModel") -> str:
    """The model's identity as one text."""
    return ", ".join(f"{name} {value[:12]}" for name, value in screened.identity.items())


def finish(result: "ScreenResult", figure: "Figure", columns: Sequence[str], arguments: argparse.Namespace) -> None:
    """Print the head of the table and what was not ranked; save all where there is a folder."""
    import shutil
    import sys

    print(as_text(result.table, columns, arguments.top))
    if len(result.abstained):
        names = result.abstained["perturbation"].head(5).tolist()
        more = f" and {len(result.abstained) - 5:,} more" if len(result.abstained) > 5 else ""
        print(f"\nnot ranked, without support: {', '.join(map(str, names))}{more}")
    if arguments.out is None:
        return
    from gnnvcell.report.theme import save

    folder = result.save(arguments.out, extras={"command": " ".join(["gnnvcell", *sys.argv[1:]])})
    save(figure, folder / result.kind)
    parts = kept_in(arguments.out)
    if parts is not None:
        shutil.rmtree(parts, ignore_errors=True)
    print(f"\ntables, provenance.json, {result.kind}.png: {folder}")


def as_text(table: "pd.DataFrame", columns: Sequence[str], top: int) -> str:
    """The first rows of a table, without columns that say nothing."""
    shown: Any = table[list(columns)].head(top)
    full = [name for name in columns if not shown[name].isna().all()]
    return shown[full].to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="-")
