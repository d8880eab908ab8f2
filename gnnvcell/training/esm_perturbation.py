"""``python -m gnnvcell.training.esm_perturbation``: train ST with ESM features of the targets, as State's script does.

::

    python -m gnnvcell.training.esm_perturbation --config split.toml --esm_embeddings_path ESM2.pt --output_dir RUN \\
        --batch_size 16 --max_steps 50000 --lr 1e-4 model.kwargs.hidden_dim=1024 training.val_freq=1000

``--config`` is a split in cell-load's TOML. Further settings go by State's names (``state_names.NAMES``) or by ours.
Without them it is the preset "esm": hidden 696, sets of 512 cells, 8 sets in a batch, two layers on ESM features,
learning rate 3e-4, 100,000 steps.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from gnnvcell.config import apply_overrides
from gnnvcell.errors import ConfigError, GnnvcellError, did_you_mean
from gnnvcell.fitting.processes import is_first
from gnnvcell.training.config import TrainConfig
from gnnvcell.training.state_names import our_overrides

# Exit codes, as of the command gnnvcell.
BAD_INPUT, INTERRUPTED = 2, 130

DEFAULTS = {"model": {"preset": "esm"}, "fit": {"max_steps": 100_000, "val_every": 2000, "optimizer": {"lr": 3e-4}}}
FLAGS = {
    "config": ("data.split", "FILE", "split in cell-load's TOML"),
    "esm_embeddings_path": ("features.esm.path", "FILE", "dict or tensor of ESM features (see: gnnvcell embed esm)"),
    "gene_to_esm_map_path": ("features.esm.index", "FILE", "of a tensor: which row a gene has"),
    "batch_size": ("model.sets_per_batch", "N", "sets in a batch (default: 8)"),
    "max_steps": ("fit.max_steps", "N", "steps (default: 100,000)"),
    "lr": ("fit.optimizer.lr", "X", "learning rate (default: 3e-4)"),
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of the script."""
    parser = argparse.ArgumentParser(
        prog="python -m gnnvcell.training.esm_perturbation",
        description="Train the state transition model with ESM features of the perturbed genes.",
        allow_abbrev=False,
    )
    for name, (_, metavar, text) in FLAGS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument("--output_dir", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--use_wandb", action="store_true", help="log to Weights & Biases too (gnnvcell[wandb])")
    parser.add_argument("--wandb_project", default="gnnvcell", metavar="NAME", help="its project (default: gnnvcell)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output_dir")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="model.kwargs.hidden_dim=1024 and the like")
    return parser


def config_of(arguments: argparse.Namespace) -> TrainConfig:
    """The settings that the flags and overrides give.

    Raises:
        ConfigError: an unknown setting, a bad value, or no split or ESM features.
    """
    given = [f"{key}={getattr(arguments, name)}" for name, (key, _, _) in FLAGS.items() if getattr(arguments, name)]
    if arguments.use_wandb:
        given.append(f"fit.wandb_project={arguments.wandb_project}")
    values: dict[str, Any] = apply_overrides(DEFAULTS, [*given, *our_overrides(arguments.overrides)])
    if not values.get("data", {}).get("split"):
        raise ConfigError("there is no split", expected="--config FILE, a TOML of cell-load")
    if not values.get("features", {}).get("esm", {}).get("path"):
        raise ConfigError(
            "there are no ESM features",
            expected="--esm_embeddings_path FILE",
            remedy="make them with: gnnvcell embed esm --fasta PROTEINS --out ESM.npz",
        )
    return TrainConfig.parse(values, where="esm_perturbation")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code, as of ``gnnvcell.cli.main``."""
    parser = make_parser()
    options, unknown = parser.parse_known_intermixed_args(arguments)
    try:
        if unknown:
            flags = [flag for action in parser._actions for flag in action.option_strings]
            raise ConfigError(f"there is no flag {unknown[0]!r}", remedy=did_you_mean(unknown[0], flags))
        from gnnvcell.training.training_run import train

        result = train(config_of(options), options.output_dir, resume=options.resume, progress=not options.quiet)
        if is_first():
            print(result)
        return 0
    except (GnnvcellError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
